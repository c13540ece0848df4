#include "codec.h"
#include <openssl/evp.h>

void cod_put_raw(cod_w *w, const void *p, size_t len) {
  if (w->bad || len > w->cap - w->len) {
    w->bad = true;
    return;
  }
  if (len) memcpy(w->p + w->len, p, len);
  w->len += len;
}

void cod_put_u8(cod_w *w, uint8_t v) { cod_put_raw(w, &v, 1); }

void cod_put_u16(cod_w *w, uint16_t v) {
  uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
  cod_put_raw(w, b, sizeof b);
}

void cod_put_u32(cod_w *w, uint32_t v) {
  uint8_t b[4];
  for (int i = 0; i < 4; i++) b[i] = (uint8_t)(v >> (8 * i));
  cod_put_raw(w, b, sizeof b);
}

void cod_put_u64(cod_w *w, uint64_t v) {
  uint8_t b[8];
  for (int i = 0; i < 8; i++) b[i] = (uint8_t)(v >> (8 * i));
  cod_put_raw(w, b, sizeof b);
}

void cod_put_be16(cod_w *w, uint16_t v) {
  uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
  cod_put_raw(w, b, sizeof b);
}

void cod_put_be64(cod_w *w, uint64_t v) {
  uint8_t b[8];
  for (int i = 0; i < 8; i++) b[i] = (uint8_t)(v >> (56 - 8 * i));
  cod_put_raw(w, b, sizeof b);
}

void cod_put_var(cod_w *w, uint64_t v) {
  uint8_t b[10];
  size_t n = 0;
  while (v >= 0x80) b[n++] = (uint8_t)(v | 0x80), v >>= 7;
  b[n++] = (uint8_t)v;
  cod_put_raw(w, b, n);
}

void cod_put_str(cod_w *w, cod_str s) {
  cod_put_var(w, s.len);
  cod_put_raw(w, s.p, s.len);
}

bool cod_get_raw(cod_r *r, void *p, size_t len) {
  if (r->bad || len > (size_t)(r->end - r->p)) {
    r->bad = true;
    memset(p, 0, len);
    return false;
  }
  if (len) memcpy(p, r->p, len);
  r->p += len;
  return true;
}

uint8_t cod_get_u8(cod_r *r) {
  uint8_t v;
  cod_get_raw(r, &v, 1);
  return v;
}

uint16_t cod_get_u16(cod_r *r) {
  uint8_t b[2];
  cod_get_raw(r, b, sizeof b);
  return (uint16_t)(b[0] | b[1] << 8);
}

uint32_t cod_get_u32(cod_r *r) {
  uint8_t b[4];
  uint32_t v = 0;
  cod_get_raw(r, b, sizeof b);
  for (int i = 0; i < 4; i++) v |= (uint32_t)b[i] << (8 * i);
  return v;
}

uint64_t cod_get_u64(cod_r *r) {
  uint8_t b[8];
  uint64_t v = 0;
  cod_get_raw(r, b, sizeof b);
  for (int i = 0; i < 8; i++) v |= (uint64_t)b[i] << (8 * i);
  return v;
}

uint16_t cod_get_be16(cod_r *r) {
  uint8_t b[2];
  cod_get_raw(r, b, sizeof b);
  return (uint16_t)(b[0] << 8 | b[1]);
}

uint64_t cod_get_be64(cod_r *r) {
  uint8_t b[8];
  uint64_t v = 0;
  cod_get_raw(r, b, sizeof b);
  for (int i = 0; i < 8; i++) v = v << 8 | b[i];
  return v;
}

uint64_t cod_get_var(cod_r *r) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t b = cod_get_u8(r);
    if (r->bad) return 0;
    if (shift == 63 && b > 1) break;
    v |= (uint64_t)(b & 0x7f) << shift;
    if (!(b & 0x80)) return v;
  }
  r->bad = true;
  return 0;
}

cod_str cod_get_str(cod_r *r) {
  uint64_t n = cod_get_var(r);
  if (r->bad || n > (size_t)(r->end - r->p) || n > UINT32_MAX) {
    r->bad = true;
    return (cod_str){"", 0};
  }
  cod_str s = {(const char *)r->p, (uint32_t)n};
  r->p += n;
  return s;
}

void cod_sha256(const void *a, size_t alen, const void *b, size_t blen, uint8_t out[32]) {
  EVP_MD_CTX *c = EVP_MD_CTX_new();
  unsigned n = 0;
  bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) && EVP_DigestUpdate(c, a, alen) && (!b || EVP_DigestUpdate(c, b, blen)) &&
            EVP_DigestFinal_ex(c, out, &n);
  EVP_MD_CTX_free(c);
  /* Only memory can be lacking here; an all-zero hash matches nothing that was really hashed. */
  if (!ok) memset(out, 0, 32);
}

/* ---- SipHash-2-4-128 (Aumasson, Bernstein) ---- */

static inline uint64_t rotl(uint64_t v, int n) { return v << n | v >> (64 - n); }

static inline void sip_round(uint64_t v[4]) {
  v[0] += v[1], v[1] = rotl(v[1], 13), v[1] ^= v[0], v[0] = rotl(v[0], 32);
  v[2] += v[3], v[3] = rotl(v[3], 16), v[3] ^= v[2];
  v[0] += v[3], v[3] = rotl(v[3], 21), v[3] ^= v[0];
  v[2] += v[1], v[1] = rotl(v[1], 17), v[1] ^= v[2], v[2] = rotl(v[2], 32);
}

static void put_le64(uint8_t *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t le64(const uint8_t *p) {
  uint64_t v = 0;
  for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << (8 * i);
  return v;
}

void cod_siphash128(const uint8_t key[16], const void *data, size_t len, uint8_t out[16]) {
  const uint8_t *p = (const uint8_t *)data;
  uint64_t k0 = le64(key), k1 = le64(key + 8);
  uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
  size_t n = len;
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t m = le64(p);
    v[3] ^= m;
    sip_round(v), sip_round(v);
    v[0] ^= m;
  }
  uint64_t m = (uint64_t)len << 56;
  for (size_t i = 0; i < n; i++) m |= (uint64_t)p[i] << (8 * i);
  v[3] ^= m;
  sip_round(v), sip_round(v);
  v[0] ^= m;
  v[2] ^= 0xee;
  for (int i = 0; i < 4; i++) sip_round(v);
  put_le64(out, v[0] ^ v[1] ^ v[2] ^ v[3]);
  v[1] ^= 0xdd;
  for (int i = 0; i < 4; i++) sip_round(v);
  put_le64(out + 8, v[0] ^ v[1] ^ v[2] ^ v[3]);
}
