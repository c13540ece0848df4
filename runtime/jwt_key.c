/* jwt_key.c - keys for signed tokens; see jwt.h. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include "base64.h"
#include "codec.h"
#include "json.h"
#include "jwt.h"
#include "meta.h"

enum { KEY_MAX_BYTES = 65536 };
static const struct { const char *name; bool rsa; int field_bytes; const char *group, *crv; } algs[JWT_ALGS] = {
    {"RS256", true, 0, NULL, NULL}, {"RS384", true, 0, NULL, NULL}, {"ES256", false, 32, "prime256v1", "P-256"}, {"ES384", false, 48, "secp384r1", "P-384"}};

const char *jwt_alg_name(jwt_alg a) { return algs[a].name; }

bool jwt_alg_find(const char *name, jwt_alg *out) {
  for (unsigned i = 0; i < JWT_ALGS; i++)
    if (!strcmp(algs[i].name, name)) {
      *out = (jwt_alg)i;
      return true;
    }
  return false;
}

void jwt_key_free(jwt_key *k) {
  EVP_PKEY_free(k->pkey);
  k->pkey = NULL;
}

/* ---- parts of a public key in base64url --------------------------------------------------------------------------------------------- */

static hdw_status put_number(buf *b, const EVP_PKEY *k, const char *param, int bytes) {
  BIGNUM *n = NULL;
  uint8_t raw[JWT_RSA_MAX_BITS / 8];
  char text[JWT_RSA_MAX_BITS / 6 + 8];
  if (EVP_PKEY_get_bn_param(k, param, &n) != 1) return HDW_E_INVALID;
  int len = bytes ? bytes : BN_num_bytes(n);
  bool ok = len <= (int)sizeof raw && BN_bn2binpad(n, raw, len) == len;
  BN_free(n);
  if (!ok) return HDW_E_INVALID;
  buf_put(b, text, b64_encode(raw, (size_t)len, text, true));
  return HDW_OK;
}

/* Members in the order of RFC 7638 3.2, without what is not needed to know the key. */
static hdw_status put_members(const jwt_key *k, buf *b) {
  hdw_status s;
  if (algs[k->alg].rsa) {
    buf_puts(b, "\"e\":\"");
    s = put_number(b, k->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
    buf_puts(b, "\",\"kty\":\"RSA\",\"n\":\"");
    if (!s) s = put_number(b, k->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
  } else {
    buf_putf(b, "\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"", algs[k->alg].crv);
    s = put_number(b, k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, algs[k->alg].field_bytes);
    buf_puts(b, "\",\"y\":\"");
    if (!s) s = put_number(b, k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, algs[k->alg].field_bytes);
  }
  buf_puts(b, "\"");
  return s ? s : b->status;
}

hdw_status jwt_jwk(const jwt_key *k, buf *out) {
  buf_puts(out, "{");
  hdw_status s = put_members(k, out);
  buf_putf(out, ",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"%s\",\"kid\":", algs[k->alg].name);
  json_write_str(out, k->kid, strlen(k->kid));
  buf_puts(out, "}");
  return s ? s : out->status;
}

static hdw_status thumbprint(jwt_key *k, mem *m) {
  arena a;
  buf b;
  uint8_t hash[32];
  arena_init(&a, m, 65536);
  buf_init(&b, &a, 32768);
  buf_puts(&b, "{");
  hdw_status s = put_members(k, &b);
  buf_puts(&b, "}");
  if (!s) s = b.status;
  if (!s) {
    cod_sha256(b.p, b.len, NULL, 0, hash);
    k->kid[b64_encode(hash, sizeof hash, k->kid, true)] = 0;
  }
  arena_free(&a);
  return s;
}

/* ---- keys from numbers (RFC 7518 6) ------------------------------------------------------------------------------------------------- */

/* A number of a JWK: base64url, no padding. */
static BIGNUM *number(arena *a, val v) {
  const char *s = jv_text(a, v);
  size_t n = s ? strlen(s) : 0, len = 0;
  uint8_t raw[JWT_RSA_MAX_BITS / 8 + 4];
  if (!n || b64_decoded_max(n) > sizeof raw || b64_decode(s, n, raw, &len, true) || !len || memchr(s, '=', n)) return NULL;
  BIGNUM *out = BN_bin2bn(raw, (int)len, NULL);
  OPENSSL_cleanse(raw, sizeof raw);
  OPENSSL_cleanse((void *)(uintptr_t)s, n); /* a copy: it may be of a private key */
  return out;
}

static EVP_PKEY *from_params(const char *type, int what, OSSL_PARAM_BLD *bld) {
  OSSL_PARAM *p = OSSL_PARAM_BLD_to_param(bld);
  EVP_PKEY_CTX *x = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
  EVP_PKEY *k = NULL;
  if (!p || !x || EVP_PKEY_fromdata_init(x) != 1 || EVP_PKEY_fromdata(x, &k, what, p) != 1) k = NULL;
  EVP_PKEY_CTX_free(x);
  OSSL_PARAM_free(p);
  ERR_clear_error();
  return k;
}

/* With private: its private half too; RFC 7518 6.3.2: d alone, or with all five factors and exponents. */
static EVP_PKEY *rsa_of(arena *a, val jwk, bool private) {
  static const struct { const char *member, *param; } parts[] = {{"n", OSSL_PKEY_PARAM_RSA_N}, {"e", OSSL_PKEY_PARAM_RSA_E}, {"d", OSSL_PKEY_PARAM_RSA_D}, {"p", OSSL_PKEY_PARAM_RSA_FACTOR1}, {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1}, {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};
  enum { PARTS = sizeof parts / sizeof *parts };
  BIGNUM *n[PARTS] = {NULL};
  OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
  EVP_PKEY *k = NULL;
  size_t want = !private ? 2 : jv_get(jwk, "p").tag == VAL_EMPTY ? 3 : PARTS;
  bool ok = b != NULL;
  for (size_t i = 0; i < want && ok; i++) {
    n[i] = number(a, jv_get(jwk, parts[i].member));
    ok = n[i] && OSSL_PARAM_BLD_push_BN(b, parts[i].param, n[i]);
  }
  if (ok && BN_is_odd(n[1]) && BN_num_bits(n[1]) > 1 && BN_num_bits(n[1]) <= 64) k = from_params("RSA", private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, b);
  OSSL_PARAM_BLD_free(b);
  for (size_t i = 0; i < PARTS; i++) BN_clear_free(n[i]);
  return k;
}

static EVP_PKEY *ec_of(arena *a, val jwk, jwt_alg alg, bool private) {
  uint8_t point[1 + 2 * 48];
  int half = algs[alg].field_bytes;
  BIGNUM *x = number(a, jv_get(jwk, "x")), *y = number(a, jv_get(jwk, "y")), *d = private ? number(a, jv_get(jwk, "d")) : NULL;
  OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
  EVP_PKEY *k = NULL;
  point[0] = 4;
  if (x && y && b && (d || !private) && BN_bn2binpad(x, point + 1, half) == half && BN_bn2binpad(y, point + 1 + half, half) == half &&
      OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, algs[alg].group, 0) && OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, (size_t)(1 + 2 * half)) &&
      (!d || OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d)))
    k = from_params("EC", private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, b);
  OSSL_PARAM_BLD_free(b);
  BN_free(x), BN_free(y), BN_clear_free(d);
  return k;
}

/* P-256 or P-384; JWT_ALGS = another one. */
static jwt_alg curve_of(const char *crv) {
  unsigned i = 0;
  while (i < JWT_ALGS && (!algs[i].crv || !crv || strcmp(algs[i].crv, crv))) i++;
  return (jwt_alg)i;
}

/* Whether the private half belongs to the public one: what it signs is checked with that. */
static bool belongs(EVP_PKEY *k) {
  static const uint8_t text[] = "hdw";
  uint8_t sig[JWT_RSA_MAX_BITS / 8];
  size_t n = sizeof sig;
  EVP_MD_CTX *s = EVP_MD_CTX_new(), *v = EVP_MD_CTX_new();
  bool ok = s && v && EVP_PKEY_get_size(k) <= (int)sizeof sig && EVP_DigestSignInit(s, NULL, EVP_sha384(), NULL, k) == 1 && EVP_DigestSign(s, sig, &n, text, sizeof text) == 1 &&
            EVP_DigestVerifyInit(v, NULL, EVP_sha384(), NULL, k) == 1 && EVP_DigestVerify(v, sig, n, text, sizeof text) == 1;
  EVP_MD_CTX_free(s), EVP_MD_CTX_free(v);
  ERR_clear_error();
  return ok;
}

/* A name that can stand in the header of a token as it is. */
static bool good_kid(const char *kid) {
  size_t n = 0;
  while (kid && kid[n] && (unsigned char)kid[n] >= ' ' && kid[n] != 0x7f && kid[n] != '"' && kid[n] != '\\') n++;
  return n && n < JWT_KID && !kid[n];
}

/* The parts of one JWK that signs; NULL, or what is wrong. */
static const char *jwk_key(jwt_key *k, arena *a, val jwk, jwt_alg *alg) {
  const char *kty = jv_text(a, jv_get(jwk, "kty")), *use = jv_text(a, jv_get(jwk, "use")), *name = jv_text(a, jv_get(jwk, "alg")), *kid = jv_text(a, jv_get(jwk, "kid"));
  val ops = jv_get(jwk, "key_ops"), d = jv_get(jwk, "d");
  bool rsa = kty && !strcmp(kty, "RSA"), signs = ops.tag == VAL_EMPTY;
  jwt_alg curve = curve_of(jv_text(a, jv_get(jwk, "crv")));
  if (!rsa && (!kty || strcmp(kty, "EC") || curve == JWT_ALGS)) return "its kind cannot sign here; a JWK of kty RSA, or EC with crv P-384, can";
  if (d.tag == VAL_EMPTY) return "it is a public JWK: its private member d is missing";
  if (use && strcmp(use, "sig")) return "its use is not sig: it is a key for encryption";
  for (uint32_t i = 0; ops.tag == VAL_LIST && i < ops.len; i++) signs |= jv_is(ops.u.v[i], "sign");
  if (!signs) return "its key_ops do not hold sign";
  if (name && !jwt_alg_find(name, alg)) return "its alg is none of RS384, ES384, RS256 and ES256";
  if (jv_get(jwk, "kid").tag != VAL_EMPTY && !good_kid(kid)) return "its kid is no text of 1 to 128 bytes without quotes and controls";
  if (jv_get(jwk, "oth").tag != VAL_EMPTY) return "it has more than two primes (oth)";
  k->pkey = rsa ? rsa_of(a, jwk, true) : ec_of(a, jwk, curve, true);
  if (!k->pkey) return "its numbers are none of a private key";
  if (!belongs(k->pkey)) return jwt_key_free(k), "its private and public members do not belong together";
  snprintf(k->kid, sizeof k->kid, "%s", kid ? kid : "");
  return NULL;
}

/* A JWK, or a set with one. NULL, or what is wrong. */
static const char *jwk_private(jwt_key *k, mem *m, const char *text, size_t len, jwt_alg *alg) {
  json_reader r;
  json_opts o = {.max_depth = JWT_DEPTH, .max_bytes = KEY_MAX_BYTES};
  arena a;
  val v;
  arena_init(&a, m, 4 << 20);
  json_reader_init(&r, m);
  const char *copy = arena_dup(&a, text, len), *why = "it is no JSON: a JWK begins with {\"kty\": ...";
  hdw_status s = copy ? json_read(&r, &a, copy, len, &o, &v, NULL) : HDW_E_NOMEM;
  json_reader_free(&r);
  if (!s) {
    val keys = jv_get(v, "keys");
    if (keys.tag != VAL_LIST) why = jwk_key(k, &a, v, alg);
    else why = keys.len == 1 ? jwk_key(k, &a, keys.u.v[0], alg) : "it is a JWK Set of several keys; one private key is wanted";
  }
  if (copy) OPENSSL_cleanse((void *)(uintptr_t)copy, len);
  arena_free(&a);
  return why;
}

/* ---- private keys --------------------------------------------------------------------------------------------------------------------- */

static int no_password(char *p, int n, int rw, void *user) {
  (void)p, (void)n, (void)rw, (void)user;
  return 0;
}

static hdw_status wrong(jwt_key *k, char text[JWT_TEXT], const char *what) {
  jwt_key_free(k);
  snprintf(text, JWT_TEXT, "%s", what);
  return HDW_E_INVALID;
}

static bool holds(const char *pem, size_t len, const char *word) { return memmem(pem, len, word, strlen(word)) != NULL; }

/* What kind of key it is, as an algorithm; false: none of ours. */
static bool kind_of(const EVP_PKEY *p, jwt_alg *alg) {
  char group[40] = "";
  if (EVP_PKEY_is_a(p, "RSA")) {
    *alg = JWT_RS384;
    return true;
  }
  if (!EVP_PKEY_is_a(p, "EC") || EVP_PKEY_get_utf8_string_param(p, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) != 1) return false;
  for (unsigned i = 0; i < JWT_ALGS; i++)
    if (algs[i].group && !strcmp(algs[i].group, group)) {
      *alg = (jwt_alg)i;
      return true;
    }
  return false;
}

static EVP_PKEY *pem_key(const char *pem, size_t len, const char **why) {
  *why = "it is protected by a password; openssl pkey -in key.pem -out plain.pem takes it away";
  if (holds(pem, len, "ENCRYPTED")) return NULL;
  *why = holds(pem, len, "CERTIFICATE") ? "it is a certificate, not a private key" : holds(pem, len, "PUBLIC KEY") ? "it is a public key, not a private one" : "it is no private key in PEM and no JWK";
  if (!holds(pem, len, "PRIVATE KEY")) return NULL;
  BIO *b = len <= KEY_MAX_BYTES ? BIO_new_mem_buf(pem, (int)len) : NULL;
  EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
  BIO_free(b);
  ERR_clear_error();
  *why = "it is no private key in PEM, or damaged";
  return k;
}

hdw_status jwt_key_private(jwt_key *k, mem *m, const char *key, size_t len, jwt_alg alg, char text[JWT_TEXT]) {
  static const char how[] = "openssl genrsa -out key.pem 3072, or openssl ecparam -name secp384r1 -genkey -noout -out key.pem";
  const char *why = NULL;
  jwt_alg is, says = JWT_ALGS;
  size_t from = 0;
  while (from < len && strchr(" \t\r\n", key[from]) && key[from]) from++;
  *k = (jwt_key){.pkey = NULL};
  if (from < len && key[from] == '{') why = jwk_private(k, m, key, len, &says);
  else k->pkey = pem_key(key, len, &why);
  if (!k->pkey) return wrong(k, text, why);
  if (!kind_of(k->pkey, &is)) {
    snprintf(text, JWT_TEXT, "its kind cannot sign here; RSA or P-384 can: %s", how);
    return jwt_key_free(k), HDW_E_INVALID;
  }
  int bits = EVP_PKEY_get_bits(k->pkey);
  if (algs[is].rsa && (bits < JWT_RSA_BITS || bits > JWT_RSA_MAX_BITS)) {
    snprintf(text, JWT_TEXT, "RSA of %d bits; %d to %d are needed: openssl genrsa -out key.pem 3072", bits, JWT_RSA_BITS, JWT_RSA_MAX_BITS);
    return jwt_key_free(k), HDW_E_INVALID;
  }
  if (alg == JWT_ALGS) alg = says;
  if (alg == JWT_ALGS && is == JWT_ES256) return wrong(k, text, "it is a P-256 key; SMART wants P-384 or RSA (alg: 'ES256' for servers that take it)");
  k->alg = alg == JWT_ALGS ? is : alg;
  if (algs[k->alg].rsa != algs[is].rsa || (!algs[is].rsa && is != k->alg)) {
    snprintf(text, JWT_TEXT, "alg is %s and the key is one for %s", algs[k->alg].name, algs[is].rsa ? "RS256 or RS384" : algs[is].name);
    return jwt_key_free(k), HDW_E_INVALID;
  }
  return HDW_OK;
}

hdw_status jwt_key_name(jwt_key *k, mem *m) { return thumbprint(k, m); }

/* ---- keys of others ------------------------------------------------------------------------------------------------------------------- */

/* NULL: taken, or left out. */
static const char *one_key(jwt_keys *ks, arena *a, val jwk) {
  static const char *const secret[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
  const char *kty = jv_text(a, jv_get(jwk, "kty")), *use = jv_text(a, jv_get(jwk, "use")), *alg = jv_text(a, jv_get(jwk, "alg")), *crv = jv_text(a, jv_get(jwk, "crv"));
  jwt_key *k = &ks->v[ks->n];
  if (jwk.tag != VAL_OBJ || !kty) return "a key without kty";
  for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
    if (jv_get(jwk, secret[i]).tag != VAL_EMPTY) return "it holds private keys; only public ones are wanted";
  if (use && strcmp(use, "sig")) return NULL;
  *k = (jwt_key){.pkey = NULL};
  if (!strcmp(kty, "RSA")) {
    k->any_hash = !alg;
    k->alg = JWT_RS256;
    if (alg && (!jwt_alg_find(alg, &k->alg) || !algs[k->alg].rsa)) return NULL;
    k->pkey = rsa_of(a, jwk, false);
    int bits = k->pkey ? EVP_PKEY_get_bits(k->pkey) : JWT_RSA_BITS;
    if (bits < JWT_RSA_BITS || bits > JWT_RSA_MAX_BITS) return "an RSA key of less than 2048 bits, or of more than 16384";
  } else if (!strcmp(kty, "EC")) {
    k->alg = curve_of(crv);
    if (k->alg == JWT_ALGS) return NULL;
    if (alg && strcmp(alg, algs[k->alg].name)) return "a key whose alg is not that of its curve";
    k->pkey = ec_of(a, jwk, k->alg, false);
  } else return NULL;
  if (!k->pkey) return "a key whose numbers are none";
  val kid = jv_get(jwk, "kid");
  const char *name = jv_text(a, kid);
  if (kid.tag != VAL_EMPTY && (!name || !name[0] || strlen(name) >= JWT_KID)) return jwt_key_free(k), "a kid that is no text of 1 to 128 bytes";
  snprintf(k->kid, sizeof k->kid, "%s", name ? name : "");
  for (unsigned i = 0; i < ks->n; i++)
    if (!strcmp(ks->v[i].kid, k->kid)) return jwt_key_free(k), "two keys with the same kid, or two without";
  ks->n++;
  return NULL;
}

hdw_status jwt_keys_read(jwt_keys *k, mem *m, const char *text, size_t len, const char **why) {
  json_reader r;
  json_opts o = {.max_depth = JWT_DEPTH, .max_bytes = 1 << 18};
  arena a;
  val v;
  memset(k, 0, sizeof *k);
  arena_init(&a, m, 4 << 20);
  json_reader_init(&r, m);
  hdw_status s = json_read(&r, &a, text, len, &o, &v, NULL);
  json_reader_free(&r);
  val keys = s ? VAL_NONE : jv_get(v, "keys");
  *why = s || v.tag != VAL_OBJ || keys.tag != VAL_LIST ? "it is no JWK Set: {\"keys\": [...]}" : keys.len > JWT_MAX_KEYS ? "it holds more than 32 keys" : NULL;
  for (uint32_t i = 0; !*why && i < keys.len; i++) {
    *why = one_key(k, &a, keys.u.v[i]);
    if (*why) jwt_key_free(&k->v[k->n]);
  }
  if (!*why && !k->n) *why = "it holds no key that can check a signature (RSA, P-256 or P-384)";
  arena_free(&a);
  if (*why) jwt_keys_free(k);
  return *why ? HDW_E_INVALID : HDW_OK;
}

void jwt_keys_free(jwt_keys *k) {
  for (unsigned i = 0; i < k->n; i++) jwt_key_free(&k->v[i]);
  k->n = 0;
}
