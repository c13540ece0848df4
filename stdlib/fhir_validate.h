/* fhir_validate.h - structural validation of a JSON resource against the R4 model.
 *
 * Looked at: members that the model does not know, cardinality, the kind of JSON and the form of primitives, codes of required bindings, one type
 * for each choice element, "_name" siblings and their lengths, empty objects and arrays, extensions (url, and either a value or extensions),
 * contained resources (no nesting, an id, referred to), references (form, target type, "#id" in contained, urn: in the bundle). With profiles:
 * what fhir_profile.h says. Not looked at: invariants (constraint.expression), codes of large or external code systems, the text of a narrative.
 *
 * Works on what json_read gives and on objects that a program built. Texts never hold clinical values; `value` does, for whoever may see it. */
#ifndef HDW_FHIR_VALIDATE_H
#define HDW_FHIR_VALIDATE_H
#include "fhir.h"

typedef enum fhir_rule {
  FHIR_RULE_RESOURCE = 1,   /* no resource, or of an unknown type */
  FHIR_RULE_UNKNOWN,        /* no such element */
  FHIR_RULE_REQUIRED,       /* a required element is missing */
  FHIR_RULE_CARDINALITY,    /* more values than allowed; an array where none is, or none where one is */
  FHIR_RULE_KIND,           /* another kind of JSON than the type wants */
  FHIR_RULE_FORMAT,         /* a primitive in the wrong form */
  FHIR_RULE_CODE,           /* no code of the required value set */
  FHIR_RULE_CHOICE,         /* two types of one choice element */
  FHIR_RULE_EMPTY,          /* an empty object, array or a null that stands for nothing */
  FHIR_RULE_EXTENSION,      /* without url, or with both or neither of value and extension */
  FHIR_RULE_REFERENCE,      /* malformed, dangling, or to a type that the element does not allow */
  FHIR_RULE_CONTAINED,      /* nested, without id, or nobody refers to it */
  FHIR_RULE_PROFILE,        /* a profile asks for more */
  FHIR_RULE_DEPTH,          /* nested too deeply to look at */
  FHIR_RULE_COUNT
} fhir_rule;
const char *fhir_rule_name(fhir_rule r); /* "unknown-element", "required" ... */

typedef struct fhir_problem {
  fhir_rule rule;
  bool warning;
  const char *path;         /* Patient.contact[0].name.family, as in JSON; NUL-terminated */
  const char *text;         /* English, without clinical values */
  const char *at;           /* a byte of the JSON text near it, or NULL when the object was not read from one */
  val value;                /* the offending primitive, VAL_EMPTY when there is none: clinical */
} fhir_problem;

typedef struct fhir_validate_opts {
  uint32_t max;             /* problems kept; 0 = 100 */
  const char *text;         /* the text that was read, for `at`; NULL */
  size_t len;
  int64_t *fuel;            /* paid for what is looked at; NULL: by nobody. Below 0 all ends with HDW_E_FUEL */
} fhir_validate_opts;

typedef struct fhir_report {
  fhir_problem *v;
  uint32_t n;               /* kept */
  uint32_t errors, warnings; /* all, kept or not */
} fhir_report;

/* HDW_E_NOMEM, HDW_E_FUEL; more than 100 levels, like all problems, are no failure. opts may be NULL.
 * Everything allocated is in a. Time is linear in the resource but for contained resources, which are searched once for each "#id". */
hdw_status fhir_validate(arena *a, val resource, const fhir_validate_opts *opts, fhir_report *out);

/* The same for an object of a data type or backbone element on its own: what "#id" refers to is not there, so such references are problems. */
hdw_status fhir_validate_part(arena *a, val obj, uint16_t type, const fhir_validate_opts *opts, fhir_report *out);

/* Whether an item is built as its type asks; true for what is no object. References are left to resolve(): where they lead depends on what is around the
 * item. Charges fuel. (fp_fhir.c) */
hdw_status fhir_well_built(vm_cx *cx, val item, bool *yes);

#endif
