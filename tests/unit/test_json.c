/* The reader of JSON: grammar, what values it makes, errors and their places, limits, memory. */
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
  json_error err;
} fix;

static void fix_init(fix *f) {
  memset(f, 0, sizeof *f);
  test_mem_init(&f->tm);
  arena_init(&f->a, &f->tm.m, 0);
  json_reader_init(&f->r, &f->tm.m);
}
static void fix_done(fix *f) {
  arena_free(&f->a);
  json_reader_free(&f->r);
  assert_int_equal(f->tm.live_bytes, 0);
}

/* Reads a copy of exactly n bytes from malloc, so that ASan sees every read beyond it. The copy is given back in *keep. */
static hdw_status read_exact(fix *f, const char *s, size_t n, const json_opts *o, val *v, char **keep) {
  char *p = (char *)malloc(n ? n : 1);
  assert_non_null(p);
  memcpy(p, s, n);
  hdw_status st = json_read(&f->r, &f->a, p, n, o, v, &f->err);
  if (keep) *keep = p;
  else free(p);
  return st;
}
static val ok(fix *f, const char *s) {
  val v;
  hdw_status st = json_read(&f->r, &f->a, s, strlen(s), NULL, &v, &f->err);
  if (st) fail_msg("%s: %s at %zu, expected %s", s, hdw_status_name(st), f->err.offset, f->err.expected);
  return v;
}
static void bad(const char *s, size_t n, hdw_status want, size_t offset, const char *expected) {
  fix f;
  fix_init(&f);
  val v = val_int(1);
  hdw_status st = read_exact(&f, s, n, NULL, &v, NULL);
  if (st != want || f.err.offset != offset || !strstr(f.err.expected, expected))
    fail_msg("%.60s: %s at %zu, expected %s", s, hdw_status_name(st), f.err.offset, f.err.expected);
  assert_int_equal(v.tag, VAL_EMPTY);
  fix_done(&f);
}
static void is_text(val v, unsigned tag, const char *s) {
  assert_int_equal(v.tag, tag);
  assert_int_equal(v.len, strlen(s));
  assert_memory_equal(v.u.s, s, v.len);
}

static void test_values(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  const char *text = " {\"a\":[1, true ,\"x\"],\"_b\":null,\"\":{}, \"long name beyond sixteen bytes\":\"a\\nb\"}\r\n";
  val v = ok(&f, text);
  assert_int_equal(v.tag, VAL_OBJ);
  assert_int_equal(v.len, 4);
  assert_int_equal(v.flags, VALF_UNDERSCORE);
  const val *p = v.u.v;
  is_text(p[0], VAL_STR, "a");
  assert_ptr_equal(p[0].u.s, text + 3);
  for (int i = 0; i < 4; i++) assert_int_equal(p[2 * i].aux, val_key_hash(p[2 * i].u.s, p[2 * i].len));
  assert_int_equal(p[1].tag, VAL_LIST);
  assert_int_equal(p[1].len, 3);
  assert_int_equal(p[1].flags, VALF_ARRAY | VALF_UNEVEN);
  is_text(p[1].u.v[0], VAL_NUM, "1");
  assert_int_equal(p[1].u.v[1].tag, VAL_BOOL);
  assert_int_equal(p[1].u.v[1].u.i, 1);
  is_text(p[1].u.v[2], VAL_STR, "x");
  is_text(p[2], VAL_STR, "_b");
  assert_int_equal(p[3].tag, VAL_NULL);
  is_text(p[4], VAL_STR, "");
  assert_int_equal(p[5].tag, VAL_OBJ);
  assert_int_equal(p[5].len, 0);
  assert_int_equal(p[5].flags, 0);
  is_text(p[7], VAL_STR, "a\\nb");
  assert_int_equal(p[7].flags, VALF_ESC);
  fix_done(&f);
}

static void test_list_flags(void **state) {
  (void)state;
  static const struct { const char *text; unsigned flags; } row[] = {
      {"[]", VALF_ARRAY},
      {"[true,false]", VALF_ARRAY},
      {"[\"a\",\"b\",{\"x\":1}]", VALF_ARRAY},
      {"[{\"x\":[1]},{\"x\":null}]", VALF_ARRAY},
      {"[\"a\",1]", VALF_ARRAY | VALF_UNEVEN},
      {"[null]", VALF_ARRAY | VALF_UNEVEN},
      {"[\"a\",[]]", VALF_ARRAY | VALF_UNEVEN},
      {"[\"a\",\"\\u0041\"]", VALF_ARRAY | VALF_UNEVEN},
  };
  fix f;
  fix_init(&f);
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    val v = ok(&f, row[i].text);
    assert_int_equal(v.tag, VAL_LIST);
    if (v.flags != row[i].flags) fail_msg("%s: flags %u", row[i].text, v.flags);
  }
  fix_done(&f);
}

/* An outer object keeps its own "has a name with '_'" when an inner one closes. */
static void test_underscore_is_per_object(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  val v = ok(&f, "{\"_a\":{\"b\":1},\"c\":{\"_d\":1}}");
  assert_int_equal(v.flags, VALF_UNDERSCORE);
  assert_int_equal(v.u.v[1].flags, 0);
  assert_int_equal(v.u.v[3].flags, VALF_UNDERSCORE);
  v = ok(&f, "{\"a\":{\"_b\":1},\"c\":[{\"_d\":1}]}");
  assert_int_equal(v.flags, 0);
  v = ok(&f, "{\"\\u005fa\":1}");
  assert_int_equal(v.flags, VALF_UNDERSCORE);
  fix_done(&f);
}

static void test_escaped_names_are_resolved(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  val v = ok(&f, "{\"\\u0069d\":1,\"\\ud834\\udd1e\\n\\\"\":2,\"M\xc3\xbcller\":3}");
  is_text(v.u.v[0], VAL_STR, "id");
  assert_int_equal(v.u.v[0].flags, 0);
  assert_int_equal(v.u.v[0].aux, val_key_hash("id", 2));
  is_text(v.u.v[2], VAL_STR, "\xf0\x9d\x84\x9e\n\"");
  is_text(v.u.v[4], VAL_STR, "M\xc3\xbcller");
  const val *m = val_obj_get(v, val_key("id", 2));
  assert_non_null(m);
  is_text(*m, VAL_NUM, "1");
  fix_done(&f);
}

/* F6: nothing is lost: U+0000, all digits, 64-bit integers, exponents, trailing zeros. */
static void test_F6_nothing_is_lost(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  is_text(ok(&f, "9007199254740993"), VAL_NUM, "9007199254740993");
  is_text(ok(&f, "1.10"), VAL_NUM, "1.10");
  is_text(ok(&f, "-0"), VAL_NUM, "-0");
  is_text(ok(&f, "1e999"), VAL_NUM, "1e999");
  is_text(ok(&f, "-12.50E+07"), VAL_NUM, "-12.50E+07");
  val v, n;
  v = ok(&f, "\"x\\u0000y\"");
  assert_int_equal(val_norm(&f.a, v, &n), HDW_OK);
  assert_int_equal(n.len, 3);
  assert_memory_equal(n.u.s, "x\0y", 3);
  char big[2001];
  memset(big, '7', sizeof big);
  big[2000] = 0;
  is_text(ok(&f, big), VAL_NUM, big);
  fix_done(&f);
}

static void test_errors_name_place_and_expectation(void **state) {
  (void)state;
#define BAD(s, st, off, exp) bad(s, sizeof s - 1, st, off, exp)
  BAD("", HDW_E_SYNTAX, 0, "a value");
  BAD(" \n", HDW_E_SYNTAX, 2, "a value");
  BAD("{} {}", HDW_E_SYNTAX, 3, "the end of the text");
  BAD("1 2", HDW_E_SYNTAX, 2, "the end of the text");
  BAD("{\"a\" 1}", HDW_E_SYNTAX, 5, "':'");
  BAD("{\"a\":}", HDW_E_SYNTAX, 5, "a value");
  BAD("{\"a\":1,}", HDW_E_SYNTAX, 7, "a member name");
  BAD("{\"a\":1 \"b\":2}", HDW_E_SYNTAX, 7, "',' or '}'");
  BAD("{\"a\":1]", HDW_E_SYNTAX, 6, "',' or '}'");
  BAD("{a:1}", HDW_E_SYNTAX, 1, "a member name or '}'");
  BAD("{", HDW_E_SYNTAX, 1, "a member name or '}'");
  BAD("{\"a\"", HDW_E_SYNTAX, 4, "':'");
  BAD("{\"a\":", HDW_E_SYNTAX, 5, "a value");
  BAD("{\"a\":1", HDW_E_SYNTAX, 6, "',' or '}'");
  BAD("{\"a\":1,", HDW_E_SYNTAX, 7, "a member name");
  BAD("[1,]", HDW_E_SYNTAX, 3, "a value");
  BAD("[1}", HDW_E_SYNTAX, 2, "',' or ']'");
  BAD("[1", HDW_E_SYNTAX, 2, "',' or ']'");
  BAD("[", HDW_E_SYNTAX, 1, "a value or ']'");
  BAD("]", HDW_E_SYNTAX, 0, "a value");
  BAD("01", HDW_E_SYNTAX, 1, "no digit after a leading zero");
  BAD("1.", HDW_E_SYNTAX, 2, "a digit");
  BAD("1.e1", HDW_E_SYNTAX, 2, "a digit");
  BAD("-", HDW_E_SYNTAX, 1, "a digit");
  BAD("1e+", HDW_E_SYNTAX, 3, "a digit");
  BAD("+1", HDW_E_SYNTAX, 0, "a value");
  BAD("NaN", HDW_E_SYNTAX, 0, "a value");
  BAD("nul", HDW_E_SYNTAX, 0, "a value");
  BAD("truex", HDW_E_SYNTAX, 4, "the end of the text");
  BAD("\"a", HDW_E_SYNTAX, 2, "the closing quote");
  BAD("\"a\\", HDW_E_SYNTAX, 3, "the rest of a string");
  BAD("\"a\\x\"", HDW_E_SYNTAX, 2, "one of the escapes");
  BAD("\"\\u12g4\"", HDW_E_SYNTAX, 1, "hexadecimal");
  BAD("\"\\u12", HDW_E_SYNTAX, 1, "hexadecimal");
  BAD("\"a\tb\"", HDW_E_SYNTAX, 2, "control");
  BAD("\"0123456789abcdef\x01\"", HDW_E_SYNTAX, 17, "control");
  BAD("\"a\0b\"", HDW_E_SYNTAX, 2, "control");
  BAD("\"\\ud800\"", HDW_E_CHARSET, 1, "surrogate");
  BAD("\"\\ud800\\u0041\"", HDW_E_CHARSET, 1, "surrogate");
  BAD("\"\\udc00\"", HDW_E_CHARSET, 1, "surrogate");
  BAD("\"a\xc0\xaf\"", HDW_E_CHARSET, 2, "UTF-8");
  BAD("\"\xed\xa0\x80\"", HDW_E_CHARSET, 1, "UTF-8");
  BAD("\"\xf4\x90\x80\x80\"", HDW_E_CHARSET, 1, "UTF-8");
  BAD("\"\xe2\x82", HDW_E_CHARSET, 1, "UTF-8");
  BAD("{\"\xff\":1}", HDW_E_CHARSET, 2, "UTF-8");
  BAD("{\"a\":1,\"b\":2,\"a\":3}", HDW_E_EXISTS, 13, "only once");
  BAD("{\"a\":1,\"\\u0061\":3}", HDW_E_EXISTS, 17, "only once");
  BAD("\xef\xbb\xbf\xef\xbb\xbf{}", HDW_E_SYNTAX, 3, "a value");
#undef BAD
  fix f;
  fix_init(&f);
  val v;
  assert_int_equal(read_exact(&f, "{\n \"\xc3\xbc\": tru\n}", 14, NULL, &v, NULL), HDW_E_SYNTAX);
  assert_int_equal(f.err.line, 2);
  assert_int_equal(f.err.column, 7);
  fix_done(&f);
}

/* Every proper prefix of a text is refused, without a read beyond its end. */
static void test_prefixes_are_refused(void **state) {
  (void)state;
  static const char text[] =
      "{\"resourceType\":\"Patient\",\"active\":true,\"x\":[1.5e3,null,false,{\"\\u00e9\":\"\\ud83d\\ude00 and a longer piece of text \xc3\xa9\"}],\"y\":{}}";
  fix f;
  fix_init(&f);
  for (size_t n = 0; n < sizeof text - 1; n++) {
    val v;
    if (read_exact(&f, text, n, NULL, &v, NULL) == HDW_OK) fail_msg("prefix of %zu bytes accepted", n);
    assert_true(f.err.offset <= n);
    arena_reset(&f.a);
  }
  char *keep;
  val v;
  assert_int_equal(read_exact(&f, text, sizeof text - 1, NULL, &v, &keep), HDW_OK);
  free(keep);
  fix_done(&f);
}

/* Each special byte at each place of a string, around the width of the vector unit. */
static void test_strings_of_every_length(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  for (size_t n = 0; n < 70; n++) {
    char s[80];
    memset(s, 'a', sizeof s);
    s[0] = '"';
    s[n + 1] = '"';
    val v;
    char *keep;
    assert_int_equal(read_exact(&f, s, n + 2, NULL, &v, &keep), HDW_OK);
    assert_int_equal(v.len, n);
    assert_int_equal(v.flags, 0);
    free(keep);
    for (size_t at = 1; at + 1 <= n; at++) {
      char t[80];
      memcpy(t, s, sizeof t);
      t[at] = 1;
      assert_int_equal(read_exact(&f, t, n + 2, NULL, &v, NULL), HDW_E_SYNTAX);
      assert_int_equal(f.err.offset, at);
      t[at] = (char)0xe9;
      assert_int_equal(read_exact(&f, t, n + 2, NULL, &v, NULL), HDW_E_CHARSET);
      assert_int_equal(f.err.offset, at);
      t[at] = '\\';
      t[at + 1] = at + 1 <= n ? 'n' : t[at + 1];
      assert_int_equal(read_exact(&f, t, n + 2, NULL, &v, &keep), HDW_OK);
      assert_int_equal(v.flags, VALF_ESC);
      free(keep);
    }
  }
  fix_done(&f);
}

static void test_blanks_of_every_length(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  for (size_t n = 0; n < 50; n++) {
    char s[512];
    int len = snprintf(s, sizeof s, "%*s{%*s\"a\"%*s:%*s[1%*s,2%*s]%*s}%*s", (int)n, "", (int)n, "", (int)n, "", (int)n, "", (int)n / 4, "",
                       (int)n / 8, "", (int)n / 2, "", (int)n / 4, "");
    assert_true(len < (int)sizeof s);
    for (int i = 0; i < len; i++)
      if (s[i] == ' ') s[i] = " \t\r\n"[i & 3];
    val v;
    char *keep;
    assert_int_equal(read_exact(&f, s, (size_t)len, NULL, &v, &keep), HDW_OK);
    assert_int_equal(v.u.v[1].len, 2);
    free(keep);
  }
  bad("[1,\f2]", 6, HDW_E_SYNTAX, 3, "a value");
  bad("[1\v]", 4, HDW_E_SYNTAX, 2, "',' or ']'");
  bad("[1\0]", 4, HDW_E_SYNTAX, 2, "',' or ']'");
  fix_done(&f);
}

static void test_limits(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  char s[600];
  val v;
  memset(s, '[', 300);
  memset(s + 300, ']', 300);
  assert_int_equal(json_read(&f.r, &f.a, s + 300 - 128, 256, NULL, &v, &f.err), HDW_OK);
  assert_int_equal(json_read(&f.r, &f.a, s + 300 - 129, 258, NULL, &v, &f.err), HDW_E_LIMIT);
  assert_int_equal(f.err.offset, 128);
  json_opts deep = {.max_depth = 300}, small = {.max_bytes = 4}, one = {.max_depth = 1};
  assert_int_equal(json_read(&f.r, &f.a, s, 600, &deep, &v, &f.err), HDW_OK);
  assert_int_equal(json_read(&f.r, &f.a, "[{}]", 4, &one, &v, &f.err), HDW_E_LIMIT);
  assert_int_equal(json_read(&f.r, &f.a, "[11]", 4, &small, &v, &f.err), HDW_OK);
  assert_int_equal(json_read(&f.r, &f.a, "[111]", 5, &small, &v, &f.err), HDW_E_LIMIT);
  if (sizeof(size_t) > 4) assert_int_equal(json_read(&f.r, &f.a, "1", (size_t)UINT32_MAX + 1, NULL, &v, &f.err), HDW_E_LIMIT);
  fix_done(&f);
}

/* Depth up to the most that options may ask for: no recursion. */
static void test_depth_100000(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  enum { N = JSON_DEPTH_MAX };
  char *s = (char *)malloc(2 * N + 2);
  memset(s, '[', N + 1);
  memset(s + N, ']', N);
  json_opts o = {.max_depth = UINT32_MAX};
  val v;
  assert_int_equal(json_read(&f.r, &f.a, s, 2 * N, &o, &v, &f.err), HDW_OK);
  memset(s, '[', N + 1);
  memset(s + N + 1, ']', N + 1);
  assert_int_equal(json_read(&f.r, &f.a, s, 2 * N + 2, &o, &v, &f.err), HDW_E_LIMIT);
  free(s);
  fix_done(&f);
}

/* An object with n names k0, k1, ..., of which name `again` (when below n) stands a second time at the end. */
static char *many_names(unsigned n, unsigned again, size_t *len) {
  char *s = (char *)malloc((size_t)n * 16 + 32), *p = s;
  *p++ = '{';
  for (unsigned i = 0; i < n; i++) p += sprintf(p, "\"k%u\":%u,", i, i % 10);
  p += again < n ? sprintf(p, "\"k%u\":0}", again) : sprintf(p, "\"end\":0}");
  *len = (size_t)(p - s);
  return s;
}

static void test_equal_names(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  json_opts keep = {.duplicate_keys = JSON_DUP_KEEP};
  static const unsigned sizes[] = {1, 2, 5, 8, 31, 32, 33, 34, 100, 1000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    unsigned n = sizes[i];
    for (unsigned again = 0; again <= n; again += n < 100 ? 1 : n / 10) {
      size_t len;
      char *s = many_names(n, again, &len);
      val v;
      hdw_status st = json_read(&f.r, &f.a, s, len, NULL, &v, &f.err);
      if (st != (again < n ? HDW_E_EXISTS : HDW_OK)) fail_msg("%u names, %u twice: %d", n, again, st);
      assert_int_equal(json_read(&f.r, &f.a, s, len, &keep, &v, &f.err), HDW_OK);
      assert_int_equal(v.len, n + 1);
      free(s);
    }
    arena_reset(&f.a);
  }
  fix_done(&f);
}

/* 100,000 names, also such that share one val_key_hash: linear time (RELIABILITY: hash flood below 0.5 s; here in operations of memory:
 * a quadratic reader needs minutes). */
static void test_hash_flood(void **state) {
  (void)state;
  enum { N = 100000, LEN = 19 };
  fix f;
  fix_init(&f);
  char *s = (char *)malloc((size_t)N * (LEN + 8) + 2), *p = s;
  *p++ = '{';
  for (unsigned i = 0; i < N; i++) p += sprintf(p, "\"a%08ux%08uz\":1,", i, i * 7u);
  p[-1] = '}';
  val v;
  assert_int_equal(json_read(&f.r, &f.a, s, (size_t)(p - s), NULL, &v, &f.err), HDW_OK);
  assert_int_equal(v.len, N);
  for (unsigned i = 1; i < N; i++) assert_int_equal(v.u.v[2 * i].aux, v.u.v[0].aux);
  json_opts seeded = {.seed = 0x1234567890abcdefu};
  assert_int_equal(json_read(&f.r, &f.a, s, (size_t)(p - s), &seeded, &v, &f.err), HDW_OK);
  free(s);
  fix_done(&f);
}

static void test_read_one(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  static const char s[] = "\xef\xbb\xbf {\"a\":1}[2]\n3 \"x\"  ";
  static const size_t ends[] = {11, 14, 16, 20};
  size_t at = 0, used;
  val v;
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(json_read_one(&f.r, &f.a, s + at, sizeof s - 1 - at, NULL, &used, &v, &f.err), HDW_OK);
    at += used;
    assert_int_equal(at, ends[i]);
  }
  is_text(v, VAL_STR, "x");
  assert_int_equal(json_read_one(&f.r, &f.a, s + at, sizeof s - 1 - at, NULL, &used, &v, &f.err), HDW_E_NOTFOUND);
  assert_int_equal(used, sizeof s - 1 - at);
  assert_int_equal(json_read_one(&f.r, &f.a, "{]", 2, NULL, &used, &v, &f.err), HDW_E_SYNTAX);
  assert_int_equal(used, 0);
  fix_done(&f);
}

static void test_ndjson(void **state) {
  (void)state;
  fix f;
  fix_init(&f);
  static const char s[] = "\xef\xbb\xbf{\"n\":1}\r\n\n  \t\n{\"n\":2}\n{\"n\":}\n1 2\n\xef\xbb\xbf{}\n  {\"n\":3}";
  json_lines it;
  val v;
  json_lines_init(&it, s, sizeof s - 1);
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_OK);
  assert_int_equal(it.line, 1);
  is_text(v.u.v[1], VAL_NUM, "1");
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_OK);
  assert_int_equal(it.line, 4);
  is_text(v.u.v[1], VAL_NUM, "2");
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_E_SYNTAX);
  assert_int_equal(f.err.line, 5);
  assert_int_equal(f.err.column, 6);
  assert_int_equal(s[f.err.offset], '}');
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_E_SYNTAX);
  assert_int_equal(f.err.line, 6);
  assert_int_equal(f.err.column, 3);
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_E_SYNTAX);
  assert_int_equal(f.err.line, 7);
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_OK);
  assert_int_equal(it.line, 8);
  is_text(v.u.v[1], VAL_NUM, "3");
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_E_NOTFOUND);
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, &f.err), HDW_E_NOTFOUND);
  json_lines_init(&it, "", 0);
  assert_int_equal(json_lines_next(&it, &f.r, &f.a, NULL, &v, NULL), HDW_E_NOTFOUND);
  fix_done(&f);
}

/* Each allocation fails once: the result is HDW_E_NOMEM or right, nothing leaks, and the reader works afterwards. */
static void test_out_of_memory(void **state) {
  (void)state;
  size_t len;
  char *s = many_names(3000, 3000, &len);
  char *deep = (char *)malloc(200);
  memset(deep, '[', 100);
  memset(deep + 100, ']', 100);
  bool done = false;
  unsigned failed = 0;
  for (long n = 0; !done; n++) {
    fix f;
    fix_init(&f);
    f.tm.fail_after = n;
    val v, w, x;
    hdw_status st = json_read(&f.r, &f.a, s, len, NULL, &v, &f.err);
    hdw_status st2 = json_read(&f.r, &f.a, deep, 200, NULL, &w, &f.err);
    hdw_status st3 = json_read(&f.r, &f.a, "{\"\\u0061\":1}", 12, NULL, &x, &f.err);
    assert_true(st == HDW_OK || st == HDW_E_NOMEM);
    assert_true(st2 == HDW_OK || st2 == HDW_E_NOMEM);
    assert_true(st3 == HDW_OK || st3 == HDW_E_NOMEM);
    done = f.tm.fail_after >= 0;
    unsigned now = (unsigned)((st != 0) + (st2 != 0) + (st3 != 0)); /* 0 also when the arena was content with a smaller chunk */
    assert_true(now <= (done ? 0u : 1u));
    failed += now;
    f.tm.fail_after = -1;
    assert_int_equal(json_read(&f.r, &f.a, s, len, NULL, &v, &f.err), HDW_OK);
    assert_int_equal(v.len, 3001);
    fix_done(&f);
  }
  assert_true(failed >= 5);
  free(s);
  free(deep);
}

/* ---- conformance ---- */

static hdw_status status_by_name(const char *name) {
#define X(n, code, text) if (strcmp(name, #n) == 0) return n;
  HDW_STATUS_LIST(X)
#undef X
  fail_msg("no status %s", name);
  return HDW_OK;
}

static hdw_status read_file(const char *folder, const char *name, const json_opts *o) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  fix f;
  fix_init(&f);
  size_t len;
  char *s = test_read_file(path, &len), *keep;
  val v;
  hdw_status st = read_exact(&f, s, len, o, &v, &keep);
  free(keep);
  free(s);
  fix_done(&f);
  return st;
}

static void each_file(const char *folder, void (*fn)(const char *folder, const char *name, void *user), void *user) {
  char full[1024];
  snprintf(full, sizeof full, "%s/%s", HDW_SOURCE_DIR, folder);
  DIR *d = opendir(full);
  if (!d) fail_msg("no folder %s", full);
  for (struct dirent *e; (e = readdir(d));) {
    size_t n = strlen(e->d_name);
    if (n > 5 && strcmp(e->d_name + n - 5, ".json") == 0) fn(folder, e->d_name, user);
  }
  closedir(d);
}

static void suite_file(const char *folder, const char *name, void *user) {
  unsigned *count = (unsigned *)user;
  json_opts keep = {.duplicate_keys = JSON_DUP_KEEP};
  hdw_status st = read_file(folder, name, &keep);
  if (name[0] == 'y' && st != HDW_OK) fail_msg("%s refused: %s", name, hdw_status_name(st));
  if (name[0] == 'n' && st == HDW_OK) fail_msg("%s accepted", name);
  count[name[0] == 'y' ? 0 : name[0] == 'n' ? 1 : 2]++;
}

static void test_JSONTestSuite_parsing(void **state) {
  (void)state;
  unsigned count[3] = {0};
  each_file("tests/conformance/json/parsing", suite_file, count);
  assert_int_equal(count[0], 95);
  assert_int_equal(count[1], 188);
  assert_int_equal(count[2], 35);
}

static void count_file(const char *folder, const char *name, void *user) {
  (void)folder, (void)name;
  ++*(unsigned *)user;
}

/* Where the grammar leaves a choice, the table says what was chosen; each such file has its row. */
static void test_JSONTestSuite_decisions(void **state) {
  (void)state;
  size_t len;
  char *table = test_read_file("tests/conformance/json/decisions.txt", &len), *save = NULL;
  unsigned implementation = 0, transform = 0, files = 0;
  for (char *line = strtok_r(table, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    char name[128], status[32], reason[8];
    if (line[0] == '#') continue;
    if (sscanf(line, "%127s %31s %7s", name, status, reason) != 3) fail_msg("%s", line);
    bool parsing = (name[0] == 'i' || name[0] == 'y') && name[1] == '_';
    hdw_status st = read_file(parsing ? "tests/conformance/json/parsing" : "tests/conformance/json/transform", name, NULL);
    if (st != status_by_name(status)) fail_msg("%s: %s", name, hdw_status_name(st));
    implementation += name[0] == 'i' && name[1] == '_';
    transform += !parsing;
  }
  free(table);
  assert_int_equal(implementation, 35);
  each_file("tests/conformance/json/transform", count_file, &files);
  assert_int_equal(transform, files);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_list_flags),
      cmocka_unit_test(test_underscore_is_per_object),
      cmocka_unit_test(test_escaped_names_are_resolved),
      cmocka_unit_test(test_F6_nothing_is_lost),
      cmocka_unit_test(test_errors_name_place_and_expectation),
      cmocka_unit_test(test_prefixes_are_refused),
      cmocka_unit_test(test_strings_of_every_length),
      cmocka_unit_test(test_blanks_of_every_length),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_depth_100000),
      cmocka_unit_test(test_equal_names),
      cmocka_unit_test(test_hash_flood),
      cmocka_unit_test(test_read_one),
      cmocka_unit_test(test_ndjson),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_JSONTestSuite_parsing),
      cmocka_unit_test(test_JSONTestSuite_decisions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
