/* hours.h - opening hours of a sink: 'Mon-Fri 08:00-18:00, Sat 09:00-12:00' in a time zone. Pure.
 *
 * A window that ends at or before its beginning ends on the next day (22:00-06:00). Times are of the wall clock: in the hour that is skipped in spring a window
 * begins after it, in the hour that occurs twice it is open both times. On a day that is closed no window begins. */
#ifndef HDW_HOURS_H
#define HDW_HOURS_H
#include "zone.h"

enum { HOURS_MAX = 32, HOURS_CLOSED_MAX = 366 };
typedef struct hours_day {
  int16_t year;              /* 0 = every year */
  uint8_t month, day;
} hours_day;
typedef struct hours_window {
  uint8_t days;              /* bit 0 = Monday */
  uint16_t from_min, to_min; /* of the day; to may be 1440, or not after from: on the next day */
} hours_window;
typedef struct hours {
  const zone *z;             /* NULL = UTC */
  unsigned n;
  hours_window w[HOURS_MAX];
  unsigned nclosed;
  hours_day closed[HOURS_CLOSED_MAX];
  int64_t opens_us;          /* found last */
} hours;

/* HDW_E_SYNTAX; *at (may be NULL) is then where. z stays as it is. */
hdw_status hours_parse(const char *text, hours *out, size_t *at);
/* "2026-12-25" or "12-25". HDW_E_SYNTAX; HDW_E_LIMIT: too many. */
hdw_status hours_close_on(hours *h, const char *text);
bool hours_open(const hours *h, int64_t wall_us);
/* 0 when it is open, else microseconds until it opens; at most nine days, also when it never does. */
int64_t hours_wait_us(hours *h, int64_t wall_us);
#endif
