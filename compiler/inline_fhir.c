/* inline_fhir.c - what is more than a loop over items: variables of an expression, references that are resolved where they stand, and what the model
 * says of an element. Called by inline_call. */
#include "comp_int.h"
#include <string.h>

enum { VARS_MAX = 32, VARS_TOP = VM_MAX_REGS - 9 };

static ast *arg(ast *call_node, uint32_t i) {
  ast *x = ast_child(ast_child(call_node, 1), i);
  return x && x->kind == AST_NAMED ? ast_child(x, 1) : x;
}

/* ---- defineVariable: a value under a name that begins with '%', so that no bare name means it; in a register that nothing else is given. It is seen by what
 * follows in its chain and inside of the arguments there, and ends with the argument or operand in which it was defined (ex). */

static int var_register(comp *c) {
  int r = VARS_TOP - c->f->nvars;
  if (c->f->nvars == VARS_MAX || r <= c->f->top) return -1;
  c->f->nvars++;
  emit_regs(&c->e, c->f->fn, VARS_TOP + 1);
  return r;
}

ty define_variable(comp *c, ast *call_node, ast *recv, int dst) {
  ty t = ty_make(TY_NONE, 0, false), v;
  ast *name = arg(call_node, 0), *value = arg(call_node, 1);
  if (recv) t = ex(c, recv, dst);
  else if (c->f->nscope) { this_scope *s = &c->f->scope[c->f->nscope - 1]; op3(c, OP_MOVE, dst, s->reg, 0); t = s->t; }
  else op3(c, OP_EMPTY, dst, 0, 0);
  if (name->kind != AST_STRING) { err(c, E0208, name, "the name of a variable is a string: defineVariable('x', …)"); return ty_one(TY_ERR); }
  ast_str s = ast_string_value(c->a, c->u->src, name);
  str key = str_of(fmt(c, "%%%.*s", (int)s.len, s.p ? s.p : ""));
  static const char *const taken[] = {"%context", "%resource", "%rootResource", "%ucum", "%sct", "%loinc"};
  bool again = find_local(c, key) != NULL;
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) again |= str_is(key, taken[i]);
  if (again) { err(c, E0210, name, "there is a variable %.*s already", STR(key)); return ty_one(TY_ERR); }
  int r = var_register(c);
  if (r < 0) { err(c, E0228, name, "at most %d variables in an expression", VARS_MAX); return ty_one(TY_ERR); }
  if (value) {
    bool scoped = c->f->nscope < MAX_THIS;
    if (scoped) c->f->scope[c->f->nscope++] = (this_scope){.reg = dst, .index = -1, .total = -1, .origin = dst, .t = t};
    v = ex(c, value, r);
    if (scoped) c->f->nscope--;
  } else {
    op3(c, OP_MOVE, r, dst, 0);
    v = t;
  }
  if (c->f->nlocals == MAX_LOCALS) { err(c, E0228, name, "more than %d names in one function", MAX_LOCALS); return ty_one(TY_ERR); }
  local *l = &c->f->locals[c->f->nlocals++];
  *l = (local){.name = key, .reg = r, .t = v, .at = name};
  l->debug = emit_local(&c->e, c->f->fn, emit_str(&c->e, key.p, key.len), (uint32_t)r);
  return t;
}

/* ---- resolve(): inside the resource or Bundle that the path begins with */

/* Register of the value that a path begins with, or -1. */
int origin_of(comp *c, const ast *n) {
  fnctx *f = c->f;
  int outer = f->nscope ? f->scope[f->nscope - 1].origin : -1;
  while (n && (n->kind == AST_DOT || n->kind == AST_SUBSCRIPT || n->kind == AST_AS || n->kind == AST_UNION)) n = n->first;
  if (!n) return outer;
  if (n->kind == AST_NAME && f->nscope <= (f->root_scope ? 1 : 0)) {
    local *l = find_local(c, node_name(c, n));
    if (l) return l->reg;
  }
  if (n->kind == AST_VAR && n->first && n->first->kind == AST_NAME) {
    local *l = find_local(c, node_name(c, n->first));
    if (l) return l->reg;
    return f->root_scope ? f->scope[0].reg : -1;
  }
  return outer;
}

/* What a reference refers to: one of its element's targets. */
static ty resolved(comp *c, ty t) {
  if (c->lenient) return ty_one(TY_ANY);
  const fhir_element_info *e = t.kind == TY_FHIR && t.from ? &c->choices[t.from - 1] : NULL;
  ty out = ty_one(TY_ANY);
  if (!e || !e->n_targets || fhir_type_abstract(e->targets[0])) {
    out = resource_any(c);
  } else if (e->n_targets == 1) {
    out.kind = TY_FHIR;
    out.ref = e->targets[0];
  } else {
    fhir_element_info one = {.name = fmt(c, "%s.resolve()", e->name), .owner = e->owner, .choice = true, .types = e->targets, .n_types = e->n_targets};
    out.ref = choice_add(c, &one);
  }
  out.why = why_new(c, c->at, "what is referred to is not there");
  return out;
}

ty resolve_call(comp *c, ast *recv, int dst) {
  ty t = ty_make(TY_NONE, 0, false);
  int w = regs_new(c, 2), root = origin_of(c, recv);
  if (recv) t = ex(c, recv, w);
  else if (c->f->nscope) { this_scope *s = &c->f->scope[c->f->nscope - 1]; op3(c, OP_MOVE, w, s->reg, 0); t = s->t; }
  else op3(c, OP_EMPTY, w, 0, 0);
  bool fits = ty_is_open(t) || t.kind == TY_STR || t.kind == TY_NONE || t.kind == TY_PAYLOAD || t.kind == TY_OBJECT ||
              (t.kind == TY_FHIR && fhir_is_a((uint16_t)t.ref, fhir_type("Reference", 9)));
  if (!fits && !c->lenient) { err(c, E0209, recv, "'resolve' works on references and on their texts, this is %s", ty_text(c, t)); return ty_one(TY_ERR); }
  if (root >= 0) op3(c, OP_MOVE, w + 1, root, 0); else op3(c, OP_EMPTY, w + 1, 0, 0);
  bool many = t.many || (t.kind == TY_ANY && t.ref < 0);
  ty out = ty_label(ty_card(resolved(c, t), 0, many), t.label);
  native(c, "resolve", w, 2, out);
  if (out.kind == TY_FHIR && !c->lenient) { /* what refers to something else does not become it */
    emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, emit_cstr(&c->e, fmt(c, "FHIR.%s", fhir_type_name((uint16_t)out.ref))));
    native(c, "ofType", w, 2, out);
  }
  op3(c, OP_MOVE, dst, w, 0);
  return out;
}

/* ---- elementDefinition(): of the element that the path names */

ty element_definition(comp *c, ast *call_node, ast *recv, int dst) {
  int w = regs_new(c, 3);
  ty t = ty_one(TY_NONE);
  str name = {0};
  if (recv && recv->kind == AST_DOT && recv->last->kind == AST_NAME) {
    ty owner = ex(c, recv->first, w); /* for its type */
    if (owner.kind == TY_FHIR) { t = owner; name = node_name(c, recv->last); }
  } else if (recv && recv->kind == AST_NAME && c->f->nscope) {
    t = c->f->scope[c->f->nscope - 1].t;
    name = node_name(c, recv);
  }
  fhir_element_info e;
  if (t.kind != TY_FHIR || !fhir_element((uint16_t)t.ref, name.p, name.len, &e)) {
    diag *d = err(c, E0209, call_node->first, "which element this is, is not known here");
    diag_note(c->d, d, "elementDefinition() stands behind the name of an element of a FHIR type: Patient.name.elementDefinition()");
    return ty_one(TY_ERR);
  }
  ty got = ex(c, recv, w);
  emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, emit_cstr(&c->e, fhir_type_name((uint16_t)t.ref)));
  emit_loadk(&c->e, c->f->fn, (uint32_t)w + 2, emit_str(&c->e, name.p, name.len));
  ty out = ty_make(TY_FHIR, got.min, got.many);
  out.ref = fhir_type("ElementDefinition", 17);
  native(c, "elementDefinition", w, 3, out);
  op3(c, OP_MOVE, dst, w, 0);
  return out;
}
