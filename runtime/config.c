/* config.c - reading; see config.h. Binding is in config_bind.c, what derives from the table for readers in config_doc.c. */
#include "config_int.h"
#include "charset.h"
#include <stdarg.h>
#include <stdio.h>
#include "json.h"

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
static const opt_row admin_http_rows[] = {
#define ADMIN_HTTP(kind, name, def, min, max, doc) ROW_OF(config_admin_http, kind, name, min, max)
#include "options.def"
};
static const opt_row observe_rows[] = {
#define OBSERVE(kind, name, def, min, max, doc) ROW_OF(config_observe, kind, name, min, max)
#include "options.def"
};
static const opt_row traces_rows[] = {
#define TRACES(kind, name, def, min, max, doc) ROW_OF(config_traces, kind, name, min, max)
#include "options.def"
};
#define NROWS(t) (sizeof(t) / sizeof((t)[0]))

#define SET_INT(field, def) field = def;
#define SET_TEXT(field, def) field = def;
#define SET_BOOL(field, def) field = def;
#define SET_LIST(field, def) field = (config_list){0};

void config_listener_defaults(config_listener_opts *o) {
#define LISTENER(kind, name, def, min, max, doc) SET_##kind(o->name, def)
#include "options.def"
}
void config_conn_defaults(config_conn_opts *o) {
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
const char *config_hint(const nearest *n, char *out, size_t size) {
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
    config_problem(c, "%s%.80s: no such option%s", where, name, config_hint(&n, h, sizeof h));
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

/* NAME=VALUE with both there; NULL: not so. */
static const char *pair_value(const char *s) {
  const char *eq = strchr(s, '=');
  return eq && eq > s && eq[1] ? eq + 1 : NULL;
}

static void check_listener(config *c, const char *where, const config_listener *l) {
  const config_listener_opts *o = &l->o;
  static const char *const codes[] = {"AA", "AE", "AR", "CA", "CE", "CR"};
  if (!one_of(o->ack, "normal", "original") && !one_of(o->ack, "immediate", "none")) config_problem(c, "%sack: normal, original, immediate or none is expected", where);
  if (!one_of(o->ack_type, "version", "plain") && strcmp(o->ack_type, "event")) config_problem(c, "%sack_type: version, plain or event is expected", where);
  if (!one_of(o->ack_lone, "never", "always")) config_problem(c, "%sack_lone: never or always is expected", where);
  if (!one_of(o->unparseable, "answer", "close")) config_problem(c, "%sunparseable: answer or close is expected", where);
  if (!one_of(o->duplicates, "key", "content")) config_problem(c, "%sduplicates: key or content is expected", where);
  if (!one_of(o->batch_ack, "all", "errors") && strcmp(o->batch_ack, "messages")) config_problem(c, "%sbatch_ack: all, errors or messages is expected", where);
  if (!one_of(o->batch_counts, "reject", "warn")) config_problem(c, "%sbatch_counts: reject or warn is expected", where);
  if (o->charset[0] && !charset_supported(charset_find(o->charset, strlen(o->charset)))) config_problem(c, "%scharset: '%.40s' is no character set that is converted here", where, o->charset);
  for (uint32_t i = 0; i < o->ack_codes.n; i++) {
    const char *s = o->ack_codes.v[i], *to = pair_value(s);
    bool from_ok = false, to_ok = to && !strcmp(to, "none");
    for (unsigned k = 0; to && k < 6; k++) from_ok |= !strncmp(s, codes[k], 2) && s[2] == '=', to_ok |= !strcmp(to, codes[k]);
    if (!from_ok || !to_ok) config_problem(c, "%sack_codes[%u]: 'CODE=CODE' or 'CODE=none' with AA, AE, AR, CA, CE, CR is expected", where, i);
  }
  const struct { const char *name; const config_list *list; } pairs[] = {{"basic", &o->basic}, {"bearer", &o->bearer}, {"clients", &o->clients}};
  for (unsigned p = 0; p < 3; p++)
    for (uint32_t i = 0; i < pairs[p].list->n; i++)
      if (!pair_value(pairs[p].list->v[i])) config_problem(c, "%s%s[%u]: 'NAME=%s' is expected", where, pairs[p].name, i, p == 2 ? "SUBJECT" : "SECRET");
  if (o->clients.n && !(l->has_tls && l->tls.client_ca[0])) config_problem(c, "%sclients: needs tls.client_ca, else nobody shows a certificate", where);
  for (unsigned p = 0; p < 2; p++)
    for (uint32_t i = 0; i < pairs[p].list->n; i++) {
      const char *name = pair_value(pairs[p].list->v[i]);
      config_secret *s = name ? config_find_secret(c, name) : NULL;
      if (s) s->used = true;
      else if (name) config_problem(c, "%s%s[%u]: there is no secret '%.80s' under secrets", where, pairs[p].name, i, name);
    }
}

static void read_listeners(config *c, val root) {
  val obj;
  c->listeners = (config_listener *)section(c, root, "listeners", sizeof *c->listeners, &obj, &c->nlisteners);
  for (uint32_t i = 0; i < c->nlisteners; i++) {
    config_listener *l = &c->listeners[i];
    char where[200];
    l->name = key_text(c, obj.u.v[2 * i]);
    snprintf(where, sizeof where, "listeners.%.100s.", l->name);
    config_listener_defaults(&l->o);
    val v = obj.u.v[2 * i + 1];
    static const char *const extra[] = {"tls", NULL};
    if (v.tag != VAL_OBJ) config_problem(c, "listeners.%.100s: an object is expected", l->name);
    else read_options(c, where, v, listener_rows, NROWS(listener_rows), extra, &l->o);
    read_tls(c, where, jv_get(v, "tls"), l);
    check_listener(c, where, l);
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
    config_conn_defaults(&x->o);
    val v = obj.u.v[2 * i + 1], grant = jv_get(v, "grant");
    x->raw = v;
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

/* user:NAME, group:NAME, uid:NUMBER, gid:NUMBER or token:NAME of a secret. */
static void check_role(config *c, const char *role, config_list l) {
  for (uint32_t i = 0; i < l.n; i++) {
    const char *s = l.v[i];
    if (!strncmp(s, "token:", 6)) {
      config_secret *k = config_find_secret(c, s + 6);
      if (k) k->used = true;
      else config_problem(c, "roles.%s: '%.60s': there is no such secret in secrets", role, s);
      if (!c->has_admin_http) config_problem(c, "roles.%s: '%.60s': tokens are for admin_http, which is not there", role, s);
      continue;
    }
    if ((!strncmp(s, "user:", 5) && s[5]) || (!strncmp(s, "group:", 6) && s[6])) continue; /* the daemon's shell asks the system for the number */
    bool number = !strncmp(s, "uid:", 4) || !strncmp(s, "gid:", 4);
    for (const char *p = s + 4; number && (*p || p == s + 4); p++) number = *p >= '0' && *p <= '9';
    if (!number) config_problem(c, "roles.%s: '%.60s' is none of user:NAME, group:NAME, uid:NUMBER, gid:NUMBER, token:SECRET", role, s);
  }
}

static bool loopback(const char *a) { return !strncmp(a, "127.", 4) || !strcmp(a, "::1") || !strcmp(a, "[::1]"); }

static void read_watching(config *c, val root) {
  val a = jv_get(root, "admin_http"), o = jv_get(root, "observe"), t = jv_get(root, "traces");
  static const char *const extra[] = {"tls", NULL};
#define ADMIN_HTTP(kind, name, def, min, max, doc) SET_##kind(c->admin_http.name, def)
#define OBSERVE(kind, name, def, min, max, doc) SET_##kind(c->observe.name, def)
#define TRACES(kind, name, def, min, max, doc) SET_##kind(c->traces.name, def)
#include "options.def"
  c->has_admin_http = a.tag == VAL_OBJ, c->has_observe = o.tag == VAL_OBJ, c->has_traces = t.tag == VAL_OBJ;
  c->admin_tls.name = "admin_http";
  if (c->has_admin_http) {
    read_options(c, "admin_http.", a, admin_http_rows, NROWS(admin_http_rows), extra, &c->admin_http);
    read_tls(c, "admin_http.", jv_get(a, "tls"), &c->admin_tls);
    if (c->admin_http.port < 0) config_problem(c, "admin_http.port: missing");
    if (!c->admin_tls.has_tls && !loopback(c->admin_http.address)) config_problem(c, "admin_http.tls: needed, because '%.60s' is not a loopback address", c->admin_http.address);
  } else if (a.tag != VAL_EMPTY) config_problem(c, "admin_http: an object is expected");
  if (c->has_observe) {
    read_options(c, "observe.", o, observe_rows, NROWS(observe_rows), NULL, &c->observe);
    if (c->observe.port < 0) config_problem(c, "observe.port: missing");
  } else if (o.tag != VAL_EMPTY) config_problem(c, "observe: an object is expected");
  if (c->has_traces) {
    read_options(c, "traces.", t, traces_rows, NROWS(traces_rows), NULL, &c->traces);
    if (!c->traces.endpoint[0]) config_problem(c, "traces.endpoint: missing");
  } else if (t.tag != VAL_EMPTY) config_problem(c, "traces: an object is expected");
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
  static const char *const extra[] = {"settings", "listeners", "connections", "secrets", "modules", "roles", "admin_http", "observe", "traces", NULL};
  read_options(c, "", root, top_rows, NROWS(top_rows), extra, &c->top);
  if (!one_of(c->top.sandbox, "on", "require") && strcmp(c->top.sandbox, "off")) config_problem(c, "sandbox: on, require or off is expected");
  read_named(c, root);
  read_listeners(c, root);
  read_conns(c, root);
  read_watching(c, root);
  read_roles(c, root);
  config_secret *seal = c->top.auth_key[0] ? config_find_secret(c, c->top.auth_key) : NULL;
  if (seal) seal->used = true;
  else if (c->top.auth_key[0]) config_problem(c, "auth_key: '%.60s': there is no such secret in secrets", c->top.auth_key);
  return HDW_OK;
}
