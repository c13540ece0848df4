/* encode, decode (hex, base64, urlbase64) and escape, unescape (html, json). An unknown name and text that does not decode give {}. */
#include <utf8proc.h>
#include "base64.h"
#include "fp_int.h"
#include "value_int.h"

static hdw_status start(vm_cx *cx, const val *args, const char *what, val *x, val *name, bool *go, val *out) {
  hdw_status s = fp_text(cx, args[0], what, x);
  *out = VAL_NONE;
  *go = false;
  if (s || (s = fp_text(cx, args[1], what, name))) return s;
  if (x->tag == VAL_EMPTY || name->tag == VAL_EMPTY) return HDW_OK;
  if (x->len > FP_TEXT_MAX / 8) return vm_fail(cx, HDW_E_LIMIT, "a string is too long");
  *go = true;
  return vm_charge(cx, x->len / 8);
}

static bool is(val name, const char *s) { return name.len == strlen(s) && memcmp(name.u.s, s, name.len) == 0; }

hdw_status fp_encode(vm_cx *cx, const val *args, unsigned n, val *out) {
  static const char hex[] = "0123456789abcdef";
  val x, name;
  bool go;
  (void)n;
  hdw_status s = start(cx, args, "encode()", &x, &name, &go, out);
  if (s || !go) return s;
  bool url = is(name, "urlbase64");
  if (is(name, "hex")) {
    char *p = (char *)arena_alloc(cx->a, (size_t)x.len * 2);
    if (!p) return HDW_E_NOMEM;
    for (uint32_t i = 0; i < x.len; i++) {
      unsigned char c = (unsigned char)x.u.s[i];
      p[2 * i] = hex[c >> 4];
      p[2 * i + 1] = hex[c & 15];
    }
    *out = val_str(p, (size_t)x.len * 2);
  } else if (url || is(name, "base64")) {
    char *p = (char *)arena_alloc(cx->a, b64_encoded_max(x.len));
    if (!p) return HDW_E_NOMEM;
    size_t len = b64_encode((const uint8_t *)x.u.s, x.len, p, url);
    while (len % 4) p[len++] = '='; /* the standard wants padding in both */
    *out = val_str(p, len);
  }
  return HDW_OK;
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

static bool is_utf8(const uint8_t *p, size_t n) {
  while (n > 0) {
    utf8proc_int32_t c;
    utf8proc_ssize_t k = utf8proc_iterate(p, (utf8proc_ssize_t)n, &c);
    if (k <= 0) return false;
    p += k;
    n -= (size_t)k;
  }
  return true;
}

hdw_status fp_decode(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x, name;
  bool go;
  (void)n;
  hdw_status s = start(cx, args, "decode()", &x, &name, &go, out);
  if (s || !go) return s;
  size_t len = 0;
  uint8_t *p = (uint8_t *)arena_alloc(cx->a, b64_decoded_max(x.len));
  if (!p) return HDW_E_NOMEM;
  if (is(name, "hex")) {
    if (x.len % 2) return HDW_OK;
    for (; len < x.len / 2; len++) {
      int hi = hex_digit(x.u.s[2 * len]), lo = hex_digit(x.u.s[2 * len + 1]);
      if (hi < 0 || lo < 0) return HDW_OK;
      p[len] = (uint8_t)(hi << 4 | lo);
    }
  } else if (is(name, "base64") || is(name, "urlbase64")) {
    if (b64_decode(x.u.s, x.len, p, &len, name.len == 9)) return HDW_OK;
  } else {
    return HDW_OK;
  }
  if (is_utf8(p, len)) *out = val_str((const char *)p, len);
  return HDW_OK;
}

static const struct { char c; const char *name; } ENTITIES[] = {{'<', "lt"}, {'>', "gt"}, {'&', "amp"}, {'"', "quot"}, {'\'', "#39"}, {'\'', "apos"}};
enum { NENTITIES = sizeof ENTITIES / sizeof *ENTITIES };

static void escape_html(buf *b, val x) {
  for (uint32_t i = 0; i < x.len; i++) {
    unsigned k = 0;
    while (k < NENTITIES && ENTITIES[k].c != x.u.s[i]) k++;
    if (k == NENTITIES) {
      buf_putc(b, x.u.s[i]);
    } else {
      buf_putc(b, '&');
      buf_puts(b, ENTITIES[k].name);
      buf_putc(b, ';');
    }
  }
}

static void escape_json(buf *b, val x) {
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
  for (uint32_t i = 0; i < x.len; i++) {
    char c = x.u.s[i];
    const char *p = c ? strchr(from, c) : NULL;
    if (p) {
      buf_putc(b, '\\');
      buf_putc(b, to[p - from]);
    } else if ((unsigned char)c < 0x20) {
      buf_putf(b, "\\u%04x", (unsigned)(unsigned char)c);
    } else {
      buf_putc(b, c);
    }
  }
}

static hdw_status from_buf(const buf *b, val *out) {
  if (b->status) return (hdw_status)b->status;
  *out = val_str(b->p ? b->p : "", b->len);
  return HDW_OK;
}

hdw_status fp_escape(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x, name;
  bool go;
  buf b;
  (void)n;
  hdw_status s = start(cx, args, "escape()", &x, &name, &go, out);
  if (s || !go) return s;
  buf_init(&b, cx->a, FP_TEXT_MAX);
  if (is(name, "html")) escape_html(&b, x);
  else if (is(name, "json")) escape_json(&b, x);
  else return HDW_OK;
  return from_buf(&b, out);
}

/* Code point of &#n; or &#xh; (name without & and ;), 0 when it is none that may stand in a text. */
static uint32_t numeric(const char *s, size_t n) {
  bool hex = n > 1 && (s[1] | 32) == 'x';
  uint32_t c = 0;
  size_t i = hex ? 2 : 1;
  if (n > 9 || i >= n) return 0;
  for (; i < n; i++) {
    int d = hex_digit(s[i]);
    if (d < 0 || (!hex && d > 9)) return 0;
    c = c * (hex ? 16 : 10) + (uint32_t)d;
  }
  return utf8proc_codepoint_valid((utf8proc_int32_t)c) ? c : 0;
}

static void unescape_html(buf *b, val x) {
  const char *p = x.u.s, *end = p + x.len;
  while (p < end) {
    const char *amp = (const char *)memchr(p, '&', (size_t)(end - p));
    buf_put(b, p, (size_t)((amp ? amp : end) - p));
    if (!amp) return;
    p = amp + 1;
    size_t k = 0;
    while (k < 10 && p + k < end && p[k] != ';' && p[k] != '&') k++;
    uint32_t c = 0;
    if (p + k < end && p[k] == ';' && k > 1) {
      if (*p == '#') c = numeric(p, k);
      else if (k == 4 && memcmp(p, "nbsp", 4) == 0) c = 0xa0;
      for (unsigned e = 0; !c && e < NENTITIES; e++)
        if (strlen(ENTITIES[e].name) == k && memcmp(p, ENTITIES[e].name, k) == 0) c = (unsigned char)ENTITIES[e].c;
    }
    if (!c) {
      buf_putc(b, '&');
      continue;
    }
    utf8proc_uint8_t text[4];
    buf_put(b, text, (size_t)utf8proc_encode_char((utf8proc_int32_t)c, text));
    p += k + 1;
  }
}

hdw_status fp_unescape(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x, name;
  bool go;
  buf b;
  (void)n;
  hdw_status s = start(cx, args, "unescape()", &x, &name, &go, out);
  if (s || !go) return s;
  if (is(name, "json")) {
    x.flags |= VALF_ESC;
    x.aux = 0;
    return val_norm(cx->a, x, out);
  }
  if (!is(name, "html")) return HDW_OK;
  buf_init(&b, cx->a, FP_TEXT_MAX);
  unescape_html(&b, x);
  return from_buf(&b, out);
}
