/* TLS of listeners and clients over memory: who is let in, who is refused, and the same on both sides of the seam. */
#include "net_rig.h"
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "http.h"
#include "http_curl.h"
#include "mllp.h"

#define S "\x0b"
#define E "\x1c\x0d"

/* ---- certificates made for the test ---- */

typedef struct made {
  EVP_PKEY *key;
  X509 *cert;
  char *cert_pem, *key_pem;
} made;

static char *take_pem(BIO *b) {
  char *p, *copy;
  long n = BIO_get_mem_data(b, &p);
  copy = malloc((size_t)n + 1);
  memcpy(copy, p, (size_t)n);
  copy[n] = 0;
  BIO_free(b);
  return copy;
}
static void extension(X509 *x, X509 *issuer, int nid, const char *value) {
  X509V3_CTX c;
  X509V3_set_ctx(&c, issuer, x, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
  assert_non_null(e);
  X509_add_ext(x, e, -1);
  X509_EXTENSION_free(e);
}
/* from, to: seconds from now. issuer NULL: a root. */
static made make_cert(const char *name, const char *san, made *issuer, long from, long to) {
  static int serial;
  made m;
  m.key = EVP_EC_gen("P-256");
  m.cert = X509_new();
  X509_set_version(m.cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(m.cert), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(m.cert), from);
  X509_gmtime_adj(X509_getm_notAfter(m.cert), to);
  X509_set_pubkey(m.cert, m.key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(m.cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
  X509_set_issuer_name(m.cert, X509_get_subject_name(issuer ? issuer->cert : m.cert));
  extension(m.cert, issuer ? issuer->cert : m.cert, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
  if (san) extension(m.cert, issuer ? issuer->cert : m.cert, NID_subject_alt_name, san);
  assert_true(X509_sign(m.cert, issuer ? issuer->key : m.key, EVP_sha256()) > 0);
  BIO *b = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(b, m.cert);
  m.cert_pem = take_pem(b);
  b = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(b, m.key, NULL, NULL, 0, NULL, NULL);
  m.key_pem = take_pem(b);
  return m;
}
static void free_made(made *m) {
  EVP_PKEY_free(m->key);
  X509_free(m->cert);
  free(m->cert_pem);
  free(m->key_pem);
}

static made ca, other_ca, server, client, foreign, expired, future, wrong_name;
static int make_all(void **st) {
  (void)st;
  ca = make_cert("Test Root", NULL, NULL, -100, 10000);
  other_ca = make_cert("Other Root", NULL, NULL, -100, 10000);
  server = make_cert("server", "DNS:hub.example,IP:127.0.0.1", &ca, -100, 10000);
  client = make_cert("sender-a", "DNS:lab.example", &ca, -100, 10000);
  foreign = make_cert("foreign", "DNS:hub.example", &other_ca, -100, 10000);
  expired = make_cert("expired", "DNS:hub.example", &ca, -1000, -10);
  future = make_cert("future", "DNS:hub.example", &ca, 1000, 10000);
  wrong_name = make_cert("hub.example", "DNS:other.example", &ca, -100, 10000); /* the common name alone does not count */
  return 0;
}
static int free_all(void **st) {
  (void)st;
  made *all[] = {&ca, &other_ca, &server, &client, &foreign, &expired, &future, &wrong_name};
  for (size_t i = 0; i < 8; i++) free_made(all[i]);
  return 0;
}

static tls_ctx *context(bool is_server, const made *own, const made *roots) {
  tls_ctx *c;
  char text[160] = "";
  tls_opts o = {.server = is_server, .cert_pem = own ? own->cert_pem : NULL, .key_pem = own ? own->key_pem : NULL, .ca_pem = roots ? roots->cert_pem : NULL};
  if (tls_ctx_new(&o, &c, text, sizeof text)) fail_msg("%s", text);
  return c;
}

/* ---- one message over TLS ---- */

typedef struct run {
  rig r;
  mllp_listener *l;
  unsigned frames, done;
  hdw_status s;
  bool sent;
  char san[64], subject[64], answer[64];
} run;

static void on_frame(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  run *x = user;
  x->frames++;
  snprintf(x->san, sizeof x->san, "%s", from->san);
  snprintf(x->subject, sizeof x->subject, "%s", from->subject);
  mllp_reply(x->l, t, p, len);
}
static void on_sent(void *user, hdw_status s, bool sent, const uint8_t *p, size_t len) {
  run *x = user;
  x->done++;
  x->s = s;
  x->sent = sent;
  snprintf(x->answer, sizeof x->answer, "%.*s", (int)(len < 60 ? len : 60), len ? (const char *)p : "");
}
static bool is_done(void *user) { return ((run *)user)->done > 0; }

/* Status of a send by a client with certificate own trusting roots, to a listener with certificate of that trusts wants (NULL: asks for none). */
static hdw_status send_over(run *x, bool real, const made *of, const made *wants, const made *own, const made *roots, const char *host, const char *text, size_t len) {
  memset(x, 0, sizeof *x);
  rig_init(&x->r, real, 3);
  tls_ctx *st = context(true, of, wants), *ct = context(false, own, roots);
  mllp_client *c;
  mllp_listener_opts lo = {.addr = loopback(), .tls = st, .frame = on_frame, .user = x};
  assert_int_equal(mllp_listener_new(x->r.x, &lo, &x->l), HDW_OK);
  mllp_client_opts co = {.tls = ct, .host = host, .reply_timeout_us = 3000000, .max_frame_bytes = 4 << 20};
  mllp_listener_addr(x->l, &co.addr);
  assert_int_equal(mllp_client_new(x->r.x, &co, &c), HDW_OK);
  for (int i = 0; i < 2 && !x->s; i++) { /* twice: the connection is kept */
    x->done = 0;
    assert_int_equal(mllp_client_send(c, text, len, NULL, on_sent, x), HDW_OK);
    assert_true(rig_run(&x->r, 8000000, is_done, x));
  }
  if (!x->s) assert_int_equal(mllp_listener_stats(x->l)->accepted, 1);
  if (x->s) assert_int_equal(x->frames, 0);
  mllp_client_free(c);
  rig_run(&x->r, 20000, NULL, NULL);
  assert_int_equal(mllp_listener_stats(x->l)->open, 0);
  mllp_listener_free(x->l);
  tls_ctx_free(st);
  tls_ctx_free(ct);
  rig_free(&x->r);
  return x->s;
}

static void test_H12_mutual_tls(void **st) {
  (void)st;
  run x;
  for (int real = 0; real < 2; real++) {
    assert_int_equal(send_over(&x, real, &server, &ca, &client, &ca, "hub.example", LIT("hello")), HDW_OK);
    assert_string_equal(x.answer, "hello");
    assert_string_equal(x.san, "lab.example");
    assert_string_equal(x.subject, "CN=sender-a");
    assert_int_equal(x.frames, 2);
    assert_int_equal(send_over(&x, real, &server, NULL, NULL, &ca, "127.0.0.1", LIT("hello")), HDW_OK);
    assert_string_equal(x.san, "");
    assert_string_equal(x.subject, "");
  }
}

/* ---- a listener that is short of something, and connections whose handshake is not over ---- */

static void *no_room_for_names(mem *m, size_t len) {
  test_mem *t = m->user;
  if (len == 2 * TLS_NAME_BYTES + TLS_NAMES_BYTES) return NULL;
  void *p = malloc(len);
  if (p) t->live_bytes += len;
  return p;
}

static bool poor;
static void *ssl_malloc(size_t n, const char *file, int line) { return (void)file, (void)line, poor ? NULL : malloc(n); }
static void *ssl_realloc(void *p, size_t n, const char *file, int line) { return (void)file, (void)line, poor ? NULL : realloc(p, n); }
static void ssl_free(void *p, const char *file, int line) {
  (void)file, (void)line;
  free(p);
}

typedef struct pair {
  run x;
  tls_ctx *st, *ct;
  mllp_client *c;
  io_addr addr;
} pair;
static void pair_open(pair *p) {
  memset(p, 0, sizeof *p);
  rig_init(&p->x.r, false, 3);
  p->st = context(true, &server, &ca), p->ct = context(false, &client, &ca);
  mllp_listener_opts lo = {.addr = loopback(), .tls = p->st, .frame = on_frame, .user = &p->x};
  assert_int_equal(mllp_listener_new(p->x.r.x, &lo, &p->x.l), HDW_OK);
  mllp_listener_addr(p->x.l, &p->addr);
  mllp_client_opts co = {.tls = p->ct, .host = "hub.example", .reply_timeout_us = 3000000, .max_frame_bytes = 1 << 20, .addr = p->addr};
  assert_int_equal(mllp_client_new(p->x.r.x, &co, &p->c), HDW_OK);
}
static void pair_close(pair *p) {
  mllp_client_free(p->c);
  mllp_listener_free(p->x.l);
  tls_ctx_free(p->st);
  tls_ctx_free(p->ct);
  rig_free(&p->x.r);
}
static hdw_status pair_send(pair *p) {
  p->x.done = 0;
  assert_int_equal(mllp_client_send(p->c, LIT("hello"), NULL, on_sent, &p->x), HDW_OK);
  assert_true(rig_run(&p->x.r, 8000000, is_done, &p->x));
  return p->x.s;
}

/* Whoever cannot be named, or be spoken to, is nobody: the connection ends, and the next one is taken. */
static void test_H12_without_memory_for_it_a_connection_is_not_taken(void **st) {
  (void)st;
  pair p;
  peer plain;
  pair_open(&p);
  void *(*get)(mem *, size_t) = p.x.r.tm.m.get;
  p.x.r.tm.m.get = no_room_for_names;
  assert_int_not_equal(pair_send(&p), HDW_OK);
  assert_int_equal(p.x.frames, 0);
  assert_int_equal(mllp_listener_stats(p.x.l)->open, 0);
  p.x.r.tm.m.get = get;
  uint64_t refused = mllp_listener_stats(p.x.l)->refused;
  poor = true;
  peer_open(&plain, &p.x.r, &p.addr);
  rig_run(&p.x.r, 20000, NULL, NULL);
  poor = false;
  assert_int_equal(mllp_listener_stats(p.x.l)->refused, refused + 1);
  assert_int_equal(mllp_listener_stats(p.x.l)->open, 0);
  assert_true(plain.eof || plain.reset);
  peer_close(&plain);
  rig_run(&p.x.r, 5000000, NULL, NULL);
  assert_int_equal(pair_send(&p), HDW_OK);
  assert_string_equal(p.x.san, "lab.example");
  pair_close(&p);
}

/* Paused and let go, an open connection stays and one in its handshake is left alone; stopped, the second one has nothing to wait for. */
static void test_H12_pause_and_stop_beside_a_handshake(void **st) {
  (void)st;
  for (int graceful = 0; graceful < 2; graceful++) {
    pair p;
    peer plain;
    pair_open(&p);
    assert_int_equal(pair_send(&p), HDW_OK);
    peer_open(&plain, &p.x.r, &p.addr);
    rig_run(&p.x.r, 20000, NULL, NULL);
    assert_int_equal(mllp_listener_stats(p.x.l)->open, 2);
    mllp_listener_pause(p.x.l, true);
    mllp_listener_pause(p.x.l, false);
    assert_int_equal(pair_send(&p), HDW_OK);
    assert_int_equal(p.x.frames, 2);
    mllp_listener_stop(p.x.l, graceful);
    assert_int_equal(mllp_listener_stats(p.x.l)->open, graceful);
    rig_run(&p.x.r, 3000000, NULL, NULL);
    assert_int_equal(mllp_listener_stats(p.x.l)->open, 0);
    peer_close(&plain);
    pair_close(&p);
  }
}

static void test_large_messages_cross_records(void **st) {
  (void)st;
  run x;
  size_t n = 3 << 20;
  char *big = malloc(n);
  for (size_t i = 0; i < n; i++) big[i] = (char)('a' + i % 25);
  for (int real = 0; real < 2; real++) assert_int_equal(send_over(&x, real, &server, &ca, &client, &ca, "hub.example", big, n), HDW_OK);
  free(big);
}

/* Each bad certificate is refused before a byte of the message is out. */
static void test_S36_bad_certificates(void **st) {
  (void)st;
  run x;
  const made *bad[] = {&foreign, &expired, &future, &wrong_name};
  for (int real = 0; real < 2; real++) {
    for (int i = 0; i < 4; i++) {
      assert_int_equal(send_over(&x, real, bad[i], NULL, NULL, &ca, "hub.example", LIT("secret")), HDW_E_DENIED);
      assert_false(x.sent);
    }
    assert_int_equal(send_over(&x, real, &server, NULL, NULL, &ca, "other.example", LIT("secret")), HDW_E_DENIED);
    assert_int_equal(send_over(&x, real, &server, NULL, NULL, &ca, "127.0.0.2", LIT("secret")), HDW_E_DENIED);
    assert_int_equal(send_over(&x, real, &server, NULL, NULL, &other_ca, "hub.example", LIT("secret")), HDW_E_DENIED);
    assert_int_equal(send_over(&x, real, &server, NULL, NULL, NULL, "hub.example", LIT("secret")), HDW_E_DENIED); /* the system's roots do not know ours */
    const made *bad_client[] = {NULL, &foreign, &expired, &future};
    for (int i = 0; i < 4; i++) assert_int_not_equal(send_over(&x, real, &server, &ca, bad_client[i], &ca, "hub.example", LIT("secret")), HDW_OK);
  }
}

static void test_contexts_refuse_bad_material(void **st) {
  (void)st;
  tls_ctx *c;
  char text[160];
  const tls_opts bad[] = {{.server = true}, {.server = true, .cert_pem = server.cert_pem}, {.server = true, .cert_pem = server.cert_pem, .key_pem = client.key_pem}, {.server = true, .cert_pem = "x", .key_pem = server.key_pem},
                          {.cert_pem = client.cert_pem}, {.ca_pem = ""}, {.ca_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, {.ca_pem = ca.cert_pem, .crl_pem = "x"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    text[0] = 0;
    assert_int_equal(tls_ctx_new(&bad[i], &c, text, sizeof text), HDW_E_INVALID);
    assert_true(text[0] != 0);
    assert_null(c);
    assert_null(strstr(text, "PRIVATE"));
  }
  /* Damage behind the first one is no end of the text: a chain or a list of roots is not cut silently. */
  static char two[1 << 14];
  const tls_opts cut[] = {{.server = true, .cert_pem = two, .key_pem = server.key_pem}, {.ca_pem = two}};
  for (size_t i = 0; i < 2; i++) {
    snprintf(two, sizeof two, "%s%s", i ? ca.cert_pem : server.cert_pem, other_ca.cert_pem);
    assert_int_equal(tls_ctx_new(&cut[i], &c, text, sizeof text), HDW_OK);
    tls_ctx_free(c);
    char *second = strstr(two + 30, "-----BEGIN");
    memcpy(second + 60, "!!!!", 4);
    assert_int_equal(tls_ctx_new(&cut[i], &c, text, sizeof text), HDW_E_INVALID);
    second[strlen(second) - 40] = 0; /* without its end */
    assert_int_equal(tls_ctx_new(&cut[i], &c, text, sizeof text), HDW_E_INVALID);
  }
  c = context(false, NULL, &ca);
  tls_conn *t;
  assert_int_equal(tls_conn_new(c, NULL, &t), HDW_E_INVALID); /* no name, no check: refused */
  assert_int_equal(tls_conn_new(c, "", &t), HDW_E_INVALID);
  tls_ctx_free(c);
}

/* ---- evil peers, over memory alone ---- */

/* Moves what either side has to say; the other side here is plain OpenSSL. */
static void pump(tls_conn *c, SSL *o) {
  char b[4096];
  size_t n;
  int k;
  while ((n = tls_output(c, b, sizeof b)) > 0) BIO_write(SSL_get_rbio(o), b, (int)n);
  while ((k = BIO_read(SSL_get_wbio(o), b, sizeof b)) > 0) tls_input(c, b, (size_t)k);
}
static SSL *opponent(SSL_CTX **ctx, int max_version) {
  *ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(*ctx, 0);
  SSL_CTX_set_min_proto_version(*ctx, TLS1_VERSION);
  if (max_version) SSL_CTX_set_max_proto_version(*ctx, max_version);
  SSL *o = SSL_new(*ctx);
  SSL_set_bio(o, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(o);
  return o;
}
static hdw_status meet(tls_conn *c, SSL *o) {
  hdw_status s = HDW_E_AGAIN;
  for (int i = 0; i < 20 && s == HDW_E_AGAIN; i++) {
    SSL_do_handshake(o);
    pump(c, o);
    s = tls_handshake(c);
    pump(c, o);
  }
  SSL_do_handshake(o); /* our last flight */
  pump(c, o);
  return s;
}

static void test_old_versions_are_refused(void **st) {
  (void)st;
  const int version[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
  for (int i = 0; i < 4; i++) {
    tls_ctx *ctx = context(true, &server, NULL);
    tls_conn *c;
    SSL_CTX *octx;
    SSL *o = opponent(&octx, version[i]);
    assert_int_equal(tls_conn_new(ctx, NULL, &c), HDW_OK);
    tls_ctx_free(ctx); /* the connection keeps it */
    assert_int_equal(meet(c, o), i < 2 ? HDW_E_IO : HDW_OK);
    if (i < 2) assert_true(tls_why(c)[0] != 0);
    tls_conn_free(c);
    SSL_free(o);
    SSL_CTX_free(octx);
  }
}

static void test_renegotiation_is_refused(void **st) {
  (void)st;
  tls_ctx *ctx = context(true, &server, NULL);
  tls_conn *c;
  SSL_CTX *octx;
  SSL *o = opponent(&octx, TLS1_2_VERSION);
  char b[100];
  size_t n;
  assert_int_equal(tls_conn_new(ctx, NULL, &c), HDW_OK);
  assert_int_equal(meet(c, o), HDW_OK);
  char before[64] = {0}, after[64] = {0};
  assert_true(SSL_get_peer_finished(o, before, sizeof before) > 0);
  assert_int_equal(SSL_renegotiate(o), 1);
  for (int i = 0; i < 8; i++) {
    SSL_do_handshake(o);
    pump(c, o);
    assert_int_not_equal(tls_read(c, b, sizeof b, &n), HDW_OK);
    pump(c, o);
  }
  SSL_get_peer_finished(o, after, sizeof after);
  assert_memory_equal(before, after, sizeof before); /* no second handshake was finished */
  tls_conn_free(c);
  SSL_free(o);
  SSL_CTX_free(octx);
  tls_ctx_free(ctx);
}

static void test_garbage_and_cut_off_ends(void **st) {
  (void)st;
  tls_ctx *ctx = context(true, &server, NULL);
  tls_conn *c;
  char b[100];
  size_t n;
  static const char *const noise[] = {"GET / HTTP/1.1\r\n\r\n", S "MSH|^~\\&|" E, "\x16\x03\x01\xff\xff garbage garbage garbage", "\x16\x03\x03\x00\x04\x01\x00\x00\x00"};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(tls_conn_new(ctx, NULL, &c), HDW_OK);
    tls_input(c, noise[i], i == 3 ? 9 : strlen(noise[i]));
    hdw_status s = tls_handshake(c);
    assert_true(s == HDW_E_IO || (s == HDW_E_AGAIN && i >= 2));
    assert_int_equal(tls_write(c, "x", 1), HDW_E_IO);
    tls_conn_free(c);
  }
  SSL_CTX *octx;
  SSL *o = opponent(&octx, 0);
  assert_int_equal(tls_conn_new(ctx, NULL, &c), HDW_OK);
  assert_int_equal(meet(c, o), HDW_OK);
  SSL_write(o, "part", 4);
  pump(c, o);
  assert_int_equal(tls_read(c, b, sizeof b, &n), HDW_OK);
  assert_int_equal(n, 4);
  assert_int_equal(tls_read(c, b, sizeof b, &n), HDW_E_AGAIN); /* silence is not an end */
  SSL_shutdown(o);
  pump(c, o);
  assert_int_equal(tls_read(c, b, sizeof b, &n), HDW_E_CLOSED); /* close_notify is */
  tls_end(c);
  assert_int_equal(tls_write(c, "x", 1), HDW_E_IO);
  tls_conn_free(c);
  SSL_free(o);
  SSL_CTX_free(octx);
  tls_ctx_free(ctx);
}

/* ---- a plain peer at a TLS listener; a slow hello ---- */

static void test_T7_handshake_deadline(void **st) {
  (void)st;
  for (int real = 0; real < 2; real++) {
    run x;
    peer silent, noisy, drip;
    memset(&x, 0, sizeof x);
    rig_init(&x.r, real, 5);
    tls_ctx *t = context(true, &server, NULL);
    mllp_listener_opts lo = {.addr = loopback(), .tls = t, .frame = on_frame, .user = &x, .frame_timeout_us = 80000};
    assert_int_equal(mllp_listener_new(x.r.x, &lo, &x.l), HDW_OK);
    io_addr a;
    mllp_listener_addr(x.l, &a);
    peer_open(&silent, &x.r, &a);
    peer_open(&noisy, &x.r, &a);
    peer_open(&drip, &x.r, &a);
    peer_say(&noisy, LIT(S "MSH|^~\\&|" E));
    drip.piece = 1;
    static char hello[3000] = "\x16\x03\x01\x0b\xb0\x01\x00\x0b\xac\x03\x03";
    peer_say(&drip, hello, sizeof hello);
    assert_true(rig_run(&x.r, 3000000, peer_at_eof, &noisy) || noisy.reset);
    assert_true(rig_run(&x.r, 3000000, peer_at_eof, &silent));
    assert_true(rig_run(&x.r, 3000000, peer_at_eof, &drip) || drip.reset);
    assert_int_equal(x.frames, 0);
    assert_int_equal(mllp_listener_stats(x.l)->open, 0);
    assert_int_equal(mllp_listener_stats(x.l)->tls_failures, 1);
    peer_close(&silent);
    peer_close(&noisy);
    peer_close(&drip);
    mllp_listener_free(x.l);
    tls_ctx_free(t);
    rig_free(&x.r);
  }
}

/* ---- HTTPS: our server, libcurl as client ---- */

typedef struct web {
  rig r;
  http_server *s;
  unsigned done;
  hdw_status st;
  int code;
  bool sent;
  char san[64];
} web;
static void serve(void *user, http_token t, const http_request *r) {
  web *w = user;
  snprintf(w->san, sizeof w->san, "%s", r->san);
  http_reply(w->s, t, 200, NULL, 0, r->body, r->body_len);
}
static void answered(const io_http_res *res, void *user) {
  web *w = user;
  w->done++;
  w->st = res->status;
  w->code = res->code;
  w->sent = res->sent;
}
static bool web_done(void *user) { return ((web *)user)->done > 0; }

static hdw_status https(web *w, const made *of, const made *wants, const http_identity *who, const char *host) {
  memset(w, 0, sizeof *w);
  rig_init(&w->r, true, 1);
  tls_ctx *t = context(true, of, wants);
  http_server_opts o = {.addr = loopback(), .request = serve, .user = w, .tls = t};
  assert_int_equal(http_server_new(w->r.x, &o, &w->s), HDW_OK);
  io_addr at;
  http_server_addr(w->s, &at);
  static char body[200000];
  memset(body, 'b', sizeof body);
  io_http_req q = {.method = "POST", .https = true, .host = host, .port = at.port, .target = "/in", .body = body, .body_len = sizeof body, .pin = &at, .npin = 1, .tls = who, .timeout_us = 5000000};
  for (int i = 0; i < 3 && !w->st; i++) {
    w->done = 0;
    assert_int_equal(io_http_request(w->r.x, &q, answered, w, NULL), HDW_OK);
    assert_true(rig_run(&w->r, 8000000, web_done, w));
  }
  if (!w->st) assert_int_equal(http_server_stats(w->s)->accepted, 1);
  else assert_int_equal(http_server_stats(w->s)->requests, 0);
  http_server_free(w->s);
  tls_ctx_free(t);
  rig_free(&w->r);
  return w->st;
}

static void test_https_client_and_server(void **st) {
  (void)st;
  web w;
  http_identity trusts = {.ca_pem = ca.cert_pem}, known = {.ca_pem = ca.cert_pem, .cert_pem = client.cert_pem, .key_pem = client.key_pem}, odd = {.ca_pem = ca.cert_pem, .cert_pem = foreign.cert_pem, .key_pem = foreign.key_pem};
  assert_int_equal(https(&w, &server, NULL, &trusts, "hub.example"), HDW_OK);
  assert_int_equal(w.code, 200);
  assert_int_equal(https(&w, &server, &ca, &known, "hub.example"), HDW_OK);
  assert_string_equal(w.san, "lab.example");
  assert_int_not_equal(https(&w, &server, &ca, &trusts, "hub.example"), HDW_OK);
  assert_int_not_equal(https(&w, &server, &ca, &odd, "hub.example"), HDW_OK);
  const made *bad[] = {&foreign, &expired, &future, &wrong_name};
  for (int i = 0; i < 4; i++) {
    assert_int_equal(https(&w, bad[i], NULL, &trusts, "hub.example"), HDW_E_DENIED);
    assert_false(w.sent);
  }
  assert_int_equal(https(&w, &server, NULL, &trusts, "other.example"), HDW_E_DENIED);
  assert_int_equal(https(&w, &server, NULL, NULL, "hub.example"), HDW_E_DENIED);
}

int main(void) {
  if (!CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free)) return 1; /* before anything of it is allocated */
  const struct CMUnitTest t[] = {cmocka_unit_test(test_H12_mutual_tls), cmocka_unit_test(test_large_messages_cross_records), cmocka_unit_test(test_S36_bad_certificates), cmocka_unit_test(test_contexts_refuse_bad_material),
                                 cmocka_unit_test(test_old_versions_are_refused), cmocka_unit_test(test_renegotiation_is_refused), cmocka_unit_test(test_garbage_and_cut_off_ends), cmocka_unit_test(test_T7_handshake_deadline),
                                 cmocka_unit_test(test_https_client_and_server), cmocka_unit_test(test_H12_without_memory_for_it_a_connection_is_not_taken),
                                 cmocka_unit_test(test_H12_pause_and_stop_beside_a_handshake)};
  return cmocka_run_group_tests(t, make_all, free_all);
}
