/* Segments that no writer of ours would leave: of another version, with words that contradict each other, under names that are none. Each is told or left alone, and
 * what is whole is read. */
#include "log_rig.h"
#include <sys/stat.h>

/* ---- headers, names, packed bodies ---- */

static void test_headers_of_another_version_are_told(void **state) {
  (void)state;
  static const struct {
    size_t at;
    uint8_t value;
    hdw_status want;
  } cases[] = {{8, 2, HDW_E_VERSION} /* format */, {10, 2, HDW_E_VERSION} /* flags */, {12, 64, HDW_E_VERSION} /* its length */, {0, 'H', HDW_E_CORRUPT} /* no log at all */};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world w;
    static made m;
    log_open_info info;
    hlog *l;
    log_segment_info seg[2];
    size_t n;
    begin(&w);
    made_one(&m);
    m.b[cases[i].at] = cases[i].value;
    head_seal(m.b);
    place_seg(w.x, &m);
    assert_int_equal(open_log(w.x, 4096, &info, &l), cases[i].want);
    expect_read(w.x, 0, cases[i].want);
    assert_int_equal(log_segments(w.x, DIR, seg, 2, &n), HDW_OK); /* listed, without what its header would say */
    assert_int_equal(n, 1);
    assert_int_equal(seg[0].created_us, 0);
    end(&w);
  }
}

static void test_names_that_are_no_segments_are_left_alone(void **state) {
  (void)state;
  static const char *const names[] = {"00000000000000000000.seg", "99999999999999999999.seg", "18446744073709551616.seg", "0000000000000000000a.seg", "0000000000000000000-.seg",
                                      "00000000000000000002.bak", "00000000000000000002.segs", "2.seg", "notes"};
  world w;
  static made m;
  log_segment_info seg[4];
  size_t n;
  char path[LOG_PATH];
  begin(&w);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_int_equal(log_join(DIR, names[i], path), HDW_OK);
    place(w.x, path, (const uint8_t *)"?", 1);
  }
  assert_int_equal(log_segments(w.x, DIR, seg, 4, &n), HDW_OK);
  assert_int_equal(n, 0);
  made_one(&m);
  place_seg(w.x, &m);
  expect_read(w.x, 1, HDW_E_NOTFOUND);
  end(&w);
}

/* More segments than a first list holds, and a caller with less room than there are. */
static void test_a_folder_of_many_segments(void **state) {
  (void)state;
  enum { N = 150 };
  world w;
  log_open_info info;
  hlog *l;
  log_rec r;
  hdw_status s;
  log_iter *it;
  log_segment_info seg[N];
  size_t n;
  begin(&w);
  assert_int_equal(open_log(w.x, 256, &info, &l), HDW_OK);
  for (uint64_t i = 1; i <= N; i++) {
    append(&w, l, "0123456789012345678901234567890123456789", 40);
    log_roll(l);
  }
  assert_int_equal(io_run(w.x), HDW_OK);
  assert_int_equal(log_segments(w.x, DIR, seg, 10, &n), HDW_OK);
  assert_int_equal(n, N);
  for (size_t i = 0; i < 10; i++) assert_true(seg[i].first_seq == i + 1 && seg[i].created_us > 0 && seg[i].size_bytes > LOG_HEADER);
  assert_int_equal(read_all(w.x, &s, &r), N);
  assert_int_equal(log_iter_open(w.x, DIR, 77, &it), HDW_OK);
  assert_int_equal(log_iter_first_seq(it), 1);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(r.seq, 77);
  log_iter_close(it);
  log_close(l);
  end(&w);
}

static void test_an_empty_folder_reads_as_empty(void **state) {
  (void)state;
  world w;
  log_iter *it;
  log_rec r;
  uint64_t read, total;
  begin(&w);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOTFOUND);
  assert_int_equal(log_iter_first_seq(it), 0);
  assert_false(log_iter_compacted(it));
  log_iter_progress(it, &read, &total);
  assert_true(read == 0 && total == 0);
  log_iter_close(it);
  log_iter_close(NULL);
  end(&w);
}

/* The record's CRC is right, its packed body is not what it says. */
static void test_packed_bodies_that_lie_are_damage(void **state) {
  (void)state;
  static const uint8_t big[12] = {0xff, 0xff, 0xff, 0x7f}, frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0, 'h', 'e', 'l', 'l', 'o'} /* zstd of "hello" */;
  uint8_t longer[4 + sizeof frame] = {6}, right[4 + sizeof frame] = {5}, no_frame[12] = {5};
  memcpy(longer + 4, frame, sizeof frame);
  memcpy(right + 4, frame, sizeof frame);
  const struct {
    const uint8_t *p;
    size_t len;
    hdw_status want;
  } cases[] = {{right, sizeof right, HDW_OK}, {longer, sizeof longer, HDW_E_CORRUPT}, {no_frame, sizeof no_frame, HDW_E_CORRUPT}, {big, sizeof big, HDW_E_CORRUPT}, {big, 2, HDW_E_CORRUPT}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world w;
    static made m;
    log_iter *it;
    hlog *l;
    log_rec r;
    arena a;
    begin(&w);
    arena_init(&a, &w.t.m, 0);
    made_begin(&m, 1);
    made_add(&m, 1, LOG_F_ZSTD, cases[i].p, cases[i].len);
    made_add(&m, 2, 0, "x", 1);
    place_seg(w.x, &m);
    assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
    assert_int_equal(log_iter_next(it, &r), cases[i].want);
    assert_int_equal(r.seq, 1);
    if (!cases[i].want) assert_true(r.body_len == 5 && !memcmp(r.body, "hello", 5));
    log_iter_close(it);
    assert_int_equal(log_open_read(w.x, DIR, &l), HDW_OK);
    assert_int_equal(log_read(l, (log_pos){1, (uint32_t)m.at[0]}, &a, &r), cases[i].want);
    if (!cases[i].want) assert_true(r.body_len == 5 && !memcmp(r.body, "hello", 5));
    log_close(l);
    arena_free(&a);
    end(&w);
  }
}

/* A record with the right CRC is none that was torn: nothing is cut off, whether something stands behind it or not. */
static void test_a_last_body_that_does_not_unpack_is_not_cut_off(void **state) {
  (void)state;
  for (int behind = 0; behind < 2; behind++) {
    world w;
    static made m, now;
    log_open_info info;
    hlog *l;
    log_rec r;
    begin(&w);
    made_one(&m);
    made_add(&m, 2, LOG_F_ZSTD, "\5\0\0\0nothing packed", 18);
    if (behind) made_add(&m, 3, 0, "x", 1);
    if (behind) m.b[m.at[2] + 3] &= (uint8_t)~(LOG_F_FIRST >> 8), made_seal(&m, m.at[2], m.len - m.at[2], (uint32_t)m.at[2]); /* of the same batch */
    place_seg(w.x, &m);
    assert_int_equal(open_log(w.x, 4096, &info, &l), HDW_E_CORRUPT);
    assert_true(info.bad.seg == 1 && info.bad.off == m.at[1]);
    r = expect_read(w.x, 1, HDW_E_CORRUPT);
    assert_true(r.pos.off == m.at[1] && r.seq == 2);
    load(w.x, SEG1, &now);
    assert_int_equal(now.len, m.len);
    assert_memory_equal(now.b, m.b, m.len);
    end(&w);
  }
}

/* Memory that is not there is no damage, and asking again gives the record that was due. */
static void test_a_body_without_memory_for_it_comes_again(void **state) {
  (void)state;
  world w;
  static made m;
  log_iter *it;
  log_rec r;
  static uint8_t body[18] = {5, 0, 0, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0, 'h', 'e', 'l', 'l', 'o'};
  begin(&w);
  made_begin(&m, 1);
  made_add(&m, 1, LOG_F_ZSTD, body, sizeof body);
  made_add(&m, 2, 0, "x", 1);
  place_seg(w.x, &m);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  w.t.fail_after = 1; /* the window has its memory, the body has none */
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOMEM);
  w.t.fail_after = -1;
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_true(r.seq == 1 && r.body_len == 5 && !memcmp(r.body, "hello", 5));
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(r.seq, 2);
  log_iter_close(it);
  end(&w);
}

/* ---- records that do not follow each other ---- */

static void test_a_wrong_sequence_or_a_bare_record_is_damage(void **state) {
  (void)state;
  for (int kind = 0; kind < 2; kind++) {
    world w;
    static made m;
    log_open_info info;
    hlog *l;
    log_rec r;
    begin(&w);
    made_one(&m);
    made_add(&m, kind ? 2 : 7, kind ? LOG_F_BARE : 0, "", 0);
    made_add(&m, 3, 0, "x", 1);
    place_seg(w.x, &m);
    r = expect_read(w.x, 1, HDW_E_CORRUPT);
    assert_true(r.pos.off == m.at[1] && r.seq == 2);
    assert_int_equal(open_log(w.x, 4096, &info, &l), HDW_E_CORRUPT);
    assert_true(info.bad.off == m.at[1]);
    end(&w);
  }
}

/* Two segments that overlap: nothing is lost, and it is told. */
static void test_segments_that_overlap_are_told(void **state) {
  (void)state;
  world w;
  static made m;
  log_iter *it;
  log_rec r;
  uint64_t lost = 9;
  begin(&w);
  made_begin(&m, 1);
  for (uint64_t i = 1; i <= 4; i++) made_add(&m, i, 0, "x", 1);
  place_seg(w.x, &m);
  made_begin(&m, 3);
  for (uint64_t i = 3; i <= 5; i++) made_add(&m, i, 0, "y", 1);
  place_seg(w.x, &m);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  for (uint64_t i = 1; i <= 4; i++) assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT);
  assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT); /* it stays there */
  assert_int_equal(log_iter_skip_segment(it, &lost), HDW_OK);
  assert_int_equal(lost, 0);
  for (uint64_t i = 3; i <= 5; i++) {
    assert_int_equal(log_iter_next(it, &r), HDW_OK);
    assert_int_equal(r.seq, i);
  }
  assert_int_equal(log_iter_next(it, &r), HDW_E_NOTFOUND);
  log_iter_close(it);
  end(&w);
}

/* From a damaged segment on to the next one that reads, over others that do not; after the last one there is nothing. */
static void test_skipping_over_several_damaged_segments(void **state) {
  (void)state;
  for (int last_reads = 0; last_reads < 2; last_reads++) {
    world w;
    static made m;
    log_iter *it;
    log_rec r;
    uint64_t lost = 9;
    begin(&w);
    for (uint64_t first = 1; first <= 4; first++) {
      made_begin(&m, first);
      made_add(&m, first, 0, "x", 1);
      if (first == 1) made_add(&m, 9, 0, "x", 1);
      if (first == 2 || first == 3 || (first == 4 && !last_reads)) m.b[3] ^= 1;
      place_seg(w.x, &m);
    }
    assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
    assert_int_equal(log_iter_next(it, &r), HDW_OK);
    assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT);
    assert_int_equal(log_iter_skip_segment(it, &lost), last_reads ? HDW_OK : HDW_E_NOTFOUND);
    assert_int_equal(lost, last_reads ? 2 : 0);
    assert_int_equal(log_iter_next(it, &r), last_reads ? HDW_OK : HDW_E_NOTFOUND);
    if (last_reads) assert_int_equal(r.seq, 4);
    else assert_int_equal(log_iter_next_seq(it), 2);
    log_iter_close(it);
    end(&w);
  }
}

/* The very first segment does not read: what follows does, and how much is lost is told. */
static void test_a_first_segment_that_does_not_read_is_skipped(void **state) {
  (void)state;
  world w;
  static made m;
  log_iter *it;
  log_rec r;
  uint64_t lost = 0, read, total;
  begin(&w);
  made_begin(&m, 1);
  m.b[3] ^= 1;
  place_seg(w.x, &m);
  made_begin(&m, 6);
  made_add(&m, 6, 0, "x", 1);
  place_seg(w.x, &m);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  assert_false(log_iter_compacted(it));
  log_iter_progress(it, &read, &total);
  assert_true(read == 0 && total > 0);
  assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT);
  assert_true(r.seq == 1 && r.pos.seg == 1 && r.pos.off == 0);
  assert_int_equal(log_iter_skip_segment(it, &lost), HDW_OK);
  assert_int_equal(lost, 5);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(r.seq, 6);
  log_iter_close(it);
  end(&w);
}

/* A last file without a header: empty it is the end, with bytes it is damage. */
static void test_a_last_segment_without_a_header(void **state) {
  (void)state;
  for (size_t bytes = 0; bytes <= 200; bytes += 100) {
    world w;
    static made m;
    begin(&w);
    made_one(&m);
    place_seg(w.x, &m);
    made_begin(&m, 2);
    memset(m.b, 'x', LOG_HEADER);
    m.len = bytes;
    place_seg(w.x, &m);
    expect_read(w.x, 1, bytes ? HDW_E_CORRUPT : HDW_E_NOTFOUND);
    end(&w);
  }
}

/* Records larger than what is read at once: read whole, and a damaged one before another batch is no torn tail. */
static void test_records_larger_than_the_window(void **state) {
  (void)state;
  enum { BIG = 3 << 20 };
  world w;
  log_open_info info;
  hlog *l;
  log_rec r;
  log_iter *it;
  int fd;
  uint8_t *body = (uint8_t *)malloc(BIG), bad = 0xff;
  begin(&w);
  assert_int_equal(open_log(w.x, 32 << 20, &info, &l), HDW_OK);
  for (int i = 1; i <= 4; i++) {
    memset(body, i, BIG);
    append(&w, l, body, i % 2 ? 10 : BIG);
    assert_int_equal(io_run(w.x), HDW_OK);
  }
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  uint32_t off[5] = {0};
  for (int i = 1; i <= 4; i++) {
    assert_int_equal(log_iter_next(it, &r), HDW_OK);
    assert_true(r.seq == (uint64_t)i && r.body_len == (i % 2 ? 10 : BIG) && r.body[0] == i && r.body[r.body_len - 1] == i);
    off[i] = r.pos.off;
  }
  log_iter_close(it);
  log_close(l);
  assert_int_equal(io_open(w.x, SEG1, IO_O_WRITE, &fd), HDW_OK);
  assert_int_equal(io_pwrite(w.x, fd, &bad, 1, off[3] + 36), HDW_OK);
  io_fclose(w.x, fd);
  assert_int_equal(open_log(w.x, 32 << 20, &info, &l), HDW_E_CORRUPT);
  assert_int_equal(info.bad.off, off[3]);
  r = expect_read(w.x, 2, HDW_E_CORRUPT);
  free(body);
  end(&w);
}

/* ---- a batch ---- */

/* As many records in one turn as fit into one call, one less and one more, and twice as many. */
static void test_batches_as_long_as_one_write(void **state) {
  (void)state;
  static const unsigned sizes[] = {255, 256, 257, 512};
  world w;
  log_open_info info;
  hlog *l;
  log_stats st;
  uint64_t sum = 0;
  begin(&w);
  assert_int_equal(open_log(w.x, 1 << 20, &info, &l), HDW_OK);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (unsigned k = 0; k < sizes[i]; k++) append(&w, l, "record", 6);
    assert_int_equal(io_run(w.x), HDW_OK);
    log_get_stats(l, &st);
    assert_true(w.acked == (sum += sizes[i]) && st.syncs == i + 1);
  }
  expect_read(w.x, sum, HDW_E_NOTFOUND);
  log_close(l);
  end(&w);
}

/* ---- arguments ---- */

/* A folder whose name leaves no room for a file's in it, or is itself too long: nothing is done. */
static void test_folders_with_too_long_names_are_refused(void **state) {
  (void)state;
  test_mem t;
  io *x;
  char dir[1100], cmd[1200], top[32];
  struct stat st;
  test_mem_init(&t);
  snprintf(top, sizeof top, "/tmp/hdw-long-XXXXXX");
  assert_non_null(mkdtemp(top));
  io_sim_opts o = {.seed = 3, .root = top};
  assert_int_equal(io_sim_new(&t.m, &o, &x), HDW_OK);
  snprintf(dir, sizeof dir, "%s", top);
  while (strlen(dir) < 1005) {
    size_t n = strlen(dir), more = 1005 - n > 201 ? 200 : 1005 - n - 1;
    dir[n] = '/';
    memset(dir + n + 1, 'd', more);
    dir[n + 1 + more] = 0;
    assert_int_equal(mkdir(dir, 0700), 0);
  }
  assert_int_equal(strlen(dir), 1005);
  log_opts empty = {.dir = dir};
  log_open_info begun;
  hlog *none;
  assert_int_equal(log_open(x, &empty, &begun, &none), HDW_E_INVALID); /* no segment could be made in it */
  snprintf(cmd, sizeof cmd, "%s/00000000000000000001.seg", dir);
  assert_int_equal(stat(dir, &st), 0);
  FILE *f = fopen(cmd, "w");
  assert_non_null(f);
  fclose(f);
  for (int longer = 0; longer < 2; longer++) {
    log_open_info info;
    log_opts lo = {.dir = dir};
    log_compact_info ci = {.as_of = 1};
    log_compaction *c;
    log_segment_info seg[2];
    log_iter *it;
    log_rec r;
    hlog *l;
    size_t n;
    uint64_t wrong;
    arena a;
    arena_init(&a, &t.m, 0);
    assert_int_equal(log_open(x, &lo, &info, &l), HDW_E_INVALID);
    assert_int_equal(log_iter_open(x, dir, 0, &it), HDW_E_INVALID);
    assert_int_equal(log_compact_begin(x, dir, 1, &ci, &c), HDW_E_INVALID);
    assert_int_equal(log_compact_read(x, dir, 1, &ci), HDW_E_INVALID);
    assert_int_equal(log_compact_check(x, dir, 1, &wrong), HDW_E_INVALID);
    assert_int_equal(log_segments(x, dir, seg, 2, &n), longer ? HDW_E_NOTFOUND : HDW_E_INVALID);
    assert_int_equal(log_open_read(x, dir, &l), longer ? HDW_E_INVALID : HDW_OK);
    if (!longer) {
      assert_int_equal(log_read(l, (log_pos){1, LOG_HEADER}, &a, &r), HDW_E_INVALID);
      log_close(l);
    }
    arena_free(&a);
    memset(dir + 1005, 'd', 30);
    dir[1035] = 0;
  }
  io_sim_free(x);
  snprintf(cmd, sizeof cmd, "rm -rf %s", top);
  assert_int_equal(system(cmd), 0);
  assert_int_equal(t.live_bytes, 0);
}

static void on_any(hdw_status s, const log_rec *rec, void *user) {
  (void)rec;
  ((unsigned *)user)[s != HDW_OK]++;
}

/* What is no record, is too long, or comes faster than the disk; and nothing more once a sync has failed. */
static void test_records_that_are_refused(void **state) {
  (void)state;
  static const uint8_t body[2000];
  world w;
  log_open_info info;
  hlog *l;
  unsigned told[2] = {0};
  begin(&w);
  log_opts o = {.dir = DIR, .segment_bytes = 65536, .low_water_bytes = 1, .max_record_bytes = 1000, .max_unsynced_bytes = 2500, .fatal_grace_us = 5};
  assert_int_equal(log_open(w.x, &o, &info, &l), HDW_OK);
  log_rec none = {.version = 1}, sealed = {.type = 1, .version = 1, .flags = LOG_F_ZSTD}, large = {.type = 1, .version = 1, .body = body, .body_len = 1001},
          both = {.type = 1, .version = 1, .meta = body, .meta_len = 600, .body = body, .body_len = 600};
  assert_int_equal(log_append(l, &none, on_any, told), HDW_E_INVALID);
  assert_int_equal(log_append(l, &sealed, on_any, told), HDW_E_INVALID);
  assert_int_equal(log_append(l, &large, on_any, told), HDW_E_LIMIT);
  assert_int_equal(log_append(l, &both, on_any, told), HDW_E_LIMIT);
  log_rec good = {.type = 1, .version = 1, .body = body, .body_len = 1000};
  assert_true(log_intake(l));
  assert_int_equal(log_append(l, &good, on_any, told), HDW_OK);
  assert_int_equal(log_append(l, &good, on_any, told), HDW_OK);
  assert_false(log_intake(l));
  assert_int_equal(log_append(l, &good, on_any, told), HDW_E_FULL);
  assert_int_equal(log_barrier(l, on_any, told), HDW_OK);
  assert_int_equal(log_barrier(l, NULL, NULL), HDW_OK);
  assert_int_equal(io_run(w.x), HDW_OK);
  assert_true(told[0] == 3 && told[1] == 0 && log_intake(l));
  io_sim_fault(w.x, IO_SIM_SYNC, 1, HDW_E_IO, false);
  assert_int_equal(log_append(l, &good, on_any, told), HDW_OK);
  (void)io_run(w.x);
  assert_true(told[0] == 3 && told[1] == 1);
  assert_int_equal(log_append(l, &good, on_any, told), HDW_E_IO);
  assert_int_equal(log_barrier(l, on_any, told), HDW_E_IO);
  assert_false(log_intake(l));
  assert_int_equal(io_sim_exit_code(w.x), LOG_EXIT_CODE);
  log_close(l);
  o.max_record_bytes = 0, o.max_unsynced_bytes = 100; /* the first one goes, whatever its size */
  assert_int_equal(log_open(w.x, &o, &info, &l), HDW_OK);
  assert_int_equal(log_append(l, &good, on_any, told), HDW_OK);
  assert_int_equal(log_append(l, &good, on_any, told), HDW_E_FULL);
  io_sim_set_space(w.x, 0);
  io_sim_advance(w.x, 2000000);
  assert_false(log_intake(l)); /* the disk is full */
  log_close(l);
  end(&w);
}

/* A folder beside no other, one that begins in the middle, a log that rolls twice; nothing that may still be wanted is dropped. */
static void test_folders_and_drops(void **state) {
  (void)state;
  world w;
  log_open_info info;
  hlog *l;
  uint64_t dropped = 9;
  begin(&w);
  log_opts o = {.dir = "log", .low_water_bytes = 1};
  assert_int_equal(log_open(w.x, &o, &info, &l), HDW_OK);
  log_roll(l);
  log_roll(l);
  append(&w, l, "x", 1);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_roll(l);
  log_roll(l);
  append(&w, l, "y", 1);
  assert_int_equal(io_run(w.x), HDW_OK);
  assert_int_equal(log_drop_before(l, 1, NULL), HDW_OK);
  assert_int_equal(log_drop_before(l, UINT64_MAX, &dropped), HDW_OK);
  assert_int_equal(dropped, 1); /* the newest stays */
  log_close(l);
  two_segments(&w);
  assert_int_equal(io_unlink(w.x, DIR "/00000000000000000010.seg"), HDW_OK);
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK); /* its new segment has no record yet */
  assert_int_equal(log_drop_before(l, UINT64_MAX, &dropped), HDW_OK);
  assert_int_equal(dropped, 0);
  log_close(l);
  end(&w);
}

/* A segment with a record, and a last file of these bytes. */
static void begin_in_a_roll(world *w, const uint8_t *last, size_t n) {
  static made m;
  begin(w);
  made_one(&m);
  place_seg(w->x, &m);
  place(w->x, DIR "/00000000000000000002.seg", last, n);
}

/* What a crash during a roll leaves: a last file without its header, which no record was told to be in. It goes; each call on the way may fail, and nothing else is lost. */
static void test_what_a_crash_during_a_roll_leaves_goes(void **state) {
  (void)state;
  static const io_sim_op ops[] = {IO_SIM_OPEN, IO_SIM_PREAD, IO_SIM_UNLINK, IO_SIM_SYNC_DIR, IO_SIM_SYNC, IO_SIM_ALLOC};
  static uint8_t zeros[70000];
  for (size_t op = 0; op < sizeof ops / sizeof *ops; op++)
    for (unsigned n = 1; n < 9; n++) {
      world w;
      log_open_info info;
      hlog *l;
      begin_in_a_roll(&w, zeros, n % 2 ? sizeof zeros : 10);
      io_sim_fault(w.x, ops[op], n, HDW_E_IO, false);
      if (!open_log(w.x, 1 << 16, &info, &l)) log_close(l);
      io_sim_fault(w.x, ops[op], 1, HDW_OK, false);
      assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
      assert_true(info.last_seq >= 1 && info.segments == 1);
      log_close(l);
      end(&w);
    }
  for (int known = 0; known < 2; known++) { /* with something in it, or when the state knows of a record in it: not ours to remove */
    world w;
    log_open_info info;
    hlog *l;
    zeros[69000] = known ? 0 : 'x';
    begin_in_a_roll(&w, zeros, sizeof zeros);
    log_opts o = {.dir = DIR, .low_water_bytes = 1, .synced_seq = known ? 2 : 0};
    assert_int_equal(log_open(w.x, &o, &info, &l), HDW_E_CORRUPT);
    end(&w);
  }
}

/* Bodies that do not get smaller stay as they are; a log may be told to begin a segment when it is opened. */
static void test_bodies_that_do_not_pack_and_a_fresh_segment(void **state) {
  (void)state;
  static uint8_t body[600];
  world w;
  log_open_info info;
  hlog *l;
  log_iter *it;
  log_rec r;
  uint32_t x = 1;
  begin(&w);
  for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
  log_opts o = {.dir = DIR, .low_water_bytes = 1, .compress = true};
  assert_int_equal(log_open(w.x, &o, &info, &l), HDW_OK);
  append(&w, l, body, sizeof body);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_close(l);
  o.fresh_segment = true;
  assert_int_equal(log_open(w.x, &o, &info, &l), HDW_OK);
  append(&w, l, body, sizeof body);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_close(l);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  for (unsigned n = 0; n < 2;) {
    assert_int_equal(log_iter_next(it, &r), HDW_OK);
    if (r.type == LOG_T_CLOSE) continue;
    assert_true(r.body_len == sizeof body && !memcmp(r.body, body, sizeof body));
    assert_true(++n == 1 || r.pos.seg > 1);
  }
  log_iter_close(it);
  end(&w);
}

/* Asked for where no record can be, and where the file ends before the record does. */
static void test_places_without_a_whole_record(void **state) {
  (void)state;
  static uint8_t body[9000];
  world w;
  static made m;
  hlog *l;
  log_rec r;
  arena a;
  begin(&w);
  arena_init(&a, &w.t.m, 0);
  for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)(i * 7);
  for (int cut = 0; cut < 4; cut++) {
    made_one(&m);
    made_add(&m, 2, 0, body, sizeof body);
    m.len = cut == 0 ? m.len : m.at[1] + (cut == 1 ? 100 : cut == 2 ? 5000 : 4096);
    place_seg(w.x, &m);
    assert_int_equal(log_open_read(w.x, DIR, &l), HDW_OK);
    assert_int_equal(log_read(l, (log_pos){0, LOG_HEADER}, &a, &r), HDW_E_NOTFOUND);
    assert_int_equal(log_read(l, (log_pos){1, LOG_HEADER - 8}, &a, &r), HDW_E_NOTFOUND);
    assert_int_equal(log_read(l, (log_pos){1, LOG_HEADER + 1}, &a, &r), HDW_E_NOTFOUND);
    assert_int_equal(log_read(l, (log_pos){1, (uint32_t)m.at[1]}, &a, &r), cut ? HDW_E_CORRUPT : HDW_OK);
    if (!cut) assert_true(r.body_len == sizeof body && !memcmp(r.body, body, sizeof body));
    log_close(l);
  }
  made_one(&m); /* a record that is longer than its segment says it may be */
  m.h.size_bytes = 4096;
  log_head_put(&m.h, m.b);
  made_add(&m, 2, 0, body, sizeof body);
  place_seg(w.x, &m);
  assert_int_equal(log_open_read(w.x, DIR, &l), HDW_OK);
  assert_int_equal(log_read(l, (log_pos){1, (uint32_t)m.at[1]}, &a, &r), HDW_E_CORRUPT);
  log_close(l);
  arena_free(&a);
  end(&w);
}

static void test_options_out_of_range_are_refused(void **state) {
  (void)state;
  world w;
  log_open_info info;
  hlog *l;
  log_compaction *c;
  begin(&w);
  log_opts large = {.dir = DIR, .segment_bytes = (uint64_t)INT32_MAX + 1}, records = {.dir = DIR, .max_record_bytes = (uint32_t)LOG_RECORD_MAX + 1}, file = {.dir = DIR "/file"};
  assert_int_equal(log_open(w.x, &large, &info, &l), HDW_E_INVALID);
  assert_int_equal(log_open(w.x, &records, &info, &l), HDW_E_INVALID);
  place(w.x, DIR "/file", (const uint8_t *)"x", 1);
  assert_int_equal(log_open(w.x, &file, &info, &l), HDW_E_DENIED); /* a file is no folder */
  assert_int_equal(log_compact_begin(w.x, DIR, 1, &(log_compact_info){.as_of = 0}, &c), HDW_E_INVALID);
  assert_int_equal(log_compact_begin(w.x, DIR, 1, &(log_compact_info){.as_of = 1}, &c), HDW_E_NOTFOUND); /* no such segment */
  log_close(NULL);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_headers_of_another_version_are_told),
      cmocka_unit_test(test_names_that_are_no_segments_are_left_alone),
      cmocka_unit_test(test_a_folder_of_many_segments),
      cmocka_unit_test(test_an_empty_folder_reads_as_empty),
      cmocka_unit_test(test_packed_bodies_that_lie_are_damage),
      cmocka_unit_test(test_a_last_body_that_does_not_unpack_is_not_cut_off),
      cmocka_unit_test(test_a_body_without_memory_for_it_comes_again),
      cmocka_unit_test(test_a_wrong_sequence_or_a_bare_record_is_damage),
      cmocka_unit_test(test_segments_that_overlap_are_told),
      cmocka_unit_test(test_skipping_over_several_damaged_segments),
      cmocka_unit_test(test_a_first_segment_that_does_not_read_is_skipped),
      cmocka_unit_test(test_a_last_segment_without_a_header),
      cmocka_unit_test(test_records_larger_than_the_window),
      cmocka_unit_test(test_batches_as_long_as_one_write),
      cmocka_unit_test(test_folders_with_too_long_names_are_refused),
      cmocka_unit_test(test_records_that_are_refused),
      cmocka_unit_test(test_folders_and_drops),
      cmocka_unit_test(test_what_a_crash_during_a_roll_leaves_goes),
      cmocka_unit_test(test_bodies_that_do_not_pack_and_a_fresh_segment),
      cmocka_unit_test(test_places_without_a_whole_record),
      cmocka_unit_test(test_options_out_of_range_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
