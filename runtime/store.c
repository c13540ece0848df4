#include "io_file.h"
#include "points.h"
#include "store_int.h"
#include <stdio.h>

/* ---- the meta row: format, applied position, counts ---- */

hdw_status store_meta_row(const store *s, uint8_t *b, size_t cap, size_t *len) {
  cod_w w = cod_writer(b, cap);
  cod_put_u32(&w, STORE_FORMAT);
  cod_put_u64(&w, s->applied + HDW_BROKEN("store.ahead"));
  cod_put_u64(&w, s->first);
  const store_counts *c = &s->counts;
  cod_put_var(&w, c->inputs);
  cod_put_var(&w, c->runs);
  cod_put_var(&w, c->effects);
  cod_put_var(&w, c->deliveries);
  cod_put_var(&w, c->orphans);
  for (unsigned i = 0; i < 8; i++) cod_put_var(&w, c->inputs_by_state[i]);
  for (unsigned i = 0; i < 12; i++) cod_put_var(&w, c->runs_by_state[i]);
  for (unsigned i = 0; i < 8; i++) cod_put_var(&w, c->deliveries_by_state[i]);
  cod_put_var(&w, c->held_lanes);
  *len = w.len;
  return w.bad ? HDW_E_LIMIT : HDW_OK;
}

/* HDW_E_NOTFOUND: a new file. */
static hdw_status meta_get(store *s) {
  skey k HDW_UNSET;
  cod_str v;
  skey_begin(&k, 0, T_META);
  hdw_status st = store_get(s, &k, &v);
  if (st) return st;
  cod_r r = cod_reader(v.p, v.len);
  if (cod_get_u32(&r) != STORE_FORMAT) return HDW_E_VERSION;
  s->applied = cod_get_u64(&r);
  s->first = cod_get_u64(&r);
  store_counts *c = &s->counts;
  c->inputs = cod_get_var(&r);
  c->runs = cod_get_var(&r);
  c->effects = cod_get_var(&r);
  c->deliveries = cod_get_var(&r);
  c->orphans = cod_get_var(&r);
  for (unsigned i = 0; i < 8; i++) c->inputs_by_state[i] = cod_get_var(&r);
  for (unsigned i = 0; i < 12; i++) c->runs_by_state[i] = cod_get_var(&r);
  for (unsigned i = 0; i < 8; i++) c->deliveries_by_state[i] = cod_get_var(&r);
  c->held_lanes = cod_get_var(&r);
  s->keys = cod_get_var(&r);
  s->committed = s->applied;
  s->committed_first = s->first;
  return cod_done(&r) ? HDW_OK : HDW_E_CORRUPT;
}

/* ---- applying ---- */

static hdw_status fail(store *s, hdw_status st) {
  store_abort(s);
  return s->failed = st;
}

static hdw_status apply_one(store *s, const log_rec *rec) {
  hdw_status st = store_fold(s, rec);
  if (st) return st;
  s->applied = rec->seq;
  s->pending++;
  return HDW_OK;
}

hdw_status store_apply(store *s, const log_rec *rec) {
  if (s->failed) return s->failed;
  if (rec->seq <= s->applied) return HDW_OK;
  if (rec->seq != s->applied + 1) return HDW_E_INVALID;
  hdw_status st = apply_one(s, rec);
  return st ? fail(s, st) : store_pace(s);
}

/* Applies the log from the applied position to until (0 = its end). info->behind: retention has passed the applied position, so that records that would
 * have changed what is here may be gone: only a rebuild is right. */
static hdw_status catch_up(store *s, uint64_t until, store_info *info) {
  log_iter *it;
  log_rec rec;
  bool fresh = info->rebuilt || !s->applied;
  hdw_status st = log_iter_open(s->x, s->log_dir, s->applied + 1, &it);
  if (st == HDW_E_NOTFOUND) {
    /* No log yet, or its beginning was dropped by retention. */
    st = log_iter_open(s->x, s->log_dir, 0, &it);
    if (st == HDW_E_NOTFOUND) return HDW_OK;
    if (!st && !fresh) {
      log_iter_close(it);
      info->behind = true;
      return HDW_E_VERSION;
    }
  }
  if (st) return st;
  for (unsigned n = 1; !st && (!until || s->applied < until); n++) {
    st = log_iter_next(it, &rec);
    if (st == HDW_E_CORRUPT) {
      uint64_t lost;
      if (!info->bad.seg) info->bad = rec.pos;
      st = log_iter_skip_segment(it, &lost);
      info->skipped += lost;
      continue;
    }
    if (st || rec.seq <= s->applied) continue;
    if (!fresh && log_iter_compacted(it)) info->behind = true, st = HDW_E_VERSION;
    if (!s->applied) info->first_seq = log_iter_first_seq(it);
    if (!st) st = apply_one(s, &rec); /* retention took what may lie between: the iterator vouches for that */
    if (!st) info->caught_up++;
    if (!st) st = store_pace(s);
    if (s->opts.progress && n % 4096 == 0) {
      uint64_t done, total;
      log_iter_progress(it, &done, &total);
      s->opts.progress(done, total, s->opts.progress_user);
    }
  }
  if (st == HDW_E_NOTFOUND && log_iter_next_seq(it) > s->applied + 1) s->applied = log_iter_next_seq(it) - 1; /* the last ones were taken */
  log_iter_close(it);
  return st == HDW_E_NOTFOUND ? HDW_OK : st;
}

/* ---- opening ---- */

/* A folder that set_paths took: there is room for each of our names in it. */
static void path_of(char out[STORE_PATH], const char *dir, const char *name) { (void)snprintf(out, STORE_PATH, "%.*s/%s", STORE_PATH - STORE_NAME - 2, dir, name); }

static hdw_status check_dir(store *s) {
  io_stat_info info;
  io_space_info space;
  hdw_status st = io_file_stat(s->lmdb_dir, &info);
  if (st == HDW_E_NOTFOUND && !s->opts.read_only) {
    st = io_file_mkdir(s->lmdb_dir);
    if (!st) st = io_file_stat(s->lmdb_dir, &info);
  }
  if (st) return st;
  if (!info.is_dir || (info.mode & 077)) return HDW_E_DENIED;
  st = io_file_space(s->lmdb_dir, &space);
  return st ? st : space.remote ? HDW_E_UNSUPPORTED : HDW_OK;
}

/* The key of the hashed indexes: made once; indexes made with another key are found no more, so it must outlive a rebuild. */
static hdw_status load_hash_key(store *s) {
  char path[STORE_PATH], tmp[STORE_PATH];
  int fd;
  size_t got = 0;
  path_of(path, s->lmdb_dir, "hash.key");
  path_of(tmp, s->lmdb_dir, "hash.key.tmp");
  hdw_status st = io_file_open(path, IO_O_READ, &fd);
  if (st == HDW_OK) {
    io_stat_info info;
    st = io_file_pread(fd, s->hash_key, sizeof s->hash_key, 0, &got);
    io_file_close(fd);
    if (!st && got != sizeof s->hash_key) st = HDW_E_CORRUPT;
    if (!st) st = io_file_stat(path, &info);
    return st ? st : info.mode & 077 ? HDW_E_DENIED : HDW_OK;
  }
  if (st != HDW_E_NOTFOUND || s->opts.read_only) return st;
  io_random(s->x, s->hash_key, sizeof s->hash_key);
  st = io_file_open(tmp, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd);
  if (st) return st;
  io_slice v = {s->hash_key, sizeof s->hash_key};
  st = io_file_pwritev(fd, &v, 1, 0);
  if (!st) st = io_file_sync(fd);
  io_file_close(fd);
  if (!st) st = io_file_rename(tmp, path);
  return st ? st : io_file_sync_dir(s->lmdb_dir);
}

static hdw_status remove_files(store *s) {
  char lock[STORE_PATH];
  path_of(lock, s->lmdb_dir, "state.mdb-lock");
  hdw_status a = io_file_unlink(s->mdb_path), b = io_file_unlink(lock);
  if (a && a != HDW_E_NOTFOUND) return a;
  return b && b != HDW_E_NOTFOUND ? b : HDW_OK;
}

/* Kept for whoever wants to know what happened; one of them. */
static hdw_status rename_bad(store *s) {
  char bad[STORE_PATH];
  path_of(bad, s->lmdb_dir, "state.mdb.bad");
  return io_file_rename(s->mdb_path, bad);
}

static hdw_status set_aside(store *s) {
  hdw_status st = rename_bad(s);
  if (st && st != HDW_E_NOTFOUND) return st;
  return remove_files(s);
}

void store_doubt(store *s) {
  if (!s->opts.read_only) (void)rename_bad(s);
}

static void reset(store *s) {
  s->applied = s->committed = 0;
  s->first = s->committed_first = 0;
  s->pending = 0;
  s->failed = HDW_OK;
  memset(&s->counts, 0, sizeof s->counts);
}

static hdw_status open_fresh(store *s, store_info *info) {
  reset(s);
  info->rebuilt = true;
  return store_env_open(s);
}

static hdw_status open_state(store *s, store_info *info) {
  hdw_status st = store_env_open(s);
  if (!st && !s->opts.read_only) st = store_pages(s->x->mem, s->mdb_path);
  if (!st) st = meta_get(s);
  if (st == HDW_OK) return HDW_OK;
  if (s->opts.read_only) return st;
  bool missing = st == HDW_E_NOTFOUND, unusable = st == HDW_E_CORRUPT || st == HDW_E_VERSION;
  store_env_close(s);
  if (!missing && !unusable) return st;
  st = missing ? remove_files(s) : set_aside(s);
  return st ? st : open_fresh(s, info);
}

static hdw_status bring_up(store *s, store_info *info) {
  hdw_status st = catch_up(s, s->opts.until, info);
  if (!st) st = store_settle(s);
  if (st) store_idle(s), store_abort(s);
  if (info->first_seq > 1 && info->first_seq > s->first) info->skipped += info->first_seq - 1;
  info->applied_seq = s->applied;
  return st;
}

static hdw_status set_paths(store *s, const store_opts *o) {
  const char *lmdb = o->lmdb_dir ? o->lmdb_dir : o->dir;
  if (strlen(o->dir) + STORE_NAME + 2 > STORE_PATH || strlen(lmdb) + STORE_NAME + 2 > STORE_PATH) return HDW_E_INVALID;
  memcpy(s->dir, o->dir, strlen(o->dir) + 1);
  memcpy(s->lmdb_dir, lmdb, strlen(lmdb) + 1);
  path_of(s->log_dir, s->dir, "log");
  path_of(s->mdb_path, s->lmdb_dir, "state.mdb");
  return HDW_OK;
}

static void defaults(store_opts *o) {
  if (!o->map_bytes) o->map_bytes = 64u << 20;
  if (!o->map_max_bytes) o->map_max_bytes = (uint64_t)1 << 40;
  if (!o->commit_us) o->commit_us = 100000;
  if (!o->commit_records) o->commit_records = 20000;
}

static hdw_status store_new(io *x, const store_opts *opts, store **out) {
  store *s = (store *)x->mem->get(x->mem, sizeof *s);
  *out = NULL;
  if (!s) return HDW_E_NOMEM;
  memset(s, 0, sizeof *s);
  s->x = x, s->opts = *opts;
  defaults(&s->opts);
  store_commit_init(s);
  hdw_status st = set_paths(s, opts);
  if (st) x->mem->put(x->mem, s, sizeof *s);
  else *out = s;
  return st;
}

static void store_free(store *s) {
  store_commit_free(s);
  store_env_close(s);
  s->x->mem->put(s->x->mem, s, sizeof *s);
}

hdw_status store_open(io *x, const store_opts *opts, store_info *info, store **out) {
  store *s;
  *out = NULL;
  memset(info, 0, sizeof *info);
  hdw_status st = store_new(x, opts, &s);
  if (st) return st;
  st = check_dir(s);
  if (!st) st = load_hash_key(s);
  if (!st) st = open_state(s, info);
  if (!st && opts->read_only) info->applied_seq = s->applied;
  else if (!st) st = bring_up(s, info);
  /* Behind what retention left, or damaged in what the new records change: made again. (Damage of the log is not told by this status, but skipped and counted.) */
  bool damaged = st == HDW_E_CORRUPT && s->env && !info->rebuilt && !opts->read_only;
  if (st && (info->behind || damaged)) {
    store_idle(s);
    store_env_close(s);
    *info = (store_info){.rebuilt = true, .behind = !damaged};
    st = damaged ? set_aside(s) : remove_files(s);
    if (!st) st = open_fresh(s, info);
    if (!st) st = bring_up(s, info);
  }
  if (st) {
    store_free(s);
    return st;
  }
  *out = s;
  return HDW_OK;
}

uint64_t store_peek_applied(io *x, const char *dir) {
  store *s;
  store_opts o = {.dir = dir};
  uint64_t applied = 0;
  io_stat_info info;
  if (store_new(x, &o, &s)) return 0;
  if (io_file_stat(s->mdb_path, &info) == HDW_OK && info.size_bytes && store_env_open(s) == HDW_OK) {
    if (meta_get(s) == HDW_OK) applied = s->applied;
  }
  store_free(s);
  return applied;
}

hdw_status store_catch_up(store *s, store_info *info) {
  memset(info, 0, sizeof *info);
  hdw_status st = bring_up(s, info);
  if (!st || s->failed) return st;
  /* What was folded and is not in the file is forgotten: the next call goes on from what the file says, and no commit says more. */
  s->pending = 0;
  s->failed = meta_get(s);
  info->applied_seq = s->applied;
  return st;
}

hdw_status store_compact(io *x, const char *dir, uint64_t *before_bytes, uint64_t *after_bytes) {
  store *s;
  store_opts o = {.dir = dir};
  char tmp[STORE_PATH];
  io_stat_info st = {0};
  hdw_status e = store_new(x, &o, &s);
  if (e) return e;
  path_of(tmp, s->lmdb_dir, "state.mdb.new");
  e = io_file_stat(s->mdb_path, &st);
  *before_bytes = *after_bytes = st.size_bytes;
  if (!e) e = store_env_open(s);
  if (!e) e = store_pages(s->x->mem, s->mdb_path);
  store_abort(s);
  (void)io_file_unlink(tmp);
  HDW_POINT("hold.before_copy"); /* of a command, as all of these */
  if (!e) e = store_error(mdb_env_copy2(s->env, tmp, MDB_CP_COMPACT));
  store_env_close(s);
  if (!e) e = io_file_stat(tmp, &st);
  if (!e) e = io_file_rename(tmp, s->mdb_path);
  if (!e) e = io_file_sync_dir(s->lmdb_dir);
  if (!e) *after_bytes = st.size_bytes;
  else (void)io_file_unlink(tmp);
  store_free(s);
  return e;
}

void store_close(store *s) {
  if (!s) return;
  store_flush(s);
  store_free(s);
}

hdw_status store_rebuild(store *s, store_info *info) {
  memset(info, 0, sizeof *info);
  store_idle(s);
  store_env_close(s);
  hdw_status st = remove_files(s);
  if (!st) st = open_fresh(s, info);
  if (!st) st = bring_up(s, info);
  return st ? (s->failed = st) : HDW_OK;
}

uint64_t store_applied(const store *s) { return s->applied; }
void store_get_counts(const store *s, store_counts *out) { *out = s->counts; }

void store_get_size(const store *s, uint64_t *used_bytes, uint64_t *map_bytes) {
  MDB_envinfo info = {0};
  MDB_stat st = {0};
  mdb_env_info(s->env, &info);
  mdb_env_stat(s->env, &st);
  *used_bytes = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
  *map_bytes = s->map_bytes;
}
