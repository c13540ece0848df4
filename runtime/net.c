/* net.c - byte streams over the seam's sockets, plain or under TLS; see net.h. */
#include "net.h"
#include "codec.h"
#include <string.h>

enum { CIPHER_BYTES = 16 << 10, GATHER_BYTES = 16 << 10 };

static void on_sock(io_sock *s, unsigned events, void *user);

static void update_want(net_conn *c) {
  if (!c->sock) return;
  unsigned want = 0;
  if (c->want_read || (c->tls && !c->opened)) want |= IO_READ;
  if (net_waiting(c)) want |= IO_WRITE;
  if (want == c->want) return;
  c->want = want;
  io_sock_on(c->sock, want, on_sock, c);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void drop_out(net_conn *c) {
  if (c->out) c->io->mem->put(c->io->mem, c->out, c->out_cap);
  c->out = NULL;
  c->out_at = c->out_len = c->out_cap = 0;
}

static hdw_status reserve(net_conn *c, size_t more) {
  if (c->out_cap - c->out_len >= more) return HDW_OK;
  size_t waiting = net_waiting(c), need = waiting + more, cap = c->out_cap ? c->out_cap * 2 : 4096;
  if (need < more) return HDW_E_LIMIT;
  if (cap < need) cap = need;
  uint8_t *n = c->io->mem->get(c->io->mem, cap);
  if (!n) return HDW_E_NOMEM;
  if (waiting) memcpy(n, c->out + c->out_at, waiting);
  drop_out(c);
  c->out = n;
  c->out_len = waiting;
  c->out_cap = cap;
  return HDW_OK;
}

static hdw_status keep(net_conn *c, const void *p, size_t len) {
  hdw_status s = len ? reserve(c, len) : HDW_OK;
  if (s || !len) return s;
  memcpy(c->out + c->out_len, p, len);
  c->out_len += len;
  return HDW_OK;
}

/* Writes what waits. HDW_OK: all of it is out. */
static hdw_status flush(net_conn *c) {
  while (net_waiting(c)) {
    size_t put = 0;
    hdw_status s = io_write(c->sock, c->out + c->out_at, net_waiting(c), &put);
    if (s) return s;
    c->out_at += put;
  }
  drop_out(c);
  if (c->ending && !c->ended) {
    c->ended = true;
    io_shutdown(c->sock);
  }
  return HDW_OK;
}

/* Moves ciphertext to the buffer and as much as possible to the socket. HDW_E_AGAIN: some waits. */
static hdw_status flush_tls(net_conn *c) {
  for (size_t n; (n = tls_output_waiting(c->tls));) {
    hdw_status s = reserve(c, n);
    if (s) return s;
    c->out_len += tls_output(c->tls, c->out + c->out_len, n);
  }
  return flush(c);
}

/* One slice without TLS and nothing waiting: straight to the socket. */
static hdw_status write_direct(net_conn *c, const uint8_t *p, size_t len) {
  while (len) {
    size_t put = 0;
    hdw_status s = io_write(c->sock, p, len, &put);
    if (s == HDW_E_AGAIN) return keep(c, p, len);
    if (s) return s;
    p += put;
    len -= put;
  }
  return HDW_OK;
}

hdw_status net_write(net_conn *c, const io_slice *v, unsigned n) {
  uint8_t gather[GATHER_BYTES] HDW_UNSET;
  size_t total = 0;
  hdw_status s = HDW_OK;
  if (!c->sock || !c->opened || c->ending) return HDW_E_CLOSED;
  for (unsigned i = 0; i < n; i++)
    if (__builtin_add_overflow(total, v[i].len, &total)) return HDW_E_FULL;
  if (!total) return HDW_OK;
  if (total > c->out_max || net_waiting(c) > c->out_max - total) return HDW_E_FULL;
  if (c->tls) {
    for (unsigned i = 0; !s && i < n; i++) s = tls_write(c->tls, v[i].p, v[i].len);
    if (!s) s = flush_tls(c);
  } else if (net_waiting(c) || (n > 1 && total > sizeof gather)) {
    s = reserve(c, total);
    for (unsigned i = 0; !s && i < n; i++) s = keep(c, v[i].p, v[i].len);
    if (!s) s = flush(c);
  } else if (n == 1) s = write_direct(c, v->p, v->len);
  else {
    size_t at = 0;
    for (unsigned i = 0; i < n; at += v[i++].len)
      if (v[i].len) memcpy(gather + at, v[i].p, v[i].len);
    s = write_direct(c, gather, total);
  }
  if (s == HDW_E_AGAIN) s = HDW_OK;
  update_want(c);
  return s == HDW_E_IO ? HDW_E_CLOSED : s;
}

void net_end(net_conn *c) {
  if (!c->sock || c->ending) return;
  c->ending = true;
  if (c->tls) {
    tls_end(c->tls);
    flush_tls(c);
  } else flush(c);
  update_want(c); /* a broken peer shows when it is read or written again */
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void on_wake(void *user) {
  net_conn *c = user;
  if (c->sock && c->opened && c->want_read) c->on->readable(c);
}

static void wake(net_conn *c) {
  if (!c->wake.set) io_timer_set(c->io, &c->wake, 0, on_wake, c);
}

/* One portion of ciphertext from the socket. */
static hdw_status fill_tls(net_conn *c) {
  uint8_t cipher[CIPHER_BYTES] HDW_UNSET;
  size_t n = 0;
  hdw_status s = io_read(c->sock, cipher, sizeof cipher, &n);
  return s ? s : tls_input(c->tls, cipher, n);
}

static hdw_status read_tls(net_conn *c, void *p, size_t cap, size_t *got) {
  for (;;) {
    hdw_status s = tls_read(c->tls, p, cap, got);
    if (s == HDW_OK) {
      wake(c); /* there may be more inside; finding nothing costs one look */
      return s;
    }
    /* Answers of the protocol itself (key updates, alerts). */
    hdw_status f = flush_tls(c);
    update_want(c);
    if (s != HDW_E_AGAIN) return s;
    if (f && f != HDW_E_AGAIN) return HDW_E_IO;
    s = fill_tls(c);
    if (s == HDW_E_CLOSED) return HDW_E_IO; /* no close_notify: cut off */
    if (s) return s;
  }
}

hdw_status net_read(net_conn *c, void *p, size_t cap, size_t *got) {
  *got = 0;
  if (!c->sock) return HDW_E_CLOSED;
  return c->tls ? read_tls(c, p, cap, got) : io_read(c->sock, p, cap, got);
}

void net_want_read(net_conn *c, bool want) {
  if (want == c->want_read) return;
  c->want_read = want;
  if (want && c->tls && c->opened) wake(c);
  update_want(c);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

/* Handshake as far as it goes. The owner may be gone afterwards. */
static void shake(net_conn *c) {
  hdw_status s = HDW_OK, f;
  for (;;) {
    s = tls_handshake(c->tls);
    f = flush_tls(c);
    if (f && f != HDW_E_AGAIN) s = f;
    if (s != HDW_E_AGAIN) break;
    hdw_status r = fill_tls(c);
    if (r == HDW_E_AGAIN) {
      update_want(c);
      return;
    }
    if (r) {
      s = HDW_E_IO;
      break;
    }
  }
  if (s) {
    c->on->gone(c, s);
    return;
  }
  c->opened = true;
  update_want(c);
  wake(c); /* the last flight may have brought data */
  if (c->on->open) c->on->open(c);
}

/* Each callback is the last thing done with c: the owner may have freed it. */
static void on_sock(io_sock *sock, unsigned events, void *user) {
  net_conn *c = user;
  (void)sock;
  if (events & IO_FAILED) {
    c->on->gone(c, HDW_E_IO);
    return;
  }
  if (events & IO_CONNECTED) {
    c->want = 0;
    if (c->tls) {
      update_want(c);
      shake(c);
      return;
    }
    c->opened = true;
    update_want(c);
    if (c->on->open) c->on->open(c);
    return;
  }
  if ((events & IO_WRITE) && net_waiting(c)) {
    hdw_status s = flush(c);
    update_want(c);
    if (s && s != HDW_E_AGAIN) {
      c->on->gone(c, s);
      return;
    }
    if (!s && c->opened && c->on->drained) { /* a read event comes again by itself */
      c->on->drained(c);
      return;
    }
  }
  if (!(events & IO_READ)) return;
  if (!c->opened) shake(c);
  else if (c->want_read) c->on->readable(c);
}

static void begin(net_conn *c, io *x, const net_events *on, void *user, size_t out_max) {
  memset(c, 0, sizeof *c);
  c->io = x;
  c->on = on;
  c->user = user;
  c->out_max = out_max;
}

hdw_status net_accepted(net_conn *c, io *x, io_sock *s, tls_ctx *ctx, const net_events *on, void *user, size_t out_max) {
  begin(c, x, on, user, out_max);
  if (ctx && tls_conn_new(ctx, NULL, &c->tls)) {
    io_close(s);
    return HDW_E_NOMEM;
  }
  c->sock = s;
  c->opened = !ctx;
  c->want = ~0u;
  update_want(c);
  return HDW_OK;
}

hdw_status net_connect(net_conn *c, io *x, const io_addr *a, tls_ctx *ctx, const char *host, const net_events *on, void *user, size_t out_max) {
  begin(c, x, on, user, out_max);
  hdw_status s = ctx ? tls_conn_new(ctx, host, &c->tls) : HDW_OK;
  if (!s) s = io_connect(x, a, on_sock, c, &c->sock);
  if (s) {
    c->sock = NULL;
    net_close(c);
  }
  return s;
}

void net_close(net_conn *c) {
  if (!c->io) return;
  io_timer_cancel(c->io, &c->wake);
  if (c->sock) io_close(c->sock);
  c->sock = NULL;
  tls_conn_free(c->tls);
  c->tls = NULL;
  c->opened = false;
  drop_out(c);
}
