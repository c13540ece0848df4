/* The segment log on the simulated seam: what was acknowledged is there, what is damaged is reported, and failures are final. */
#include "support.h"
#include "codec.h"
#include "io_sim.h"
#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIR "/log"

typedef struct world {
  test_mem t;
  io *x;
  hlog *l;
  log_open_info info;
  uint64_t acked, failed, calls; /* last acknowledged; how many failed; callbacks */
  uint64_t order;
} world;

static void on_done(hdw_status s, const log_rec *rec, void *user) {
  world *w = (world *)user;
  w->calls++;
  if (s) {
    w->failed++;
    return;
  }
  if (!rec) return;
  assert_int_equal(rec->seq, w->order + 1);
  w->order = rec->seq;
  w->acked = rec->seq;
}

static void begin(world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  test_mem_init(&w->t);
  io_sim_opts o = {.seed = seed};
  assert_int_equal(io_sim_new(&w->t.m, &o, &w->x), HDW_OK);
}

static hdw_status open_log(world *w, uint64_t segment_bytes, uint64_t synced_seq, bool compress) {
  log_opts o = {.dir = DIR, .segment_bytes = segment_bytes, .synced_seq = synced_seq, .compress = compress, .low_water_bytes = 1 << 20};
  return log_open(w->x, &o, &w->info, &w->l);
}

static void end(world *w) {
  log_close(w->l);
  io_sim_free(w->x);
  assert_int_equal(w->t.live_bytes, 0);
}

/* Contents that can be told from the sequence. */
static size_t body_of(uint64_t i, uint8_t *b, size_t max) {
  size_t n = (size_t)((i * 37) % (max + 1));
  for (size_t k = 0; k < n; k++) b[k] = (uint8_t)(i * 7 + k);
  return n;
}

static hdw_status add_at(world *w, uint64_t i, size_t max, log_pos *at) {
  static uint8_t b[200000];
  char meta[32];
  size_t n = body_of(i, b, max);
  snprintf(meta, sizeof meta, "meta-%llu", (unsigned long long)i);
  log_rec r = {.type = 1, .version = 1, .flags = 3, .partition = (uint16_t)i, .key_id = 9, .meta = (const uint8_t *)meta, .meta_len = (uint32_t)strlen(meta), .body = b, .body_len = (uint32_t)n};
  hdw_status s = log_append(w->l, &r, on_done, w);
  if (!s) assert_int_equal(r.seq, i);
  *at = r.pos;
  return s;
}
static hdw_status add(world *w, uint64_t i, size_t max) {
  log_pos at;
  return add_at(w, i, max, &at);
}

static void check_record(const log_rec *r, uint64_t i, size_t max) {
  static uint8_t b[200000];
  char meta[32];
  size_t n = body_of(i, b, max);
  snprintf(meta, sizeof meta, "meta-%llu", (unsigned long long)i);
  assert_int_equal(r->seq, i);
  assert_int_equal(r->type, 1);
  assert_int_equal(r->flags & 0xff, 3);
  assert_int_equal(r->partition, (uint16_t)i);
  assert_int_equal(r->key_id, 9);
  assert_int_equal(r->meta_len, strlen(meta));
  assert_memory_equal(r->meta, meta, r->meta_len);
  assert_int_equal(r->body_len, n);
  if (n) assert_memory_equal(r->body, b, n);
}

/* Reads everything; returns how many records of ours came, and the status at the end. */
static uint64_t read_all(io *x, size_t max, hdw_status *status) {
  log_iter *it;
  log_rec r;
  uint64_t n = 0;
  *status = log_iter_open(x, DIR, 0, &it);
  if (*status) return 0;
  while ((*status = log_iter_next(it, &r)) == HDW_OK) {
    if (r.type == LOG_T_CLOSE) continue;
    n++;
    check_record(&r, r.seq, max);
  }
  log_iter_close(it);
  return n;
}

static void run(world *w) { assert_int_equal(io_run(w->x), HDW_OK); }

/* The bytes of a file, to play with: the log as it would be found after a kill at this moment. */
typedef struct image {
  uint8_t *p;
  size_t len;
} image;
static image snap(io *x, const char *path) {
  io_stat_info info;
  int fd;
  image m = {0};
  size_t got;
  assert_int_equal(io_stat(x, path, &info), HDW_OK);
  m.len = (size_t)info.size_bytes;
  m.p = (uint8_t *)malloc(m.len + 1);
  assert_non_null(m.p);
  assert_int_equal(io_open(x, path, IO_O_READ, &fd), HDW_OK);
  assert_int_equal(io_pread(x, fd, m.p, m.len, 0, &got), HDW_OK);
  assert_int_equal(got, m.len);
  io_fclose(x, fd);
  return m;
}
static void place(io *x, const char *path, const uint8_t *p, size_t len) {
  int fd;
  hdw_status s = io_mkdir(x, DIR);
  assert_true(s == HDW_OK || s == HDW_E_EXISTS);
  assert_int_equal(io_open(x, path, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd), HDW_OK);
  assert_int_equal(io_pwrite(x, fd, p, len, 0), HDW_OK);
  io_fclose(x, fd);
}
#define SEG1 DIR "/00000000000000000001.seg"

/* ---- codec ---- */

static void test_crc32c_and_siphash_known_answers(void **state) {
  (void)state;
  assert_int_equal(cod_crc32c(0, "123456789", 9), 0xe3069283u);
  assert_int_equal(cod_crc32c_soft(0, "123456789", 9), 0xe3069283u);
  uint8_t b[300];
  for (size_t i = 0; i < sizeof b; i++) b[i] = (uint8_t)(i * i);
  for (size_t n = 0; n < sizeof b; n++) {
    assert_int_equal(cod_crc32c(5, b, n), cod_crc32c_soft(5, b, n));
    assert_int_equal(cod_crc32c(cod_crc32c(0, b, n / 2), b + n / 2, n - n / 2), cod_crc32c(0, b, n));
  }
  /* First vectors of the reference implementation of SipHash-2-4-128. */
  static const uint8_t want0[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
  static const uint8_t want1[16] = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
  uint8_t key[16], in[1] = {0}, out[16];
  for (int i = 0; i < 16; i++) key[i] = (uint8_t)i;
  cod_siphash128(key, in, 0, out);
  assert_memory_equal(out, want0, 16);
  cod_siphash128(key, in, 1, out);
  assert_memory_equal(out, want1, 16);
}

static void test_codec_never_reads_past_its_end(void **state) {
  (void)state;
  uint8_t b[64];
  cod_w w = cod_writer(b, sizeof b);
  cod_put_u8(&w, 7);
  cod_put_u16(&w, 0x1234);
  cod_put_u32(&w, 0xdeadbeef);
  cod_put_u64(&w, UINT64_MAX - 1);
  cod_put_var(&w, 300);
  cod_put_var(&w, UINT64_MAX);
  cod_put_str(&w, cod_cstr("hello"));
  assert_false(w.bad);
  for (size_t n = 0; n <= w.len; n++) {
    uint8_t *exact = (uint8_t *)malloc(n ? n : 1); /* so that the sanitizer sees a byte too many */
    memcpy(exact, b, n);
    cod_r r = cod_reader(exact, n);
    cod_get_u8(&r), cod_get_u16(&r), cod_get_u32(&r);
    uint64_t big = cod_get_u64(&r), small = cod_get_var(&r), max = cod_get_var(&r);
    cod_str s = cod_get_str(&r);
    assert_int_equal(cod_done(&r), n == w.len);
    if (n == w.len) {
      assert_true(big == UINT64_MAX - 1 && small == 300 && max == UINT64_MAX);
      assert_true(cod_equal(s, cod_cstr("hello")));
    }
    free(exact);
  }
  cod_w small = cod_writer(b, 3);
  cod_put_u32(&small, 1);
  assert_true(small.bad);
  uint8_t endless[11];
  memset(endless, 0xff, sizeof endless);
  cod_r r = cod_reader(endless, sizeof endless);
  cod_get_var(&r);
  assert_true(r.bad);
}

/* ---- round trips ---- */

static void test_records_come_back_in_order_and_by_position(void **state) {
  (void)state;
  enum { N = 300, MAX = 3000 };
  for (int compress = 0; compress < 2; compress++) {
    world w;
    arena a;
    log_pos pos[N + 1];
    begin(&w, 11);
    arena_init(&a, &w.t.m, 0);
    assert_int_equal(open_log(&w, 16384, 0, compress), HDW_OK);
    for (uint64_t i = 1; i <= N; i++) {
      assert_int_equal(add_at(&w, i, MAX, &pos[i]), HDW_OK);
      if (i % 7 == 0) run(&w);
    }
    run(&w);
    assert_int_equal(w.acked, N);
    for (uint64_t i = 1; i <= N; i++) {
      log_rec r;
      arena_mark m = arena_here(&a);
      assert_int_equal(log_read(w.l, pos[i], &a, &r), HDW_OK);
      check_record(&r, i, MAX);
      arena_release(&a, m);
    }
    log_rec r;
    assert_int_equal(log_read(w.l, (log_pos){1, 8}, &a, &r), HDW_E_NOTFOUND);
    assert_int_equal(log_read(w.l, (log_pos){1, pos[1].off + 8}, &a, &r), HDW_E_CORRUPT);
    assert_int_equal(log_read(w.l, (log_pos){12345, 128}, &a, &r), HDW_E_NOTFOUND);
    arena_free(&a);
    log_segment_info seg[100];
    size_t nseg;
    assert_int_equal(log_segments(w.x, DIR, seg, 100, &nseg), HDW_OK);
    assert_true(nseg > (compress ? 3 : 20));
    hdw_status s;
    assert_int_equal(read_all(w.x, MAX, &s), N);
    assert_int_equal(s, HDW_E_NOTFOUND);
    log_close(w.l);
    assert_int_equal(open_log(&w, 16384, 0, compress), HDW_OK);
    assert_int_equal(w.info.last_seq, N + 1); /* and the clean end */
    assert_int_equal(w.info.torn_bytes, 0);
    w.order = N + 1;
    assert_int_equal(add(&w, N + 2, MAX), HDW_OK);
    run(&w);
    assert_int_equal(read_all(w.x, MAX, &s), N + 1);
    end(&w);
  }
}

static void test_record_larger_than_a_segment_gets_its_own(void **state) {
  (void)state;
  world w;
  hdw_status s;
  begin(&w, 12);
  assert_int_equal(open_log(&w, 4096, 0, false), HDW_OK);
  for (uint64_t i = 1; i <= 20; i++) assert_int_equal(add(&w, i, 100000), HDW_OK);
  run(&w);
  assert_int_equal(w.acked, 20);
  assert_int_equal(read_all(w.x, 100000, &s), 20);
  assert_int_equal(s, HDW_E_NOTFOUND);
  end(&w);
}

static void test_many_appends_share_one_sync(void **state) {
  (void)state;
  world w;
  log_stats st;
  begin(&w, 13);
  assert_int_equal(open_log(&w, 1 << 20, 0, false), HDW_OK);
  for (uint64_t i = 1; i <= 100; i++) add(&w, i, 50);
  assert_int_equal(log_barrier(w.l, on_done, &w), HDW_OK);
  assert_int_equal(w.calls, 0); /* nothing is told before the sync */
  run(&w);
  assert_int_equal(w.calls, 101);
  log_get_stats(w.l, &st);
  assert_int_equal(st.syncs, 1);
  assert_int_equal(st.synced_seq, 100);
  assert_int_equal(st.unsynced_bytes, 0);
  assert_int_equal(log_barrier(w.l, on_done, &w), HDW_OK);
  run(&w);
  assert_int_equal(w.calls, 102);
  log_get_stats(w.l, &st);
  assert_int_equal(st.syncs, 1); /* a barrier over nothing costs none */
  end(&w);
}

/* ---- torn tails ---- */

static void test_torn_last_record_is_cut_at_every_byte(void **state) {
  (void)state;
  world w;
  begin(&w, 14);
  assert_int_equal(open_log(&w, 4096, 0, false), HDW_OK);
  for (uint64_t i = 1; i <= 6; i++) add(&w, i, 200);
  run(&w);
  image before = snap(w.x, SEG1);
  add(&w, 7, 200);
  add(&w, 8, 200); /* one batch of two */
  run(&w);
  image after = snap(w.x, SEG1);
  end(&w);
  size_t from = 0, to = 0;
  for (size_t i = 0; i < after.len; i++)
    if (before.p[i] != after.p[i]) {
      if (!from) from = i;
      to = i + 1;
    }
  assert_true(to - from > 100);
  unsigned seen[3] = {0};
  for (size_t cut = from; cut <= to; cut++)
    for (int truncated = 0; truncated < 2; truncated++) {
      world v;
      hdw_status s;
      begin(&v, cut);
      image m = {(uint8_t *)malloc(after.len), after.len};
      memcpy(m.p, after.p, m.len);
      memset(m.p + cut, 0, m.len - cut);
      place(v.x, SEG1, m.p, truncated ? cut : m.len);
      assert_int_equal(open_log(&v, 4096, 0, false), HDW_OK);
      assert_in_range(v.info.last_seq, 6, 8);
      seen[v.info.last_seq - 6]++;
      uint64_t last = v.info.last_seq;
      v.order = last;
      assert_int_equal(add(&v, last + 1, 200), HDW_OK); /* goes on over the cut */
      run(&v);
      assert_int_equal(v.acked, last + 1);
      assert_int_equal(read_all(v.x, 200, &s), last + 1);
      assert_int_equal(s, HDW_E_NOTFOUND);
      free(m.p);
      end(&v);
    }
  assert_true(seen[0] > 20 && seen[1] > 20 && seen[2] >= 1);
  free(before.p);
  free(after.p);
}

static void test_later_sectors_of_a_torn_batch_do_not_come_back(void **state) {
  (void)state;
  /* A batch of three whose first record is lost and whose others are on disk: cut, then overwritten by a shorter record. */
  world w, v;
  hdw_status s;
  begin(&w, 15);
  assert_int_equal(open_log(&w, 8192, 0, false), HDW_OK);
  add(&w, 1, 300);
  run(&w);
  image before = snap(w.x, SEG1);
  for (uint64_t i = 2; i <= 5; i++) add(&w, i, 300);
  run(&w);
  image after = snap(w.x, SEG1);
  end(&w);
  size_t first = 0;
  while (before.p[first] == after.p[first]) first++;
  memset(after.p + first, 0, 16);
  begin(&v, 16);
  place(v.x, SEG1, after.p, after.len);
  assert_int_equal(open_log(&v, 8192, 0, false), HDW_OK);
  assert_int_equal(v.info.last_seq, 1);
  assert_true(v.info.torn_bytes > 300);
  v.order = 1;
  add(&v, 2, 300);
  run(&v);
  log_close(v.l);
  assert_int_equal(open_log(&v, 8192, 0, false), HDW_OK);
  assert_int_equal(v.info.last_seq, 3);
  assert_int_equal(read_all(v.x, 300, &s), 2);
  end(&v);
  free(before.p);
  free(after.p);
}

/* ---- damage ---- */

static void test_every_flipped_byte_is_noticed(void **state) {
  (void)state;
  enum { N = 9 };
  world w;
  begin(&w, 17);
  assert_int_equal(open_log(&w, 4096, 0, false), HDW_OK);
  for (uint64_t i = 1; i <= N; i++) {
    add(&w, i, 100);
    if (i % 3 == 0) run(&w);
  }
  run(&w);
  image acked = snap(w.x, SEG1); /* as after a kill: the last batch has nothing behind it */
  log_close(w.l);
  image closed = snap(w.x, SEG1);
  io_sim_free(w.x);
  size_t used = closed.len;
  while (closed.p[used - 1] == 0) used--;
  size_t acked_used = acked.len;
  while (acked.p[acked_used - 1] == 0) acked_used--;
  for (size_t at = 0; at < used; at++) {
    world v;
    hdw_status s;
    begin(&v, at);
    uint8_t bit = (uint8_t)(1 << at % 8);
    closed.p[at] ^= bit;
    place(v.x, SEG1, closed.p, closed.len);
    closed.p[at] ^= bit;
    hdw_status o = open_log(&v, 4096, 0, false);
    if (at >= acked_used) {
      /* Only the record of the clean end is hit: what was acknowledged is all there. */
      assert_int_equal(o, HDW_OK);
      assert_int_equal(v.info.last_seq, N);
      log_close(v.l);
    } else {
      assert_true(o == HDW_E_CORRUPT || o == HDW_E_VERSION);
      if (at >= LOG_HEADER) {
        assert_true(v.info.bad.off <= at && v.info.bad.seg == 1);
        assert_true(read_all(v.x, 100, &s) < N); /* and the reader never gives a wrong record (check_record) */
        assert_int_equal(s, HDW_E_CORRUPT);
      }
    }
    io_sim_free(v.x);
    assert_int_equal(v.t.live_bytes, 0);
    /* Known to have been synced: damage in the very last batch is no torn tail either. */
    if (at >= acked_used) continue;
    begin(&v, at);
    acked.p[at] ^= bit;
    place(v.x, SEG1, acked.p, acked.len);
    acked.p[at] ^= bit;
    o = open_log(&v, 4096, N, false);
    assert_true(o == HDW_E_CORRUPT || o == HDW_E_VERSION);
    io_sim_free(v.x);
  }
  free(acked.p);
  free(closed.p);
}

/* A length that was damaged asks for no more memory than the segment has bytes: the answer is CORRUPT with the place, even in a small arena. */
static void test_a_damaged_length_is_bounded_by_the_segment(void **state) {
  (void)state;
  world w;
  log_pos pos[20];
  begin(&w, 19);
  assert_int_equal(open_log(&w, 16384, 0, false), HDW_OK);
  for (uint64_t i = 1; i <= 12; i++) {
    uint8_t b[700];
    log_rec r = {.type = 1, .version = 1, .body = b, .body_len = (uint32_t)body_of(i, b, sizeof b)};
    assert_int_equal(log_append(w.l, &r, on_done, &w), HDW_OK);
    pos[i] = r.pos;
  }
  run(&w);
  static const uint32_t lengths[] = {5000, 16000, 20000, 1u << 20, 1u << 29, (1u << 30) - 64, 1u << 30, 0x7fffffffu, 0xffffffffu};
  for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
    for (uint64_t i = 1; i <= 12; i++)
      for (unsigned field = 24; field <= 28; field += 4) {
        image m = snap(w.x, SEG1);
        uint8_t *p = m.p + pos[i].off + field;
        uint8_t was[4];
        memcpy(was, p, 4);
        for (unsigned b = 0; b < 4; b++) p[b] = (uint8_t)(lengths[k] >> 8 * b);
        place(w.x, SEG1, m.p, m.len);
        size_t before = w.t.live_bytes;
        arena a;
        log_rec r;
        hlog *l;
        arena_init(&a, &w.t.m, 40000);
        assert_int_equal(log_open_read(w.x, DIR, &l), HDW_OK);
        assert_int_equal(log_read(l, pos[i], &a, &r), HDW_E_CORRUPT);
        assert_int_equal(r.pos.seg, 1);
        assert_int_equal(r.pos.off, pos[i].off);
        assert_true(w.t.live_bytes < before + 40000);
        log_close(l);
        arena_free(&a);
        memcpy(p, was, 4);
        place(w.x, SEG1, m.p, m.len);
        free(m.p);
      }
  end(&w);
}

static void test_missing_and_exchanged_segments_are_noticed_and_can_be_skipped(void **state) {
  (void)state;
  world w;
  hdw_status s;
  begin(&w, 18);
  assert_int_equal(open_log(&w, 2048, 0, false), HDW_OK);
  for (uint64_t i = 1; i <= 60; i++) {
    add(&w, i, 300);
    run(&w);
  }
  log_segment_info seg[40];
  size_t n;
  log_segments(w.x, DIR, seg, 40, &n);
  assert_true(n >= 5 && n <= 40);
  assert_int_equal(read_all(w.x, 300, &s), 60);
  char a[64], b[64];
  snprintf(a, sizeof a, DIR "/%020llu.seg", (unsigned long long)seg[1].first_seq);
  snprintf(b, sizeof b, DIR "/%020llu.seg", (unsigned long long)seg[2].first_seq);
  image ma = snap(w.x, a), mb = snap(w.x, b);

  io_unlink(w.x, a);
  log_iter *it;
  log_rec r;
  log_pos first = {.seg = 0};
  uint64_t got = 0, lost = 0;
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  while ((s = log_iter_next(it, &r)) == HDW_OK)
    if (!got++) first = r.pos;
  assert_int_equal(s, HDW_E_CORRUPT);
  assert_int_equal(r.seq, seg[1].first_seq);
  assert_int_equal(log_iter_next(it, &r), HDW_E_CORRUPT); /* stays there */
  assert_int_equal(log_iter_skip_segment(it, &lost), HDW_OK);
  assert_int_equal(lost, seg[2].first_seq - seg[1].first_seq);
  while ((s = log_iter_next(it, &r)) == HDW_OK) got++;
  assert_int_equal(s, HDW_E_NOTFOUND);
  assert_int_equal(got + lost, 60);
  log_iter_close(it);

  place(w.x, a, mb.p, mb.len); /* another segment's bytes under this name */
  read_all(w.x, 300, &s);
  assert_int_equal(s, HDW_E_CORRUPT);
  hlog *reads; /* its records are whole; by position they are not to be had either */
  arena ar;
  arena_init(&ar, &w.t.m, 0);
  assert_int_equal(log_open_read(w.x, DIR, &reads), HDW_OK);
  assert_int_equal(log_read(reads, (log_pos){seg[1].first_seq, first.off}, &ar, &r), HDW_E_CORRUPT);
  assert_int_equal(log_read(reads, (log_pos){seg[2].first_seq, first.off}, &ar, &r), HDW_OK);
  log_close(reads);
  arena_free(&ar);
  place(w.x, a, ma.p, ma.len);
  assert_int_equal(read_all(w.x, 300, &s), 60);

  memset(ma.p + 400, 0, 8); /* damage in the middle of a closed segment */
  place(w.x, a, ma.p, ma.len);
  got = 0;
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  while ((s = log_iter_next(it, &r)) == HDW_OK) got++;
  assert_int_equal(s, HDW_E_CORRUPT);
  assert_int_equal(r.pos.seg, seg[1].first_seq);
  assert_int_equal(log_iter_skip_segment(it, &lost), HDW_OK);
  while ((s = log_iter_next(it, &r)) == HDW_OK) got++;
  assert_int_equal(got + lost, 60);
  log_iter_close(it);

  uint64_t dropped;
  assert_int_equal(log_drop_before(w.l, seg[3].first_seq, &dropped), HDW_OK);
  assert_int_equal(dropped, 3);
  assert_int_equal(log_iter_open(w.x, DIR, 1, &it), HDW_E_NOTFOUND);
  assert_int_equal(log_iter_open(w.x, DIR, seg[3].first_seq + 1, &it), HDW_OK);
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(r.seq, seg[3].first_seq + 1);
  log_iter_close(it);
  free(ma.p);
  free(mb.p);
  end(&w);
}

static void test_a_lost_log_is_not_taken_for_a_new_one(void **state) {
  (void)state;
  world w;
  begin(&w, 19);
  assert_int_equal(open_log(&w, 4096, 5, false), HDW_E_CORRUPT);
  assert_int_equal(open_log(&w, 4096, 0, false), HDW_OK);
  add(&w, 1, 10);
  run(&w);
  log_close(w.l);
  assert_int_equal(open_log(&w, 4096, 3, false), HDW_E_CORRUPT); /* two records exist */
  assert_int_equal(open_log(&w, 4096, 2, false), HDW_OK);
  end(&w);
}

static void test_second_opener_is_refused(void **state) {
  (void)state;
  world w;
  hlog *second;
  log_open_info info;
  log_opts o = {.dir = DIR};
  begin(&w, 20);
  assert_int_equal(open_log(&w, 4096, 0, false), HDW_OK);
  assert_int_equal(log_open(w.x, &o, &info, &second), HDW_E_DENIED);
  end(&w);
}

/* ---- failures ---- */

static void test_failed_write_or_sync_fails_everything_and_ends_with_75(void **state) {
  (void)state;
  static const struct {
    io_sim_op op;
    hdw_status status;
  } faults[] = {{IO_SIM_SYNC, HDW_E_IO}, {IO_SIM_PWRITE, HDW_E_IO}, {IO_SIM_PWRITE, HDW_E_FULL}, {IO_SIM_SYNC, HDW_E_FULL}};
  for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++)
    for (uint64_t nth = 1; nth <= 12; nth++)
      for (int sticky = 0; sticky < 2; sticky++) {
        world w;
        hdw_status s = HDW_OK;
        begin(&w, nth);
        assert_int_equal(open_log(&w, 2048, 0, false), HDW_OK);
        io_sim_fault(w.x, faults[f].op, nth, faults[f].status, sticky);
        uint64_t sent = 0;
        for (uint64_t i = 1; i <= 40 && !s; i++) {
          s = add(&w, i, 300);
          if (!s) sent++;
          if (i % 2 == 0) io_sim_step(w.x, 3);
        }
        io_run(w.x);
        /* A single failure may hit the spare segment, which is no harm: then all is well. From there on it hits records. */
        if (sticky && nth <= 6) assert_true(w.failed > 0);
        if (sticky && nth == 1 && faults[f].op == IO_SIM_SYNC) assert_int_equal(w.acked, 0);
        if (w.failed == 0) {
          assert_int_equal(w.acked, sent);
          assert_int_equal(io_sim_exit_code(w.x), -1);
        } else {
          assert_int_equal(w.acked + w.failed, sent);
          assert_int_equal(add(&w, sent + 1, 10), HDW_E_IO);
          assert_int_equal(io_sim_exit_code(w.x), LOG_EXIT_CODE);
          assert_false(log_intake(w.l));
        }
        uint64_t acked = w.acked;
        io_sim_fault(w.x, faults[f].op, 0, HDW_OK, false);
        log_close(w.l);
        /* A restart finds at least what was acknowledged. */
        hdw_status o = open_log(&w, 2048, acked, false);
        assert_int_equal(o, HDW_OK);
        assert_true(w.info.last_seq >= acked);
        assert_true(read_all(w.x, 300, &s) >= acked);
        assert_int_equal(s, HDW_E_NOTFOUND);
        log_close(w.l);
        io_sim_free(w.x);
        assert_int_equal(w.t.live_bytes, 0);
      }
}

static void test_power_cuts_lose_nothing_acknowledged(void **state) {
  (void)state;
  unsigned torn = 0;
  for (uint64_t seed = 1; seed <= 300; seed++) {
    world w;
    hdw_status s;
    begin(&w, seed);
    io_mkdir(w.x, DIR);
    io_sync_dir(w.x, "");
    assert_int_equal(open_log(&w, 4096, 0, false), HDW_OK);
    uint64_t last = 0;
    srand((unsigned)seed);
    for (int life = 0; life < 3; life++) {
      unsigned n = (unsigned)rand() % 30;
      for (unsigned i = 0; i < n; i++) {
        assert_int_equal(add(&w, ++last, 600), HDW_OK);
        io_sim_step(w.x, (unsigned)rand() % 3);
      }
      if (rand() % 4) {
        /* The cut comes during a sync: the batch was written, and nobody knows how much of it arrived. */
        io_sim_fault(w.x, IO_SIM_SYNC, 1, HDW_E_IO, true);
        for (unsigned i = 0; i < 5 && !add(&w, last + 1, 600); i++) last++;
        io_sim_step(w.x, 6);
      }
      uint64_t acked = w.acked;
      hlog *dead = w.l;
      io_sim_power_cut(w.x);
      io_sim_fault(w.x, IO_SIM_SYNC, 1, HDW_E_IO, true); /* the dead log can no longer reach the disk */
      io_sim_fault(w.x, IO_SIM_PWRITE, 1, HDW_E_IO, true);
      io_sim_fault(w.x, IO_SIM_OPEN, 1, HDW_E_IO, true);
      log_close(dead);
      io_sim_fault(w.x, IO_SIM_SYNC, 0, HDW_OK, false);
      io_sim_fault(w.x, IO_SIM_PWRITE, 0, HDW_OK, false);
      io_sim_fault(w.x, IO_SIM_OPEN, 0, HDW_OK, false);
      hdw_status o = open_log(&w, 4096, acked, false);
      if (o) fail_msg("seed %llu life %d: %s", (unsigned long long)seed, life, hdw_status_name(o));
      assert_true(w.info.last_seq >= acked && w.info.last_seq <= last);
      torn += w.info.torn_bytes > 0;
      assert_int_equal(read_all(w.x, 600, &s), w.info.last_seq);
      assert_int_equal(s, HDW_E_NOTFOUND);
      last = w.order = w.acked = w.info.last_seq;
    }
    end(&w);
  }
  assert_true(torn > 100);
}

static void test_limits_and_intake(void **state) {
  (void)state;
  world w;
  begin(&w, 21);
  log_opts o = {.dir = DIR, .segment_bytes = 1 << 20, .max_record_bytes = 5000, .max_unsynced_bytes = 10000, .low_water_bytes = 1 << 20};
  assert_int_equal(log_open(w.x, &o, &w.info, &w.l), HDW_OK);
  static uint8_t b[6000];
  log_rec r = {.type = 1, .version = 1, .body = b, .body_len = 5001};
  assert_int_equal(log_append(w.l, &r, on_done, &w), HDW_E_LIMIT);
  r.body_len = 4000;
  assert_true(log_intake(w.l));
  assert_int_equal(log_append(w.l, &r, on_done, &w), HDW_OK);
  assert_int_equal(log_append(w.l, &r, on_done, &w), HDW_OK);
  assert_false(log_intake(w.l));
  assert_int_equal(log_append(w.l, &r, on_done, &w), HDW_E_FULL);
  run(&w);
  assert_true(log_intake(w.l));
  assert_int_equal(log_append(w.l, &r, on_done, &w), HDW_OK);
  run(&w);
  assert_int_equal(w.acked, 3);
  io_sim_set_space(w.x, 1000);
  io_sim_advance(w.x, 2000000);
  assert_false(log_intake(w.l));
  io_sim_set_space(w.x, 1 << 30);
  io_sim_advance(w.x, 2000000);
  assert_true(log_intake(w.l));
  r.type = 0;
  assert_int_equal(log_append(w.l, &r, on_done, &w), HDW_E_INVALID);
  end(&w);
}

static void test_out_of_memory_is_a_status(void **state) {
  (void)state;
  for (long n = 0; n < 40; n++) {
    world w;
    begin(&w, 22);
    w.t.fail_after = n;
    hdw_status s = open_log(&w, 4096, 0, false);
    if (!s) {
      s = add(&w, 1, 100);
      w.t.fail_after = -1;
      log_close(w.l);
    } else {
      assert_true(s == HDW_E_NOMEM);
    }
    w.t.fail_after = -1;
    io_sim_free(w.x);
    assert_int_equal(w.t.live_bytes, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crc32c_and_siphash_known_answers),
      cmocka_unit_test(test_codec_never_reads_past_its_end),
      cmocka_unit_test(test_records_come_back_in_order_and_by_position),
      cmocka_unit_test(test_record_larger_than_a_segment_gets_its_own),
      cmocka_unit_test(test_many_appends_share_one_sync),
      cmocka_unit_test(test_torn_last_record_is_cut_at_every_byte),
      cmocka_unit_test(test_later_sectors_of_a_torn_batch_do_not_come_back),
      cmocka_unit_test(test_every_flipped_byte_is_noticed),
      cmocka_unit_test(test_a_damaged_length_is_bounded_by_the_segment),
      cmocka_unit_test(test_missing_and_exchanged_segments_are_noticed_and_can_be_skipped),
      cmocka_unit_test(test_a_lost_log_is_not_taken_for_a_new_one),
      cmocka_unit_test(test_second_opener_is_refused),
      cmocka_unit_test(test_failed_write_or_sync_fails_everything_and_ends_with_75),
      cmocka_unit_test(test_power_cuts_lose_nothing_acknowledged),
      cmocka_unit_test(test_limits_and_intake),
      cmocka_unit_test(test_out_of_memory_is_a_status),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
