/* tls.c - TLS over memory BIOs with OpenSSL; see tls.h. */
#include "tls.h"
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tls_ctx {
  SSL_CTX *ssl;
  bool server;
};
struct tls_conn {
  SSL *ssl;
  BIO *in, *out;      /* owned by ssl */
  const char *why;
  bool server, done, ended;
};

static hdw_status bad(char *text, size_t cap, const char *what) {
  unsigned long e = ERR_peek_last_error();
  const char *r = e ? ERR_reason_error_string(e) : NULL;
  if (text && cap) snprintf(text, cap, "%s%s%s", what, r ? ": " : "", r ? r : "");
  ERR_clear_error();
  return HDW_E_INVALID;
}

/* Whether reading ended because nothing more begins in the text: damage is no end. */
static bool at_end(void) {
  unsigned long e = ERR_peek_last_error();
  bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

static bool use_chain(SSL_CTX *c, const char *pem) {
  BIO *b = BIO_new_mem_buf(pem, -1);
  X509 *leaf = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
  bool ok = leaf && SSL_CTX_use_certificate(c, leaf) == 1;
  X509_free(leaf);
  for (X509 *x; ok && (x = PEM_read_bio_X509(b, NULL, NULL, NULL));)
    if (SSL_CTX_add0_chain_cert(c, x) != 1) {
      X509_free(x);
      ok = false;
    }
  ok = ok && at_end();
  BIO_free(b);
  return ok;
}

/* A key with a passphrase is refused: there is nobody to ask. */
static int no_passphrase(char *buf, int size, int rw, void *u) {
  (void)buf, (void)size, (void)rw, (void)u;
  return -1;
}

static bool use_key(SSL_CTX *c, const char *pem) {
  BIO *b = BIO_new_mem_buf(pem, -1);
  EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
  bool ok = k && SSL_CTX_use_PrivateKey(c, k) == 1 && SSL_CTX_check_private_key(c) == 1;
  EVP_PKEY_free(k);
  BIO_free(b);
  return ok;
}

static bool add_roots(SSL_CTX *c, const char *ca, const char *crl, bool server) {
  X509_STORE *st = SSL_CTX_get_cert_store(c);
  BIO *b = BIO_new_mem_buf(ca, -1);
  bool ok = b != NULL;
  int n = 0;
  for (X509 *x; ok && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)); n++) {
    ok = X509_STORE_add_cert(st, x) == 1 && (!server || SSL_CTX_add_client_CA(c, x) == 1);
    X509_free(x);
  }
  BIO_free(b);
  if (!ok || !n || !at_end()) return false;
  if (!crl) return true;
  b = BIO_new_mem_buf(crl, -1);
  n = 0;
  for (X509_CRL *x; ok && b && (x = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL)); n++) {
    ok = X509_STORE_add_crl(st, x) == 1;
    X509_CRL_free(x);
  }
  BIO_free(b);
  return ok && n > 0 && at_end() && X509_STORE_set_flags(st, X509_V_FLAG_CRL_CHECK) == 1;
}

hdw_status tls_ctx_new(const tls_opts *o, tls_ctx **out, char *text, size_t cap) {
  *out = NULL;
  ERR_clear_error();
  if (o->server && (!o->cert_pem || !o->key_pem)) return bad(text, cap, "a server needs a certificate and a key");
  SSL_CTX *c = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());
  tls_ctx *t = c ? calloc(1, sizeof *t) : NULL;
  if (!t) {
    SSL_CTX_free(c);
    return HDW_E_NOMEM;
  }
  t->ssl = c;
  t->server = o->server;
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_SINGLE_ECDH_USE);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_max_early_data(c, 0);
  const char *what = NULL;
  if (o->cert_pem && !use_chain(c, o->cert_pem)) what = "certificate";
  else if (o->cert_pem && (!o->key_pem || !use_key(c, o->key_pem))) what = "private key";
  else if (o->ca_pem && !add_roots(c, o->ca_pem, o->crl_pem, o->server)) what = "trusted certificates";
  else if (!o->ca_pem && !o->server && SSL_CTX_set_default_verify_paths(c) != 1) what = "system certificates";
  if (what) {
    hdw_status s = bad(text, cap, what);
    tls_ctx_free(t);
    return s;
  }
  if (!o->server) SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
  else if (o->ca_pem) {
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_id_context(c, (const unsigned char *)"hdw", 3);
  }
  *out = t;
  return HDW_OK;
}

void tls_ctx_free(tls_ctx *c) {
  if (!c) return;
  SSL_CTX_free(c->ssl); /* counted: connections hold their own reference */
  free(c);
}

static bool set_host(SSL *s, const char *host) {
  unsigned char ip[16];
  SSL_set_hostflags(s, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s), host) == 1;
  return SSL_set1_host(s, host) == 1 && SSL_set_tlsext_host_name(s, host) == 1;
}

int64_t tls_ctx_expires(const tls_ctx *c) {
  X509 *x = c ? SSL_CTX_get0_certificate(c->ssl) : NULL;
  struct tm t;
  return x && ASN1_TIME_to_tm(X509_get0_notAfter(x), &t) ? (int64_t)timegm(&t) : 0;
}

hdw_status tls_conn_new(tls_ctx *ctx, const char *host, tls_conn **out) {
  *out = NULL;
  if (!ctx->server && (!host || !*host)) return HDW_E_INVALID; /* no name, no check: refused */
  tls_conn *c = calloc(1, sizeof *c);
  SSL *s = c ? SSL_new(ctx->ssl) : NULL;
  BIO *in = s ? BIO_new(BIO_s_mem()) : NULL, *o = in ? BIO_new(BIO_s_mem()) : NULL;
  if (!o || (!ctx->server && !set_host(s, host))) {
    BIO_free(in);
    BIO_free(o);
    SSL_free(s);
    free(c);
    ERR_clear_error();
    return HDW_E_NOMEM;
  }
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(s, in, o);
  if (ctx->server) SSL_set_accept_state(s);
  else SSL_set_connect_state(s);
  *c = (tls_conn){s, in, o, "", ctx->server, false, false};
  *out = c;
  return HDW_OK;
}

void tls_conn_free(tls_conn *c) {
  if (!c) return;
  SSL_free(c->ssl);
  free(c);
}

hdw_status tls_input(tls_conn *c, const void *p, size_t len) {
  if (len > INT32_MAX) return HDW_E_LIMIT;
  return !len || BIO_write(c->in, p, (int)len) == (int)len ? HDW_OK : HDW_E_NOMEM;
}

/* What an unsuccessful call means. Errors of the library are taken out of its queue, so that they do not leak into the next connection. */
static hdw_status outcome(tls_conn *c, int ret) {
  int e = SSL_get_error(c->ssl, ret);
  if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return HDW_E_AGAIN;
  if (e == SSL_ERROR_ZERO_RETURN) return HDW_E_CLOSED;
  unsigned long q = ERR_peek_error();
  long v = SSL_get_verify_result(c->ssl);
  bool cert = v != X509_V_OK || (q && (ERR_GET_REASON(q) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE || ERR_GET_REASON(q) == SSL_R_CERTIFICATE_VERIFY_FAILED));
  const char *r = q ? ERR_reason_error_string(q) : NULL;
  c->why = v != X509_V_OK ? X509_verify_cert_error_string(v) : r ? r : "TLS failure";
  ERR_clear_error();
  return cert ? HDW_E_DENIED : HDW_E_IO;
}

hdw_status tls_handshake(tls_conn *c) {
  if (c->done) return HDW_OK;
  ERR_clear_error();
  int r = SSL_do_handshake(c->ssl);
  if (r != 1) {
    hdw_status s = outcome(c, r);
    return s == HDW_E_CLOSED ? HDW_E_IO : s;
  }
  /* Belt and braces: OpenSSL has enforced both already. */
  if (!c->server && (SSL_get_verify_result(c->ssl) != X509_V_OK || !SSL_get0_peer_certificate(c->ssl))) {
    c->why = "certificate not verified";
    return HDW_E_DENIED;
  }
  c->done = true;
  return HDW_OK;
}

hdw_status tls_read(tls_conn *c, void *p, size_t cap, size_t *got) {
  *got = 0;
  ERR_clear_error();
  int r = SSL_read_ex(c->ssl, p, cap, got);
  if (r == 1) return HDW_OK;
  hdw_status s = outcome(c, r);
  return s == HDW_E_DENIED ? HDW_E_IO : s;
}

hdw_status tls_write(tls_conn *c, const void *p, size_t len) {
  size_t put = 0;
  if (!c->done || c->ended) return HDW_E_IO;
  if (!len) return HDW_OK;
  ERR_clear_error();
  if (SSL_write_ex(c->ssl, p, len, &put) == 1 && put == len) return HDW_OK; /* a memory BIO takes everything */
  outcome(c, 0);
  return HDW_E_IO;
}

void tls_end(tls_conn *c) {
  if (c->ended) return;
  c->ended = true;
  ERR_clear_error();
  if (c->done) SSL_shutdown(c->ssl);
  ERR_clear_error();
}

size_t tls_output(tls_conn *c, void *p, size_t cap) {
  int n = BIO_read(c->out, p, cap > INT32_MAX ? INT32_MAX : (int)cap);
  return n > 0 ? (size_t)n : 0;
}

size_t tls_output_waiting(const tls_conn *c) { return BIO_ctrl_pending(c->out); }

const char *tls_why(const tls_conn *c) { return c->why; }

/* A name with a control character or NUL in it is no name. */
static bool copy_name(char out[TLS_NAME_BYTES], const unsigned char *p, int n) {
  if (n <= 0 || n >= TLS_NAME_BYTES) return false;
  for (int i = 0; i < n; i++)
    if (p[i] < 0x20 || p[i] >= 0x7f) return false;
  memcpy(out, p, (size_t)n);
  out[n] = 0;
  return true;
}

void tls_names_of(const struct x509_st *x, char san[TLS_NAME_BYTES], char subject[TLS_NAME_BYTES], char sans[TLS_NAMES_BYTES]) {
  size_t len = 0;
  san[0] = subject[0] = sans[0] = 0;
  GENERAL_NAMES *g = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; g && i < sk_GENERAL_NAME_num(g); i++) {
    int type;
    char one[TLS_NAME_BYTES];
    ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(g, i), &type);
    if ((type != GEN_DNS && type != GEN_URI && type != GEN_EMAIL) || !copy_name(one, ASN1_STRING_get0_data(s), ASN1_STRING_length(s))) continue;
    size_t n = strlen(one);
    if (!san[0]) memcpy(san, one, n + 1);
    if (len + n + 2 > TLS_NAMES_BYTES) continue;
    memcpy(sans + len, one, n);
    len += n;
    sans[len++] = '\n';
    sans[len] = 0;
  }
  GENERAL_NAMES_free(g);
  BIO *b = BIO_new(BIO_s_mem());
  char *p;
  if (b && X509_NAME_print_ex(b, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0) {
    long n = BIO_get_mem_data(b, &p);
    if (n >= TLS_NAME_BYTES || !copy_name(subject, (const unsigned char *)p, (int)n)) subject[0] = 0;
  }
  BIO_free(b);
  ERR_clear_error();
}

/* NULL: there is none, or nobody vouches for it. */
static X509 *verified(const tls_conn *c) {
  X509 *x = c && c->done ? SSL_get0_peer_certificate(c->ssl) : NULL;
  return x && SSL_get_verify_result(c->ssl) == X509_V_OK ? x : NULL;
}

void tls_peer(const tls_conn *c, char san[TLS_NAME_BYTES], char subject[TLS_NAME_BYTES]) {
  char sans[TLS_NAMES_BYTES];
  X509 *x = verified(c);
  san[0] = subject[0] = 0;
  if (x) tls_names_of(x, san, subject, sans);
}

void tls_peer_sans(const tls_conn *c, char sans[TLS_NAMES_BYTES]) {
  char san[TLS_NAME_BYTES], subject[TLS_NAME_BYTES];
  X509 *x = verified(c);
  sans[0] = 0;
  if (x) tls_names_of(x, san, subject, sans);
}
