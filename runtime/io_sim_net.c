#include "io_sim_int.h"
#include <string.h>

/* A connection is two sim_socks that know each other. What one writes goes into the other's buffer; `seen` of it has arrived. */
enum { BUF_BYTES = 65536 };

struct sim_sock {
  io_sock base;
  sim *x;
  sim_sock *next;            /* all sockets */
  sim_sock *peer;            /* NULL: not connected or gone */
  io_sock_cb cb;
  void *user;
  unsigned want;
  bool connecting, closed, busy; /* closed: waits to be freed; busy: inside its callback */
  bool of_world;             /* the other end is the process's */
  bool accepted, refused;
  bool fin, eof, reset;      /* fin: peer ended, not yet arrived */
  io_addr local, remote;
  uint8_t *buf;              /* BUF_BYTES, ring from start */
  size_t start, len, seen;
  io_timer ready, arrive;
};

struct sim_listener {
  io_listener base;
  sim *x;
  sim_listener *next;
  io_addr addr;
  io_accept_cb cb;
  void *user;
  bool of_world;
  bool paused, closed, busy;
  sim_sock *backlog[64];     /* server sides that wait */
  unsigned nbacklog;
  io_timer ev;
};

static sim_sock *sock_of(io_sock *b) { return (sim_sock *)b; }
static int64_t some_delay(sim *x) { return (int64_t)sim_below(x, (uint64_t)x->opts.max_delay_us); }

static unsigned holds(const sim_sock *s) {
  unsigned e = 0;
  if (s->connecting || s->closed) return 0;
  if (s->seen || s->eof || s->reset) e |= IO_READ;
  if (!s->peer || s->reset || s->peer->len < BUF_BYTES) e |= IO_WRITE;
  return e & s->want;
}

static void sock_free(sim_sock *s) {
  sim *x = s->x;
  for (sim_sock **p = &x->socks; *p; p = &(*p)->next)
    if (*p == s) {
      *p = s->next;
      break;
    }
  io_heap_remove(&x->heap, &s->ready);
  io_heap_remove(&x->heap, &s->arrive);
  if (s->peer) s->peer->peer = NULL;
  sim_put(x, s->buf, BUF_BYTES);
  sim_put(x, s, sizeof *s);
}

static void fire(void *user);

static void wake(sim_sock *s) {
  if (holds(s) && !s->ready.set && !s->busy) sim_event(s->x, &s->ready, 0, fire, s);
}

static void call(sim_sock *s, unsigned events) {
  s->busy = true;
  s->cb(&s->base, events, s->user);
  s->busy = false;
  if (s->closed) sock_free(s);
  else wake(s);
}

static void fire(void *user) {
  sim_sock *s = (sim_sock *)user;
  unsigned e = holds(s);
  if (e) call(s, e);
}

static void arrive(void *user) {
  sim_sock *s = (sim_sock *)user;
  size_t hidden = s->len - s->seen;
  if (hidden) {
    size_t n = s->x->opts.orderly ? hidden : 1 + (size_t)sim_below(s->x, hidden - 1);
    s->seen += n;
    hidden -= n;
    sim_trace(s->x, n);
  }
  if (hidden) sim_event(s->x, &s->arrive, some_delay(s->x), arrive, s);
  else if (s->fin) s->eof = true;
  wake(s);
}

static sim_sock *sock_new(sim *x) {
  sim_sock *s = (sim_sock *)sim_alloc(x, sizeof *s);
  if (!s) return NULL;
  s->buf = (uint8_t *)x->base.mem->get(x->base.mem, BUF_BYTES); /* what lies there is never read before it was written */
  if (!s->buf) {
    sim_put(x, s, sizeof *s);
    return NULL;
  }
  s->base.io = &x->base;
  s->x = x;
  s->next = x->socks;
  x->socks = s;
  return s;
}

static sim_listener *find(sim *x, const io_addr *a) {
  for (sim_listener *l = x->listeners; l; l = l->next)
    if (!l->closed && io_addr_equal(&l->addr, a)) return l;
  return NULL;
}

/* What the test wants to become of it. */
static io_sim_fate fate_of(sim *x, const io_addr *listener, bool connecting) {
  io_sim_fate f = {0};
  if (x->net_fn) x->net_fn(listener, connecting, &f, x->net_user);
  return f;
}

static void accept_next(void *user) {
  sim_listener *l = (sim_listener *)user;
  sim *x = l->x;
  if (l->paused || !l->nbacklog) return;
  sim_sock *s = l->backlog[0];
  l->nbacklog--;
  memmove(l->backlog, l->backlog + 1, l->nbacklog * sizeof l->backlog[0]);
  l->busy = true;
  l->cb(&l->base, &s->base, l->user);
  l->busy = false;
  if (l->closed) sim_put(x, l, sizeof *l);
  else if (l->nbacklog) sim_event(x, &l->ev, some_delay(x), accept_next, l);
}

static void connect_done(void *user) {
  sim_sock *s = (sim_sock *)user;
  sim *x = s->x;
  sim_listener *l = find(x, &s->remote);
  sim_sock *t = NULL;
  if (sim_fail(x, IO_SIM_CONNECT) == HDW_OK && !s->refused && l && l->nbacklog < sizeof l->backlog / sizeof l->backlog[0]) t = sock_new(x);
  s->connecting = false;
  s->want = 0;
  s->of_world = l && !l->of_world;
  if (t) t->of_world = l->of_world, t->accepted = true;
  if (!t) {
    call(s, IO_FAILED);
    return;
  }
  s->local = (io_addr){.family = s->remote.family, .port = x->next_port++};
  if (x->next_port == 0) x->next_port = 40000;
  memcpy(s->local.ip, s->remote.ip, sizeof s->local.ip);
  t->local = s->remote, t->remote = s->local;
  t->peer = s, s->peer = t;
  l->backlog[l->nbacklog++] = t;
  if (!l->paused) sim_event(x, &l->ev, some_delay(x), accept_next, l);
  call(s, IO_CONNECTED);
}

hdw_status sim_connect(io *b, const io_addr *a, io_sock_cb cb, void *user, io_sock **out) {
  sim *x = (sim *)b;
  *out = NULL;
  if (a->family == IO_ADDR_NONE) return HDW_E_INVALID;
  sim_sock *s = sock_new(x);
  if (!s) return HDW_E_NOMEM;
  s->remote = *a;
  s->cb = cb, s->user = user;
  s->connecting = true;
  io_sim_fate f = fate_of(x, a, true);
  s->refused = f.refuse;
  if (!f.hang) sim_event(x, &s->ready, some_delay(x) + f.delay_us, connect_done, s);
  *out = &s->base;
  return HDW_OK;
}

hdw_status sim_listen(io *b, const io_addr *a, io_accept_cb cb, void *user, io_listener **out) {
  sim *x = (sim *)b;
  *out = NULL;
  if (a->family == IO_ADDR_NONE) return HDW_E_INVALID;
  io_addr addr = *a;
  if (addr.family != IO_ADDR_UNIX && addr.port == 0) addr.port = x->next_port++;
  if (find(x, &addr)) return HDW_E_EXISTS;
  sim_listener *l = (sim_listener *)sim_alloc(x, sizeof *l);
  if (!l) return HDW_E_NOMEM;
  l->base.io = b;
  l->x = x, l->addr = addr, l->cb = cb, l->user = user;
  l->of_world = x->world;
  l->next = x->listeners;
  x->listeners = l;
  *out = &l->base;
  return HDW_OK;
}

void sim_listener_addr(io_listener *b, io_addr *out) { *out = ((sim_listener *)b)->addr; }

void sim_listener_pause(io_listener *b, bool pause) {
  sim_listener *l = (sim_listener *)b;
  l->paused = pause;
  if (!pause && l->nbacklog) sim_event(l->x, &l->ev, 0, accept_next, l);
}

static void peer_reset(sim_sock *s) {
  if (!s) return;
  s->peer = NULL;
  s->reset = true;
  s->seen = s->len = 0;
  wake(s);
}

void sim_listener_close(io_listener *b) {
  sim_listener *l = (sim_listener *)b;
  sim *x = l->x;
  for (sim_listener **p = &x->listeners; *p; p = &(*p)->next)
    if (*p == l) {
      *p = l->next;
      break;
    }
  io_heap_remove(&x->heap, &l->ev);
  for (unsigned i = 0; i < l->nbacklog; i++) {
    sim_sock *s = l->backlog[i], *p = s->peer;
    s->peer = NULL;
    sock_free(s);
    peer_reset(p);
  }
  l->closed = true, l->nbacklog = 0;
  if (!l->busy) sim_put(x, l, sizeof *l);
}

void sim_sock_on(io_sock *b, unsigned want, io_sock_cb cb, void *user) {
  sim_sock *s = sock_of(b);
  s->cb = cb, s->user = user;
  if (s->connecting) return;
  s->want = want;
  wake(s);
}

hdw_status sim_read(io_sock *b, void *p, size_t cap, size_t *got) {
  sim_sock *s = sock_of(b);
  *got = 0;
  hdw_status st = sim_fail(s->x, IO_SIM_READ);
  if (st) return st;
  if (s->reset) return HDW_E_IO;
  if (!s->seen) return s->eof ? HDW_E_CLOSED : HDW_E_AGAIN;
  size_t n = cap < s->seen ? cap : s->seen;
  for (size_t k = 0; k < n;) {
    size_t run = BUF_BYTES - s->start < n - k ? BUF_BYTES - s->start : n - k;
    memcpy((uint8_t *)p + k, s->buf + s->start, run);
    s->start = (s->start + run) % BUF_BYTES;
    k += run;
  }
  s->seen -= n, s->len -= n;
  *got = n;
  if (s->peer) wake(s->peer);
  return HDW_OK;
}

hdw_status sim_write(io_sock *b, const void *p, size_t len, size_t *put) {
  sim_sock *s = sock_of(b), *t = s->peer;
  *put = 0;
  hdw_status st = sim_fail(s->x, IO_SIM_WRITE);
  if (st) return st;
  if (s->reset || (s->x->dead && !s->of_world)) return HDW_E_IO;
  if (!t || t->fin) return HDW_E_CLOSED;
  size_t room = BUF_BYTES - t->len;
  if (!room) return HDW_E_AGAIN;
  size_t n = len < room ? len : room;
  if (n > 1 && !s->x->opts.orderly && sim_below(s->x, 7) == 0) n = 1 + (size_t)sim_below(s->x, n - 1); /* a short write now and then */
  io_sim_fate f = fate_of(s->x, s->accepted ? &s->local : &s->remote, false);
  if (f.reset && f.lose) {
    *put = n;
    s->peer = NULL;
    peer_reset(t);
    peer_reset(s);
    return HDW_OK;
  }
  for (size_t k = 0; k < n;) {
    size_t at = (t->start + t->len) % BUF_BYTES;
    size_t run = BUF_BYTES - at < n - k ? BUF_BYTES - at : n - k;
    memcpy(t->buf + at, (const uint8_t *)p + k, run);
    t->len += run;
    k += run;
  }
  if (f.reset) { /* what was written arrives, then the end */
    t->fin = true;
    t->peer = NULL;
    peer_reset(s);
  }
  sim_event(s->x, &t->arrive, some_delay(s->x) + f.delay_us, arrive, t);
  *put = n;
  return HDW_OK;
}

void sim_shutdown(io_sock *b) {
  sim_sock *s = sock_of(b), *t = s->peer;
  if (!t || t->fin) return;
  t->fin = true;
  sim_event(s->x, &t->arrive, some_delay(s->x), arrive, t);
}

void sim_close(io_sock *b) {
  sim_sock *s = sock_of(b), *t = s->peer;
  if (s->closed) return;
  s->closed = true;
  io_heap_remove(&s->x->heap, &s->ready);
  io_heap_remove(&s->x->heap, &s->arrive);
  if (t) {
    /* As TCP does: with unread bytes the peer sees a reset, else an end. */
    t->peer = NULL;
    s->peer = NULL;
    if (s->len) {
      peer_reset(t);
    } else if (!t->fin) {
      t->fin = true;
      sim_event(s->x, &t->arrive, some_delay(s->x), arrive, t);
    }
  }
  if (!s->busy) sock_free(s);
}

bool io_sim_alone(const io_sock *b) { return ((const sim_sock *)b)->peer == NULL; }

void sim_peer(io_sock *b, io_addr *out) { *out = sock_of(b)->remote; }

hdw_status sim_cred(io_sock *b, io_cred *out) {
  if (sock_of(b)->local.family != IO_ADDR_UNIX) return HDW_E_UNSUPPORTED;
  *out = (io_cred){.pid = 1};
  return HDW_OK;
}

void sim_socks_free(sim *x) {
  while (x->listeners) sim_listener_close(&x->listeners->base);
  while (x->socks) sock_free(x->socks);
}
