#include "fp_expr.h"

static void test_subsetting(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"{}.empty()", "true"}, {"1.empty()", "false"}, {"{}.exists()", "false"}, {"[1, 2].count()", "2"}, {"{}.count()", "0"}, {"[3, 4].first()", "3"}, {"{}.first()", "{}"}, {"[3, 4].last()", "4"}, {"3.last()", "3"}, {"{}.last()", "{}"},
      {"[3, 4, 5].tail()", "[4, 5]"}, {"[3, 4].tail()", "4"}, {"3.tail()", "{}"}, {"[3, 4, 5].skip(1)", "[4, 5]"}, {"[3, 4, 5].skip(0)", "[3, 4, 5]"}, {"[3, 4, 5].skip(-1)", "[3, 4, 5]"}, {"[3, 4, 5].skip(9)", "{}"}, {"3.skip(0)", "3"},
      {"[3, 4, 5].take(2)", "[3, 4]"}, {"[3, 4, 5].take(0)", "{}"}, {"[3, 4, 5].take(-1)", "{}"}, {"[3, 4, 5].take(9)", "[3, 4, 5]"}, {"[3].take(9)", "3"}, {"{}.take(1)", "{}"}, {"[3, 4].take('a')", "!HDW_E_TYPE"},
      {"3.single()", "3"}, {"{}.single()", "{}"}, {"[3, 4].single()", "!HDW_E_CARD"}, {"[3, 4][1]", "4"}, {"[3, 4][2]", "{}"}, {"[3, 4][-1]", "{}"}, {"3[0]", "3"}, {"{}[0]", "{}"}, {"[3, 4][{}]", "{}"}, {"[3, 4][2147483648L]", "{}"}};
  FP_CHECK(rows);
}

static void test_sets(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"[1, 1.0, 2, 'a', 'a'].distinct()", "[1, 2, 'a']"}, {"[1, 2].isDistinct()", "true"}, {"[1, 1L].isDistinct()", "false"}, {"{}.isDistinct()", "true"}, {"[1, 2] | [2, 3]", "[1, 2, 3]"}, {"{} | {}", "{}"}, {"1 | 1", "1"},
      {"[1, 2].combine([2, 3])", "[1, 2, 2, 3]"}, {"{}.combine(1)", "1"}, {"[1, 1, 2].intersect([1, 2, 3])", "[1, 2]"}, {"[1, 2].intersect({})", "{}"}, {"[1, 1, 2, 3].exclude([2])", "[1, 1, 3]"}, {"[1, 2].exclude({})", "[1, 2]"},
      {"[1, 2].subsetOf([3, 2, 1])", "true"}, {"[1, 4].subsetOf([3, 2, 1])", "false"}, {"{}.subsetOf({})", "true"}, {"1.subsetOf({})", "false"}, {"[1, 2].supersetOf(2)", "true"}, {"{}.supersetOf(1)", "false"}, {"1.supersetOf({})", "true"},
      {"[@2012, @2012-01].isDistinct()", "true"}, {"[7 days, 1 week].isDistinct()", "false"}, {"[1 'g', 1000 'mg', 1 'mL'].distinct().count()", "2"}};
  FP_CHECK(rows);
}

static void test_large_sets(void **state) {
  (void)state;
  fpt t;
  fpt_begin(&t);
  enum { N = 50000 };
  val *v = (val *)arena_alloc(&t.a, 2 * N * sizeof *v), out;
  for (int i = 0; i < 2 * N; i++) v[i] = val_int(i % N * 7);
  val all = {.tag = VAL_LIST, .len = 2 * N, .u.v = v}, half = {.tag = VAL_LIST, .len = N, .u.v = v};
  assert_int_equal(fp_distinct(&t.cx, &all, 1, &out), HDW_OK);
  assert_int_equal(out.len, N);
  for (uint32_t i = 0; i < N; i++) assert_true(out.u.v[i].u.i == (int64_t)i * 7);
  assert_int_equal(fp_intersect(&t.cx, (val[]){all, half}, 2, &out), HDW_OK);
  assert_int_equal(out.len, N);
  assert_int_equal(fp_exclude(&t.cx, (val[]){all, half}, 2, &out), HDW_OK);
  assert_int_equal(out.tag, VAL_EMPTY);
  assert_int_equal(fp_is_distinct(&t.cx, &half, 1, &out), HDW_OK);
  assert_int_equal(out.u.i, 1);
  t.cx.fuel = 1000;
  assert_int_equal(fp_distinct(&t.cx, &all, 1, &out), HDW_E_FUEL);
  fpt_end(&t);
}

static void test_booleans_and_folds(void **state) {
  (void)state;
  static const fp_row rows[] = {
      {"[true, true].allTrue()", "true"}, {"[true, false].allTrue()", "false"}, {"{}.allTrue()", "true"}, {"[true, false].anyTrue()", "true"}, {"{}.anyTrue()", "false"}, {"[false, false].allFalse()", "true"}, {"{}.allFalse()", "true"},
      {"[true, false].allFalse()", "false"}, {"[true, true].anyFalse()", "false"}, {"[true, false].anyFalse()", "true"}, {"[true, 1].allTrue()", "!HDW_E_TYPE"},
      {"[1, 2, 3].sum()", "6"}, {"[1, 2.5].sum()", "3.5"}, {"{}.sum()", "0"}, {"[1 'mg', 2 'mg'].sum()", "3 'mg'"}, {"'a'.sum()", "!HDW_E_TYPE"}, {"[1, 'a'].sum()", "!HDW_E_TYPE"}, {"[2, 1, 3].min()", "1"}, {"['b', 'a'].max()", "'b'"}, {"{}.min()", "{}"},
      {"[1, 'a'].min()", "!HDW_E_TYPE"}, {"[@2012, @2012-01].max()", "{}"}, {"[1, 2].avg()", "1.5"}, {"{}.avg()", "{}"}, {"[2 'mg', 4 'mg'].avg()", "3 'mg'"}};
  FP_CHECK(rows);
}

static void test_trees_and_types(void **state) {
  (void)state;
  fpt t;
  val out;
  fpt_begin(&t);
  val leaf[] = {val_key("x", 1), val_int(1), val_key("y", 1), {.tag = VAL_NULL}};
  val inner = {.tag = VAL_OBJ, .len = 2, .u.v = leaf};
  val items[] = {{.tag = VAL_NUM, .len = 3, .u.s = "2.0"}, inner};
  val top[] = {val_key("a", 1), inner, val_key("b", 1), {.tag = VAL_LIST, .flags = VALF_UNEVEN, .len = 2, .u.v = items}};
  val obj = {.tag = VAL_OBJ, .len = 2, .u.v = top};
  assert_int_equal(fp_children(&t.cx, &obj, 1, &out), HDW_OK);
  assert_int_equal(val_count(out), 3);
  assert_string_equal(fp_show(&t.a, val_item(out, 1)), "2.0");
  assert_int_equal(fp_descendants(&t.cx, &obj, 1, &out), HDW_OK);
  assert_int_equal(val_count(out), 5);
  assert_int_equal(fp_has_value(&t.cx, &obj, 1, &out), HDW_OK);
  assert_string_equal(fp_show(&t.a, out), "false");
  t.cx.fuel = 3;
  assert_int_equal(fp_descendants(&t.cx, &obj, 1, &out), HDW_E_FUEL);
  fpt_end(&t);
  static const fp_row rows[] = {{"1.children()", "{}"}, {"1.hasValue()", "true"}, {"{}.hasValue()", "false"}, {"[1, 2].hasValue()", "false"}, {"'a'.getValue()", "'a'"}, {"[1, 2].getValue()", "{}"},
                                {"1.type()", "{namespace: 'System', name: 'Integer'}"}, {"[true, @2012].type()", "[{namespace: 'System', name: 'Boolean'}, {namespace: 'System', name: 'Date'}]"}, {"{}.type()", "{}"}};
  FP_CHECK(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_subsetting), cmocka_unit_test(test_sets), cmocka_unit_test(test_large_sets), cmocka_unit_test(test_booleans_and_folds), cmocka_unit_test(test_trees_and_types)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
