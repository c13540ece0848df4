/* store_depth.c - how many deliveries wait for each sink: a number a sink, changed with the queue itself. */
#include "store_int.h"

static void key_depth(skey *k, uint16_t part, cod_str sink) {
  skey_begin(k, part, T_DEPTH);
  cod_put_raw(&k->w, sink.p, sink.len);
}

/* No row: 0. */
static hdw_status read_depth(store *s, uint16_t part, cod_str sink, uint64_t *n) {
  skey k;
  cod_str v;
  *n = 0;
  key_depth(&k, part, sink);
  hdw_status st = store_txn(s);
  if (!st) st = store_get(s, &k, &v);
  if (st) return st == HDW_E_NOTFOUND ? HDW_OK : st;
  cod_r r = cod_reader(v.p, v.len);
  *n = cod_get_var(&r);
  return HDW_OK;
}

uint64_t store_depth(store *s, uint16_t part, cod_str sink) {
  uint64_t n;
  return read_depth(s, part, sink, &n) ? 0 : n;
}

hdw_status store_fold_depth(store *s, uint16_t part, cod_str sink, bool more) {
  skey k;
  uint8_t b[10];
  cod_w w = cod_writer(b, sizeof b);
  uint64_t n;
  hdw_status st = read_depth(s, part, sink, &n);
  if (st) return st; /* a number that cannot be read is not none */
  key_depth(&k, part, sink);
  if (!more && n <= 1) return store_del(s, &k);
  cod_put_var(&w, more ? n + 1 : n - 1);
  return store_put(s, &k, b, w.len);
}

/* The oldest over the heads of the lanes, of which at most `look` are looked at. */
typedef struct oldest {
  store *s;
  uint64_t id;
} oldest;
static bool older(uint16_t part, uint64_t id, uint8_t state, void *user) {
  oldest *o = (oldest *)user;
  (void)part, (void)state;
  if (!o->id || id < o->id) o->id = id;
  return true;
}

int64_t store_oldest_us(store *s, uint16_t part, cod_str sink, unsigned look) {
  oldest o = {s, 0};
  skey k;
  cod_str v;
  store_delivery d;
  if (!store_depth(s, part, sink) || store_list_queue(s, part, sink, NULL, 0, look, older, &o) || !o.id) return 0;
  key_id(&k, part, T_DELIVERY, o.id);
  return store_get(s, &k, &v) || !row_get_delivery(v, &d) ? 0 : d.created_us;
}
