/* fhircall.c - calls of FHIR connections: resource types, search parameters with their modifiers, chains and values, checked against R4.
 *
 * `epic.search(Coverage, patient: id, 'name:exact': 'x', 'beneficiary.birthdate': 'ge1990')`. What the call gives is typed by its resource. */
#include "comp_int.h"
#include <string.h>

uint16_t fhir_resource_arg(comp *c, ast *a) {
  if (!connection_is_r4(c, c->conn)) return 0; /* what it gives is any */
  if (a->kind != AST_NAME || find_local(c, node_name(c, a)) || find_decl(c, node_name(c, a))) return 0;
  str name = node_name(c, a);
  uint16_t id = fhir_resource(name.p, name.len);
  if (id) return id;
  nearest near;
  nearest_init(&near, name.p, name.len);
  fhir_nearest_type(&near, true);
  diag *d = err(c, E0202, a, "there is no resource '%.*s' in FHIR R4", STR(name));
  suggest(c, d, a, &near);
  return 0;
}

static const char *type_text(fhir_search_type t) {
  static const char *const names[] = {"", "number", "date", "string", "token", "reference", "composite", "quantity", "uri", "special", "control"};
  return names[t];
}

/* Replaces the part [at, at + len) of a key by a suggestion. */
static void suggest_part(comp *c, diag *d, const ast *key, str whole, size_t at, size_t len, const nearest *near) {
  if (!near->n) return;
  uint32_t off = key->off + (key->kind == AST_STRING ? 1 : 0) + (uint32_t)at;
  if (key->end - key->off != whole.len + (key->kind == AST_STRING ? 2 : 0)) return; /* written with escapes */
  const char *q = key->kind != AST_STRING && memchr(near->hit[0].name, '-', near->hit[0].len) ? "'" : ""; /* recorded-date is no name */
  diag_replace(c->d, d, off, off + (uint32_t)len, fmt(c, "%s%.*s%s", q, (int)near->hit[0].len, near->hit[0].name, q), fmt(c, "did you mean '%.*s'?", (int)near->hit[0].len, near->hit[0].name));
}

/* No name is near: those that have the word in them (recorded: recorded-date), or all. */
static void parameters_like(comp *c, diag *d, uint16_t resource, str word, nearest *near) {
  fhir_search_info p;
  buf b;
  buf_init(&b, c->a, 4096);
  for (unsigned i = 0; fhir_search_at(resource, i, &p); i++) {
    if (word.len >= 4 && memmem(p.name, strlen(p.name), word.p, word.len) && !near->n) {
      near->n = 1;
      near->hit[0] = (nearest_hit){.name = p.name, .len = strlen(p.name)};
    }
    if (b.len < 300) buf_putf(&b, "%s%s", b.len ? ", " : "", p.name);
  }
  buf_putc(&b, 0);
  if (!near->n && !b.status) diag_note(c->d, d, "there are: %s%s", b.p, strlen(b.p) >= 300 ? " …" : "");
}

/* One parameter of a resource, perhaps with a modifier: the text [at, end) of the key. false after a report. */
static bool one_param(comp *c, ast *key, str whole, size_t at, size_t end, uint16_t resource, fhir_search_info *p, uint16_t *typed) {
  size_t colon = at;
  while (colon < end && whole.p[colon] != ':') colon++;
  *typed = 0;
  if (!fhir_search_param(resource, whole.p + at, colon - at, p)) {
    nearest near;
    nearest_init(&near, whole.p + at, colon - at);
    fhir_nearest_search(&near, resource);
    diag *d = err(c, E0235, key, "%s has no search parameter '%.*s'", fhir_type_name(resource), (int)(colon - at), whole.p + at);
    if (!near.n) parameters_like(c, d, resource, (str){whole.p + at, colon - at}, &near);
    suggest_part(c, d, key, whole, at, colon - at, &near);
    return false;
  }
  if (colon == end) return true;
  const char *m = whole.p + colon + 1;
  size_t mlen = end - colon - 1;
  if (!fhir_search_modifier(p, m, mlen)) {
    diag *d = err(c, E0236, key, "the modifier ':%.*s' is not for '%s', which is a %s parameter", (int)mlen, m, p->name, type_text(p->type));
    nearest near;
    nearest_init(&near, m, mlen);
    for (uint16_t i = 0; p->type == FHIR_SP_REFERENCE && i < p->n_targets; i++) nearest_offer(&near, fhir_type_name(p->targets[i]), strlen(fhir_type_name(p->targets[i])));
    static const char *const words[] = {"missing", "exact", "contains", "text", "not", "above", "below", "in", "not-in", "of-type", "identifier"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
      if (fhir_search_modifier(p, words[i], strlen(words[i]))) nearest_offer(&near, words[i], strlen(words[i]));
    suggest_part(c, d, key, whole, colon + 1, mlen, &near);
    return false;
  }
  if (p->type == FHIR_SP_REFERENCE) *typed = fhir_resource(m, mlen);
  return true;
}

/* The element that a simple expression of a parameter names: "status", "code.coding". */
static bool param_element(const fhir_search_info *p, uint16_t resource, fhir_element_info *e) {
  uint16_t type = resource;
  for (const char *s = p->expression;; s++) {
    size_t n = strcspn(s, ". |()");
    if ((s[n] && s[n] != '.') || !fhir_element(type, s, n, e)) return false;
    type = e->types[0];
    s += n;
    if (!*s) return true;
  }
}

/* "ge2020-01", "2020": a prefix and a date of any precision. */
static bool date_text(const char *s, size_t len) {
  static const char *const prefixes[] = {"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"};
  tm_val t;
  for (size_t i = 0; len > 2 && i < sizeof prefixes / sizeof *prefixes; i++)
    if (memcmp(s, prefixes[i], 2) == 0) { s += 2; len -= 2; break; }
  return tm_parse_datetime(s, len, &t) == HDW_OK;
}

static void param_value(comp *c, ast *e, ty t, const fhir_search_info *p, uint16_t resource) {
  fhir_element_info el;
  bool plain = ty_is_number(t) || t.kind == TY_BOOL || ty_is_time(t) || t.kind == TY_QTY;
  bool wrong = p->type == FHIR_SP_STRING ? plain : p->type == FHIR_SP_DATE ? plain && !ty_is_time(t) : p->type == FHIR_SP_NUMBER ? plain && !ty_is_number(t)
             : p->type == FHIR_SP_REFERENCE ? plain : p->type == FHIR_SP_TOKEN ? plain && t.kind != TY_BOOL && t.kind != TY_INT : false;
  if (wrong) err(c, E0209, e, "'%s' is a %s parameter, this is %s", p->name, type_text(p->type), ty_text(c, t));
  if (e->kind != AST_STRING) return;
  ast_str s = ast_string_value(c->a, c->u->src, e);
  if (!s.p || memchr(s.p, ',', s.len) || memchr(s.p, '|', s.len)) return;
  if (p->type == FHIR_SP_DATE && !date_text(s.p, s.len)) {
    diag *d = err(c, E0209, e, "'%s' is a date parameter: a date of any precision, with a prefix or without", p->name);
    diag_note(c->d, d, "for example 'ge2024-01' (prefixes: eq ne gt lt ge le sa eb ap)");
  }
  if (p->type == FHIR_SP_TOKEN && param_element(p, resource, &el) && el.codes && el.n_types == 1 && fhir_type_format(el.types[0]) == FHIR_FMT_CODE) {
    ty code = ty_one(TY_STR);
    code.sub = el.codes;
    code_of_set(c, code, e);
  } else if (p->type == FHIR_SP_TOKEN && param_element(p, resource, &el) && (el.codes || el.advised)) {
    code_advised(c, &el, e, s, el.codes != 0);
  }
}

/* Of the call, not of the search. extra: further parameters as an object, by names that are known at run time only. */
static bool search_control(str name) { return str_is(name, "max") || str_is(name, "pages") || str_is(name, "timeout") || str_is(name, "extra"); }

/* A key: parameter, chain (`patient.name`, `subject:Patient.name`) or _has. */
static void search_key(comp *c, ast *key, ast *value, ty t, uint16_t resource) {
  str k = key_text(c, key);
  fhir_search_info p;
  uint16_t typed;
  size_t at = 0;
  if (search_control(k) || (k.len > 5 && memcmp(k.p, "_has:", 5) == 0)) return;
  str whole = str_of(fhir_type_name(resource));
  if (!fhir_search_param(resource, k.p, strcspn(fmt(c, "%.*s", STR(k)), ":."), &p) && server_has_param(c->conn, whole, k)) return; /* one of the server's own */
  for (;;) {
    size_t dot = at;
    while (dot < k.len && k.p[dot] != '.') dot++;
    if (!one_param(c, key, k, at, dot, resource, &p, &typed)) return;
    if (dot >= k.len) break;
    if (p.type != FHIR_SP_REFERENCE) {
      err(c, E0235, key, "'%s' is a %s parameter: only a reference is followed by '.'", p.name, type_text(p.type));
      return;
    }
    uint16_t next = typed ? typed : p.n_targets == 1 ? p.targets[0] : 0;
    if (!next || fhir_type_abstract(next)) return; /* which resource it is is said at run time */
    resource = next;
    at = dot + 1;
  }
  bool missing = k.len > 8 && memcmp(k.p + k.len - 8, ":missing", 8) == 0;
  if (!missing && p.type != FHIR_SP_CONTROL) param_value(c, value, t, &p, resource);
}

static ty found(comp *c, uint16_t resource) {
  static const char *const result_members[] = {"match", "include", "outcome", "total", "entry"};
  enum { N = sizeof result_members / sizeof *result_members };
  str *names = arena_alloc(c->a, N * sizeof *names);
  ty *types = arena_alloc(c->a, N * sizeof *types);
  if (!names || !types) { c->e.status = HDW_E_NOMEM; return ty_one(TY_ERR); }
  for (int i = 0; i < N; i++) {
    names[i] = str_of(result_members[i]);
    types[i] = ty_make(TY_ANY, 0, i < 2);
  }
  types[0] = ty_make(TY_FHIR, 0, true);
  types[0].ref = resource;
  types[0].why = why_new(c, c->at, "the search finds nothing");
  types[3] = ty_opt(TY_INT);
  types[4] = ty_make(TY_FHIR, 0, true);
  types[4].ref = fhir_type("Bundle.entry", 12);
  ty t = ty_one(TY_OBJECT);
  t.ref = shape_add(c, N, names, types);
  return t;
}

/* ---- what can be asked of a server */

typedef enum call_kind { CALL_FREE, CALL_SEARCH, CALL_READ /* of a type, by id */, CALL_WRITE /* a resource */, CALL_BUNDLE, CALL_OPERATION } call_kind;
static const struct { const char *name; call_kind kind; } calls[] = {
  {"search", CALL_SEARCH}, {"pages", CALL_SEARCH}, {"read", CALL_READ}, {"vread", CALL_READ}, {"history", CALL_READ}, {"delete", CALL_READ}, {"create", CALL_WRITE},
  {"update", CALL_WRITE}, {"patch", CALL_FREE}, {"batch", CALL_BUNDLE}, {"transaction", CALL_BUNDLE}, {"operation", CALL_OPERATION}, {"everything", CALL_OPERATION},
  {"capabilities", CALL_FREE}, {"export", CALL_FREE}, {"export_wait", CALL_FREE}, {"export_read", CALL_FREE}};

static bool call_kind_of(comp *c, const ast *at, str name, call_kind *kind) {
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (str_is(name, calls[i].name)) { *kind = calls[i].kind; return true; }
    nearest_offer(&near, calls[i].name, strlen(calls[i].name));
  }
  diag *d = err(c, E0212, at, "a fhir connection has no operation '%.*s'", STR(name));
  fhir_operation_info op;
  for (unsigned i = 0; fhir_operation_at(i, &op); i++)
    if (str_is(name, op.name)) { diag_note(c->d, d, "the operations of FHIR are called by name: operation('$%s', …)", op.name); return false; }
  suggest(c, d, at, &near);
  diag_note(c->d, d, "there are: read, vread, search, pages, create, update, patch, delete, history, batch, transaction, operation, everything");
  return false;
}

/* if_none_exists: nearly one of the arguments that make a call conditional. */
static void nearly_named(comp *c, ast *key, str op) {
  static const char *const names[] = {"if_none_exist", "if_match", "if_none_match", "if_modified_since"};
  str name = key_text(c, key);
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (str_is(name, names[i])) return;
    nearest_offer(&near, names[i], strlen(names[i]));
  }
  if (!near.n || key->kind != AST_NAME) return;
  diag *d = err(c, W0311, key, "'%.*s' goes along as a further argument: '%.*s' has no parameter of that name", STR(name), STR(op));
  suggest(c, d, key, &near);
}

/* The id of read(Patient, id) and the like. */
void fhir_id_arg(comp *c, ast *e, ty t) {
  bool text = ty_is_open(t) || t.kind == TY_STR || t.kind == TY_HL7 || t.kind == TY_NONE;
  if (!text) {
    diag *d = err(c, E0209, e, "this is an id, a string, but it gives %s", ty_text(c, t));
    if (t.kind == TY_FHIR && fhir_type_kind((uint16_t)t.ref) == FHIR_RESOURCE && !t.many) fix_append(c, d, e, ".id", "take its id");
    else if (t.kind == TY_FHIR && fhir_is_a((uint16_t)t.ref, fhir_type("Reference", 9)) && !t.many) fix_append(c, d, e, ".reference", "take the text of the reference");
  } else if (t.many && !ty_is_open(t) && !ty_is_hl7(t)) {
    diag *d = err(c, W0302, e, "one id is wanted, but this may give several");
    fix_append(c, d, e, ".first()", "take the first");
  }
}

/* create(resource), update(resource), batch(bundle): what is written is a resource, or that Bundle. */
static ty written(comp *c, ast *e, str op, uint16_t want) {
  int top = c->f->top, r = reg_new(c);
  ty to = ty_one(TY_FHIR);
  to.ref = want;
  ty t = ex_as(c, e, to, r);
  if (t.kind == TY_SECRET || (t.label & TY_SECRET_LABEL)) err(c, E0217, e, "a secret is used in the declaration of a connection only");
  if (t.kind == TY_FHIR && !fhir_is_a((uint16_t)t.ref, want)) err(c, E0209, e, "'%.*s' takes a %s, this is %s", STR(op), want == fhir_type("Bundle", 6) ? "Bundle" : "resource", ty_text(c, t));
  else coerce(c, e, t, to, r, fmt(c, "'%.*s'", STR(op)));
  c->f->top = top;
  return t.kind == TY_FHIR ? ty_card(t, 1, false) : resource_any(c);
}

/* Values of arguments are compiled for their types; the call itself is not run by this version. */
ty fhir_connection_call(comp *c, ast *call_node) {
  ast *args = ast_child(call_node, 1), *x = args->first;
  str op = node_name(c, call_node->first);
  call_kind kind = CALL_FREE;
  bool known = call_kind_of(c, call_node->first, op, &kind);
  uint16_t resource = 0;
  ty out = ty_make(known ? TY_ANY : TY_ERR, 0, false);
  if (kind == CALL_OPERATION) return fhir_operation_call(c, call_node);
  if ((kind == CALL_SEARCH || kind == CALL_READ) && (!x || x->kind == AST_NAMED)) err(c, E0208, call_node->first, "'%.*s' begins with a resource: %.*s(Patient%s)", STR(op), STR(op), kind == CALL_READ ? ", id" : ", …");
  else if (kind == CALL_SEARCH || kind == CALL_READ) {
    resource = fhir_resource_arg(c, x);
    x = x->next;
    if (kind == CALL_READ && !x && !str_is(op, "history")) err(c, E0208, call_node->first, "which %s? '%.*s' needs its id", resource ? fhir_type_name(resource) : "one", STR(op));
  } else if ((kind == CALL_WRITE || kind == CALL_BUNDLE) && x && x->kind != AST_NAMED) {
    out = written(c, x, op, kind == CALL_BUNDLE ? fhir_type("Bundle", 6) : fhir_type("Resource", 8));
    x = x->next;
  } else if (kind == CALL_WRITE || kind == CALL_BUNDLE) {
    err(c, E0208, call_node->first, "'%.*s' needs the %s that is sent", STR(op), kind == CALL_BUNDLE ? "Bundle" : "resource");
  }
  for (; x; x = x->next) {
    bool named = x->kind == AST_NAMED;
    ast *e = named ? ast_child(x, 1) : x->kind == AST_ASC || x->kind == AST_DESC ? x->first : x;
    if (kind == CALL_FREE && e->kind == AST_NAME && !find_local(c, node_name(c, e)) && !named) continue; /* a type */
    int top = c->f->top;
    ty t = ex(c, e, reg_new(c));
    c->f->top = top;
    if (t.kind == TY_SECRET || (t.label & TY_SECRET_LABEL)) err(c, E0217, e, "a secret is used in the declaration of a connection only");
    if (named && kind == CALL_SEARCH && resource) search_key(c, x->first, e, t, resource);
    if (kind == CALL_READ && !named) fhir_id_arg(c, e, t);
    if (named && (kind == CALL_READ || kind == CALL_WRITE || kind == CALL_BUNDLE)) nearly_named(c, x->first, op);
    if (kind == CALL_SEARCH && !named) err(c, E0208, e, "search parameters have names: %.*s(%s, name: …)", STR(op), resource ? fhir_type_name(resource) : "Patient");
  }
  if (kind == CALL_SEARCH && resource) return found(c, resource);
  ty t = ty_one(TY_FHIR);
  t.ref = str_is(op, "history") || kind == CALL_BUNDLE ? fhir_type("Bundle", 6) : resource;
  return (str_is(op, "read") || str_is(op, "vread")) && resource ? t : str_is(op, "history") || kind == CALL_BUNDLE ? t : out;
}
