#include "hl7_support.h"

static hl7_batch *split(rig *r, const char *in) {
  hl7_batch *b;
  hl7_problem why = {0};
  size_t n = strlen(in);
  hdw_status s = hl7_split(&r->a, rig_exact(r, in, n), n, &b, &why);
  if (s) fail_msg("split: %s", why.text);
  return b;
}

/* Kinds in order: M F B b f J; '+' behind a message that is continued; digits: the batch. */
static const char *kinds(rig *r, const hl7_batch *b) {
  buf o;
  buf_init(&o, &r->a, 1000);
  for (uint32_t i = 0; i < b->nparts; i++) {
    buf_putc(&o, "MFBbfJ"[b->parts[i].kind]);
    if (b->parts[i].batch) buf_putf(&o, "%u", b->parts[i].batch);
    if (b->parts[i].continued) buf_putc(&o, '+');
  }
  buf_putc(&o, 0);
  return o.p;
}

static const char *part(rig *r, const hl7_batch *b, uint32_t i) { return arena_dup(&r->a, b->bytes + b->parts[i].off, b->parts[i].len); }

static void test_H43_envelopes(void **state) {
  rig *r = *state;
  hl7_batch *b = split(r, "FHS|^~\\&|A\rBHS|^~\\&|B\rMSH|^~\\&|1\rPID|1\rMSH:;~\\%:2\rPID:1\rBTS|2\rBHS|^~\\&|C\rBTS|0\rFTS|2\r");
  assert_string_equal(kinds(r, b), "FB1M1M1b1B2b2f");
  assert_int_equal(b->nmessages, 2);
  assert_int_equal(b->nbatches, 2);
  assert_true(b->has_envelope);
  assert_false(b->counts_wrong);
  assert_string_equal(part(r, b, 2), "MSH|^~\\&|1\rPID|1\r");
  assert_string_equal(part(r, b, 3), "MSH:;~\\%:2\rPID:1\r");
  assert_int_equal(b->parts[3].line, 5);
  assert_string_equal(kinds(r, split(r, "MSH|^~\\&|1\rPID|1\r")), "M");
  assert_string_equal(kinds(r, split(r, "MSH|^~\\&|1\nPID|1\nMSH|^~\\&|2\nPID|1")), "MM");
  assert_string_equal(kinds(r, split(r, "MSH|^~\\&|1\r\nPID|1\r\n\r\nMSH|^~\\&|2\r\n")), "MM");
  assert_string_equal(kinds(r, split(r, "BHS|^~\\&\rMSH|^~\\&|1\rMSH|^~\\&|2\r")), "B1M1M1");
  assert_string_equal(kinds(r, split(r, "MSH|^~\\&|1\rBTS|1\rMSH|^~\\&|2\rFTS\r")), "MbMf");
}

static void test_H43_counts(void **state) {
  rig *r = *state;
  static const struct {
    const char *in, *seg;
    uint32_t at;
  } t[] = {
      {"BHS|^~\\&\rMSH|^~\\&|1\rBTS|2\r", "BTS", 24},
      {"FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&|1\rBTS|1\rFTS|3\r", "FTS", 39},
      {"MSH|^~\\&|1\rBTS|0\r", "BTS", 15},
      {"BHS|^~\\&\rMSH|^~\\&|1\rBTS\r", NULL, 0},
      {"BHS|^~\\&\rMSH|^~\\&|1\rBTS|many\r", NULL, 0},
      {"BHS|^~\\&\rBTS|0\r", NULL, 0},
      {"FHS|^~\\&\rMSH|^~\\&|1\rFTS|1\r", NULL, 0},
      {"BHS|^~\\&\rMSH|^~\\&|1\rBTS|001\r", NULL, 0},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    hl7_batch *b = split(r, t[i].in);
    assert_int_equal(b->counts_wrong, t[i].seg != NULL);
    if (!t[i].seg) continue;
    assert_string_equal(b->problem.seg, t[i].seg);
    assert_int_equal(b->problem.field, 1);
    assert_int_equal(b->problem.offset, t[i].at);
  }
}

static void test_H45_files(void **state) {
  rig *r = *state;
  hl7_batch *b = split(r, "\x0BMSH|^~\\&|1\rPID|1\r\x1C\r\x0BMSH|^~\\&|2\r\x1C\r");
  assert_string_equal(kinds(r, b), "MM");
  assert_string_equal(part(r, b, 0), "MSH|^~\\&|1\rPID|1\r");
  assert_string_equal(part(r, b, 1), "MSH|^~\\&|2\r");
  b = split(r, "# comment\r\rMSH|^~\\&|1\rcontinued\r");
  assert_string_equal(kinds(r, b), "JM");
  assert_int_equal(b->parts[1].line, 3);
  assert_string_equal(part(r, b, 1), "MSH|^~\\&|1\rcontinued\r");
  assert_string_equal(kinds(r, split(r, "MSH|^~\\&|1\rOBX|1|a\nMSH|^~\\&|b\rMSH|^~\\&|2\r")), "MM"); /* a LF is data ... */
  assert_string_equal(kinds(r, split(r, "MSH|^~\\&|1\rOBX|1\n\nMSH|^~\\&|2\rOBX|1\n\n")), "MM"); /* ... but for an empty line before MSH */
  assert_string_equal(kinds(r, split(r, "MSH|^~\\&||||||||||||c7\rPID|1\rMSH|^~\\&|2\rDSC|p|F\rMSH|^~\\&|3\rDSC||\r")), "M+M+M");
  static const char *const none[] = {"", "\r\n", "PID|1\r", "MSHA", "text\rmore"};
  for (size_t i = 0; i < 5; i++) {
    hl7_problem why = {0};
    assert_int_equal(hl7_split(&r->a, none[i], strlen(none[i]), &b, &why), HDW_E_SYNTAX);
    assert_non_null(why.text);
  }
}

static void test_H44_batch_answer(void **state) {
  rig *r = *state;
  hl7_batch *b = split(r, "BHS:;~\\%:A:B:C:D:2024::::BC-7\rMSH|^~\\&|1\rBTS:1\r");
  tm_val now;
  hl7_slice out, acks[2] = {{"MSH|^~\\&|x\rMSA|AE|1\r", 20}, {"MSH|^~\\&|y\r", 11}};
  assert_int_equal(tm_make(2024, 1, 15, 10, 30, 0, 0, TM_MINUTE, &now), HDW_OK);
  assert_int_equal(hl7_batch_ack(&r->a, b, 1, acks, 2, "OWN", &now, &out), HDW_OK);
  assert_string_equal(slice_str(r, out), "BHS:;~\\%:C:D:A:B:202401151030::::OWN:BC-7\rMSH|^~\\&|x\rMSA|AE|1\rMSH|^~\\&|y\rBTS:2\r");
  assert_int_equal(hl7_batch_ack(&r->a, b, 1, NULL, 0, "OWN", &now, &out), HDW_OK);
  assert_string_equal(slice_str(r, out), "BHS:;~\\%:C:D:A:B:202401151030::::OWN:BC-7\rBTS:0\r");
  hl7_batch *back;
  assert_int_equal(hl7_split(&r->a, out.p, out.len, &back, NULL), HDW_OK);
  assert_int_equal(back->nmessages, 0);
  assert_int_equal(back->nbatches, 1);
  assert_int_equal(hl7_batch_ack(&r->a, b, 2, NULL, 0, "OWN", &now, &out), HDW_E_NOTFOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {T(test_H43_envelopes), T(test_H43_counts), T(test_H45_files), T(test_H44_batch_answer)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
