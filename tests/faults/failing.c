/* failing.c - calls below log and store fail: every scenario is run once to count them, then once for each of these calls and each way in which it can fail, alone or with all that come
 * later. Whatever is asked then is told an error or the same as before, never something else; everything is given back; and when the trouble is over, log and state
 * open, what was called durable is there, and the state is what the log says.
 *
 *   failing [--ways first] [--stride N] [--offset N] [--scenario NAME] [--at N:STICKY:KIND]     exit 1 when something was wrong
 *
 * --ways first: of calls that are come to by the same way (the same callers) only the first.
 *
 * Each scenario is a child process of its own, so that a crash is counted and the next one goes on. */
#include "failing.h"
#include "store_rig.h"
#include <ftw.h>

typedef struct scenario {
  const char *name;
  void (*run)(world *w);
} scenario;

static char wrong[300];
static const char *at_what = "";
#define WRONG(...) (wrong[0] ? (void)0 : (void)snprintf(wrong, sizeof wrong, __VA_ARGS__))
static void arm(world *w) {
  fail_now.calls = 0;
  w->faulty = fail_now.armed = true;
}
static void disarm(void) { fail_now.armed = false; }

/* ---- a world on real files of /dev/shm, that does not ask for syncs ------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st, (void)type, (void)ftw;
  return remove(path);
}
static void world_begin(world *w) {
  memset(w, 0, sizeof *w);
  test_mem_init(&w->t);
  snprintf(w->dir, sizeof w->dir, "/dev/shm/hdw-failing-%d", (int)getpid());
  (void)nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  assert_int_equal(mkdir(w->dir, 0700), 0);
  snprintf(w->log, sizeof w->log, "%s/log", w->dir);
  snprintf(w->mdb, sizeof w->mdb, "%s/state.mdb", w->dir);
  io_sim_opts o = {.seed = 5, .root = w->dir, .orderly = true};
  assert_int_equal(io_sim_new(&w->t.m, &o, &w->x), HDW_OK);
  failing_io(w->x);
  arena_init(&w->a, &w->t.m, 0);
}
static hdw_status try_open(world *w) {
  log_open_info li;
  log_opts lo = {.dir = w->log, .segment_bytes = 16384, .low_water_bytes = 1, .compress = true, .synced_seq = store_peek_applied(w->x, w->dir)};
  hdw_status s = log_open(w->x, &lo, &li, &w->l);
  store_opts so = {.dir = w->dir, .map_bytes = w->map_bytes};
  if (!s) s = store_open(w->x, &so, &w->info, &w->s);
  if (!s) w->seq = li.last_seq;
  return s;
}
static void world_close(world *w) {
  if (w->l) log_close(w->l);
  if (w->s) store_close(w->s);
  w->l = NULL, w->s = NULL;
}
static void world_end(world *w) {
  world_close(w);
  arena_free(&w->a);
  io_sim_free(w->x);
  (void)nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  if (w->t.live_bytes) WRONG("%zu bytes were not given back", w->t.live_bytes);
}

/* After the trouble. */
static void verify(world *w) {
  uint8_t h1[32], h2[32];
  log_iter *it;
  log_rec r;
  uint64_t last = 0;
  hdw_status s;
  world_close(w);
  if ((s = try_open(w)) != HDW_OK) {
    WRONG("does not open afterwards: %s", hdw_status_name(s));
    return;
  }
  if (w->info.skipped) WRONG("%llu records were skipped", (unsigned long long)w->info.skipped);
  if (store_hash(w->s, h1) || store_check(w->s) || store_rebuild(w->s, &w->info) || store_hash(w->s, h2)) WRONG("the state cannot be read");
  else if (memcmp(h1, h2, sizeof h1)) WRONG("the state is not what the log says");
  if (!log_iter_open(w->x, w->log, 0, &it)) {
    while (!(s = log_iter_next(it, &r))) last = r.seq;
    if (s != HDW_E_NOTFOUND) WRONG("the log cannot be read: %s", hdw_status_name(s));
    log_iter_close(it);
  }
  if (last < w->durable) WRONG("record %llu was called durable, the log ends with %llu", (unsigned long long)w->durable, (unsigned long long)last);
}

/* ---- a history with every kind of record ----------------------------------------------------------------------------------------------------- */

static void more(world *w) {
  settle(w);
  if (w->s) (void)store_flush(w->s); /* the next record finds its rows in the file */
}
static uint64_t put_rich_input(world *w, const char *control, int64_t once_until, int64_t sequence) {
  static rec_input in;
  memset(&in, 0, sizeof in);
  in.source = cod_cstr("adt_in"), in.dedup_key = in.control_id = cod_cstr(control), in.sender = cod_cstr("LAB|HOSP"), in.type = cod_cstr("ADT^A01"), in.peer = cod_cstr("10.0.0.7:1");
  in.identity = cod_cstr("lab"), in.npatients = 1, in.patients[0] = cod_cstr("MRN9");
  if (sequence) in.sequence_key = cod_cstr("adt_in|LAB"), in.sequence_next = sequence;
  in.verdict.state = INPUT_ACCEPTED, in.verdict.ack_code = cod_cstr("AA"), in.verdict.nruns = 2;
  for (unsigned i = 0; i < 2; i++) {
    rec_run_new *r = &in.verdict.runs[i];
    r->workflow = cod_cstr(i ? "second" : "first"), r->nlanes = 1;
    lane(control, r->lanes[0]);
    if (once_until) r->flags = RUN_F_ONCE, r->once_until_us = once_until + (int64_t)i, lane(i ? "once b" : "once a", r->once);
  }
  cod_w m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_OK);
  return send(w, REC_INPUT, &m, "the bytes of a message that came in");
}
static void put_verdict(world *w, uint64_t input, uint8_t state) {
  static rec_input_verdict v;
  memset(&v, 0, sizeof v);
  v.input = input, v.verdict.state = state, v.verdict.ack_code = cod_cstr("AA"), v.verdict.nruns = 1, v.verdict.runs[0].workflow = cod_cstr("again");
  cod_w m = out();
  assert_int_equal(rec_put_verdict(&m, &v), HDW_OK);
  send(w, REC_VERDICT, &m, "");
}
static void put_outcome(world *w, uint64_t input) {
  rec_ack_outcome o = {.input = input, .state = INPUT_ACCEPTED, .ack_code = cod_cstr("AA")};
  cod_w m = out();
  assert_int_equal(rec_put_ack_outcome(&m, &o), HDW_OK);
  send(w, REC_ACK_OUTCOME, &m, "");
}
static uint64_t put_start(world *w, uint64_t input) {
  rec_run_start r = {.input = input, .cause = cod_cstr("reprocess"), .run = {.workflow = cod_cstr("first"), .nlanes = 1}};
  lane("A", r.run.lanes[0]);
  cod_w m = out();
  assert_int_equal(rec_put_run_start(&m, &r), HDW_OK);
  return send(w, REC_RUN_START, &m, "arguments");
}
static void rename_to(world *w, uint8_t subject, const char *from, const char *to) {
  rec_action a = {.action = ACTION_RENAME, .subject = subject, .name = cod_cstr(to), .reason = cod_cstr(from), .who = cod_cstr("ann")};
  cod_w m = out();
  assert_int_equal(rec_put_action(&m, &a), HDW_OK);
  send(w, REC_ACTION, &m, "");
}
static void skip_lane(world *w, uint64_t run, const char *key) {
  rec_action a = {.action = ACTION_SKIP_LANE, .subject = SUBJECT_LANE, .id = run, .who = cod_cstr("ann")};
  lane(key, a.lane);
  cod_w m = out();
  assert_int_equal(rec_put_action(&m, &a), HDW_OK);
  send(w, REC_ACTION, &m, "");
}
static uint64_t put_two_lanes(world *w, uint64_t run) {
  rec_delivery d = {.run = run, .path = cod_cstr("5"), .sink = cod_cstr("s1"), .operation = cod_cstr("send"), .nmore = 1};
  lane("x", d.lane), lane("y", d.more[0]);
  cod_w m = out();
  assert_int_equal(rec_put_delivery(&m, &d), HDW_OK);
  return send(w, REC_DELIVERY, &m, "request");
}
static void put_expired(world *w, const rec_expired *x, uint32_t n) {
  cod_w m = out();
  assert_int_equal(rec_put_expire(&m, 0, x, n), HDW_OK);
  send(w, REC_EXPIRE, &m, "");
}

typedef struct story { uint64_t a, b, c, ra, rb, rc, start, d1, d2, d3; } story;
static story told;
/* Two of them: what they change is in the file, and what they end is still in memory. */
static void first_half(world *w) {
  story *t = &told;
  static char big[3000];
  memset(big, 'x', sizeof big - 1);
  t->a = put_rich_input(w, "A", io_wall_us(w->x) + 1000, 7), t->ra = rec_run_id(t->a, 0);
  t->b = put_input(w, "B", big, INPUT_FAILED, 1, "A"), t->rb = rec_run_id(t->b, 0);
  more(w);
  t->c = put_rich_input(w, "A", io_wall_us(w->x) + 5000000, 8), t->rc = rec_run_id(t->c, 0);
  put_state(w, t->ra, RUN_RUNNING, 0);
  put_effect(w, REC_INTENT, t->ra, "3.1", EFFECT_INTENT, "request");
  more(w);
  put_effect(w, REC_RESULT, t->ra, "3.1", EFFECT_DONE, "outcome");
  t->d1 = put_delivery(w, t->ra, "s1", "A", "body one"), t->d2 = put_two_lanes(w, t->ra), t->d3 = put_delivery(w, t->rb, "s2", "B", big);
  put_state(w, t->rb, RUN_PARKED, 5000);
  more(w);
  put_end(w, t->ra, RUN_DONE, "value");
  put_end(w, rec_run_id(t->a, 1), RUN_DEAD, "");
  put_delivered(w, t->d1, DELIVERY_PENDING, 7000);
  put_delivered(w, t->d3, DELIVERY_PARKED, 0);
  put_verdict(w, t->b, INPUT_RUNNING);
  put_audit(w, "call", 0, NULL);
  put_audit(w, "call", 0, NULL);
  more(w);
  put_outcome(w, t->b);
  t->start = put_start(w, t->a);
  put_named(w, "cursor", "folder", "17");
  put_named(w, "cursor", "other", "18");
  put_deploy(w, 7, "admit", "module bytes");
  put_action(w, ACTION_PAUSE, SUBJECT_SINK, 0, "s1");
  put_action(w, ACTION_PAUSE, SUBJECT_WORKFLOW, 0, "first");
  more(w);
}
static void second_half(world *w) {
  story *t = &told;
  uint8_t hash1[REC_HASH] = {0};
  put_delivered(w, t->d1, DELIVERY_DELIVERED, 0);
  put_action(w, ACTION_SKIP_LANE, SUBJECT_DELIVERY, t->d3, "");
  put_deploy(w, 7, "admit", "");
  put_deploy(w, 8, "admit", "other");
  more(w);
  put_action(w, ACTION_REDRIVE, SUBJECT_DELIVERY, t->d3, "");
  put_action(w, ACTION_REDRIVE, SUBJECT_RUN, rec_run_id(t->a, 1), "");
  put_action(w, ACTION_DISCARD, SUBJECT_INPUT, t->b, "");
  put_named(w, "cursor", "folder", "");
  more(w);
  rename_to(w, SUBJECT_SINK, "s1", "s9");
  more(w);
  rename_to(w, SUBJECT_WORKFLOW, "first", "admission");
  more(w);
  rename_to(w, SUBJECT_WORKFLOW, "admission", "intake");
  rename_to(w, SUBJECT_LISTENER, "adt_in", "adt");
  more(w);
  put_end(w, t->rb, RUN_FAILED, "");
  skip_lane(w, t->rb, "A");
  put_action(w, ACTION_SKIP_LANE, SUBJECT_RUN, t->rb, "");
  put_action(w, ACTION_RESUME, SUBJECT_WORKFLOW, 0, "intake");
  put_action(w, ACTION_DISCARD, SUBJECT_DELIVERY, t->d2, "");
  put_audit(w, "checkpoint", 1, hash1);
  put_deploy(w, 0, "admit", "");
  io_sim_advance(w->x, 20000);
  put_rich_input(w, "D", io_wall_us(w->x) + 9000000, 9);
  more(w);
  put_end(w, rec_run_id(t->a, 1), RUN_DONE, "");
  put_end(w, t->start << 8, RUN_DONE, "");
  put_end(w, 424242, RUN_DONE, ""); /* an orphan */
  put_delivered(w, 424242, DELIVERY_DELIVERED, 0);
  more(w);
  rec_expired x[] = {{SUBJECT_DELIVERY, t->d1}, {SUBJECT_DELIVERY, t->d2}, {SUBJECT_RUN, t->start << 8}, {SUBJECT_RUN, t->ra}, {SUBJECT_RUN, rec_run_id(t->a, 1)}, {SUBJECT_INPUT, t->a}};
  put_expired(w, x, 6);
  more(w);
}
static void ready(world *w) { assert_int_equal(try_open(w), HDW_OK); }

/* ---- scenarios: records that are folded ------------------------------------------------------------------------------------------------------- */

static void folded_first(world *w) {
  ready(w);
  more(w);
  arm(w);
  first_half(w);
}
static void folded_second(world *w) {
  ready(w);
  first_half(w);
  arm(w);
  second_half(w);
}
/* Nothing is in the file before the end: rows are found in memory. */
static void folded_in_memory(world *w) {
  ready(w);
  arm(w);
  put_rich_input(w, "A", io_wall_us(w->x) + 1000, 7);
  uint64_t in = put_input(w, "B", "short", INPUT_ACCEPTED, 1, NULL);
  put_end(w, rec_run_id(in, 0), RUN_DONE, "young");
  settle(w);
  in = put_input(w, "B2", "short", INPUT_ACCEPTED, 1, NULL);
  settle(w);
  ids l = {0};
  if (w->s) (void)store_list_inputs(w->s, 0, STORE_BY_CONTROL_ID, cod_cstr("B"), 0, false, 0, take, &l);
  io_sim_advance(w->x, 200000); /* the timer begins a commit */
  put_end(w, rec_run_id(in, 0), RUN_DONE, "young");
  l.n = 0;
  if (w->s) (void)store_list_inputs(w->s, 0, STORE_BY_CONTROL_ID, cod_cstr("B"), 0, false, 0, take, &l);
  settle(w);
}
static void map_grows(world *w) {
  w->map_bytes = 64 << 10;
  ready(w);
  arm(w);
  char value[4000];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = 0;
  for (int i = 0; i < 30; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%d", i);
    put_named(w, "cursor", key, value);
    if (i % 10 == 9) more(w);
  }
}

/* ---- scenarios: opening ----------------------------------------------------------------------------------------------------------------------- */

static void opened_new(world *w) {
  arm(w);
  (void)try_open(w);
}
static void opened_again(world *w) {
  ready(w);
  first_half(w);
  world_close(w);
  arm(w);
  (void)try_open(w);
}
/* The log is ahead of the state, as after a kill: the copy of the state is an old one. */
static void caught_up(world *w) {
  char cmd[300];
  ready(w);
  first_half(w);
  (void)store_flush(w->s);
  snprintf(cmd, sizeof cmd, "cp %s %s/old", w->mdb, w->dir);
  assert_int_equal(system(cmd), 0);
  second_half(w);
  world_close(w);
  snprintf(cmd, sizeof cmd, "mv %s/old %s", w->dir, w->mdb);
  assert_int_equal(system(cmd), 0);
  arm(w);
  if (!try_open(w)) (void)store_catch_up(w->s, &w->info);
}
static void damaged_state(world *w) {
  ready(w);
  first_half(w);
  world_close(w);
  FILE *f = fopen(w->mdb, "r+b");
  assert_non_null(f);
  fwrite("no longer", 1, 9, f);
  fclose(f);
  arm(w);
  (void)try_open(w);
}
static void rebuilt(world *w) {
  ready(w);
  first_half(w);
  arm(w);
  (void)store_rebuild(w->s, &w->info);
}
static void compacted_state(world *w) {
  uint64_t before, after;
  ready(w);
  first_half(w);
  world_close(w);
  arm(w);
  (void)store_compact(w->x, w->dir, &before, &after);
}
static void read_only(world *w) {
  store *s;
  store_info si;
  store_opts o = {.dir = w->dir, .read_only = true};
  ready(w);
  first_half(w);
  arm(w);
  if (store_open(w->x, &o, &si, &s)) return;
  store_input in;
  hdw_status st = store_get_input(s, 0, told.a, &w->a, &in);
  if (!st && !cod_equal(in.control_id, cod_cstr("A"))) WRONG("another input");
  if (st == HDW_E_NOTFOUND) WRONG("an input is said not to be there");
  store_close(s);
}
/* A record at the end is torn. */
static void torn(world *w) {
  log_stats ls;
  ready(w);
  first_half(w);
  log_get_stats(w->l, &ls);
  world_close(w);
  char path[200];
  snprintf(path, sizeof path, "%s/%020llu.seg", w->log, (unsigned long long)ls.synced_end.seg);
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  fseek(f, (long)ls.synced_end.off + 3000, SEEK_SET);
  fwrite("garbage", 1, 7, f);
  fclose(f);
  arm(w);
  (void)try_open(w);
}

/* ---- scenarios: everything that can be asked ---------------------------------------------------------------------------------------------------- */

typedef struct answer { hdw_status st; uint64_t sum; } answer;
static uint64_t sum;
static void add(const void *p, size_t n) { sum = sum * 1099511628211u + cod_crc32c(17, p, n); }
static void add_str(cod_str s) { add(s.p, s.len); }
static void add_id(uint64_t id) { add(&id, sizeof id); }
static bool on_id(uint16_t part, uint64_t id, uint8_t state, void *user) {
  (void)part, (void)user;
  add_id(id << 8 | state);
  return true;
}
static bool on_lane(uint16_t part, const uint8_t l[REC_LANE], uint64_t run, void *user) { return add(l, REC_LANE), on_id(part, run, 0, user); }
static bool on_head(const uint8_t l[REC_LANE], uint64_t id, uint8_t state, void *user) { return add(l, REC_LANE), on_id(0, id, state, user); }
static bool on_effect(const store_effect *e, void *user) { return (void)user, add_str(e->path), add_id(e->state), true; }
static bool on_deploy(const store_deploy *d, void *user) { return (void)user, add_str(d->name), add_id(d->seq), true; }
static bool on_sink(cod_str sink, uint64_t depth, void *user) { return (void)user, add_str(sink), add_id(depth), true; }
static bool on_named(cod_str key, cod_str value, void *user) { return (void)user, add_str(key), add_str(value), true; }
static bool on_audit(const rec_audit *r, cod_str bytes, void *user) { return (void)r, (void)user, add_str(bytes), true; }

static hdw_status ask(world *w, unsigned n) {
  store *s = w->s;
  arena *a = &w->a;
  story *t = &told;
  uint8_t l[REC_LANE], module[REC_HASH], hash1[REC_HASH] = {0};
  uint64_t id = 0;
  int64_t us = 0;
  cod_str v = {"", 0};
  store_input in = {0};
  store_run r = {0};
  store_effect e = {0};
  store_delivery d = {0};
  store_deploy dep = {0};
  rec_expired over[16];
  uint32_t k = 0;
  hdw_status st;
  lane("A", l);
  memset(module, 7, sizeof module);
#define CASE(number, call, ...) \
  case number: \
    at_what = #call; \
    st = call; \
    if (!st) { __VA_ARGS__; } \
    return st;
  switch (n) {
    CASE(0, store_get_input(s, 0, t->b, a, &in), add_str(in.control_id))
    CASE(1, store_find_duplicate(s, cod_cstr("adt_in"), cod_cstr("A"), 0, a, &in), add_id(in.id))
    CASE(2, store_input_since(s, 0, 1, &id), add_id(id))
    CASE(3, store_list_inputs(s, 0, STORE_BY_TIME, cod_cstr(""), 0, true, 9, on_id, NULL), (void)0)
    CASE(4, store_list_inputs(s, 0, STORE_BY_CONTROL_ID, cod_cstr("A"), 0, false, 9, on_id, NULL), (void)0)
    CASE(5, store_list_inputs(s, 0, STORE_BY_SENDER, cod_cstr("LAB|HOSP"), 0, true, 9, on_id, NULL), (void)0)
    CASE(6, store_list_inputs(s, 0, STORE_BY_PATIENT, cod_cstr("MRN9"), 0, false, 9, on_id, NULL), (void)0)
    CASE(7, store_get_run(s, 0, t->ra, a, &r), add_id(r.state))
    CASE(8, store_list_runs(s, 0, RUN_PARKED, 0, 9, on_id, NULL), (void)0)
    CASE(9, store_list_runs_of_input(s, 0, t->a, on_id, NULL), (void)0)
    CASE(10, store_lane_head(s, 0, l, &id, NULL), add_id(id))
    CASE(11, store_list_lane(s, 0, l, 0, 9, on_id, NULL), (void)0)
    CASE(12, store_list_held(s, 0, NULL, 9, on_lane, NULL), (void)0)
    CASE(13, store_get_effect(s, 0, t->ra, cod_cstr("3.1"), a, &e), add_id(e.state))
    CASE(14, store_list_effects(s, 0, t->ra, a, on_effect, NULL), (void)0)
    CASE(15, store_get_delivery(s, 0, t->d2, a, &d), add_id(d.state))
    CASE(16, store_list_queue(s, 0, cod_cstr("s1"), NULL, 0, 9, on_id, NULL), (void)0)
    CASE(17, store_list_queue(s, 0, cod_cstr("s1"), l, 0, 9, on_id, NULL), (void)0)
    CASE(18, store_list_heads(s, 0, cod_cstr("s1"), NULL, 9, on_head, NULL), (void)0)
    CASE(19, store_list_deliveries_of_run(s, 0, t->ra, on_id, NULL), (void)0)
    CASE(20, store_list_dead(s, 0, SUBJECT_RUN, 0, 9, on_id, NULL), (void)0)
    CASE(21, store_list_due(s, 0, 6000, 9, on_id, NULL, &us), add_id((uint64_t)us))
    CASE(22, store_get_deploy(s, module, cod_cstr(""), a, &dep), add_id(dep.seq))
    CASE(23, store_get_deploy(s, NULL, cod_cstr("admit"), a, &dep), add_id(dep.seq))
    CASE(24, store_list_deploys(s, true, a, on_deploy, NULL), (void)0)
    CASE(25, store_list_deploys(s, false, a, on_deploy, NULL), (void)0)
    CASE(26, store_get_named(s, cod_cstr("cursor"), cod_cstr("folder"), a, &v), add_str(v))
    CASE(27, store_list_sinks(s, 0, a, on_sink, NULL), (void)0)
    CASE(28, store_list_sink(s, 0, cod_cstr("s1"), 9, on_id, NULL), (void)0)
    CASE(29, store_list_named(s, cod_cstr("cursor"), a, on_named, NULL), (void)0)
    CASE(30, store_list_all(s, 0, SUBJECT_INPUT, 0, 9, on_id, NULL), (void)0)
    CASE(31, store_audit_over(s, INT64_MAX, 9, &id, hash1), add_id(id), add(hash1, sizeof hash1))
    CASE(32, store_audit_head(s, &id, hash1), add_id(id), add(hash1, sizeof hash1))
    CASE(33, store_list_audit(s, 0, true, a, on_audit, NULL), (void)0)
    CASE(34, (lane("once a", l), store_get_once(s, l, 1, &id)), add_id(id))
    CASE(35, store_get_sequence(s, cod_cstr("adt_in|LAB"), &us), add_id((uint64_t)us))
    CASE(36, store_hash(s, hash1), add(hash1, sizeof hash1))
    CASE(37, store_check(s), (void)0)
    CASE(38, store_list_deploys(s, true, a, on_deploy, NULL), (void)0)
  default: break;
  }
  /* What is over goes: less of it when something could not be read, never more. */
  at_what = "store_find_expired";
  if (n > 41) return HDW_E_LIMIT;
  return store_find_expired(s, 0, (uint8_t)(n == 39 ? SUBJECT_INPUT : n == 40 ? SUBJECT_RUN : SUBJECT_DELIVERY), 0, INT64_MAX, 99, over, 16, &k, &id);
}
static void asked(world *w) {
  static answer before[64]; /* of the first pass, which does not fail */
  ready(w);
  first_half(w);
  arm(w);
  for (unsigned n = 0; n < 64; n++) {
    sum = 0;
    store_refresh(w->s);
    answer now = {ask(w, n), 0};
    now.sum = sum;
    if (now.st == HDW_E_LIMIT && n > 41) break;
    (void)store_depth(w->s, 0, cod_cstr("s1"));
    (void)store_oldest_us(w->s, 0, cod_cstr("s1"), 9);
    if (!fail_now.at) {
      before[n] = now;
      if (now.st && now.st != HDW_E_NOTFOUND) WRONG("%s: %s", at_what, hdw_status_name(now.st));
    } else if ((now.st == HDW_OK || now.st == HDW_E_NOTFOUND) && (now.st != before[n].st || (!now.st && now.sum != before[n].sum))) {
      WRONG("%s: %s, and not what it said before", at_what, hdw_status_name(now.st));
    }
  }
}
static log_verdict judge(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  world *w = (world *)user;
  const store_horizon h = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, UINT64_MAX};
  (void)klass;
  store_keep k = store_keeps(w->s, rec, &h, pinned);
  return k == STORE_DROP ? LOG_V_DROP : k == STORE_BARE ? LOG_V_BARE : LOG_V_KEEP;
}

/* ---- scenarios: the log --------------------------------------------------------------------------------------------------------------------------- */

/* Retention, with the state saying what is needed; what is left must give the same state. */
static void retained(world *w) {
  log_segment_info segs[32];
  size_t n = 0;
  ready(w);
  first_half(w);
  for (int i = 0; i < 9; i++) {
    char body[6000];
    memset(body, 'a' + i, sizeof body);
    for (size_t k = 0; k < sizeof body; k++) body[k] = (char)('a' + rand() % 26);
    body[sizeof body - 1] = 0;
    put_input(w, body + 5980, body, INPUT_ACCEPTED, 0, NULL);
    settle(w);
  }
  second_half(w);
  (void)store_flush(w->s);
  if (log_segments(w->x, w->log, segs, 32, &n) || n < 2) fail_msg("%zu segments", n);
  arm(w);
  for (size_t i = 0; i + 1 < n && i < 2; i++)
    for (int again = 0; again < 2; again++) {
      log_compact_info as = {.as_of = store_applied(w->s), .at_us = 1}, info;
      log_compaction *c;
      uint64_t size, bad;
      bool done = false;
      if (log_compact_begin(w->x, w->log, segs[i].first_seq, &as, &c)) continue;
      hdw_status s = HDW_OK;
      while (!s && !done) s = log_compact_step(c, judge, w, 7, &done);
      if (!s) s = log_compact_commit(c, &info, &size);
      log_compact_end(c);
      log_forget(w->l, segs[i].first_seq);
      /* A reading that fails on its way may look like damage; what stays is looked at by verify. */
      if (log_compact_check(w->x, w->log, segs[i].first_seq, &bad) == HDW_E_CORRUPT && !fail_now.name) WRONG("a compacted segment is wrong at %llu", (unsigned long long)bad);
      (void)log_compact_read(w->x, w->log, segs[i].first_seq, &info);
    }
  log_iter *it;
  log_rec r;
  if (!log_iter_open(w->x, w->log, 0, &it)) {
    while (!log_iter_next(it, &r));
    log_iter_close(it);
  }
}
static void read_back(world *w) {
  store_input in;
  store_delivery d;
  log_rec r;
  log_iter *it;
  uint64_t lost, total, done, dropped;
  log_segment_info segs[8];
  size_t n;
  hlog *other;
  ready(w);
  first_half(w);
  assert_int_equal(store_get_input(w->s, 0, told.b, &w->a, &in), HDW_OK);
  assert_int_equal(store_get_delivery(w->s, 0, told.d1, &w->a, &d), HDW_OK);
  static char big[9000]; /* more than is read at once, also packed */
  for (size_t i = 0; i + 1 < sizeof big; i++) big[i] = (char)('a' + rand() % 26);
  uint64_t large = put_input(w, "large", big, INPUT_ACCEPTED, 0, NULL);
  more(w);
  store_input of_large;
  assert_int_equal(store_get_input(w->s, 0, large, &w->a, &of_large), HDW_OK);
  arm(w);
  hdw_status s = log_read(w->l, in.pos, &w->a, &r);
  if (s == HDW_E_NOTFOUND || (!s && (r.seq != told.b || r.body_len != 2999))) WRONG("log_read gives another record");
  s = log_read(w->l, d.pos, &w->a, &r);
  if (!s && (r.body_len != 8 || memcmp(r.body, "body one", 8))) WRONG("log_read gives another body");
  s = log_read(w->l, of_large.pos, &w->a, &r);
  if (s == HDW_E_NOTFOUND || (!s && (r.seq != large || r.body_len != sizeof big - 1 || memcmp(r.body, big, r.body_len)))) WRONG("log_read gives another large record");
  if (!log_open_read(w->x, w->log, &other)) {
    (void)log_read(other, in.pos, &w->a, &r);
    log_close(other);
  }
  if (!log_iter_open(w->x, w->log, 3, &it)) {
    uint64_t seq = 3;
    while ((s = log_iter_next(it, &r)) == HDW_OK || s == HDW_E_CORRUPT) {
      log_iter_progress(it, &done, &total);
      if (s) {
        if (log_iter_skip_segment(it, &lost)) break;
        seq = log_iter_next_seq(it);
        continue;
      }
      if (r.seq != seq++) WRONG("record %llu came instead of %llu", (unsigned long long)r.seq, (unsigned long long)seq - 1);
    }
    log_iter_close(it);
  }
  (void)log_intake(w->l);
  (void)log_segments(w->x, w->log, segs, 8, &n);
  (void)log_barrier(w->l, NULL, NULL);
  log_roll(w->l);
  put_named(w, "cursor", "after", "the roll");
  settle(w);
  (void)log_drop_before(w->l, 1, &dropped);
}
static void dropped(world *w) {
  ready(w);
  for (int i = 0; i < 4; i++) {
    put_named(w, "cursor", "k", i % 2 ? "v" : "w");
    settle(w);
    log_roll(w->l);
  }
  cod_w m = out();
  assert_int_equal(rec_put_expire(&m, 3, NULL, 0), HDW_OK);
  send(w, REC_EXPIRE, &m, "");
  more(w);
  uint64_t n = 0;
  arm(w);
  (void)log_drop_before(w->l, 3, &n);
}

static const scenario scenarios[] = {
#define X(n) {#n, n},
    X(folded_first) X(folded_second) X(folded_in_memory) X(map_grows) X(opened_new) X(opened_again) X(caught_up) X(damaged_state) X(rebuilt) X(compacted_state) X(read_only) X(torn) X(asked) X(retained)
    X(read_back) X(dropped)
#undef X
};

/* ---- passes ---------------------------------------------------------------------------------------------------------------------------------------- */

static long pass(const scenario *s, long at, bool sticky, unsigned kind) {
  static world w;
  wrong[0] = 0;
  fail_now.name = NULL;
  fail_now.at = at, fail_now.sticky = sticky, fail_now.kind = kind;
  world_begin(&w);
  s->run(&w);
  disarm();
  long calls = fail_now.calls;
  verify(&w);
  world_end(&w);
  return calls;
}

typedef struct shared { long at, passes, wrong; unsigned way; } shared;
enum { WAYS = FAILING_KINDS + 1 /* the last: with all later ones */ };

static void child(const scenario *s, shared *sh, int fd, long stride, long from) {
  long total = pass(s, 0, false, 0);
  if (wrong[0]) printf("FAILED: %s, without any failure: %s\n", s->name, wrong), sh->wrong++;
  unsigned first = sh->way;
  for (long n = from; n <= total && n < FAILING_MAX; n += stride, first = 0)
    for (unsigned way = first; way < WAYS && fail_now.kinds[n]; way++) {
      bool sticky = way == FAILING_KINDS;
      if (!sticky && way >= fail_now.kinds[n]) continue;
      sh->at = n, sh->way = way;
      if (pwrite(fd, sh, sizeof *sh, 0) != sizeof *sh) _exit(3);
      (void)pass(s, n, sticky, sticky ? 0 : way);
      sh->passes++;
      if (!wrong[0]) continue;
      if (++sh->wrong <= 20) printf("FAILED: %s --at %ld:%d:%u (%s of %ld): %s\n", s->name, n, sticky, sticky ? 0 : way, fail_now.name ? fail_now.name : "?", total, wrong);
      fflush(stdout);
    }
  sh->at = total;
  if (pwrite(fd, sh, sizeof *sh, 0) != sizeof *sh) _exit(3);
}

static void all(const scenario *s, long stride, long offset, shared *sum_of) {
  FILE *f = tmpfile();
  shared sh = {0};
  long from = 1 + offset % stride;
  for (int lives = 0; lives < 100; lives++) {
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      child(s, &sh, fileno(f), stride, from);
      exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || pread(fileno(f), &sh, sizeof sh, 0) != sizeof sh) exit(3);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
    sh.wrong++;
    printf("FAILED: %s --at %ld:%d:%u: ended with %s %d\n", s->name, sh.at, sh.way == FAILING_KINDS, sh.way % FAILING_KINDS, WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    from = sh.at;
    if (++sh.way == WAYS) from += stride, sh.way = 0;
  }
  fclose(f);
  printf("%-20s %6ld calls, %6ld passes, %ld wrong\n", s->name, sh.at, sh.passes, sh.wrong);
  sum_of->at += sh.at, sum_of->passes += sh.passes, sum_of->wrong += sh.wrong;
}

int main(int argc, char **argv) {
  long stride = 1, offset = 0;
  const char *only = NULL, *at = NULL;
  unsigned n = 0;
  umask(0077); /* as io_linux_new does */
  shared total = {0};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--stride")) stride = strtol(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--offset")) offset = strtol(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--scenario")) only = argv[i + 1];
    else if (!strcmp(argv[i], "--at")) at = argv[i + 1];
    else if (!strcmp(argv[i], "--ways")) fail_now.sites = !strcmp(argv[i + 1], "first");
  }
  if (stride < 1) return 2;
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
    const scenario *s = &scenarios[i];
    if (only && strcmp(only, s->name) != 0) continue;
    n++;
    if (!at) {
      all(s, stride, offset, &total);
      continue;
    }
    const char *sticky = strchr(at, ':'), *kind = sticky ? strchr(sticky + 1, ':') : NULL;
    (void)pass(s, 0, false, 0);
    (void)pass(s, strtol(at, NULL, 10), sticky && sticky[1] == '1', kind ? (unsigned)strtoul(kind + 1, NULL, 10) : 0);
    printf("%s: %s: %s\n", s->name, fail_now.name ? fail_now.name : "nothing failed", wrong[0] ? wrong : "nothing wrong");
    total.wrong += wrong[0] != 0;
  }
  printf("failing: %u scenarios, %ld calls, %ld passes, %ld violations\n", n, total.at, total.passes, total.wrong);
  return total.wrong || (!total.passes && !at) ? 1 : 0;
}
