/* The FHIR driver at the seam: classes of failure, what is repeated and what is not, where credentials go; the pure parts of its answers. */
#include "prog_rig.h"
#include "fhir_call.h"

enum { MAX_SEEN = 16 };
typedef struct answer {
  int code;                  /* 0: the connection is lost after the request was sent; -1: it is refused */
  const char *body, *name, *value; /* one header */
  int64_t delay_us;
} answer;
typedef struct seen {
  unsigned n;
  struct { char url[200], method[8], headers[900], body[400]; int64_t at_us; } v[MAX_SEEN];
  bool twice;                /* two messages come */
  answer to[MAX_SEEN];
} seen;

static void serve(io *x, uint64_t id, const io_http_req *q, void *user) {
  seen *s = (seen *)user;
  assert_true(s->n < MAX_SEEN);
  unsigned i = s->n++;
  s->v[i].at_us = io_mono_us(x);
  snprintf(s->v[i].url, sizeof s->v[i].url, "%s://%s:%u%s", q->https ? "https" : "http", q->host, q->port, q->target);
  snprintf(s->v[i].method, sizeof s->v[i].method, "%s", q->method);
  snprintf(s->v[i].body, sizeof s->v[i].body, "%.*s", (int)q->body_len, q->body ? (const char *)q->body : "");
  for (unsigned k = 0; k < q->nheaders; k++) {
    size_t at = strlen(s->v[i].headers);
    snprintf(s->v[i].headers + at, sizeof s->v[i].headers - at, "%s: %s\n", q->headers[k].name, q->headers[k].value);
  }
  const answer *a = &s->to[i];
  io_http_header h[] = {{"Content-Type", "application/fhir+json"}, {a->name, a->value}};
  io_http_res r = {.sent = a->code >= 0, .code = a->code, .headers = h, .nheaders = a->name ? 2 : 1, .body = a->body, .body_len = a->body ? strlen(a->body) : 0, .error = ""};
  if (a->code <= 0) r.status = HDW_E_CLOSED, r.code = 0;
  io_sim_http_reply(x, id, &r, a->delay_us);
}

static unsigned resolve(const char *host, io_addr *out, unsigned cap, void *user) {
  (void)host, (void)user;
  return cap && !io_addr_parse("93.184.216.34:443", &out[0]) ? 1 : 0;
}

static prog *begin(seen *s, const char *step) {
  char text[1500];
  snprintf(text, sizeof text,
           "hdw 1\nlistener adt = mllp(port: 2575)\n"
           "connection ehr = fhir(base: 'https://ehr.example.org/r4', auth: bearer(secret('ehr')), retry: retry(2, from: 1 second, to: 1 second))\n"
           "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = ehr.%s\n  return { ok: true }\n}\n", step);
  prog *p = prog_new(text, NULL, NULL, 0);
  engine_close(p->e); /* again, with drivers in the place of mocks */
  io_sim_on_http(p->io, serve, s);
  io_sim_on_resolve(p->io, resolve, NULL);
  static config_secret secret = {.name = "ehr", .file = "ehr", .value = "the-token", .value_len = 9};
  p->cfg.secrets = &secret, p->cfg.nsecrets = 1;
  engine_opts o = {.dir = p->dir, .config = &p->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .drivers = engine_drivers()};
  char why[200];
  mod_error err;
  assert_int_equal(engine_open(p->io, &o, &p->e, why), HDW_OK);
  assert_int_equal(engine_load(p->e, "test.hdwb", p->mod, p->mod_len, &err), HDW_OK);
  if (engine_start(p->e, why)) fail_msg("%s", why);
  prog_submit(p, "M1", "4711", "");
  if (s->twice) prog_submit(p, "M2", "4712", "");
  prog_run_for(p, 8000000);
  return p;
}

static const char patient[] = "{\"resourceType\":\"Patient\",\"id\":\"1\"}";

static void test_F21_reads_are_repeated_and_credentials_go_along(void **state) {
  (void)state;
  seen s = {.to = {{503, NULL, NULL, NULL}, {0}, {200, patient, NULL, NULL}}};
  prog *p = begin(&s, "read(Patient, '1')");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(s.n, 3);
  assert_string_equal(s.v[0].url, "https://ehr.example.org:443/r4/Patient/1");
  assert_non_null(strstr(s.v[2].headers, "the-token"));
  prog_free(p);
}

static void test_F21_a_create_with_unknown_outcome_waits_for_a_person(void **state) {
  (void)state;
  seen s = {.to = {{0}}};
  prog *p = begin(&s, "create(Patient(gender: 'male'))");
  store_run row = prog_the_run(p, 0);
  assert_int_equal(row.state, RUN_DEAD);
  assert_int_equal(row.fail_class, FAIL_AMBIGUOUS);
  assert_int_equal(s.n, 1);
  prog_free(p);
  seen refused = {.to = {{-1}, {201, patient, NULL, NULL}}}; /* never left: it can be */
  p = begin(&refused, "create(Patient(gender: 'male'))");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(refused.n, 2);
  prog_free(p);
}

static void test_F12_a_conditional_create_is_repeated(void **state) {
  (void)state;
  seen s = {.to = {{0}, {502, NULL, NULL, NULL}, {200, NULL, "Location", "https://ehr.example.org/r4/Patient/7/_history/2"}}};
  prog *p = begin(&s, "create(Patient(gender: 'male'), if_none_exist: { identifier: token('urn:a', msg.PID-3.1) })");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(s.n, 3);
  assert_non_null(strstr(s.v[2].headers, "If-None-Exist: identifier=urn:a%7C4711"));
  prog_free(p);
}

static void test_F3_what_is_phi_stands_in_no_address(void **state) {
  (void)state;
  seen s = {.to = {{200, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\"}", NULL, NULL}}};
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
    seen s = {.to = {{200, body, NULL, NULL}}};
    prog *p = begin(&s, "search(Patient, gender: 'male')");
    store_run row = prog_the_run(p, 0);
    assert_int_equal(row.state, RUN_DEAD);
    assert_int_equal(s.n, 1);
    prog_free(p);
  }
}

static void test_F4_next_links_are_resolved_against_the_request(void **state) {
  (void)state;
  seen s = {.to = {{200, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"link\":[{\"relation\":\"next\",\"url\":\"/other/page?_getpages=a%2Bb&x=1\"}]}", NULL, NULL},
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
  seen s = {.twice = true, .to = {{200, first, NULL, NULL, 1000000}, {429, NULL, "Retry-After", "3", 0}, {200, last, NULL, NULL, 0}, {200, last, NULL, NULL, 0}}};
  prog *p = begin(&s, "search(Patient, gender: 'male')");
  for (unsigned i = 0; i < 2; i++) assert_int_equal(prog_the_run(p, i).state, RUN_DONE);
  assert_int_equal(s.n, 4);
  for (unsigned i = 2; i < 4; i++) assert_true(s.v[i].at_us - s.v[0].at_us >= 3000000);
  assert_true(!!strstr(s.v[2].url, "page=2") != !!strstr(s.v[3].url, "page=2"));
  prog_free(p);
  seen hour = {.twice = true, .to = {{200, first, NULL, NULL, 1000000}, {429, NULL, "Retry-After", "3600", 0}, {200, last, NULL, NULL, 0}, {200, last, NULL, NULL, 0}}};
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
