/* Calls of a FHIR connection against the scopes that its login was granted (S-9), on the simulated seam. */
#include "auth_rig.h"

#define ANSWER(scope) "{\"access_token\":\"t\",\"token_type\":\"bearer\",\"expires_in\":3600,\"scope\":\"" scope "\"}"
#define PATIENT "{\"resourceType\":\"Patient\",\"id\":\"1\"}"

static void begin(auth_rig *r, const char *call) {
  static char text[2000];
  snprintf(text, sizeof text, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = fhir(base: 'https://api.example.org/r4', auth: oauth2(token: 'https://login.example.org/token', client_id: 'hub', "
           "client_secret: secret('s'), scopes: ['system/*.cruds']))\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  step r = ehr.%s\n  return { a: 1 }\n}\n", call);
  r->text = text;
  if (!r->reply) r->reply = PATIENT;
  auth_begin(r, "", NULL);
}

static store_run one_run(auth_rig *r, unsigned n) {
  auth_runs(r, 1);
  prog_run_for(r->p, 3000000);
  return prog_the_run(r->p, n);
}

static void is_refused(auth_rig *r, unsigned n, const char *says) {
  unsigned calls = r->calls;
  store_run row = one_run(r, n);
  assert_int_equal(r->calls, calls); /* nothing was sent */
  assert_int_equal(row.state, RUN_DEAD);
  if (row.error_code.len != 17 || memcmp(row.error_code.p, "scope_not_granted", 17) != 0) fail_msg("%.*s", (int)row.error_code.len, row.error_code.p);
  if (!strstr(r->p->e->conns[0]->last_error, says)) fail_msg("%s", r->p->e->conns[0]->last_error);
}

static void test_B7_S9_calls_that_the_granted_scopes_do_not_cover(void **state) {
  (void)state;
  static const struct { const char *call, *answer, *says; } t[] = {
      {"read(Patient, '1')", ANSWER("system/Observation.rs"), "no scope for read of Patient (system/Patient.r); nothing was sent"},
      {"search(Patient, family: disclose('x'))", ANSWER("system/Patient.r openid"), "no scope for search of Patient (system/Patient.s)"},
      {"create({ resourceType: 'Patient' })", ANSWER("system/Patient.read"), "no scope for create of Patient (system/Patient.c)"},
      {"update({ resourceType: 'Patient', id: '1' }, if_match: '1')", ANSWER("system/Patient.crs"), "no scope for update of Patient (system/Patient.u)"},
      {"patch(Patient, '1', set: { active: true })", ANSWER("system/Patient.u"), "no scope for patch of Patient (system/Patient.r)"},
      {"delete(Patient, '1')", ANSWER("system/*.read"), "no scope for delete of Patient (system/Patient.d)"},
      {"transaction([{ resourceType: 'Patient' }, { resourceType: 'Coverage', id: '1', status: 'active' }])", ANSWER("system/Patient.c"), "no scope for PUT of Coverage (system/Coverage.u)"},
      {"batch([{ resourceType: 'Patient' }, { resourceType: 'Coverage', id: '1', status: 'active' }])", ANSWER("system/Observation.cruds"), "no scope for PUT of Coverage (system/Coverage.u)"},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    auth_rig r = {.answer = t[i].answer};
    begin(&r, t[i].call);
    is_refused(&r, 0, t[i].says);
    is_refused(&r, 1, t[i].says); /* with the token that is there */
    assert_int_equal(r.logins, 1);
    prog_free(r.p);
  }
}

static void test_S9_calls_that_they_cover_or_say_nothing_about(void **state) {
  (void)state;
  static const char *const answers[] = {ANSWER("system/Patient.r"), ANSWER("system/Patient.read"), ANSWER("system/*.cruds"), ANSWER("patient/Patient.rs?x=y"), ANSWER("openid api"), ANSWER(""),
                                        "{\"access_token\":\"t\",\"token_type\":\"bearer\"}"};
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    auth_rig r = {.answer = answers[i]};
    begin(&r, "read(Patient, '1')");
    assert_int_equal(one_run(&r, 0).state, RUN_DONE);
    assert_int_equal(r.calls, 1);
    prog_free(r.p);
  }
}

/* Of a batch the server says for each entry whether it may; for operations SMART has no scopes. */
static void test_S9_a_batch_of_which_something_may_and_operations_are_the_servers_to_judge(void **state) {
  (void)state;
  static const struct { const char *call, *reply; } t[] = {
      {"batch([{ resourceType: 'Patient' }, { resourceType: 'Coverage', id: '1', status: 'active' }])",
       "{\"resourceType\":\"Bundle\",\"type\":\"batch-response\",\"entry\":[{\"response\":{\"status\":\"201\"}},{\"response\":{\"status\":\"403\"}}]}"},
      {"operation('$lastn', Observation, max: 1, safe: true)", "{\"resourceType\":\"Bundle\",\"type\":\"searchset\"}"},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    auth_rig r = {.answer = ANSWER("system/Patient.c"), .reply = t[i].reply};
    begin(&r, t[i].call);
    store_run row = one_run(&r, 0);
    if (row.state != RUN_DONE) fail_msg("%s: %s", t[i].call, r.p->e->conns[0]->last_error);
    assert_int_equal(r.calls, 1);
    prog_free(r.p);
  }
}

static void test_S9_the_operator_can_switch_it_off(void **state) {
  (void)state;
  static char text[] = "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = fhir(base: 'https://api.example.org/r4', auth: oauth2(token: 'https://login.example.org/token', client_id: 'hub', "
                       "client_secret: secret('s'), scopes: ['system/Patient.rs']))\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  step r = ehr.read(Patient, '1')\n  return { a: 1 }\n}\n";
  auth_rig r = {.text = text, .answer = ANSWER("system/Observation.rs"), .reply = PATIENT};
  auth_prepare(&r, "", NULL);
  r.p->cfg.conns[0].o.check_scopes = false;
  assert_string_equal(auth_try(&r), "");
  assert_int_equal(one_run(&r, 0).state, RUN_DONE);
  prog_free(r.p);
}

static void test_S9_what_the_operator_adds_is_asked_for_after_a_minute(void **state) {
  (void)state;
  auth_rig r = {.answer = ANSWER("system/Observation.rs")};
  begin(&r, "read(Patient, '1')");
  is_refused(&r, 0, "no scope for read of Patient");
  r.answer = ANSWER("system/Patient.rs");
  is_refused(&r, 1, "no scope for read of Patient"); /* not a login for every call */
  io_sim_advance(r.p->io, INT64_C(61000000));
  assert_int_equal(one_run(&r, 2).state, RUN_DONE);
  assert_int_equal(r.logins, 2);
  r.answer = ANSWER("system/Observation.rs");
  io_sim_advance(r.p->io, INT64_C(61000000));
  assert_int_equal(one_run(&r, 3).state, RUN_DONE);
  assert_int_equal(r.logins, 2);
  prog_free(r.p);
}

static void test_S9_what_was_granted_survives_a_restart(void **state) {
  (void)state;
  auth_rig r = {.answer = ANSWER("system/Observation.rs")};
  begin(&r, "read(Patient, '1')");
  is_refused(&r, 0, "no scope for read of Patient");
  auth_restart(&r);
  is_refused(&r, 1, "no scope for read of Patient");
  assert_int_equal(r.logins, 1);
  prog_free(r.p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_B7_S9_calls_that_the_granted_scopes_do_not_cover),
      cmocka_unit_test(test_S9_calls_that_they_cover_or_say_nothing_about),
      cmocka_unit_test(test_S9_a_batch_of_which_something_may_and_operations_are_the_servers_to_judge),
      cmocka_unit_test(test_S9_the_operator_can_switch_it_off),
      cmocka_unit_test(test_S9_what_the_operator_adds_is_asked_for_after_a_minute),
      cmocka_unit_test(test_S9_what_was_granted_survives_a_restart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
