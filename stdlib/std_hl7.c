/* std_hl7.c - HL7 v2 natives of generated code: packed paths, edits and builders given as objects. */
#include "std_int.h"
#include "fp_int.h"
#include "hl7.h"
#include "hl7_dict.h"
#include "host.h"
#include <stdio.h>
#include <string.h>

hdw_status std_hl7_get(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hl7_child(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hl7_with(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hl7_build(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hl7_segment(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hl7_text(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hl7_parse(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_hl7_part(vm_cx *cx, const val *args, unsigned n, val *out);

/* The packing is the compiler's (compiler/path.c): segment 24 bits, first segment only 1, field 13, repetition + 1 10, component 8, sub 8. */
hdw_status std_hl7_get(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  uint64_t x = (uint64_t)args[1].u.i;
  hl7_path p = {.seg = (uint32_t)(x >> 40), .field = (uint16_t)(x >> 26 & 8191), .rep = (int32_t)(x >> 16 & 1023) - 1, .comp = (uint16_t)(x >> 8 & 255), .sub = (uint16_t)(x & 255)};
  val base = args[0];
  if (args[1].tag != VAL_LONG) return vm_fail(cx, HDW_E_TYPE, "no HL7 path");
  if (x >> 39 & 1) { /* the first segment of that name only */
    hdw_status s = hl7_segments(cx, base, p.seg, &base);
    if (s) return s;
    if (base.tag == VAL_LIST) base = base.u.v[0];
  }
  return hl7_get(cx, base, &p, out);
}

hdw_status std_hl7_child(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  if (args[1].tag != VAL_INT || args[1].u.i < 1 || args[1].u.i > HL7_MAX_NUMBER) return vm_fail(cx, HDW_E_TYPE, "no component number");
  return hl7_child(cx, args[0], (unsigned)args[1].u.i, out);
}

/* {path: value, remove: nodes} as edits. */
static hdw_status edits(vm_cx *cx, val o, hl7_edit **out, unsigned *n) {
  *n = 0;
  if (o.tag != VAL_OBJ) return vm_fail(cx, HDW_E_TYPE, "no edits");
  hl7_edit *e = arena_alloc(cx->a, ((size_t)o.len + 1) * 2 * sizeof *e);
  if (!e) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < o.len; i++) {
    val key = o.u.v[2 * i], v;
    hdw_status s = val_norm(cx->a, o.u.v[2 * i + 1], &v);
    if (s) return s;
    if (key.len == 6 && memcmp(key.u.s, "remove", 6) == 0) {
      if (v.tag != VAL_EMPTY) e[(*n)++] = (hl7_edit){.op = HL7_REMOVE, .value = v};
      continue;
    }
    hl7_edit *x = &e[(*n)++];
    *x = (hl7_edit){.op = HL7_SET, .value = v};
    if (hl7_path_parse(key.u.s, key.len, &x->path)) return vm_fail(cx, HDW_E_INVALID, "'%.*s' is no HL7 path", (int)(key.len > 40 ? 40 : key.len), key.u.s);
  }
  *out = e;
  return HDW_OK;
}

hdw_status std_hl7_with(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  hl7_edit *e = NULL;
  unsigned k = 0;
  *out = VAL_NONE;
  if (args[0].tag == VAL_EMPTY) return HDW_OK;
  hdw_status s = edits(cx, args[1], &e, &k);
  if (s) return s;
  val_builder b = {0};
  for (uint32_t i = 0; i < val_count(args[0]); i++) {
    val v;
    if (val_item(args[0], i).tag != VAL_HL7) return vm_fail(cx, HDW_E_TYPE, "'with' edits HL7 messages and segments here, this is %s", val_type_name(val_item(args[0], i)));
    s = hl7_with(cx, val_item(args[0], i), e, k, &v);
    if (!s) s = val_push(cx->a, &b, v);
    if (s) return s;
  }
  *out = val_build(&b);
  return vm_charge(cx, 64);
}

hdw_status std_hl7_build(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  hl7_edit *e = NULL;
  unsigned k = 0;
  if (args[0].tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "no message type");
  hdw_status s = edits(cx, args[1], &e, &k);
  if (s) return s;
  hl7_build_defaults d = {.schema = &hl7_dict_schema};
  cx->ambient = true;
  tm_from_unix_us(cx->now_us, cx->zone_min, &d.now);
  d.now.prec = TM_SECOND;
  d.now.usec -= d.now.usec % 1000000;
  char id[24];
  uint64_t h;
  memcpy(&h, cx->run_id, 8);
  snprintf(id, sizeof id, "%08llX%04llX", (unsigned long long)(h & 0xFFFFFFFFu), (unsigned long long)(++cx->unique & 0xFFFF));
  d.control_id = id;
  return hl7_build_message(cx, args[0].u.s, args[0].len, e, k, &d, out);
}

hdw_status std_hl7_segment(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  hl7_edit *e = NULL;
  unsigned k = 0;
  if (args[0].tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "no segment name");
  hdw_status s = edits(cx, args[1], &e, &k);
  return s ? s : hl7_build_segment(cx, hl7_name(args[0].u.s, args[0].len), e, k, out);
}

hdw_status std_hl7_text(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  *out = VAL_NONE;
  if (args[0].tag == VAL_EMPTY) return HDW_OK;
  const hl7_node *x = hl7_of(args[0]);
  if (!x) return vm_fail(cx, HDW_E_TYPE, "toHl7 takes an HL7 message or segment");
  hl7_slice s;
  if (x->level == HL7_MSG) {
    hdw_status st = hl7_bytes(cx->a, x->m, &s);
    if (st) return st;
  } else {
    s = hl7_node_raw(x);
  }
  *out = val_str(s.p, s.len);
  return HDW_OK;
}

hdw_status std_hl7_parse(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val t;
  *out = VAL_NONE;
  hdw_status s = fp_text(cx, args[0], "hl7", &t);
  if (s || t.tag != VAL_STR) return s;
  hl7_msg *m;
  hl7_opts o = {.schema = &hl7_dict_schema};
  s = hl7_parse(cx->a, t.u.s, t.len, &o, &m, NULL);
  if (s == HDW_E_NOMEM) return s;
  return s ? HDW_OK : hl7_value(cx->a, m, out);
}

hdw_status std_hl7_part(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val name;
  int64_t nth;
  bool has;
  *out = VAL_NONE;
  if (args[0].tag == VAL_EMPTY) return HDW_OK;
  hdw_status s = fp_text(cx, args[1], "part", &name);
  if (!s) s = fp_int(cx, args[2], "part", &nth, &has);
  if (s || name.tag != VAL_STR || !has || nth < 0 || nth >= HL7_MAX_SEGMENTS) return s;
  return hl7_cut_part(cx, args[0], hl7_name(name.u.s, name.len), (uint32_t)nth, out);
}
