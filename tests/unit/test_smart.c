/* Scopes of SMART: their form, and what a list of them grants. */
#include <string.h>
#include "smart.h"
#include "support.h"

static void test_S8_forms(void **state) {
  (void)state;
  static const struct { const char *text; smart_form form; uint8_t rights; bool v1, part; } t[] = {
      {"system/Patient.rs", SMART_IS, SMART_R | SMART_S, false, false},
      {"patient/*.cruds", SMART_IS, SMART_ALL, false, false},
      {"user/Observation.read", SMART_IS, SMART_R | SMART_S, true, false},
      {"system/Observation.write", SMART_IS, SMART_C | SMART_U | SMART_D, true, false},
      {"system/*.*", SMART_IS, SMART_ALL, true, false},
      {"patient/Observation.rs?category=http://x|vital-signs", SMART_IS, SMART_R | SMART_S, false, true},
      {"openid", SMART_IS_NOT, 0, false, false},
      {"launch/patient", SMART_IS_NOT, 0, false, false},
      {"system/", SMART_IS_NOT, 0, false, false},
      {"", SMART_IS_NOT, 0, false, false},
      {"system/Patient", SMART_BAD_FORM, 0, false, false},
      {"system/Patient.sr", SMART_BAD_RIGHTS, 0, false, false},
      {"system/Patient.rr", SMART_BAD_RIGHTS, 0, false, false},
      {"system/Patient.rx", SMART_BAD_RIGHTS, 0, false, false},
      {"system/Patient.", SMART_BAD_RIGHTS, 0, false, false},
      {"system/Patient.?a=b", SMART_BAD_RIGHTS, 0, false, true},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    smart_scope s;
    smart_form form = smart_scope_read(t[i].text, strlen(t[i].text), &s);
    if (form != t[i].form || s.rights != t[i].rights || s.v1 != t[i].v1 || s.part != t[i].part) fail_msg("%s: form %d, rights %u", t[i].text, (int)form, s.rights);
  }
}

static void test_S9_what_a_list_grants(void **state) {
  (void)state;
  static const struct { const char *scopes, *type; uint8_t need, missing; bool any; } t[] = {
      {"system/Patient.rs", "Patient", SMART_R | SMART_S, 0, true},
      {"system/Patient.r system/Patient.s", "Patient", SMART_R | SMART_S, 0, true},
      {"system/Patient.read", "Patient", SMART_R | SMART_S | SMART_U, SMART_U, true},
      {"system/*.read openid", "Coverage", SMART_R, 0, true},
      {"system/Patient.rs", "Pat", SMART_R, SMART_R, true},
      {"system/Pat.rs", "Patient", SMART_R, SMART_R, true},
      {"openid api.all", "Patient", SMART_R, SMART_R, false},
      {"", "Patient", SMART_R, SMART_R, false},
      {"  system/Patient.c  ", "Patient", SMART_C, 0, true},
      {"patient/Observation.rs?category=a", "Observation", SMART_S, 0, true},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    bool any;
    uint8_t missing = smart_missing(t[i].scopes, t[i].type, t[i].need, &any);
    if (missing != t[i].missing || any != t[i].any) fail_msg("%s for %s: %u", t[i].scopes, t[i].type, missing);
  }
  char out[6];
  assert_string_equal(smart_letters(SMART_ALL, out), "cruds");
  assert_string_equal(smart_letters(SMART_C | SMART_S, out), "cs");
  assert_int_equal(smart_right('u'), SMART_U);
  assert_int_equal(smart_right(0), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_S8_forms), cmocka_unit_test(test_S9_what_a_list_grants)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
