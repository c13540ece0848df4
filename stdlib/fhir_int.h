/* fhir_int.h - inside the FHIR model: the one look-up that walking typed JSON needs, and type names resolved once for many items. */
#ifndef HDW_FHIR_INT_H
#define HDW_FHIR_INT_H
#include "fhir.h"

/* What a member of a typed object is. */
typedef struct fhir_member {
  uint16_t type;         /* of its values; for a member of a choice element ("valueQuantity") the one that its name says */
  uint16_t element;      /* which element it belongs to: the same for all members of a choice element */
  uint8_t kind, system;  /* fhir_kind and fhir_system of type */
  uint8_t name_len;      /* of the element's name */
  bool typed;            /* the key is a member of a choice element: no name that a path may say */
  bool choice;           /* the key is the name of a choice element, which is no member itself */
  bool open;             /* a resource of any type: takes the type that it names */
} fhir_member;
/* key is a VAL_STR with its hash in aux (val_key). Constant time, inherited elements included. */
bool fhir_member_of(uint16_t type, val key, fhir_member *out);

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
