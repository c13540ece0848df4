/* facts.c - what a condition proves: inside `if p.birthDate.exists() { … }` the path p.birthDate has a value. And why a value may be empty.
 *
 * A fact is the text of an expression without its white space. Names are bound once and expressions are pure, so the same text means the same value
 * as long as it stands in the same criterion ($this) and its names are in scope: a fact ends with the block or branch that it was proven for. */
#include "comp_int.h"
#include <string.h>

enum { FACT_TEXT_MAX = 200, FACT_DEPTH = 40 };

/* White space and comments out, strings as they are. false when it is too long to be worth it. */
static bool normal_text(comp *c, const ast *n, char *out, size_t *len) {
  str s = node_text(c, n);
  size_t k = 0;
  char quote = 0;
  for (size_t i = 0; i < s.len; i++) {
    char ch = s.p[i];
    if (!quote && (ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r')) continue;
    if (!quote && ch == '/' && i + 1 < s.len && (s.p[i + 1] == '/' || s.p[i + 1] == '*')) return false;
    if (ch == '\'' || ch == '"' || ch == '`') quote = !quote ? ch : quote == ch ? 0 : quote;
    if (quote && ch == '\\') return false;
    if (k == FACT_TEXT_MAX) return false;
    out[k++] = ch;
  }
  *len = k;
  return k > 0;
}

static int this_reg(const comp *c) { return c->f->nscope ? c->f->scope[c->f->nscope - 1].reg : -1; }

static bool is_path(const ast *n) { return n->kind == AST_DOT || n->kind == AST_NAME || n->kind == AST_SUBSCRIPT || n->kind == AST_VAR || n->kind == AST_THIS; }

static void add(comp *c, const ast *n, uint16_t type) {
  char text[FACT_TEXT_MAX];
  size_t len;
  fnctx *f = c->f;
  if (f->nfacts == MAX_FACTS || !is_path(n) || !normal_text(c, n, text, &len)) return;
  char *copy = arena_dup(c->a, text, len);
  if (copy) f->facts[f->nfacts++] = (fact){.text = {copy, len}, .type = type, .nscope = f->nscope, .nlocals = f->nlocals, .this_reg = this_reg(c), .u = c->u};
}

/* n has a value, and so has everything on the way to it. */
static void has_value(comp *c, const ast *n, uint16_t type) {
  add(c, n, type);
  for (int i = 0; i < FACT_DEPTH && (n->kind == AST_DOT || n->kind == AST_SUBSCRIPT); i++) {
    if (n->kind == AST_DOT && n->last->kind == AST_CALL) {
      str f = node_name(c, n->last->first);
      if (str_is(f, "count") || str_is(f, "empty") || str_is(f, "exists") || str_is(f, "not") || str_is(f, "all")) return; /* give a value for {} */
    }
    n = n->first;
    add(c, n, 0);
  }
}

static ast *method_of(comp *c, const ast *n, const char *name) {
  return n->kind == AST_DOT && n->last->kind == AST_CALL && str_is(node_name(c, n->last->first), name) ? n->last : NULL;
}

static bool is_zero(comp *c, const ast *n) { return n->kind == AST_INT && str_is(node_text(c, n), "0"); }

static uint16_t tested_type(comp *c, ast *n) {
  str name = n->kind == AST_NAME ? node_name(c, n) : n->kind == AST_TYPE_DOT || n->kind == AST_DOT ? node_name(c, n->last) : (str){0};
  return name.p ? fhir_type(name.p, name.len) : 0;
}

static void proven(comp *c, ast *n, bool yes, int depth) {
  ast *l = n->first, *r = l ? l->next : NULL, *m;
  if (depth > FACT_DEPTH || c->is_eval) return;
  switch (n->kind) {
    case AST_AND:
      if (yes) { proven(c, l, true, depth + 1); proven(c, r, true, depth + 1); }
      return;
    case AST_OR:
      if (!yes) { proven(c, l, false, depth + 1); proven(c, r, false, depth + 1); }
      return;
    case AST_EQ: case AST_NE: case AST_LT: case AST_GT: case AST_LE: case AST_GE:
      if (!yes) return; /* false, or empty because something is missing */
      if (r->kind == AST_TRUE && n->kind == AST_EQ) { proven(c, l, true, depth + 1); return; }
      if (r->kind == AST_FALSE && n->kind == AST_EQ && (method_of(c, l, "empty") || method_of(c, l, "exists"))) { proven(c, l, false, depth + 1); return; }
      if ((m = method_of(c, l, "count")) && is_zero(c, r) && n->kind != AST_EQ && n->kind != AST_LT && n->kind != AST_LE && n->kind != AST_GE) { has_value(c, l->first, 0); return; }
      has_value(c, l, 0);
      has_value(c, r, 0);
      return;
    case AST_IN: if (yes) has_value(c, l, 0); return;
    case AST_IS: if (yes) has_value(c, l, tested_type(c, r)); return;
    case AST_DOT:
      if (method_of(c, n, "exists") && yes) has_value(c, l, 0);
      else if (method_of(c, n, "empty") && !yes) has_value(c, l, 0);
      else if (method_of(c, n, "hasValue") && yes) has_value(c, l, 0);
      else if ((m = method_of(c, n, "is")) && yes && ast_child(m, 1)->n == 1) has_value(c, l, tested_type(c, ast_child(m, 1)->first));
      else if (method_of(c, n, "not")) {
        /* not() of {} is {}: what is not true may be empty, so only functions that always answer are turned round */
        if (method_of(c, l, "empty") || method_of(c, l, "exists")) proven(c, l, !yes, depth + 1);
      } else if (yes) has_value(c, n, 0);
      return;
    case AST_NAME: if (yes) has_value(c, n, 0); return;
    default: return;
  }
}

void facts_from(comp *c, ast *cond, bool yes) { proven(c, cond, yes, 0); }

/* What is proven of n makes its type sharper. */
ty fact_apply(comp *c, const ast *n, ty t) {
  fnctx *f = c->f;
  char text[FACT_TEXT_MAX];
  size_t len;
  bool choice = t.kind == TY_ANY && t.ref >= 0;
  if (!f->nfacts || (t.min && !choice) || t.kind == TY_ERR || t.kind == TY_NONE || !is_path(n) || !normal_text(c, n, text, &len)) return t;
  for (int i = f->nfacts - 1; i >= 0; i--) {
    const fact *x = &f->facts[i];
    if (x->text.len != len || x->nscope != f->nscope || x->nlocals > f->nlocals || x->u != c->u || x->this_reg != this_reg(c) || memcmp(x->text.p, text, len) != 0) continue;
    t.min = 1;
    if (!choice || !x->type) continue;
    uint8_t label = t.label;
    bool many = t.many;
    t = ty_label(ty_card(type_named(c, str_of(fhir_type_name(x->type)), NULL, false), 1, many), label);
    choice = false;
  }
  return t;
}

/* ---- why a value may be empty */

uint16_t why_new(comp *c, const ast *n, const char *text) {
  if (c->nwhys == c->cap_whys) {
    if (c->cap_whys >= UINT16_MAX) return 0;
    uint32_t cap = c->cap_whys ? c->cap_whys * 2 : 64;
    if (cap > UINT16_MAX) cap = UINT16_MAX;
    why_row *v = arena_grow(c->a, c->whys, c->cap_whys * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return 0; }
    c->whys = v;
    if (!c->cap_whys) c->nwhys = 1; /* 0 = not known */
    c->cap_whys = cap;
  }
  c->whys[c->nwhys] = (why_row){.n = n, .text = text};
  return (uint16_t)c->nwhys++;
}

void why_say(comp *c, diag *d, ty t) {
  if (!t.why || t.why >= c->nwhys) return;
  const why_row *w = &c->whys[t.why];
  diag_note(c->d, d, "it is empty when %s", w->text);
}
