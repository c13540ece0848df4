/* advice.c - what was probably meant where a FHIR type meets another: fixes and notes beside the report of a mismatch. */
#include "comp_int.h"
#include <string.h>

static bool is_type(ty t, const char *name) { return t.kind == TY_FHIR && strcmp(fhir_type_name((uint16_t)t.ref), name) == 0; }

/* Fix: text before and behind the expression. */
static void wrap(comp *c, diag *d, const ast *n, const char *before, const char *behind) {
  diag_fix *x = diag_fix_begin(c->d, d, "write %s…%s", before, behind);
  if (!x) return;
  diag_fix_edit(c->d, x, c->u->file, n->off, n->off, before);
  diag_fix_edit(c->d, x, c->u->file, n->end, n->end, behind);
}

/* Functions of the library v2 that make a FHIR type of a data type, as its tables of the official guide do. */
static const char *of_hl7(const char *dt, const char *type) {
  static const char *const known[][3] = {{"CWE", "CodeableConcept", "CWE_CodeableConcept"}, {"CWE", "Coding", "CWE_Coding"}, {"CX", "Identifier", "CX_Identifier"}, {"EI", "Identifier", "EI_Identifier"},
    {"XPN", "HumanName", "XPN_HumanName"}, {"XAD", "Address", "XAD_Address"}, {"XTN", "ContactPoint", "XTN_ContactPoint"}, {"XCN", "Practitioner", "XCN_Practitioner"}, {"XCN", "HumanName", "XCN_HumanName"},
    {"XON", "Organization", "XON_Organization"}, {"PL", "Location", "PL_Location"}, {"DR", "Period", "DR_Period"}, {"CQ", "Quantity", "CQ_Quantity"}, {"NR", "Range", "NR_Range"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i][0], dt) == 0 && strcmp(known[i][1], type) == 0) return known[i][2];
  return NULL;
}

void advise_conversion(comp *c, diag *d, const ast *n, ty from, ty to) {
  static const struct { const char *type, *member; } text_members[] = {{"CodeableConcept", "text"}, {"HumanName", "text"}, {"Address", "text"}, {"Annotation", "text"}, {"Identifier", "value"}, {"ContactPoint", "value"},
    {"Reference", "reference"}};
  if (to.kind != TY_FHIR || n->kind == AST_LIST) return;
  const char *type = fhir_type_name((uint16_t)to.ref);
  if (from.kind == TY_FHIR && is_type(to, "Reference") && fhir_type_kind((uint16_t)from.ref) == FHIR_RESOURCE) {
    if (!from.many) wrap(c, d, n, "reference(", ")");
    diag_note(c->d, d, "a resource that the server has is referred to by its id: { reference: \"%s/{….id}\" }", fhir_type_name((uint16_t)from.ref));
    return;
  }
  if (from.kind == TY_HL7 && from.ref >= 0) {
    const char *f = of_hl7(dict_datatype_name(from.ref), type);
    if (f) diag_note(c->d, d, from.many ? "the library v2 has a function for it: use v2, then ….select(v2.%s($this))" : "the library v2 has a function for it: use v2, then v2.%s(…)", f);
    return;
  }
  if (from.kind != TY_STR || from.many) return;
  for (size_t i = 0; i < sizeof text_members / sizeof *text_members; i++)
    if (strcmp(type, text_members[i].type) == 0) wrap(c, d, n, fmt(c, "{ %s: ", text_members[i].member), " }");
  if (is_type(to, "CodeableConcept")) diag_note(c->d, d, "a code stands in a coding: { coding: [{ system: '…', code: … }] }");
  if (is_type(to, "Reference")) diag_note(c->d, d, "the text is that of a reference: 'Patient/1'");
}

/* W0314: a field of HL7 v2 with a table of codes goes as it is to an element that FHIR binds to codes of its own. */
void hl7_code(comp *c, const ast *n, ty t, uint16_t set, const char *what) {
  dict_info f;
  const char *code, *text, *strange = NULL;
  if (t.kind != TY_HL7 || t.sub < 0 || !set || !dict_field(t.sub >> 16, (unsigned)(t.sub & 0xffff), &f) || f.table <= 0) return;
  buf b;
  buf_init(&b, c->a, 4096);
  for (unsigned i = 0; dict_table_code((unsigned)f.table, i, &code, &text); i++) {
    if (!strange && !fhir_code_in(set, code, strlen(code))) strange = code;
    if (b.len < 160) buf_putf(&b, "%s%s", b.len ? ", " : "", code);
  }
  buf_putc(&b, 0);
  if (!strange || b.status) return;
  diag *d = err(c, W0314, n, "%s-%d has codes of HL7 v2 (%s%s), %s those of FHIR", dict_segment_name(t.sub >> 16), t.sub & 0xffff, b.p, b.len > 160 ? " …" : "", what);
  b.len = 0;
  for (unsigned i = 0; i < fhir_codes_count(set) && b.len < 200; i++) buf_putf(&b, "%s%s", i ? ", " : "", fhir_codes_at(set, i));
  buf_putc(&b, 0);
  if (!b.status) diag_note(c->d, d, "codes: %s%s", b.p, b.len > 200 ? " …" : "");
  diag_note(c->d, d, "a map says which is which: map name(code: string?): string? { '%s': '…', else: {} }", strange);
}

/* path (of type t) is compared with value. */
static bool member_meant(comp *c, diag *d, const ast *n, const ast *path, ty t, const ast *value) {
  static const struct { const char *type, *member; bool in; } meant[] = {{"CodeableConcept", "coding.code", true}, {"Coding", "code", false}, {"Identifier", "value", false}, {"Reference", "reference", false},
    {"ContactPoint", "value", false}, {"HumanName", "family", false}, {"Annotation", "text", false}};
  if (t.kind != TY_FHIR || is_binary(path)) return false;
  for (size_t i = 0; i < sizeof meant / sizeof *meant; i++) {
    if (!is_type(t, meant[i].type)) continue;
    bool in = meant[i].in || t.many;
    str p = node_text(c, path), v = node_text(c, value);
    if (n->kind != AST_EQ) return false;
    if (in && is_binary(value)) return false;
    diag_replace(c->d, d, n->off, n->end, in ? fmt(c, "%.*s in %.*s.%s", STR(v), STR(p), meant[i].member) : fmt(c, "%.*s.%s = %.*s", STR(p), meant[i].member, STR(v)), fmt(c, "ask for its %s", meant[i].member));
    return true;
  }
  return false;
}

void advise_comparison(comp *c, diag *d, const ast *n, const ast *l, const ast *r, ty x, ty y) {
  if (y.kind == TY_STR && member_meant(c, d, n, l, x, r)) return;
  if (x.kind == TY_STR) (void)member_meant(c, d, n, r, y, l);
}

/* effectiveDate: the members of the choice element that the name begins with. */
bool advise_choice(comp *c, diag *d, const ast *at, uint16_t type, str name, bool json) {
  fhir_element_info e;
  char m[FHIR_MEMBER_MAX];
  for (unsigned i = 0; fhir_element_at(type, i, &e); i++) {
    size_t n = strlen(e.name);
    if (!e.choice || name.len <= n || memcmp(name.p, e.name, n) != 0 || name.p[n] < 'A' || name.p[n] > 'Z') continue;
    nearest near;
    nearest_init(&near, name.p + n, name.len - n);
    near.limit = 6;
    for (uint16_t k = 0; k < e.n_types; k++) {
      const char *t = fhir_type_name(e.types[k]);
      if (strlen(t) >= name.len - n && strncasecmp(t, name.p + n, name.len - n) == 0) nearest_offer(&near, t, strlen(t)); /* Date: dateTime */
    }
    if (!near.n) near.limit = 1;
    for (uint16_t k = 0; !near.n && k < e.n_types; k++) nearest_offer(&near, fhir_type_name(e.types[k]), strlen(fhir_type_name(e.types[k])));
    if (near.n && json) {
      size_t len = fhir_choice_member(&e, fhir_type(near.hit[0].name, near.hit[0].len), m);
      diag_replace(c->d, d, at->off, at->end, fmt(c, "%.*s", (int)len, m), fmt(c, "did you mean '%.*s'?", (int)len, m));
    } else if (near.n) {
      diag_replace(c->d, d, at->off, at->end, fmt(c, "%s.ofType(%.*s)", e.name, (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%s.ofType(%.*s)'?", e.name, (int)near.hit[0].len, near.hit[0].name));
    }
    buf b;
    buf_init(&b, c->a, 4096);
    for (uint16_t k = 0; k < e.n_types && b.len < 200; k++) buf_putf(&b, "%s%s", k ? ", " : "", fhir_type_name(e.types[k]));
    buf_putc(&b, 0);
    if (!b.status) diag_note(c->d, d, "the element %s can be: %s%s", e.name, b.p, strlen(b.p) >= 200 ? " …" : "");
    return true;
  }
  return false;
}
