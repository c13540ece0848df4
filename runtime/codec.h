/* codec.h - little-endian fields, varints and byte strings into and out of bounded memory; CRC32C; keyed hashes.
 *
 * A writer or reader that ran out of bytes stays failed: callers encode or decode everything and look once at the end.
 * Slices that the reader gives point into the memory that is read. */
#ifndef HDW_CODEC_H
#define HDW_CODEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "status.h"

/* A large local that is filled before it is read: the build zeroes locals at their declaration, which here would cost more than the function does. */
#define HDW_UNSET __attribute__((uninitialized))

/* Bytes that are not NUL-terminated and not owned. */
typedef struct cod_str {
  const char *p;
  uint32_t len;
} cod_str;
static inline cod_str cod_cstr(const char *s) { return (cod_str){s, s ? (uint32_t)strlen(s) : 0}; }
static inline cod_str cod_bytes(const void *p, size_t len) { return (cod_str){(const char *)p, (uint32_t)len}; }
static inline bool cod_equal(cod_str a, cod_str b) { return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0); }

typedef struct cod_w {
  uint8_t *p;
  size_t len, cap;
  bool bad;            /* did not fit */
} cod_w;
typedef struct cod_r {
  const uint8_t *p, *end;
  bool bad;            /* ran past the end, or a varint or length was impossible */
} cod_r;

static inline cod_w cod_writer(void *p, size_t cap) { return (cod_w){(uint8_t *)p, 0, cap, false}; }
static inline cod_r cod_reader(const void *p, size_t len) { return (cod_r){(const uint8_t *)p, (const uint8_t *)p + len, false}; }

/* Small fields are written and read in line: a row or a record has dozens. */
static inline void cod_put_raw(cod_w *w, const void *p, size_t len) {
  if (w->bad || len > w->cap - w->len) {
    w->bad = true;
    return;
  }
  if (len) memcpy(w->p + w->len, p, len);
  w->len += len;
}
static inline uint16_t cod_swap16(uint16_t v, bool big) { return big == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? v : __builtin_bswap16(v); }
static inline uint32_t cod_swap32(uint32_t v, bool big) { return big == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? v : __builtin_bswap32(v); }
static inline uint64_t cod_swap64(uint64_t v, bool big) { return big == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? v : __builtin_bswap64(v); }
static inline void cod_put_u8(cod_w *w, uint8_t v) { cod_put_raw(w, &v, 1); }
static inline void cod_put_u16(cod_w *w, uint16_t v) { cod_put_raw(w, &(uint16_t){cod_swap16(v, false)}, 2); }
static inline void cod_put_u32(cod_w *w, uint32_t v) { cod_put_raw(w, &(uint32_t){cod_swap32(v, false)}, 4); }
static inline void cod_put_u64(cod_w *w, uint64_t v) { cod_put_raw(w, &(uint64_t){cod_swap64(v, false)}, 8); }
/* Big-endian, for keys that must sort. */
static inline void cod_put_be16(cod_w *w, uint16_t v) { cod_put_raw(w, &(uint16_t){cod_swap16(v, true)}, 2); }
static inline void cod_put_be64(cod_w *w, uint64_t v) { cod_put_raw(w, &(uint64_t){cod_swap64(v, true)}, 8); }
/* 7 bits a byte, low first, 1 to 10 bytes. */
static inline void cod_put_var(cod_w *w, uint64_t v) {
  if (w->cap - w->len < 10) {      /* near the end: the exact length decides */
    uint8_t b[10];
    size_t n = 0;
    while (v >= 0x80) b[n++] = (uint8_t)(v | 0x80), v >>= 7;
    b[n++] = (uint8_t)v;
    cod_put_raw(w, b, n);
    return;
  }
  if (w->bad) return;
  while (v >= 0x80) w->p[w->len++] = (uint8_t)(v | 0x80), v >>= 7;
  w->p[w->len++] = (uint8_t)v;
}
/* var length + bytes. */
static inline void cod_put_str(cod_w *w, cod_str s) {
  cod_put_var(w, s.len);
  cod_put_raw(w, s.p, s.len);
}

static inline bool cod_get_raw(cod_r *r, void *p, size_t len) {
  if (r->bad || len > (size_t)(r->end - r->p)) {
    r->bad = true;
    memset(p, 0, len);
    return false;
  }
  if (len) memcpy(p, r->p, len);
  r->p += len;
  return true;
}
static inline uint8_t cod_get_u8(cod_r *r) {
  uint8_t v;
  cod_get_raw(r, &v, 1);
  return v;
}
static inline uint16_t cod_get_u16(cod_r *r) {
  uint16_t v;
  cod_get_raw(r, &v, 2);
  return cod_swap16(v, false);
}
static inline uint32_t cod_get_u32(cod_r *r) {
  uint32_t v;
  cod_get_raw(r, &v, 4);
  return cod_swap32(v, false);
}
static inline uint64_t cod_get_u64(cod_r *r) {
  uint64_t v;
  cod_get_raw(r, &v, 8);
  return cod_swap64(v, false);
}
static inline uint16_t cod_get_be16(cod_r *r) {
  uint16_t v;
  cod_get_raw(r, &v, 2);
  return cod_swap16(v, true);
}
static inline uint64_t cod_get_be64(cod_r *r) {
  uint64_t v;
  cod_get_raw(r, &v, 8);
  return cod_swap64(v, true);
}
uint64_t cod_get_var(cod_r *r);
cod_str cod_get_str(cod_r *r);
/* True when nothing failed and every byte was read. */
static inline bool cod_done(const cod_r *r) { return !r->bad && r->p == r->end; }

/* CRC32C (Castagnoli, reflected, as in RFC 3720): crc is 0 at first, else the result of the bytes before. Uses SSE4.2 where the CPU has it. */
uint32_t cod_crc32c(uint32_t crc, const void *p, size_t len);
/* The table version, for tests. */
uint32_t cod_crc32c_soft(uint32_t crc, const void *p, size_t len);

/* SipHash-2-4 with 128 bits of output: keys of indexes over personal data, marks of contents. */
void cod_siphash128(const uint8_t key[16], const void *p, size_t len, uint8_t out[16]);
/* SHA-256 of a then b (NULL = none). */
void cod_sha256(const void *a, size_t alen, const void *b, size_t blen, uint8_t out[32]);

#endif
