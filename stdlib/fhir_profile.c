/* Profiles: the elements of a StructureDefinition as a tree of rules (fhir_profile.h). */
#include <string.h>
#include "fhir_profile.h"

typedef struct text { const char *p; uint32_t len; } text;

static const val *slot(val obj, const char *name) { return obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL; }

static text text_at(val obj, const char *name) {
  const val *v = slot(obj, name);
  return v && v->tag == VAL_STR && !(v->flags & VALF_ESC) ? (text){v->u.s, v->len} : (text){NULL, 0};
}

static bool is(text t, const char *s) { return t.p && strlen(s) == t.len && memcmp(t.p, s, t.len) == 0; }

/* Items of a document's array, or the one value that stands for it. */
static uint32_t count_of(const val *v) { return !v || v->tag == VAL_EMPTY || v->tag == VAL_NULL ? 0 : v->tag == VAL_LIST ? v->len : 1; }
static val item_of(const val *v, uint32_t i) { return v->tag == VAL_LIST ? v->u.v[i] : *v; }

static val elements_of(val doc) {
  const val *s = slot(doc, "snapshot"), *d = slot(doc, "differential");
  const val *list = s ? slot(*s, "element") : NULL;
  if (!count_of(list)) list = d ? slot(*d, "element") : NULL;
  return list ? *list : VAL_NONE;
}

/* A whole number that is written as a number or as a string; "*" and what is none: many. */
static uint16_t number(const val *v, uint16_t otherwise) {
  uint32_t n = 0;
  if (!v) return otherwise;
  if (v->tag == VAL_INT) return v->u.i < 0 ? 0 : v->u.i >= FHIR_PROFILE_MANY ? FHIR_PROFILE_MANY : (uint16_t)v->u.i;
  if ((v->tag != VAL_STR && v->tag != VAL_NUM) || v->len == 0) return otherwise;
  for (uint32_t i = 0; i < v->len; i++) {
    if (v->u.s[i] < '0' || v->u.s[i] > '9' || n >= FHIR_PROFILE_MANY) return otherwise;
    n = n * 10 + (uint32_t)(v->u.s[i] - '0');
  }
  return n >= FHIR_PROFILE_MANY ? FHIR_PROFILE_MANY : (uint16_t)n;
}

/* fixedCode, patternCodeableConcept ... of an element; VAL_EMPTY. */
static val prefixed(val e, const char *prefix) {
  size_t n = strlen(prefix);
  for (uint32_t i = 0; i < e.len; i++) {
    val k = e.u.v[2 * i];
    if (k.len > n && memcmp(k.u.s, prefix, n) == 0 && k.u.s[n] >= 'A' && k.u.s[n] <= 'Z') return e.u.v[2 * i + 1];
  }
  return VAL_NONE;
}

static uint16_t codes_of(val e) {
  const val *b = slot(e, "binding");
  text set = b ? text_at(*b, "valueSet") : (text){NULL, 0};
  if (!set.p || !is(text_at(*b, "strength"), "required")) return 0;
  const char *bar = memchr(set.p, '|', set.len);
  return fhir_codes_named(set.p, bar ? (size_t)(bar - set.p) : set.len);
}

/* ---- the tree */

/* Type of what is below an element: the one type that it has in R4, or in the profile. */
static uint16_t inner_type(const fhir_pnode *n) {
  fhir_element_info e;
  if (count_of(&n->types) == 1) {
    text code = text_at(item_of(&n->types, 0), "code");
    uint16_t t = code.p ? fhir_type(code.p, code.len) : 0;
    if (t && fhir_type_kind(t) != FHIR_BACKBONE && t != fhir_type("BackboneElement", 15) && t != fhir_type("Element", 7)) return t;
  }
  return n->owner && fhir_element(n->owner, n->name, n->name_len, &e) && e.n_types == 1 ? e.types[0] : 0;
}

static fhir_pnode *node_new(arena *a, text name, uint16_t owner) {
  fhir_pnode *n = arena_zalloc(a, 1, sizeof *n);
  if (n) *n = (fhir_pnode){.name = name.p, .name_len = name.len, .max = FHIR_PROFILE_MANY, .owner = owner};
  return n;
}

/* The element of that name below a node, made when it is not there yet. *one: the type of a name such as valueQuantity. */
static fhir_pnode *child_of(arena *a, fhir_pnode *parent, uint16_t type, text name, uint16_t *one) {
  fhir_element_info e;
  *one = 0;
  if (name.len > 3 && memcmp(name.p + name.len - 3, "[x]", 3) == 0) name.len -= 3;
  else if (type && (*one = fhir_choice_of(type, name.p, name.len, &e)) != 0) name = (text){e.name, (uint32_t)strlen(e.name)};
  fhir_pnode **at = &parent->child;
  for (; *at; at = &(*at)->next)
    if ((*at)->name_len == name.len && memcmp((*at)->name, name.p, name.len) == 0) return *at;
  return *at = node_new(a, name, type);
}

static fhir_pnode *slice_of(arena *a, fhir_pnode *n, text slice) {
  fhir_pnode **at = &n->slices;
  for (; *at; at = &(*at)->next)
    if ((*at)->slice_len == slice.len && memcmp((*at)->slice, slice.p, slice.len) == 0) return *at;
  *at = node_new(a, (text){n->name, n->name_len}, n->owner);
  if (*at) { (*at)->slice = slice.p; (*at)->slice_len = slice.len; (*at)->whole = n; }
  return *at;
}

/* {code: type} as the types of a slice that only its name says (valueQuantity). */
static hdw_status typed_slice(arena *a, fhir_pnode *n, uint16_t type) {
  val *kv = arena_alloc(a, 2 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  const char *name = fhir_type_name(type);
  kv[0] = val_key("code", 4);
  kv[1] = val_str(name, strlen(name));
  n->types = (val){.tag = VAL_OBJ, .len = 1, .u.v = kv};
  return HDW_OK;
}

static void rules_of(val e, fhir_pnode *n) {
  const val *types = slot(e, "type"), *slicing = slot(e, "slicing");
  n->speaks = true;
  n->min = number(slot(e, "min"), n->min);
  n->max = number(slot(e, "max"), n->max);
  n->codes = codes_of(e);
  n->fixed = prefixed(e, "fixed");
  n->pattern = prefixed(e, "pattern");
  if (types && count_of(types)) n->types = *types;
  if (!slicing || slicing->tag != VAL_OBJ) return;
  const val *by = slot(*slicing, "discriminator");
  n->sliced = true;
  n->closed = is(text_at(*slicing, "rules"), "closed");
  n->discriminators = by ? *by : VAL_NONE;
}

/* The node that an element's path leads to: in each sliced element the slice that was introduced last, for its own elements follow it. A
 * differential names only what it changes, so nodes on the way are made. NULL: a path of another type, or no memory. */
static fhir_pnode *reach(arena *a, fhir_profile *p, text path, uint16_t *one) {
  fhir_pnode *n = &p->root;
  uint32_t at = p->root.name_len;
  if (path.len <= at + 1 || memcmp(path.p, p->root.name, at) != 0 || path.p[at] != '.') return NULL;
  *one = 0;
  for (at++; n && at <= path.len;) {
    uint32_t end = at;
    while (end < path.len && path.p[end] != '.') end++;
    n = child_of(a, n, n == &p->root ? p->type : inner_type(n), (text){path.p + at, end - at}, one);
    at = end + 1;
    if (n && n->recent && at <= path.len) n = n->recent;
  }
  return n;
}

/* *out: the node that the element belongs to, NULL when it is of no interest. */
static hdw_status add(arena *a, fhir_profile *p, val e, fhir_pnode **out) {
  text path = text_at(e, "path"), slice = text_at(e, "sliceName");
  uint16_t one = 0;
  uint32_t depth = 1, last = 0;
  *out = NULL;
  for (uint32_t i = 0; i < path.len; i++)
    if (path.p[i] == '.') { depth++; last = i + 1; }
  if (depth > FHIR_PROFILE_DEPTH) return HDW_E_LIMIT;
  fhir_pnode *n = reach(a, p, path, &one);
  if (!n) return HDW_OK;
  if (slice.p || one) {
    fhir_pnode *whole = n;
    if (!slice.p) slice = (text){path.p + last, path.len - last};
    if (!(n = whole->recent = slice_of(a, whole, slice))) return HDW_E_NOMEM;
    if (one && typed_slice(a, n, one)) return HDW_E_NOMEM;
  } else {
    n->recent = NULL;
  }
  rules_of(e, n);
  *out = n;
  return HDW_OK;
}

hdw_status fhir_profile_read(arena *a, val doc, fhir_profile *out, const char **why) {
  text type = text_at(doc, "type"), kind = text_at(doc, "resourceType");
  val list = elements_of(doc);
  const char *no = NULL;
  *out = (fhir_profile){.type = type.p ? fhir_type(type.p, type.len) : 0};
  if (why) *why = NULL;
  if (!is(kind, "StructureDefinition")) no = "this is no StructureDefinition";
  else if (!out->type || fhir_type_kind(out->type) == FHIR_PRIMITIVE) no = "it constrains no resource or data type of FHIR R4";
  else if (!count_of(&list)) no = "it has neither a snapshot nor a differential with elements";
  if (why) *why = no;
  if (no) return HDW_E_DATA;
  if (count_of(&list) > FHIR_PROFILE_ELEMENTS) return HDW_E_LIMIT;
  const val *url = slot(doc, "url"), *name = slot(doc, "name");
  if (url && url->tag == VAL_STR) out->url = *url;
  if (name && name->tag == VAL_STR) out->name = *name;
  out->root = (fhir_pnode){.name = type.p, .name_len = type.len, .max = FHIR_PROFILE_MANY};
  hdw_status s = HDW_OK;
  fhir_pnode *n;
  for (uint32_t i = 0; s == HDW_OK && i < count_of(&list); i++)
    if (item_of(&list, i).tag == VAL_OBJ) s = add(a, out, item_of(&list, i), &n);
  return s;
}

const fhir_pnode *fhir_profile_child(const fhir_pnode *n, const char *name, size_t len) {
  for (const fhir_pnode *c = n->child; c; c = c->next)
    if (c->name_len == len && memcmp(c->name, name, len) == 0) return c;
  return NULL;
}

const fhir_pnode *fhir_profile_named(const fhir_pnode *n, const char *slice, size_t len) {
  for (const fhir_pnode *s = n->slices; s; s = s->next)
    if (s->slice_len == len && memcmp(s->slice, slice, len) == 0) return s;
  return NULL;
}

const fhir_pnode *fhir_profile_at(const fhir_profile *p, const char *path, size_t len) {
  const fhir_pnode *n = &p->root;
  for (size_t i = 0; n && i < len; i++) {
    size_t end = i, colon;
    while (end < len && path[end] != '.') end++;
    for (colon = i; colon < end && path[colon] != ':';) colon++;
    const fhir_pnode *own = fhir_profile_child(n, path + i, colon - i);
    n = own || !n->whole ? own : fhir_profile_child(n->whole, path + i, colon - i);
    if (n && colon < end) n = fhir_profile_named(n, path + colon + 1, end - colon - 1);
    i = end;
  }
  return n;
}

bool fhir_profile_extension(const fhir_pnode *slice, val *url) {
  const fhir_pnode *own = fhir_profile_child(slice, "url", 3);
  if (own && own->fixed.tag == VAL_STR) return *url = own->fixed, true;
  const val *list = count_of(&slice->types) == 1 ? slot(item_of(&slice->types, 0), "profile") : NULL;
  if (!count_of(list)) return false;
  *url = item_of(list, 0);
  return url->tag == VAL_STR;
}

/* ---- what a module needs of it */

static hdw_status normal(arena *a, val v, int depth, val *out) {
  if (depth > FHIR_PROFILE_DEPTH) return HDW_E_LIMIT;
  if (v.tag != VAL_OBJ && v.tag != VAL_LIST) return val_norm(a, v, out);
  uint32_t n = v.tag == VAL_OBJ ? 2 * v.len : v.len;
  val *kv = arena_alloc(a, (n + 1u) * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; s == HDW_OK && i < n; i++) {
    if (v.tag == VAL_OBJ && i % 2 == 0) kv[i] = v.u.v[i];
    else s = normal(a, v.u.v[i], depth + 1, &kv[i]);
  }
  *out = v;
  out->flags &= (uint8_t)~VALF_UNEVEN;
  out->u.v = kv;
  return s;
}

/* Whether an element says what R4 says anyway. */
static bool says_nothing(val e, const fhir_pnode *n) {
  fhir_element_info info;
  if (n->slice || n->sliced || n->fixed.tag != VAL_EMPTY || n->pattern.tag != VAL_EMPTY || !n->owner || !fhir_element(n->owner, n->name, n->name_len, &info)) return false;
  uint16_t max = info.max ? info.max : FHIR_PROFILE_MANY;
  return n->min == info.min && n->max == max && (n->codes == 0 || n->codes == info.codes) && count_of(slot(e, "type")) >= info.n_types;
}

/* Parts of an object by name, those that it has. */
static hdw_status parts(arena *a, val from, const char *const *names, size_t n, val *out) {
  val *kv = arena_alloc(a, 2 * n * sizeof *kv);
  uint32_t k = 0;
  if (!kv) return HDW_E_NOMEM;
  for (size_t i = 0; i < n; i++) {
    const val *v = slot(from, names[i]);
    hdw_status s = v ? normal(a, *v, 0, &kv[2 * k + 1]) : HDW_OK;
    if (s) return s;
    if (v) kv[2 * k++] = val_key(names[i], strlen(names[i]));
  }
  *out = (val){.tag = VAL_OBJ, .len = k, .u.v = kv};
  return HDW_OK;
}

static hdw_status with_member(arena *a, val obj, val key, val value, val *out) {
  val *kv = arena_alloc(a, 2 * ((size_t)obj.len + 1) * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  if (obj.len) memcpy(kv, obj.u.v, 2 * (size_t)obj.len * sizeof *kv);
  kv[2 * obj.len] = key;
  *out = (val){.tag = VAL_OBJ, .len = obj.len + 1, .u.v = kv};
  return normal(a, value, 0, &kv[2 * obj.len + 1]);
}

static hdw_status trimmed(arena *a, val e, const fhir_pnode *n, val *out) {
  static const char *const own[] = {"path", "sliceName", "min", "max", "slicing"}, *const bound[] = {"strength", "valueSet"};
  static const char *const type_parts[] = {"code", "profile"};
  hdw_status s = parts(a, e, own, sizeof own / sizeof *own, out);
  for (uint32_t i = 0; s == HDW_OK && i < e.len; i++) {
    val k = e.u.v[2 * i];
    if ((n->fixed.tag != VAL_EMPTY && k.len > 5 && memcmp(k.u.s, "fixed", 5) == 0) || (n->pattern.tag != VAL_EMPTY && k.len > 7 && memcmp(k.u.s, "pattern", 7) == 0))
      s = with_member(a, *out, k, e.u.v[2 * i + 1], out);
  }
  val part;
  if (s == HDW_OK && n->codes && (s = parts(a, *slot(e, "binding"), bound, 2, &part)) == HDW_OK) s = with_member(a, *out, val_key("binding", 7), part, out);
  const val *types = slot(e, "type");
  uint32_t count = count_of(types);
  if (s || !count) return s;
  val *v = arena_alloc(a, count * sizeof *v);
  if (!v) return HDW_E_NOMEM;
  for (uint32_t i = 0; s == HDW_OK && i < count; i++) s = parts(a, item_of(types, i), type_parts, 2, &v[i]);
  return s ? s : with_member(a, *out, val_key("type", 4), (val){.tag = VAL_LIST, .len = count, .u.v = v}, out);
}

hdw_status fhir_profile_trim(arena *a, val doc, val *out) {
  static const char *const head[] = {"resourceType", "url", "name", "type"};
  fhir_profile p;
  hdw_status s = fhir_profile_read(a, doc, &p, NULL);
  if (s) return s;
  val list = elements_of(doc), snapshot = {.tag = VAL_OBJ};
  uint32_t count = count_of(&list), k = 0;
  val *v = arena_alloc(a, (count + 1u) * sizeof *v);
  if (!v) return HDW_E_NOMEM;
  for (uint32_t i = 0; s == HDW_OK && i < count; i++) {
    val e = item_of(&list, i);
    fhir_pnode *n = NULL;
    if (e.tag == VAL_OBJ && (s = add(a, &p, e, &n)) == HDW_OK && n && !says_nothing(e, n)) s = trimmed(a, e, n, &v[k++]);
  }
  if (!s) s = parts(a, doc, head, sizeof head / sizeof *head, out);
  if (!s) s = with_member(a, snapshot, val_key("element", 7), (val){.tag = VAL_LIST, .len = k, .u.v = v}, &snapshot);
  return s ? s : with_member(a, *out, val_key("snapshot", 8), snapshot, out);
}
