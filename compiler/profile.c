/* profile.c - `profile us_core_patient = structure('us-core-patient.json')`: a StructureDefinition with its snapshot, read when the program is compiled.
 *
 * The name becomes a type: the FHIR type that the profile constrains, with the profile's own cardinalities, types and codes where a path goes through
 * it. What a profile demands is a promise of the sender, so data is not trusted to keep it: an element that only the profile requires is used
 * without a warning, and its absence is a data fault where a value is needed. */
#include "comp_int.h"
#include "json.h"
#include <string.h>

static str text_of(const val *v) { return v && v->tag == VAL_STR ? (str){v->u.s, v->len} : (str){0}; }

static str member_text(val obj, const char *name) {
  return obj.tag == VAL_OBJ ? text_of(val_obj_get(obj, val_key(name, strlen(name)))) : (str){0};
}

static val member_list(val obj, const char *name) {
  const val *v = obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL;
  return v && v->tag == VAL_LIST ? *v : VAL_NONE;
}

static const val *member_at(val obj, const char *name) { return obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL; }

/* A type that is at path of the profile. */
static int32_t node_of(comp *c, uint32_t decl_index, str path) {
  for (uint32_t i = 0; i < c->npnodes; i++)
    if (c->pnodes[i].decl == decl_index && str_eq(c->pnodes[i].path, path)) return (int32_t)i;
  if (c->npnodes == c->cap_pnodes) {
    uint32_t cap = c->cap_pnodes ? c->cap_pnodes * 2 : 16;
    pnode *v = arena_grow(c->a, c->pnodes, c->cap_pnodes * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return -1; }
    c->pnodes = v;
    c->cap_pnodes = cap;
  }
  c->pnodes[c->npnodes] = (pnode){decl_index, path};
  return (int32_t)c->npnodes++;
}

static bool read_profile(comp *c, decl *d, const ast *at, const comp_source *s) {
  json_reader r;
  json_error e = {0};
  val doc;
  json_reader_init(&r, c->a->mem);
  hdw_status st = json_read(&r, c->a, s->text, s->len, NULL, &doc, &e);
  json_reader_free(&r);
  if (st) { err(c, E0237, at, "line %u: no valid JSON: expected %s", e.line, e.expected ? e.expected : hdw_status_text(st)); return false; }
  if (!str_is(member_text(doc, "resourceType"), "StructureDefinition")) { err(c, E0237, at, "this is no StructureDefinition"); return false; }
  str type = member_text(doc, "type");
  uint16_t id = fhir_type(type.p ? type.p : "", type.len);
  const val *snapshot = member_at(doc, "snapshot"), *differential = member_at(doc, "differential");
  val list = snapshot ? member_list(*snapshot, "element") : differential ? member_list(*differential, "element") : VAL_NONE;
  if (!id || fhir_type_kind(id) == FHIR_PRIMITIVE) { err(c, E0237, at, "it constrains '%.*s', which is no resource or data type of FHIR R4", STR(type)); return false; }
  if (!list.len) { err(c, E0237, at, "it has neither a snapshot nor a differential with elements"); return false; }
  d->rows = list;
  d->as_fhir = id;
  d->t = ty_one(TY_FHIR);
  d->t.ref = id;
  d->t.sub = node_of(c, (uint32_t)(d - c->decls), type);
  return true;
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
    const comp_loader *l = c->opt ? c->opt->loader : NULL;
    if (!l || l->load(l->user, c->u->path, fmt(c, "%.*s", (int)file.len, file.p), &s)) err(c, E0221, args->first, "there is no file '%.*s'", (int)file.len, file.p);
    else read_profile(c, d, args->first, &s);
  }
  c->u = u;
}

static bool path_is(str path, str owner, str name) {
  size_t n = owner.len + 1 + name.len;
  if (path.len != n && !(path.len == n + 3 && memcmp(path.p + n, "[x]", 3) == 0)) return false;
  return memcmp(path.p, owner.p, owner.len) == 0 && path.p[owner.len] == '.' && memcmp(path.p + owner.len + 1, name.p, name.len) == 0;
}

static bool required(val e) {
  const val *min = member_at(e, "min");
  return min && min->tag == VAL_NUM && !(min->len == 1 && min->u.s[0] == '0');
}

static void sharpen_binding(val e, ty *t) {
  const val *b = member_at(e, "binding");
  str set = b ? member_text(*b, "valueSet") : (str){0}, strength = b ? member_text(*b, "strength") : (str){0};
  if (t->kind != TY_STR || !set.p || !str_is(strength, "required")) return;
  const char *bar = memchr(set.p, '|', set.len);
  if (bar) set.len = (size_t)(bar - set.p);
  for (uint16_t i = 1; fhir_codes_count(i); i++)
    if (str_is(set, fhir_codes_url(i))) t->sub = i;
}

/* A choice that the profile leaves one type. */
static void sharpen_choice(comp *c, val e, ty *t) {
  val types = member_list(e, "type");
  if (t->kind != TY_ANY || t->ref < 0 || types.len != 1) return;
  str code = member_text(types.u.v[0], "code");
  ty one = code.p ? type_named(c, code, NULL, false) : ty_one(TY_ERR);
  if (one.kind == TY_ERR) return;
  one = ty_card(one, t->min, t->many);
  one.label = t->label;
  one.why = t->why;
  *t = one;
}

ty profile_member(comp *c, ty recv, ast *n, str name, ty t) {
  pnode at = c->pnodes[recv.sub];
  const decl *d = &c->decls[at.decl];
  bool below = false;
  for (uint32_t i = 0; i < d->rows.len; i++) {
    val e = d->rows.u.v[i];
    str path = member_text(e, "path"), slice = member_text(e, "sliceName"), max = member_text(e, "max");
    size_t deep = at.path.len + 1 + name.len;
    below |= path.len > deep && path.p[deep] == '.' && path_is((str){path.p, deep}, at.path, name);
    if (slice.p || !path_is(path, at.path, name) || memchr(path.p, ':', path.len)) continue;
    if (str_is(max, "0")) {
      diag *g = err(c, E0203, n, "%.*s does not use '%.*s' (0..0)", STR(d->name), STR(name));
      diag_also(c->d, g, d->u->file, d->node->first->off, d->node->first->end, "the profile");
      return ty_one(TY_ERR);
    }
    if (str_is(max, "1")) t.many = recv.many;
    if (required(e) && !t.min) t.label |= TY_SOFT;
    sharpen_binding(e, &t);
    sharpen_choice(c, e, &t);
  }
  if (below && t.kind == TY_FHIR) t.sub = node_of(c, at.decl, str_of(fmt(c, "%.*s.%.*s", STR(at.path), STR(name))));
  return t;
}

/* extension('url') of a slice that the profile declares: at most one when it says so. */
ty profile_extension(comp *c, ty recv, const ast *url, ty t) {
  pnode at = c->pnodes[recv.sub];
  const decl *d = &c->decls[at.decl];
  if (!url || url->kind != AST_STRING) return t;
  ast_str want = ast_string_value(c->a, c->u->src, url);
  for (uint32_t i = 0; i < d->rows.len; i++) {
    val e = d->rows.u.v[i];
    val types = member_list(e, "type"), profiles = types.len ? member_list(types.u.v[0], "profile") : VAL_NONE;
    if (!path_is(member_text(e, "path"), at.path, str_of("extension")) || !profiles.len) continue;
    str have = text_of(&profiles.u.v[0]);
    if (have.len != want.len || memcmp(have.p, want.p, want.len) != 0) continue;
    if (str_is(member_text(e, "max"), "1") && !recv.many) t.many = false;
    if (required(e)) t.label |= TY_SOFT;
  }
  return t;
}

/* The elements of the resource in r that the profile requires or limits, checked at run time; a value that is not there at all passes. */
void profile_checks(comp *c, const decl *d, int r, const ast *at) {
  str type = str_of(fhir_type_name(d->as_fhir)), src = node_text(c, at);
  uint32_t over = emit_jump(&c->e, c->f->fn, OP_JMPE, (uint32_t)r), source = emit_str(&c->e, src.p, src.len > 80 ? 80 : src.len);
  for (uint32_t i = 0; i < d->rows.len; i++) {
    val e = d->rows.u.v[i];
    str path = member_text(e, "path"), slice = member_text(e, "sliceName"), max = member_text(e, "max");
    if (slice.p || path.len <= type.len + 1 || path.p[type.len] != '.') continue;
    str name = {path.p + type.len + 1, path.len - type.len - 1};
    if (name.len > 3 && memcmp(name.p + name.len - 3, "[x]", 3) == 0) name.len -= 3;
    bool none = str_is(max, "0"), one = str_is(max, "1");
    fhir_element_info info;
    if ((!none && !one && !required(e)) || !fhir_element(d->as_fhir, name.p, name.len, &info)) continue; /* what lies deeper is no element here */
    if (one && info.max == 1 && !required(e)) continue; /* FHIR says so itself: checked where it is read */
    int top = c->f->top, w = reg_new(c);
    mod_check k = {.what = emit_cstr(&c->e, fmt(c, "%.*s: %.*s.%.*s", STR(d->name), STR(type), STR(name))), .source = source, .type = emit_cstr(&c->e, "any"), .min = required(e), .max = none ? 0 : one ? 1 : MOD_MANY};
    emit_ext(&c->e, c->f->fn, OP_MEMBER, (uint32_t)w, (uint32_t)r, 0, emit_str(&c->e, name.p, name.len));
    emit_ext(&c->e, c->f->fn, OP_CHECK, (uint32_t)w, 0, 0, emit_check(&c->e, k));
    c->f->top = top;
  }
  emit_patch(&c->e, c->f->fn, over);
}
