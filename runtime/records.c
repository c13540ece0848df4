#include "records.h"

/* Every layout is written once for each direction, side by side, in the order drawn in records.h. */

static bool too_long(cod_str s, uint32_t max) { return s.len > max; }

static void put_hash(cod_w *w, const uint8_t h[REC_HASH]) { cod_put_raw(w, h, REC_HASH); }
static void get_hash(cod_r *r, uint8_t h[REC_HASH]) { cod_get_raw(r, h, REC_HASH); }
static void put_time(cod_w *w, int64_t us) { cod_put_var(w, (uint64_t)us); }
static int64_t get_time(cod_r *r) { return (int64_t)cod_get_var(r); }

static hdw_status reader(const log_rec *rec, cod_r *r) {
  *r = cod_reader(rec->meta, rec->meta_len);
  if (rec->version != REC_VERSION) return HDW_E_VERSION;
  return rec->meta_len <= REC_META_MAX ? HDW_OK : HDW_E_CORRUPT;
}

/* What was encoded must also be accepted by reader(). */
static hdw_status put_done(const cod_w *w) { return w->bad || w->len > REC_META_MAX ? HDW_E_LIMIT : HDW_OK; }

static hdw_status finish(const cod_r *r, bool valid) { return cod_done(r) && valid ? HDW_OK : HDW_E_CORRUPT; }

/* ---- runs and verdicts ---- */

static hdw_status put_run(cod_w *w, const rec_run_new *r) {
  if (too_long(r->workflow, REC_NAME_MAX) || r->nlanes > REC_MAX_LANES) return HDW_E_LIMIT;
  cod_put_str(w, r->workflow);
  cod_put_var(w, r->partition);
  cod_put_u8(w, r->flags);
  cod_put_u8(w, r->nlanes);
  cod_put_raw(w, r->lanes, (size_t)r->nlanes * REC_LANE);
  if (r->flags & RUN_F_ONCE) {
    cod_put_raw(w, r->once, REC_LANE);
    put_time(w, r->once_until_us);
  }
  return HDW_OK;
}

static bool get_run(cod_r *r, rec_run_new *o) {
  o->workflow = cod_get_str(r);
  uint64_t part = cod_get_var(r);
  o->partition = (uint16_t)part;
  o->flags = cod_get_u8(r);
  o->nlanes = cod_get_u8(r);
  if (part > UINT16_MAX || o->nlanes > REC_MAX_LANES || o->workflow.len > REC_NAME_MAX) return false;
  if (!cod_get_raw(r, o->lanes, (size_t)o->nlanes * REC_LANE)) return false;
  memset(o->once, 0, REC_LANE);
  o->once_until_us = 0;
  if (!(o->flags & RUN_F_ONCE)) return true;
  if (!cod_get_raw(r, o->once, REC_LANE)) return false;
  o->once_until_us = get_time(r);
  return true;
}

static bool pinned_to(const rec_run_new *r, const uint8_t *module, const uint8_t *deployment) {
  return !memcmp(r->module, module, REC_HASH) && !memcmp(r->deployment, deployment, REC_HASH);
}

/* follows: something comes behind, so that "none" must be said. */
static void put_programs(cod_w *w, const rec_verdict *v, bool follows) {
  const rec_run_new *more[REC_MAX_RUNS];
  uint8_t of[REC_MAX_RUNS] = {0}, n = 0;
  for (unsigned i = 0; i < v->nruns; i++) {
    const rec_run_new *r = &v->runs[i];
    if (!r->module || !r->deployment || pinned_to(r, v->module, v->deployment)) continue;
    for (uint8_t k = 0; k < n && !of[i]; k++)
      if (pinned_to(r, more[k]->module, more[k]->deployment)) of[i] = (uint8_t)(k + 1);
    if (of[i]) continue;
    more[n++] = r;
    of[i] = n;
  }
  if (n || follows) cod_put_u8(w, n);
  if (!n) return;
  for (uint8_t k = 0; k < n; k++) put_hash(w, more[k]->module), put_hash(w, more[k]->deployment);
  cod_put_raw(w, of, v->nruns);
}

/* own: the verdict's hashes in the record, module first. */
static bool get_programs(cod_r *r, const uint8_t *own, rec_verdict *v) {
  uint8_t n = r->p < r->end ? cod_get_u8(r) : 0;
  const uint8_t *more = r->p;
  size_t need = n ? (size_t)n * 2 * REC_HASH + v->nruns : 0;
  if (n > v->nruns || (size_t)(r->end - r->p) < need) return false;
  const uint8_t *of = more + (size_t)n * 2 * REC_HASH;
  for (unsigned i = 0; i < v->nruns; i++) {
    uint8_t at = n ? of[i] : 0;
    if (at > n) return false;
    v->runs[i].module = at ? more + (size_t)(at - 1) * 2 * REC_HASH : own;
    v->runs[i].deployment = v->runs[i].module + REC_HASH;
  }
  r->p += need;
  return true;
}

static hdw_status put_verdict(cod_w *w, const rec_verdict *v, bool follows) {
  if (v->nruns > REC_MAX_RUNS) return HDW_E_LIMIT;
  cod_put_u8(w, v->state);
  cod_put_str(w, v->ack_code);
  cod_put_str(w, v->error_code);
  cod_put_str(w, v->text);
  put_hash(w, v->module);
  put_hash(w, v->deployment);
  cod_put_u8(w, v->nruns);
  hdw_status s = HDW_OK;
  for (unsigned i = 0; i < v->nruns && !s; i++) s = put_run(w, &v->runs[i]);
  if (!s) put_programs(w, v, follows);
  return s;
}

static bool get_verdict(cod_r *r, rec_verdict *v) {
  v->state = cod_get_u8(r);
  v->ack_code = cod_get_str(r);
  v->error_code = cod_get_str(r);
  v->text = cod_get_str(r);
  const uint8_t *own = r->p;
  get_hash(r, v->module);
  get_hash(r, v->deployment);
  v->nruns = cod_get_u8(r);
  bool ok = v->nruns <= REC_MAX_RUNS && v->state >= INPUT_ACCEPTED && v->state <= INPUT_RUNNING;
  for (unsigned i = 0; i < v->nruns && ok; i++) ok = get_run(r, &v->runs[i]);
  return ok && !r->bad && get_programs(r, own, v);
}

/* ---- REC_INPUT ---- */

hdw_status rec_put_input(cod_w *w, const rec_input *r) {
  if (too_long(r->source, REC_NAME_MAX) || r->npatients > REC_MAX_PATIENTS) return HDW_E_LIMIT;
  cod_put_str(w, r->source);
  cod_put_str(w, r->dedup_key);
  put_hash(w, r->content_hash);
  cod_put_str(w, r->control_id);
  cod_put_str(w, r->sender);
  cod_put_str(w, r->type);
  cod_put_str(w, r->peer);
  put_time(w, r->received_us);
  cod_put_u8(w, r->npatients);
  for (unsigned i = 0; i < r->npatients; i++) cod_put_str(w, r->patients[i]);
  bool more = r->identity.len || r->charset.len || r->sequence_key.len || r->trace.len;
  hdw_status s = put_verdict(w, &r->verdict, more);
  if (s) return s;
  if (too_long(r->identity, REC_NAME_MAX) || too_long(r->charset, REC_NAME_MAX) || too_long(r->sequence_key, REC_PATH_MAX - REC_NAME_MAX)) return HDW_E_LIMIT;
  if (more) {
    cod_put_str(w, r->identity);
    cod_put_str(w, r->charset);
    cod_put_str(w, r->sequence_key);
    put_time(w, r->sequence_next);
    if (r->trace.len) cod_put_str(w, r->trace);
  }
  return put_done(w);
}

hdw_status rec_get_input(const log_rec *rec, rec_input *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->source = cod_get_str(&r);
  o->dedup_key = cod_get_str(&r);
  get_hash(&r, o->content_hash);
  o->control_id = cod_get_str(&r);
  o->sender = cod_get_str(&r);
  o->type = cod_get_str(&r);
  o->peer = cod_get_str(&r);
  o->received_us = get_time(&r);
  o->npatients = cod_get_u8(&r);
  if (o->npatients > REC_MAX_PATIENTS) return HDW_E_CORRUPT;
  for (unsigned i = 0; i < o->npatients; i++) o->patients[i] = cod_get_str(&r);
  bool ok = get_verdict(&r, &o->verdict) && o->source.len <= REC_NAME_MAX;
  o->identity = o->charset = o->sequence_key = o->trace = (cod_str){NULL, 0};
  o->sequence_next = 0;
  if (ok && !cod_done(&r)) {
    o->identity = cod_get_str(&r);
    o->charset = cod_get_str(&r);
    o->sequence_key = cod_get_str(&r);
    o->sequence_next = get_time(&r);
    if (!r.bad && !cod_done(&r)) o->trace = cod_get_str(&r);
    ok = o->identity.len <= REC_NAME_MAX && o->charset.len <= REC_NAME_MAX && o->sequence_key.len <= REC_PATH_MAX - REC_NAME_MAX;
  }
  return finish(&r, ok);
}

/* ---- REC_VERDICT, REC_ACK_OUTCOME ---- */

hdw_status rec_put_verdict(cod_w *w, const rec_input_verdict *r) {
  cod_put_var(w, r->input);
  hdw_status s = put_verdict(w, &r->verdict, false);
  return s ? s : put_done(w);
}

hdw_status rec_get_verdict(const log_rec *rec, rec_input_verdict *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->input = cod_get_var(&r);
  bool ok = get_verdict(&r, &o->verdict);
  return finish(&r, ok);
}

hdw_status rec_put_ack_outcome(cod_w *w, const rec_ack_outcome *r) {
  cod_put_var(w, r->input);
  cod_put_u8(w, r->state);
  cod_put_str(w, r->ack_code);
  cod_put_str(w, r->error_code);
  cod_put_str(w, r->text);
  return put_done(w);
}

hdw_status rec_get_ack_outcome(const log_rec *rec, rec_ack_outcome *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->input = cod_get_var(&r);
  o->state = cod_get_u8(&r);
  o->ack_code = cod_get_str(&r);
  o->error_code = cod_get_str(&r);
  o->text = cod_get_str(&r);
  return finish(&r, o->state >= INPUT_ACCEPTED && o->state <= INPUT_RUNNING);
}

/* ---- runs ---- */

hdw_status rec_put_run_start(cod_w *w, const rec_run_start *r) {
  if (too_long(r->cause, REC_NAME_MAX * 2)) return HDW_E_LIMIT;
  cod_put_var(w, r->input);
  cod_put_var(w, r->of_run);
  cod_put_var(w, r->epoch);
  cod_put_str(w, r->cause);
  put_hash(w, r->module);
  put_hash(w, r->deployment);
  hdw_status s = put_run(w, &r->run);
  return s ? s : put_done(w);
}

hdw_status rec_get_run_start(const log_rec *rec, rec_run_start *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->input = cod_get_var(&r);
  o->of_run = cod_get_var(&r);
  o->epoch = cod_get_var(&r);
  o->cause = cod_get_str(&r);
  const uint8_t *own = r.p;
  get_hash(&r, o->module);
  get_hash(&r, o->deployment);
  bool ok = get_run(&r, &o->run);
  o->run.module = own, o->run.deployment = own + REC_HASH;
  return finish(&r, ok);
}

hdw_status rec_put_run_change(cod_w *w, const rec_run_change *r) {
  if (too_long(r->path, REC_PATH_MAX)) return HDW_E_LIMIT;
  cod_put_var(w, r->run);
  cod_put_u8(w, r->state);
  cod_put_u8(w, r->fail_class);
  put_time(w, r->wake_us);
  cod_put_str(w, r->reason);
  cod_put_str(w, r->path);
  cod_put_str(w, r->held);
  return put_done(w);
}

hdw_status rec_get_run_change(const log_rec *rec, rec_run_change *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->run = cod_get_var(&r);
  o->state = cod_get_u8(&r);
  o->fail_class = cod_get_u8(&r);
  o->wake_us = get_time(&r);
  o->reason = cod_get_str(&r);
  o->path = cod_get_str(&r);
  o->held = r.p < r.end ? cod_get_str(&r) : cod_cstr("");
  return finish(&r, o->state >= RUN_QUEUED && o->state <= RUN_PARKED && o->held.len <= REC_NAME_MAX);
}

hdw_status rec_put_run_end(cod_w *w, const rec_run_end *r) {
  if (too_long(r->path, REC_PATH_MAX)) return HDW_E_LIMIT;
  cod_put_var(w, r->run);
  cod_put_u8(w, r->state);
  cod_put_u8(w, r->fail_class);
  cod_put_str(w, r->error_code);
  cod_put_str(w, r->error_text);
  cod_put_str(w, r->path);
  cod_put_var(w, r->file);
  cod_put_var(w, r->line);
  cod_put_var(w, r->column);
  return put_done(w);
}

hdw_status rec_get_run_end(const log_rec *rec, rec_run_end *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->run = cod_get_var(&r);
  o->state = cod_get_u8(&r);
  o->fail_class = cod_get_u8(&r);
  o->error_code = cod_get_str(&r);
  o->error_text = cod_get_str(&r);
  o->path = cod_get_str(&r);
  o->file = (uint32_t)cod_get_var(&r);
  o->line = (uint32_t)cod_get_var(&r);
  o->column = (uint32_t)cod_get_var(&r);
  return finish(&r, o->state >= RUN_DONE && o->state <= RUN_DEAD);
}

/* ---- REC_INTENT, REC_RESULT ---- */

hdw_status rec_put_effect(cod_w *w, const rec_effect *r) {
  if (too_long(r->path, REC_PATH_MAX) || r->path.len == 0) return HDW_E_LIMIT;
  cod_put_var(w, r->run);
  cod_put_str(w, r->path);
  cod_put_str(w, r->operation);
  put_hash(w, r->request_hash);
  cod_put_u8(w, r->state);
  cod_put_u8(w, r->fail_class);
  cod_put_var(w, r->attempts);
  cod_put_str(w, r->error_code);
  cod_put_str(w, r->error_text);
  if (r->address.len) cod_put_str(w, r->address);
  return put_done(w);
}

hdw_status rec_get_effect(const log_rec *rec, rec_effect *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->run = cod_get_var(&r);
  o->path = cod_get_str(&r);
  o->operation = cod_get_str(&r);
  get_hash(&r, o->request_hash);
  o->state = cod_get_u8(&r);
  o->fail_class = cod_get_u8(&r);
  o->attempts = (uint32_t)cod_get_var(&r);
  o->error_code = cod_get_str(&r);
  o->error_text = cod_get_str(&r);
  o->address = r.p < r.end ? cod_get_str(&r) : cod_cstr("");
  return finish(&r, o->path.len > 0 && o->path.len <= REC_PATH_MAX && o->address.len <= REC_HASH && o->state >= EFFECT_INTENT && o->state <= EFFECT_FAILED);
}

/* ---- outbox ---- */

hdw_status rec_put_delivery(cod_w *w, const rec_delivery *r) {
  if (too_long(r->path, REC_PATH_MAX) || too_long(r->sink, REC_NAME_MAX)) return HDW_E_LIMIT;
  cod_put_var(w, r->run);
  cod_put_str(w, r->path);
  cod_put_str(w, r->sink);
  cod_put_raw(w, r->lane, REC_LANE);
  cod_put_str(w, r->operation);
  put_hash(w, r->request_hash);
  put_hash(w, r->idempotency);
  if (r->nmore >= REC_MAX_LANES) return HDW_E_LIMIT;
  if (r->nmore) {
    cod_put_u8(w, r->nmore);
    cod_put_raw(w, r->more, (size_t)r->nmore * REC_LANE);
  }
  return put_done(w);
}

hdw_status rec_get_delivery(const log_rec *rec, rec_delivery *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->run = cod_get_var(&r);
  o->path = cod_get_str(&r);
  o->sink = cod_get_str(&r);
  cod_get_raw(&r, o->lane, REC_LANE);
  o->operation = cod_get_str(&r);
  get_hash(&r, o->request_hash);
  get_hash(&r, o->idempotency);
  o->nmore = r.p < r.end ? cod_get_u8(&r) : 0;
  if (o->nmore >= REC_MAX_LANES) return HDW_E_CORRUPT;
  cod_get_raw(&r, o->more, (size_t)o->nmore * REC_LANE);
  return finish(&r, o->sink.len <= REC_NAME_MAX && o->path.len <= REC_PATH_MAX);
}

hdw_status rec_put_delivery_result(cod_w *w, const rec_delivery_result *r) {
  cod_put_var(w, r->delivery);
  cod_put_u8(w, r->state);
  cod_put_u8(w, r->fail_class);
  cod_put_var(w, r->attempts);
  put_time(w, r->next_us);
  cod_put_str(w, r->error_code);
  cod_put_str(w, r->error_text);
  return put_done(w);
}

hdw_status rec_get_delivery_result(const log_rec *rec, rec_delivery_result *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->delivery = cod_get_var(&r);
  o->state = cod_get_u8(&r);
  o->fail_class = cod_get_u8(&r);
  o->attempts = (uint32_t)cod_get_var(&r);
  o->next_us = get_time(&r);
  o->error_code = cod_get_str(&r);
  o->error_text = cod_get_str(&r);
  return finish(&r, o->state >= DELIVERY_PENDING && o->state <= DELIVERY_DISCARDED);
}

/* ---- operators, deployments, named state ---- */

hdw_status rec_put_action(cod_w *w, const rec_action *r) {
  if (too_long(r->name, REC_NAME_MAX)) return HDW_E_LIMIT;
  cod_put_u8(w, r->action);
  cod_put_u8(w, r->subject);
  cod_put_var(w, r->id);
  cod_put_str(w, r->name);
  cod_put_raw(w, r->lane, REC_LANE);
  cod_put_str(w, r->who);
  cod_put_str(w, r->reason);
  return put_done(w);
}

hdw_status rec_get_action(const log_rec *rec, rec_action *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->action = cod_get_u8(&r);
  o->subject = cod_get_u8(&r);
  o->id = cod_get_var(&r);
  o->name = cod_get_str(&r);
  cod_get_raw(&r, o->lane, REC_LANE);
  o->who = cod_get_str(&r);
  o->reason = cod_get_str(&r);
  bool ok = o->action >= ACTION_REDRIVE && o->action <= ACTION_RENAME && o->subject >= SUBJECT_RUN && o->subject <= SUBJECT_LISTENER;
  return finish(&r, ok && o->name.len <= REC_NAME_MAX);
}

hdw_status rec_put_deploy(cod_w *w, const rec_deploy *r) {
  if (too_long(r->name, REC_NAME_MAX)) return HDW_E_LIMIT;
  put_hash(w, r->module);
  put_hash(w, r->deployment);
  cod_put_str(w, r->name);
  cod_put_str(w, r->file);
  cod_put_str(w, r->who);
  return put_done(w);
}

hdw_status rec_get_deploy(const log_rec *rec, rec_deploy *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  get_hash(&r, o->module);
  get_hash(&r, o->deployment);
  o->name = cod_get_str(&r);
  o->file = cod_get_str(&r);
  o->who = cod_get_str(&r);
  return finish(&r, o->name.len <= REC_NAME_MAX);
}

hdw_status rec_put_named(cod_w *w, const rec_put *r) {
  if (too_long(r->space, REC_NAME_MAX) || too_long(r->key, REC_PATH_MAX - REC_NAME_MAX)) return HDW_E_LIMIT;
  cod_put_str(w, r->space);
  cod_put_str(w, r->key);
  return put_done(w);
}

hdw_status rec_get_named(const log_rec *rec, rec_put *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->space = cod_get_str(&r);
  o->key = cod_get_str(&r);
  return finish(&r, o->space.len <= REC_NAME_MAX && o->key.len <= REC_PATH_MAX - REC_NAME_MAX);
}

/* ---- REC_EXPIRE ---- */

hdw_status rec_put_expire(cod_w *w, uint64_t first, const rec_expired *items, uint32_t n) {
  if (n > REC_MAX_EXPIRED) return HDW_E_LIMIT;
  cod_put_var(w, first);
  cod_put_var(w, n);
  for (uint32_t i = 0; i < n; i++) {
    cod_put_u8(w, items[i].subject);
    cod_put_var(w, items[i].id);
  }
  return put_done(w);
}

rec_expired rec_next_expired(rec_expire *r) {
  rec_expired e;
  e.subject = cod_get_u8(&r->items);
  e.id = cod_get_var(&r->items);
  return e;
}

hdw_status rec_get_expire(const log_rec *rec, rec_expire *o) {
  cod_r r;
  hdw_status s = reader(rec, &r);
  if (s) return s;
  o->first = cod_get_var(&r);
  uint64_t n = cod_get_var(&r);
  o->items = r;
  o->n = (uint32_t)n;
  bool ok = n <= REC_MAX_EXPIRED;
  for (uint64_t i = 0; i < n && ok && !r.bad; i++) {
    uint8_t subject = cod_get_u8(&r);
    cod_get_var(&r);
    ok = subject >= SUBJECT_RUN && subject <= SUBJECT_INPUT;
  }
  return finish(&r, ok);
}

/* ---- REC_AUDIT ---- */

hdw_status rec_put_audit(cod_w *w, const rec_audit *r) {
  cod_put_var(w, r->number);
  put_hash(w, r->previous);
  put_time(w, r->time_us);
  const cod_str *s[] = {&r->kind, &r->who, &r->roles, &r->action, &r->subject, &r->query, &r->reason};
  for (size_t i = 0; i < sizeof s / sizeof *s; i++) cod_put_str(w, *s[i]);
  cod_put_u8(w, r->outcome);
  cod_put_var(w, r->status);
  if (r->until) {
    cod_put_var(w, r->until);
    put_hash(w, r->until_hash);
  }
  return put_done(w);
}

hdw_status rec_get_audit(const log_rec *rec, rec_audit *o) {
  cod_r r;
  hdw_status st = reader(rec, &r);
  if (st) return st;
  o->number = cod_get_var(&r);
  get_hash(&r, o->previous);
  o->time_us = get_time(&r);
  cod_str *s[] = {&o->kind, &o->who, &o->roles, &o->action, &o->subject, &o->query, &o->reason};
  for (size_t i = 0; i < sizeof s / sizeof *s; i++) *s[i] = cod_get_str(&r);
  o->outcome = cod_get_u8(&r);
  uint64_t status = cod_get_var(&r);
  o->status = (uint32_t)status;
  o->until = 0;
  memset(o->until_hash, 0, REC_HASH);
  if (!r.bad && r.p < r.end) {
    o->until = cod_get_var(&r);
    get_hash(&r, o->until_hash);
  }
  return finish(&r, status <= 999 && o->number > 0 && o->until < o->number);
}

const char *rec_type_name(uint8_t type) {
  static const char *const names[REC_TYPES] = {"?",      "INPUT",   "VERDICT",  "ACK_OUTCOME",     "RUN_START", "RUN_STATE", "INTENT", "RESULT",
                                               "RUN_END", "DELIVERY", "DELIVERY_RESULT", "ACTION", "DEPLOY",    "PUT",       "CLOSE",  "EXPIRE"};
  if (type == REC_AUDIT) return "AUDIT";
  return type < REC_TYPES && names[type] ? names[type] : "?";
}

void rec_lane_hash(cod_str name, cod_str key, uint8_t out[REC_LANE]) {
  uint8_t full[REC_HASH], len[4];
  cod_w w = cod_writer(len, sizeof len);
  cod_put_u32(&w, name.len);
  uint8_t head[REC_HASH];
  cod_sha256(len, sizeof len, name.p ? name.p : "", name.len, head);
  cod_sha256(head, sizeof head, key.p ? key.p : "", key.len, full);
  memcpy(out, full, REC_LANE);
}
