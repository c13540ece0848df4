#include "hl7_dict.h"
#include "hl7_support.h"

static val group(rig *r, val base, const char *name) {
  val v;
  assert_int_equal(hl7_group(&r->cx, base, name, strlen(name), &v), HDW_OK);
  return v;
}

/* Segments of each group: "PID,PV1|OBR,OBX". */
static const char *ranges(rig *r, val groups) {
  buf b;
  buf_init(&b, &r->a, 1 << 16);
  for (uint32_t i = 0; i < val_count(groups); i++) {
    const hl7_node *n = hl7_of(val_item(groups, i));
    if (i) buf_putc(&b, '|');
    for (uint32_t k = n->seg; k < n->seg_end; k++) {
      char t[4];
      hl7_name_text(n->m->segs[k].name, t);
      buf_putf(&b, "%s%s", k > n->seg ? "," : "", t);
    }
  }
  buf_putc(&b, 0);
  return b.p;
}

static val dict_message(rig *r, const char *type, const char *segs) {
  buf b;
  buf_init(&b, &r->a, 1 << 16);
  buf_putf(&b, "MSH|^~\\&|||||||%s|1|P|2.5.1\r", type);
  for (const char *p = segs; *p; p += strcspn(p, " "), p += *p == ' ') buf_putf(&b, "%.3s|1\r", p);
  r->opts.schema = &hl7_dict_schema;
  return whole_message(r, parse_n(r, b.p, b.len));
}

static void test_oru(void **state) {
  rig *r = *state;
  val m = dict_message(r, "ORU^R01^ORU_R01", "PID PD1 NTE PV1 ORC OBR NTE OBX NTE OBX OBR OBX SPM OBX PID OBR OBX DSC");
  val pr = group(r, m, "PATIENT_RESULT");
  assert_string_equal(ranges(r, pr), "PID,PD1,NTE,PV1,ORC,OBR,NTE,OBX,NTE,OBX,OBR,OBX,SPM,OBX|PID,OBR,OBX");
  val oo = group(r, pr, "ORDER_OBSERVATION");
  assert_string_equal(ranges(r, oo), "ORC,OBR,NTE,OBX,NTE,OBX|OBR,OBX,SPM,OBX|OBR,OBX");
  assert_string_equal(ranges(r, group(r, oo, "OBSERVATION")), "OBX,NTE|OBX|OBX|OBX");
  assert_string_equal(ranges(r, group(r, oo, "SPECIMEN")), "SPM,OBX");
  assert_string_equal(ranges(r, group(r, pr, "PATIENT")), "PID,PD1,NTE,PV1|PID");
  assert_string_equal(ranges(r, group(r, group(r, pr, "PATIENT"), "VISIT")), "PV1");
  assert_int_equal(val_count(group(r, m, "ORDER_OBSERVATION")), 0);
  assert_int_equal(val_count(group(r, m, "NOWHERE")), 0);
  assert_int_equal(val_count(get(r, val_item(oo, 1), "OBX-1")), 2);
  assert_int_equal(val_count(get(r, group(r, pr, "PATIENT"), "NTE")), 1);
  val member;
  assert_int_equal(hl7_model_member(&r->cx, m, val_key("PATIENT_RESULT", 14), &member), HDW_OK);
  assert_int_equal(val_count(member), 2);
  assert_int_equal(hl7_model_member(&r->cx, val_item(oo, 0), val_key("NTE", 3), &member), HDW_OK);
  assert_int_equal(val_count(member), 2);
}

static void test_what_does_not_fit_stays_in_the_open_group(void **state) {
  rig *r = *state;
  val m = dict_message(r, "ORU^R01^ORU_R01", "ZHD PID ZPI OBR ZZZ OBX ZOB PID OBX QAK OBR");
  val pr = group(r, m, "PATIENT_RESULT");
  assert_string_equal(ranges(r, pr), "PID,ZPI,OBR,ZZZ,OBX,ZOB|PID,OBX,QAK,OBR");
  assert_string_equal(ranges(r, group(r, group(r, pr, "ORDER_OBSERVATION"), "OBSERVATION")), "OBX,ZOB");
  assert_string_equal(ranges(r, group(r, group(r, pr, "PATIENT"), "PATIENT_OBSERVATION")), "OBX,QAK");
  assert_string_equal(ranges(r, group(r, dict_message(r, "ORU^R01", "OBR OBX"), "PATIENT_RESULT")), "OBR,OBX");
}

static void test_orders_repeat_rather_than_become_prior_results(void **state) {
  rig *r = *state;
  val m = dict_message(r, "OML^O21^OML_O21", "PID PV1 ORC OBR OBX ORC OBR ORC OBR NTE");
  assert_string_equal(ranges(r, group(r, m, "ORDER")), "ORC,OBR,OBX|ORC,OBR|ORC,OBR,NTE");
}

static void test_adt_and_others(void **state) {
  rig *r = *state;
  val m = dict_message(r, "ADT^A04", "EVN PID PD1 NK1 NK1 PV1 OBX AL1 DG1 PR1 ROL GT1 IN1 IN2 IN1 IN3 ACC");
  assert_string_equal(ranges(r, group(r, m, "INSURANCE")), "IN1,IN2|IN1,IN3");
  assert_string_equal(ranges(r, group(r, m, "PROCEDURE")), "PR1,ROL");
  m = dict_message(r, "SIU^S12^SIU_S12", "SCH NTE PID PV1 RGS AIS NTE AIG AIL AIP RGS AIS");
  assert_string_equal(ranges(r, group(r, m, "RESOURCES")), "RGS,AIS,NTE,AIG,AIL,AIP|RGS,AIS");
  assert_string_equal(ranges(r, group(r, group(r, m, "RESOURCES"), "SERVICE")), "AIS,NTE|AIS");
  m = dict_message(r, "VXU^V04^VXU_V04", "PID NK1 ORC RXA RXR OBX OBX ORC RXA");
  assert_string_equal(ranges(r, group(r, m, "ORDER")), "ORC,RXA,RXR,OBX,OBX|ORC,RXA");
  assert_string_equal(ranges(r, group(r, group(r, m, "ORDER"), "OBSERVATION")), "OBX|OBX");
}

static void test_unknown_structures_and_names(void **state) {
  rig *r = *state;
  val m = dict_message(r, "ZZZ^Z99", "PID OBR"), v;
  assert_int_equal(val_count(group(r, m, "PATIENT_RESULT")), 0);
  hl7_msg *p = parse(r, "MSH|^~\\&|||||||ADT^A01|1|P|2.5\rPID|1||77^^^H&1.2&ISO^MR||DOE^JANE||19800101\r");
  val seg = get(r, whole_message(r, p), "PID");
  static const struct {
    const char *field, *comp, *sub, *want;
  } t[] = {
      {"patientIdentifierList", "idNumber", NULL, "77"}, {"patientIdentifierList", "assigningAuthority", "universalId", "1.2"},
      {"patientName", "givenName", NULL, "JANE"},        {"patientName", "familyName", NULL, "DOE"},
      {"dateTimeOfBirth", NULL, NULL, "19800101"},       {"noSuchField", NULL, NULL, ""},
      {"patientName", "noSuchPart", NULL, ""},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    v = seg;
    const char *names[] = {t[i].field, t[i].comp, t[i].sub};
    for (int k = 0; k < 3 && names[k] && v.tag == VAL_HL7; k++)
      assert_int_equal(hl7_model_member(&r->cx, v, val_key(names[k], strlen(names[k])), &v), HDW_OK);
    assert_string_equal(joined(r, v), t[i].want);
  }
  bool is;
  assert_int_equal(hl7_model_is_type(&r->cx, seg, "PID", 3, &is), HDW_OK);
  assert_true(is);
  assert_int_equal(hl7_model_is_type(&r->cx, seg, "OBX", 3, &is), HDW_OK);
  assert_false(is);
  assert_int_equal(hl7_model_is_type(&r->cx, whole_message(r, p), "ADT_A01", 7, &is), HDW_OK);
  assert_true(is);
  assert_int_equal(hl7_model_is_type(&r->cx, whole_message(r, p), "ORU_R01", 7, &is), HDW_OK);
  assert_false(is);
  assert_int_equal(hl7_model_is_type(&r->cx, seg, "Patient", 7, &is), HDW_E_NOTFOUND);
}

/* Whatever the order of segments: groups of one name do not overlap, are in order, and lie inside their parent. */
static void test_random_orders_give_nested_ranges(void **state) {
  rig *r = *state;
  static const char *const names[] = {"PID", "PV1", "ORC", "OBR", "OBX", "NTE", "SPM", "DSC", "ZAA", "PD1", "TQ1", "FT1"};
  uint64_t seed = 7;
  for (int n = 0; n < 3000; n++) {
    char segs[200] = "";
    for (int k = 0; k < n % 24; k++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      strcat(strcat(segs, names[(seed >> 33) % 12]), " ");
    }
    val m = dict_message(r, n % 2 ? "ORU^R01" : "OML^O21", segs), level = m;
    static const char *const path[2][3] = {{"ORDER", "OBSERVATION_REQUEST", "OBSERVATION"},
                                           {"PATIENT_RESULT", "ORDER_OBSERVATION", "OBSERVATION"}};
    for (int d = 0; d < 3; d++) {
      uint32_t last = 0;
      for (uint32_t p = 0; p < val_count(level); p++) {
        const hl7_node *up = hl7_of(val_item(level, p));
        val kids = group(r, val_item(level, p), path[n % 2][d]);
        for (uint32_t k = 0; k < val_count(kids); k++) {
          const hl7_node *g = hl7_of(val_item(kids, k));
          assert_true(g->seg < g->seg_end && g->seg >= last);
          if (up->level == HL7_GROUP) assert_true(g->seg >= up->seg && g->seg_end <= up->seg_end);
          last = g->seg_end;
        }
      }
      level = group(r, level, path[n % 2][d]);
    }
    arena_reset(&r->a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      T(test_oru),
      T(test_what_does_not_fit_stays_in_the_open_group),
      T(test_orders_repeat_rather_than_become_prior_results),
      T(test_adt_and_others),
      T(test_unknown_structures_and_names),
      T(test_random_orders_give_nested_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
