/* auth_login.c - what kinds of login that fetch tokens have in common: where the login server is, scopes, form bodies. See auth_token.h. */
#include "auth_token.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include "codec.h"

static bool is_loopback(const url *u) {
  if (!u->is_addr) return !strcmp(u->host, "localhost");
  return u->addr.family == IO_ADDR_IP4 ? u->addr.ip[0] == 127 : u->addr.family == IO_ADDR_IP6 && !memcmp(u->addr.ip, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

hdw_status eng_login_url(eng_conn *c, const char *what, const char *value, url *out, char text[ENG_TEXT]) {
  if (url_parse(&c->e->a, value, strlen(value), out)) snprintf(text, ENG_TEXT, "auth: %s: '%.120s' is no URL of the form https://host[:port]/path", what, value);
  else if (!out->https && !is_loopback(out)) snprintf(text, ENG_TEXT, "auth: %s: '%.100s' is not https, so the credentials would be readable on the way", what, value);
  else if (out->is_addr && !eng_egress_ok(c, &out->addr)) snprintf(text, ENG_TEXT, "auth: %s: %.60s is %s: grant.networks does not allow it", what, out->host, egress_rule(&out->addr) ? egress_rule(&out->addr) : "not allowed");
  else return HDW_OK;
  return HDW_E_INVALID;
}

/* RFC 6749 3.3. */
static bool scope_token(const char *s) {
  if (!s || !s[0]) return false;
  for (; *s; s++)
    if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f || *s == '"' || *s == '\\') return false;
  return true;
}

const char *eng_login_scopes(engine *e, val args, char text[ENG_TEXT]) {
  val v = jv_get(args, "scopes");
  buf b;
  buf_init(&b, &e->a, TOKEN_SCOPE_BYTES);
  uint32_t n = v.tag == VAL_LIST ? v.len : v.tag != VAL_EMPTY;
  for (uint32_t i = 0; i < n; i++) {
    const char *s = jv_text(&e->a, v.tag == VAL_LIST ? v.u.v[i] : v);
    if (!scope_token(s)) {
      snprintf(text, ENG_TEXT, "auth: scopes: '%.80s' is no scope (one word for each)", s ? s : "");
      return NULL;
    }
    if (b.len) buf_putc(&b, ' ');
    buf_puts(&b, s);
  }
  buf_putc(&b, 0);
  if (b.status) snprintf(text, ENG_TEXT, "auth: scopes: more than %d bytes", TOKEN_SCOPE_BYTES);
  return b.status ? NULL : b.p;
}

void eng_form(buf *b, const char *name, const char *value) {
  if (b->len) buf_putc(b, '&');
  eng_percent(b, name, strlen(name), "");
  buf_putc(b, '=');
  eng_percent(b, value, strlen(value), "");
}

hdw_status eng_flight_post(eng_flight *f, const url *to, buf *form) {
  f->x.method = "POST";
  f->x.https = to->https, f->x.host = to->host, f->x.port = to->port, f->x.target = to->target;
  f->x.body = form->p, f->x.body_len = form->len;
  if (form->status) return form->status;
  bool ok = eng_http_header(&f->x, "Accept", "application/json") && eng_http_header(&f->x, "Content-Type", "application/x-www-form-urlencoded") && eng_http_header(&f->x, "User-Agent", "hdw/" HDW_VERSION);
  return ok ? HDW_OK : HDW_E_INVALID;
}

void eng_token_hash(const char *const *parts, size_t n, uint8_t out[TOKEN_KEY]) {
  uint8_t h[TOKEN_KEY] = {0}, next[TOKEN_KEY];
  for (size_t i = 0; i < n; i++) { /* a chain: the parts' borders count */
    uint8_t one[TOKEN_KEY];
    cod_sha256(parts[i] ? parts[i] : "", parts[i] ? strlen(parts[i]) : 0, parts[i] ? "1" : "0", 1, one);
    cod_sha256(h, sizeof h, one, sizeof one, next);
    memcpy(h, next, sizeof h);
  }
  memcpy(out, h, sizeof h);
}
