/* lib.c - the library: .hdw files of stdlib/lib that are part of the compiler, named by `use v2` when the project has no such file.
 *
 * A library has its own names: a program says v2.toBundle(…), and the library does not see the program's declarations. Of a library only what is
 * called is compiled. */
#include "comp_int.h"
#include <string.h>

typedef struct lib_row { const char *name; const unsigned char *text; size_t len; } lib_row;
#include "lib_files.inc"

bool lib_source(comp *c, const char *name, comp_source *out) {
  for (const lib_row *r = lib_rows; r->name; r++) {
    if (strcmp(r->name, name) != 0) continue;
    *out = (comp_source){fmt(c, "hdw:%s", name), (const char *)r->text, r->len};
    return true;
  }
  return false;
}

/* The number of the library that a file belongs to: that of the part before the first '/'. 0 when there are too many. */
int lib_named(comp *c, const char *file) {
  str name = {file, strcspn(file, "/.")};
  for (int i = 1; i <= c->nlibs; i++)
    if (str_eq(c->libs[i].name, name)) return i;
  if (c->nlibs == LIBS_MAX - 1) return 0;
  c->libs[++c->nlibs] = (library){.name = name};
  return c->nlibs;
}

/* The library that a name before a dot stands for: one that this file uses, unless a value or declaration has that name. 0 when it is none. */
int lib_used(comp *c, const ast *n) {
  if (n->kind != AST_NAME || (!c->u->uses && !c->is_eval)) return 0;
  str name = node_name(c, n);
  if (c->is_eval && !c->u->uses && !c->view) lib_load(c, fmt(c, "%.*s", STR(name)));
  for (int i = 1; i <= c->nlibs; i++)
    if ((c->u->uses >> i & 1) && str_eq(c->libs[i].name, name)) return find_local(c, name) || find_decl(c, name) ? 0 : i;
  return 0;
}

decl *lib_decl(comp *c, int lib, str name) {
  uint32_t i = name_find(&c->libs[lib].names, name, decl_name_of, c);
  return i == MOD_NO_INDEX ? NULL : &c->decls[i];
}

/* v2.toBundle(msg): a function of a library. */
ty library_call(comp *c, ast *call_node, int lib, str name, int dst) {
  decl *d = lib_decl(c, lib, name);
  if (d && (d->kind == D_FN || d->kind == D_MAP || (d->kind == D_PAYLOAD && (decl_params(c, d), d->params)))) return call_decl(c, call_node, d, dst);
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (uint32_t i = 0; i < c->ndecls; i++)
    if (c->decls[i].u->lib == lib && (c->decls[i].kind == D_FN || c->decls[i].kind == D_MAP)) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
  diag *g = err(c, E0207, call_node->first, "the library '%.*s' has no function '%.*s'", STR(c->libs[lib].name), STR(name));
  suggest(c, g, call_node->first, &near);
  return ty_one(TY_ERR);
}
