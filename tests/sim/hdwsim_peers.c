/* hdwsim_peers.c - systems that receive: a CRM, an EHR and a laboratory over HTTP, a ward over MLLP. They do what they are asked or refuse it, answer in time, late,
 * never, with garbage or for somebody else, as the weather says; and keep the ledger. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "hdwsim.h"

enum { WARD_CONNS = 8, FRAME_MAX = 8192 };

typedef struct ward_conn {
  world *w;
  io_sock *s;
  uint8_t in[FRAME_MAX];
  size_t len;
  char out[1024];            /* the answer on its way; one message is in flight */
  size_t out_len, out_at;
  io_timer late;
  message *m;                /* performed; its good answer leaves with out */
} ward_conn;

struct peer_state {
  io_listener *ward;
  ward_conn conns[WARD_CONNS];
  uint32_t ids;
};

/* ---- HTTP ---------------------------------------------------------------------------------------------------------------------------------- */

static const char *header(const io_http_req *q, const char *name) {
  for (unsigned i = 0; i < q->nheaders; i++)
    if (!strcasecmp(q->headers[i].name, name)) return q->headers[i].value;
  return "";
}

static void answer(world *w, uint64_t id, const io_http_req *q, int code, const char *type, const char *body, int retry_after, int64_t delay_us) {
  char seconds[16];
  snprintf(seconds, sizeof seconds, "%d", retry_after);
  io_http_header h[2] = {{"Content-Type", type}, {"Retry-After", seconds}};
  io_http_res res = {.status = HDW_OK, .sent = true, .code = code, .headers = h, .nheaders = retry_after ? 2 : 1, .body = body, .body_len = strlen(body), .error = ""};
  io_sim_http_reply(w->io, id, &res, delay_us);
  peers_heard(w, q->port, id, delay_us, heard_of(code));
}

static void no_answer(world *w, uint64_t id, const io_http_req *q, bool sent, int64_t delay_us) {
  io_http_res res = {.status = HDW_E_IO, .sent = sent, .error = "the connection broke"};
  io_sim_http_reply(w->io, id, &res, delay_us);
  peers_heard(w, q->port, id, delay_us, HEARD_BAD);
}

/* "/M17.a/3": the message and what is to be done for it. */
static message *which(world *w, const char *target, unsigned *fx) {
  const char *dot = strchr(target, '.'), *end = dot ? strchr(dot, '/') : NULL;
  if (target[0] != '/' || !end || end[1] < '0' || end[1] > '6' || end[2]) return NULL;
  *fx = (unsigned)(end[1] - '0');
  return model_find(w, target + 1, (size_t)(dot - target - 1), dot + 1, (size_t)(end - dot - 1));
}

static unsigned version_in(const io_http_req *q) {
  const char *at = q->body_len ? (const char *)memmem(q->body, q->body_len, "\"v\":", 4) : NULL;
  return at && at + 4 < (const char *)q->body + q->body_len && at[4] >= '1' && at[4] <= '9' ? (unsigned)(at[4] - '0') : 0;
}

/* Not performed. */
static void refuse(world *w, uint64_t id, const io_http_req *q, int64_t delay) {
  static const int busy[] = {503, 429, 500, 408};
  static const int bad[] = {422, 400, 404, 409};
  if (chance(w, 1000 * w->now.busy / (w->now.busy + w->now.bad + 1))) {
    int code = busy[draw(w, 4)];
    int after = (code == 503 || code == 429) && chance(w, 300) ? 1 + (int)draw(w, 20) : 0;
    answer(w, id, q, code, "text/plain", "later", after, delay);
    if (after && delay < q->timeout_us - 100000) peers_leave_alone(w, q->port, id, now_us(w) + delay, after * SECOND);
  } else answer(w, id, q, bad[draw(w, 4)], "text/plain", "no", 0, delay);
}

/* Reference data: a busy laboratory refuses, others get it. */
static void reference(world *w, uint64_t id, const io_http_req *q, bool lost) {
  const weather *now = &w->now;
  int64_t delay = chance(w, now->delay) ? draw_time(w, now->delay_us) : (int64_t)draw(w, 3000);
  unsigned what = (unsigned)draw(w, 1000);
  char body[40];
  if (what < now->busy + now->bad) {
    refuse(w, id, q, delay);
    return;
  }
  bool spoil = lost || what < now->busy + now->bad + now->silent + now->garbage;
  snprintf(body, sizeof body, "{\"n\":%u}", cached_answer(w, !spoil && delay < q->timeout_us - 100000 ? now_us(w) + delay : 0));
  if (!spoil) answer(w, id, q, 200, "application/json", body, 0, delay);
  else if (chance(w, 500)) no_answer(w, id, q, true, delay);
  else if (chance(w, 500)) answer(w, id, q, 200, "application/json", "{\"n\":", 0, delay);
}

static void on_http(io *x, uint64_t id, const io_http_req *q, void *user) {
  world *w = (world *)user;
  const weather *now = &w->now;
  unsigned fx = 0;
  bool login = q->port == PORT_CRM_LOGIN || q->port == PORT_EHR_LOGIN;
  bool ref = cached_is(q);
  message *m = q->port == PORT_EHR || login || ref ? NULL : which(w, q->target, &fx);
  (void)x;
  if (!m && !login && !ref && q->port != PORT_EHR) broken(w, "a request for %s: nobody sent that message", q->target);
  if (m && (q->port == PORT_EMR) != (fx == FX_EMR)) broken(w, "%s goes to port %u", q->target, q->port);
  unsigned net = (unsigned)draw(w, 1000);
  if (login) login_asked(w, id, q);
  if (ref) cached_asked(w, id);
  peers_asked(w, q->port, id, q);
  if (net < now->refuse + now->hang) fhir_trouble(w);
  if (net < now->refuse) {
    no_answer(w, id, q, false, 0);
    if (login) login_failed(w, q->port, now_us(w));
    return;
  }
  net -= now->refuse;
  if (net < now->hang) return; /* it times out; nothing arrived */
  if (login) {
    login_request(w, id, q, net < now->hang + now->lose);
    return;
  }
  if (ref) {
    reference(w, id, q, net < now->hang + now->lose);
    return;
  }
  if (!m) {
    fhir_request(w, id, q, net < now->hang + now->lose);
    return;
  }
  model_attempt(w, m, fx, header(q, "Idempotency-Key"), hash_of(q->body, q->body_len), version_in(q));
  if (fx == FX_EMR && m->kind == KIND_ADT) { /* the branches' results, in the order of the source whatever came first */
    const char *one = (const char *)memmem(q->body, q->body_len, "/1\"", 3), *two = (const char *)memmem(q->body, q->body_len, "/2\"", 3);
    if (!one || !two || two < one) broken(w, "%s: the results of the branches are %.*s", q->target, (int)q->body_len, (const char *)q->body);
  }
  int64_t delay = chance(w, now->delay) ? draw_time(w, now->delay_us) : (int64_t)draw(w, 3000);
  if (q->port == PORT_CRM && !login_admits(w, id, q, delay)) return;
  unsigned what = (unsigned)draw(w, 1000);
  if (what < now->busy + now->bad) {
    say(w, "peer %s refused", q->target);
    refuse(w, id, q, delay);
    return;
  }
  what -= now->busy + now->bad;
  char body[200];
  snprintf(body, sizeof body, "{\"id\":%u,\"at\":\"%s\"}", ++w->peers->ids, q->target);
  if (what < now->silent || net < now->hang + now->lose) { /* performed, and nobody hears of it */
    model_done(w, m, fx, 0);
    say(w, "peer %s done, silent", q->target);
    if (chance(w, 500)) no_answer(w, id, q, true, delay);
    return;
  }
  what -= now->silent;
  if (what < now->garbage) {
    model_done(w, m, fx, 0);
    say(w, "peer %s done, garbage", q->target);
    answer(w, id, q, 200, "application/json", chance(w, 500) ? "{\"id\":" : "\xff\xfe not json", 0, delay);
    return;
  }
  bool in_time = delay < q->timeout_us - 100000; /* some of the time is on the way, there and back */
  model_done(w, m, fx, in_time ? now_us(w) + delay + 1000 : 0);
  say(w, "peer %s done, answer in %lld us", q->target, (long long)delay);
  answer(w, id, q, 200, "application/json", body, 0, delay);
}

/* ---- the ward: MLLP ------------------------------------------------------------------------------------------------------------------------- */

static void ward_event(io_sock *s, unsigned events, void *user);

static void ward_close(ward_conn *c) {
  io_timer_cancel(c->w->io, &c->late);
  if (c->s) io_close(c->s);
  c->s = NULL;
  c->len = c->out_len = c->out_at = 0;
  c->m = NULL;
}

static void ward_flush(ward_conn *c) {
  while (c->s && c->out_at < c->out_len) {
    size_t put = 0;
    hdw_status st = io_write(c->s, c->out + c->out_at, c->out_len - c->out_at, &put);
    if (st == HDW_E_AGAIN) break;
    if (st) {
      ward_close(c);
      return;
    }
    c->out_at += put;
  }
  if (!c->s) return;
  bool all = c->out_at == c->out_len;
  if (all) {
    if (c->m && c->out_len) model_done(c->w, c->m, FX_WARD, c->w->now.clear_since_us < now_us(c->w) - 20 * SECOND ? now_us(c->w) + 1000 : 0);
    c->m = NULL, c->out_len = c->out_at = 0;
  }
  io_sock_on(c->s, all ? IO_READ : IO_READ | IO_WRITE, ward_event, c);
}

static void ward_answer(void *user) { ward_flush((ward_conn *)user); }

/* The field n of the segment that begins with name (its MSH-n, too); "" when there is none. */
static const char *field(const uint8_t *p, size_t len, const char *name, unsigned n, size_t *got) {
  const char *s = (const char *)p, *end = s + len;
  *got = 0;
  while (s + 3 < end && memcmp(s, name, 3) != 0) {
    s = (const char *)memchr(s, '\r', (size_t)(end - s));
    if (!s++) return "";
  }
  if (s + 3 >= end) return "";
  for (unsigned i = !memcmp(name, "MSH", 3); s < end && *s != '\r' && i < n; s++) i += *s == '|';
  while (s + *got < end && s[*got] != '|' && s[*got] != '\r' && s[*got] != '^') ++*got;
  return s;
}

static void ward_message(ward_conn *c, const uint8_t *p, size_t len) {
  world *w = c->w;
  const weather *now = &w->now;
  size_t id_len, tag_len, app_len;
  const char *id = field(p, len, "MSH", 10, &id_len), *tag = field(p, len, "PID", 4, &tag_len), *app = field(p, len, "MSH", 3, &app_len);
  message *m = model_find(w, id, id_len, tag, tag_len);
  if (!m) broken(w, "the ward gets a message that nobody sent: %.*s", (int)len, (const char *)p);
  say(w, "ward, connection %d gets %s.%s", (int)(c - w->peers->conns), m->id, m->tag);
  if (io_sim_alone(c->s)) { /* from a daemon that is dead, or has given it up: late, in whatever order */
    m->fx[FX_WARD].done++;
    return;
  }
  model_attempt(w, m, FX_WARD, "", hash_of(p, len), app_len == 4 && app[3] >= '1' && app[3] <= '9' ? (unsigned)(app[3] - '0') : 0);
  unsigned what = (unsigned)draw(w, 1000);
  const char *code = "AA", *of = m->id;
  c->m = NULL;
  if (what < now->busy + now->bad) code = what < now->busy ? "AE" : "AR";
  else if (what < now->busy + now->bad + now->silent) {
    model_done(w, m, FX_WARD, 0);
    say(w, "ward, connection %d: %s.%s silent", (int)(c - w->peers->conns), m->id, m->tag);
    return;
  } else if (what < now->busy + now->bad + now->silent + now->wrong) {
    of = "M999999";
    model_done(w, m, FX_WARD, 0);
  } else if (what < now->busy + now->bad + now->silent + now->wrong + now->garbage) {
    model_done(w, m, FX_WARD, 0);
    c->out_len = (size_t)snprintf(c->out, sizeof c->out, "\x0bno acknowledgement\x1c\r");
    ward_flush(c);
    return;
  } else c->m = m;
  say(w, "ward, connection %d: %s.%s %s for %s", (int)(c - w->peers->conns), m->id, m->tag, code, of);
  int n = snprintf(c->out, sizeof c->out, "\x0bMSH|^~\\&|WARD|HOSP|HUB|HUB|20260101000000||ACK|W%u|P|2.5.1\rMSA|%s|%s\r\x1c\r", ++w->peers->ids, code, of);
  c->out_len = (size_t)n, c->out_at = 0;
  /* Late: the daemon may have given up, so the answer does not count as good. */
  int64_t delay = chance(w, now->delay) ? draw_time(w, now->delay_us) : 0;
  if (delay > SECOND && c->m) {
    model_done(w, c->m, FX_WARD, 0);
    c->m = NULL;
  }
  io_timer_set(w->io, &c->late, delay, ward_answer, c);
}

static void ward_event(io_sock *s, unsigned events, void *user) {
  ward_conn *c = (ward_conn *)user;
  size_t got = 0;
  (void)s;
  if (events & IO_WRITE) ward_flush(c);
  if (!c->s || !(events & IO_READ)) return;
  if (c->len == sizeof c->in) c->len = 0;
  hdw_status st = io_read(c->s, c->in + c->len, sizeof c->in - c->len, &got);
  if (st == HDW_E_AGAIN) return;
  if (st) {
    say(c->w, "ward, connection %d ends", (int)(c - c->w->peers->conns));
    ward_close(c);
    return;
  }
  c->len += got;
  for (uint8_t *end; c->s && (end = (uint8_t *)memmem(c->in, c->len, "\x1c\r", 2)) != NULL;) {
    uint8_t *start = (uint8_t *)memchr(c->in, 0x0b, (size_t)(end - c->in));
    if (start) ward_message(c, start + 1, (size_t)(end - start - 1));
    if (!c->s) return; /* it was closed over the answer */
    size_t used = (size_t)(end + 2 - c->in);
    memmove(c->in, end + 2, c->len - used);
    c->len -= used;
  }
}

static void ward_accept(io_listener *l, io_sock *s, void *user) {
  world *w = (world *)user;
  (void)l;
  for (unsigned i = 0; i < WARD_CONNS; i++) {
    ward_conn *c = &w->peers->conns[i];
    if (c->s) continue;
    c->w = w, c->s = s;
    say(w, "ward, connection %u begins", i);
    io_sock_on(s, IO_READ, ward_event, c);
    return;
  }
  io_close(s);
}

static void on_cancel(uint64_t id, void *user) {
  world *w = (world *)user;
  polite_cancelled(w, id);
  login_cancelled(w, id);
}

void peers_start(world *w) {
  w->peers = (struct peer_state *)calloc(1, sizeof *w->peers);
  io_addr a = {.family = IO_ADDR_IP4, .port = PORT_WARD, .ip = {127, 0, 0, 1}};
  io_sim_on_http(w->io, on_http, w);
  io_sim_on_cancel(w->io, on_cancel, w);
  io_sim_world(w->io, true);
  if (io_listen(w->io, &a, ward_accept, w, &w->peers->ward)) broken(w, "the ward cannot listen");
  io_sim_world(w->io, false);
}

void peers_free(world *w) {
  for (unsigned i = 0; i < WARD_CONNS; i++)
    if (w->peers->conns[i].s) ward_close(&w->peers->conns[i]);
  io_listener_close(w->peers->ward);
  io_sim_on_cancel(w->io, NULL, NULL);
  free(w->peers);
}
