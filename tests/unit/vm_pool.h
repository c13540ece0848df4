/* vm_pool.h - values of every kind, pleasant and not, for tests that call natives as hostile bytecode could: nesting beyond any limit, structures that
 * share parts so that they stand for more values than can be counted, kinds where nobody expects them. */
#ifndef HDW_VM_POOL_H
#define HDW_VM_POOL_H
#include <assert.h>
#include <string.h>
#include "fhir.h"
#include "hl7.h"
#include "hl7_dict.h"
#include "json.h"
#include "value.h"

enum { POOL_MAX = 160, POOL_DEEP = 5000, POOL_SHARED = 60 };
typedef struct vm_pool { val v[POOL_MAX]; uint32_t n; arena *a; } vm_pool;

static inline void pool_add(vm_pool *p, val v) { assert(p->n < POOL_MAX); p->v[p->n++] = v; }

static inline val pool_json(vm_pool *p, const char *text) {
  json_reader r;
  val v;
  json_reader_init(&r, p->a->mem);
  hdw_status s = json_read(&r, p->a, arena_dup(p->a, text, strlen(text)), strlen(text), NULL, &v, NULL);
  assert(s == HDW_OK);
  (void)s;
  json_reader_free(&r);
  return v;
}

static inline val pool_object(vm_pool *p, const char *k1, val v1, const char *k2, val v2) {
  val *kv = arena_alloc(p->a, 4 * sizeof *kv);
  kv[0] = val_key(k1, strlen(k1));
  kv[1] = v1;
  kv[2] = val_key(k2, strlen(k2));
  kv[3] = v2;
  return (val){.tag = VAL_OBJ, .len = 2, .u.v = kv};
}

static inline val pool_tpl(vm_pool *p, const char *text, val x, val y) {
  val *v = arena_alloc(p->a, 5 * sizeof *v);
  v[0] = v[2] = v[4] = val_cstr(text);
  v[1] = x;
  v[3] = y;
  return (val){.tag = VAL_TPL, .len = 5, .u.v = v};
}

static inline val pool_list(vm_pool *p, const val *v, uint32_t n) {
  val *w = arena_alloc(p->a, n * sizeof *w);
  memcpy(w, v, n * sizeof *w);
  return (val){.tag = VAL_LIST, .len = n, .u.v = w};
}

static inline void pool_scalars(vm_pool *p) {
  static const int64_t whole[] = {0, 1, -1, 2, 7, 40, INT32_MAX, INT32_MIN};
  static const int64_t wide[] = {0, 1, INT64_MAX, INT64_MIN, INT64_C(1) << 40, (INT64_C(80) << 48) + (1 << 26)};
  static const char *const decs[] = {"0", "1.50", "-0.0000000000000000000000000001", "99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"};
  static const char *const texts[] = {"", "a", "\xc3\xa9", "\xff\xfe\x80", "PID-3", "2012-02", "2012-02-29T10:00:00.123+14:00", "10:00", "Patient", "FHIR.string", "message", "(a+)+$", "a{1000}{1000}",
    "{\"a\":[1,{\"b\":null}]}", "YQ==", "hex", "json", "1.5 'mg'", "day", "ad", "ADT^A01", "MSH|^~\\&|A|B\rPID|1||7^^^A", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "$0${name}$1"};
  pool_add(p, VAL_NONE);
  pool_add(p, val_bool(true));
  pool_add(p, val_bool(false));
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) pool_add(p, val_int(whole[i]));
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) pool_add(p, val_long(wide[i]));
  for (size_t i = 0; i < sizeof decs / sizeof *decs; i++) {
    dec d;
    val v;
    assert(dec_parse(decs[i], strlen(decs[i]), &d) == HDW_OK && val_from_dec(p->a, &d, &v) == HDW_OK);
    pool_add(p, v);
    assert(val_from_qty(p->a, &d, i % 2 ? "mg" : "day", i % 2 ? 2 : 3, !(i % 2), &v) == HDW_OK);
    pool_add(p, v);
  }
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) pool_add(p, val_str(arena_dup(p->a, texts[i], strlen(texts[i])), strlen(texts[i])));
  char *big = arena_alloc(p->a, 20000);
  memset(big, 'x', 20000);
  pool_add(p, val_str(big, 20000));
  pool_add(p, (val){.tag = VAL_BIN, .len = 6, .u.s = "\0\1\2\xff\xfe!"});
  tm_val t;
  assert(tm_parse_date("2012-02", 7, &t) == HDW_OK);
  pool_add(p, val_from_time(VAL_DATE, &t));
  assert(tm_parse_datetime("9999-12-31T23:59:59.999999-12:00", 32, &t) == HDW_OK);
  pool_add(p, val_from_time(VAL_DATETIME, &t));
  assert(tm_parse_datetime("0001-01-01T00:00:00+14:00", 25, &t) == HDW_OK);
  pool_add(p, val_from_time(VAL_DATETIME, &t));
  assert(tm_parse_time("23:59:59.999", 12, &t) == HDW_OK);
  pool_add(p, val_from_time(VAL_TIME, &t));
}

static inline void pool_structures(vm_pool *p) {
  val patient = pool_json(p, "{\"resourceType\":\"Patient\",\"id\":\"1\",\"birthDate\":\"1980\",\"_birthDate\":{\"extension\":[{\"url\":\"u\",\"valueDecimal\":1.50}]},\"name\":[{\"family\":\"A\\u00e9\",\"given\":"
                             "[\"B\",null,\"C\"],\"_given\":[null,{\"id\":\"x\"}]}],\"multipleBirthInteger\":2,\"contained\":[{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":1.50,\"unit\":\"mg\"}}]}");
  val quantity = pool_json(p, "{\"value\":1.5,\"unit\":\"mg\",\"code\":\"mg\"}");
  val odd = pool_json(p, "{\"a\":[[1,[2,[]]],null,\"\\u0041\",1e40,-0],\"c\":1,\"\\u0062\":{},\"value\":{\"value\":[]},\"\":null,\"resourceType\":7}");
  static const char *const types[] = {"Quantity", "Patient", "string", "Coding", "Extension", "Reference", "date"};
  pool_add(p, patient);
  pool_add(p, fhir_adopt(patient));
  pool_add(p, quantity);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    pool_add(p, fhir_as(quantity, fhir_type(types[i], strlen(types[i]))));
    pool_add(p, fhir_as(odd, fhir_type(types[i], strlen(types[i]))));
  }
  pool_add(p, odd);
  pool_add(p, pool_object(p, "PID-8", val_cstr("F"), "remove", odd));
  pool_add(p, pool_object(p, "value", val_int(1), "x", (val){.tag = VAL_NULL}));
  val deep = val_int(1), deep_tpl = val_cstr("x");
  for (int i = 0; i < POOL_DEEP; i++) {
    deep = pool_object(p, "value", deep, "unit", val_cstr("mg"));
    deep_tpl = pool_tpl(p, "", deep_tpl, VAL_NONE);
  }
  pool_add(p, deep);
  pool_add(p, deep_tpl);
  pool_add(p, fhir_as(deep, fhir_type("Extension", 9)));
  for (int twice = 0; twice < 2; twice++) { /* two that are equal but do not share memory with one another */
    val wide = val_int(1), wide_tpl = val_cstr("");
    for (int i = 0; i < POOL_SHARED; i++) {
      wide = pool_object(p, "a", wide, "b", wide);
      wide_tpl = pool_tpl(p, "", wide_tpl, wide_tpl);
    }
    pool_add(p, wide);
    pool_add(p, wide_tpl);
    pool_add(p, fhir_as(wide, fhir_type("Extension", 9)));
  }
  val_builder *b = arena_zalloc(p->a, 1, sizeof *b);
  val builder = {.tag = VAL_BUILDER, .u.p = b};
  pool_add(p, builder);
  pool_add(p, pool_object(p, "a", builder, "b", deep_tpl));
  pool_add(p, pool_tpl(p, "t", builder, odd));
  pool_add(p, (val){.tag = VAL_TPL, .len = 1, .u.v = &p->v[3]}); /* a number where a literal belongs */
}

static inline void pool_hl7(vm_pool *p) {
  static const char text[] = "MSH|^~\\&|LAB|H|X|Y|20240101||ORU^R01|42|P|2.5\rPID|1||7^^^A^SS~8^^^A^MR||Smith^Jo~Smyth^Jo||19800102|\"\"\rOBR|1\rOBX|1|NM|a&b^c||1.5|mg\rOBX|2|ST|x||a\\T\\b\\X4142\\\rZZZ|q\r";
  static const char *const paths[] = {"PID", "PID-3", "PID-3.1", "PID-7", "OBX", "OBX-5", "OBX-3", "ZZZ-1", "MSH-2", "PID-8"};
  hl7_msg *m;
  val msg;
  hl7_opts o = {.schema = &hl7_dict_schema};
  vm_cx cx = {.a = p->a, .fuel = 1000000};
  hdw_status s = hl7_parse(p->a, arena_dup(p->a, text, sizeof text - 1), sizeof text - 1, &o, &m, NULL);
  assert(s == HDW_OK && hl7_value(p->a, m, &msg) == HDW_OK);
  (void)s;
  pool_add(p, msg);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    hl7_path path;
    val v;
    assert(hl7_path_parse(paths[i], strlen(paths[i]), &path) == HDW_OK && hl7_get(&cx, msg, &path, &v) == HDW_OK);
    pool_add(p, v);
  }
  pool_add(p, pool_object(p, "remove", p->v[p->n - 6], "OBX-5", msg));
}

static inline void pool_lists(vm_pool *p) {
  uint32_t n = p->n;
  val some[1000], flat[POOL_MAX];
  uint32_t k = 0;
  for (uint32_t i = 0; i < 1000; i++) some[i] = val_int(i % 600);
  for (uint32_t i = 0; i < n; i++)
    if (p->v[i].tag != VAL_LIST && p->v[i].tag != VAL_EMPTY) flat[k++] = p->v[i];
  pool_add(p, pool_list(p, some, 1000));
  pool_add(p, pool_list(p, some, 2));
  pool_add(p, pool_list(p, flat, k));
  for (uint32_t i = 0; i + 3 < k; i += 9) pool_add(p, pool_list(p, flat + i, 3));
}

static inline void pool_fill(vm_pool *p, arena *a) {
  *p = (vm_pool){.a = a};
  pool_scalars(p);
  pool_structures(p);
  pool_hl7(p);
  pool_lists(p);
}

/* NULL when v is what a register may hold, else what is wrong. */
static inline const char *pool_wrong(val v) {
  if (v.tag >= VAL_TAG_COUNT) return "an unknown tag";
  if (v.tag == VAL_NULL) return "null";
  if (v.flags & VALF_ESC) return "an escaped string";
  if (v.tag == VAL_BOOL && v.u.i != 0 && v.u.i != 1) return "a boolean that is none";
  if (v.tag == VAL_INT && v.u.i != (int32_t)v.u.i) return "an Integer beyond 32 bits";
  if (v.tag != VAL_LIST) return NULL;
  if (v.len < 2) return "a list of fewer than two items";
  if (v.flags & VALF_UNEVEN) return "an uneven list";
  for (uint32_t i = 0; i < v.len; i++) {
    if (v.u.v[i].tag == VAL_LIST) return "a list in a list";
    if (v.u.v[i].tag == VAL_EMPTY) return "an empty item";
    const char *w = pool_wrong(v.u.v[i]);
    if (w) return w;
  }
  return NULL;
}

#endif
