/* type.c - type names, parameters and fields of declarations. */
#include "comp_int.h"
#include <string.h>

static ty system_of(uint16_t id) {
  switch (fhir_type_system(id)) {
    case FHIR_SYS_BOOLEAN: return ty_one(TY_BOOL);
    case FHIR_SYS_STRING: return ty_one(TY_STR);
    case FHIR_SYS_INTEGER: return ty_one(TY_INT);
    case FHIR_SYS_DECIMAL: return ty_one(TY_DEC);
    case FHIR_SYS_DATE: return ty_one(TY_DATE);
    case FHIR_SYS_DATETIME: return ty_one(TY_DATETIME);
    case FHIR_SYS_TIME: return ty_one(TY_TIME);
    default: return ty_one(TY_ANY);
  }
}

static const struct { const char *name; uint8_t kind; } names[] = {
    {"any", TY_ANY}, {"boolean", TY_BOOL}, {"Boolean", TY_BOOL}, {"integer", TY_INT}, {"Integer", TY_INT}, {"long", TY_LONG}, {"Long", TY_LONG},
    {"decimal", TY_DEC}, {"Decimal", TY_DEC}, {"string", TY_STR}, {"String", TY_STR}, {"date", TY_DATE}, {"Date", TY_DATE}, {"dateTime", TY_DATETIME},
    {"DateTime", TY_DATETIME}, {"time", TY_TIME}, {"Time", TY_TIME}, {"quantity", TY_QTY}, {"Quantity", TY_QTY}, {"url", TY_STR}, {"binary", TY_BIN}, {"message", TY_HL7_MSG},
    {"object", TY_ANY}, {"dateRange", TY_ANY}, {"quantityRange", TY_ANY}, {"numberRange", TY_ANY}, {"handle", TY_HANDLE}};

ty type_named(comp *c, str name, const ast *at, bool report) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (str_is(name, names[i].name)) return ty_one((ty_kind)names[i].kind);
  decl *d = find_decl(c, name);
  if (d && d->kind == D_PAYLOAD && (decl_params(c, d), d->as_fhir)) return d->t;
  if (d && d->kind == D_PAYLOAD) { ty t = ty_one(TY_PAYLOAD); t.ref = (int32_t)(d - c->decls); return t; }
  if (d && d->kind == D_ENTITY) return ty_one(TY_ANY);
  if (d && d->kind == D_PROFILE) { profile_load(c, d); return d->t; }
  uint16_t id = fhir_type(name.p, name.len);
  if (id) {
    if (fhir_type_kind(id) == FHIR_PRIMITIVE) return system_of(id);
    ty t = ty_one(TY_FHIR);
    t.ref = id;
    return t;
  }
  int s = dict_message(name.p, name.len);
  if (s >= 0) { ty t = ty_one(TY_HL7_MSG); t.ref = s; return t; }
  s = dict_segment(name.p, name.len);
  if (s >= 0 || (d && d->kind == D_SEGMENT)) {
    ty t = ty_one(TY_HL7_SEG);
    t.ref = s;
    t.sub = d && d->kind == D_SEGMENT ? (int32_t)(d - c->decls) : -1;
    return t;
  }
  s = dict_datatype(name.p, name.len);
  if (s >= 0) { ty t = ty_one(TY_HL7); t.ref = s; return t; }
  if (report) {
    nearest near;
    nearest_init(&near, name.p, name.len);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) nearest_offer(&near, names[i].name, strlen(names[i].name));
    for (uint32_t i = 0; i < c->ndecls; i++)
      if (c->decls[i].kind == D_PAYLOAD && decl_seen(c, &c->decls[i])) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
    fhir_nearest_type(&near, false);
    dict_nearest_message(&near);
    diag *g = err(c, E0202, at, "there is no type '%.*s'", STR(name));
    suggest(c, g, at, &near);
  }
  return ty_one(TY_ERR);
}

/* Encounter.participant(type: …): a structure inside of a resource or data type. */
uint16_t backbone_named(comp *c, const ast *recv_node, str name) {
  if (recv_node->kind != AST_NAME && recv_node->kind != AST_DOT) return 0;
  str at = node_text(c, recv_node);
  if (!at.len || at.p[0] < 'A' || at.p[0] > 'Z' || at.len + name.len > FHIR_MEMBER_MAX * 2) return 0;
  const char *path = fmt(c, "%.*s.%.*s", STR(at), STR(name));
  uint16_t id = fhir_type(path, strlen(path));
  return fhir_type_kind(id) == FHIR_BACKBONE ? id : 0;
}

/* ORU_R01.PATIENT_RESULT.PATIENT: a group of a message structure. Of kind TY_NONE when the name does not begin with one. */
static ty group_named(comp *c, ast *n) {
  if (n->kind != AST_TYPE_DOT) {
    str name = node_name(c, n);
    int s = dict_message(name.p, name.len);
    ty t = ty_one(s >= 0 ? TY_HL7_MSG : TY_NONE);
    t.ref = s;
    return t;
  }
  ty in = group_named(c, n->first);
  if (in.kind != TY_HL7_MSG && in.kind != TY_HL7_GROUP) return in;
  str name = node_name(c, ast_child(n, 1));
  unsigned count = 0;
  uint16_t first = 0;
  if (in.kind == TY_HL7_MSG) first = dict_structure_root(in.ref, &count);
  else first = dict_node_at((uint16_t)in.ref)->first, count = dict_node_at((uint16_t)in.ref)->n;
  for (unsigned i = 0; i < count; i++) {
    const dict_node *d = dict_node_at((uint16_t)(first + i));
    if (!(d->flags & DICT_NODE_GROUP) || !str_is(name, dict_node_name(d))) continue;
    ty t = ty_one(TY_HL7_GROUP);
    t.ref = (int32_t)(first + i);
    return t;
  }
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (unsigned i = 0; i < count; i++)
    if (dict_node_at((uint16_t)(first + i))->flags & DICT_NODE_GROUP) nearest_offer(&near, dict_node_name(dict_node_at((uint16_t)(first + i))), strlen(dict_node_name(dict_node_at((uint16_t)(first + i)))));
  suggest(c, err(c, E0202, ast_child(n, 1), "%s has no group '%.*s'", ty_text(c, in), STR(name)), ast_child(n, 1), &near);
  return ty_one(TY_ERR);
}

/* Observation.componnet: false when what stands before the dot is no FHIR type. */
static bool no_backbone(comp *c, ast *n, str whole) {
  const char *dot = memrchr(whole.p, '.', whole.len);
  if (!dot || !fhir_type(whole.p, (size_t)(dot - whole.p))) return false;
  nearest near;
  nearest_init(&near, whole.p, whole.len);
  fhir_nearest_backbone(&near, whole.p, (size_t)(dot - whole.p));
  diag *d = err(c, E0202, n, "%.*s has no structure '%.*s'", (int)(dot - whole.p), whole.p, (int)(whole.p + whole.len - dot - 1), dot + 1);
  suggest(c, d, n, &near);
  return true;
}

ty type_node(comp *c, ast *t) {
  if (t->kind < AST_T_ONE || t->kind > AST_T_SOME) return ty_one(TY_ERR);
  ast *n = t->first;
  str name = n->kind == AST_TYPE_DOT ? node_name(c, ast_child(n, 1)) : node_name(c, n);
  str whole = n->kind == AST_TYPE_DOT ? node_text(c, n) : (str){0};
  uint16_t fhir = 0;
  if (n->kind == AST_TYPE_DOT && ast_name_is(c->u->src, n->first, "FHIR")) fhir = fhir_type(name.p, name.len);
  else if (whole.p && fhir_type_kind(fhir_type(whole.p, whole.len)) == FHIR_BACKBONE) fhir = fhir_type(whole.p, whole.len); /* Observation.component */
  else if (whole.p && no_backbone(c, n, whole)) return ty_one(TY_ERR);
  ty r = ty_one(TY_FHIR);
  r.ref = fhir;
  ty group = n->kind == AST_TYPE_DOT ? group_named(c, n) : ty_one(TY_NONE);
  if (group.kind != TY_NONE) r = group;
  else if (fhir_type_kind(fhir) < FHIR_COMPLEX) r = type_named(c, name, n, true); /* FHIR.Quantity is the data type, Quantity the System value */
  switch (t->kind) {
    case AST_T_OPT: return ty_card(r, 0, false);
    case AST_T_MANY: return ty_card(r, 0, true);
    case AST_T_SOME: return ty_card(r, 1, true);
    default: return r;
  }
}

const char *type_check_name(comp *c, ty t) {
  switch ((ty_kind)t.kind) {
    case TY_BOOL: return "boolean";
    case TY_INT: return "integer";
    case TY_LONG: return "long";
    case TY_DEC: return "decimal";
    case TY_STR: return "string";
    case TY_DATE: return "date";
    case TY_DATETIME: return "dateTime";
    case TY_TIME: return "time";
    case TY_QTY: return "quantity";
    case TY_BIN: return "binary";
    case TY_OBJECT: case TY_PAYLOAD: return "object";
    case TY_FHIR: return fmt(c, "FHIR.%s", fhir_type_name((uint16_t)t.ref));
    case TY_HL7_MSG: return "message";
    case TY_HL7_SEG: return "segment";
    case TY_HL7: return "hl7";
    default: return "any";
  }
}

/* ---- parameters and fields */

/* A literal as default must be of the declared type; what is no literal is checked where it is used. */
static void default_fits(comp *c, ast *e, ast *type) {
  static const uint8_t kinds[AST_KIND_COUNT] = {[AST_STRING] = TY_STR, [AST_INT] = TY_INT, [AST_LONG] = TY_LONG, [AST_DEC] = TY_DEC, [AST_TRUE] = TY_BOOL, [AST_FALSE] = TY_BOOL,
    [AST_DATE] = TY_DATE, [AST_DATETIME] = TY_DATETIME, [AST_TIME] = TY_TIME, [AST_QUANTITY] = TY_QTY};
  if (!kinds[e->kind] || type->kind < AST_T_ONE || type->kind > AST_T_SOME || type->first->kind == AST_TYPE_DOT) return;
  ty want = type_named(c, node_name(c, type->first), type, false), have = ty_one((ty_kind)kinds[e->kind]);
  if (want.kind != TY_ERR && !assignable(c, have, want)) err(c, E0209, e, "the default is %s, the declared type %s", ty_text(c, have), ty_text(c, ty_card(want, 1, false)));
}

field *fields_of(comp *c, ast *list, uint32_t *n) {
  *n = 0;
  field *f = arena_zalloc(c->a, list->n ? list->n : 1, sizeof *f);
  if (!f) { c->e.status = HDW_E_NOMEM; return NULL; }
  for (ast *x = list->first; x; x = x->next) {
    if (x->kind != AST_PARAM && x->kind != AST_FIELD) continue;
    ast *key = x->first, *type = key->next, *e = type->next;
    field *p = &f[*n];
    if (x->kind == AST_PARAM && e && e->kind != AST_NIL) default_fits(c, e, type);
    *p = (field){.name = node_name(c, key), .type = type, .expr = e && e->kind != AST_NIL ? e : NULL, .node = x, .t = type_node(c, type)};
    for (uint32_t i = 0; i < *n; i++)
      if (str_eq(f[i].name, p->name)) err(c, E0210, key, "'%.*s' is declared twice", STR(p->name));
    (*n)++;
  }
  return f;
}

/* payload … as fhir.Patient: what is built is a resource, each field one of its elements. */
static void payload_as(comp *c, decl *d, ast *type) {
  ast *last = type->kind == AST_TYPE_DOT ? ast_child(type, 1) : type;
  str name = node_name(c, last);
  uint16_t id = fhir_type(name.p, name.len);
  if (!id || fhir_type_kind(id) == FHIR_PRIMITIVE || fhir_type_abstract(id)) {
    nearest near;
    nearest_init(&near, name.p, name.len);
    fhir_nearest_type(&near, false);
    diag *g = err(c, E0202, last, "there is no FHIR type '%.*s' that could be built", STR(name));
    suggest(c, g, last, &near);
    return;
  }
  if (!d->params) { err(c, E0214, d->node->first, "a payload that is built as %s says where it comes from: give it parameters", fhir_type_name(id)); return; }
  d->as_fhir = id;
  d->t = ty_one(TY_FHIR);
  d->t.ref = id;
}

void decl_params(comp *c, decl *d) {
  if (d->resolving) return;
  d->resolving = true;
  unit *u = c->u;
  c->u = d->u;
  ast *n = d->node;
  switch ((decl_kind)d->kind) {
    case D_PAYLOAD:
      d->params = ast_is_nil(ast_child(n, 1)) ? NULL : ast_child(n, 1);
      if (d->params) d->par = fields_of(c, d->params, &d->npar);
      d->fields = fields_of(c, ast_child(n, 2), &d->nfields);
      d->t = ty_one(TY_PAYLOAD);
      d->t.ref = (int32_t)(d - c->decls);
      if (ast_child(n, 3)) payload_as(c, d, ast_child(n, 3));
      break;
    case D_SEGMENT: d->fields = fields_of(c, ast_child(n, 1), &d->nfields); break;
    case D_ENTITY: d->fields = fields_of(c, ast_child(n, 2), &d->nfields); break;
    case D_MAP: case D_FN: case D_ACTION: {
      d->params = ast_child(n, 1);
      d->par = fields_of(c, d->params, &d->npar);
      ast *t = ast_child(n, 2);
      if (!ast_is_nil(t)) d->t = type_node(c, t);
      break;
    }
    case D_WORKFLOW: {
      ast *p = ast_child(n, 1), *t = ast_child(n, 2);
      if (!ast_is_nil(p)) { d->params = p; d->par = fields_of(c, p, &d->npar); }
      if (!ast_is_nil(t)) d->t = type_node(c, t);
      break;
    }
    case D_SETTING:
      d->t = type_node(c, ast_child(n, 1));
      if (!ast_is_nil(ast_child(n, 2))) default_fits(c, ast_child(n, 2), ast_child(n, 1));
      break;
    case D_LET: if (!ast_is_nil(ast_child(n, 1))) d->t = type_node(c, ast_child(n, 1)); break;
    default: break;
  }
  c->u = u;
}

field *decl_field(decl *d, str name) {
  for (uint32_t i = 0; i < d->nfields; i++)
    if (str_eq(d->fields[i].name, name)) return &d->fields[i];
  return NULL;
}
