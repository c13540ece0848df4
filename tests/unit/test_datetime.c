#include <string.h>
#include "datetime.h"
#include "support.h"

typedef hdw_status parse_fn(const char *, size_t, tm_val *);
typedef size_t format_fn(const tm_val *, char *);

static tm_val P(parse_fn *f, const char *s) {
  tm_val t;
  hdw_status st = f(s, strlen(s), &t);
  if (st) fail_msg("%s: %s", s, hdw_status_name(st));
  return t;
}

static const char *F(format_fn *f, tm_val t) {
  static char text[4][TM_TEXT_MAX + 1];
  static int k;
  char *w = text[k++ & 3];
  size_t n = f(&t, w);
  assert_true(n <= TM_TEXT_MAX);
  w[n] = 0;
  return w;
}

static void test_round_trips(void **state) {
  (void)state;
  static const char *dates[] = {"2012", "2012-01", "2012-02-29", "0001-01-01", "9999-12-31", "1900-02-28", "2000-02-29"};
  for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) assert_string_equal(F(tm_format_date, P(tm_parse_date, dates[i])), dates[i]);
  static const char *dts[] = {"2012", "2012-01", "2012-01-31", "2015-02-04T14", "2015-02-04T14:34", "2015-02-04T14:34:28", "2015-02-04T14:34:28.123",
                              "2015-02-04T14:34:28Z", "2015-02-04T14:34:28+10:00", "2015-02-04T14:34:28.123456-05:30", "2015-02-04T14+01:00", "2015-02-04T14:34:28.0Z"};
  for (size_t i = 0; i < sizeof dts / sizeof *dts; i++) assert_string_equal(F(tm_format_datetime, P(tm_parse_datetime, dts[i])), dts[i]);
  static const char *times[] = {"14", "14:34", "14:34:28", "14:34:28.123", "00:00:00", "23:59:59.999999"};
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) assert_string_equal(F(tm_format_time, P(tm_parse_time, times[i])), times[i]);
  static const char *hl7[] = {"2012", "201201", "20120131", "2012013114", "201201311434", "20120131143459", "20120131143459.1234+0100", "20120131-0500"};
  for (size_t i = 0; i < sizeof hl7 / sizeof *hl7; i++) assert_string_equal(F(tm_format_hl7, P(tm_parse_hl7, hl7[i])), hl7[i]);
  assert_string_equal(F(tm_format_datetime, P(tm_parse_datetime, "2015T")), "2015");
  assert_string_equal(F(tm_format_datetime, P(tm_parse_datetime, "2015-02-04T00:00:00.12345678")), "2015-02-04T00:00:00.123456");
}

static void test_refused(void **state) {
  (void)state;
  tm_val t;
  static const struct { parse_fn *f; const char *s; hdw_status want; } row[] = {
      {tm_parse_date, "", HDW_E_SYNTAX}, {tm_parse_date, "201", HDW_E_SYNTAX}, {tm_parse_date, "2012-1", HDW_E_SYNTAX}, {tm_parse_date, "2012-01-", HDW_E_SYNTAX},
      {tm_parse_date, "2012-01-01T", HDW_E_SYNTAX}, {tm_parse_date, "2011-02-29", HDW_E_RANGE}, {tm_parse_date, "1900-02-29", HDW_E_RANGE},
      {tm_parse_date, "2012-13", HDW_E_RANGE}, {tm_parse_date, "2012-00", HDW_E_RANGE}, {tm_parse_date, "0000", HDW_E_RANGE}, {tm_parse_date, "2012-04-31", HDW_E_RANGE},
      {tm_parse_datetime, "2012-01T10", HDW_E_SYNTAX}, {tm_parse_datetime, "2012-01-01T24:00", HDW_E_RANGE}, {tm_parse_datetime, "2012-01-01T23:59:60", HDW_E_RANGE},
      {tm_parse_datetime, "2012-01-01T10:00:00.", HDW_E_SYNTAX}, {tm_parse_datetime, "2012-01-01T10:00:00+1", HDW_E_SYNTAX}, {tm_parse_datetime, "2012-01-01T10:00:00+15:00", HDW_E_RANGE},
      {tm_parse_datetime, "2012-01-01T10:00:00+0100", HDW_E_SYNTAX}, {tm_parse_datetime, "2012-01-01Z", HDW_E_SYNTAX}, {tm_parse_datetime, "2012-01-01T10:00:00Zx", HDW_E_SYNTAX},
      {tm_parse_time, "1", HDW_E_SYNTAX}, {tm_parse_time, "14:34:28Z", HDW_E_SYNTAX}, {tm_parse_time, "25", HDW_E_RANGE}, {tm_parse_time, "14:60", HDW_E_RANGE},
      {tm_parse_hl7, "20121", HDW_E_SYNTAX}, {tm_parse_hl7, "2012010124", HDW_E_RANGE}, {tm_parse_hl7, "20120101100", HDW_E_SYNTAX}, {tm_parse_hl7, "\"\"", HDW_E_SYNTAX},
      {tm_parse_hl7_time, "", HDW_E_SYNTAX}, {tm_parse_hl7_time, "10:00", HDW_E_SYNTAX}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++)
    if (row[i].f(row[i].s, strlen(row[i].s), &t) != row[i].want) fail_msg("%s", row[i].s);
  static parse_fn *const each[] = {tm_parse_date, tm_parse_datetime, tm_parse_time, tm_parse_hl7, tm_parse_hl7_time};
  for (size_t i = 0; i < sizeof each / sizeof *each; i++) assert_int_equal(each[i](NULL, 0, &t), HDW_E_SYNTAX); /* an absent field */
}

/* 2 = unknown */
static int cmp(parse_fn *f, const char *a, const char *b) {
  tm_val x = P(f, a), y = P(f, b);
  bool known;
  int c = tm_cmp(&x, &y, f == tm_parse_time, &known);
  return known ? c : 2;
}

static void test_compare_n1(void **state) {
  (void)state;
  static const struct { const char *a, *b; int want; } dt[] = {
      {"2017-11-05T01:30:00.0-04:00", "2017-11-05T01:15:00.0-05:00", -1}, {"2017-11-05T01:30:00.0-04:00", "2017-11-05T00:30:00.0-05:00", 0},
      {"2018-03", "2018-03-01", 2}, {"2018-03-01T10:30", "2018-03-01T10:30:00", 2}, {"2018-03-01T10:30:00", "2018-03-01T10:30:00.0", 0},
      {"2012-01-01T10:00:00.0", "2012-01-01T10:00:00", 0}, {"2012", "2013-01", -1}, {"2012-05", "2012-04-30", 1}, {"2012", "2012", 0},
      {"2014-12-13T12:00:00", "2014-12-13T12:00:01", -1}, {"2012-04-15", "2012-04-15T10:00:00", 2},
      /* a zone is missing on one side */
      {"2012-04-15T15:00:00", "2012-04-15T10:00:00Z", 2}, {"2012-04-15T15:00:00", "2012-04-18T10:00:00Z", -1},
      {"1974-12-24", "1974-12-25T14:35:45-05:00", -1}, {"1974-12-25", "1974-12-25T14:35:45-05:00", 2},
      {"2012-04-15T23:30-05:00", "2012-04-16T04:30Z", 0}};
  for (size_t i = 0; i < sizeof dt / sizeof *dt; i++) {
    int c = cmp(tm_parse_datetime, dt[i].a, dt[i].b), d = cmp(tm_parse_datetime, dt[i].b, dt[i].a);
    if (c != dt[i].want || d != (c == 2 ? 2 : -c)) fail_msg("%s ? %s: %d", dt[i].a, dt[i].b, c);
  }
  assert_int_equal(cmp(tm_parse_time, "10:30", "10:30:00"), 2);
  assert_int_equal(cmp(tm_parse_time, "10:30:00", "10:30:00.0"), 0);
  assert_int_equal(cmp(tm_parse_time, "12:00:00", "14:00:00"), -1);
  assert_int_equal(cmp(tm_parse_time, "10", "11:30"), -1);
}

static void test_add_n1(void **state) {
  (void)state;
  static const struct { const char *a; int64_t n; tm_prec unit; const char *want; } row[] = {
      {"1973-12-25", 7, TM_DAY, "1974-01-01"}, {"1973-12-25", 1, TM_MONTH, "1974-01-25"}, {"1973-12-25", 1, TM_YEAR, "1974-12-25"},
      {"2016-02-29", 1, TM_YEAR, "2017-02-28"}, {"2016-01-31", 1, TM_MONTH, "2016-02-29"}, {"2015-03-31", -1, TM_MONTH, "2015-02-28"},
      {"2014", 24, TM_MONTH, "2016"}, {"2014", 23, TM_MONTH, "2015"}, {"2016", 365, TM_DAY, "2017"}, {"2016", 364, TM_DAY, "2016"}, {"2016", -730, TM_DAY, "2014"},
      {"2014-01", 65, TM_DAY, "2014-03"}, {"2014-12-31", 25, TM_HOUR, "2015-01-01"}, {"2014-12-31", 23, TM_HOUR, "2014-12-31"}, {"2014", 366 * 24, TM_HOUR, "2015"},
      {"1973-12-25T00:00:00.000+10:00", 1, TM_SECOND, "1973-12-25T00:00:01.000+10:00"}, {"1973-12-25T00:00:00.000+10:00", 10000, TM_FRACTION, "1973-12-25T00:00:00.010+10:00"},
      {"1973-12-25T00:00:00.000+10:00", 1, TM_MINUTE, "1973-12-25T00:01:00.000+10:00"}, {"2012-12-31T23:59", 61, TM_SECOND, "2013-01-01T00:00"},
      {"2012-12-31T23:59:59", 1, TM_SECOND, "2013-01-01T00:00:00"}, {"2012-12-31T23:59:59", 500000, TM_FRACTION, "2012-12-31T23:59:59.500"}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    tm_val t = P(tm_parse_datetime, row[i].a), r;
    assert_int_equal(tm_add(&t, row[i].n, row[i].unit, false, &r), HDW_OK);
    assert_string_equal(F(tm_format_datetime, r), row[i].want);
  }
  tm_val t = P(tm_parse_date, "9999-12-31"), r;
  assert_int_equal(tm_add(&t, 1, TM_DAY, false, &r), HDW_E_RANGE);
  assert_int_equal(tm_add(&t, 1, TM_YEAR, false, &r), HDW_E_RANGE);
  assert_int_equal(tm_add(&t, INT64_MAX, TM_YEAR, false, &r), HDW_E_RANGE);
  assert_int_equal(tm_add(&t, INT64_MIN, TM_DAY, false, &r), HDW_E_RANGE);
  t = P(tm_parse_date, "0001-01-01");
  assert_int_equal(tm_add(&t, -1, TM_DAY, false, &r), HDW_E_RANGE);
  assert_int_equal(tm_add(&t, -1, TM_MONTH, false, &r), HDW_E_RANGE);
  t = P(tm_parse_time, "23:30:00");
  assert_int_equal(tm_add(&t, 1, TM_HOUR, true, &r), HDW_OK);
  assert_string_equal(F(tm_format_time, r), "00:30:00");
  assert_int_equal(tm_add(&t, INT64_MIN, TM_MINUTE, true, &r), HDW_OK);
  assert_int_equal(tm_add(&t, 1, TM_DAY, true, &r), HDW_E_TYPE);
}

static void test_unix(void **state) {
  (void)state;
  int64_t us;
  tm_val t = P(tm_parse_datetime, "1970-01-01T01:00:00+01:00"), r;
  assert_int_equal(tm_to_unix_us(&t, &us), HDW_OK);
  assert_int_equal(us, 0);
  t = P(tm_parse_datetime, "2024-02-29T12:34:56.789Z");
  assert_int_equal(tm_to_unix_us(&t, &us), HDW_OK);
  assert_true(us == INT64_C(1709210096789000));
  tm_from_unix_us(us, -300, &r);
  assert_string_equal(F(tm_format_datetime, r), "2024-02-29T07:34:56.789-05:00");
  t = P(tm_parse_datetime, "2024-02-29T12:34:56");
  assert_int_equal(tm_to_unix_us(&t, &us), HDW_E_RANGE);
  tm_from_unix_us(INT64_MAX, 0, &r);
  assert_int_equal(strncmp(F(tm_format_datetime, r), "9999-12-31", 10), 0);
  tm_from_unix_us(INT64_MIN, 0, &r);
  assert_int_equal(strncmp(F(tm_format_datetime, r), "0001-01-01", 10), 0);
}

/* Every day of 800 years, counted by hand. */
static void test_calendar_is_gregorian(void **state) {
  (void)state;
  tm_val t = P(tm_parse_date, "1600-01-01");
  static const int len[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (int y = 1600; y < 2400; y++)
    for (int m = 1; m <= 12; m++) {
      int n = len[m - 1] + (m == 2 && (y % 400 == 0 || (y % 4 == 0 && y % 100 != 0)));
      for (int d = 1; d <= n; d++) {
        int yy, mm, dd;
        tm_fields(&t, &yy, &mm, &dd, NULL, NULL, NULL, NULL);
        if (yy != y || mm != m || dd != d) fail_msg("%d-%d-%d is %d-%d-%d", y, m, d, yy, mm, dd);
        tm_val made;
        assert_int_equal(tm_make(y, m, d, 0, 0, 0, 0, TM_DAY, &made), HDW_OK);
        assert_true(made.usec == t.usec);
        assert_int_equal(tm_add(&t, 1, TM_DAY, false, &t), HDW_OK);
      }
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trips), cmocka_unit_test(test_refused), cmocka_unit_test(test_compare_n1),
                                     cmocka_unit_test(test_add_n1), cmocka_unit_test(test_unix), cmocka_unit_test(test_calendar_is_gregorian)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
