/* config.c - reading and binding; see config.h. What derives from the table for readers is in config_doc.c. */
#include "config.h"
#include <stdarg.h>
#include <stdio.h>
#include "json.h"
#include "nearest.h"

typedef enum opt_kind { OPT_INT, OPT_TEXT, OPT_BOOL, OPT_LIST } opt_kind;
typedef struct opt_row {
  const char *name;
  opt_kind kind;
  size_t at;                   /* offset in its struct */
  int64_t min, max;
} opt_row;

#define ROW_OF(type, kind, name, lo, hi) {#name, OPT_##kind, offsetof(type, name), lo, hi},
static const opt_row top_rows[] = {
#define TOP(kind, name, def, min, max, doc) ROW_OF(config_top, kind, name, min, max)
#include "options.def"
};
static const opt_row listener_rows[] = {
#define LISTENER(kind, name, def, min, max, doc) ROW_OF(config_listener_opts, kind, name, min, max)
#include "options.def"
};
static const opt_row tls_rows[] = {
#define TLS(kind, name, def, min, max, doc) ROW_OF(config_tls_opts, kind, name, min, max)
#include "options.def"
};
static const opt_row conn_rows[] = {
#define CONNECTION(kind, name, def, min, max, doc) ROW_OF(config_conn_opts, kind, name, min, max)
#include "options.def"
};
static const opt_row role_rows[] = {
#define ROLE(kind, name, def, min, max, doc) ROW_OF(config_roles, kind, name, min, max)
#include "options.def"
};
static const opt_row client_tls_rows[] = {
#define CLIENT_TLS(kind, name, def, min, max, doc) ROW_OF(config_client_tls_opts, kind, name, min, max)
#include "options.def"
};
#define NROWS(t) (sizeof(t) / sizeof((t)[0]))

#define SET_INT(field, def) field = def;
#define SET_TEXT(field, def) field = def;
#define SET_BOOL(field, def) field = def;
#define SET_LIST(field, def) field = (config_list){0};

static void listener_defaults(config_listener_opts *o) {
#define LISTENER(kind, name, def, min, max, doc) SET_##kind(o->name, def)
#include "options.def"
}
static void conn_defaults(config_conn_opts *o) {
#define CONNECTION(kind, name, def, min, max, doc) SET_##kind(o->name, def)
#include "options.def"
}

void config_init(config *c, arena *a) {
  *c = (config){.a = a, .file = "hdw.json"};
#define TOP(kind, name, def, min, max, doc) SET_##kind(c->top.name, def)
#include "options.def"
}

void config_problem(config *c, const char *fmt, ...) {
  char line[400];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  if (n < 0) n = 0;
  if (n >= (int)sizeof line) n = (int)sizeof line - 1;
  if (c->nproblems < CONFIG_MAX_PROBLEMS) {
    const char *keep = arena_dup(c->a, line, (size_t)n);
    c->problems[c->nproblems] = keep ? keep : "out of memory";
  }
  c->nproblems++;
}

/* " (did you mean 'x'?)" or "". */
static const char *hint(const nearest *n, char *out, size_t size) {
  out[0] = 0;
  if (n->n) snprintf(out, size, " (did you mean '%.*s'?)", (int)(n->hit[0].len > 100 ? 100 : n->hit[0].len), n->hit[0].name);
  return out;
}

static const char *key_text(config *c, val key) {
  const char *s = jv_text(c->a, key);
  return s ? s : "?";
}

/* ---- one option ---------------------------------------------------------------------------------------------------------- */

static void read_list(config *c, const char *where, const char *name, val v, int64_t max, config_list *out) {
  uint32_t n = v.tag == VAL_LIST ? v.len : 0;
  if (v.tag != VAL_LIST || n > max) {
    config_problem(c, "%s%s: an array of at most %lld strings is expected", where, name, (long long)max);
    return;
  }
  const char **p = (const char **)arena_zalloc(c->a, n ? n : 1, sizeof *p);
  if (!p) return;
  for (uint32_t i = 0; i < n; i++) {
    p[i] = jv_text(c->a, v.u.v[i]);
    if (!p[i]) {
      config_problem(c, "%s%s[%u]: a string is expected", where, name, i);
      return;
    }
  }
  *out = (config_list){p, n};
}

static void read_option(config *c, const char *where, const opt_row *row, val v, void *base) {
  void *at = (char *)base + row->at;
  int64_t i;
  switch (row->kind) {
  case OPT_INT:
    if (!jv_int(v, &i)) config_problem(c, "%s%s: a whole number is expected", where, row->name);
    else if (i < row->min || i > row->max)
      config_problem(c, "%s%s: %lld is outside %lld .. %lld", where, row->name, (long long)i, (long long)row->min, (long long)row->max);
    else *(int64_t *)at = i;
    break;
  case OPT_TEXT: {
    const char *s = jv_text(c->a, v);
    if (!s || (int64_t)strlen(s) < row->min || (int64_t)strlen(s) > row->max)
      config_problem(c, "%s%s: a string of %lld to %lld bytes is expected", where, row->name, (long long)row->min, (long long)row->max);
    else *(const char **)at = s;
    break;
  }
  case OPT_BOOL:
    if (v.tag != VAL_BOOL) config_problem(c, "%s%s: true or false is expected", where, row->name);
    else *(bool *)at = v.u.i != 0;
    break;
  case OPT_LIST: read_list(c, where, row->name, v, row->max, (config_list *)at); break;
  }
}

/* Reads the members of an object by the table; extra: names that the caller reads itself. */
static void read_options(config *c, const char *where, val obj, const opt_row *rows, size_t nrows, const char *const *extra, void *base) {
  for (uint32_t m = 0; m < obj.len; m++) {
    val key = obj.u.v[2 * m], v = obj.u.v[2 * m + 1];
    const opt_row *row = NULL;
    bool known = key.len > 0 && key.u.s[0] == '$'; /* "$schema" and comments */
    for (size_t i = 0; i < nrows && !row; i++)
      if (jv_is(key, rows[i].name)) row = &rows[i];
    for (const char *const *e = extra; e && *e; e++) known |= jv_is(key, *e);
    if (row) {
      read_option(c, where, row, v, base);
      continue;
    }
    if (known) continue;
    const char *name = key_text(c, key);
    nearest n;
    char h[140];
    nearest_init(&n, name, strlen(name));
    for (size_t i = 0; i < nrows; i++) nearest_offer(&n, rows[i].name, strlen(rows[i].name));
    for (const char *const *e = extra; e && *e; e++) nearest_offer(&n, *e, strlen(*e));
    config_problem(c, "%s%.80s: no such option%s", where, name, hint(&n, h, sizeof h));
  }
}

/* ---- sections ------------------------------------------------------------------------------------------------------------- */

/* Object member of the root as n zeroed entries of size bytes. */
static void *section(config *c, val root, const char *key, size_t size, val *obj, uint32_t *n) {
  *obj = jv_get(root, key);
  *n = 0;
  if (obj->tag == VAL_EMPTY) return NULL;
  if (obj->tag != VAL_OBJ || obj->len > META_MAX_NAMES) {
    config_problem(c, "%s: an object is expected", key);
    return NULL;
  }
  void *p = arena_zalloc(c->a, obj->len ? obj->len : 1, size);
  if (p) *n = obj->len;
  return p;
}

static bool one_of(const char *s, const char *a, const char *b) { return !strcmp(s, a) || !strcmp(s, b); }

static void read_tls(config *c, const char *where, val v, config_listener *l) {
  char tw[220];
  snprintf(tw, sizeof tw, "%stls.", where);
#define TLS(kind, name, def, min, max, doc) SET_##kind(l->tls.name, def)
#include "options.def"
  if (v.tag == VAL_EMPTY) return;
  l->has_tls = true;
  if (v.tag != VAL_OBJ) config_problem(c, "%stls: an object is expected", where);
  else read_options(c, tw, v, tls_rows, NROWS(tls_rows), NULL, &l->tls);
  if (!l->tls.cert[0] || !l->tls.key[0]) config_problem(c, "%stls: cert and key are needed", where);
}

static void read_listeners(config *c, val root) {
  val obj;
  c->listeners = (config_listener *)section(c, root, "listeners", sizeof *c->listeners, &obj, &c->nlisteners);
  for (uint32_t i = 0; i < c->nlisteners; i++) {
    config_listener *l = &c->listeners[i];
    char where[200];
    l->name = key_text(c, obj.u.v[2 * i]);
    snprintf(where, sizeof where, "listeners.%.100s.", l->name);
    listener_defaults(&l->o);
    val v = obj.u.v[2 * i + 1];
    static const char *const extra[] = {"tls", NULL};
    if (v.tag != VAL_OBJ) config_problem(c, "listeners.%.100s: an object is expected", l->name);
    else read_options(c, where, v, listener_rows, NROWS(listener_rows), extra, &l->o);
    read_tls(c, where, jv_get(v, "tls"), l);
    if (!one_of(l->o.unmatched, "reject", "accept")) config_problem(c, "%sunmatched: reject or accept is expected", where);
    if (!one_of(l->o.conflict, "reject", "accept")) config_problem(c, "%sconflict: reject or accept is expected", where);
  }
}

static void read_client_tls(config *c, const char *where, val v, config_conn *x) {
  char tw[220];
  snprintf(tw, sizeof tw, "%stls.", where);
#define CLIENT_TLS(kind, name, def, min, max, doc) SET_##kind(x->tls.name, def)
#include "options.def"
  if (v.tag == VAL_EMPTY) return;
  x->has_tls = true;
  if (v.tag != VAL_OBJ) config_problem(c, "%stls: an object is expected", where);
  else read_options(c, tw, v, client_tls_rows, NROWS(client_tls_rows), NULL, &x->tls);
  if (!x->tls.cert[0] != !x->tls.key[0]) config_problem(c, "%stls: cert and key belong together", where);
}

/* "CODE=done|retry|dead" */
static void check_reactions(config *c, const char *where, const config_list *l) {
  for (uint32_t i = 0; i < l->n; i++) {
    const char *eq = strchr(l->v[i], '=');
    if (!eq || eq == l->v[i] || eq - l->v[i] > 11 || (strcmp(eq, "=done") && strcmp(eq, "=retry") && strcmp(eq, "=dead")))
      config_problem(c, "%sreactions: '%.40s' is not of the form CODE=done, CODE=retry or CODE=dead", where, l->v[i]);
  }
}

static void read_conns(config *c, val root) {
  val obj;
  c->conns = (config_conn *)section(c, root, "connections", sizeof *c->conns, &obj, &c->nconns);
  for (uint32_t i = 0; i < c->nconns; i++) {
    config_conn *x = &c->conns[i];
    char where[200];
    x->name = key_text(c, obj.u.v[2 * i]);
    snprintf(where, sizeof where, "connections.%.100s.", x->name);
    conn_defaults(&x->o);
    val v = obj.u.v[2 * i + 1], grant = jv_get(v, "grant");
    static const char *const extra[] = {"grant", "tls", NULL};
    if (v.tag != VAL_OBJ) {
      config_problem(c, "connections.%.100s: an object is expected", x->name);
      continue;
    }
    read_options(c, where, v, conn_rows, NROWS(conn_rows), extra, &x->o);
    x->has_timeout = jv_get(v, "timeout_ms").tag != VAL_EMPTY;
    if (!one_of(x->o.ambiguous, "retry", "stop")) config_problem(c, "%sambiguous: retry or stop is expected", where);
    if (x->o.on_dead[0] && !one_of(x->o.on_dead, "hold", "skip")) config_problem(c, "%son_dead: hold or skip is expected", where);
    if (!one_of(x->o.hl7_answer, "required", "any")) config_problem(c, "%shl7_answer: required or any is expected", where);
    check_reactions(c, where, &x->o.reactions);
    read_client_tls(c, where, jv_get(v, "tls"), x);
    if (grant.tag == VAL_OBJ) {
      static const char *const in_grant[] = {"networks", NULL};
      char gw[220];
      snprintf(gw, sizeof gw, "%sgrant.", where);
      read_options(c, gw, grant, NULL, 0, in_grant, NULL);
      if (jv_get(grant, "networks").tag != VAL_EMPTY) read_list(c, gw, "networks", jv_get(grant, "networks"), 256, &x->networks);
    } else if (grant.tag != VAL_EMPTY) config_problem(c, "%sgrant: an object is expected", where);
  }
}

static void read_named(config *c, val root) {
  val obj;
  c->settings = (config_setting *)section(c, root, "settings", sizeof *c->settings, &obj, &c->nsettings);
  for (uint32_t i = 0; i < c->nsettings; i++) c->settings[i] = (config_setting){key_text(c, obj.u.v[2 * i]), obj.u.v[2 * i + 1], false};
  c->secrets = (config_secret *)section(c, root, "secrets", sizeof *c->secrets, &obj, &c->nsecrets);
  for (uint32_t i = 0; i < c->nsecrets; i++) {
    config_secret *s = &c->secrets[i];
    *s = (config_secret){.name = key_text(c, obj.u.v[2 * i])};
    val v = obj.u.v[2 * i + 1];
    static const char *const extra[] = {"file", NULL};
    char where[200];
    snprintf(where, sizeof where, "secrets.%.100s.", s->name);
    if (v.tag == VAL_OBJ) read_options(c, where, v, NULL, 0, extra, NULL);
    s->file = jv_text(c->a, jv_get(v, "file"));
    if (!s->file || !s->file[0]) config_problem(c, "secrets.%.100s: {\"file\": path} is expected; secrets never stand in this file", s->name);
  }
}

static void check_role(config *c, const char *role, config_list l) {
  for (uint32_t i = 0; i < l.n; i++) {
    const char *s = l.v[i];
    bool number = !strncmp(s, "uid:", 4) || !strncmp(s, "gid:", 4);
    for (const char *p = s + 4; number && (*p || p == s + 4); p++) number = *p >= '0' && *p <= '9';
    if (!number) config_problem(c, "roles.%s: '%.60s' is neither uid:NUMBER nor gid:NUMBER", role, s);
  }
}

static void read_roles(config *c, val root) {
  val v = jv_get(root, "roles");
  if (v.tag == VAL_EMPTY) return;
  if (v.tag != VAL_OBJ) config_problem(c, "roles: an object is expected");
  else read_options(c, "roles.", v, role_rows, NROWS(role_rows), NULL, &c->roles);
#define ROLE(kind, name, def, min, max, doc) check_role(c, #name, c->roles.name);
#include "options.def"
}

hdw_status config_read(config *c, mem *scratch, const char *file, const char *text, size_t len) {
  json_reader r;
  json_error je;
  json_opts opts = {.max_depth = 16};
  val root;
  c->file = file;
  json_reader_init(&r, scratch);
  hdw_status s = json_read(&r, c->a, text, len, &opts, &root, &je);
  json_reader_free(&r);
  if (s == HDW_E_NOMEM) return s;
  if (s) {
    config_problem(c, "line %u, column %u: %s; %s expected", je.line, je.column, hdw_status_text(s), je.expected ? je.expected : "something else");
    return HDW_OK;
  }
  if (root.tag != VAL_OBJ) {
    config_problem(c, "the file holds no JSON object");
    return HDW_OK;
  }
  static const char *const extra[] = {"settings", "listeners", "connections", "secrets", "modules", "roles", NULL};
  read_options(c, "", root, top_rows, NROWS(top_rows), extra, &c->top);
  read_named(c, root);
  read_listeners(c, root);
  read_conns(c, root);
  read_roles(c, root);
  return HDW_OK;
}

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
    if (s) s->used = true;
    else if (!literal) {
      nearest n;
      char h[140];
      nearest_init(&n, secret, strlen(secret));
      for (uint32_t i = 0; i < c->nsecrets; i++) nearest_offer(&n, c->secrets[i].name, strlen(c->secrets[i].name));
      config_problem(c, "secrets.%.100s: the program needs it; bind it to a file%s", secret, hint(&n, h, sizeof h));
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
    config_problem(c, "settings.%.100s: not bound; %s needs it (type %.40s)%s", d->name, m->name[0] ? m->name : "the program", d->type, hint(&n, h, sizeof h));
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
      listener_defaults(&l->o);
      int64_t port;
      if (jv_int(jv_get(d->args, "port"), &port) && port >= 0 && port <= 65535) l->o.port = port;
    }
    if (!l) {
      nearest n;
      char h[140];
      nearest_init(&n, d->name, strlen(d->name));
      for (uint32_t k = 0; k < c->nlisteners; k++) nearest_offer(&n, c->listeners[k].name, strlen(c->listeners[k].name));
      config_problem(c, "listeners.%.100s: not bound; the program declares it (%s): give it an address and a port%s", d->name, d->kind, hint(&n, h, sizeof h));
      continue;
    }
    l->used = true;
    if (strcmp(d->kind, "mllp") && strcmp(d->kind, "http")) config_problem(c, "listeners.%.100s: listeners of kind %.40s are not available in this version", d->name, d->kind);
    if (l->o.port < 0 && !literal) config_problem(c, "listeners.%.100s.port: missing", d->name);
  }
}

/* Kinds whose peer must be granted. */
static bool is_network_kind(const char *kind) { return !strcmp(kind, "rest") || !strcmp(kind, "mllp") || !strcmp(kind, "fhir"); }

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
      conn_defaults(&x->o);
    }
    if (!x) {
      nearest n;
      char h[140];
      nearest_init(&n, d->name, strlen(d->name));
      for (uint32_t k = 0; k < c->nconns; k++) nearest_offer(&n, c->conns[k].name, strlen(c->conns[k].name));
      config_problem(c, "connections.%.100s: not bound; the program declares it (%s)%s%s", d->name, d->kind,
                     is_network_kind(d->kind) ? ": grant it the networks that it may reach" : "", hint(&n, h, sizeof h));
      continue;
    }
    x->used = true;
    bool known = is_network_kind(d->kind) || !strcmp(d->kind, "folder");
    if (!known && !literal) config_problem(c, "connections.%.100s: connections of kind %.40s are not available in this version", d->name, d->kind);
    use_refs(c, m, d->args, literal);
  }
}

hdw_status config_bind(config *c, const meta *const *mods, uint32_t n, bool literal_defaults) {
  for (uint32_t i = 0; i < n; i++) {
    bind_settings(c, mods[i], literal_defaults);
    bind_listeners(c, mods[i], literal_defaults);
    bind_conns(c, mods[i], literal_defaults);
  }
  for (uint32_t i = 0; i < c->nsettings; i++)
    if (!c->settings[i].used) config_problem(c, "settings.%.100s: no program declares it", c->settings[i].name);
  for (uint32_t i = 0; i < c->nlisteners; i++)
    if (!c->listeners[i].used) config_problem(c, "listeners.%.100s: no program declares it", c->listeners[i].name);
  for (uint32_t i = 0; i < c->nconns; i++)
    if (!c->conns[i].used) config_problem(c, "connections.%.100s: no program declares it", c->conns[i].name);
  for (uint32_t i = 0; i < c->nsecrets; i++)
    if (!c->secrets[i].used) config_problem(c, "secrets.%.100s: no connection uses it", c->secrets[i].name);
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
