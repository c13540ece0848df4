/* against.c - `connection epic = fhir(…) against('metadata.json')`: calls are checked against what the server declares in its CapabilityStatement.
 *
 * The statement is read when the program is compiled; nothing of it is in the module. What it declares beyond FHIR R4 (parameters of its own, resources
 * of other versions) can be used; what it does not declare is an error that says what there is. Parameters that begin with '_' say how to answer; servers
 * seldom list them, so they are not looked up. */
#include "comp_int.h"
#include "json.h"
#include <stdio.h>
#include <string.h>

typedef struct server_type { str name; val v; } server_type;
struct server { server_type *types; uint32_t n; val rest; const char *file; };

static const val *at(val obj, const char *name) { return obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL; }

static val list_at(val obj, const char *name) {
  const val *v = at(obj, name);
  return v && v->tag == VAL_LIST ? *v : VAL_NONE;
}

static str text_at(val obj, const char *name) {
  const val *v = at(obj, name);
  return v && v->tag == VAL_STR ? (str){v->u.s, v->len} : (str){0};
}

/* Member `key` of the items of a list is `want`. */
static bool has(val list, const char *key, str want) {
  for (uint32_t i = 0; list.tag == VAL_LIST && i < list.len; i++)
    if (str_eq(text_at(list.u.v[i], key), want)) return true;
  return false;
}

/* ---- reading */

static void read_server(comp *c, decl *d, const ast *arg, const comp_source *s) {
  json_reader r;
  json_error e = {0};
  val doc, rest = VAL_NONE;
  json_reader_init(&r, c->a->mem);
  hdw_status st = json_read(&r, c->a, s->text, s->len, NULL, &doc, &e);
  json_reader_free(&r);
  if (st) { err(c, E0246, arg, "line %u: no valid JSON: expected %s", e.line, e.expected ? e.expected : hdw_status_text(st)); return; }
  str type = text_at(doc, "resourceType");
  if (!str_is(type, "CapabilityStatement") && !str_is(type, "Conformance")) { err(c, E0246, arg, "this is no CapabilityStatement (in DSTU2: Conformance)"); return; }
  val all = list_at(doc, "rest");
  for (uint32_t i = 0; i < all.len; i++)
    if (i == 0 || (str_is(text_at(all.u.v[i], "mode"), "server") && !str_is(text_at(rest, "mode"), "server"))) rest = all.u.v[i];
  val types = list_at(rest, "resource");
  if (rest.tag != VAL_OBJ) { err(c, E0246, arg, "the statement describes no server: it has no 'rest'"); return; }
  struct server *x = arena_zalloc(c->a, 1, sizeof *x);
  if (x) x->types = arena_zalloc(c->a, types.len + 1, sizeof *x->types);
  if (!x || !x->types) { c->e.status = HDW_E_NOMEM; return; }
  x->rest = rest;
  x->file = fmt(c, "%s", s->path);
  for (uint32_t i = 0; i < types.len; i++) {
    str name = text_at(types.u.v[i], "type");
    if (name.len) x->types[x->n++] = (server_type){name, types.u.v[i]};
  }
  d->server = x;
}

void against_load(comp *c, decl *d) {
  const ast *n = ast_child(d->node, 2);
  if (!n || n->kind != AST_AGAINST) return;
  if (!d->kind_row || !str_is(d->kind_row->sig.name, "fhir")) { err(c, E0246, n, "only a fhir connection is checked against a CapabilityStatement"); return; }
  ast_str file = ast_string_value(c->a, c->u->src, n->first);
  comp_source s;
  if (named_file(c, n->first, (str){file.p ? file.p : "", file.len}, &s)) read_server(c, d, n->first, &s);
}

bool connection_is_r4(comp *c, const decl *conn) {
  const unit *in;
  const ast *v = conn ? conn_arg(c, conn, "version", &in) : NULL;
  if (!v) return true;
  str s = {in->src + v->off, v->end - v->off};
  return str_is(s, "R4") || str_is(s, "'R4'") || str_is(s, "'4.0.1'");
}

/* ---- looking up */

static const server_type *type_of(const struct server *s, str name) {
  for (uint32_t i = 0; i < s->n; i++)
    if (str_eq(s->types[i].name, name)) return &s->types[i];
  return NULL;
}

/* The parameter without its modifier and chain; a name that the server lists as a whole counts as it is. */
static bool declared(val params, str key) {
  if (has(params, "name", key)) return true;
  size_t n = 0;
  while (n < key.len && key.p[n] != ':' && key.p[n] != '.') n++;
  return has(params, "name", (str){key.p, n});
}

bool server_has_param(const decl *conn, str type, str key) {
  const server_type *t = conn && conn->server ? type_of(conn->server, type) : NULL;
  return t && declared(list_at(t->v, "searchParam"), key);
}

bool server_has_operation(const decl *conn, str op) {
  if (!conn || !conn->server) return false;
  if (op.len && op.p[0] == '$') op.p++, op.len--;
  char with[80];
  int n = snprintf(with, sizeof with, "$%.*s", (int)(op.len > 70 ? 70 : op.len), op.p);
  str dollar = {with, n > 0 ? (size_t)n : 0}; /* some write it with the sign */
  for (uint32_t i = 0; i <= conn->server->n; i++) {
    val list = list_at(i ? conn->server->types[i - 1].v : conn->server->rest, "operation");
    if (has(list, "name", op) || has(list, "name", dollar)) return true;
  }
  return false;
}

/* ---- what is said */

static const char *listed(comp *c, val list, const char *key, nearest *near) {
  char text[600];
  size_t n = 0;
  text[0] = 0;
  for (uint32_t i = 0; list.tag == VAL_LIST && i < list.len; i++) {
    str s = text_at(list.u.v[i], key);
    if (!s.len || s.len > 60) continue;
    if (near) nearest_offer(near, s.p, s.len);
    if (n < sizeof text - 70) n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", n ? ", " : "", STR(s));
    else if (n < sizeof text - 5) n += (size_t)snprintf(text + n, sizeof text - n, " ...");
    if (n >= sizeof text - 5) n = sizeof text - 5;
  }
  return n ? fmt(c, "%s", text) : "nothing";
}

static void also_server(comp *c, diag *d, const decl *conn) {
  diag_also(c->d, d, conn->u->file, conn->node->first->off, conn->node->first->end, "by %s", conn->server->file);
}

static void no_type(comp *c, const decl *conn, const ast *n, str type) {
  nearest near;
  nearest_init(&near, type.p, type.len);
  diag *d = err(c, E0245, n, "'%.*s' does not serve %.*s", STR(conn->name), STR(type));
  const char *all = listed(c, list_at(conn->server->rest, "resource"), "type", &near);
  if (n->kind == AST_NAME) suggest(c, d, n, &near);
  diag_note(c->d, d, "it serves: %s", all);
  also_server(c, d, conn);
}

static void no_param(comp *c, const decl *conn, const ast *key, str name, const server_type *t) {
  nearest near;
  nearest_init(&near, name.p, name.len);
  diag *d = err(c, E0245, key, "'%.*s' has no search parameter '%.*s' for %.*s", STR(conn->name), STR(name), STR(t->name));
  const char *all = listed(c, list_at(t->v, "searchParam"), "name", &near);
  if (key->kind == AST_NAME) suggest(c, d, key, &near);
  diag_note(c->d, d, "it has: %s", all);
  also_server(c, d, conn);
}

/* ---- calls */

/* Of the call, not of the search. */
static bool own_argument(str name) { return str_is(name, "max") || str_is(name, "pages") || str_is(name, "within") || str_is(name, "extra") || str_is(name, "phi"); }

static const struct { const char *call, *code, *other; } codes[] = {
    {"read", "read", NULL}, {"vread", "vread", NULL}, {"search", "search-type", NULL}, {"pages", "search-type", NULL}, {"create", "create", NULL}, {"update", "update", NULL},
    {"patch", "patch", NULL}, {"delete", "delete", NULL}, {"history", "history-instance", "history-type"}};

static bool interaction(comp *c, const decl *conn, const ast *n, str op, const server_type *t) {
  val list = list_at(t->v, "interaction");
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    if (!str_is(op, codes[i].call) || has(list, "code", str_of(codes[i].code)) || (codes[i].other && has(list, "code", str_of(codes[i].other)))) continue;
    diag *d = err(c, E0245, n, "'%.*s' does not support %.*s of %.*s", STR(conn->name), STR(op), STR(t->name));
    diag_note(c->d, d, "of %.*s it supports: %s", STR(t->name), listed(c, list, "code", NULL));
    also_server(c, d, conn);
    return false;
  }
  return true;
}

static void whole_server(comp *c, const decl *conn, const ast *n, str op) {
  bool bundle = str_is(op, "batch") || str_is(op, "transaction");
  val list = list_at(conn->server->rest, "interaction");
  if (!bundle || has(list, "code", op)) return;
  diag *d = err(c, E0245, n, "'%.*s' does not support %.*s", STR(conn->name), STR(op));
  diag_note(c->d, d, "of the whole server it supports: %s", listed(c, list, "code", NULL));
  also_server(c, d, conn);
}

static void operation(comp *c, const decl *conn, const ast *n, str op) {
  if (server_has_operation(conn, op)) return;
  diag *d = err(c, E0245, n, "'%.*s' has no operation '%.*s'", STR(conn->name), STR(op));
  diag_note(c->d, d, "of the whole server it has: %s", listed(c, list_at(conn->server->rest, "operation"), "name", NULL));
  also_server(c, d, conn);
}

void against_call(comp *c, decl *conn, ast *call_node, ty result) {
  if (!conn || !conn->server) return;
  str op = node_name(c, call_node->first), type = {0};
  ast *args = ast_child(call_node, 1), *x = args->first, *where = call_node->first;
  whole_server(c, conn, where, op);
  if (str_is(op, "everything")) operation(c, conn, where, op);
  if (str_is(op, "operation") && x && x->kind == AST_STRING) {
    ast_str s = ast_string_value(c->a, c->u->src, x);
    operation(c, conn, x, (str){s.p, s.len});
    return;
  }
  if (x && x->kind == AST_NAME && !find_local(c, node_name(c, x))) type = node_name(c, x), where = x;
  else if ((str_is(op, "create") || str_is(op, "update")) && result.kind == TY_FHIR) type = str_of(fhir_type_name((uint16_t)result.ref));
  if (!type.len || type.p[0] < 'A' || type.p[0] > 'Z' || str_is(type, "Resource")) return;
  const server_type *t = type_of(conn->server, type);
  if (!t) { no_type(c, conn, where, type); return; }
  if (!interaction(c, conn, call_node->first, op, t)) return;
  if (!str_is(op, "search") && !str_is(op, "pages")) return;
  for (; x; x = x->next) {
    if (x->kind != AST_NAMED) continue;
    str key = key_text(c, x->first);
    if (!key.len || key.p[0] == '_' || own_argument(key) || declared(list_at(t->v, "searchParam"), key)) continue;
    no_param(c, conn, x->first, key, t);
  }
}
