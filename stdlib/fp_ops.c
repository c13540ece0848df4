/* Operators: arithmetic with dates and quantities, comparison, three-valued logic, membership (FHIRPath N1 section 6). */
#include "fp_int.h"
#include "value_int.h"

static hdw_status nothing(val *out) { return *out = VAL_NONE, HDW_OK; }

/* ---- arithmetic */

typedef enum arith { ADD, SUB, MUL } arith;
static const char *const ARITH_NAME[] = {"+", "-", "*"};

/* Integer and Long; overflow is {}. */
static hdw_status whole_op(arith op, val x, val y, val *out) {
  int64_t r;
  bool over = op == ADD ? __builtin_add_overflow(x.u.i, y.u.i, &r) : op == SUB ? __builtin_sub_overflow(x.u.i, y.u.i, &r)
                                                                                : __builtin_mul_overflow(x.u.i, y.u.i, &r);
  if (over) return nothing(out);
  if (x.tag == VAL_LONG || y.tag == VAL_LONG) return *out = val_long(r), HDW_OK;
  if (r < INT32_MIN || r > INT32_MAX) return nothing(out);
  return *out = val_int(r), HDW_OK;
}

static hdw_status dec_op(arith op, const dec *x, const dec *y, dec *r) {
  return op == ADD ? dec_add(x, y, r) : op == SUB ? dec_sub(x, y, r) : dec_mul(x, y, r);
}

static val_quantity as_qty(val v) {
  if (v.tag == VAL_QTY) return *(const val_quantity *)v.u.p;
  return (val_quantity){val_get_dec(v), "1", 1};
}

/* Result in the unit of `like`, with its calendar flag. */
static hdw_status qty_out(vm_cx *cx, hdw_status s, const dec *d, const val_quantity *unit, bool calendar, val *out) {
  if (s == HDW_E_RANGE) return nothing(out);
  return s ? s : val_from_qty(cx->a, d, unit->unit, unit->unit_len, calendar, out);
}

static bool calendar(val v) { return v.tag == VAL_QTY && (v.flags & VALF_CALENDAR) != 0; }

/* Sum in the finer of two units that convert; {} for units that do not. */
static hdw_status qty_sum(vm_cx *cx, arith op, val x, val y, val *out) {
  val_quantity p = as_qty(x), q = as_qty(y);
  dec m = p.value, n = q.value, r;
  int finer = val_qty_finer(&p, &q);
  if (!finer) return nothing(out);
  const val_quantity *to = finer < 0 ? &p : &q;
  if (!val_qty_in(&p, to->unit, to->unit_len, &m) || !val_qty_in(&q, to->unit, to->unit_len, &n)) return nothing(out);
  return qty_out(cx, dec_op(op, &m, &n, &r), &r, to, calendar(finer < 0 ? x : y), out);
}

static bool unit_is_one(const val_quantity *q) { return q->unit_len == 1 && *q->unit == '1'; }

static hdw_status unit_join(vm_cx *cx, const dec *d, const val_quantity *p, bool divide, const val_quantity *q, val *out) {
  char text[UNIT_TEXT_MAX];
  size_t n = unit_product(p->unit, p->unit_len, q->unit, q->unit_len, divide, text);
  if (n == 0) return nothing(out);
  const char *s = arena_dup(cx->a, text, n);
  return s ? val_from_qty(cx->a, d, s, n, false, out) : HDW_E_NOMEM;
}

static hdw_status qty_mul(vm_cx *cx, val x, val y, val *out) {
  val_quantity p = as_qty(x), q = as_qty(y);
  dec r;
  if (unit_is_one(&q)) return qty_out(cx, dec_mul(&p.value, &q.value, &r), &r, &p, calendar(x), out);
  if (unit_is_one(&p)) return qty_out(cx, dec_mul(&p.value, &q.value, &r), &r, &q, calendar(y), out);
  if (calendar(x) || calendar(y)) return nothing(out);
  dec n = q.value;
  if (val_qty_in(&q, p.unit, p.unit_len, &n)) q.unit = p.unit, q.unit_len = p.unit_len; /* cm * m: both in cm */
  if (dec_mul(&p.value, &n, &r)) return nothing(out);
  return unit_join(cx, &r, &p, false, &q, out);
}

static hdw_status qty_div(vm_cx *cx, val x, val y, val *out) {
  val_quantity p = as_qty(x), q = as_qty(y), one = {dec_from_i64(1), "1", 1};
  dec m, n, r;
  if (val_qty_align(&p, &q, false, &m, &n)) return qty_out(cx, dec_div(&m, &n, &r), &r, &one, false, out);
  if (dec_div(&p.value, &q.value, &r)) return nothing(out);
  if (unit_is_one(&q)) return qty_out(cx, HDW_OK, &r, &p, calendar(x), out);
  if (calendar(x) || calendar(y)) return nothing(out);
  return unit_join(cx, &r, &p, true, &q, out);
}

/* Units by which dates and times move. UCUM a and mo are no calendar durations. Returns 0 for what is none; *factor in that precision. */
static int time_unit(const val_quantity *q, int64_t *factor) {
  static const struct { const char *name; tm_prec unit; int64_t factor; } rows[] = {
      {"year", TM_YEAR, 1}, {"month", TM_MONTH, 1}, {"week", TM_DAY, 7}, {"day", TM_DAY, 1}, {"hour", TM_HOUR, 1}, {"minute", TM_MINUTE, 1},
      {"second", TM_FRACTION, 1000000}, {"millisecond", TM_FRACTION, 1000}, {"wk", TM_DAY, 7}, {"d", TM_DAY, 1}, {"h", TM_HOUR, 1},
      {"min", TM_MINUTE, 1}, {"s", TM_FRACTION, 1000000}, {"ms", TM_FRACTION, 1000}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strlen(rows[i].name) == q->unit_len && memcmp(rows[i].name, q->unit, q->unit_len) == 0) return *factor = rows[i].factor, (int)rows[i].unit;
  return 0;
}

/* Date, DateTime or Time plus or minus a duration. Decimals count from seconds down; coarser units are cut to whole ones. */
static hdw_status time_add(vm_cx *cx, val t, val by, bool minus, val *out) {
  const val_quantity *q = (const val_quantity *)by.u.p;
  int64_t factor, n;
  int unit = time_unit(q, &factor);
  if (!unit) return vm_fail(cx, HDW_E_TYPE, "a %s can only be moved by calendar durations", val_type_name(t));
  dec d = q->value, f = dec_from_i64(factor);
  if (unit == TM_FRACTION) {
    if (dec_mul(&d, &f, &d)) return nothing(out);
    d = dec_trunc(&d);
  } else {
    d = dec_trunc(&d);
    if (dec_mul(&d, &f, &d)) return nothing(out);
  }
  if (dec_to_i64(&d, &n) || (minus && __builtin_sub_overflow(0, n, &n))) return nothing(out);
  tm_val v = val_get_time(t), r;
  /* whole seconds keep the precision of seconds */
  if (unit == TM_FRACTION && n % 1000000 == 0) unit = TM_SECOND, n /= 1000000;
  hdw_status s = tm_add(&v, n, (tm_prec)unit, t.tag == VAL_TIME, &r);
  if (s == HDW_E_RANGE) return nothing(out);
  if (s) return fp_type_error(cx, minus ? "-" : "+", by);
  *out = val_from_time((val_tag)t.tag, &r);
  return HDW_OK;
}

static hdw_status text_add(vm_cx *cx, val x, val y, val *out) {
  size_t n = (size_t)x.len + y.len;
  if (n > FP_TEXT_MAX) return vm_fail(cx, HDW_E_LIMIT, "a string is too long");
  hdw_status s = vm_charge(cx, n / 16);
  if (s) return s;
  if (y.len == 0 || x.len == 0) {
    *out = y.len == 0 ? x : y;
    out->aux = 0;
    return HDW_OK;
  }
  char *p = (char *)arena_alloc(cx->a, n);
  if (!p) return HDW_E_NOMEM;
  memcpy(p, x.u.s, x.len);
  memcpy(p + x.len, y.u.s, y.len);
  *out = val_str(p, n);
  return HDW_OK;
}

static hdw_status arithmetic(vm_cx *cx, arith op, const val *args, val *out) {
  val x = args[0], y = args[1];
  if (fp_is_whole(x) && fp_is_whole(y)) return whole_op(op, x, y, out);
  hdw_status s = HDW_OK;
  if (!fp_is_num(x) || !fp_is_num(y)) s = fp_pair(cx, args, ARITH_NAME[op], &x, &y);
  if (s) return s;
  if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return nothing(out);
  if (fp_is_whole(x) && fp_is_whole(y)) return whole_op(op, x, y, out);
  if (fp_is_num(x) && fp_is_num(y)) {
    dec a = val_get_dec(x), b = val_get_dec(y), r;
    s = dec_op(op, &a, &b, &r);
    return fp_dec_out(cx, s, &r, out);
  }
  if (op == ADD && x.tag == VAL_STR && y.tag == VAL_STR) return text_add(cx, x, y, out);
  if (op != MUL && fp_is_time(x) && y.tag == VAL_QTY) return time_add(cx, x, y, op == SUB, out);
  bool qx = x.tag == VAL_QTY || fp_is_num(x), qy = y.tag == VAL_QTY || fp_is_num(y);
  if (qx && qy) return op == MUL ? qty_mul(cx, x, y, out) : qty_sum(cx, op, x, y, out);
  return vm_fail(cx, HDW_E_TYPE, "%s cannot be used on %s and %s", ARITH_NAME[op], val_type_name(x), val_type_name(y));
}

hdw_status fp_add(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, arithmetic(cx, ADD, args, out); }
hdw_status fp_sub(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, arithmetic(cx, SUB, args, out); }
hdw_status fp_mul(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, arithmetic(cx, MUL, args, out); }

hdw_status fp_div(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x, y;
  (void)n;
  hdw_status s = fp_pair(cx, args, "/", &x, &y);
  if (s) return s;
  if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return nothing(out);
  if (fp_is_num(x) && fp_is_num(y)) {
    dec a = val_get_dec(x), b = val_get_dec(y), r;
    s = dec_div(&a, &b, &r);
    return fp_dec_out(cx, s, &r, out);
  }
  bool qx = x.tag == VAL_QTY || fp_is_num(x), qy = y.tag == VAL_QTY || fp_is_num(y);
  if (qx && qy) return qty_div(cx, x, y, out);
  return vm_fail(cx, HDW_E_TYPE, "/ cannot be used on %s and %s", val_type_name(x), val_type_name(y));
}

/* div and mod: truncated toward zero, the remainder has the sign of the dividend. */
static hdw_status divmod(vm_cx *cx, const val *args, bool mod, val *out) {
  val x, y;
  hdw_status s = fp_pair(cx, args, mod ? "mod" : "div", &x, &y);
  if (s) return s;
  if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return nothing(out);
  if (!fp_is_num(x) || !fp_is_num(y)) return vm_fail(cx, HDW_E_TYPE, "%s cannot be used on %s and %s", mod ? "mod" : "div", val_type_name(x), val_type_name(y));
  if (fp_is_whole(x) && fp_is_whole(y)) {
    bool wide = x.tag == VAL_LONG || y.tag == VAL_LONG;
    if (y.u.i == 0) return nothing(out);
    if (y.u.i == -1) {
      if (mod) return *out = fp_whole(0, wide), HDW_OK;
      if (x.u.i == (wide ? INT64_MIN : INT32_MIN)) return nothing(out);
    }
    *out = fp_whole(mod ? x.u.i % y.u.i : x.u.i / y.u.i, wide);
    return HDW_OK;
  }
  dec a = val_get_dec(x), b = val_get_dec(y), r;
  if (mod) {
    s = dec_mod(&a, &b, &r);
    return fp_dec_out(cx, s, &r, out);
  }
  int64_t i;
  if (dec_idiv(&a, &b, &r) || dec_to_i64(&r, &i)) return nothing(out);
  *out = fp_whole(i, false);
  return HDW_OK;
}

hdw_status fp_idiv(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, divmod(cx, args, false, out); }
hdw_status fp_mod(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, divmod(cx, args, true, out); }

/* & : {} counts as ''; other primitives as their text. */
hdw_status fp_concat(vm_cx *cx, const val *args, unsigned n, val *out) {
  val part[2];
  (void)n;
  for (int i = 0; i < 2; i++) {
    hdw_status s = fp_one(cx, args[i], "&", &part[i]);
    if (s) return s;
    if (part[i].tag == VAL_EMPTY) part[i] = val_str("", 0);
    if (part[i].tag == VAL_STR) continue;
    s = val_to_str(cx->a, part[i], &part[i]);
    if (s == HDW_E_TYPE) return fp_type_error(cx, "&", part[i]);
    if (s) return s;
  }
  return text_add(cx, part[0], part[1], out);
}

hdw_status fp_neg(vm_cx *cx, const val *args, unsigned n, val *out) {
  val x;
  (void)n;
  hdw_status s = fp_one(cx, args[0], "-", &x);
  if (s || x.tag == VAL_EMPTY) return *out = VAL_NONE, s;
  if (fp_is_whole(x)) return whole_op(SUB, val_int(0), x, out);
  if (x.tag == VAL_DEC) {
    dec d = val_get_dec(x);
    d = dec_neg(&d);
    return val_from_dec(cx->a, &d, out);
  }
  if (x.tag != VAL_QTY) return fp_type_error(cx, "-", x);
  const val_quantity *q = (const val_quantity *)x.u.p;
  dec d = dec_neg(&q->value);
  return val_from_qty(cx->a, &d, q->unit, q->unit_len, calendar(x), out);
}

/* ---- equality and order */

static size_t weight(val v) { return v.tag == VAL_STR || v.tag == VAL_BIN ? v.len / 16 : v.tag == VAL_LIST || v.tag == VAL_OBJ ? v.len : 0; }

/* Operands of = and ~: single items adapted to one another, collections item by item. */
static hdw_status operands(vm_cx *cx, const val *args, const char *what, val *x, val *y) {
  hdw_status s = vm_charge(cx, weight(args[0]) + weight(args[1]));
  if (s) return s;
  *x = args[0];
  *y = args[1];
  if (x->tag != VAL_LIST && y->tag != VAL_LIST) {
    if (!fp_is_model(*x) && !fp_is_model(*y)) return HDW_OK;
    /* two structures are compared as they are, also two FHIR Quantities */
    s = x->tag == VAL_OBJ && y->tag == VAL_OBJ ? HDW_OK : fp_pair(cx, args, what, x, y);
  } else {
    s = fp_system(cx, *x, x);
    if (!s) s = fp_system(cx, *y, y);
  }
  if (s == HDW_E_TYPE) { /* segments and groups: the node itself */
    *x = args[0];
    *y = args[1];
    s = HDW_OK;
  }
  return s;
}

static hdw_status equality(vm_cx *cx, const val *args, bool negate, val *out) {
  val x = args[0], y = args[1];
  int r;
  if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return nothing(out);
  if (fp_is_whole(x) && fp_is_whole(y)) return *out = val_bool((x.u.i == y.u.i) != negate), HDW_OK;
  if (x.tag == VAL_STR && y.tag == VAL_STR) {
    *out = val_bool((x.len == y.len && (x.len == 0 || memcmp(x.u.s, y.u.s, x.len) == 0)) != negate);
    return vm_charge(cx, x.len / 16);
  }
  hdw_status s = operands(cx, args, negate ? "!=" : "=", &x, &y);
  if (s || (s = val_equal_within(cx->a, x, y, &cx->fuel, &r))) return s;
  *out = r < 0 ? VAL_NONE : val_bool((r == 1) != negate);
  return HDW_OK;
}

static hdw_status equivalence(vm_cx *cx, const val *args, bool negate, val *out) {
  val x, y;
  bool r;
  hdw_status s = operands(cx, args, negate ? "!~" : "~", &x, &y);
  if (!s && val_count(x) == val_count(y)) s = vm_charge(cx, (size_t)val_count(x) * val_count(y));
  if (s || (s = val_equivalent_within(cx->a, x, y, &cx->fuel, &r))) return s;
  *out = val_bool(r != negate);
  return HDW_OK;
}

hdw_status fp_eq(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, equality(cx, args, false, out); }
hdw_status fp_ne(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, equality(cx, args, true, out); }
hdw_status fp_equiv(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, equivalence(cx, args, false, out); }
hdw_status fp_nequiv(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, equivalence(cx, args, true, out); }

static hdw_status order(vm_cx *cx, const val *args, const char *what, int *cmp, bool *known) {
  val x = args[0], y = args[1];
  *known = true;
  if (fp_is_whole(x) && fp_is_whole(y)) return *cmp = (x.u.i > y.u.i) - (x.u.i < y.u.i), HDW_OK;
  hdw_status s = fp_pair(cx, args, what, &x, &y);
  if (s) return s;
  if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return *known = false, HDW_OK;
  if ((s = vm_charge(cx, weight(x)))) return s;
  s = val_compare(x, y, cmp, known);
  return s == HDW_E_TYPE ? vm_fail(cx, s, "%s cannot be used on %s and %s", what, val_type_name(x), val_type_name(y)) : s;
}

#define ORDER(name, text, test)                                          \
  hdw_status name(vm_cx *cx, const val *args, unsigned n, val *out) {    \
    int cmp;                                                             \
    bool known;                                                          \
    (void)n;                                                             \
    hdw_status s = order(cx, args, text, &cmp, &known);                  \
    if (s) return s;                                                     \
    *out = known ? val_bool(cmp test 0) : VAL_NONE;                      \
    return HDW_OK;                                                       \
  }
ORDER(fp_lt, "<", <)
ORDER(fp_le, "<=", <=)
ORDER(fp_gt, ">", >)
ORDER(fp_ge, ">=", >=)
#undef ORDER

/* ---- logic: 1 true, 0 false, -1 {} */

static hdw_status logic(vm_cx *cx, const val *args, const char *what, int (*f)(int, int), val *out) {
  int x, y;
  hdw_status s = fp_bool3(cx, args[0], what, &x);
  if (s || (s = fp_bool3(cx, args[1], what, &y))) return s;
  int r = f(x, y);
  *out = r < 0 ? VAL_NONE : val_bool(r != 0);
  return HDW_OK;
}

static int and3(int x, int y) { return x == 0 || y == 0 ? 0 : x < 0 || y < 0 ? -1 : 1; }
static int or3(int x, int y) { return x == 1 || y == 1 ? 1 : x < 0 || y < 0 ? -1 : 0; }
static int xor3(int x, int y) { return x < 0 || y < 0 ? -1 : x != y; }
static int implies3(int x, int y) { return x == 0 || y == 1 ? 1 : x < 0 || y < 0 ? -1 : 0; }

hdw_status fp_and(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, logic(cx, args, "and", and3, out); }
hdw_status fp_or(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, logic(cx, args, "or", or3, out); }
hdw_status fp_xor(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, logic(cx, args, "xor", xor3, out); }
hdw_status fp_implies(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, logic(cx, args, "implies", implies3, out); }

hdw_status fp_not(vm_cx *cx, const val *args, unsigned n, val *out) {
  int x;
  (void)n;
  hdw_status s = fp_bool3(cx, args[0], "not()", &x);
  if (s) return s;
  *out = x < 0 ? VAL_NONE : val_bool(!x);
  return HDW_OK;
}

/* ---- membership */

static hdw_status member_of(vm_cx *cx, val item, val coll, const char *what, val *out) {
  if (val_count(item) == 0) return nothing(out);
  if (val_count(item) > 1) return vm_fail(cx, HDW_E_CARD, "%s wants one item but got %u", what, (unsigned)val_count(item));
  uint32_t n = val_count(coll);
  hdw_status s = vm_charge(cx, n);
  if (s) return s;
  *out = val_bool(false);
  for (uint32_t i = 0; i < n; i++) {
    val pair[2] = {val_item(item, 0), val_item(coll, i)}, r;
    if ((s = equality(cx, pair, false, &r))) return s;
    if (r.tag == VAL_BOOL && r.u.i) return *out = val_bool(true), HDW_OK;
  }
  return HDW_OK;
}

hdw_status fp_in(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, member_of(cx, args[0], args[1], "in", out); }
hdw_status fp_contains_item(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, member_of(cx, args[1], args[0], "contains", out); }
