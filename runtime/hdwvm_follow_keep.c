/* hdwvm_follow_keep.c - retention at a standby: rows go by the primary's REC_EXPIRE records, which are folded like all others; bytes go by taking the primary's
 * filtered segments in the place of the own ones.
 *
 * A filtered segment relies on those before it having been filtered as far (a record that removes is left out when nothing before it can need it). So they are
 * exchanged from the oldest on, each only when all before it are as the primary's at a moment after it was made; and only when the own state is
 * committed beyond the state by which it was filtered. */
#include "hdwvm_follow.h"

/* What is here of a segment. HDW_E_NOTFOUND. */
static hdw_status mine(follower *f, uint64_t seg, uint64_t *as_of) {
  log_compact_info info;
  hdw_status s = log_compact_read(f->io, f->log, seg, &info);
  *as_of = info.as_of;
  return s;
}

/* Every own segment before seg is as theirs. */
static bool same_before(follower *f, const follow_list *l, uint64_t seg) {
  for (uint32_t i = 0; i < l->n && l->v[i].seg < seg; i++) {
    uint64_t as_of;
    if (mine(f, l->v[i].seg, &as_of) || as_of != l->v[i].as_of) return false;
  }
  return true;
}

/* Segments that the primary dropped, when the record that says so is folded and committed here. */
static hdw_status drop(follower *f, const follow_list *l, const log_list *own) {
  char path[LOG_PATH];
  if (!own->n || own->seq[0] >= l->v[0].seg) return HDW_OK;
  if (store_first(f->s) < l->v[0].seg) return HDW_E_AGAIN;
  hdw_status s = HDW_OK;
  for (size_t i = 0; !s && i < own->n && own->seq[i] < l->v[0].seg; i++) {
    s = log_seg_path(f->log, own->seq[i], path);
    if (!s) s = io_unlink(f->io, path);
    if (!s) s = io_sync_dir(f->io, f->log);
  }
  return s;
}

/* All of the primary's file into tmp. HDW_E_AGAIN: it changed meanwhile, or does not come. */
static hdw_status fetch(follower *f, uint64_t seg, uint64_t as_of, const char *tmp) {
  int fd;
  uint64_t off = 0;
  bool more = true;
  hdw_status s = io_open(f->io, tmp, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd);
  while (!s && more) {
    arena a;
    ship_head h;
    const uint8_t *p;
    size_t n;
    arena_init(&a, &f->mem.m, 0);
    if (follow_ask_piece(f, &a, seg, off, &h, &p, &n) != 200 || h.seg != seg || h.as_of != as_of || off + n > h.end) s = HDW_E_AGAIN;
    if (!s && n) s = io_pwrite(f->io, fd, p, n, off);
    off += s ? 0 : n;
    more = !s && n > 0 && off < h.end;
    arena_free(&a);
  }
  if (!s) s = io_sync(f->io, fd);
  if (fd >= 0) io_fclose(f->io, fd);
  return s;
}

/* Is what came whole, of that state, and the segment that the next one here follows? */
static hdw_status check(follower *f, uint64_t seg, uint64_t as_of, uint64_t next, const char *tmp) {
  char path[LOG_PATH];
  uint8_t head[LOG_HEADER];
  size_t got = 0;
  log_scan sc;
  log_rec r;
  log_head h;
  int fd;
  hdw_status s = log_scan_open(&sc, f->io, tmp, seg, LOG_RECORD_MAX, false);
  if (s) return s;
  if (!sc.head.compacted || sc.comp.info.as_of != as_of || sc.comp.info.next_seq != next) s = HDW_E_CORRUPT;
  while (!s && !(s = log_scan_next(&sc, &r)));
  if (s == HDW_E_NOTFOUND) s = HDW_OK;
  if (!s) s = log_seg_path(f->log, next, path);
  if (!s) s = io_open(f->io, path, IO_O_READ, &fd);
  if (!s) {
    s = io_pread(f->io, fd, head, sizeof head, 0, &got);
    if (!s) s = got < sizeof head ? HDW_E_CORRUPT : log_head_get(head, &h);
    if (!s && memcmp(h.prev, sc.comp.digest, LOG_DIGEST) != 0) s = HDW_E_CORRUPT;
    io_fclose(f->io, fd);
  }
  log_scan_close(&sc);
  return s;
}

static hdw_status exchange(follower *f, uint64_t seg, uint64_t as_of, uint64_t next) {
  char tmp[LOG_PATH], path[LOG_PATH];
  arena a;
  follow_list now;
  hdw_status s = log_join(f->log, "theirs.tmp", tmp);
  if (!s) s = log_seg_path(f->log, seg, path);
  if (!s) s = fetch(f, seg, as_of, tmp);
  if (!s) s = check(f, seg, as_of, next, tmp);
  arena_init(&a, &f->mem.m, 0);
  if (!s && (!follow_ask_list(f, &a, &now) || !same_before(f, &now, seg))) s = HDW_E_AGAIN;
  arena_free(&a);
  if (!s) s = io_rename(f->io, tmp, path);
  if (!s) return io_sync_dir(f->io, f->log);
  (void)io_unlink(f->io, tmp);
  return s == HDW_E_CORRUPT ? HDW_E_AGAIN : s; /* it changed while it came */
}

hdw_status follow_keep(follower *f) {
  arena a;
  follow_list l;
  log_list own;
  arena_init(&a, &f->mem.m, 0);
  hdw_status s = follow_ask_list(f, &a, &l) && l.n && f->s ? log_list_get(f->io, f->log, &own) : HDW_E_AGAIN;
  if (s) {
    arena_free(&a);
    return s;
  }
  s = drop(f, &l, &own);
  bool done = false;
  for (uint32_t i = 0; !s && !done && i + 1 < l.n && l.v[i].seg < f->seg; i++) {
    uint64_t as_of = 0;
    s = mine(f, l.v[i].seg, &as_of);
    if (s || as_of == l.v[i].as_of) continue;
    done = true;
    s = l.v[i].as_of < as_of || l.v[i].as_of > store_committed(f->s) ? HDW_E_AGAIN : exchange(f, l.v[i].seg, l.v[i].as_of, l.v[i + 1].seg);
  }
  log_list_free(f->io, &own);
  arena_free(&a);
  return s ? s : done ? HDW_OK : HDW_E_NOTFOUND;
}
