/* Lanes: order by none, one or several keys; what holds a lane, who sees it, who lets go. */
#include "prog_rig.h"

static const char program[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "workflow one on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.idNumber, msg.PID-4.idNumber {\n"
    "  step a = crm.post(\"/{msg.MSH-10}/1\", body: {:})\n"
    "  step b = crm.post(\"/{msg.MSH-10}/2\", body: {:})\n"
    "  return 1\n"
    "}\n";

typedef struct seen {
  char path[1024][24];
  unsigned n, at;
  int script[64];            /* statuses to answer with; 0 = success */
  unsigned nscript;
  int64_t delay_us;
  const char *bad;           /* requests that begin so fail with 422 */
} seen;

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  seen *s = (seen *)p->user;
  char text[64];
  prog_path(a, f->request, text);
  if (s->n < 1024) snprintf(s->path[s->n++], 24, "%.23s", text);
  int status = s->at < s->nscript ? s->script[s->at++] : 0;
  if (s->bad && !strncmp(text, s->bad, strlen(s->bad))) status = 422;
  out->delay_us = s->delay_us;
  if (!status) {
    out->value = val_int(1);
    return MOCK_VALUE;
  }
  out->status = status;
  return MOCK_ERROR;
}

static void expect(const seen *s, unsigned n, const char *const *paths) {
  assert_int_equal(s->n, n);
  for (unsigned i = 0; i < n; i++) assert_string_equal(s->path[i], paths[i]);
}

typedef struct lanes {
  unsigned n, held, waiting;
  uint8_t lane[16][REC_LANE];
  uint64_t run[16];
} lanes;
static bool take_lane(const engine_lane *l, void *user) {
  lanes *x = (lanes *)user;
  memcpy(x->lane[x->n], l->lane, REC_LANE);
  x->run[x->n++] = l->run->id;
  x->held += l->held;
  x->waiting += l->waiting;
  return x->n < 16;
}
static lanes list(prog *p) {
  lanes x = {.n = 0};
  engine_status st;
  engine_lanes(p->e, 0, take_lane, &x);
  engine_get_status(p->e, &st);
  assert_int_equal(st.held_lanes, x.held);
  return x;
}

static void test_one_key_is_in_order_and_other_keys_do_not_wait(void **state) {
  (void)state;
  seen s = {.delay_us = 50000};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "1", "");
  prog_submit(p, "B", "1", "");
  prog_submit(p, "C", "2", "");
  prog_run_for(p, 20000);
  assert_int_equal(s.n, 2); /* A and C */
  lanes l = list(p);
  assert_int_equal(l.n, 1);
  assert_int_equal(l.held, 0);
  assert_int_equal(l.waiting, 1);
  prog_run_for(p, 1000000);
  expect(&s, 6, (const char *const[]){"/A/1", "/C/1", "/A/2", "/C/2", "/B/1", "/B/2"});
  assert_int_equal(list(p).n, 0);
  prog_free(p);
}

static void test_several_keys_wait_for_all(void **state) {
  (void)state;
  seen s = {.delay_us = 50000};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "1", "");
  prog_submit(p, "B", "2", "");
  prog_submit(p, "C", "2", "1"); /* behind both */
  prog_submit(p, "D", "1", "");  /* behind A and C */
  prog_submit(p, "E", "3", "");
  prog_run_for(p, 2000000);
  expect(&s, 10, (const char *const[]){"/A/1", "/B/1", "/E/1", "/A/2", "/B/2", "/E/2", "/C/1", "/C/2", "/D/1", "/D/2"});
  prog_free(p);
}

static void test_no_key_is_no_lane_and_counted(void **state) {
  (void)state;
  seen s = {.delay_us = 50000};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "", "");
  prog_submit(p, "B", "", "");
  prog_run_for(p, 20000);
  assert_int_equal(s.n, 2);
  engine_status st;
  engine_get_status(p->e, &st);
  assert_int_equal(st.no_lane, 2);
  prog_run_for(p, 1000000);
  prog_free(p);
}

static void test_a_dead_run_holds_its_lanes_until_redriven(void **state) {
  (void)state;
  seen s = {.nscript = 2, .script = {0, 422}};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "1", "2");
  prog_submit(p, "B", "1", "");
  prog_submit(p, "C", "2", "");
  prog_run_for(p, 1000000);
  expect(&s, 2, (const char *const[]){"/A/1", "/A/2"});
  lanes l = list(p);
  assert_int_equal(l.held, 2);
  assert_int_equal(l.waiting, 2);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  prog_restart(p); /* holds over a restart */
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 2);
  assert_int_equal(list(p).held, 2);
  assert_int_equal(prog_redrive_all(p), 1);
  prog_run_for(p, 1000000);
  assert_int_equal(s.n, 7);
  assert_string_equal(s.path[2], "/A/2"); /* what had succeeded is not done again */
  assert_int_equal(list(p).n, 0);
  prog_free(p);
}

static void test_a_parked_run_holds_its_lane(void **state) {
  (void)state;
  seen s = {.nscript = 1, .script = {503}};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "1", "");
  prog_submit(p, "B", "1", "");
  prog_run_for(p, 400000);
  lanes l = list(p);
  assert_int_equal(l.held, 1);
  assert_int_equal(l.waiting, 1);
  prog_run_for(p, 10000000);
  expect(&s, 5, (const char *const[]){"/A/1", "/A/1", "/A/2", "/B/1", "/B/2"});
  assert_int_equal(list(p).n, 0);
  prog_free(p);
}

static void test_skip_lane_lets_the_others_go_on(void **state) {
  (void)state;
  seen s = {.bad = "/A"};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "1", "2");
  prog_submit(p, "B", "1", "");
  prog_submit(p, "C", "2", "");
  prog_run_for(p, 1000000);
  lanes l = list(p);
  assert_int_equal(l.held, 2);
  assert_int_equal(engine_skip_lane(p->e, l.lane[0], "test", "it can wait", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  l = list(p);
  assert_int_equal(l.held, 1); /* the other one stays */
  assert_int_equal(s.n, 3);
  prog_restart(p);
  prog_run_for(p, 100000);
  assert_int_equal(engine_skip_lane(p->e, l.lane[0], "test", "", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(list(p).n, 0);
  assert_int_equal(s.n, 5);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  s.bad = NULL; /* the one that was skipped still can be sent back to work */
  assert_int_equal(prog_redrive_all(p), 1);
  prog_submit(p, "D", "1", "");
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(prog_the_run(p, 3).state, RUN_DONE);
  assert_int_equal(engine_skip_lane(p->e, l.lane[0], "test", "", NULL, NULL), HDW_E_NOTFOUND);
  prog_free(p);
}

static void test_on_failure_skip_does_not_hold(void **state) {
  (void)state;
  static const char text[] =
      "hdw 1\n"
      "listener adt = mllp(port: 2575)\n"
      "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
      "workflow one on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.idNumber on failure skip {\n"
      "  step a = crm.post(\"/{msg.MSH-10}/1\", body: {:})\n"
      "  return 1\n"
      "}\n";
  seen s = {.bad = "/A"};
  prog *p = prog_new(text, world, &s, 0);
  prog_submit(p, "A", "1", "");
  prog_submit(p, "B", "1", "");
  prog_run_for(p, 1000000);
  expect(&s, 2, (const char *const[]){"/A/1", "/B/1"});
  assert_int_equal(list(p).n, 0);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  prog_free(p);
}

/* An older run is sent back while a younger one is at work in its lane: never both at once, and nobody is forgotten. */
static void test_a_redriven_run_waits_for_the_younger_one_at_work(void **state) {
  (void)state;
  seen s = {.bad = "/A"};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "1", "2");
  prog_run_for(p, 1000000);
  lanes l = list(p);
  assert_int_equal(engine_skip_lane(p->e, l.lane[0], "test", "", NULL, NULL), HDW_OK);
  prog_run_for(p, 100000);
  s.bad = NULL;
  s.delay_us = 400000;
  prog_submit(p, "B", "1", "");
  prog_submit(p, "C", "2", "");
  prog_submit(p, "D", "1", "2");
  prog_run_for(p, 100000);
  assert_int_equal(prog_redrive_all(p), 1);
  prog_run_for(p, 10000000);
  for (unsigned i = 0; i < 4; i++) assert_int_equal(prog_the_run(p, i).state, RUN_DONE);
  assert_int_equal(list(p).n, 0);
  prog_free(p);
}

/* As before, but the younger one comes to be held: it has left the lane to the older one, at once and not when somebody looks. */
static void test_a_redriven_run_goes_on_when_the_younger_one_is_held(void **state) {
  (void)state;
  seen s = {.bad = "/A"};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 1000000);
  assert_int_equal(engine_skip(p->e, SUBJECT_RUN, prog_the_run(p, 0).id, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 100000);
  s.bad = NULL;
  s.delay_us = 400000;
  prog_submit(p, "B", "1", "");
  prog_run_for(p, 100000);
  assert_int_equal(prog_redrive_all(p), 1);
  assert_int_equal(engine_pause(p->e, "crm", true, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 200000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_QUEUED); /* B is at work: its first answer has not come */
  prog_run_for(p, 1000000);
  assert_int_not_equal(prog_the_run(p, 1).state, RUN_DONE); /* held, or it let the older one pass when it came back into memory */
  assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);   /* it began, and is held as well */
  assert_int_equal(engine_pause(p->e, "crm", false, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 10000000);
  expect(&s, 5, (const char *const[]){"/A/1", "/B/1", "/A/1", "/A/2", "/B/2"});
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_key_is_in_order_and_other_keys_do_not_wait),
      cmocka_unit_test(test_several_keys_wait_for_all),
      cmocka_unit_test(test_no_key_is_no_lane_and_counted),
      cmocka_unit_test(test_a_dead_run_holds_its_lanes_until_redriven),
      cmocka_unit_test(test_a_parked_run_holds_its_lane),
      cmocka_unit_test(test_skip_lane_lets_the_others_go_on),
      cmocka_unit_test(test_on_failure_skip_does_not_hold),
      cmocka_unit_test(test_a_redriven_run_waits_for_the_younger_one_at_work),
      cmocka_unit_test(test_a_redriven_run_goes_on_when_the_younger_one_is_held),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
