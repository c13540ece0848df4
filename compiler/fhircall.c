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

static void no_secret(comp *c, const ast *e, ty t) {
  if (t.kind == TY_SECRET || (t.label & TY_SECRET_LABEL)) err(c, E0217, e, "a secret is used in the declaration of a connection only");
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

/* A key: parameter, chain (`patient.name`, `subject:Patient.name`) or _has. */
static fhir_search_type search_key(comp *c, ast *key, ast *value, ty t, uint16_t resource) {
  str k = key_text(c, key);
  fhir_search_info p;
  uint16_t typed;
  size_t at = 0;
  if (k.len > 5 && memcmp(k.p, "_has:", 5) == 0) return FHIR_SP_STRING;
  str whole = str_of(fhir_type_name(resource));
  if (!fhir_search_param(resource, k.p, strcspn(fmt(c, "%.*s", STR(k)), ":."), &p) && server_has_param(c->conn, whole, k)) return FHIR_SP_STRING; /* one of the server's own */
  for (;;) {
    size_t dot = at;
    while (dot < k.len && k.p[dot] != '.') dot++;
    if (!one_param(c, key, k, at, dot, resource, &p, &typed)) return FHIR_SP_STRING;
    if (dot >= k.len) break;
    if (p.type != FHIR_SP_REFERENCE) {
      err(c, E0235, key, "'%s' is a %s parameter: only a reference is followed by '.'", p.name, type_text(p.type));
      return FHIR_SP_STRING;
    }
    uint16_t next = typed ? typed : p.n_targets == 1 ? p.targets[0] : 0;
    if (!next || fhir_type_abstract(next)) return FHIR_SP_STRING; /* which resource it is is said at run time */
    resource = next;
    at = dot + 1;
  }
  bool missing = k.len > 8 && memcmp(k.p + k.len - 8, ":missing", 8) == 0;
  if (!missing && p.type != FHIR_SP_CONTROL) param_value(c, value, t, &p, resource);
  return p.type;
}

static ty found(comp *c, uint16_t resource) {
  static const char *const result_members[] = {"match", "include", "outcome", "total", "entry", "number", "more"};
  enum { N = sizeof result_members / sizeof *result_members };
  str *names = arena_alloc(c->a, N * sizeof *names);
  ty *types = arena_alloc(c->a, N * sizeof *types);
  if (!names || !types) { c->e.status = HDW_E_NOMEM; return ty_one(TY_ERR); }
  for (int i = 0; i < N; i++) {
    names[i] = str_of(result_members[i]);
    types[i] = ty_make(TY_ANY, 0, i < 2);
  }
  if (resource) {
    types[0] = ty_make(TY_FHIR, 0, true);
    types[0].ref = resource;
    types[0].why = why_new(c, c->at, "the search finds nothing");
  }
  types[3] = types[5] = ty_opt(TY_INT);
  types[6] = ty_opt(TY_BOOL);
  types[4] = ty_make(TY_FHIR, 0, true);
  types[4].ref = fhir_type("Bundle.entry", 12);
  ty t = ty_one(TY_OBJECT);
  t.ref = shape_add(c, N, names, types);
  return t;
}

/* The operations of FHIR are called by name. */
void fhir_unknown_call(comp *c, ast *at, str name, const decl *conn) {
  fhir_operation_info op;
  for (unsigned i = 0; fhir_operation_at(i, &op); i++)
    if (str_is(name, op.name)) {
      diag *d = err(c, E0212, at, "a fhir connection has no operation '%.*s'", STR(name));
      diag_note(c->d, d, "the operations of FHIR are called by name: operation('$%s', …)", op.name);
      return;
    }
  operation_unknown(c, at, name, "fhir", conn);
}

static bool has_argument(comp *c, ast *args, const char *name) {
  for (ast *x = args->first; x; x = x->next)
    if (x->kind == AST_NAMED && str_is(key_text(c, x->first), name)) return true;
  return false;
}

/* read(Patient, id, if_match: v): what makes a call conditional there would be a parameter of the address. */
static void nearly_named(comp *c, ast *key, str op) {
  static const char *const names[] = {"if_none_exist", "if_match", "if_none_match", "if_modified_since"};
  str name = key_text(c, key);
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) nearest_offer(&near, names[i], strlen(names[i]));
  if (near.n && key->kind == AST_NAME) err(c, W0311, key, "'%.*s' goes along as a further argument: '%.*s' has no parameter of that name", STR(name), STR(op));
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

bool fhir_operation_ok(comp *c, fhir_call *f, ast *call_node) {
  ast *args = ast_child(call_node, 1);
  uint32_t before = c->d->errors;
  f->given = ty_opt(TY_ANY);
  if (!str_is(f->op, "operation") && !str_is(f->op, "everything")) return true;
  if (has_argument(c, args, "parameters") || has_argument(c, args, "body") || has_argument(c, args, "on")) return true;
  int top = c->f->top;
  f->given = fhir_operation_call(c, call_node); /* its arguments are compiled here to be looked at, and then as they are sent: they are pure */
  c->f->top = top;
  return c->d->errors == before;
}

/* create(resource), update(resource): into r. */
static ty written(comp *c, ast *e, str op, int r) {
  uint16_t want = fhir_type("Resource", 8);
  ty to = ty_one(TY_FHIR);
  to.ref = want;
  ty t = ex_as(c, e, to, r);
  no_secret(c, e, t);
  if (t.kind == TY_FHIR && !fhir_is_a((uint16_t)t.ref, want)) err(c, E0209, e, "'%.*s' takes a resource, this is %s", STR(op), ty_text(c, t));
  else coerce(c, e, t, to, r, fmt(c, "'%.*s'", STR(op)));
  return t;
}

/* batch, transaction: a Bundle; or a list of what it would hold. One resource by itself is neither. */
static void bundled(comp *c, ast *e, str op, int r) {
  ty to = ty_one(TY_FHIR);
  to.ref = fhir_type("Bundle", 6);
  ty t = e->kind == AST_OBJ ? ex_as(c, e, to, r) : ex(c, e, r);
  no_secret(c, e, t);
  if (t.many || ty_is_open(t)) return;
  if (t.kind != TY_FHIR ? t.kind == TY_OBJECT || t.kind == TY_PAYLOAD || t.kind == TY_NONE : t.ref == to.ref || str_is(str_of(fhir_type_name((uint16_t)t.ref)), "Bundle.entry") || fhir_type_abstract((uint16_t)t.ref)) return;
  diag *d = err(c, E0209, e, "'%.*s' takes a Bundle, this is %s", STR(op), ty_text(c, t));
  diag_note(c->d, d, "several resources are a list: %.*s([…])", STR(op));
}

/* ---- arguments */

static bool searches(const fhir_call *f) { return str_is(f->op, "search") || str_is(f->op, "pages"); }

/* A parameter of the action that is passed on: optional there, optional here. */
static bool passed_on(comp *c, const ast *e) {
  if (e->kind != AST_NAME) return false;
  const local *l = find_local(c, node_name(c, e));
  const decl *o = c->f->owner;
  return l && o && o->kind == D_ACTION && (l->t.label & TY_PARAM) && l->reg < (int)o->npar;
}

static bool phi_allowed(comp *c, const decl *conn) {
  const unit *in;
  const ast *v = conn_arg(c, conn, "phi_in_url", &in);
  return v && (v->kind == AST_NAME ? ast_name_is(in->src, v, "allowed") : v->kind == AST_STRING && v->end - v->off == 9);
}

void fhir_argument(comp *c, fhir_call *f, ast *key, ast *e, int r, bool again) {
  int top = c->f->top, w = regs_new(c, 2), first = r;
  str k = key_text(c, key);
  if (str_is(f->op, "operation")) { /* a parameter of the operation: a value, not a text */
    ty v = ex(c, e, r);
    if (v.kind == TY_HL7) hl7_text_as(c, v, r, TY_STR);
    no_secret(c, e, v);
    c->f->top = top;
    return;
  }
  if (again) first = w;
  ty t = e->kind == AST_TEMPLATE ? ex_template(c, e, SP_QUERY, first) : ex(c, e, first);
  no_secret(c, e, t);
  if (!searches(f) && !str_is(f->op, "everything")) nearly_named(c, key, f->op);
  fhir_search_type type = k.len && k.p[0] == '_' && !str_is(k, "_id") && !str_is(k, "_lastUpdated") ? FHIR_SP_CONTROL : FHIR_SP_STRING;
  if (searches(f) && f->resource) type = search_key(c, key, e, t, f->resource);
  bool control = type == FHIR_SP_CONTROL;
  f->asks |= !control;
  f->certain |= !control && (e->kind == AST_STRING || !passed_on(c, e));
  if (!control && (t.label & (TY_PHI | TY_PARAM))) f->phi = true;
  if (e->kind != AST_STRING) { /* the author's text stands as it is */
    int base = regs_new(c, 2);
    bool optional = control || !searches(f) || passed_on(c, e);
    op3(c, OP_MOVE, base, first, 0);
    emit_loadk(&c->e, c->f->fn, (uint32_t)base + 1, emit_cstr(&c->e, fmt(c, "%s%s%s", optional ? "o" : "", control && !str_is(k, "_sort") && !str_is(k, "_elements") ? "r" : "", type == FHIR_SP_URI ? "u" : "")));
    native(c, "search.value", base, 2, t);
    op3(c, OP_MOVE, first, base, 0);
  }
  if (again) {
    op3(c, OP_MOVE, w + 1, w, 0);
    op3(c, OP_MOVE, w, r, 0);
    native(c, "search.and", w, 2, t);
    op3(c, OP_MOVE, r, w, 0);
  }
  c->f->top = top;
}

/* An object of search parameters, or a query as text. */
static void parameters(comp *c, fhir_call *f, ast *e, int r) {
  int top = c->f->top, w = reg_new(c);
  ty t = ex(c, e, w);
  no_secret(c, e, t);
  if (t.label & (TY_PHI | TY_PARAM)) f->phi = true;
  if (!ty_is_open(t) && t.kind != TY_OBJECT && t.kind != TY_PAYLOAD && t.kind != TY_STR && t.kind != TY_NONE) err(c, E0209, e, "search parameters are an object { name: value }, this is %s", ty_text(c, t));
  native(c, "search.extra", w, 1, t);
  op3(c, OP_MOVE, r, w, 0);
  c->f->top = top;
}

bool fhir_own_argument(comp *c, fhir_call *f, const sig_param *p, ast *e, int r, bool named) {
  if (searches(f) && !named && p->special != SP_TYPE) {
    err(c, E0208, e, "search parameters have names: %.*s(%s, name: …)", STR(f->op), f->resource ? fhir_type_name(f->resource) : "Patient");
    return true;
  }
  if (str_is(p->name, "resource") && (str_is(f->op, "create") || str_is(f->op, "update"))) {
    f->given = written(c, e, f->op, r);
    return true;
  }
  if (str_is(p->name, "entries")) {
    bundled(c, e, f->op, r);
    return true;
  }
  if (p->special == SP_TYPE) {
    f->resource = fhir_resource_arg(c, e);
    if (!f->resource && (e->kind != AST_NAME || find_local(c, node_name(c, e)) || find_decl(c, node_name(c, e)))) err(c, E0209, e, "'%.*s' is the name of a resource: Patient, Observation …", STR(p->name));
    if (f->resource) emit_loadk(&c->e, c->f->fn, (uint32_t)r, emit_cstr(&c->e, fhir_type_name(f->resource)));
    else if (!connection_is_r4(c, c->conn) && e->kind == AST_NAME) emit_loadk(&c->e, c->f->fn, (uint32_t)r, emit_str(&c->e, node_name(c, e).p, node_name(c, e).len));
    return true;
  }
  if (str_is(p->name, "extra") || str_is(p->name, "match") || str_is(p->name, "if_none_exist")) {
    parameters(c, f, e, r);
    if (str_is(p->name, "extra")) f->asks = true;
    else if (!passed_on(c, e)) effect_condition(c, r);
    if (str_is(p->name, "if_none_exist")) f->klass = MOD_CLASS_KEYED;
    return true;
  }
  bool whole_type = str_is(f->op, "history") || str_is(f->op, "everything") || str_is(f->op, "operation"); /* without id: all of a type. An empty one is not that */
  bool id = str_is(p->name, "id");
  if (id && !whole_type) {
    ty t = ex(c, e, r);
    no_secret(c, e, t);
    fhir_id_arg(c, e, t);
    if (!t.min && !p->optional && !ty_is_open(t) && !ty_is_hl7(t)) err(c, W0301, e, "'%.*s' needs a value, but this may be empty", STR(p->name));
    if (t.kind == TY_HL7) hl7_text_as(c, t, r, TY_STR);
    return true;
  }
  if (str_is(p->name, "within") || id) {
    f->asks = true;
    f->certain |= !passed_on(c, e);
    int top = c->f->top, w = regs_new(c, 2);
    ty t = ex(c, e, w);
    if (str_is(f->op, "history") && id) fhir_id_arg(c, e, t);
    if (t.kind == TY_HL7) t = hl7_text_as(c, t, w, TY_STR);
    no_secret(c, e, t);
    emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, emit_cstr(&c->e, passed_on(c, e) ? "o" : ""));
    native(c, "search.value", w, 2, t);
    op3(c, OP_MOVE, r, w, 0);
    c->f->top = top;
    return true;
  }
  if (str_is(p->name, "phi")) { /* the labels have the last word */
    ty t = ex(c, e, r);
    if (!ty_is_open(t) && t.kind != TY_BOOL) err(c, E0209, e, "'phi' is true or false, this is %s", ty_text(c, t));
    return true;
  }
  if (str_is(p->name, "safe") && str_is(node_text(c, e), "true")) f->klass = MOD_CLASS_READ;
  return false;
}

int fhir_param(const sig *s, const char *name) {
  for (uint32_t i = 0; i < s->n; i++)
    if (str_is(s->p[i].name, name)) return (int)i;
  return -1;
}

void fhir_call_needs(comp *c, const fhir_call *f, const bi *b, uint64_t given, const ast *at) {
  const sig *s = &b->sig;
  int match = fhir_param(s, "match");
  for (uint32_t i = 0; i < s->n; i++) {
    bool id = str_is(s->p[i].name, "id");
    bool which = id && str_is(f->op, "delete") && match >= 0 && !(given >> match & 1); /* by one of the two */
    if ((given >> i & 1) || (!which && (s->p[i].optional || !s->p[i].type.min))) continue;
    if (s->p[i].special == SP_TYPE) {
      err(c, E0208, at, "'%.*s' begins with a resource: %.*s(Patient%s)", STR(f->op), STR(f->op), fhir_param(s, "id") >= 0 ? ", id" : ", …");
      return;
    }
    if (id) err(c, E0208, at, "which %s? '%.*s' needs its id", f->resource ? fhir_type_name(f->resource) : "one", STR(f->op));
    else if (str_is(s->p[i].name, "resource") || str_is(s->p[i].name, "entries")) err(c, E0208, at, "'%.*s' needs the %s that is sent", STR(f->op), str_is(s->p[i].name, "entries") ? "Bundle" : "resource");
    else err(c, E0208, at, "'%.*s' needs '%.*s': fhir.%s", STR(f->op), STR(s->p[i].name), b->text);
  }
}

void fhir_before(comp *c, fhir_call *f, const sig *s, uint64_t given, int w) {
  int phi = fhir_param(s, "phi");
  int all = fhir_param(s, "all");
  if (phi >= 0 && f->phi && !phi_allowed(c, f->conn)) emit_op(&c->e, c->f->fn, OP_LOADB, (uint32_t)(w + phi), 1, 0);
  if (all >= 0 && f->asks && !f->certain && !(given >> all & 1)) emit_op(&c->e, c->f->fn, OP_LOADB, (uint32_t)(w + all), 0, 0); /* all may be left out: then it is no search */
}

/* ---- what comes back */

ty fhir_result(comp *c, const fhir_call *f, int r) {
  bool several = searches(f) || str_is(f->op, "history") || str_is(f->op, "everything");
  ty any = ty_opt(TY_ANY), t = ty_one(TY_FHIR);
  if (str_is(f->op, "delete") || str_is(f->op, "batch") || str_is(f->op, "transaction")) return any;
  native(c, several ? "fhir.found" : "fhir.adopt", r, 1, any);
  t.ref = f->resource;
  if (several) return found(c, str_is(f->op, "everything") ? 0 : f->resource);
  if (str_is(f->op, "read") || str_is(f->op, "vread") || str_is(f->op, "patch")) return f->resource ? t : any;
  if (str_is(f->op, "create") || str_is(f->op, "update")) return f->given.kind == TY_FHIR && fhir_type_kind((uint16_t)f->given.ref) == FHIR_RESOURCE ? ty_card(f->given, 1, false) : any;
  if (str_is(f->op, "operation")) return ty_card(f->given, 0, f->given.many);
  if (str_is(f->op, "capabilities") && (t.ref = fhir_resource("CapabilityStatement", 19))) return t;
  return any;
}
