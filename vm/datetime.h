/* datetime.h - dates, times and instants that keep the precision and the zone they were written with.
 *
 * Comparison and arithmetic follow FHIRPath N1: values of different precision compare only as far as both are known,
 * else the answer is unknown (HDW_E_AGAIN is not used; see tm_cmp). There is no implicit machine zone. */
#ifndef HDW_DATETIME_H
#define HDW_DATETIME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

typedef enum tm_prec { TM_YEAR = 1, TM_MONTH, TM_DAY, TM_HOUR, TM_MINUTE, TM_SECOND, TM_FRACTION } tm_prec;
enum { TM_TEXT_MAX = 40 };

typedef struct tm_val {
  int64_t usec;        /* local microseconds since 0001-01-01T00:00:00; for times of day since 00:00 */
  int16_t zone_min;    /* offset from UTC in minutes, valid when has_zone */
  uint8_t prec;        /* tm_prec */
  uint8_t frac_digits; /* digits of the fraction as written, 1..6 when prec is TM_FRACTION */
  bool has_zone;
  bool zone_z;         /* written as Z */
} tm_val;

/* FHIR and FHIRPath forms without '@': date YYYY[-MM[-DD]], dateTime date[Thh[:mm[:ss[.f+]]][Z|+hh:mm]], time hh[:mm[:ss[.f+]]].
 * HDW_E_SYNTAX for a wrong form, HDW_E_RANGE for a day that does not exist. 24:00 is refused, second 60 is refused. */
hdw_status tm_parse_date(const char *s, size_t len, tm_val *out);
hdw_status tm_parse_datetime(const char *s, size_t len, tm_val *out);
hdw_status tm_parse_time(const char *s, size_t len, tm_val *out);
/* HL7 v2 TS/DTM/DT: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ] (H-41). */
hdw_status tm_parse_hl7(const char *s, size_t len, tm_val *out);
hdw_status tm_parse_hl7_time(const char *s, size_t len, tm_val *out);
/* Writers: at most TM_TEXT_MAX bytes, no NUL; return the length. datetime with a date precision prints like a FHIRPath literal
 * without the trailing T ("2012-01"). */
size_t tm_format_date(const tm_val *t, char *out);
size_t tm_format_datetime(const tm_val *t, char *out);
size_t tm_format_time(const tm_val *t, char *out);
size_t tm_format_hl7(const tm_val *t, char *out);

/* Compares; *known is false when precision or zone leaves it open (FHIRPath: empty). Seconds and fractions are one precision. */
int tm_cmp(const tm_val *a, const tm_val *b, bool is_time, bool *known);
/* Adds n units: TM_YEAR..TM_FRACTION (fraction = microseconds); weeks are 7 days. Month ends are clipped (Jan 31 + 1 month = Feb 28/29).
 * Units finer than the value's precision are truncated to it as N1 says. HDW_E_RANGE outside year 1..9999. */
hdw_status tm_add(const tm_val *t, int64_t n, tm_prec unit, bool is_time, tm_val *out);
/* Unix microseconds (UTC) of an instant with zone; without zone HDW_E_RANGE. */
hdw_status tm_to_unix_us(const tm_val *t, int64_t *out);
void tm_from_unix_us(int64_t us, int16_t zone_min, tm_val *out);
/* Calendar fields. */
void tm_fields(const tm_val *t, int *year, int *month, int *day, int *hour, int *minute, int *second, int *usec);
hdw_status tm_make(int year, int month, int day, int hour, int minute, int second, int usec, tm_prec p, tm_val *out);

#endif
