#include "store_int.h"
#include <openssl/evp.h>

/* Rows are copied into the arena before they are decoded, so that their slices live as long as it does. */
static hdw_status fetch(store *s, const skey *k, arena *a, cod_str *v) {
  hdw_status st = store_txn(s);
  if (!st) st = store_get(s, k, v);
  if (st) return st;
  char *p = arena_dup(a, v->p, v->len);
  if (!p) return HDW_E_NOMEM;
  v->p = p;
  return HDW_OK;
}

/* Gives the 8-byte id behind a prefix for each key, state from the value's first byte or fixed. */
static hdw_status list_ids(store *s, uint16_t part, const skey *prefix, uint64_t after, bool desc, unsigned limit, uint8_t state, store_id_cb cb, void *user) {
  sit i HDW_UNSET;
  skey from = *prefix;
  from.w.p = from.b;
  if (!limit) limit = UINT32_MAX;
  if (after) cod_put_be64(&from.w, desc ? after - 1 : after + 1);
  sit_begin(&i, s, prefix, after ? &from : NULL, desc);
  while (limit-- && sit_next(&i)) {
    uint64_t id = cod_get_be64(&i.key);
    if (i.key.bad) i.status = HDW_E_CORRUPT;
    if (i.status) break;
    uint8_t st = i.value.len ? (uint8_t)i.value.p[0] : state;
    if (!cb(part, id, st, user)) break;
  }
  sit_end(&i);
  return i.status;
}

/* ---- inputs ---- */

hdw_status store_get_input(store *s, uint16_t part, uint64_t id, arena *a, store_input *out) {
  skey k HDW_UNSET;
  cod_str v;
  memset(out, 0, sizeof *out);
  key_id(&k, part, T_INPUT, id);
  hdw_status st = fetch(s, &k, a, &v);
  if (st) return st;
  if (!row_get_input(v, out)) return HDW_E_CORRUPT;
  out->id = id, out->partition = part;
  return HDW_OK;
}

hdw_status store_find_duplicate(store *s, cod_str source, cod_str dedup_key, uint64_t before, arena *a, store_input *out) {
  skey k HDW_UNSET, last HDW_UNSET;
  sit i;
  uint16_t part = 0;
  uint64_t id = 0;
  memset(out, 0, sizeof *out);
  if (!dedup_key.len) return HDW_E_NOTFOUND;
  key_dedup(s, &k, source, dedup_key);
  if (before) {
    key_dedup(s, &last, source, dedup_key);
    cod_put_be64(&last.w, before - 1);
  }
  sit_begin(&i, s, &k, before ? &last : NULL, true);
  if (sit_next(&i)) {
    cod_r r = cod_reader(i.value.p, i.value.len);
    part = cod_get_u16(&r);
    id = cod_get_be64(&i.key);
    if (!cod_done(&r) || !cod_done(&i.key)) i.status = HDW_E_CORRUPT;
  }
  sit_end(&i);
  hdw_status st = i.status ? i.status : id ? store_get_input(s, part, id, a, out) : HDW_E_NOTFOUND;
  if (st) return st;
  /* A keyed hash may stand for the key: the row decides. */
  return cod_equal(out->dedup_key, dedup_key) && cod_equal(out->source, source) ? HDW_OK : HDW_E_NOTFOUND;
}

hdw_status store_list_inputs(store *s, uint16_t part, store_index by, cod_str key, uint64_t after, bool descending, unsigned limit, store_id_cb cb, void *user) {
  skey k HDW_UNSET;
  switch (by) {
  case STORE_BY_TIME: skey_begin(&k, part, T_INPUT); break;
  case STORE_BY_CONTROL_ID: key_hashed(s, &k, part, T_BY_CONTROL, key); break;
  case STORE_BY_SENDER: key_hashed(s, &k, part, T_BY_SENDER, key); break;
  case STORE_BY_PATIENT: return store_list_patient(s, part, key, after, descending, limit, cb, user);
  default: return HDW_E_INVALID;
  }
  return list_ids(s, part, &k, after, descending, limit, 0, cb, user);
}

/* The first input with an id >= want, and its time. */
static hdw_status input_at(store *s, uint16_t part, uint64_t want, uint64_t *id, int64_t *time_us) {
  sit i HDW_UNSET;
  skey prefix HDW_UNSET, from HDW_UNSET;
  store_input in;
  skey_begin(&prefix, part, T_INPUT);
  key_id(&from, part, T_INPUT, want);
  sit_begin(&i, s, &prefix, &from, false);
  bool found = sit_next(&i);
  if (found) {
    *id = cod_get_be64(&i.key);
    if (!row_get_input(i.value, &in)) i.status = HDW_E_CORRUPT;
    *time_us = in.time_us;
  }
  sit_end(&i);
  return i.status ? i.status : found ? HDW_OK : HDW_E_NOTFOUND;
}

hdw_status store_input_since(store *s, uint16_t part, int64_t time_us, uint64_t *id) {
  /* Times never fall with ids: binary search over the ids given out. */
  uint64_t lo = 1, hi = s->applied + 1;
  while (lo < hi) {
    uint64_t mid = lo + (hi - lo) / 2, at = 0;
    int64_t t = 0;
    hdw_status st = input_at(s, part, mid, &at, &t);
    if (st && st != HDW_E_NOTFOUND) return st;
    if (st == HDW_E_NOTFOUND || t >= time_us) hi = mid;
    else lo = at + 1;
  }
  int64_t t = 0;
  hdw_status st = input_at(s, part, lo, id, &t);
  return st;
}

/* ---- runs ---- */

hdw_status store_get_run(store *s, uint16_t part, uint64_t id, arena *a, store_run *out) {
  skey k HDW_UNSET;
  cod_str v;
  memset(out, 0, sizeof *out);
  key_id(&k, part, T_RUN, id);
  hdw_status st = fetch(s, &k, a, &v);
  if (st) return st;
  if (!row_get_run(v, out)) return HDW_E_CORRUPT;
  out->id = id, out->partition = part;
  cod_r rest;
  key_effect(&k, part, id);
  st = store_with(s, &k, &rest);
  out->effects = !st;
  return st == HDW_E_NOTFOUND ? HDW_OK : st;
}

hdw_status store_list_runs(store *s, uint16_t part, uint8_t state, uint64_t after, unsigned limit, store_id_cb cb, void *user) {
  skey k HDW_UNSET;
  skey_begin(&k, part, T_RUN_STATE);
  cod_put_u8(&k.w, state);
  return list_ids(s, part, &k, after, false, limit, state, cb, user);
}

hdw_status store_list_runs_of_input(store *s, uint16_t part, uint64_t input, store_id_cb cb, void *user) {
  /* Those of the input's own record are neighbours in the table of runs; later ones are indexed. */
  skey prefix HDW_UNSET, from HDW_UNSET;
  sit i HDW_UNSET;
  store_run r;
  bool on = true;
  skey_begin(&prefix, part, T_RUN);
  key_id(&from, part, T_RUN, rec_run_id(input, 0));
  sit_begin(&i, s, &prefix, &from, false);
  while (on && sit_next(&i)) {
    uint64_t id = cod_get_be64(&i.key);
    if (rec_run_seq(id) != input) break;
    if (!row_get_run(i.value, &r)) i.status = HDW_E_CORRUPT;
    else on = cb(part, id, r.state, user);
  }
  sit_end(&i);
  if (i.status || !on) return i.status;
  key_id(&prefix, part, T_RUN_OF_INPUT, input);
  sit_begin(&i, s, &prefix, NULL, false);
  while (on && sit_next(&i)) {
    uint64_t id = cod_get_be64(&i.key);
    cod_str v;
    key_id(&from, part, T_RUN, id);
    hdw_status st = store_get(s, &from, &v);
    if (st || !row_get_run(v, &r)) {
      i.status = st ? st : HDW_E_CORRUPT;
      break;
    }
    on = cb(part, id, r.state, user);
  }
  sit_end(&i);
  return i.status;
}

hdw_status store_list_lane(store *s, uint16_t part, const uint8_t lane[REC_LANE], uint64_t after, unsigned limit, store_id_cb cb, void *user) {
  skey k HDW_UNSET;
  skey_begin(&k, part, T_LANE);
  cod_put_raw(&k.w, lane, REC_LANE);
  return list_ids(s, part, &k, after, false, limit, 0, cb, user);
}

hdw_status store_lane_head(store *s, uint16_t part, const uint8_t lane[REC_LANE], uint64_t *run, uint8_t *state) {
  skey k HDW_UNSET;
  cod_str v;
  store_run r;
  *run = 0;
  cod_r rest;
  skey_begin(&k, part, T_LANE);
  cod_put_raw(&k.w, lane, REC_LANE);
  hdw_status st = store_with(s, &k, &rest);
  if (st) return st;
  *run = cod_get_be64(&rest);
  if (!state) return HDW_OK;
  key_id(&k, part, T_RUN, *run);
  st = store_get(s, &k, &v);
  if (!st && !row_get_run(v, &r)) st = HDW_E_CORRUPT;
  if (!st) *state = r.state;
  return st;
}

hdw_status store_list_held(store *s, uint16_t part, const uint8_t *after, unsigned limit, store_lane_cb cb, void *user) {
  skey prefix, next;
  sit i HDW_UNSET;
  if (!limit) limit = UINT32_MAX;
  skey_begin(&prefix, part, T_HELD);
  if (after) {
    skey_begin(&next, part, T_HELD);
    cod_put_raw(&next.w, after, REC_LANE);
    cod_put_be64(&next.w, UINT64_MAX);
  }
  sit_begin(&i, s, &prefix, after ? &next : NULL, false);
  while (limit-- && sit_next(&i)) {
    uint8_t lane[REC_LANE];
    cod_get_raw(&i.key, lane, REC_LANE);
    uint64_t id = cod_get_be64(&i.key);
    if (i.key.bad) {
      i.status = HDW_E_CORRUPT;
      break;
    }
    if (!cb(part, lane, id, user)) break;
    skey_begin(&next, part, T_HELD);
    cod_put_raw(&next.w, lane, REC_LANE);
    cod_put_be64(&next.w, UINT64_MAX);
    sit_seek(&i, &next);
  }
  sit_end(&i);
  return i.status;
}

/* ---- journal ---- */

hdw_status store_get_effect(store *s, uint16_t part, uint64_t run, cod_str path, arena *a, store_effect *out) {
  skey k HDW_UNSET;
  cod_str v;
  memset(out, 0, sizeof *out);
  key_effect(&k, part, run);
  cod_put_raw(&k.w, path.p, path.len);
  hdw_status st = fetch(s, &k, a, &v);
  if (st) return st;
  if (!row_get_effect(v, out)) return HDW_E_CORRUPT;
  char *p = arena_dup(a, path.p, path.len);
  out->path = (cod_str){p, path.len};
  return p ? HDW_OK : HDW_E_NOMEM;
}

hdw_status store_list_effects(store *s, uint16_t part, uint64_t run, arena *a, store_effect_cb cb, void *user) {
  skey k HDW_UNSET;
  sit i HDW_UNSET;
  key_effect(&k, part, run);
  sit_begin(&i, s, &k, NULL, false);
  while (sit_next(&i)) {
    store_effect e = {0};
    size_t n = (size_t)(i.key.end - i.key.p);
    char *path = arena_dup(a, i.key.p, n), *row = arena_dup(a, i.value.p, i.value.len);
    if (!path || !row) i.status = HDW_E_NOMEM;
    else if (!row_get_effect(cod_bytes(row, i.value.len), &e)) i.status = HDW_E_CORRUPT;
    if (!path || !row || i.status == HDW_E_CORRUPT) break;
    e.path = cod_bytes(path, n);
    if (!cb(&e, user)) break;
  }
  sit_end(&i);
  return i.status;
}

/* ---- outbox ---- */

hdw_status store_get_delivery(store *s, uint16_t part, uint64_t id, arena *a, store_delivery *out) {
  skey k HDW_UNSET;
  cod_str v;
  memset(out, 0, sizeof *out);
  key_id(&k, part, T_DELIVERY, id);
  hdw_status st = fetch(s, &k, a, &v);
  if (st) return st;
  if (!row_get_delivery(v, out)) return HDW_E_CORRUPT;
  out->id = id, out->partition = part;
  return HDW_OK;
}

/* One id per lane: after each head the cursor jumps behind its lane. */
hdw_status store_list_heads(store *s, uint16_t part, cod_str sink, const uint8_t *after_lane, unsigned limit, store_head_cb cb, void *user) {
  skey prefix, next;
  sit i HDW_UNSET;
  if (!limit) limit = UINT32_MAX;
  key_queue(&prefix, part, sink);
  key_queue(&next, part, sink);
  if (after_lane) {
    cod_put_raw(&next.w, after_lane, REC_LANE);
    cod_put_be64(&next.w, UINT64_MAX);
    cod_put_u8(&next.w, 0);
  }
  sit_begin(&i, s, &prefix, after_lane ? &next : NULL, false);
  while (limit-- && sit_next(&i)) {
    uint8_t lane[REC_LANE];
    cod_get_raw(&i.key, lane, REC_LANE);
    uint64_t id = cod_get_be64(&i.key);
    if (i.key.bad || !i.value.len) {
      i.status = HDW_E_CORRUPT;
      break;
    }
    if (!cb(lane, id, (uint8_t)i.value.p[0], user)) break;
    key_queue(&next, part, sink);
    cod_put_raw(&next.w, lane, REC_LANE);
    cod_put_be64(&next.w, UINT64_MAX);
    cod_put_u8(&next.w, 0);
    sit_seek(&i, &next);
  }
  sit_end(&i);
  return i.status;
}

typedef struct plain_heads {
  uint16_t part;
  store_id_cb cb;
  void *user;
} plain_heads;
static bool plain_head(const uint8_t lane[REC_LANE], uint64_t id, uint8_t state, void *user) {
  const plain_heads *h = (const plain_heads *)user;
  (void)lane;
  return h->cb(h->part, id, state, h->user);
}

hdw_status store_list_queue(store *s, uint16_t part, cod_str sink, const uint8_t *lane, uint64_t after, unsigned limit, store_id_cb cb, void *user) {
  skey k HDW_UNSET;
  plain_heads h = {part, cb, user};
  if (!lane) return store_list_heads(s, part, sink, NULL, limit, plain_head, &h);
  key_queue(&k, part, sink);
  cod_put_raw(&k.w, lane, REC_LANE);
  return list_ids(s, part, &k, after, false, limit, 0, cb, user);
}

hdw_status store_list_deliveries_of_run(store *s, uint16_t part, uint64_t run, store_id_cb cb, void *user) {
  skey k HDW_UNSET;
  key_id(&k, part, T_OF_RUN, run);
  return list_ids(s, part, &k, 0, false, 0, 0, cb, user);
}

/* ---- dead letters, timers, deployments, named state ---- */

hdw_status store_list_dead(store *s, uint16_t part, uint8_t subject, uint64_t after, unsigned limit, store_id_cb cb, void *user) {
  skey k HDW_UNSET;
  skey_begin(&k, part, T_DEAD);
  cod_put_u8(&k.w, subject);
  return list_ids(s, part, &k, after, false, limit, subject, cb, user);
}

hdw_status store_list_due(store *s, uint16_t part, int64_t until_us, unsigned limit, store_id_cb cb, void *user, int64_t *next_us) {
  skey k HDW_UNSET;
  sit i HDW_UNSET;
  if (next_us) *next_us = INT64_MAX;
  if (!limit) limit = UINT32_MAX;
  skey_begin(&k, part, T_TIMER);
  sit_begin(&i, s, &k, NULL, false);
  while (sit_next(&i)) {
    int64_t at = (int64_t)cod_get_be64(&i.key);
    uint8_t subject = cod_get_u8(&i.key);
    uint64_t id = cod_get_be64(&i.key);
    if (i.key.bad) {
      i.status = HDW_E_CORRUPT;
      break;
    }
    if (at > until_us || limit-- == 0) {
      if (next_us) *next_us = at;
      break;
    }
    if (!cb(part, id, subject, user)) break;
  }
  sit_end(&i);
  return i.status;
}

hdw_status store_get_deploy(store *s, const uint8_t *module, cod_str name, arena *a, store_deploy *out) {
  skey k HDW_UNSET;
  cod_str v;
  memset(out, 0, sizeof *out);
  skey_begin(&k, 0, module ? T_DEPLOY : T_CURRENT);
  if (module) cod_put_raw(&k.w, module, REC_HASH);
  else cod_put_raw(&k.w, name.p, name.len);
  hdw_status st = fetch(s, &k, a, &v);
  if (st) return st;
  return row_get_deploy(v, out) ? HDW_OK : HDW_E_CORRUPT;
}

hdw_status store_list_deploys(store *s, bool current, arena *a, store_deploy_cb cb, void *user) {
  skey k HDW_UNSET;
  sit i HDW_UNSET;
  skey_begin(&k, 0, current ? T_CURRENT : T_DEPLOYED);
  sit_begin(&i, s, &k, NULL, false);
  while (sit_next(&i)) {
    store_deploy d;
    char *copy = arena_dup(a, i.value.p, i.value.len);
    bool good = copy && row_get_deploy(cod_bytes(copy, i.value.len), &d);
    if (!good) i.status = copy ? HDW_E_CORRUPT : HDW_E_NOMEM;
    if (!good || !cb(&d, user)) break;
  }
  sit_end(&i);
  return i.status;
}

hdw_status store_get_named(store *s, cod_str space, cod_str key, arena *a, cod_str *value) {
  skey k HDW_UNSET;
  key_named(&k, space);
  cod_put_raw(&k.w, key.p, key.len);
  return fetch(s, &k, a, value);
}

hdw_status store_list_named(store *s, cod_str space, arena *a, store_named_cb cb, void *user) {
  skey k HDW_UNSET;
  sit i HDW_UNSET;
  key_named(&k, space);
  sit_begin(&i, s, &k, NULL, false);
  while (sit_next(&i)) {
    size_t n = (size_t)(i.key.end - i.key.p);
    char *key = arena_dup(a, i.key.p, n), *value = arena_dup(a, i.value.p, i.value.len);
    if (!key || !value) {
      i.status = HDW_E_NOMEM;
      break;
    }
    if (!cb(cod_bytes(key, n), cod_bytes(value, i.value.len), user)) break;
  }
  sit_end(&i);
  return i.status;
}

/* ---- whole state ---- */

/* Every key and value once, after a commit; hash may be NULL. */
static hdw_status walk(store *s, EVP_MD_CTX *hash) {
  MDB_cursor *c;
  MDB_val k, v;
  hdw_status st = store_flush(s);
  if (!st) st = store_txn(s);
  if (!st) st = store_error(mdb_cursor_open(s->txn, s->dbi, &c));
  if (st) return st;
  uint64_t keys = 0;
  skey last HDW_UNSET;
  last.w = cod_writer(last.b, sizeof last.b);
  int rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
  for (; !rc && !st; rc = st ? rc : mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
    skey key HDW_UNSET;
    cod_str value;
    keys++;
    /* Rising: a page that took another's place repeats keys. */
    int order = memcmp(last.b, k.mv_data, last.w.len < k.mv_size ? last.w.len : k.mv_size);
    if (order > 0 || (!order && last.w.len >= k.mv_size) || k.mv_size < 3) st = HDW_E_CORRUPT;
    last.w = cod_writer(last.b, sizeof last.b);
    cod_put_raw(&last.w, k.mv_data, k.mv_size);
    if (st) break;
    key.w = cod_writer(key.b, sizeof key.b);
    cod_put_raw(&key.w, k.mv_data, k.mv_size);
    st = store_get(s, &key, &value); /* by its key too: a damaged branch leads elsewhere */
    if (st == HDW_E_NOTFOUND) st = HDW_E_CORRUPT;
    if (st || !hash || (k.mv_size == 3 && ((const uint8_t *)k.mv_data)[2] == T_META)) continue;
    uint8_t len[8];
    cod_w w = cod_writer(len, sizeof len);
    cod_put_u32(&w, (uint32_t)k.mv_size);
    cod_put_u32(&w, value.len);
    if (!EVP_DigestUpdate(hash, len, sizeof len) || !EVP_DigestUpdate(hash, k.mv_data, k.mv_size) || !EVP_DigestUpdate(hash, value.p, value.len)) st = HDW_E_NOMEM;
  }
  mdb_cursor_close(c);
  if (st || rc != MDB_NOTFOUND) return st ? st : store_error(rc);
  return keys == s->keys ? HDW_OK : HDW_E_CORRUPT;
}

/* Of the meta row all but what depends on which records were still there when the state was made: orphans. */
static hdw_status hash_counts(const store *s, EVP_MD_CTX *h) {
  store_counts c = s->counts;
  c.orphans = 0;
  bool ok = EVP_DigestUpdate(h, &s->applied, sizeof s->applied) && EVP_DigestUpdate(h, &s->first, sizeof s->first) && EVP_DigestUpdate(h, &c, sizeof c);
  return ok ? HDW_OK : HDW_E_NOMEM;
}

hdw_status store_check(store *s) { return walk(s, NULL); }

hdw_status store_hash(store *s, uint8_t out[32]) {
  EVP_MD_CTX *h = EVP_MD_CTX_new();
  unsigned n = 0;
  hdw_status st = h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) ? walk(s, h) : HDW_E_NOMEM;
  if (!st) st = hash_counts(s, h);
  if (!st && !EVP_DigestFinal_ex(h, out, &n)) st = HDW_E_NOMEM;
  EVP_MD_CTX_free(h);
  return st;
}
