#include "log_int.h"

struct log_iter {
  io *x;
  char dir[LOG_PATH];
  log_list list;
  size_t at;             /* index of the open segment */
  bool open;             /* and read from its first record on without damage: its chain can be checked */
  log_scan scan;
  uint64_t next_seq, read_bytes, total_bytes;
  uint64_t skip_to;      /* records before are read but not given */
  hdw_status stuck;      /* HDW_E_CORRUPT until log_iter_skip_segment; anything else: the next segment could not be opened, and what is behind it is not given in its place */
  bool gap;              /* stuck because the open segment does not follow the one before; it is itself whole so far */
};

static hdw_status open_at(log_iter *it, size_t at) {
  char path[LOG_PATH];
  uint8_t prev[32];
  bool check = it->open;
  if (check && log_scan_digest(&it->scan, prev)) return HDW_E_NOMEM;
  if (it->open) {
    it->read_bytes += it->scan.size;
    log_scan_close(&it->scan);
  }
  it->open = false;
  it->at = at;
  hdw_status s = log_seg_path(it->dir, it->list.seq[at], path);
  if (!s) s = log_scan_open(&it->scan, it->x, path, it->list.seq[at], LOG_RECORD_MAX, true);
  if (s) return s;
  it->open = true;
  /* A missing segment shows as a gap, an exchanged one as a wrong hash. */
  it->gap = (check && memcmp(prev, it->scan.head.prev, sizeof prev) != 0) || (it->next_seq && it->scan.next_seq != it->next_seq);
  if (it->gap) return HDW_E_CORRUPT;
  it->next_seq = it->scan.next_seq;
  return HDW_OK;
}

hdw_status log_iter_open(io *x, const char *dir, uint64_t from_seq, log_iter **out) {
  *out = NULL;
  log_iter *it = (log_iter *)x->mem->get(x->mem, sizeof *it);
  if (!it) return HDW_E_NOMEM;
  memset(it, 0, sizeof *it);
  it->x = x;
  hdw_status s = strlen(dir) < sizeof it->dir ? HDW_OK : HDW_E_INVALID;
  if (!s) {
    memcpy(it->dir, dir, strlen(dir) + 1);
    s = log_list_get(x, dir, &it->list);
  }
  size_t first = 0;
  if (!s && it->list.n && from_seq) {
    if (from_seq < it->list.seq[0]) s = HDW_E_NOTFOUND;
    while (first + 1 < it->list.n && it->list.seq[first + 1] <= from_seq) first++;
  }
  for (size_t i = first; !s && i < it->list.n; i++) {
    char path[LOG_PATH];
    io_stat_info info;
    if (log_seg_path(dir, it->list.seq[i], path) == HDW_OK && io_stat(x, path, &info) == HDW_OK) it->total_bytes += info.size_bytes;
  }
  it->skip_to = from_seq;
  if (!s && it->list.n) {
    s = open_at(it, first);
    if (s == HDW_E_CORRUPT) {
      it->stuck = s;
      it->next_seq = it->list.seq[first];
      s = HDW_OK;
    }
  }
  if (s) {
    log_iter_close(it);
    return s;
  }
  *out = it;
  return HDW_OK;
}

static hdw_status stuck_at(log_iter *it, log_rec *rec, uint64_t off) {
  memset(rec, 0, sizeof *rec);
  rec->pos = (log_pos){it->list.seq[it->at], (uint32_t)off};
  rec->seq = it->next_seq;
  return it->stuck = HDW_E_CORRUPT;
}

/* At the last segment: is what does not parse only a torn (or unfinished) tail? */
static hdw_status end_or_damage(log_iter *it, log_rec *rec) {
  bool dirty, later;
  uint64_t end;
  hdw_status s = log_scan_tail(&it->scan, &dirty, &later, &end);
  if (s) return s;
  return later ? stuck_at(it, rec, it->scan.off) : HDW_E_NOTFOUND;
}

hdw_status log_iter_next(log_iter *it, log_rec *rec) {
  memset(rec, 0, sizeof *rec);
  if (!it->list.n) return HDW_E_NOTFOUND;
  if (it->stuck) return it->stuck == HDW_E_CORRUPT ? stuck_at(it, rec, it->open ? it->scan.off : 0) : it->stuck;
  for (;;) {
    hdw_status s = log_scan_next(&it->scan, rec);
    if (s == HDW_OK) {
      it->next_seq = it->scan.next_seq;
      if (rec->seq < it->skip_to) continue;
      return HDW_OK;
    }
    if (s != HDW_E_NOTFOUND && s != HDW_E_CORRUPT) return s;
    if (it->scan.head.compacted) {
      if (s == HDW_E_NOTFOUND) it->next_seq = it->scan.next_seq;
      if (it->at + 1 == it->list.n) return s == HDW_E_CORRUPT ? stuck_at(it, rec, it->scan.off) : s;
    }
    if (it->at + 1 == it->list.n) return end_or_damage(it, rec);
    if (s == HDW_E_CORRUPT) return stuck_at(it, rec, it->scan.off);
    s = open_at(it, it->at + 1);
    if (s == HDW_E_CORRUPT) {
      /* A last segment that has no header yet is the end. */
      if (!it->open && it->at + 1 == it->list.n && !it->scan.size) return HDW_E_NOTFOUND;
      return stuck_at(it, rec, it->open ? it->scan.off : 0);
    }
    if (s) return it->stuck = s;
  }
}

hdw_status log_iter_skip_segment(log_iter *it, uint64_t *lost) {
  *lost = 0;
  if (it->gap) {
    it->gap = false;
    it->stuck = HDW_OK;
    *lost = it->scan.next_seq > it->next_seq ? it->scan.next_seq - it->next_seq : 0;
    it->next_seq = it->scan.next_seq;
    return HDW_OK;
  }
  if (it->open) log_scan_close(&it->scan);
  it->open = false;
  it->stuck = HDW_OK;
  uint64_t expected = it->next_seq;
  while (it->at + 1 < it->list.n) {
    it->next_seq = 0;
    hdw_status s = open_at(it, it->at + 1);
    if (s == HDW_OK) {
      *lost = it->next_seq > expected ? it->next_seq - expected : 0;
      return HDW_OK;
    }
    if (s != HDW_E_CORRUPT) return it->stuck = s;
  }
  it->next_seq = expected;
  it->list.n = 0; /* nothing more */
  return HDW_E_NOTFOUND;
}

uint64_t log_iter_next_seq(const log_iter *it) { return it->next_seq; }

uint64_t log_iter_first_seq(const log_iter *it) { return it->list.n ? it->list.seq[0] : 0; }

bool log_iter_compacted(const log_iter *it) { return it->open && it->scan.head.compacted; }

void log_iter_progress(const log_iter *it, uint64_t *read_bytes, uint64_t *total_bytes) {
  *read_bytes = it->read_bytes + (it->open ? it->scan.off : 0);
  *total_bytes = it->total_bytes;
}

void log_iter_close(log_iter *it) {
  if (!it) return;
  io *x = it->x;
  if (it->open) log_scan_close(&it->scan);
  log_list_free(x, &it->list);
  x->mem->put(x->mem, it, sizeof *it);
}

hdw_status log_segments(io *x, const char *dir, log_segment_info *out, size_t cap, size_t *n) {
  log_list list;
  *n = 0;
  hdw_status s = log_list_get(x, dir, &list);
  if (s) return s;
  *n = list.n;
  for (size_t i = 0; i < list.n && i < cap; i++) {
    char path[LOG_PATH];
    io_stat_info info;
    out[i] = (log_segment_info){.first_seq = list.seq[i]};
    s = log_seg_path(dir, list.seq[i], path);
    if (!s) s = io_stat(x, path, &info);
    if (s) break;
    out[i].size_bytes = info.size_bytes;
    int fd;
    uint8_t head[LOG_HEADER];
    size_t got = 0;
    log_head h;
    if (io_open(x, path, IO_O_READ, &fd)) continue;
    if (io_pread(x, fd, head, sizeof head, 0, &got) == HDW_OK && got == sizeof head && log_head_get(head, &h) == HDW_OK) out[i].created_us = h.created_us, out[i].compacted = h.compacted;
    io_fclose(x, fd);
  }
  log_list_free(x, &list);
  return s;
}
