/* Changes of some elements of a FHIR resource (PROTOCOLS F-13, F-15): what stands in the patch, and what guards it. At the seam, with the real driver. */
#include "http_rig.h"

static prog *patch(world *w, const char *args, const char *call) {
  char text[500];
  snprintf(text, sizeof text, "step x = ehr.patch(%s)", call);
  return world_run(w, "fhir", args, text);
}

static uint32_t run_state(prog *p) { return prog_the_run(p, 0).state; }

typedef struct guarded { const char *patient, *etag, *args, *if_match, *body; } guarded; /* what is read; what the patch of its gender goes with (NULL: no If-Match) */

static void check_guards(const guarded *t, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char want[100];
    world w = {.to = {{200, t[i].patient, t[i].etag ? "ETag" : NULL, t[i].etag}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}};
    prog *p = patch(&w, t[i].args, "Patient, '1', set: { gender: 'female' }");
    assert_int_equal(run_state(p), RUN_DONE);
    assert_string_equal(w.v[1].method, "PATCH");
    snprintf(want, sizeof want, "If-Match: %s\n", t[i].if_match ? t[i].if_match : "");
    if (t[i].if_match ? !strstr(w.v[1].headers, want) : !!strstr(w.v[1].headers, "If-Match")) fail_msg("%zu: %s", i, w.v[1].headers);
    assert_string_equal(w.v[1].body, t[i].body);
    prog_free(p);
  }
}

#define MALE "{\"resourceType\":\"Patient\",\"id\":\"1\",\"gender\":\"male\"}"
#define MALE_7 "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"gender\":\"male\"}"
#define NOT_SAID_7 "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"}}"

/* The version for If-Match is the ETag's; what the body says is second. Without meta.versionId a test of it would fail on every server. */
static void test_F13_the_version_is_that_of_the_etag(void **state) {
  (void)state;
  static const guarded t[] = {
      {MALE, "W/\"0$7\"", "", "W/\"0$7\"", "[{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"female\"}]"},
      {NOT_SAID_7, "W/\"a7\"", "", "W/\"a7\"", "[{\"op\":\"test\",\"path\":\"/meta/versionId\",\"value\":\"7\"},{\"op\":\"add\",\"path\":\"/gender\",\"value\":\"female\"}]"}};
  check_guards(t, sizeof t / sizeof *t);
}

/* Servers that take patches of certain paths only: If-Match alone guards it. Without an ETag the test stays. */
static void test_F15_a_quirk_leaves_the_test_of_the_version_out(void **state) {
  (void)state;
  static const guarded t[] = {
      {MALE_7, NULL, "quirks: { version_test: false }", "W/\"7\"", "[{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"female\"}]"},
      {MALE, NULL, "quirks: { version_test: false }", NULL, "[{\"op\":\"test\",\"path\":\"/gender\",\"value\":\"male\"},{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"female\"}]"}};
  check_guards(t, sizeof t / sizeof *t);
}

/* RFC 6901: ~ and / in a name are ~0 and ~1, or the patch is one of another element. Long names are not cut. */
static void test_F15_names_are_escaped_in_paths(void **state) {
  (void)state;
  world w = {.to = {{200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"~\":1}", NULL, NULL}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}};
  prog *p = patch(&w, "", "Patient, '1', set: { '~': 2, 'name/0/family': 'x', 'm~1n': true }");
  assert_int_equal(run_state(p), RUN_DONE);
  assert_non_null(strstr(w.v[1].body, "{\"op\":\"replace\",\"path\":\"/~0\",\"value\":2}"));
  assert_non_null(strstr(w.v[1].body, "{\"op\":\"add\",\"path\":\"/name~10~1family\",\"value\":\"x\"}"));
  assert_non_null(strstr(w.v[1].body, "{\"op\":\"add\",\"path\":\"/m~01n\",\"value\":true}"));
  prog_free(p);
  char call[300], name[151];
  memset(name, 'n', 150);
  name[150] = 0;
  snprintf(call, sizeof call, "Patient, '1', set: { '%s': 2 }", name);
  world cut = {.to = {{200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"}}", NULL, NULL}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}};
  p = patch(&cut, "", call);
  assert_int_equal(run_state(p), RUN_DONE);
  assert_non_null(strstr(cut.v[1].body, name));
  prog_free(p);
}

/* set and remove of the same element: it goes. {} in set says nothing about an element. */
static void test_F15_what_set_and_remove_say(void **state) {
  (void)state;
  static const char has[] = "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"gender\":\"male\",\"birthDate\":\"1990\"}";
  world w = {.to = {{200, has, NULL, NULL}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}};
  prog *p = patch(&w, "", "Patient, '1', set: { gender: 'female' }, remove: ['gender', 'photo']");
  assert_string_equal(w.v[1].body, "[{\"op\":\"test\",\"path\":\"/meta/versionId\",\"value\":\"7\"},{\"op\":\"remove\",\"path\":\"/gender\"}]");
  prog_free(p);
  world empty = {.to = {{200, has, NULL, NULL}}};
  p = patch(&empty, "", "Patient, '1', set: { gender: msg.PID-30, birthDate: {} }");
  assert_int_equal(run_state(p), RUN_DONE);
  assert_int_equal(empty.n, 1); /* nothing to change: nothing is sent */
  prog_free(p);
}

/* The precision of a decimal is of it: 1.0 and 1.00 differ. The same in another order of members is the same. */
static void test_F15_what_is_a_change(void **state) {
  (void)state;
  static const char has[] = "{\"resourceType\":\"Observation\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"valueQuantity\":{\"value\":1.0,\"unit\":\"mg\"}}";
  world w = {.to = {{200, has, NULL, NULL}, {200, "{\"resourceType\":\"Observation\",\"id\":\"1\"}", NULL, NULL}}};
  prog *p = patch(&w, "", "Observation, '1', set: { valueQuantity: { value: 1.00, unit: 'mg' } }");
  assert_int_equal(w.n, 2);
  assert_non_null(strstr(w.v[1].body, "\"value\":1.00"));
  prog_free(p);
  static const struct { const char *body, *call; } same[] = {
      {has, "Observation, '1', set: { valueQuantity: { unit: 'mg', value: 1.0 } }"},
      {"{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"name\":[{\"text\":\"M\\u00fcller \\/ \\\"x\\\"\"}]}", "Patient, '1', set: { name: [{ text: 'Müller / \"x\"' }] }"},
      {"{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"name\":[{\"given\":[\"a\",\"b\"]}]}", "Patient, '1', set: { name: { given: ['a', 'b'] } }"},
      {"{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"name\":[]}", "Patient, '1', set: { name: [] }"}};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    world s = {.to = {{200, same[i].body, NULL, NULL}}};
    p = patch(&s, "", same[i].call);
    assert_int_equal(run_state(p), RUN_DONE);
    if (s.n != 1) fail_msg("%zu: %s", i, s.v[1].body);
    prog_free(p);
  }
  static const struct { const char *body, *call; } other[] = {
      {"{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"name\":[{\"given\":[\"a\",\"b\"]}]}", "Patient, '1', set: { name: [{ given: ['b', 'a'] }] }"},
      {"{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"name\":[{\"given\":[\"a\",\"b\"]}]}", "Patient, '1', set: { name: [{ given: ['a', 'b', 'c'] }] }"},
      {"{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"7\"},\"active\":\"true\"}", "Patient, '1', set: { active: true }"}};
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    world s = {.to = {{200, other[i].body, NULL, NULL}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}};
    p = patch(&s, "", other[i].call);
    assert_int_equal(s.n, 2);
    prog_free(p);
  }
}

/* The whole instead of a patch goes with If-Match only: without a version it would undo what others write. */
static void test_F15_no_put_without_a_version(void **state) {
  (void)state;
  world w = {.to = {{200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"gender\":\"male\"}", NULL, NULL}, {405, "", NULL, NULL}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}, .answers = 3};
  prog *p = patch(&w, "", "Patient, '1', set: { gender: 'female' }");
  assert_int_equal(w.n, 2);
  assert_int_not_equal(run_state(p), RUN_DONE);
  prog_free(p);
  world with = {.to = {{200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"gender\":\"male\"}", "ETag", "W/\"3\""}, {405, "", NULL, NULL}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}};
  p = patch(&with, "", "Patient, '1', set: { gender: 'female' }");
  assert_int_equal(run_state(p), RUN_DONE);
  assert_string_equal(with.v[2].method, "PUT");
  assert_non_null(strstr(with.v[2].headers, "If-Match: W/\"3\"\n"));
  prog_free(p);
}

/* if_match of the call is compared where the server names a version, and goes along where it names none. */
static void test_F13_if_match_of_the_call(void **state) {
  static const char no[] = "{\"resourceType\":\"Patient\",\"id\":\"1\",\"gender\":\"male\"}";
  (void)state;
  world w = {.to = {{200, no, NULL, NULL}, {200, no, NULL, NULL}}};
  prog *p = patch(&w, "", "Patient, '1', set: { gender: 'female' }, if_match: '4'");
  assert_int_equal(run_state(p), RUN_DONE);
  assert_non_null(strstr(w.v[1].headers, "If-Match: W/\"4\"\n"));
  prog_free(p);
  world late = {.to = {{200, no, "ETag", "W/\"5\""}}, .answers = 1};
  p = patch(&late, "", "Patient, '1', set: { gender: 'female' }, if_match: '4'");
  assert_int_equal(late.n, 1);
  assert_int_not_equal(run_state(p), RUN_DONE);
  prog_free(p);
}

/* What a server makes of a version: no header of two lines, no quote within, none of 65 characters. Then the version of the body, else the values guard it. */
static void test_F13_hostile_etags(void **state) {
  static const char *const bad[] = {"\"", "W/", "W/\"", "\"a\"b\"", "W/\"a b\"", "\"0123456789012345678901234567890123456789012345678901234567890123456789\"", "\"\xc3\xa9\""};
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    guarded t = {MALE, bad[i], "", NULL, "[{\"op\":\"test\",\"path\":\"/gender\",\"value\":\"male\"},{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"female\"}]"};
    check_guards(&t, 1);
  }
  world w = {.to = {{200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"9\"},\"gender\":\"male\"}", "ETag", "W/\"a b\""}, {200, "{\"resourceType\":\"Patient\",\"id\":\"1\"}", NULL, NULL}}};
  prog *p = patch(&w, "", "Patient, '1', set: { gender: 'female' }");
  assert_non_null(strstr(w.v[1].headers, "If-Match: W/\"9\"\n"));
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_F13_the_version_is_that_of_the_etag),
      cmocka_unit_test(test_F15_a_quirk_leaves_the_test_of_the_version_out),
      cmocka_unit_test(test_F15_names_are_escaped_in_paths),
      cmocka_unit_test(test_F15_what_set_and_remove_say),
      cmocka_unit_test(test_F15_what_is_a_change),
      cmocka_unit_test(test_F15_no_put_without_a_version),
      cmocka_unit_test(test_F13_if_match_of_the_call),
      cmocka_unit_test(test_F13_hostile_etags),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
