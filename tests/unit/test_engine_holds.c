/* What holds a connection back (PROTOCOLS 7) over its own end and over deployments: probes, Retry-After, another server. At the seam, with the real drivers. */
#include "http_rig.h"
#include "deploy_rig.h"

#define PROGRAM(base, args) \
  "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = rest(base: '" base "', retry: retry(0, from: 1 second, to: 1 second)" args ")\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  send ehr.post('/x', body: { a: msg.PID-3.1 })\n  return { ok: true }\n}\n"
#define HERE "https://ehr.example.org/r4"
#define BREAKER ", breaker: breaker(failures: 1, cooldown: 60 seconds)"

typedef struct server {
  unsigned asked, bad;       /* the first `bad` requests are answered so: */
  reply says, script[8];     /* script: instead, while it has a code */
  int64_t at_us[WORLD_SEEN];
  char host[WORLD_SEEN][40];
  const char *base;          /* what hdw.json says, NULL = nothing */
} server;

static reply answer(world *w, const io_http_req *q) {
  server *s = (server *)w->user;
  unsigned i = s->asked++;
  w->n = 0; /* counted here */
  assert_true(i < WORLD_SEEN);
  s->at_us[i] = w->v[0].at_us;
  snprintf(s->host[i], sizeof s->host[i], "%s", q->host);
  if (i < 8 && s->script[i].code) return s->script[i];
  return i < s->bad ? s->says : (reply){200, "{}", NULL, NULL};
}

static void configure(world *w, config *cfg) {
  const server *s = (const server *)w->user;
  if (s->base) cfg->conns[0].o.base = s->base;
}

static prog *begin(world *w, server *s, const char *text) {
  *w = (world){.on = answer, .user = s, .configure = configure};
  return world_begin(w, text);
}

static void give(prog *p, unsigned from, unsigned n) {
  for (unsigned i = from; i < from + n; i++) {
    char id[24];
    snprintf(id, sizeof id, "M%u", i);
    prog_submit(p, id, id, "");
  }
}

static engine_sink look(prog *p) {
  engine_sink k;
  assert_true(engine_sink_at(p->e, 0, &k));
  return k;
}

/* ---- the breaker ------------------------------------------------------------------------------------------------------------------ */

/* A hundred that wait: one probe, behind its success another one alone, then all. */
static void test_R5_two_successes_close_the_breaker(void **state) {
  (void)state;
  server s = {.bad = 1, .says = {503, "", NULL, NULL}};
  world w;
  prog *p = begin(&w, &s, PROGRAM(HERE, BREAKER));
  give(p, 0, 1);
  prog_run_for(p, 100000);
  give(p, 1, 40);
  prog_run_for(p, 50000000);
  assert_int_equal(s.asked, 1);
  w.delay_us = 5000000;
  while (s.asked < 2) prog_run_for(p, 100000);
  assert_int_equal(s.asked, 2);
  assert_string_equal(look(p).state, "breaker open");
  prog_run_for(p, 4800000);
  assert_int_equal(s.asked, 2); /* alone until it is answered */
  prog_run_for(p, 400000);
  assert_int_equal(s.asked, 3);
  prog_run_for(p, 4500000);
  assert_int_equal(s.asked, 3); /* the second one too */
  prog_run_for(p, 600000);
  assert_in_range(s.asked, 4, 19); /* in_flight at once */
  prog_run_for(p, 60000000);
  assert_int_equal(s.asked, 42);
  assert_string_equal(look(p).state, "ok");
  assert_int_equal(look(p).opened, 1);
  prog_free(p);
}

/* A success between failures is none that closes it: the second probe's failure opens it for longer than before. */
static void test_R5_a_second_probe_that_fails_opens_it_for_longer(void **state) {
  (void)state;
  server s = {.script = {{503, "", NULL, NULL}, {200, "{}", NULL, NULL}, {503, "", NULL, NULL}, {200, "{}", NULL, NULL}, {503, "", NULL, NULL}}};
  world w;
  prog *p = begin(&w, &s, PROGRAM(HERE, BREAKER));
  give(p, 0, 1);
  prog_run_for(p, 100000);
  give(p, 1, 20);
  prog_run_for(p, 70000000);
  assert_int_equal(s.asked, 3);
  assert_in_range(s.at_us[1] - s.at_us[0], 53000000, 67000000);
  assert_in_range(s.at_us[2] - s.at_us[1], 0, 100000);
  prog_run_for(p, 140000000);
  assert_int_equal(s.asked, 5);
  assert_in_range(s.at_us[3] - s.at_us[2], 107000000, 133000000);
  prog_run_for(p, 270000000);
  assert_int_equal(s.asked, 3 + 21);
  assert_int_equal(look(p).opened, 1);
  prog_free(p);
}

/* Nothing else waits behind the first success: it is not shown as open, and what comes next goes at once. */
static void test_R5_a_half_open_breaker_waits_for_the_next_one_without_holding_it(void **state) {
  (void)state;
  server s = {.bad = 1, .says = {503, "", NULL, NULL}};
  world w;
  prog *p = begin(&w, &s, PROGRAM(HERE, BREAKER));
  give(p, 0, 1);
  prog_run_for(p, 80000000);
  assert_int_equal(s.asked, 2);
  assert_string_equal(look(p).state, "ok");
  assert_true(p->e->conns[0]->open);
  give(p, 1, 1);
  prog_run_for(p, 200000);
  assert_int_equal(s.asked, 3);
  assert_false(p->e->conns[0]->open);
  prog_free(p);
}

/* ---- over a deployment -------------------------------------------------------------------------------------------------------------- */

#define CHANGED PROGRAM(HERE, BREAKER ", rate: rate(100, per: 1 second)")
#define OTHER_PATH PROGRAM("https://ehr.example.org/v2", BREAKER)
#define OTHER_SERVER PROGRAM("https://new.example.org/r4", BREAKER)

/* What is deployed, and whether its server is the one that the program had. */
static const struct { const char *text; bool same; } deployments[] = {{CHANGED, true}, {OTHER_PATH, true}, {OTHER_SERVER, false}};

/* The first run makes the connection `held`; then the text is deployed, and with the same server it still is. A second run begins. */
static prog *held_then_deployed(world *w, server *s, const char *held, size_t nth) {
  prog *p = begin(w, s, PROGRAM(HERE, BREAKER));
  give(p, 0, 1);
  prog_run_for(p, 1000000);
  assert_string_equal(look(p).state, held);
  deploy_ok(deploy_text(p, deployments[nth].text));
  assert_string_equal(look(p).state, deployments[nth].same ? held : "ok");
  give(p, 1, 1);
  return p;
}

/* What the server asked for holds whatever is deployed, as long as it is that server. */
static void test_R3_retry_after_holds_over_a_deployment(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof deployments / sizeof *deployments; i++) {
    server s = {.bad = 1, .says = {429, "", "Retry-After", "100"}};
    world w;
    bool same = deployments[i].same;
    prog *p = held_then_deployed(&w, &s, "asked to wait", i);
    prog_run_for(p, 1000000);
    assert_int_equal(s.asked, same ? 1 : 2);
    if (!same) assert_string_equal(s.host[1], "new.example.org");
    prog_run_for(p, 110000000);
    assert_int_equal(s.asked, 3);
    assert_true(!same || s.at_us[1] - s.at_us[0] >= 100000000);
    prog_free(p);
  }
}

/* A restart is no reason to ask again; another server under the same name has not asked for anything. */
static void test_R3_retry_after_holds_over_a_restart(void **state) {
  (void)state;
  for (int same = 0; same < 2; same++) {
    server s = {.bad = 1, .says = {429, "", "Retry-After", "100"}, .base = HERE};
    world w;
    prog *p = begin(&w, &s, PROGRAM(HERE, BREAKER));
    give(p, 0, 1);
    prog_run_for(p, 10000000);
    assert_int_equal(s.asked, 1);
    if (!same) s.base = "https://new.example.org/r4";
    world_restart(p, &w);
    assert_string_equal(look(p).state, same ? "asked to wait" : "ok");
    give(p, 1, 1);
    prog_run_for(p, 80000000);
    assert_int_equal(s.asked, same ? 1 : 2);
    world_restart(p, &w);
    prog_run_for(p, 20000000);
    assert_int_equal(s.asked, 3);
    assert_string_equal(look(p).state, "ok");
    world_restart(p, &w); /* its time is over */
    assert_string_equal(look(p).state, "ok");
    prog_free(p);
  }
}

/* The attempt left before the deployment, and its answer asks to wait: the new definition does. */
static void test_R3_an_answer_to_what_left_before_holds_the_new_definition(void **state) {
  (void)state;
  for (int same = 0; same < 2; same++) {
    server s = {.bad = 1, .says = {429, "", "Retry-After", "100"}};
    world w;
    prog *p = begin(&w, &s, PROGRAM(HERE, BREAKER));
    w.delay_us = 5000000;
    give(p, 0, 1);
    prog_run_for(p, 1000000);
    assert_int_equal(s.asked, 1);
    deploy_ok(deploy_text(p, same ? CHANGED : OTHER_SERVER));
    assert_string_equal(look(p).state, "ok");
    prog_run_for(p, 5000000);
    assert_string_equal(look(p).state, same ? "asked to wait" : "ok");
    give(p, 1, 1);
    prog_run_for(p, 10000000);
    assert_int_equal(s.asked, same ? 1 : 2);
    prog_run_for(p, 110000000);
    assert_int_equal(s.asked, 3);
    prog_free(p);
  }
}

static void test_R5_an_open_breaker_stays_with_its_server(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof deployments / sizeof *deployments; i++) {
    server s = {.bad = 1, .says = {503, "", NULL, NULL}};
    world w;
    prog *p = held_then_deployed(&w, &s, "breaker open", i);
    prog_run_for(p, 10000000);
    assert_true(deployments[i].same ? s.asked == 1 : s.asked >= 2);
    prog_run_for(p, 100000000);
    assert_int_equal(s.asked, 3);
    assert_string_equal(look(p).state, "ok");
    prog_free(p);
  }
}

/* The same over a restart: hdw.json names another server, of which nothing bad is known. */
static void test_R5_an_open_breaker_is_not_taken_to_another_server(void **state) {
  (void)state;
  for (int same = 0; same < 2; same++) {
    server s = {.bad = 1, .says = {503, "", NULL, NULL}, .base = HERE};
    world w;
    prog *p = begin(&w, &s, PROGRAM(HERE, BREAKER));
    give(p, 0, 1);
    prog_run_for(p, 1000000);
    if (!same) s.base = "https://new.example.org/r4";
    world_restart(p, &w);
    assert_string_equal(look(p).state, same ? "breaker open" : "ok");
    prog_run_for(p, 10000000);
    assert_int_equal(s.asked, same ? 1 : 2);
    world_restart(p, &w); /* and is forgotten for good */
    assert_string_equal(look(p).state, same ? "breaker open" : "ok");
    prog_free(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_R5_two_successes_close_the_breaker),
      cmocka_unit_test(test_R5_a_second_probe_that_fails_opens_it_for_longer),
      cmocka_unit_test(test_R5_a_half_open_breaker_waits_for_the_next_one_without_holding_it),
      cmocka_unit_test(test_R3_retry_after_holds_over_a_deployment),
      cmocka_unit_test(test_R3_retry_after_holds_over_a_restart),
      cmocka_unit_test(test_R3_an_answer_to_what_left_before_holds_the_new_definition),
      cmocka_unit_test(test_R5_an_open_breaker_stays_with_its_server),
      cmocka_unit_test(test_R5_an_open_breaker_is_not_taken_to_another_server),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
