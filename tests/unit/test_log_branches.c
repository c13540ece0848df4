/* What the log does when a call in the middle fails: a digest, an unpacking, a look into a file that became shorter meanwhile, memory for one more record. Nothing that is there is
 * passed over, and no segment changes that was not to. */
#include "log_rig.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

/* ---- libraries that fail: their functions are found here first ---- */

static bool no_digest, no_unpacking;

int EVP_DigestFinal_ex(EVP_MD_CTX *c, unsigned char *md, unsigned *len) {
  static int (*real)(EVP_MD_CTX *, unsigned char *, unsigned *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "EVP_DigestFinal_ex");
  return no_digest ? 0 : real(c, md, len);
}

size_t ZSTD_decompress(void *to, size_t cap, const void *from, size_t len) {
  static size_t (*real)(void *, size_t, const void *, size_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "ZSTD_decompress");
  return no_unpacking ? (size_t)-ZSTD_error_memory_allocation : real(to, cap, from, len);
}

static const uint8_t packed_hello[18] = {5, 0, 0, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0, 'h', 'e', 'l', 'l', 'o'};

/* Two whole segments made by hand, of two records and of one. */
static void two_made(io *x, uint64_t second, const uint8_t prev[32]) {
  static made m;
  made_one(&m);
  made_add(&m, 2, 0, "x", 1);
  place_seg(x, &m);
  made_begin(&m, second);
  memcpy(m.h.prev, prev, sizeof m.h.prev);
  log_head_put(&m.h, m.b);
  made_add(&m, second, 0, "y", 1);
  place_seg(x, &m);
}

/* The hash that a segment after this one must name. */
static void digest_of(io *x, const char *path, uint8_t out[32]) {
  log_scan s;
  log_rec r;
  assert_int_equal(log_scan_open(&s, x, path, 1, LOG_RECORD_MAX, true), HDW_OK);
  while (!log_scan_next(&s, &r)) continue;
  assert_int_equal(log_scan_digest(&s, out), HDW_OK);
  log_scan_close(&s);
  log_scan_close(&s); /* a closed one stays closed */
  uint8_t none[32];
  assert_int_equal(log_scan_open(&s, x, path, 1, LOG_RECORD_MAX, false), HDW_OK); /* it was not asked for */
  assert_int_equal(log_scan_digest(&s, none), HDW_E_NOMEM);
  log_scan_close(&s);
}

static void test_without_a_digest_the_next_segment_is_not_given(void **state) {
  (void)state;
  world w;
  uint8_t h[32] = {0};
  log_iter *it;
  log_rec r;
  begin(&w);
  two_made(w.x, 3, h);
  digest_of(w.x, SEG1, h);
  two_made(w.x, 3, h);
  expect_read(w.x, 3, HDW_E_NOTFOUND);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  for (int i = 0; i < 2; i++) assert_int_equal(log_iter_next(it, &r), HDW_OK);
  no_digest = true;
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOMEM);
  no_digest = false;
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOMEM); /* whether it follows is not known any more */
  log_iter_close(it);
  end(&w);
}

/* The hash is right, the name is not: what lies between is missing. */
static void test_a_gap_between_segments_that_name_each_other_is_told(void **state) {
  (void)state;
  world w;
  uint8_t h[32] = {0};
  log_iter *it;
  log_rec r;
  uint64_t lost;
  begin(&w);
  two_made(w.x, 5, h);
  digest_of(w.x, SEG1, h);
  two_made(w.x, 5, h);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  for (int i = 0; i < 2; i++) assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT);
  assert_int_equal(log_iter_skip_segment(it, &lost), HDW_OK);
  assert_int_equal(lost, 2);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(r.seq, 5);
  log_iter_close(it);
  end(&w);
}

static void on_any(hdw_status s, const log_rec *rec, void *user) {
  (void)rec;
  ((unsigned *)user)[s != HDW_OK]++;
}

/* A segment without the hash of the one before is not begun: what was to be in it is told to have failed, and what was acknowledged is there. */
static void test_a_roll_without_a_digest_is_final(void **state) {
  (void)state;
  world w;
  log_open_info info;
  hlog *l;
  unsigned told[2] = {0};
  begin(&w);
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
  append(&w, l, "x", 1);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_roll(l);
  no_digest = true;
  log_rec r = {.type = 1, .version = 1, .body = (const uint8_t *)"y", .body_len = 1};
  assert_int_equal(log_append(l, &r, on_any, told), HDW_OK);
  (void)io_run(w.x);
  no_digest = false;
  assert_true(told[0] == 0 && told[1] == 1);
  assert_int_equal(log_append(l, &r, on_any, told), HDW_E_IO);
  log_close(l);
  expect_read(w.x, 1, HDW_E_NOTFOUND);
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
  assert_int_equal(info.last_seq, 1);
  log_close(l);
  end(&w);
}

/* The library's own memory is no damage either. */
static void test_a_body_that_the_library_has_no_memory_for_comes_again(void **state) {
  (void)state;
  world w;
  static made m;
  log_iter *it;
  log_rec r;
  begin(&w);
  made_begin(&m, 1);
  made_add(&m, 1, LOG_F_ZSTD, packed_hello, sizeof packed_hello);
  place_seg(w.x, &m);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  no_unpacking = true;
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOMEM);
  no_unpacking = false;
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_true(r.seq == 1 && r.body_len == 5 && !memcmp(r.body, "hello", 5));
  log_iter_close(it);
  end(&w);
}

/* ---- tails ---- */

enum { TAIL = 3 << 20 };

/* A record, then bytes that are no record; at `at` behind it a head that claims to begin a batch (0: none). */
static void torn(io *x, size_t at, uint32_t claims) {
  static made m;
  int fd;
  uint8_t *p = (uint8_t *)malloc(TAIL);
  memset(p, 1, TAIL);
  if (at) {
    log_rec r = {.type = 1, .version = 1, .flags = LOG_F_FIRST, .seq = 3, .time_us = 6};
    uint8_t head[64];
    log_rec_put(&r, head);
    put32(head + LOG_RECORD_HEADER - 4, claims);
    memcpy(p + at, head, LOG_RECORD_HEADER);
  }
  made_one(&m);
  place_seg(x, &m);
  assert_int_equal(io_open(x, SEG1, IO_O_WRITE, &fd), HDW_OK);
  assert_int_equal(io_pwrite(x, fd, p, TAIL, m.len), HDW_OK);
  io_fclose(x, fd);
  free(p);
}

/* A tail that cannot be looked at is not known to be torn; when it can, it is the end, as often as it is asked. */
static void test_a_tail_that_cannot_be_read_is_no_end(void **state) {
  (void)state;
  world w;
  log_iter *it;
  log_rec r;
  log_open_info info;
  hlog *l;
  begin(&w);
  torn(w.x, 0, 0);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  io_sim_fault(w.x, IO_SIM_PREAD, 1, HDW_E_IO, true);
  assert_int_equal(log_iter_next(it, &r), HDW_E_IO);
  io_sim_fault(w.x, IO_SIM_PREAD, 0, HDW_OK, false);
  for (int i = 0; i < 2; i++) assert_int_equal(log_iter_next(it, &r), HDW_E_NOTFOUND);
  log_iter_close(it);
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
  assert_true(info.last_seq == 1 && info.torn_bytes == TAIL);
  log_close(l);
  end(&w);
}

/* In the tail is what may begin a batch, and there is no memory to look: nothing may be cut off yet. */
static void test_a_tail_without_memory_to_look_at_it_is_no_end(void **state) {
  (void)state;
  world w;
  log_iter *it;
  log_rec r;
  log_open_info info;
  hlog *l;
  begin(&w);
  torn(w.x, 800, 2 << 20);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  w.t.fail_after = 0;
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOMEM);
  w.t.fail_after = -1;
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOTFOUND); /* its CRC is none */
  log_iter_close(it);
  hdw_status s = HDW_E_NOMEM;
  for (long n = 0; s; n++) { /* each allocation of an opening */
    w.t.fail_after = n;
    s = open_log(w.x, 1 << 16, &info, &l);
    w.t.fail_after = -1;
    if (s) assert_int_equal(s, HDW_E_NOMEM);
  }
  assert_int_equal(info.last_seq, 1);
  log_close(l);
  end(&w);
}

static hdw_status no_next_data(io *x, int fd, uint64_t off, uint64_t *next) { return (void)x, (void)fd, (void)off, (void)next, HDW_E_IO; }

/* Zeros to the end, and whether there is anything behind them cannot be asked. */
static void test_zeros_that_cannot_be_passed_are_no_end(void **state) {
  (void)state;
  world w;
  static made m;
  log_iter *it;
  log_rec r;
  begin(&w);
  made_one(&m);
  m.len += 4096;
  place_seg(w.x, &m);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  const io_ops *was = w.x->ops;
  io_ops ops = *was;
  ops.next_data = no_next_data;
  w.x->ops = &ops;
  assert_int_equal(log_iter_next(it, &r), HDW_E_IO);
  w.x->ops = was;
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOTFOUND);
  log_iter_close(it);
  end(&w);
}

/* A daemon that starts cuts off a torn tail while somebody reads: the reader comes to an end. */
static void test_a_file_that_becomes_shorter_while_it_is_read_ends(void **state) {
  (void)state;
  static const struct {
    size_t left;      /* behind the first record */
    size_t claims_at; /* a head that claims more than there is */
  } cases[] = {{0, 0}, {20, 0}, {100, 0}, {100, 8}, {400, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world w;
    static made m;
    log_iter *it;
    log_rec r;
    int fd;
    begin(&w);
    made_one(&m);
    size_t first = m.len;
    static const uint8_t body[9000];
    made_add(&m, 2, 0, body, sizeof body);
    if (cases[i].claims_at) { /* not where a record is due, and said to begin a batch */
      memmove(m.b + first + cases[i].claims_at, m.b + first, LOG_RECORD_HEADER);
      m.b[first + cases[i].claims_at + 8] = 3;
      memset(m.b + first, 0xff, cases[i].claims_at);
    }
    place_seg(w.x, &m);
    assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
    assert_int_equal(io_open(w.x, SEG1, IO_O_WRITE, &fd), HDW_OK);
    assert_int_equal(io_truncate(w.x, fd, first + cases[i].left), HDW_OK);
    io_fclose(w.x, fd);
    assert_int_equal(log_iter_next(it, &r), HDW_OK);
    for (int again = 0; again < 2; again++) assert_int_equal(log_iter_next(it, &r), HDW_E_NOTFOUND);
    log_iter_close(it);
    end(&w);
  }
}

/* ---- from segment to segment ---- */

/* Three segments of one record; the first has damage behind its record when asked for. */
static void three_made(io *x, bool damaged) {
  for (uint64_t first = 1; first <= 3; first++) {
    static made m;
    made_begin(&m, first);
    made_add(&m, first, 0, "x", 1);
    if (damaged && first == 1) made_add(&m, 9, 0, "x", 1);
    place_seg(x, &m);
  }
}

/* A segment that cannot be opened is not damage, and the one behind it is not given in its place, however often it is asked. */
static void test_a_segment_that_cannot_be_opened_is_not_passed_over(void **state) {
  (void)state;
  for (int damaged = 0; damaged < 2; damaged++) {
    world w;
    log_iter *it;
    log_rec r;
    uint64_t lost;
    begin(&w);
    three_made(w.x, damaged);
    assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
    assert_int_equal(log_iter_next(it, &r), HDW_OK);
    if (damaged) assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT);
    io_sim_fault(w.x, IO_SIM_OPEN, 1, HDW_E_IO, false);
    assert_int_equal(damaged ? log_iter_skip_segment(it, &lost) : log_iter_next(it, &r), HDW_E_IO);
    for (int again = 0; again < 2; again++) assert_int_equal(log_iter_next(it, &r), HDW_E_IO);
    log_iter_close(it);
    end(&w);
  }
}

/* Damage in a segment whose sequences go on in the next one as if it had not been: nothing is lost. */
static void test_damage_before_a_segment_that_overlaps_loses_nothing(void **state) {
  (void)state;
  world w;
  static made m;
  log_iter *it;
  log_rec r;
  uint64_t lost = 9;
  begin(&w);
  made_begin(&m, 1);
  for (uint64_t i = 1; i <= 4; i++) made_add(&m, i, 0, "x", 1);
  made_add(&m, 9, 0, "x", 1);
  place_seg(w.x, &m);
  made_begin(&m, 3);
  made_add(&m, 3, 0, "y", 1);
  place_seg(w.x, &m);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  for (uint64_t i = 1; i <= 4; i++) assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT);
  assert_int_equal(log_iter_skip_segment(it, &lost), HDW_OK);
  assert_int_equal(lost, 0);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(r.seq, 3);
  log_iter_close(it);
  end(&w);
}

/* ---- retention ---- */

static log_verdict drop_all(const log_rec *rec, bool *pinned, unsigned *klass, void *user) { return (void)rec, (void)pinned, (void)klass, (void)user, LOG_V_DROP; }
static log_verdict keep_all(const log_rec *rec, bool *pinned, unsigned *klass, void *user) { return (void)rec, (void)pinned, (void)klass, (void)user, LOG_V_KEEP; }

/* A segment of nine records that is closed. */
static void nine_records(world *w) {
  log_open_info info;
  hlog *l;
  assert_int_equal(open_log(w->x, 1 << 16, &info, &l), HDW_OK);
  for (int i = 0; i < 9; i++) {
    io_sim_advance(w->x, 1000);
    append(w, l, "body", 4);
  }
  assert_int_equal(io_run(w->x), HDW_OK);
  log_roll(l);
  append(w, l, "body", 4);
  assert_int_equal(io_run(w->x), HDW_OK);
  log_close(l);
}

enum { FAIL_MEMORY, FAIL_DIGEST, FAIL_WRITE, FAIL_WAYS };

/* Whatever fails at the end of a compaction is told by its commit as well, and the segment is as it was. */
static void test_a_compaction_that_failed_is_not_committed(void **state) {
  (void)state;
  for (int way = 0; way < FAIL_WAYS; way++) {
    world w;
    static made before, after;
    log_compaction *c;
    log_compact_info as = {.as_of = 99, .at_us = 7}, got;
    uint64_t size;
    bool done = false;
    begin(&w);
    nine_records(&w);
    load(w.x, SEG1, &before);
    assert_int_equal(log_compact_begin(w.x, DIR, 1, &as, &c), HDW_OK);
    assert_int_equal(log_compact_step(c, drop_all, NULL, 9, &done), HDW_OK);
    assert_false(done);
    if (way == FAIL_MEMORY) w.t.fail_after = 0;
    if (way == FAIL_WRITE) io_sim_fault(w.x, IO_SIM_PWRITE, 1, HDW_E_FULL, false);
    no_digest = way == FAIL_DIGEST;
    hdw_status s = log_compact_step(c, drop_all, NULL, 9, &done);
    no_digest = false;
    w.t.fail_after = -1;
    assert_int_equal(s, way == FAIL_WRITE ? HDW_E_FULL : HDW_E_NOMEM);
    assert_int_equal(log_compact_step(c, drop_all, NULL, 9, &done), s);
    assert_int_equal(log_compact_commit(c, &got, &size), s);
    log_compact_end(c);
    load(w.x, SEG1, &after);
    assert_true(before.len == after.len && !memcmp(before.b, after.b, before.len));
    end(&w);
  }
}

/* More records than a first index has room for: each is found by the place that it had. */
static void test_a_compaction_of_very_many_records(void **state) {
  (void)state;
  enum { N = 40000 };
  world w;
  log_open_info info;
  hlog *l;
  log_rec r;
  hdw_status s;
  uint64_t wrong = 0;
  begin(&w);
  assert_int_equal(open_log(w.x, 8 << 20, &info, &l), HDW_OK);
  for (int i = 0; i < N; i++) {
    append(&w, l, "", 0);
    if (i % 200 == 0) assert_int_equal(io_run(w.x), HDW_OK);
  }
  assert_int_equal(io_run(w.x), HDW_OK);
  log_roll(l);
  append(&w, l, "", 0);
  log_close(l);
  assert_int_equal(compact(w.x, DIR, 1, keep_all), HDW_OK);
  assert_int_equal(log_compact_check(w.x, DIR, 1, &wrong), HDW_OK);
  assert_int_equal(read_all(w.x, &s, &r), N + 1);
  end(&w);
}

/* Places have 32 bits: a file that no writer of ours makes is left as it is. */
static void test_a_segment_too_large_to_be_rewritten_stays(void **state) {
  (void)state;
  test_mem t;
  io *x;
  char dir[32], path[80];
  static made m;
  log_compaction *c;
  log_compact_info as = {.as_of = 99, .at_us = 7};
  test_mem_init(&t);
  snprintf(dir, sizeof dir, "/tmp/hdw-large-XXXXXX");
  assert_non_null(mkdtemp(dir));
  io_sim_opts o = {.seed = 3, .root = dir};
  assert_int_equal(io_sim_new(&t.m, &o, &x), HDW_OK);
  made_one(&m);
  snprintf(path, sizeof path, "%s/00000000000000000001.seg", dir);
  place(x, path, m.b, m.len);
  assert_int_equal(truncate(path, ((off_t)3 << 30) + 1), 0); /* a hole */
  assert_int_equal(log_compact_begin(x, dir, 1, &as, &c), HDW_E_LIMIT);
  assert_int_equal(truncate(path, (off_t)3 << 30), 0);
  assert_int_equal(log_compact_begin(x, dir, 1, &as, &c), HDW_OK);
  log_compact_end(c);
  io_sim_free(x);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rmdir(dir), 0);
  assert_int_equal(t.live_bytes, 0);
}

/* A last segment that retention rewrote: time goes on behind its last record, whether that one is still in it or not. */
static void test_time_goes_on_behind_a_rewritten_last_segment(void **state) {
  (void)state;
  for (int kept = 0; kept < 2; kept++) {
    world w;
    log_open_info info;
    hlog *l;
    log_compact_info got;
    begin(&w);
    nine_records(&w);
    assert_int_equal(compact(w.x, DIR, 1, kept ? keep_all : drop_all), HDW_OK);
    assert_int_equal(log_compact_read(w.x, DIR, 1, &got), HDW_OK);
    assert_int_equal(io_unlink(w.x, DIR "/00000000000000000010.seg"), HDW_OK);
    io_sim_set_clock(w.x, -1000000000);
    assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
    assert_true(info.last_seq == 9 && info.last_us == got.last_us);
    log_rec r = {.type = 1, .version = 1};
    assert_int_equal(log_append(l, &r, on_done, &w), HDW_OK);
    assert_true(r.time_us >= got.last_us);
    assert_int_equal(io_run(w.x), HDW_OK);
    log_close(l);
    end(&w);
  }
}

/* ---- one record ---- */

/* Each allocation on the way to an unpacked record may fail: told, and asked again it is there. */
static void test_reading_a_packed_record_without_memory(void **state) {
  (void)state;
  enum { LEN = 200000 };
  world w;
  log_open_info info;
  hlog *l;
  log_rec r;
  long failed = 0;
  uint8_t *body = (uint8_t *)malloc(LEN);
  memset(body, 'a', LEN);
  begin(&w);
  log_opts o = {.dir = DIR, .segment_bytes = 1 << 20, .low_water_bytes = 1, .compress = true};
  assert_int_equal(log_open(w.x, &o, &info, &l), HDW_OK);
  log_rec in = {.type = 1, .version = 1, .body = body, .body_len = LEN};
  assert_int_equal(log_append(l, &in, on_done, &w), HDW_OK);
  assert_int_equal(io_run(w.x), HDW_OK);
  for (bool read = false; !read;) {
    arena a;
    arena_init(&a, &w.t.m, 0);
    w.t.fail_after = failed, w.t.fail_more = 9;
    hdw_status s = log_read(l, in.pos, &a, &r);
    w.t.fail_after = -1, w.t.fail_more = 0;
    read = s == HDW_OK;
    if (read) assert_true(r.body_len == LEN && !memcmp(r.body, body, LEN));
    else assert_int_equal(s, HDW_E_NOMEM);
    failed += !read;
    arena_free(&a);
  }
  assert_int_equal(failed, 3); /* as it is stored, unpacked, and for the caller */
  log_close(l);
  free(body);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_without_a_digest_the_next_segment_is_not_given),
      cmocka_unit_test(test_a_gap_between_segments_that_name_each_other_is_told),
      cmocka_unit_test(test_a_roll_without_a_digest_is_final),
      cmocka_unit_test(test_a_body_that_the_library_has_no_memory_for_comes_again),
      cmocka_unit_test(test_a_tail_that_cannot_be_read_is_no_end),
      cmocka_unit_test(test_a_tail_without_memory_to_look_at_it_is_no_end),
      cmocka_unit_test(test_zeros_that_cannot_be_passed_are_no_end),
      cmocka_unit_test(test_a_file_that_becomes_shorter_while_it_is_read_ends),
      cmocka_unit_test(test_a_segment_that_cannot_be_opened_is_not_passed_over),
      cmocka_unit_test(test_damage_before_a_segment_that_overlaps_loses_nothing),
      cmocka_unit_test(test_a_compaction_that_failed_is_not_committed),
      cmocka_unit_test(test_a_compaction_of_very_many_records),
      cmocka_unit_test(test_a_segment_too_large_to_be_rewritten_stays),
      cmocka_unit_test(test_time_goes_on_behind_a_rewritten_last_segment),
      cmocka_unit_test(test_reading_a_packed_record_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
