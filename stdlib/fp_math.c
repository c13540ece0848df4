/* Mathematics (FHIRPath N1 section 5.7) and boundaries. Everything is exact decimal arithmetic but sqrt, exp, ln, log and power with a
 * fraction as exponent: those have no finite result and go through long double, rounded to 8 digits after the point. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "fp_int.h"

enum { IRRATIONAL_DIGITS = 8 };

static hdw_status nothing(val *out) { return *out = VAL_NONE, HDW_OK; }

static hdw_status number(vm_cx *cx, val v, const char *what, val *x) {
  hdw_status s = fp_one(cx, v, what, x);
  if (s || x->tag == VAL_EMPTY || fp_is_num(*x)) return s;
  return fp_type_error(cx, what, *x);
}

hdw_status fp_abs(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x;
  (void)n;
  hdw_status s = fp_one(cx, args[0], "abs()", &x);
  if (s || x.tag == VAL_EMPTY) return *out = VAL_NONE, s;
  if (x.tag == VAL_QTY) {
    if (((const val_quantity *)x.u.p)->value.coef < 0) return fp_neg(cx, &x, 1, out);
  } else if (!fp_is_num(x)) {
    return fp_type_error(cx, "abs()", x);
  } else if (val_get_dec(x).coef < 0) {
    return fp_neg(cx, &x, 1, out);
  }
  *out = x;
  out->aux = 0;
  return HDW_OK;
}

static hdw_status to_whole(vm_cx *cx, const val *args, const char *what, dec (*f)(const dec *), val *out) {
  val x;
  hdw_status s = number(cx, args[0], what, &x);
  if (s || x.tag == VAL_EMPTY) return *out = VAL_NONE, s;
  if (fp_is_whole(x)) {
    *out = x;
    out->aux = 0;
    return HDW_OK;
  }
  dec d = val_get_dec(x);
  int64_t i;
  d = f(&d);
  if (dec_to_i64(&d, &i)) return nothing(out);
  *out = fp_whole(i, false);
  return HDW_OK;
}

hdw_status fp_ceiling(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, to_whole(cx, args, "ceiling()", dec_ceil, out); }
hdw_status fp_floor(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, to_whole(cx, args, "floor()", dec_floor, out); }
hdw_status fp_truncate(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, to_whole(cx, args, "truncate()", dec_trunc, out); }

hdw_status fp_round(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x;
  int64_t digits = 0;
  bool has;
  hdw_status s = number(cx, args[0], "round()", &x);
  if (s || x.tag == VAL_EMPTY) return *out = VAL_NONE, s;
  if (n > 1 && (s = fp_int(cx, args[1], "round()", &digits, &has))) return s;
  if (digits < 0) return vm_fail(cx, HDW_E_RANGE, "round() wants a precision of 0 or more");
  dec d = val_get_dec(x);
  s = dec_round(&d, digits > DEC_MAX_SCALE ? DEC_MAX_SCALE : (int32_t)digits, &d);
  return fp_dec_out(cx, s, &d, out);
}

/* ---- irrational functions */

static long double approx(const dec *d) {
  char text[DEC_TEXT_MAX + 1];
  text[dec_format(d, text)] = 0;
  return strtold(text, NULL);
}

static hdw_status irrational(vm_cx *cx, long double r, val *out) {
  char text[128];
  dec d;
  if (!isfinite(r) || fabsl(r) >= 1e29L) return nothing(out);
  int n = snprintf(text, sizeof text, "%.*Lf", IRRATIONAL_DIGITS, r);
  if (n < 0 || (size_t)n >= sizeof text || dec_parse(text, (size_t)n, &d)) return nothing(out);
  d = dec_strip(&d);
  return val_from_dec(cx->a, &d, out);
}

static hdw_status function1(vm_cx *cx, const val *args, const char *what, long double (*f)(long double), val *out) {
  val x;
  hdw_status s = number(cx, args[0], what, &x);
  if (s || x.tag == VAL_EMPTY) return *out = VAL_NONE, s;
  dec d = val_get_dec(x);
  return irrational(cx, f(approx(&d)), out);
}

hdw_status fp_sqrt(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, function1(cx, args, "sqrt()", sqrtl, out); }
hdw_status fp_exp(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, function1(cx, args, "exp()", expl, out); }
hdw_status fp_ln(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, function1(cx, args, "ln()", logl, out); }

static hdw_status two_numbers(vm_cx *cx, const val *args, const char *what, val *x, val *y) {
  hdw_status s = number(cx, args[0], what, x);
  return s ? s : number(cx, args[1], what, y);
}

hdw_status fp_log(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x, y;
  (void)n;
  hdw_status s = two_numbers(cx, args, "log()", &x, &y);
  if (s) return s;
  if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return nothing(out);
  dec a = val_get_dec(x), b = val_get_dec(y);
  if (a.coef <= 0 || b.coef <= 0) return nothing(out);
  return irrational(cx, log2l(approx(&a)) / log2l(approx(&b)), out);
}

/* base^e, e >= 0, by squaring. */
static hdw_status dec_power(dec base, uint64_t e, dec *out) {
  dec r = dec_from_i64(1);
  for (;;) {
    if ((e & 1) && dec_mul(&r, &base, &r)) return HDW_E_RANGE;
    e >>= 1;
    if (!e) break;
    if (dec_mul(&base, &base, &base)) return HDW_E_RANGE;
  }
  *out = r;
  return HDW_OK;
}

hdw_status fp_power(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x, y;
  (void)n;
  hdw_status s = two_numbers(cx, args, "power()", &x, &y);
  if (s) return s;
  if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return nothing(out);
  dec base = val_get_dec(x), e = val_get_dec(y), r, one = dec_from_i64(1);
  int64_t k;
  if (dec_to_i64(&e, &k)) return irrational(cx, powl(approx(&base), approx(&e)), out);
  if (dec_power(base, k < 0 ? (uint64_t)0 - (uint64_t)k : (uint64_t)k, &r)) return nothing(out);
  if (k < 0 && dec_div(&one, &r, &r)) return nothing(out);
  if (fp_is_whole(x) && fp_is_whole(y) && k >= 0) {
    bool wide = x.tag == VAL_LONG || y.tag == VAL_LONG;
    int64_t i;
    if (dec_to_i64(&r, &i) || (!wide && (i < INT32_MIN || i > INT32_MAX))) return nothing(out);
    *out = fp_whole(i, wide);
    return HDW_OK;
  }
  return val_from_dec(cx->a, &r, out);
}

/* ---- precision and boundaries */

/* precision() of a number is its digits after the point as written.
 * Digits of a temporal of precision p as precision() counts them: YYYY 4 ... milliseconds 17; times from hours 2 to 9. */
static int time_digits(const tm_val *t, bool is_time) {
  static const int digits[] = {0, 4, 6, 8, 10, 12, 14, 17};
  return digits[t->prec] - (is_time ? 8 : 0);
}

hdw_status fp_precision(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x;
  (void)n;
  hdw_status s = fp_one(cx, args[0], "precision()", &x);
  if (s || x.tag == VAL_EMPTY) return *out = VAL_NONE, s;
  if (fp_is_time(x)) {
    tm_val t = val_get_time(x);
    *out = val_int(time_digits(&t, x.tag == VAL_TIME));
    return HDW_OK;
  }
  if (!fp_is_num(x)) return fp_type_error(cx, "precision()", x);
  *out = val_int(val_get_dec(x).scale);
  return HDW_OK;
}

/* The edge of what a number of this many digits may stand for, cut to `digits` places away from the middle. A number that has nothing but zeros
 * in those places stays zero, as the test cases of the standard have it. */
static bool dec_boundary(const dec *v, int32_t digits, bool high, dec *out) {
  dec half = {5, v->scale + 1}, edge;
  if (half.scale > DEC_MAX_SCALE) half.scale = DEC_MAX_SCALE;
  if (high ? dec_add(v, &half, &edge) : dec_sub(v, &half, &edge)) return false;
  dec cut = *v;
  if (digits < v->scale) {
    dec_coef p = 1;
    for (int32_t k = digits; k < v->scale; k++) p *= 10;
    if (cut.coef / p == 0) return *out = (dec){0, digits}, true;
  }
  if (edge.scale <= digits) {
    dec zeros = {0, digits};
    return dec_add(&edge, &zeros, out) == HDW_OK;
  }
  /* floor or ceil at `digits` places: shift, cut, shift back */
  dec shifted = {edge.coef, edge.scale - digits};
  shifted = high ? dec_ceil(&shifted) : dec_floor(&shifted);
  *out = (dec){shifted.coef, digits};
  return true;
}

static tm_prec prec_of_digits(int64_t digits, bool is_time) {
  if (digits < 0 || digits > 17) return (tm_prec)0;
  switch (is_time ? digits + 8 : digits) {
    case 4: return TM_YEAR;
    case 6: return TM_MONTH;
    case 8: return TM_DAY;
    case 10: return TM_HOUR;
    case 12: return TM_MINUTE;
    case 14: return TM_SECOND;
    case 17: return TM_FRACTION;
    default: return (tm_prec)0;
  }
}

/* Fills what a temporal leaves open with its least or greatest value; an unknown zone is +14:00 (earliest) or -12:00 (latest). */
static bool time_boundary(val v, tm_prec p, bool high, val *out) {
  tm_val t = val_get_time(v), r;
  int y, m, d, h, mi, s, us;
  tm_fields(&t, &y, &m, &d, &h, &mi, &s, &us);
  if (t.prec < TM_MONTH) m = high ? 12 : 1;
  if (t.prec < TM_DAY) d = high ? 31 : 1;
  if (high && t.prec < TM_HOUR) h = 23;
  if (high && t.prec < TM_MINUTE) mi = 59;
  if (high && t.prec < TM_SECOND) s = 59;
  if (high && t.prec < TM_FRACTION) us = 999000;
  while (tm_make(y, m, d, h, mi, s, us, p, &r)) /* shorter months */
    if (--d < 28) return false;
  if (p == TM_FRACTION) r.frac_digits = t.frac_digits > 3 ? t.frac_digits : 3;
  if (v.tag == VAL_DATETIME && p >= TM_HOUR) {
    r.has_zone = true;
    r.zone_z = t.zone_z;
    r.zone_min = t.has_zone ? t.zone_min : high ? -12 * 60 : 14 * 60;
  }
  *out = val_from_time((val_tag)v.tag, &r);
  return true;
}

static hdw_status boundary(vm_cx *cx, const val *args, unsigned n, const char *what, bool high, val *out) {
  val x;
  int64_t digits = 0;
  bool has = false;
  hdw_status s = fp_one(cx, args[0], what, &x);
  *out = VAL_NONE;
  if (s || x.tag == VAL_EMPTY) return s;
  if (n > 1 && (s = fp_int(cx, args[1], what, &digits, &has))) return s;
  if (x.tag == VAL_QTY || fp_is_num(x)) {
    const val_quantity *q = x.tag == VAL_QTY ? (const val_quantity *)x.u.p : NULL;
    dec d = q ? q->value : val_get_dec(x), r;
    if (!has) digits = d.scale < 8 ? 8 : d.scale < DEC_MAX_SCALE ? d.scale + 1 : DEC_MAX_SCALE;
    if (digits < 0 || digits > DEC_MAX_SCALE || !dec_boundary(&d, (int32_t)digits, high, &r)) return HDW_OK;
    return q ? val_from_qty(cx->a, &r, q->unit, q->unit_len, (x.flags & VALF_CALENDAR) != 0, out) : val_from_dec(cx->a, &r, out);
  }
  if (!fp_is_time(x)) return fp_type_error(cx, what, x);
  if (!has) digits = x.tag == VAL_DATE ? 8 : x.tag == VAL_TIME ? 9 : 17;
  tm_prec p = prec_of_digits(digits, x.tag == VAL_TIME);
  if (p && !(x.tag == VAL_DATE && p > TM_DAY) && !(x.tag == VAL_TIME && p < TM_HOUR)) time_boundary(x, p, high, out);
  return HDW_OK;
}

hdw_status fp_low_boundary(vm_cx *cx, const val *args, unsigned n, val *out) { return boundary(cx, args, n, "lowBoundary()", false, out); }
hdw_status fp_high_boundary(vm_cx *cx, const val *args, unsigned n, val *out) { return boundary(cx, args, n, "highBoundary()", true, out); }
