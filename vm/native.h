/* native.h - how pure native functions look to the machine.
 *
 * A native gets its arguments as normalised collections, gives one collection and cannot suspend, do I/O or call back into the machine.
 * args[0] is the receiver (the value before the dot) for methods. A missing optional argument is VAL_EMPTY.
 * Natives charge fuel in proportion to what they read or produce (vm_charge); they allocate from cx->a only. */
#ifndef HDW_NATIVE_H
#define HDW_NATIVE_H
#include "value.h"

enum { VM_ERROR_TEXT = 240 };

/* The first error of a run: a status, a text without clinical values, and where. */
typedef struct vm_error {
  hdw_status status;
  char text[VM_ERROR_TEXT];
  uint32_t line, col;    /* of the source, 0 when unknown */
  uint32_t file;         /* index in the module's file table */
} vm_error;

typedef struct vm_cx vm_cx;

/* Access to data models, given to the machine by whoever starts a run (stdlib fills it); may be all NULL in tests.
 * member/index work on tags that the machine itself does not know (VAL_HL7) and on typed objects (VAL_OBJ with aux != 0), and on lists that begin with one. */
typedef struct vm_model {
  hdw_status (*member)(vm_cx *cx, val item, val key, val *out);
  /* 'is' and ofType for one item and a type name ("Patient", "FHIR.string", "System.String", "OBX"). *out 1, 0; HDW_E_NOTFOUND = unknown type. */
  hdw_status (*is_type)(vm_cx *cx, val item, const char *type, size_t len, bool *out);
  /* Primitive content of a model node (VAL_HL7 component -> string), for operators and functions that want a System value. */
  hdw_status (*to_system)(vm_cx *cx, val item, val *out);
} vm_model;

/* What only the embedder of a run knows; may be NULL (then both give {}). */
typedef struct vm_env {
  hdw_status (*setting)(vm_cx *cx, const char *name, size_t len, val *out); /* a setting's value as the operator bound it */
  hdw_status (*run)(vm_cx *cx, val *out);                                   /* the ambient object `run`: {id, trace, workflow ...} */
} vm_env;

struct vm_cx {
  arena *a;
  int64_t fuel;            /* falls below 0: HDW_E_FUEL */
  const vm_model *model;
  uint64_t seed;           /* of hash tables */
  int64_t now_us;          /* now(): the commit time of the input, Unix microseconds */
  int16_t zone_min;        /* zone of now() and today() */
  uint64_t unique;         /* counter behind uuid() */
  uint8_t run_id[16];      /* uuid() and random derive from run id and counter */
  bool strict;             /* FHIRPath strict mode */
  vm_error err;
  const vm_env *env;
  void *user;              /* of the embedder */
  bool ambient;            /* something was asked that another run with the same arguments may be told differently: clock, uuid, settings, `run` */
  struct re_cache *regexes; /* of the embedder, for stdlib: compiled patterns of regular expressions (re.h). NULL = none are kept */
  uint32_t *hits;          /* coverage: for each code word how often it was executed, and how often it jumped. NULL = not counted */
};

typedef hdw_status (*vm_native)(vm_cx *cx, const val *args, unsigned n, val *out);

/* Takes units of fuel (1 unit is about one instruction, or 16 bytes touched). HDW_E_FUEL when exhausted. */
static inline hdw_status vm_charge(vm_cx *cx, size_t units) {
  cx->fuel -= (int64_t)units;
  return cx->fuel < 0 ? HDW_E_FUEL : HDW_OK;
}
/* Records the first error's text (printf form; no clinical values) and returns s. */
hdw_status vm_fail(vm_cx *cx, hdw_status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
