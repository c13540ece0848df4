/* store_audit.c - the audit trail in the store: whole records by number, so that they stay when old segments go. */
#include "store_int.h"

static bool read_meta(cod_str bytes, rec_audit *out) {
  log_rec rec = {.type = REC_AUDIT, .version = REC_VERSION, .meta = (const uint8_t *)bytes.p, .meta_len = bytes.len};
  return !rec_get_audit(&rec, out);
}

/* Rows up to a number go. */
static hdw_status drop_until(store *s, uint64_t until) {
  skey prefix, k;
  hdw_status st = HDW_OK;
  skey_begin(&prefix, 0, T_AUDIT);
  for (bool more = true; more && !st;) {
    sit i HDW_UNSET;
    uint64_t number = 0;
    sit_begin(&i, s, &prefix, NULL, false);
    more = sit_next(&i) && (number = cod_get_be64(&i.key)) <= until;
    sit_end(&i);
    key_id(&k, 0, T_AUDIT, number);
    st = more ? store_del(s, &k) : i.status;
  }
  return st;
}

/* A number that is there already is left as it is: what was written first holds. The chain shows what is missing. */
hdw_status store_fold_audit(store *s, const log_rec *rec) {
  rec_audit r;
  skey k;
  cod_str v;
  hdw_status st = rec_get_audit(rec, &r);
  if (st) return st;
  key_id(&k, 0, T_AUDIT, r.number);
  st = store_get(s, &k, &v);
  if (st != HDW_E_NOTFOUND) return st;
  st = store_put(s, &k, rec->meta, rec->meta_len);
  return !st && r.until ? drop_until(s, r.until) : st;
}

bool store_has_audit(store *s, uint64_t number) {
  skey k;
  cod_str v;
  key_id(&k, 0, T_AUDIT, number);
  return store_get(s, &k, &v) != HDW_E_NOTFOUND;
}

hdw_status store_audit_over(store *s, int64_t until_us, unsigned look, uint64_t *until, uint8_t hash[REC_HASH]) {
  sit i HDW_UNSET;
  skey prefix;
  rec_audit r;
  *until = 0;
  hdw_status st = store_txn(s);
  if (st || until_us <= 0) return st;
  skey_begin(&prefix, 0, T_AUDIT);
  sit_begin(&i, s, &prefix, NULL, false);
  while (look-- && sit_next(&i)) {
    if (!read_meta(i.value, &r)) i.status = HDW_E_CORRUPT;
    if (i.status || r.time_us >= until_us) break;
    *until = r.number;
    cod_sha256(i.value.p, i.value.len, NULL, 0, hash);
  }
  sit_end(&i);
  return i.status;
}

hdw_status store_audit_head(store *s, uint64_t *number, uint8_t hash[REC_HASH]) {
  sit i HDW_UNSET;
  skey prefix;
  *number = 0;
  memset(hash, 0, REC_HASH);
  hdw_status st = store_txn(s);
  if (st) return st;
  skey_begin(&prefix, 0, T_AUDIT);
  sit_begin(&i, s, &prefix, NULL, true);
  if (sit_next(&i)) {
    *number = cod_get_be64(&i.key);
    cod_sha256(i.value.p, i.value.len, NULL, 0, hash);
  }
  sit_end(&i);
  return i.status;
}

hdw_status store_list_audit(store *s, uint64_t after, bool descending, arena *a, store_audit_cb cb, void *user) {
  sit i HDW_UNSET;
  skey prefix HDW_UNSET, from HDW_UNSET;
  hdw_status st = store_txn(s);
  if (st) return st;
  skey_begin(&prefix, 0, T_AUDIT);
  key_id(&from, 0, T_AUDIT, descending ? after - 1 : after + 1);
  sit_begin(&i, s, &prefix, after ? &from : NULL, descending);
  while (sit_next(&i)) {
    rec_audit r;
    char *p = arena_dup(a, i.value.p, i.value.len);
    if (!p || !read_meta(cod_bytes(p, i.value.len), &r)) {
      i.status = p ? HDW_E_CORRUPT : HDW_E_NOMEM;
      break;
    }
    if (!cb(&r, cod_bytes(p, i.value.len), user)) break;
  }
  sit_end(&i);
  return i.status;
}
