#include "model.h"
#include <string.h>
#include "dict.h"
#include "fhir.h"
#include "hl7.h"

static hdw_status model_member(vm_cx *cx, val item, val key, val *out) {
  return item.tag == VAL_HL7 ? hl7_model_member(cx, item, key, out) : fhir_model_member(cx, item, key, out); /* lists too */
}

static bool is_hl7_name(const char *type, size_t len) {
  if (len > 4 && memcmp(type, "HL7.", 4) == 0) return true;
  return dict_segment(type, len) >= 0 || dict_message(type, len) >= 0;
}

static hdw_status model_is_type(vm_cx *cx, val item, const char *type, size_t len, bool *out) {
  *out = false;
  if (item.tag == VAL_HL7) {
    hdw_status s = hl7_model_is_type(cx, item, type, len, out);
    if (s != HDW_E_NOTFOUND) return s;
  }
  hdw_status s = fhir_model_is(cx, item, type, len, out);
  return s == HDW_E_NOTFOUND && is_hl7_name(type, len) ? HDW_OK : s;
}

static hdw_status model_to_system(vm_cx *cx, val item, val *out) {
  return item.tag == VAL_HL7 ? hl7_model_to_system(cx, item, out) : fhir_model_system(cx, item, out);
}

const vm_model hdw_model = {.member = model_member, .is_type = model_is_type, .to_system = model_to_system};
