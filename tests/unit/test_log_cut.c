/* Power cuts while retention writes segments anew and drops them, at every write, sync, rename and unlink of a small log, with every kind of what the disk kept:
 * afterwards each segment is there as it was or as it was to be, everything needed reads, and the same work done again succeeds. */
#include "support.h"
#include "io_sim.h"
#include "log.h"
#include <stdio.h>
#include <string.h>

#define DIR "/log"
enum { RECORDS = 60, SEGMENT = 2048, SEEDS = 12 };

typedef struct world {
  test_mem t;
  io *x;
  hlog *l;
  uint64_t acked;
} world;

static void on_done(hdw_status s, const log_rec *rec, void *user) {
  if (!s && rec) ((world *)user)->acked = rec->seq;
}

static hdw_status open_log(world *w, uint64_t synced) {
  log_opts o = {.dir = DIR, .segment_bytes = SEGMENT, .low_water_bytes = 1, .synced_seq = synced};
  log_open_info info;
  return log_open(w->x, &o, &info, &w->l);
}

static size_t body_of(uint64_t i, uint8_t b[120]) {
  size_t n = 20 + i * 7 % 100;
  for (size_t k = 0; k < n; k++) b[k] = (uint8_t)(i + k);
  return n;
}

static void begin(world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  test_mem_init(&w->t);
  io_sim_opts o = {.seed = seed};
  assert_int_equal(io_sim_new(&w->t.m, &o, &w->x), HDW_OK);
  assert_int_equal(io_mkdir(w->x, DIR), HDW_OK);
  assert_int_equal(io_sync_dir(w->x, ""), HDW_OK);
  assert_int_equal(open_log(w, 0), HDW_OK);
  for (uint64_t i = 1; i <= RECORDS; i++) {
    uint8_t b[120];
    log_rec r = {.type = 1, .version = 1, .meta = (const uint8_t *)"meta", .meta_len = 4, .body = b, .body_len = (uint32_t)body_of(i, b)};
    assert_int_equal(log_append(w->l, &r, on_done, w), HDW_OK);
    if (i % 3 == 0) assert_int_equal(io_run(w->x), HDW_OK);
  }
  assert_int_equal(io_run(w->x), HDW_OK);
  assert_int_equal(w->acked, RECORDS);
}

static void end(world *w) {
  if (w->l) log_close(w->l);
  io_sim_free(w->x);
  assert_int_equal(w->t.live_bytes, 0);
}

/* A third goes, a third loses its body. */
static log_verdict judge(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)pinned, (void)user;
  *klass = 2;
  return rec->type == LOG_T_CLOSE || rec->seq % 3 == 0 ? LOG_V_DROP : rec->seq % 3 == 1 ? LOG_V_BARE : LOG_V_KEEP;
}
static log_verdict none(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)rec, (void)pinned, (void)klass, (void)user;
  return LOG_V_DROP;
}

static hdw_status compact(world *w, uint64_t seg, log_judge j) {
  log_compaction *c;
  log_compact_info as = {.as_of = RECORDS, .at_us = 1}, info;
  uint64_t size;
  bool done = false;
  hdw_status s = log_compact_begin(w->x, DIR, seg, &as, &c);
  if (s) return s;
  while (!s && !done) s = log_compact_step(c, j, NULL, 5, &done);
  if (!s) s = log_compact_commit(c, &info, &size);
  log_compact_end(c);
  return s;
}

/* The work under test: every closed segment; then those of the front, that hold nothing, are dropped. */
static hdw_status work(world *w, bool drop) {
  log_segment_info segs[64];
  size_t n;
  hdw_status s = log_segments(w->x, DIR, segs, 64, &n);
  for (size_t i = 0; !s && i + 1 < n; i++) s = compact(w, segs[i].first_seq, drop ? none : judge);
  if (!s && drop && n) s = log_drop_before(w->l, segs[n - 1].first_seq, NULL);
  return s;
}

/* Reads all; what is there is right, and what must be there is. */
static void check(world *w, const char *where, bool drop, bool finished) {
  log_iter *it;
  log_rec r;
  uint8_t b[120];
  bool seen[RECORDS + 1] = {false};
  hdw_status s = log_iter_open(w->x, DIR, 0, &it);
  assert_int_equal(s, HDW_OK);
  uint64_t last = 0;
  while (!(s = log_iter_next(it, &r))) {
    assert_true(r.seq > last);
    last = r.seq;
    if (r.type != 1) continue;
    assert_true(r.seq <= RECORDS);
    seen[r.seq] = true;
    if (r.flags & LOG_F_BARE) {
      assert_true(!drop && r.seq % 3 == 1);
      assert_int_equal(r.body_len, body_of(r.seq, b));
      continue;
    }
    assert_int_equal(r.body_len, body_of(r.seq, b));
    assert_memory_equal(r.body, b, r.body_len);
    assert_false(finished && !drop && r.seq % 3 == 0 && log_iter_compacted(it));
  }
  if (s != HDW_E_NOTFOUND) fail_msg("%s: segment %llu at %u, record %llu: %s", where, (unsigned long long)r.pos.seg, r.pos.off, (unsigned long long)r.seq, hdw_status_name(s));
  log_iter_close(it);
  if (!drop)
    for (uint64_t i = 1; i <= RECORDS; i++)
      if (!seen[i] && i % 3) fail_msg("%s: record %llu is gone", where, (unsigned long long)i);
  assert_true(seen[RECORDS]); /* of the last segment nothing goes */
}

/* A cut at the nth call of an operation. False: there are fewer. */
static bool cut_at(io_sim_op op, uint64_t nth, uint64_t seed, bool drop, unsigned *torn) {
  world w;
  begin(&w, seed);
  io_sim_fault(w.x, op, nth, HDW_E_IO, true); /* from here on nothing reaches the disk */
  hdw_status s = work(&w, drop);
  hlog *dead = w.l;
  w.l = NULL;
  static const io_sim_op all[] = {IO_SIM_SYNC, IO_SIM_PWRITE, IO_SIM_OPEN, IO_SIM_RENAME, IO_SIM_SYNC_DIR, IO_SIM_UNLINK};
  io_sim_power_cut(w.x);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) io_sim_fault(w.x, all[i], 1, HDW_E_IO, true);
  log_close(dead);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) io_sim_fault(w.x, all[i], 0, HDW_OK, false);
  char where[60];
  snprintf(where, sizeof where, "op %d, call %llu, seed %llu", op, (unsigned long long)nth, (unsigned long long)seed);
  check(&w, where, drop, false);
  *torn += s != HDW_OK;
  hdw_status o = open_log(&w, RECORDS);
  if (o) fail_msg("op %d, call %llu, seed %llu: the log does not open: %s", op, (unsigned long long)nth, (unsigned long long)seed, hdw_status_name(o));
  check(&w, where, drop, false);
  o = work(&w, drop); /* after the cut the same work goes on */
  if (o) fail_msg("op %d, call %llu, seed %llu: again: %s", op, (unsigned long long)nth, (unsigned long long)seed, hdw_status_name(o));
  check(&w, where, drop, true);
  end(&w);
  return s != HDW_OK;
}

static void everywhere(bool drop) {
  static const io_sim_op ops[] = {IO_SIM_PWRITE, IO_SIM_SYNC, IO_SIM_RENAME, IO_SIM_SYNC_DIR, IO_SIM_OPEN, IO_SIM_UNLINK};
  unsigned torn = 0, points = 0, images = 0;
  for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
    for (uint64_t nth = 1;; nth++) {
      bool hit = false;
      for (uint64_t seed = 1; seed <= SEEDS; seed++, images++) hit |= cut_at(ops[o], nth, seed, drop, &torn);
      if (!hit) break;
      points++;
    }
  print_message("%u points, %u images, %u in the middle of the work\n", points, images, torn);
  assert_true(points > 20);
}

static void test_T2_cuts_at_every_point_of_a_compaction(void **state) {
  (void)state;
  everywhere(false);
}

static void test_T2_cuts_at_every_point_of_dropping_segments(void **state) {
  (void)state;
  everywhere(true);
}

/* ---- a call fails, the process starts again on what it left, goes on, and then the power goes --------------------------------------------------- */

/* What was acknowledged by either process is there. Some of the calls failed without effect, so what the second finds may not be on the disk yet: a name of
 * a segment whose directory was never synced, above all. It writes so little that no new segment syncs the directory by the way. */
static bool again_at(io_sim_op op, uint64_t nth, uint64_t seed) {
  world w = {0};
  test_mem_init(&w.t);
  io_sim_opts o = {.seed = seed};
  assert_int_equal(io_sim_new(&w.t.m, &o, &w.x), HDW_OK);
  io_sim_fault(w.x, op, nth, HDW_E_IO, true);
  uint64_t next = 1, first = 0;
  for (int process = 0; process < 2; process++) {
    hdw_status s = open_log(&w, w.acked);
    if (process) assert_int_equal(s, HDW_OK);
    if (process) assert_true(w.l != NULL);
    for (uint64_t end = next + (process ? seed : RECORDS); !s && next < end;) {
      uint8_t b[120];
      log_rec r = {.type = 1, .version = 1, .meta = (const uint8_t *)"meta", .meta_len = 4, .body = b, .body_len = (uint32_t)body_of(next, b)};
      s = log_append(w.l, &r, on_done, &w);
      if (!s && next++ % 3 == 0) assert_int_equal(io_run(w.x), HDW_OK);
    }
    assert_int_equal(io_run(w.x), HDW_OK);
    first = process ? first : w.acked;
    for (int i = 0; i < IO_SIM_OPS && w.l; i++) io_sim_fault(w.x, (io_sim_op)i, 1, HDW_E_IO, true); /* a process that is gone writes nothing at its end */
    if (process) io_sim_power_cut(w.x);
    log_close(w.l);
    w.l = NULL;
    for (int i = 0; i < IO_SIM_OPS; i++) io_sim_fault(w.x, (io_sim_op)i, 0, HDW_OK, false);
    next = w.acked + 1;
  }
  hdw_status s = open_log(&w, w.acked);
  if (s) fail_msg("op %d, call %llu, seed %llu: records to %llu were acknowledged, the log does not open: %s", op, (unsigned long long)nth, (unsigned long long)seed, (unsigned long long)w.acked, hdw_status_name(s));
  bool hit = first < RECORDS;
  end(&w);
  return hit;
}

static void test_T2_a_cut_after_a_failure_and_another_start(void **state) {
  (void)state;
  static const io_sim_op ops[] = {IO_SIM_MKDIR, IO_SIM_OPEN, IO_SIM_ALLOC, IO_SIM_PWRITE, IO_SIM_SYNC, IO_SIM_RENAME, IO_SIM_SYNC_DIR};
  unsigned points = 0;
  for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
    for (uint64_t nth = 1;; nth++, points++) {
      bool hit = false;
      for (uint64_t seed = 1; seed <= SEEDS; seed++) hit |= again_at(ops[o], nth, seed);
      if (!hit) break;
    }
  assert_true(points > 40);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_T2_cuts_at_every_point_of_a_compaction),
      cmocka_unit_test(test_T2_cuts_at_every_point_of_dropping_segments),
      cmocka_unit_test(test_T2_a_cut_after_a_failure_and_another_start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
