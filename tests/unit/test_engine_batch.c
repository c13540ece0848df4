/* A batch that is under way when the engine ends. */
#include "prog_rig.h"

static void test_a_batch_without_its_answers_leaves_nothing_behind(void **state) {
  (void)state;
  prog *p = prog_new("hdw 1\nlistener adt = mllp(port: 2575)\nworkflow w on msg = adt.message(types: ['ADT^A01']) {\n  return 'x'\n}\n", NULL, NULL, 0);
  static const char batch[] = "BHS|^~\\&|LAB\rMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|M1|P|2.5.1\rPID|1||7\rMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|M2|P|2.5.1\rPID|1||7\rBTS|2\r";
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  engine_submit_hl7(p->e, &src, batch, sizeof batch - 1, prog_answer, p);
  assert_int_equal(p->answers, 0); /* nothing is durable yet */
  prog_restart(p);
  engine_submit_hl7(p->e, &src, batch, sizeof batch - 1, prog_answer, p);
  prog_run_for(p, 2000000);
  assert_int_equal(p->answers, 1);
  engine_submit_hl7(p->e, &src, batch, sizeof batch - 1, prog_answer, p);
  prog_free(p); /* all memory is given back */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_batch_without_its_answers_leaves_nothing_behind)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
