/* hdwvm_serve.c - serve, verify, config. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "admin.h"
#include "hdwvm.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_linux.h"
#include "model.h"

void hv_say(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fputs("hdwvm: ", stderr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
}

char *hv_read(arena *a, const char *path, size_t *len) {
  FILE *f = !strcmp(path, "-") ? stdin : fopen(path, "rb");
  if (!f) {
    hv_say("%s cannot be read", path);
    return NULL;
  }
  buf b;
  char part[65536];
  size_t n;
  buf_init(&b, a, 512 << 20);
  while ((n = fread(part, 1, sizeof part, f)) > 0) buf_put(&b, part, n);
  bool bad = ferror(f) != 0;
  if (f != stdin) fclose(f);
  *len = b.len;
  buf_putc(&b, 0);
  if (!bad && !b.status) return b.p;
  hv_say("%s cannot be read", path);
  return NULL;
}

/* ---- the daemon's parts --------------------------------------------------------------------------------------------------------------- */

typedef struct daemon_state {
  io_mem mem;
  arena a;
  io *io;
  config cfg;
  engine *e;
  admin *adm;
  int exit_code;
  bool stopping;
} daemon_state;

static int level_of(const char *s) { return !strcmp(s, "debug") ? ENGINE_DEBUG : !strcmp(s, "warn") ? ENGINE_WARN : !strcmp(s, "error") ? ENGINE_ERROR : ENGINE_INFO; }

static void on_log(void *user, engine_level level, const char *line, size_t len) {
  daemon_state *d = (daemon_state *)user;
  if ((int)level < level_of(d->cfg.top.log_level)) return;
  fwrite(line, 1, len, stderr);
  fputc('\n', stderr);
}

static bool show_problems(const config *c) {
  for (uint32_t i = 0; i < c->nproblems && i < CONFIG_MAX_PROBLEMS; i++) fprintf(stderr, "%s: %s\n", c->file, c->problems[i]);
  if (c->nproblems > CONFIG_MAX_PROBLEMS) fprintf(stderr, "%s: and %u more\n", c->file, c->nproblems - CONFIG_MAX_PROBLEMS);
  return c->nproblems == 0;
}

/* Reads every secret's file. Open to others than its owner: refused. */
static void load_secrets(daemon_state *d) {
  for (uint32_t i = 0; i < d->cfg.nsecrets; i++) {
    config_secret *s = &d->cfg.secrets[i];
    io_stat_info st;
    if (!s->file) continue;
    if (io_stat(d->io, s->file, &st)) {
      config_problem(&d->cfg, "secrets.%.80s: %.200s cannot be read", s->name, s->file);
      continue;
    }
    if (st.mode & 077) {
      config_problem(&d->cfg, "secrets.%.80s: %.200s is open to others than its owner (mode %o); chmod 600", s->name, s->file, st.mode);
      continue;
    }
    size_t n;
    char *p = hv_read(&d->a, s->file, &n);
    while (p && n && (p[n - 1] == '\n' || p[n - 1] == '\r')) p[--n] = 0;
    if (!p || !n || memchr(p, 0, n)) config_problem(&d->cfg, "secrets.%.80s: %.200s holds no secret", s->name, s->file);
    s->value = p, s->value_len = n;
  }
}

/* where: "listeners.adt", "connections.crm". */
static const char *read_pem(daemon_state *d, const char *where, const char *file, bool private) {
  io_stat_info st;
  size_t n;
  if (!file[0]) return NULL;
  if (io_stat(d->io, file, &st)) {
    config_problem(&d->cfg, "%.100s.tls: %.200s cannot be read", where, file);
    return NULL;
  }
  if (private && st.mode & 077) {
    config_problem(&d->cfg, "%.100s.tls.key: %.200s is open to others than its owner (mode %o); chmod 600", where, file, st.mode);
    return NULL;
  }
  return hv_read(&d->a, file, &n);
}

static void load_certificates(daemon_state *d) {
  for (uint32_t i = 0; i < d->cfg.nlisteners; i++) {
    config_listener *l = &d->cfg.listeners[i];
    char where[120];
    if (!l->has_tls) continue;
    snprintf(where, sizeof where, "listeners.%.80s", l->name);
    l->cert_pem = read_pem(d, where, l->tls.cert, false);
    l->key_pem = read_pem(d, where, l->tls.key, true);
    l->client_ca_pem = read_pem(d, where, l->tls.client_ca, false);
  }
  for (uint32_t i = 0; i < d->cfg.nconns; i++) {
    config_conn *c = &d->cfg.conns[i];
    char where[120];
    if (!c->has_tls) continue;
    snprintf(where, sizeof where, "connections.%.80s", c->name);
    c->cert_pem = read_pem(d, where, c->tls.cert, false);
    c->key_pem = read_pem(d, where, c->tls.key, true);
    c->ca_pem = read_pem(d, where, c->tls.ca, false);
  }
  config_listener *t = &d->cfg.admin_tls;
  if (!t->has_tls) return;
  t->cert_pem = read_pem(d, t->name, t->tls.cert, false);
  t->key_pem = read_pem(d, t->name, t->tls.key, true);
  t->client_ca_pem = read_pem(d, t->name, t->tls.client_ca, false);
}

static bool load_modules(daemon_state *d, const hv_args *a) {
  bool ok = true;
  for (int i = 0; i < a->nwords; i++) {
    size_t n;
    mod_error err;
    arena tmp;
    arena_init(&tmp, &d->mem.m, 0);
    char *p = hv_read(&tmp, a->words[i], &n);
    if (!p || engine_load(d->e, a->words[i], p, n, &err)) {
      if (p) hv_say("%s: %s", a->words[i], err.text);
      ok = false;
    }
    arena_free(&tmp);
  }
  return ok;
}

/* Configuration, its data folder made absolute against the current folder only by the system. */
static bool read_config(daemon_state *d, const hv_args *a) {
  const char *file = a->config ? a->config : "hdw.json";
  size_t n = 0;
  config_init(&d->cfg, &d->a);
  char *text = a->config || access(file, R_OK) == 0 ? hv_read(&d->a, file, &n) : NULL;
  if (a->config && !text) return false;
  if (text && config_read(&d->cfg, &d->mem.m, file, text, n)) return false;
  if (a->data) d->cfg.top.data = a->data;
  if (!d->cfg.top.data[0]) d->cfg.top.data = "data";
  return true;
}

/* ---- serve ------------------------------------------------------------------------------------------------------------------------------- */

static void on_drained(void *user) {
  daemon_state *d = (daemon_state *)user;
  io_stop(d->io);
}

static void on_signal(int signo, void *user) {
  daemon_state *d = (daemon_state *)user;
  (void)signo;
  if (d->stopping) { /* the second time: at once; nothing that was answered is lost */
    io_stop(d->io);
    return;
  }
  d->stopping = true;
  admin_note(d->adm, "stop", NULL, "stop", "by signal");
  fputs("hdwvm: stopping\n", stderr);
  engine_drain(d->e, d->cfg.top.drain_ms * 1000, on_drained, d);
}

static void say_ready(daemon_state *d) {
  fprintf(stderr, "hdwvm: ready");
  for (uint32_t i = 0; i < d->cfg.nlisteners; i++) {
    const config_listener *l = &d->cfg.listeners[i];
    uint16_t port = engine_port(d->e, l->name);
    if (port) fprintf(stderr, " %s=%s:%u", l->name, l->o.address, port);
  }
  if (admin_port(d->adm, false)) fprintf(stderr, " admin_http=%s:%u", d->cfg.admin_http.address, admin_port(d->adm, false));
  if (admin_port(d->adm, true)) fprintf(stderr, " observe=%s:%u", d->cfg.observe.address, admin_port(d->adm, true));
  fputc('\n', stderr);
}

/* Binds and checks everything that can be checked without opening the store. */
static bool bind(daemon_state *d) {
  const meta *metas[64];
  uint32_t n = engine_metas(d->e, metas, 64);
  if (config_bind(&d->cfg, metas, n, false)) return false;
  load_secrets(d);
  load_certificates(d);
  return show_problems(&d->cfg);
}

static int run(daemon_state *d, const hv_args *a) {
  char text[200] = "", path[1200];
  engine_opts o = {.dir = d->cfg.top.data, .config = &d->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .drivers = engine_drivers(), .budget = &d->mem, .metrics = true, .log = on_log, .log_user = d};
  if (!show_problems(&d->cfg)) return EXIT_FINDINGS;
  if (engine_open(d->io, &o, &d->e, text)) {
    hv_say("%s", text);
    return EXIT_IO;
  }
  if (!load_modules(d, a) || !bind(d)) return EXIT_FINDINGS;
  if (engine_start(d->e, text) || engine_listen(d->e, text)) {
    hv_say("%s", text);
    return EXIT_FINDINGS;
  }
  snprintf(path, sizeof path, "%s/admin.sock", d->cfg.top.data);
  if (admin_new(d->io, d->e, &d->cfg, d->cfg.top.admin[0] ? d->cfg.top.admin : path, &d->adm, text)) {
    hv_say("%s", text);
    return EXIT_FINDINGS;
  }
  admin_note(d->adm, "start", NULL, "start", "hdwvm " HDW_VERSION);
  (void)io_signal(d->io, SIGTERM, on_signal, d);
  (void)io_signal(d->io, SIGINT, on_signal, d);
  say_ready(d);
  hdw_status s = io_run(d->io);
  return s ? EXIT_INTERNAL : EXIT_OK;
}

/* Everything that serve would refuse, without touching the data folder: on a throw-away engine. */
static int check(daemon_state *d, const hv_args *a) {
  int code = EXIT_OK;
  arena ma;
  const meta *metas[64];
  uint32_t n = 0;
  arena_init(&ma, &d->mem.m, 0);
  for (int i = 0; i < a->nwords && n < 64; i++) {
    size_t len;
    mod_error err = {.text = ""};
    module *m = (module *)arena_zalloc(&ma, 1, sizeof *m);
    meta *mt = (meta *)arena_zalloc(&ma, 1, sizeof *mt);
    const vm_native *bound;
    char *p = hv_read(&ma, a->words[i], &len);
    if (!p || !m || !mt || engine_check_module(&ma, &d->mem.m, host_get(), (const uint8_t *)p, len, m, mt, &bound, &err)) {
      if (p) hv_say("%s: %s", a->words[i], err.text);
      code = EXIT_FINDINGS;
    } else metas[n++] = mt;
  }
  if (code == EXIT_OK && config_bind(&d->cfg, metas, n, false)) code = EXIT_INTERNAL;
  load_secrets(d);
  load_certificates(d);
  if (!show_problems(&d->cfg)) code = EXIT_FINDINGS;
  if (code == EXIT_OK) printf("%d module%s, %u problems\n", a->nwords, a->nwords == 1 ? "" : "s", d->cfg.nproblems);
  arena_free(&ma);
  return code;
}

int hv_serve(const hv_args *a) {
  daemon_state *d = (daemon_state *)calloc(1, sizeof *d);
  if (!d) return EXIT_INTERNAL;
  if (!a->nwords) {
    hv_say("serve needs at least one module (hdwc build makes them)");
    free(d);
    return EXIT_USAGE;
  }
  struct rlimit none = {0, 0};
  (void)setrlimit(RLIMIT_CORE, &none); /* a core file would hold patients' data and secrets */
  (void)prctl(PR_SET_DUMPABLE, 0);
  io_mem_init(&d->mem, 0);
  arena_init(&d->a, &d->mem.m, 0);
  int code = EXIT_INTERNAL;
  if (!io_linux_new(&d->mem.m, &d->io)) {
    code = !read_config(d, a) ? EXIT_FINDINGS : a->check ? check(d, a) : (d->mem.limit_bytes = (size_t)d->cfg.top.process_memory_bytes, run(d, a));
    if (d->e) engine_close(d->e);
    if (d->adm) admin_free(d->adm);
    io_linux_free(d->io);
  }
  arena_free(&d->a);
  free(d);
  return code;
}

/* ---- verify, config ------------------------------------------------------------------------------------------------------------------------- */

int hv_verify(const hv_args *a) {
  io_mem heap;
  int code = EXIT_OK;
  if (!a->nwords) {
    hv_say("verify needs a module");
    return EXIT_USAGE;
  }
  io_mem_init(&heap, 0);
  for (int i = 0; i < a->nwords; i++) {
    arena ar;
    size_t n;
    module m;
    meta mt;
    mod_error err = {.text = ""};
    const vm_native *bound;
    arena_init(&ar, &heap.m, 0);
    char *p = hv_read(&ar, a->words[i], &n);
    hdw_status s = p ? engine_check_module(&ar, &heap.m, host_get(), (const uint8_t *)p, n, &m, &mt, &bound, &err) : HDW_E_IO;
    if (s) code = EXIT_FINDINGS;
    if (a->json) printf("{\"file\":\"%s\",\"accepted\":%s,\"reason\":\"%s\"}\n", a->words[i], s ? "false" : "true", s ? err.text : "");
    else if (s && p) printf("%s: rejected: %s\n", a->words[i], err.text);
    else if (!s) printf("%s: accepted: %s, %u workflow%s, %u functions, %u effects\n", a->words[i], mt.name, mt.nworkflows, mt.nworkflows == 1 ? "" : "s", m.nfuncs, m.neffects);
    arena_free(&ar);
  }
  return code;
}

int hv_config(const hv_args *a) {
  io_mem heap;
  arena ar;
  buf b;
  const meta *metas[64];
  uint32_t n = 0;
  if (!a->nwords || (strcmp(a->words[0], "schema") && strcmp(a->words[0], "init") && strcmp(a->words[0], "check"))) {
    hv_say("config schema, config init or config check");
    return EXIT_USAGE;
  }
  if (!strcmp(a->words[0], "check")) {
    hv_args serve = *a;
    serve.check = true;
    serve.nwords--;
    memmove(serve.words, serve.words + 1, sizeof serve.words - sizeof *serve.words);
    return hv_serve(&serve);
  }
  io_mem_init(&heap, 0);
  arena_init(&ar, &heap.m, 0);
  int code = EXIT_OK;
  for (int i = 1; i < a->nwords && n < 64; i++) {
    size_t len;
    mod_error err = {.text = ""};
    module *m = (module *)arena_zalloc(&ar, 1, sizeof *m);
    meta *mt = (meta *)arena_zalloc(&ar, 1, sizeof *mt);
    const vm_native *bound;
    char *p = hv_read(&ar, a->words[i], &len);
    if (!p || !m || !mt || engine_check_module(&ar, &heap.m, host_get(), (const uint8_t *)p, len, m, mt, &bound, &err)) {
      if (p) hv_say("%s: %s", a->words[i], err.text);
      code = EXIT_FINDINGS;
    } else metas[n++] = mt;
  }
  buf_init(&b, &ar, 16 << 20);
  if (!strcmp(a->words[0], "schema")) config_schema(&b, metas, n), buf_putc(&b, '\n');
  else config_skeleton(&b, metas, n);
  if (code == EXIT_OK && !b.status) fwrite(b.p, 1, b.len, stdout);
  arena_free(&ar);
  return code;
}
