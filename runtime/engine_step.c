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
#include "points.h"
#include "watch.h"

static const char *class_name(uint8_t c) {
  static const char *const names[] = {"none", "transient", "permanent", "data", "ambiguous"};
  return names[c <= FAIL_AMBIGUOUS ? c : 0];
}

static cod_str str(const char *s) { return cod_cstr(s); }

/* ---- the request ---------------------------------------------------------------------------------------------------------------- */

typedef eng_ask ask;

/* Arguments as one object: names of ARGN, numbers for those without. Arguments that were not given are left out. */
static hdw_status make_request(eng_run *r, ask *x) {
  const vm_request *q = x->q;
  const mod_effect *f = x->effect = q->effect;
  val *kv = (val *)arena_alloc(&r->a, (size_t)f->nargs * 2 * sizeof *kv + 1);
  uint32_t n = 0;
  if (!kv) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < f->nargs; i++) {
    if (q->args[i].tag == VAL_EMPTY) continue;
    uint32_t k = f->argn + i < r->app->m.nargn ? r->app->m.argn[f->argn + i] : MOD_NO_INDEX, len = 0;
    char number[12];
    const char *name = k == MOD_NO_INDEX ? NULL : mod_text(&r->app->m, k, &len);
    if (name && name[0] == '$') { /* not the call's: whoever changes it asks for the same */
      int64_t us = q->args[i].tag == VAL_LONG || q->args[i].tag == VAL_INT ? q->args[i].u.i : 0;
      us = us > 0 && us < INT64_MAX / 4000 ? us * 1000 : 0;
      if (len == 4 && !memcmp(name, "$for", 4)) x->keep_us = us;
      if (len == 6 && !memcmp(name, "$stale", 6)) x->stale_us = us;
      continue;
    }
    if (!name) {
      len = (uint32_t)snprintf(number, sizeof number, "%u", i);
      name = arena_dup(&r->a, number, len);
      if (!name) return HDW_E_NOMEM;
    }
    kv[2 * n] = val_key(name, len);
    kv[2 * n + 1] = q->args[i];
    n++;
  }
  x->request = (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
  uint32_t ol = 0;
  const char *op = mod_text(&r->app->m, f->op, &ol);
  snprintf(x->operation, sizeof x->operation, "%.*s", (int)ol, op);
  x->klass = HDW_BROKEN("step.class") ? f->klass : eng_class_of(x->operation, x->request);
  return HDW_OK;
}

/* c stays NULL for sys operations. */
static hdw_status find_connection(eng_run *r, ask *x) {
  if (x->effect->conn == MOD_NO_INDEX) return HDW_OK;
  uint32_t len = 0;
  const char *name = mod_text(&r->app->m, x->effect->conn, &len);
  return eng_conn_look(r->e, name, len, &x->c);
}

/* Packs the request and hashes operation, connection and request. */
static hdw_status hash_request(eng_run *r, ask *x) {
  pack_hl7 h = eng_pack_hooks(r->e);
  char head[256];
  buf_init(&x->packed, &r->a, (size_t)r->e->o.config->top.run_memory_bytes);
  uint32_t cl = 0;
  const char *conn = mod_text(&r->app->m, x->effect->conn, &cl); /* the name in the program: the connection may have another by now */
  int n = snprintf(head, sizeof head, "%s\n%.*s\n", x->operation, (int)cl, conn);
  hdw_status st = pack_val(&x->packed, x->request, &h);
  if (!st) cod_sha256(head, n > 0 && n < (int)sizeof head ? (size_t)n : 0, x->packed.p, x->packed.len, x->hash);
  return st;
}

hdw_status eng_step_request(eng_run *r, eng_ask *x) {
  *x = (eng_ask){.branch = r->vm.request.branch, .q = &r->vm.request.branch->request};
  hdw_status s = make_request(r, x);
  if (!s) s = find_connection(r, x);
  return s || !x->c ? s : hash_request(r, x);
}

hdw_status eng_step_describe(eng_run *r, eng_ask *x) {
  *x = (eng_ask){.branch = r->vm.request.branch, .q = &r->vm.request.branch->request};
  hdw_status s = make_request(r, x);
  return s || x->effect->conn == MOD_NO_INDEX ? s : hash_request(r, x);
}

/* ---- outcome ---------------------------------------------------------------------------------------------------------------------------- */

static val key_of(const char *name) { return val_key(name, strlen(name)); }

/* {status, class, code, path, message}: what `error` is in a handler. */
static hdw_status error_value(eng_run *r, const eng_step *s, val *out) {
  const eng_call *c = &s->call;
  val *kv = (val *)arena_alloc(&r->a, 10 * sizeof *kv);
  const char *code = arena_dup(&r->a, c->code, strlen(c->code)), *msg = arena_dup(&r->a, c->message, strlen(c->message));
  const char *path = arena_dup(&r->a, s->path, strlen(s->path));
  if (!kv || !code || !msg || !path) return HDW_E_NOMEM;
  kv[0] = key_of("status"), kv[1] = c->status ? val_int(c->status) : VAL_NONE;
  kv[2] = key_of("class"), kv[3] = val_cstr(class_name(c->fail_class));
  kv[4] = key_of("code"), kv[5] = val_cstr(code);
  kv[6] = key_of("path"), kv[7] = val_cstr(path);
  kv[8] = key_of("message"), kv[9] = val_cstr(msg);
  *out = (val){.tag = VAL_OBJ, .len = 5, .u.v = kv};
  return HDW_OK;
}

bool eng_step_resume(eng_run *r, vm_run *branch, const void *p, size_t len) {
  val v;
  const char *copy = arena_dup(&r->a, p, len); /* strings of the value point into it */
  hdw_status st = copy ? engine_unpack(r->e, &r->a, copy, len, &v) : HDW_E_NOMEM;
  if (!st) {
    vm_resume_branch(branch, branch->parent && HDW_BROKEN("branch.empty") ? VAL_NONE : v);
    return true;
  }
  if (st == HDW_E_NOMEM) eng_run_unread(r, st, branch->request.path);
  else eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(st), "the result cannot be read", branch->request.path);
  return false;
}

/* The run ends or is parked, and the step is over. Where that cannot be written down the run comes again, and meets what is known of the step. */
static void over(engine *e, uint64_t run, eng_step *s) {
  const eng_run *r = eng_run_find(e, run);
  if (r && r->ending) eng_step_free(s);
}

/* No attempt was made: the run comes back when the connection does, whatever handlers it has. */
static bool held(eng_run *r, eng_step *s) {
  int64_t wait;
  eng_conn *c = s->c;
  eng_hold hold = eng_conn_hold_step(c, s->klass != MOD_CLASS_READ, &wait);
  if (hold == HOLD_NONE) { /* it has come back already */
    engine *e = r->e;
    uint64_t id = r->id;
    eng_step_perform(s);
    return eng_run_find(e, id) == r && !r->ending;
  }
  char text[ENG_TEXT], path[REC_PATH_MAX];
  snprintf(text, sizeof text, "%.80s: %s", c->name, eng_hold_text(hold));
  snprintf(path, sizeof path, "%s", s->path);
  r->tried = c, r->tries = s->attempts;
  if (s->unsure) snprintf(r->unsure, sizeof r->unsure, "%s", path);
  engine *e = r->e;
  uint64_t id = r->id;
  eng_run_hold(r, c, wait, text, path);
  over(e, id, s);
  return false;
}

/* Ends or parks the run. */
static void stop(eng_run *r, eng_step *s) {
  eng_call *c = &s->call;
  eng_conn *conn = s->c;
  bool again = c->fail_class == FAIL_TRANSIENT, writes = s->klass != MOD_CLASS_READ;
  char reason[ENG_TEXT + ENG_CODE + 4], code[ENG_CODE], text[ENG_TEXT], path[REC_PATH_MAX];
  snprintf(reason, sizeof reason, "%s: %s", c->code, c->message);
  snprintf(code, sizeof code, "%s", c->code), snprintf(text, sizeof text, "%s", c->message), snprintf(path, sizeof path, "%s", s->path);
  uint8_t klass = c->fail_class;
  int64_t after = c->retry_after_us, wait;
  r->tried = conn, r->tries = s->attempts;
  if (s->unsure) snprintf(r->unsure, sizeof r->unsure, "%s", path);
  if (!again) (void)eng_step_record(s, EFFECT_FAILED, true, NULL);
  engine *e = r->e;
  uint64_t id = r->id;
  eng_hold hold = again ? eng_conn_hold(conn, writes, &wait) : HOLD_NONE;
  if (hold != HOLD_NONE) eng_run_hold(r, conn, wait, reason, path);
  else if (again) eng_run_park(r, FAIL_TRANSIENT, eng_retry_after(conn, after), reason, path);
  else eng_run_end(r, RUN_DEAD, klass, code, text, path);
  over(e, id, s);
}

bool eng_step_failed(eng_run *r, eng_step *s) {
  vm_run *branch = s->branch;
  eng_call *c = &s->call;
  if (c->held) return held(r, s);
  bool again = c->fail_class == FAIL_TRANSIENT, handled = vm_handles(branch);
  val err = VAL_NONE;
  hdw_status st = handled || branch->parent ? error_value(r, s, &err) : HDW_OK;
  if (!(handled || branch->parent) || (st && r->a.over_limit)) {
    stop(r, s);
    return false;
  }
  /* With a handler the failure is a result like others. A branch without one fails, the others go on, and the run decides when all have ended. */
  buf b;
  pack_hl7 h = eng_pack_hooks(r->e);
  buf_init(&b, &r->a, 65536);
  if (!st && handled) st = pack_val(&b, err, &h);
  if (!handled && c->retry_after_us > r->retry_after_us) r->retry_after_us = c->retry_after_us;
  if (!st && (handled || !again)) st = eng_step_record(s, EFFECT_FAILED, true, handled ? &b : NULL);
  if (st) { /* it is met again */
    eng_run_abandon(r);
    return false;
  }
  if (s->unsure) snprintf(r->unsure, sizeof r->unsure, "%s", s->path); /* a handler may say retry */
  eng_step_free(s);
  if (vm_throw(branch, err)) return true;
  eng_run_abandon(r);
  return false;
}

/* The intent is durable: the effect may leave. */
static void on_intent(engine *e, hdw_status st, const log_rec *rec, void *user) {
  eng_step *s = (eng_step *)user;
  (void)rec, (void)e;
  s->intent_due = false;
  if (s->dropped) eng_step_free(s);
  else if (!st) eng_step_perform(s);
}

/* ---- replay ------------------------------------------------------------------------------------------------------------------------------- */

static void diverged(eng_run *r, const char *path) {
  eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(HDW_E_DIVERGED), "the run took another path than its record: nothing was performed", path);
}

typedef enum recalled { RECALL_NONE, RECALL_RESUMED, RECALL_STOPPED } recalled;

static bool same(const ask *x, const uint8_t hash[REC_HASH], cod_str operation) { return !memcmp(hash, x->hash, REC_HASH) && cod_equal(operation, str(x->operation)); }

/* The step of an earlier time in memory, still under way or ended since. */
static recalled meet(eng_run *r, const ask *x) {
  eng_step *s = eng_step_find(r->e, r->id, x->q->path);
  if (!s) return RECALL_NONE;
  if (!same(x, s->hash, str(s->operation))) {
    diverged(r, x->q->path);
    return RECALL_STOPPED;
  }
  if (!s->r) r->e->naway--;
  if (s->state >= STEP_DONE) io_timer_cancel(r->e->io, &s->timer);
  r->e->nback -= s->back, s->back = false;
  s->r = r, s->branch = x->branch;
  if (s->state == STEP_FAILED) return eng_step_failed(r, s) ? RECALL_RESUMED : RECALL_STOPPED;
  if (s->state != STEP_DONE) return RECALL_RESUMED; /* it waits, as before */
  if (s->unwritten && eng_step_keep(s)) {
    eng_run_abandon(r);
    return RECALL_STOPPED;
  }
  bool alive = eng_step_resume(r, x->branch, s->result, s->result_len);
  eng_step_free(s);
  return alive ? RECALL_RESUMED : RECALL_STOPPED;
}

/* It is not known whether the effect took place, and it is certain that it would now go elsewhere. */
static bool has_moved(const ask *x, const store_effect *f) {
  return x->klass != MOD_CLASS_READ && f->address.len == REC_LANE && memcmp(f->address.p, x->c->address, REC_LANE);
}

static recalled recall(eng_run *r, ask *x) {
  engine *e = r->e;
  const char *path = x->q->path;
  store_effect f;
  hdw_status st = HDW_BROKEN("step.again") ? HDW_E_NOTFOUND : store_get_effect(e->store, ENG_PART, r->id, str(path), &r->a, &f);
  if (st == HDW_E_NOTFOUND || (st && HDW_BROKEN("unread.again"))) {
    r->beyond = true;
    return RECALL_NONE;
  }
  if (st) {
    eng_run_unread(r, st, path);
    return RECALL_STOPPED;
  }
  if (!same(x, f.request_hash, f.operation)) {
    diverged(r, path);
    return RECALL_STOPPED;
  }
  /* Failed when the run was parked, or ended and was sent back: that record is over. One made since is not; while the clock, which was set back, stands still for
   * the log, both have the same time, and the later one counts. */
  bool parked_here = !strcmp(r->parked_path, path) && f.state != EFFECT_DONE && (r->known || f.time_us < r->row.changed_us);
  if (f.state == EFFECT_INTENT || parked_here || (f.state == EFFECT_FAILED && !f.result_pos.seg)) {
    /* Not finished, or it failed and the run comes back for another try. Attempts of an earlier life do not count against the in-line retries. */
    bool unsafe = x->klass == MOD_CLASS_UNSAFE && f.state == EFFECT_INTENT && !(parked_here && r->known);
    x->unsure = (f.state == EFFECT_INTENT && !(parked_here && r->known)) || (parked_here && r->row.fail_class == FAIL_AMBIGUOUS);
    r->beyond = true;
    if (x->unsure && has_moved(x, &f)) {
      eng_run_end(r, RUN_DEAD, FAIL_AMBIGUOUS, "ambiguous", eng_moved_text(), path);
      return RECALL_STOPPED;
    }
    if (unsafe && (x->c->careful || !strcmp(x->c->cfg->o.ambiguous, "stop"))) {
      eng_run_end(r, RUN_DEAD, FAIL_AMBIGUOUS, "ambiguous", "it is unknown whether the effect took place before the restart", path);
      return RECALL_STOPPED;
    }
    if (parked_here) r->parked_path[0] = 0; /* once */
    return RECALL_NONE;
  }
  log_rec rec;
  st = eng_read(e, f.result_pos, &r->a, &rec);
  if (st == HDW_E_IO || st == HDW_E_NOMEM) {
    eng_run_unread(r, st, path);
    return RECALL_STOPPED;
  }
  if (st) {
    eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(st), "a recorded result cannot be read", path);
    return RECALL_STOPPED;
  }
  if (f.state == EFFECT_DONE) return eng_step_resume(r, x->branch, rec.body, rec.body_len) ? RECALL_RESUMED : RECALL_STOPPED;
  val v;
  const char *copy = arena_dup(&r->a, rec.body, rec.body_len);
  if (!copy || engine_unpack(e, &r->a, copy, rec.body_len, &v) || !vm_handles(x->branch) || !vm_throw(x->branch, v)) {
    diverged(r, path);
    return RECALL_STOPPED;
  }
  return RECALL_RESUMED;
}

/* ---- send and log --------------------------------------------------------------------------------------------------------------------------- */

static void on_delivery(engine *e, hdw_status s, const log_rec *rec, void *user) {
  (void)rec;
  if (!s) eng_out_new(e, (eng_conn *)user);
}

/* What the run before has done with the same request becomes this run's, too. */
static hdw_status take_over(eng_run *r, const ask *x, const void *p, size_t len) {
  rec_effect f = {.run = r->id, .path = str(x->q->path), .operation = str(x->operation), .state = EFFECT_DONE};
  memcpy(f.request_hash, x->hash, REC_HASH);
  cod_w w = eng_writer(r->e);
  hdw_status st = rec_put_effect(&w, &f);
  return st ? st : eng_append_rec(r->e, REC_RESULT, &w, p, len, NULL, NULL, NULL);
}

typedef enum taken { TAKEN_NO, TAKEN_OVER, TAKEN_STOPPED /* the run has left memory */ } taken;
static taken send_taken(eng_run *r, const ask *x) {
  store_effect own;
  uint64_t old;
  eng_redo how;
  if (!r->row.of_run) return TAKEN_NO;
  hdw_status s = store_get_effect(r->e->store, ENG_PART, r->id, str(x->q->path), &r->a, &own);
  if (!s) return TAKEN_OVER; /* as this run found before a restart */
  if (s == HDW_E_NOTFOUND) s = eng_redo_send(r, x, &how, &old);
  if (s) {
    eng_run_unread(r, s, x->q->path);
    return TAKEN_STOPPED;
  }
  if (how == REDO_REPLACE) s = engine_discard(r->e, SUBJECT_DELIVERY, old, "reprocess", "reprocessed", NULL, NULL);
  if (s && s != HDW_E_INVALID && s != HDW_E_NOTFOUND) { /* it would be delivered beside the new one */
    eng_run_unread(r, s, x->q->path);
    return TAKEN_STOPPED;
  }
  if (how != REDO_TAKE) return TAKEN_NO;
  if (!take_over(r, x, NULL, 0)) return TAKEN_OVER;
  eng_run_abandon(r);
  return TAKEN_STOPPED;
}

static bool send(eng_run *r, const ask *s) {
  for (eng_recorded *k = r->sent; k; k = k->next)
    if (!strcmp(k->path, s->q->path)) {
      if (memcmp(k->request_hash, s->hash, REC_HASH)) {
        diverged(r, s->q->path);
        return false;
      }
      vm_resume_branch(s->branch, VAL_NONE);
      return true;
    }
  taken how = send_taken(r, s);
  if (how == TAKEN_OVER) vm_resume_branch(s->branch, VAL_NONE);
  if (how != TAKEN_NO) return how == TAKEN_OVER;
  char idem[ENG_HEX + 1];
  rec_delivery d = {.run = r->id, .path = str(s->q->path), .sink = str(s->c->name), .operation = str(s->operation)};
  if (r->row.nlanes) {
    memcpy(d.lane, r->row.lanes[0], REC_LANE);
    d.nmore = (uint8_t)(r->row.nlanes - 1);
    memcpy(d.more, r->row.lanes[1], (size_t)d.nmore * REC_LANE);
  }
  memcpy(d.request_hash, s->hash, REC_HASH);
  eng_run_key(r, s->q->path, idem, d.idempotency);
  cod_w w = eng_writer(r->e);
  hdw_status st = rec_put_delivery(&w, &d);
  if (!st) st = eng_append_rec(r->e, REC_DELIVERY, &w, s->packed.p, s->packed.len, on_delivery, s->c, &r->last_seq);
  if (st) {
    eng_run_abandon(r);
    return false;
  }
  r->e->st.deliveries++;
  vm_resume_branch(s->branch, VAL_NONE);
  return true;
}

/* sys.log: a line of the daemon's log. During replay it was written before. */
static void write_log(eng_run *r, const ask *x) {
  const val req = x->request;
  char id[24], text[512] = "", where[200], trace[33], msg[24];
  snprintf(msg, sizeof msg, "%llu", (unsigned long long)r->row.input);
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
  if (mod_where(&r->app->m, x->branch->frames[x->branch->nframes - 1].pc - 1, &d)) engine_where(r->e, r->app->m.id, d.file, d.line, d.col, where);
  eng_say(r->e, ENGINE_INFO, "log", "workflow", r->wf->name, "run", id, "message", text, "at", where, "trace_id", watch_trace(r->e, &r->row, trace), "msg_ref", msg, NULL);
}

static hdw_status intent(const ask *x, eng_step *s) {
  rec_effect f = {.run = s->run, .path = str(s->path), .operation = str(s->operation), .state = EFFECT_INTENT, .address = cod_bytes(s->c->address, REC_LANE)};
  memcpy(f.request_hash, s->hash, REC_HASH);
  cod_w w = eng_writer(s->e);
  hdw_status st = rec_put_effect(&w, &f);
  s->intent_due = true;
  if (!st) st = eng_append_rec(s->e, REC_INTENT, &w, x->packed.p, x->packed.len, on_intent, s, NULL);
  if (st) s->intent_due = false;
  return st;
}

bool eng_step_await(eng_run *r) {
  engine *e = r->e;
  vm_run *branch = r->vm.request.branch;
  ask x = {.branch = branch, .q = &branch->request};
  if (++r->steps > e->o.config->top.max_steps) {
    eng_run_end(r, RUN_DEAD, FAIL_PERMANENT, "HDW_E_LIMIT", "the run has more steps than max_steps allows", x.q->path);
    return false;
  }
  hdw_status st = make_request(r, &x);
  bool made = !st;
  if (made) st = find_connection(r, &x);
  if ((made && st && st != HDW_E_NOTFOUND) || st == HDW_E_NOMEM) { /* the state, the process: nothing is wrong with the run, later again */
    eng_run_unread(r, st, x.q->path);
    return false;
  }
  if (st) {
    eng_run_end(r, RUN_DEAD, FAIL_PERMANENT, hdw_status_name(st), st == HDW_E_NOTFOUND ? "the connection is not configured" : hdw_status_text(st), x.q->path);
    return false;
  }
  if (!x.c) {
    if (!r->replay || r->beyond) write_log(r, &x);
    vm_resume_branch(branch, VAL_NONE);
    return true;
  }
  st = hash_request(r, &x);
  if (st == HDW_E_NOMEM) {
    eng_run_unread(r, st, x.q->path);
    return false;
  }
  if (st) {
    eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(st), "the request cannot be recorded", x.q->path);
    return false;
  }
  if (x.effect->flags & MOD_EFFECT_SEND) return send(r, &x);
  if (r->replay) {
    recalled how = meet(r, &x);
    if (how == RECALL_NONE) how = recall(r, &x);
    if (how != RECALL_NONE) return how == RECALL_RESUMED;
  }
  log_rec before;
  st = HDW_BROKEN("redo.again") ? HDW_E_NOTFOUND : eng_redo_step(r, &x, &before);
  if (!st && !take_over(r, &x, before.body, before.body_len)) return eng_step_resume(r, branch, before.body, before.body_len);
  if (st != HDW_E_NOTFOUND) { /* what was done is not done again because it cannot be read, or written down, now */
    if (st) eng_run_unread(r, st, x.q->path);
    else eng_run_abandon(r);
    return false;
  }
  eng_step *s = eng_step_new(r, branch, x.c, x.klass, x.operation, x.hash, &x.packed);
  if (!s) {
    if (x.unsure) snprintf(r->unsure, sizeof r->unsure, "%s", x.q->path);
    eng_run_park(r, FAIL_TRANSIENT, 2000000, "the process is out of memory", x.q->path);
    return false;
  }
  s->unsure = x.unsure;
  if (x.klass == MOD_CLASS_READ && x.keep_us && e->o.config->top.cache_bytes) eng_cache_begin(s, &x);
  if (x.klass == MOD_CLASS_READ) {
    uint64_t id = r->id;
    eng_step_perform(s);
    return eng_run_find(e, id) == r && !r->ending; /* a connection that is held parks it at once */
  }
  st = intent(&x, s);
  if (!st) return true;
  eng_step_free(s);
  eng_run_abandon(r);
  return false;
}
