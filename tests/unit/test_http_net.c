/* The HTTP server on both sides of the seam, with well-behaved and evil peers. */
#include "net_rig.h"
#include <zlib.h>
#include "http.h"

enum { MAX = 64 };
typedef struct owner {
  rig r;
  http_server *s;
  http_token t[MAX];
  char path[MAX][64], body[MAX][64];
  size_t body_len[MAX];
  unsigned n, heads, gone;
  bool at_once, close_inside;
  int refuse;
} owner;

static void on_request(void *user, http_token t, const http_request *r) {
  owner *o = user;
  assert_true(o->n < MAX);
  o->t[o->n] = t;
  o->body_len[o->n] = r->body_len;
  snprintf(o->path[o->n], sizeof *o->path, "%.*s %.*s", (int)r->head->method.len, r->head->method.p, (int)r->head->path.len, r->head->path.p);
  snprintf(o->body[o->n], sizeof *o->body, "%.*s", r->body_len < 60 ? (int)r->body_len : 60, r->body_len ? (const char *)r->body : "");
  o->n++;
  if (o->close_inside) http_server_stop(o->s, false);
  else if (o->at_once) {
    http_header h = {{LIT("X-Path")}, r->head->path};
    assert_int_equal(http_reply(o->s, t, 200, &h, 1, r->body, r->body_len), HDW_OK); /* echo */
  }
}
static int on_head(void *user, const http_request *r, size_t *max, http_header *extra) {
  owner *o = user;
  (void)r;
  assert_int_equal(r->body_len, 0);
  o->heads++;
  if (*max > 1000) *max = 1000;
  if (o->refuse == 401) *extra = (http_header){{LIT("WWW-Authenticate")}, {LIT("Basic realm=\"hdw\"")}};
  return o->refuse;
}
static void on_gone(void *user, http_token t) {
  owner *o = user;
  assert_int_equal(http_reply(o->s, t, 200, NULL, 0, NULL, 0), HDW_E_CLOSED);
  o->gone++;
}
static unsigned wanted;
static bool has_wanted(void *user) { return ((owner *)user)->n >= wanted; }
static bool is_gone(void *user) { return ((owner *)user)->gone > 0; }

static void open_with(owner *o, bool real, http_server_opts opts) {
  memset(o, 0, sizeof *o);
  rig_init(&o->r, real, 11);
  opts.addr = loopback();
  opts.request = on_request;
  opts.gone = on_gone;
  opts.user = o;
  assert_int_equal(http_server_new(o->r.x, &opts, &o->s), HDW_OK);
}
static void shut(owner *o) {
  http_server_free(o->s);
  rig_free(&o->r);
}
static void dial(owner *o, peer *p) {
  io_addr a;
  http_server_addr(o->s, &a);
  peer_open(p, &o->r, &a);
}
static void run_for(owner *o, int64_t us) { rig_run(&o->r, us, NULL, NULL); }

/* Waits until the peer has read text, anywhere. */
typedef struct find {
  peer *p;
  const char *text;
} find;
static bool found(void *user) {
  find *f = user;
  return f->p->in_len && memmem(f->p->in, f->p->in_len, f->text, strlen(f->text));
}
static void expect_text(owner *o, peer *p, const char *text) {
  find f = {p, text};
  if (!rig_run(&o->r, 5000000, found, &f)) fail_msg("no '%s' in: %.*s", text, (int)p->in_len, p->in ? p->in : "");
}
static unsigned count(peer *p, const char *text) {
  unsigned n = 0;
  for (char *q = p->in; q && (q = memmem(q, p->in_len - (size_t)(q - p->in), text, strlen(text))); q++) n++;
  return n;
}

#define BOTH(name)                       \
  static void name(bool real);           \
  static void name##_sim(void **st) {    \
    (void)st;                            \
    name(false);                         \
  }                                      \
  static void name##_linux(void **st) {  \
    (void)st;                            \
    name(true);                          \
  }                                      \
  static void name(bool real)

BOTH(test_keep_alive_and_pipelining_in_order) {
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){0});
  dial(&o, &p);
  peer_say(&p, LIT("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /4 HTTP/1.1\r\n"));
  for (wanted = 1; wanted <= 3; wanted++) {
    assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
    run_for(&o, 10000);
    assert_int_equal(o.n, wanted); /* one in work at a time */
    char body[8];
    int n = snprintf(body, sizeof body, "<%u>", wanted);
    assert_int_equal(http_reply(o.s, o.t[wanted - 1], 200, NULL, 0, body, (size_t)n), HDW_OK);
    assert_int_equal(http_reply(o.s, o.t[wanted - 1], 200, NULL, 0, body, (size_t)n), HDW_E_CLOSED);
  }
  assert_string_equal(o.path[1], "POST /2");
  assert_string_equal(o.body[1], "abc");
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &p));
  assert_int_equal(count(&p, "HTTP/1.1 200 OK\r\nDate: "), 3);
  const char *a = strstr(p.in, "<1>"), *b = strstr(p.in, "<2>"), *c = strstr(p.in, "<3>");
  assert_true(a && b && c && a < b && b < c);
  assert_int_equal(count(&p, "Connection: close"), 1);
  assert_int_equal(o.n, 3);
  peer_close(&p);
  run_for(&o, 50000);
  assert_int_equal(http_server_stats(o.s)->open, 0);
  assert_int_equal(http_server_stats(o.s)->active, 0);
  shut(&o);
}

/* The same request in pieces of 1 to 7 bytes and whole gives the same. */
BOTH(test_bodies_however_cut) {
  static const char in[] = "POST /chunks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nMSH|\r\n3;x=y\r\n^~\\\r\n0\r\nT: x\r\n\r\n"
                           "POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nlength\r\n"
                           "GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  owner o;
  peer p;
  for (size_t piece = 0; piece < 8; piece++) {
    open_with(&o, real, (http_server_opts){0});
    o.at_once = true;
    dial(&o, &p);
    p.piece = piece;
    peer_say(&p, in, sizeof in - 1);
    expect_text(&o, &p, "X-Path: /none");
    assert_int_equal(o.n, 3);
    assert_string_equal(o.path[0], "POST /chunks");
    assert_string_equal(o.body[0], "MSH|^~\\");
    assert_string_equal(o.body[1], "length");
    assert_string_equal(o.path[2], "GET /none");
    assert_int_equal(count(&p, "Connection: keep-alive"), 1);
    peer_close(&p);
    shut(&o);
  }
}

BOTH(test_H50_expect_continue) {
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){0});
  o.at_once = true;
  dial(&o, &p);
  peer_say(&p, LIT("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
  peer_expect(&o.r, &p, "HTTP/1.1 100 Continue\r\n\r\n");
  assert_int_equal(o.n, 0);
  peer_say(&p, LIT("body"));
  expect_text(&o, &p, "\r\n\r\nbody");
  peer_close(&p);
  shut(&o);
}

BOTH(test_H50_gzip) {
  owner o;
  peer p;
  char z[200], in[400];
  z_stream zs = {.next_in = (Bytef *)(uintptr_t) "MSH|^~\\&|zipped", .avail_in = 15, .next_out = (Bytef *)z, .avail_out = sizeof z};
  assert_int_equal(deflateInit2(&zs, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, 0), Z_OK);
  assert_int_equal(deflate(&zs, Z_FINISH), Z_STREAM_END);
  size_t zn = sizeof z - zs.avail_out;
  deflateEnd(&zs);
  int n = snprintf(in, sizeof in, "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", zn);
  memcpy(in + n, z, zn);
  open_with(&o, real, (http_server_opts){0});
  o.at_once = true;
  dial(&o, &p);
  peer_say(&p, in, (size_t)n + zn);
  expect_text(&o, &p, "MSH|^~\\&|zipped");
  in[n + 12] ^= 0x55;
  peer_say(&p, in, (size_t)n + zn);
  expect_text(&o, &p, "HTTP/1.1 400 Bad Request");
  assert_int_equal(o.n, 1);
  peer_close(&p);
  shut(&o);
}

/* What cannot be read in one way only is refused, the connection closed, and nobody sees it. */
BOTH(test_T8_refusals) {
  static const struct {
    const char *in;
    int status;
  } t[] = {{"GET / HTTP/1.1\r\n\r\n", 400}, {"GET / HTTP/1.1\nHost: h\n\n", 400}, {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400}, {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
           {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400}, {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2001\r\n\r\n", 413},
           {"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n", 413}, {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7d1\r\n", 0},
           {"\x16\x03\x01\x02\x00\x01", 400}, {"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: br\r\n\r\n", 415}};
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){.max_body_bytes = 2000});
  o.at_once = true;
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    char want[40];
    dial(&o, &p);
    peer_say(&p, t[i].in, strlen(t[i].in));
    if (!t[i].status) { /* the chunk's data makes it too long */
      static char big[2001];
      run_for(&o, 10000);
      memset(big, 'x', sizeof big);
      peer_say(&p, big, sizeof big);
    }
    snprintf(want, sizeof want, "HTTP/1.1 %d ", t[i].status ? t[i].status : 413);
    expect_text(&o, &p, want);
    assert_true(rig_run(&o.r, 5000000, peer_at_eof, &p));
    assert_int_equal(count(&p, "HTTP/1.1 "), 1);
    assert_int_equal(count(&p, "Connection: close"), 1);
    peer_close(&p);
  }
  assert_int_equal(o.n, 0);
  run_for(&o, 50000);
  assert_int_equal(http_server_stats(o.s)->open, 0);
  assert_int_equal(http_server_stats(o.s)->bad_requests, sizeof t / sizeof *t);
  shut(&o);
}

BOTH(test_refusal_before_the_body_is_read) {
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){.head = on_head});
  o.refuse = 401;
  dial(&o, &p);
  static char in[200000];
  memset(in, 'b', sizeof in);
  memcpy(in, LIT("POST /secret HTTP/1.1\r\nHost: h\r\nContent-Length: 199000\r\n\r\n"));
  peer_say(&p, in, sizeof in);
  expect_text(&o, &p, "HTTP/1.1 401 Unauthorized");
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &p));
  assert_int_equal(count(&p, "WWW-Authenticate: Basic realm=\"hdw\"\r\n"), 1);
  assert_int_equal(o.n, 0);
  assert_int_equal(o.heads, 1);
  peer_close(&p);
  o.refuse = 0;
  dial(&o, &p);
  peer_say(&p, LIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n")); /* the owner lowered the limit */
  expect_text(&o, &p, "HTTP/1.1 413 ");
  peer_close(&p);
  shut(&o);
}

BOTH(test_head_request_and_empty_statuses) {
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){0});
  dial(&o, &p);
  peer_say(&p, LIT("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\nGET /z HTTP/1.1\r\nHost: h\r\n\r\n"));
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(http_reply(o.s, o.t[0], 200, NULL, 0, "hidden", 6), HDW_OK);
  wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(http_reply(o.s, o.t[1], 204, NULL, 0, "hidden", 6), HDW_OK);
  wanted = 3;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  http_header bad = {{LIT("X")}, {LIT("a\r\nSet-Cookie: b")}};
  assert_int_equal(http_reply(o.s, o.t[2], 200, &bad, 1, "hidden", 6), HDW_E_INVALID);
  expect_text(&o, &p, "HTTP/1.1 500 Internal Server Error");
  run_for(&o, 20000);
  assert_int_equal(count(&p, "Content-Length: 6\r\n"), 1);
  assert_int_equal(count(&p, "hidden"), 0);
  assert_int_equal(count(&p, "Set-Cookie"), 0);
  assert_int_equal(count(&p, "HTTP/1.1 204 No Content\r\nDate"), 1);
  assert_int_equal(count(&p, "Content-Length: 0\r\n"), 1); /* of the 500 only */
  peer_close(&p);
  shut(&o);
}

BOTH(test_T7_slow_peers_meet_their_deadlines) {
  owner o;
  peer head, body, idle, drip;
  open_with(&o, real, (http_server_opts){.head_timeout_us = 60000, .body_timeout_us = 60000, .idle_timeout_us = 300000});
  o.at_once = true;
  dial(&o, &head);
  dial(&o, &body);
  dial(&o, &idle);
  dial(&o, &drip);
  peer_say(&head, LIT("GET / HTTP/1.1\r\nHo"));
  peer_say(&body, LIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"));
  static char slow[4000];
  memset(slow, 'x', sizeof slow);
  memcpy(slow, LIT("GET / HTTP/1.1\r\nX: "));
  drip.piece = 1; /* a byte now and then does not help */
  peer_say(&drip, slow, sizeof slow);
  assert_true(rig_run(&o.r, 250000, peer_at_eof, &head));
  assert_true(rig_run(&o.r, 250000, peer_at_eof, &body));
  assert_true(rig_run(&o.r, 250000, peer_at_eof, &drip) || drip.reset);
  assert_true(rig_run(&o.r, 1000000, peer_at_eof, &idle));
  const http_stats *st = http_server_stats(o.s);
  assert_int_equal(st->head_timeouts, 2);
  assert_int_equal(st->body_timeouts, 1);
  assert_int_equal(st->idle_timeouts, 1);
  assert_int_equal(st->open, 0);
  peer_close(&head);
  peer_close(&body);
  peer_close(&idle);
  peer_close(&drip);
  shut(&o);
}

BOTH(test_large_answers_wait_for_their_reader) {
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){.write_timeout_us = 200000});
  size_t n = 12 << 20;
  char *big = malloc(n);
  for (size_t i = 0; i < n; i++) big[i] = (char)('a' + i % 23);
  dial(&o, &p);
  peer_say(&p, LIT("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  p.deaf = true;
  peer_want(&p);
  assert_int_equal(http_reply(o.s, o.t[0], 200, NULL, 0, big, n), HDW_OK);
  run_for(&o, 100000);
  p.deaf = false;
  peer_want(&p);
  assert_true(rig_run(&o.r, 20000000, peer_at_eof, &p));
  char *b = memmem(p.in, p.in_len, "\r\n\r\n", 4);
  assert_true(b && p.in_len - (size_t)(b + 4 - p.in) == n);
  assert_memory_equal(b + 4, big, n);
  peer_close(&p);
  dial(&o, &p); /* one that never reads is given up */
  peer_say(&p, LIT("GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
  wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  p.deaf = true;
  peer_want(&p);
  assert_int_equal(http_reply(o.s, o.t[1], 200, NULL, 0, big, n), HDW_OK);
  run_for(&o, 1000000);
  assert_int_equal(http_server_stats(o.s)->write_timeouts, 1);
  assert_int_equal(http_server_stats(o.s)->open, 0);
  peer_close(&p);
  free(big);
  shut(&o);
}

BOTH(test_streams) {
  owner o;
  peer p, q;
  open_with(&o, real, (http_server_opts){.max_waiting_bytes = 100000});
  dial(&o, &p);
  peer_say(&p, LIT("GET /events HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n"));
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(http_stream_begin(o.s, o.t[0], 200, NULL, 0), HDW_OK);
  assert_int_equal(http_stream_write(o.s, o.t[0], "data: 1\n\n", 9), HDW_OK);
  expect_text(&o, &p, "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
  assert_int_equal(http_reply(o.s, o.t[0], 200, NULL, 0, NULL, 0), HDW_E_CLOSED);
  assert_int_equal(http_stream_end(o.s, o.t[0]), HDW_OK);
  expect_text(&o, &p, "\r\n0\r\n\r\n");
  wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_string_equal(o.path[1], "GET /next");
  assert_int_equal(http_stream_begin(o.s, o.t[1], 200, NULL, 0), HDW_OK);
  peer_close(&p); /* the reader leaves */
  assert_true(rig_run(&o.r, 5000000, is_gone, &o));
  assert_int_equal(http_stream_write(o.s, o.t[1], "x", 1), HDW_E_CLOSED);
  dial(&o, &q); /* HTTP/1.0: ended by closing; a reader that does not keep up is told */
  peer_say(&q, LIT("GET /old HTTP/1.0\r\n\r\n"));
  wanted = 3;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  q.deaf = true;
  peer_want(&q);
  assert_int_equal(http_stream_begin(o.s, o.t[2], 200, NULL, 0), HDW_OK);
  static char block[50000];
  memset(block, 'z', sizeof block);
  hdw_status s = HDW_OK;
  size_t sent = 0;
  for (int i = 0; i < 2000 && !s; i++, sent += s ? 0 : sizeof block) s = http_stream_write(o.s, o.t[2], block, sizeof block);
  assert_int_equal(s, HDW_E_FULL);
  q.deaf = false;
  peer_want(&q);
  assert_int_equal(http_stream_end(o.s, o.t[2]), HDW_OK);
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &q));
  assert_int_equal(count(&q, "chunked"), 0);
  char *b = memmem(q.in, q.in_len, "\r\n\r\n", 4);
  assert_true(b && q.in_len - (size_t)(b + 4 - q.in) == sent);
  peer_close(&q);
  shut(&o);
}

BOTH(test_the_owner_hears_of_lost_requests) {
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){0});
  dial(&o, &p);
  peer_say(&p, LIT("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  http_server_stop(o.s, false);
  assert_int_equal(o.gone, 1);
  assert_int_equal(http_reply(o.s, o.t[0], 200, NULL, 0, NULL, 0), HDW_E_CLOSED);
  assert_int_equal(http_server_stats(o.s)->active, 0);
  peer_close(&p);
  shut(&o);
  open_with(&o, real, (http_server_opts){0});
  o.close_inside = true;
  dial(&o, &p);
  peer_say(&p, LIT("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &p));
  assert_int_equal(o.n, 1);
  peer_close(&p);
  shut(&o);
}

BOTH(test_half_closed_peer_gets_its_answer) {
  owner o;
  peer p;
  open_with(&o, real, (http_server_opts){0});
  dial(&o, &p);
  p.end_after = true;
  peer_say(&p, LIT("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  run_for(&o, 30000);
  assert_int_equal(http_reply(o.s, o.t[0], 200, NULL, 0, "late", 4), HDW_OK);
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &p));
  assert_int_equal(count(&p, "late"), 1);
  peer_close(&p);
  run_for(&o, 50000);
  assert_int_equal(http_server_stats(o.s)->open, 0);
  shut(&o);
}

BOTH(test_pause_and_graceful_stop) {
  owner o;
  peer p, q;
  open_with(&o, real, (http_server_opts){0});
  dial(&o, &p);
  dial(&o, &q);
  run_for(&o, 20000);
  http_server_pause(o.s, true);
  peer_say(&p, LIT("GET /p HTTP/1.1\r\nHost: h\r\n\r\n"));
  run_for(&o, 50000);
  assert_int_equal(o.n, 0);
  http_server_pause(o.s, false);
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  http_server_stop(o.s, true);
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &q)); /* idle */
  assert_false(p.eof);
  assert_int_equal(http_reply(o.s, o.t[0], 200, NULL, 0, "bye", 3), HDW_OK);
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &p));
  assert_int_equal(count(&p, "bye"), 1);
  assert_int_equal(count(&p, "Connection: close"), 1);
  peer_close(&p);
  peer_close(&q);
  shut(&o);
}

static void oom_request(void *user, http_token t, const http_request *r) {
  owner *o = user;
  o->n++;
  (void)http_reply(o->s, t, 200, NULL, 0, r->body, r->body_len);
}

/* Every allocation fails once: no leak, no crash, no half answer taken for a whole one. */
static void test_T5_every_allocation_may_fail(void **st) {
  (void)st;
  static char in[60000];
  int head = snprintf(in, sizeof in, "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", sizeof in - 80);
  memset(in + head, 'b', sizeof in - (size_t)head);
  size_t n = (size_t)head + sizeof in - 80;
  unsigned good = 0;
  for (long at = 0; at < 40; at++) {
    owner o;
    peer p;
    memset(&o, 0, sizeof o);
    rig_init(&o.r, false, 9);
    http_server_opts opts = {.addr = loopback(), .request = oom_request, .user = &o};
    o.r.tm.fail_after = at;
    if (http_server_new(o.r.x, &opts, &o.s) == HDW_OK) {
      io_addr a;
      http_server_addr(o.s, &a);
      memset(&p, 0, sizeof p);
      p.r = &o.r;
      bool opened = io_connect(o.r.x, &a, peer_event, &p, &p.s) == HDW_OK;
      p.piece = 700;
      if (opened) peer_say(&p, in, n);
      rig_run(&o.r, 3000000, peer_at_eof, &p);
      char *b = p.in_len ? memmem(p.in, p.in_len, "\r\n\r\n", 4) : NULL;
      good += b && !memcmp(p.in, "HTTP/1.1 200", 12) && p.in_len - (size_t)(b + 4 - p.in) == sizeof in - 80;
      if (opened) peer_close(&p);
      http_server_free(o.s);
    }
    o.r.tm.fail_after = -1;
    rig_free(&o.r);
  }
  assert_true(good > 5 && good < 40);
}

#define TWO(n) cmocka_unit_test(n##_sim), cmocka_unit_test(n##_linux)
int main(void) {
  const struct CMUnitTest t[] = {TWO(test_keep_alive_and_pipelining_in_order), TWO(test_bodies_however_cut), TWO(test_H50_expect_continue), TWO(test_H50_gzip),
                                 TWO(test_T8_refusals), TWO(test_refusal_before_the_body_is_read), TWO(test_head_request_and_empty_statuses), TWO(test_T7_slow_peers_meet_their_deadlines),
                                 TWO(test_large_answers_wait_for_their_reader), TWO(test_streams), TWO(test_the_owner_hears_of_lost_requests), TWO(test_half_closed_peer_gets_its_answer),
                                 TWO(test_pause_and_graceful_stop), cmocka_unit_test(test_T5_every_allocation_may_fail)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
