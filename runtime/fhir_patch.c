/* fhir_patch.c - changes of some elements on the version that is there (F-13, F-15).
 *
 *   read -> nothing to change: done
 *        -> PATCH with If-Match, tests first -> 409, 412: another was faster, read again, at most FHIR_REAPPLY times
 *                                            -> 405, 415, 501: the server knows no JSON Patch; PUT of the whole, with If-Match, never without
 *
 * If-Match is the ETag, else meta.versionId. Tested is what the body has: meta.versionId, or the values that change; the quirk version_test: false leaves the first to
 * If-Match, for servers that take patches of certain paths only. */
#include <stdio.h>
#include "fhir_call.h"
#include "json.h"

static void read_present(fhir *f);

static const char *json_of(arena *a, val v) {
  buf b;
  buf_init(&b, a, 16 << 20);
  if (json_write(v, &b, NULL)) return NULL;
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

enum { SAME_DEPTH = 64 };

/* The same JSON: members in any order, text however it was escaped, numbers to the digit (1.0 is not 1.00). */
static bool same(arena *a, val x, val y, unsigned depth) {
  bool array = x.tag == VAL_LIST || (x.flags & VALF_ARRAY);
  if (depth > SAME_DEPTH || array != (y.tag == VAL_LIST || (y.flags & VALF_ARRAY))) return false;
  if (x.tag == VAL_OBJ && y.tag == VAL_OBJ) {
    if (x.len != y.len) return false;
    for (uint32_t i = 0; i < x.len; i++) {
      const val *other = val_obj_get(y, x.u.v[2 * i]);
      if (!other || !same(a, x.u.v[2 * i + 1], *other, depth + 1)) return false;
    }
    return true;
  }
  if (x.tag == VAL_LIST && y.tag == VAL_LIST) {
    if (x.len != y.len) return false;
    for (uint32_t i = 0; i < x.len; i++)
      if (!same(a, x.u.v[i], y.u.v[i], depth + 1)) return false;
    return true;
  }
  if (x.tag == VAL_LIST || y.tag == VAL_LIST) { /* one item, written as an array */
    val list = x.tag == VAL_LIST ? x : y, one = x.tag == VAL_LIST ? y : x;
    one.flags &= (uint8_t)~VALF_ARRAY;
    return list.len == 1 && same(a, list.u.v[0], one, depth + 1);
  }
  if ((x.tag == VAL_STR && val_norm(a, x, &x)) || (y.tag == VAL_STR && val_norm(a, y, &y))) return false;
  const char *s = json_of(a, x), *t = json_of(a, y);
  return s && t && !strcmp(s, t);
}

static bool add_op(arena *a, val_builder *b, const char *op, val path, val value) {
  static const char *const names[] = {"op", "path", "value"};
  val v[] = {val_cstr(op), path, value};
  return path.tag == VAL_STR && !val_push(a, b, fhir_object(a, 3, names, v));
}

/* The pointer to a member of the resource (RFC 6901): whatever its name, it is that member. */
static val pointer(arena *a, val name) {
  char *p = (char *)arena_alloc(a, 2 * (size_t)name.len + 2), *o = p;
  if (!p) return VAL_NONE;
  *o++ = '/';
  for (uint32_t i = 0; i < name.len; i++) {
    char c = name.u.s[i];
    if (c == '~' || c == '/') *o++ = '~';
    *o++ = c == '~' ? '0' : c == '/' ? '1' : c;
  }
  return val_str(p, (size_t)(o - p));
}

/* What an element is in JSON: a list where there is one already. */
static val shaped(val was, val v) {
  bool array = was.tag == VAL_LIST || (was.flags & VALF_ARRAY);
  if (array && v.tag != VAL_LIST) v.flags |= VALF_ARRAY;
  return v;
}

static bool is_nothing(val v) { return v.tag == VAL_EMPTY || v.tag == VAL_NULL; }

/* What set says of a member; NULL: nothing. */
static const val *slot_of(val obj, val key) {
  const val *v = obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(key.u.s, key.len)) : NULL;
  return v && !is_nothing(*v) ? v : NULL;
}

static bool is_removed(val remove, val key) {
  for (uint32_t i = 0; i < val_count(remove); i++) {
    val r = val_item(remove, i);
    if (r.tag == VAL_STR && r.len == key.len && !memcmp(r.u.s, key.u.s, key.len)) return true;
  }
  return false;
}

/* The version that the patch itself tests: what stands in the body. NULL: that of If-Match has to do, or there is none. */
static const char *tested_version(fhir *f) {
  val said = jv_get(jv_get(f->call->c->args, "quirks"), "version_test");
  bool by_header = said.tag == VAL_BOOL && !said.u.i && f->version;
  return by_header ? NULL : jv_text(f->call->a, fhir_get(f->call->a, fhir_get(f->call->a, f->present, "meta"), "versionId"));
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
  const char *version = tested_version(f);
  bool guarded = version || f->version;
  if (version && !add_op(a, &b, "test", val_cstr("/meta/versionId"), val_cstr(version))) return false;
  for (uint32_t i = 0; i < now.len; i++) {
    val k = now.u.v[2 * i], v = now.u.v[2 * i + 1];
    const val *to = slot_of(set, k);
    bool gone = is_removed(remove, k), differs = to && !same(a, shaped(v, *to), v, 0);
    if (gone || differs) {
      *changes = true;
      if (!guarded && !add_op(a, &b, "test", pointer(a, k), v)) return false;
      if (!add_op(a, &b, gone ? "remove" : "replace", pointer(a, k), gone ? VAL_NONE : shaped(v, *to))) return false;
    }
    if (gone) continue;
    kv[2 * n] = k, kv[2 * n + 1] = differs ? shaped(v, *to) : v;
    n++;
  }
  for (uint32_t i = 0; set.tag == VAL_OBJ && i < set.len; i++) {
    val k = set.u.v[2 * i], v = set.u.v[2 * i + 1];
    if (val_obj_get(now, val_key(k.u.s, k.len)) || is_nothing(v) || is_removed(remove, k)) continue;
    *changes = true;
    if (!add_op(a, &b, "add", pointer(a, k), v)) return false;
    kv[2 * n] = k, kv[2 * n + 1] = v;
    n++;
  }
  *ops = val_build(&b);
  if (ops->tag == VAL_OBJ) ops->flags |= VALF_ARRAY;
  *whole = (val){.tag = VAL_OBJ, .flags = now.flags, .len = n, .u.v = kv};
  return true;
}

/* The version of an ETag, "3" or W/"3"; NULL: none that If-Match can carry. */
static const char *version_of_etag(arena *a, const char *etag) {
  const char *e = etag ? fhir_etag(a, etag) : NULL; /* W/"3" */
  return e ? arena_dup(a, e + 3, strlen(e) - 4) : NULL;
}

static void on_written(fhir *f, const io_http_res *res, val body) {
  if (!strcmp(fhir_type_of(f->call->a, body), f->type)) fhir_done(f, fhir_versioned(f->call->a, body, f->id, version_of_etag(f->call->a, eng_http_res_header(res, "ETag"))));
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
  if (f->version) return plan(f, &ops, &whole, &changes) && write(f, "PUT", whole, "application/fhir+json; charset=UTF-8");
  fhir_fail(f, FAIL_PERMANENT, res->code, "no_version", "the server takes no JSON Patch and gives no versions: the whole in its place could undo what others write meanwhile");
  return true;
}

static void on_present(fhir *f, const io_http_res *res, val body) {
  arena *a = f->call->a;
  val ops, whole;
  bool changes;
  if (strcmp(fhir_type_of(a, body), f->type) != 0) {
    fhir_fail(f, FAIL_DATA, res->code, "wrong_type", "the answer is no %.40s", f->type);
    return;
  }
  const char *version = version_of_etag(a, eng_http_res_header(res, "ETag"));
  if (!version) version = version_of_etag(a, jv_text(a, fhir_get(a, fhir_get(a, body, "meta"), "versionId")));
  f->present = body;
  f->version = version;
  if (f->applied > FHIR_REAPPLY) {
    fhir_done(f, fhir_versioned(a, body, f->id, version));
    return;
  }
  const char *wanted, *there = version ? fhir_etag(a, version) : NULL;
  if (fhir_if_match(f, &wanted) && wanted && strcmp(wanted, "*") != 0) {
    if (version && strcmp(wanted, there ? there : "") != 0) {
      fhir_fail(f, FAIL_PERMANENT, 412, "conflict", "the resource has another version than if_match");
      return;
    }
    f->version = version_of_etag(a, wanted); /* where the answer names none, the server compares */
  }
  if (!plan(f, &ops, &whole, &changes)) fhir_fail(f, FAIL_DATA, 0, "HDW_E_NOMEM", "out of memory");
  else if (!changes) fhir_done(f, fhir_versioned(a, body, f->id, version));
  else if (!write(f, "PATCH", ops, "application/json-patch+json")) fhir_fail(f, FAIL_DATA, 0, "bad_request", "the change cannot be written");
}

static void read_present(fhir *f) {
  fhir_begin(f, "GET", on_present);
  if (fhir_path(f, NULL, f->type, f->id, NULL)) fhir_go(f);
  else fhir_fail(f, FAIL_DATA, 0, "bad_path", "the id cannot stand in an address");
}

void fhir_patch_start(fhir *f) {
  eng_call *call = f->call;
  val body = jv_get(call->request, "body");
  const char *etag;
  if (!fhir_if_match(f, &etag) || !f->id[0]) {
    eng_call_unsent(call, FAIL_DATA, f->id[0] ? "bad_version" : "no_id", f->id[0] ? "if_match is no version" : "there is no id to patch");
    return;
  }
  if (body.tag == VAL_EMPTY) {
    fhir_begin(f, "GET", on_present);
    if (fhir_path(f, NULL, f->type, f->id, NULL)) fhir_go(f);
    else eng_call_unsent(call, FAIL_DATA, "bad_path", "the id cannot stand in an address");
    return;
  }
  if (body.tag == VAL_OBJ && !fhir_type_of(call->a, body)[0]) body.flags |= VALF_ARRAY; /* one operation */
  bool parameters = body.tag == VAL_OBJ && !(body.flags & VALF_ARRAY);
  fhir_begin(f, "PATCH", on_written);
  f->safe = f->conditional = etag != NULL;
  if (!fhir_path(f, NULL, f->type, f->id, NULL) || !fhir_body(f, body, parameters ? "application/fhir+json; charset=UTF-8" : "application/json-patch+json") || (etag && !eng_http_header(&f->x, "If-Match", etag)))
    eng_call_unsent(call, FAIL_DATA, "bad_request", "the patch cannot be written");
  else fhir_go(f);
}
