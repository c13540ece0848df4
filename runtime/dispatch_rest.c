/* dispatch_rest.c - HTTP services: get, post, put, patch, delete (builtins.def, kind rest).
 *
 * The address is the operator's; a program gives a path below it. Every hole of a template is percent-encoded, so a value cannot leave
 * its path segment or add a parameter; a path with '..' is refused. Names are resolved here and each address asked of the egress policy; only allowed
 * addresses are handed to the client. Redirects are not followed. */
#include <stdio.h>
#include <stdlib.h>
#include "engine_int.h"
#include "json.h"
#include "url.h"

enum { MAX_HEADERS = 40, MAX_PIN = 8 };

typedef struct rest {
  eng_call *call;
  const char *target;
  const char *method;
  io_http_header headers[MAX_HEADERS];
  unsigned nheaders;
  const void *body;
  size_t body_len;
  io_addr pin[MAX_PIN];
  unsigned npin;
  uint64_t id;
} rest;

/* ---- address ------------------------------------------------------------------------------------------------------------------- */

static hdw_status parse_base(engine *e, eng_conn *c, const char *text_url, char text[ENG_TEXT]) {
  url u;
  hdw_status s = url_parse(&e->a, text_url, strlen(text_url), &u);
  if (s == HDW_E_NOMEM) return s;
  if (s || u.query) {
    snprintf(text, ENG_TEXT, "base: '%.120s' is no URL of the form http(s)://host[:port][/path]", text_url);
    return HDW_E_INVALID;
  }
  c->https = u.https;
  c->port = u.port;
  c->host = arena_dup(&e->a, u.host, strlen(u.host));
  size_t n = strlen(u.path);
  while (n && u.path[n - 1] == '/') n--;
  c->prefix = arena_dup(&e->a, u.path, n);
  return c->host && c->prefix ? HDW_OK : HDW_E_NOMEM;
}

static hdw_status rest_setup(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  const char *base = c->cfg->o.base[0] ? c->cfg->o.base : jv_text(&e->a, jv_get(c->args, "base"));
  if (!base) {
    snprintf(text, ENG_TEXT, "base: missing; neither hdw.json nor the program says where it is");
    return HDW_E_INVALID;
  }
  return parse_base(e, c, base, text);
}

/* ---- request -------------------------------------------------------------------------------------------------------------------- */

static bool unreserved(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
}
static void percent(buf *b, const char *s, size_t n, const char *keep) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (unreserved(c) || (c && strchr(keep, c))) buf_putc(b, (char)c);
    else {
      char t[3] = {'%', hex[c >> 4], hex[c & 15]};
      buf_put(b, t, 3);
    }
  }
}
static void esc_segment(buf *b, const char *s, size_t n) { percent(b, s, n, ""); }
/* A plain string is escaped whole, but for what makes it a path. */
static void esc_path(buf *b, const char *s, size_t n) { percent(b, s, n, "/:@!$&'()*+,;="); }

static bool has_dots(const char *path) {
  for (const char *p = path; *p && *p != '?'; p++)
    if (*p == '/' && p[1] == '.' && (!p[2] || p[2] == '/' || p[2] == '?' || (p[2] == '.' && (!p[3] || p[3] == '/' || p[3] == '?')))) return true;
  return false;
}

static void add_param(buf *b, bool *first, arena *a, val key, val v) {
  uint32_t n = v.tag == VAL_LIST ? v.len : v.tag != VAL_EMPTY;
  for (uint32_t i = 0; i < n; i++) {
    val item = v.tag == VAL_LIST ? v.u.v[i] : v;
    const char *s = eng_arg_text(a, item, NULL);
    if (!s || item.tag == VAL_NULL) continue;
    buf_putc(b, *first ? '?' : '&');
    *first = false;
    percent(b, key.u.s, key.len, "");
    buf_putc(b, '=');
    percent(b, s, strlen(s), "");
  }
}

static void add_object(buf *b, bool *first, arena *a, val obj) {
  for (uint32_t i = 0; obj.tag == VAL_OBJ && i < obj.len; i++) add_param(b, first, a, obj.u.v[2 * i], obj.u.v[2 * i + 1]);
}

static bool is_own(val key) {
  static const char *const own[] = {"path", "body", "query", "params", "headers", "if_match", "if_none_exist", "idempotency_key", "0", "1"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (jv_is(key, own[i])) return true;
  return false;
}

static const char *make_target(eng_call *call) {
  arena *a = call->a;
  val path = jv_get(call->request, "path");
  if (path.tag == VAL_EMPTY) path = jv_get(call->request, "0");
  const char *p = eng_arg_text(a, path, path.tag == VAL_TPL ? esc_segment : esc_path);
  if (!p) return NULL;
  buf b;
  buf_init(&b, a, 65536);
  buf_puts(&b, call->c->prefix);
  if (p[0] != '/' && p[0] != '?') buf_putc(&b, '/');
  buf_puts(&b, p);
  bool first = !strchr(p, '?');
  add_object(&b, &first, a, jv_get(call->request, "query"));
  add_object(&b, &first, a, jv_get(call->request, "params"));
  for (uint32_t i = 0; i < call->request.len; i++)
    if (!is_own(call->request.u.v[2 * i])) add_param(&b, &first, a, call->request.u.v[2 * i], call->request.u.v[2 * i + 1]);
  buf_putc(&b, 0);
  if (b.status || has_dots(b.p)) return NULL;
  for (const char *q = b.p; *q; q++)
    if ((unsigned char)*q <= ' ' || (unsigned char)*q >= 0x7f || *q == '#') return NULL;
  return b.p;
}

static bool token(const char *s) {
  if (!s[0]) return false;
  for (; *s; s++)
    if (!unreserved((unsigned char)*s) && !strchr("!#$%&'*+^`|", *s)) return false;
  return true;
}

static bool header(rest *r, const char *name, const char *value) {
  if (r->nheaders == MAX_HEADERS || !token(name)) return false;
  for (const char *p = value; *p; p++)
    if ((unsigned char)*p < ' ' || *p == 0x7f) return false;
  r->headers[r->nheaders++] = (io_http_header){name, value};
  return true;
}

static const char *find_header(const rest *r, const char *name) {
  for (unsigned i = 0; i < r->nheaders; i++)
    if (!strcasecmp(r->headers[i].name, name)) return r->headers[i].value;
  return NULL;
}

static bool make_headers(rest *r) {
  eng_call *call = r->call;
  val h = jv_get(call->request, "headers");
  for (uint32_t i = 0; h.tag == VAL_OBJ && i < h.len; i++) {
    const char *name = jv_text(call->a, h.u.v[2 * i]), *value = eng_arg_text(call->a, h.u.v[2 * i + 1], NULL);
    if (!name || !value || !header(r, name, value)) return false;
  }
  static const struct { const char *arg, *name; } extra[] = {{"if_match", "If-Match"}, {"if_none_exist", "If-None-Exist"}};
  for (size_t i = 0; i < 2; i++) {
    val v = jv_get(call->request, extra[i].arg);
    const char *value = v.tag == VAL_EMPTY ? NULL : eng_arg_text(call->a, v, NULL);
    if (value && !header(r, extra[i].name, value)) return false;
  }
  if ((!strcmp(r->method, "POST") || !strcmp(r->method, "PATCH")) && !find_header(r, "Idempotency-Key") && !header(r, "Idempotency-Key", call->idem)) return false;
  if (!find_header(r, "Accept") && !header(r, "Accept", "application/json, */*;q=0.1")) return false;
  if (call->c->auth_name && !header(r, call->c->auth_name, call->c->auth_value)) return false;
  return true;
}

static hdw_status write_hl7(void *user, val node, buf *out) {
  (void)user;
  const hl7_node *n = hl7_of(node);
  hl7_slice s = hl7_node_raw(n);
  json_write_str(out, s.p, s.len);
  return HDW_OK;
}

/* Body and, when the program gives none, its Content-Type. */
static hdw_status make_body(rest *r) {
  eng_call *call = r->call;
  val v = jv_get(call->request, "body");
  if (v.tag == VAL_EMPTY) v = jv_get(call->request, "1");
  const char *type = find_header(r, "Content-Type"), *made = NULL;
  buf b;
  hl7_slice s;
  hdw_status st = HDW_OK;
  buf_init(&b, call->a, 64 << 20);
  if (v.tag == VAL_EMPTY) return HDW_OK;
  if (hl7_of(v)) {
    if (hl7_of(v)->level == HL7_MSG) st = hl7_bytes(call->a, hl7_of(v)->m, &s);
    else s = hl7_node_raw(hl7_of(v));
    if (!st) buf_put(&b, s.p, s.len);
    made = "application/hl7-v2; charset=UTF-8";
  } else if (v.tag == VAL_STR || v.tag == VAL_TPL) {
    const char *t = eng_arg_text(call->a, v, NULL);
    if (!t) return HDW_E_TYPE;
    buf_puts(&b, t);
    made = "text/plain; charset=UTF-8";
  } else if (v.tag == VAL_BIN) {
    buf_put(&b, v.u.s, v.len);
    made = "application/octet-stream";
  } else if (type && !strncasecmp(type, "application/x-www-form-urlencoded", 33)) {
    bool first = true;
    add_object(&b, &first, call->a, v);
    if (b.len) b.p++, b.len--, b.cap--; /* without '?' */
  } else {
    json_wopts w = {.hl7 = write_hl7};
    st = json_write(v, &b, &w);
    made = "application/json";
  }
  if (st || b.status) return st ? st : (hdw_status)b.status;
  r->body = b.p, r->body_len = b.len;
  return type || !made || header(r, "Content-Type", made) ? HDW_OK : HDW_E_LIMIT;
}

/* ---- response -------------------------------------------------------------------------------------------------------------------- */

static const char *res_header(const io_http_res *res, const char *name) {
  for (unsigned i = 0; i < res->nheaders; i++)
    if (!strcasecmp(res->headers[i].name, name)) return res->headers[i].value;
  return NULL;
}

static hdw_status read_body(eng_call *call, const io_http_res *res) {
  const char *type = res_header(res, "Content-Type");
  const char *text = arena_dup(call->a, res->body, res->body_len);
  if (!res->body_len) return HDW_OK;
  if (!text) return HDW_E_NOMEM;
  if (type && strstr(type, "json")) {
    json_reader jr;
    json_opts o = {.seed = call->e->hash_seed};
    json_reader_init(&jr, call->e->mem);
    hdw_status s = json_read(&jr, call->a, text, res->body_len, &o, &call->result, NULL);
    json_reader_free(&jr);
    return s;
  }
  val *kv = (val *)arena_alloc(call->a, 4 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  kv[0] = val_key("status", 6), kv[1] = val_int(res->code);
  kv[2] = val_key("body", 4), kv[3] = val_str(text, res->body_len);
  call->result = (val){.tag = VAL_OBJ, .len = 2, .u.v = kv};
  return HDW_OK;
}

static void on_response(const io_http_res *res, void *user) {
  eng_call *call = (eng_call *)user;
  call->driver = NULL;
  if (res->status) {
    call->sent = res->sent;
    uint8_t klass = res->status == HDW_E_LIMIT || res->status == HDW_E_DENIED ? FAIL_PERMANENT : res->sent ? FAIL_AMBIGUOUS : FAIL_TRANSIENT;
    eng_call_fail(call, klass, 0, hdw_status_name(res->status), "%s", res->error && res->error[0] ? res->error : hdw_status_text(res->status));
  } else if (res->code >= 200 && res->code < 300) {
    hdw_status s = read_body(call, res);
    call->status = res->code;
    call->ok = !s;
    if (s) eng_call_fail(call, s == HDW_E_NOMEM ? FAIL_PERMANENT : FAIL_DATA, res->code, hdw_status_name(s), "the response's body is not what its type says");
  } else {
    const char *after = res_header(res, "Retry-After");
    char code[16];
    snprintf(code, sizeof code, "%d", res->code);
    eng_call_fail(call, res->code < 400 ? FAIL_PERMANENT : 0, res->code, code, "HTTP %d %s", res->code, http_reason(res->code));
    long seconds = after ? strtol(after, NULL, 10) : 0;
    if (seconds > 0) call->retry_after_us = (seconds > 3600 ? 3600 : seconds) * INT64_C(1000000);
  }
  eng_call_done(call);
}

static void fail_soon(eng_call *call, uint8_t klass, const char *code, const char *text) {
  eng_call_fail(call, klass, 0, code, "%s", text);
  call->driver = NULL;
  eng_call_later(call);
}

static void go(rest *r) {
  eng_call *call = r->call;
  io_http_req q = {.method = r->method, .https = call->c->https, .host = call->c->host, .port = call->c->port, .target = r->target, .headers = r->headers,
                   .nheaders = r->nheaders, .body = r->body, .body_len = r->body_len, .pin = r->pin, .npin = r->npin, .timeout_us = call->c->timeout_us,
                   .max_body_bytes = (size_t)call->c->cfg->o.max_response_bytes, .max_header_bytes = 65536};
  hdw_status s = io_http_request(call->e->io, &q, on_response, call, &r->id);
  if (s) fail_soon(call, FAIL_TRANSIENT, hdw_status_name(s), "the request cannot be made");
}

static void on_resolved(hdw_status s, const io_addr *addrs, unsigned n, void *user) {
  rest *r = (rest *)user;
  eng_call *call = r->call;
  const char *rule = NULL;
  r->id = 0;
  for (unsigned i = 0; i < n && r->npin < MAX_PIN; i++) {
    if (eng_egress_ok(call->c, &addrs[i])) r->pin[r->npin++] = addrs[i];
    else rule = egress_rule(&addrs[i]);
  }
  if (r->npin) {
    go(r);
    return;
  }
  call->driver = NULL;
  if (s || !n) eng_call_fail(call, FAIL_TRANSIENT, 0, hdw_status_name(s ? s : HDW_E_NOTFOUND), "the host's name cannot be resolved");
  else eng_call_fail(call, FAIL_PERMANENT, 0, "HDW_E_DENIED", "the address is %s: connections.%.60s.grant.networks does not allow it", rule ? rule : "not allowed", call->c->name);
  eng_call_done(call);
}

static void rest_start(eng_call *call) {
  rest *r = (rest *)arena_zalloc(call->a, 1, sizeof *r);
  if (!r) {
    fail_soon(call, FAIL_PERMANENT, "HDW_E_NOMEM", "out of memory");
    return;
  }
  r->call = call;
  call->driver = r;
  char *m = arena_dup(call->a, call->op, strlen(call->op));
  for (char *p = m; p && *p; p++)
    if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
  r->method = m ? m : "GET";
  r->target = make_target(call);
  if (!r->target) {
    fail_soon(call, FAIL_DATA, "bad_path", "the path is missing, malformed or leaves the base");
    return;
  }
  hdw_status s = make_headers(r) ? make_body(r) : HDW_E_INVALID;
  if (s) {
    fail_soon(call, FAIL_DATA, hdw_status_name(s), s == HDW_E_INVALID ? "a header is malformed" : "the body cannot be written");
    return;
  }
  io_addr lit;
  char text[300];
  snprintf(text, sizeof text, strchr(call->c->host, ':') ? "[%s]:%u" : "%s:%u", call->c->host, call->c->port);
  if (!io_addr_parse(text, &lit)) {
    if (!eng_egress_ok(call->c, &lit)) {
      const char *rule = egress_rule(&lit);
      eng_call_fail(call, FAIL_PERMANENT, 0, "HDW_E_DENIED", "the address is %s: connections.%.60s.grant.networks does not allow it", rule ? rule : "not allowed", call->c->name);
      call->driver = NULL;
      eng_call_later(call);
      return;
    }
    r->pin[r->npin++] = lit;
    go(r);
    return;
  }
  s = io_resolve(call->e->io, call->c->host, call->c->port, call->c->timeout_us, on_resolved, r, &r->id);
  if (s) fail_soon(call, FAIL_TRANSIENT, hdw_status_name(s), "the host's name cannot be resolved");
}

static void rest_cancel(eng_call *call) {
  rest *r = (rest *)call->driver;
  if (r && r->id) io_cancel(call->e->io, r->id);
}

const eng_driver eng_driver_rest = {.kind = "rest", .setup = rest_setup, .start = rest_start, .cancel = rest_cancel};
