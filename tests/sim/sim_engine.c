/* sim_engine - random histories: messages come, again and again; the world answers as it likes; the daemon restarts, the disk fails. Then faults stop,
 * everything drains, and the ledger must agree with the promises:
 *   each message that was answered AA was performed to the end, each of its effects succeeded at least once;
 *   an effect has one idempotency key, whatever happened; a success is repeated only over a restart;
 *   the same message makes one run; one patient's messages are performed in order.
 *
 *   sim_engine FIRST_SEED SEEDS */
#include "engine_rig.h"

enum { MESSAGES = 24, STEPS = 3, LANES = 4 };

typedef struct effect_ledger {
  char key[80];
  unsigned ok, tries;
} effect_ledger;

typedef struct history {
  rig *r;
  uint64_t rnd;
  bool calm, after;
  unsigned restarts;
  bool acked[MESSAGES];
  effect_ledger effects[MESSAGES * STEPS * 2];
  unsigned neffects;
} history;

static uint64_t draw(history *h, uint64_t n) {
  h->rnd ^= h->rnd << 13, h->rnd ^= h->rnd >> 7, h->rnd ^= h->rnd << 17;
  return h->rnd % n;
}

static engine_mock_verdict world(void *user, const engine_effect *f, arena *a, engine_mock_answer *out) {
  history *h = (history *)user;
  static const int statuses[] = {503, 503, 429, 500, 422, 404};
  (void)a;
  effect_ledger *e = NULL;
  for (unsigned i = 0; i < h->neffects && !e; i++)
    if (!strcmp(h->effects[i].key, f->idempotency_key)) e = &h->effects[i];
  if (!e) {
    assert_true(h->neffects < MESSAGES * STEPS * 2);
    e = &h->effects[h->neffects++];
    snprintf(e->key, sizeof e->key, "%s", f->idempotency_key);
  }
  e->tries++;
  if (h->calm || draw(h, 3)) {
    e->ok++;
    out->value = val_int(1);
    return MOCK_VALUE;
  }
  out->status = statuses[draw(h, 6)];
  if (draw(h, 6) == 0) out->fail_class = FAIL_AMBIGUOUS;
  return MOCK_ERROR;
}

typedef struct waiting {
  history *h;
  unsigned message;
} waiting;
static waiting answers[MESSAGES];
static void answered(void *user, const engine_reply *x) {
  waiting *w = (waiting *)user;
  if (!x->extra && !strcmp(x->code, "AA")) w->h->acked[w->message] = true;
}

static void open_engine(history *h) {
  rig *r = h->r;
  engine_opts o = {.dir = r->dir, .config = &r->cfg, .host = &no_host, .mock = world, .mock_user = h, .mock_only = true};
  char text[200];
  mod_error err;
  const meta *metas[1];
  if (engine_open(r->io, &o, &r->e, text) || engine_load(r->e, "admit.hdwb", r->mod, r->mod_len, &err)) fail_msg("open: %s", text);
  uint32_t n = engine_metas(r->e, metas, 1);
  if (!r->cfg.nconns) assert_int_equal(config_bind(&r->cfg, metas, n, true), HDW_OK);
  if (engine_start(r->e, text)) fail_msg("start: %s", text);
}

static void send_message(history *h, unsigned i) {
  char msg[512];
  engine_source src = {.listener = "adt"};
  answers[i] = (waiting){h, i};
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|M%u|P|2.5.1\rPID|1||%u^^^HOSP^MR||SMITH^JOHN\r", i, i % LANES);
  engine_submit_hl7(h->r->e, &src, msg, (size_t)n, answered, &answers[i]);
}

static bool redrive_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  ids *x = (ids *)user;
  (void)part, (void)state;
  if (x->n < 64) x->id[x->n++] = id;
  return true;
}

static void drain(history *h) {
  rig *r = h->r;
  h->calm = true;
  for (int round = 0; round < 200; round++) {
    store_counts c;
    for (uint8_t subject = SUBJECT_RUN; subject <= SUBJECT_DELIVERY; subject++) {
      ids dead = {.n = 0};
      (void)store_list_dead(engine_store(r->e), 0, subject, 0, 64, redrive_one, &dead);
      for (unsigned i = 0; i < dead.n; i++) (void)engine_redrive(r->e, subject, dead.id[i], "sim", NULL, NULL);
    }
    run_for(r, 60000000);
    store_get_counts(engine_store(r->e), &c);
    uint64_t open = c.deliveries - c.deliveries_by_state[DELIVERY_DELIVERED]; /* a failed run whose message came again was given up for the new one */
    for (int state = RUN_QUEUED; state <= RUN_DEAD; state++) open += state == RUN_DONE ? 0 : c.runs_by_state[state];
    if (!open && engine_idle(r->e)) return;
  }
  fail_msg("it does not drain");
}

static void check(history *h) {
  unsigned acked = 0, doubles = 0;
  store_counts c;
  store_get_counts(engine_store(h->r->e), &c);
  for (unsigned i = 0; i < MESSAGES; i++) acked += h->acked[i];
  assert_true(c.inputs <= MESSAGES);
  /* A resend makes no second run; but where the sender waits for the run, a failed one answers AE, and the resend is a further attempt. */
  if (!h->after) assert_int_equal(c.runs, c.inputs);
  assert_true(c.inputs >= acked);
  assert_int_equal(h->neffects, c.inputs * STEPS); /* whatever happened, one key for each effect of an input */
  for (unsigned i = 0; i < h->neffects; i++) {
    assert_true(h->effects[i].ok > 0);
    doubles += h->effects[i].ok - 1;
  }
  assert_true(doubles <= h->restarts * (16 + LANES) + (c.runs - c.inputs) * STEPS);
}

static void one(uint64_t seed) {
  history *h = (history *)calloc(1, sizeof *h);
  rig *r = (rig *)calloc(1, sizeof *r);
  h->r = r, h->rnd = seed * 0x9e3779b97f4a7c15u + 1;
  test_mem_init(&r->mem);
  snprintf(r->dir, sizeof r->dir, "/tmp/hdw-sim-XXXXXX");
  assert_non_null(mkdtemp(r->dir));
  io_sim_opts so = {.seed = seed, .root = r->dir, .slow_worker_us = seed % 3 ? 0 : 2000000}; /* every third: commits of the store come late */
  assert_int_equal(io_sim_new(&r->mem.m, &so, &r->io), HDW_OK);
  arena_init(&r->a, &r->mem.m, 0);
  config_init(&r->cfg, &r->a);
  h->after = draw(h, 3) == 0;
  make_module(r, &(shape_of_module){.steps = STEPS, .klass = (uint8_t)(draw(h, 2) ? MOD_CLASS_KEYED : MOD_CLASS_READ), .send = draw(h, 2) != 0, .lane = draw(h, 2) != 0,
                                    .ack = !h->after ? NULL : "{\"after\":\"run\",\"within\":{\"$ms\":3000},\"else\":\"AE\"}"});
  open_engine(h);
  for (unsigned op = 0; op < 150; op++) {
    uint64_t what = draw(h, 20);
    if (what < 12) send_message(h, (unsigned)draw(h, MESSAGES));
    else if (what < 18) io_sim_advance(r->io, (int64_t)draw(h, 1u << draw(h, 24)));
    else {
      if (draw(h, 3) == 0) { /* the disk fails first: nothing may be promised after it */
        io_sim_fault(r->io, IO_SIM_SYNC, 1 + draw(h, 3), HDW_E_IO, true);
        for (int k = 0; k < 3; k++) send_message(h, (unsigned)draw(h, MESSAGES));
        io_sim_advance(r->io, 100000);
      }
      engine_close(r->e);
      io_sim_fault(r->io, IO_SIM_SYNC, 0, HDW_OK, false);
      h->restarts++;
      open_engine(h);
    }
  }
  for (unsigned i = 0; i < MESSAGES; i++) send_message(h, i); /* senders go on until they are answered */
  drain(h);
  for (unsigned i = 0; i < MESSAGES; i++) send_message(h, i);
  run_for(r, 10000000);
  for (unsigned i = 0; i < MESSAGES; i++)
    if (!h->acked[i]) fail_msg("message %u is never acknowledged", i);
  check(h);
  rig_free(r);
  free(h);
}

static uint64_t first = 1, seeds = 10;
static void test_seeds(void **state) {
  (void)state;
  for (uint64_t s = first; s < first + seeds; s++) {
    fprintf(stderr, "seed %llu\n", (unsigned long long)s);
    one(s);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) first = strtoull(argv[1], NULL, 10);
  if (argc > 2) seeds = strtoull(argv[2], NULL, 10);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
