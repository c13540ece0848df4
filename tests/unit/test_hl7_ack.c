#include "hl7_support.h"

static const char *ack_of(rig *r, const char *in, const hl7_ack_opts *o) {
  hl7_slice s;
  assert_int_equal(hl7_ack(&r->a, rig_exact(r, in, strlen(in)), strlen(in), o, &s), HDW_OK);
  return slice_str(r, s);
}

static hl7_ack_opts opts(const char *code) {
  hl7_ack_opts o = {.code = code, .control_id = "A1"};
  assert_int_equal(tm_make(2024, 1, 15, 10, 30, 5, 0, TM_SECOND, &o.now), HDW_OK);
  o.now.has_zone = true;
  o.now.zone_min = -360;
  return o;
}

static void test_H14_H15_who_is_owed_what(void **state) {
  (void)state;
  static const char *const cond[] = {"", "AL", "NE", "ER", "SU"};
  for (unsigned i = 0; i < 5; i++)
    for (unsigned k = 0; k < 5; k++)
      for (unsigned o = 0; o < 3; o++)
        for (unsigned al = 0; al < 2; al++) {
          hl7_head h = {.accept_ack = {cond[i], (uint32_t)strlen(cond[i])}, .app_ack = {cond[k], (uint32_t)strlen(cond[k])}};
          hl7_ack_plan p;
          hl7_plan_ack(&h, (hl7_outcome)o, al, &p);
          if (i == 0 && k == 0) {
            assert_false(p.enhanced);
            assert_null(p.accept);
            assert_string_equal(p.app, o == HL7_OK ? "AA" : o == HL7_ERROR ? "AE" : "AR");
            continue;
          }
          assert_true(p.enhanced);
          assert_int_equal(p.lone, i == 0 || k == 0);
          bool due[5] = {al, true, false, o != HL7_OK, o == HL7_OK};
          if (due[i]) assert_string_equal(p.accept, o == HL7_OK ? "CA" : o == HL7_ERROR ? "CE" : "CR");
          else assert_null(p.accept);
          if (due[k]) assert_string_equal(p.app, o == HL7_OK ? "AA" : o == HL7_ERROR ? "AE" : "AR");
          else assert_null(p.app);
        }
}

static void test_H22_fields_of_the_answer(void **state) {
  rig *r = *state;
  hl7_ack_opts o = opts("AA");
  assert_string_equal(
      ack_of(r, "MSH|^~\\&|APP^1.2^ISO|FAC^3.4^ISO|TO^5^ISO|TF^6^ISO|20240101||ADT^A01^ADT_A01|C-1|P^T|2.5.1^USA|||AL|NE\rEVN|A01\r", &o),
      "MSH|^~\\&|TO^5^ISO|TF^6^ISO|APP^1.2^ISO|FAC^3.4^ISO|20240115103005-0600||ACK^A01^ACK|A1|P^T|2.5.1^USA\rMSA|AA|C-1\r");
  assert_string_equal(ack_of(r, "MSH:;~\\%:A:B:C:D:::ADT;A01:9:P:2.3.1\r", &o),
                      "MSH:;~\\%:C:D:A:B:20240115103005-0600::ACK:A1:P:2.3.1\rMSA:AA:9\r");
  o.structure = 2;
  assert_string_equal(ack_of(r, "MSH|^~\\&|||||||ADT^A01|9|P|2.3\r", &o),
                      "MSH|^~\\&|||||20240115103005-0600||ACK^A01^ACK|A1|P|2.3\rMSA|AA|9\r");
  o.structure = 1;
  assert_string_equal(ack_of(r, "MSH|^~\\&|||||||ADT^A01|9|P|2.8\r", &o), "MSH|^~\\&|||||20240115103005-0600||ACK|A1|P|2.8\rMSA|AA|9\r");
  o.structure = 0;
  static const struct {
    const char *version, *type;
  } v[] = {{"2.1", "ACK"},           {"2.2b", "ACK"},      {"2.3.z", "ACK"}, {"2.4", "ACK^A01^ACK"},
           {"2.999", "ACK^A01^ACK"}, {"3", "ACK^A01^ACK"}, {"", "ACK"},      {"x", "ACK"}};
  for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
    char in[100], want[20];
    snprintf(in, sizeof in, "MSH|^~\\&|||||||ADT^A01|9|P|%s\r", v[i].version);
    snprintf(want, sizeof want, "||%s|A1|P|", v[i].type);
    assert_non_null(strstr(ack_of(r, in, &o), want));
  }
  /* bytes above ASCII are copied, so their set is named */
  assert_string_equal(ack_of(r, "MSH|^~\\&|M\xFCller|||||||9|P|2.3||||||8859/1\r", &o),
                      "MSH|^~\\&|||M\xFCller||20240115103005-0600||ACK|A1|P|2.3||||||8859/1\rMSA|AA|9\r");
}

static void test_H23_any_empty_field(void **state) {
  rig *r = *state;
  static const char *const fill[] = {"", "^", "^^", "~", "&", "\"\"", "^~&\\"};
  for (unsigned f = 2; f <= 20; f++)
    for (unsigned k = 0; k < 7; k++)
      for (unsigned end = f; end <= 20; end++) {
        char in[400] = "MSH|^~\\&", part[16];
        for (unsigned i = 3; i <= end; i++) {
          snprintf(part, sizeof part, "|%s", i == f ? fill[k] : i == 12 ? "2.5" : i == 10 ? "9" : "x");
          strcat(in, part);
        }
        strcat(in, "\r");
        hl7_ack_opts o = opts("AA");
        const char *a = ack_of(r, in, &o);
        hl7_msg *m = parse(r, a);
        assert_string_equal(text(r, m, "MSH-10"), "A1");
        hl7_ack_info info;
        assert_int_equal(hl7_ack_read(m, &info), HDW_OK);
        bool no_id = end < 10 || (f == 10 && (k == 0 || k == 5));
        assert_string_equal(info.code, no_id ? "AR" : "AA");
        assert_int_equal(info.nerrors, no_id);
      }
}

static void test_H24_missing_control_id(void **state) {
  rig *r = *state;
  hl7_ack_opts o = opts("AA");
  assert_string_equal(ack_of(r, "MSH|^~\\&|A|B|C|D|||ADT^A01||P|2.5.1\r", &o),
                      "MSH|^~\\&|C|D|A|B|20240115103005-0600||ACK^A01^ACK|A1|P|2.5.1\rMSA|AR|\rERR||MSH^1^10|101^Required field "
                      "missing^HL70357|E|||the message has no control id\r");
  o.code = "CE";
  assert_string_equal(ack_of(r, "MSH|^~\\&|A|B|C|D|||ADT^A01||P|2.3\r", &o),
                      "MSH|^~\\&|C|D|A|B|20240115103005-0600||ACK|A1|P|2.3\rMSA|CR|\rERR|MSH^1^10^101&Required field missing&HL70357\r");
}

static void test_H24_unusable_head(void **state) {
  rig *r = *state;
  hl7_ack_opts o = opts("AE");
  assert_string_equal(ack_of(r, "PID|1\r", &o), "MSH|^~\\&|||||20240115103005-0600||ACK|A1|P|2.5.1\rMSA|AR|\rERR|||100^Segment sequence "
                                                "error^HL70357|E|||the message does not begin with MSH\r");
  const char *a = ack_of(r, "MSH|^^|x\r", &o);
  assert_non_null(strstr(a, "MSA|AR|\rERR||MSH^1^2|102^Data type error^HL70357|E|||an encoding character is repeated\r"));
  a = ack_of(r, "", &o);
  assert_non_null(strstr(a, "MSA|AR|\rERR|"));
}

static void test_H26_both_error_layouts(void **state) {
  rig *r = *state;
  hl7_problem e[3] = {{.code = 101, .seg = "PID", .seg_rep = 1, .field = 3, .severity = 'E', .text = "a value is missing"},
                      {.code = 103, .seg = "OBX", .seg_rep = 4, .field = 5, .rep = 2, .comp = 3, .sub = 1, .severity = 'W'},
                      {.code = 207}};
  hl7_ack_opts o = opts("AE");
  o.errors = e;
  o.nerrors = 3;
  o.text = "rejected: a|b";
  assert_string_equal(ack_of(r, "MSH|^~\\&|||||||ADT^A01|9|P|2.5\r", &o),
                      "MSH|^~\\&|||||20240115103005-0600||ACK^A01^ACK|A1|P|2.5\rMSA|AE|9|rejected: a\\F\\b\r"
                      "ERR||PID^1^3|101^Required field missing^HL70357|E|||a value is missing|rejected: a\\F\\b\r"
                      "ERR||OBX^4^5^2^3^1|103^Table value not found^HL70357|W||||rejected: a\\F\\b\r"
                      "ERR|||207^Application internal error^HL70357|E||||rejected: a\\F\\b\r");
  assert_string_equal(ack_of(r, "MSH|^~\\&|||||||ADT^A01|9|P|2.4\r", &o),
                      "MSH|^~\\&|||||20240115103005-0600||ACK^A01^ACK|A1|P|2.4\rMSA|AE|9|rejected: a\\F\\b\r"
                      "ERR|PID^1^3^101&Required field missing&HL70357~OBX^4^5^103&Table value not found&HL70357~^^^207&Application "
                      "internal error&HL70357\r");
  for (int v = 0; v < 2; v++) { /* the reader takes both */
    hl7_ack_info i;
    assert_int_equal(
        hl7_ack_read(parse(r, ack_of(r, v ? "MSH|^~\\&|||||||ADT^A01|9|P|2.8\r" : "MSH|^~\\&|||||||ADT^A01|9|P|2.2\r", &o)), &i), HDW_OK);
    assert_string_equal(i.code, "AE");
    assert_string_equal(slice_str(r, i.control_id), "9");
    assert_string_equal(slice_str(r, i.own_id), "A1");
    assert_int_equal(i.nerrors, 3);
    assert_string_equal(slice_str(r, i.errors[0].location), "PID^1^3");
    assert_string_equal(slice_str(r, i.errors[0].code), "101");
    assert_string_equal(slice_str(r, i.errors[0].text), "Required field missing");
    assert_string_equal(slice_str(r, i.errors[1].severity), v ? "W" : "");
    assert_string_equal(slice_str(r, i.errors[2].code), "207");
  }
  o.nerrors = 0;
  o.text = NULL;
  o.expected_sequence = true;
  o.sequence = 12;
  assert_non_null(strstr(ack_of(r, "MSH|^~\\&|||||||ADT^A01|9|P|2.5\r", &o), "MSA|AE|9||12\r"));
}

static void test_short_delimiters_keep_the_structure(void **state) {
  rig *r = *state;
  hl7_problem e[2] = {{.code = 101, .seg = "PID", .seg_rep = 1, .field = 3}, {.code = 102, .text = "a~b"}};
  hl7_ack_opts o = opts("AE");
  o.errors = e;
  o.nerrors = 2;
  static const char *const heads[] = {"MSH|^|||||||ADT^A01|9|P|2.3\r", "MSH|^|||||||ADT^A01|9|P|2.5\r", "MSH|^~|||||||ADT^A01|9|P|2.3\r",
                                      "MSH|~&|||||||ADT~A01|9|P|2.3\r", "MSH*|*******ADT|9*9*P*2.5\r"};
  for (size_t i = 0; i < 5; i++) {
    hl7_msg *m = parse(r, ack_of(r, heads[i], &o));
    assert_string_equal(text(r, m, "MSH-10"), "A1");
    hl7_ack_info info;
    assert_int_equal(hl7_ack_read(m, &info), HDW_OK);
    assert_string_equal(info.code, "AE");
    assert_true(info.nerrors >= 1);
    for (uint32_t k = 2; k < m->nsegs; k++) assert_true(hl7_field_count(m, k) <= 8);
  }
}

static void test_H20_reading_bad_answers(void **state) {
  rig *r = *state;
  hl7_ack_info i;
  assert_int_equal(hl7_ack_read(parse(r, "MSH|^~\\&|A\rPID|1\r"), &i), HDW_E_NOTFOUND);
  assert_int_equal(hl7_ack_read(parse(r, "MSH|^~\\&|A\rMSA|OK|1\r"), &i), HDW_OK);
  assert_string_equal(i.code, "");
  assert_int_equal(hl7_ack_read(parse(r, "MSH|^~\\&|A\rMSA\r"), &i), HDW_OK);
  assert_string_equal(i.code, "");
  assert_int_equal(i.control_id.len, 0);
  char many[4000] = "MSH|^~\\&|A\rMSA|AE|1\r";
  for (int k = 0; k < 20; k++) strcat(many, "ERR|PID^1^3^101~OBX^1\r");
  assert_int_equal(hl7_ack_read(parse(r, many), &i), HDW_OK);
  assert_int_equal(i.nerrors, 40);
  assert_string_equal(slice_str(r, i.errors[7].location), "OBX^1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      T(test_H14_H15_who_is_owed_what),
      T(test_H22_fields_of_the_answer),
      T(test_H23_any_empty_field),
      T(test_H24_missing_control_id),
      T(test_H24_unusable_head),
      T(test_H26_both_error_layouts),
      T(test_short_delimiters_keep_the_structure),
      T(test_H20_reading_bad_answers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
