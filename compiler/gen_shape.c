/* gen_shape.c - payloads from JSON Schema as OpenAPI has it: types, lists, optional members, one payload for each object that is described.
 *
 * A schema that leads back to itself is a payload that names itself. allOf is all members together; of oneOf and anyOf the value is `any`, as the
 * language has no type for "this or that"; so is an object whose members are not listed, and a list of lists. */
#include "gen_int.h"
#include <stdlib.h>

static const gen_type ANY = {.name = "any"};

static bool is_null(gen *g, val v) { return str_is(gen_text(g, v, "type"), "null"); }

/* Whether the schema is of that type; type may be a list (3.1). Also says whether null is one of them. */
static bool type_is(gen *g, val v, const char *type) {
  val list = gen_list(v, "type");
  for (uint32_t i = 0; i < list.len; i++)
    if (str_is(gen_str(g, &list.u.v[i]), type)) return true;
  return str_is(gen_text(g, v, "type"), type);
}

static str words_of(gen *g, val list) {
  buf b;
  buf_init(&b, g->a, 4096);
  uint32_t n = 0;
  for (uint32_t i = 0; i < list.len && gen_step(g) && b.len < 200; i++) {
    str s = gen_line(g, gen_str(g, &list.u.v[i]), 40);
    if (!s.len) continue;
    if (n++) buf_puts(&b, ", ");
    buf_put(&b, s.p, s.len);
  }
  if (b.len >= 200) buf_puts(&b, ", ...");
  return (str){b.p ? b.p : "", b.len};
}

static gen_type primitive(gen *g, val v) {
  str format = gen_text(g, v, "format");
  gen_type t = {.name = "string"};
  if (type_is(g, v, "boolean")) t.name = "boolean";
  else if (type_is(g, v, "integer")) t.name = str_is(format, "int64") ? "long" : "integer";
  else if (type_is(g, v, "number")) t.name = "decimal";
  else if (str_is(format, "date")) t.name = "date";
  else if (str_is(format, "date-time")) t.name = "dateTime";
  if (type_is(g, v, "string") && (type_is(g, v, "number") || type_is(g, v, "integer") || type_is(g, v, "boolean") || type_is(g, v, "object") || type_is(g, v, "array"))) t.name = "any";
  val list = gen_list(v, "enum");
  if (list.len) t.doc = str_of(gen_fmt(g, "one of %.*s", STR(words_of(g, list))));
  return t;
}

/* ---- payloads */

/* Members that every resource of FHIR has, and no others; *type: one of them is resourceType. */
static bool base_members(gen *g, gen_at at, int depth, bool *type) {
  static const char *const own[] = {"resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"};
  gen_at x;
  if (depth > 20 || !gen_resolve(g, at, &x, NULL)) return false;
  val props = gen_obj(x.v, "properties"), all = gen_list(x.v, "allOf");
  if (gen_get(props, "resourceType")) *type = true;
  for (uint32_t i = 0; props.tag == VAL_OBJ && i < props.len && gen_step(g); i++) {
    str name = {props.u.v[2 * i].u.s, props.u.v[2 * i].len};
    size_t k = 0;
    while (k < sizeof own / sizeof *own && !str_is(name, own[k])) k++;
    if (k == sizeof own / sizeof *own) return false;
  }
  for (uint32_t i = 0; i < all.len && gen_step(g); i++)
    if (!base_members(g, (gen_at){x.doc, all.u.v[i]}, depth + 1, type)) return false;
  return true;
}

/* A schema that stands for a resource of any kind: a payload of its members would drop all others. */
static bool any_resource(gen *g, gen_at at) {
  bool type = false;
  return base_members(g, at, 0, &type) && type;
}

static bool described(gen *g, gen_at at, int depth) {
  gen_at x;
  if (depth > 20 || !gen_resolve(g, at, &x, NULL)) return false;
  if (gen_obj(x.v, "properties").len) return true;
  val all = gen_list(x.v, "allOf");
  for (uint32_t i = 0; i < all.len && gen_step(g); i++)
    if (described(g, (gen_at){x.doc, all.u.v[i]}, depth + 1)) return true;
  return false;
}

static const char *shape_of(gen *g, gen_at at, str name, str hint) {
  for (uint32_t i = 0; i < g->nshapes; i++)
    if (g->shapes[i].at.v.u.p == at.v.u.p && g->shapes[i].at.doc == at.doc) return gen_fmt(g, "%.*s", STR(g->shapes[i].name));
  if (g->nshapes == GEN_PAYLOADS_MAX) { gen_fail(g, HDW_E_LIMIT, "the document describes more than %d kinds of objects: choose with --only", GEN_PAYLOADS_MAX); return "any"; }
  if (g->nshapes == g->cap_shapes) {
    uint32_t cap = g->cap_shapes ? g->cap_shapes * 2 : 32;
    gen_shape *v = arena_grow(g->a, g->shapes, g->cap_shapes * sizeof *v, cap * sizeof *v);
    if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return "any"; }
    g->shapes = v;
    g->cap_shapes = cap;
  }
  str title = gen_text(g, at.v, "title");
  str own = name.len ? name : title.len && title.len < 40 ? title : hint;
  gen_shape *s = &g->shapes[g->nshapes++];
  *s = (gen_shape){.name = gen_type_name(g, own), .at = at};
  return gen_fmt(g, "%.*s", STR(s->name));
}

gen_type gen_type_of(gen *g, gen_at schema, str hint, int depth) {
  gen_at at;
  str name = {0};
  if (depth > GEN_DEPTH_MAX || !gen_resolve(g, schema, &at, &name) || at.v.tag != VAL_OBJ || !gen_step(g)) return ANY;
  gen_type t = ANY;
  val one = gen_list(at.v, "oneOf");
  if (!one.len) one = gen_list(at.v, "anyOf");
  bool null = gen_true(at.v, "nullable") || (gen_list(at.v, "type").len && type_is(g, at.v, "null"));
  val all = gen_list(at.v, "allOf");
  if (one.len) { /* T or null is an optional T */
    uint32_t rest = 0, which = 0;
    for (uint32_t i = 0; i < one.len && gen_step(g); i++) {
      if (is_null(g, one.u.v[i])) null = true;
      else rest++, which = i;
    }
    if (rest == 1) t = gen_type_of(g, (gen_at){at.doc, one.u.v[which]}, name.len ? name : hint, depth + 1);
    else t.doc = str_of(gen_fmt(g, "one of %u kinds", rest));
  } else if (all.len == 1 && !gen_obj(at.v, "properties").len && !any_resource(g, at)) {
    t = gen_type_of(g, (gen_at){at.doc, all.u.v[0]}, name.len ? name : hint, depth + 1);
  } else if (described(g, at, 0) && !any_resource(g, at)) {
    t.name = shape_of(g, at, name, hint);
  } else if (type_is(g, at.v, "array") || gen_get(at.v, "items")) {
    const val *items = gen_get(at.v, "items");
    if (items) t = gen_type_of(g, (gen_at){at.doc, *items}, hint, depth + 1);
    if (t.many) t = ANY;
    t.many = true;
    t.optional = false;
    return t;
  } else if (!type_is(g, at.v, "object") && (gen_get(at.v, "type") || gen_list(at.v, "enum").len)) {
    t = primitive(g, at.v);
  }
  if (!t.doc.len) t.doc = gen_text(g, at.v, "description");
  t.optional |= null;
  return t;
}

/* ---- fields */

typedef struct prop { str name; gen_at schema; bool required; } prop;
typedef struct members { prop *v; uint32_t n, cap; str *required; uint32_t nreq, cap_req; const void *open[24]; } members;

static void put_member(gen *g, members *m, str name, gen_at schema) {
  for (uint32_t i = 0; i < m->n; i++)
    if (str_eq(m->v[i].name, name)) { m->v[i].schema = schema; return; } /* said again: the later one is the narrower */
  if (m->n >= GEN_FIELDS_MAX) { m->n = GEN_FIELDS_MAX + 1; return; }
  if (m->n == m->cap) {
    uint32_t cap = m->cap ? m->cap * 2 : 16;
    prop *v = arena_grow(g->a, m->v, m->cap * sizeof *v, cap * sizeof *v);
    if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
    m->v = v;
    m->cap = cap;
  }
  m->v[m->n++] = (prop){.name = name, .schema = schema};
}

static void put_required(gen *g, members *m, val list) {
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    if (m->nreq == m->cap_req) {
      uint32_t cap = m->cap_req ? m->cap_req * 2 : 16;
      str *v = arena_grow(g->a, m->required, m->cap_req * sizeof *v, cap * sizeof *v);
      if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
      m->required = v;
      m->cap_req = cap;
    }
    m->required[m->nreq++] = gen_str(g, &list.u.v[i]);
  }
}

static void collect(gen *g, members *m, gen_at schema, int depth) {
  gen_at at;
  if (depth >= 24 || m->n > GEN_FIELDS_MAX || !gen_resolve(g, schema, &at, NULL) || at.v.tag != VAL_OBJ) return;
  for (int i = 0; i < depth; i++)
    if (m->open[i] == at.v.u.p) return;
  m->open[depth] = at.v.u.p;
  val all = gen_list(at.v, "allOf"), props = gen_obj(at.v, "properties");
  for (uint32_t i = 0; i < all.len && gen_step(g); i++) collect(g, m, (gen_at){at.doc, all.u.v[i]}, depth + 1);
  for (uint32_t i = 0; props.tag == VAL_OBJ && i < props.len && gen_step(g); i++)
    put_member(g, m, (str){props.u.v[2 * i].u.s, props.u.v[2 * i].len}, (gen_at){at.doc, props.u.v[2 * i + 1]});
  put_required(g, m, gen_list(at.v, "required"));
}

static bool required(gen *g, const members *m, const prop *x) {
  gen_at at;
  if (gen_resolve(g, x->schema, &at, NULL) && (gen_true(at.v, "readOnly") || gen_true(at.v, "writeOnly"))) return false; /* only one way */
  for (uint32_t i = 0; i < m->nreq; i++)
    if (str_eq(m->required[i], x->name)) return true;
  return false;
}

static str write_shape(gen *g, uint32_t index) {
  gen_shape s = g->shapes[index];
  members m = {0};
  buf b;
  buf_init(&b, g->a, 1 << 20);
  collect(g, &m, s.at, 0);
  if (m.n > GEN_FIELDS_MAX) { gen_note(g, "%.*s: only its first %d members", STR(s.name), GEN_FIELDS_MAX); m.n = GEN_FIELDS_MAX; }
  buf_putc(&b, '\n');
  gen_doc_comment(g, &b, gen_prose(gen_text(g, s.at.v, "description")), 400);
  buf_putf(&b, "payload %.*s {\n", STR(s.name));
  gen_type *t = arena_zalloc(g->a, m.n + 1, sizeof *t);
  if (!t) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return (str){0}; }
  size_t longest = 0, type = 0;
  for (uint32_t i = 0; i < m.n && !g->status; i++) {
    t[i] = gen_type_of(g, m.v[i].schema, str_of(gen_fmt(g, "%.*s %.*s", STR(s.name), STR(m.v[i].name))), 0);
    if (m.v[i].name.len > longest) longest = m.v[i].name.len;
    if (strlen(t[i].name) + 1 > type) type = strlen(t[i].name) + 1;
  }
  for (uint32_t i = 0; i < m.n && !g->status; i++) {
    size_t from = b.len;
    if (!gen_field(&b, m.v[i].name)) { b.len = from; gen_note(g, "%.*s: the member '%.*s' cannot be named", STR(s.name), STR(m.v[i].name)); continue; }
    str says = gen_line(g, gen_prose(t[i].doc), gen_comment_width(longest, type));
    bool need = !t[i].optional && required(g, &m, &m.v[i]);
    buf_putf(&b, ": %s%s%s%.*s\n", t[i].name, t[i].many ? "*" : need ? "" : "?", says.len ? "  // " : "", STR(says));
  }
  buf_puts(&b, "}\n");
  if (b.status) gen_fail(g, (hdw_status)b.status, "%.*s is too big", STR(s.name));
  return (str){b.p, b.len};
}

typedef struct written { str name, text; } written;

static int by_name(const void *a, const void *b) {
  const written *x = a, *y = b;
  size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
  int c = memcmp(x->name.p, y->name.p, n);
  return c ? c : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* In the order of their names, so that a call more or less moves none of them. */
void gen_shapes_write(gen *g, buf *b) {
  written *w = arena_zalloc(g->a, GEN_PAYLOADS_MAX, sizeof *w);
  if (!w) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
  uint32_t n = 0;
  for (; n < g->nshapes && !g->status; n++) w[n] = (written){g->shapes[n].name, write_shape(g, n)}; /* which may find further ones */
  qsort(w, n, sizeof *w, by_name);
  for (uint32_t i = 0; i < n; i++) buf_put(b, w[i].text.p, w[i].text.len);
  g->r->npayloads = n;
}
