/* HTTP request heads and bodies: the same result whole and in drawn pieces, and nothing accepted that is framed in two ways. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "http.h"

static void *get(mem *m, size_t n) {
  (void)m;
  return malloc(n);
}
static void put(mem *m, void *p, size_t n) {
  (void)m, (void)n;
  free(p);
}

typedef struct result {
  long end;            /* of http_head_end */
  int status;
  http_head h;
  hdw_status chunk;
  size_t used, made;
  uint64_t hash;
} result;

static void inside(const char *p, size_t n, http_str s) {
  if (s.p && (s.p < p || s.p + s.len > p + n)) abort();
}

/* The head of in[0..n), looked for in pieces of step bytes (0 = whole), then its chunked body in the same pieces. */
static void run(result *r, const char *in, size_t n, size_t step) {
  size_t seen = 0, at = 0;
  const char *why = NULL;
  memset(r, 0, offsetof(result, h.field));
  r->chunk = HDW_OK;
  r->used = r->made = 0;
  r->hash = 0;
  do {
    at = step && n - at > step ? at + step : n;
    char *copy = malloc(at ? at : 1);
    memcpy(copy, in, at);
    r->end = http_head_end(copy, at, &seen, 0);
    if (r->end > (long)at || seen > at) abort();
    free(copy);
  } while (r->end == 0 && at < n);
  if (r->end <= 0) return;
  char *head = malloc((size_t)r->end);
  memcpy(head, in, (size_t)r->end);
  r->status = http_head_parse(&r->h, head, (size_t)r->end, &why);
  if (r->status ? !why || r->status < 400 || r->status > 505 : 0) abort();
  if (!r->status) {
    const http_head *h = &r->h;
    inside(head, (size_t)r->end, h->method), inside(head, (size_t)r->end, h->path), inside(head, (size_t)r->end, h->query), inside(head, (size_t)r->end, h->host);
    unsigned lengths = 0, codings = 0, hosts = 0;
    for (unsigned i = 0; i < h->n_fields; i++) {
      http_str name = http_field_name(h, i), value = http_field_value(h, i);
      inside(head, (size_t)r->end, name), inside(head, (size_t)r->end, value);
      if (memchr(value.p, '\r', value.len) || memchr(value.p, '\n', value.len) || memchr(value.p, 0, value.len) || memchr(name.p, ' ', name.len)) abort();
      lengths += http_str_is(name, "content-length");
      codings += http_str_is(name, "transfer-encoding");
      hosts += http_str_is(name, "host");
    }
    if (lengths + codings > 1 || hosts > 1 || (h->minor == 1 && hosts != 1) || (codings && !h->chunked) || (lengths != (h->content_length >= 0))) abort();
    char *dec = malloc(h->query.len + 1);
    if (h->query.p && http_query_get(h->query, "a", dec, h->query.len) > (long)h->query.len) abort();
    free(dec);
  }
  free(head);
  r->h.base = NULL; /* pointers differ between runs; offsets must not */
  r->h.method.p = r->h.path.p = r->h.query.p = r->h.host.p = r->h.expect_host.p = NULL;
  if (r->status || !r->h.chunked) return;
  http_chunked c;
  http_chunked_init(&c);
  r->chunk = HDW_E_AGAIN;
  r->hash = 1469598103934665603u;
  for (at = (size_t)r->end; at < n && r->chunk == HDW_E_AGAIN;) {
    size_t k = step && n - at > step ? step : n - at, used, made;
    char *piece = malloc(k);
    memcpy(piece, in + at, k);
    r->chunk = http_chunked_decode(&c, piece, k, &used, piece, &made);
    if (used > k || made > used) abort();
    for (size_t i = 0; i < made; i++) r->hash = (r->hash ^ (uint8_t)piece[i]) * 1099511628211u;
    r->made += made;
    r->used += used;
    at += used;
    free(piece);
    if (r->chunk == HDW_E_AGAIN && used != k) abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n) {
  static result a, b; /* large */
  if (n < 1) return 0;
  size_t step = 1 + in[0] % 31;
  const char *p = (const char *)in + 1;
  n--;
  run(&a, p, n, 0);
  run(&b, p, n, step);
  if (a.end != b.end || a.status != b.status || a.chunk != b.chunk || a.used != b.used || a.made != b.made || a.hash != b.hash) abort();
  if (a.end > 0 && !a.status && memcmp(&a.h, &b.h, offsetof(http_head, field) + a.h.n_fields * sizeof *a.h.field)) abort();
  /* Inflating anything stays within its bound. */
  mem m = {get, put, NULL};
  void *out;
  size_t len, cap;
  if (http_gunzip(&m, p, n, 1 << 16, &out, &len, &cap) == HDW_OK) {
    if (len > 1 << 16) abort();
    if (out) m.put(&m, out, cap);
  }
  return 0;
}
