/* fhir_answer.c - what FHIR servers answer, as values and classes of failure. Pure. */
#include <stdarg.h>
#include <stdio.h>
#include "fhir_call.h"

val fhir_object(arena *a, unsigned n, const char *const *names, const val *values) {
  val *kv = (val *)arena_alloc(a, (size_t)n * 2 * sizeof *kv + 1);
  if (!kv) return VAL_NONE;
  uint32_t k = 0;
  for (unsigned i = 0; i < n; i++) {
    if (values[i].tag == VAL_EMPTY) continue;
    kv[2 * k] = val_key(names[i], strlen(names[i]));
    kv[2 * k + 1] = values[i];
    k++;
  }
  return (val){.tag = VAL_OBJ, .len = k, .u.v = kv};
}

val fhir_get(arena *a, val obj, const char *name) {
  val v = VAL_NONE;
  const val *slot = obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL;
  return slot && !val_norm(a, *slot, &v) ? v : VAL_NONE;
}

const char *fhir_type_of(arena *a, val r) {
  const char *t = jv_text(a, fhir_get(a, r, "resourceType"));
  return t ? t : "";
}

/* ---- failures ------------------------------------------------------------------------------------------------------------------- */

static bool in(const char *word, const char *const *list) {
  for (; *list; list++)
    if (!strcmp(*list, word)) return true;
  return false;
}

uint8_t fhir_class(int status, const char *issue, bool safe, bool retry_after) {
  static const char *const again[] = {"transient", "lock-error", "timeout", "throttled", "incomplete", "no-store", NULL};
  static const char *const refused[] = {"lock-error", "throttled", NULL}; /* nothing was begun */
  static const char *const never[] = {"conflict", "duplicate", "invalid", "structure", "required", "value", "invariant", "security", "login", "forbidden", "suppressed", "not-supported",
                                      "not-found", "deleted", "multiple-matches", "too-long", "code-invalid", "extension", "too-costly", "business-rule", NULL};
  if (status == 425 || status == 429) return FAIL_TRANSIENT;
  if (in(issue, again)) return safe || in(issue, refused) ? FAIL_TRANSIENT : FAIL_AMBIGUOUS;
  if (status == 503 && retry_after) return FAIL_TRANSIENT;
  if (in(issue, never)) return FAIL_PERMANENT;
  if (status == 408 || status == 500 || status == 502 || status == 503 || status == 504) return safe ? FAIL_TRANSIENT : FAIL_AMBIGUOUS;
  return eng_class_of_status(status) == FAIL_TRANSIENT && !safe ? FAIL_AMBIGUOUS : eng_class_of_status(status);
}

/* Codes and paths are the specification's; anything else is not repeated: it may be a value. */
static void plain(char *out, size_t cap, const char *s) {
  size_t n = 0;
  for (; s && s[n] && n + 1 < cap; n++) {
    char c = s[n];
    bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '[' || c == ']';
    if (!ok) break;
    out[n] = c;
  }
  out[s && s[n] ? 0 : n] = 0;
}

void fhir_issue(arena *a, val outcome, char code[ENG_CODE], char where[80]) {
  code[0] = where[0] = 0;
  if (strcmp(fhir_type_of(a, outcome), "OperationOutcome") != 0) return;
  val issues = fhir_get(a, outcome, "issue");
  for (uint32_t i = 0; i < val_count(issues) && !code[0]; i++) {
    val x = val_item(issues, i);
    const char *severity = jv_text(a, fhir_get(a, x, "severity"));
    if (!severity || (strcmp(severity, "error") != 0 && strcmp(severity, "fatal") != 0)) continue;
    val at = fhir_get(a, x, "expression");
    if (at.tag == VAL_EMPTY) at = fhir_get(a, x, "location");
    plain(code, ENG_CODE, jv_text(a, fhir_get(a, x, "code")));
    plain(where, 80, val_count(at) ? jv_text(a, val_item(at, 0)) : NULL);
  }
}

void fhir_done(fhir *f, val result) {
  eng_call *call = f->call;
  call->driver = NULL;
  call->ok = true;
  call->result = result;
  eng_call_done(call);
}

void fhir_fail(fhir *f, uint8_t klass, int status, const char *code, const char *fmt, ...) {
  char text[ENG_TEXT];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  eng_call_fail(f->call, klass, status, code, "%s", text);
  f->call->driver = NULL;
  eng_call_done(f->call);
}

/* ---- versions ------------------------------------------------------------------------------------------------------------------- */

void fhir_location(arena *a, const char *location, const char **id, const char **version) {
  const char *part[3] = {NULL, NULL, NULL};
  size_t len[3] = {0, 0, 0};
  *id = *version = NULL;
  if (!location) return;
  size_t end = strcspn(location, "?#");
  for (int i = 0; i < 3 && end; i++) { /* from behind */
    size_t from = end;
    while (from && location[from - 1] != '/') from--;
    part[i] = location + from, len[i] = end - from;
    end = from ? from - 1 : 0;
  }
  bool versioned = part[1] && len[1] == 8 && !memcmp(part[1], "_history", 8);
  int at = versioned ? 2 : 0;
  if (part[at] && len[at]) *id = arena_dup(a, part[at], len[at]);
  if (versioned && len[0]) *version = arena_dup(a, part[0], len[0]);
}

static val with_member(arena *a, val obj, const char *name, val v) {
  uint32_t n = obj.tag == VAL_OBJ ? obj.len : 0;
  val key = val_key(name, strlen(name));
  val *kv = (val *)arena_alloc(a, (size_t)(n + 1) * 2 * sizeof *kv);
  if (!kv) return obj;
  if (n) memcpy(kv, obj.u.v, (size_t)n * 2 * sizeof *kv);
  uint32_t i = 0;
  while (i < n && !(kv[2 * i].len == key.len && !memcmp(kv[2 * i].u.s, name, key.len))) i++;
  kv[2 * i] = key, kv[2 * i + 1] = v;
  uint8_t flags = obj.tag == VAL_OBJ ? obj.flags : 0;
  return (val){.tag = VAL_OBJ, .flags = flags, .len = i == n ? n + 1 : n, .u.v = kv};
}

val fhir_versioned(arena *a, val r, const char *id, const char *version) {
  if (r.tag != VAL_OBJ) return r;
  r.aux = 0;
  if (id && fhir_get(a, r, "id").tag == VAL_EMPTY) r = with_member(a, r, "id", val_cstr(id));
  val was = fhir_get(a, r, "meta");
  if (version && fhir_get(a, was, "versionId").tag == VAL_EMPTY) r = with_member(a, r, "meta", with_member(a, was, "versionId", val_cstr(version)));
  return r;
}

/* ---- searches ------------------------------------------------------------------------------------------------------------------- */

static val list_of(val_builder *b) {
  val v = val_build(b);
  return v.tag == VAL_EMPTY ? (val){.tag = VAL_LIST, .flags = VALF_ARRAY} : v;
}

static val result_of(arena *a, val_builder *match, val_builder *include, val_builder *outcome, val_builder *entry, val total) {
  static const char *const names[] = {"match", "include", "outcome", "total", "entry"};
  val values[] = {list_of(match), list_of(include), list_of(outcome), total, list_of(entry)};
  return fhir_object(a, 5, names, values);
}

val fhir_found_nothing(arena *a) {
  val_builder none[4] = {{0}};
  return result_of(a, &none[0], &none[1], &none[2], &none[3], val_int(0));
}

const char *fhir_link(arena *a, val bundle, const char *relation) {
  val links = fhir_get(a, bundle, "link");
  for (uint32_t i = 0; i < val_count(links); i++) {
    const char *r = jv_text(a, fhir_get(a, val_item(links, i), "relation")), *u = jv_text(a, fhir_get(a, val_item(links, i), "url"));
    if (r && u && !strcmp(r, relation)) return u;
  }
  return NULL;
}

val fhir_found(arena *a, val page) {
  val_builder b[4] = {{0}};
  hdw_status s = HDW_OK;
  if (strcmp(fhir_type_of(a, page), "Bundle") != 0) { /* of a mock */
    if (page.tag == VAL_OBJ && fhir_get(a, page, "resourceType").tag == VAL_EMPTY) return page;
    for (uint32_t i = 0; i < val_count(page) && !s; i++) s = val_push(a, &b[0], val_item(page, i));
    return result_of(a, &b[0], &b[1], &b[2], &b[3], VAL_NONE);
  }
  val entries = fhir_get(a, page, "entry");
  for (uint32_t i = 0; i < val_count(entries) && !s; i++) {
    val e = val_item(entries, i), r = fhir_get(a, e, "resource");
    const char *mode = jv_text(a, fhir_get(a, fhir_get(a, e, "search"), "mode"));
    bool outcome = mode ? !strcmp(mode, "outcome") : !strcmp(fhir_type_of(a, r), "OperationOutcome");
    int to = outcome ? 2 : mode && !strcmp(mode, "include") ? 1 : 0;
    s = val_push(a, &b[to], r);
    if (!s) s = val_push(a, &b[3], e);
  }
  return s ? VAL_NONE : result_of(a, &b[0], &b[1], &b[2], &b[3], fhir_get(a, page, "total"));
}

val fhir_mocked(arena *a, const char *op, val request, val answer) {
  static const char *const paged[] = {"search", "pages", "history", "everything", NULL};
  static const char *const names[] = {"match", "include", "outcome", "total", "entry", "number", "more", "after"};
  static const char *const place[] = {"next", "number"};
  int64_t number = -1;
  if ((!strcmp(op, "create") || !strcmp(op, "update")) && (answer.tag == VAL_EMPTY || (answer.tag == VAL_OBJ && !answer.len))) return jv_get(request, "resource");
  if (!in(op, paged)) return answer;
  for (uint32_t i = 0; request.tag == VAL_OBJ && i < request.len; i++)
    if (request.u.v[2 * i + 1].tag == VAL_BOOL && !jv_is(request.u.v[2 * i], "phi") && !jv_is(request.u.v[2 * i], "all")) answer = VAL_NONE;
  val f = fhir_found(a, answer), after = VAL_NONE;
  if (strcmp(op, "pages") != 0) return f;
  const char *next = fhir_link(a, answer, "next");
  (void)jv_int(jv_get(jv_get(request, "after"), "number"), &number);
  val where[] = {val_cstr(next ? next : ""), val_int(number + 1)};
  if (next) after = fhir_object(a, 2, place, where);
  val v[] = {fhir_get(a, f, "match"), fhir_get(a, f, "include"), fhir_get(a, f, "outcome"), fhir_get(a, f, "total"), fhir_get(a, f, "entry"), val_int(number + 1), val_bool(next != NULL), after};
  return fhir_object(a, 8, names, v);
}

/* The decoded name of the parameter at p; its end. */
static const char *name_at(const char *p, char out[128], const char **end) {
  size_t n = 0;
  while (*p && *p != '=' && *p != '&') {
    unsigned c = (unsigned char)*p++;
    unsigned hi = 0, lo = 0;
    if (c == '%' && p[0] && p[1]) {
      hi = (unsigned)(p[0] <= '9' ? p[0] - '0' : (p[0] | 32) - 'a' + 10), lo = (unsigned)(p[1] <= '9' ? p[1] - '0' : (p[1] | 32) - 'a' + 10);
      c = (hi & 15) << 4 | (lo & 15);
      p += 2;
    }
    if (n < 127) out[n++] = (char)c;
  }
  out[n] = 0;
  while (*p && *p != '&') p++;
  *end = *p ? p + 1 : p;
  return out;
}

/* It says how the answer looks, not what is in it. */
static bool is_control(const char *name) { return name[0] == '_' && strcmp(name, "_id") != 0 && strcmp(name, "_lastUpdated") != 0 && strncmp(name, "_has", 4) != 0; }

static bool chooses(arena *a, val o, const char *const *own) {
  char name[128];
  for (const char *p = o.tag == VAL_STR ? jv_text(a, o) : NULL, *next; p && *p; p = next)
    if (name_at(p, name, &next)[0] && !is_control(name)) return true;
  for (uint32_t i = 0; o.tag == VAL_OBJ && i < o.len; i++) {
    const char *k = jv_text(a, o.u.v[2 * i]);
    if (k && !in(k, own) && !is_control(k)) return true;
  }
  return false;
}

const char *fhir_unbounded(arena *a, val request) {
  static const char *const own[] = {"resource_type", "max", "pages", "extra", "phi", "all", "after", NULL}, *const none[] = {NULL};
  val all = jv_get(request, "all");
  bool bounded = all.tag != VAL_BOOL || all.u.i || chooses(a, request, own) || chooses(a, jv_get(request, "extra"), none);
  return bounded ? NULL : "none of the search parameters has a value: this would ask for everything there is; all: true says that it is meant";
}

const char *fhir_ignored(arena *a, const char *asked, const char *self, bool posted) {
  char name[128], other[128];
  const char *q = self ? strchr(self, '?') : NULL;
  if (!self || (posted && !q)) return NULL; /* nothing is said */
  for (const char *p = asked, *next; *p; p = next) {
    bool there = false;
    name_at(p, name, &next);
    if (is_control(name) || !name[0]) continue;
    for (const char *o = q ? q + 1 : "", *after; *o && !there; o = after) there = !strcmp(name_at(o, other, &after), name);
    if (!there) return arena_dup(a, name, strlen(name));
  }
  return NULL;
}
