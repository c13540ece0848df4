/* The REST driver at the seam: what a redirect to another origin takes along, and what it does not. */
#include "prog_rig.h"
#include "engine_int.h"

enum { MAX_SEEN = 8 };
typedef struct seen {
  unsigned n;
  struct { char url[200], headers[600]; bool identity; } v[MAX_SEEN];
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

static prog *begin(seen *s) {
  prog *p = prog_new(program, NULL, NULL, 0);
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
      cmocka_unit_test(test_X8_a_redirect_to_another_origin_takes_no_credentials_along),
      cmocka_unit_test(test_X8_credentials_do_not_come_back_on_a_later_hop),
      cmocka_unit_test(test_X8_a_redirect_within_the_origin_keeps_them),
      cmocka_unit_test(test_X8_https_does_not_become_http_and_hops_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
