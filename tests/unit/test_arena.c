#include <stdio.h>
#include <string.h>
#include "status.h"
#include "support.h"

static void test_allocations_are_aligned_and_distinct(void **state) {
  (void)state;
  test_mem t;
  arena a;
  test_mem_init(&t);
  arena_init(&a, &t.m, 0);
  assert_int_equal(t.live_bytes, 0);
  uint8_t *last = NULL;
  for (size_t n = 0; n < 3000; n += 7) {
    uint8_t *p = (uint8_t *)arena_alloc(&a, n);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p & 15, 0);
    assert_ptr_not_equal(p, last);
    memset(p, 0xab, n);
    last = p;
  }
  assert_int_equal(a.used_bytes, t.live_bytes);
  arena_free(&a);
  assert_int_equal(t.live_bytes, 0);
  assert_non_null(arena_alloc(&a, 10));
  arena_free(&a);
}

static void test_release_frees_what_is_newer_and_nothing_else(void **state) {
  (void)state;
  test_mem t;
  arena a;
  test_mem_init(&t);
  arena_init(&a, &t.m, 0);
  char *keep = arena_dup(&a, "keep", 4);
  char *big_before = (char *)arena_alloc(&a, 1 << 20);
  memset(big_before, 'x', 1 << 20);
  size_t before = t.live_bytes;
  arena_mark m = arena_here(&a);
  char *big = (char *)arena_alloc(&a, 1 << 20);
  memset(big, 'y', 1 << 20);
  for (int i = 0; i < 10000; i++) assert_non_null(arena_alloc(&a, 100));
  assert_true(t.live_bytes > before + (1 << 20));
  arena_release(&a, m);
  /* at most one spare chunk stays */
  assert_true(t.live_bytes <= before + 256 * 1024);
  assert_string_equal(keep, "keep");
  assert_int_equal(big_before[(1 << 20) - 1], 'x');
  assert_int_equal(a.used_bytes, t.live_bytes);
  arena_free(&a);
  assert_int_equal(t.live_bytes, 0);
}

static void test_marks_nest_and_a_loop_does_not_thrash(void **state) {
  (void)state;
  test_mem t;
  arena a;
  test_mem_init(&t);
  arena_init(&a, &t.m, 0);
  assert_non_null(arena_alloc(&a, 4000));
  size_t settled = 0;
  for (int i = 0; i < 100; i++) {
    arena_mark outer = arena_here(&a);
    for (int k = 0; k < 30; k++) {
      arena_mark inner = arena_here(&a);
      assert_non_null(arena_alloc(&a, 200));
      arena_release(&a, inner);
      assert_non_null(arena_alloc(&a, 90));
    }
    arena_release(&a, outer);
    if (i == 10) settled = t.live_bytes;
    if (i > 10) {
      assert_int_equal(t.live_bytes, settled);
      t.fail_after = 0; /* from here on memory is refused: the loop must live on what it has */
    }
  }
  t.fail_after = -1;
  arena_free(&a);
  assert_int_equal(t.live_bytes, 0);
}

static void test_release_to_a_mark_of_the_empty_arena(void **state) {
  (void)state;
  test_mem t;
  arena a;
  test_mem_init(&t);
  arena_init(&a, &t.m, 0);
  arena_mark m = arena_here(&a);
  for (int i = 0; i < 1000; i++) assert_non_null(arena_alloc(&a, 1000));
  assert_non_null(arena_alloc(&a, 300000));
  arena_release(&a, m);
  assert_true(t.live_bytes <= 4096 + 256 * 1024);
  assert_non_null(arena_alloc(&a, 1000));
  arena_reset(&a);
  assert_true(t.live_bytes > 0 && t.live_bytes <= 256 * 1024);
  assert_non_null(arena_alloc(&a, 1000));
  arena_free(&a);
  assert_int_equal(t.live_bytes, 0);
}

static void test_limit_and_failure_leave_the_arena_usable(void **state) {
  (void)state;
  test_mem t;
  arena a;
  test_mem_init(&t);
  arena_init(&a, &t.m, 64 * 1024);
  assert_null(arena_alloc(&a, 100 * 1024));
  size_t got = 0;
  while (arena_alloc(&a, 1000)) got += 1000;
  assert_true(got >= 48 * 1024 && got <= 64 * 1024);
  assert_true(t.live_bytes <= 64 * 1024);
  arena_reset(&a);
  assert_non_null(arena_alloc(&a, 1000));
  t.fail_after = 0;
  assert_null(arena_alloc(&a, 200000));
  assert_non_null(arena_alloc(&a, 16));
  arena_free(&a);
  assert_int_equal(t.live_bytes, 0);
  assert_null(arena_alloc(&a, SIZE_MAX));
  assert_null(arena_zalloc(&a, SIZE_MAX / 2, 3));
  arena_free(&a);
}

static void test_grow_extends_in_place_only_the_newest(void **state) {
  (void)state;
  test_mem t;
  arena a;
  test_mem_init(&t);
  arena_init(&a, &t.m, 0);
  char *p = (char *)arena_alloc(&a, 20);
  memcpy(p, "0123456789abcdefghij", 20);
  char *q = (char *)arena_grow(&a, p, 20, 200);
#ifndef HDW_STRESS /* there a chunk holds 64 bytes */
  assert_ptr_equal(p, q);
#endif
  assert_non_null(arena_alloc(&a, 1));
  char *r = (char *)arena_grow(&a, q, 200, 400);
  assert_ptr_not_equal(q, r);
  assert_memory_equal(r, "0123456789abcdefghij", 20);
  assert_null(arena_grow(&a, r, 400, SIZE_MAX));
  assert_memory_equal(r, "0123456789abcdefghij", 20);
  arena_free(&a);
}

static void test_buf_has_a_bound_and_sticky_status(void **state) {
  (void)state;
  test_mem t;
  arena a;
  buf b;
  test_mem_init(&t);
  arena_init(&a, &t.m, 0);
  buf_init(&b, &a, 1000);
  buf_puts(&b, "x=");
  buf_putf(&b, "%d,%s", 42, "y");
  buf_putc(&b, '!');
  assert_int_equal(b.len, 7);
  assert_memory_equal(b.p, "x=42,y!", 7);
  buf_putf(&b, "%500d", 1);
  assert_int_equal(b.len, 507);
  buf_putf(&b, "%600d", 1);
  assert_int_equal(b.status, HDW_E_LIMIT);
  assert_int_equal(b.len, 507);
  buf_puts(&b, "more");
  assert_int_equal(b.len, 507);
  buf_init(&b, &a, SIZE_MAX);
  t.fail_after = 0;
  assert_int_equal(buf_reserve(&b, 1 << 20), HDW_E_NOMEM);
  arena_free(&a);
  assert_int_equal(t.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_allocations_are_aligned_and_distinct),
      cmocka_unit_test(test_release_frees_what_is_newer_and_nothing_else),
      cmocka_unit_test(test_marks_nest_and_a_loop_does_not_thrash),
      cmocka_unit_test(test_release_to_a_mark_of_the_empty_arena),
      cmocka_unit_test(test_limit_and_failure_leave_the_arena_usable),
      cmocka_unit_test(test_grow_extends_in_place_only_the_newest),
      cmocka_unit_test(test_buf_has_a_bound_and_sticky_status),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
