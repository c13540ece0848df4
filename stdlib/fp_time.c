/* The clock of the run and the parts of dates and times. */
#include "fp_int.h"

hdw_status fp_now(vm_cx *cx, const val *args, unsigned n, val *out) {
  tm_val t;
  (void)args, (void)n;
  cx->ambient = true;
  tm_from_unix_us(cx->now_us, cx->zone_min, &t);
  *out = val_from_time(VAL_DATETIME, &t);
  return HDW_OK;
}

static hdw_status date_part(const tm_val *t, val *out) {
  tm_val r;
  int y, m, d;
  tm_fields(t, &y, &m, &d, NULL, NULL, NULL, NULL);
  hdw_status s = tm_make(y, m, d, 0, 0, 0, 0, t->prec > TM_DAY ? TM_DAY : (tm_prec)t->prec, &r);
  *out = s ? VAL_NONE : val_from_time(VAL_DATE, &r);
  return HDW_OK;
}

static hdw_status time_part(const tm_val *t, val *out) {
  tm_val r;
  int h, mi, sec, us;
  *out = VAL_NONE;
  if (t->prec < TM_HOUR) return HDW_OK;
  tm_fields(t, NULL, NULL, NULL, &h, &mi, &sec, &us);
  if (tm_make(1, 1, 1, h, mi, sec, us, (tm_prec)t->prec, &r)) return HDW_OK;
  r.frac_digits = t->frac_digits;
  *out = val_from_time(VAL_TIME, &r);
  return HDW_OK;
}

hdw_status fp_today(vm_cx *cx, const val *args, unsigned n, val *out) {
  tm_val t;
  (void)args, (void)n;
  cx->ambient = true;
  tm_from_unix_us(cx->now_us, cx->zone_min, &t);
  return date_part(&t, out);
}

hdw_status fp_time_of_day(vm_cx *cx, const val *args, unsigned n, val *out) {
  tm_val t;
  (void)args, (void)n;
  cx->ambient = true;
  tm_from_unix_us(cx->now_us, cx->zone_min, &t);
  return time_part(&t, out);
}

/* The temporal in args[0]; text of HL7 nodes is read as one. has is false for {}. */
static hdw_status temporal(vm_cx *cx, val v, const char *what, val *x, tm_val *t, bool *has) {
  hdw_status s = fp_one(cx, v, what, x);
  *has = false;
  if (s || x->tag == VAL_EMPTY) return s;
  if (!fp_is_time(*x)) {
    if (x->tag != VAL_STR || val_item(v, 0).tag != VAL_HL7) return fp_type_error(cx, what, *x);
    if (tm_parse_hl7(x->u.s, x->len, t)) return HDW_OK;
    *x = val_from_time(t->prec > TM_DAY ? VAL_DATETIME : VAL_DATE, t);
  }
  *t = val_get_time(*x);
  *has = true;
  return HDW_OK;
}

/* A component, {} when the value is not that precise. */
static hdw_status part(vm_cx *cx, val v, const char *what, tm_prec p, val *out) {
  val x;
  tm_val t;
  bool has;
  int f[8];
  hdw_status s = temporal(cx, v, what, &x, &t, &has);
  *out = VAL_NONE;
  if (s || !has || t.prec < p || (x.tag == VAL_TIME && p < TM_HOUR)) return s;
  tm_fields(&t, &f[TM_YEAR], &f[TM_MONTH], &f[TM_DAY], &f[TM_HOUR], &f[TM_MINUTE], &f[TM_SECOND], &f[TM_FRACTION]);
  *out = val_int(p == TM_FRACTION ? f[p] / 1000 : f[p]);
  return HDW_OK;
}

#define PART(name, text, p) \
  hdw_status name(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, part(cx, args[0], text, p, out); }
PART(fp_year_of, "yearOf()", TM_YEAR)
PART(fp_month_of, "monthOf()", TM_MONTH)
PART(fp_day_of, "dayOf()", TM_DAY)
PART(fp_hour_of, "hourOf()", TM_HOUR)
PART(fp_minute_of, "minuteOf()", TM_MINUTE)
PART(fp_second_of, "secondOf()", TM_SECOND)
PART(fp_millisecond_of, "millisecondOf()", TM_FRACTION)
#undef PART

hdw_status fp_date_of(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x;
  tm_val t;
  bool has;
  (void)n;
  hdw_status s = temporal(cx, args[0], "dateOf()", &x, &t, &has);
  *out = VAL_NONE;
  return s || !has || x.tag == VAL_TIME ? s : date_part(&t, out);
}

hdw_status fp_time_of(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x;
  tm_val t;
  bool has;
  (void)n;
  hdw_status s = temporal(cx, args[0], "timeOf()", &x, &t, &has);
  *out = VAL_NONE;
  return s || !has ? s : time_part(&t, out);
}

hdw_status fp_timezone_offset_of(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x;
  tm_val t;
  bool has;
  (void)n;
  hdw_status s = temporal(cx, args[0], "timezoneOffsetOf()", &x, &t, &has);
  *out = VAL_NONE;
  if (s || !has || x.tag != VAL_DATETIME || !t.has_zone) return s;
  dec minutes = dec_from_i64(t.zone_min), hour = dec_from_i64(60), r;
  s = dec_div(&minutes, &hour, &r);
  return fp_dec_out(cx, s, &r, out);
}
