/* engine_deploy.c - modules: how they are taken, what a deployment is, and what runs are pinned to (SEMANTICS 4, 6).
 *
 * A run is pinned to (module, deployment). Both can be had back from the log as long as runs may need them: the module's bytes from REC_DEPLOY, the
 * settings of the deployment from named state. */
#include <stdarg.h>
#include <stdio.h>
#include "engine_int.h"
#include "json.h"
#include "points.h"

/* ---- modules ----------------------------------------------------------------------------------------------------------------- */

static hdw_status load_error(mod_error *err, hdw_status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static hdw_status load_error(mod_error *err, hdw_status s, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  err->status = s;
  vsnprintf(err->text, sizeof err->text, fmt, ap);
  va_end(ap);
  return s;
}

/* Every effect stays within what META declares for its connection: that is what the operator granted. */
static hdw_status check_effects(arena *a, const module *m, const meta *mt, mod_error *err) {
  for (uint32_t i = 0; i < m->neffects; i++) {
    const mod_effect *f = &m->effects[i];
    const char *op = mod_cstr(a, m, f->op);
    if (!op) return HDW_E_NOMEM;
    const char *dot = strchr(op, '.');
    if (f->conn == MOD_NO_INDEX) {
      if (!dot || strncmp(op, "sys.", 4)) return load_error(err, HDW_E_CORRUPT, "effect %u: %.40s needs a connection", i, op);
      continue;
    }
    const char *name = mod_cstr(a, m, f->conn);
    bool ok = false;
    for (uint32_t c = 0; name && c < mt->nconns; c++) {
      const meta_conn *mc = &mt->conns[c];
      if (strcmp(mc->name, name)) continue;
      size_t kl = strlen(mc->kind);
      if (!dot || strncmp(op, mc->kind, kl) || op[kl] != '.') break;
      for (uint32_t k = 0; k < mc->nops; k++) ok |= !strcmp(mc->ops[k], dot + 1);
    }
    if (!ok) return load_error(err, HDW_E_CORRUPT, "effect %u: %.40s is not among the operations declared for %.60s", i, op, name ? name : "?");
  }
  return HDW_OK;
}

hdw_status engine_check_module(arena *a, mem *scratch, const vm_host *host, const uint8_t *bytes, size_t len, module *m, meta *out, const vm_native **bound, mod_error *err) {
  uint8_t id[32];
  err->status = HDW_OK, err->text[0] = 0;
  if (len < MOD_HEADER_BYTES) return load_error(err, HDW_E_CORRUPT, "the file is too short for a module");
  hdw_status s = mod_load(a, bytes, len, m, err);
  if (s) return s;
  cod_sha256(bytes + MOD_HEADER_BYTES, len - MOD_HEADER_BYTES, NULL, 0, id);
  if (memcmp(id, m->id, sizeof id)) return load_error(err, HDW_E_CORRUPT, "the module's id is not that of its content: the file was changed");
  s = mod_verify(a, m, err);
  if (!s) s = vm_bind(a, m, host, bound, err);
  if (!s) s = meta_read(a, scratch, m, out, err);
  if (!s) s = check_effects(a, m, out, err);
  if (s && !err->text[0]) load_error(err, s, "%s", hdw_status_text(s));
  return s;
}

void eng_app_free(eng_app *app) {
  engine *e = app->e;
  arena_free(&app->a);
  eng_put(e, app, sizeof *app);
}

hdw_status eng_app_new(engine *e, const char *file, const void *bytes, size_t len, mod_error *err, eng_app **out) {
  err->status = HDW_OK, err->text[0] = 0;
  if (e->napps == ENG_MAX_APPS) return load_error(err, HDW_E_LIMIT, "more than %d modules", ENG_MAX_APPS);
  if (len > MOD_MAX_BYTES) return load_error(err, HDW_E_LIMIT, "the module is larger than %d bytes", MOD_MAX_BYTES);
  eng_app *app = (eng_app *)eng_get(e, sizeof *app);
  if (!app) return HDW_E_NOMEM;
  app->e = e;
  arena_init(&app->a, e->mem, 0);
  app->file = arena_dup(&app->a, file, strlen(file));
  app->bytes = (uint8_t *)arena_alloc(&app->a, len + 8);
  app->len = len;
  app->since_us = io_wall_us(e->io);
  hdw_status s = app->file && app->bytes ? HDW_OK : HDW_E_NOMEM;
  if (!s) {
    memcpy(app->bytes, bytes, len);
    s = engine_check_module(&app->a, e->mem, e->o.host, app->bytes, len, &app->m, &app->meta, &app->bound, err);
    if (!s) s = eng_senders_load(e, app, err);
    app->name = app->meta.name && app->meta.name[0] ? app->meta.name : app->file;
    if (!s && strlen(app->name) > REC_NAME_MAX) s = load_error(err, HDW_E_LIMIT, "its name is longer than %d bytes", REC_NAME_MAX);
  }
  if (s) {
    if (!err->status) load_error(err, s, "%s", hdw_status_text(s));
    eng_app_free(app);
    return s;
  }
  *out = app;
  return HDW_OK;
}

static hdw_status add(engine *e, eng_app *app, mod_error *err) {
  for (uint32_t i = 0; i < e->napps; i++)
    for (uint32_t k = 0; k < e->apps[i]->meta.nworkflows; k++) {
      const char *name = e->apps[i]->meta.workflows[k].name;
      if (!eng_workflow(app, name, strlen(name))) continue;
      load_error(err, HDW_E_EXISTS, "the workflow '%.80s' is also in %.80s", name, e->apps[i]->file);
      eng_app_free(app);
      return HDW_E_EXISTS;
    }
  e->apps[e->napps++] = app;
  return HDW_OK;
}

hdw_status engine_load(engine *e, const char *file, const void *bytes, size_t len, mod_error *err) {
  eng_app *app;
  hdw_status s = eng_app_new(e, file, bytes, len, err, &app);
  return s ? s : add(e, app, err);
}

/* ---- what was deployed before ---- */

static bool by_serve(cod_str who) { return cod_equal(who, cod_cstr("serve")); }

static const char *who_of(eng_app *app, cod_str who) { return by_serve(who) ? NULL : arena_dup(&app->a, who.p, who.len); }

typedef struct given {
  const char *name;
  uint8_t last[REC_HASH];    /* what the command line gave last */
  bool any;
} given;
static bool last_given(const store_deploy *d, void *user) {
  given *g = (given *)user;
  if (!cod_equal(d->name, cod_cstr(g->name)) || !by_serve(d->who)) return true;
  memcpy(g->last, d->module, REC_HASH);
  g->any = true;
  return true;
}

hdw_status engine_load_file(engine *e, const char *file, const void *bytes, size_t len, bool *kept, mod_error *err) {
  eng_app *app, *now = NULL;
  arena a;
  store_deploy d;
  *kept = false;
  hdw_status s = eng_app_new(e, file, bytes, len, err, &app);
  if (s) return s;
  given g = {.name = app->name};
  arena_init(&a, e->mem, 0);
  if (!store_get_deploy(e->store, NULL, cod_cstr(app->name), &a, &d) && !by_serve(d.who) && memcmp(d.module, app->m.id, REC_HASH) &&
      !store_list_deploys(e->store, false, &a, last_given, &g) && g.any && !memcmp(g.last, app->m.id, REC_HASH))
    now = eng_app_recorded(e, d.module);
  if (now) {
    now->who = who_of(now, d.who);
    eng_app_free(app);
    app = now;
    *kept = true;
  }
  arena_free(&a);
  return add(e, app, err);
}

typedef struct loading {
  engine *e;
  bool all;
  hdw_status s;
  char *text;
} loading;
static bool load_one(const store_deploy *d, void *user) {
  loading *l = (loading *)user;
  mod_error err = {.text = ""};
  if (!l->all && by_serve(d->who)) return true;
  for (uint32_t i = 0; i < l->e->napps; i++)
    if (cod_equal(cod_cstr(l->e->apps[i]->name), d->name)) return true;
  eng_app *app = eng_app_recorded(l->e, d->module);
  if (app) {
    app->who = who_of(app, d->who);
    l->s = add(l->e, app, &err);
  } else l->s = HDW_E_NOTFOUND;
  if (l->s) snprintf(l->text, 200, "the deployed module '%.*s': %.120s", (int)(d->name.len < 60 ? d->name.len : 60), d->name.p, err.text[0] ? err.text : "its bytes are not in the log any more");
  return !l->s;
}

hdw_status engine_load_deployed(engine *e, bool all, char text[200]) {
  arena a;
  loading l = {e, all, HDW_OK, text};
  text[0] = 0;
  arena_init(&a, e->mem, 0);
  hdw_status s = store_list_deploys(e->store, true, &a, load_one, &l);
  arena_free(&a);
  return l.s ? l.s : s;
}

typedef struct pinning {
  engine *e;
  eng_app *const *apps;      /* current or about to be */
  uint32_t napps;
  uint8_t seen[ENG_MAX_APPS][REC_HASH];
  uint32_t n;
  void (*fn)(void *user, const meta *m);
  void *user;
} pinning;
static bool pinned_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  pinning *p = (pinning *)user;
  arena a;
  store_run r;
  bool seen = false;
  (void)part, (void)state;
  arena_init(&a, p->e->mem, 0);
  if (store_get_run(p->e->store, ENG_PART, id, &a, &r)) seen = true;
  for (uint32_t i = 0; i < p->n && !seen; i++) seen = !memcmp(p->seen[i], r.module, REC_HASH);
  for (uint32_t i = 0; i < p->napps && !seen; i++) seen = !p->apps[i]->retired && !memcmp(p->apps[i]->m.id, r.module, REC_HASH);
  if (!seen) {
    eng_app *app = eng_app_recorded(p->e, r.module);
    memcpy(p->seen[p->n++], r.module, REC_HASH);
    if (app) {
      p->fn(p->user, &app->meta);
      eng_app_free(app);
    }
  }
  arena_free(&a);
  return p->n < ENG_MAX_APPS;
}

void engine_each_pinned(engine *e, void (*fn)(void *user, const meta *m), void *user) { eng_each_pinned(e, e->apps, e->napps, fn, user); }

void eng_each_pinned(engine *e, eng_app *const *apps, uint32_t n, void (*fn)(void *user, const meta *m), void *user) {
  static const uint8_t states[] = {RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED};
  pinning *p = (pinning *)eng_get(e, sizeof *p);
  if (!p) return;
  p->e = e, p->apps = apps, p->napps = n, p->fn = fn, p->user = user;
  for (size_t i = 0; i < sizeof states; i++) (void)store_list_runs(e->store, ENG_PART, states[i], 0, 0, pinned_one, p);
  eng_put(e, p, sizeof *p);
}

uint32_t engine_metas(const engine *e, const meta **out, uint32_t cap) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < e->napps && n < cap; i++)
    if (!e->apps[i]->retired) out[n++] = &e->apps[i]->meta;
  return n;
}

void eng_refuse(engine *e, const char *name, const char *file, const char *reason) {
  eng_refused *r = (eng_refused *)arena_zalloc(&e->a, 1, sizeof *r);
  eng_say(e, ENGINE_ERROR, "module_refused", "module", name, "file", file, "reason", reason, NULL);
  if (!r) return;
  snprintf(r->name, sizeof r->name, "%s", name);
  snprintf(r->file, sizeof r->file, "%s", file);
  snprintf(r->reason, sizeof r->reason, "%s", reason);
  r->time_us = io_wall_us(e->io);
  r->next = e->refused;
  e->refused = r;
}

void engine_refuse(engine *e, const char *file, const char *reason) { eng_refuse(e, "", file, reason); }

bool engine_any_refused(const engine *e) { return e->refused != NULL; }

void engine_drop(engine *e, const meta *m, const char *reason) {
  for (uint32_t i = 0; i < e->napps; i++) {
    eng_app *app = e->apps[i];
    if (&app->meta != m) continue;
    eng_refuse(e, app->name, app->file, reason);
    app->retired = true; /* connections may have been made from it: eng_reap frees it when nothing needs it */
    return;
  }
}

/* ---- what a deployment is ----------------------------------------------------------------------------------------------------------
 * Besides the module: the values of its settings, the addresses of its connections and what they may reach. Secrets and rates stay current. It is
 * recorded as named state, space "deployment", key = hex of the hash:
 *   {"settings":{"crm_base":"https://crm.example.org"},"connections":{"crm":"https crm.example.org:443 /api grants 10.0.0.0/8"}} */

static void put_address(buf *b, const eng_conn *c) {
  buf line;
  char hex[2 * sizeof(net_cidr) + 1];
  buf_init(&line, b->a, 65536);
  buf_putf(&line, "%s %s:%u %s %s", c->https ? "https" : c->driver->kind, c->host ? c->host : "", c->port, c->prefix ? c->prefix : "", c->folder ? c->folder : "");
  if (jv_get(c->args, "host").tag != VAL_EMPTY || c->cfg->o.address[0]) { /* mllp: where its clients go */
    buf_puts(&line, c->cfg->o.address);
    (void)json_write(jv_get(c->args, "host"), &line, NULL), (void)json_write(jv_get(c->args, "port"), &line, NULL);
  }
  for (unsigned i = 0; i < c->ngrants; i++) eng_hex(&c->grants[i], sizeof c->grants[i], hex), buf_putf(&line, " %s", hex);
  if (!line.status) json_write_str(b, line.p, line.len);
}

static hdw_status deployment_text(engine *e, const eng_app *app, buf *b) {
  hdw_status s = HDW_OK;
  buf_puts(b, "{\"settings\":{");
  for (uint32_t i = 0; i < app->meta.nsettings && !s; i++) {
    const meta_setting *m = &app->meta.settings[i];
    const config_setting *c = config_find_setting(e->o.config, m->name);
    val v = c ? c->value : m->def;
    buf_puts(b, i ? "," : "");
    json_write_str(b, m->name, strlen(m->name));
    buf_puts(b, ":");
    if (v.tag == VAL_EMPTY) buf_puts(b, "null");
    else s = json_write(v, b, NULL);
  }
  buf_puts(b, "},\"connections\":{");
  bool first = true;
  for (uint32_t i = 0; i < app->meta.nconns; i++) {
    const char *name = app->meta.conns[i].name;
    eng_conn *c;
    hdw_status there = eng_conn_look(e, name, strlen(name), &c);
    if (there && there != HDW_E_NOTFOUND) return there;
    if (there) continue;
    buf_puts(b, first ? "" : ",");
    first = false;
    json_write_str(b, name, strlen(name));
    buf_puts(b, ":");
    put_address(b, c);
  }
  buf_puts(b, "}}");
  return s ? s : b->status;
}

/* Reads the settings back out of the text, so that they live as long as the app. */
static hdw_status take_settings(engine *e, eng_app *app, const char *text, size_t len) {
  json_reader r;
  val root;
  app->settings = (val *)arena_zalloc(&app->a, app->meta.nsettings ? app->meta.nsettings : 1, sizeof *app->settings);
  if (!app->settings) return HDW_E_NOMEM;
  json_reader_init(&r, e->mem);
  hdw_status s = json_read(&r, &app->a, text, len, NULL, &root, NULL);
  json_reader_free(&r);
  if (s) return s;
  val set = jv_get(root, "settings");
  for (uint32_t i = 0; i < app->meta.nsettings; i++) {
    val v = jv_get(set, app->meta.settings[i].name);
    app->settings[i] = v.tag == VAL_NULL ? VAL_NONE : v;
  }
  return HDW_OK;
}

hdw_status eng_app_deployment(engine *e, const eng_app *app, buf *b, uint8_t out[REC_HASH]) {
  hdw_status s = deployment_text(e, app, b);
  if (!s) cod_sha256(app->m.id, MOD_ID_BYTES, b->p, b->len, out);
  return s;
}

hdw_status eng_app_bind(engine *e, eng_app *app) {
  buf b;
  buf_init(&b, &app->a, 4 << 20);
  hdw_status s = eng_app_deployment(e, app, &b, app->deployment);
  if (!s) s = take_settings(e, app, b.p, b.len);
  if (!s) s = eng_names_bind(e, app);
  app->text = b.p, app->text_len = b.len;
  return s;
}

static hdw_status put_deploy(engine *e, const rec_deploy *r, const void *body, size_t len) {
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_deploy(&w, r);
  return s ? s : eng_append_rec(e, REC_DEPLOY, &w, body, len, NULL, NULL, NULL);
}

hdw_status eng_app_record(engine *e, eng_app *app, const char *who) {
  if (app->who) who = app->who;
  else app->who = arena_dup(&app->a, who, strlen(who));
  char hex[2 * REC_HASH + 1];
  arena a;
  store_deploy d;
  cod_str v;
  hdw_status s = HDW_OK;
  arena_init(&a, e->mem, 0);
  bool same = !store_get_deploy(e->store, NULL, cod_cstr(app->name), &a, &d) && !memcmp(d.module, app->m.id, REC_HASH) && !memcmp(d.deployment, app->deployment, REC_HASH);
  if (same) app->since_us = d.time_us, app->who = arena_dup(&app->a, d.who.p, d.who.len);
  eng_hex(app->deployment, REC_HASH, hex);
  bool known = !store_get_named(e->store, cod_cstr("deployment"), cod_cstr(hex), &a, &v);
  arena_free(&a);
  if (!known) {
    rec_put p = {.space = cod_cstr("deployment"), .key = cod_cstr(hex)};
    cod_w w = eng_writer(e);
    s = rec_put_named(&w, &p);
    if (!s) s = eng_append_rec(e, REC_PUT, &w, app->text, app->text_len, NULL, NULL, NULL);
  }
  if (s || same) return s;
  const char *slash = strrchr(app->file, '/');
  rec_deploy r = {.name = cod_cstr(app->name), .file = cod_cstr(slash ? slash + 1 : app->file), .who = cod_cstr(who)};
  memcpy(r.module, app->m.id, REC_HASH);
  memcpy(r.deployment, app->deployment, REC_HASH);
  return put_deploy(e, &r, app->bytes, app->len);
}

typedef struct names_gone {
  eng_app *const *keep;
  uint32_t nkeep, n;
  cod_str gone[ENG_MAX_APPS];
} names_gone;
static bool name_gone(const store_deploy *d, void *user) {
  names_gone *g = (names_gone *)user;
  for (uint32_t i = 0; i < g->nkeep; i++)
    if (cod_equal(cod_cstr(g->keep[i]->name), d->name)) return true;
  g->gone[g->n++] = d->name;
  return g->n < ENG_MAX_APPS;
}

hdw_status eng_app_withdraw(engine *e, eng_app *const *keep_apps, uint32_t n, const char *who) {
  arena a;
  names_gone g = {.keep = keep_apps, .nkeep = n};
  arena_init(&a, e->mem, 0);
  hdw_status s = store_list_deploys(e->store, true, &a, name_gone, &g);
  for (uint32_t i = 0; i < g.n && !s; i++) {
    rec_deploy r = {.name = g.gone[i], .who = cod_cstr(who)};
    char name[REC_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)g.gone[i].len, g.gone[i].p);
    eng_say(e, ENGINE_WARN, "module_withdrawn", "module", name, "who", who, NULL);
    s = put_deploy(e, &r, NULL, 0);
  }
  arena_free(&a);
  return s;
}

/* ---- what runs are pinned to --------------------------------------------------------------------------------------------------------- */

eng_app *eng_app_recorded(engine *e, const uint8_t hash[REC_HASH]) {
  arena a;
  store_deploy d;
  log_rec rec;
  mod_error err;
  eng_app *app = NULL;
  arena_init(&a, e->mem, 0);
  if (!store_get_deploy(e->store, hash, cod_cstr(""), &a, &d) && d.body_len && !eng_read(e, d.pos, &a, &rec)) {
    char file[200];
    snprintf(file, sizeof file, "%.*s", (int)(d.file.len < 190 ? d.file.len : 190), d.file.p);
    if (!eng_app_new(e, file, rec.body, rec.body_len, &err, &app) && memcmp(app->m.id, hash, REC_HASH)) {
      eng_app_free(app);
      app = NULL;
    }
  }
  arena_free(&a);
  return app;
}

/* Its connections, where the configuration still has them: an effect of a run must find its name. */
static void keep(engine *e, eng_app *app) {
  app->retired = true;
  e->apps[e->napps++] = app;
  for (uint32_t i = 0; i < app->meta.nconns; i++) {
    eng_conn *c;
    char text[ENG_TEXT];
    if (!eng_conn_find(e, app->meta.conns[i].name, strlen(app->meta.conns[i].name))) (void)eng_conn_setup(e, app, &app->meta.conns[i], &c, text);
  }
}

eng_app *eng_app_by_hash(engine *e, const uint8_t hash[REC_HASH]) {
  for (uint32_t i = 0; i < e->napps; i++)
    if (!memcmp(e->apps[i]->m.id, hash, REC_HASH)) return e->apps[i];
  if (e->napps == ENG_MAX_APPS) eng_reap(e);
  eng_app *app = eng_app_recorded(e, hash);
  if (app) keep(e, app);
  return app;
}

eng_app *eng_app_pinned(engine *e, const uint8_t hash[REC_HASH], const uint8_t deployment[REC_HASH]) {
  for (uint32_t i = 0; i < e->napps; i++)
    if (HDW_BROKEN("pin.lost") ? !e->apps[i]->retired : !memcmp(e->apps[i]->m.id, hash, REC_HASH) && !memcmp(e->apps[i]->deployment, deployment, REC_HASH)) return e->apps[i];
  if (e->napps == ENG_MAX_APPS) eng_reap(e);
  eng_app *app = eng_app_recorded(e, hash);
  if (!app) return NULL;
  arena a;
  cod_str v;
  char hex[2 * REC_HASH + 1];
  arena_init(&a, e->mem, 0);
  eng_hex(deployment, REC_HASH, hex);
  /* Without a record of the settings those of today hold; a step that asks something else then stops the run as diverged. */
  if (!store_get_named(e->store, cod_cstr("deployment"), cod_cstr(hex), &a, &v)) {
    char *copy = arena_dup(&app->a, v.p, v.len);
    if (!copy || take_settings(e, app, copy, v.len)) app->settings = NULL;
  }
  arena_free(&a);
  memcpy(app->deployment, deployment, REC_HASH);
  keep(e, app);
  return app;
}

/* ---- giving back ------------------------------------------------------------------------------------------------------------------------ */

static bool conn_needed(const engine *e, const eng_conn *c) {
  return c->in_flight || c->steps || c->flying || eng_steps_use(e, c);
}

/* A run of an earlier deployment may still ask for a connection that nothing replaced. */
static bool pinned_runs(const engine *e, const eng_app *app) {
  for (const eng_run *r = e->runs; r; r = r->next)
    if (r->app == app) return true;
  return false;
}

static bool app_needed(const engine *e, const eng_app *app) {
  if (pinned_runs(e, app)) return true;
  for (uint32_t i = 0; i < e->nconns; i++)
    if (e->conns[i]->app == app) return true;
  for (const eng_conn *c = e->old_conns; c; c = c->next_old)
    if (c->app == app) return true;
  return false;
}

void eng_reap(engine *e) {
  for (eng_conn **at = &e->old_conns; *at;) {
    eng_conn *c = *at;
    if (conn_needed(e, c) || (!c->replaced_by && pinned_runs(e, c->app))) {
      at = &c->next_old;
      continue;
    }
    *at = c->next_old;
    if (c->replaced_by) c->replaced_by->replaces = c->replaces;
    if (c->replaces) c->replaces->replaced_by = c->replaced_by;
    eng_conn_close(c);
  }
  uint32_t n = 0;
  for (uint32_t i = 0; i < e->napps; i++) {
    eng_app *app = e->apps[i];
    if (app->retired && !app_needed(e, app)) eng_app_free(app);
    else e->apps[n++] = app;
  }
  e->napps = n;
}
