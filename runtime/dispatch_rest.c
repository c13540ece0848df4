/* dispatch_rest.c - HTTP services: get, post, put, patch, delete (builtins.def, kind rest).
 *
 * The address is the operator's; a program gives a path below it. Every hole of a template is percent-encoded, so a value cannot leave
 * its path segment or add a parameter; a path with '..' is refused. Names are resolved here and each address asked of the egress policy; only allowed
 * addresses are handed to the client. Redirects are followed only for GET and where the operator says so, here and not by the client: each hop is
 * resolved and judged like a first request, and credentials stay with their origin.
 *
 * An HL7 message as the body is HL7 over HTTP (H-46 .. H-49): the acknowledgement in the answer decides. */
#include <stdio.h>
#include "dispatch_http.h"
#include "json.h"
#include "rest_call.h"

typedef struct rest {
  eng_http x;
  bool page;                 /* of pages(...) */
  const char *control_id;    /* MSH-10 of an HL7 message as the body; NULL = the body is none */
} rest;

/* ---- request -------------------------------------------------------------------------------------------------------------------- */

static void esc_segment(buf *b, const char *s, size_t n) { eng_percent(b, s, n, ""); }
/* A plain string is escaped whole, but for what makes it a path. */
static void esc_path(buf *b, const char *s, size_t n) { eng_percent(b, s, n, "/:@!$&'()*+,;="); }

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
    eng_percent(b, key.u.s, key.len, "");
    buf_putc(b, '=');
    eng_percent(b, s, len, "");
  }
  return true;
}

static bool add_object(buf *b, bool *first, arena *a, val obj) {
  for (uint32_t i = 0; obj.tag == VAL_OBJ && i < obj.len; i++)
    if (!add_param(b, first, a, obj.u.v[2 * i], obj.u.v[2 * i + 1])) return false;
  return true;
}

static bool is_own(val key) {
  static const char *const own[] = {"path", "body", "query", "params", "headers", "if_match", "if_none_exist", "idempotency_key", "form", "ndjson", "multipart", "items", "after", "login", "0", "1"};
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
  return b.status || !eng_target_ok(b.p) ? NULL : b.p;
}

static bool make_headers(rest *r) {
  eng_http *x = &r->x;
  eng_call *call = x->call;
  if (!eng_http_headers_of(x, jv_get(call->c->args, "headers")) || !eng_http_headers_of(x, jv_get(call->request, "headers"))) return false;
  static const struct { const char *arg, *name; } extra[] = {{"if_match", "If-Match"}, {"if_none_exist", "If-None-Exist"}};
  for (size_t i = 0; i < 2; i++) {
    val v = jv_get(call->request, extra[i].arg);
    const char *value = v.tag == VAL_EMPTY || v.tag == VAL_BOOL ? NULL : eng_arg_text(call->a, v, NULL);
    if (v.tag != VAL_EMPTY && (!value || !value[0] || !eng_http_header(x, extra[i].name, value))) return false; /* without it the call would not be conditional */
  }
  if ((!strcmp(x->method, "POST") || !strcmp(x->method, "PATCH")) && !eng_http_find(x, call->c->cfg->o.idempotency_header) &&
      !eng_http_header(x, call->c->cfg->o.idempotency_header, call->idem)) return false;
  val body = jv_get(call->request, "body");
  if (body.tag == VAL_EMPTY) body = jv_get(call->request, "1");
  if (!eng_http_find(x, "Accept") && !eng_http_header(x, "Accept", hl7_of(body) ? "application/hl7-v2, */*;q=0.1" : "application/json, */*;q=0.1")) return false;
  return eng_http_trace(x);
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
  eng_call *call = r->x.call;
  val v = jv_get(call->request, "body");
  if (v.tag == VAL_EMPTY) v = jv_get(call->request, "1");
  const char *type = eng_http_find(&r->x, "Content-Type"), *made = NULL;
  buf b;
  hl7_slice s;
  hdw_status st = HDW_OK;
  buf_init(&b, call->a, 64 << 20);
  if (v.tag == VAL_EMPTY) {
    st = rest_other_body(call, &b, &made);
    if (st || !made) return st;
  } else if (hl7_of(v)) {
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
  r->x.body = b.p, r->x.body_len = b.len;
  return type || !made || eng_http_header(&r->x, "Content-Type", made) ? HDW_OK : HDW_E_LIMIT;
}

/* ---- response -------------------------------------------------------------------------------------------------------------------- */

static hdw_status read_body(eng_call *call, const io_http_res *res) {
  const char *type = eng_http_res_header(res, "Content-Type");
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

static bool is_hl7(const char *type) {
  char low[64];
  size_t n = 0;
  for (; type && type[n] && type[n] != ';' && n < sizeof low - 1; n++) low[n] = type[n] >= 'A' && type[n] <= 'Z' ? (char)(type[n] + 32) : type[n];
  low[n] = 0;
  return strstr(low, "application/hl7-v2") != NULL; /* x- before it, +er7 behind it (H-47) */
}

static void on_success(rest *r, const io_http_res *res) {
  eng_call *call = r->x.call;
  call->status = res->code;
  if (r->control_id && is_hl7(eng_http_res_header(res, "Content-Type"))) {
    eng_ack_judge(call, res->body, res->body_len, r->control_id, strlen(r->control_id));
    return;
  }
  if (r->control_id && strcmp(call->c->cfg->o.hl7_answer, "any") != 0) {
    eng_call_fail(call, FAIL_AMBIGUOUS, res->code, "no_ack", "HTTP %d without an HL7 acknowledgement; hl7_answer: any takes that for success", res->code);
    return;
  }
  hdw_status s = read_body(call, res);
  call->ok = !s;
  if (!s && r->page) rest_page_result(&r->x, res);
  if (s) eng_call_fail(call, FAIL_DATA, res->code, hdw_status_name(s), "the response's body is not what its type says");
}

static void on_response(eng_http *x, const io_http_res *res) {
  rest *r = (rest *)x->user;
  eng_call *call = x->call;
  call->driver = NULL;
  if (res->status) eng_http_failed(x, res);
  else if (res->code >= 200 && res->code < 300) on_success(r, res);
  else if (eng_http_refused(call, res)) {
    call->status = res->code;
    call->ok = true;
    if (read_body(call, res)) call->result = VAL_NONE;
  }
  eng_call_done(call);
}

static void rest_start(eng_call *call) {
  rest *r = (rest *)arena_zalloc(call->a, 1, sizeof *r);
  bool page = !strcmp(call->op, "pages");
  char *m = page ? arena_dup(call->a, "GET", 3) : arena_dup(call->a, call->op, strlen(call->op));
  if (!r || !m) {
    eng_call_unsent(call, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory");
    return;
  }
  for (char *p = m; *p; p++)
    if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
  const char *why;
  eng_http_init(&r->x, call, m);
  r->x.done = on_response, r->x.user = r;
  call->driver = r;
  r->page = page;
  bool next = page && jv_get(call->request, "after").tag == VAL_OBJ; /* never from the beginning again */
  r->x.target = next ? rest_page_target(call) : make_target(call, &why);
  if (!r->x.target) {
    eng_call_unsent(call, FAIL_DATA, next ? "bad_link" : "bad_path", next ? "`after` is no place where a page ended" : why);
    return;
  }
  hdw_status s = make_headers(r) ? make_body(r) : HDW_E_INVALID;
  if (s) {
    eng_call_unsent(call, FAIL_DATA, hdw_status_name(s), s == HDW_E_INVALID ? "a header is malformed" : "the body cannot be written");
    return;
  }
  eng_http_go(&r->x);
}

static void rest_cancel(eng_call *call) {
  rest *r = (rest *)call->driver;
  if (r) eng_http_cancel(&r->x);
}

const eng_driver eng_driver_rest = {.kind = "rest", .setup = eng_http_setup, .start = rest_start, .cancel = rest_cancel, .close = eng_http_close};
