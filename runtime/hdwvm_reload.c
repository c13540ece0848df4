/* hdwvm_reload.c - SIGHUP, deploy and rollback: a fresh hdw.json, changed modules, and the switch. All or nothing: with problems the old state stays. */
#include <stdio.h>
#include <string.h>
#include "hdwvm_load.h"

static void add(buf *problems, const char *where, const char *text) {
  buf_puts(problems, where);
  buf_puts(problems, where[0] ? ": " : "");
  buf_puts(problems, text);
  buf_putc(problems, '\n');
}

/* What is read at the start only. */
static void check_fixed(config *c, const config *now) {
  if (strcmp(c->top.data, now->top.data)) config_problem(c, "data: cannot change while the daemon runs; restart it");
  if (strcmp(c->top.admin, now->top.admin)) config_problem(c, "admin: cannot change while the daemon runs; restart it");
  if (strcmp(c->top.sandbox, now->top.sandbox)) config_problem(c, "sandbox: cannot change while the daemon runs; restart it");
}

/* Folders of sinks that the process gave up at its start. */
static void check_folders(hv_daemon *d, config *c) {
  for (uint32_t i = 0; i < c->nconns; i++)
    if (c->conns[i].o.folder[0] && !sandbox_reaches(&d->box, c->conns[i].o.folder, true))
      config_problem(c, "connections.%.80s.folder: the daemon gave up all folders but those that hdw.json named when it started (sandbox); restart it", c->conns[i].name);
}

static void use(void *user, const meta *m) { config_use((config *)user, m); }

/* Files of the command line whose content is new. ids: what they are now. */
static void stage_files(hv_daemon *d, engine_stage *st, arena *a, uint8_t (*ids)[32], buf *problems) {
  for (int i = 0; i < d->args->nwords && i < HV_MAX_FILES; i++) {
    size_t n;
    mod_error err = {.text = ""};
    char *p = hv_read(a, d->args->words[i], &n);
    memcpy(ids[i], d->ids[i], 32);
    if (!p) {
      add(problems, d->args->words[i], "cannot be read");
      continue;
    }
    hv_module_id(p, n, ids[i]);
    if (!memcmp(ids[i], d->ids[i], 32)) continue;
    if (engine_stage_module(st, d->args->words[i], p, n, &err)) add(problems, d->args->words[i], err.text);
  }
}

/* Modules one behind the other, each with its length in its header; their file names likewise, with a slash between. */
static void stage_body(engine_stage *st, const admin_change *c, buf *problems) {
  const char *p = (const char *)c->bytes;
  const char *names = c->file;
  char file[200] = "uploaded.hdwb";
  for (size_t left = c->len; left;) {
    mod_error err = {.text = ""};
    size_t n = hv_module_length(p, left), name = strcspn(names, "/");
    if (name) snprintf(file, sizeof file, "%.*s", (int)(name < sizeof file ? name : sizeof file - 1), names);
    names += name + (names[name] == '/');
    if (engine_stage_module(st, file, p, n, &err)) add(problems, file, err.text);
    p += n, left -= n;
  }
}

/* The names of the modules likewise. */
static void stage_back(engine_stage *st, const admin_change *c, buf *problems) {
  char text[200] = "", name[200];
  const char *names = c->name;
  do {
    size_t n = names ? strcspn(names, "/") : 0;
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), names ? names : "");
    if (engine_stage_back(st, names ? name : NULL, c->to, text)) add(problems, "", text);
    names = names && names[n] ? names + n + 1 : NULL;
  } while (names);
}

static void stage(hv_daemon *d, engine_stage *st, const admin_change *c, arena *a, uint8_t (*ids)[32], buf *problems) {
  memcpy(ids, d->ids, sizeof d->ids);
  switch (c->what) {
  case ADMIN_RELOAD: stage_files(d, st, a, ids, problems); break;
  case ADMIN_DEPLOY: stage_body(st, c, problems); break;
  case ADMIN_ROLLBACK: stage_back(st, c, problems); break;
  case ADMIN_FENCE: break;
  case ADMIN_WITHDRAW:
    if (!engine_stage_drop(st, c->name)) add(problems, c->name, "no module of this name is deployed");
    break;
  }
}

static void forget_unused(hv_daemon *d) {
  for (hv_settings **at = &d->now->older; *at;) {
    hv_settings *s = *at;
    if (engine_uses_config(d->e, &s->cfg)) {
      at = &s->older;
      continue;
    }
    *at = s->older;
    hv_settings_free(d, s);
  }
}

/* Something is wrong, or would have been said for which there was no memory. */
static bool refused(const buf *problems) { return problems->len || problems->status; }

bool hv_change(void *user, const admin_change *c, buf *problems) {
  hv_daemon *d = (hv_daemon *)user;
  if (c->what == ADMIN_FENCE) return hv_fenced(d, c, problems);
  uint8_t ids[HV_MAX_FILES][32];
  const meta *metas[64];
  char text[200] = "";
  arena a;
  engine_stage *st = NULL;
  hv_settings *s = hv_settings_read(d);
  arena_init(&a, &d->mem.m, 0);
  if (!s) add(problems, d->args->config ? d->args->config : "hdw.json", "cannot be read");
  else if (engine_stage_new(d->e, &st)) add(problems, "", "out of memory");
  if (st) {
    stage(d, st, c, &a, ids, problems);
    uint32_t n = engine_stage_metas(st, metas, 64);
    check_fixed(&s->cfg, &d->now->cfg);
    check_folders(d, &s->cfg);
    engine_stage_each_pinned(st, use, &s->cfg);
    if (!refused(problems) && config_bind(&s->cfg, metas, n, false)) add(problems, "", "out of memory");
    for (uint32_t i = 0; i < s->cfg.nproblems && i < CONFIG_MAX_PROBLEMS; i++) add(problems, s->cfg.file, s->cfg.problems[i]);
    if (!refused(problems)) engine_stage_names(st, &s->cfg, problems);
    if (!refused(problems) && engine_switch(st, &s->cfg, c->who, text)) add(problems, "", text);
    if (refused(problems)) engine_stage_free(st);
  }
  arena_free(&a);
  if (refused(problems)) {
    if (s) hv_settings_free(d, s);
    return false;
  }
  memcpy(d->ids, ids, sizeof d->ids);
  s->older = d->now;
  d->now = s;
  d->mem.limit_bytes = (size_t)s->cfg.top.process_memory_bytes;
  if (d->adm) admin_configured(d->adm, &s->cfg);
  forget_unused(d);
  return true;
}

void hv_reload(hv_daemon *d) {
  arena a;
  buf problems;
  admin_change c = {.what = ADMIN_RELOAD, .who = "serve"};
  arena_init(&a, &d->mem.m, 1 << 20);
  buf_init(&problems, &a, 1 << 20);
  bool ok = hv_change(d, &c, &problems);
  buf_putc(&problems, 0);
  for (char *line = problems.p, *end; !ok && line && (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    engine_note(d->e, ENGINE_ERROR, "reload_problem", "problem", line);
  }
  engine_note(d->e, ok ? ENGINE_INFO : ENGINE_ERROR, ok ? "reloaded" : "reload_refused", ok ? NULL : "state", ok ? NULL : "nothing has changed");
  arena_free(&a);
}
