#include "status.h"

const char *hdw_status_text(hdw_status s) {
  switch (s) {
#define X(name, code, text) case name: return text;
    HDW_STATUS_LIST(X)
#undef X
  }
  return "unknown status";
}

const char *hdw_status_name(hdw_status s) {
  switch (s) {
#define X(name, code, text) case name: return #name;
    HDW_STATUS_LIST(X)
#undef X
  }
  return "HDW_E_UNKNOWN";
}
