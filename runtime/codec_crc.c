#include "codec.h"

/* Table of the reflected polynomial 0x82f63b78, a nibble at a time: small, and only for machines without SSE4.2. */
static const uint32_t crc_nibble[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

uint32_t cod_crc32c_soft(uint32_t crc, const void *p, size_t len) {
  const uint8_t *s = (const uint8_t *)p;
  crc = ~crc;
  for (size_t i = 0; i < len; i++) {
    crc ^= s[i];
    crc = crc >> 4 ^ crc_nibble[crc & 15];
    crc = crc >> 4 ^ crc_nibble[crc & 15];
  }
  return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_hard(uint32_t crc, const void *p, size_t len) {
  const uint8_t *s = (const uint8_t *)p;
  uint64_t c = (uint32_t)~crc;
  for (; len >= 8; len -= 8, s += 8) {
    uint64_t v;
    memcpy(&v, s, 8);
    c = _mm_crc32_u64(c, v);
  }
  uint32_t d = (uint32_t)c;
  for (; len; len--, s++) d = _mm_crc32_u8(d, *s);
  return ~d;
}

uint32_t cod_crc32c(uint32_t crc, const void *p, size_t len) {
  return __builtin_cpu_supports("sse4.2") ? crc_hard(crc, p, len) : cod_crc32c_soft(crc, p, len);
}
#else
uint32_t cod_crc32c(uint32_t crc, const void *p, size_t len) { return cod_crc32c_soft(crc, p, len); }
#endif
