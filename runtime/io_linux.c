#include "io_linux.h"
#include "http_curl.h"
#include "io_file.h"
#include "points.h"
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Descriptors that connections from outside never take: the log's next file must open however many peers come (a log that cannot be written ends the process). */
enum { KEPT_FDS = 64 };
enum { MAX_RESOLVERS = 4, ACCEPTS_PER_EVENT = 32, EMFILE_PAUSE_MS = 100, MAX_SIGNAL = 65 };

typedef struct lx lx;

typedef struct lx_resolve {
  io_task task;
  io_timer deadline;
  lx *x;
  struct lx_resolve *next;       /* waiting for a thread */
  struct lx_resolve *live_next;  /* all that exist */
  uint64_t id;
  io_resolve_cb cb;              /* NULL: answered or cancelled; only the memory is still needed */
  void *user;
  uint16_t port;
  hdw_status status;
  unsigned n;
  io_addr addrs[16];
  char host[256];
} lx_resolve;

typedef struct lx_signal {
  struct event ev;
  void (*fn)(int, void *);
  void *user;
  bool on;
} lx_signal;

struct lx {
  io base;
  struct event_base *eb;
  io_heap timers;
  struct event timer_ev;
  uint64_t tie;
  bool stop;

  int wake_fd;
  int accept_below;        /* descriptors from here on are kept for files and for what is asked of others */
  struct event wake_ev;
  pthread_t loop;          /* the thread that runs it */
  pthread_mutex_t post_lock;
  io_task *post_head, *post_tail;
  unsigned posted;

  uint64_t next_id;
  http_curl *curl;
  pthread_mutex_t res_lock;
  pthread_cond_t res_cond;
  pthread_t res_threads[MAX_RESOLVERS];
  unsigned nres_threads, res_idle;
  lx_resolve *res_head, *res_tail, *res_live;
  bool res_end;

  lx_signal signals[MAX_SIGNAL];
};

typedef struct lx_sock {
  io_sock base;
  int fd;
  bool connecting, refused; /* refused: connect() failed at once, which SO_ERROR does not tell */
  unsigned want;
  io_sock_cb cb;
  void *user;
  struct event rd, wr;
} lx_sock;

typedef struct lx_listener {
  io_listener base;
  int fd;
  bool paused, closed, *gone; /* gone: tells accept_ready that a callback closed the listener */
  io_accept_cb cb;
  void *user;
  struct event ev, retry;
  io_addr addr;
} lx_listener;

static lx *of(io *x) { return (lx *)x; }

/* ---- clocks and randomness ---- */

static int64_t clock_us(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
static int64_t lx_mono(io *x) { return (void)x, clock_us(CLOCK_MONOTONIC); }
static int64_t lx_wall(io *x) { return (void)x, clock_us(CLOCK_REALTIME); }

static void lx_random(io *x, void *p, size_t len) {
  (void)x;
  char *s = (char *)p;
  while (len) {
    ssize_t n = getrandom(s, len, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(74); /* without randomness nothing that follows would be safe */
    s += n, len -= (size_t)n;
  }
}

/* ---- timers ---- */

static void timer_arm(lx *x) {
  io_timer *t = io_heap_first(&x->timers);
  if (!t) {
    event_del(&x->timer_ev);
    return;
  }
  int64_t d = t->at_us - lx_mono(&x->base);
  if (d < 0) d = 0;
  struct timeval tv = {d / 1000000, d % 1000000};
  event_add(&x->timer_ev, &tv);
}

static void timer_ready(evutil_socket_t fd, short what, void *user) {
  (void)fd, (void)what;
  lx *x = (lx *)user;
  int64_t now = lx_mono(&x->base);
  uint64_t last = x->tie; /* timers set from here on wait for the next turn: a timer of delay 0 cannot starve sockets */
  for (io_timer *t; (t = io_heap_first(&x->timers)) && t->at_us <= now && t->tie <= last && !x->stop;) {
    io_heap_remove(&x->timers, t);
    t->fn(t->user);
  }
  timer_arm(x);
}

static void lx_timer_set(io *b, io_timer *t) {
  lx *x = of(b);
  t->tie = ++x->tie;
  io_heap_add(&x->timers, t);
  if (io_heap_first(&x->timers) == t) timer_arm(x);
}

static void lx_timer_cancel(io *b, io_timer *t) { io_heap_remove(&of(b)->timers, t); }

/* ---- tasks from any thread ---- */

static void lx_post(io *b, io_task *t) {
  lx *x = of(b);
  t->next = NULL;
  pthread_mutex_lock(&x->post_lock);
  bool first = !x->post_head;
  if (first) x->post_head = t;
  else x->post_tail->next = t;
  x->post_tail = t;
  x->posted++;
  pthread_mutex_unlock(&x->post_lock);
  if (first && !pthread_equal(pthread_self(), x->loop)) { /* the loop itself looks before it waits */
    uint64_t one = 1;
    ssize_t n = write(x->wake_fd, &one, sizeof one);
    (void)n; /* a full counter is awake already */
  }
}

static io_task *post_take(lx *x) {
  pthread_mutex_lock(&x->post_lock);
  io_task *t = x->post_head;
  if (t) {
    x->post_head = t->next;
    if (!x->post_head) x->post_tail = NULL;
    x->posted--;
  }
  pthread_mutex_unlock(&x->post_lock);
  return t;
}

static void lx_unpost(io *b, io_task *t) {
  lx *x = of(b);
  pthread_mutex_lock(&x->post_lock);
  io_task *before = NULL;
  for (io_task *i = x->post_head; i; before = i, i = i->next) {
    if (i != t) continue;
    if (before) before->next = t->next;
    else x->post_head = t->next;
    if (x->post_tail == t) x->post_tail = before;
    x->posted--;
    break;
  }
  pthread_mutex_unlock(&x->post_lock);
}

/* What was posted so far; what these tasks post comes in the next turn. */
static void run_posted(lx *x) {
  pthread_mutex_lock(&x->post_lock);
  unsigned n = x->posted;
  pthread_mutex_unlock(&x->post_lock);
  for (; n && !x->stop; n--) {
    io_task *t = post_take(x);
    if (!t) return;
    t->fn(t->user);
  }
}

/* The tasks run at the end of the turn. */
static void wake_ready(evutil_socket_t fd, short what, void *user) {
  (void)what, (void)user;
  uint64_t v;
  ssize_t r = read(fd, &v, sizeof v);
  (void)r;
}

/* ---- loop ---- */

static void signal_ready(evutil_socket_t signo, short what, void *user) {
  (void)what;
  lx_signal *s = &((lx *)user)->signals[signo];
  if (s->fn) s->fn((int)signo, s->user);
}

static hdw_status lx_signal_on(io *b, int signo, void (*fn)(int, void *), void *user) {
  lx *x = of(b);
  if (signo <= 0 || signo >= MAX_SIGNAL) return HDW_E_INVALID;
  lx_signal *s = &x->signals[signo];
  if (s->on) event_del(&s->ev);
  s->on = false, s->fn = fn, s->user = user;
  if (!fn) return signal(signo, SIG_IGN) == SIG_ERR ? HDW_E_INVALID : HDW_OK;
  if (event_assign(&s->ev, x->eb, signo, EV_SIGNAL | EV_PERSIST, signal_ready, x) || event_add(&s->ev, NULL)) return HDW_E_IO;
  s->on = true;
  return HDW_OK;
}

/* A turn: sockets and timers that are due, then what was posted, by them or by other threads. Whoever posts onto a list that is not empty does not wake us: so
 * it is looked at before waiting. */
static hdw_status lx_run(io *b) {
  lx *x = of(b);
  x->stop = false;
  x->loop = pthread_self();
  timer_arm(x);
  while (!x->stop) {
    pthread_mutex_lock(&x->post_lock);
    bool more = x->post_head != NULL;
    pthread_mutex_unlock(&x->post_lock);
    if (event_base_loop(x->eb, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | (more ? EVLOOP_NONBLOCK : 0)) < 0) return HDW_E_IO;
    x->base.alone = x->base.ready > 1 ? 0 : x->base.alone + 1;
    x->base.ready = 0;
    if (!x->stop) run_posted(x);
  }
  return HDW_OK;
}

static void lx_stop(io *b) {
  of(b)->stop = true;
  event_base_loopbreak(of(b)->eb);
}

static void lx_exit(io *b, int code) {
  (void)b;
  HDW_COUNTED();
  _exit(code);
}

/* ---- sockets ---- */

static socklen_t to_sockaddr(const io_addr *a, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  if (a->family == IO_ADDR_IP4) {
    struct sockaddr_in *s = (struct sockaddr_in *)out;
    s->sin_family = AF_INET;
    s->sin_port = htons(a->port);
    memcpy(&s->sin_addr, a->ip, 4);
    return sizeof *s;
  }
  if (a->family == IO_ADDR_IP6) {
    struct sockaddr_in6 *s = (struct sockaddr_in6 *)out;
    s->sin6_family = AF_INET6;
    s->sin6_port = htons(a->port);
    memcpy(&s->sin6_addr, a->ip, 16);
    return sizeof *s;
  }
  if (a->family == IO_ADDR_UNIX) {
    struct sockaddr_un *s = (struct sockaddr_un *)out;
    s->sun_family = AF_UNIX;
    memcpy(s->sun_path, a->path, strnlen(a->path, sizeof a->path - 1));
    return sizeof *s;
  }
  return 0;
}

static void from_sockaddr(const struct sockaddr_storage *in, io_addr *out) {
  memset(out, 0, sizeof *out);
  if (in->ss_family == AF_INET) {
    const struct sockaddr_in *s = (const struct sockaddr_in *)in;
    out->family = IO_ADDR_IP4;
    out->port = ntohs(s->sin_port);
    memcpy(out->ip, &s->sin_addr, 4);
  } else if (in->ss_family == AF_INET6) {
    const struct sockaddr_in6 *s = (const struct sockaddr_in6 *)in;
    out->family = IO_ADDR_IP6;
    out->port = ntohs(s->sin6_port);
    memcpy(out->ip, &s->sin6_addr, 16);
  } else if (in->ss_family == AF_UNIX) {
    const struct sockaddr_un *s = (const struct sockaddr_un *)in;
    out->family = IO_ADDR_UNIX;
    memcpy(out->path, s->sun_path, sizeof out->path - 1);
  }
}

static void connect_done(lx_sock *s) {
  int e = 0;
  socklen_t n = sizeof e;
  getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &n);
  s->connecting = false;
  s->want = 0;
  event_del(&s->wr);
  s->cb(&s->base, e || s->refused ? IO_FAILED : IO_CONNECTED, s->user);
}

static void sock_readable(evutil_socket_t fd, short what, void *user) {
  (void)fd, (void)what;
  lx_sock *s = (lx_sock *)user;
  s->base.io->ready++;
  if (s->want & IO_READ) s->cb(&s->base, IO_READ, s->user);
}

static void sock_writable(evutil_socket_t fd, short what, void *user) {
  (void)fd, (void)what;
  lx_sock *s = (lx_sock *)user;
  s->base.io->ready++;
  if (s->connecting) connect_done(s);
  else if (s->want & IO_WRITE) s->cb(&s->base, IO_WRITE, s->user);
}

static lx_sock *sock_new(lx *x, int fd) {
  lx_sock *s = (lx_sock *)x->base.mem->get(x->base.mem, sizeof *s);
  if (!s) return NULL;
  memset(s, 0, sizeof *s);
  s->base.io = &x->base;
  s->fd = fd;
  event_assign(&s->rd, x->eb, fd, EV_READ | EV_PERSIST, sock_readable, s);
  event_assign(&s->wr, x->eb, fd, EV_WRITE | EV_PERSIST, sock_writable, s);
  return s;
}

/* Keepalive finds peers that died without a word: after 60 s of silence, 4 probes 15 s apart. */
static void no_delay(int fd, const io_addr *a) {
  int one = 1, idle_s = 60, every_s = 15, probes = 4;
  if (a->family == IO_ADDR_UNIX) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static void lx_sock_on(io_sock *b, unsigned want, io_sock_cb cb, void *user) {
  lx_sock *s = (lx_sock *)b;
  s->cb = cb, s->user = user;
  if (s->connecting) return;
  unsigned change = want ^ s->want;
  s->want = want;
  if (change & IO_READ) (void)((want & IO_READ) ? event_add(&s->rd, NULL) : event_del(&s->rd));
  if (change & IO_WRITE) (void)((want & IO_WRITE) ? event_add(&s->wr, NULL) : event_del(&s->wr));
}

static hdw_status lx_connect(io *b, const io_addr *a, io_sock_cb cb, void *user, io_sock **out) {
  lx *x = of(b);
  struct sockaddr_storage sa;
  socklen_t n = to_sockaddr(a, &sa);
  *out = NULL;
  if (!n) return HDW_E_INVALID;
  int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return io_file_errno(errno);
  lx_sock *s = sock_new(x, fd);
  if (!s) {
    close(fd);
    return HDW_E_NOMEM;
  }
  no_delay(fd, a);
  if (connect(fd, (struct sockaddr *)&sa, n) && errno != EINPROGRESS && errno != EINTR) {
    s->refused = true;
    /* Refused at once (unix sockets, no route): told by the callback all the same. */
    if (errno != ECONNREFUSED && errno != ENOENT && errno != ENETUNREACH && errno != EHOSTUNREACH && errno != EAGAIN && errno != EACCES &&
        errno != EPERM && errno != EADDRNOTAVAIL) {
      hdw_status st = io_file_errno(errno);
      close(fd);
      b->mem->put(b->mem, s, sizeof *s);
      return st;
    }
  }
  s->connecting = true;
  s->cb = cb, s->user = user;
  event_add(&s->wr, NULL);
  *out = &s->base;
  return HDW_OK;
}

static hdw_status sock_error(void) {
  if (errno == EAGAIN || errno == EWOULDBLOCK) return HDW_E_AGAIN;
  return errno == EPIPE ? HDW_E_CLOSED : HDW_E_IO;
}

static hdw_status lx_read(io_sock *b, void *p, size_t cap, size_t *got) {
  lx_sock *s = (lx_sock *)b;
  ssize_t n;
  do n = recv(s->fd, p, cap, 0);
  while (n < 0 && errno == EINTR);
  *got = n > 0 ? (size_t)n : 0;
  return n > 0 ? HDW_OK : n == 0 ? HDW_E_CLOSED : sock_error();
}

static hdw_status lx_write(io_sock *b, const void *p, size_t len, size_t *put) {
  lx_sock *s = (lx_sock *)b;
  ssize_t n;
  do n = send(s->fd, p, len, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  *put = n > 0 ? (size_t)n : 0;
  return n > 0 ? HDW_OK : n == 0 ? HDW_E_AGAIN : sock_error();
}

static void lx_shutdown(io_sock *b) { shutdown(((lx_sock *)b)->fd, SHUT_WR); }

static void lx_close(io_sock *b) {
  lx_sock *s = (lx_sock *)b;
  mem *m = b->io->mem;
  event_del(&s->rd);
  event_del(&s->wr);
  close(s->fd);
  m->put(m, s, sizeof *s);
}

static void lx_peer(io_sock *b, io_addr *out) {
  struct sockaddr_storage sa;
  socklen_t n = sizeof sa;
  memset(&sa, 0, sizeof sa);
  if (getpeername(((lx_sock *)b)->fd, (struct sockaddr *)&sa, &n)) memset(&sa, 0, sizeof sa);
  from_sockaddr(&sa, out);
}

static hdw_status lx_cred(io_sock *b, io_cred *out) {
  struct ucred c;
  socklen_t n = sizeof c;
  struct sockaddr_storage sa;
  socklen_t an = sizeof sa;
  int fd = ((lx_sock *)b)->fd;
  if (getsockname(fd, (struct sockaddr *)&sa, &an) || sa.ss_family != AF_UNIX) return HDW_E_UNSUPPORTED;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n)) return io_file_errno(errno);
  *out = (io_cred){.uid = c.uid, .gid = c.gid, .pid = c.pid};
  n = sizeof out->groups;
  if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out->groups, &n)) out->ngroups = n / sizeof *out->groups; /* more than fit: none of them */
  return HDW_OK;
}

/* ---- listeners ---- */

static void accept_ready(evutil_socket_t fd, short what, void *user) {
  (void)what;
  lx_listener *l = (lx_listener *)user;
  lx *x = of(l->base.io);
  bool gone = false;
  l->gone = &gone;
  x->base.ready++;
  for (int i = 0; i < ACCEPTS_PER_EVENT && !l->paused; i++) {
    int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    /* The lowest free number is given: this many are in use. Operators' socket may take of what is kept. */
    bool full = c >= x->accept_below && l->addr.family != IO_ADDR_UNIX;
    if (full) close(c);
    if (c < 0 || full) {
      if (full || errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        /* Level triggered: without a pause the loop would spin until a descriptor is free. */
        struct timeval tv = {0, EMFILE_PAUSE_MS * 1000};
        event_del(&l->ev);
        event_add(&l->retry, &tv);
      }
      break;
    }
    lx_sock *s = sock_new(x, c);
    if (!s) {
      close(c);
      break;
    }
    no_delay(c, &l->addr);
    l->cb(&l->base, &s->base, l->user);
    if (gone) return;
  }
  l->gone = NULL;
}

static void accept_retry(evutil_socket_t fd, short what, void *user) {
  (void)fd, (void)what;
  lx_listener *l = (lx_listener *)user;
  if (!l->paused) event_add(&l->ev, NULL);
}

/* A socket file that nobody listens on is left over from a killed process. */
static bool stale_unix(const struct sockaddr_storage *sa, socklen_t n) {
  struct stat st;
  const char *path = ((const struct sockaddr_un *)sa)->sun_path;
  if (lstat(path, &st) || !S_ISSOCK(st.st_mode)) return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  bool stale = connect(fd, (const struct sockaddr *)sa, n) && errno == ECONNREFUSED;
  close(fd);
  return stale && unlink(path) == 0;
}

static int listen_fd(const io_addr *a, int *err) {
  struct sockaddr_storage sa;
  socklen_t n = to_sockaddr(a, &sa);
  int one = 1, fd = -1;
  *err = EINVAL;
  if (!n) return -1;
  fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  *err = errno;
  if (fd < 0) return -1;
  if (a->family == IO_ADDR_UNIX) stale_unix(&sa, n);
  else setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (a->family == IO_ADDR_IP6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  /* The umask of io_linux_new makes a unix socket private from its first moment. */
  if (bind(fd, (struct sockaddr *)&sa, n) || (a->family == IO_ADDR_UNIX && chmod(a->path, a->mode ? a->mode : 0600)) || listen(fd, 4096)) {
    *err = errno;
    close(fd);
    return -1;
  }
  return fd;
}

static hdw_status lx_listen(io *b, const io_addr *a, io_accept_cb cb, void *user, io_listener **out) {
  int err;
  *out = NULL;
  lx_listener *l = (lx_listener *)b->mem->get(b->mem, sizeof *l);
  if (!l) return HDW_E_NOMEM;
  memset(l, 0, sizeof *l);
  l->fd = listen_fd(a, &err);
  if (l->fd < 0) {
    b->mem->put(b->mem, l, sizeof *l);
    return io_file_errno(err);
  }
  l->base.io = b;
  l->cb = cb, l->user = user;
  struct sockaddr_storage sa;
  socklen_t n = sizeof sa;
  memset(&sa, 0, sizeof sa);
  l->addr = *a;
  if (a->family != IO_ADDR_UNIX && getsockname(l->fd, (struct sockaddr *)&sa, &n) == 0) from_sockaddr(&sa, &l->addr);
  event_assign(&l->ev, of(b)->eb, l->fd, EV_READ | EV_PERSIST, accept_ready, l);
  event_assign(&l->retry, of(b)->eb, -1, 0, accept_retry, l);
  event_add(&l->ev, NULL);
  *out = &l->base;
  return HDW_OK;
}

static void lx_listener_addr(io_listener *b, io_addr *out) { *out = ((lx_listener *)b)->addr; }

static void lx_listener_pause(io_listener *b, bool pause) {
  lx_listener *l = (lx_listener *)b;
  if (pause == l->paused) return;
  l->paused = pause;
  if (pause) event_del(&l->ev), event_del(&l->retry);
  else event_add(&l->ev, NULL);
}

static void lx_listener_close(io_listener *b) {
  lx_listener *l = (lx_listener *)b;
  mem *m = b->io->mem;
  if (l->gone) *l->gone = true;
  event_del(&l->ev);
  event_del(&l->retry);
  close(l->fd);
  if (l->addr.family == IO_ADDR_UNIX) unlink(l->addr.path);
  m->put(m, l, sizeof *l);
}

/* ---- files ---- */

static hdw_status lx_open(io *x, const char *path, unsigned flags, int *fd) { return (void)x, io_file_open(path, flags, fd); }
static hdw_status lx_fclose(io *x, int fd) { return (void)x, io_file_close(fd); }
static hdw_status lx_next_data(io *x, int fd, uint64_t off, uint64_t *next) { return (void)x, io_file_next_data(fd, off, next); }
static hdw_status lx_pread(io *x, int fd, void *p, size_t len, uint64_t off, size_t *got) { return (void)x, io_file_pread(fd, p, len, off, got); }
static hdw_status lx_pwritev(io *x, int fd, const io_slice *v, unsigned n, uint64_t off) { return (void)x, io_file_pwritev(fd, v, n, off); }
static hdw_status lx_append(io *x, int fd, const void *p, size_t len) { return (void)x, io_file_append(fd, p, len); }
static hdw_status lx_sync(io *x, int fd) { return (void)x, io_file_sync(fd); }
static hdw_status lx_alloc(io *x, int fd, uint64_t len) { return (void)x, io_file_alloc(fd, len); }
static hdw_status lx_truncate(io *x, int fd, uint64_t len) { return (void)x, io_file_truncate(fd, len); }
static hdw_status lx_stat(io *x, const char *path, io_stat_info *out) { return (void)x, io_file_stat(path, out); }
static hdw_status lx_rename(io *x, const char *from, const char *to) { return (void)x, io_file_rename(from, to); }
static hdw_status lx_unlink(io *x, const char *path) { return (void)x, io_file_unlink(path); }
static hdw_status lx_mkdir(io *x, const char *path) { return (void)x, io_file_mkdir(path); }
static hdw_status lx_list(io *x, const char *path, io_dir_cb cb, void *user) { return (void)x, io_file_list(path, cb, user); }
static hdw_status lx_sync_dir(io *x, const char *path) { return (void)x, io_file_sync_dir(path); }
static hdw_status lx_space(io *x, const char *path, io_space_info *out) { return (void)x, io_file_space(path, out); }

/* ---- name resolution: getaddrinfo blocks, so a few threads do it ---- */

static void resolve_free(lx_resolve *r) {
  lx *x = r->x;
  for (lx_resolve **p = &x->res_live; *p; p = &(*p)->live_next)
    if (*p == r) {
      *p = r->live_next;
      break;
    }
  io_timer_cancel(&x->base, &r->deadline);
  x->base.mem->put(x->base.mem, r, sizeof *r);
}

static void resolve_posted(void *user) {
  lx_resolve *r = (lx_resolve *)user;
  io_resolve_cb cb = r->cb;
  r->cb = NULL;
  if (cb) cb(r->status, r->addrs, r->n, r->user);
  resolve_free(r);
}

/* The thread still has it; it is freed when that is done. */
static void resolve_late(void *user) {
  lx_resolve *r = (lx_resolve *)user;
  io_resolve_cb cb = r->cb;
  r->cb = NULL;
  if (cb) cb(HDW_E_TIMEOUT, NULL, 0, r->user);
}

static void resolve_now(lx_resolve *r) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
  int e = getaddrinfo(r->host, NULL, &hints, &list);
  r->n = 0;
  r->status = e == 0 ? HDW_OK : e == EAI_NONAME || e == EAI_NODATA ? HDW_E_NOTFOUND : HDW_E_IO;
  for (struct addrinfo *i = list; i && r->n < sizeof r->addrs / sizeof r->addrs[0]; i = i->ai_next) {
    struct sockaddr_storage sa;
    if (i->ai_addrlen > sizeof sa) continue;
    memset(&sa, 0, sizeof sa);
    memcpy(&sa, i->ai_addr, i->ai_addrlen);
    from_sockaddr(&sa, &r->addrs[r->n]);
    r->addrs[r->n].port = r->port;
    if (r->addrs[r->n].family) r->n++;
  }
  if (list) freeaddrinfo(list);
  if (r->status == HDW_OK && r->n == 0) r->status = HDW_E_NOTFOUND;
}

static void *resolve_thread(void *user) {
  lx *x = (lx *)user;
  pthread_mutex_lock(&x->res_lock);
  for (;;) {
    x->res_idle++;
    while (!x->res_head && !x->res_end) pthread_cond_wait(&x->res_cond, &x->res_lock);
    x->res_idle--;
    if (x->res_end) break;
    lx_resolve *r = x->res_head;
    x->res_head = r->next;
    if (!x->res_head) x->res_tail = NULL;
    pthread_mutex_unlock(&x->res_lock);
    resolve_now(r);
    r->task = (io_task){resolve_posted, r, NULL};
    lx_post(&x->base, &r->task);
    pthread_mutex_lock(&x->res_lock);
  }
  pthread_mutex_unlock(&x->res_lock);
  return NULL;
}

static hdw_status lx_resolve_start(io *b, const char *host, uint16_t port, int64_t timeout_us, io_resolve_cb cb, void *user, uint64_t *id) {
  lx *x = of(b);
  size_t n = strlen(host);
  if (n == 0 || n >= sizeof((lx_resolve *)0)->host) return HDW_E_INVALID;
  lx_resolve *r = (lx_resolve *)b->mem->get(b->mem, sizeof *r);
  if (!r) return HDW_E_NOMEM;
  memset(r, 0, sizeof *r);
  r->x = x, r->cb = cb, r->user = user, r->port = port;
  r->id = ++x->next_id;
  memcpy(r->host, host, n + 1);
  r->live_next = x->res_live;
  x->res_live = r;
  if (id) *id = r->id;
  pthread_mutex_lock(&x->res_lock);
  if (x->res_tail) x->res_tail->next = r;
  else x->res_head = r;
  x->res_tail = r;
  if (!x->res_idle && x->nres_threads < MAX_RESOLVERS && pthread_create(&x->res_threads[x->nres_threads], NULL, resolve_thread, x) == 0) x->nres_threads++;
  pthread_cond_signal(&x->res_cond);
  pthread_mutex_unlock(&x->res_lock);
  if (timeout_us > 0) io_timer_set(b, &r->deadline, timeout_us, resolve_late, r);
  return HDW_OK;
}

/* ---- HTTP ---- */

static hdw_status lx_http(io *b, const io_http_req *req, io_http_cb cb, void *user, uint64_t *id) {
  lx *x = of(b);
  if (!x->curl) {
    hdw_status s = io_http_curl_new(b, x->eb, &x->curl);
    if (s) return s;
  }
  uint64_t n = ++x->next_id;
  if (id) *id = n;
  return io_http_curl_request(x->curl, n, req, cb, user);
}

static void lx_cancel(io *b, uint64_t id) {
  lx *x = of(b);
  if (x->curl && io_http_curl_cancel(x->curl, id)) return;
  for (lx_resolve *r = x->res_live; r; r = r->live_next)
    if (r->id == id) r->cb = NULL;
}

/* ---- workers ---- */

typedef struct lx_worker {
  io_worker base;
  void (*step)(void *);
  void *user;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t cond, quiet;
  bool woken, end, sleeping, awaited;
} lx_worker;

static void *worker_main(void *user) {
  lx_worker *w = (lx_worker *)user;
  for (bool end = false; !end;) {
    pthread_mutex_lock(&w->lock);
    w->sleeping = true;
    if (w->awaited) pthread_cond_signal(&w->quiet);
    while (!w->woken && !w->end) pthread_cond_wait(&w->cond, &w->lock);
    w->woken = w->sleeping = false;
    end = w->end;
    pthread_mutex_unlock(&w->lock);
    w->step(w->user);
  }
  return NULL;
}

static hdw_status lx_worker_start(io *b, void (*step)(void *), void *user, io_worker **out) {
  lx_worker *w = (lx_worker *)b->mem->get(b->mem, sizeof *w);
  if (!w) return HDW_E_NOMEM;
  memset(w, 0, sizeof *w);
  w->base.io = b;
  w->step = step, w->user = user;
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->cond, NULL);
  pthread_cond_init(&w->quiet, NULL);
  /* Signals belong to the loop thread; but for a thread's own faults, which end the process without a word when they are blocked. */
  static const int own[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL};
  sigset_t all, old;
  sigfillset(&all);
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&all, own[i]);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int e = pthread_create(&w->thread, NULL, worker_main, w);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (e) {
    b->mem->put(b->mem, w, sizeof *w);
    return HDW_E_LIMIT;
  }
  *out = &w->base;
  return HDW_OK;
}

static void lx_worker_wake(io_worker *b) {
  lx_worker *w = (lx_worker *)b;
  pthread_mutex_lock(&w->lock);
  bool signal_it = w->sleeping && !w->woken;
  w->woken = true;
  pthread_mutex_unlock(&w->lock);
  if (signal_it) pthread_cond_signal(&w->cond); /* behind the lock: the woken thread need not wait for it */
}

static void lx_worker_wait(io_worker *b) {
  lx_worker *w = (lx_worker *)b;
  pthread_mutex_lock(&w->lock);
  w->awaited = true;
  while (w->woken || !w->sleeping) pthread_cond_wait(&w->quiet, &w->lock);
  w->awaited = false;
  pthread_mutex_unlock(&w->lock);
}

static void lx_worker_stop(io_worker *b) {
  lx_worker *w = (lx_worker *)b;
  mem *m = b->io->mem;
  pthread_mutex_lock(&w->lock);
  w->end = true;
  pthread_cond_signal(&w->cond);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  pthread_mutex_destroy(&w->lock);
  pthread_cond_destroy(&w->cond);
  pthread_cond_destroy(&w->quiet);
  m->put(m, w, sizeof *w);
}

/* ---- making and freeing ---- */

static const io_ops lx_ops = {
    .mono_us = lx_mono, .wall_us = lx_wall, .random = lx_random, .timer_set = lx_timer_set, .timer_cancel = lx_timer_cancel,
    .post = lx_post, .unpost = lx_unpost, .signal = lx_signal_on, .run = lx_run, .stop = lx_stop, .exit = lx_exit,
    .listen = lx_listen, .listener_addr = lx_listener_addr, .listener_pause = lx_listener_pause, .listener_close = lx_listener_close,
    .connect = lx_connect, .sock_on = lx_sock_on, .read = lx_read, .write = lx_write, .shutdown = lx_shutdown, .close = lx_close,
    .peer = lx_peer, .cred = lx_cred,
    .open = lx_open, .fclose = lx_fclose, .pread = lx_pread, .next_data = lx_next_data, .pwritev = lx_pwritev, .append = lx_append, .sync = lx_sync, .alloc = lx_alloc,
    .truncate = lx_truncate, .stat = lx_stat, .rename = lx_rename, .unlink = lx_unlink, .mkdir = lx_mkdir, .list = lx_list,
    .sync_dir = lx_sync_dir, .space = lx_space,
    .resolve = lx_resolve_start, .http = lx_http, .cancel = lx_cancel,
    .worker_start = lx_worker_start, .worker_wake = lx_worker_wake, .worker_wait = lx_worker_wait, .worker_stop = lx_worker_stop,
};

hdw_status io_linux_new(mem *m, io **out) {
  *out = NULL;
  lx *x = (lx *)m->get(m, sizeof *x);
  if (!x) return HDW_E_NOMEM;
  memset(x, 0, sizeof *x);
  x->base = (io){.ops = &lx_ops, .mem = m};
  umask(0077);
  signal(SIGPIPE, SIG_IGN);
  struct event_config *c = event_config_new();
  if (c) event_config_set_flag(c, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NOLOCK);
  x->eb = c ? event_base_new_with_config(c) : NULL;
  if (c) event_config_free(c);
  x->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur > INT32_MAX) files.rlim_cur = INT32_MAX;
  x->accept_below = (int)(files.rlim_cur - (files.rlim_cur / 4 < KEPT_FDS ? files.rlim_cur / 4 : KEPT_FDS));
  if (!x->eb || x->wake_fd < 0) {
    if (x->eb) event_base_free(x->eb);
    if (x->wake_fd >= 0) close(x->wake_fd);
    m->put(m, x, sizeof *x);
    return HDW_E_IO;
  }
  x->loop = pthread_self();
  pthread_mutex_init(&x->post_lock, NULL);
  pthread_mutex_init(&x->res_lock, NULL);
  pthread_cond_init(&x->res_cond, NULL);
  event_assign(&x->timer_ev, x->eb, -1, 0, timer_ready, x);
  event_assign(&x->wake_ev, x->eb, x->wake_fd, EV_READ | EV_PERSIST, wake_ready, x);
  event_add(&x->wake_ev, NULL);
  *out = &x->base;
  return HDW_OK;
}

void io_linux_free(io *b) {
  if (!b) return;
  lx *x = of(b);
  mem *m = b->mem;
  pthread_mutex_lock(&x->res_lock);
  x->res_end = true;
  pthread_cond_broadcast(&x->res_cond);
  pthread_mutex_unlock(&x->res_lock);
  for (unsigned i = 0; i < x->nres_threads; i++) pthread_join(x->res_threads[i], NULL);
  while (x->res_live) resolve_free(x->res_live);
  if (x->curl) io_http_curl_free(x->curl);
  for (int i = 0; i < MAX_SIGNAL; i++)
    if (x->signals[i].on) event_del(&x->signals[i].ev);
  event_del(&x->timer_ev);
  event_del(&x->wake_ev);
  event_base_free(x->eb);
  close(x->wake_fd);
  pthread_mutex_destroy(&x->post_lock);
  pthread_mutex_destroy(&x->res_lock);
  pthread_cond_destroy(&x->res_cond);
  m->put(m, x, sizeof *x);
}

struct event_base *io_linux_base(io *x) { return of(x)->eb; }
