/* Character sets (first byte: which): anything becomes well-formed UTF-8; what was converted without loss comes back to the same bytes. */
#include <stdlib.h>
#include <string.h>
#include "charset.h"

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static void must(bool ok) { if (!ok) abort(); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  mem m = {get, put, NULL};
  arena a;
  charset_id id = (charset_id)(data[0] % (CHARSET_UNKNOWN + 1));
  size_t n = size - 1, len, back_len, bad = 0, at = 0, mark = 0;
  const char *out, *back;
  char *t = malloc(n + 1);
  memcpy(t, data + 1, n);
  arena_init(&a, &m, 1 << 24);
  (void)charset_find(t, n);
  must(charset_name(id) && charset_refusal(id));
  if (charset_to_utf8(&a, id, t, n, &out, &len, &bad) == HDW_OK) {
    must(charset_utf8_prefix(out, len) == len);
    if (!bad && id != CHARSET_AUTO && charset_supported(id)) {
      hdw_status s = charset_from_utf8(&a, id, out, len, &back, &back_len, &at);
      must(s == HDW_OK && back_len == n && memcmp(back, t, n) == 0);
    }
  }
  if (charset_utf8_prefix(t, n) == n && charset_from_utf8(&a, id, t, n, &out, &len, &at) == HDW_OK && charset_to_utf8(&a, id, out, len, &back, &back_len, &bad) == HDW_OK && !bad)
    must(back_len == n && memcmp(back, t, n) == 0);
  charset_id wide = charset_bom(t, n, &mark);
  must(mark <= n);
  if ((wide == CHARSET_UTF16 || wide == CHARSET_UTF32) && charset_wide_to_utf8(&a, wide, t, n, &out, &len, &bad) == HDW_OK) must(charset_utf8_prefix(out, len) == len);
  free(t);
  arena_free(&a);
  return 0;
}
