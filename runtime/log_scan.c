#include "log_int.h"

enum { WINDOW = 1 << 20 };

static hdw_status win_reserve(log_scan *s, size_t want) {
  if (want <= s->win_cap) return HDW_OK;
  size_t cap = s->win_cap ? s->win_cap : s->size < WINDOW ? 4096 : WINDOW;
  if (!s->win_cap)
    while (cap < s->size && cap < WINDOW) cap *= 2;
  while (cap < want) cap *= 2;
  uint8_t *p = (uint8_t *)s->x->mem->get(s->x->mem, cap);
  if (!p) return HDW_E_NOMEM;
  if (s->win_len) memcpy(p, s->win, s->win_len);
  if (s->win) s->x->mem->put(s->x->mem, s->win, s->win_cap);
  s->win = p, s->win_cap = cap;
  return HDW_OK;
}

/* Makes [off, off + want) part of the window as far as the file goes; *avail = bytes from off on. */
static hdw_status win_fill(log_scan *s, uint64_t off, size_t want, size_t *avail) {
  uint64_t end = s->win_off + s->win_len;
  if (off >= s->win_off && off + want <= end) {
    *avail = (size_t)(end - off);
    return HDW_OK;
  }
  size_t keep = off >= s->win_off && off < end ? (size_t)(end - off) : 0;
  if (keep) memmove(s->win, s->win + (off - s->win_off), keep);
  s->win_off = off, s->win_len = keep;
  hdw_status st = win_reserve(s, want);
  if (st) return st;
  size_t got = 0;
  st = io_pread(s->x, s->fd, s->win + keep, s->win_cap - keep, off + keep, &got);
  if (st) return st;
  s->win_len += got;
  *avail = s->win_len;
  return HDW_OK;
}

hdw_status log_scan_open(log_scan *s, io *x, const char *path, uint64_t first_seq, uint64_t max_bytes, bool chain) {
  memset(s, 0, sizeof *s);
  s->x = x, s->fd = -1, s->max_bytes = max_bytes;
  io_stat_info info;
  hdw_status st = io_stat(x, path, &info);
  if (!st) st = io_open(x, path, IO_O_READ, &s->fd);
  if (st) return st;
  s->size = info.size_bytes;
  uint8_t head[LOG_HEADER];
  size_t got = 0;
  st = io_pread(x, s->fd, head, sizeof head, 0, &got);
  if (!st) st = got < sizeof head ? HDW_E_CORRUPT : log_head_get(head, &s->head);
  if (!st && s->head.first_seq != first_seq) st = HDW_E_CORRUPT;
  if (!st && s->head.compacted) st = log_compacted_read(x, s->fd, &s->head, &s->comp);
  if (!st && s->comp.index_off > s->size) st = HDW_E_CORRUPT;
  if (!st && chain && !s->head.compacted) {
    s->chain = EVP_MD_CTX_new();
    if (!s->chain || !EVP_DigestInit_ex(s->chain, EVP_sha256(), NULL) || !EVP_DigestUpdate(s->chain, head, sizeof head)) st = HDW_E_NOMEM;
  }
  s->off = s->head.compacted ? LOG_COMPACT_BEGIN : LOG_HEADER;
  s->next_seq = first_seq;
  if (st) {
    log_scan_close(s);
    s->size = info.size_bytes;
  }
  return st;
}

static size_t zero_bytes(const uint8_t *p, size_t n) {
  size_t i = 0;
  for (uint64_t v; i + 8 <= n; i += 8) {
    memcpy(&v, p + i, 8);
    if (v) break;
  }
  while (i < n && p[i] == 0) i++;
  return i;
}

/* The next entry of a compacted segment. Between entries only sequences may be missing. */
static hdw_status next_entry(log_scan *s, log_rec *rec) {
  size_t avail = 0, need = LOG_RECORD_HEADER;
  uint64_t end = s->comp.index_off;
  log_rec r;
  hdw_status st;
  if (s->off >= end) {
    if (s->entries != s->comp.info.entries) return HDW_E_CORRUPT; /* the last one ends at end: each was looked at */
    s->next_seq = s->comp.info.next_seq;
    return HDW_E_NOTFOUND;
  }
  uint32_t was = 0;
  do {
    if (s->off + LOG_ENTRY + need > end) return HDW_E_CORRUPT;
    st = win_fill(s, s->off, LOG_ENTRY + need, &avail);
    if (st) return st;
    if (avail < LOG_ENTRY + need) return HDW_E_CORRUPT;
    const uint8_t *p = s->win + (s->off - s->win_off);
    cod_r c = cod_reader(p, LOG_ENTRY);
    was = cod_get_u32(&c);
    if (cod_get_u32(&c)) return HDW_E_CORRUPT;
    st = log_rec_get(p + LOG_ENTRY, avail - LOG_ENTRY, log_crc_seed(s->head.salt, was), s->max_bytes, &r, &need);
  } while (st == HDW_E_AGAIN); /* more than there was is needed */
  if (st) return HDW_E_CORRUPT;
  if (r.seq < s->next_seq || r.seq >= s->comp.info.next_seq || was <= s->last_off) return HDW_E_CORRUPT;
  s->stored = s->win + (s->off - s->win_off) + LOG_ENTRY, s->stored_size = need;
  r.pos = (log_pos){s->head.first_seq, was};
  *rec = r;
  st = r.flags & LOG_F_BARE ? HDW_OK : log_unpack(s->x->mem, rec, &s->raw, &s->raw_cap, s->max_bytes);
  if (st) return st;
  s->last_off = was;
  s->entries++;
  s->last_type = r.type;
  s->off += LOG_ENTRY + need;
  s->next_seq = r.seq + 1;
  return HDW_OK;
}

hdw_status log_scan_digest(log_scan *s, uint8_t out[LOG_DIGEST]) {
  unsigned len = 0;
  if (s->head.compacted) {
    memcpy(out, s->comp.digest, LOG_DIGEST);
    return HDW_OK;
  }
  return s->chain && EVP_DigestFinal_ex(s->chain, out, &len) ? HDW_OK : HDW_E_NOMEM;
}

hdw_status log_scan_next(log_scan *s, log_rec *rec) {
  size_t avail = 0, need = LOG_RECORD_HEADER;
  memset(rec, 0, sizeof *rec);
  rec->pos = (log_pos){s->head.first_seq, (uint32_t)s->off};
  rec->seq = s->next_seq;
  if (s->head.compacted) return next_entry(s, rec);
  log_rec r;
  hdw_status st;
  uint32_t seed = log_crc_seed(s->head.salt, (uint32_t)s->off);
  if (s->off >= s->size) return HDW_E_NOTFOUND;
  do {
    st = win_fill(s, s->off, need, &avail);
    if (st) return st;
    const uint8_t *p = s->win + (s->off - s->win_off);
    /* Less than a header is left of a preallocated file. */
    if (s->size - s->off < LOG_RECORD_HEADER) return zero_bytes(p, avail) == avail ? HDW_E_NOTFOUND : HDW_E_CORRUPT;
    if (avail < need) return HDW_E_CORRUPT; /* the file became shorter: whoever opened it cut off a torn tail */
    st = log_rec_get(p, avail, seed, s->max_bytes, &r, &need);
    if (st == HDW_E_AGAIN && s->off + need > s->size) return HDW_E_CORRUPT;
  } while (st == HDW_E_AGAIN);
  if (st) return st;
  if (r.seq != s->next_seq || (r.flags & LOG_F_BARE)) return HDW_E_CORRUPT;
  s->stored = s->win + (s->off - s->win_off), s->stored_size = need;
  r.pos = rec->pos;
  *rec = r;
  st = log_unpack(s->x->mem, rec, &s->raw, &s->raw_cap, s->max_bytes);
  s->whole = st == HDW_E_CORRUPT;
  if (st) return st;
  if (s->chain && !EVP_DigestUpdate(s->chain, s->stored + need - 4, 4)) return HDW_E_NOMEM;
  s->last_type = r.type;
  s->off += need;
  s->next_seq++;
  return HDW_OK;
}

/* Is a valid record with LOG_F_FIRST and a later sequence at off? */
static hdw_status begins_batch(log_scan *s, uint64_t off, bool *yes) {
  size_t avail = 0, need = LOG_RECORD_HEADER;
  *yes = false;
  for (;;) {
    hdw_status st = win_fill(s, off, need, &avail);
    if (st) return st;
    const uint8_t *p = s->win + (off - s->win_off);
    if (avail < need || p[0] == 0 || !(p[3] & LOG_F_FIRST >> 8)) return HDW_OK;
    cod_r c = cod_reader(p + 8, 8);
    uint64_t seq = cod_get_u64(&c);
    if (seq <= s->next_seq || seq > s->next_seq + s->size / LOG_RECORD_HEADER) return HDW_OK;
    log_rec r;
    st = log_rec_get(p, avail, log_crc_seed(s->head.salt, (uint32_t)off), s->max_bytes, &r, &need);
    if (st != HDW_E_AGAIN || off + need > s->size) {
      *yes = st == HDW_OK;
      return HDW_OK;
    }
  }
}

hdw_status log_scan_tail(log_scan *s, bool *dirty, bool *later_batch, uint64_t *dirty_end) {
  *dirty = *later_batch = s->whole;
  *dirty_end = s->off;
  if (s->whole) return HDW_OK;
  for (uint64_t off = s->off; off < s->size;) {
    size_t avail = 0;
    hdw_status st = win_fill(s, off, LOG_RECORD_HEADER, &avail);
    if (st) return st;
    if (avail == 0) break;
    const uint8_t *p = s->win + (off - s->win_off);
    size_t zeros = zero_bytes(p, avail);
    if (zeros == avail) {
      st = io_next_data(s->x, s->fd, off + avail, &off);
      if (st) return st;
      continue;
    }
    /* Records begin at multiples of 8. */
    uint64_t at = (off + zeros) & ~(uint64_t)7;
    *dirty = true;
    *dirty_end = at + 8;
    if (at > s->off) {
      st = begins_batch(s, at, later_batch);
      if (st || *later_batch) return st;
    }
    off = at + 8;
  }
  if (*dirty_end > s->size) *dirty_end = s->size;
  return HDW_OK;
}

void log_scan_close(log_scan *s) {
  if (s->fd >= 0) io_fclose(s->x, s->fd);
  if (s->win) s->x->mem->put(s->x->mem, s->win, s->win_cap);
  if (s->raw) s->x->mem->put(s->x->mem, s->raw, s->raw_cap);
  EVP_MD_CTX_free(s->chain);
  memset(s, 0, sizeof *s);
  s->fd = -1;
}
