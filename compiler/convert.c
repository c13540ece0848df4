/* convert.c - types of values that come together, and conversions to declared types with their checks. */
#include "comp_int.h"
#include <string.h>

ty join_types(ty a, ty b) {
  if (a.kind == TY_NONE) { ty r = b; r.min = 0; r.label |= a.label; return r; }
  if (b.kind == TY_NONE) { ty r = a; r.min = 0; r.label |= b.label; return r; }
  ty r = a;
  if (!r.why || a.min) r.why = b.why;
  if (a.kind != b.kind || a.ref != b.ref) {
    uint16_t why = r.why;
    r = ty_one(TY_ANY);
    r.why = why;
    if (ty_is_number(a) && ty_is_number(b)) r.kind = a.kind > b.kind ? a.kind : b.kind;
    if ((a.kind == TY_STR && b.kind == TY_HL7) || (a.kind == TY_HL7 && b.kind == TY_STR)) r.kind = TY_STR;
    r.ref = r.sub = -1;
    if (r.kind == TY_STR) r.sub = TY_SUB_MIXED;
  } else if (a.sub != b.sub) {
    r.sub = a.kind == TY_STR && (a.sub == TY_SUB_MIXED || b.sub == TY_SUB_MIXED) ? TY_SUB_MIXED : -1;
  }
  if (a.from != b.from) r.from = 0;
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
      case TY_HL7_GROUP: return from.ref == to.ref;
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

/* An object whose members are known must have those of the FHIR type it becomes. */
static void shape_fits(comp *c, const ast *n, const shape *s, uint16_t type) {
  fhir_element_info e;
  for (uint32_t i = 0; i < s->n; i++) {
    str name = s->names[i];
    if (str_is(name, "resourceType") || (name.len && name.p[0] == '_') || fhir_element(type, name.p, name.len, &e) || fhir_choice_of(type, name.p, name.len, &e)) continue;
    err(c, E0203, n, "this object has a member '%.*s', which %s does not have", STR(name), fhir_type_name(type));
  }
}

/* A choice element where one type is wanted: which one it is must be said, for another one is a data fault. */
static void choice_fits(comp *c, const ast *n, ty from, ty to, const char *what) {
  if (from.kind != TY_ANY || from.ref < 0 || to.kind == TY_ANY || c->lenient || c->is_eval) return;
  const fhir_element_info *e = &c->choices[from.ref];
  if (fhir_type_kind(e->types[0]) == FHIR_RESOURCE) return; /* its resourceType is checked */
  const char *first = NULL;
  bool other = false;
  for (uint16_t i = 0; i < e->n_types; i++) {
    const char *name = fhir_type_name(e->types[i]);
    ty t = type_named(c, str_of(name), n, false);
    bool same = t.kind == to.kind && (t.kind != TY_FHIR || t.ref == to.ref);
    same |= to.kind == TY_QTY && strcmp(name, "Quantity") == 0;
    if (same && !first) first = name; else if (!same) other = true;
  }
  if (first && !other) return;
  diag *d = err(c, W0312, n, first ? "%s is %s, but %s.%s may also be of another type" : "%s is %s, which %s.%s never is", what, ty_text(c, ty_card(to, 1, false)), fhir_type_name(e->owner), e->name);
  if (first) fix_append(c, d, n, fmt(c, ".ofType(%s)", first), "take it when it is of that type");
  diag_note(c->d, d, "a value of another type stops the run with a data fault");
}

void coerce(comp *c, const ast *n, ty from, ty to, int r, const char *what) {
  if (to.kind == TY_ERR || from.kind == TY_ERR) return;
  if (!assignable(c, from, to)) {
    diag *d = err(c, E0209, n, "%s is %s, but this gives %s", what, ty_text(c, to), ty_text(c, from));
    bool plain = ty_is_number(from) || ty_is_time(from) || from.kind == TY_BOOL || from.kind == TY_QTY;
    if (to.kind == TY_STR && plain) fix_append(c, d, n, ".toString()", "convert it: .toString()");
    else if (from.kind == TY_STR && ty_is_time(to)) fix_append(c, d, n, to.kind == TY_DATE ? ".toDate()" : to.kind == TY_TIME ? ".toTime()" : ".toDateTime()", "convert it");
    else if (to.kind == TY_FHIR) advise_conversion(c, d, n, from, to);
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
  if (to.kind == TY_FHIR && from.kind == TY_OBJECT && from.ref >= 0) shape_fits(c, n, &c->shapes[from.ref], (uint16_t)to.ref);
  if (!to.many && to.kind != TY_ANY && n->kind == AST_LIST && n->n > 1) { err(c, E0209, n, "%s takes one value, this list has %u", what, n->n); return; }
  choice_fits(c, n, from, to, what);
  bool known = !ty_is_open(from) || (from.kind == TY_ANY && from.ref >= 0 && !c->lenient);
  if (!to.many && n->kind == AST_UNION) { not_union(c, n, what); return; }
  if (known && to.min && !from.min && !ty_is_hl7(from) && !(from.label & TY_SOFT)) {
    diag *d = err(c, W0301, n, "%s needs a value, but this may be empty", what);
    why_say(c, d, from);
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
  if (to.kind == TY_STR && from.kind == TY_STR && from.sub == TY_SUB_MIXED) need = true;
  if (to.min > from.min || (from.many && !to.many) || (from.kind == TY_ANY && to.kind != TY_ANY) || (from.kind == TY_ANY && to.min)) need = true;
  if (!need) { profile_check(c, to, from, r, n); return; }
  str src = node_text(c, n);
  mod_check k = {.what = emit_cstr(&c->e, what), .source = emit_str(&c->e, src.p, src.len > 80 ? 80 : src.len), .type = emit_cstr(&c->e, type_check_name(c, to)),
                 .min = to.min, .max = to.many ? MOD_MANY : to.kind == TY_ANY && !known ? MOD_MANY : 1};
  emit_ext(&c->e, c->f->fn, OP_CHECK, (uint32_t)r, 0, 0, emit_check(&c->e, k));
  profile_check(c, to, from, r, n);
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
