/* mllp_listener.c - accepts MLLP connections, hands frames to the owner, sends the answers in the order of the frames. See mllp.h.
 *
 *   frames of one connection, by seq:   [answered] head ... [unanswered, ring of pending] ... next
 *
 * Reading stops when too many frames wait for an answer; bytes already read are then kept in backlog. */
#include "codec.h"
#include "mllp.h"
#include <string.h>

enum { READ_BYTES = 64 << 10, OUT_BYTES = 4 << 20, STACK_BYTES = 8 << 10, READS_A_TURN = 4, LINGER_BYTES = 4 << 20 };
enum { LINGER_US = 2000000 };
static const uint8_t commit_block[2][4] = {{MLLP_START, MLLP_NAK, MLLP_END1, MLLP_END2}, {MLLP_START, MLLP_ACK, MLLP_END1, MLLP_END2}};

typedef struct pending {
  uint8_t *frame;        /* encoded answer, NULL: none or not yet */
  size_t len;
  uint8_t commit;        /* v2: 0 not yet, 1 negative, 2 positive */
  bool ready;
} pending;

typedef struct names {
  char san[TLS_NAME_BYTES], subject[TLS_NAME_BYTES], sans[TLS_NAMES_BYTES];
} names;

typedef struct mconn {
  net_conn net;
  mllp_listener *l;
  uint32_t slot;
  uint64_t id;
  mllp_decoder dec;
  pending one, *ring;    /* ring: &one until a second frame waits */
  uint32_t ring_cap;     /* power of 2 */
  uint64_t head, next, committed; /* seq: first unanswered, next to come, first without commit block (v2) */
  uint8_t *backlog;
  size_t backlog_len, backlog_cap;
  io_timer timer, resume;
  int64_t frame_since_us, active_us; /* frame_since 0: no frame is open */
  uint64_t frame_since_seq;
  size_t linger;
  io_addr addr;
  names *peer;           /* under TLS */
  bool busy, dead, last, lingering;
} mconn;

struct mllp_listener {
  io *io;
  mllp_listener_opts o;
  io_listener *ls;
  io_addr addr;
  net_pool pool;
  uint64_t ids;
  mllp_stats st;
  bool paused;
  uint8_t rbuf[READ_BYTES];
};

static void turn(void *user);

/* ---- life of a connection --------------------------------------------------------------------------------------- */

static void release(mconn *c) {
  mem *m = c->l->io->mem;
  for (uint64_t s = c->head; s < c->next; s++) {
    pending *p = &c->ring[s & (c->ring_cap - 1)];
    if (p->frame) m->put(m, p->frame, p->len);
  }
  if (c->ring != &c->one) m->put(m, c->ring, c->ring_cap * sizeof *c->ring);
  if (c->backlog) m->put(m, c->backlog, c->backlog_cap);
  if (c->peer) m->put(m, c->peer, sizeof *c->peer);
  mllp_decoder_free(&c->dec);
  m->put(m, c, sizeof *c);
}

/* The connection ends now; its tokens are stale from here on. Memory stays while one of its callbacks runs. */
static void drop(mconn *c) {
  mllp_listener *l = c->l;
  if (c->dead) return;
  c->dead = true;
  net_close(&c->net);
  io_timer_cancel(l->io, &c->timer);
  io_timer_cancel(l->io, &c->resume);
  net_pool_remove(&l->pool, c->slot);
  l->st.open--;
  l->st.unacked -= (uint32_t)(c->next - c->head);
  if (!c->busy) release(c);
}

static void on_timer(void *user);

/* A frame (or a TLS handshake) is open and we are the ones who wait. */
static bool frame_clock(const mconn *c) { return c->frame_since_us && (c->net.want_read || !c->net.opened); }

/* Arms the timer for the earlier of the two deadlines; it is not moved when they move back, it looks again when it fires. */
static void arm(mconn *c) {
  const mllp_listener_opts *o = &c->l->o;
  int64_t at = INT64_MAX;
  if (frame_clock(c)) at = c->frame_since_us + o->frame_timeout_us;
  if (o->idle_timeout_us && c->active_us + o->idle_timeout_us < at) at = c->active_us + o->idle_timeout_us;
  if (at == INT64_MAX || c->lingering || (c->timer.set && c->timer.at_us <= at)) return;
  io_timer_set(c->l->io, &c->timer, at - io_mono_us(c->l->io), on_timer, c);
}

static void on_timer(void *user) {
  mconn *c = user;
  mllp_listener *l = c->l;
  int64_t now = io_mono_us(l->io);
  if (c->lingering) {
    drop(c);
    return;
  }
  if (frame_clock(c) && now >= c->frame_since_us + l->o.frame_timeout_us) {
    l->st.frame_timeouts++;
    l->st.partials++;
    drop(c);
    return;
  }
  if (l->o.idle_timeout_us && now >= c->active_us + l->o.idle_timeout_us) {
    if (c->head == c->next) {
      l->st.idle_timeouts++;
      drop(c);
      return;
    }
    c->active_us = now; /* an answer is owed: not idle */
  }
  arm(c);
}

/* Everything is answered and nothing more is wanted: our FIN goes out, then input is thrown away for a moment, so that a reset does not
 * overtake the last answer. */
static void linger(mconn *c) {
  c->lingering = true;
  net_end(&c->net);
  net_want_read(&c->net, true);
  io_timer_set(c->l->io, &c->timer, LINGER_US, on_timer, c);
}

/* Reading goes on or stops; ends the connection when its last answer is out. */
static void settle(mconn *c) {
  mllp_listener *l = c->l;
  if (c->lingering) return;
  if (c->last) {
    net_want_read(&c->net, false);
    if (c->head == c->next) linger(c);
    return;
  }
  bool want = !l->paused && c->next - c->head < l->o.max_unacked;
  if (want && !c->net.want_read && c->frame_since_us) c->frame_since_us = io_mono_us(l->io);
  net_want_read(&c->net, want && !c->backlog_len);
  if (want && c->backlog_len && !c->resume.set) io_timer_set(l->io, &c->resume, 0, turn, c);
}

/* Around everything that may drop c: end() releases it, or lets reading go on, unless a frame callback further out does so. */
static bool begin(mconn *c) {
  bool inside = c->busy;
  c->busy = true;
  return inside;
}
static hdw_status end(mconn *c, bool inside, hdw_status s) {
  c->busy = inside;
  if (inside) return s;
  if (c->dead) release(c);
  else {
    settle(c);
    arm(c);
  }
  return s;
}

/* ---- frames in -------------------------------------------------------------------------------------------------- */

static hdw_status push(mconn *c) {
  uint64_t n = c->next - c->head;
  if (n == c->ring_cap) {
    mem *m = c->l->io->mem;
    uint32_t cap = c->ring_cap * 2 < 8 ? 8 : c->ring_cap * 2;
    pending *r = m->get(m, cap * sizeof *r);
    if (!r) return HDW_E_NOMEM;
    for (uint64_t s = c->head; s < c->next; s++) r[s & (cap - 1)] = c->ring[s & (c->ring_cap - 1)];
    if (c->ring != &c->one) m->put(m, c->ring, c->ring_cap * sizeof *r);
    c->ring = r;
    c->ring_cap = cap;
  }
  c->ring[c->next & (c->ring_cap - 1)] = (pending){NULL, 0, 0, false};
  c->next++;
  c->l->st.unacked++;
  return HDW_OK;
}

static void deliver(mconn *c, void (*fn)(void *, mllp_token, const mllp_peer *, const uint8_t *, size_t), const uint8_t *p, size_t len) {
  mllp_listener *l = c->l;
  if (push(c)) {
    drop(c);
    return;
  }
  mllp_token t = {c->slot, l->pool.slots[c->slot].generation, c->next - 1};
  mllp_peer peer = {c->addr, c->id, c->peer ? c->peer->san : "", c->peer ? c->peer->subject : "", c->peer ? c->peer->sans : ""};
  fn(l->o.user, t, &peer, p, len);
}

/* False: no more events of this connection now. */
static bool take(mconn *c, const mllp_event *ev) {
  mllp_stats *st = &c->l->st;
  switch (ev->kind) {
  case MLLP_FRAME:
    if (!ev->len) {
      st->empty_frames++;
      return true;
    }
    st->frames++;
    st->frame_bytes += ev->len;
    c->active_us = io_mono_us(c->l->io);
    deliver(c, c->l->o.frame, ev->p, ev->len);
    return true;
  case MLLP_COMMIT:
    if (c->l->o.version == 1) st->stray_commits++;
    else if (ev->code == MLLP_NAK) st->negative_commits++;
    return true;
  case MLLP_JUNK: st->junk_bytes += ev->len; return true;
  case MLLP_PARTIAL: st->partials++; return true;
  case MLLP_OVERSIZE:
    st->oversize++;
    c->last = true;
    if (c->l->o.oversize) deliver(c, c->l->o.oversize, ev->p, ev->len);
    return false;
  case MLLP_VIOLATION:
  default:
    st->violations++;
    c->last = true;
    return false;
  }
}

static hdw_status save_rest(mconn *c) {
  const uint8_t *p;
  size_t n = mllp_unfed(&c->dec, &p);
  mem *m = c->l->io->mem;
  uint8_t *old = c->backlog, *b = NULL;
  size_t old_cap = c->backlog_cap;
  if (n && !(b = m->get(m, n))) return HDW_E_NOMEM;
  if (n) memcpy(b, p, n); /* p may lie in the old backlog */
  if (old) m->put(m, old, old_cap);
  c->backlog = b;
  c->backlog_len = c->backlog_cap = n;
  return HDW_OK;
}

/* Feeds one piece and hands its frames out, until the connection may not take more. */
static void feed(mconn *c, const uint8_t *p, size_t len, bool eof) {
  mllp_event ev;
  hdw_status s = HDW_E_AGAIN;
  if (eof) mllp_feed_eof(&c->dec);
  else mllp_feed(&c->dec, p, len);
  while (!c->dead && !(s = mllp_next(&c->dec, &ev)) && take(c, &ev) && !c->last)
    if (ev.kind == MLLP_FRAME && (c->next - c->head >= c->l->o.max_unacked || c->l->paused)) {
      s = HDW_OK;
      break;
    }
  if (c->dead) return;
  if (s == HDW_E_NOMEM || (!c->last && !eof && save_rest(c))) {
    drop(c);
    return;
  }
  if (!mllp_in_frame(&c->dec)) c->frame_since_us = 0;
  else if (!c->frame_since_us || c->frame_since_seq != c->next) {
    c->frame_since_us = io_mono_us(c->l->io);
    c->frame_since_seq = c->next;
  }
}

/* The backlog is fed again after answers made room. */
static void turn(void *user) {
  mconn *c = user;
  if (c->last || c->l->paused) return; /* settle begins it again */
  bool inside = begin(c);
  feed(c, c->backlog, c->backlog_len, false);
  end(c, inside, HDW_OK);
}

static void discard(mconn *c) {
  size_t n;
  hdw_status s;
  while (!(s = net_read(&c->net, c->l->rbuf, READ_BYTES, &n)) && (c->linger += n) < LINGER_BYTES) {}
  if (s != HDW_E_AGAIN) drop(c);
}

static void on_readable(net_conn *nc) {
  mconn *c = nc->user;
  mllp_listener *l = c->l;
  if (c->lingering) {
    discard(c);
    return;
  }
  bool inside = begin(c);
  for (int i = 0; i < READS_A_TURN && c->net.want_read; i++) {
    size_t n = 0;
    hdw_status s = net_read(nc, l->rbuf, READ_BYTES, &n);
    if (s == HDW_E_AGAIN) break;
    if (s == HDW_OK) feed(c, l->rbuf, n, false);
    else feed(c, NULL, 0, true);
    if (s && s != HDW_E_CLOSED) drop(c);
    if (c->dead) break;
    if (s) c->last = true; /* the peer may still read: what is owed is sent */
    settle(c);
    if (n < READ_BYTES) break; /* most likely all there was: saves a call that says so */
  }
  end(c, inside, HDW_OK);
}

/* ---- answers out ------------------------------------------------------------------------------------------------ */

static hdw_status put(mconn *c, const uint8_t *p, size_t len) {
  hdw_status s = net_write(&c->net, &(io_slice){p, len}, 1);
  if (s) drop(c);
  return s ? HDW_E_CLOSED : HDW_OK;
}

/* Everything at the front that is ready goes out. */
static hdw_status send_ready(mconn *c) {
  mllp_listener *l = c->l;
  mem *m = l->io->mem;
  hdw_status s = HDW_OK;
  if (l->o.version == 2)
    for (; !s && c->committed < c->next; c->committed++) {
      uint8_t k = c->ring[c->committed & (c->ring_cap - 1)].commit;
      if (!k) break;
      s = put(c, commit_block[k - 1], sizeof *commit_block);
    }
  while (!s && c->head < c->next) {
    pending *p = &c->ring[c->head & (c->ring_cap - 1)];
    if (!p->ready || (l->o.version == 2 && c->head >= c->committed)) break;
    pending now = *p;
    *p = (pending){NULL, 0, 0, false};
    c->head++;
    l->st.unacked--;
    if (now.frame) {
      s = put(c, now.frame, now.len);
      m->put(m, now.frame, now.len);
    }
  }
  return s;
}

static mconn *find(mllp_listener *l, mllp_token t) {
  mconn *c = net_pool_get(&l->pool, t.slot, t.generation);
  if (!c) l->st.stale_replies++;
  return c;
}

static pending *find_frame(mllp_listener *l, mllp_token t, mconn **c) {
  if (!(*c = find(l, t))) return NULL;
  pending *p = t.seq >= (*c)->head && t.seq < (*c)->next ? &(*c)->ring[t.seq & ((*c)->ring_cap - 1)] : NULL;
  if (p && !p->ready) return p;
  l->st.stale_replies++;
  return NULL;
}

hdw_status mllp_reply(mllp_listener *l, mllp_token t, const void *p, size_t len) {
  mconn *c;
  pending *f = find_frame(l, t, &c);
  mem *m = l->io->mem;
  if (!f) return HDW_E_CLOSED;
  if (len && t.seq == c->head && mllp_frame_bytes(len) <= STACK_BYTES && l->o.version == 1) { /* the common case: in order, small */
    uint8_t frame[STACK_BYTES] HDW_UNSET;
    hdw_status s = mllp_encode(frame, p, len);
    if (s) return s;
    f->ready = true;
    l->st.replies++;
    bool inside = begin(c);
    s = put(c, frame, mllp_frame_bytes(len));
    if (!s) s = send_ready(c);
    return end(c, inside, s);
  }
  if (len) {
    size_t n = mllp_frame_bytes(len);
    uint8_t *frame = m->get(m, n);
    if (!frame) return HDW_E_NOMEM;
    hdw_status s = mllp_encode(frame, p, len);
    if (s) {
      m->put(m, frame, n);
      return s;
    }
    f->frame = frame;
    f->len = n;
  }
  f->ready = true;
  l->st.replies++;
  bool inside = begin(c);
  return end(c, inside, send_ready(c));
}

hdw_status mllp_commit(mllp_listener *l, mllp_token t, bool ok) {
  mconn *c;
  if (l->o.version != 2) return HDW_E_INVALID;
  pending *f = find_frame(l, t, &c);
  if (!f) return HDW_E_CLOSED;
  if (f->commit) return HDW_E_EXISTS;
  f->commit = ok ? 2 : 1;
  bool inside = begin(c);
  return end(c, inside, send_ready(c));
}

hdw_status mllp_send(mllp_listener *l, mllp_token t, const void *p, size_t len) {
  mconn *c = find(l, t);
  mem *m = l->io->mem;
  if (!c || c->lingering) return HDW_E_CLOSED;
  size_t n = mllp_frame_bytes(len);
  uint8_t *frame = m->get(m, n);
  if (!frame) return HDW_E_NOMEM;
  hdw_status s = mllp_encode(frame, p, len);
  if (!s) {
    bool inside = begin(c);
    s = end(c, inside, put(c, frame, n));
  }
  m->put(m, frame, n);
  return s;
}

void mllp_hangup(mllp_listener *l, mllp_token t) {
  mconn *c = find(l, t);
  if (!c) return;
  bool inside = begin(c);
  c->last = true;
  end(c, inside, HDW_OK);
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void on_gone(net_conn *nc, hdw_status why) {
  mconn *c = nc->user;
  (void)why;
  if (!nc->opened) c->l->st.tls_failures++;
  drop(c);
}

static void on_open(net_conn *nc) { /* under TLS only */
  mconn *c = nc->user;
  mem *m = c->l->io->mem;
  c->peer = m->get(m, sizeof *c->peer);
  if (!c->peer) {
    drop(c);
    return;
  }
  tls_peer(nc->tls, c->peer->san, c->peer->subject);
  tls_peer_sans(nc->tls, c->peer->sans);
  c->frame_since_us = 0;
  settle(c);
}

static const net_events events = {on_readable, NULL, on_gone, on_open};

static void on_accept(io_listener *ls, io_sock *sock, void *user) {
  mllp_listener *l = user;
  mem *m = l->io->mem;
  io_addr a;
  (void)ls;
  io_peer(sock, &a);
  mconn *c = net_pool_admits(&l->pool, &a) ? m->get(m, sizeof *c) : NULL;
  if (!c) {
    l->st.refused++;
    io_close(sock);
    return;
  }
  memset(c, 0, sizeof *c);
  if (net_accepted(&c->net, l->io, sock, l->o.tls, &events, c, OUT_BYTES)) {
    l->st.refused++;
    m->put(m, c, sizeof *c);
    return;
  }
  c->l = l;
  c->slot = net_pool_add(&l->pool, c, &a);
  c->id = ++l->ids;
  c->addr = a;
  c->ring = &c->one;
  c->ring_cap = 1;
  c->head = c->next = c->committed = 1;
  c->active_us = io_mono_us(l->io);
  if (l->o.tls) c->frame_since_us = c->active_us; /* the handshake has a frame's time */
  mllp_decoder_init(&c->dec, m, l->o.max_frame_bytes, l->o.strict);
  l->st.accepted++;
  l->st.open++;
  if (!l->o.tls) settle(c);
  arm(c);
}

hdw_status mllp_listener_new(io *x, const mllp_listener_opts *o, mllp_listener **out) {
  mem *m = x->mem;
  *out = NULL;
  if (!o->frame || o->version > 2) return HDW_E_INVALID;
  mllp_listener *l = m->get(m, sizeof *l);
  if (!l) return HDW_E_NOMEM;
  memset(l, 0, offsetof(mllp_listener, rbuf));
  l->io = x;
  l->o = *o;
  if (!l->o.version) l->o.version = 1;
  if (!l->o.frame_timeout_us) l->o.frame_timeout_us = 30000000;
  if (!l->o.max_conns) l->o.max_conns = 1024;
  if (!l->o.max_unacked) l->o.max_unacked = 64;
  hdw_status s = net_pool_init(&l->pool, m, l->o.max_conns, o->max_conns_per_peer, o->allow, o->n_allow);
  if (!s) s = io_listen(x, &o->addr, on_accept, l, &l->ls);
  if (s) {
    net_pool_free(&l->pool);
    m->put(m, l, sizeof *l);
    return s;
  }
  io_listener_addr(l->ls, &l->addr);
  *out = l;
  return HDW_OK;
}

void mllp_listener_update(mllp_listener *l, const mllp_listener_opts *o) {
  l->o.strict = o->strict;
  l->o.max_frame_bytes = o->max_frame_bytes;
  l->o.frame_timeout_us = o->frame_timeout_us ? o->frame_timeout_us : 30000000;
  l->o.idle_timeout_us = o->idle_timeout_us;
  l->o.tls = o->tls;
  l->pool.allow = o->allow, l->pool.n_allow = o->n_allow;
}

void mllp_listener_addr(const mllp_listener *l, io_addr *out) { *out = l->addr; }

void mllp_listener_pause(mllp_listener *l, bool pause) {
  if (l->paused == pause) return;
  l->paused = pause;
  if (l->ls) io_listener_pause(l->ls, pause);
  for (uint32_t i = 0; i < l->pool.used; i++) {
    mconn *c = l->pool.slots[i].owner;
    if (!c || (l->o.tls && !c->net.opened)) continue;
    settle(c);
    arm(c);
  }
}

const mllp_stats *mllp_listener_stats(const mllp_listener *l) { return &l->st; }

void mllp_listener_stop(mllp_listener *l, bool graceful) {
  if (l->ls) io_listener_close(l->ls);
  l->ls = NULL;
  for (uint32_t i = 0; i < l->pool.used; i++) {
    mconn *c = l->pool.slots[i].owner;
    if (!c) continue;
    if (!graceful || (l->o.tls && !c->net.opened)) drop(c);
    else {
      c->last = true;
      if (!c->busy) settle(c);
    }
  }
}

void mllp_listener_free(mllp_listener *l) {
  if (!l) return;
  mem *m = l->io->mem;
  mllp_listener_stop(l, false);
  net_pool_free(&l->pool);
  m->put(m, l, sizeof *l);
}
