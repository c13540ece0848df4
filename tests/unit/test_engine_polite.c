/* Politeness of connections in runs (PROTOCOLS 7): one slow server beside a good one, limits, breakers, waits. At the seam, with the real drivers. */
#include "http_rig.h"

static const char two_servers[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\n"
    "connection slow = rest(base: 'https://slow.example.org', timeout: 600 seconds%s)\nconnection good = rest(base: 'https://good.example.org')\n"
    "workflow s on msg = adt.message(types: ['ADT^A01']) where msg.PID-4 = 'slow' {\n  step x = slow.get(\"/s/{msg.PID-3.1}\")\n  return { ok: true }\n}\n"
    "workflow g on msg = adt.message(types: ['ADT^A01']) where msg.PID-4 = 'good' {\n  step x = good.get(\"/g/{msg.PID-3.1}\")\n  return { ok: true }\n}\n";

typedef struct pair {
  bool up;                   /* the slow server answers */
  unsigned slow, good, at_once, most;
} pair;

static reply two(world *w, const io_http_req *q) {
  pair *s = (pair *)w->user;
  w->n = 0; /* counted here */
  if (!strcmp(q->host, "good.example.org")) {
    s->good++;
    return (reply){200, "{}", NULL, NULL};
  }
  s->slow++;
  return s->up ? (reply){200, "{}", NULL, NULL} : (reply){-2, NULL, NULL, NULL};
}

static void small(world *w, config *cfg) {
  (void)w;
  cfg->top.active_runs = 8;
  cfg->top.waiting_runs = 32; /* 8 for a connection */
  for (uint32_t i = 0; i < cfg->nconns; i++) cfg->conns[i].o.in_flight = 4;
}

static uint64_t count_state(prog *p, uint8_t state) {
  uint64_t n = 0;
  for (uint64_t k = 0;; k++) {
    prog_ids in = {.n = 0}, runs = {.n = 0};
    (void)store_list_inputs(engine_store(p->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 256, prog_take_id, &in);
    for (unsigned i = 0; i < in.n; i++) {
      store_run row;
      runs.n = 0;
      (void)store_list_runs_of_input(engine_store(p->e), 0, in.id[i], prog_take_id, &runs);
      for (unsigned j = 0; j < runs.n; j++) n += !store_get_run(engine_store(p->e), 0, runs.id[j], &p->a, &row) && row.state == state;
    }
    return n;
  }
}

static void send_in(prog *p, const char *kind, unsigned from, unsigned n) {
  for (unsigned i = from; i < from + n; i++) {
    char id[40];
    snprintf(id, sizeof id, "%s%u", kind, i);
    prog_submit(p, id, id, kind);
  }
}

/* Bulkhead: whatever waits for the slow server, runs for the good one come through, and nothing is lost when the slow one is back. */
static void test_R11_R18_a_slow_server_holds_up_its_own_runs_only(void **state) {
  (void)state;
  char text[2000];
  pair s = {0};
  snprintf(text, sizeof text, two_servers, "");
  world w = {.on = two, .user = &s, .configure = small};
  prog *p = world_begin(&w, text);
  send_in(p, "slow", 0, 100);
  prog_run_for(p, 2000000);
  assert_int_equal(s.slow, 4); /* its places */
  send_in(p, "good", 0, 50);
  prog_run_for(p, 1000000);
  assert_int_equal(s.good, 50);
  assert_int_equal(count_state(p, RUN_DONE), 50);
  engine_sink sink;
  for (uint32_t i = 0; engine_sink_at(p->e, i, &sink); i++) assert_string_equal(sink.state, !strcmp(sink.name, "slow") ? "busy" : "ok");
  engine_status st;
  engine_get_status(p->e, &st);
  assert_true(st.active_runs <= 9); /* the others wait on disk */
  assert_true(count_state(p, RUN_PARKED) >= 90);
  /* What hangs is given up and the server answers: everything goes through, also what was parked. */
  s.up = true;
  prog_run_for(p, 700000000);
  assert_int_equal(count_state(p, RUN_DONE), 150);
  assert_true(s.slow >= 100 && s.slow <= 104);
  prog_free(p);
}

static void test_R11_the_same_after_a_restart(void **state) {
  (void)state;
  char text[2000];
  pair s = {0};
  snprintf(text, sizeof text, two_servers, "");
  world w = {.on = two, .user = &s, .configure = small};
  prog *p = world_begin(&w, text);
  send_in(p, "slow", 0, 60);
  prog_run_for(p, 2000000);
  world_restart(p, &w);
  prog_run_for(p, 1000000);
  send_in(p, "good", 0, 20);
  prog_run_for(p, 1000000);
  assert_int_equal(s.good, 20);
  s.up = true;
  prog_run_for(p, 700000000);
  assert_int_equal(count_state(p, RUN_DONE), 80);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_R11_R18_a_slow_server_holds_up_its_own_runs_only),
      cmocka_unit_test(test_R11_the_same_after_a_restart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
