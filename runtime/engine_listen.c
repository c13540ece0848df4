/* engine_listen.c - sockets to inputs and back: MLLP and HTTP (H-46 .. H-53). */
#include <stdio.h>
#include "engine_int.h"

/* ---- MLLP ------------------------------------------------------------------------------------------------------------------------ */

typedef struct mllp_wait {
  eng_listener *l;
  mllp_token t;
} mllp_wait;

static void on_mllp_reply(void *user, const engine_reply *r) {
  mllp_wait *w = (mllp_wait *)user;
  if (w->l->mllp) {
    if (r->extra) {
      if (r->len) (void)mllp_send(w->l->mllp, w->t, r->p, r->len);
    } else if (mllp_reply(w->l->mllp, w->t, r->p, r->len) == HDW_E_DATA) (void)mllp_reply(w->l->mllp, w->t, NULL, 0);
  }
  if (r->last) eng_put(w->l->e, w, sizeof *w);
}

static void on_frame(void *user, mllp_token t, const mllp_peer *peer, const uint8_t *p, size_t len) {
  eng_listener *l = (eng_listener *)user;
  mllp_wait *w = (mllp_wait *)eng_get(l->e, sizeof *w);
  if (!w) {
    (void)mllp_reply(l->mllp, t, NULL, 0);
    return;
  }
  *w = (mllp_wait){l, t};
  char addr[IO_ADDR_TEXT];
  engine_source src = {.listener = l->name, .peer = io_addr_format(&peer->addr, addr)};
  engine_submit_hl7(l->e, &src, p, len, on_mllp_reply, w);
}

static void on_oversize(void *user, mllp_token t, const mllp_peer *peer, const uint8_t *p, size_t len) {
  eng_listener *l = (eng_listener *)user;
  mllp_wait *w = (mllp_wait *)eng_get(l->e, sizeof *w);
  (void)peer;
  if (!w) return;
  *w = (mllp_wait){l, t};
  l->e->st.refused++;
  eng_answer_refusal(l->e, on_mllp_reply, w, p, len, "AR", 207, "The message is too long");
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------------------------ */

typedef struct http_wait {
  eng_listener *l;
  http_token t;
  char type[120];            /* content type of an HL7 answer: the request's own spelling (H-47) */
  char encoding[8];
} http_wait;

static http_str lit(const char *s) { return (http_str){s, strlen(s)}; }

static void on_http_reply(void *user, const engine_reply *r) {
  http_wait *w = (http_wait *)user;
  if (!r->extra && w->l->http) {
    http_header h[2] = {{lit("Content-Type"), lit(r->json ? (r->http_status >= 400 ? "application/problem+json" : "application/json") : w->type)}, {lit("Retry-After"), lit("5")}};
    (void)http_reply(w->l->http, w->t, r->http_status, h, r->http_status == 503 ? 2 : 1, r->p, r->len);
  }
  if (r->last) eng_put(w->l->e, w, sizeof *w);
}

/* {x-,}application/hl7-v2{,+er7}, text/plain: with parameters, any case. */
static bool hl7_type(http_str t, char *charset, size_t cap) {
  static const char *const names[] = {"application/hl7-v2", "application/hl7-v2+er7", "x-application/hl7-v2", "x-application/hl7-v2+er7", "text/plain"};
  const char *semi = (const char *)memchr(t.p ? t.p : "", ';', t.len);
  http_str name = {t.p, semi ? (size_t)(semi - t.p) : t.len};
  while (name.len && name.p[name.len - 1] == ' ') name.len--;
  bool ok = false;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) ok |= http_str_is(name, names[i]);
  charset[0] = 0;
  const char *cs = ok && semi ? strcasestr(semi, "charset=") : NULL; /* the head is followed by CR LF: never past its end */
  if (cs && cs < t.p + t.len) {
    cs += 8;
    size_t n = 0;
    for (; cs < t.p + t.len && *cs != ';' && n + 1 < cap; cs++)
      if (*cs != '"' && *cs != ' ') charset[n++] = *cs;
    charset[n] = 0;
  }
  return ok;
}

static val text_val(arena *a, const char *p, size_t n) {
  char *s = arena_dup(a, p, n);
  return s ? val_str(s, n) : VAL_NONE;
}

static val headers_of(arena *a, const http_head *h) {
  val *kv = (val *)arena_zalloc(a, h->n_fields ? h->n_fields : 1, 2 * sizeof *kv);
  uint32_t n = 0;
  for (unsigned i = 0; kv && i < h->n_fields; i++) {
    http_str name = http_field_name(h, i), value = http_field_value(h, i);
    char *low = arena_dup(a, name.p, name.len);
    if (!low || http_str_is(name, "authorization") || http_str_is(name, "cookie") || http_str_is(name, "proxy-authorization")) continue;
    for (char *p = low; *p; p++)
      if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    bool seen = false;
    for (uint32_t k = 0; k < n; k++) seen |= jv_is(kv[2 * k], low);
    if (seen) continue;
    kv[2 * n] = val_key(low, name.len);
    kv[2 * n + 1] = text_val(a, value.p, value.len);
    n++;
  }
  return (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
}

static val query_of(arena *a, http_str q) {
  uint32_t n = 0, cap = 1;
  for (size_t i = 0; i < q.len; i++) cap += q.p[i] == '&';
  if (cap > 1000) cap = 1000;
  val *kv = (val *)arena_zalloc(a, cap, 2 * sizeof *kv);
  for (const char *p = q.p, *end = q.p + q.len; kv && p && p < end && n < cap;) {
    const char *amp = (const char *)memchr(p, '&', (size_t)(end - p)), *stop = amp ? amp : end;
    const char *eq = (const char *)memchr(p, '=', (size_t)(stop - p)), *name_end = eq ? eq : stop;
    http_str name = {p, (size_t)(name_end - p)}, value = {eq ? eq + 1 : stop, (size_t)(stop - (eq ? eq + 1 : stop))};
    char *nt = (char *)arena_alloc(a, name.len + 1), *vt = (char *)arena_alloc(a, value.len + 1);
    long nl = nt ? http_decode(nt, name, true) : -1, vl = vt ? http_decode(vt, value, true) : -1;
    if (nl > 0 && vl >= 0) {
      bool seen = false;
      for (uint32_t k = 0; k < n; k++) seen |= kv[2 * k].len == (uint32_t)nl && !memcmp(kv[2 * k].u.s, nt, (size_t)nl);
      if (!seen) kv[2 * n] = val_key(nt, (size_t)nl), kv[2 * n + 1] = val_str(vt, (size_t)vl), n++;
    }
    p = stop + 1;
  }
  return (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
}

static void refuse(eng_listener *l, http_token t, int status, const char *header, const char *value) {
  http_header h[2] = {{lit("Content-Type"), lit("application/problem+json")}, {lit(header ? header : ""), lit(value ? value : "")}};
  char body[160];
  int n = snprintf(body, sizeof body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d}", http_reason(status), status);
  (void)http_reply(l->http, t, status, h, header ? 2 : 1, body, (size_t)n);
}

static void serve(eng_listener *l, arena *a, http_token t, const http_request *r) {
  engine *e = l->e;
  char *path = (char *)arena_alloc(a, r->head->path.len + 1), *method = arena_dup(a, r->head->method.p, r->head->method.len), allow[64], addr[IO_ADDR_TEXT];
  long n = path ? http_decode(path, r->head->path, false) : -1;
  if (n < 0 || !method) {
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
  char charset[40] = "";
  http_str type = http_head_get(r->head, "content-type");
  bool hl7 = hl7_type(type, charset, sizeof charset);
  if (route == 3 && !hl7) {
    refuse(l, t, 415, NULL, NULL);
    return;
  }
  http_wait *w = (http_wait *)eng_get(e, sizeof *w);
  if (!w) {
    refuse(l, t, 503, "Retry-After", "5");
    return;
  }
  w->l = l, w->t = t;
  snprintf(w->type, sizeof w->type, "%.*s", (int)(type.len > 110 ? 110 : type.len), type.p ? type.p : "text/plain");
  engine_source src = {.listener = l->name, .peer = io_addr_format(&r->peer, addr), .method = method, .path = path, .charset = charset[0] ? charset : NULL};
  if (route == 3) {
    engine_submit_hl7(e, &src, r->body, r->body_len, on_http_reply, w);
    return;
  }
  http_str idem = http_head_get(r->head, "idempotency-key");
  engine_request q = {.src = src, .query = query_of(a, r->head->query), .headers = headers_of(a, r->head), .body = r->body, .body_len = r->body_len};
  if (idem.p && idem.len && idem.len < 256) q.idempotency_key = arena_dup(a, idem.p, idem.len);
  engine_submit_request(e, &q, on_http_reply, w);
}

static void on_request(void *user, http_token t, const http_request *r) {
  eng_listener *l = (eng_listener *)user;
  arena a;
  arena_init(&a, l->e->mem, 4 << 20);
  serve(l, &a, t, r);
  arena_free(&a);
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------------- */

static hdw_status allow_list(engine *e, eng_listener *l, char text[200]) {
  l->nallow = l->o->allow.n;
  l->allow = (net_cidr *)arena_zalloc(&e->a, l->nallow ? l->nallow : 1, sizeof *l->allow);
  if (!l->allow) return HDW_E_NOMEM;
  for (unsigned i = 0; i < l->nallow; i++)
    if (net_cidr_parse(l->o->allow.v[i], &l->allow[i])) {
      snprintf(text, 200, "listeners.%.60s.allow: '%.60s' is no network", l->name, l->o->allow.v[i]);
      return HDW_E_INVALID;
    }
  return HDW_OK;
}

static hdw_status open_tls(eng_listener *l, char text[200]) {
  char why[160] = "";
  tls_opts o = {.server = true, .cert_pem = l->cfg->cert_pem, .key_pem = l->cfg->key_pem, .ca_pem = l->cfg->client_ca_pem};
  hdw_status s = o.cert_pem && o.key_pem ? tls_ctx_new(&o, &l->tls, why, sizeof why) : HDW_E_INVALID;
  if (s) snprintf(text, 200, "listeners.%.60s.tls: %.120s", l->name, why[0] ? why : "certificate or key was not read");
  return s;
}

static mllp_listener_opts mllp_opts(eng_listener *l, const io_addr *a) {
  return (mllp_listener_opts){.addr = *a, .strict = l->o->strict, .max_frame_bytes = (size_t)l->o->max_frame_bytes, .frame_timeout_us = l->o->read_timeout_ms * 1000,
                              .idle_timeout_us = l->o->idle_timeout_ms * 1000, .max_conns = (unsigned)l->o->max_connections, .allow = l->allow, .n_allow = l->nallow,
                              .tls = l->tls, .frame = on_frame, .oversize = on_oversize, .user = l};
}

static http_server_opts http_opts(eng_listener *l, const io_addr *a) {
  return (http_server_opts){.addr = *a, .max_body_bytes = (size_t)l->o->max_frame_bytes, .body_timeout_us = l->o->read_timeout_ms * 1000, .idle_timeout_us = l->o->idle_timeout_ms * 1000,
                            .max_conns = (unsigned)l->o->max_connections, .allow = l->allow, .n_allow = l->nallow, .tls = l->tls, .request = on_request, .user = l};
}

hdw_status eng_listener_open(engine *e, eng_listener *l, char text[200]) {
  char addr[200];
  io_addr a;
  bool six = strchr(l->o->address, ':') != NULL && l->o->address[0] != '[';
  snprintf(addr, sizeof addr, six ? "[%.150s]:%lld" : "%.150s:%lld", l->o->address, (long long)l->o->port);
  if (l->o->port < 0 || io_addr_parse(addr, &a)) {
    snprintf(text, 200, "listeners.%.60s: '%.100s' is no address", l->name, addr);
    return HDW_E_INVALID;
  }
  hdw_status s = allow_list(e, l, text);
  if (!s && l->cfg->has_tls) s = open_tls(l, text);
  if (s) return s;
  if (!strcmp(l->kind, "mllp")) {
    mllp_listener_opts o = mllp_opts(l, &a);
    s = mllp_listener_new(e->io, &o, &l->mllp);
  } else {
    http_server_opts o = http_opts(l, &a);
    s = http_server_new(e->io, &o, &l->http);
  }
  if (s) snprintf(text, 200, "listeners.%.60s: %.80s: %s", l->name, addr, s == HDW_E_EXISTS ? "the address is in use" : hdw_status_text(s));
  return s;
}

void eng_listener_close(eng_listener *l) {
  if (l->mllp) mllp_listener_free(l->mllp);
  if (l->http) http_server_free(l->http);
  if (l->tls) tls_ctx_free(l->tls);
  l->mllp = NULL, l->http = NULL, l->tls = NULL;
}

hdw_status eng_listener_prepare(engine *e, const eng_listener *l, const config_listener *c, eng_listener *next, char text[200]) {
  *next = (eng_listener){.e = e, .name = l->name, .kind = l->kind, .o = &c->o, .cfg = c};
  hdw_status s = allow_list(e, next, text);
  if (!s && c->has_tls) s = open_tls(next, text);
  return s;
}

void eng_listener_update(eng_listener *l, eng_listener *next) {
  io_addr none = {0};
  if (l->tls) tls_ctx_free(l->tls); /* open connections keep what they use of it */
  l->o = next->o, l->cfg = next->cfg, l->tls = next->tls, l->allow = next->allow, l->nallow = next->nallow;
  if (l->mllp) {
    mllp_listener_opts o = mllp_opts(l, &none);
    mllp_listener_update(l->mllp, &o);
  } else if (l->http) {
    http_server_opts o = http_opts(l, &none);
    http_server_update(l->http, &o);
  }
}

/* Every declared listener once, whichever modules name it. */
static hdw_status collect(engine *e, char text[200]) {
  e->listeners = (eng_listener *)arena_zalloc(&e->a, ENG_MAX_LISTENERS, sizeof *e->listeners);
  if (!e->listeners) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < e->napps; i++)
    for (uint32_t k = 0; k < e->apps[i]->meta.nlisteners && !e->apps[i]->retired; k++) {
      const meta_listener *m = &e->apps[i]->meta.listeners[k];
      eng_listener *l = eng_listener_find(e, m->name);
      const config_listener *c = config_find_listener(e->o.config, m->name);
      if (l && !strcmp(l->kind, m->kind)) continue;
      if (l || !c || e->nlisteners == ENG_MAX_LISTENERS) {
        snprintf(text, 200, "listeners.%.60s: %s", m->name, l ? "declared with two kinds" : !c ? "not bound" : "there are too many");
        return HDW_E_INVALID;
      }
      const char *name = arena_dup(&e->a, m->name, strlen(m->name)), *kind = arena_dup(&e->a, m->kind, strlen(m->kind)); /* they outlive the module */
      if (!name || !kind) return HDW_E_NOMEM;
      e->listeners[e->nlisteners++] = (eng_listener){.e = e, .name = name, .kind = kind, .o = &c->o, .cfg = c};
    }
  return HDW_OK;
}

hdw_status engine_listen(engine *e, char text[200]) {
  text[0] = 0;
  hdw_status s = collect(e, text);
  for (uint32_t i = 0; i < e->nlisteners && !s; i++) s = eng_listener_open(e, &e->listeners[i], text);
  return s;
}

uint16_t engine_port(const engine *e, const char *listener) {
  io_addr a = {0};
  for (uint32_t i = 0; i < e->nlisteners; i++) {
    const eng_listener *l = &e->listeners[i];
    if (l->closing || strcmp(l->name, listener)) continue;
    if (l->mllp) mllp_listener_addr(l->mllp, &a);
    if (l->http) http_server_addr(l->http, &a);
  }
  return a.port;
}
