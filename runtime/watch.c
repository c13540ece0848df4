/* watch.c - from what happens in the engine to metrics. */
#include "watch.h"
#include <stdio.h>
#include "trace.h"

static const char *input_state(uint8_t s) {
  static const char *const n[] = {"", "accepted", "unmatched", "rejected", "failed", "running"};
  return s <= INPUT_RUNNING ? n[s] : "";
}
static const char *class_name(uint8_t c) {
  static const char *const n[] = {"", "transient", "permanent", "data", "ambiguous"};
  return c <= FAIL_AMBIGUOUS ? n[c] : "";
}

static void context(const rec_input *r, uint64_t seq, trace_ctx *t) {
  store_input in = {.id = seq, .received_us = r->received_us, .trace = r->trace};
  memcpy(in.content_hash, r->content_hash, REC_HASH);
  trace_of_input(&in, t);
}

static void text(char *out, size_t cap, const char *s, size_t n) { snprintf(out, cap, "%.*s", (int)(n < cap ? n : cap - 1), s ? s : ""); }

void watch_input(const eng_message *m, const rec_input *r, uint64_t seq) {
  engine *e = m->e;
  const char *listener = m->src->listener;
  metrics_add(e->metrics, M_INPUTS, 1, listener, input_state(r->verdict.state), NULL);
  metrics_add(e->metrics, M_INPUT_BYTES, m->len, listener, NULL, NULL);
  metrics_tick(e->metrics, io_mono_us(e->io));
  if (!e->tracer) return;
  trace_ctx t;
  trace_span_rec s = {.kind = 'g', .name = "gate", .ref = seq, .from_us = m->began_us, .to_us = io_wall_us(e->io)};
  context(r, seq, &t);
  memcpy(s.trace, t.id, TRACE_ID);
  trace_span(&t, 'g', seq, "", 0, s.span);
  trace_span(&t, 'i', seq, "", 0, s.parent);
  text(s.on, sizeof s.on, listener, strlen(listener));
  text(s.code, sizeof s.code, r->verdict.ack_code.p, r->verdict.ack_code.len);
  s.failed = r->verdict.state == INPUT_FAILED;
  tracer_add(e->tracer, &s);
}

void watch_committed(engine *e, const rec_input *r, uint64_t seq, int64_t began_us) {
  if (!e->tracer) return;
  trace_ctx t;
  trace_span_rec s = {.kind = 'i', .ref = seq, .from_us = began_us, .to_us = io_wall_us(e->io), .failed = r->verdict.state == INPUT_FAILED};
  context(r, seq, &t);
  memcpy(s.trace, t.id, TRACE_ID);
  memcpy(s.parent, t.parent, TRACE_SPAN);
  trace_span(&t, 'i', seq, "", 0, s.span);
  snprintf(s.name, sizeof s.name, "input %.40s", input_state(r->verdict.state));
  text(s.on, sizeof s.on, r->source.p, r->source.len);
  text(s.code, sizeof s.code, r->verdict.ack_code.p, r->verdict.ack_code.len);
  tracer_add(e->tracer, &s);
}

const char *watch_trace(engine *e, const store_run *r, char out[33]) {
  trace_ctx t;
  arena a;
  arena_init(&a, e->mem, 0);
  trace_of_run(e, r, &a, &t);
  arena_free(&a);
  eng_hex(t.id, TRACE_ID, out);
  return out;
}

static void run_span(eng_run *r, uint8_t state) {
  trace_ctx t;
  arena a;
  trace_span_rec s = {.kind = 'r', .ref = r->id, .from_us = r->row.created_us, .to_us = io_wall_us(r->e->io), .failed = state != RUN_DONE};
  arena_init(&a, r->e->mem, 0);
  trace_of_run(r->e, &r->row, &a, &t);
  arena_free(&a);
  memcpy(s.trace, t.id, TRACE_ID);
  trace_span(&t, 'r', r->id, "", 0, s.span);
  if (r->row.input) trace_span(&t, 'i', r->row.input, "", 0, s.parent);
  text(s.on, sizeof s.on, r->row.workflow.p, r->row.workflow.len);
  snprintf(s.name, sizeof s.name, "run %.50s", s.on);
  snprintf(s.code, sizeof s.code, "%s", state == RUN_DONE ? "done" : state == RUN_FAILED ? "failed" : "dead");
  tracer_add(r->e->tracer, &s);
}

/* What the program itself wrote of a path: "/patients/{}/notes". */
static void route(eng_call *call, char *out, size_t cap) {
  val p = jv_get(call->request, "path");
  size_t n = 0;
  if (p.tag == VAL_EMPTY) p = jv_get(call->request, "0");
  out[0] = 0;
  for (uint32_t i = 0; p.tag == VAL_TPL && i < p.len; i++) {
    bool literal = i % 2 == 0 && p.u.v[i].tag == VAL_STR;
    int k = snprintf(out + n, cap - n, "%.*s", literal ? (int)p.u.v[i].len : 2, literal ? p.u.v[i].u.s : "{}");
    if (k < 0 || (n += (size_t)k) >= cap) return;
  }
}

static void call_span(eng_call *call) {
  engine *e = call->e;
  trace_ctx t;
  int64_t now = io_wall_us(e->io);
  trace_span_rec s = {.kind = 'a', .ref = call->delivery ? call->delivery : call->run, .attempt = call->attempt, .from_us = now - (io_mono_us(e->io) - call->began_us), .to_us = now, .failed = !call->ok};
  if (!trace_of_call(call, &t, s.span, s.parent)) return;
  memcpy(s.trace, t.id, TRACE_ID);
  snprintf(s.name, sizeof s.name, "%.20s.%.40s", call->c->driver->kind ? call->c->driver->kind : "", call->op);
  snprintf(s.on, sizeof s.on, "%.60s", call->c->name);
  if (call->ok) snprintf(s.code, sizeof s.code, "ok");
  else snprintf(s.code, sizeof s.code, "%.15s", call->code);
  route(call, s.route, sizeof s.route);
  tracer_add(e->tracer, &s);
}

void watch_answer(engine *e, const char *code) { metrics_add(e->metrics, M_ANSWERS, 1, code, NULL, NULL); }

static const char *workflow_of(const eng_run *r, char out[META_MAX_NAME + 1]) {
  snprintf(out, META_MAX_NAME + 1, "%.*s", (int)r->row.workflow.len, r->row.workflow.p ? r->row.workflow.p : "");
  return out;
}

void watch_run_end(eng_run *r, uint8_t state) {
  char wf[META_MAX_NAME + 1];
  engine *e = r->e;
  workflow_of(r, wf);
  metrics_add(e->metrics, M_RUNS, 1, wf, state == RUN_DONE ? "done" : state == RUN_FAILED ? "failed" : "dead", NULL);
  if (e->tracer) run_span(r, state);
  metrics_observe(e->metrics, M_RUN_SECONDS, io_wall_us(e->io) - r->row.created_us, wf, NULL, NULL);
}

void watch_run_park(eng_run *r, uint8_t fail_class) {
  char wf[META_MAX_NAME + 1];
  metrics_add(r->e->metrics, M_PARKED, 1, workflow_of(r, wf), class_name(fail_class), NULL);
}

void watch_call_start(eng_call *call) {
  engine *e = call->e;
  call->began_us = io_mono_us(e->io);
  if (call->attempt > 1 && call->c) metrics_add(e->metrics, M_RETRIES, 1, call->c->name, NULL, NULL);
}

/* When what the effect answers to arrived: the making of its run. 0: unknown. */
static int64_t sensed_us(eng_call *call) {
  eng_run *r = eng_run_find(call->e, call->run);
  arena a;
  store_run row;
  if (r) return r->row.created_us;
  arena_init(&a, call->e->mem, 0);
  int64_t t = store_get_run(call->e->store, ENG_PART, call->run, &a, &row) ? 0 : row.created_us;
  arena_free(&a);
  return t;
}

void watch_call_done(eng_call *call) {
  engine *e = call->e;
  if (!call->c || !e->metrics || !call->began_us) return; /* it never came to the driver */
  if (e->tracer) call_span(call);
  const char *kind = call->c->driver->kind;
  char op[96];
  snprintf(op, sizeof op, "%.40s.%.47s", kind ? kind : "", call->op);
  metrics_add(e->metrics, M_ATTEMPTS, 1, call->c->name, op, call->ok ? "ok" : class_name(call->fail_class));
  metrics_observe(e->metrics, M_STEP_SECONDS, io_mono_us(e->io) - call->began_us, call->c->name, op, NULL);
  int64_t since = call->ok && call->run ? sensed_us(call) : 0;
  if (since) metrics_observe(e->metrics, M_ACTION_SECONDS, io_wall_us(e->io) - since, call->workflow, call->c->name, NULL);
}

void watch_breaker(eng_conn *c) { metrics_add(c->e->metrics, M_BREAKER_OPENED, 1, c->name, NULL, NULL); }
