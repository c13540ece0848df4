/* admin_server.c - the socket, routing, actions. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "admin_int.h"
#include "json.h"

const char *admin_param(const admin_query *q, const char *name) {
  char *out = (char *)arena_alloc(q->a, 1024);
  long n = out && q->query.p ? http_query_get(q->query, name, out, 1023) : -1;
  if (n < 0) return NULL;
  out[n] = 0;
  return out;
}

bool admin_id(const char *s, uint64_t *out) {
  char *end;
  if (!s || s[0] < '0' || s[0] > '9') return false;
  *out = strtoull(s, &end, 10);
  return *end == 0;
}

static http_str lit(const char *s) { return (http_str){s, strlen(s)}; }

static void reply(http_server *h, http_token t, int status, const char *p, size_t n) {
  http_header type = {lit("Content-Type"), lit("application/json")};
  (void)http_reply(h, t, status, &type, 1, p, n);
}

int admin_error(admin_query *q, int status, const char *fmt, ...) {
  char text[300];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  q->b->len = 0;
  buf_puts(q->b, "{\"error\":");
  json_write_str(q->b, text, strlen(text));
  buf_puts(q->b, "}");
  return status;
}

bool admin_values(admin_query *q) {
  q->showed |= q->values;
  return q->values;
}

const char *admin_actor(const admin_query *q) {
  const char *says = admin_param(q, "who");
  char text[ADMIN_WHO + 50];
  int n = snprintf(text, sizeof text, says ? "%s (%.40s)" : "%s", q->who->name, says);
  const char *s = arena_dup(q->a, text, (size_t)n);
  return s ? s : q->who->name;
}

/* ---- answers that come later --------------------------------------------------------------------------------------------------- */

struct admin_later {
  admin *ad;
  http_server *server;
  http_token token;
};

admin_later *admin_later_new(admin_query *q) {
  admin_later *l = (admin_later *)q->ad->io->mem->get(q->ad->io->mem, sizeof *l);
  if (l) *l = (admin_later){q->ad, q->server, q->token};
  return l;
}

void admin_later_reply(admin_later *l, int status, const char *json, size_t len) {
  reply(l->server, l->token, status, json, len);
  l->ad->io->mem->put(l->ad->io->mem, l, sizeof *l);
}

/* ---- actions ------------------------------------------------------------------------------------------------------------------------------- */

typedef struct acting {
  admin *ad;
  admin_later *later;
  uint32_t open, ok;
  bool started;
} acting;

static void acted(acting *x) {
  char body[80];
  if (x->open || !x->started) return;
  int n = snprintf(body, sizeof body, "{\"done\":%u}", x->ok);
  admin_later_reply(x->later, 200, body, (size_t)n);
  x->ad->io->mem->put(x->ad->io->mem, x, sizeof *x);
}

static void on_act(void *user, hdw_status s) {
  acting *x = (acting *)user;
  x->open--;
  x->ok += !s;
  acted(x);
}

static acting *acting_new(admin_query *q) {
  mem *m = q->ad->io->mem;
  acting *x = (acting *)m->get(m, sizeof *x);
  admin_later *l = x ? admin_later_new(q) : NULL;
  if (l) *x = (acting){.ad = q->ad, .later = l};
  else if (x) m->put(m, x, sizeof *x), x = NULL;
  return x;
}

/* Nothing was begun: the answer comes from the view itself. */
static int acting_drop(acting *x, admin_query *q, int status, const char *text) {
  mem *m = q->ad->io->mem;
  m->put(m, x->later, sizeof *x->later);
  m->put(m, x, sizeof *x);
  return admin_error(q, status, "%s", text);
}

static uint8_t subject_of(const char *s) { return s && !strcmp(s, "delivery") ? SUBJECT_DELIVERY : SUBJECT_RUN; }

static int act(admin_query *q, bool discard) {
  enum { MANY = 4096 };
  admin *ad = q->ad;
  admin_subject *list = (admin_subject *)arena_zalloc(q->a, MANY, sizeof *list);
  const char *who = admin_actor(q), *reason = admin_param(q, "reason");
  acting *x = list ? acting_new(q) : NULL;
  uint32_t n = 0;
  if (!x) return admin_error(q, 503, "out of memory");
  if (admin_param(q, "all") && !discard) n = admin_all_dead(ad, list, MANY);
  else if (admin_id(admin_param(q, "id"), &list[0].id)) list[0].subject = subject_of(admin_param(q, "subject")), n = 1;
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < n; i++) {
    x->open++;
    s = discard ? engine_discard(ad->e, list[i].subject, list[i].id, who, reason ? reason : "", on_act, x)
                : engine_redrive(ad->e, list[i].subject, list[i].id, who, on_act, x);
    if (s) x->open--;
  }
  if (n == 1 && s) return acting_drop(x, q, s == HDW_E_NOTFOUND ? 404 : 409, s == HDW_E_NOTFOUND ? "not found" : "it is no dead letter");
  x->started = true;
  acted(x);
  return ADMIN_LATER;
}

static int pause_sink(admin_query *q, bool pause) {
  const char *sink = admin_param(q, "sink");
  acting *x = acting_new(q);
  if (!x) return admin_error(q, 503, "out of memory");
  x->open = 1, x->started = true;
  hdw_status s = engine_pause(q->ad->e, sink ? sink : "", pause, admin_actor(q), on_act, x);
  return s ? acting_drop(x, q, s == HDW_E_NOTFOUND ? 404 : 503, s == HDW_E_NOTFOUND ? "there is no such connection" : "not now") : ADMIN_LATER;
}

int admin_redrive(admin_query *q) { return act(q, false); }
int admin_discard(admin_query *q) { return act(q, true); }
int admin_pause(admin_query *q) { return pause_sink(q, true); }
int admin_resume(admin_query *q) { return pause_sink(q, false); }

/* ---- requests ------------------------------------------------------------------------------------------------------------------ */

/* The row for a path; *other: it exists for another method. */
static const admin_view *find_view(http_str method, const char *path, bool *other) {
  *other = false;
  for (const admin_view *v = admin_views; v->path; v++) {
    size_t n = strlen(v->path);
    bool below = v->path[n - 1] == '/';
    if (below ? strncmp(path, v->path, n) != 0 || !path[n] : strcmp(path, v->path) != 0) continue;
    if (http_str_is(method, v->method)) return v;
    *other = true;
  }
  return NULL;
}

/* The one place where a call is let in. 0: yes. Without credentials every path is the same 401; with them an unknown path is 404, a lacking role 403. */
static int admit(const admin_view *v, bool other, const admin_who *who) {
  if (v && v->roles & ADMIN_OPEN) return 0;
  if (!who->known) return 401;
  if (!v) return other ? 405 : 404;
  return who->roles & v->roles ? 0 : 403;
}

/* Before the body is read. What is refused without a body gets its text from on_request. */
static int on_head(void *user, const http_request *r, size_t *max_body_bytes, http_header *extra) {
  admin *ad = (admin *)user;
  admin_who who;
  bool other;
  char path[256];
  (void)extra;
  snprintf(path, sizeof path, "%.*s", (int)(r->head->path.len > 255 ? 255 : r->head->path.len), r->head->path.p);
  const admin_view *v = find_view(r->head->method, path, &other);
  admin_identify(ad, r, &who);
  int status = admit(v, other, &who);
  *max_body_bytes = v && !status ? v->max_body_bytes : 0;
  return status && (r->head->chunked || r->head->content_length > 0) ? status : 0;
}

static int refused(admin_query *q, int status, const admin_view *v) {
  char names[80];
  if (status == 403) return admin_error(q, 403, "%s has not the role for this; one of these is needed: %s", q->who->name, admin_role_names(v->roles, names));
  if (status == 401) return admin_error(q, 401, "who is calling is not known here");
  return admin_error(q, status, status == 405 ? "another method is needed here" : "there is no such view or action");
}

static int call(admin_query *q, const http_request *r, char *path) {
  bool other;
  const admin_view *v = find_view(r->head->method, path, &other);
  int status = admit(v, other, q->who);
  if (status) return refused(q, status, v);
  const char *reason = admin_param(q, "reason");
  q->rest = path + strlen(v->path);
  q->values = (q->who->roles & ADMIN_PHI) && (q->who->owner || (reason && reason[0]));
  status = v->fn(q);
  if (status && q->b->status) return admin_error(q, 500, "the answer is too large");
  if (status && status != 200 && !q->b->len) return admin_error(q, status, "%s", status == 404 ? "not found" : http_reason(status));
  return status;
}

static void on_request(void *user, http_token t, const http_request *r) {
  admin *ad = (admin *)user;
  arena a;
  buf b;
  admin_who who;
  arena_init(&a, ad->io->mem, 128 << 20);
  buf_init(&b, &a, 64 << 20);
  admin_identify(ad, r, &who);
  admin_query q = {.ad = ad, .a = &a, .query = r->head->query, .b = &b, .who = &who, .body = r->body, .body_len = r->body_len, .server = ad->http, .token = t};
  char *path = arena_dup(&a, r->head->path.p, r->head->path.len);
  int status = path ? call(&q, r, path) : admin_error(&q, 503, "out of memory");
  if (status) reply(ad->http, t, status, b.p, b.len);
  arena_free(&a);
}

hdw_status admin_new(io *x, engine *e, const config *cfg, const char *path, admin **out, char text[200]) {
  admin *ad = (admin *)x->mem->get(x->mem, sizeof *ad);
  io_stat_info st;
  if (!ad) return HDW_E_NOMEM;
  *ad = (admin){.io = x, .e = e, .cfg = cfg};
  snprintf(ad->path, sizeof ad->path, "unix:%.100s", path);
  http_server_opts o = {.max_conns = 16, .max_waiting_bytes = 128 << 20, .head = on_head, .request = on_request, .user = ad};
  hdw_status s = strlen(path) > 100 ? HDW_E_LIMIT : io_addr_parse(ad->path, &o.addr);
  bool others = cfg->roles.viewer.n || cfg->roles.operator.n || cfg->roles.phi_viewer.n || cfg->roles.deployer.n;
  o.addr.mode = others ? 0666 : 0600; /* who connects is asked of the kernel for each connection */
  if (!s) s = http_server_new(x, &o, &ad->http);
  if (s) {
    snprintf(text, 200, "the admin socket %.120s: %s", path, s == HDW_E_LIMIT ? "the path is longer than 100 bytes; set \"admin\"" : hdw_status_text(s));
    x->mem->put(x->mem, ad, sizeof *ad);
    return s;
  }
  if (!io_stat(x, path, &st)) ad->uid = st.uid; /* we made it */
  *out = ad;
  return HDW_OK;
}

void admin_free(admin *ad) {
  http_server_free(ad->http);
  (void)io_unlink(ad->io, ad->path + 5);
  ad->io->mem->put(ad->io->mem, ad, sizeof *ad);
}
