/* The store when something fails half way: what was folded and did not get into the file comes again from the log, and no commit says more than the file has. */
#include <errno.h>
#include "store_rig.h"
#include "store_int.h"

/* ---- calls that do what the test says (tests/faults/store_recovers.cmake) ---- */

static int commit_fails;             /* with this number */
static bool all_remote;
static MDB_assert_func *asserted;
static MDB_env *asserted_env;

int __real_mdb_txn_commit(MDB_txn *t);
int __wrap_mdb_txn_commit(MDB_txn *t);
int __wrap_mdb_txn_commit(MDB_txn *t) {
  if (!commit_fails) return __real_mdb_txn_commit(t);
  mdb_txn_abort(t);
  return commit_fails;
}

int __real_mdb_env_set_assert(MDB_env *e, MDB_assert_func *fn);
int __wrap_mdb_env_set_assert(MDB_env *e, MDB_assert_func *fn);
int __wrap_mdb_env_set_assert(MDB_env *e, MDB_assert_func *fn) {
  asserted_env = e, asserted = fn;
  return __real_mdb_env_set_assert(e, fn);
}

hdw_status __real_io_file_space(const char *path, io_space_info *out);
hdw_status __wrap_io_file_space(const char *path, io_space_info *out);
hdw_status __wrap_io_file_space(const char *path, io_space_info *out) {
  hdw_status s = __real_io_file_space(path, out);
  out->remote |= all_remote;
  return s;
}

/* ---- opening ---- */

static hdw_status open_with(world *w, store_opts so, store **s) {
  so.dir = w->dir;
  return store_open(w->x, &so, &w->info, s);
}

/* The state with the record of the log's clean end. */
static void closed_hash(world *w, uint8_t h[32]) {
  close_all(w);
  assert_int_equal(open_state(w), HDW_OK);
  hash(w, h);
  w->seq = store_applied(w->s);
}
static void close_state(world *w) {
  store_close(w->s);
  w->s = NULL;
}

static void test_folders_that_cannot_hold_the_state(void **state) {
  (void)state;
  world w;
  store *s;
  char none[100], text[8];
  size_t len;
  begin(&w);
  snprintf(none, sizeof none, "%s/none/none", w.dir);
  assert_int_not_equal(open_with(&w, (store_opts){.lmdb_dir = none}, &s), HDW_OK); /* one folder is made, not those above it */
  assert_null(s);
  all_remote = true;
  assert_int_equal(open_with(&w, (store_opts){0}, &s), HDW_E_UNSUPPORTED);
  assert_null(s);
  all_remote = false;
  open_all(&w);
  assert_int_equal(store_meta_row(w.s, (uint8_t *)text, sizeof text, &len), HDW_E_LIMIT);
  end(&w);
}

/* A file that was allowed to be larger before is read all the same. */
static void test_a_file_larger_than_the_map_may_be_is_read(void **state) {
  (void)state;
  world w;
  uint8_t before[32], after[32];
  struct stat info;
  begin(&w);
  open_all(&w);
  live(&w, 8, 500);
  hash(&w, before);
  close_all(&w);
  assert_int_equal(stat(w.mdb, &info), 0);
  assert_true(info.st_size > 32 << 10);
  assert_int_equal(open_with(&w, (store_opts){.map_bytes = 16 << 10, .map_max_bytes = 32 << 10, .read_only = true}, &w.s), HDW_OK);
  hash(&w, after);
  assert_memory_equal(before, after, 32);
  assert_int_equal(store_check(w.s), HDW_OK);
  close_state(&w);
  end(&w);
}

/* LMDB is about to end the process because of what it found: the next one makes the state again. */
static void test_pages_that_the_database_finds_impossible_are_set_aside(void **state) {
  (void)state;
  world w;
  uint8_t before[32], after[32];
  begin(&w);
  open_all(&w);
  live(&w, 9, 100);
  closed_hash(&w, before);
  asserted(asserted_env, "a page of the wrong kind");
  close_state(&w);
  assert_int_equal(open_state(&w), HDW_OK);
  assert_true(w.info.rebuilt);
  hash(&w, after);
  assert_memory_equal(before, after, 32);
  close_state(&w);
  end(&w);
}

/* Retention dropped the log's beginning, and the state is older: made again, or the folder is as it was until there is memory. */
static void test_a_state_that_was_left_behind_and_no_memory(void **state) {
  (void)state;
  world w;
  char old[120];
  uint64_t dropped;
  log_stats st;
  cod_str v;
  unsigned refused = 0;
  begin(&w);
  snprintf(old, sizeof old, "%s/old.mdb", w.dir);
  open_all(&w);
  put_named(&w, "cursor", "k", "old");
  settle(&w);
  close_all(&w);
  copy_file(w.mdb, old);
  open_all(&w);
  for (int i = 0; i < 2; i++) {
    log_roll(w.l);
    put_named(&w, "cursor", "k", "new");
    settle(&w);
  }
  log_get_stats(w.l, &st);
  assert_int_equal(log_drop_before(w.l, st.synced_end.seg, &dropped), HDW_OK);
  close_all(&w);
  for (long at = 0;; at++) {
    copy_file(old, w.mdb);
    w.t.fail_after = at;
    hdw_status s = open_state(&w);
    bool all = w.t.fail_after >= 0; /* there was memory for everything */
    w.t.fail_after = -1;
    if (s) {
      assert_int_equal(s, HDW_E_NOMEM);
      refused++;
      continue;
    }
    assert_true(w.info.rebuilt && w.info.behind);
    assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("k"), &w.a, &v), HDW_OK);
    assert_str(v, "new");
    close_state(&w);
    if (all) break;
  }
  assert_true(refused > 3);
  end(&w);
}

static uint64_t number(const uint8_t *p, size_t bytes) {
  uint64_t v = 0;
  memcpy(&v, p, bytes);
  return v;
}

/* Rows of a page that changed their places, or took another's: the check finds it, whoever goes over them in order, and whoever looks for one. */
static void test_rows_out_of_order_are_found_by_the_check(void **state) {
  (void)state;
  enum { PAGE = 4096, ROWS = 12 };
  static const unsigned swaps[][2] = {{1, ROWS - 1}, {5, 6}, {1, 2}, {4, 4}}; /* the first is the head; the same: a row twice */
  for (size_t i = 0; i < sizeof swaps / sizeof *swaps; i++) {
    world w;
    uint8_t claims[2][152], leaf[PAGE];
    begin(&w);
    open_all(&w);
    for (unsigned n = 0; n + 1 < ROWS; n++) put_named(&w, "cursor", (char[]){(char)('a' + n), 0}, "v");
    settle(&w);
    close_all(&w);
    int fd = open(w.mdb, O_RDWR);
    for (unsigned p = 0; p < 2; p++) assert_int_equal(pread(fd, claims[p], sizeof *claims, (off_t)p * PAGE), sizeof *claims);
    const uint8_t *newer = claims[number(claims[1] + 144, 8) > number(claims[0] + 144, 8)];
    assert_int_equal(number(newer + 94, 2), 1); /* one page, of all rows */
    off_t at = (off_t)number(newer + 128, 8) * PAGE;
    assert_int_equal(pread(fd, leaf, PAGE, at), PAGE);
    assert_true(number(leaf + 12, 2) >= 16 + 2 * ROWS);
    unsigned a = swaps[i][0], b = swaps[i][1];
    uint8_t *x = leaf + 16 + 2 * a, *y = leaf + 16 + 2 * b, keep[2];
    if (a == b) memcpy(x, x + 2, 2);
    memcpy(keep, x, 2), memcpy(x, y, 2), memcpy(y, keep, 2);
    assert_int_equal(pwrite(fd, leaf, PAGE, at), PAGE);
    close(fd);
    assert_int_equal(open_with(&w, (store_opts){.read_only = true}, &w.s), HDW_OK);
    assert_int_equal(store_check(w.s), HDW_E_CORRUPT);
    close_state(&w);
    end(&w);
  }
}

static void test_an_empty_file_is_no_state_to_read(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  close_all(&w);
  assert_int_equal(truncate(w.mdb, 0), 0);
  assert_int_equal(open_with(&w, (store_opts){.read_only = true}, &w.s), HDW_E_NOTFOUND);
  assert_int_equal(open_state(&w), HDW_OK);
  assert_true(w.info.rebuilt);
  close_state(&w);
  end(&w);
}

/* ---- a log with more than one damage ---- */

static void numbers(world *w, unsigned from, unsigned to) {
  for (unsigned i = from; i <= to; i++) {
    char v[200];
    snprintf(v, sizeof v, "%0150u", i);
    put_named(w, "cursor", i % 2 ? "odd" : "even", v);
  }
  settle(w);
}

static void segment(const world *w, uint64_t seq, char path[140]) { snprintf(path, 140, "%s/%020llu.seg", w->log, (unsigned long long)seq); }

static void test_of_several_damages_the_first_is_told(void **state) {
  (void)state;
  world w;
  cod_str v;
  char path[140];
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 3; i++) {
    numbers(&w, 10 * i + 1, 10 * i + 10);
    if (i < 2) log_roll(w.l);
  }
  close_all(&w);
  for (unsigned i = 0; i < 2; i++) {
    segment(&w, 10 * i + 1, path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "damage", 6, 700), 6);
    close(fd);
  }
  assert_int_equal(unlink(w.mdb), 0);
  assert_int_equal(open_state(&w), HDW_OK);
  assert_int_equal(w.info.bad.seg, 1);
  assert_true(w.info.skipped > 10 && w.info.skipped < 20);
  assert_int_equal(w.info.applied_seq, w.seq + 1); /* and the log's clean end */
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("even"), &w.a, &v), HDW_OK);
  assert_int_equal(v.p[149], '0');
  close_state(&w);
  end(&w);
}

/* A segment that somebody put back has records that are in others, too: each counts once, and it is told. */
static void test_records_that_are_in_two_segments_count_once(void **state) {
  (void)state;
  world a, b;
  char from[140], to[140];
  uint8_t before[32], after[32];
  store_counts n, m;
  begin(&a);
  open_all(&a);
  numbers(&a, 1, 59);
  log_roll(a.l);
  numbers(&a, 60, 69);
  closed_hash(&a, before);
  store_get_counts(a.s, &n);
  close_state(&a);
  begin(&b);
  open_all(&b);
  numbers(&b, 1, 49);
  log_roll(b.l);
  numbers(&b, 50, 69);
  close_all(&b);
  segment(&b, 50, from), segment(&a, 50, to);
  copy_file(from, to);
  assert_int_equal(unlink(a.mdb), 0);
  assert_int_equal(open_state(&a), HDW_OK);
  assert_true(a.info.rebuilt);
  assert_int_equal(a.info.bad.seg, 50);
  assert_int_equal(a.info.skipped, 0);
  assert_int_equal(a.info.caught_up, a.seq);
  hash(&a, after);
  assert_memory_equal(before, after, 32);
  store_get_counts(a.s, &m);
  assert_memory_equal(&n, &m, sizeof n);
  close_state(&a);
  end(&a);
  end(&b);
}

/* ---- a commit that fails, and what does not know of one ---- */

static void test_a_commit_that_fails_loses_nothing(void **state) {
  (void)state;
  static const struct {
    int rc;
    hdw_status want;
  } t[] = {{EIO, HDW_E_IO}, {MDB_CORRUPTED, HDW_E_CORRUPT}, {ENOMEM, HDW_E_NOMEM}, {ENOSPC, HDW_E_FULL} /* the map has room: it is the disk */};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    world w;
    store *s;
    uint8_t before[32], after[32];
    begin(&w);
    w.commit_records = 1, w.map_bytes = 256 << 20;
    open_all(&w);
    /* While records come: there are more than may wait. */
    w.faulty = true;
    commit_fails = t[i].rc;
    for (unsigned k = 0; k < 9; k++) put_named(&w, "cursor", "k", k % 2 ? "v" : "w");
    settle(&w);
    assert_int_equal(w.s->failed, t[i].want);
    assert_int_equal(store_flush(w.s), t[i].want);
    close_all(&w);
    w.faulty = false, w.durable = 0;
    /* While the log is read: the last commit is waited for. */
    for (uint64_t until = 1; until < 9; until++) {
      commit_fails = t[i].rc;
      assert_int_equal(open_with(&w, (store_opts){.until = until, .commit_records = 1, .map_bytes = w.map_bytes}, &s), t[i].want);
      assert_null(s);
      commit_fails = 0;
      assert_int_equal(open_with(&w, (store_opts){.until = until}, &s), HDW_OK);
      assert_int_equal(store_applied(s), until);
      store_close(s);
    }
    open_all(&w);
    assert_true(w.info.applied_seq == w.seq && w.seq >= 9);
    hash(&w, before);
    assert_int_equal(store_rebuild(w.s, &w.info), HDW_OK);
    hash(&w, after);
    assert_memory_equal(before, after, 32);
    end(&w);
  }
}

/* It ends while the thread has changes. */
static void test_a_record_that_does_not_read_ends_the_store(void **state) {
  (void)state;
  world w;
  uint8_t before[32], after[32];
  cod_str v;
  begin(&w);
  w.commit_records = 1;
  open_all(&w);
  put_named(&w, "cursor", "k", "v");
  while (store_applied(w.s) < w.seq) assert_int_equal(io_sim_step(w.x, 1), 1);
  assert_true(w.s->handed);
  const log_rec bad = {.seq = w.seq + 1, .type = REC_INPUT, .version = REC_VERSION, .meta = (const uint8_t *)"?", .meta_len = 1};
  assert_int_equal(store_apply(w.s, &bad), HDW_E_CORRUPT);
  assert_true(w.s->handed);
  assert_int_equal(store_apply(w.s, &bad), HDW_E_CORRUPT);
  assert_int_equal(store_flush(w.s), HDW_E_CORRUPT);
  close_all(&w);
  open_all(&w);
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("k"), &w.a, &v), HDW_OK);
  hash(&w, before);
  assert_int_equal(store_rebuild(w.s, &w.info), HDW_OK);
  hash(&w, after);
  assert_memory_equal(before, after, 32);
  end(&w);
}

/* A record that fails half way, a commit under way and the next one wanted: the one ends, the other does not begin. */
static void test_half_of_a_record_is_never_committed(void **state) {
  (void)state;
  world w;
  uint8_t before[32], after[32];
  skey k;
  rec_input in = {.source = cod_cstr("adt_in"), .control_id = cod_cstr("C1"), .sequence_key = cod_cstr("LAB"), .sequence_next = 7, .verdict = {.state = INPUT_ACCEPTED}};
  begin(&w);
  w.commit_records = 1;
  open_all(&w);
  put_named(&w, "cursor", "k", "v");
  put_named(&w, "cursor", "l", "v");
  while (store_applied(w.s) < w.seq) assert_int_equal(io_sim_step(w.x, 1), 1);
  assert_true(w.s->handed && w.s->due);
  key_named(&k, cod_cstr("sequence"));
  cod_put_raw(&k.w, "LAB", 3);
  assert_int_equal(store_put(w.s, &k, "damage", 6), HDW_OK);
  cod_w m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_OK);
  const log_rec rec = {.seq = w.seq + 1, .type = REC_INPUT, .version = REC_VERSION, .meta = m.p, .meta_len = (uint32_t)m.len};
  assert_int_equal(store_apply(w.s, &rec), HDW_E_CORRUPT);
  settle(&w);
  assert_false(w.s->handed);
  assert_int_equal(store_committed(w.s), w.seq - 1);
  close_all(&w);
  assert_int_equal(open_state(&w), HDW_OK);
  hash(&w, before);
  assert_int_equal(store_rebuild(w.s, &w.info), HDW_OK);
  hash(&w, after);
  assert_memory_equal(before, after, 32);
  close_state(&w);
  end(&w);
}

static bool no_audit(const rec_audit *r, cod_str bytes, void *user) { return (void)r, (void)bytes, (void)user, true; }

/* Nobody is told that nothing is there. */
static void test_a_store_that_failed_says_so_to_whoever_reads(void **state) {
  (void)state;
  world w;
  skey k;
  cod_str v;
  uint64_t n;
  uint8_t h[REC_HASH];
  store_input in;
  begin(&w);
  open_all(&w);
  put_input(&w, "C1", "content", INPUT_ACCEPTED, 1, "lane");
  put_audit(&w, "call", 0, NULL);
  settle(&w);
  assert_int_equal(store_audit_over(w.s, 0, 9, &n, h), HDW_OK); /* all are kept */
  assert_int_equal(n, 0);
  assert_int_equal(store_flush(w.s), HDW_OK);
  w.s->failed = HDW_E_IO;
  key_id(&k, 0, T_INPUT, 1);
  assert_int_equal(store_get(w.s, &k, &v), HDW_E_IO);
  assert_int_equal(store_get_input(w.s, 0, 1, &w.a, &in), HDW_E_IO);
  assert_int_equal(store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr("C1"), 0, &w.a, &in), HDW_E_IO);
  assert_int_equal(store_audit_over(w.s, INT64_MAX, 9, &n, h), HDW_E_IO);
  assert_int_equal(store_audit_head(w.s, &n, h), HDW_E_IO);
  assert_int_equal(store_list_audit(w.s, 0, false, &w.a, no_audit, NULL), HDW_E_IO);
  assert_true(store_has_audit(w.s, 1));
  assert_int_equal(store_check(w.s), HDW_E_IO);
  assert_int_equal(store_hash(w.s, h), HDW_E_IO);
  w.s->failed = HDW_OK;
  assert_int_equal(store_get_input(w.s, 0, 1, &w.a, &in), HDW_OK);
  end(&w);
}

/* What the thread has is the thread's: nobody changes the map under it, or takes its commit for ended. */
static void test_nothing_is_done_twice_about_a_commit(void **state) {
  (void)state;
  world w;
  begin(&w);
  w.commit_records = 1;
  open_all(&w);
  uint64_t committed = store_committed(w.s);
  put_named(&w, "cursor", "k", "v");
  while (store_applied(w.s) < w.seq) assert_int_equal(io_sim_step(w.x, 1), 1);
  assert_true(w.s->handed);
  assert_int_equal(store_grow(w.s), HDW_E_INVALID);
  w.s->ended.fn(w.s->ended.user);
  assert_true(w.s->handed);
  assert_int_equal(store_committed(w.s), committed);
  assert_int_equal(store_flush(w.s), HDW_OK);
  w.s->ended.fn(w.s->ended.user);
  assert_int_equal(store_committed(w.s), w.seq);
  store_refresh(w.s);
  store_refresh(w.s);
  assert_int_equal(store_grow(w.s), HDW_OK);
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

/* ---- a standby ---- */

enum { BEFORE = 100 };

static const struct { io_sim_op op; hdw_status status; } faults[] = {{IO_SIM_OPEN, HDW_E_IO}, {IO_SIM_PREAD, HDW_E_IO}, {IO_SIM_OPS, HDW_E_NOMEM}};

/* The file says BEFORE; the nth call fails while the rest is folded. False: there was no such call. */
static bool fails_at(world *w, size_t fault, long nth, unsigned commit_records, bool try_again, const uint8_t want[32]) {
  store *s;
  store_info info;
  uint8_t h[32];
  (void)unlink(w->mdb);
  assert_int_equal(open_with(w, (store_opts){.until = BEFORE, .commit_records = commit_records}, &s), HDW_OK);
  assert_int_equal(store_committed(s), BEFORE);
  s->opts.until = 0;
  if (faults[fault].op == IO_SIM_OPS) w->t.fail_after = nth;
  else io_sim_fault(w->x, faults[fault].op, (uint64_t)nth + 1, faults[fault].status, false);
  hdw_status st = store_catch_up(s, &info);
  io_sim_fault(w->x, faults[fault].op == IO_SIM_OPS ? IO_SIM_OPEN : faults[fault].op, 0, HDW_OK, false);
  w->t.fail_after = -1;
  if (st) {
    assert_int_equal(st, faults[fault].status);
    assert_int_equal(info.applied_seq, store_applied(s));
    assert_int_equal(store_applied(s), store_committed(s)); /* no more than is in the file */
    if (!try_again) {
      store_close(s);
      assert_int_equal(open_with(w, (store_opts){0}, &s), HDW_OK);
    } else if (store_catch_up(s, &info)) fail_msg("it does not go on after call %ld", nth);
  }
  assert_int_equal(store_applied(s), w->seq);
  assert_int_equal(store_hash(s, h), HDW_OK);
  if (memcmp(h, want, 32)) fail_msg("fault %zu, call %ld, %u: something is missing", fault, nth, commit_records);
  assert_int_equal(store_check(s), HDW_OK);
  store_close(s);
  return st;
}

static void test_a_catch_up_that_fails_loses_nothing(void **state) {
  (void)state;
  world w;
  uint8_t want[32];
  begin(&w);
  open_all(&w);
  live(&w, 12, 900);
  closed_hash(&w, want);
  close_state(&w);
  for (size_t fault = 0; fault < sizeof faults / sizeof *faults; fault++)
    for (int mode = 0; mode < 4; mode++) {
      long failed = 0;
      while (fails_at(&w, fault, failed, mode & 1 ? 50 : 0, mode & 2, want)) failed++;
      assert_true(failed > 1);
    }
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_folders_that_cannot_hold_the_state),
      cmocka_unit_test(test_a_file_larger_than_the_map_may_be_is_read),
      cmocka_unit_test(test_pages_that_the_database_finds_impossible_are_set_aside),
      cmocka_unit_test(test_a_state_that_was_left_behind_and_no_memory),
      cmocka_unit_test(test_rows_out_of_order_are_found_by_the_check),
      cmocka_unit_test(test_an_empty_file_is_no_state_to_read),
      cmocka_unit_test(test_of_several_damages_the_first_is_told),
      cmocka_unit_test(test_records_that_are_in_two_segments_count_once),
      cmocka_unit_test(test_a_commit_that_fails_loses_nothing),
      cmocka_unit_test(test_a_record_that_does_not_read_ends_the_store),
      cmocka_unit_test(test_half_of_a_record_is_never_committed),
      cmocka_unit_test(test_a_store_that_failed_says_so_to_whoever_reads),
      cmocka_unit_test(test_nothing_is_done_twice_about_a_commit),
      cmocka_unit_test(test_a_catch_up_that_fails_loses_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
