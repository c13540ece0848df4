/* Requests as peers really write them, and as none should: what of query, headers, types, keys and traces reaches the program, and what is refused before it does. */
#include "ack_rig.h"

static const char edge_program[] =
    "hdw 1\n"
    "listener adt = mllp()\n"
    "listener web = http()\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "workflow api on req = web.post('/api') { send crm.post('/z', body: { q: req.query, h: req.headers, b: req.body }) }\n"
    "workflow other on req = web.put('/api') { send crm.post('/z', body: { put: true }) }\n"
    "workflow gone on req = web.delete('/api') { send crm.post('/z', body: { put: true }) }\n"
    "workflow got on req = web.get('/got') { send crm.post('/z', body: { m: req.method }) }\n"
    "workflow both on msg = web.message('/both', types: ['ADT^A01']) { send crm.post('/z', body: { hl7: true }) }\n"
    "workflow plain on req = web.post('/both') { send crm.post('/z', body: { hl7: false }) }\n"
    "workflow bad on req = web.post('/bad') { reject('AR', 'never') }\n"
    "workflow later on req = web.post('/later') { reject('AE', 'locked') }\n";

#define HL7 "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|M1|P|2.5.1\rPID|1||1||SMITH^JOHN\r"

static const char *request(ackrig *x, const char *line, const char *headers, const char *body) {
  peer *p = ack_connect(x, 8080);
  size_t n = strlen(body), cap = n + strlen(line) + strlen(headers) + 200;
  char *t = (char *)calloc(1, cap);
  int len = snprintf(t, cap, "%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n%s\r\n%s", line, n, headers, body);
  const char *got = ack_say_for(x, p, t, (size_t)len, 400000);
  free(t);
  ack_hang_up(p);
  return got;
}
static int status(const char *answer) { return strlen(answer) > 12 ? atoi(answer + 9) : 0; }

/* What the program's request body said of the last one. */
static const char *heard(ackrig *x) {
  unsigned before = x->calls;
  prog_run_for(x->p, 1000000);
  return x->calls ? x->bodies[(x->calls - 1) % 64] : before ? "" : "";
}

static void test_query_parameters_as_they_come(void **state) {
  (void)state;
  static const struct { const char *query, *want; } t[] = {
      {"", "\"q\":{}"},
      {"?a=1&b=2", "\"q\":{\"a\":\"1\",\"b\":\"2\"}"},
      {"?a=1&b=x&a=2&a=3&a=4&a=5", "\"q\":{\"a\":[\"1\",\"2\",\"3\",\"4\",\"5\"],\"b\":\"x\"}"},
      {"?a&b=&=c", "\"q\":{\"a\":\"\",\"b\":\"\"}"}, /* without a value; without a name: none */
      {"?a=x%20y+z&%62=1", "\"q\":{\"a\":\"x y z\",\"b\":\"1\"}"},
      {"?a=%00&b=1", "\"q\":{\"b\":\"1\"}"},       /* no text: left out */
      {"?&&a=1&", "\"q\":{\"a\":\"1\"}"},
      {"?ab=1&a=2", "\"q\":{\"ab\":\"1\",\"a\":\"2\"}"}};
  ackrig *x = ack_new(edge_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char line[100];
    snprintf(line, sizeof line, "POST /api%s", t[i].query);
    int got = status(request(x, line, "", ""));
    const char *said = heard(x);
    if (got != 202 || !strstr(said, t[i].want)) fail_msg("%s: %d %s", t[i].query, got, said);
  }
  /* Thousands of them: no more than a thousand are kept, the request is taken. */
  char *line = (char *)calloc(1, 8000);
  size_t n = (size_t)snprintf(line, 100, "POST /api?a=1");
  for (int i = 0; i < 1100; i++) n += (size_t)snprintf(line + n, 8000 - n, "&b%x", (unsigned)i);
  assert_int_equal(status(request(x, line, "", "")), 202);
  assert_non_null(strstr(heard(x), "\"q\":{\"a\":\"1\",\"b0\":\"\","));
  free(line);
  ack_free(x);
}

static void test_headers_without_credentials(void **state) {
  (void)state;
  ackrig *x = ack_new(edge_program, "", "");
  assert_int_equal(status(request(x, "POST /api", "X-One: 1\r\nx-one: 2\r\nCookie: secret\r\nAuthorization: Basic c2VjcmV0\r\nProxy-Authorization: secret\r\nZed: z\r\n", "")), 202);
  const char *said = heard(x);
  assert_non_null(strstr(said, "\"x-one\":\"1, 2\""));
  assert_non_null(strstr(said, "\"zed\":\"z\""));
  assert_null(strstr(said, "secret"));
  assert_null(strstr(said, "c2VjcmV0"));
  ack_free(x);
}

static void test_bodies_and_verdicts(void **state) {
  (void)state;
  static const char *const t[] = { /* request > type > body > status */
      "POST /api > application/json > {\"a\":1} > 202",
      "POST /api > application/fhir+json; charset=utf-8 > {\"a\":1} > 202",
      "POST /api > application/json > {\"a\": > 400",
      "POST /api > application/json >  > 202",
      "POST /api > text/plain > {\"a\": > 202",
      "POST /api >  > no type > 202",
      "POST /bad >  > x > 422",
      "POST /later >  > x > 503",
      "GET /got >  >  > 202",
      "POST /nothing >  > x > 404",
      "POST /%zz >  > x > 400",
      "POST /a%00pi >  > x > 400",
      "POST /both > application/hl7-v2 >  > 400",
      "POST /both > application/hl7-v2 > BHS|^~\\&|A|B|C|D|2026\r" HL7 "BTS|1\r > 200",
      "POST /both > application/hl7-v2 > " HL7 " > 200", /* the message's workflow goes before the request's */
  };
  ackrig *x = ack_new(edge_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char row[1024], type[100] = "";
    const char *v[4];
    test_cells(t[i], row, v, 4);
    if (v[1][0]) snprintf(type, sizeof type, "Content-Type: %s\r\n", v[1]);
    const char *answer = request(x, v[0], type, v[2]);
    if (status(answer) != atoi(v[3])) fail_msg("%s: %s", t[i], answer);
  }
  const char *got = request(x, "GET /api", "", "");
  assert_int_equal(status(got), 405);
  assert_non_null(strstr(got, "\r\nAllow: POST, PUT, DELETE\r\n"));
  got = request(x, "POST /later", "", "x");
  assert_non_null(strstr(got, "\r\nRetry-After: 5\r\n"));
  assert_non_null(strstr(got, "locked"));
  ack_free(x);
}

static void test_H46_H48_types_as_they_are_written(void **state) {
  (void)state;
  char many[300];
  memset(many, 'x', sizeof many);
  snprintf(many + 200, 100, "; charset=utf-8");
  memcpy(many, "application/hl7-v2; p=", 22);
  const struct { const char *type; int status; } t[] = {{"application/hl7-v2\t ;\tcharset=\"UTF-8\"", 200}, {"application/hl7-v2;", 200}, {"application/hl7-v2; ", 200}, {"application/hl7-v2;charset=", 200},
                                                        {"application/hl7-v2;;charset=utf-8;", 200}, {"application/hl7-v2; charset= utf-8\t", 200}, {many, 200},
                                                        {"application/hl7-v2; charset=utf-8-and-a-name-that-is-longer-than-any-character-set-has", 415}, {";", 415}, {" ", 415}};
  ackrig *x = ack_new(edge_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char h[400];
    snprintf(h, sizeof h, "Content-Type: %s\r\n", t[i].type);
    const char *got = request(x, "POST /both", h, HL7);
    if (status(got) != t[i].status) fail_msg("%s: %s", t[i].type, got);
  }
  ack_free(x);
}

static void test_idempotency_keys(void **state) {
  (void)state;
  char h[400], key[300];
  memset(key, 'k', sizeof key);
  ackrig *x = ack_new(edge_program, "", "");
  for (int len = 255; len <= 256; len++) {
    snprintf(h, sizeof h, "Idempotency-Key: %.*s\r\n", len, key);
    const char *first = request(x, "POST /api", h, "x"), *again = request(x, "POST /api", h, "x");
    assert_int_equal(status(first), len == 255 ? 202 : 400); /* one that were ignored would not protect */
    assert_int_equal(status(again), len == 255 ? 202 : 400);
  }
  assert_int_equal(ack_stored(x), 1);
  assert_int_equal(status(request(x, "POST /api", "Idempotency-Key: \r\n", "x")), 202); /* empty: none */
  assert_int_equal(status(request(x, "POST /api", "Idempotency-Key: \r\n", "x")), 202);
  assert_int_equal(ack_stored(x), 3);
  /* The same key with another body: a conflict is warned of, or refused where the listener says so. */
  assert_int_equal(status(request(x, "POST /api", "Idempotency-Key: one\r\n", "x")), 202);
  assert_int_equal(status(request(x, "POST /api", "Idempotency-Key: one\r\n", "y")), 202);
  assert_int_equal(ack_stored(x), 5);
  ack_free(x);
  x = ack_new(edge_program, "", "\"conflict\":\"reject\"");
  assert_int_equal(status(request(x, "POST /api", "Idempotency-Key: one\r\n", "x")), 202);
  assert_int_equal(status(request(x, "POST /api", "Idempotency-Key: one\r\n", "y")), 409);
  assert_int_equal(ack_stored(x), 1);
  ack_free(x);
}

static void test_traces_are_kept_with_the_input(void **state) {
  (void)state;
  static const struct { const char *header; size_t len; } t[] = {{"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", 25}, {"traceparent: 00-nonsense\r\n", 0}, {"", 0}};
  ackrig *x = ack_new(edge_program, "", "");
  for (unsigned i = 0; i < 3; i++) {
    store_input in;
    char id[40];
    const char *got = request(x, "POST /api", t[i].header, "x");
    assert_int_equal(status(got), 202);
    assert_int_equal(sscanf(strstr(got, "{\"id\":\""), "{\"id\":\"%39[0-9]", id), 1);
    assert_int_equal(store_get_input(engine_store(x->p->e), 0, strtoull(id, NULL, 10), &x->p->a, &in), HDW_OK);
    assert_int_equal(in.trace.len > 0, t[i].len > 0);
  }
  ack_free(x);
}

/* B-13: keys are served where the listener says so, to anybody, by GET alone. */
static void test_B13_public_keys_are_served_without_a_login(void **state) {
  (void)state;
  ackrig *x = ack_new(edge_program, "", "\"jwks\":\"/jwks.json\",\"bearer\":[\"app=tok1\"]");
  const char *got = request(x, "GET /jwks.json", "", "");
  assert_int_equal(status(got), 200);
  assert_non_null(strstr(got, "Cache-Control: max-age=300"));
  assert_non_null(strstr(got, "{\"keys\":["));
  assert_int_equal(status(request(x, "POST /jwks.json", "", "")), 401);
  assert_int_equal(status(request(x, "GET /jwks.jsox", "", "")), 401);
  got = request(x, "GET /jwks.json2", "", "");
  assert_int_equal(status(got), 401);
  assert_non_null(strstr(got, "WWW-Authenticate: Bearer\r\n"));
  ack_free(x);
}

/* A sender that hangs up before its answer, and a listener that closes meanwhile: the message is stored once, and nothing is written to nobody. */
static void test_an_answer_that_nobody_waits_for(void **state) {
  (void)state;
  ackrig *x = ack_new(edge_program, "", "");
  peer *p = ack_connect(x, 8080);
  peer_say(p, "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 52);
  io_sim_advance(x->p->io, 300);
  ack_hang_up(p);
  prog_run_for(x->p, 1000000);
  assert_true(ack_stored(x) <= 1);
  assert_int_equal(status(request(x, "POST /api", "", "y")), 202);
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_query_parameters_as_they_come),
      cmocka_unit_test(test_headers_without_credentials),
      cmocka_unit_test(test_bodies_and_verdicts),
      cmocka_unit_test(test_H46_H48_types_as_they_are_written),
      cmocka_unit_test(test_idempotency_keys),
      cmocka_unit_test(test_traces_are_kept_with_the_input),
      cmocka_unit_test(test_B13_public_keys_are_served_without_a_login),
      cmocka_unit_test(test_an_answer_that_nobody_waits_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
