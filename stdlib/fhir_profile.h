/* fhir_profile.h - profiles: a StructureDefinition that constrains a type of FHIR R4, and values checked against it.
 *
 * Its elements become a tree of rules. Looked at: minimum and maximum, fixed and pattern values, the types that a choice element keeps, codes of
 * required bindings whose value set is known here, and slices: which one an item belongs to is said by discriminators of kind value, pattern, type
 * and exists (paths of element names, $this and extension('url')). An item of which that cannot be decided (discriminators by profile or through
 * references) counts for no slice, and then neither the slices' minimum nor "closed" is judged. Not looked at: invariants, profiles of
 * the targets of references and of extensions, whether the value fits FHIR itself (fhir_validate.h).
 *
 *                    Patient                                    a node for each element that the profile speaks of
 *                       |
 *          identifier 1..*  (sliced by value of system)
 *             |        \__ slices: mrn 1..1 --- system = 'urn:a'  (its own children)
 *           value 1..1
 */
#ifndef HDW_FHIR_PROFILE_H
#define HDW_FHIR_PROFILE_H
#include "fhir_validate.h"

enum { FHIR_PROFILE_MANY = 0xffff, FHIR_PROFILE_ELEMENTS = 5000, FHIR_PROFILE_DEPTH = 40 };

typedef struct fhir_pnode {
  const char *name, *slice;         /* element, "value" of value[x]; name of the slice, NULL for the element itself. Not NUL-terminated */
  uint32_t name_len, slice_len;
  uint16_t min, max;                /* 0 and FHIR_PROFILE_MANY when the profile does not say */
  uint16_t codes;                   /* set of a required binding, 0 = none or not known */
  uint16_t owner;                   /* type that has the element, 0 = not known */
  bool sliced, closed;
  bool speaks;                      /* there is an element of the profile for it; without, it only leads to others */
  val fixed, pattern, types, discriminators; /* as in the document, types a list of {code, profile}; VAL_EMPTY for none */
  struct fhir_pnode *child, *slices, *next;
  struct fhir_pnode *recent;        /* while the tree is built: the slice that was introduced last */
  struct fhir_pnode *whole;         /* of a slice: the element, whose rules hold, too */
} fhir_pnode;

typedef struct fhir_profile {
  val url, name;                    /* VAL_STR or VAL_EMPTY */
  uint16_t type;
  fhir_pnode root;
} fhir_profile;

/* From the document: its snapshot, else its differential. Everything is in a and in the document, which must stay. HDW_E_DATA with *why (constant, may
 * be NULL) when it is no such document, HDW_E_LIMIT for more than FHIR_PROFILE_ELEMENTS elements, HDW_E_NOMEM. */
hdw_status fhir_profile_read(arena *a, val doc, fhir_profile *out, const char **why);
/* The same document with only what fhir_profile_read takes and R4 does not say anyway, normalised, so that it can be a constant of a module. */
hdw_status fhir_profile_trim(arena *a, val doc, val *out);
/* The rules for an element below n (of the element itself, not of a slice), or NULL. */
const fhir_pnode *fhir_profile_child(const fhir_pnode *n, const char *name, size_t len);
/* The slice of that name, or NULL. */
const fhir_pnode *fhir_profile_named(const fhir_pnode *n, const char *slice, size_t len);
/* The url by which a slice of extension is known: of its fixed url, or of its definition. */
bool fhir_profile_extension(const fhir_pnode *slice, val *url);
/* The node that a path of names leads to, slices behind ':' ("component:systolic.value"), or NULL. */
const fhir_pnode *fhir_profile_at(const fhir_profile *p, const char *path, size_t len);

/* Checks one value against the tree; each problem has FHIR_RULE_PROFILE. opts may be NULL. Charges fuel; other failures than
 * HDW_E_NOMEM and HDW_E_FUEL are problems, too. A value that is not of the profile's type is one problem. */
hdw_status fhir_profile_check(vm_cx *cx, const fhir_profile *p, val item, const fhir_validate_opts *opts, fhir_report *out);
/* Which slice of n an item belongs to; NULL for none or when it cannot be decided (*unknown). */
hdw_status fhir_profile_slice(vm_cx *cx, const fhir_pnode *n, val item, const fhir_pnode **out, bool *unknown);

#endif
