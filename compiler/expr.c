/* expr.c - expressions: literals, names, operators, templates, and conversions to declared types. */
#include "comp_int.h"
#include <stdio.h>
#include <string.h>

enum { EX_MAX_DEPTH = 900 };

int reg_new(comp *c) { return regs_new(c, 1); }
int regs_new(comp *c, int n) {
  int r = c->f->top;
  if (r + n > VM_MAX_REGS - 8) { /* a window may need a few more */
    if (!c->f->full && c->at) err(c, E0228, c->at, "this needs more than %d registers: give parts of it a name with let, or a function of their own", VM_MAX_REGS - 8);
    c->f->full = true;
    return r < VM_MAX_REGS - 16 ? r : 0;
  }
  c->f->top += n;
  emit_regs(&c->e, c->f->fn, (uint32_t)c->f->top);
  return r;
}

int window_at(comp *c, int dst, int n) {
  if (dst != c->f->top - 1) return regs_new(c, n ? n : 1);
  if (n > 1) regs_new(c, n - 1);
  return dst;
}

void pos(comp *c, const ast *n) {
  uint32_t line, col;
  diag_position(c->d, c->u->file, n->off, false, &line, &col);
  emit_pos(&c->e, c->f->fn, c->u->file_k, line, col);
}

static void op3(comp *c, vm_op op, int a, int b, int cc) { emit_op(&c->e, c->f->fn, op, (uint32_t)a, (uint32_t)b, (uint32_t)cc); }

ty native(comp *c, const char *name, int base, int nargs, ty ret) {
  emit_bx(&c->e, c->f->fn, OP_NATIVE, (uint32_t)base, emit_native(&c->e, name, (uint32_t)nargs));
  return ret;
}

local *find_local(comp *c, str name) {
  for (int i = c->f->nlocals - 1; i >= 0; i--)
    if (str_eq(c->f->locals[i].name, name)) return &c->f->locals[i];
  return NULL;
}

local *add_local(comp *c, ast *name, ty t, int reg) {
  if (c->f->nlocals == MAX_LOCALS) { err(c, E0228, name, "more than %d names in one function", MAX_LOCALS); return &c->f->locals[MAX_LOCALS - 1]; }
  local *l = &c->f->locals[c->f->nlocals++];
  *l = (local){node_name(c, name), reg, t, name};
  return l;
}

/* ---- types of two values joined */

ty join_types(ty a, ty b) {
  if (a.kind == TY_NONE) { ty r = b; r.min = 0; r.label |= a.label; return r; }
  if (b.kind == TY_NONE) { ty r = a; r.min = 0; r.label |= b.label; return r; }
  ty r = a;
  if (a.kind != b.kind || a.ref != b.ref) {
    r = ty_one(TY_ANY);
    if (ty_is_number(a) && ty_is_number(b)) r.kind = a.kind > b.kind ? a.kind : b.kind;
    if ((a.kind == TY_STR && b.kind == TY_HL7) || (a.kind == TY_HL7 && b.kind == TY_STR)) r.kind = TY_STR;
    r.ref = r.sub = -1;
  } else if (a.sub != b.sub) {
    r.sub = -1;
  }
  r.min = a.min && b.min;
  r.many = a.many || b.many;
  r.label = a.label | b.label;
  if (a.kind == TY_HL7 || b.kind == TY_HL7) r.label |= TY_SOFT;
  return r;
}

bool assignable(comp *c, ty from, ty to) {
  (void)c;
  if (ty_is_open(from) || ty_is_open(to) || from.kind == TY_NONE || from.kind == TY_SYSTEM) return true;
  if (from.kind == to.kind) {
    switch ((ty_kind)to.kind) {
      case TY_PAYLOAD: return from.ref == to.ref;
      case TY_FHIR: return fhir_is_a((uint16_t)from.ref, (uint16_t)to.ref) || fhir_is_a((uint16_t)to.ref, (uint16_t)from.ref);
      case TY_HL7_MSG: return from.ref < 0 || to.ref < 0 || from.ref == to.ref;
      case TY_HL7_SEG: return from.ref == to.ref || from.ref < 0;
      default: return true;
    }
  }
  switch ((ty_kind)to.kind) {
    case TY_STR: return from.kind == TY_HL7;
    case TY_LONG: return from.kind == TY_INT || from.kind == TY_HL7;
    case TY_DEC: return from.kind == TY_INT || from.kind == TY_LONG || from.kind == TY_HL7;
    case TY_INT: case TY_BOOL: case TY_DATE: case TY_TIME: return from.kind == TY_HL7;
    case TY_DATETIME: return from.kind == TY_HL7 || from.kind == TY_DATE;
    case TY_BIN: return from.kind == TY_HL7;
    case TY_QTY: return from.kind == TY_FHIR;
    case TY_FHIR: return from.kind == TY_OBJECT || from.kind == TY_QTY;
    case TY_PAYLOAD: return from.kind == TY_OBJECT;
    case TY_OBJECT: return from.kind == TY_PAYLOAD || from.kind == TY_FHIR;
    case TY_HL7: return from.kind == TY_STR || from.kind == TY_INT || from.kind == TY_DEC || ty_is_time(from);
    case TY_HL7_MSG: return false;
    default: return false;
  }
}

/* One payload of kind d from an untyped object in r (a collection: item by item). */
static void record_from_any(comp *c, decl *d, bool many, int r) {
  uint32_t fn = decl_from_any(c, d), me = c->f->fn;
  int top = c->f->top;
  if (!many) {
    uint32_t skip = emit_jump(&c->e, me, OP_JMPE, (uint32_t)r);
    int w = regs_new(c, 1);
    op3(c, OP_MOVE, w, r, 0);
    emit_bx(&c->e, me, OP_CALL, (uint32_t)w, fn);
    op3(c, OP_MOVE, r, w, 0);
    emit_patch(&c->e, me, skip);
  } else {
    int it = regs_new(c, 4), b = reg_new(c), w = reg_new(c);
    op3(c, OP_ITER, it, r, 0);
    op3(c, OP_NEWB, b, 0, 0);
    uint32_t loop = emit_here(&c->e, me), out = emit_jump(&c->e, me, OP_NEXT, (uint32_t)it);
    op3(c, OP_MOVE, w, it + 2, 0);
    emit_bx(&c->e, me, OP_CALL, (uint32_t)w, fn);
    op3(c, OP_PUSH, b, w, 0);
    emit_jump_to(&c->e, me, OP_JMP, 0, loop);
    emit_patch(&c->e, me, out);
    op3(c, OP_BUILD, r, b, 0);
  }
  c->f->top = top;
}

void coerce(comp *c, const ast *n, ty from, ty to, int r, const char *what) {
  if (to.kind == TY_ERR || from.kind == TY_ERR) return;
  if (!assignable(c, from, to)) {
    diag *d = err(c, E0209, n, "%s is %s, but this gives %s", what, ty_text(c, to), ty_text(c, from));
    bool plain = ty_is_number(from) || ty_is_time(from) || from.kind == TY_BOOL || from.kind == TY_QTY;
    if (to.kind == TY_STR && plain) fix_append(c, d, n, ".toString()", "convert it: .toString()");
    else if (from.kind == TY_STR && ty_is_time(to)) fix_append(c, d, n, to.kind == TY_DATE ? ".toDate()" : to.kind == TY_TIME ? ".toTime()" : ".toDateTime()", "convert it");
    else if (from.kind == TY_STR && ty_is_number(to)) fix_append(c, d, n, to.kind == TY_INT ? ".toInteger()" : to.kind == TY_LONG ? ".toLong()" : ".toDecimal()", "convert it");
    return;
  }
  /* A comparison that is unknown counts as false where a boolean is required, as it does in a condition. A value read from data does not. */
  if (to.kind == TY_BOOL && to.min && !from.min && !from.many && ((n->kind >= AST_LT && n->kind <= AST_IMPLIES) || n->kind == AST_IS)) {
    int top = c->f->top, yes = reg_new(c);
    emit_op(&c->e, c->f->fn, OP_LOADB, (uint32_t)yes, 1, 0);
    op3(c, OP_EQV, r, r, yes);
    c->f->top = top;
    return;
  }
  bool known = !ty_is_open(from);
  if (!to.many && n->kind == AST_UNION) { not_union(c, n, what); return; }
  if (known && to.min && !from.min && !ty_is_hl7(from) && !(from.label & TY_SOFT)) {
    diag *d = err(c, W0301, n, "%s needs a value, but this may be empty", what);
    diag_note(c->d, d, "an empty value stops the run with a data fault; give a fallback with coalesce(…, …), or declare the type as optional");
  }
  if (known && !to.many && from.many && !ty_is_hl7(from) && to.kind != TY_ANY) {
    diag *d = err(c, W0302, n, "%s takes one value, but this may give several", what);
    fix_append(c, d, n, ".first()", "take the first");
  }
  if (to.kind == TY_PAYLOAD && from.kind != TY_PAYLOAD) {
    decl *d = &c->decls[to.ref];
    if (!d->params) record_from_any(c, d, to.many || from.many, r);
  }
  bool need = to.kind != TY_ANY && (from.kind != to.kind || (to.kind == TY_FHIR && from.ref != to.ref));
  if (to.kind == TY_PAYLOAD || to.kind == TY_OBJECT) need = false;
  if (to.min > from.min || (from.many && !to.many) || (from.kind == TY_ANY && to.kind != TY_ANY) || (from.kind == TY_ANY && to.min)) need = true;
  if (!need) return;
  str src = node_text(c, n);
  mod_check k = {.what = emit_cstr(&c->e, what), .source = emit_str(&c->e, src.p, src.len > 80 ? 80 : src.len), .type = emit_cstr(&c->e, type_check_name(c, to)),
                 .min = to.min, .max = to.many ? MOD_MANY : to.kind == TY_ANY && !known ? MOD_MANY : 1};
  emit_ext(&c->e, c->f->fn, OP_CHECK, (uint32_t)r, 0, 0, emit_check(&c->e, k));
}

/* The union keeps both values in no order (SEMANTICS 8): a place for one value wants coalesce. */
void not_union(comp *c, const ast *n, const char *where) {
  const ast *last = n->kind == AST_DOT ? n->last : n;
  if (last->kind == AST_CALL && !c->lenient) { /* neither have children and descendants an order */
    str f = node_name(c, last->first);
    if (str_is(f, "children") || str_is(f, "descendants")) err(c, E0213, n, "%s depends on an order, but %.*s() has none", where, STR(f));
  }
  if (n->kind != AST_UNION || c->is_eval) return;
  diag *d = err(c, E0213, n, "%s takes one value, but '|' keeps both, in no order", where);
  fix_coalesce(c, d, n);
}

/* ---- literals */

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

static ty literal(comp *c, ast *n, val *v) {
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

enum { LET_DEPTH = 50 }; /* of constants that name constants; a circle is reported where it is compiled */

/* Constants of declarations: literals, lists and objects of literals, [file constants]. */
val const_of(comp *c, ast *n, bool *ok) {
  val v = VAL_NONE;
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

/* ---- templates */

/* Literal, hole, literal ... into a window, then TPL. Where the position escapes (sp) it stays a template, else it becomes text. */
ty ex_template(comp *c, ast *n, special sp, int dst) {
  int top = c->f->top;
  int base = window_at(c, dst, 1), count = 0;
  uint8_t label = 0;
  bool want_text = true;
  uint32_t empty = emit_cstr(&c->e, "");
  for (ast *x = n->first; x; x = x->next) {
    bool text = x->kind == AST_TPL_TEXT;
    if (text != want_text) { /* two holes side by side: an empty literal between */
      int r = count == 0 ? base : reg_new(c);
      emit_loadk(&c->e, c->f->fn, (uint32_t)r, empty);
      count++;
      want_text = !want_text;
    }
    int r = count == 0 ? base : reg_new(c);
    if (text) {
      ast_str s = ast_string_value(c->a, c->u->src, x);
      emit_loadk(&c->e, c->f->fn, (uint32_t)r, emit_str(&c->e, s.p ? s.p : "", s.len));
    } else {
      ty t = ex(c, x, r);
      if (t.kind == TY_SECRET || (t.label & TY_SECRET_LABEL)) err(c, E0217, x, "a secret cannot become part of a text");
      if (t.kind == TY_HL7 && sp != SP_NONE) t = hl7_text_as(c, t, r, TY_STR); /* the consumer knows no HL7 nodes */
      label |= t.label;
    }
    count++;
    want_text = !want_text;
  }
  if (count % 2 == 0) {
    int r = count == 0 ? base : reg_new(c);
    emit_loadk(&c->e, c->f->fn, (uint32_t)r, empty);
    count++;
  }
  if (count > 199) err(c, E0228, n, "a template has at most 99 holes");
  op3(c, OP_TPL, base, base, count & 255);
  if (sp == SP_NONE) op3(c, OP_TEXT, base, base, 0);
  op3(c, OP_MOVE, dst, base, 0);
  c->f->top = top;
  return ty_label(ty_one(TY_STR), label);
}

/* ---- names */

static ty unknown_name(comp *c, ast *n, str name) {
  if (c->u->missing) return ty_one(TY_ERR); /* it may be declared in a file that was not found */
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (int i = 0; i < c->f->nlocals; i++) nearest_offer(&near, c->f->locals[i].name.p, c->f->locals[i].name.len);
  for (uint32_t i = 0; i < c->ndecls; i++)
    if (c->decls[i].kind != D_TEST) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
  diag *d = err(c, E0201, n, "there is no '%.*s' here", STR(name));
  suggest(c, d, n, &near);
  return ty_one(TY_ERR);
}

static ty decl_value(comp *c, ast *n, decl *d, int dst) {
  uint32_t fn = c->f->fn;
  switch ((decl_kind)d->kind) {
    case D_LET: {
      ty t = decl_result(c, d);
      bool ok = true;
      unit *u = c->u;
      c->u = d->u;
      val v = const_of(c, ast_child(d->node, 2), &ok);
      c->u = u;
      if (ok && v.tag != VAL_LIST) { emit_loadk(&c->e, fn, (uint32_t)dst, emit_val(&c->e, v)); return t; }
      int top = c->f->top, w = reg_new(c);
      emit_bx(&c->e, fn, OP_CALL, (uint32_t)w, decl_fn(c, d));
      op3(c, OP_MOVE, dst, w, 0);
      c->f->top = top;
      return t;
    }
    case D_SETTING: {
      decl_params(c, d);
      int top = c->f->top, w = reg_new(c);
      emit_loadk(&c->e, fn, (uint32_t)w, emit_str(&c->e, d->name.p, d->name.len));
      native(c, "setting", w, 1, d->t);
      op3(c, OP_MOVE, dst, w, 0);
      c->f->top = top;
      return ty_card(d->t, 1, false);
    }
    case D_TABLE: {
      unit *u = c->u;
      c->u = d->u;
      table_load(c, d);
      c->u = u;
      if (!d->rows.len) { op3(c, OP_EMPTY, dst, 0, 0); return d->t; }
      if (d->rows_k == MOD_NO_INDEX) d->rows_k = emit_val(&c->e, d->rows.len == 1 ? d->rows.u.v[0] : d->rows); /* a collection of one is the item itself */
      emit_loadk(&c->e, fn, (uint32_t)dst, d->rows_k);
      return d->t;
    }
    case D_ENTITY: case D_PROFILE:
      op3(c, OP_EMPTY, dst, 0, 0);
      return ty_card(ty_one(TY_ANY), 0, true);
    case D_SENDER: {
      emit_loadk(&c->e, fn, (uint32_t)dst, emit_str(&c->e, d->name.p, d->name.len));
      return ty_one(TY_STR);
    }
    case D_CONNECTION: case D_LISTENER: case D_WORKFLOW: {
      op3(c, OP_EMPTY, dst, 0, 0);
      ty t = ty_one(TY_DECL);
      t.ref = (int32_t)(d - c->decls);
      return t;
    }
    default: {
      const char *what = d->kind == D_PAYLOAD ? "payload" : d->kind == D_MAP ? "map" : d->kind == D_ACTION ? "action" : "function";
      diag *g = err(c, E0209, n, "'%.*s' is a %s: call it", STR(d->name), what);
      diag_replace(c->d, g, n->end, n->end, "()", "call it");
      return ty_one(TY_ERR);
    }
  }
}

/* Ambient names: run (id, trace, attempt), error in a handler; in a test ack (a message), answer ({status, body} of HTTP) and result. */
static ty ambient(comp *c, ast *n, str name, int dst, bool *found) {
  *found = true;
  if (c->f->error_reg >= 0 && str_is(name, "error")) {
    op3(c, OP_MOVE, dst, c->f->error_reg, 0);
    return ty_opt(TY_ANY);
  }
  if (str_is(name, "run") && (c->f->effects || c->f->in_workflow)) {
    int top = c->f->top, w = reg_new(c);
    native(c, "run", w, 0, ty_one(TY_ANY));
    op3(c, OP_MOVE, dst, w, 0);
    c->f->top = top;
    return ty_one(TY_ANY);
  }
  if (c->f->in_test && (str_is(name, "ack") || str_is(name, "result") || str_is(name, "answer"))) {
    int top = c->f->top, w = reg_new(c);
    bool is_ack = str_is(name, "ack");
    test_effect(c, fmt(c, "test.%.*s", STR(name)), w, 0, dst);
    c->f->top = top;
    (void)n;
    return is_ack ? ty_opt(TY_HL7_MSG) : ty_card(ty_one(TY_ANY), 0, false);
  }
  *found = false;
  return ty_one(TY_ERR);
}

/* A bare name: in a criterion a member of $this; else a local, a declaration, an ambient name; at the root of an evaluated expression its member. */
static ty name_value(comp *c, ast *n, int dst) {
  fnctx *f = c->f;
  str name = node_name(c, n);
  if (f->nscope > (f->root_scope ? 1 : 0)) {
    this_scope *s = &f->scope[f->nscope - 1];
    return member(c, s->t, s->reg, n, dst, n);
  }
  local *l = find_local(c, name);
  if (l) {
    if (l->reg != dst) op3(c, OP_MOVE, dst, l->reg, 0);
    return l->t;
  }
  decl *d = find_decl(c, name);
  if (d) return decl_value(c, n, d, dst);
  bool found;
  ty t = ambient(c, n, name, dst, &found);
  if (found) return t;
  if (f->root_scope) {
    this_scope *s = &f->scope[0];
    /* a leading type name means the context itself when it is of that type */
    if (name.len && name.p[0] >= 'A' && name.p[0] <= 'Z' && (fhir_resource(name.p, name.len) || (fhir_type(name.p, name.len) && c->model == COMP_FHIR) ||
        (c->model == COMP_FHIR && (str_is(name, "Resource") || str_is(name, "DomainResource"))))) {
      int top = f->top, w = regs_new(c, 2);
      op3(c, OP_MOVE, w, s->reg, 0);
      emit_loadk(&c->e, f->fn, (uint32_t)w + 1, emit_str(&c->e, name.p, name.len));
      native(c, c->model == COMP_JSON ? "json.root" : "ofType", w, 2, s->t);
      op3(c, OP_MOVE, dst, w, 0);
      f->top = top;
      ty r = s->t;
      uint16_t id = fhir_type(name.p, name.len);
      if (c->model == COMP_FHIR && id) { r = ty_opt(TY_FHIR); r.ref = id; }
      return r;
    }
    return member(c, s->t, s->reg, n, dst, n);
  }
  return unknown_name(c, n, name);
}

/* %name: the variable outside of a criterion; %context, %resource, %rootResource: the root; %ucum ...: URLs. */
static ty var_value(comp *c, ast *n, int dst) {
  str name = n->first->kind == AST_STRING ? (str){0} : node_name(c, n->first);
  if (n->first->kind == AST_STRING) {
    ast_str s = ast_string_value(c->a, c->u->src, n->first);
    name = (str){s.p, s.len};
  }
  local *l = find_local(c, name);
  if (l) {
    op3(c, OP_MOVE, dst, l->reg, 0);
    return l->t;
  }
  if (c->f->nscope && (str_is(name, "context") || str_is(name, "resource") || str_is(name, "rootResource")) && c->f->root_scope) {
    op3(c, OP_MOVE, dst, c->f->scope[0].reg, 0);
    return c->f->scope[0].t;
  }
  static const struct { const char *name, *url; } urls[] = {{"ucum", "http://unitsofmeasure.org"}, {"sct", "http://snomed.info/sct"}, {"loinc", "http://loinc.org"}};
  for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
    if (str_is(name, urls[i].name)) {
      emit_loadk(&c->e, c->f->fn, (uint32_t)dst, emit_cstr(&c->e, urls[i].url));
      return ty_one(TY_STR);
    }
  if (name.len > 3 && memcmp(name.p, "vs-", 3) == 0) {
    emit_loadk(&c->e, c->f->fn, (uint32_t)dst, emit_cstr(&c->e, fmt(c, "http://hl7.org/fhir/ValueSet/%.*s", (int)name.len - 3, name.p + 3)));
    return ty_one(TY_STR);
  }
  if (name.len > 4 && memcmp(name.p, "ext-", 4) == 0) {
    emit_loadk(&c->e, c->f->fn, (uint32_t)dst, emit_cstr(&c->e, fmt(c, "http://hl7.org/fhir/StructureDefinition/%.*s", (int)name.len - 4, name.p + 4)));
    return ty_one(TY_STR);
  }
  decl *d = find_decl(c, name);
  if (d) return decl_value(c, n, d, dst);
  return unknown_name(c, n, name);
}

/* ---- operators */

static const uint8_t ops[AST_KIND_COUNT] = {
    [AST_MUL] = OP_MUL, [AST_DIVIDE] = OP_DIV, [AST_DIV] = OP_IDIV, [AST_MOD] = OP_MOD, [AST_ADD] = OP_ADD, [AST_SUB] = OP_SUB, [AST_CONCAT] = OP_CONCAT,
    [AST_UNION] = OP_UNION, [AST_LT] = OP_LT, [AST_GT] = OP_GT, [AST_LE] = OP_LE, [AST_GE] = OP_GE, [AST_EQ] = OP_EQ, [AST_EQUIV] = OP_EQV, [AST_NE] = OP_NE,
    [AST_NEQUIV] = OP_NEQV, [AST_IN] = OP_IN, [AST_CONTAINS] = OP_HAS, [AST_AND] = OP_AND, [AST_OR] = OP_OR, [AST_XOR] = OP_XOR, [AST_IMPLIES] = OP_IMPLIES};

static ty arith_type(comp *c, ast *n, ty x, ty y) {
  uint8_t label = x.label | y.label;
  if (ty_is_open(x) || ty_is_open(y) || ty_is_hl7(x) || ty_is_hl7(y) || x.kind == TY_NONE || y.kind == TY_NONE) {
    ty t = n->kind == AST_CONCAT ? ty_one(TY_STR) : ty_opt(TY_ANY);
    if (n->kind == AST_DIVIDE) t = ty_opt(TY_DEC);
    return ty_label(t, label);
  }
  int min = x.min && y.min;
  if (n->kind == AST_CONCAT) return ty_label(ty_one(TY_STR), label);
  if (ty_is_number(x) && ty_is_number(y)) {
    ty_kind k = x.kind > y.kind ? x.kind : y.kind;
    if (n->kind == AST_DIVIDE) k = TY_DEC;
    if (n->kind == AST_DIVIDE || n->kind == AST_DIV || n->kind == AST_MOD) {
      ast *right = ast_child(n, 1);
      if (right->kind != AST_INT && right->kind != AST_DEC) min = 0; /* division by zero is empty */
    }
    if (n->kind == AST_DIV && k == TY_DEC) k = TY_INT;
    return ty_label(ty_make(k, min, false), label);
  }
  if (n->kind == AST_ADD && x.kind == TY_STR && y.kind == TY_STR) return ty_label(ty_make(TY_STR, min, false), label);
  if ((n->kind == AST_ADD || n->kind == AST_SUB) && ty_is_time(x) && (y.kind == TY_QTY || y.kind == TY_FHIR)) return ty_label(ty_make((ty_kind)x.kind, min, false), label);
  if (n->kind == AST_SUB && ty_is_time(x) && ty_is_time(y)) { not_yet(c, n, "the difference of two dates"); return ty_label(ty_opt(TY_ANY), label); }
  if (x.kind == TY_QTY || y.kind == TY_QTY || x.kind == TY_FHIR || y.kind == TY_FHIR) return ty_label(ty_opt(TY_QTY), label);
  str s = node_text(c, n);
  (void)s;
  diag *d = err(c, E0209, n, "%s and %s cannot be combined by '%s'", ty_text(c, ty_card(x, 1, false)), ty_text(c, ty_card(y, 1, false)), ast_kind_name(n->kind));
  if (n->kind == AST_ADD && (x.kind == TY_STR || y.kind == TY_STR)) diag_note(c->d, d, "'&' joins texts, {} counting as ''; a template \"… {x}\" reads better still");
  return ty_one(TY_ERR);
}

/* OBX-5 and its like may repeat by the standard and hardly ever do: no warning. */
bool hardly_many(ty t) {
  return (t.label & TY_SOFT) && (t.kind == TY_HL7 ? t.ref >= 0 && dict_datatype_kind(t.ref) == DICT_VARIES : t.sub == TY_SUB_VARIES);
}

static void warn_many(comp *c, ast *n, ty t) {
  if (t.many && !ty_is_open(t) && !hardly_many(t)) {
    diag *d = err(c, W0302, n, "this may give several values, where the operator takes one");
    fix_append(c, d, n, ".first()", "take the first");
  }
}

/* Kinds that can be compared or equal at all. */
static bool comparable(ty x, ty y) {
  if (ty_is_open(x) || ty_is_open(y) || x.kind == TY_NONE || y.kind == TY_NONE || x.kind == TY_SYSTEM || y.kind == TY_SYSTEM) return true;
  if (x.kind == y.kind) return true;
  if (ty_is_number(x) && ty_is_number(y)) return true;
  if ((x.kind == TY_DATE || x.kind == TY_DATETIME) && (y.kind == TY_DATE || y.kind == TY_DATETIME)) return true;
  if (ty_is_hl7(x) || ty_is_hl7(y)) return true;
  if ((x.kind == TY_QTY && (y.kind == TY_FHIR || ty_is_number(y))) || (y.kind == TY_QTY && (x.kind == TY_FHIR || ty_is_number(x)))) return true;
  if ((x.kind == TY_OBJECT || x.kind == TY_PAYLOAD || x.kind == TY_FHIR) && (y.kind == TY_OBJECT || y.kind == TY_PAYLOAD || y.kind == TY_FHIR)) return true;
  return false;
}

/* A literal that meets an element of a fixed set of codes must be one of them. */
void code_of_set(comp *c, ty t, const ast *lit) {
  if (t.kind != TY_STR || t.sub <= 0 || lit->kind != AST_STRING) return;
  ast_str s = ast_string_value(c->a, c->u->src, lit);
  uint16_t set = (uint16_t)t.sub;
  if (!s.p || fhir_code_in(set, s.p, s.len)) return;
  nearest near;
  nearest_init(&near, s.p, s.len);
  fhir_nearest_code(&near, set);
  diag *d = err(c, E0234, lit, "'%.*s' is no code of %s", (int)s.len, s.p, fhir_codes_url(set));
  if (near.n) diag_replace(c->d, d, lit->off, lit->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
  buf b;
  buf_init(&b, c->a, 4096);
  for (unsigned i = 0; i < fhir_codes_count(set) && b.len < 300; i++) buf_putf(&b, "%s%s", i ? ", " : "", fhir_codes_at(set, i));
  buf_putc(&b, 0);
  if (!b.status) diag_note(c->d, d, "codes: %s%s", b.p, strlen(b.p) >= 300 ? " …" : "");
}

static ty comparison(comp *c, ast *n, ast *l, ast *r, ty x, ty y, int rx, int ry) {
  bool order = n->kind == AST_LT || n->kind == AST_GT || n->kind == AST_LE || n->kind == AST_GE;
  if (x.kind == TY_HL7 && y.kind != TY_HL7) hl7_text_as(c, x, rx, (ty_kind)y.kind);
  if (y.kind == TY_HL7 && x.kind != TY_HL7) hl7_text_as(c, y, ry, (ty_kind)x.kind);
  if (x.kind == TY_HL7 && y.kind == TY_HL7) { hl7_text_as(c, x, rx, TY_STR); hl7_text_as(c, y, ry, TY_STR); }
  if (order) { warn_many(c, l, x); warn_many(c, r, y); }
  if (!c->lenient && !comparable(x, y)) {
    diag *d = err(c, order ? E0209 : W0305, n, "%s and %s are never %s", ty_text(c, ty_card(x, 1, false)), ty_text(c, ty_card(y, 1, false)), order ? "ordered" : "equal");
    (void)d;
  }
  if (n->kind == AST_NE && !ty_is_open(x) && !ty_is_open(y) && (!x.min || !y.min) && c->f->nscope == 0 && !c->lenient) {
    ast *which = !x.min ? l : r;
    diag *d = err(c, W0303, n, "'!=' is empty, not true, when this is missing");
    diag_label(c->d, d, "counts as false in a condition");
    diag_replace(c->d, d, n->off, n->end, fmt(c, "%.*s !~ %.*s", STR(node_text(c, l)), STR(node_text(c, r))), "use '!~': missing counts as different");
    (void)which;
  }
  if (!c->is_eval) { code_of_set(c, x, r); code_of_set(c, y, l); }
  int min = n->kind == AST_EQUIV || n->kind == AST_NEQUIV ? 1 : x.min && y.min;
  return ty_label(ty_make(TY_BOOL, min, false), x.label | y.label);
}

/* An operand: in the register where it is, when that is a name's and the instruction may read it there; else in a new one. HL7 values are converted
 * in place, so they are copied. */
static int operand(comp *c, ast *n, ty *t) {
  if (n->kind == AST_NAME || n->kind == AST_THIS || n->kind == AST_TOTAL || n->kind == AST_INDEX) {
    int top = c->f->top, r = ex_any(c, n, t);
    if (r >= top || !ty_is_hl7(*t)) return r;
    int copy = reg_new(c);
    op3(c, OP_MOVE, copy, r, 0);
    return copy;
  }
  int r = reg_new(c);
  *t = ex(c, n, r);
  return r;
}

/* The sign of an operation that begins a line: byte offset, UINT32_MAX when it does not. */
static uint32_t leading_sign(comp *c, const ast *l, const ast *r, char sign) {
  const char *s = c->u->src;
  bool line = false;
  for (uint32_t i = l->end; i < r->off; i++) {
    if (s[i] == '/' && i + 1 < r->off && (s[i + 1] == '/' || s[i + 1] == '*')) return UINT32_MAX;
    if (s[i] == '\n' || s[i] == '\r') line = true;
    else if (s[i] == sign) return line ? i : UINT32_MAX;
  }
  return UINT32_MAX;
}

static void lint_minus(comp *c, ast *n) {
  ast *l = n->first, *r = l->next;
  uint32_t at = leading_sign(c, l, r, '-');
  if (at == UINT32_MAX || c->is_eval) return;
  diag *d = diag_add(c->d, W0304, c->u->file, at, at + 1, "this line goes on with the expression above: it subtracts");
  diag_note(c->d, d, "no line end ends an expression");
  if (l->flags & AST_PARENS) return;
  diag_fix *x = diag_fix_begin(c->d, d, "write '-' at the end of the line above");
  if (!x) return;
  diag_fix_edit(c->d, x, c->u->file, l->end, l->end, " -");
  diag_fix_edit(c->d, x, c->u->file, at, at + 1, "");
}

static ty binary(comp *c, ast *n, int dst) {
  ast *l = n->first, *r = l->next;
  int top = c->f->top;
  ty x, y;
  int rx;
  if (n->kind == AST_SUB) lint_minus(c, n);
  /* and, or, implies: the right side only where it matters */
  uint32_t skip = MOD_NO_INDEX;
  if (n->kind == AST_AND || n->kind == AST_IMPLIES || n->kind == AST_OR) {
    rx = reg_new(c);
    x = ex(c, l, rx);
    skip = emit_jump(&c->e, c->f->fn, n->kind == AST_OR ? OP_JMPT : OP_JMPF, (uint32_t)rx);
  } else {
    rx = operand(c, l, &x);
  }
  int before = c->f->top, ry = operand(c, r, &y);
  ty t;
  switch (n->kind) {
    case AST_EQ: case AST_NE: case AST_EQUIV: case AST_NEQUIV: case AST_LT: case AST_GT: case AST_LE: case AST_GE: t = comparison(c, n, l, r, x, y, rx, ry); break;
    case AST_AND: case AST_OR: case AST_XOR: case AST_IMPLIES:
      t = ty_label(ty_make(TY_BOOL, x.min && y.min, false), x.label | y.label);
      break;
    case AST_IN: case AST_CONTAINS:
      if (n->kind == AST_IN) warn_many(c, l, x); else warn_many(c, r, y);
      t = ty_label(ty_make(TY_BOOL, n->kind == AST_IN ? x.min : y.min, false), x.label | y.label);
      break;
    case AST_UNION:
      t = join_types(x, y);
      t.many = x.kind != TY_NONE && y.kind != TY_NONE ? true : t.many;
      t.min = x.min || y.min;
      break;
    default:
      warn_many(c, l, x);
      warn_many(c, r, y);
      t = arith_type(c, n, x, y);
      break;
  }
  emit_binary(&c->e, c->f->fn, (vm_op)ops[n->kind], (uint32_t)dst, (uint32_t)rx, (uint32_t)ry, ry >= before);
  if (skip != MOD_NO_INDEX) {
    uint32_t over = emit_jump(&c->e, c->f->fn, OP_JMP, 0);
    emit_patch(&c->e, c->f->fn, skip);
    emit_op(&c->e, c->f->fn, OP_LOADB, (uint32_t)dst, n->kind == AST_AND ? 0 : 1, 0);
    emit_patch(&c->e, c->f->fn, over);
  }
  c->f->top = top;
  return t;
}

static ty list_literal(comp *c, ast *n, int dst) {
  int top = c->f->top;
  ty t = ty_one(TY_NONE);
  if (n->n > 40) { /* many items: a builder */
    int b = reg_new(c), r = reg_new(c);
    op3(c, OP_NEWB, b, 0, 0);
    for (ast *x = n->first; x; x = x->next) { ty y = ex(c, x, r); t = x == n->first ? y : join_types(t, y); op3(c, OP_PUSH, b, r, 0); }
    op3(c, OP_BUILD, dst, b, 0);
  } else {
    int base = regs_new(c, n->n ? (int)n->n : 1), i = 0;
    for (ast *x = n->first; x; x = x->next, i++) { ty y = ex(c, x, base + i); t = x == n->first ? y : join_types(t, y); }
    op3(c, OP_LIST, dst, base, (int)n->n);
  }
  c->f->top = top;
  return n->n ? ty_card(t, t.min, true) : ty_one(TY_NONE);
}

static ty type_test(comp *c, ast *n, int dst) {
  int top = c->f->top, w = regs_new(c, 2);
  ast *tn = ast_child(n, 1);
  ty x = ex(c, n->first, w);
  str name = node_text(c, tn);
  if (tn->kind == AST_NAME) name = node_name(c, tn);
  emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, emit_str(&c->e, name.p, name.len));
  native(c, n->kind == AST_IS ? "is" : "as", w, 2, x);
  op3(c, OP_MOVE, dst, w, 0);
  c->f->top = top;
  if (n->kind == AST_IS) return ty_make(TY_BOOL, x.min, false);
  ty t = tn->kind == AST_NAME ? type_named(c, name, tn, !c->lenient) : ty_one(TY_ANY);
  return ty_label(ty_card(t, 0, x.many), x.label);
}

void cond(comp *c, ast *n, int dst) {
  ty t = ex(c, n, dst);
  if (t.many && !ty_is_open(t) && t.kind != TY_BOOL) {
    diag *d = err(c, W0302, n, "a condition takes one value, this may give several");
    fix_append(c, d, n, ".exists()", "ask whether there is one");
  } else if (!ty_is_open(t) && t.kind != TY_BOOL && t.kind != TY_NONE && t.kind != TY_HL7 && !c->lenient) {
    diag *d = err(c, c->is_eval ? E0209 : W0305, n, "this is %s, not a boolean%s", ty_text(c, t), c->is_eval ? "" : ": any value counts as true");
    fix_append(c, d, n, ".exists()", "ask whether there is one");
  }
}

static ty dot(comp *c, ast *n, int dst) {
  ast *l = n->first, *r = l->next;
  int top = c->f->top;
  if (r->kind == AST_CALL) return call(c, r, l, dst);
  ty t;
  if (r->kind == AST_NAME && l->kind == AST_NAME && c->f->nscope <= (c->f->root_scope ? 1 : 0) && !find_local(c, node_name(c, l))) {
    /* `Namespace.Type` of the FHIRPath suites */
    str ns = node_name(c, l);
    if ((str_is(ns, "FHIR") || str_is(ns, "System")) && c->is_eval) { emit_loadk(&c->e, c->f->fn, (uint32_t)dst, emit_str(&c->e, ns.p, ns.len)); return ty_one(TY_TYPE); }
  }
  int rx = ex_any(c, l, &t);
  ty out;
  switch (r->kind) {
    case AST_NAME: out = member(c, t, rx, r, dst, n); break;
    case AST_HL7: out = hl7_path_on(c, t, rx, r, dst); break;
    case AST_COMPONENT: out = component_on(c, t, rx, r, dst); break;
    case AST_THIS: op3(c, OP_MOVE, dst, rx, 0); out = t; break;
    default: err(c, E0201, r, "this cannot stand behind a dot"); out = ty_one(TY_ERR); break;
  }
  c->f->top = top;
  return out;
}

int ex_any(comp *c, ast *n, ty *t) {
  if (n->kind == AST_NAME && c->f->nscope <= (c->f->root_scope ? 1 : 0)) {
    local *l = find_local(c, node_name(c, n));
    if (l) { *t = l->t; return l->reg; }
  }
  if (n->kind == AST_THIS && c->f->nscope) { this_scope *s = &c->f->scope[c->f->nscope - 1]; *t = s->t; return s->reg; }
  if (n->kind == AST_TOTAL || n->kind == AST_INDEX) {
    for (int i = c->f->nscope - 1; i >= 0; i--) {
      this_scope *s = &c->f->scope[i];
      if (n->kind == AST_TOTAL && s->total >= 0) { *t = s->total_t; return s->total; }
      if (n->kind == AST_INDEX && s->index >= 0) { *t = ty_one(TY_INT); return s->index; }
    }
  }
  int r = reg_new(c);
  *t = ex(c, n, r);
  return r;
}

/* PID-3 is a path even where a value is called PID. */
static void shape_of_segment(comp *c, ast *n) {
  str seg = {c->u->src + n->off, 3};
  local *l = find_local(c, seg);
  decl *d = l ? NULL : find_decl(c, seg);
  if ((!l && !d) || (d && d->kind != D_LET && d->kind != D_SETTING) || c->is_eval) return;
  diag *g = err(c, W0306, n, "this reads a field of HL7, it does not subtract from '%.*s'", STR(seg));
  diag_note(c->d, g, "with blanks around '-' it is a subtraction; better, give the value another name");
}

static ty ex1(comp *c, ast *n, int dst) {
  fnctx *f = c->f;
  switch (n->kind) {
    case AST_STRING: case AST_TRUE: case AST_FALSE: case AST_INT: case AST_LONG: case AST_DEC: case AST_DATE: case AST_DATETIME: case AST_TIME: case AST_QUANTITY: {
      val v;
      ty t = literal(c, n, &v);
      if (v.tag == VAL_INT && v.u.i >= INT16_MIN && v.u.i <= INT16_MAX) emit_bx(&c->e, f->fn, OP_LOADI, (uint32_t)dst, (uint32_t)(uint16_t)v.u.i);
      else emit_loadk(&c->e, f->fn, (uint32_t)dst, emit_val(&c->e, v));
      return t;
    }
    case AST_EMPTY: op3(c, OP_EMPTY, dst, 0, 0); return ty_make(TY_NONE, 0, false);
    case AST_NAME: return name_value(c, n, dst);
    case AST_VAR: return var_value(c, n, dst);
    case AST_HL7: {
      shape_of_segment(c, n);
      if (f->nscope > (f->root_scope ? 1 : 0) && (ty_is_hl7(f->scope[f->nscope - 1].t) || ty_is_open(f->scope[f->nscope - 1].t)))
        return hl7_path_on(c, f->scope[f->nscope - 1].t, f->scope[f->nscope - 1].reg, n, dst);
      if (f->msg < 0) {
        diag *d = err(c, E0204, n, "there is no HL7 message here that '%.*s' could be read from", STR(node_text(c, n)));
        diag_note(c->d, d, "a bare path means the message of the trigger, the segment of a criterion, or the first message parameter");
        return ty_one(TY_ERR);
      }
      return hl7_path_on(c, f->msg_t, f->msg, n, dst);
    }
    case AST_THIS: case AST_INDEX: case AST_TOTAL: {
      if (!f->nscope) { err(c, E0201, n, "'%.*s' has a meaning only inside where(…), select(…) and the like", STR(node_text(c, n))); return ty_one(TY_ERR); }
      for (int i = f->nscope - 1; i >= 0; i--) {
        this_scope *s = &f->scope[i];
        int r = n->kind == AST_THIS ? s->reg : n->kind == AST_INDEX ? s->index : s->total;
        if (r < 0) continue;
        op3(c, OP_MOVE, dst, r, 0);
        return n->kind == AST_THIS ? s->t : n->kind == AST_INDEX ? ty_one(TY_INT) : s->total_t;
      }
      err(c, E0201, n, "there is no '%.*s' here", STR(node_text(c, n)));
      return ty_one(TY_ERR);
    }
    case AST_DOT: return dot(c, n, dst);
    case AST_CALL: return call(c, n, NULL, dst);
    case AST_SUBSCRIPT: {
      int top = f->top;
      not_union(c, n->first, "an index");
      ty t, i;
      int r = ex_any(c, n->first, &t);
      int k = reg_new(c);
      i = ex(c, ast_child(n, 1), k);
      if (!ty_is_open(i) && i.kind != TY_INT && i.kind != TY_LONG && i.kind != TY_NONE) err(c, E0209, ast_child(n, 1), "an index is an integer, counted from 0");
      op3(c, OP_INDEX, dst, r, k);
      f->top = top;
      return ty_card(t, 0, false);
    }
    case AST_OBJ: return object_literal(c, n, dst);
    case AST_LIST: return list_literal(c, n, dst);
    case AST_TEMPLATE: return ex_template(c, n, SP_NONE, dst);
    case AST_POS: return ex(c, n->first, dst);
    case AST_NEG: {
      int top = f->top;
      ty t;
      int r = ex_any(c, n->first, &t);
      op3(c, OP_NEG, dst, r, 0);
      f->top = top;
      if (!ty_is_open(t) && !ty_is_number(t) && t.kind != TY_QTY && t.kind != TY_NONE && t.kind != TY_HL7) err(c, E0209, n, "'-' needs a number, this is %s", ty_text(c, t));
      return t;
    }
    case AST_IS: case AST_AS: return type_test(c, n, dst);
    case AST_ERROR: return ty_one(TY_ERR);
    default:
      if (ops[n->kind]) return binary(c, n, dst);
      err(c, E0201, n, "this is no expression");
      return ty_one(TY_ERR);
  }
}

ty ex(comp *c, ast *n, int dst) {
  if (c->depth > EX_MAX_DEPTH) { err(c, E0228, n, "nested too deeply"); return ty_one(TY_ERR); }
  c->depth++;
  const ast *at = c->at;
  int top = c->f->top;
  c->at = n;
  ty t = ex1(c, n, dst);
  c->f->top = top;
  c->at = at;
  c->depth--;
  return t;
}
