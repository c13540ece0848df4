/* The REST driver at the seam: what a request holds; what a redirect to another origin takes along, and what it does not. */
#include "http_rig.h"

/* Locations of the first answers; then the resource. */
typedef struct hops { const char *to[8]; } hops;

static reply answer(world *w, const io_http_req *q) {
  const hops *h = (const hops *)w->user;
  (void)q;
  assert_true(w->n <= 8);
  const char *to = h ? h->to[w->n - 1] : NULL;
  return (reply){to ? 302 : 200, "{\"name\":\"x\"}", to ? "Location" : NULL, to};
}

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'https://crm.example.org/api', auth: bearer(secret('key')), retry: retry(0))\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step r = crm.get('/start', headers: { 'X-Tenant': 'north' })\n  return { name: r.name }\n}\n";

static void with_identity(world *w, config *cfg) {
  (void)w;
  cfg->conns[0].o.redirects = 3;
  cfg->conns[0].has_tls = true; /* a client certificate of its own */
  cfg->conns[0].cert_pem = "cert", cfg->conns[0].key_pem = "key";
}
static prog *begin_with(world *w, const char *text) {
  w->on = answer, w->type = "application/json", w->configure = with_identity;
  prog *p = world_begin(w, text);
  prog_submit(p, "M1", "1", "");
  prog_run_for(p, 2000000);
  return p;
}

static prog *begin(world *w, hops *to) {
  w->user = to;
  return begin_with(w, program);
}

/* A request says what the program says, or it is not made: left out or cut off, a parameter, a condition or a body would be another request. */
static void test_nothing_is_left_out_of_a_request(void **state) {
  (void)state;
  static const struct { const char *call, *url, *body; size_t body_len; } good[] = {
      {"crm.get('/p', query: { a: ['x', 'y'], b: 1.50, c: {} })", "https://crm.example.org:443/api/p?a=x&a=y&b=1.50", "", 0},
      {"crm.get('/p', query: { a: 'x\\u0000y' })", "https://crm.example.org:443/api/p?a=x%00y", "", 0},
      {"crm.post('/p', body: 'x\\u0000y')", "https://crm.example.org:443/api/p", "x\0y", 3},
  };
  static const char *const bad[] = {"crm.get('/p', query: { a: { b: 1 } })", "crm.get('/p', query: { a: ['x', { b: 1 }] })", "crm.post('/p', body: { a: 1 }, if_none_exist: { b: 1 })",
                                    "crm.put('/p', body: { a: 1 }, if_match: 'W/\\u00001')", "crm.post('/p', body: { a: { b: 1 } }, headers: { 'Content-Type': 'application/x-www-form-urlencoded' })",
                                    "crm.get('/p\\u0000q')", "crm.get('/p', headers: { 'X-A': 'b\\u0000c' })"};
  char text[800];
  for (size_t i = 0; i < sizeof good / sizeof *good + sizeof bad / sizeof *bad; i++) {
    bool fine = i < sizeof good / sizeof *good;
    const char *call = fine ? good[i].call : bad[i - sizeof good / sizeof *good];
    world s = {.n = 0};
    snprintf(text, sizeof text, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'https://crm.example.org/api', auth: bearer(secret('key')), retry: retry(0))\n"
             "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step r = %s\n  return { name: r.name }\n}\n", call);
    prog *p = begin_with(&s, text);
    store_run r = prog_the_run(p, 0);
    if (r.state != (fine ? RUN_DONE : RUN_DEAD) || s.n != fine) fail_msg("%s: state %d, %u requests, %.*s", call, r.state, s.n, (int)r.reason.len, r.reason.p);
    if (fine) {
      assert_string_equal(s.v[0].url, good[i].url);
      assert_int_equal(s.v[0].body_len, good[i].body_len);
      assert_memory_equal(s.v[0].body, good[i].body, good[i].body_len);
    } else assert_int_equal(r.fail_class, FAIL_DATA);
    prog_free(p);
  }
}

static void test_X8_a_redirect_to_another_origin_takes_no_credentials_along(void **state) {
  (void)state;
  world s = {.n = 0};
  prog *p = begin(&s, &(hops){.to = {"https://files.example.net/there"}});
  assert_int_equal(prog_the_run(p, 0).state, RUN_DONE);
  assert_int_equal(s.n, 2);
  assert_string_equal(s.v[0].url, "https://crm.example.org:443/api/start");
  assert_non_null(strstr(s.v[0].headers, "the-token"));
  assert_non_null(strstr(s.v[0].headers, "X-Tenant: north"));
  assert_true(s.v[0].identity);
  assert_string_equal(s.v[1].url, "https://files.example.net:443/there");
  assert_null(strstr(s.v[1].headers, "the-token"));
  assert_null(strstr(s.v[1].headers, "X-Tenant"));
  assert_null(strcasestr(s.v[1].headers, "Authorization"));
  assert_null(strcasestr(s.v[1].headers, "Idempotency"));
  assert_false(s.v[1].identity); /* nor the client certificate */
  prog_free(p);
}

/* Once given up they stay so: the way back to the first origin could be the other one's trick. */
static void test_X8_credentials_do_not_come_back_on_a_later_hop(void **state) {
  (void)state;
  world s = {.n = 0};
  prog *p = begin(&s, &(hops){.to = {"https://files.example.net/there", "https://crm.example.org/api/back"}});
  assert_int_equal(s.n, 3);
  assert_string_equal(s.v[2].url, "https://crm.example.org:443/api/back");
  assert_null(strstr(s.v[2].headers, "the-token"));
  assert_false(s.v[2].identity);
  prog_free(p);
}

static void test_X8_a_redirect_within_the_origin_keeps_them(void **state) {
  (void)state;
  world s = {.n = 0};
  prog *p = begin(&s, &(hops){.to = {"/api/other"}});
  assert_int_equal(s.n, 2);
  assert_string_equal(s.v[1].url, "https://crm.example.org:443/api/other");
  assert_non_null(strstr(s.v[1].headers, "the-token"));
  assert_true(s.v[1].identity);
  prog_free(p);
}

static void test_X8_https_does_not_become_http_and_hops_end(void **state) {
  (void)state;
  world s = {.n = 0};
  prog *p = begin(&s, &(hops){.to = {"http://crm.example.org/api/plain"}});
  assert_int_equal(s.n, 1);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  prog_free(p);
  world loop = {.n = 0};
  p = begin(&loop, &(hops){.to = {"/api/start", "/api/start", "/api/start", "/api/start", "/api/start"}});
  assert_int_equal(loop.n, 4); /* the first and three hops */
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_is_left_out_of_a_request),
      cmocka_unit_test(test_X8_a_redirect_to_another_origin_takes_no_credentials_along),
      cmocka_unit_test(test_X8_credentials_do_not_come_back_on_a_later_hop),
      cmocka_unit_test(test_X8_a_redirect_within_the_origin_keeps_them),
      cmocka_unit_test(test_X8_https_does_not_become_http_and_hops_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
