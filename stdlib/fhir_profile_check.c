/* Values checked against the tree of a profile (fhir_profile.h). */
#include <string.h>
#include "fhir_profile.h"
#include "fhir_vint.h"

enum { SAME_DEPTH = 60, MATCH_NO = 0, MATCH_YES = 1, MATCH_UNKNOWN = 2 };

typedef struct profiled {
  fhir_check *c;         /* path and report */
  vm_cx *cx;
  hdw_status status;     /* memory or fuel: ends everything */
  unsigned depth;
} profiled;

static bool is_text(val v, const char *s) { return v.tag == VAL_STR && v.len == strlen(s) && memcmp(v.u.s, s, v.len) == 0; }
static const val *member(val obj, const char *name) { return obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL; }
static val doc_item(val list, uint32_t i) { return list.tag == VAL_LIST ? list.u.v[i] : list; }
static uint32_t doc_count(val list) { return list.tag == VAL_EMPTY || list.tag == VAL_NULL ? 0 : list.tag == VAL_LIST ? list.len : 1; }

/* Members of an item by the model. Data that contradicts the model (an array of several where one is allowed) has none: the validator reports it. */
static val items_of(profiled *p, val item, const char *name, size_t len) {
  val out = VAL_NONE;
  if (p->status || item.tag != VAL_OBJ) return out;
  vm_error kept = p->cx->err;
  hdw_status s = vm_charge(p->cx, 4);
  if (!s) s = fhir_model_member(p->cx, item, val_key(name, len), &out);
  if (s == HDW_E_NOMEM || s == HDW_E_FUEL) p->status = s;
  else if (s) { p->cx->err = kept; return VAL_NONE; }
  return out;
}

/* ---- fixed and pattern values */

static bool temporal(val v) { return v.tag == VAL_DATE || v.tag == VAL_DATETIME || v.tag == VAL_TIME; }

static bool same_primitive(profiled *p, val a, val b) {
  char text[TM_TEXT_MAX];
  int equal = 0;
  if (temporal(b) && a.tag == VAL_STR) { val x = a; a = b; b = x; }
  if (temporal(a) && b.tag == VAL_STR) {
    size_t n = fhir_temporal_text(a, text);
    return n == b.len && memcmp(text, b.u.s, n) == 0;
  }
  if (a.tag == VAL_STR && b.tag == VAL_STR) return a.len == b.len && memcmp(a.u.s, b.u.s, a.len) == 0;
  hdw_status s = val_equal(p->cx->a, a, b, &equal);
  if (s) p->status = s;
  return equal == 1;
}

static bool same(profiled *p, val want, val have, bool pattern, int depth);

/* Arrays: fixed wants the same items in order, a pattern that each of its items is somewhere. */
static bool same_items(profiled *p, val want, val have, bool pattern, int depth) {
  uint32_t n = doc_count(want), m = doc_count(have);
  if (!pattern && n != m) return false;
  for (uint32_t i = 0; i < n; i++) {
    bool found = false;
    for (uint32_t k = pattern ? 0 : i; !found && k < (pattern ? m : i + 1); k++) found = same(p, doc_item(want, i), doc_item(have, k), pattern, depth + 1);
    if (!found) return false;
  }
  return true;
}

/* want: of the profile; have: a slot of JSON or a value. */
static bool same(profiled *p, val want, val have, bool pattern, int depth) {
  if (p->status || depth > SAME_DEPTH) return false;
  if ((p->status = vm_charge(p->cx, 2))) return false;
  if (want.tag == VAL_LIST || have.tag == VAL_LIST) return same_items(p, want, have, pattern, depth);
  if (want.tag != VAL_OBJ || have.tag != VAL_OBJ) {
    val a = want, b = have;
    if (want.tag == VAL_OBJ || (have.tag == VAL_OBJ && fhir_type_kind(have.aux) != FHIR_PRIMITIVE)) return false;
    hdw_status s = have.tag == VAL_OBJ ? fhir_model_system(p->cx, have, &b) : HDW_OK;
    if (!s) s = val_norm(p->cx->a, a, &a);
    if (!s) s = val_norm(p->cx->a, b, &b);
    if (s) { p->status = s; return false; }
    return a.tag != VAL_EMPTY && b.tag != VAL_EMPTY && same_primitive(p, a, b);
  }
  for (uint32_t i = 0; i < want.len; i++) {
    const val *slot = val_obj_get(have, val_key(want.u.v[2 * i].u.s, want.u.v[2 * i].len));
    if (!slot || !same(p, want.u.v[2 * i + 1], *slot, pattern, depth + 1)) return false;
  }
  if (pattern) return true;
  uint32_t n = 0;
  for (uint32_t i = 0; i < have.len; i++) n += have.u.v[2 * i + 1].tag != VAL_EMPTY;
  return n == want.len;
}

/* Whether the item has the value that the node demands; true when it demands none. */
static bool has_value(profiled *p, const fhir_pnode *n, val item) {
  return (n->fixed.tag == VAL_EMPTY || same(p, n->fixed, item, false, 0)) && (n->pattern.tag == VAL_EMPTY || same(p, n->pattern, item, true, 0));
}

static bool demands(const fhir_pnode *n) { return n->fixed.tag != VAL_EMPTY || n->pattern.tag != VAL_EMPTY; }

/* ---- types and codes */

static bool has_type(profiled *p, val types, val item) {
  for (uint32_t i = 0; i < doc_count(types); i++) {
    const val *code = member(doc_item(types, i), "code");
    bool yes = false;
    if (!code || code->tag != VAL_STR) continue;
    if (code->len > 20 && memcmp(code->u.s, "http://hl7.org/fhir", 19) == 0) return true; /* System types: of ids and urls */
    vm_error kept = p->cx->err;
    hdw_status s = fhir_model_is(p->cx, item, code->u.s, code->len, &yes);
    if (s == HDW_E_NOMEM || s == HDW_E_FUEL) p->status = s;
    else if (s) p->cx->err = kept;
    if (yes) return true;
  }
  return false;
}

/* A code, Coding or CodeableConcept has a code of the set; true for what has no code at all. */
static bool has_code(profiled *p, uint16_t set, val item) {
  val code = item, list;
  if (item.tag == VAL_OBJ && item.aux == fhir_type("CodeableConcept", 15)) {
    list = items_of(p, item, "coding", 6);
    for (uint32_t i = 0; i < val_count(list); i++)
      if (has_code(p, set, val_item(list, i))) return true;
    return val_count(list) == 0;
  }
  if (item.tag == VAL_OBJ) code = fhir_type_kind(item.aux) == FHIR_PRIMITIVE ? VAL_NONE : items_of(p, item, "code", 4);
  return code.tag != VAL_STR || fhir_code_in(set, code.u.s, code.len);
}

/* ---- which slice */

/* The next step of a discriminator's path: name, or extension('url') with *url. false: something else, or the end. */
static bool step(const char **at, const char *end, const char **name, size_t *len, const char **url, size_t *url_len) {
  const char *s = *at;
  *url = NULL;
  *name = s;
  while (s < end && *s != '.' && *s != '(') s++;
  *len = (size_t)(s - *name);
  if (s < end && *s == '(') {
    const char *close = memchr(s, ')', (size_t)(end - s));
    if (*len != 9 || memcmp(*name, "extension", 9) != 0 || !close || close - s < 4) return false;
    *url = s + 2;
    *url_len = (size_t)(close - s) - 3;
    s = close + 1;
  }
  if (s < end && *s == '.') s++;
  *at = s;
  return *len > 0;
}

typedef struct place { const fhir_pnode *n; val items; } place; /* where a discriminator's path has come, in the slice and in the item */

static val with_url(profiled *p, val items, const char *url, size_t len) {
  val_builder b = {0};
  for (uint32_t i = 0; !p->status && i < val_count(items); i++) {
    val have = items_of(p, val_item(items, i), "url", 3);
    if (have.tag == VAL_STR && have.len == len && memcmp(have.u.s, url, len) == 0) p->status = val_push(p->cx->a, &b, val_item(items, i));
  }
  return val_build(&b);
}

static val all_of(profiled *p, val items, const char *name, size_t len) {
  val_builder b = {0};
  for (uint32_t i = 0; !p->status && i < val_count(items); i++) {
    val x = items_of(p, val_item(items, i), name, len);
    for (uint32_t k = 0; !p->status && k < val_count(x); k++) p->status = val_push(p->cx->a, &b, val_item(x, k));
  }
  return val_build(&b);
}

static bool any_has(profiled *p, const fhir_pnode *n, val items) {
  for (uint32_t i = 0; i < val_count(items); i++)
    if (has_value(p, n, val_item(items, i))) return true;
  return false;
}

/* By value: the path is followed until the slice demands a value; what a pattern further up says counts, too. */
static int by_value(profiled *p, place at, const char *path, const char *end) {
  const char *name, *url;
  size_t len, url_len;
  for (;;) {
    if (demands(at.n)) return any_has(p, at.n, at.items) ? MATCH_YES : MATCH_NO;
    if (path >= end) break;
    if (!step(&path, end, &name, &len, &url, &url_len)) return MATCH_UNKNOWN;
    if (len == 5 && memcmp(name, "$this", 5) == 0) continue;
    val own;
    bool by_url = len == 3 && memcmp(name, "url", 3) == 0 && path >= end && fhir_profile_extension(at.n, &own);
    at.items = all_of(p, at.items, name, len);
    if (url) at.items = with_url(p, at.items, url, url_len);
    const fhir_pnode *below = fhir_profile_child(at.n, name, len);
    if (by_url) return val_count(at.items) == 1 && same(p, own, at.items, false, 0) ? MATCH_YES : MATCH_NO;
    if (!below) return MATCH_UNKNOWN;
    for (const fhir_pnode *s = below->slices; s; s = s->next) /* the path's own extension, or one of several codings */
      if (!demands(below) && (demands(s) || s->child)) below = s;
    at.n = below;
  }
  if (!at.n->codes) return MATCH_UNKNOWN;
  for (uint32_t i = 0; i < val_count(at.items); i++)
    if (has_code(p, at.n->codes, val_item(at.items, i))) return MATCH_YES;
  return MATCH_NO;
}

/* By type and by existence: the path leads to an element and the slice says something of it. */
static int by_place(profiled *p, place at, const char *path, const char *end, bool type) {
  const char *name, *url;
  size_t len, url_len;
  while (path < end) {
    if (!step(&path, end, &name, &len, &url, &url_len)) return MATCH_UNKNOWN;
    if (len == 5 && memcmp(name, "$this", 5) == 0) continue;
    at.items = all_of(p, at.items, name, len);
    if (url) at.items = with_url(p, at.items, url, url_len);
    if (at.n) at.n = fhir_profile_child(at.n, name, len);
  }
  if (!at.n) return MATCH_UNKNOWN;
  uint32_t count = val_count(at.items);
  if (!type) return at.n->max == 0 ? count == 0 : at.n->min > 0 ? count > 0 : MATCH_UNKNOWN;
  if (!doc_count(at.n->types)) return MATCH_UNKNOWN;
  for (uint32_t i = 0; i < count; i++)
    if (has_type(p, at.n->types, val_item(at.items, i))) return MATCH_YES;
  return MATCH_NO;
}

/* Whether an item belongs to a slice of n: all discriminators say so. */
static int matches(profiled *p, const fhir_pnode *n, const fhir_pnode *slice, val item) {
  uint32_t count = doc_count(n->discriminators);
  int all = MATCH_YES;
  place at = {slice, item};
  if (!count) { /* a choice element's slices are told by their type, without saying so */
    fhir_element_info e;
    bool choice = n->owner && fhir_element(n->owner, n->name, n->name_len, &e) && e.choice;
    return choice && doc_count(slice->types) ? by_place(p, at, "", "", true) : MATCH_UNKNOWN;
  }
  for (uint32_t i = 0; i < count && all != MATCH_NO; i++) {
    const val *kind = member(doc_item(n->discriminators, i), "type"), *path = member(doc_item(n->discriminators, i), "path");
    int m = MATCH_UNKNOWN;
    if (kind && path && path->tag == VAL_STR) {
      const char *s = path->u.s, *end = s + path->len;
      if (is_text(*kind, "value") || is_text(*kind, "pattern")) m = by_value(p, at, s, end);
      else if (is_text(*kind, "type") || is_text(*kind, "exists")) m = by_place(p, at, s, end, is_text(*kind, "type"));
    }
    if (m != MATCH_YES) all = m;
  }
  return all;
}

static const fhir_pnode *slice_of(profiled *p, const fhir_pnode *n, val item, bool *unknown) {
  *unknown = false;
  for (const fhir_pnode *s = n->slices; s; s = s->next) {
    int m = matches(p, n, s, item);
    if (m == MATCH_YES) return *unknown = false, s;
    if (m == MATCH_UNKNOWN) *unknown = true;
  }
  return NULL;
}

hdw_status fhir_profile_slice(vm_cx *cx, const fhir_pnode *n, val item, const fhir_pnode **out, bool *unknown) {
  profiled p = {.cx = cx};
  *out = slice_of(&p, n, item, unknown);
  return p.status;
}

/* ---- the walk */

static void check_item(profiled *p, const fhir_pnode *n, val item);

static void wrong(profiled *p, val where, const char *what, const fhir_pnode *n, uint32_t want, uint32_t have, bool least) {
  const char *many = want == 1 ? "" : "s";
  if (n->slice) fhir_say(p->c, FHIR_RULE_PROFILE, false, where, "%sslice '%.*s': at %s %u value%s expected, %u found", what, (int)n->slice_len, n->slice, least ? "least" : "most", want, many, have);
  else fhir_say(p->c, FHIR_RULE_PROFILE, false, where, "%sat %s %u value%s expected, %u found", what, least ? "least" : "most", want, many, have);
}

static void check_count(profiled *p, const fhir_pnode *n, val where, uint32_t have) {
  if (have < n->min) wrong(p, where, "", n, n->min, have, true);
  if (n->max != FHIR_PROFILE_MANY && have > n->max) wrong(p, where, "", n, n->max, have, false);
}

/* The values of an element: how many, in which slices, each by itself. */
static void check_items(profiled *p, const fhir_pnode *n, val items) {
  fhir_element_info e;
  uint32_t count = val_count(items), used = 0;
  bool many = !n->owner || !fhir_element(n->owner, n->name, n->name_len, &e) || e.max != 1, any_unknown = false, unknown;
  size_t back = fhir_path_push(p->c, n->name, n->name_len, -1);
  for (const fhir_pnode *s = n->slices; s; s = s->next) used++;
  uint32_t *in = used ? arena_zalloc(p->cx->a, used, sizeof *in) : NULL;
  if (used && !in) p->status = HDW_E_NOMEM;
  check_count(p, n, items, count);
  for (uint32_t i = 0; i < count && !p->status; i++) {
    val item = val_item(items, i);
    size_t here = fhir_path_push(p->c, "", 0, many ? (long)i : -1);
    check_item(p, n, item);
    const fhir_pnode *s = in ? slice_of(p, n, item, &unknown) : NULL;
    if (s) {
      uint32_t k = 0;
      for (const fhir_pnode *x = n->slices; x != s; x = x->next) k++;
      in[k]++;
      check_item(p, s, item);
    } else if (in && unknown) {
      any_unknown = true;
    } else if (in && n->closed) {
      fhir_say(p->c, FHIR_RULE_PROFILE, false, item, "it belongs to none of the slices, and there are no others");
    }
    fhir_path_pop(p->c, here);
  }
  uint32_t k = 0;
  for (const fhir_pnode *s = n->slices; in && s && !p->status; s = s->next, k++)
    if (!any_unknown || in[k]) {
      if (any_unknown ? s->max != FHIR_PROFILE_MANY && in[k] > s->max : true) check_count(p, s, items, in[k]);
    }
  fhir_path_pop(p->c, back);
}

static void check_value(profiled *p, const fhir_pnode *n, val item) {
  if (demands(n) && !has_value(p, n, item)) {
    val want = n->fixed.tag != VAL_EMPTY ? n->fixed : n->pattern;
    if (want.tag == VAL_STR) fhir_say(p->c, FHIR_RULE_PROFILE, false, item, "the profile fixes the value '%.*s'", (int)(want.len > 100 ? 100 : want.len), want.u.s);
    else fhir_say(p->c, FHIR_RULE_PROFILE, false, item, "the profile fixes %s, and this is another value", n->fixed.tag != VAL_EMPTY ? "the value" : "parts of the value");
  }
  if (n->codes && !has_code(p, n->codes, item)) fhir_say(p->c, FHIR_RULE_PROFILE, false, item, "no code of %s, to which the profile binds the element", fhir_codes_url(n->codes));
}

static void check_item(profiled *p, const fhir_pnode *n, val item) {
  fhir_element_info e;
  if (p->status || ++p->depth > FHIR_DEPTH) { p->depth--; return; }
  bool choice = n->owner && fhir_element(n->owner, n->name, n->name_len, &e) && e.choice;
  if (choice && !n->slice && doc_count(n->types) && !has_type(p, n->types, item)) fhir_say(p->c, FHIR_RULE_PROFILE, false, item, "the profile does not allow this type of %s[x]", e.name);
  check_value(p, n, item);
  for (const fhir_pnode *c = n->child; c && !p->status; c = c->next) check_items(p, c, items_of(p, item, c->name, c->name_len));
  p->depth--;
}

hdw_status fhir_profile_check(vm_cx *cx, const fhir_profile *profile, val item, const fhir_validate_opts *opts, fhir_report *out) {
  profiled p = {.cx = cx};
  hdw_status s = fhir_check_new(cx->a, opts, out, &p.c);
  if (s) return s;
  const char *type = fhir_type_name(profile->type);
  if (item.tag == VAL_OBJ && !item.aux) item = fhir_adopt(item);
  fhir_path_push(p.c, type, strlen(type), -1);
  if (item.tag != VAL_OBJ || !fhir_is_a(item.aux, profile->type)) fhir_say(p.c, FHIR_RULE_PROFILE, false, item, "a %s is wanted", type);
  else check_item(&p, &profile->root, item);
  return p.status ? p.status : p.c->status;
}
