/* failing_wrap.c - the calls themselves: the linker gives us all of them (failing.cmake), we give most on. */
#include "failing.h"
#include "io_file.h"
#include "store_int.h"
#include <errno.h>
#include <execinfo.h>
#include <openssl/evp.h>
#include <stdlib.h>

failing fail_now;

/* The way by which a call is come to: the hash of the callers' addresses. True: it was not there before. */
static bool new_way(void) {
  enum { DEPTH = 10, SEEN = 1 << 14 };
  static uint64_t seen[SEEN];
  void *at[DEPTH];
  uint64_t h = 14695981039346656037u;
  if (fail_now.calls == 1) memset(seen, 0, sizeof seen);
  int n = backtrace(at, DEPTH);
  for (int i = 2; i < n; i++) h = (h ^ (uint64_t)(uintptr_t)at[i]) * 1099511628211u;
  for (uint64_t i = h % SEEN;; i = (i + 1) % SEEN) {
    if (seen[i] == h) return false;
    if (!seen[i]) return seen[i] = h, true;
  }
}

bool failing_due(const char *name, unsigned kinds) {
  failing *f = &fail_now;
  if (!f->armed) return false;
  long n = ++f->calls;
  if (!f->at && n < FAILING_MAX) f->kinds[n] = f->sites && !new_way() ? 0 : (uint8_t)kinds;
  if (!f->at || (n != f->at && !(f->sticky && n > f->at))) return false;
  if (n == f->at) f->name = name;
  return true;
}

/* What a call of files, and one of LMDB, says when it fails. */
#define OF(list) (list)[fail_now.kind % (sizeof(list) / sizeof *(list))]
#define KINDS(list) (unsigned)(sizeof(list) / sizeof *(list))
static const hdw_status file_errors[] = {HDW_E_IO, HDW_E_FULL, HDW_E_DENIED}, open_errors[] = {HDW_E_IO, HDW_E_LIMIT, HDW_E_DENIED}, read_errors[] = {HDW_E_IO, HDW_OK /* it is shorter */};
static const int mdb_errors[] = {EIO, MDB_CORRUPTED, ENOMEM}, write_errors[] = {EIO, MDB_MAP_FULL, ENOSPC, MDB_CORRUPTED}, env_errors[] = {EIO, MDB_VERSION_MISMATCH, EACCES, MDB_INVALID};
static const hdw_status rec_errors[] = {HDW_E_CORRUPT, HDW_E_VERSION};

#define WRAP(type, name, params, args, errors, ...) \
  type __real_##name params; \
  type __wrap_##name params; \
  type __wrap_##name params { \
    if (failing_due(#name, KINDS(errors))) { \
      __VA_ARGS__; \
      return (type)OF(errors); \
    } \
    return __real_##name args; \
  }
/* Those that fail in one way only. */
#define WRAP1(type, name, params, args, value) \
  type __real_##name params; \
  type __wrap_##name params; \
  type __wrap_##name params { return failing_due(#name, 1) ? (value) : __real_##name args; }

WRAP1(void *, malloc, (size_t n), (n), NULL)
WRAP1(int, EVP_DigestInit_ex, (EVP_MD_CTX *c, const EVP_MD *t, ENGINE *e), (c, t, e), 0)
WRAP1(int, EVP_DigestUpdate, (EVP_MD_CTX *c, const void *p, size_t n), (c, p, n), 0)
WRAP1(int, EVP_DigestFinal_ex, (EVP_MD_CTX *c, unsigned char *p, unsigned *n), (c, p, n), 0)
WRAP1(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)
WRAP1(int, EVP_MD_CTX_copy_ex, (EVP_MD_CTX *a, const EVP_MD_CTX *b), (a, b), 0)
WRAP1(size_t, ZSTD_compress, (void *to, size_t cap, const void *p, size_t n, int level), (to, cap, p, n, level), (size_t)-1)
WRAP1(size_t, ZSTD_decompress, (void *to, size_t cap, const void *p, size_t n), (to, cap, p, n), (size_t)-1)

WRAP(int, mdb_env_create, (MDB_env **e), (e), mdb_errors, *e = NULL)
WRAP(int, mdb_env_set_mapsize, (MDB_env *e, size_t n), (e, n), mdb_errors, (void)0)
WRAP(int, mdb_env_open, (MDB_env *e, const char *p, unsigned f, mdb_mode_t m), (e, p, f, m), env_errors, (void)0)
WRAP(int, mdb_env_copy2, (MDB_env *e, const char *p, unsigned f), (e, p, f), write_errors, (void)0)
WRAP1(int, mdb_env_get_fd, (MDB_env *e, mdb_filehandle_t *fd), (e, fd), EINVAL)
WRAP(int, mdb_txn_begin, (MDB_env *e, MDB_txn *up, unsigned f, MDB_txn **t), (e, up, f, t), mdb_errors, *t = NULL)
WRAP(int, mdb_txn_renew, (MDB_txn *t), (t), mdb_errors, (void)0)
WRAP(int, mdb_txn_commit, (MDB_txn *t), (t), write_errors, mdb_txn_abort(t))
WRAP(int, mdb_dbi_open, (MDB_txn *t, const char *n, unsigned f, MDB_dbi *d), (t, n, f, d), mdb_errors, (void)0)
WRAP(int, mdb_cursor_open, (MDB_txn *t, MDB_dbi d, MDB_cursor **c), (t, d, c), mdb_errors, *c = NULL)
WRAP(int, mdb_cursor_get, (MDB_cursor *c, MDB_val *k, MDB_val *v, MDB_cursor_op op), (c, k, v, op), mdb_errors, (void)0)
WRAP(int, mdb_cursor_put, (MDB_cursor *c, MDB_val *k, MDB_val *v, unsigned f), (c, k, v, f), write_errors, (void)0)
WRAP(int, mdb_cursor_del, (MDB_cursor *c, unsigned f), (c, f), write_errors, (void)0)

WRAP(hdw_status, io_file_open, (const char *p, unsigned f, int *fd), (p, f, fd), open_errors, (void)0)
WRAP(hdw_status, io_file_pread, (int fd, void *p, size_t n, uint64_t off, size_t *got), (fd, p, n, off, got), read_errors, *got = 0)
WRAP(hdw_status, io_file_pwritev, (int fd, const io_slice *v, unsigned n, uint64_t off), (fd, v, n, off), file_errors, (void)0)
WRAP(hdw_status, io_file_sync, (int fd), (fd), file_errors, (void)0)
WRAP(hdw_status, io_file_truncate, (int fd, uint64_t n), (fd, n), file_errors, (void)0)
WRAP(hdw_status, io_file_stat, (const char *p, io_stat_info *i), (p, i), file_errors, (void)0)
WRAP(hdw_status, io_file_rename, (const char *a, const char *b), (a, b), file_errors, (void)0)
WRAP(hdw_status, io_file_unlink, (const char *p), (p), file_errors, (void)0)
WRAP(hdw_status, io_file_mkdir, (const char *p), (p), file_errors, (void)0)
WRAP(hdw_status, io_file_sync_dir, (const char *p), (p), file_errors, (void)0)
WRAP(hdw_status, io_file_space, (const char *p, io_space_info *i), (p, i), file_errors, (void)0)

WRAP1(uint8_t *, delta_put, (delta *d, const void *k, size_t n, size_t len), (d, k, n, len), NULL)
WRAP1(bool, delta_later, (delta *d, const void *k, size_t n), (d, k, n), false)
WRAP1(bool, delta_link, (delta *d, delta *from), (d, from), false)
WRAP1(bool, delta_del, (delta *d, const void *k, size_t n), (d, k, n), false)
WRAP1(size_t, row_put_input, (store *s, const store_input *r), (s, r), 0)
WRAP1(bool, row_get_input, (cod_str v, store_input *r), (v, r), false)
WRAP1(size_t, row_put_run, (store *s, const store_run *r), (s, r), 0)
WRAP1(bool, row_get_run, (cod_str v, store_run *r), (v, r), false)
WRAP1(size_t, row_put_effect, (store *s, const store_effect *r), (s, r), 0)
WRAP1(bool, row_get_effect, (cod_str v, store_effect *r), (v, r), false)
WRAP1(size_t, row_put_delivery, (store *s, const store_delivery *r), (s, r), 0)
WRAP1(bool, row_get_delivery, (cod_str v, store_delivery *r), (v, r), false)
WRAP1(size_t, row_put_deploy, (store *s, const store_deploy *r), (s, r), 0)
WRAP1(bool, row_get_deploy, (cod_str v, store_deploy *r), (v, r), false)
WRAP(hdw_status, rec_get_input, (const log_rec *r, rec_input *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_verdict, (const log_rec *r, rec_input_verdict *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_ack_outcome, (const log_rec *r, rec_ack_outcome *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_run_start, (const log_rec *r, rec_run_start *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_run_change, (const log_rec *r, rec_run_change *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_effect, (const log_rec *r, rec_effect *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_run_end, (const log_rec *r, rec_run_end *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_delivery, (const log_rec *r, rec_delivery *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_delivery_result, (const log_rec *r, rec_delivery_result *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_action, (const log_rec *r, rec_action *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_deploy, (const log_rec *r, rec_deploy *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_named, (const log_rec *r, rec_put *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_expire, (const log_rec *r, rec_expire *o), (r, o), rec_errors, (void)0)
WRAP(hdw_status, rec_get_audit, (const log_rec *r, rec_audit *o), (r, o), rec_errors, (void)0)

/* ---- the seam: its table of calls, with ours in it --------------------------------------------------------------------------------------- */

static const io_ops *real;
#define SEAM(name, params, args, errors, ...) \
  static hdw_status my_##name params { \
    if (failing_due("io_" #name, KINDS(errors))) { \
      __VA_ARGS__; \
      return OF(errors); \
    } \
    bool armed = fail_now.armed; \
    fail_now.armed = false; /* one call, whatever the seam makes of it */ \
    hdw_status st = real->name args; \
    fail_now.armed = armed; \
    return st; \
  }
SEAM(open, (io *x, const char *p, unsigned f, int *fd), (x, p, f, fd), open_errors, (void)0)
SEAM(pread, (io *x, int fd, void *p, size_t n, uint64_t off, size_t *got), (x, fd, p, n, off, got), read_errors, *got = 0)
SEAM(next_data, (io *x, int fd, uint64_t off, uint64_t *next), (x, fd, off, next), file_errors, (void)0)
SEAM(pwritev, (io *x, int fd, const io_slice *v, unsigned n, uint64_t off), (x, fd, v, n, off), file_errors, (void)0)
SEAM(sync, (io *x, int fd), (x, fd), file_errors, (void)0)
SEAM(alloc, (io *x, int fd, uint64_t n), (x, fd, n), file_errors, (void)0)
SEAM(truncate, (io *x, int fd, uint64_t n), (x, fd, n), file_errors, (void)0)
SEAM(stat, (io *x, const char *p, io_stat_info *i), (x, p, i), file_errors, (void)0)
SEAM(rename, (io *x, const char *a, const char *b), (x, a, b), file_errors, (void)0)
SEAM(unlink, (io *x, const char *p), (x, p), file_errors, (void)0)
SEAM(mkdir, (io *x, const char *p), (x, p), file_errors, (void)0)
SEAM(list, (io *x, const char *p, io_dir_cb cb, void *u), (x, p, cb, u), file_errors, (void)0)
SEAM(sync_dir, (io *x, const char *p), (x, p), file_errors, (void)0)
SEAM(space, (io *x, const char *p, io_space_info *i), (x, p, i), file_errors, (void)0)
SEAM(worker_start, (io *x, void (*step)(void *), void *u, io_worker **w), (x, step, u, w), file_errors, (void)0)

void failing_io(io *x) {
  static io_ops ours;
  real = x->ops;
  ours = *real;
#define TAKE(name) ours.name = my_##name;
  TAKE(open) TAKE(pread) TAKE(pwritev) TAKE(sync) TAKE(alloc) TAKE(truncate) TAKE(stat) TAKE(rename) TAKE(unlink) TAKE(mkdir) TAKE(list) TAKE(sync_dir) TAKE(space) TAKE(worker_start)
  if (real->next_data) ours.next_data = my_next_data;
#undef TAKE
  x->ops = &ours;
}
