/* jwt.c - signing and checking; see jwt.h. */
#include "jwt.h"
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base64.h"
#include "json.h"
#include "meta.h"

enum { SIG_MAX = JWT_RSA_MAX_BITS / 8 };

static const EVP_MD *hash_of(jwt_alg a) { return a == JWT_RS256 || a == JWT_ES256 ? EVP_sha256() : EVP_sha384(); }
static int half_of(jwt_alg a) { return a == JWT_ES256 ? 32 : a == JWT_ES384 ? 48 : 0; }

static void put_b64(buf *b, const void *p, size_t n) {
  char piece[4 * 256];
  for (size_t at = 0; at < n; at += 3 * 256) {
    size_t k = n - at < 3 * 256 ? n - at : 3 * 256;
    buf_put(b, piece, b64_encode((const uint8_t *)p + at, k, piece, true));
  }
}

/* ---- signing ---------------------------------------------------------------------------------------------------------------------- */

/* JWS wants R and S side by side, each as long as the field (RFC 7518 3.4); OpenSSL makes DER. */
static bool raw_of_der(const uint8_t *der, size_t n, int half, uint8_t *out) {
  ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)n);
  bool ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), out, half) == half && BN_bn2binpad(ECDSA_SIG_get0_s(s), out + half, half) == half;
  ECDSA_SIG_free(s);
  return ok;
}

static size_t der_of_raw(const uint8_t *raw, int half, uint8_t *out, size_t cap) {
  ECDSA_SIG *s = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(raw, half, NULL), *t = BN_bin2bn(raw + half, half, NULL);
  uint8_t *p = out;
  int n = 0;
  if (!s || !r || !t || ECDSA_SIG_set0(s, r, t) != 1) BN_free(r), BN_free(t);
  else if ((n = i2d_ECDSA_SIG(s, NULL)) > 0 && (size_t)n <= cap) n = i2d_ECDSA_SIG(s, &p);
  else n = 0;
  ECDSA_SIG_free(s);
  return n > 0 ? (size_t)n : 0;
}

hdw_status jwt_sign(const jwt_key *k, const char *claims, size_t len, buf *out) {
  char header[256 + 2 * JWT_KID];
  uint8_t sig[SIG_MAX], raw[96];
  size_t n = sizeof sig;
  int head = snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", jwt_alg_name(k->alg), k->kid), half = half_of(k->alg);
  size_t from = out->len;
  for (const char *p = k->kid; *p; p++)
    if ((unsigned char)*p < ' ' || *p == '"' || *p == '\\' || *p == 0x7f) return HDW_E_INVALID;
  put_b64(out, header, (size_t)head);
  buf_putc(out, '.');
  put_b64(out, claims, len);
  if (out->status) return out->status;
  EVP_MD_CTX *x = EVP_MD_CTX_new();
  bool ok = x && EVP_DigestSignInit(x, NULL, hash_of(k->alg), NULL, k->pkey) == 1 && EVP_DigestSign(x, sig, &n, (const uint8_t *)out->p + from, out->len - from) == 1;
  EVP_MD_CTX_free(x);
  ERR_clear_error();
  if (ok && half) ok = raw_of_der(sig, n, half, raw);
  if (!ok) return HDW_E_INVALID;
  buf_putc(out, '.');
  put_b64(out, half ? raw : sig, half ? 2 * (size_t)half : n);
  buf_putc(out, 0);
  return out->status;
}

/* ---- checking --------------------------------------------------------------------------------------------------------------------- */

typedef struct part { const char *p; size_t n; } part;

/* Exactly two points, only the alphabet: no blanks, no padding, nothing behind. */
static bool split(const char *t, size_t n, part out[3]) {
  unsigned k = 0;
  const char *from = t;
  if (n > JWT_MAX_BYTES) return false;
  for (size_t i = 0; i <= n; i++) {
    char c = i < n ? t[i] : '.';
    if (c == '.') {
      if (k == 3 || t + i == from) return false;
      out[k++] = (part){from, (size_t)(t + i - from)};
      from = t + i + 1;
    } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) return false;
  }
  return k == 3;
}

static hdw_status read_part(mem *m, arena *a, part p, val *out) {
  json_reader r;
  json_opts o = {.max_depth = JWT_DEPTH, .max_bytes = JWT_MAX_BYTES};
  size_t n = 0;
  char *text = (char *)arena_alloc(a, b64_decoded_max(p.n) + 1);
  if (!text) return HDW_E_NOMEM;
  if (b64_decode(p.p, p.n, (uint8_t *)text, &n, true)) return HDW_E_DATA;
  if (n && (text[0] == ' ' || (unsigned char)text[0] == 0xef)) return HDW_E_DATA;
  json_reader_init(&r, m);
  hdw_status s = json_read(&r, a, text, n, &o, out, NULL);
  json_reader_free(&r);
  if (s == HDW_E_NOMEM) return s;
  return s || out->tag != VAL_OBJ ? HDW_E_DATA : HDW_OK;
}

static bool verify(const jwt_key *k, jwt_alg alg, const char *p, size_t n, part signature) {
  uint8_t sig[SIG_MAX + 4], der[2 * 48 + 16];
  size_t len = 0;
  int half = half_of(alg);
  if (b64_decoded_max(signature.n) > sizeof sig || b64_decode(signature.p, signature.n, sig, &len, true)) return false;
  if (half && len != 2 * (size_t)half) return false;
  if (!half && len != (size_t)EVP_PKEY_get_size(k->pkey)) return false;
  size_t nder = half ? der_of_raw(sig, half, der, sizeof der) : 0;
  if (half && !nder) return false;
  EVP_MD_CTX *x = EVP_MD_CTX_new();
  bool ok = x && EVP_DigestVerifyInit(x, NULL, hash_of(alg), NULL, k->pkey) == 1 && EVP_DigestVerify(x, half ? der : sig, half ? nder : len, (const uint8_t *)p, n) == 1;
  EVP_MD_CTX_free(x);
  ERR_clear_error();
  return ok;
}

/* Which key and algorithm, by the configured keys; what the header brings along (jwk, jku, x5u, x5c) is never looked at. */
static const char *choose(const jwt_keys *ks, arena *a, val head, const jwt_key **key, jwt_alg *alg) {
  static const char *const never[] = {"crit", "b64", "zip", "enc", "cty", "epk"};
  const char *name = jv_text(a, jv_get(head, "alg")), *typ = jv_text(a, jv_get(head, "typ"));
  val kid = jv_get(head, "kid");
  const char *id = jv_text(a, kid);
  *key = NULL;
  for (size_t i = 0; i < sizeof never / sizeof *never; i++)
    if (jv_get(head, never[i]).tag != VAL_EMPTY) return "its header asks for what is not done here (crit, b64, zip, cty, encryption)";
  if (!name || !jwt_alg_find(name, alg)) return "its algorithm is not allowed";
  if (jv_get(head, "typ").tag != VAL_EMPTY && (!typ || (strcasecmp(typ, "JWT") && strcasecmp(typ, "at+jwt")))) return "its typ is not JWT";
  if (kid.tag != VAL_EMPTY && !id) return "its kid is no text";
  for (unsigned i = 0; i < ks->n; i++)
    if (id ? !strcmp(ks->v[i].kid, id) || (ks->n == 1 && !ks->v[i].kid[0]) : ks->n == 1) *key = &ks->v[i];
  if (!*key) return "its key is not known";
  bool rsa = *alg == JWT_RS256 || *alg == JWT_RS384;
  if ((*key)->alg != *alg && !((*key)->any_hash && rsa)) return "its algorithm is not that of the key";
  return NULL;
}

/* Seconds since 1970 with or without a fraction. */
static bool time_of(val v, int64_t *us) {
  dec d, million = dec_from_i64(1000000), r;
  if (v.tag == VAL_INT || v.tag == VAL_LONG) d = dec_from_i64(v.u.i);
  else if (v.tag != VAL_NUM || dec_parse(v.u.s, v.len, &d)) return false;
  if (dec_mul(&d, &million, &r)) return false;
  r = dec_trunc(&r);
  return !dec_to_i64(&r, us) && *us > 0 && *us < INT64_C(253402300800000000);
}

static bool aud_is(arena *a, val v, const char *want) {
  const char *one = jv_text(a, v);
  if (one) return !strcmp(one, want);
  bool found = false;
  for (uint32_t i = 0; v.tag == VAL_LIST && i < v.len; i++) {
    const char *s = jv_text(a, v.u.v[i]);
    if (!s) return false;
    found |= !strcmp(s, want);
  }
  return found;
}

static const char *check_claims(const jwt_rules *r, arena *a, val c) {
  int64_t t;
  const char *iss = jv_text(a, jv_get(c, "iss")), *sub = jv_text(a, jv_get(c, "sub"));
  val nbf = jv_get(c, "nbf"), iat = jv_get(c, "iat");
  if (!iss || strcmp(iss, r->issuer)) return "its issuer is another one";
  if (!aud_is(a, jv_get(c, "aud"), r->audience)) return "it is for another audience";
  if (!time_of(jv_get(c, "exp"), &t)) return "its exp is missing or no time";
  if (t + r->leeway_us <= r->now_us) return "it has expired";
  if (nbf.tag != VAL_EMPTY && (!time_of(nbf, &t) || t > r->now_us + r->leeway_us)) return "it is not valid yet (nbf)";
  if (iat.tag != VAL_EMPTY && (!time_of(iat, &t) || t > r->now_us + r->leeway_us)) return "it was issued in the future (iat)";
  if (!sub || !sub[0] || strlen(sub) > 255) return "its sub is missing or too long";
  for (const char *p = sub; *p; p++)
    if ((unsigned char)*p < ' ' || *p == 0x7f) return "its sub holds control characters";
  return NULL;
}

hdw_status jwt_check(const jwt_rules *r, mem *m, arena *a, const char *token, size_t len, val *claims, const char **why) {
  part p[3];
  val head;
  const jwt_key *key;
  jwt_alg alg;
  *claims = VAL_NONE;
  *why = "it is no signed token: three parts in base64url, 16 KiB at most";
  if (!split(token, len, p)) return HDW_E_DENIED;
  hdw_status s = read_part(m, a, p[0], &head);
  *why = "its header is no JSON object";
  if (s) return s == HDW_E_NOMEM ? s : HDW_E_DENIED;
  *why = choose(r->keys, a, head, &key, &alg);
  if (*why) return HDW_E_DENIED;
  *why = "its signature is wrong";
  if (!verify(key, alg, token, (size_t)(p[1].p + p[1].n - token), p[2])) return HDW_E_DENIED;
  s = read_part(m, a, p[1], claims);
  *why = "its claims are no JSON object";
  if (s) return *claims = VAL_NONE, s == HDW_E_NOMEM ? s : HDW_E_DENIED;
  *why = check_claims(r, a, *claims);
  if (*why) *claims = VAL_NONE;
  return *why ? HDW_E_DENIED : HDW_OK;
}

bool jwt_peek_exp(mem *m, const char *token, size_t len, int64_t *us) {
  part p[3];
  arena a;
  val c;
  if (!split(token, len, p)) return false;
  arena_init(&a, m, 1 << 20);
  bool ok = !read_part(m, &a, p[1], &c) && time_of(jv_get(c, "exp"), us);
  arena_free(&a);
  return ok;
}
