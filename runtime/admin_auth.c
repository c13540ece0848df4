/* admin_auth.c - who calls, and what they may.
 *
 * On the unix socket the kernel says who is at the other end. root and the daemon's own user have every role; others have what hdw.json says:
 *
 *   "roles": { "viewer": ["group:adm", "uid:1001", "token:watcher"], "operator": ["user:ann"] }     names became numbers when the file was read
 *
 * Over TCP it is a bearer token that says it: token:NAME stands for the secret of that name. Tokens are compared by their SHA-256, all of them, in constant time.
 * Five wrong ones from an address within a minute, and nothing from there is looked at for a minute, then two, at most for fifteen. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include "admin_int.h"

typedef struct role {
  const char *name;
  unsigned bit;
} role;
static const role roles[] = {{"viewer", ADMIN_VIEWER}, {"operator", ADMIN_OPERATOR}, {"phi_viewer", ADMIN_PHI}, {"deployer", ADMIN_DEPLOYER}};
enum { NROLES = sizeof roles / sizeof *roles };

const char *admin_role_names(unsigned set, char out[80]) {
  size_t n = 0;
  out[0] = 0;
  for (unsigned i = 0; i < NROLES; i++)
    if (set & roles[i].bit) n += (size_t)snprintf(out + n, 80 - n, "%s%s", n ? ", " : "", roles[i].name);
  return out;
}

static const config_list *list_of(const config *c, unsigned i) {
  const config_list *l[NROLES] = {&c->roles.viewer, &c->roles.operator, &c->roles.phi_viewer, &c->roles.deployer};
  return l[i];
}

static bool is_number(const char *s, uint32_t n) {
  char *end;
  unsigned long v = strtoul(s, &end, 10);
  return s[0] >= '0' && s[0] <= '9' && !*end && v == n;
}

static bool matches(const char *entry, const io_cred *c) {
  if (!strncmp(entry, "uid:", 4)) return is_number(entry + 4, c->uid);
  if (strncmp(entry, "gid:", 4)) return false;
  if (is_number(entry + 4, c->gid)) return true;
  for (unsigned i = 0; i < c->ngroups; i++)
    if (is_number(entry + 4, c->groups[i])) return true;
  return false;
}

/* ---- tokens --------------------------------------------------------------------------------------------------------------------- */

static bool same_host(const io_addr *a, const io_addr *b) { return a->family == b->family && !memcmp(a->ip, b->ip, sizeof a->ip); }

/* The entry of an address; make: takes the one that was quiet for longest. */
static admin_peer *peer_of(admin *ad, const io_addr *a, bool make) {
  admin_peer *oldest = &ad->peers[0];
  for (unsigned i = 0; i < ADMIN_PEERS; i++) {
    if (same_host(&ad->peers[i].addr, a)) return &ad->peers[i];
    if (ad->peers[i].window_us < oldest->window_us) oldest = &ad->peers[i];
  }
  if (!make) return NULL;
  *oldest = (admin_peer){.addr = *a};
  return oldest;
}

static void wrong_token(admin *ad, const io_addr *a) {
  int64_t now = io_mono_us(ad->io);
  admin_peer *p = peer_of(ad, a, true);
  if (now - p->window_us > 60000000) p->window_us = now, p->wrong = 0;
  if (now - p->until_us > 3600000000) p->times = 0;
  if (++p->wrong < ADMIN_TRIES) return;
  int64_t wait = INT64_C(60000000) << (p->times > 3 ? 4 : p->times);
  p->until_us = now + (wait > INT64_C(900000000) ? INT64_C(900000000) : wait);
  p->wrong = 0, p->times++;
}

static bool token_is(const config *c, const char *name, const uint8_t hash[REC_HASH]) {
  const config_secret *s = config_find_secret(c, name);
  uint8_t want[REC_HASH];
  if (!s || !s->value) return false;
  cod_sha256(s->value, s->value_len, NULL, 0, want);
  return CRYPTO_memcmp(want, hash, REC_HASH) == 0;
}

static void by_token(admin_door *d, const http_request *r, bool count, admin_who *out) {
  admin *ad = d->ad;
  uint8_t hash[REC_HASH];
  http_str h = http_head_get(r->head, "authorization");
  const admin_peer *p = peer_of(ad, &r->peer, false);
  if (p && p->until_us > io_mono_us(ad->io)) {
    out->locked = true;
    return;
  }
  if (h.len < 8 || strncasecmp(h.p, "bearer ", 7)) return;
  cod_sha256(h.p + 7, h.len - 7, NULL, 0, hash);
  for (unsigned i = 0; i < NROLES; i++) {
    const config_list *l = list_of(ad->cfg, i);
    for (uint32_t k = 0; k < l->n; k++) {
      if (strncmp(l->v[k], "token:", 6) || !token_is(ad->cfg, l->v[k] + 6, hash)) continue;
      out->roles |= roles[i].bit;
      out->known = true;
      snprintf(out->name, sizeof out->name, "%.90s", l->v[k]);
    }
  }
  if (!out->known && count) wrong_token(ad, &r->peer);
}

void admin_identify(admin_door *d, const http_request *r, bool count, admin_who *out) {
  *out = (admin_who){.name = "nobody"};
  if (d->kind == DOOR_TCP) by_token(d, r, count, out);
  if (!r->has_cred) return;
  snprintf(out->name, sizeof out->name, "uid:%u", r->cred.uid);
  out->known = true;
  out->owner = r->cred.uid == 0 || r->cred.uid == d->ad->uid;
  if (out->owner) out->roles = ADMIN_ALL;
  for (unsigned i = 0; i < NROLES; i++) {
    const config_list *l = list_of(d->ad->cfg, i);
    for (uint32_t k = 0; k < l->n; k++)
      if (matches(l->v[k], &r->cred)) out->roles |= roles[i].bit;
  }
}

/* ---- browsers -------------------------------------------------------------------------------------------------------------------- */

/* Host without port and brackets equals name. */
static bool host_is(http_str h, const char *name) {
  if (h.len && h.p[0] == '[') {
    const char *end = (const char *)memchr(h.p, ']', h.len);
    if (!end) return false;
    h = (http_str){h.p + 1, (size_t)(end - h.p) - 1};
  } else {
    const char *colon = (const char *)memchr(h.p ? h.p : "", ':', h.len);
    if (colon) h.len = (size_t)(colon - h.p);
  }
  return http_str_is(h, name);
}

bool admin_foreign(const admin_door *d, const http_request *r) {
  const config_admin_http *o = &d->ad->cfg->admin_http;
  if (d->kind == DOOR_OBSERVE) return false;
  if (http_head_get(r->head, "origin").p) return true;
  if (d->kind != DOOR_TCP) return false;
  bool ok = host_is(r->head->host, o->address) || host_is(r->head->host, "localhost") || host_is(r->head->host, "127.0.0.1") || host_is(r->head->host, "::1");
  for (uint32_t i = 0; i < o->hosts.n; i++) ok |= host_is(r->head->host, o->hosts.v[i]);
  return !ok;
}
