#include "io.h"
#include <stdlib.h>

/* Messages and their arenas come and go with the same few sizes: some blocks of each size are kept instead of going back and forth to malloc, which would split,
 * merge and trim them each time. Not under AddressSanitizer, which must see every free.
 *
 * Sizes are multiples of 64 bytes up to 1 KiB, then four to each power of two up to 256 KiB: 1280, 1536, 1792, 2048, 2560 ... Larger blocks are malloc's. */
enum { STEP = 64, FINE_BYTES = 1024, FINE = FINE_BYTES / STEP, KEPT_BYTES = 256 << 10, KEEP_BYTES = 512 << 10 /* of each size */ };
_Static_assert(IO_MEM_SIZES == FINE + 4 * 8, "four sizes to each of the powers from 1 KiB to 256 KiB");
#if defined(__SANITIZE_ADDRESS__) || defined(HDW_ARENA_ASAN)
enum { KEEPS = 0 };
#else
enum { KEEPS = 1 };
#endif

/* The list for blocks of len bytes, which becomes the size of these blocks; NULL: there is none. */
static struct io_kept **kept_of(io_mem *x, size_t *len) {
  size_t n = *len - 1;
  if (!KEEPS || n >= KEPT_BYTES) return NULL;
  if (n < FINE_BYTES) {
    *len = (n / STEP + 1) * STEP;
    return &x->kept[n / STEP];
  }
  unsigned power = 63 - (unsigned)__builtin_clzll(n), shift = power - 2;
  *len = ((n >> shift) + 1) << shift;
  return &x->kept[FINE + (power - 10) * 4 + (n >> shift) % 4];
}

static void *mem_get(mem *m, size_t len_bytes) {
  io_mem *x = (io_mem *)m->user;
  if (len_bytes == 0) len_bytes = 1;
  if (x->limit_bytes && len_bytes > x->limit_bytes - x->used_bytes) return NULL;
  size_t size = len_bytes;
  struct io_kept **k = kept_of(x, &size);
  void *p = k ? *k : NULL;
  if (p) *k = (*k)->next;
  else p = malloc(size);
  if (!p) return NULL;
  x->used_bytes += len_bytes;
  if (x->used_bytes > x->peak_bytes) x->peak_bytes = x->used_bytes;
  return p;
}

static void mem_put(mem *m, void *p, size_t len_bytes) {
  io_mem *x = (io_mem *)m->user;
  if (!p) return;
  if (len_bytes == 0) len_bytes = 1;
  x->used_bytes -= len_bytes;
  size_t size = len_bytes;
  struct io_kept **k = kept_of(x, &size);
  size_t n = k && *k ? (*k)->n + 1 : 1;
  if (!k || n * size > KEEP_BYTES) {
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
