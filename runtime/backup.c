/* backup.c - copying and checking the log. */
#include <stdio.h>
#include "backup.h"
#include "log_int.h"

enum { MAX_SEGMENTS = 1 << 20, ROUNDS = 8, PART = 1 << 20 };

/* What tells one version of a segment's file from another. */
typedef struct face {
  uint64_t seq, as_of, size;
  uint8_t salt[16];
  bool there;
} face;

static hdw_status face_of(io *x, const char *dir, uint64_t seq, face *f) {
  char path[LOG_PATH];
  uint8_t head[LOG_HEADER];
  io_stat_info st;
  size_t got = 0;
  int fd;
  log_head h;
  log_compacted c;
  *f = (face){.seq = seq};
  hdw_status s = log_seg_path(dir, seq, path);
  if (!s) s = io_stat(x, path, &st);
  if (!s) s = io_open(x, path, IO_O_READ, &fd);
  if (s) return s == HDW_E_NOTFOUND ? HDW_OK : s;
  f->there = true, f->size = st.size_bytes;
  s = io_pread(x, fd, head, sizeof head, 0, &got);
  if (!s && got == sizeof head && !log_head_get(head, &h)) {
    memcpy(f->salt, h.salt, sizeof f->salt);
    if (h.compacted && !log_compacted_read(x, fd, &h, &c)) f->as_of = c.info.as_of;
  }
  io_fclose(x, fd);
  return s;
}

static hdw_status copy_bytes(io *x, int in, int out, uint64_t bytes) {
  uint8_t *b = (uint8_t *)x->mem->get(x->mem, PART);
  hdw_status s = b ? HDW_OK : HDW_E_NOMEM;
  for (uint64_t at = 0; at < bytes && !s;) {
    size_t n = bytes - at < PART ? (size_t)(bytes - at) : PART, got = 0;
    s = io_pread(x, in, b, n, at, &got);
    if (!s && got < n) s = HDW_E_IO;
    if (!s) s = io_pwrite(x, out, b, n, at);
    at += n;
  }
  if (b) x->mem->put(x->mem, b, PART);
  return s;
}

/* What does not parse in the last segment: only a torn tail, or damage with batches behind it? A daemon may be writing: what was half there at the first look is whole
 * when a batch behind it is, so only what stays at a second one is damage. */
static hdw_status damaged_within(io *x, const char *path, uint64_t seq, log_scan *first, bool *bad) {
  bool dirty, later;
  uint64_t end;
  log_scan sc;
  log_rec r;
  *bad = false;
  hdw_status s = log_scan_tail(first, &dirty, &later, &end);
  if (s || !later) return s;
  s = log_scan_open(&sc, x, path, seq, LOG_RECORD_MAX, false);
  if (s) return s;
  while (!(s = log_scan_next(&sc, &r)));
  if (s == HDW_E_NOTFOUND || s == HDW_E_CORRUPT) s = HDW_OK, *bad = sc.off == first->off;
  log_scan_close(&sc);
  return s;
}

/* One segment, up to its last complete record. *end: bytes taken. */
static hdw_status copy_segment(io *x, const char *from, const char *to, uint64_t seq, bool last, uint64_t *end, uint64_t *next_seq) {
  char src[LOG_PATH], dst[LOG_PATH], tmp[LOG_PATH];
  log_scan sc;
  log_rec r;
  int out = -1;
  hdw_status s = log_seg_path(from, seq, src);
  if (!s) s = log_seg_path(to, seq, dst);
  if (!s) s = log_join(to, "copy.tmp", tmp);
  if (!s) s = log_scan_open(&sc, x, src, seq, LOG_RECORD_MAX, false);
  if (s) return s;
  while (!(s = log_scan_next(&sc, &r)));
  bool open = last && !sc.head.compacted, bad = s == HDW_E_CORRUPT && !open;
  if (open && (s == HDW_E_CORRUPT || s == HDW_E_NOTFOUND)) {
    hdw_status look = damaged_within(x, src, seq, &sc, &bad);
    if (look) s = look;
  }
  *next_seq = sc.next_seq;
  *end = sc.head.compacted || bad ? sc.size : sc.off;
  s = s == HDW_E_NOTFOUND || s == HDW_E_CORRUPT ? io_open(x, tmp, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &out) : s;
  if (!s) s = copy_bytes(x, sc.fd, out, *end);
  if (!s) s = io_sync(x, out);
  if (out >= 0) io_fclose(x, out);
  log_scan_close(&sc);
  if (!s) s = io_rename(x, tmp, dst);
  return s ? s : bad ? HDW_E_CORRUPT : HDW_OK;
}

/* Removes from the copy what the source no longer has, and refuses a copy of something else. */
static hdw_status prune(io *x, const char *to, const log_list *src, backup_report *out) {
  log_list have;
  char path[LOG_PATH];
  hdw_status s = log_list_get(x, to, &have);
  for (size_t i = 0; !s && i < have.n; i++) {
    bool found = false;
    for (size_t k = 0; k < src->n && !found; k++) found = src->seq[k] == have.seq[i];
    if (found) continue;
    if (!src->n || have.seq[i] > src->seq[0]) s = HDW_E_INVALID; /* only the oldest go */
    if (!s) s = log_seg_path(to, have.seq[i], path);
    if (!s) s = io_unlink(x, path);
    out->removed += !s;
  }
  log_list_free(x, &have);
  return s;
}

static bool same_face(const face *a, const face *b) { return a->there == b->there && a->as_of == b->as_of && !memcmp(a->salt, b->salt, sizeof a->salt); }

/* Once over all segments. *moved: retention exchanged one meanwhile. */
static hdw_status round_of(io *x, const char *from, const char *to, backup_report *out, bool *moved) {
  log_list list;
  *moved = false;
  hdw_status s = log_list_get(x, from, &list), bad = HDW_OK;
  if (s) return s;
  face *before = (face *)x->mem->get(x->mem, (list.n + 1) * sizeof *before);
  if (!before) s = HDW_E_NOMEM;
  for (size_t i = 0; !s && i < list.n; i++) s = face_of(x, from, list.seq[i], &before[i]);
  if (!s) s = prune(x, to, &list, out);
  out->segments = list.n, out->bytes = 0;
  for (size_t i = 0; !s && i < list.n; i++) {
    face have;
    bool last = i + 1 == list.n;
    uint64_t end = 0;
    s = face_of(x, to, list.seq[i], &have);
    if (!s && have.there && memcmp(have.salt, before[i].salt, 16) != 0) s = HDW_E_INVALID;
    if (s) break;
    if (!last && same_face(&have, &before[i]) && have.size >= (before[i].as_of ? before[i].size : 0) && have.as_of) {
      out->bytes += have.size; /* compacted, the same: it never grows */
      continue;
    }
    if (!last && same_face(&have, &before[i]) && have.size == before[i].size) {
      out->bytes += have.size;
      continue;
    }
    s = copy_segment(x, from, to, list.seq[i], last, &end, &out->last_seq);
    if (s == HDW_E_NOTFOUND) *moved = true, s = HDW_OK;
    if (s == HDW_E_CORRUPT) {
      bad = s, s = HDW_OK;
      if (!out->bad[0]) snprintf(out->bad, sizeof out->bad, "%020llu.seg", (unsigned long long)list.seq[i]);
    }
    out->copied++, out->copied_bytes += end, out->bytes += end;
    if (last && out->last_seq) out->last_seq--;
  }
  for (size_t i = 0; !s && i < list.n; i++) {
    face now;
    s = face_of(x, from, list.seq[i], &now);
    *moved |= !same_face(&now, &before[i]);
  }
  if (before) x->mem->put(x->mem, before, (list.n + 1) * sizeof *before);
  log_list_free(x, &list);
  return s ? s : bad;
}

hdw_status backup_copy(io *x, const char *from, const char *to, backup_report *out) {
  memset(out, 0, sizeof *out);
  hdw_status s = io_mkdir(x, to);
  if (s == HDW_E_EXISTS) s = HDW_OK;
  /* A filtered segment is only right together with those that were filtered before it: all of one moment, or again. */
  bool moved = true;
  for (int i = 0; i < ROUNDS && moved && !s; i++) s = round_of(x, from, to, out, &moved);
  hdw_status d = io_sync_dir(x, to);
  return s ? s : moved ? HDW_E_AGAIN : d;
}

/* ---- checking ------------------------------------------------------------------------------------------------------------------- */

hdw_status check_log(io *x, const char *dir, check_say say, void *user, check_report *out) {
  log_iter *it;
  log_rec r;
  log_list list;
  char line[240];
  memset(out, 0, sizeof *out);
  hdw_status s = log_list_get(x, dir, &list);
  if (s) return s;
  out->segments = list.n;
  for (size_t i = 0; i < list.n; i++) {
    face f;
    uint64_t wrong = 0;
    if (face_of(x, dir, list.seq[i], &f)) continue;
    out->bytes += f.size;
    if (!f.as_of) continue;
    out->compacted++;
    if (log_compact_check(x, dir, list.seq[i], &wrong) == HDW_E_CORRUPT && wrong) {
      snprintf(line, sizeof line, "log/%020llu.seg: record %llu is not found at its place", (unsigned long long)list.seq[i], (unsigned long long)wrong);
      say(line, user);
      out->damaged++;
    }
  }
  log_list_free(x, &list);
  s = log_iter_open(x, dir, 0, &it);
  if (s) return s;
  for (;;) {
    s = log_iter_next(it, &r);
    if (s == HDW_OK) {
      out->records++, out->last_seq = r.seq;
      continue;
    }
    if (s != HDW_E_CORRUPT) break;
    snprintf(line, sizeof line, "log/%020llu.seg: damaged at byte %u: record %llu is not there as it was written", (unsigned long long)r.pos.seg, r.pos.off, (unsigned long long)r.seq);
    say(line, user);
    out->damaged++;
    uint64_t lost = 0;
    s = log_iter_skip_segment(it, &lost);
    out->lost += lost;
    if (s) break;
  }
  log_iter_close(it);
  if (s && s != HDW_E_NOTFOUND) return s;
  return out->damaged ? HDW_E_CORRUPT : HDW_OK;
}
