/* engine_http.c - HTTP to inputs and back: API requests and HL7 over HTTP (H-46 .. H-53). */
#include <stdio.h>
#include "engine_int.h"
#include "trace.h"

enum { MAX_KEY = 255 };      /* of an Idempotency-Key */

typedef struct http_wait {
  eng_wait wait;
  eng_listener *l;
  http_token t;
  char type[120];            /* content type of an HL7 answer: the request's own spelling (H-47) */
  char encoding[8];
} http_wait;

static http_str lit(const char *s) { return (http_str){s, strlen(s)}; }

static void on_http_reply(void *user, const engine_reply *r) {
  http_wait *w = (http_wait *)user;
  if (w->l->http) { /* one answer, and no word of the commit: eng_answer.single */
    http_header h[2] = {{lit("Content-Type"), lit(r->json ? (r->http_status >= 400 ? "application/problem+json" : "application/json") : w->type)}, {lit("Retry-After"), lit("5")}};
    (void)http_reply(w->l->http, w->t, r->http_status, h, r->http_status == 503 ? 2 : 1, r->p, r->len);
  }
  eng_wait_end(w->l, &w->wait);
}

typedef enum body_type { BODY_OTHER, BODY_ER7, BODY_XML, BODY_TEXT } body_type;

/* {x-,}application/hl7-v2{,+er7}: with parameters, any case. The XML form is known and refused; text/plain is for the listener to say. */
static body_type type_of(http_str t, char *charset, size_t cap) {
  static const struct { const char *name; body_type type; } names[] = {
      {"application/hl7-v2", BODY_ER7},      {"application/hl7-v2+er7", BODY_ER7},   {"x-application/hl7-v2", BODY_ER7},     {"x-application/hl7-v2+er7", BODY_ER7},
      {"application/hl7-v2+xml", BODY_XML}, {"x-application/hl7-v2+xml", BODY_XML}, {"text/plain", BODY_TEXT}};
  const char *semi = t.len ? (const char *)memchr(t.p, ';', t.len) : NULL;
  http_str name = {t.p, semi ? (size_t)(semi - t.p) : t.len};
  while (name.len && (name.p[name.len - 1] == ' ' || name.p[name.len - 1] == '\t')) name.len--;
  body_type type = BODY_OTHER;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (http_str_is(name, names[i].name)) type = names[i].type;
  charset[0] = 0;
  for (const char *p = semi, *end = t.p + t.len; p;) { /* parameters: NAME=VALUE, VALUE perhaps quoted (H-48) */
    do p++;
    while (p < end && (*p == ' ' || *p == '\t'));
    const char *next = p < end ? (const char *)memchr(p, ';', (size_t)(end - p)) : NULL, *stop = next ? next : end;
    if (stop - p > 8 && http_str_is((http_str){p, 8}, "charset=")) {
      size_t n = 0;
      for (p += 8; p < stop && n + 1 < cap; p++)
        if (*p != '"' && *p != ' ' && *p != '\t') charset[n++] = *p;
      charset[n] = 0;
    }
    p = next;
  }
  return type;
}

/* False: out of memory. A request without a part of it would be another one. */
static bool headers_of(arena *a, const http_head *h, val *out) {
  val *kv = (val *)arena_zalloc(a, h->n_fields ? h->n_fields : 1, 2 * sizeof *kv);
  uint32_t n = 0;
  if (!kv) return false;
  for (unsigned i = 0; i < h->n_fields; i++) {
    http_str name = http_field_name(h, i), value = http_field_value(h, i);
    if (http_str_is(name, "authorization") || http_str_is(name, "cookie") || http_str_is(name, "proxy-authorization")) continue;
    char *low = arena_dup(a, name.p, name.len), *text = arena_dup(a, value.p, value.len);
    if (!low || !text) return false;
    for (char *p = low; *p; p++)
      if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    uint32_t k = 0;
    while (k < n && !jv_is(kv[2 * k], low)) k++;
    if (k < n) { /* one that is there again means a list (RFC 9110 5.3) */
      const val *was = &kv[2 * k + 1];
      size_t n1 = was->len, len = n1 + 2 + value.len;
      char *both = (char *)arena_alloc(a, len);
      if (!both) return false;
      memcpy(both, was->u.s, n1);
      memcpy(both + n1, ", ", 2);
      memcpy(both + n1 + 2, text, value.len);
      kv[2 * k + 1] = val_str(both, len);
      continue;
    }
    kv[2 * n] = val_key(low, name.len);
    kv[2 * n + 1] = val_str(text, value.len);
    n++;
  }
  *out = (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
  return true;
}

/* A parameter that is there again: a list, in their order; its room doubles. */
static bool one_more(arena *a, val *v, val x) {
  uint32_t n = v->tag == VAL_LIST ? v->len : 1;
  val *all = v->tag == VAL_LIST ? (val *)(uintptr_t)v->u.v : NULL;
  if (!all || (n & (n - 1)) == 0) {
    val *grown = (val *)arena_alloc(a, 2 * (size_t)n * sizeof *grown);
    if (!grown) return false;
    for (uint32_t i = 0; i < n; i++) grown[i] = val_item(*v, i);
    all = grown;
  }
  all[n] = x;
  *v = (val){.tag = VAL_LIST, .len = n + 1, .u.v = all};
  return true;
}

static bool query_of(arena *a, http_str q, val *out) {
  uint32_t n = 0, cap = 1;
  for (size_t i = 0; i < q.len; i++) cap += q.p[i] == '&';
  if (cap > 1000) cap = 1000;
  val *kv = (val *)arena_zalloc(a, cap, 2 * sizeof *kv);
  if (!kv) return false;
  for (const char *p = q.p, *end = q.p + q.len; p && p < end && n < cap;) {
    const char *amp = (const char *)memchr(p, '&', (size_t)(end - p)), *stop = amp ? amp : end;
    const char *eq = (const char *)memchr(p, '=', (size_t)(stop - p)), *name_end = eq ? eq : stop;
    http_str name = {p, (size_t)(name_end - p)}, value = {eq ? eq + 1 : stop, (size_t)(stop - (eq ? eq + 1 : stop))};
    char *nt = (char *)arena_alloc(a, name.len + 1), *vt = (char *)arena_alloc(a, value.len + 1);
    if (!nt || !vt) return false;
    long nl = http_decode(nt, name, true), vl = http_decode(vt, value, true);
    if (nl > 0 && vl >= 0) {
      uint32_t k = 0;
      while (k < n && !(kv[2 * k].len == (uint32_t)nl && !memcmp(kv[2 * k].u.s, nt, (size_t)nl))) k++;
      if (k < n && !one_more(a, &kv[2 * k + 1], val_str(vt, (size_t)vl))) return false;
      if (k == n) kv[2 * n] = val_key(nt, (size_t)nl), kv[2 * n + 1] = val_str(vt, (size_t)vl), n++;
    }
    p = stop + 1;
  }
  *out = (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
  return true;
}

static void refuse(eng_listener *l, http_token t, int status, const char *header, const char *value) {
  http_header h[2] = {{lit("Content-Type"), lit("application/problem+json")}, {lit(header ? header : ""), lit(value ? value : "")}};
  char body[160];
  int n = snprintf(body, sizeof body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d}", http_reason(status), status);
  (void)http_reply(l->http, t, status, h, header ? 2 : 1, body, (size_t)n);
}

/* Its sender comes again. */
static void refuse_now(eng_listener *l, http_token t) { refuse(l, t, 503, "Retry-After", "5"); }

/* Public keys: whoever checks our assertions fetches them (B-13). */
static bool is_jwks(const eng_listener *l, const http_request *r) {
  return l->o->jwks[0] && http_str_is(r->head->method, "GET") && r->head->path.len == strlen(l->o->jwks) && !memcmp(r->head->path.p, l->o->jwks, r->head->path.len);
}

static void serve_jwks(eng_listener *l, arena *a, http_token t) {
  http_header h[2] = {{lit("Content-Type"), lit("application/json")}, {lit("Cache-Control"), lit("max-age=300")}};
  buf b;
  buf_init(&b, a, 1 << 20);
  engine_jwks(l->e, &b);
  if (b.status) refuse_now(l, t);
  else (void)http_reply(l->http, t, 200, h, 2, b.p, b.len);
}

static void serve(eng_listener *l, arena *a, http_token t, const http_request *r) {
  engine *e = l->e;
  char *path = (char *)arena_alloc(a, r->head->path.len + 1), *method = arena_dup(a, r->head->method.p, r->head->method.len), allow[64], addr[IO_ADDR_TEXT];
  if (is_jwks(l, r)) {
    serve_jwks(l, a, t);
    return;
  }
  if (!path || !method) {
    refuse_now(l, t);
    return;
  }
  long n = http_decode(path, r->head->path, false);
  if (n < 0) {
    refuse(l, t, 400, NULL, NULL);
    return;
  }
  path[n] = 0;
  int route = engine_route(e, l->name, method, path, allow);
  if (route == 0) {
    refuse(l, t, 404, NULL, NULL);
    return;
  }
  if (route == 1) {
    refuse(l, t, 405, "Allow", allow);
    return;
  }
  char charset[40] = "", identity[REC_NAME_MAX + 1];
  http_str type = http_head_get(r->head, "content-type");
  body_type kind = type_of(type, charset, sizeof charset);
  bool taken = kind == BODY_ER7 || (kind == BODY_TEXT && l->o->plain_text);
  if (route == 3 && (!taken || (charset[0] && !charset_supported(charset_find(charset, strlen(charset)))))) {
    refuse(l, t, 415, NULL, NULL);
    return;
  }
  if (!eng_auth_http(l, r, identity)) { /* was asked before the body; the identity is only known here */
    refuse(l, t, 401, NULL, NULL);
    return;
  }
  http_str idem = http_head_get(r->head, "idempotency-key");
  if (route == 2 && idem.len > MAX_KEY) { /* ignored, a repetition would not be recognised */
    refuse(l, t, 400, NULL, NULL);
    return;
  }
  engine_request q = {.body = r->body, .body_len = r->body_len};
  bool whole = route == 3 || (query_of(a, r->head->query, &q.query) && headers_of(a, r->head, &q.headers) && (!idem.len || (q.idempotency_key = arena_dup(a, idem.p, idem.len))));
  http_wait *w = whole ? (http_wait *)eng_wait_new(l, sizeof *w) : NULL;
  if (!w) {
    refuse_now(l, t);
    return;
  }
  w->l = l, w->t = t;
  snprintf(w->type, sizeof w->type, "%.*s", (int)(type.len > 110 ? 110 : type.len), type.p ? type.p : "text/plain");
  engine_source src = {.listener = l->name, .peer = io_addr_format(&r->peer, addr), .method = method, .path = path, .charset = charset[0] ? charset : NULL,
                       .identity = identity[0] ? identity : NULL};
  uint8_t trace[TRACE_BYTES];
  trace_ctx ctx;
  http_str parent = http_head_get(r->head, "traceparent");
  if (parent.p && trace_parse(parent.p, parent.len, &ctx)) {
    trace_pack(&ctx, trace);
    src.trace = trace;
  }
  if (route == 3) {
    engine_submit_hl7(e, &src, r->body, r->body_len, on_http_reply, w);
    return;
  }
  q.src = src;
  engine_submit_request(e, &q, on_http_reply, w);
}

void eng_http_request(void *user, http_token t, const http_request *r) {
  eng_listener *l = (eng_listener *)user;
  arena a;
  arena_init(&a, l->e->mem, 4 << 20);
  serve(l, &a, t, r);
  arena_free(&a);
}

/* Before a byte of the body is read: who it is, and whether there is anything at this path. */
int eng_http_head(void *user, const http_request *r, size_t *max_body_bytes, http_header *extra) {
  eng_listener *l = (eng_listener *)user;
  char identity[REC_NAME_MAX + 1];
  (void)max_body_bytes;
  if (is_jwks(l, r)) return 0;
  if (!eng_auth_peer(l, r->sans, identity)) {
    l->unauthorised++;
    return 403;
  }
  if (!eng_auth_http(l, r, identity)) {
    l->unauthorised++;
    *extra = (http_header){lit("WWW-Authenticate"), lit(l->o->basic.n ? "Basic realm=\"hdw\", charset=\"UTF-8\"" : "Bearer")};
    return 401;
  }
  if (eng_may_accept(l->e)) return 0;
  l->refused++;
  *extra = (http_header){lit("Retry-After"), lit("5")};
  return 503;
}
