/* log_rig.h - segments made by hand, a place for them on the simulated seam, and one that retention rewrote. */
#ifndef HDW_LOG_RIG_H
#define HDW_LOG_RIG_H
#include "support.h"
#include "io_sim.h"
#include "log_int.h"
#include <stdio.h>
#include <stdlib.h>

#define DIR "/log"
#define SEG1 DIR "/00000000000000000001.seg"

/* ---- segments made by hand ---- */

typedef struct made {
  log_head h;
  uint8_t b[1 << 16];
  size_t len, at[32];
  unsigned n;
} made;

static inline void made_begin(made *m, uint64_t first) {
  memset(m, 0, sizeof *m);
  m->h = (log_head){.first_seq = first, .size_bytes = sizeof m->b, .created_us = 5};
  memset(m->h.salt, 7, sizeof m->h.salt);
  log_head_put(&m->h, m->b);
  m->len = LOG_HEADER;
}

static inline void made_seal(made *m, size_t at, size_t size, uint32_t seed_off) { log_rec_seal(m->b + at, size, log_crc_seed(m->h.salt, seed_off), false); }

static inline void made_add(made *m, uint64_t seq, uint16_t flags, const void *body, size_t len) {
  log_rec r = {.type = 1, .version = 1, .flags = flags | LOG_F_FIRST, .seq = seq, .time_us = 6, .meta = (const uint8_t *)"m", .meta_len = 1, .body = (const uint8_t *)body, .body_len = (uint32_t)len};
  size_t size = (size_t)log_rec_size(1, len);
  log_rec_put(&r, m->b + m->len);
  made_seal(m, m->len, size, (uint32_t)m->len);
  m->at[m->n++] = m->len;
  m->len += size;
}

/* A segment with record 1. */
static inline void made_one(made *m) {
  made_begin(m, 1);
  made_add(m, 1, 0, "x", 1);
}

static inline void put32(uint8_t *p, uint32_t v) {
  cod_w w = cod_writer(p, 4);
  cod_put_u32(&w, v);
}
static inline void put64(uint8_t *p, uint64_t v) {
  cod_w w = cod_writer(p, 8);
  cod_put_u64(&w, v);
}

/* A header that was changed, with the CRC that fits. */
static inline void head_seal(uint8_t *b) { put32(b + LOG_HEADER - 4, cod_crc32c(0, b, LOG_HEADER - 4)); }

/* ---- a place for them ---- */

typedef struct world {
  test_mem t;
  io *x;
  uint64_t acked;
} world;

static inline void begin(world *w) {
  memset(w, 0, sizeof *w);
  test_mem_init(&w->t);
  io_sim_opts o = {.seed = 3};
  assert_int_equal(io_sim_new(&w->t.m, &o, &w->x), HDW_OK);
  assert_int_equal(io_mkdir(w->x, DIR), HDW_OK);
}

static inline void end(world *w) {
  io_sim_free(w->x);
  assert_int_equal(w->t.live_bytes, 0);
}

static inline void place(io *x, const char *path, const uint8_t *p, size_t len) {
  int fd;
  assert_int_equal(io_open(x, path, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd), HDW_OK);
  assert_int_equal(io_pwrite(x, fd, p, len, 0), HDW_OK);
  io_fclose(x, fd);
}

static inline void place_seg(io *x, const made *m) {
  char path[LOG_PATH];
  assert_int_equal(log_seg_path(DIR, m->h.first_seq, path), HDW_OK);
  place(x, path, m->b, m->len);
}

static inline void load(io *x, const char *path, made *m) {
  int fd;
  assert_int_equal(io_open(x, path, IO_O_READ, &fd), HDW_OK);
  assert_int_equal(io_pread(x, fd, m->b, sizeof m->b, 0, &m->len), HDW_OK);
  assert_int_equal(log_head_get(m->b, &m->h), HDW_OK);
  io_fclose(x, fd);
}

static inline hdw_status open_log(io *x, uint64_t segment_bytes, log_open_info *info, hlog **l) {
  log_opts o = {.dir = DIR, .segment_bytes = segment_bytes, .low_water_bytes = 1};
  return log_open(x, &o, info, l);
}

static inline void on_done(hdw_status s, const log_rec *rec, void *user) {
  assert_int_equal(s, HDW_OK);
  if (rec) ((world *)user)->acked = rec->seq;
}

static inline uint64_t append(world *w, hlog *l, const void *body, size_t len) {
  log_rec r = {.type = 1, .version = 1, .body = (const uint8_t *)body, .body_len = (uint32_t)len};
  assert_int_equal(log_append(l, &r, on_done, w), HDW_OK);
  return r.seq;
}

/* Reads to the end or to damage; how many records came, the last answer and where it was. */
static inline uint64_t read_all(io *x, hdw_status *s, log_rec *at) {
  log_iter *it;
  uint64_t n = 0;
  *s = log_iter_open(x, DIR, 0, &it);
  if (*s) return 0;
  while (!(*s = log_iter_next(it, at))) n += at->type != LOG_T_CLOSE;
  log_iter_close(it);
  return n;
}

/* The same: so many records, and this at the end of them; what was there. */
static inline log_rec expect_read(io *x, uint64_t n, hdw_status end) {
  log_rec at;
  hdw_status s;
  memset(&at, 0, sizeof at);
  uint64_t got = read_all(x, &s, &at);
  if (got != n || s != end) fail_msg("%llu records, then %s", (unsigned long long)got, hdw_status_text(s));
  return at;
}

/* ---- segments rewritten by retention ---- */

static inline log_verdict judge(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)user;
  *klass = rec->seq % 4;
  *pinned = rec->seq % 5 == 0;
  return rec->seq % 3 == 0 ? LOG_V_DROP : rec->seq % 3 == 1 ? LOG_V_KEEP : LOG_V_BARE;
}

static inline hdw_status compact(io *x, const char *dir, uint64_t seg, log_judge how) {
  log_compaction *c;
  log_compact_info as = {.as_of = 99, .at_us = 7}, got;
  uint64_t size;
  bool done = false;
  hdw_status s = log_compact_begin(x, dir, seg, &as, &c);
  if (s) return s;
  while (!s && !done) s = log_compact_step(c, how, NULL, 3, &done);
  if (!s) s = log_compact_commit(c, &got, &size);
  log_compact_end(c);
  return s;
}

/* A log of two segments, the first of them with 9 records and rewritten. */
static inline void two_segments(world *w) {
  log_open_info info;
  hlog *l;
  uint8_t body[100];
  memset(body, 'b', sizeof body);
  assert_int_equal(open_log(w->x, 1 << 16, &info, &l), HDW_OK);
  for (int i = 0; i < 9; i++) append(w, l, body, sizeof body);
  assert_int_equal(io_run(w->x), HDW_OK);
  log_roll(l);
  append(w, l, body, sizeof body);
  assert_int_equal(io_run(w->x), HDW_OK);
  log_close(l);
  assert_int_equal(compact(w->x, DIR, 1, judge), HDW_OK);
}

/* The same in a new world, and the bytes of the rewritten segment. */
static inline void rewritten(world *w, made *m) {
  begin(w);
  two_segments(w);
  load(w->x, SEG1, m);
}

#endif
