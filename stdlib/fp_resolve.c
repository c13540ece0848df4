/* fp_resolve.c - resolve(): what references mean inside of the resource or Bundle that they stand in.
 *
 *   "#id"                 a contained resource of the resource in which the reference stands; "#" that resource itself
 *   Type/id               3: the entry whose fullUrl is base/Type/id, base being that of the entry in which it stands
 *                         2: an entry whose fullUrl ends so           1: an entry of this type and id
 *   absolute, urn:        3: the entry with this fullUrl              2: one whose canonical url this is, without the version
 *
 * The best one counts, of equal ones the first. Several references of a Bundle are looked up in an index of its entries, made once for the call: what
 * it leaves out fits in no way. */
#include "fhir.h"
#include "fp_fhir.h"
#include "model.h"

enum { DEPTH_MAX = 200, INDEX_FROM = 4 };

/* "#id" in a resource: one of its contained ones; "#": itself. */
static hdw_status resolve_contained(vm_cx *cx, val resource, const char *id, size_t len, val *out) {
  const val *c;
  if (len == 0) return *out = fhir_adopt(resource), HDW_OK;
  uint32_t n = fp_items(resource, "contained", &c);
  hdw_status s = vm_charge(cx, n);
  for (uint32_t i = 0; !s && i < n; i++) {
    val have;
    if (c[i].tag != VAL_OBJ) continue;
    s = fp_member_text(cx, c[i], "id", &have);
    if (!s && fp_text_is(have, id, len)) return *out = fhir_adopt(c[i]), HDW_OK;
  }
  return s;
}

typedef struct wanted {
  const char *s;          /* the reference without its version */
  size_t len;
  const char *version;    /* of Type/id/_history/version, or NULL */
  size_t version_len;
  bool absolute;
  const char *type, *id;  /* of a relative reference Type/id */
  size_t type_len, id_len;
} wanted;

static wanted reference_of(val text) {
  wanted w = {.s = text.u.s, .len = text.len};
  for (size_t i = 0; i + 10 < w.len; i++)
    if (memcmp(w.s + i, "/_history/", 10) == 0) {
      w.version = w.s + i + 10;
      w.version_len = w.len - i - 10;
      w.len = i;
    }
  w.absolute = w.len > 4 && memcmp(w.s, "urn:", 4) == 0;
  for (size_t i = 0; i + 3 <= w.len && !w.absolute; i++) w.absolute = memcmp(w.s + i, "://", 3) == 0;
  const char *slash = w.absolute || !w.len ? NULL : (const char *)memchr(w.s, '/', w.len);
  if (slash) {
    w.type = w.s;
    w.type_len = (size_t)(slash - w.s);
    w.id = slash + 1;
    w.id_len = w.len - w.type_len - 1;
  }
  return w;
}

/* Whether the fullUrl is base/Type/id of the reference. */
static bool ends_with(val url, const wanted *w) {
  return url.tag == VAL_STR && url.len > w->len && url.u.s[url.len - w->len - 1] == '/' && memcmp(url.u.s + url.len - w->len, w->s, w->len) == 0;
}

/* How well an entry fits: 0 not, 1 by type and id alone, 2 by the end of its address, 3 exactly. base: address of the server that the reference came from. */
static hdw_status fitness(vm_cx *cx, val url, val resource, const wanted *w, val base, int *fit) {
  val v;
  *fit = 0;
  if (w->absolute) {
    if (fp_text_is(url, w->s, w->len)) *fit = 3;
    hdw_status s = fp_member_text(cx, resource, "url", &v); /* a canonical */
    if (s) return s;
    if (*fit == 0 && v.tag == VAL_STR && fp_text_is(v, w->s, fp_without_version(w->s, w->len))) *fit = 2;
  } else if (w->type) {
    hdw_status s = fp_member_text(cx, resource, "resourceType", &v);
    if (s || !fp_text_is(v, w->type, w->type_len)) return s;
    if (ends_with(url, w)) *fit = base.tag == VAL_STR && url.len == base.len + w->len && memcmp(url.u.s, base.u.s, base.len) == 0 ? 3 : 2;
    else if ((s = fp_member_text(cx, resource, "id", &v))) return s;
    else if (fp_text_is(v, w->id, w->id_len)) *fit = 1;
  }
  if (*fit && w->version) {
    const val *meta = fp_slot(resource, "meta");
    v = VAL_NONE;
    hdw_status s = meta && meta->tag == VAL_OBJ ? fp_member_text(cx, *meta, "versionId", &v) : HDW_OK;
    if (s) return s;
    if (v.tag == VAL_STR && !fp_text_is(v, w->version, w->version_len)) *fit = 0;
  }
  return HDW_OK;
}

/* The address in front of Type/id in a fullUrl: what a relative reference of that entry begins with. */
static val base_of(val url) {
  uint32_t slashes = 0;
  if (url.tag != VAL_STR) return VAL_NONE;
  for (uint32_t i = url.len; i > 0; i--)
    if (url.u.s[i - 1] == '/' && ++slashes == 2) return val_str(url.u.s, i);
  return VAL_NONE;
}

/* Entries by the texts under which references know them. */
typedef struct entries {
  vm_cx *cx;
  const val *e; uint32_t n;
  uint32_t *first;        /* by hash: place in links + 1, 0 = none; NULL: there is no index */
  uint32_t cap;           /* a power of two */
  struct link { uint32_t entry, next; } *links; uint32_t nlinks; /* a chain is in the order of the entries */
} entries;

static const val *resource_of(const entries *x, uint32_t i) {
  const val *r = x->e[i].tag == VAL_OBJ ? fp_slot(x->e[i], "resource") : NULL;
  return r && r->tag == VAL_OBJ ? r : NULL;
}

static uint32_t bucket(const entries *x, const char *s, size_t len) { return (uint32_t)(val_hash(x->cx->seed, val_str(s, len)) & (x->cap - 1)); }

static void add(entries *x, const char *s, size_t len, uint32_t entry) {
  uint32_t *at = &x->first[bucket(x, s, len)];
  x->links[x->nlinks++] = (struct link){entry, *at};
  *at = x->nlinks;
}

/* Behind the last but one '/': the Type/id of an address. */
static val tail_of(val url) {
  uint32_t slashes = 0;
  for (uint32_t i = url.tag == VAL_STR ? url.len : 0; i > 0; i--)
    if (url.u.s[i - 1] == '/' && ++slashes == 2) return val_str(url.u.s + i, url.len - i);
  return VAL_NONE;
}

static hdw_status index_entry(entries *x, uint32_t i) {
  val url, canonical, type, id;
  const val *r = resource_of(x, i);
  hdw_status s = vm_charge(x->cx, 16);
  if (s || !r) return s;
  if ((s = fp_member_text(x->cx, x->e[i], "fullUrl", &url)) || (s = fp_member_text(x->cx, *r, "url", &canonical)) ||
      (s = fp_member_text(x->cx, *r, "resourceType", &type)) || (s = fp_member_text(x->cx, *r, "id", &id)))
    return s;
  val tail = tail_of(url);
  if (url.tag == VAL_STR) add(x, url.u.s, url.len, i);
  if (canonical.tag == VAL_STR) add(x, canonical.u.s, canonical.len, i);
  if (tail.tag == VAL_STR) add(x, tail.u.s, tail.len, i);
  if (type.tag != VAL_STR || id.tag != VAL_STR) return HDW_OK;
  size_t len = (size_t)type.len + 1 + id.len;
  char *p = (char *)arena_alloc(x->cx->a, len);
  if (!p) return HDW_E_NOMEM;
  memcpy(p, type.u.s, type.len);
  p[type.len] = '/';
  memcpy(p + type.len + 1, id.u.s, id.len);
  add(x, p, len, i);
  return HDW_OK;
}

static hdw_status make_index(entries *x) {
  x->cap = 16;
  while (x->cap < 4 * x->n) x->cap *= 2;
  x->first = (uint32_t *)arena_zalloc(x->cx->a, x->cap, sizeof *x->first);
  x->links = (struct link *)arena_zalloc(x->cx->a, (size_t)x->n * 4 + 1, sizeof *x->links);
  if (!x->first || !x->links) return HDW_E_NOMEM;
  hdw_status s = HDW_OK;
  for (uint32_t i = x->n; !s && i-- > 0;) s = index_entry(x, i); /* backwards: a chain begins with what was added last */
  return s;
}

typedef struct best {
  int fit;
  const val *resource;
} best;

static hdw_status consider(const entries *x, uint32_t i, const wanted *w, val base, best *b) {
  val url;
  int fit = 0;
  const val *r = resource_of(x, i);
  hdw_status s = vm_charge(x->cx, 4);
  if (s || !r) return s;
  if (!(s = fp_member_text(x->cx, x->e[i], "fullUrl", &url))) s = fitness(x->cx, url, *r, w, base, &fit);
  if (fit > b->fit) *b = (best){fit, r};
  return s;
}

static hdw_status look_up(const entries *x, const char *s, size_t len, const wanted *w, val base, best *b) {
  hdw_status st = HDW_OK;
  for (uint32_t k = x->first[bucket(x, s, len)]; !st && k && b->fit < 3; k = x->links[k - 1].next) st = consider(x, x->links[k - 1].entry, w, base, b);
  return st;
}

/* An id with a slash in it is no end of an address that the index knows. */
static bool indexed(const entries *x, const wanted *w) { return x->first && (w->absolute || !memchr(w->id ? w->id : "", '/', w->id_len)); }

static hdw_status find_entry(const entries *x, val text, val base, val *out) {
  wanted w = reference_of(text);
  best b = {0, NULL};
  hdw_status s = HDW_OK;
  if (!w.absolute && !w.type) return HDW_OK;
  if (indexed(x, &w)) {
    size_t plain = fp_without_version(w.s, w.len);
    s = look_up(x, w.s, w.len, &w, base, &b);
    if (!s && w.absolute && plain != w.len) s = look_up(x, w.s, plain, &w, base, &b);
  } else
    for (uint32_t i = 0; !s && b.fit < 3 && i < x->n; i++) s = consider(x, i, &w, base, &b);
  if (b.resource) *out = fhir_adopt(*b.resource);
  return s;
}

/* ---- where references stand */

/* A reference, and the entry in which it stands: UINT32_MAX = in none. */
typedef struct place {
  val node;
  uint32_t entry;
} place;

typedef struct places {
  vm_cx *cx;
  place *v; uint32_t n;
  uint32_t missing;       /* places not found yet */
  uint32_t *slot, cap;    /* place + 1 by address of its node */
} places;

static uint32_t slot_of(const places *p, const void *at) {
  uint64_t h = ((uint64_t)(uintptr_t)at ^ p->cx->seed) * UINT64_C(0x9E3779B97F4A7C15);
  return (uint32_t)(h >> 32) & (p->cap - 1);
}

static bool same_node(val a, val b) { return a.tag == b.tag && a.len == b.len && a.u.p == b.u.p; }

static hdw_status look_in(places *p, val v, uint32_t entry, int depth) {
  for (uint32_t k = slot_of(p, v.u.p); v.tag >= VAL_STR && p->slot[k]; k = (k + 1) & (p->cap - 1)) {
    place *x = &p->v[p->slot[k] - 1];
    if (x->entry == UINT32_MAX && same_node(x->node, v)) x->entry = entry, p->missing--;
  }
  if ((v.tag != VAL_OBJ && v.tag != VAL_LIST) || depth > DEPTH_MAX) return HDW_OK;
  uint32_t step = v.tag == VAL_OBJ ? 2 : 1, n = v.len * step;
  hdw_status s = vm_charge(p->cx, v.len);
  for (uint32_t i = step - 1; !s && p->missing && i < n; i += step) s = look_in(p, v.u.v[i], entry, depth + 1);
  return s;
}

/* Finds out where the references stand. */
static hdw_status locate(vm_cx *cx, const entries *x, place *v, uint32_t n) {
  places p = {.cx = cx, .v = v, .n = n, .missing = n, .cap = 16};
  hdw_status s = HDW_OK;
  while (p.cap < 2 * n) p.cap *= 2;
  p.slot = (uint32_t *)arena_zalloc(cx->a, p.cap, sizeof *p.slot);
  if (!p.slot) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t k = slot_of(&p, v[i].node.u.p);
    while (p.slot[k]) k = (k + 1) & (p.cap - 1);
    p.slot[k] = i + 1;
  }
  for (uint32_t i = 0; !s && p.missing && i < x->n; i++) {
    const val *r = resource_of(x, i);
    if (r) s = look_in(&p, *r, i, 0);
  }
  return s;
}

/* ---- resolve() */

/* The text of a reference: a Reference, a primitive, a text. VAL_EMPTY when it is none, or is a resource, which means itself. */
static hdw_status reference_text(vm_cx *cx, val item, val *text) {
  hdw_status s = HDW_OK;
  *text = item;
  if (item.tag == VAL_OBJ && fhir_type_kind(item.aux) == FHIR_PRIMITIVE) s = fp_system(cx, item, text);
  else if (item.tag == VAL_OBJ && fp_slot(item, "resourceType")) *text = VAL_NONE;
  else if (item.tag == VAL_OBJ) s = fp_member_text(cx, item, "reference", text);
  if (text->tag != VAL_STR || text->len == 0) *text = VAL_NONE;
  return s;
}

static hdw_status in_bundle(const entries *x, const place *at, val text, val *out) {
  val base = VAL_NONE;
  bool local = text.u.s[0] == '#', known = at->entry != UINT32_MAX;
  if (local) return known ? resolve_contained(x->cx, *resource_of(x, at->entry), text.u.s + 1, text.len - 1, out) : HDW_OK;
  hdw_status s = known ? fp_member_text(x->cx, x->e[at->entry], "fullUrl", &base) : HDW_OK;
  return s ? s : find_entry(x, text, base_of(base), out);
}

static hdw_status all_in_bundle(vm_cx *cx, val refs, val bundle, val_builder *b) {
  entries x = {.cx = cx};
  uint32_t n = val_count(refs);
  x.n = fp_items(bundle, "entry", &x.e);
  place *at = (place *)arena_zalloc(cx->a, n, sizeof *at);
  if (!at) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < n; i++) at[i] = (place){val_item(refs, i), UINT32_MAX};
  hdw_status s = locate(cx, &x, at, n);
  if (!s && n >= INDEX_FROM) s = make_index(&x);
  for (uint32_t i = 0; !s && i < n; i++) {
    val text, v = VAL_NONE, item = at[i].node;
    s = reference_text(cx, item, &text);
    if (!s && text.tag == VAL_STR) s = in_bundle(&x, &at[i], text, &v);
    else if (item.tag == VAL_OBJ && fp_slot(item, "resourceType")) v = fhir_adopt(item);
    if (!s) s = val_push(cx->a, b, v);
  }
  return s;
}

static hdw_status one_in_resource(vm_cx *cx, val item, val root, val *out) {
  val text;
  hdw_status s = reference_text(cx, item, &text);
  if (s || text.tag != VAL_STR) {
    if (!s && item.tag == VAL_OBJ && fp_slot(item, "resourceType")) *out = fhir_adopt(item);
    return s;
  }
  return root.tag == VAL_OBJ && root.aux && text.u.s[0] == '#' ? resolve_contained(cx, root, text.u.s + 1, text.len - 1, out) : HDW_OK;
}

/* args: references (or their texts); the resource or Bundle in which they are looked for. What is not there is left out. */
hdw_status fp_resolve(vm_cx *cx, const val *args, unsigned n, val *out) {
  val_builder b = {0};
  val root = val_count(args[1]) == 1 ? val_item(args[1], 0) : VAL_NONE;
  hdw_status s = HDW_OK;
  (void)n;
  *out = VAL_NONE;
  if (args[0].tag == VAL_EMPTY) return HDW_OK;
  if (root.tag == VAL_OBJ) root = fhir_adopt(root);
  if (root.tag == VAL_OBJ && root.aux && root.aux == fhir_type("Bundle", 6)) s = all_in_bundle(cx, args[0], root, &b);
  else
    for (uint32_t i = 0; !s && i < val_count(args[0]); i++) {
      val v = VAL_NONE;
      s = one_in_resource(cx, val_item(args[0], i), root, &v);
      if (!s) s = val_push(cx->a, &b, v);
    }
  *out = val_build(&b);
  return s;
}
