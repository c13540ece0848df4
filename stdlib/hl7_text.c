/* hl7_text.c - escape sequences (H-35, H-36). */
#include "hl7_int.h"

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

static bool all_hex(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (hex(p[i]) < 0) return false;
  return true;
}

/* A sequence that is kept as it is: body between the escape characters. */
static bool is_format(const char *p, size_t n) {
  switch (p[0]) {
  case 'H':
  case 'N': return n == 1;
  case 'C': return n == 5 && all_hex(p + 1, 4);
  case 'M': return (n == 5 || n == 7) && all_hex(p + 1, n - 1);
  case 'Z': return n >= 1;
  case '.': {
    if (n < 3) return false;
    for (size_t i = 1; i < n; i++)
      if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '+' || p[i] == '-')) return false;
    return true;
  }
  default: return false;
  }
}

/* The delimiter that \F\ and its kin stand for, or 0. A role that the message does not have stands for nothing. */
static char delim_of(const hl7_delims *d, char letter) {
  char c = letter == 'S'                    ? d->comp
           : letter == 'T'                  ? d->sub
           : letter == 'R'                  ? d->rep
           : letter == 'E'                  ? d->esc
           : letter == 'P' || letter == 'L' ? d->trunc
                                            : 0;
  if (letter == 'F') return d->field;
  return c == d->field ? 0 : c;
}

/* Writes what the sequence with this body means; returns its length, or SIZE_MAX when it is no sequence that is decoded. */
static size_t expand(const hl7_delims *d, const char *body, size_t n, char *o) {
  if (n == 1) {
    char c = delim_of(d, body[0]);
    if (c) return *o = c, 1;
  }
  if (n >= 3 && body[0] == 'X' && n % 2 == 1 && all_hex(body + 1, n - 1)) {
    for (size_t i = 1; i < n; i += 2) o[i / 2] = (char)((unsigned)hex(body[i]) << 4 | (unsigned)hex(body[i + 1]));
    return n / 2;
  }
  return SIZE_MAX;
}

/* One pass from left to right. An escape character opens a sequence when what stands before the next escape character is one; else it is
 * literal, and the next one may open. */
static size_t unescape(const hl7_delims *d, hl7_slice raw, char *o) {
  const char *p = raw.p, *end = p + raw.len;
  size_t n = 0;
  while (p < end) {
    const char *e = (const char *)memchr(p, d->esc, (size_t)(end - p));
    size_t plain = (size_t)((e ? e : end) - p);
    memcpy(o + n, p, plain);
    n += plain;
    if (!e) break;
    const char *close = e + 1 < end ? (const char *)memchr(e + 1, d->esc, (size_t)(end - e - 1)) : NULL;
    size_t body = close ? (size_t)(close - e - 1) : 0, got = body ? expand(d, e + 1, body, o + n) : SIZE_MAX;
    p = e + 1;
    if (got != SIZE_MAX) {
      n += got;
      p = close + 1;
    } else if (body && is_format(e + 1, body)) {
      memcpy(o + n, e, body + 2);
      n += body + 2;
      p = close + 1;
    } else {
      o[n++] = d->esc;
    }
  }
  return n;
}

hdw_status hl7_decode(arena *a, const hl7_delims *d, charset_id cs, hl7_slice raw, val *out, size_t *bad) {
  const char *p = raw.p;
  size_t n = raw.len;
  if (bad) *bad = 0;
  if (d->esc != d->field && raw.len && memchr(raw.p, d->esc, raw.len)) {
    char *o = (char *)arena_alloc(a, raw.len);
    if (!o) return HDW_E_NOMEM;
    n = unescape(d, raw, o);
    p = o;
  }
  hdw_status s = charset_to_utf8(a, cs, p, n, &p, &n, bad);
  *out = val_str(p, n);
  return s;
}

static void put_escape(buf *b, char esc, const char *body) {
  buf_putc(b, esc);
  buf_puts(b, body);
  buf_putc(b, esc);
}

/* Letter of the escape for c, 0 when c needs none. */
static char letter_of(const hl7_delims *d, char c) {
  if (c == d->field) return 'F';
  if (c == d->comp) return 'S';
  if (c == d->rep) return 'R';
  if (c == d->esc) return 'E';
  if (c == d->sub) return 'T';
  if (c == d->trunc) return 'P';
  return 0;
}

hdw_status hl7_encode(buf *b, const hl7_delims *d, charset_id cs, const char *utf8, size_t len, unsigned flags) {
  size_t n;
  const char *s;
  hdw_status st = charset_from_utf8(b->a, cs, utf8, len, &s, &n, NULL);
  if (st) return st;
  bool can = d->esc != d->field;
  size_t from = 0;
  for (size_t i = 0; i < n; i++) {
    char c = s[i], letter = letter_of(d, c);
    bool cr = c == '\r', lf = c == '\n' && !(flags & HL7_ENC_KEEP_LF);
    if (!letter && !cr && !lf) continue;
    if (!can) return HDW_E_DATA;
    size_t skip = 1;
    if (letter == 'E' && (flags & HL7_ENC_KEEP_FORMAT)) {
      const char *close = (const char *)memchr(s + i + 1, c, n - i - 1);
      size_t body = close ? (size_t)(close - s) - i - 1 : 0;
      bool clean = body && is_format(s + i + 1, body);
      for (size_t k = 0; clean && k < body; k++) clean = !letter_of(d, s[i + 1 + k]) && s[i + 1 + k] != '\r' && s[i + 1 + k] != '\n';
      if (clean) {
        i += body + 1;
        continue;
      }
    }
    buf_put(b, s + from, i - from);
    if (letter) put_escape(b, d->esc, (const char[2]){letter, 0});
    else if (flags & HL7_ENC_BR) {
      put_escape(b, d->esc, ".br");
      if (cr && i + 1 < n && s[i + 1] == '\n') skip = 2;
    } else put_escape(b, d->esc, cr ? "X0D" : "X0A");
    from = i + skip;
    i += skip - 1;
  }
  buf_put(b, s + from, n - from);
  return (hdw_status)b->status;
}

/* One leaf from one message's escapes to another's. Formatting sequences stay what they are. */
static hdw_status translate_leaf(buf *b, const hl7_delims *from, charset_id fcs, const hl7_delims *to, charset_id tcs, hl7_slice raw) {
  const char *p = raw.p, *end = p + raw.len, *done = p;
  hdw_status s = HDW_OK;
  val v;
  while (!s && p < end) {
    const char *e = from->esc == from->field ? NULL : (const char *)memchr(p, from->esc, (size_t)(end - p));
    const char *close = e && e + 1 < end ? (const char *)memchr(e + 1, from->esc, (size_t)(end - e - 1)) : NULL;
    if (!close) break;
    size_t body = (size_t)(close - e - 1);
    char tmp[8];
    if (body && is_format(e + 1, body)) {
      if (to->esc == to->field) return HDW_E_DATA;
      s = hl7_decode(b->a, from, fcs, hl7_cut(done, e), &v, NULL);
      if (!s) s = hl7_encode(b, to, tcs, v.u.s, v.len, 0);
      buf_putc(b, to->esc);
      buf_put(b, e + 1, body);
      buf_putc(b, to->esc);
      done = p = close + 1;
    } else {
      bool known = body && ((body == 1 && expand(from, e + 1, 1, tmp) != SIZE_MAX) ||
                            (body >= 3 && e[1] == 'X' && body % 2 == 1 && all_hex(e + 2, body - 1)));
      p = known ? close + 1 : e + 1;
    }
  }
  if (!s) s = hl7_decode(b->a, from, fcs, hl7_cut(done, end), &v, NULL);
  return s ? s : hl7_encode(b, to, tcs, v.u.s, v.len, 0);
}

bool hl7_same_form(const hl7_delims *a, charset_id acs, const hl7_delims *b, charset_id bcs, hl7_slice raw) {
  return memcmp(a, b, sizeof *a) == 0 && (acs == bcs || charset_is_ascii(raw.p, raw.len));
}

hdw_status hl7_translate(buf *b, const hl7_delims *from, charset_id fcs, const hl7_delims *to, charset_id tcs, hl7_slice raw) {
  if (hl7_same_form(from, fcs, to, tcs, raw)) {
    buf_put(b, raw.p, raw.len);
    return (hdw_status)b->status;
  }
  const char roles[4] = {from->field, from->comp, from->rep, from->sub}, into[4] = {to->field, to->comp, to->rep, to->sub};
  const char *p = raw.p, *end = p + raw.len;
  while (p <= end) {
    const char *q = p;
    unsigned k = 4;
    for (; q < end && k == 4; q += k == 4)
      for (k = 0; k < 4 && !(*q == roles[k] && (k == 0 || roles[k] != from->field)); k++) {}
    hdw_status s = translate_leaf(b, from, fcs, to, tcs, hl7_cut(p, q));
    if (s) return s;
    if (q == end) break;
    if (k && into[k] == to->field) return HDW_E_DATA; // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): k < 4. The target has no such separator
    buf_putc(b, into[k]);
    p = q + 1;
  }
  return (hdw_status)b->status;
}
