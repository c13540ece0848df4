/* hl7_support.h - what the tests of HL7 share: a context on an arena, short ways to parse and read, and recorded warnings. */
#ifndef HDW_TEST_HL7_SUPPORT_H
#define HDW_TEST_HL7_SUPPORT_H
#include "hl7.h"
#include "support.h"
#include "vm.h"
#include <stdio.h>
#include <string.h>

typedef struct rig {
  test_mem mem;
  arena a;
  vm_cx cx;
  hl7_hooks hooks;
  hl7_opts opts;
  unsigned warned[8]; /* by kind */
  hl7_problem last;
} rig;

static void rig_warn(void *user, hl7_warning_kind kind, const hl7_problem *where) {
  rig *r = (rig *)user;
  r->warned[kind]++;
  r->last = *where;
}

static inline int rig_up(void **state) {
  static rig r;
  memset(&r, 0, sizeof r);
  test_mem_init(&r.mem);
  arena_init(&r.a, &r.mem.m, 0);
  r.cx.a = &r.a;
  r.cx.fuel = INT64_MAX / 2;
  r.hooks = (hl7_hooks){.warn = rig_warn, .user = &r};
  r.opts.hooks = &r.hooks;
  *state = &r;
  return 0;
}

static inline int rig_down(void **state) {
  rig *r = (rig *)*state;
  arena_free(&r->a);
  return r->mem.live_bytes == 0 ? 0 : -1;
}

/* A C string to an exact block of memory, so that the sanitizer sees every read beyond it. */
static inline const char *rig_exact(rig *r, const char *s, size_t n) {
  char *p = (char *)arena_alloc(&r->a, n);
  memcpy(p, s, n);
  return p;
}

static inline hl7_msg *parse_n(rig *r, const char *s, size_t n) {
  hl7_msg *m;
  hl7_problem why;
  hdw_status st = hl7_parse(&r->a, s, n, &r->opts, &m, &why);
  if (st) fail_msg("parse: %s %s at %u", hdw_status_name(st), why.text, why.offset);
  return m;
}
static inline hl7_msg *parse(rig *r, const char *s) { return parse_n(r, s, strlen(s)); }

static inline hl7_path path_of(const char *p) {
  hl7_path out;
  if (hl7_path_parse(p, strlen(p), &out)) fail_msg("path %s", p);
  return out;
}

/* Text of a value as a NUL-terminated copy; "{}" for empty. */
static inline const char *str_of(rig *r, val v) {
  if (v.tag == VAL_EMPTY) return "{}";
  if (v.tag != VAL_STR) return "not a string";
  return arena_dup(&r->a, v.u.s, v.len);
}

static inline const char *text(rig *r, const hl7_msg *m, const char *p) {
  hl7_path q = path_of(p);
  val v;
  assert_int_equal(hl7_text(&r->cx, m, &q, &v), HDW_OK);
  return str_of(r, v);
}

static inline val whole_message(rig *r, const hl7_msg *m) {
  val v;
  assert_int_equal(hl7_value(&r->a, m, &v), HDW_OK);
  return v;
}

static inline val get(rig *r, val base, const char *p) {
  hl7_path q = path_of(p);
  val v;
  assert_int_equal(hl7_get(&r->cx, base, &q, &v), HDW_OK);
  return v;
}

/* Texts of a collection joined with '|'; empty texts as '-'. */
static inline const char *joined(rig *r, val c) {
  buf b;
  buf_init(&b, &r->a, 1 << 20);
  for (uint32_t i = 0; i < val_count(c); i++) {
    val t = val_item(c, i);
    if (t.tag == VAL_HL7) assert_int_equal(hl7_node_text(&r->cx, hl7_of(val_item(c, i)), &t), HDW_OK);
    if (i) buf_putc(&b, '|');
    if (t.tag == VAL_EMPTY) buf_putc(&b, '-');
    else buf_put(&b, t.u.s, t.len);
  }
  buf_putc(&b, 0);
  return b.p;
}

static inline const char *get_text(rig *r, const hl7_msg *m, const char *p) { return joined(r, get(r, whole_message(r, m), p)); }
static inline const char *slice_str(rig *r, hl7_slice s) { return arena_dup(&r->a, s.p, s.len); }

#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
#endif
