/* fhir_request.c - addresses, parameters and bodies of FHIR requests (F-1 .. F-3, F-10, F-12, F-13, F-16). */
#include <stdarg.h>
#include <stdio.h>
#include "fhir_call.h"
#include "json.h"

/* ---- address -------------------------------------------------------------------------------------------------------------------- */

bool fhir_path(fhir *f, const char *query, const char *first, ...) {
  buf b;
  va_list ap;
  bool ok = !f->malformed;
  buf_init(&b, f->call->a, 1 << 20);
  buf_puts(&b, f->call->c->prefix);
  va_start(ap, first);
  for (const char *s = first; s; s = va_arg(ap, const char *)) {
    if (!s[0]) continue;
    if (!strcmp(s, ".") || !strcmp(s, "..")) ok = false;
    buf_putc(&b, '/');
    eng_percent(&b, s, strlen(s), "$");
  }
  va_end(ap);
  if (!b.len) buf_putc(&b, '/');
  if (query && query[0]) {
    buf_putc(&b, '?');
    buf_puts(&b, query);
  }
  buf_putc(&b, 0);
  if (b.status || !ok || !eng_target_ok(b.p)) return false;
  f->x.target = b.p;
  return true;
}

static void param(buf *b, val key, const char *value, size_t len) {
  if (b->len) buf_putc(b, '&');
  eng_percent(b, key.u.s, key.len, ":");
  buf_putc(b, '=');
  eng_percent(b, value, len, ",:/");
}

/* One text, or several that all hold; nothing (NULL: no search): false is a parameter that nothing can meet. What has no text fails the query: left out it
 * would be another question, and finds everybody. */
static void params(buf *b, arena *a, val key, val v, bool *nothing) {
  if (nothing && v.tag == VAL_BOOL) {
    *nothing = true;
    return;
  }
  for (uint32_t i = 0; i < (v.tag == VAL_LIST ? v.len : v.tag != VAL_EMPTY); i++) {
    val item = v.tag == VAL_LIST ? v.u.v[i] : v;
    size_t len = 0;
    const char *s = item.tag == VAL_NULL ? NULL : eng_arg_bytes(a, item, NULL, &len);
    if (s) param(b, key, s, len);
    else b->status = HDW_E_TYPE;
  }
}

void fhir_query_object(buf *b, arena *a, val o, bool *nothing) {
  if (o.tag == VAL_STR) {
    if (b->len && o.len) buf_putc(b, '&');
    for (uint32_t i = 0; i < o.len; i++) { /* a query as it is; what cannot stand in one is encoded */
      char c = o.u.s[i];
      if (c <= ' ' || c == '#' || (unsigned char)c >= 0x7f) eng_percent(b, &c, 1, "");
      else buf_putc(b, c);
    }
  }
  for (uint32_t i = 0; o.tag == VAL_OBJ && i < o.len; i++) params(b, a, o.u.v[2 * i], o.u.v[2 * i + 1], nothing);
}

const char *fhir_query(fhir *f, bool *nothing) {
  arena *a = f->call->a;
  val r = f->call->request;
  buf b;
  *nothing = false;
  buf_init(&b, a, 1 << 20);
  for (uint32_t i = 0; r.tag == VAL_OBJ && i < r.len; i++) {
    bool own = false;
    for (const char *const *o = f->op->own; *o && !own; o++) own = jv_is(r.u.v[2 * i], *o);
    if (!own) params(&b, a, r.u.v[2 * i], r.u.v[2 * i + 1], nothing);
  }
  fhir_query_object(&b, a, jv_get(r, "extra"), nothing);
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

/* ---- request -------------------------------------------------------------------------------------------------------------------- */

static void answered(eng_http *x, const io_http_res *res);

void fhir_begin(fhir *f, const char *method, void (*answer)(fhir *, const io_http_res *, val)) {
  eng_call *call = f->call;
  const char *prefer = jv_text(call->a, jv_get(call->c->args, "prefer"));
  eng_http_init(&f->x, call, method);
  f->x.done = answered, f->x.user = f, f->x.may = fhir_may;
  f->answer = answer;
  f->refusal = NULL;
  f->conditional = false;
  f->conflict = "conflict";
  f->safe = strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0;
  f->malformed = !eng_http_headers_of(&f->x, jv_get(call->c->args, "headers"));
  if (!eng_http_find(&f->x, "Accept")) (void)eng_http_header(&f->x, "Accept", "application/fhir+json, application/json;q=0.9");
  if (!eng_http_find(&f->x, "User-Agent")) (void)eng_http_header(&f->x, "User-Agent", "hdw/" HDW_VERSION);
  if (prefer && !eng_http_find(&f->x, "Prefer")) (void)eng_http_header(&f->x, "Prefer", prefer);
  (void)eng_http_trace(&f->x);
}

bool fhir_body(fhir *f, val v, const char *type) {
  buf b;
  buf_init(&b, f->call->a, 64 << 20);
  if (json_write(v, &b, NULL) || b.status) return false;
  f->x.body = b.p, f->x.body_len = b.len;
  return eng_http_header(&f->x, "Content-Type", type);
}

const char *fhir_etag(arena *a, const char *v) {
  if (!strncmp(v, "W/", 2)) v += 2;
  size_t n = strlen(v);
  if (n >= 2 && v[0] == '"' && v[n - 1] == '"') v++, n -= 2;
  char *out = (char *)arena_alloc(a, n + 5);
  if (!n || n > 64 || !out) return NULL;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)v[i] <= ' ' || (unsigned char)v[i] >= 0x7f || v[i] == '"') return NULL;
  snprintf(out, n + 5, "W/\"%.*s\"", (int)n, v);
  return out;
}

bool fhir_if_match(fhir *f, const char **etag) {
  val v = jv_get(f->call->request, "if_match");
  *etag = NULL;
  if (v.tag == VAL_EMPTY) return true;
  const char *t = v.tag == VAL_BOOL ? NULL : eng_arg_text(f->call->a, v, NULL); /* false: it was written and has no value */
  if (t) *etag = strcmp(t, "*") ? fhir_etag(f->call->a, t) : t;
  return *etag != NULL;
}

/* What was to be written is, and this is the reading of it: of a patch whose answer does not show what is there now, or to verify an update. When that fails the write is not made
 * again: it would be another change, or refused as the conflict with itself. */
static bool looks(const fhir *f) { return f->verifies || (f->applied > FHIR_REAPPLY && !strcmp(f->x.method, "GET")); }

/* What is known is which resource it was; not whether the server has what was verified. */
static void made(fhir *f) {
  if (f->verifies) {
    fhir_fail(f, FAIL_PERMANENT, 0, "not_verified", "it was written, and could not be read again to verify it");
    return;
  }
  static const char *const names[] = {"resourceType", "id"};
  val v[] = {val_cstr(f->type), val_cstr(f->id)};
  fhir_done(f, fhir_object(f->call->a, 2, names, v));
}

/* The peer may have asked to be left alone since the call began: what is soon over is waited for, else the whole call comes again. */
static void on_turn(void *user) {
  fhir *f = (fhir *)user;
  eng_call *call = f->call;
  int64_t asked = f->requests > 1 ? eng_conn_asked_us(call->c) : 0;
  if (asked <= 0) eng_http_go(&f->x);
  else if (asked <= call->c->timeout_us) io_timer_set(call->e->io, &call->timer, asked, on_turn, f);
  else if (looks(f)) made(f);
  else {
    call->retry_after_us = asked;
    call->judged = true;
    eng_call_unsent(call, FAIL_TRANSIENT, "asked_to_wait", "the server asked to be left alone before all was fetched");
  }
}

void fhir_go(fhir *f) {
  eng_call *call = f->call;
  int64_t wait = f->requests++ ? eng_conn_turn_us(call->c) : 0; /* for the first one the attempt has waited */
  int64_t own = fhir_quirks_wait(f);
  if (own > wait) wait = own;
  if (wait) io_timer_set(call->e->io, &call->timer, wait, on_turn, f);
  else on_turn(f);
}

/* ---- answers -------------------------------------------------------------------------------------------------------------------- */

/* {} when there is no JSON: *json is false when there is something else. */
static hdw_status read_json(eng_call *call, const io_http_res *res, val *out, bool *json) {
  const char *type = eng_http_res_header(res, "Content-Type"), *text = (const char *)res->body;
  size_t at = 0;
  *out = VAL_NONE;
  *json = true;
  while (at < res->body_len && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t' || (unsigned char)text[at] == 0xef || (unsigned char)text[at] == 0xbb || (unsigned char)text[at] == 0xbf)) at++;
  if (at == res->body_len) return HDW_OK;
  *json = type ? strstr(type, "json") != NULL : text[at] == '{';
  if (!*json) return HDW_OK;
  const char *copy = arena_dup(call->a, res->body, res->body_len);
  if (!copy) return HDW_E_NOMEM;
  json_reader jr;
  json_opts o = {.seed = call->e->hash_seed};
  json_reader_init(&jr, call->e->mem);
  hdw_status s = json_read(&jr, call->a, copy, res->body_len, &o, out, NULL);
  json_reader_free(&jr);
  return s;
}

static void refused(fhir *f, const io_http_res *res, val body) {
  eng_call *call = f->call;
  char issue[ENG_CODE], where[80], status[16];
  int64_t after = eng_http_retry_after_us(call, res);
  fhir_issue(call->a, body, issue, where);
  snprintf(status, sizeof status, "%d", res->code);
  uint8_t klass = fhir_class(res->code, issue, f->safe, after > 0);
  eng_reaction how = eng_reaction_of(call->c, status, strlen(status));
  if (how == REACT_RETRY) klass = FAIL_TRANSIENT;
  if (how == REACT_DEAD) klass = FAIL_PERMANENT;
  bool conflict = f->conditional && (res->code == 409 || res->code == 412);
  /* A write by a search that was refused with 409, not 412: another with the same search was faster (HAPI keeps them unique). Again, it finds what that one made. */
  bool raced = conflict && res->code == 409 && !strcmp(f->conflict, "multiple-matches") && strcmp(f->x.method, "DELETE") != 0 && !eng_http_find(&f->x, "If-Match");
  const char *code = raced ? "conflict" : conflict ? f->conflict : issue[0] ? issue : status;
  if (conflict && how == REACT_NONE) klass = raced ? FAIL_TRANSIENT : FAIL_PERMANENT;
  eng_call_fail(call, klass, res->code, code, "HTTP %d %s%s%s%s%s", res->code, http_reason(res->code), issue[0] ? ": " : "", issue, where[0] ? " at " : "", where);
  call->once = klass == FAIL_AMBIGUOUS;
  call->judged = (how == REACT_RETRY && res->code < 500) || klass == FAIL_PERMANENT;
  call->retry_after_us = after;
  call->driver = NULL;
  eng_call_done(call);
}

static void made_as(fhir *f, const io_http_res *res) {
  int64_t after = res->status ? 0 : eng_http_retry_after_us(f->call, res);
  if (after) eng_conn_asked(f->call->c, after);
  made(f);
}

static void answered(eng_http *x, const io_http_res *res) {
  fhir *f = (fhir *)x->user;
  eng_call *call = f->call;
  val body;
  bool json;
  if (res->status && looks(f)) {
    made_as(f, res);
    return;
  }
  if (res->status) {
    eng_http_failed(x, res);
    call->once = call->fail_class == FAIL_AMBIGUOUS && !f->safe;
    if (call->fail_class == FAIL_AMBIGUOUS && f->safe) call->fail_class = FAIL_TRANSIENT;
    call->driver = NULL;
    eng_call_done(call);
    return;
  }
  call->status = res->code;
  if (f->refusal && f->refusal(f, res)) return;
  hdw_status s = read_json(call, res, &body, &json);
  bool good = res->code >= 200 && res->code < 300;
  if (looks(f) && (!good || s || strcmp(fhir_type_of(call->a, json ? body : VAL_NONE), f->type) != 0)) {
    made_as(f, res);
    return;
  }
  if (!good) {
    refused(f, res, s || !json ? VAL_NONE : body);
    return;
  }
  if (s) fhir_fail(f, FAIL_DATA, res->code, hdw_status_name(s), "the answer is no JSON, or not all of it");
  else if (!json) fhir_fail(f, FAIL_DATA, res->code, "not_fhir", "the answer is no FHIR JSON: its type is another");
  else f->answer(f, res, body);
}

/* ---- bundles -------------------------------------------------------------------------------------------------------------------- */

static val request_of(arena *a, const char *method, const char *url_text) {
  static const char *const names[] = {"method", "url"};
  val v[] = {val_cstr(method), val_cstr(url_text)};
  return fhir_object(a, 2, names, v);
}

/* A resource by itself: written under its id, or created. */
static val entry_of(arena *a, val r, val whole) {
  static const char *const names[] = {"fullUrl", "resource", "request"};
  const char *type = fhir_type_of(a, r), *id = jv_text(a, fhir_get(a, r, "id")), *full = jv_text(a, fhir_get(a, whole, "fullUrl"));
  bool urn = full && !strncmp(full, "urn:", 4);
  char *u = (char *)arena_alloc(a, strlen(type) + (id ? strlen(id) : 0) + 2);
  if (!u) return VAL_NONE;
  bool put = id && id[0] && !urn; /* an id that only links entries is not the server's */
  snprintf(u, strlen(type) + (id ? strlen(id) : 0) + 2, put ? "%s/%s" : "%s", type, id);
  val v[] = {full ? val_cstr(full) : VAL_NONE, r, request_of(a, put ? "PUT" : "POST", u)};
  return fhir_object(a, 3, names, v);
}

const char *fhir_bundle(fhir *f, val entries, const char *type, val *out, bool *safe) {
  arena *a = f->call->a;
  static const char *const names[] = {"resourceType", "type", "entry"};
  val_builder b = {0};
  *safe = true;
  if (!strcmp(fhir_type_of(a, entries), "Bundle")) entries = fhir_get(a, entries, "entry");
  for (uint32_t i = 0; i < val_count(entries); i++) {
    val e = val_item(entries, i);
    if (e.tag != VAL_OBJ) return "an entry is no object";
    bool resource = fhir_type_of(a, e)[0] != 0;
    val r = resource ? e : fhir_get(a, e, "resource"), q = fhir_get(a, e, "request");
    if (resource || q.tag != VAL_OBJ) {
      if (!fhir_type_of(a, r)[0]) return "an entry has neither a request nor a resource";
      e = entry_of(a, r, resource ? VAL_NONE : e);
    }
    q = fhir_get(a, e, "request");
    const char *method = jv_text(a, fhir_get(a, q, "method"));
    if (!method) return "the request of an entry has no method";
    bool repeat = !strcmp(method, "GET") || !strcmp(method, "HEAD") || !strcmp(method, "PUT") || !strcmp(method, "DELETE") || fhir_get(a, q, "ifNoneExist").tag != VAL_EMPTY;
    if (!repeat) *safe = false;
    e.aux = 0;
    if (e.tag == VAL_EMPTY || val_push(a, &b, e)) return "the entries need more memory than the run has";
  }
  val list = val_build(&b);
  if (list.tag == VAL_EMPTY) return "there is no entry";
  if (list.tag != VAL_LIST) list.flags |= VALF_ARRAY;
  val v[] = {val_cstr("Bundle"), val_cstr(type), list};
  *out = fhir_object(a, 3, names, v);
  return out->tag == VAL_OBJ ? NULL : "the entries need more memory than the run has";
}

/* ---- parameters of operations --------------------------------------------------------------------------------------------------- */

static const char *value_name(arena *a, val v) {
  switch (v.tag) {
  case VAL_BOOL: return "valueBoolean";
  case VAL_INT: return "valueInteger";
  case VAL_LONG: case VAL_DEC: case VAL_NUM: return "valueDecimal";
  case VAL_DATE: return "valueDate";
  case VAL_DATETIME: return "valueDateTime";
  case VAL_TIME: return "valueTime";
  case VAL_QTY: return "valueQuantity";
  case VAL_OBJ:
    if (fhir_type_of(a, v)[0]) return "resource";
    if (fhir_get(a, v, "coding").tag != VAL_EMPTY) return "valueCodeableConcept";
    if (fhir_get(a, v, "reference").tag != VAL_EMPTY) return "valueReference";
    if (fhir_get(a, v, "start").tag != VAL_EMPTY || fhir_get(a, v, "end").tag != VAL_EMPTY) return "valuePeriod";
    if (fhir_get(a, v, "code").tag != VAL_EMPTY && fhir_get(a, v, "value").tag == VAL_EMPTY) return "valueCoding";
    if (fhir_get(a, v, "value").tag == VAL_STR) return "valueIdentifier";
    return fhir_get(a, v, "value").tag != VAL_EMPTY ? "valueQuantity" : NULL;
  default: return "valueString";
  }
}

val fhir_parameters(arena *a, val o) {
  static const char *const names[] = {"resourceType", "parameter"};
  val_builder b = {0};
  if (!strcmp(fhir_type_of(a, o), "Parameters")) return o;
  for (uint32_t i = 0; o.tag == VAL_OBJ && i < o.len; i++) {
    val v;
    if (val_norm(a, o.u.v[2 * i + 1], &v)) return VAL_NONE;
    for (uint32_t k = 0; k < val_count(v); k++) {
      val x = val_item(v, k);
      const char *kind = value_name(a, x);
      const char *const pn[] = {"name", kind ? kind : "valueString"};
      val pv[] = {val_str(o.u.v[2 * i].u.s, o.u.v[2 * i].len), x};
      if (!kind || val_push(a, &b, fhir_object(a, 2, pn, pv))) return VAL_NONE;
    }
  }
  val list = val_build(&b);
  if (list.tag == VAL_OBJ) list.flags |= VALF_ARRAY;
  val v[] = {val_cstr("Parameters"), list};
  return fhir_object(a, 2, names, v);
}

val fhir_results(arena *a, val parameter, unsigned depth) {
  uint32_t n = 0, count = val_count(parameter);
  val *kv = (val *)arena_alloc(a, (size_t)count * 2 * sizeof *kv + 1);
  if (!kv || depth > 16) return VAL_NONE;
  for (uint32_t i = 0; i < count; i++) {
    val p = val_item(parameter, i), name = fhir_get(a, p, "name"), v = fhir_get(a, p, "resource"), part = fhir_get(a, p, "part");
    for (uint32_t k = 0; p.tag == VAL_OBJ && k < p.len && v.tag == VAL_EMPTY; k++)
      if (p.u.v[2 * k].len > 5 && !memcmp(p.u.v[2 * k].u.s, "value", 5) && val_norm(a, p.u.v[2 * k + 1], &v)) return VAL_NONE;
    if (v.tag == VAL_EMPTY && part.tag != VAL_EMPTY) v = fhir_results(a, part, depth + 1);
    if (name.tag != VAL_STR || v.tag == VAL_EMPTY) continue;
    uint32_t at = 0;
    while (at < n && !(kv[2 * at].len == name.len && !memcmp(kv[2 * at].u.s, name.u.s, name.len))) at++;
    val_builder b = {0};
    if (at < n && val_push(a, &b, kv[2 * at + 1])) return VAL_NONE;
    if (val_push(a, &b, v)) return VAL_NONE;
    kv[2 * at] = val_key(name.u.s, name.len);
    kv[2 * at + 1] = val_build(&b);
    if (at == n) n++;
  }
  return (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
}
