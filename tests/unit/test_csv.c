/* Comma-separated values: RFC 4180, header, refusals with their place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "csv.h"
#include "json.h"
#include "support.h"

/* Reads all rows of a copy of exactly n bytes and writes them as JSON lines; an error as "!status line:column offset". */
static void rows_are(const char *text, size_t n, const csv_opts *o, const char *want) {
  test_mem tm;
  arena a;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  char *s = (char *)malloc(n + !n);
  memcpy(s, text, n);
  csv_rows it;
  csv_error e;
  buf b;
  buf_init(&b, &a, 1 << 20);
  hdw_status st = csv_init(&it, &a, s, n, o, &e);
  if (st) buf_putf(&b, "!%s %u:%u %zu", hdw_status_name(st), (unsigned)e.line, e.column, e.offset);
  while (!st || st == HDW_E_SYNTAX || st == HDW_E_CARD) {
    val row;
    if (it.names == NULL && o && o->header) break;
    st = csv_next(&it, &a, &row, &e);
    if (st == HDW_E_NOTFOUND) break;
    if (b.len) buf_putc(&b, '\n');
    if (st) buf_putf(&b, "!%s %u:%u %zu", hdw_status_name(st), (unsigned)e.line, e.column, e.offset);
    else assert_int_equal(json_write(row, &b, NULL), HDW_OK);
  }
  if (b.len != strlen(want) || (b.len && memcmp(b.p, want, b.len) != 0)) fail_msg("%s\ngot  %.*s\nwant %s", text, (int)b.len, b.p ? b.p : "", want);
  free(s);
  arena_free(&a);
  assert_int_equal(tm.live_bytes, 0);
}
#define ROWS(text, o, want) rows_are(text, sizeof text - 1, o, want)
static const csv_opts with_header = {.header = true};

static void test_RFC4180_rules(void **state) {
  (void)state;
  ROWS("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n", NULL, "[\"aaa\",\"bbb\",\"ccc\"]\n[\"zzz\",\"yyy\",\"xxx\"]");
  ROWS("aaa,bbb\r\nzzz,yyy", NULL, "[\"aaa\",\"bbb\"]\n[\"zzz\",\"yyy\"]");
  ROWS("\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz", NULL, "[\"aaa\",\"b\\r\\nbb\",\"ccc\"]\n[\"zzz\"]");
  ROWS("\"aaa\",\"b\"\"bb\",\"\"\"\"", NULL, "[\"aaa\",\"b\\\"bb\",\"\\\"\"]");
  ROWS(" a , b ", NULL, "[\" a \",\" b \"]");
  ROWS("", NULL, "");
  ROWS("\n\r\n", NULL, "");
  ROWS(",\n\"\",", NULL, "[null,null]\n[\"\",null]");
}

static void test_header(void **state) {
  (void)state;
  ROWS("\xef\xbb\xbf" "id,name,_x\n7,\"Okafor, Grace\",\n\n8,\"say \"\"hi\"\"\",\"\"\n", &with_header,
       "{\"id\":\"7\",\"name\":\"Okafor, Grace\",\"_x\":null}\n{\"id\":\"8\",\"name\":\"say \\\"hi\\\"\",\"_x\":\"\"}");
  ROWS("a,,\"\"\n1,2,3", &with_header, "{\"a\":\"1\",\"column2\":\"2\",\"column3\":\"3\"}");
  ROWS("a,b,a\n", &with_header, "!HDW_E_EXISTS 1:3 6");
  ROWS("", &with_header, "!HDW_E_NOTFOUND 1:1 0");
  ROWS("a,b\n1\n1,2,3\n4,5\n", &with_header, "!HDW_E_CARD 2:2 6\n!HDW_E_CARD 3:3 12\n{\"a\":\"4\",\"b\":\"5\"}");
  csv_opts o = {.header = true, .short_rows = true};
  ROWS("a,b\n1\n1,2,3\n", &o, "{\"a\":\"1\"}\n!HDW_E_CARD 3:3 12");
}

static void test_keys_have_their_hash(void **state) {
  (void)state;
  test_mem tm;
  arena a;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  csv_rows it;
  val row;
  static const char s[] = "_id,\"na\"\"me\"\n1,2\n";
  assert_int_equal(csv_init(&it, &a, s, sizeof s - 1, &with_header, NULL), HDW_OK);
  assert_int_equal(csv_next(&it, &a, &row, NULL), HDW_OK);
  assert_int_equal(row.flags, VALF_UNDERSCORE);
  const val *v = val_obj_get(row, val_key("na\"me", 5));
  assert_non_null(v);
  assert_int_equal(v->tag, VAL_STR);
  assert_ptr_equal(v->u.s, s + sizeof s - 3);
  arena_free(&a);
}

static void test_other_delimiters(void **state) {
  (void)state;
  csv_opts semi = {.delimiter = ';', .quote = '\''}, tsv = {.delimiter = '\t', .no_quotes = true}, bad = {.delimiter = '"'}, bad2 = {.delimiter = '\n'};
  ROWS("a;'b;''c';\"d\"", &semi, "[\"a\",\"b;'c\",\"\\\"d\\\"\"]");
  ROWS("a\t\"b\t5\" pipe\n", &tsv, "[\"a\",\"\\\"b\",\"5\\\" pipe\"]");
  ROWS("a", &bad, "!HDW_E_INVALID 1:1 0");
  ROWS("a", &bad2, "!HDW_E_INVALID 1:1 0");
}

static void test_refusals_name_the_place(void **state) {
  (void)state;
  ROWS("a,b\n1,5\" pipe,x\n3,4\n", NULL, "[\"a\",\"b\"]\n!HDW_E_SYNTAX 2:2 7\n[\"3\",\"4\"]");
  ROWS("\"a\nb\",\"c\" d\n3,4\n", NULL, "!HDW_E_SYNTAX 1:2 9\n[\"3\",\"4\"]");
  ROWS("\"a\nb\"\nc,\"d\n", NULL, "[\"a\\nb\"]\n!HDW_E_SYNTAX 3:2 8");
  ROWS("a\rb\nc", NULL, "!HDW_E_SYNTAX 1:1 1\n[\"c\"]");
  ROWS("a\r", NULL, "!HDW_E_SYNTAX 1:1 1");
}

static void test_fields_of_every_length(void **state) {
  (void)state;
  for (size_t n = 1; n < 50; n++)
    for (size_t at = 0; at < n; at++) {
      char s[64], want[80];
      memset(s, 'x', n);
      s[at] = ',';
      int k = snprintf(want, sizeof want, at ? "[\"%.*s\"," : "[null%.*s,", (int)at, s);
      snprintf(want + k, sizeof want - (size_t)k, n - at - 1 ? "\"%.*s\"]" : "null%.*s]", (int)(n - at - 1), s + at + 1);
      rows_are(s, n, NULL, want);
    }
}

static void test_too_many_columns(void **state) {
  (void)state;
  char *s = (char *)malloc(CSV_COLUMNS_MAX);
  memset(s, ',', CSV_COLUMNS_MAX);
  rows_are(s, CSV_COLUMNS_MAX, NULL, "!HDW_E_LIMIT 1:4097 4096");
  free(s);
}

static void test_out_of_memory(void **state) {
  (void)state;
  unsigned failed = 0, passed = 0;
  for (size_t limit = 1; limit < 400000; limit += 1999) {
    test_mem tm;
    arena a;
    test_mem_init(&tm);
    arena_init(&a, &tm.m, limit);
    csv_rows it;
    val row;
    char s[800];
    memset(s, ',', sizeof s);
    memcpy(s, "a,b,\"c\"\"\"", 9);
    hdw_status st = csv_init(&it, &a, s, sizeof s, &with_header, NULL);
    if (st == HDW_OK) st = csv_next(&it, &a, &row, NULL);
    assert_true(st == HDW_E_NOTFOUND || st == HDW_E_NOMEM);
    *(st == HDW_E_NOMEM ? &failed : &passed) += 1;
    arena_free(&a);
    assert_int_equal(tm.live_bytes, 0);
  }
  assert_true(failed > 3 && passed > 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_RFC4180_rules),
      cmocka_unit_test(test_header),
      cmocka_unit_test(test_keys_have_their_hash),
      cmocka_unit_test(test_other_delimiters),
      cmocka_unit_test(test_refusals_name_the_place),
      cmocka_unit_test(test_fields_of_every_length),
      cmocka_unit_test(test_too_many_columns),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
