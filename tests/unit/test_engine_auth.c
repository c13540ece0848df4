/* Logins that fetch tokens, on the simulated seam: one request for whoever waits, renewal, refusal, restart (PROTOCOLS 4, RELIABILITY T9). */
#include "auth_rig.h"

#define OAUTH "oauth2(token: 'https://login.example.org/token', client_id: 'hub 1', client_secret: secret('s'), scopes: ['a.read', 'b.write'])"

static void test_B9_one_request_for_a_thousand_runs(void **state) {
  (void)state;
  auth_rig r = {.delay_us = 800000};
  auth_prepare(&r, OAUTH, NULL);
  r.p->cfg.conns[0].o.in_flight = 1000;
  r.p->cfg.top.active_runs = 2000;
  assert_string_equal(auth_try(&r), "");
  auth_runs(&r, 500);
  prog_run_for(r.p, 20000000);
  auth_runs(&r, 500);
  prog_run_for(r.p, 20000000);
  assert_int_equal(r.logins, 1);
  assert_int_equal(r.calls, 1000);
  assert_string_equal(r.last, "Bearer t1");
  assert_string_equal(r.seen[0].host, "login.example.org:443");
  assert_string_equal(r.seen[0].body, "grant_type=client_credentials&scope=a.read%20b.write");
  assert_non_null(strstr(r.seen[0].headers, "Authorization: Basic aHViJTIwMTp0aGUlMkZzZWNyZXQlMkIx\n")); /* hub%201:the%2Fsecret%2B1 */
  assert_non_null(strstr(r.seen[0].headers, "Content-Type: application/x-www-form-urlencoded\n"));
  prog_free(r.p);
}

static void test_S12_the_secret_in_the_body_when_asked_for(void **state) {
  (void)state;
  auth_rig r = {.code = 0};
  auth_begin(&r, "oauth2(token: 'https://login.example.org/token?x=1', client_id: 'hub', client_secret: secret('s'), method: 'client_secret_post', audience: 'https://api', parameters: { realm: 'a&b' })", NULL);
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  assert_string_equal(r.seen[0].target, "/token?x=1");
  assert_string_equal(r.seen[0].body, "grant_type=client_credentials&audience=https%3A%2F%2Fapi&realm=a%26b&client_id=hub&client_secret=the%2Fsecret%2B1");
  assert_null(strstr(r.seen[0].headers, "Authorization"));
  assert_int_equal(r.calls, 1);
  prog_free(r.p);
}

static void test_B9_renewed_before_its_end_while_others_go_on(void **state) {
  (void)state;
  auth_rig r = {.life_s = 600};
  auth_begin(&r, OAUTH, NULL);
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  io_sim_advance(r.p->io, INT64_C(480000000)); /* 118 s are left */
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  assert_int_equal(r.logins, 1);
  io_sim_advance(r.p->io, INT64_C(70000000)); /* less than a tenth and what chance adds */
  r.delay_us = 5000000;
  auth_runs(&r, 1);
  prog_run_for(r.p, 1000000);
  assert_int_equal(r.logins, 2);
  assert_int_equal(r.calls, 3); /* with the old one: nobody waited */
  assert_string_equal(r.last, "Bearer t1");
  prog_run_for(r.p, 6000000);
  auth_runs(&r, 1);
  prog_run_for(r.p, 1000000);
  assert_string_equal(r.last, "Bearer t2");
  assert_int_equal(r.logins, 2);
  io_sim_advance(r.p->io, INT64_C(700000000)); /* over: everybody waits */
  auth_runs(&r, 1);
  prog_run_for(r.p, 8000000);
  assert_string_equal(r.last, "Bearer t3");
  assert_int_equal(r.calls, 5);
  prog_free(r.p);
}

static void test_B10_one_refresh_after_401_and_then_the_error(void **state) {
  (void)state;
  auth_rig r = {.right = "t1"};
  auth_begin(&r, OAUTH, NULL);
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  assert_int_equal(r.calls, 1);
  snprintf(r.right, sizeof r.right, "revoked"); /* the next one is right again */
  auth_runs(&r, 30);
  prog_run_for(r.p, 5000000);
  assert_string_equal(r.last, "Bearer t2");
  assert_int_equal(r.logins, 2); /* thirty refusals at once: the first drops the token, the others find another */
  assert_int_equal(r.calls - r.unauthorised, 31);
  r.right[0] = 'x', r.right[1] = 0;
  r.answer = "{\"access_token\":\"bad\",\"token_type\":\"bearer\"}";
  unsigned before = r.calls;
  auth_runs(&r, 1);
  prog_run_for(r.p, 5000000);
  assert_int_equal(r.calls, before + 2);
  store_run row = prog_the_run(r.p, 31);
  assert_int_equal(row.state, RUN_DEAD);
  assert_memory_equal(row.error_code.p, "401", 3);
  prog_free(r.p);
}

static void test_a_daemon_that_comes_back_uses_the_sealed_token(void **state) {
  (void)state;
  auth_rig r = {.life_s = 600};
  auth_begin(&r, OAUTH, NULL);
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  auth_restart(&r);
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  assert_int_equal(r.logins, 1);
  assert_string_equal(r.last, "Bearer t1");
  eng_login_state s;
  eng_login_look(r.p->e->conns[0], &s);
  assert_string_equal(s.state, "logged in");
  assert_true(s.until_us > io_wall_us(r.p->io) + INT64_C(580000000) && s.until_us < io_wall_us(r.p->io) + INT64_C(600000000));
  io_sim_advance(r.p->io, INT64_C(650000000));
  auth_restart(&r); /* it has ended meanwhile */
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  assert_int_equal(r.logins, 2);
  /* what is in the log tells nothing, and a store without its key asks again */
  cod_str v;
  uint8_t id[TOKEN_KEY];
  char name[33];
  memcpy(id, ((const eng_login *)r.p->e->conns[0]->login)->id, sizeof id);
  eng_hex(id, 16, name);
  assert_int_equal(store_get_named(r.p->e->store, cod_cstr("token"), cod_cstr(name), &r.p->a, &v), HDW_OK);
  assert_null(memmem(v.p, v.len, "t2", 2));
  engine_close(r.p->e);
  char path[100];
  snprintf(path, sizeof path, "%s/auth.key", r.p->dir);
  assert_int_equal(io_unlink(r.p->io, path), HDW_OK);
  assert_string_equal(auth_try(&r), "");
  auth_runs(&r, 1);
  prog_run_for(r.p, 2000000);
  assert_int_equal(r.logins, 3);
  assert_string_equal(r.last, "Bearer t3");
  prog_free(r.p);
}

static void test_a_sealed_token_that_was_touched_is_none(void **state) {
  (void)state;
  auth_rig r = {.life_s = 600};
  auth_begin(&r, OAUTH, NULL);
  engine *e = r.p->e;
  eng_seal s = {.ready = false};
  uint8_t out[64 + SEAL_OVERHEAD], back[64], again[64 + SEAL_OVERHEAD];
  assert_int_equal(eng_seal_put(e, &s, "name", "the token", 9, out), HDW_OK);
  assert_int_equal(eng_seal_put(e, &s, "name", "the token", 9, again), HDW_OK);
  assert_memory_not_equal(out, again, 9 + SEAL_OVERHEAD);
  assert_int_equal(eng_seal_get(e, &s, "name", out, 9 + SEAL_OVERHEAD, back), HDW_OK);
  assert_memory_equal(back, "the token", 9);
  assert_int_equal(eng_seal_get(e, &s, "other", out, 9 + SEAL_OVERHEAD, back), HDW_E_CORRUPT);
  for (size_t i = 0; i < 9 + SEAL_OVERHEAD; i++) {
    out[i] ^= 1;
    assert_int_equal(eng_seal_get(e, &s, "name", out, 9 + SEAL_OVERHEAD, back), HDW_E_CORRUPT);
    out[i] ^= 1;
    assert_int_equal(eng_seal_get(e, &s, "name", out, i, back), HDW_E_CORRUPT);
  }
  prog_free(r.p);
}

static store_run after_failure(auth_rig *r, int64_t us) {
  auth_begin(r, OAUTH, NULL);
  auth_runs(r, 1);
  prog_run_for(r->p, us);
  return prog_the_run(r->p, 0);
}

static void test_B11_refusals_are_told_without_secrets_and_wait(void **state) {
  (void)state;
  static const struct { int code; const char *answer, *says; } cases[] = {
      {401, "{\"error\":\"invalid_client\",\"error_description\":\"secret the/secret+1 of SMITH\"}", "HTTP 401 invalid_client: client id, secret or key"},
      {400, "{\"error\":\"invalid_scope\"}", "HTTP 400 invalid_scope: a scope is unknown there"},
      {400, "{\"error\":\"unauthorized_client\"}", "unauthorized_client: this client may not"},
      {400, "<html>the/secret+1</html>", "login at login.example.org: HTTP 400"},
      {403, "{\"error\":\"the/secret+1\"}", "HTTP 403"},
      {500, "", "HTTP 500"},
      {302, "", "it leads elsewhere"},
      {200, "{\"access_token\":\"x y\",\"token_type\":\"bearer\"}", "is not what can stand in a header"},
      {200, "{\"token_type\":\"bearer\"}", "holds no access_token"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    auth_rig r = {.code = cases[i].code, .answer = cases[i].answer};
    store_run row = after_failure(&r, 2000000);
    assert_int_equal(row.state, RUN_PARKED); /* not dead: it is for somebody to repair */
    assert_int_equal(r.calls, 0);
    eng_login_state s;
    eng_login_look(r.p->e->conns[0], &s);
    assert_string_equal(s.state, "cannot log in");
    const char *what = cases[i].says;
    if (!strstr(s.error, what)) fail_msg("%s", s.error);
    assert_null(strstr(s.error, "the/secret"));
    assert_null(strstr(r.p->e->conns[0]->last_error, "SMITH"));
    assert_null(strstr(r.p->e->conns[0]->last_error, "the/secret"));
    r.code = 0, r.answer = NULL;
    prog_run_for(r.p, 120000000);
    assert_int_equal(prog_the_run(r.p, 0).state, RUN_DONE);
    assert_int_equal(r.calls, 1);
    prog_free(r.p);
  }
}

static void test_X7_a_login_server_that_is_away_is_asked_seldom(void **state) {
  (void)state;
  auth_rig r = {.gone = HDW_E_IO};
  auth_begin(&r, OAUTH, NULL);
  auth_runs(&r, 200);
  prog_run_for(r.p, 60000000);
  assert_true(r.logins >= 3 && r.logins <= 40);
  assert_int_equal(r.calls, 0);
  r.gone = 0;
  prog_run_for(r.p, 240000000);
  assert_int_equal(r.calls, 200);
  for (unsigned i = 0; i < 200; i++) assert_int_equal(prog_the_run(r.p, i).state, RUN_DONE);
  prog_free(r.p);
  auth_rig busy = {.code = 503, .retry_after = "90"};
  auth_begin(&busy, OAUTH, NULL);
  auth_runs(&busy, 5);
  prog_run_for(busy.p, 80000000);
  assert_int_equal(busy.logins, 1); /* it said when */
  busy.code = 0;
  prog_run_for(busy.p, 60000000);
  assert_int_equal(busy.calls, 5);
  prog_free(busy.p);
}

static void test_an_early_renewal_that_fails_hurts_nobody(void **state) {
  (void)state;
  auth_rig r = {.life_s = 600};
  auth_begin(&r, OAUTH, NULL);
  auth_runs(&r, 1);
  prog_run_for(r.p, 1000000);
  io_sim_advance(r.p->io, INT64_C(560000000));
  r.code = 500;
  for (unsigned i = 0; i < 10; i++) {
    auth_runs(&r, 1);
    prog_run_for(r.p, 1000000);
  }
  assert_int_equal(r.calls, 11);
  assert_true(r.logins > 2 && r.logins < 9);
  prog_free(r.p);
}

static void test_S14_how_long_a_token_lives(void **state) {
  (void)state;
  static const struct { const char *life; int64_t us; } cases[] = {
      {"3600", 3600000000}, {"\"3600\"", 3600000000}, {"1", 1000000}, {"59.9", 59000000}, {"1e3", 1000000000}, {"86401", 86400000000}, {"999999999999", 86400000000},
      {"0", 0}, {"-1", 0}, {"\"-5\"", 0}, {"\"\"", 0}, {"\"1h\"", 0}, {"0.5", 0}, {"1e400", 0}, {"true", 0}, {"[1]", 0}, {"{}", 0}, {"\"99999999999999999999\"", 0}};
  test_mem m;
  arena a;
  test_mem_init(&m);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[200];
    token_answer t;
    const char *why;
    int n = snprintf(text, sizeof text, "{\"access_token\":\"x\",\"token_type\":\"bEaReR\",\"expires_in\":%s}", cases[i].life);
    arena_init(&a, &m.m, 0);
    hdw_status s = token_read(&m.m, &a, text, (size_t)n, &t, &why);
    if (s != (cases[i].us ? HDW_OK : HDW_E_DATA)) fail_msg("%s", text);
    if (!s) assert_int_equal(t.life_us, cases[i].us);
    arena_free(&a);
  }
  assert_int_equal(m.live_bytes, 0);
}

static void test_what_cannot_be_configured(void **state) {
  (void)state;
  auth_refused("oauth2(token: 'http://login.example.org/token', client_id: 'x', client_secret: secret('s'))", NULL, "is not https");
  auth_refused("oauth2(token: 'https://127.0.0.1/token', client_id: 'x', client_secret: secret('s'))", NULL, "grant.networks does not allow it");
  auth_refused("oauth2(token: 'https://169.254.169.254/token', client_id: 'x', client_secret: secret('s'))", NULL, "grant.networks does not allow it");
  auth_refused("oauth2(token: 'login', client_id: 'x', client_secret: secret('s'))", NULL, "is no URL");
  auth_refused("oauth2(token: 'https://l.example.org/t', client_id: '', client_secret: secret('s'))", NULL, "client_id is missing");
  auth_refused("oauth2(token: 'https://l.example.org/t', client_id: 'x')", NULL, "client_secret is missing");
  auth_refused("oauth2(token: 'https://l.example.org/t', client_id: 'x', client_secret: secret('other'))", NULL, "secret is not available");
  auth_refused("oauth2(token: 'https://l.example.org/t', client_id: 'x', client_secret: secret('s'))", "long secret\r\nX: y", "control character");
  auth_refused("oauth2(token: 'https://l.example.org/t', client_id: 'x', client_secret: secret('s'), method: 'tls_client_auth')", NULL, "needs tls.cert and tls.key");
  auth_refused("oauth2(token: 'https://l.example.org/t', client_id: 'x', client_secret: secret('s'), scopes: ['a b'])", NULL, "is no scope");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_B9_one_request_for_a_thousand_runs),
      cmocka_unit_test(test_S12_the_secret_in_the_body_when_asked_for),
      cmocka_unit_test(test_B9_renewed_before_its_end_while_others_go_on),
      cmocka_unit_test(test_B10_one_refresh_after_401_and_then_the_error),
      cmocka_unit_test(test_a_daemon_that_comes_back_uses_the_sealed_token),
      cmocka_unit_test(test_a_sealed_token_that_was_touched_is_none),
      cmocka_unit_test(test_B11_refusals_are_told_without_secrets_and_wait),
      cmocka_unit_test(test_X7_a_login_server_that_is_away_is_asked_seldom),
      cmocka_unit_test(test_an_early_renewal_that_fails_hurts_nobody),
      cmocka_unit_test(test_S14_how_long_a_token_lives),
      cmocka_unit_test(test_what_cannot_be_configured),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
