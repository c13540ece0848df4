/* Runs that go before the sync: one sync for input and end, order within a lane, nothing leaves before the input is durable. */
#include "prog_rig.h"

static const char pure[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "payload Card(msg: ADT_A01) { mrn: string? = msg.PID-3[0].1  other: string = msg.PID-4[0].1 }\n"
    "workflow card: Card on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3[0].1 { return Card(msg) }\n";
/* Its gate ends before the `if`, so that what comes behind fails in the run. */
static const char failing[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "connection crm = rest(base: 'http://127.0.0.1:1')\n"
    "payload Card(msg: ADT_A01) { mrn: string? = msg.PID-3[0].1  other: string = msg.PID-4[0].1 }\n"
    "workflow card: Card on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3[0].1 {\n"
    "  if msg.PID-5.1 = 'NOBODY' { step a = crm.post('/x', body: {:}) }\n"
    "  return Card(msg)\n"
    "}\n";
static const char effect[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "connection crm = rest(base: 'http://127.0.0.1:1')\n"
    "workflow one on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3[0].1 { step a = crm.post('/x', body: {:})  return 1 }\n";

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  (void)f, (void)a;
  ++*(unsigned *)p->user;
  out->value = val_int(1);
  return MOCK_VALUE;
}

static uint64_t syncs(prog *p) {
  log_stats st;
  log_get_stats(engine_log(p->e), &st);
  return st.syncs;
}

static void test_one_sync_serves_for_input_and_end(void **state) {
  (void)state;
  unsigned calls = 0;
  prog *p = prog_new(pure, world, &calls, 0);
  prog_run_for(p, 1000000);
  uint64_t before = syncs(p);
  for (unsigned i = 0; i < 8; i++) {
    char id[8], patient[8];
    snprintf(id, sizeof id, "M%u", i);
    snprintf(patient, sizeof patient, "%u", i % 3);
    prog_submit(p, id, patient, "x");
  }
  prog_run_for(p, 1000000);
  assert_int_equal(p->positive, 8);
  assert_int_equal(syncs(p), before + 1);
  uint32_t last = 0;
  for (unsigned i = 0; i < 8; i++) {
    store_run r = prog_the_run(p, i);
    assert_int_equal(r.state, RUN_DONE);
    assert_true(r.result_pos.off > last); /* in the order of their inputs, in each lane too */
    last = r.result_pos.off;
  }
  prog_restart(p);
  prog_run_for(p, 1000000);
  assert_int_equal(prog_the_run(p, 7).state, RUN_DONE);
  prog_free(p);
}

static void test_a_run_that_failed_early_holds_its_lane(void **state) {
  (void)state;
  unsigned calls = 0;
  prog *p = prog_new(failing, world, &calls, 0);
  prog_run_for(p, 1000000);
  prog_submit(p, "A", "1", ""); /* `other` is missing: the run dies */
  prog_submit(p, "B", "1", "x");
  prog_submit(p, "C", "2", "x");
  prog_run_for(p, 1000000);
  prog_submit(p, "D", "1", "x");
  prog_run_for(p, 1000000);
  assert_int_equal(p->positive, 4);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  assert_int_equal(prog_the_run(p, 1).state, RUN_QUEUED);
  assert_int_equal(prog_the_run(p, 2).state, RUN_DONE);
  assert_int_equal(prog_the_run(p, 3).state, RUN_QUEUED);
  prog_free(p);
}

static void test_nothing_leaves_before_the_input_is_durable(void **state) {
  (void)state;
  unsigned calls = 0;
  prog *p = prog_new(effect, world, &calls, 0);
  prog_run_for(p, 1000000);
  prog_submit(p, "A", "1", ""); /* the workflow's effect is not known yet: it is tried early, and dropped */
  assert_int_equal(calls, 0);
  prog_run_for(p, 1000000);
  assert_int_equal(calls, 1);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  io_sim_fault(p->io, IO_SIM_SYNC, 1, HDW_E_IO, true);
  prog_submit(p, "B", "2", "");
  prog_submit(p, "C", "2", "");
  io_sim_advance(p->io, 100000);
  assert_int_equal(calls, 1);
  assert_int_equal(p->positive, 1);
  prog_free(p);
}

static void test_a_failed_sync_takes_the_early_end_with_it(void **state) {
  (void)state;
  unsigned calls = 0;
  prog *p = prog_new(pure, world, &calls, 0);
  prog_run_for(p, 1000000);
  io_sim_fault(p->io, IO_SIM_SYNC, 1, HDW_E_IO, true);
  prog_submit(p, "A", "1", "x");
  io_sim_advance(p->io, 100000);
  assert_int_equal(p->positive, 0);
  store_counts c;
  store_get_counts(engine_store(p->e), &c);
  assert_int_equal(c.inputs + c.runs, 0);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_sync_serves_for_input_and_end),
      cmocka_unit_test(test_a_run_that_failed_early_holds_its_lane),
      cmocka_unit_test(test_nothing_leaves_before_the_input_is_durable),
      cmocka_unit_test(test_a_failed_sync_takes_the_early_end_with_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
