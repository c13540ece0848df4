/* fhir.h - the FHIR R4 (4.0.1) model: types, elements, choice types, search parameters, operations, code sets; and how typed JSON is walked.
 *
 * A type id is 1 .. fhir_type_count(); 0 is "no such type". Ids cover primitive types (code), data types (HumanName), resources (Patient), the abstract
 * ones (Element, BackboneElement, Resource, DomainResource) and every anonymous structure inside them under its path
 * ("Patient.contact", "Timing.repeat"). Ids are stable within one build only: never store them.
 *
 * Constant data generated at build time from grammar/data/fhir-r4 (CC0). Look-ups do not allocate and do not fail; strings that come out are
 * NUL-terminated and live for ever; names that go in need no NUL.
 *
 * Values: a JSON object becomes typed by fhir_adopt, which puts the type id of its resourceType in aux. Members of a typed object come out typed by
 * fhir_model_member: objects get their type id, primitives become System values that keep the FHIR type in aux (a birthDate is a
 * VAL_DATE with aux = date). Nothing is converted before it is asked for. */
#ifndef HDW_FHIR_H
#define HDW_FHIR_H
#include "native.h"
#include "nearest.h"

/* ---- Types. */
typedef enum fhir_kind { FHIR_NONE = 0, FHIR_PRIMITIVE, FHIR_COMPLEX, FHIR_RESOURCE, FHIR_BACKBONE } fhir_kind;
/* System type of a primitive's value. */
typedef enum fhir_system {
  FHIR_SYS_NONE = 0, FHIR_SYS_BOOLEAN, FHIR_SYS_STRING, FHIR_SYS_INTEGER, FHIR_SYS_DECIMAL, FHIR_SYS_DATE, FHIR_SYS_DATETIME, FHIR_SYS_TIME
} fhir_system;

uint16_t fhir_type_count(void);
uint16_t fhir_type(const char *name, size_t len);       /* "Patient", "code", "Patient.contact" */
const char *fhir_type_name(uint16_t type);              /* "" for 0 */
fhir_kind fhir_type_kind(uint16_t type);
uint16_t fhir_type_base(uint16_t type);                 /* Patient -> DomainResource -> Resource -> 0 */
bool fhir_type_abstract(uint16_t type);
bool fhir_is_a(uint16_t type, uint16_t base);           /* same or derived */
fhir_system fhir_type_system(uint16_t type);            /* code -> STRING, instant -> DATETIME; NONE for what is not primitive */
/* How a primitive is written (R4 datatypes, "Primitive Types"). url and canonical are written as uri, markdown as string. */
typedef enum fhir_format {
  FHIR_FMT_NONE = 0, FHIR_FMT_BOOLEAN, FHIR_FMT_INTEGER, FHIR_FMT_UNSIGNED, FHIR_FMT_POSITIVE, FHIR_FMT_DECIMAL, FHIR_FMT_STRING, FHIR_FMT_CODE, FHIR_FMT_ID,
  FHIR_FMT_URI, FHIR_FMT_OID, FHIR_FMT_UUID, FHIR_FMT_DATE, FHIR_FMT_DATETIME, FHIR_FMT_INSTANT, FHIR_FMT_TIME, FHIR_FMT_BASE64, FHIR_FMT_XHTML
} fhir_format;
fhir_format fhir_type_format(uint16_t type);
/* Whether the text of a JSON string has that form (fhir_format.c). true for what is no string in JSON (boolean, integer, decimal). */
bool fhir_format_ok(fhir_format f, const char *s, size_t len);
/* The form in words, for messages: "a date: YYYY, YYYY-MM or YYYY-MM-DD". */
const char *fhir_format_text(fhir_format f);
/* The concrete resource of that name, or 0 (data types and abstract ones are none). */
uint16_t fhir_resource(const char *name, size_t len);

/* ---- Elements. */
typedef enum fhir_binding { FHIR_BIND_NONE = 0, FHIR_BIND_REQUIRED, FHIR_BIND_EXTENSIBLE, FHIR_BIND_PREFERRED, FHIR_BIND_EXAMPLE } fhir_binding;
typedef struct fhir_element_info {
  const char *name;          /* "value" of value[x] */
  uint16_t owner;            /* the type that defines it (Resource for Patient.id) */
  uint16_t min, max;         /* max 0 = unbounded */
  bool choice;               /* written name[x] in the definition: JSON members are name + Type */
  bool modifier, summary;
  const uint16_t *types;     /* n_types ids; a content reference is resolved to the type it refers to */
  uint16_t n_types;
  const uint16_t *targets;   /* resources that a Reference or canonical may point to; none or Resource = any */
  uint16_t n_targets;
  fhir_binding binding;      /* strength, of bindings whose code set is known; others are NONE */
  uint16_t codes;            /* code set of a required binding, 0 = not known or too large */
  uint16_t advised;          /* code set of an extensible or preferred binding, 0 = the same */
} fhir_element_info;

/* Element by its FHIRPath name ("value", never "valueQuantity"), inherited ones included. */
bool fhir_element(uint16_t type, const char *name, size_t len, fhir_element_info *out);
/* All elements of a type in order of definition, inherited ones first: false when i is past the end. */
bool fhir_element_at(uint16_t type, unsigned i, fhir_element_info *out);
/* The JSON member name of one type of a choice element: value + Quantity -> "valueQuantity". Returns its length; at most
 * FHIR_MEMBER_MAX bytes, no NUL. */
enum { FHIR_MEMBER_MAX = 64 };
size_t fhir_choice_member(const fhir_element_info *e, uint16_t type, char out[FHIR_MEMBER_MAX]);
/* The reverse, for reading and for the fix-it: "valueQuantity" in Observation -> element value and the id of Quantity. 0 when it is none. */
uint16_t fhir_choice_of(uint16_t type, const char *member, size_t len, fhir_element_info *out);

/* ---- Code sets: value sets of FHIR with at most 500 codes. */
const char *fhir_codes_url(uint16_t set);               /* value set, without version */
uint16_t fhir_codes_named(const char *url, size_t len); /* 0: not known */
unsigned fhir_codes_count(uint16_t set);
const char *fhir_codes_at(uint16_t set, unsigned i);    /* in order of bytes */
const char *fhir_codes_system(uint16_t set, unsigned i); /* code system of that one; "" when FHIR does not say */
bool fhir_code_in(uint16_t set, const char *code, size_t len); /* of whatever system */
bool fhir_coding_in(uint16_t set, const char *system, size_t system_len, const char *code, size_t len);
typedef enum fhir_system_part { FHIR_SYSTEM_NONE = 0, FHIR_SYSTEM_PART, FHIR_SYSTEM_WHOLE } fhir_system_part;
fhir_system_part fhir_system_in(uint16_t set, const char *system, size_t len); /* whether the set has codes of it, or all of them */

/* ---- Search parameters. */
typedef enum fhir_search_type {
  FHIR_SP_NUMBER = 1, FHIR_SP_DATE, FHIR_SP_STRING, FHIR_SP_TOKEN, FHIR_SP_REFERENCE, FHIR_SP_COMPOSITE, FHIR_SP_QUANTITY, FHIR_SP_URI,
  FHIR_SP_SPECIAL,
  FHIR_SP_CONTROL            /* _sort, _count, _include ...: how to answer, not what to find */
} fhir_search_type;
typedef struct fhir_search_info {
  const char *name;
  fhir_search_type type;
  const uint16_t *targets;   /* of FHIR_SP_REFERENCE: resources it can point to */
  uint16_t n_targets;
  const char *expression;    /* FHIRPath relative to the resource; "" for control and some special ones */
} fhir_search_info;
/* Parameter of a resource, with those of Resource and DomainResource (_id, _lastUpdated, _text) and the control parameters. */
bool fhir_search_param(uint16_t resource, const char *name, size_t len, fhir_search_info *out);
/* Those of the resource itself and inherited, without control parameters. */
bool fhir_search_at(uint16_t resource, unsigned i, fhir_search_info *out);
/* Whether a modifier ("exact", "missing", "not", a resource name on a reference ...) is allowed on a type of parameter. */
bool fhir_search_modifier(const fhir_search_info *p, const char *modifier, size_t len);

/* ---- Operations ($everything, $validate ...), as R4 defines them. */
typedef struct fhir_operation_info {
  const char *name;          /* "everything", without '$' */
  uint16_t resource;         /* that defines it; Resource: every resource has it */
  bool system, type, instance; /* called as [base]/$x, [base]/Patient/$x, [base]/Patient/1/$x */
  bool writes;               /* it changes what the server holds */
  uint16_t first, n;         /* its parameters, for fhir_parameter_at */
} fhir_operation_info;
typedef struct fhir_parameter_info {
  const char *name;          /* "match.concept" is a part of the parameter "match" */
  uint16_t type;             /* 0: it has parts instead of a value; Element: a value of any data type; Reference: also a string such as 'Patient/1' */
  uint16_t min, max;         /* max 0 = unbounded */
  bool out, part;
} fhir_parameter_info;
/* Operation that a resource defines or inherits; of resource 0 any that is called on the system. */
bool fhir_operation(uint16_t resource, const char *name, size_t len, fhir_operation_info *out);
/* All of them, in order of resource and name. */
bool fhir_operation_at(unsigned i, fhir_operation_info *out);
/* Parameters in order of definition, parts behind what they are part of. */
bool fhir_parameter_at(const fhir_operation_info *op, unsigned i, fhir_parameter_info *out);

/* ---- Did you mean. */
void fhir_nearest_type(nearest *n, bool resources_only);
void fhir_nearest_backbone(nearest *n, const char *of, size_t len); /* structures of that path: "Observation" -> Observation.component */
void fhir_nearest_element(nearest *n, uint16_t type);
void fhir_nearest_search(nearest *n, uint16_t resource);
void fhir_nearest_operation(nearest *n, uint16_t resource); /* 0: those of the system */
void fhir_nearest_code(nearest *n, uint16_t set);

/* ---- Values (fhir_nodes.c). */

/* An object whose resourceType names a known resource, with aux set to it; anything else comes back as it is. */
val fhir_adopt(val obj);
/* The same for every item of a collection. Allocates the new list in a. */
hdw_status fhir_adopt_all(arena *a, val coll, val *out);
/* An object of a type that the caller knows (the result of a typed load). */
static inline val fhir_as(val obj, uint16_t type) {
  if (obj.tag == VAL_OBJ) obj.aux = type;
  return obj;
}
/* Member of a typed object (VAL_OBJ with aux = type id): the element with that name, choice elements by their FHIRPath name. Every item comes out typed. A
 * primitive whose text does not have the form of its type stays a VAL_STR with that type in aux. Nested resources (contained,
 * Bundle.entry.resource) take the type they name. Names the type does not define give empty. Matches vm_model.member. */
hdw_status fhir_model_member(vm_cx *cx, val item, val key, val *out);
/* All children of an object in the order of the document, for children(), descendants() and repeat(). What the model does not know is left out. */
hdw_status fhir_model_children(vm_cx *cx, val item, val *out);
/* FHIRPath is/ofType/as for one item. Names: "System.String", "FHIR.string", "Patient". An unqualified name is looked for in FHIR first when the item has
 * a FHIR type, else in System. A FHIR string is no System.String, a literal no FHIR.string. HDW_E_NOTFOUND for an unknown name.
 * Matches vm_model.is_type. */
hdw_status fhir_model_is(vm_cx *cx, val item, const char *type, size_t len, bool *out);
/* type() of one item: namespace ("FHIR" or "System") and name. */
void fhir_model_type(val item, const char **space, const char **name);
/* The System value of a primitive element that had to be kept as an object because it has extensions; others come back unchanged. Matches
 * vm_model.to_system. */
hdw_status fhir_model_system(vm_cx *cx, val item, val *out);

#endif
