/* watch.c - from what happens in the engine to metrics. */
#include "watch.h"
#include <stdio.h>

static const char *input_state(uint8_t s) {
  static const char *const n[] = {"", "accepted", "unmatched", "rejected", "failed", "running"};
  return s <= INPUT_RUNNING ? n[s] : "";
}
static const char *class_name(uint8_t c) {
  static const char *const n[] = {"", "transient", "permanent", "data", "ambiguous"};
  return c <= FAIL_AMBIGUOUS ? n[c] : "";
}

void watch_input(engine *e, const char *listener, const rec_verdict *v, size_t len) {
  metrics_add(e->metrics, M_INPUTS, 1, listener, input_state(v->state), NULL);
  metrics_add(e->metrics, M_INPUT_BYTES, len, listener, NULL, NULL);
  metrics_tick(e->metrics, io_mono_us(e->io));
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
  const char *kind = call->c->driver->kind;
  char op[96];
  snprintf(op, sizeof op, "%.40s.%.47s", kind ? kind : "", call->op);
  metrics_add(e->metrics, M_ATTEMPTS, 1, call->c->name, op, call->ok ? "ok" : class_name(call->fail_class));
  metrics_observe(e->metrics, M_STEP_SECONDS, io_mono_us(e->io) - call->began_us, call->c->name, op, NULL);
  int64_t since = call->ok && call->run ? sensed_us(call) : 0;
  if (since) metrics_observe(e->metrics, M_ACTION_SECONDS, io_wall_us(e->io) - since, call->workflow, call->c->name, NULL);
}

void watch_breaker(eng_conn *c) { metrics_add(c->e->metrics, M_BREAKER_OPENED, 1, c->name, NULL, NULL); }
