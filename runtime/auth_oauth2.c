/* auth_oauth2.c - OAuth 2.0 client credentials (RFC 6749 4.4): oauth2(token: URL, client_id: ..., client_secret: secret('...'), scopes: [...]).
 *
 * method: client_secret_basic (the default), client_secret_post, or tls_client_auth (RFC 8705: the connection's client certificate is the credential). */
#include <openssl/crypto.h>
#include <stdio.h>
#include "auth_token.h"
#include "base64.h"

typedef enum method { SECRET_BASIC, SECRET_POST, TLS_AUTH } method;
typedef struct oauth2 {
  method method;
  const char *client_id, *secret, *audience, *resource;
  val parameters;            /* further fields of the form */
} oauth2;

static void put_form(buf *b, const char *s) { eng_percent(b, s, strlen(s), ""); }

/* Basic base64(urlencode(id):urlencode(secret)), RFC 6749 2.3.1. */
static bool basic_header(eng_flight *f, const oauth2 *o) {
  buf b;
  buf_init(&b, &f->a, 65536);
  put_form(&b, o->client_id), buf_putc(&b, ':'), put_form(&b, o->secret);
  char *v = b.status ? NULL : (char *)arena_alloc(&f->a, b64_encoded_max(b.len) + 7);
  if (!v) return false;
  memcpy(v, "Basic ", 6);
  size_t n = b64_encode((const uint8_t *)b.p, b.len, v + 6, false);
  v[6 + n] = 0;
  OPENSSL_cleanse(b.p, b.len);
  return eng_http_header(&f->x, "Authorization", v);
}

static hdw_status ask(eng_flight *f, const eng_http *x) {
  const oauth2 *o = (const oauth2 *)f->l->own;
  buf b;
  (void)x;
  buf_init(&b, &f->a, 65536);
  eng_form(&b, "grant_type", "client_credentials");
  if (f->l->scope[0]) eng_form(&b, "scope", f->l->scope);
  if (o->audience) eng_form(&b, "audience", o->audience);
  if (o->resource) eng_form(&b, "resource", o->resource);
  for (uint32_t i = 0; o->parameters.tag == VAL_OBJ && i < o->parameters.len; i++)
    eng_form(&b, jv_text(&f->a, o->parameters.u.v[2 * i]), jv_text(&f->a, o->parameters.u.v[2 * i + 1]));
  if (o->method != SECRET_BASIC) eng_form(&b, "client_id", o->client_id);
  if (o->method == SECRET_POST) eng_form(&b, "client_secret", o->secret);
  hdw_status s = eng_flight_post(f, &f->l->to, &b);
  return s ? s : o->method != SECRET_BASIC || basic_header(f, o) ? HDW_OK : HDW_E_INVALID;
}

static hdw_status read(eng_flight *f, const io_http_res *res, token_answer *out) {
  const char *why;
  hdw_status s = token_read(f->e->mem, &f->a, res->body, res->body_len, out, &why);
  if (s) snprintf(f->text, sizeof f->text, "%s", why);
  return s;
}

static const eng_token_kind how = {.ask = ask, .read = read};

static hdw_status wrong(char text[ENG_TEXT], const char *what) {
  snprintf(text, ENG_TEXT, "auth: oauth2: %.150s", what);
  return HDW_E_INVALID;
}

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  static const char *const names[] = {"client_secret_basic", "client_secret_post", "tls_client_auth"};
  eng_login *l = (eng_login *)arena_zalloc(&e->a, 1, sizeof *l);
  oauth2 *o = (oauth2 *)arena_zalloc(&e->a, 1, sizeof *o);
  const char *token = jv_text(&e->a, jv_get(args, "token")), *m = jv_text(&e->a, jv_get(args, "method"));
  if (!l || !o) return HDW_E_NOMEM;
  while (m && o->method < 2 && strcmp(m, names[o->method])) o->method++;
  if (m && strcmp(m, names[o->method])) return wrong(text, "method is client_secret_basic, client_secret_post or tls_client_auth");
  o->client_id = jv_text(&e->a, jv_get(args, "client_id"));
  o->audience = jv_text(&e->a, jv_get(args, "audience")), o->resource = jv_text(&e->a, jv_get(args, "resource"));
  o->parameters = jv_get(args, "parameters");
  for (uint32_t i = 0; o->parameters.tag == VAL_OBJ && i < o->parameters.len; i++)
    if (!jv_text(&e->a, o->parameters.u.v[2 * i]) || !jv_text(&e->a, o->parameters.u.v[2 * i + 1])) return wrong(text, "parameters are texts");
  if (!token) return wrong(text, "token is missing: the login server's token URL");
  if (!o->client_id || !o->client_id[0]) return wrong(text, "client_id is missing");
  if (o->method == TLS_AUTH && (!c->cfg->cert_pem || !c->cfg->key_pem)) return wrong(text, "method tls_client_auth needs tls.cert and tls.key of the connection in hdw.json");
  if (o->method != TLS_AUTH && jv_get(args, "client_secret").tag == VAL_EMPTY) return wrong(text, "client_secret is missing: secret('name')");
  if (o->method != TLS_AUTH && !(o->secret = eng_auth_secret(e, args, "client_secret", text))) return HDW_E_INVALID;
  hdw_status s = eng_login_url(c, "token", token, &l->to, text);
  if (s) return s;
  l->scope = eng_login_scopes(e, args, text);
  if (!l->scope) return HDW_E_INVALID;
  buf extra;
  buf_init(&extra, &e->a, 65536);
  for (uint32_t i = 0; o->parameters.tag == VAL_OBJ && i < o->parameters.len; i++) eng_form(&extra, jv_text(&e->a, o->parameters.u.v[2 * i]), jv_text(&e->a, o->parameters.u.v[2 * i + 1]));
  buf_putc(&extra, 0);
  const char *const parts[] = {"oauth2", token, names[o->method], o->client_id, o->method == TLS_AUTH ? c->cfg->cert_pem : o->secret, l->scope, o->audience, o->resource, extra.status ? NULL : extra.p};
  eng_token_hash(parts, sizeof parts / sizeof *parts, l->id);
  l->c = c, l->kind = &how, l->own = o, l->durable = true;
  l->header = "Authorization", l->before = "Bearer ";
  l->default_life_us = INT64_C(300000000);
  c->login = l;
  return HDW_OK;
}

const eng_auth_kind eng_auth_oauth2 = {.kind = "oauth2", .renews = true, .setup = setup, .apply = eng_token_apply_own, .refused = eng_token_refused, .close = eng_token_close};
