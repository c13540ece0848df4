/* The exact codec of values: what comes back is what went in, and damage is refused. */
#include "support.h"
#include <stdlib.h>
#include "json.h"
#include "pack.h"

static test_mem tm;
static arena a;

static int setup(void **state) {
  (void)state;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  arena_free(&a);
  return tm.live_bytes != 0;
}

static buf packed(val v, const pack_hl7 *h) {
  buf b;
  buf_init(&b, &a, 1 << 20);
  assert_int_equal(pack_val(&b, v, h), HDW_OK);
  return b;
}

/* Same tag, flags, model type and content, recursively. */
static void same(val x, val y) {
  assert_int_equal(x.tag, y.tag);
  assert_int_equal(x.flags, y.flags);
  if (x.tag != VAL_STR) assert_int_equal(x.aux, y.aux);
  switch ((val_tag)x.tag) {
  case VAL_STR:
  case VAL_NUM:
  case VAL_BIN:
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.u.s, y.u.s, x.len);
    break;
  case VAL_LIST:
  case VAL_TPL:
    assert_int_equal(x.len, y.len);
    for (uint32_t i = 0; i < x.len; i++) same(x.u.v[i], y.u.v[i]);
    break;
  case VAL_OBJ:
    assert_int_equal(x.len, y.len);
    for (uint32_t i = 0; i < 2 * x.len; i++) {
      same(x.u.v[i], y.u.v[i]);
      if (i % 2 == 0) assert_int_equal(x.u.v[i].aux, y.u.v[i].aux);
    }
    break;
  case VAL_QTY: {
    const val_quantity *p = (const val_quantity *)x.u.p, *q = (const val_quantity *)y.u.p;
    assert_true(p->value.coef == q->value.coef && p->value.scale == q->value.scale && p->unit_len == q->unit_len);
    assert_memory_equal(p->unit, q->unit, p->unit_len);
    break;
  }
  case VAL_DEC: {
    dec p = val_get_dec(x), q = val_get_dec(y);
    assert_true(p.coef == q.coef && p.scale == q.scale);
    break;
  }
  default: assert_true(x.u.i == y.u.i && x.len == y.len);
  }
}

static void round_trip(val v) {
  buf b = packed(v, NULL);
  val back;
  assert_int_equal(pack_read(&a, b.p, b.len, NULL, &back), HDW_OK);
  same(v, back);
  buf again = packed(back, NULL);
  assert_int_equal(again.len, b.len);
  assert_memory_equal(again.p, b.p, b.len);
}

static val parse(const char *text) {
  json_reader r;
  val v;
  json_reader_init(&r, &tm.m);
  assert_int_equal(json_read(&r, &a, text, strlen(text), NULL, &v, NULL), HDW_OK);
  json_reader_free(&r);
  return v;
}

static void test_scalars(void **state) {
  (void)state;
  const int64_t n[] = {0, 1, -1, 63, 64, -64, -65, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
  for (size_t i = 0; i < sizeof n / sizeof *n; i++) round_trip(val_long(n[i])), round_trip(val_int(n[i]));
  round_trip(VAL_NONE);
  round_trip((val){.tag = VAL_NULL});
  round_trip(val_bool(true));
  round_trip(val_str("a\0b", 3));
  round_trip(val_cstr(""));
  round_trip((val){.tag = VAL_BIN, .len = 2, .u.s = "\xff\0"});
  round_trip((val){.tag = VAL_STR, .flags = VALF_ESC, .len = 4, .u.s = "\\n\\t"});
  round_trip((val){.tag = VAL_OBJ, .flags = VALF_ARRAY, .aux = 917});
}

static void test_decimals_keep_scale_and_all_38_digits(void **state) {
  (void)state;
  static const char *const texts[] = {"1.00", "-0.0", "12345678901234567890123456789012345678", "-0.1234567890123456789012345678", "99999999999999999999.0000000001"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    dec d;
    val v;
    assert_int_equal(dec_parse(texts[i], strlen(texts[i]), &d), HDW_OK);
    assert_int_equal(val_from_dec(&a, &d, &v), HDW_OK);
    round_trip(v);
    assert_int_equal(val_from_qty(&a, &d, "mg", 2, false, &v), HDW_OK);
    round_trip(v);
  }
}

static void test_times_keep_precision_and_zone(void **state) {
  (void)state;
  static const char *const texts[] = {"2012", "2012-04", "2012-04-01T10:00Z", "2012-04-01T10:00:00.120-06:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    tm_val t;
    assert_int_equal(tm_parse_datetime(texts[i], strlen(texts[i]), &t), HDW_OK);
    round_trip(val_from_time(VAL_DATETIME, &t));
  }
  tm_val t;
  assert_int_equal(tm_parse_time("10:30:00.5", 10, &t), HDW_OK);
  round_trip(val_from_time(VAL_TIME, &t));
}

static void test_documents_keep_numbers_escapes_order_and_nulls(void **state) {
  (void)state;
  round_trip(parse("{\"b\":1.10,\"a\":[null,\"x\\n\",[],{}],\"_b\":{\"id\":\"q\"},\"n\":123456789012345678901234567890123456789012345}"));
  round_trip(parse("[[[[]]],[{\"k\":[1,2,3]}]]"));
}

static void test_hl7_values_go_through_the_hooks(void **state) {
  (void)state;
  buf b;
  buf_init(&b, &a, 1024);
  assert_int_equal(pack_val(&b, (val){.tag = VAL_HL7}, NULL), HDW_E_TYPE);
  buf_init(&b, &a, 1024);
  assert_int_equal(pack_val(&b, (val){.tag = VAL_BUILDER}, NULL), HDW_E_TYPE);
}

static void test_depth_is_limited_and_nothing_recurses(void **state) {
  (void)state;
  for (int extra = 0; extra < 2; extra++) {
    val v = VAL_NONE;
    for (int i = 0; i < PACK_MAX_DEPTH + extra; i++) {
      val *p = (val *)arena_alloc(&a, sizeof *p);
      assert_non_null(p);
      *p = v;
      v = (val){.tag = VAL_LIST, .len = 1, .u.v = p};
    }
    buf b;
    buf_init(&b, &a, 1 << 20);
    assert_int_equal(pack_val(&b, v, NULL), extra ? HDW_E_LIMIT : HDW_OK);
  }
  char deep[3 * 1000 + 2]; /* lists of one, 1000 deep, written by hand */
  size_t n = 0;
  deep[n++] = PACK_VERSION;
  for (int i = 0; i < 1000; i++) deep[n++] = VAL_LIST, deep[n++] = 1;
  deep[n++] = VAL_EMPTY;
  val out;
  assert_int_equal(pack_read(&a, deep, n, NULL, &out), HDW_E_LIMIT);
}

/* Every cut and every changed byte is refused or gives some value: never a crash, never more memory than the input justifies. */
static void test_damage_is_survived(void **state) {
  (void)state;
  buf b = packed(parse("{\"b\":1.10,\"a\":[null,\"x\\n\",[1,2],{\"k\":true}],\"d\":12}"), NULL);
  val out;
  for (size_t cut = 0; cut < b.len; cut++) assert_int_not_equal(pack_read(&a, b.p, cut, NULL, &out), HDW_OK);
  char *copy = arena_dup(&a, b.p, b.len);
  for (size_t i = 0; i < b.len; i++)
    for (int x = 0; x < 256; x++) {
      arena_mark m = arena_here(&a);
      copy[i] = (char)x;
      (void)pack_read(&a, copy, b.len, NULL, &out);
      copy[i] = b.p[i];
      arena_release(&a, m);
    }
  static const char huge[] = {PACK_VERSION, VAL_LIST, '\xff', '\xff', '\xff', '\xff', '\x0f'};
  assert_int_equal(pack_read(&a, huge, sizeof huge, NULL, &out), HDW_E_CORRUPT);
  static const char other[] = {9, VAL_EMPTY};
  assert_int_equal(pack_read(&a, other, sizeof other, NULL, &out), HDW_E_VERSION);
  static const char more[] = {PACK_VERSION, VAL_EMPTY, 0};
  assert_int_equal(pack_read(&a, more, sizeof more, NULL, &out), HDW_E_CORRUPT);
}

static void test_out_of_memory_is_an_error(void **state) {
  (void)state;
  buf b = packed(parse("{\"a\":[1,2,3,[4,5,{\"b\":\"x\"}]]}"), NULL);
  unsigned refused = 0, done = 0;
  for (size_t limit = 1; limit < 4096; limit += 64) {
    arena small;
    val out;
    arena_init(&small, &tm.m, limit);
    hdw_status s = pack_read(&small, b.p, b.len, NULL, &out);
    assert_true(s == HDW_OK || s == HDW_E_NOMEM);
    refused += s == HDW_E_NOMEM, done += s == HDW_OK;
    arena_free(&small);
  }
  assert_true(refused > 0 && done > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_scalars, setup, teardown),
      cmocka_unit_test_setup_teardown(test_decimals_keep_scale_and_all_38_digits, setup, teardown),
      cmocka_unit_test_setup_teardown(test_times_keep_precision_and_zone, setup, teardown),
      cmocka_unit_test_setup_teardown(test_documents_keep_numbers_escapes_order_and_nulls, setup, teardown),
      cmocka_unit_test_setup_teardown(test_hl7_values_go_through_the_hooks, setup, teardown),
      cmocka_unit_test_setup_teardown(test_depth_is_limited_and_nothing_recurses, setup, teardown),
      cmocka_unit_test_setup_teardown(test_damage_is_survived, setup, teardown),
      cmocka_unit_test_setup_teardown(test_out_of_memory_is_an_error, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
