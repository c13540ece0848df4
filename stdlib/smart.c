/* smart.c - see smart.h. */
#include "smart.h"
#include <string.h>

static const char letters[] = "cruds";

const char *smart_letters(uint8_t rights, char out[6]) {
  size_t n = 0;
  for (unsigned i = 0; i < 5; i++)
    if (rights >> i & 1) out[n++] = letters[i];
  out[n] = 0;
  return out;
}

uint8_t smart_right(char letter) {
  const char *at = letter ? strchr(letters, letter) : NULL;
  return (uint8_t)(at ? 1u << (at - letters) : 0);
}

static bool is(const char *p, size_t n, const char *word) { return n == strlen(word) && !memcmp(p, word, n); }

smart_form smart_scope_read(const char *p, size_t n, smart_scope *out) {
  static const char *const contexts[] = {"system/", "patient/", "user/"};
  size_t at = 0;
  *out = (smart_scope){.type = NULL};
  for (size_t i = 0; i < 3 && !at; i++)
    if (n > strlen(contexts[i]) && !memcmp(p, contexts[i], strlen(contexts[i]))) at = strlen(contexts[i]);
  if (!at) return SMART_IS_NOT;
  const char *end = p + n, *dot = memchr(p + at, '.', n - at), *q = dot ? memchr(dot, '?', (size_t)(end - dot)) : NULL;
  if (!dot) return SMART_BAD_FORM;
  const char *r = dot + 1, *behind = q ? q : end;
  size_t len = (size_t)(behind - r);
  out->type = p + at, out->type_len = (size_t)(dot - out->type);
  out->part = q != NULL;
  out->v1 = is(r, len, "read") || is(r, len, "write") || is(r, len, "*");
  if (out->v1) out->rights = *r == 'r' ? SMART_R | SMART_S : *r == 'w' ? SMART_C | SMART_U | SMART_D : SMART_ALL;
  for (size_t i = 0; !out->v1 && i < len; i++) {
    uint8_t one = smart_right(r[i]);
    if (!one || one <= out->rights) return out->rights = 0, SMART_BAD_RIGHTS;
    out->rights |= one;
  }
  return out->rights ? SMART_IS : SMART_BAD_RIGHTS;
}

uint8_t smart_missing(const char *scopes, const char *type, uint8_t rights, bool *any) {
  smart_scope s;
  *any = false;
  for (const char *p = scopes; *p;) {
    size_t n = strcspn(p, " ");
    if (smart_scope_read(p, n, &s) == SMART_IS) {
      *any = true;
      if (is(s.type, s.type_len, "*") || is(s.type, s.type_len, type)) rights &= (uint8_t)~s.rights;
    }
    p += n + (p[n] == ' ');
  }
  return rights;
}
