/* io.h - the seam: everything that reaches outside the process goes through this table of functions.
 *
 * Time, randomness, timers, sockets, files, name resolution, the HTTP client, signals, threads and the end of the process are
 * entries of io_ops; a context `io *` carries the table, so that nothing is global. There are two implementations: io_linux.h (libevent, files,
 * libcurl) and io_sim.h (virtual clock, seeded order, sockets and files in memory, faults by request). The same code runs on both.
 *
 * Threads: one thread, the loop, calls everything here and gets every callback, one at a time, to completion. Only these may be called
 * from other threads: io_post, io_mono_us, io_wall_us and the file functions. A worker (io_worker_start) is the only
 * way to get another thread; it talks back with io_post.
 *
 * Callbacks are never made from inside the call that asked for them. A callback may close, cancel or start anything, itself included.
 * Times are microseconds; delays are relative; wall times are Unix time. Strings are NUL-terminated unless a length stands beside them. */
#ifndef HDW_IO_H
#define HDW_IO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "status.h"

typedef struct io io;
typedef struct io_sock io_sock;
typedef struct io_listener io_listener;
typedef struct io_worker io_worker;

/* ---- addresses ------------------------------------------------------------------------------------------------------------------- */

enum { IO_ADDR_NONE = 0, IO_ADDR_IP4 = 4, IO_ADDR_IP6 = 6, IO_ADDR_UNIX = 1, IO_ADDR_TEXT = 128 };
typedef struct io_addr {
  uint8_t family;      /* IO_ADDR_* */
  uint16_t port;       /* host order; when listening 0 = any free port */
  uint8_t ip[16];      /* 4 or 16 bytes, network order */
  char path[104];      /* of a unix socket */
  uint16_t mode;       /* its permission bits when it is made; 0 = 0600 */
} io_addr;
/* "127.0.0.1:2575", "[::1]:80", "unix:/run/x.sock": numbers only, no names. HDW_E_SYNTAX. */
hdw_status io_addr_parse(const char *text, io_addr *out);
/* The same form back, NUL-terminated, at most IO_ADDR_TEXT bytes; returns out. */
char *io_addr_format(const io_addr *a, char out[IO_ADDR_TEXT]);
bool io_addr_equal(const io_addr *a, const io_addr *b);

/* ---- things embedded by the caller: no allocation, cannot fail ----------------------------------------------------------------------- */

/* A one-shot timer. Zero it before first use; it must stay where it is while set. */
typedef struct io_timer {
  void (*fn)(void *user);
  void *user;
  int64_t at_us;              /* monotonic, when set */
  uint64_t tie;               /* order among equals */
  struct io_timer *child, *next, *prev; /* pairing heap; private */
  bool set;
} io_timer;

/* A piece of work handed to the loop, from any thread. Must not be posted again before it ran. */
typedef struct io_task {
  void (*fn)(void *user);
  void *user;
  struct io_task *next;
} io_task;

/* ---- sockets ----------------------------------------------------------------------------------------------------------------------- */

enum { IO_READ = 1, IO_WRITE = 2, IO_CONNECTED = 4, IO_FAILED = 8 };
/* events: the wanted ones that hold (level: they come again until the cause is gone or no longer wanted). IO_CONNECTED once after io_connect
 * succeeded; IO_FAILED once when it did not (close the socket). End of stream and errors show as IO_READ and are told by io_read. */
typedef void (*io_sock_cb)(io_sock *s, unsigned events, void *user);
/* A new connection; it wants nothing until io_sock_on. Ownership goes to the callee. */
typedef void (*io_accept_cb)(io_listener *l, io_sock *s, void *user);
enum { IO_MAX_GROUPS = 32 };
typedef struct io_cred {
  uint32_t uid, gid;
  int32_t pid;
  uint32_t groups[IO_MAX_GROUPS]; /* further ones, as far as there is room */
  unsigned ngroups;
} io_cred;

/* ---- files ------------------------------------------------------------------------------------------------------------------------- */

enum { IO_O_READ = 1, IO_O_WRITE = 2, IO_O_CREATE = 4, IO_O_EXCL = 8, IO_O_TRUNC = 16, IO_O_APPEND = 32, IO_O_LOCK = 64 };
typedef struct io_slice {
  const void *p;
  size_t len;
} io_slice;
typedef struct io_stat_info {
  uint64_t size_bytes, inode, device;
  int64_t mtime_us;
  uint32_t mode, uid;        /* mode: permission bits only */
  bool is_dir, is_file, is_link;
} io_stat_info;
typedef struct io_space_info {
  uint64_t free_bytes, total_bytes;  /* free: for us, not for root */
  bool remote;                       /* NFS, CIFS, FUSE over a network: LMDB must refuse */
} io_space_info;
/* Returns false to stop the listing. name is valid during the call. */
typedef bool (*io_dir_cb)(const char *name, void *user);

/* ---- names and HTTP ----------------------------------------------------------------------------------------------------------------- */

/* n addresses (port as asked for), valid during the call; HDW_E_NOTFOUND, HDW_E_TIMEOUT or HDW_E_IO with n = 0. */
typedef void (*io_resolve_cb)(hdw_status s, const io_addr *addrs, unsigned n, void *user);

typedef struct io_http_header {
  const char *name, *value;   /* no CR, LF, NUL: checked by the caller */
} io_http_header;
/* A request whose parts were checked by the caller. Everything is copied before io_http_request returns, except tls. */
typedef struct io_http_req {
  const char *method;         /* token */
  bool https;
  const char *host;           /* name or numeric address, no brackets */
  uint16_t port;
  const char *target;         /* path and query, begins with '/' */
  const io_http_header *headers;
  unsigned nheaders;
  const void *body;
  size_t body_len;
  const io_addr *pin;         /* the addresses that were resolved and allowed: nothing else is connected to */
  unsigned npin;
  const void *tls;            /* identity: client certificate, CA store; NULL = the default. Connections are reused within one identity only */
  int64_t timeout_us;         /* of the whole exchange; 0 is an error: everything has a deadline */
  int64_t connect_timeout_us; /* until the connection stands; 0 = timeout_us */
  size_t max_body_bytes, max_header_bytes; /* beyond: HDW_E_LIMIT */
} io_http_req;
typedef struct io_http_res {
  hdw_status status;          /* HDW_OK = a complete response came */
  bool sent;                  /* the request may have reached the peer: a failure is ambiguous */
  int code;                   /* 100-599 when status is HDW_OK */
  const io_http_header *headers; /* in order, names as received */
  unsigned nheaders;
  const void *body;
  size_t body_len;
  const char *error;          /* English, without clinical values or secrets; "" when none */
} io_http_res;
/* res and all it points at are valid during the call. */
typedef void (*io_http_cb)(const io_http_res *res, void *user);

/* ---- the table --------------------------------------------------------------------------------------------------------------------- */

typedef struct io_ops {
  int64_t (*mono_us)(io *);
  int64_t (*wall_us)(io *);
  void (*random)(io *, void *p, size_t len);
  void (*timer_set)(io *, io_timer *);
  void (*timer_cancel)(io *, io_timer *);
  void (*post)(io *, io_task *);
  void (*unpost)(io *, io_task *);
  hdw_status (*signal)(io *, int signo, void (*fn)(int signo, void *user), void *user);
  hdw_status (*run)(io *);
  void (*stop)(io *);
  void (*exit)(io *, int code);

  hdw_status (*listen)(io *, const io_addr *, io_accept_cb, void *user, io_listener **out);
  void (*listener_addr)(io_listener *, io_addr *);
  void (*listener_pause)(io_listener *, bool pause);
  void (*listener_close)(io_listener *);
  hdw_status (*connect)(io *, const io_addr *, io_sock_cb, void *user, io_sock **out);
  void (*sock_on)(io_sock *, unsigned want, io_sock_cb, void *user);
  hdw_status (*read)(io_sock *, void *p, size_t cap, size_t *got);
  hdw_status (*write)(io_sock *, const void *p, size_t len, size_t *put);
  void (*shutdown)(io_sock *);
  void (*close)(io_sock *);
  void (*peer)(io_sock *, io_addr *);
  hdw_status (*cred)(io_sock *, io_cred *);

  hdw_status (*open)(io *, const char *path, unsigned flags, int *fd);
  hdw_status (*fclose)(io *, int fd);
  hdw_status (*pread)(io *, int fd, void *p, size_t len, uint64_t off, size_t *got);
  /* First place at or after off that may hold data: what lies between is known to read as zeros (a hole). NULL: nothing is known. Without
   * data behind off: *next = the file's size. */
  hdw_status (*next_data)(io *, int fd, uint64_t off, uint64_t *next);
  hdw_status (*pwritev)(io *, int fd, const io_slice *v, unsigned n, uint64_t off);
  hdw_status (*append)(io *, int fd, const void *p, size_t len);
  hdw_status (*sync)(io *, int fd);
  hdw_status (*alloc)(io *, int fd, uint64_t len);
  hdw_status (*truncate)(io *, int fd, uint64_t len);
  hdw_status (*stat)(io *, const char *path, io_stat_info *);
  hdw_status (*rename)(io *, const char *from, const char *to);
  hdw_status (*unlink)(io *, const char *path);
  hdw_status (*mkdir)(io *, const char *path);
  hdw_status (*list)(io *, const char *path, io_dir_cb, void *user);
  hdw_status (*sync_dir)(io *, const char *path);
  hdw_status (*space)(io *, const char *path, io_space_info *);

  hdw_status (*resolve)(io *, const char *host, uint16_t port, int64_t timeout_us, io_resolve_cb, void *user, uint64_t *id);
  hdw_status (*http)(io *, const io_http_req *, io_http_cb, void *user, uint64_t *id);
  void (*cancel)(io *, uint64_t id);

  hdw_status (*worker_start)(io *, void (*step)(void *user), void *user, io_worker **out);
  void (*worker_wake)(io_worker *);
  void (*worker_wait)(io_worker *);
  void (*worker_stop)(io_worker *);
} io_ops;

struct io {
  const io_ops *ops;
  mem *mem;            /* of the loop thread, with the process budget */
  bool sim;            /* true on the simulated seam: LMDB then runs without syncs on a scratch directory */
  unsigned ready;      /* sockets that were ready in this turn of the loop; 0 on the simulated seam */
  unsigned alone;      /* turns in a row with one such socket at most: nobody else waits for the loop; 0 on the simulated seam */
};
/* Every io_sock and io_listener begins with this. */
struct io_sock { io *io; };
struct io_listener { io *io; };
struct io_worker { io *io; };

/* ---- the calls --------------------------------------------------------------------------------------------------------------------- */

static inline int64_t io_mono_us(io *x) { return x->ops->mono_us(x); }
static inline int64_t io_wall_us(io *x) { return x->ops->wall_us(x); }
/* Cryptographic on the real side; a failure there ends the process (code 74). */
static inline void io_random(io *x, void *p, size_t len) { x->ops->random(x, p, len); }
static inline uint64_t io_random_u64(io *x) {
  uint64_t v;
  x->ops->random(x, &v, sizeof v);
  return v;
}

/* (Re)arms t to call fn(user) once, delay_us from now (negative counts as 0). */
static inline void io_timer_set(io *x, io_timer *t, int64_t delay_us, void (*fn)(void *user), void *user) {
  x->ops->timer_cancel(x, t);
  t->fn = fn, t->user = user;
  t->at_us = x->ops->mono_us(x) + (delay_us > 0 ? delay_us : 0);
  x->ops->timer_set(x, t);
}
/* No effect when not set. */
static inline void io_timer_cancel(io *x, io_timer *t) { x->ops->timer_cancel(x, t); }
/* Runs t->fn(t->user) on the loop, soon, in the order of posting per thread. Wakes the loop; callable from any thread. */
static inline void io_post(io *x, io_task *t) { x->ops->post(x, t); }
/* Takes back a task that has not run yet; no effect when it is not queued. Loop thread only; whoever posts it must be quiet by then. */
static inline void io_unpost(io *x, io_task *t) { x->ops->unpost(x, t); }
/* fn NULL ignores the signal. */
static inline hdw_status io_signal(io *x, int signo, void (*fn)(int signo, void *user), void *user) { return x->ops->signal(x, signo, fn, user); }
/* Runs the loop until io_stop (HDW_OK), or on the simulated side until nothing is left to do (HDW_OK) or its limit of time (HDW_E_TIMEOUT). */
static inline hdw_status io_run(io *x) { return x->ops->run(x); }
static inline void io_stop(io *x) { x->ops->stop(x); }
/* Ends the process at once without cleaning up. On the simulated side it stops the loop and is recorded: callers must return after it. */
static inline void io_exit(io *x, int code) { x->ops->exit(x, code); }

/* Unix sockets are made with mode 0600 or what the address says; a stale socket file is replaced. HDW_E_EXISTS address in use, HDW_E_DENIED, HDW_E_INVALID, HDW_E_NOMEM. */
static inline hdw_status io_listen(io *x, const io_addr *a, io_accept_cb cb, void *user, io_listener **out) { return x->ops->listen(x, a, cb, user, out); }
static inline void io_listener_addr(io_listener *l, io_addr *out) { l->io->ops->listener_addr(l, out); }
/* A paused listener leaves connections in the backlog. */
static inline void io_listener_pause(io_listener *l, bool pause) { l->io->ops->listener_pause(l, pause); }
static inline void io_listener_close(io_listener *l) { l->io->ops->listener_close(l); }
/* Starts connecting; IO_CONNECTED or IO_FAILED follows. The caller sets its own timer as deadline. After IO_CONNECTED nothing is wanted until io_sock_on. */
static inline hdw_status io_connect(io *x, const io_addr *a, io_sock_cb cb, void *user, io_sock **out) { return x->ops->connect(x, a, cb, user, out); }
/* want: IO_READ | IO_WRITE or 0; sets the callback too. Wanting nothing is how back-pressure is made. */
static inline void io_sock_on(io_sock *s, unsigned want, io_sock_cb cb, void *user) { s->io->ops->sock_on(s, want, cb, user); }
/* HDW_OK with *got > 0; HDW_E_AGAIN nothing there; HDW_E_CLOSED orderly end; HDW_E_IO reset or other error. cap > 0. */
static inline hdw_status io_read(io_sock *s, void *p, size_t cap, size_t *got) { return s->io->ops->read(s, p, cap, got); }
/* HDW_OK with *put in 1..len; HDW_E_AGAIN no room (want IO_WRITE); HDW_E_CLOSED or HDW_E_IO the peer is gone. len > 0. */
static inline hdw_status io_write(io_sock *s, const void *p, size_t len, size_t *put) { return s->io->ops->write(s, p, len, put); }
/* Ends our direction; reading goes on. */
static inline void io_shutdown(io_sock *s) { s->io->ops->shutdown(s); }
/* No callback comes after it. What io_write took is still sent. */
static inline void io_close(io_sock *s) { s->io->ops->close(s); }
static inline void io_peer(io_sock *s, io_addr *out) { s->io->ops->peer(s, out); }
/* Of a unix socket's peer (SO_PEERCRED); HDW_E_UNSUPPORTED on others. */
static inline hdw_status io_peer_cred(io_sock *s, io_cred *out) { return s->io->ops->cred(s, out); }

/* IO_O_LOCK: the file is locked against other opens with it, until closed or the process ends; HDW_E_DENIED when somebody has it. */
/* Files: blocking calls for any thread. Statuses: HDW_E_NOTFOUND, HDW_E_EXISTS, HDW_E_DENIED, HDW_E_FULL (no space, quota, file too large), HDW_E_LIMIT (too
 * many open files), HDW_E_IO. Created files are 0600, folders 0700; symbolic links are not followed in the last part; descriptors close on exec. */
static inline hdw_status io_open(io *x, const char *path, unsigned flags, int *fd) { return x->ops->open(x, path, flags, fd); }
static inline hdw_status io_fclose(io *x, int fd) { return x->ops->fclose(x, fd); }
/* Reads until len or end of file: *got < len only at the end (then HDW_OK). */
static inline hdw_status io_next_data(io *x, int fd, uint64_t off, uint64_t *next) {
  *next = off;
  return x->ops->next_data ? x->ops->next_data(x, fd, off, next) : HDW_OK;
}
static inline hdw_status io_pread(io *x, int fd, void *p, size_t len, uint64_t off, size_t *got) { return x->ops->pread(x, fd, p, len, off, got); }
/* Writes all slices one after the other from off, or fails (part of them may then be written). */
static inline hdw_status io_pwritev(io *x, int fd, const io_slice *v, unsigned n, uint64_t off) { return x->ops->pwritev(x, fd, v, n, off); }
static inline hdw_status io_pwrite(io *x, int fd, const void *p, size_t len, uint64_t off) {
  io_slice v = {p, len};
  return x->ops->pwritev(x, fd, &v, 1, off);
}
/* The descriptor must have been opened with IO_O_APPEND. */
static inline hdw_status io_append(io *x, int fd, const void *p, size_t len) { return x->ops->append(x, fd, p, len); }
/* fdatasync. A failure must never be answered by trying again. */
static inline hdw_status io_sync(io *x, int fd) { return x->ops->sync(x, fd); }
/* Reserves space for len bytes from the start and makes the file at least that long (new bytes read as zero). */
static inline hdw_status io_alloc(io *x, int fd, uint64_t len) { return x->ops->alloc(x, fd, len); }
static inline hdw_status io_truncate(io *x, int fd, uint64_t len) { return x->ops->truncate(x, fd, len); }
/* Does not follow a symbolic link. */
static inline hdw_status io_stat(io *x, const char *path, io_stat_info *out) { return x->ops->stat(x, path, out); }
static inline hdw_status io_rename(io *x, const char *from, const char *to) { return x->ops->rename(x, from, to); }
static inline hdw_status io_unlink(io *x, const char *path) { return x->ops->unlink(x, path); }
static inline hdw_status io_mkdir(io *x, const char *path) { return x->ops->mkdir(x, path); }
/* Names without "." and "..", in no order. */
static inline hdw_status io_list(io *x, const char *path, io_dir_cb cb, void *user) { return x->ops->list(x, path, cb, user); }
static inline hdw_status io_sync_dir(io *x, const char *path) { return x->ops->sync_dir(x, path); }
static inline hdw_status io_space(io *x, const char *path, io_space_info *out) { return x->ops->space(x, path, out); }

/* *id (may be NULL) is for io_cancel. */
static inline hdw_status io_resolve(io *x, const char *host, uint16_t port, int64_t timeout_us, io_resolve_cb cb, void *user, uint64_t *id) {
  return x->ops->resolve(x, host, port, timeout_us, cb, user, id);
}
static inline hdw_status io_http_request(io *x, const io_http_req *req, io_http_cb cb, void *user, uint64_t *id) { return x->ops->http(x, req, cb, user, id); }
/* Forgets a resolution or a request: no callback comes after it. An id that is gone has no effect. */
static inline void io_cancel(io *x, uint64_t id) { x->ops->cancel(x, id); }

/* A worker runs step(user) on its own thread each time after it was woken (several wakes may become one step). On the simulated side step
 * is an event of the loop. step must not use x->mem. */
static inline hdw_status io_worker_start(io *x, void (*step)(void *user), void *user, io_worker **out) { return x->ops->worker_start(x, step, user, out); }
static inline void io_worker_wake(io_worker *w) { w->io->ops->worker_wake(w); }
/* Blocks the loop until every wake so far has had its step. Tasks that the steps posted come later. */
static inline void io_worker_wait(io_worker *w) { w->io->ops->worker_wait(w); }
/* Runs a last step, then ends and frees the worker. Tasks that it posted may still come. */
static inline void io_worker_stop(io_worker *w) { w->io->ops->worker_stop(w); }

/* ---- memory ------------------------------------------------------------------------------------------------------------------------- */

/* A mem on malloc with a budget. Not for more than one thread. */
enum { IO_MEM_SIZES = 48 };      /* 64 bytes to 256 KiB */
typedef struct io_mem {
  mem m;
  size_t used_bytes, peak_bytes, limit_bytes; /* limit 0 = none */
  struct io_kept {
    struct io_kept *next;
    size_t n;                    /* in the list from here on */
  } *kept[IO_MEM_SIZES];         /* free blocks for reuse: at most 512 KiB of each size; not in used_bytes */
} io_mem;
void io_mem_init(io_mem *x, size_t limit_bytes);
/* Gives the kept blocks back to malloc. */
void io_mem_trim(io_mem *x);

/* ---- the heap behind timers, shared by both sides -------------------------------------------------------------------------------------- */

typedef struct io_heap {
  io_timer *root;
} io_heap;
void io_heap_add(io_heap *h, io_timer *t);      /* by at_us, then tie; sets t->set */
void io_heap_remove(io_heap *h, io_timer *t);   /* no effect when not set */
static inline io_timer *io_heap_first(const io_heap *h) { return h->root; }

#endif
