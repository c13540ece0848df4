/* Access to System values, and the conversion functions of FHIRPath N1 section 5.5. */
#include "fhir.h"
#include "fp_int.h"
#include "value_int.h"
#include <strings.h>

hdw_status fp_type_error(vm_cx *cx, const char *what, val v) {
  return vm_fail(cx, HDW_E_TYPE, "%s cannot be used on a value of type %s", what, val_type_name(v));
}

val fp_whole(int64_t i, bool wide) { return !wide && i >= INT32_MIN && i <= INT32_MAX ? val_int(i) : val_long(i); }

hdw_status fp_dec_out(vm_cx *cx, hdw_status s, const dec *d, val *out) {
  *out = VAL_NONE;
  if (s == HDW_E_RANGE) return HDW_OK;
  return s ? s : val_from_dec(cx->a, d, out);
}

static hdw_status system_item(vm_cx *cx, val v, val *out) {
  *out = v;
  if (!fp_is_model(v) || !cx->model || !cx->model->to_system) return HDW_OK;
  return cx->model->to_system(cx, v, out);
}

hdw_status fp_system(vm_cx *cx, val v, val *out) {
  *out = v;
  if (v.tag != VAL_LIST) return fp_is_model(v) ? system_item(cx, v, out) : HDW_OK;
  uint32_t i = 0;
  while (i < v.len && !fp_is_model(v.u.v[i])) i++;
  if (i == v.len) return HDW_OK;
  val_builder b = {0};
  for (i = 0; i < v.len; i++) {
    val x;
    hdw_status s = system_item(cx, v.u.v[i], &x);
    if (!s) s = val_push(cx->a, &b, x);
    if (s) return s;
  }
  *out = val_build(&b);
  return HDW_OK;
}

hdw_status fp_one(vm_cx *cx, val v, const char *what, val *out) {
  *out = VAL_NONE;
  if (v.tag == VAL_LIST) {
    if (v.len > 1) return vm_fail(cx, HDW_E_CARD, "%s wants one item but got %u", what, (unsigned)v.len);
    v = v.len ? v.u.v[0] : VAL_NONE;
  }
  if (fp_is_model(v)) return system_item(cx, v, out);
  *out = v;
  return HDW_OK;
}

hdw_status fp_text(vm_cx *cx, val v, const char *what, val *out) {
  hdw_status s = fp_one(cx, v, what, out);
  if (s || out->tag == VAL_EMPTY) return s;
  return out->tag == VAL_STR ? HDW_OK : fp_type_error(cx, what, *out);
}

hdw_status fp_int(vm_cx *cx, val v, const char *what, int64_t *out, bool *has) {
  val x;
  hdw_status s = fp_one(cx, v, what, &x);
  *has = false;
  if (s || x.tag == VAL_EMPTY) return s;
  if (!fp_is_whole(x)) return fp_type_error(cx, what, x);
  *has = true;
  *out = x.u.i;
  return HDW_OK;
}

hdw_status fp_bool3(vm_cx *cx, val v, const char *what, int *out) {
  if (v.tag == VAL_BOOL) return *out = v.u.i != 0, HDW_OK;
  if (v.tag == VAL_EMPTY) return *out = -1, HDW_OK;
  val x;
  hdw_status s = fp_one(cx, v, what, &x);
  if (s == HDW_E_TYPE) return *out = 1, HDW_OK; /* a segment or group is there */
  if (s) return s;
  *out = x.tag == VAL_EMPTY ? -1 : x.tag == VAL_BOOL ? x.u.i != 0 : 1;
  return HDW_OK;
}

/* Text of an HL7 node next to a number or a date reads as one. */
static hdw_status convert_like(vm_cx *cx, val text, val like, val *out) {
  dec d;
  tm_val t;
  if (fp_is_num(like) || like.tag == VAL_QTY) {
    if (dec_parse(text.u.s, text.len, &d)) return *out = VAL_NONE, HDW_OK;
    return val_from_dec(cx->a, &d, out);
  }
  hdw_status s;
  if (like.tag == VAL_TIME) s = tm_parse_hl7_time(text.u.s, text.len, &t);
  else s = tm_parse_hl7(text.u.s, text.len, &t);
  *out = s ? VAL_NONE : val_from_time(like.tag == VAL_TIME ? VAL_TIME : t.prec <= TM_DAY ? VAL_DATE : VAL_DATETIME, &t);
  return HDW_OK;
}

static bool is_quantity(val v) { return v.tag == VAL_OBJ && v.aux && fhir_is_a(v.aux, fhir_type("Quantity", 8)); }

/* Only a Quantity with the code of a UCUM unit has a calendar duration: a unit that reads 'a' need not be a year (FHIR, "Use of FHIR Quantity"). */
static hdw_status has_ucum_code(vm_cx *cx, val obj, bool *yes) {
  static const char UCUM[] = "http://unitsofmeasure.org";
  val system, code;
  obj.aux = 0;
  *yes = false;
  hdw_status s = val_member(cx->a, obj, val_key("system", 6), &system);
  if (s || (s = val_member(cx->a, obj, val_key("code", 4), &code))) return s;
  *yes = code.tag == VAL_STR && system.tag == VAL_STR && system.len == sizeof UCUM - 1 && memcmp(system.u.s, UCUM, sizeof UCUM - 1) == 0;
  return HDW_OK;
}

/* A FHIR Quantity beside a date or a calendar duration is a calendar duration: 1 'a' is 1 year there. */
static hdw_status to_calendar(vm_cx *cx, val *v) {
  static const char *const units[][2] = {{"a", "year"}, {"mo", "month"}, {"d", "day"}, {"h", "hour"}, {"min", "minute"}, {"s", "second"}};
  const val_quantity *q = (const val_quantity *)v->u.p;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strlen(units[i][0]) == q->unit_len && memcmp(units[i][0], q->unit, q->unit_len) == 0) {
      dec d = q->value;
      return val_from_qty(cx->a, &d, units[i][1], strlen(units[i][1]), true, v);
    }
  return HDW_OK;
}

static hdw_status adapt(vm_cx *cx, val was, val like, val *v) {
  if (was.tag == VAL_OBJ && v->tag == VAL_QTY && (fp_is_time(like) || (like.tag == VAL_QTY && like.flags & VALF_CALENDAR))) {
    bool ucum;
    hdw_status s = has_ucum_code(cx, was, &ucum);
    return s || !ucum ? s : to_calendar(cx, v);
  }
  if (was.tag == VAL_HL7 && v->tag == VAL_STR && (fp_is_num(like) || fp_is_time(like) || like.tag == VAL_QTY)) return convert_like(cx, *v, like, v);
  /* A Quantity that is still one has no value as a System Quantity: it has a comparator, and whether <5 is more than 3 nobody knows. */
  if (v->tag == VAL_OBJ && is_quantity(*v) && (like.tag == VAL_QTY || like.tag == VAL_OBJ || fp_is_num(like) || fp_is_time(like))) *v = VAL_NONE;
  return HDW_OK;
}

hdw_status fp_pair(vm_cx *cx, const val *args, const char *what, val *x, val *y) {
  val p = val_count(args[0]) == 1 ? val_item(args[0], 0) : args[0], q = val_count(args[1]) == 1 ? val_item(args[1], 0) : args[1];
  hdw_status s = fp_one(cx, p, what, x);
  if (s || (s = fp_one(cx, q, what, y))) return s;
  if (!fp_is_model(p) && !fp_is_model(q)) return HDW_OK;
  val x0 = *x;
  if ((s = adapt(cx, p, *y, x))) return s;
  return adapt(cx, q, x0, y);
}

hdw_status fp_quantity_of(vm_cx *cx, val obj, val *out) {
  if (!is_quantity(obj)) return HDW_E_TYPE;
  hdw_status s = fhir_model_system(cx, obj, out);
  if (s || out->tag == VAL_QTY) return s;
  *out = VAL_NONE;
  return HDW_E_TYPE;
}

/* ---- conversions: each takes one System value and gives {} when it does not convert */

typedef hdw_status convert_fn(vm_cx *cx, val v, val *out);

static bool word_in(val v, const char *const *words) {
  for (; *words; words++)
    if (strlen(*words) == v.len && strncasecmp(*words, v.u.s, v.len) == 0) return true;
  return false;
}

static hdw_status conv_boolean(vm_cx *cx, val v, val *out) {
  static const char *const yes[] = {"true", "t", "yes", "y", "1", "1.0", NULL}, *const no[] = {"false", "f", "no", "n", "0", "0.0", NULL};
  dec one = dec_from_i64(1), zero = dec_from_i64(0), d;
  (void)cx;
  switch (v.tag) {
    case VAL_BOOL: *out = val_bool(v.u.i != 0); break;
    case VAL_INT:
    case VAL_LONG:
    case VAL_DEC:
      d = val_get_dec(v);
      if (dec_cmp(&d, &one) == 0) *out = val_bool(true);
      else if (dec_cmp(&d, &zero) == 0) *out = val_bool(false);
      break;
    case VAL_STR:
      if (word_in(v, yes)) *out = val_bool(true);
      else if (word_in(v, no)) *out = val_bool(false);
      break;
    default: break;
  }
  return HDW_OK;
}

/* [+-]?digits within 64 bits */
static bool whole_text(val v, int64_t *out) {
  const char *s = v.u.s;
  uint32_t i = 0;
  bool neg = false;
  uint64_t m = 0;
  if (i < v.len && (s[i] == '+' || s[i] == '-')) neg = s[i++] == '-';
  if (i == v.len) return false;
  for (; i < v.len; i++) {
    if (s[i] < '0' || s[i] > '9') return false;
    if (__builtin_mul_overflow(m, 10, &m) || __builtin_add_overflow(m, (uint64_t)(s[i] - '0'), &m)) return false;
  }
  if (m > (uint64_t)INT64_MAX + neg) return false;
  *out = neg ? (int64_t)(0 - m) : (int64_t)m;
  return true;
}

static bool to_i64(val v, int64_t *i) {
  switch (v.tag) {
    case VAL_BOOL:
    case VAL_INT:
    case VAL_LONG: *i = v.u.i; return true;
    case VAL_STR: return whole_text(v, i);
    default: return false;
  }
}

static hdw_status conv_integer(vm_cx *cx, val v, val *out) {
  int64_t i;
  (void)cx;
  if (to_i64(v, &i) && i >= INT32_MIN && i <= INT32_MAX) *out = val_int(i);
  return HDW_OK;
}

static hdw_status conv_long(vm_cx *cx, val v, val *out) {
  int64_t i;
  (void)cx;
  if (to_i64(v, &i)) *out = val_long(i);
  return HDW_OK;
}

/* [+-]?digits[.digits], no exponent */
static bool decimal_text(const char *s, size_t n, dec *d) {
  for (size_t i = 0; i < n; i++)
    if (s[i] == 'e' || s[i] == 'E') return false;
  return dec_parse(s, n, d) == HDW_OK;
}

static hdw_status conv_decimal(vm_cx *cx, val v, val *out) {
  dec d;
  switch (v.tag) {
    case VAL_BOOL: d = (dec){v.u.i ? 10 : 0, 1}; break;
    case VAL_INT:
    case VAL_LONG: d = dec_from_i64(v.u.i); break;
    case VAL_DEC:
      *out = v;
      out->aux = 0;
      return HDW_OK;
    case VAL_STR:
      if (!decimal_text(v.u.s, v.len, &d)) return HDW_OK;
      break;
    default: return HDW_OK;
  }
  return val_from_dec(cx->a, &d, out);
}

static hdw_status conv_string(vm_cx *cx, val v, val *out) {
  hdw_status s = val_to_str(cx->a, v, out);
  if (s == HDW_E_TYPE) return *out = VAL_NONE, HDW_OK;
  out->aux = 0;
  return s;
}

static hdw_status conv_date(vm_cx *cx, val v, val *out) {
  tm_val t;
  (void)cx;
  switch (v.tag) {
    case VAL_DATE:
    case VAL_DATETIME: t = val_get_time(v); break;
    case VAL_STR:
      if (tm_parse_datetime(v.u.s, v.len, &t) && tm_parse_hl7(v.u.s, v.len, &t)) return HDW_OK;
      break;
    default: return HDW_OK;
  }
  tm_val day;
  int y, m, d;
  tm_fields(&t, &y, &m, &d, NULL, NULL, NULL, NULL);
  if (tm_make(y, m, d, 0, 0, 0, 0, t.prec > TM_DAY ? TM_DAY : (tm_prec)t.prec, &day) == HDW_OK) *out = val_from_time(VAL_DATE, &day);
  return HDW_OK;
}

static hdw_status conv_datetime(vm_cx *cx, val v, val *out) {
  tm_val t;
  (void)cx;
  switch (v.tag) {
    case VAL_DATE:
    case VAL_DATETIME: t = val_get_time(v); break;
    case VAL_STR:
      if (tm_parse_datetime(v.u.s, v.len, &t) && tm_parse_hl7(v.u.s, v.len, &t)) return HDW_OK;
      break;
    default: return HDW_OK;
  }
  *out = val_from_time(VAL_DATETIME, &t);
  return HDW_OK;
}

static hdw_status conv_time(vm_cx *cx, val v, val *out) {
  tm_val t;
  (void)cx;
  if (v.tag == VAL_TIME) t = val_get_time(v);
  else if (v.tag != VAL_STR || (tm_parse_time(v.u.s, v.len, &t) && tm_parse_hl7_time(v.u.s, v.len, &t))) return HDW_OK;
  *out = val_from_time(VAL_TIME, &t);
  return HDW_OK;
}

static const char *calendar_unit(const char *s, size_t n) {
  static const char *const units[] = {"year", "month", "week", "day", "hour", "minute", "second", "millisecond"};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    size_t k = strlen(units[i]);
    if ((n == k || (n == k + 1 && s[k] == 's')) && memcmp(units[i], s, k) == 0) return units[i];
  }
  return NULL;
}

static bool blank(char c) { return c == ' ' || (c >= 9 && c <= 13); }

/* value [ 'unit' | calendar word ] */
static hdw_status quantity_text(vm_cx *cx, val v, val *out) {
  const char *s = v.u.s;
  size_t n = v.len, i = 0;
  dec d;
  while (i < n && ((s[i] >= '0' && s[i] <= '9') || s[i] == '.' || s[i] == '+' || s[i] == '-')) i++;
  if (!decimal_text(s, i, &d)) return HDW_OK;
  while (i < n && blank(s[i])) i++;
  if (i == n) return val_from_qty(cx->a, &d, "1", 1, false, out);
  if (s[i] == '\'') {
    const char *end = (const char *)memchr(s + i + 1, '\'', n - i - 1);
    if (!end || end != s + n - 1 || end == s + i + 1) return HDW_OK;
    return val_from_qty(cx->a, &d, s + i + 1, (size_t)(end - s) - i - 1, false, out);
  }
  const char *unit = calendar_unit(s + i, n - i);
  return unit ? val_from_qty(cx->a, &d, unit, strlen(unit), true, out) : HDW_OK;
}

static hdw_status conv_quantity(vm_cx *cx, val v, val *out) {
  dec d;
  hdw_status s;
  switch (v.tag) {
    case VAL_BOOL: d = (dec){v.u.i ? 10 : 0, 1}; break;
    case VAL_INT:
    case VAL_LONG:
    case VAL_DEC: d = val_get_dec(v); break;
    case VAL_QTY: *out = v; return HDW_OK;
    case VAL_STR: return quantity_text(cx, v, out);
    case VAL_OBJ: s = fp_quantity_of(cx, v, out); return s == HDW_E_TYPE ? HDW_OK : s;
    default: return HDW_OK;
  }
  return val_from_qty(cx->a, &d, "1", 1, false, out);
}

/* q in another unit; {} when there is no conversion. */
static hdw_status in_unit(vm_cx *cx, val q, val unit, val *out) {
  const char *word = calendar_unit(unit.u.s, unit.len);
  const char *to = word ? word : unit.u.s;
  size_t len = word ? strlen(word) : unit.len;
  dec d;
  *out = VAL_NONE;
  return val_qty_in((const val_quantity *)q.u.p, to, len, &d) ? val_from_qty(cx->a, &d, to, len, word != NULL, out) : HDW_OK;
}

static hdw_status convert(vm_cx *cx, const val *args, const char *what, convert_fn *f, val *out) {
  val v;
  hdw_status s = fp_one(cx, args[0], what, &v);
  *out = VAL_NONE;
  if (s || v.tag == VAL_EMPTY) return s;
  return f(cx, v, out);
}

static hdw_status converts(vm_cx *cx, const val *args, const char *what, convert_fn *f, val *out) {
  val v, r = VAL_NONE;
  hdw_status s = fp_one(cx, args[0], what, &v);
  *out = VAL_NONE;
  if (s || v.tag == VAL_EMPTY) return s;
  if ((s = f(cx, v, &r))) return s;
  *out = val_bool(r.tag != VAL_EMPTY);
  return HDW_OK;
}

#define CONVERSION(snake, camel, f)                                                                                             \
  hdw_status fp_to_##snake(vm_cx *cx, const val *args, unsigned n, val *out) {                                                  \
    (void)n;                                                                                                                    \
    return convert(cx, args, "to" camel "()", f, out);                                                                          \
  }                                                                                                                             \
  hdw_status fp_converts_to_##snake(vm_cx *cx, const val *args, unsigned n, val *out) {                                         \
    (void)n;                                                                                                                    \
    return converts(cx, args, "convertsTo" camel "()", f, out);                                                                 \
  }
CONVERSION(boolean, "Boolean", conv_boolean)
CONVERSION(integer, "Integer", conv_integer)
CONVERSION(long, "Long", conv_long)
CONVERSION(decimal, "Decimal", conv_decimal)
CONVERSION(string, "String", conv_string)
CONVERSION(date, "Date", conv_date)
CONVERSION(date_time, "DateTime", conv_datetime)
CONVERSION(time, "Time", conv_time)
#undef CONVERSION

hdw_status fp_to_quantity(vm_cx *cx, const val *args, unsigned n, val *out) {
  hdw_status s = convert(cx, args, "toQuantity()", conv_quantity, out);
  if (s || out->tag == VAL_EMPTY || n < 2 || args[1].tag == VAL_EMPTY) return s;
  val unit;
  if ((s = fp_text(cx, args[1], "toQuantity()", &unit)) || unit.tag == VAL_EMPTY) return s;
  return in_unit(cx, *out, unit, out);
}

hdw_status fp_converts_to_quantity(vm_cx *cx, const val *args, unsigned n, val *out) {
  val v, r;
  hdw_status s = fp_one(cx, args[0], "convertsToQuantity()", &v);
  *out = VAL_NONE;
  if (s || v.tag == VAL_EMPTY) return s;
  if ((s = fp_to_quantity(cx, args, n, &r))) return s;
  *out = val_bool(r.tag != VAL_EMPTY);
  return HDW_OK;
}
