/* auth_basic.c - HTTP Basic: a user name and a password that the operator keeps. */
#include <openssl/crypto.h>
#include <stdio.h>
#include "base64.h"
#include "dispatch_http.h"

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  const char *user = jv_text(&e->a, jv_get(args, "user")), *password = eng_auth_secret(e, args, "password", text);
  if (!password) return HDW_E_INVALID;
  if (!user) user = "";
  if (strchr(user, ':')) { /* RFC 7617: it would be read as another user with another password */
    snprintf(text, ENG_TEXT, "auth: basic: a user name cannot hold ':'");
    return HDW_E_INVALID;
  }
  size_t n = strlen(user) + 1 + strlen(password), cap = b64_encoded_max(n);
  char *plain = (char *)arena_alloc(&e->a, n + 1), *out = (char *)arena_alloc(&e->a, cap + 8);
  if (!plain || !out) return HDW_E_NOMEM;
  snprintf(plain, n + 1, "%s:%s", user, password);
  memcpy(out, "Basic ", 6);
  size_t got = b64_encode((const uint8_t *)plain, n, out + 6, false);
  out[6 + got] = 0;
  OPENSSL_cleanse(plain, n);
  c->auth_name = "Authorization", c->auth_value = out;
  return HDW_OK;
}

const eng_auth_kind eng_auth_basic = {.kind = "basic", .setup = setup, .apply = eng_auth_header};
