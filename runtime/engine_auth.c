/* engine_auth.c - who a peer is (H-12, H-50): HTTP Basic, bearer tokens, client certificates. Names and secrets are the operator's.
 *
 * Secrets are compared through their hashes, every candidate in full, so that time says nothing about how much was right. */
#include <openssl/crypto.h>
#include "base64.h"
#include "engine_int.h"

/* The value of "NAME=VALUE"; its name's length in *n. */
static const char *split(const char *pair, size_t *n) {
  const char *eq = strchr(pair, '=');
  *n = eq ? (size_t)(eq - pair) : 0;
  return eq ? eq + 1 : NULL;
}

static bool keep(char identity[REC_NAME_MAX + 1], const char *p, size_t n) {
  if (n > REC_NAME_MAX) n = REC_NAME_MAX;
  memcpy(identity, p, n);
  identity[n] = 0;
  return true;
}

static bool is_secret(const eng_listener *l, const char *name, const char *given, size_t n) {
  const config_secret *s = config_find_secret(l->e->o.config, name);
  uint8_t a[REC_HASH], b[REC_HASH];
  if (!s || !s->value || !s->value_len) return false;
  cod_sha256(s->value, s->value_len, NULL, 0, a);
  cod_sha256(given, n, NULL, 0, b);
  return CRYPTO_memcmp(a, b, REC_HASH) == 0;
}

bool eng_auth_peer(const eng_listener *l, const char *sans, char identity[REC_NAME_MAX + 1]) {
  identity[0] = 0;
  if (!l->o->clients.n) return true;
  for (uint32_t i = 0; i < l->o->clients.n; i++) {
    size_t n;
    const char *want = split(l->o->clients.v[i], &n);
    for (const char *p = sans, *end; want && *p && (end = strchr(p, '\n')); p = end + 1)
      if ((size_t)(end - p) == strlen(want) && !memcmp(p, want, strlen(want))) return keep(identity, l->o->clients.v[i], n);
  }
  return false;
}

/* USER:PASSWORD in base64. */
static bool basic(const eng_listener *l, const char *p, size_t n, char identity[REC_NAME_MAX + 1]) {
  uint8_t plain[520];
  size_t len = 0;
  bool ok = false;
  if (b64_decoded_max(n) > sizeof plain || b64_decode(p, n, plain, &len, false)) return false;
  const char *colon = (const char *)memchr(plain, ':', len);
  size_t user = colon ? (size_t)(colon - (const char *)plain) : 0;
  for (uint32_t i = 0; colon && i < l->o->basic.n; i++) {
    size_t name;
    const char *secret = split(l->o->basic.v[i], &name);
    bool same = name == user && !memcmp(l->o->basic.v[i], plain, user);
    bool right = secret && is_secret(l, secret, colon + 1, len - user - 1);
    if (same && right) ok = keep(identity, l->o->basic.v[i], name);
  }
  OPENSSL_cleanse(plain, sizeof plain);
  return ok;
}

static bool bearer(const eng_listener *l, const char *p, size_t n, char identity[REC_NAME_MAX + 1]) {
  bool ok = false;
  for (uint32_t i = 0; i < l->o->bearer.n; i++) {
    size_t name;
    const char *secret = split(l->o->bearer.v[i], &name);
    if (secret && is_secret(l, secret, p, n)) ok = keep(identity, l->o->bearer.v[i], name);
  }
  return ok;
}

enum { MAX_KIDS = 256 };

void engine_jwks(engine *e, buf *out) {
  const char *seen[MAX_KIDS], *kid;
  unsigned n = 0;
  buf_puts(out, "{\"keys\":[");
  for (uint32_t i = 0; i < e->nconns; i++)
    for (unsigned k = 0; e->conns[i]->jwk && n < MAX_KIDS; k++) {
      size_t at = out->len;
      bool again = false;
      if (n) buf_putc(out, ',');
      if (e->conns[i]->jwk(e->conns[i], k, &kid, out)) {
        out->len = at;
        break;
      }
      for (unsigned j = 0; j < n; j++) again |= !strcmp(seen[j], kid);
      if (again) out->len = at;
      else seen[n++] = kid;
    }
  buf_puts(out, "]}");
}

static bool scheme(http_str *h, const char *name) {
  size_t n = strlen(name);
  if (h->len <= n || !http_str_is((http_str){h->p, n}, name) || h->p[n] != ' ') return false;
  while (n < h->len && h->p[n] == ' ') n++;
  h->p += n, h->len -= n;
  return true;
}

bool eng_auth_http(const eng_listener *l, const http_request *r, char identity[REC_NAME_MAX + 1]) {
  if (!eng_auth_peer(l, r->sans, identity)) return false;
  if (!l->o->basic.n && !l->o->bearer.n) return true;
  http_str h = http_head_get(r->head, "authorization");
  if (scheme(&h, "basic")) return basic(l, h.p, h.len, identity);
  if (scheme(&h, "bearer")) return bearer(l, h.p, h.len, identity);
  return false;
}
