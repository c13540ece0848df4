/* std_value.c - templates, types, JSON, hashes, ordering and other natives of generated code. */
#include "std_int.h"
#include "base64.h"
#include "fhir.h"
#include "fhir_int.h"
#include "fp_int.h"
#include "host.h"
#include "json.h"
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

hdw_status std_setting(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_run(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_of_type(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_is(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_as(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_json_root(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_fhir_as(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_extension(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_comparable(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_range(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_repeat_new(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_sort_by(vm_cx *cx, const val *args, unsigned n, val *out);
/* Whether an edit gives the choice element of a member another type, or takes it away: valueQuantity goes when valueString comes. */
static bool other_choice(val o, val key, val edits) {
  fhir_element_info mine, theirs;
  size_t skip = key.len > 1 && key.u.s[0] == '_';
  uint16_t type = fhir_choice_of(o.aux, key.u.s + skip, key.len - skip, &mine);
  for (uint32_t i = 0; type && i < edits.len; i++) {
    val k = edits.u.v[2 * i], v = edits.u.v[2 * i + 1];
    bool none = v.tag == VAL_EMPTY || v.tag == VAL_NULL;
    if (none && fhir_element(o.aux, k.u.s, k.len, &theirs) && mine.name == theirs.name) return true; /* value: {} */
    uint16_t other = none ? 0 : fhir_choice_of(o.aux, k.u.s, k.len, &theirs);
    if (other && other != type && mine.name == theirs.name) return true;
  }
  return false;
}

hdw_status std_object_with(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_json(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_from_json(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hash(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_uuid(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_base64_binary(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_token(vm_cx *cx, const val *args, unsigned n, val *out);

enum { TEXT_MAX = 16 << 20 };

static hdw_status buf_result(buf *b, val *out) {
  if (b->status) return (hdw_status)b->status;
  *out = val_str(b->p ? b->p : "", b->len);
  return HDW_OK;
}

/* ---- ambient */

hdw_status std_setting(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  *out = VAL_NONE;
  if (args[0].tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "a setting has a name");
  cx->ambient = true;
  return cx->env && cx->env->setting ? cx->env->setting(cx, args[0].u.s, args[0].len, out) : HDW_OK;
}

hdw_status std_run(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)args;
  (void)n;
  *out = VAL_NONE;
  cx->ambient = true;
  return cx->env && cx->env->run ? cx->env->run(cx, out) : HDW_OK;
}

/* ---- templates */

enum { TPL_DEPTH_MAX = 32 };
static hdw_status put_template(vm_cx *cx, buf *b, val t, int depth);

/* Fuel is taken while the text grows: a template whose holes hold templates can stand for more text than there is memory, or for none at all. */
static hdw_status put_hole(vm_cx *cx, buf *b, val v, int depth) {
  hdw_status s = fp_system(cx, v, &v);
  if (s) return s;
  for (uint32_t i = 0; i < val_count(v); i++) {
    val t, item = val_item(v, i);
    if (item.tag == VAL_TPL) {
      if (i) buf_puts(b, ", ");
      if ((s = put_template(cx, b, item, depth + 1))) return s;
      continue;
    }
    s = val_to_str(cx->a, item, &t);
    if (s) return s == HDW_E_TYPE ? vm_fail(cx, s, "a text cannot hold %s: name the element that is meant", val_type_name(item)) : s;
    if (t.tag != VAL_STR) continue;
    if ((s = vm_charge(cx, 1 + t.len / 8))) return s;
    if (i) buf_puts(b, ", ");
    buf_put(b, t.u.s, t.len);
  }
  return HDW_OK;
}

static hdw_status put_template(vm_cx *cx, buf *b, val t, int depth) {
  if (depth > TPL_DEPTH_MAX) return vm_fail(cx, HDW_E_LIMIT, "texts are nested too deeply");
  for (uint32_t i = 0; i < t.len; i++) {
    hdw_status s = vm_charge(cx, 1);
    if (s) return s;
    if (i % 2) s = put_hole(cx, b, t.u.v[i], depth);
    else if (t.u.v[i].tag == VAL_STR) buf_put(b, t.u.v[i].u.s, t.u.v[i].len);
    if (s || b->status) return s;
  }
  return HDW_OK;
}

static hdw_status join(vm_cx *cx, val t, val *out) {
  buf b;
  buf_init(&b, cx->a, TEXT_MAX);
  hdw_status s = put_template(cx, &b, t, 0);
  if (!s) s = vm_charge(cx, b.len / 16);
  return s ? s : buf_result(&b, out);
}

hdw_status std_text(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  if (args[0].tag != VAL_TPL) { *out = args[0]; return HDW_OK; }
  return join(cx, args[0], out);
}

/* ---- types */

static hdw_status is_type(vm_cx *cx, val item, val type, bool *yes) {
  *yes = false;
  if (type.tag != VAL_STR || !cx->model || !cx->model->is_type) return HDW_OK;
  hdw_status s = cx->model->is_type(cx, item, type.u.s, type.len, yes);
  return s == HDW_E_NOTFOUND ? vm_fail(cx, s, "there is no type '%.*s'", (int)(type.len > 60 ? 60 : type.len), type.u.s) : s;
}

/* Types of FHIR primitives are exact in ofType and as: a code is no string there, though it is one for `is`. */
static bool other_primitive(val item, const fhir_want *w) {
  if (item.aux == w->type || item.tag == VAL_HL7 || !item.aux || (item.tag == VAL_STR && !(item.flags & VALF_TYPED))) return false;
  return fhir_type_kind(w->type) == FHIR_PRIMITIVE && fhir_type_kind(item.aux) == FHIR_PRIMITIVE;
}

static hdw_status of_type_one(vm_cx *cx, val *item, val type, const fhir_want *w, bool *yes) {
  if (item->tag == VAL_OBJ && !item->aux) *item = fhir_adopt(*item);
  *yes = false;
  if (other_primitive(*item, w)) return HDW_OK;
  if (item->tag == VAL_HL7 || !cx->model || (!w->type && !w->system && !w->only_system)) return is_type(cx, *item, type, yes);
  return fhir_want_is(w, *item, yes);
}

hdw_status std_of_type(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val_builder b = {0};
  fhir_want w = {0};
  bool yes = false;
  uint32_t count = val_count(args[0]);
  if (args[1].tag == VAL_STR) fhir_want_of(args[1].u.s, args[1].len, &w);
  if (args[0].tag != VAL_LIST) {
    val item = args[0];
    hdw_status s = count ? of_type_one(cx, &item, args[1], &w, &yes) : HDW_OK;
    *out = yes ? item : VAL_NONE;
    return s;
  }
  hdw_status s = vm_charge(cx, count);
  if (!s) s = val_reserve(cx->a, &b, count);
  for (uint32_t i = 0; !s && i < count; i++) {
    val item = args[0].u.v[i];
    s = of_type_one(cx, &item, args[1], &w, &yes);
    if (yes) b.v[b.len++] = item;
  }
  *out = s ? VAL_NONE : val_build(&b);
  return s;
}

hdw_status std_is(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  if (args[0].tag == VAL_EMPTY) { *out = VAL_NONE; return HDW_OK; }
  if (args[0].tag == VAL_LIST) return vm_fail(cx, HDW_E_CARD, "'is' takes one item, %u were found", args[0].len);
  bool yes;
  hdw_status s = is_type(cx, args[0].tag == VAL_OBJ && !args[0].aux ? fhir_adopt(args[0]) : args[0], args[1], &yes);
  *out = val_bool(yes);
  return s;
}

hdw_status std_as(vm_cx *cx, const val *args, unsigned n, val *out) {
  if (args[0].tag == VAL_LIST && cx->strict) return vm_fail(cx, HDW_E_CARD, "'as' takes one item, %u were found", args[0].len);
  return std_of_type(cx, args, n, out);
}

hdw_status std_json_root(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  if (args[1].tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "no type name");
  val_builder b = {0};
  val key = val_key("resourceType", 12);
  for (uint32_t i = 0; i < val_count(args[0]); i++) {
    val item = val_item(args[0], i);
    const val *t = item.tag == VAL_OBJ ? val_obj_get(item, key) : NULL;
    if (t && t->tag == VAL_STR && (t->len != args[1].len || memcmp(t->u.s, args[1].u.s, t->len) != 0)) continue;
    hdw_status s = val_push(cx->a, &b, item);
    if (s) return s;
  }
  *out = val_build(&b);
  return HDW_OK;
}

/* A string of FHIR has something in it that is no white space. */
static bool is_blank(val v) {
  if (v.tag != VAL_STR || (v.len && (unsigned char)v.u.s[0] > ' ')) return false;
  for (uint32_t i = 0; i < v.len; i++)
    if ((unsigned char)v.u.s[i] > ' ') return false;
  return true;
}

/* Blank strings leave an object that a program builds, as empty values have. */
static hdw_status without_blanks(vm_cx *cx, val *o) {
  uint32_t k = 0;
  val *kv = NULL;
  for (uint32_t i = 0; i < o->len; i++) {
    val v = o->u.v[2 * i + 1];
    bool drop = is_blank(v);
    if (v.tag == VAL_LIST) {
      uint32_t have = 0;
      for (uint32_t j = 0; j < v.len; j++) have += !is_blank(v.u.v[j]);
      drop = v.len && !have;
      if (have && have < v.len) {
        val *items = arena_alloc(cx->a, have * sizeof *items);
        if (!items) return HDW_E_NOMEM;
        for (uint32_t j = have = 0; j < v.len; j++)
          if (!is_blank(v.u.v[j])) items[have++] = v.u.v[j];
        v.u.v = items;
        v.len = have;
      }
    }
    if (!kv && !drop && v.u.v == o->u.v[2 * i + 1].u.v) { k++; continue; }
    if (!kv) {
      kv = arena_alloc(cx->a, (size_t)o->len * 2 * sizeof *kv);
      if (!kv) return HDW_E_NOMEM;
      memcpy(kv, o->u.v, (size_t)k * 2 * sizeof *kv);
    }
    if (drop) continue;
    kv[2 * k] = o->u.v[2 * i];
    kv[2 * k++ + 1] = v;
  }
  if (kv) o->u.v = kv;
  o->len = k;
  return HDW_OK;
}

hdw_status std_fhir_as(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  if (args[1].tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "no type name");
  uint16_t type = fhir_type(args[1].u.s, args[1].len);
  val o = args[0];
  hdw_status s = o.tag == VAL_OBJ ? without_blanks(cx, &o) : HDW_OK;
  *out = fhir_as(o, type);
  if (o.tag == VAL_OBJ && !o.len && fhir_type_kind(type) != FHIR_RESOURCE) *out = VAL_NONE; /* FHIR has no empty elements */
  return s;
}

/* item.extension.where(url = $url) for each item. */
hdw_status std_extension(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val url, key = val_key("extension", 9), url_key = val_key("url", 3);
  val_builder b = {0};
  *out = VAL_NONE;
  hdw_status s = fp_text(cx, args[1], "extension", &url);
  if (s || url.tag != VAL_STR) return s;
  for (uint32_t i = 0; i < val_count(args[0]); i++) {
    val item = val_item(args[0], i), all = VAL_NONE;
    if (item.tag != VAL_OBJ) continue;
    if (item.aux && cx->model) s = cx->model->member(cx, item, key, &all);
    else if (val_obj_get(item, key)) s = val_norm(cx->a, *val_obj_get(item, key), &all);
    if (s) return s;
    for (uint32_t k = 0; k < val_count(all); k++) {
      val x = val_item(all, k), u;
      const val *slot = x.tag == VAL_OBJ ? val_obj_get(x, url_key) : NULL;
      if (!slot) continue;
      if ((s = val_norm(cx->a, *slot, &u))) return s;
      if (u.tag == VAL_STR && u.len == url.len && memcmp(u.u.s, url.u.s, u.len) == 0 && (s = val_push(cx->a, &b, x))) return s;
    }
    if ((s = vm_charge(cx, 1 + val_count(all)))) return s;
  }
  *out = val_build(&b);
  return HDW_OK;
}

hdw_status std_comparable(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val x, y;
  int order;
  bool known = false;
  *out = VAL_NONE;
  if (args[0].tag == VAL_EMPTY || args[1].tag == VAL_EMPTY) return HDW_OK;
  hdw_status s = args[0].tag == VAL_QTY ? (x = args[0], HDW_OK) : fp_quantity_of(cx, args[0], &x);
  if (!s) s = args[1].tag == VAL_QTY ? (y = args[1], HDW_OK) : fp_quantity_of(cx, args[1], &y);
  if (s) return s == HDW_E_NOMEM ? s : vm_fail(cx, HDW_E_TYPE, "comparable takes two quantities");
  if (x.tag != VAL_QTY || y.tag != VAL_QTY) return HDW_OK;
  *out = val_bool(val_compare(x, y, &order, &known) == HDW_OK && known);
  return HDW_OK;
}

/* ---- collections */

hdw_status std_range(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  *out = VAL_NONE;
  if (!fp_is_whole(args[0]) || !fp_is_whole(args[1]) || args[0].u.i > args[1].u.i) return HDW_OK;
  uint64_t count = (uint64_t)args[1].u.i - (uint64_t)args[0].u.i + 1;
  if (count > 1u << 24) return vm_fail(cx, HDW_E_LIMIT, "a range of more than 16,777,216 numbers: loop over it instead");
  hdw_status s = vm_charge(cx, (size_t)count);
  if (s) return s;
  val_builder b = {0};
  for (uint64_t i = 0; i < count; i++)
    if ((s = val_push(cx->a, &b, (val){.tag = args[1].tag, .u.i = args[0].u.i + (int64_t)i}))) return s;
  *out = val_build(&b);
  return HDW_OK;
}

hdw_status std_repeat_new(vm_cx *cx, const val *args, unsigned n, val *out) {
  val two[2] = {args[0], args[1]};
  hdw_status s = fp_exclude(cx, two, n, &two[0]);
  return s ? s : fp_distinct(cx, two, 1, out);
}

typedef struct sorted { val item, keys; uint32_t at; } sorted;

/* -1, 0, 1; empty keys come first in either direction. *st is set when two keys cannot be compared. */
static int compare(const sorted *a, const sorted *b, const char *dirs, uint32_t ndirs, hdw_status *st) {
  for (uint32_t k = 0; k < ndirs; k++) {
    val x = k < a->keys.len ? a->keys.u.v[2 * k + 1] : VAL_NONE, y = k < b->keys.len ? b->keys.u.v[2 * k + 1] : VAL_NONE;
    bool ex = x.tag == VAL_EMPTY || x.tag == VAL_NULL, ey = y.tag == VAL_EMPTY || y.tag == VAL_NULL, known = true;
    int c = ex || ey ? (ey ? 1 : 0) - (ex ? 1 : 0) : 0;
    if (!ex && !ey) {
      hdw_status s = val_compare(x, y, &c, &known);
      if (s) *st = s;
      if (s || !known) c = 0;
    }
    if (c) return dirs[k] == 'd' && !ex && !ey ? -c : c;
  }
  return a->at < b->at ? -1 : 1;
}

/* Merge sort: stable, no recursion, no callback. */
static hdw_status merge_sort(vm_cx *cx, sorted *v, uint32_t n, const char *dirs, uint32_t ndirs) {
  sorted *tmp = arena_alloc(cx->a, n * sizeof *tmp);
  hdw_status st = HDW_OK;
  if (!tmp) return HDW_E_NOMEM;
  for (uint32_t w = 1; w < n; w *= 2) {
    for (uint32_t lo = 0; lo < n; lo += 2 * w) {
      uint32_t mid = lo + w < n ? lo + w : n, hi = lo + 2 * w < n ? lo + 2 * w : n, i = lo, j = mid, k = lo;
      while (i < mid && j < hi) { if (compare(&v[i], &v[j], dirs, ndirs, &st) <= 0) tmp[k++] = v[i++]; else tmp[k++] = v[j++]; }
      while (i < mid) tmp[k++] = v[i++];
      while (j < hi) tmp[k++] = v[j++];
    }
    memcpy(v, tmp, n * sizeof *v);
    if ((st = st ? st : vm_charge(cx, n))) return st == HDW_E_TYPE ? vm_fail(cx, st, "sort: keys of different types") : st;
  }
  return st;
}

hdw_status std_sort_by(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  uint32_t count = val_count(args[0]), ndirs = args[2].tag == VAL_STR ? args[2].len : 0;
  *out = args[0];
  if (count < 2) return HDW_OK;
  sorted *v = arena_alloc(cx->a, count * sizeof *v);
  static const char asc[] = "a";
  if (ndirs && val_count(args[1]) != count) return vm_fail(cx, HDW_E_TYPE, "sort: no keys");
  if (!v) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < count; i++) {
    val item = val_item(args[0], i), keys = ndirs ? val_item(args[1], i) : VAL_NONE;
    if (!ndirs) { /* sort(): by the items themselves */
      val *kv = arena_alloc(cx->a, 2 * sizeof *kv);
      if (!kv) return HDW_E_NOMEM;
      kv[0] = val_key("", 0);
      kv[1] = item;
      keys = (val){.tag = VAL_OBJ, .len = 1, .u.v = kv};
    }
    if (keys.tag != VAL_OBJ) return vm_fail(cx, HDW_E_TYPE, "sort: no keys");
    v[i] = (sorted){item, keys, i};
  }
  hdw_status s = merge_sort(cx, v, count, ndirs ? args[2].u.s : asc, ndirs ? ndirs : 1);
  val_builder b = {0};
  for (uint32_t i = 0; i < count && !s; i++) s = val_push(cx->a, &b, v[i].item);
  if (!s) *out = val_build(&b);
  return s;
}

hdw_status std_object_with(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val o = args[0], e = args[1];
  *out = VAL_NONE;
  if (o.tag == VAL_EMPTY) return HDW_OK;
  if (o.tag != VAL_OBJ || e.tag != VAL_OBJ) return vm_fail(cx, HDW_E_TYPE, "'with' edits one object, this is %s", val_type_name(o));
  val *kv = arena_alloc(cx->a, ((size_t)o.len + e.len) * 2 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  uint32_t k = 0;
  for (uint32_t i = 0; i < o.len; i++) {
    val key = o.u.v[2 * i], v = o.u.v[2 * i + 1];
    const val *edit = key.flags & VALF_ESC ? NULL : val_obj_get(e, key);
    if (edit) v = *edit;
    else if (o.aux && other_choice(o, key, e)) continue;
    if (edit && (v.tag == VAL_NULL || v.tag == VAL_EMPTY || (o.aux && v.tag == VAL_LIST && !v.len))) continue; /* FHIR has no empty lists */
    kv[2 * k] = key;
    kv[2 * k++ + 1] = v;
  }
  for (uint32_t i = 0; i < e.len; i++) {
    val v = e.u.v[2 * i + 1];
    if (val_obj_get(o, e.u.v[2 * i]) || v.tag == VAL_NULL || (o.aux && (v.tag == VAL_EMPTY || (v.tag == VAL_LIST && !v.len)))) continue;
    kv[2 * k] = e.u.v[2 * i];
    kv[2 * k++ + 1] = e.u.v[2 * i + 1];
  }
  *out = (val){.tag = VAL_OBJ, .flags = (uint8_t)(o.flags | (e.flags & VALF_UNDERSCORE)), .aux = o.aux, .len = k, .u.v = kv};
  return vm_charge(cx, k);
}

/* ---- JSON, hashes, identity */

static hdw_status hl7_json(void *user, val node, buf *b) {
  vm_cx *cx = user;
  val t;
  hdw_status s = fp_system(cx, node, &t);
  if (s) return s;
  if (t.tag == VAL_STR) json_write_str(b, t.u.s, t.len); else buf_puts(b, "null");
  return (hdw_status)b->status;
}

/* The text may grow as far as fuel pays for it: a structure that shares parts can stand for more than there is memory. */
static hdw_status to_json(vm_cx *cx, val v, val *out) {
  buf b;
  bool poor = cx->fuel < TEXT_MAX / 16;
  buf_init(&b, cx->a, poor ? (size_t)(cx->fuel > 0 ? cx->fuel : 0) * 16 + 16 : TEXT_MAX);
  json_wopts o = {.hl7 = hl7_json, .hl7_user = cx};
  hdw_status s = json_write(v, &b, &o);
  if (s == HDW_E_LIMIT && poor && b.status == HDW_E_LIMIT) return HDW_E_FUEL;
  if (!s) s = vm_charge(cx, b.len / 16);
  return s ? s : buf_result(&b, out);
}

hdw_status std_json(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  if (args[0].tag == VAL_EMPTY) { *out = VAL_NONE; return HDW_OK; }
  return to_json(cx, args[0], out);
}

hdw_status std_from_json(vm_cx *cx, const val *args, unsigned n, val *out) {
  val t;
  (void)n;
  *out = VAL_NONE;
  hdw_status s = fp_text(cx, args[0], "fromJson", &t);
  if (s || t.tag != VAL_STR) return s;
  if ((s = vm_charge(cx, t.len / 4))) return s;
  json_reader r;
  json_reader_init(&r, cx->a->mem);
  val v;
  s = json_read(&r, cx->a, t.u.s, t.len, NULL, &v, NULL);
  json_reader_free(&r);
  if (s == HDW_E_NOMEM) return s;
  return s ? HDW_OK : val_norm(cx->a, v, out);
}

hdw_status std_hash(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val t;
  hdw_status s = args[0].tag == VAL_STR ? (t = args[0], HDW_OK) : to_json(cx, args[0], &t);
  if (s) return s;
  if ((s = vm_charge(cx, t.len / 8))) return s;
  uint8_t d[32];
  SHA256((const unsigned char *)t.u.s, t.len, d);
  char *h = arena_alloc(cx->a, 65);
  if (!h) return HDW_E_NOMEM;
  for (int i = 0; i < 32; i++) { h[2 * i] = "0123456789abcdef"[d[i] >> 4]; h[2 * i + 1] = "0123456789abcdef"[d[i] & 15]; }
  *out = val_str(h, 64);
  return HDW_OK;
}

hdw_status std_uuid(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  uint8_t in[24], d[32];
  if (args[0].tag == VAL_EMPTY) {
    cx->ambient = true;
    memcpy(in, cx->run_id, 16);
    uint64_t k = ++cx->unique;
    memcpy(in + 16, &k, 8);
    SHA256(in, sizeof in, d);
  } else {
    val t = args[0];
    hdw_status s = t.tag == VAL_STR && !(t.flags & VALF_ESC) ? HDW_OK : to_json(cx, t, &t);
    if (!s) s = vm_charge(cx, t.len / 8);
    if (s) return s;
    SHA256((const unsigned char *)t.u.s, t.len, d);
  }
  d[6] = (uint8_t)((d[6] & 15) | 0x80); /* version 8: derived by rules of our own (RFC 9562) */
  d[8] = (uint8_t)((d[8] & 63) | 0x80);
  char *h = arena_alloc(cx->a, 37);
  if (!h) return HDW_E_NOMEM;
  for (int i = 0, o = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) h[o++] = '-';
    h[o++] = "0123456789abcdef"[d[i] >> 4];
    h[o++] = "0123456789abcdef"[d[i] & 15];
  }
  *out = val_str(h, 36);
  return HDW_OK;
}

hdw_status std_base64_binary(vm_cx *cx, const val *args, unsigned n, val *out) {
  val t;
  (void)n;
  *out = VAL_NONE;
  hdw_status s = fp_text(cx, args[0], "fromBase64", &t);
  if (s || t.tag != VAL_STR) return s;
  uint8_t *p = arena_alloc(cx->a, b64_decoded_max(t.len) + 1);
  char *clean = arena_alloc(cx->a, (size_t)t.len + 1);
  size_t len, k = 0;
  if (!p || !clean) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < t.len; i++) /* OBX-5 often carries line ends inside the text */
    if (t.u.s[i] != '\r' && t.u.s[i] != '\n' && t.u.s[i] != ' ') clean[k++] = t.u.s[i];
  if (b64_decode(clean, k, p, &len, false)) return HDW_OK;
  *out = (val){.tag = VAL_BIN, .len = (uint32_t)len, .u.p = p};
  return vm_charge(cx, len / 16);
}

/* system|code with FHIR's escapes in both parts. */
hdw_status std_token(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  buf b;
  buf_init(&b, cx->a, TEXT_MAX);
  for (int i = 0; i < 2; i++) {
    val t;
    hdw_status s = fp_text(cx, args[i], "token", &t);
    if (s) return s;
    if (i) buf_putc(&b, '|');
    for (uint32_t k = 0; t.tag == VAL_STR && k < t.len; k++) {
      if (memchr("|,$\\", t.u.s[k], 4)) buf_putc(&b, '\\');
      buf_putc(&b, t.u.s[k]);
    }
  }
  hdw_status s = buf_result(&b, out);
  out->flags |= VALF_TYPED, out->aux = fhir_type("Coding", 6); /* escaped already: std_search.c */
  return s;
}
