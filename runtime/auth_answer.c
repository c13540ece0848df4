/* auth_answer.c - what login servers answer. Every byte is a stranger's: whatever could end a header, fill memory or live for ever is refused. */
#include "auth_token.h"
#include "json.h"

enum { DEPTH = 8 };
#define DAY_US INT64_C(86400000000)

bool token_ok(const char *s) {
  size_t n = 0;
  for (; s[n]; n++) {
    unsigned char c = (unsigned char)s[n];
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ',' || c == ';') return false;
  }
  return n > 0 && n <= TOKEN_MAX_BYTES;
}

bool token_seconds(val v, int64_t *us) {
  int64_t s = 0;
  if (v.tag == VAL_STR && !(v.flags & VALF_ESC)) { /* "3600" */
    if (!v.len || v.len > 12) return false;
    for (uint32_t i = 0; i < v.len; i++) {
      if (v.u.s[i] < '0' || v.u.s[i] > '9') return false;
      s = s * 10 + (v.u.s[i] - '0');
    }
  } else if (v.tag == VAL_NUM) {
    dec d, t;
    if (dec_parse(v.u.s, v.len, &d)) return false;
    t = dec_trunc(&d);
    if (dec_to_i64(&t, &s)) return false;
  } else if (!jv_int(v, &s)) return false;
  if (s <= 0) return false;
  *us = s > DAY_US / 1000000 ? DAY_US : s * 1000000;
  return true;
}

hdw_status token_json(mem *m, arena *a, const void *p, size_t len, val *out) {
  json_reader r;
  json_opts o = {.max_depth = DEPTH, .max_bytes = TOKEN_ANSWER_BYTES};
  *out = VAL_NONE;
  if (!len || len > TOKEN_ANSWER_BYTES) return HDW_E_DATA;
  const char *text = arena_dup(a, p, len);
  if (!text) return HDW_E_NOMEM;
  json_reader_init(&r, m);
  hdw_status s = json_read(&r, a, text, len, &o, out, NULL);
  json_reader_free(&r);
  if (s == HDW_E_NOMEM) return s;
  return s || out->tag != VAL_OBJ ? HDW_E_DATA : HDW_OK;
}

static bool is_bearer(const char *s) { return s && !strcasecmp(s, "bearer"); }

hdw_status token_read(mem *m, arena *a, const void *p, size_t len, token_answer *out, const char **why) {
  val v;
  *out = (token_answer){0};
  *why = "its answer is no JSON object";
  hdw_status s = token_json(m, a, p, len, &v);
  if (s) return s;
  val token = jv_get(v, "access_token"), life = jv_get(v, "expires_in");
  out->value = jv_text(a, token);
  *why = token.tag == VAL_EMPTY ? "its answer holds no access_token" : "its access_token is not what can stand in a header";
  if (!out->value || !token_ok(out->value)) return HDW_E_DATA;
  *why = "its token_type is not bearer";
  if (!is_bearer(jv_text(a, jv_get(v, "token_type")))) return HDW_E_DATA;
  *why = "its expires_in is no number of seconds above 0";
  if (life.tag != VAL_EMPTY && life.tag != VAL_NULL && !token_seconds(life, &out->life_us)) return HDW_E_DATA;
  *why = "its scope is no text";
  val scope = jv_get(v, "scope");
  out->scope = jv_text(a, scope);
  if (scope.tag == VAL_NULL) return HDW_OK;
  if (scope.tag != VAL_EMPTY && !out->scope) return HDW_E_DATA;
  for (const char *c = out->scope; c && *c; c++)
    if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f || c - out->scope >= TOKEN_SCOPE_BYTES) return HDW_E_DATA;
  return HDW_OK;
}

void token_error(mem *m, const void *p, size_t len, char code[ENG_CODE]) {
  arena a;
  val v;
  code[0] = 0;
  arena_init(&a, m, 4 * TOKEN_ANSWER_BYTES);
  const char *t = token_json(m, &a, p, len, &v) ? NULL : jv_text(&a, jv_get(v, "error"));
  size_t n = t ? strlen(t) : 0;
  bool plain = n > 0 && n < ENG_CODE;
  for (size_t i = 0; i < n && plain; i++) plain = (t[i] >= 'a' && t[i] <= 'z') || t[i] == '_';
  if (plain) memcpy(code, t, n + 1);
  arena_free(&a);
}
