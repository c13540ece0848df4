/* http_body.c - chunked transfer coding and gzip of request bodies. Pure; see http.h. */
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>
#include "http.h"

/* Where the decoder stands. A line of the coding ends with CR LF, nothing else. */
enum { CH_SIZE, CH_EXT, CH_SIZE_LF, CH_DATA, CH_DATA_CR, CH_DATA_LF, CH_LINE, CH_TRAILER, CH_TRAILER_LF, CH_END_LF, CH_DONE, CH_BAD };

void http_chunked_init(http_chunked *c) { memset(c, 0, sizeof *c); }

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Text of an extension or a trailer: no control characters but the tab. */
static bool is_text(char c) { return (unsigned char)c >= ' ' ? c != 0x7f : c == '\t'; }

/* One byte of everything but data. HDW_OK at the end of the body. */
static hdw_status chunk_byte(http_chunked *c, char ch) {
  switch (c->state) {
  case CH_SIZE: {
    int v = hex(ch);
    if (v >= 0) {
      if (++c->digits > 15) return HDW_E_SYNTAX; /* 15 digits keep sums far from 2^64 */
      c->left = c->left << 4 | (unsigned)v;
      return HDW_E_AGAIN;
    }
    if (!c->digits) return HDW_E_SYNTAX;
    c->ext = 0;
    if (ch == '\r') c->state = CH_SIZE_LF;
    else if (ch == ';') c->state = CH_EXT;
    else return HDW_E_SYNTAX;
    return HDW_E_AGAIN;
  }
  case CH_EXT:
    if (ch == '\r') c->state = CH_SIZE_LF;
    else if (!is_text(ch)) return HDW_E_SYNTAX;
    else if (++c->ext > HTTP_MAX_CHUNK_EXT_BYTES) return HDW_E_LIMIT;
    return HDW_E_AGAIN;
  case CH_SIZE_LF: c->state = c->left ? CH_DATA : CH_LINE; return ch == '\n' ? HDW_E_AGAIN : HDW_E_SYNTAX;
  case CH_DATA_CR: c->state = CH_DATA_LF; return ch == '\r' ? HDW_E_AGAIN : HDW_E_SYNTAX;
  case CH_DATA_LF:
    c->state = CH_SIZE;
    c->digits = 0;
    return ch == '\n' ? HDW_E_AGAIN : HDW_E_SYNTAX;
  case CH_LINE: /* at the start of a trailer line or of the last, empty one */
    if (ch == '\r') {
      c->state = CH_END_LF;
      return HDW_E_AGAIN;
    }
    if (ch == ' ' || ch == '\t') return HDW_E_SYNTAX; /* a folded line */
    c->state = CH_TRAILER;
    /* fallthrough */
  case CH_TRAILER:
    if (ch == '\r') c->state = CH_TRAILER_LF;
    else if (!is_text(ch)) return HDW_E_SYNTAX;
    else if (++c->trailer > HTTP_MAX_TRAILER_BYTES) return HDW_E_LIMIT;
    return HDW_E_AGAIN;
  case CH_TRAILER_LF: c->state = CH_LINE; return ch == '\n' ? HDW_E_AGAIN : HDW_E_SYNTAX;
  case CH_END_LF: c->state = CH_DONE; return ch == '\n' ? HDW_OK : HDW_E_SYNTAX;
  default: return HDW_E_SYNTAX;
  }
}

hdw_status http_chunked_decode(http_chunked *c, const char *in, size_t len, size_t *used, char *out, size_t *made) {
  size_t i = 0, n = 0;
  hdw_status s = c->state == CH_DONE ? HDW_OK : HDW_E_AGAIN;
  while (s == HDW_E_AGAIN && i < len) {
    if (c->state == CH_DATA) {
      size_t take = len - i < c->left ? len - i : (size_t)c->left;
      memmove(out + n, in + i, take);
      i += take;
      n += take;
      c->left -= take;
      if (!c->left) c->state = CH_DATA_CR;
    } else s = chunk_byte(c, in[i++]);
  }
  if (s != HDW_OK && s != HDW_E_AGAIN) c->state = CH_BAD;
  *used = i;
  *made = n;
  return s;
}

/* ---- gzip ------------------------------------------------------------------------------------------------------- */

enum { FREE_BYTES = 64 << 10, FIRST_BYTES = 16 << 10 };

/* zlib's memory from m; the size stands in front because zlib does not say it back. */
static void *z_get(void *m, unsigned n, unsigned size) {
  size_t len;
  if (__builtin_mul_overflow((size_t)n, (size_t)size, &len) || len > SIZE_MAX - 16) return NULL;
  size_t *p = ((mem *)m)->get(m, len + 16);
  if (!p) return NULL;
  *p = len + 16;
  return (char *)p + 16;
}
static void z_put(void *m, void *p) {
  size_t *q = (size_t *)(void *)((char *)p - 16);
  ((mem *)m)->put(m, q, *q);
}

static hdw_status grow(mem *m, void **p, size_t *cap, size_t len, size_t max) {
  size_t n = *cap ? *cap * 2 : FIRST_BYTES;
  if (n > max) n = max;
  void *q = m->get(m, n);
  if (!q) return HDW_E_NOMEM;
  if (len) memcpy(q, *p, len);
  if (*p) m->put(m, *p, *cap);
  *p = q;
  *cap = n;
  return HDW_OK;
}

hdw_status http_gunzip(mem *m, const void *in, size_t in_len, size_t max_bytes, void **out, size_t *out_len, size_t *out_cap) {
  z_stream z = {.zalloc = z_get, .zfree = z_put, .opaque = m};
  size_t limit = in_len > (SIZE_MAX - FREE_BYTES) / HTTP_MAX_INFLATE_RATIO ? SIZE_MAX : in_len * HTTP_MAX_INFLATE_RATIO + FREE_BYTES;
  if (limit > max_bytes) limit = max_bytes;
  void *p = NULL;
  size_t cap = 0, len = 0;
  *out = NULL;
  *out_len = *out_cap = 0;
  if (in_len > UINT32_MAX) return HDW_E_LIMIT;
  if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) return HDW_E_NOMEM;
  z.next_in = in;
  z.avail_in = (uInt)in_len;
  hdw_status s = HDW_OK;
  int r = Z_OK;
  uint8_t over; /* one byte past the limit proves that it is passed */
  do {
    if (len == cap && cap <= limit) {
      if (cap < limit) s = grow(m, &p, &cap, len, limit);
      if (s) break;
    }
    bool probe = len == cap;
    size_t room = probe ? 1 : cap - len;
    if (room > UINT32_MAX) room = UINT32_MAX;
    z.next_out = probe ? &over : (uint8_t *)p + len;
    z.avail_out = (uInt)room;
    r = inflate(&z, Z_NO_FLUSH);
    size_t made = room - z.avail_out;
    if (probe && made) {
      s = HDW_E_LIMIT;
      break;
    }
    len += made;
    if (r == Z_MEM_ERROR) s = HDW_E_NOMEM;
    else if (r == Z_STREAM_END && z.avail_in) { /* a further member */
      if (inflateReset(&z) != Z_OK) s = HDW_E_SYNTAX;
      r = Z_OK;
    } else if (r != Z_OK && r != Z_STREAM_END) s = HDW_E_SYNTAX; /* also Z_BUF_ERROR: cut */
  } while (!s && r != Z_STREAM_END);
  inflateEnd(&z);
  if (s) {
    if (p) m->put(m, p, cap);
    return s;
  }
  *out = p;
  *out_len = len;
  *out_cap = cap;
  return HDW_OK;
}
