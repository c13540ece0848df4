/* http_rig.h - compiled programs in the engine with the real drivers; the HTTP servers outside are a script, or a function of the test. */
#ifndef HDW_HTTP_RIG_H
#define HDW_HTTP_RIG_H
#include "prog_rig.h"
#include "engine_int.h"

enum { WORLD_SEEN = 64 };
typedef struct reply {
  int code;                  /* 0: the connection is lost after the request was sent; -1: it is refused; -2: no answer ever comes */
  const char *body, *name, *value; /* one header */
} reply;
typedef struct world world;
struct world {
  unsigned n;                /* requests */
  struct { char url[300], method[8], headers[900], body[400]; size_t body_len; bool identity; int64_t at_us; } v[WORLD_SEEN]; /* identity: a client certificate is shown */
  reply to[WORLD_SEEN];      /* one answer each; behind the last {0} comes 200 {} when more */
  unsigned answers;          /* so many of `to` are meant; 0 = as many as there are requests */
  reply (*on)(world *w, const io_http_req *q); /* instead of `to` */
  const char *type;          /* of answers; NULL: application/fhir+json */
  bool twice;                /* world_run: two messages come */
  int64_t delay_us, first_us; /* first_us: the first answer takes longer by it */
  /* names */
  unsigned asked;            /* resolutions */
  unsigned (*names)(world *w, const char *host, io_addr *out, unsigned cap); /* NULL: 93.184.216.34 */
  void (*configure)(world *w, config *cfg);
  void *user;
};

static inline void world_serve(io *x, uint64_t id, const io_http_req *q, void *user) {
  world *w = (world *)user;
  assert_true(w->n < WORLD_SEEN);
  unsigned i = w->n++;
  snprintf(w->v[i].url, sizeof w->v[i].url, "%s://%s:%u%s", q->https ? "https" : "http", q->host, q->port, q->target);
  snprintf(w->v[i].method, sizeof w->v[i].method, "%s", q->method);
  size_t most = q->body_len < sizeof w->v[i].body ? q->body_len : sizeof w->v[i].body - 1;
  memcpy(w->v[i].body, most ? q->body : "", most);
  w->v[i].body[most] = 0;
  w->v[i].body_len = q->body_len;
  w->v[i].identity = q->tls != NULL;
  w->v[i].at_us = io_mono_us(x);
  w->v[i].headers[0] = 0;
  for (unsigned k = 0; k < q->nheaders; k++) {
    size_t at = strlen(w->v[i].headers);
    snprintf(w->v[i].headers + at, sizeof w->v[i].headers - at, "%s: %s\n", q->headers[k].name, q->headers[k].value);
  }
  reply a = w->on ? w->on(w, q) : w->answers && i >= w->answers ? (reply){200, "{}", NULL, NULL} : w->to[i];
  if (a.code == -2) return;
  io_http_header h[] = {{"Content-Type", w->type ? w->type : "application/fhir+json"}, {a.name, a.value}};
  io_http_res r = {.sent = a.code >= 0, .code = a.code, .headers = h, .nheaders = a.name ? 2 : 1, .body = a.body, .body_len = a.body ? strlen(a.body) : 0, .error = ""};
  if (a.code <= 0) r.status = HDW_E_CLOSED, r.code = 0;
  io_sim_http_reply(x, id, &r, w->delay_us + (i ? 0 : w->first_us));
}

static inline unsigned world_resolve(const char *host, io_addr *out, unsigned cap, void *user) {
  world *w = (world *)user;
  w->asked++;
  return w->names ? w->names(w, host, out, cap) : prog_resolve(host, out, cap, NULL);
}

static inline void world_open(prog *p, world *w) {
  static config_secret secret = {.name = "key", .file = "key", .value = "the-token", .value_len = 9};
  io_sim_on_http(p->io, world_serve, w);
  io_sim_on_resolve(p->io, world_resolve, w);
  p->cfg.secrets = &secret, p->cfg.nsecrets = 1;
  if (w->configure) w->configure(w, &p->cfg);
  prog_open_drivers(p);
}

/* The program in that world; nothing has happened yet. Its secret is called key. */
static inline prog *world_begin(world *w, const char *text) {
  prog *p = prog_new(text, NULL, NULL, 0);
  engine_close(p->e); /* again, with drivers in the place of mocks */
  world_open(p, w);
  return p;
}

/* As kill -9: what is in memory is gone. */
static inline void world_restart(prog *p, world *w) {
  engine_close(p->e);
  p->restarts++;
  world_open(p, w);
}

/* One workflow with the statements; its connection is ehr, of the kind. One message has come. */
static inline prog *world_run(world *w, const char *kind, const char *args, const char *statements) {
  char text[2500];
  snprintf(text, sizeof text, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = %s(base: 'https://ehr.example.org/r4', auth: bearer(secret('key'))%s%s)\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  %s\n  return { ok: true }\n}\n",
           kind, args[0] ? ", " : "", args, statements);
  prog *p = world_begin(w, text);
  prog_submit(p, "M1", "4711", "");
  if (w->twice) prog_submit(p, "M2", "4712", "");
  prog_run_for(p, 8000000);
  return p;
}

static inline store_delivery world_delivery(prog *p, uint8_t state) {
  store_delivery d = {0};
  for (uint64_t id = 1; id < 200; id++)
    if (!store_get_delivery(engine_store(p->e), ENG_PART, id, &p->a, &d) && (!state || d.state == state)) return d;
  fail_msg("there is no delivery in state %d", state);
  return d;
}
#endif
