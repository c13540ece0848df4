/* engine_names.c - what is kept under declared names, when the names change (SEMANTICS 6).
 *
 * A sink's queue, the unfinished runs and lanes of a workflow, pause flags belong to names. A deployment that drops a name under which something is
 * kept fails, unless the source says which name takes its place (`connection crm2 was crm`) or the operator gave it up (`hdwvm forget crm`). */
#include <stdio.h>
#include "engine_int.h"

enum { MANY = 20000, DISCARD_AT_ONCE = 4096 };

typedef enum name_kind { NAME_SINK, NAME_WORKFLOW, NAME_LISTENER } name_kind;

/* ---- aliases ------------------------------------------------------------------------------------------------------------------------------ */

static hdw_status look(engine *e, arena *a, const char *space, const char *kind, const char *name, size_t len, cod_str *out) {
  char key[META_MAX_NAME + 16];
  int n = snprintf(key, sizeof key, "%s%.*s", kind, (int)(len < META_MAX_NAME ? len : META_MAX_NAME), name);
  return store_get_named(e->store, cod_cstr(space), cod_bytes(key, (size_t)n), a, out);
}

bool eng_named(engine *e, arena *a, const char *space, const char *kind, const char *name, size_t len, cod_str *out) {
  return eng_state_has(e, look(e, a, space, kind, name, len, out));
}

hdw_status eng_conn_renamed(engine *e, const char *name, size_t len, eng_conn **out) {
  arena a;
  cod_str v = {name, (uint32_t)len};
  hdw_status s = HDW_OK;
  *out = NULL;
  arena_init(&a, e->mem, 65536);
  for (int hop = 0; hop < 8 && !*out && !(s = look(e, &a, "alias", "sink:", v.p, v.len, &v)); hop++)
    for (uint32_t i = 0; i < e->nconns && !*out; i++)
      if (cod_equal(cod_cstr(e->conns[i]->name), v)) *out = e->conns[i];
  arena_free(&a);
  return *out ? HDW_OK : s ? s : HDW_E_NOTFOUND;
}

hdw_status eng_names_bind(engine *e, eng_app *app) {
  for (uint32_t i = 0; i < app->meta.nworkflows; i++) {
    meta_workflow *w = &app->meta.workflows[i];
    cod_str v;
    const char *name = w->name;
    if (eng_named(e, &app->a, "alias", "workflow:", name, strlen(name), &v)) name = arena_dup(&app->a, v.p, v.len);
    else if (w->was) name = eng_named(e, &app->a, "alias", "workflow:", w->was, strlen(w->was), &v) ? arena_dup(&app->a, v.p, v.len) : w->was;
    if (!name) return HDW_E_NOMEM;
    w->state_name = name;
  }
  return eng_settled(e);
}

/* ---- what a set of modules declares --------------------------------------------------------------------------------------------------------- */

static bool declares(eng_app *const *apps, uint32_t n, name_kind kind, cod_str name, bool was) {
  for (uint32_t i = 0; i < n; i++) {
    const meta *m = &apps[i]->meta;
    if (apps[i]->retired) continue;
    uint32_t count = kind == NAME_SINK ? m->nconns : kind == NAME_WORKFLOW ? m->nworkflows : m->nlisteners;
    for (uint32_t k = 0; k < count; k++) {
      const char *s = kind == NAME_SINK ? (was ? m->conns[k].was : m->conns[k].name) : kind == NAME_WORKFLOW ? (was ? m->workflows[k].was : m->workflows[k].name)
                                                                                    : (was ? m->listeners[k].was : m->listeners[k].name);
      if (s && cod_equal(cod_cstr(s), name)) return true;
    }
  }
  return false;
}

static bool declared(eng_app *const *apps, uint32_t n, cod_str name) {
  return declares(apps, n, NAME_SINK, name, false) || declares(apps, n, NAME_WORKFLOW, name, false) || declares(apps, n, NAME_LISTENER, name, false);
}

/* ---- what there is under a name ------------------------------------------------------------------------------------------------------------- */

typedef struct name_count {
  char name[REC_NAME_MAX + 1];
  uint64_t runs;
} name_count;
typedef struct census {
  engine *e;
  name_count v[META_MAX_NAMES / 8];
  uint32_t n;
} census;

static bool census_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  census *c = (census *)user;
  arena a;
  store_run r;
  (void)part, (void)state;
  arena_init(&a, c->e->mem, 0);
  if (eng_state_has(c->e, store_get_run(c->e->store, ENG_PART, id, &a, &r))) {
    uint32_t at = 0;
    while (at < c->n && !cod_equal(cod_cstr(c->v[at].name), r.workflow)) at++;
    if (at == c->n && c->n < sizeof c->v / sizeof *c->v) snprintf(c->v[c->n++].name, sizeof c->v[0].name, "%.*s", (int)r.workflow.len, r.workflow.p);
    if (at < c->n) c->v[at].runs++;
  }
  arena_free(&a);
  return true;
}

static const uint8_t unfinished[] = {RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED};

static census *take_census(engine *e) {
  census *c = (census *)eng_get(e, sizeof *c);
  if (!c) {
    e->unsettled = HDW_E_NOMEM;
    return NULL;
  }
  c->e = e;
  for (size_t i = 0; i < sizeof unfinished; i++) (void)eng_state_has(e, store_list_runs(e->store, ENG_PART, unfinished[i], 0, MANY, census_run, c));
  return c;
}

typedef struct checking {
  engine *e;
  arena *a;
  eng_app *const *apps;
  uint32_t n;
  const config *config;
  buf *problems;
} checking;

static bool given_up(engine *e, arena *a, cod_str name) {
  cod_str v;
  return eng_named(e, a, "forget", "", name.p, name.len, &v);
}

static bool check_sink(cod_str sink, uint64_t depth, void *user) {
  checking *c = (checking *)user;
  if (declares(c->apps, c->n, NAME_SINK, sink, false) || declares(c->apps, c->n, NAME_SINK, sink, true) || given_up(c->e, c->a, sink)) return true;
  buf_putf(c->problems,
           "connections.%.*s: no program declares it any more, and %llu deliveries wait for it; wait for them, or write `was %.*s` behind the name of the connection that "
           "takes its place, or give them up: hdwvm forget %.*s\n",
           (int)sink.len, sink.p, (unsigned long long)depth, (int)sink.len, sink.p, (int)sink.len, sink.p);
  return true;
}

static void check_was(checking *c) {
  for (uint32_t i = 0; i < c->n; i++) {
    const meta *m = &c->apps[i]->meta;
    if (c->apps[i]->retired) continue;
    for (uint32_t k = 0; k < m->nconns; k++)
      if (m->conns[k].was && declares(c->apps, c->n, NAME_SINK, cod_cstr(m->conns[k].was), false))
        buf_putf(c->problems, "connection %s was %s: but %s is still declared\n", m->conns[k].name, m->conns[k].was, m->conns[k].was);
    for (uint32_t k = 0; k < m->nworkflows; k++)
      if (m->workflows[k].was && declares(c->apps, c->n, NAME_WORKFLOW, cod_cstr(m->workflows[k].was), false))
        buf_putf(c->problems, "workflow %s was %s: but %s is still declared\n", m->workflows[k].name, m->workflows[k].was, m->workflows[k].was);
    for (uint32_t k = 0; k < m->nlisteners; k++)
      if (m->listeners[k].was && declares(c->apps, c->n, NAME_LISTENER, cod_cstr(m->listeners[k].was), false))
        buf_putf(c->problems, "listener %s was %s: but %s is still declared\n", m->listeners[k].name, m->listeners[k].was, m->listeners[k].was);
  }
}

/* The name's state is known by the name that the first of them had: then one of today's workflows has it. */
static cod_str root(engine *e, arena *a, cod_str name) {
  cod_str v;
  return eng_named(e, a, "alias", "workflow:", name.p, name.len, &v) ? v : name;
}
static bool has_root(checking *c, cod_str of) {
  cod_str want = root(c->e, c->a, of);
  for (uint32_t i = 0; i < c->n; i++)
    for (uint32_t k = 0; !c->apps[i]->retired && k < c->apps[i]->meta.nworkflows; k++)
      if (cod_equal(root(c->e, c->a, cod_cstr(c->apps[i]->meta.workflows[k].name)), want)) return true;
  return false;
}

static void check_window(eng_window kind, cod_str name, cod_str value, void *user) {
  checking *c = (checking *)user;
  name_kind of = kind == WINDOW_LISTENER ? NAME_LISTENER : NAME_WORKFLOW;
  if (declares(c->apps, c->n, of, name, false) || declares(c->apps, c->n, of, name, true) || given_up(c->e, c->a, name)) return;
  if ((kind == WINDOW_ONCE && has_root(c, name)) || !eng_window_open(c->e, kind, name, value)) return;
  const char *what = kind == WINDOW_LISTENER ? "listener" : "workflow";
  buf_putf(c->problems, "%s %.*s: no program declares it any more, and %s; write `was %.*s` behind the name of the %s that takes its place, or give it up: hdwvm forget %.*s\n", what,
           (int)name.len, name.p, kind == WINDOW_LISTENER ? "resends of its messages would not be known again" : "keys of its `once by` are still taken", (int)name.len, name.p, what,
           (int)name.len, name.p);
}

static void check_pinned(void *user, const meta *m) {
  checking *c = (checking *)user;
  for (uint32_t i = 0; i < m->nconns; i++) {
    cod_str name = cod_cstr(m->conns[i].name);
    if (config_find_conn(c->config, m->conns[i].name) || declares(c->apps, c->n, NAME_SINK, name, true) || given_up(c->e, c->a, name)) continue;
    buf_putf(c->problems, "connections.%s: runs of an earlier version of %s are not finished and may need it; keep it bound until they are, or give it up: hdwvm forget %s\n",
             m->conns[i].name, m->name, m->conns[i].name);
  }
}

void eng_names_check(engine *e, eng_app *const *apps, uint32_t n, const config *config_next, buf *problems) {
  arena a;
  arena_init(&a, e->mem, 0);
  checking c = {e, &a, apps, n, config_next, problems};
  (void)eng_settled(e); /* what was noted before is not this deployment's */
  check_was(&c);
  eng_each_pinned(e, apps, n, check_pinned, &c);
  (void)eng_state_has(e, store_list_sinks(e->store, ENG_PART, &a, check_sink, &c));
  eng_window_each(e, check_window, &c);
  census *s = take_census(e);
  for (uint32_t i = 0; s && i < s->n; i++) {
    cod_str name = cod_cstr(s->v[i].name);
    if (declares(apps, n, NAME_WORKFLOW, name, false) || declares(apps, n, NAME_WORKFLOW, name, true) || given_up(e, &a, name)) continue;
    buf_putf(problems,
             "workflow %s: no program declares it any more, and %llu of its runs are not finished; wait for them, or write `was %s` behind the name of the workflow that takes "
             "its place, or give them up: hdwvm forget %s\n",
             s->v[i].name, (unsigned long long)s->v[i].runs, s->v[i].name, s->v[i].name);
  }
  eng_put(e, s, sizeof *s);
  arena_free(&a);
  hdw_status known = eng_settled(e);
  if (known) buf_putf(problems, "what is kept under the names of connections, workflows and listeners cannot be looked up: %s; try it again\n", hdw_status_text(known));
}

/* ---- moving --------------------------------------------------------------------------------------------------------------------------------- */

/* The queue is the new connection's now. */
static void on_moved(engine *e, hdw_status s, const log_rec *rec, void *user) {
  (void)rec, (void)user;
  for (uint32_t i = 0; i < e->nconns && !s; i++) eng_out_new(e, e->conns[i]);
}

static hdw_status move(engine *e, uint8_t subject, const char *from, const char *to, const char *who) {
  rec_action r = {.action = ACTION_RENAME, .subject = subject, .name = cod_cstr(to), .who = cod_cstr(who), .reason = cod_cstr(from)};
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_action(&w, &r);
  eng_say(e, ENGINE_INFO, "name_taken_over", "name", to, "was", from, NULL);
  return s ? s : eng_append_rec(e, REC_ACTION, &w, NULL, 0, on_moved, NULL, NULL);
}

hdw_status eng_names_move(engine *e, eng_app *const *apps, uint32_t n, const char *who) {
  arena a;
  hdw_status s = HDW_OK;
  arena_init(&a, e->mem, 0);
  for (uint32_t i = 0; i < n && !s; i++) {
    const meta *m = &apps[i]->meta;
    cod_str v;
    if (apps[i]->retired) continue;
    for (uint32_t k = 0; k < m->nconns && !s; k++) {
      const meta_conn *c = &m->conns[k];
      bool done = c->was && eng_named(e, &a, "alias", "sink:", c->was, strlen(c->was), &v) && cod_equal(v, cod_cstr(c->name));
      if (e->unsettled) s = e->unsettled;
      else if (c->was && (!done || store_depth(e->store, ENG_PART, cod_cstr(c->was)))) s = move(e, SUBJECT_SINK, c->was, c->name, who);
    }
    for (uint32_t k = 0; k < m->nworkflows && !s; k++) {
      const meta_workflow *w = &m->workflows[k];
      bool done = w->was && eng_named(e, &a, "alias", "workflow:", w->name, strlen(w->name), &v);
      if (e->unsettled) s = e->unsettled;
      else if (w->was && !done) s = move(e, SUBJECT_WORKFLOW, w->was, w->name, who);
    }
  }
  arena_free(&a);
  hdw_status known = eng_settled(e);
  if (!s) s = known;
  return s ? s : eng_window_note(e, apps, n, who);
}

/* ---- forgetting ------------------------------------------------------------------------------------------------------------------------------- */

typedef struct losing {
  engine *e;
  const char *name;
  uint64_t id[DISCARD_AT_ONCE];
  uint32_t n;
} losing;
static bool lose_delivery(uint16_t part, uint64_t id, uint8_t state, void *user) {
  losing *l = (losing *)user;
  (void)part, (void)state;
  l->id[l->n++] = id;
  return l->n < DISCARD_AT_ONCE;
}
static bool lose_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  losing *l = (losing *)user;
  arena a;
  store_run r;
  (void)part, (void)state;
  arena_init(&a, l->e->mem, 0);
  if (eng_state_has(l->e, store_get_run(l->e->store, ENG_PART, id, &a, &r)) && cod_equal(r.workflow, cod_cstr(l->name))) l->id[l->n++] = id;
  arena_free(&a);
  return l->n < DISCARD_AT_ONCE;
}

/* Discards what is kept under the name, but for what is under way just now or was too much for once. HDW_E_...: not all of it was found. */
static hdw_status discard(engine *e, const char *name, const char *who, engine_lost *out) {
  char why[META_MAX_NAME + 16];
  losing *l = (losing *)eng_get(e, sizeof *l);
  if (!l) return HDW_E_NOMEM;
  snprintf(why, sizeof why, "forget %s", name);
  l->e = e, l->name = name;
  (void)eng_state_has(e, store_list_sink(e->store, ENG_PART, cod_cstr(name), DISCARD_AT_ONCE, lose_delivery, l));
  for (uint32_t i = 0; i < l->n; i++) out->deliveries += !engine_discard(e, SUBJECT_DELIVERY, l->id[i], who, why, NULL, NULL);
  l->n = 0;
  for (size_t i = 0; i < sizeof unfinished && l->n < DISCARD_AT_ONCE; i++) (void)eng_state_has(e, store_list_runs(e->store, ENG_PART, unfinished[i], 0, MANY, lose_run, l));
  for (uint32_t i = 0; i < l->n; i++) out->runs += !engine_discard(e, SUBJECT_RUN, l->id[i], who, why, NULL, NULL);
  eng_window_drop(e, name);
  eng_put(e, l, sizeof *l);
  return eng_settled(e);
}

static hdw_status mark(engine *e, const char *name, const char *who) {
  rec_put p = {.space = cod_cstr("forget"), .key = cod_cstr(name)};
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_named(&w, &p);
  return s ? s : eng_append_rec(e, REC_PUT, &w, who, strlen(who), NULL, NULL, NULL);
}

hdw_status engine_kept(engine *e, const char *name, engine_lost *out) {
  *out = (engine_lost){0};
  out->deliveries = store_depth(e->store, ENG_PART, cod_cstr(name));
  census *s = take_census(e);
  for (uint32_t i = 0; s && i < s->n; i++)
    if (!strcmp(s->v[i].name, name)) out->runs = s->v[i].runs;
  eng_put(e, s, sizeof *s);
  out->listener = eng_window_known(e, WINDOW_LISTENER, name);
  out->once = eng_window_known(e, WINDOW_ONCE, name);
  out->declared = declared(e->apps, e->napps, cod_cstr(name));
  return eng_settled(e);
}

hdw_status engine_forget(engine *e, const char *name, const char *who, engine_lost *out) {
  hdw_status s = engine_kept(e, name, out);
  if (s) return s;
  if (strlen(name) > META_MAX_NAME) return HDW_E_NOTFOUND;
  if (out->declared || config_find_conn(e->o.config, name)) return mark(e, name, who); /* it goes with the deployment that drops it */
  if (!out->deliveries && !out->runs && !out->listener && !out->once) return HDW_E_NOTFOUND;
  out->deliveries = out->runs = 0;
  return discard(e, name, who, out);
}

typedef struct marks {
  engine *e;
  eng_app *const *apps;
  uint32_t n;
} marks;
static bool one_mark(cod_str key, cod_str value, void *user) {
  marks *m = (marks *)user;
  char name[META_MAX_NAME + 1], who[200], number[24];
  engine_lost lost = {0};
  if (declared(m->apps, m->n, key)) return true; /* not yet dropped */
  snprintf(name, sizeof name, "%.*s", (int)key.len, key.p);
  snprintf(who, sizeof who, "%.*s", (int)value.len, value.p);
  if (!discard(m->e, name, who, &lost)) (void)mark(m->e, name, ""); /* else the next deployment finds the mark again */
  snprintf(number, sizeof number, "%llu", (unsigned long long)(lost.deliveries + lost.runs));
  eng_say(m->e, ENGINE_WARN, "name_forgotten", "name", name, "who", who, "discarded", number, NULL);
  return true;
}

void eng_names_forget(engine *e, eng_app *const *apps, uint32_t n) {
  arena a;
  marks m = {e, apps, n};
  arena_init(&a, e->mem, 0);
  (void)store_list_named(e->store, cod_cstr("forget"), &a, one_mark, &m);
  arena_free(&a);
}
