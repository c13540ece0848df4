/* adapter.c - connection hospital = epic(base: …): a connection made by an adapter, a library that knows a vendor.
 *
 * An adapter is a file of the library with one connection of its own name, which holds what is true of the vendor everywhere (pace, retries, quirks), and actions
 * on it. Each connection that is made of it gets a copy of the file in which the adapter's own connection stands for the new one: arguments that the program
 * gives take the place of the adapter's, and the actions are called on it, hospital.labs(…).
 *
 *   quirks: { needs:  { Patient: ['identifier', 'family+given+birthdate'] },   one of these sets of search parameters must be there
 *             lacks:  ['delete', 'Patient.update'],                            operations that the server does not have
 *             page_size: 50, rates: { Observation: 5 },                        at run time (runtime/fhir_quirks.c)
 *             version_test: false }                                            the same (runtime/fhir_patch.c) */
#include "comp_int.h"
#include <string.h>

static const ast *named(const comp *c, const unit *u, const ast *call, const char *name) {
  (void)c;
  for (const ast *x = call && call->kind == AST_CALL ? call->first->next->first : NULL; x; x = x->next)
    if (x->kind == AST_NAMED && ast_name_is(u->src, x->first, name)) return x->first->next;
  return NULL;
}

const ast *conn_arg(const comp *c, const decl *conn, const char *name, const unit **in) {
  const decl *base = conn->base != MOD_NO_INDEX ? &c->decls[conn->base] : NULL;
  const ast *e = named(c, conn->u, ast_child(conn->node, 1), name);
  *in = conn->u;
  if (e || !base) return e;
  *in = base->u;
  return named(c, base->u, ast_child(base->node, 1), name);
}

/* ---- making one */

static bool uses(comp *c, const unit *u, str name) {
  for (const ast *n = u->parse.root->first; n; n = n->next)
    if (n->kind == AST_USE && str_eq(node_text(c, n->first), name)) return true;
  return false;
}

void adapters_of(comp *c, unit *u) {
  if (!u->parse.root || u->lib) return;
  c->u = u;
  for (ast *n = u->parse.root->first; n; n = n->next) {
    ast *e = n->kind == AST_CONNECTION && n->first ? ast_child(n, 1) : NULL;
    comp_source s;
    if (!e || e->kind != AST_CALL) continue;
    str kind = node_name(c, e->first);
    const char *file = fmt(c, "%.*s.hdw", STR(kind));
    if (bi_declare(&c->bi, BI_CONNECTION, NULL, kind) || !uses(c, u, kind) || !lib_source(c, file, &s)) continue;
    if (c->nlibs >= LIBS_MAX - 1) { err(c, E0228, e, "a program has at most %d libraries and connections made by adapters", LIBS_MAX - 1); return; }
    unit *x = unit_add(c, &s);
    if (!x) return;
    c->libs[++c->nlibs] = (library){.name = str_of(fmt(c, "%.*s ", STR(node_name(c, n->first))))}; /* the blank: no name of a program */
    x->lib = c->nlibs;
    x->made = n;
    c->u = u;
  }
}

/* The connection of the adapter's copy that was made for this one. */
static decl *base_of(comp *c, const decl *d, str kind) {
  for (uint32_t i = 0; i < c->nunits; i++)
    if (c->units[i]->made == d->node) {
      decl *b = lib_decl(c, c->units[i]->lib, kind);
      return b && b->kind == D_CONNECTION ? b : NULL;
    }
  return NULL;
}

bool adapter_setup(comp *c, decl *d, ast *e) {
  str kind = node_name(c, e->first);
  decl *b = base_of(c, d, kind);
  ast *from = b ? ast_child(b->node, 1) : NULL;
  if (!b || from->kind != AST_CALL) return false;
  unit *u = c->u;
  c->u = b->u;
  d->kind_row = bi_declare(&c->bi, BI_CONNECTION, NULL, node_name(c, from->first));
  c->u = u;
  if (!d->kind_row) return false;
  d->base = (uint32_t)(b - c->decls);
  b->stands_for = (uint32_t)(d - c->decls);
  d->adapter = b->u->lib;
  return true;
}

bool adapter_note(comp *c, diag *g, str kind) {
  comp_source s;
  if (!lib_source(c, fmt(c, "%.*s.hdw", STR(kind)), &s)) return false;
  diag_note(c->d, g, "there is an adapter of that name: write `use %.*s` below the first line", STR(kind));
  return true;
}

decl *adapter_action(comp *c, const decl *conn, str name) {
  decl *d = conn->adapter ? lib_decl(c, conn->adapter, name) : NULL;
  return d && d->kind == D_ACTION ? d : NULL;
}

void adapter_actions(comp *c, diag *g, const decl *conn, nearest *near) {
  buf b;
  buf_init(&b, c->a, 4096);
  for (uint32_t i = 0; conn->adapter && i < c->ndecls; i++) {
    if (c->decls[i].u->lib != conn->adapter || c->decls[i].kind != D_ACTION) continue;
    if (near) nearest_offer(near, c->decls[i].name.p, c->decls[i].name.len);
    buf_putf(&b, "%s%.*s", b.len ? ", " : "", STR(c->decls[i].name));
  }
  buf_putc(&b, 0);
  if (g && b.len > 1 && !b.status) diag_note(c->d, g, "the adapter adds: %s", b.p);
}

/* ---- quirks */

static str text_of(const unit *u, const ast *n) { /* of 'a string', or a name */
  str s = {u->src + n->off, n->end - n->off};
  return n->kind == AST_STRING && s.len >= 2 ? (str){s.p + 1, s.len - 2} : s;
}

static const ast *member_of(const unit *u, const ast *obj, const char *name) {
  for (const ast *x = obj && obj->kind == AST_OBJ ? obj->first : NULL; x; x = x->next)
    if (str_is(text_of(u, x->first), name)) return x->first->next;
  return NULL;
}

void quirks_check(comp *c, decl *conn) {
  static const char *const known[] = {"needs", "lacks", "page_size", "rates", "version_test"};
  const ast *q = named(c, conn->u, ast_child(conn->node, 1), "quirks");
  for (const ast *x = q && q->kind == AST_OBJ ? q->first : NULL; x; x = x->next) {
    str name = text_of(conn->u, x->first);
    nearest near;
    bool ok = false;
    nearest_init(&near, name.p, name.len);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
      ok |= str_is(name, known[i]);
      nearest_offer(&near, known[i], strlen(known[i]));
    }
    if (!ok) {
      diag *g = err(c, E0219, x->first, "quirks have no '%.*s': needs, lacks, page_size, rates, version_test", STR(name));
      suggest(c, g, x->first, &near);
    }
  }
}

/* 'family+given': each is an argument of the call, or a parameter that the connection always sends. */
static bool met(comp *c, const decl *conn, ast *args, str set) {
  const unit *in;
  const ast *always = conn_arg(c, conn, "parameters", &in);
  while (set.len) {
    size_t n = 0;
    while (n < set.len && set.p[n] != '+') n++;
    bool found = false;
    for (const ast *x = always && always->kind == AST_OBJ ? always->first : NULL; x && !found; x = x->next) found = str_eq(text_of(in, x->first), (str){set.p, n});
    for (ast *x = args->first; x && !found; x = x->next) {
      if (x->kind != AST_NAMED) continue;
      str k = key_text(c, x->first);
      found = k.len >= n && !memcmp(k.p, set.p, n) && (k.len == n || k.p[n] == ':' || k.p[n] == '.');
      if (str_is(k, "extra") || (str_is(k, "within") && n == 7 && !memcmp(set.p, "patient", 7))) found = true;
    }
    if (!found) return false;
    set = n < set.len ? (str){set.p + n + 1, set.len - n - 1} : (str){set.p, 0};
  }
  return true;
}

void quirks_call(comp *c, const decl *conn, ast *call_node, str op, uint16_t resource) {
  const unit *in;
  const ast *q = conn_arg(c, conn, "quirks", &in), *lacks = member_of(in, q, "lacks");
  const char *type = resource ? fhir_type_name(resource) : "";
  for (const ast *x = lacks && lacks->kind == AST_LIST ? lacks->first : NULL; x; x = x->next) {
    str t = text_of(in, x);
    if (!str_eq(t, op) && !str_is(t, fmt(c, "%s.%.*s", type, STR(op)))) continue;
    diag *d = err(c, E0248, call_node, "'%.*s' has no %.*s%s%s", STR(conn->name), STR(op), resource ? " of " : "", type);
    diag_also(c->d, d, in->file, x->off, x->end, "as is said here");
    return;
  }
  if (!str_is(op, "search") && !str_is(op, "pages")) return;
  const ast *sets = resource ? member_of(in, member_of(in, q, "needs"), type) : NULL;
  buf b;
  buf_init(&b, c->a, 4096);
  for (const ast *x = sets && sets->kind == AST_LIST ? sets->first : NULL; x; x = x->next) {
    str t = text_of(in, x);
    if (met(c, conn, ast_child(call_node, 1), t)) return;
    buf_putf(&b, "%s%.*s", b.len ? ", or " : "", STR(t));
  }
  if (!b.len) return;
  buf_putc(&b, 0);
  diag *d = err(c, E0248, call_node, "'%.*s' searches %s only with: %s", STR(conn->name), type, b.status ? "" : b.p);
  diag_also(c->d, d, in->file, sets->off, sets->end, "as is said here");
}
