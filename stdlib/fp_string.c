/* Strings (FHIRPath N1 section 5.6). Positions and lengths count code points. Results are slices of the input where they can be. */
#include <utf8proc.h>
#include "fp_int.h"

#define NATIVE(name) hdw_status name(vm_cx *cx, const val *args, unsigned n, val *out)

/* Receiver and one argument as strings; *go is false when *out ({}) is already the result. */
static hdw_status two_texts(vm_cx *cx, const val *args, const char *what, val *x, val *y, bool *go, val *out) {
  hdw_status s = fp_text(cx, args[0], what, x);
  *go = false;
  *out = VAL_NONE;
  if (s || (s = fp_text(cx, args[1], what, y))) return s;
  if (x->tag == VAL_EMPTY || y->tag == VAL_EMPTY) return HDW_OK;
  *go = true;
  return vm_charge(cx, x->len / 16);
}

static hdw_status one_text(vm_cx *cx, val v, const char *what, val *x, val *out) {
  hdw_status s = fp_text(cx, v, what, x);
  *out = VAL_NONE;
  return s ? s : vm_charge(cx, x->tag == VAL_STR ? x->len / 16 : 0);
}

/* Code points in n bytes: those that are no continuation bytes. */
static uint32_t count_cp(const char *s, size_t n) {
  uint32_t c = 0;
  for (size_t i = 0; i < n; i++) c += ((unsigned char)s[i] & 0xc0) != 0x80;
  return c;
}

/* Bytes of the code point at s; a stray byte is one. */
static size_t cp_len(const char *s, const char *end) {
  const char *p = s + 1;
  while (p < end && ((unsigned char)*p & 0xc0) == 0x80) p++;
  return (size_t)(p - s);
}

/* Advances by k code points, stopping at the end. */
static const char *skip_cp(const char *s, const char *end, int64_t k) {
  while (k > 0 && s < end) s += cp_len(s, end), k--;
  return s;
}

static const char *find(val x, val y) {
  if (y.len == 0) return x.u.s;
  return (const char *)memmem(x.u.s, x.len, y.u.s, y.len);
}

NATIVE(fp_index_of) {
  val x, y;
  bool go;
  (void)n;
  hdw_status s = two_texts(cx, args, "indexOf()", &x, &y, &go, out);
  if (s || !go) return s;
  const char *p = find(x, y);
  *out = val_int(p ? (int64_t)count_cp(x.u.s, (size_t)(p - x.u.s)) : -1);
  return HDW_OK;
}

NATIVE(fp_last_index_of) {
  val x, y;
  bool go;
  (void)n;
  hdw_status s = two_texts(cx, args, "lastIndexOf()", &x, &y, &go, out);
  if (s || !go) return s;
  *out = val_int(-1);
  if (y.len == 0) return *out = val_int((int64_t)count_cp(x.u.s, x.len)), HDW_OK;
  if (y.len > x.len) return HDW_OK;
  if ((s = vm_charge(cx, (size_t)(x.len - y.len) / 4))) return s;
  /* from hit to hit forwards: memmem stays linear in the whole */
  const char *last = NULL, *at = x.u.s, *end = x.u.s + x.len;
  for (const char *p; at < end && (p = (const char *)memmem(at, (size_t)(end - at), y.u.s, y.len)) != NULL; at = p + 1) {
    last = p;
    if ((s = vm_charge(cx, 1 + y.len / 16))) return s;
  }
  if (last) *out = val_int((int64_t)count_cp(x.u.s, (size_t)(last - x.u.s)));
  return HDW_OK;
}

NATIVE(fp_substring) {
  val x;
  int64_t start, len = 0;
  bool has, limited = false;
  hdw_status s = one_text(cx, args[0], "substring()", &x, out);
  if (s || (s = fp_int(cx, args[1], "substring()", &start, &has))) return s;
  if (n > 2 && (s = fp_int(cx, args[2], "substring()", &len, &limited))) return s;
  if (x.tag == VAL_EMPTY || !has || start < 0) return HDW_OK;
  const char *end = x.u.s + x.len, *p = skip_cp(x.u.s, end, start);
  if (p == end) return HDW_OK;
  const char *q = limited ? skip_cp(p, end, len) : end;
  *out = val_str(p, (size_t)(q - p));
  return HDW_OK;
}

NATIVE(fp_starts_with) {
  val x, y;
  bool go;
  (void)n;
  hdw_status s = two_texts(cx, args, "startsWith()", &x, &y, &go, out);
  if (!s && go) *out = val_bool(y.len <= x.len && (y.len == 0 || memcmp(x.u.s, y.u.s, y.len) == 0));
  return s;
}

NATIVE(fp_ends_with) {
  val x, y;
  bool go;
  (void)n;
  hdw_status s = two_texts(cx, args, "endsWith()", &x, &y, &go, out);
  if (!s && go) *out = val_bool(y.len <= x.len && (y.len == 0 || memcmp(x.u.s + (x.len - y.len), y.u.s, y.len) == 0));
  return s;
}

NATIVE(fp_contains) {
  val x, y;
  bool go;
  (void)n;
  hdw_status s = two_texts(cx, args, "contains()", &x, &y, &go, out);
  if (!s && go) *out = val_bool(find(x, y) != NULL);
  return s;
}

static bool is_ascii(val x) {
  unsigned char any = 0;
  for (uint32_t i = 0; i < x.len; i++) any |= (unsigned char)x.u.s[i];
  return any < 0x80;
}

static char ascii_case(char c, bool up) { return up ? (c >= 'a' && c <= 'z' ? (char)(c - 32) : c) : (c >= 'A' && c <= 'Z' ? (char)(c + 32) : c); }

/* One code point to one, as Unicode's simple case mapping has it (sharp s stays). */
static hdw_status change_case(vm_cx *cx, val v, const char *what, bool up, val *out) {
  val x;
  hdw_status s = one_text(cx, v, what, &x, out);
  if (s || x.tag == VAL_EMPTY) return s;
  bool ascii = is_ascii(x);
  size_t cap = ascii ? x.len : (size_t)x.len * 2 + 4; /* a mapping may go from two bytes to three */
  char *p = (char *)arena_alloc(cx->a, cap), *w = p;
  if (!p) return HDW_E_NOMEM;
  if (ascii) {
    for (uint32_t i = 0; i < x.len; i++) *w++ = ascii_case(x.u.s[i], up);
  } else {
    const utf8proc_uint8_t *r = (const utf8proc_uint8_t *)x.u.s, *end = r + x.len;
    while (r < end) {
      utf8proc_int32_t c;
      utf8proc_ssize_t k = utf8proc_iterate(r, end - r, &c);
      if (k <= 0) { /* a byte that is no UTF-8 stays */
        *w++ = (char)*r++;
        continue;
      }
      r += k;
      utf8proc_int32_t d = up ? (c == 0xdf ? c : utf8proc_toupper(c)) : utf8proc_tolower(c);
      w += utf8proc_encode_char(d, (utf8proc_uint8_t *)w);
    }
  }
  *out = val_str(p, (size_t)(w - p));
  return HDW_OK;
}

NATIVE(fp_upper) { return (void)n, change_case(cx, args[0], "upper()", true, out); }
NATIVE(fp_lower) { return (void)n, change_case(cx, args[0], "lower()", false, out); }

/* '' as pattern puts the substitution around every character. */
static void replace_between(buf *b, val x, val by) {
  const char *p = x.u.s, *end = p + x.len;
  buf_put(b, by.u.s, by.len);
  while (p < end) {
    size_t k = cp_len(p, end);
    buf_put(b, p, k);
    buf_put(b, by.u.s, by.len);
    p += k;
  }
}

static hdw_status from_buf(vm_cx *cx, const buf *b, val *out) {
  if (b->status == HDW_E_LIMIT) return vm_fail(cx, HDW_E_LIMIT, "a string is too long");
  if (b->status) return (hdw_status)b->status;
  *out = val_str(b->p ? b->p : "", b->len);
  return vm_charge(cx, b->len / 16);
}

/* Bytes that the rest of the fuel may pay for, so that a blow-up stops while it happens. */
static size_t text_bound(const vm_cx *cx) {
  uint64_t fuel = cx->fuel > 0 ? (uint64_t)cx->fuel : 0;
  return fuel > FP_TEXT_MAX / 16 ? FP_TEXT_MAX : (size_t)fuel * 16 + 64;
}

NATIVE(fp_replace) {
  val x, y, by;
  bool go;
  (void)n;
  hdw_status s = two_texts(cx, args, "replace()", &x, &y, &go, out);
  if (s || (s = fp_text(cx, args[2], "replace()", &by))) return s;
  if (!go || by.tag == VAL_EMPTY) return HDW_OK;
  if (y.len && !find(x, y)) {
    *out = val_str(x.u.s, x.len);
    return HDW_OK;
  }
  buf b;
  buf_init(&b, cx->a, text_bound(cx));
  if (y.len == 0) {
    replace_between(&b, x, by);
    return from_buf(cx, &b, out);
  }
  const char *p = x.u.s, *end = p + x.len;
  for (const char *hit; (hit = (const char *)memmem(p, (size_t)(end - p), y.u.s, y.len)) != NULL; p = hit + y.len) {
    buf_put(&b, p, (size_t)(hit - p));
    buf_put(&b, by.u.s, by.len);
    if (b.status) break;
  }
  buf_put(&b, p, (size_t)(end - p));
  return from_buf(cx, &b, out);
}

NATIVE(fp_length) {
  val x;
  (void)n;
  hdw_status s = one_text(cx, args[0], "length()", &x, out);
  if (!s && x.tag != VAL_EMPTY) *out = val_int((int64_t)count_cp(x.u.s, x.len));
  return s;
}

static hdw_status chars(vm_cx *cx, val x, val *out) {
  val_builder b = {0};
  hdw_status s = vm_charge(cx, x.len);
  for (const char *p = x.u.s, *end = p + x.len; !s && p < end;) {
    size_t k = cp_len(p, end);
    s = val_push(cx->a, &b, val_str(p, k));
    p += k;
  }
  *out = val_build(&b);
  return s;
}

NATIVE(fp_to_chars) {
  val x;
  (void)n;
  hdw_status s = one_text(cx, args[0], "toChars()", &x, out);
  return s || x.tag == VAL_EMPTY ? s : chars(cx, x, out);
}

static bool is_space(char c) { return c == ' ' || (c >= 9 && c <= 13); }

NATIVE(fp_trim) {
  val x;
  (void)n;
  hdw_status s = one_text(cx, args[0], "trim()", &x, out);
  if (s || x.tag == VAL_EMPTY) return s;
  const char *p = x.u.s, *end = p + x.len;
  while (p < end && is_space(*p)) p++;
  while (end > p && is_space(end[-1])) end--;
  *out = val_str(p, (size_t)(end - p));
  return HDW_OK;
}

NATIVE(fp_split) {
  val x, y;
  bool go;
  val_builder b = {0};
  (void)n;
  hdw_status s = two_texts(cx, args, "split()", &x, &y, &go, out);
  if (s || !go) return s;
  if (y.len == 0) return chars(cx, x, out);
  const char *p = x.u.s, *end = p + x.len;
  for (;;) {
    const char *hit = (const char *)memmem(p, (size_t)(end - p), y.u.s, y.len);
    s = val_push(cx->a, &b, val_str(p, (size_t)((hit ? hit : end) - p)));
    if (!s) s = vm_charge(cx, 1);
    if (s) return s;
    if (!hit) break;
    p = hit + y.len;
  }
  *out = val_build(&b);
  return HDW_OK;
}

/* Primitive items that are no strings are joined as their text. {} for no items. */
NATIVE(fp_join) {
  val sep = VAL_NONE;
  buf b;
  hdw_status s = n > 1 ? fp_text(cx, args[1], "join()", &sep) : HDW_OK;
  *out = VAL_NONE;
  if (s || val_count(args[0]) == 0) return s;
  buf_init(&b, cx->a, text_bound(cx));
  for (uint32_t i = 0; i < val_count(args[0]) && !b.status; i++) {
    val x;
    if ((s = vm_charge(cx, 1)) || (s = fp_one(cx, val_item(args[0], i), "join()", &x))) return s;
    if (x.tag != VAL_STR) {
      s = val_to_str(cx->a, x, &x);
      if (s == HDW_E_TYPE) return fp_type_error(cx, "join()", x);
      if (s) return s;
    }
    if (i && sep.tag == VAL_STR) buf_put(&b, sep.u.s, sep.len);
    if (x.tag == VAL_STR) buf_put(&b, x.u.s, x.len);
  }
  return from_buf(cx, &b, out);
}

NATIVE(fp_digits) {
  val x;
  (void)n;
  hdw_status s = one_text(cx, args[0], "digits()", &x, out);
  if (s || x.tag == VAL_EMPTY) return s;
  char *p = (char *)arena_alloc(cx->a, x.len), *w = p;
  if (!p) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < x.len; i++)
    if (x.u.s[i] >= '0' && x.u.s[i] <= '9') *w++ = x.u.s[i];
  *out = val_str(p, (size_t)(w - p));
  return HDW_OK;
}
