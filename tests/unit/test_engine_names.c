/* What is kept under the names of listeners and workflows: windows of duplicates and once-keys, `was`, forget (SEMANTICS 6); senders as recorded (SEMANTICS 4). */
#include "deploy_rig.h"

typedef struct seen { unsigned n; char text[8][80]; bool down; } seen;

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  seen *s = (seen *)p->user;
  const char *t = jv_text(a, jv_get(jv_get(f->request, "body"), "t"));
  if (s->down) {
    out->status = 503;
    return MOCK_ERROR;
  }
  if (s->n < 8) snprintf(s->text[s->n], sizeof s->text[0], "%.79s", t ? t : "");
  s->n++;
  out->value = val_int(1);
  return MOCK_VALUE;
}

#define LISTENS(listener, clauses) \
  "hdw 1\nlistener " listener " = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1')\n" clauses " {\n  step x = crm.put('/x', body: { t: 'x' })\n  return {}\n}\n"

static const char adt[] = LISTENS("adt", "workflow w on msg = adt.message(types: ['ADT^A01'])");
static const char adt2[] = LISTENS("adt2 was adt", "workflow w on msg = adt2.message(types: ['ADT^A01'])");
static const char adt2_later[] = LISTENS("adt2", "workflow w on msg = adt2.message(types: ['ADT^A01'])");
static const char adt3[] = LISTENS("adt3 was adt2", "workflow w on msg = adt3.message(types: ['ADT^A01'])");

static void test_H40_a_renamed_listener_knows_the_resends_of_before(void **state) {
  (void)state;
  seen s = {0};
  prog *p = prog_new(adt, world, &s, 0);
  deploy_submit(p, "adt", "M1", "1", "A");
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 1);
  deploy_ok(deploy_text(p, adt2));
  deploy_submit(p, "adt2", "M1", "1", "A");
  deploy_submit(p, "adt2", "M2", "1", "A");
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 2); /* M2 only */
  deploy_ok(deploy_text(p, adt2_later)); /* said once, it stays so */
  deploy_ok(deploy_text(p, adt3));
  deploy_submit(p, "adt3", "M1", "1", "A");
  deploy_submit(p, "adt3", "M2", "1", "A");
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 2);
  p->mod = deploy_compile(p, adt3).p; /* and over a restart */
  p->mod_len = deploy_compile(p, adt3).n;
  config_init(&p->cfg, &p->a);
  prog_restart(p);
  deploy_submit(p, "adt3", "M1", "1", "A");
  deploy_submit(p, "adt3", "M1", "1", "B"); /* the same id with other content is another message */
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 3);
  assert_int_equal(p->answers, 7);
  assert_int_equal(p->positive, 7);
  prog_free(p);
}

static void test_a_listener_with_an_open_window_is_not_dropped_unnoticed(void **state) {
  (void)state;
  static const char other[] = LISTENS("lab", "workflow w on msg = lab.message(types: ['ADT^A01'])");
  seen s = {0};
  prog *p = prog_new(adt, world, &s, 0);
  deploy_ok(deploy_text(p, other)); /* nothing came in: nobody misses it */
  deploy_ok(deploy_text(p, adt));
  deploy_submit(p, "adt", "M1", "1", "A");
  prog_run_for(p, 1000000);
  deployed d = deploy_text(p, other);
  assert_int_equal(d.status, HDW_E_INVALID);
  assert_non_null(strstr(d.problems, "listener adt:"));
  assert_non_null(strstr(d.problems, "hdwvm forget adt"));
  engine_lost lost;
  engine_kept(p->e, "adt", &lost);
  assert_true(lost.listener && lost.declared && !lost.once);
  assert_int_equal(engine_forget(p->e, "adt", "test", &lost), HDW_OK); /* it is declared: given up with the deployment that drops it */
  prog_run_for(p, 100000);
  deploy_ok(deploy_text(p, other));
  prog_run_for(p, 100000);
  engine_kept(p->e, "adt", &lost);
  assert_false(lost.listener);
  assert_int_equal(engine_forget(p->e, "adt", "test", &lost), HDW_E_NOTFOUND);
  prog_free(p);
}

static void test_a_window_that_is_over_is_no_reason(void **state) {
  (void)state;
  static const char other[] = LISTENS("lab", "workflow w on msg = lab.message(types: ['ADT^A01'])");
  seen s = {0};
  prog *p = prog_new(adt, world, &s, 0);
  deploy_submit(p, "adt", "M1", "1", "A");
  prog_run_for(p, 1000000);
  for (int day = 0; day < 8; day++) prog_run_for(p, INT64_C(86400000000));
  deploy_ok(deploy_text(p, other));
  prog_free(p);
}

#define ONCE(name) LISTENS("adt", "workflow " name " on msg = adt.message(types: ['ADT^A01']) once by msg.PID-3.1 within 2 days")

static void test_once_keys_alone_keep_a_workflow(void **state) {
  (void)state;
  seen s = {0};
  prog *p = prog_new(ONCE("w"), world, &s, 0);
  deploy_submit(p, "adt", "M1", "4711", "A");
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE); /* no run is unfinished */
  deployed d = deploy_text(p, ONCE("v"));
  assert_int_equal(d.status, HDW_E_INVALID);
  assert_non_null(strstr(d.problems, "workflow w:"));
  assert_non_null(strstr(d.problems, "once by"));
  deploy_ok(deploy_text(p, ONCE("v was w"))); /* it takes them over */
  deploy_submit(p, "adt", "M2", "4711", "B");
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 1);
  deploy_ok(deploy_text(p, ONCE("v"))); /* said once, it stays so */
  deploy_submit(p, "adt", "M3", "4711", "C");
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 1);
  prog_restart(p);
  for (int day = 0; day < 3; day++) prog_run_for(p, INT64_C(86400000000));
  deploy_ok(deploy_text(p, ONCE("u"))); /* the keys' time is over */
  prog_free(p);
}

static void test_once_keys_can_be_given_up(void **state) {
  (void)state;
  seen s = {0};
  engine_lost lost;
  prog *p = prog_new(ONCE("w"), world, &s, 0);
  deploy_submit(p, "adt", "M1", "4711", "A");
  prog_run_for(p, 1000000);
  assert_int_equal(engine_forget(p->e, "w", "test", &lost), HDW_OK);
  assert_true(lost.once && !lost.runs);
  prog_run_for(p, 100000);
  deploy_ok(deploy_text(p, ONCE("v")));
  prog_run_for(p, 100000);
  engine_kept(p->e, "w", &lost);
  assert_false(lost.once);
  prog_free(p);
}

#define SENDER(zone, extra) \
  "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n" \
  "sender LAB { match: MSH-3 = 'LAB'  zone: '" zone "' }\n" \
  "workflow w on msg = adt.message(types: ['ADT^A01'], from: LAB) {\n" \
  "  let at: dateTime? = msg.PID-7\n" \
  "  step x = crm.put('/x', body: { t: at.toString()" extra " })\n  return {}\n}\n"

static void submit_born(prog *p, const char *id) {
  char msg[300];
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|P|2.5.1\rPID|1||4711||SMITH||202606011000\r", id);
  engine_submit_hl7(p->e, &src, msg, (size_t)n, prog_answer, p);
}

/* A run goes on as it began, whatever a later version says about its sender; reprocessed it is read as today's version says. */
static void test_a_parked_run_reads_its_message_as_its_own_version_does(void **state) {
  (void)state;
  seen s = {.down = true};
  uint32_t started;
  char text[200];
  prog *p = prog_new(SENDER("America/Chicago", ""), world, &s, 0);
  submit_born(p, "M1");
  prog_run_for(p, 1000000);
  store_run r = prog_the_run(p, 0);
  assert_int_equal(r.state, RUN_PARKED);
  deploy_ok(deploy_text(p, SENDER("Europe/Berlin", ", v: 2")));
  s.down = false;
  prog_run_for(p, INT64_C(600000000));
  r = prog_the_run(p, 0);
  if (r.state != RUN_DONE) fail_msg("state %d: %.*s", r.state, (int)r.reason.len, r.reason.p);
  assert_int_equal(s.n, 1);
  assert_non_null(strstr(s.text[0], "-05:00"));
  if (engine_reprocess(p->e, r.input, NULL, "test", NULL, NULL, &started, text)) fail_msg("%s", text);
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 2);
  assert_non_null(strstr(s.text[1], "+02:00"));
  prog_free(p);
}

/* ---- what cannot be looked up -------------------------------------------------------------------------------------------------------------- */

/* A deployment for which memory fails at its at-th allocation; false: it did not need so many. *done: it was made. */
static bool deployed_short(prog *p, const char *text, long at, bool *done) {
  const meta *metas[8];
  char why[200] = "";
  mod_error err;
  engine_stage *st;
  test_mem own;
  arena a;
  buf problems;
  config *c = (config *)arena_zalloc(&p->a, 1, sizeof *c);
  deploy_module m = deploy_compile(p, text);
  config_init(c, &p->a);
  assert_int_equal(engine_stage_new(p->e, &st), HDW_OK);
  assert_int_equal(engine_stage_module(st, "test.hdwb", m.p, m.n, &err), HDW_OK);
  assert_int_equal(config_bind(c, metas, engine_stage_metas(st, metas, 8), true), HDW_OK);
  test_mem_init(&own);
  arena_init(&a, &own.m, 0);
  buf_init(&problems, &a, 4000);
  p->mem.fail_after = at, p->mem.fail_more = 3; /* an arena asks for less when it does not get much */
  engine_stage_names(st, c, &problems);
  *done = !problems.len && !engine_switch(st, c, "test", why);
  bool failed = p->mem.fail_more < 3;
  p->mem.fail_after = -1, p->mem.fail_more = 0;
  if (!*done) engine_stage_free(st);
  arena_free(&a);
  return failed;
}

static void test_H40_a_name_that_cannot_be_looked_up_is_not_a_new_one(void **state) {
  (void)state;
  unsigned refused = 0, times = 0;
  for (bool failed = true; failed; times++) {
    seen s = {0};
    bool done;
    prog *p = prog_new(adt, world, &s, 0);
    deploy_submit(p, "adt", "M1", "1", "A");
    prog_run_for(p, 1000000);
    deploy_ok(deploy_text(p, adt2));
    prog_run_for(p, 1000000);
    failed = deployed_short(p, adt2_later, times, &done); /* that adt2 was adt stands in the state alone */
    refused += !done;
    prog_run_for(p, 1000000);
    deploy_submit(p, "adt2", "M1", "1", "A");
    prog_run_for(p, 1000000);
    if (s.n != 1) fail_msg("at %u (%s): the resend was performed", times, done ? "deployed" : "refused");
    if (!done) deploy_ok(deploy_text(p, adt2_later));
    deploy_submit(p, "adt2", "M1", "1", "A");
    prog_run_for(p, 1000000);
    assert_int_equal(s.n, 1);
    prog_free(p);
  }
  assert_true(refused > 0 && times > refused);
}

static void test_what_cannot_be_looked_up_is_not_dropped(void **state) {
  (void)state;
  static const char was[] = LISTENS("adt", "connection old = rest(base: 'http://127.0.0.1:2')\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  send old.put('/y', body: {:})\n  return {}\n}\nworkflow v on msg = adt.message(types: ['ADT^A08'])");
  static const char later[] = LISTENS("lab", "workflow u on msg = lab.message(types: ['ADT^A01'])");
  unsigned times = 0;
  for (bool failed = true; failed; times++) {
    seen s = {.down = true};
    bool done;
    prog *p = prog_new(was, world, &s, 0);
    deploy_submit(p, "adt", "M1", "1", "A");
    prog_run_for(p, 1000000);
    failed = deployed_short(p, later, times, &done);
    if (done) fail_msg("at %u: a listener with an open window and a queue were dropped", times);
    prog_free(p);
  }
  assert_true(times > 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H40_a_renamed_listener_knows_the_resends_of_before),
      cmocka_unit_test(test_a_listener_with_an_open_window_is_not_dropped_unnoticed),
      cmocka_unit_test(test_a_window_that_is_over_is_no_reason),
      cmocka_unit_test(test_once_keys_alone_keep_a_workflow),
      cmocka_unit_test(test_once_keys_can_be_given_up),
      cmocka_unit_test(test_a_parked_run_reads_its_message_as_its_own_version_does),
      cmocka_unit_test(test_H40_a_name_that_cannot_be_looked_up_is_not_a_new_one),
      cmocka_unit_test(test_what_cannot_be_looked_up_is_not_dropped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
