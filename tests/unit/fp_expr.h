/* fp_expr.h - literal FHIRPath expressions for the tests of the natives: 'abc'.substring(1) & (1 + 2 'mg') ... evaluated while they are parsed,
 * straight by the C functions. No paths, no $this, no functions with criteria: the language's own compiler is not under test here. */
#ifndef HDW_TEST_FP_EXPR_H
#define HDW_TEST_FP_EXPR_H
#include <stdio.h>
#include <string.h>
#include "fp_int.h"
#include "support.h"

typedef struct fpx {
  const char *s;
  vm_cx *cx;
  hdw_status st;
} fpx;

static val fpx_expr(fpx *x, int min);

static void fpx_blank(fpx *x) {
  while (*x->s == ' ' || *x->s == '\t' || *x->s == '\n') x->s++;
}
static bool fpx_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool fpx_digit(char c) { return c >= '0' && c <= '9'; }
static bool fpx_is(fpx *x, const char *t) {
  size_t n = strlen(t);
  fpx_blank(x);
  if (strncmp(x->s, t, n) != 0 || (fpx_alpha(*t) && (fpx_alpha(x->s[n]) || fpx_digit(x->s[n])))) return false;
  x->s += n;
  return true;
}
static val fpx_error(fpx *x, hdw_status st) {
  if (!x->st) x->st = st;
  return VAL_NONE;
}
static vm_native fpx_native(const char *name, size_t len) {
  static const struct { const char *name; vm_native fn; } rows[] = {
#define X(n) {#n, n},
      FP_NATIVES(X)
#undef X
  };
  char snake[64] = "fp_";
  size_t w = 3;
  for (size_t i = 0; i < len && w < 60; i++) {
    if (name[i] >= 'A' && name[i] <= 'Z') snake[w++] = '_';
    snake[w++] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
  }
  snake[w] = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].name, snake) == 0) return rows[i].fn;
  fail_msg("no native %s", snake);
  return NULL;
}
static val fpx_call(fpx *x, vm_native f, const val *args, unsigned n) {
  val r = VAL_NONE;
  hdw_status st = x->st ? x->st : f(x->cx, args, n, &r);
  return st ? fpx_error(x, st) : r;
}
static val fpx_string(fpx *x) {
  buf b;
  buf_init(&b, x->cx->a, 1 << 16);
  for (x->s++; *x->s && *x->s != '\''; x->s++) {
    char c = *x->s;
    if (c == '\\') {
      c = *++x->s;
      c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
    }
    buf_putc(&b, c);
  }
  assert_int_equal(*x->s++, '\'');
  return val_str(b.p ? b.p : "", b.len);
}
static val fpx_time(fpx *x) {
  const char *from = ++x->s;
  bool time = *from == 'T', dt = false;
  if (time) from = ++x->s;
  while (fpx_digit(*x->s) || *x->s == ':' || (*x->s == '.' && fpx_digit(x->s[1])) || *x->s == 'T' || *x->s == 'Z' || (*x->s == '-' && fpx_digit(x->s[1])) ||
         (*x->s == '+' && dt))
    dt = dt || *x->s == 'T', x->s++;
  tm_val t;
  size_t n = (size_t)(x->s - from);
  hdw_status st = time ? tm_parse_time(from, n, &t) : dt ? tm_parse_datetime(from, n, &t) : tm_parse_date(from, n, &t);
  return st ? fpx_error(x, st) : val_from_time(time ? VAL_TIME : dt ? VAL_DATETIME : VAL_DATE, &t);
}
static val fpx_number(fpx *x) {
  static const char *units[] = {"year", "month", "week", "day", "hour", "minute", "second", "millisecond"};
  const char *from = x->s;
  while (fpx_digit(*x->s)) x->s++;
  bool frac = *x->s == '.' && fpx_digit(x->s[1]);
  if (frac)
    for (x->s++; fpx_digit(*x->s);) x->s++;
  val num = {.tag = VAL_NUM, .len = (uint32_t)(x->s - from), .u.s = from}, v;
  assert_int_equal(val_norm(x->cx->a, num, &v), HDW_OK);
  dec d = val_get_dec(v);
  if (frac) assert_int_equal(val_from_dec(x->cx->a, &d, &v), HDW_OK);
  if (*x->s == 'L') {
    x->s++;
    return val_long(v.u.i);
  }
  const char *save = x->s;
  fpx_blank(x);
  val q;
  if (*x->s == '\'') {
    val unit = fpx_string(x);
    assert_int_equal(val_from_qty(x->cx->a, &d, unit.u.s, unit.len, false, &q), HDW_OK);
    return q;
  }
  for (size_t i = 0; i < 8; i++) {
    size_t n = strlen(units[i]);
    if (strncmp(x->s, units[i], n) != 0) continue;
    size_t m = n + (x->s[n] == 's');
    if (fpx_alpha(x->s[m])) continue;
    x->s += m;
    assert_int_equal(val_from_qty(x->cx->a, &d, units[i], n, true, &q), HDW_OK);
    return q;
  }
  x->s = save;
  return v;
}
static val fpx_list(fpx *x, const char *close, vm_native join) {
  val r[2] = {VAL_NONE, VAL_NONE};
  if (fpx_is(x, close)) return VAL_NONE;
  r[0] = fpx_expr(x, 0);
  while (fpx_is(x, ",")) {
    r[1] = fpx_expr(x, 0);
    r[0] = fpx_call(x, join, r, 2);
  }
  if (!fpx_is(x, close)) fail_msg("expected %s at %s", close, x->s);
  return r[0];
}
static val fpx_function(fpx *x, val recv, bool method) {
  val args[4] = {recv, VAL_NONE, VAL_NONE, VAL_NONE};
  unsigned n = 1;
  const char *name = x->s;
  while (fpx_alpha(*x->s) || fpx_digit(*x->s)) x->s++;
  vm_native f = fpx_native(name, (size_t)(x->s - name));
  if (!fpx_is(x, "(")) fail_msg("expected ( at %s", x->s);
  if (!fpx_is(x, ")")) {
    do args[n++] = fpx_expr(x, 0);
    while (n < 4 && fpx_is(x, ","));
    if (!fpx_is(x, ")")) fail_msg("expected ) at %s", x->s);
  }
  (void)method;
  return fpx_call(x, f, args, n);
}
static val fpx_primary(fpx *x) {
  val r;
  fpx_blank(x);
  if (fpx_is(x, "(")) {
    r = fpx_expr(x, 0);
    if (!fpx_is(x, ")")) fail_msg("expected ) at %s", x->s);
  } else if (fpx_is(x, "[")) r = fpx_list(x, "]", fp_combine);
  else if (fpx_is(x, "{")) r = fpx_list(x, "}", fp_combine);
  else if (*x->s == '\'') r = fpx_string(x);
  else if (*x->s == '@') r = fpx_time(x);
  else if (fpx_digit(*x->s)) r = fpx_number(x);
  else if (fpx_is(x, "true")) r = val_bool(true);
  else if (fpx_is(x, "false")) r = val_bool(false);
  else if (fpx_alpha(*x->s)) r = fpx_function(x, VAL_NONE, false);
  else {
    fail_msg("unexpected %s", x->s);
    return VAL_NONE;
  }
  for (;;) {
    if (fpx_is(x, ".")) r = fpx_function(x, r, true);
    else if (fpx_is(x, "[")) {
      val args[2] = {r, fpx_expr(x, 0)};
      if (!fpx_is(x, "]")) fail_msg("expected ] at %s", x->s);
      r = fpx_call(x, fp_index, args, 2);
    } else return r;
  }
}
static val fpx_unary(fpx *x) {
  if (fpx_is(x, "-")) {
    val v = fpx_unary(x);
    return fpx_call(x, fp_neg, &v, 1);
  }
  if (fpx_is(x, "+")) return fpx_unary(x);
  return fpx_primary(x);
}
static val fpx_expr(fpx *x, int min) {
  static const struct { const char *t; int prec; vm_native f; } ops[] = {
      {"implies", 1, fp_implies}, {"or", 2, fp_or}, {"xor", 2, fp_xor}, {"and", 3, fp_and}, {"in", 4, fp_in}, {"contains", 4, fp_contains_item},
      {"!=", 5, fp_ne}, {"!~", 5, fp_nequiv}, {"=", 5, fp_eq}, {"~", 5, fp_equiv}, {"<=", 6, fp_le}, {">=", 6, fp_ge}, {"<", 6, fp_lt}, {">", 6, fp_gt},
      {"|", 7, fp_union}, {"+", 9, fp_add}, {"-", 9, fp_sub}, {"&", 9, fp_concat}, {"*", 10, fp_mul}, {"/", 10, fp_div}, {"div", 10, fp_idiv}, {"mod", 10, fp_mod}};
  val args[2];
  args[0] = fpx_unary(x);
  for (;;) {
    size_t i = 0;
    const char *save = x->s;
    while (i < sizeof ops / sizeof *ops && (ops[i].prec < min || !fpx_is(x, ops[i].t))) i++;
    if (i == sizeof ops / sizeof *ops) {
      x->s = save;
      return args[0];
    }
    args[1] = fpx_expr(x, ops[i].prec + 1);
    args[0] = fpx_call(x, ops[i].f, args, 2);
  }
}
/* The value of an expression, or the status of the first native that failed. */
static hdw_status fp_expr(vm_cx *cx, const char *text, val *out) {
  fpx x = {text, cx, HDW_OK};
  *out = fpx_expr(&x, 0);
  fpx_blank(&x);
  if (*x.s) fail_msg("rest of '%s': %s", text, x.s);
  return x.st;
}

/* Values as they are written: 1, 1.50, 'text', @2012, @T10:00, 4 days; collections as [a, b], nothing as {}. */
static void fp_show_item(buf *b, arena *a, val v) {
  val s;
  if (v.tag == VAL_OBJ) {
    buf_putc(b, '{');
    for (uint32_t i = 0; i < v.len; i++) {
      if (i) buf_puts(b, ", ");
      buf_put(b, v.u.v[2 * i].u.s, v.u.v[2 * i].len);
      buf_puts(b, ": ");
      fp_show_item(b, a, v.u.v[2 * i + 1]);
    }
    buf_putc(b, '}');
    return;
  }
  assert_int_equal(val_to_str(a, v, &s), HDW_OK);
  if (v.tag == VAL_STR) buf_putc(b, '\'');
  if (v.tag == VAL_DATE || v.tag == VAL_DATETIME) buf_putc(b, '@');
  if (v.tag == VAL_TIME) buf_puts(b, "@T");
  buf_put(b, s.u.s, s.len);
  if (v.tag == VAL_DATETIME && val_get_time(v).prec < TM_HOUR) buf_putc(b, 'T');
  if (v.tag == VAL_STR) buf_putc(b, '\'');
  if (v.tag == VAL_LONG) buf_putc(b, 'L');
}
static const char *fp_show(arena *a, val v) {
  buf b;
  buf_init(&b, a, 1 << 20);
  if (val_count(v) == 0) return "{}";
  if (v.tag == VAL_LIST) buf_putc(&b, '[');
  for (uint32_t i = 0; i < val_count(v); i++) {
    if (i) buf_puts(&b, ", ");
    fp_show_item(&b, a, val_item(v, i));
  }
  if (v.tag == VAL_LIST) buf_putc(&b, ']');
  buf_putc(&b, 0);
  assert_int_equal(b.status, HDW_OK);
  return b.p;
}

/* A context for one test; fpt_end checks that nothing leaks. */
typedef struct fpt {
  test_mem tm;
  arena a;
  vm_cx cx;
} fpt;
static void fpt_begin(fpt *t) {
  memset(t, 0, sizeof *t);
  test_mem_init(&t->tm);
  arena_init(&t->a, &t->tm.m, 0);
  t->cx = (vm_cx){.a = &t->a, .fuel = 100000000, .seed = 42, .now_us = 1709210096789000, .zone_min = -300};
}
static void fpt_end(fpt *t) {
  arena_free(&t->a);
  assert_int_equal(t->tm.live_bytes, 0);
}
typedef struct fp_row { const char *expr, *want; } fp_row;
/* want: the value as fp_show writes it, or !NAME of the status. */
__attribute__((unused)) static void fp_check(const fp_row *row, size_t n) {
  unsigned bad = 0;
  for (size_t i = 0; i < n; i++) {
    fpt t;
    val v;
    fpt_begin(&t);
    hdw_status st = fp_expr(&t.cx, row[i].expr, &v);
    const char *got = st ? hdw_status_name(st) : fp_show(&t.a, v), *want = row[i].want;
    if (strcmp(got, *want == '!' ? want + 1 : want) != 0 || (*want == '!') != (st != HDW_OK)) {
      print_error("%s\n   is %s%s, not %s\n", row[i].expr, st ? "!" : "", got, want);
      bad++;
    }
    if (st && t.cx.err.status == HDW_OK && st != HDW_E_FUEL && st != HDW_E_NOMEM) {
      print_error("%s: error without a text\n", row[i].expr);
      bad++;
    }
    fpt_end(&t);
  }
  assert_int_equal(bad, 0);
}
#define FP_CHECK(rows) fp_check((rows), sizeof(rows) / sizeof *(rows))

#endif
