/* order by a, b: deliveries of a run with several keys keep the order of each of them. */
#include "prog_rig.h"
#include "engine_int.h"

enum { MAX_SEEN = 4000 };

typedef struct sink {
  unsigned n, tries;
  char id[MAX_SEEN][16];
  char key[MAX_SEEN][2][8];
  const char *bad;           /* message that fails */
  int status;
  unsigned percent;          /* of attempts that fail */
  uint64_t rnd;
  int64_t spread_us;
} sink;

static uint64_t draw(sink *s, uint64_t n) {
  s->rnd ^= s->rnd << 13, s->rnd ^= s->rnd >> 7, s->rnd ^= s->rnd << 17;
  return s->rnd % n;
}

static void text_of(arena *a, val body, const char *name, char *out, size_t cap) {
  const char *t = jv_text(a, jv_get(body, name));
  snprintf(out, cap, "%s", t ? t : "");
}

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  sink *s = (sink *)p->user;
  char id[16];
  val body = jv_get(f->request, "body");
  text_of(a, body, "id", id, sizeof id);
  s->tries++;
  out->delay_us = s->spread_us ? (int64_t)draw(s, (uint64_t)s->spread_us) : 0;
  if ((s->bad && !strcmp(id, s->bad)) || (s->percent && draw(s, 100) < s->percent)) {
    out->status = s->status;
    return MOCK_ERROR;
  }
  assert_true(s->n < MAX_SEEN);
  snprintf(s->id[s->n], sizeof s->id[0], "%s", id);
  text_of(a, body, "a", s->key[s->n][0], sizeof s->key[0][0]);
  text_of(a, body, "b", s->key[s->n][1], sizeof s->key[0][0]);
  s->n++;
  out->value = val_int(1);
  return MOCK_VALUE;
}

static const char program[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', breaker: breaker(failures: 0, cooldown: 30 seconds), retry: retry(0, from: 1 second, to: 5 seconds))\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.1, msg.PID-4.1 {\n"
    "  send crm.put('/x', body: { id: msg.MSH-10, a: msg.PID-3.1.first(), b: msg.PID-4.1 })\n"
    "  return {}\n"
    "}\n";

static uint64_t depth(prog *p, const char *name) { return store_depth(engine_store(p->e), 0, cod_cstr(name)); }

/* Messages in the order they were taken, as one text. */
static const char *order(const sink *s, char out[400]) {
  out[0] = 0;
  for (unsigned i = 0; i < s->n && strlen(out) < 380; i++) snprintf(out + strlen(out), 400 - strlen(out), "%s%s", i ? " " : "", s->id[i]);
  return out;
}

static void test_a_delivery_waits_for_the_older_ones_of_each_key(void **state) {
  (void)state;
  sink s = {.bad = "M1", .status = 503};
  char text[400];
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "M1", "a", "b");
  prog_run_for(p, 100000);
  prog_submit(p, "M2", "c", "b"); /* by the second key */
  prog_submit(p, "M3", "c", "d"); /* behind M2 */
  prog_submit(p, "M4", "a", "e"); /* by the first key */
  prog_submit(p, "M5", "f", "g"); /* nothing in common with any */
  prog_run_for(p, 20000000);
  assert_string_equal(order(&s, text), "M5");
  assert_int_equal(depth(p, "crm"), 4); /* each counted once */
  prog_restart(p);
  prog_run_for(p, 20000000);
  assert_string_equal(order(&s, text), "M5");
  s.bad = NULL;
  prog_run_for(p, 20000000);
  assert_int_equal(s.n, 5);
  assert_string_equal(s.id[1], "M1");
  assert_true(strstr(order(&s, text), "M2 M3") || strstr(text, "M2 M4 M3"));
  assert_int_equal(depth(p, "crm"), 0);
  prog_free(p);
}

typedef struct held_lanes { unsigned n, waiting; } held_lanes;
static bool held_lane(const engine_lane *l, void *user) {
  held_lanes *x = (held_lanes *)user;
  assert_true(l->held && l->delivery);
  assert_true(cod_equal(l->delivery->sink, cod_cstr("crm")) && l->run->id == l->delivery->run);
  x->n++, x->waiting += l->waiting;
  return true;
}

static void test_a_dead_one_that_holds_does_so_in_each_key(void **state) {
  (void)state;
  sink s = {.bad = "M1", .status = 400};
  char text[400];
  prog *p = prog_new(program, world, &s, 0);
  p->cfg.conns[0].o.on_dead = "hold";
  prog_restart(p);
  prog_submit(p, "M1", "a", "b");
  prog_submit(p, "M2", "a", "c");
  prog_submit(p, "M3", "d", "b");
  prog_submit(p, "M4", "d", "e");
  prog_run_for(p, 20000000);
  assert_string_equal(order(&s, text), "");
  held_lanes held = {.n = 0};
  engine_lanes(p->e, 0, held_lane, &held); /* both lanes are shown, with what holds them */
  assert_int_equal(held.n, 2);
  assert_int_equal(held.waiting, 2);
  prog_ids dead = {.n = 0};
  assert_int_equal(store_list_dead(engine_store(p->e), 0, SUBJECT_DELIVERY, 0, 10, prog_take_id, &dead), HDW_OK);
  assert_int_equal(dead.n, 1);
  assert_int_equal(engine_skip(p->e, SUBJECT_DELIVERY, dead.id[0], "test", NULL, NULL), HDW_OK);
  prog_run_for(p, 20000000);
  assert_int_equal(s.n, 3);
  assert_true(strstr(order(&s, text), "M3 M4") || strstr(text, "M3 M2 M4"));
  prog_free(p);
}

/* Ids are M0001...: each key's are rising. */
static void check_order(const sink *s) {
  for (unsigned i = 0; i < s->n; i++)
    for (unsigned k = i + 1; k < s->n; k++) {
      if (strcmp(s->id[i], s->id[k]) < 0) continue;
      for (int x = 0; x < 2; x++)
        for (int y = 0; y < 2; y++)
          if (!strcmp(s->key[i][x], s->key[k][y])) fail_msg("%s (%s, %s) was taken before %s (%s, %s)", s->id[i], s->key[i][0], s->key[i][1], s->id[k], s->key[k][0], s->key[k][1]);
    }
}

/* 400 messages with two of twelve keys each, a sink that fails every fourth time, takes its time and is killed now and then. */
static void test_order_of_every_key_under_failures(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 3; seed++) {
    enum { N = 400 };
    sink s = {.status = 503, .percent = 25, .rnd = seed * 7919, .spread_us = 200000};
    prog *p = prog_new(program, world, &s, seed);
    for (int i = 0; i < N; i++) {
      char id[16], a[8], b[8];
      unsigned first = (unsigned)draw(&s, 12);
      snprintf(id, sizeof id, "M%04d", i);
      snprintf(a, sizeof a, "k%u", first);
      snprintf(b, sizeof b, "k%u", (first + 1 + (unsigned)draw(&s, 11)) % 12);
      prog_submit(p, id, a, b);
      if (i % 10 == 9) prog_run_for(p, 1000000);
      if (i % 150 == 149) { /* acknowledged first: submit again would be another message */
        prog_run_for(p, 1000000);
        s.percent = 0, s.spread_us = 0;
        prog_run_for(p, 2000000);
        prog_restart(p);
        s.percent = 25, s.spread_us = 200000;
      }
    }
    for (int i = 0; i < 2000 && s.n < N; i++) prog_run_for(p, 1000000);
    prog_run_for(p, 1000000);
    assert_int_equal(s.n, N);
    check_order(&s);
    assert_int_equal(depth(p, "crm"), 0);
    prog_free(p);
  }
}

/* The queue goes over to another name: once, in all of its lanes. */
static void test_a_renamed_connection_takes_the_queue_with_all_keys(void **state) {
  (void)state;
  static const char renamed[] =
      "hdw 1\n"
      "listener adt = mllp(port: 2575)\n"
      "connection crm2 was crm = rest(base: 'http://127.0.0.1:1', breaker: breaker(failures: 0, cooldown: 30 seconds), retry: retry(0, from: 1 second, to: 5 seconds))\n"
      "workflow w on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.1, msg.PID-4.1 {\n"
      "  send crm2.put('/x', body: { id: msg.MSH-10, a: msg.PID-3.1.first(), b: msg.PID-4.1 })\n"
      "  return {}\n"
      "}\n";
  sink s = {.bad = "M1", .status = 503};
  prog *p = prog_new(program, world, &s, 0);
  prog_submit(p, "M1", "a", "b");
  prog_submit(p, "M2", "c", "b");
  prog_submit(p, "M3", "d", "c");
  prog_run_for(p, 20000000);
  assert_int_equal(depth(p, "crm"), 3);
  engine_close(p->e);
  prog_compile(p, renamed);
  config_init(&p->cfg, &p->a);
  prog_open(p);
  prog_run_for(p, 20000000);
  assert_int_equal(depth(p, "crm"), 0);
  assert_int_equal(depth(p, "crm2"), 3);
  assert_int_equal(s.n, 0);
  s.bad = NULL;
  prog_run_for(p, 20000000);
  assert_int_equal(s.n, 3);
  check_order(&s);
  assert_int_equal(depth(p, "crm2"), 0);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_delivery_waits_for_the_older_ones_of_each_key),
      cmocka_unit_test(test_a_dead_one_that_holds_does_so_in_each_key),
      cmocka_unit_test(test_order_of_every_key_under_failures),
      cmocka_unit_test(test_a_renamed_connection_takes_the_queue_with_all_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
