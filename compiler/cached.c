/* cached.c - step x = cached(connection.operation(…), for: 1 day): the answer is kept for that time, for all runs (runtime/engine_cache.c).
 *
 * It is for reference data. phi is not kept: an argument that flows from a message would stand for a patient in the key, and an answer about patients in the
 * store. `phi: allowed` says that both may. */
#include "comp_int.h"
#include <string.h>

static bool duration(comp *c, ast *e, const char *name, int64_t *ms) {
  bool ok = e->kind == AST_QUANTITY;
  val v = ok ? const_of(c, e, &ok) : VAL_NONE;
  if (ok && duration_ms(v, ms) && *ms > 0) return true;
  err(c, E0209, e, "'%s' is a duration as it stands: %s: 1 day", name, name);
  return false;
}

static void option(comp *c, ast *x, keep *k, bool *timed) {
  ast *e = ast_child(x, 1);
  str name = key_text(c, x->first);
  if (str_is(name, "for")) *timed = duration(c, e, "for", &k->for_ms);
  else if (str_is(name, "stale")) (void)duration(c, e, "stale", &k->stale_ms);
  else if (str_is(name, "phi")) {
    k->phi = (e->kind == AST_NAME && str_is(node_name(c, e), "allowed")) || (e->kind == AST_STRING && str_is(node_text(c, e), "'allowed'"));
    if (!k->phi) err(c, E0209, e, "'phi' is allowed or left out");
  } else {
    static const char *const names[] = {"for", "stale", "phi"};
    nearest near;
    nearest_init(&near, name.p, name.len);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) nearest_offer(&near, names[i], strlen(names[i]));
    diag *d = err(c, E0208, x->first, "'cached' has no parameter '%.*s': cached(connection.operation(…), for: 1 day, stale: 7 days, phi: allowed)", STR(name));
    suggest(c, d, x->first, &near);
  }
}

ty cached_call(comp *c, ast *n, int dst) {
  keep k = {0};
  bool timed = false;
  ast *what = NULL;
  for (ast *x = ast_child(n, 1)->first; x; x = x->next) {
    if (x->kind == AST_NAMED) option(c, x, &k, &timed);
    else if (!what) what = x;
    else err(c, E0208, x, "'cached' keeps the answer of one call");
  }
  decl *conn = what && what->kind == AST_DOT && what->first->kind == AST_NAME ? find_decl(c, node_name(c, what->first)) : NULL;
  if (!what || what->kind != AST_DOT || what->last->kind != AST_CALL || !conn || conn->kind != D_CONNECTION || is_pages(c, what)) {
    err(c, E0247, what ? what : n, "what is kept is the answer of one operation of a connection: cached(connection.operation(…), for: 1 day)");
    return ty_one(TY_ERR);
  }
  if (!timed && !c->d->errors) err(c, E0208, n->first, "how long is the answer good? cached(…, for: 1 day)");
  k.call = what->last;
  const keep *outer = c->keep;
  c->keep = &k;
  ty t = effect_call(c, what, false, dst);
  c->keep = outer;
  return t;
}

/* Resources that are about a patient: found by one. Practitioners and organisations are not. */
static bool about_patients(uint16_t resource) {
  fhir_search_info p;
  return resource && (str_is(str_of(fhir_type_name(resource)), "Patient") || fhir_search_param(resource, "patient", 7, &p));
}

static void check(comp *c, ast *call_node, uint16_t resource, uint8_t klass) {
  if (klass != MOD_CLASS_READ) {
    err(c, E0247, call_node, "'%.*s' is no reading call: only an answer to a question can be kept", STR(node_name(c, call_node->first)));
    return;
  }
  if (c->keep->phi) return;
  if (about_patients(resource)) {
    diag *d = err(c, E0247, call_node, "%s is about patients: its answers are not kept", fhir_type_name(resource));
    diag_note(c->d, d, "phi: allowed keeps them all the same");
  }
  bool quiet = c->quiet;
  for (ast *x = ast_child(call_node, 1)->first; x; x = x->next) { /* compiled a second time, for its labels */
    ast *e = x->kind == AST_NAMED ? ast_child(x, 1) : x;
    if (e->kind == AST_NAME && !find_local(c, node_name(c, e))) continue; /* a type */
    int top = c->f->top, r = reg_new(c);
    c->quiet = true;
    ty t = ex(c, e, r);
    c->quiet = quiet;
    c->f->top = top;
    no_phi(c, e, t, "the key of what is kept", "asks with it for what is kept for all");
  }
}

uint32_t cached_emit(comp *c, ast *call_node, uint16_t resource, uint8_t klass, int r, uint32_t argn[2]) {
  const int64_t ms[] = {c->keep->for_ms, c->keep->stale_ms};
  static const char *const names[] = {"$for", "$stale"};
  check(c, call_node, resource, klass);
  for (int i = 0; i < 2; i++) {
    argn[i] = emit_cstr(&c->e, names[i]);
    emit_loadk(&c->e, c->f->fn, (uint32_t)(r + i), emit_val(&c->e, (val){.tag = VAL_LONG, .u.i = ms[i]}));
  }
  return 2;
}
