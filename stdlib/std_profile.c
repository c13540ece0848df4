/* std_profile.c - natives over profiles. A profile is a constant of the module: what fhir_profile_trim gives of its StructureDefinition. */
#include <string.h>
#include "fhir_profile.h"
#include "std_int.h"

hdw_status std_profile(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_conforms(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_conforming(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_problems(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_slice(vm_cx *cx, const val *args, unsigned n, val *out);

/* Reading costs the same for one item as for many. */
static hdw_status read_rules(vm_cx *cx, val rules, fhir_profile *p) {
  const val *s = rules.tag == VAL_OBJ ? val_obj_get(rules, val_key("snapshot", 8)) : NULL, *list = s && s->tag == VAL_OBJ ? val_obj_get(*s, val_key("element", 7)) : NULL;
  hdw_status st = vm_charge(cx, 50 + (list && list->tag == VAL_LIST ? 20 * (size_t)list->len : 0));
  if (!st) st = fhir_profile_read(cx->a, rules, p, NULL);
  return st == HDW_E_DATA ? vm_fail(cx, st, "the profile cannot be read") : st;
}

static int text_len(val v, uint32_t max) { return v.tag != VAL_STR ? 0 : v.len > max ? (int)max : (int)v.len; }

hdw_status std_profile(vm_cx *cx, const val *args, unsigned n, val *out) {
  fhir_profile p;
  (void)n;
  *out = args[0];
  uint32_t count = val_count(args[0]);
  hdw_status s = count ? read_rules(cx, args[1], &p) : HDW_OK;
  for (uint32_t i = 0; !s && i < count; i++) {
    fhir_report r;
    s = fhir_profile_check(cx, &p, val_item(args[0], i), &(fhir_validate_opts){.max = 1}, &r);
    if (s || !r.n) continue;
    return vm_fail(cx, HDW_E_DATA, "%.*s: %s: %s (from %.*s)", text_len(args[2], 60), args[2].u.s, r.v[0].path, r.v[0].text, text_len(args[3], 80), args[3].u.s);
  }
  return s;
}

hdw_status std_conforms(vm_cx *cx, const val *args, unsigned n, val *out) {
  fhir_profile p;
  fhir_report r;
  bool yes = true;
  (void)n;
  *out = VAL_NONE;
  if (val_count(args[0]) == 0) return HDW_OK;
  if (val_count(args[0]) > 1) return vm_fail(cx, HDW_E_CARD, "conformsTo() wants one item but got %u", val_count(args[0]));
  val item = val_item(args[0], 0);
  if (item.tag == VAL_OBJ && !item.aux) item = fhir_adopt(item);
  hdw_status s = read_rules(cx, args[1], &p);
  if (!s) s = fhir_well_built(cx, item, &yes);
  if (!s && yes) {
    s = fhir_profile_check(cx, &p, item, &(fhir_validate_opts){.max = 1}, &r);
    yes = s || !r.n;
  }
  *out = val_bool(yes);
  return s;
}

hdw_status std_conforming(vm_cx *cx, const val *args, unsigned n, val *out) {
  fhir_profile p;
  val_builder b = {0};
  (void)n;
  *out = VAL_NONE;
  uint32_t count = val_count(args[0]);
  hdw_status s = count ? read_rules(cx, args[1], &p) : HDW_OK;
  for (uint32_t i = 0; !s && i < count; i++) {
    fhir_report r;
    val item = val_item(args[0], i);
    if (item.tag == VAL_OBJ && !item.aux) item = fhir_adopt(item);
    s = fhir_profile_check(cx, &p, item, &(fhir_validate_opts){.max = 1}, &r);
    if (!s && !r.n) s = val_push(cx->a, &b, item);
  }
  if (!s) *out = val_build(&b);
  return s;
}

hdw_status std_problems(vm_cx *cx, const val *args, unsigned n, val *out) {
  fhir_profile p;
  val_builder b = {0};
  (void)n;
  *out = VAL_NONE;
  uint32_t count = val_count(args[0]);
  hdw_status s = count ? read_rules(cx, args[1], &p) : HDW_OK;
  for (uint32_t i = 0; !s && i < count; i++) {
    fhir_report r;
    val item = val_item(args[0], i);
    const fhir_validate_opts o = {.fuel = &cx->fuel};
    if ((s = vm_charge(cx, 1000)) || (s = fhir_validate(cx->a, item, &o, &r)) || (s = std_report(cx->a, &b, &r))) break;
    if (!(s = fhir_profile_check(cx, &p, item, NULL, &r))) s = std_report(cx->a, &b, &r);
  }
  if (!s) *out = val_build(&b);
  return s;
}

hdw_status std_slice(vm_cx *cx, const val *args, unsigned n, val *out) {
  fhir_profile p;
  val_builder b = {0};
  (void)n;
  *out = VAL_NONE;
  if (args[2].tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "no slice");
  uint32_t count = val_count(args[0]);
  hdw_status s = count ? read_rules(cx, args[1], &p) : HDW_OK;
  const fhir_pnode *slice = count && !s ? fhir_profile_at(&p, args[2].u.s, args[2].len) : NULL;
  for (uint32_t i = 0; !s && slice && slice->whole && i < count; i++) {
    const fhir_pnode *in;
    bool unknown;
    s = vm_charge(cx, 20);
    if (!s) s = fhir_profile_slice(cx, slice->whole, val_item(args[0], i), &in, &unknown);
    if (!s && in == slice) s = val_push(cx->a, &b, val_item(args[0], i));
  }
  if (!s) *out = val_build(&b);
  return s;
}
