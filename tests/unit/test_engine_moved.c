/* Effects whose outcome is unknown when the address of their connection changes: never sent again by themselves (SEMANTICS 4). */
#include "prog_rig.h"
#include "engine_int.h"

typedef struct peer {
  unsigned n, silent;        /* requests seen; the first `silent` of them never get an answer */
  uint8_t klass;             /* else errors of this class, as long as `errors` lasts */
  unsigned errors;
  char code[16];
} peer;

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  peer *x = (peer *)p->user;
  (void)a, (void)f;
  x->n++;
  if (x->silent) {
    x->silent--;
    out->delay_us = INT64_C(3600000000) * 24;
    out->value = val_int(1);
    return MOCK_VALUE;
  }
  if (x->errors) {
    x->errors--;
    out->fail_class = x->klass;
    out->code = "test";
    return MOCK_ERROR;
  }
  out->value = val_int(1);
  return MOCK_VALUE;
}

#define PROGRAM(args, body) \
  "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0), breaker: breaker(failures: 0, cooldown: 30 seconds)" args ")\n" \
  "workflow w on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.1 {\n" body "\n}\n"
#define KEYED PROGRAM("", "  step x = crm.put('/x', body: { a: 1 })\n  return {}")
#define SENDS PROGRAM("", "  send crm.put('/x', body: { a: 1 })\n  return {}")

static void begin(prog **p, const char *text, peer *x, const char *id) {
  *p = prog_new(text, world, x, 0);
  prog_submit(*p, id, "4711", "");
  prog_run_for(*p, 200000);
}

static void move(prog *p, const char *base) {
  assert_int_equal(p->cfg.nconns, 1);
  p->cfg.conns[0].o.base = base;
}

/* The process ends, comes back with the connection at another address, and works for so long. */
static void again_elsewhere(prog *p, bool killed, int64_t us) {
  if (killed) prog_kill9(p);
  else engine_close(p->e);
  move(p, "http://127.0.0.1:2");
  prog_open(p);
  prog_run_for(p, us);
}

static store_delivery the_delivery(prog *p, unsigned nth) {
  prog_ids ids = {.n = 0};
  store_delivery d;
  for (unsigned i = 0; i <= nth; i++) {
    store_run r = prog_the_run(p, i);
    (void)store_list_deliveries_of_run(engine_store(p->e), 0, r.id, prog_take_id, &ids);
  }
  assert_true(nth < ids.n);
  assert_int_equal(store_get_delivery(engine_store(p->e), 0, ids.id[nth], &p->a, &d), HDW_OK);
  return d;
}

static void assert_ambiguous(prog *p, unsigned nth) {
  assert_int_equal(the_delivery(p, nth).state, DELIVERY_DEAD);
  assert_int_equal(the_delivery(p, nth).fail_class, FAIL_AMBIGUOUS);
}

/* ---- steps -------------------------------------------------------------------------------------------------------------------------- */

static void test_an_open_intent_goes_to_the_same_address_again(void **state) {
  (void)state;
  peer x = {.silent = 1};
  prog *p;
  begin(&p, KEYED, &x, "M1");
  assert_int_equal(x.n, 1);
  prog_restart(p);
  prog_run_for(p, 2000000);
  assert_int_equal(x.n, 2); /* keyed: the sink knows it again */
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

static void test_an_open_intent_never_goes_to_another_address_by_itself(void **state) {
  (void)state;
  peer x = {.silent = 1};
  prog *p;
  begin(&p, KEYED, &x, "M1");
  again_elsewhere(p, false, INT64_C(3600000000));
  store_run r = prog_the_run(p, 0);
  assert_int_equal(x.n, 1);
  assert_int_equal(r.state, RUN_DEAD);
  assert_int_equal(r.fail_class, FAIL_AMBIGUOUS);
  assert_non_null(strstr(r.reason.p, "address"));
  assert_int_equal(prog_redrive_all(p), 1); /* a person has looked */
  prog_run_for(p, 2000000);
  assert_int_equal(x.n, 2);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

/* It failed, and it is certain that the peer does not have it: the new address gets it. */
static void test_what_certainly_did_not_arrive_goes_to_the_new_address(void **state) {
  (void)state;
  peer x = {.errors = 1, .klass = FAIL_TRANSIENT};
  prog *p;
  begin(&p, KEYED, &x, "M1");
  assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);
  again_elsewhere(p, false, INT64_C(3600000000));
  assert_int_equal(x.n, 2);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

/* Parked behind an attempt that may have arrived; then one fails for certain: the first is as unknown as before. */
static void test_an_attempt_that_may_have_arrived_is_remembered_over_later_ones(void **state) {
  (void)state;
  peer x = {.errors = 1, .klass = FAIL_AMBIGUOUS};
  prog *p;
  begin(&p, KEYED, &x, "M1");
  store_run r = prog_the_run(p, 0);
  assert_int_equal(r.state, RUN_PARKED);
  assert_int_equal(r.fail_class, FAIL_AMBIGUOUS);
  x.errors = 100, x.klass = FAIL_TRANSIENT;
  prog_run_for(p, 5000000);
  unsigned before = x.n;
  assert_true(before >= 2);
  r = prog_the_run(p, 0);
  assert_int_equal(r.state, RUN_PARKED);
  assert_int_equal(r.fail_class, FAIL_AMBIGUOUS);
  engine_close(p->e);
  move(p, "http://127.0.0.1:2");
  x.errors = 0;
  prog_open(p);
  prog_run_for(p, INT64_C(3600000000));
  assert_int_equal(x.n, before);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  prog_free(p);
}

static void test_a_handler_that_says_retry_does_not_carry_it_to_another_address(void **state) {
  (void)state;
  peer x = {.errors = 1, .klass = FAIL_AMBIGUOUS};
  prog *p;
  begin(&p, PROGRAM("", "  step x = crm.put('/x', body: { a: 1 }) on error { retry(10 minutes) }\n  return {}"), &x, "M1");
  assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);
  again_elsewhere(p, false, INT64_C(3600000000));
  assert_int_equal(x.n, 1);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  assert_int_equal(prog_the_run(p, 0).fail_class, FAIL_AMBIGUOUS);
  prog_free(p);
}

/* It is remembered also when the memory of the loop in which it happened was given back meanwhile. */
static engine_mock_verdict fails_first_and_last(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  enum { LONG = 60000 };
  peer *x = (peer *)p->user;
  char *text = (char *)arena_alloc(a, LONG);
  unsigned n = x->n++;
  (void)f;
  out->fail_class = n ? FAIL_TRANSIENT : FAIL_AMBIGUOUS, out->code = "test";
  if (!n || n >= 6 || !text) return MOCK_ERROR; /* the first /x, and /y */
  memset(text, 'x', LONG);
  out->value = n % 2 ? val_str(text, LONG) : val_int(1);
  return MOCK_VALUE;
}
static void test_what_may_have_arrived_is_remembered_behind_a_loop(void **state) {
  (void)state;
  peer x = {.n = 0};
  prog *p = prog_new(PROGRAM("", "  for i in [1, 2, 3] {\n    step x = crm.put('/x', body: { a: i }) on error { }\n    step g = crm.get('/g')\n  }\n"
                                 "  step y = crm.put('/y', body: { a: 1 })\n  return {}"), fails_first_and_last, &x, 0);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 200000);
  store_run r = prog_the_run(p, 0);
  assert_int_equal(x.n, 7);
  assert_int_equal(r.state, RUN_PARKED);
  assert_int_equal(r.fail_class, FAIL_TRANSIENT); /* /y did not arrive: it was /x that may have */
  prog_free(p);
}

/* A read changes nothing: it is asked again, wherever that is. */
static void test_reads_go_to_the_new_address(void **state) {
  (void)state;
  peer x = {.silent = 1};
  prog *p;
  begin(&p, PROGRAM("", "  step x = crm.get('/x')\n  return {}"), &x, "M1");
  again_elsewhere(p, false, 2000000);
  assert_int_equal(x.n, 2);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

/* ---- deliveries ----------------------------------------------------------------------------------------------------------------------- */

static void test_a_delivery_in_flight_at_an_orderly_end(void **state) {
  (void)state;
  peer x = {.silent = 1};
  prog *p;
  begin(&p, SENDS, &x, "M1");
  prog_submit(p, "M2", "4711", ""); /* waits behind it */
  prog_submit(p, "M3", "4712", "");
  prog_run_for(p, 200000);
  assert_int_equal(x.n, 2);
  again_elsewhere(p, false, INT64_C(3600000000));
  assert_ambiguous(p, 0);
  assert_int_equal(the_delivery(p, 1).state, DELIVERY_DELIVERED); /* never tried before */
  assert_int_equal(the_delivery(p, 2).state, DELIVERY_DELIVERED);
  assert_int_equal(x.n, 3);
  assert_int_equal(prog_redrive_all(p), 1);
  prog_run_for(p, 2000000);
  assert_int_equal(the_delivery(p, 0).state, DELIVERY_DELIVERED);
  prog_free(p);
}

static void test_a_delivery_in_flight_goes_again_to_the_same_address(void **state) {
  (void)state;
  for (int killed = 0; killed < 2; killed++) {
    peer x = {.silent = 1};
    prog *p;
    begin(&p, SENDS, &x, "M1");
    if (killed) prog_kill9(p);
    else engine_close(p->e);
    prog_open(p);
    prog_run_for(p, 2000000);
    assert_int_equal(x.n, 2);
    assert_int_equal(the_delivery(p, 0).state, DELIVERY_DELIVERED);
    prog_free(p);
  }
}

/* Killed: nobody knows which head was under way. What stands behind a head was not. */
static void test_heads_count_as_in_flight_when_the_process_was_killed(void **state) {
  (void)state;
  peer x = {.silent = 1};
  prog *p;
  begin(&p, SENDS, &x, "M1");
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 200000);
  assert_int_equal(x.n, 1);
  again_elsewhere(p, true, INT64_C(3600000000));
  assert_ambiguous(p, 0);
  assert_int_equal(the_delivery(p, 1).state, DELIVERY_DELIVERED);
  assert_int_equal(x.n, 2);
  /* Once: the next start at that address takes nothing for unknown. */
  prog_submit(p, "M3", "4711", "");
  prog_run_for(p, 1000);
  prog_kill9(p);
  prog_open(p);
  prog_run_for(p, 2000000);
  assert_int_equal(the_delivery(p, 2).state, DELIVERY_DELIVERED);
  prog_free(p);
}

static void test_a_delivery_put_off_before_the_kill_goes_to_the_new_address(void **state) {
  (void)state;
  peer x = {.errors = 12, .klass = FAIL_TRANSIENT};
  prog *p;
  begin(&p, SENDS, &x, "M1");
  prog_run_for(p, 20000000);
  store_delivery d = the_delivery(p, 0);
  assert_int_equal(d.state, DELIVERY_PENDING);
  assert_true(d.next_us > io_wall_us(p->io));
  x.errors = 0;
  unsigned before = x.n;
  again_elsewhere(p, true, INT64_C(3600000000));
  assert_int_equal(the_delivery(p, 0).state, DELIVERY_DELIVERED);
  assert_int_equal(x.n, before + 1);
  prog_free(p);
}

static void test_a_delivery_that_may_have_arrived_is_not_tried_at_another_address(void **state) {
  (void)state;
  peer x = {.errors = 1, .klass = FAIL_AMBIGUOUS};
  prog *p;
  begin(&p, SENDS, &x, "M1");
  assert_int_equal(the_delivery(p, 0).state, DELIVERY_PENDING);
  assert_int_equal(the_delivery(p, 0).fail_class, FAIL_AMBIGUOUS);
  unsigned before = x.n;
  again_elsewhere(p, false, INT64_C(3600000000));
  assert_int_equal(x.n, before);
  assert_ambiguous(p, 0);
  assert_int_equal(prog_redrive_all(p), 1);
  prog_run_for(p, 2000000);
  assert_int_equal(the_delivery(p, 0).state, DELIVERY_DELIVERED);
  prog_free(p);
}

/* The connection is replaced while an attempt is under way; the attempt ends without an answer. */
static void test_a_reload_under_an_attempt(void **state) {
  (void)state;
  peer x = {.silent = 1};
  prog *p;
  begin(&p, SENDS, &x, "M1");
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 200000);
  config next;
  const meta *metas[4];
  engine_stage *st;
  char text[200];
  config_init(&next, &p->a);
  assert_int_equal(config_bind(&next, metas, engine_metas(p->e, metas, 4), true), HDW_OK);
  next.conns[0].o.base = "http://127.0.0.1:2";
  assert_int_equal(engine_stage_new(p->e, &st), HDW_OK);
  if (engine_switch(st, &next, "test", text)) fail_msg("%s", text);
  prog_run_for(p, 2000000);
  assert_int_equal(x.n, 1); /* the new one waits for the old one */
  eng_conn *old = p->e->old_conns;
  assert_non_null(old);
  eng_call *call = NULL;
  assert_int_equal(old->places, 1);
  assert_non_null(old->flying);
  call = eng_out_flying_call(old);
  eng_call_fail(call, FAIL_AMBIGUOUS, 0, "timeout", "no answer");
  eng_call_done(call);
  prog_run_for(p, 2000000);
  assert_ambiguous(p, 0);
  assert_int_equal(the_delivery(p, 1).state, DELIVERY_DELIVERED);
  assert_int_equal(x.n, 2);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_open_intent_goes_to_the_same_address_again),
      cmocka_unit_test(test_an_open_intent_never_goes_to_another_address_by_itself),
      cmocka_unit_test(test_what_certainly_did_not_arrive_goes_to_the_new_address),
      cmocka_unit_test(test_an_attempt_that_may_have_arrived_is_remembered_over_later_ones),
      cmocka_unit_test(test_a_handler_that_says_retry_does_not_carry_it_to_another_address),
      cmocka_unit_test(test_what_may_have_arrived_is_remembered_behind_a_loop),
      cmocka_unit_test(test_reads_go_to_the_new_address),
      cmocka_unit_test(test_a_delivery_in_flight_at_an_orderly_end),
      cmocka_unit_test(test_a_delivery_in_flight_goes_again_to_the_same_address),
      cmocka_unit_test(test_heads_count_as_in_flight_when_the_process_was_killed),
      cmocka_unit_test(test_a_delivery_put_off_before_the_kill_goes_to_the_new_address),
      cmocka_unit_test(test_a_delivery_that_may_have_arrived_is_not_tried_at_another_address),
      cmocka_unit_test(test_a_reload_under_an_attempt),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
