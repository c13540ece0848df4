/* jwt.h - signed tokens (RFC 7515, 7517, 7519): assertions that we sign, tokens of others that we check, keys of both. All cryptography is OpenSSL's.
 *
 * Known algorithms: RS256, RS384 (RSA of 2048 bits and more), ES256 (P-256), ES384 (P-384). No other is ever accepted, whatever a token says: the algorithm belongs
 * to the key, and a token that names another one is refused (RFC 8725 3.1). */
#ifndef HDW_JWT_H
#define HDW_JWT_H
#include "arena.h"
#include "value.h"

enum { JWT_MAX_BYTES = 16384, JWT_DEPTH = 8, JWT_KID = 129, JWT_MAX_KEYS = 32, JWT_RSA_BITS = 2048, JWT_RSA_MAX_BITS = 16384, JWT_TEXT = 160 };

typedef enum jwt_alg { JWT_RS256, JWT_RS384, JWT_ES256, JWT_ES384, JWT_ALGS } jwt_alg;
const char *jwt_alg_name(jwt_alg a);
bool jwt_alg_find(const char *name, jwt_alg *out);

typedef struct jwt_key {
  struct evp_pkey_st *pkey;  /* NULL = none */
  jwt_alg alg;
  bool any_hash;             /* RSA of others without an alg: RS256 and RS384 */
  char kid[JWT_KID];         /* ours: RFC 7638 thumbprint unless set otherwise */
} jwt_key;

/* ---- our own keys */
/* A private key: PEM without a password, a JWK (RFC 7517: RSA, P-256, P-384), or a JWK Set of one. alg: JWT_ALGS = what the JWK says, else RS384 or ES384, as the key
 * is. kid is that of the JWK, or "". HDW_E_INVALID with a text that says what is wrong and what would be right, and nothing of the key. */
hdw_status jwt_key_private(jwt_key *k, mem *m, const char *key, size_t len, jwt_alg alg, char text[JWT_TEXT]);
/* Sets kid to the key's thumbprint (RFC 7638). */
hdw_status jwt_key_name(jwt_key *k, mem *m);
void jwt_key_free(jwt_key *k);
/* The public key as a JWK: kty, use, alg, kid, key_ops and what the key is; never a private member. */
hdw_status jwt_jwk(const jwt_key *k, buf *out);
/* claims (JSON text) signed: HEADER.CLAIMS.SIGNATURE in compact form, with a NUL. */
hdw_status jwt_sign(const jwt_key *k, const char *claims, size_t len, buf *out);

/* ---- keys and tokens of others */
typedef struct jwt_keys {
  jwt_key v[JWT_MAX_KEYS];
  unsigned n;
} jwt_keys;
/* A JWK Set. Keys for encryption and of other kinds are left out; weak and private ones are errors. why: constant text. HDW_E_INVALID. */
hdw_status jwt_keys_read(jwt_keys *k, mem *m, const char *text, size_t len, const char **why);
void jwt_keys_free(jwt_keys *k);

typedef struct jwt_rules {
  const jwt_keys *keys;
  const char *issuer, *audience; /* iss is exactly this; aud is or holds exactly this */
  int64_t now_us;            /* Unix */
  int64_t leeway_us;
} jwt_rules;
/* A compact token: form, algorithm, signature, then iss, aud, exp, nbf, iat, sub. claims: in the arena. why: constant text, NULL when it is good. HDW_E_DENIED, HDW_E_NOMEM. */
hdw_status jwt_check(const jwt_rules *r, mem *m, arena *a, const char *token, size_t len, val *claims, const char **why);
/* exp of a token that nobody checks (an opaque one from a peer that is trusted): Unix microseconds; false when it is no JWT with one. */
bool jwt_peek_exp(mem *m, const char *token, size_t len, int64_t *us);
#endif
