/* hdwvm_serve.c - the daemon: start, signals, end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "hdwvm_load.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_linux.h"
#include "model.h"
#include "term.h"
#include "trace.h"

static int level_of(const char *s) { return !strcmp(s, "debug") ? ENGINE_DEBUG : !strcmp(s, "warn") ? ENGINE_WARN : !strcmp(s, "error") ? ENGINE_ERROR : ENGINE_INFO; }

static void on_log(void *user, engine_level level, const char *line, size_t len) {
  hv_daemon *d = (hv_daemon *)user;
  if ((int)level < level_of(d->now->cfg.top.log_level)) return;
  fwrite(line, 1, len, stderr);
  fputc('\n', stderr);
}

/* ---- modules at the start ------------------------------------------------------------------------------------------------------------ */

/* False only when nothing may be refused and something was. */
static bool load_files(hv_daemon *d) {
  bool ok = true;
  for (int i = 0; i < d->args->nwords && i < HV_MAX_FILES; i++) {
    const char *file = d->args->words[i];
    size_t n;
    mod_error err = {.text = "it cannot be read"};
    bool kept = false;
    arena tmp;
    arena_init(&tmp, &d->mem.m, 0);
    char *p = hv_read(&tmp, file, &n);
    hdw_status s = p ? engine_load_file(d->e, file, p, n, &kept, &err) : HDW_E_IO;
    if (s) {
      if (p) hv_say("%s: %s", file, err.text);
      engine_refuse(d->e, file, err.text);
      ok = false;
    } else hv_module_id(p, n, d->ids[i]);
    if (kept) engine_note(d->e, ENGINE_WARN, "deployed_module_kept", "file_not_taken", file);
    arena_free(&tmp);
  }
  return ok || !d->now->cfg.top.strict_start;
}

static void use(void *user, const meta *m) { config_use((config *)user, m); }

/* Binds each module; one that has problems is refused and the others go on. */
static bool bind(hv_daemon *d) {
  config *c = &d->now->cfg;
  const meta *metas[64], *taken[64];
  uint32_t n = engine_metas(d->e, metas, 64), refused = 0, ntaken = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t from = c->nproblems;
    taken[ntaken] = metas[i];
    if (!(config_bind_module(c, metas[i], false) + config_bind_shared(c, taken, ntaken + 1))) {
      ntaken++;
      continue;
    }
    (void)hv_problems(c, from);
    if (c->top.strict_start) return false;
    engine_drop(d->e, metas[i], from < CONFIG_MAX_PROBLEMS ? c->problems[from] : "not bound");
    refused++;
  }
  engine_each_pinned(d->e, use, c);
  arena a;
  buf dropped;
  arena_init(&a, &d->mem.m, 1 << 20);
  buf_init(&dropped, &a, 1 << 20);
  if (!refused) engine_names(d->e, &dropped);
  bool kept = dropped.len > 0 || dropped.status;
  if (dropped.len) fwrite(dropped.p, 1, dropped.len, stderr);
  if (dropped.status) fputs("what is kept under the names of connections, workflows and listeners cannot be looked up: out of memory\n", stderr);
  arena_free(&a);
  if (kept) return false;
  uint32_t from = c->nproblems;
  if (n && !refused && !engine_any_refused(d->e)) config_unused(c, metas, n); /* else we do not know whose they are */
  return hv_problems(c, from);
}

/* ---- serve ------------------------------------------------------------------------------------------------------------------------------- */

static void on_drained(void *user) {
  hv_daemon *d = (hv_daemon *)user;
  io_stop(d->io);
}

static void on_signal(int signo, void *user) {
  hv_daemon *d = (hv_daemon *)user;
  if (signo == SIGHUP) {
    if (d->stopping) return;
    (void)io_linux_notify("RELOADING=1");
    hv_reload(d);
    (void)io_linux_notify("READY=1");
    return;
  }
  if (d->stopping) { /* the second time: at once; nothing that was answered is lost */
    io_stop(d->io);
    return;
  }
  d->stopping = true;
  admin_note(d->adm, "stop", NULL, "stop", "by signal");
  fputs("hdwvm: stopping\n", stderr);
  (void)io_linux_notify("STOPPING=1");
  engine_drain(d->e, d->now->cfg.top.drain_ms * 1000, on_drained, d);
}

static void ending(void *user) { io_stop(((hv_daemon *)user)->io); }
static void on_fence_drained(void *user) {
  hv_daemon *d = (hv_daemon *)user;
  io_timer_set(d->io, &d->ending, 300000, ending, d);
}

bool hv_fenced(hv_daemon *d, const admin_change *c, buf *problems) {
  char text[24];
  if (engine_fence(d->e, c->term)) {
    buf_puts(problems, "the record cannot be written\n");
    return false;
  }
  snprintf(text, sizeof text, "%llu", (unsigned long long)c->term);
  engine_note(d->e, ENGINE_ERROR, "fenced", "term", text);
  d->stopping = true;
  (void)io_linux_notify("STOPPING=1");
  engine_drain(d->e, d->now->cfg.top.drain_ms * 1000, on_fence_drained, d);
  return true;
}

static void say_ready(hv_daemon *d) {
  fprintf(stderr, "hdwvm: ready");
  for (uint32_t i = 0; i < d->now->cfg.nlisteners; i++) {
    const config_listener *l = &d->now->cfg.listeners[i];
    uint16_t port = engine_port(d->e, l->name);
    if (port) fprintf(stderr, " %s=%s:%u", l->name, l->o.address, port);
  }
  if (admin_port(d->adm, false)) fprintf(stderr, " admin_http=%s:%u", d->now->cfg.admin_http.address, admin_port(d->adm, false));
  if (admin_port(d->adm, true)) fprintf(stderr, " observe=%s:%u", d->now->cfg.observe.address, admin_port(d->adm, true));
  fputc('\n', stderr);
  (void)io_linux_notify("READY=1");
}

/* An old primary that comes back: another daemon goes on with this log. */
static bool ended_elsewhere(hv_daemon *d) {
  term_info t;
  arena a;
  arena_init(&a, &d->mem.m, 65536);
  bool ended = !term_get(engine_store(d->e), &a, &t) && term_ended(&t);
  arena_free(&a);
  if (ended)
    hv_say("%s is not served: it is of term %llu and was told that a log of term %llu goes on elsewhere. As a standby: hdwvm follow into an empty folder. To go on here all the same: hdwvm promote --data %s",
           d->now->cfg.top.data, (unsigned long long)t.term, (unsigned long long)t.fenced, d->now->cfg.top.data);
  return ended;
}

/* ---- what the kernel holds us to (hdwvm_sandbox.h) ------------------------------------------------------------------------------------ */

/* Every path of the configuration and of the command line. */
static bool note_paths(hv_daemon *d) {
  const config *c = &d->now->cfg;
  sandbox *b = &d->box;
  bool ok = sandbox_folder(b, c->top.data, true) && sandbox_file(b, c->top.admin, true) && sandbox_file(b, d->args->config ? d->args->config : "hdw.json", false);
  for (int i = 0; ok && i < d->args->nwords; i++) ok = sandbox_file(b, d->args->words[i], false);
  for (uint32_t i = 0; ok && i < c->nsecrets; i++) ok = sandbox_file(b, c->secrets[i].file, false);
  for (uint32_t i = 0; ok && i <= c->nlisteners; i++) {
    const config_listener *l = i < c->nlisteners ? &c->listeners[i] : &c->admin_tls;
    if (l->has_tls) ok = sandbox_file(b, l->tls.cert, false) && sandbox_file(b, l->tls.key, false) && sandbox_file(b, l->tls.client_ca, false);
  }
  for (uint32_t i = 0; ok && i < c->nconns; i++) {
    if (c->conns[i].o.folder[0]) (void)io_mkdir(d->io, c->conns[i].o.folder); /* as the sink would at its first file */
    ok = sandbox_folder(b, c->conns[i].o.folder, true);
    if (ok && c->conns[i].has_tls) ok = sandbox_file(b, c->conns[i].tls.cert, false) && sandbox_file(b, c->conns[i].tls.key, false) && sandbox_file(b, c->conns[i].tls.ca, false);
  }
  return ok;
}

/* Before threads and store. False: it was demanded and cannot be had. */
static bool give_up_files(hv_daemon *d) {
  const char *want = d->now->cfg.top.sandbox;
  if (!strcmp(want, "off")) return true;
  (void)io_mkdir(d->io, d->now->cfg.top.data); /* so that there is something to name; whoever opens it looks at it */
  if (!note_paths(d)) d->box.why_files = "the configuration names too many paths";
  else if (sandbox_files(&d->box)) return true;
  if (!strcmp(want, "require")) hv_say("sandbox: %s, and hdw.json demands it (sandbox: require)", d->box.why_files);
  return strcmp(want, "require") != 0;
}

static bool give_up_calls(hv_daemon *d) {
  const char *want = d->now->cfg.top.sandbox;
  char text[160];
  sandbox_descriptors();
  bool off = !strcmp(want, "off"), ok = off || sandbox_calls(&d->box, SANDBOX_NET);
  if (!ok && !strcmp(want, "require")) {
    hv_say("sandbox: %s, and hdw.json demands it (sandbox: require)", d->box.why_calls);
    return false;
  }
  int n = d->box.held & SANDBOX_FILES ? snprintf(text, sizeof text, "landlock ABI %d", d->box.landlock_abi) : snprintf(text, sizeof text, "no landlock (%s)", off ? "off" : d->box.why_files);
  if (d->box.held & SANDBOX_CALLS) snprintf(text + n, sizeof text - (size_t)n, ", seccomp with %u system calls", d->box.calls);
  else snprintf(text + n, sizeof text - (size_t)n, ", no seccomp (%s)", off ? "off" : d->box.why_calls);
  engine_note(d->e, off || d->box.held == (SANDBOX_FILES | SANDBOX_CALLS) ? ENGINE_INFO : ENGINE_WARN, "sandbox", "held", text);
  return true;
}

static int run(hv_daemon *d) {
  char text[200] = "", path[1200];
  const meta *any[1];
  config *c = &d->now->cfg;
  engine_opts o = {.dir = c->top.data, .config = c, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .drivers = engine_drivers(), .budget = &d->mem,
                   .metrics = true, .kernel_holds = &d->box.held, .lenient = !c->top.strict_start, .log = on_log, .log_user = d};
  if (!hv_problems(c, 0)) return EXIT_FINDINGS;
  snprintf(path, sizeof path, "%.1100s/standby", o.dir);
  if (access(path, F_OK) == 0) {
    hv_say("%s is a standby's folder: hdwvm promote --data %s first, when the primary is gone for good", o.dir, o.dir);
    return EXIT_FINDINGS;
  }
  if (!give_up_files(d)) return EXIT_FINDINGS;
  hv_damage_watch(o.dir);
  if (c->has_traces && otlp_new(d->io, &c->traces, &o.tracer, text)) {
    hv_say("%s", text);
    return EXIT_FINDINGS;
  }
  if (engine_open(d->io, &o, &d->e, text)) {
    hv_say("%s", text);
    return EXIT_IO;
  }
  if (ended_elsewhere(d)) return EXIT_FINDINGS;
  if (!load_files(d)) return EXIT_FINDINGS;
  if (engine_load_deployed(d->e, d->args->nwords == 0, text)) {
    if (c->top.strict_start) {
      hv_say("%s", text);
      return EXIT_FINDINGS;
    }
    engine_refuse(d->e, "(deployed earlier)", text);
  }
  if (!bind(d)) return EXIT_FINDINGS;
  if (engine_start(d->e, text)) {
    hv_say("%s", text);
    return EXIT_FINDINGS;
  }
  if (!engine_metas(d->e, any, 1)) {
    if (d->args->nwords) {
      hv_say("no module could be taken: there is nothing to serve");
      return EXIT_FINDINGS;
    }
    engine_note(d->e, ENGINE_WARN, "nothing_deployed", "data", c->top.data); /* a new workspace: it waits for its first deployment */
  }
  if (engine_listen(d->e, text)) {
    hv_say("%s", text);
    return EXIT_FINDINGS;
  }
  snprintf(path, sizeof path, "%s/admin.sock", c->top.data);
  if (admin_new(d->io, d->e, c, c->top.admin[0] ? c->top.admin : path, &d->adm, text)) {
    hv_say("%s", text);
    return EXIT_FINDINGS;
  }
  admin_note(d->adm, "start", NULL, "start", "hdwvm " HDW_VERSION);
  admin_on_change(d->adm, hv_change, d);
  (void)io_signal(d->io, SIGTERM, on_signal, d);
  (void)io_signal(d->io, SIGINT, on_signal, d);
  (void)io_signal(d->io, SIGHUP, on_signal, d);
  if (!give_up_calls(d)) return EXIT_FINDINGS;
  say_ready(d);
  hdw_status s = io_run(d->io);
  return s ? EXIT_INTERNAL : EXIT_OK;
}

static void found(void *user, const char *text) { config_problem((config *)user, "%s", text); }

/* Everything that serve would report, without touching the data folder: on modules read aside. */
static int check(hv_daemon *d) {
  int code = EXIT_OK;
  arena ma;
  const meta *metas[64];
  uint32_t n = 0;
  const hv_args *a = d->args;
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
  if (code == EXIT_OK && config_bind(&d->now->cfg, metas, n, false)) code = EXIT_INTERNAL;
  engine_opts o = {.config = &d->now->cfg, .host = host_get(), .drivers = engine_drivers()};
  if (code == EXIT_OK && !d->now->cfg.nproblems && engine_check_bindings(d->io, &o, metas, n, found, &d->now->cfg)) code = EXIT_INTERNAL;
  if (!hv_problems(&d->now->cfg, 0)) code = EXIT_FINDINGS;
  if (code == EXIT_OK) printf("%d module%s, %u problems\n", a->nwords, a->nwords == 1 ? "" : "s", d->now->cfg.nproblems);
  arena_free(&ma);
  return code;
}

int hv_serve(const hv_args *a) {
  hv_daemon *d = (hv_daemon *)calloc(1, sizeof *d);
  if (!d) return EXIT_INTERNAL;
  if (a->nwords > HV_MAX_FILES || (!a->nwords && a->check)) {
    hv_say(a->nwords ? "serve takes at most %d modules" : "serve --check needs at least one module (hdwc build makes them)", HV_MAX_FILES);
    free(d);
    return EXIT_USAGE;
  }
  struct rlimit none = {0, 0};
  (void)setrlimit(RLIMIT_CORE, &none); /* a core file would hold patients' data and secrets */
  (void)prctl(PR_SET_DUMPABLE, 0);
  struct rlimit files; /* as many connections as the machine allows: the soft limit is 1024 in most shells */
  if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  io_mem_init(&d->mem, 0);
  arena_init(&d->a, &d->mem.m, 0);
  d->args = a;
  int code = EXIT_INTERNAL;
  if (!io_linux_new(&d->mem.m, &d->io)) {
    d->now = hv_settings_read(d);
    code = !d->now ? EXIT_FINDINGS : a->check ? (hv_hold(a, 0) ? check(d) : EXIT_FINDINGS) : (d->mem.limit_bytes = (size_t)d->now->cfg.top.process_memory_bytes, run(d));
    if (d->e) engine_close(d->e);
    if (d->adm) admin_free(d->adm);
    io_linux_free(d->io);
  }
  while (d->now) {
    hv_settings *s = d->now;
    d->now = s->older;
    hv_settings_free(d, s);
  }
  arena_free(&d->a);
  free(d);
  return code;
}
