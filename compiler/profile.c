/* profile.c - `profile us_core_patient = structure('us-core-patient.json')`: a StructureDefinition with its snapshot, read when the program is compiled.
 *
 * The name becomes a type: the FHIR type that the profile constrains, with the profile's own cardinalities, types and codes where a path goes through
 * it. What is of that type has been checked: where a value of another type becomes one (a parameter, a field, a result, fhir.core(json)) the whole tree
 * of the profile's rules is looked at (fhir_profile.h), and what does not conform is a data fault. */
#include "comp_int.h"
#include "json.h"
#include <string.h>

/* A type that is at a node of the profile; path leads there (fhir_profile_at). */
static int32_t node_of(comp *c, uint32_t decl_index, const fhir_pnode *n, str path) {
  for (uint32_t i = 0; i < c->npnodes; i++)
    if (c->pnodes[i].n == n) return (int32_t)i;
  if (c->npnodes == c->cap_pnodes) {
    uint32_t cap = c->cap_pnodes ? c->cap_pnodes * 2 : 16;
    pnode *v = arena_grow(c->a, c->pnodes, c->cap_pnodes * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return -1; }
    c->pnodes = v;
    c->cap_pnodes = cap;
  }
  c->pnodes[c->npnodes] = (pnode){decl_index, n, path};
  return (int32_t)c->npnodes++;
}

static void read_profile(comp *c, decl *d, const ast *at, const comp_source *s) {
  json_reader r;
  json_error e = {0};
  val doc;
  const char *why;
  json_reader_init(&r, c->a->mem);
  hdw_status st = json_read(&r, c->a, s->text, s->len, NULL, &doc, &e);
  json_reader_free(&r);
  if (st) { err(c, E0237, at, "line %u: no valid JSON: expected %s", e.line, e.expected ? e.expected : hdw_status_text(st)); return; }
  fhir_profile *p = arena_zalloc(c->a, 1, sizeof *p);
  if (!p) { c->e.status = HDW_E_NOMEM; return; }
  st = fhir_profile_read(c->a, doc, p, &why);
  if (!st) st = fhir_profile_trim(c->a, doc, &d->rows);
  if (st == HDW_E_NOMEM) { c->e.status = st; return; }
  if (st) { err(c, E0237, at, "%s", why ? why : "it has too many elements, or they are nested too deeply"); return; }
  d->profile = p;
  d->as_fhir = p->type;
  d->t = ty_one(TY_FHIR);
  d->t.ref = p->type;
  d->t.sub = node_of(c, (uint32_t)(d - c->decls), &p->root, (str){"", 0});
}

void profile_load(comp *c, decl *d) {
  if (d->state) return;
  d->state = 2;
  d->t = ty_one(TY_ANY);
  unit *u = c->u;
  c->u = d->u;
  ast *e = ast_child(d->node, 1), *args = e->kind == AST_CALL ? ast_child(e, 1) : NULL;
  comp_source s;
  if (!args || !str_is(node_name(c, e->first), "structure") || args->n != 1 || args->first->kind != AST_STRING) {
    err(c, E0219, e, "a profile is read from a file: profile %.*s = structure('file.json')", STR(d->name));
  } else {
    ast_str file = ast_string_value(c->a, c->u->src, args->first);
    if (named_file(c, args->first, (str){file.p, file.len}, &s)) read_profile(c, d, args->first, &s);
  }
  c->u = u;
}

/* The profile that an argument names: by its declaration, or by its url as a string. NULL: none that is loaded. */
decl *profile_arg(comp *c, const ast *e) {
  decl *d = e->kind == AST_NAME ? find_decl(c, node_name(c, e)) : NULL;
  if (d && d->kind == D_PROFILE) { profile_load(c, d); return d->profile ? d : NULL; }
  ast_str url = e->kind == AST_STRING ? ast_string_value(c->a, c->u->src, e) : (ast_str){0};
  const char *bar = url.p ? memchr(url.p, '|', url.len) : NULL;
  if (bar) url.len = (size_t)(bar - url.p);
  for (uint32_t i = 0; url.p && i < c->ndecls; i++) {
    d = &c->decls[i];
    if (d->kind != D_PROFILE || !decl_seen(c, d)) continue;
    profile_load(c, d);
    if (d->profile && d->profile->url.tag == VAL_STR && str_eq((str){d->profile->url.u.s, d->profile->url.len}, (str){url.p, url.len})) return d;
  }
  return NULL;
}

/* The rules into register r. */
static void load_rules(comp *c, decl *d, int r) {
  if (d->rows_k == MOD_NO_INDEX) d->rows_k = emit_val(&c->e, d->rows);
  emit_loadk(&c->e, c->f->fn, (uint32_t)r, d->rows_k);
}

/* r := native(r, rules[, third[, fourth]]). */
static void with_rules(comp *c, const char *name, decl *d, int r, str third, str fourth) {
  int top = c->f->top, w = regs_new(c, 4);
  op3(c, OP_MOVE, w, r, 0);
  load_rules(c, d, w + 1);
  if (third.p) emit_loadk(&c->e, c->f->fn, (uint32_t)w + 2, emit_str(&c->e, third.p, third.len));
  if (fourth.p) emit_loadk(&c->e, c->f->fn, (uint32_t)w + 3, emit_str(&c->e, fourth.p, fourth.len));
  native(c, name, w, 2 + (third.p != NULL) + (fourth.p != NULL), ty_one(TY_ANY));
  op3(c, OP_MOVE, r, w, 0);
  c->f->top = top;
}

void profile_check(comp *c, ty to, ty from, int r, const ast *at) {
  if (to.kind != TY_FHIR || to.sub < 0 || (from.kind == TY_FHIR && from.sub == to.sub) || from.kind == TY_NONE) return;
  const pnode *p = &c->pnodes[to.sub];
  decl *d = &c->decls[p->decl];
  if (p->n != &d->profile->root) return;
  str src = node_text(c, at);
  if (src.len > 80) src.len = 80;
  pos(c, at);
  with_rules(c, "fhir.profile", d, r, d->name, src);
}

ty profile_call(comp *c, ast *call_node, decl *p, int dst) {
  profile_load(c, p);
  if (!p->as_fhir) return ty_one(TY_ERR);
  ast *args = ast_child(call_node, 1);
  if (args->n != 1 || args->first->kind == AST_NAMED) {
    err(c, E0208, call_node->first, "a profile is for what was read: fhir.%.*s(value)", STR(p->name));
    return ty_one(TY_ERR);
  }
  ty t = fhir_load(c, call_node, p->as_fhir, dst), to = p->t;
  if (t.kind != TY_FHIR) return t;
  if (t.sub < 0 || t.sub != to.sub) profile_check(c, to, ty_one(TY_ANY), dst, args->first);
  t.sub = to.sub;
  return t;
}

/* conformsTo(core), validate(core): the receiver is in r, dst gets the answer. */
ty profile_question(comp *c, decl *d, const char *native_name, ty recv, int r) {
  with_rules(c, native_name, d, r, (str){0}, (str){0});
  return strcmp(native_name, "fhir.conforms") == 0 ? ty_card(ty_one(TY_BOOL), recv.min, false) : ty_label(ty_make(TY_ANY, 0, true), 0);
}

/* ofType(core), is(core), as(core): the items in r that conform. */
ty profile_items(comp *c, decl *d, ty recv, int r) {
  with_rules(c, "fhir.conforming", d, r, (str){0}, (str){0});
  bool choice = recv.kind == TY_ANY && recv.ref >= 0;
  return ty_label(ty_card(d->t, 0, recv.many || (recv.kind == TY_ANY && !choice)), recv.label);
}

/* ---- what a profile makes sharper */

static const fhir_pnode *child_of(const fhir_pnode *n, str name) {
  const fhir_pnode *k = fhir_profile_child(n, name.p, name.len);
  return k || !n->whole ? k : fhir_profile_child(n->whole, name.p, name.len);
}

static ty sharper(ty t, const fhir_pnode *n, const ty *recv) {
  if (n->max == 1) t.many = recv->many;
  if (n->min && recv->min) t.min = 1;
  if (n->codes && t.kind == TY_STR) t.sub = n->codes;
  return t;
}

/* A choice that the profile leaves one type. */
static ty sharper_choice(comp *c, const fhir_pnode *n, ty t) {
  val one = n->types.tag == VAL_LIST && n->types.len == 1 ? n->types.u.v[0] : n->types;
  const val *code = one.tag == VAL_OBJ ? val_obj_get(one, val_key("code", 4)) : NULL;
  if (t.kind != TY_ANY || t.ref < 0 || !code || code->tag != VAL_STR) return t;
  ty is = type_named(c, (str){code->u.s, code->len}, NULL, false);
  if (is.kind == TY_ERR) return t;
  is = ty_label(ty_card(is, t.min, t.many), t.label);
  is.why = t.why;
  return is;
}

static const char *below(comp *c, const pnode *at, str name, const fhir_pnode *slice) {
  const char *head = at->path.len ? fmt(c, "%.*s.%.*s", STR(at->path), STR(name)) : fmt(c, "%.*s", STR(name));
  return slice ? fmt(c, "%s:%.*s", head, (int)slice->slice_len, slice->slice) : head;
}

ty profile_member(comp *c, ty recv, ast *n, str name, ty t) {
  pnode at = c->pnodes[recv.sub];
  const decl *d = &c->decls[at.decl];
  const fhir_pnode *k = child_of(at.n, name);
  if (!k) return t;
  if (k->max == 0) {
    diag *g = err(c, E0203, n, "%.*s does not use '%.*s' (0..0)", STR(d->name), STR(name));
    diag_also(c->d, g, d->u->file, d->node->first->off, d->node->first->end, "the profile");
    return ty_one(TY_ERR);
  }
  t = sharper_choice(c, k, sharper(t, k, &recv));
  if (t.kind == TY_FHIR && (k->child || k->slices)) t.sub = node_of(c, at.decl, k, str_of(below(c, &at, name, NULL)));
  return t;
}

/* extension('url') of a slice that the profile declares: at most one when it says so. */
ty profile_extension(comp *c, ty recv, const ast *url, ty t) {
  pnode at = c->pnodes[recv.sub];
  const fhir_pnode *k = child_of(at.n, str_of("extension"));
  if (!k || !url || url->kind != AST_STRING) return t;
  ast_str want = ast_string_value(c->a, c->u->src, url);
  for (const fhir_pnode *s = k->slices; s; s = s->next) {
    val have;
    if (!fhir_profile_extension(s, &have) || have.len != want.len || memcmp(have.u.s, want.p, want.len) != 0) continue;
    t = sharper(t, s, &recv);
    if (s->child) t.sub = node_of(c, at.decl, s, str_of(below(c, &at, str_of("extension"), s)));
  }
  return t;
}

/* slice('SystolicBP'): the items of a typed element that belong to a slice. The receiver is in r. */
ty profile_slice(comp *c, ast *call_node, ty recv, int r) {
  ast *args = ast_child(call_node, 1), *e = args->first;
  if (recv.kind == TY_NONE) return recv;
  const pnode *at = recv.kind == TY_FHIR && recv.sub >= 0 ? &c->pnodes[recv.sub] : NULL;
  if (args->n != 1 || e->kind != AST_STRING) { err(c, E0208, call_node->first, "'slice' takes the name of a slice: slice('name')"); return ty_one(TY_ERR); }
  if (!at || !at->n->slices) {
    diag *d = err(c, E0209, call_node->first, "this element has no slices here");
    diag_note(c->d, d, "slices are declared by a profile: the value must be of its type, and the element one that the profile slices");
    return ty_one(TY_ERR);
  }
  ast_str name = ast_string_value(c->a, c->u->src, e);
  const fhir_pnode *s = name.p ? fhir_profile_named(at->n, name.p, name.len) : NULL;
  if (!s) {
    nearest near;
    nearest_init(&near, name.p ? name.p : "", name.len);
    for (const fhir_pnode *x = at->n->slices; x; x = x->next) nearest_offer(&near, x->slice, x->slice_len);
    diag *d = err(c, E0203, e, "%.*s has no slice '%.*s' here", STR(c->decls[at->decl].name), (int)name.len, name.p ? name.p : "");
    if (near.n) diag_replace(c->d, d, e->off, e->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
    buf b;
    buf_init(&b, c->a, 2048);
    for (const fhir_pnode *x = at->n->slices; x && b.len < 300; x = x->next) buf_putf(&b, "%s%.*s", b.len ? ", " : "", (int)x->slice_len, x->slice);
    buf_putc(&b, 0);
    if (!b.status) diag_note(c->d, d, "slices: %s", b.p);
    return ty_one(TY_ERR);
  }
  str path = str_of(fmt(c, "%.*s:%.*s", STR(at->path), (int)s->slice_len, s->slice));
  uint32_t index = at->decl;
  with_rules(c, "fhir.slice", &c->decls[index], r, path, (str){0});
  ty t = ty_card(recv, s->min > 0 && recv.min, s->max != 1);
  if (!s->min) t.why = why_new(c, call_node, fmt(c, "there is no slice '%.*s'", (int)s->slice_len, s->slice));
  t.sub = node_of(c, index, s, path);
  return t;
}
