/* store_retain.c - what is over: which rows go, and which records of the log are still needed.
 *
 * A row goes only by a REC_EXPIRE record; a record of the log goes (or loses its body) only when no row needs it any more. So what is left of the log,
 * folded again, gives the same rows: a record that is gone would have made a row that a later REC_EXPIRE removes. A removing record (REC_EXPIRE, an
 * empty REC_PUT, a resume) itself stays until everything before it was filtered with a state that knew of it (store_horizon.floor). */
#include "store_int.h"
#include "points.h"

uint64_t store_committed(const store *s) { return s->committed; }
uint64_t store_first(const store *s) { return s->first; }

/* A copy of the row, in s->copy, where it lives until the next one. After store_txn: what is young is in the tables. */
static hdw_status load(store *s, const skey *k, cod_str *v) {
  hdw_status st = store_get(s, k, v);
  if (st) return st;
  if (v->len > sizeof s->copy) return HDW_E_CORRUPT;
  memcpy(s->copy, v->p, v->len);
  v->p = (const char *)s->copy;
  return HDW_OK;
}

static hdw_status get_input(store *s, uint16_t part, uint64_t id, store_input *in) {
  skey k;
  cod_str v;
  key_id(&k, part, T_INPUT, id);
  memset(in, 0, sizeof *in);
  hdw_status st = load(s, &k, &v);
  return st ? st : row_get_input(v, in) ? HDW_OK : HDW_E_CORRUPT;
}
static hdw_status get_run(store *s, uint16_t part, uint64_t id, store_run *r) {
  skey k;
  cod_str v;
  key_id(&k, part, T_RUN, id);
  memset(r, 0, sizeof *r);
  hdw_status st = load(s, &k, &v);
  return st ? st : row_get_run(v, r) ? HDW_OK : HDW_E_CORRUPT;
}
static hdw_status get_delivery(store *s, uint16_t part, uint64_t id, store_delivery *d) {
  skey k;
  cod_str v;
  key_id(&k, part, T_DELIVERY, id);
  memset(d, 0, sizeof *d);
  hdw_status st = load(s, &k, &v);
  return st ? st : row_get_delivery(v, d) ? HDW_OK : HDW_E_CORRUPT;
}

/* A failed run that holds a lane waits for a person, as a dead one does. */
static bool run_over(const store_run *r) {
  return r->state == RUN_DONE || r->state == RUN_DISCARDED || (r->state == RUN_FAILED && (!r->nlanes || (r->flags & RUN_F_LANE_SKIP)));
}
static bool delivery_over(const store_delivery *d) { return d->state == DELIVERY_DELIVERED || d->state == DELIVERY_DISCARDED; }

/* ---- rows that go: folding REC_EXPIRE ---------------------------------------------------------------------------------------- */

static void del(store *s, hdw_status *st, const skey *k) {
  if (!*st) *st = store_del(s, k);
}

static void del_index(store *s, hdw_status *st, uint16_t part, store_table t, uint8_t first, uint64_t id) {
  skey k;
  skey_begin(&k, part, t);
  cod_put_u8(&k.w, first);
  cod_put_be64(&k.w, id);
  del(s, st, &k);
}

/* Everything under a prefix; how many there were. */
static uint64_t del_prefix(store *s, hdw_status *st, const skey *prefix) {
  uint64_t n = 0;
  for (bool more = true; more && !*st;) {
    sit i HDW_UNSET;
    skey k = *prefix;
    k.w.p = k.b;
    sit_begin(&i, s, prefix, NULL, false);
    more = sit_next(&i);
    if (more) cod_put_raw(&k.w, i.key.p, (size_t)(i.key.end - i.key.p));
    sit_end(&i);
    *st = i.status;
    if (more) del(s, st, &k), n++;
  }
  return n;
}

static void drop_run(store *s, hdw_status *st, uint16_t part, uint64_t id) {
  store_run r;
  skey k;
  hdw_status got = get_run(s, part, id, &r);
  if (got && got != HDW_E_NOTFOUND) *st = got;
  if (!got) {
    del_index(s, st, part, T_RUN_STATE, r.state, id);
    del_index(s, st, part, T_DEAD, SUBJECT_RUN, id);
    if (r.wake_us > 0) {
      key_timer(&k, part, r.wake_us, SUBJECT_RUN, id);
      del(s, st, &k);
    }
    for (unsigned i = 0; i < r.nlanes; i++) {
      skey_begin(&k, part, T_LANE);
      cod_put_raw(&k.w, r.lanes[i], REC_LANE);
      cod_put_be64(&k.w, id);
      del(s, st, &k);
    }
    if (r.input) {
      key_id(&k, part, T_RUN_OF_INPUT, r.input);
      cod_put_be64(&k.w, id);
      del(s, st, &k);
    }
    key_id(&k, part, T_RUN, id);
    del(s, st, &k);
    s->counts.runs--;
    s->counts.runs_by_state[r.state % 12]--;
  }
  /* Records about it may stand behind one that is gone: whatever they made goes too. */
  key_effect(&k, part, id);
  s->counts.effects -= del_prefix(s, st, &k);
  key_id(&k, part, T_OF_RUN, id);
  (void)del_prefix(s, st, &k);
}

static void del_hashed(store *s, hdw_status *st, uint16_t part, store_table t, cod_str what, uint64_t id) {
  skey k;
  if (!what.len) return;
  key_hashed(s, &k, part, t, what);
  cod_put_be64(&k.w, id);
  del(s, st, &k);
}

static void drop_input(store *s, hdw_status *st, uint16_t part, uint64_t id) {
  store_input in;
  skey k;
  hdw_status got = get_input(s, part, id, &in);
  if (got == HDW_E_NOTFOUND) return;
  if (got) {
    *st = got;
    return;
  }
  del_hashed(s, st, part, T_BY_CONTROL, in.control_id, id);
  del_hashed(s, st, part, T_BY_SENDER, in.sender, id);
  for (unsigned i = 0; i < in.npatients; i++) {
    key_patient(&k, part, in.patients[i], id);
    del(s, st, &k);
  }
  del_index(s, st, part, T_DEAD, SUBJECT_INPUT, id);
  if (in.dedup_key.len) {
    key_dedup(s, &k, in.source, in.dedup_key);
    cod_put_be64(&k.w, id);
    del(s, st, &k);
  }
  if (!*st) *st = store_once_drop(s, id);
  key_id(&k, part, T_INPUT, id);
  del(s, st, &k);
  s->counts.inputs--;
  s->counts.inputs_by_state[in.state % 8]--;
}

static void drop_delivery(store *s, hdw_status *st, uint16_t part, uint64_t id) {
  store_delivery d;
  skey k;
  hdw_status got = get_delivery(s, part, id, &d);
  if (got == HDW_E_NOTFOUND) return;
  if (got) {
    *st = got;
    return;
  }
  for (unsigned i = 0; i <= d.nmore; i++) {
    key_queue(&k, part, d.sink);
    cod_put_raw(&k.w, i ? d.more[i - 1] : d.lane, REC_LANE);
    cod_put_be64(&k.w, id);
    del(s, st, &k);
  }
  del_index(s, st, part, T_DEAD, SUBJECT_DELIVERY, id);
  if (d.next_us > 0) {
    key_timer(&k, part, d.next_us, SUBJECT_DELIVERY, id);
    del(s, st, &k);
  }
  if (d.run) {
    key_id(&k, part, T_OF_RUN, d.run);
    cod_put_be64(&k.w, id);
    del(s, st, &k);
  }
  key_id(&k, part, T_DELIVERY, id);
  del(s, st, &k);
  s->counts.deliveries--;
  s->counts.deliveries_by_state[d.state % 8]--;
}

hdw_status store_fold_expire(store *s, const log_rec *rec) {
  rec_expire e;
  hdw_status st = rec_get_expire(rec, &e);
  if (!st && e.first > s->first) s->first = e.first;
  for (uint32_t i = 0; !st && i < e.n; i++) {
    rec_expired x = rec_next_expired(&e);
    if (x.subject == SUBJECT_RUN) drop_run(s, &st, rec->partition, x.id);
    else if (x.subject == SUBJECT_INPUT) drop_input(s, &st, rec->partition, x.id);
    else drop_delivery(s, &st, rec->partition, x.id);
  }
  return st;
}

/* ---- which rows are over ------------------------------------------------------------------------------------------------------- */

/* A dead letter waits for a person. */
static bool is_dead(store *s, uint16_t part, uint8_t subject, uint64_t id) {
  skey k;
  cod_str v;
  skey_begin(&k, part, T_DEAD);
  cod_put_u8(&k.w, subject);
  cod_put_be64(&k.w, id);
  return store_get(s, &k, &v) != HDW_E_NOTFOUND;
}

static bool has_any(store *s, const skey *prefix) {
  sit i HDW_UNSET;
  sit_begin(&i, s, prefix, NULL, false);
  bool any = sit_next(&i);
  sit_end(&i);
  return any || i.status;
}

/* A run may go when it is finished and its deliveries are gone. */
static bool run_may_go(store *s, uint16_t part, uint64_t id, const store_run *r, int64_t until_us) {
  skey k;
  if (!run_over(r) || r->changed_us >= until_us) return false;
  key_id(&k, part, T_OF_RUN, id);
  return !has_any(s, &k);
}

typedef struct heir {
  store *s;
  uint64_t of_run;
  bool found;
} heir;
static bool one_heir(uint16_t part, uint64_t id, uint8_t state, void *user) {
  heir *h = (heir *)user;
  store_run r;
  (void)state;
  h->found = get_run(h->s, part, id, &r) || (r.of_run == h->of_run && !run_over(&r));
  return !h->found;
}

/* A run that reprocesses the input and has not ended takes over what this one did. */
static bool has_heir(store *s, uint16_t part, uint64_t input, uint64_t run) {
  heir h = {.s = s, .of_run = run};
  return input && (store_list_runs_of_input(s, part, input, one_heir, &h) || h.found);
}
static bool run_has_heir(store *s, uint16_t part, uint64_t run) {
  store_run r;
  hdw_status st = run ? get_run(s, part, run, &r) : HDW_E_NOTFOUND;
  return st ? st != HDW_E_NOTFOUND : has_heir(s, part, r.input, run); /* one that does not read may have one */
}

typedef struct group {
  store *s;
  rec_expired *out;
  uint32_t n, cap;
  int64_t until_us;
  bool keep;
} group;

static bool group_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  group *g = (group *)user;
  store_run r;
  (void)state;
  if (g->n == g->cap || get_run(g->s, part, id, &r) || !run_may_go(g->s, part, id, &r, g->until_us)) {
    g->keep = true;
    return false;
  }
  g->out[g->n++] = (rec_expired){SUBJECT_RUN, id};
  return true;
}

/* The input with all its runs, or nothing. False: out is full. */
static bool take_input(store *s, uint16_t part, uint64_t id, const store_input *in, int64_t until_us, rec_expired *out, uint32_t cap, uint32_t *n) {
  group g = {s, out + *n, 0, cap - *n, until_us, false};
  if (in->state == INPUT_RUNNING || is_dead(s, part, SUBJECT_INPUT, id) || store_input_counts(s, id, until_us)) return true;
  if (cap - *n < 2) return false;
  g.cap--;
  hdw_status st = store_list_runs_of_input(s, part, id, group_run, &g);
  if (g.keep && g.n == g.cap && *n) return false; /* the next record has room for it */
  if (st || g.keep) return true;
  out[*n + g.n] = (rec_expired){SUBJECT_INPUT, id};
  *n += g.n + 1;
  return true;
}

static bool take_one(store *s, uint16_t part, uint8_t subject, uint64_t id, cod_str v, int64_t until_us, rec_expired *out, uint32_t cap, uint32_t *n, bool *end) {
  if (subject == SUBJECT_INPUT) {
    store_input in;
    if (get_input(s, part, id, &in)) return true;
    *end = in.time_us >= until_us;
    return *end || take_input(s, part, id, &in, until_us, out, cap, n);
  }
  if (*n == cap) return false;
  if (subject == SUBJECT_DELIVERY) {
    store_delivery d = {0};
    if (!row_get_delivery(v, &d)) return true;
    *end = d.created_us >= until_us;
    if (delivery_over(&d) && d.changed_us < until_us && !run_has_heir(s, part, d.run)) out[(*n)++] = (rec_expired){subject, id};
    return true;
  }
  store_run r = {0};
  if (!row_get_run(v, &r)) return true;
  *end = r.created_us >= until_us;
  if (!r.input && run_may_go(s, part, id, &r, until_us)) out[(*n)++] = (rec_expired){subject, id};
  return true;
}

hdw_status store_find_expired(store *s, uint16_t part, uint8_t subject, uint64_t after, int64_t until_us, unsigned look, rec_expired *out, uint32_t cap, uint32_t *n, uint64_t *next) {
  store_table t = subject == SUBJECT_INPUT ? T_INPUT : subject == SUBJECT_RUN ? T_RUN : T_DELIVERY;
  skey prefix HDW_UNSET, from HDW_UNSET;
  sit i HDW_UNSET;
  bool end = false;
  *n = 0, *next = 0;
  skey_begin(&prefix, part, t);
  key_id(&from, part, t, after + 1);
  sit_begin(&i, s, &prefix, &from, false);
  while (!end && sit_next(&i)) {
    uint64_t id = cod_get_be64(&i.key);
    if (!look-- || !take_one(s, part, subject, id, i.value, until_us, out, cap, n, &end)) {
      *next = id - 1;
      break;
    }
  }
  sit_end(&i);
  return i.status;
}

hdw_status store_list_all(store *s, uint16_t part, uint8_t subject, uint64_t after, unsigned limit, store_id_cb cb, void *user) {
  store_table t = subject == SUBJECT_INPUT ? T_INPUT : subject == SUBJECT_RUN ? T_RUN : T_DELIVERY;
  skey prefix, from;
  sit i;
  if (!limit) limit = UINT32_MAX;
  skey_begin(&prefix, part, t);
  key_id(&from, part, t, after + 1);
  sit_begin(&i, s, &prefix, &from, false);
  while (limit-- && sit_next(&i) && cb(part, cod_get_be64(&i.key), 0, user));
  sit_end(&i);
  return i.status;
}

/* ---- which records are needed ------------------------------------------------------------------------------------------------------ */

static bool old(int64_t time_us, int64_t horizon_us) { return horizon_us > 0 && time_us < horizon_us; }

/* Its row is there: the record stays, its body as long as `needed` or young. */
static store_keep body(const log_rec *rec, bool needed, int64_t time_us, int64_t horizon_us, bool *pinned) {
  if (!rec->body_len || !old(rec->time_us, horizon_us)) return STORE_KEEP;
  needed |= !old(time_us, horizon_us); /* it ended late */
  *pinned |= needed;
  if (HDW_BROKEN("retain.drops")) return STORE_BARE;
  return needed ? STORE_KEEP : STORE_BARE;
}

static bool any_open(uint16_t part, uint64_t id, uint8_t state, void *user) {
  store_run r;
  group *g = (group *)user;
  (void)state;
  g->keep |= get_run(g->s, part, id, &r) || !run_over(&r);
  return !g->keep;
}

static store_keep keep_input(store *s, const log_rec *rec, uint64_t id, const store_horizon *h, bool *pinned) {
  store_input in;
  hdw_status st = get_input(s, rec->partition, id, &in);
  if (st) return st == HDW_E_NOTFOUND ? STORE_DROP : STORE_KEEP;
  *pinned |= old(rec->time_us, h->runs_us);
  if (!rec->body_len || !old(rec->time_us, h->inputs_us)) return STORE_KEEP;
  group g = {.s = s, .keep = in.state == INPUT_RUNNING || is_dead(s, rec->partition, SUBJECT_INPUT, id)};
  st = store_list_runs_of_input(s, rec->partition, id, any_open, &g);
  return body(rec, g.keep || st, rec->time_us, h->inputs_us, pinned);
}

static store_keep keep_run(store *s, const log_rec *rec, uint64_t id, const store_horizon *h, bool *pinned) {
  store_run r;
  hdw_status st = get_run(s, rec->partition, id, &r);
  if (st) return st == HDW_E_NOTFOUND ? STORE_DROP : STORE_KEEP;
  *pinned |= old(rec->time_us, h->runs_us);
  int64_t until = rec->type == REC_RUN_END && (r.flags & RUN_F_ACK_AFTER) ? h->answers_us : h->values_us, changed_us = r.changed_us;
  bool needed = !run_over(&r);
  if (!needed && rec->body_len && old(rec->time_us, until)) needed = has_heir(s, rec->partition, r.input, id);
  return body(rec, needed, changed_us, until, pinned);
}

static store_keep keep_effect(store *s, const log_rec *rec, const store_horizon *h, bool *pinned) {
  rec_effect f;
  skey k;
  cod_str v;
  if (rec_get_effect(rec, &f)) return STORE_KEEP;
  key_effect(&k, rec->partition, f.run);
  cod_put_raw(&k.w, f.path.p, f.path.len);
  if (store_get(s, &k, &v) == HDW_E_NOTFOUND) return STORE_DROP;
  store_keep keep = keep_run(s, rec, f.run, h, pinned);
  return keep == STORE_DROP ? body(rec, false, rec->time_us, h->values_us, pinned) : keep;
}

static store_keep keep_delivery(store *s, const log_rec *rec, uint64_t id, const store_horizon *h, bool *pinned) {
  store_delivery d;
  hdw_status st = get_delivery(s, rec->partition, id, &d);
  if (st) return st == HDW_E_NOTFOUND ? STORE_DROP : STORE_KEEP;
  *pinned |= old(rec->time_us, h->runs_us);
  return body(rec, !delivery_over(&d), d.changed_us, h->values_us, pinned);
}

/* The value that holds stays; a removal as long as there may be something before it to remove. */
static store_keep keep_named(store *s, const log_rec *rec, const store_horizon *h) {
  rec_put p;
  skey k;
  cod_str v;
  if (rec_get_named(rec, &p)) return STORE_KEEP;
  if (!rec->body_len) return h->floor >= rec->seq ? STORE_DROP : STORE_KEEP;
  key_named(&k, p.space);
  cod_put_raw(&k.w, p.key.p, p.key.len);
  hdw_status st = store_get(s, &k, &v);
  if (st == HDW_E_NOTFOUND) return STORE_DROP;
  return !st && !cod_equal(v, cod_bytes(rec->body, rec->body_len)) ? STORE_DROP : STORE_KEEP;
}

static store_keep keep_deploy(store *s, const log_rec *rec) {
  rec_deploy r;
  skey k;
  cod_str v;
  store_deploy d;
  if (rec_get_deploy(rec, &r)) return STORE_KEEP;
  store_keep over = STORE_DROP;
  key_id(&k, 0, T_DEPLOYED, rec->seq);
  if (store_get(s, &k, &v) != HDW_E_NOTFOUND) over = rec->body_len ? STORE_BARE : STORE_KEEP; /* history: who deployed what, without the module */
  for (int current = 0; current < 2; current++) {
    skey_begin(&k, 0, current ? T_CURRENT : T_DEPLOY);
    if (current) cod_put_raw(&k.w, r.name.p, r.name.len);
    else cod_put_raw(&k.w, r.module, REC_HASH);
    hdw_status st = store_get(s, &k, &v);
    if (st == HDW_E_NOTFOUND) continue;
    if (st || !row_get_deploy(v, &d) || d.seq == rec->seq || (d.pos.seg == rec->pos.seg && d.pos.off == rec->pos.off)) return STORE_KEEP;
  }
  return over;
}

/* Old operators' actions: those that still say something about the state stay. */
static store_keep keep_action(store *s, const log_rec *rec) {
  rec_action a;
  store_run r;
  store_delivery d;
  store_input in;
  hdw_status st = HDW_OK;
  if (rec_get_action(rec, &a)) return STORE_KEEP;
  if (a.action == ACTION_PAUSE || a.action == ACTION_RESUME) return STORE_KEEP; /* few, and the last one counts */
  switch (a.subject) {
  case SUBJECT_RUN:
  case SUBJECT_LANE: st = get_run(s, rec->partition, a.id, &r); break;
  case SUBJECT_DELIVERY: st = get_delivery(s, rec->partition, a.id, &d); break;
  case SUBJECT_INPUT: st = get_input(s, rec->partition, a.id, &in); break;
  default: break;
  }
  return st == HDW_E_NOTFOUND ? STORE_DROP : STORE_KEEP;
}

static store_keep keep_audit(store *s, const log_rec *rec, const store_horizon *h, bool *pinned) {
  store_keep k = STORE_KEEP;
  rec_audit a;
  rec_expire e;
  if (!old(rec->time_us, h->audit_us)) return k;
  if (rec->type == REC_DEPLOY) k = keep_deploy(s, rec);
  else if (rec->type == REC_ACTION) k = keep_action(s, rec);
  else if (rec->type == REC_AUDIT) k = !rec_get_audit(rec, &a) && !store_has_audit(s, a.number) ? STORE_DROP : STORE_KEEP;
  else if (rec->type == REC_EXPIRE && h->floor >= rec->seq) k = !rec_get_expire(rec, &e) && e.first && e.first == s->first ? STORE_KEEP : STORE_DROP;
  *pinned |= k == STORE_KEEP && rec->type != REC_EXPIRE;
  return k;
}

store_keep store_keeps(store *s, const log_rec *rec, const store_horizon *h, bool *pinned) {
  rec_input_verdict v;
  rec_ack_outcome o;
  rec_run_change c;
  rec_run_end e;
  rec_delivery_result dr;
  if (store_txn(s)) return STORE_KEEP;
  switch (rec->type) {
  case REC_CLOSE: return STORE_DROP;
  case REC_INPUT: return keep_input(s, rec, rec->seq, h, pinned);
  case REC_VERDICT: return rec_get_verdict(rec, &v) ? STORE_KEEP : keep_input(s, rec, v.input, h, pinned);
  case REC_ACK_OUTCOME: return rec_get_ack_outcome(rec, &o) ? STORE_KEEP : keep_input(s, rec, o.input, h, pinned);
  case REC_RUN_START: return keep_run(s, rec, rec_run_id(rec->seq, 0), h, pinned);
  case REC_RUN_STATE: return rec_get_run_change(rec, &c) ? STORE_KEEP : keep_run(s, rec, c.run, h, pinned);
  case REC_RUN_END: return rec_get_run_end(rec, &e) ? STORE_KEEP : keep_run(s, rec, e.run, h, pinned);
  case REC_INTENT:
  case REC_RESULT: return keep_effect(s, rec, h, pinned);
  case REC_DELIVERY: return keep_delivery(s, rec, rec->seq, h, pinned);
  case REC_DELIVERY_RESULT: return rec_get_delivery_result(rec, &dr) ? STORE_KEEP : keep_delivery(s, rec, dr.delivery, h, pinned);
  case REC_PUT: return keep_named(s, rec, h);
  default: return keep_audit(s, rec, h, pinned);
  }
}
