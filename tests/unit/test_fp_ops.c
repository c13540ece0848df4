#include "fp_expr.h"

static void test_arithmetic(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"1 + 2 * 3", "7"}, {"2147483647 + 1", "{}"}, {"-2147483647 - 2", "{}"}, {"65536 * 65536", "{}"}, {"2147483647L + 1", "2147483648L"},
      {"9223372036854775807L + 1", "{}"}, {"1 + 1.50", "2.50"}, {"0.1 + 0.2", "0.3"}, {"1 / 2", "0.5"}, {"4 / 2", "2"}, {"1 / 3", "0.3333333333333333333333333333"},
      {"1 / 0", "{}"}, {"1.0 / 0.0", "{}"}, {"7 div 2", "3"}, {"-7 div 2", "-3"}, {"-7 mod 2", "-1"}, {"7 div 0", "{}"}, {"7.5 mod 2", "1.5"},
      {"(-2147483647 - 1) div -1", "{}"}, {"(-2147483647 - 1) mod -1", "0"}, {"-(-2147483647 - 1)", "{}"}, {"5.5 div 0.7", "7"},
      {"{} + 1", "{}"}, {"1 + {}", "{}"}, {"'a' + 'b'", "'ab'"}, {"'a' + {}", "{}"}, {"1 + 'a'", "!HDW_E_TYPE"}, {"'a' - 'b'", "!HDW_E_TYPE"}, {"[1, 2] + 1", "!HDW_E_CARD"},
      {"true + 1", "!HDW_E_TYPE"}, {"-'a'", "!HDW_E_TYPE"}, {"99999999999999999999999999999999999999 + 1", "{}"},
      {"'a' & {}", "'a'"}, {"{} & {}", "''"}, {"'a' & 1", "'a1'"}, {"[1, 2] & 'b'", "!HDW_E_CARD"}};
  FP_CHECK(rows);
}

static void test_quantities(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"1 'mg' + 2 'mg'", "3 'mg'"}, {"1 'g' + 1 'mg'", "1001 'mg'"}, {"1 day + 12 hours", "36 hours"}, {"2 days - 1 day", "1 day"}, {"1 'mg' + 1 'mL'", "{}"},
      {"1 year + 6 months", "18 months"}, {"1 year + 1 day", "{}"}, {"2 * 3 'mg'", "6 'mg'"}, {"3 'mg' * 2", "6 'mg'"}, {"2 'cm' * 3 'cm'", "6 'cm2'"},
      {"6 'mg' / 2", "3 'mg'"}, {"6 'mg' / 2 'mg'", "3 '1'"}, {"6 'mg' / 2 'mL'", "3 'mg/mL'"}, {"6 'mg' / 0", "{}"}, {"-(1 'mg')", "-1 'mg'"}, {"1 'mg' + 'x'", "!HDW_E_TYPE"},
      {"1 'mg' < 2 'mg'", "true"}, {"1 'mg' < 1 'mL'", "{}"}, {"999 'mg' < 1 'g'", "true"}, {"1 'mg' div 2", "!HDW_E_TYPE"}};
  FP_CHECK(rows);
}

static void test_dates(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"@2016-02-29 + 1 year", "@2017-02-28"}, {"@2016-01-31 + 1 month", "@2016-02-29"}, {"@2012-01-01 + 2.9 days", "@2012-01-03"}, {"@2014 + 24 months", "@2016"},
      {"@2012-01-01 - 1 day", "@2011-12-31"}, {"@2012-01-01T10:00:00 + 1.5 seconds", "@2012-01-01T10:00:01.500"}, {"@T23:00 + 2 hours", "@T01:00"},
      {"@T10:00:00 + 1 day", "!HDW_E_TYPE"}, {"@2012-01-01 + 1 'mg'", "!HDW_E_TYPE"}, {"@2012-01-01 + 1 'mo'", "!HDW_E_TYPE"}, {"@2012-01-01 + 1", "!HDW_E_TYPE"},
      {"@9999-12-31 + 1 day", "{}"}, {"@2012-01-01 + 99999999999999999999 days", "{}"}, {"@2012-01-01 + {}", "{}"}, {"@2012-01-01 + 1 week", "@2012-01-08"},
      {"@2012-01-01T10:00Z - 90 minutes", "@2012-01-01T08:30Z"}};
  FP_CHECK(rows);
}

static void test_comparison(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"1 < 2", "true"}, {"2.0 <= 2", "true"}, {"'a' < 'b'", "true"}, {"@2012 < @2013-01", "true"}, {"@2012 < @2012-01", "{}"}, {"1 < 'a'", "!HDW_E_TYPE"}, {"true < false", "!HDW_E_TYPE"},
      {"{} < 1", "{}"}, {"[1, 2] < 3", "!HDW_E_CARD"}, {"1 = 1.0", "true"}, {"1 = 'a'", "false"}, {"1 != 'a'", "true"}, {"{} = {}", "{}"}, {"[1, 2] = [1, 2]", "true"}, {"[1, 2] = [2, 1]", "false"},
      {"[1, 2] ~ [2, 1]", "true"}, {"{} ~ {}", "true"}, {"{} !~ 1", "true"}, {"'Ab  c' ~ 'aB C'", "true"}, {"1 'mg' = 1 'mL'", "{}"}, {"1L = 1", "true"}, {"1L < 2", "true"}};
  FP_CHECK(rows);
}

static void test_logic_truth_tables(void **state) {
  (void)state;
  static const char *const v[] = {"true", "false", "{}"};
  static const struct { const char *op; const char *want[9]; } rows[] = {
      {"and", {"true", "false", "{}", "false", "false", "false", "{}", "false", "{}"}},
      {"or", {"true", "true", "true", "true", "false", "{}", "true", "{}", "{}"}},
      {"xor", {"false", "true", "{}", "true", "false", "{}", "{}", "{}", "{}"}},
      {"implies", {"true", "false", "{}", "true", "true", "true", "true", "{}", "{}"}}};
  for (size_t k = 0; k < 4; k++)
    for (int i = 0; i < 9; i++) {
      char text[64];
      snprintf(text, sizeof text, "%s %s %s", v[i / 3], rows[k].op, v[i % 3]);
      fp_row row = {text, rows[k].want[i]};
      fp_check(&row, 1);
    }
  static const fp_row more[] = {{"'x' and true", "true"}, {"0 or false", "true"}, {"[true, true] and true", "!HDW_E_CARD"}, {"true.not()", "false"}, {"{}.not()", "{}"}, {"'x'.not()", "false"}, {"[1, 2].not()", "!HDW_E_CARD"}};
  FP_CHECK(more);
}

static void test_membership(void **state) {
  (void)state;
  static const fp_row rows[] = {{"1 in [1, 2]", "true"}, {"3 in [1, 2]", "false"}, {"{} in [1, 2]", "{}"}, {"1 in {}", "false"}, {"[1, 2] in [1, 2]", "!HDW_E_CARD"}, {"[1, 2] contains 2.0", "true"},
                                {"{} contains 1", "false"}, {"[1, 2] contains {}", "{}"}, {"@2012 in [@2012-01]", "false"}};
  FP_CHECK(rows);
}

/* An HL7-like model: nodes carry text, and one kind carries nothing. */
static hdw_status node_text(vm_cx *cx, val item, val *out) {
  (void)cx;
  if (item.tag != VAL_HL7) return *out = item, HDW_OK;
  if (item.len == 99) return HDW_E_TYPE;
  *out = item.len ? val_str(item.u.s, item.len) : VAL_NONE;
  return HDW_OK;
}

static void test_model_nodes_count_as_what_they_hold(void **state) {
  (void)state;
  static const vm_model model = {.to_system = node_text};
  fpt t;
  fpt_begin(&t);
  t.cx.model = &model;
  val node = {.tag = VAL_HL7, .len = 8, .u.s = "20120131"}, nothing = {.tag = VAL_HL7, .u.s = ""}, number = {.tag = VAL_HL7, .len = 3, .u.s = "4.5"}, out;
  val segment = {.tag = VAL_HL7, .len = 99, .u.s = ""};
  tm_val day;
  assert_int_equal(tm_parse_date("2012-02-01", 10, &day), HDW_OK);
  val date = val_from_time(VAL_DATE, &day);
  assert_int_equal(fp_lt(&t.cx, (val[]){node, date}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "true");
  assert_int_equal(fp_eq(&t.cx, (val[]){number, val_int(4)}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "false");
  assert_int_equal(fp_add(&t.cx, (val[]){val_int(1), number}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "5.5");
  assert_int_equal(fp_add(&t.cx, (val[]){val_int(1), node}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "20120132");
  assert_int_equal(fp_lt(&t.cx, (val[]){number, date}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "{}");
  assert_int_equal(fp_eq(&t.cx, (val[]){node, val_str("20120131", 8)}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "true");
  assert_int_equal(fp_concat(&t.cx, (val[]){node, nothing}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "'20120131'");
  assert_int_equal(fp_and(&t.cx, (val[]){nothing, val_bool(true)}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "{}");
  assert_int_equal(fp_and(&t.cx, (val[]){segment, val_bool(true)}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "true");
  assert_int_equal(fp_eq(&t.cx, (val[]){segment, segment}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "true");
  assert_int_equal(fp_upper(&t.cx, &segment, 1, &out), HDW_E_TYPE);
  val pair = {.tag = VAL_LIST, .len = 2, .u.v = (val[]){node, val_str("20120131", 8)}};
  assert_int_equal(fp_is_distinct(&t.cx, &pair, 1, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "false");
  assert_int_equal(fp_year_of(&t.cx, &node, 1, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "2012");
  fpt_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_quantities), cmocka_unit_test(test_dates), cmocka_unit_test(test_comparison),
                                     cmocka_unit_test(test_logic_truth_tables), cmocka_unit_test(test_membership), cmocka_unit_test(test_model_nodes_count_as_what_they_hold)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
