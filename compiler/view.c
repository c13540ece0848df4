/* view.c - ViewDefinitions of SQL on FHIR v2: a view becomes one function that turns one resource into its rows.
 *
 * The whole view is one module and one frame: forEach is a loop, a column an expression in the scope of the nearest loop, and what stands beside or
 * below a select is compiled inside of it, so that a row is complete where the innermost loop has its body. Two things need memory: the branches of a unionAll
 * are collected and then looped over, so that what follows is compiled once and not once for each branch; and `repeat` is a function that calls itself.
 *
 *   select: [{column: [a]}, {forEach: n, column: [b], unionAll: [X, Y]}]
 *
 *     part 0 := {a}
 *     for each n: part 1 := {b}
 *       list := rows of X, rows of Y
 *       for each list: part 2; push {0: part 0, 1: part 1, 2: part 2}
 *
 * A row of one part is the part itself. Names of columns begin with a letter, so an object with the member "0" is never a column's part. */
#include "view_int.h"
#include <string.h>

/* In what a path is evaluated: $this and %rowIndex (register, -1 at the resource itself). */
typedef struct scope { int reg, index; ty t; } scope;

/* What is still to be done for a row behind the present select: the rest of a list of selects, the branches of a unionAll, and at last the row. */
typedef enum rest_kind { R_LIST, R_UNION, R_ROW } rest_kind;
typedef struct rest {
  rest_kind kind;
  val list; uint32_t i;
  const char *where;
  scope s;
  int builder, first;          /* R_ROW: into which builder, from which part on */
  const struct rest *up;
} rest;

/* ---- paths */

static const ast *parse_path(view *v, const char *where, val x) {
  comp *c = v->c;
  if (x.tag != VAL_STR || x.len == 0) { view_wrong(v, "%s is a FHIRPath expression, as a string", where); return NULL; }
  unit *u = arena_zalloc(c->a, 1, sizeof *u);
  if (!u) { c->e.status = HDW_E_NOMEM; return NULL; }
  if (v->file >= c->d->n_files) { c->e.status = HDW_E_NOMEM; return NULL; }
  u->path = fmt(c, "%s: %s", c->d->files[v->file].path, where);
  if (!u->path) { c->e.status = HDW_E_NOMEM; return NULL; }
  u->src = x.u.s;
  u->len = x.len;
  u->file = diag_file_add(c->d, u->path, u->src, u->len);
  u->file_k = emit_cstr(&c->e, u->path);
  diag_parse_sink sink;
  diag_parse_sink_init(&sink, c->d, u->file);
  hdw_status st = parse_expr(c->a, u->src, u->len, true, &sink.sink, &u->parse);
  if (st && st != HDW_E_SYNTAX && st != HDW_E_LIMIT) c->e.status = st;
  c->u = u;
  return u->parse.errors ? NULL : u->parse.root;
}

/* Value of the path into dst. */
static ty path(view *v, const char *where, val x, scope s, int dst) {
  comp *c = v->c;
  unit *outer = c->u;
  const ast *n = parse_path(v, where, x);
  ty t = ty_one(TY_ERR);
  if (n) {
    c->f->scope[0] = (this_scope){.reg = s.reg, .index = -1, .total = -1, .origin = s.reg, .t = s.t};
    c->f->nscope = 1;
    c->f->root_scope = true;
    v->index = s.index;
    pos(c, n);
    c->u->parse.root->flags |= AST_SCOPE;
    t = ex(c, c->u->parse.root, dst);
  }
  c->u = outer;
  return t;
}

static fnctx *function(view *v, const char *name, uint32_t params) {
  comp *c = v->c;
  fnctx *f = arena_zalloc(c->a, 1, sizeof *f);
  if (!f) { c->e.status = HDW_E_NOMEM; return NULL; }
  f->fn = emit_func_new(&c->e, name, strlen(name), params);
  f->top = (int)params;
  f->error_reg = f->yield_builder = f->version = f->msg = -1;
  return f;
}

/* ---- repeat */

static void loop_item(comp *c, int it, uint32_t head, uint32_t out) {
  (void)it;
  emit_jump_to(&c->e, c->f->fn, OP_JMP, 0, head);
  emit_patch(&c->e, c->f->fn, out);
}

static uint32_t npaths(val paths) { return paths.tag == VAL_LIST ? paths.len : paths.tag != VAL_EMPTY; }

/* f(node, resource): what the paths give, each followed by what they give on it. */
static uint32_t repeat_function(view *v, val paths, const char *where) {
  comp *c = v->c;
  fnctx *outer = c->f, *f = function(v, "repeat", 2);
  int resource = v->resource;
  bool lenient = c->lenient;
  if (!f) return 0;
  c->f = f;
  c->lenient = true; /* the paths are evaluated on their own results: what they are on one level they need not be on the next */
  v->resource = 1;
  int bld = reg_new(c), list = reg_new(c), it = regs_new(c, 4), w = regs_new(c, 2);
  op3(c, OP_NEWB, bld, 0, 0);
  for (uint32_t i = 0; i < npaths(paths); i++) {
    path(v, fmt(c, "%srepeat[%u]", where, i), val_item(paths, i), (scope){.reg = 0, .index = -1, .t = ty_opt(TY_ANY)}, list);
    op3(c, OP_ITER, it, list, 0);
    uint32_t head = emit_here(&c->e, f->fn), out = emit_jump(&c->e, f->fn, OP_NEXT, (uint32_t)it);
    op3(c, OP_PUSH, bld, it + 2, 0);
    op3(c, OP_MOVE, w, it + 2, 0);
    op3(c, OP_MOVE, w + 1, 1, 0);
    emit_bx(&c->e, f->fn, OP_CALL, (uint32_t)w, f->fn);
    op3(c, OP_PUSH, bld, w, 0);
    loop_item(c, it, head, out);
  }
  op3(c, OP_BUILD, list, bld, 0);
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)list, 0, 0);
  c->f = outer;
  c->lenient = lenient;
  v->resource = resource;
  return f->fn;
}

/* The type of what the paths find, when it is one; checks that each of them can find something at all. The code of this function is never called. */
static ty repeat_type(view *v, val paths, const char *where, scope s) {
  comp *c = v->c;
  fnctx *outer = c->f, *f = function(v, "types", 2);
  ty any = ty_opt(TY_ANY), got[16];
  bool lenient = c->lenient;
  if (!f || s.t.kind != TY_FHIR) return any;
  int resource = v->resource;
  c->f = f;
  v->resource = 1;
  int r = reg_new(c);
  uint32_t n = npaths(paths);
  ty item = any;
  c->lenient = true;
  for (uint32_t i = 0; i < n && i < 16; i++) {
    got[i] = path(v, fmt(c, "%srepeat[%u]", where, i), val_item(paths, i), (scope){.reg = 0, .index = -1, .t = s.t}, r);
    if (got[i].kind == TY_FHIR && item.kind == TY_ANY) item = ty_card(got[i], 1, false);
  }
  c->lenient = lenient;
  bool one = n <= 16 && item.kind == TY_FHIR;
  for (uint32_t i = 0; one && i < n; i++) {
    scope deeper = {.reg = 0, .index = -1, .t = item};
    const char *w = fmt(c, "%srepeat[%u]", where, i);
    c->lenient = got[i].kind == TY_FHIR; /* wrong on both levels is wrong */
    ty t = path(v, w, val_item(paths, i), deeper, r);
    if (got[i].kind != TY_FHIR) got[i] = t;
    one = (t.kind != TY_FHIR || t.ref == item.ref) && got[i].kind == TY_FHIR && got[i].ref == item.ref;
  }
  c->lenient = lenient;
  op3(c, OP_EMPTY, r, 0, 0);
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
  c->f = outer;
  v->resource = resource;
  return one ? item : any;
}

/* ---- selects */

static void select_one(view *v, val sel, const char *where, scope s, const rest *after);

static void add_part(view *v, int reg) {
  if (v->nparts == VIEW_PARTS) { view_wrong(v, "the view has more than %d selects with columns", VIEW_PARTS); return; }
  v->parts[v->nparts++] = reg;
}

/* The parts from first on become a row: the part itself when there is one. */
static void row(view *v, int builder, int first) {
  comp *c = v->c;
  int n = v->nparts - first, top = c->f->top;
  if (n == 1) { op3(c, OP_PUSH, builder, v->parts[first], 0); return; }
  int w = regs_new(c, n ? n : 1);
  mod_key keys[VIEW_PARTS];
  for (int i = 0; i < n; i++) {
    op3(c, OP_MOVE, w + i, v->parts[first + i], 0);
    keys[i] = (mod_key){emit_cstr(&c->e, fmt(c, "%d", i)), 0};
  }
  emit_ext(&c->e, c->f->fn, OP_OBJ, (uint32_t)w, (uint32_t)w, 0, emit_shape(&c->e, keys, (uint32_t)n));
  op3(c, OP_PUSH, builder, w, 0);
  c->f->top = top;
}

static void go_on(view *v, const rest *k);

/* The rows of all branches in one list, and a loop over it. */
static void union_all(view *v, const rest *k) {
  comp *c = v->c;
  int top = c->f->top, bld = reg_new(c), it = regs_new(c, 4);
  op3(c, OP_NEWB, bld, 0, 0);
  for (uint32_t i = 0; i < view_count(k->list); i++) {
    rest end = {.kind = R_ROW, .builder = bld, .first = v->nparts};
    select_one(v, k->list.u.v[i], fmt(c, "%sunionAll[%u].", k->where, i), k->s, &end);
  }
  op3(c, OP_BUILD, it, bld, 0);
  op3(c, OP_ITER, it, it, 0);
  uint32_t head = emit_here(&c->e, c->f->fn), out = emit_jump(&c->e, c->f->fn, OP_NEXT, (uint32_t)it);
  int nparts = v->nparts;
  add_part(v, it + 2);
  go_on(v, k->up);
  v->nparts = nparts;
  loop_item(c, it, head, out);
  c->f->top = top;
}

static void go_on(view *v, const rest *k) {
  if (v->c->e.status) return;
  if (k->kind == R_ROW) { row(v, k->builder, k->first); return; }
  if (k->i == view_count(k->list)) { go_on(v, k->up); return; }
  if (k->kind == R_UNION) { union_all(v, k); return; }
  rest next = *k;
  next.i++;
  select_one(v, k->list.u.v[k->i], fmt(v->c, "%sselect[%u].", k->where, k->i), k->s, &next);
}

/* What a column says about itself; the ordinal is found by its name. */
static void describe(view *v, val col, const char *where) {
  str name = view_text(v, col, "name", where), type = view_text(v, col, "type", where);
  val many = view_get(v, col, "collection");
  if (many.tag != VAL_EMPTY && many.tag != VAL_BOOL) view_wrong(v, "%scollection is true or false", where);
  for (uint32_t i = 0; i < v->info->ncolumns; i++) {
    comp_view_column *x = &v->info->columns[i];
    if (x->len_name != name.len || memcmp(x->name, name.p, name.len) != 0) continue;
    bool collection = many.tag == VAL_BOOL && many.u.i;
    if (x->described && x->collection != collection) view_wrong(v, "%scollection differs from the same column in another branch of unionAll", where);
    x->described = true;
    x->collection = collection;
    if (type.p && !x->type) x->type = arena_dup(v->c->a, type.p, type.len);
  }
  view_known(v, col, where, VIEW_COLUMN);
}

/* A type that the values can never have. */
static void check_type(view *v, val col, const char *where, ty t) {
  str type = view_text(v, col, "type", where);
  static const char prefix[] = "http://hl7.org/fhir/StructureDefinition/";
  if (type.len > sizeof prefix - 1 && memcmp(type.p, prefix, sizeof prefix - 1) == 0) { type.p += sizeof prefix - 1; type.len -= sizeof prefix - 1; }
  uint16_t id = type.p ? fhir_type(type.p, type.len) : 0;
  if (!type.p || !id || ty_is_open(t) || t.kind == TY_NONE) return;
  fhir_system want = fhir_type_system(id);
  bool ok = true;
  switch ((ty_kind)t.kind) {
    case TY_BOOL: ok = want == FHIR_SYS_BOOLEAN; break;
    case TY_INT: ok = want == FHIR_SYS_INTEGER || want == FHIR_SYS_DECIMAL; break;
    case TY_DEC: ok = want == FHIR_SYS_DECIMAL; break;
    case TY_STR: ok = want == FHIR_SYS_STRING; break;
    case TY_DATE: case TY_DATETIME: ok = want == FHIR_SYS_DATE || want == FHIR_SYS_DATETIME; break;
    case TY_TIME: ok = want == FHIR_SYS_TIME; break;
    case TY_FHIR: ok = want == FHIR_SYS_NONE; break;
    default: break;
  }
  if (!ok) view_odd(v, "%stype is %.*s, but the path gives %s", where, STR(type), ty_text(v->c, ty_card(t, 1, false)));
}

static void columns(view *v, val cols, const char *where, scope s) {
  comp *c = v->c;
  uint32_t n = view_count(cols);
  for (uint32_t i = 0; i < n;) {
    uint32_t k = n - i < VIEW_CHUNK ? n - i : VIEW_CHUNK;
    int part = reg_new(c), w = regs_new(c, (int)k);
    mod_key keys[VIEW_CHUNK];
    for (uint32_t j = 0; j < k; j++, i++) {
      const char *at = fmt(c, "%scolumn[%u].", where, i);
      str name = view_text(v, cols.u.v[i], "name", at);
      ty t = path(v, fmt(c, "%spath", at), view_get(v, cols.u.v[i], "path"), s, w + (int)j);
      describe(v, cols.u.v[i], at);
      check_type(v, cols.u.v[i], at, t);
      keys[j] = (mod_key){emit_str(&c->e, name.p ? name.p : "", name.len), 0};
    }
    emit_ext(&c->e, c->f->fn, OP_OBJ, (uint32_t)part, (uint32_t)w, 0, emit_shape(&c->e, keys, k));
    c->f->top = part + 1;
    add_part(v, part);
  }
}

/* Columns, nested selects and unionAll of sel in scope s, then what comes after. */
static void body(view *v, val sel, const char *where, scope s, const rest *after) {
  rest branches = {.kind = R_UNION, .list = view_objects(v, sel, "unionAll", where), .where = where, .s = s, .up = after};
  rest subs = {.kind = R_LIST, .list = view_objects(v, sel, "select", where), .where = where, .s = s, .up = view_count(branches.list) ? &branches : after};
  columns(v, view_objects(v, sel, "column", where), where, s);
  go_on(v, &subs);
}

/* The collection of forEach or repeat into register it. Its item's type. */
static ty iterated(view *v, val sel, const char *where, scope s, const char *key, int it) {
  comp *c = v->c;
  if (strcmp(key, "repeat") != 0) return path(v, fmt(c, "%s%s", where, key), view_get(v, sel, key), s, it);
  val paths = view_get(v, sel, key);
  uint32_t errors = c->d->errors;
  if (!npaths(paths)) view_wrong(v, "%srepeat is a list of FHIRPath expressions", where);
  ty t = repeat_type(v, paths, where, s);
  uint32_t fn = c->d->errors == errors ? repeat_function(v, paths, where) : 0;
  int top = c->f->top, w = regs_new(c, 2);
  op3(c, OP_MOVE, w, s.reg, 0);
  op3(c, OP_MOVE, w + 1, v->resource, 0);
  emit_bx(&c->e, c->f->fn, OP_CALL, (uint32_t)w, fn);
  op3(c, OP_MOVE, it, w, 0);
  c->f->top = top;
  return t;
}

static void select_one(view *v, val sel, const char *where, scope s, const rest *after) {
  comp *c = v->c;
  int top = c->f->top, nparts = v->nparts;
  static const char *const loops[] = {"forEach", "forEachOrNull", "repeat"};
  const char *key = NULL;
  if (++v->depth > 4 * VIEW_DEPTH) { view_wrong(v, "%sselect: nested too deeply", where); v->depth--; return; }
  view_known(v, sel, where, VIEW_SELECT);
  for (int i = 0; i < 3; i++) {
    if (!view_has(sel, loops[i])) continue;
    if (key) view_wrong(v, "%.*s has %s and %s: one of them, please", (int)strlen(where) - 1, where, key, loops[i]);
    key = loops[i];
  }
  if (!key) {
    body(v, sel, where, s, after);
  } else {
    int it = regs_new(c, 4);
    ty t = iterated(v, sel, where, s, key, it);
    op3(c, OP_ITER, it, it, 0);
    uint32_t null_row = MOD_NO_INDEX;
    if (strcmp(key, "forEachOrNull") == 0) { /* the body once with nothing; then NEXT finds no item and leaves */
      op3(c, OP_EMPTY, it + 2, 0, 0);
      emit_bx(&c->e, c->f->fn, OP_LOADI, (uint32_t)it + 3, 0);
      null_row = emit_jump(&c->e, c->f->fn, OP_JMPE, (uint32_t)it);
    }
    uint32_t head = emit_here(&c->e, c->f->fn), out = emit_jump(&c->e, c->f->fn, OP_NEXT, (uint32_t)it);
    if (null_row != MOD_NO_INDEX) emit_patch(&c->e, c->f->fn, null_row);
    body(v, sel, where, (scope){.reg = it + 2, .index = it + 3, .t = ty_card(t, 1, false)}, after);
    loop_item(c, it, head, out);
  }
  v->nparts = nparts;
  c->f->top = top;
  v->depth--;
}

/* ---- the view */

/* Conditions of the view: all must be true. Jumps to be patched into out. */
static uint32_t where_clauses(view *v, val doc, scope s, uint32_t *out, uint32_t max) {
  comp *c = v->c;
  val list = view_objects(v, doc, "where", "");
  uint32_t n = 0;
  if (view_count(list) > max) { view_wrong(v, "a view has at most %u conditions", max); return 0; }
  for (uint32_t i = 0; i < view_count(list); i++) {
    const char *at = fmt(c, "where[%u].path", i);
    int top = c->f->top, r = reg_new(c);
    ty t = path(v, at, view_get(v, list.u.v[i], "path"), s, r);
    if (!ty_is_open(t) && t.kind != TY_BOOL && t.kind != TY_NONE) view_wrong(v, "%s gives %s, but a condition is a boolean", at, ty_text(c, ty_card(t, 1, false)));
    if (t.kind == TY_ANY || t.many) /* known only when it is there */
      emit_ext(&c->e, c->f->fn, OP_CHECK, (uint32_t)r, 0, 0, emit_check(&c->e, (mod_check){emit_cstr(&c->e, at), MOD_NO_INDEX, emit_cstr(&c->e, "boolean"), 0, 1}));
    out[n++] = emit_jump(&c->e, c->f->fn, OP_JMPN, (uint32_t)r);
    c->f->top = top;
  }
  return n;
}

static void resource_type(view *v, val doc) {
  comp *c = v->c;
  str r = view_text(v, doc, "resource", "");
  v->info->resource = r.p ? arena_dup(c->a, r.p, r.len) : NULL;
  v->resource_t = ty_one(TY_ANY);
  if (!r.len) { view_wrong(v, "resource is missing: the type of resource that the view reads"); return; }
  uint16_t id = fhir_resource(r.p, r.len);
  if (id) {
    v->resource_t.kind = TY_FHIR;
    v->resource_t.ref = id;
    return;
  }
  nearest near;
  nearest_init(&near, r.p, r.len);
  fhir_nearest_type(&near, true);
  diag *d = view_odd(v, "resource: FHIR R4 has no '%.*s', so nothing in this view can be checked", STR(r));
  if (near.n) diag_note(c->d, d, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name);
}

void view_compile(comp *c, uint32_t file, val doc, comp_view *info) {
  view v = {.c = c, .info = info, .file = file, .index = -1};
  *info = (comp_view){0};
  c->view = &v;
  if (doc.tag != VAL_OBJ) { view_wrong(&v, "a ViewDefinition is a JSON object"); return; }
  view_known(&v, doc, "", VIEW_TOP);
  resource_type(&v, doc);
  view_constants(&v, doc);
  val list = view_objects(&v, doc, "select", "");
  if (!view_count(list)) view_wrong(&v, "select is missing: at least one");
  view_columns(&v, list);
  fnctx *f = function(&v, "main", 1);
  if (c->d->errors || !f) return;
  c->f = f;
  uint32_t outs[64];
  int bld = reg_new(c);
  op3(c, OP_NEWB, bld, 0, 0);
  scope s = {.reg = 0, .index = -1, .t = v.resource_t};
  uint32_t n = where_clauses(&v, doc, s, outs, 64);
  rest end = {.kind = R_ROW, .builder = bld}, all = {.kind = R_LIST, .list = list, .where = "", .s = s, .up = &end};
  go_on(&v, &all);
  for (uint32_t i = 0; i < n; i++) emit_patch(&c->e, f->fn, outs[i]);
  op3(c, OP_BUILD, bld, bld, 0);
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)bld, 0, 0);
}
