/* view_doc.c - the document of a ViewDefinition: its members, constants and columns. */
#include "view_int.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- places: texts about the document begin with the path of what they are about, "select[0].column[2].name ..." */

typedef struct text { const char *p, *end; } text;

static void blanks(text *t) {
  while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' || *t->p == '\r' || *t->p == '\n' || *t->p == ',' || *t->p == ':')) t->p++;
}

/* Behind the value at t. The document was read before, so it is well-formed. */
static void skip(text *t) {
  int open = 0;
  do {
    blanks(t);
    if (t->p >= t->end) return;
    char c = *t->p++;
    if (c == '{' || c == '[') open++;
    else if (c == '}' || c == ']') open--;
    else if (c == '"') {
      while (t->p < t->end && *t->p != '"') t->p += *t->p == '\\' ? 2 : 1;
      t->p = t->p < t->end ? t->p + 1 : t->end;
    } else {
      while (t->p < t->end && !strchr(",]} \t\r\n", *t->p)) t->p++;
    }
  } while (open > 0);
}

/* t stands at a value: to its member of that name or, with name.p NULL, to its item number i. False: there is none, and t stays. */
static bool descend(text *t, str name, unsigned long i) {
  text x = *t;
  if (x.p >= x.end || *x.p != (name.p ? '{' : '[')) return false;
  for (x.p++, blanks(&x); x.p < x.end && *x.p != '}' && *x.p != ']'; blanks(&x)) {
    bool here = !name.p && i-- == 0;
    if (name.p) {
      const char *key = x.p;
      skip(&x);
      blanks(&x);
      here = (size_t)(x.p - key) >= name.len + 2 && memcmp(key + 1, name.p, name.len) == 0 && key[name.len + 1] == '"';
    }
    if (here) { *t = x; return true; }
    skip(&x);
  }
  return false;
}

static void place(view *v, diag *d, const char *path) {
  const diag_file *f = &v->c->d->files[v->file];
  text t = {f->src, f->src + f->len};
  bool found = false;
  if (!d) return;
  if (f->len >= 3 && memcmp(f->src, "\xEF\xBB\xBF", 3) == 0) t.p += 3;
  for (blanks(&t);;) {
    size_t n = strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    char *end = NULL;
    bool item = *path == '[';
    if (!item && !n) break;
    unsigned long i = item ? strtoul(path + 1, &end, 10) : 0;
    if (!descend(&t, item ? (str){NULL, 0} : (str){path, (uint32_t)n}, i)) break;
    found = true;
    path = item ? end + (*end == ']') : path + n;
    if (*path == '.') path++;
  }
  if (!found) return;
  d->at.off = (uint32_t)(t.p - f->src);
  if (*t.p == '{' || *t.p == '[') t.p++;
  else skip(&t);
  d->at.end = (uint32_t)(t.p - f->src);
}

/* At s, when it is a slice of the document. */
static void place_at(view *v, diag *d, const char *s, size_t len) {
  const diag_file *f = &v->c->d->files[v->file];
  if (!d || s < f->src || s + len > f->src + f->len) return;
  d->at.off = (uint32_t)(s - f->src);
  d->at.end = d->at.off + (uint32_t)len;
}

__attribute__((format(printf, 3, 0))) static diag *say(view *v, diag_code code, const char *f, va_list ap) {
  char b[400];
  vsnprintf(b, sizeof b, f, ap);
  diag *d = diag_add(v->c->d, code, v->file, 0, 0, "%s", b);
  place(v, d, b);
  return d;
}

diag *view_wrong(view *v, const char *f, ...) {
  va_list ap;
  va_start(ap, f);
  diag *d = say(v, E0280, f, ap);
  va_end(ap);
  return d;
}

diag *view_odd(view *v, const char *f, ...) {
  va_list ap;
  va_start(ap, f);
  diag *d = say(v, W0380, f, ap);
  va_end(ap);
  return d;
}

/* ---- the document */

val view_get(view *v, val obj, const char *name) {
  val out = VAL_NONE;
  const val *slot = obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL;
  if (slot && slot->tag != VAL_NULL && val_norm(v->c->a, *slot, &out)) v->c->e.status = HDW_E_NOMEM;
  return out;
}

bool view_has(val obj, const char *name) {
  const val *slot = val_obj_get(obj, val_key(name, strlen(name)));
  return slot && slot->tag != VAL_NULL;
}

str view_text(view *v, val obj, const char *name, const char *where) {
  val x = view_get(v, obj, name);
  if (x.tag == VAL_STR) return (str){x.u.s, x.len};
  if (x.tag != VAL_EMPTY) view_wrong(v, "%s%s is a string", where, name);
  return (str){NULL, 0};
}

val view_objects(view *v, val obj, const char *name, const char *where) {
  const val *slot = val_obj_get(obj, val_key(name, strlen(name)));
  if (!slot || slot->tag == VAL_NULL) return VAL_NONE;
  if (slot->tag != VAL_LIST) { view_wrong(v, "%s%s is a list", where, name); return VAL_NONE; }
  for (uint32_t i = 0; i < slot->len; i++)
    if (slot->u.v[i].tag != VAL_OBJ) { view_wrong(v, "%s%s[%u] is an object", where, name, i); return VAL_NONE; }
  val l = *slot;
  return l;
}

static bool name_ok(str s) {
  if (!s.len || s.len > 255) return false;
  for (size_t i = 0; i < s.len; i++) {
    char ch = s.p[i];
    bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
    if (!letter && (i == 0 || !((ch >= '0' && ch <= '9') || ch == '_'))) return false;
  }
  return true;
}

static const char *const top_names[] = {"resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension", "url", "identifier", "version",
  "versionAlgorithmString", "versionAlgorithmCoding", "name", "title", "status", "experimental", "date", "publisher", "contact", "description", "useContext", "jurisdiction", "purpose", "copyright",
  "copyrightLabel", "resource", "fhirVersion", "profile", "constant", "select", "where", NULL};
static const char *const select_names[] = {"id", "extension", "modifierExtension", "column", "select", "forEach", "forEachOrNull", "repeat", "unionAll", NULL};
static const char *const column_names[] = {"id", "extension", "modifierExtension", "path", "name", "description", "collection", "type", "tag", NULL};

/* Members that the specification does not have: most likely misspelled. */
void view_known(view *v, val obj, const char *where, view_place place) {
  const char *const *names = place == VIEW_TOP ? top_names : place == VIEW_SELECT ? select_names : column_names;
  for (uint32_t i = 0; obj.tag == VAL_OBJ && i < obj.len; i++) {
    val k = obj.u.v[2 * i];
    bool ok = k.len && k.u.s[0] == '_';
    nearest near;
    nearest_init(&near, k.u.s, k.len);
    for (int j = 0; names[j] && !ok; j++) {
      ok = strlen(names[j]) == k.len && memcmp(names[j], k.u.s, k.len) == 0;
      nearest_offer(&near, names[j], strlen(names[j]));
    }
    if (ok) continue;
    diag *d = view_odd(v, "%.*s'%.*s' means nothing in a ViewDefinition", (int)strlen(where), where, (int)k.len, k.u.s);
    place_at(v, d, k.u.s, k.len); /* names of members are slices of the text */
    if (near.n) diag_note(v->c->d, d, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name);
  }
}

/* ---- constants */

typedef enum kind { K_STR, K_INT, K_LONG, K_DEC, K_BOOL, K_DATE, K_DATETIME, K_TIME } kind;
static const struct { const char *name; kind k; } constant_types[] = {
    {"valueString", K_STR}, {"valueCode", K_STR}, {"valueInteger", K_INT}, {"valueBoolean", K_BOOL}, {"valueDecimal", K_DEC}, {"valueDate", K_DATE}, {"valueDateTime", K_DATETIME},
    {"valueInstant", K_DATETIME}, {"valueTime", K_TIME}, {"valueUri", K_STR}, {"valueUrl", K_STR}, {"valueCanonical", K_STR}, {"valueId", K_STR}, {"valueOid", K_STR}, {"valueUuid", K_STR},
    {"valueBase64Binary", K_STR}, {"valuePositiveInt", K_INT}, {"valueUnsignedInt", K_INT}, {"valueInteger64", K_LONG}};

/* Integer64 is a string in FHIR's JSON. False: the value does not fit its type. */
static bool constant_value(view *v, kind k, val x, view_constant *out) {
  tm_val t;
  out->v = x;
  switch (k) {
    case K_STR: out->t = ty_one(TY_STR); return x.tag == VAL_STR;
    case K_BOOL: out->t = ty_one(TY_BOOL); return x.tag == VAL_BOOL;
    case K_INT: out->t = ty_one(TY_INT); return x.tag == VAL_INT;
    case K_LONG: {
      dec d;
      int64_t i;
      out->t = ty_one(TY_LONG);
      if (x.tag == VAL_INT || x.tag == VAL_LONG) { out->v = val_long(x.u.i); return true; }
      if (x.tag != VAL_STR || dec_parse(x.u.s, x.len, &d) || dec_to_i64(&d, &i)) return false;
      out->v = val_long(i);
      return true;
    }
    case K_DEC: {
      out->t = ty_one(TY_DEC);
      if (x.tag != VAL_DEC && x.tag != VAL_INT && x.tag != VAL_LONG) return false;
      dec d = val_get_dec(x);
      if (val_from_dec(v->c->a, &d, &out->v)) v->c->e.status = HDW_E_NOMEM;
      return true;
    }
    case K_DATE: case K_DATETIME: case K_TIME: break;
  }
  if (x.tag != VAL_STR) return false;
  hdw_status s = k == K_DATE ? tm_parse_date(x.u.s, x.len, &t) : k == K_TIME ? tm_parse_time(x.u.s, x.len, &t) : tm_parse_datetime(x.u.s, x.len, &t);
  if (s) return false;
  out->v = val_from_time(k == K_DATE ? VAL_DATE : k == K_TIME ? VAL_TIME : VAL_DATETIME, &t);
  out->t = ty_one(k == K_DATE ? TY_DATE : k == K_TIME ? TY_TIME : TY_DATETIME);
  return true;
}

void view_constants(view *v, val doc) {
  val list = view_objects(v, doc, "constant", "");
  uint32_t n = view_count(list);
  if (n > VIEW_CONSTANTS) { view_wrong(v, "a view has at most %d constants", VIEW_CONSTANTS); n = 0; }
  v->constants = arena_zalloc(v->c->a, n + 1, sizeof *v->constants);
  if (!v->constants) { v->c->e.status = HDW_E_NOMEM; return; }
  for (uint32_t i = 0; i < n; i++) {
    const char *where = fmt(v->c, "constant[%u].", i);
    val o = list.u.v[i];
    view_constant *k = &v->constants[v->nconstants];
    int found = 0;
    bool fits = true;
    k->name = view_text(v, o, "name", where);
    if (!name_ok(k->name)) { view_wrong(v, "%sname is a letter, then letters, digits and '_'", where); continue; }
    for (uint32_t j = 0; j < v->nconstants; j++)
      if (str_eq(v->constants[j].name, k->name)) view_wrong(v, "%sname: there is a constant '%.*s' already", where, STR(k->name));
    for (size_t j = 0; j < sizeof constant_types / sizeof *constant_types; j++) {
      if (!view_has(o, constant_types[j].name)) continue;
      found++;
      fits &= constant_value(v, constant_types[j].k, view_get(v, o, constant_types[j].name), k);
      if (!fits) view_wrong(v, "%s%s does not have the form of its type", where, constant_types[j].name);
    }
    if (found != 1) view_wrong(v, "constant[%u] '%.*s' has %s", i, STR(k->name), found ? "more than one value" : "no value: valueString, valueInteger, valueBoolean ...");
    if (found == 1 && fits) v->nconstants++;
  }
}

/* %name in a path of a view. False: none of the view's. */
bool view_variable(comp *c, str name, int dst, ty *t) {
  view *v = c->view;
  if (str_is(name, "rowIndex")) {
    if (v->index >= 0) op3(c, OP_MOVE, dst, v->index, 0);
    else emit_bx(&c->e, c->f->fn, OP_LOADI, (uint32_t)dst, 0);
    *t = ty_one(TY_INT);
    return true;
  }
  if (str_is(name, "resource") || str_is(name, "rootResource")) {
    op3(c, OP_MOVE, dst, v->resource, 0);
    *t = v->resource_t;
    return true;
  }
  for (uint32_t i = 0; i < v->nconstants; i++) {
    if (!str_eq(v->constants[i].name, name)) continue;
    emit_loadk(&c->e, c->f->fn, (uint32_t)dst, emit_val(&c->e, v->constants[i].v));
    *t = v->constants[i].t;
    return true;
  }
  return false;
}

void view_nearest(comp *c, nearest *near) {
  for (uint32_t i = 0; i < c->view->nconstants; i++) nearest_offer(near, c->view->constants[i].name.p, c->view->constants[i].name.len);
  nearest_offer(near, "rowIndex", 8);
  nearest_offer(near, "resource", 8);
}

/* ---- columns: which ones there are, before anything is compiled */

typedef struct names { str *v; uint32_t n, cap; } names;

static void add_name(view *v, names *l, str s) {
  if (l->n == l->cap) {
    uint32_t cap = l->cap ? l->cap * 2 : 16;
    str *p = arena_grow(v->c->a, l->v, l->cap * sizeof *p, cap * sizeof *p);
    if (!p) { v->c->e.status = HDW_E_NOMEM; return; }
    l->v = p;
    l->cap = cap;
  }
  l->v[l->n++] = s;
}

static void columns_of(view *v, val sel, const char *where, names *out, bool report);

static void union_columns(view *v, val list, const char *where, names *out, bool report) {
  names first = {0};
  for (uint32_t i = 0; i < view_count(list); i++) {
    names one = {0};
    columns_of(v, list.u.v[i], fmt(v->c, "%sunionAll[%u].", where, i), i ? &one : &first, report);
    bool same = i == 0 || one.n == first.n;
    for (uint32_t j = 0; i && same && j < one.n; j++) same = str_eq(one.v[j], first.v[j]);
    if (!same && report) {
      diag *d = view_wrong(v, "%sunionAll[%u] has other columns than unionAll[0], or in another order", where, i);
      if (one.n != first.n) diag_note(v->c->d, d, "%u columns here, %u there", one.n, first.n);
      for (uint32_t j = 0; j < one.n && j < first.n; j++)
        if (!str_eq(one.v[j], first.v[j])) { diag_note(v->c->d, d, "column %u is '%.*s' here and '%.*s' there", j + 1, STR(one.v[j]), STR(first.v[j])); break; }
    }
  }
  for (uint32_t j = 0; j < first.n; j++) add_name(v, out, first.v[j]);
}

static void columns_of(view *v, val sel, const char *where, names *out, bool report) {
  if (++v->depth > VIEW_DEPTH) { view_wrong(v, "%sselect: nested too deeply", where); v->depth--; return; }
  val cols = view_objects(v, sel, "column", where), subs = view_objects(v, sel, "select", where);
  for (uint32_t i = 0; i < view_count(cols); i++) {
    str n = view_text(v, cols.u.v[i], "name", where);
    if (report && !name_ok(n)) view_wrong(v, "%scolumn[%u].name is a letter, then letters, digits and '_'", where, i);
    add_name(v, out, n.p ? n : (str){"", 0});
  }
  for (uint32_t i = 0; i < view_count(subs); i++) columns_of(v, subs.u.v[i], fmt(v->c, "%sselect[%u].", where, i), out, report);
  union_columns(v, view_objects(v, sel, "unionAll", where), where, out, report);
  v->depth--;
}

void view_columns(view *v, val list) {
  names all = {0};
  for (uint32_t i = 0; i < view_count(list); i++) columns_of(v, list.u.v[i], fmt(v->c, "select[%u].", i), &all, true);
  if (all.n > VIEW_COLUMNS) { view_wrong(v, "a view has at most %d columns", VIEW_COLUMNS); all.n = 0; }
  v->info->columns = arena_zalloc(v->c->a, all.n + 1, sizeof *v->info->columns);
  if (!v->info->columns || v->c->e.status) { v->c->e.status = HDW_E_NOMEM; return; }
  if (!all.n && !v->c->d->errors) view_wrong(v, "the view has no columns");
  for (uint32_t i = 0; i < all.n; i++) {
    const char *name = arena_dup(v->c->a, all.v[i].p, all.v[i].len);
    v->info->columns[i] = (comp_view_column){.name = name ? name : "", .len_name = name ? all.v[i].len : 0};
    for (uint32_t j = 0; j < i; j++)
      if (str_eq(all.v[i], all.v[j])) { place_at(v, view_wrong(v, "there are two columns '%.*s'", STR(all.v[i])), all.v[i].p, all.v[i].len); return; }
  }
  v->info->ncolumns = all.n;
}
