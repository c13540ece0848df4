/* http_server.c - accepts HTTP connections, hands whole requests to the owner, sends the answers. See http.h.
 *
 *   HEAD ──head complete── BODY ──body complete── WORK ──answer── HEAD ...      (LINGER: our end is sent, input is thrown away)
 *                                                   └─ STREAM ──end──┘
 *
 * A request that lies whole in one read is handed out from the shared read buffer; only what is cut is kept in the connection's own buffer:
 *
 *   buf:  [head | body decoded so far | raw bytes not looked at]       0 <= head_len <= body_end <= raw_at <= len */
#include <string.h>
#include "codec.h"
#include "http.h"

enum { READ_BYTES = 64 << 10, KEEP_AHEAD_BYTES = 64 << 10, READS_A_TURN = 4, STACK_BYTES = 12 << 10, LINGER_BYTES = 16 << 20, MAX_EXTRA_HEAD = 256 << 10 };
enum { LINGER_US = 2000000 };

typedef enum hstate { HEAD, BODY, WORK, STREAM, LINGER } hstate;

typedef struct names {
  char san[TLS_NAME_BYTES], subject[TLS_NAME_BYTES], sans[TLS_NAMES_BYTES];
} names;

typedef struct hconn {
  net_conn net;
  http_server *s;
  uint32_t slot;
  hstate state;
  uint64_t id, seq;
  uint8_t *buf;            /* own buffer, NULL when nothing is kept */
  size_t len, cap;
  size_t seen;             /* of the head, by http_head_end */
  size_t head_len, body_end, raw_at, body_max;
  int64_t content_length;
  http_chunked chunks;
  io_timer timer, resume;
  int64_t since_us;        /* start of the state, or of the last progress of writing */
  size_t waiting;          /* at the last look */
  size_t linger;
  names *peer;
  io_addr addr;
  uint8_t minor;
  bool chunked, gzip, keep, no_body, busy, dead, eof;
} hconn;

struct http_server {
  io *io;
  http_server_opts o;
  io_listener *ls;
  io_addr addr;
  net_pool pool;
  uint64_t ids;
  http_stats st;
  bool paused, stopped;
  int64_t date_s;
  char date[HTTP_DATE_BYTES + 1];
  http_head head;          /* of the request in hand */
  uint8_t rbuf[READ_BYTES];
};

static void on_timer(void *user);
static void on_resume(void *user);

/* ---- life of a connection --------------------------------------------------------------------------------------- */

static void drop_buf(hconn *c) {
  if (c->buf) c->s->io->mem->put(c->s->io->mem, c->buf, c->cap);
  c->buf = NULL;
  c->len = c->cap = 0;
}

static void release(hconn *c) {
  mem *m = c->s->io->mem;
  drop_buf(c);
  if (c->peer) m->put(m, c->peer, sizeof *c->peer);
  m->put(m, c, sizeof *c);
}

static http_token token(const hconn *c) { return (http_token){c->slot, c->s->pool.slots[c->slot].generation, c->seq}; }

/* The connection ends now. Memory stays while one of its callbacks runs. The owner hears of it when it still owes an answer. */
static void drop(hconn *c) {
  http_server *s = c->s;
  if (c->dead) return;
  bool owed = c->state == WORK || c->state == STREAM;
  http_token t = token(c);
  c->dead = true;
  net_close(&c->net);
  io_timer_cancel(s->io, &c->timer);
  io_timer_cancel(s->io, &c->resume);
  net_pool_remove(&s->pool, c->slot);
  s->st.open--;
  if (owed) s->st.active--;
  bool busy = c->busy;
  c->busy = true;
  if (owed && s->o.gone) s->o.gone(s->o.user, t);
  c->busy = busy;
  if (!busy) release(c);
}

static int64_t patience(const hconn *c) {
  const http_server_opts *o = &c->s->o;
  if (net_waiting(&c->net)) return o->write_timeout_us;
  if (c->state == LINGER) return LINGER_US;
  if (!c->net.opened) return o->head_timeout_us;
  if (c->state == HEAD) return c->len ? o->head_timeout_us : o->idle_timeout_us;
  if (c->state == BODY) return o->body_timeout_us;
  return INT64_MAX;
}

/* The timer is armed for the present deadline unless it fires earlier anyway; then it looks again. */
static void arm(hconn *c) {
  int64_t p = patience(c);
  if (p == INT64_MAX || (c->timer.set && c->timer.at_us <= c->since_us + p)) return;
  io_timer_set(c->s->io, &c->timer, c->since_us + p - io_mono_us(c->s->io), on_timer, c);
}

static void enter_state(hconn *c, hstate st) {
  c->state = st;
  c->since_us = io_mono_us(c->s->io);
}

static void on_timer(void *user) {
  hconn *c = user;
  http_stats *st = &c->s->st;
  int64_t now = io_mono_us(c->s->io), p = patience(c);
  size_t waiting = net_waiting(&c->net);
  if (waiting && waiting != c->waiting) { /* the peer takes something */
    c->waiting = waiting;
    c->since_us = now;
  }
  if (p != INT64_MAX && now - c->since_us >= p) {
    if (waiting) st->write_timeouts++;
    else if (c->state == HEAD && (c->len || !c->net.opened)) st->head_timeouts++;
    else if (c->state == HEAD) st->idle_timeouts++;
    else if (c->state == BODY) st->body_timeouts++;
    drop(c);
    return;
  }
  arm(c);
}

static bool begin(hconn *c) {
  bool inside = c->busy;
  c->busy = true;
  return inside;
}
static hdw_status end(hconn *c, bool inside, hdw_status s) {
  c->busy = inside;
  if (inside) return s;
  if (c->dead) {
    release(c);
    return s;
  }
  if (c->state == LINGER) drop_buf(c);
  arm(c);
  return s;
}

/* Our end goes out; input is thrown away for a moment, so that a reset does not overtake the answer. Between begin and end only. */
static void linger(hconn *c) {
  if (c->dead || c->state == LINGER) return;
  enter_state(c, LINGER);
  net_end(&c->net);
  net_want_read(&c->net, !c->eof);
  if (c->eof && !net_waiting(&c->net)) drop(c);
}

static void on_drained(net_conn *nc) {
  hconn *c = nc->user;
  c->waiting = 0;
  c->since_us = io_mono_us(c->s->io);
  if (c->state == LINGER && c->eof) drop(c);
  else arm(c);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static const char *date(http_server *s) {
  int64_t now = io_wall_us(s->io) / 1000000;
  if (now != s->date_s || !s->date[0]) http_date(s->date, s->date_s = now);
  return s->date;
}

/* Head and body in one write when they are small. -2: a header that must not be sent. */
static long write_response(hconn *c, int status, int64_t length, const http_header *h, size_t n, const void *body, size_t len) {
  char stack[STACK_BYTES] HDW_UNSET, *head = stack;
  mem *m = c->s->io->mem;
  size_t cap = sizeof stack;
  long got = http_write_head(head, cap, status, c->minor, c->keep, date(c->s), length, h, n);
  if (got == -1) {
    if (!(head = m->get(m, cap = MAX_EXTRA_HEAD))) return -1;
    got = http_write_head(head, cap, status, c->minor, c->keep, date(c->s), length, h, n);
  }
  hdw_status s = HDW_OK;
  if (got > 0) {
    io_slice v[2] = {{head, (size_t)got}, {body, len}};
    if (len && len <= cap - (size_t)got) {
      memcpy(head + got, body, len);
      v[0].len += len;
      len = 0;
    }
    s = net_write(&c->net, v, len ? 2 : 1);
  }
  if (head != stack) m->put(m, head, cap);
  return got < 0 ? got : s ? -1 : 0;
}

/* After an answer: the next request, or the end. inside: the reading loop further out goes on by itself. */
static void next(hconn *c, bool inside) {
  http_server *s = c->s;
  if (c->dead) return;
  if (!c->keep || s->stopped) {
    linger(c);
    return;
  }
  enter_state(c, HEAD);
  c->seen = 0;
  if (inside) return;
  if (c->eof && !c->len) {
    linger(c);
    return;
  }
  if (c->len || c->eof) io_timer_set(s->io, &c->resume, 0, on_resume, c);
  else net_want_read(&c->net, !s->paused);
}

/* Answers a request that nobody has seen, and ends the connection: what follows cannot be told apart from its body. */
static void refuse(hconn *c, int status, const http_header *extra) {
  c->s->st.bad_requests++;
  c->keep = false;
  enter_state(c, HEAD);
  if (write_response(c, status, 0, extra, extra ? 1 : 0, NULL, 0) < 0) drop(c);
  else linger(c);
}

static hconn *find(http_server *s, http_token t, hstate want) {
  hconn *c = net_pool_get(&s->pool, t.slot, t.generation);
  if (c && c->seq == t.seq && c->state == want) return c;
  s->st.stale_replies++;
  return NULL;
}

static bool without_body(int status) { return status == 204 || status == 304 || status < 200; }

hdw_status http_reply(http_server *s, http_token t, int status, const http_header *h, size_t n, const void *body, size_t len) {
  hconn *c = find(s, t, WORK);
  if (!c) return HDW_E_CLOSED;
  bool inside = begin(c);
  hdw_status r = HDW_OK;
  long got = status < 200 ? -2 : write_response(c, status, without_body(status) ? -2 : (int64_t)len, h, n, body, c->no_body || without_body(status) ? 0 : len);
  if (got == -2) {
    r = HDW_E_INVALID;
    got = write_response(c, 500, 0, NULL, 0, NULL, 0);
  }
  s->st.replies++;
  s->st.active--;
  c->state = HEAD; /* no answer is owed any more, whatever comes now */
  if (got < 0) {
    drop(c);
    return end(c, inside, HDW_E_CLOSED);
  }
  next(c, inside);
  return end(c, inside, r);
}

hdw_status http_stream_begin(http_server *s, http_token t, int status, const http_header *h, size_t n) {
  hconn *c = find(s, t, WORK);
  if (!c) return HDW_E_CLOSED;
  if (status < 200 || without_body(status)) return HDW_E_INVALID;
  if (c->minor == 0) c->keep = false;
  long got = write_response(c, status, c->minor ? -1 : -2, h, n, NULL, 0);
  if (got == -2) return HDW_E_INVALID;
  bool inside = begin(c);
  if (got < 0) {
    c->state = HEAD;
    s->st.active--;
    drop(c);
    return end(c, inside, HDW_E_CLOSED);
  }
  enter_state(c, STREAM);
  s->st.replies++;
  net_want_read(&c->net, true); /* to see the reader leave */
  return end(c, inside, HDW_OK);
}

hdw_status http_stream_write(http_server *s, http_token t, const void *p, size_t len) {
  hconn *c = find(s, t, STREAM);
  if (!c) return HDW_E_CLOSED;
  if (!len || c->no_body) return HDW_OK;
  char size[20], *e = size + sizeof size, *b = e;
  *--b = '\n', *--b = '\r';
  for (size_t v = len; v; v >>= 4) *--b = "0123456789abcdef"[v & 15];
  io_slice v[3] = {{b, (size_t)(e - b)}, {p, len}, {"\r\n", 2}};
  hdw_status r = c->minor ? net_write(&c->net, v, 3) : net_write(&c->net, v + 1, 1);
  bool inside = begin(c);
  if (r && r != HDW_E_FULL && r != HDW_E_NOMEM) {
    drop(c);
    r = HDW_E_CLOSED;
  }
  return end(c, inside, r);
}

hdw_status http_stream_end(http_server *s, http_token t) {
  hconn *c = find(s, t, STREAM);
  if (!c) return HDW_E_CLOSED;
  bool inside = begin(c);
  hdw_status r = c->minor && !c->no_body ? net_write(&c->net, &(io_slice){"0\r\n\r\n", 5}, 1) : HDW_OK;
  s->st.active--;
  c->state = HEAD;
  if (r) {
    drop(c);
    return end(c, inside, HDW_E_CLOSED);
  }
  next(c, inside);
  return end(c, inside, HDW_OK);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

/* What of the input a step works on: the shared buffer or the connection's own. */
typedef struct window {
  uint8_t *p;
  size_t len;
} window;

static http_request request_of(hconn *c, const uint8_t *body, size_t len) {
  http_request r = {.head = &c->s->head, .body = body, .body_len = len, .peer = c->addr, .conn = c->id, .san = c->peer ? c->peer->san : "", .subject = c->peer ? c->peer->subject : "",
                    .sans = c->peer ? c->peer->sans : ""};
  r.has_cred = c->s->o.addr.family == IO_ADDR_UNIX && c->net.sock && !io_peer_cred(c->net.sock, &r.cred);
  return r;
}

/* A complete head is at the front: its framing is noted and the owner may refuse. 0 goes on. */
static int accept_head(hconn *c, const window *w, http_header *extra) {
  http_server *s = c->s;
  const char *why = "";
  c->minor = 1;
  int status = http_head_parse(&s->head, (const char *)w->p, c->head_len, &why);
  if (status) return status;
  const http_head *h = &s->head;
  c->minor = h->minor;
  c->keep = h->keep_alive;
  c->chunked = h->chunked;
  c->gzip = h->gzip;
  c->content_length = h->content_length < 0 ? 0 : h->content_length;
  c->no_body = http_str_is(h->method, "HEAD");
  c->body_max = s->o.max_body_bytes;
  c->body_end = c->raw_at = c->head_len;
  http_chunked_init(&c->chunks);
  if (s->o.head) {
    http_request r = request_of(c, NULL, 0);
    status = s->o.head(s->o.user, &r, &c->body_max, extra);
    if (status || c->dead) return status;
  }
  if (!c->chunked && (uint64_t)c->content_length > c->body_max) return 413;
  bool more = c->chunked || (uint64_t)c->content_length > w->len - c->head_len;
  if (h->expect_continue && more && w->len == c->head_len) {
    static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (net_write(&c->net, &(io_slice){go, sizeof go - 1}, 1)) drop(c);
  }
  return 0;
}

/* The body so far. HDW_OK: whole, at head_len..body_end, the request ends at raw_at. */
static hdw_status take_body(hconn *c, window *w) {
  if (!c->chunked) {
    uint64_t have = w->len - c->head_len;
    if (have < (uint64_t)c->content_length) return HDW_E_AGAIN;
    c->body_end = c->raw_at = c->head_len + (size_t)c->content_length;
    return HDW_OK;
  }
  size_t used, made;
  hdw_status s = http_chunked_decode(&c->chunks, (char *)w->p + c->raw_at, w->len - c->raw_at, &used, (char *)w->p + c->body_end, &made);
  c->raw_at += used;
  c->body_end += made;
  if (c->body_end - c->head_len > c->body_max) return HDW_E_FULL;
  if (s == HDW_E_AGAIN) w->len = c->raw_at = c->body_end; /* what was decoded leaves no hole */
  return s;
}

/* Hands a whole request out. 0, or the status to refuse with. */
static int dispatch(hconn *c, const window *w, bool parsed) {
  http_server *s = c->s;
  mem *m = s->io->mem;
  const char *why;
  void *plain = NULL;
  size_t plain_len = 0, plain_cap = 0;
  if (!parsed && http_head_parse(&s->head, (const char *)w->p, c->head_len, &why)) return 500;
  http_request r = request_of(c, w->p + c->head_len, c->body_end - c->head_len);
  if (c->gzip && r.body_len) {
    hdw_status z = http_gunzip(m, r.body, r.body_len, c->body_max, &plain, &plain_len, &plain_cap);
    if (z) return z == HDW_E_LIMIT ? 413 : z == HDW_E_NOMEM ? 503 : 400;
    r.body = plain;
    r.body_len = plain_len;
  }
  s->st.requests++;
  s->st.body_bytes += r.body_len;
  s->st.active++;
  c->seq++;
  enter_state(c, WORK);
  s->o.request(s->o.user, token(c), &r);
  if (plain) m->put(m, plain, plain_cap);
  return 0;
}

/* One step over the window. True: something was used up and the next request may be there. */
static bool step(hconn *c, window *w) {
  http_header extra = {{NULL, 0}, {NULL, 0}};
  bool parsed = false;
  int status = 0;
  if (c->state == HEAD) {
    if (!w->len) return false;
    if (c->s->stopped) {
      linger(c);
      return false;
    }
    long n = http_head_end((const char *)w->p, w->len, &c->seen, c->s->o.max_head_bytes);
    if (n == 0) return false;
    c->head_len = n > 0 ? (size_t)n : 0;
    c->minor = 1;
    status = n < 0 ? (int)-n : accept_head(c, w, &extra);
    parsed = !status;
    if (!status && !c->dead) enter_state(c, BODY);
  }
  if (c->dead) return false;
  if (!status) {
    hdw_status s = take_body(c, w);
    if (s == HDW_E_AGAIN) return false;
    if (s) status = s == HDW_E_FULL ? 413 : 400;
    else status = dispatch(c, w, parsed);
  }
  if (status) {
    if (!c->dead) refuse(c, status, extra.name.p ? &extra : NULL);
    return false;
  }
  if (c->dead) return false;
  w->p += c->raw_at;
  w->len -= c->raw_at;
  c->head_len = c->body_end = c->raw_at = 0;
  return c->state == HEAD;
}

/* Keeps what is left of the window in the connection's buffer. */
static hdw_status keep_rest(hconn *c, const window *w) {
  mem *m = c->s->io->mem;
  if (!w->len) {
    drop_buf(c);
    return HDW_OK;
  }
  bool own = c->buf && w->p >= c->buf && w->p < c->buf + c->cap;
  if (own && (c->cap <= KEEP_AHEAD_BYTES || w->len > c->cap / 2)) {
    memmove(c->buf, w->p, w->len);
    c->len = w->len;
    return HDW_OK;
  }
  size_t cap = w->len < 2048 ? 4096 : w->len * 2;
  uint8_t *b = m->get(m, cap);
  if (!b) return HDW_E_NOMEM;
  memcpy(b, w->p, w->len);
  drop_buf(c);
  c->buf = b;
  c->cap = cap;
  c->len = w->len;
  return HDW_OK;
}

static void work_through(hconn *c, window w) {
  bool was_empty = c->state == HEAD && !c->len;
  while (step(c, &w)) was_empty = true;
  if (c->dead || c->state == LINGER) return;
  if (keep_rest(c, &w)) {
    drop(c);
    return;
  }
  if (c->state == HEAD && c->len && was_empty) c->since_us = io_mono_us(c->s->io); /* the clock of the head begins with its first byte */
}

/* Room for more of the request, never more than it may still take. */
static hdw_status grow(hconn *c) {
  mem *m = c->s->io->mem;
  if (c->cap - c->len >= 1024) return HDW_OK;
  size_t want = c->cap * 2;
  if (c->state == BODY && !c->chunked) {
    size_t whole = c->head_len + (size_t)c->content_length;
    if (whole > c->len && want > whole + 1024) want = whole + 1024;
  }
  if (want < c->len + 1024) want = c->len + 1024;
  uint8_t *b = m->get(m, want);
  if (!b) return HDW_E_NOMEM;
  size_t len = c->len;
  memcpy(b, c->buf, len);
  drop_buf(c);
  c->buf = b;
  c->len = len;
  c->cap = want;
  return HDW_OK;
}

/* Reads once. HDW_OK: there may be more. */
static hdw_status read_once(hconn *c) {
  http_server *s = c->s;
  size_t n = 0;
  hdw_status r;
  if (!c->buf) {
    r = net_read(&c->net, s->rbuf, READ_BYTES, &n);
    if (r) return r;
    if (c->state == WORK || c->state == STREAM) return keep_rest(c, &(window){s->rbuf, n});
    work_through(c, (window){s->rbuf, n});
    return n < READ_BYTES ? HDW_E_AGAIN : HDW_OK;
  }
  if (grow(c)) return HDW_E_NOMEM;
  r = net_read(&c->net, c->buf + c->len, c->cap - c->len, &n);
  if (r) return r;
  c->len += n;
  if (c->state == HEAD || c->state == BODY) work_through(c, (window){c->buf, c->len});
  return HDW_OK;
}

static void discard(hconn *c) {
  size_t n;
  hdw_status s;
  while (!(s = net_read(&c->net, c->s->rbuf, READ_BYTES, &n)) && (c->linger += n) < LINGER_BYTES) {}
  if (s != HDW_E_AGAIN) drop(c);
}

static void on_readable(net_conn *nc) {
  hconn *c = nc->user;
  if (c->state == LINGER) {
    discard(c);
    return;
  }
  bool inside = begin(c);
  hdw_status s = HDW_OK;
  for (int i = 0; i < READS_A_TURN && !s && !c->dead && c->state != LINGER && nc->want_read; i++) {
    /* Requests that come while one is in work wait in the socket once a little has been kept. */
    if ((c->state == WORK || c->state == STREAM) && c->len >= KEEP_AHEAD_BYTES) net_want_read(nc, false);
    else s = read_once(c);
  }
  if (!c->dead && s && s != HDW_E_AGAIN) {
    c->eof = true;
    if (s == HDW_E_CLOSED && c->state == WORK) net_want_read(nc, false); /* it may still want its answer */
    else if (s == HDW_E_CLOSED && c->state == HEAD) linger(c);
    else drop(c);
  }
  end(c, inside, HDW_OK);
}

/* The rest of what was kept, after an answer. */
static void on_resume(void *user) {
  hconn *c = user;
  bool inside = begin(c);
  if (c->state == HEAD && c->len) work_through(c, (window){c->buf, c->len});
  if (!c->dead && c->state == HEAD && c->eof) linger(c);
  else if (!c->dead && c->state == BODY && c->eof) drop(c);
  else if (!c->dead && c->state != LINGER) net_want_read(&c->net, !c->eof && !c->s->paused);
  end(c, inside, HDW_OK);
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void on_gone(net_conn *nc, hdw_status why) {
  hconn *c = nc->user;
  (void)why;
  if (!nc->opened) c->s->st.tls_failures++;
  drop(c);
}

static void on_open(net_conn *nc) { /* under TLS only */
  hconn *c = nc->user;
  mem *m = c->s->io->mem;
  if (!(c->peer = m->get(m, sizeof *c->peer))) {
    drop(c);
    return;
  }
  tls_peer(nc->tls, c->peer->san, c->peer->subject);
  tls_peer_sans(nc->tls, c->peer->sans);
  enter_state(c, HEAD);
  net_want_read(nc, !c->s->paused);
  arm(c);
}

static const net_events events = {on_readable, on_drained, on_gone, on_open};

static void on_accept(io_listener *ls, io_sock *sock, void *user) {
  http_server *s = user;
  mem *m = s->io->mem;
  io_addr a;
  (void)ls;
  io_peer(sock, &a);
  hconn *c = net_pool_admits(&s->pool, &a) ? m->get(m, sizeof *c) : NULL;
  if (!c) {
    s->st.refused++;
    io_close(sock);
    return;
  }
  memset(c, 0, sizeof *c);
  if (net_accepted(&c->net, s->io, sock, s->o.tls, &events, c, s->o.max_waiting_bytes)) {
    s->st.refused++;
    m->put(m, c, sizeof *c);
    return;
  }
  c->s = s;
  c->id = ++s->ids;
  c->addr = a;
  c->slot = net_pool_add(&s->pool, c, &a);
  c->minor = 1;
  s->st.accepted++;
  s->st.open++;
  enter_state(c, HEAD);
  if (!s->o.tls) net_want_read(&c->net, !s->paused);
  arm(c);
}

static void defaults(http_server_opts *o) {
  if (!o->max_head_bytes) o->max_head_bytes = HTTP_MAX_HEAD_BYTES;
  if (!o->max_body_bytes) o->max_body_bytes = HTTP_MAX_BODY_BYTES;
  if (!o->head_timeout_us) o->head_timeout_us = 10000000;
  if (!o->body_timeout_us) o->body_timeout_us = 60000000;
  if (!o->idle_timeout_us) o->idle_timeout_us = 60000000;
  if (!o->write_timeout_us) o->write_timeout_us = 30000000;
  if (!o->max_conns) o->max_conns = 1024;
  if (!o->max_waiting_bytes) o->max_waiting_bytes = 32 << 20;
}

hdw_status http_server_new(io *x, const http_server_opts *o, http_server **out) {
  mem *m = x->mem;
  *out = NULL;
  if (!o->request || o->max_head_bytes > UINT16_MAX) return HDW_E_INVALID;
  http_server *s = m->get(m, sizeof *s);
  if (!s) return HDW_E_NOMEM;
  memset(s, 0, offsetof(http_server, rbuf));
  s->io = x;
  s->o = *o;
  defaults(&s->o);
  hdw_status r = net_pool_init(&s->pool, m, s->o.max_conns, o->max_conns_per_peer, o->allow, o->n_allow);
  if (!r) r = io_listen(x, &o->addr, on_accept, s, &s->ls);
  if (r) {
    net_pool_free(&s->pool);
    m->put(m, s, sizeof *s);
    return r;
  }
  io_listener_addr(s->ls, &s->addr);
  *out = s;
  return HDW_OK;
}

void http_server_update(http_server *s, const http_server_opts *o) {
  http_server_opts n = *o;
  n.addr = s->o.addr, n.max_conns = s->o.max_conns;
  defaults(&n);
  s->o = n;
  s->pool.allow = o->allow, s->pool.n_allow = o->n_allow;
}

void http_server_addr(const http_server *s, io_addr *out) { *out = s->addr; }

void http_server_pause(http_server *s, bool pause) {
  if (s->paused == pause) return;
  s->paused = pause;
  if (s->ls) io_listener_pause(s->ls, pause);
  for (uint32_t i = 0; i < s->pool.used; i++) {
    hconn *c = s->pool.slots[i].owner;
    if (!c || !c->net.opened || c->eof || (c->state != HEAD && c->state != BODY)) continue;
    c->since_us = io_mono_us(s->io); /* while we do not listen, silence is not the peer's fault */
    net_want_read(&c->net, !pause);
  }
}

const http_stats *http_server_stats(const http_server *s) { return &s->st; }

void http_server_stop(http_server *s, bool graceful) {
  if (s->ls) io_listener_close(s->ls);
  s->ls = NULL;
  s->stopped = true;
  for (uint32_t i = 0; i < s->pool.used; i++) {
    hconn *c = s->pool.slots[i].owner;
    if (!c) continue;
    if (!graceful || !c->net.opened || (c->state == HEAD && !c->busy)) drop(c);
    else if (c->state != LINGER) c->keep = false;
  }
}

void http_server_free(http_server *s) {
  if (!s) return;
  mem *m = s->io->mem;
  http_server_stop(s, false);
  net_pool_free(&s->pool);
  m->put(m, s, sizeof *s);
}
