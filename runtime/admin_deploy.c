/* admin_deploy.c - what is deployed, and changing it. The change itself is made by the daemon's shell, which reads hdw.json and binds (hdwvm_reload.c);
 * the answer leaves when its records are durable. */
#include <stdio.h>
#include "admin_int.h"
#include "json.h"

void admin_on_change(admin *ad, admin_changer fn, void *user) { ad->change = fn, ad->change_user = user; }
void admin_configured(admin *ad, const config *c) { ad->cfg = c; }

/* ---- changing -------------------------------------------------------------------------------------------------------------------------- */

static void put_hash(buf *b, bool *f, const char *key, const uint8_t h[REC_HASH]) {
  char hex[2 * REC_HASH + 1];
  eng_hex(h, REC_HASH, hex);
  admin_text(b, f, key, hex, 2 * REC_HASH);
}

static void current(buf *b, engine *e) {
  bool first = true;
  buf_puts(b, "[");
  for (uint32_t i = 0; i < e->napps; i++) {
    const eng_app *a = e->apps[i];
    bool f = true;
    if (a->retired) continue;
    buf_puts(b, first ? "{" : ",{");
    first = false;
    admin_text(b, &f, "name", a->name, strlen(a->name));
    put_hash(b, &f, "id", a->m.id);
    put_hash(b, &f, "deployment", a->deployment);
    buf_puts(b, "}");
  }
  buf_puts(b, "]");
}

typedef struct changed {
  admin_later *later;
  mem *m;
  char *body;
  size_t len;
} changed;
static void on_durable(hdw_status s, const log_rec *rec, void *user) {
  changed *x = (changed *)user;
  mem *m = x->m;
  (void)rec;
  if (s) admin_later_reply(x->later, 503, "{\"error\":\"the change could not be stored\"}", 41);
  else admin_later_reply(x->later, 200, x->body, x->len);
  m->put(m, x->body, x->len);
  m->put(m, x, sizeof *x);
}

/* The answer waits for the records of the change. */
static int answer(admin_query *q) {
  mem *m = q->ad->io->mem;
  changed *x = (changed *)m->get(m, sizeof *x);
  char *body = (char *)m->get(m, q->b->len);
  admin_later *later = x && body ? admin_later_new(q) : NULL;
  if (later) {
    memcpy(body, q->b->p, q->b->len);
    *x = (changed){later, m, body, q->b->len};
    if (log_barrier(q->ad->e->log, on_durable, x)) on_durable(HDW_E_IO, NULL, x);
    return ADMIN_LATER;
  }
  if (body) m->put(m, body, q->b->len);
  if (x) m->put(m, x, sizeof *x);
  return admin_error(q, 503, "the change was made, but memory is short: look at the deployments");
}

static int change(admin_query *q, admin_change *c, const char *what) {
  buf problems;
  if (!q->ad->change) return admin_error(q, 409, "this daemon takes no changes");
  buf_init(&problems, q->a, 1 << 20);
  c->who = admin_actor(q);
  bool ok = q->ad->change(q->ad->change_user, c, &problems);
  bool f = true;
  buf_puts(q->b, "{");
  if (!ok) {
    char text[160];
    int n = snprintf(text, sizeof text, "the %s is refused; nothing has changed", what);
    admin_text(q->b, &f, "error", text, (size_t)n);
    admin_key(q->b, &f, "problems");
    buf_puts(q->b, problems.status && !problems.len ? "[\"out of memory\"" : "[");
    for (size_t at = 0, n_line = 0; at < problems.len; at++, n_line++) {
      const char *end = (const char *)memchr(problems.p + at, '\n', problems.len - at);
      size_t len = end ? (size_t)(end - (problems.p + at)) : problems.len - at;
      buf_puts(q->b, n_line ? "," : "");
      json_write_str(q->b, problems.p + at, len);
      at += len;
    }
    buf_puts(q->b, "]}");
    return 409;
  }
  admin_key(q->b, &f, "modules");
  current(q->b, q->ad->e);
  buf_puts(q->b, "}");
  return answer(q);
}

int admin_deploy(admin_query *q) {
  const char *file = admin_param(q, "file");
  admin_change c = {.what = ADMIN_DEPLOY, .file = file && file[0] ? file : "uploaded.hdwb", .bytes = q->body, .len = q->body_len};
  return q->body_len ? change(q, &c, "deployment") : admin_error(q, 400, "the body is the module (a .hdwb file); it is empty");
}

int admin_rollback(admin_query *q) {
  const char *to = admin_param(q, "to");
  admin_change c = {.what = ADMIN_ROLLBACK, .name = admin_param(q, "name"), .to = to};
  if (to && (strlen(to) < 6 || strlen(to) > 2 * REC_HASH || strspn(to, "0123456789abcdef") != strlen(to)))
    return admin_error(q, 400, "to: at least 6 digits of a module's id are expected (lower-case hex, as the list of deployments shows them)");
  if (to && c.name && strchr(c.name, '/')) return admin_error(q, 400, "to: of one module, not of several");
  return change(q, &c, "rollback");
}

int admin_withdraw(admin_query *q) {
  admin_change c = {.what = ADMIN_WITHDRAW, .name = admin_param(q, "name")};
  return c.name ? change(q, &c, "withdrawal") : admin_error(q, 400, "name: which module?");
}

int admin_reload(admin_query *q) {
  admin_change c = {.what = ADMIN_RELOAD};
  return change(q, &c, "reload");
}

int admin_end_term(admin_query *q, uint64_t term) {
  admin_change c = {.what = ADMIN_FENCE, .term = term};
  return change(q, &c, "end of this term");
}

/* ---- forgetting ------------------------------------------------------------------------------------------------------------------------ */

static int kept(admin_query *q, const char *name, const engine_lost *l) {
  bool f = true;
  buf_puts(q->b, "{");
  admin_text(q->b, &f, "name", name, strlen(name));
  admin_number(q->b, &f, "deliveries", l->deliveries);
  admin_number(q->b, &f, "runs", l->runs);
  admin_key(q->b, &f, "listener");
  buf_puts(q->b, l->listener ? "true" : "false");
  admin_key(q->b, &f, "once");
  buf_puts(q->b, l->once ? "true" : "false");
  admin_key(q->b, &f, "declared");
  buf_puts(q->b, l->declared ? "true}" : "false}");
  return 200;
}

int admin_kept(admin_query *q) {
  const char *name = admin_param(q, "name");
  engine_lost l;
  if (!name) return admin_error(q, 400, "name: of which connection, workflow or listener?");
  if (engine_kept(q->ad->e, name, &l)) return admin_error(q, 503, "it cannot be looked up now");
  return kept(q, name, &l);
}

int admin_forget(admin_query *q) {
  const char *name = admin_param(q, "name");
  engine_lost l;
  if (!name) return admin_error(q, 400, "name: of which connection, workflow or listener?");
  hdw_status s = engine_forget(q->ad->e, name, admin_actor(q), &l);
  if (s == HDW_E_NOTFOUND) return admin_error(q, 404, "nothing is kept under the name '%.100s'", name);
  if (s) return admin_error(q, 503, "not all of it can be given up now; try it again");
  (void)kept(q, name, &l);
  return answer(q);
}

/* ---- looking --------------------------------------------------------------------------------------------------------------------------- */

typedef struct pins {
  admin_query *q;
  uint8_t id[ENG_MAX_APPS][REC_HASH];
  uint64_t runs[ENG_MAX_APPS];
  uint32_t n;
} pins;
static bool pin_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  pins *p = (pins *)user;
  store_run r;
  arena a;
  (void)part, (void)state;
  arena_init(&a, p->q->ad->io->mem, 0);
  if (!store_get_run(p->q->ad->e->store, ENG_PART, id, &a, &r)) {
    uint32_t at = 0;
    while (at < p->n && memcmp(p->id[at], r.module, REC_HASH)) at++;
    if (at < ENG_MAX_APPS) {
      if (at == p->n) memcpy(p->id[p->n++], r.module, REC_HASH);
      p->runs[at]++;
    }
  }
  arena_free(&a);
  return true;
}

/* Unfinished runs by module. Each state up to 20,000: beyond, the number is "at least". */
static pins *count_pins(admin_query *q) {
  static const uint8_t states[] = {RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED};
  pins *p = (pins *)arena_zalloc(q->a, 1, sizeof *p);
  if (!p) return NULL;
  p->q = q;
  for (size_t i = 0; i < sizeof states; i++) (void)store_list_runs(q->ad->e->store, ENG_PART, states[i], 0, 20000, pin_one, p);
  return p;
}

static uint64_t pins_of(const pins *p, const uint8_t id[REC_HASH]) {
  for (uint32_t i = 0; p && i < p->n; i++)
    if (!memcmp(p->id[i], id, REC_HASH)) return p->runs[i];
  return 0;
}

static void module_row(admin_query *q, const eng_app *a, const pins *p) {
  buf *b = q->b;
  bool f = true;
  buf_puts(b, "{");
  admin_text(b, &f, "name", a->name, strlen(a->name));
  admin_text(b, &f, "state", a->retired ? "retired" : "current", 7);
  admin_text(b, &f, "file", a->file, strlen(a->file));
  put_hash(b, &f, "id", a->m.id);
  put_hash(b, &f, "deployment", a->deployment);
  admin_time(b, &f, "since", a->since_us);
  if (a->who) admin_text(b, &f, "who", a->who, strlen(a->who));
  if (a->retired) admin_key(b, &f, "retired"), buf_puts(b, "true");
  admin_number(b, &f, "unfinished_runs", pins_of(p, a->m.id));
  admin_key(b, &f, "workflows");
  buf_puts(b, "[");
  for (uint32_t k = 0; k < a->meta.nworkflows; k++) {
    if (k) buf_puts(b, ",");
    json_write_str(b, a->meta.workflows[k].name, strlen(a->meta.workflows[k].name));
  }
  buf_puts(b, "]}");
}

void admin_modules_list(admin_query *q) {
  engine *e = q->ad->e;
  const pins *p = count_pins(q);
  bool first = true;
  buf_puts(q->b, "[");
  for (uint32_t i = 0; i < e->napps; i++) {
    buf_puts(q->b, first ? "" : ",");
    first = false;
    module_row(q, e->apps[i], p);
  }
  for (const eng_refused *r = e->refused; r; r = r->next) {
    bool f = true;
    buf_puts(q->b, first ? "{" : ",{");
    first = false;
    admin_text(q->b, &f, "name", r->name, strlen(r->name));
    admin_text(q->b, &f, "state", "refused", 7);
    admin_text(q->b, &f, "file", r->file, strlen(r->file));
    admin_text(q->b, &f, "reason", r->reason, strlen(r->reason));
    admin_time(q->b, &f, "since", r->time_us);
    buf_puts(q->b, "}");
  }
  buf_puts(q->b, "]");
}

int admin_modules(admin_query *q) {
  admin_modules_list(q);
  return 200;
}

typedef struct listing {
  admin_query *q;
  const char *name;
  const pins *p;
  bool first;
} listing;
static bool deployment_row(const store_deploy *d, void *user) {
  static const uint8_t none[REC_HASH];
  listing *l = (listing *)user;
  engine *e = l->q->ad->e;
  buf *b = l->q->b;
  store_deploy last;
  bool f = true, gone = !memcmp(d->module, none, REC_HASH);
  if (l->name && !cod_equal(d->name, cod_cstr(l->name))) return true;
  bool now = !store_get_deploy(e->store, NULL, d->name, l->q->a, &last) && last.seq == d->seq;
  buf_puts(b, l->first ? "{" : ",{");
  l->first = false;
  admin_number(b, &f, "sequence", d->seq);
  admin_text(b, &f, "name", d->name.p, d->name.len);
  if (gone) admin_key(b, &f, "withdrawn"), buf_puts(b, "true");
  else {
    put_hash(b, &f, "id", d->module);
    put_hash(b, &f, "deployment", d->deployment);
    admin_text(b, &f, "file", d->file.p, d->file.len);
  }
  admin_time(b, &f, "since", d->time_us);
  admin_text(b, &f, "who", d->who.p, d->who.len);
  admin_key(b, &f, "current");
  buf_puts(b, now ? "true" : "false");
  if (!gone) admin_number(b, &f, "unfinished_runs", pins_of(l->p, d->module));
  buf_puts(b, "}");
  return true;
}

int admin_deployments(admin_query *q) {
  listing l = {.q = q, .name = admin_param(q, "name"), .p = count_pins(q), .first = true};
  buf_puts(q->b, "[");
  hdw_status s = store_list_deploys(q->ad->e->store, false, q->a, deployment_row, &l);
  buf_puts(q->b, "]");
  return s ? 500 : 200;
}

/* ---- sources: what the operator bound ---------------------------------------------------------------------------------------------------- */

/* Constants of the source and values of hdw.json; a secret appears by its name only. */
static void put_args(admin_query *q, bool *f, val args) {
  if (args.tag != VAL_OBJ || !args.len) return;
  admin_value(q->b, f, "arguments", args);
}

static void put_list(buf *b, bool *f, const char *key, const config_list *l) {
  if (!l->n) return;
  admin_key(b, f, key);
  buf_puts(b, "[");
  for (uint32_t i = 0; i < l->n; i++) {
    buf_puts(b, i ? "," : "");
    json_write_str(b, l->v[i], strlen(l->v[i]));
  }
  buf_puts(b, "]");
}

/* Counters that are not 0. */
static void listener_counters(buf *b, bool *f, const engine_source_info *s) {
  const struct { const char *name; uint64_t n; } c[] = {
      {"messages", s->messages}, {"duplicates", s->duplicates}, {"conflicts", s->conflicts}, {"refused", s->refused}, {"unparseable", s->unparseable},
      {"unauthorised", s->unauthorised}, {"lone_conditions", s->lone_conditions}, {"unanswered", s->unanswered}, {"refused_connections", s->refused_connections},
      {"junk_bytes", s->junk_bytes}, {"partial_frames", s->partial_frames}, {"oversize", s->oversize}, {"violations", s->violations}, {"timeouts", s->timeouts},
      {"tls_failures", s->tls_failures}};
  for (size_t i = 0; i < sizeof c / sizeof *c; i++)
    if (c[i].n) admin_number(b, f, c[i].name, c[i].n);
}

static void listener_row(admin_query *q, const eng_listener *l) {
  engine_source_info info;
  buf *b = q->b;
  bool f = true;
  uint64_t open = l->mllp ? mllp_listener_stats(l->mllp)->open : l->http ? http_server_stats(l->http)->open : 0;
  buf_puts(b, "{");
  admin_text(b, &f, "name", l->name, strlen(l->name));
  admin_text(b, &f, "direction", "in", 2);
  admin_text(b, &f, "kind", l->kind, strlen(l->kind));
  const char *state = l->closing ? "closing" : l->mllp || l->http ? (q->ad->e->accepting ? "listening" : "paused") : "closed";
  admin_text(b, &f, "state", state, strlen(state));
  admin_text(b, &f, "address", l->o->address, strlen(l->o->address));
  admin_number(b, &f, "port", l->closing ? (uint64_t)(l->o->port > 0 ? l->o->port : 0) : engine_port(q->ad->e, l->name));
  admin_number(b, &f, "open", open);
  put_list(b, &f, "allow", &l->o->allow);
  if (engine_listener_at(q->ad->e, (uint32_t)(l - q->ad->e->listeners), &info)) listener_counters(b, &f, &info);
  if (l->cfg->has_tls) admin_text(b, &f, "tls", l->cfg->tls.client_ca[0] ? "mutual" : "server", 6);
  buf_puts(b, "}");
}

static void conn_row(admin_query *q, const eng_conn *c, uint32_t i) {
  buf *b = q->b;
  bool f = true;
  engine_sink s;
  buf_puts(b, "{");
  admin_text(b, &f, "name", c->name, strlen(c->name));
  admin_text(b, &f, "direction", "out", 3);
  admin_text(b, &f, "kind", c->driver->kind, strlen(c->driver->kind));
  if (engine_sink_at(q->ad->e, i, &s)) admin_text(b, &f, "state", s.state, strlen(s.state));
  char where[600] = "";
  if (c->host) snprintf(where, sizeof where, "%s%.250s:%u%.250s", c->https ? "https://" : !strcmp(c->driver->kind, "rest") ? "http://" : "", c->host, c->port, c->prefix ? c->prefix : "");
  else if (c->folder) snprintf(where, sizeof where, "%.590s", c->folder);
  else if (c->cfg && c->cfg->o.address[0]) snprintf(where, sizeof where, "%.590s", c->cfg->o.address);
  if (where[0]) admin_text(b, &f, "address", where, strlen(where));
  if (c->cfg) put_list(b, &f, "networks", &c->cfg->networks);
  put_args(q, &f, c->args);
  buf_puts(b, "}");
}

int admin_sources(admin_query *q) {
  engine *e = q->ad->e;
  bool first = true;
  buf_puts(q->b, "[");
  for (uint32_t i = 0; i < e->nlisteners; i++) {
    if (e->listeners[i].closing && !e->listeners[i].mllp && !e->listeners[i].http) continue;
    buf_puts(q->b, first ? "" : ",");
    first = false;
    listener_row(q, &e->listeners[i]);
  }
  for (uint32_t i = 0; i < e->nconns; i++) {
    buf_puts(q->b, first ? "" : ",");
    first = false;
    conn_row(q, e->conns[i], i);
  }
  buf_puts(q->b, "]");
  return 200;
}
