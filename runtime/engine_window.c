/* engine_window.c - windows of time that are kept under declared names (SEMANTICS 6): in which a listener knows a resend again, and in which a once-key of a
 * workflow is taken.
 *
 * Named state "listener", key = name: its window in milliseconds, written when the listener is first deployed and when the window changes. `listener b was a`
 * makes the alias "listener:b" = a: what came in under a is found from b. Named state "once.last", key = workflow: until when the longest of its keys is
 * taken; it comes with the keys (store_once.c). */
#include <stdio.h>
#include "engine_int.h"

enum { LOOK_MAX = 50000, OLD_MAX = 8 };

struct eng_olds {            /* a listener that had other names */
  const char *name;
  const char *old[OLD_MAX];  /* the newest first; the last one is the root */
  unsigned n;
};

static hdw_status put(engine *e, const char *space, const char *name, const char *value) {
  rec_put r = {.space = cod_cstr(space), .key = cod_cstr(name)};
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_named(&w, &r);
  return s ? s : eng_append_rec(e, REC_PUT, &w, value, strlen(value), NULL, NULL, NULL);
}

/* ---- listeners' names ------------------------------------------------------------------------------------------------------------------------ */

static hdw_status olds_of(engine *e, const meta_listener *m, struct eng_olds *o) {
  arena a;
  cod_str v;
  const char *at = m->was;
  hdw_status s = HDW_OK;
  arena_init(&a, e->mem, 65536);
  if (!at && eng_named(e, &a, "alias", "listener:", m->name, strlen(m->name), &v) && !(at = arena_dup(&a, v.p, v.len))) s = HDW_E_NOMEM;
  while (at && o->n < OLD_MAX && strcmp(at, m->name)) {
    bool seen = false;
    for (unsigned i = 0; i < o->n; i++) seen |= !strcmp(o->old[i], at);
    if (seen) break;
    if (!(o->old[o->n++] = arena_dup(&e->a, at, strlen(at)))) s = HDW_E_NOMEM;
    if (s) break;
    bool more = eng_named(e, &a, "alias", "listener:", at, strlen(at), &v);
    if (more && !(at = arena_dup(&a, v.p, v.len))) s = HDW_E_NOMEM;
    if (!more) at = NULL;
  }
  arena_free(&a);
  if (!s && o->n && !(o->name = arena_dup(&e->a, m->name, strlen(m->name)))) s = HDW_E_NOMEM;
  return s;
}

hdw_status eng_window_names(engine *e, eng_app *const *apps, uint32_t napps) {
  uint32_t n = 0, nolds = 0;
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < napps; i++) n += apps[i]->retired ? 0 : apps[i]->meta.nlisteners;
  struct eng_olds *v = n ? (struct eng_olds *)arena_zalloc(&e->a, n, sizeof *v) : NULL;
  if (n && !v) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < napps; i++)
    for (uint32_t k = 0; !apps[i]->retired && k < apps[i]->meta.nlisteners && !s; k++) {
      s = olds_of(e, &apps[i]->meta.listeners[k], &v[nolds]);
      nolds += v[nolds].n > 0;
    }
  hdw_status known = eng_settled(e);
  if (!s) s = known;
  if (!s) e->olds = v, e->nolds = nolds;
  return s;
}

static const struct eng_olds *olds(const engine *e, const char *name) {
  for (uint32_t i = 0; i < e->nolds; i++)
    if (!strcmp(e->olds[i].name, name)) return &e->olds[i];
  return NULL;
}

const char *eng_listener_root(const engine *e, const char *name) {
  const struct eng_olds *o = olds(e, name);
  return o ? o->old[o->n - 1] : name;
}

hdw_status eng_find_duplicate(engine *e, const char *listener, cod_str key, uint64_t before, arena *a, store_input *out) {
  hdw_status s = store_find_duplicate(e->store, cod_cstr(listener), key, before, a, out);
  const struct eng_olds *o = s == HDW_E_NOTFOUND ? olds(e, listener) : NULL;
  for (unsigned i = 0; o && i < o->n && s == HDW_E_NOTFOUND; i++) s = store_find_duplicate(e->store, cod_cstr(o->old[i]), key, before, a, out);
  return s;
}

/* ---- what a deployment writes ------------------------------------------------------------------------------------------------------------------ */

static hdw_status note(engine *e, arena *a, const meta_listener *m, const char *who) {
  const config_listener *c = config_find_listener(e->o.config, m->name);
  char window[24];
  cod_str v;
  hdw_status s = HDW_OK;
  bool done = m->was && eng_named(e, a, "alias", "listener:", m->name, strlen(m->name), &v) && cod_equal(v, cod_cstr(m->was));
  if (e->unsettled) return e->unsettled;
  if (m->was && !done) {
    rec_action r = {.action = ACTION_RENAME, .subject = SUBJECT_LISTENER, .name = cod_cstr(m->name), .who = cod_cstr(who), .reason = cod_cstr(m->was)};
    cod_w w = eng_writer(e);
    eng_say(e, ENGINE_INFO, "name_taken_over", "name", m->name, "was", m->was, NULL);
    s = rec_put_action(&w, &r);
    if (!s) s = eng_append_rec(e, REC_ACTION, &w, NULL, 0, NULL, NULL, NULL);
  }
  snprintf(window, sizeof window, "%lld", (long long)(c ? c->o.duplicate_window_ms : INT64_C(604800000)));
  if (s || (eng_named(e, a, "listener", "", m->name, strlen(m->name), &v) && cod_equal(v, cod_cstr(window)))) return s;
  if (e->unsettled) return e->unsettled;
  return put(e, "listener", m->name, window);
}

hdw_status eng_window_note(engine *e, eng_app *const *apps, uint32_t n, const char *who) {
  arena a;
  hdw_status s = HDW_OK;
  arena_init(&a, e->mem, 0);
  for (uint32_t i = 0; i < n && !s; i++)
    for (uint32_t k = 0; !apps[i]->retired && k < apps[i]->meta.nlisteners && !s; k++) s = note(e, &a, &apps[i]->meta.listeners[k], who);
  arena_free(&a);
  hdw_status known = eng_settled(e);
  return s ? s : known;
}

/* ---- what is still open under a name ------------------------------------------------------------------------------------------------------------- */

typedef struct recent {
  engine *e;
  cod_str name;
  int64_t since_us;
  uint32_t looked;
  bool found;
} recent;
static bool recent_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  recent *r = (recent *)user;
  arena a;
  store_input in;
  (void)part, (void)state;
  arena_init(&a, r->e->mem, 65536);
  bool on = eng_state_has(r->e, store_get_input(r->e->store, ENG_PART, id, &a, &in)) && in.received_us >= r->since_us && ++r->looked < LOOK_MAX;
  r->found = (on && cod_equal(in.source, r->name) && in.dedup_key.len) || r->looked == LOOK_MAX; /* too many others: better asked once too often */
  arena_free(&a);
  return on && !r->found;
}

static uint64_t number(cod_str v) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < v.len && i < 19 && v.p[i] >= '0' && v.p[i] <= '9'; i++) n = n * 10 + (uint64_t)(v.p[i] - '0');
  return n;
}

static bool listener_open(engine *e, cod_str name, cod_str window) {
  recent r = {.e = e, .name = name, .since_us = io_wall_us(e->io) - (int64_t)number(window) * 1000};
  (void)eng_state_has(e, store_list_inputs(e->store, ENG_PART, STORE_BY_TIME, cod_cstr(""), 0, true, LOOK_MAX, recent_one, &r));
  return r.found;
}

static bool once_open(engine *e, cod_str until) {
  cod_r r = cod_reader(until.p, until.len);
  return (int64_t)cod_get_u64(&r) > io_wall_us(e->io);
}

typedef struct each {
  engine *e;
  eng_window_cb cb;
  void *user;
  eng_window kind;
} each;
static bool each_one(cod_str key, cod_str value, void *user) {
  each *x = (each *)user;
  x->cb(x->kind, key, value, x->user);
  return true;
}

void eng_window_each(engine *e, eng_window_cb cb, void *user) {
  arena a;
  arena_init(&a, e->mem, 0);
  (void)eng_state_has(e, store_list_named(e->store, cod_cstr("listener"), &a, each_one, &(each){e, cb, user, WINDOW_LISTENER}));
  (void)eng_state_has(e, store_list_named(e->store, cod_cstr("once.last"), &a, each_one, &(each){e, cb, user, WINDOW_ONCE}));
  arena_free(&a);
}

bool eng_window_open(engine *e, eng_window kind, cod_str name, cod_str value) { return kind == WINDOW_LISTENER ? listener_open(e, name, value) : once_open(e, value); }

bool eng_window_known(engine *e, eng_window kind, const char *name) {
  arena a;
  cod_str v;
  arena_init(&a, e->mem, 65536);
  bool known = eng_named(e, &a, kind == WINDOW_LISTENER ? "listener" : "once.last", "", name, strlen(name), &v) && eng_window_open(e, kind, cod_cstr(name), v);
  arena_free(&a);
  return known;
}

void eng_window_drop(engine *e, const char *name) {
  arena a;
  cod_str v;
  arena_init(&a, e->mem, 65536);
  if (eng_named(e, &a, "listener", "", name, strlen(name), &v)) (void)put(e, "listener", name, "");
  if (eng_named(e, &a, "once.last", "", name, strlen(name), &v)) (void)put(e, "once.last", name, "");
  arena_free(&a);
}
