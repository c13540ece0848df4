/* store_rename.c - a declared name takes over what is known under another one: the queue of a sink, pause flags. Lanes and once-keys are hashes of
 * the name: for them an alias is kept. And what there is under a name, for those who drop one. */
#include "store_int.h"

enum { BATCH = 256 };

typedef struct moving {
  uint16_t part;
  cod_str from, to;
  uint32_t n;
  uint64_t id[BATCH];
  uint8_t lane[BATCH][REC_LANE], state[BATCH];
  bool further[BATCH];       /* a row of a further lane */
} moving;

static hdw_status move_delivery(store *s, const moving *m, uint64_t id) {
  skey k;
  cod_str v;
  store_delivery d;
  key_id(&k, m->part, T_DELIVERY, id);
  hdw_status st = store_get(s, &k, &v);
  if (st) return st == HDW_E_NOTFOUND ? HDW_OK : st;
  if (v.len > sizeof s->copy) return HDW_E_CORRUPT;
  memcpy(s->copy, v.p, v.len);
  memset(&d, 0, sizeof d);
  if (!row_get_delivery(cod_bytes(s->copy, v.len), &d)) return HDW_E_CORRUPT;
  d.id = id, d.partition = m->part;
  if (!cod_equal(d.sink, m->from)) return HDW_OK;
  d.sink = m->to;
  size_t n = row_put_delivery(s, &d);
  return n ? store_put(s, &k, s->row, n) : HDW_E_LIMIT;
}

static hdw_status move_queued(store *s, const moving *m, uint32_t i) {
  skey k;
  key_queue(&k, m->part, m->from);
  cod_put_raw(&k.w, m->lane[i], REC_LANE);
  cod_put_be64(&k.w, m->id[i]);
  hdw_status st = store_del(s, &k);
  key_queue(&k, m->part, m->to);
  cod_put_raw(&k.w, m->lane[i], REC_LANE);
  cod_put_be64(&k.w, m->id[i]);
  uint8_t value[2] = {m->state[i], 1};
  if (!st) st = store_put(s, &k, value, m->further[i] ? 2 : 1);
  if (!st && !m->further[i]) st = store_fold_depth(s, m->part, m->from, false);
  if (!st && !m->further[i]) st = store_fold_depth(s, m->part, m->to, true);
  return st ? st : move_delivery(s, m, m->id[i]);
}

/* The first rows of the old queue; none left: n is 0. */
static hdw_status gather(store *s, moving *m) {
  skey k;
  sit i;
  m->n = 0;
  key_queue(&k, m->part, m->from);
  sit_begin(&i, s, &k, NULL, false);
  while (m->n < BATCH && sit_next(&i)) {
    (void)cod_get_raw(&i.key, m->lane[m->n], REC_LANE);
    m->id[m->n] = cod_get_be64(&i.key);
    m->state[m->n] = i.value.len ? (uint8_t)i.value.p[0] : (uint8_t)DELIVERY_PENDING;
    m->further[m->n++] = i.value.len > 1;
  }
  sit_end(&i);
  return i.status;
}

typedef struct dead_ids {
  moving *m;
} dead_ids;
static bool dead_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  moving *m = ((dead_ids *)user)->m;
  (void)part, (void)state;
  m->id[m->n++] = id;
  return m->n < BATCH;
}

static hdw_status move_sink(store *s, moving *m) {
  hdw_status st = gather(s, m);
  while (!st && m->n) {
    for (uint32_t i = 0; i < m->n && !st; i++) st = move_queued(s, m, i);
    if (!st) st = gather(s, m);
  }
  for (uint64_t after = 0; !st;) { /* dead ones are in no queue, but may come back */
    dead_ids d = {m};
    m->n = 0;
    st = store_list_dead(s, m->part, SUBJECT_DELIVERY, after, BATCH, dead_one, &d);
    if (st || !m->n) break;
    after = m->id[m->n - 1];
    for (uint32_t i = 0; i < m->n && !st; i++) st = move_delivery(s, m, m->id[i]);
  }
  return st;
}

static void named_key(skey *k, const char *space, const char *kind, cod_str name) {
  key_named(k, cod_cstr(space));
  cod_put_raw(&k->w, kind, strlen(kind));
  cod_put_raw(&k->w, name.p, name.len);
}

static hdw_status move_pause(store *s, const char *kind, cod_str from, cod_str to) {
  skey k;
  cod_str v;
  char who[200];
  named_key(&k, "paused", kind, from);
  hdw_status st = store_get(s, &k, &v);
  if (st) return st == HDW_E_NOTFOUND ? HDW_OK : st;
  size_t n = v.len < sizeof who ? v.len : sizeof who;
  memcpy(who, v.p, n);
  st = store_del(s, &k);
  named_key(&k, "paused", kind, to);
  return st ? st : store_put(s, &k, who, n);
}

hdw_status store_fold_rename(store *s, const log_rec *rec, const rec_action *a) {
  bool sink = a->subject == SUBJECT_SINK;
  skey k;
  cod_str v;
  if (a->subject == SUBJECT_LISTENER) { /* the new name leads to the one before; messages keep the name they came in under */
    named_key(&k, "alias", "listener:", a->name);
    hdw_status ls = store_put(s, &k, a->reason.p, a->reason.len);
    named_key(&k, "listener", "", a->reason);
    return ls ? ls : store_del(s, &k);
  }
  uint8_t root[REC_NAME_MAX];
  moving *m = (moving *)s->x->mem->get(s->x->mem, sizeof *m);
  if (!m) return HDW_E_NOMEM;
  m->part = rec->partition, m->from = a->reason, m->to = a->name;
  hdw_status st = sink ? move_sink(s, m) : HDW_OK;
  s->x->mem->put(s->x->mem, m, sizeof *m);
  if (!st) st = move_pause(s, sink ? "sink:" : "workflow:", a->reason, a->name);
  if (st) return st;
  if (sink) { /* the old name leads to the new one */
    named_key(&k, "alias", "sink:", a->reason);
    return store_put(s, &k, a->name.p, a->name.len);
  }
  /* The new name leads to the first one: that is what hashes are made of. */
  named_key(&k, "alias", "workflow:", a->reason);
  cod_str first = a->reason;
  st = store_get(s, &k, &v);
  if (st && st != HDW_E_NOTFOUND) return st;
  if (!st && v.len <= sizeof root) {
    memcpy(root, v.p, v.len);
    first = cod_bytes(root, v.len);
  }
  named_key(&k, "alias", "workflow:", a->name);
  return store_put(s, &k, first.p, first.len);
}

hdw_status store_list_sinks(store *s, uint16_t part, arena *a, store_sink_cb cb, void *user) {
  skey k;
  sit i;
  skey_begin(&k, part, T_DEPTH);
  sit_begin(&i, s, &k, NULL, false);
  while (sit_next(&i)) {
    size_t n = (size_t)(i.key.end - i.key.p);
    char *name = arena_dup(a, i.key.p, n);
    cod_r r = cod_reader(i.value.p, i.value.len);
    uint64_t depth = cod_get_var(&r);
    if (!name) i.status = HDW_E_NOMEM;
    if (!name || !cb(cod_bytes(name, n), depth, user)) break;
  }
  sit_end(&i);
  return i.status;
}

hdw_status store_list_sink(store *s, uint16_t part, cod_str sink, unsigned limit, store_id_cb cb, void *user) {
  skey k;
  sit i;
  key_queue(&k, part, sink);
  sit_begin(&i, s, &k, NULL, false);
  while (limit && sit_next(&i)) {
    uint8_t lane[REC_LANE];
    if (i.value.len > 1) continue; /* it comes with its first lane */
    limit--;
    (void)cod_get_raw(&i.key, lane, REC_LANE);
    uint64_t id = cod_get_be64(&i.key);
    if (i.key.bad || !i.value.len) {
      i.status = HDW_E_CORRUPT;
      break;
    }
    if (!cb(part, id, (uint8_t)i.value.p[0], user)) break;
  }
  sit_end(&i);
  return i.status;
}
