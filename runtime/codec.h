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

void cod_put_raw(cod_w *w, const void *p, size_t len);
void cod_put_u8(cod_w *w, uint8_t v);
void cod_put_u16(cod_w *w, uint16_t v);
void cod_put_u32(cod_w *w, uint32_t v);
void cod_put_u64(cod_w *w, uint64_t v);
/* Big-endian, for keys that must sort. */
void cod_put_be16(cod_w *w, uint16_t v);
void cod_put_be64(cod_w *w, uint64_t v);
/* 7 bits a byte, low first, 1 to 10 bytes. */
void cod_put_var(cod_w *w, uint64_t v);
/* var length + bytes. */
void cod_put_str(cod_w *w, cod_str s);

bool cod_get_raw(cod_r *r, void *p, size_t len);
uint8_t cod_get_u8(cod_r *r);
uint16_t cod_get_u16(cod_r *r);
uint32_t cod_get_u32(cod_r *r);
uint64_t cod_get_u64(cod_r *r);
uint16_t cod_get_be16(cod_r *r);
uint64_t cod_get_be64(cod_r *r);
uint64_t cod_get_var(cod_r *r);
cod_str cod_get_str(cod_r *r);
/* True when nothing failed and every byte was read. */
static inline bool cod_done(const cod_r *r) { return !r->bad && r->p == r->end; }

/* CRC32C (Castagnoli, reflected, as in RFC 3720): crc is 0 at first, else the result of the bytes before. Uses SSE4.2 where the CPU has it. */
uint32_t cod_crc32c(uint32_t crc, const void *p, size_t len);
/* The table version, for tests. */
uint32_t cod_crc32c_soft(uint32_t crc, const void *p, size_t len);

/* SipHash-2-4 with 128 bits of output: keys of indexes over personal data. */
void cod_siphash128(const uint8_t key[16], const void *p, size_t len, uint8_t out[16]);
/* SHA-256 of a then b (NULL = none). */
void cod_sha256(const void *a, size_t alen, const void *b, size_t blen, uint8_t out[32]);

#endif
