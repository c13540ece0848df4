/* What an operator does to runs, deliveries, connections and workflows: cancel, redrive, discard, skip, pause, resume; who may and what happens next. */
#include "deploy_rig.h"

typedef struct peer {
  unsigned n;
  int status;                /* of failures; 0 = it takes everything */
  int64_t delay_us;
  char key[64][80];
  unsigned attempt[64];
} peer;

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  peer *x = (peer *)p->user;
  (void)a;
  assert_true(x->n < 64);
  x->attempt[x->n] = f->attempt;
  snprintf(x->key[x->n++], sizeof x->key[0], "%s", f->idempotency_key);
  out->delay_us = x->delay_us;
  if (x->status) {
    out->status = x->status;
    return MOCK_ERROR;
  }
  out->value = val_int(1);
  return MOCK_VALUE;
}

#define TOP "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0), breaker: breaker(failures: 0, cooldown: 30 seconds))\n"
#define STEPS(clauses) TOP "workflow w on msg = adt.message(types: ['ADT^A01']) " clauses " {\n  step a = crm.put('/a', body: { t: 1 })\n  return {}\n}\n"
#define SENDS TOP "workflow w on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.1 {\n  send crm.put('/a', body: { t: 1 })\n  return {}\n}\n"

typedef struct done { unsigned n; hdw_status last; } done;
static void on_done(void *user, hdw_status s) {
  done *d = (done *)user;
  d->n++;
  d->last = s;
}

static prog *began(const char *text, peer *x, const char *mrn) {
  prog *p = prog_new(text, world, x, 0);
  prog_submit(p, "M1", mrn, "");
  prog_run_for(p, 100000);
  return p;
}

static uint64_t delivery(prog *p, unsigned nth, store_delivery *d) {
  prog_ids ids = {.n = 0};
  for (unsigned i = 0; i <= nth; i++) (void)store_list_deliveries_of_run(engine_store(p->e), 0, prog_the_run(p, i).id, prog_take_id, &ids);
  assert_true(nth < ids.n);
  assert_int_equal(store_get_delivery(engine_store(p->e), 0, ids.id[nth], &p->a, d), HDW_OK);
  return ids.id[nth];
}

static uint8_t delivery_state(prog *p, unsigned nth) {
  store_delivery d;
  (void)delivery(p, nth, &d);
  return d.state;
}

/* ---- cancel -------------------------------------------------------------------------------------------------------------------------- */

/* The sender waits in `ack after run`: it hears that nothing came of it, at once, and a resend is a further attempt. */
static void test_cancel_answers_the_sender_that_waits(void **state) {
  (void)state;
  peer x = {.delay_us = INT64_C(3600000000)};
  done d = {0};
  prog *p = began(STEPS("ack after run within 50 minutes else AE"), &x, "4711");
  assert_int_equal(p->answers, 0);
  uint64_t run = prog_the_run(p, 0).id;
  assert_int_equal(engine_cancel(p->e, run, "test", "wrong patient", on_done, &d), HDW_OK);
  assert_int_equal(engine_cancel(p->e, run, "test", "", on_done, &d), HDW_E_INVALID);
  prog_run_for(p, 1000000);
  assert_int_equal(d.n, 1);
  assert_int_equal(d.last, HDW_OK);
  assert_int_equal(p->answers, 1);
  assert_string_equal(p->codes[0], "AE");
  assert_int_equal(prog_the_run(p, 0).state, RUN_DISCARDED);
  store_input in;
  assert_int_equal(store_get_input(engine_store(p->e), 0, prog_the_run(p, 0).input, &p->a, &in), HDW_OK);
  assert_int_equal(in.state, INPUT_FAILED);
  assert_non_null(strstr(in.text.p, "cancelled"));
  x.delay_us = 0;
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 1000000);
  assert_int_equal(p->answers, 2);
  assert_string_equal(p->codes[1], "AA");
  prog_run_for(p, INT64_C(7200000000)); /* what the first attempt waited for comes too late for anybody */
  assert_int_equal(p->answers, 2);
  assert_true(engine_idle(p->e));
  prog_free(p);
}

/* Its sender sends it again in the moment in which the run is cancelled: the end of the old run is no answer for the new one. */
static void test_cancel_and_a_resend_at_the_same_time(void **state) {
  (void)state;
  for (unsigned early = 0; early < 2; early++) {
    peer x = {.delay_us = INT64_C(3600000000)};
    prog *p = began(STEPS("ack after run within 10 seconds else AE"), &x, "4711");
    prog_run_for(p, 15000000);
    assert_int_equal(p->answers, 1); /* the deadline */
    uint64_t run = prog_the_run(p, 0).id;
    x.delay_us = 0;
    assert_int_equal(engine_cancel(p->e, run, "test", "", NULL, NULL), HDW_OK);
    for (unsigned i = 0; early && i < 40 && prog_the_run(p, 0).state != RUN_DISCARDED; i++) io_sim_step(p->io, 1); /* until it is folded; its callback is still to come */
    prog_submit(p, "M1", "4711", "");
    prog_run_for(p, 60000000);
    assert_int_equal(p->answers, 2);
    if (early) assert_string_equal(p->codes[1], "AA");
    assert_true(engine_idle(p->e));
    prog_free(p);
  }
}

/* After a restart nobody waits; the answer is stored all the same. */
static void test_cancel_stores_the_answer_for_a_sender_that_is_gone(void **state) {
  (void)state;
  peer x = {.status = 503};
  prog *p = began(STEPS("ack after run within 20 seconds else AE"), &x, "4711");
  prog_restart(p);
  prog_run_for(p, 100000);
  store_run r = prog_the_run(p, 0);
  assert_int_equal(engine_cancel(p->e, r.id, "test", "", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  store_input in;
  assert_int_equal(store_get_input(engine_store(p->e), 0, r.input, &p->a, &in), HDW_OK);
  assert_int_equal(in.state, INPUT_FAILED);
  assert_true(cod_equal(in.ack_code, cod_cstr("AE")));
  prog_free(p);
}

static void test_cancel_lets_the_lane_go_on(void **state) {
  (void)state;
  peer x = {.delay_us = INT64_C(3600000000)};
  prog *p = began(STEPS("order by msg.PID-3.1"), &x, "4711");
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 1000000);
  assert_int_equal(x.n, 1);
  x.delay_us = 0;
  assert_int_equal(engine_cancel(p->e, prog_the_run(p, 0).id, "test", "", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
  assert_int_equal(x.n, 2);
  assert_int_equal(engine_cancel(p->e, prog_the_run(p, 1).id, "test", "", NULL, NULL), HDW_E_INVALID); /* it is done */
  assert_int_equal(engine_cancel(p->e, 12345 << 8, "test", "", NULL, NULL), HDW_E_NOTFOUND);
  prog_free(p);
}

/* ---- redrive, discard, skip ------------------------------------------------------------------------------------------------------------ */

static void test_redrive_goes_on_with_the_same_key(void **state) {
  (void)state;
  peer x = {.status = 400};
  done d = {0};
  prog *p = began(STEPS(""), &x, "4711");
  store_run r = prog_the_run(p, 0);
  assert_int_equal(r.state, RUN_DEAD);
  x.status = 0;
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, r.id, "test", on_done, &d), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(d.n, 1);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(x.n, 2);
  assert_string_equal(x.key[0], x.key[1]);
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, r.id, "test", on_done, &d), HDW_E_INVALID); /* done is done */
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, 99999 << 8, "test", on_done, &d), HDW_E_NOTFOUND);
  assert_int_equal(engine_redrive(p->e, SUBJECT_INPUT, 1, "test", on_done, &d), HDW_E_INVALID);
  prog_free(p);
}

/* A parked run that is sent back does not wait for its time. */
static void test_redrive_of_a_parked_run_is_now(void **state) {
  (void)state;
  peer x = {.status = 503};
  prog *p = began(STEPS(""), &x, "4711");
  store_run r = prog_the_run(p, 0);
  assert_int_equal(r.state, RUN_PARKED);
  x.status = 0;
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, r.id, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

static void test_redrive_and_discard_of_deliveries(void **state) {
  (void)state;
  peer x = {.status = 400};
  store_delivery d;
  prog *p = began(SENDS, &x, "4711");
  prog_submit(p, "M2", "4712", "");
  prog_run_for(p, 1000000);
  uint64_t first = delivery(p, 0, &d), second = delivery(p, 1, &d);
  assert_int_equal(d.state, DELIVERY_DEAD);
  x.status = 0;
  assert_int_equal(engine_redrive(p->e, SUBJECT_DELIVERY, first, "test", NULL, NULL), HDW_OK);
  assert_int_equal(engine_discard(p->e, SUBJECT_DELIVERY, second, "test", "too late", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(delivery_state(p, 0), DELIVERY_DELIVERED);
  assert_int_equal(delivery_state(p, 1), DELIVERY_DISCARDED);
  assert_int_equal(x.n, 3);
  assert_string_equal(x.key[2], x.key[0]);
  assert_int_equal(engine_redrive(p->e, SUBJECT_DELIVERY, second, "test", NULL, NULL), HDW_E_INVALID); /* given up */
  assert_int_equal(engine_discard(p->e, SUBJECT_DELIVERY, first, "test", "", NULL, NULL), HDW_E_INVALID); /* it has arrived */
  prog_restart(p);
  prog_run_for(p, 1000000);
  assert_int_equal(x.n, 3);
  prog_free(p);
}

static void test_discard_of_a_dead_run_lets_its_lane_go_on(void **state) {
  (void)state;
  peer x = {.status = 400};
  prog *p = began(STEPS("order by msg.PID-3.1"), &x, "4711");
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 1000000);
  assert_int_equal(x.n, 1); /* held */
  x.status = 0;
  assert_int_equal(engine_discard(p->e, SUBJECT_RUN, prog_the_run(p, 0).id, "test", "", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DISCARDED);
  assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
  prog_free(p);
}

/* skip: the dead run stays a dead letter, its lane goes on; sent back later it stands where it stood, before who has not begun. */
static void test_skip_keeps_the_dead_letter(void **state) {
  (void)state;
  peer x = {.status = 400};
  prog *p = began(STEPS("order by msg.PID-3.1"), &x, "4711");
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 1000000);
  x.status = 0;
  uint64_t run = prog_the_run(p, 0).id;
  assert_int_equal(engine_skip(p->e, SUBJECT_RUN, run, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
  assert_int_equal(engine_skip(p->e, SUBJECT_RUN, run, "test", NULL, NULL), HDW_E_INVALID); /* it holds nothing any more */
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, run, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

/* However long a reason is: the rows of the state keep their bounds. */
static void test_a_reason_is_cut_off(void **state) {
  (void)state;
  peer x = {.status = 400};
  prog *p = began(STEPS(""), &x, "4711");
  char *reason = arena_zalloc(&p->a, 1, 40001);
  memset(reason, 'r', 40000);
  assert_int_equal(engine_discard(p->e, SUBJECT_RUN, prog_the_run(p, 0).id, "test", reason, NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DISCARDED);
  assert_int_equal(prog_the_run(p, 0).reason.len, ENG_REASON_MAX);
  prog_free(p);
}

/* ---- pause ------------------------------------------------------------------------------------------------------------------------------ */

static void test_a_paused_connection_keeps_steps_and_deliveries(void **state) {
  (void)state;
  static const char both[] = TOP "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  send crm.put('/b', body: { t: 2 })\n  step a = crm.put('/a', body: { t: 1 })\n  return {}\n}\n";
  peer x = {0};
  done d = {0};
  prog *p = prog_new(both, world, &x, 0);
  assert_int_equal(engine_pause(p->e, "nowhere", true, "test", NULL, NULL), HDW_E_NOTFOUND);
  assert_int_equal(engine_pause(p->e, "crm", true, "test", on_done, &d), HDW_OK);
  prog_run_for(p, 100000);
  assert_int_equal(d.n, 1);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(x.n, 0);
  assert_int_equal(p->positive, 1); /* the sender does not notice */
  assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);
  prog_restart(p); /* it stays paused */
  prog_run_for(p, INT64_C(600000000));
  assert_int_equal(x.n, 0);
  engine_sink k;
  assert_true(engine_sink_at(p->e, 0, &k));
  assert_string_equal(k.state, "paused");
  assert_int_equal(engine_pause(p->e, "crm", false, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  assert_int_equal(x.n, 2);
  assert_int_equal(x.attempt[0], 1);
  assert_int_equal(x.attempt[1], 1); /* waiting was no attempt */
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(delivery_state(p, 0), DELIVERY_DELIVERED);
  assert_true(engine_sink_at(p->e, 0, &k));
  assert_int_equal(k.steps, 1); /* counted apart */
  assert_int_equal(k.delivered, 1);
  prog_free(p);
}

/* New runs of a paused workflow wait; one that was at work goes on. */
static void test_a_paused_workflow_keeps_new_runs(void **state) {
  (void)state;
  peer x = {.delay_us = 5000000};
  prog *p = began(STEPS(""), &x, "4711");
  assert_int_equal(engine_pause_workflow(p->e, "nothing", true, "test", NULL, NULL), HDW_E_NOTFOUND);
  assert_int_equal(engine_pause_workflow(p->e, "w", true, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 100000);
  prog_submit(p, "M2", "4712", "");
  prog_run_for(p, 10000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(prog_the_run(p, 1).state, RUN_QUEUED);
  assert_int_equal(p->positive, 2);
  prog_restart(p);
  prog_run_for(p, 10000000);
  assert_int_equal(prog_the_run(p, 1).state, RUN_QUEUED);
  assert_int_equal(engine_pause_workflow(p->e, "w", false, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 10000000);
  assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
  assert_int_equal(x.n, 2);
  prog_free(p);
}

/* Two at a time: what was told to be given up is not performed, whichever record is durable first, and is not sent back to work any more. */
static void test_acts_that_cross(void **state) {
  (void)state;
  peer x = {.status = 400};
  done d = {0};
  prog *p = began(STEPS(""), &x, "4711");
  uint64_t run = prog_the_run(p, 0).id;
  x.status = 0;
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, run, "ann", on_done, &d), HDW_OK);
  assert_int_equal(engine_discard(p->e, SUBJECT_RUN, run, "bob", "", on_done, &d), HDW_OK); /* neither is durable yet */
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, run, "ann", on_done, &d), HDW_E_INVALID);
  prog_run_for(p, 1000000);
  assert_int_equal(d.n, 2);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DISCARDED);
  assert_int_equal(x.n, 1);
  assert_true(engine_idle(p->e));
  prog_restart(p);
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DISCARDED);
  assert_int_equal(x.n, 1);
  prog_free(p);
}

/* What a person was told to be given up is not performed afterwards, however slowly the record becomes durable. */
static void test_nothing_given_up_is_performed_on_a_slow_disk(void **state) {
  (void)state;
  unsigned told = 0;
  prog_slow_us = 300000;
  for (uint64_t seed = 1; seed <= 60; seed += 2) {
    peer x = {.status = 503};
    prog *p = prog_new(STEPS(""), world, &x, seed);
    prog_submit(p, "M1", "4711", "");
    prog_run_for(p, 2000000 + (int64_t)seed * 70001); /* parked; at some time of its waiting */
    store_run r = prog_the_run(p, 0);
    (void)engine_redrive(p->e, SUBJECT_RUN, r.id, "ann", NULL, NULL);
    prog_run_for(p, (int64_t)seed % 7 * 40000);
    unsigned before = x.n;
    bool ok = engine_discard(p->e, SUBJECT_RUN, r.id, "bob", "", NULL, NULL) == HDW_OK;
    prog_run_for(p, 60000000);
    if (ok) {
      told++;
      assert_int_equal(prog_the_run(p, 0).state, RUN_DISCARDED);
      assert_int_equal(x.n, before);
    }
    prog_free(p);
  }
  prog_slow_us = 0;
  assert_true(told > 7);
}

static engine_mock_verdict one_fails(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  peer *x = (peer *)p->user;
  int status = x->n ? 503 : 0;
  int64_t delay_us = x->delay_us;
  x->status = status, x->delay_us = status ? 0 : delay_us;
  engine_mock_verdict v = world(p, f, a, out);
  x->delay_us = delay_us;
  return v;
}

/* Both runs were held. One is answered when the other one's failure has closed the connection again, and the store still shows it as held: it ends all the same. */
static void test_a_run_held_before_goes_on_while_the_store_still_shows_it_held(void **state) {
  (void)state;
  static const char reads[] = "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0), breaker: breaker(failures: 1, cooldown: 10 minutes))\n"
                              "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step a = crm.get('/a')\n  return {}\n}\n";
  prog_slow_us = 300000;
  for (uint64_t seed = 1; seed <= 10; seed++) {
    peer x = {.delay_us = (int64_t)seed % 5 * 30000};
    prog *p = prog_new(reads, one_fails, &x, seed);
    p->suspend_us = 1;
    prog_restart(p);
    (void)engine_pause(p->e, "crm", true, "test", NULL, NULL);
    prog_run_for(p, 3000000);
    prog_submit(p, "M1", "1", "");
    prog_submit(p, "M2", "2", "");
    prog_run_for(p, 3000000);
    assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);
    assert_int_equal(prog_the_run(p, 1).state, RUN_PARKED);
    (void)engine_pause(p->e, "crm", false, "test", NULL, NULL);
    prog_run_for(p, 20000000);
    assert_int_equal(x.n, 2);
    uint8_t one = prog_the_run(p, 0).state, two = prog_the_run(p, 1).state;
    assert_true((one == RUN_DONE && two == RUN_PARKED) || (one == RUN_PARKED && two == RUN_DONE));
    prog_free(p);
  }
  prog_slow_us = 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cancel_answers_the_sender_that_waits),
      cmocka_unit_test(test_cancel_and_a_resend_at_the_same_time),
      cmocka_unit_test(test_cancel_stores_the_answer_for_a_sender_that_is_gone),
      cmocka_unit_test(test_cancel_lets_the_lane_go_on),
      cmocka_unit_test(test_redrive_goes_on_with_the_same_key),
      cmocka_unit_test(test_redrive_of_a_parked_run_is_now),
      cmocka_unit_test(test_redrive_and_discard_of_deliveries),
      cmocka_unit_test(test_discard_of_a_dead_run_lets_its_lane_go_on),
      cmocka_unit_test(test_skip_keeps_the_dead_letter),
      cmocka_unit_test(test_a_reason_is_cut_off),
      cmocka_unit_test(test_a_paused_connection_keeps_steps_and_deliveries),
      cmocka_unit_test(test_a_paused_workflow_keeps_new_runs),
      cmocka_unit_test(test_acts_that_cross),
      cmocka_unit_test(test_nothing_given_up_is_performed_on_a_slow_disk),
      cmocka_unit_test(test_a_run_held_before_goes_on_while_the_store_still_shows_it_held),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
