/* What login servers answer, key sets, signed tokens: all of it from outside; and private keys as PEM or JWK. The first byte says which.
 *
 * Held: a token that is taken can stand in a header and lives a second to a day; an error's code is letters and underscores; a key that is read prints as a key that
 * reads the same; a token is never good, because nobody here has the private key;
 * a private key that is taken signs, and its public half prints as a key that checks what it signed. */
#include <stdlib.h>
#include <string.h>
#include "auth_token.h"
#include "jwt.h"

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static void must(bool ok) { if (!ok) abort(); }

/* Key of RFC 7515 A.2 and of RFC 6979 A.2.6. */
static const char known[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
    "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et"
    "hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}";

static void answer(mem *m, arena *a, const uint8_t *p, size_t n) {
  token_answer t;
  char code[ENG_CODE];
  const char *why;
  if (!token_read(m, a, p, n, &t, &why)) {
    must(token_ok(t.value) && strlen(t.value) <= TOKEN_MAX_BYTES && t.life_us >= 0 && t.life_us <= INT64_C(86400000000));
    for (const char *c = t.value; *c; c++) must(*c > ' ' && *c < 0x7f);
  } else must(why != NULL);
  token_error(m, p, n, code);
  must(strspn(code, "abcdefghijklmnopqrstuvwxyz_") == strlen(code) && strlen(code) < ENG_CODE);
}

static void key_set(mem *m, arena *a, const uint8_t *p, size_t n) {
  jwt_keys k, again;
  const char *why;
  if (jwt_keys_read(&k, m, (const char *)p, n, &why)) {
    must(why != NULL);
    return;
  }
  must(k.n > 0 && k.n <= JWT_MAX_KEYS);
  for (unsigned i = 0; i < k.n; i++) {
    buf b;
    buf_init(&b, a, 1 << 20);
    if (!k.v[i].kid[0]) strcpy(k.v[i].kid, "none");
    buf_puts(&b, "{\"keys\":[");
    must(jwt_jwk(&k.v[i], &b) == HDW_OK);
    buf_puts(&b, "]}");
    must(jwt_keys_read(&again, m, b.p, b.len, &why) == HDW_OK && again.n == 1 && !strcmp(again.v[0].kid, k.v[i].kid));
    jwt_keys_free(&again);
  }
  jwt_keys_free(&k);
}

static void token(mem *m, arena *a, const jwt_keys *keys, const uint8_t *p, size_t n) {
  jwt_rules r = {.keys = keys, .issuer = "i", .audience = "a", .now_us = INT64_C(1800000000000000), .leeway_us = 60000000};
  val claims;
  const char *why;
  int64_t us = 0;
  must(jwt_check(&r, m, a, (const char *)p, n, &claims, &why) != HDW_OK && why && claims.tag == VAL_EMPTY);
  if (jwt_peek_exp(m, (const char *)p, n, &us)) must(us > 0 && us < INT64_C(253402300800000000));
}

static void private_key(mem *m, arena *a, const uint8_t *p, size_t n) {
  static const char claims[] = "{\"iss\":\"i\",\"aud\":\"a\",\"sub\":\"s\",\"exp\":1800000100}";
  jwt_rules r = {.issuer = "i", .audience = "a", .now_us = INT64_C(1800000000000000), .leeway_us = 60000000};
  char text[JWT_TEXT] = "";
  jwt_key k;
  jwt_keys half;
  const char *why;
  val c;
  buf b, t;
  if (jwt_key_private(&k, m, (const char *)p, n, JWT_ALGS, text)) {
    must(!k.pkey && text[0]);
    return;
  }
  must(k.pkey && k.alg < JWT_ALGS && strlen(k.kid) < JWT_KID);
  if (!k.kid[0]) must(jwt_key_name(&k, m) == HDW_OK && strlen(k.kid) == 43);
  buf_init(&b, a, 1 << 20);
  buf_init(&t, a, 1 << 20);
  buf_puts(&b, "{\"keys\":[");
  must(jwt_jwk(&k, &b) == HDW_OK && jwt_sign(&k, claims, sizeof claims - 1, &t) == HDW_OK);
  buf_puts(&b, "]}");
  must(!memmem(b.p, b.len, "\"d\":", 4) && jwt_keys_read(&half, m, b.p, b.len, &why) == HDW_OK && half.n == 1);
  r.keys = &half;
  must(jwt_check(&r, m, a, t.p, t.len - 1, &c, &why) == HDW_OK);
  jwt_keys_free(&half);
  jwt_key_free(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
  mem m = {.get = get, .put = put};
  static jwt_keys keys;
  const char *why;
  arena a;
  if (!keys.n) must(jwt_keys_read(&keys, &m, known, sizeof known - 1, &why) == HDW_OK);
  if (!n || n > 20000) return 0;
  arena_init(&a, &m, 0);
  if (p[0] == '3') private_key(&m, &a, p + 1, n - 1);
  else if (p[0] % 3 == 0) answer(&m, &a, p + 1, n - 1);
  else if (p[0] % 3 == 1) key_set(&m, &a, p + 1, n - 1);
  else token(&m, &a, &keys, p + 1, n - 1);
  arena_free(&a);
  return 0;
}
