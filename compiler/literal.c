/* literal.c - literals and the constants of declarations. */
#include "comp_int.h"
#include <string.h>

static ty number_literal(comp *c, ast *n, val *v) {
  str s = node_text(c, n);
  if (n->kind == AST_DEC) {
    dec d;
    if (dec_parse(s.p, s.len, &d) || val_from_dec(c->a, &d, v)) { err(c, E0227, n, "this decimal has more digits than 38"); *v = VAL_NONE; return ty_one(TY_ERR); }
    return ty_one(TY_DEC);
  }
  bool is_long = n->kind == AST_LONG;
  if (is_long) s.len--;
  uint64_t x = 0;
  bool over = false;
  for (size_t i = 0; i < s.len; i++) over |= __builtin_mul_overflow(x, 10u, &x) || __builtin_add_overflow(x, (uint64_t)(s.p[i] - '0'), &x);
  if (over || x > (is_long ? (uint64_t)INT64_MAX : UINT64_C(2147483647))) {
    diag *d = err(c, E0227, n, "this number does not fit %s", is_long ? "64 bits" : "an Integer");
    if (!is_long && !over) diag_replace(c->d, d, n->end, n->end, "L", "make it a Long");
    *v = VAL_NONE;
    return ty_one(TY_ERR);
  }
  *v = is_long ? val_long((int64_t)x) : val_int((int64_t)x);
  return ty_one(is_long ? TY_LONG : TY_INT);
}

static ty time_literal(comp *c, ast *n, val *v) {
  str s = node_text(c, n);
  tm_val t;
  hdw_status st;
  val_tag tag;
  ty_kind k;
  s.p++;
  s.len--;
  if (n->kind == AST_DATE) { st = tm_parse_date(s.p, s.len, &t); tag = VAL_DATE; k = TY_DATE; }
  else if (n->kind == AST_TIME) { st = tm_parse_time(s.p + 1, s.len - 1, &t); tag = VAL_TIME; k = TY_TIME; }
  else {
    if (s.len && s.p[s.len - 1] == 'T') s.len--;
    st = tm_parse_datetime(s.p, s.len, &t);
    tag = VAL_DATETIME;
    k = TY_DATETIME;
  }
  if (st) { err(c, E0227, n, "there is no such %s", n->kind == AST_TIME ? "time" : "date"); *v = VAL_NONE; return ty_one(TY_ERR); }
  *v = val_from_time(tag, &t);
  return ty_one(k);
}

static const char *const units[] = {"year", "month", "week", "day", "hour", "minute", "second", "millisecond"};

static ty quantity_literal(comp *c, ast *n, val *v) {
  val num;
  number_literal(c, n->first, &num);
  ast *u = ast_child(n, 1);
  dec d = num.tag == VAL_EMPTY ? dec_from_i64(0) : val_get_dec(num);
  if (u->kind == AST_UNIT) {
    str s = node_text(c, u);
    if (s.len && s.p[s.len - 1] == 's') s.len--;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
      if (str_is(s, units[i]) && val_from_qty(c->a, &d, units[i], strlen(units[i]), true, v)) c->e.status = HDW_E_NOMEM;
  } else {
    ast_str s = ast_string_value(c->a, c->u->src, u);
    if (val_from_qty(c->a, &d, s.p, s.len, false, v)) c->e.status = HDW_E_NOMEM;
  }
  return ty_one(TY_QTY);
}

ty literal(comp *c, ast *n, val *v) {
  switch (n->kind) {
    case AST_STRING: {
      ast_str s = ast_string_value(c->a, c->u->src, n);
      *v = val_str(s.p ? s.p : "", s.len);
      return ty_one(TY_STR);
    }
    case AST_TRUE: *v = val_bool(true); return ty_one(TY_BOOL);
    case AST_FALSE: *v = val_bool(false); return ty_one(TY_BOOL);
    case AST_INT: case AST_LONG: case AST_DEC: return number_literal(c, n, v);
    case AST_DATE: case AST_DATETIME: case AST_TIME: return time_literal(c, n, v);
    case AST_QUANTITY: return quantity_literal(c, n, v);
    default: *v = VAL_NONE; return ty_one(TY_NONE);
  }
}

enum { CONST_WORK = 4000000 };
enum { LET_DEPTH = 50 }; /* of constants that name constants; a circle is reported where it is compiled */

/* Constants of declarations: literals, lists and objects of literals, [file constants]. */
bool const_budget(comp *c, const ast *n) {
  if (c->const_work > CONST_WORK) return false;
  if (++c->const_work <= CONST_WORK) return true;
  err(c, E0228, n, "the constants of this program have more than %d parts", CONST_WORK);
  return false;
}

val const_of(comp *c, ast *n, bool *ok) {
  val v = VAL_NONE;
  if (!const_budget(c, n)) { *ok = false; return v; }
  switch (n->kind) {
    case AST_STRING: case AST_TRUE: case AST_FALSE: case AST_INT: case AST_LONG: case AST_DEC: case AST_DATE: case AST_DATETIME: case AST_TIME: case AST_QUANTITY:
      literal(c, n, &v);
      return v;
    case AST_EMPTY: return v;
    case AST_NEG: {
      v = const_of(c, n->first, ok);
      if (v.tag == VAL_INT || v.tag == VAL_LONG) { v.u.i = -v.u.i; return v; }
      break;
    }
    case AST_LIST: {
      val *items = arena_alloc(c->a, (n->n + 1) * sizeof *items);
      uint32_t k = 0;
      if (!items) break;
      for (ast *x = n->first; x; x = x->next) items[k++] = const_of(c, x, ok);
      return (val){.tag = VAL_LIST, .flags = VALF_ARRAY, .len = k, .u.v = items};
    }
    case AST_NAME: {
      decl *d = find_decl(c, node_name(c, n));
      if (!d || d->kind != D_LET || c->let_depth > LET_DEPTH) break;
      unit *u = c->u;
      c->u = d->u;
      c->let_depth++;
      v = const_of(c, ast_child(d->node, 2), ok);
      c->let_depth--;
      c->u = u;
      return v;
    }
    default: break;
  }
  *ok = false;
  return v;
}
