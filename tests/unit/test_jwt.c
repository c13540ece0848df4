/* Signed tokens: what we sign, what we refuse (PROTOCOLS 4a, Z-19; RFC 7515, 7519, 8725). */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include "support.h"
#include "auth_token.h"
#include "base64.h"
#include "json.h"
#include "jwt.h"
#include "meta.h"

#define NOW INT64_C(1800000000)

typedef struct fx {
  test_mem tm;
  arena a;
  jwt_key rsa, ec;           /* ours, with their private halves */
  jwt_keys keys;             /* what a server would know of them: kid "rsa" and "ec" */
  char *rsa_public;          /* PEM: what a confused verifier takes for a secret */
} fx;

static char *pem_of(EVP_PKEY *k, bool private) {
  BIO *b = BIO_new(BIO_s_mem());
  char *p, *out;
  assert_int_equal(private ? PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) : PEM_write_bio_PUBKEY(b, k), 1);
  long n = BIO_get_mem_data(b, &p);
  out = strndup(p, (size_t)n);
  BIO_free(b);
  return out;
}

static hdw_status take(jwt_key *k, EVP_PKEY *p, jwt_alg alg, char text[JWT_TEXT]) {
  char *pem = pem_of(p, true);
  test_mem tm;
  test_mem_init(&tm);
  hdw_status s = jwt_key_private(k, &tm.m, pem, strlen(pem), alg, text);
  free(pem);
  EVP_PKEY_free(p);
  return s;
}

static void open_fx(fx *f) {
  char text[JWT_TEXT];
  const char *why;
  buf b;
  test_mem_init(&f->tm);
  arena_init(&f->a, &f->tm.m, 0);
  EVP_PKEY *r = EVP_RSA_gen(2048);
  f->rsa_public = pem_of(r, false);
  assert_int_equal(take(&f->rsa, r, JWT_ALGS, text), HDW_OK);
  assert_int_equal(take(&f->ec, EVP_EC_gen("secp384r1"), JWT_ALGS, text), HDW_OK);
  strcpy(f->rsa.kid, "rsa"), strcpy(f->ec.kid, "ec");
  buf_init(&b, &f->a, 1 << 20);
  buf_puts(&b, "{\"keys\":[");
  assert_int_equal(jwt_jwk(&f->rsa, &b), HDW_OK);
  buf_putc(&b, ',');
  assert_int_equal(jwt_jwk(&f->ec, &b), HDW_OK);
  buf_puts(&b, "]}");
  if (jwt_keys_read(&f->keys, &f->tm.m, b.p, b.len, &why)) fail_msg("%s", why);
  assert_int_equal(f->keys.n, 2);
}

static void close_fx(fx *f) {
  jwt_keys_free(&f->keys);
  jwt_key_free(&f->rsa), jwt_key_free(&f->ec);
  free(f->rsa_public);
  arena_free(&f->a);
  assert_int_equal(f->tm.live_bytes, 0);
}

/* Any header and claims, signed in whatever way: "rsa384", "rsa256", "ec", "der" (not what JWS wants), "hmac" (with the public key), "none". */
static const char *forge(fx *f, const char *head, const char *claims, size_t nclaims, const char *how) {
  buf b;
  uint8_t sig[600], raw[96];
  size_t n = sizeof sig;
  char text[900];
  buf_init(&b, &f->a, 1 << 20);
  char *h = (char *)arena_alloc(&f->a, b64_encoded_max(strlen(head)) + 1), *c = (char *)arena_alloc(&f->a, b64_encoded_max(nclaims) + 1);
  buf_put(&b, h, b64_encode((const uint8_t *)head, strlen(head), h, true));
  buf_putc(&b, '.');
  buf_put(&b, c, b64_encode((const uint8_t *)claims, nclaims, c, true));
  bool ec = !strcmp(how, "ec") || !strcmp(how, "der");
  if (!strcmp(how, "hmac")) {
    unsigned k = 0;
    HMAC(EVP_sha256(), f->rsa_public, (int)strlen(f->rsa_public), (const uint8_t *)b.p, b.len, sig, &k);
    n = k;
  } else if (!strcmp(how, "none")) n = 0;
  else {
    EVP_MD_CTX *x = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(x, NULL, !strcmp(how, "rsa256") ? EVP_sha256() : EVP_sha384(), NULL, ec ? f->ec.pkey : f->rsa.pkey), 1);
    assert_int_equal(EVP_DigestSign(x, sig, &n, (const uint8_t *)b.p, b.len), 1);
    EVP_MD_CTX_free(x);
  }
  if (!strcmp(how, "ec")) {
    const uint8_t *p = sig;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, 48), BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + 48, 48);
    ECDSA_SIG_free(s);
    memcpy(sig, raw, n = 96);
  }
  buf_putc(&b, '.');
  buf_put(&b, text, b64_encode(sig, n, text, true));
  buf_putc(&b, 0);
  return b.p;
}

static bool good(fx *f, const char *token, size_t n, const char **why) {
  jwt_rules r = {.keys = &f->keys, .issuer = "https://idp", .audience = "hub", .now_us = NOW * 1000000, .leeway_us = 60000000};
  arena a;
  val c;
  arena_init(&a, &f->tm.m, 0);
  hdw_status s = jwt_check(&r, &f->tm.m, &a, token, n, &c, why);
  assert_true(s == HDW_OK || (*why && c.tag == VAL_EMPTY));
  arena_free(&a);
  return s == HDW_OK;
}

static unsigned refused;
static void refuse(fx *f, const char *token, const char *says) {
  const char *why;
  if (good(f, token, strlen(token), &why)) fail_msg("taken: %.300s", token);
  if (!strstr(why, says)) fail_msg("%s instead of %s: %.300s", why, says, token);
  refused++;
}

#define EC_HEAD "{\"alg\":\"ES384\",\"typ\":\"JWT\",\"kid\":\"ec\"}"
#define RSA_HEAD "{\"alg\":\"RS384\",\"typ\":\"JWT\",\"kid\":\"rsa\"}"
#define CLAIMS "{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":\"lab\",\"exp\":1800000300,\"iat\":1799999995}"

static void test_Z19_what_is_taken(void **state) {
  (void)state;
  fx f;
  const char *why;
  open_fx(&f);
  static const struct { const char *head, *claims, *how; } t[] = {
      {EC_HEAD, CLAIMS, "ec"}, {RSA_HEAD, CLAIMS, "rsa384"}, {"{\"kid\":\"ec\",\"alg\":\"ES384\"}", CLAIMS, "ec"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"typ\":\"at+JWT\"}", CLAIMS, "ec"},
      {EC_HEAD, "{\"iss\":\"https://idp\",\"aud\":[\"x\",\"hub\"],\"sub\":\"lab\",\"exp\":1799999950.5,\"nbf\":1800000059,\"x\":{\"a\":[1,null]}}", "ec"},
      {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"jku\":\"https://evil\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"x5u\":\"https://evil\"}", CLAIMS, "ec"}}; /* not looked at */
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    const char *token = forge(&f, t[i].head, t[i].claims, strlen(t[i].claims), t[i].how);
    if (!good(&f, token, strlen(token), &why)) fail_msg("%zu: %s", i, why);
  }
  close_fx(&f);
}

/* Claims that were signed by the right key and are wrong all the same. */
static void test_Z19_claims(void **state) {
  (void)state;
  fx f;
  open_fx(&f);
#define REST ",\"aud\":\"hub\",\"sub\":\"lab\",\"exp\":1800000300}"
#define WITH(x) "{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":\"lab\"," x "}"
  static const struct { const char *claims, *says; } t[] = {
      {"{\"iss\":\"https://idp/\"" REST, "issuer"}, {"{\"iss\":\"https://IDP\"" REST, "issuer"}, {"{\"iss\":null" REST, "issuer"}, {"{\"iss\":[\"https://idp\"]" REST, "issuer"},
      {"{\"x\":1" REST, "issuer"}, {"{\"iss\":\"https://idp\\u0000\"" REST, "issuer"}, {"{\"iss\":\"\"" REST, "issuer"},
      {"{\"iss\":\"https://idp\",\"sub\":\"lab\",\"exp\":1800000300}", "audience"}, {"{\"iss\":\"https://idp\",\"aud\":\"Hub\",\"sub\":\"lab\",\"exp\":1800000300}", "audience"},
      {"{\"iss\":\"https://idp\",\"aud\":[],\"sub\":\"lab\",\"exp\":1800000300}", "audience"}, {"{\"iss\":\"https://idp\",\"aud\":[\"x\",7,\"hub\"],\"sub\":\"lab\",\"exp\":1800000300}", "audience"},
      {"{\"iss\":\"https://idp\",\"aud\":{\"hub\":1},\"sub\":\"lab\",\"exp\":1800000300}", "audience"}, {"{\"iss\":\"https://idp\",\"aud\":[[\"hub\"]],\"sub\":\"lab\",\"exp\":1800000300}", "audience"},
      {"{\"iss\":\"https://idp\",\"aud\":\"hub other\",\"sub\":\"lab\",\"exp\":1800000300}", "audience"},
      {WITH("\"x\":1"), "exp"}, {WITH("\"exp\":1799999940"), "expired"}, {WITH("\"exp\":0"), "exp"}, {WITH("\"exp\":-5"), "exp"}, {WITH("\"exp\":\"1800000300\""), "exp"},
      {WITH("\"exp\":true"), "exp"}, {WITH("\"exp\":null"), "exp"}, {WITH("\"exp\":[1800000300]"), "exp"}, {WITH("\"exp\":1e30"), "exp"}, {WITH("\"exp\":99999999999999999999"), "exp"},
      {WITH("\"exp\":1800000300000"), "exp"}, {WITH("\"exp\":1800000300,\"nbf\":1800000061"), "nbf"}, {WITH("\"exp\":1800000300,\"nbf\":\"0\""), "nbf"},
      {WITH("\"exp\":1800000300,\"nbf\":null"), "nbf"}, {WITH("\"exp\":1800000300,\"iat\":1800000061"), "iat"}, {WITH("\"exp\":1800000300,\"iat\":\"x\""), "iat"},
      {"{\"iss\":\"https://idp\",\"aud\":\"hub\",\"exp\":1800000300}", "sub"}, {"{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":\"\",\"exp\":1800000300}", "sub"},
      {"{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":\"a\\r\\nX: y\",\"exp\":1800000300}", "control"}, {"{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":\"a\\u0000b\",\"exp\":1800000300}", "sub"},
      {"{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":7,\"exp\":1800000300}", "sub"},
      {WITH("\"exp\":1800000300,\"exp\":1"), "JSON"}, {WITH("\"exp\":1800000300,\"sub\":\"root\""), "JSON"}, {WITH("\"exp\":1800000300,\"s\\u0075b\":\"root\""), "JSON"}, /* a name twice */
      {"[" CLAIMS "]", "JSON"}, {"\"x\"", "JSON"}, {"", "three parts"}, {CLAIMS CLAIMS, "JSON"}, {CLAIMS "x", "JSON"}, {"{\"iss\":\"https://idp\",}", "JSON"}, {"{'iss':1}", "JSON"},
      {" " CLAIMS, "JSON"}, {"\xef\xbb\xbf" CLAIMS, "JSON"}, {WITH("\"exp\":1800000300,\"x\":\"\xff\""), "JSON"}, {WITH("\"exp\":01800000300"), "JSON"}, {WITH("\"exp\":NaN"), "JSON"},
      {WITH("\"exp\":1800000300,\"x\":[[[[[[[[[1]]]]]]]]]"), "JSON"}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) refuse(&f, forge(&f, EC_HEAD, t[i].claims, strlen(t[i].claims), "ec"), t[i].says);
  close_fx(&f);
}

/* Headers, algorithms, signatures, forms. */
static void test_Z19_headers_and_signatures(void **state) {
  (void)state;
  fx f;
  open_fx(&f);
  static const struct { const char *head, *how, *says; } t[] = {
      {"{\"alg\":\"none\",\"kid\":\"ec\"}", "none", "three parts"}, {"{\"alg\":\"none\",\"kid\":\"ec\"}", "ec", "algorithm"}, {"{\"alg\":\"None\"}", "ec", "algorithm"}, {"{\"alg\":\"nOnE\"}", "ec", "algorithm"},
      {"{\"alg\":\"\",\"kid\":\"ec\"}", "ec", "algorithm"}, {"{\"kid\":\"ec\"}", "ec", "algorithm"}, {"{\"alg\":null,\"kid\":\"ec\"}", "ec", "algorithm"}, {"{\"alg\":[\"ES384\"],\"kid\":\"ec\"}", "ec", "algorithm"},
      {"{\"alg\":\"HS256\",\"kid\":\"rsa\"}", "hmac", "algorithm"}, {"{\"alg\":\"HS384\",\"kid\":\"rsa\"}", "hmac", "algorithm"}, {"{\"alg\":\"RS384\",\"kid\":\"rsa\"}", "hmac", "signature"}, /* key confusion */
      {"{\"alg\":\"ES384\",\"kid\":\"rsa\"}", "rsa384", "not that of the key"}, {"{\"alg\":\"RS384\",\"kid\":\"ec\"}", "ec", "not that of the key"}, {"{\"alg\":\"RS256\",\"kid\":\"rsa\"}", "rsa256", "not that of the key"},
      {"{\"alg\":\"ES256\",\"kid\":\"ec\"}", "ec", "not that of the key"}, {"{\"alg\":\"PS384\",\"kid\":\"rsa\"}", "rsa384", "algorithm"}, {"{\"alg\":\"es384\",\"kid\":\"ec\"}", "ec", "algorithm"},
      {"{\"alg\":\"ES384\",\"kid\":\"rsa2\"}", "ec", "key is not known"}, {"{\"alg\":\"ES384\"}", "ec", "key is not known"}, {"{\"alg\":\"ES384\",\"kid\":7}", "ec", "kid"},
      {"{\"alg\":\"ES384\",\"kid\":\"../../dev/null\"}", "ec", "key is not known"}, {"{\"alg\":\"ES384\",\"kid\":\"ec' OR '1'='1\"}", "ec", "key is not known"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\\u0000\"}", "ec", "kid"},
      {"{\"alg\":\"ES384\",\"kid\":\"EC\"}", "ec", "key is not known"}, {"{\"alg\":\"ES384\",\"jwk\":{\"kty\":\"RSA\"}}", "ec", "key is not known"},
      {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"crit\":[\"exp\"]}", "ec", "header asks"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"crit\":[]}", "ec", "header asks"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"b64\":false}", "ec", "header asks"},
      {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"b64\":true}", "ec", "header asks"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"zip\":\"DEF\"}", "ec", "header asks"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"cty\":\"JWT\"}", "ec", "header asks"},
      {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"enc\":\"A128GCM\"}", "ec", "header asks"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"typ\":\"secevent+jwt\"}", "ec", "typ"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\",\"typ\":1}", "ec", "typ"},
      {"{\"alg\":\"ES384\",\"alg\":\"none\",\"kid\":\"ec\"}", "ec", "header is no JSON"}, {"{\"alg\":\"ES384\",\"kid\":\"ec\"", "ec", "header is no JSON"}, {"[\"ES384\"]", "ec", "header is no JSON"}, {"null", "ec", "header is no JSON"},
      {EC_HEAD, "der", "signature"}, {EC_HEAD, "rsa384", "signature"}, {RSA_HEAD, "rsa256", "signature"}, {RSA_HEAD, "ec", "signature"}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) refuse(&f, forge(&f, t[i].head, CLAIMS, strlen(CLAIMS), t[i].how), t[i].says);
  close_fx(&f);
}

static void test_Z19_bytes_of_a_good_token(void **state) {
  (void)state;
  fx f;
  const char *why;
  char t[40000];
  open_fx(&f);
  const char *token = forge(&f, EC_HEAD, CLAIMS, strlen(CLAIMS), "ec");
  size_t n = strlen(token);
  /* Every character changed; every length; and one too many, anywhere. */
  for (size_t i = 0; i < n; i++) {
    memcpy(t, token, n + 1);
    t[i] = t[i] == 'A' ? 'B' : 'A';
    if (good(&f, t, n, &why)) fail_msg("changed at %zu", i);
    if (good(&f, token, i, &why)) fail_msg("cut at %zu", i);
    for (const char *c = " .=\n\t+/%\"\\"; *c; c++) {
      memcpy(t, token, i), t[i] = *c, memcpy(t + i + 1, token + i, n - i + 1);
      if (good(&f, t, n + 1, &why)) fail_msg("'%c' at %zu", *c, i);
    }
  }
  snprintf(t, sizeof t, "%s=", token), refuse(&f, t, "three parts");
  snprintf(t, sizeof t, "%s.", token), refuse(&f, t, "three parts");
  snprintf(t, sizeof t, ".%s", token), refuse(&f, t, "three parts");
  snprintf(t, sizeof t, "%s.AAAA.AAAA", token), refuse(&f, t, "three parts"); /* five parts: JWE */
  snprintf(t, sizeof t, "%s\r\nX-Evil: 1", token), refuse(&f, t, "three parts");
  snprintf(t, sizeof t, "Bearer %s", token), refuse(&f, t, "three parts");
  refuse(&f, "..", "three parts"), refuse(&f, "a.b.c", "header"), refuse(&f, "", "three parts");
  if (good(&f, "a.b\0.c", 6, &why)) fail_msg("a NUL");
  memset(t, 'A', 20000), t[20000] = 0, refuse(&f, t, "three parts");
  char big[17000];
  int k = snprintf(big, sizeof big, "{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":\"lab\",\"exp\":1800000300,\"x\":\"");
  memset(big + k, 'x', 12800), memcpy(big + k + 12800, "\"}", 2);
  refuse(&f, forge(&f, EC_HEAD, big, (size_t)k + 12802, "ec"), "16 KiB");
  /* The last character of a part carries bits that mean nothing: only zeros are taken, so a token has one spelling. */
  const char *dot = strchr(strchr(token, '.') + 1, '.');
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  size_t claims = (size_t)(dot - strchr(token, '.') - 1);
  if (claims % 4 != 0) {
    memcpy(t, token, n + 1);
    char *last = t + (dot - token) - 1;
    *last = alphabet[(strchr(alphabet, *last) - alphabet) ^ 1];
    if (good(&f, t, n, &why)) fail_msg("not canonical");
  }
  /* R and S of zero, of the order's size, halves swapped. */
  static const uint8_t zero[96];
  char sig[140];
  sig[b64_encode(zero, 96, sig, true)] = 0;
  snprintf(t, sizeof t, "%.*s.%s", (int)(dot - token), token, sig), refuse(&f, t, "signature"); /* the "psychic" one */
  memset(sig, '_', 128), sig[128] = 0;
  snprintf(t, sizeof t, "%.*s.%s", (int)(dot - token), token, sig), refuse(&f, t, "signature");
  snprintf(t, sizeof t, "%.*s.%s%.64s", (int)(dot - token), token, dot + 65, dot + 1), refuse(&f, t, "signature");
  print_message("%u vectors refused\n", refused);
  assert_true(refused >= 80);
  close_fx(&f);
}

/* B-5: short R and S come once in 256; they are padded on the left. */
static void test_B5_signatures_of_both_kinds_check(void **state) {
  (void)state;
  fx f;
  const char *why;
  open_fx(&f);
  for (unsigned i = 0; i < 600; i++) {
    buf b;
    char claims[200];
    arena a;
    arena_init(&a, &f.tm.m, 0);
    buf_init(&b, &a, 65536);
    int n = snprintf(claims, sizeof claims, "{\"iss\":\"https://idp\",\"aud\":\"hub\",\"sub\":\"%u\",\"exp\":1800000300}", i);
    assert_int_equal(jwt_sign(i % 20 ? &f.ec : &f.rsa, claims, (size_t)n, &b), HDW_OK);
    if (!good(&f, b.p, b.len - 1, &why)) fail_msg("%s: %s", why, b.p);
    if (i % 20) assert_int_equal(strlen(strrchr(b.p, '.') + 1), 128);
    arena_free(&a);
  }
  close_fx(&f);
}

/* RFC 7638 3.1 and its key. */
static void test_thumbprint_and_keys_of_others(void **state) {
  (void)state;
  test_mem tm;
  jwt_keys k;
  const char *why;
  test_mem_init(&tm);
#define N "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q" \
  "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define SET(x) "{\"keys\":[" x "]}"
#define RSA(x) "{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQAB\"" x "}"
  assert_int_equal(jwt_keys_read(&k, &tm.m, SET(RSA(",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"")), strlen(SET(RSA(",\"alg\":\"RS256\",\"kid\":\"2011-04-29\""))), &why), HDW_OK);
  assert_string_equal(k.v[0].kid, "2011-04-29");
  assert_int_equal(jwt_key_name(&k.v[0], &tm.m), HDW_OK);
  assert_string_equal(k.v[0].kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  jwt_keys_free(&k);
  static const struct { const char *set, *why; } bad[] = {
      {"", "JWK Set"}, {"[]", "JWK Set"}, {"{\"keys\":{}}", "JWK Set"}, {"{\"keys\":[]}", "no key"}, {SET("1"), "kty"}, {SET("{}"), "kty"}, {SET("{\"kty\":\"oct\",\"k\":\"AAAA\"}"), "private"},
      {SET(RSA(",\"d\":\"AQAB\"")), "private"}, {SET("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), "2048"}, {SET("{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQ\"}"), "numbers"},
      {SET("{\"kty\":\"RSA\",\"n\":\"" N "\"}"), "numbers"}, {SET("{\"kty\":\"RSA\",\"n\":\"" N "=\",\"e\":\"AQAB\"}"), "numbers"}, {SET(RSA(",\"kid\":\"a\"") "," RSA(",\"kid\":\"a\"")), "same kid"},
      {SET(RSA("") "," RSA("")), "same kid"}, {SET(RSA(",\"kid\":\"\"")), "kid"}, {SET(RSA(",\"use\":\"enc\"")), "no key"}, {SET(RSA(",\"alg\":\"none\"")), "no key"}, {SET("{\"kty\":\"EC\",\"crv\":\"P-521\"}"), "no key"},
      {SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AQ\",\"y\":\"AQ\"}"), "numbers"}, {SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"alg\":\"ES256\",\"x\":\"AQ\",\"y\":\"AQ\"}"), "curve"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (!jwt_keys_read(&k, &tm.m, bad[i].set, strlen(bad[i].set), &why)) fail_msg("taken: %s", bad[i].set);
    if (!strstr(why, bad[i].why)) fail_msg("%s instead of %s: %s", why, bad[i].why, bad[i].set);
  }
  char n[2733], big[3000]; /* 16392 bits: more than what is checked, signed and printed here */
  memset(n, 'B', sizeof n - 1);
  n[sizeof n - 1] = 0;
  n[0] = 'g';
  snprintf(big, sizeof big, SET("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}"), n);
  assert_int_equal(jwt_keys_read(&k, &tm.m, big, strlen(big), &why), HDW_E_INVALID);
  assert_non_null(strstr(why, "16384"));
  assert_int_equal(tm.live_bytes, 0);
}

static void test_B16_keys_that_cannot_sign(void **state) {
  (void)state;
  jwt_key k;
  char text[JWT_TEXT];
  test_mem tm;
  test_mem_init(&tm);
  static const struct { const char *pem, *why; } bad[] = {
      {"", "no private key"}, {"hello", "no private key"}, {"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "a certificate"}, {"-----BEGIN PUBLIC KEY-----\nAA==\n", "a public key"},
      {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n", "password"}, {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "password"}, {"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", "damaged"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(jwt_key_private(&k, &tm.m, bad[i].pem, strlen(bad[i].pem), JWT_ALGS, text), HDW_E_INVALID);
    if (!strstr(text, bad[i].why)) fail_msg("%s", text);
  }
  assert_int_equal(take(&k, EVP_RSA_gen(1024), JWT_ALGS, text), HDW_E_INVALID);
  assert_non_null(strstr(text, "RSA of 1024 bits; 2048"));
  assert_int_equal(take(&k, EVP_EC_gen("P-521"), JWT_ALGS, text), HDW_E_INVALID);
  assert_non_null(strstr(text, "cannot sign here"));
  assert_int_equal(take(&k, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), JWT_ALGS, text), HDW_E_INVALID);
  assert_int_equal(take(&k, EVP_EC_gen("prime256v1"), JWT_ALGS, text), HDW_E_INVALID);
  assert_non_null(strstr(text, "P-256 key; SMART wants"));
  assert_int_equal(take(&k, EVP_EC_gen("prime256v1"), JWT_ES256, text), HDW_OK);
  jwt_key_free(&k);
  assert_int_equal(take(&k, EVP_EC_gen("secp384r1"), JWT_RS384, text), HDW_E_INVALID);
  assert_non_null(strstr(text, "alg is RS384 and the key is one for ES384"));
}

/* The private keys of RFC 7517 A.2 (the first without its use, enc), whose public halves and thumbprint (RFC 7638 3.1) are known. */
#define EC_XY "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define EC_D "\"d\":\"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE\""
#define RSA_NE "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQAB\""
#define RSA_D "\"d\":\"X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9" \
  "tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q\""
#define RSA_P "\"p\":\"83i-7IvMGXoMXCskv73TKr8637FiO7Z27zv8oj6pbWUQyLPQBQxtPVnwD20R-60eTDmD2ujnMt5PoqMrm8RfmNhVWDtjjMmCMjOpSXicFHj7XOuVIYQyqVWlWEh6dN36GVZYk93N8Bc9vY41xy8B9RzzOGVQzXvNEvn7O0nVbfs\""
#define RSA_Q "\"q\":\"3dfOR9cuYq-0S-mkFLzgItgMEfFzB2q3hWehMuG0oCuqnb3vobLyumqjVZQO1dIrdwgTnCdpYzBcOfW5r370AFXjiWft_NGEiovonizhKpo9VVS78TzFgxkIdrecRezsZ-1kYd_s1qDbxtkDEgfAITAG9LUnADun4vIcb6yelxk\""
#define RSA_DP "\"dp\":\"G4sPXkc6Ya9y8oJW9_ILj4xuppu0lzi_H7VTkS8xj5SdX3coE0oimYwxIi2emTAue0UOa5dpgFGyBJ4c8tQ2VF402XRugKDTP8akYhFo5tAA77Qe_NmtuYZc3C3m3I24G2GvR5sSDxUyAN2zq8Lfn9EUms6rY3Ob8YeiKkTiBj0\""
#define RSA_DQ "\"dq\":\"s9lAH9fggBsoFR8Oac2R_E2gw282rT2kGOAhvIllETE1efrA6huUUvMfBcMpn8lqeW6vzznYY5SSQF7pMdC_agI3nG8Ibp1BUb0JUiraRNqUfLhcQb_d9GF4Dh7e74WbRsobRonujTYN1xCaP6TO61jvWrX-L18txXw494Q_cgk\""
#define RSA_QI "\"qi\":\"GyM_p6JrXySiz1toFgKbWV-JdI3jQ4ypu9rbMWx3rQJBfmt0FoYzgUIZEVFEcOqwemRN81zoDAaa-Bk0KWNGDjJHZDdDmFhW3AN7lI-puxk_mHZGJ11rxyR8O55XLSe3SPmRfKwZI6yU24ZxvQKFYItdldUKGzO6Ia6zTKhAVRU\""
#define RSA_ALL RSA_NE "," RSA_D "," RSA_P "," RSA_Q "," RSA_DP "," RSA_DQ "," RSA_QI

static void test_B15_private_keys_as_jwk(void **state) {
  (void)state;
  static const struct { const char *text; jwt_alg want, is; const char *kid, *thumb; } t[] = {
      {"{" RSA_ALL ",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}", JWT_ALGS, JWT_RS256, "2011-04-29", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
      {"\n {" RSA_ALL ",\"alg\":\"RS256\"}\n", JWT_RS384, JWT_RS384, "", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
      {"{" RSA_NE "," RSA_D ",\"use\":\"sig\",\"key_ops\":[\"sign\"]}", JWT_ALGS, JWT_RS384, "", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
      {"{\"keys\":[{" RSA_ALL ",\"kid\":\"a\"}]}", JWT_ALGS, JWT_RS384, "a", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
      {"{" EC_XY "," EC_D ",\"alg\":\"ES256\",\"kid\":\"1\"}", JWT_ALGS, JWT_ES256, "1", "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"},
  };
  test_mem tm;
  char text[JWT_TEXT];
  test_mem_init(&tm);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    jwt_key k;
    arena a;
    buf b;
    if (jwt_key_private(&k, &tm.m, t[i].text, strlen(t[i].text), t[i].want, text)) fail_msg("%zu: %s", i, text);
    assert_int_equal(k.alg, t[i].is);
    assert_string_equal(k.kid, t[i].kid);
    arena_init(&a, &tm.m, 0);
    buf_init(&b, &a, 65536);
    assert_int_equal(jwt_sign(&k, "{}", 2, &b), HDW_OK);
    b.len = 0;
    assert_int_equal(jwt_jwk(&k, &b), HDW_OK); /* the public half and nothing else */
    assert_non_null(memmem(b.p, b.len, k.alg == JWT_ES256 ? "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" : N, 43));
    assert_null(memmem(b.p, b.len, "\"d\"", 3));
    assert_int_equal(jwt_key_name(&k, &tm.m), HDW_OK);
    assert_string_equal(k.kid, t[i].thumb);
    jwt_key_free(&k);
    arena_free(&a);
  }
  assert_int_equal(tm.live_bytes, 0);
}

static void test_B16_jwks_that_cannot_sign(void **state) {
  (void)state;
  static const struct { const char *text, *why; } bad[] = {
      {"{", "no JSON"}, {"{}", "kty RSA, or EC"}, {"{\"kty\":\"oct\",\"k\":\"AAAA\"}", "kty RSA, or EC"}, {"{\"kty\":\"EC\",\"crv\":\"P-521\",\"d\":\"AQ\"}", "kty RSA, or EC"},
      {"{\"keys\":[]}", "several keys"}, {"{\"keys\":[{},{}]}", "several keys"}, {"{" RSA_NE "}", "a public JWK"}, {"{" EC_XY "}", "a public JWK"},
      {"{" EC_XY "," EC_D ",\"use\":\"enc\"}", "for encryption"}, {"{" RSA_ALL ",\"key_ops\":[\"verify\"]}", "do not hold sign"}, {"{" RSA_ALL ",\"alg\":\"HS256\"}", "alg is none of"},
      {"{" RSA_ALL ",\"alg\":\"none\"}", "alg is none of"}, {"{" RSA_ALL ",\"kid\":\"\"}", "kid is no text"}, {"{" RSA_ALL ",\"kid\":\"a\\\"b\"}", "kid is no text"},
      {"{" RSA_ALL ",\"kid\":\"a\\u0007\"}", "kid is no text"}, {"{" RSA_ALL ",\"kid\":\"a\\u007f\"}", "kid is no text"}, {"{" RSA_ALL ",\"kid\":5}", "kid is no text"}, {"{" RSA_ALL ",\"oth\":[]}", "two primes"},
      {"{" RSA_NE "," RSA_D "," RSA_P "}", "numbers are none"}, {"{" RSA_NE ",\"d\":\"AQ==\"}", "numbers are none"}, {"{" RSA_NE ",\"d\":5}", "numbers are none"}, {"{" RSA_NE "," RSA_D "," RSA_D "}", "no JSON"},
      {"{" EC_XY ",\"d\":\"AQ\",\"alg\":\"ES256\"}", "do not belong together"}, {"{" RSA_NE ",\"d\":\"AQAB\"}", "do not belong together"}, {"{" EC_XY "," EC_D "}", "P-256 key; SMART wants"},
      {"{" RSA_ALL ",\"alg\":\"ES384\"}", "alg is ES384 and the key is one for RS256"}};
  test_mem tm;
  char text[JWT_TEXT];
  jwt_key k;
  test_mem_init(&tm);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (!jwt_key_private(&k, &tm.m, bad[i].text, strlen(bad[i].text), JWT_ALGS, text)) fail_msg("taken: %s", bad[i].text);
    if (!strstr(text, bad[i].why)) fail_msg("'%s' instead of '%s'", text, bad[i].why);
    assert_null(strstr(text, "X4cTteJY"));
    assert_null(k.pkey);
  }
  assert_int_equal(tm.live_bytes, 0);
}

/* Answers of login servers: what would break out of a header, live for ever, or is no answer (S-14). */
static void test_B8_S14_answers_that_are_refused(void **state) {
  (void)state;
  test_mem tm;
  arena a;
  token_answer t;
  const char *why;
  static const char *const bad[] = {
      "", " ", "null", "[]", "\"x\"", "{", "{}", "<html>", "{\"access_token\":7,\"token_type\":\"bearer\"}", "{\"access_token\":\"\",\"token_type\":\"bearer\"}", "{\"access_token\":null,\"token_type\":\"bearer\"}",
      "{\"access_token\":\"a\\r\\nX: y\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a\\nb\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a\\u0000b\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a b\",\"token_type\":\"bearer\"}",
      "{\"access_token\":\"a\\tb\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a\\u007fb\",\"token_type\":\"bearer\"}", "{\"access_token\":\"\xc3\xa4\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a,b\",\"token_type\":\"bearer\"}",
      "{\"access_token\":\"a\\\"b\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a\\\\b\",\"token_type\":\"bearer\"}", "{\"access_token\":[\"a\"],\"token_type\":\"bearer\"}", "{\"access_token\":\"a\"}",
      "{\"access_token\":\"a\",\"token_type\":\"mac\"}", "{\"access_token\":\"a\",\"token_type\":\"DPoP\"}", "{\"access_token\":\"a\",\"token_type\":\"bearer \"}", "{\"access_token\":\"a\",\"token_type\":[\"bearer\"]}",
      "{\"access_token\":\"a\",\"access_token\":\"b\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a\",\"access\\u005ftoken\":\"b\",\"token_type\":\"bearer\"}", "{\"access_token\":\"a\",\"token_type\":\"bearer\"}x",
      "{\"access_token\":\"a\",\"token_type\":\"bearer\",\"x\":[[[[[[[[1]]]]]]]]}", "{\"access_token\":\"a\",\"token_type\":\"bearer\",\"scope\":[\"a\"]}", "{\"access_token\":\"a\",\"token_type\":\"bearer\",\"scope\":\"a\\nb\"}",
      "{\"access_token\":\"a\",\"token_type\":\"bearer\",\"x\":\"\xff\"}"};
  test_mem_init(&tm);
  for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
    char *big = NULL;
    const char *text = i < sizeof bad / sizeof *bad ? bad[i] : (big = (char *)calloc(1, 20100));
    if (big) {
      memcpy(big, "{\"token_type\":\"bearer\",\"access_token\":\"", 39);
      memset(big + 39, 'x', 20000), memcpy(big + 20039, "\"}", 2);
    }
    arena_init(&a, &tm.m, 0);
    assert_int_equal(token_read(&tm.m, &a, text, strlen(text), &t, &why) == HDW_OK, 0);
    assert_non_null(why);
    arena_free(&a);
    free(big);
  }
  assert_int_equal(tm.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_Z19_what_is_taken), cmocka_unit_test(test_Z19_claims), cmocka_unit_test(test_Z19_headers_and_signatures), cmocka_unit_test(test_Z19_bytes_of_a_good_token),
      cmocka_unit_test(test_B5_signatures_of_both_kinds_check), cmocka_unit_test(test_thumbprint_and_keys_of_others), cmocka_unit_test(test_B16_keys_that_cannot_sign),
      cmocka_unit_test(test_B15_private_keys_as_jwk), cmocka_unit_test(test_B16_jwks_that_cannot_sign),
      cmocka_unit_test(test_B8_S14_answers_that_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
