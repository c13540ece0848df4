/* The segment log as hostile input: the bytes are a segment file, or edits to a valid one (first byte odd; second bit: CRCs made right again), or the meta of
 * a record. Opening, reading and going on must neither crash nor give a record that does not follow the one before. */
#include "io_sim.h"
#include "log_int.h"
#include "records.h"
#include <stdlib.h>

#define DIR "/log"
#define SEG1 DIR "/00000000000000000001.seg"
enum { SIZE = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok) {
  if (!ok) abort();
}

static void decode(const log_rec *rec) {
  static union {
    rec_input a;
    rec_input_verdict b;
    rec_run_start c;
    rec_run_change d;
    rec_effect e;
    rec_run_end f;
    rec_delivery g;
    rec_delivery_result h;
    rec_action i;
    rec_deploy j;
    rec_put k;
    rec_ack_outcome l;
  } u;
  static uint8_t again[REC_META_MAX];
  if (rec_get_input(rec, &u.a) == HDW_OK) {
    /* What can be read can be written, and reads the same. */
    cod_w w = cod_writer(again, sizeof again);
    check(rec_put_input(&w, &u.a) == HDW_OK);
  }
  rec_get_verdict(rec, &u.b), rec_get_run_start(rec, &u.c), rec_get_run_change(rec, &u.d), rec_get_effect(rec, &u.e), rec_get_run_end(rec, &u.f);
  rec_get_delivery(rec, &u.g), rec_get_delivery_result(rec, &u.h), rec_get_action(rec, &u.i), rec_get_deploy(rec, &u.j), rec_get_named(rec, &u.k);
  rec_get_ack_outcome(rec, &u.l);
}

static void place(io *x, const uint8_t *p, size_t len) {
  int fd;
  io_mkdir(x, DIR);
  if (io_open(x, SEG1, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd)) return;
  io_pwrite(x, fd, p, len, 0);
  io_fclose(x, fd);
}

/* A valid segment with a few records. */
static size_t valid(uint8_t out[SIZE]) {
  log_head h = {.first_seq = 1, .size_bytes = SIZE};
  memset(out, 0, SIZE);
  memset(h.salt, 7, sizeof h.salt);
  log_head_put(&h, out);
  size_t off = LOG_HEADER;
  for (uint64_t i = 1; i <= 6; i++) {
    log_rec r = {.type = (uint8_t)i, .version = 1, .seq = i, .meta = (const uint8_t *)"metameta", .meta_len = (uint32_t)i, .body = (const uint8_t *)"bodybodybody", .body_len = (uint32_t)(12 - i)};
    size_t n = (size_t)log_rec_size(r.meta_len, r.body_len);
    log_rec_put(&r, out + off);
    log_rec_seal(out + off, n, log_crc_seed(h.salt, (uint32_t)off), i % 2);
    off += n;
  }
  return off;
}

/* Walks the records as the headers say and makes each CRC right again, so that wrong lengths and sequences get through. */
static void restamp(uint8_t *p, size_t len) {
  cod_w w = cod_writer(p + LOG_HEADER - 4, 4);
  cod_put_u32(&w, cod_crc32c(0, p, LOG_HEADER - 4));
  for (size_t off = LOG_HEADER; off + LOG_RECORD_HEADER <= len && p[off];) {
    cod_r r = cod_reader(p + off + 24, 8);
    uint64_t meta = cod_get_u32(&r), body = cod_get_u32(&r), n = log_rec_size(meta, body);
    if (n > len - off) return;
    log_rec_seal(p + off, (size_t)n, log_crc_seed(p + 32, (uint32_t)off), false);
    off += (size_t)n;
  }
}

static void walk(io *x) {
  log_iter *it;
  log_rec rec;
  uint64_t last = 0, lost;
  if (log_iter_open(x, DIR, 0, &it)) return;
  for (int rounds = 0; rounds < 4; rounds++) {
    hdw_status s;
    while ((s = log_iter_next(it, &rec)) == HDW_OK) {
      check(rec.seq == last + 1 || last == 0);
      last = rec.seq;
      decode(&rec);
    }
    if (s != HDW_E_CORRUPT || log_iter_skip_segment(it, &lost)) break;
    last = 0;
  }
  log_iter_close(it);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t seg[SIZE];
  io_mem m;
  io *x;
  io_sim_opts so = {.seed = 1, .orderly = true};
  if (size < 2) return 0;
  uint8_t mode = data[0];
  data++, size--;
  log_rec meta = {.type = 1, .version = REC_VERSION, .meta = data, .meta_len = (uint32_t)size};
  decode(&meta);
  io_mem_init(&m, 64 << 20);
  if (io_sim_new(&m.m, &so, &x)) return 0;
  if (mode & 1) {
    valid(seg);
    for (size_t i = 0; i + 3 <= size; i += 3) seg[(data[i] | data[i + 1] << 8) % SIZE] ^= data[i + 2];
    if (mode & 2) restamp(seg, SIZE);
    place(x, seg, SIZE);
  } else {
    place(x, data, size);
  }
  walk(x);
  hlog *l;
  log_open_info info;
  log_opts lo = {.dir = DIR, .segment_bytes = SIZE, .synced_seq = mode >> 5, .low_water_bytes = 1};
  if (log_open(x, &lo, &info, &l) == HDW_OK) {
    arena a;
    log_rec rec = {.type = 1, .version = 1};
    for (uint32_t off = 0; off < SIZE; off += 40) {
      /* A length asks for no more than the segment has; only what is packed may want more. */
      arena_init(&a, &m.m, 64 << 10);
      check(log_read(l, (log_pos){1, off}, &a, &rec) != HDW_E_NOMEM || (rec.flags & LOG_F_ZSTD));
      check(rec.pos.seg == 1 && rec.pos.off == off);
      arena_free(&a);
    }
    arena_init(&a, &m.m, 16 << 20);
    log_rec next = {.type = 1, .version = 1, .body = data, .body_len = (uint32_t)size};
    if (log_append(l, &next, NULL, NULL) == HDW_OK) {
      io_run(x);
      check(log_read(l, next.pos, &a, &rec) == HDW_OK && rec.body_len == size && (size == 0 || memcmp(rec.body, data, size) == 0));
    }
    arena_free(&a);
    log_close(l);
    walk(x);
  }
  io_sim_free(x);
  check(m.used_bytes == 0);
  return 0;
}
