/* engine_attempt.c - steps under way: attempts, retries in line, and how their outcome finds the run.
 *
 *   run in memory      done: RESULT, resume                     failed: the run decides (handler, park, dead letter)
 *   run has left       done: RESULT, the run is queued again    failed: the run is queued again, executes to this path and decides
 *
 * A run is in memory only to execute; a step that takes long costs its request and no more. */
#include <stdio.h>
#include "engine_int.h"
#include "points.h"

enum { STEP_CHUNK = 2560 /* a request fits, mostly: there are as many as runs wait */ };

/* ---- the table ------------------------------------------------------------------------------------------------------------------- */

eng_step *eng_step_find(engine *e, uint64_t run, const char *path) {
  for (eng_step *s = e->steps[eng_slot(run)]; s; s = s->next)
    if (s->run == run && !s->dropped && !strcmp(s->path, path)) return s;
  return NULL;
}

bool eng_steps_open(const engine *e, uint64_t run) {
  for (const eng_step *s = e->steps[eng_slot(run)]; s; s = s->next)
    if (s->run == run && !s->dropped && s->state < STEP_DONE) return true;
  return false;
}

bool eng_steps_wait(const engine *e, uint64_t run) {
  for (const eng_step *s = e->steps[eng_slot(run)]; s; s = s->next)
    if (s->run == run && !s->dropped && s->state >= STEP_DONE) return true;
  return false;
}

eng_step *eng_step_first(const eng_step *s) {
  eng_step *x = s->e->steps[eng_slot(s->run)];
  while (x->run != s->run || x->dropped) x = x->next;
  return x;
}

bool eng_steps_use(const engine *e, const eng_conn *c) {
  for (unsigned i = 0; i < ENG_HASH; i++)
    for (const eng_step *s = e->steps[i]; s; s = s->next)
      if (s->c == c) return true;
  return false;
}

bool eng_run_active(engine *e, uint64_t id) { return eng_run_find(e, id) || eng_steps_open(e, id); }

eng_step *eng_step_new(eng_run *r, vm_run *branch, eng_conn *c, uint8_t klass, const char *operation, const uint8_t hash[REC_HASH], const buf *packed) {
  engine *e = r->e;
  eng_step *s = (eng_step *)eng_get(e, sizeof *s);
  if (!s) return NULL;
  s->e = e, s->run = r->id, s->r = r, s->branch = branch, s->c = c, s->klass = klass;
  arena_init(&s->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  s->a.chunk_bytes = STEP_CHUNK;
  const char *path = branch->request.path;
  snprintf(s->operation, sizeof s->operation, "%s", operation);
  memcpy(s->hash, hash, REC_HASH);
  s->path = arena_dup(&s->a, path, strlen(path));
  s->workflow = arena_dup(&s->a, r->wf->name, strlen(r->wf->name));
  const char *copy = arena_dup(&s->a, packed->p, packed->len);
  uint8_t raw[REC_HASH];
  if (!s->path || !s->workflow || !copy || engine_unpack(e, &s->a, copy, packed->len, &s->request)) {
    arena_free(&s->a);
    eng_put(e, s, sizeof *s);
    return NULL;
  }
  eng_run_key(r, path, s->call.idem, raw);
  s->mark = arena_here(&s->a);
  s->next = e->steps[eng_slot(s->run)];
  e->steps[eng_slot(s->run)] = s;
  e->nsteps++;
  return s;
}

/* Its run waits to come back into memory: it does not keep others out any more, or the last place would wait for itself. */
static void back(eng_step *s) {
  s->e->nback += !s->back;
  s->back = true;
  eng_ready(s->e, s->run, false);
}

void eng_step_free(eng_step *s) {
  engine *e = s->e;
  e->nback -= s->back;
  s->back = false;
  io_timer_cancel(e->io, &s->timer);
  eng_cache_left(s);
  if (s->call.active) {
    eng_call_cancel(&s->call);
    eng_conn_steps(s->c, -1);
  }
  if (!s->dropped && !s->r) e->naway--;
  if (s->r && s->r->last_seq < s->seq) s->r->last_seq = s->seq;
  if (s->intent_due && !e->closing) {
    s->dropped = true;
    s->r = NULL;
    return;
  }
  eng_step **at = &e->steps[eng_slot(s->run)];
  while (*at != s) at = &(*at)->next;
  *at = s->next;
  e->nsteps--;
  arena_free(&s->a);
  eng_put(e, s, sizeof *s);
  if (!e->closing && (e->nready || e->rescan)) eng_sched(e);
}

void eng_steps_leave(eng_run *r) {
  for (eng_step *s = r->e->steps[eng_slot(r->id)]; s; s = s->next)
    if (s->r == r) {
      s->r = NULL, s->branch = NULL;
      r->e->naway++;
    }
}

/* Its run may come back before the state knows how it ended, and would do it again: until then it is here to be met. */
static void on_known(void *user) {
  eng_step *s = (eng_step *)user;
  engine *e = s->e;
  if (store_applied(e->store) < s->seq) {
    io_timer_set(e->io, &s->timer, 100000, on_known, s);
    return;
  }
  eng_step_free(s);
  eng_ended(e);
}

void eng_steps_drop(engine *e, uint64_t run, bool cancel) {
  for (eng_step *s = e->steps[eng_slot(run)], *next; s; s = next) {
    next = s->next;
    if (s->run != run || s->dropped || (s->state < STEP_DONE && !cancel)) continue;
    if (s->state >= STEP_DONE && s->timer.set && !cancel) continue; /* it is written, and waits to be known */
    if (s->state == STEP_FAILED) (void)eng_step_record(s, EFFECT_FAILED, true, NULL); /* how it ended is known, to whoever comes here again */
    if (s->unwritten) (void)eng_step_keep(s);
    if (cancel || store_applied(e->store) >= s->seq || HDW_BROKEN("step.early")) eng_step_free(s);
    else io_timer_set(e->io, &s->timer, 100000, on_known, s);
  }
}

/* ---- records ------------------------------------------------------------------------------------------------------------------------ */

hdw_status eng_step_record(eng_step *s, uint8_t state, bool failed, const buf *body) {
  rec_effect f = {.run = s->run, .path = cod_cstr(s->path), .operation = cod_cstr(s->operation), .state = state, .attempts = s->attempts};
  memcpy(f.request_hash, s->hash, REC_HASH);
  if (failed) f.fail_class = s->call.fail_class, f.error_code = cod_cstr(s->call.code), f.error_text = cod_cstr(s->call.message);
  cod_w w = eng_writer(s->e);
  hdw_status st = rec_put_effect(&w, &f);
  return st ? st : eng_append_rec(s->e, REC_RESULT, &w, body ? body->p : NULL, body ? body->len : 0, NULL, NULL, &s->seq);
}

/* ---- attempts ----------------------------------------------------------------------------------------------------------------------- */

static bool retryable(eng_step *s) {
  eng_call *c = &s->call;
  if (c->fail_class == FAIL_AMBIGUOUS) {
    s->unsure = true;
    if (c->once) return false;
    bool safe = s->klass != MOD_CLASS_UNSAFE && s->klass != MOD_CLASS_LOCAL;
    if (!safe && !strcmp(s->c->cfg->o.ambiguous, "stop")) return false;
    c->fail_class = FAIL_TRANSIENT; /* the same key again: at most the duplicate that was in flight */
  }
  return c->fail_class == FAIL_TRANSIENT;
}

/* What comes next is the run's to say. */
static void finally(eng_step *s) {
  eng_run *r = s->r;
  if (s->keep_us && eng_cache_stale(s)) return;
  s->state = STEP_FAILED;
  if (!r) back(s);
  else if (eng_step_failed(r, s)) eng_run_resume_soon(r);
}

static void on_retry(void *user) { eng_step_perform((eng_step *)user); }

static void failed(eng_step *s) {
  engine *e = s->e;
  eng_call *c = &s->call;
  if (retryable(s) && s->attempts <= s->c->retry_times && eng_retry_allowed(s->c)) {
    int64_t wait = eng_backoff(e, s->c->retry_from_us, s->c->retry_to_us, s->attempts - 1);
    if (wait < c->retry_after_us) wait = c->retry_after_us;
    io_timer_set(e->io, &s->timer, wait, on_retry, s);
    return;
  }
  finally(s);
}

void eng_step_missed(eng_step *s) {
  engine *e = s->e;
  failed(s);
  eng_ended(e);
}

hdw_status eng_step_keep(eng_step *s) {
  buf b = {.p = (char *)s->result, .len = s->result_len};
  hdw_status st = eng_step_record(s, EFFECT_DONE, false, &b);
  s->unwritten = st != HDW_OK;
  return st;
}

void eng_step_answered(eng_step *s) {
  engine *e = s->e;
  eng_run *r = s->r;
  s->state = STEP_DONE;
  if (eng_step_keep(s) && r) eng_run_abandon(r); /* it cannot be written now: it is here to be met */
  else if (!r) back(s);
  else {
    bool alive = eng_step_resume(r, s->branch, s->result, s->result_len);
    eng_step_free(s);
    if (alive) eng_run_go(r);
  }
  eng_ended(e);
}

static void performed(eng_call *call, void *user) {
  eng_step *s = (eng_step *)user;
  engine *e = s->e;
  eng_conn_steps(s->c, -1);
  if (call->held) { /* it was taken away while the attempt waited for its turn */
    s->attempts--;
    eng_cache_left(s);
    eng_step_perform(s);
    eng_ended(e);
    return;
  }
  if (!call->ok) {
    eng_cache_failed(s);
    failed(s);
    eng_ended(e);
    return;
  }
  s->c->steps_done++;
  buf b;
  pack_hl7 h = eng_pack_hooks(e);
  val result;
  buf_init(&b, &s->a, (size_t)e->o.config->top.run_memory_bytes);
  hdw_status st = val_norm(&s->a, call->result, &result);
  if (!st) st = pack_val(&b, result, &h);
  if (st) { /* it took place, but the run cannot have what came back */
    if (st == HDW_E_NOMEM) eng_call_unkept(call);
    else eng_call_fail(call, FAIL_PERMANENT, 0, hdw_status_name(st), "%s", hdw_status_text(st));
    eng_cache_failed(s);
    if (call->fail_class == FAIL_PERMANENT) finally(s);
    else failed(s);
    eng_ended(e);
    return;
  }
  s->result = b.p, s->result_len = b.len;
  eng_cache_answered(s, b.p, b.len);
  eng_step_answered(s);
}

void eng_step_perform(eng_step *s) {
  engine *e = s->e;
  eng_call *c = &s->call;
  char idem[ENG_HEX + 1];
  memcpy(idem, c->idem, sizeof idem);
  arena_release(&s->a, s->mark);
  s->state = STEP_TRIES;
  *c = (eng_call){.e = e, .c = s->c, .a = &s->a, .request = s->request, .workflow = s->workflow, .run = s->run, .path = s->path, .writes = s->klass != MOD_CLASS_READ, .done = performed, .user = s};
  memcpy(c->idem, idem, sizeof idem);
  if (s->keep_us && eng_cache_takes(s)) return;
  int64_t wait;
  if (eng_conn_hold_step(s->c, s->klass != MOD_CLASS_READ, &wait) != HOLD_NONE) {
    c->held = true;
    eng_cache_left(s);
    finally(s);
    return;
  }
  c->attempt = ++s->attempts;
  const char *dot = strchr(s->operation, '.');
  snprintf(c->op, sizeof c->op, "%.47s", dot ? dot + 1 : s->operation);
  eng_conn_steps(s->c, 1);
  e->st.steps++;
  eng_call_start(c);
}
