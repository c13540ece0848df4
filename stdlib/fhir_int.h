/* fhir_int.h - inside the FHIR model: the one look-up that walking typed JSON needs, and type names resolved once for many items. */
#ifndef HDW_FHIR_INT_H
#define HDW_FHIR_INT_H
#include "fhir.h"

/* What a member of a typed object is: a row of the generated table. */
enum { FHIR_MEMBER_TYPED = 1, /* the name is one of a choice element's members ("valueQuantity"): none that a path may say */
       FHIR_MEMBER_CHOICE = 2, /* the name is a choice element's own, which is no member; type is its first one */
       FHIR_MEMBER_OPEN = 4 }; /* a resource of any type: takes the type that it names */
typedef struct fhir_member {
  uint32_t name;
  uint16_t owner;        /* type of the object */
  uint16_t element;      /* which element it belongs to, from 1: the same for all members of a choice element; 0 = a free row */
  uint16_t type;         /* of its values */
  uint8_t kind, system;  /* fhir_kind and fhir_system of type */
  uint8_t flags, name_len;
} fhir_member;
/* key is a VAL_STR with its hash in aux (val_key). Constant time, inherited elements included. NULL when the type has no such member. */
const fhir_member *fhir_member_of(uint16_t type, val key);
/* Whether the element of that member occurs at most once. */
bool fhir_member_single(const fhir_member *m);
const char *fhir_member_name(const fhir_member *m); /* as it stands in JSON: constant data */

/* fhir_model_member of every item of a VAL_LIST, flattened; items that are no objects give nothing. */
hdw_status fhir_model_members(vm_cx *cx, val list, val key, val *out);

/* A type name as is, as and ofType take it. */
typedef struct fhir_want {
  uint16_t type;         /* FHIR type, 0 = there is none of that name */
  uint8_t system;        /* 0 = no System type of that name, 1 = any, else the tag of its values + 1 */
  bool only_system, only_fhir; /* qualified */
} fhir_want;
void fhir_want_of(const char *name, size_t len, fhir_want *out);
/* HDW_E_NOTFOUND when the name means nothing for this item. */
hdw_status fhir_want_is(const fhir_want *w, val item, bool *out);

#endif
