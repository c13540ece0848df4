/* Units of quantities brought to one another; and case folding. */
#include "unit.h"
#include "value.h"
#include "value_int.h"

enum { RADIAN = 3 }; /* unit_def.dim: plane angles are made of pi and compare as far as their digits go */

static bool scaled(const dec *value, const unit_def *u, const dec *factor, bool exact, dec *out) {
  dec v = dec_strip(value);
  if (u->has_offset && dec_add(&v, &u->offset, &v)) return false;
  bool rounded = exact ? u->dim[RADIAN] != 0 : factor->coef > (dec_coef)1000000000 * 1000000000;
  if (!rounded && v.scale + factor->scale > DEC_MAX_SCALE) return false; /* would round */
  return dec_mul(&v, factor, out) == HDW_OK && (rounded || !exact || out->scale == v.scale + factor->scale);
}

static bool same_text(const val_quantity *p, const val_quantity *q) { return p->unit_len == q->unit_len && memcmp(p->unit, q->unit, p->unit_len) == 0; }

bool val_qty_align(const val_quantity *qx, const val_quantity *qy, bool loose, dec *x, dec *y) {
  unit_def u, v;
  dec a, b;
  *x = qx->value;
  *y = qy->value;
  if (same_text(qx, qy)) return true;
  if (!unit_parse(qx->unit, qx->unit_len, loose, &u) || !unit_parse(qy->unit, qy->unit_len, loose, &v) || !unit_same_kind(&u, &v) || !unit_ratio(&u, &v, &a, &b)) return false;
  return scaled(&qx->value, &u, &a, true, x) && scaled(&qy->value, &v, &b, true, y);
}

bool val_qty_in(const val_quantity *q, const char *to, size_t len, dec *out) {
  unit_def u, v;
  dec a, b;
  *out = q->value;
  if (q->unit_len == len && memcmp(q->unit, to, len) == 0) return true;
  if (!unit_parse(q->unit, q->unit_len, false, &u) || !unit_parse(to, len, false, &v) || !unit_same_kind(&u, &v) || !unit_ratio(&u, &v, &a, &b)) return false;
  if (!scaled(&q->value, &u, &a, false, out) || dec_div(out, &b, out)) return false;
  return !v.has_offset || dec_sub(out, &v.offset, out) == HDW_OK;
}

int val_qty_finer(const val_quantity *p, const val_quantity *q) {
  unit_def u, v;
  dec a, b;
  if (same_text(p, q)) return -1;
  if (!unit_parse(p->unit, p->unit_len, false, &u) || !unit_parse(q->unit, q->unit_len, false, &v) || !unit_same_kind(&u, &v) || !unit_ratio(&u, &v, &a, &b)) return 0;
  if (u.has_offset || v.has_offset) return 0; /* temperatures on different scales have no sum */
  return dec_cmp(&a, &b) <= 0 ? -1 : 1;
}

typedef unsigned __int128 u128;

static int take_out(u128 *x, unsigned p) {
  int n = 0;
  while (*x && *x % p == 0) *x /= p, n++;
  return n;
}

static void reduce(u128 *x, u128 *y) {
  u128 a = *x, b = *y;
  while (b) { u128 r = a % b; a = b; b = r; }
  if (a) *x /= a, *y /= a;
}

/* The magnitude in base units is a fraction, m / d * 2^twos * 5^fives with m and d free of both and of common factors, which is the same whatever unit it was
 * written in. Where d is 1 it is a decimal: the one that a plain number of this magnitude has. Its digits wrap at 128 bits: the hash needs no more. */
size_t val_qty_canon(const val_quantity *q, dec *value, char unit_text[UNIT_TEXT_MAX]) {
  unit_def u;
  *value = q->value;
  if (!unit_parse(q->unit, q->unit_len, false, &u)) {
    size_t n = q->unit_len < UNIT_TEXT_MAX ? q->unit_len : UNIT_TEXT_MAX;
    memcpy(unit_text, q->unit, n);
    return n;
  }
  dec v = dec_strip(&q->value);
  size_t n = unit_signature(&u, unit_text);
  *value = (dec){0, 0};
  if (u.dim[RADIAN] || (u.has_offset && dec_add(&v, &u.offset, &v)) || v.coef == 0) return n; /* these hash by their kind alone */
  u128 m = v.coef < 0 ? 0 - (u128)v.coef : (u128)v.coef, num = (u128)u.num, d = (u128)u.den;
  int e = u.exp - v.scale, twos = e + take_out(&m, 2) + take_out(&num, 2) - take_out(&d, 2), fives = e + take_out(&m, 5) + take_out(&num, 5) - take_out(&d, 5);
  reduce(&m, &d);
  reduce(&num, &d);
  m *= num;
  int scale = twos < fives ? twos : fives;
  scale = scale < 0 ? -scale : 0;
  for (int i = 0; i < twos + scale; i++) m *= 2;
  for (int i = 0; i < fives + scale; i++) m *= 5;
  *value = (dec){(dec_coef)(v.coef < 0 ? 0 - m : m), scale};
  if (d != 1 && n + 1 + sizeof d <= UNIT_TEXT_MAX) {
    unit_text[n++] = '/';
    memcpy(unit_text + n, &d, sizeof d);
    n += sizeof d;
  }
  return n;
}

uint32_t val_fold(uint32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  if (c >= 0xc0 && c <= 0xde && c != 0xd7) return c + 32;
  if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177)) return c | 1;
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c + (c & 1);
  if (c == 0x178) return 0xff;
  if (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) return c + 32;
  if (c == 0x3c2) return 0x3c3;
  if (c >= 0x400 && c <= 0x40f) return c + 80;
  if (c >= 0x410 && c <= 0x42f) return c + 32;
  if ((c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf) || (c >= 0x4d0 && c <= 0x52f)) return c | 1;
  if (c >= 0x531 && c <= 0x556) return c + 48;
  if (c >= 0x1e00 && c <= 0x1eff && !(c >= 0x1e96 && c <= 0x1e9f)) return c | 1;
  return c;
}
