/* auth_api_key.c - a key that the operator keeps, in a header of the program's choice; or, for servers that know no other way, in the address. */
#include <stdio.h>
#include "dispatch_http.h"

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  const char *header = jv_text(&e->a, jv_get(args, "header")), *query = jv_text(&e->a, jv_get(args, "query")), *key = eng_auth_secret(e, args, "key", text);
  if (!key) return HDW_E_INVALID;
  if (!query) {
    c->auth_name = header ? header : "X-Api-Key", c->auth_value = key;
    return HDW_OK;
  }
  buf b;
  buf_init(&b, &e->a, 65536);
  eng_percent(&b, query, strlen(query), "");
  buf_putc(&b, '=');
  eng_percent(&b, key, strlen(key), "");
  buf_putc(&b, 0);
  c->auth_value = b.p; /* without a name: it is a parameter */
  return b.status;
}

static bool apply(eng_http *x) {
  const eng_conn *c = x->call->c;
  if (c->auth_name) return eng_auth_header(x);
  size_t n = strlen(x->target) + strlen(c->auth_value) + 2;
  char *t = (char *)arena_alloc(x->call->a, n);
  if (!t) {
    eng_http_unauthorised(x, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory", 0, true);
    return false;
  }
  snprintf(t, n, "%s%c%s", x->target, strchr(x->target, '?') ? '&' : '?', c->auth_value);
  x->target = t;
  return true;
}

const eng_auth_kind eng_auth_api_key = {.kind = "api_key", .setup = setup, .apply = apply};
