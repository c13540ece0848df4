/* engine_switch.c - from one deployment to the next while messages come in (SEMANTICS 6).
 *
 * A stage is a candidate: which modules would be current. engine_switch makes it so under a configuration, all or nothing:
 *
 *   connections   made anew beside the old ones; one that came out the same is thrown away again and the old one goes on, with all it knows
 *   listeners     the socket of an unchanged address stays, whatever else changed; new ones are opened, dropped ones close when they are done
 *   modules       a deployment that is the same stays; else another copy of the module, with its own settings, takes over
 *   records       REC_DEPLOY stands in the log before the first input that the new version decided about
 *
 * Inputs that come from then on go to the new version. Runs that exist stay with theirs (eng_app_pinned). */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"

struct engine_stage {
  engine *e;
  eng_app *apps[ENG_MAX_APPS];
  bool fresh[ENG_MAX_APPS];  /* made for this stage; the others are the engine's */
  uint32_t n;
};

/* ---- the candidate ---------------------------------------------------------------------------------------------------------------- */

hdw_status engine_stage_new(engine *e, engine_stage **out) {
  engine_stage *st = (engine_stage *)eng_get(e, sizeof *st);
  *out = st;
  if (!st) return HDW_E_NOMEM;
  st->e = e;
  for (uint32_t i = 0; i < e->napps; i++)
    if (!e->apps[i]->retired) st->apps[st->n++] = e->apps[i];
  return HDW_OK;
}

void engine_stage_free(engine_stage *st) {
  if (!st) return;
  for (uint32_t i = 0; i < st->n; i++)
    if (st->fresh[i]) eng_app_free(st->apps[i]);
  eng_put(st->e, st, sizeof *st);
}

uint32_t engine_stage_metas(const engine_stage *st, const meta **out, uint32_t cap) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < st->n && n < cap; i++) out[n++] = &st->apps[i]->meta;
  return n;
}

static hdw_status refuse(mod_error *err, hdw_status s, const char *text) {
  err->status = s;
  snprintf(err->text, sizeof err->text, "%s", text);
  return s;
}

static hdw_status take(engine_stage *st, eng_app *app, mod_error *err) {
  uint32_t at = st->n;
  for (uint32_t i = 0; i < st->n; i++)
    if (!strcmp(st->apps[i]->name, app->name)) at = i;
  for (uint32_t i = 0; i < st->n; i++)
    for (uint32_t k = 0; i != at && k < st->apps[i]->meta.nworkflows; k++) {
      const char *name = st->apps[i]->meta.workflows[k].name;
      if (!eng_workflow(app, name, strlen(name))) continue;
      char text[200];
      snprintf(text, sizeof text, "the workflow '%.80s' is also in the module '%.60s'", name, st->apps[i]->name);
      eng_app_free(app);
      return refuse(err, HDW_E_EXISTS, text);
    }
  if (at < st->n && !memcmp(st->apps[at]->m.id, app->m.id, MOD_ID_BYTES)) { /* nothing new */
    eng_app_free(app);
    return HDW_OK;
  }
  if (at == ENG_MAX_APPS / 2) {
    eng_app_free(app);
    return refuse(err, HDW_E_LIMIT, "there are too many modules");
  }
  if (at < st->n && st->fresh[at]) eng_app_free(st->apps[at]);
  st->apps[at] = app;
  st->fresh[at] = true;
  if (at == st->n) st->n++;
  return HDW_OK;
}

hdw_status engine_stage_module(engine_stage *st, const char *file, const void *bytes, size_t len, mod_error *err) {
  eng_app *app;
  if (st->e->napps >= ENG_MAX_APPS / 2) eng_reap(st->e);
  hdw_status s = eng_app_new(st->e, file, bytes, len, err, &app);
  return s ? s : take(st, app, err);
}

bool engine_stage_drop(engine_stage *st, const char *name) {
  for (uint32_t i = 0; i < st->n; i++) {
    if (strcmp(st->apps[i]->name, name)) continue;
    if (st->fresh[i]) eng_app_free(st->apps[i]);
    for (; i + 1 < st->n; i++) st->apps[i] = st->apps[i + 1], st->fresh[i] = st->fresh[i + 1];
    st->n--;
    return true;
  }
  return false;
}

void engine_stage_names(engine_stage *st, const config *c, buf *problems) { eng_names_check(st->e, st->apps, st->n, c, problems); }

void engine_stage_each_pinned(engine_stage *st, void (*fn)(void *user, const meta *m), void *user) { eng_each_pinned(st->e, st->apps, st->n, fn, user); }

/* ---- back --------------------------------------------------------------------------------------------------------------------------- */

typedef struct back {
  const char *name, *to;
  const uint8_t *current;
  uint8_t found[REC_HASH];
  bool any, other;           /* other: a second module begins with `to` */
} back;
static bool back_one(const store_deploy *d, void *user) {
  static const uint8_t none[REC_HASH];
  back *b = (back *)user;
  char hex[2 * REC_HASH + 1];
  if (!cod_equal(d->name, cod_cstr(b->name)) || !memcmp(d->module, none, REC_HASH)) return true;
  eng_hex(d->module, REC_HASH, hex);
  if (b->to ? strncmp(hex, b->to, strlen(b->to)) != 0 : b->current && !memcmp(d->module, b->current, REC_HASH)) return true;
  b->other |= b->to && b->any && memcmp(b->found, d->module, REC_HASH);
  memcpy(b->found, d->module, REC_HASH);
  b->any = true;
  return true;
}

hdw_status engine_stage_back(engine_stage *st, const char *name, const char *to, char text[200]) {
  engine *e = st->e;
  arena a;
  mod_error err;
  text[0] = 0;
  if (!name && st->n != 1) {
    snprintf(text, 200, "%u modules are deployed: say which one goes back", st->n);
    return HDW_E_INVALID;
  }
  if (!name) name = st->apps[0]->name;
  back b = {.name = name, .to = to};
  for (uint32_t i = 0; i < st->n; i++)
    if (!strcmp(st->apps[i]->name, name)) b.current = st->apps[i]->m.id;
  arena_init(&a, e->mem, 0);
  hdw_status s = store_list_deploys(e->store, false, &a, back_one, &b);
  arena_free(&a);
  if (s) return s;
  if (!b.any || b.other) {
    if (b.other) snprintf(text, 200, "more than one version of '%.60s' begins with %.64s", name, to);
    else if (to) snprintf(text, 200, "no version of '%.60s' that was deployed here begins with %.64s", name, to);
    else snprintf(text, 200, "'%.60s' has no earlier version here", name);
    return HDW_E_NOTFOUND;
  }
  eng_app *app = eng_app_recorded(e, b.found);
  if (!app) {
    snprintf(text, 200, "the log does not hold that version of '%.60s' any more", name);
    return HDW_E_NOTFOUND;
  }
  s = take(st, app, &err);
  if (s) snprintf(text, 200, "%.190s", err.text);
  return s;
}

/* ---- connections ---------------------------------------------------------------------------------------------------------------------- */

static void secrets(engine *e, val v, buf *b) {
  if (v.tag == VAL_LIST)
    for (uint32_t i = 0; i < v.len; i++) secrets(e, v.u.v[i], b); /* as deep as META nests: 32 at most */
  if (v.tag != VAL_OBJ) return;
  const char *s = jv_get(v, "$secret").tag == VAL_EMPTY ? NULL : eng_secret(e, v);
  if (s) buf_puts(b, s), buf_putc(b, 0);
  for (uint32_t i = 0; i < v.len; i++) secrets(e, v.u.v[2 * i + 1], b);
}

void eng_conn_print(engine *e, eng_conn *c) {
  arena a;
  buf b;
  arena_init(&a, e->mem, 0);
  buf_init(&b, &a, 8 << 20);
  buf_puts(&b, c->driver->kind);
  buf_put(&b, c->address, sizeof c->address);
  (void)json_write(c->args, &b, NULL);
  if (c->cfg && c->cfg->raw.tag == VAL_OBJ) (void)json_write(c->cfg->raw, &b, NULL);
  secrets(e, c->args, &b);
  if (c->cfg && c->cfg->has_tls) {
    const char *const pem[] = {c->cfg->cert_pem, c->cfg->key_pem, c->cfg->ca_pem};
    for (size_t i = 0; i < 3; i++) buf_puts(&b, pem[i] ? pem[i] : ""), buf_putc(&b, 0);
  }
  cod_sha256(b.p, b.len, NULL, 0, c->print);
  arena_free(&a); /* which wipes nothing: the secret stands in the configuration too */
}

/* The connections of every module of the stage, under the candidate configuration, in e->conns. */
static hdw_status make_conns(engine_stage *st, char text[200]) {
  engine *e = st->e;
  for (uint32_t i = 0; i < st->n; i++)
    for (uint32_t k = 0; k < st->apps[i]->meta.nconns; k++) {
      eng_conn *c;
      char why[ENG_TEXT];
      hdw_status s = eng_conn_setup(e, st->apps[i], &st->apps[i]->meta.conns[k], &c, why);
      if (!s) continue;
      snprintf(text, 200, "connections.%.60s: %.120s", st->apps[i]->meta.conns[k].name, why);
      return s;
    }
  for (uint32_t i = 0; i < e->nconns; i++) eng_conn_print(e, e->conns[i]);
  return HDW_OK;
}

static void retire(engine *e, eng_conn *old) {
  old->next_old = e->old_conns;
  e->old_conns = old;
}

/* e->conns are the new ones. */
static void swap_conns(engine *e, eng_conn **old, uint32_t nold) {
  for (eng_conn *o = e->old_conns; o; o = o->next_old) /* a name that was gone comes back */
    for (uint32_t i = 0; i < e->nconns && !o->replaced_by; i++)
      if (!strcmp(e->conns[i]->name, o->name)) e->conns[i]->replaces = o, o->replaced_by = e->conns[i];
  for (uint32_t i = 0; i < nold; i++) {
    uint32_t at = 0;
    while (at < e->nconns && strcmp(e->conns[at]->name, old[i]->name) && !(e->conns[at]->was && !strcmp(e->conns[at]->was, old[i]->name))) at++;
    if (at == e->nconns) {
      retire(e, old[i]);
    } else if (!strcmp(e->conns[at]->name, old[i]->name) && !memcmp(e->conns[at]->print, old[i]->print, REC_HASH) && !strcmp(e->conns[at]->driver->kind, old[i]->driver->kind)) {
      eng_conn_close(e->conns[at]);
      e->conns[at] = old[i];
    } else {
      eng_conn *c = e->conns[at];
      c->delivered = old[i]->delivered, c->failed = old[i]->failed, c->dead = old[i]->dead, c->steps_done = old[i]->steps_done;
      c->replaces = old[i], old[i]->replaced_by = c;
      retire(e, old[i]);
    }
  }
}

/* ---- listeners ------------------------------------------------------------------------------------------------------------------------- */

typedef struct place {
  eng_listener *old;         /* keeps its socket and becomes next; NULL: l is new */
  eng_listener *l;
  eng_listener next;
} place;
typedef struct places {
  place *v;
  uint32_t n, slots;         /* slots: e->nlisteners before */
} places;

static eng_listener *free_slot(engine *e) {
  if (e->nlisteners < ENG_MAX_LISTENERS) return &e->listeners[e->nlisteners++];
  for (uint32_t i = 0; i < ENG_MAX_LISTENERS; i++) {
    eng_listener *l = &e->listeners[i];
    if (l->closing && !l->mllp && !l->http && !l->waits) return l; /* nobody who waits may remember it */
  }
  return NULL;
}

static bool same_socket(const eng_listener *l, const char *kind, const config_listener *c) {
  return !strcmp(l->kind, kind) && !strcmp(l->o->address, c->o.address) && l->o->port == c->o.port && l->o->max_connections == c->o.max_connections;
}

static hdw_status one_place(engine *e, places *ps, const meta_listener *m, char text[200]) {
  const config_listener *c = config_find_listener(e->o.config, m->name);
  for (uint32_t i = 0; i < ps->n; i++) {
    const eng_listener *seen = ps->v[i].old ? &ps->v[i].next : ps->v[i].l;
    if (strcmp(seen->name, m->name)) continue;
    if (!strcmp(seen->kind, m->kind)) return HDW_OK;
    snprintf(text, 200, "listeners.%.60s: declared with two kinds", m->name);
    return HDW_E_INVALID;
  }
  if (!c) {
    snprintf(text, 200, "listeners.%.60s: not bound", m->name);
    return HDW_E_INVALID;
  }
  place *p = &ps->v[ps->n];
  eng_listener *old = eng_listener_find(e, m->name);
  if (!old && m->was) old = eng_listener_find(e, m->was);
  if (old && same_socket(old, m->kind, c)) {
    hdw_status s = eng_listener_prepare(e, old, c, &p->next, text);
    if (s) return s;
    if (strcmp(old->name, m->name) && !(p->next.name = arena_dup(&e->a, m->name, strlen(m->name)))) return HDW_E_NOMEM;
    p->old = old;
    ps->n++;
    return HDW_OK;
  }
  p->l = free_slot(e);
  const char *name = arena_dup(&e->a, m->name, strlen(m->name)), *kind = arena_dup(&e->a, m->kind, strlen(m->kind));
  if (!p->l || !name || !kind) return HDW_E_LIMIT;
  *p->l = (eng_listener){.e = e, .name = name, .kind = kind, .o = &c->o, .cfg = c};
  p->l->closing = true; /* until the switch: the one before it is found by the name */
  ps->n++;
  return eng_listener_open(e, p->l, text);
}

static hdw_status make_places(engine_stage *st, places *ps, char text[200]) {
  engine *e = st->e;
  for (uint32_t i = 0; i < st->n; i++)
    for (uint32_t k = 0; k < st->apps[i]->meta.nlisteners; k++) {
      if (ps->n == ENG_MAX_LISTENERS) return HDW_E_LIMIT;
      hdw_status s = one_place(e, ps, &st->apps[i]->meta.listeners[k], text);
      if (s) return s;
    }
  return HDW_OK;
}

static void undo_places(engine *e, places *ps) {
  for (uint32_t i = 0; i < ps->n; i++) {
    if (ps->v[i].old) tls_ctx_free(ps->v[i].next.tls);
    else eng_listener_close(ps->v[i].l);
  }
  e->nlisteners = ps->slots;
}

static void swap_places(engine *e, places *ps) {
  for (uint32_t i = 0; i < ps->slots; i++) {
    eng_listener *l = &e->listeners[i];
    bool stays = l->closing;
    for (uint32_t k = 0; k < ps->n && !stays; k++) stays = ps->v[k].old == l;
    if (stays) continue;
    l->closing = true;
    eng_say(e, ENGINE_INFO, "listener_closing", "listener", l->name, NULL);
    if (l->mllp) mllp_listener_stop(l->mllp, true);
    if (l->http) http_server_stop(l->http, true);
  }
  for (uint32_t i = 0; i < ps->n; i++) {
    if (ps->v[i].old) eng_listener_update(ps->v[i].old, &ps->v[i].next);
    else ps->v[i].l->closing = false;
    eng_listener *l = ps->v[i].old ? ps->v[i].old : ps->v[i].l;
    if (e->unread && l->mllp) mllp_listener_pause(l->mllp, true);
    if (e->unread && l->http) http_server_pause(l->http, true);
  }
}

/* ---- modules ----------------------------------------------------------------------------------------------------------------------------- */

/* A module whose settings, addresses or grants changed gets a second copy: runs of the first keep what they began with. */
static hdw_status bind_apps(engine_stage *st, char text[200]) {
  engine *e = st->e;
  for (uint32_t i = 0; i < st->n; i++) {
    eng_app *app = st->apps[i];
    hdw_status s = HDW_OK;
    if (!st->fresh[i]) {
      arena a;
      buf b;
      uint8_t hash[REC_HASH];
      arena_init(&a, e->mem, 0);
      buf_init(&b, &a, 4 << 20);
      s = eng_app_deployment(e, app, &b, hash);
      arena_free(&a);
      if (!s && !memcmp(hash, app->deployment, REC_HASH)) continue;
      mod_error err = {.text = ""};
      eng_app *copy = NULL;
      if (!s) s = eng_app_new(e, app->file, app->bytes, app->len, &err, &copy);
      if (!s) {
        copy->who = app->who ? arena_dup(&copy->a, app->who, strlen(app->who)) : NULL;
        st->apps[i] = app = copy, st->fresh[i] = true;
      }
    }
    if (!s) s = eng_app_bind(e, app);
    if (s) {
      snprintf(text, 200, "%.80s: the settings cannot be taken: %s", app->name, hdw_status_text(s));
      return s;
    }
  }
  return HDW_OK;
}

static hdw_status record(engine_stage *st, const char *who, char text[200]) {
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < st->n && !s; i++) s = eng_app_record(st->e, st->apps[i], who);
  if (!s) s = eng_app_withdraw(st->e, st->apps, st->n, who);
  if (!s) s = eng_names_move(st->e, st->apps, st->n, who);
  if (s) snprintf(text, 200, "the deployment cannot be recorded: %s", hdw_status_text(s));
  return s;
}

static void swap_apps(engine_stage *st) {
  engine *e = st->e;
  eng_app *before[ENG_MAX_APPS];
  uint32_t nbefore = e->napps, n = 0;
  memcpy(before, e->apps, nbefore * sizeof *before);
  for (uint32_t i = 0; i < st->n; i++) e->apps[n++] = st->apps[i];
  for (uint32_t i = 0; i < nbefore; i++) {
    bool stays = false;
    for (uint32_t k = 0; k < st->n && !stays; k++) stays = st->apps[k] == before[i];
    if (stays) continue;
    before[i]->retired = true;
    e->apps[n++] = before[i];
  }
  e->napps = n;
  for (uint32_t i = 0; i < st->n; i++) {
    const eng_app *a = st->apps[i];
    char hex[2 * REC_HASH + 1];
    eng_hex(a->m.id, REC_HASH, hex);
    if (st->fresh[i]) eng_say(e, ENGINE_INFO, "deployed", "module", a->name, "id", hex, NULL);
    st->fresh[i] = false;
    for (eng_refused **r = &e->refused; *r;) /* what was refused before is no longer */
      if (!strcmp((*r)->name, a->name)) *r = (*r)->next;
      else r = &(*r)->next;
  }
}

/* ---- the switch ---------------------------------------------------------------------------------------------------------------------------- */

static void on_reap(void *user) {
  engine *e = (engine *)user;
  bool more = false;
  for (uint32_t i = 0; i < e->nlisteners; i++) {
    eng_listener *l = &e->listeners[i];
    if (!l->closing || (!l->mllp && !l->http)) continue;
    if ((l->mllp && mllp_listener_stats(l->mllp)->open) || (l->http && http_server_stats(l->http)->open)) more = true;
    else eng_listener_close(l);
  }
  eng_reap(e);
  for (uint32_t i = 0; i < e->napps; i++) more |= e->apps[i]->retired;
  if (more || e->old_conns) io_timer_set(e->io, &e->reap, 1000000, on_reap, e);
}

hdw_status engine_switch(engine_stage *st, const config *c, const char *who, char text[200]) {
  engine *e = st->e;
  arena a;
  places ps = {.slots = e->nlisteners};
  const config *config_before = e->o.config;
  eng_conn **conns = e->conns, *old = e->old_conns;
  uint32_t nconns = e->nconns, nolds = e->nolds;
  struct eng_olds *olds = e->olds;
  text[0] = 0;
  if (e->draining || e->failed || e->closing) {
    snprintf(text, 200, "the daemon is stopping");
    return HDW_E_CLOSED;
  }
  eng_reap(e);
  old = e->old_conns;
  if (e->napps + st->n > ENG_MAX_APPS) {
    snprintf(text, 200, "runs of too many earlier versions are still in memory");
    return HDW_E_LIMIT;
  }
  arena_init(&a, e->mem, 0);
  ps.v = (place *)arena_zalloc(&a, ENG_MAX_LISTENERS, sizeof *ps.v);
  e->o.config = c;
  e->conns = NULL, e->nconns = 0, e->old_conns = NULL;
  hdw_status s = ps.v ? make_conns(st, text) : HDW_E_NOMEM;
  if (!s) s = bind_apps(st, text);
  if (!s && e->listeners) s = make_places(st, &ps, text);
  if (!s && (s = eng_window_names(e, st->apps, st->n)) != HDW_OK) snprintf(text, 200, "earlier names of listeners cannot be looked up: %s", hdw_status_text(s));
  if (!s) s = record(st, who, text);
  if (s) {
    if (!text[0]) snprintf(text, 200, "%s", hdw_status_text(s));
    if (e->listeners && ps.v) undo_places(e, &ps);
    for (uint32_t i = 0; i < e->nconns; i++) eng_conn_close(e->conns[i]);
    e->o.config = config_before;
    e->conns = conns, e->nconns = nconns, e->old_conns = old;
    e->olds = olds, e->nolds = nolds;
    arena_free(&a);
    return s;
  }
  e->old_conns = old;
  swap_conns(e, conns, nconns);
  if (e->listeners) swap_places(e, &ps);
  swap_apps(st);
  for (uint32_t i = 0; i < e->nconns; i++) {
    bool kept = false;
    for (uint32_t k = 0; k < nconns; k++) kept |= conns[k] == e->conns[i];
    if (!kept) eng_conn_restore(e->conns[i]);
    eng_conn_start(e->conns[i]);
  }
  eng_names_forget(e, st->apps, st->n);
  engine_stage_free(st);
  io_timer_set(e->io, &e->reap, 1000000, on_reap, e);
  arena_free(&a);
  return HDW_OK;
}

bool engine_uses_config(const engine *e, const config *c) {
  if (e->o.config == c) return true;
  for (uint32_t i = 0; i < e->nconns; i++)
    if (e->conns[i]->cfg >= c->conns && e->conns[i]->cfg < c->conns + c->nconns) return true;
  for (const eng_conn *o = e->old_conns; o; o = o->next_old)
    if (o->cfg >= c->conns && o->cfg < c->conns + c->nconns) return true;
  for (uint32_t i = 0; i < e->nlisteners; i++)
    if ((e->listeners[i].mllp || e->listeners[i].http) && e->listeners[i].cfg >= c->listeners && e->listeners[i].cfg < c->listeners + c->nlisteners) return true;
  return false;
}
