/* HL7 over HTTP and API requests, byte for byte (H-46 .. H-53). */
#include <zlib.h>
#include "ack_rig.h"

#define HL7(id, pid3, rest) "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|" id "|P|2.5.1" rest "\rPID|1||" pid3 "||SMITH^JOHN\r"

/* One request with these header lines; gives the whole answer. */
static const char *request(ackrig *x, const char *line, const char *headers, const void *body, size_t n) {
  peer *p = ack_connect(x, 8080);
  char *t = (char *)calloc(1, n + 2000);
  int len = snprintf(t, 2000, "%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n%s\r\n", line, n, headers);
  if (n) memcpy(t + len, body, n);
  const char *got = ack_say_for(x, p, t, (size_t)len + n, 400000);
  free(t);
  ack_hang_up(p);
  return got;
}
static const char *post(ackrig *x, const char *type, const char *body) {
  char h[300];
  snprintf(h, sizeof h, "Content-Type: %s\r\n", type);
  return request(x, "POST /hl7", h, body, strlen(body));
}
static int status(const char *answer) { return strlen(answer) > 12 ? atoi(answer + 9) : 0; }
static const char *header(ackrig *x, const char *answer, const char *name) {
  char n[60];
  snprintf(n, sizeof n, "\r\n%s: ", name);
  const char *at = strcasestr(answer, n), *end = at ? strstr(at + 2, "\r\n") : NULL;
  return at ? arena_dup(&x->p->a, at + strlen(n), (size_t)(end - at) - strlen(n)) : "";
}

static void test_H46_H47_types_and_their_spelling_in_the_answer(void **state) {
  (void)state;
  static const struct { const char *type; int status; } t[] = {
      {"application/hl7-v2", 200}, {"application/hl7-v2+er7", 200}, {"x-application/hl7-v2+er7", 200}, {"X-Application/HL7-V2", 200}, {"application/hl7-v2; charset=UTF-8", 200},
      {"application/hl7-v2+er7 ; charset=\"utf-8\"; x=y", 200}, {"application/hl7-v2+xml", 415}, {"text/plain", 415}, {"application/json", 415}, {"application/hl7-v2x", 415},
      {"application/hl7-v2; charset=klingon", 415}, {"", 415}};
  ackrig *x = ack_new(ack_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    const char *got = post(x, t[i].type, HL7("M1", "1", ""));
    if (status(got) != t[i].status) fail_msg("%s: %s", t[i].type, got);
    if (t[i].status == 200) {
      assert_string_equal(header(x, got, "Content-Type"), t[i].type);
      assert_non_null(strstr(got, "MSA|AA|M1\r"));
    } else assert_string_equal(header(x, got, "Content-Type"), "application/problem+json");
    assert_true(header(x, got, "Date")[0]); /* H-50 */
  }
  assert_int_equal(ack_stored(x), 1); /* H-53: resends, though in other clothes */
  ack_free(x);
  x = ack_new(ack_program, "", "\"plain_text\":true");
  assert_int_equal(status(post(x, "text/plain", HL7("M1", "1", ""))), 200);
  ack_free(x);
}

static void test_H48_the_charset_of_the_content_type_wins(void **state) {
  (void)state;
  static const struct { const char *type, *body, *name; } t[] = {
      {"application/hl7-v2; charset=utf-8", "MSH|^~\\&|A|B|C|D|2026||ADT^A01|M1|P|2.5.1||||||8859/1\rPID|1||1||J\xC3\xB6rg\r", "J\xC3\xB6rg"},
      {"application/hl7-v2; charset=\"ISO-8859-1\"", "MSH|^~\\&|A|B|C|D|2026||ADT^A01|M2|P|2.5.1||||||UNICODE UTF-8\rPID|1||1||J\xF6rg\r", "J\xC3\xB6rg"},
      {"application/hl7-v2", "MSH|^~\\&|A|B|C|D|2026||ADT^A01|M3|P|2.5.1||||||8859/1\rPID|1||1||J\xF6rg\r", "J\xC3\xB6rg"}};
  ackrig *x = ack_new(ack_program, "", "");
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(status(post(x, t[i].type, t[i].body)), 200);
    prog_run_for(x->p, 1000000);
    assert_int_equal(x->calls, i + 1);
    assert_non_null(strstr(x->bodies[i], t[i].name)); /* in the run too, which reads the stored bytes again */
  }
  ack_free(x);
}

static void test_H49_status_codes(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "\"max_frame_bytes\":2000");
  const char *h = "Content-Type: application/hl7-v2\r\n", *m = HL7("M1", "E", "");
  const char *got = request(x, "POST /hl7", h, m, strlen(m));
  assert_int_equal(status(got), 200); /* AE is an answer */
  assert_non_null(strstr(got, "MSA|AE|M1|no such patient here"));
  got = request(x, "POST /hl7", h, "hello", 5);
  assert_int_equal(status(got), 400);
  assert_string_equal(header(x, got, "Content-Type"), "application/problem+json");
  m = "MSH|^~\\&|LAB|HOSP|HUB|HUB|2026||ORU^R01|M2|P|2.5.1\rPID|1||1\r";
  got = request(x, "POST /hl7", h, m, strlen(m));
  assert_int_equal(status(got), 200); /* H-51: no match */
  assert_non_null(strstr(got, "MSA|AR|M2"));
  assert_non_null(strstr(got, "|200^"));
  assert_int_equal(status(request(x, "POST /nowhere", h, m, strlen(m))), 404);
  got = request(x, "GET /hl7", "", "", 0);
  assert_int_equal(status(got), 405);
  assert_string_equal(header(x, got, "Allow"), "POST");
  char big[3000];
  memset(big, 'x', sizeof big);
  assert_int_equal(status(request(x, "POST /hl7", h, big, sizeof big)), 413);
  m = HL7("M3", "1", "|||AL|NE");
  assert_non_null(strstr(request(x, "POST /hl7", h, m, strlen(m)), "MSA|CA|M3"));
  m = HL7("M4", "1", "|||AL|AL");
  assert_non_null(strstr(request(x, "POST /hl7", h, m, strlen(m)), "MSA|AA|M4")); /* one answer: the application's */
  ack_free(x);
}

static void test_H50_basic_and_bearer(void **state) {
  (void)state;
  static const struct { const char *header; int status; const char *identity; } t[] = {
      {"", 401, ""},
      {"Authorization: Basic bGFiOnB3MQ==\r\n", 200, "lab"},      /* lab:pw1 */
      {"authorization: bAsIc  bGFiOnB3MQ==\r\n", 200, "lab"},
      {"Authorization: Basic bGFiOnRvazE=\r\n", 401, ""},         /* lab:tok1 */
      {"Authorization: Basic cmFkOnB3MQ==\r\n", 401, ""},         /* rad:pw1 */
      {"Authorization: Basic bGFi\r\n", 401, ""},
      {"Authorization: Basic !!!!\r\n", 401, ""},
      {"Authorization: Bearer tok1\r\n", 200, "crm"},
      {"Authorization: Bearer tok2\r\n", 401, ""},
      {"Authorization: Bearer pw1\r\n", 401, ""},
      {"Authorization: Digest tok1\r\n", 401, ""}};
  ackrig *x = ack_new(ack_program, "", "\"basic\":[\"lab=pw1\"],\"bearer\":[\"crm=tok1\"]");
  unsigned bad = 0;
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char h[300], m[300];
    snprintf(h, sizeof h, "Content-Type: application/hl7-v2\r\n%s", t[i].header);
    snprintf(m, sizeof m, "MSH|^~\\&|A|B|C|D|2026||ADT^A01|M%u|P|2.5.1\rPID|1||1\r", i);
    const char *got = request(x, "POST /hl7", h, m, strlen(m));
    assert_int_equal(status(got), t[i].status);
    if (t[i].status == 401) {
      assert_string_equal(header(x, got, "WWW-Authenticate"), "Basic realm=\"hdw\", charset=\"UTF-8\"");
      bad++;
      continue;
    }
    prog_ids in = {.n = 0};
    store_input row;
    (void)store_list_inputs(engine_store(x->p->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 256, prog_take_id, &in);
    assert_int_equal(store_get_input(engine_store(x->p->e), 0, in.id[in.n - 1], &x->p->a, &row), HDW_OK);
    assert_true(cod_equal(row.identity, cod_cstr(t[i].identity))); /* shown with the input */
  }
  assert_int_equal(ack_stored(x), 3);
  assert_int_equal(ack_info(x, "web").unauthorised, bad);
  ack_free(x);
}

static const char senders_program[] =
    "hdw 1\n"
    "listener adt = mllp()\n"
    "listener web = http()\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "sender LAB_A { match: MSH-3 = 'LAB_A'  charset: '8859/1' }\n"
    "sender LAB_B { match: MSH-3 = 'B' }\n"
    "workflow a on msg = web.message('/hl7', types: ['ADT^A01'], from: LAB_A) { send crm.post('/a', body: { from: 'A', n: msg.PID-5.familyName }) }\n"
    "workflow b on msg = web.message('/hl7', types: ['ADT^A01'], from: LAB_B) { send crm.post('/b', body: { from: 'B' }) }\n";

static void test_H51_the_authenticated_peer_goes_before_MSH_3(void **state) {
  (void)state;
  static const struct { const char *options, *app, *want; } t[] = {
      {"\"bearer\":[\"LAB_A=tok1\"]", "LAB_A", "\"A\""}, {"\"bearer\":[\"LAB_A=tok1\"]", "B", "\"A\""}, {"\"bearer\":[\"LAB_B=tok1\"]", "LAB_A", "\"B\""},
      {"\"bearer\":[\"other=tok1\"]", "B", "\"B\""},     {"\"bearer\":[\"other=tok1\"]", "LAB_A", "\"A\""}};
  for (unsigned i = 0; i < 5; i++) {
    ackrig *x = ack_new(senders_program, "", t[i].options);
    char m[300];
    snprintf(m, sizeof m, "MSH|^~\\&|%s|B|C|D|2026||ADT^A01|M1|P|2.5.1\rPID|1||1||J\xF6rg\r", t[i].app);
    const char *got = request(x, "POST /hl7", "Content-Type: application/hl7-v2\r\nAuthorization: Bearer tok1\r\n", m, strlen(m));
    assert_non_null(strstr(got, "MSA|AA|"));
    prog_run_for(x->p, 1000000);
    assert_int_equal(x->calls, 1);
    assert_non_null(strstr(x->bodies[0], t[i].want));
    if (t[i].want[1] == 'A') assert_non_null(strstr(x->bodies[0], "J\xC3\xB6rg")); /* its declaration holds in gate and run */
    ack_free(x);
  }
}

static void test_H50_gzip_chunked_continue_and_HTTP_1_0(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  const char *m = HL7("Z1", "1", "");
  uint8_t z[1000];
  z_stream s = {.next_in = (Bytef *)(uintptr_t)m, .avail_in = (uInt)strlen(m), .next_out = z, .avail_out = sizeof z};
  assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
  size_t n = sizeof z - s.avail_out;
  deflateEnd(&s);
  assert_non_null(strstr(request(x, "POST /hl7", "Content-Type: application/hl7-v2\r\nContent-Encoding: gzip\r\n", z, n), "MSA|AA|Z1"));
  assert_int_equal(status(request(x, "POST /hl7", "Content-Type: application/hl7-v2\r\nContent-Encoding: gzip\r\n", z, n - 9)), 400);
  assert_int_equal(status(request(x, "POST /hl7", "Content-Type: application/hl7-v2\r\nContent-Encoding: br\r\n", z, n)), 415);
  peer *p = ack_connect(x, 8080);
  char t[1000];
  m = HL7("Z2", "1", "");
  snprintf(t, sizeof t, "POST /hl7 HTTP/1.1\r\nHost: h\r\nContent-Type: application/hl7-v2\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n%.16s\r\n%zx\r\n%s\r\n0\r\n\r\n", m, strlen(m) - 16, m + 16);
  assert_non_null(strstr(ack_say(x, p, t), "MSA|AA|Z2"));
  ack_hang_up(p);
  p = ack_connect(x, 8080);
  snprintf(t, sizeof t, "POST /hl7 HTTP/1.1\r\nHost: h\r\nContent-Type: application/hl7-v2\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n", strlen(m));
  assert_memory_equal(ack_say(x, p, t), "HTTP/1.1 100 Continue\r\n\r\n", 25);
  assert_non_null(strstr(ack_say(x, p, m), "MSA|AA|Z2"));
  ack_hang_up(p);
  p = ack_connect(x, 8080);
  snprintf(t, sizeof t, "POST /hl7 HTTP/1.0\r\nContent-Type: application/hl7-v2\r\nContent-Length: %zu\r\n\r\n%s", strlen(m), m);
  const char *got = ack_say(x, p, t);
  assert_non_null(strstr(got, "MSA|AA|Z2"));
  assert_true(p->eof);
  assert_true(header(x, got, "Date")[0]);
  ack_hang_up(p);
  ack_free(x);
}

static void test_H49_back_pressure_is_503_with_a_time(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  const char *m = HL7("M1", "1", "");
  peer *p = ack_connect(x, 8080);
  char t[1000];
  snprintf(t, sizeof t, "POST /hl7 HTTP/1.1\r\nHost: h\r\nContent-Type: application/hl7-v2\r\nContent-Length: %zu\r\n\r\n", strlen(m));
  assert_string_equal(ack_say(x, p, t), "");
  x->p->cfg.top.min_free_bytes = INT64_MAX;
  engine_drain(x->p->e, 100000000, NULL, NULL); /* takes nothing in any more, while the body is on its way */
  const char *got = ack_say(x, p, m);
  assert_int_equal(status(got), 503);
  assert_string_equal(header(x, got, "Retry-After"), "5");
  assert_string_equal(header(x, got, "Content-Type"), "application/problem+json");
  assert_int_equal(ack_stored(x), 0);
  ack_hang_up(p);
  ack_free(x);
}

static void test_H52_signatures_are_ignored(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  const char *m = HL7("M1", "1", "");
  assert_non_null(strstr(request(x, "POST /hl7", "Content-Type: application/hl7-v2\r\nHL7-Signature: MIIF=\r\nX-Whatever: 1\r\n", m, strlen(m)), "MSA|AA|M1"));
  ack_free(x);
}

static void test_H53_a_resend_after_a_lost_answer(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  const char *first = strstr(post(x, "application/hl7-v2", HL7("M1", "1", "")), "MSH|");
  assert_non_null(first);
  ack_restart(x);
  assert_string_equal(strstr(post(x, "application/hl7-v2", HL7("M1", "1", "")), "MSH|"), first);
  prog_run_for(x->p, 1000000);
  assert_int_equal(x->calls, 1);
  ack_free(x);
}

static void test_requests_without_a_key_by_content(void **state) {
  (void)state;
  for (unsigned by_content = 0; by_content < 2; by_content++) {
    ackrig *x = ack_new(ack_program, "", by_content ? "\"duplicates\":\"content\"" : "");
    const char *h = "Content-Type: application/json\r\n";
    const char *first = strstr(request(x, "POST /api", h, "{\"a\":1}", 7), "\r\n\r\n");
    const char *again = strstr(request(x, "POST /api", h, "{\"a\":1}", 7), "\r\n\r\n");
    assert_int_equal(by_content, strcmp(first, again) == 0);
    (void)request(x, "POST /api", h, "{\"a\":2}", 7);
    assert_int_equal(ack_stored(x), by_content ? 2 : 3);
    prog_run_for(x->p, INT64_C(86400000000)); /* another day */
    (void)request(x, "POST /api", h, "{\"a\":1}", 7);
    assert_int_equal(ack_stored(x), by_content ? 3 : 4);
    /* The same body, asked for somebody else. */
    for (unsigned i = 0; i < 4; i++) (void)request(x, i % 2 ? "POST /api?patient=2" : "POST /api?patient=1", h, "{\"a\":1}", 7);
    assert_int_equal(ack_stored(x), by_content ? 5 : 8);
    ack_free(x);
  }
}

static void test_idempotency_keys_are_each_caller_s_own(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "\"basic\":[\"lab=pw1\"],\"bearer\":[\"crm=tok1\"],\"conflict\":\"reject\"");
  for (unsigned i = 0; i < 6; i++) {
    char h[200], body[20];
    snprintf(h, sizeof h, "Content-Type: application/json\r\nIdempotency-Key: 1\r\nAuthorization: %s\r\n", i % 2 ? "Bearer tok1" : "Basic bGFiOnB3MQ==");
    snprintf(body, sizeof body, "{\"a\":%u}", i < 4 ? 1 : 2);
    assert_int_equal(status(request(x, "POST /api", h, body, strlen(body))), i < 4 ? 202 : 409);
  }
  assert_int_equal(ack_stored(x), 2);
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H46_H47_types_and_their_spelling_in_the_answer),
      cmocka_unit_test(test_H48_the_charset_of_the_content_type_wins),
      cmocka_unit_test(test_H49_status_codes),
      cmocka_unit_test(test_H50_basic_and_bearer),
      cmocka_unit_test(test_H51_the_authenticated_peer_goes_before_MSH_3),
      cmocka_unit_test(test_H50_gzip_chunked_continue_and_HTTP_1_0),
      cmocka_unit_test(test_H49_back_pressure_is_503_with_a_time),
      cmocka_unit_test(test_H52_signatures_are_ignored),
      cmocka_unit_test(test_H53_a_resend_after_a_lost_answer),
      cmocka_unit_test(test_requests_without_a_key_by_content),
      cmocka_unit_test(test_idempotency_keys_are_each_caller_s_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
