/* Reprocessing takes over what was done, whatever happens between the wish and the run: retention, a disk that cannot be read. */
#include "prog_rig.h"

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:9001')\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n"
    "  step a = crm.post('/a', body: { mrn: msg.PID-3.1 })\n"
    "  send crm.post('/b', body: { a: a })\n"
    "  return a\n}\n";

static void on_retained(void *user) { *(bool *)user = true; }

/* The segment ends, and the bytes of what it holds are wanted no longer. */
static void retain_inputs(prog *p) {
  bool retained = false;
  log_roll(engine_log(p->e));
  prog_submit(p, "M2", "4711", "");
  p->cfg.top.retain_inputs_days = 0;
  assert_int_equal(engine_retain(p->e, on_retained, &retained), HDW_OK);
  prog_run_for(p, 10000000);
}

/* A message that is through, and its reprocessing, which waits because the workflow is paused. */
static prog *waiting(unsigned *performed) {
  uint32_t started = 0;
  char text[200] = "";
  prog *p = prog_new(program, prog_fine, performed, 0);
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
  prog *p = prog_new(program, prog_fine, &performed, 0);
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

/* Tight retention on a disk that writes late: the wish to reprocess comes at each moment of a pass. */
static unsigned performed_with(int64_t after_us, unsigned *refused) {
  unsigned performed = 0;
  bool retained = false;
  uint32_t started = 0;
  char text[200] = "";
  prog_slow_us = 30000;
  prog *p = prog_new(program, prog_fine, &performed, 7);
  for (unsigned i = 0; i < 12; i++) {
    char id[8];
    snprintf(id, sizeof id, "M%u", i);
    prog_submit(p, id, "4711", "");
    prog_run_for(p, 400000);
  }
  prog_run_for(p, 3000000);
  assert_int_equal(performed, 24);
  log_roll(engine_log(p->e));
  prog_submit(p, "last", "4711", "");
  prog_run_for(p, 3000000);
  performed = 0;
  p->cfg.top.retain_values_days = 0;
  assert_int_equal(engine_retain(p->e, on_retained, &retained), HDW_OK);
  prog_run_for(p, after_us);
  uint64_t input = prog_the_run(p, 11).input;
  log_rec rec;
  bool there = !log_read(engine_log(p->e), prog_the_run(p, 11).result_pos, &p->a, &rec);
  hdw_status s = engine_reprocess(p->e, input, NULL, "test", NULL, NULL, &started, text);
  if (s == HDW_E_AGAIN) ++*refused;
  else if (s) fail_msg("%s", text);
  prog_run_for(p, 30000000);
  if (!there || s) performed = 0; /* retention was first: performed anew, and nobody was told otherwise */
  prog_free(p);
  prog_slow_us = 0;
  return performed;
}

/* The delivery of the first run is still on its way: the second one takes it over, so it is nobody else's. What the second one sends itself has its place. */
typedef struct sent { unsigned n; int status; } sent;
static engine_mock_verdict sends(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  sent *s = (sent *)p->user;
  (void)a;
  s->n += f->delivery != 0;
  out->status = f->delivery ? s->status : 0;
  out->fail_class = s->status == 503 ? FAIL_TRANSIENT : FAIL_PERMANENT;
  return out->status ? MOCK_ERROR : MOCK_VALUE;
}
static void test_a_delivery_that_was_taken_over_can_be_sent_back(void **state) {
  (void)state;
  for (int taken = 0; taken < 2; taken++) {
    sent s = {.status = taken ? 503 : 400};
    uint32_t started = 0;
    char text[200] = "";
    prog *p = prog_new(program, sends, &s, 0);
    prog_submit(p, "M1", "4711", "");
    prog_run_for(p, 100000);
    store_run first = prog_the_run(p, 0);
    assert_int_equal(first.state, RUN_DONE);
    prog_ids ids = {.n = 0}, later = {.n = 0};
    assert_int_equal(store_list_deliveries_of_run(engine_store(p->e), 0, first.id, prog_take_id, &ids), HDW_OK);
    assert_int_equal(ids.n, 1);
    if (engine_reprocess(p->e, first.input, NULL, "test", NULL, NULL, &started, text)) fail_msg("%s", text);
    s.status = 400;
    prog_run_for(p, INT64_C(600000000));
    assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
    assert_int_equal(store_list_deliveries_of_run(engine_store(p->e), 0, prog_the_run(p, 1).id, prog_take_id, &later), HDW_OK);
    assert_int_equal(later.n, !taken);
    unsigned before = s.n;
    s.status = 0;
    hdw_status st = engine_redrive(p->e, SUBJECT_DELIVERY, ids.id[0], "test", NULL, NULL);
    assert_int_equal(st, taken ? HDW_OK : HDW_E_INVALID); /* it was given up for the other */
    prog_run_for(p, 1000000);
    assert_int_equal(s.n, before + (unsigned)taken);
    prog_free(p);
  }
}
static void test_a_wish_in_the_middle_of_retention_takes_over_all_the_same(void **state) {
  (void)state;
  unsigned refused = 0;
  for (int64_t us = 2000; us < 180000; us += 12000)
    if (performed_with(us, &refused)) fail_msg("performed again after %lld us of retention", (long long)us);
  assert_true(refused > 0);
}

/* Its bytes of the first time are gone when the sender sends it again: those of the second are the input's from then on, whatever dies. */
static const char refuses[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:9001')\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) ack after run within 20 seconds else AE {\n"
    "  step a = crm.get('/a')\n"
    "  if a = 1 { reject('AE', 'not yet') }\n"
    "  step b = crm.post('/b', body: { mrn: msg.PID-3.1 })\n"
    "  return b\n}\n";
typedef struct crm { int answer; int64_t delay_us; } crm;
static engine_mock_verdict crm_world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  const crm *x = (const crm *)p->user;
  (void)f;
  (void)a;
  out->delay_us = x->delay_us;
  out->value = val_int(x->answer);
  return MOCK_VALUE;
}
static void test_a_further_attempt_brings_its_bytes(void **state) {
  (void)state;
  crm x = {.answer = 1};
  bool retained = false;
  store_input in;
  log_rec rec;
  prog *p = prog_new(refuses, crm_world, &x, 0);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 100000);
  store_run first = prog_the_run(p, 0);
  assert_string_equal(p->codes[0], "AE");
  retain_inputs(p);
  assert_int_equal(store_get_input(engine_store(p->e), 0, first.input, &p->a, &in), HDW_OK);
  uint32_t len = in.body_len;
  assert_int_equal(log_read(engine_log(p->e), in.pos, &p->a, &rec), HDW_E_NOTFOUND);
  x = (crm){2, INT64_C(3600000000)};
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 1000000);
  assert_int_equal(engine_retain(p->e, on_retained, &retained), HDW_OK);
  x.delay_us = 0;
  prog_restart(p);
  prog_run_for(p, 60000000);
  store_run again = prog_the_run(p, 1);
  assert_int_equal(again.input, first.input);
  if (again.state != RUN_DONE) fail_msg("state %d: %.*s", again.state, (int)again.reason.len, again.reason.p);
  assert_int_equal(store_get_input(engine_store(p->e), 0, first.input, &p->a, &in), HDW_OK);
  assert_int_equal(in.body_len, len);
  assert_int_equal(log_read(engine_log(p->e), in.pos, &p->a, &rec), HDW_OK);
  assert_int_equal(rec.type, REC_VERDICT);
  prog_free(p);
}

/* A run that failed in its own way holds nothing: its message expires. Back to work it says so. */
static void test_a_failed_run_whose_message_expired_says_so(void **state) {
  (void)state;
  crm x = {.answer = 1};
  prog *p = prog_new("hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:9001')\n"
                     "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step a = crm.get('/a')\n  if a = 1 { fail('not this one') }\n  return a\n}\n",
                     crm_world, &x, 0);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 1000000);
  store_run r = prog_the_run(p, 0);
  assert_int_equal(r.state, RUN_FAILED);
  retain_inputs(p);
  assert_int_equal(engine_redrive(p->e, SUBJECT_RUN, r.id, "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  r = prog_the_run(p, 0);
  assert_int_equal(r.state, RUN_DEAD);
  assert_true(cod_equal(r.reason, cod_cstr("the bytes of its message have expired")));
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_retention_keeps_what_a_waiting_run_takes_over),
      cmocka_unit_test(test_a_delivery_that_was_taken_over_can_be_sent_back),
      cmocka_unit_test(test_retention_takes_what_nobody_waits_for),
      cmocka_unit_test(test_a_wish_in_the_middle_of_retention_takes_over_all_the_same),
      cmocka_unit_test(test_a_further_attempt_brings_its_bytes),
      cmocka_unit_test(test_a_failed_run_whose_message_expired_says_so),
      cmocka_unit_test(test_a_result_that_cannot_be_read_now_is_not_performed_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
