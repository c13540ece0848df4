/* What was written is read: a patch whose answer does not show the resource, an update that is verified. When that fails, it is not written again (F-13, F-21). */
#include "http_rig.h"

typedef struct server {
  unsigned patches, reads, fail_from; /* reads fail from this one on */
  reply bad;                 /* how */
  void *p;
} server;

static reply serve(world *w, const io_http_req *q) {
  server *s = (server *)w->user;
  if (!strcmp(q->method, "PATCH")) {
    s->patches++;
    return (reply){200, "", NULL, NULL};
  }
  if (++s->reads >= s->fail_from && s->reads < s->fail_from + 2) return s->bad;
  if (!s->patches) return (reply){200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"1\"}}", NULL, NULL};
  return (reply){200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"3\"},\"active\":false}", NULL, NULL};
}

/* The peer asks to be left alone for longer than a call may take, between the patch and the reading. */
static reply busy(world *w, const io_http_req *q) {
  server *s = (server *)w->user;
  reply r = serve(w, q);
  if (!strcmp(q->method, "PATCH")) eng_conn_asked(((prog *)s->p)->e->conns[0], 90000000);
  return r;
}

static void test_R6_nor_because_the_server_wants_to_be_left_alone(void **state) {
  (void)state;
  server s = {.fail_from = 99};
  world w = {.on = busy, .user = &s};
  prog *p = world_begin(&w, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = fhir(base: 'https://ehr.example.org/r4', auth: bearer(secret('key')))\n"
                            "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = ehr.patch(Patient, '1', set: { active: true })\n  return { ok: true }\n}\n");
  s.p = p;
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 300000000);
  assert_int_equal(s.patches, 1);
  assert_int_equal(prog_only_run(p).state, RUN_DONE);
  prog_free(p);
}

static void once(const char *call, unsigned fail_from) {
  static const reply bad[] = {{503, "", NULL, NULL}, {503, "", "Retry-After", "2"}, {0, NULL, NULL, NULL}, {200, "{\"resourceType\":\"Pat", NULL, NULL}, {200, "{\"resourceType\":\"Basic\"}", NULL, NULL}, {404, "", NULL, NULL}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    server s = {.fail_from = fail_from, .bad = bad[i]};
    world w = {.on = serve, .user = &s};
    prog *p = world_run(&w, "fhir", "retry: retry(3, from: 100 milliseconds, to: 200 milliseconds)", call);
    prog_run_for(p, 20000000);
    assert_int_equal(s.patches, 1);
    assert_int_equal(prog_only_run(p).state, RUN_DONE);
    prog_free(p);
  }
}

static void test_F13_a_patch_is_not_made_again_because_its_result_cannot_be_read(void **state) {
  (void)state;
  once("step x = ehr.patch(Patient, '1', set: { active: true })", 2);
}

/* Without a version it would be another change: a second entry in a list. */
static void test_F21_nor_one_that_the_server_cannot_know_for_the_same(void **state) {
  (void)state;
  once("step x = ehr.patch(Patient, '1', body: [{ op: 'add', path: '/identifier/-', value: { value: 'x' } }])", 1);
}

static reply updated(world *w, const io_http_req *q) {
  server *s = (server *)w->user;
  if (!strcmp(q->method, "PUT")) {
    s->patches++;
    return (reply){200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"2\"}}", NULL, NULL};
  }
  s->reads++;
  return s->bad;
}

static void test_F13_an_update_is_verified_once_and_not_made_again(void **state) {
  (void)state;
  static const struct { reply read; uint8_t state; const char *text; } t[] = {
      {{200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"2\"}}", NULL, NULL}, RUN_DONE, ""},
      {{200, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"3\"}}", NULL, NULL}, RUN_DEAD, "it may ignore If-Match"},
      {{200, "{\"resourceType\":\"Basic\"}", NULL, NULL}, RUN_DEAD, "could not be read again"},
      {{503, "", NULL, NULL}, RUN_DEAD, "could not be read again"},
      {{0, NULL, NULL, NULL}, RUN_DEAD, "could not be read again"}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    server s = {.bad = t[i].read};
    world w = {.on = updated, .user = &s};
    prog *p = world_begin(&w, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = fhir(base: 'https://ehr.example.org/r4', auth: bearer(secret('key')), retry: retry(3, from: 100 milliseconds, to: 200 milliseconds))\n"
                              "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = ehr.update(Patient(id: '1', active: true), if_match: '1')\n  return { ok: true }\n}\n");
    ((config_conn *)(uintptr_t)p->e->conns[0]->cfg)->o.verify_writes = true;
    prog_submit(p, "M1", "4711", "");
    prog_run_for(p, 20000000);
    assert_int_equal(s.patches, 1);
    assert_int_equal(s.reads, 1);
    store_run r = prog_only_run(p);
    assert_int_equal(r.state, t[i].state);
    if (t[i].text[0]) {
      assert_true(cod_equal(r.error_code, cod_cstr("not_verified")));
      assert_non_null(memmem(r.reason.p, r.reason.len, t[i].text, strlen(t[i].text)));
    }
    prog_free(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_F13_a_patch_is_not_made_again_because_its_result_cannot_be_read), cmocka_unit_test(test_F21_nor_one_that_the_server_cannot_know_for_the_same),
                                     cmocka_unit_test(test_F13_an_update_is_verified_once_and_not_made_again),
                                     cmocka_unit_test(test_R6_nor_because_the_server_wants_to_be_left_alone)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
