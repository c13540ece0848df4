/* Answers from what a record says, whatever it says: places of errors, sequence numbers, codes, modes, commits that were told already (H-14 .. H-30). Asked of the engine's
 * own functions, since most of these records are written by nobody today: an older release may have, and a damaged one could. */
#include "engine_int.h"
#include "ack_rig.h"

typedef struct heard {
  unsigned n;
  char code[8], text[2000];
  bool last, commit;
  int http;
} heard;
static void on_reply(void *user, const engine_reply *r) {
  heard *h = (heard *)user;
  h->n++;
  memcpy(h->code, r->code, sizeof h->code);
  snprintf(h->text, sizeof h->text, "%.*s", (int)r->len, r->p ? (const char *)r->p : "");
  h->last = r->last, h->commit = r->commit, h->http = r->http_status;
}

#define PLAIN "MSH|^~\\&|LAB|HOSP|HUB|HUB|2026||ADT^A01|M1|P|2.5.1\rPID|1\r"
#define ENHANCED "MSH|^~\\&|LAB|HOSP|HUB|HUB|2026||ADT^A01|M1|P|2.5.1|||AL|AL\rPID|1\r"

static heard say(ackrig *x, eng_answer *w, const char *in, const eng_outcome *o) {
  heard h = {.n = 0};
  w->user = &h;
  eng_answer_hl7(x->p->e, w, in, strlen(in), o);
  return h;
}
static eng_answer waiter(ackrig *x) { return (eng_answer){.cb = on_reply, .l = eng_listener_find(x->p->e, "adt")}; }

/* The last answer to the message in the first of two cells, or, of the plain one, with the error in it. */
static heard say_cells(ackrig *x, const char *cells, const char *v[2], bool message) {
  static char row[1024];
  test_cells(cells, row, v, 2);
  eng_answer w = waiter(x);
  if (message) return say(x, &w, v[0], &(eng_outcome){.input = 7, .code = "AA", .error = "", .text = "", .final = true});
  return say(x, &w, PLAIN, &(eng_outcome){.input = 7, .code = "AE", .error = v[0], .text = "why", .final = true});
}

static void test_H26_H30_places_and_numbers_of_records(void **state) {
  (void)state;
  static const char *const t[] = { /* what the record says > what stands in the answer */
      "101 PID^1^3 > |PID^1^3|", "101 PID^1^3^2^4^5 > |PID^1^3^2^4^5|", "101 PID > |PID|", "101 PI > |PI|", "101 PID^1^3^2^4^5^6 > |PID^1^3^2^4^5|", "101 > |101^",
      "1000 PID^1 > |207^", "102 MSH^1^13 #7 > |7\r", "100 #-1 > |-1\r", "100 # > |0\r", "101  > |101^", " > |207^", "x > |207^"};
  ackrig *x = ack_new(ack_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    const char *v[2];
    heard h = say_cells(x, t[i], v, false);
    if (strcmp(h.code, "AE") || !strstr(h.text, v[1])) fail_msg("%s: %s", t[i], h.text);
  }
  eng_answer w = waiter(x);
  heard h = say(x, &w, PLAIN, &(eng_outcome){.code = "AE", .final = true}); /* nothing but its code */
  assert_non_null(strstr(h.text, "MSA|AE|M1"));
  ack_free(x);
}

static void test_H25_places_of_problems(void **state) {
  (void)state;
  static const struct { hl7_problem p; const char *want; } t[] = {{{.code = 101}, "101"},
                                                                  {{.code = 101, .seg = "PID"}, "101 PID"},
                                                                  {{.code = 101, .seg = "PID", .seg_rep = 1, .field = 3}, "101 PID^1^3"},
                                                                  {{.code = 102, .seg = "PID", .field = 3, .sub = 2}, "102 PID^^3^^^2"},
                                                                  {{.code = 65535, .seg = "PID", .seg_rep = 65535, .field = 65535, .rep = 65535, .comp = 65535, .sub = 65535}, "65535 PID^65535^65535^65535^65535^65535"}};
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char out[ENG_CODE];
    eng_problem_text(&t[i].p, out);
    assert_string_equal(out, t[i].want);
  }
}

static void test_H16_a_commit_is_told_once(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  eng_outcome o = {.input = 7, .code = "AA", .error = "", .text = ""};
  eng_answer w = waiter(x);
  heard h = say(x, &w, ENHANCED, &o);
  assert_true(h.n == 1 && !h.last && !strcmp(h.code, "CA"));
  assert_int_equal(say(x, &w, ENHANCED, &o).n, 0);
  o.final = true;
  h = say(x, &w, ENHANCED, &o);
  assert_true(h.n == 1 && h.last && !strcmp(h.code, "AA"));
  assert_int_equal(say(x, &w, ENHANCED, &o).n, 0); /* it has had its last answer */
  w = waiter(x);
  w.single = true, o.final = false;
  assert_int_equal(say(x, &w, ENHANCED, &o).n, 0);
  o.final = true, o.body = "MSH|body\r", o.body_len = 9;
  h = say(x, &w, ENHANCED, &o);
  assert_string_equal(h.text, "MSH|body\r");
  w = waiter(x);
  w.commits = true;
  h = say(x, &w, PLAIN, &o);
  assert_int_equal(h.n, 2); /* the commit, and the answer */
  w = waiter(x);
  w.commits = true, o.input = 0; /* nothing was stored */
  assert_int_equal(say(x, &w, PLAIN, &o).n, 1);
  ack_free(x);
}

/* H-17: what acknowledges is acknowledged only as far as it asks, and never when it tells of a commit. */
static void test_H17_acknowledgements_of_each_form(void **state) {
  (void)state;
  static const char *const t[] = { /* what came in > the code that goes out */
      "MSH|^~\\&|A|B|C|D|2026||ACK|M1|P|2.5.1|||AL|NE\rMSA|AA|1\r > CA", "MSH|^~\\&|A|B|C|D|2026||MCF|M1|P|2.5.1|||AL|NE\rMSA|AA|1\r > CA", "MSH|^~\\&|A|B|C|D|2026||ACK|M1|P|2.5.1|||AL|NE\rMSA|CA|1\r > ",
      "MSH|^~\\&|A|B|C|D|2026||ACK|M1|P|2.5.1|||AL|NE\nMSA|CA|1\n > ", "MSH|^~\\&|A|B|C|D|2026||ACK|M1|P|2.5.1\rMSA|AA|1\r > ", "MSH|^~\\&|A|B|C|D|2026||AC|M1|P|2.5.1\rMSA|AA|1\r > AA"};
  ackrig *x = ack_new(ack_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    const char *v[2];
    heard h = say_cells(x, t[i], v, true);
    if (strcmp(h.code, v[1])) fail_msg("%s: %s", t[i], h.code);
  }
  ack_free(x);
}

/* H-18: with `immediate` what is stored is accepted at once; what is not is refused as ever. */
static void test_H18_immediate_says_no_more_than_what_is_stored(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"ack\":\"immediate\"", "");
  eng_outcome o = {.code = "AE", .error = "207", .text = "no", .final = true};
  eng_answer w = waiter(x);
  assert_string_equal(say(x, &w, PLAIN, &o).code, "AE");
  o.input = 7;
  w = waiter(x);
  assert_string_equal(say(x, &w, PLAIN, &o).code, "AA");
  o.final = false;
  w = waiter(x);
  heard h = say(x, &w, PLAIN, &o);
  assert_true(h.last && !strcmp(h.code, "AA"));
  ack_free(x);
}

static void test_H49_statuses_of_codes(void **state) {
  (void)state;
  static const struct { const char *code, *text; int http; } t[] = {{"AA", "", 202}, {"CA", "", 202}, {"AE", "why", 503}, {"CE", "", 503}, {"AR", NULL, 422}, {"CR", "why", 422},
                                                                    {"204", "", 204}, {"404", "", 404}, {"999", "", 503}, {"099", "", 503}, {"40", "", 503}, {"", "", 503}};
  ackrig *x = ack_new(ack_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    heard h = {.n = 0};
    eng_answer w = {.cb = on_reply, .user = &h};
    eng_outcome o = {.input = 17, .code = t[i].code, .error = "", .text = t[i].text};
    eng_answer_json(x->p->e, &w, &o);
    assert_int_equal(h.n, 0); /* at the commit nothing is told */
    o.final = true;
    eng_answer_json(x->p->e, &w, &o);
    if (h.http != t[i].http) fail_msg("%s: %d", t[i].code, h.http);
    if (h.http < 300) assert_string_equal(h.text, "{\"id\":\"17\"}");
    else assert_true(!!strstr(h.text, "\"detail\":\"why\"") == (t[i].text && t[i].text[0]));
  }
  ack_free(x);
}

/* ---- on the wire ---- */

static const char slow_program[] =
    "hdw 1\n"
    "listener adt = mllp()\n"
    "listener web = http()\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "workflow a on msg = adt.message(types: ['ADT^A01']) ack after run within 2 seconds else AA {\n  step x = crm.post('/x', body: { id: msg.MSH-10 })\n  return 1\n}\n"
    "workflow b on req = web.post('/b') ack after run within 2 seconds else AE {\n  step x = crm.post('/y', body: { b: 1 })\n  return { ok: true }\n}\n";

/* The deadline of an answer: over HTTP 504, over MLLP what the workflow says, also that all is well. Whoever joins meanwhile gets the same. */
static void test_H16_deadlines_of_each_kind(void **state) {
  (void)state;
  static const char post[] = "POST /b HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k1\r\nContent-Length: 1\r\n\r\nx";
  ackrig *x = ack_new(slow_program, "", "");
  x->delay_us = 5000000;
  peer *p = ack_connect(x, 2575), *q = ack_connect(x, 8080), *r = ack_connect(x, 8080);
  peer_say(q, post, sizeof post - 1);
  prog_run_for(x->p, 500000);
  peer_say(r, post, sizeof post - 1);
  assert_string_equal(ack_codes(x, ack_say_for(x, p, ack_adt(x, "M1", "1", ""), strlen(ack_adt(x, "M1", "1", "")), 3000000)), "AA");
  assert_non_null(strstr(q->in, "HTTP/1.1 504"));
  assert_non_null(strstr(r->in, "HTTP/1.1 504"));
  prog_run_for(x->p, 10000000);
  assert_int_equal(x->calls, 2);
  const char *late = ack_say_for(x, q, post, sizeof post - 1, 400000); /* the run has ended since */
  assert_non_null(strstr(late, "{\"ok\":true}"));
  assert_int_equal(x->calls, 2);
  ack_hang_up(p), ack_hang_up(q), ack_hang_up(r);
  ack_free(x);
}

static void test_H40_ids_at_their_edges(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  char two[1500], id[1101], *m = (char *)calloc(1, 3000);
  snprintf(two, sizeof two, "%s%s", ack_adt(x, "M1", "1", ""), ack_adt(x, "M1", "2", ""));
  assert_string_equal(ack_codes(x, ack_say(x, p, two)), "AA AA"); /* the same id in one breath, with other content */
  assert_int_equal(ack_info(x, "adt").conflicts, 1);
  assert_int_equal(ack_stored(x), 2);
  memset(id, 'i', 1100), id[1100] = 0; /* too long to be known again */
  snprintf(m, 3000, "\x0BMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|P|2.5.1\rPID|1||1\r\x1C\r", id);
  for (int i = 0; i < 2; i++) (void)ack_say(x, p, m);
  assert_int_equal(ack_info(x, "adt").duplicates, 0);
  free(m);
  x->p->cfg.top.max_input_bytes = 50;
  const char *got = ack_say(x, p, ack_adt(x, "M9", "1", ""));
  assert_string_equal(ack_codes(x, got), "AR");
  assert_non_null(strstr(got, "too long"));
  ack_hang_up(p);
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H26_H30_places_and_numbers_of_records),
      cmocka_unit_test(test_H25_places_of_problems),
      cmocka_unit_test(test_H16_a_commit_is_told_once),
      cmocka_unit_test(test_H17_acknowledgements_of_each_form),
      cmocka_unit_test(test_H18_immediate_says_no_more_than_what_is_stored),
      cmocka_unit_test(test_H49_statuses_of_codes),
      cmocka_unit_test(test_H16_deadlines_of_each_kind),
      cmocka_unit_test(test_H40_ids_at_their_edges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
