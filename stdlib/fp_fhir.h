/* fp_fhir.h - what fp_fhir.c and fp_resolve.c share: members of resources as they come from JSON. */
#ifndef HDW_FP_FHIR_H
#define HDW_FP_FHIR_H
#include "fp_int.h"
#include <string.h>

/* A member as text without escapes; VAL_EMPTY when there is none. */
hdw_status fp_member_text(vm_cx *cx, val obj, const char *name, val *out);

static inline const val *fp_slot(val obj, const char *name) { return val_obj_get(obj, val_key(name, strlen(name))); }

/* Items of a member that is an array, or its one item. */
static inline uint32_t fp_items(val obj, const char *name, const val **first) {
  const val *slot = *first = fp_slot(obj, name);
  if (!slot || slot->tag == VAL_NULL) return 0;
  if (slot->tag != VAL_LIST) return 1;
  *first = slot->u.v;
  return slot->len;
}

static inline bool fp_text_is(val v, const char *s, size_t len) { return v.tag == VAL_STR && v.len == len && memcmp(v.u.s, s, len) == 0; }

/* Length of a canonical without "|version". */
static inline size_t fp_without_version(const char *s, size_t len) {
  const char *bar = len ? (const char *)memchr(s, '|', len) : NULL;
  return bar ? (size_t)(bar - s) : len;
}

#endif
