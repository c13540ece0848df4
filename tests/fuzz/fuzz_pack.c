/* The codec of values: what is accepted packs again to a value that packs to the same bytes. */
#include <stdlib.h>
#include "pack.h"

static void *get(mem *m, size_t n) { (void)m; return malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n; free(p); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mem m = {get, put, NULL};
  arena a;
  val v, w;
  buf b, c;
  arena_init(&a, &m, 64 << 20);
  buf_init(&b, &a, 16 << 20);
  buf_init(&c, &a, 16 << 20);
  if (!pack_read(&a, data, size, NULL, &v) && !pack_val(&b, v, NULL)) {
    if (pack_read(&a, b.p, b.len, NULL, &w) || pack_val(&c, w, NULL) || b.len != c.len || memcmp(b.p, c.p, b.len)) abort();
  }
  arena_free(&a);
  return 0;
}
