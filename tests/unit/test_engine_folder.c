/* The folder driver at the seam: lines whose writing fails half-way. */
#include "prog_rig.h"

#define PROGRAM(how) "hdw 1\nlistener adt = mllp(port: 2575)\nconnection out = folder(retry: retry(2, from: 1 second, to: 1 second))\n" \
                     "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  " how " out.append(name: 'lines', content: \"line {disclose(msg.MSH-10)}\")\n  return { ok: true }\n}\n"

static prog *begin_with(const char *program, const char *ambiguous) {
  static char text[600];
  prog *p = prog_new(program, NULL, NULL, prog_slow_us ? 1 : 0);
  engine_close(p->e); /* again, with drivers in the place of mocks */
  snprintf(text, sizeof text, "%s/out", p->dir);
  p->cfg.conns[0].o.folder = text, p->cfg.conns[0].o.ambiguous = ambiguous;
  prog_open_drivers(p);
  return p;
}
static prog *begin(const char *ambiguous) { return begin_with(PROGRAM("step x ="), ambiguous); }

static bool lines_begun(prog *p) {
  char path[100];
  snprintf(path, sizeof path, "%s/out/lines", p->dir);
  return !access(path, F_OK);
}

static void expect_lines(prog *p, const char *want) {
  char path[100], got[200];
  snprintf(path, sizeof path, "%s/out/lines", p->dir);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  got[fread(got, 1, sizeof got - 1, f)] = 0;
  fclose(f);
  assert_string_equal(got, want);
}

/* The line stands in the file when the sync of its folder fails: it is taken back before it is written again. */
static void test_a_line_that_may_be_lost_is_taken_back(void **state) {
  (void)state;
  prog *p = begin("stop");
  prog_submit(p, "M1", "4711", "");
  prog_run_for(p, 2000000);
  io_sim_fault(p->io, IO_SIM_SYNC_DIR, 1, HDW_E_IO, false);
  prog_submit(p, "M2", "4711", "");
  prog_run_for(p, 8000000);
  assert_int_equal(prog_the_run(p, 1).state, RUN_DONE);
  expect_lines(p, "line M1\nline M2\n");
  prog_free(p);
}

/* It cannot be taken back either: nobody knows, and `ambiguous` says what then. */
static void test_a_line_that_stays_is_for_a_person(void **state) {
  (void)state;
  for (int stop = 0; stop < 2; stop++) {
    prog *p = begin(stop ? "stop" : "retry");
    io_sim_fault(p->io, IO_SIM_SYNC_DIR, 1, HDW_E_IO, false);
    io_sim_fault(p->io, IO_SIM_TRUNCATE, 1, HDW_E_IO, false);
    prog_submit(p, "M1", "4711", "");
    prog_run_for(p, 8000000);
    store_run row = prog_the_run(p, 0);
    assert_int_equal(row.state, stop ? RUN_DEAD : RUN_DONE);
    if (stop) assert_int_equal(row.fail_class, FAIL_AMBIGUOUS);
    expect_lines(p, stop ? "line M1\n" : "line M1\nline M1\n");
    prog_free(p);
  }
}

/* The process dies before it is durable that the line stands there, and the next one cannot read the request at first: that is as unknown as before, and a person decides. */
static void test_a_line_of_a_dead_process_is_for_a_person_when_the_disk_does_not_read(void **state) {
  (void)state;
  prog_slow_us = 300000; /* the record of it */
  for (int unread = 0; unread < 2; unread++) {
    engine_sink sink;
    prog *p = begin_with(PROGRAM("send"), "stop");
    prog_submit(p, "M1", "4711", "");
    for (unsigned i = 0; i < 1000 && !lines_begun(p); i++) io_sim_advance(p->io, 10000);
    expect_lines(p, "line M1\n");
    prog_kill9(p);
    prog_open_drivers(p);
    if (unread) io_sim_fault(p->io, IO_SIM_PREAD, 1, HDW_E_IO, false);
    prog_run_for(p, 60000000);
    expect_lines(p, "line M1\n");
    assert_true(engine_sink_at(p->e, 0, &sink));
    assert_int_equal(sink.dead, 1);
    prog_free(p);
  }
  prog_slow_us = 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_line_that_may_be_lost_is_taken_back),
      cmocka_unit_test(test_a_line_that_stays_is_for_a_person),
      cmocka_unit_test(test_a_line_of_a_dead_process_is_for_a_person_when_the_disk_does_not_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
