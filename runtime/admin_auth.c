/* admin_auth.c - who calls, and what they may.
 *
 * On the unix socket the kernel says who is at the other end. root and the daemon's own user have every role; others have what hdw.json says:
 *
 *   "roles": { "viewer": ["gid:4", "uid:1001"], "operator": ["uid:1001"] } */
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

void admin_identify(const admin *ad, const http_request *r, admin_who *out) {
  *out = (admin_who){.name = "nobody"};
  if (!r->has_cred) return;
  snprintf(out->name, sizeof out->name, "uid:%u", r->cred.uid);
  out->known = true;
  out->owner = r->cred.uid == 0 || r->cred.uid == ad->uid;
  if (out->owner) out->roles = ADMIN_ALL;
  for (unsigned i = 0; i < NROLES; i++) {
    const config_list *l = list_of(ad->cfg, i);
    for (uint32_t k = 0; k < l->n; k++)
      if (matches(l->v[k], &r->cred)) out->roles |= roles[i].bit;
  }
}
