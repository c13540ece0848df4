/* The writer of JSON: each kind of value, escapes, layout, bounds; what was read is written back byte for byte. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "support.h"

typedef struct fix {
  test_mem tm;
  arena a;
  json_reader r;
} fix;

static void fix_init(fix *f) {
  test_mem_init(&f->tm);
  arena_init(&f->a, &f->tm.m, 0);
  json_reader_init(&f->r, &f->tm.m);
}
static void fix_done(fix *f) {
  arena_free(&f->a);
  json_reader_free(&f->r);
  assert_int_equal(f->tm.live_bytes, 0);
}
static void writes_opts(fix *f, val v, const json_wopts *o, const char *want, size_t len) {
  buf b;
  buf_init(&b, &f->a, 1 << 20);
  hdw_status st = json_write(v, &b, o);
  if (st || b.len != len || memcmp(b.p, want, len) != 0) fail_msg("%d: got %.*s, want %s", st, (int)b.len, b.p ? b.p : "", want);
}
static void writes(fix *f, val v, const char *want) { writes_opts(f, v, NULL, want, strlen(want)); }
static val read_ok(fix *f, const char *s) {
  val v;
  json_error e;
  hdw_status st = json_read(&f->r, &f->a, s, strlen(s), NULL, &v, &e);
  if (st) fail_msg("%s: %d at %zu %s", s, st, e.offset, e.expected);
  return v;
}

static void test_scalars(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  writes(&f, VAL_NONE, "null");
  writes(&f, val_bool(true), "true");
  writes(&f, val_bool(false), "false");
  writes(&f, val_int(0), "0");
  writes(&f, val_int(-2147483648), "-2147483648");
  writes(&f, val_long(INT64_MAX), "9223372036854775807");
  writes(&f, val_long(INT64_MIN), "-9223372036854775808");
  writes(&f, val_cstr("a"), "\"a\"");
  writes(&f, (val){.tag = VAL_NULL}, "null");
  val v;
  dec d;
  assert_int_equal(dec_parse("1.10", 4, &d), HDW_OK);
  assert_int_equal(val_from_dec(&f.a, &d, &v), HDW_OK);
  writes(&f, v, "1.10");
  assert_int_equal(dec_parse("-12345678901234567890.123456789012", 34, &d), HDW_OK);
  assert_int_equal(val_from_dec(&f.a, &d, &v), HDW_OK);
  writes(&f, v, "-12345678901234567890.123456789012");
  tm_val t;
  assert_int_equal(tm_parse_date("2012-01", 7, &t), HDW_OK);
  writes(&f, val_from_time(VAL_DATE, &t), "\"2012-01\"");
  assert_int_equal(tm_parse_datetime("2024-01-15T10:30:00.120+05:30", 29, &t), HDW_OK);
  writes(&f, val_from_time(VAL_DATETIME, &t), "\"2024-01-15T10:30:00.120+05:30\"");
  assert_int_equal(tm_parse_time("14:30:14.559", 12, &t), HDW_OK);
  writes(&f, val_from_time(VAL_TIME, &t), "\"14:30:14.559\"");
  writes(&f, (val){.tag = VAL_BIN, .len = 4, .u.s = "\0\xff\x10z"}, "\"AP8Qeg==\"");
  fix_done(&f);
}

static void test_binary_of_every_length(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  static const size_t n[] = {0, 1, 3071, 3072, 3073, 3074, 10000};
  char *bytes = (char *)calloc(10000, 1);
  for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
    buf b;
    buf_init(&b, &f.a, 1 << 20);
    assert_int_equal(json_write((val){.tag = VAL_BIN, .len = (uint32_t)n[i], .u.s = bytes}, &b, NULL), HDW_OK);
    assert_int_equal(b.len, 2 + (n[i] + 2) / 3 * 4);
    size_t a = 0;
    while (a + 1 < b.len && b.p[a + 1] == 'A') a++;
    assert_int_equal(a, n[i] / 3 * 4 + (n[i] % 3 ? n[i] % 3 + 1 : 0));
  }
  free(bytes);
  fix_done(&f);
}

static void test_quantities(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  dec d;
  val v;
  assert_int_equal(dec_parse("4.50", 4, &d), HDW_OK);
  assert_int_equal(val_from_qty(&f.a, &d, "mg", 2, false, &v), HDW_OK);
  writes(&f, v, "{\"value\":4.50,\"unit\":\"mg\",\"code\":\"mg\"}");
  json_wopts pretty = {.pretty = true};
  const char *want = "{\n  \"value\": 4.50,\n  \"unit\": \"mg\",\n  \"code\": \"mg\"\n}";
  writes_opts(&f, v, &pretty, want, strlen(want));
  assert_int_equal(val_from_qty(&f.a, &d, "day", 3, true, &v), HDW_OK);
  writes(&f, v, "{\"value\":4.50,\"unit\":\"day\"}");
  fix_done(&f);
}

static void test_escapes(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  writes(&f, val_cstr("a\"b\\c/d\b\f\n\r\t\x01\x1f\x7f"), "\"a\\\"b\\\\c/d\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  writes(&f, val_str("x\0y", 3), "\"x\\u0000y\"");
  writes(&f, val_cstr("M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80"), "\"M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80\"");
  writes(&f, val_cstr("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\"");
  /* never anything but UTF-8 */
  writes(&f, val_cstr("a\xff" "b\xc3" "c\xed\xa0\x80"), "\"a\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  /* escapes of the input are copied, but what must be escaped is */
  val e = val_cstr("a\\u0041\\\"\\/\\\\\xe2\x80\xa8" "b");
  e.flags = VALF_ESC;
  writes(&f, e, "\"a\\u0041\\\"\\/\\\\\\u2028b\"");
  /* every byte at every distance from the vector width */
  for (unsigned c = 0; c < 0x80; c++)
    for (size_t at = 0; at < 40; at++) {
      char s[41], back[64];
      memset(s, 'x', 40);
      s[at] = (char)c;
      buf b;
      buf_init(&b, &f.a, 1000);
      json_write_str(&b, s, 40);
      val v, n;
      memcpy(back, b.p, b.len);
      assert_int_equal(json_read(&f.r, &f.a, back, b.len, NULL, &v, NULL), HDW_OK);
      assert_int_equal(val_norm(&f.a, v, &n), HDW_OK);
      assert_int_equal(n.len, 40);
      assert_memory_equal(n.u.s, s, 40);
    }
  fix_done(&f);
}

static void test_containers(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  val two[2] = {val_int(1), VAL_NONE};
  writes(&f, (val){.tag = VAL_LIST, .len = 2, .u.v = two}, "[1,null]");
  writes(&f, (val){.tag = VAL_LIST, .len = 1, .u.v = two}, "[1]");
  writes(&f, (val){.tag = VAL_LIST, .len = 0, .u.v = two}, "[]");
  writes(&f, (val){.tag = VAL_OBJ, .len = 0, .u.v = two}, "{}");
  val one = val_int(7), none = VAL_NONE, obj;
  one.flags = none.flags = VALF_ARRAY;
  writes(&f, one, "[7]");
  writes(&f, none, "[]");
  val m[8] = {val_key("a", 1), one, val_key("b", 1), VAL_NONE, val_key("c", 1), none, val_key("d\"", 2), val_bool(true)};
  obj = (val){.tag = VAL_OBJ, .len = 4, .u.v = m};
  writes(&f, obj, "{\"a\":[7],\"c\":[],\"d\\\"\":true}");
  json_wopts keep = {.keep_empty = true}, pretty = {.pretty = true};
  const char *want = "{\"a\":[7],\"b\":null,\"c\":[],\"d\\\"\":true}";
  writes_opts(&f, obj, &keep, want, strlen(want));
  want = "{\n  \"a\": [\n    7\n  ],\n  \"c\": [],\n  \"d\\\"\": true\n}";
  writes_opts(&f, obj, &pretty, want, strlen(want));
  obj.flags = VALF_ARRAY;
  writes(&f, obj, "[{\"a\":[7],\"c\":[],\"d\\\"\":true}]");
  val gone[2] = {val_key("a", 1), VAL_NONE};
  obj = (val){.tag = VAL_OBJ, .len = 1, .u.v = gone};
  writes_opts(&f, obj, &pretty, "{}", 2);
  fix_done(&f);
}

static void test_templates(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  val parts[5] = {val_cstr("a\""), val_int(5), val_cstr(""), VAL_NONE, val_cstr("\n")};
  writes(&f, (val){.tag = VAL_TPL, .len = 5, .u.v = parts}, "\"a\\\"5\\n\"");
  fix_done(&f);
}

static hdw_status hl7_stub(void *user, val node, buf *out) {
  (void)node;
  buf_puts(out, (const char *)user);
  return HDW_OK;
}

static void test_unwritable_values(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  static const uint8_t tags[] = {VAL_HANDLE, VAL_TYPE, VAL_BUILDER, VAL_HL7, VAL_TAG_COUNT, 200};
  for (size_t i = 0; i < sizeof tags; i++) {
    val v = {.tag = tags[i]};
    val list = {.tag = VAL_LIST, .len = 1, .u.v = &v};
    buf b;
    buf_init(&b, &f.a, 1000);
    assert_int_equal(json_write(list, &b, NULL), HDW_E_TYPE);
  }
  json_wopts o = {.hl7 = hl7_stub, .hl7_user = (void *)(uintptr_t)"{\"MSH\":1}"};
  writes_opts(&f, (val){.tag = VAL_HL7}, &o, "{\"MSH\":1}", 9);
  fix_done(&f);
}

static void test_limits(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  char s[402];
  memset(s, '[', 200);
  memset(s + 200, ']', 200);
  s[400] = 0;
  json_opts deep = {.max_depth = 200};
  val v;
  assert_int_equal(json_read(&f.r, &f.a, s, 400, &deep, &v, NULL), HDW_OK);
  buf b;
  buf_init(&b, &f.a, 1000);
  assert_int_equal(json_write(v, &b, NULL), HDW_E_LIMIT);
  json_wopts o = {.max_depth = 200};
  writes_opts(&f, v, &o, s, 400);
  static const char text[] = "{\"a\":[1,2,3],\"b\":\"text with some length \\n\"}";
  v = read_ok(&f, text);
  for (size_t max = 0; max <= sizeof text; max++) {
    buf_init(&b, &f.a, max);
    hdw_status st = json_write(v, &b, NULL);
    assert_true(b.len <= max);
    assert_int_equal(st, max < sizeof text - 1 ? HDW_E_LIMIT : HDW_OK);
  }
  fix_done(&f);
}

static void test_out_of_memory(void **state) {
  (void)state;
  unsigned failed = 0, passed = 0;
  for (size_t limit = 1; limit < 400000; limit += 1999) {
    fix f;
    fix_init(&f);
    char s[400];
    memset(s, '[', 200);
    memset(s + 200, ']', 200);
    json_opts deep = {.max_depth = 200};
    json_wopts o = {.max_depth = 200, .pretty = true};
    val v;
    assert_int_equal(json_read(&f.r, &f.a, s, 400, &deep, &v, NULL), HDW_OK);
    arena out;
    arena_init(&out, &f.tm.m, limit);
    buf b;
    buf_init(&b, &out, 1 << 20);
    hdw_status st = json_write(v, &b, &o);
    assert_true(st == HDW_OK || st == HDW_E_NOMEM);
    *(st == HDW_OK ? &passed : &failed) += 1;
    arena_free(&out);
    fix_done(&f);
  }
  assert_true(failed > 10 && passed > 10);
}

/* The text without the white space between tokens. */
static size_t minify(const char *s, size_t n, char *out) {
  size_t k = 0;
  bool in_string = false;
  for (size_t i = 0; i < n; i++) {
    if (in_string && s[i] == '\\') out[k++] = s[i++];
    else if (s[i] == '"') in_string = !in_string;
    else if (!in_string && strchr(" \t\r\n", s[i])) continue;
    out[k++] = s[i];
  }
  return k;
}

/* Documents come back byte for byte but for the layout; pretty output reads as the same document. */
static void test_fhir_examples_come_back(void **state) {
  (void)state;
  const char *folder = HDW_SOURCE_DIR "/tests/conformance/fhir-examples";
  DIR *d = opendir(folder);
  assert_non_null(d);
  unsigned files = 0;
  for (struct dirent *e; (e = readdir(d));) {
    if (!strstr(e->d_name, ".json")) continue;
    char path[600];
    snprintf(path, sizeof path, "tests/conformance/fhir-examples/%s", e->d_name);
    fix f;
    fix_init(&f);
    size_t len;
    char *s = test_read_file(path, &len), *want = (char *)malloc(len);
    size_t n = minify(s, len, want);
    val v, w;
    json_error err;
    hdw_status st = json_read(&f.r, &f.a, s, len, NULL, &v, &err);
    if (st) fail_msg("%s: %d at %zu %s", path, st, err.offset, err.expected);
    buf b, p, c;
    buf_init(&b, &f.a, 1 << 22);
    assert_int_equal(json_write(v, &b, NULL), HDW_OK);
    if (b.len != n || memcmp(b.p, want, n) != 0) fail_msg("%s is not written as it was read", path);
    json_wopts pretty = {.pretty = true};
    buf_init(&p, &f.a, 1 << 22);
    assert_int_equal(json_write(v, &p, &pretty), HDW_OK);
    assert_int_equal(json_read(&f.r, &f.a, p.p, p.len, NULL, &w, &err), HDW_OK);
    buf_init(&c, &f.a, 1 << 22);
    assert_int_equal(json_write(w, &c, NULL), HDW_OK);
    assert_int_equal(c.len, n);
    assert_memory_equal(c.p, want, n);
    free(s);
    free(want);
    fix_done(&f);
    files++;
  }
  closedir(d);
  assert_true(files >= 25);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_binary_of_every_length),
      cmocka_unit_test(test_quantities),
      cmocka_unit_test(test_escapes),
      cmocka_unit_test(test_containers),
      cmocka_unit_test(test_templates),
      cmocka_unit_test(test_unwritable_values),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_fhir_examples_come_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
