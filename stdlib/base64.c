#include "base64.h"
#include <string.h>

static const char std_digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { BAD = 64, BLANK = 65, PAD = 66 };

size_t b64_encode(const uint8_t *p, size_t n, char *out, bool url) {
  const char *digit = url ? url_digits : std_digits;
  char *o = out;
  for (; n >= 3; n -= 3, p += 3, o += 4) {
    uint32_t w = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    o[0] = digit[w >> 18];
    o[1] = digit[w >> 12 & 63];
    o[2] = digit[w >> 6 & 63];
    o[3] = digit[w & 63];
  }
  if (n) {
    uint32_t w = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
    *o++ = digit[w >> 18];
    *o++ = digit[w >> 12 & 63];
    if (n == 2) *o++ = digit[w >> 6 & 63];
    if (!url) {
      *o++ = '=';
      if (n == 1) *o++ = '=';
    }
  }
  return (size_t)(o - out);
}

static uint8_t digit_value(uint8_t c, bool url) {
  if (c >= 'A' && c <= 'Z') return (uint8_t)(c - 'A');
  if (c >= 'a' && c <= 'z') return (uint8_t)(c - 'a' + 26);
  if (c >= '0' && c <= '9') return (uint8_t)(c - '0' + 52);
  if (c == (url ? '-' : '+')) return 62;
  if (c == (url ? '_' : '/')) return 63;
  if (c == '=') return PAD;
  if (!url && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) return BLANK;
  return BAD;
}

/* The rest of a text from its first padding character on, when `have` digits of the last group were read. */
static bool padding_ok(const uint8_t *s, size_t n, unsigned have, const uint8_t *value) {
  unsigned pads = 0;
  for (size_t i = 0; i < n; i++) {
    if (value[s[i]] == PAD) pads++;
    else if (value[s[i]] != BLANK) return false;
  }
  return have >= 2 && pads + have == 4;
}

hdw_status b64_decode(const char *text, size_t n, uint8_t *out, size_t *len, bool url) {
  const uint8_t *s = (const uint8_t *)text;
  uint8_t value[256];
  for (unsigned i = 0; i < 256; i++) value[i] = digit_value((uint8_t)i, url);
  uint8_t *o = out;
  uint32_t w = 0;
  unsigned have = 0;
  size_t i = 0;
  bool padded = false;
  *len = 0;
  while (i < n && !padded) {
    if (have == 0 && n - i >= 4) {
      uint8_t a = value[s[i]], b = value[s[i + 1]], c = value[s[i + 2]], d = value[s[i + 3]];
      if ((a | b | c | d) < 64) {
        uint32_t g = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
        *o++ = (uint8_t)(g >> 16);
        *o++ = (uint8_t)(g >> 8);
        *o++ = (uint8_t)g;
        i += 4;
        continue;
      }
    }
    uint8_t v = value[s[i]];
    if (v < 64) {
      w = w << 6 | v;
      if (++have == 4) {
        *o++ = (uint8_t)(w >> 16);
        *o++ = (uint8_t)(w >> 8);
        *o++ = (uint8_t)w;
        w = 0;
        have = 0;
      }
      i++;
    } else if (v == BLANK) i++;
    else if (v == PAD) padded = true;
    else return HDW_E_SYNTAX;
  }
  if (padded && !padding_ok(s + i, n - i, have, value)) return HDW_E_SYNTAX;
  if (!padded && have && !url) return HDW_E_SYNTAX;
  if (have == 1) return HDW_E_SYNTAX;
  if (have == 2) {
    if (w & 15) return HDW_E_SYNTAX;
    *o++ = (uint8_t)(w >> 4);
  } else if (have == 3) {
    if (w & 3) return HDW_E_SYNTAX;
    *o++ = (uint8_t)(w >> 10);
    *o++ = (uint8_t)(w >> 2);
  }
  *len = (size_t)(o - out);
  return HDW_OK;
}
