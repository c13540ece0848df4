/* path_fhir.c - members of FHIR types: elements, choice elements, resources of any type, what a search gave. */
#include "comp_int.h"
#include <string.h>


/* A choice element is any with ref = its row in c->choices, so that ofType knows what it can be. */
int32_t choice_add(comp *c, const fhir_element_info *e) {
  for (uint32_t i = c->nchoices; i-- > 0 && i + 40 > c->nchoices;)
    if (c->choices[i].name == e->name && c->choices[i].types == e->types && c->choices[i].targets == e->targets && c->choices[i].owner == e->owner) return (int32_t)i;
  if (c->nchoices == c->cap_choices) {
    uint32_t cap = c->cap_choices ? c->cap_choices * 2 : 16;
    fhir_element_info *v = arena_grow(c->a, c->choices, c->cap_choices * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return -1; }
    c->choices = v;
    c->cap_choices = cap;
  }
  c->choices[c->nchoices] = *e;
  return (int32_t)c->nchoices++;
}

ty fhir_types(comp *c, const fhir_element_info *e) {
  ty t = ty_one(TY_ANY);
  if (e->choice && e->n_types > 1) t.ref = choice_add(c, e);
  if (e->n_types == 1) {
    uint16_t id = e->types[0];
    switch (fhir_type_system(id)) {
      case FHIR_SYS_BOOLEAN: t.kind = TY_BOOL; break;
      case FHIR_SYS_STRING: t.kind = TY_STR; t.sub = e->codes ? e->codes : -1; break;
      case FHIR_SYS_INTEGER: t.kind = TY_INT; break;
      case FHIR_SYS_DECIMAL: t.kind = TY_DEC; break;
      case FHIR_SYS_DATE: t.kind = TY_DATE; break;
      case FHIR_SYS_DATETIME: t.kind = TY_DATETIME; break;
      case FHIR_SYS_TIME: t.kind = TY_TIME; break;
      default: t.kind = TY_FHIR; t.ref = id; break;
    }
    if (strcmp(fhir_type_name(id), "Resource") == 0) { t.kind = TY_ANY; t.ref = choice_add(c, e); }
  }
  if ((t.kind == TY_FHIR && (e->n_targets || e->codes || e->advised)) || (t.kind == TY_STR && e->advised)) {
    int32_t row = choice_add(c, e);
    t.from = row >= 0 && row < UINT16_MAX ? (uint16_t)(row + 1) : 0;
  }
  return ty_card(t, e->min ? 1 : 0, e->max != 1);
}

/* A resource of any type, as in Bundle.entry. */
ty resource_any(comp *c) {
  fhir_element_info e;
  return fhir_element(fhir_type("Bundle.entry", 12), "resource", 8, &e) ? fhir_types(c, &e) : ty_opt(TY_ANY);
}

/* coding and code of an element with a binding are bound as it is. */
static void coded_member(comp *c, ty recv, str name, ty *t) {
  const fhir_element_info *e = &c->choices[recv.from - 1];
  uint16_t concept = fhir_type("CodeableConcept", 15), coding = fhir_type("Coding", 6);
  if ((uint16_t)recv.ref != (str_is(name, "coding") ? concept : coding)) return;
  t->from = recv.from;
  if (t->kind == TY_STR && e->types[0] == coding && e->codes) t->sub = e->codes;
}

/* valueQuantity: the element is value. head: what its path begins with. */
static void written_choice(comp *c, const ast *n, str name, const fhir_element_info *e, uint16_t type, const char *head) {
  diag *d = err(c, E0226, n, "FHIRPath writes '%s', not '%.*s'", e->name, STR(name));
  diag_note(c->d, d, "the element %s can be of several types; ask for one with .ofType(%s)", e->name, fhir_type_name(type));
  const char *so = fmt(c, "%s%s.ofType(%s)", head, e->name, fhir_type_name(type));
  diag_replace(c->d, d, n->off, n->end, so, fmt(c, "write '%s'", so));
}

ty fhir_member(comp *c, ty recv, int r, ast *n, str name, int dst) {
  fhir_element_info e, ch;
  uint16_t id = (uint16_t)recv.ref;
  member_load(c, name, r, dst);
  if (fhir_element(id, name.p, name.len, &e)) {
    ty t = fhir_types(c, &e);
    if (recv.from && (str_is(name, "coding") || str_is(name, "code"))) coded_member(c, recv, name, &t);
    t.why = recv.min ? 0 : recv.why;
    if (!e.min && !t.why) t.why = why_new(c, n, fmt(c, "%s.%s is missing (%u..%s)", fhir_type_name(id), e.name, e.min, e.max == 1 ? "1" : "*"));
    t = ty_label(ty_card(t, t.min && recv.min, t.many || recv.many), recv.label);
    return recv.sub >= 0 && recv.kind == TY_FHIR ? profile_member(c, recv, n, name, t) : t;
  }
  if (str_is(name, "resourceType")) return ty_label(ty_card(ty_one(TY_STR), recv.min, recv.many), 0);
  if (c->lenient) return ty_label(ty_make(TY_ANY, 0, recv.many), recv.label);
  uint16_t choice = fhir_choice_of(id, name.p, name.len, &ch);
  if (choice) {
    written_choice(c, n, name, &ch, choice, "");
    return ty_one(TY_ERR);
  }
  nearest near;
  nearest_init(&near, name.p, name.len);
  fhir_nearest_element(&near, id);
  diag *d = err(c, E0203, n, "there is no element '%.*s' in %s", STR(name), fhir_type_name(id));
  if (!advise_choice(c, d, n, id, name, false)) suggest(c, d, n, &near);
  variable_note(c, d, n, name);
  return ty_one(TY_ERR);
}

/* valueQuantity of what may be an Observation: E0226 with the FHIRPath spelling. */
static bool choice_spelling(comp *c, const fhir_element_info *of, bool open, const ast *n, str name) {
  fhir_element_info e;
  uint16_t type = 0;
  for (uint16_t i = 1; open && !type && i <= fhir_type_count(); i++)
    if (fhir_type_kind(i) == FHIR_RESOURCE) type = fhir_choice_of(i, name.p, name.len, &e);
  for (uint16_t i = 0; !open && !type && i < of->n_types; i++) type = fhir_choice_of(of->types[i], name.p, name.len, &e);
  if (type) written_choice(c, n, name, &e, type, "");
  return type != 0;
}

/* Members of a choice element or of a resource of any type: of those types that have one of that name. */
ty choice_member(comp *c, ty recv, int r, ast *n, str name, int dst) {
  fhir_element_info of = c->choices[recv.ref], e;
  bool resource = fhir_type_kind(of.types[0]) == FHIR_RESOURCE, open = resource && fhir_type_abstract(of.types[0]);
  nearest near;
  ty t = ty_opt(TY_ANY);
  unsigned found = 0;
  nearest_init(&near, name.p, name.len);
  member_load(c, name, r, dst);
  if (str_is(name, "resourceType") && resource) return ty_label(ty_card(ty_one(TY_STR), recv.min, recv.many), 0);
  for (uint16_t i = 0; !open && i < of.n_types; i++) {
    fhir_nearest_element(&near, of.types[i]);
    if (!fhir_element(of.types[i], name.p, name.len, &e)) continue;
    ty x = fhir_types(c, &e);
    t = found++ ? join_types(t, x) : x;
  }
  for (uint16_t i = 1; open && i <= fhir_type_count(); i++) {
    if (fhir_type_kind(i) != FHIR_RESOURCE) continue;
    fhir_nearest_element(&near, i);
    if (fhir_element(i, name.p, name.len, &e)) found++;
  }
  if (!found && !c->lenient) {
    if (choice_spelling(c, &of, open, n, name)) return ty_one(TY_ERR);
    diag *d = open ? err(c, E0203, n, "no resource has an element '%.*s'", STR(name))
                   : err(c, E0203, n, "nothing that %s.%s can be has an element '%.*s'", fhir_type_name(of.owner), of.name, STR(name));
    suggest(c, d, n, &near);
    return ty_one(TY_ERR);
  }
  t.why = recv.why;
  return ty_label(ty_card(t, 0, recv.many || t.many || open), recv.label);
}

/* An element of the resources that a search gave, asked of its result: they are its match. */
bool in_search_result(comp *c, const shape *s, const ast *n, str name, const nearest *near) {
  fhir_element_info e;
  if (!s->n || !str_is(s->names[0], "match") || s->types[0].kind != TY_FHIR) return false;
  uint16_t type = (uint16_t)s->types[0].ref, choice = fhir_choice_of(type, name.p, name.len, &e);
  nearest other;
  nearest_init(&other, name.p, name.len);
  fhir_nearest_element(&other, type);
  if (choice) { written_choice(c, n, name, &e, choice, "match."); return true; }
  bool exact = fhir_element(type, name.p, name.len, &e);
  if (!exact && (!other.n || (near->n && near->hit[0].distance <= other.hit[0].distance))) return false;
  diag *d = err(c, E0203, n, "this is the result of a search: '%.*s' is asked of the resources that it found", STR(name));
  const char *so = exact ? fmt(c, "match.%.*s", STR(name)) : fmt(c, "match.%.*s", (int)other.hit[0].len, other.hit[0].name);
  diag_replace(c->d, d, n->off, n->end, so, fmt(c, "write '%s'", so));
  return true;
}

