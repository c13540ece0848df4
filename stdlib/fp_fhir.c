/* What the FHIR R4 specification adds to FHIRPath, as far as it can be decided without asking a server: references inside of a resource or Bundle, value sets
 * and structures of the model, modifier extensions. */
#include "fhir_validate.h"
#include "fp_int.h"
#include "model.h"
#include <stdio.h>

static const char HL7_STRUCTURES[] = "http://hl7.org/fhir/StructureDefinition/";
static const char HL7_VALUESETS[] = "http://hl7.org/fhir/ValueSet/";

/* A member as text without escapes; VAL_EMPTY when there is none. */
static hdw_status text_member(vm_cx *cx, val obj, const char *name, val *out) {
  const val *slot = val_obj_get(obj, val_key(name, strlen(name)));
  *out = VAL_NONE;
  if (!slot) return HDW_OK;
  hdw_status s = val_norm(cx->a, *slot, out);
  if (out->tag != VAL_STR) *out = VAL_NONE;
  return s;
}

static bool text_is(val v, const char *s, size_t len) { return v.tag == VAL_STR && v.len == len && memcmp(v.u.s, s, len) == 0; }

/* Length without "|version". */
static size_t without_version(const char *s, size_t len) {
  const char *bar = len ? (const char *)memchr(s, '|', len) : NULL;
  return bar ? (size_t)(bar - s) : len;
}

/* ---- resolve() */

enum { DEPTH_MAX = 200 };

/* Whether node (an object, or a text of the document) lies in v. */
static hdw_status holds(vm_cx *cx, val v, val node, int depth, bool *yes) {
  if (v.tag == node.tag && v.len == node.len && v.u.p == node.u.p) return *yes = true, HDW_OK;
  if ((v.tag != VAL_OBJ && v.tag != VAL_LIST) || depth > DEPTH_MAX) return HDW_OK;
  uint32_t n = v.tag == VAL_OBJ ? v.len * 2 : v.len, step = v.tag == VAL_OBJ ? 2 : 1;
  hdw_status s = vm_charge(cx, n);
  for (uint32_t i = step - 1; !s && !*yes && i < n; i += step) s = holds(cx, v.u.v[i], node, depth + 1, yes);
  return s;
}

static const val *slot_of(val obj, const char *name) { return val_obj_get(obj, val_key(name, strlen(name))); }

/* Items of a member that is an array, or its one item. */
static uint32_t items_of(val obj, const char *name, const val **first) {
  const val *slot = slot_of(obj, name);
  *first = slot;
  if (!slot || slot->tag == VAL_NULL) return 0;
  if (slot->tag != VAL_LIST) return 1;
  *first = slot->u.v;
  return slot->len;
}

/* "#id" in a resource: one of its contained ones; "#": itself. */
static hdw_status resolve_contained(vm_cx *cx, val resource, const char *id, size_t len, val *out) {
  const val *c;
  if (len == 0) return *out = fhir_adopt(resource), HDW_OK;
  uint32_t n = items_of(resource, "contained", &c);
  hdw_status s = vm_charge(cx, n);
  for (uint32_t i = 0; !s && i < n; i++) {
    val have;
    if (c[i].tag != VAL_OBJ) continue;
    s = text_member(cx, c[i], "id", &have);
    if (!s && text_is(have, id, len)) return *out = fhir_adopt(c[i]), HDW_OK;
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
    if (text_is(url, w->s, w->len)) *fit = 3;
    hdw_status s = text_member(cx, resource, "url", &v); /* a canonical */
    if (s) return s;
    if (*fit == 0 && v.tag == VAL_STR && text_is(v, w->s, without_version(w->s, w->len))) *fit = 2;
  } else if (w->type) {
    hdw_status s = text_member(cx, resource, "resourceType", &v);
    if (s || !text_is(v, w->type, w->type_len)) return s;
    if (ends_with(url, w)) *fit = base.tag == VAL_STR && url.len == base.len + w->len && memcmp(url.u.s, base.u.s, base.len) == 0 ? 3 : 2;
    else if ((s = text_member(cx, resource, "id", &v))) return s;
    else if (text_is(v, w->id, w->id_len)) *fit = 1;
  }
  if (*fit && w->version) {
    const val *meta = slot_of(resource, "meta");
    v = VAL_NONE;
    hdw_status s = meta && meta->tag == VAL_OBJ ? text_member(cx, *meta, "versionId", &v) : HDW_OK;
    if (s) return s;
    if (v.tag == VAL_STR && !text_is(v, w->version, w->version_len)) *fit = 0;
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

static hdw_status resolve_in_bundle(vm_cx *cx, val bundle, val node, val text, val *out) {
  const val *e;
  uint32_t n = items_of(bundle, "entry", &e);
  hdw_status s = vm_charge(cx, n);
  bool local = text.u.s[0] == '#';
  wanted w = reference_of(text);
  val base = VAL_NONE;
  int best = 0;
  for (uint32_t i = 0; !s && i < n; i++) { /* where the reference stands */
    bool here = false;
    const val *r = e[i].tag == VAL_OBJ ? slot_of(e[i], "resource") : NULL;
    if (!r || r->tag != VAL_OBJ || (w.absolute && !local)) continue;
    if ((s = holds(cx, *r, node, 0, &here)) || !here) continue;
    if (local) return resolve_contained(cx, *r, text.u.s + 1, text.len - 1, out);
    if ((s = text_member(cx, e[i], "fullUrl", &base))) return s;
    base = base_of(base);
    break;
  }
  for (uint32_t i = 0; !s && !local && best < 3 && i < n; i++) {
    val url;
    int fit = 0;
    const val *r = e[i].tag == VAL_OBJ ? slot_of(e[i], "resource") : NULL;
    if (!r || r->tag != VAL_OBJ) continue;
    if (!(s = text_member(cx, e[i], "fullUrl", &url))) s = fitness(cx, url, *r, &w, base, &fit);
    if (fit > best) {
      best = fit;
      *out = fhir_adopt(*r);
    }
  }
  return s;
}

static hdw_status resolve_one(vm_cx *cx, val item, val root, val *out) {
  val text = item, node = item;
  *out = VAL_NONE;
  hdw_status s = HDW_OK;
  if (item.tag == VAL_OBJ && fhir_type_kind(item.aux) == FHIR_PRIMITIVE) s = fp_system(cx, item, &text);
  else if (item.tag == VAL_OBJ && slot_of(item, "resourceType")) return *out = fhir_adopt(item), HDW_OK;
  else if (item.tag == VAL_OBJ) s = text_member(cx, item, "reference", &text);
  if (s || text.tag != VAL_STR || text.len == 0) return s;
  if (root.tag == VAL_OBJ) root = fhir_adopt(root);
  if (root.tag != VAL_OBJ || !root.aux) return HDW_OK;
  if (root.aux == fhir_type("Bundle", 6)) return resolve_in_bundle(cx, root, node, text, out);
  return text.u.s[0] == '#' ? resolve_contained(cx, root, text.u.s + 1, text.len - 1, out) : HDW_OK;
}

/* args: references (or their texts); the resource or Bundle in which they are looked for. What is not there is left out. */
hdw_status fp_resolve(vm_cx *cx, const val *args, unsigned n, val *out) {
  val_builder b = {0};
  hdw_status s = HDW_OK;
  (void)n;
  for (uint32_t i = 0; !s && i < val_count(args[0]); i++) {
    val v;
    s = resolve_one(cx, val_item(args[0], i), val_count(args[1]) == 1 ? val_item(args[1], 0) : VAL_NONE, &v);
    if (!s) s = val_push(cx->a, &b, v);
  }
  *out = val_build(&b);
  return s;
}

/* ---- structures and value sets of the model */

/* Whether an item is built as its type asks. References are left to resolve(): where they lead depends on what is around the item. */
static hdw_status well_built(vm_cx *cx, val item, bool *yes) {
  fhir_report r = {0};
  *yes = true;
  if (item.tag != VAL_OBJ || fhir_type_kind(item.aux) == FHIR_PRIMITIVE) return HDW_OK;
  hdw_status s = vm_charge(cx, 1000);
  if (!s) s = slot_of(item, "resourceType") ? fhir_validate(cx->a, item, NULL, &r) : fhir_validate_part(cx->a, item, item.aux, NULL, &r);
  if (s) return s;
  uint32_t apart = 0;
  for (uint32_t i = 0; i < r.n; i++) apart += r.v[i].warning || r.v[i].rule == FHIR_RULE_REFERENCE || r.v[i].rule == FHIR_RULE_CONTAINED;
  *yes = apart == r.n && r.n == r.errors + r.warnings; /* with more problems than were kept it does not conform */
  return HDW_OK;
}

hdw_status fp_conforms_to(vm_cx *cx, const val *args, unsigned n, val *out) {
  val url;
  (void)n;
  *out = VAL_NONE;
  hdw_status s = fp_text(cx, args[1], "conformsTo()", &url);
  if (s || url.tag != VAL_STR || val_count(args[0]) == 0) return s;
  if (val_count(args[0]) > 1) return vm_fail(cx, HDW_E_CARD, "conformsTo() wants one item but got %u", val_count(args[0]));
  size_t len = without_version(url.u.s, url.len), head = sizeof HL7_STRUCTURES - 1;
  uint16_t want = len > head && memcmp(url.u.s, HL7_STRUCTURES, head) == 0 ? fhir_type(url.u.s + head, len - head) : 0;
  if (!want) return vm_fail(cx, HDW_E_NOTFOUND, "conformsTo() does not know the structure %.*s", (int)(len > 120 ? 120 : len), url.u.s);
  val item = val_item(args[0], 0);
  if (item.tag == VAL_OBJ && !item.aux) item = fhir_adopt(item);
  bool yes = false;
  s = fhir_model_is(cx, item, url.u.s + head, len - head, &yes);
  if (!s && yes) s = well_built(cx, item, &yes);
  *out = val_bool(yes);
  return s;
}

/* Set of a value set's address, or 0. */
static uint16_t set_of(val url) {
  size_t len = without_version(url.u.s, url.len);
  for (uint16_t i = 1; fhir_codes_count(i); i++)
    if (strlen(fhir_codes_url(i)) == len && memcmp(fhir_codes_url(i), url.u.s, len) == 0) return i;
  return 0;
}

/* 1 member, 0 not, -1 not known: the tables hold codes without their systems; those of FHIR's own sets have the address of the set. */
static int coding_in(uint16_t set, val code, val system) {
  if (code.tag != VAL_STR || !fhir_code_in(set, code.u.s, code.len)) return 0;
  if (system.tag != VAL_STR) return 1;
  const char *url = fhir_codes_url(set);
  size_t head = sizeof HL7_VALUESETS - 1;
  if (strncmp(url, HL7_VALUESETS, head) != 0) return -1;
  return system.len == 20 + strlen(url + head) && memcmp(system.u.s, "http://hl7.org/fhir/", 20) == 0 && memcmp(system.u.s + 20, url + head, system.len - 20) == 0 ? 1 : -1;
}

/* Code, system of an item that is a code, a Coding or one of a CodeableConcept. */
static hdw_status coding_of(vm_cx *cx, val item, val *code, val *system) {
  *system = VAL_NONE;
  if (item.tag == VAL_OBJ && fhir_type_kind(item.aux) != FHIR_PRIMITIVE) {
    hdw_status s = text_member(cx, item, "code", code);
    return s ? s : text_member(cx, item, "system", system);
  }
  return fp_one(cx, item, "memberOf()", code);
}

hdw_status fp_member_of(vm_cx *cx, const val *args, unsigned n, val *out) {
  val url;
  (void)n;
  *out = VAL_NONE;
  hdw_status s = fp_text(cx, args[1], "memberOf()", &url);
  if (s || url.tag != VAL_STR || val_count(args[0]) == 0) return s;
  if (val_count(args[0]) > 1) return vm_fail(cx, HDW_E_CARD, "memberOf() wants one item but got %u", val_count(args[0]));
  uint16_t set = set_of(url);
  if (!set) return HDW_OK;
  val item = val_item(args[0], 0);
  const val *c = &item;
  uint32_t count = item.tag == VAL_OBJ && slot_of(item, "coding") ? items_of(item, "coding", &c) : 1;
  int r = 0;
  for (uint32_t i = 0; !s && r != 1 && i < count; i++) {
    val code, system;
    s = coding_of(cx, c[i], &code, &system);
    int one = s ? 0 : coding_in(set, code, system);
    if (one) r = one;
  }
  if (!s && r >= 0) *out = val_bool(r == 1);
  return s;
}

/* The same code of the same system subsumes itself; more is not known without the code system. */
static hdw_status subsumption(vm_cx *cx, const val *args, const char *what, val *out) {
  *out = VAL_NONE;
  if (val_count(args[0]) > 1 || val_count(args[1]) > 1) return vm_fail(cx, HDW_E_CARD, "%s wants one item on each side", what);
  if (val_count(args[0]) == 0 || val_count(args[1]) == 0) return HDW_OK;
  val x = val_item(args[0], 0), y = val_item(args[1], 0);
  if (x.tag != VAL_OBJ || y.tag != VAL_OBJ) return fp_type_error(cx, what, x.tag != VAL_OBJ ? x : y);
  const val *p = &x, *q = &y;
  uint32_t np = slot_of(x, "coding") ? items_of(x, "coding", &p) : 1, nq = slot_of(y, "coding") ? items_of(y, "coding", &q) : 1;
  for (uint32_t i = 0; i < np; i++)
    for (uint32_t k = 0; k < nq; k++) {
      val c, d, cs, ds;
      hdw_status s = vm_charge(cx, 1);
      if (s || (s = coding_of(cx, p[i], &c, &cs)) || (s = coding_of(cx, q[k], &d, &ds))) return s;
      if (c.tag == VAL_STR && d.tag == VAL_STR && cs.tag == VAL_STR && ds.tag == VAL_STR && text_is(c, d.u.s, d.len) && text_is(cs, ds.u.s, ds.len)) return *out = val_bool(true), HDW_OK;
    }
  return HDW_OK;
}

hdw_status fp_subsumes(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, subsumption(cx, args, "subsumes()", out); }
hdw_status fp_subsumed_by(vm_cx *cx, const val *args, unsigned n, val *out) { return (void)n, subsumption(cx, args, "subsumedBy()", out); }

/* ---- checkModifiers(url, ...) */

hdw_status fp_check_modifiers(vm_cx *cx, const val *args, unsigned n, val *out) {
  *out = args[0];
  for (uint32_t i = 0; i < val_count(args[0]); i++) {
    val item = val_item(args[0], i);
    const val *x = NULL;
    uint32_t count = item.tag == VAL_OBJ ? items_of(item, "modifierExtension", &x) : 0;
    hdw_status s = vm_charge(cx, 1 + count);
    for (uint32_t k = 0; !s && k < count; k++) {
      val url = VAL_NONE;
      bool allowed = false;
      if (x[k].tag == VAL_OBJ) s = text_member(cx, x[k], "url", &url);
      for (unsigned a = 1; !s && a < n && !allowed; a++) {
        val want;
        s = fp_text(cx, args[a], "checkModifiers()", &want);
        allowed = !s && want.tag == VAL_STR && text_is(url, want.u.s, want.len);
      }
      if (!s && !allowed) return vm_fail(cx, HDW_E_DATA, "an element has the modifier extension %.*s, which changes what it means", url.tag == VAL_STR ? (int)(url.len > 120 ? 120 : url.len) : 1, url.tag == VAL_STR ? url.u.s : "?");
    }
    if (s) return s;
  }
  return HDW_OK;
}

/* ---- elementDefinition(): args: the items, name of the type, name of the element */

static hdw_status definition(vm_cx *cx, const char *owner, const fhir_element_info *e, val *out) {
  char path[160], max[8];
  int len = snprintf(path, sizeof path, "%s.%s%s", owner, e->name, e->choice ? "[x]" : "");
  snprintf(max, sizeof max, e->max ? "%u" : "*", e->max);
  val *kv = (val *)arena_alloc(cx->a, 8 * sizeof *kv), *types = (val *)arena_alloc(cx->a, (size_t)e->n_types * 3 * sizeof *types);
  char *text = (char *)arena_dup(cx->a, path, (size_t)len), *top = (char *)arena_dup(cx->a, max, strlen(max));
  if (!kv || !types || !text || !top) return HDW_E_NOMEM;
  for (unsigned i = 0; i < e->n_types; i++) {
    val *one = types + e->n_types + 2 * i;
    uint16_t t = e->types[i];
    one[0] = val_key("code", 4);
    one[1] = val_cstr(fhir_type_name(fhir_type_kind(t) == FHIR_BACKBONE ? fhir_type_base(t) : t));
    types[i] = (val){.tag = VAL_OBJ, .len = 1, .u.v = one};
  }
  kv[0] = val_key("path", 4);
  kv[1] = val_str(text, (size_t)len);
  kv[2] = val_key("min", 3);
  kv[3] = val_int(e->min);
  kv[4] = val_key("max", 3);
  kv[5] = val_cstr(top);
  kv[6] = val_key("type", 4);
  kv[7] = (val){.tag = VAL_LIST, .flags = VALF_ARRAY, .len = e->n_types, .u.v = types};
  *out = (val){.tag = VAL_OBJ, .aux = fhir_type("ElementDefinition", 17), .len = 4, .u.v = kv};
  return HDW_OK;
}

hdw_status fp_element_definition(vm_cx *cx, const val *args, unsigned n, val *out) {
  fhir_element_info e;
  val_builder b = {0};
  val one;
  (void)n;
  *out = VAL_NONE;
  if (args[1].tag != VAL_STR || args[2].tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "an element has a name");
  uint16_t owner = fhir_type(args[1].u.s, args[1].len);
  if (!fhir_element(owner, args[2].u.s, args[2].len, &e)) return HDW_OK;
  hdw_status s = definition(cx, fhir_type_name(owner), &e, &one);
  for (uint32_t i = 0; !s && i < val_count(args[0]); i++) s = val_push(cx->a, &b, one);
  *out = val_build(&b);
  return s;
}
