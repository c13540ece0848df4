/* The MLLP frame decoder and encoder, by requirement (H-1 .. H-11). Every case is fed whole, byte by byte and cut at every place: the
 * events must be the same. */
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mllp.h"

#define S "\x0b"
#define E "\x1c\x0d"
#define LIT(s) s, sizeof(s) - 1

typedef struct trace {
  char t[4096];
  size_t n;
} trace;

static void add(trace *tr, const mllp_event *ev) {
  static const char letter[] = {'F', 'C', 'J', 'P', 'O', 'V'};
  char *o = tr->t + tr->n;
  size_t room = sizeof tr->t - tr->n;
  int n;
  if (ev->kind == MLLP_FRAME || ev->kind == MLLP_OVERSIZE) n = snprintf(o, room, "%c<%.*s>", letter[ev->kind], (int)ev->len, ev->len ? (const char *)ev->p : "");
  else if (ev->kind == MLLP_COMMIT) n = snprintf(o, room, "C%02x", ev->code);
  else if (ev->kind == MLLP_VIOLATION) n = snprintf(o, room, "V");
  else n = snprintf(o, room, "%c%zu", letter[ev->kind], ev->len);
  assert_true(n >= 0 && (size_t)n < room);
  tr->n += (size_t)n;
}

static void drain(mllp_decoder *d, trace *tr) {
  mllp_event ev;
  hdw_status s;
  while (!(s = mllp_next(d, &ev))) add(tr, &ev);
  assert_int_equal(s, HDW_E_AGAIN);
}

static void feed(mllp_decoder *d, trace *tr, const char *p, size_t n) {
  char *copy = malloc(n ? n : 1); /* its own block: reading past it is seen */
  memcpy(copy, p, n);
  mllp_feed(d, copy, n);
  drain(d, tr);
  free(copy);
}

typedef struct opts {
  bool strict;
  size_t max;
} opts;

static void once(opts o, const char *in, size_t n, size_t a, size_t b, size_t step, const char *expect) {
  test_mem tm;
  test_mem_init(&tm);
  mllp_decoder d;
  trace tr = {{0}, 0};
  mllp_decoder_init(&d, &tm.m, o.max, o.strict);
  if (step)
    for (size_t i = 0; i < n; i += step) feed(&d, &tr, in + i, n - i < step ? n - i : step);
  else {
    feed(&d, &tr, in, a);
    feed(&d, &tr, in + a, b - a);
    feed(&d, &tr, in + b, n - b);
  }
  mllp_feed_eof(&d);
  drain(&d, &tr);
  assert_string_equal(tr.t, expect);
  mllp_decoder_free(&d);
  assert_int_equal(tm.live_bytes, 0);
}

/* expect: the events up to and with the end of input. */
static void check(opts o, const char *in, size_t n, const char *expect) {
  for (size_t step = 1; step <= 3; step++) once(o, in, n, 0, 0, step, expect);
  for (size_t a = 0; a <= n; a++)
    for (size_t b = a; b <= n; b++) once(o, in, n, a, b, 0, expect);
}
static const opts tolerant = {false, 0}, strict = {true, 0};

static void test_H1_frame(void **st) {
  (void)st;
  check(tolerant, LIT(S "MSH|^~\\&|" E), "F<MSH|^~\\&|>");
  check(strict, LIT(S "MSH|^~\\&|" E), "F<MSH|^~\\&|>");
  check(strict, LIT(S E), "F<>");
  check(tolerant, LIT(""), "");
}

static void test_H1_encoder_writes_exactly_the_frame(void **st) {
  (void)st;
  uint8_t out[16];
  assert_int_equal(mllp_encode(out, LIT("AB\r")), HDW_OK);
  assert_int_equal(mllp_frame_bytes(3), 6);
  assert_memory_equal(out, S "AB\r" E, 6);
  assert_int_equal(mllp_encode(out, NULL, 0), HDW_OK);
  assert_memory_equal(out, S E, 3);
}

static void test_H1_encoder_refuses_framing_bytes(void **st) {
  (void)st;
  uint8_t out[16];
  assert_int_equal(mllp_encode(out, LIT("A\x0b" "B")), HDW_E_DATA);
  assert_int_equal(mllp_encode(out, LIT("A" E "B")), HDW_E_DATA);
  assert_int_equal(mllp_encode(out, LIT("A\x1c")), HDW_E_DATA);
  assert_int_equal(mllp_encode(out, LIT("A\x1c\x1c\x0d")), HDW_E_DATA);
  assert_int_equal(mllp_encode(out, LIT("A\x1c" "B\x0d")), HDW_OK);
}

static void test_H2_junk_before_start(void **st) {
  (void)st;
  check(tolerant, LIT("GET / HTTP" S "A" E), "J8F<A>");
  check(tolerant, LIT("\r\n \t" S "A" E "\r\n" S "B" E "\n"), "F<A>F<B>");
  check(tolerant, LIT(S "A" E "xy\r" S "B" E "z"), "F<A>J2F<B>J1");
  check(strict, LIT("x" S "A" E), "V");
  check(strict, LIT(S "A" E "\r" S "B" E), "F<A>V");
}

static void test_H2_endless_junk_ends(void **st) {
  (void)st;
  test_mem tm;
  test_mem_init(&tm);
  mllp_decoder d;
  mllp_decoder_init(&d, &tm.m, 0, false);
  for (int byte = 0; byte < 2; byte++) {
    mllp_decoder_init(&d, &tm.m, 0, false);
    trace tr = {{0}, 0};
    char block[1000];
    memset(block, byte ? 'x' : '\r', sizeof block);
    for (size_t i = 0; i < MLLP_MAX_JUNK_BYTES / sizeof block; i++) feed(&d, &tr, block, sizeof block);
    assert_string_equal(tr.t, "");
    feed(&d, &tr, block, sizeof block);
    assert_string_equal(tr.t, "V");
    feed(&d, &tr, LIT(S "A" E));
    assert_string_equal(tr.t, "V");
  }
  mllp_decoder_free(&d);
}

static void test_H3_end_byte_without_cr(void **st) {
  (void)st;
  check(tolerant, LIT(S "A\x1c" "B" E), "F<A\x1c" "B>");
  check(tolerant, LIT(S "A\x1c" E), "F<A\x1c>");
  check(tolerant, LIT(S "A\x1c\x1c\x1c" E S "B" E), "F<A\x1c\x1c\x1c>F<B>");
  check(tolerant, LIT(S "\x0d\x1c\x0a" E), "F<\x0d\x1c\x0a>");
  check(tolerant, LIT(S "A\x1c"), "P2");
  check(tolerant, LIT(S "\x1c"), "P1");
  check(strict, LIT(S "A\x1c" "B" E), "V");
  check(strict, LIT(S "A\x1c" E), "V");
  check(strict, LIT(S "A\x1c"), "P2");
}

static void test_H4_second_start_discards_partial(void **st) {
  (void)st;
  check(tolerant, LIT(S "HALF" S "WHOLE" E), "P4F<WHOLE>");
  check(strict, LIT(S "HALF" S "WHOLE" E), "P4F<WHOLE>");
  check(tolerant, LIT(S "A\x1c" S "B" E), "P2F<B>");
  check(tolerant, LIT(S S S "B" E), "P0P0F<B>");
}

static void test_H4_many_starts_cost_linear_work(void **st) {
  (void)st;
  test_mem tm;
  test_mem_init(&tm);
  size_t n = 4 << 20, events = 0;
  char *in = malloc(n);
  memset(in, 0x0b, n);
  mllp_decoder d;
  mllp_event ev;
  mllp_decoder_init(&d, &tm.m, 0, false);
  mllp_feed(&d, in, n);
  while (!mllp_next(&d, &ev)) events++;
  assert_int_equal(events, n - 1); /* quadratic work would take hours */
  mllp_decoder_free(&d);
  free(in);
}

static void test_H5_size_limit(void **st) {
  (void)st;
  opts five = {false, 5};
  check(five, LIT(S "ABCDE" E), "F<ABCDE>");
  check(five, LIT(S "ABCDEF" E), "O<ABCDEF>");
  check(five, LIT(S "ABCDEFGHIJ"), "O<ABCDEF>");
  check(five, LIT(S "ABCDE\x1c" "x" E), "O<ABCDE\x1c>");
  check(five, LIT(S "ABCD\x1c" E), "F<ABCD\x1c>");
  check(five, LIT(S "ABCDE\x1c" E), "O<ABCDE\x1c>");
  check(five, LIT(S "ABCDEF" S "A" E), "O<ABCDEF>");
  check(five, LIT(S "ABCDE" S "A" E), "P5F<A>");
}

static void test_H5_memory_is_bounded_and_head_is_kept(void **st) {
  (void)st;
  test_mem tm;
  test_mem_init(&tm);
  mllp_decoder d;
  mllp_decoder_init(&d, &tm.m, 100000, false);
  char block[997];
  mllp_event ev;
  hdw_status s = HDW_E_AGAIN;
  memset(block, 'M', sizeof block);
  mllp_feed(&d, S "MSH", 4);
  assert_int_equal(mllp_next(&d, &ev), HDW_E_AGAIN);
  assert_true(mllp_in_frame(&d));
  for (int i = 0; i < 200 && s == HDW_E_AGAIN; i++) {
    mllp_feed(&d, block, sizeof block);
    s = mllp_next(&d, &ev);
    assert_true(tm.live_bytes <= 100001);
  }
  assert_int_equal(s, HDW_OK);
  assert_int_equal(ev.kind, MLLP_OVERSIZE);
  assert_int_equal(ev.len, MLLP_HEAD_BYTES);
  assert_memory_equal(ev.p, "MSHM", 4);
  mllp_decoder_free(&d);
  assert_int_equal(tm.live_bytes, 0);
}

static void test_H6_partial_at_end_of_input(void **st) {
  (void)st;
  check(tolerant, LIT(S "MSH|^~\\&|ADT"), "P12");
  check(tolerant, LIT(S), "P0");
  check(tolerant, LIT(S "A" E S "B"), "F<A>P1");
}

static void test_H7_H8_two_frames_in_one_segment(void **st) {
  (void)st;
  check(tolerant, LIT(S "ONE" E S "TWO" E S "THREE" E), "F<ONE>F<TWO>F<THREE>");
  check(strict, LIT(S "ONE" E S "TWO" E), "F<ONE>F<TWO>");
}

static void test_H9_H11_commit_blocks(void **st) {
  (void)st;
  check(tolerant, LIT(S "\x06" E S "\x15" E), "C06C15");
  check(strict, LIT(S "\x06" E), "C06");
  check(tolerant, LIT(S "\x06\x06" E S "\x07" E), "F<\x06\x06>F<\x07>");
}

static void test_whole_frames_are_not_copied(void **st) {
  (void)st;
  test_mem tm;
  test_mem_init(&tm);
  tm.fail_after = 0;
  mllp_decoder d;
  mllp_event ev;
  char in[] = S "AAAA" E S "BB" E;
  mllp_decoder_init(&d, &tm.m, 0, false);
  mllp_feed(&d, in, sizeof in - 1);
  assert_int_equal(mllp_next(&d, &ev), HDW_OK);
  assert_ptr_equal(ev.p, in + 1);
  const uint8_t *rest;
  assert_int_equal(mllp_unfed(&d, &rest), 5);
  assert_ptr_equal(rest, in + 7);
  assert_int_equal(mllp_next(&d, &ev), HDW_E_AGAIN);
  mllp_feed(&d, rest, 5);
  assert_int_equal(mllp_next(&d, &ev), HDW_OK);
  assert_ptr_equal(ev.p, in + 8);
  assert_int_equal(tm.live_bytes, 0);
}

static void test_every_allocation_may_fail(void **st) {
  (void)st;
  char big[20000];
  memset(big, 'x', sizeof big);
  for (long at = 0; at < 20; at++) {
    test_mem tm;
    test_mem_init(&tm);
    tm.fail_after = at;
    mllp_decoder d;
    mllp_event ev;
    hdw_status s = HDW_E_AGAIN;
    mllp_decoder_init(&d, &tm.m, 0, false);
    mllp_feed(&d, S, 1);
    mllp_next(&d, &ev);
    for (size_t i = 0; i < sizeof big && s == HDW_E_AGAIN; i += 100) {
      mllp_feed(&d, big + i, 100);
      s = mllp_next(&d, &ev);
    }
    assert_true(s == HDW_E_NOMEM || s == HDW_E_AGAIN);
    if (at == 0) assert_int_equal(s, HDW_E_NOMEM);
    mllp_feed(&d, E, 2);
    hdw_status last = mllp_next(&d, &ev);
    if (s == HDW_E_NOMEM) assert_int_equal(last, HDW_E_AGAIN); /* closed: never half a frame */
    mllp_decoder_free(&d);
    assert_int_equal(tm.live_bytes, 0);
  }
}

static void test_H19_answer_is_matched_by_MSA2(void **st) {
  (void)st;
  static const char ack[] = "MSH|^~\\&|A|B\rMSA|AA|42|text\r", nl[] = "MSH|^~\\&|A|B\r\nMSA|AA|42\r\n", hash[] = "MSH#^~\\&#A\rMSA#AA#42\rERR#1\r";
  assert_true(mllp_ack_is_for((const uint8_t *)ack, sizeof ack - 1, "42", 2));
  assert_true(mllp_ack_is_for((const uint8_t *)nl, strlen(nl) - 2, "42", 2));
  assert_true(mllp_ack_is_for((const uint8_t *)hash, sizeof hash - 1, "42", 2));
  assert_false(mllp_ack_is_for((const uint8_t *)ack, sizeof ack - 1, "4", 1));
  assert_false(mllp_ack_is_for((const uint8_t *)ack, sizeof ack - 1, "421", 3));
  assert_false(mllp_ack_is_for((const uint8_t *)LIT("MSH|^~\\&|A\rMSA|AA"), "42", 2));
  assert_false(mllp_ack_is_for((const uint8_t *)LIT("MSH|"), "", 0));
  assert_false(mllp_ack_is_for((const uint8_t *)LIT("MSA|AA|42"), "42", 2));
  static const struct { const char *ack, *code, *id; } t[] = {
      {"MSH|^~\\&|A\rMSA|AA|42|x\r", "AA", "42"}, {"MSH|^~\\&|A\rMSA|CE", "CE", NULL}, {"MSH|^~\\&|A\rMSA||\r", "", ""}, {"MSH|^~\\&|A\nMSA|AR|7\n", "AR", "7"}, {"MSH|^~\\&|A\rMSA|", "", NULL},
      {"MSH|^~\\&|A\rMSA|XX|1\rMSA|AA|2\r", "XX", "1"}, /* the first one decides, whatever it says */
      {"MSH|^~\\&|A\rMSA", NULL, NULL}, {"MSH|^~\\&|A\rMSAX|AA|1\r", NULL, NULL}, {"MSH|^~\\&|A\rZZ1|x\r\r\n", NULL, NULL}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    mllp_msa m;
    assert_true(mllp_ack_msa(t[i].ack, strlen(t[i].ack), &m) == (t[i].code != NULL));
    assert_true((m.id != NULL) == (t[i].id != NULL));
    if (t[i].code && (m.code_len != strlen(t[i].code) || memcmp(m.code, t[i].code, m.code_len) != 0)) fail_msg("%s: %.*s", t[i].ack, (int)m.code_len, m.code);
    if (t[i].id && (m.id_len != strlen(t[i].id) || memcmp(m.id, t[i].id, m.id_len) != 0)) fail_msg("%s: %.*s", t[i].ack, (int)m.id_len, m.id);
  }
}

int main(void) {
  const struct CMUnitTest t[] = {
      cmocka_unit_test(test_H1_frame), cmocka_unit_test(test_H1_encoder_writes_exactly_the_frame), cmocka_unit_test(test_H1_encoder_refuses_framing_bytes),
      cmocka_unit_test(test_H2_junk_before_start), cmocka_unit_test(test_H2_endless_junk_ends), cmocka_unit_test(test_H3_end_byte_without_cr),
      cmocka_unit_test(test_H4_second_start_discards_partial), cmocka_unit_test(test_H4_many_starts_cost_linear_work),
      cmocka_unit_test(test_H5_size_limit), cmocka_unit_test(test_H5_memory_is_bounded_and_head_is_kept),
      cmocka_unit_test(test_H6_partial_at_end_of_input), cmocka_unit_test(test_H7_H8_two_frames_in_one_segment),
      cmocka_unit_test(test_H9_H11_commit_blocks), cmocka_unit_test(test_whole_frames_are_not_copied),
      cmocka_unit_test(test_every_allocation_may_fail), cmocka_unit_test(test_H19_answer_is_matched_by_MSA2)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
