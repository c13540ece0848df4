/* store_commit.c - from memory to LMDB, on a thread of its own.
 *
 *   loop     fold ─ puts and dels into s->now ─┐ every commit_us: they change places     ┌ reads: s->now, over s->then, over the state as last committed
 *                                              ▼                                         │
 *   thread                            s->then: one transaction, in the order of the keys, synced ─ then forgotten
 *
 * The applied sequence and the counts go into the same transaction, so the file is always what the log says up to one record. What is in s->then is in both
 * places when the transaction has ended and the loop does not know yet: it says the same in both. A transaction that does not fit the map is made again in a larger
 * one. When the thread falls behind, the loop waits for it (HARD): memory is bounded. Whoever needs the file itself waits too (store_flush). */
#include "points.h"
#include "store_int.h"

enum { SOFT = 6 << 20, HARD = 16 << 20 }; /* bytes of changes: commit at once; wait */

/* ---- on the thread ---- */

static hdw_status put_row(MDB_cursor *c, const void *key, size_t key_len, const void *value, size_t len) {
  MDB_val k = {key_len, (void *)(uintptr_t)key}, v = {len + 4, NULL};
  int rc = mdb_cursor_put(c, &k, &v, MDB_RESERVE);
  if (rc) return store_error(rc);
  uint8_t *p = (uint8_t *)v.mv_data;
  if (len) memcpy(p, value, len);
  cod_w w = cod_writer(p + len, 4);
  cod_put_u32(&w, cod_crc32c(cod_crc32c(0, key, key_len), p, len));
  return HDW_OK;
}

static hdw_status write_node(MDB_cursor *c, const delta_node *n) {
  if (!delta_gone(n)) return put_row(c, delta_key(n), n->key_len, n->value, n->value_len);
  MDB_val k = {n->key_len, (void *)(uintptr_t)delta_key(n)}, v;
  int rc = mdb_cursor_get(c, &k, &v, MDB_SET);
  if (!rc) rc = mdb_cursor_del(c, 0);
  return rc == MDB_NOTFOUND ? HDW_OK : store_error(rc);
}

_Static_assert(sizeof((store *)0)->batch.meta >= STORE_META_MAX, "the meta row has room for its numbers, however large they are");

/* The meta row is the last one. How many keys there are, this one included, ends it: a tree that lost a leaf shows in store_check. */
static hdw_status write_meta(store *s, MDB_txn *txn, MDB_cursor *c) {
  skey k HDW_UNSET;
  MDB_stat st = {0};
  MDB_val v;
  skey_begin(&k, 0, T_META);
  MDB_val mk = {k.w.len, k.b};
  int rc = mdb_cursor_get(c, &mk, &v, MDB_SET);
  if (rc && rc != MDB_NOTFOUND) return store_error(rc);
  mdb_stat(txn, s->dbi, &st);
  s->batch.keys = st.ms_entries + (rc == MDB_NOTFOUND);
  cod_w w = cod_writer(s->batch.meta, sizeof s->batch.meta);
  w.len = s->batch.meta_len;
  cod_put_var(&w, s->batch.keys);
  return put_row(c, k.b, k.w.len, s->batch.meta, w.len);
}

static hdw_status write_batch(store *s) {
  MDB_txn *txn = NULL;
  MDB_cursor *c = NULL;
  int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
  if (!rc) rc = mdb_cursor_open(txn, s->dbi, &c);
  hdw_status st = store_error(rc);
  for (unsigned t = 0; !st && t < DELTA_TABLES; t++)
    for (const delta_node *n = delta_first(s->then, t); !st && n; n = n->next[0]) st = write_node(c, n);
  size_t nlater;
  const delta_node **later = delta_sorted(s->then, &nlater);
  for (size_t i = 0; !st && i < nlater; i++) st = put_row(c, delta_key(later[i]), later[i]->key_len, "", 0);
  if (!st) st = write_meta(s, txn, c);
  if (c) mdb_cursor_close(c);
  if (st) {
    if (txn) mdb_txn_abort(txn);
    return st;
  }
  HDW_POINT("store.before_commit");
  st = store_error(mdb_txn_commit(txn));
  HDW_POINT("store.after_commit");
  if (!st) store_env_extend(s);
  return st;
}

static void step(void *user) {
  store *s = (store *)user;
  if (atomic_load(&s->phase) != STORE_HANDED) return;
  s->batch.status = write_batch(s);
  atomic_store(&s->phase, STORE_ENDED);
  io_post(s->x, &s->ended);
}

/* ---- on the loop ---- */

static hdw_status fail(store *s, hdw_status st) {
  store_abort(s);
  return s->failed = st;
}

static void on_timer(void *user);

static void wake(store *s) {
  atomic_store(&s->phase, STORE_HANDED);
  io_worker_wake(s->worker);
}

/* What was changed so far goes to the thread. */
static hdw_status hand_over(store *s) {
  hdw_status st = s->has_young ? store_txn(s) : HDW_OK;
  if (!st && !s->worker) st = io_worker_start(s->x, step, s, &s->worker);
  if (!st) st = store_meta_row(s, s->batch.meta, sizeof s->batch.meta, &s->batch.meta_len);
  if (st) return fail(s, st);
  io_timer_cancel(s->x, &s->timer);
  delta *d = s->now;
  s->now = s->then;
  s->then = d;
  s->batch.applied = s->applied, s->batch.first = s->first;
  s->pending = 0;
  s->due = false;
  s->handed = true;
  wake(s);
  return HDW_OK;
}

/* 80 % of the map in use: grows it now, while no transaction is open. */
static hdw_status make_room(store *s) {
  uint64_t used, map;
  store_get_size(s, &used, &map);
  if (used <= map / 5 * 4) return HDW_OK;
  hdw_status st = store_grow(s);
  return st == HDW_E_FULL ? HDW_OK : st; /* at its largest: the next put that does not fit will tell */
}

/* A transaction of this size fits a map with so much room: it was the disk that was full. */
static bool disk_full(const store *s) {
  uint64_t used, map;
  store_get_size(s, &used, &map);
  return map > 2 * used + 32 * (uint64_t)s->then->used_bytes + (64u << 20);
}

/* The thread is through with s->then. */
static hdw_status collect(store *s) {
  if (!s->handed || atomic_load(&s->phase) != STORE_ENDED) return s->failed;
  hdw_status st = s->batch.status;
  if (st == HDW_E_FULL && !disk_full(s)) {
    st = store_grow(s);
    if (!st) {
      wake(s);
      return HDW_OK;
    }
  }
  atomic_store(&s->phase, STORE_IDLE);
  s->handed = false;
  if (st) return fail(s, st);
  s->committed = s->batch.applied;
  s->committed_first = s->batch.first;
  s->keys = s->batch.keys;
  store_refresh(s);
  delta_clear(s->then);
  delta_clear(&s->side);
  s->sided = false;
  st = make_room(s);
  return st ? fail(s, st) : s->failed; /* a record failed meanwhile: what it changed half is not for the file */
}

static void on_ended(void *user) {
  store *s = (store *)user;
  if (!collect(s) && !s->handed && s->due) hand_over(s);
}

static hdw_status wait_for(store *s) {
  while (s->handed && !s->failed) {
    io_worker_wait(s->worker);
    io_unpost(s->x, &s->ended);
    collect(s);
  }
  return s->failed;
}

static void on_timer(void *user) {
  store *s = (store *)user;
  if (s->failed) return;
  if (s->handed) s->due = true;
  else hand_over(s);
}

hdw_status store_pace(store *s) {
  size_t used = s->now->used_bytes;
  if (s->pending >= s->opts.commit_records || used >= SOFT) {
    if (s->handed && used < HARD && s->pending / 4 < s->opts.commit_records) s->due = true;
    else if (!wait_for(s)) hand_over(s);
  } else if (!s->timer.set && !s->due) io_timer_set(s->x, &s->timer, s->opts.commit_us, on_timer, s);
  return s->failed;
}

hdw_status store_settle(store *s) {
  hdw_status st = wait_for(s);
  if (!st) st = hand_over(s);
  return st ? st : wait_for(s);
}

hdw_status store_flush(store *s) {
  if (s->opts.read_only) return s->failed;
  hdw_status st = wait_for(s);
  return !st && s->pending ? store_settle(s) : st; /* each change, and a young run, came with a record that is pending */
}

void store_idle(store *s) {
  io_timer_cancel(s->x, &s->timer);
  if (s->handed) {
    io_worker_wait(s->worker);
    atomic_store(&s->phase, STORE_IDLE);
    s->handed = false;
  }
  if (s->worker) io_worker_stop(s->worker);
  s->worker = NULL;
  s->due = false;
  io_unpost(s->x, &s->ended);
  delta_clear(&s->deltas[0]);
  delta_clear(&s->deltas[1]);
  delta_clear(&s->side);
  s->sided = false;
}

void store_commit_init(store *s) {
  io_mem_init(&s->delta_mem, 0);
  for (unsigned i = 0; i < 2; i++) delta_init(&s->deltas[i], &s->delta_mem.m, 0x9e3779b97f4a7c15u + i);
  delta_init(&s->side, &s->delta_mem.m, 0x9e3779b97f4a7c17u);
  s->now = &s->deltas[0], s->then = &s->deltas[1];
  s->ended.fn = on_ended, s->ended.user = s;
}

void store_commit_free(store *s) {
  store_idle(s);
  for (unsigned i = 0; i < 2; i++) delta_free(&s->deltas[i]);
  delta_free(&s->side);
  io_mem_trim(&s->delta_mem);
}
