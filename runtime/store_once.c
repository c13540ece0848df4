#include "store_int.h"

/* Named state that an input's own record makes: once-keys and sequence numbers. It is there exactly when the input is, and an input that has some of it
 * that still counts stays, so that the log alone always says the same.
 *
 *   "once"         key 16                   -> input u64, until us u64
 *   "once.until"   until us be64, key 16    -> nothing: keys in the order in which their time is over
 *   "once.of"      input be64, key 16       -> nothing: keys of an input
 *   "once.last"    workflow                 -> until us u64: when the longest of its keys ends
 *   "sequence"     key of the sender        -> next u64, input u64
 *   "sequence.of"  input be64               -> key of the sender */

enum { SWEEP = 4 }; /* more than one run adds, so that old keys go away faster than new ones come */

static void once_key(skey *k, const uint8_t key[REC_LANE]) {
  key_named(k, cod_cstr("once"));
  cod_put_raw(&k->w, key, REC_LANE);
}

static void two_part(skey *k, const char *space, uint64_t n, const uint8_t key[REC_LANE]) {
  key_named(k, cod_cstr(space));
  cod_put_be64(&k->w, n);
  cod_put_raw(&k->w, key, REC_LANE);
}

static hdw_status read_two(store *s, const skey *k, uint64_t *a, uint64_t *b) {
  cod_str v;
  hdw_status st = store_get(s, k, &v);
  if (st) return st;
  cod_r r = cod_reader(v.p, v.len);
  *a = cod_get_u64(&r);
  *b = cod_get_u64(&r);
  return cod_done(&r) ? HDW_OK : HDW_E_CORRUPT;
}

/* Removes what the key's owner has of it. HDW_E_NOTFOUND: nobody has it. */
static hdw_status release(store *s, const uint8_t key[REC_LANE]) {
  skey k;
  uint64_t input, until;
  once_key(&k, key);
  hdw_status st = read_two(s, &k, &input, &until);
  if (st) return st;
  st = store_del(s, &k);
  two_part(&k, "once.until", until, key);
  if (!st) st = store_del(s, &k);
  two_part(&k, "once.of", input, key);
  return st ? st : store_del(s, &k);
}

/* The same for keys that an index names: one that nobody has is damage, and would be found there again and again. */
static hdw_status release_all(store *s, uint8_t (*keys)[REC_LANE], unsigned n) {
  hdw_status st = HDW_OK;
  for (unsigned i = 0; !st && i < n; i++) st = release(s, keys[i]);
  return st == HDW_E_NOTFOUND ? HDW_E_CORRUPT : st;
}

/* At most cap keys of an index, with numbers below `below`. */
static hdw_status some(store *s, const skey *prefix, bool numbered, uint64_t below, uint8_t (*keys)[REC_LANE], unsigned cap, unsigned *n) {
  sit i;
  *n = 0;
  sit_begin(&i, s, prefix, NULL, false);
  while (*n < cap && sit_next(&i)) {
    if (numbered && cod_get_be64(&i.key) >= below) break;
    cod_get_raw(&i.key, keys[(*n)++], REC_LANE);
    if (!cod_done(&i.key)) i.status = HDW_E_CORRUPT;
  }
  sit_end(&i);
  return i.status;
}

static hdw_status last_until(store *s, const rec_run_new *r) {
  skey k;
  cod_str v;
  uint8_t b[8];
  cod_w w = cod_writer(b, sizeof b);
  key_named(&k, cod_cstr("once.last"));
  cod_put_raw(&k.w, r->workflow.p, r->workflow.len);
  hdw_status st = store_get(s, &k, &v);
  if (st && st != HDW_E_NOTFOUND) return st;
  cod_r old = cod_reader(v.p, st ? 0 : v.len);
  if (!st && (int64_t)cod_get_u64(&old) >= r->once_until_us) return HDW_OK;
  cod_put_u64(&w, (uint64_t)r->once_until_us);
  return store_put(s, &k, b, w.len);
}

hdw_status store_once_take(store *s, const log_rec *rec, uint64_t input, const rec_run_new *r) {
  skey k;
  uint8_t keys[SWEEP][REC_LANE], b[16];
  unsigned n;
  hdw_status st = release(s, r->once);
  if (st == HDW_E_NOTFOUND) st = HDW_OK;
  key_named(&k, cod_cstr("once.until"));
  if (!st) st = some(s, &k, true, (uint64_t)rec->time_us, keys, SWEEP, &n); /* a function of the log, like everything here */
  if (!st) st = release_all(s, keys, n);
  if (st) return st;
  cod_w w = cod_writer(b, sizeof b);
  cod_put_u64(&w, input);
  cod_put_u64(&w, (uint64_t)r->once_until_us);
  once_key(&k, r->once);
  st = store_put(s, &k, b, w.len);
  two_part(&k, "once.until", (uint64_t)r->once_until_us, r->once);
  if (!st) st = store_put(s, &k, NULL, 0);
  two_part(&k, "once.of", input, r->once);
  if (!st) st = store_put(s, &k, NULL, 0);
  return st ? st : last_until(s, r);
}

hdw_status store_get_once(store *s, const uint8_t key[REC_LANE], int64_t now_us, uint64_t *input) {
  uint64_t until;
  skey k;
  once_key(&k, key);
  hdw_status st = store_txn(s);
  if (!st) st = read_two(s, &k, input, &until);
  return st ? st : (int64_t)until > now_us ? HDW_OK : HDW_E_NOTFOUND;
}

hdw_status store_sequence_put(store *s, uint64_t input, const rec_input *r) {
  skey k, of;
  uint8_t b[16];
  uint64_t next, old;
  cod_w w = cod_writer(b, sizeof b);
  key_named(&k, cod_cstr("sequence"));
  cod_put_raw(&k.w, r->sequence_key.p, r->sequence_key.len);
  hdw_status st = read_two(s, &k, &next, &old);
  if (!st) {
    key_named(&of, cod_cstr("sequence.of"));
    cod_put_be64(&of.w, old);
    st = store_del(s, &of);
  } else if (st == HDW_E_NOTFOUND) st = HDW_OK;
  cod_put_u64(&w, (uint64_t)r->sequence_next);
  cod_put_u64(&w, input);
  if (!st) st = store_put(s, &k, b, w.len);
  key_named(&of, cod_cstr("sequence.of"));
  cod_put_be64(&of.w, input);
  return st ? st : store_put(s, &of, r->sequence_key.p, r->sequence_key.len);
}

hdw_status store_get_sequence(store *s, cod_str key, int64_t *next) {
  skey k;
  uint64_t n = 0, input;
  key_named(&k, cod_cstr("sequence"));
  cod_put_raw(&k.w, key.p, key.len);
  hdw_status st = store_txn(s);
  if (!st) st = read_two(s, &k, &n, &input);
  *next = (int64_t)n;
  return st;
}

bool store_input_counts(store *s, uint64_t input, int64_t until_us) {
  skey k;
  sit i;
  cod_str v;
  uint64_t owner, until;
  key_named(&k, cod_cstr("sequence.of"));
  cod_put_be64(&k.w, input);
  if (store_get(s, &k, &v) != HDW_E_NOTFOUND) return true;
  key_named(&k, cod_cstr("once.of"));
  cod_put_be64(&k.w, input);
  bool counts = false;
  sit_begin(&i, s, &k, NULL, false);
  while (!counts && sit_next(&i)) {
    uint8_t key[REC_LANE];
    cod_get_raw(&i.key, key, REC_LANE);
    once_key(&k, key);
    counts = read_two(s, &k, &owner, &until) != HDW_OK || (int64_t)until >= until_us; /* a key that does not read: nobody has it */
  }
  sit_end(&i);
  return counts || i.status;
}

hdw_status store_once_drop(store *s, uint64_t input) {
  skey k;
  uint8_t keys[SWEEP][REC_LANE];
  unsigned n;
  hdw_status st;
  do {
    key_named(&k, cod_cstr("once.of"));
    cod_put_be64(&k.w, input);
    st = some(s, &k, false, 0, keys, SWEEP, &n);
    if (!st) st = release_all(s, keys, n);
  } while (!st && n);
  return st;
}
