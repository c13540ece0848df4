#include "io_file.h"
#include "store_int.h"
#include <errno.h>
#include <stdio.h>

void skey_begin(skey *k, uint16_t part, store_table t) {
  k->w = cod_writer(k->b, sizeof k->b);
  cod_put_be16(&k->w, part);
  cod_put_u8(&k->w, (uint8_t)t);
}

hdw_status store_error(int rc) {
  switch (rc) {
  case MDB_SUCCESS: return HDW_OK;
  case MDB_NOTFOUND: return HDW_E_NOTFOUND;
  case MDB_MAP_FULL:
  case ENOSPC:
  case EDQUOT:
  case EFBIG: return HDW_E_FULL;
  case ENOMEM: return HDW_E_NOMEM;
  case EACCES:
  case EPERM:
  case EROFS: return HDW_E_DENIED;
  case ENOENT: return HDW_E_NOTFOUND;
  case MDB_VERSION_MISMATCH: return HDW_E_VERSION;
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
  case MDB_INVALID:
  case MDB_PANIC:
  case MDB_PAGE_FULL:
  case MDB_CURSOR_FULL: return HDW_E_CORRUPT;
  default: return HDW_E_IO;
  }
}

/* LMDB maps its file by the size that its own pages claim: a file that is shorter kills whoever reads it. Looked at before mapping. */
static hdw_status check_size(const char *path, uint64_t *size) {
  enum { PAGE_HEADER = 16, META = 16 + 136, MAGIC_OFF = 16, VERSION_OFF = 20, PSIZE_OFF = 40, LAST_PG_OFF = 136, TXN_OFF = 144 };
  io_stat_info info;
  int fd;
  *size = 0;
  hdw_status s = io_file_stat(path, &info);
  if (s == HDW_E_NOTFOUND) return HDW_OK;
  if (s) return s;
  if (!info.is_file || (info.mode & 077)) return HDW_E_DENIED;
  *size = info.size_bytes;
  if (info.size_bytes == 0) return HDW_OK;
  s = io_file_open(path, IO_O_READ, &fd);
  if (s) return s;
  uint8_t b[META];
  uint64_t psize = 0, best_txn = 0, last = 0;
  for (int page = 0; page < 2 && !s; page++) {
    size_t got;
    s = io_file_pread(fd, b, sizeof b, (uint64_t)page * psize, &got);
    if (!s && got < sizeof b) s = HDW_E_CORRUPT;
    if (s) break;
    cod_r r = cod_reader(b + MAGIC_OFF, 8);
    if (cod_get_u32(&r) != 0xBEEFC0DEu || cod_get_u32(&r) != 1) s = HDW_E_CORRUPT;
    r = cod_reader(b + PSIZE_OFF, 4);
    psize = cod_get_u32(&r);
    if (psize < 512 || psize > 65536 || (psize & (psize - 1))) s = HDW_E_CORRUPT;
    r = cod_reader(b + LAST_PG_OFF, 16);
    uint64_t pg = cod_get_u64(&r), txn = cod_get_u64(&r);
    if (page == 0 || txn >= best_txn) best_txn = txn, last = pg;
  }
  io_file_close(fd);
  if (!s && (last > UINT64_MAX / 65536 - 1 || (last + 1) * psize > info.size_bytes)) s = HDW_E_CORRUPT;
  return s;
}

hdw_status store_env_open(store *s) {
  uint64_t size = 0;
  hdw_status st = check_size(s->mdb_path, &size);
  if (st) return st;
  int rc = mdb_env_create(&s->env);
  if (rc) return store_error(rc);
  uint64_t map = s->opts.map_bytes;
  while (map < size + size / 4 && map < s->opts.map_max_bytes) map *= 2;
  rc = mdb_env_set_mapsize(s->env, (size_t)map);
  /* Default flags: every commit is synced. On the simulated seam the file is scratch. */
  unsigned read_only = s->opts.read_only ? MDB_RDONLY : 0u;
  if (s->opts.read_only && !size) rc = MDB_NOTFOUND;
  if (!rc) rc = mdb_env_open(s->env, s->mdb_path, MDB_NOSUBDIR | read_only | (s->x->sim ? MDB_NOSYNC : 0u), 0600);
  if (!rc) rc = mdb_txn_begin(s->env, NULL, read_only, &s->txn);
  if (!rc) rc = mdb_dbi_open(s->txn, NULL, 0, &s->dbi);
  if (rc) {
    store_env_close(s);
    return store_error(rc);
  }
  int dead = 0;
  mdb_reader_check(s->env, &dead);
  s->map_bytes = map;
  return HDW_OK;
}

void store_env_close(store *s) {
  store_abort(s);
  if (s->env) mdb_env_close(s->env);
  s->env = NULL;
}

hdw_status store_txn(store *s) {
  if (s->failed) return s->failed;
  if (!s->txn) return store_error(mdb_txn_begin(s->env, NULL, s->opts.read_only ? MDB_RDONLY : 0u, &s->txn));
  return s->has_young ? store_fold_young(s) : HDW_OK;
}

/* Cursors of a write transaction end with it. */
static void txn_gone(store *s) {
  s->txn = NULL;
  s->has_young = false;
  memset(s->cursors, 0, sizeof s->cursors);
}

void store_abort(store *s) {
  /* Cursors of a reading transaction outlive it. */
  for (size_t i = 0; s->opts.read_only && i < sizeof s->cursors / sizeof *s->cursors; i++)
    if (s->cursors[i]) mdb_cursor_close(s->cursors[i]);
  if (s->txn) mdb_txn_abort(s->txn);
  txn_gone(s);
}

hdw_status store_commit(store *s) {
  int rc = mdb_txn_commit(s->txn);
  txn_gone(s);
  return store_error(rc);
}

static int cursor_of(store *s, const skey *k, MDB_cursor **out) {
  MDB_cursor **c = &s->cursors[k->b[2] % STORE_TABLES];
  int rc = *c ? 0 : mdb_cursor_open(s->txn, s->dbi, c);
  *out = *c;
  return rc;
}

static MDB_val key_val(const skey *k) { return (MDB_val){k->w.len, (void *)(uintptr_t)k->b}; }

hdw_status store_put(store *s, const skey *k, const void *value, size_t len) {
  if (k->w.bad) return HDW_E_LIMIT;
  MDB_val mk = key_val(k), mv = {len + 4, NULL};
  MDB_cursor *c = NULL;
  int rc = cursor_of(s, k, &c);
  if (!rc) rc = mdb_cursor_put(c, &mk, &mv, MDB_RESERVE);
  if (rc) return store_error(rc);
  uint8_t *p = (uint8_t *)mv.mv_data;
  if (len) memcpy(p, value, len);
  cod_w w = cod_writer(p + len, 4);
  cod_put_u32(&w, cod_crc32c(cod_crc32c(0, k->b, k->w.len), p, len));
  return HDW_OK;
}

static hdw_status open_value(const MDB_val *k, const MDB_val *v, cod_str *out) {
  if (v->mv_size < 4 || v->mv_size > UINT32_MAX) return HDW_E_CORRUPT;
  const uint8_t *p = (const uint8_t *)v->mv_data;
  size_t len = v->mv_size - 4;
  cod_r r = cod_reader(p + len, 4);
  if (cod_get_u32(&r) != cod_crc32c(cod_crc32c(0, k->mv_data, k->mv_size), p, len)) return HDW_E_CORRUPT;
  *out = cod_bytes(p, len);
  return HDW_OK;
}

hdw_status store_get(store *s, const skey *k, cod_str *out) {
  *out = (cod_str){"", 0};
  if (k->w.bad) return HDW_E_NOTFOUND;
  MDB_val mk = key_val(k), mv;
  MDB_cursor *c = NULL;
  int rc = cursor_of(s, k, &c);
  if (!rc) rc = mdb_cursor_get(c, &mk, &mv, MDB_SET_KEY);
  return rc ? store_error(rc) : open_value(&mk, &mv, out);
}

hdw_status store_with(store *s, const skey *prefix, cod_r *rest) {
  MDB_val mk = key_val(prefix), mv;
  MDB_cursor *c = NULL;
  if (prefix->w.bad) return HDW_E_NOTFOUND;
  hdw_status st = store_txn(s);
  int rc = st ? 0 : cursor_of(s, prefix, &c);
  if (!st && !rc) rc = mdb_cursor_get(c, &mk, &mv, MDB_SET_RANGE);
  if (st || rc) return st ? st : store_error(rc);
  size_t n = prefix->w.len;
  if (mk.mv_size < n || memcmp(mk.mv_data, prefix->b, n)) return HDW_E_NOTFOUND;
  *rest = cod_reader((const uint8_t *)mk.mv_data + n, mk.mv_size - n);
  return HDW_OK;
}

hdw_status store_del(store *s, const skey *k) {
  MDB_val mk = key_val(k);
  int rc = k->w.bad ? MDB_NOTFOUND : mdb_del(s->txn, s->dbi, &mk, NULL);
  return rc == MDB_NOTFOUND ? HDW_OK : store_error(rc);
}

hdw_status store_grow(store *s) {
  if (s->txn) return HDW_E_INVALID;
  if (s->map_bytes >= s->opts.map_max_bytes) return HDW_E_FULL;
  uint64_t map = s->map_bytes * 2 < s->opts.map_max_bytes ? s->map_bytes * 2 : s->opts.map_max_bytes;
  int rc = mdb_env_set_mapsize(s->env, (size_t)map);
  if (!rc) s->map_bytes = map;
  return store_error(rc);
}

/* ---- iteration ---- */

static void position(sit *i, const void *key, size_t len) {
  MDB_val k = {len, (void *)(uintptr_t)key}, v;
  int rc = mdb_cursor_get(i->c, &k, &v, MDB_SET_RANGE);
  if (i->desc) {
    /* The last key <= the wanted one: an exact hit stays, else one back (from the end when nothing is behind). */
    if (rc == MDB_NOTFOUND) rc = mdb_cursor_get(i->c, &k, &v, MDB_LAST);
    else if (!rc && !(k.mv_size == len && memcmp(k.mv_data, key, len) == 0)) rc = mdb_cursor_get(i->c, &k, &v, MDB_PREV);
  }
  i->status = rc == MDB_NOTFOUND ? HDW_E_NOTFOUND : store_error(rc);
}

void sit_begin(sit *i, store *s, const skey *prefix, const skey *from, bool desc) {
  i->s = s;
  i->c = NULL;
  i->desc = desc;
  i->key = (cod_r){0};
  i->value = (cod_str){"", 0};
  i->prefix_len = prefix->w.len;
  memcpy(i->prefix, prefix->b, prefix->w.len);
  i->status = prefix->w.bad || (from && from->w.bad) ? HDW_E_NOTFOUND : store_txn(s);
  if (!i->status) i->status = store_error(mdb_cursor_open(s->txn, s->dbi, &i->c));
  if (i->status) return;
  if (from) {
    position(i, from->b, from->w.len);
  } else if (desc) {
    /* The end of the prefix: no field is longer than the largest key. */
    uint8_t end[STORE_KEY_MAX] HDW_UNSET;
    memset(end, 0xff, sizeof end);
    memcpy(end, i->prefix, i->prefix_len);
    position(i, end, sizeof end);
  } else {
    position(i, i->prefix, i->prefix_len);
  }
}

void sit_seek(sit *i, const skey *key) {
  if (!i->status || i->status == HDW_E_AGAIN) position(i, key->b, key->w.len);
}

/* status HDW_OK: the cursor stands on a key not yet given; HDW_E_AGAIN: on one that was given. */
bool sit_next(sit *i) {
  MDB_val k, v;
  if (i->status && i->status != HDW_E_AGAIN) return false;
  int rc = mdb_cursor_get(i->c, &k, &v, i->status == HDW_OK ? MDB_GET_CURRENT : i->desc ? MDB_PREV : MDB_NEXT);
  if (!rc && (k.mv_size < i->prefix_len || memcmp(k.mv_data, i->prefix, i->prefix_len) != 0)) rc = MDB_NOTFOUND;
  i->status = rc ? store_error(rc) : open_value(&k, &v, &i->value);
  if (i->status) return false;
  i->key = cod_reader((const uint8_t *)k.mv_data + i->prefix_len, k.mv_size - i->prefix_len);
  i->status = HDW_E_AGAIN;
  return true;
}

void sit_end(sit *i) {
  if (i->c) mdb_cursor_close(i->c);
  i->c = NULL;
  if (i->status == HDW_E_AGAIN || i->status == HDW_E_NOTFOUND) i->status = HDW_OK;
}
