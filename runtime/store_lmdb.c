#include "io_file.h"
#include "points.h"
#include "store_int.h"
#include <errno.h>

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
  case MDB_INCOMPATIBLE:
  case MDB_BAD_TXN: /* an operation of the transaction met such a page; a write that fails is told by its own number */
  case EINVAL:
  case MDB_CURSOR_FULL: return HDW_E_CORRUPT;
  default: return HDW_E_IO;
  }
}

/* LMDB maps its file by the size that its own pages claim: a file that is shorter kills whoever reads it. Looked at before mapping. The size is asked for after the claims
 * were read: a daemon beside may be making the file longer (pages first, then the claim). */
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
  HDW_POINT("store.claims");
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
  if (!s && !HDW_BROKEN("store.size_first")) s = io_file_stat(path, &info);
  if (s) return s;
  *size = info.size_bytes;
  return last > UINT64_MAX / 65536 - 1 || (last + 1) * psize > info.size_bytes ? HDW_E_CORRUPT : HDW_OK;
}

/* A transaction that took pages at the end of the file and gave them back leaves it shorter than it claims, which is no damage for LMDB and cannot be told from
 * damage by us: made as long as it claims. Lost in a crash before that it is made again from the log. */
void store_env_extend(store *s) {
  uint64_t used, map;
  io_stat_info info;
  mdb_filehandle_t fd = -1;
  if (HDW_BROKEN("store.no_extend")) return;
  store_get_size(s, &used, &map);
  if (io_file_stat(s->mdb_path, &info) || info.size_bytes >= used) return;
  (void)mdb_env_get_fd(s->env, &fd);
  (void)io_file_truncate(fd, used);
}

/* LMDB found its own pages impossible and is about to abort(). */
static void on_assert(MDB_env *env, const char *text) {
  (void)text;
  store_doubt((store *)mdb_env_get_userctx(env));
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
  if (!rc) rc = mdb_env_set_userctx(s->env, s);
  if (!rc) rc = mdb_env_set_assert(s->env, on_assert);
  /* Default flags: every commit is synced. On the simulated seam the file is scratch. */
  unsigned read_only = s->opts.read_only ? MDB_RDONLY : 0u;
  if (s->opts.read_only && !size) rc = MDB_NOTFOUND;
  if (!rc) rc = mdb_env_open(s->env, s->mdb_path, MDB_NOSUBDIR | MDB_NOTLS | read_only | (s->x->sim ? MDB_NOSYNC : 0u), 0600);
  if (!rc) rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn);
  if (!rc) rc = mdb_dbi_open(s->txn, NULL, 0, &s->dbi);
  MDB_stat stat = {0};
  if (!rc) rc = mdb_stat(s->txn, s->dbi, &stat);
  if (rc) {
    store_env_close(s);
    return store_error(rc);
  }
  int dead = 0;
  mdb_reader_check(s->env, &dead);
  s->map_bytes = map, s->page_bytes = stat.ms_psize;
  return HDW_OK;
}

void store_env_close(store *s) {
  store_abort(s);
  if (s->env) mdb_env_close(s->env);
  s->env = NULL;
}

/* ---- reading: what changed since the last commit, over the state as last committed ---- */

hdw_status store_txn(store *s) {
  if (s->failed) return s->failed;
  int rc = 0;
  if (!s->txn) rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn);
  else if (s->stale) rc = mdb_txn_renew(s->txn);
  s->stale = false;
  if (rc) return store_error(rc);
  return s->has_young ? store_fold_young(s) : HDW_OK;
}

/* Cursors of a reading transaction outlive it. */
static void close_cursors(store *s) {
  for (size_t i = 0; i < sizeof s->cursors / sizeof *s->cursors; i++)
    if (s->cursors[i]) mdb_cursor_close(s->cursors[i]);
  memset(s->cursors, 0, sizeof s->cursors);
  while (s->nspare) mdb_cursor_close(s->spare[--s->nspare]);
  memset(s->known, 0, sizeof s->known);
}

void store_refresh(store *s) {
  close_cursors(s);
  if (s->txn && !s->stale) mdb_txn_reset(s->txn);
  s->stale = s->txn != NULL;
}

void store_abort(store *s) {
  close_cursors(s);
  if (s->txn) mdb_txn_abort(s->txn);
  s->txn = NULL;
  s->stale = s->has_young = false;
}

static int cursor_of(store *s, const skey *k, MDB_cursor **out) {
  MDB_cursor **c = &s->cursors[k->b[2] % STORE_TABLES];
  int rc = *c ? 0 : mdb_cursor_open(s->txn, s->dbi, c);
  *out = *c;
  return rc;
}

/* The file has nothing of the key's table: true for queues and lanes that are through as fast as they come, and then no tree is walked. */
static bool empty_table(store *s, const uint8_t *key) {
  MDB_cursor *c;
  uint8_t *known = &s->known[key[2] % STORE_TABLES];
  if (key[0] || key[1]) return false;
  if (*known) return *known == STORE_EMPTY;
  MDB_val k = {3, (void *)(uintptr_t)key}, v;
  skey of HDW_UNSET;
  skey_begin(&of, 0, (store_table)key[2]);
  if (cursor_of(s, &of, &c)) return false;
  int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
  bool none = rc == MDB_NOTFOUND || (!rc && (k.mv_size < 3 || memcmp(k.mv_data, of.b, 3) != 0));
  if (!rc || rc == MDB_NOTFOUND) *known = none ? STORE_EMPTY : STORE_USED;
  return none;
}

static bool is_index(const uint8_t *key) { return key[2] == T_BY_CONTROL || key[2] == T_BY_SENDER || key[2] == T_BY_PATIENT; }

/* Somebody looks for a key of an index: they are put in order. */
static hdw_status order_index(store *s) {
  if (s->now->nlater && !delta_link(s->now, s->now)) return HDW_E_NOMEM;
  if (s->handed && s->then->nlater && !s->sided) {
    if (!delta_link(&s->side, s->then)) return HDW_E_NOMEM;
    s->sided = true;
  }
  return HDW_OK;
}

hdw_status store_put_index(store *s, const skey *k) { return k->w.bad ? HDW_E_LIMIT : delta_later(s->now, k->b, k->w.len) ? HDW_OK : HDW_E_NOMEM; }

hdw_status store_put(store *s, const skey *k, const void *value, size_t len) {
  if (k->w.bad) return HDW_E_LIMIT;
  uint8_t *p = delta_put(s->now, k->b, k->w.len, len);
  if (!p) return HDW_E_NOMEM;
  if (len) memcpy(p, value, len);
  return HDW_OK;
}

hdw_status store_del(store *s, const skey *k) {
  if (k->w.bad) return HDW_OK;
  hdw_status st = is_index(k->b) ? order_index(s) : HDW_OK;
  return st ? st : delta_del(s->now, k->b, k->w.len) ? HDW_OK : HDW_E_NOMEM;
}

/* LMDB keeps a value behind its key in the same page, or in pages of its own. A damaged page may claim a length that leads far behind the map. */
static bool fits(const store *s, const MDB_val *k, const MDB_val *v) {
  bool same_page = (const char *)v->mv_data == (const char *)k->mv_data + k->mv_size;
  return k->mv_size + (same_page ? v->mv_size : 0) <= s->page_bytes && v->mv_size <= s->map_bytes;
}

hdw_status store_value(const store *s, const MDB_val *k, const MDB_val *v, cod_str *out) {
  if (v->mv_size < 4 || v->mv_size > UINT32_MAX || !fits(s, k, v)) return HDW_E_CORRUPT;
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
  hdw_status st = is_index(k->b) ? order_index(s) : HDW_OK;
  if (st) return st;
  const delta_node *n = delta_get(s->now, k->b, k->w.len);
  if (!n && s->sided) n = delta_get(&s->side, k->b, k->w.len);
  if (!n && s->handed) n = delta_get(s->then, k->b, k->w.len);
  if (n) {
    if (delta_gone(n)) return HDW_E_NOTFOUND;
    *out = cod_bytes(n->value, n->value_len);
    return HDW_OK;
  }
  MDB_val mk = {k->w.len, (void *)(uintptr_t)k->b}, mv;
  MDB_cursor *c = NULL;
  st = store_txn(s);
  if (!st && empty_table(s, k->b)) return HDW_E_NOTFOUND;
  int rc = st ? 0 : cursor_of(s, k, &c);
  if (!st && !rc) rc = mdb_cursor_get(c, &mk, &mv, MDB_SET_KEY);
  return st ? st : rc ? store_error(rc) : store_value(s, &mk, &mv, out);
}

hdw_status store_with(store *s, const skey *prefix, cod_r *rest) {
  sit i HDW_UNSET;
  sit_begin(&i, s, prefix, NULL, false);
  hdw_status st = sit_next(&i) ? HDW_OK : i.status ? i.status : HDW_E_NOTFOUND;
  if (!st) *rest = i.key;
  sit_end(&i);
  return st;
}

hdw_status store_grow(store *s) {
  if (s->handed && atomic_load(&s->phase) == STORE_HANDED) return HDW_E_INVALID;
  if (s->map_bytes >= s->opts.map_max_bytes) return HDW_E_FULL;
  store_refresh(s);
  uint64_t map = s->map_bytes * 2 < s->opts.map_max_bytes ? s->map_bytes * 2 : s->opts.map_max_bytes;
  int rc = mdb_env_set_mapsize(s->env, (size_t)map);
  if (!rc) s->map_bytes = map;
  return store_error(rc);
}

/* ---- iteration ---- */

/* The cursor onto the first key of the file that counts. */
static void position(sit *i, const void *key, size_t len) {
  MDB_val k = {len, (void *)(uintptr_t)key}, v = {0, NULL};
  int rc = i->c ? mdb_cursor_get(i->c, &k, &v, MDB_SET_RANGE) : MDB_NOTFOUND;
  if (i->c && i->desc) {
    /* The last key <= the wanted one: an exact hit stays, else one back (from the end when nothing is behind). */
    if (rc == MDB_NOTFOUND) rc = mdb_cursor_get(i->c, &k, &v, MDB_LAST);
    else if (!rc && !(k.mv_size == len && memcmp(k.mv_data, key, len) == 0)) rc = mdb_cursor_get(i->c, &k, &v, MDB_PREV);
  }
  i->on_file = !rc;
  i->passed = false;
  i->at_key = k, i->at_value = v;
  i->status = rc == MDB_NOTFOUND ? HDW_OK : store_error(rc);
  for (unsigned d = 0; d < 3; d++) i->at[d] = !i->in[d] ? NULL : i->desc ? delta_to(i->in[d], key, len) : delta_from(i->in[d], key, len);
}

void sit_begin(sit *i, store *s, const skey *prefix, const skey *from, bool desc) {
  i->s = s;
  i->c = NULL;
  i->desc = desc;
  i->key = (cod_r){0};
  i->value = (cod_str){"", 0};
  i->prefix_len = prefix->w.len;
  i->status = prefix->w.bad || (from && from->w.bad) ? HDW_E_NOTFOUND : store_txn(s);
  if (!i->status && is_index(prefix->b)) i->status = order_index(s);
  i->in[0] = s->now, i->in[1] = s->sided ? &s->side : NULL, i->in[2] = s->handed ? s->then : NULL;
  if (i->status) return;
  memcpy(i->prefix, prefix->b, prefix->w.len);
  if (empty_table(s, prefix->b)) i->c = NULL;
  else if (s->nspare) i->c = s->spare[--s->nspare];
  else i->status = store_error(mdb_cursor_open(s->txn, s->dbi, &i->c));
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
  if (!i->status) position(i, key->b, key->w.len);
}

/* < 0: a comes first in the order of the iteration. */
static int sooner(const sit *i, const MDB_val *a, const MDB_val *b) {
  int c = memcmp(a->mv_data, b->mv_data, a->mv_size < b->mv_size ? a->mv_size : b->mv_size);
  if (!c) c = a->mv_size < b->mv_size ? -1 : a->mv_size > b->mv_size;
  return i->desc ? -c : c;
}

static MDB_val node_key(const delta_node *n) { return (MDB_val){n->key_len, (void *)(uintptr_t)delta_key(n)}; }

/* Only when something more is wanted: most look for one key. */
static void forward_file(sit *i) {
  int rc = mdb_cursor_get(i->c, &i->at_key, &i->at_value, i->desc ? MDB_PREV : MDB_NEXT);
  i->on_file = !rc;
  i->passed = false;
  if (rc && rc != MDB_NOTFOUND) i->status = store_error(rc);
}

/* The next key of all, each behind all that were given: of equal ones the newest counts, the others are passed over. */
bool sit_next(sit *i) {
  while (!i->status) {
    if (i->passed) forward_file(i);
    if (i->status) break;
    const delta_node *from = NULL;
    MDB_val k = {0, NULL}, v = {0, NULL};
    bool any = i->on_file;
    if (any) k = i->at_key, v = i->at_value;
    for (unsigned d = 3; d-- > 0;) {
      if (!i->at[d]) continue;
      MDB_val mine = node_key(i->at[d]);
      if (!any || sooner(i, &mine, &k) <= 0) k = mine, from = i->at[d];
      any = true;
    }
    if (!any || k.mv_size < i->prefix_len || memcmp(k.mv_data, i->prefix, i->prefix_len)) return false;
    if (from) i->value = cod_bytes(from->value, from->value_len);
    else i->status = store_value(i->s, &k, &v, &i->value);
    if (i->status) return false;
    for (unsigned d = 0; d < 3; d++) {
      const delta_node *n = i->at[d];
      MDB_val mine = n ? node_key(n) : (MDB_val){0, NULL};
      if (n && !sooner(i, &mine, &k)) i->at[d] = i->desc ? n->prev : n->next[0];
    }
    i->passed = i->on_file && !sooner(i, &i->at_key, &k);
    if (from && delta_gone(from)) continue;
    i->key = cod_reader((const uint8_t *)k.mv_data + i->prefix_len, k.mv_size - i->prefix_len);
    return true;
  }
  return false;
}

void sit_end(sit *i) {
  store *s = i->s;
  if (i->c && s->nspare < sizeof s->spare / sizeof *s->spare) s->spare[s->nspare++] = i->c;
  else if (i->c) mdb_cursor_close(i->c);
  i->c = NULL;
  if (i->status == HDW_E_NOTFOUND) i->status = HDW_OK;
}
