/* json_scan.h - byte scanning shared by the JSON reader and writer: 16 bytes at a time where the processor has SSE2, else one by one. */
#ifndef HDW_JSON_SCAN_H
#define HDW_JSON_SCAN_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JS_LIKELY(x) __builtin_expect(!!(x), 1)
#define JS_RARE(x) __builtin_expect(!!(x), 0)

/* A byte that ends a run of plain ASCII inside a string: quote, backslash, control character, start of anything beyond ASCII. */
static inline int js_is_special(uint8_t c) { return c == '"' || c == '\\' || c < 0x20 || c >= 0x80; }
static inline int js_is_blank(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

#ifdef __SSE2__
/* Bit i: byte i is special. As signed bytes both the control characters and everything from 0x80 are below 0x20. */
static inline unsigned js_special16(const uint8_t *p) {
  __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
  __m128i m = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
                           _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
  return (unsigned)_mm_movemask_epi8(m);
}
/* Bit i: byte i is no white space. */
static inline unsigned js_solid16(const uint8_t *p) {
  __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
  __m128i m = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'))),
                           _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'))));
  return (unsigned)_mm_movemask_epi8(m) ^ 0xffffu;
}
#endif

/* First special byte at or after p, or end. */
static inline const uint8_t *js_plain_end(const uint8_t *p, const uint8_t *end) {
#ifdef __SSE2__
  while (JS_LIKELY(end - p >= 16)) {
    unsigned m = js_special16(p);
    if (JS_LIKELY(m)) return p + __builtin_ctz(m);
    p += 16;
  }
#endif
  while (p < end && !js_is_special(*p)) p++;
  return p;
}

/* First byte at or after p that is no white space, or end. */
static inline const uint8_t *js_blank_end(const uint8_t *p, const uint8_t *end) {
#ifdef __SSE2__
  while (JS_LIKELY(end - p >= 16)) {
    unsigned m = js_solid16(p);
    if (JS_LIKELY(m)) return p + __builtin_ctz(m);
    p += 16;
  }
#endif
  while (p < end && js_is_blank(*p)) p++;
  return p;
}

/* Length of the well-formed UTF-8 sequence at p (p < end) of a character beyond ASCII, or 0 (Unicode 15, table 3-7). */
static inline unsigned js_utf8_len(const uint8_t *p, const uint8_t *end) {
  uint8_t c = p[0];
  size_t left = (size_t)(end - p);
  if (c < 0xc2 || c > 0xf4) return 0;
  if (c < 0xe0) return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
  uint8_t lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
  uint8_t hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
  unsigned n = c < 0xf0 ? 3 : 4;
  if (left < n || p[1] < lo || p[1] > hi || (p[2] & 0xc0) != 0x80) return 0;
  return n == 3 || (p[3] & 0xc0) == 0x80 ? n : 0;
}

/* Value of four hexadecimal digits, or -1. */
static inline int32_t js_hex4(const uint8_t *p) {
  int32_t v = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t c = p[i];
    uint8_t l = (uint8_t)(c | 0x20);
    if (c >= '0' && c <= '9') v = v << 4 | (c - '0');
    else if (l >= 'a' && l <= 'f') v = v << 4 | (l - 'a' + 10);
    else return -1;
  }
  return v;
}

#endif
