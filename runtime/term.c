/* term.c - see term.h. */
#include "term.h"
#include <stdio.h>

static hdw_status number(store *s, arena *a, const char *key, uint64_t *out) {
  cod_str v;
  *out = 0;
  hdw_status st = store_get_named(s, cod_cstr("log"), cod_cstr(key), a, &v);
  if (st) return st == HDW_E_NOTFOUND ? HDW_OK : st;
  for (uint32_t i = 0; i < v.len; i++) {
    if (v.p[i] < '0' || v.p[i] > '9' || *out > UINT64_MAX / 10 - 10) return HDW_E_CORRUPT;
    *out = *out * 10 + (uint64_t)(v.p[i] - '0');
  }
  return v.len ? HDW_OK : HDW_E_CORRUPT;
}

hdw_status term_get(store *s, arena *a, term_info *out) {
  *out = (term_info){.term = 1};
  uint64_t term;
  hdw_status st = number(s, a, "term", &term);
  if (!st && term) out->term = term;
  return st ? st : number(s, a, "fenced", &out->fenced);
}

hdw_status term_record(cod_w *w, const char *key, uint64_t term, char text[TERM_TEXT]) {
  rec_put p = {.space = cod_cstr("log"), .key = cod_cstr(key)};
  snprintf(text, TERM_TEXT, "%llu", (unsigned long long)term);
  return rec_put_named(w, &p);
}
