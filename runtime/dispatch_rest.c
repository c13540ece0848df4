/* dispatch_rest.c - HTTP services: get, post, put, patch, delete (builtins.def, kind rest).
 *
 * The address is the operator's; a program gives a path below it. Every hole of a template is percent-encoded, so a value cannot leave
 * its path segment or add a parameter; a path with '..' is refused. Names are resolved here and each address asked of the egress policy; only allowed
 * addresses are handed to the client. Redirects are followed only for GET and where the operator says so, here and not by the client: each hop is
 * resolved and judged like a first request, and credentials stay with their origin.
 *
 * An HL7 message as the body is HL7 over HTTP (H-46 .. H-49): the acknowledgement in the answer decides. */
#include <stdio.h>
#include <stdlib.h>
#include "engine_int.h"
#include "http_curl.h"
#include "json.h"
#include "trace.h"
#include "url.h"

enum { MAX_HEADERS = 40, MAX_PIN = 8 };

typedef struct rest {
  eng_call *call;
  bool https;                /* where this request goes: the connection's address, or that of a redirect */
  const char *host;
  uint16_t port;
  const char *target;
  const char *method;
  unsigned hops;
  bool elsewhere;            /* another origin than the connection's */
  const char *control_id;    /* MSH-10 of an HL7 message as the body; NULL = the body is none */
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
  if (c->cfg->has_tls) { /* never given back: the client's pools are known by its address */
    http_identity *who = (http_identity *)arena_zalloc(&e->a, 1, sizeof *who);
    if (!who) return HDW_E_NOMEM;
    *who = (http_identity){c->cfg->cert_pem, c->cfg->key_pem, c->cfg->ca_pem};
    c->identity = who;
  }
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

/* False: it is no text. Left out it would be another question: a search without its criterion finds everybody. */
static bool add_param(buf *b, bool *first, arena *a, val key, val v) {
  uint32_t n = v.tag == VAL_LIST ? v.len : v.tag != VAL_EMPTY;
  for (uint32_t i = 0; i < n; i++) {
    val item = v.tag == VAL_LIST ? v.u.v[i] : v;
    size_t len = 0;
    if (item.tag == VAL_NULL) continue;
    const char *s = eng_arg_bytes(a, item, NULL, &len);
    if (!s) return false;
    buf_putc(b, *first ? '?' : '&');
    *first = false;
    percent(b, key.u.s, key.len, "");
    buf_putc(b, '=');
    percent(b, s, len, "");
  }
  return true;
}

static bool add_object(buf *b, bool *first, arena *a, val obj) {
  for (uint32_t i = 0; obj.tag == VAL_OBJ && i < obj.len; i++)
    if (!add_param(b, first, a, obj.u.v[2 * i], obj.u.v[2 * i + 1])) return false;
  return true;
}

static bool is_own(val key) {
  static const char *const own[] = {"path", "body", "query", "params", "headers", "if_match", "if_none_exist", "idempotency_key", "0", "1"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (jv_is(key, own[i])) return true;
  return false;
}

/* NULL: *why. */
static const char *make_target(eng_call *call, const char **why) {
  arena *a = call->a;
  *why = "the path is missing, malformed or leaves the base";
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
  bool ok = add_object(&b, &first, a, jv_get(call->request, "query")) && add_object(&b, &first, a, jv_get(call->request, "params"));
  for (uint32_t i = 0; i < call->request.len && ok; i++)
    if (!is_own(call->request.u.v[2 * i])) ok = add_param(&b, &first, a, call->request.u.v[2 * i], call->request.u.v[2 * i + 1]);
  if (!ok) {
    *why = "a parameter of the query is no text, number, date or list of them";
    return NULL;
  }
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

/* The context of this attempt, unless the program says its own. */
static bool trace_header(rest *r) {
  trace_ctx t;
  uint8_t span[TRACE_SPAN], parent[TRACE_SPAN];
  char *text = (char *)arena_alloc(r->call->a, TRACE_TEXT);
  if (find_header(r, "traceparent") || !text || !trace_of_call(r->call, &t, span, parent)) return true;
  trace_format(&t, span, text);
  return header(r, "traceparent", text);
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
    if (v.tag != VAL_EMPTY && (!value || !header(r, extra[i].name, value))) return false; /* without it the call would not be conditional */
  }
  if ((!strcmp(r->method, "POST") || !strcmp(r->method, "PATCH")) && !find_header(r, call->c->cfg->o.idempotency_header) &&
      !header(r, call->c->cfg->o.idempotency_header, call->idem)) return false;
  val body = jv_get(call->request, "body");
  if (body.tag == VAL_EMPTY) body = jv_get(call->request, "1");
  if (!find_header(r, "Accept") && !header(r, "Accept", hl7_of(body) ? "application/hl7-v2, */*;q=0.1" : "application/json, */*;q=0.1")) return false;
  if (call->c->cfg->o.trace && !trace_header(r)) return false;
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
    hl7_head h;
    if (!st && hl7_of(v)->level == HL7_MSG && !hl7_head_read(s.p, s.len, &h, NULL)) r->control_id = arena_dup(call->a, h.control_id.p, h.control_id.len);
    made = "application/hl7-v2; charset=UTF-8";
  } else if (v.tag == VAL_STR || v.tag == VAL_TPL) {
    size_t len = 0;
    const char *t = eng_arg_bytes(call->a, v, NULL, &len);
    if (!t) return HDW_E_TYPE;
    buf_put(&b, t, len);
    made = "text/plain; charset=UTF-8";
  } else if (v.tag == VAL_BIN) {
    buf_put(&b, v.u.s, v.len);
    made = "application/octet-stream";
  } else if (type && !strncasecmp(type, "application/x-www-form-urlencoded", 33)) {
    bool first = true;
    if (!add_object(&b, &first, call->a, v)) return HDW_E_TYPE;
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

/* IMF-fixdate, RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT". */
static bool http_date_us(const char *v, int64_t *us) {
  static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char iso[32];
  tm_val t;
  unsigned m = 0;
  if (strlen(v) != HTTP_DATE_BYTES || v[3] != ',' || strcmp(v + 25, " GMT") != 0) return false;
  while (m < 12 && memcmp(v + 8, months[m], 3) != 0) m++;
  int n = snprintf(iso, sizeof iso, "%.4s-%02u-%.2sT%.8sZ", v + 12, m + 1, v + 5, v + 17);
  return m < 12 && !tm_parse_datetime(iso, (size_t)n, &t) && !tm_to_unix_us(&t, us);
}

/* Seconds, or an HTTP-date; what has passed, or is garbage, is 0; at most an hour. */
static int64_t retry_after_us(eng_call *call, const char *v) {
  char *end;
  int64_t us = 0, when;
  if (!v) return 0;
  if (v[0] >= '0' && v[0] <= '9') {
    unsigned long seconds = strtoul(v, &end, 10);
    us = *end ? 0 : seconds > 3600 ? INT64_C(3600000000) : (int64_t)seconds * 1000000;
  } else if (http_date_us(v, &when)) us = when - io_wall_us(call->e->io);
  return us < 0 ? 0 : us > INT64_C(3600000000) ? INT64_C(3600000000) : us;
}

static bool is_hl7(const char *type) {
  char low[64];
  size_t n = 0;
  for (; type && type[n] && type[n] != ';' && n < sizeof low - 1; n++) low[n] = type[n] >= 'A' && type[n] <= 'Z' ? (char)(type[n] + 32) : type[n];
  low[n] = 0;
  return strstr(low, "application/hl7-v2") != NULL; /* x- before it, +er7 behind it (H-47) */
}

static void on_success(rest *r, const io_http_res *res) {
  eng_call *call = r->call;
  call->status = res->code;
  if (r->control_id && is_hl7(res_header(res, "Content-Type"))) {
    eng_ack_judge(call, res->body, res->body_len, r->control_id, strlen(r->control_id));
    return;
  }
  if (r->control_id && strcmp(call->c->cfg->o.hl7_answer, "any") != 0) {
    eng_call_fail(call, FAIL_AMBIGUOUS, res->code, "no_ack", "HTTP %d without an HL7 acknowledgement; hl7_answer: any takes that for success", res->code);
    return;
  }
  hdw_status s = read_body(call, res);
  call->ok = !s;
  if (s) eng_call_fail(call, s == HDW_E_NOMEM ? FAIL_PERMANENT : FAIL_DATA, res->code, hdw_status_name(s), "the response's body is not what its type says");
}

static void on_refusal(rest *r, const io_http_res *res) {
  eng_call *call = r->call;
  char code[16];
  int n = snprintf(code, sizeof code, "%d", res->code);
  eng_reaction how = eng_reaction_of(call->c, code, (size_t)n);
  if (how == REACT_DONE) {
    call->status = res->code;
    call->ok = true;
    if (read_body(call, res)) call->result = VAL_NONE;
    return;
  }
  uint8_t klass = how == REACT_RETRY ? FAIL_TRANSIENT : how == REACT_DEAD || res->code < 400 ? FAIL_PERMANENT : 0;
  eng_call_fail(call, klass, res->code, code, "HTTP %d %s", res->code, http_reason(res->code));
  call->judged = how == REACT_RETRY && res->code < 500;
  call->retry_after_us = retry_after_us(call, res_header(res, "Retry-After"));
}

static bool redirected(rest *r, const io_http_res *res);

static void on_response(const io_http_res *res, void *user) {
  rest *r = (rest *)user;
  eng_call *call = r->call;
  r->id = 0;
  if (!res->status && redirected(r, res)) return;
  call->driver = NULL;
  if (res->status) {
    call->sent = res->sent;
    /* HDW_E_DENIED: a certificate that is over or not yet known here is somebody's to repair, so what waits for it waits. Nothing was sent. */
    uint8_t klass = res->status == HDW_E_LIMIT ? FAIL_PERMANENT : res->sent ? FAIL_AMBIGUOUS : FAIL_TRANSIENT;
    eng_call_fail(call, klass, 0, hdw_status_name(res->status), "%s", res->error && res->error[0] ? res->error : hdw_status_text(res->status));
  } else if (res->code >= 200 && res->code < 300) on_success(r, res);
  else on_refusal(r, res);
  eng_call_done(call);
}

static void fail_soon(eng_call *call, uint8_t klass, const char *code, const char *text) {
  eng_call_fail(call, klass, 0, code, "%s", text);
  call->driver = NULL;
  eng_call_later(call);
}

static void go(rest *r) {
  eng_call *call = r->call;
  io_http_req q = {.method = r->method, .https = r->https, .host = r->host, .port = r->port, .target = r->target, .headers = r->headers,
                   .nheaders = r->nheaders, .body = r->body, .body_len = r->body_len, .pin = r->pin, .npin = r->npin, .timeout_us = call->c->timeout_us,
                   .max_body_bytes = (size_t)call->c->cfg->o.max_response_bytes, .max_header_bytes = 65536,
                   .tls = r->elsewhere ? NULL : call->c->identity};
  if (r->body_len) eng_echo_sends(call, r->body, r->body_len);
  hdw_status s = io_http_request(call->e->io, &q, on_response, r, &r->id);
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

/* The address, resolved and judged; then the request. */
static void reach(rest *r) {
  eng_call *call = r->call;
  io_addr lit;
  char text[300];
  snprintf(text, sizeof text, strchr(r->host, ':') ? "[%.250s]:%u" : "%.250s:%u", r->host, r->port);
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
  hdw_status s = io_resolve(call->e->io, r->host, r->port, call->c->timeout_us, on_resolved, r, &r->id);
  if (s) fail_soon(call, FAIL_TRANSIENT, hdw_status_name(s), "the host's name cannot be resolved");
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
  const char *why;
  r->target = make_target(call, &why);
  if (!r->target) {
    fail_soon(call, FAIL_DATA, "bad_path", why);
    return;
  }
  hdw_status s = make_headers(r) ? make_body(r) : HDW_E_INVALID;
  if (s) {
    fail_soon(call, FAIL_DATA, hdw_status_name(s), s == HDW_E_INVALID ? "a header is malformed" : "the body cannot be written");
    return;
  }
  r->https = call->c->https, r->host = call->c->host, r->port = call->c->port;
  reach(r);
}

/* 301, 302, 307, 308 to a GET, as often as the operator allows; https only, but for the connection's own origin. True: the attempt goes on or has ended. */
static bool redirected(rest *r, const io_http_res *res) {
  eng_call *call = r->call;
  const char *to = res_header(res, "Location");
  bool is = res->code == 301 || res->code == 302 || res->code == 303 || res->code == 307 || res->code == 308;
  url from = {.https = r->https, .host = r->host, .port = r->port, .target = r->target, .path = r->target}, next, home;
  if (!is || !to || strcmp(r->method, "GET") != 0 || r->hops >= (unsigned)call->c->cfg->o.redirects) return false;
  if (strlen(to) > URL_MAX_BYTES || url_resolve(call->a, &from, to, strlen(to), &next)) return false;
  home = (url){.https = call->c->https, .host = call->c->host, .port = call->c->port};
  bool same = url_same_origin(&next, &home);
  if (!same && !next.https) return false;
  r->hops++;
  if (!same) { /* credentials stay with their origin, also when a later hop comes back */
    unsigned n = 0;
    for (unsigned i = 0; i < r->nheaders; i++) {
      const char *h = r->headers[i].name;
      if (strcasecmp(h, "Accept") != 0) continue;
      r->headers[n++] = r->headers[i];
    }
    r->nheaders = n;
    r->elsewhere = true;
  }
  r->https = next.https, r->host = next.host, r->port = next.port, r->target = next.target;
  r->npin = 0;
  reach(r);
  return true;
}

static void rest_cancel(eng_call *call) {
  rest *r = (rest *)call->driver;
  if (r && r->id) io_cancel(call->e->io, r->id);
}

const eng_driver eng_driver_rest = {.kind = "rest", .setup = rest_setup, .start = rest_start, .cancel = rest_cancel};
