/* comp.c - programs and units: sources are parsed, `use` is followed, declarations collected and compiled, the module put together. */
#include "comp_int.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

str node_text(comp *c, const ast *n) { return (str){c->u->src + n->off, n->end - n->off}; }

str node_name(comp *c, const ast *n) {
  ast_str s = ast_name(c->a, c->u->src, n);
  return (str){s.p ? s.p : "", s.len};
}

str key_text(comp *c, ast *key) {
  if (key->kind == AST_STRING) {
    ast_str s = ast_string_value(c->a, c->u->src, key);
    return (str){s.p, s.len};
  }
  return key->kind == AST_NAME ? node_name(c, key) : node_text(c, key);
}

uint64_t name_hash(str s) {
  uint64_t h = UINT64_C(1469598103934665603);
  for (size_t i = 0; i < s.len; i++) h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
  return h ^ h >> 32;
}

uint32_t name_find(const name_table *t, str name, str (*of)(const void *, uint32_t), const void *user) {
  if (!t->cap) return MOD_NO_INDEX;
  for (uint64_t x = name_hash(name); t->slot[x & (t->cap - 1)]; x++) {
    uint32_t row = t->slot[x & (t->cap - 1)] - 1;
    if (str_eq(of(user, row), name)) return row;
  }
  return MOD_NO_INDEX;
}

bool name_add(arena *a, name_table *t, str name, uint32_t row, str (*of)(const void *, uint32_t), const void *user) {
  if (name_find(t, name, of, user) != MOD_NO_INDEX) return true;
  if ((t->n + 1) * 2 > t->cap) {
    uint32_t cap = t->cap ? t->cap * 2 : 128, *slot = arena_zalloc(a, cap, sizeof *slot);
    if (!slot) return false;
    for (uint32_t i = 0; i < t->cap; i++) {
      if (!t->slot[i]) continue;
      uint64_t x = name_hash(of(user, t->slot[i] - 1));
      while (slot[x & (cap - 1)]) x++;
      slot[x & (cap - 1)] = t->slot[i];
    }
    t->slot = slot;
    t->cap = cap;
  }
  uint64_t x = name_hash(name);
  while (t->slot[x & (t->cap - 1)]) x++;
  t->slot[x & (t->cap - 1)] = row + 1;
  t->n++;
  return true;
}

str decl_name_of(const void *user, uint32_t row) { return ((const comp *)user)->decls[row].name; }

decl *find_decl(comp *c, str name) {
  uint32_t i = name_find(&c->libs[c->u->lib].names, name, decl_name_of, c);
  if (i != MOD_NO_INDEX && c->decls[i].stands_for != MOD_NO_INDEX) i = c->decls[i].stands_for; /* in an adapter: the connection that was made of it */
  return i == MOD_NO_INDEX ? NULL : &c->decls[i];
}

void decl_named(comp *c, decl *d) {
  if (!name_add(c->a, &c->libs[d->u->lib].names, d->name, (uint32_t)(d - c->decls), decl_name_of, c)) c->e.status = HDW_E_NOMEM;
}

const char *fmt(comp *c, const char *f, ...) {
  char b[600];
  va_list ap;
  va_start(ap, f);
  int n = vsnprintf(b, sizeof b, f, ap);
  va_end(ap);
  if (n < 0) n = 0;
  if ((size_t)n >= sizeof b) n = (int)sizeof b - 1;
  char *p = arena_dup(c->a, b, (size_t)n);
  return p ? p : "";
}

diag *err(comp *c, diag_code code, const ast *n, const char *f, ...) {
  char b[600];
  va_list ap;
  va_start(ap, f);
  vsnprintf(b, sizeof b, f, ap);
  va_end(ap);
  if (c->quiet) return &c->d->spare;
  if (c->u->lib && diag_row_of(code)->severity != DIAG_ERROR) return &c->d->spare; /* a library's warnings are its authors' */
  return diag_at(c->d, code, c->u->file, n, "%s", b);
}

void not_yet(comp *c, const ast *n, const char *what) {
  c->later = true;
  bool hard = !c->opt || !c->opt->check_only;
  err(c, hard ? E0901 : W0901, n, "%s is not yet available in this version", what);
}

static bool operation_node(const ast *n) {
  return (n->kind >= AST_POS && n->kind <= AST_IMPLIES) || n->kind == AST_QUANTITY;
}

void fix_append(comp *c, diag *d, const ast *n, const char *suffix, const char *title) {
  diag_fix *x = diag_fix_begin(c->d, d, "%s", title);
  if (!x) return;
  bool wrap = operation_node(n);
  if (wrap) diag_fix_edit(c->d, x, c->u->file, n->off, n->off, "(");
  diag_fix_edit(c->d, x, c->u->file, n->end, n->end, wrap ? fmt(c, ")%s", suffix) : suffix);
}

/* One side of the union; of several values the first, as the place takes one. */
static void union_part(comp *c, buf *b, const ast *n) {
  str s = node_text(c, n);
  bool several = n->flags & AST_SEVERAL, wrap = several && operation_node(n);
  buf_putf(b, "%s%.*s%s%s", wrap ? "(" : "", STR(s), wrap ? ")" : "", several ? ".first()" : "");
}

static void union_parts(comp *c, buf *b, const ast *n) {
  if (n->kind == AST_UNION) {
    union_parts(c, b, n->first);
    buf_puts(b, ", ");
    n = n->last;
  }
  union_part(c, b, n);
}

void fix_coalesce(comp *c, diag *d, const ast *u) {
  buf b;
  buf_init(&b, c->a, 1 << 16);
  buf_puts(&b, "coalesce(");
  union_parts(c, &b, u);
  buf_puts(&b, ")");
  buf_putc(&b, 0);
  if (b.status) return;
  uint32_t off = u->off, end = u->end;
  if (u->flags & AST_PARENS) { /* with its brackets */
    const char *s = c->u->src;
    uint32_t o = off, e = end;
    while (o > 0 && (s[o - 1] == ' ' || s[o - 1] == '\t')) o--;
    while (e < c->u->len && (s[e] == ' ' || s[e] == '\t')) e++;
    if (o > 0 && s[o - 1] == '(' && e < c->u->len && s[e] == ')') { off = o - 1; end = e + 1; }
  }
  diag_replace(c->d, d, off, end, b.p, "take the first that has a value: coalesce");
}

void suggest(comp *c, diag *d, const ast *n, const nearest *near) {
  if (near->n) diag_replace(c->d, d, n->off, n->end, fmt(c, "%.*s", (int)near->hit[0].len, near->hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near->hit[0].len, near->hit[0].name));
}

const char *ty_text(comp *c, ty t) {
  const char *n;
  switch ((ty_kind)t.kind) {
    case TY_BOOL: n = "boolean"; break;
    case TY_INT: n = "integer"; break;
    case TY_LONG: n = "long"; break;
    case TY_DEC: n = "decimal"; break;
    case TY_STR: n = "string"; break;
    case TY_DATE: n = "date"; break;
    case TY_DATETIME: n = "dateTime"; break;
    case TY_TIME: n = "time"; break;
    case TY_QTY: n = "quantity"; break;
    case TY_BIN: n = "binary"; break;
    case TY_NONE: return "{}";
    case TY_OBJECT: n = "object"; break;
    case TY_PAYLOAD: case TY_DECL: case TY_ROW: n = t.ref >= 0 ? fmt(c, "%.*s", STR(c->decls[t.ref].name)) : "record"; break;
    case TY_FHIR: n = fhir_type_name((uint16_t)t.ref); break;
    case TY_HL7_MSG: n = t.ref >= 0 ? dict_structure_name(t.ref) : "message"; break;
    case TY_HL7_GROUP: n = dict_node_name(dict_node_at((uint16_t)t.ref)); break;
    case TY_HL7_SEG: n = t.ref >= 0 ? dict_segment_name(t.ref) : "segment"; break;
    case TY_HL7: n = t.ref >= 0 ? dict_datatype_name(t.ref) : "HL7 value"; break;
    case TY_TYPE: n = "type"; break;
    case TY_SECRET: n = "secret"; break;
    case TY_HANDLE: n = "handle"; break;
    default: n = "any"; break;
  }
  return fmt(c, "%s%s", n, t.many ? (t.min ? "+" : "*") : (t.min ? "" : "?"));
}

/* ---- units */

unit *unit_add(comp *c, const comp_source *s) {
  unit *u = arena_zalloc(c->a, 1, sizeof *u);
  if (!u) { c->e.status = HDW_E_NOMEM; return NULL; }
  if (c->nunits == c->cap_units) {
    uint32_t cap = c->cap_units ? c->cap_units * 2 : 8;
    unit **v = arena_grow(c->a, c->units, c->cap_units * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return NULL; }
    c->units = v;
    c->cap_units = cap;
  }
  u->path = s->path;
  u->src = s->text;
  u->len = s->len;
  u->file = diag_file_add(c->d, s->path, s->text, s->len);
  u->file_k = emit_cstr(&c->e, s->path);
  c->units[c->nunits++] = u;
  diag_parse_sink sink;
  diag_parse_sink_init(&sink, c->d, u->file);
  hdw_status st = parse_file(c->a, s->text, s->len, &sink.sink, &u->parse);
  if (st && st != HDW_E_SYNTAX && st != HDW_E_LIMIT) c->e.status = st;
  return u;
}

static unit *unit_by_path(comp *c, const char *path) {
  for (uint32_t i = 0; i < c->nunits; i++)
    if (strcmp(c->units[i]->path, path) == 0) return c->units[i];
  return NULL;
}

/* Follows the `use` lines of a unit. Names are global to the program: a name declared twice is an error. */
static void follow_uses(comp *c, unit *u) {
  if (!u->parse.root) return;
  for (ast *n = u->parse.root->first; n; n = n->next) {
    if (n->kind != AST_USE) continue;
    c->u = u;
    str path = node_text(c, n->first);
    const char *name = fmt(c, "%.*s.hdw", STR(path));
    comp_source s;
    const comp_loader *l = c->opt ? c->opt->loader : NULL;
    hdw_status st = l ? l->load(l->user, u->path, name, &s) : HDW_E_NOTFOUND;
    if (st) {
      if (lib_source(c, name, &s)) {
        int lib = lib_named(c, name);
        unit *x = unit_by_path(c, s.path);
        if (!x && (x = unit_add(c, &s))) x->lib = lib;
        if (u->lib != lib) u->uses |= 1u << lib;
        continue;
      }
      u->missing = true;
      diag *d = err(c, E0221, n->first, st == HDW_E_DENIED ? "'%s' lies outside of the program's folder" : "there is no file '%s'", name);
      diag_note(c->d, d, "'use a/b' reads the file a/b.hdw beside this one, or in the project's folder");
      continue;
    }
    if (!unit_by_path(c, s.path)) unit_add(c, &s);
  }
  adapters_of(c, u);
}

/* In an evaluated expression a library needs no `use`: v2.toBundle($this). Its files are read when it is first named. */
void lib_load(comp *c, const char *name) {
  comp_source s;
  uint32_t from = c->nunits;
  if (!lib_source(c, fmt(c, "%s.hdw", name), &s)) return;
  int lib = lib_named(c, name);
  unit *u = c->u, *x = unit_add(c, &s);
  if (!x) return;
  x->lib = lib;
  u->uses |= 1u << lib;
  for (uint32_t i = from; i < c->nunits && !c->e.status; i++) follow_uses(c, c->units[i]);
  for (uint32_t i = from; i < c->nunits && !c->e.status; i++) decl_collect(c, c->units[i]);
  c->u = u;
}

static hdw_status init(comp *c, arena *a, const comp_options *opt, diag_list *d) {
  memset(c, 0, sizeof *c);
  c->a = a;
  c->d = d;
  c->opt = opt;
  emit_init(&c->e, a);
  return bi_build(a, &c->bi);
}

static hdw_status finish(comp *c, comp_result *out) {
  out->later = c->later;
  out->tests = c->tests;
  out->ntests = c->ntests;
  if (c->d->nomem) return HDW_E_NOMEM;
  if (c->d->errors) return c->e.status == HDW_E_NOMEM ? HDW_E_NOMEM : HDW_OK;
  buf meta;
  buf_init(&meta, c->a, 16 << 20);
  hdw_status st = meta_write(c, &meta);
  if (st) return st;
  st = emit_finish(&c->e, meta.p ? meta.p : "{}", meta.p ? meta.len : 2, &out->bytes, &out->len_bytes);
  if (st == HDW_E_LIMIT && c->nunits) {
    diag_add(c->d, E0228, c->units[0]->file, 0, 0, "%s", c->e.why ? c->e.why : "the program is too big");
    out->bytes = NULL;
    return HDW_OK;
  }
  return st;
}

hdw_status comp_program(arena *a, const comp_source *sources, uint32_t n, const comp_options *opt, diag_list *diags, comp_result *out) {
  comp c;
  memset(out, 0, sizeof *out);
  hdw_status st = init(&c, a, opt, diags);
  if (st) return st;
  for (uint32_t i = 0; i < n; i++)
    if (!unit_by_path(&c, sources[i].path)) unit_add(&c, &sources[i]);
  for (uint32_t i = 0; i < c.nunits && !c.e.status; i++) follow_uses(&c, c.units[i]);
  if (c.e.status) return c.e.status;
  for (uint32_t i = 0; i < c.nunits; i++) decl_collect(&c, c.units[i]);
  if (c.e.status) return c.e.status;
  decl_compile_all(&c);
  for (uint32_t i = 0; i < c.ndecls && !diags->errors; i++)
    if (c.decls[i].kind == D_CONNECTION) scope_end(&c, &c.decls[i]);
  diag_sort(diags);
  return finish(&c, out);
}

/* ---- single expressions */

static ty root_type(comp *c, comp_model model, const char *name) {
  (void)c;
  ty t = ty_opt(TY_ANY);
  if (model == COMP_FHIR && name) {
    uint16_t id = fhir_type(name, strlen(name));
    if (id) { t = ty_one(TY_FHIR); t.ref = id; }
  } else if (model == COMP_HL7) {
    t = ty_one(TY_HL7_MSG);
    t.ref = name ? dict_message(name, strlen(name)) : -1;
  }
  return t;
}

/* For expressions outside of a program. opt must live as long as c. */
static hdw_status init_eval(comp *c, arena *a, const comp_options *opt, comp_model model, bool strict, diag_list *diags, comp_result *out) {
  memset(out, 0, sizeof *out);
  hdw_status st = init(c, a, opt, diags);
  c->model = model;
  c->lenient = !strict;
  c->is_eval = true;
  return st;
}

hdw_status comp_expr(arena *a, const char *src, size_t len, comp_model model, const char *root, bool strict, diag_list *diags, comp_result *out) {
  static const comp_options opt = {0};
  comp c;
  hdw_status st = init_eval(&c, a, &opt, model, strict, diags, out);
  if (st) return st;
  unit *u = arena_zalloc(a, 1, sizeof *u);
  if (!u) return HDW_E_NOMEM;
  u->path = "expression";
  u->src = src;
  u->len = len;
  u->file = diag_file_add(diags, u->path, src, len);
  u->file_k = emit_cstr(&c.e, u->path);
  c.u = u;
  diag_parse_sink sink;
  diag_parse_sink_init(&sink, diags, u->file);
  st = parse_expr(a, src, len, model != COMP_HL7, &sink.sink, &u->parse);
  if (st && st != HDW_E_SYNTAX && st != HDW_E_LIMIT) return st;
  if (!u->parse.root || u->parse.errors) { diag_sort(diags); return HDW_OK; }
  fnctx *f = arena_zalloc(a, 1, sizeof *f);
  if (!f) return HDW_E_NOMEM;
  f->fn = emit_func_new(&c.e, "main", 4, 1);
  f->top = 1;
  f->error_reg = f->yield_builder = f->version = -1;
  f->scope[0] = (this_scope){.reg = 0, .index = -1, .total = -1, .origin = 0, .t = root_type(&c, model, root)};
  f->nscope = 1;
  f->root_scope = true;
  f->msg = model == COMP_HL7 ? 0 : -1;
  f->msg_t = f->scope[0].t;
  c.f = f;
  int r = reg_new(&c);
  ex(&c, u->parse.root, r);
  decl_compile_called(&c);
  emit_op(&c.e, f->fn, OP_RET, (uint32_t)r, 0, 0);
  diag_sort(diags);
  return finish(&c, out);
}

/* ---- ViewDefinitions */

hdw_status comp_view_definition(arena *a, const char *path, const char *text, size_t len, val doc, bool strict, diag_list *diags, comp_result *out, comp_view *info) {
  static const comp_options opt = {0};
  comp c;
  hdw_status st = init_eval(&c, a, &opt, COMP_FHIR, strict, diags, out);
  if (st) return st;
  view_compile(&c, diag_file_add(diags, path, text, len), doc, info);
  diag_sort(diags);
  return c.e.status == HDW_E_NOMEM ? c.e.status : finish(&c, out);
}
