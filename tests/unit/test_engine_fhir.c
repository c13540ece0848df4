/* The FHIR driver at the seam: classes of failure, what is repeated and what is not, where credentials go; the pure parts of its answers. */
#include "http_rig.h"
#include "fhir_call.h"

static prog *begin(world *w, const char *step) {
  char statement[500];
  snprintf(statement, sizeof statement, "step x = ehr.%s", step);
  return world_run(w, "fhir", "retry: retry(2, from: 1 second, to: 1 second)", statement);
}

static const char patient[] = "{\"resourceType\":\"Patient\",\"id\":\"1\"}";

static void test_F21_reads_are_repeated_and_credentials_go_along(void **state) {
  (void)state;
  world s = {.to = {{503, NULL, NULL, NULL}, {0}, {200, patient, NULL, NULL}}};
  prog *p = begin(&s, "read(Patient, '1')");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(s.n, 3);
  assert_string_equal(s.v[0].url, "https://ehr.example.org:443/r4/Patient/1");
  assert_non_null(strstr(s.v[2].headers, "the-token"));
  prog_free(p);
}

static void test_F21_a_create_with_unknown_outcome_waits_for_a_person(void **state) {
  (void)state;
  world s = {.to = {{0}}};
  prog *p = begin(&s, "create(Patient(gender: 'male'))");
  store_run row = prog_the_run(p, 0);
  assert_int_equal(row.state, RUN_DEAD);
  assert_int_equal(row.fail_class, FAIL_AMBIGUOUS);
  assert_int_equal(s.n, 1);
  prog_free(p);
  world refused = {.to = {{-1}, {201, patient, NULL, NULL}}}; /* never left: it can be */
  p = begin(&refused, "create(Patient(gender: 'male'))");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(refused.n, 2);
  prog_free(p);
}

static void test_F12_a_conditional_create_is_repeated(void **state) {
  (void)state;
  world s = {.to = {{0}, {502, NULL, NULL, NULL}, {200, NULL, "Location", "https://ehr.example.org/r4/Patient/7/_history/2"}}};
  prog *p = begin(&s, "create(Patient(gender: 'male'), if_none_exist: { identifier: token('urn:a', msg.PID-3.1) })");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(s.n, 3);
  assert_non_null(strstr(s.v[2].headers, "If-None-Exist: identifier=urn:a%7C4711"));
  prog_free(p);
}

static void test_F3_what_is_phi_stands_in_no_address(void **state) {
  (void)state;
  world s = {.to = {{200, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\"}", NULL, NULL}}};
  prog *p = begin(&s, "search(Patient, identifier: token('urn:a', msg.PID-3.1))");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_string_equal(s.v[0].method, "POST");
  assert_null(strstr(s.v[0].url, "4711"));
  assert_string_equal(s.v[0].body, "identifier=urn:a%7C4711");
  prog_free(p);
}

static void test_F5_the_token_goes_to_no_other_origin(void **state) {
  (void)state;
  static const char *const away[] = {"https://evil.example.net/r4?p=2", "http://ehr.example.org/r4?p=2", "https://ehr.example.org:444/r4?p=2", "//evil.example.net/x", "https://ehr.example.org@evil.example.net/x", "javascript:1"};
  for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
    char body[400];
    snprintf(body, sizeof body, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"link\":[{\"relation\":\"next\",\"url\":\"%s\"}]}", away[i]);
    world s = {.to = {{200, body, NULL, NULL}}};
    prog *p = begin(&s, "search(Patient, gender: 'male')");
    store_run row = prog_the_run(p, 0);
    assert_int_equal(row.state, RUN_DEAD);
    assert_int_equal(s.n, 1);
    prog_free(p);
  }
}

static void test_F4_next_links_are_resolved_against_the_request(void **state) {
  (void)state;
  world s = {.to = {{200, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"link\":[{\"relation\":\"next\",\"url\":\"/other/page?_getpages=a%2Bb&x=1\"}]}", NULL, NULL},
                   {200, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\"}", NULL, NULL}}};
  prog *p = begin(&s, "search(Patient, gender: 'male')");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_string_equal(s.v[1].url, "https://ehr.example.org:443/other/page?_getpages=a%2Bb&x=1");
  prog_free(p);
}

/* ---- pure ----------------------------------------------------------------------------------------------------------------------- */

static void test_F20_F21_classes(void **state) {
  (void)state;
  static const struct { int status; const char *issue; bool safe, after; uint8_t klass; } rows[] = {
      {429, "", false, false, FAIL_TRANSIENT}, {425, "", false, false, FAIL_TRANSIENT}, {503, "", true, false, FAIL_TRANSIENT}, {503, "", false, false, FAIL_AMBIGUOUS},
      {503, "", false, true, FAIL_TRANSIENT}, {500, "", true, false, FAIL_TRANSIENT}, {500, "", false, false, FAIL_AMBIGUOUS}, {500, "exception", false, false, FAIL_AMBIGUOUS},
      {500, "invalid", true, false, FAIL_PERMANENT}, {409, "lock-error", false, false, FAIL_TRANSIENT}, {409, "conflict", true, false, FAIL_PERMANENT}, {409, "", true, false, FAIL_PERMANENT},
      {400, "timeout", true, false, FAIL_TRANSIENT}, {400, "timeout", false, false, FAIL_AMBIGUOUS}, {401, "", true, false, FAIL_PERMANENT}, {403, "forbidden", true, false, FAIL_PERMANENT},
      {404, "", true, false, FAIL_PERMANENT}, {412, "", true, false, FAIL_PERMANENT}, {422, "", true, false, FAIL_PERMANENT}, {501, "", true, false, FAIL_PERMANENT},
      {408, "", true, false, FAIL_TRANSIENT}, {408, "", false, false, FAIL_AMBIGUOUS}, {502, "", true, false, FAIL_TRANSIENT}, {504, "", false, false, FAIL_AMBIGUOUS}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (fhir_class(rows[i].status, rows[i].issue, rows[i].safe, rows[i].after) != rows[i].klass) fail_msg("%d %s safe %d: class %d", rows[i].status, rows[i].issue, rows[i].safe, fhir_class(rows[i].status, rows[i].issue, rows[i].safe, rows[i].after));
}

static void test_F11_F13_locations_and_versions(void **state) {
  (void)state;
  test_mem m;
  arena a;
  const char *id, *version;
  test_mem_init(&m);
  arena_init(&a, &m.m, 0);
  fhir_location(&a, "https://h/r4/Patient/17/_history/3", &id, &version);
  assert_string_equal(id, "17"), assert_string_equal(version, "3");
  fhir_location(&a, "Patient/17", &id, &version);
  assert_string_equal(id, "17"), assert_null(version);
  fhir_location(&a, "/r4/Patient/17?x=/y", &id, &version);
  assert_string_equal(id, "17");
  fhir_location(&a, "", &id, &version);
  assert_null(id);
  assert_string_equal(fhir_etag(&a, "3"), "W/\"3\""), assert_string_equal(fhir_etag(&a, "\"3\""), "W/\"3\""), assert_string_equal(fhir_etag(&a, "W/\"3\""), "W/\"3\"");
  assert_null(fhir_etag(&a, "")), assert_null(fhir_etag(&a, "a b")), assert_null(fhir_etag(&a, "a\"b")), assert_null(fhir_etag(&a, "\r\n"));
  arena_free(&a);
}

static void test_F9_what_the_self_link_leaves_out(void **state) {
  (void)state;
  test_mem m;
  arena a;
  test_mem_init(&m);
  arena_init(&a, &m.m, 0);
  assert_null(fhir_ignored(&a, "identifier=a&_count=5", "https://h/Patient?identifier=a", false));
  assert_string_equal(fhir_ignored(&a, "identifier=a&gender=b", "https://h/Patient?identifier=a", false), "gender");
  assert_string_equal(fhir_ignored(&a, "identifier=a", "https://h/Patient", false), "identifier");
  assert_null(fhir_ignored(&a, "identifier=a", "https://h/Patient", true)); /* by POST nothing is said */
  assert_null(fhir_ignored(&a, "identifier=a", NULL, false));
  assert_null(fhir_ignored(&a, "family:exact=a", "https://h/Patient?family%3Aexact=a", false));
  assert_string_equal(fhir_ignored(&a, "family:exact=a", "https://h/Patient?family=a", false), "family:exact");
  assert_string_equal(fhir_ignored(&a, "_id=a", "https://h/Patient?x=1", false), "_id");
  arena_free(&a);
}

/* Somebody else's request was told to wait: the next page waits, too; when it is long, the search comes again. */
static void test_R6_pages_wait_when_the_server_asks_to(void **state) {
  (void)state;
  static const char first[] = "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"link\":[{\"relation\":\"next\",\"url\":\"https://ehr.example.org/r4?page=2\"}],\"entry\":[]}";
  static const char last[] = "{\"resourceType\":\"Bundle\",\"type\":\"searchset\"}";
  world s = {.twice = true, .first_us = 1000000, .to = {{200, first, NULL, NULL}, {429, NULL, "Retry-After", "3"}, {200, last, NULL, NULL}, {200, last, NULL, NULL}}};
  prog *p = begin(&s, "search(Patient, gender: 'male')");
  for (unsigned i = 0; i < 2; i++) assert_int_equal(prog_the_run(p, i).state, RUN_DONE);
  assert_int_equal(s.n, 4);
  for (unsigned i = 2; i < 4; i++) assert_true(s.v[i].at_us - s.v[0].at_us >= 3000000);
  assert_true(!!strstr(s.v[2].url, "page=2") != !!strstr(s.v[3].url, "page=2"));
  prog_free(p);
  world hour = {.twice = true, .first_us = 1000000, .to = {{200, first, NULL, NULL}, {429, NULL, "Retry-After", "3600"}, {200, last, NULL, NULL}, {200, last, NULL, NULL}}};
  p = begin(&hour, "search(Patient, gender: 'male')");
  assert_int_equal(hour.n, 2);
  for (unsigned i = 0; i < 2; i++) assert_true(prog_the_run(p, i).state < RUN_DONE);
  prog_run_for(p, INT64_C(3700000000));
  assert_int_equal(hour.n, 4);
  for (unsigned i = 0; i < 2; i++) assert_int_equal(prog_the_run(p, i).state, RUN_DONE);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_F21_reads_are_repeated_and_credentials_go_along),
      cmocka_unit_test(test_F21_a_create_with_unknown_outcome_waits_for_a_person),
      cmocka_unit_test(test_F12_a_conditional_create_is_repeated),
      cmocka_unit_test(test_F3_what_is_phi_stands_in_no_address),
      cmocka_unit_test(test_F5_the_token_goes_to_no_other_origin),
      cmocka_unit_test(test_F4_next_links_are_resolved_against_the_request),
      cmocka_unit_test(test_F20_F21_classes),
      cmocka_unit_test(test_F11_F13_locations_and_versions),
      cmocka_unit_test(test_F9_what_the_self_link_leaves_out),
      cmocka_unit_test(test_R6_pages_wait_when_the_server_asks_to),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
