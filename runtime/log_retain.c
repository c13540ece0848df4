/* log_retain.c - compacted segments: what is still needed of a closed segment, in a file of the same name. */
#include "log_int.h"
#include "points.h"

struct log_compaction {
  io *x;
  char dir[LOG_PATH], tmp[LOG_PATH], path[LOG_PATH];
  log_scan in;
  bool in_open;
  int fd;
  log_compacted out;
  uint64_t off;              /* of the next entry */
  uint8_t *buf;              /* entries not yet written */
  size_t len, cap;
  uint8_t *index;            /* pairs of u32: offset it had, offset it has */
  size_t index_len, index_cap;
  hdw_status status;
};

/* Places in a segment have 32 bits. An entry needs 8 bytes more than its record, which has 40 at least: what comes out of so much is below 4 GiB. */
enum { BUFFER = 256 * 1024 };
#define COMPACT_MAX ((uint64_t)3 << 30)

/* ---- LOG_T_COMPACT ---- */

static void compacted_put(const log_compacted *c, uint8_t meta[LOG_COMPACT_META]) {
  memset(meta, 0, LOG_COMPACT_META);
  cod_w w = cod_writer(meta, LOG_COMPACT_META);
  cod_put_u64(&w, c->info.as_of);
  cod_put_u64(&w, (uint64_t)c->info.at_us);
  for (int i = 0; i < 4; i++) cod_put_u64(&w, (uint64_t)c->info.horizon_us[i]);
  cod_put_u64(&w, c->info.pinned_bytes);
  cod_put_u64(&w, c->info.next_seq);
  cod_put_u64(&w, (uint64_t)c->info.last_us);
  cod_put_u64(&w, c->info.was_bytes);
  cod_put_u32(&w, c->info.entries);
  for (int i = 0; i < 4; i++) cod_put_u64(&w, c->info.class_bytes[i]);
  cod_put_raw(&w, c->digest, LOG_DIGEST);
  cod_put_u64(&w, c->index_off);
}

hdw_status log_compacted_read(io *x, int fd, const log_head *h, log_compacted *out) {
  enum { SIZE = LOG_COMPACT_BEGIN - LOG_HEADER };
  uint8_t b[SIZE];
  size_t got = 0, size = 0;
  log_rec r;
  memset(out, 0, sizeof *out);
  hdw_status s = io_pread(x, fd, b, sizeof b, LOG_HEADER, &got);
  if (s) return s; /* it cannot be read now: nothing is known of what stands there */
  if (log_rec_get(b, got, log_crc_seed(h->salt, LOG_HEADER), LOG_COMPACT_META, &r, &size)) return HDW_E_CORRUPT;
  if (size != SIZE || r.type != LOG_T_COMPACT || r.meta_len != LOG_COMPACT_META) return HDW_E_CORRUPT;
  cod_r c = cod_reader(r.meta, r.meta_len);
  out->info.as_of = cod_get_u64(&c);
  out->info.at_us = (int64_t)cod_get_u64(&c);
  for (int i = 0; i < 4; i++) out->info.horizon_us[i] = (int64_t)cod_get_u64(&c);
  out->info.pinned_bytes = cod_get_u64(&c);
  out->info.next_seq = cod_get_u64(&c);
  out->info.last_us = (int64_t)cod_get_u64(&c);
  out->info.was_bytes = cod_get_u64(&c);
  out->info.entries = cod_get_u32(&c);
  for (int i = 0; i < 4; i++) out->info.class_bytes[i] = cod_get_u64(&c);
  cod_get_raw(&c, out->digest, LOG_DIGEST);
  out->index_off = cod_get_u64(&c);
  bool ok = out->info.as_of && out->info.next_seq > h->first_seq && out->index_off >= LOG_COMPACT_BEGIN;
  return ok ? HDW_OK : HDW_E_CORRUPT;
}

hdw_status log_compacted_find(io *x, int fd, const log_compacted *c, uint32_t was, uint64_t *off) {
  uint64_t lo = 0, hi = c->info.entries;
  while (lo < hi) {
    uint64_t mid = lo + (hi - lo) / 2;
    uint8_t b[8];
    size_t got = 0;
    hdw_status s = io_pread(x, fd, b, sizeof b, c->index_off + LOG_RECORD_HEADER + mid * 8, &got);
    if (s || got < sizeof b) return s ? s : HDW_E_CORRUPT;
    cod_r r = cod_reader(b, sizeof b);
    uint32_t at = cod_get_u32(&r), now = cod_get_u32(&r);
    if (at == was) {
      *off = (uint64_t)now + LOG_ENTRY;
      return HDW_OK;
    }
    if (at < was) lo = mid + 1;
    else hi = mid;
  }
  return HDW_E_NOTFOUND;
}

hdw_status log_compact_read(io *x, const char *dir, uint64_t seg, log_compact_info *out) {
  char path[LOG_PATH];
  uint8_t head[LOG_HEADER];
  size_t got = 0;
  int fd;
  log_head h;
  log_compacted c;
  memset(out, 0, sizeof *out);
  hdw_status s = log_seg_path(dir, seg, path);
  if (!s) s = io_open(x, path, IO_O_READ, &fd);
  if (s) return s;
  s = io_pread(x, fd, head, sizeof head, 0, &got);
  if (!s) s = got < sizeof head ? HDW_E_CORRUPT : log_head_get(head, &h);
  if (!s && h.compacted) {
    s = log_compacted_read(x, fd, &h, &c);
    if (!s) *out = c.info;
  }
  io_fclose(x, fd);
  return s;
}

hdw_status log_compact_check(io *x, const char *dir, uint64_t seg, uint64_t *wrong) {
  char path[LOG_PATH];
  log_scan sc;
  log_rec r;
  *wrong = 0;
  hdw_status s = log_seg_path(dir, seg, path);
  if (!s) s = log_scan_open(&sc, x, path, seg, LOG_RECORD_MAX, false);
  if (s) return s;
  while (!s && sc.head.compacted && !(s = log_scan_next(&sc, &r))) {
    uint64_t off = 0;
    s = log_compacted_find(x, sc.fd, &sc.comp, r.pos.off, &off);
    if (s == HDW_E_NOTFOUND || (!s && off != sc.off - sc.stored_size)) s = HDW_E_CORRUPT;
    if (s == HDW_E_CORRUPT) *wrong = r.seq;
  }
  log_scan_close(&sc);
  return s == HDW_E_NOTFOUND ? HDW_OK : s;
}

/* ---- making one ---- */

static bool grow(io *x, uint8_t **p, size_t len, size_t *cap, size_t want) {
  if (want <= *cap) return true;
  size_t n = *cap ? *cap : BUFFER;
  while (n < want) n *= 2;
  uint8_t *q = (uint8_t *)x->mem->get(x->mem, n);
  if (!q) return false;
  if (len) memcpy(q, *p, len);
  if (*p) x->mem->put(x->mem, *p, *cap);
  *p = q, *cap = n;
  return true;
}

/* There is something to be written. */
static hdw_status flush(log_compaction *c) {
  hdw_status s = io_pwrite(c->x, c->fd, c->buf, c->len, c->off - c->len);
  c->len = 0;
  return s;
}

/* Room for n bytes at c->off. */
static uint8_t *take(log_compaction *c, size_t n) {
  if (c->len && c->len + n > BUFFER && flush(c)) {
    c->status = HDW_E_IO;
    return NULL;
  }
  if (!grow(c->x, &c->buf, c->len, &c->cap, c->len + n)) {
    c->status = HDW_E_NOMEM;
    return NULL;
  }
  uint8_t *p = c->buf + c->len;
  c->len += n, c->off += n;
  return p;
}

hdw_status log_compact_begin(io *x, const char *dir, uint64_t seg, const log_compact_info *info, log_compaction **out) {
  log_compaction *c = (log_compaction *)x->mem->get(x->mem, sizeof *c);
  *out = NULL;
  if (!c) return HDW_E_NOMEM;
  memset(c, 0, sizeof *c);
  c->x = x, c->fd = -1;
  hdw_status s = strlen(dir) < sizeof c->dir && info->as_of ? HDW_OK : HDW_E_INVALID;
  if (!s) {
    memcpy(c->dir, dir, strlen(dir) + 1);
    s = log_seg_path(dir, seg, c->path);
  }
  if (!s) s = log_join(dir, "compact.tmp", c->tmp);
  if (!s) s = log_scan_open(&c->in, x, c->path, seg, LOG_RECORD_MAX, true);
  c->in_open = !s;
  if (!s && c->in.size > COMPACT_MAX) s = HDW_E_LIMIT;
  if (!s) s = io_open(x, c->tmp, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &c->fd);
  if (s) {
    log_compact_end(c);
    return s;
  }
  c->out.info = *info;
  c->out.info.last_us = c->in.head.compacted ? c->in.comp.info.last_us : 0;
  c->out.info.pinned_bytes = c->out.info.entries = 0;
  memset(c->out.info.class_bytes, 0, sizeof c->out.info.class_bytes);
  c->off = LOG_COMPACT_BEGIN;
  *out = c;
  return HDW_OK;
}

static hdw_status put_entry(log_compaction *c, const log_rec *r, bool bare) {
  uint32_t at = (uint32_t)c->off;
  size_t size = bare ? (size_t)log_rec_size(r->meta_len, 0) : c->in.stored_size;
  if (!grow(c->x, &c->index, c->index_len, &c->index_cap, c->index_len + 8)) return HDW_E_NOMEM;
  uint8_t *p = take(c, LOG_ENTRY + size);
  if (!p) return c->status;
  cod_w w = cod_writer(p, LOG_ENTRY);
  cod_put_u32(&w, r->pos.off);
  cod_put_u32(&w, 0);
  if (bare) {
    /* log_rec_put takes body_len for the size: the body's length goes in afterwards. */
    log_rec b = *r;
    b.flags = (uint16_t)((r->flags & ~(LOG_F_ZSTD | LOG_F_SEALED)) | LOG_F_BARE);
    b.body_len = 0;
    log_rec_put(&b, p + LOG_ENTRY);
    cod_w len = cod_writer(p + LOG_ENTRY + LOG_RECORD_HEADER - 4, 4);
    cod_put_u32(&len, r->body_len);
    log_rec_seal(p + LOG_ENTRY, size, log_crc_seed(c->in.head.salt, r->pos.off), false);
  } else {
    memcpy(p + LOG_ENTRY, c->in.stored, size);
  }
  cod_w i = cod_writer(c->index + c->index_len, 8);
  cod_put_u32(&i, r->pos.off);
  cod_put_u32(&i, at);
  c->index_len += 8;
  c->out.info.entries++;
  return HDW_OK;
}

static hdw_status one(log_compaction *c, const log_rec *r, log_judge judge, void *user) {
  bool pinned = false, was_bare = (r->flags & LOG_F_BARE) != 0;
  unsigned klass = 2;
  log_verdict v = judge(r, &pinned, &klass, user);
  if (r->time_us > c->out.info.last_us) c->out.info.last_us = r->time_us;
  if (v == LOG_V_DROP) return HDW_OK;
  bool bare = !was_bare && v == LOG_V_BARE && r->body_len;
  uint64_t before = c->off, body = was_bare || bare ? 0 : r->body_len;
  hdw_status s = put_entry(c, r, bare);
  uint64_t size = c->off - before, in_class = klass < 2 ? (body < size ? body : size) : 0;
  if (klass < 2) c->out.info.class_bytes[klass] += in_class;
  c->out.info.class_bytes[klass == 3 ? 3 : 2] += size - in_class;
  if (pinned) c->out.info.pinned_bytes += size;
  return s;
}

static hdw_status put_index(log_compaction *c) {
  log_rec r = {.type = LOG_T_INDEX, .version = 1, .seq = c->out.info.next_seq - 1, .time_us = c->out.info.at_us, .body = c->index, .body_len = (uint32_t)c->index_len};
  size_t size = (size_t)log_rec_size(0, c->index_len);
  c->out.index_off = c->off;
  uint8_t *p = take(c, size);
  if (!p) return c->status;
  log_rec_put(&r, p);
  log_rec_seal(p, size, log_crc_seed(c->in.head.salt, (uint32_t)c->out.index_off), false);
  return flush(c);
}

static hdw_status put_front(log_compaction *c) {
  uint8_t front[LOG_COMPACT_BEGIN], meta[LOG_COMPACT_META];
  log_head h = c->in.head;
  h.compacted = true;
  log_head_put(&h, front);
  compacted_put(&c->out, meta);
  log_rec r = {.type = LOG_T_COMPACT, .version = 1, .seq = h.first_seq, .time_us = c->out.info.at_us, .meta = meta, .meta_len = LOG_COMPACT_META};
  log_rec_put(&r, front + LOG_HEADER);
  log_rec_seal(front + LOG_HEADER, LOG_COMPACT_BEGIN - LOG_HEADER, log_crc_seed(h.salt, LOG_HEADER), false);
  return io_pwrite(c->x, c->fd, front, sizeof front, 0);
}

/* All but durable. */
static hdw_status seal(log_compaction *c) {
  c->out.info.next_seq = c->in.next_seq;
  c->out.info.was_bytes = c->in.head.compacted ? c->in.comp.info.was_bytes : c->in.off;
  hdw_status s = log_scan_digest(&c->in, c->out.digest);
  if (!s) s = put_index(c);
  return s ? s : put_front(c);
}

hdw_status log_compact_step(log_compaction *c, log_judge judge, void *user, unsigned n, bool *done) {
  log_rec r;
  *done = false;
  while (n-- && !c->status && !*done) {
    hdw_status s = log_scan_next(&c->in, &r);
    *done = s == HDW_E_NOTFOUND;
    c->status = *done ? seal(c) : s ? s : one(c, &r, judge, user);
  }
  return c->status;
}

hdw_status log_compact_commit(log_compaction *c, log_compact_info *info, uint64_t *size) {
  hdw_status s = c->status;
  if (!s) s = io_sync(c->x, c->fd);
  HDW_POINT("retain.before_rename");
  if (!s) s = io_rename(c->x, c->tmp, c->path);
  HDW_POINT("retain.renamed");
  if (!s) s = io_sync_dir(c->x, c->dir);
  *info = c->out.info;
  *size = c->off;
  return s;
}

void log_compact_end(log_compaction *c) {
  io *x = c->x;
  if (c->in_open) log_scan_close(&c->in);
  if (c->fd >= 0) io_fclose(x, c->fd);
  (void)io_unlink(x, c->tmp); /* when it did not get its name */
  if (c->buf) x->mem->put(x->mem, c->buf, c->cap);
  if (c->index) x->mem->put(x->mem, c->index, c->index_cap);
  x->mem->put(x->mem, c, sizeof *c);
}
