#include "io.h"
#include <stdlib.h>

/* Arenas come and go with every message, in chunks of a few power-of-two sizes: some of each are kept instead of going back and forth to malloc, which would
 * split, merge and trim them each time. Not under AddressSanitizer, which must see every free. */
enum { KEEP_FIRST = 4096, KEEP_BYTES = 512 << 10 /* of each size */ };
#if defined(__SANITIZE_ADDRESS__) || defined(HDW_ARENA_ASAN)
enum { KEEPS = 0 };
#else
enum { KEEPS = 1 };
#endif

static struct io_kept **kept_of(io_mem *x, size_t len_bytes) {
  if (!KEEPS || len_bytes < KEEP_FIRST || (len_bytes & (len_bytes - 1))) return NULL;
  unsigned i = (unsigned)__builtin_ctzll(len_bytes) - (unsigned)__builtin_ctz(KEEP_FIRST);
  return i < IO_MEM_SIZES ? &x->kept[i] : NULL;
}

static void *mem_get(mem *m, size_t len_bytes) {
  io_mem *x = (io_mem *)m->user;
  if (len_bytes == 0) len_bytes = 1;
  if (x->limit_bytes && len_bytes > x->limit_bytes - x->used_bytes) return NULL;
  struct io_kept **k = kept_of(x, len_bytes);
  void *p = k ? *k : NULL;
  if (p) *k = (*k)->next;
  else p = malloc(len_bytes);
  if (!p) return NULL;
  x->used_bytes += len_bytes;
  if (x->used_bytes > x->peak_bytes) x->peak_bytes = x->used_bytes;
  return p;
}

static void mem_put(mem *m, void *p, size_t len_bytes) {
  io_mem *x = (io_mem *)m->user;
  if (!p) return;
  x->used_bytes -= len_bytes ? len_bytes : 1;
  struct io_kept **k = kept_of(x, len_bytes);
  size_t n = k && *k ? (*k)->n + 1 : 1;
  if (!k || n * len_bytes > KEEP_BYTES) {
    free(p);
    return;
  }
  struct io_kept *c = (struct io_kept *)p;
  *c = (struct io_kept){*k, n};
  *k = c;
}

void io_mem_trim(io_mem *x) {
  for (unsigned i = 0; i < IO_MEM_SIZES; i++)
    while (x->kept[i]) {
      struct io_kept *c = x->kept[i];
      x->kept[i] = c->next;
      free(c);
    }
}

void io_mem_init(io_mem *x, size_t limit_bytes) { *x = (io_mem){.m = {mem_get, mem_put, x}, .limit_bytes = limit_bytes}; }
