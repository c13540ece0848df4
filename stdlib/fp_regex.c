/* matches, matchesFull and replaceMatches. A pattern is compiled once where the embedder keeps them (vm_cx.regexes); it costs the same fuel either way, so that a run
 * takes the same course again. */
#include "fp_int.h"
#include "re.h"

/* Compiling costs about this much fuel for each byte of a pattern. */
enum { COMPILE_UNITS = 8 };

static hdw_status compile(vm_cx *cx, val pattern, const char *what, re **out) {
  hdw_status s = vm_charge(cx, 64 + (size_t)pattern.len * COMPILE_UNITS);
  if (s) return s;
  s = re_make(cx->regexes, pattern.u.s, pattern.len, out);
  if (s == HDW_E_SYNTAX) return vm_fail(cx, HDW_E_INVALID, "%s: the regular expression is malformed", what);
  if (s == HDW_E_LIMIT) return vm_fail(cx, HDW_E_LIMIT, "%s: the regular expression is too large", what);
  return s;
}

static hdw_status match(vm_cx *cx, const val *args, const char *what, bool full, val *out) {
  val x, pattern;
  re *r;
  bool found;
  hdw_status s = fp_text(cx, args[0], what, &x);
  *out = VAL_NONE;
  if (s || (s = fp_text(cx, args[1], what, &pattern))) return s;
  if (x.tag == VAL_EMPTY || pattern.tag == VAL_EMPTY) return HDW_OK;
  if ((s = vm_charge(cx, x.len / 4)) || (s = compile(cx, pattern, what, &r))) return s;
  s = re_find(r, x.u.s, x.len, 0, full, &found, NULL);
  re_done(r);
  if (!s) *out = val_bool(found);
  return s;
}

hdw_status fp_matches(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, match(cx, args, "matches()", false, out); }
hdw_status fp_matches_full(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, match(cx, args, "matchesFull()", true, out); }

static void put_group(buf *b, const char *text, const re_match *m, int g) {
  if (g >= 0 && g < RE_GROUPS && m->at[2 * g] >= 0) buf_put(b, text + m->at[2 * g], (size_t)(m->at[2 * g + 1] - m->at[2 * g]));
}

/* $0 .. $9, ${name}, ${1} and $$ in a substitution; any other $ is itself. Groups that do not exist are nothing. */
static void put_substitution(buf *b, const re *r, val by, const char *text, const re_match *m) {
  const char *p = by.u.s, *end = p + by.len;
  while (p < end) {
    const char *dollar = (const char *)memchr(p, '$', (size_t)(end - p));
    buf_put(b, p, (size_t)((dollar ? dollar : end) - p));
    if (!dollar) return;
    p = dollar + 1;
    if (p < end && *p >= '0' && *p <= '9') {
      put_group(b, text, m, *p++ - '0');
    } else if (p < end && *p == '$') {
      buf_putc(b, *p++);
    } else if (p < end && *p == '{') {
      const char *close = (const char *)memchr(p, '}', (size_t)(end - p));
      if (!close) {
        buf_putc(b, '$');
        continue;
      }
      size_t k = (size_t)(close - p) - 1;
      put_group(b, text, m, k == 1 && p[1] >= '0' && p[1] <= '9' ? p[1] - '0' : re_group(r, p + 1, k));
      p = close + 1;
    } else {
      buf_putc(b, '$');
    }
  }
}

/* All matches from left to right; an empty match between characters counts, but not right behind another match. */
static hdw_status replace_all(vm_cx *cx, const re *r, val x, val by, buf *b) {
  size_t at = 0, copied = 0;
  long last_end = -1;
  while (at <= x.len && !b->status) {
    re_match m;
    bool found;
    hdw_status s = re_find(r, x.u.s, x.len, at, false, &found, &m);
    if (s || (s = vm_charge(cx, 4))) return s;
    if (!found) break;
    size_t from = (size_t)m.at[0], to = (size_t)m.at[1];
    if (from == to && m.at[0] == last_end) {
      at = to + 1;
      while (at < x.len && ((unsigned char)x.u.s[at] & 0xc0) == 0x80) at++;
      continue;
    }
    if ((s = vm_charge(cx, (to - at) / 4))) return s;
    buf_put(b, x.u.s + copied, from - copied);
    put_substitution(b, r, by, x.u.s, &m);
    copied = to;
    last_end = m.at[1];
    at = to;
    if (from == to) {
      at = to + 1;
      while (at < x.len && ((unsigned char)x.u.s[at] & 0xc0) == 0x80) at++;
    }
  }
  if (copied < x.len) buf_put(b, x.u.s + copied, x.len - copied);
  return HDW_OK;
}

hdw_status fp_replace_matches(vm_cx *cx, const val *args, unsigned n, val *out) {
  static const char what[] = "replaceMatches()";
  val x, pattern, by;
  re *r;
  (void)n;
  hdw_status s = fp_text(cx, args[0], what, &x);
  *out = VAL_NONE;
  if (s || (s = fp_text(cx, args[1], what, &pattern)) || (s = fp_text(cx, args[2], what, &by))) return s;
  if (x.tag == VAL_EMPTY || pattern.tag == VAL_EMPTY || by.tag == VAL_EMPTY) return HDW_OK;
  if (pattern.len == 0) { /* the standard: an empty pattern changes nothing */
    *out = val_str(x.u.s, x.len);
    return HDW_OK;
  }
  if ((s = compile(cx, pattern, what, &r))) return s;
  buf b;
  uint64_t fuel = cx->fuel > 0 ? (uint64_t)cx->fuel : 0;
  buf_init(&b, cx->a, fuel > FP_TEXT_MAX / 16 ? FP_TEXT_MAX : (size_t)fuel * 16 + 64);
  s = replace_all(cx, r, x, by, &b);
  re_done(r);
  if (s) return s;
  if (b.status == HDW_E_LIMIT) return vm_fail(cx, HDW_E_LIMIT, "a string is too long");
  if (b.status) return (hdw_status)b.status;
  *out = val_str(b.p ? b.p : "", b.len);
  return vm_charge(cx, b.len / 16);
}
