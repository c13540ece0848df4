/* The literal cases of the official FHIRPath suite, straight on the natives. */
#include <stdlib.h>
#include "fp_expr.h"

/* Where we deliberately differ, and why. */
static const char *const DIFFER[] = {
    "@1973-12-25T00:00:00.000+10:00 + 0.1 's'", /* N1: decimals are cut above seconds only; the suite cuts seconds too */
    "@2014-01-01T08.highBoundary(17)",          /* the last instant of hour 8 is 08:59:59.999, not 08:00:59.999 */
};

static bool differs(const char *expr) {
  for (size_t i = 0; i < sizeof DIFFER / sizeof *DIFFER; i++)
    if (strcmp(DIFFER[i], expr) == 0) return true;
  return false;
}

static bool same(fpt *t, val got, val want) {
  int eq;
  if (val_count(want) == 0 || val_count(got) == 0) return val_count(want) == val_count(got);
  assert_int_equal(val_equal(&t->a, got, want, &eq), HDW_OK);
  return eq == 1;
}

static void test_official_literal_cases(void **state) {
  (void)state;
  char *text = test_read_file("tests/conformance/fhirpath/literals.tsv", NULL);
  unsigned ran = 0, bad = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char *tab = strchr(line, '\t');
    if (*line == '#' || !tab) continue;
    *tab++ = 0;
    fpt t;
    val got, want = VAL_NONE;
    fpt_begin(&t);
    hdw_status st = fp_expr(&t.cx, line, &got);
    bool ok = *tab == '!' ? st != HDW_OK : st == HDW_OK && fp_expr(&t.cx, tab, &want) == HDW_OK && same(&t, got, want);
    if (!ok && !differs(line)) {
      print_error("%s\n   is %s, not %s\n", line, st ? hdw_status_name(st) : fp_show(&t.a, got), tab);
      bad++;
    }
    ran++;
    fpt_end(&t);
  }
  free(text);
  assert_true(ran > 450);
  assert_int_equal(bad, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_official_literal_cases)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
