#include "fhir.h"
#include "model.h"
#include "fp_expr.h"

/* The tables of FHIRPath N1 section 5.5. */
static void test_tables(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"'T'.toBoolean()", "true"}, {"'YES'.toBoolean()", "true"}, {"'1.0'.toBoolean()", "true"}, {"'n'.toBoolean()", "false"}, {"'0.0'.toBoolean()", "false"}, {"'on'.toBoolean()", "{}"}, {"1.0.toBoolean()", "true"}, {"2.toBoolean()", "{}"},
      {"0L.toBoolean()", "false"}, {"@2012.toBoolean()", "{}"},
      {"'+12'.toInteger()", "12"}, {"'12 '.toInteger()", "{}"}, {"'-'.toInteger()", "{}"}, {"''.toInteger()", "{}"}, {"'2147483648'.toInteger()", "{}"}, {"'2147483648'.toLong()", "2147483648L"}, {"'9223372036854775808'.toLong()", "{}"},
      {"'-9223372036854775808'.toLong()", "-9223372036854775808L"}, {"true.toInteger()", "1"}, {"1.0.toInteger()", "{}"}, {"5L.toInteger()", "5"}, {"5.toLong()", "5L"},
      {"'1.20'.toDecimal()", "1.20"}, {"'+1'.toDecimal()", "1"}, {"'1e3'.toDecimal()", "{}"}, {"'.5'.toDecimal()", "{}"}, {"true.toDecimal()", "1.0"}, {"1.toDecimal().convertsToDecimal()", "true"},
      {"1.20.toString()", "'1.20'"}, {"true.toString()", "'true'"}, {"@2012-01.toString()", "'2012-01'"}, {"@T10:00.toString()", "'10:00'"}, {"1 'wk'.toString()", "'1 'wk''"}, {"4 days.toString()", "'4 days'"},
      {"'2012-01'.toDate()", "@2012-01"}, {"'2012-13'.toDate()", "{}"}, {"'2012-01-01T10:00Z'.toDate()", "@2012-01-01"}, {"'20120131'.toDate()", "@2012-01-31"}, {"@2012-01-01T10:00.toDate()", "@2012-01-01"}, {"'x'.toDate()", "{}"}, {"1.toDate()", "{}"},
      {"'2012-01-01'.toDateTime()", "@2012-01-01T"}, {"@2012.toDateTime()", "@2012T"}, {"'201201311030+0100'.toDateTime()", "@2012-01-31T10:30+01:00"}, {"'2012-01-01T25:00'.toDateTime()", "{}"},
      {"'10:00'.toTime()", "@T10:00"}, {"'1030'.toTime()", "@T10:30"}, {"'T10:00'.toTime()", "{}"}, {"@T10.toTime()", "@T10"},
      {"'1 day'.toQuantity()", "1 day"}, {"'1.5 \\'mg\\''.toQuantity()", "1.5 'mg'"}, {"'1.5'.toQuantity()", "1.5 '1'"}, {"'1 wk'.toQuantity()", "{}"}, {"'1 \\'\\''.toQuantity()", "{}"}, {"'1 \\'mg'.toQuantity()", "{}"}, {"'abc'.toQuantity()", "{}"},
      {"1 'g'.toQuantity('mg')", "1000 'mg'"}, {"1 'g'.toQuantity('mL')", "{}"}, {"2 weeks.toQuantity('day')", "14 days"}, {"1 'g'.convertsToQuantity('s')", "false"}, {"true.toQuantity()", "1.0 '1'"}, {"'3 days'.toQuantity().convertsToString()", "true"}};
  FP_CHECK(rows);
}

static void test_converts(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"{}.convertsToInteger()", "{}"}, {"'a'.convertsToInteger()", "false"}, {"[1, 2].convertsToInteger()", "!HDW_E_CARD"}, {"[1, 2].toString()", "!HDW_E_CARD"}, {"'1'.convertsToBoolean()", "true"}, {"'1'.convertsToLong()", "true"}, {"'1'.convertsToDecimal()", "true"},
      {"'1'.convertsToString()", "true"}, {"'2012'.convertsToDate()", "true"}, {"'2012'.convertsToDateTime()", "true"}, {"'10'.convertsToTime()", "true"}, {"'a'.convertsToTime()", "false"}, {"'1'.convertsToQuantity()", "true"}, {"{}.convertsToQuantity()", "{}"}};
  FP_CHECK(rows);
}

static void test_objects_and_types_of_models(void **state) {
  (void)state;
  fpt t;
  val out;
  fpt_begin(&t);
  val obj = {.tag = VAL_OBJ, .len = 0};
  assert_int_equal(fp_to_string(&t.cx, &obj, 1, &out), HDW_OK);
  assert_int_equal(out.tag, VAL_EMPTY);
  assert_int_equal(fp_converts_to_quantity(&t.cx, &obj, 1, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "false");
  val code = val_cstr("home");
  code.aux = 17; /* a FHIR code becomes a System.String */
  assert_int_equal(fp_to_string(&t.cx, &code, 1, &out), HDW_OK);
  assert_int_equal(out.aux, 0);
  assert_int_equal(fp_substring(&t.cx, (val[]){code, val_int(0), VAL_NONE}, 3, &out), HDW_OK);
  assert_int_equal(out.aux, 0);
  assert_int_equal(fp_first(&t.cx, &code, 1, &out), HDW_OK);
  assert_int_equal(out.aux, 17);
  fpt_end(&t);
}

static void test_fhir_quantity_is_a_quantity(void **state) {
  (void)state;
  fpt t;
  val out, limit;
  fpt_begin(&t);
  t.cx.model = &hdw_model;
  val kv[] = {val_key("value", 5), {.tag = VAL_NUM, .len = 3, .u.s = "185"}, val_key("unit", 4), val_cstr("lbs"), val_key("code", 4), val_cstr("[lb_av]"),
              val_key("system", 6), val_cstr("http://unitsofmeasure.org"), val_key("comparator", 10), val_cstr("<")};
  val q = fhir_as((val){.tag = VAL_OBJ, .len = 4, .u.v = kv}, fhir_type("Quantity", 8)), less = q;
  less.len = 5;
  assert_true(q.aux != 0);
  assert_int_equal(fp_expr(&t.cx, "180.0 '[lb_av]'", &limit), HDW_OK);
  assert_int_equal(fp_gt(&t.cx, (val[]){q, limit}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "true");
  assert_int_equal(fp_ne(&t.cx, (val[]){limit, q}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "true");
  assert_int_equal(fp_to_quantity(&t.cx, (val[]){q, VAL_NONE}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "185 '[lb_av]'");
  assert_int_equal(fp_eq(&t.cx, (val[]){q, q}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "true");
  assert_int_equal(fp_gt(&t.cx, (val[]){less, limit}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "{}");
  assert_int_equal(fp_to_quantity(&t.cx, (val[]){less, VAL_NONE}, 2, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "{}");
  val other = fhir_as(q, fhir_type("Period", 6));
  assert_int_equal(fp_gt(&t.cx, (val[]){other, limit}, 2, &out), HDW_E_TYPE);
  fpt_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_converts), cmocka_unit_test(test_objects_and_types_of_models),
                                     cmocka_unit_test(test_fhir_quantity_is_a_quantity)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
