#include "store_int.h"

/* Rows are written and read side by side, in the same order. Ids and partitions are in the key. */

static void put_pos(cod_w *w, log_pos p) {
  cod_put_var(w, p.seg);
  cod_put_u32(w, p.off);
}

static log_pos get_pos(cod_r *r) {
  log_pos p;
  p.seg = cod_get_var(r);
  p.off = cod_get_u32(r);
  return p;
}

static void put_time(cod_w *w, int64_t us) { cod_put_u64(w, (uint64_t)us); }
static int64_t get_time(cod_r *r) { return (int64_t)cod_get_u64(r); }
static size_t done(const cod_w *w) { return w->bad ? 0 : w->len; }

size_t row_put_input(store *s, const store_input *r) {
  cod_w w = cod_writer(s->row, sizeof s->row);
  cod_put_u8(&w, r->state);
  cod_put_u8(&w, r->attempts);
  put_time(&w, r->time_us);
  put_time(&w, r->received_us);
  put_pos(&w, r->pos);
  cod_put_var(&w, r->body_len);
  cod_put_raw(&w, r->content_hash, REC_HASH);
  cod_put_str(&w, r->source);
  cod_put_str(&w, r->control_id);
  cod_put_str(&w, r->sender);
  cod_put_str(&w, r->type);
  cod_put_str(&w, r->peer);
  cod_put_str(&w, r->dedup_key);
  cod_put_str(&w, r->ack_code);
  cod_put_str(&w, r->error_code);
  cod_put_str(&w, r->text);
  cod_put_u8(&w, r->npatients);
  cod_put_raw(&w, r->patients, (size_t)r->npatients * STORE_SIP);
  if (r->identity.len || r->charset.len || r->trace.len) {
    cod_put_str(&w, r->identity);
    cod_put_str(&w, r->charset);
    if (r->trace.len) cod_put_str(&w, r->trace);
  }
  return done(&w);
}

bool row_get_input(cod_str v, store_input *o) {
  cod_r r = cod_reader(v.p, v.len);
  o->state = cod_get_u8(&r);
  o->attempts = cod_get_u8(&r);
  o->time_us = get_time(&r);
  o->received_us = get_time(&r);
  o->pos = get_pos(&r);
  o->body_len = (uint32_t)cod_get_var(&r);
  cod_get_raw(&r, o->content_hash, REC_HASH);
  o->source = cod_get_str(&r);
  o->control_id = cod_get_str(&r);
  o->sender = cod_get_str(&r);
  o->type = cod_get_str(&r);
  o->peer = cod_get_str(&r);
  o->dedup_key = cod_get_str(&r);
  o->ack_code = cod_get_str(&r);
  o->error_code = cod_get_str(&r);
  o->text = cod_get_str(&r);
  o->npatients = cod_get_u8(&r);
  if (o->npatients > REC_MAX_PATIENTS) return false;
  cod_get_raw(&r, o->patients, (size_t)o->npatients * STORE_SIP);
  o->identity = o->charset = o->trace = (cod_str){NULL, 0};
  if (!cod_done(&r)) {
    o->identity = cod_get_str(&r);
    o->charset = cod_get_str(&r);
    if (!r.bad && !cod_done(&r)) o->trace = cod_get_str(&r);
  }
  return cod_done(&r);
}

size_t row_put_run(store *s, const store_run *r) {
  cod_w w = cod_writer(s->row, sizeof s->row);
  cod_put_u8(&w, r->state);
  cod_put_u8(&w, r->fail_class);
  cod_put_u8(&w, r->flags);
  cod_put_u8(&w, r->nlanes);
  cod_put_var(&w, r->input);
  cod_put_var(&w, r->of_run);
  cod_put_var(&w, r->epoch);
  put_time(&w, r->created_us);
  put_time(&w, r->started_us);
  put_time(&w, r->changed_us);
  put_time(&w, r->wake_us);
  cod_put_var(&w, r->attempts);
  put_pos(&w, r->start_pos);
  put_pos(&w, r->result_pos);
  cod_put_var(&w, r->file);
  cod_put_var(&w, r->line);
  cod_put_var(&w, r->column);
  cod_put_raw(&w, r->module, REC_HASH);
  cod_put_raw(&w, r->deployment, REC_HASH);
  cod_put_raw(&w, r->lanes, (size_t)r->nlanes * REC_LANE);
  cod_put_str(&w, r->workflow);
  cod_put_str(&w, r->reason);
  cod_put_str(&w, r->path);
  cod_put_str(&w, r->error_code);
  cod_put_str(&w, r->held);
  return done(&w);
}

bool row_get_run(cod_str v, store_run *o) {
  cod_r r = cod_reader(v.p, v.len);
  o->state = cod_get_u8(&r);
  o->fail_class = cod_get_u8(&r);
  o->flags = cod_get_u8(&r);
  o->nlanes = cod_get_u8(&r);
  o->input = cod_get_var(&r);
  o->of_run = cod_get_var(&r);
  o->epoch = cod_get_var(&r);
  o->created_us = get_time(&r);
  o->started_us = get_time(&r);
  o->changed_us = get_time(&r);
  o->wake_us = get_time(&r);
  o->attempts = (uint32_t)cod_get_var(&r);
  o->start_pos = get_pos(&r);
  o->result_pos = get_pos(&r);
  o->file = (uint32_t)cod_get_var(&r);
  o->line = (uint32_t)cod_get_var(&r);
  o->column = (uint32_t)cod_get_var(&r);
  cod_get_raw(&r, o->module, REC_HASH);
  cod_get_raw(&r, o->deployment, REC_HASH);
  if (o->nlanes > REC_MAX_LANES) return false;
  cod_get_raw(&r, o->lanes, (size_t)o->nlanes * REC_LANE);
  o->workflow = cod_get_str(&r);
  o->reason = cod_get_str(&r);
  o->path = cod_get_str(&r);
  o->error_code = cod_get_str(&r);
  if (r.p < r.end) o->held = cod_get_str(&r); /* rows of an earlier version end here */
  return cod_done(&r);
}

size_t row_put_effect(store *s, const store_effect *r) {
  cod_w w = cod_writer(s->row, sizeof s->row);
  cod_put_u8(&w, r->state);
  cod_put_u8(&w, r->fail_class);
  cod_put_var(&w, r->attempts);
  put_time(&w, r->time_us);
  put_pos(&w, r->intent_pos);
  put_pos(&w, r->result_pos);
  cod_put_raw(&w, r->request_hash, REC_HASH);
  cod_put_str(&w, r->operation);
  cod_put_str(&w, r->error_code);
  cod_put_str(&w, r->error_text);
  if (r->address.len) cod_put_str(&w, r->address);
  return done(&w);
}

bool row_get_effect(cod_str v, store_effect *o) {
  cod_r r = cod_reader(v.p, v.len);
  o->state = cod_get_u8(&r);
  o->fail_class = cod_get_u8(&r);
  o->attempts = (uint32_t)cod_get_var(&r);
  o->time_us = get_time(&r);
  o->intent_pos = get_pos(&r);
  o->result_pos = get_pos(&r);
  cod_get_raw(&r, o->request_hash, REC_HASH);
  o->operation = cod_get_str(&r);
  o->error_code = cod_get_str(&r);
  o->error_text = cod_get_str(&r);
  if (r.p < r.end) o->address = cod_get_str(&r);
  return cod_done(&r);
}

size_t row_put_delivery(store *s, const store_delivery *r) {
  cod_w w = cod_writer(s->row, sizeof s->row);
  cod_put_u8(&w, r->state);
  cod_put_u8(&w, r->fail_class);
  cod_put_var(&w, r->run);
  cod_put_var(&w, r->attempts);
  cod_put_var(&w, r->body_len);
  put_time(&w, r->created_us);
  put_time(&w, r->changed_us);
  put_time(&w, r->next_us);
  put_pos(&w, r->pos);
  put_pos(&w, r->response_pos);
  cod_put_raw(&w, r->lane, REC_LANE);
  cod_put_raw(&w, r->request_hash, REC_HASH);
  cod_put_raw(&w, r->idempotency, REC_HASH);
  cod_put_str(&w, r->sink);
  cod_put_str(&w, r->path);
  cod_put_str(&w, r->operation);
  cod_put_str(&w, r->error_code);
  cod_put_str(&w, r->error_text);
  put_time(&w, r->failing_us);
  if (r->nmore) {
    cod_put_u8(&w, r->nmore);
    cod_put_raw(&w, r->more, (size_t)r->nmore * REC_LANE);
  }
  return done(&w);
}

bool row_get_delivery(cod_str v, store_delivery *o) {
  cod_r r = cod_reader(v.p, v.len);
  o->state = cod_get_u8(&r);
  o->fail_class = cod_get_u8(&r);
  o->run = cod_get_var(&r);
  o->attempts = (uint32_t)cod_get_var(&r);
  o->body_len = (uint32_t)cod_get_var(&r);
  o->created_us = get_time(&r);
  o->changed_us = get_time(&r);
  o->next_us = get_time(&r);
  o->pos = get_pos(&r);
  o->response_pos = get_pos(&r);
  cod_get_raw(&r, o->lane, REC_LANE);
  cod_get_raw(&r, o->request_hash, REC_HASH);
  cod_get_raw(&r, o->idempotency, REC_HASH);
  o->sink = cod_get_str(&r);
  o->path = cod_get_str(&r);
  o->operation = cod_get_str(&r);
  o->error_code = cod_get_str(&r);
  o->error_text = cod_get_str(&r);
  if (r.p < r.end) o->failing_us = get_time(&r);
  if (r.p < r.end) o->nmore = cod_get_u8(&r);
  if (o->nmore >= REC_MAX_LANES) return false;
  cod_get_raw(&r, o->more, (size_t)o->nmore * REC_LANE);
  return cod_done(&r);
}

size_t row_put_deploy(store *s, const store_deploy *r) {
  cod_w w = cod_writer(s->row, sizeof s->row);
  cod_put_var(&w, r->seq);
  put_time(&w, r->time_us);
  put_pos(&w, r->pos);
  cod_put_var(&w, r->body_len);
  cod_put_raw(&w, r->module, REC_HASH);
  cod_put_raw(&w, r->deployment, REC_HASH);
  cod_put_str(&w, r->name);
  cod_put_str(&w, r->file);
  cod_put_str(&w, r->who);
  return done(&w);
}

bool row_get_deploy(cod_str v, store_deploy *o) {
  cod_r r = cod_reader(v.p, v.len);
  o->seq = cod_get_var(&r);
  o->time_us = get_time(&r);
  o->pos = get_pos(&r);
  o->body_len = (uint32_t)cod_get_var(&r);
  cod_get_raw(&r, o->module, REC_HASH);
  cod_get_raw(&r, o->deployment, REC_HASH);
  o->name = cod_get_str(&r);
  o->file = cod_get_str(&r);
  o->who = cod_get_str(&r);
  return cod_done(&r);
}

/* ---- keys ---- */

void key_id(skey *k, uint16_t part, store_table t, uint64_t id) {
  skey_begin(k, part, t);
  cod_put_be64(&k->w, id);
}

static void put_name(skey *k, cod_str name) {
  if (name.len > 255) k->w.bad = true;
  cod_put_u8(&k->w, (uint8_t)name.len);
  cod_put_raw(&k->w, name.p, name.len);
}

void key_dedup(const store *s, skey *k, cod_str source, cod_str dedup_key) {
  enum { PLAIN_MAX = 200 };
  skey_begin(k, 0, T_DEDUP);
  put_name(k, source);
  if (dedup_key.len <= PLAIN_MAX) {
    cod_put_u8(&k->w, (uint8_t)dedup_key.len);
    cod_put_raw(&k->w, dedup_key.p, dedup_key.len);
  } else {
    uint8_t h[STORE_SIP];
    cod_siphash128(s->hash_key, dedup_key.p, dedup_key.len, h);
    cod_put_u8(&k->w, 255);
    cod_put_raw(&k->w, h, sizeof h);
  }
}

void key_hashed(store *s, skey *k, uint16_t part, store_table t, cod_str what) {
  enum { PLAIN_MAX = 64 };
  uint8_t h[STORE_SIP];
  if (t == T_BY_CONTROL && what.len <= PLAIN_MAX) {
    /* No personal data, and mostly rising: kept as it is, so that inserts stay local. The length byte keeps prefixes apart. */
    skey_begin(k, part, t);
    put_name(k, what);
    return;
  }
  skey_begin(k, part, t);
  if (t == T_BY_SENDER && what.len && what.len == s->hashed_len && !memcmp(what.p, s->hashed, what.len)) {
    cod_put_raw(&k->w, s->hashed_key, STORE_SIP);
    return;
  }
  cod_siphash128(s->hash_key, what.p, what.len, h);
  cod_put_raw(&k->w, h, sizeof h);
  if (t != T_BY_SENDER || what.len > sizeof s->hashed) return;
  memcpy(s->hashed, what.p, what.len);
  s->hashed_len = (uint8_t)what.len;
  memcpy(s->hashed_key, h, sizeof h);
}

void key_queue(skey *k, uint16_t part, cod_str sink) {
  skey_begin(k, part, T_QUEUE);
  put_name(k, sink);
}

void key_effect(skey *k, uint16_t part, uint64_t run) { key_id(k, part, T_EFFECT, run); }

void key_timer(skey *k, uint16_t part, int64_t at_us, uint8_t subject, uint64_t id) {
  skey_begin(k, part, T_TIMER);
  cod_put_be64(&k->w, (uint64_t)at_us);
  cod_put_u8(&k->w, subject);
  cod_put_be64(&k->w, id);
}

void key_named(skey *k, cod_str space) {
  skey_begin(k, 0, T_NAMED);
  put_name(k, space);
}
