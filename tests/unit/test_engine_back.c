/* The wall clock is set back: what the log recorded in the meantime has one time, and is still what happened. */
#include "prog_rig.h"

typedef struct calls { unsigned first, second; } calls;

/* The first step fails for the moment, then, when the run comes back to it, for good: that is handled. The second one takes long. */
static engine_mock_verdict outside(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  calls *c = (calls *)p->user;
  (void)a;
  if (f->path[0] == '0') {
    out->status = ++c->first == 1 ? 503 : 412;
    return MOCK_ERROR;
  }
  c->second++;
  out->value = val_int(1);
  out->delay_us = 3000000;
  return MOCK_VALUE;
}

static void test_a_handled_failure_is_not_forgotten_when_the_clock_stands_still(void **state) {
  (void)state;
  calls c = {0, 0};
  prog *p = prog_new("hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(retry: retry(0))\n"
                     "workflow w on msg = adt.message(types: ['ADT^A01']) {\n"
                     "  step a = crm.put('/a', body: { n: 1 }) on error where error.status = 412 use {}\n"
                     "  step b = crm.put('/b', body: { n: 2 })\n  return b\n}\n", outside, &c, 0);
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 500000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_PARKED);
  assert_int_equal(c.first, 1);
  io_sim_set_clock(p->io, -INT64_C(600000000));
  for (int i = 0; i < 100 && c.second == 0; i++) prog_run_for(p, 10000000);
  assert_int_equal(c.first, 2);
  assert_int_equal(c.second, 1);
  prog_restart(p); /* the second step is under way: the run executes again, and takes what was recorded */
  prog_run_for(p, 20000000);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(c.first, 2);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_handled_failure_is_not_forgotten_when_the_clock_stands_still)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
