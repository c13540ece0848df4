/* From one deployment to the next under runs: versions side by side, back, withdrawn, refused, settings; runs that no longer match their record (SEMANTICS 4, 6). */
#include "deploy_rig.h"

typedef struct seen {
  unsigned n, hold;          /* the first `hold` requests fail */
  char text[32][60], key[32][80];
} seen;

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  seen *s = (seen *)p->user;
  const char *t = jv_text(a, jv_get(jv_get(f->request, "body"), "t"));
  if (s->hold) {
    s->hold--;
    out->status = 503;
    return MOCK_ERROR;
  }
  assert_true(s->n < 32);
  snprintf(s->text[s->n], sizeof s->text[0], "%.59s", t ? t : "");
  snprintf(s->key[s->n++], sizeof s->key[0], "%s", f->idempotency_key);
  out->value = val_int(1);
  return MOCK_VALUE;
}

#define TOP(name) "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0), breaker: breaker(failures: 0, cooldown: 30 seconds))\n"
#define WORKFLOW(name, first, second) \
  "workflow " name " on msg = adt.message(types: ['ADT^A01']) {\n  step a = crm.put('/a', body: { t: '" first "' })\n  step b = crm.put('/b', body: { t: '" second "' })\n  return {}\n}\n"
#define VERSION(first, second) TOP("") WORKFLOW("w", first, second)

static void message(prog *p, const char *id) { prog_submit(p, id, "4711", ""); }

static deployed two(prog *p, const char *file, const char *text) { return deploy_bytes_as(p, file, deploy_compile_as(p, file, text)); } /* beside what is there */

static void test_a_run_ends_with_the_version_that_it_began_with(void **state) {
  (void)state;
  seen s = {.hold = 0};
  prog *p = prog_new(VERSION("one a", "one b"), world, &s, 0);
  s.hold = 1;
  message(p, "M1"); /* parks at its first step */
  prog_run_for(p, 100000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);
  deploy_ok(deploy_text(p, VERSION("two a", "two b")));
  message(p, "M2");
  prog_run_for(p, 100000);
  assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
  assert_int_equal(s.n, 2);
  assert_string_equal(s.text[0], "two a");
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(s.n, 4);
  assert_string_equal(s.text[2], "one a");
  assert_string_equal(s.text[3], "one b");
  assert_memory_not_equal(prog_the_run(p, 0).module, prog_the_run(p, 1).module, REC_HASH);
  prog_free(p);
}

/* The version that the run needs is not on any command line any more: the log has it. */
static void test_a_run_ends_with_its_version_after_a_restart_too(void **state) {
  (void)state;
  seen s = {.hold = 1};
  prog *p = prog_new(VERSION("one a", "one b"), world, &s, 0);
  message(p, "M1");
  prog_run_for(p, 100000);
  deploy_module m = deploy_compile(p, VERSION("two a", "two b"));
  deploy_ok(deploy_bytes(p, m));
  p->mod = m.p, p->mod_len = m.n;
  prog_restart(p);
  message(p, "M2");
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(s.n, 4);
  unsigned ones = 0;
  for (unsigned i = 0; i < s.n; i++) ones += !strncmp(s.text[i], "one", 3);
  assert_int_equal(ones, 2);
  prog_free(p);
}

static void test_every_message_goes_to_exactly_one_version(void **state) {
  (void)state;
  seen s = {.hold = 0};
  prog *p = prog_new(TOP("") "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step a = crm.put('/a', body: { t: 'v0' })\n  return {}\n}\n", world, &s, 0);
  char text[400], id[16];
  for (int v = 1; v <= 20; v++) {
    snprintf(id, sizeof id, "M%d", v);
    message(p, id); /* on its way to the disk when the version changes */
    snprintf(text, sizeof text, TOP("") "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step a = crm.put('/a', body: { t: 'v%d' })\n  return {}\n}\n", v);
    deploy_ok(deploy_text(p, text));
  }
  prog_run_for(p, 10000000);
  assert_int_equal(s.n, 20);
  assert_int_equal(p->positive, 20);
  for (unsigned i = 0; i < s.n; i++)
    for (unsigned k = 0; k < i; k++) assert_string_not_equal(s.key[i], s.key[k]);
  for (unsigned i = 0; i < 20; i++) {
    bool any = false;
    snprintf(text, sizeof text, "v%u", i);
    for (unsigned k = 0; k < s.n; k++) any |= !strcmp(s.text[k], text);
    assert_true(any); /* the version that was current when it came */
  }
  prog_free(p);
}

/* ---- back ------------------------------------------------------------------------------------------------------------------------- */

static void test_back_to_the_version_before_and_to_a_named_one(void **state) {
  (void)state;
  seen s = {.hold = 0};
  prog *p = prog_new(VERSION("one a", "one b"), world, &s, 0);
  char first[2 * REC_HASH + 1];
  deployed d = deploy_back(p, NULL);
  assert_int_equal(d.status, HDW_E_NOTFOUND);
  assert_non_null(strstr(d.text, "no earlier version"));
  eng_hex(p->e->apps[0]->m.id, REC_HASH, first);
  deploy_ok(deploy_text(p, VERSION("two a", "two b")));
  prog_run_for(p, 1000);
  deploy_ok(deploy_text(p, VERSION("three a", "three b")));
  prog_run_for(p, 1000);
  deploy_ok(deploy_back(p, NULL));
  message(p, "M1");
  prog_run_for(p, 100000);
  assert_string_equal(s.text[0], "two a");
  first[12] = 0;
  deploy_ok(deploy_back(p, first));
  message(p, "M2");
  prog_run_for(p, 100000);
  assert_string_equal(s.text[2], "one a");
  d = deploy_back(p, "zzzz");
  assert_int_equal(d.status, HDW_E_NOTFOUND);
  assert_non_null(strstr(d.text, "begins with zzzz"));
  d = deploy_back(p, "");
  assert_int_equal(d.status, HDW_E_NOTFOUND);
  assert_non_null(strstr(d.text, "more than one"));
  message(p, "M3");
  prog_run_for(p, 100000);
  assert_string_equal(s.text[4], "one a");
  prog_free(p);
}

/* ---- withdrawn ---------------------------------------------------------------------------------------------------------------------- */

static void test_a_withdrawn_module_finishes_what_it_began(void **state) {
  (void)state;
  static const char other[] = TOP("") "workflow v on msg = adt.message(types: ['ORU^R01']) {\n  step a = crm.put('/a', body: { t: 'other' })\n  return {}\n}\n";
  seen s = {.hold = 0};
  prog *p = prog_new(VERSION("one a", "one b"), world, &s, 0);
  deploy_ok(two(p, "other.hdw", other));
  s.hold = 1;
  message(p, "M1");
  prog_run_for(p, 100000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);
  deployed d = deploy_withdraw(p, "test");
  assert_int_equal(d.status, HDW_E_INVALID); /* its run would be alone */
  assert_non_null(strstr(d.problems, "workflow w:"));
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  deploy_ok(deploy_withdraw(p, "test"));
  message(p, "M2");
  prog_run_for(p, 100000);
  assert_string_equal(p->codes[1], "AR"); /* nobody wants it */
  assert_int_equal(s.n, 2);
  prog_free(p);
}

/* ---- refused ------------------------------------------------------------------------------------------------------------------------ */

static void test_a_module_that_is_refused_changes_nothing(void **state) {
  (void)state;
  seen s = {.hold = 0};
  prog *p = prog_new(VERSION("one a", "one b"), world, &s, 0);
  deploy_module m = deploy_compile(p, VERSION("two a", "two b"));
  uint8_t *bad = (uint8_t *)arena_dup(&p->a, m.p, m.n);
  for (size_t cut = 0; cut < m.n; cut += m.n / 13 + 1) {
    deployed d = deploy_bytes(p, (deploy_module){m.p, cut});
    assert_int_not_equal(d.status, HDW_OK);
    assert_true(d.text[0]);
  }
  for (size_t at = 0; at < m.n; at += m.n / 29 + 1) {
    bad[at] ^= 0x40;
    deployed d = deploy_bytes(p, (deploy_module){bad, m.n});
    assert_int_not_equal(d.status, HDW_OK);
    bad[at] ^= 0x40;
  }
  deployed d = two(p, "other.hdw", VERSION("three a", "three b")); /* the workflow is there already */
  assert_int_equal(d.status, HDW_E_EXISTS);
  assert_non_null(strstr(d.text, "'w'"));
  message(p, "M1");
  prog_run_for(p, 100000);
  assert_string_equal(s.text[0], "one a");
  assert_int_equal(p->e->napps, 1);
  prog_free(p);
}

/* What does not fit is named before anything is touched: the connection of a queue is dropped. */
static void test_a_switch_that_would_lose_a_queue_changes_nothing(void **state) {
  (void)state;
  static const char sends[] = TOP("") "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  send crm.put('/a', body: { t: 'sent' })\n  return {}\n}\n";
  static const char without[] =
      "hdw 1\nlistener adt = mllp(port: 2575)\nconnection his = rest(base: 'http://127.0.0.1:1')\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  send his.put('/a', body: { t: 'his' })\n  return {}\n}\n";
  seen s = {.hold = 1000};
  prog *p = prog_new(sends, world, &s, 0);
  message(p, "M1");
  prog_run_for(p, 100000);
  deployed d = deploy_text(p, without);
  assert_int_equal(d.status, HDW_E_INVALID);
  assert_non_null(strstr(d.problems, "connections.crm:"));
  assert_non_null(strstr(d.problems, "1 deliveries"));
  s.hold = 0;
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(s.n, 1);
  deploy_ok(deploy_text(p, without));
  prog_free(p);
}

/* ---- settings ------------------------------------------------------------------------------------------------------------------------ */

static void test_a_run_keeps_the_settings_that_it_began_with(void **state) {
  (void)state;
  static const char text[] =
      "hdw 1\nlistener adt = mllp(port: 2575)\nsetting ward: string = 'north'\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0), breaker: breaker(failures: 0, cooldown: 30 seconds))\n"
      "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step a = crm.put('/a', body: { t: 'x' })\n  step b = crm.put('/b', body: { t: ward })\n  return {}\n}\n";
  seen s = {.hold = 1};
  prog *p = prog_new(text, world, &s, 0);
  message(p, "M1");
  prog_run_for(p, 100000);
  config *c = (config *)arena_zalloc(&p->a, 1, sizeof *c);
  const meta *metas[4];
  engine_stage *st;
  char why[200];
  config_init(c, &p->a);
  c->settings = (config_setting *)arena_zalloc(&p->a, 4, sizeof *c->settings);
  c->settings[0] = (config_setting){.name = "ward", .value = val_cstr("south")};
  c->nsettings = 1;
  assert_int_equal(config_bind(c, metas, engine_metas(p->e, metas, 4), true), HDW_OK);
  assert_int_equal(c->nproblems, 0);
  assert_int_equal(engine_stage_new(p->e, &st), HDW_OK);
  if (engine_switch(st, c, "test", why)) fail_msg("%s", why);
  message(p, "M2");
  prog_run_for(p, 100000);
  assert_string_equal(s.text[1], "south");
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(s.n, 4);
  assert_string_equal(s.text[3], "north");
  assert_memory_equal(prog_the_run(p, 0).module, prog_the_run(p, 1).module, REC_HASH);
  assert_memory_not_equal(prog_the_run(p, 0).deployment, prog_the_run(p, 1).deployment, REC_HASH);
  prog_free(p);
}

/* ---- diverged ------------------------------------------------------------------------------------------------------------------------ */

static void forge_step(prog *p, uint64_t run, const char *path, const char *operation) {
  rec_effect f = {.run = run, .path = cod_cstr(path), .operation = cod_cstr(operation), .state = EFFECT_DONE};
  memset(f.request_hash, 7, REC_HASH);
  cod_w w = eng_writer(p->e);
  assert_int_equal(rec_put_effect(&w, &f), HDW_OK);
  assert_int_equal(eng_append_rec(p->e, REC_RESULT, &w, "", 0, NULL, NULL, NULL), HDW_OK);
}

static void test_a_run_that_does_not_match_its_record_stops(void **state) {
  (void)state;
  seen s = {.hold = 0};
  prog *p = prog_new(VERSION("one a", "one b"), world, &s, 0);
  prog_ids none = {.n = 0};
  (void)none;
  s.hold = 0;
  message(p, "M0");
  prog_run_for(p, 100000);
  assert_int_equal(s.n, 2);
  s.hold = 1;
  message(p, "M1");
  prog_run_for(p, 100000);
  store_run r = prog_the_run(p, 1);
  assert_int_equal(r.state, RUN_PARKED);
  char path[40];
  snprintf(path, sizeof path, "%.*s", (int)r.path.len, r.path.p);
  forge_step(p, r.id, path, "rest.put"); /* the same place, another request */
  prog_run_for(p, INT64_C(600000000));
  r = prog_the_run(p, 1);
  assert_int_equal(r.state, RUN_DEAD);
  assert_int_equal(r.fail_class, FAIL_DATA);
  assert_true(cod_equal(r.error_code, cod_cstr("HDW_E_DIVERGED")));
  assert_non_null(strstr(r.reason.p, "nothing was performed"));
  assert_int_equal(s.n, 2);
  assert_int_equal(prog_redrive_all(p), 1); /* sent back, it finds the same */
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(prog_the_run(p, 1).state, RUN_DEAD);
  assert_int_equal(s.n, 2);
  prog_free(p);
}

static void test_another_operation_at_the_same_place_is_another_path(void **state) {
  (void)state;
  seen s = {.hold = 1};
  prog *p = prog_new(VERSION("one a", "one b"), world, &s, 0);
  message(p, "M1");
  prog_run_for(p, 100000);
  store_run r = prog_the_run(p, 0);
  char path[40];
  snprintf(path, sizeof path, "%.*s", (int)r.path.len, r.path.p);
  store_effect f;
  assert_int_equal(store_get_effect(engine_store(p->e), 0, r.id, cod_cstr(path), &p->a, &f), HDW_OK);
  rec_effect x = {.run = r.id, .path = cod_cstr(path), .operation = cod_cstr("rest.post"), .state = EFFECT_DONE};
  memcpy(x.request_hash, f.request_hash, REC_HASH);
  cod_w w = eng_writer(p->e);
  assert_int_equal(rec_put_effect(&w, &x), HDW_OK);
  assert_int_equal(eng_append_rec(p->e, REC_RESULT, &w, "", 0, NULL, NULL, NULL), HDW_OK);
  prog_run_for(p, INT64_C(600000000));
  assert_true(cod_equal(prog_the_run(p, 0).error_code, cod_cstr("HDW_E_DIVERGED")));
  assert_int_equal(s.n, 0);
  prog_free(p);
}

/* A delivery that the record has, and that the program would now make with another content. */
static void test_a_send_that_does_not_match_its_record_stops_the_run(void **state) {
  (void)state;
  static const char text[] = TOP("") "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step a = crm.put('/a', body: { t: 'step' })\n  send crm.put('/b', body: { t: 'sent' })\n  return {}\n}\n";
  seen s = {.hold = 0};
  prog *p = prog_new(text, world, &s, 0);
  message(p, "M0");
  prog_run_for(p, 100000);
  prog_ids ids = {.n = 0};
  store_delivery d;
  (void)store_list_deliveries_of_run(engine_store(p->e), 0, prog_the_run(p, 0).id, prog_take_id, &ids);
  assert_int_equal(ids.n, 1);
  assert_int_equal(store_get_delivery(engine_store(p->e), 0, ids.id[0], &p->a, &d), HDW_OK);
  s.hold = 1;
  message(p, "M1");
  prog_run_for(p, 100000);
  rec_delivery x = {.run = prog_the_run(p, 1).id, .path = d.path, .sink = cod_cstr("nowhere"), .operation = d.operation};
  memset(x.request_hash, 9, REC_HASH);
  cod_w w = eng_writer(p->e);
  assert_int_equal(rec_put_delivery(&w, &x), HDW_OK);
  assert_int_equal(eng_append_rec(p->e, REC_DELIVERY, &w, "", 0, NULL, NULL, NULL), HDW_OK);
  prog_run_for(p, INT64_C(600000000));
  store_run r = prog_the_run(p, 1);
  assert_int_equal(r.state, RUN_DEAD);
  assert_true(cod_equal(r.error_code, cod_cstr("HDW_E_DIVERGED")));
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_run_ends_with_the_version_that_it_began_with),
      cmocka_unit_test(test_a_run_ends_with_its_version_after_a_restart_too),
      cmocka_unit_test(test_every_message_goes_to_exactly_one_version),
      cmocka_unit_test(test_back_to_the_version_before_and_to_a_named_one),
      cmocka_unit_test(test_a_withdrawn_module_finishes_what_it_began),
      cmocka_unit_test(test_a_module_that_is_refused_changes_nothing),
      cmocka_unit_test(test_a_switch_that_would_lose_a_queue_changes_nothing),
      cmocka_unit_test(test_a_run_keeps_the_settings_that_it_began_with),
      cmocka_unit_test(test_a_run_that_does_not_match_its_record_stops),
      cmocka_unit_test(test_another_operation_at_the_same_place_is_another_path),
      cmocka_unit_test(test_a_send_that_does_not_match_its_record_stops_the_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
