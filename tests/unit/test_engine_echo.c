/* The echo guard's marks: within the window what comes back makes no run, after it it does, and marks of past days are taken away. */
#include "http_rig.h"

#define HOUR INT64_C(3600000000)
#define DAY (24 * HOUR)

static reply answer(world *w, const io_http_req *q) {
  (void)q;
  w->n = 0; /* counted here */
  ++*(unsigned *)w->user;
  return (reply){200, "{}", NULL, NULL};
}

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'https://crm.example.org', retry: retry(0))\n"
    "workflow forward on msg = adt.message(types: ['ADT^A01']) { send crm.post('/hl7', body: msg) }\n";

/* With drivers and listeners: the mocks of the rig send nothing. */
static void listen_again(prog *p) {
  char text[200];
  if (engine_listen(p->e, text)) fail_msg("%s", text);
}
static void open_again(prog *p) {
  engine_close(p->e);
  prog_open_drivers(p);
  listen_again(p);
}

static void echo_of_crm(world *w, config *cfg) {
  static const char *of[] = {"crm"};
  (void)w;
  cfg->listeners[0].o.echo_of = (config_list){of, 1};
  cfg->listeners[0].o.echo_window_ms = 6 * HOUR / 1000;
  cfg->conns[0].o.hl7_answer = "any";
}
static prog *begin(world *w, unsigned *sent) {
  *w = (world){.on = answer, .user = sent, .type = "application/json", .configure = echo_of_crm};
  prog *p = world_begin(w, program);
  listen_again(p);
  return p;
}

static uint64_t echoes(prog *p) {
  engine_status st = {0};
  engine_get_status(p->e, &st);
  return st.echoes;
}

static bool count_one(cod_str key, cod_str value, void *user) {
  (void)key, (void)value;
  ++*(unsigned *)user;
  return true;
}
/* Marks in the store, of `back` days ago. */
static unsigned marks(prog *p, int64_t back) {
  char space[40];
  unsigned n = 0;
  snprintf(space, sizeof space, "echo:%lld", (long long)(io_wall_us(p->io) / DAY - back));
  assert_int_equal(store_list_named(engine_store(p->e), cod_cstr(space), &p->a, count_one, &n), HDW_OK);
  return n;
}
static unsigned all_marks(prog *p) {
  unsigned n = 0;
  for (int64_t back = 0; back < 500; back++) n += marks(p, back);
  return n;
}

static void test_R22_old_marks_are_taken_away(void **state) {
  (void)state;
  unsigned sent = 0;
  world w;
  prog *p = begin(&w, &sent);
  for (unsigned i = 0; i < 150; i++) { /* more than goes at a time */
    char id[8], pid[8];
    snprintf(id, sizeof id, "M%u", i);
    snprintf(pid, sizeof pid, "%u", i);
    prog_submit(p, id, pid, "");
    prog_run_for(p, 2000000);
  }
  assert_int_equal(sent, 150);
  assert_true(all_marks(p) >= 300); /* sender and control id, content; not the key of each attempt only */
  unsigned before = all_marks(p);
  prog_run_for(p, DAY);
  assert_int_equal(all_marks(p), before); /* they may be needed until the window of the day's last is over */
  prog_run_for(p, 2 * DAY);
  assert_int_equal(all_marks(p), 0);
  prog_submit(p, "N", "new", "");
  prog_run_for(p, 2000000);
  assert_true(marks(p, 0) > 0); /* the day's own stay */
  prog_free(p);
}

/* One message has come and gone out. */
static prog *begin_with_one(world *w, unsigned *sent) {
  prog *p = begin(w, sent);
  prog_submit(p, "M1", "1", "");
  prog_run_for(p, 2000000);
  assert_int_equal(*sent, 1);
  return p;
}

static void test_R22_after_a_long_rest_too(void **state) {
  (void)state;
  unsigned sent = 0;
  world w;
  prog *p = begin_with_one(&w, &sent);
  assert_true(all_marks(p) > 0);
  engine_close(p->e); /* down for a quarter of a year */
  prog_run_for(p, 90 * DAY);
  prog_open(p);
  open_again(p);
  assert_true(all_marks(p) > 0);
  prog_run_for(p, 60000000);
  assert_int_equal(all_marks(p), 0);
  prog_free(p);
}

static void test_R22_an_echo_is_one_within_its_window_only(void **state) {
  (void)state;
  unsigned sent = 0;
  world w;
  prog *p = begin_with_one(&w, &sent);
  prog_run_for(p, 5 * HOUR);
  assert_int_equal(sent, 1);
  prog_submit(p, "M2", "1", ""); /* the same content under an id of its own */
  prog_run_for(p, 2000000);
  assert_int_equal(echoes(p), 1);
  assert_int_equal(sent, 1);
  prog_run_for(p, 2 * HOUR);
  prog_submit(p, "M3", "1", ""); /* too late for an echo: somebody's news */
  prog_run_for(p, 2000000);
  assert_int_equal(echoes(p), 1);
  assert_int_equal(sent, 2);
  open_again(p); /* the marks are in the log */
  prog_submit(p, "M4", "1", "");
  prog_run_for(p, 2000000);
  assert_int_equal(echoes(p), 1);
  assert_int_equal(sent, 2);
  prog_free(p);
}

/* Whether it is one stands in the state: without memory to look there the sender comes again, and nothing goes round. */
static void test_R22_an_echo_makes_no_run_when_memory_is_short(void **state) {
  (void)state;
  unsigned sent = 0;
  world w;
  prog *p = begin_with_one(&w, &sent);
  open_again(p); /* what went out in the last moments is forgotten, its marks are in the state */
  for (long n = 0; n < 40; n++) {
    char id[24];
    snprintf(id, sizeof id, "E%ld", n);
    p->mem.fail_after = n;
    prog_submit(p, id, "1", "");
    p->mem.fail_after = -1;
    prog_run_for(p, 2000000);
    if (sent != 1) fail_msg("sent again when allocation %ld fails", n);
  }
  assert_true(echoes(p) > 10);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_R22_old_marks_are_taken_away),
      cmocka_unit_test(test_R22_after_a_long_rest_too),
      cmocka_unit_test(test_R22_an_echo_is_one_within_its_window_only),
      cmocka_unit_test(test_R22_an_echo_makes_no_run_when_memory_is_short),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
