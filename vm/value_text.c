/* Values as text, and JSON escapes. */
#include "value.h"
#include "value_int.h"

static int hex4(const unsigned char *s, const unsigned char *end) {
  int v = 0;
  if (end - s < 4) return -1;
  for (int k = 0; k < 4; k++) {
    int c = s[k], d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (d < 0) return -1;
    v = v << 4 | d;
  }
  return v;
}

static size_t utf8_put(uint32_t cp, unsigned char *w) {
  if (cp < 0x80) return w[0] = (unsigned char)cp, 1;
  if (cp < 0x800) return w[0] = (unsigned char)(0xc0 | cp >> 6), w[1] = (unsigned char)(0x80 | (cp & 63)), 2;
  if (cp < 0x10000) {
    w[0] = (unsigned char)(0xe0 | cp >> 12);
    w[1] = (unsigned char)(0x80 | (cp >> 6 & 63));
    w[2] = (unsigned char)(0x80 | (cp & 63));
    return 3;
  }
  w[0] = (unsigned char)(0xf0 | cp >> 18);
  w[1] = (unsigned char)(0x80 | (cp >> 12 & 63));
  w[2] = (unsigned char)(0x80 | (cp >> 6 & 63));
  w[3] = (unsigned char)(0x80 | (cp & 63));
  return 4;
}

size_t val_unesc_next(val_unesc *u, unsigned char *w) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (u->s >= u->end) return 0;
  if (*u->s != '\\') return w[0] = *u->s++, 1;
  if (++u->s >= u->end) return utf8_put(0xfffd, w);
  unsigned char c = *u->s++;
  if (c != 'u') {
    const char *p = c ? strchr(from, c) : NULL;
    if (!p) return utf8_put(0xfffd, w);
    w[0] = (unsigned char)to[p - from];
    return 1;
  }
  int hi = hex4(u->s, u->end);
  if (hi < 0) return utf8_put(0xfffd, w);
  u->s += 4;
  if (hi < 0xd800 || hi > 0xdfff) return utf8_put((uint32_t)hi, w);
  if (hi < 0xdc00 && u->end - u->s >= 6 && u->s[0] == '\\' && u->s[1] == 'u') {
    int lo = hex4(u->s + 2, u->end);
    if (lo >= 0xdc00 && lo <= 0xdfff) {
      u->s += 6;
      return utf8_put(0x10000u + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00), w);
    }
  }
  return utf8_put(0xfffd, w);
}

hdw_status val_unescape(arena *a, val v, val *out) {
  if (v.tag != VAL_STR || !(v.flags & VALF_ESC)) {
    *out = v;
    return HDW_OK;
  }
  /* an escape is never shorter than the bytes it stands for, but U+FFFD for a lone "\x" has 3 bytes for 2 */
  val_unesc u = {(const unsigned char *)v.u.s, (const unsigned char *)v.u.s + v.len};
  unsigned char one[4];
  size_t len = 0;
  for (size_t n; (n = val_unesc_next(&u, one)) > 0;) len += n;
  if (len > UINT32_MAX) return HDW_E_LIMIT;
  unsigned char *p = (unsigned char *)arena_alloc(a, len);
  if (!p) return HDW_E_NOMEM;
  u.s = (const unsigned char *)v.u.s;
  unsigned char *w = p;
  for (size_t n; (n = val_unesc_next(&u, one)) > 0; w += n) memcpy(w, one, n);
  *out = val_str((const char *)p, len);
  out->aux = v.aux;
  return HDW_OK;
}

bool val_esc_equal(val v, const char *s, size_t len) {
  val_unesc u = {(const unsigned char *)v.u.s, (const unsigned char *)v.u.s + v.len};
  unsigned char one[4];
  size_t at = 0;
  for (size_t n; (n = val_unesc_next(&u, one)) > 0; at += n)
    if (len - at < n || memcmp(s + at, one, n) != 0) return false;
  return at == len;
}

static hdw_status dup_text(arena *a, const char *s, size_t n, val *out) {
  char *p = arena_dup(a, s, n);
  if (!p) return HDW_E_NOMEM;
  *out = val_str(p, n);
  return HDW_OK;
}

/* "4 days" for calendar units, "4 'mg'" for UCUM. */
static hdw_status qty_text(arena *a, val v, val *out) {
  const val_quantity *q = (const val_quantity *)v.u.p;
  char num[DEC_TEXT_MAX];
  size_t n = dec_format(&q->value, num);
  dec one = dec_from_i64(1);
  buf b;
  buf_init(&b, a, (size_t)q->unit_len + DEC_TEXT_MAX + 8);
  buf_put(&b, num, n);
  buf_putc(&b, ' ');
  if (v.flags & VALF_CALENDAR) {
    buf_put(&b, q->unit, q->unit_len);
    if (dec_cmp(&q->value, &one) != 0) buf_putc(&b, 's');
  } else {
    buf_putc(&b, '\'');
    buf_put(&b, q->unit, q->unit_len);
    buf_putc(&b, '\'');
  }
  if (b.status) return (hdw_status)b.status;
  *out = val_str(b.p, b.len);
  return HDW_OK;
}

static size_t int_text(int64_t i, char *out) {
  dec d = dec_from_i64(i);
  return dec_format(&d, out);
}

hdw_status val_to_str(arena *a, val v, val *out) {
  char text[DEC_TEXT_MAX + TM_TEXT_MAX];
  dec d;
  tm_val t;
  switch (v.tag) {
    case VAL_EMPTY:
    case VAL_NULL: *out = VAL_NONE; return HDW_OK;
    case VAL_BOOL: *out = v.u.i ? val_str("true", 4) : val_str("false", 5); return HDW_OK;
    case VAL_STR:
      if (v.flags & VALF_ESC) return val_unescape(a, v, out);
      *out = v;
      return HDW_OK;
    case VAL_NUM: *out = val_str(v.u.s, v.len); return HDW_OK;
    case VAL_INT:
    case VAL_LONG: return dup_text(a, text, int_text(v.u.i, text), out);
    case VAL_DEC: d = val_get_dec(v); return dup_text(a, text, dec_format(&d, text), out);
    case VAL_DATE: t = val_get_time(v); return dup_text(a, text, tm_format_date(&t, text), out);
    case VAL_DATETIME: t = val_get_time(v); return dup_text(a, text, tm_format_datetime(&t, text), out);
    case VAL_TIME: t = val_get_time(v); return dup_text(a, text, tm_format_time(&t, text), out);
    case VAL_QTY: return qty_text(a, v, out);
    default: return HDW_E_TYPE;
  }
}

const char *val_type_name(val v) {
  switch (v.tag) {
    case VAL_EMPTY: return "empty";
    case VAL_BOOL: return "Boolean";
    case VAL_INT: return "Integer";
    case VAL_LONG: return "Long";
    case VAL_DEC:
    case VAL_NUM: return "Decimal";
    case VAL_STR:
    case VAL_TPL: return "String";
    case VAL_DATE: return "Date";
    case VAL_DATETIME: return "DateTime";
    case VAL_TIME: return "Time";
    case VAL_QTY: return "Quantity";
    case VAL_NULL: return "null";
    case VAL_OBJ: return "Object";
    case VAL_LIST: return "Collection";
    case VAL_BIN: return "Binary";
    case VAL_HL7: return "HL7";
    case VAL_HANDLE: return "Handle";
    case VAL_TYPE: return "Type";
    default: return "Any";
  }
}
