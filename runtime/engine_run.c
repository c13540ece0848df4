/* engine_run.c - execution of runs: load, go, park, end.
 *
 * A run lives in memory while it executes or waits for an effect in flight. It is made from its row, the input's bytes and the journal, and
 * can be thrown away at any time: executing it again with the recorded results leads to the same place. */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"
#include "points.h"
#include "watch.h"

/* A run that waits for longer leaves memory. */
#ifdef HDW_STRESS
enum { SUSPEND_US = 1 };
#else
enum { SUSPEND_US = 1000000 };
#endif

static void on_task(void *user) { eng_run_go((eng_run *)user); }
void eng_run_resume_soon(eng_run *r) { io_timer_set(r->e->io, &r->task, 0, on_task, r); }

eng_run *eng_run_find(engine *e, uint64_t id) {
  for (eng_run *r = e->run_hash[eng_slot(id)]; r; r = r->hash_next)
    if (r->id == id) return r;
  return NULL;
}

static void link_run(engine *e, eng_run *r) {
  r->hash_next = e->run_hash[eng_slot(r->id)];
  e->run_hash[eng_slot(r->id)] = r;
  r->next = e->runs;
  if (e->runs) e->runs->prev = r;
  e->runs = r;
  e->nruns++;
}

void eng_run_free(eng_run *r) {
  engine *e = r->e;
  io_timer_cancel(e->io, &r->task);
  io_timer_cancel(e->io, &r->leave);
  eng_steps_leave(r);
  bool met = r->ending && eng_steps_wait(e, r->id);
  uint64_t id = r->id;
  eng_run **at = &e->run_hash[eng_slot(r->id)];
  while (*at != r) at = &(*at)->hash_next;
  *at = r->hash_next;
  if (r->prev) r->prev->next = r->next;
  else e->runs = r->next;
  if (r->next) r->next->prev = r->prev;
  e->nruns--;
  arena_free(&r->a);
  eng_put(e, r, sizeof *r);
  if (met && !e->closing) eng_ready(e, id, false);
  if (!e->closing && (e->nready || e->rescan)) eng_sched(e);
}

/* ---- loading -------------------------------------------------------------------------------------------------------------- */

typedef struct sent {
  eng_run *r;
  hdw_status status;
} sent;
static bool keep_sent(uint16_t part, uint64_t id, uint8_t state, void *user) {
  sent *x = (sent *)user;
  eng_run *r = x->r;
  store_delivery d;
  (void)part, (void)state;
  x->status = store_get_delivery(r->e->store, ENG_PART, id, &r->a, &d);
  if (x->status) return false;
  eng_recorded *k = (eng_recorded *)arena_zalloc(&r->a, 1, sizeof *k);
  if (!k || !(k->path = arena_dup(&r->a, d.path.p, d.path.len))) {
    x->status = HDW_E_NOMEM;
    return false;
  }
  memcpy(k->request_hash, d.request_hash, REC_HASH);
  k->next = r->sent;
  r->sent = k;
  return true;
}

/* The module that the run is pinned to: no other version of the workflow will do. */
static bool find_program(eng_run *r) {
  r->app = eng_app_pinned(r->e, r->row.module, r->row.deployment);
  r->wf = r->app ? eng_workflow(r->app, r->row.workflow.p, r->row.workflow.len) : NULL;
  return r->wf != NULL;
}

static hdw_status load_input(eng_run *r, const void *body, size_t len, val *out) {
  engine *e = r->e;
  store_input in = {0};
  const char *identity = NULL;
  hl7_problem why;
  const void *p = NULL;
  hdw_status s = HDW_OK;
  *out = VAL_NONE;
  if (r->row.input) {
    s = store_get_input(e->store, ENG_PART, r->row.input, &r->a, &in);
    if (s) return s;
    eng_identity(&in, r->identity);
    r->input_us = in.time_us;
    identity = arena_dup(&r->a, in.identity.p, in.identity.len);
    r->peer = identity && identity[0] ? identity : NULL;
    if (body) p = arena_dup(&r->a, body, len);
    else {
      log_rec rec;
      s = eng_read(e, in.pos, &r->a, &rec);
      p = rec.body, len = s ? 0 : rec.body_len;
    }
    if (!s && !p) s = HDW_E_NOMEM;
  } else cod_sha256(&r->id, sizeof r->id, r->row.module, REC_HASH, r->identity);
  return s || !p ? s : eng_input_value(e, &r->a, p, len, &(eng_reading){.charset = in.charset, .identity = identity, .pinned = r->app}, out, &why);
}

static hdw_status start_vm(eng_run *r, val input) {
  engine *e = r->e;
  uint8_t h[REC_HASH];
  /* Reprocessed: time and random numbers of the first run, or requests that hold them would not match what is there. */
  uint64_t origin = r->id;
  hdw_status s = r->row.of_run ? eng_redo_origin(e, &r->row, &origin) : HDW_OK;
  if (s) return s;
  cod_sha256(r->identity, REC_HASH, &origin, sizeof origin, h);
  r->cx = (vm_cx){.a = &r->a, .fuel = e->o.config->top.run_fuel, .model = e->o.model, .seed = e->hash_seed, .now_us = r->row.of_run ? r->input_us : r->row.created_us, .env = &eng_env_run, .user = e, .regexes = e->regexes, .hits = e->o.hits};
  memcpy(r->cx.run_id, h, sizeof r->cx.run_id);
  s = vm_start(&r->vm, &r->app->m, e->o.host, r->app->bound, &r->cx, r->wf->func, &input, 1);
  r->vm.copies = true; /* requests and results are copied */
  return s;
}

hdw_status eng_run_prepare(eng_run *r, const void *body, size_t len) {
  val input;
  r->e->unread_now = false;
  if (!find_program(r)) return r->e->unread_now ? HDW_E_IO : HDW_E_NOTFOUND;
  hdw_status s = load_input(r, body, len, &input);
  return s ? s : start_vm(r, input);
}

static eng_run *run_new(engine *e, uint64_t id) {
  eng_run *r = (eng_run *)e->mem->get(e->mem, sizeof *r);
  if (!r) return NULL;
  memset(r, 0, offsetof(eng_run, vm));
  r->vm.outcome = VM_OUTCOME_NONE;
  r->vm.result = r->vm.outcome_args[0] = r->vm.outcome_args[1] = VAL_NONE;
  r->e = e, r->id = id;
  arena_init(&r->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  link_run(e, r);
  return r;
}

static void record_state(eng_run *r, uint8_t state, eng_durable then) {
  rec_run_change c = {.run = r->id, .state = state, .fail_class = r->row.fail_class, .path = r->row.path, .reason = r->row.reason};
  cod_w w = eng_writer(r->e);
  if (!rec_put_run_change(&w, &c)) (void)eng_append_rec(r->e, REC_RUN_STATE, &w, NULL, 0, then, NULL, &r->last_seq); /* out of memory only once the store knows it: parked still, it would not be taken in again */
}

/* Whoever it waits for may have ended before the store knew that it waits for its turn, and then has passed it over. */
static void on_queued(engine *e, hdw_status s, const log_rec *rec, void *user) {
  rec_run_change c;
  store_run row;
  arena a;
  (void)user;
  if (s || rec_get_run_change(rec, &c)) return;
  arena_init(&a, e->mem, 0);
  hdw_status st = store_get_run(e->store, ENG_PART, c.run, &a, &row);
  if (!eng_state_said(e, st)) eng_look_again(e);
  if (!st && row.state == RUN_QUEUED && eng_lanes_free(e, row.id, row.lanes, row.nlanes)) eng_ready(e, row.id, false);
  arena_free(&a);
}

/* It keeps its lanes, but is no longer at work in them: an older run that a person sent back has its turn. */
static void left(eng_run *r) {
  if (!HDW_BROKEN("lane.left")) eng_lanes_release(r->e, &r->row);
  eng_run_free(r);
}

void eng_run_start(engine *e, uint64_t id, bool fresh, const void *body, size_t len) {
  if (eng_run_find(e, id) || eng_cancelled(e, id)) return;
  eng_run *r = run_new(e, id);
  if (!r) {
    eng_look_again(e);
    return;
  }
  hdw_status s = store_get_run(e->store, ENG_PART, id, &r->a, &r->row);
  if (!eng_state_said(e, s)) {
    eng_run_abandon(r);
    return;
  }
  if (s || r->row.state >= RUN_DONE) {
    eng_run_free(r);
    eng_steps_drop(e, id, false);
    return;
  }
  if (r->row.state >= RUN_PARKED && r->row.wake_us > eng_clock_us(e) && !eng_run_unheld(r)) { /* it stood in the ring twice */
    eng_steps_drop(e, id, false);
    left(r);
    return;
  }
  if (r->row.state == RUN_QUEUED && !r->row.attempts && !r->row.effects && eng_workflow_paused(e, r->row.workflow)) {
    eng_run_free(r);
    return;
  }
  r->replay = !fresh || !eng_run_fresh(e, &r->row); /* in the ring twice, it has begun and left memory since */
  /* The lanes may have been taken by an earlier run that a person sent back into the queue: who ends there looks for the next one. */
  bool first = eng_lanes_free(e, id, r->row.lanes, r->row.nlanes);
  if (!first || (r->replay && eng_lanes_busy(e, &r->row))) {
    if (r->row.state == RUN_PARKED) record_state(r, RUN_QUEUED, on_queued); /* its time has come, its turn has not */
    if (!first) eng_lanes_release(e, &r->row);                   /* nor need anybody else look for the older one */
    eng_run_free(r);
    return;
  }
  s = eng_run_prepare(r, body, len);
  if (s == HDW_E_IO || s == HDW_E_FULL || (s == HDW_E_NOMEM && !r->a.over_limit)) { /* the disk, the process: nothing is wrong with the run, later again */
    eng_run_abandon(r);
    return;
  }
  if (s) {
    const char *why = s != HDW_E_NOTFOUND ? "the run cannot be loaded" : r->wf ? "the bytes of its message have expired" : "the module of this run is not available";
    eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(s), why, "");
    return;
  }
  if (r->replay) {
    sent x = {.r = r};
    s = store_list_deliveries_of_run(e->store, ENG_PART, id, keep_sent, &x);
    if (!s) s = x.status;
    if (s && !HDW_BROKEN("unread.again")) {
      eng_run_unread(r, s, "");
      return;
    }
    /* Where it failed last is tried again, whatever was recorded there. */
    snprintf(r->parked_path, sizeof r->parked_path, "%.*s", (int)r->row.path.len, r->row.path.p);
    r->known = r->row.state != RUN_RUNNING;
    if (r->row.state == RUN_PARKED || (r->known && r->row.fail_class)) record_state(r, RUN_RUNNING, NULL);
  }
  eng_run_resume_soon(r);
}

static void ended(eng_run *r);

const eng_run *eng_run_early(engine *e, const rec_run_new *n, const store_input *in, unsigned index, val input, const val *result) {
  uint64_t id = rec_run_id(in->id, index);
  eng_run *r = run_new(e, id);
  if (!r) return NULL;
  r->early = true;
  r->row = (store_run){.id = id, .input = in->id, .partition = ENG_PART, .state = RUN_QUEUED, .flags = n->flags, .nlanes = n->nlanes, .created_us = in->time_us, .changed_us = in->time_us, .workflow = n->workflow};
  memcpy(r->row.module, n->module, REC_HASH);
  memcpy(r->row.deployment, n->deployment, REC_HASH);
  memcpy(r->row.lanes, n->lanes, sizeof r->row.lanes);
  if (find_program(r)) {
    if (result) {
      r->vm.result = *result;
      ended(r);
    } else {
      eng_identity(in, r->identity);
      if (in->identity.len) r->peer = arena_dup(&r->a, in->identity.p, in->identity.len);
      if (!start_vm(r, input)) eng_run_go(r);
    }
  }
  r = eng_run_find(e, id);
  if (!r) return NULL; /* it could not be written */
  if (r->ending) {
    r->row.workflow = cod_cstr(r->wf->name); /* the verdict's text goes with the message */
    return r;
  }
  eng_run_free(r);
  return NULL;
}

/* ---- going ------------------------------------------------------------------------------------------------------------------- */

/* Where and why the machine stopped, as the run's end. */
static void ended_by_fault(eng_run *r) {
  char text[VM_ERROR_TEXT];
  snprintf(text, sizeof text, "%s", r->cx.err.text[0] ? r->cx.err.text : hdw_status_text(r->cx.err.status));
  r->row.file = r->cx.err.file, r->row.line = r->cx.err.line, r->row.column = r->cx.err.col;
  eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(r->cx.err.status), text, "");
}

int64_t eng_duration_us(val v) {
  if (v.tag != VAL_QTY) return 0;
  const val_quantity *q = (const val_quantity *)v.u.p;
  static const struct { const char *unit; int64_t us; } units[] = {
      {"millisecond", 1000}, {"second", 1000000}, {"minute", 60000000}, {"hour", 3600000000}, {"day", 86400000000}, {"week", 604800000000}, {"s", 1000000}, {"ms", 1000}};
  dec us, n;
  int64_t out;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strlen(units[i].unit) == q->unit_len && !memcmp(units[i].unit, q->unit, q->unit_len)) {
      us = dec_from_i64(units[i].us);
      if (!dec_mul(&q->value, &us, &n) && (n = dec_trunc(&n), !dec_to_i64(&n, &out)) && out >= 0) return out;
    }
  return 0;
}

static void ended(eng_run *r) {
  val text;
  const char *t = "";
  switch (r->vm.outcome) {
  case VM_RETRY: { /* of a handler: the step that failed is tried again then */
    int64_t after = eng_duration_us(r->vm.outcome_args[0]);
    const char *path = jv_text(&r->a, r->vm.outcome_args[1]);
    eng_run_park(r, FAIL_TRANSIENT, after ? after : 5000000, "retry", path && strlen(path) < REC_PATH_MAX ? path : "");
    return;
  }
  case VM_FAIL:
    if (!val_to_str(&r->a, r->vm.outcome_args[0], &text) && text.tag == VAL_STR) t = arena_dup(&r->a, text.u.s, text.len);
    eng_run_end(r, RUN_FAILED, FAIL_PERMANENT, "fail", t ? t : "", "");
    return;
  default: eng_run_end(r, RUN_DONE, FAIL_NONE, "", "", "");
  }
}

/* An error that went through a handler and was raised again: as if the handler were not there. */
static bool raised_again(eng_run *r, uint8_t *klass) {
  val e = r->vm.result, c = jv_get(e, "class");
  if (r->cx.err.status != HDW_E_IO || e.tag != VAL_OBJ || c.tag != VAL_STR) return false;
  *klass = jv_is(c, "transient") ? FAIL_TRANSIENT : jv_is(c, "permanent") ? FAIL_PERMANENT : jv_is(c, "ambiguous") ? FAIL_AMBIGUOUS : FAIL_DATA;
  return true;
}

/* Suspended for long: what it waits for goes on without it. */
static void on_leave(void *user);
static void leave_later(eng_run *r) { io_timer_set(r->e->io, &r->leave, r->e->o.suspend_us ? r->e->o.suspend_us : SUSPEND_US, on_leave, r); }
static void on_leave(void *user) {
  eng_run *r = (eng_run *)user;
  /* What comes back is made from the store: it must know what this run did. */
  if (store_applied(r->e->store) < r->last_seq) leave_later(r);
  else eng_run_free(r);
}

enum { CROWD_US = 20000, CROWD_WAITED_US = 50000 };

static void on_crowd(void *user) {
  engine *e = (engine *)user;
  int64_t since = io_mono_us(e->io) + (e->o.suspend_us ? e->o.suspend_us : SUSPEND_US) - CROWD_WAITED_US;
  if (!e->nready || e->draining || e->failed) return;
  for (eng_run *r = e->runs, *next; r; r = next) {
    next = r->next;
    if (r->leave.set && r->leave.at_us <= since && store_applied(e->store) >= r->last_seq) eng_run_free(r);
  }
  eng_sched(e);
}

void eng_runs_make_room(engine *e) {
  if (!e->crowd.set) io_timer_set(e->io, &e->crowd, CROWD_US, on_crowd, e);
}

/* The process's budget, not the run's: it comes back when others have ended. */
static void park_for_memory(eng_run *r) { eng_run_park(r, FAIL_TRANSIENT, 2000000, "the process is out of memory", ""); }
static bool process_is_full(eng_run *r) {
  bool full = !r->a.over_limit;
  if (full) park_for_memory(r);
  return full;
}

void eng_run_go(eng_run *r) {
  engine *e = r->e;
  if (r->ending || e->failed) return;
  io_timer_cancel(e->io, &r->leave);
  for (;;) {
    r->vm.slice = e->o.config->top.slice;
    uint8_t klass;
    switch (vm_go(&r->vm)) {
    case VM_DONE: ended(r); return;
    case VM_AWAIT:
      if (r->early) return;
      if (eng_step_await(r)) continue;
      return;
    case VM_WAITING:
      if (!r->early) leave_later(r);
      return;
    case VM_OUT_OF_SLICE:
      if (!r->early) eng_run_resume_soon(r);
      return;
    case VM_OUT_OF_FUEL: eng_run_end(r, RUN_DEAD, FAIL_PERMANENT, "HDW_E_FUEL", "the run took more instructions than run_fuel allows", ""); return;
    case VM_OUT_OF_MEMORY:
      if (process_is_full(r)) return;
      eng_run_end(r, RUN_DEAD, FAIL_PERMANENT, "HDW_E_NOMEM", "the run took more memory than run_memory_bytes allows", ""); return;
    case VM_FAILED:
      if (raised_again(r, &klass)) {
        const char *path = jv_text(&r->a, jv_get(r->vm.result, "path")), *code = jv_text(&r->a, jv_get(r->vm.result, "code"));
        const char *msg = jv_text(&r->a, jv_get(r->vm.result, "message"));
        if (klass == FAIL_TRANSIENT) eng_run_park(r, klass, r->retry_after_us, msg ? msg : "", path ? path : "");
        else eng_run_end(r, RUN_DEAD, klass, code ? code : "", msg ? msg : "", path ? path : "");
      } else if (r->cx.err.status != HDW_E_NOMEM || !process_is_full(r)) ended_by_fault(r);
      return;
    }
  }
}

/* How it leaves is on its way into the log. What steps of other branches get from now on stands behind that, and the state knows it later than that the run has left. */
static void leaves(eng_run *r) {
  r->ending = true;
  if (!HDW_BROKEN("branch.late")) eng_steps_leave(r);
}

/* ---- parking ------------------------------------------------------------------------------------------------------------------- */

static void on_parked(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_run *r = eng_run_find(e, (uint64_t)(uintptr_t)user);
  (void)rec;
  if (s) return;
  eng_wake_at(e, eng_clock_us(e)); /* on a slow disk its time came before the store knew of it, and nobody found it due */
  if (r) left(r);
}

void eng_run_park(eng_run *r, uint8_t fail_class, int64_t delay_us, const char *reason, const char *path) {
  engine *e = r->e;
  int64_t now = eng_clock_us(e);
  /* What waits for a connection without having tried it cannot have failed for too long. */
  int64_t give_up = r->tried ? eng_give_up_us(r->tried) : e->o.config->top.give_up_ms * 1000;
  if (!(r->held && !r->tries) && now - r->row.created_us > give_up) {
    eng_run_end(r, RUN_DEAD, fail_class, "give_up", reason, path);
    return;
  }
  if (delay_us <= 0) delay_us = eng_backoff(e, 1000000, 300000000, r->row.attempts);
  rec_run_change c = {.run = r->id, .state = RUN_PARKED, .fail_class = fail_class, .wake_us = now + delay_us, .path = cod_cstr(path)};
  c.reason = cod_bytes(reason, strnlen(reason, REC_NAME_MAX));
  if (r->held) c.held = cod_cstr(r->held->name);
  if (r->unsure[0] && fail_class == FAIL_TRANSIENT && !strcmp(r->unsure, path)) c.fail_class = FAIL_AMBIGUOUS; /* the same key again, at the same address only */
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_run_change(&w, &c);
  if (!s) s = eng_append_rec(e, REC_RUN_STATE, &w, NULL, 0, on_parked, (void *)(uintptr_t)r->id, NULL);
  if (s) {
    eng_run_abandon(r);
    return;
  }
  watch_run_park(r, fail_class);
  leaves(r);
}

/* ---- ending -------------------------------------------------------------------------------------------------------------------- */

/* Body of RUN_END: outcome, then the value (NONE, REPLY) or the two arguments, packed. */
static hdw_status result_body(eng_run *r, buf *b) {
  pack_hl7 h = eng_pack_hooks(r->e);
  val v = r->vm.result, pair[2];
  buf_putc(b, (char)r->vm.outcome);
  if (r->vm.outcome == VM_REPLY) v = r->vm.outcome_args[0];
  else if (r->vm.outcome != VM_OUTCOME_NONE) {
    pair[0] = r->vm.outcome_args[0], pair[1] = r->vm.outcome_args[1];
    v = (val){.tag = VAL_LIST, .len = 2, .u.v = pair};
  }
  return pack_val(b, v, &h);
}

hdw_status engine_result(engine *e, const store_run *run, arena *a, vm_outcome *outcome, val *value) {
  log_rec rec;
  *outcome = VM_OUTCOME_NONE;
  *value = VAL_NONE;
  if (!run->result_pos.seg) return HDW_OK;
  hdw_status s = eng_read(e, run->result_pos, a, &rec);
  if (s || !rec.body_len) return s;
  *outcome = (vm_outcome)rec.body[0];
  return engine_unpack(e, a, rec.body + 1, rec.body_len - 1, value);
}

hdw_status engine_unpack(engine *e, arena *a, const void *p, size_t len, val *out) {
  pack_hl7 h = eng_pack_hooks(e);
  return pack_read(a, p, len, &h, out);
}

static void on_ended(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_run *r = eng_run_find(e, (uint64_t)(uintptr_t)user);
  (void)rec;
  if (!r || s) return;
  eng_lanes_release(e, &r->row);
  eng_run_free(r);
}

static void say_end(eng_run *r, uint8_t state, const char *code, const char *text, const char *path) {
  char id[24], wf[META_MAX_NAME + 1], where[200], trace[33], msg[24];
  if (state == RUN_DONE) return;
  snprintf(msg, sizeof msg, "%llu", (unsigned long long)r->row.input);
  snprintf(id, sizeof id, "%llu", (unsigned long long)r->id);
  snprintf(wf, sizeof wf, "%.*s", (int)r->row.workflow.len, r->row.workflow.p);
  engine_where(r->e, r->row.module, r->row.file, r->row.line, r->row.column, where);
  eng_say(r->e, ENGINE_WARN, state == RUN_DEAD ? "run_dead" : "run_failed", "run", id, "workflow", wf, "code", code, "reason", text, "step", path, "at", where,
          "trace_id", watch_trace(r->e, &r->row, trace), "msg_ref", msg, NULL);
}

typedef struct ack_words {
  const char *code, *text;
  bool hl7;
} ack_words;

/* What the answer of an ack-after-run input is made of. False: no memory of the process, or no state: with less than all of it a "not now" would become a "never". */
static bool words_of(eng_run *r, ack_words *o) {
  const char *code = "", *text = "";
  store_input in;
  r->a.failed = false;
  if (r->vm.outcome == VM_REJECT) {
    val c, t;
    if (!val_to_str(&r->a, r->vm.outcome_args[0], &c) && c.tag == VAL_STR) code = arena_dup(&r->a, c.u.s, c.len);
    if (!val_to_str(&r->a, r->vm.outcome_args[1], &t) && t.tag == VAL_STR) text = arena_dup(&r->a, t.u.s, t.len);
  }
  hdw_status s = store_get_input(r->e->store, ENG_PART, r->row.input, &r->a, &in);
  *o = (ack_words){code ? code : "", text ? text : "", !s && !(in.type.len && memchr(in.type.p, ' ', in.type.len))};
  return s != HDW_E_IO && (!r->a.failed || r->a.over_limit);
}

static bool ack_after(eng_run *r, uint8_t state, const ack_words *o) {
  vm_outcome how = r->vm.outcome;
  val v = how == VM_REPLY ? r->vm.outcome_args[0] : r->vm.result;
  return eng_after_run(r->e, &r->row, o->hl7, state == RUN_DONE, how, v, o->code, o->text);
}

void eng_run_end(eng_run *r, uint8_t state, uint8_t fail_class, const char *code, const char *text, const char *path) {
  engine *e = r->e;
  arena a;
  buf b;
  arena_init(&a, e->mem, 0);
  buf_init(&b, &a, (size_t)e->o.config->top.run_memory_bytes);
  hdw_status s = state == RUN_DONE ? result_body(r, &b) : HDW_OK;
  bool acks = r->row.flags & RUN_F_ACK_AFTER;
  ack_words words;
  if (acks && !words_of(r, &words) && state == RUN_DONE && !s) s = HDW_E_NOMEM;
  if (s == HDW_E_NOMEM) { /* of the process: it ends once more, in the same way */
    arena_free(&a);
    park_for_memory(r);
    return;
  }
  if (s) {
    state = RUN_DEAD, fail_class = FAIL_PERMANENT, code = "HDW_E_LIMIT", text = "the returned value cannot be stored";
    b.len = 0;
  }
  rec_run_end end = {.run = r->id, .state = state, .fail_class = fail_class, .error_code = cod_bytes(code, strnlen(code, REC_NAME_MAX)) /* a program may have made it */, .path = cod_cstr(path), .file = r->row.file, .line = r->row.line, .column = r->row.column};
  end.error_text = cod_bytes(text, strnlen(text, VM_ERROR_TEXT));
  /* The answer goes first into the log: a crash between the two leaves a run that ends once more, in the same way, and not an input without outcome. */
  if (acks && !ack_after(r, state, &words) && state == RUN_DONE) { /* its answer would be lost, not only late: as above */
    arena_free(&a);
    park_for_memory(r);
    return;
  }
  cod_w w = eng_writer(e);
  s = rec_put_run_end(&w, &end);
  if (!s) s = eng_append_rec(e, REC_RUN_END, &w, b.p, b.len, on_ended, (void *)(uintptr_t)r->id, NULL);
  arena_free(&a);
  if (s) {
    eng_run_abandon(r);
    return;
  }
  leaves(r);
  watch_run_end(r, state);
  r->done = state == RUN_DONE;
  if (state == RUN_DONE) e->st.runs_done++;
  else e->st.runs_dead++;
  say_end(r, state, code, text, path);
}

void engine_where(engine *e, const uint8_t hash[REC_HASH], uint32_t file, uint32_t line, uint32_t col, char out[200]) {
  eng_app *app = line ? eng_app_by_hash(e, hash) : NULL;
  uint32_t n = 0;
  out[0] = 0;
  if (!app) return;
  const char *name = mod_text(&app->m, file, &n);
  snprintf(out, 200, "%.*s:%u:%u", (int)(n > 150 ? 150 : n), name, line, col);
}
