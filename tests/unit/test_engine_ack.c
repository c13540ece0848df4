/* What is owed for a message, and when (H-14 .. H-27, SEMANTICS 1): on the wire, with the listener's options. */
#include "ack_rig.h"

#define EXPECT(x, p, want, id, pid3, rest) assert_string_equal(ack_codes(x, ack_say(x, p, ack_adt(x, id, pid3, rest))), want)

/* The whole table: MSH-15 x MSH-16 x outcome x what a lone condition means. */
static void test_H14_H15_truth_table_on_the_wire(void **state) {
  (void)state;
  static const char *const cond[] = {"", "AL", "NE", "ER", "SU"}, *const who[] = {"1", "E", "R"};
  static const char *const accept[] = {"CA", "CE", "CR"}, *const app[] = {"AA", "AE", "AR"};
  for (unsigned al = 0; al < 2; al++) {
    ackrig *x = ack_new(ack_program, al ? "\"ack_lone\":\"always\"" : "", "");
    peer *p = ack_connect(x, 2575);
    for (unsigned i = 0; i < 5; i++)
      for (unsigned k = 0; k < 5; k++)
        for (unsigned o = 0; o < 3; o++) {
          char id[20], rest[40], want[20] = "";
          bool due[5] = {al, true, false, o != 0, o == 0}, enhanced = i || k;
          snprintf(id, sizeof id, "M%u%u%u", i, k, o);
          snprintf(rest, sizeof rest, "P|2.5.1|||%s|%s", cond[i], cond[k]);
          if (enhanced && due[i]) strcat(want, accept[o]);
          if (!enhanced || due[k]) strcat(strcat(want, want[0] ? " " : ""), app[o]);
          EXPECT(x, p, want, id, who[o], rest);
        }
    assert_int_equal(ack_info(x, "adt").lone_conditions, 24);
    assert_int_equal(ack_info(x, "adt").unanswered, 0);
    ack_hang_up(p);
    ack_free(x);
  }
}

static void test_H16_accept_ack_at_commit_application_ack_after_the_run(void **state) {
  (void)state;
  static const struct { const char *rest, *pid3, *first, *then; } t[] = {
      {"P|2.5.1|||AL|AL", "1", "CA", "AA"}, {"P|2.5.1|||AL|NE", "1", "CA", ""},   {"P|2.5.1|||NE|AL", "1", "", "AA"},  {"P|2.5.1|||AL|AL", "E", "CA", "AE"},
      {"P|2.5.1|||ER|AL", "E", "", "AE"},   {"P|2.5.1|||ER|ER", "1", "", ""},     {"P|2.5.1|||SU|ER", "R", "CA", "AR"}, {"P|2.5.1|||AL|SU", "R", "CA", ""},
      {"P|2.5.1", "1", "", "AA"},           {"P|2.5.1", "R", "", "AR"}};
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    ackrig *x = ack_new(after_program, "", "");
    x->delay_us = 2000000;
    peer *p = ack_connect(x, 2575);
    EXPECT(x, p, t[i].first, "M1", t[i].pid3, t[i].rest);
    assert_int_equal(x->calls, 1);
    const char *first = arena_dup(&x->p->a, p->in ? p->in : "", p->in_len);
    p->in_len = 0;
    prog_run_for(x->p, 3000000);
    const char *second = p->in_len ? arena_dup(&x->p->a, p->in, p->in_len) : "";
    assert_string_equal(ack_codes(x, second), t[i].then);
    if (t[i].first[0] && t[i].then[0]) { /* H-17: a message of its own, about the same one */
      assert_non_null(strstr(second, "|M1"));
      assert_memory_not_equal(strstr(first, "ACK^A01^ACK|"), strstr(second, "ACK^A01^ACK|"), 22);
    }
    if (t[i].pid3[0] != 'E') { /* a resend gets what is stored, without a second run, also after a restart */
      char both[16];
      snprintf(both, sizeof both, "%s%s%s", t[i].first, t[i].first[0] && t[i].then[0] ? " " : "", t[i].then);
      EXPECT(x, p, both, "M1", t[i].pid3, t[i].rest);
      ack_hang_up(p);
      ack_restart(x);
      p = ack_connect(x, 2575);
      EXPECT(x, p, both, "M1", t[i].pid3, t[i].rest);
      assert_int_equal(x->calls, 1);
    }
    ack_hang_up(p);
    ack_free(x);
  }
}

static void test_H16_deadline_and_joining(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  x->delay_us = 8000000;
  peer *p = ack_connect(x, 2575), *q = ack_connect(x, 2575);
  EXPECT(x, p, "CA", "M1", "1", "P|2.5.1|||AL|AL");
  EXPECT(x, q, "CA", "M1", "1", "P|2.5.1|||AL|AL"); /* joins the run: it is stored, so CA now */
  p->in_len = q->in_len = 0;
  prog_run_for(x->p, 5000000);
  assert_string_equal(ack_codes(x, p->in), "AE"); /* as the clause says */
  assert_string_equal(ack_codes(x, q->in), "AE");
  prog_run_for(x->p, 5000000);
  EXPECT(x, p, "CA AA", "M1", "1", "P|2.5.1|||AL|AL"); /* whatever was sent then, the outcome is stored */
  assert_int_equal(x->calls, 1);
  ack_hang_up(p);
  ack_hang_up(q);
  ack_free(x);
}

static void test_H17_acknowledgements_are_not_acknowledged(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  static const struct { const char *msh, *msa, *want; } t[] = {
      {"ACK|A1|P|2.5.1", "AA", ""}, {"ACK^A01^ACK|A2|P|2.5.1|||NE|AL", "AA", ""}, {"ACK|A3|P|2.5.1|||AL|AL", "AA", "CA"}, {"ACK|A4|P|2.5.1|||AL|AL", "CA", ""}, {"ACK|A5|P|2.5.1", "AR", ""}};
  for (unsigned i = 0; i < 5; i++) {
    char m[300];
    snprintf(m, sizeof m, "\x0BMSH|^~\\&|LAB|HOSP|HUB|HUB|2026||%s\rMSA|%s|X1\r\x1C\r", t[i].msh, t[i].msa);
    assert_string_equal(ack_codes(x, ack_say(x, p, m)), t[i].want);
  }
  EXPECT(x, p, "AA", "M1", "1", ""); /* the connection goes on, in order */
  ack_hang_up(p);
  ack_free(x);
}

static void test_H18_modes_and_code_map(void **state) {
  (void)state;
  static const struct { const char *options, *ok, *error, *reject, *enhanced; } t[] = {{"\"ack\":\"original\"", "AA", "AE", "AR", "AA"},
                                                                                    {"\"ack\":\"immediate\"", "AA", "AA", "AA", "AA"},
                                                                                    {"\"ack\":\"none\"", "", "", "", ""},
                                                                                    {"\"ack_codes\":[\"AE=AA\",\"AR=none\",\"CA=AA\"]", "AA", "AA", "", "AA"}};
  for (unsigned i = 0; i < 4; i++) {
    ackrig *x = ack_new(ack_program, t[i].options, "");
    peer *p = ack_connect(x, 2575);
    EXPECT(x, p, t[i].ok, "M1", "1", "");
    EXPECT(x, p, t[i].error, "M2", "E", "");
    EXPECT(x, p, t[i].reject, "M3", "R", "");
    EXPECT(x, p, t[i].enhanced, "M4", "1", "P|2.5.1|||AL|NE");
    EXPECT(x, p, t[i].error, "M2", "E", ""); /* and again */
    ack_hang_up(p);
    ack_free(x);
  }
  ackrig *x = ack_new(after_program, "\"ack\":\"immediate\"", ""); /* stored is enough */
  x->delay_us = 2000000;
  peer *p = ack_connect(x, 2575);
  EXPECT(x, p, "AA", "M1", "R", "");
  ack_hang_up(p);
  ack_free(x);
}

static void test_H22_H25_H26_H27_answers_name_places_not_values(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"strict_data\":true,\"processing\":[\"P\"]", "");
  peer *p = ack_connect(x, 2575);
  static const struct { const char *msg, *want; } t[] = {
      {"MSH|^~\\&|A^1.2^ISO|B|C|D|2026||ADT^A01|M1|P|2.5.1\rPID|1||E\r", "MSA|AE|M1|no such patient here\rERR|||207^Application internal error^HL70357|E||||no such patient here\r"},
      {"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M2|P|2.3\rPID|1||R\r", "MSA|AR|M2|not for us\rERR|^^^207&Application internal error&HL70357\r"},
      {"MSH|^~\\&|A|B|C|D|2026||ORU^R01|M3|P|2.5.1\rPID|1||SECRET\r", "MSA|AR|M3|No workflow takes this message\rERR|||200^Unsupported message type^HL70357|E||||No workflow takes this message\r"},
      {"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M4|T|2.5.1\rPID|1||SECRET\r", "ERR||MSH^1^11|202^Unsupported processing id^HL70357|E|"},
      {"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M5|T|2.2\rPID|1||SECRET\r", "ERR|MSH^1^11^202&Unsupported processing id&HL70357\r"},
      {"MSH|^~\\&|A|B|C|D|2026||ADT^A01||P|2.5.1\rPID|1||SECRET\r", "MSA|AR||MSH-10 is missing\rERR||MSH^1^10|101^Required field missing^HL70357|E|"},
      {"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M6|P|2.5.1\rPID|1||SECRET\rsecret line\r", "|100^Segment sequence error^HL70357|E|"},
      {"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M7|P|2.5.1||||||UNICODE UTF-8\rPID|1||SECRET\xFF\r", "|102^Data type error^HL70357|E|"},
      {"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M8|P|2.5.1||||||BIG-5\rPID|1||SECRET\xFF\r", "MSA|AE|M8|"}};
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    char m[400];
    snprintf(m, sizeof m, "\x0B%s\x1C\r", t[i].msg);
    const char *got = ack_say(x, p, m);
    if (!strstr(got, t[i].want)) fail_msg("%u: %s", i, got);
    assert_null(strcasestr(got, "secret"));
    assert_non_null(strstr(got, "\r\x1C\r")); /* the last segment ends with CR */
    const char *again = i > 5 || i == 0 ? got : ack_say(x, p, m); /* the stored answer has the same place */
    if (i > 0 && i < 5) assert_string_equal(again, got);
  }
  assert_non_null(strstr(ack_say(x, p, ack_adt(x, "N1", "E", "")), "|LAB|HOSP|")); /* MSH-3/4 <- MSH-5/6 and back, all components */
  ack_hang_up(p);
  ack_free(x);
}

static void test_H22_type_of_the_answer_by_option(void **state) {
  (void)state;
  static const struct { const char *options, *version, *want; } t[] = {{"", "2.3.1", "||ACK|"}, {"", "2.4", "||ACK^A01^ACK|"}, {"\"ack_type\":\"plain\"", "2.8", "||ACK|"}, {"\"ack_type\":\"event\"", "2.2", "||ACK^A01^ACK|"}};
  for (unsigned i = 0; i < 4; i++) {
    ackrig *x = ack_new(ack_program, t[i].options, "");
    peer *p = ack_connect(x, 2575);
    char rest[20];
    snprintf(rest, sizeof rest, "P|%s", t[i].version);
    assert_non_null(strstr(ack_say(x, p, ack_adt(x, "M1", "1", rest)), t[i].want));
    ack_hang_up(p);
    ack_free(x);
  }
}

static void test_H23_any_field_of_MSH_may_be_empty(void **state) {
  (void)state;
  static const char *const fill[] = {"", "^", "^^", "~", "&", "\"\"", "^~&\\"};
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  for (unsigned f = 3; f <= 20; f++)
    for (unsigned k = 0; k < 7; k++) {
      char in[400] = "\x0BMSH|^~\\&", part[24];
      for (unsigned i = 3; i <= 20; i++) {
        snprintf(part, sizeof part, "|%s", i == f ? fill[k] : i == 9 ? "ADT^A01" : i == 12 ? "2.5" : i == 10 ? "" : i == 15 || i == 16 || i == 14 || i == 18 ? "" : "x");
        if (i == 10 && i != f) snprintf(part, sizeof part, "|M%u-%u", f, k);
        strcat(in, part);
      }
      strcat(in, "\rPID|1||1\r\x1C\r");
      const char *got = ack_codes(x, ack_say_for(x, p, in, strlen(in), 50000));
      assert_true(strlen(got) >= 2 || ((f == 15 || f == 16) && !got[0])); /* a condition that is no condition makes the mode enhanced */
      assert_null(strchr(got, '?'));
    }
  ack_hang_up(p);
  ack_free(x);
}

static void test_H24_no_usable_head(void **state) {
  (void)state;
  static const char *const bad[] = {"\x0Bhello\x1C\r", "\x0BMSH\x1C\r", "\x0BMSHA\r\x1C\r", "\x0BPID|1\r\x1C\r", "\x0BMSH|^^|x\r\x1C\r"};
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  for (unsigned i = 0; i < 5; i++) {
    const char *got = ack_say(x, p, bad[i]);
    assert_non_null(strstr(got, "MSA|AR|"));
    assert_non_null(strstr(got, "\x0BMSH|^~\\&|"));
  }
  assert_int_equal(ack_info(x, "adt").unparseable, 5);
  assert_int_equal(ack_stored(x), 5); /* kept as failed: somebody can look */
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(ack_program, "\"unparseable\":\"close\"", "");
  p = ack_connect(x, 2575);
  assert_string_equal(ack_say(x, p, bad[0]), "");
  assert_true(p->eof);
  assert_int_equal(ack_info(x, "adt").unparseable, 1);
  ack_hang_up(p);
  ack_free(x);
}

static void test_H29_processing_ids(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"processing\":[\"P\",\"T\"]", "");
  peer *p = ack_connect(x, 2575);
  EXPECT(x, p, "AA", "M1", "1", "P^T|2.5.1");
  EXPECT(x, p, "AA", "M2", "1", "T|2.5.1");
  EXPECT(x, p, "AR", "M3", "1", "D|2.5.1");
  EXPECT(x, p, "AR", "M4", "1", "|2.5.1");
  ack_hang_up(p);
  ack_free(x);
}

static void test_H30_sequence_numbers(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"sequence\":true", "");
  peer *p = ack_connect(x, 2575);
  assert_non_null(strstr(ack_say(x, p, ack_adt(x, "S0", "1", "P|2.5.1|0")), "MSA|AA|S0||-1\r")); /* nothing was ever taken: any first number */
  EXPECT(x, p, "AA", "S1", "1", "P|2.5.1|41");
  assert_non_null(strstr(ack_say(x, p, ack_adt(x, "S2", "1", "P|2.5.1|0")), "MSA|AA|S2||42\r"));
  EXPECT(x, p, "AA", "S3", "1", "P|2.5.1|42");
  const char *got = ack_say(x, p, ack_adt(x, "S4", "1", "P|2.5.1|44"));
  assert_non_null(strstr(got, "MSA|AE|S4|A message before this one is missing|43\r"));
  EXPECT(x, p, "AA", "S3", "1", "P|2.5.1|42"); /* a resend is a resend */
  assert_non_null(strstr(ack_say(x, p, ack_adt(x, "S5", "1", "P|2.5.1|42")), "|43\r"));
  EXPECT(x, p, "AE", "S6", "1", "P|2.5.1|x");
  EXPECT(x, p, "AA", "S7", "1", "P|2.5.1"); /* takes no part */
  ack_hang_up(p);
  ack_restart(x);
  p = ack_connect(x, 2575);
  EXPECT(x, p, "AE", "S8", "1", "P|2.5.1|44"); /* the number survives */
  EXPECT(x, p, "AA", "S9", "1", "P|2.5.1|43");
  EXPECT(x, p, "AA", "S10", "1", "P|2.5.1|-1"); /* begin again anywhere */
  EXPECT(x, p, "AA", "S11", "1", "P|2.5.1|7");
  EXPECT(x, p, "AE", "S12", "1", "P|2.5.1|9");
  assert_int_equal(x->calls, 6); /* 41, 42, no number, 43, -1, 7; 0 is not processed */
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(ack_program, "", ""); /* off: ignored */
  p = ack_connect(x, 2575);
  EXPECT(x, p, "AA", "M1", "1", "P|2.5.1|9");
  EXPECT(x, p, "AA", "M2", "1", "P|2.5.1|3");
  ack_hang_up(p);
  ack_free(x);
}

static void test_H37_H38_H39_character_sets(void **state) {
  (void)state;
  static const struct { const char *options, *rest, *name, *stored; } t[] = {
      {"", "P|2.5.1", "J\xC3\xB6rg", "J\xC3\xB6rg"},                                   /* absent: UTF-8 ... */
      {"", "P|2.5.1", "J\xF6rg", "J\xC3\xB6rg"},                                       /* ... else Windows-1252 */
      {"\"charset\":\"8859/15\"", "P|2.5.1", "\xA4", "\xE2\x82\xAC"},                  /* the listener's */
      {"\"charset\":\"8859/15\"", "P|2.5.1||||||8859/1", "\xA4", "\xC2\xA4"},          /* MSH-18 goes before it */
      {"", "P|2.5.1||||||UNICODE UTF-8", "J\xF6rg", "J\xEF\xBF\xBDrg"}};               /* replaced, and a warning */
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    ackrig *x = ack_new(ack_program, t[i].options, "");
    peer *p = ack_connect(x, 2575);
    EXPECT(x, p, "AA", "M1", t[i].name, t[i].rest);
    prog_run_for(x->p, 2000000);
    assert_int_equal(x->calls, 1);
    assert_non_null(strstr(x->bodies[0], t[i].stored));
    ack_hang_up(p);
    ack_free(x);
  }
  ackrig *x = ack_new(ack_program, "\"strict_data\":true", "");
  peer *p = ack_connect(x, 2575);
  EXPECT(x, p, "AE", "M1", "J\xF6rg", "P|2.5.1||||||UNICODE UTF-8");
  static const char wide[] = "\x0B\xFF\xFEM\0S\0H\0|\0^\0\x1C\r"; /* H-38 */
  const char *got = ack_say_for(x, p, wide, sizeof wide - 1, 400000);
  assert_string_equal(ack_codes(x, got), "AR");
  ack_hang_up(p);
  ack_free(x);
}

static void test_H45_continued_messages_are_refused(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  static const char *const t[] = {"\x0BMSH|^~\\&|A|B|C|D|2026||ADT^A01|C1|P|2.5.1||77\rPID|1||1\r\x1C\r", "\x0BMSH|^~\\&|A|B|C|D|2026||ADT^A01|C2|P|2.5.1\rPID|1||1\rDSC|77|F\r\x1C\r",
                                  "\x0BMSH|^~\\&|A|B|C|D|2026||ADT^A01|C3|P|2.5.1\rPID|1||1\rADD|x\r\x1C\r"};
  for (unsigned i = 0; i < 3; i++) {
    const char *got = ack_say(x, p, t[i]);
    assert_string_equal(ack_codes(x, got), "AR");
    assert_non_null(strstr(got, "200^Unsupported message type"));
  }
  assert_int_equal(x->calls, 0);
  ack_hang_up(p);
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H14_H15_truth_table_on_the_wire),
      cmocka_unit_test(test_H16_accept_ack_at_commit_application_ack_after_the_run),
      cmocka_unit_test(test_H16_deadline_and_joining),
      cmocka_unit_test(test_H17_acknowledgements_are_not_acknowledged),
      cmocka_unit_test(test_H18_modes_and_code_map),
      cmocka_unit_test(test_H22_H25_H26_H27_answers_name_places_not_values),
      cmocka_unit_test(test_H22_type_of_the_answer_by_option),
      cmocka_unit_test(test_H23_any_field_of_MSH_may_be_empty),
      cmocka_unit_test(test_H24_no_usable_head),
      cmocka_unit_test(test_H29_processing_ids),
      cmocka_unit_test(test_H30_sequence_numbers),
      cmocka_unit_test(test_H37_H38_H39_character_sets),
      cmocka_unit_test(test_H45_continued_messages_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
