/* The echo guard's marks: within the window what comes back makes no run, after it it does, and marks of past days are taken away. */
#include "prog_rig.h"
#include "engine_int.h"

#define HOUR INT64_C(3600000000)
#define DAY (24 * HOUR)

static void answer(io *x, uint64_t id, const io_http_req *q, void *user) {
  io_http_header h = {"Content-Type", "application/json"};
  io_http_res r = {.sent = true, .code = 200, .headers = &h, .nheaders = 1, .body = "{}", .body_len = 2, .error = ""};
  (void)q;
  ++*(unsigned *)user;
  io_sim_http_reply(x, id, &r, 0);
}

static unsigned resolve(const char *host, io_addr *out, unsigned cap, void *user) {
  (void)host, (void)user;
  return cap && !io_addr_parse("93.184.216.34:443", &out[0]) ? 1 : 0;
}

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'https://crm.example.org', retry: retry(0))\n"
    "workflow forward on msg = adt.message(types: ['ADT^A01']) { send crm.post('/hl7', body: msg) }\n";

/* With drivers and listeners: the mocks of the rig send nothing. */
static void open_again(prog *p) {
  engine_opts o = {.dir = p->dir, .config = &p->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .drivers = engine_drivers()};
  char text[200];
  mod_error err;
  engine_close(p->e);
  assert_int_equal(engine_open(p->io, &o, &p->e, text), HDW_OK);
  assert_int_equal(engine_load(p->e, "test.hdwb", p->mod, p->mod_len, &err), HDW_OK);
  if (engine_start(p->e, text) || engine_listen(p->e, text)) fail_msg("%s", text);
}

static prog *begin(unsigned *sent, int64_t window_ms) {
  static const char *of[] = {"crm"};
  prog *p = prog_new(program, NULL, NULL, 0);
  io_sim_on_http(p->io, answer, sent);
  io_sim_on_resolve(p->io, resolve, NULL);
  p->cfg.listeners[0].o.echo_of = (config_list){of, 1};
  p->cfg.listeners[0].o.echo_window_ms = window_ms;
  p->cfg.conns[0].o.hl7_answer = "any";
  open_again(p);
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
  prog *p = begin(&sent, 6 * HOUR / 1000);
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

static void test_R22_after_a_long_rest_too(void **state) {
  (void)state;
  unsigned sent = 0;
  prog *p = begin(&sent, 6 * HOUR / 1000);
  prog_submit(p, "M1", "1", "");
  prog_run_for(p, 2000000);
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
  prog *p = begin(&sent, 6 * HOUR / 1000);
  prog_submit(p, "M1", "1", "");
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_R22_old_marks_are_taken_away),
      cmocka_unit_test(test_R22_after_a_long_rest_too),
      cmocka_unit_test(test_R22_an_echo_is_one_within_its_window_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
