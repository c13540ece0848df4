/* engine_core.c - opening, programs, appending, draining, closing. */
#include <stdarg.h>
#include <stdio.h>
#include "audit.h"
#include "engine_int.h"
#include "json.h"
#include "metrics.h"
#include "points.h"
#include "re.h"
#include "term.h"
#include "trace.h"

/* ---- small things ---------------------------------------------------------------------------------------------------- */

void eng_hex(const void *p, size_t n, char *out) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *b = (const uint8_t *)p;
  for (size_t i = 0; i < n; i++) out[2 * i] = digits[b[i] >> 4], out[2 * i + 1] = digits[b[i] & 15];
  out[2 * n] = 0;
}

void engine_note(engine *e, engine_level level, const char *event, const char *key, const char *value) { eng_say(e, level, event, key, value, NULL); }

void eng_idem(const uint8_t identity[REC_HASH], const char *workflow, const char *path, char out[ENG_HEX + 1], uint8_t raw[REC_HASH]) {
  char text[META_MAX_NAME + 1 + REC_PATH_MAX];
  int n = snprintf(text, sizeof text, "%s\n%s", workflow, path);
  cod_sha256(identity, REC_HASH, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, raw);
  eng_hex(raw, 16, out);
}

void eng_identity(const store_input *in, uint8_t out[REC_HASH]) {
  /* The id alone is unique within one log only; with content and time it is unique among all that a sink hears from. */
  uint64_t t[2] = {in->id, (uint64_t)in->received_us};
  cod_sha256(in->content_hash, REC_HASH, t, sizeof t, out);
}

static hdw_status hl7_pack_write(void *user, val node, buf *out) {
  (void)user;
  const hl7_node *n = hl7_of(node);
  hl7_slice s;
  if (!n) return HDW_E_TYPE;
  if (n->level == HL7_MSG) {
    hdw_status st = hl7_bytes(out->a, n->m, &s);
    if (st) return st;
    buf_putc(out, 'M');
  } else {
    s = hl7_node_raw(n);
    buf_putc(out, 'T');
  }
  buf_put(out, s.p, s.len);
  return HDW_OK;
}

/* Messages come back as messages; parts of one as their text. */
static hdw_status hl7_pack_read(void *user, arena *a, const void *p, size_t len, val *out) {
  engine *e = (engine *)user;
  const char *s = (const char *)p;
  if (len == 0) return HDW_E_CORRUPT;
  if (s[0] != 'M') {
    *out = val_str(s + 1, len - 1);
    return HDW_OK;
  }
  hl7_opts o = {.schema = e->o.schema};
  hl7_msg *m;
  hdw_status st = hl7_parse(a, s + 1, len - 1, &o, &m, NULL);
  return st ? st : hl7_value(a, m, out);
}

pack_hl7 eng_pack_hooks(engine *e) { return (pack_hl7){hl7_pack_write, hl7_pack_read, e}; }

hdw_status eng_conn_look(engine *e, const char *name, size_t len, eng_conn **out) {
  for (uint32_t i = 0; i < e->nconns; i++)
    if (strlen(e->conns[i]->name) == len && !memcmp(e->conns[i]->name, name, len)) return *out = e->conns[i], HDW_OK;
  for (eng_conn *c = e->old_conns; c; c = c->next_old) /* runs of an earlier deployment */
    if (!c->replaced_by && strlen(c->name) == len && !memcmp(c->name, name, len)) return *out = c, HDW_OK;
  *out = NULL;
  return e->store ? eng_conn_renamed(e, name, len, out) : HDW_E_NOTFOUND;
}

eng_conn *eng_conn_find(engine *e, const char *name, size_t len) {
  eng_conn *c;
  (void)eng_conn_look(e, name, len, &c);
  return c;
}

eng_listener *eng_listener_find(engine *e, const char *name) {
  for (uint32_t i = 0; i < e->nlisteners; i++)
    if (!e->listeners[i].closing && !strcmp(e->listeners[i].name, name)) return &e->listeners[i];
  return NULL;
}

const meta_workflow *eng_workflow(const eng_app *a, const char *name, size_t len) {
  for (uint32_t i = 0; i < a->meta.nworkflows; i++)
    if (strlen(a->meta.workflows[i].name) == len && !memcmp(a->meta.workflows[i].name, name, len)) return &a->meta.workflows[i];
  return NULL;
}

/* ---- the log --------------------------------------------------------------------------------------------------------------- */

struct eng_append {
  engine *e;
  eng_durable fn;
  void *user;
  eng_append *next;
};

static void on_fatal(void *user) { io_exit(((engine *)user)->io, LOG_EXIT_CODE); }

/* The log or the store cannot go on: nothing positive may be answered and nothing performed any more. A little later, when the refusals have left, the
 * process ends; the log does the same by itself. */
static void fatal(engine *e, const char *what, hdw_status s) {
  if (e->failed) return;
  eng_say(e, ENGINE_ERROR, "store_failed", "what", what, "status", hdw_status_text(s), NULL);
  e->failed = true;
  e->accepting = false;
  if (!e->closing) io_timer_set(e->io, &e->intake, 200000, on_fatal, e);
}

bool eng_state_said(engine *e, hdw_status s) {
  if (!s || s == HDW_E_NOTFOUND) return true;
  if (s == HDW_E_CORRUPT) {
    store_doubt(e->store);
    fatal(e, "store", s);
  }
  return false;
}

bool eng_state_has(engine *e, hdw_status s) {
  if (!eng_state_said(e, s)) e->unsettled = s;
  return !s;
}

hdw_status eng_settled(engine *e) {
  hdw_status s = HDW_BROKEN("names.unread") ? HDW_OK : e->unsettled;
  e->unsettled = HDW_OK;
  return s;
}

static void on_durable(hdw_status s, const log_rec *rec, void *user) {
  eng_append *a = (eng_append *)user;
  engine *e = a->e;
  eng_durable fn = a->fn;
  void *fn_user = a->user;
  a->next = e->free_appends;
  e->free_appends = a;
  e->outstanding--;
  if (!s) {
    hdw_status as = store_apply(e->store, rec);
    if (as) {
      if (as == HDW_E_CORRUPT) store_doubt(e->store); /* or the next life would end here, too */
      fatal(e, "store", as);
      s = as;
    }
  } else fatal(e, "log", s);
  /* At the end nothing goes on; whoever waits gives back what it holds. */
  if (fn) fn(e, e->closing ? HDW_E_CLOSED : s, rec, fn_user);
  if (!e->closing) eng_ended(e);
}

hdw_status eng_append_rec(engine *e, uint8_t type, const cod_w *w, const void *body, size_t len, eng_durable fn, void *user, uint64_t *seq) {
  if (w->bad || len > UINT32_MAX) return HDW_E_LIMIT;
  if (e->failed) return HDW_E_IO;
  eng_append *a = e->free_appends;
  if (a) e->free_appends = a->next;
  else if (!(a = (eng_append *)arena_alloc(&e->a, sizeof *a))) return HDW_E_NOMEM;
  *a = (eng_append){e, fn, user, NULL};
  log_rec r = {.type = type, .version = REC_VERSION, .partition = ENG_PART, .meta = w->p, .meta_len = (uint32_t)w->len, .body = (const uint8_t *)body, .body_len = (uint32_t)len};
  hdw_status s = log_append(e->log, &r, on_durable, a);
  if (s) {
    a->next = e->free_appends;
    e->free_appends = a;
    return s;
  }
  e->outstanding++;
  e->appended_us = r.time_us;
  if (type == REC_RUN_START || type == REC_VERDICT || type == REC_ACTION || type == REC_DEPLOY) e->early_after = r.seq;
  if (seq) *seq = r.seq;
  return HDW_OK;
}

hdw_status eng_read(engine *e, log_pos pos, arena *a, log_rec *out) {
  hdw_status s = log_read(e->log, pos, a, out);
  if (s == HDW_E_LIMIT || s == HDW_E_FULL) s = HDW_E_IO;
  e->unread_now |= s == HDW_E_IO;
  if (!s || s == HDW_E_NOTFOUND) return s;
  char seg[24], off[16];
  snprintf(seg, sizeof seg, "%llu", (unsigned long long)pos.seg);
  snprintf(off, sizeof off, "%u", pos.off);
  eng_say(e, ENGINE_ERROR, "record_unreadable", "status", hdw_status_text(s), "segment", seg, "offset", off, NULL);
  return s;
}

hdw_status engine_fence(engine *e, uint64_t term) {
  char text[TERM_TEXT];
  cod_w w = eng_writer(e);
  hdw_status s = term_record(&w, "fenced", term, text);
  return s ? s : eng_append_rec(e, REC_PUT, &w, text, strlen(text), NULL, NULL, NULL);
}

/* ---- opening --------------------------------------------------------------------------------------------------------------- */

/* Why log or state cannot be opened. */
static const char *why_not(hdw_status s) {
  return s == HDW_E_EXISTS ? "another process has it open" : s == HDW_E_VERSION ? "it was written by a later hdwvm; use that one, or a backup from before (nothing was changed)" : hdw_status_text(s);
}

static hdw_status open_to_read(engine *e, char text[200]) {
  char path[1024];
  store_opts so = {.dir = e->o.dir, .read_only = true};
  store_info si;
  snprintf(path, sizeof path, "%s/log", e->o.dir);
  hdw_status s = store_open(e->io, &so, &si, &e->store);
  if (!s) s = log_open_read(e->io, path, &e->log);
  const char *why = s == HDW_E_NOTFOUND ? "there is none" : s == HDW_E_VERSION ? "its state is of another hdwvm; look at a copy (backup, restore), or serve it with this one" : hdw_status_text(s);
  if (s) snprintf(text, 200, "the store in %.70s cannot be read: %s", e->o.dir, why);
  if (s && e->store) store_close(e->store);
  return s;
}

static hdw_status open_files(engine *e, char text[200]) {
  char path[1024];
  const char *dir = e->o.dir;
  hdw_status s = io_mkdir(e->io, dir);
  if (s && s != HDW_E_EXISTS) {
    snprintf(text, 200, "the data folder %.120s cannot be made: %s", dir, hdw_status_text(s));
    return s;
  }
  store_opts so = {.dir = dir};
  store_info si = {0};
  snprintf(path, sizeof path, "%s/log", dir);
  log_opts lo = {.dir = path, .max_record_bytes = (uint32_t)(e->o.config->top.max_input_bytes < (INT64_C(512) << 20) ? e->o.config->top.max_input_bytes * 2 + (4 << 20) : 1 << 30),
                 .low_water_bytes = (uint64_t)e->o.config->top.min_free_bytes, .synced_seq = store_peek_applied(e->io, dir), .segment_bytes = e->o.log_segment_bytes ? e->o.log_segment_bytes : (uint64_t)e->o.config->top.log_segment_bytes};
  log_open_info li = {0};
  s = log_open(e->io, &lo, &li, &e->log);
  if (s) {
    snprintf(text, 200, "the log in %.80s cannot be opened: %s", path, why_not(s));
    return s;
  }
  e->unclean = !li.clean, e->last_life_us = li.last_us;
  int64_t behind = li.last_us - eng_clock_us(e);
  if (behind > 0 && behind < INT64_C(86400000000)) e->clock_off_us += behind; /* what is to wait for a moment does not wait for the hour that the clock was set back */
  if (li.torn_bytes) eng_say(e, ENGINE_WARN, "log_tail_cut", NULL);
  s = store_open(e->io, &so, &si, &e->store);
  if (s) {
    log_close(e->log);
    e->log = NULL;
    snprintf(text, 200, "the store in %.80s cannot be opened: %s", dir, why_not(s));
    return s;
  }
  s = audit_open(e);
  if (s) {
    snprintf(text, 200, "the audit trail cannot be read: %s", hdw_status_text(s));
    store_close(e->store);
    log_close(e->log);
    return s;
  }
  if (si.rebuilt && li.last_seq) eng_say(e, ENGINE_WARN, "store_rebuilt", NULL);
  return HDW_OK;
}

hdw_status engine_open(io *x, const engine_opts *o, engine **out, char text[200]) {
  text[0] = 0;
  engine *e = (engine *)x->mem->get(x->mem, sizeof *e);
  if (!e) return tracer_free(o->tracer), HDW_E_NOMEM;
  memset(e, 0, sizeof *e);
  e->io = x, e->mem = x->mem, e->o = *o;
  arena_init(&e->a, e->mem, 0);
  e->hash_seed = io_random_u64(x);
  e->regexes = re_cache_new();
  io_random(x, e->content_key, sizeof e->content_key);
  e->accepting = true;
  e->st.started_us = io_wall_us(x);
  e->clock_off_us = io_wall_us(x) - io_mono_us(x);
  e->wake_at_us = INT64_MAX;
  if (o->metrics) e->metrics = metrics_new(e->mem); /* without memory nothing is counted */
  e->tracer = o->tracer;
  hdw_status s = o->read_only ? open_to_read(e, text) : open_files(e, text);
  if (s) {
    tracer_free(e->tracer);
    re_cache_free(e->regexes);
    metrics_free(e->metrics);
    arena_free(&e->a);
    eng_put(e, e, sizeof *e);
    return s;
  }
  *out = e;
  return HDW_OK;
}

/* ---- start, status, end ------------------------------------------------------------------------------------------------------------ */

static void on_wake_timer(void *user) { eng_wake((engine *)user); }

void eng_wake_at(engine *e, int64_t clock_us) {
  if (clock_us >= e->wake_at_us) return;
  e->wake_at_us = clock_us;
  io_timer_set(e->io, &e->wake, clock_us - eng_clock_us(e), on_wake_timer, e);
}

static bool memory_left(const engine *e) { return !e->o.budget || !e->o.budget->limit_bytes || e->o.budget->used_bytes < e->o.budget->limit_bytes / 8 * 7; }

bool eng_may_accept(engine *e) { return e->accepting && e->started && log_intake(e->log) && memory_left(e); }

static void on_intake_timer(void *user) {
  engine *e = (engine *)user;
  bool ok = !e->draining && !e->failed && log_intake(e->log) && memory_left(e);
  if (ok != e->accepting) {
    e->accepting = ok;
    eng_say(e, ENGINE_WARN, ok ? "intake_resumed" : "intake_stopped", NULL);
  }
  /* Without disk every message is answered AE or 503 at once (T10); without memory not even read. */
  bool full = !memory_left(e);
  for (uint32_t i = 0; full != e->unread && i < e->nlisteners; i++) {
    if (e->listeners[i].mllp) mllp_listener_pause(e->listeners[i].mllp, full);
    if (e->listeners[i].http) http_server_pause(e->listeners[i].http, full);
  }
  e->unread = full;
  if ((!e->io->sim || e->o.daemon) && !e->failed) io_timer_set(e->io, &e->intake, 1000000, on_intake_timer, e);
}

void engine_names(engine *e, buf *problems) {
  if (!e->refused) eng_names_check(e, e->apps, e->napps, e->o.config, problems); /* else we do not know what is dropped */
}

hdw_status engine_start(engine *e, char text[200]) {
  text[0] = 0;
  eng_reap(e);
  for (uint32_t i = 0; i < e->napps; i++) {
    eng_app *app = e->apps[i];
    for (uint32_t k = 0; k < app->meta.nconns && !app->retired; k++) {
      eng_conn *c;
      char why[ENG_TEXT];
      hdw_status s = eng_conn_setup(e, app, &app->meta.conns[k], &c, why);
      if (!s) continue;
      snprintf(text, 200, "connections.%.60s: %.120s", app->meta.conns[k].name, why);
      if (!e->o.lenient) return s;
      engine_drop(e, &app->meta, text);
    }
  }
  const char *who = e->o.who ? e->o.who : "serve";
  hdw_status rs = HDW_OK;
  for (uint32_t i = 0; i < e->napps && !rs; i++) {
    if (e->apps[i]->retired) continue;
    rs = eng_app_bind(e, e->apps[i]);
    if (!rs) rs = eng_app_record(e, e->apps[i], who);
  }
  for (uint32_t i = 0; i < e->nconns; i++) eng_conn_print(e, e->conns[i]);
  if (!rs && !e->refused) rs = eng_app_withdraw(e, e->apps, e->napps, who); /* of a refused one we may not know the name */
  if (!rs) rs = eng_names_move(e, e->apps, e->napps, who);
  if (!rs) rs = eng_window_names(e, e->apps, e->napps);
  if (!rs && !e->refused) eng_names_forget(e, e->apps, e->napps);
  if (rs) {
    snprintf(text, 200, "the deployment cannot be recorded: %s", hdw_status_text(rs));
    return rs;
  }
  for (uint32_t i = 0; i < e->nconns; i++) eng_conn_restore(e->conns[i]);
  eng_workflows_paused(e);
  if (e->unsettled && !HDW_BROKEN("unread.again")) { /* what is paused, and what may have arrived elsewhere */
    snprintf(text, 200, "what is known of the connections cannot be read: %s", hdw_status_text(e->unsettled));
    return e->unsettled;
  }
  e->started = true;
  e->rescan = true;
  e->fresh_after = eng_last_seq(e);
  eng_sched(e);
  for (uint32_t i = 0; i < e->nconns; i++) eng_conn_start(e->conns[i]);
  eng_wake_at(e, eng_clock_us(e));
  on_intake_timer(e);
  eng_reconcile_start(e);
  eng_echo_start(e);
  eng_cache_start(e);
  return eng_retain_start(e);
}

uint64_t eng_last_seq(const engine *e) {
  log_stats s;
  log_get_stats(e->log, &s);
  return s.last_seq;
}

store *engine_store(engine *e) { return e->store; }
hlog *engine_log(engine *e) { return e->log; }

void engine_get_status(const engine *e, engine_status *out) {
  *out = e->st;
  out->active_runs = e->nruns + e->naway;
  out->ready_runs = e->nready;
  store_counts c;
  store_get_counts(e->store, &c);
  out->held_lanes = c.held_lanes;
  for (const eng_pending *p = e->pending; p; p = p->next) out->waiting_answers += p->waiting;
  for (uint32_t i = 0; i < e->nconns; i++) out->deliveries_in_flight += e->conns[i]->in_flight, out->steps_in_flight += e->conns[i]->steps;
  out->accepting = e->accepting && e->started;
  out->draining = e->draining;
}

bool engine_sink_at(const engine *e, uint32_t i, engine_sink *out) {
  if (i >= e->nconns) return false;
  const eng_conn *c = e->conns[i];
  int64_t wait;
  eng_hold hold = eng_conn_hold_step(e->conns[i], true, &wait);
  eng_login_state l = {.kind = NULL};
  if (c->look) c->look(c, &l);
  const char *state = hold == HOLD_NONE && c->held_by ? "held by a dead letter" : eng_hold_text(hold);
  *out = (engine_sink){c->name, c->driver->kind, state, c->in_flight + c->steps, c->delivered, c->failed, c->dead,
                       hold != HOLD_NONE && wait != INT64_MAX ? io_mono_us(e->io) + wait : 0, c->last_error, c->held_by, c->opened, c->steps_done, eng_conn_limit(c), c->requests, c->throttled, c->retries_refused,
                       l.kind, l.state, l.until_us, l.asked, l.failed, l.error};
  return true;
}

bool engine_idle(const engine *e) {
  if (e->nruns || e->nsteps || e->outstanding || e->nready || e->rescan || e->sched.set) return false;
  for (uint32_t i = 0; i < e->nconns; i++)
    if (e->conns[i]->in_flight || e->conns[i]->pump.set) return false;
  return true;
}

static void finish_drain(void *user) {
  engine *e = (engine *)user;
  io_timer_cancel(e->io, &e->drain_timer);
  void (*fn)(void *) = e->drained;
  e->drained = NULL;
  if (fn) fn(e->drained_user);
}

/* Runs that wait for a step's retry or a lane are not waited for: they go on after the next start. */
static bool quiet(const engine *e) {
  if (e->outstanding) return false;
  for (uint32_t i = 0; i < e->nconns; i++)
    if (e->conns[i]->in_flight || e->conns[i]->steps) return false;
  for (const eng_run *r = e->runs; r; r = r->next)
    if (r->task.set) return false;
  return true;
}

void eng_ended(engine *e) {
  if (!e->drained || e->drain_done || !quiet(e)) return;
  e->drain_done = true;
  io_timer_set(e->io, &e->drain_timer, 0, finish_drain, e);
}

void engine_drain(engine *e, int64_t drain_us, void (*done)(void *user), void *user) {
  e->draining = true;
  e->accepting = false;
  e->drained = done;
  e->drained_user = user;
  for (uint32_t i = 0; i < e->nlisteners; i++) {
    if (e->listeners[i].mllp) mllp_listener_stop(e->listeners[i].mllp, true);
    if (e->listeners[i].http) http_server_stop(e->listeners[i].http, true);
  }
  io_timer_set(e->io, &e->drain_timer, drain_us, finish_drain, e);
  eng_ended(e);
}

void engine_close(engine *e) {
  e->closing = true;
  for (uint32_t i = 0; i < e->nconns; i++) eng_out_note_flying(e->conns[i]);
  for (eng_conn *o = e->old_conns; o; o = o->next_old) eng_out_note_flying(o);
  eng_retain_close(e);
  log_close(e->log); /* its last callbacks still fold into the store */
  store_close(e->store);
  io_timer_cancel(e->io, &e->drain_timer);
  io_timer_cancel(e->io, &e->wake);
  io_timer_cancel(e->io, &e->intake);
  io_timer_cancel(e->io, &e->sched);
  io_timer_cancel(e->io, &e->crowd);
  io_timer_cancel(e->io, &e->rescan_timer);
  io_timer_cancel(e->io, &e->reconcile);
  io_timer_cancel(e->io, &e->echo_timer);
  io_timer_cancel(e->io, &e->reap);
  eng_once_close(e);
  eng_retain_free(e);
  eng_early_close(e);
  while (e->runs) eng_run_free(e->runs);
  for (unsigned i = 0; i < ENG_HASH; i++)
    while (e->steps[i]) eng_step_free(e->steps[i]);
  for (uint32_t i = 0; i < e->nconns; i++) eng_conn_close(e->conns[i]);
  for (eng_conn *o = e->old_conns; o; o = o->next_old) eng_conn_close(o);
  if (e->tokens_free) e->tokens_free(e);
  while (e->pending) eng_pending_free(e->pending);
  for (uint32_t i = 0; i < e->nlisteners; i++) eng_listener_close(&e->listeners[i]);
  eng_batch_close(e);
  for (uint32_t i = 0; i < e->napps; i++) eng_app_free(e->apps[i]);
  eng_put(e, e->ready, e->ready_cap * sizeof *e->ready);
  tracer_free(e->tracer);
  eng_loss_free(e);
  eng_cache_free(e);
  re_cache_free(e->regexes);
  metrics_free(e->metrics);
  arena_free(&e->a);
  eng_put(e, e, sizeof *e);
}
