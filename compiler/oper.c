/* oper.c - operators: their types, what is suspicious about them, and their code. */
#include "comp_int.h"
#include <string.h>

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
static void codes_note(comp *c, diag *d, uint16_t set) {
  buf b;
  buf_init(&b, c->a, 4096);
  for (unsigned i = 0; i < fhir_codes_count(set) && b.len < 300; i++) buf_putf(&b, "%s%s", i ? ", " : "", fhir_codes_at(set, i));
  buf_putc(&b, 0);
  if (!b.status) diag_note(c->d, d, "codes: %s%s", b.p, strlen(b.p) >= 300 ? " …" : "");
}

/* W0313: a code of an element that is bound to a set, but not to it alone. */
void code_advised(comp *c, const fhir_element_info *e, const ast *lit, ast_str s, bool always) {
  uint16_t set = e->codes ? e->codes : e->advised;
  if (!set || !s.p || fhir_code_in(set, s.p, s.len) || c->lenient || c->is_eval) return;
  nearest near;
  nearest_init(&near, s.p, s.len);
  fhir_nearest_code(&near, set);
  if (!near.n && !always) return;
  diag *d = err(c, W0313, lit, "'%.*s' is no code of %s, to which FHIR binds %s.%s", (int)s.len, s.p, fhir_codes_url(set), fhir_type_name(e->owner), e->name);
  if (near.n) diag_replace(c->d, d, lit->off, lit->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
  codes_note(c, d, set);
}

void code_of_set(comp *c, ty t, const ast *lit) {
  if (t.kind != TY_STR || lit->kind != AST_STRING) return;
  if (t.sub <= 0 && t.from) { /* of several codings each may have a code of its own; one alone is expected to have the code */
    const fhir_element_info *of = &c->choices[t.from - 1];
    code_advised(c, of, lit, ast_string_value(c->a, c->u->src, lit), of->binding == FHIR_BIND_EXTENSIBLE && of->types[0] != fhir_type("CodeableConcept", 15));
  }
  if (t.sub <= 0) return;
  ast_str s = ast_string_value(c->a, c->u->src, lit);
  uint16_t set = (uint16_t)t.sub;
  if (!s.p || fhir_code_in(set, s.p, s.len)) return;
  nearest near;
  nearest_init(&near, s.p, s.len);
  fhir_nearest_code(&near, set);
  diag *d = err(c, E0234, lit, "'%.*s' is no code of %s", (int)s.len, s.p, fhir_codes_url(set));
  if (near.n) diag_replace(c->d, d, lit->off, lit->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
  codes_note(c, d, set);
}

/* Codes that a membership is asked for: `x in ('a' | 'b')`. */
static void codes_of_set(comp *c, ty t, const ast *n) {
  if (n->kind == AST_STRING) code_of_set(c, t, n);
  if (n->kind != AST_UNION && n->kind != AST_LIST) return;
  for (const ast *x = n->first; x; x = x->next) codes_of_set(c, t, x);
}

/* o.code.coding.code = 'x' is false as soon as there are two codings. */
static void whole_collection(comp *c, ast *n, ast *l, ast *r, ty x, ty y) {
  bool left = x.many && !y.many, right = y.many && !x.many;
  ty many = left ? x : y, one = left ? y : x;
  if ((!left && !right) || ty_is_open(many) || ty_is_open(one) || one.kind == TY_NONE || (many.label & TY_SOFT) || ty_is_hl7(many)) return;
  ast *path = left ? l : r, *value = left ? r : l;
  diag *d = err(c, W0302, n, "'%s' compares the whole collection: %s as soon as there are several", n->kind == AST_EQ ? "=" : "!=", n->kind == AST_EQ ? "false" : "true");
  diag_label(c->d, d, "may hold several values");
  if (n->kind == AST_EQ) diag_replace(c->d, d, n->off, n->end, fmt(c, is_binary(path) ? "%.*s in (%.*s)" : "%.*s in %.*s", STR(node_text(c, value)), STR(node_text(c, path))), "ask whether the value is one of them");
}

static ty comparison(comp *c, ast *n, ast *l, ast *r, ty x, ty y, int rx, int ry) {
  bool order = n->kind == AST_LT || n->kind == AST_GT || n->kind == AST_LE || n->kind == AST_GE;
  if (x.kind == TY_HL7 && y.kind != TY_HL7) hl7_text_as(c, x, rx, (ty_kind)y.kind);
  if (y.kind == TY_HL7 && x.kind != TY_HL7) hl7_text_as(c, y, ry, (ty_kind)x.kind);
  if (x.kind == TY_HL7 && y.kind == TY_HL7) { hl7_text_as(c, x, rx, TY_STR); hl7_text_as(c, y, ry, TY_STR); }
  if (order) { warn_many(c, l, x); warn_many(c, r, y); }
  if (!c->lenient && !comparable(x, y)) {
    diag *d = err(c, order ? E0209 : W0305, n, "%s and %s are never %s", ty_text(c, ty_card(x, 1, false)), ty_text(c, ty_card(y, 1, false)), order ? "ordered" : "equal");
    advise_comparison(c, d, n, l, r, x, y);
  }
  if (n->kind == AST_NE && !ty_is_open(x) && !ty_is_open(y) && (!x.min || !y.min) && !c->is_eval && !c->lenient && !((x.label | y.label) & TY_SOFT && c->f->nscope)) {
    ast *which = !x.min ? l : r;
    diag *d = err(c, W0303, n, "'!=' is empty, not true, when this is missing");
    diag_label(c->d, d, "counts as false in a condition");
    diag_replace(c->d, d, n->off, n->end, fmt(c, "%.*s !~ %.*s", STR(node_text(c, l)), STR(node_text(c, r))), "use '!~': missing counts as different");
    (void)which;
  }
  if (!c->is_eval) {
    code_of_set(c, x, r);
    code_of_set(c, y, l);
    if (n->kind == AST_EQ || n->kind == AST_NE) whole_collection(c, n, l, r, x, y);
  }
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

ty binary(comp *c, ast *n, int dst) {
  ast *l = n->first, *r = l->next;
  int top = c->f->top;
  ty x, y;
  int rx;
  if (!l || !r) { /* the parser had no memory for it */
    c->e.status = HDW_E_NOMEM;
    return ty_one(TY_ERR);
  }
  l->flags |= AST_SCOPE;
  r->flags |= AST_SCOPE;
  if (n->kind == AST_SUB) lint_minus(c, n);
  /* and, or, implies: the right side only where it matters */
  uint32_t skip = MOD_NO_INDEX;
  int facts = c->f->nfacts;
  if (n->kind == AST_AND || n->kind == AST_IMPLIES || n->kind == AST_OR) {
    rx = fresh(c, dst) ? dst : reg_new(c);
    x = ex(c, l, rx);
    skip = emit_jump(&c->e, c->f->fn, n->kind == AST_OR ? OP_JMPT : OP_JMPF, (uint32_t)rx);
    facts_from(c, l, n->kind != AST_OR);
  } else {
    bool chain = fresh(c, dst) && (l->kind == AST_DOT || is_binary(l)); /* a + b + c … needs one register on the left */
    if (chain) x = ex(c, l, dst);
    rx = chain ? dst : operand(c, l, &x);
  }
  int before = c->f->top, ry = operand(c, r, &y);
  c->f->nfacts = facts;
  ty t;
  switch (n->kind) {
    case AST_EQ: case AST_NE: case AST_EQUIV: case AST_NEQUIV: case AST_LT: case AST_GT: case AST_LE: case AST_GE: t = comparison(c, n, l, r, x, y, rx, ry); break;
    case AST_AND: case AST_OR: case AST_XOR: case AST_IMPLIES:
      t = ty_label(ty_make(TY_BOOL, x.min && y.min, false), x.label | y.label);
      break;
    case AST_IN: case AST_CONTAINS:
      if (n->kind == AST_IN) warn_many(c, l, x); else warn_many(c, r, y);
      if (!c->is_eval) codes_of_set(c, n->kind == AST_IN ? x : y, n->kind == AST_IN ? r : l);
      t = ty_label(ty_make(TY_BOOL, n->kind == AST_IN ? x.min : y.min, false), x.label | y.label);
      break;
    case AST_UNION:
      if (x.many) l->flags |= AST_SEVERAL;
      if (y.many) r->flags |= AST_SEVERAL;
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

bool is_binary(const ast *n) { return ops[n->kind] != 0; }
