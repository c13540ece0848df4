/* otlp.c - spans to a collector: OTLP over HTTP in its JSON form (https://opentelemetry.io/docs/specs/otlp/).
 *
 * A ring of spans; a timer sends up to BATCH of them as one request, one at a time. 429, 502, 503 and 504 and connections that fail are tried again with
 * growing pauses, Retry-After is honoured; any other answer drops the batch and counts it. When the ring is full the oldest span goes. */
#include <stdio.h>
#include <stdlib.h>
#include "json.h"
#include "trace.h"
#include "url.h"

enum { BATCH = 512, MAX_TRIES = 6, MAX_PIN = 8 };

typedef struct otlp {
  tracer t;                  /* first */
  io *io;
  config_traces o;           /* a copy: the configuration may be read again */
  arena a;                   /* url, grants */
  url u;
  net_cidr *grants;
  unsigned ngrants;
  io_timer timer;
  uint64_t id;               /* of the exchange under way */
  uint32_t tries;
  io_addr pin[MAX_PIN];
  unsigned npin;
  arena body;
  buf b;
} otlp;

static void on_timer(void *user);
static void arm(otlp *t, int64_t us) { io_timer_set(t->io, &t->timer, us, on_timer, t); }

/* ---- JSON --------------------------------------------------------------------------------------------------------------------------- */

static void attribute(buf *b, bool *first, const char *key, const char *value) {
  if (!value[0]) return;
  buf_putf(b, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":", *first ? "" : ",", key);
  json_write_str(b, value, strlen(value));
  buf_puts(b, "}}");
  *first = false;
}

static void write_span(buf *b, const trace_span_rec *s) {
  static const uint8_t none[TRACE_SPAN] = {0};
  char trace[2 * TRACE_ID + 1], span[2 * TRACE_SPAN + 1], parent[2 * TRACE_SPAN + 1], ref[24], attempt[12];
  bool f = true;
  eng_hex(s->trace, TRACE_ID, trace);
  eng_hex(s->span, TRACE_SPAN, span);
  eng_hex(s->parent, TRACE_SPAN, parent);
  buf_putf(b, "{\"traceId\":\"%s\",\"spanId\":\"%s\"", trace, span);
  if (memcmp(s->parent, none, TRACE_SPAN)) buf_putf(b, ",\"parentSpanId\":\"%s\"", parent);
  buf_puts(b, ",\"name\":");
  json_write_str(b, s->name, strlen(s->name));
  buf_putf(b, ",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\",\"endTimeUnixNano\":\"%lld000\",\"attributes\":[", s->kind == 'i' ? 2 : s->kind == 'a' ? 3 : 1, (long long)s->from_us,
           (long long)s->to_us);
  snprintf(ref, sizeof ref, "%llu", (unsigned long long)s->ref);
  attribute(b, &f, s->kind == 'i' || s->kind == 'g' ? "hdw.message" : s->kind == 'r' ? "hdw.run" : "hdw.subject", ref);
  attribute(b, &f, s->kind == 'a' ? "hdw.connection" : s->kind == 'r' ? "hdw.workflow" : "hdw.listener", s->on);
  attribute(b, &f, "url.template", s->route);
  attribute(b, &f, "hdw.code", s->code);
  if (s->kind == 'a') {
    snprintf(attempt, sizeof attempt, "%u", s->attempt);
    attribute(b, &f, "hdw.attempt", attempt);
  }
  buf_putf(b, "],\"status\":{\"code\":%d}}", s->failed ? 2 : 1);
}

static hdw_status encode(otlp *t) {
  bool f = true;
  arena_free(&t->body);
  arena_init(&t->body, t->io->mem, 8 << 20);
  buf_init(&t->b, &t->body, 4 << 20);
  buf_puts(&t->b, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
  attribute(&t->b, &f, "service.name", t->o.service);
  attribute(&t->b, &f, "service.version", HDW_VERSION);
  buf_puts(&t->b, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"hdw\"},\"spans\":[");
  for (uint32_t i = 0; i < t->t.batch; i++) {
    if (i) buf_puts(&t->b, ",");
    write_span(&t->b, &t->t.ring[(t->t.at + i) % t->t.cap]);
  }
  buf_puts(&t->b, "]}]}]}");
  return (hdw_status)t->b.status;
}

/* ---- sending ---------------------------------------------------------------------------------------------------------------------------- */

/* The batch leaves the ring; what was pushed out of it meanwhile has left already. */
static void batch_done(otlp *t, bool taken) {
  uint32_t left = t->t.batch - t->t.lost;
  t->t.at = (t->t.at + left) % t->t.cap;
  t->t.n -= left;
  if (taken) t->t.st.sent += t->t.batch;
  else t->t.st.failed += t->t.batch;
  t->t.batch = t->t.lost = t->tries = 0;
  t->t.busy = false;
  arm(t, t->t.n >= BATCH ? 0 : t->o.interval_ms * 1000);
}

static void again(otlp *t, int64_t retry_after_us) {
  if (++t->tries >= MAX_TRIES) {
    batch_done(t, false);
    return;
  }
  int64_t wait = (INT64_C(1000000) << t->tries) + (int64_t)(io_random_u64(t->io) % 1000000);
  arm(t, wait > retry_after_us ? wait : retry_after_us);
}

static void on_response(const io_http_res *r, void *user) {
  otlp *t = (otlp *)user;
  int64_t after = 0;
  t->id = 0;
  for (unsigned i = 0; i < r->nheaders && !r->status; i++)
    if (!strcasecmp(r->headers[i].name, "retry-after")) after = strtol(r->headers[i].value, NULL, 10);
  if (after < 0 || after > 300) after = 300;
  if (r->status || r->code == 429 || r->code == 502 || r->code == 503 || r->code == 504) again(t, after * 1000000);
  else batch_done(t, r->code >= 200 && r->code < 300);
}

static void post(otlp *t) {
  io_http_header h = {"Content-Type", "application/json"};
  io_http_req q = {.method = "POST", .https = t->u.https, .host = t->u.host, .port = t->u.port, .target = t->u.target, .headers = &h, .nheaders = 1, .body = t->b.p, .body_len = t->b.len,
                   .pin = t->pin, .npin = t->npin, .timeout_us = 10000000, .max_body_bytes = 65536, .max_header_bytes = 65536};
  if (io_http_request(t->io, &q, on_response, t, &t->id)) again(t, 0);
}

static void on_resolved(hdw_status s, const io_addr *addrs, unsigned n, void *user) {
  otlp *t = (otlp *)user;
  egress_policy p = {.grant = t->grants, .n_grant = t->ngrants};
  t->id = 0;
  t->npin = s ? 0 : egress_pick(&p, addrs, n, t->pin, MAX_PIN, NULL);
  if (t->npin) post(t);
  else again(t, 0);
}

static void on_timer(void *user) {
  otlp *t = (otlp *)user;
  if (!t->t.n) {
    t->t.busy = false;
    return;
  }
  t->t.busy = true;
  if (!t->t.batch) {
    t->t.batch = t->t.n < BATCH ? t->t.n : BATCH;
    t->t.lost = 0;
    if (encode(t)) {
      batch_done(t, false);
      return;
    }
  }
  if (t->u.is_addr) on_resolved(HDW_OK, &t->u.addr, 1, t);
  else if (io_resolve(t->io, t->u.host, t->u.port, 5000000, on_resolved, t, &t->id)) again(t, 0);
}

static void wake(tracer *t) { arm((otlp *)t, ((otlp *)t)->o.interval_ms * 1000); }

static void close_otlp(tracer *base) {
  otlp *t = (otlp *)base;
  io_timer_cancel(t->io, &t->timer);
  if (t->id) io_cancel(t->io, t->id);
  if (t->t.ring) t->io->mem->put(t->io->mem, t->t.ring, t->t.cap * sizeof *t->t.ring);
  arena_free(&t->body);
  arena_free(&t->a);
  t->io->mem->put(t->io->mem, t, sizeof *t);
}

hdw_status otlp_new(io *x, const config_traces *o, tracer **out, char text[200]) {
  otlp *t = (otlp *)x->mem->get(x->mem, sizeof *t);
  if (!t) return HDW_E_NOMEM;
  memset(t, 0, sizeof *t);
  t->io = x, t->o = *o, t->t.cap = (uint32_t)o->queue, t->t.wake = wake, t->t.close = close_otlp;
  arena_init(&t->a, x->mem, 0);
  arena_init(&t->body, x->mem, 8 << 20);
  t->o.service = arena_dup(&t->a, o->service, strlen(o->service));
  if (!t->o.service) t->o.service = "hdw";
  hdw_status s = url_parse(&t->a, o->endpoint, strlen(o->endpoint), &t->u);
  if (s) snprintf(text, 200, "traces.endpoint: '%.120s' is no URL of the form http(s)://host[:port]/path", o->endpoint);
  t->ngrants = o->networks.n;
  t->grants = (net_cidr *)arena_zalloc(&t->a, t->ngrants ? t->ngrants : 1, sizeof *t->grants);
  for (unsigned i = 0; i < t->ngrants && !s; i++)
    if (!t->grants || net_cidr_parse(o->networks.v[i], &t->grants[i])) {
      s = HDW_E_INVALID;
      snprintf(text, 200, "traces.networks: '%.60s' is no network (10.0.0.0/8)", o->networks.v[i]);
    }
  egress_policy p = {.grant = t->grants, .n_grant = t->ngrants};
  if (!s && t->u.is_addr && !egress_allowed(&p, &t->u.addr)) {
    s = HDW_E_DENIED;
    snprintf(text, 200, "traces.endpoint: the address is %.40s: traces.networks does not allow it", egress_rule(&t->u.addr) ? egress_rule(&t->u.addr) : "not allowed");
  }
  t->t.ring = s ? NULL : (trace_span_rec *)x->mem->get(x->mem, t->t.cap * sizeof *t->t.ring);
  if (!s && !t->t.ring) s = HDW_E_NOMEM, snprintf(text, 200, "traces.queue: out of memory");
  if (s) tracer_free(&t->t);
  else *out = &t->t;
  return s;
}
