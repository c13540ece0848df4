/* auth_api_key.c - a key that the operator keeps, in a header of the program's choice. */
#include <stdio.h>
#include "dispatch_http.h"

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  const char *header = jv_text(&e->a, jv_get(args, "header")), *key = eng_auth_secret(e, args, "key", text);
  if (!key) return HDW_E_INVALID;
  c->auth_name = header ? header : "X-Api-Key", c->auth_value = key;
  return HDW_OK;
}

static bool apply(eng_http *x) {
  (void)eng_http_header(x, x->call->c->auth_name, x->call->c->auth_value);
  return true;
}

const eng_auth_kind eng_auth_api_key = {.kind = "api_key", .setup = setup, .apply = apply};
