/* expr.c - expressions: registers, templates, lists, paths, and what each node of the tree becomes. */
#include "comp_int.h"
#include <string.h>

enum { EX_MAX_DEPTH = 900 };

int reg_new(comp *c) { return regs_new(c, 1); }
int regs_new(comp *c, int n) {
  int r = c->f->top;
  if (r + n > VM_MAX_REGS - 8 - c->f->nvars) { /* a window may need a few more */
    if (!c->f->full && c->at) err(c, E0228, c->at, "this needs more than %d registers: give parts of it a name with let, or a function of their own", VM_MAX_REGS - 8);
    if (!c->at) emit_regs(&c->e, c->f->fn, VM_MAX_REGS + 1);
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

/* Characters between two places of one line; -1 when a line ends between them. */
static int32_t columns(const char *src, uint32_t from, uint32_t to) {
  int32_t k = 0;
  for (uint32_t i = from; i < to; i++) {
    if (src[i] == '\n' || src[i] == '\r') return -1;
    if (((uint8_t)src[i] & 0xC0) != 0x80) k++;
  }
  return k;
}

/* Line and column of n for the debug table. What comes next is mostly near to what came last: counting from there keeps long lines cheap. */
void pos(comp *c, const ast *n) {
  bool back = n->off < c->pos_off;
  int32_t k = c->pos_unit == c->u ? columns(c->u->src, back ? n->off : c->pos_off, back ? c->pos_off : n->off) : -1;
  if (k < 0) diag_position(c->d, c->u->file, n->off, false, &c->pos_line, &c->pos_col);
  else c->pos_col = back ? c->pos_col - (uint32_t)k : c->pos_col + (uint32_t)k;
  c->pos_unit = c->u;
  c->pos_off = n->off;
  emit_pos(&c->e, c->f->fn, c->u->file_k, c->pos_line, c->pos_col);
}

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
  *l = (local){node_name(c, name), reg, t, name, false, 0};
  l->debug = emit_local(&c->e, c->f->fn, emit_str(&c->e, l->name.p, l->name.len), (uint32_t)reg);
  return l;
}

void end_locals(comp *c, int n) {
  while (c->f->nlocals > n) {
    const local *l = &c->f->locals[--c->f->nlocals];
    if (l->name.len && l->name.p[0] == '%') c->f->nvars--; /* defineVariable */
    emit_local_end(&c->e, c->f->fn, l->debug);
  }
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
  ast *bare = tn->kind == AST_NAME ? tn : tn->last;
  str short_name = bare && bare->kind == AST_NAME ? node_name(c, bare) : name;
  ty t = type_named(c, short_name, tn, !c->lenient);
  if (t.kind == TY_ERR) t = ty_one(TY_ANY);
  never_is(c, tn, x, t, short_name);
  if (n->kind == AST_IS) return ty_make(TY_BOOL, x.min, false);
  t.why = why_new(c, n, "it is of another type");
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
  bool chain = fresh(c, dst) && (l->kind == AST_DOT || l->kind == AST_SUBSCRIPT); /* a.b.c … in one register */
  if (chain) t = ex(c, l, dst);
  int rx = chain ? dst : ex_any(c, l, &t);
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
    if (l) { *t = fact_apply(c, n, l->t); return l->reg; }
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
      if (t.min || !t.why) t.why = why_new(c, n, "there is no item of that number");
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
      if (is_binary(n)) return binary(c, n, dst);
      err(c, E0201, n, "this is no expression");
      return ty_one(TY_ERR);
  }
}

ty ex(comp *c, ast *n, int dst) {
  if (c->depth > EX_MAX_DEPTH) { err(c, E0228, n, "nested too deeply"); return ty_one(TY_ERR); }
  c->depth++;
  const ast *at = c->at;
  int top = c->f->top, nlocals = c->f->nlocals;
  c->at = n;
  ty t = fact_apply(c, n, ex1(c, n, dst));
  c->f->top = top;
  if (n->flags & AST_SCOPE) end_locals(c, nlocals);
  c->at = at;
  c->depth--;
  return t;
}
