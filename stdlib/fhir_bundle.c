/* fhir_bundle.c - resources that stand in one another's references become the entries of a Bundle.
 *
 * reference(resource) gives a Reference to the resource's fullUrl that carries the resource itself in a member "resource", which FHIR does not
 * have; entries() takes it out again. So a function that makes an Identifier can name the Organization that assigned it, and whoever makes the
 * Bundle need not know. An id that is missing is derived from the content: what is the same twice is one entry. */
#include "fhir.h"
#include "hl7.h"
#include "std_int.h"
#include "fp_int.h"
#include <string.h>

hdw_status std_uuid(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_reference(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_entries(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_to_instant(vm_cx *cx, const val *args, unsigned n, val *out);

enum { DEPTH_MAX = 100, UUID_LEN = 36 };
#define KEY(s) val_key(s, sizeof(s) - 1)

static const val *member(val obj, val key) {
  const val *v = obj.tag == VAL_OBJ ? val_obj_get(obj, key) : NULL;
  return v && v->tag != VAL_EMPTY && v->tag != VAL_NULL ? v : NULL;
}

static hdw_status with_id(vm_cx *cx, val r, val *id, val *out) {
  const val *have = member(r, KEY("id"));
  *out = r;
  if (have && have->tag == VAL_STR) return *id = *have, HDW_OK;
  hdw_status s = std_uuid(cx, &r, 1, id);
  if (s) return s;
  val *kv = arena_alloc(cx->a, ((size_t)r.len + 1) * 2 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  uint32_t k = 0;
  for (uint32_t i = 0; i < r.len; i++) { /* behind resourceType, where readers look for it */
    kv[2 * k] = r.u.v[2 * i];
    kv[2 * k++ + 1] = r.u.v[2 * i + 1];
    if (i == 0) { kv[2] = KEY("id"); kv[3] = *id; k++; }
  }
  *out = r;
  out->u.v = kv;
  out->len = r.len + 1;
  return HDW_OK;
}

static hdw_status url_of(vm_cx *cx, val id, val *out) {
  if (id.len != UUID_LEN) return vm_fail(cx, HDW_E_INVALID, "a resource of a new Bundle has a UUID as id, or none");
  char *p = arena_alloc(cx->a, 9 + UUID_LEN);
  if (!p) return HDW_E_NOMEM;
  memcpy(p, "urn:uuid:", 9);
  memcpy(p + 9, id.u.s, UUID_LEN);
  *out = val_str(p, 9 + UUID_LEN);
  return HDW_OK;
}

/* A resource, or the id of one that is an entry by itself. */
hdw_status std_reference(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val id, r = args[0], url;
  *out = VAL_NONE;
  if (r.tag == VAL_EMPTY) return HDW_OK;
  bool resource = r.tag == VAL_OBJ && r.len && fhir_type_kind(r.aux) == FHIR_RESOURCE;
  if (!resource && r.tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "'reference' takes a resource or its id, this is %s", val_type_name(r));
  hdw_status s = resource ? with_id(cx, r, &id, &r) : (id = r, HDW_OK);
  if (!s) s = url_of(cx, id, &url);
  if (s) return s;
  val *kv = arena_alloc(cx->a, 4 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  kv[0] = KEY("reference");
  kv[1] = url;
  kv[2] = KEY("resource");
  kv[3] = r;
  *out = (val){.tag = VAL_OBJ, .aux = fhir_type("Reference", 9), .len = resource ? 2 : 1, .u.v = kv};
  return vm_charge(cx, 8);
}

/* ---- entries */

typedef struct gather {
  vm_cx *cx;
  val_builder queue;    /* resources, the given ones first; each is walked in its turn */
  uint32_t *seen, cap;  /* index in queue + 1 by hash of the id */
  uint16_t reference;
} gather;

static bool same_text(val a, val b) { return a.len == b.len && memcmp(a.u.s, b.u.s, a.len) == 0; }

static hdw_status grow_seen(gather *g) {
  uint32_t cap = g->cap ? g->cap * 2 : 64, *t = arena_zalloc(g->cx->a, cap, sizeof *t);
  if (!t) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < g->queue.len; i++) {
    uint64_t x = val_hash(0, *member(g->queue.v[i], KEY("id")));
    while (t[x & (cap - 1)]) x++;
    t[x & (cap - 1)] = i + 1;
  }
  g->seen = t;
  g->cap = cap;
  return HDW_OK;
}

/* Puts a resource into the queue unless one with its id is there. */
static hdw_status enqueue(gather *g, val r) {
  val id;
  if (r.tag != VAL_OBJ || !r.len || fhir_type_kind(r.aux) != FHIR_RESOURCE) return vm_fail(g->cx, HDW_E_TYPE, "'entries' takes resources, this is %s", val_type_name(r));
  hdw_status s = with_id(g->cx, r, &id, &r);
  if (s) return s;
  if ((g->queue.len + 1) * 2 > g->cap && (s = grow_seen(g))) return s;
  uint64_t x = val_hash(0, id);
  for (; g->seen[x & (g->cap - 1)]; x++)
    if (same_text(*member(g->queue.v[g->seen[x & (g->cap - 1)] - 1], KEY("id")), id)) return HDW_OK;
  g->seen[x & (g->cap - 1)] = g->queue.len + 1;
  return val_push(g->cx->a, &g->queue, r);
}

/* A time as FHIR wants it: with a zone there are seconds, without one only the date is known. */
static val moment(val v) {
  tm_val t = val_get_time(v), u;
  int y, mo, d, h, mi, s, us;
  if (v.tag == VAL_TIME ? t.prec >= TM_SECOND : t.prec >= TM_SECOND && t.has_zone) return v;
  if (v.tag == VAL_DATETIME && t.prec <= TM_DAY && !t.has_zone) return v;
  tm_fields(&t, &y, &mo, &d, &h, &mi, &s, &us);
  bool whole = v.tag == VAL_TIME || (t.has_zone && t.prec > TM_DAY);
  if (tm_make(y, mo, d, whole ? h : 0, whole ? mi : 0, 0, 0, whole ? TM_SECOND : t.prec < TM_DAY ? t.prec : TM_DAY, &u)) return v;
  u.has_zone = whole && t.has_zone;
  u.zone_min = t.zone_min;
  u.zone_z = t.zone_z;
  val r = val_from_time((val_tag)v.tag, &u);
  r.aux = v.aux;
  return r;
}

static hdw_status walk(gather *g, val in, int depth, val *out);

static hdw_status walk_items(gather *g, val in, uint32_t n, uint32_t step, int depth, val *out) {
  val *copy = NULL;
  hdw_status s = vm_charge(g->cx, n);
  for (uint32_t i = step - 1; !s && i < n * step; i += step) {
    val v;
    s = walk(g, in.u.v[i], depth + 1, &v);
    if (s || memcmp(&v, &in.u.v[i], sizeof v) == 0) continue;
    if (!copy) {
      copy = arena_alloc(g->cx->a, (size_t)n * step * sizeof *copy);
      if (!copy) return HDW_E_NOMEM;
      memcpy(copy, in.u.v, (size_t)n * step * sizeof *copy);
    }
    copy[i] = v;
  }
  *out = in;
  if (copy) out->u.v = copy;
  return s;
}

static hdw_status walk(gather *g, val in, int depth, val *out) {
  *out = in;
  if (depth > DEPTH_MAX) return vm_fail(g->cx, HDW_E_LIMIT, "nested more than %d deep", DEPTH_MAX);
  if (in.tag == VAL_LIST) return walk_items(g, in, in.len, 1, depth, out);
  if (in.tag == VAL_DATETIME || in.tag == VAL_TIME) return *out = moment(in), HDW_OK;
  if (in.tag != VAL_OBJ) return HDW_OK;
  const val *inside = in.aux == g->reference ? member(in, KEY("resource")) : NULL;
  if (!inside) return walk_items(g, in, in.len, 2, depth, out);
  hdw_status s = enqueue(g, *inside);
  val *kv = arena_alloc(g->cx->a, (size_t)in.len * 2 * sizeof *kv);
  if (s || !kv) return s ? s : HDW_E_NOMEM;
  uint32_t k = 0;
  for (uint32_t i = 0; i < in.len; i++) {
    if (&in.u.v[2 * i + 1] == inside) continue;
    kv[2 * k] = in.u.v[2 * i];
    kv[2 * k++ + 1] = in.u.v[2 * i + 1];
  }
  *out = in;
  out->u.v = kv;
  out->len = k;
  return HDW_OK;
}

hdw_status std_entries(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  gather g = {.cx = cx, .reference = fhir_type("Reference", 9)};
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; !s && i < val_count(args[0]); i++) s = enqueue(&g, val_item(args[0], i));
  for (uint32_t i = 0; !s && i < g.queue.len; i++) {
    val *kv = arena_alloc(cx->a, 4 * sizeof *kv);
    if (!kv) return HDW_E_NOMEM;
    kv[0] = KEY("fullUrl");
    kv[2] = KEY("resource");
    s = url_of(cx, *member(g.queue.v[i], KEY("id")), &kv[1]);
    if (!s) s = walk(&g, g.queue.v[i], 0, &kv[3]);
    if (!s) s = val_push(cx->a, &b, (val){.tag = VAL_OBJ, .aux = fhir_type("Bundle.entry", 12), .len = 2, .u.v = kv});
  }
  if (!s) *out = val_build(&b);
  return s;
}

/* A moment as FHIR's instant: with zone and seconds, which are zero when only the minute was written. */
hdw_status std_to_instant(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val v = args[0];
  *out = VAL_NONE;
  if (v.tag == VAL_HL7) {
    hdw_status s = hl7_to_datetime(cx, args, 1, &v);
    if (s) return s;
  }
  if (v.tag != VAL_DATETIME) return HDW_OK;
  tm_val t = val_get_time(v);
  if (t.has_zone && t.prec >= TM_MINUTE) *out = moment(v);
  return HDW_OK;
}
