/* net_rig.h - both sides of the seam for tests of listeners and clients, and a scripted peer. */
#ifndef HDW_NET_RIG_H
#define HDW_NET_RIG_H
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io_linux.h"
#include "io_sim.h"
#include "net.h"

#define LIT(s) s, sizeof(s) - 1

typedef struct rig {
  test_mem tm;
  io *x;
  bool real;
  io_timer poll;
  bool (*done)(void *);
  void *user;
  int64_t until_us;
  bool ok;
} rig;

static inline void rig_init(rig *r, bool real, uint64_t seed) {
  memset(r, 0, sizeof *r);
  test_mem_init(&r->tm);
  r->real = real;
  io_sim_opts o = {.seed = seed};
  assert_int_equal(real ? io_linux_new(&r->tm.m, &r->x) : io_sim_new(&r->tm.m, &o, &r->x), HDW_OK);
}
static inline void rig_free(rig *r) {
  if (r->real) io_linux_free(r->x);
  else io_sim_free(r->x);
  assert_int_equal(r->tm.live_bytes, 0);
}

static inline void rig_poll(void *user) {
  rig *r = user;
  r->ok = r->done && r->done(r->user);
  if (r->ok || io_mono_us(r->x) >= r->until_us) io_stop(r->x);
  else io_timer_set(r->x, &r->poll, 1000, rig_poll, r);
}
/* Runs until done(user) or for us; true when done. done NULL: the whole time. */
static inline bool rig_run(rig *r, int64_t us, bool (*done)(void *), void *user) {
  r->done = done;
  r->user = user;
  r->ok = false;
  r->until_us = io_mono_us(r->x) + us;
  io_timer_set(r->x, &r->poll, 0, rig_poll, r);
  io_run(r->x);
  io_timer_cancel(r->x, &r->poll);
  return r->ok;
}

static inline io_addr loopback(void) { return (io_addr){.family = IO_ADDR_IP4, .ip = {127, 0, 0, 1}}; }

/* A peer that writes a script in pieces of piece bytes (0 = as it goes), keeps what it reads and notices the end. */
typedef struct peer {
  rig *r;
  io_sock *s;
  const char *out;
  size_t out_len, out_at, piece;
  char *in;
  size_t in_len, in_cap, want; /* want: peer_done when so much was read */
  bool open, eof, reset, end_after, deaf;
  io_timer pace;
} peer;

static inline void peer_event(io_sock *s, unsigned ev, void *user);
static inline void peer_want(peer *p) {
  if (p->s && p->open) io_sock_on(p->s, (p->deaf || p->eof ? 0u : IO_READ) | (p->out_at < p->out_len && !p->pace.set ? IO_WRITE : 0u), peer_event, p);
}
static inline void peer_pace(void *user) { peer_want(user); }
static inline void peer_event(io_sock *s, unsigned ev, void *user) {
  peer *p = user;
  size_t n = 0;
  if (ev & IO_FAILED) p->reset = true;
  if (ev & IO_CONNECTED) p->open = true;
  if ((ev & IO_WRITE) && p->out_at < p->out_len) {
    size_t len = p->out_len - p->out_at;
    if (p->piece && len > p->piece) len = p->piece;
    hdw_status st = io_write(s, p->out + p->out_at, len, &n);
    if (!st) p->out_at += n;
    else if (st != HDW_E_AGAIN) p->reset = true, p->out_at = p->out_len;
    if (p->piece && !st) io_timer_set(p->r->x, &p->pace, 100, peer_pace, p);
    if (p->out_at == p->out_len && p->end_after) io_shutdown(s);
  }
  if (ev & IO_READ) {
    if (p->in_cap - p->in_len < 65536) p->in = realloc(p->in, p->in_cap = p->in_cap * 2 + 65537);
    hdw_status st = io_read(s, p->in + p->in_len, p->in_cap - p->in_len - 1, &n);
    if (!st) p->in_len += n;
    else if (st != HDW_E_AGAIN) p->eof = true, p->reset |= st == HDW_E_IO;
    p->in[p->in_len] = 0;
  }
  if (!p->reset || p->open) peer_want(p);
}
static inline void peer_open(peer *p, rig *r, const io_addr *a) {
  memset(p, 0, sizeof *p);
  p->r = r;
  assert_int_equal(io_connect(r->x, a, peer_event, p, &p->s), HDW_OK);
}
static inline void peer_say(peer *p, const char *t, size_t n) {
  assert_true(p->out_at == p->out_len);
  p->out = t;
  p->out_len = n;
  p->out_at = 0;
  peer_want(p);
}
static inline void peer_close(peer *p) {
  io_timer_cancel(p->r->x, &p->pace);
  if (p->s) io_close(p->s);
  p->s = NULL;
  free(p->in);
  p->in = NULL;
}
static inline bool peer_at_eof(void *p) { return ((peer *)p)->eof; }
static inline bool peer_has(void *p) { return ((peer *)p)->in_len >= ((peer *)p)->want || ((peer *)p)->eof; }
#define peer_expect(r, p, lit)                                                                            \
  do {                                                                                                    \
    (p)->want = sizeof(lit) - 1;                                                                          \
    rig_run((r), 5000000, peer_has, (p));                                                                 \
    if ((p)->in_len != sizeof(lit) - 1 || memcmp((p)->in, lit, sizeof(lit) - 1)) fail_msg("got %zu bytes: %.*s", (p)->in_len, (int)(p)->in_len, (p)->in ? (p)->in : ""); \
    (p)->in_len = 0;                                                                                      \
  } while (0)

#endif
