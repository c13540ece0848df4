/* The REST driver at the seam: what a request holds; what a redirect to another origin takes along, and what it does not. */
#include "prog_rig.h"
#include "engine_int.h"

enum { MAX_SEEN = 8 };
typedef struct seen {
  unsigned n;
  struct { char url[200], headers[600], body[64]; size_t body_len; bool identity; } v[MAX_SEEN];
  const char *to[MAX_SEEN];  /* Location of the nth answer; NULL = 200 */
} seen;

static void answer(io *x, uint64_t id, const io_http_req *q, void *user) {
  seen *s = (seen *)user;
  assert_true(s->n < MAX_SEEN);
  unsigned i = s->n++;
  snprintf(s->v[i].url, sizeof s->v[i].url, "%s://%s:%u%s", q->https ? "https" : "http", q->host, q->port, q->target);
  for (unsigned k = 0; k < q->nheaders; k++) {
    size_t at = strlen(s->v[i].headers);
    snprintf(s->v[i].headers + at, sizeof s->v[i].headers - at, "%s: %s\n", q->headers[k].name, q->headers[k].value);
  }
  s->v[i].identity = q->tls != NULL;
  s->v[i].body_len = q->body_len;
  memcpy(s->v[i].body, q->body_len ? q->body : "", q->body_len < sizeof s->v[i].body ? q->body_len : sizeof s->v[i].body);
  io_http_header h[] = {{"Content-Type", "application/json"}, {"Location", s->to[i]}};
  io_http_res r = {.sent = true, .code = s->to[i] ? 302 : 200, .headers = h, .nheaders = s->to[i] ? 2 : 1, .body = "{\"name\":\"x\"}", .body_len = 12, .error = ""};
  io_sim_http_reply(x, id, &r, 0);
}

static unsigned resolve(const char *host, io_addr *out, unsigned cap, void *user) {
  (void)host, (void)user;
  return cap && !io_addr_parse("93.184.216.34:443", &out[0]) ? 1 : 0;
}

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'https://crm.example.org/api', auth: bearer(secret('crm')), retry: retry(0))\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step r = crm.get('/start', headers: { 'X-Tenant': 'north' })\n  return { name: r.name }\n}\n";

static prog *begin_with(seen *s, const char *text_of_program) {
  prog *p = prog_new(text_of_program, NULL, NULL, 0);
  engine_close(p->e); /* again, with drivers in the place of mocks */
  io_sim_on_http(p->io, answer, s);
  io_sim_on_resolve(p->io, resolve, NULL);
  static config_secret secret = {.name = "crm", .file = "crm", .value = "the-token", .value_len = 9};
  p->cfg.secrets = &secret, p->cfg.nsecrets = 1;
  p->cfg.conns[0].o.redirects = 3;
  p->cfg.conns[0].has_tls = true; /* a client certificate of its own */
  p->cfg.conns[0].cert_pem = "cert", p->cfg.conns[0].key_pem = "key";
  engine_opts o = {.dir = p->dir, .config = &p->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .drivers = engine_drivers()};
  char text[200];
  mod_error err;
  assert_int_equal(engine_open(p->io, &o, &p->e, text), HDW_OK);
  assert_int_equal(engine_load(p->e, "test.hdwb", p->mod, p->mod_len, &err), HDW_OK);
  if (engine_start(p->e, text)) fail_msg("%s", text);
  prog_submit(p, "M1", "1", "");
  prog_run_for(p, 2000000);
  return p;
}

static prog *begin(seen *s) { return begin_with(s, program); }

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
    seen s = {.n = 0};
    snprintf(text, sizeof text, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'https://crm.example.org/api', auth: bearer(secret('crm')), retry: retry(0))\n"
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
  seen s = {.to = {"https://files.example.net/there"}};
  prog *p = begin(&s);
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
  seen s = {.to = {"https://files.example.net/there", "https://crm.example.org/api/back"}};
  prog *p = begin(&s);
  assert_int_equal(s.n, 3);
  assert_string_equal(s.v[2].url, "https://crm.example.org:443/api/back");
  assert_null(strstr(s.v[2].headers, "the-token"));
  assert_false(s.v[2].identity);
  prog_free(p);
}

static void test_X8_a_redirect_within_the_origin_keeps_them(void **state) {
  (void)state;
  seen s = {.to = {"/api/other"}};
  prog *p = begin(&s);
  assert_int_equal(s.n, 2);
  assert_string_equal(s.v[1].url, "https://crm.example.org:443/api/other");
  assert_non_null(strstr(s.v[1].headers, "the-token"));
  assert_true(s.v[1].identity);
  prog_free(p);
}

static void test_X8_https_does_not_become_http_and_hops_end(void **state) {
  (void)state;
  seen s = {.to = {"http://crm.example.org/api/plain"}};
  prog *p = begin(&s);
  assert_int_equal(s.n, 1);
  assert_int_equal(prog_the_run(p, 0).state, RUN_DEAD);
  prog_free(p);
  seen loop = {.to = {"/api/start", "/api/start", "/api/start", "/api/start", "/api/start"}};
  p = begin(&loop);
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
