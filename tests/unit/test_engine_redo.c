/* Reprocessing takes over what was done, whatever happens between the wish and the run: retention, a disk that cannot be read. */
#include "prog_rig.h"

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:9001')\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n"
    "  step a = crm.post('/a', body: { mrn: msg.PID-3.1 })\n"
    "  send crm.post('/b', body: { a: a })\n"
    "  return a\n}\n";

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  unsigned *n = (unsigned *)p->user;
  (void)a, (void)f;
  ++*n;
  out->value = val_int(17);
  return MOCK_VALUE;
}

static void on_retained(void *user) { *(bool *)user = true; }

/* A message that is through, and its reprocessing, which waits because the workflow is paused. */
static prog *waiting(unsigned *performed) {
  uint32_t started = 0;
  char text[200] = "";
  prog *p = prog_new(program, world, performed, 0);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 1000000);
  assert_int_equal(*performed, 2);
  assert_int_equal(engine_pause_workflow(p->e, "w", true, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  log_roll(engine_log(p->e));
  if (engine_reprocess(p->e, prog_the_run(p, 0).input, NULL, "test", NULL, NULL, &started, text)) fail_msg("%s", text);
  prog_run_for(p, 1000000);
  assert_int_equal(started, 1);
  assert_int_equal(prog_the_run(p, 1).state, RUN_QUEUED);
  return p;
}

static void goes_on_without_effects(prog *p, const unsigned *performed) {
  assert_int_equal(engine_pause_workflow(p->e, "w", false, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 60000000);
  store_run r = prog_the_run(p, 1);
  if (r.state != RUN_DONE) fail_msg("state %d: %.*s", r.state, (int)r.reason.len, r.reason.p);
  assert_int_equal(*performed, 2);
}

static void test_retention_keeps_what_a_waiting_run_takes_over(void **state) {
  (void)state;
  unsigned performed = 0;
  bool retained = false;
  prog *p = waiting(&performed);
  p->cfg.top.retain_values_days = p->cfg.top.retain_inputs_days = p->cfg.top.retain_runs_days = 0;
  for (uint32_t i = 0; i < p->cfg.nlisteners; i++) p->cfg.listeners[i].o.duplicate_window_ms = 0;
  assert_int_equal(engine_retain(p->e, on_retained, &retained), HDW_OK);
  prog_run_for(p, 10000000);
  assert_true(retained);
  goes_on_without_effects(p, &performed);
  prog_free(p);
}

/* Without anything that waits for them the values do go, so that the test above shows something. */
static void test_retention_takes_what_nobody_waits_for(void **state) {
  (void)state;
  unsigned performed = 0;
  bool retained = false;
  log_rec rec;
  prog *p = prog_new(program, world, &performed, 0);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 1000000);
  store_run r = prog_the_run(p, 0);
  log_roll(engine_log(p->e));
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 1000000);
  p->cfg.top.retain_values_days = 0;
  assert_int_equal(engine_retain(p->e, on_retained, &retained), HDW_OK);
  prog_run_for(p, 10000000);
  assert_true(retained);
  assert_int_equal(log_read(engine_log(p->e), r.result_pos, &p->a, &rec), HDW_E_NOTFOUND);
  prog_free(p);
}

static void test_a_result_that_cannot_be_read_now_is_not_performed_again(void **state) {
  (void)state;
  unsigned performed = 0;
  prog *p = waiting(&performed);
  io_sim_fault(p->io, IO_SIM_PREAD, 1, HDW_E_IO, true);
  assert_int_equal(engine_pause_workflow(p->e, "w", false, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 5000000);
  assert_int_not_equal(prog_the_run(p, 1).state, RUN_DONE);
  assert_int_equal(performed, 2);
  io_sim_fault(p->io, IO_SIM_PREAD, 0, HDW_OK, false);
  goes_on_without_effects(p, &performed);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_retention_keeps_what_a_waiting_run_takes_over),
      cmocka_unit_test(test_retention_takes_what_nobody_waits_for),
      cmocka_unit_test(test_a_result_that_cannot_be_read_now_is_not_performed_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
