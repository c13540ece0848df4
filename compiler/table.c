/* table.c - `table payers = csv('payers.csv', key: 'code')`: rows are read when the program is compiled and become constants of the module. */
#include "comp_int.h"
#include "csv.h"
#include <string.h>

enum { TABLE_MAX_ROWS = 100000 };

static ast *named(comp *c, ast *args, const char *name) {
  for (ast *x = args->first; x; x = x->next)
    if (x->kind == AST_NAMED && str_is(node_name(c, x->first), name)) return ast_child(x, 1);
  return NULL;
}

static bool text_arg(comp *c, ast *e, str *out) {
  if (!e || e->kind != AST_STRING) return false;
  ast_str s = ast_string_value(c->a, c->u->src, e);
  *out = (str){s.p, s.len};
  return true;
}

bool named_file(comp *c, const ast *at, str file, comp_source *out) {
  const comp_loader *l = c->opt ? c->opt->loader : NULL;
  hdw_status st = l ? l->load(l->user, c->u->path, fmt(c, "%.*s", STR(file)), out) : HDW_E_NOTFOUND;
  if (st == HDW_E_DENIED) err(c, E0221, at, "'%.*s' lies outside of the program's folder: copy it there", STR(file));
  else if (st) err(c, E0221, at, "there is no file '%.*s'", STR(file));
  return !st;
}

/* Rows that repeat the key would make a look-up ambiguous. */
static bool keys_unique(comp *c, const ast *at, val rows, str key) {
  val k = val_key(key.p, key.len);
  uint32_t cap = 16;
  while (cap < rows.len * 2) cap *= 2;
  uint32_t *slot = arena_zalloc(c->a, cap, sizeof *slot);
  if (!slot) return true;
  for (uint32_t i = 0; i < rows.len; i++) {
    const val *v = val_obj_get(rows.u.v[i], k);
    if (!v || v->tag != VAL_STR) { err(c, E0233, at, "row %u has no '%.*s'", i + 1, STR(key)); return false; }
    uint64_t h = val_hash(1, *v);
    for (; slot[h & (cap - 1)]; h++) {
      const val *o = val_obj_get(rows.u.v[slot[h & (cap - 1)] - 1], k);
      if (o->len == v->len && memcmp(o->u.s, v->u.s, v->len) == 0) {
        err(c, E0233, at, "'%.*s' stands in rows %u and %u: the key must be unique", (int)(v->len > 60 ? 60 : v->len), v->u.s, slot[h & (cap - 1)], i + 1);
        return false;
      }
    }
    slot[h & (cap - 1)] = i + 1;
  }
  return true;
}

/* Strings of a table are slices of the file, which lives as long as the compilation; the shape makes its columns known to the checker. */
void table_load(comp *c, decl *d) {
  ast *e = ast_child(d->node, 1);
  if (d->state) return;
  d->state = 2;
  d->rows = (val){.tag = VAL_LIST, .flags = VALF_ARRAY};
  d->t = ty_make(TY_ANY, 0, true);
  if (e->kind != AST_CALL || !str_is(node_name(c, e->first), "csv")) { err(c, E0219, e, "a table is read from a file: table %.*s = csv('file.csv', key: 'code')", STR(d->name)); return; }
  ast *args = ast_child(e, 1);
  str file, key = {0}, delimiter;
  if (!args->first || !text_arg(c, args->first, &file)) { err(c, E0208, e, "csv takes the name of a file: csv('payers.csv', key: 'code')"); return; }
  csv_opts o = {.header = true};
  for (ast *x = args->first->next; x; x = x->next)
    if (x->kind != AST_NAMED || !(str_is(node_name(c, x->first), "key") || str_is(node_name(c, x->first), "delimiter"))) err(c, E0208, x, "csv of a table takes key and delimiter");
  if (named(c, args, "delimiter") && text_arg(c, named(c, args, "delimiter"), &delimiter) && delimiter.len == 1) o.delimiter = delimiter.p[0];
  comp_source s;
  if (!named_file(c, args->first, file, &s)) return;
  csv_rows it;
  csv_error ce;
  hdw_status st = csv_init(&it, c->a, s.text, s.len, &o, &ce);
  val_builder b = {0};
  val row;
  while (!st && (st = csv_next(&it, c->a, &row, &ce)) == HDW_OK) {
    if (b.len >= TABLE_MAX_ROWS) { err(c, E0228, e, "a table has at most %d rows", TABLE_MAX_ROWS); return; }
    st = val_push(c->a, &b, row);
  }
  if (st == HDW_E_NOMEM) { c->e.status = st; return; }
  if (st != HDW_E_NOTFOUND) { err(c, E0233, args->first, "%.*s, line %llu: expected %s", STR(file), (unsigned long long)ce.line, ce.expected ? ce.expected : "a row"); return; }
  d->rows.u.v = b.v;
  d->rows.len = b.len;
  if (named(c, args, "key") && text_arg(c, named(c, args, "key"), &key) && !keys_unique(c, e, d->rows, key)) return;
  str *names = arena_alloc(c->a, (it.name_count + 1) * sizeof *names);
  ty *types = arena_alloc(c->a, (it.name_count + 1) * sizeof *types);
  if (!names || !types) { c->e.status = HDW_E_NOMEM; return; }
  for (uint32_t i = 0; i < it.name_count; i++) {
    names[i] = (str){it.names[i].u.s, it.names[i].len};
    types[i] = ty_opt(TY_STR);
  }
  d->t = ty_make(TY_OBJECT, 0, true);
  d->t.ref = shape_add(c, it.name_count, names, types);
}
