/* Any bytes into the JSON reader: it answers, and what it accepts it writes, reads and writes again to the same bytes, compact and laid out.
 * The first byte chooses options. */
#include <stdlib.h>
#include <string.h>
#include "json.h"

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

static void must(bool ok) {
  if (!ok) abort();
}

/* What the header promises of a value that was read. */
static void check(val v) {
  if (v.tag == VAL_OBJ) {
    unsigned under = 0;
    for (uint32_t i = 0; i < v.len; i++) {
      val k = v.u.v[2 * i];
      must(k.tag == VAL_STR && k.flags == 0 && k.aux == val_key_hash(k.u.s, k.len));
      if (k.len && k.u.s[0] == '_') under = VALF_UNDERSCORE;
      check(v.u.v[2 * i + 1]);
    }
    must(v.flags == under);
  } else if (v.tag == VAL_LIST) {
    bool uneven = false;
    for (uint32_t i = 0; i < v.len; i++) {
      val x = v.u.v[i];
      uneven |= x.tag == VAL_NUM || x.tag == VAL_NULL || x.tag == VAL_LIST || (x.flags & VALF_ESC);
      check(x);
    }
    must(v.flags == (VALF_ARRAY | (uneven ? VALF_UNEVEN : 0)));
  } else must(v.tag == VAL_STR || v.tag == VAL_NUM || v.tag == VAL_BOOL || v.tag == VAL_NULL);
}

static void write_again(arena *a, json_reader *r, val v, const json_opts *o, const json_wopts *w) {
  buf b, c;
  val x;
  buf_init(&b, a, 1 << 26);
  buf_init(&c, a, 1 << 26);
  must(json_write(v, &b, w) == HDW_OK);
  must(json_read(r, a, b.p, b.len, o, &x, NULL) == HDW_OK);
  check(x);
  must(json_write(x, &c, w) == HDW_OK);
  must(b.len == c.len && memcmp(b.p, c.p, b.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  json_opts o = {.max_depth = data[0] & 1 ? 1000 : 0, .duplicate_keys = data[0] & 2 ? JSON_DUP_KEEP : JSON_DUP_REJECT};
  json_wopts compact = {.max_depth = 1000}, pretty = {.max_depth = 1000, .pretty = true};
  const char *s = (const char *)data + 1;
  size_t n = size - 1, used = 0;
  mem m = {get, put, NULL};
  arena a;
  json_reader r;
  json_error err = {0};
  val v;
  arena_init(&a, &m, 0);
  json_reader_init(&r, &m);
  if (json_read(&r, &a, s, n, &o, &v, &err) == HDW_OK) {
    check(v);
    write_again(&a, &r, v, &o, &compact);
    write_again(&a, &r, v, &o, &pretty);
  } else must(v.tag == VAL_EMPTY && err.expected && err.offset <= n && err.line >= 1 && err.column >= 1);
  for (size_t at = 0; at < n && json_read_one(&r, &a, s + at, n - at, &o, &used, &v, NULL) == HDW_OK; at += used) must(used > 0);
  json_lines it;
  json_lines_init(&it, s, n);
  for (hdw_status st = HDW_OK; st != HDW_E_NOTFOUND;) st = json_lines_next(&it, &r, &a, &o, &v, &err);
  buf b;
  buf_init(&b, &a, 1 << 26);
  json_write_str(&b, s, n);
  must(json_read(&r, &a, b.p, b.len, NULL, &v, NULL) == HDW_OK && v.tag == VAL_STR);
  json_reader_free(&r);
  arena_free(&a);
  return 0;
}
