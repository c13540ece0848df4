/* Dates and times on the proleptic Gregorian calendar, counted in microseconds from 0001-01-01T00:00:00. The day
 * number formulas are the usual era-based civil calendar ones. */
#include "datetime.h"
#include <string.h>

#define US_SECOND INT64_C(1000000)
#define US_MINUTE (60 * US_SECOND)
#define US_HOUR (60 * US_MINUTE)
#define US_DAY (24 * US_HOUR)
enum { DAYS_TO_UNIX = 719162 }; /* 0001-01-01 .. 1970-01-01 */

static bool leap(int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

static int month_days(int y, int m) {
  static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return m == 2 && leap(y) ? 29 : days[m - 1];
}

/* Days since 0001-01-01. */
static int64_t days_from_civil(int64_t y, int m, int d) {
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400;
  int64_t yoe = y - era * 400;
  int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 306;
}

static void civil_from_days(int64_t z, int *y, int *m, int *d) {
  z += 306;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  int64_t doe = z - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  int64_t mp = (5 * doy + 2) / 153;
  *d = (int)(doy - (153 * mp + 2) / 5 + 1);
  *m = (int)(mp < 10 ? mp + 3 : mp - 9);
  *y = (int)(yoe + era * 400 + (*m <= 2));
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static int64_t max_usec(void) { return (days_from_civil(9999, 12, 31) + 1) * US_DAY; }

void tm_fields(const tm_val *t, int *year, int *month, int *day, int *hour, int *minute, int *second, int *usec) {
  int64_t days = floor_div(t->usec, US_DAY), rest = t->usec - days * US_DAY;
  int y, m, d;
  civil_from_days(days, &y, &m, &d);
  if (year) *year = y;
  if (month) *month = m;
  if (day) *day = d;
  if (hour) *hour = (int)(rest / US_HOUR);
  if (minute) *minute = (int)(rest / US_MINUTE % 60);
  if (second) *second = (int)(rest / US_SECOND % 60);
  if (usec) *usec = (int)(rest % US_SECOND);
}

hdw_status tm_make(int year, int month, int day, int hour, int minute, int second, int usec, tm_prec p, tm_val *out) {
  if (p < TM_MONTH) month = 1;
  if (p < TM_DAY) day = 1;
  if (p < TM_HOUR) hour = 0;
  if (p < TM_MINUTE) minute = 0;
  if (p < TM_SECOND) second = 0;
  if (p < TM_FRACTION) usec = 0;
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > month_days(year, month)) return HDW_E_RANGE;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 || usec < 0 || usec > 999999) return HDW_E_RANGE;
  *out = (tm_val){.usec = days_from_civil(year, month, day) * US_DAY + hour * US_HOUR + minute * US_MINUTE + second * US_SECOND + usec,
                  .prec = (uint8_t)p, .frac_digits = p == TM_FRACTION ? 6 : 0};
  return HDW_OK;
}

/* A cursor over the text. */
typedef struct scan {
  const char *s, *end;
} scan;

/* An empty text may be a null pointer, to which not even 0 may be added. */
static scan scan_of(const char *s, size_t len) { return (scan){s, len ? s + len : s}; }

static bool peek(const scan *c, char ch) { return c->s < c->end && *c->s == ch; }
static bool digit_next(const scan *c) { return c->s < c->end && *c->s >= '0' && *c->s <= '9'; }

/* Exactly n digits. */
static bool number(scan *c, int n, int *out) {
  int v = 0;
  if (c->end - c->s < n) return false;
  for (int k = 0; k < n; k++) {
    if (!digit_next(c)) return false;
    v = v * 10 + (*c->s++ - '0');
  }
  *out = v;
  return true;
}

/* Digits of a fraction: at least one; those after the sixth are dropped. */
static bool fraction(scan *c, int *usec, int *digits) {
  int v = 0, n = 0;
  if (!digit_next(c)) return false;
  for (; digit_next(c); c->s++) {
    if (n == 6) continue;
    v = v * 10 + (*c->s - '0');
    n++;
  }
  *digits = n;
  for (int k = n; k < 6; k++) v *= 10;
  *usec = v;
  return true;
}

typedef struct parts {
  int year, month, day, hour, minute, second, usec, digits;
  tm_prec prec;
} parts;

static hdw_status finish(const parts *p, tm_val *out) {
  hdw_status s = tm_make(p->year, p->month, p->day, p->hour, p->minute, p->second, p->usec, p->prec, out);
  if (s == HDW_OK) out->frac_digits = (uint8_t)p->digits;
  return s;
}

static bool scan_date(scan *c, parts *p) {
  if (!number(c, 4, &p->year)) return false;
  p->prec = TM_YEAR;
  if (!peek(c, '-')) return true;
  c->s++;
  if (!number(c, 2, &p->month)) return false;
  p->prec = TM_MONTH;
  if (!peek(c, '-')) return true;
  c->s++;
  p->prec = TM_DAY;
  return number(c, 2, &p->day);
}

static bool scan_time(scan *c, parts *p) {
  if (!number(c, 2, &p->hour)) return false;
  p->prec = TM_HOUR;
  if (!peek(c, ':')) return true;
  c->s++;
  if (!number(c, 2, &p->minute)) return false;
  p->prec = TM_MINUTE;
  if (!peek(c, ':')) return true;
  c->s++;
  if (!number(c, 2, &p->second)) return false;
  p->prec = TM_SECOND;
  if (!peek(c, '.')) return true;
  c->s++;
  p->prec = TM_FRACTION;
  return fraction(c, &p->usec, &p->digits);
}

/* (+|-)hh:mm or (+|-)hhmm; offsets go to 14:00 either way. */
static hdw_status scan_offset(scan *c, bool colon, tm_val *out) {
  int h, m;
  bool neg = *c->s++ == '-';
  if (!number(c, 2, &h)) return HDW_E_SYNTAX;
  if (colon) {
    if (!peek(c, ':')) return HDW_E_SYNTAX;
    c->s++;
  }
  if (!number(c, 2, &m)) return HDW_E_SYNTAX;
  if (m > 59 || h * 60 + m > 14 * 60) return HDW_E_RANGE;
  out->has_zone = true;
  out->zone_min = (int16_t)(neg ? -(h * 60 + m) : h * 60 + m);
  return HDW_OK;
}

hdw_status tm_parse_date(const char *s, size_t len, tm_val *out) {
  scan c = scan_of(s, len);
  parts p = {0};
  if (!scan_date(&c, &p) || c.s != c.end) return HDW_E_SYNTAX;
  return finish(&p, out);
}

hdw_status tm_parse_datetime(const char *s, size_t len, tm_val *out) {
  scan c = scan_of(s, len);
  parts p = {0};
  if (!scan_date(&c, &p)) return HDW_E_SYNTAX;
  if (c.s == c.end) return finish(&p, out);
  if (*c.s++ != 'T') return HDW_E_SYNTAX;
  if (c.s == c.end) return finish(&p, out); /* the literals @2015T and @2015-02T */
  if (p.prec != TM_DAY || !scan_time(&c, &p)) return HDW_E_SYNTAX;
  tm_val zone = {0};
  if (peek(&c, 'Z')) {
    c.s++;
    zone.has_zone = zone.zone_z = true;
  } else if (peek(&c, '+') || peek(&c, '-')) {
    hdw_status st = scan_offset(&c, true, &zone);
    if (st) return st;
  }
  if (c.s != c.end) return HDW_E_SYNTAX;
  hdw_status st = finish(&p, out);
  if (st) return st;
  out->has_zone = zone.has_zone;
  out->zone_z = zone.zone_z;
  out->zone_min = zone.zone_min;
  return HDW_OK;
}

hdw_status tm_parse_time(const char *s, size_t len, tm_val *out) {
  scan c = scan_of(s, len);
  parts p = {.year = 1, .month = 1, .day = 1};
  if (!scan_time(&c, &p) || c.s != c.end) return HDW_E_SYNTAX;
  return finish(&p, out);
}

/* HH[MM[SS[.S+]]] of HL7, from the current precision on; stops where the digits stop. */
static bool scan_hl7_time(scan *c, parts *p) {
  if (!digit_next(c)) return true;
  if (!number(c, 2, &p->hour)) return false;
  p->prec = TM_HOUR;
  if (!digit_next(c)) return true;
  if (!number(c, 2, &p->minute)) return false;
  p->prec = TM_MINUTE;
  if (!digit_next(c)) return true;
  if (!number(c, 2, &p->second)) return false;
  p->prec = TM_SECOND;
  if (!peek(c, '.')) return true;
  c->s++;
  p->prec = TM_FRACTION;
  return fraction(c, &p->usec, &p->digits);
}

static hdw_status hl7_tail(scan *c, const parts *p, tm_val *out) {
  tm_val zone = {0};
  if (peek(c, '+') || peek(c, '-')) {
    hdw_status st = scan_offset(c, false, &zone);
    if (st) return st;
  }
  if (c->s != c->end) return HDW_E_SYNTAX;
  hdw_status st = finish(p, out);
  if (st) return st;
  out->has_zone = zone.has_zone;
  out->zone_min = zone.zone_min;
  return HDW_OK;
}

hdw_status tm_parse_hl7(const char *s, size_t len, tm_val *out) {
  scan c = scan_of(s, len);
  parts p = {.prec = TM_YEAR};
  if (!number(&c, 4, &p.year)) return HDW_E_SYNTAX;
  if (digit_next(&c)) {
    if (!number(&c, 2, &p.month)) return HDW_E_SYNTAX;
    p.prec = TM_MONTH;
    if (digit_next(&c)) {
      if (!number(&c, 2, &p.day)) return HDW_E_SYNTAX;
      p.prec = TM_DAY;
      if (!scan_hl7_time(&c, &p)) return HDW_E_SYNTAX;
    }
  }
  return hl7_tail(&c, &p, out);
}

hdw_status tm_parse_hl7_time(const char *s, size_t len, tm_val *out) {
  scan c = scan_of(s, len);
  parts p = {.year = 1, .month = 1, .day = 1};
  if (!digit_next(&c) || !scan_hl7_time(&c, &p)) return HDW_E_SYNTAX;
  return hl7_tail(&c, &p, out);
}

static char *put_num(char *w, int v, int digits) {
  for (int k = digits - 1; k >= 0; k--, v /= 10) w[k] = (char)('0' + v % 10);
  return w + digits;
}

static char *put_frac(char *w, int usec, int digits) {
  char six[6];
  put_num(six, usec, 6);
  *w++ = '.';
  memcpy(w, six, (size_t)digits);
  return w + digits;
}

static char *put_offset(char *w, int zone, bool colon) {
  *w++ = zone < 0 ? '-' : '+';
  if (zone < 0) zone = -zone;
  w = put_num(w, zone / 60, 2);
  if (colon) *w++ = ':';
  return put_num(w, zone % 60, 2);
}

static int frac_digits(const tm_val *t) { return t->frac_digits >= 1 && t->frac_digits <= 6 ? t->frac_digits : 6; }

static char *put_date(char *w, const tm_val *t) {
  int y, m, d;
  tm_fields(t, &y, &m, &d, NULL, NULL, NULL, NULL);
  w = put_num(w, y, 4);
  if (t->prec < TM_MONTH) return w;
  *w++ = '-';
  w = put_num(w, m, 2);
  if (t->prec < TM_DAY) return w;
  *w++ = '-';
  return put_num(w, d, 2);
}

static char *put_time(char *w, const tm_val *t) {
  int h, mi, s, us;
  tm_fields(t, NULL, NULL, NULL, &h, &mi, &s, &us);
  w = put_num(w, h, 2);
  if (t->prec < TM_MINUTE) return w;
  *w++ = ':';
  w = put_num(w, mi, 2);
  if (t->prec < TM_SECOND) return w;
  *w++ = ':';
  w = put_num(w, s, 2);
  return t->prec < TM_FRACTION ? w : put_frac(w, us, frac_digits(t));
}

size_t tm_format_date(const tm_val *t, char *out) { return (size_t)(put_date(out, t) - out); }
size_t tm_format_time(const tm_val *t, char *out) { return (size_t)(put_time(out, t) - out); }

size_t tm_format_datetime(const tm_val *t, char *out) {
  char *w = put_date(out, t);
  if (t->prec >= TM_HOUR) {
    *w++ = 'T';
    w = put_time(w, t);
    if (t->zone_z) *w++ = 'Z';
    else if (t->has_zone) w = put_offset(w, t->zone_min, true);
  }
  return (size_t)(w - out);
}

size_t tm_format_hl7(const tm_val *t, char *out) {
  int y, m, d, h, mi, s, us;
  char *w = out;
  tm_fields(t, &y, &m, &d, &h, &mi, &s, &us);
  w = put_num(w, y, 4);
  if (t->prec >= TM_MONTH) w = put_num(w, m, 2);
  if (t->prec >= TM_DAY) w = put_num(w, d, 2);
  if (t->prec >= TM_HOUR) w = put_num(w, h, 2);
  if (t->prec >= TM_MINUTE) w = put_num(w, mi, 2);
  if (t->prec >= TM_SECOND) w = put_num(w, s, 2);
  /* HL7 has at most four places */
  if (t->prec >= TM_FRACTION) w = put_frac(w, us, frac_digits(t) > 4 ? 4 : frac_digits(t));
  if (t->has_zone) w = put_offset(w, t->zone_min, false);
  return (size_t)(w - out);
}

/* The value cut to a precision (TM_SECOND and TM_FRACTION keep everything), as a number that orders like the value. */
static int64_t cut(int64_t usec, int prec) {
  if (prec >= TM_SECOND) return usec;
  if (prec == TM_MINUTE) return floor_div(usec, US_MINUTE);
  if (prec == TM_HOUR) return floor_div(usec, US_HOUR);
  int64_t days = floor_div(usec, US_DAY);
  if (prec == TM_DAY) return days;
  int y, m, d;
  civil_from_days(days, &y, &m, &d);
  return prec == TM_MONTH ? y * 12 + m : y;
}

static int sign_of(int64_t a, int64_t b) { return (a > b) - (a < b); }

int tm_cmp(const tm_val *a, const tm_val *b, bool is_time, bool *known) {
  int64_t ua = a->usec, ub = b->usec;
  int pa = a->prec > TM_SECOND ? TM_SECOND : a->prec, pb = b->prec > TM_SECOND ? TM_SECOND : b->prec;
  int p = pa < pb ? pa : pb;
  bool za = a->has_zone && a->prec >= TM_HOUR, zb = b->has_zone && b->prec >= TM_HOUR;
  *known = true;
  if (!is_time && za && zb) {
    ua -= a->zone_min * US_MINUTE;
    ub -= b->zone_min * US_MINUTE;
  } else if (!is_time && za != zb && p >= TM_HOUR) {
    /* The missing zone may be any from -12:00 to +14:00: only what differs by more than that span has an order. A side that
     * is a mere date has no zone to miss; it is compared with the calendar date as the other side wrote it. */
    int64_t diff = ua - ub, span = 26 * US_HOUR + (p == TM_HOUR ? US_HOUR : p == TM_MINUTE ? US_MINUTE : 0);
    if (diff > -span && diff < span) *known = false;
    return diff < 0 ? -1 : diff > 0;
  }
  int c = sign_of(cut(ua, p), cut(ub, p));
  if (c == 0 && pa != pb) *known = false;
  return c;
}

/* n of a unit finer than the value's precision, in units of that precision: 24 hours a day, 30 days a month, 365 a year. */
static int64_t coarsen(int64_t n, tm_prec unit, tm_prec prec) {
  static const int64_t us[] = {0, 365 * US_DAY, 30 * US_DAY, US_DAY, US_HOUR, US_MINUTE, US_SECOND, 1};
  if (unit == TM_MONTH) return n / 12;
  return n / (us[prec] / us[unit]);
}

static hdw_status add_months(int64_t usec, int64_t months, int64_t *out) {
  int64_t days = floor_div(usec, US_DAY), rest = usec - days * US_DAY;
  int y, m, d;
  civil_from_days(days, &y, &m, &d);
  if (months > 200000 || months < -200000) return HDW_E_RANGE;
  int64_t total = (int64_t)y * 12 + (m - 1) + months;
  if (total < 12 || total >= 10000 * 12) return HDW_E_RANGE;
  int ny = (int)(total / 12), nm = (int)(total % 12) + 1, last = month_days(ny, nm);
  *out = days_from_civil(ny, nm, d < last ? d : last) * US_DAY + rest;
  return HDW_OK;
}

hdw_status tm_add(const tm_val *t, int64_t n, tm_prec unit, bool is_time, tm_val *out) {
  static const int64_t us[] = {0, 0, 0, US_DAY, US_HOUR, US_MINUTE, US_SECOND, 1};
  tm_val r = *t;
  if (unit < TM_YEAR || unit > TM_FRACTION) return HDW_E_INVALID;
  if (is_time && unit < TM_HOUR) return HDW_E_TYPE;
  /* fractions are of one precision with seconds */
  tm_prec prec = t->prec >= TM_SECOND ? TM_FRACTION : (tm_prec)t->prec;
  if (unit > prec) {
    n = coarsen(n, unit, prec);
    unit = prec;
  }
  if (unit <= TM_MONTH) {
    if (unit == TM_YEAR && __builtin_mul_overflow(n, 12, &n)) return HDW_E_RANGE;
    hdw_status s = add_months(t->usec, n, &r.usec);
    if (s) return s;
  } else {
    int64_t step;
    if (is_time) n %= US_DAY / us[unit];
    if (__builtin_mul_overflow(n, us[unit], &step) || __builtin_add_overflow(t->usec, step, &r.usec)) return HDW_E_RANGE;
    if (is_time) r.usec = ((r.usec % US_DAY) + US_DAY) % US_DAY;
    if (r.usec < 0 || r.usec >= max_usec()) return HDW_E_RANGE;
  }
  if (r.prec == TM_SECOND && r.usec % US_SECOND != 0) {
    r.prec = TM_FRACTION;
    r.frac_digits = 3;
  }
  if (r.prec == TM_FRACTION && unit == TM_FRACTION) {
    /* as many places as the result needs, but not fewer than were written */
    int64_t rest = r.usec % US_SECOND;
    int need = 6;
    while (need > 1 && rest % 10 == 0) rest /= 10, need--;
    if (need > r.frac_digits) r.frac_digits = (uint8_t)(need <= 3 ? 3 : 6);
  }
  *out = r;
  return HDW_OK;
}

hdw_status tm_to_unix_us(const tm_val *t, int64_t *out) {
  if (!t->has_zone) return HDW_E_RANGE;
  *out = t->usec - t->zone_min * US_MINUTE - DAYS_TO_UNIX * US_DAY;
  return HDW_OK;
}

void tm_from_unix_us(int64_t us, int16_t zone_min, tm_val *out) {
  int64_t local, last = max_usec() - 1;
  if (__builtin_add_overflow(us, DAYS_TO_UNIX * US_DAY + zone_min * US_MINUTE, &local)) local = us < 0 ? 0 : last;
  if (local < 0) local = 0;
  if (local > last) local = last;
  *out = (tm_val){.usec = local, .zone_min = zone_min, .prec = TM_FRACTION, .frac_digits = local % 1000 ? 6 : 3,
                  .has_zone = true, .zone_z = zone_min == 0};
}
