/* What calls of connections may do and may not, whatever the program leaves empty and whenever the process ends: at the seam, with the real drivers. */
#include "http_rig.h"

static const char nothing[] = "{\"resourceType\":\"Bundle\",\"type\":\"searchset\"}";
static const char patient[] = "{\"resourceType\":\"Patient\",\"id\":\"1\"}";

static void expect_failure(prog *p, world *w, unsigned requests, uint8_t klass, const char *code) {
  store_run row = prog_the_run(p, 0);
  if (row.state != RUN_DEAD || row.fail_class != klass || !cod_equal(row.error_code, cod_cstr(code)) || w->n != requests)
    fail_msg("state %d, class %d, code %.*s, %u requests", row.state, row.fail_class, (int)row.error_code.len, row.error_code.p, w->n);
}

/* ---- what is empty --------------------------------------------------------------------------------------------------------------- */

static const char generated[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = fhir(base: 'https://ehr.example.org/r4')\n"
    "action searchPatient(identifier: string*, birthdate: string?, extra: any?, max: integer?%s): Patient* {\n"
    "  step answer = ehr.search(Patient, identifier: identifier, birthdate: birthdate, _count: 10, extra: extra, max: max%s)\n  return answer.match\n}\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = searchPatient(%s)\n  return { n: x.count() }\n}\n";

static prog *search_with(world *w, const char *more, const char *pass, const char *args) {
  char text[2500];
  snprintf(text, sizeof text, generated, more, pass, args);
  prog *p = world_begin(w, text);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 3000000);
  return p;
}

static void test_F9_a_search_without_a_criterion_is_not_asked(void **state) {
  static const char *const empty[] = {"", "max: 5", "identifier: msg.PID-3.7", "extra: { '_sort': 'name' }", "extra: {:}", "birthdate: msg.PID-7", "extra: '_count=5'"};
  (void)state;
  for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
    world w = {0};
    prog *p = search_with(&w, "", "", empty[i]);
    expect_failure(p, &w, 0, FAIL_DATA, "no_criteria");
    prog_free(p);
  }
  static const char *const one[] = {"identifier: msg.PID-3.1", "extra: { 'name:exact': 'Smith' }", "birthdate: '1990'", "extra: 'family=x'"};
  for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
    world w = {.to = {{200, nothing, NULL, NULL}}};
    prog *p = search_with(&w, "", "", one[i]);
    assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
    assert_int_equal(w.n, 1);
    prog_free(p);
  }
  world w = {.to = {{200, nothing, NULL, NULL}}}; /* who means it says so */
  prog *p = search_with(&w, "", ", all: true", "");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_string_equal(w.v[0].body, "_count=10");
  prog_free(p);
}

static void test_F13_a_condition_without_a_value_is_an_error(void **state) {
  static const struct { const char *kind, *call, *code; } rows[] = {
      {"fhir", "step x = ehr.update(Patient(id: '1'), if_match: msg.PID-3.7)", "bad_version"},
      {"fhir", "step x = ehr.update(Patient(id: '1'), if_match: '')", "bad_version"},
      {"fhir", "step x = ehr.update(Patient(id: '1'), if_match: {})", "bad_version"},
      {"fhir", "step x = ehr.patch(Patient, '1', set: { active: true }, if_match: msg.PID-3.7)", "bad_version"},
      {"fhir", "step ehr.delete(Patient, '1', if_match: msg.PID-3.7)", "bad_version"},
      {"fhir", "step x = ehr.create(Patient(active: true), if_none_exist: {})", "no_condition"},
      {"fhir", "step x = ehr.update(Patient(id: '1'), match: {})", "no_condition"},
      {"fhir", "step ehr.delete(Patient, '1', match: {})", "no_condition"},
      {"rest", "step x = ehr.put('/a', body: { a: 1 }, if_match: msg.PID-3.7)", "HDW_E_INVALID"},
      {"rest", "step x = ehr.put('/a', body: { a: 1 }, if_match: '')", "HDW_E_INVALID"},
      {"rest", "step x = ehr.post('/a', body: { a: 1 }, if_none_exist: {})", "HDW_E_INVALID"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    world w = {0};
    prog *p = world_run(&w, rows[i].kind, "", rows[i].call);
    expect_failure(p, &w, 0, FAIL_DATA, rows[i].code);
    prog_free(p);
  }
  world w = {.to = {{200, patient, NULL, NULL}}}; /* any version, said so */
  prog *p = world_run(&w, "fhir", "", "step x = ehr.update(Patient(id: '1'), if_match: '*')");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_non_null(strstr(w.v[0].headers, "If-Match: *\n"));
  prog_free(p);
}

/* 409 to a write by a search: another with the same search was faster. Tried again it finds what that one made; 412, several matches, is for a person. */
static void test_F14_a_race_of_conditional_writes_is_tried_again(void **state) {
  static const char refused[] = "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"conflict\"}]}", retry[] = "retry: retry(3, from: 10 milliseconds, to: 20 milliseconds)";
  static const struct { const char *call, *method; } rows[] = {{"step x = ehr.create(Patient(active: true), if_none_exist: { identifier: 'urn:a|1' })", "POST"}, {"step x = ehr.update(Patient(active: true), match: { identifier: 'urn:a|1' })", "PUT"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    world w = {.to = {{409, refused, NULL, NULL}, {200, "", "Location", "https://ehr.example.org/r4/Patient/1/_history/1"}}};
    prog *p = world_run(&w, "fhir", retry, rows[i].call);
    assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
    assert_int_equal(w.n, 2);
    assert_string_equal(w.v[1].method, rows[i].method);
    prog_free(p);
    world several = {.to = {{412, refused, NULL, NULL}}};
    p = world_run(&several, "fhir", retry, rows[i].call);
    assert_int_equal(several.n, 1);
    expect_failure(p, &several, 1, FAIL_PERMANENT, "multiple-matches");
    prog_free(p);
  }
  world held = {.to = {{409, refused, NULL, NULL}}}; /* others refer to it */
  prog *p = world_run(&held, "fhir", retry, "step ehr.delete(Patient, match: { identifier: 'urn:a|1' })");
  assert_int_equal(held.n, 1);
  prog_free(p);
}

/* ---- pages of servers without links ------------------------------------------------------------------------------------------------ */

typedef struct counting {
  int size, all;
  bool links, deaf, says_total;
  const char *parameter;
  int64_t first;             /* by_page */
} counting;

/* A server with `all` patients, `size` a page. */
static reply count_pages(world *w, const io_http_req *q) {
  static char body[4000];
  const counting *c = (const counting *)w->user;
  char name[40], all[8000];
  snprintf(all, sizeof all, "%s&%.*s", q->target, (int)q->body_len, q->body ? (const char *)q->body : "");
  snprintf(name, sizeof name, "%s=", c->parameter);
  const char *at = strstr(all, name);
  int n = at && !c->deaf ? atoi(at + strlen(name)) : 0;
  if (!strcmp(c->parameter, "page")) n = at && !c->deaf ? (n - 1) * c->size : 0;
  int len = snprintf(body, sizeof body, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"next\":\"%s%.0d\",%s\"link\":[%s],\"entry\":[", "", n + c->size < c->all ? n + c->size : 0,
                     c->says_total ? "\"total\":5," : "", c->links && n + c->size < c->all ? "{\"relation\":\"next\",\"url\":\"https://ehr.example.org/r4/Patient?gender=male&_offset=2\"}" : "");
  for (int i = n; i < n + c->size && i < c->all; i++)
    len += snprintf(body + len, sizeof body - (size_t)len, "%s{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"p%d\"},\"search\":{\"mode\":\"match\"}}", i > n ? "," : "", i);
  snprintf(body + len, sizeof body - (size_t)len, "]}");
  return (reply){200, body, NULL, NULL};
}

static void test_F4_pages_of_a_server_without_next_links(void **state) {
  static const struct { const char *page; counting c; unsigned requests; const char *error; } rows[] = {
      {"by_offset('_offset')", {2, 5, .parameter = "_offset"}, 4, NULL},          /* the empty page is behind the last */
      {"by_offset('_offset', size: 2)", {2, 5, .parameter = "_offset"}, 3, NULL}, /* fewer than size are the last */
      {"by_offset('_offset')", {2, 5, .parameter = "_offset", .says_total = true}, 3, NULL},
      {"by_page('page')", {2, 5, .parameter = "page"}, 4, NULL},
      {"by_cursor('next', parameter: '_cursor')", {2, 5, .parameter = "_cursor"}, 3, NULL},
      {"by_offset('_offset')", {2, 4, .parameter = "_offset", .links = true}, 2, NULL}, /* the link goes first, and the last page has none */
      {"by_offset('_ofset')", {2, 5, .parameter = "_offset", .deaf = true}, 2, "page_loop"},
      {"by_page('page')", {2, 5, .parameter = "page", .deaf = true}, 2, "page_loop"}};
  static const char *const ways[] = {"step x = ehr.search(Patient, gender: 'male')", "step x = ehr.search(Patient, identifier: msg.PID-3.1)",
                                     "step n = for page in ehr.pages(Patient, gender: 'male') { yield page.match.count() }", "step n = for page in ehr.pages(Patient, identifier: msg.PID-3.1) { yield page.match.count() }"};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
      counting c = rows[i].c;
      char page[100];
      if (c.links && k % 2) continue; /* its link is of a GET */
      if (k && i != 0 && i != 4 && i != 6) continue;
      snprintf(page, sizeof page, "page: %s", rows[i].page);
      world w = {.on = count_pages, .user = &c};
      prog *p = world_run(&w, "fhir", page, ways[k]);
      store_run row = prog_the_run(p, 0);
      bool good = rows[i].error ? row.state == RUN_DEAD && cod_equal(row.error_code, cod_cstr(rows[i].error)) : row.state == RUN_DONE;
      if (!good || w.n != rows[i].requests) fail_msg("%s, %s: state %d, %.*s, %u requests, last %s %s", rows[i].page, ways[k], row.state, (int)row.error_code.len, row.error_code.p, w.n, w.v[w.n - 1].url, w.v[w.n - 1].body);
      if (k % 2) assert_null(strstr(w.v[w.n - 1].url, "4711")); /* phi stays in the body */
      if (k % 2) assert_non_null(strstr(w.v[w.n - 1].body, "4711"));
      prog_free(p);
    }
}

/* ---- metadata -------------------------------------------------------------------------------------------------------------------- */

static void test_F24_metadata_is_asked_without_the_login_first(void **state) {
  static const char statement[] = "{\"resourceType\":\"CapabilityStatement\",\"status\":\"active\",\"date\":\"2026\",\"kind\":\"instance\",\"fhirVersion\":\"4.0.1\",\"format\":[\"json\"]}";
  (void)state;
  world w = {.to = {{200, statement, NULL, NULL}}};
  prog *p = world_run(&w, "fhir", "", "step x = ehr.capabilities()");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_null(strstr(w.v[0].headers, "Authorization"));
  prog_free(p);
  world shut = {.to = {{401, NULL, NULL, NULL}, {200, statement, NULL, NULL}}};
  p = world_run(&shut, "fhir", "", "step x = ehr.capabilities()");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(shut.n, 2);
  assert_null(strstr(shut.v[0].headers, "the-token"));
  assert_non_null(strstr(shut.v[1].headers, "the-token"));
  prog_free(p);
  world never = {.to = {{401, NULL, NULL, NULL}, {401, NULL, NULL, NULL}}};
  p = world_run(&never, "fhir", "", "step x = ehr.capabilities()");
  expect_failure(p, &never, 2, FAIL_PERMANENT, "401");
  prog_free(p);
}

/* ---- a process that ends ---------------------------------------------------------------------------------------------------------- */

static void test_F21_R4_a_create_in_flight_when_the_process_dies_is_a_persons(void **state) {
  static const struct { const char *call; bool again; } rows[] = {
      {"send ehr.create(Patient(active: true))", false},
      {"send ehr.transaction([Patient(active: true)])", false},
      {"send ehr.operation('$own', body: { a: 1 })", false},
      {"send ehr.create(Patient(active: true), if_none_exist: { identifier: msg.PID-3.1 })", true},
      {"send ehr.update(Patient(id: '1'))", true},
      {"send ehr.batch([Patient(id: '1', active: true)])", true}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    world w = {.to = {{-2}, {201, patient, NULL, NULL}}};
    prog *p = world_run(&w, "fhir", "", rows[i].call);
    assert_int_equal(w.n, 1);
    world_restart(p, &w);
    prog_run_for(p, 20000000);
    store_delivery d = world_delivery(p, 0);
    if (rows[i].again) {
      assert_int_equal(w.n, 2);
    } else {
      if (w.n != 1 || d.state != DELIVERY_DEAD || d.fail_class != FAIL_AMBIGUOUS) fail_msg("%s: %u requests, state %d, class %d", rows[i].call, w.n, d.state, d.fail_class);
      assert_int_equal(d.attempts, 1);
      assert_int_equal(engine_redrive(p->e, SUBJECT_DELIVERY, d.id, "test", NULL, NULL), HDW_OK); /* who has looked sends it again */
      prog_run_for(p, 3000000);
      assert_int_equal(w.n, 2);
    }
    prog_free(p);
  }
}

static void one_at_once(world *w, config *cfg) {
  (void)w;
  cfg->conns[0].o.in_flight = 1;
}

/* Waiting for a place or a turn is no attempt: what was recorded as in flight and did not leave goes later, by itself. */
static void test_R4_what_has_not_left_is_not_unknown(void **state) {
  (void)state;
  world w = {.to = {{-2}, {201, patient, NULL, NULL}, {201, patient, NULL, NULL}}, .configure = one_at_once};
  prog *p = world_begin(&w, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = fhir(base: 'https://ehr.example.org/r4', timeout: 30 seconds)\n"
                            "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  send ehr.create(Patient(active: true))\n  return { ok: true }\n}\n");
  for (int i = 0; i < 3; i++) {
    char id[16];
    snprintf(id, sizeof id, "M%d", i);
    prog_submit(p, id, "4711", "");
  }
  prog_run_for(p, 2000000);
  assert_int_equal(w.n, 1); /* one under way, the others wait */
  world_restart(p, &w);
  prog_run_for(p, 20000000);
  unsigned dead = 0, delivered = 0;
  for (uint64_t id = 1; id < 100; id++) {
    store_delivery d;
    if (store_get_delivery(engine_store(p->e), ENG_PART, id, &p->a, &d)) continue;
    dead += d.state == DELIVERY_DEAD, delivered += d.state == DELIVERY_DELIVERED;
  }
  assert_int_equal(dead, 1);
  assert_int_equal(delivered, 2);
  assert_int_equal(w.n, 3);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_F9_a_search_without_a_criterion_is_not_asked),
      cmocka_unit_test(test_F13_a_condition_without_a_value_is_an_error),
      cmocka_unit_test(test_F14_a_race_of_conditional_writes_is_tried_again),
      cmocka_unit_test(test_F4_pages_of_a_server_without_next_links),
      cmocka_unit_test(test_F24_metadata_is_asked_without_the_login_first),
      cmocka_unit_test(test_F21_R4_a_create_in_flight_when_the_process_dies_is_a_persons),
      cmocka_unit_test(test_R4_what_has_not_left_is_not_unknown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
