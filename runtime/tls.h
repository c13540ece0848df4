/* tls.h - TLS over memory: ciphertext in, ciphertext out, no socket. OpenSSL with memory BIOs, so that the simulated seam carries it too.
 *
 * TLS 1.2 at least, no renegotiation, no compression, forward secrecy. A client always verifies the chain and the name; nothing here can switch it off.
 * A server can ask for client certificates; then a connection without a good one is refused in the handshake. */
#ifndef HDW_TLS_H
#define HDW_TLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

typedef struct tls_ctx tls_ctx;
typedef struct tls_conn tls_conn;

typedef struct tls_opts {
  bool server;
  const char *cert_pem;  /* own chain, leaf first, as text; NULL on a client without certificate */
  const char *key_pem;   /* its private key */
  const char *ca_pem;    /* trusted roots. Client: NULL = the system's. Server: NULL = no client certificates asked */
  const char *crl_pem;   /* revocation lists for ca_pem, NULL = none */
} tls_opts;
enum { TLS_NAME_BYTES = 256, TLS_NAMES_BYTES = 1024 };

/* text (>= 160 bytes, may be NULL) gets a reason without secrets. HDW_E_INVALID: certificate, key or roots unusable or not matching. */
hdw_status tls_ctx_new(const tls_opts *o, tls_ctx **out, char *text, size_t text_cap);
/* Unix seconds until which its own certificate is good; 0 = it has none. */
int64_t tls_ctx_expires(const tls_ctx *c);
/* Connections that use it keep it alive. */
void tls_ctx_free(tls_ctx *c);

/* host: name or address that the certificate must have (client). */
hdw_status tls_conn_new(tls_ctx *ctx, const char *host, tls_conn **out);
void tls_conn_free(tls_conn *c);
/* Ciphertext from the peer. HDW_E_NOMEM. */
hdw_status tls_input(tls_conn *c, const void *p, size_t len);
/* Runs the handshake as far as it goes: HDW_OK done, HDW_E_AGAIN, HDW_E_DENIED refused (certificate), HDW_E_IO otherwise broken. There may be output in each case. */
hdw_status tls_handshake(tls_conn *c);
/* HDW_OK with *got > 0, HDW_E_AGAIN, HDW_E_CLOSED after close_notify, HDW_E_IO. */
hdw_status tls_read(tls_conn *c, void *p, size_t cap, size_t *got);
/* Takes all of it, or HDW_E_IO. Only after the handshake. */
hdw_status tls_write(tls_conn *c, const void *p, size_t len);
/* Queues close_notify. */
void tls_end(tls_conn *c);
/* Ciphertext for the peer: bytes copied to p, 0 when there is none. */
size_t tls_output(tls_conn *c, void *p, size_t cap);
size_t tls_output_waiting(const tls_conn *c);
/* Text of the last failure ("certificate verify failed: ..."), a constant or kept in c; never NULL. */
const char *tls_why(const tls_conn *c);
/* First DNS, URI or e-mail subject alternative name of the peer's verified certificate, else ""; then its subject as one line. */
void tls_peer(const tls_conn *c, char san[TLS_NAME_BYTES], char subject[TLS_NAME_BYTES]);
/* All of these names, each followed by a line feed; a name that has no room is left out. */
void tls_peer_sans(const tls_conn *c, char sans[TLS_NAMES_BYTES]);
/* All of that of a certificate (an X509 of OpenSSL), whoever vouches for it. */
struct x509_st;
void tls_names_of(const struct x509_st *x, char san[TLS_NAME_BYTES], char subject[TLS_NAME_BYTES], char sans[TLS_NAMES_BYTES]);
#endif
