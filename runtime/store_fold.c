#include "points.h"
#include "store_int.h"

/* The only place where state changes. A record about something that is not there (it was lost with a damaged segment) is counted and skipped:
 * the fold is total. */

static hdw_status orphan(store *s) {
  s->counts.orphans++;
  return HDW_OK;
}

/* First failure wins; puts and dels behind it do nothing. */
static void put(store *s, hdw_status *st, const skey *k, const void *v, size_t len) {
  if (!*st) *st = store_put(s, k, v, len);
}
static void del(store *s, hdw_status *st, const skey *k) {
  if (!*st) *st = store_del(s, k);
}

static void id_index(store *s, hdw_status *st, uint16_t part, store_table t, uint8_t first, uint64_t id, bool on) {
  skey k HDW_UNSET;
  skey_begin(&k, part, t);
  cod_put_u8(&k.w, first);
  cod_put_be64(&k.w, id);
  if (on) put(s, st, &k, NULL, 0);
  else del(s, st, &k);
}

static void timer(store *s, hdw_status *st, uint16_t part, int64_t at_us, uint8_t subject, uint64_t id, bool on) {
  skey k HDW_UNSET;
  if (at_us <= 0) return;
  key_timer(&k, part, at_us, subject, id);
  if (on) put(s, st, &k, NULL, 0);
  else del(s, st, &k);
}

/* A row read for changing: its slices point into the map, where they die at the first put. s->copy keeps them; a record changes one row. */
static hdw_status load(store *s, const skey *k, cod_str *v) {
  hdw_status st = store_get(s, k, v);
  if (st) return st;
  if (v->len > sizeof s->copy) return HDW_E_CORRUPT;
  memcpy(s->copy, v->p, v->len);
  v->p = (const char *)s->copy;
  return HDW_OK;
}

/* ---- runs ---- */

static bool state_indexed(uint8_t state) { return state != RUN_DONE && state != RUN_DISCARDED; }
static bool state_dead(uint8_t state) { return state == RUN_DEAD; }

static void run_row(store *s, hdw_status *st, const store_run *r) {
  skey k HDW_UNSET;
  key_id(&k, r->partition, T_RUN, r->id);
  size_t n = *st ? 0 : row_put_run(s, r);
  if (!*st && !n) *st = HDW_E_LIMIT;
  put(s, st, &k, s->row, n);
}

static void lane_key(skey *k, uint16_t part, store_table t, const uint8_t lane[REC_LANE], uint64_t id) {
  skey_begin(k, part, t);
  cod_put_raw(&k->w, lane, REC_LANE);
  cod_put_be64(&k->w, id);
}

static void run_lanes(store *s, hdw_status *st, const store_run *r, bool on) {
  for (unsigned i = 0; i < r->nlanes; i++) {
    skey k HDW_UNSET;
    lane_key(&k, r->partition, T_LANE, r->lanes[i], r->id);
    if (on) put(s, st, &k, NULL, 0);
    else del(s, st, &k);
  }
}

static bool there(store *s, hdw_status *st, const skey *k) {
  cod_str v;
  if (*st) return false;
  hdw_status g = store_get(s, k, &v);
  if (g != HDW_E_NOTFOUND) *st = g;
  return g == HDW_OK;
}

/* Another run that holds the same lane; nothing has failed yet. */
static bool held_by_other(store *s, hdw_status *st, uint16_t part, const uint8_t lane[REC_LANE], uint64_t id) {
  skey k HDW_UNSET;
  sit i HDW_UNSET;
  bool found = false;
  skey_begin(&k, part, T_HELD);
  cod_put_raw(&k.w, lane, REC_LANE);
  sit_begin(&i, s, &k, NULL, false);
  while (!found && sit_next(&i)) found = cod_get_be64(&i.key) != id;
  sit_end(&i);
  *st = i.status;
  return found;
}

/* Run id begins or ends to hold a lane that it is in. Failures only: the way of a run that succeeds does not come here. */
static void lane_held(store *s, hdw_status *st, uint16_t part, const uint8_t lane[REC_LANE], uint64_t id, bool on) {
  skey k, in;
  lane_key(&k, part, T_HELD, lane, id);
  lane_key(&in, part, T_LANE, lane, id);
  if (there(s, st, &k) == on || (on && !there(s, st, &in))) return;
  if (on) put(s, st, &k, NULL, 0);
  else del(s, st, &k);
  if (!*st && !held_by_other(s, st, part, lane, id)) s->counts.held_lanes += on ? 1 : UINT64_MAX;
}

static bool holds(uint8_t state, uint8_t flags) {
  return state == RUN_PARKED || ((state == RUN_FAILED || state == RUN_DEAD) && !(flags & RUN_F_LANE_SKIP));
}

/* Moves a run to a state with everything that hangs on it: indexes, lanes, dead letters, timers, counts. old.state 0 = it is new. */
static void run_move(store *s, hdw_status *st, const store_run *old, const store_run *now) {
  uint8_t a = old->state, b = now->state;
  if (a != b) {
    if (a && state_indexed(a)) id_index(s, st, now->partition, T_RUN_STATE, a, now->id, false);
    if (state_indexed(b)) id_index(s, st, now->partition, T_RUN_STATE, b, now->id, true);
    if (a && state_dead(a)) id_index(s, st, now->partition, T_DEAD, SUBJECT_RUN, now->id, false);
    if (state_dead(b)) id_index(s, st, now->partition, T_DEAD, SUBJECT_RUN, now->id, true);
    if (a) s->counts.runs_by_state[a % 12]--;
    s->counts.runs_by_state[b % 12]++;
  }
  if (old->wake_us != now->wake_us) {
    timer(s, st, now->partition, old->wake_us, SUBJECT_RUN, now->id, false);
    timer(s, st, now->partition, now->wake_us, SUBJECT_RUN, now->id, true);
  }
  bool failed = b == RUN_FAILED || b == RUN_DEAD;
  bool leaves = b == RUN_DONE || b == RUN_DISCARDED || (failed && (now->flags & RUN_F_LANE_SKIP));
  bool was_out = a == RUN_DONE || a == RUN_DISCARDED || ((a == RUN_FAILED || a == RUN_DEAD) && (old->flags & RUN_F_LANE_SKIP));
  bool held = a && holds(a, old->flags), hold = holds(b, now->flags);
  for (unsigned i = 0; held && !hold && i < now->nlanes; i++) lane_held(s, st, now->partition, now->lanes[i], now->id, false);
  if (!a || leaves != was_out) run_lanes(s, st, now, !leaves);
  for (unsigned i = 0; hold && !held && i < now->nlanes; i++) lane_held(s, st, now->partition, now->lanes[i], now->id, true);
  run_row(s, st, now);
}

static hdw_status run_new(store *s, const log_rec *rec, unsigned index, uint64_t input, const rec_run_new *n, const rec_run_start *start, bool young) {
  store_run none = {0}, r = {.id = rec_run_id(rec->seq, index),
                             .partition = n->partition,
                             .input = input,
                             .state = RUN_QUEUED,
                             .flags = n->flags,
                             .nlanes = n->nlanes,
                             .created_us = rec->time_us,
                             .changed_us = rec->time_us,
                             .workflow = n->workflow};
  hdw_status st = HDW_OK;
  if (start) {
    r.start_pos = rec->pos;
    r.of_run = start->of_run, r.epoch = start->epoch, r.reason = start->cause;
  }
  memcpy(r.module, n->module, REC_HASH);
  memcpy(r.deployment, n->deployment, REC_HASH);
  memcpy(r.lanes, n->lanes, sizeof r.lanes);
  s->counts.runs++;
  if (young && !(n->flags & RUN_F_ONCE)) { /* records name workflows with at most REC_NAME_MAX bytes */
    memcpy(s->young_workflow, n->workflow.p, n->workflow.len);
    r.workflow.p = s->young_workflow;
    s->young = r;
    s->has_young = true;
    s->counts.runs_by_state[RUN_QUEUED]++;
    return HDW_OK;
  }
  run_move(s, &st, &none, &r);
  if (input && rec->seq != input) {
    skey k HDW_UNSET;
    key_id(&k, n->partition, T_RUN_OF_INPUT, input);
    cod_put_be64(&k.w, r.id);
    put(s, &st, &k, NULL, 0);
  }
  if (!st && input && n->flags & RUN_F_ONCE) st = store_once_take(s, rec, input, n);
  return st;
}

hdw_status store_fold_young(store *s) {
  hdw_status st = HDW_OK;
  store_run none = {0};
  run_move(s, &st, &none, &s->young);
  s->counts.runs_by_state[RUN_QUEUED]--; /* run_move counted it once more */
  if (!st) s->has_young = false;
  return st;
}

static hdw_status run_load(store *s, uint16_t part, uint64_t id, store_run *r) {
  skey k HDW_UNSET;
  cod_str v;
  key_id(&k, part, T_RUN, id);
  memset(r, 0, sizeof *r);
  hdw_status st = load(s, &k, &v);
  if (st) return st;
  if (!row_get_run(v, r)) return HDW_E_CORRUPT;
  r->id = id, r->partition = part;
  return HDW_OK;
}

static hdw_status fold_run_start(store *s, const log_rec *rec) {
  rec_run_start r;
  hdw_status st = rec_get_run_start(rec, &r);
  return st ? st : run_new(s, rec, 0, r.input, &r.run, &r, false);
}

static hdw_status fold_run_state(store *s, const log_rec *rec) {
  rec_run_change c;
  store_run old, now;
  hdw_status st = rec_get_run_change(rec, &c);
  if (!st) st = run_load(s, rec->partition, c.run, &old);
  if (st) return st == HDW_E_NOTFOUND ? orphan(s) : st;
  now = old;
  now.state = c.state, now.fail_class = c.fail_class, now.wake_us = c.wake_us;
  now.reason = c.reason, now.path = c.path, now.held = c.held;
  now.changed_us = rec->time_us;
  if (c.state == RUN_RUNNING) {
    now.attempts++;
    if (!now.started_us) now.started_us = rec->time_us;
  }
  run_move(s, &st, &old, &now);
  return st;
}

static void take_end(store_run *r, const log_rec *rec, const rec_run_end *e) {
  r->state = e->state, r->fail_class = e->fail_class, r->wake_us = 0;
  r->reason = e->error_text, r->error_code = e->error_code, r->path = e->path;
  r->file = e->file, r->line = e->line, r->column = e->column;
  r->changed_us = rec->time_us;
  r->result_pos = rec->pos;
  if (!r->started_us) r->started_us = rec->time_us;
}

/* The run that the record before made is done: its row is written once, and what queued and held lanes never. */
static bool young_done(const store *s, const log_rec *rec, const rec_run_end *e) {
  return s->has_young && e->run == s->young.id && e->state == RUN_DONE && rec->partition == s->young.partition;
}

static hdw_status fold_run_end(store *s, const log_rec *rec) {
  rec_run_end e;
  store_run old, now;
  hdw_status st = rec_get_run_end(rec, &e);
  if (st) return st;
  if (young_done(s, rec, &e)) {
    take_end(&s->young, rec, &e);
    run_row(s, &st, &s->young);
    if (st) return st;
    s->has_young = false;
    s->counts.runs_by_state[RUN_QUEUED]--;
    s->counts.runs_by_state[RUN_DONE]++;
    return HDW_OK;
  }
  st = store_txn(s);
  if (!st) st = run_load(s, rec->partition, e.run, &old);
  if (st) return st == HDW_E_NOTFOUND ? orphan(s) : st;
  now = old;
  take_end(&now, rec, &e);
  run_move(s, &st, &old, &now);
  return st;
}

/* ---- inputs ---- */

/* The first to be written about an input: nothing has failed yet. */
static void input_row(store *s, hdw_status *st, const store_input *in) {
  skey k HDW_UNSET;
  key_id(&k, in->partition, T_INPUT, in->id);
  size_t n = row_put_input(s, in);
  *st = n ? store_put(s, &k, s->row, n) : HDW_E_LIMIT;
}

static void input_index(store *s, hdw_status *st, const store_input *in, store_table t, cod_str what) {
  skey k HDW_UNSET;
  if (!what.len) return;
  key_hashed(s, &k, in->partition, t, what);
  cod_put_be64(&k.w, in->id);
  if (!*st) *st = store_put_index(s, &k);
}

static void patient_index(store *s, hdw_status *st, const store_input *in, unsigned i) {
  skey k HDW_UNSET;
  key_patient(&k, in->partition, in->patients[i], in->id);
  if (!*st) *st = store_put_index(s, &k);
}

static void input_state(store *s, hdw_status *st, uint8_t old, const store_input *now) {
  if (old == now->state) return;
  if (old == INPUT_FAILED) id_index(s, st, now->partition, T_DEAD, SUBJECT_INPUT, now->id, false);
  if (now->state == INPUT_FAILED) id_index(s, st, now->partition, T_DEAD, SUBJECT_INPUT, now->id, true);
  if (old) s->counts.inputs_by_state[old % 8]--;
  s->counts.inputs_by_state[now->state % 8]++;
}

static hdw_status verdict_runs(store *s, const log_rec *rec, uint64_t input, const rec_verdict *v) {
  hdw_status st = HDW_OK;
  for (unsigned i = 0; i < v->nruns && !st; i++) st = run_new(s, rec, i, input, &v->runs[i], NULL, v->nruns == 1 && rec->seq == input);
  return st;
}

static void take_verdict(store_input *in, const rec_verdict *v) {
  in->state = v->state;
  if (in->attempts < UINT8_MAX) in->attempts++;
  in->ack_code = v->ack_code, in->error_code = v->error_code, in->text = v->text;
}

static hdw_status fold_input(store *s, const log_rec *rec) {
  rec_input *r = &s->input;
  s->input_seq = 0;
  hdw_status st = rec_get_input(rec, r);
  if (st) return st;
  s->input_seq = rec->seq;
  store_input in = {.id = rec->seq,
                    .partition = rec->partition,
                    .time_us = rec->time_us,
                    .received_us = r->received_us,
                    .pos = rec->pos,
                    .body_len = rec->body_len,
                    .source = r->source,
                    .control_id = r->control_id,
                    .sender = r->sender,
                    .type = r->type,
                    .peer = r->peer,
                    .dedup_key = r->dedup_key,
                    .identity = r->identity,
                    .charset = r->charset,
                    .trace = r->trace};
  memcpy(in.content_hash, r->content_hash, REC_HASH);
  take_verdict(&in, &r->verdict);
  for (unsigned i = 0; i < r->npatients; i++)
    if (r->patients[i].len) cod_siphash128(s->hash_key, r->patients[i].p, r->patients[i].len, in.patients[in.npatients++]);
  input_row(s, &st, &in);
  input_state(s, &st, 0, &in);
  if (r->dedup_key.len) {
    skey k HDW_UNSET;
    uint8_t b[2];
    cod_w w = cod_writer(b, sizeof b);
    cod_put_u16(&w, rec->partition);
    key_dedup(s, &k, r->source, r->dedup_key);
    cod_put_be64(&k.w, rec->seq);
    put(s, &st, &k, b, w.len);
  }
  input_index(s, &st, &in, T_BY_CONTROL, r->control_id);
  input_index(s, &st, &in, T_BY_SENDER, r->sender);
  for (unsigned i = 0; i < in.npatients; i++) patient_index(s, &st, &in, i);
  if (!st && r->sequence_key.len) st = store_sequence_put(s, in.id, r);
  s->counts.inputs++;
  return st ? st : verdict_runs(s, rec, in.id, &r->verdict);
}

const rec_input *store_applied_input(const store *s, uint64_t seq) { return seq && s->input_seq == seq ? &s->input : NULL; }

static hdw_status input_load(store *s, uint16_t part, uint64_t id, store_input *in) {
  skey k HDW_UNSET;
  cod_str v;
  key_id(&k, part, T_INPUT, id);
  memset(in, 0, sizeof *in);
  hdw_status st = load(s, &k, &v);
  if (st) return st;
  if (!row_get_input(v, in)) return HDW_E_CORRUPT;
  in->id = id, in->partition = part;
  return HDW_OK;
}

static hdw_status fold_verdict(store *s, const log_rec *rec) {
  rec_input_verdict r HDW_UNSET;
  store_input in;
  hdw_status st = rec_get_verdict(rec, &r);
  if (!st) st = input_load(s, rec->partition, r.input, &in);
  if (st) return st == HDW_E_NOTFOUND ? orphan(s) : st;
  uint8_t old = in.state;
  if (rec->body_len) in.pos = rec->pos, in.body_len = rec->body_len; /* body_len also of one whose bytes are over */
  take_verdict(&in, &r.verdict);
  input_row(s, &st, &in);
  input_state(s, &st, old, &in);
  return st ? st : verdict_runs(s, rec, in.id, &r.verdict);
}

static hdw_status fold_ack_outcome(store *s, const log_rec *rec) {
  rec_ack_outcome r;
  store_input in;
  hdw_status st = rec_get_ack_outcome(rec, &r);
  if (!st) st = input_load(s, rec->partition, r.input, &in);
  if (st) return st == HDW_E_NOTFOUND ? orphan(s) : st;
  uint8_t old = in.state;
  in.state = r.state;
  in.ack_code = r.ack_code, in.error_code = r.error_code, in.text = r.text;
  input_row(s, &st, &in);
  input_state(s, &st, old, &in);
  return st;
}

/* ---- journal ---- */

static hdw_status fold_effect(store *s, const log_rec *rec) {
  rec_effect r;
  skey k HDW_UNSET;
  cod_str v;
  store_effect e = {0};
  hdw_status st = rec_get_effect(rec, &r);
  if (st) return st;
  key_effect(&k, rec->partition, r.run);
  cod_put_raw(&k.w, r.path.p, r.path.len);
  st = load(s, &k, &v);
  if (st == HDW_E_NOTFOUND) s->counts.effects++;
  else if (st) return st;
  else if (!row_get_effect(v, &e)) return HDW_E_CORRUPT;
  st = HDW_OK;
  e.state = r.state, e.fail_class = r.fail_class, e.attempts = r.attempts;
  e.time_us = rec->time_us;
  memcpy(e.request_hash, r.request_hash, REC_HASH);
  e.operation = r.operation, e.error_code = r.error_code, e.error_text = r.error_text;
  if (rec->type == REC_INTENT) {
    if (rec->body_len) e.intent_pos = rec->pos;
    e.address = r.address;
    e.result_pos = (log_pos){0, 0};
  } else {
    e.result_pos = rec->body_len ? rec->pos : (log_pos){0, 0};
  }
  size_t n = row_put_effect(s, &e);
  if (!n) return HDW_E_LIMIT;
  put(s, &st, &k, s->row, n);
  return st;
}

/* ---- outbox ---- */

static bool delivery_queued(uint8_t state) { return state == DELIVERY_PENDING || state == DELIVERY_INFLIGHT || state == DELIVERY_PARKED; }

static bool delivery_dead(uint8_t state) { return state == DELIVERY_DEAD || state == DELIVERY_PARKED; }

static void delivery_move(store *s, hdw_status *st, const store_delivery *old, const store_delivery *now) {
  uint8_t a = old->state, b = now->state;
  skey k HDW_UNSET;
  if (a != b) {
    for (unsigned i = 0; i <= now->nmore; i++) {
      uint8_t value[2] = {b, 1};
      key_queue(&k, now->partition, now->sink);
      cod_put_raw(&k.w, i ? now->more[i - 1] : now->lane, REC_LANE);
      cod_put_be64(&k.w, now->id);
      if (delivery_queued(b)) put(s, st, &k, value, i ? 2 : 1);
      else del(s, st, &k); /* a new one is pending */
    }
    if (!*st && delivery_queued(a) != delivery_queued(b)) *st = store_fold_depth(s, now->partition, now->sink, delivery_queued(b));
    if (delivery_dead(a)) id_index(s, st, now->partition, T_DEAD, SUBJECT_DELIVERY, now->id, false);
    if (delivery_dead(b)) id_index(s, st, now->partition, T_DEAD, SUBJECT_DELIVERY, now->id, true);
    if (a) s->counts.deliveries_by_state[a % 8]--;
    s->counts.deliveries_by_state[b % 8]++;
  }
  if (old->next_us != now->next_us) {
    timer(s, st, now->partition, old->next_us, SUBJECT_DELIVERY, now->id, false);
    timer(s, st, now->partition, now->next_us, SUBJECT_DELIVERY, now->id, true);
  }
  key_id(&k, now->partition, T_DELIVERY, now->id);
  size_t n = *st ? 0 : row_put_delivery(s, now);
  if (!*st && !n) *st = HDW_E_LIMIT;
  put(s, st, &k, s->row, n);
}

static hdw_status fold_delivery(store *s, const log_rec *rec) {
  rec_delivery r;
  hdw_status st = rec_get_delivery(rec, &r);
  if (st) return st;
  store_delivery none = {0}, d = {.id = rec->seq,
                                  .partition = rec->partition,
                                  .run = r.run,
                                  .state = DELIVERY_PENDING,
                                  .body_len = rec->body_len,
                                  .created_us = rec->time_us,
                                  .changed_us = rec->time_us,
                                  .pos = rec->pos,
                                  .sink = r.sink,
                                  .path = r.path,
                                  .operation = r.operation};
  memcpy(d.lane, r.lane, REC_LANE);
  d.nmore = r.nmore;
  memcpy(d.more, r.more, sizeof d.more);
  memcpy(d.request_hash, r.request_hash, REC_HASH);
  memcpy(d.idempotency, r.idempotency, REC_HASH);
  if (!HDW_BROKEN("outbox.lost") || rec->seq % 16) delivery_move(s, &st, &none, &d);
  if (r.run) {
    skey k HDW_UNSET;
    key_id(&k, rec->partition, T_OF_RUN, r.run);
    cod_put_be64(&k.w, d.id);
    put(s, &st, &k, NULL, 0);
  }
  s->counts.deliveries++;
  return st;
}

static hdw_status delivery_load(store *s, uint16_t part, uint64_t id, store_delivery *d) {
  skey k HDW_UNSET;
  cod_str v;
  key_id(&k, part, T_DELIVERY, id);
  memset(d, 0, sizeof *d);
  hdw_status st = load(s, &k, &v);
  if (st) return st;
  if (!row_get_delivery(v, d)) return HDW_E_CORRUPT;
  d->id = id, d->partition = part;
  return HDW_OK;
}

static hdw_status fold_delivery_result(store *s, const log_rec *rec) {
  rec_delivery_result r;
  store_delivery old, now;
  hdw_status st = rec_get_delivery_result(rec, &r);
  if (!st) st = delivery_load(s, rec->partition, r.delivery, &old);
  if (st) return st == HDW_E_NOTFOUND ? orphan(s) : st;
  now = old;
  now.state = r.state, now.fail_class = r.fail_class, now.attempts = r.attempts, now.next_us = r.next_us;
  now.error_code = r.error_code, now.error_text = r.error_text;
  now.changed_us = rec->time_us;
  bool as_before = r.state == DELIVERY_INFLIGHT || (r.state == DELIVERY_PENDING && r.fail_class == FAIL_NONE); /* it is about to leave, or did not leave after all */
  now.failing_us = as_before ? old.failing_us : r.state != DELIVERY_PENDING ? 0 : old.failing_us ? old.failing_us : rec->time_us;
  if (rec->body_len) now.response_pos = rec->pos;
  delivery_move(s, &st, &old, &now);
  return st;
}

/* ---- operators ---- */

static hdw_status act_on_run(store *s, const log_rec *rec, const rec_action *a) {
  store_run old, now;
  hdw_status st = run_load(s, rec->partition, a->id, &old);
  if (st) return st == HDW_E_NOTFOUND ? orphan(s) : st;
  now = old;
  bool ended = old.state == RUN_DONE || old.state == RUN_DISCARDED;
  /* Whoever sends it back has looked what became of its last step: that is not ambiguous any more. */
  if (a->action == ACTION_REDRIVE && !ended) now.state = RUN_QUEUED, now.wake_us = 0, now.held = cod_cstr(""), now.fail_class = FAIL_TRANSIENT;
  else if (a->action == ACTION_DISCARD && old.state != RUN_DONE) now.state = RUN_DISCARDED, now.wake_us = 0;
  else if (a->action == ACTION_SKIP_LANE) now.flags |= RUN_F_LANE_SKIP;
  else return HDW_OK;
  now.changed_us = rec->time_us;
  if (a->reason.len) now.reason = a->reason;
  run_move(s, &st, &old, &now);
  return st;
}

static hdw_status act_on_delivery(store *s, const log_rec *rec, const rec_action *a) {
  store_delivery old, now;
  hdw_status st = delivery_load(s, rec->partition, a->id, &old);
  if (st) return st == HDW_E_NOTFOUND ? orphan(s) : st;
  now = old;
  if (old.state == DELIVERY_DELIVERED || (old.state == DELIVERY_DISCARDED && a->action != ACTION_REDRIVE)) return HDW_OK;
  if (a->action == ACTION_REDRIVE) now.state = DELIVERY_PENDING;
  else if (a->action == ACTION_DISCARD) now.state = DELIVERY_DISCARDED;
  else if (old.state == DELIVERY_PARKED) now.state = DELIVERY_DEAD; /* ACTION_SKIP_LANE: its queue goes on without it */
  else return HDW_OK;
  now.next_us = now.failing_us = 0;
  now.changed_us = rec->time_us;
  delivery_move(s, &st, &old, &now);
  return st;
}

/* The run named by id leaves one lane only. */
static hdw_status act_on_lane(store *s, const log_rec *rec, const rec_action *a) {
  skey k HDW_UNSET;
  hdw_status st = HDW_OK;
  if (a->action != ACTION_SKIP_LANE) return HDW_OK;
  lane_held(s, &st, rec->partition, a->lane, a->id, false);
  lane_key(&k, rec->partition, T_LANE, a->lane, a->id);
  del(s, &st, &k);
  return st;
}

static hdw_status act_pause(store *s, const rec_action *a) {
  skey k HDW_UNSET;
  hdw_status st = HDW_OK;
  key_named(&k, cod_cstr("paused"));
  cod_put_raw(&k.w, a->subject == SUBJECT_SINK ? "sink:" : "workflow:", a->subject == SUBJECT_SINK ? 5 : 9);
  cod_put_raw(&k.w, a->name.p, a->name.len);
  if (a->action == ACTION_PAUSE) put(s, &st, &k, a->who.p, a->who.len);
  else del(s, &st, &k);
  return st;
}

static hdw_status fold_action(store *s, const log_rec *rec) {
  rec_action a;
  hdw_status st = rec_get_action(rec, &a);
  if (st) return st;
  if (a.action == ACTION_PAUSE || a.action == ACTION_RESUME) return act_pause(s, &a);
  if (a.action == ACTION_RENAME) return store_fold_rename(s, rec, &a);
  switch (a.subject) {
  case SUBJECT_RUN: return act_on_run(s, rec, &a);
  case SUBJECT_DELIVERY: return act_on_delivery(s, rec, &a);
  case SUBJECT_LANE: return act_on_lane(s, rec, &a);
  case SUBJECT_INPUT:
    if (a.action == ACTION_DISCARD) id_index(s, &st, rec->partition, T_DEAD, SUBJECT_INPUT, a.id, false);
    return st;
  default: return HDW_OK;
  }
}

/* ---- deployments, named state ---- */

/* The row by module hash. Bytes recorded by an earlier deployment of the same module stay reachable. */
static hdw_status deploy_by_module(store *s, store_deploy *d, bool with_body) {
  skey k HDW_UNSET;
  cod_str v;
  store_deploy old = {0};
  skey_begin(&k, 0, T_DEPLOY);
  cod_put_raw(&k.w, d->module, REC_HASH);
  hdw_status st = load(s, &k, &v);
  if (st && st != HDW_E_NOTFOUND) return st;
  if (!st && !row_get_deploy(v, &old)) return HDW_E_CORRUPT;
  if (!st && !with_body) d->pos = old.pos, d->body_len = old.body_len;
  st = HDW_OK;
  size_t n = row_put_deploy(s, d);
  if (!n) return HDW_E_LIMIT;
  put(s, &st, &k, s->row, n);
  return st;
}

static hdw_status fold_deploy(store *s, const log_rec *rec) {
  static const uint8_t none[REC_HASH];
  rec_deploy r;
  hdw_status st = rec_get_deploy(rec, &r);
  if (st) return st;
  store_deploy d = {.seq = rec->seq, .time_us = rec->time_us, .body_len = rec->body_len, .name = r.name, .file = r.file, .who = r.who};
  if (rec->body_len) d.pos = rec->pos;
  memcpy(d.module, r.module, REC_HASH);
  memcpy(d.deployment, r.deployment, REC_HASH);
  bool withdrawn = !memcmp(r.module, none, REC_HASH);
  if (!withdrawn) st = deploy_by_module(s, &d, rec->body_len > 0);
  size_t n = st ? 0 : row_put_deploy(s, &d);
  if (!st && !n) st = HDW_E_LIMIT;
  skey k HDW_UNSET;
  skey_begin(&k, 0, T_CURRENT);
  cod_put_raw(&k.w, r.name.p, r.name.len);
  if (withdrawn) del(s, &st, &k);
  else put(s, &st, &k, s->row, n);
  key_id(&k, 0, T_DEPLOYED, rec->seq);
  put(s, &st, &k, s->row, n);
  return st;
}

static hdw_status fold_named(store *s, const log_rec *rec) {
  rec_put r;
  hdw_status st = rec_get_named(rec, &r);
  if (st) return st;
  skey k HDW_UNSET;
  key_named(&k, r.space);
  cod_put_raw(&k.w, r.key.p, r.key.len);
  if (rec->body_len) put(s, &st, &k, rec->body, rec->body_len);
  else del(s, &st, &k);
  return st;
}

hdw_status store_fold(store *s, const log_rec *rec) {
  if (rec->type != REC_RUN_END || !s->has_young) { /* fold_run_end looks at the young run first */
    hdw_status st = store_txn(s);
    if (st) return st;
  }
  switch (rec->type) {
  case REC_INPUT: return fold_input(s, rec);
  case REC_VERDICT: return fold_verdict(s, rec);
  case REC_ACK_OUTCOME: return fold_ack_outcome(s, rec);
  case REC_RUN_START: return fold_run_start(s, rec);
  case REC_RUN_STATE: return fold_run_state(s, rec);
  case REC_INTENT:
  case REC_RESULT: return fold_effect(s, rec);
  case REC_RUN_END: return fold_run_end(s, rec);
  case REC_DELIVERY: return fold_delivery(s, rec);
  case REC_DELIVERY_RESULT: return fold_delivery_result(s, rec);
  case REC_ACTION: return fold_action(s, rec);
  case REC_DEPLOY: return fold_deploy(s, rec);
  case REC_PUT: return fold_named(s, rec);
  case REC_EXPIRE: return store_fold_expire(s, rec);
  case REC_AUDIT: return store_fold_audit(s, rec);
  case REC_CLOSE: return HDW_OK;
  default: return HDW_E_VERSION;
  }
}
