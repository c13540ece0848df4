/* sim_runs - random histories of ordered runs with branches: keys are drawn (none, one, two), effects fail, take their time and are cut off, the process is
 * killed, runs leave memory while they wait. Then faults stop, dead letters are sent back, everything drains, and the ledger must agree:
 *   every acknowledged message is performed to its end, with the result that the program says, whatever came first;
 *   one key's messages are performed one after the other, in the order of their commit, across kills and redrives;
 *   an effect succeeds again only if a kill caught it under way; no lane stays held.
 *
 *   sim_runs FIRST_SEED SEEDS */
#include "prog_rig.h"

enum { MESSAGES = 16, KEYS = 4, EFFECTS = 6, OPS = 60 };

static const char program[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(1, from: 100 milliseconds, to: 1 second))\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.idNumber, msg.PID-4.idNumber {\n"
    "  let m = msg.MSH-10\n"
    "  step a = crm.post(\"/{m}/0\", body: { u: uuid() })\n"
    "  step rows = parallel for x in [1, 2, 3] limit 2 {\n"
    "    step b = crm.put(\"/{m}/{x}\", body: { u: uuid(), a: a })\n"
    "    yield b\n"
    "  }\n"
    "  parallel {\n"
    "    step c = crm.get(\"/{m}/4\") on error where error.status = 404 use 'none'\n"
    "    step d = crm.post(\"/{m}/5\", body: rows)\n"
    "  }\n"
    "  return [a, rows, d]\n"
    "}\n";

typedef struct effect {
  unsigned ok, live, tries;
  char key[80];
} effect;

typedef struct history {
  uint64_t rnd;
  bool calm;
  unsigned kills, caught;    /* effects under way at kills */
  bool acked[MESSAGES], sent[MESSAGES];
  unsigned keys[MESSAGES][2];
  uint64_t run[MESSAGES];
  uint64_t latest[KEYS];     /* the youngest run seen in the lane */
  effect effects[MESSAGES][EFFECTS];
} history;

static uint64_t draw(history *h, uint64_t n) {
  h->rnd ^= h->rnd << 13, h->rnd ^= h->rnd >> 7, h->rnd ^= h->rnd << 17;
  return h->rnd % n;
}

static void in_order(history *h, unsigned m, uint64_t run) {
  h->run[m] = run;
  for (unsigned i = 0; i < 2; i++) {
    unsigned k = h->keys[m][i];
    if (!k) continue;
    if (run < h->latest[k - 1]) fail_msg("key %u: run %llu is performed behind run %llu", k, (unsigned long long)run, (unsigned long long)h->latest[k - 1]);
    h->latest[k - 1] = run;
  }
}

static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  history *h = (history *)p->user;
  static const int statuses[] = {503, 503, 429, 500, 422, 404};
  val path = jv_get(f->request, "path"), t;
  char text[64] = "";
  unsigned m, i;
  (void)a;
  for (uint32_t k = 0; k < (path.tag == VAL_TPL ? path.len : 1); k++)
    if (!val_to_str(a, path.tag == VAL_TPL ? path.u.v[k] : path, &t) && t.tag == VAL_STR) snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s", (int)t.len, t.u.s);
  assert_int_equal(sscanf(text, "/M%u/%u", &m, &i), 2);
  in_order(h, m, f->run);
  effect *e = &h->effects[m][i];
  if (!e->key[0]) snprintf(e->key, sizeof e->key, "%s", f->idempotency_key);
  assert_string_equal(e->key, f->idempotency_key);
  e->tries++;
  out->delay_us = (int64_t)draw(h, 1u << draw(h, 23));
  if (h->calm || draw(h, 4)) {
    e->ok++;
    out->value = val_str(arena_dup(a, text, strlen(text)), strlen(text));
    return MOCK_VALUE;
  }
  out->status = statuses[draw(h, 6)];
  if (draw(h, 6) == 0) out->fail_class = FAIL_AMBIGUOUS;
  return MOCK_ERROR;
}

static void send_message(prog *p, history *h, unsigned m) {
  char id[16], a[16] = "", b[16] = "";
  snprintf(id, sizeof id, "M%u", m);
  if (h->keys[m][0]) snprintf(a, sizeof a, "K%u", h->keys[m][0]);
  if (h->keys[m][1]) snprintf(b, sizeof b, "K%u", h->keys[m][1]);
  h->sent[m] = true;
  prog_submit(p, id, a, b);
}

/* Asked for; or answered, and the answer not yet synced: one for each branch at work. */
static unsigned under_way(prog *p) {
  engine_status st;
  engine_get_status(p->e, &st);
  return st.steps_in_flight + 2 * st.active_runs;
}

static void kill_it(prog *p, history *h) {
  if (draw(h, 2)) { /* what is not synced yet is lost */
    h->caught += under_way(p);
    io_sim_fault(p->io, IO_SIM_SYNC, 1 + draw(h, 3), HDW_E_IO, true);
    for (int k = 0; k < 2; k++) send_message(p, h, (unsigned)draw(h, MESSAGES));
    io_sim_advance(p->io, (int64_t)draw(h, 100000));
  }
  h->caught += under_way(p);
  h->kills++;
  engine_close(p->e);
  io_sim_fault(p->io, IO_SIM_SYNC, 0, HDW_OK, false);
  prog_open(p);
}

static void drain(prog *p, history *h) {
  h->calm = true;
  for (int round = 0; round < 100; round++) {
    store_counts c;
    (void)prog_redrive_all(p);
    prog_run_for(p, 120000000);
    store_get_counts(engine_store(p->e), &c);
    if (c.runs == c.runs_by_state[RUN_DONE] && engine_idle(p->e)) return;
  }
  fail_msg("it does not drain");
}

static bool hold(const engine_lane *l, void *user) {
  (void)l;
  ++*(unsigned *)user;
  return true;
}

static void check(prog *p, history *h) {
  unsigned again = 0, lanes = 0;
  engine_lanes(p->e, 0, hold, &lanes);
  assert_int_equal(lanes, 0);
  for (unsigned m = 0; m < MESSAGES; m++) {
    if (!h->run[m]) continue;
    store_run row;
    vm_outcome how;
    val v;
    buf b;
    char want[200], got[200];
    for (unsigned i = 0; i < EFFECTS; i++) {
      const effect *e = &h->effects[m][i];
      if (i != 4) assert_true(e->ok > 0); /* 4 has a handler: 404 is an answer */
      if (e->ok > 1) again += e->ok - 1;
    }
    assert_int_equal(store_get_run(engine_store(p->e), 0, h->run[m], &p->a, &row), HDW_OK);
    assert_int_equal(engine_result(p->e, &row, &p->a, &how, &v), HDW_OK);
    buf_init(&b, &p->a, 4096);
    assert_int_equal(json_write(v, &b, NULL), HDW_OK);
    snprintf(want, sizeof want, "[\"/M%u/0\",\"/M%u/1\",\"/M%u/2\",\"/M%u/3\",\"/M%u/5\"]", m, m, m, m, m);
    snprintf(got, sizeof got, "%.*s", (int)b.len, b.p);
    assert_string_equal(got, want);
  }
  if (again > h->caught) fail_msg("%u effects succeeded again, %u were under way at %u kills", again, h->caught, h->kills);
}

static void one(uint64_t seed) {
  history *h = (history *)calloc(1, sizeof *h);
  h->rnd = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  for (unsigned m = 0; m < MESSAGES; m++) {
    h->keys[m][0] = (unsigned)draw(h, KEYS + 1);
    h->keys[m][1] = draw(h, 3) ? 0 : (unsigned)draw(h, KEYS + 1);
  }
  prog *p = prog_new(program, world, h, seed);
  p->suspend_us = draw(h, 2) ? 1 : (int64_t)draw(h, 2000000);
  prog_restart(p);
  for (unsigned op = 0; op < OPS; op++) {
    uint64_t what = draw(h, 24);
    if (what < 10) send_message(p, h, (unsigned)draw(h, MESSAGES));
    else if (what < 20) io_sim_advance(p->io, (int64_t)draw(h, 1u << draw(h, 24)));
    else if (what < 22) (void)prog_redrive_all(p);
    else kill_it(p, h);
  }
  for (unsigned m = 0; m < MESSAGES; m++) send_message(p, h, m);
  drain(p, h);
  for (unsigned m = 0; m < MESSAGES; m++)
    if (!h->run[m]) fail_msg("message %u was never performed", m);
  check(p, h);
  prog_free(p);
  free(h);
}

static uint64_t first = 1, seeds = 10;
static void test_seeds(void **state) {
  (void)state;
  for (uint64_t s = first; s < first + seeds; s++) {
    if (seeds <= 100 || s % 100 == 0) fprintf(stderr, "seed %llu\n", (unsigned long long)s);
    one(s);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) first = strtoull(argv[1], NULL, 10);
  if (argc > 2) seeds = strtoull(argv[2], NULL, 10);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
