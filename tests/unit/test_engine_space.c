/* A disk without room (RELIABILITY T10): nothing is taken in, and every sender hears so within a second, in its own protocol; what was taken drains; it goes on by itself. */
#include "ack_rig.h"

static const char *post(ackrig *x, const char *path, const char *type, const char *body) {
  char t[2000];
  int n = snprintf(t, sizeof t, "POST %s HTTP/1.1\r\nHost: hub\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", path, type, strlen(body), body);
  peer *p = ack_connect(x, 8080); /* after a refusal the connection ends */
  const char *in = ack_say_for(x, p, t, (size_t)n, 400000);
  ack_hang_up(p);
  return in;
}
static const char *er7(ackrig *x, const char *id) {
  char t[400];
  int n = snprintf(t, sizeof t, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|P|2.5.1\rPID|1||7^^^HOSP^MR||SMITH^JOHN\r", id);
  return arena_dup(&x->p->a, t, (size_t)n);
}
static bool says(const char *s, const char *part) { return strstr(s, part) != NULL; }

static void test_T10_a_full_disk_is_answered_AE_and_503_and_intake_comes_back(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  io *sim = x->p->io;
  peer *mllp = ack_connect(x, 2575);
  char id[16];
  for (int cycle = 0; cycle < 3; cycle++) {
    snprintf(id, sizeof id, "B%d", cycle);
    x->delay_us = 3000000; /* its effect is still on the way when the disk fills */
    assert_string_equal(ack_codes(x, ack_say(x, mllp, ack_adt(x, id, "7", ""))), "AA");
    uint64_t stored = ack_stored(x);
    unsigned calls = x->calls;
    io_sim_set_space(sim, 1 << 20);
    prog_run_for(x->p, 1100000); /* the space is looked at once a second */
    snprintf(id, sizeof id, "M%d", cycle);
    const char *in = ack_say(x, mllp, ack_adt(x, id, "7", ""));
    assert_string_equal(ack_codes(x, in), "AE");
    assert_true(says(in, id));
    in = post(x, "/hl7", "application/hl7-v2", er7(x, id));
    assert_true(says(in, " 503 ") && says(in, "Retry-After: 5"));
    in = post(x, "/api", "application/json", "{\"a\":1}");
    assert_true(says(in, " 503 ") && says(in, "Retry-After: 5"));
    assert_int_equal(ack_stored(x), stored);
    prog_run_for(x->p, 6000000);
    assert_true(x->calls >= calls && x->calls > 0); /* what was taken goes out on the reserve */
    store_counts c;
    store_get_counts(engine_store(x->p->e), &c);
    assert_int_equal(c.deliveries_by_state[DELIVERY_DELIVERED], c.deliveries);
    io_sim_set_space(sim, UINT64_C(1) << 40);
    prog_run_for(x->p, 1100000);
    assert_string_equal(ack_codes(x, ack_say(x, mllp, ack_adt(x, id, "7", ""))), "AA"); /* the same message: it was never taken */
    assert_true(says(post(x, "/hl7", "application/hl7-v2", er7(x, "W")), " 200 "));
    assert_true(says(post(x, "/api", "application/json", "{\"a\":1}"), " 202 "));
    assert_int_equal(ack_stored(x), stored + (cycle ? 2 : 3)); /* W is a resend from the second cycle on */
  }
  ack_hang_up(mllp);
  ack_free(x);
}

/* The last bytes went to somebody else: the write itself fails. Nobody is told that it was stored, and the process ends with 75. */
static void test_T10_a_write_that_finds_no_room_is_no_acknowledgement(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  peer *mllp = ack_connect(x, 2575);
  assert_string_equal(ack_codes(x, ack_say(x, mllp, ack_adt(x, "A", "7", ""))), "AA");
  io_sim_fault(x->p->io, IO_SIM_PWRITE, 1, HDW_E_FULL, true);
  const char *in = ack_say(x, mllp, ack_adt(x, "B", "7", ""));
  assert_true(!strcmp(ack_codes(x, in), "AE") || !in[0]);
  assert_int_equal(io_sim_exit_code(x->p->io), LOG_EXIT_CODE);
  io_sim_fault(x->p->io, IO_SIM_PWRITE, 0, HDW_OK, false);
  ack_hang_up(mllp);
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_T10_a_full_disk_is_answered_AE_and_503_and_intake_comes_back),
      cmocka_unit_test(test_T10_a_write_that_finds_no_room_is_no_acknowledgement),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
