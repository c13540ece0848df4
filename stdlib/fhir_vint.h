/* fhir_vint.h - what the files of the validator share (fhir_validate.c, fhir_refs.c). */
#ifndef HDW_FHIR_VINT_H
#define HDW_FHIR_VINT_H
#include "fhir_validate.h"

enum { FHIR_PATH_TEXT = 400, FHIR_DEPTH = 100 };

typedef struct fhir_check {
  arena *a;
  fhir_validate_opts opts;
  fhir_report *out;
  hdw_status status;        /* memory: checking goes on to the end, reporting stops; fuel: checking ends */
  char path[FHIR_PATH_TEXT];
  size_t path_len;
  unsigned depth;
  val container;            /* the resource whose `contained` "#id" refers to */
  bool inside;              /* in a contained resource */
  val bundle;               /* the innermost Bundle, VAL_EMPTY outside */
  const val **urls;         /* its entries by hash of fullUrl, open addressing; NULL for none */
  uint32_t cap;
} fhir_check;

/* Takes fuel. False when it is used up: status says so, and what is reported counts for nothing. */
static inline bool fhir_pay(fhir_check *c, size_t units) {
  if (!c->opts.fuel || (*c->opts.fuel -= (int64_t)units) >= 0) return true;
  c->status = HDW_E_FUEL;
  return false;
}

/* A check with an empty report; problems go to out. */
hdw_status fhir_check_new(arena *a, const fhir_validate_opts *opts, fhir_report *out, fhir_check **check);
/* A date or time of a program as FHIR writes it; its length. */
size_t fhir_temporal_text(val v, char out[TM_TEXT_MAX]);
/* Appends to the path; returns the length to go back to. index < 0: none. */
size_t fhir_path_push(fhir_check *c, const char *name, size_t len, long index);
static inline void fhir_path_pop(fhir_check *c, size_t len) {
  c->path_len = len;
  c->path[len] = 0;
}
void fhir_say(fhir_check *c, fhir_rule rule, bool warning, val where, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* A member's text, unescaped; VAL_EMPTY when it is no string. */
val fhir_string_of(fhir_check *c, const val *slot);
static inline const val *fhir_slot(val obj, const char *name) {
  return obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL;
}

/* fhir_refs.c: a Reference object of element e (its targets), a resource's contained ones, the fullUrls of a Bundle. */
void fhir_check_reference(fhir_check *c, val ref, const fhir_element_info *e);
void fhir_check_contained(fhir_check *c, val resource);
void fhir_index_bundle(fhir_check *c, val bundle);

#endif
