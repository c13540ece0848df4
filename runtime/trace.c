/* trace.c - trace context: parsing, and ids that derive from what they are about. */
#include "trace.h"
#include <stdio.h>

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* Lower case only, as the recommendation says. */
static bool hex(const char *s, size_t n, uint8_t *out) {
  for (size_t i = 0; i < n; i++) {
    int a = digit(s[2 * i]), b = digit(s[2 * i + 1]);
    if (a < 0 || b < 0) return false;
    out[i] = (uint8_t)(a << 4 | b);
  }
  return true;
}

static bool zeros(const uint8_t *p, size_t n) {
  uint8_t any = 0;
  for (size_t i = 0; i < n; i++) any |= p[i];
  return !any;
}

bool trace_parse(const char *s, size_t n, trace_ctx *out) {
  uint8_t version, flags;
  trace_ctx t;
  if (n < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || !hex(s, 1, &version) || version == 0xff) return false;
  if (n > 55 && (version == 0 || s[55] != '-')) return false;
  if (!hex(s + 3, TRACE_ID, t.id) || !hex(s + 36, TRACE_SPAN, t.parent) || !hex(s + 53, 1, &flags)) return false;
  if (zeros(t.id, TRACE_ID) || zeros(t.parent, TRACE_SPAN)) return false;
  t.flags = flags & 1;
  *out = t;
  return true;
}

void trace_format(const trace_ctx *t, const uint8_t span[TRACE_SPAN], char out[TRACE_TEXT]) {
  char id[2 * TRACE_ID + 1], s[2 * TRACE_SPAN + 1];
  eng_hex(t->id, TRACE_ID, id);
  eng_hex(span, TRACE_SPAN, s);
  snprintf(out, TRACE_TEXT, "00-%s-%s-%02x", id, s, t->flags & 1);
}

void trace_pack(const trace_ctx *t, uint8_t out[TRACE_BYTES]) {
  memcpy(out, t->id, TRACE_ID);
  memcpy(out + TRACE_ID, t->parent, TRACE_SPAN);
  out[TRACE_ID + TRACE_SPAN] = t->flags;
}

static void derive(const uint8_t identity[REC_HASH], trace_ctx *out) {
  uint8_t h[REC_HASH];
  cod_sha256("trace", 5, identity, REC_HASH, h);
  *out = (trace_ctx){.flags = 1};
  memcpy(out->id, h, TRACE_ID);
}

void trace_of_input(const store_input *in, trace_ctx *out) {
  uint8_t identity[REC_HASH];
  if (in->trace.len == TRACE_BYTES) {
    memcpy(out->id, in->trace.p, TRACE_ID);
    memcpy(out->parent, in->trace.p + TRACE_ID, TRACE_SPAN);
    out->flags = (uint8_t)in->trace.p[TRACE_ID + TRACE_SPAN];
    return;
  }
  eng_identity(in, identity);
  derive(identity, out);
}

void trace_of_run(engine *e, const store_run *r, arena *a, trace_ctx *out) {
  store_input in;
  uint8_t identity[REC_HASH];
  if (r->input && !store_get_input(e->store, ENG_PART, r->input, a, &in)) {
    trace_of_input(&in, out);
    return;
  }
  cod_sha256(&r->id, sizeof r->id, r->module, REC_HASH, identity);
  derive(identity, out);
}

void trace_span(const trace_ctx *t, char kind, uint64_t id, const char *path, uint32_t attempt, uint8_t out[TRACE_SPAN]) {
  char text[REC_PATH_MAX + 60];
  uint8_t h[REC_HASH];
  int n = snprintf(text, sizeof text, "%c\n%llu\n%s\n%u", kind, (unsigned long long)id, path ? path : "", attempt);
  cod_sha256(t->id, TRACE_ID, text, n > 0 && (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, h);
  memcpy(out, h, TRACE_SPAN);
}

bool trace_of_call(eng_call *call, trace_ctx *t, uint8_t span[TRACE_SPAN], uint8_t parent[TRACE_SPAN]) {
  arena a;
  store_run row;
  arena_init(&a, call->e->mem, 0);
  bool ok = call->run && !store_get_run(call->e->store, ENG_PART, call->run, &a, &row);
  if (ok) {
    trace_of_run(call->e, &row, &a, t);
    trace_span(t, 'r', call->run, "", 0, parent);
    trace_span(t, 'a', call->delivery ? call->delivery : call->run, call->path, call->attempt, span);
  }
  arena_free(&a);
  return ok;
}

/* ---- the ring ----------------------------------------------------------------------------------------------------------------------- */

void tracer_add(tracer *t, const trace_span_rec *s) {
  if (!t) return;
  if (t->n == t->cap) { /* drop the oldest */
    t->at = (t->at + 1) % t->cap;
    t->n--;
    if (t->batch > t->lost) t->lost++; /* its copy is on its way */
    else t->st.dropped++;
  }
  t->ring[(t->at + t->n++) % t->cap] = *s;
  if (t->busy) return;
  t->busy = true;
  t->wake(t);
}

void tracer_stats_get(const tracer *t, tracer_stats *out) {
  *out = t ? t->st : (tracer_stats){0};
  if (t) out->queued = t->n;
}

void tracer_free(tracer *t) {
  if (t) t->close(t);
}
