/* config_bind.c - what the programs declare against what hdw.json binds; see config.h. */
#include <stdio.h>
#include "config_int.h"
#include "egress.h"
#include "json.h"

/* ---- binding -------------------------------------------------------------------------------------------------------------- */

#define FINDER(type, fn, arr, count)                           \
  type *fn(const config *c, const char *name) {                \
    for (uint32_t i = 0; i < c->count; i++)                    \
      if (!strcmp(c->arr[i].name, name)) return &c->arr[i];    \
    return NULL;                                               \
  }
FINDER(config_setting, config_find_setting, settings, nsettings)
FINDER(config_listener, config_find_listener, listeners, nlisteners)
FINDER(config_conn, config_find_conn, conns, nconns)
FINDER(config_secret, config_find_secret, secrets, nsecrets)

static bool type_fits(const char *type, val v) {
  int64_t i;
  if (!strcmp(type, "integer")) return jv_int(v, &i);
  if (!strcmp(type, "decimal")) return v.tag == VAL_NUM || v.tag == VAL_INT || v.tag == VAL_LONG || v.tag == VAL_DEC;
  if (!strcmp(type, "boolean")) return v.tag == VAL_BOOL;
  if (!strcmp(type, "any")) return true;
  return v.tag == VAL_STR;
}

/* Visits every {"$setting": ..} and {"$secret": ..} in an argument; depth is bounded by what meta_read accepted. */
static void use_refs(config *c, const meta *m, val v, bool literal) {
  if (v.tag == VAL_LIST)
    for (uint32_t i = 0; i < v.len; i++) use_refs(c, m, v.u.v[i], literal);
  if (v.tag != VAL_OBJ) return;
  const char *secret = jv_text(c->a, jv_get(v, "$secret"));
  if (secret) {
    config_secret *s = config_find_secret(c, secret);
    if (s) {
      s->used = true;
      if (s->problem) config_problem(c, "secrets.%.80s: %.300s", secret, s->problem);
    } else if (!literal) {
      nearest n;
      char h[140];
      nearest_init(&n, secret, strlen(secret));
      for (uint32_t i = 0; i < c->nsecrets; i++) nearest_offer(&n, c->secrets[i].name, strlen(c->secrets[i].name));
      config_problem(c, "secrets.%.100s: the program needs it; bind it to a file%s", secret, config_hint(&n, h, sizeof h));
    }
  }
  for (uint32_t i = 0; i < v.len; i++) use_refs(c, m, v.u.v[2 * i + 1], literal);
}

static void bind_settings(config *c, const meta *m, bool literal) {
  for (uint32_t i = 0; i < m->nsettings; i++) {
    const meta_setting *d = &m->settings[i];
    config_setting *s = config_find_setting(c, d->name);
    if (s) {
      s->used = true;
      if (!type_fits(d->type, s->value)) config_problem(c, "settings.%.100s: a value of type %.40s is expected", d->name, d->type);
      continue;
    }
    if (literal && d->has_default) continue;
    nearest n;
    char h[140];
    nearest_init(&n, d->name, strlen(d->name));
    for (uint32_t k = 0; k < c->nsettings; k++) nearest_offer(&n, c->settings[k].name, strlen(c->settings[k].name));
    config_problem(c, "settings.%.100s: not bound; %s needs it (type %.40s)%s", d->name, m->name[0] ? m->name : "the program", d->type, config_hint(&n, h, sizeof h));
  }
}

static bool grow(config *c, void **arr, uint32_t n, size_t size) {
  void *p = arena_zalloc(c->a, (size_t)n + 1, size);
  if (!p) return false;
  if (n) memcpy(p, *arr, n * size);
  *arr = p;
  return true;
}

static void bind_listeners(config *c, const meta *m, bool literal) {
  for (uint32_t i = 0; i < m->nlisteners; i++) {
    const meta_listener *d = &m->listeners[i];
    config_listener *l = config_find_listener(c, d->name);
    if (!l && literal) {
      void *p = c->listeners;
      if (!grow(c, &p, c->nlisteners, sizeof *c->listeners)) return;
      c->listeners = (config_listener *)p;
      l = &c->listeners[c->nlisteners++];
      l->name = arena_dup(c->a, d->name, strlen(d->name)); /* the config outlives the module */
      if (!l->name) return;
      config_listener_defaults(&l->o);
      int64_t port;
      if (jv_int(jv_get(d->args, "port"), &port) && port >= 0 && port <= 65535) l->o.port = port;
    }
    if (!l) {
      nearest n;
      char h[140];
      nearest_init(&n, d->name, strlen(d->name));
      for (uint32_t k = 0; k < c->nlisteners; k++) nearest_offer(&n, c->listeners[k].name, strlen(c->listeners[k].name));
      config_problem(c, "listeners.%.100s: not bound; the program declares it (%s): give it an address and a port%s", d->name, d->kind, config_hint(&n, h, sizeof h));
      continue;
    }
    l->used = true;
    if (l->problem) config_problem(c, "listeners.%.80s.%.300s", d->name, l->problem);
    if (strcmp(d->kind, "mllp") && strcmp(d->kind, "http")) config_problem(c, "listeners.%.100s: listeners of kind %.40s are not available in this version", d->name, d->kind);
    if (l->o.port < 0 && !literal) config_problem(c, "listeners.%.100s.port: missing", d->name);
  }
}

/* Kinds whose peer must be granted. */
static bool is_network_kind(const char *kind) { return !strcmp(kind, "rest") || !strcmp(kind, "mllp") || !strcmp(kind, "fhir"); }

/* An address that is written down and not allowed is found here, a name's when it is resolved. */
static void check_address(config *c, const config_conn *x) {
  net_cidr nets[256];
  egress_policy p = {.grant = nets, .private_networks = x->o.private_networks};
  const char *rule = NULL, *at = x->o.base[0] ? strstr(x->o.base, "://") : x->o.address;
  char host[300];
  io_addr a;
  at = !at ? "" : x->o.base[0] ? at + 3 : at; /* whether it is a URL at all is the driver's to say */
  bool six = at[0] == '[';
  snprintf(host, sizeof host, "%.*s", (int)strcspn(at + six, six ? "]" : ":/?"), at + six);
  for (unsigned i = 0; i < x->networks.n && p.n_grant < 256; i++) {
    if (net_cidr_parse(x->networks.v[i], &nets[p.n_grant])) {
      config_problem(c, "connections.%.80s.grant.networks: '%.60s' is no network (10.0.0.0/8)", x->name, x->networks.v[i]);
      return;
    }
    p.n_grant++;
  }
  if (host[0] && egress_host(host, 1, &a) && !egress_pick(&p, &a, 1, &a, 1, &rule))
    config_problem(c, "connections.%.80s.%s: %.60s is %s: connections.%.80s.grant.networks does not allow it", x->name, x->o.base[0] ? "base" : "address", host, rule, x->name);
}

static void bind_conns(config *c, const meta *m, bool literal) {
  for (uint32_t i = 0; i < m->nconns; i++) {
    const meta_conn *d = &m->conns[i];
    config_conn *x = config_find_conn(c, d->name);
    if (!x && literal) {
      void *p = c->conns;
      if (!grow(c, &p, c->nconns, sizeof *c->conns)) return;
      c->conns = (config_conn *)p;
      x = &c->conns[c->nconns++];
      x->name = arena_dup(c->a, d->name, strlen(d->name));
      if (!x->name) return;
      config_conn_defaults(&x->o);
    }
    if (!x) {
      nearest n;
      char h[140];
      nearest_init(&n, d->name, strlen(d->name));
      for (uint32_t k = 0; k < c->nconns; k++) nearest_offer(&n, c->conns[k].name, strlen(c->conns[k].name));
      config_problem(c, "connections.%.100s: not bound; the program declares it (%s)%s%s", d->name, d->kind,
                     is_network_kind(d->kind) ? ": grant it the networks that it may reach" : "", config_hint(&n, h, sizeof h));
      continue;
    }
    x->used = true;
    if (x->problem) config_problem(c, "connections.%.80s.%.300s", d->name, x->problem);
    bool known = is_network_kind(d->kind) || !strcmp(d->kind, "folder");
    if (!known && !literal) config_problem(c, "connections.%.100s: connections of kind %.40s are not available in this version", d->name, d->kind);
    use_refs(c, m, d->args, literal);
    if (is_network_kind(d->kind) && !literal) check_address(c, x);
  }
}

uint32_t config_bind_module(config *c, const meta *m, bool literal_defaults) {
  uint32_t before = c->nproblems;
  bind_settings(c, m, literal_defaults);
  bind_listeners(c, m, literal_defaults);
  bind_conns(c, m, literal_defaults);
  return c->nproblems - before;
}

/* ---- one connection that several programs declare ------------------------------------------------------------------------------ */

/* Of a document: members in any order, the rest as it is written. As deep as META nests: 32 at most. */
static bool same_value(arena *a, val x, val y) {
  if (x.tag != y.tag || (x.flags & VALF_ARRAY) != (y.flags & VALF_ARRAY)) return false;
  if (x.tag == VAL_LIST || x.tag == VAL_OBJ) {
    if (x.len != y.len) return false;
    for (uint32_t i = 0; i < x.len; i++) {
      const char *key = x.tag == VAL_OBJ ? jv_text(a, x.u.v[2 * i]) : NULL;
      if (x.tag == VAL_OBJ && !key) return false;
      if (key ? !same_value(a, x.u.v[2 * i + 1], jv_get(y, key)) : !same_value(a, x.u.v[i], y.u.v[i])) return false;
    }
    return true;
  }
  buf p, q;
  buf_init(&p, a, 1 << 20);
  buf_init(&q, a, 1 << 20);
  return !json_write(x, &p, NULL) && !json_write(y, &q, NULL) && p.len == q.len && (p.len == 0 || !memcmp(p.p, q.p, p.len));
}

/* What the operator binds holds for every program, whatever they say. */
static bool is_bound(const config_conn *x, const char *key) {
  if (!x) return false;
  if (!strcmp(key, "base")) return x->o.base[0] != 0;
  if (!strcmp(key, "host") || !strcmp(key, "port")) return x->o.address[0] != 0;
  if (!strcmp(key, "path")) return x->o.folder[0] != 0;
  return !strcmp(key, "timeout") && x->has_timeout;
}

static void name_key(buf *b, const char *key) {
  if (b->len) buf_puts(b, ", ");
  buf_puts(b, key);
}

/* The arguments of x that y has not, or (both) that are another value there. */
static void differing(const config *c, const config_conn *bound, val x, val y, bool both, buf *out) {
  for (uint32_t i = 0; x.tag == VAL_OBJ && i < x.len; i++) {
    const char *key = jv_text(c->a, x.u.v[2 * i]);
    if (!key || is_bound(bound, key)) continue;
    val other = jv_get(y, key);
    if (other.tag == VAL_EMPTY || (both && !same_value(c->a, x.u.v[2 * i + 1], other))) name_key(out, key);
  }
}

static uint32_t compare_conns(config *c, const meta *m, const meta_conn *x, const meta *n, const meta_conn *y) {
  buf b;
  val p, q;
  const config_conn *bound = config_find_conn(c, x->name);
  buf_init(&b, c->a, 4096);
  if (strcmp(x->kind, y->kind)) buf_putf(&b, "%s and %s", x->kind, y->kind);
  else {
    if (config_resolve(c, m, x->args, &p) || config_resolve(c, n, y->args, &q)) return 0; /* a setting is not bound: said already */
    differing(c, bound, p, q, true, &b);
    differing(c, bound, q, p, false, &b);
  }
  buf_putc(&b, 0);
  if (!b.status && b.len == 1) return 0;
  config_problem(c, "connections.%.60s: the programs %.60s and %.60s declare it differently (%.80s): give it one definition in both, or another name in one of them", x->name, m->name, n->name,
                 b.status ? "there is no memory to compare them" : b.p);
  return 1;
}

uint32_t config_bind_shared(config *c, const meta *const *mods, uint32_t n) {
  const meta *last = n ? mods[n - 1] : NULL;
  uint32_t found = 0;
  for (uint32_t k = 0; last && k < last->nconns; k++) {
    bool seen = false;
    for (uint32_t i = 0; i + 1 < n && !seen; i++) /* those before it agree: the first one stands for all */
      for (uint32_t j = 0; j < mods[i]->nconns && !seen; j++) {
        if (strcmp(mods[i]->conns[j].name, last->conns[k].name) || !strcmp(mods[i]->name, last->name)) continue; /* of one name: a version in place of the other */
        found += compare_conns(c, mods[i], &mods[i]->conns[j], last, &last->conns[k]);
        seen = true;
      }
  }
  return found;
}

void config_use(config *c, const meta *m) {
  uint32_t before = c->nproblems;
  (void)config_bind_module(c, m, false);
  c->nproblems = before;
}

static void unused(config *c, const char *section, const char *name, const char *what, const nearest *n) {
  char h[140];
  config_problem(c, "%s.%.100s: %s%s", section, name, what, config_hint(n, h, sizeof h));
}

/* Near names of one section that programs declare: what a binding that nobody uses was probably meant for. */
#define NEAR_DECLARED(n, given, mods, count, arr, narr)                                      \
  nearest_init(n, given, strlen(given));                                                     \
  for (uint32_t m_ = 0; m_ < (count); m_++)                                                  \
    for (uint32_t k_ = 0; k_ < (mods)[m_]->narr; k_++) nearest_offer(n, (mods)[m_]->arr[k_].name, strlen((mods)[m_]->arr[k_].name));

void config_unused(config *c, const meta *const *mods, uint32_t count) {
  nearest n;
  for (uint32_t i = 0; i < c->nsettings; i++) {
    if (c->settings[i].used) continue;
    NEAR_DECLARED(&n, c->settings[i].name, mods, count, settings, nsettings)
    unused(c, "settings", c->settings[i].name, "no program declares it", &n);
  }
  for (uint32_t i = 0; i < c->nlisteners; i++) {
    if (c->listeners[i].used) continue;
    NEAR_DECLARED(&n, c->listeners[i].name, mods, count, listeners, nlisteners)
    unused(c, "listeners", c->listeners[i].name, "no program declares it", &n);
  }
  for (uint32_t i = 0; i < c->nconns; i++) {
    if (c->conns[i].used) continue;
    NEAR_DECLARED(&n, c->conns[i].name, mods, count, conns, nconns)
    unused(c, "connections", c->conns[i].name, "no program declares it", &n);
  }
  for (uint32_t i = 0; i < c->nsecrets; i++)
    if (!c->secrets[i].used) config_problem(c, "secrets.%.100s: no connection uses it", c->secrets[i].name);
}

hdw_status config_bind(config *c, const meta *const *mods, uint32_t n, bool literal_defaults) {
  for (uint32_t i = 0; i < n; i++) {
    (void)config_bind_module(c, mods[i], literal_defaults);
    (void)config_bind_shared(c, mods, i + 1);
  }
  config_unused(c, mods, n);
  return HDW_OK;
}

/* Recursion is bounded: args come from META, which nests 32 deep at most. */
hdw_status config_resolve(const config *c, const meta *m, val arg, val *out) {
  *out = arg;
  if (arg.tag == VAL_LIST || arg.tag == VAL_OBJ) {
    const char *name = arg.tag == VAL_OBJ ? jv_text(c->a, jv_get(arg, "$setting")) : NULL;
    if (name) {
      config_setting *s = config_find_setting(c, name);
      if (s) {
        *out = s->value;
        return HDW_OK;
      }
      for (uint32_t i = 0; i < m->nsettings; i++)
        if (!strcmp(m->settings[i].name, name) && m->settings[i].has_default) {
          *out = m->settings[i].def;
          return HDW_OK;
        }
      return HDW_E_NOTFOUND;
    }
    uint32_t n = arg.tag == VAL_OBJ ? 2 * arg.len : arg.len, step = arg.tag == VAL_OBJ ? 2 : 1;
    val *v = (val *)arena_zalloc(c->a, n ? n : 1, sizeof *v);
    if (!v) return HDW_E_NOMEM;
    if (n) memcpy(v, arg.u.v, n * sizeof *v);
    for (uint32_t i = step - 1; i < n; i += step) {
      hdw_status s = config_resolve(c, m, arg.u.v[i], &v[i]);
      if (s) return s;
    }
    out->u.v = v;
  }
  return HDW_OK;
}
