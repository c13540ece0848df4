/* decl.c - declarations: collected over all units first, then resolved and compiled on demand, so that their order does not matter. */
#include "comp_int.h"
#include <string.h>

/* ---- collecting */

static decl *add_decl(comp *c, decl_kind k, ast *node, ast *name_node) {
  if (c->ndecls == c->cap_decls) {
    uint32_t cap = c->cap_decls ? c->cap_decls * 2 : 64;
    decl *v = arena_grow(c->a, c->decls, c->cap_decls * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return NULL; }
    c->decls = v;
    c->cap_decls = cap;
  }
  str name = node_name(c, name_node);
  if (k != D_TEST) {
    decl *old = find_decl(c, name);
    if (old) {
      diag *d = err(c, E0210, name_node, "'%.*s' is declared twice", STR(name));
      diag_also(c->d, d, old->u->file, old->node->first->off, old->node->first->end, "first here");
    }
  }
  decl *d = &c->decls[c->ndecls++];
  memset(d, 0, sizeof *d);
  d->kind = (uint8_t)k;
  d->u = c->u;
  d->node = node;
  d->name = name;
  d->fn = d->fn2 = d->rows_k = d->base = d->stands_for = MOD_NO_INDEX;
  d->t = ty_one(TY_ERR);
  if (k != D_TEST) decl_named(c, d);
  return d;
}

/* repeats: [PID-18] of a sender. */
static void collect_repeats(comp *c, const ast *pair) {
  const ast *l = ast_child(pair, 1);
  if (pair->kind != AST_PAIR || !ast_name_is(c->u->src, pair->first, "repeats") || l->kind != AST_LIST) return;
  for (const ast *x = l->first; x; x = x->next) {
    if (x->kind != AST_HL7) continue;
    if (c->nrepeats == c->cap_repeats) {
      uint32_t cap = c->cap_repeats ? c->cap_repeats * 2 : 8;
      str *v = arena_grow(c->a, c->repeats, c->cap_repeats * sizeof *v, cap * sizeof *v);
      if (!v) { c->e.status = HDW_E_NOMEM; return; }
      c->repeats = v;
      c->cap_repeats = cap;
    }
    c->repeats[c->nrepeats++] = node_text(c, x);
  }
}

void decl_collect(comp *c, unit *u) {
  static const uint8_t kinds[AST_KIND_COUNT] = {
      [AST_CONNECTION] = D_CONNECTION + 1, [AST_LISTENER] = D_LISTENER + 1, [AST_PROFILE] = D_PROFILE + 1, [AST_TABLE] = D_TABLE + 1,
      [AST_SETTING] = D_SETTING + 1, [AST_LET] = D_LET + 1, [AST_PAYLOAD] = D_PAYLOAD + 1, [AST_SEGMENT] = D_SEGMENT + 1, [AST_ENTITY] = D_ENTITY + 1,
      [AST_SENDER] = D_SENDER + 1, [AST_MAP] = D_MAP + 1, [AST_FN] = D_FN + 1, [AST_ACTION] = D_ACTION + 1, [AST_WORKFLOW] = D_WORKFLOW + 1, [AST_TEST] = D_TEST + 1};
  if (!u->parse.root) return;
  c->u = u;
  for (ast *n = u->parse.root->first; n; n = n->next) {
    if (n->kind == AST_ERROR || n->kind == AST_USE || !kinds[n->kind] || !n->first) continue;
    decl *d = add_decl(c, (decl_kind)(kinds[n->kind] - 1), n, n->first);
    if (!d) return;
    if (n->kind == AST_SENDER)
      for (ast *x = ast_child(n, 1)->first; x; x = x->next) {
        if (x->kind == AST_SEGMENT) add_decl(c, D_SEGMENT, x, x->first);
        else collect_repeats(c, x);
      }
  }
}

/* ---- functions */

static fnctx *begin_at(comp *c, decl *d, uint32_t fn, uint32_t params) {
  fnctx *f = c->spare; /* contexts are used again: thousands of functions need few */
  if (f) { c->spare = f->outer; memset(f, 0, sizeof *f); }
  else f = arena_zalloc(c->a, 1, sizeof *f);
  if (!f) { c->e.status = HDW_E_NOMEM; return NULL; }
  f->fn = fn;
  f->top = (int)params;
  f->msg = f->error_reg = f->yield_builder = f->version = -1;
  f->owner = d;
  f->ret = ty_one(TY_ERR);
  f->outer = c->f;
  c->f = f;
  return f;
}

static fnctx *begin(comp *c, decl *d, const char *name, uint32_t params) {
  return begin_at(c, d, emit_func_new(&c->e, name, strlen(name), params), params);
}

static void end(comp *c) {
  fnctx *f = c->f;
  c->f = f->outer;
  f->outer = c->spare;
  c->spare = f;
}

static void params_to_locals(comp *c, decl *d) {
  for (uint32_t i = 0; i < d->npar; i++) {
    ty t = d->par[i].t;
    t.label = TY_PARAM;
    if (!t.min) t.why = why_new(c, d->par[i].node, fmt(c, "'%.*s' is", STR(d->par[i].name)));
    if (d->kind != D_FN && d->kind != D_MAP && (ty_is_hl7(t) || t.kind == TY_FHIR || t.kind == TY_PAYLOAD)) t.label |= TY_PHI;
    add_local(c, d->par[i].node->first, t, (int)i);
    if (c->f->msg < 0 && (t.kind == TY_HL7_MSG || t.kind == TY_HL7_SEG) && !t.many) { c->f->msg = (int)i; c->f->msg_t = t; }
  }
}

static const char *result_of(comp *c, decl *d) { return fmt(c, d->kind == D_LET ? "'%.*s'" : "the result of '%.*s'", STR(d->name)); }
static const char *qualified(comp *c, decl *d, str fieldname) { return fmt(c, "%.*s.%.*s", STR(d->name), STR(fieldname)); }

/* Whether the declared type of a field can be an element of that type and number. */
static void field_fits(comp *c, const field *x, const fhir_slot_info *s, uint16_t type) {
  if (x->t.kind == TY_ERR || s->choice) return;
  bool fits = assignable(c, x->t, s->want) && (!x->t.many || s->want.many) && (s->want.min <= x->t.min);
  if (fits) return;
  diag *d = err(c, E0209, x->type, "%s.%s is %s, the field is declared as %s", fhir_type_name(type), s->e.name, ty_text(c, s->want), ty_text(c, x->t));
  if (assignable(c, x->t, s->want)) diag_replace(c->d, d, x->type->off, x->type->end, ty_text(c, ty_card(x->t, s->want.min, s->want.many)), "as FHIR has it");
}

/* payload … as fhir.T: fields are elements; the object is a resource of that type. */
static void fhir_body(comp *c, decl *d) {
  fnctx *f = c->f;
  uint16_t type = d->as_fhir;
  uint32_t n = d->nfields > 150 ? 150 : d->nfields, k = 0, ngiven = 0, index = (uint32_t)(d - c->decls);
  mod_key *keys = arena_alloc(c->a, (n + 1) * sizeof *keys);
  fhir_slot_info *given = arena_zalloc(c->a, n + 1, sizeof *given);
  if (!keys || !given) { c->e.status = HDW_E_NOMEM; return; }
  int base = regs_new(c, (int)n + 1);
  if (fhir_type_kind(type) == FHIR_RESOURCE) {
    keys[k] = (mod_key){emit_cstr(&c->e, "resourceType"), 0};
    emit_loadk(&c->e, f->fn, (uint32_t)base, emit_cstr(&c->e, fhir_type_name(type)));
    k++;
  }
  for (uint32_t i = 0; i < n; i++) {
    field *x = &c->decls[index].fields[i];
    fhir_slot_info *s = &given[ngiven];
    if (!x->expr) { err(c, E0214, x->node, "field '%.*s' of %.*s says no value", STR(x->name), STR(d->name)); continue; }
    if (!fhir_target(c, type, x->node->first, s)) continue;
    ngiven++;
    field_fits(c, x, s, type);
    ty want = x->t;
    if (want.kind == TY_STR) want.sub = s->want.sub;
    int r = base + (int)k;
    pos(c, x->expr);
    ty t = ex_as(c, x->expr, want, r);
    code_of_set(c, want, x->expr);
    coerce(c, x->expr, t, want, r, qualified(c, &c->decls[index], x->name));
    if (s->choice) {
      ty of = want;
      of.many = false;
      s->json = fhir_choice_name(c, &s->e, of, x->type);
      if (!s->json) continue;
    }
    c->decls[index].fields[i].t.label |= t.label;
    keys[k] = (mod_key){emit_cstr(&c->e, s->json), (s->want.many ? MOD_KEY_ARRAY : 0u) | MOD_KEY_OMIT_EMPTY};
    k++;
  }
  d = &c->decls[index];
  fhir_missing(c, d->node->first, type, given, ngiven);
  int r = reg_new(c);
  emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)r, (uint32_t)base, 0, emit_shape(&c->e, keys, k));
  fhir_as_type(c, type, r);
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
}

/* Fields into consecutive registers, then one object. */
static void payload_body(comp *c, decl *d) {
  fnctx *f = c->f;
  if (d->nfields > 200) { err(c, E0228, d->node->first, "a payload has at most 200 fields"); return; }
  mod_key *keys = arena_alloc(c->a, (d->nfields + 1) * sizeof *keys);
  if (!keys) { c->e.status = HDW_E_NOMEM; return; }
  int base = regs_new(c, (int)d->nfields ? (int)d->nfields : 1);
  for (uint32_t i = 0; i < d->nfields; i++) {
    field *x = &d->fields[i];
    keys[i] = (mod_key){emit_str(&c->e, x->name.p, x->name.len), x->t.many ? MOD_KEY_ARRAY : x->t.min ? 0u : MOD_KEY_OMIT_EMPTY};
    if (!x->expr) {
      diag *g = err(c, E0214, x->node, "field '%.*s' of %.*s says no value", STR(x->name), STR(d->name));
      diag_note(c->d, g, "a payload with parameters says where each field comes from: %.*s: type = expression", STR(x->name));
      emit_op(&c->e, f->fn, OP_EMPTY, (uint32_t)(base + (int)i), 0, 0);
      continue;
    }
    pos(c, x->expr);
    ty t = ex_as(c, x->expr, x->t, base + (int)i);
    code_of_set(c, x->t, x->expr);
    coerce(c, x->expr, t, x->t, base + (int)i, qualified(c, d, x->name));
    x->t.label |= t.label;
  }
  int r = reg_new(c);
  emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)r, (uint32_t)base, 0, emit_shape(&c->e, keys, d->nfields));
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
}

/* payload without '=': function of an untyped object that gives the checked record. */
uint32_t decl_from_any(comp *c, decl *d) {
  if (d->fn2 != MOD_NO_INDEX) return d->fn2;
  decl_params(c, d);
  unit *u = c->u;
  c->u = d->u;
  fnctx *f = begin(c, d, fmt(c, "%.*s.from", STR(d->name)), 1);
  if (!f) return 0;
  d->fn2 = f->fn;
  f->top = 1;
  for (uint32_t i = 0; i < d->nfields; i++) d->fields[i].t.label |= TY_PARAM; /* as what the record is made of */
  uint32_t n = d->nfields > 200 ? 200 : d->nfields;
  mod_key *keys = arena_alloc(c->a, (n + 1) * sizeof *keys);
  int base = regs_new(c, (int)n ? (int)n : 1);
  for (uint32_t i = 0; i < n && keys; i++) {
    field *x = &d->fields[i];
    uint32_t k = emit_str(&c->e, x->name.p, x->name.len);
    keys[i] = (mod_key){k, x->t.many ? MOD_KEY_ARRAY : x->t.min ? 0u : MOD_KEY_OMIT_EMPTY};
    pos(c, x->node);
    emit_ext(&c->e, f->fn, OP_MEMBER, (uint32_t)(base + (int)i), 0, 0, k);
    coerce(c, x->node, ty_label(ty_opt(TY_ANY), TY_PHI), x->t, base + (int)i, qualified(c, d, x->name));
  }
  int r = reg_new(c);
  emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)r, (uint32_t)base, 0, emit_shape(&c->e, keys, n));
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
  end(c);
  c->u = u;
  return d->fn2;
}

static str key_of(const void *user, uint32_t row) { return ((const str *)user)[row]; }

/* map name(x: T): U { 'a', 'b': e, else: e }: compared in order. */
static void map_body(comp *c, decl *d) {
  fnctx *f = c->f;
  int tmp = regs_new(c, 2), r = reg_new(c);
  bool has_else = false;
  if (d->npar != 1) err(c, E0208, d->node->first, "a map has one parameter");
  uint32_t cap = 1, nkeys = 0;
  for (ast *arm = ast_child(d->node, 3)->first; arm; arm = arm->next) cap += arm->kind == AST_ARM ? arm->first->n : 0;
  name_table seen = {0};
  str *keys = arena_alloc(c->a, cap * sizeof *keys);
  if (!keys) { c->e.status = HDW_E_NOMEM; return; }
  for (ast *arm = ast_child(d->node, 3)->first; arm; arm = arm->next) {
    if (arm->kind == AST_ARM_ELSE) {
      has_else = true;
      pos(c, arm->first);
      ty t = ex(c, arm->first, r);
      f->out_label |= t.label;
      coerce(c, arm->first, t, d->t, r, result_of(c, d));
      emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
      break;
    }
    if (arm->kind != AST_ARM) continue;
    uint32_t hits[64], nh = 0;
    for (ast *k = arm->first->first; k; k = k->next) {
      uint32_t at = nkeys < cap ? nkeys : 0;
      keys[at] = node_text(c, k);
      if (name_find(&seen, keys[at], key_of, keys) != MOD_NO_INDEX) err(c, E0210, k, "%.*s stands in an arm above: this one is never taken", STR(keys[at]));
      else if (!name_add(c->a, &seen, keys[at], at, key_of, keys)) c->e.status = HDW_E_NOMEM;
      nkeys++;
      ex(c, k, tmp);
      emit_op(&c->e, f->fn, OP_EQ, (uint32_t)(tmp + 1), 0, (uint32_t)tmp);
      if (nh < 64) hits[nh++] = emit_jump(&c->e, f->fn, OP_JMPT, (uint32_t)(tmp + 1));
      else err(c, E0228, k, "an arm has at most 64 keys");
    }
    uint32_t miss = emit_jump(&c->e, f->fn, OP_JMP, 0);
    for (uint32_t i = 0; i < nh; i++) emit_patch(&c->e, f->fn, hits[i]);
    ast *e = ast_child(arm, 1);
    pos(c, e);
    ty t = ex(c, e, r);
    f->out_label |= t.label;
    coerce(c, e, t, d->t, r, result_of(c, d));
    emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
    emit_patch(&c->e, f->fn, miss);
  }
  if (!has_else) {
    emit_op(&c->e, f->fn, OP_EMPTY, (uint32_t)r, 0, 0);
    if (d->t.min && d->t.kind != TY_ERR) {
      diag *g = err(c, W0301, d->node->first, "'%.*s' gives no value for codes that are not listed, but its type says one", STR(d->name));
      diag_note(c->d, g, "add `else: …`, or declare the result as optional");
    }
    emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
  }
  d->t.label |= f->out_label;
}

bool always_ends(const ast *n) {
  switch (n->kind) {
    case AST_RETURN: case AST_OUTCOME: return true;
    case AST_DO:
      for (const ast *x = n->first; x; x = x->next)
        if (always_ends(x)) return true;
      return false;
    case AST_IF: return !ast_is_nil(n->last) && always_ends(ast_child(n, 1)) && always_ends(n->last);
    case AST_MATCH: {
      bool other = false;
      for (const ast *x = n->last->first; x; x = x->next) {
        other |= x->kind == AST_ELSE;
        if ((x->kind == AST_ELSE || x->kind == AST_CASE) && !always_ends(x->last)) return false;
      }
      return other;
    }
    default: return n->kind == AST_ERROR;
  }
}

static void fn_body(comp *c, decl *d) {
  fnctx *f = c->f;
  ast *body = ast_child(d->node, 3);
  f->ret = d->t;
  if (body->kind == AST_DO) {
    stmt_block(c, body);
    int r = reg_new(c);
    emit_op(&c->e, f->fn, OP_EMPTY, (uint32_t)r, 0, 0);
    emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
    bool ends = always_ends(body);
    if (d->t.kind == TY_ERR) { d->t = f->has_got ? f->got : ty_opt(TY_ANY); if (!ends) d->t.min = 0; }
    else if (d->t.min && !ends) {
      diag *g = err(c, W0301, d->node->first, "'%.*s' may end without a return, but its type says that it gives a value", STR(d->name));
      diag_note(c->d, g, "return a value on every way, or declare the result as optional");
    }
    d->t.label |= f->out_label;
    return;
  }
  int r = reg_new(c);
  pos(c, body);
  ty t = ex_as(c, body, d->t, r);
  if (d->t.kind != TY_ERR) coerce(c, body, t, d->t, r, result_of(c, d));
  else d->t = t;
  d->t.label |= t.label;
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
}

enum { FN_DEPTH = 40, EX_DEPTH = 300 };

uint32_t decl_fn(comp *c, decl *d) {
  if (d->fn != MOD_NO_INDEX && d->state) return d->fn;
  decl_params(c, d);
  unit *u = c->u;
  uint32_t np = d->kind == D_LET ? 0 : d->npar;
  c->u = d->u;
  if (np > 60) { err(c, E0228, d->node->first, "at most 60 parameters"); np = 60; }
  if (d->fn == MOD_NO_INDEX) d->fn = emit_func_new(&c->e, d->name.p, d->name.len, np);
  if (c->fn_depth > FN_DEPTH || c->depth > EX_DEPTH) { /* its turn comes in decl_compile_all; until then its labels are taken to flow */
    if (d->t.kind == TY_ERR && d->kind != D_PAYLOAD) {
      err(c, E0228, d->node->first, "calls of functions whose results are not declared are nested more than %d deep: declare what '%.*s' gives", FN_DEPTH, STR(d->name));
      d->t = ty_opt(TY_ANY);
    }
    c->u = u;
    return d->fn;
  }
  bool lenient = c->lenient, is_eval = c->is_eval;
  if (d->u->lib) c->lenient = c->is_eval = false; /* a library is a program, whoever evaluates it */
  c->fn_depth++;
  d->state = 1;
  fnctx *f = begin_at(c, d, d->fn, np);
  if (f) {
    uint32_t index = (uint32_t)(d - c->decls);
    params_to_locals(c, d);
    switch ((decl_kind)d->kind) {
      case D_PAYLOAD: if (d->as_fhir) fhir_body(c, d); else payload_body(c, d); break;
      case D_MAP: map_body(c, d); break;
      case D_ACTION: f->effects = true; fn_body(c, d); break;
      case D_FN: fn_body(c, d); break;
      case D_LET: {
        int r = reg_new(c);
        ast *e = ast_child(d->node, 2);
        pos(c, e);
        ty t = ex(c, e, r);
        if (d->t.kind != TY_ERR) coerce(c, e, t, d->t, r, result_of(c, d));
        else d->t = t;
        emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
        break;
      }
      default: break;
    }
    d = &c->decls[index];
    end(c);
  }
  d->state = 2;
  c->u = u;
  c->lenient = lenient;
  c->is_eval = is_eval;
  c->fn_depth--;
  return d->fn;
}

ty decl_result(comp *c, decl *d) {
  decl_params(c, d);
  if (d->kind == D_PAYLOAD) return d->t;
  if (d->t.kind == TY_ERR && d->state == 1) {
    if (d->kind == D_LET) err(c, E0223, d->node->first, "'%.*s' is defined by itself", STR(d->name));
    else err(c, E0223, d->node->first, "'%.*s' calls itself: declare what it gives", STR(d->name));
    d->t = ty_opt(TY_ANY);
  }
  if (d->t.kind == TY_ERR) decl_fn(c, d);
  return d->t;
}

/* ---- the rest */

static void check_setup(comp *c, decl *d) {
  ast *e = ast_child(d->node, 1);
  bi_what what = d->kind == D_CONNECTION ? BI_CONNECTION : BI_LISTENER;
  const char *word = what == BI_CONNECTION ? "connection" : "listener";
  if (e->kind != AST_CALL) { err(c, E0219, e, "a %s is declared by its kind: %.*s = rest(…)", word, STR(d->name)); return; }
  str kind = node_name(c, e->first);
  if (d->u->lib) return; /* an adapter's: looked at where a connection is made of it */
  d->kind_row = bi_declare(&c->bi, what, NULL, kind);
  if (!d->kind_row && what == BI_CONNECTION && adapter_setup(c, d, e)) {
    conn_meta(c, NULL, d);
    quirks_check(c, d);
    against_load(c, d);
    return;
  }
  if (!d->kind_row) {
    nearest near;
    nearest_init(&near, kind.p, kind.len);
    for (uint32_t i = 0; i < c->bi.n; i++)
      if (c->bi.rows[i].kind == BI_DECLARE && c->bi.rows[i].what == what) nearest_offer(&near, c->bi.rows[i].sig.name.p, c->bi.rows[i].sig.name.len);
    diag *g = err(c, E0219, e->first, "there is no kind of %s '%.*s'", word, STR(kind));
    if (what == BI_LISTENER || !adapter_note(c, g, kind)) suggest(c, g, e->first, &near);
    return;
  }
  d->later = d->kind_row->later;
  if (d->later) not_yet(c, e, fmt(c, "a %s of kind '%.*s'", word, STR(kind)));
  meta_args(c, NULL, e, d->kind_row);
  for (ast *x = ast_child(e, 1)->first; x && what == BI_LISTENER; x = x->next) { /* a login of connections; listeners get their certificates from the operator */
    ast *v = x->kind == AST_NAMED ? ast_child(x, 1) : x;
    if (v->kind == AST_CALL && str_is(node_name(c, v->first), "mtls")) not_yet(c, v, "'mtls' of a listener");
  }
  if (what == BI_CONNECTION) quirks_check(c, d);
  if (what == BI_CONNECTION) against_load(c, d);
  if (what == BI_CONNECTION) scope_check(c, d);
}

/* The sender whose messages are read in f: its version decides what is later or withdrawn. */
void sender_of(comp *c, fnctx *f, decl *d) {
  f->sender = d;
  f->version = -1;
  for (ast *x = ast_child(d->node, 1)->first; x; x = x->next) {
    if (x->kind != AST_PAIR || !ast_name_is(d->u->src, x->first, "version")) continue;
    ast *v = ast_child(x, 1);
    if (v->kind != AST_STRING) continue;
    ast_str s = ast_string_value(c->a, d->u->src, v);
    f->version = s.p ? dict_version(s.p, s.len) : -1;
    if (f->version < 0 && d->state != 2) {
      unit *u = c->u;
      c->u = d->u;
      diag *g = err(c, E0231, v, "there is no version '%.*s' of HL7 v2", (int)s.len, s.p ? s.p : "");
      diag_note(c->d, g, "versions: 2.1, 2.2, 2.3, 2.3.1, 2.4, 2.5, 2.5.1, 2.6, 2.7, 2.7.1, 2.8");
      c->u = u;
      d->state = 2;
    }
  }
}

static void sender_keys(comp *c, decl *d) {
  static const char *const keys[] = {"match", "version", "zone", "charset", "repeats", "codes"};
  for (ast *x = ast_child(d->node, 1)->first; x; x = x->next) {
    if (x->kind != AST_PAIR) continue;
    str k = node_name(c, x->first);
    bool known = false;
    nearest near;
    nearest_init(&near, k.p, k.len);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
      known |= str_is(k, keys[i]);
      nearest_offer(&near, keys[i], strlen(keys[i]));
    }
    if (known) continue;
    diag *g = err(c, E0231, x->first, "a sender has no '%.*s'", STR(k));
    suggest(c, g, x->first, &near);
    diag_note(c->d, g, "there are: match, version, zone, charset, repeats, codes, and segment declarations");
  }
}

static void sender_match(comp *c, decl *d) {
  sender_keys(c, d);
  for (ast *x = ast_child(d->node, 1)->first; x; x = x->next) {
    if (x->kind != AST_PAIR || !str_is(node_name(c, x->first), "match")) continue;
    fnctx *f = begin(c, d, fmt(c, "%.*s.match", STR(d->name)), 1);
    if (!f) return;
    d->fn = f->fn;
    f->msg = 0;
    f->msg_t = ty_label(ty_one(TY_HL7_MSG), TY_PHI);
    sender_of(c, f, d);
    int r = reg_new(c);
    cond(c, ast_child(x, 1), r);
    emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
    end(c);
    return;
  }
  err(c, E0231, d->node->first, "sender '%.*s' does not say which messages are its own: match: MSH-3 = '…'", STR(d->name));
}

static void workflow(comp *c, decl *d) {
  decl_params(c, d);
  ast *on = ast_child(d->node, 3);
  fnctx *f = begin(c, d, fmt(c, "%.*s", STR(d->name)), ast_is_nil(on) ? d->npar : 1);
  if (!f) return;
  d->fn = f->fn;
  f->in_workflow = f->effects = true;
  workflow_body(c, d);
  end(c);
}

static void test_rows(comp *c, decl *d, comp_test *t, uint32_t ncols) {
  uint32_t first = MOD_NO_INDEX, rows = 0;
  for (ast *s = ast_child(d->node, 2)->first; s; s = s->next) {
    if (s->kind != AST_ROW) continue;
    if (s->first->n != ncols) err(c, E0208, s, "this row has %u value%s, the test has %u column%s", s->first->n, s->first->n == 1 ? "" : "s", ncols, ncols == 1 ? "" : "s");
    fnctx *f = begin(c, d, fmt(c, "test %u row %u", c->ntests, rows), 0);
    if (!f) return;
    if (first == MOD_NO_INDEX) first = f->fn;
    /* one member per column keeps empty cells apart */
    mod_key *keys = arena_alloc(c->a, (ncols + 1) * sizeof *keys);
    int base = regs_new(c, (int)ncols ? (int)ncols : 1);
    uint32_t i = 0;
    for (ast *x = s->first->first; x && i < ncols && keys; x = x->next, i++) {
      keys[i] = (mod_key){emit_cstr(&c->e, fmt(c, "%u", i)), 0};
      ty v = ex(c, x, base + (int)i);
      coerce(c, x, v, ty_card(d->par[i].t, 0, d->par[i].t.many), base + (int)i, fmt(c, "%.*s", STR(d->par[i].name)));
    }
    int r = reg_new(c);
    emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)r, (uint32_t)base, 0, emit_shape(&c->e, keys, i));
    emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
    end(c);
    rows++;
  }
  t->nrows = rows;
  (void)first;
}

/* A default stands in the module and is shown by hdw.json's skeleton: it cannot come from a secret. */
static void no_secret(comp *c, ast *e) {
  if (!e || ast_is_nil(e)) return;
  if (e->kind == AST_CALL && e->first && str_is(node_name(c, e->first), "secret")) {
    err(c, E0217, e, "a secret is used in the declaration of a connection only");
    return;
  }
  for (ast *k = e->first; k; k = k->next) no_secret(c, k);
}

static void test(comp *c, decl *d) {
  ast *p = ast_child(d->node, 1);
  if (!ast_is_nil(p)) { d->params = p; d->par = fields_of(c, p, &d->npar); }
  ast_str name = ast_string_value(c->a, c->u->src, d->node->first);
  if (c->ntests == c->cap_tests) {
    uint32_t cap = c->cap_tests ? c->cap_tests * 2 : 16;
    comp_test *v = arena_grow(c->a, c->tests, c->cap_tests * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return; }
    c->tests = v;
    c->cap_tests = cap;
  }
  comp_test *t = &c->tests[c->ntests];
  *t = (comp_test){.name = arena_dup(c->a, name.p, name.len), .file = c->u->file};
  uint32_t col;
  diag_position(c->d, c->u->file, d->node->off, false, &t->line, &col);
  fnctx *f = begin(c, d, fmt(c, "test %u", c->ntests), d->npar);
  if (!f) return;
  t->func = f->fn;
  f->in_test = f->effects = true;
  for (uint32_t i = 0; i < d->npar; i++) add_local(c, d->par[i].node->first, d->par[i].t, (int)i);
  for (ast *n = d->u->parse.root->first; n; n = n->next)
    if (n->kind == AST_MOCK) test_mock(c, n, true);
  stmt_block(c, ast_child(d->node, 2));
  int r = reg_new(c);
  emit_op(&c->e, f->fn, OP_EMPTY, (uint32_t)r, 0, 0);
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
  end(c);
  test_rows(c, d, t, d->npar);
  c->ntests++;
}

static void compile(comp *c, decl *d) {
  c->u = d->u;
  decl_params(c, d);
  switch ((decl_kind)d->kind) {
    case D_CONNECTION: case D_LISTENER: break; /* done first */
    case D_PROFILE: profile_load(c, d); break;
    case D_TABLE: table_load(c, d); break;
    case D_ENTITY: not_yet(c, d->node->first, "an entity"); break;
    case D_SETTING: no_secret(c, ast_child(d->node, 2)); break;
    case D_LET: case D_MAP: case D_FN: case D_ACTION: decl_fn(c, d); break;
    case D_PAYLOAD: if (d->params) decl_fn(c, d); else decl_from_any(c, d); break;
    case D_SEGMENT: break;
    case D_SENDER: sender_match(c, d); break;
    case D_WORKFLOW: workflow(c, d); break;
    case D_TEST: break;
  }
}

/* Of libraries only what is called is compiled: most where it was called first, the rest here. */
void decl_compile_called(comp *c) {
  for (bool more = true; more;) {
    more = false;
    for (uint32_t i = 0; i < c->ndecls && c->e.status != HDW_E_NOMEM; i++)
      if (c->decls[i].u->lib && c->decls[i].fn != MOD_NO_INDEX && !c->decls[i].state) { compile(c, &c->decls[i]); more = true; }
  }
}

void decl_compile_all(comp *c) {
  uint32_t n = c->ndecls;
  for (uint32_t i = 0; i < n; i++) {
    c->u = c->decls[i].u;
    if (c->decls[i].kind == D_CONNECTION || c->decls[i].kind == D_LISTENER) check_setup(c, &c->decls[i]);
  }
  for (uint32_t i = 0; i < n && c->e.status != HDW_E_NOMEM; i++)
    if (!c->decls[i].u->lib) compile(c, &c->decls[i]);
  decl_compile_called(c);
  for (uint32_t i = 0; i < n && c->e.status != HDW_E_NOMEM; i++) {
    c->u = c->decls[i].u;
    if (c->decls[i].kind == D_TEST && !c->decls[i].u->lib && (!c->opt || c->opt->tests || c->opt->check_only)) test(c, &c->decls[i]);
  }
}
