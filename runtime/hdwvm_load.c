/* hdwvm_load.c - see hdwvm_load.h. */
#include "hdwvm_load.h"
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "codec.h"

void hv_say(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fputs("hdwvm: ", stderr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
}

static char *read_quietly(arena *a, const char *path, size_t *len) {
  FILE *f = !strcmp(path, "-") ? stdin : fopen(path, "rbe");
  if (!f) return NULL;
  buf b;
  char part[65536];
  size_t n;
  buf_init(&b, a, 512 << 20);
  while ((n = fread(part, 1, sizeof part, f)) > 0) buf_put(&b, part, n);
  bool bad = ferror(f) != 0;
  if (f != stdin) fclose(f);
  *len = b.len;
  buf_putc(&b, 0);
  return bad || b.status ? NULL : b.p;
}

char *hv_read(arena *a, const char *path, size_t *len) {
  char *p = read_quietly(a, path, len);
  if (!p) hv_say("%s cannot be read", path);
  return p;
}

void hv_module_id(const char *p, size_t len, uint8_t out[32]) {
  memset(out, 0, 32);
  if (len > MOD_HEADER_BYTES) cod_sha256(p + MOD_HEADER_BYTES, len - MOD_HEADER_BYTES, NULL, 0, out);
}

size_t hv_module_length(const char *p, size_t len) {
  enum { AT = 12 }; /* where the header says it (bytecode.md) */
  if (len < MOD_HEADER_BYTES) return len;
  const uint8_t *h = (const uint8_t *)p + AT;
  size_t n = (size_t)h[0] | (size_t)h[1] << 8 | (size_t)h[2] << 16 | (size_t)h[3] << 24;
  return n < MOD_HEADER_BYTES || n > len ? len : n;
}

bool hv_problems(const config *c, uint32_t from) {
  for (uint32_t i = from; i < c->nproblems && i < CONFIG_MAX_PROBLEMS; i++) fprintf(stderr, "%s: %s\n", c->file, c->problems[i]);
  if (c->nproblems > CONFIG_MAX_PROBLEMS) fprintf(stderr, "%s: and %u more\n", c->file, c->nproblems - CONFIG_MAX_PROBLEMS);
  return c->nproblems <= from;
}

/* A line of text in a. */
static const char *problem(arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *problem(arena *a, const char *fmt, ...) {
  char line[320];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  const char *s = arena_dup(a, line, n > 0 && n < (int)sizeof line ? (size_t)n : 0);
  return s ? s : "out of memory";
}

/* A file that must be its owner's alone. NULL: *why says so. */
static char *read_private(hv_daemon *d, arena *a, const char *file, const char *what, size_t *n, const char **why) {
  io_stat_info st;
  if (io_stat(d->io, file, &st)) *why = problem(a, "%s%.200s cannot be read", what, file);
  else if (st.mode & 077) *why = problem(a, "%s%.200s is open to others than its owner (mode %o); chmod 600", what, file, st.mode);
  else {
    char *p = read_quietly(a, file, n);
    if (!p) *why = problem(a, "%s%.200s cannot be read", what, file);
    return p;
  }
  return NULL;
}

static void load_secrets(hv_daemon *d, hv_settings *x) {
  for (uint32_t i = 0; i < x->cfg.nsecrets; i++) {
    config_secret *s = &x->cfg.secrets[i];
    size_t n = 0;
    if (!s->file) continue;
    char *p = read_private(d, &x->a, s->file, "", &n, &s->problem);
    if (!p) continue;
    while (n && (p[n - 1] == '\n' || p[n - 1] == '\r')) p[--n] = 0;
    if (!n || memchr(p, 0, n)) s->problem = problem(&x->a, "%.200s holds no secret", s->file);
    else s->value = p, s->value_len = n;
  }
}

/* Certificate, key and authorities; *why: what cannot be had, "tls.key: ...". */
static void read_tls(hv_daemon *d, arena *a, const char *cert, const char *key, const char *ca, const char *ca_name, const char **cert_pem, const char **key_pem,
                     const char **ca_pem, const char **why) {
  size_t n;
  if (key[0]) *key_pem = read_private(d, a, key, "tls.key: ", &n, why);
  if (cert[0] && !(*cert_pem = read_quietly(a, cert, &n))) *why = problem(a, "tls.cert: %.200s cannot be read", cert);
  if (ca[0] && !(*ca_pem = read_quietly(a, ca, &n))) *why = problem(a, "tls.%s: %.200s cannot be read", ca_name, ca);
}

static void load_certificates(hv_daemon *d, hv_settings *x) {
  for (uint32_t i = 0; i < x->cfg.nlisteners; i++) {
    config_listener *l = &x->cfg.listeners[i];
    if (l->has_tls) read_tls(d, &x->a, l->tls.cert, l->tls.key, l->tls.client_ca, "client_ca", &l->cert_pem, &l->key_pem, &l->client_ca_pem, &l->problem);
  }
  for (uint32_t i = 0; i < x->cfg.nconns; i++) {
    config_conn *c = &x->cfg.conns[i];
    if (c->has_tls) read_tls(d, &x->a, c->tls.cert, c->tls.key, c->tls.ca, "ca", &c->cert_pem, &c->key_pem, &c->ca_pem, &c->problem);
  }
  config_listener *t = &x->cfg.admin_tls;
  if (t->has_tls) read_tls(d, &x->a, t->tls.cert, t->tls.key, t->tls.client_ca, "client_ca", &t->cert_pem, &t->key_pem, &t->client_ca_pem, &t->problem);
  if (t->problem) config_problem(&x->cfg, "admin_http.%.300s", t->problem);
}

/* user:NAME and group:NAME become the numbers that the kernel tells of a caller; at each reading of the file. */
static void role_numbers(hv_settings *x, const char *role, config_list *l) {
  for (uint32_t i = 0; i < l->n; i++) {
    const char *s = l->v[i];
    bool user = !strncmp(s, "user:", 5), group = !strncmp(s, "group:", 6);
    const struct passwd *p = user ? getpwnam(s + 5) : NULL;
    const struct group *g = group ? getgrnam(s + 6) : NULL;
    if (p || g) l->v[i] = problem(&x->a, p ? "uid:%u" : "gid:%u", p ? p->pw_uid : g->gr_gid);
    else if (user || group) config_problem(&x->cfg, "roles.%s: '%.60s': this system knows no such %s", role, s, user ? "user" : "group");
  }
}

enum { HV_SEAL_BYTES = 32 }; /* of the secret that auth_key names */

hv_settings *hv_settings_read(hv_daemon *d) {
  const hv_args *a = d->args;
  const char *file = a->config ? a->config : "hdw.json";
  size_t n = 0;
  hv_settings *s = (hv_settings *)calloc(1, sizeof *s);
  if (!s) return NULL;
  arena_init(&s->a, &d->mem.m, 0);
  config_init(&s->cfg, &s->a);
  char *text = a->config || access(file, R_OK) == 0 ? hv_read(&s->a, file, &n) : NULL;
  if ((a->config && !text) || (text && config_read(&s->cfg, &d->mem.m, file, text, n))) {
    hv_settings_free(d, s);
    return NULL;
  }
  if (a->data) s->cfg.top.data = a->data;
  if (!s->cfg.top.data[0]) s->cfg.top.data = "data";
  load_secrets(d, s);
  for (uint32_t i = 0; i < s->cfg.nsecrets; i++) /* those of roles: nobody binds them later */
    if (s->cfg.secrets[i].used && s->cfg.secrets[i].problem) config_problem(&s->cfg, "secrets.%.80s: %.300s", s->cfg.secrets[i].name, s->cfg.secrets[i].problem);
  const config_secret *seal = config_find_secret(&s->cfg, s->cfg.top.auth_key);
  if (seal && seal->value && seal->value_len < HV_SEAL_BYTES) config_problem(&s->cfg, "auth_key: %.200s holds fewer than %d bytes; openssl rand -base64 %d makes a key", seal->file, HV_SEAL_BYTES, HV_SEAL_BYTES);
#define ROLE(kind, name, def, min, max, doc) role_numbers(s, #name, &s->cfg.roles.name);
#include "options.def"
  load_certificates(d, s);
  return s;
}

void hv_settings_free(hv_daemon *d, hv_settings *s) {
  (void)d;
  for (uint32_t i = 0; i < s->cfg.nsecrets; i++)
    if (s->cfg.secrets[i].value) explicit_bzero((void *)(uintptr_t)s->cfg.secrets[i].value, s->cfg.secrets[i].value_len);
  arena_free(&s->a);
  free(s);
}
