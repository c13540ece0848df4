/* gen_ref.c - $ref: within the document, and into files beside it. */
#include "gen_int.h"

enum { REFS_IN_A_ROW = 32, DOCS_MAX = 2000 };

uint32_t gen_doc_add(gen *g, const char *path, val root) {
  for (uint32_t i = 0; i < g->ndocs; i++)
    if (strcmp(g->docs[i].path, path) == 0) return i;
  if (g->ndocs == DOCS_MAX) { gen_fail(g, HDW_E_LIMIT, "the document is spread over more than %d files", DOCS_MAX); return 0; }
  if (g->ndocs == g->cap_docs) {
    uint32_t cap = g->cap_docs ? g->cap_docs * 2 : 16;
    gen_doc *v = arena_grow(g->a, g->docs, g->cap_docs * sizeof *v, cap * sizeof *v);
    if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return 0; }
    g->docs = v;
    g->cap_docs = cap;
  }
  g->docs[g->ndocs] = (gen_doc){path, root};
  return g->ndocs++;
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* Without percent-encoding: a path, or a part of a pointer. */
static str decoded(gen *g, str s) {
  char *p = arena_alloc(g->a, s.len + 1);
  size_t n = 0;
  if (!p) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return (str){0}; }
  for (size_t i = 0; i < s.len; i++) {
    char c = s.p[i];
    if (c == '%' && i + 2 < s.len && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) { c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])); i += 2; }
    p[n++] = c;
  }
  return (str){p, n};
}

/* One part of a JSON pointer in a URL (RFC 6901 6): %7E, then ~1 and ~0. */
static str part(gen *g, str s) {
  str t = decoded(g, s);
  char *p = t.len ? arena_alloc(g->a, t.len) : NULL;
  size_t n = 0;
  for (size_t i = 0; p && i < t.len; i++) {
    bool escape = t.p[i] == '~' && i + 1 < t.len && (t.p[i + 1] == '0' || t.p[i + 1] == '1');
    p[n++] = !escape ? t.p[i] : t.p[++i] == '0' ? '~' : '/';
  }
  if (t.len && !p) gen_fail(g, HDW_E_NOMEM, "out of memory");
  return (str){p ? p : "", n};
}

/* The value at a JSON pointer ("/components/schemas/A"), or NULL. last: its last part. */
static const val *pointer(gen *g, const val *v, str ptr, str *last) {
  size_t i = 0;
  while (v && i < ptr.len && gen_step(g)) {
    if (ptr.p[i] != '/') return NULL;
    size_t from = ++i;
    while (i < ptr.len && ptr.p[i] != '/') i++;
    str name = part(g, (str){ptr.p + from, i - from});
    *last = name;
    if (v->tag == VAL_OBJ) { v = val_obj_get(*v, val_key(name.p, name.len)); continue; }
    uint32_t at = 0;
    if (v->tag != VAL_LIST || !name.len || name.len > 6 || (name.len > 1 && name.p[0] == '0')) return NULL;
    for (size_t k = 0; k < name.len; k++) {
      if (name.p[k] < '0' || name.p[k] > '9') return NULL;
      at = at * 10 + (uint32_t)(name.p[k] - '0');
    }
    v = at < v->len ? &v->u.v[at] : NULL;
  }
  return v;
}

/* The document that the part of a reference before '#' names. */
static bool other_doc(gen *g, uint32_t from, str file, uint32_t *out) {
  const gen_loader *l = g->o->loader;
  const char *path = NULL;
  val root;
  bool far = file.p[0] == '/' || file.p[0] == '\\' || memchr(file.p, ':', file.len) || memchr(file.p, 0, file.len);
  if (far) { gen_note(g, "'%.*s' is not read: references go to files beside the document", STR(file)); return false; }
  hdw_status st = l ? l->load(l->user, g->docs[from].path, gen_fmt(g, "%.*s", STR(decoded(g, file))), &path, &root) : HDW_E_NOTFOUND;
  if (st) {
    gen_note(g, "'%.*s' %s", STR(file), st == HDW_E_DENIED ? "is outside of the document's folder: it is not read" : st == HDW_E_NOTFOUND ? "is not there" : st == HDW_E_LIMIT ? "is too big" : "cannot be read");
    return false;
  }
  *out = gen_doc_add(g, path, root);
  return !g->status;
}

bool gen_resolve(gen *g, gen_at at, gen_at *out, str *name) {
  *out = at;
  if (name) *name = (str){0};
  for (int i = 0; i < REFS_IN_A_ROW && gen_step(g); i++) {
    const val *r = gen_get(out->v, "$ref");
    if (!r || r->tag != VAL_STR) return true;
    str ref = gen_str(g, r), last = {0};
    if (ref.len > 2000) break;
    const char *hash = ref.len ? memchr(ref.p, '#', ref.len) : NULL;
    str file = {ref.p, hash ? (size_t)(hash - ref.p) : ref.len}, ptr = hash ? (str){hash + 1, ref.len - file.len - 1} : (str){0};
    uint32_t doc = out->doc;
    if (file.len && !other_doc(g, out->doc, file, &doc)) return false;
    const val *v = pointer(g, &g->docs[doc].root, ptr, &last);
    if (!v) { gen_note(g, "'%.*s' names nothing", STR(ref)); return false; }
    if (!last.len && file.len) { /* a file for one thing: components/schemas/Patient.yaml */
      size_t from = file.len, dot;
      while (from && file.p[from - 1] != '/') from--;
      for (dot = from; dot < file.len && file.p[dot] != '.'; dot++) {}
      last = (str){file.p + from, dot - from};
    }
    if (name && !name->len) *name = last;
    *out = (gen_at){doc, *v};
  }
  if (!g->status) gen_note(g, "references lead in a circle");
  return false;
}
