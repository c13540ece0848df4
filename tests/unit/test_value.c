#include <string.h>
#include "support.h"
#include "value.h"

static test_mem tm;
static arena A;

static int setup(void **state) {
  (void)state;
  test_mem_init(&tm);
  arena_init(&A, &tm.m, 0);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  arena_free(&A);
  return tm.live_bytes == 0 ? 0 : -1;
}

static val num(const char *s) { return (val){.tag = VAL_NUM, .len = (uint32_t)strlen(s), .u.s = s}; }
static val esc(const char *s) { return (val){.tag = VAL_STR, .flags = VALF_ESC, .len = (uint32_t)strlen(s), .u.s = s}; }
static val dec_of(const char *s) {
  dec d;
  val v;
  assert_int_equal(dec_parse(s, strlen(s), &d), HDW_OK);
  assert_int_equal(val_from_dec(&A, &d, &v), HDW_OK);
  return v;
}
static val qty(const char *n, const char *unit, bool calendar) {
  dec d;
  val v;
  assert_int_equal(dec_parse(n, strlen(n), &d), HDW_OK);
  assert_int_equal(val_from_qty(&A, &d, unit, strlen(unit), calendar, &v), HDW_OK);
  return v;
}
static val date_of(val_tag tag, const char *s) {
  tm_val t;
  hdw_status st = tag == VAL_DATE ? tm_parse_date(s, strlen(s), &t) : tag == VAL_TIME ? tm_parse_time(s, strlen(s), &t) : tm_parse_datetime(s, strlen(s), &t);
  assert_int_equal(st, HDW_OK);
  return val_from_time(tag, &t);
}
static val list(uint32_t n, const val *v, uint8_t flags) { return (val){.tag = VAL_LIST, .flags = flags, .len = n, .u.v = v}; }
#define LIST(...) list(sizeof((val[]){__VA_ARGS__}) / sizeof(val), (val[]){__VA_ARGS__}, 0)
#define RAW(...) list(sizeof((val[]){__VA_ARGS__}) / sizeof(val), (val[]){__VA_ARGS__}, VALF_UNEVEN)
#define OBJ(...) ((val){.tag = VAL_OBJ, .len = sizeof((val[]){__VA_ARGS__}) / sizeof(val) / 2, .u.v = (val[]){__VA_ARGS__}})
static val key(const char *s) { return val_key(s, strlen(s)); }
static val str(const char *s) { return val_cstr(s); }

static val norm(val v) {
  val r;
  assert_int_equal(val_norm(&A, v, &r), HDW_OK);
  return r;
}
static int eq(val x, val y) {
  int r, q;
  assert_int_equal(val_equal(&A, x, y, &r), HDW_OK);
  assert_int_equal(val_equal(&A, y, x, &q), HDW_OK);
  assert_int_equal(r, q);
  if (r == 1) assert_true(val_hash(7, x) == val_hash(7, y));
  return r;
}
static bool equiv(val x, val y) {
  bool r, q;
  assert_int_equal(val_equivalent(&A, x, y, &r), HDW_OK);
  assert_int_equal(val_equivalent(&A, y, x, &q), HDW_OK);
  assert_int_equal(r, q);
  return r;
}
static void assert_text(val v, const char *want) {
  val s;
  assert_int_equal(val_to_str(&A, v, &s), HDW_OK);
  if (s.len != strlen(want) || memcmp(s.u.s, want, s.len) != 0) fail_msg("'%.*s' is not '%s'", (int)s.len, s.u.s, want);
}

static void test_norm_numbers(void **state) {
  (void)state;
  assert_int_equal(norm(num("5")).tag, VAL_INT);
  assert_int_equal(norm(num("-2147483648")).tag, VAL_INT);
  assert_int_equal(norm(num("2147483648")).tag, VAL_LONG);
  assert_true(norm(num("-9223372036854775808")).u.i == INT64_MIN);
  assert_int_equal(norm(num("9223372036854775808")).tag, VAL_DEC);
  assert_text(norm(num("9223372036854775808")), "9223372036854775808");
  assert_text(norm(num("1.00")), "1.00");
  assert_text(norm(num("1.5e3")), "1500");
  assert_text(norm(num("-0")), "0");
  val huge = norm(num("1e400"));
  assert_int_equal(huge.tag, VAL_NUM);
  assert_text(huge, "1e400");
}

static void test_norm_strings(void **state) {
  (void)state;
  val v = norm(esc("a\\n\\\"\\u00e9\\ud83d\\ude00\\u0000z\\/"));
  assert_int_equal(v.flags, 0);
  assert_int_equal(v.len, 12);
  assert_memory_equal(v.u.s, "a\n\"\xc3\xa9\xf0\x9f\x98\x80\0z/", 12);
  v = norm(esc("\\ud83dx"));
  assert_memory_equal(v.u.s, "\xef\xbf\xbdx", 4);
  v = norm(esc("\\"));
  assert_memory_equal(v.u.s, "\xef\xbf\xbd", 3);
  v = norm(esc("\\u12"));
  assert_memory_equal(v.u.s, "\xef\xbf\xbd" "12", 5);
}

static void test_norm_lists(void **state) {
  (void)state;
  val null = {.tag = VAL_NULL};
  assert_int_equal(norm(null).tag, VAL_EMPTY);
  assert_int_equal(norm(list(0, NULL, VALF_ARRAY)).tag, VAL_EMPTY);
  assert_int_equal(norm(RAW(null, null)).tag, VAL_EMPTY);
  assert_int_equal(norm(LIST(val_int(3))).tag, VAL_INT);
  val inner = RAW(num("2"), null, esc("\\t"));
  val v = norm(RAW(val_int(1), inner, null));
  assert_int_equal(v.len, 3);
  assert_int_equal(v.u.v[1].tag, VAL_INT);
  assert_int_equal(v.u.v[2].u.s[0], '\t');
  assert_true(val_is_norm(v));
  /* hostile nesting ends in an error, not in a crash */
  static val deep[5000];
  deep[0] = val_int(1);
  for (uint32_t i = 1; i < 5000; i++) deep[i] = list(1, &deep[i - 1], VALF_UNEVEN);
  assert_int_equal(val_norm(&A, deep[4999], &v), HDW_E_LIMIT);
  int r;
  assert_int_equal(val_equal(&A, OBJ(key("a"), deep[4999]), OBJ(key("a"), deep[4998]), &r), HDW_E_LIMIT);
}

static void test_members(void **state) {
  (void)state;
  val o = OBJ(key("id"), str("x"), key("n"), num("1.50"), key("list"), RAW(str("a"), (val){.tag = VAL_NULL}), key("e"), list(0, NULL, VALF_ARRAY));
  val v;
  assert_int_equal(val_obj_get(o, key("id"))->tag, VAL_STR);
  assert_null(val_obj_get(o, key("ix")));
  assert_null(val_obj_get(o, key("")));
  assert_int_equal(val_member(&A, o, key("n"), &v), HDW_OK);
  assert_text(v, "1.50");
  assert_int_equal(val_member(&A, o, key("list"), &v), HDW_OK);
  assert_text(v, "a");
  assert_int_equal(val_member(&A, o, key("e"), &v), HDW_OK);
  assert_int_equal(v.tag, VAL_EMPTY);
  assert_int_equal(val_member(&A, LIST(o, val_int(1), o), key("id"), &v), HDW_OK);
  assert_int_equal(v.len, 2);
  assert_int_equal(val_member(&A, val_int(1), key("id"), &v), HDW_OK);
  assert_int_equal(v.tag, VAL_EMPTY);
  val ek = esc("i\\u0064");
  ek.aux = 1234;
  val oe = OBJ(ek, str("y"));
  assert_int_equal(val_member(&A, oe, key("id"), &v), HDW_OK);
  assert_text(v, "y");
}

static void test_builder(void **state) {
  (void)state;
  val_builder b = {0};
  assert_int_equal(val_build(&b).tag, VAL_EMPTY);
  assert_int_equal(val_push(&A, &b, VAL_NONE), HDW_OK);
  assert_int_equal(val_push(&A, &b, val_int(0)), HDW_OK);
  assert_int_equal(val_build(&b).tag, VAL_INT);
  for (int i = 1; i < 100; i += 2) assert_int_equal(val_push(&A, &b, LIST(val_int(i), val_int(i + 1))), HDW_OK);
  val v = val_build(&b);
  assert_int_equal(v.len, 101);
  for (int i = 0; i < 101; i++) assert_int_equal(v.u.v[i].u.i, i);
}

static void test_equal_scalars(void **state) {
  (void)state;
  assert_int_equal(eq(val_int(1), val_long(1)), 1);
  assert_int_equal(eq(val_int(1), dec_of("1.00")), 1);
  assert_int_equal(eq(dec_of("1.10"), dec_of("1.1")), 1);
  assert_int_equal(eq(val_int(1), str("1")), 0);
  assert_int_equal(eq(val_int(1), val_bool(true)), 0);
  assert_int_equal(eq(str("a"), str("A")), 0);
  assert_int_equal(eq(VAL_NONE, val_int(1)), -1);
  assert_int_equal(eq(VAL_NONE, VAL_NONE), -1);
  assert_int_equal(eq(dec_of("12345678901234567890123"), num("1")), 0);
  assert_int_equal(eq(dec_of("12345678901234567890123.0"), dec_of("12345678901234567890123")), 1);
  val nul1 = val_str("a\0b", 3), nul2 = val_str("a\0c", 3);
  assert_int_equal(eq(nul1, nul2), 0);
}

static void test_equal_temporals(void **state) {
  (void)state;
  assert_int_equal(eq(date_of(VAL_DATE, "2012"), date_of(VAL_DATE, "2012-01")), -1);
  assert_int_equal(eq(date_of(VAL_DATE, "2012"), date_of(VAL_DATE, "2013-01")), 0);
  assert_int_equal(eq(date_of(VAL_DATETIME, "2012-01-01T10:00:00.0"), date_of(VAL_DATETIME, "2012-01-01T10:00:00")), 1);
  assert_int_equal(eq(date_of(VAL_DATETIME, "2017-11-05T01:30:00.0-04:00"), date_of(VAL_DATETIME, "2017-11-05T00:30:00.0-05:00")), 1);
  assert_int_equal(eq(date_of(VAL_DATE, "2012-04-15"), date_of(VAL_DATETIME, "2012-04-15T10:00:00")), -1);
  assert_int_equal(eq(date_of(VAL_TIME, "10:00"), date_of(VAL_DATE, "2012")), 0);
  tm_val t = val_get_time(date_of(VAL_DATETIME, "2012-01-01T10:00:00.120-05:30"));
  assert_int_equal(t.zone_min, -330);
  assert_int_equal(t.frac_digits, 3);
  assert_true(t.has_zone && !t.zone_z && t.prec == TM_FRACTION);
}

static void test_quantities(void **state) {
  (void)state;
  assert_int_equal(eq(qty("4.0000", "g", false), qty("4000.0", "mg", false)), 1);
  assert_int_equal(eq(qty("4", "g", false), qty("4040", "mg", false)), 0);
  assert_true(equiv(qty("4", "g", false), qty("4040", "mg", false)));
  assert_int_equal(eq(qty("7", "day", true), qty("1", "week", true)), 1);
  assert_int_equal(eq(qty("7", "day", true), qty("1", "wk", false)), 1);
  assert_int_equal(eq(qty("1", "day", true), qty("1", "d", false)), 1);
  assert_int_equal(eq(qty("1", "month", true), qty("1", "mo", false)), -1);
  assert_int_equal(eq(qty("1", "year", true), qty("1", "a", false)), -1);
  assert_int_equal(eq(qty("1", "year", true), qty("12", "month", true)), 1);
  assert_true(equiv(qty("1", "year", true), qty("1", "a", false)));
  assert_int_equal(eq(qty("1", "1", false), val_int(1)), 1);
  assert_int_equal(eq(qty("1", "cm", false), qty("1", "s", false)), -1);
  assert_int_equal(eq(qty("1.0", "[foo]", false), qty("1.00", "[foo]", false)), 1);
  assert_text(qty("4", "day", true), "4 days");
  assert_text(qty("1", "week", true), "1 week");
  assert_text(qty("1.50", "mg", false), "1.50 'mg'");
}

/* Units that are no plain multiple of their base: equal magnitudes hash alike, whatever they are written in (eq asserts it). */
static void test_quantities_that_are_equal_hash_alike(void **state) {
  (void)state;
  assert_int_equal(eq(qty("222", "/222", false), val_int(1)), 1);
  assert_int_equal(eq(qty("111", "/222", false), qty("0.50", "1", false)), 1);
  assert_int_equal(eq(qty("1", "/3", false), qty("2", "/6", false)), 1);
  assert_int_equal(eq(qty("1", "/3", false), qty("1", "/6", false)), 0);
  assert_int_equal(eq(qty("0", "Cel", false), qty("273.15", "K", false)), 1);
  assert_int_equal(eq(qty("32", "[degF]", false), qty("0", "Cel", false)), 1);
  assert_int_equal(eq(qty("-40.0", "[degF]", false), qty("-40", "Cel", false)), 1);
  assert_int_equal(eq(qty("60", "/min", false), qty("1", "/s", false)), 1);
  assert_int_equal(eq(qty("-7", "/min", false), qty("-420", "/h", false)), 1);
  assert_int_equal(eq(qty("0", "/222", false), val_int(0)), 1);
  assert_true(val_hash(7, qty("1", "/3", false)) != val_hash(7, qty("2", "/3", false)));
  assert_true(val_hash(7, qty("1", "/min", false)) != val_hash(7, qty("2", "/min", false)));
}

static void test_equal_collections(void **state) {
  (void)state;
  assert_int_equal(eq(LIST(val_int(1), val_int(2)), LIST(val_int(1), val_int(2))), 1);
  assert_int_equal(eq(LIST(val_int(1), val_int(2)), LIST(val_int(2), val_int(1))), 0);
  assert_int_equal(eq(LIST(val_int(1), val_int(2)), val_int(1)), 0);
  assert_true(equiv(LIST(val_int(1), val_int(2)), LIST(val_int(2), val_int(1))));
  assert_false(equiv(LIST(val_int(1), val_int(1)), LIST(val_int(2), val_int(1))));
  assert_true(equiv(VAL_NONE, VAL_NONE));
  assert_false(equiv(VAL_NONE, val_int(1)));
}

static void test_objects(void **state) {
  (void)state;
  val x = OBJ(key("a"), num("1"), key("b"), esc("\\u0041"), key("c"), LIST(val_int(1)));
  val y = OBJ(key("c"), val_int(1), key("b"), str("A"), key("a"), dec_of("1.0"));
  assert_int_equal(eq(x, y), 1);
  assert_int_equal(eq(x, OBJ(key("a"), val_int(1), key("b"), str("A"))), 0);
  assert_int_equal(eq(x, OBJ(key("a"), val_int(2), key("b"), str("A"), key("c"), val_int(1))), 0);
  assert_int_equal(eq(x, OBJ(key("a"), val_int(1), key("b"), str("A"), key("d"), val_int(1))), 0);
  assert_false(eq(x, OBJ(key("a"), val_int(1), key("b"), str("a"), key("c"), val_int(1))));
  assert_true(equiv(x, OBJ(key("a"), val_int(1), key("b"), str(" a "), key("c"), val_int(1))));
  /* many members, other order */
  enum { N = 300 };
  static val fwd[2 * N], rev[2 * N];
  static char names[N][8];
  for (int i = 0; i < N; i++) {
    names[i][0] = (char)('a' + i % 26);
    names[i][1] = (char)('a' + i / 26);
    fwd[2 * i] = rev[2 * (N - 1 - i)] = val_key(names[i], 2);
    fwd[2 * i + 1] = rev[2 * (N - 1 - i) + 1] = val_int(i);
  }
  val f = {.tag = VAL_OBJ, .len = N, .u.v = fwd}, r = {.tag = VAL_OBJ, .len = N, .u.v = rev};
  assert_int_equal(eq(f, r), 1);
  rev[7].u.i = -1;
  assert_int_equal(eq(f, r), 0);
  /* depth */
  static val deep[1000][2], twin[1000][2];
  for (int k = 0; k < 1000; k++) {
    val in = k ? (val){.tag = VAL_OBJ, .len = 1, .u.v = deep[k - 1]} : val_int(1);
    val in2 = k ? (val){.tag = VAL_OBJ, .len = 1, .u.v = twin[k - 1]} : val_int(1);
    deep[k][0] = twin[k][0] = key("k");
    deep[k][1] = in;
    twin[k][1] = in2;
  }
  int e;
  assert_int_equal(val_equal(&A, (val){.tag = VAL_OBJ, .len = 1, .u.v = deep[100]}, (val){.tag = VAL_OBJ, .len = 1, .u.v = twin[100]}, &e), HDW_OK);
  assert_int_equal(e, 1);
  assert_int_equal(val_equal(&A, (val){.tag = VAL_OBJ, .len = 1, .u.v = deep[999]}, (val){.tag = VAL_OBJ, .len = 1, .u.v = twin[999]}, &e), HDW_E_LIMIT);
}

static void test_equivalence(void **state) {
  (void)state;
  assert_true(equiv(str("abc"), str("ABC")));
  assert_true(equiv(str("a  b\tc"), str(" A b\n C ")));
  assert_false(equiv(str("ab"), str("a b")));
  assert_true(equiv(str("\xc3\x89t\xc3\xa9"), str("\xc3\xa9T\xc3\x89")));
  assert_true(equiv(str(""), str("  ")));
  assert_true(equiv(dec_of("1.2"), dec_of("1.21")));
  assert_false(equiv(dec_of("1.2"), dec_of("1.27")));
  assert_true(equiv(dec_of("0.67"), dec_of("0.6666666")));
  assert_false(equiv(val_int(1), str("1")));
  assert_false(equiv(date_of(VAL_DATE, "2012"), date_of(VAL_DATE, "2012-01")));
  assert_true(equiv(date_of(VAL_DATETIME, "2012-01-01T10:00:00.0"), date_of(VAL_DATETIME, "2012-01-01T10:00:00")));
}

static void test_compare(void **state) {
  (void)state;
  int c;
  bool known;
  assert_int_equal(val_compare(val_int(1), dec_of("1.2"), &c, &known), HDW_OK);
  assert_true(known && c < 0);
  assert_int_equal(val_compare(str("a"), str("B"), &c, &known), HDW_OK);
  assert_true(known && c > 0);
  assert_int_equal(val_compare(str("a"), str("ab"), &c, &known), HDW_OK);
  assert_true(c < 0);
  assert_int_equal(val_compare(date_of(VAL_DATE, "2018-03"), date_of(VAL_DATE, "2018-03-01"), &c, &known), HDW_OK);
  assert_false(known);
  assert_int_equal(val_compare(qty("6", "day", true), qty("1", "week", true), &c, &known), HDW_OK);
  assert_true(known && c < 0);
  assert_int_equal(val_compare(qty("6", "mg", false), qty("1", "mm", false), &c, &known), HDW_OK);
  assert_false(known);
  assert_int_equal(val_compare(val_int(1), str("1"), &c, &known), HDW_E_TYPE);
  assert_int_equal(val_compare(val_bool(1), val_bool(0), &c, &known), HDW_E_TYPE);
}

static void test_to_str(void **state) {
  (void)state;
  val v;
  assert_text(val_bool(true), "true");
  assert_text(val_int(-7), "-7");
  assert_text(val_long(INT64_MIN), "-9223372036854775808");
  assert_text(date_of(VAL_DATE, "2014-12-14"), "2014-12-14");
  assert_text(date_of(VAL_TIME, "14:34:28.123"), "14:34:28.123");
  assert_text(date_of(VAL_DATETIME, "2014-12-14T08:00Z"), "2014-12-14T08:00Z");
  assert_int_equal(val_to_str(&A, LIST(val_int(1), val_int(2)), &v), HDW_E_TYPE);
  assert_int_equal(val_to_str(&A, VAL_NONE, &v), HDW_OK);
  assert_string_equal(val_type_name(date_of(VAL_DATE, "2014")), "Date");
}

static void test_no_memory_is_a_status(void **state) {
  (void)state;
  test_mem t;
  arena a;
  test_mem_init(&t);
  arena_init(&a, &t.m, 1);
  val v;
  assert_int_equal(val_norm(&a, RAW(val_int(1), val_int(2)), &v), HDW_E_NOMEM);
  assert_int_equal(val_norm(&a, esc("\\n"), &v), HDW_E_NOMEM);
  assert_int_equal(val_to_str(&a, val_int(1), &v), HDW_E_NOMEM);
  arena_free(&a);
  assert_int_equal(t.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_norm_numbers), cmocka_unit_test(test_norm_strings), cmocka_unit_test(test_norm_lists), cmocka_unit_test(test_members),
      cmocka_unit_test(test_builder), cmocka_unit_test(test_equal_scalars), cmocka_unit_test(test_equal_temporals), cmocka_unit_test(test_quantities), cmocka_unit_test(test_quantities_that_are_equal_hash_alike),
      cmocka_unit_test(test_equal_collections), cmocka_unit_test(test_objects), cmocka_unit_test(test_equivalence), cmocka_unit_test(test_compare),
      cmocka_unit_test(test_to_str), cmocka_unit_test(test_no_memory_is_a_status)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
