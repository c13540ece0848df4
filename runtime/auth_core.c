/* auth_core.c - the logins of connections: one file for each kind. A new one is a row in builtins.def, a file auth_KIND.c and a row here. */
#include <stdio.h>
#include "auth_token.h"

static const eng_auth_kind *const kinds[] = {&eng_auth_bearer, &eng_auth_basic, &eng_auth_api_key, &eng_auth_oauth2, &eng_auth_smart_backend, &eng_auth_bearer_token_exchange, &eng_auth_mtls, NULL};

static const eng_auth_kind *find(const char *kind) {
  for (const eng_auth_kind *const *k = kinds; *k; k++)
    if (!strcmp((*k)->kind, kind)) return *k;
  return NULL;
}

const config_secret *eng_auth_file(engine *e, val ref, char text[ENG_TEXT]) {
  const char *name = jv_text(&e->a, jv_get(ref, "$secret"));
  const config_secret *s = name ? config_find_secret(e->o.config, name) : NULL;
  if (s && s->value) return s;
  snprintf(text, ENG_TEXT, "auth: the secret is not available");
  return NULL;
}

const char *eng_auth_secret(engine *e, val args, const char *name, char text[ENG_TEXT]) {
  const char *secret = eng_secret(e, jv_get(args, name));
  if (!secret) snprintf(text, ENG_TEXT, "auth: the secret is not available");
  for (const char *p = secret; p && *p; p++) {
    if ((unsigned char)*p >= ' ' && *p != 0x7f) continue;
    snprintf(text, ENG_TEXT, "auth: the secret holds a control character (a line end in its file?)");
    return NULL;
  }
  return secret;
}

bool eng_auth_header(eng_http *x) {
  const eng_conn *c = x->call->c;
  if (eng_http_header(x, c->auth_name, c->auth_value)) return true;
  eng_http_unauthorised(x, FAIL_PERMANENT, "login_failed", "the login's header cannot be sent: its name is none, or there is no room for it", 0, true);
  return false;
}

hdw_status eng_auth_setup(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  val h = jv_get(c->args, "auth");
  if (h.tag == VAL_EMPTY) return HDW_OK;
  const char *kind = jv_text(&e->a, jv_get(h, "$call"));
  if (!kind) {
    snprintf(text, ENG_TEXT, "auth: the secret is not available");
    return HDW_E_INVALID;
  }
  const eng_auth_kind *k = find(kind);
  if (!k) {
    snprintf(text, ENG_TEXT, "auth: %.40s is not available in this version", kind);
    return HDW_E_UNSUPPORTED;
  }
  hdw_status s = k->setup(e, c, jv_get(h, "args"), text);
  if (!s) c->auth = k, c->look = eng_login_look;
  return s;
}
