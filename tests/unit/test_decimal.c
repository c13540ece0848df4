#include <string.h>
#include "decimal.h"
#include "support.h"

static dec D(const char *s) {
  dec d;
  if (dec_parse(s, strlen(s), &d) != HDW_OK) fail_msg("does not parse: %s", s);
  return d;
}

static const char *F(dec d) {
  static char text[8][DEC_TEXT_MAX + 1];
  static int k;
  char *t = text[k++ & 7];
  size_t n = dec_format(&d, t);
  assert_true(n <= DEC_TEXT_MAX);
  t[n] = 0;
  return t;
}

static void test_parse_keeps_digits(void **state) {
  (void)state;
  static const char *same[] = {"0", "0.00", "1.00", "-1.50", "12345678901234567890123456789012345678", "0.0000000000000000000000000001",
                               "-0.5", "99999999999999999999999999999999999999", "1234567890.1234567890123456789012345678"};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) assert_string_equal(F(D(same[i])), same[i]);
  assert_string_equal(F(D("+7")), "7");
  assert_string_equal(F(D("007.10")), "7.10");
  assert_string_equal(F(D("1e3")), "1000");
  assert_string_equal(F(D("1.50e1")), "15.0");
  assert_string_equal(F(D("-2.5E-3")), "-0.0025");
  assert_string_equal(F(D("-0.0")), "0.0");
  assert_string_equal(F(D("0e999999999999")), "0");
  assert_string_equal(F(D("1.00000000000000000000000000000000000000000000")), "1.0000000000000000000000000000");
}

/* Zeros of the fraction that do not fit are dropped; the value never changes. */
static void test_zeros_that_do_not_fit(void **state) {
  (void)state;
  static const char text[] = "13400000000001300.0010000000000000000000";
  dec d;
  char out[DEC_TEXT_MAX];
  assert_int_equal(dec_parse(text, sizeof text - 1, &d), HDW_OK);
  assert_int_equal(d.scale, 21);
  assert_int_equal(dec_format(&d, out), 39);
  assert_memory_equal(out, text, 39);
}

static void test_parse_refuses(void **state) {
  (void)state;
  dec d;
  static const char *bad[] = {"", "-", ".5", "5.", "1.e3", "1e", "1e+", "1x", "1 ", " 1", "1..2", "1.2.3", "0x10", "NaN", "--1", "1e1.5"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(dec_parse(bad[i], strlen(bad[i]), &d), HDW_E_SYNTAX);
  static const char *far[] = {"100000000000000000000000000000000000000", "1e38", "1e-29", "1.00000000000000000000000000001", "1e999999999999999999999",
                              "123456789012345678901234567890123456789"};
  for (size_t i = 0; i < sizeof far / sizeof *far; i++) assert_int_equal(dec_parse(far[i], strlen(far[i]), &d), HDW_E_RANGE);
}

typedef hdw_status op2(const dec *, const dec *, dec *);
static void check(op2 *f, const char *a, const char *b, const char *want) {
  dec x = D(a), y = D(b), r;
  hdw_status s = f(&x, &y, &r);
  if (!want) {
    assert_int_equal(s, HDW_E_RANGE);
    return;
  }
  if (s != HDW_OK) fail_msg("%s, %s: %s", a, b, hdw_status_name(s));
  assert_string_equal(F(r), want);
}

static void test_add_sub(void **state) {
  (void)state;
  check(dec_add, "1.2", "1.8", "3.0");
  check(dec_add, "0.1", "0.2", "0.3");
  check(dec_add, "1", "0.001", "1.001");
  check(dec_sub, "1.8", "1.2", "0.6");
  check(dec_sub, "0.30", "0.1", "0.20");
  check(dec_add, "99999999999999999999999999999999999999", "1", NULL);
  check(dec_add, "99999999999999999999999999999999999999", "0.000", "99999999999999999999999999999999999999");
  check(dec_add, "99999999999999999999999999999999999999", "99999999999999999999999999999999999999", NULL);
  check(dec_sub, "-99999999999999999999999999999999999999", "99999999999999999999999999999999999999", NULL);
  check(dec_add, "1e37", "0.1", NULL);
  check(dec_sub, "-99999999999999999999999999999999999999", "1", NULL);
}

static void test_mul(void **state) {
  (void)state;
  check(dec_mul, "1.2", "1.8", "2.16");
  check(dec_mul, "2.0", "2.00", "4.000");
  check(dec_mul, "-3", "0.5", "-1.5");
  check(dec_mul, "1e20", "1e20", NULL);
  check(dec_mul, "12345678901234567890", "98765432109876543", "1219326311370217949644871231852004270");
  /* 40 digits of fraction are reduced to 28, rounded half away from zero */
  check(dec_mul, "0.00000000000000000005", "0.00000000100000000000", "0.0000000000000000000000000001");
  check(dec_mul, "0.00000000000000000004", "0.00000000100000000000", "0.0000000000000000000000000000");
}

static void test_mul_reduces_scale(void **state) {
  (void)state;
  dec x = D("1234567890123456789.12"), r;
  assert_int_equal(dec_mul(&x, &x, &r), HDW_OK);
  /* the square has 37 whole digits: one place of the fraction is left */
  assert_string_equal(F(r), "1524157875323883675315348292379820150.4");
}

static void test_div(void **state) {
  (void)state;
  check(dec_div, "1", "2", "0.5");
  check(dec_div, "4.0", "2.0", "2");
  check(dec_div, "1", "3", "0.3333333333333333333333333333");
  check(dec_div, "2", "3", "0.6666666666666666666666666667");
  check(dec_div, "-2", "3", "-0.6666666666666666666666666667");
  check(dec_div, "10", "2.5", "4");
  check(dec_div, "1", "8", "0.125");
  check(dec_div, "1", "0", NULL);
  check(dec_div, "1", "0.00", NULL);
  check(dec_div, "0", "7", "0");
  check(dec_div, "99999999999999999999999999999999999999", "0.1", NULL);
  check(dec_div, "99999999999999999999999999999999999999", "3", "33333333333333333333333333333333333333");
  check(dec_div, "10000000000000000000000000000000000000", "99999999999999999999999999999999999999", "0.1000000000000000000000000000");
  check(dec_div, "99999999999999999999999999999999999998", "99999999999999999999999999999999999999", "1.0000000000000000000000000000");
}

static void test_idiv_mod(void **state) {
  (void)state;
  check(dec_idiv, "5", "2", "2");
  check(dec_idiv, "2.2", "1.8", "1");
  check(dec_idiv, "-7", "2", "-3");
  check(dec_idiv, "1", "0.003", "333");
  check(dec_idiv, "0.003", "1", "0");
  check(dec_idiv, "5.5", "0.7", "7");
  check(dec_idiv, "5", "0", NULL);
  check(dec_mod, "5", "2", "1");
  check(dec_mod, "2.2", "1.8", "0.4");
  check(dec_mod, "-5.5", "0.7", "-0.6");
  check(dec_mod, "1e37", "0.0003", "0.0001");
  check(dec_mod, "0.1234567890123456789012345678", "99999999999999999999999999999999999999", "0.1234567890123456789012345678");
  check(dec_mod, "5", "0", NULL);
}

static void test_compare_ignores_trailing_zeros(void **state) {
  (void)state;
  static const struct { const char *a, *b; int want; } row[] = {
      {"1.00", "1", 0}, {"1.0", "1.00", 0}, {"-1.5", "1", -1}, {"0.0", "0", 0}, {"2", "1.9999999999999999999999999999", 1},
      {"99999999999999999999999999999999999999", "0.0000000000000000000000000001", 1},
      {"-99999999999999999999999999999999999999", "-0.0000000000000000000000000001", -1}, {"0.1", "0.10", 0}, {"0", "-0.1", 1}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dec a = D(row[i].a), b = D(row[i].b);
    assert_int_equal(dec_cmp(&a, &b), row[i].want);
    assert_int_equal(dec_cmp(&b, &a), -row[i].want);
  }
}

static void test_rounding(void **state) {
  (void)state;
  dec r, x = D("3.14159");
  assert_int_equal(dec_round(&x, 3, &r), HDW_OK);
  assert_string_equal(F(r), "3.142");
  x = D("-1.5"), dec_round(&x, 0, &r);
  assert_string_equal(F(r), "-2");
  x = D("0.999"), dec_round(&x, 2, &r);
  assert_string_equal(F(r), "1.00");
  x = D("1.5"), dec_round(&x, 8, &r);
  assert_string_equal(F(r), "1.5");
  assert_int_equal(dec_round(&x, -1, &r), HDW_E_RANGE);
  x = D("-1.1");
  assert_string_equal(F(dec_ceil(&x)), "-1");
  assert_string_equal(F(dec_floor(&x)), "-2");
  assert_string_equal(F(dec_trunc(&x)), "-1");
  x = D("1.1");
  assert_string_equal(F(dec_ceil(&x)), "2");
  assert_string_equal(F(dec_floor(&x)), "1");
  x = D("2.00");
  assert_string_equal(F(dec_ceil(&x)), "2");
  assert_string_equal(F(dec_strip(&x)), "2");
  x = D("1.5870");
  assert_int_equal(dec_precision(&x), 3);
  assert_string_equal(F(dec_neg(&x)), "-1.5870");
}

static void test_to_i64(void **state) {
  (void)state;
  int64_t i;
  dec d = D("-9223372036854775808");
  assert_int_equal(dec_to_i64(&d, &i), HDW_OK);
  assert_true(i == INT64_MIN);
  d = D("9223372036854775808");
  assert_int_equal(dec_to_i64(&d, &i), HDW_E_RANGE);
  d = D("5.00");
  assert_int_equal(dec_to_i64(&d, &i), HDW_OK);
  assert_int_equal(i, 5);
  d = D("5.01");
  assert_int_equal(dec_to_i64(&d, &i), HDW_E_RANGE);
  d = dec_from_i64(INT64_MIN);
  assert_string_equal(F(d), "-9223372036854775808");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parse_keeps_digits), cmocka_unit_test(test_zeros_that_do_not_fit), cmocka_unit_test(test_parse_refuses),
      cmocka_unit_test(test_add_sub), cmocka_unit_test(test_mul), cmocka_unit_test(test_mul_reduces_scale),
      cmocka_unit_test(test_div), cmocka_unit_test(test_idiv_mod),
      cmocka_unit_test(test_compare_ignores_trailing_zeros), cmocka_unit_test(test_rounding), cmocka_unit_test(test_to_i64),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
