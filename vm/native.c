#include "native.h"
#include <stdarg.h>
#include <stdio.h>

hdw_status vm_fail(vm_cx *cx, hdw_status s, const char *fmt, ...) {
  if (cx->err.status == HDW_OK) {
    va_list ap;
    cx->err.status = s;
    va_start(ap, fmt);
    vsnprintf(cx->err.text, sizeof cx->err.text, fmt, ap);
    va_end(ap);
  }
  return s;
}
