/* scope.c - logins of connections: the scopes that are asked for against the calls that are made, and what else can be said about them when the program is compiled.
 *
 * The grammar is SMART's (smart.h). A list with a scope that is not written here, or without any scope of this form, is left alone: then the server decides. */
#include "comp_int.h"
#include "smart.h"
#include <stdio.h>
#include <string.h>

enum { C = SMART_C, R = SMART_R, U = SMART_U, D = SMART_D, S = SMART_S, MAX_SCOPES = 100 };

typedef struct scope { const ast *node; str text, type; uint8_t rights; bool v1, part, used; } scope;
struct scopes {
  scope v[MAX_SCOPES];
  uint32_t n;
  bool known;                /* every scope is written here, and one at least is SMART's */
  bool any;                  /* calls whose needs are not known: nothing is unused */
  unit *u;
};

/* False: not SMART's form, with *why when it was meant to be. r4: its type is one of R4's; of other versions any is taken, as hdwc does not know them. */
static bool parse(scope *s, bool r4, const char **why) {
  smart_scope x;
  smart_form form = smart_scope_read(s->text.p, s->text.len, &x);
  bool known = str_is((str){x.type, x.type_len}, "*") || fhir_resource(x.type ? x.type : "", x.type_len);
  s->type = (str){x.type, x.type_len}, s->v1 = x.v1, s->part = x.part;
  *why = form == SMART_IS_NOT ? NULL : form == SMART_BAD_FORM ? "it has the form system/Patient.rs, or system/Patient.read in version 1" : r4 && !known ? "its type is no FHIR resource" :
         form == SMART_BAD_RIGHTS ? "its rights are read, write or *, or some of the letters cruds in this order" : NULL;
  if (form != SMART_IS || *why) return false;
  s->rights = x.rights;
  return true;
}

/* The argument of a declaration's call, by name or place; NULL. */
static ast *argument_of(comp *c, ast *call_node, const bi *row, const char *name) {
  uint32_t at = 0, k = 0;
  while (at < row->sig.n && !str_is(row->sig.p[at].name, name)) at++;
  for (ast *x = ast_child(call_node, 1)->first; x; x = x->next) {
    if (x->kind == AST_NAMED && str_is(node_name(c, x->first), name)) return ast_child(x, 1);
    if (x->kind != AST_NAMED && k++ == at) return x;
  }
  return NULL;
}

static void wrong_scope(comp *c, const scope *s, const char *why) {
  diag *d = err(c, W0317, s->node, "'%.*s' is no scope of SMART", STR(s->text));
  diag_note(c->d, d, "%s", why);
  nearest near;
  nearest_init(&near, s->type.p ? s->type.p : "", s->type.len);
  for (uint16_t i = 1; s->type.len && i < fhir_type_count(); i++)
    if (fhir_type_kind(i) == FHIR_RESOURCE) nearest_offer(&near, fhir_type_name(i), strlen(fhir_type_name(i)));
  if (near.n && !fhir_resource(s->type.p, s->type.len)) {
    size_t head = (size_t)(s->type.p - s->text.p);
    str rest = {s->type.p + s->type.len, s->text.len - head - s->type.len};
    const char *text = fmt(c, "'%.*s%.*s%.*s'", (int)head, s->text.p, (int)near.hit[0].len, near.hit[0].name, STR(rest));
    diag_replace(c->d, d, s->node->off, s->node->end, text, fmt(c, "did you mean %s?", text));
    return;
  }
  const char *dot = s->type.len ? s->type.p + s->type.len + 1 : NULL; /* letters in another order, or twice */
  uint8_t rights = 0;
  char sorted[6];
  for (const char *p = dot; p && p < s->text.p + s->text.len; p++) {
    uint8_t one = smart_right(*p);
    if (!one) return;
    rights |= one;
  }
  if (rights) {
    const char *text = fmt(c, "'%.*s%s'", (int)(dot - s->text.p), s->text.p, smart_letters(rights, sorted));
    diag_replace(c->d, d, s->node->off, s->node->end, text, fmt(c, "did you mean %s?", text));
  }
}

/* From the declaration; once. */
static struct scopes *scopes_of(comp *c, decl *conn, bool tell) {
  if (conn->scopes) return conn->scopes;
  struct scopes *out = conn->scopes = arena_zalloc(c->a, 1, sizeof *out);
  unit *before = c->u;
  ast *e = ast_child(conn->node, 1);
  if (!out || e->kind != AST_CALL || !conn->kind_row) return out;
  c->u = out->u = conn->u;
  ast *auth = argument_of(c, e, conn->kind_row, "auth");
  str name = auth && auth->kind == AST_CALL ? node_name(c, auth->first) : (str){0};
  const bi *row = str_is(name, "oauth2") || str_is(name, "smart_backend") ? bi_declare(&c->bi, BI_HELPER, NULL, name) : NULL;
  ast *list = row ? argument_of(c, auth, row, "scopes") : NULL;
  out->known = list && list->kind == AST_LIST && str_is(conn->kind_row->sig.name, "fhir");
  bool smart = false, r4 = connection_is_r4(c, conn);
  for (ast *x = list && list->kind == AST_LIST ? list->first : NULL; x && out->n < MAX_SCOPES; x = x->next) {
    if (x->kind != AST_STRING) { out->known = false; continue; }
    ast_str s = ast_string_value(c->a, c->u->src, x);
    const char *why;
    scope *o = &out->v[out->n++];
    *o = (scope){.node = x, .text = {s.p, s.len}};
    if (parse(o, r4, &why)) smart = true;
    else if (why && tell) { wrong_scope(c, o, why); out->known = false; }
    else if (why) out->known = false;
  }
  out->known &= smart && out->n < MAX_SCOPES;
  c->u = before;
  return out;
}

/* What a call needs; 0 = not known. */
static uint8_t need_of(str op, bool conditional) {
  static const struct { const char *op; uint8_t rights; } t[] = {{"read", R}, {"vread", R}, {"history", R}, {"search", S}, {"pages", S}, {"create", C}, {"update", U}, {"patch", R | U}, {"delete", D}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++)
    if (str_is(op, t[i].op)) return (uint8_t)(t[i].rights | (conditional && t[i].rights == U ? C : 0));
  return 0;
}

/* Wider: the scope of the same type with more letters, else one more behind the last. */
static void add_fix(comp *c, struct scopes *s, diag *d, str type, uint8_t missing) {
  char text[6];
  bool v1 = false;
  scope *same = NULL;
  for (uint32_t i = 0; i < s->n; i++) {
    v1 |= s->v[i].v1;
    if (s->v[i].rights && !s->v[i].v1 && !s->v[i].part && str_eq(s->v[i].type, type)) same = &s->v[i];
  }
  if (same) {
    size_t head = (size_t)(same->type.p - same->text.p);
    diag_fix_edit(c->d, diag_fix_begin(c->d, d, "ask for it"), s->u->file, same->node->off, same->node->end, fmt(c, "'%.*s%.*s.%s'", (int)head, same->text.p, STR(type), smart_letters(same->rights | missing, text)));
    return;
  }
  const ast *last = s->v[s->n - 1].node;
  str first = s->v[0].text;
  for (uint32_t i = 0; i < s->n; i++)
    if (s->v[i].rights) { first = s->v[i].text; break; }
  size_t head = (size_t)((const char *)memchr(first.p, '/', first.len) - first.p) + 1;
  const char *rights = !v1 ? smart_letters(missing, text) : !(missing & (C | U | D)) ? "read" : !(missing & (R | S)) ? "write" : "*";
  diag_fix_edit(c->d, diag_fix_begin(c->d, d, "ask for it"), s->u->file, last->end, last->end, fmt(c, ", '%.*s%.*s.%s'", (int)head, first.p, STR(type), rights));
}

void scope_call(comp *c, decl *conn, ast *call_node, ty result) {
  struct scopes *s = conn ? scopes_of(c, conn, true) : NULL;
  if (!s || !s->known) return;
  str op = node_name(c, call_node->first), type = {0};
  ast *x = ast_child(call_node, 1)->first, *where = call_node->first;
  bool conditional = false;
  if (x && x->kind == AST_NAME && !find_local(c, node_name(c, x))) type = node_name(c, x), where = x;
  else if ((str_is(op, "create") || str_is(op, "update")) && result.kind == TY_FHIR) type = str_of(fhir_type_name((uint16_t)result.ref));
  for (ast *k = x; k; k = k->next) {
    str name = k->kind == AST_NAMED && k->first->kind == AST_NAME ? node_name(c, k->first) : (str){0};
    if (str_is(name, "match")) conditional = true;
    if (str_is(name, "_include") || str_is(name, "_revinclude") || str_is(name, "extra")) s->any = true; /* other types come along */
  }
  uint8_t need = need_of(op, conditional), have = 0;
  if (!need || !type.len || !fhir_resource(type.p, type.len)) {
    if (!str_is(op, "capabilities")) s->any = true;
    return;
  }
  for (uint32_t i = 0; i < s->n; i++) {
    scope *o = &s->v[i];
    if (!o->rights || (!str_is(o->type, "*") && !str_eq(o->type, type))) continue;
    have |= o->rights;
    if (o->rights & need || !o->v1) o->used = true; /* one of version 2 is what a fix widens */
  }
  if (!(need & ~have)) return;
  char text[6];
  diag *d = err(c, W0315, where, "'%.*s' asks for no scope that allows %.*s of %.*s", STR(conn->name), STR(op), STR(type));
  diag_note(c->d, d, "the right that is missing: '%s' (c create, r read, u update, d delete, s search); the server will answer 403", smart_letters(need & (uint8_t)~have, text));
  diag_also(c->d, d, s->u->file, s->v[0].node->off, s->v[s->n - 1].node->end, "the scopes that are asked for");
  add_fix(c, s, d, type, need & (uint8_t)~have);
}

static void unused(comp *c, const struct scopes *s, uint32_t i) {
  diag *d = err(c, W0316, s->v[i].node, "nothing needs the scope '%.*s'", STR(s->v[i].text));
  diag_note(c->d, d, "a login should be able to do what the program does and no more");
  if (s->n < 2) return;
  uint32_t off = i ? s->v[i - 1].node->end : s->v[i].node->off, end = i ? s->v[i].node->end : s->v[i + 1].node->off;
  diag_replace(c->d, d, off, end, "", "do not ask for it");
}

/* A key in an address stands in every log on the way. */
static void key_in_address(comp *c, ast *auth, const bi *row) {
  ast *query = argument_of(c, auth, row, "query");
  if (!query && !argument_of(c, auth, row, "header")) {
    diag *d = err(c, E0208, auth->first, "'api_key' needs 'header', the name of the header that carries the key");
    diag_note(c->d, d, "%s", row->text);
  }
  if (!query) return;
  diag *d = err(c, W0318, query, "the key stands in every address, and so in logs and caches on the way");
  diag_note(c->d, d, "most servers take it in a header too");
  for (ast *x = ast_child(auth, 1)->first; x; x = x->next)
    if (x->kind == AST_NAMED && ast_child(x, 1) == query && query->kind == AST_STRING) diag_replace(c->d, d, x->off, x->end, "header: 'X-Api-Key'", "put it into a header");
}

void scope_check(comp *c, decl *conn) {
  ast *e = ast_child(conn->node, 1), *auth = e->kind == AST_CALL && conn->kind_row ? argument_of(c, e, conn->kind_row, "auth") : NULL;
  if (!auth || auth->kind != AST_CALL) return;
  const bi *row = bi_declare(&c->bi, BI_HELPER, NULL, node_name(c, auth->first));
  if (row && str_is(row->sig.name, "api_key")) key_in_address(c, auth, row);
  if (row && str_is(row->sig.name, "bearer_token_exchange")) {
    ast *f = argument_of(c, auth, row, "format");
    ast_str s = f && f->kind == AST_STRING ? ast_string_value(c->a, c->u->src, f) : (ast_str){0};
    const char *hole = s.p ? memmem(s.p, s.len, "{secret}", 8) : NULL;
    bool again = hole && memmem(hole + 8, s.len - (size_t)(hole - s.p) - 8, "{secret}", 8);
    if (s.p && (!hole || again)) diag_note(c->d, err(c, E0208, f, "'format' holds {secret} once"), "format: 'Bearer {secret}'");
  }
  (void)scopes_of(c, conn, true);
}

void scope_end(comp *c, decl *conn) {
  struct scopes *s = conn->scopes;
  if (!s || !s->known || s->any) return;
  unit *before = c->u;
  c->u = s->u;
  for (uint32_t i = 0; i < s->n; i++)
    if (s->v[i].rights && !s->v[i].used) unused(c, s, i);
  c->u = before;
}
