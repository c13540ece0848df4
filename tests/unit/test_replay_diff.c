/* Where two values differ (engine_replay_diff.c): paths add up over messages, carry nothing of a patient, and one item more is one place. */
#include <stdio.h>
#include <string.h>
#include "engine_replay.h"
#include "hl7.h"
#include "json.h"
#include "support.h"

typedef struct seen {
  test_mem tm;
  arena a;
  buf text;                  /* "path+ path- path~" in the order found */
} seen;

static void on_found(void *user, const char *path, engine_replay_kind kind, val before, val after) {
  static const char sign[] = {[REPLAY_CHANGED] = '~', [REPLAY_ADDED] = '+', [REPLAY_REMOVED] = '-'};
  seen *s = (seen *)user;
  assert_true((before.tag == VAL_EMPTY) == (kind == REPLAY_ADDED));
  assert_true((after.tag == VAL_EMPTY) == (kind == REPLAY_REMOVED));
  buf_putf(&s->text, "%s%s%c", s->text.len ? " " : "", path, sign[kind]);
}

static val json(arena *a, const char *text) {
  json_reader r;
  val v;
  json_reader_init(&r, a->mem);
  assert_int_equal(json_read(&r, a, text, strlen(text), NULL, &v, NULL), HDW_OK);
  json_reader_free(&r);
  return v;
}

static val hl7(arena *a, const char *text) {
  hl7_msg *m;
  val v;
  assert_int_equal(hl7_parse(a, text, strlen(text), NULL, &m, NULL), HDW_OK);
  assert_int_equal(hl7_value(a, m, &v), HDW_OK);
  return v;
}

static void check(val (*read)(arena *, const char *), const char *before, const char *after, const char *want) {
  seen s;
  test_mem_init(&s.tm);
  arena_init(&s.a, &s.tm.m, 0);
  buf_init(&s.text, &s.a, 1 << 20);
  replay_compare c = {.a = &s.a, .found = on_found, .user = &s};
  replay_compare_values(&c, read(&s.a, before), read(&s.a, after));
  buf_putc(&s.text, 0);
  assert_false(c.failed);
  assert_string_equal(s.text.p, want);
  arena_free(&s.a);
}

static void test_objects_and_lists(void **state) {
  (void)state;
  check(json, "{\"a\":1,\"b\":{\"c\":\"x\"}}", "{\"b\":{\"c\":\"x\"},\"a\":1}", "");
  check(json, "{\"a\":1}", "{\"a\":\"1\"}", "a~");
  check(json, "{\"a\":1.0}", "{\"a\":1.00}", "a~"); /* digits are data */
  check(json, "{\"a\":null,\"b\":[]}", "{}", "");
  check(json, "{\"a\":[\"x\"]}", "{\"a\":\"x\"}", "");
  check(json, "{\"n\":[{\"g\":[\"a\",\"b\"]}]}", "{\"n\":[{\"g\":[\"a\",\"c\"]}]}", "n.g~");
  check(json, "{\"l\":[1,2,3,4]}", "{\"l\":[0,1,2,3,4]}", "l+");
  check(json, "{\"l\":[1,2,3,4]}", "{\"l\":[1,3,4]}", "l-");
  check(json, "{\"l\":[{\"a\":1},{\"a\":2}]}", "{\"l\":[{\"a\":9},{\"a\":2},{\"a\":3}]}", "l.a~ l+");
  check(json, "{\"l\":[1,2]}", "{}", "l-");
  check(json, "\"x\"", "\"y\"", "~");
  check(json, "{}", "[]", "-");
}

static void test_names_that_may_be_data_are_not_shown(void **state) {
  (void)state;
  check(json, "{\"4711\":1}", "{\"4711\":2}", "*~");
  check(json, "{\"by\":{\"Ann Smith\":1}}", "{\"by\":{}}", "by.*-");
  check(json, "{\"_x\":1,\"a-b\":1,\"x1\":1}", "{}", "_x- a-b- x1-");
  check(json, "{\"\":1}", "{}", "*-");
}

static void test_messages(void **state) {
  (void)state;
#define HEAD "MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5.1\r"
  check(hl7, HEAD "PID|1||7^^^H||S^J\r", HEAD "PID|1||7^^^H||S^J\r", "");
  check(hl7, HEAD "PID|1||7^^^H||S^J\r", HEAD "PID|1||7^^^H||S^K\r", "PID-5.2~");
  check(hl7, HEAD "PID|1||7^^^H||S^J\r", HEAD "PID|1||7^^^H~8^^^H||S\r", "PID-3+ PID-5.2-");
  check(hl7, HEAD "PID|1\rOBX|1||a\rOBX|2||b\r", HEAD "PID|1\rOBX|1||a\rOBX|2||c\rOBX|3||d\rNTE|1\r", "NTE+ OBX-3~ OBX+");
  check(hl7, HEAD "PID|1\r", "MSH|^~\\&|A|B|C|X|2026||ADT^A01|1|P|2.5.1\rPID|1\r", "MSH-6~");
  check(hl7, "MSH|^~\\&|A\rPID|1||a&b\r", "MSH#^~\\&#A\rPID#1##a&b\r", "MSH-1~");
#undef HEAD
}

static void test_depth_and_length_end(void **state) {
  (void)state;
  char p[1200], q[1200];
  size_t n = 0, m = 0;
  for (int i = 0; i < 100; i++) n += (size_t)snprintf(p + n, sizeof p - n, "{\"abcd\":"), m += (size_t)snprintf(q + m, sizeof q - m, "{\"abcd\":");
  n += (size_t)snprintf(p + n, sizeof p - n, "1"), m += (size_t)snprintf(q + m, sizeof q - m, "2");
  for (int i = 0; i < 100; i++) p[n++] = '}', q[m++] = '}';
  p[n] = q[m] = 0;
  seen s;
  test_mem_init(&s.tm);
  arena_init(&s.a, &s.tm.m, 0);
  buf_init(&s.text, &s.a, 1 << 20);
  replay_compare c = {.a = &s.a, .found = on_found, .user = &s};
  replay_compare_values(&c, json(&s.a, p), json(&s.a, q));
  buf_putc(&s.text, 0);
  assert_int_equal(c.n, 1);
  assert_true(strlen(s.text.p) < sizeof c.path + 2);
  arena_free(&s.a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_objects_and_lists),
      cmocka_unit_test(test_names_that_may_be_data_are_not_shown),
      cmocka_unit_test(test_messages),
      cmocka_unit_test(test_depth_and_length_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
