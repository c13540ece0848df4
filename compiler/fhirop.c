/* fhirop.c - the operations that FHIR defines ($everything, $match ...), called through a connection and checked against R4.
 *
 *   epic.operation('$match', Patient, resource: p, count: 3)        [base]/Patient/$match
 *   epic.operation('$everything', Patient, p.id, start: @2024)      [base]/Patient/1/$everything
 *   epic.operation('$process-message', content: bundle)             [base]/$process-message
 *   epic.everything(Patient, p.id, start: @2024)                    the same as '$everything'
 *
 * The call gives what the operation's only result, 'return', is; of several results an object with one member for each. */
#include "comp_int.h"
#include <string.h>

/* A value of parameter p is of this type; any for what no static type says. */
static ty parameter_ty(comp *c, const fhir_parameter_info *p) {
  const char *name = fhir_type_name(p->type);
  ty t = ty_one(TY_ANY);
  if (p->type && strcmp(name, "Element") != 0 && strcmp(name, "Reference") != 0) {
    t = fhir_type_kind(p->type) == FHIR_PRIMITIVE ? type_named(c, str_of(name), NULL, false) : ty_one(TY_FHIR);
    if (t.kind == TY_FHIR) t.ref = p->type;
  }
  return ty_card(t, p->min, p->max != 1);
}

/* Parameters of one direction: the i-th, without parts. */
static bool parameter(const fhir_operation_info *op, bool out, unsigned i, fhir_parameter_info *p) {
  for (unsigned k = 0; fhir_parameter_at(op, k, p); k++)
    if (p->out == out && !p->part && i-- == 0) return true;
  return false;
}

/* ---- what it gives */

static ty shape_of(comp *c, const fhir_operation_info *op, const char *of);

/* A result, or a part of one: with parts it is an object of them. */
static ty result_ty(comp *c, const fhir_operation_info *op, const fhir_parameter_info *p) {
  ty t;
  if (!p->type) {
    t = shape_of(c, op, p->name);
  } else {
    t = parameter_ty(c, p);
    if (t.kind == TY_FHIR && fhir_type_kind(p->type) == FHIR_RESOURCE && fhir_type_abstract(p->type)) t = resource_any(c);
  }
  return ty_card(t, p->min, p->max != 1);
}

/* An object with the results as members; of: those that are parts of that one. */
static ty shape_of(comp *c, const fhir_operation_info *op, const char *of) {
  fhir_parameter_info p;
  size_t head = of ? strlen(of) + 1 : 0;
  uint32_t n = 0;
  str *names = arena_alloc(c->a, (op->n + 1u) * sizeof *names);
  ty *types = arena_alloc(c->a, (op->n + 1u) * sizeof *types);
  if (!names || !types) { c->e.status = HDW_E_NOMEM; return ty_one(TY_ERR); }
  for (unsigned i = 0; fhir_parameter_at(op, i, &p); i++) {
    bool here = of ? p.part && strncmp(p.name, of, head - 1) == 0 && p.name[head - 1] == '.' && !strchr(p.name + head, '.') : !p.part;
    if (!p.out || !here) continue;
    names[n] = str_of(p.name + head);
    types[n++] = result_ty(c, op, &p);
  }
  if (!n) return ty_one(TY_ANY); /* the definition says no more of it */
  ty t = ty_one(TY_OBJECT);
  t.ref = shape_add(c, n, names, types);
  return t;
}

static ty results(comp *c, const fhir_operation_info *op) {
  fhir_parameter_info p, more;
  if (!parameter(op, true, 0, &p)) return ty_opt(TY_ANY);
  bool one = !parameter(op, true, 1, &more) && p.type && fhir_type_kind(p.type) == FHIR_RESOURCE;
  return one ? result_ty(c, op, &p) : shape_of(c, op, NULL);
}

/* ---- what it takes */

static bool has_parameters(const fhir_operation_info *op) {
  fhir_parameter_info p;
  return parameter(op, false, 0, &p);
}

static void unknown_parameter(comp *c, ast *key, str name, const fhir_operation_info *op) {
  fhir_parameter_info p;
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (unsigned i = 0; parameter(op, false, i, &p); i++) nearest_offer(&near, p.name, strlen(p.name));
  diag *d = err(c, E0239, key, "$%s of %s has no parameter '%.*s'", op->name, fhir_type_name(op->resource), STR(name));
  if (near.n) {
    const char *q = key->kind == AST_STRING || memchr(near.hit[0].name, '-', near.hit[0].len) ? "'" : ""; /* exclude-system is no name */
    diag_replace(c->d, d, key->off, key->end, fmt(c, "%s%.*s%s", q, (int)near.hit[0].len, near.hit[0].name, q), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
  } else if (!has_parameters(op)) diag_note(c->d, d, "it takes none");
  else {
    buf b;
    buf_init(&b, c->a, 4096);
    for (unsigned i = 0; parameter(op, false, i, &p); i++) buf_putf(&b, "%s%s", i ? ", " : "", p.name);
    buf_putc(&b, 0);
    if (!b.status) diag_note(c->d, d, "it takes: %s", b.p);
  }
}

/* Codes that name resources: _type of $everything. */
static void resource_codes(comp *c, ast *e) {
  if (e->kind == AST_LIST)
    for (ast *x = e->first; x; x = x->next) resource_codes(c, x);
  if (e->kind != AST_STRING) return;
  ast_str s = ast_string_value(c->a, c->u->src, e);
  if (!s.p || fhir_resource(s.p, s.len)) return;
  nearest near;
  nearest_init(&near, s.p, s.len);
  fhir_nearest_type(&near, true);
  diag *d = err(c, E0202, e, "there is no resource '%.*s' in FHIR R4", (int)s.len, s.p);
  if (near.n) diag_replace(c->d, d, e->off, e->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
}

static void one_argument(comp *c, ast *key, ast *e, const fhir_operation_info *op, const fhir_parameter_info *p) {
  int top = c->f->top, r = reg_new(c);
  ty want = parameter_ty(c, p), t = ex_as(c, e, want, r);
  if (t.kind == TY_SECRET || (t.label & TY_SECRET_LABEL)) err(c, E0217, e, "a secret is used in the declaration of a connection only");
  bool reference = p->type && strcmp(fhir_type_name(p->type), "Reference") == 0;
  bool fits = ty_is_open(t) || t.kind == TY_STR || t.kind == TY_HL7 || t.kind == TY_NONE || (t.kind == TY_FHIR && fhir_is_a((uint16_t)t.ref, p->type)) || t.kind == TY_OBJECT;
  const char *what = fmt(c, "'%.*s' of $%s", STR(key_text(c, key)), op->name);
  if (reference && !fits) err(c, E0209, e, "%s is a reference, or the text of one, this is %s", what, ty_text(c, t));
  else coerce(c, e, t, want, r, what);
  if (strcmp(p->name, "_type") == 0) resource_codes(c, e);
  c->f->top = top;
}

/* Of the call, not of the operation. */
static bool is_own(str name) { return str_is(name, "safe") || str_is(name, "max") || str_is(name, "pages") || str_is(name, "extra"); }

static void named_arguments(comp *c, ast *call_node, ast *args, const fhir_operation_info *op) {
  fhir_parameter_info p;
  bool given[64] = {false};
  for (ast *x = args->first; x; x = x->next) {
    if (x->kind != AST_NAMED) continue;
    str name = key_text(c, x->first);
    if (is_own(name)) continue;
    unsigned i = 0;
    while (parameter(op, false, i, &p) && !str_is(name, p.name)) i++;
    if (!parameter(op, false, i, &p) || i >= sizeof given) {
      int top = c->f->top;
      unknown_parameter(c, x->first, name, op);
      ex(c, ast_child(x, 1), reg_new(c));
      c->f->top = top;
      continue;
    }
    if (given[i]) err(c, E0210, x->first, "'%s' is given twice", p.name);
    given[i] = true;
    one_argument(c, x->first, ast_child(x, 1), op, &p);
  }
  for (unsigned i = 0; parameter(op, false, i, &p) && i < sizeof given; i++)
    if (p.min && !given[i]) err(c, E0239, call_node->first, "$%s of %s needs '%s'", op->name, fhir_type_name(op->resource), p.name);
}

/* ---- which one it is */

/* Resources that have an operation of that name, as text; "" for none. */
static const char *owners(comp *c, str name) {
  fhir_operation_info op;
  buf b;
  buf_init(&b, c->a, 2048);
  for (unsigned i = 0; fhir_operation_at(i, &op); i++)
    if (str_is(name, op.name)) buf_putf(&b, "%s%s", b.len ? ", " : "", fhir_type_name(op.resource));
  buf_putc(&b, 0);
  return b.status ? "" : b.p;
}

/* at: the name in quotes, or of the call (everything). */
static void unknown_operation(comp *c, ast *at, str name, uint16_t resource) {
  const char *others = owners(c, name), *of = resource ? fhir_type_name(resource) : "the server as a whole";
  diag *d = err(c, E0238, at, "%s has no operation '$%.*s' in FHIR R4", of, STR(name));
  if (strcmp(others, "Resource") == 0) { diag_note(c->d, d, "it is called on a resource: operation('$%.*s', Patient, …)", STR(name)); return; }
  if (others[0]) { diag_note(c->d, d, "resources that have it: %s", others); return; }
  fhir_operation_info op;
  nearest near;
  nearest_init(&near, name.p, name.len);
  fhir_nearest_operation(&near, resource);
  for (unsigned i = 0; !near.n && fhir_operation_at(i, &op); i++) nearest_offer(&near, op.name, strlen(op.name));
  if (near.n) diag_replace(c->d, d, at->off, at->end, fmt(c, "'$%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '$%.*s'?", (int)near.hit[0].len, near.hit[0].name));
  else diag_note(c->d, d, "one of the server's own is called with parameters: { name: value }, which are not checked");
}

static void at_level(comp *c, ast *at, const fhir_operation_info *op, bool resource, bool id) {
  const char *type = fhir_type_name(op->resource);
  if (id && !op->instance) err(c, E0238, at, "$%s is called on %s as a whole: without an id", op->name, op->type ? type : "the server");
  else if (!id && resource && !op->type) err(c, E0238, at, op->instance ? "$%s is called on one %s: its id is missing behind the resource" : "$%s is called on the server as a whole: without '%s'", op->name, type);
}

ty fhir_operation_call(comp *c, ast *call_node) {
  ast *args = ast_child(call_node, 1), *x = args->first, *at = call_node->first;
  str name = node_name(c, at);
  fhir_operation_info op;
  uint16_t resource = 0;
  if (str_is(name, "operation")) {
    at = x && x->kind == AST_STRING ? x : NULL;
    if (!x || x->kind == AST_NAMED) { err(c, E0208, call_node->first, "'operation' begins with its name: operation('$everything', Patient, id)"); return ty_opt(TY_ANY); }
    if (at) name = key_text(c, at);
    if (at && name.len && name.p[0] == '$') { name.p++; name.len--; }
    x = x->next;
  }
  bool typed = x && x->kind == AST_NAME, id = false, known = at != NULL && connection_is_r4(c, c->conn);
  if (typed) {
    resource = fhir_resource_arg(c, x);
    known &= resource != 0;
    x = x->next;
  }
  for (; x && x->kind != AST_NAMED; x = x->next) {
    int top = c->f->top;
    if (id) err(c, E0208, x, "behind the resource and its id, arguments have names: $%.*s(start: …)", STR(name));
    ty t = ex(c, x, reg_new(c));
    if (!id) fhir_id_arg(c, x, t);
    c->f->top = top;
    id = true;
  }
  if (known && fhir_operation(resource, name.p ? name.p : "", name.len, &op)) {
    at_level(c, at, &op, typed, id);
    named_arguments(c, call_node, args, &op);
    return results(c, &op);
  }
  known &= !server_has_operation(c->conn, name); /* one of the server's own */
  if (known) unknown_operation(c, at, name, resource);
  for (x = args->first; x; x = x->next) {
    int top = c->f->top;
    if (x->kind == AST_NAMED) ex(c, ast_child(x, 1), reg_new(c));
    c->f->top = top;
  }
  return ty_one(known ? TY_ERR : TY_ANY);
}
