/* What a run has done and what was sent cannot be looked up: no memory, a disk that does not read. Nobody knows then, and nothing is done a
 * second time. */
#include "engine_int.h"
#include "prog_rig.h"

enum { EFFECTS = 120 }; /* so many that looking them up takes memory of its own */

static const char program[] = "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:9001', retry: "
                              "retry(0), breaker: breaker(failures: 0, cooldown: 1 second))\n"
                              "workflow w on msg = adt.message(types: ['ADT^A01'])\n  order by msg.PID-3.1\n{\n"
                              "  for n in range(1, 120) {\n    step a = crm.post('/a', body: { n: n, mrn: msg.PID-3.1 })\n    send "
                              "crm.post('/b', body: { n: n, a: a })\n  }\n"
                              "  step c = crm.get('/c')\n"
                              "  return c\n}\n";

typedef struct counts {
  unsigned a, b, c;
  bool up, down; /* /c answers; nothing does */
  int64_t delay_us;
} counts;

static engine_mock_verdict count(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  counts *n = (counts *)p->user;
  char path[64];
  prog_path(a, f->request, path);
  unsigned *which = !strcmp(path, "/a") ? &n->a : !strcmp(path, "/b") ? &n->b : &n->c;
  ++*which;
  if (n->down || (which == &n->c && !n->up)) {
    out->status = 503;
    return MOCK_ERROR;
  }
  out->value = val_int(17), out->delay_us = n->delay_us;
  return MOCK_VALUE;
}

static void expect_once(prog *p, const counts *n, long at) {
  store_run r = prog_only_run(p);
  if (r.state != RUN_DONE || n->a != EFFECTS || n->b != EFFECTS)
    fail_msg("at %ld: state %d (%.*s), a %u times, b %u times", at, r.state, (int)r.reason.len, r.reason.p, n->a, n->b);
}

/* Parked with all effects done but the last one, and not in memory. */
static prog *parked(counts *n) {
  *n = (counts){0};
  prog *p = prog_new(program, count, n, 0);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 1000000);
  assert_int_equal(prog_only_run(p).state, RUN_PARKED);
  assert_true(n->a == EFFECTS && n->b == EFFECTS);
  prog_restart(p);
  n->up = true;
  return p;
}

static void test_nothing_is_done_again_for_want_of_memory(void **state) {
  (void)state;
  long at = 0;
  for (bool reached = true; reached; at++) {
    counts n;
    prog *p = parked(&n);
    prog_run_for(p, 100000);
    p->mem.fail_after = at, p->mem.fail_more = 3; /* an arena asks for less when it does not get much */
    prog_run_for(p, 100000000);
    reached = p->mem.fail_after < 0;
    p->mem.fail_after = -1;
    prog_run_for(p, 100000000);
    expect_once(p, &n, at);
    prog_free(p);
  }
  assert_true(at > 10);
}

static void test_nothing_is_done_again_because_the_disk_does_not_read(void **state) {
  (void)state;
  for (long at = 1; at < 20; at++) {
    counts n;
    prog *p = parked(&n);
    io_sim_fault(p->io, IO_SIM_PREAD, (uint64_t)at, HDW_E_IO, false);
    prog_run_for(p, 100000000);
    io_sim_fault(p->io, IO_SIM_PREAD, 1, HDW_OK, false);
    prog_run_for(p, 100000000);
    expect_once(p, &n, at);
    prog_free(p);
  }
}

/* What an operator paused stays so, or the process does not start. */
static void test_paused_is_paused_for_want_of_memory_too(void **state) {
  (void)state;
  counts n = {0};
  mod_error err;
  char text[200];
  prog *p = prog_new(program, count, &n, 0);
  assert_int_equal(engine_pause(p->e, "crm", true, "ann", NULL, NULL), HDW_OK);
  prog_run_for(p, 1000000);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 1000000);
  long at = 0, refused = 0;
  for (bool reached = true; reached; at++) {
    if (p->e) engine_close(p->e);
    engine_opts o = {.dir = p->dir,
                     .config = &p->cfg,
                     .host = host_get(),
                     .model = &hdw_model,
                     .schema = &hl7_dict_schema,
                     .mock = prog_mock,
                     .mock_user = p,
                     .mock_only = true};
    p->mem.fail_after = at, p->mem.fail_more = 3;
    p->e = NULL;
    hdw_status s = engine_open(p->io, &o, &p->e, text);
    if (!s) s = engine_load(p->e, "test.hdwb", p->mod, p->mod_len, &err);
    if (!s) s = engine_start(p->e, text);
    reached = p->mem.fail_after < 0 || p->mem.fail_more < 3;
    p->mem.fail_after = -1;
    refused += s != HDW_OK;
    if (!s) prog_run_for(p, 10000000);
    if (n.a) fail_msg("at %ld: a paused connection was used", at);
  }
  assert_true(refused > 10);
  assert_int_equal(prog_only_run(p).state, RUN_PARKED);
  prog_free(p);
}

static const char branches[] = "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:9001', retry: "
                               "retry(0), breaker: breaker(failures: 1, cooldown: 2 seconds))\n"
                               "workflow w on msg = adt.message(types: ['ADT^A01']) {\n"
                               "  step all = parallel for x in ['/a', '/b'] limit 2 {\n    step s = crm.post(x, body: { mrn: msg.PID-3.1 "
                               "})\n    yield s\n  }\n  return {}\n}\n";

/* Nothing answers, and the run is held. */
static prog *branches_held(counts *n, uint64_t seed) {
  *n = (counts){.down = true};
  prog *p = prog_new(branches, count, n, seed);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 3000000);
  for (unsigned i = 0; i < 500 && prog_only_run(p).state != RUN_PARKED; i++) io_sim_advance(p->io, 10000);
  return p;
}

/* One branch is the probe of a breaker, the other one is held, and the run with it. The probe's answer comes, and the connection comes back
 * before the state knows of the answer. */
static void test_what_the_state_does_not_know_yet_is_not_done_again(void **state) {
  (void)state;
  prog_slow_us = 300000;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    counts n;
    prog *p = branches_held(&n, seed);
    n = (counts){.up = true, .delay_us = 3000000};
    for (unsigned i = 0; i < 100000 && n.a + n.b == 0; i++) io_sim_advance(p->io, 10000);
    if (n.a + n.b != 1) fail_msg("seed %d: the connection came back, and nobody waits for it", (int)seed);
    prog_run_for(p, 2000000);
    assert_int_equal(prog_only_run(p).state, RUN_PARKED);
    eng_conn *c = p->e->conns[0];
    c->paused = true; /* as while another run is the probe: nothing of it stands in the log */
    for (unsigned i = 0; i < 1000 && c->places; i++) io_sim_advance(p->io, 10000);
    c->paused = false;
    eng_wake_connection(c);
    prog_run_for(p, 600000000);
    store_run r = prog_only_run(p);
    if (r.state != RUN_DONE || n.a != 1 || n.b != 1) fail_msg("seed %d: state %d, a %u times, b %u times", (int)seed, r.state, n.a, n.b);
    prog_free(p);
  }
  prog_slow_us = 0;
}

/* As above, and the probe's answer comes while the other branch's hold is on its way into the log. */
static void test_what_comes_while_the_run_leaves_is_not_done_again(void **state) {
  (void)state;
  prog_slow_us = 300000;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    counts n;
    prog *p = branches_held(&n, seed);
    n = (counts){.up = true, .delay_us = (int64_t)seed * 10000};
    prog_run_for(p, 600000000);
    store_run r = prog_only_run(p);
    if (r.state != RUN_DONE || n.a != 1 || n.b != 1) fail_msg("seed %d: state %d, a %u times, b %u times", (int)seed, r.state, n.a, n.b);
    prog_free(p);
  }
  prog_slow_us = 0;
}

/* A run is held by a connection that is paused, and it goes on before the state knows that the run waits. */
static void test_who_is_held_as_the_connection_comes_back_is_woken(void **state) {
  (void)state;
  static const char one[] =
      "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:9001')\n"
      "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step s = crm.post('/a', body: { mrn: msg.PID-3.1 })\n  return {}\n}\n";
  prog_slow_us = 300000;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    counts n = {.up = true};
    prog *p = prog_new(one, count, &n, seed);
    eng_conn *c = p->e->conns[0];
    c->paused = true;
    prog_submit(p, "M1", "4711", "");
    for (unsigned i = 0; i < 500 && !p->e->nruns; i++) io_sim_advance(p->io, 1000);
    io_sim_advance(p->io, (int64_t)seed * 5000);
    c->paused = false;
    eng_wake_connection(c);
    prog_run_for(p, 10000000);
    if (n.a != 1) fail_msg("seed %d: %u calls", (int)seed, n.a);
    prog_free(p);
  }
  prog_slow_us = 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_is_done_again_for_want_of_memory),
      cmocka_unit_test(test_nothing_is_done_again_because_the_disk_does_not_read),
      cmocka_unit_test(test_what_the_state_does_not_know_yet_is_not_done_again),
      cmocka_unit_test(test_what_comes_while_the_run_leaves_is_not_done_again),
      cmocka_unit_test(test_who_is_held_as_the_connection_comes_back_is_woken),
      cmocka_unit_test(test_paused_is_paused_for_want_of_memory_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
