/* fhirbuild.c - FHIR resources and data types that a program builds: calls of a type, object literals where a FHIR type is wanted, payloads `as fhir.T`.
 *
 * Elements are given by their JSON name (valueQuantity) or by the FHIRPath name (value) when the type of the value decides. What the shape shows is
 * proven here: unknown elements, wrong types and codes, several values for one, two types of a choice, required elements left out or maybe empty. */
#include "comp_int.h"
#include <string.h>

enum { ELEMENTS_MAX = 150 };

static void unknown_element(comp *c, ast *at, uint16_t type, str name) {
  nearest near;
  nearest_init(&near, name.p, name.len);
  fhir_nearest_element(&near, type);
  diag *d = err(c, E0203, at, "there is no element '%.*s' in %s", STR(name), fhir_type_name(type));
  if (advise_choice(c, d, at, type, name, true)) return;
  suggest(c, d, at, &near);
}

/* Static type of an element's values; any for resources of any type and for a choice whose type is not said. */
static ty element_ty(comp *c, const fhir_element_info *e, uint16_t one, ast *at) {
  bool many = e->max != 1;
  if (!one) return ty_make(TY_ANY, e->min != 0, many);
  ty t = ty_one(TY_FHIR);
  t.ref = one;
  if (fhir_type_kind(one) != FHIR_BACKBONE) t = type_named(c, str_of(fhir_type_name(one)), at, false);
  if (t.kind == TY_STR) t.sub = e->codes ? e->codes : -1;
  if (fhir_is_a(one, fhir_type("Quantity", 8))) t = ty_one(TY_QTY); /* FHIRPath's or FHIR's */
  if (t.kind == TY_ERR || (fhir_type_kind(one) == FHIR_RESOURCE && fhir_type_abstract(one))) t = ty_one(TY_ANY);
  return ty_card(t, e->min != 0, many);
}

bool fhir_target(comp *c, uint16_t type, ast *key, fhir_slot_info *out) {
  str name = key_text(c, key);
  *out = (fhir_slot_info){.json = fmt(c, "%.*s", STR(name))};
  fhir_element_info *e = &out->e;
  if (name.len > 1 && name.p[0] == '_') { /* what stands beside a primitive: its id and extensions */
    str bare = {name.p + 1, name.len - 1};
    uint16_t t = fhir_element(type, bare.p, bare.len, e) && !e->choice ? e->types[0] : fhir_choice_of(type, bare.p, bare.len, e);
    out->want = ty_make(TY_ANY, 0, e->max != 1);
    if (t && fhir_type_kind(t) == FHIR_PRIMITIVE) return true;
  } else {
    uint16_t t = fhir_choice_of(type, name.p, name.len, e);
    if (!t && fhir_element(type, name.p, name.len, e)) {
      t = e->n_types == 1 ? e->types[0] : 0;
      out->choice = e->choice;
    } else if (!t) {
      unknown_element(c, key, type, name);
      return false;
    }
    out->want = element_ty(c, e, t, key);
    return true;
  }
  unknown_element(c, key, type, name);
  return false;
}

/* value: the JSON name by the static type of what is given. */
const char *fhir_choice_name(comp *c, const fhir_element_info *e, ty t, ast *at) {
  const char *tn = t.kind == TY_FHIR ? fhir_type_name((uint16_t)t.ref) : t.kind == TY_BOOL ? "boolean" : t.kind == TY_INT ? "integer" : t.kind == TY_DEC ? "decimal"
                 : t.kind == TY_STR || t.kind == TY_HL7 ? "string" : t.kind == TY_DATE ? "date" : t.kind == TY_DATETIME ? "dateTime" : t.kind == TY_TIME ? "time"
                 : t.kind == TY_QTY ? "Quantity" : NULL;
  char m[FHIR_MEMBER_MAX];
  if (!tn) {
    err(c, E0226, at, "the element '%s' can be of several types: write the one that is meant, for example %s%s", e->name, e->name, "String");
    return NULL;
  }
  uint16_t id = fhir_type(tn, strlen(tn)), moment = fhir_type("dateTime", 8);
  uint16_t like = 0, n = 0; /* the only one of that System type; a date is a dateTime, too */
  for (uint16_t i = 0; i < e->n_types; i++) {
    if (e->types[i] == id) return fmt(c, "%.*s", (int)fhir_choice_member(e, id, m), m);
    fhir_system sys = fhir_type_system(e->types[i]);
    if (sys && sys == fhir_type_system(id)) { like = e->types[i]; n++; }
    if (t.kind == TY_DATE && e->types[i] == moment) { like = moment; n = 1; break; }
  }
  if (n == 1) return fmt(c, "%.*s", (int)fhir_choice_member(e, like, m), m);
  diag *d = err(c, E0209, at, "%s.%s is never %s", fhir_type_name(e->owner), e->name, tn);
  buf b;
  buf_init(&b, c->a, 4096);
  for (uint16_t i = 0; i < e->n_types && b.len < 200; i++) buf_putf(&b, "%s%s", i ? ", " : "", fhir_type_name(e->types[i]));
  buf_putc(&b, 0);
  if (!b.status) diag_note(c->d, d, "it can be: %s%s", b.p, strlen(b.p) >= 200 ? " …" : "");
  return NULL;
}

/* The same element twice; two types of a choice only when both are sure to have a value: of values that exclude each other one is left. */
static void given_twice(comp *c, ast *at, const fhir_slot_info *x, const fhir_slot_info *seen, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    bool same = strcmp(seen[i].json, x->json) == 0;
    if (!same && (seen[i].json[0] == '_' || x->json[0] == '_' || strcmp(seen[i].e.name, x->e.name) != 0 || !seen[i].sure || !x->sure)) continue;
    err(c, E0210, at, "'%s' is given twice%s", same ? x->json : x->e.name, same ? "" : ": a choice element has one type");
    return;
  }
}

/* Required elements that are not among those given. */
void fhir_missing(comp *c, const ast *at, uint16_t type, const fhir_slot_info *given, uint32_t n) {
  fhir_element_info e;
  for (unsigned i = 0; fhir_element_at(type, i, &e); i++) {
    bool has = !e.min;
    for (uint32_t k = 0; !has && k < n; k++) has = given[k].e.name && strcmp(given[k].e.name, e.name) == 0;
    if (!has) err(c, E0214, at, "%s needs '%s'", fhir_type_name(type), e.name);
  }
}

/* A value from HL7 v2 or undeclared JSON may be missing without a warning, and is then left out; what is known to be optional is checked. */
static ty soft_min(ty want, ty have) {
  if (ty_is_open(have) || ty_is_hl7(have) || (have.label & TY_SOFT)) want.min = 0;
  return want;
}

/* ---- codes that are written in full */

/* The value that an object literal or a call gives a member, or NULL. */
static ast *literal_member(comp *c, ast *e, const char *name) {
  ast *list = e->kind == AST_OBJ ? e : e->kind == AST_CALL ? ast_child(e, 1) : NULL;
  for (ast *x = list ? list->first : NULL; x; x = x->next)
    if ((x->kind == AST_PAIR || x->kind == AST_NAMED) && str_is(key_text(c, x->first), name)) return ast_child(x, 1);
  return NULL;
}

/* { system: '…', code: '…' } where the element is bound to a set. */
static void coding_literal(comp *c, ast *e, const fhir_element_info *of, bool concept) {
  uint16_t set = of->codes ? of->codes : of->advised;
  ast *code = literal_member(c, e, "code"), *system = literal_member(c, e, "system");
  if (!code || code->kind != AST_STRING || (system && system->kind != AST_STRING)) return;
  ast_str s = ast_string_value(c->a, c->u->src, code), y = system ? ast_string_value(c->a, c->u->src, system) : (ast_str){0};
  if (!s.p || (system && !y.p)) return;
  fhir_system_part part = system ? fhir_system_in(set, y.p, y.len) : FHIR_SYSTEM_PART;
  bool known = part != FHIR_SYSTEM_NONE;
  if (known && (!system || !fhir_coding_in(set, y.p, y.len, s.p, s.len))) {
    ty t = ty_one(TY_STR);
    if (of->codes && !concept) { t.sub = of->codes; code_of_set(c, t, code); }
    else code_advised(c, of, code, s, part == FHIR_SYSTEM_WHOLE || (!concept && of->binding == FHIR_BIND_EXTENSIBLE));
  }
  bool old = !known && y.len > 23 && (memcmp(y.p, "http://hl7.org/fhir/v2/", 23) == 0 || memcmp(y.p, "http://hl7.org/fhir/v3/", 23) == 0); /* as before R4 */
  if (known || !fhir_code_in(set, s.p, s.len) || (s.len < 2 && !old)) return; /* one letter is a code in many systems */
  for (unsigned i = 0; i < fhir_codes_count(set); i++) {
    const char *have = fhir_codes_at(set, i), *of_system = fhir_codes_system(set, i);
    if (strlen(have) != s.len || memcmp(have, s.p, s.len) != 0 || !of_system[0]) continue;
    diag *d = err(c, W0313, system, "the code '%.*s' of %s, to which FHIR binds %s.%s, has another system", (int)s.len, s.p, fhir_codes_url(set), fhir_type_name(of->owner), of->name);
    diag_replace(c->d, d, system->off, system->end, fmt(c, "'%s'", of_system), fmt(c, "it is '%s'", of_system));
    return;
  }
}

/* What stands for a Coding or CodeableConcept with a binding. */
static void coded_literal(comp *c, ast *e, const fhir_element_info *of, bool inside) {
  if (!of->codes && !of->advised) return;
  if (e->kind == AST_LIST)
    for (ast *x = e->first; x; x = x->next) coded_literal(c, x, of, inside);
  ast *codings = literal_member(c, e, "coding");
  if (codings) coded_literal(c, codings, of, true);
  else if (e->kind == AST_OBJ || e->kind == AST_CALL) coding_literal(c, e, of, inside);
}

/* One element into register r; its JSON name, or NULL after a report. */
static const char *element_value(comp *c, ast *key, ast *e, uint16_t type, fhir_slot_info *x, int r, uint8_t *label, bool *sure) {
  if (!x->want.many) not_union(c, e, fmt(c, "%s.%s", fhir_type_name(type), x->json));
  ty hint = x->want;
  if (hint.kind == TY_ANY && x->e.n_types == 1 && fhir_type_kind(x->e.types[0]) == FHIR_RESOURCE) { hint.kind = TY_FHIR; hint.ref = x->e.types[0]; } /* contained, entry.resource */
  ty t = ex_as(c, e, hint, r);
  *label |= t.label;
  *sure |= t.min > 0;
  x->sure = t.min && !ty_is_open(t) && !(t.label & TY_SOFT);
  if (t.kind == TY_SECRET) err(c, E0217, e, "a secret cannot become part of a resource");
  code_of_set(c, x->want, e);
  if (!c->lenient && !c->is_eval) {
    coded_literal(c, e, &x->e, false);
    if (x->want.kind == TY_STR && x->want.sub > 0) hl7_code(c, e, t, (uint16_t)x->want.sub, fmt(c, "%s.%s", fhir_type_name(type), x->json));
  }
  if (x->choice && x->want.kind == TY_ANY) {
    const char *json = fhir_choice_name(c, &x->e, t, key);
    if (!json) return NULL;
    if (t.kind == TY_HL7) hl7_text_as(c, t, r, TY_STR);
    x->json = json;
    if (t.kind == TY_QTY) x->want.kind = TY_QTY;
    else if (!t.many) return json;
    else t.kind = TY_ANY;
  }
  if (x->want.kind == TY_QTY) { /* FHIRPath's quantities become FHIR's */
    int top = c->f->top, w = reg_new(c);
    op3(c, OP_MOVE, w, r, 0);
    native(c, "fhir.quantity", w, 1, t);
    op3(c, OP_MOVE, r, w, 0);
    c->f->top = top;
    x->want.kind = TY_FHIR;
    x->want.ref = fhir_type("Quantity", 8);
    if (t.kind == TY_QTY) { t.kind = TY_FHIR; t.ref = x->want.ref; }
  }
  coerce(c, e, t, soft_min(x->want, t), r, fmt(c, "%s.%s", fhir_type_name(type), x->json));
  return x->json;
}

/* r := r as FHIR type. */
void fhir_as_type(comp *c, uint16_t type, int r) {
  int top = c->f->top, w = regs_new(c, 2);
  op3(c, OP_MOVE, w, r, 0);
  emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, emit_cstr(&c->e, fhir_type_name(type)));
  native(c, "fhir.as", w, 2, ty_one(TY_ANY));
  op3(c, OP_MOVE, r, w, 0);
  c->f->top = top;
}

static ty fhir_ty(uint16_t type, uint8_t label) {
  ty t = ty_one(TY_FHIR);
  t.ref = type;
  t.label = label;
  return t;
}

static void no_resource(comp *c, const ast *at, ast_str s) {
  nearest near;
  nearest_init(&near, s.p ? s.p : "", s.len);
  fhir_nearest_type(&near, true);
  diag *d = err(c, E0202, at, "R4 has no such resource type");
  if (near.n) diag_replace(c->d, d, at->off, at->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
}

/* The type that resourceType: 'Patient' names; the one that is wanted when it says the same or nothing. */
static uint16_t literal_type(comp *c, ast *list, uint16_t want) {
  for (ast *x = list->first; x; x = x->next) {
    if (x->kind != AST_PAIR || !str_is(key_text(c, x->first), "resourceType") || ast_child(x, 1)->kind != AST_STRING) continue;
    ast_str s = ast_string_value(c->a, c->u->src, ast_child(x, 1));
    uint16_t is = s.p ? fhir_resource(s.p, s.len) : 0;
    if (!is) { no_resource(c, ast_child(x, 1), s); break; }
    if (want && !fhir_is_a(is, want)) err(c, E0209, ast_child(x, 1), "a %s is wanted here", fhir_type_name(want));
    return is;
  }
  return want && !fhir_type_abstract(want) ? want : 0;
}

/* Elements of a call (NAMED) or an object literal (PAIR) as an object of that type. at: what a report about the whole points to. */
ty fhir_build(comp *c, const ast *at, ast *list, uint16_t type, int dst) {
  fnctx *f = c->f;
  int top = f->top;
  uint32_t k = 0, ngiven = 0;
  mod_key *keys = arena_alloc(c->a, (list->n + 2) * sizeof *keys);
  fhir_slot_info *given = arena_zalloc(c->a, list->n + 1, sizeof *given);
  if (!keys || !given) { c->e.status = HDW_E_NOMEM; return ty_one(TY_ERR); }
  if (list->n > ELEMENTS_MAX) { err(c, E0228, at, "at most %d elements in one call", ELEMENTS_MAX); return ty_one(TY_ERR); }
  int base = regs_new(c, (int)list->n + 1);
  uint8_t label = 0;
  bool sure = fhir_type_kind(type) == FHIR_RESOURCE;
  if (sure) {
    keys[k] = (mod_key){emit_cstr(&c->e, "resourceType"), 0};
    emit_loadk(&c->e, f->fn, (uint32_t)base, emit_cstr(&c->e, fhir_type_name(type)));
    k++;
  }
  for (ast *x = list->first; x; x = x->next) {
    if (x->kind == AST_ERROR) continue;
    if (x->kind != AST_NAMED && x->kind != AST_PAIR) { err(c, E0208, x, "elements of %s are given by name: %s(name: value)", fhir_type_name(type), fhir_type_name(type)); continue; }
    if (x->kind == AST_PAIR && str_is(key_text(c, x->first), "resourceType")) continue;
    fhir_slot_info *slot = &given[ngiven];
    if (!fhir_target(c, type, x->first, slot)) {
      ex(c, ast_child(x, 1), base + (int)k);
      continue;
    }
    const char *json = element_value(c, x->first, ast_child(x, 1), type, slot, base + (int)k, &label, &sure);
    given_twice(c, x->first, slot, given, ngiven);
    ngiven++;
    if (!json) continue;
    keys[k] = (mod_key){emit_cstr(&c->e, json), (slot->want.many ? MOD_KEY_ARRAY : 0u) | MOD_KEY_OMIT_EMPTY};
    k++;
  }
  fhir_missing(c, at, type, given, ngiven);
  emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)dst, (uint32_t)base, 0, emit_shape(&c->e, keys, k));
  f->top = top;
  fhir_as_type(c, type, dst);
  return sure ? fhir_ty(type, label) : ty_card(fhir_ty(type, label | TY_SOFT), 0, false); /* a data type without any content is {}: FHIR has no empty elements */
}

/* {} as written: the element is taken away. */
static bool is_nothing(const ast *e) { return e->kind == AST_EMPTY; }

ty fhir_with(comp *c, ast *args, ty recv, int r, int dst) {
  fnctx *f = c->f;
  uint16_t type = (uint16_t)recv.ref;
  uint32_t k = 0, ngiven = 0;
  int top = f->top, w = regs_new(c, 2);
  mod_key *keys = arena_alloc(c->a, (args->n + 1) * sizeof *keys);
  fhir_slot_info *given = arena_zalloc(c->a, args->n + 1, sizeof *given);
  if (!keys || !given) { c->e.status = HDW_E_NOMEM; return ty_one(TY_ERR); }
  if (args->n > ELEMENTS_MAX) { err(c, E0228, args, "at most %d elements in one call", ELEMENTS_MAX); return ty_one(TY_ERR); }
  int base = regs_new(c, (int)args->n + 1);
  uint8_t label = 0;
  bool sure = false;
  for (ast *x = args->first; x; x = x->next) {
    if (x->kind == AST_ERROR) continue;
    if (x->kind != AST_NAMED) { err(c, E0208, x, "edits are given by name: with(status: 'done')"); continue; }
    fhir_slot_info *slot = &given[ngiven];
    ast *e = ast_child(x, 1);
    if (!fhir_target(c, type, x->first, slot)) {
      ex(c, e, base + (int)k);
      continue;
    }
    const char *json = slot->json;
    if (!is_nothing(e)) {
      json = element_value(c, x->first, e, type, slot, base + (int)k, &label, &sure);
    } else {
      op3(c, OP_EMPTY, base + (int)k, 0, 0);
      if (slot->e.min) err(c, E0214, e, "%s needs '%s': it cannot be taken away", fhir_type_name(type), slot->e.name);
    }
    given_twice(c, x->first, slot, given, ngiven);
    ngiven++;
    if (!json) continue;
    keys[k] = (mod_key){emit_cstr(&c->e, json), slot->want.many ? MOD_KEY_ARRAY : 0u};
    k++;
  }
  op3(c, OP_MOVE, w, r, 0);
  emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)w + 1, (uint32_t)base, 0, emit_shape(&c->e, keys, k));
  native(c, "object.with", w, 2, recv);
  op3(c, OP_MOVE, dst, w, 0);
  f->top = top;
  recv.sub = -1; /* whether it still conforms to a profile is checked where that is wanted */
  return ty_label(recv, label);
}

/* A list whose items are wanted as a FHIR type. */
static ty list_as(comp *c, ast *n, ty want, int dst) {
  int top = c->f->top, b = reg_new(c), r = reg_new(c);
  ty t = ty_make(TY_NONE, 0, false);
  op3(c, OP_NEWB, b, 0, 0);
  for (ast *x = n->first; x; x = x->next) {
    ty y = ex_as(c, x, ty_card(want, 1, false), r);
    t = x == n->first ? y : join_types(t, y);
    op3(c, OP_PUSH, b, r, 0);
  }
  op3(c, OP_BUILD, dst, b, 0);
  c->f->top = top;
  return n->n > 1 ? ty_card(t, t.min, true) : t;
}

static bool has_object(const ast *n) {
  for (const ast *x = n->first; x; x = x->next)
    if (x->kind == AST_OBJ) return true;
  return false;
}

ty ex_as(comp *c, ast *n, ty want, int dst) {
  bool fhir = want.kind == TY_FHIR || want.kind == TY_QTY;
  if (n->kind == AST_LIST && has_object(n) && fhir) return list_as(c, n, want, dst);
  if (n->kind != AST_OBJ || !fhir) return ex(c, n, dst);
  uint16_t type = literal_type(c, n, want.kind == TY_QTY ? fhir_type("Quantity", 8) : (uint16_t)want.ref);
  return type ? fhir_build(c, n, n, type, dst) : ex(c, n, dst);
}

/* fhir.Patient(value): the value as that type, its tag checked; fhir.Patient(name: …) builds one. */
ty fhir_load(comp *c, ast *call_node, uint16_t type, int dst) {
  ast *args = ast_child(call_node, 1);
  if (args->n != 1 || args->first->kind == AST_NAMED) return fhir_build(c, call_node->first, args, type, dst);
  int top = c->f->top, r = reg_new(c);
  ty want = fhir_ty(type, 0), t = ex_as(c, args->first, want, r);
  if (t.kind == TY_STR) {
    diag *d = err(c, E0209, args->first, "%s is loaded from JSON that was read, this is a text", fhir_type_name(type));
    fix_append(c, d, args->first, ".fromJson()", "read it: .fromJson()");
    c->f->top = top;
    return ty_one(TY_ERR);
  }
  if (t.min) coerce(c, args->first, t, want, r, fhir_type_name(type));
  else coerce(c, args->first, ty_is_open(t) ? t : ty_card(t, 1, t.many), ty_card(want, 0, false), r, fhir_type_name(type));
  op3(c, OP_MOVE, dst, r, 0);
  c->f->top = top;
  return ty_label(ty_card(want, t.min && !ty_is_open(t), false), t.label | (ty_is_open(t) ? TY_SOFT : 0));
}
