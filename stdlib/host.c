#include "host.h"
#include "fhir.h"
#include "fp_int.h"
#include "hl7.h"
#include "natives.inc"
#include "std_int.h"
#include <string.h>

static const vm_native ops[OP_COUNT] = {
    [OP_ADD] = fp_add, [OP_SUB] = fp_sub, [OP_MUL] = fp_mul, [OP_DIV] = fp_div, [OP_IDIV] = fp_idiv, [OP_MOD] = fp_mod, [OP_CONCAT] = fp_concat,
    [OP_NEG] = fp_neg, [OP_EQ] = fp_eq, [OP_NE] = fp_ne, [OP_EQV] = fp_equiv, [OP_NEQV] = fp_nequiv, [OP_LT] = fp_lt, [OP_LE] = fp_le, [OP_GT] = fp_gt,
    [OP_GE] = fp_ge, [OP_IN] = fp_in, [OP_HAS] = fp_contains_item, [OP_UNION] = fp_union, [OP_TEXT] = std_text};

/* Names of types only: what an unknown resourceType says is content. */
static const char *kind_of(val v) {
  if (v.tag == VAL_OBJ && !v.aux) v = fhir_adopt(v);
  if (v.tag == VAL_OBJ) return v.aux ? fhir_type_name(v.aux) : "JSON object";
  switch (v.tag) {
    case VAL_BOOL: return "boolean";
    case VAL_INT: return "integer";
    case VAL_LONG: return "long";
    case VAL_DEC: return "decimal";
    case VAL_NUM: return "number";
    case VAL_STR: case VAL_TPL: return "string";
    case VAL_DATE: return "date";
    case VAL_DATETIME: return "dateTime";
    case VAL_TIME: return "time";
    case VAL_QTY: return "quantity";
    case VAL_BIN: return "binary";
    case VAL_LIST: return "JSON array";
    case VAL_HL7: return "HL7 value";
    case VAL_NULL: return "JSON null";
    default: return NULL;
  }
}

static const vm_host host = {.natives = natives, .nnatives = sizeof natives / sizeof *natives, .ops = ops, .convert = host_convert, .kind = kind_of};

const vm_host *host_get(void) { return &host; }

static bool is(const char *type, size_t len, const char *name) { return strlen(name) == len && memcmp(type, name, len) == 0; }

/* A document's own form: raw numbers and escapes resolved, FHIR primitives with extensions reduced to their value. */
static hdw_status plain(vm_cx *cx, val v, val *out) {
  if (!val_is_norm(v)) { hdw_status s = val_norm(cx->a, v, &v); if (s) return s; }
  if (v.tag == VAL_OBJ && v.aux && cx->model && cx->model->to_system && fhir_type_kind(v.aux) == FHIR_PRIMITIVE) return cx->model->to_system(cx, v, out);
  *out = v;
  return HDW_OK;
}

/* HL7 values convert by target type; what does not convert is empty (SEMANTICS 7). */
static hdw_status from_hl7(vm_cx *cx, val v, const char *type, size_t len, val *out) {
  const hl7_node *n = hl7_of(v);
  if (is(type, len, "any") || is(type, len, "hl7")) { *out = v; return HDW_OK; }
  if (is(type, len, "message")) { *out = v; return n->level == HL7_MSG ? HDW_OK : HDW_E_DATA; }
  if (is(type, len, "segment")) { *out = v; return n->level == HL7_SEG ? HDW_OK : HDW_E_DATA; }
  static const struct { const char *type; vm_native f; } by[] = {{"string", hl7_to_string}, {"date", hl7_to_date}, {"dateTime", hl7_to_datetime}, {"time", hl7_to_time},
    {"decimal", hl7_to_decimal}, {"integer", hl7_to_int}, {"long", hl7_to_int}, {"boolean", hl7_to_bool}, {"quantity", hl7_to_decimal}};
  for (size_t i = 0; i < sizeof by / sizeof *by; i++)
    if (is(type, len, by[i].type)) return by[i].f(cx, &v, 1, out);
  return HDW_E_DATA;
}

static hdw_status to_time(vm_cx *cx, val v, val_tag tag, val *out) {
  (void)cx;
  tm_val t;
  if (v.tag == tag) { *out = v; return HDW_OK; }
  if (v.tag == VAL_DATE && tag == VAL_DATETIME) { t = val_get_time(v); *out = val_from_time(VAL_DATETIME, &t); return HDW_OK; }
  if (v.tag != VAL_STR) return HDW_E_DATA;
  hdw_status s = tag == VAL_DATE ? tm_parse_date(v.u.s, v.len, &t) : tag == VAL_TIME ? tm_parse_time(v.u.s, v.len, &t) : tm_parse_datetime(v.u.s, v.len, &t);
  if (s) return HDW_E_DATA;
  *out = val_from_time(tag, &t);
  return HDW_OK;
}

static hdw_status to_fhir(val v, const char *name, size_t len, val *out) {
  uint16_t want = fhir_type(name, len);
  if (v.tag != VAL_OBJ || !want) return HDW_E_DATA;
  if (!v.aux) v = fhir_adopt(v);
  if (!v.aux && fhir_type_kind(want) != FHIR_RESOURCE && !fhir_type_abstract(want)) v = fhir_as(v, want);
  *out = v;
  return v.aux && fhir_is_a(v.aux, want) ? HDW_OK : HDW_E_DATA;
}

hdw_status host_convert(vm_cx *cx, val item, const char *type, size_t len, val *out) {
  val v;
  if (item.tag == VAL_HL7) return from_hl7(cx, item, type, len, out);
  if (len > 5 && memcmp(type, "FHIR.", 5) == 0) return to_fhir(item, type + 5, len - 5, out);
  if (is(type, len, "any")) { *out = item; return HDW_OK; }
  hdw_status s = plain(cx, item, &v);
  if (s) return s;
  *out = v;
  if (v.tag == VAL_EMPTY) return HDW_OK;
  if (is(type, len, "string")) {
    if (v.tag == VAL_TPL) return std_text(cx, &v, 1, out);
    return v.tag == VAL_STR ? HDW_OK : HDW_E_DATA;
  }
  if (is(type, len, "boolean")) return v.tag == VAL_BOOL ? HDW_OK : HDW_E_DATA;
  if (is(type, len, "integer")) return v.tag == VAL_INT ? HDW_OK : HDW_E_DATA;
  if (is(type, len, "long")) { if (v.tag == VAL_INT) out->tag = VAL_LONG; return v.tag == VAL_INT || v.tag == VAL_LONG ? HDW_OK : HDW_E_DATA; }
  if (is(type, len, "decimal")) {
    if (v.tag == VAL_DEC) return HDW_OK;
    if (v.tag != VAL_INT && v.tag != VAL_LONG) return HDW_E_DATA;
    dec d = dec_from_i64(v.u.i);
    return val_from_dec(cx->a, &d, out);
  }
  if (is(type, len, "date")) return to_time(cx, v, VAL_DATE, out);
  if (is(type, len, "dateTime")) return to_time(cx, v, VAL_DATETIME, out);
  if (is(type, len, "time")) return to_time(cx, v, VAL_TIME, out);
  if (is(type, len, "quantity")) return v.tag == VAL_QTY ? HDW_OK : v.tag == VAL_OBJ ? (fp_quantity_of(cx, v, out) ? HDW_E_DATA : HDW_OK) : HDW_E_DATA;
  if (is(type, len, "binary")) return v.tag == VAL_BIN ? HDW_OK : HDW_E_DATA;
  if (is(type, len, "object")) return v.tag == VAL_OBJ ? HDW_OK : HDW_E_DATA;
  return HDW_E_DATA;
}
