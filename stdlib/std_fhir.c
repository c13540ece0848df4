/* std_fhir.c - natives over the FHIR model that are no part of FHIRPath. */
#include <string.h>
#include "fhir_validate.h"
#include "std_int.h"

hdw_status std_validate(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_fhir_quantity(vm_cx *cx, const val *args, unsigned n, val *out);

static val text_of(const char *s) { return val_str(s, strlen(s)); }

/* An object of the first n of those members. */
static hdw_status object_of(arena *a, const char *const *names, const val *values, uint32_t n, uint16_t type, val *out) {
  val *kv = arena_alloc(a, 2 * n * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < n; i++) {
    kv[2 * i] = val_key(names[i], strlen(names[i]));
    kv[2 * i + 1] = values[i];
  }
  *out = (val){.tag = VAL_OBJ, .aux = type, .len = n, .u.v = kv};
  return HDW_OK;
}

/* One problem as {severity, rule, path, text}. */
static hdw_status problem_object(arena *a, const fhir_problem *p, val *out) {
  static const char *const names[] = {"severity", "rule", "path", "text"};
  const val values[] = {text_of(p->warning ? "warning" : "error"), text_of(fhir_rule_name(p->rule)), text_of(p->path), text_of(p->text)};
  return object_of(a, names, values, 4, 0, out);
}

hdw_status std_report(arena *a, val_builder *b, const fhir_report *r) {
  hdw_status s = HDW_OK;
  for (uint32_t k = 0; s == HDW_OK && k < r->n; k++) {
    val v;
    s = problem_object(a, &r->v[k], &v);
    if (s == HDW_OK) s = val_push(a, b, v);
  }
  return s;
}

/* args[1], a profile: only of another than the program's is left here. */
hdw_status std_validate(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  if (args[1].tag != VAL_EMPTY) return vm_fail(cx, HDW_E_NOTFOUND, "validate() knows the profiles that the program declares: profile core = structure('file.json')");
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; s == HDW_OK && i < val_count(args[0]); i++) {
    fhir_report r;
    const fhir_validate_opts o = {.fuel = &cx->fuel};
    if ((s = vm_charge(cx, 1000)) || (s = fhir_validate(cx->a, val_item(args[0], i), &o, &r))) break;
    s = std_report(cx->a, &b, &r);
  }
  if (s == HDW_OK) *out = val_build(&b);
  return s;
}

/* 5 'mg' -> {value, unit, system, code}; a calendar unit has no code. */
static hdw_status quantity_object(arena *a, val v, val *out) {
  const val_quantity *q = (const val_quantity *)v.u.p;
  bool calendar = v.flags & VALF_CALENDAR;
  val number;
  hdw_status s = val_from_dec(a, &q->value, &number);
  if (s) return s;
  const val unit = val_str(q->unit, q->unit_len), values[] = {number, unit, val_cstr("http://unitsofmeasure.org"), unit};
  static const char *const names[] = {"value", "unit", "system", "code"};
  return object_of(a, names, values, calendar ? 2 : 4, fhir_type("Quantity", 8), out);
}

hdw_status std_fhir_quantity(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; s == HDW_OK && i < val_count(args[0]); i++) {
    val v = val_item(args[0], i);
    if (v.tag == VAL_QTY) s = quantity_object(cx->a, v, &v);
    if (s == HDW_OK) s = val_push(cx->a, &b, v);
  }
  if (s == HDW_OK) *out = val_build(&b);
  return s;
}
