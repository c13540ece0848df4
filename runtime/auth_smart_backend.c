/* auth_smart_backend.c - SMART Backend Services and other servers that take private_key_jwt (RFC 7523): the client proves who it is by a signed assertion
 * (PROTOCOLS 4a). smart_backend(client_id: ..., key: secret('...'), scopes: ['system/Patient.rs']).
 *
 * Without token: the token URL is what BASE/.well-known/smart-configuration says, looked up again after an hour, or when the login server refused. */
#include <openssl/crypto.h>
#include <stdio.h>
#include "auth_token.h"
#include "json.h"
#include "jwt.h"

enum { FOUND_TEXT = 1000, MAX_PUBLISHED = 8, ASSERTION_S = 240, BEHIND_S = 5 };
#define FOUND_US INT64_C(3600000000)
enum { DISCOVER = 1, ASSERT };

typedef struct smart {
  jwt_key key[1 + MAX_PUBLISHED]; /* the first signs; the others are published too: the next one, or the one before */
  unsigned nkeys;
  char thumb[JWT_KID];       /* of the first: the token belongs to the key, whatever it is called */
  const char *client_id, *audience; /* audience NULL = the token URL as it is written */
  const char *token;         /* as the program says; NULL = found */
  char found[FOUND_TEXT];
  int64_t found_us;          /* monotonic; of found, 0 = there is none */
} smart;

static bool make_assertion(eng_flight *f, const smart *o, const char *token, buf *out) {
  engine *e = f->e;
  uint8_t random[16];
  char jti[33];
  int64_t now = io_wall_us(e->io) / 1000000;
  buf b;
  buf_init(&b, &f->a, 16384);
  io_random(e->io, random, sizeof random);
  eng_hex(random, sizeof random, jti);
  buf_puts(&b, "{\"iss\":");
  json_write_str(&b, o->client_id, strlen(o->client_id));
  buf_puts(&b, ",\"sub\":");
  json_write_str(&b, o->client_id, strlen(o->client_id));
  buf_puts(&b, ",\"aud\":");
  const char *aud = o->audience ? o->audience : token;
  json_write_str(&b, aud, strlen(aud));
  buf_putf(&b, ",\"jti\":\"%s\",\"iat\":%lld,\"exp\":%lld}", jti, (long long)now - BEHIND_S, (long long)now + ASSERTION_S);
  return !b.status && !jwt_sign(&o->key[0], b.p, b.len, out);
}

static hdw_status post(eng_flight *f, const char *token) {
  const smart *o = (const smart *)f->l->own;
  buf b, jwt;
  url to;
  f->stage = ASSERT;
  hdw_status s = url_parse(&f->a, token, strlen(token), &to);
  if (s) return s;
  buf_init(&jwt, &f->a, 65536);
  buf_init(&b, &f->a, 131072);
  if (!make_assertion(f, o, token, &jwt)) {
    snprintf(f->text, sizeof f->text, "the assertion cannot be signed");
    return HDW_E_INVALID;
  }
  eng_form(&b, "grant_type", "client_credentials");
  if (f->l->scope[0]) eng_form(&b, "scope", f->l->scope);
  eng_form(&b, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
  eng_form(&b, "client_assertion", jwt.p);
  return eng_flight_post(f, &to, &b);
}

static hdw_status ask(eng_flight *f, const eng_http *x) {
  smart *o = (smart *)f->l->own;
  (void)x;
  if (o->token) return post(f, o->token);
  if (o->found_us && !f->again && io_mono_us(f->e->io) - o->found_us < FOUND_US) return post(f, o->found);
  buf b;
  buf_init(&b, &f->a, 16384);
  buf_putf(&b, "%s/.well-known/smart-configuration", f->l->c->prefix);
  buf_putc(&b, 0);
  f->stage = DISCOVER;
  f->x.method = "GET";
  f->x.target = b.p;
  return b.status ? b.status : eng_http_header(&f->x, "Accept", "application/json") ? HDW_OK : HDW_E_INVALID;
}

/* The token URL, absolute or relative to the base; as it is written: the assertion's audience is compared character by character. */
static hdw_status found(eng_flight *f, const io_http_res *res) {
  smart *o = (smart *)f->l->own;
  const eng_conn *c = f->l->c;
  val v;
  url base = {.https = c->https, .host = c->host, .port = c->port, .target = "/", .path = "/"}, to;
  hdw_status s = token_json(f->e->mem, &f->a, res->body, res->body_len, &v);
  const char *t = s ? NULL : jv_text(&f->a, jv_get(v, "token_endpoint"));
  const char *prefix = arena_dup(&f->a, c->prefix, strlen(c->prefix));
  buf b;
  buf_init(&b, &f->a, 16384);
  buf_putf(&b, "%s/", prefix ? prefix : "");
  buf_putc(&b, 0);
  base.target = base.path = b.p;
  snprintf(f->text, sizeof f->text, "smart-configuration: %s", s ? "it is no JSON object" : !t ? "it names no token_endpoint" : "its token_endpoint is no https URL that may be reached");
  if (!t || strlen(t) >= FOUND_TEXT || url_resolve(&f->a, &base, t, strlen(t), &to)) return HDW_E_DATA;
  char why[ENG_TEXT];
  if (!strstr(t, "://")) t = url_text(&f->a, &to);
  if (!t || strlen(t) >= FOUND_TEXT || eng_login_url(f->l->c, "token_endpoint", t, &to, why)) return HDW_E_DATA;
  snprintf(o->found, sizeof o->found, "%s", t);
  o->found_us = io_mono_us(f->e->io);
  f->text[0] = 0;
  eng_flight_begin(f, "POST");
  s = post(f, o->found);
  return s ? s : HDW_E_AGAIN;
}

static hdw_status read(eng_flight *f, const io_http_res *res, token_answer *out) {
  const char *why;
  if (f->stage == DISCOVER) return found(f, res);
  hdw_status s = token_read(f->e->mem, &f->a, res->body, res->body_len, out, &why);
  if (s) snprintf(f->text, sizeof f->text, "%s", why);
  return s;
}

static const eng_token_kind how = {.ask = ask, .read = read};

/* ---- setup ------------------------------------------------------------------------------------------------------------------------ */

static void close_keys(smart *o) {
  for (unsigned i = 0; i < o->nkeys; i++) jwt_key_free(&o->key[i]);
  o->nkeys = 0;
}

static hdw_status wrong(char text[ENG_TEXT], const char *what) {
  snprintf(text, ENG_TEXT, "auth: smart_backend: %.170s", what);
  return HDW_E_INVALID;
}

static hdw_status add_key(engine *e, smart *o, val ref, jwt_alg alg, char text[ENG_TEXT]) {
  char why[JWT_TEXT];
  const config_secret *s = eng_auth_file(e, ref, text);
  if (!s) return HDW_E_INVALID;
  if (o->nkeys == 1 + MAX_PUBLISHED) return wrong(text, "publish: at most 8 keys");
  jwt_key *k = &o->key[o->nkeys];
  if (jwt_key_private(k, e->mem, s->value, s->value_len, alg, why)) {
    snprintf(text, ENG_TEXT, "auth: the key '%.40s': %.140s", s->name, why);
    return HDW_E_INVALID;
  }
  char given[JWT_KID]; /* of a JWK: what its owner registered */
  snprintf(given, sizeof given, "%s", k->kid);
  hdw_status st = jwt_key_name(k, e->mem);
  if (!o->nkeys++) snprintf(o->thumb, sizeof o->thumb, "%s", k->kid);
  if (given[0]) snprintf(k->kid, sizeof k->kid, "%s", given);
  return st;
}

static hdw_status read_keys(engine *e, smart *o, val args, char text[ENG_TEXT]) {
  const char *name = jv_text(&e->a, jv_get(args, "alg")), *id = jv_text(&e->a, jv_get(args, "key_id"));
  jwt_alg alg = JWT_ALGS;
  val more = jv_get(args, "publish");
  if (name && !jwt_alg_find(name, &alg)) return wrong(text, "alg is RS384, ES384, RS256 or ES256");
  hdw_status s = add_key(e, o, jv_get(args, "key"), alg, text);
  if (s) return s;
  if (id) {
    if (!id[0] || strlen(id) >= JWT_KID || !token_ok(id)) return wrong(text, "key_id is 1 to 128 characters without blanks and quotes");
    snprintf(o->key[0].kid, JWT_KID, "%s", id);
  }
  for (uint32_t i = 0; more.tag == VAL_LIST && i < more.len && !s; i++) s = add_key(e, o, more.u.v[i], JWT_ALGS, text);
  if (more.tag == VAL_OBJ) s = add_key(e, o, more, JWT_ALGS, text);
  return s;
}

static hdw_status jwk(const eng_conn *c, unsigned i, const char **kid, buf *out) {
  const smart *o = (const smart *)((const eng_login *)c->login)->own;
  if (i >= o->nkeys) return HDW_E_NOTFOUND;
  *kid = o->key[i].kid;
  return jwt_jwk(&o->key[i], out);
}

static hdw_status prepare(engine *e, eng_conn *c, eng_login *l, smart *o, val args, char text[ENG_TEXT]) {
  char place[600];
  o->client_id = jv_text(&e->a, jv_get(args, "client_id")), o->audience = jv_text(&e->a, jv_get(args, "audience")), o->token = jv_text(&e->a, jv_get(args, "token"));
  if (!o->client_id || !o->client_id[0]) return wrong(text, "client_id is missing: what the server gave when the program was registered");
  hdw_status s = o->token ? eng_login_url(c, "token", o->token, &l->to, text) : HDW_OK;
  if (!s) l->scope = eng_login_scopes(e, args, text);
  if (!s && !l->scope) s = HDW_E_INVALID;
  if (!s) s = read_keys(e, o, args, text);
  if (s) return s;
  snprintf(place, sizeof place, "%s:%u%.400s", c->host, c->port, c->prefix);
  const char *const parts[] = {"smart_backend", o->token, o->token ? NULL : place, o->client_id, o->thumb, l->scope, o->audience};
  eng_token_hash(parts, sizeof parts / sizeof *parts, l->id);
  return HDW_OK;
}

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  eng_login *l = (eng_login *)arena_zalloc(&e->a, 1, sizeof *l);
  smart *o = (smart *)arena_zalloc(&e->a, 1, sizeof *o);
  if (!l || !o) return HDW_E_NOMEM;
  hdw_status s = prepare(e, c, l, o, args, text);
  if (s) {
    close_keys(o);
    return s;
  }
  l->c = c, l->kind = &how, l->own = o, l->durable = true;
  l->header = "Authorization", l->before = "Bearer ";
  l->default_life_us = INT64_C(300000000);
  c->login = l;
  c->jwk = jwk;
  return HDW_OK;
}

static void close(eng_conn *c) {
  eng_token_close(c);
  close_keys((smart *)((eng_login *)c->login)->own);
  c->jwk = NULL;
}

const eng_auth_kind eng_auth_smart_backend = {.kind = "smart_backend", .renews = true, .setup = setup, .apply = eng_token_apply_own, .refused = eng_token_refused, .close = close};
