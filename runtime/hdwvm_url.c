/* hdwvm_url.c - asking a daemon over TCP: --url http(s)://HOST:PORT, with the bearer token of --token-file. */
#include <stdio.h>
#include <stdlib.h>
#include "hdwvm.h"
#include "http_curl.h"
#include "io_linux.h"
#include "url.h"

typedef struct resolved {
  io *x;
  io_addr *out;
  unsigned n;
} resolved;
static void on_resolved(hdw_status s, const io_addr *addrs, unsigned n, void *user) {
  resolved *r = (resolved *)user;
  (void)s;
  for (unsigned i = 0; i < n && r->n < 8; i++) r->out[r->n++] = addrs[i];
  io_stop(r->x);
}

unsigned hv_lookup(io *x, const char *host, uint16_t port, io_addr out[8]) {
  char text[300];
  resolved r = {.x = x, .out = out};
  snprintf(text, sizeof text, strchr(host, ':') ? "[%.250s]:%u" : "%.250s:%u", host, port);
  if (!io_addr_parse(text, &out[0])) return 1;
  if (!io_resolve(x, host, port, 10000000, on_resolved, &r, NULL)) (void)io_run(x);
  if (!r.n) hv_say("%s cannot be resolved", host);
  return r.n;
}

typedef struct asking {
  io *x;
  arena *a;
  int status;
  const char *body;
  size_t len;
} asking;
static void on_answer(const io_http_res *r, void *user) {
  asking *k = (asking *)user;
  if (r->status) hv_say("no answer: %s", r->error[0] ? r->error : hdw_status_text(r->status));
  else {
    k->body = arena_dup(k->a, r->body ? r->body : "", r->body_len);
    k->len = r->body_len;
    if (k->body) k->status = r->code;
  }
  io_stop(k->x);
}

/* --ca: trust these authorities instead of the system's. Kept for the process: the client's connections are known by its address. */
static const http_identity *identity(const hv_args *a) {
  static http_identity one;
  static io_mem heap;
  static arena kept;
  size_t n;
  if (one.ca_pem) return &one;
  io_mem_init(&heap, 0);
  arena_init(&kept, &heap.m, 0);
  one.ca_pem = hv_read(&kept, a->ca, &n);
  return one.ca_pem ? &one : NULL;
}

/* "Bearer TOKEN". */
static const char *bearer(const hv_args *a, arena *ar) {
  size_t n;
  buf b;
  char *t = hv_read(ar, a->token_file, &n);
  while (t && n && (t[n - 1] == '\n' || t[n - 1] == '\r')) t[--n] = 0;
  if (!t || !n || strpbrk(t, "\r\n ")) {
    if (t) hv_say("%s holds no token", a->token_file);
    return NULL;
  }
  buf_init(&b, ar, 65536);
  buf_puts(&b, "Bearer ");
  buf_put(&b, t, n + 1);
  return b.status ? NULL : b.p;
}

int hv_ask_url(const hv_args *a, arena *ar, const char *method, const char *target, const void *with, size_t with_len, const char **body, size_t *len) {
  url u;
  io_addr at[8];
  asking k = {.a = ar, .status = -1};
  const char *token = a->token_file ? bearer(a, ar) : "";
  if (!token) return -1;
  if (url_parse(ar, a->url, strlen(a->url), &u)) {
    hv_say("--url: '%s' is no URL of the form http(s)://HOST:PORT", a->url);
    return -1;
  }
  const http_identity *id = a->ca ? identity(a) : NULL;
  if (a->ca && !id) return -1;
  k.x = a->kept;
  if (!k.x && io_linux_new(ar->mem, &k.x)) return -1;
  io_http_header h = {"Authorization", token};
  unsigned n = hv_lookup(k.x, u.host, u.port, at);
  io_http_req q = {.method = method, .https = u.https, .host = u.host, .port = u.port, .target = target, .headers = &h, .nheaders = token[0] ? 1 : 0, .pin = at, .npin = n, .tls = id,
                   .body = with, .body_len = with_len, .timeout_us = 60000000, .max_body_bytes = 256 << 20, .max_header_bytes = 65536};
  hdw_status s = n ? io_http_request(k.x, &q, on_answer, &k, NULL) : HDW_OK;
  if (s) hv_say("%s cannot be asked: %s", a->url, hdw_status_text(s));
  if (n && !s) (void)io_run(k.x);
  if (!a->kept) io_linux_free(k.x);
  *body = k.body, *len = k.len;
  return k.status;
}
