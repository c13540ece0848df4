/* Politeness of connections in runs (PROTOCOLS 7): one slow server beside a good one, limits, breakers, waits. At the seam, with the real drivers. */
#include "http_rig.h"
#include "dispatch_http.h"

static const char two_servers[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\n"
    "connection slow = rest(base: 'https://slow.example.org', timeout: 600 seconds)\nconnection good = rest(base: 'https://good.example.org')\n"
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

static prog *begin_two(world *w, pair *s) {
  *w = (world){.on = two, .user = s, .configure = small};
  return world_begin(w, two_servers);
}

/* Bulkhead: whatever waits for the slow server, runs for the good one come through, and nothing is lost when the slow one is back. */
static void test_R11_R18_a_slow_server_holds_up_its_own_runs_only(void **state) {
  (void)state;
  pair s = {0};
  world w;
  prog *p = begin_two(&w, &s);
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
  pair s = {0};
  world w;
  prog *p = begin_two(&w, &s);
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

/* ---- a server in trouble ------------------------------------------------------------------------------------------------------ */

typedef struct server {
  unsigned asked, bad_of_two; /* bad_of_two: every second answer is a failure; else all are */
  int64_t at_us[WORLD_SEEN], connect_us;
  const char *name, *value;  /* a header of its answers, which then are good */
} server;

static reply in_trouble(world *w, const io_http_req *q) {
  server *s = (server *)w->user;
  s->at_us[s->asked % WORLD_SEEN] = w->v[0].at_us;
  s->connect_us = q->connect_timeout_us;
  w->n = 0;
  if (s->name) return s->asked++, (reply){200, "{}", s->name, s->value};
  return s->asked++ % 2 && s->bad_of_two ? (reply){200, "{}", NULL, NULL} : (reply){503, "", NULL, NULL};
}

#define ONE_SERVER(args, how) "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = rest(base: 'https://ehr.example.org', " args ")\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  " how " ehr.post('/x', body: { a: msg.PID-3.1 })\n  return { ok: true }\n}\n"

static void test_R2_retries_are_a_share_of_the_calls(void **state) {
  (void)state;
  server s = {0};
  world w = {.on = in_trouble, .user = &s};
  prog *p = world_begin(&w, ONE_SERVER("retry: retry(5, from: 10 milliseconds, to: 20 milliseconds), breaker: breaker(failures: 0, cooldown: 1 second)", "step x ="));
  send_in(p, "m", 0, 100);
  prog_run_for(p, 900000);
  assert_in_range(s.asked, 100 + 10, 100 + 26); /* 600 without a budget; a fifth of the calls, retries included */
  engine_sink sink;
  assert_true(engine_sink_at(p->e, 0, &sink) && sink.retries_refused >= 70);
  prog_free(p);
}

static void test_R2_the_budget_is_an_option_and_holds_for_deliveries(void **state) {
  (void)state;
  for (int share = 0; share <= 100; share += 100) {
    server s = {0};
    world w = {.on = in_trouble, .user = &s};
    prog *p = world_begin(&w, ONE_SERVER("retry: retry(5, from: 10 milliseconds, to: 20 milliseconds), breaker: breaker(failures: 0, cooldown: 1 second)", "send"));
    p->cfg.conns[0].o.retry_percent = share;
    send_in(p, "m", 0, 20);
    prog_run_for(p, 20000000);
    if (share) assert_true(s.asked > 1000);
    else assert_int_equal(s.asked, 20 + 10);
    prog_run_for(p, 70000000);
    if (!share) assert_in_range(s.asked, 31, 60); /* put off, not given up */
    prog_free(p);
  }
}

static void test_R5_the_breaker_opens_when_half_of_the_calls_fail(void **state) {
  (void)state;
  for (int percent = 0; percent <= 50; percent += 50) {
    server s = {.bad_of_two = 1};
    world w = {.on = in_trouble, .user = &s};
    prog *p = world_begin(&w, ONE_SERVER("retry: retry(0)", "step x ="));
    p->cfg.conns[0].o.breaker_percent = percent;
    for (unsigned i = 0; i < 40; i++) {
      send_in(p, "m", i, 1);
      prog_run_for(p, 10000);
    }
    engine_sink sink;
    assert_true(engine_sink_at(p->e, 0, &sink));
    assert_string_equal(sink.state, percent ? "breaker open" : "ok");
    assert_int_equal(s.asked, percent ? 21 : 40); /* the 21st is the next that fails after there are twenty */
    prog_free(p);
  }
}

static void test_R5_the_cooldown_grows_while_probes_fail(void **state) {
  (void)state;
  static const int64_t s[] = {30, 60, 120, 240, 480, 600, 600};
  server v = {0};
  world w = {.on = in_trouble, .user = &v};
  prog *p = world_begin(&w, ONE_SERVER("retry: retry(0), breaker: breaker(failures: 1, cooldown: 30 seconds)", "send"));
  send_in(p, "m", 0, 1);
  prog_run_for(p, INT64_C(2600000000));
  assert_in_range(v.asked, 8, 10);
  for (unsigned i = 0; i < 7; i++) assert_in_range(v.at_us[i + 1] - v.at_us[i], s[i] * 890000, s[i] * 1110000);
  world_restart(p, &w); /* the rest of its cooldown is known, how often it grew is not */
  prog_run_for(p, 1000000);
  assert_in_range(v.asked, 8, 11);
  prog_free(p);
}

/* 404 for whoever is not the one that lives: those are dead, and hold their lanes. */
static reply one_lives(world *w, const io_http_req *q) {
  server *s = (server *)w->user;
  w->n = 0;
  (void)q;
  if (!strstr(w->v[0].body, s->name)) return (reply){404, "", NULL, NULL};
  s->asked++;
  return (reply){503, "", NULL, NULL};
}
static void hold_dead(world *w, config *cfg) {
  (void)w;
  cfg->conns[0].o.on_dead = "hold";
}

/* What a look at the lanes had no more room for comes first in the next one; those before it come after that. */
static void test_R5_whichever_lane_can_go_sends_the_probe(void **state) {
  (void)state;
  for (int live = 0; live < 6; live++) {
    char name[16], id[16], key[16];
    snprintf(name, sizeof name, "\"k%d\"", live);
    server s = {.name = name};
    world w = {.on = one_lives, .user = &s, .configure = hold_dead};
    prog *p = world_begin(&w, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = rest(base: 'https://ehr.example.org', breaker: breaker(failures: 1, cooldown: 30 seconds))\n"
                              "workflow w on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.1 {\n  send ehr.post('/x', body: { a: msg.PID-3.1 })\n  return {}\n}\n");
    for (int i = 1; i <= 6; i++) {
      snprintf(id, sizeof id, "M%d", i), snprintf(key, sizeof key, "k%d", (live + i) % 6); /* the living one comes last */
      prog_submit(p, id, key, "");
      prog_run_for(p, 1000000);
    }
    assert_int_equal(s.asked, 1);
    prog_run_for(p, INT64_C(900000000)); /* 30 + 60 + 120 + 240 s, and a tenth */
    if (s.asked < 5) fail_msg("lane %d: asked %u times", live, s.asked);
    prog_free(p);
  }
}

/* A search for nothing has its answer at once: nobody was asked, so it says nothing about the server, in the row of failures or as a probe. */
static void test_R5_what_nobody_was_asked_for_is_no_sign_of_life(void **state) {
  (void)state;
  server s = {0};
  world w = {.on = in_trouble, .user = &s};
  engine_sink sink;
  prog *p = world_begin(&w, "hdw 1\nlistener adt = mllp(port: 2575)\n"
                            "connection ehr = fhir(base: 'https://ehr.example.org/r4', retry: retry(0), breaker: breaker(failures: 2, cooldown: 30 seconds))\n"
                            "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = ehr.search(Patient, identifier: msg.PID-3.1)\n  return { n: x.match.count() }\n}\n");
  prog_submit(p, "M0", "4711", "");
  prog_run_for(p, 10000);
  prog_submit(p, "M1", "", "");
  prog_run_for(p, 10000);
  assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 10000);
  assert_int_equal(s.asked, 2);
  assert_true(engine_sink_at(p->e, 0, &sink));
  assert_string_equal(sink.state, "breaker open");
  for (unsigned i = 0; i < 3; i += 2) assert_int_equal(engine_discard(p->e, SUBJECT_RUN, prog_the_run(p, i).id, "test", "", NULL, NULL), HDW_OK);
  for (unsigned i = 3; i < 6; i++) { /* each may be the one that finds out */
    char id[8];
    snprintf(id, sizeof id, "M%u", i);
    prog_run_for(p, 40000000);
    prog_submit(p, id, "", "");
    prog_run_for(p, 40000000);
    assert_int_equal(prog_the_run(p, i).state, RUN_DONE);
  }
  prog_submit(p, "M6", "4711", "");
  prog_run_for(p, 10000);
  assert_int_equal(s.asked, 3);
  assert_true(engine_sink_at(p->e, 0, &sink));
  assert_string_equal(sink.state, "breaker open"); /* the first failure of a closed one would leave it so */
  prog_free(p);
}

static void test_R6_limits_that_the_server_tells_are_kept(void **state) {
  (void)state;
  static const struct { const char *name, *value; int64_t s; } cases[] = {
      {"RateLimit", "\"a\";r=0;t=30", 30}, {"RateLimit", "\"a\";r=0;t=30, \"b\";r=0;t=90, \"c\";r=1;t=700", 90}, {"RateLimit", "limit=5, remaining=0, reset=40", 40},
      {"RateLimit", "\"a\";r=3;t=30", 0}, {"RateLimit", "\"a\";t=30", 0}, {"RateLimit", ",,;r=0;t=", 0}, {"RateLimit", "", 0}, {"RateLimit", "\"a\";r=0;t=99999999999999999999", 3600},
      {"X-RateLimit-Remaining", "0", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int on = 0; on < 2; on++) {
      server s = {.name = cases[i].name, .value = cases[i].value};
      world w = {.on = in_trouble, .user = &s};
      prog *p = world_begin(&w, ONE_SERVER("retry: retry(0)", "step x ="));
      p->cfg.conns[0].o.rate_headers = on;
      send_in(p, "m", 0, 1);
      prog_run_for(p, 100000);
      send_in(p, "n", 0, 1);
      int64_t want = on ? cases[i].s : 0; /* not looked at: the second call leaves at once */
      prog_run_for(p, (want + 10) * 1000000);
      assert_int_equal(s.asked, 2);
      assert_in_range(s.at_us[1] - s.at_us[0], want * 1000000, want * 1000000 + 1000000);
      prog_free(p);
    }
}

/* Nothing is read behind the end of a value, whatever it ends with. */
static void test_R6_limits_end_where_their_text_ends(void **state) {
  (void)state;
  static const char *const values[] = {"", ",", ",,", "\"a\"", "\"a\";r=", "\"a\";r=0;t=30,"};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    char *v = strdup(values[i]);
    io_http_header h = {"RateLimit", v};
    int64_t us = eng_http_limit_us(NULL, &(io_http_res){.headers = &h, .nheaders = 1});
    assert_int_equal(us, strstr(v, "t=30") ? 30000000 : 0);
    free(v);
  }
}

static void test_R7_a_connection_has_its_own_time(void **state) {
  (void)state;
  static const int64_t ms[][2] = {{10000, 10000000}, {500, 500000}, {0, 30000000}, {3600000, 30000000}};
  for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
    server s = {.name = "A", .value = "b"};
    world w = {.on = in_trouble, .user = &s};
    prog *p = world_begin(&w, ONE_SERVER("timeout: 30 seconds", "step x ="));
    p->cfg.conns[0].o.connect_timeout_ms = ms[i][0];
    send_in(p, "m", 0, 1);
    prog_run_for(p, 100000);
    assert_int_equal(s.connect_us, ms[i][1]);
    prog_free(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_R11_R18_a_slow_server_holds_up_its_own_runs_only),
      cmocka_unit_test(test_R11_the_same_after_a_restart),
      cmocka_unit_test(test_R2_retries_are_a_share_of_the_calls),
      cmocka_unit_test(test_R2_the_budget_is_an_option_and_holds_for_deliveries),
      cmocka_unit_test(test_R5_the_breaker_opens_when_half_of_the_calls_fail),
      cmocka_unit_test(test_R5_the_cooldown_grows_while_probes_fail),
      cmocka_unit_test(test_R5_whichever_lane_can_go_sends_the_probe),
      cmocka_unit_test(test_R5_what_nobody_was_asked_for_is_no_sign_of_life),
      cmocka_unit_test(test_R6_limits_that_the_server_tells_are_kept),
      cmocka_unit_test(test_R6_limits_end_where_their_text_ends),
      cmocka_unit_test(test_R7_a_connection_has_its_own_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
