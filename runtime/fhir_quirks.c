/* fhir_quirks.c - what a connection's declaration says of its vendor's servers, at run time:
 *
 *   parameters: { 'ah-practice': practice }   every search carries them, unless it has one of the name itself
 *   quirks: { page_size: 50,                  _count, unless the search has one
 *             rates: { Observation: 5 },      requests a second of one resource, besides those of the whole connection
 *             version_test: false }           patches do not test meta.versionId (fhir_patch.c) */
#include "fhir_call.h"

enum { RATES_MAX = 64 };
struct fhir_rates {
  unsigned n;
  struct { const char *type; int64_t gap_us, next_us; } v[RATES_MAX];
};

static bool has(const char *query, const char *name, size_t len) {
  for (const char *p = query; p && *p; p = strchr(p, '&'), p = p ? p + 1 : NULL)
    if (!strncmp(p, name, len) && (p[len] == '=' || p[len] == ':')) return true;
  return false;
}

const char *fhir_quirks_query(fhir *f, const char *query) {
  arena *a = f->call->a;
  val always = jv_get(f->call->c->args, "parameters");
  int64_t size;
  buf b;
  buf_init(&b, a, 1 << 20);
  buf_puts(&b, query);
  for (uint32_t i = 0; always.tag == VAL_OBJ && i < always.len; i++) {
    val kv = {.tag = VAL_OBJ, .len = 1, .u.v = &always.u.v[2 * i]};
    if (!has(query, kv.u.v[0].u.s, kv.u.v[0].len)) fhir_query_object(&b, a, kv, NULL);
  }
  if (jv_int(jv_get(jv_get(f->call->c->args, "quirks"), "page_size"), &size) && size > 0 && !has(query, "_count", 6)) buf_putf(&b, "%s_count=%lld", b.len ? "&" : "", (long long)size);
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

hdw_status fhir_quirks_setup(engine *e, eng_conn *c) {
  val rates = jv_get(jv_get(c->args, "quirks"), "rates");
  if (rates.tag != VAL_OBJ) return HDW_OK;
  c->fhir_rates = (struct fhir_rates *)arena_zalloc(&e->a, 1, sizeof *c->fhir_rates);
  if (!c->fhir_rates) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < rates.len && c->fhir_rates->n < RATES_MAX; i++) {
    int64_t per_second;
    const char *type = jv_text(&e->a, rates.u.v[2 * i]);
    if (!type || !jv_int(rates.u.v[2 * i + 1], &per_second) || per_second <= 0 || per_second > 1000000) continue;
    c->fhir_rates->v[c->fhir_rates->n].type = type;
    c->fhir_rates->v[c->fhir_rates->n++].gap_us = 1000000 / per_second;
  }
  return HDW_OK;
}

int64_t fhir_quirks_wait(fhir *f) {
  struct fhir_rates *r = f->call->c->fhir_rates;
  for (unsigned i = 0; r && i < r->n; i++) {
    if (strcmp(r->v[i].type, f->type) != 0) continue;
    int64_t now = io_mono_us(f->call->e->io), at = r->v[i].next_us > now ? r->v[i].next_us : now;
    r->v[i].next_us = at + r->v[i].gap_us;
    return at - now;
  }
  return 0;
}
