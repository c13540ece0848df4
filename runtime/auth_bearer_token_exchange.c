/* auth_bearer_token_exchange.c - a secret, and what a call says about whom it is for, are exchanged for a short-lived bearer token (PROTOCOLS 4b):
 *
 *   auth: bearer_token_exchange(url: exchange_url, secret: secret('app'), header: 'X-App', format: 'Key {secret}', parameters: { user: 'X-User' })
 *   step r = crm.get('/patients', login: { user: b.user })
 *
 * Tokens are cached by a keyed hash of the parameters: the key is random and of this process, so the cache says nothing about who was asked for. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include "auth_token.h"
#include "jwt.h"

enum { MAX_PARAMETERS = 16, MAX_VALUE = 1024 };

typedef struct exchange {
  uint8_t salt[32];
  const char *method, *secret_header, *secret_value; /* value: with the secret in its place */
  const char *body;          /* JSON text; NULL = none */
  const char *token_at, *expires_at; /* members of the answer, a.b */
  const char *name[MAX_PARAMETERS], *header[MAX_PARAMETERS];
  unsigned n;
} exchange;

/* ---- a call's parameters ---------------------------------------------------------------------------------------------------------- */

/* Visible ASCII and blanks: it becomes a header. */
static const char *value_of(eng_http *x, const exchange *o, unsigned i, const char **code, char text[ENG_TEXT]) {
  val v = jv_get(jv_get(x->call->request, "login"), o->name[i]);
  size_t n = 0;
  const char *s = v.tag == VAL_EMPTY ? NULL : eng_arg_bytes(x->call->a, v, NULL, &n);
  *code = "login_parameter";
  snprintf(text, ENG_TEXT, "login: '%.60s' is missing; the exchange needs it", o->name[i]);
  if (!s || !n) return NULL;
  *code = "header_injection";
  snprintf(text, ENG_TEXT, "login: '%.60s' holds what cannot stand in a header (control or non-ASCII characters), or more than %d bytes", o->name[i], MAX_VALUE);
  if (n > MAX_VALUE) return NULL;
  for (size_t k = 0; k < n; k++)
    if ((unsigned char)s[k] < ' ' || (unsigned char)s[k] >= 0x7f) return NULL;
  return s;
}

static void put_part(buf *b, const char *s) {
  size_t n = strlen(s);
  buf_putf(b, "%zu:", n);
  buf_put(b, s, n);
}

static bool apply(eng_http *x) {
  const eng_login *l = (const eng_login *)x->call->c->login;
  const exchange *o = (const exchange *)l->own;
  val given = jv_get(x->call->request, "login");
  const char *code, *values[MAX_PARAMETERS];
  char text[ENG_TEXT];
  uint8_t key[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  buf b;
  for (uint32_t i = 0; given.tag == VAL_OBJ && i < given.len; i++) {
    unsigned k = 0;
    while (k < o->n && !jv_is(given.u.v[2 * i], o->name[k])) k++;
    if (k < o->n) continue;
    eng_http_unauthorised(x, FAIL_DATA, "login_parameter", "login: the connection's exchange knows no such parameter", 0, true);
    return false;
  }
  buf_init(&b, x->call->a, 65536);
  for (unsigned i = 0; i < o->n; i++) {
    values[i] = value_of(x, o, i, &code, text);
    if (!values[i]) {
      eng_http_unauthorised(x, FAIL_DATA, code, text, 0, true);
      return false;
    }
    put_part(&b, o->name[i]), put_part(&b, values[i]); /* in the order of the declaration */
  }
  buf_put(&b, l->id, sizeof l->id);
  if (b.status || !HMAC(EVP_sha256(), o->salt, sizeof o->salt, (const uint8_t *)b.p, b.len, key, &len)) {
    eng_http_unauthorised(x, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory", 0, true);
    return false;
  }
  return eng_token_apply(x, key);
}

/* ---- the exchange ----------------------------------------------------------------------------------------------------------------- */

static hdw_status ask(eng_flight *f, const eng_http *x) {
  const exchange *o = (const exchange *)f->l->own;
  const url *to = &f->l->to;
  f->x.method = o->method;
  f->x.https = to->https, f->x.host = to->host, f->x.port = to->port, f->x.target = to->target;
  if (o->body) f->x.body = arena_dup(&f->a, o->body, strlen(o->body)), f->x.body_len = f->x.body ? strlen(o->body) : 0;
  bool ok = eng_http_header(&f->x, "Accept", "application/json") && eng_http_header(&f->x, "User-Agent", "hdw/" HDW_VERSION) && eng_http_header(&f->x, o->secret_header, o->secret_value);
  if (o->body) ok = ok && eng_http_header(&f->x, "Content-Type", "application/json");
  for (unsigned i = 0; i < o->n && ok; i++) {
    const char *s = eng_arg_text(&f->a, jv_get(jv_get(x->call->request, "login"), o->name[i]), NULL);
    ok = s && eng_http_header(&f->x, o->header[i], s);
  }
  return ok ? HDW_OK : HDW_E_INVALID;
}

/* a.b of the answer. */
static val at(val v, const char *path) {
  char name[64];
  while (*path && v.tag == VAL_OBJ) {
    size_t n = strcspn(path, ".");
    if (n >= sizeof name) return VAL_NONE;
    memcpy(name, path, n), name[n] = 0;
    v = jv_get(v, name);
    path += n + (path[n] == '.');
  }
  return *path ? VAL_NONE : v;
}

/* Seconds from now; seconds or milliseconds since 1970; a date and time. */
static bool life_of(engine *e, arena *a, val v, int64_t *life) {
  const char *s = jv_text(a, v);
  int64_t n, now = io_wall_us(e->io), until;
  tm_val t;
  if (s && strchr(s, '-') && strlen(s) > 10) {
    if (tm_parse_datetime(s, strlen(s), &t)) return false;
    if (!t.has_zone) t.has_zone = true, t.zone_min = 0;
    if (tm_to_unix_us(&t, &until)) return false;
  } else {
    val number = s ? (val){.tag = VAL_NUM, .len = (uint32_t)strlen(s), .u.s = s} : v;
    if (!jv_int(number, &n) || n <= 0 || n > INT64_C(9000000000000)) return false;
    if (n < INT64_C(1000000000)) return token_seconds(number, life);
    until = n < INT64_C(100000000000) ? n * 1000000 : n * 1000;
  }
  *life = until - now;
  if (*life > INT64_C(86400000000)) *life = INT64_C(86400000000);
  return *life > 0;
}

static hdw_status read(eng_flight *f, const io_http_res *res, token_answer *out) {
  const exchange *o = (const exchange *)f->l->own;
  engine *e = f->e;
  val v;
  int64_t exp;
  hdw_status s = token_json(e->mem, &f->a, res->body, res->body_len, &v);
  snprintf(f->text, sizeof f->text, "its answer is no JSON object");
  if (s) return s;
  out->value = jv_text(&f->a, at(v, o->token_at));
  snprintf(f->text, sizeof f->text, "its answer holds no '%.60s' that can stand in a header", o->token_at);
  if (!out->value || !token_ok(out->value)) return HDW_E_DATA;
  val life = at(v, o->expires_at ? o->expires_at : "expires_in");
  if (life.tag == VAL_EMPTY && !o->expires_at) { /* a JWT says it itself; it is believed about nothing else */
    if (jwt_peek_exp(e->mem, out->value, strlen(out->value), &exp)) {
      out->life_us = exp - io_wall_us(e->io);
      if (out->life_us > INT64_C(86400000000)) out->life_us = INT64_C(86400000000);
      if (out->life_us <= 0) out->life_us = 1000000; /* its clock or ours: used once */
    }
    return HDW_OK;
  }
  snprintf(f->text, sizeof f->text, "its '%.60s' is no time to come: seconds, a date, or seconds since 1970", o->expires_at ? o->expires_at : "expires_in");
  return life_of(e, &f->a, life, &out->life_us) ? HDW_OK : HDW_E_DATA;
}

static const eng_token_kind how = {.ask = ask, .read = read};

/* ---- setup ------------------------------------------------------------------------------------------------------------------------ */

static hdw_status wrong(char text[ENG_TEXT], const char *what) {
  snprintf(text, ENG_TEXT, "auth: bearer_token_exchange: %.150s", what);
  return HDW_E_INVALID;
}

/* The secret in the one place of the format. */
static const char *fill(engine *e, const char *format, const char *secret) {
  const char *hole = strstr(format, "{secret}");
  if (!hole || strstr(hole + 8, "{secret}")) return NULL;
  for (const char *p = format; *p; p++) {
    if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f) return NULL;
    if ((*p == '{' || *p == '}') && (p < hole || p >= hole + 8)) return NULL;
  }
  size_t n = strlen(format) + strlen(secret) + 1;
  char *out = (char *)arena_alloc(&e->a, n);
  if (out) snprintf(out, n, "%.*s%s%s", (int)(hole - format), format, secret, hole + 8);
  return out;
}

static bool plain_name(const char *s) { return s && s[0] && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(s) && strlen(s) <= 100; }

static const char *text_or(engine *e, val args, const char *name, const char *otherwise) {
  const char *s = jv_text(&e->a, jv_get(args, name));
  return s ? s : otherwise;
}

static hdw_status read_parameters(engine *e, exchange *o, val args, char text[ENG_TEXT]) {
  val p = jv_get(args, "parameters");
  for (uint32_t i = 0; p.tag == VAL_OBJ && i < p.len; i++) {
    if (o->n == MAX_PARAMETERS) return wrong(text, "at most 16 parameters");
    o->name[o->n] = jv_text(&e->a, p.u.v[2 * i]), o->header[o->n] = jv_text(&e->a, p.u.v[2 * i + 1]);
    if (!plain_name(o->name[o->n]) || !plain_name(o->header[o->n])) return wrong(text, "parameters: { NAME: 'Header-Name' } is the form");
    if (!strcasecmp(o->header[o->n], o->secret_header)) return wrong(text, "a parameter cannot take the header of the secret");
    o->n++;
  }
  return HDW_OK;
}

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  eng_login *l = (eng_login *)arena_zalloc(&e->a, 1, sizeof *l);
  exchange *o = (exchange *)arena_zalloc(&e->a, 1, sizeof *o);
  const char *to = jv_text(&e->a, jv_get(args, "url")), *secret = eng_auth_secret(e, args, "secret", text), *format = text_or(e, args, "format", "Bearer {secret}"), *hole;
  int64_t ttl = 60000;
  if (!l || !o) return HDW_E_NOMEM;
  if (!secret) return HDW_E_INVALID;
  if (!to) return wrong(text, "url is missing");
  hdw_status s = eng_login_url(c, "url", to, &l->to, text);
  if (s) return s;
  o->method = text_or(e, args, "method", "POST");
  if (strcmp(o->method, "POST") && strcmp(o->method, "GET")) return wrong(text, "method is POST or GET");
  o->secret_header = text_or(e, args, "header", "Authorization");
  o->secret_value = fill(e, format, secret);
  if (!plain_name(o->secret_header) || !o->secret_value) return wrong(text, "format holds {secret} once and no other braces, header is the name of a header");
  o->body = jv_text(&e->a, jv_get(args, "body"));
  o->token_at = text_or(e, args, "token", "access_token"), o->expires_at = jv_text(&e->a, jv_get(args, "expires"));
  (void)jv_int(jv_get(jv_get(args, "ttl"), "$ms"), &ttl);
  s = read_parameters(e, o, args, text);
  if (s) return s;
  l->header = text_or(e, args, "send_header", "Authorization"), l->before = text_or(e, args, "send", "Bearer {token}");
  hole = strstr(l->before, "{token}");
  if (!plain_name(l->header) || !hole || hole[7]) return wrong(text, "send ends in {token}, send_header is the name of a header");
  l->before = arena_dup(&e->a, l->before, (size_t)(hole - l->before));
  io_random(e->io, o->salt, sizeof o->salt);
  const char *const parts[] = {"bearer_token_exchange", to, o->method, o->secret_header, o->secret_value, o->body, o->token_at, o->expires_at};
  eng_token_hash(parts, sizeof parts / sizeof *parts, l->id);
  l->c = c, l->kind = &how, l->own = o, l->scope = "", l->per_call = o->n > 0;
  l->default_life_us = ttl > 0 ? ttl * 1000 : INT64_C(60000000);
  c->login = l;
  return l->before ? HDW_OK : HDW_E_NOMEM;
}

const eng_auth_kind eng_auth_bearer_token_exchange = {.kind = "bearer_token_exchange", .renews = true, .setup = setup, .apply = apply, .refused = eng_token_refused, .close = eng_token_close};
