/* dispatch_fhir.c - FHIR servers: the operations of a connection (builtins.def, kind fhir), a row and a function each.
 *
 * What a server says no to is an error with the code of its OperationOutcome, or of HTTP; values never stand in it. A request whose outcome is unknown is
 * repeated only when the server can tell that it is the same (F-21): reads, writes under an id, conditional creates. */
#include <stdio.h>
#include "fhir_call.h"
#include "points.h"

static const char *text_arg(fhir *f, const char *name) { return jv_text(f->call->a, jv_get(f->call->request, name)); }

static void fail_soon(fhir *f, const char *code, const char *text) { eng_call_unsent(f->call, FAIL_DATA, code, text); }
static void bad_path(fhir *f) { fail_soon(f, "bad_path", "the type, id or a parameter cannot stand in an address"); }

/* ---- reads ---------------------------------------------------------------------------------------------------------------------- */

static const char *version_of(fhir *f, const io_http_res *res) {
  const char *etag = eng_http_res_header(res, "ETag"), *q = etag ? strchr(etag, '"') : NULL, *end = q ? strchr(q + 1, '"') : NULL;
  return end ? arena_dup(f->call->a, q + 1, (size_t)(end - q - 1)) : etag ? arena_dup(f->call->a, etag, strlen(etag)) : NULL;
}

static void on_resource(fhir *f, const io_http_res *res, val body) {
  const char *got = fhir_type_of(f->call->a, body);
  if (!got[0] || (f->type[0] && strcmp(got, f->type) != 0)) fhir_fail(f, FAIL_DATA, res->code, "wrong_type", "the answer is no %.40s", f->type[0] ? f->type : "resource");
  else fhir_done(f, fhir_versioned(f->call->a, body, NULL, version_of(f, res)));
}

static void read_start(fhir *f) {
  bool nothing;
  const char *query = fhir_query(f, &nothing), *version = text_arg(f, "version");
  bool vread = f->op->own[2] != NULL;
  if (!f->id[0] || (vread && (!version || !version[0]))) {
    fail_soon(f, "no_id", "there is no id to read");
    return;
  }
  fhir_begin(f, "GET", on_resource);
  if (query && fhir_path(f, query, f->type, f->id, vread ? "_history" : NULL, version, NULL)) fhir_go(f);
  else bad_path(f);
}

/* A server says what it can to everybody (F-24); one that does not is asked again with the login. */
static bool metadata(fhir *f, bool login);
static bool wants_login(fhir *f, const io_http_res *res) { return f->x.anonymous && (res->code == 401 || res->code == 403) && metadata(f, true); }

static bool metadata(fhir *f, bool login) {
  fhir_begin(f, "GET", on_resource);
  f->x.anonymous = !login;
  f->refusal = wants_login;
  if (!fhir_path(f, NULL, "metadata", NULL)) return false;
  fhir_go(f);
  return true;
}

static void capabilities_start(fhir *f) {
  f->type = "CapabilityStatement";
  if (!metadata(f, false)) bad_path(f);
}

/* Only what is on this server: the token goes nowhere else (F-10). */
static void resolve_start(fhir *f) {
  val r = jv_get(f->call->request, "reference");
  const char *ref = jv_text(f->call->a, r.tag == VAL_OBJ ? fhir_get(f->call->a, r, "reference") : r), *why = NULL;
  if (!ref || !ref[0] || ref[0] == '#' || !strncmp(ref, "urn:", 4)) {
    fail_soon(f, "no_reference", !ref || !ref[0] ? "the reference names no resource" : "what is contained or in the same bundle is not on the server: use .resolve() on it");
    return;
  }
  fhir_begin(f, "GET", on_resource);
  if (!strstr(ref, "://")) { /* Type/id, perhaps with /_history/version: below base */
    const char *part[4] = {"", "", "", ""};
    unsigned n = 0;
    while (*ref && n < 4) {
      size_t len = strcspn(ref, "/");
      part[n++] = arena_dup(f->call->a, ref, len);
      ref += len + (ref[len] == '/');
    }
    f->type = part[0];
    if (n < 2 || *ref || !fhir_path(f, NULL, part[0], part[1], part[2], part[3], NULL)) bad_path(f);
    else fhir_go(f);
    return;
  }
  f->x.target = eng_http_local(f->call, NULL, ref, &why);
  size_t n = strlen(f->call->c->prefix);
  if (!f->x.target || strncmp(f->x.target, f->call->c->prefix, n) != 0 || f->x.target[n] != '/' || !eng_target_ok(f->x.target)) fail_soon(f, "other_server", "the reference is to another server, or outside of base: it is not followed");
  else fhir_go(f);
}

/* ---- writes --------------------------------------------------------------------------------------------------------------------- */

static void on_stored(fhir *f, const io_http_res *res, val body);

static void verified(fhir *f, const io_http_res *res, val body) {
  arena *a = f->call->a;
  const char *now = jv_text(a, fhir_get(a, fhir_get(a, body, "meta"), "versionId"));
  if (now && f->version && strcmp(now, f->version) != 0) fhir_fail(f, FAIL_PERMANENT, res->code, "not_verified", "the server has another version than it said it wrote: it may ignore If-Match");
  else fhir_done(f, fhir_versioned(a, body, f->id, version_of(f, res)));
}

/* What is stored now: as the server shows it, else what was sent with the id and version that it got. */
static void on_stored(fhir *f, const io_http_res *res, val body) {
  arena *a = f->call->a;
  const char *id, *version, *location = eng_http_res_header(res, "Location");
  fhir_location(a, location ? location : eng_http_res_header(res, "Content-Location"), &id, &version);
  bool shown = !strcmp(fhir_type_of(a, body), f->type);
  if (!version) version = version_of(f, res);
  if (!shown && !id && !f->id[0]) {
    fhir_fail(f, FAIL_DATA, res->code, "no_location", "the server has stored the resource and does not say under which id");
    return;
  }
  if (!id && f->id[0]) id = f->id;
  bool found = !shown && res->code == 200 && !strcmp(f->x.method, "POST"); /* If-None-Exist: it was there, with what content is not known */
  val r = shown ? body : f->sent;
  if (found) {
    static const char *const names[] = {"resourceType"};
    val v[] = {val_cstr(f->type)};
    r = fhir_object(a, 1, names, v);
  }
  if (f->call->c->cfg->o.verify_writes && f->conditional && id) {
    f->id = id, f->version = shown ? jv_text(a, fhir_get(a, fhir_get(a, body, "meta"), "versionId")) : version;
    fhir_begin(f, "GET", verified);
    f->verifies = true;
    if (fhir_path(f, NULL, f->type, f->id, NULL)) {
      fhir_go(f);
      return;
    }
  }
  fhir_done(f, fhir_versioned(a, r, id, version));
}

static bool take_resource(fhir *f) {
  arena *a = f->call->a;
  f->sent = jv_get(f->call->request, "resource");
  f->type = fhir_type_of(a, f->sent);
  const char *id = jv_text(a, fhir_get(a, f->sent, "id"));
  f->id = id ? id : "";
  if (f->type[0]) return true;
  fail_soon(f, "no_resource", "what is to be written has no resourceType");
  return false;
}

/* Search parameters of a conditional write; "" when there are none. */
static const char *condition(fhir *f, const char *name, bool *nothing) {
  buf b;
  *nothing = false;
  buf_init(&b, f->call->a, 1 << 20);
  fhir_query_object(&b, f->call->a, jv_get(f->call->request, name), nothing);
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

static const char json_type[] = "application/fhir+json; charset=UTF-8";

static void create_start(fhir *f) {
  bool nothing, asked = jv_get(f->call->request, "if_none_exist").tag != VAL_EMPTY;
  const char *query = condition(f, "if_none_exist", &nothing);
  if (!take_resource(f)) return;
  if (!query || (asked && !query[0])) {
    fail_soon(f, "no_condition", "if_none_exist has no value: every resource would meet it");
    return;
  }
  fhir_begin(f, "POST", on_stored);
  f->safe = asked;
  f->id = "";
  if (asked) {
    f->conflict = "multiple-matches";
    f->conditional = true;
    if (!eng_http_header(&f->x, "If-None-Exist", query)) query = NULL;
  }
  if (!query || !fhir_path(f, NULL, f->type, NULL)) bad_path(f);
  else if (!fhir_body(f, f->sent, json_type)) fail_soon(f, "bad_body", "the resource cannot be written as JSON");
  else fhir_go(f);
}

/* If-Match of the request's version; false after a failure. */
static bool if_match(fhir *f) {
  const char *etag;
  bool good = fhir_if_match(f, &etag);
  if (good && !etag) return true;
  f->conditional = true;
  if (good && eng_http_header(&f->x, "If-Match", HDW_BROKEN("match.any") ? "*" : etag)) return true;
  fail_soon(f, "bad_version", "if_match is no version: 3, \"3\" and W/\"3\" are, and '*' is any");
  return false;
}

static void update_start(fhir *f) {
  bool nothing, asked = jv_get(f->call->request, "match").tag != VAL_EMPTY;
  const char *query = condition(f, "match", &nothing);
  val only = jv_get(f->call->request, "create_only");
  if (!take_resource(f)) return;
  if (!query || (asked && !query[0]) || (!asked && !f->id[0])) {
    fail_soon(f, asked ? "no_condition" : "no_id", asked ? "match has no value: every resource would meet it" : "the resource has no id to write it under");
    return;
  }
  fhir_begin(f, "PUT", on_stored);
  if (!if_match(f)) return;
  if (asked) f->conditional = true, f->conflict = "multiple-matches";
  if (only.tag == VAL_BOOL && only.u.i) {
    f->conditional = true, f->conflict = "exists";
    (void)eng_http_header(&f->x, "If-None-Match", "*");
  }
  if (!fhir_path(f, query, f->type, asked ? NULL : f->id, NULL)) bad_path(f);
  else if (!fhir_body(f, f->sent, json_type)) fail_soon(f, "bad_body", "the resource cannot be written as JSON");
  else fhir_go(f);
}

static void on_deleted(fhir *f, const io_http_res *res, val body) {
  (void)res, (void)body;
  fhir_done(f, VAL_NONE);
}
static bool gone_already(fhir *f, const io_http_res *res) {
  if (res->code != 404 && res->code != 410) return false;
  fhir_done(f, VAL_NONE);
  return true;
}

static void delete_start(fhir *f) {
  bool nothing, asked = jv_get(f->call->request, "match").tag != VAL_EMPTY;
  const char *query = condition(f, "match", &nothing);
  if (!query || (asked && !query[0]) || (!asked && !f->id[0])) { /* DELETE of a type would be everything */
    fail_soon(f, asked ? "no_condition" : "no_id", "delete needs an id, or search parameters with a value");
    return;
  }
  fhir_begin(f, "DELETE", on_deleted);
  f->refusal = gone_already;
  if (!if_match(f)) return;
  if (asked) f->conditional = true, f->conflict = "multiple-matches";
  if (fhir_path(f, query, f->type, asked ? NULL : f->id, NULL)) fhir_go(f);
  else bad_path(f);
}

/* ---- operations ----------------------------------------------------------------------------------------------------------------- */

/* What it gives back: a resource, or an object of its results. */
static void on_anything(fhir *f, const io_http_res *res, val body) {
  (void)res;
  fhir_done(f, !strcmp(fhir_type_of(f->call->a, body), "Parameters") ? fhir_results(f->call->a, fhir_get(f->call->a, body, "parameter"), 0) : body);
}

/* Arguments that are not the call's own, with those of `parameters`. */
static val operation_parameters(fhir *f) {
  val r = f->call->request, given = jv_get(r, "parameters");
  uint32_t n = 0, more = given.tag == VAL_OBJ ? given.len : 0;
  if (fhir_type_of(f->call->a, given)[0]) return given;
  val *kv = (val *)arena_alloc(f->call->a, ((size_t)r.len + more) * 2 * sizeof *kv + 1);
  if (!kv) return VAL_NONE;
  for (uint32_t i = 0; r.tag == VAL_OBJ && i < r.len; i++) {
    bool own = false;
    for (const char *const *o = f->op->own; *o && !own; o++) own = jv_is(r.u.v[2 * i], *o);
    if (own) continue;
    memcpy(&kv[2 * n], &r.u.v[2 * i], 2 * sizeof *kv);
    n++;
  }
  if (more) memcpy(&kv[2 * n], given.u.v, (size_t)more * 2 * sizeof *kv);
  return (val){.tag = VAL_OBJ, .len = n + more, .u.v = kv};
}

static void operation_start(fhir *f) {
  arena *a = f->call->a;
  val body = jv_get(f->call->request, "body"), given = operation_parameters(f), safe = jv_get(f->call->request, "safe");
  const char *name = text_arg(f, "name"), *on = text_arg(f, "on");
  bool get = safe.tag == VAL_BOOL && safe.u.i;
  buf q;
  if (!name || !name[0] || !name[name[0] == '$']) {
    fail_soon(f, "no_operation", "the operation has no name");
    return;
  }
  char *path = (char *)arena_alloc(a, strlen(name) + 2);
  buf_init(&q, a, 1 << 20);
  if (get && body.tag == VAL_EMPTY) fhir_query_object(&q, a, given, NULL);
  buf_putc(&q, 0);
  if (!path || q.status) {
    fail_soon(f, q.status == HDW_E_TYPE ? "bad_body" : "HDW_E_NOMEM", q.status == HDW_E_TYPE ? "a parameter has no text: safe operations are asked by GET" : "out of memory");
    return;
  }
  if (jv_get(f->call->request, "id").tag == VAL_BOOL) {
    fail_soon(f, "no_id", "the id has no value: without it the operation would be asked of the whole type");
    return;
  }
  snprintf(path, strlen(name) + 2, "%s%s", name[0] == '$' ? "" : "$", name);
  get = get && body.tag == VAL_EMPTY;
  fhir_begin(f, get ? "GET" : "POST", on_anything);
  f->safe = safe.tag == VAL_BOOL && safe.u.i;
  if (!fhir_path(f, q.p, on ? on : "", f->id, path, NULL)) {
    bad_path(f);
    return;
  }
  val out = body.tag != VAL_EMPTY ? body : fhir_parameters(a, given);
  if (!get && (out.tag == VAL_EMPTY || !fhir_body(f, out, json_type))) fail_soon(f, "bad_body", "the parameters have no FHIR form; give a Parameters resource as body");
  else fhir_go(f);
}

/* ---- several at once ------------------------------------------------------------------------------------------------------------ */

static bool outcome_of(fhir *f, val e, val_builder *entries, val_builder *failed) {
  static const char *const names[] = {"status", "ok", "id", "version", "etag", "location", "resource", "outcome"};
  arena *a = f->call->a;
  val r = fhir_get(a, e, "response"), etag = fhir_get(a, r, "etag"), location = fhir_get(a, r, "location");
  const char *status = jv_text(a, fhir_get(a, r, "status")), *at = jv_text(a, location), *id, *version;
  int code = 0;
  for (int i = 0; status && i < 3 && status[i] >= '0' && status[i] <= '9'; i++) code = code * 10 + (status[i] - '0'); /* "201 Created" */
  fhir_location(a, at, &id, &version);
  bool ok = code >= 200 && code < 400;
  val v[] = {val_int(code), val_bool(ok), id ? val_cstr(id) : VAL_NONE, version ? val_cstr(version) : VAL_NONE, etag, location, fhir_get(a, e, "resource"), fhir_get(a, r, "outcome")};
  val o = fhir_object(a, 8, names, v);
  return o.tag == VAL_OBJ && !val_push(a, entries, o) && (ok || !val_push(a, failed, o));
}

/* One answer for each request, in their order. */
static void on_bundle(fhir *f, const io_http_res *res, val body) {
  static const char *const names[] = {"entry", "failed"};
  arena *a = f->call->a;
  val_builder entries = {0}, failed = {0};
  val list = fhir_get(a, body, "entry"), asked = fhir_get(a, f->sent, "entry");
  if (strcmp(fhir_type_of(a, body), "Bundle") != 0 || val_count(list) != val_count(asked)) {
    fhir_fail(f, FAIL_DATA, res->code, "wrong_answer", "the answer is no Bundle with one entry for each request");
    return;
  }
  for (uint32_t i = 0; i < val_count(list); i++)
    if (!outcome_of(f, val_item(list, i), &entries, &failed)) {
      fhir_fail(f, FAIL_DATA, res->code, "HDW_E_NOMEM", "out of memory");
      return;
    }
  val e = val_build(&entries), x = val_build(&failed);
  if (x.tag == VAL_EMPTY) x = (val){.tag = VAL_LIST, .flags = VALF_ARRAY};
  val v[] = {e, x};
  fhir_done(f, fhir_object(a, 2, names, v));
}

static void bundle_start(fhir *f) {
  bool safe;
  const char *wrong = fhir_bundle(f, jv_get(f->call->request, "entries"), f->op->name, &f->sent, &safe);
  if (wrong) {
    fail_soon(f, "bad_bundle", wrong);
    return;
  }
  fhir_begin(f, "POST", on_bundle);
  f->safe = safe;
  if (!fhir_path(f, NULL, "", NULL)) bad_path(f);
  else if (!fhir_body(f, f->sent, json_type)) fail_soon(f, "bad_body", "the bundle cannot be written as JSON");
  else fhir_go(f);
}

/* ---- driver --------------------------------------------------------------------------------------------------------------------- */

static const fhir_op ops[] = {
    {"read", read_start, {"resource_type", "id"}},
    {"vread", read_start, {"resource_type", "id", "version"}},
    {"search", fhir_search_start, {FHIR_SEARCH_OWN}},
    {"pages", fhir_pages_start, {FHIR_PAGES_OWN}},
    {"history", fhir_history_start, {"resource_type", "id", "max", "pages", "extra"}},
    {"everything", fhir_everything_start, {"resource_type", "id", "max", "pages", "extra"}},
    {"resolve", resolve_start, {NULL}},
    {"capabilities", capabilities_start, {NULL}},
    {"create", create_start, {NULL}},
    {"update", update_start, {NULL}},
    {"patch", fhir_patch_start, {NULL}},
    {"delete", delete_start, {NULL}},
    {"operation", operation_start, {"name", "on", "id", "parameters", "body", "safe"}},
    {"batch", bundle_start, {NULL}},
    {"transaction", bundle_start, {NULL}},
};

static void start(eng_call *call) {
  fhir *f = (fhir *)arena_zalloc(call->a, 1, sizeof *f);
  if (!f) {
    eng_call_unsent(call, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory");
    return;
  }
  f->call = call;
  f->x.call = call;
  call->driver = f;
  val given = jv_get(call->request, "id");
  const char *type = text_arg(f, "resource_type"), *id = given.tag == VAL_EMPTY || given.tag == VAL_BOOL || given.tag == VAL_LIST ? "" : eng_arg_text(call->a, given, NULL);
  f->type = type ? type : "", f->id = id ? id : "";
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (!strcmp(ops[i].name, call->op)) {
      f->op = &ops[i];
      ops[i].start(f);
      return;
    }
  fail_soon(f, "no_operation", "this version does not have the operation");
}

static void cancel(eng_call *call) {
  fhir *f = (fhir *)call->driver;
  if (f) eng_http_cancel(&f->x);
}

static hdw_status setup(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  c->careful = true;
  const char *page = page_kind(c, &e->a);
  if (page[0] && !page_is_computed(page)) {
    snprintf(text, ENG_TEXT, "page: next links are followed without it; by_offset, by_page and by_cursor are for servers that have none");
    return HDW_E_INVALID;
  }
  hdw_status s = fhir_quirks_setup(e, c);
  return s ? s : eng_http_setup(e, c, text);
}

static bool unsafe(eng_call *call) {
  val safe = jv_get(call->request, "safe");
  if (!strcmp(call->op, "create")) return !HDW_BROKEN("create.again") && jv_get(call->request, "if_none_exist").tag == VAL_EMPTY;
  if (!strcmp(call->op, "patch")) return jv_get(call->request, "body").tag != VAL_EMPTY && jv_get(call->request, "if_match").tag == VAL_EMPTY;
  if (!strcmp(call->op, "operation")) return safe.tag != VAL_BOOL || !safe.u.i;
  if (strcmp(call->op, "batch") && strcmp(call->op, "transaction")) return false;
  fhir f = {.call = call};
  val bundle;
  bool repeatable = true;
  return fhir_bundle(&f, jv_get(call->request, "entries"), call->op, &bundle, &repeatable) == NULL && !repeatable;
}

const eng_driver eng_driver_fhir = {.kind = "fhir", .setup = setup, .start = start, .cancel = cancel, .unsafe = unsafe, .close = eng_http_close};
