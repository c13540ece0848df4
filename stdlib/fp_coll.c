/* Collections: existence, subsetting, sets, folds and tree navigation (FHIRPath N1 sections 5.1 to 5.4 and 5.8). */
#include "fhir.h"
#include "fp_int.h"
#include "value_int.h"

static val sub(val coll, uint32_t from, uint32_t count) {
  if (count == 0) return VAL_NONE;
  if (count == 1) return val_item(coll, from);
  return (val){.tag = VAL_LIST, .len = count, .u.v = coll.u.v + from};
}

#define NATIVE(name) hdw_status name(vm_cx *cx, const val *args, unsigned n, val *out)
#define UNUSED_CX ((void)cx, (void)n)

NATIVE(fp_empty) { return UNUSED_CX, *out = val_bool(val_count(args[0]) == 0), HDW_OK; }
NATIVE(fp_exists) { return UNUSED_CX, *out = val_bool(val_count(args[0]) != 0), HDW_OK; }
NATIVE(fp_count) { return UNUSED_CX, *out = val_int(val_count(args[0])), HDW_OK; }
NATIVE(fp_first) { return UNUSED_CX, *out = sub(args[0], 0, val_count(args[0]) > 0), HDW_OK; }

NATIVE(fp_last) {
  uint32_t c = val_count(args[0]);
  UNUSED_CX;
  *out = c ? val_item(args[0], c - 1) : VAL_NONE;
  return HDW_OK;
}

NATIVE(fp_tail) {
  uint32_t c = val_count(args[0]);
  UNUSED_CX;
  *out = c > 1 ? sub(args[0], 1, c - 1) : VAL_NONE;
  return HDW_OK;
}

NATIVE(fp_skip) {
  int64_t k;
  bool has;
  (void)n;
  hdw_status s = fp_int(cx, args[1], "skip()", &k, &has);
  if (s || !has) return *out = VAL_NONE, s;
  uint32_t c = val_count(args[0]);
  if (k < 0) k = 0;
  *out = k >= c ? VAL_NONE : sub(args[0], (uint32_t)k, c - (uint32_t)k);
  return HDW_OK;
}

NATIVE(fp_take) {
  int64_t k;
  bool has;
  (void)n;
  hdw_status s = fp_int(cx, args[1], "take()", &k, &has);
  if (s || !has || k <= 0) return *out = VAL_NONE, s;
  uint32_t c = val_count(args[0]);
  *out = sub(args[0], 0, k < c ? (uint32_t)k : c);
  return HDW_OK;
}

NATIVE(fp_single) {
  uint32_t c = val_count(args[0]);
  (void)n;
  if (c > 1) return vm_fail(cx, HDW_E_CARD, "single() wants one item but got %u", (unsigned)c);
  *out = c ? val_item(args[0], 0) : VAL_NONE;
  return HDW_OK;
}

NATIVE(fp_index) {
  int64_t k;
  bool has;
  (void)n;
  hdw_status s = fp_int(cx, args[1], "an index", &k, &has);
  *out = VAL_NONE;
  if (!s && has && k >= 0 && k < val_count(args[0])) *out = val_item(args[0], (uint32_t)k);
  return s;
}

/* ---- sets: a hash table over the items; small ones are searched from end to end */

enum { TABLE_FROM = 12 };

typedef struct fp_set {
  val *key;         /* System values, by which items are compared */
  uint64_t *hash;
  uint32_t *slot;   /* item + 1, 0 = free; NULL for small sets */
  uint32_t n, cap, mask;
} fp_set;

/* A set for up to max items. */
static hdw_status set_init(vm_cx *cx, fp_set *st, uint64_t max) {
  *st = (fp_set){0};
  if (max > UINT32_MAX / 4) return HDW_E_LIMIT;
  st->cap = (uint32_t)max;
  st->key = (val *)arena_alloc(cx->a, (size_t)max * sizeof *st->key);
  st->hash = (uint64_t *)arena_alloc(cx->a, (size_t)max * sizeof *st->hash);
  if (!st->key || !st->hash) return HDW_E_NOMEM;
  if (max < TABLE_FROM) return HDW_OK;
  uint32_t size = 32;
  while (size < max * 2) size *= 2;
  st->slot = (uint32_t *)arena_zalloc(cx->a, size, sizeof *st->slot);
  if (!st->slot) return HDW_E_NOMEM;
  st->mask = size - 1;
  return HDW_OK;
}

/* What an item is compared by: its System value; of segments and groups the node itself. */
static hdw_status set_key(vm_cx *cx, val v, val *key) {
  hdw_status s = fp_is_model(v) ? fp_system(cx, v, key) : (*key = v, HDW_OK);
  if (s == HDW_E_TYPE || (!s && key->tag == VAL_EMPTY)) return *key = v, HDW_OK;
  return s;
}

/* Looks v up and, when add, puts it in if it is new. *found says whether it was there. */
static hdw_status set_find(vm_cx *cx, fp_set *st, val v, bool add, bool *found) {
  val key;
  int eq;
  hdw_status s = set_key(cx, v, &key);
  if (s || (s = vm_charge(cx, 1 + (key.tag == VAL_STR || key.tag == VAL_OBJ ? key.len / 16 : 0)))) return s;
  uint64_t h = val_hash(cx->seed, key);
  *found = true;
  uint32_t at = 0;
  if (st->slot) {
    for (at = (uint32_t)h & st->mask; st->slot[at]; at = (at + 1) & st->mask) {
      uint32_t i = st->slot[at] - 1;
      if (st->hash[i] != h) continue;
      if ((s = val_equal_within(cx->a, st->key[i], key, &cx->fuel, &eq))) return s;
      if (eq == 1) return HDW_OK;
      if ((s = vm_charge(cx, 1))) return s;
    }
  } else {
    for (uint32_t i = 0; i < st->n; i++) {
      if (st->hash[i] != h) continue;
      if ((s = val_equal_within(cx->a, st->key[i], key, &cx->fuel, &eq))) return s;
      if (eq == 1) return HDW_OK;
    }
  }
  *found = false;
  if (!add || st->n == st->cap) return HDW_OK;
  st->key[st->n] = key;
  st->hash[st->n++] = h;
  if (st->slot) st->slot[at] = st->n;
  return HDW_OK;
}

static hdw_status set_of(vm_cx *cx, fp_set *st, val coll) {
  bool found;
  hdw_status s = set_init(cx, st, val_count(coll));
  for (uint32_t i = 0; !s && i < val_count(coll); i++) s = set_find(cx, st, val_item(coll, i), true, &found);
  return s;
}

static hdw_status push_new(vm_cx *cx, fp_set *st, val_builder *b, val coll) {
  for (uint32_t i = 0; i < val_count(coll); i++) {
    bool found;
    hdw_status s = set_find(cx, st, val_item(coll, i), true, &found);
    if (!s && !found) s = val_push(cx->a, b, val_item(coll, i));
    if (s) return s;
  }
  return HDW_OK;
}

NATIVE(fp_distinct) {
  fp_set st;
  val_builder b = {0};
  (void)n;
  if (val_count(args[0]) < 2) return *out = args[0], HDW_OK;
  hdw_status s = set_init(cx, &st, val_count(args[0]));
  if (!s) s = push_new(cx, &st, &b, args[0]);
  *out = val_build(&b);
  return s;
}

NATIVE(fp_is_distinct) {
  val d;
  hdw_status s = fp_distinct(cx, args, n, &d);
  if (!s) *out = val_bool(val_count(d) == val_count(args[0]));
  return s;
}

NATIVE(fp_union) {
  fp_set st;
  val_builder b = {0};
  (void)n;
  hdw_status s = set_init(cx, &st, (uint64_t)val_count(args[0]) + val_count(args[1]));
  if (!s) s = push_new(cx, &st, &b, args[0]);
  if (!s) s = push_new(cx, &st, &b, args[1]);
  *out = val_build(&b);
  return s;
}

NATIVE(fp_combine) {
  val_builder b = {0};
  (void)n;
  if (val_count(args[1]) == 0) return *out = args[0], HDW_OK;
  if (val_count(args[0]) == 0) return *out = args[1], HDW_OK;
  hdw_status s = vm_charge(cx, (size_t)val_count(args[0]) + val_count(args[1]));
  if (!s) s = val_push(cx->a, &b, args[0]);
  if (!s) s = val_push(cx->a, &b, args[1]);
  *out = val_build(&b);
  return s;
}

/* Items of x that are (keep) or are not in y; once each or as often as they come. */
static hdw_status filter(vm_cx *cx, val x, val y, bool keep, bool once, val *out) {
  fp_set in_y, seen;
  val_builder b = {0};
  *out = VAL_NONE;
  hdw_status s = set_of(cx, &in_y, y);
  if (!s && once) s = set_init(cx, &seen, val_count(x));
  for (uint32_t i = 0; !s && i < val_count(x); i++) {
    bool found, dup = false;
    s = set_find(cx, &in_y, val_item(x, i), false, &found);
    if (s || found != keep) continue;
    if (once) s = set_find(cx, &seen, val_item(x, i), true, &dup);
    if (!s && !dup) s = val_push(cx->a, &b, val_item(x, i));
  }
  if (!s) *out = val_build(&b);
  return s;
}

NATIVE(fp_intersect) { return (void)n, filter(cx, args[0], args[1], true, true, out); }
NATIVE(fp_exclude) { return (void)n, filter(cx, args[0], args[1], false, false, out); }

static hdw_status subset(vm_cx *cx, val x, val y, val *out) {
  fp_set st;
  hdw_status s = set_of(cx, &st, y);
  bool found = true;
  for (uint32_t i = 0; !s && found && i < val_count(x); i++) s = set_find(cx, &st, val_item(x, i), false, &found);
  *out = val_bool(found);
  return s;
}

NATIVE(fp_subset_of) { return (void)n, subset(cx, args[0], args[1], out); }
NATIVE(fp_superset_of) { return (void)n, subset(cx, args[1], args[0], out); }

/* ---- booleans: true when an item equal to `seek` exists (any) or all items are (all) */

static hdw_status booleans(vm_cx *cx, val coll, const char *what, bool all, bool seek, val *out) {
  uint32_t c = val_count(coll);
  hdw_status s = vm_charge(cx, c);
  bool r = all;
  for (uint32_t i = 0; !s && i < c; i++) {
    val v;
    s = fp_one(cx, val_item(coll, i), what, &v);
    if (s || v.tag == VAL_EMPTY) continue;
    if (v.tag != VAL_BOOL) return fp_type_error(cx, what, v);
    if ((v.u.i != 0) == seek) r = all ? r : true;
    else if (all) r = false;
  }
  *out = val_bool(r);
  return s;
}

NATIVE(fp_all_true) { return (void)n, booleans(cx, args[0], "allTrue()", true, true, out); }
NATIVE(fp_any_true) { return (void)n, booleans(cx, args[0], "anyTrue()", false, true, out); }
NATIVE(fp_all_false) { return (void)n, booleans(cx, args[0], "allFalse()", true, false, out); }
NATIVE(fp_any_false) { return (void)n, booleans(cx, args[0], "anyFalse()", false, false, out); }

/* ---- folds */

/* The sum of nothing is 0. */
NATIVE(fp_sum) {
  uint32_t c = val_count(args[0]);
  (void)n;
  *out = val_int(0);
  if (c == 0) return HDW_OK;
  hdw_status s = vm_charge(cx, c);
  val pair[2] = {val_item(args[0], 0), VAL_NONE};
  if (!s) s = fp_one(cx, pair[0], "sum()", &pair[0]);
  if (!s && pair[0].tag != VAL_QTY && !fp_is_num(pair[0]) && pair[0].tag != VAL_EMPTY) return fp_type_error(cx, "sum()", pair[0]);
  for (uint32_t i = 1; !s && i < c; i++) {
    pair[1] = val_item(args[0], i);
    s = fp_add(cx, pair, 2, &pair[0]);
  }
  *out = pair[0];
  return s;
}

NATIVE(fp_avg) {
  val pair[2];
  uint32_t c = val_count(args[0]);
  if (c == 0) return *out = VAL_NONE, HDW_OK;
  hdw_status s = fp_sum(cx, args, n, &pair[0]);
  pair[1] = val_int(c);
  return s ? s : fp_div(cx, pair, 2, out);
}

static hdw_status extreme(vm_cx *cx, val coll, const char *what, int want, val *out) {
  uint32_t c = val_count(coll);
  *out = VAL_NONE;
  if (c == 0) return HDW_OK;
  hdw_status s = vm_charge(cx, c);
  val best = val_item(coll, 0), x;
  if (!s) s = fp_one(cx, best, what, &x);
  for (uint32_t i = 1; !s && i < c; i++) {
    val y;
    int cmp;
    bool known;
    if ((s = fp_one(cx, val_item(coll, i), what, &y))) break;
    s = val_compare(y, x, &cmp, &known);
    if (s == HDW_E_TYPE) return vm_fail(cx, s, "%s cannot compare %s and %s", what, val_type_name(x), val_type_name(y));
    if (!known) return HDW_OK;
    if (cmp == want) best = val_item(coll, i), x = y;
  }
  *out = best;
  return s;
}

NATIVE(fp_min) { return (void)n, extreme(cx, args[0], "min()", -1, out); }
NATIVE(fp_max) { return (void)n, extreme(cx, args[0], "max()", 1, out); }

/* ---- trees */

static hdw_status push_children(vm_cx *cx, val_builder *b, val item) {
  val v;
  hdw_status s = HDW_OK;
  if (item.tag != VAL_OBJ) return HDW_OK;
  if (item.aux) {
    s = fhir_model_children(cx, item, &v);
    if (!s) s = vm_charge(cx, val_count(v) + 1);
    return s ? s : val_push(cx->a, b, v);
  }
  s = vm_charge(cx, item.len);
  for (uint32_t i = 0; !s && i < item.len; i++) {
    s = val_norm(cx->a, item.u.v[2 * i + 1], &v);
    if (!s) s = val_push(cx->a, b, v);
  }
  return s;
}

NATIVE(fp_children) {
  val_builder b = {0};
  hdw_status s = HDW_OK;
  (void)n;
  for (uint32_t i = 0; !s && i < val_count(args[0]); i++) s = push_children(cx, &b, val_item(args[0], i));
  *out = val_build(&b);
  return s;
}

/* The result is its own work list: children are appended behind what is still to be opened. */
NATIVE(fp_descendants) {
  val_builder b = {0};
  hdw_status s = HDW_OK;
  (void)n;
  for (uint32_t i = 0; !s && i < val_count(args[0]); i++) s = push_children(cx, &b, val_item(args[0], i));
  for (uint32_t i = 0; !s && i < b.len; i++) s = push_children(cx, &b, b.v[i]);
  *out = val_build(&b);
  return s;
}

static hdw_status value_of(vm_cx *cx, val v, val *out) {
  *out = VAL_NONE;
  if (val_count(v) != 1) return HDW_OK;
  hdw_status s = fp_system(cx, val_item(v, 0), out);
  if (s == HDW_E_TYPE) return *out = VAL_NONE, HDW_OK;
  if (out->tag == VAL_OBJ || out->tag == VAL_HL7 || out->tag == VAL_HANDLE) *out = VAL_NONE;
  out->aux = 0;
  return s;
}

NATIVE(fp_get_value) { return (void)n, value_of(cx, args[0], out); }
NATIVE(fp_has_value) {
  val v;
  (void)n;
  hdw_status s = value_of(cx, args[0], &v);
  *out = val_bool(v.tag != VAL_EMPTY);
  return s;
}

/* {namespace, name} of each item. */
NATIVE(fp_type) {
  val_builder b = {0};
  hdw_status s = vm_charge(cx, val_count(args[0]));
  (void)n;
  for (uint32_t i = 0; !s && i < val_count(args[0]); i++) {
    const char *space = "System", *name = "Any";
    val item = val_item(args[0], i), *kv = (val *)arena_alloc(cx->a, 4 * sizeof *kv);
    if (!kv) return HDW_E_NOMEM;
    if (item.tag == VAL_HL7) space = "HL7", name = "Node";
    else if (item.aux) fhir_model_type(item, &space, &name);
    else name = val_type_name(item);
    kv[0] = val_key("namespace", 9);
    kv[1] = val_cstr(space);
    kv[2] = val_key("name", 4);
    kv[3] = val_cstr(name);
    s = val_push(cx->a, &b, (val){.tag = VAL_OBJ, .len = 2, .u.v = kv});
  }
  *out = val_build(&b);
  return s;
}
