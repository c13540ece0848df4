/* Deliveries on the simulated seam: order, breaker, probes, hours, dead letters that hold. */
#include "engine_rig.h"
#include "engine_int.h"

enum { MAX_SEEN = 20000 };

typedef struct sink {        /* what the peer saw */
  rig *r;
  bool down;
  int poison;                /* body that it never takes; -1 = none */
  int status;                /* of failures */
  unsigned tries, ok, now, most, slow_ms;
  int64_t first_us, last_us, min_gap_us;
  int body[MAX_SEEN];
  uint8_t times[MAX_SEEN];   /* deliveries by body */
} sink;

static engine_mock_verdict peer(void *user, const engine_effect *f, arena *a, engine_mock_answer *out) {
  sink *s = (sink *)user;
  int64_t body, now = io_mono_us(s->r->io);
  (void)a;
  assert_true(jv_int(jv_get(f->request, "body"), &body));
  if (s->tries && now - s->last_us < s->min_gap_us) s->min_gap_us = now - s->last_us;
  s->last_us = now;
  s->tries++;
  if (s->down || body == s->poison) {
    out->status = s->status;
    if (!s->status) out->fail_class = FAIL_TRANSIENT; /* no connection */
    return MOCK_ERROR;
  }
  assert_true(s->ok < MAX_SEEN && body < MAX_SEEN);
  s->body[s->ok++] = (int)body;
  s->times[body]++;
  out->value = val_int(1);
  return MOCK_VALUE;
}

static sink *sink_new(const shape_of_module *m) {
  sink *s = (sink *)calloc(1, sizeof *s);
  s->poison = -1, s->status = 503, s->min_gap_us = INT64_MAX;
  s->r = rig_with(m, peer, s);
  return s;
}
/* The cooldown does not grow while probes fail: what is counted is probes. */
static void steady(rig *r) { r->cfg.conns[0].o.breaker_max_ms = 0; }
static void sink_free(sink *s) {
  rig_free(s->r);
  free(s);
}

/* n deliveries with bodies from `from`, lane = body % lanes (0 = no lane), as runs would write them. */
static void enqueue(sink *s, int from, int n, int lanes) {
  engine *e = s->r->e;
  eng_conn *c = eng_conn_find(e, "crm", 3);
  for (int i = from; i < from + n; i++) {
    arena a;
    buf b;
    arena_init(&a, e->mem, 0);
    buf_init(&b, &a, 4096);
    val kv[4] = {val_key("path", 4), val_cstr("/x"), val_key("body", 4), val_int(i)};
    pack_hl7 h = eng_pack_hooks(e);
    assert_int_equal(pack_val(&b, (val){.tag = VAL_OBJ, .len = 2, .u.v = kv}, &h), HDW_OK);
    rec_delivery d = {.sink = cod_cstr("crm"), .operation = cod_cstr("rest.post"), .path = cod_cstr("1")};
    if (lanes) d.lane[0] = 1, d.lane[1] = (uint8_t)(i % lanes), d.lane[2] = (uint8_t)(i % lanes >> 8);
    memcpy(d.idempotency, &i, sizeof i);
    cod_w w = eng_writer(e);
    assert_int_equal(rec_put_delivery(&w, &d), HDW_OK);
    assert_int_equal(eng_append_rec(e, REC_DELIVERY, &w, b.p, b.len, NULL, NULL, NULL), HDW_OK);
    arena_free(&a);
    if (i % 256 == 0) io_sim_advance(s->r->io, 1000);
  }
  io_sim_advance(s->r->io, 1000);
  eng_out_new(e, c);
}

static bool in_order_by_lane(const sink *s, int lanes) {
  int last[1024];
  for (int i = 0; i < lanes; i++) last[i] = -1;
  for (unsigned i = 0; i < s->ok; i++) {
    if (s->body[i] <= last[s->body[i] % lanes]) return false;
    last[s->body[i] % lanes] = s->body[i];
  }
  return true;
}

static engine_sink look(sink *s) {
  engine_sink k;
  assert_true(engine_sink_at(s->r->e, 0, &k));
  return k;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------------------- */

#define HOUR_US INT64_C(3600000000)

/* Ten hours down, 10,000 deliveries waiting: memory stays, probes come at the cooldown, then all arrive in order and none twice. */
static void test_a_sink_down_for_ten_hours_and_back(void **state) {
  (void)state;
  enum { N = 10000, LANES = 500 };
  sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .conn_args = ",\"breaker\":{\"$call\":\"breaker\",\"args\":{\"failures\":5,\"cooldown\":{\"$ms\":60000}}}"});
  steady(s->r);
  s->down = true;
  enqueue(s, 0, N, LANES);
  io_sim_advance(s->r->io, 60000000);
  assert_string_equal(look(s).state, "breaker open");
  unsigned tries = s->tries;
  size_t memory = s->r->mem.live_bytes;
  s->min_gap_us = INT64_MAX;
  for (int h = 0; h < 10; h++) {
    io_sim_advance(s->r->io, HOUR_US);
    assert_true(s->r->mem.live_bytes <= memory + 65536);
  }
  tries = s->tries - tries;
  printf("probes in ten hours: %u, nearest %.1f s apart; memory %zu -> %zu bytes\n", tries, (double)s->min_gap_us / 1e6, memory, s->r->mem.live_bytes);
  assert_true(tries >= 540 && tries <= 670); /* one a minute, a tenth more or less */
  assert_true(s->min_gap_us >= 54000000);
  assert_int_equal(s->ok, 0);
  restart(s->r); /* the open breaker is remembered: no storm */
  tries = s->tries;
  io_sim_advance(s->r->io, 1000000);
  assert_true(s->tries - tries <= 1);
  s->down = false;
  for (int i = 0; i < 200 && s->ok < N; i++) io_sim_advance(s->r->io, 1000000);
  assert_int_equal(s->ok, N);
  assert_true(in_order_by_lane(s, LANES));
  for (int i = 0; i < N; i++) assert_int_equal(s->times[i], 1);
  assert_int_equal(look(s).dead, 0);
  sink_free(s);
}

static void test_a_message_that_never_goes_does_not_hold_other_lanes(void **state) {
  (void)state;
  sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  s->poison = 3;
  enqueue(s, 0, 300, 10);
  for (int i = 0; i < 60; i++) io_sim_advance(s->r->io, 1000000);
  assert_int_equal(s->ok, 270); /* all but lane 3, whose head it is */
  assert_true(in_order_by_lane(s, 10));
  s->poison = -1;
  for (int i = 0; i < 200; i++) io_sim_advance(s->r->io, 1000000);
  assert_int_equal(s->ok, 300);
  assert_true(in_order_by_lane(s, 10));
  sink_free(s);
}

/* PROTOCOLS R-5: a hundred that wait, one probe. */
static void test_R5_half_open_lets_one_probe_through(void **state) {
  (void)state;
  sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .conn_args = ",\"breaker\":{\"$call\":\"breaker\",\"args\":{\"failures\":1,\"cooldown\":{\"$ms\":10000}}}"});
  steady(s->r);
  s->down = true;
  enqueue(s, 0, 1, 0);
  io_sim_advance(s->r->io, 100000);
  assert_int_equal(s->tries, 1);
  enqueue(s, 1, 100, 0);
  io_sim_advance(s->r->io, 8000000);
  assert_int_equal(s->tries, 1);
  io_sim_advance(s->r->io, 4000000);
  assert_int_equal(s->tries, 2);
  s->down = false;
  io_sim_advance(s->r->io, 15000000);
  assert_int_equal(s->ok, 101);
  assert_int_equal(look(s).opened, 1);
  sink_free(s);
}

/* A peer that answers is left alone for the cooldown; one that cannot be reached is asked every five seconds, and found soon after it is back. */
static void test_R5_a_sink_that_is_not_there_is_found_soon(void **state) {
  (void)state;
  for (int reached = 0; reached < 2; reached++) {
    sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
    steady(s->r);
    s->down = true, s->status = reached ? 503 : 0;
    enqueue(s, 0, 50, 10);
    io_sim_advance(s->r->io, 60000000);
    assert_string_equal(look(s).state, "breaker open");
    unsigned tries = s->tries;
    s->min_gap_us = INT64_MAX;
    io_sim_advance(s->r->io, 600000000);
    tries = s->tries - tries;
    if (reached) assert_true(tries >= 17 && tries <= 23 && s->min_gap_us >= 27000000);
    else assert_true(tries >= 105 && tries <= 135 && s->min_gap_us >= 4500000);
    restart(s->r);
    s->down = false;
    io_sim_advance(s->r->io, reached ? 33000000 : 5600000);
    assert_true(s->ok > 0);
    io_sim_advance(s->r->io, 60000000);
    assert_int_equal(s->ok, 50);
    assert_true(in_order_by_lane(s, 10));
    sink_free(s);
  }
}

/* Runs that come to a step of a connection with an open breaker wait; the probe's success wakes them, and their attempts are not counted. */
static void test_parked_runs_are_woken_by_the_probe(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .conn_args = ",\"breaker\":{\"$call\":\"breaker\",\"args\":{\"failures\":2,\"cooldown\":{\"$ms\":30000}}}"});
  steady(r);
  script(r, 5, (int[]){503, 503, 503, 503, 503});
  char id[16];
  for (int i = 0; i < 20; i++) {
    snprintf(id, sizeof id, "M%d", i);
    submit(r, id, "ADT^A01", "");
    run_for(r, 100000);
  }
  run_for(r, 5000000);
  assert_int_equal(r->ncalls, 2);
  unsigned held = 0;
  for (unsigned i = 0; i < 20; i++) {
    store_run row = the_run(r, i);
    assert_int_equal(row.state, RUN_PARKED);
    held += cod_equal(row.held, cod_cstr("crm"));
  }
  assert_true(held >= 19);
  run_for(r, 96000000); /* three probes fail */
  assert_int_equal(r->ncalls, 5);
  run_for(r, 40000000);  /* the fourth succeeds: everybody goes, at once and not after an hour */
  for (unsigned i = 0; i < 20; i++) assert_int_equal(the_run(r, i).state, RUN_DONE);
  assert_int_equal(r->ncalls, 25);
  rig_free(r);
}

static void test_paused_connection_holds_steps_and_resume_wakes_them(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  assert_int_equal(engine_pause(r->e, "crm", true, "test", NULL, NULL), HDW_OK);
  run_for(r, 1000000);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(the_run(r, 0).state, RUN_PARKED);
  restart(r);
  for (int i = 0; i < 100; i++) io_sim_advance(r->io, HOUR_US); /* longer than give_up: waiting is no failure */
  assert_int_equal(the_run(r, 0).state, RUN_PARKED);
  assert_int_equal(r->ncalls, 0);
  assert_int_equal(engine_pause(r->e, "crm", false, "test", NULL, NULL), HDW_OK);
  run_for(r, 1000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  rig_free(r);
}

/* FEATURES 66, PROTOCOLS R-15: closed hours hold deliveries; the opening lets them go. The simulated clock starts on a Thursday at 00:00 UTC. */
static void test_R15_deliveries_and_steps_wait_for_opening_hours(void **state) {
  (void)state;
  for (int send = 0; send < 2; send++) {
    rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .send = send, .conn_args = ",\"hours\":{\"$call\":\"hours\",\"args\":{\"when\":\"Mon-Sun 08:00-08:30\",\"zone\":\"+00:00\"}}"});
    int64_t day = 24 * HOUR_US, now = io_wall_us(r->io), in_day = now % day, to = (in_day < 20 * HOUR_US ? 20 * HOUR_US : 44 * HOUR_US) - in_day;
    for (int i = 0; i < 50; i++) io_sim_advance(r->io, to / 50); /* 20:00 */
    submit(r, "M1", "ADT^A01", "");
    run_for(r, 1000000);
    assert_int_equal(r->ncalls, 0);
    assert_int_equal(the_run(r, 0).state, send ? RUN_DONE : RUN_PARKED);
    engine_sink k;
    assert_true(engine_sink_at(r->e, 0, &k));
    assert_string_equal(k.state, "closed");
    run_for(r, 11 * HOUR_US);
    assert_int_equal(r->ncalls, 0);
    run_for(r, HOUR_US + 120000000);
    assert_int_equal(r->ncalls, 1);
    assert_int_equal(the_run(r, 0).state, RUN_DONE);
    rig_free(r);
  }
}

/* H-21: a dead delivery of an ordered feed stops the feed until a person decides. */
static void test_H21_dead_delivery_holds_an_ordered_feed(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) {
    sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .kind = "mllp"});
    s->poison = 1, s->status = 422;
    enqueue(s, 0, 4, 2);
    run_for(s->r, 60000000);
    assert_int_equal(s->ok, 1);
    engine_sink k = look(s);
    assert_string_equal(k.state, "held by a dead letter");
    ids dead = {.n = 0};
    assert_int_equal(store_list_dead(engine_store(s->r->e), 0, SUBJECT_DELIVERY, 0, 64, take_id, &dead), HDW_OK);
    assert_int_equal(dead.n, 1);
    assert_int_equal(dead.id[0], k.held_by);
    restart(s->r);
    run_for(s->r, 60000000);
    assert_int_equal(s->ok, 1);
    if (how == 0) {
      s->poison = -1;
      assert_int_equal(engine_redrive(s->r->e, SUBJECT_DELIVERY, dead.id[0], "test", NULL, NULL), HDW_OK);
    } else if (how == 1) assert_int_equal(engine_discard(s->r->e, SUBJECT_DELIVERY, dead.id[0], "test", "", NULL, NULL), HDW_OK);
    else assert_int_equal(engine_skip(s->r->e, SUBJECT_DELIVERY, dead.id[0], "test", NULL, NULL), HDW_OK);
    run_for(s->r, 60000000);
    assert_int_equal(s->ok, how == 0 ? 4 : 3);
    if (how == 0) assert_int_equal(s->body[1], 1);
    store_delivery d;
    assert_int_equal(store_get_delivery(engine_store(s->r->e), 0, dead.id[0], &s->r->a, &d), HDW_OK);
    assert_int_equal(d.state, how == 0 ? DELIVERY_DELIVERED : how == 1 ? DELIVERY_DISCARDED : DELIVERY_DEAD);
    sink_free(s);
  }
}

static void test_give_up_is_per_connection_and_counts_from_the_first_failure(void **state) {
  (void)state;
  sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  s->r->cfg.conns[0].o.give_up_ms = 3600000;
  assert_int_equal(engine_pause(s->r->e, "crm", true, "test", NULL, NULL), HDW_OK);
  enqueue(s, 0, 1, 0);
  run_for(s->r, 50 * HOUR_US);
  s->down = true;
  assert_int_equal(engine_pause(s->r->e, "crm", false, "test", NULL, NULL), HDW_OK);
  run_for(s->r, HOUR_US / 2);
  assert_true(s->tries > 3);
  assert_int_equal(look(s).dead, 0);
  run_for(s->r, HOUR_US);
  assert_int_equal(look(s).dead, 1);
  sink_free(s);
}

static uint64_t rescued(rig *r) {
  engine_status st;
  engine_get_status(r->e, &st);
  return st.rescued;
}

/* PROTOCOLS R-12: wakes are lost (here: taken away), and what should be moving is found by looking. */
static void test_R12_lost_wakes_are_found(void **state) {
  (void)state;
  sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  rig *r = s->r;
  r->reconcile_us = 60000000;
  restart(r);
  eng_conn *c = eng_conn_find(r->e, "crm", 3);
  run_for(r, 300000000);
  assert_true(rescued(r) == 0); /* nothing to find */
  enqueue(s, 0, 5, 5);
  io_timer_cancel(r->io, &c->pump);
  run_for(r, 30000000);
  assert_int_equal(s->ok, 0);
  run_for(r, 600000000);
  assert_int_equal(s->ok, 5);
  assert_true(rescued(r) == 1);
  sink_free(s);

  r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  r->reconcile_us = 60000000;
  restart(r);
  script(r, 1, (int[]){503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(the_run(r, 0).state, RUN_PARKED);
  io_timer_cancel(r->io, &r->e->wake);
  run_for(r, 30000000);
  assert_int_equal(the_run(r, 0).state, RUN_PARKED);
  run_for(r, 900000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  assert_true(rescued(r) >= 1);
  assert_int_equal(r->ncalls, 2);
  rig_free(r);
}

static int64_t at(const char *iso) {
  tm_val t;
  int64_t us;
  assert_int_equal(tm_parse_datetime(iso, strlen(iso), &t), HDW_OK);
  assert_int_equal(tm_to_unix_us(&t, &us), HDW_OK);
  return us;
}

static void test_R15_hours_are_read_strictly_and_count_by_the_wall_clock(void **state) {
  (void)state;
  hours h = {0};
  size_t where;
  static const char *const bad[] = {"", "Mon", "Mon 8:00-18:00", "Mon-Fri 08:00", "Mon-Fri 08:00-25:00", "Mon-Fri 24:00-25:00", "Moo 08:00-09:00", "Mon 08:00-09:00,", "Mon 08:00-09:00 Tue 08:00-09:00", "Mon- 08:00-09:00", "08:60-09:00"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (!hours_parse(bad[i], &h, &where)) fail_msg("accepted: %s", bad[i]);
  assert_int_equal(hours_parse(" mon-fri 08:00-18:00 , Sat 09:00-12:00, Sun 22:00-06:00", &h, &where), HDW_OK);
  h.z = NULL;
  static const struct { const char *at; bool open; int64_t wait_min; } t[] = {
      {"2026-11-20T07:59:59Z", false, 1}, {"2026-11-20T08:00:00Z", true, 0},    {"2026-11-20T18:00:00Z", false, 15 * 60}, {"2026-11-21T11:59:00Z", true, 0},
      {"2026-11-21T12:00:00Z", false, 34 * 60}, {"2026-11-22T23:00:00Z", true, 0}, {"2026-11-23T05:59:00Z", true, 0}, {"2026-11-23T06:00:00Z", false, 120}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    assert_int_equal(hours_open(&h, at(t[i].at)), t[i].open);
    int64_t wait = hours_wait_us(&h, at(t[i].at));
    assert_true(wait <= t[i].wait_min * 60000000 && wait > (t[i].wait_min - 1) * 60000000);
  }
  /* A fixed zone: 08:00 there is 06:00 UTC. */
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  zone *z;
  assert_int_equal(zone_load(r->io, &r->a, "+02:00", &z), HDW_OK);
  h = (hours){.z = z};
  assert_int_equal(hours_parse("08:00-09:00", &h, NULL), HDW_OK);
  assert_true(hours_open(&h, at("2026-11-20T06:00:00Z")));
  assert_false(hours_open(&h, at("2026-11-20T07:00:00Z")));
  rig_free(r);
}

/* The connection is taken away while deliveries wait for their turn, and comes back before they have noticed. */
static void test_deliveries_that_wait_for_their_turn_survive_a_pause(void **state) {
  (void)state;
  for (int soon = 0; soon < 2; soon++) {
    sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .conn_args = ",\"rate\":{\"$call\":\"rate\",\"args\":{\"requests\":1,\"per\":{\"$ms\":1000}}}"});
    enqueue(s, 0, 4, 0);
    io_sim_advance(s->r->io, 1500000);
    assert_true(s->ok < 4);
    assert_int_equal(engine_pause(s->r->e, "crm", true, "test", NULL, NULL), HDW_OK);
    unsigned before = s->ok;
    if (!soon) io_sim_advance(s->r->io, 20000000);
    if (!soon) assert_int_equal(s->ok, before);
    assert_int_equal(engine_pause(s->r->e, "crm", false, "test", NULL, NULL), HDW_OK);
    io_sim_advance(s->r->io, 20000000);
    assert_int_equal(s->ok, 4);
    sink_free(s);
  }
}

/* What waits behind a dead delivery of another lane, on a connection that goes strictly in order, does not stand still: it waits. */
static void test_H21_what_a_dead_delivery_holds_is_not_late(void **state) {
  (void)state;
  sink *s = sink_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .kind = "mllp"});
  s->poison = 3, s->status = 422;
  enqueue(s, 0, 8, 4);
  io_sim_advance(s->r->io, 120000000);
  assert_int_equal(s->ok, 3);
  assert_string_equal(look(s).state, "held by a dead letter");
  assert_false(eng_out_late(eng_conn_find(s->r->e, "crm", 3), 60000000));
  sink_free(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_sink_down_for_ten_hours_and_back),
      cmocka_unit_test(test_a_message_that_never_goes_does_not_hold_other_lanes),
      cmocka_unit_test(test_R5_half_open_lets_one_probe_through),
      cmocka_unit_test(test_R5_a_sink_that_is_not_there_is_found_soon),
      cmocka_unit_test(test_parked_runs_are_woken_by_the_probe),
      cmocka_unit_test(test_paused_connection_holds_steps_and_resume_wakes_them),
      cmocka_unit_test(test_R15_deliveries_and_steps_wait_for_opening_hours),
      cmocka_unit_test(test_H21_dead_delivery_holds_an_ordered_feed),
      cmocka_unit_test(test_R12_lost_wakes_are_found),
      cmocka_unit_test(test_R15_hours_are_read_strictly_and_count_by_the_wall_clock),
      cmocka_unit_test(test_deliveries_that_wait_for_their_turn_survive_a_pause),
      cmocka_unit_test(test_H21_what_a_dead_delivery_holds_is_not_late),
      cmocka_unit_test(test_give_up_is_per_connection_and_counts_from_the_first_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
