/* admin_server.c - the socket, routing, actions. */
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

static void reply(admin *ad, http_token t, int status, const char *p, size_t n) {
  http_header h = {lit("Content-Type"), lit("application/json")};
  (void)http_reply(ad->http, t, status, &h, 1, p, n);
}

static void reply_error(admin *ad, http_token t, int status, const char *text) {
  char body[300];
  int n = snprintf(body, sizeof body, "{\"error\":\"%.200s\"}", text);
  reply(ad, t, status, body, (size_t)n);
}

/* ---- actions ------------------------------------------------------------------------------------------------------------------- */

typedef struct acting {
  admin *ad;
  http_token t;
  uint32_t open, ok;
  bool started;
} acting;

static void acted(acting *x) {
  char body[80];
  if (x->open || !x->started) return;
  int n = snprintf(body, sizeof body, "{\"done\":%u}", x->ok);
  reply(x->ad, x->t, 200, body, (size_t)n);
  x->ad->io->mem->put(x->ad->io->mem, x, sizeof *x);
}

static void on_act(void *user, hdw_status s) {
  acting *x = (acting *)user;
  x->open--;
  x->ok += !s;
  acted(x);
}

static uint8_t subject_of(const char *s) { return s && !strcmp(s, "delivery") ? SUBJECT_DELIVERY : SUBJECT_RUN; }

static void act(admin *ad, http_token t, admin_query *q, bool discard) {
  enum { MANY = 4096 };
  acting *x = (acting *)ad->io->mem->get(ad->io->mem, sizeof *x);
  admin_subject *list = (admin_subject *)arena_zalloc(q->a, MANY, sizeof *list);
  const char *who = admin_param(q, "who"), *reason = admin_param(q, "reason");
  uint32_t n = 0;
  if (!x || !list) {
    if (x) ad->io->mem->put(ad->io->mem, x, sizeof *x);
    reply_error(ad, t, 503, "out of memory");
    return;
  }
  *x = (acting){ad, t, 0, 0, false};
  if (admin_param(q, "all") && !discard) n = admin_all_dead(ad, list, MANY);
  else if (admin_id(admin_param(q, "id"), &list[0].id)) list[0].subject = subject_of(admin_param(q, "subject")), n = 1;
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < n; i++) {
    x->open++;
    s = discard ? engine_discard(ad->e, list[i].subject, list[i].id, who ? who : "operator", reason ? reason : "", on_act, x)
                : engine_redrive(ad->e, list[i].subject, list[i].id, who ? who : "operator", on_act, x);
    if (s) x->open--;
  }
  if (n == 1 && s) {
    ad->io->mem->put(ad->io->mem, x, sizeof *x);
    reply_error(ad, t, s == HDW_E_NOTFOUND ? 404 : 409, s == HDW_E_NOTFOUND ? "not found" : "it is no dead letter");
    return;
  }
  x->started = true;
  acted(x);
}

static void pause_sink(admin *ad, http_token t, admin_query *q, bool pause) {
  acting *x = (acting *)ad->io->mem->get(ad->io->mem, sizeof *x);
  const char *sink = admin_param(q, "sink"), *who = admin_param(q, "who");
  if (!x) {
    reply_error(ad, t, 503, "out of memory");
    return;
  }
  *x = (acting){ad, t, 1, 0, true};
  hdw_status s = engine_pause(ad->e, sink ? sink : "", pause, who ? who : "operator", on_act, x);
  if (!s) return;
  ad->io->mem->put(ad->io->mem, x, sizeof *x);
  reply_error(ad, t, s == HDW_E_NOTFOUND ? 404 : 503, s == HDW_E_NOTFOUND ? "there is no such connection" : "not now");
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------ */

static void get(admin *ad, http_token t, admin_query *q, const char *path) {
  for (const admin_view *v = admin_views; v->path; v++) {
    size_t n = strlen(v->path);
    bool below = v->path[n - 1] == '/';
    if (below ? strncmp(path, v->path, n) != 0 : strcmp(path, v->path) != 0) continue;
    q->rest = path + n;
    int status = v->get(q);
    if (q->b->status) reply_error(ad, t, 500, "the answer is too large");
    else if (status != 200) reply_error(ad, t, status, status == 404 ? "not found" : http_reason(status));
    else reply(ad, t, 200, q->b->p, q->b->len);
    return;
  }
  reply_error(ad, t, 404, "no such view");
}

static void on_request(void *user, http_token t, const http_request *r) {
  admin *ad = (admin *)user;
  arena a;
  buf b;
  arena_init(&a, ad->io->mem, 128 << 20);
  buf_init(&b, &a, 64 << 20);
  admin_query q = {.ad = ad, .a = &a, .query = r->head->query, .b = &b};
  char *path = arena_dup(&a, r->head->path.p, r->head->path.len);
  if (!path) reply_error(ad, t, 503, "out of memory");
  else if (http_str_is(r->head->method, "GET")) get(ad, t, &q, path);
  else if (!http_str_is(r->head->method, "POST")) reply_error(ad, t, 405, "GET or POST");
  else if (!strcmp(path, "/redrive")) act(ad, t, &q, false);
  else if (!strcmp(path, "/discard")) act(ad, t, &q, true);
  else if (!strcmp(path, "/pause")) pause_sink(ad, t, &q, true);
  else if (!strcmp(path, "/resume")) pause_sink(ad, t, &q, false);
  else reply_error(ad, t, 404, "no such action");
  arena_free(&a);
}

hdw_status admin_new(io *x, engine *e, const config *cfg, const char *path, admin **out, char text[200]) {
  admin *ad = (admin *)x->mem->get(x->mem, sizeof *ad);
  if (!ad) return HDW_E_NOMEM;
  *ad = (admin){.io = x, .e = e, .cfg = cfg};
  snprintf(ad->path, sizeof ad->path, "unix:%.100s", path);
  http_server_opts o = {.max_body_bytes = 65536, .max_conns = 16, .max_waiting_bytes = 128 << 20, .request = on_request, .user = ad};
  hdw_status s = strlen(path) > 100 ? HDW_E_LIMIT : io_addr_parse(ad->path, &o.addr);
  if (!s) s = http_server_new(x, &o, &ad->http);
  if (s) {
    snprintf(text, 200, "the admin socket %.120s: %s", path, s == HDW_E_LIMIT ? "the path is longer than 100 bytes; set \\\"admin\\\"" : hdw_status_text(s));
    x->mem->put(x->mem, ad, sizeof *ad);
    return s;
  }
  *out = ad;
  return HDW_OK;
}

void admin_free(admin *ad) {
  http_server_free(ad->http);
  (void)io_unlink(ad->io, ad->path + 5);
  ad->io->mem->put(ad->io->mem, ad, sizeof *ad);
}
