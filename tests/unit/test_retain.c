/* Retention: what is over goes, what is needed stays, and what is left of the log gives the same state. */
#include "store_rig.h"

typedef struct filter {
  world *w;
  store_horizon h;
} filter;

static log_verdict judge(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  filter *f = (filter *)user;
  (void)klass;
  switch (store_keeps(f->w->s, rec, &f->h, pinned)) {
  case STORE_DROP: return LOG_V_DROP;
  case STORE_BARE: return LOG_V_BARE;
  default: return LOG_V_KEEP;
  }
}

static uint64_t expire(world *w, uint8_t subject, int64_t until) {
  rec_expired items[50];
  uint64_t after = 0, sum = 0;
  do {
    uint32_t n = 0;
    assert_int_equal(store_find_expired(w->s, 0, subject, after, until, 40, items, 50, &n, &after), HDW_OK);
    cod_w m = out();
    assert_int_equal(rec_put_expire(&m, 0, items, n), HDW_OK);
    if (n) send(w, REC_EXPIRE, &m, "");
    settle(w);
    sum += n;
  } while (after);
  return sum;
}

/* The trail's oldest records go, by checkpoints as the engine makes them. */
static uint64_t expire_audit(world *w, int64_t until) {
  uint8_t hash[REC_HASH];
  uint64_t last = 0, to = 0;
  for (;;) {
    assert_int_equal(store_audit_over(w->s, until, 20, &to, hash), HDW_OK);
    if (!to) return last;
    assert_true(to > last && to <= w->audit);
    last = to;
    put_audit(w, "checkpoint", to, hash);
    settle(w);
  }
}

static hdw_status compact_one(world *w, filter *f, uint64_t seg, log_compact_info *info, uint64_t *size) {
  log_compaction *c;
  bool done = false;
  log_compact_info as = {.as_of = store_applied(w->s), .at_us = io_wall_us(w->x)};
  hdw_status s = log_compact_begin(w->x, w->log, seg, &as, &c);
  if (s) return s;
  while (!s && !done) s = log_compact_step(c, judge, f, 17, &done);
  if (!s) s = log_compact_commit(c, info, size);
  log_compact_end(c);
  log_forget(w->l, seg);
  return s;
}

static uint64_t log_bytes(world *w, size_t *n) {
  log_segment_info segs[256];
  uint64_t sum = 0;
  assert_int_equal(log_segments(w->x, w->log, segs, 256, n), HDW_OK);
  for (size_t i = 0; i < *n; i++) sum += segs[i].size_bytes;
  return sum;
}

/* All closed segments, oldest first. Empty ones at the front are dropped, after a record that says so. */
static void compact_all(world *w, const store_horizon *h) {
  log_segment_info segs[256];
  size_t n = 0;
  filter f = {w, *h};
  f.h.floor = UINT64_MAX;
  assert_int_equal(store_flush(w->s), HDW_OK);
  assert_int_equal(log_segments(w->x, w->log, segs, 256, &n), HDW_OK);
  uint64_t first = 0;
  bool front = true;
  for (size_t i = 0; i + 1 < n; i++) {
    log_compact_info info;
    uint64_t size;
    assert_int_equal(compact_one(w, &f, segs[i].first_seq, &info, &size), HDW_OK);
    if (info.as_of < f.h.floor) f.h.floor = info.as_of;
    front = front && info.entries == 0;
    if (front) first = segs[i + 1].first_seq;
  }
  if (!first) return;
  cod_w m = out();
  assert_int_equal(rec_put_expire(&m, first, NULL, 0), HDW_OK);
  send(w, REC_EXPIRE, &m, "");
  settle(w);
  assert_int_equal(store_flush(w->s), HDW_OK);
  assert_int_equal(log_drop_before(w->l, first, NULL), HDW_OK);
  assert_int_equal(store_first(w->s), first);
}

static void rebuilt_is_equal(world *w) {
  uint8_t h1[32], h2[32];
  hash(w, h1);
  assert_int_equal(store_rebuild(w->s, &w->info), HDW_OK);
  assert_int_equal(w->info.skipped, 0);
  assert_int_equal(store_check(w->s), HDW_OK);
  hash(w, h2);
  assert_memory_equal(h1, h2, 32);
}

/* What waits and has its bytes (a drawn history may wake what was over long ago, and has none). */
typedef struct waiting {
  world *w;
  uint64_t id[4000];
  unsigned n;
} waiting;
static bool body_there(world *w, uint64_t id) {
  store_delivery d;
  log_rec rec;
  arena a;
  arena_init(&a, &w->t.m, 0);
  assert_int_equal(store_get_delivery(w->s, 0, id, &a, &d), HDW_OK);
  bool there = !d.body_len || !log_read(w->l, d.pos, &a, &rec);
  if (there && d.body_len) assert_true(rec.seq == id && rec.body_len == d.body_len);
  arena_free(&a);
  return there;
}
static bool note_waiting(uint16_t part, uint64_t id, uint8_t state, void *user) {
  waiting *x = (waiting *)user;
  (void)part, (void)state;
  if (x->n < 4000 && body_there(x->w, id)) x->id[x->n++] = id;
  return true;
}
static void find_waiting(world *w, waiting *x) {
  x->w = w, x->n = 0;
  assert_int_equal(store_list_dead(w->s, 0, SUBJECT_DELIVERY, 0, 0, note_waiting, x), HDW_OK);
  assert_int_equal(store_list_queue(w->s, 0, cod_cstr("s1"), NULL, 0, 0, note_waiting, x), HDW_OK);
}

static void test_rebuild_after_retention_gives_equal_state(void **state) {
  (void)state;
  for (unsigned seed = 1; seed <= 6; seed++) {
    world w;
    begin(&w);
    w.commit_records = 100;
    open_all(&w);
    for (unsigned round = 0; round < 4; round++) {
      int64_t t = io_wall_us(w.x);
      live(&w, seed * 10 + round, 700);
      int64_t now = io_wall_us(w.x), until = t + (now - t) * (int64_t)(seed % 3) / 2;
      store_horizon h = {.inputs_us = until, .values_us = now, .answers_us = until, .runs_us = until, .audit_us = round == 3 ? now : 1};
      uint64_t gone = expire(&w, SUBJECT_DELIVERY, until) + expire(&w, SUBJECT_INPUT, until) + expire(&w, SUBJECT_RUN, until);
      if (round & 1) (void)expire_audit(&w, h.audit_us = until);
      assert_true(gone > 0 || seed % 3 == 0);
      rebuilt_is_equal(&w);
      log_roll(w.l);
      live(&w, seed + 77, 20);
      static waiting x;
      find_waiting(&w, &x);
      assert_true(x.n > 5);
      compact_all(&w, &h);
      rebuilt_is_equal(&w);
      for (unsigned i = 0; i < x.n; i++) assert_true(body_there(&w, x.id[i]));
      uint8_t h1[32], h2[32];
      hash(&w, h1);
      close_all(&w);
      open_all(&w);
      assert_false(w.info.rebuilt);
      assert_int_equal(w.info.skipped, 0);
      close_all(&w);
      assert_int_equal(unlink(w.mdb), 0);
      open_all(&w);
      hash(&w, h2);
      assert_int_equal(w.info.skipped, 0);
    }
    end(&w);
  }
}

/* Nothing was needed any more: the files go, and their bytes. */
static void test_everything_over_frees_everything(void **state) {
  (void)state;
  world w;
  size_t n = 0;
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 800; i++) {
    char c[32], body[600];
    snprintf(c, sizeof c, "C%u", i);
    memset(body, 'x', sizeof body - 1);
    body[599] = 0;
    uint64_t in = put_input(&w, c, body, INPUT_ACCEPTED, 1, c), run = rec_run_id(in, 0);
    put_effect(&w, REC_INTENT, run, "1", EFFECT_INTENT, body);
    put_effect(&w, REC_RESULT, run, "1", EFFECT_DONE, body);
    uint64_t d = put_delivery(&w, run, "s1", c, body);
    put_end(&w, run, RUN_DONE, body);
    put_delivered(&w, d, DELIVERY_DELIVERED, 0);
    if (i % 16 == 0) settle(&w);
  }
  settle(&w);
  uint64_t before = log_bytes(&w, &n);
  int64_t now = io_wall_us(w.x) + 1;
  assert_true(n > 10);
  /* First only the values: inputs' bytes are still there. */
  store_horizon h = {.values_us = now, .answers_us = now};
  log_roll(w.l);
  put_named(&w, "cursor", "poll", "42");
  settle(&w);
  compact_all(&w, &h);
  uint64_t after = log_bytes(&w, &n);
  print_message("values out: %llu -> %llu bytes\n", (unsigned long long)before, (unsigned long long)after);
  assert_true(after < before * 2 / 3);
  rebuilt_is_equal(&w);
  ids l = {.n = 0};
  store_input in;
  log_rec rec;
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_TIME, cod_cstr(""), 0, false, 5, take, &l), HDW_OK);
  assert_int_equal(store_get_input(w.s, 0, l.id[3], &w.a, &in), HDW_OK);
  assert_int_equal(log_read(w.l, in.pos, &w.a, &rec), HDW_OK);
  assert_int_equal(rec.body_len, 599);
  assert_memory_equal(rec.body, "xxxx", 4);
  store_run r;
  assert_int_equal(store_get_run(w.s, 0, rec_run_id(l.id[3], 0), &w.a, &r), HDW_OK);
  assert_int_equal(log_read(w.l, r.result_pos, &w.a, &rec), HDW_E_NOTFOUND);
  assert_true((rec.flags & LOG_F_BARE) && rec.body_len == 599);
  /* Then the inputs' bytes. */
  h.inputs_us = now;
  compact_all(&w, &h);
  assert_int_equal(log_read(w.l, in.pos, &w.a, &rec), HDW_E_NOTFOUND);
  assert_true((rec.flags & LOG_F_BARE) && rec.body_len == 599);
  rebuilt_is_equal(&w);
  /* Then the rows. */
  assert_true(expire(&w, SUBJECT_DELIVERY, now) && expire(&w, SUBJECT_INPUT, now));
  store_counts c;
  store_get_counts(w.s, &c);
  assert_int_equal(c.inputs + c.runs + c.effects + c.deliveries, 0);
  h.runs_us = now;
  compact_all(&w, &h);
  after = log_bytes(&w, &n);
  print_message("all out: %llu bytes in %zu segments\n", (unsigned long long)after, n);
  assert_true(n <= 2);
  cod_str v;
  rebuilt_is_equal(&w);
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("poll"), &w.a, &v), HDW_OK);
  assert_str(v, "42");
  end(&w);
}

typedef struct trail {
  uint64_t first, last, n;
  bool rising;
} trail;
static bool note_audit(const rec_audit *r, cod_str bytes, void *user) {
  trail *t = (trail *)user;
  (void)bytes;
  if (!t->n++) t->first = r->number, t->rising = true;
  else t->rising &= r->number == t->last + 1;
  t->last = r->number;
  return true;
}
static trail read_trail(world *w) {
  trail t = {.n = 0};
  assert_int_equal(store_list_audit(w->s, 0, false, &w->a, note_audit, &t), HDW_OK);
  return t;
}

/* The audit trail has a class of its own: its records go from the state, then from the log, and what is left folds to the same. */
static void test_audit_records_expire_and_a_rebuild_agrees(void **state) {
  (void)state;
  world w;
  size_t n = 0;
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 3000; i++) {
    put_audit(&w, "call", 0, NULL);
    if (i % 16 == 0) settle(&w);
  }
  put_deploy(&w, 1, "admit", "bytes of the first module");
  put_deploy(&w, 2, "admit", "bytes of the second");
  put_deploy(&w, 1, "admit", "");
  put_deploy(&w, 3, "admit", "bytes of the third");
  settle(&w);
  int64_t half = io_wall_us(w.x);
  io_sim_advance(w.x, 1000000);
  for (unsigned i = 0; i < 500; i++) put_audit(&w, "call", 0, NULL), settle(&w);
  uint64_t before = log_bytes(&w, &n);
  /* The other classes are over: nothing of the trail goes with them. */
  store_horizon h = {.inputs_us = half, .values_us = half, .answers_us = half, .runs_us = half};
  log_roll(w.l);
  put_audit(&w, "call", 0, NULL);
  settle(&w);
  compact_all(&w, &h);
  assert_int_equal(read_trail(&w).n, 3501);
  rebuilt_is_equal(&w);
  assert_int_equal(expire_audit(&w, half), 3000);
  trail t = read_trail(&w);
  assert_int_equal(t.first, 3001);
  assert_true(t.rising && t.n == t.last - 3000);
  rebuilt_is_equal(&w); /* the records are still in the log, and folded away by the checkpoint */
  h.audit_us = half;
  log_roll(w.l);
  put_audit(&w, "call", 0, NULL);
  settle(&w);
  compact_all(&w, &h);
  assert_true(log_bytes(&w, &n) < before / 2);
  rebuilt_is_equal(&w);
  close_all(&w);
  assert_int_equal(unlink(w.mdb), 0);
  open_all(&w);
  t = read_trail(&w);
  assert_true(t.first == 3001 && t.rising);
  /* The history of deployments stays, and the modules that are current or were deployed by bytes once. */
  store_deploy d;
  log_rec rec;
  assert_int_equal(store_get_deploy(w.s, NULL, cod_cstr("admit"), &w.a, &d), HDW_OK);
  assert_int_equal(log_read(w.l, d.pos, &w.a, &rec), HDW_OK);
  assert_int_equal(rec.body_len, strlen("bytes of the third"));
  end(&w);
}

/* A state from before the retention (a copy that somebody put back) may hold what records that are gone took away: it is made anew. */
static void test_older_state_is_made_again(void **state) {
  (void)state;
  world w;
  uint8_t h1[32], h2[32];
  char old[96];
  begin(&w);
  open_all(&w);
  live(&w, 5, 600);
  close_all(&w);
  snprintf(old, sizeof old, "%s.old", w.mdb);
  copy_file(w.mdb, old);
  open_all(&w);
  live(&w, 6, 600);
  int64_t now = io_wall_us(w.x);
  store_horizon h = {.inputs_us = now, .values_us = now, .answers_us = now, .runs_us = now, .audit_us = now};
  (void)(expire(&w, SUBJECT_DELIVERY, now) + expire(&w, SUBJECT_INPUT, now) + expire(&w, SUBJECT_RUN, now));
  log_roll(w.l);
  live(&w, 7, 5);
  compact_all(&w, &h);
  close_all(&w);
  open_all(&w);
  hash(&w, h1);
  close_all(&w);
  copy_file(old, w.mdb);
  open_all(&w);
  assert_true(w.info.rebuilt && w.info.behind);
  hash(&w, h2);
  close_all(&w);
  open_all(&w);
  rebuilt_is_equal(&w);
  end(&w);
}

/* The file is exchanged as a whole: whatever fails, the folder reads. */
static void test_every_failure_leaves_a_log_that_reads(void **state) {
  (void)state;
  static const io_sim_op ops[] = {IO_SIM_OPEN, IO_SIM_PREAD, IO_SIM_PWRITE, IO_SIM_SYNC, IO_SIM_RENAME, IO_SIM_SYNC_DIR};
  for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
    for (uint64_t nth = 1; nth <= 6; nth++) {
      world w;
      log_compact_info info;
      uint64_t size;
      begin(&w);
      open_all(&w);
      live(&w, 9, 500);
      assert_int_equal(store_flush(w.s), HDW_OK);
      int64_t now = io_wall_us(w.x);
      filter f = {&w, {.inputs_us = now, .values_us = now, .answers_us = now, .runs_us = now, .audit_us = now}};
      io_sim_fault(w.x, ops[o], nth, nth % 2 ? HDW_E_IO : HDW_E_FULL, false);
      (void)compact_one(&w, &f, 1, &info, &size);
      io_sim_fault(w.x, ops[o], 0, HDW_OK, false);
      rebuilt_is_equal(&w);
      close_all(&w);
      open_all(&w);
      assert_int_equal(w.info.skipped, 0);
      end(&w);
    }
}

/* A flipped byte in a compacted segment is noticed, wherever it is. */
static void test_flipped_bytes_in_a_compacted_segment_are_noticed(void **state) {
  (void)state;
  world w;
  log_compact_info info;
  uint64_t size = 0;
  char path[120];
  begin(&w);
  open_all(&w);
  live(&w, 12, 400);
  assert_int_equal(store_flush(w.s), HDW_OK);
  int64_t now = io_wall_us(w.x);
  filter f = {&w, {.values_us = now, .answers_us = now}};
  assert_int_equal(compact_one(&w, &f, 1, &info, &size), HDW_OK);
  snprintf(path, sizeof path, "%s/00000000000000000001.seg", w.log);
  int fd = open(path, O_RDWR);
  assert_true(fd >= 0);
  uint64_t records = 0;
  for (uint64_t at = 0; at < size; at += 1 + size / 700) {
    uint8_t b, c;
    log_iter *it;
    log_rec rec;
    assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
    c = b ^ 0x10;
    assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
    hdw_status s = log_iter_open(w.x, w.log, 0, &it);
    if (!s) {
      uint64_t n = 0;
      while (!(s = log_iter_next(it, &rec)) && rec.pos.seg == 1) n++;
      if (s != HDW_E_CORRUPT) { /* padding, or the table of places, which is checked by the record that is found */
        if (!records) records = n;
        assert_int_equal(n, records);
      }
      log_iter_close(it);
    }
    assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
  }
  close(fd);
  end(&w);
}

static log_verdict first_ones(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)pinned, (void)klass;
  return rec->seq <= *(uint64_t *)user ? LOG_V_KEEP : LOG_V_DROP;
}

/* A standby that has got only what is left of the first segment, of which the last records were taken: its state stands behind them, where the next segment begins. */
static void test_state_goes_on_behind_records_that_were_taken_at_the_end(void **state) {
  (void)state;
  world w;
  log_segment_info segs[256];
  log_compact_info info;
  log_compaction *c;
  uint64_t size, keep = 3;
  size_t n;
  char cmd[300];
  bool done = false;
  begin(&w);
  open_all(&w);
  live(&w, 9, 500);
  assert_int_equal(store_flush(w.s), HDW_OK);
  assert_int_equal(log_segments(w.x, w.log, segs, 256, &n), HDW_OK);
  assert_true(n > 1 && segs[1].first_seq > 10);
  log_compact_info as = {.as_of = store_applied(w.s), .at_us = io_wall_us(w.x)};
  assert_int_equal(log_compact_begin(w.x, w.log, 1, &as, &c), HDW_OK);
  while (!done) assert_int_equal(log_compact_step(c, first_ones, &keep, 17, &done), HDW_OK);
  assert_int_equal(log_compact_commit(c, &info, &size), HDW_OK);
  log_compact_end(c);
  close_all(&w);
  snprintf(cmd, sizeof cmd, "cd %s && mkdir keep && mv log/00000000000000000001.seg keep && rm -f log/*.seg state.* && mv keep/*.seg log", w.dir);
  assert_int_equal(system(cmd), 0);
  assert_int_equal(open_state(&w), HDW_OK);
  assert_int_equal(w.info.caught_up, keep);
  assert_int_equal(store_applied(w.s), segs[1].first_seq - 1);
  store_close(w.s);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rebuild_after_retention_gives_equal_state),
      cmocka_unit_test(test_everything_over_frees_everything),
      cmocka_unit_test(test_audit_records_expire_and_a_rebuild_agrees),
      cmocka_unit_test(test_older_state_is_made_again),
      cmocka_unit_test(test_every_failure_leaves_a_log_that_reads),
      cmocka_unit_test(test_flipped_bytes_in_a_compacted_segment_are_noticed),
      cmocka_unit_test(test_state_goes_on_behind_records_that_were_taken_at_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
