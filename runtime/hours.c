/* hours.c - see hours.h. */
#include "hours.h"
#include "datetime.h"
#include <string.h>
#include <strings.h>

enum { DAY_MIN = 1440, LOOK_DAYS = 9 };
#define MINUTE_US INT64_C(60000000)

static void blanks(const char **p) {
  while (**p == ' ' || **p == '\t') (*p)++;
}

static bool day(const char **p, unsigned *out) {
  static const char names[7][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
  for (unsigned i = 0; i < 7; i++)
    if (!strncasecmp(*p, names[i], 3)) {
      *p += 3;
      *out = i;
      return true;
    }
  return false;
}

/* "Mon-Fri", "Sat", "Fri-Mon"; nothing = every day. */
static bool days(const char **p, uint8_t *out) {
  unsigned from, to;
  *out = 0;
  if (!day(p, &from)) {
    *out = 0x7f;
    return true;
  }
  to = from;
  if (**p == '-') {
    (*p)++;
    if (!day(p, &to)) return false;
  }
  for (unsigned d = from;; d = (d + 1) % 7) {
    *out |= (uint8_t)(1u << d);
    if (d == to) return true;
  }
}

static bool clock_time(const char **p, uint16_t *out) {
  const char *s = *p;
  for (int i = 0; i < 5; i++)
    if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9') return false;
  unsigned h = (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0'), m = (unsigned)(s[3] - '0') * 10 + (unsigned)(s[4] - '0');
  if (h > 24 || m > 59 || (h == 24 && m)) return false;
  *out = (uint16_t)(h * 60 + m);
  *p += 5;
  return true;
}

static bool window(const char **p, hours_window *w) {
  if (!days(p, &w->days)) return false;
  blanks(p);
  if (!clock_time(p, &w->from_min) || w->from_min == DAY_MIN || **p != '-') return false;
  (*p)++;
  return clock_time(p, &w->to_min);
}

hdw_status hours_parse(const char *text, hours *out, size_t *at) {
  const char *p = text;
  bool ok = true;
  out->n = 0;
  out->opens_us = 0;
  for (;;) {
    blanks(&p);
    ok = out->n < HOURS_MAX && window(&p, &out->w[out->n]);
    if (!ok) break;
    out->n++;
    blanks(&p);
    if (*p != ',') break;
    p++;
  }
  if (at) *at = (size_t)(p - text);
  return ok && !*p ? HDW_OK : HDW_E_SYNTAX;
}

static bool digits(const char *p, unsigned n, unsigned *out) {
  *out = 0;
  for (unsigned i = 0; i < n; i++) {
    if (p[i] < '0' || p[i] > '9') return false;
    *out = *out * 10 + (unsigned)(p[i] - '0');
  }
  return true;
}

hdw_status hours_close_on(hours *h, const char *text) {
  static const uint8_t last[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  size_t n = strlen(text);
  unsigned year = 0, month, day;
  const char *md = n == 10 ? text + 5 : text;
  if ((n != 5 && n != 10) || (n == 10 && (!digits(text, 4, &year) || !year || text[4] != '-')) || !digits(md, 2, &month) || md[2] != '-' || !digits(md + 3, 2, &day)) return HDW_E_SYNTAX;
  if (!month || month > 12 || !day || day > last[month - 1]) return HDW_E_SYNTAX;
  if (h->nclosed == HOURS_CLOSED_MAX) return HDW_E_LIMIT;
  h->closed[h->nclosed++] = (hours_day){(int16_t)year, (uint8_t)month, (uint8_t)day};
  return HDW_OK;
}

/* days: since 1970-01-01 */
static bool closed_on(const hours *h, int64_t days) {
  tm_val t;
  int f[7];
  if (!h->nclosed) return false;
  tm_from_unix_us(days * INT64_C(86400000000), 0, &t);
  tm_fields(&t, &f[0], &f[1], &f[2], &f[3], &f[4], &f[5], &f[6]);
  for (unsigned i = 0; i < h->nclosed; i++)
    if ((!h->closed[i].year || h->closed[i].year == f[0]) && h->closed[i].month == f[1] && h->closed[i].day == f[2]) return true;
  return false;
}

bool hours_open(const hours *h, int64_t wall_us) {
  int64_t s = wall_us / 1000000 - (wall_us % 1000000 < 0);
  int64_t min = (s + (h->z ? zone_offset_at(h->z, s) : 0) * INT64_C(60)) / 60;
  unsigned of_day = (unsigned)(min % DAY_MIN), today = (unsigned)((min / DAY_MIN + 3) % 7), before = (today + 6) % 7; /* 1970-01-01 was a Thursday */
  bool here = !closed_on(h, min / DAY_MIN), there = !closed_on(h, min / DAY_MIN - 1);
  for (unsigned i = 0; i < h->n; i++) {
    const hours_window *w = &h->w[i];
    bool over_night = w->to_min <= w->from_min;
    if (here && w->days >> today & 1 && of_day >= w->from_min && (over_night || of_day < w->to_min)) return true;
    if (over_night && there && w->days >> before & 1 && of_day < w->to_min) return true;
  }
  return false;
}

int64_t hours_wait_us(hours *h, int64_t wall_us) {
  if (hours_open(h, wall_us)) return 0;
  /* Found once for a closed time; looked for again when the clock was put back. */
  if (h->opens_us > wall_us && h->opens_us - wall_us <= LOOK_DAYS * DAY_MIN * MINUTE_US && hours_open(h, h->opens_us)) return h->opens_us - wall_us;
  int64_t t = wall_us - wall_us % MINUTE_US;
  for (unsigned i = 0; i < LOOK_DAYS * DAY_MIN; i++) {
    t += MINUTE_US;
    if (hours_open(h, t)) break;
  }
  h->opens_us = t;
  return t - wall_us;
}
