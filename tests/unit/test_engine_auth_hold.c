/* A login takes its time: what waited for it does not leave for a connection that was taken away meanwhile (PROTOCOLS 7, B-9). */
#include "auth_rig.h"

#define OAUTH "oauth2(token: 'https://login.example.org/token', client_id: 'hub', client_secret: secret('s'))"
#define SECOND INT64_C(1000000)

/* Paused while the token is on its way: no attempt; it goes when an operator says so. */
static void test_B9_paused_while_the_login_goes_on(void **state) {
  (void)state;
  auth_rig r = {.delay_us = 3 * SECOND};
  auth_begin(&r, OAUTH, NULL);
  prog_submit(r.p, "M1", "1", "");
  prog_run_for(r.p, SECOND);
  assert_int_equal(r.logins, 1);
  assert_int_equal(engine_pause(r.p->e, "crm", true, "me", NULL, NULL), HDW_OK);
  prog_run_for(r.p, 10 * SECOND);
  assert_int_equal(r.calls, 0);
  assert_int_equal(prog_only_run(r.p).state, RUN_PARKED);
  assert_int_equal(r.p->e->conns[0]->places, 0);
  assert_int_equal(engine_pause(r.p->e, "crm", false, "me", NULL, NULL), HDW_OK);
  prog_run_for(r.p, 5 * SECOND);
  assert_int_equal(r.calls, 1);
  assert_int_equal(r.logins, 1);
  assert_int_equal(prog_only_run(r.p).state, RUN_DONE);
  prog_free(r.p);
}

/* The same between the answer 401 and the next try: the peer has not looked at the first one. */
static void test_B9_paused_while_a_refused_token_is_replaced(void **state) {
  (void)state;
  auth_rig r = {.delay_us = 3 * SECOND, .right = "t9"}; /* the next token that is given out is the right one */
  auth_begin(&r, OAUTH, NULL);
  r.logins = 8;
  prog_submit(r.p, "M1", "1", "");
  prog_run_for(r.p, 4 * SECOND);
  assert_int_equal(r.calls, 1); /* and it was right */
  snprintf(r.right, sizeof r.right, "other");
  prog_submit(r.p, "M2", "1", "");
  prog_run_for(r.p, SECOND);
  assert_int_equal(r.calls, 2);
  assert_int_equal(r.unauthorised, 1);
  assert_int_equal(engine_pause(r.p->e, "crm", true, "me", NULL, NULL), HDW_OK);
  prog_run_for(r.p, 10 * SECOND);
  assert_int_equal(r.calls, 2);
  assert_int_equal(engine_pause(r.p->e, "crm", false, "me", NULL, NULL), HDW_OK);
  prog_run_for(r.p, 10 * SECOND);
  assert_int_equal(r.calls, 3);
  prog_free(r.p);
}

/* A second request of one call goes on, but not while the peer wants to be left alone. */
static void test_B9_asked_to_wait_while_a_refused_token_is_replaced(void **state) {
  (void)state;
  auth_rig r = {.delay_us = 3 * SECOND, .right = "t1"};
  auth_begin(&r, OAUTH, NULL);
  prog_submit(r.p, "M1", "1", "");
  prog_run_for(r.p, 4 * SECOND);
  assert_int_equal(r.calls, 1);
  snprintf(r.right, sizeof r.right, "other");
  prog_submit(r.p, "M2", "1", "");
  prog_run_for(r.p, SECOND);
  assert_int_equal(r.calls, 2);
  eng_conn_asked(r.p->e->conns[0], 20 * SECOND);
  prog_run_for(r.p, 15 * SECOND);
  assert_int_equal(r.calls, 2);
  prog_run_for(r.p, 15 * SECOND);
  assert_int_equal(r.calls, 3);
  prog_free(r.p);
}

/* Its 401 comes late, and the token that others got meanwhile is worth nothing either: that one goes, too, and the call gets one of its own. */
static int late_calls;
static void late(io *x, uint64_t id, const io_http_req *q, void *user) {
  static const struct { int code; int64_t delay_us; } to[] = {{200, 1000}, {401, 3 * SECOND}, {401, 1000}, {200, 1000}, {401, 1000}, {200, 1000}};
  auth_rig *r = (auth_rig *)user;
  if (strcmp(q->host, "api.example.org") != 0) {
    auth_answer(x, id, q, user);
    return;
  }
  int i = late_calls++;
  for (unsigned k = 0; k < q->nheaders; k++)
    if (!strcasecmp(q->headers[k].name, "Authorization")) snprintf(r->last, sizeof r->last, "%s", q->headers[k].value);
  io_http_res res = {.sent = true, .code = i < 6 ? to[i].code : 200, .body = "{\"name\":\"x\"}", .body_len = 12, .error = ""};
  io_sim_http_reply(x, id, &res, i < 6 ? to[i].delay_us : 1000);
}

static void test_B9_a_refused_token_that_others_fetched_meanwhile(void **state) {
  (void)state;
  auth_rig r = {.delay_us = 100000};
  auth_begin(&r, OAUTH, NULL);
  late_calls = 0;
  io_sim_on_http(r.p->io, late, &r);
  prog_submit(r.p, "M1", "1", "");
  prog_run_for(r.p, SECOND);
  assert_int_equal(r.logins, 1);
  prog_submit(r.p, "M2", "1", ""); /* 401 in three seconds */
  prog_run_for(r.p, SECOND / 10);
  prog_submit(r.p, "M3", "1", ""); /* 401 at once: the second token */
  prog_run_for(r.p, SECOND);
  assert_int_equal(r.logins, 2);
  assert_int_equal(late_calls, 4);
  prog_run_for(r.p, 10 * SECOND); /* M2 with the second token: 401; with the third */
  assert_int_equal(late_calls, 6);
  assert_int_equal(r.logins, 3);
  assert_string_equal(r.last, "Bearer t3");
  store_counts c;
  store_get_counts(engine_store(r.p->e), &c);
  assert_int_equal(c.runs_by_state[RUN_DONE], 3);
  prog_free(r.p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_B9_a_refused_token_that_others_fetched_meanwhile), cmocka_unit_test(test_B9_paused_while_the_login_goes_on), cmocka_unit_test(test_B9_paused_while_a_refused_token_is_replaced),
                                     cmocka_unit_test(test_B9_asked_to_wait_while_a_refused_token_is_replaced)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
