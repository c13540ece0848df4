/* engine_class.c - what an operation may do outside: from its row in builtins.def and from the request, never from the module. A module says a class for each effect, too,
 * but it is hostile input: a write that called itself a read would be performed without an intent and repeated as a read. */
#include "engine_int.h"
#include "json.h"

static const struct { const char *kind, *signature; uint8_t klass; } operations[] = {
#define OPERATION(kind, klass, avail, signature, since, doc, example) {kind, signature, MOD_CLASS_##klass},
#include "builtins.def"
};

/* "rest.get" and {"rest", "get(path: ..."}. */
static bool is(const char *operation, const char *kind, const char *signature) {
  size_t n = strlen(kind), name = strcspn(signature, "(");
  return !strncmp(operation, kind, n) && operation[n] == '.' && !strncmp(operation + n + 1, signature, name) && !operation[n + 1 + name];
}

uint8_t eng_class_of(const char *operation, val request) {
  if (!strcmp(operation, "fhir.create") && jv_get(request, "if_none_exist").tag != VAL_EMPTY) return MOD_CLASS_KEYED; /* the server looks for it first */
  val safe = jv_get(request, "safe");
  if (!strcmp(operation, "fhir.operation") && safe.tag == VAL_BOOL && safe.u.i) return jv_get(request, "body").tag == VAL_EMPTY ? MOD_CLASS_READ : MOD_CLASS_IDEMPOTENT; /* asked by GET; by POST */
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
    if (is(operation, operations[i].kind, operations[i].signature)) return operations[i].klass;
  return MOD_CLASS_UNSAFE;
}
