/* fhir_nothing.c - which searches ask nothing; see fhir_call.h. */
#include <string.h>
#include "fhir_call.h"

bool fhir_asks_nothing(const char *op, val request) {
  static const char *const search[] = {FHIR_SEARCH_OWN, NULL}, *const pages[] = {FHIR_PAGES_OWN, NULL};
  const char *const *of = strcmp(op, "search") == 0 ? search : strcmp(op, "pages") == 0 ? pages : NULL;
  for (uint32_t i = 0; of && request.tag == VAL_OBJ && i < request.len; i++) {
    bool own = false, where = jv_is(request.u.v[2 * i], "within");
    for (const char *const *x = of; *x && !own; x++) own = jv_is(request.u.v[2 * i], *x);
    if ((!own || where) && request.u.v[2 * i + 1].tag == VAL_BOOL) return true;
  }
  return false;
}
