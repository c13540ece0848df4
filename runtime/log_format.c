#include "log_int.h"
#include <stdio.h>
#include <zstd.h>
#include <zstd_errors.h>

static const char magic[8] = {'h', 'd', 'w', 'l', 'o', 'g', '\r', '\n'};

void log_head_put(const log_head *h, uint8_t out[LOG_HEADER]) {
  memset(out, 0, LOG_HEADER);
  cod_w w = cod_writer(out, LOG_HEADER);
  cod_put_raw(&w, magic, sizeof magic);
  cod_put_u16(&w, LOG_FORMAT);
  cod_put_u16(&w, h->compacted);
  cod_put_u32(&w, LOG_HEADER);
  cod_put_u64(&w, h->first_seq);
  cod_put_u64(&w, (uint64_t)h->created_us);
  cod_put_raw(&w, h->salt, sizeof h->salt);
  cod_put_raw(&w, h->prev, sizeof h->prev);
  cod_put_u64(&w, h->size_bytes);
  cod_w c = cod_writer(out + LOG_HEADER - 4, 4);
  cod_put_u32(&c, cod_crc32c(0, out, LOG_HEADER - 4));
}

hdw_status log_head_get(const uint8_t in[LOG_HEADER], log_head *out) {
  cod_r c = cod_reader(in + LOG_HEADER - 4, 4);
  if (cod_get_u32(&c) != cod_crc32c(0, in, LOG_HEADER - 4) || memcmp(in, magic, sizeof magic) != 0) return HDW_E_CORRUPT;
  cod_r r = cod_reader(in + sizeof magic, LOG_HEADER - sizeof magic);
  if (cod_get_u16(&r) != LOG_FORMAT) return HDW_E_VERSION;
  uint16_t flags = cod_get_u16(&r);
  if (flags > 1) return HDW_E_VERSION;
  out->compacted = flags == 1;
  if (cod_get_u32(&r) != LOG_HEADER) return HDW_E_VERSION;
  out->first_seq = cod_get_u64(&r);
  out->created_us = (int64_t)cod_get_u64(&r);
  cod_get_raw(&r, out->salt, sizeof out->salt);
  cod_get_raw(&r, out->prev, sizeof out->prev);
  out->size_bytes = cod_get_u64(&r);
  return HDW_OK;
}

uint32_t log_crc_seed(const uint8_t salt[16], uint32_t off) {
  uint8_t b[20];
  cod_w w = cod_writer(b, sizeof b);
  cod_put_raw(&w, salt, 16);
  cod_put_u32(&w, off);
  return cod_crc32c(0, b, sizeof b);
}

void log_rec_put(const log_rec *r, uint8_t *out) {
  size_t size = (size_t)log_rec_size(r->meta_len, r->body_len), used = (size_t)LOG_RECORD_HEADER + r->meta_len + r->body_len;
  cod_w w = cod_writer(out, size);
  cod_put_u8(&w, r->type);
  cod_put_u8(&w, r->version);
  cod_put_u16(&w, r->flags);
  cod_put_u16(&w, r->partition);
  cod_put_u16(&w, r->key_id);
  cod_put_u64(&w, r->seq);
  cod_put_u64(&w, (uint64_t)r->time_us);
  cod_put_u32(&w, r->meta_len);
  cod_put_u32(&w, r->body_len);
  cod_put_raw(&w, r->meta, r->meta_len);
  cod_put_raw(&w, r->body, r->body_len);
  memset(out + used, 0, size - used);
}

uint32_t log_rec_seal(uint8_t *rec, size_t size, uint32_t seed, bool first) {
  if (first) rec[3] |= LOG_F_FIRST >> 8;
  uint32_t crc = cod_crc32c(seed, rec, size - 4);
  cod_w w = cod_writer(rec + size - 4, 4);
  cod_put_u32(&w, crc);
  return crc;
}

hdw_status log_rec_get(const uint8_t *p, size_t avail, uint32_t seed, uint64_t max_bytes, log_rec *out, size_t *size) {
  *size = LOG_RECORD_HEADER;
  if (avail < LOG_RECORD_HEADER) return HDW_E_AGAIN;
  cod_r r = cod_reader(p, LOG_RECORD_HEADER);
  memset(out, 0, sizeof *out);
  out->type = cod_get_u8(&r);
  out->version = cod_get_u8(&r);
  out->flags = cod_get_u16(&r);
  out->partition = cod_get_u16(&r);
  out->key_id = cod_get_u16(&r);
  out->seq = cod_get_u64(&r);
  out->time_us = (int64_t)cod_get_u64(&r);
  out->meta_len = cod_get_u32(&r);
  out->body_len = cod_get_u32(&r);
  if (out->type == 0) {
    /* Only all zeros are the end; a type byte that was damaged to 0 is not. */
    for (size_t i = 0; i < LOG_RECORD_HEADER; i++)
      if (p[i]) return HDW_E_CORRUPT;
    return HDW_E_NOTFOUND;
  }
  if ((uint64_t)out->meta_len + out->body_len > max_bytes) return HDW_E_CORRUPT;
  bool bare = (out->flags & LOG_F_BARE) != 0;
  *size = (size_t)log_rec_size(out->meta_len, bare ? 0 : out->body_len);
  if (avail < *size) return HDW_E_AGAIN;
  cod_r c = cod_reader(p + *size - 4, 4);
  if (cod_get_u32(&c) != cod_crc32c(seed, p, *size - 4)) return HDW_E_CORRUPT;
  out->meta = p + LOG_RECORD_HEADER;
  out->body = bare ? NULL : out->meta + out->meta_len;
  return HDW_OK;
}

hdw_status log_unpack(mem *m, log_rec *rec, uint8_t **raw, size_t *cap, uint64_t max_bytes) {
  if (!(rec->flags & LOG_F_ZSTD)) return HDW_OK;
  cod_r r = cod_reader(rec->body, rec->body_len);
  uint32_t len = cod_get_u32(&r);
  if (r.bad || len > max_bytes) return HDW_E_CORRUPT;
  if (len > *cap) {
    uint8_t *b = (uint8_t *)m->get(m, len);
    if (!b) return HDW_E_NOMEM;
    if (*raw) m->put(m, *raw, *cap);
    *raw = b, *cap = len;
  }
  size_t n = ZSTD_decompress(*raw, len, r.p, (size_t)(r.end - r.p));
  if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation) return HDW_E_NOMEM;
  if (n != len) return HDW_E_CORRUPT; /* errors are beyond any length */
  rec->flags &= (uint16_t)~LOG_F_ZSTD;
  rec->body = *raw, rec->body_len = len;
  return HDW_OK;
}

/* ---- names ---- */

hdw_status log_join(const char *dir, const char *name, char out[LOG_PATH]) {
  int n = snprintf(out, LOG_PATH, "%s/%s", dir, name);
  return (unsigned)n >= LOG_PATH ? HDW_E_INVALID : HDW_OK; /* a failure is below 0, which is beyond any length */
}

hdw_status log_seg_path(const char *dir, uint64_t first_seq, char out[LOG_PATH]) {
  char name[32];
  snprintf(name, sizeof name, "%020llu.seg", (unsigned long long)first_seq);
  return log_join(dir, name, out);
}

typedef struct lister {
  mem *m;
  log_list *l;
  hdw_status status;
} lister;

static bool list_one(const char *name, void *user) {
  lister *t = (lister *)user;
  uint64_t v = 0;
  size_t i = 0;
  for (; i < 20 && name[i] >= '0' && name[i] <= '9'; i++) {
    if (v > (UINT64_MAX - 9) / 10) return true;
    v = v * 10 + (uint64_t)(name[i] - '0');
  }
  if (i != 20 || v == 0 || strcmp(name + 20, ".seg") != 0) return true;
  log_list *l = t->l;
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : 64;
    uint64_t *p = (uint64_t *)t->m->get(t->m, cap * sizeof *p);
    if (!p) {
      t->status = HDW_E_NOMEM;
      return false;
    }
    if (l->n) memcpy(p, l->seq, l->n * sizeof *p);
    if (l->seq) t->m->put(t->m, l->seq, l->cap * sizeof *p);
    l->seq = p, l->cap = cap;
  }
  size_t k = l->n++;
  for (; k > 0 && l->seq[k - 1] > v; k--) l->seq[k] = l->seq[k - 1];
  l->seq[k] = v;
  return true;
}

hdw_status log_list_get(io *x, const char *dir, log_list *out) {
  memset(out, 0, sizeof *out);
  lister t = {x->mem, out, HDW_OK};
  hdw_status s = io_list(x, dir, list_one, &t);
  if (!s) s = t.status;
  if (s) log_list_free(x, out);
  return s;
}

void log_list_free(io *x, log_list *l) {
  if (l->seq) x->mem->put(x->mem, l->seq, l->cap * sizeof *l->seq);
  memset(l, 0, sizeof *l);
}
