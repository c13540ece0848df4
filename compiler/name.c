/* name.c - what a bare name or %name means: a local value, a declaration, something ambient, a member of $this. */
#include "comp_int.h"
#include <string.h>

static ty unknown_name(comp *c, ast *n, str name) {
  if (c->u->missing) return ty_one(TY_ERR); /* it may be declared in a file that was not found */
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (int i = 0; i < c->f->nlocals; i++) nearest_offer(&near, c->f->locals[i].name.p, c->f->locals[i].name.len);
  for (uint32_t i = 0; i < c->ndecls; i++)
    if (c->decls[i].kind != D_TEST && decl_seen(c, &c->decls[i])) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
  if (c->view) view_nearest(c, &near);
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
    case D_PROFILE: /* its url */
      profile_load(c, d);
      if (!d->profile || d->profile->url.tag != VAL_STR) { op3(c, OP_EMPTY, dst, 0, 0); return ty_opt(TY_STR); }
      emit_loadk(&c->e, fn, (uint32_t)dst, emit_val(&c->e, d->profile->url));
      return ty_one(TY_STR);
    case D_ENTITY:
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

/* Ambient names: run (id, trace, attempt), error in a handler; what a test looks at (testblock.c). */
static ty ambient(comp *c, str name, int dst, bool *found) {
  *found = true;
  if (c->f->error_reg >= 0 && str_is(name, "error")) {
    op3(c, OP_MOVE, dst, c->f->error_reg, 0);
    return ty_opt(TY_ANY);
  }
  ty t;
  if (c->f->in_test && test_name(c, name, dst, &t)) return t;
  if (str_is(name, "run") && (c->f->effects || c->f->in_workflow)) {
    int top = c->f->top, w = reg_new(c);
    native(c, "run", w, 0, ty_one(TY_ANY));
    op3(c, OP_MOVE, dst, w, 0);
    c->f->top = top;
    return ty_one(TY_ANY);
  }
  *found = false;
  return ty_one(TY_ERR);
}

static void other_branch(comp *c, ast *n, const local *l) {
  if (!l->hidden) return;
  diag *d = err(c, E0201, n, "'%.*s' is bound by another branch of this parallel block, which may not have ended", STR(l->name));
  diag_also(c->d, d, c->u->file, l->at->off, l->at->end, "here");
  diag_note(c->d, d, "behind the block it is there; what needs it here stands in that branch: a step that depends on another comes after it");
}

/* A bare name: in a criterion a member of $this; else a local, a declaration, an ambient name; at the root of an evaluated expression its member. */
ty name_value(comp *c, ast *n, int dst) {
  fnctx *f = c->f;
  str name = node_name(c, n);
  if (f->nscope > (f->root_scope ? 1 : 0)) {
    this_scope *s = &f->scope[f->nscope - 1];
    return member(c, s->t, s->reg, n, dst, n);
  }
  local *l = find_local(c, name);
  if (l) {
    other_branch(c, n, l);
    if (l->reg != dst) op3(c, OP_MOVE, dst, l->reg, 0);
    return l->t;
  }
  decl *d = find_decl(c, name);
  if (d) return decl_value(c, n, d, dst);
  bool found;
  ty t = ambient(c, name, dst, &found);
  if (found) return t;
  if (f->root_scope) {
    this_scope *s = &f->scope[0];
    /* a leading type name means the context itself when it is of that type */
    if (name.len && name.p[0] >= 'A' && name.p[0] <= 'Z' && (fhir_resource(name.p, name.len) || (fhir_type(name.p, name.len) && c->model == COMP_FHIR) ||
        (c->model == COMP_FHIR && (str_is(name, "Resource") || str_is(name, "DomainResource"))))) {
      if (s->t.kind == TY_FHIR && s->t.ref == fhir_type(name.p, name.len)) { op3(c, OP_MOVE, dst, s->reg, 0); return s->t; } /* known to be one */
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
ty var_value(comp *c, ast *n, int dst) {
  str name = n->first->kind == AST_STRING ? (str){0} : node_name(c, n->first);
  if (n->first->kind == AST_STRING) {
    ast_str s = ast_string_value(c->a, c->u->src, n->first);
    name = (str){s.p, s.len};
  }
  ty of_view;
  if (c->view && view_variable(c, name, dst, &of_view)) return of_view;
  local *l = find_local(c, str_of(fmt(c, "%%%.*s", STR(name)))); /* defineVariable */
  if (!l) l = find_local(c, name);
  if (l) {
    other_branch(c, n, l);
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
