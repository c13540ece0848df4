/* fhir_patch.c - changes of some elements on the version that is there (F-13, F-15).
 *
 *   read -> nothing to change: done
 *        -> PATCH with If-Match, tests first -> 409, 412: another was faster, read again, at most FHIR_REAPPLY times
 *                                            -> 405, 415, 501: the server knows no JSON Patch; PUT of the whole, with If-Match */
#include <stdio.h>
#include "fhir_call.h"
#include "json.h"

static void read_present(fhir *f);

static val string(arena *a, const char *text) {
  char *p = text ? arena_dup(a, text, strlen(text)) : NULL;
  return p ? val_cstr(p) : VAL_NONE;
}

static const char *json_of(arena *a, val v) {
  buf b;
  buf_init(&b, a, 16 << 20);
  if (json_write(v, &b, NULL)) return NULL;
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

static bool same(arena *a, val x, val y) {
  const char *s = json_of(a, x), *t = json_of(a, y);
  return s && t && !strcmp(s, t);
}

static bool add_op(arena *a, val_builder *b, const char *op, const char *path, val value) {
  static const char *const names[] = {"op", "path", "value"};
  val v[] = {val_cstr(op), string(a, path), value};
  return !val_push(a, b, fhir_object(a, 3, names, v));
}

/* What an element is in JSON: a list where there is one already. */
static val shaped(val was, val v) {
  bool array = was.tag == VAL_LIST || (was.flags & VALF_ARRAY);
  if (array && v.tag != VAL_LIST) v.flags |= VALF_ARRAY;
  return v;
}

static const val *slot_of(val obj, val key) { return obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(key.u.s, key.len)) : NULL; }

static bool is_removed(val remove, val key) {
  for (uint32_t i = 0; i < val_count(remove); i++) {
    val r = val_item(remove, i);
    if (r.tag == VAL_STR && r.len == key.len && !memcmp(r.u.s, key.u.s, key.len)) return true;
  }
  return false;
}

/* The patch, and the whole as it will be. false: no memory. *changes: there is something to do. */
static bool plan(fhir *f, val *ops, val *whole, bool *changes) {
  arena *a = f->call->a;
  val set = jv_get(f->call->request, "set"), remove = VAL_NONE, now = f->present;
  val_builder b = {0};
  uint32_t n = 0, room = now.len + (set.tag == VAL_OBJ ? set.len : 0);
  val *kv = (val *)arena_alloc(a, (size_t)room * 2 * sizeof *kv + 1);
  if (!kv || val_norm(a, jv_get(f->call->request, "remove"), &remove)) return false;
  *changes = false;
  if (f->version && !add_op(a, &b, "test", "/meta/versionId", val_cstr(f->version))) return false;
  for (uint32_t i = 0; i < now.len; i++) {
    val k = now.u.v[2 * i], v = now.u.v[2 * i + 1];
    char path[128];
    snprintf(path, sizeof path, "/%.*s", (int)(k.len < 120 ? k.len : 120), k.u.s);
    const val *to = slot_of(set, k);
    bool gone = is_removed(remove, k), differs = to && !same(a, shaped(v, *to), v);
    if (gone || differs) {
      *changes = true;
      if (!f->version && !add_op(a, &b, "test", path, v)) return false;
      if (!add_op(a, &b, gone ? "remove" : "replace", path, gone ? VAL_NONE : shaped(v, *to))) return false;
    }
    if (gone) continue;
    kv[2 * n] = k, kv[2 * n + 1] = differs ? shaped(v, *to) : v;
    n++;
  }
  for (uint32_t i = 0; set.tag == VAL_OBJ && i < set.len; i++) {
    val k = set.u.v[2 * i], v = set.u.v[2 * i + 1];
    char path[128];
    if (slot_of(now, k) || v.tag == VAL_EMPTY || v.tag == VAL_NULL || is_removed(remove, k)) continue;
    snprintf(path, sizeof path, "/%.*s", (int)(k.len < 120 ? k.len : 120), k.u.s);
    *changes = true;
    if (!add_op(a, &b, "add", path, v)) return false;
    kv[2 * n] = k, kv[2 * n + 1] = v;
    n++;
  }
  *ops = val_build(&b);
  if (ops->tag == VAL_OBJ) ops->flags |= VALF_ARRAY;
  *whole = (val){.tag = VAL_OBJ, .flags = now.flags, .len = n, .u.v = kv};
  return true;
}

static void on_written(fhir *f, const io_http_res *res, val body) {
  const char *id, *version;
  fhir_location(f->call->a, eng_http_res_header(res, "Content-Location"), &id, &version);
  if (!strcmp(fhir_type_of(f->call->a, body), f->type)) fhir_done(f, body);
  else { /* return=minimal */
    f->applied = FHIR_REAPPLY + 1;
    read_present(f);
  }
}

static bool put_instead(fhir *f, const io_http_res *res);
static bool when_refused(fhir *f, const io_http_res *res) {
  if ((res->code == 409 || res->code == 412) && !f->call->retry_after_us && ++f->applied <= FHIR_REAPPLY) {
    read_present(f);
    return true;
  }
  return put_instead(f, res);
}

static bool write(fhir *f, const char *method, val body, const char *type) {
  const char *etag = f->version ? fhir_etag(f->call->a, f->version) : NULL;
  fhir_begin(f, method, on_written);
  f->safe = f->conditional = etag != NULL || !strcmp(method, "PUT");
  if (!fhir_path(f, NULL, f->type, f->id, NULL) || !fhir_body(f, body, type) || (etag && !eng_http_header(&f->x, "If-Match", etag))) return false;
  f->refusal = when_refused;
  fhir_go(f);
  return true;
}

static bool put_instead(fhir *f, const io_http_res *res) {
  val ops, whole;
  bool changes;
  if (strcmp(f->x.method, "PATCH") != 0 || (res->code != 405 && res->code != 415 && res->code != 501)) return false;
  return plan(f, &ops, &whole, &changes) && write(f, "PUT", whole, "application/fhir+json; charset=UTF-8");
}

static void on_present(fhir *f, const io_http_res *res, val body) {
  arena *a = f->call->a;
  val ops, whole;
  bool changes;
  if (strcmp(fhir_type_of(a, body), f->type) != 0) {
    fhir_fail(f, FAIL_DATA, res->code, "wrong_type", "the answer is no %.40s", f->type);
    return;
  }
  const char *version = jv_text(a, fhir_get(a, fhir_get(a, body, "meta"), "versionId")), *etag = eng_http_res_header(res, "ETag");
  if (!version && etag) { /* W/"3" */
    const char *q = strchr(etag, '"'), *end = q ? strchr(q + 1, '"') : NULL;
    version = end ? arena_dup(a, q + 1, (size_t)(end - q - 1)) : arena_dup(a, etag, strlen(etag));
  }
  f->present = body;
  f->version = version;
  if (f->applied > FHIR_REAPPLY) {
    fhir_done(f, fhir_versioned(a, body, f->id, version));
    return;
  }
  const char *wanted, *there = version ? fhir_etag(a, version) : NULL;
  if (fhir_if_match(f, &wanted) && wanted && strcmp(wanted, "*") != 0 && version && strcmp(wanted, there ? there : "") != 0) {
    fhir_fail(f, FAIL_PERMANENT, 412, "conflict", "the resource has another version than if_match");
    return;
  }
  if (!plan(f, &ops, &whole, &changes)) fhir_fail(f, FAIL_PERMANENT, 0, "HDW_E_NOMEM", "out of memory");
  else if (!changes) fhir_done(f, fhir_versioned(a, body, f->id, version));
  else if (!write(f, "PATCH", ops, "application/json-patch+json")) fhir_fail(f, FAIL_DATA, 0, "bad_request", "the change cannot be written");
}

static void read_present(fhir *f) {
  fhir_begin(f, "GET", on_present);
  if (fhir_path(f, NULL, f->type, f->id, NULL)) fhir_go(f);
  else fhir_fail(f, FAIL_DATA, 0, "bad_path", "the id cannot stand in an address");
}

static void on_patched(fhir *f, const io_http_res *res, val body) {
  (void)res;
  if (!strcmp(fhir_type_of(f->call->a, body), f->type)) fhir_done(f, body);
  else {
    f->applied = FHIR_REAPPLY + 1;
    read_present(f);
  }
}

void fhir_patch_start(fhir *f) {
  eng_call *call = f->call;
  val body = jv_get(call->request, "body");
  const char *etag;
  if (!fhir_if_match(f, &etag) || !f->id[0]) {
    eng_http_fail_soon(call, FAIL_DATA, f->id[0] ? "bad_version" : "no_id", f->id[0] ? "if_match is no version" : "there is no id to patch");
    return;
  }
  if (body.tag == VAL_EMPTY) {
    fhir_begin(f, "GET", on_present);
    if (fhir_path(f, NULL, f->type, f->id, NULL)) fhir_go(f);
    else eng_http_fail_soon(call, FAIL_DATA, "bad_path", "the id cannot stand in an address");
    return;
  }
  if (body.tag == VAL_OBJ && !fhir_type_of(call->a, body)[0]) body.flags |= VALF_ARRAY; /* one operation */
  bool parameters = body.tag == VAL_OBJ && !(body.flags & VALF_ARRAY);
  fhir_begin(f, "PATCH", on_patched);
  f->safe = f->conditional = etag != NULL;
  if (!fhir_path(f, NULL, f->type, f->id, NULL) || !fhir_body(f, body, parameters ? "application/fhir+json; charset=UTF-8" : "application/json-patch+json") || (etag && !eng_http_header(&f->x, "If-Match", etag)))
    eng_http_fail_soon(call, FAIL_DATA, "bad_request", "the patch cannot be written");
  else fhir_go(f);
}
