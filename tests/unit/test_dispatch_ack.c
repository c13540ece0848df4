/* What the answer of a receiver means for the delivery (H-19, H-20, H-49): the table, the operator's exceptions, and answers that are none. */
#include "support.h"
#include "engine_int.h"
#include "hl7_dict.h"
#include <stdio.h>
#include <string.h>

typedef struct judged {
  test_mem t;
  engine e;
  config_conn cfg;
  eng_conn c;
  eng_call call;
  arena a;
} judged;

static judged j;

/* reactions: up to three. Answers with what is behind the MSH. */
static const eng_call *judge_raw(const char *reactions, const char *answer, size_t len, const char *id) {
  static char words[200];
  static const char *v[3];
  memset(&j, 0, sizeof j);
  test_mem_init(&j.t);
  arena_init(&j.a, &j.t.m, 0);
  snprintf(words, sizeof words, "%s", reactions);
  for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) v[j.cfg.o.reactions.n++] = w;
  j.cfg.o.reactions.v = v;
  j.e.o.schema = &hl7_dict_schema;
  j.c.cfg = &j.cfg;
  j.call.e = &j.e, j.call.c = &j.c, j.call.a = &j.a;
  eng_ack_judge(&j.call, answer, len, id, strlen(id));
  return &j.call;
}
static void judge_end(void) {
  arena_free(&j.a);
  assert_int_equal(j.t.live_bytes, 0);
}

static void test_H19_H20_what_answers_mean(void **state) {
  (void)state;
  /* reactions > what is behind the MSH > what the call is then > its code > the error that is told, or what the answer is not */
  static const char *const t[] = {
      " > MSA|AA|7\r > done >  > ",
      " > MSA|CA|7\r > done >  > ",
      " > MSA|AE|7\r > transient > AE > ",
      " > MSA|CE|7\r > transient > CE > ",
      " > MSA|AR|7\r > permanent > AR > ",
      " > MSA|CR|7\r > permanent > CR > ",
      /* the record is locked: whoever says so is asked again, in either layout of ERR and behind other errors */
      " > MSA|AR|7\rERR||PID^1|206^locked^HL70357|E\r > transient > AR > 206",
      " > MSA|AR|7\rERR|PID^1^3^206&locked&HL70357\r > transient > AR > 206",
      " > MSA|AR|7\rERR|||101|E\rERR|||206|E\r > transient > AR > 101",
      " > MSA|AR|7\rERR|||207|E\r > permanent > AR > 207",
      " > MSA|AR|7\rERR|||2061|E\r > permanent > AR > 2061",
      " > MSA|AA|7\rERR|||206|I\r > done >  > ",
      /* nothing but digits is repeated from an answer: its text may be anybody's name */
      " > MSA|AE|7\rERR|||SMITH^JOHN|E\r > transient > AE > ",
      " > MSA|AE|7\rERR|||12 SMITH|E\r > transient > AE > ",
      " > MSA|AE|7\rERR|||1234567890123|E\r > transient > AE > ",
      " > MSA|AE|7\rERR||PID^1||E\r > transient > AE > ",
      /* more errors than are looked at */
      " > MSA|AR|7\rERR|||1|E\rERR|||2|E\rERR|||3|E\rERR|||4|E\rERR|||5|E\rERR|||6|E\rERR|||7|E\rERR|||8|E\rERR|||206|E\r > permanent > AR > 1",
      /* the operator's word: of an error before that of MSA-1, the first of several */
      "AR=retry > MSA|AR|7\r > transient > AR > ",
      "AE=dead > MSA|AE|7\r > permanent > AE > ",
      "AE=done > MSA|AE|7\r > done >  > ",
      "AR=done 206=dead > MSA|AR|7\rERR|||206|E\r > permanent > AR > 206",
      "204=done 205=retry > MSA|AR|7\rERR|||101|E\rERR|||205|E\rERR|||204|E\r > transient > AR > 101",
      "204=done > MSA|AR|7\rERR|||204|E\r > done >  > ",
      "20=done AA=dead > MSA|AR|7\rERR|||204|E\r > permanent > AR > 204",
      "AR > MSA|AR|7\r > permanent > AR > ", /* a word that says nothing */
      /* no answer of ours: the receiver may have it or not */
      " > MSA|OK|7\r > ambiguous > no_ack > is no acknowledgement",
      " > PID|1\r > ambiguous > no_ack > is no acknowledgement",
      "OK=done > MSA||7\r > ambiguous > no_ack > is no acknowledgement",
      " > MSA|AA|8\r > ambiguous > no_ack > acknowledges another message",
      "AE=done > MSA|AE|77\r > ambiguous > no_ack > acknowledges another message",
  };
  static const char *const classes[] = {[0] = "done", [FAIL_TRANSIENT] = "transient", [FAIL_PERMANENT] = "permanent", [FAIL_AMBIGUOUS] = "ambiguous"};
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char row[1024], answer[600], message[100] = "";
    const char *v[5];
    test_cells(t[i], row, v, 5);
    int n = snprintf(answer, sizeof answer, "MSH|^~\\&|R|H|S|H|2026||ACK|R1|P|2.5.1\r%s", v[1]);
    bool done = !strcmp(v[2], "done"), unknown = !strcmp(v[2], "ambiguous");
    if (unknown) snprintf(message, sizeof message, "the answer %s", v[4]);
    else if (!done) snprintf(message, sizeof message, "the receiver answered %s%s%s", v[3], v[4][0] ? ", error " : "", v[4]);
    const eng_call *c = judge_raw(v[0], answer, (size_t)n, "7");
    if (c->ok != done || strcmp(classes[c->fail_class], v[2]) || strcmp(c->code, v[3]) || strcmp(c->message, message) || c->judged == unknown)
      fail_msg("%s: %s, class %d, %s: %s", t[i], c->ok ? "done" : "failed", c->fail_class, c->code, c->message);
    if (c->ok) assert_int_equal(c->result.tag, VAL_HL7);
    judge_end();
  }
}

/* H-32: without any CR the lines end with LF; with one, LF ends nothing. */
static void test_H32_answers_with_other_line_ends(void **state) {
  (void)state;
  static const struct { const char *answer; bool ok; } t[] = {{"MSH|^~\\&|R|H|S|H|2026||ACK|R1|P|2.5.1\nMSA|AA|7\n", true}, {"MSH|^~\\&|R|H|S|H|2026||ACK|R1|P|2.5.1\nMSA|AA|7", true},
                                                              {"MSH|^~\\&|R|H|S|H|2026||ACK|R1|P|2.5.1\r\nMSA|AA|7\r\n", true}, {"MSH|^~\\&|R|H|S|H|2026||ACK|R1|P|2.5.1\nMSA|AA|7\r", false}};
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    const eng_call *c = judge_raw("", t[i].answer, strlen(t[i].answer), "7");
    char code[3];
    if (c->ok != t[i].ok) fail_msg("%s: %s", t[i].answer, c->message);
    assert_true(eng_ack_code(t[i].answer, strlen(t[i].answer), code) == t[i].ok);
    judge_end();
  }
}

/* Bytes that are no message at all, and memory that is not there: never taken for done. */
static void test_H20_no_message_and_no_memory(void **state) {
  (void)state;
  static const char ok[] = "MSH|^~\\&|R|H|S|H|2026||ACK|R1|P|2.5.1\rMSA|AA|7\r";
  static const char *const none[] = {"", "HTTP/1.1 200 OK\r\n", "MSH", "MSA|AA|7\r"};
  for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
    const eng_call *c = judge_raw("", none[i], strlen(none[i]), "7");
    assert_true(!c->ok && c->fail_class == FAIL_AMBIGUOUS && !c->judged);
    judge_end();
  }
  unsigned done = 0, unknown = 0;
  for (long n = 1; n < 40; n++) { /* a new arena each time: the nth of its pieces is refused */
    memset(&j, 0, sizeof j);
    test_mem_init(&j.t);
    arena_init(&j.a, &j.t.m, (size_t)n * 64);
    j.e.o.schema = &hl7_dict_schema, j.c.cfg = &j.cfg, j.call.e = &j.e, j.call.c = &j.c, j.call.a = &j.a;
    eng_ack_judge(&j.call, ok, sizeof ok - 1, "7", 1);
    assert_true(j.call.ok || j.call.fail_class == FAIL_AMBIGUOUS);
    j.call.ok ? done++ : unknown++;
    judge_end();
  }
  assert_true(unknown > 0 && done + unknown == 39);
}

static void test_the_code_of_an_answer(void **state) {
  (void)state;
  static const char *const t[] = {
      "MSH|^~\\&|\rMSA|AA|1\r > AA", "MSH|^~\\&|\rMSA|CE|1\r > CE", "MSH|^~\\&|\nMSA|AR\r > ", "MSH|^~\\&|\r\nMSA|CR|1\r\n > CR", "MSH|^~\\&|\rMSA|AR > AR",
      "MSH$^~\\&$\rMSA$AE$1\r > AE", "MSH|^~\\&|\rMSA$AA$1\r > ", "MSH|^~\\&|\rMSA|AAA|1\r > ", "MSH|^~\\&|\rMSA|XA|1\r > ", "MSH|^~\\&|\rMSA|AX|1\r > ", "MSH|^~\\&|\rMSAX|AA|1\r > ",
      "MSH|^~\\&|\rPID|1\r\rMSA|CA|1\r > CA", "MSH|^~\\&|\rMSA|A > ", "MSH|^~\\&|\r > ", "MSH|^~\\&|\rERR|A\r > ", "MSH > ", " > ", "FHS|^~\\&|\rMSA|AA|1\r > ", "MSH|^~\\&|\rMSA|ZZ|1\rMSA|AA|1\r > "};
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char row[1024], code[3];
    const char *v[2]; /* the answer, its code */
    test_cells(t[i], row, v, 2);
    bool is = eng_ack_code(v[0], strlen(v[0]), code);
    if (is != (v[1][0] != 0) || (is && strcmp(code, v[1]))) fail_msg("%s: %d %s", t[i], is, code);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H19_H20_what_answers_mean),
      cmocka_unit_test(test_H32_answers_with_other_line_ends),
      cmocka_unit_test(test_H20_no_message_and_no_memory),
      cmocka_unit_test(test_the_code_of_an_answer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
