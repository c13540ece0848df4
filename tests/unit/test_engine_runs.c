/* Execution of runs: branches that overlap, runs that leave memory while they wait, errors and outcomes. */
#include "prog_rig.h"
#include "engine_int.h"

typedef struct world_state {
  char path[512][32], at[512][24];
  int64_t when[512], delay_us, spread_us;
  unsigned n, live, most;
  uint64_t rnd;
  const char *bad;           /* requests that begin so fail with status */
  int status;
  unsigned failures;         /* how often; 0 = always */
} world_state;

static uint64_t draw(world_state *w, uint64_t n) {
  w->rnd ^= w->rnd << 13, w->rnd ^= w->rnd >> 7, w->rnd ^= w->rnd << 17;
  return n ? w->rnd % n : 0;
}

/* Answers with the path it was asked for, after a time of its own. */
static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  world_state *w = (world_state *)p->user;
  char text[64];
  prog_path(a, f->request, text);
  assert_true(w->n < 512);
  w->when[w->n] = io_mono_us(p->io);
  snprintf(w->at[w->n], 24, "%.23s", f->path);
  snprintf(w->path[w->n++], 32, "%.31s", text);
  out->delay_us = w->delay_us + (int64_t)draw(w, (uint64_t)w->spread_us);
  if (w->bad && !strncmp(text, w->bad, strlen(w->bad))) {
    if (w->failures && --w->failures == 0) w->bad = NULL;
    out->status = w->status;
    return MOCK_ERROR;
  }
  out->value = val_str(arena_dup(a, text, strlen(text)), strlen(text));
  return MOCK_VALUE;
}

#define HEAD                                       \
  "hdw 1\n"                                        \
  "listener adt = mllp(port: 2575)\n"              \
  "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n" \
  "workflow w on msg = adt.message(types: ['ADT^A01']) {\n"

/* What the first run returned, as JSON. */
static const char *result(prog *p, char out[600]) {
  store_run row = prog_the_run(p, 0);
  vm_outcome how;
  val v;
  buf b;
  buf_init(&b, &p->a, 600);
  if (row.state != RUN_DONE) {
    snprintf(out, 600, "state %d %.*s at %.*s", row.state, (int)row.error_code.len, row.error_code.p, (int)row.path.len, row.path.p);
    return out;
  }
  assert_int_equal(engine_result(p->e, &row, &p->a, &how, &v), HDW_OK);
  if (how != VM_OUTCOME_NONE) {
    snprintf(out, 600, "outcome %d", how);
    return out;
  }
  assert_int_equal(json_write(v, &b, NULL), HDW_OK);
  snprintf(out, 600, "%.*s", (int)b.len, b.p);
  return out;
}

static void test_branches_of_a_block_overlap(void **state) {
  (void)state;
  world_state w = {.delay_us = 500000, .rnd = 1};
  char out[600];
  prog *p = prog_new(HEAD
                     "  step z = crm.get('/z')\n"
                     "  parallel {\n"
                     "    step a = crm.get('/a')\n"
                     "    step b = crm.get('/b')\n"
                     "    for x in [1, 2] { step c = crm.get(\"/c{x}\") }\n"
                     "  }\n"
                     "  step d = crm.get(\"/d{a}{b}\")\n"
                     "  return [z, a, b, d]\n}\n", world, &w, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 520000);
  assert_int_equal(w.n, 4); /* z, then a, b and c1 at once */
  assert_int_equal(w.when[1], w.when[3]);
  assert_string_equal(w.at[1], "1[0].0");
  assert_string_equal(w.at[2], "1[1].0");
  assert_string_equal(w.at[3], "1[2].0[0].0");
  prog_run_for(p, 3000000);
  assert_string_equal(result(p, out), "[\"/z\",\"/a\",\"/b\",\"/d/a/b\"]");
  assert_int_equal(w.n, 6);
  prog_free(p);
}

static const char loop[] = HEAD
    "  step rows = parallel for x in [1, 2, 3, 4, 5, 6, 7] limit 3 {\n"
    "    step a = crm.get(\"/a{x}\")\n"
    "    if x mod 2 = 0 { step b = crm.get(\"/b{x}\") yield b }\n"
    "    send crm.post(\"/s{x}\", body: {:})\n"
    "    yield [x, uuid().length()]\n"
    "  }\n"
    "  return rows\n}\n";

static void test_limit_of_a_parallel_loop(void **state) {
  (void)state;
  world_state w = {.delay_us = 500000, .rnd = 1};
  char out[600];
  prog *p = prog_new(loop, world, &w, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 400000);
  assert_int_equal(w.n, 3);
  prog_run_for(p, 10000000);
  assert_string_equal(result(p, out), "[1,36,\"/b2\",2,36,3,36,\"/b4\",4,36,5,36,\"/b6\",6,36,7,36]");
  assert_int_equal(w.n, 7 + 3 + 7);
  prog_free(p);
}

/* The same results and the same effects, each once, whatever comes first, however often the run leaves memory, wherever the process dies. */
static void test_results_do_not_depend_on_time(void **state) {
  (void)state;
  static const char text[] = HEAD
      "  step rows = parallel for x in [1, 2, 3, 4, 5] limit 3 {\n"
      "    step a = crm.post(\"/a{x}\", body: {:}) on error use 'failed'\n"
      "    parallel {\n"
      "      step b = crm.put(\"/b{x}\", body: { id: uuid() })\n"
      "      step c = parallel for y in [1, 2] { step d = crm.get(\"/c{x}{y}\") yield d }\n"
      "    }\n"
      "    yield { a: a, b: b, c: c, u: uuid() }\n"
      "  }\n"
      "  step last = crm.post('/last', body: rows)\n"
      "  return { rows: rows, u: uuid() }\n}\n";
  char want[600] = "", got[600];
  for (uint64_t seed = 1; seed <= 40; seed++) {
    world_state w = {.spread_us = (int64_t)1 << (4 + seed % 20), .rnd = seed * 77, .bad = "/a3", .status = 404};
    prog *p = prog_new(text, world, &w, 0);
    p->suspend_us = seed % 3 == 0 ? 1 : 0;
    prog_restart(p);
    prog_submit(p, "A", "1", "");
    if (seed % 4 == 1)
      for (unsigned i = 0; i < 6; i++) {
        io_sim_advance(p->io, (int64_t)draw(&w, (uint64_t)w.spread_us));
        prog_restart(p);
      }
    prog_run_for(p, 60000000);
    (void)result(p, got);
    /* uuids come from the run's id and the place in the program, not from who was first; so does every request of an effect */
    if (!want[0]) snprintf(want, sizeof want, "%s", got);
    assert_string_equal(got, want);
    for (unsigned i = 0; i < w.n && seed % 4 != 1; i++)
      for (unsigned k = 0; k < i; k++) assert_string_not_equal(w.at[i], w.at[k]);
    prog_free(p);
  }
  assert_non_null(strstr(want, "\"a\":\"failed\""));
  assert_null(strstr(want, "state"));
}

static void test_a_failed_branch_does_not_stop_the_others(void **state) {
  (void)state;
  static const char caught[] = HEAD
      "  step rows = fan() on error where error.status = 404 use \"{error.class} {error.code} {error.path}\"\n"
      "  return rows\n}\n"
      "action fan(): any* {\n"
      "  step rows = parallel for x in [1, 2, 3] { step a = crm.post(\"/a{x}\", body: {:}) step b = crm.post(\"/b{x}\", body: {:}) yield b }\n"
      "  return rows\n}\n";
  char out[600];
  world_state w = {.bad = "/a2", .status = 404, .spread_us = 100000, .rnd = 5};
  prog *p = prog_new(caught, world, &w, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 10000000);
  assert_string_equal(result(p, out), "\"permanent 404 0.0[1].0\"");
  assert_int_equal(w.n, 5);
  prog_free(p);
  w = (world_state){.bad = "/a2", .status = 422, .spread_us = 100000, .rnd = 5}; /* the handler does not want this one */
  p = prog_new(caught, world, &w, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 10000000);
  assert_string_equal(result(p, out), "state 7 422 at 0.0[1].0");
  assert_int_equal(w.n, 5);
  w.bad = NULL; /* sent back to work, what failed is tried again, what succeeded is not */
  assert_int_equal(prog_redrive_all(p), 1);
  prog_run_for(p, 10000000);
  assert_string_equal(result(p, out), "[\"/b1\",\"/b2\",\"/b3\"]");
  assert_int_equal(w.n, 7);
  prog_free(p);
  w = (world_state){.bad = "/a2", .status = 503, .failures = 2, .spread_us = 100000, .rnd = 5};
  p = prog_new(caught, world, &w, 0); /* a transient failure parks the run, and it comes back to what failed */
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 120000000);
  assert_string_equal(result(p, out), "[\"/b1\",\"/b2\",\"/b3\"]");
  assert_int_equal(w.n, 8);
  prog_free(p);
}

/* The time to try again comes before the store knows of the wait: nobody finds the run due then, so it is asked for once more when it is known. */
static void test_a_run_is_tried_again_in_time_on_a_slow_disk(void **state) {
  (void)state;
  prog_slow_us = 1500000;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    world_state w = {.bad = "/a", .status = 503, .failures = 1, .rnd = seed};
    char out[600];
    prog *p = prog_new(HEAD "  step a = crm.get('/a')\n  return 1\n}\n", world, &w, seed);
    prog_submit(p, "A", "1", "");
    prog_run_for(p, 40000000);
    assert_string_equal(result(p, out), "1");
    assert_int_equal(w.n, 2);
    prog_free(p);
  }
  prog_slow_us = 0;
}

static void test_an_outcome_in_a_branch_ends_the_run_when_all_have_ended(void **state) {
  (void)state;
  world_state w = {.delay_us = 1000, .rnd = 1};
  char out[600];
  prog *p = prog_new(HEAD
                     "  parallel {\n"
                     "    for x in [1] { step a = crm.get('/a') if a.exists() { skip('enough') } }\n"
                     "    step b = crm.get('/b')\n"
                     "  }\n"
                     "  step c = crm.get('/c')\n"
                     "  return 1\n}\n", world, &w, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 1000000);
  assert_string_equal(result(p, out), "outcome 4");
  assert_int_equal(w.n, 2);
  prog_free(p);
}

/* ---- leaving memory -------------------------------------------------------------------------------------------------------------- */

static const char slow[] = HEAD
    "  let big = range(1, 4000).select($this.toString()).join('')\n"
    "  step a = crm.post(\"/a{msg.MSH-10}\", body: {:})\n"
    "  step b = crm.post(\"/b{big.length() > 10}\", body: {:})\n"
    "  return b\n}\n";

static void test_a_run_that_waits_leaves_memory(void **state) {
  (void)state;
  world_state w = {.delay_us = 20000000, .rnd = 1};
  char out[600];
  prog *p = prog_new(slow, world, &w, 0);
  engine_status st;
  for (unsigned i = 0; i < 50; i++) {
    char id[8];
    snprintf(id, sizeof id, "M%u", i);
    prog_submit(p, id, "1", "");
  }
  prog_run_for(p, 900000);
  long before = (long)p->mem.live_bytes;
  prog_run_for(p, 1000000);
  long after = (long)p->mem.live_bytes;
  engine_get_status(p->e, &st);
  assert_int_equal(st.active_runs, 50); /* they count as long as their effects are under way */
  if (!getenv("HDW_TEST_SUSPEND")) assert_true(before - after > 50 * 16384);
  prog_run_for(p, 400000000);
  assert_string_equal(result(p, out), "\"/btrue\"");
  assert_int_equal(w.n, 100); /* nothing twice */
  assert_true(engine_idle(p->e));
  prog_free(p);
}

static void test_handler_of_a_run_that_left_memory(void **state) {
  (void)state;
  world_state w = {.delay_us = 5000000, .bad = "/a", .status = 404, .rnd = 1};
  char out[600];
  prog *p = prog_new(HEAD
                     "  step a = crm.post('/a', body: {:}) on error where error.class = 'permanent' { step x = crm.post(\"/x{error.code}\", body: {:}) }\n"
                     "  step b = crm.post('/b', body: {:})\n"
                     "  return b\n}\n", world, &w, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 60000000);
  assert_string_equal(result(p, out), "\"/b\"");
  assert_int_equal(w.n, 3);
  assert_string_equal(w.path[1], "/x404");
  prog_free(p);
}

/* A loop with steps gives back what an iteration took: the run's memory does not grow with their number. */
static void test_iterations_with_steps_give_their_memory_back(void **state) {
  (void)state;
  world_state w = {.rnd = 1};
  char out[600];
  prog *p = prog_new(HEAD
                     "  for x in range(1, 400) { step a = crm.get(\"/a{x}\") let t = range(1, 2000).select($this.toString()).join(a) if t.length() < 9 { fail('x') } }\n"
                     "  return 'ok'\n}\n", world, &w, 0);
  p->cfg.top.run_memory_bytes = 4 << 20;
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 10000000);
  assert_string_equal(result(p, out), "\"ok\"");
  assert_int_equal(w.n, 400);
  prog_free(p);
}

/* ---- outcomes and people ----------------------------------------------------------------------------------------------------------- */

static void test_retry_in_a_handler_tries_the_step_again(void **state) {
  (void)state;
  world_state w = {.bad = "/a", .status = 404, .failures = 3, .rnd = 1};
  char out[600];
  prog *p = prog_new(HEAD
                     "  step z = crm.post('/z', body: {:})\n"
                     "  step a = crm.post('/a', body: {:}) on error where error.class = 'permanent' { retry(10 minutes) }\n"
                     "  return [z, a]\n}\n", world, &w, 0);
  prog_submit(p, "A", "1", "");
  prog_run_for(p, 1000000);
  store_run row = prog_the_run(p, 0);
  assert_int_equal(row.state, RUN_PARKED);
  assert_true(row.wake_us - row.changed_us > INT64_C(590000000));
  prog_restart(p);
  prog_run_for(p, INT64_C(3600000000));
  assert_string_equal(result(p, out), "[\"/z\",\"/a\"]");
  assert_int_equal(w.n, 5);
  prog_free(p);
}

static unsigned cancelled;
static void on_cancel(void *user, hdw_status s) {
  (void)user;
  cancelled += s == HDW_OK;
}

static void test_a_person_cancels_a_run(void **state) {
  (void)state;
  static const char text[] =
      "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
      "workflow w on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.idNumber {\n"
      "  send crm.put(\"/s{msg.MSH-10}\", body: {:})\n"
      "  step a = crm.post(\"/a{msg.MSH-10}\", body: {:})\n"
      "  step b = crm.post(\"/b{msg.MSH-10}\", body: {:})\n"
      "  return 1\n}\n";
  for (int when = 0; when < 3; when++) { /* at work in memory, at work and away, queued */
    world_state w = {.delay_us = 10000000, .rnd = 1};
    cancelled = 0;
    prog *p = prog_new(text, world, &w, 0);
    prog_submit(p, "1", "K", "");
    prog_submit(p, "2", "K", "");
    prog_run_for(p, when == 0 ? 500000 : 3000000);
    store_run row = prog_the_run(p, when == 2 ? 1 : 0);
    assert_int_equal(engine_cancel(p->e, row.id, "test", "no more", on_cancel, NULL), HDW_OK);
    assert_int_equal(engine_cancel(p->e, row.id, "test", "no more", on_cancel, NULL), HDW_E_INVALID);
    prog_run_for(p, 120000000);
    assert_int_equal(cancelled, 1);
    assert_int_equal(prog_the_run(p, when == 2 ? 1 : 0).state, RUN_DISCARDED);
    assert_int_equal(prog_the_run(p, when == 2 ? 0 : 1).state, RUN_DONE); /* the lane goes on */
    assert_int_equal(w.n, when == 2 ? 3 : 5); /* what was sent stays sent */
    assert_int_equal(engine_cancel(p->e, row.id, "test", "", on_cancel, NULL), HDW_E_INVALID);
    assert_true(engine_idle(p->e));
    prog_free(p);
  }
}

/* Its intent is not durable yet when it has left memory and its second place in the ring comes: it is under way, not new. */
static void test_a_run_that_stands_in_the_ring_twice_begins_once(void **state) {
  (void)state;
  world_state w = {.delay_us = 50000};
  prog *p = prog_new(HEAD "  step a = crm.post('/a', body: { x: 1 })\n  return a\n}\n", world, &w, 5);
  p->suspend_us = 1;
  prog_restart(p);
  prog_submit(p, "M1", "1", "");
  uint64_t id = 0;
  for (unsigned i = 0; i < 100000 && (!id || eng_run_find(p->e, id)); i++) {
    (void)io_sim_step(p->io, 1);
    if (p->e->runs) id = p->e->runs->id;
  }
  assert_true(id && eng_steps_open(p->e, id));
  assert_int_equal(w.n, 0);
  eng_ready(p->e, id, true);
  prog_run_for(p, 2000000);
  assert_int_equal(w.n, 1);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

/* A disk that could not just now is no reason to give a run up. */
static void test_a_run_whose_input_cannot_be_read_now_is_loaded_later(void **state) {
  (void)state;
  world_state w = {.delay_us = 1000000};
  prog *p = prog_new(HEAD "  step a = crm.post('/a', body: { x: 1 })\n  step b = crm.post('/b', body: { x: a })\n  return b\n}\n", world, &w, 0);
  static const hdw_status how[] = {HDW_E_IO, HDW_E_LIMIT};
  prog_submit(p, "M1", "1", "");
  prog_run_for(p, 1500000); /* the first result is there */
  for (unsigned i = 0; i < 4; i++) {
    prog_restart(p);
    io_sim_fault(p->io, i & 2 ? IO_SIM_OPEN : IO_SIM_PREAD, 1 + (i & 1), how[i & 1], false);
    prog_run_for(p, 500000);
    assert_true(prog_the_run(p, 0).state < RUN_PARKED);
  }
  prog_run_for(p, 10000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_branches_of_a_block_overlap),
      cmocka_unit_test(test_limit_of_a_parallel_loop),
      cmocka_unit_test(test_results_do_not_depend_on_time),
      cmocka_unit_test(test_a_failed_branch_does_not_stop_the_others),
      cmocka_unit_test(test_a_run_is_tried_again_in_time_on_a_slow_disk),
      cmocka_unit_test(test_an_outcome_in_a_branch_ends_the_run_when_all_have_ended),
      cmocka_unit_test(test_a_run_that_waits_leaves_memory),
      cmocka_unit_test(test_handler_of_a_run_that_left_memory),
      cmocka_unit_test(test_iterations_with_steps_give_their_memory_back),
      cmocka_unit_test(test_retry_in_a_handler_tries_the_step_again),
      cmocka_unit_test(test_a_run_that_stands_in_the_ring_twice_begins_once),
      cmocka_unit_test(test_a_run_whose_input_cannot_be_read_now_is_loaded_later),
      cmocka_unit_test(test_a_person_cancels_a_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
