/* Expressions and programs through compiler, loader, verifier and machine; every row of builtins.def by its example. */
#include <stdio.h>
#include <string.h>
#include "compiler.h"
#include "host.h"
#include "hl7.h"
#include "hl7_dict.h"
#include "json.h"
#include "model.h"
#include "support.h"

typedef struct fix { test_mem tm; arena a; } fix;
static void up(fix *f) { test_mem_init(&f->tm); arena_init(&f->a, &f->tm.m, 0); }
static void down(fix *f) { arena_free(&f->a); assert_int_equal(f->tm.live_bytes, 0); }

static const char *text_of(fix *f, diag_list *d) {
  buf b;
  buf_init(&b, &f->a, 1 << 20);
  diag_text(&b, d, NULL);
  buf_putc(&b, 0);
  return b.p;
}

static hdw_status hl7_json(void *user, val node, buf *b) {
  val t;
  hdw_status s = hl7_node_text(user, hl7_of(node), &t);
  if (s) return s;
  json_write_str(b, t.u.s, t.len);
  return HDW_OK;
}

/* Runs function fn of the module in bytes; JSON of its result, or the error text. */
static const char *run(fix *f, const uint8_t *bytes, size_t len, const char *fn, const val *args, unsigned n) {
  module m;
  mod_error e;
  assert_int_equal(mod_load(&f->a, bytes, len, &m, &e), HDW_OK);
  if (mod_verify(&f->a, &m, &e)) fail_msg("verifier: %s", e.text);
  const vm_native *bound;
  if (vm_bind(&f->a, &m, host_get(), &bound, &e)) fail_msg("bind: %s", e.text);
  vm_cx cx = {.a = &f->a, .fuel = 100000000, .model = &hdw_model, .now_us = INT64_C(1700000000000000)};
  vm_run *r = arena_alloc(&f->a, sizeof *r);
  uint32_t fi = mod_find(&m, fn);
  assert_int_not_equal(fi, MOD_NO_INDEX);
  assert_int_equal(vm_start(r, &m, host_get(), bound, &cx, fi, args, n), HDW_OK);
  vm_state s = vm_go(r);
  buf b;
  buf_init(&b, &f->a, 1 << 20);
  if (s != VM_DONE) {
    buf_putf(&b, "state %d: %s", s, cx.err.text);
  } else {
    json_wopts o = {.hl7 = hl7_json, .hl7_user = &cx};
    val v = r->result;
    if (r->outcome) buf_putf(&b, "outcome %d ", r->outcome);
    if (v.tag == VAL_EMPTY) buf_puts(&b, "{}");
    else json_write(v, &b, &o);
  }
  buf_putc(&b, 0);
  return b.p;
}

static const char *eval(fix *f, const char *expr) {
  diag_list d;
  comp_result out;
  diag_init(&d, &f->a);
  assert_int_equal(comp_expr(&f->a, expr, strlen(expr), COMP_HL7, NULL, true, &d, &out), HDW_OK);
  if (!out.bytes) return text_of(f, &d);
  val none = VAL_NONE;
  return run(f, out.bytes, out.len_bytes, "main", &none, 1);
}

static const char *program(fix *f, const char *src, const char *fn, const val *args, unsigned n) {
  diag_list d;
  comp_result out;
  diag_init(&d, &f->a);
  comp_source s = {"t.hdw", src, strlen(src)};
  assert_int_equal(comp_program(&f->a, &s, 1, NULL, &d, &out), HDW_OK);
  if (!out.bytes) return text_of(f, &d);
  return run(f, out.bytes, out.len_bytes, fn, args, n);
}

typedef struct example { const char *sig, *expr; } example;
static const example examples[] = {
#define FUNCTION(c, sig, since, doc, x) {sig, x},
#define INLINE(id, sig, since, doc, x) {sig, x},
#include "builtins.def"
};

static void test_every_builtin_example_is_true(void **state) {
  (void)state;
  int bad = 0;
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    fix f;
    up(&f);
    const char *got = eval(&f, examples[i].expr);
    if (strcmp(got, "true") != 0) { bad++; print_error("%s\n  %s\n  gives %s\n", examples[i].sig, examples[i].expr, got); }
    down(&f);
  }
  assert_int_equal(bad, 0);
}

static void is(const char *expr, const char *want) {
  fix f;
  up(&f);
  const char *got = eval(&f, expr);
  if (strcmp(got, want) != 0) fail_msg("%s\n  gives %s\n  want %s", expr, got, want);
  down(&f);
}

static void test_operators(void **state) {
  (void)state;
  is("1 + 2 * 3", "7");
  is("7 div 2 + 7 mod 2", "4");
  is("1 / 3 > 0.3 and true", "true");
  is("2147483647 + 1", "{}");
  is("true and {}", "{}");
  is("false and {}", "false");
  is("{} or true", "true");
  is("false implies {}", "true");
  is("'a' & {} & 'b'", "\"ab\"");
  is("[1, 2, 3].where($this > 1).select($this * 10)", "[20,30]");
  is("[3, 1, 2].sort($this desc)", "[3,2,1]");
  is("iif({}, 1, 2)", "2");
  is("{ a: 1, b: [2], c: {} }", "{\"a\":1,\"b\":[2]}");
  is("\"x {1 + 1} y\"", "\"x 2 y\"");
  is("range(1, 1000).aggregate($this + $total, 0L)", "500500");
  is("1.00", "1.00");
  is("@2024-01-31 + 1 month", "\"2024-02-29\"");
  is("[1, 2][1]", "2");
  is("1 in [1, 2]", "true");
  is("-1.abs()", "-1");
}

static void test_program_payload_map_fn(void **state) {
  (void)state;
  fix f;
  up(&f);
  const char *src =
      "hdw 1\n"
      "payload Card(msg: ADT_A01) {\n"
      "  mrn:    string  = msg.PID-3.where(identifierTypeCode = 'MR').idNumber.first()\n"
      "  family: string  = msg.PID-5.familyName\n"
      "  born:   date?   = msg.PID-7\n"
      "  gender: string  = gender(msg.PID-8)\n"
      "  given:  string* = msg.PID-5.givenName\n"
      "  ward:   string? = msg.PV1-3.1\n"
      "}\n"
      "map gender(code: string?): string { 'M': 'male', 'F', 'W': 'female', else: 'unknown' }\n"
      "fn label(msg: ADT_A01): string = \"{msg.PID-5.familyName}: {msg.MSH-10}\"\n"
      "fn edited(msg: ADT_A01): string? = msg.with(MSH-3: 'HUB', PID-8: 'X').toHl7()\n"
      "fn fib(n: integer): integer = iif(n < 2, n, fib(n - 1) + fib(n - 2))\n"
      "fn f20(m: ADT_A01): integer = fib(20)\n";
  const char *msg = "MSH|^~\\&|LAB|H|X|Y|20240101||ADT^A01|42|P|2.5\rPID|1||7^^^A^SS~8^^^A^MR||Smith^Jo~Smyth^Jo||19800102|F\rPV1|1|I|W1^2\r";
  hl7_msg *m;
  hl7_opts o = {.schema = &hl7_dict_schema};
  val v;
  assert_int_equal(hl7_parse(&f.a, msg, strlen(msg), &o, &m, NULL), HDW_OK);
  assert_int_equal(hl7_value(&f.a, m, &v), HDW_OK);
  assert_string_equal(program(&f, src, "Card", &v, 1),
                      "{\"mrn\":\"8\",\"family\":\"Smith\",\"born\":\"1980-01-02\",\"gender\":\"female\",\"given\":[\"Jo\",\"Jo\"],\"ward\":\"W1\"}");
  assert_string_equal(program(&f, src, "label", &v, 1), "\"Smith, Smyth: 42\"");
  assert_string_equal(program(&f, src, "f20", &v, 1), "6765");
  assert_string_equal(program(&f, src, "edited", &v, 1),
                      "\"MSH|^~\\\\&|HUB|H|X|Y|20240101||ADT^A01|42|P|2.5\\rPID|1||7^^^A^SS~8^^^A^MR||Smith^Jo~Smyth^Jo||19800102|X\\rPV1|1|I|W1^2\\r\"");
  down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_builtin_example_is_true),
      cmocka_unit_test(test_operators),
      cmocka_unit_test(test_program_payload_map_fn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
