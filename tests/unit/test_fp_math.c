#include "fp_expr.h"

static void test_exact(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"(-5).abs()", "5"}, {"(-2147483647 - 1).abs()", "{}"}, {"(-5.50).abs()", "5.50"}, {"(-5 'mg').abs()", "5 'mg'"}, {"'a'.abs()", "!HDW_E_TYPE"}, {"{}.abs()", "{}"}, {"[1, 2].abs()", "!HDW_E_CARD"},
      {"1.1.ceiling()", "2"}, {"(-1.1).ceiling()", "-1"}, {"(-1.1).floor()", "-2"}, {"9999999999.5.floor()", "9999999999L"}, {"99999999999999999999.5.floor()", "{}"}, {"(-1.56).truncate()", "-1"},
      {"3.14159.round(3)", "3.142"}, {"1.round()", "1"}, {"2.5.round()", "3"}, {"(-2.5).round()", "-3"}, {"1.25.round(1)", "1.3"}, {"1.5.round(-1)", "!HDW_E_RANGE"}, {"1.5.round(99)", "1.5"}, {"1.5.round({})", "2"},
      {"2.power(3)", "8"}, {"2.power(31)", "{}"}, {"2.power(-1)", "0.5"}, {"2.5.power(2)", "6.25"}, {"0.power(0)", "1"}, {"0.power(-1)", "{}"}, {"10.0.power(40)", "{}"}, {"1.power(2147483647)", "1"}, {"2L.power(40)", "1099511627776L"},
      {"1.1.power(10)", "2.5937424601"}};
  FP_CHECK(rows);
}

static void test_irrational_to_8_digits(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"81.sqrt()", "9"}, {"2.sqrt()", "1.41421356"}, {"(-1).sqrt()", "{}"}, {"0.exp()", "1"}, {"1.exp()", "2.71828183"}, {"1000.exp()", "{}"}, {"1.ln()", "0"}, {"0.ln()", "{}"}, {"(-1).ln()", "{}"},
      {"16.log(2)", "4"}, {"100.0.log(10.0)", "2"}, {"1000.log(10)", "3"}, {"8.log(1)", "{}"}, {"8.log(0)", "{}"}, {"(-8).log(2)", "{}"}, {"2.power(0.5)", "1.41421356"}, {"(-1).power(0.5)", "{}"}, {"2.power({})", "{}"}};
  FP_CHECK(rows);
}

static void test_boundaries(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"1.5.lowBoundary(2)", "1.45"}, {"1.5.highBoundary(2)", "1.55"}, {"1.587.lowBoundary()", "1.58650000"}, {"1.587 'cm'.highBoundary(8)", "1.58750000 'cm'"}, {"1.5.lowBoundary(29)", "{}"},
      {"@2014.lowBoundary()", "@2014-01-01"}, {"@2014.highBoundary()", "@2014-12-31"}, {"@2016-02.highBoundary()", "@2016-02-29"}, {"@2015-02.highBoundary()", "@2015-02-28"}, {"@2014-01-01.lowBoundary(6)", "@2014-01"},
      {"@2014.lowBoundary(9)", "{}"}, {"@2014.lowBoundary(17)", "{}"}, {"@T10:30.highBoundary()", "@T10:30:59.999"}, {"@T10.lowBoundary()", "@T10:00:00.000"}, {"@T10.lowBoundary(8)", "{}"},
      {"@2014T.lowBoundary()", "@2014-01-01T00:00:00.000+14:00"}, {"@2014T.highBoundary()", "@2014-12-31T23:59:59.999-12:00"}, {"@2014-01-01T08:05-05:00.highBoundary()", "@2014-01-01T08:05:59.999-05:00"},
      {"@2014-01-01T08.highBoundary()", "@2014-01-01T08:59:59.999-12:00"}, {"@2014-01-01T08:05Z.lowBoundary(14)", "@2014-01-01T08:05:00Z"}, {"'a'.lowBoundary()", "!HDW_E_TYPE"}, {"{}.highBoundary()", "{}"},
      {"1.58700.precision()", "5"}, {"@2014.precision()", "4"}, {"@T10:30.precision()", "4"}, {"@2014-01-05T10:30:00.000.precision()", "17"}, {"'a'.precision()", "!HDW_E_TYPE"}};
  FP_CHECK(rows);
}

static void test_clock(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"now()", "@2024-02-29T07:34:56.789-05:00"}, {"today()", "@2024-02-29"}, {"timeOfDay()", "@T07:34:56.789"}, {"now() > today()", "{}"}, {"@2012-03-04.yearOf()", "2012"}, {"@2012-03.monthOf()", "3"}, {"@2012-03.dayOf()", "{}"},
      {"@2012-03-04T05:06:07.089.millisecondOf()", "89"}, {"@T10:20:30.secondOf()", "30"}, {"@T10:20:30.yearOf()", "{}"}, {"@T10:20:30.minuteOf()", "20"}, {"@2012-03-04T05.hourOf()", "5"}, {"'2012'.yearOf()", "!HDW_E_TYPE"}, {"{}.yearOf()", "{}"},
      {"@2012-03-04T05:06:07Z.dateOf()", "@2012-03-04"}, {"@2012-03-04T05:06:07Z.timeOf()", "@T05:06:07"}, {"@2012.timeOf()", "{}"}, {"[@2012, @2013].yearOf()", "!HDW_E_CARD"}};
  FP_CHECK(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_exact), cmocka_unit_test(test_irrational_to_8_digits), cmocka_unit_test(test_boundaries), cmocka_unit_test(test_clock)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
