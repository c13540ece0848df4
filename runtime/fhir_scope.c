/* fhir_scope.c - a call against the scopes that its login was granted (S-9): what they cannot cover is not sent, but fails with a clear word instead of a 403 later. */
#include <stdio.h>
#include "fhir_call.h"
#include "smart.h"

/* What a request needs of resources of its type; 0 = not known here: SMART has no scopes for operations, whatever a server asks for them. */
static uint8_t need_of(const char *method, const char *op) {
  static const struct { const char *op; uint8_t rights; } t[] = {{"read", SMART_R}, {"vread", SMART_R}, {"history", SMART_R}, {"resolve", SMART_R}, {"search", SMART_S}, {"pages", SMART_S},
                                                                 {"create", SMART_C}, {"update", SMART_U}, {"patch", SMART_U}, {"delete", SMART_D}};
  bool get = !strcmp(method, "GET");
  if (get && !strcmp(op, "patch")) return SMART_R;
  if (get && !strcmp(op, "update")) return 0; /* it is written already and looked at again */
  for (size_t i = 0; i < sizeof t / sizeof *t; i++)
    if (!strcmp(op, t[i].op)) return t[i].rights;
  return 0;
}

/* Of an entry of a transaction: "PUT", "Patient/1". */
static uint8_t need_of_entry(const char *method, const char *target, char type[FHIR_TYPE_TEXT]) {
  size_t n = strcspn(target, "/?");
  bool one = target[n] == '/' && target[n + 1] != '_';
  type[0] = 0;
  if (n >= FHIR_TYPE_TEXT || !n || target[0] == '$' || strstr(target, "/$")) return 0;
  memcpy(type, target, n), type[n] = 0;
  if (!strcmp(method, "GET") || !strcmp(method, "HEAD")) return one ? SMART_R : SMART_S;
  if (!strcmp(method, "POST")) return target[n] ? SMART_S : SMART_C; /* Patient/_search */
  return !strcmp(method, "PUT") || !strcmp(method, "PATCH") ? SMART_U : !strcmp(method, "DELETE") ? SMART_D : 0;
}

static bool granted(const char *scopes, const char *what, const char *type, uint8_t need, char text[ENG_TEXT]) {
  char letters[6];
  bool any;
  uint8_t missing = smart_missing(scopes, type, need, &any);
  if (!any || !missing) return true;
  snprintf(text, ENG_TEXT, "the login was granted no scope for %.20s of %.40s (system/%.40s.%s); nothing was sent", what, type, type, smart_letters(missing, letters));
  return false;
}

/* A transaction is all or nothing. Of a batch the server says for each entry whether it may: only one of which nothing may is not sent. */
static bool entries(const fhir *f, const char *scopes, bool all, char text[ENG_TEXT]) {
  arena *a = f->call->a;
  val list = fhir_get(a, f->sent, "entry");
  char type[FHIR_TYPE_TEXT];
  uint32_t refused = 0, n = val_count(list);
  for (uint32_t i = 0; i < n; i++) {
    val q = fhir_get(a, val_item(list, i), "request");
    const char *method = jv_text(a, fhir_get(a, q, "method")), *target = jv_text(a, fhir_get(a, q, "url"));
    uint8_t need = method && target ? need_of_entry(method, target, type) : 0;
    if (!need || granted(scopes, method, type, need, text)) continue;
    if (all) return false;
    refused++;
  }
  if (refused && refused == n) return false;
  text[0] = 0;
  return true;
}

bool fhir_may(const eng_http *x, const char *scopes, char text[ENG_TEXT]) {
  const fhir *f = (const fhir *)x->user;
  if (!f->call->c->cfg->o.check_scopes) return true;
  bool all = !strcmp(f->op->name, "transaction");
  if (all || !strcmp(f->op->name, "batch")) return entries(f, scopes, all, text);
  uint8_t need = need_of(x->method, f->op->name);
  return !need || !f->type[0] || granted(scopes, f->op->name, f->type, need, text);
}
