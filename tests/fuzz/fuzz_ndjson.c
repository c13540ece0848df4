/* Lines of NDJSON and streams of values: forward on every line, also after a bad one; each good line is what json_read says of it alone. */
#include <stdlib.h>
#include <string.h>
#include "json.h"

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static void must(bool ok) { if (!ok) abort(); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mem m = {get, put, NULL};
  arena a;
  json_reader r, again;
  json_lines it;
  json_error e;
  json_opts o = {.max_depth = size && data[0] & 1 ? 8 : 0};
  val v, w;
  char *t = malloc(size + 1);
  memcpy(t, data, size);
  arena_init(&a, &m, 1 << 26);
  json_reader_init(&r, &m);
  json_reader_init(&again, &m);
  json_lines_init(&it, t, size);
  uint64_t lines = 0;
  for (;;) {
    size_t from = it.pos;
    memset(&e, 0, sizeof e);
    hdw_status s = json_lines_next(&it, &r, &a, &o, &v, &e);
    if (s == HDW_E_NOTFOUND) break;
    must(it.pos > from && it.pos <= size && it.line > lines);
    lines = it.line;
    if (s) {
      must(v.tag == VAL_EMPTY && e.offset <= size && (s == HDW_E_NOMEM || e.line));
      continue;
    }
    buf x;
    buf_init(&x, &a, 1 << 25);
    must(json_write(v, &x, NULL) == HDW_OK && !memchr(x.p, '\n', x.len));
    must(json_read(&again, &a, x.p, x.len, NULL, &w, NULL) == HDW_OK);
  }
  must(it.pos == size);
  size_t at = 0;
  for (int i = 0; i < 1000 && at < size; i++) {
    size_t used = 0;
    if (json_read_one(&again, &a, t + at, size - at, &o, &used, &v, &e)) break;
    must(used > 0 && used <= size - at);
    at += used;
  }
  json_reader_free(&r);
  json_reader_free(&again);
  arena_free(&a);
  free(t);
  return 0;
}
