#include "io.h"
#include <stdlib.h>

static void *mem_get(mem *m, size_t len_bytes) {
  io_mem *x = (io_mem *)m->user;
  if (len_bytes == 0) len_bytes = 1;
  if (x->limit_bytes && len_bytes > x->limit_bytes - x->used_bytes) return NULL;
  void *p = malloc(len_bytes);
  if (!p) return NULL;
  x->used_bytes += len_bytes;
  if (x->used_bytes > x->peak_bytes) x->peak_bytes = x->used_bytes;
  return p;
}

static void mem_put(mem *m, void *p, size_t len_bytes) {
  io_mem *x = (io_mem *)m->user;
  if (!p) return;
  x->used_bytes -= len_bytes ? len_bytes : 1;
  free(p);
}

void io_mem_init(io_mem *x, size_t limit_bytes) { *x = (io_mem){.m = {mem_get, mem_put, x}, .limit_bytes = limit_bytes}; }
