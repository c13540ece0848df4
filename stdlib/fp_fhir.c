/* What the FHIR R4 specification adds to FHIRPath, as far as it can be decided without asking a server: value sets and structures of the model, modifier
 * extensions. References: fp_resolve.c. */
#include "fhir_validate.h"
#include "fp_fhir.h"
#include "model.h"
#include <stdio.h>

static const char HL7_STRUCTURES[] = "http://hl7.org/fhir/StructureDefinition/";

hdw_status fp_member_text(vm_cx *cx, val obj, const char *name, val *out) {
  const val *slot = val_obj_get(obj, val_key(name, strlen(name)));
  *out = VAL_NONE;
  if (!slot) return HDW_OK;
  hdw_status s = val_norm(cx->a, *slot, out);
  if (out->tag != VAL_STR) *out = VAL_NONE;
  return s;
}

/* ---- structures and value sets of the model */

hdw_status fhir_well_built(vm_cx *cx, val item, bool *yes) {
  fhir_report r = {0};
  *yes = true;
  if (item.tag != VAL_OBJ || fhir_type_kind(item.aux) == FHIR_PRIMITIVE) return HDW_OK;
  hdw_status s = vm_charge(cx, 1000);
  const fhir_validate_opts o = {.fuel = &cx->fuel};
  if (!s) s = fp_slot(item, "resourceType") ? fhir_validate(cx->a, item, &o, &r) : fhir_validate_part(cx->a, item, item.aux, &o, &r);
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
  size_t len = fp_without_version(url.u.s, url.len), head = sizeof HL7_STRUCTURES - 1;
  uint16_t want = len > head && memcmp(url.u.s, HL7_STRUCTURES, head) == 0 ? fhir_type(url.u.s + head, len - head) : 0;
  if (!want) return vm_fail(cx, HDW_E_NOTFOUND, "conformsTo() does not know the structure %.*s", (int)(len > 120 ? 120 : len), url.u.s);
  val item = val_item(args[0], 0);
  if (item.tag == VAL_OBJ && !item.aux) item = fhir_adopt(item);
  bool yes = false;
  s = fhir_model_is(cx, item, url.u.s + head, len - head, &yes);
  if (!s && yes) s = fhir_well_built(cx, item, &yes);
  *out = val_bool(yes);
  return s;
}

/* Set of a value set's address, or 0. */
static uint16_t set_of(val url) {
  return fhir_codes_named(url.u.s, fp_without_version(url.u.s, url.len));
}

static bool coding_in(uint16_t set, val code, val system) {
  if (code.tag != VAL_STR) return false;
  return system.tag == VAL_STR ? fhir_coding_in(set, system.u.s, system.len, code.u.s, code.len) : fhir_code_in(set, code.u.s, code.len);
}

/* Code, system of an item that is a code, a Coding or one of a CodeableConcept. */
static hdw_status coding_of(vm_cx *cx, val item, val *code, val *system) {
  *system = VAL_NONE;
  if (item.tag == VAL_OBJ && fhir_type_kind(item.aux) != FHIR_PRIMITIVE) {
    hdw_status s = fp_member_text(cx, item, "code", code);
    return s ? s : fp_member_text(cx, item, "system", system);
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
  uint32_t count = item.tag == VAL_OBJ && fp_slot(item, "coding") ? fp_items(item, "coding", &c) : 1;
  bool yes = false;
  for (uint32_t i = 0; !s && !yes && i < count; i++) {
    val code, system;
    s = coding_of(cx, c[i], &code, &system);
    yes = !s && coding_in(set, code, system);
  }
  if (!s) *out = val_bool(yes);
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
  uint32_t np = fp_slot(x, "coding") ? fp_items(x, "coding", &p) : 1, nq = fp_slot(y, "coding") ? fp_items(y, "coding", &q) : 1;
  for (uint32_t i = 0; i < np; i++)
    for (uint32_t k = 0; k < nq; k++) {
      val c, d, cs, ds;
      hdw_status s = vm_charge(cx, 1);
      if (s || (s = coding_of(cx, p[i], &c, &cs)) || (s = coding_of(cx, q[k], &d, &ds))) return s;
      if (c.tag == VAL_STR && d.tag == VAL_STR && cs.tag == VAL_STR && ds.tag == VAL_STR && fp_text_is(c, d.u.s, d.len) && fp_text_is(cs, ds.u.s, ds.len)) return *out = val_bool(true), HDW_OK;
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
    uint32_t count = item.tag == VAL_OBJ ? fp_items(item, "modifierExtension", &x) : 0;
    hdw_status s = vm_charge(cx, 1 + count);
    for (uint32_t k = 0; !s && k < count; k++) {
      val url = VAL_NONE;
      bool allowed = false;
      if (x[k].tag == VAL_OBJ) s = fp_member_text(cx, x[k], "url", &url);
      for (unsigned a = 1; !s && a < n && !allowed; a++) {
        val want;
        s = fp_text(cx, args[a], "checkModifiers()", &want);
        allowed = !s && want.tag == VAL_STR && fp_text_is(url, want.u.s, want.len);
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
