/* Trace context (O-5), spans and their export (O-6, O-7), log lines (O-8, RELIABILITY 3.9); on the simulated seam. */
#include "engine_rig.h"
#include "json.h"
#include "trace.h"

#define ID "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static bool parses(const char *s) {
  trace_ctx t;
  return trace_parse(s, strlen(s), &t);
}

static void test_O5_traceparent(void **state) {
  (void)state;
  trace_ctx t;
  char out[TRACE_TEXT];
  assert_true(trace_parse("00-" ID "-" SPAN "-01", 55, &t));
  trace_format(&t, t.parent, out);
  assert_string_equal(out, "00-" ID "-" SPAN "-01");
  assert_true(parses("00-" ID "-" SPAN "-00"));
  assert_true(parses("01-" ID "-" SPAN "-01-what.the.future-will-be.like"));
  assert_true(parses("cc-" ID "-" SPAN "-09"));
  static const char *const bad[] = {"", "00", "00-" ID "-" SPAN, "00-" ID "-" SPAN "-1", "00-" ID "-" SPAN "-01-x", "00-" ID "-" SPAN "-01x", "ff-" ID "-" SPAN "-01",
                                    "00-00000000000000000000000000000000-" SPAN "-01", "00-" ID "-0000000000000000-01", "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
                                    "00-" ID "-" SPAN "-0g", "0x-" ID "-" SPAN "-01", "00_" ID "-" SPAN "-01", "cc-" ID "-" SPAN "-01.x"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (parses(bad[i])) fail_msg("%s is taken", bad[i]);
}

static void test_ids_derive_and_differ(void **state) {
  (void)state;
  trace_ctx a, b;
  store_input in = {.id = 7, .received_us = 9};
  uint8_t x[TRACE_SPAN], y[TRACE_SPAN], kept[TRACE_BYTES];
  trace_of_input(&in, &a);
  trace_of_input(&in, &b);
  assert_memory_equal(a.id, b.id, TRACE_ID);
  in.id = 8;
  trace_of_input(&in, &b);
  assert_memory_not_equal(a.id, b.id, TRACE_ID);
  trace_span(&a, 'a', 1, "3.1", 1, x);
  trace_span(&a, 'a', 1, "3.1", 2, y);
  assert_memory_not_equal(x, y, TRACE_SPAN);
  assert_true(trace_parse("00-" ID "-" SPAN "-01", 55, &a));
  trace_pack(&a, kept);
  in.trace = cod_bytes(kept, TRACE_BYTES);
  trace_of_input(&in, &b);
  assert_memory_equal(a.id, b.id, TRACE_ID);
  assert_memory_equal(a.parent, b.parent, TRACE_SPAN);
}

/* ---- export ---- */

typedef struct collector {
  int code[16];              /* by request; behind the last: 200 */
  unsigned requests, spans;
  int64_t at[16];
  io *io;
  char last[200000];
} collector;

static void on_http(io *x, uint64_t id, const io_http_req *q, void *user) {
  collector *c = (collector *)user;
  unsigned n = c->requests++;
  int code = n < 16 && c->code[n] ? c->code[n] : 200;
  c->at[n % 16] = io_mono_us(x);
  assert_string_equal(q->method, "POST");
  assert_string_equal(q->target, "/v1/traces");
  snprintf(c->last, sizeof c->last, "%.*s", (int)q->body_len, (const char *)q->body);
  c->spans = 0;
  for (const char *p = c->last; (p = strstr(p, "\"spanId\"")); p++) c->spans++;
  io_http_res r = {.status = code < 0 ? HDW_E_IO : HDW_OK, .code = code, .body = "{}", .body_len = 2, .error = ""};
  io_sim_http_reply(x, id, &r, 1000);
}

typedef struct trig {
  test_mem m;
  io *io;
  tracer *t;
  collector c;
} trig;

static trig *begin(int64_t queue, const char *network) {
  trig *r = (trig *)calloc(1, sizeof *r);
  const char *nets[1] = {network};
  config_traces o = {.endpoint = "http://10.0.0.1:4318/v1/traces", .networks = {nets, network ? 1 : 0}, .queue = queue, .interval_ms = 100, .service = "test"};
  char text[200] = "";
  test_mem_init(&r->m);
  io_sim_opts so = {.seed = 1, .orderly = true};
  assert_int_equal(io_sim_new(&r->m.m, &so, &r->io), HDW_OK);
  io_sim_on_http(r->io, on_http, &r->c);
  if (otlp_new(r->io, &o, &r->t, text)) {
    assert_non_null(strstr(text, "networks"));
    r->t = NULL;
  }
  return r;
}
static void finish(trig *r) {
  tracer_free(r->t);
  io_sim_free(r->io);
  assert_int_equal(r->m.live_bytes, 0);
  free(r);
}
static void add(trig *r, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    trace_span_rec s = {.kind = 'a', .name = "rest.post", .on = "crm", .route = "/patients/{}/notes", .code = "ok", .ref = i, .attempt = 1, .from_us = 1, .to_us = 2};
    s.trace[0] = s.span[0] = 1;
    tracer_add(r->t, &s);
  }
}
static void advance(trig *r, int64_t us) {
  for (int i = 0; i < 50; i++) io_sim_advance(r->io, us / 50);
}

static void test_O6_spans_are_sent_as_json(void **state) {
  (void)state;
  trig *r = begin(1000, "10.0.0.0/8");
  tracer_stats st;
  add(r, 700);
  advance(r, 1000000);
  tracer_stats_get(r->t, &st);
  assert_int_equal(st.sent, 700);
  assert_int_equal(st.queued, 0);
  assert_int_equal(r->c.requests, 2); /* 512 and the rest */
  json_reader jr;
  arena a;
  val v;
  arena_init(&a, &r->m.m, 0);
  json_reader_init(&jr, &r->m.m);
  assert_int_equal(json_read(&jr, &a, r->c.last, strlen(r->c.last), NULL, &v, NULL), HDW_OK);
  json_reader_free(&jr);
  arena_free(&a);
  static const char *const want[] = {"\"service.name\"", "\"traceId\":\"01000000000000000000000000000000\"", "\"spanId\":\"0100000000000000\"", "\"startTimeUnixNano\":\"1000\"",
                                     "\"kind\":3", "\"url.template\"", "/patients/{}/notes", "\"status\":{\"code\":1}"};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++)
    if (!strstr(r->c.last, want[i])) fail_msg("%s is not in %s", want[i], r->c.last);
  finish(r);
}

static void test_O6_retries_and_drops(void **state) {
  (void)state;
  trig *r = begin(1000, "10.0.0.0/8");
  tracer_stats st;
  r->c.code[0] = 503, r->c.code[1] = -1, r->c.code[2] = 429, r->c.code[3] = 200, r->c.code[4] = 400;
  add(r, 3);
  advance(r, 60000000);
  tracer_stats_get(r->t, &st);
  assert_int_equal(r->c.requests, 4);
  assert_int_equal(st.sent, 3);
  assert_true(r->c.at[1] - r->c.at[0] >= 2000000 && r->c.at[2] - r->c.at[1] >= 4000000);
  add(r, 2);
  advance(r, 1000000);
  tracer_stats_get(r->t, &st);
  assert_int_equal(r->c.requests, 5); /* 400: not again */
  assert_int_equal(st.failed, 2);
  finish(r);
}

static void test_O6_the_oldest_go_and_nothing_waits(void **state) {
  (void)state;
  trig *r = begin(16, "10.0.0.0/8");
  tracer_stats st;
  for (int i = 0; i < 16; i++) r->c.code[i] = 503;
  add(r, 20);
  tracer_stats_get(r->t, &st);
  assert_int_equal(st.queued, 16);
  assert_int_equal(st.dropped, 4);
  advance(r, 300000); /* a batch of 16 is under way and will fail; the ring turns over meanwhile */
  add(r, 40);
  tracer_stats_get(r->t, &st);
  assert_int_equal(st.queued, 16);
  advance(r, 600000000);
  tracer_stats_get(r->t, &st);
  assert_int_equal(st.queued, 0);
  assert_int_equal(st.sent + st.failed + st.dropped, 60);
  finish(r);
}

static void test_the_endpoint_goes_through_the_egress_policy(void **state) {
  (void)state;
  trig *r = begin(16, NULL);
  assert_null(r->t);
  finish(r);
}

/* ---- log lines ---- */

static void test_O8_values_cannot_leave_their_line(void **state) {
  (void)state;
  test_mem m;
  arena a;
  buf b;
  test_mem_init(&m);
  arena_init(&a, &m.m, 0);
  buf_init(&b, &a, 1 << 20);
  static const char evil[] = "a\"b\\c\n\r\t\x1b[31m\x7f" "\xc2\x85" "\xe2\x80\xa8" "\xe2\x80\xae" "\xe2\x81\xa6" "\xff\xc0\x80" "\xed\xa0\x80" "\xf3\xa0\x81\x81" "\xc3\xa4\xf0\x9f\x98\x80";
  eng_log_text(&b, evil, sizeof evil - 1);
  buf_putc(&b, 0);
  assert_string_equal(b.p, "\"a\\\"b\\\\c\\u000a\\u000d\\u0009\\u001b[31m\\u007f\\u0085\\u2028\\u202e\\u2066\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\udb40\\udc41\xc3\xa4\xf0\x9f\x98\x80\"");
  unsigned seed = 1;
  for (int i = 0; i < 20000; i++) { /* every input is one line that parses */
    char in[64];
    size_t n = 0;
    for (; n < sizeof in && (seed = seed * 1103515245u + 12345u) >> 28; n++) in[n] = (char)(seed >> 16);
    b.len = 0;
    eng_log_text(&b, in, n);
    for (size_t k = 0; k < b.len; k++) assert_true((unsigned char)b.p[k] >= 0x20 && b.p[k] != 0x7f);
    json_reader jr;
    val v;
    arena tmp;
    arena_init(&tmp, &m.m, 0);
    json_reader_init(&jr, &m.m);
    assert_int_equal(json_read(&jr, &tmp, b.p, b.len, NULL, &v, NULL), HDW_OK);
    json_reader_free(&jr);
    arena_free(&tmp);
  }
  char big[20000];
  memset(big, 'x', sizeof big);
  b.len = 0;
  eng_log_text(&b, big, sizeof big);
  assert_true(b.len < 2000);
  arena_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_O5_traceparent),
      cmocka_unit_test(test_ids_derive_and_differ),
      cmocka_unit_test(test_O6_spans_are_sent_as_json),
      cmocka_unit_test(test_O6_retries_and_drops),
      cmocka_unit_test(test_O6_the_oldest_go_and_nothing_waits),
      cmocka_unit_test(test_the_endpoint_goes_through_the_egress_policy),
      cmocka_unit_test(test_O8_values_cannot_leave_their_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
