/* The one-shot functions of OpenSSL 3 look their algorithm up by name for each hash, which costs more than hashing a record's keys. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "codec.h"
#include <openssl/sha.h>

uint64_t cod_get_var(cod_r *r) {
  uint64_t v = 0;
  if (!r->bad && r->p < r->end && !(*r->p & 0x80)) return *r->p++;
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
  SHA256_CTX c;
  SHA256_Init(&c);
  if (alen) SHA256_Update(&c, a, alen);
  if (b && blen) SHA256_Update(&c, b, blen);
  SHA256_Final(out, &c);
}

/* ---- SipHash-2-4-128 (Aumasson, Bernstein) ---- */

static inline uint64_t rotl(uint64_t v, int n) { return v << n | v >> (64 - n); }

static inline __attribute__((always_inline)) void sip_round(uint64_t v[4]) {
  v[0] += v[1], v[1] = rotl(v[1], 13), v[1] ^= v[0], v[0] = rotl(v[0], 32);
  v[2] += v[3], v[3] = rotl(v[3], 16), v[3] ^= v[2];
  v[0] += v[3], v[3] = rotl(v[3], 21), v[3] ^= v[0];
  v[2] += v[1], v[1] = rotl(v[1], 17), v[1] ^= v[2], v[2] = rotl(v[2], 32);
}

static inline void put_le64(uint8_t *p, uint64_t v) {
  v = cod_swap64(v, false);
  memcpy(p, &v, sizeof v);
}

static inline uint64_t le64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return cod_swap64(v, false);
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
