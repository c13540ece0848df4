/* Exact decimals. Coefficients have at most 38 digits, so every product of two fits 256 bits and every remainder of
 * a long division fits 127 bits; both facts are used below. */
#include "decimal.h"
#include <stdbool.h>
#include <string.h>

typedef unsigned __int128 u128;
enum { MAX_DIGITS = 38, CHUNK_DIGITS = 19 };

static const uint64_t POW64[CHUNK_DIGITS + 1] = {
    1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull,
    10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull, 1000000000000000ull,
    10000000000000000ull, 100000000000000000ull, 1000000000000000000ull, 10000000000000000000ull};

/* 10^n for 0 <= n <= 38. */
static u128 pow10u(int n) { return n <= CHUNK_DIGITS ? POW64[n] : (u128)POW64[CHUNK_DIGITS] * POW64[n - CHUNK_DIGITS]; }
static u128 limit(void) { return pow10u(MAX_DIGITS); }
static u128 mag(dec_coef c) { return c < 0 ? (u128)0 - (u128)c : (u128)c; }
static dec_coef sign(u128 m, bool neg) { return neg ? -(dec_coef)m : (dec_coef)m; }

/* m * 10^n; false when it reaches 10^38. */
static bool scale_up(u128 m, int n, u128 *out) {
  if (m == 0 || n == 0) return *out = m, true;
  if (n > MAX_DIGITS) return false;
  u128 r; /* *out may be m's own place: it stays as it is on failure */
  if (n <= CHUNK_DIGITS && m <= UINT64_MAX) {
    r = (u128)(uint64_t)m * POW64[n];
    return r < limit() ? (*out = r, true) : false;
  }
  if (__builtin_mul_overflow(m, pow10u(n), &r) || r >= limit()) return false;
  return *out = r, true;
}

hdw_status dec_parse(const char *s, size_t len, dec *out) {
  size_t i = 0;
  bool neg = false, point = false, any = false, full = false;
  u128 m = 0;
  int64_t scale = 0, exp = 0, zeros = 0; /* zeros: trailing zeros seen and not yet multiplied in */
  if (i < len && (s[i] == '-' || s[i] == '+')) neg = s[i++] == '-';
  for (; i < len; i++) {
    if (s[i] == '.' && !point) {
      if (!any || i + 1 >= len || s[i + 1] < '0' || s[i + 1] > '9') return HDW_E_SYNTAX;
      point = true;
      continue;
    }
    if (s[i] < '0' || s[i] > '9') break;
    any = true;
    if (point) scale++;
    unsigned d = (unsigned)(s[i] - '0');
    if (d == 0) {
      zeros++;
      continue;
    }
    u128 t;
    if (zeros + 1 > MAX_DIGITS || !scale_up(m, (int)zeros + 1, &t)) {
      if (m != 0) full = true;
      t = 0;
    }
    m = t + d;
    zeros = 0;
  }
  if (!any) return HDW_E_SYNTAX;
  if (i < len) {
    if (s[i] != 'e' && s[i] != 'E') return HDW_E_SYNTAX;
    bool eneg = false;
    if (++i < len && (s[i] == '-' || s[i] == '+')) eneg = s[i++] == '-';
    if (i >= len) return HDW_E_SYNTAX;
    for (; i < len; i++) {
      if (s[i] < '0' || s[i] > '9') return HDW_E_SYNTAX;
      if (exp < 1000000) exp = exp * 10 + (s[i] - '0');
    }
    if (eneg) exp = -exp;
  }
  if (full) return HDW_E_RANGE;
  scale -= exp;
  /* the number is now m * 10^(zeros - scale), written with max(scale, 0) places */
  if (m == 0) {
    *out = (dec){0, (int32_t)(scale < 0 ? 0 : scale > DEC_MAX_SCALE ? DEC_MAX_SCALE : scale)};
    return HDW_OK;
  }
  if (scale > DEC_MAX_SCALE) {
    int64_t drop = scale - DEC_MAX_SCALE;
    if (drop > zeros) return HDW_E_RANGE;
    zeros -= drop;
    scale = DEC_MAX_SCALE;
  }
  if (scale < 0) {
    zeros -= scale;
    scale = 0;
  }
  if (zeros > MAX_DIGITS) return HDW_E_RANGE;
  if (!scale_up(m, (int)zeros, &m)) {
    /* digits beyond what fits are all zeros of the fraction: drop just enough of them */
    int64_t fits = 0;
    u128 t;
    while (fits < zeros && scale_up(m, (int)fits + 1, &t)) fits++;
    if (zeros - fits > scale) return HDW_E_RANGE;
    scale -= zeros - fits;
    m *= pow10u((int)fits);
  }
  *out = (dec){sign(m, neg), (int32_t)scale};
  return HDW_OK;
}

size_t dec_format(const dec *d, char *out) {
  char digits[MAX_DIGITS + 2];
  int n = 0, w = 0;
  u128 m = mag(d->coef);
  while (m >= POW64[CHUNK_DIGITS]) {
    uint64_t lo = (uint64_t)(m % POW64[CHUNK_DIGITS]);
    m /= POW64[CHUNK_DIGITS];
    for (int k = 0; k < CHUNK_DIGITS; k++, lo /= 10) digits[n++] = (char)('0' + lo % 10);
  }
  for (uint64_t lo = (uint64_t)m; lo; lo /= 10) digits[n++] = (char)('0' + lo % 10);
  if (d->coef < 0) out[w++] = '-';
  int whole = n - d->scale;
  if (whole <= 0) out[w++] = '0';
  for (int k = n - 1; k >= d->scale; k--) out[w++] = digits[k];
  if (d->scale > 0) {
    out[w++] = '.';
    for (int k = d->scale - 1; k >= 0; k--) out[w++] = k < n ? digits[k] : '0';
  }
  return (size_t)w;
}

dec dec_from_i64(int64_t v) { return (dec){v, 0}; }

hdw_status dec_to_i64(const dec *d, int64_t *out) {
  u128 m = mag(d->coef), p = pow10u(d->scale);
  if (m % p != 0) return HDW_E_RANGE;
  dec_coef q = d->coef / (dec_coef)p;
  if (q < INT64_MIN || q > INT64_MAX) return HDW_E_RANGE;
  *out = (int64_t)q;
  return HDW_OK;
}

int dec_cmp(const dec *a, const dec *b) {
  if (a->scale == b->scale) return (a->coef > b->coef) - (a->coef < b->coef);
  int sa = (a->coef > 0) - (a->coef < 0), sb = (b->coef > 0) - (b->coef < 0);
  if (sa != sb) return sa < sb ? -1 : 1;
  if (sa == 0) return 0;
  u128 ma = mag(a->coef), mb = mag(b->coef);
  int r;
  /* a side that overflows while it is brought to the other's scale is larger than anything that fits */
  if (a->scale < b->scale) r = scale_up(ma, b->scale - a->scale, &ma) ? (ma > mb) - (ma < mb) : 1;
  else r = scale_up(mb, a->scale - b->scale, &mb) ? (ma > mb) - (ma < mb) : -1;
  return sa < 0 ? -r : r;
}

static hdw_status add_aligned(dec x, dec y, dec *out) {
  dec *lo = x.scale < y.scale ? &x : &y, *hi = lo == &x ? &y : &x;
  u128 m;
  if (!scale_up(mag(lo->coef), hi->scale - lo->scale, &m)) return HDW_E_RANGE;
  lo->coef = sign(m, lo->coef < 0);
  dec_coef r;
  if (__builtin_add_overflow(x.coef, y.coef, &r) || mag(r) >= limit()) return HDW_E_RANGE;
  *out = (dec){r, hi->scale};
  return HDW_OK;
}

hdw_status dec_add(const dec *a, const dec *b, dec *out) {
  if (add_aligned(*a, *b, out) == HDW_OK) return HDW_OK;
  return add_aligned(dec_strip(a), dec_strip(b), out); /* trailing zeros are only notation */
}

hdw_status dec_sub(const dec *a, const dec *b, dec *out) {
  dec n = dec_neg(b);
  return dec_add(a, &n, out);
}

/* 256-bit product, least significant limb first. */
static void mul256(u128 a, u128 b, uint64_t r[4]) {
  uint64_t x[2] = {(uint64_t)a, (uint64_t)(a >> 64)}, y[2] = {(uint64_t)b, (uint64_t)(b >> 64)};
  memset(r, 0, 4 * sizeof *r);
  for (int i = 0; i < 2; i++) {
    uint64_t carry = 0;
    for (int j = 0; j < 2; j++) {
      u128 t = (u128)x[i] * y[j] + r[i + j] + carry;
      r[i + j] = (uint64_t)t;
      carry = (uint64_t)(t >> 64);
    }
    r[i + 2] = carry;
  }
}

static uint64_t div256(uint64_t r[4], uint64_t by) {
  uint64_t rem = 0;
  for (int i = 3; i >= 0; i--) {
    u128 t = ((u128)rem << 64) | r[i];
    r[i] = (uint64_t)(t / by);
    rem = (uint64_t)(t % by);
  }
  return rem;
}

static bool fits256(const uint64_t r[4]) { return r[3] == 0 && r[2] == 0 && (((u128)r[1] << 64) | r[0]) < limit(); }

hdw_status dec_mul(const dec *a, const dec *b, dec *out) {
  bool neg = (a->coef < 0) != (b->coef < 0);
  int scale = a->scale + b->scale;
  uint64_t r[4];
  mul256(mag(a->coef), mag(b->coef), r);
  /* All dropped digits but the last are truncated: only that one decides about rounding half away from zero. */
  uint64_t last = 0;
  while (scale > 0 && (scale > DEC_MAX_SCALE || !fits256(r))) {
    last = div256(r, 10);
    scale--;
  }
  if (!fits256(r)) return HDW_E_RANGE;
  u128 m = (((u128)r[1] << 64) | r[0]) + (last >= 5);
  if (m >= limit()) {
    if (scale == 0) return HDW_E_RANGE;
    m /= 10;
    scale--;
  }
  *out = (dec){sign(m, neg), scale};
  return HDW_OK;
}

/* *r = 10 * *r mod b, returns the digit 10 * r / b. Needs r < b < 10^38. */
static unsigned next_digit(u128 *r, u128 b) {
  u128 x = *r;
  unsigned q = 0;
  x += x;                       /* 2r */
  if (x >= b) x -= b, q = 1;
  x += x, q += q;               /* 4r */
  if (x >= b) x -= b, q++;
  x += *r;                      /* 5r */
  if (x >= b) x -= b, q++;
  x += x, q += q;               /* 10r */
  if (x >= b) x -= b, q++;
  *r = x;
  return q;
}

hdw_status dec_div(const dec *a, const dec *b, dec *out) {
  if (b->coef == 0) return HDW_E_RANGE;
  bool neg = (a->coef < 0) != (b->coef < 0);
  u128 ma = mag(a->coef), mb = mag(b->coef), q = ma / mb, r = ma % mb;
  int scale = a->scale - b->scale;
  const u128 room = limit() / 10;
  const int first = scale < 0 ? 0 : scale;
  /* A divisor of one word gives 18 digits a step; zeros behind the last digit of a quotient that ended are taken off again. */
  while (r != 0 && mb <= UINT64_MAX / 10 && scale + 18 <= DEC_MAX_SCALE && q < limit() / POW64[18]) {
    u128 t = r * POW64[18];
    q = q * POW64[18] + t / mb;
    r = t % mb;
    scale += 18;
    while (r == 0 && scale > first && q % 10 == 0) q /= 10, scale--;
  }
  while (scale < 0 || (r != 0 && scale < DEC_MAX_SCALE)) {
    if (q >= room) {
      if (scale < 0) return HDW_E_RANGE;
      break;
    }
    q = q * 10 + next_digit(&r, mb);
    scale++;
  }
  if (r >= mb - r) q++; /* 2r >= b */
  if (q >= limit()) {
    if (scale == 0) return HDW_E_RANGE;
    q /= 10;
    scale--;
  }
  *out = (dec){sign(q, neg), scale};
  return HDW_OK;
}

hdw_status dec_idiv(const dec *a, const dec *b, dec *out) {
  if (b->coef == 0) return HDW_E_RANGE;
  bool neg = (a->coef < 0) != (b->coef < 0);
  u128 ma = mag(a->coef), mb = mag(b->coef), q = ma / mb, r = ma % mb;
  int shift = b->scale - a->scale;
  for (; shift > 0; shift--) {
    if (q >= limit() / 10) return HDW_E_RANGE;
    q = q * 10 + next_digit(&r, mb);
  }
  if (shift < 0) q /= pow10u(-shift);
  *out = (dec){sign(q, neg), 0};
  return HDW_OK;
}

hdw_status dec_mod(const dec *a, const dec *b, dec *out) {
  if (b->coef == 0) return HDW_E_RANGE;
  u128 ma = mag(a->coef), mb = mag(b->coef);
  int scale = a->scale > b->scale ? a->scale : b->scale;
  u128 r;
  if (a->scale < b->scale) {
    r = ma % mb;
    for (int k = a->scale; k < b->scale; k++) next_digit(&r, mb);
  } else if (!scale_up(mb, a->scale - b->scale, &mb)) {
    r = ma; /* the divisor is larger than any dividend */
  } else {
    r = ma % mb;
  }
  *out = (dec){sign(r, a->coef < 0), scale};
  return HDW_OK;
}

hdw_status dec_round(const dec *a, int32_t digits, dec *out) {
  if (digits < 0) return HDW_E_RANGE;
  if (digits >= a->scale) {
    *out = *a;
    return HDW_OK;
  }
  u128 m = mag(a->coef) / pow10u(a->scale - digits - 1);
  m = m / 10 + (m % 10 >= 5);
  *out = (dec){sign(m, a->coef < 0), digits};
  return HDW_OK;
}

dec dec_trunc(const dec *a) { return (dec){a->coef / (dec_coef)pow10u(a->scale), 0}; }

dec dec_floor(const dec *a) {
  dec t = dec_trunc(a);
  if (a->coef < 0 && a->coef % (dec_coef)pow10u(a->scale) != 0) t.coef--;
  return t;
}

dec dec_ceil(const dec *a) {
  dec t = dec_trunc(a);
  if (a->coef > 0 && a->coef % (dec_coef)pow10u(a->scale) != 0) t.coef++;
  return t;
}

dec dec_neg(const dec *a) { return (dec){-a->coef, a->scale}; }

dec dec_strip(const dec *a) {
  dec r = *a;
  if (r.coef == 0) return (dec){0, 0};
  while (r.scale > 0 && r.coef % 10 == 0) {
    r.coef /= 10;
    r.scale--;
  }
  return r;
}

int32_t dec_precision(const dec *a) { return dec_strip(a).scale; }
