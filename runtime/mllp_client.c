/* mllp_client.c - sends HL7 messages over MLLP, one in flight, on a connection that is kept. See mllp.h. */
#include "mllp.h"
#include <string.h>

enum { READ_BYTES = 16 << 10, OUT_BYTES = 64 << 20, MAX_ANSWER_BYTES = 1 << 20 };

struct mllp_client {
  io *io;
  mllp_client_opts o;
  char host[256];
  net_conn net;
  mllp_decoder dec;
  bool up, connecting;      /* net is open; is being opened */
  bool busy, dead;          /* a callback runs; free when it returns */
  /* the send in flight */
  uint8_t *frame;
  size_t frame_len;
  bool waiting, written, committed;
  unsigned tries;
  mllp_match_fn match;
  mllp_sent_cb cb;
  void *user;
  io_timer timer, later;    /* deadline of connecting, answer or idleness; a failure to be told from the loop */
  hdw_status later_status;
};

static void on_deadline(void *user);

static void disconnect(mllp_client *c) {
  if (c->up || c->connecting) {
    net_close(&c->net);
    mllp_decoder_free(&c->dec);
  }
  c->up = c->connecting = false;
}

static void forget(mllp_client *c) {
  if (c->frame) c->io->mem->put(c->io->mem, c->frame, c->frame_len);
  c->frame = NULL;
  c->waiting = false;
  io_timer_cancel(c->io, &c->timer);
  io_timer_cancel(c->io, &c->later);
}

static void release(mllp_client *c) {
  disconnect(c);
  forget(c);
  c->io->mem->put(c->io->mem, c, sizeof *c);
}

/* Ends the send in flight and tells. A failure drops the connection first: a late answer has nowhere to go (H-19). */
static void finish(mllp_client *c, hdw_status s, const uint8_t *p, size_t len) {
  bool outer = c->busy, sent = c->written;
  mllp_sent_cb cb = c->cb;
  void *user = c->user;
  bool was = c->waiting;
  if (s) disconnect(c);
  forget(c);
  if (!s && c->o.idle_close_us) io_timer_set(c->io, &c->timer, c->o.idle_close_us, on_deadline, c);
  if (!was) return;
  c->busy = true;
  cb(user, s, sent, p, len);
  c->busy = outer;
  if (c->dead && !outer) release(c);
}

static void on_later(void *user) {
  mllp_client *c = user;
  finish(c, c->later_status, NULL, 0);
}

static void fail_later(mllp_client *c, hdw_status s) {
  c->later_status = s;
  io_timer_set(c->io, &c->later, 0, on_later, c);
}

static void on_deadline(void *user) {
  mllp_client *c = user;
  if (c->waiting) finish(c, HDW_E_TIMEOUT, NULL, 0);
  else disconnect(c);
}

/* One frame in one write (H-1). */
static hdw_status transmit(mllp_client *c) {
  c->tries++;
  io_timer_set(c->io, &c->timer, c->o.reply_timeout_us, on_deadline, c);
  hdw_status s = net_write(&c->net, &(io_slice){c->frame, c->frame_len}, 1);
  c->written |= s != HDW_E_FULL && s != HDW_E_NOMEM;
  return s;
}

static void got_commit(mllp_client *c, uint8_t code) {
  if (c->o.version != 2 || !c->waiting || c->committed) return; /* v1 drops it (H-11) */
  if (code == MLLP_ACK) {
    c->committed = true;
    if (c->o.commit_only) finish(c, HDW_OK, NULL, 0);
  } else if (c->tries <= c->o.commit_retries) {
    hdw_status s = transmit(c);
    if (s) finish(c, s, NULL, 0);
  } else finish(c, HDW_E_DATA, NULL, 0);
}

static void got_frame(mllp_client *c, const uint8_t *p, size_t len) {
  if (len && c->waiting && c->written && (!c->match || c->match(c->user, p, len))) finish(c, HDW_OK, p, len);
  else if (len && c->o.unsolicited) c->o.unsolicited(c->o.user, p, len);
}

static void got(mllp_client *c, const mllp_event *ev) {
  if (ev->kind == MLLP_FRAME) got_frame(c, ev->p, ev->len);
  else if (ev->kind == MLLP_COMMIT) got_commit(c, ev->code);
  else if (ev->kind == MLLP_OVERSIZE || ev->kind == MLLP_VIOLATION) finish(c, ev->kind == MLLP_OVERSIZE ? HDW_E_LIMIT : HDW_E_SYNTAX, NULL, 0);
}

static void on_readable(net_conn *nc) {
  mllp_client *c = nc->user;
  uint8_t in[READ_BYTES];
  size_t n = 0;
  hdw_status s = net_read(nc, in, sizeof in, &n), d = HDW_OK;
  mllp_event ev;
  if (s == HDW_E_AGAIN) return;
  c->busy = true;
  if (s) finish(c, s, NULL, 0); /* what is cut off is not an answer (H-6) */
  else {
    mllp_feed(&c->dec, in, n);
    /* The callback may drop the connection and even open another: the decoder is then a new one with nothing fed. */
    while (c->up && !(d = mllp_next(&c->dec, &ev))) got(c, &ev);
    if (c->up && d == HDW_E_NOMEM) finish(c, d, NULL, 0);
  }
  c->busy = false;
  if (c->dead) release(c);
}

static void on_gone(net_conn *nc, hdw_status why) {
  mllp_client *c = nc->user;
  finish(c, why == HDW_E_DENIED ? why : HDW_E_CLOSED, NULL, 0);
}

static void on_open(net_conn *nc) {
  mllp_client *c = nc->user;
  c->connecting = false;
  c->up = true;
  net_want_read(nc, true); /* also when idle: the end of a connection is to be seen before it is used */
  if (!c->waiting) return;
  hdw_status s = transmit(c);
  if (s) finish(c, s, NULL, 0);
}

static const net_events events = {on_readable, NULL, on_gone, on_open};

static hdw_status connect_now(mllp_client *c) {
  hdw_status s = net_connect(&c->net, c->io, &c->o.addr, c->o.tls, c->host, &events, c, OUT_BYTES);
  if (s) return s;
  mllp_decoder_init(&c->dec, c->io->mem, c->o.max_frame_bytes, false);
  c->connecting = true;
  io_timer_set(c->io, &c->timer, c->o.connect_timeout_us, on_deadline, c);
  return HDW_OK;
}

hdw_status mllp_client_new(io *x, const mllp_client_opts *o, mllp_client **out) {
  *out = NULL;
  if (o->version > 2 || (o->host && strlen(o->host) >= sizeof ((mllp_client *)0)->host)) return HDW_E_INVALID;
  mllp_client *c = x->mem->get(x->mem, sizeof *c);
  if (!c) return HDW_E_NOMEM;
  memset(c, 0, sizeof *c);
  c->io = x;
  c->o = *o;
  if (o->host) memcpy(c->host, o->host, strlen(o->host) + 1);
  c->o.host = c->host;
  if (!c->o.version) c->o.version = 1;
  if (!c->o.connect_timeout_us) c->o.connect_timeout_us = 10000000;
  if (!c->o.reply_timeout_us) c->o.reply_timeout_us = 30000000;
  if (!c->o.max_frame_bytes) c->o.max_frame_bytes = MAX_ANSWER_BYTES;
  *out = c;
  return HDW_OK;
}

void mllp_client_set_addr(mllp_client *c, const io_addr *a) {
  if (io_addr_equal(&c->o.addr, a)) return;
  c->o.addr = *a;
  if (!c->waiting) disconnect(c);
}

hdw_status mllp_client_send(mllp_client *c, const void *p, size_t len, mllp_match_fn match, mllp_sent_cb cb, void *user) {
  mem *m = c->io->mem;
  if (c->waiting) return HDW_E_AGAIN;
  size_t n = mllp_frame_bytes(len);
  uint8_t *frame = m->get(m, n);
  if (!frame) return HDW_E_NOMEM;
  hdw_status s = mllp_encode(frame, p, len);
  if (s) {
    m->put(m, frame, n);
    return s;
  }
  c->frame = frame;
  c->frame_len = n;
  c->waiting = true;
  c->written = c->committed = false;
  c->tries = 0;
  c->match = match;
  c->cb = cb;
  c->user = user;
  if (c->up) s = transmit(c);
  else if (!c->connecting) s = connect_now(c);
  if (s) fail_later(c, s == HDW_E_NOMEM ? s : HDW_E_CLOSED);
  return HDW_OK;
}

bool mllp_client_busy(const mllp_client *c) { return c->waiting; }

void mllp_client_cancel(mllp_client *c) {
  forget(c);
  disconnect(c);
}

void mllp_client_free(mllp_client *c) {
  if (!c) return;
  mllp_client_cancel(c);
  c->dead = true;
  if (!c->busy) release(c);
}

static size_t field(const char *p, const char *end, char bar) {
  const char *stop = (const char *)memchr(p, bar, (size_t)(end - p));
  return (size_t)((stop ? stop : end) - p);
}

bool mllp_ack_msa(const void *ack, size_t len, mllp_msa *out) {
  const char *p = (const char *)ack, *end = p + len;
  *out = (mllp_msa){NULL, NULL, 0, 0};
  if (len < 4 || memcmp(p, "MSH", 3) != 0) return false;
  const char bar = p[3], eol = memchr(p, '\r', len) ? '\r' : '\n';
  while (p < end) {
    const char *stop = p + field(p, end, eol);
    if (stop - p >= 4 && !memcmp(p, "MSA", 3) && p[3] == bar) {
      out->code = p + 4, out->code_len = field(p + 4, stop, bar);
      const char *second = out->code + out->code_len;
      if (second < stop) out->id = second + 1, out->id_len = field(second + 1, stop, bar);
      return true;
    }
    if (stop == end) return false;
    p = stop + 1;
    if (p < end && *p == '\n') p++;
  }
  return false;
}

bool mllp_ack_is_for(const uint8_t *ack, size_t len, const char *id, size_t id_len) {
  mllp_msa msa;
  return mllp_ack_msa(ack, len, &msa) && msa.id && msa.id_len == id_len && (!id_len || !memcmp(msa.id, id, id_len));
}
