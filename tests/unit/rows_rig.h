/* rows_rig.h - rows that the state would not write by itself: too long, in the wrong place, with a wrong CRC. */
#ifndef HDW_ROWS_RIG_H
#define HDW_ROWS_RIG_H
#include "store_int.h"
#include "store_rig.h"

enum { LONG = STORE_ROW_MAX + 1000 };
static uint8_t long_bytes[3 * LONG];

static inline void put_row(world *w, store_table t, uint64_t id, const void *p, size_t len) {
  skey k;
  key_id(&k, 0, t, id);
  assert_int_equal(store_put(w->s, &k, p, len), HDW_OK);
}

/* The run's row says of what it is held by more than a row of ours has room for: it reads, and no copy of it is made. */
static inline void lengthen_run(world *w, uint64_t id) {
  skey k;
  cod_str v;
  key_id(&k, 0, T_RUN, id);
  assert_int_equal(store_get(w->s, &k, &v), HDW_OK);
  cod_w row = cod_writer(long_bytes, sizeof long_bytes);
  cod_put_raw(&row, v.p, v.len - 1); /* it is held by nothing */
  cod_put_str(&row, cod_bytes(long_bytes + 2 * LONG, LONG - 1));
  assert_false(row.bad);
  assert_int_equal(store_put(w->s, &k, long_bytes, row.len), HDW_OK);
}

/* Puts a row into state.mdb, from outside; sum: what is wrong with its CRC. */
static inline void poke(const char *path, const void *key, size_t key_len, const void *value, size_t len, uint32_t sum) {
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi dbi;
  uint8_t b[4096];
  assert_true(len + 4 <= sizeof b);
  if (len) memcpy(b, value, len);
  cod_w w = cod_writer(b + len, 4);
  cod_put_u32(&w, cod_crc32c(cod_crc32c(0, key, key_len), b, len) ^ sum);
  MDB_val k = {key_len, (void *)(uintptr_t)key}, v = {len + 4, b};
  assert_int_equal(mdb_env_create(&env), 0);
  assert_int_equal(mdb_env_set_mapsize(env, 64u << 20), 0);
  assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
  assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
  assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
  assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
  assert_int_equal(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
}
#endif
