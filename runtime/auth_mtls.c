/* auth_mtls.c - the client certificate is the login: mtls() takes tls.cert and tls.key of the connection in hdw.json, mtls(cert: secret('...'), key: secret('...')) takes
 * secrets. Certificate and key are looked at when the connection is made, not when the first call fails. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "auth_token.h"
#include "http_curl.h"

enum { RSA_BITS = 2048, EC_BITS = 224 };

static int no_password(char *p, int n, int rw, void *user) {
  (void)p, (void)n, (void)rw, (void)user;
  return 0;
}

/* NULL: they belong together and may be used. */
static const char *look(const char *cert, const char *key, int64_t now_us) {
  BIO *cb = BIO_new_mem_buf(cert, -1), *kb = BIO_new_mem_buf(key, -1);
  X509 *x = cb ? PEM_read_bio_X509(cb, NULL, no_password, NULL) : NULL;
  EVP_PKEY *k = kb ? PEM_read_bio_PrivateKey(kb, NULL, no_password, NULL) : NULL;
  time_t now = (time_t)(now_us / 1000000);
  const char *why = NULL;
  if (!x) why = "the certificate is no certificate in PEM";
  else if (!k) why = strstr(key, "ENCRYPTED") ? "the key is protected by a password; openssl pkey -in key.pem -out plain.pem takes it away" : "the key is no private key in PEM";
  else if (X509_check_private_key(x, k) != 1) why = "certificate and key do not belong together (the certificate stands first, its authorities behind it)";
  else if (EVP_PKEY_get_bits(k) < (EVP_PKEY_is_a(k, "RSA") ? RSA_BITS : EC_BITS)) why = "the key is too small: RSA of 2048 bits or P-256 at least";
  else if (X509_cmp_time(X509_get0_notAfter(x), &now) < 0) why = "the certificate has expired";
  X509_free(x);
  EVP_PKEY_free(k);
  BIO_free(cb), BIO_free(kb);
  ERR_clear_error();
  return why;
}

static hdw_status setup(engine *e, eng_conn *c, val args, char text[ENG_TEXT]) {
  val cert = jv_get(args, "cert"), key = jv_get(args, "key");
  const char *cert_pem = c->cfg->cert_pem, *key_pem = c->cfg->key_pem, *ca_pem = c->cfg->ca_pem;
  if (cert.tag != VAL_EMPTY || key.tag != VAL_EMPTY) {
    const config_secret *s = eng_auth_file(e, cert, text), *k = s ? eng_auth_file(e, key, text) : NULL;
    if (!k) return HDW_E_INVALID;
    http_identity *who = (http_identity *)arena_zalloc(&e->a, 1, sizeof *who);
    if (!who) return HDW_E_NOMEM;
    cert_pem = s->value, key_pem = k->value;
    *who = (http_identity){cert_pem, key_pem, ca_pem};
    c->identity = who;
  }
  if (!cert_pem || !key_pem) {
    snprintf(text, ENG_TEXT, "auth: mtls: there is no client certificate: connections.%.60s.tls.cert and tls.key in hdw.json, or mtls(cert: secret(...), key: secret(...))", c->name);
    return HDW_E_INVALID;
  }
  if (!c->https) {
    snprintf(text, ENG_TEXT, "auth: mtls: base is http, where there are no certificates");
    return HDW_E_INVALID;
  }
  const char *why = look(cert_pem, key_pem, io_wall_us(e->io));
  if (why) snprintf(text, ENG_TEXT, "auth: mtls: %.180s", why);
  return why ? HDW_E_INVALID : HDW_OK;
}

static bool apply(eng_http *x) {
  (void)x;
  return true; /* the handshake has it */
}

const eng_auth_kind eng_auth_mtls = {.kind = "mtls", .setup = setup, .apply = apply};
