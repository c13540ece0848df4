/* engine_step.c - what happens at an effect of a run (SEMANTICS 4, 5).
 *
 *   AWAIT(path, operation, request)
 *     recorded?   same operation and hash: resume with the record. Another: the run has diverged and stops
 *     send        DELIVERY record, goes on
 *     read        perform, RESULT (rides with the next barrier), resume
 *     else        INTENT --synced--> perform, RESULT, resume
 *   failure       transient: again in line, by the connection's retry(...); then the handler, if there is one, is recorded and gets the error;
 *                 without one the run parks (transient) or dies (permanent, data, ambiguous under `stop`) */
#include <stdio.h>
#include "engine_int.h"

static const char *class_name(uint8_t c) {
  static const char *const names[] = {"none", "transient", "permanent", "data", "ambiguous"};
  return names[c <= FAIL_AMBIGUOUS ? c : 0];
}

static cod_str str(const char *s) { return cod_cstr(s); }

/* ---- the request ---------------------------------------------------------------------------------------------------------------- */

/* Arguments as one object: names of ARGN, numbers for those without. Arguments that were not given are left out. */
static hdw_status make_request(eng_run *r, const vm_request *q) {
  const mod_effect *f = q->effect;
  eng_step *s = &r->step;
  val *kv = (val *)arena_alloc(&r->a, (size_t)f->nargs * 2 * sizeof *kv + 1);
  uint32_t n = 0;
  if (!kv) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < f->nargs; i++) {
    if (q->args[i].tag == VAL_EMPTY) continue;
    uint32_t k = f->argn + i < r->app->m.nargn ? r->app->m.argn[f->argn + i] : MOD_NO_INDEX, len = 0;
    char number[12];
    const char *name = k == MOD_NO_INDEX ? NULL : mod_text(&r->app->m, k, &len);
    if (!name) {
      len = (uint32_t)snprintf(number, sizeof number, "%u", i);
      name = arena_dup(&r->a, number, len);
      if (!name) return HDW_E_NOMEM;
    }
    kv[2 * n] = val_key(name, len);
    kv[2 * n + 1] = q->args[i];
    n++;
  }
  s->request = (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
  s->effect = f;
  uint32_t ol = 0;
  const char *op = mod_text(&r->app->m, f->op, &ol);
  snprintf(s->operation, sizeof s->operation, "%.*s", (int)ol, op);
  s->c = NULL;
  if (f->conn != MOD_NO_INDEX) {
    uint32_t cl = 0;
    const char *c = mod_text(&r->app->m, f->conn, &cl);
    s->c = eng_conn_find(r->e, c, cl);
    if (!s->c) return HDW_E_NOTFOUND;
  }
  return HDW_OK;
}

/* Packs the request and hashes operation, connection and request. */
static hdw_status hash_request(eng_run *r, buf *packed) {
  eng_step *s = &r->step;
  pack_hl7 h = eng_pack_hooks(r->e);
  char head[256];
  int n = snprintf(head, sizeof head, "%s\n%s\n", s->operation, s->c ? s->c->name : "");
  hdw_status st = pack_val(packed, s->request, &h);
  if (!st) cod_sha256(head, n > 0 && n < (int)sizeof head ? (size_t)n : 0, packed->p, packed->len, s->hash);
  return st;
}

/* ---- records ------------------------------------------------------------------------------------------------------------------------ */

static hdw_status record_effect(eng_run *r, uint8_t type, uint8_t state, const eng_call *failed, const buf *body, eng_durable fn, void *user) {
  eng_step *s = &r->step;
  rec_effect f = {.run = r->id, .path = str(r->vm.request.path), .operation = str(s->operation), .state = state, .attempts = s->attempts};
  memcpy(f.request_hash, s->hash, REC_HASH);
  if (failed) f.fail_class = failed->fail_class, f.error_code = str(failed->code), f.error_text = str(failed->message);
  cod_w w = eng_writer(r->e);
  hdw_status st = rec_put_effect(&w, &f);
  return st ? st : eng_append_rec(r->e, type, &w, body ? body->p : NULL, body ? body->len : 0, fn, user, NULL);
}

/* ---- outcome ---------------------------------------------------------------------------------------------------------------------------- */

static val key_of(const char *name) { return val_key(name, strlen(name)); }

/* {status, class, code, path, message}: what `error` is in a handler. */
static hdw_status error_value(eng_run *r, const eng_call *c, val *out) {
  val *kv = (val *)arena_alloc(&r->a, 10 * sizeof *kv);
  const char *code = arena_dup(&r->a, c->code, strlen(c->code)), *msg = arena_dup(&r->a, c->message, strlen(c->message));
  const char *path = arena_dup(&r->a, r->vm.request.path, strlen(r->vm.request.path));
  if (!kv || !code || !msg || !path) return HDW_E_NOMEM;
  kv[0] = key_of("status"), kv[1] = c->status ? val_int(c->status) : VAL_NONE;
  kv[2] = key_of("class"), kv[3] = val_cstr(class_name(c->fail_class));
  kv[4] = key_of("code"), kv[5] = val_cstr(code);
  kv[6] = key_of("path"), kv[7] = val_cstr(path);
  kv[8] = key_of("message"), kv[9] = val_cstr(msg);
  *out = (val){.tag = VAL_OBJ, .len = 5, .u.v = kv};
  return HDW_OK;
}

static void step_performed(eng_call *call, void *user);

static void perform(eng_run *r) {
  eng_step *s = &r->step;
  int64_t wait;
  eng_hold hold = eng_conn_hold(s->c, s->effect->klass != MOD_CLASS_READ, &wait);
  if (hold != HOLD_NONE) { /* no attempt: the run comes back when the connection does */
    char text[ENG_TEXT];
    snprintf(text, sizeof text, "%.80s: %s", s->c->name, eng_hold_text(hold));
    eng_run_hold(r, s->c, wait, text, r->vm.request.path);
    return;
  }
  eng_call *c = &s->call;
  uint8_t raw[REC_HASH];
  *c = (eng_call){.e = r->e, .c = s->c, .a = &r->a, .request = s->request, .workflow = r->wf->name, .run = r->id, .path = r->vm.request.path,
                  .attempt = ++s->attempts, .writes = s->effect->klass != MOD_CLASS_READ, .done = step_performed, .user = r};
  const char *dot = strchr(s->operation, '.');
  snprintf(c->op, sizeof c->op, "%.47s", dot ? dot + 1 : s->operation);
  eng_idem(r->identity, r->wf->name, r->vm.request.path, c->idem, raw);
  s->c->steps++;
  r->e->st.steps++;
  eng_call_start(c);
}

static void on_retry(void *user) { perform((eng_run *)user); }

static bool retryable(const eng_run *r, eng_call *c) {
  if (c->fail_class == FAIL_AMBIGUOUS) {
    bool safe = r->step.effect->klass != MOD_CLASS_UNSAFE && r->step.effect->klass != MOD_CLASS_LOCAL;
    if (!safe && !strcmp(r->step.c->cfg->o.ambiguous, "stop")) return false;
    c->fail_class = FAIL_TRANSIENT; /* the same key again: at most the duplicate that was in flight */
  }
  return c->fail_class == FAIL_TRANSIENT;
}

static void step_failed(eng_run *r) {
  eng_step *s = &r->step;
  eng_call *c = &s->call;
  bool again = retryable(r, c);
  if (again && s->attempts <= s->c->retry_times) {
    int64_t wait = eng_backoff(r->e, s->c->retry_from_us, s->c->retry_to_us, s->attempts - 1);
    if (wait < c->retry_after_us) wait = c->retry_after_us;
    io_timer_set(r->e->io, &s->timer, wait, on_retry, r);
    return;
  }
  s->open = false;
  val err;
  if (!error_value(r, c, &err) && vm_resume_error(&r->vm, err)) {
    buf b;
    pack_hl7 h = eng_pack_hooks(r->e);
    buf_init(&b, &r->a, 65536);
    if (pack_val(&b, err, &h) || record_effect(r, REC_RESULT, EFFECT_FAILED, c, &b, NULL, NULL)) {
      eng_run_abandon(r);
      return;
    }
    eng_run_go(r);
    return;
  }
  char reason[ENG_TEXT + ENG_CODE + 4];
  snprintf(reason, sizeof reason, "%s: %s", c->code, c->message);
  int64_t wait;
  eng_hold hold = eng_conn_hold(s->c, s->effect->klass != MOD_CLASS_READ, &wait);
  if (again && hold != HOLD_NONE) eng_run_hold(r, s->c, wait, reason, r->vm.request.path);
  else if (again) eng_run_park(r, FAIL_TRANSIENT, c->retry_after_us, reason, r->vm.request.path);
  else {
    (void)record_effect(r, REC_RESULT, EFFECT_FAILED, c, NULL, NULL, NULL);
    eng_run_end(r, RUN_DEAD, c->fail_class, c->code, c->message, r->vm.request.path);
  }
}

static void step_performed(eng_call *call, void *user) {
  eng_run *r = (eng_run *)user;
  eng_step *s = &r->step;
  s->c->steps--;
  if (call->held) { /* it was taken away while the attempt waited for its turn */
    s->attempts--;
    perform(r);
    eng_ended(r->e);
    return;
  }
  if (!call->ok) {
    step_failed(r);
    eng_ended(r->e);
    return;
  }
  buf b;
  pack_hl7 h = eng_pack_hooks(r->e);
  val result;
  buf_init(&b, &r->a, (size_t)r->e->o.config->top.run_memory_bytes);
  s->open = false;
  hdw_status st = val_norm(&r->a, call->result, &result);
  if (!st) st = pack_val(&b, result, &h);
  if (!st) st = record_effect(r, REC_RESULT, EFFECT_DONE, NULL, &b, NULL, NULL);
  if (st == HDW_E_NOMEM) eng_run_end(r, RUN_DEAD, FAIL_PERMANENT, "HDW_E_NOMEM", "the result is larger than the run's memory", r->vm.request.path);
  else if (st) eng_run_abandon(r);
  else {
    vm_resume(&r->vm, result);
    eng_run_go(r);
  }
}

/* The intent is durable: the effect may leave. */
static void on_intent(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_run *r = eng_run_find(e, (uint64_t)(uintptr_t)user);
  (void)rec;
  if (r && !s && r->step.open) perform(r);
}

/* ---- replay ------------------------------------------------------------------------------------------------------------------------------- */

static void diverged(eng_run *r) {
  eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(HDW_E_DIVERGED), "the run took another path than its record: nothing was performed", r->vm.request.path);
}

typedef enum recalled { RECALL_NONE, RECALL_RESUMED, RECALL_STOPPED } recalled;

static recalled recall(eng_run *r) {
  engine *e = r->e;
  eng_step *s = &r->step;
  store_effect f;
  if (store_get_effect(e->store, ENG_PART, r->id, str(r->vm.request.path), &r->a, &f)) {
    r->replay = false; /* beyond the record */
    return RECALL_NONE;
  }
  if (memcmp(f.request_hash, s->hash, REC_HASH) || !cod_equal(f.operation, str(s->operation))) {
    diverged(r);
    return RECALL_STOPPED;
  }
  s->attempts = f.attempts;
  bool parked_here = !strcmp(r->parked_path, r->vm.request.path);
  if (f.state == EFFECT_INTENT || parked_here || (f.state == EFFECT_FAILED && !f.result_pos.seg)) {
    /* Not finished, or it failed and the run comes back for another try. Attempts of an earlier life do not count against the in-line retries. */
    bool unsafe = s->effect->klass == MOD_CLASS_UNSAFE && f.state == EFFECT_INTENT && !(parked_here && r->known);
    s->attempts = 0;
    r->replay = false;
    if (unsafe && !strcmp(s->c->cfg->o.ambiguous, "stop")) {
      eng_run_end(r, RUN_DEAD, FAIL_AMBIGUOUS, "ambiguous", "it is unknown whether the effect took place before the restart", r->vm.request.path);
      return RECALL_STOPPED;
    }
    return RECALL_NONE;
  }
  log_rec rec;
  val v;
  if (log_read(e->log, f.result_pos, &r->a, &rec) || engine_unpack(e, &r->a, rec.body, rec.body_len, &v)) {
    eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(HDW_E_CORRUPT), "a recorded result cannot be read", r->vm.request.path);
    return RECALL_STOPPED;
  }
  if (f.state == EFFECT_DONE) vm_resume(&r->vm, v);
  else if (!vm_resume_error(&r->vm, v)) {
    diverged(r);
    return RECALL_STOPPED;
  }
  return RECALL_RESUMED;
}

/* ---- send and log --------------------------------------------------------------------------------------------------------------------------- */

static void on_delivery(engine *e, hdw_status s, const log_rec *rec, void *user) {
  (void)rec;
  if (!s) eng_out_new(e, (eng_conn *)user);
}

static bool send(eng_run *r, const buf *packed) {
  eng_step *s = &r->step;
  for (eng_recorded *k = r->sent; k; k = k->next)
    if (!strcmp(k->path, r->vm.request.path)) {
      if (memcmp(k->request_hash, s->hash, REC_HASH)) {
        diverged(r);
        return false;
      }
      vm_resume(&r->vm, VAL_NONE);
      return true;
    }
  char idem[ENG_HEX + 1];
  rec_delivery d = {.run = r->id, .path = str(r->vm.request.path), .sink = str(s->c->name), .operation = str(s->operation)};
  if (r->row.nlanes) memcpy(d.lane, r->row.lanes[0], REC_LANE);
  memcpy(d.request_hash, s->hash, REC_HASH);
  eng_idem(r->identity, r->wf->name, r->vm.request.path, idem, d.idempotency);
  cod_w w = eng_writer(r->e);
  hdw_status st = rec_put_delivery(&w, &d);
  if (!st) st = eng_append_rec(r->e, REC_DELIVERY, &w, packed->p, packed->len, on_delivery, s->c, NULL);
  if (st) {
    eng_run_abandon(r);
    return false;
  }
  r->e->st.deliveries++;
  vm_resume(&r->vm, VAL_NONE);
  return true;
}

/* sys.log: a line of the daemon's log. During replay it was written before. */
static void write_log(eng_run *r) {
  const val req = r->step.request;
  char id[24], text[512] = "", where[200];
  val s;
  snprintf(id, sizeof id, "%llu", (unsigned long long)r->id);
  for (uint32_t i = 0; i < req.len; i++) {
    val v = req.u.v[2 * i + 1];
    if (v.tag == VAL_TPL) {
      const char *t = eng_arg_text(&r->a, v, NULL);
      s = t ? val_cstr(t) : VAL_NONE;
    } else if (val_to_str(&r->a, v, &s)) continue;
    size_t at = strlen(text);
    int n = (int)(s.len > 400 ? 400 : s.len);
    if (s.tag != VAL_STR) continue;
    if (i == 0) snprintf(text, sizeof text, "%.*s", n, s.u.s);
    else snprintf(text + at, sizeof text - at, " %.*s=%.*s", (int)req.u.v[2 * i].len, req.u.v[2 * i].u.s, n, s.u.s);
  }
  mod_debug d;
  where[0] = 0;
  if (r->vm.nframes && mod_where(&r->app->m, r->vm.frames[r->vm.nframes - 1].pc - 1, &d)) engine_where(r->e, r->app->m.id, d.file, d.line, d.col, where);
  eng_say(r->e, ENGINE_INFO, "log", "workflow", r->wf->name, "run", id, "message", text, "at", where, NULL);
}

bool eng_step_await(eng_run *r) {
  engine *e = r->e;
  eng_step *s = &r->step;
  const vm_request *q = &r->vm.request;
  s->open = false, s->attempts = 0;
  if (++r->steps > e->o.config->top.max_steps) {
    eng_run_end(r, RUN_DEAD, FAIL_PERMANENT, "HDW_E_LIMIT", "the run has more steps than max_steps allows", q->path);
    return false;
  }
  hdw_status st = make_request(r, q);
  if (st) {
    eng_run_end(r, RUN_DEAD, FAIL_PERMANENT, hdw_status_name(st), st == HDW_E_NOTFOUND ? "the connection is not configured" : hdw_status_text(st), q->path);
    return false;
  }
  if (!s->c) {
    if (!r->replay) write_log(r);
    vm_resume(&r->vm, VAL_NONE);
    return true;
  }
  buf packed;
  buf_init(&packed, &r->a, (size_t)e->o.config->top.run_memory_bytes);
  st = hash_request(r, &packed);
  if (st) {
    eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(st), "the request cannot be recorded", q->path);
    return false;
  }
  if (s->effect->flags & MOD_EFFECT_SEND) return send(r, &packed);
  if (r->replay) {
    recalled how = recall(r);
    if (how != RECALL_NONE) return how == RECALL_RESUMED;
  }
  s->open = true;
  if (s->effect->klass == MOD_CLASS_READ) {
    perform(r);
    return false;
  }
  /* By id, not by pointer: the run may leave memory before its intent is durable. */
  st = record_effect(r, REC_INTENT, EFFECT_INTENT, NULL, &packed, on_intent, (void *)(uintptr_t)r->id);
  if (st) eng_run_abandon(r);
  return false;
}
