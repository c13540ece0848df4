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

static void test_H26_H30_places_and_numbers_of_records(void **state) {
  (void)state;
  static const char *const t[] = { /* what the record says > what stands in the answer */
      "101 PID^1^3 > |PID^1^3|", "101 PID^1^3^2^4^5 > |PID^1^3^2^4^5|", "101 PID > |PID|", "101 PI > |PI|", "101 PID^1^3^2^4^5^6 > |PID^1^3^2^4^5|", "101 > |101^",
      "1000 PID^1 > |207^", "102 MSH^1^13 #7 > |7\r", "100 #-1 > |-1\r", "100 # > |0\r", "101  > |101^", " > |207^", "x > |207^"};
  ackrig *x = ack_new(ack_program, "", "");
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char row[1024];
    const char *v[2];
    test_cells(t[i], row, v, 2);
    eng_answer w = waiter(x);
    heard h = say(x, &w, PLAIN, &(eng_outcome){.input = 7, .code = "AE", .error = v[0], .text = "why", .final = true});
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
    if (strncmp(out, t[i].want, strlen(out)) || strlen(t[i].want) - strlen(out) > 6) fail_msg("%s", out); /* what has no room is left out as a whole */
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
    char row[1024];
    const char *v[2];
    test_cells(t[i], row, v, 2);
    eng_answer w = waiter(x);
    heard h = say(x, &w, v[0], &(eng_outcome){.input = 7, .code = "AA", .error = "", .text = "", .final = true});
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H26_H30_places_and_numbers_of_records),
      cmocka_unit_test(test_H25_places_of_problems),
      cmocka_unit_test(test_H16_a_commit_is_told_once),
      cmocka_unit_test(test_H17_acknowledgements_of_each_form),
      cmocka_unit_test(test_H18_immediate_says_no_more_than_what_is_stored),
      cmocka_unit_test(test_H49_statuses_of_codes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
