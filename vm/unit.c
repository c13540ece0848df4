/* Units: reading of UCUM codes, factors and products. */
#include "unit.h"
#include <stdio.h>
#include <string.h>

typedef struct unit_row {
  uint32_t code;
  uint8_t flags, arbitrary;
  int32_t exp;
  int64_t offset;
  int32_t offset_scale;
  uint64_t num_hi, num_lo;
  int64_t den;
  int8_t dim[UNIT_BASES - 1];
} unit_row;
enum { METRIC = 1, OFFSET = 2 };
#include "ucum_tables.inc"

enum { ROWS = sizeof unit_rows / sizeof *unit_rows, MONTH = UNIT_BASES - 1, DEPTH_MAX = 20, EXPONENT_MAX = 30, EXP10_MAX = 400 };

static const unit_row *find(const char *s, size_t n) {
  size_t lo = 0, hi = ROWS;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    const char *p = unit_pool + unit_rows[mid].code;
    size_t m = strlen(p);
    int c = memcmp(p, s, m < n ? m : n);
    if (c == 0 && m == n) return &unit_rows[mid];
    if (c < 0 || (c == 0 && m < n)) lo = mid + 1;
    else hi = mid;
  }
  return NULL;
}

static bool prefix(const char *s, size_t n, int32_t *exp) {
  static const struct { char p[3]; int8_t exp; } rows[] = {{"Y", 24}, {"Z", 21}, {"E", 18}, {"P", 15}, {"T", 12}, {"G", 9}, {"M", 6}, {"k", 3}, {"h", 2}, {"da", 1},
    {"d", -1}, {"c", -2}, {"m", -3}, {"u", -6}, {"n", -9}, {"p", -12}, {"f", -15}, {"a", -18}, {"z", -21}, {"y", -24}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strlen(rows[i].p) == n && memcmp(rows[i].p, s, n) == 0) return *exp = rows[i].exp, true;
  return false;
}

/* ---- fractions */

static dec_coef gcd(dec_coef a, dec_coef b) {
  while (b) {
    dec_coef r = a % b;
    a = b;
    b = r;
  }
  return a;
}

/* num/den times n/d in lowest terms. */
static bool times(dec_coef *num, dec_coef *den, dec_coef n, dec_coef d) {
  dec_coef g = gcd(*num, d), h = gcd(n, *den);
  *num /= g;
  d /= g;
  n /= h;
  *den /= h;
  return !__builtin_mul_overflow(*num, n, num) && !__builtin_mul_overflow(*den, d, den);
}

static const unit_def one = {.num = 1, .den = 1};

/* u times x to the power e. */
static bool combine(unit_def *u, const unit_def *x, int e) {
  if (e > EXPONENT_MAX || e < -EXPONENT_MAX) return false;
  if (x->arbitrary && e) {
    if (u->arbitrary && u->arbitrary != x->arbitrary) return false;
    int a = u->arbitrary_exp + x->arbitrary_exp * e;
    if (a > 100 || a < -100) return false;
    u->arbitrary = a ? x->arbitrary : 0;
    u->arbitrary_exp = (int8_t)a;
  }
  for (int i = 0; i < UNIT_BASES; i++) {
    int d = u->dim[i] + x->dim[i] * e;
    if (d > 100 || d < -100) return false;
    u->dim[i] = (int8_t)d;
  }
  u->exp += x->exp * e;
  if (u->exp > EXP10_MAX || u->exp < -EXP10_MAX) return false;
  for (int k = 0; k < (e < 0 ? -e : e); k++)
    if (e > 0 ? !times(&u->num, &u->den, x->num, x->den) : !times(&u->num, &u->den, x->den, x->num)) return false;
  return true;
}

/* ---- codes */

typedef struct reader { const char *p, *end; int depth; bool months; } reader;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool in_symbol(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '%' || c == '\'' || c == '_' || c == '*' || c == '^'; }

/* The characters of one symbol: letters and [brackets] with anything in them. */
static size_t symbol(reader *r) {
  const char *from = r->p;
  if (r->end - r->p >= 3 && memcmp(r->p, "10", 2) == 0 && (r->p[2] == '*' || r->p[2] == '^')) return r->p += 3, 3;
  while (r->p < r->end && (in_symbol(*r->p) || *r->p == '[')) {
    if (*r->p++ != '[') continue;
    while (r->p < r->end && *r->p != ']') r->p++;
    if (r->p == r->end) return 0;
    r->p++;
  }
  return (size_t)(r->p - from);
}

static const struct { const char *word, *code; } calendar[] = {{"week", "wk"}, {"day", "d"}, {"hour", "h"}, {"minute", "min"}, {"second", "s"}, {"millisecond", "ms"}};

static bool calendar_unit(const char *s, size_t n, bool months, unit_def *out) {
  bool year = n == 4 && memcmp(s, "year", 4) == 0, month = n == 5 && memcmp(s, "month", 5) == 0;
  if ((year || month) && months) return unit_parse(year ? "a" : "mo", year ? 1 : 2, false, out);
  if (year || month) {
    *out = one;
    out->num = year ? 12 : 1;
    out->dim[MONTH] = 1;
    return true;
  }
  for (size_t i = 0; i < sizeof calendar / sizeof *calendar; i++)
    if (strlen(calendar[i].word) == n && memcmp(calendar[i].word, s, n) == 0) return unit_parse(calendar[i].code, strlen(calendar[i].code), false, out);
  return false;
}

static bool simple_unit(const char *s, size_t n, unit_def *out) {
  int32_t exp = 0;
  const unit_row *row = find(s, n);
  for (size_t k = 2; !row && k > 0; k--)
    if (n > k && prefix(s, k, &exp)) {
      row = find(s + k, n - k);
      if (row && !(row->flags & METRIC)) row = NULL;
    }
  if (!row) return false;
  *out = (unit_def){.num = (dec_coef)((unsigned __int128)row->num_hi << 64 | row->num_lo), .den = row->den, .exp = row->exp + exp, .arbitrary = row->arbitrary,
                .arbitrary_exp = row->arbitrary != 0};
  memcpy(out->dim, row->dim, sizeof row->dim);
  if (row->flags & OFFSET) {
    out->has_offset = true;
    out->offset = (dec){row->offset, row->offset_scale};
    if (exp) return false; /* a prefix on a temperature */
  }
  return true;
}

static bool number(reader *r, int *out) {
  int64_t v = 0;
  const char *from = r->p;
  while (r->p < r->end && is_digit(*r->p) && v < 1000000000) v = v * 10 + (*r->p++ - '0');
  *out = (int)v;
  return r->p > from && (r->p == r->end || !is_digit(*r->p)) && v <= INT32_MAX;
}

static bool term(reader *r, unit_def *out);

static bool annotation(reader *r) {
  if (r->p == r->end || *r->p != '{') return true;
  while (r->p < r->end && *r->p != '}') r->p++;
  if (r->p == r->end) return false;
  r->p++;
  return true;
}

static bool component(reader *r, int sign, unit_def *u) {
  unit_def x = one;
  int e = 1;
  if (r->p < r->end && *r->p == '(') {
    r->p++;
    if (++r->depth > DEPTH_MAX || !term(r, &x) || r->p == r->end || *r->p++ != ')') return false;
    r->depth--;
  } else if (r->p < r->end && *r->p == '{') {
    return annotation(r);
  } else if (r->p < r->end && is_digit(*r->p) && !(r->end - r->p >= 3 && (r->p[2] == '*' || r->p[2] == '^'))) {
    int n;
    if (!number(r, &n) || n == 0) return false;
    x.num = n;
    for (; x.num % 10 == 0; x.num /= 10) x.exp++;
  } else {
    const char *s = r->p;
    size_t n = symbol(r);
    if (n == 0 || !simple_unit(s, n, &x)) return false;
    if (r->p < r->end && (*r->p == '-' || *r->p == '+' || is_digit(*r->p))) {
      bool minus = *r->p == '-';
      if (!is_digit(*r->p)) r->p++;
      if (!number(r, &e)) return false;
      if (minus) e = -e;
    }
  }
  if (!annotation(r)) return false;
  if (x.has_offset && u->num == 1 && u->den == 1 && e * sign == 1 && r->p == r->end) { /* alone: a temperature; in a product a difference of them is no unit */
    for (int i = 0; i < UNIT_BASES; i++)
      if (u->dim[i]) return false;
    if (u->exp || u->arbitrary) return false;
    return *u = x, true;
  }
  return !x.has_offset && !u->has_offset && combine(u, &x, e * sign);
}

static bool term(reader *r, unit_def *out) {
  int sign = 1;
  *out = one;
  if (r->p < r->end && *r->p == '/') { sign = -1; r->p++; }
  for (;;) {
    if (!component(r, sign, out)) return false;
    if (r->p == r->end || (*r->p != '.' && *r->p != '/')) return true;
    sign = *r->p++ == '/' ? -1 : 1;
  }
}

bool unit_parse(const char *code, size_t len, bool months, unit_def *out) {
  if (len == 1 && *code == '1') return *out = one, true;
  if (len >= 3 && calendar_unit(code, len, months, out)) return true;
  reader r = {code, code + len, 0, months};
  return len > 0 && len < UNIT_TEXT_MAX && term(&r, out) && r.p == r.end;
}

bool unit_same_kind(const unit_def *x, const unit_def *y) {
  return memcmp(x->dim, y->dim, sizeof x->dim) == 0 && x->arbitrary == y->arbitrary && x->arbitrary_exp == y->arbitrary_exp;
}

bool unit_ratio(const unit_def *u, const unit_def *v, dec *a, dec *b) {
  dec_coef num = u->num, den = u->den;
  if (!times(&num, &den, v->den, v->num)) return false;
  int32_t e = u->exp - v->exp;
  if (e > DEC_MAX_SCALE || e < -DEC_MAX_SCALE) return false;
  *a = (dec){num, e < 0 ? -e : 0};
  *b = (dec){den, e > 0 ? e : 0};
  return true;
}

size_t unit_signature(const unit_def *u, char out[UNIT_TEXT_MAX]) {
  size_t n = 0;
  for (int i = 0; i < UNIT_BASES; i++)
    if (u->dim[i]) n += (size_t)snprintf(out + n, UNIT_TEXT_MAX - n, "%c%d", 'a' + i, u->dim[i]);
  if (u->arbitrary) n += (size_t)snprintf(out + n, UNIT_TEXT_MAX - n, "#%u^%d", u->arbitrary, u->arbitrary_exp);
  if (n == 0) out[n++] = '1';
  return n;
}

/* ---- products */

typedef struct factor { const char *s; size_t n; int exp; } factor;
enum { FACTORS_MAX = 24 };

/* Factors of a code without brackets and annotations. */
static bool factors(const char *s, size_t n, int sign, factor *f, int *count) {
  reader r = {s, s + n, 0, false};
  int now = sign;
  if (n == 1 && *s == '1') return true;
  if (n && *s == '/') { now = -sign; r.p++; }
  while (r.p < r.end) {
    const char *from = r.p;
    size_t len = symbol(&r);
    int e = 1;
    unit_def u;
    if (len == 0 || !simple_unit(from, len, &u) || u.has_offset) return false;
    if (r.p < r.end && (*r.p == '-' || *r.p == '+' || is_digit(*r.p))) {
      bool minus = *r.p == '-';
      if (!is_digit(*r.p)) r.p++;
      if (!number(&r, &e) || e > EXPONENT_MAX) return false;
      if (minus) e = -e;
    }
    int i = 0;
    while (i < *count && !(f[i].n == len && memcmp(f[i].s, from, len) == 0)) i++;
    if (i == FACTORS_MAX) return false;
    if (i == *count) f[(*count)++] = (factor){from, len, 0};
    f[i].exp += now * e;
    if (r.p == r.end) return true;
    if (*r.p != '.' && *r.p != '/') return false;
    now = *r.p++ == '/' ? -sign : sign;
    if (r.p == r.end) return false;
  }
  return true;
}

size_t unit_product(const char *x, size_t xlen, const char *y, size_t ylen, bool divide, char out[UNIT_TEXT_MAX]) {
  factor f[FACTORS_MAX];
  int n = 0;
  size_t len = 0;
  if (!factors(x, xlen, 1, f, &n) || !factors(y, ylen, divide ? -1 : 1, f, &n)) return 0;
  for (int turn = 1; turn >= -1; turn -= 2)
    for (int i = 0; i < n; i++) {
      int e = f[i].exp * turn;
      if (e <= 0) continue;
      if (len + f[i].n + 8 > UNIT_TEXT_MAX) return 0;
      if (turn < 0) out[len++] = '/';
      else if (len) out[len++] = '.';
      memcpy(out + len, f[i].s, f[i].n);
      len += f[i].n;
      if (e > 1) len += (size_t)snprintf(out + len, UNIT_TEXT_MAX - len, "%d", e);
    }
  if (len == 0) out[len++] = '1';
  return len;
}
