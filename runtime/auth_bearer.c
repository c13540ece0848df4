/* auth_bearer.c - a token that the operator keeps: Authorization: Bearer TOKEN. */
#include <stdio.h>
#include "dispatch_http.h"

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  const char *secret = eng_auth_secret(e, args, "token", text);
  if (!secret) return HDW_E_INVALID;
  size_t n = strlen(secret) + 8;
  char *v = (char *)arena_alloc(&e->a, n);
  if (!v) return HDW_E_NOMEM;
  snprintf(v, n, "Bearer %s", secret);
  c->auth_name = "Authorization", c->auth_value = v;
  return HDW_OK;
}

const eng_auth_kind eng_auth_bearer = {.kind = "bearer", .setup = setup, .apply = eng_auth_header};
