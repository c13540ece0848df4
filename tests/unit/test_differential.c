/* The machine beside a second, slow one that trusts nothing (vm_slow.h): generated programs, and real ones of which words were changed. tests/sim/vm_mutants.c runs
 * the same for as long as one likes (./dev campaign verifier). */
#include "support.h"
#include "vm_mutate.h"

enum { PROGRAMS = 1500, MUTANTS = 4000 };

static void test_generated_programs(void **state) {
  (void)state;
  static mutants x;
  int bad = 0;
  mutants_init(&x);
  for (uint64_t seed = 1; seed <= PROGRAMS; seed++)
    if (mutants_program(&x, seed)) bad++, print_error("program %llu: %s\n", (unsigned long long)seed, x.why);
  print_message("%llu runs, %llu compared to their end (%llu done, %llu faults, %llu out of fuel), %llu open, %llu requests, %llu steps\n", (unsigned long long)x.b.runs, (unsigned long long)x.b.compared,
    (unsigned long long)x.b.done, (unsigned long long)x.b.failed, (unsigned long long)x.b.out_of_fuel, (unsigned long long)x.b.open, (unsigned long long)x.b.asked, (unsigned long long)x.b.steps);
  assert_true(x.b.compared > x.b.runs / 3);
  mutants_free(&x);
  assert_int_equal(bad, 0);
}

static void test_changed_programs(void **state) {
  (void)state;
  static mutants x;
  int bad = 0;
  mutants_init(&x);
  static const uint64_t known[] = {6472175 /* a branch ended in the registers of a call that who began it was in */};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (mutants_change(&x, known[i])) bad++, print_error("mutant %llu: %s\n", (unsigned long long)known[i], x.why);
  for (uint64_t seed = 1; seed <= MUTANTS; seed++)
    if (mutants_change(&x, seed)) bad++, print_error("mutant %llu: %s\n", (unsigned long long)seed, x.why);
  print_message("%llu of %d loaded, %llu verified, %llu runs, %llu compared\n", (unsigned long long)x.loaded, MUTANTS, (unsigned long long)x.verified, (unsigned long long)x.b.runs, (unsigned long long)x.b.compared);
  assert_true(x.verified > MUTANTS / 20 && x.loaded > x.verified);
  mutants_free(&x);
  assert_int_equal(bad, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_generated_programs), cmocka_unit_test(test_changed_programs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
