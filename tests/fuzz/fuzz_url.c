/* Addresses and small texts of configuration and headers: URLs (also against a base, and built from hostile parts), networks, hours, trace contexts, percent escapes.
 *
 * Held: what parses prints as something that parses to the same; values given to url_build change neither host nor number of segments nor of parameters. */
#include <stdlib.h>
#include <string.h>
#include "egress.h"
#include "hours.h"
#include "http.h"
#include "trace.h"
#include "url.h"

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static void must(bool ok) { if (!ok) abort(); }

static unsigned occurs(const char *s, char c) {
  unsigned n = 0;
  for (; s && *s; s++) n += *s == c;
  return n;
}

static void one_url(arena *a, const char *s, size_t n) {
  url u, v, base;
  must(url_parse(a, "https://hub.example:8443/fhir/a/b?x=1", 37, &base) == HDW_OK);
  if (url_parse(a, s, n, &u) == HDW_OK) {
    const char *t = url_text(a, &u);
    must(t && url_parse(a, t, strlen(t), &v) == HDW_OK && url_same_origin(&u, &v) && !strcmp(u.target, v.target) && !strcmp(url_text(a, &v), t));
    must(u.target[0] == '/' && u.host[0] && u.port);
    for (const char *p = u.target; *p; p++) must((unsigned char)*p > 32 && (unsigned char)*p < 127 && *p != '\\' && *p != '#');
    if (u.is_addr) (void)egress_allowed(NULL, &u.addr);
  }
  if (url_resolve(a, &base, s, n, &u) == HDW_OK) {
    const char *t = url_text(a, &u);
    must(t && url_parse(a, t, strlen(t), &v) == HDW_OK && url_same_origin(&u, &v) && !strcmp(u.target, v.target));
  }
  size_t h = n / 2;
  url_segment seg[2] = {{s, h}, {s + h, n - h}};
  url_param par[1] = {{"q", s, 1, n}};
  if (url_build(a, &base, seg, 2, par, 1, &u) == HDW_OK) {
    must(url_same_origin(&u, &base) && !strncmp(u.target, "/fhir/a/b/", 10));
    must(occurs(u.path, '/') == 5 && occurs(u.query, '&') + occurs(u.query, '=') <= 3);
  }
  h = n < 100 ? n : 100;
  if (url_build(a, &base, NULL, 0, &(url_param){"q", s, 1, h}, 1, &u) == HDW_OK) must(url_same_origin(&u, &base));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mem m = {get, put, NULL};
  arena a;
  arena_init(&a, &m, 1 << 22);
  char *text = malloc(size + 1), *out = malloc(size + 1);
  memcpy(text, data, size);
  text[size] = 0;
  one_url(&a, text, size);
  net_cidr c;
  io_addr to;
  if (net_cidr_parse(text, &c) == HDW_OK) must(c.bits <= (c.family == IO_ADDR_IP4 ? 32 : 128));
  if (io_addr_parse(text, &to) == HDW_OK) (void)egress_rule(&to), (void)egress_allowed(NULL, &to);
  hours h = {0};
  size_t at = 0;
  if (hours_parse(text, &h, &at) == HDW_OK) (void)hours_open(&h, INT64_C(1700000000000000));
  else must(at <= size);
  trace_ctx t;
  uint8_t span[TRACE_SPAN] = {1};
  char shown[TRACE_TEXT];
  if (trace_parse(text, size, &t)) trace_format(&t, span, shown), must(trace_parse(shown, strlen(shown), &t));
  for (int plus = 0; plus < 2; plus++) {
    long k = http_decode(out, (http_str){text, (uint32_t)size}, plus);
    must(k <= (long)size && (k < 0 || !memchr(out, 0, (size_t)k)));
  }
  free(text);
  free(out);
  arena_free(&a);
  return 0;
}
