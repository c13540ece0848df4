/* The merged HL7 v2 dictionary: names, older names, types, structures, events, tables; and did-you-mean. */
#include "support.h"
#include <string.h>
#include "dict.h"

#define S(s) (s), strlen(s)

static int seg(const char *name) {
  int s = dict_segment(S(name));
  assert_true(s >= 0);
  return s;
}

static int type(const char *name) {
  int t = dict_datatype(S(name));
  assert_true(t >= 0);
  return t;
}

static void test_segments_by_name(void **state) {
  (void)state;
  assert_int_equal(dict_segment_count(), 181);
  assert_string_equal(dict_segment_title(seg("PID")), "Patient Identification");
  assert_int_equal(dict_segment(S("pid")), -1);
  assert_int_equal(dict_segment(S("PI")), -1);
  assert_int_equal(dict_segment(S("PIDX")), -1);
  assert_int_equal(dict_segment(S("ZPV")), -1);
  assert_int_equal(dict_segment("", 0), -1);
  for (int i = 0; i < dict_segment_count(); i++) assert_int_equal(dict_segment(S(dict_segment_name(i))), i);
}

static void test_fields_have_the_latest_form(void **state) {
  (void)state;
  dict_info f;
  assert_true(dict_field(seg("PID"), 3, &f));
  assert_string_equal(f.name, "Patient Identifier List");
  assert_string_equal(f.alias, "patientIdentifierList");
  assert_int_equal(f.type, type("CX"));
  assert_int_equal(f.max, 0);
  assert_int_equal(f.opt, 'R');
  assert_string_equal(dict_version_name(f.since), "2.1");
  assert_string_equal(dict_version_name(f.until), "2.8");
  assert_true(dict_field(seg("PID"), 8, &f));
  assert_int_equal(f.table, 1);
  assert_int_equal(f.max, 1);
  assert_false(dict_field(seg("PID"), 0, &f));
  assert_false(dict_field(seg("PID"), dict_field_count(seg("PID")) + 1, &f));
  assert_false(dict_field(-1, 1, &f));
  assert_true(dict_field(seg("MSH"), 1, &f));
  assert_string_equal(f.alias, "fieldSeparator");
  assert_true(dict_field(seg("MSH"), 9, &f));
  assert_int_equal(f.type, type("MSG"));
}

static void test_older_names_are_aliases(void **state) {
  (void)state;
  assert_int_equal(dict_field_by_alias(seg("PID"), S("patientIdentifierList")), 3);
  assert_int_equal(dict_field_by_alias(seg("PID"), S("patientIdInternal")), 3);
  assert_int_equal(dict_field_by_alias(seg("PID"), S("dateOfBirth")), 7);
  assert_int_equal(dict_field_by_alias(seg("PID"), S("dateTimeOfBirth")), 7);
  assert_int_equal(dict_field_by_alias(seg("PID"), S("sex")), 8);
  assert_int_equal(dict_field_by_alias(seg("PID"), S("mothersMaidenName")), 6);
  assert_int_equal(dict_field_by_alias(seg("PID"), S("nothing")), 0);
  assert_int_equal(dict_field_by_alias(-1, S("sex")), 0);
}

static void test_components_by_name(void **state) {
  (void)state;
  int cx = type("CX"), xpn = type("XPN");
  assert_int_equal(dict_component_by_name(cx, S("idNumber")), 1);
  assert_int_equal(dict_component_by_name(cx, S("id")), 1);
  assert_int_equal(dict_component_by_name(cx, S("assigningAuthority")), 4);
  assert_int_equal(dict_component_by_name(cx, S("identifierTypeCode")), 5);
  assert_int_equal(dict_component_by_name(xpn, S("familyName")), 1);
  assert_int_equal(dict_component_by_name(xpn, S("givenName")), 2);
  assert_int_equal(dict_component_by_name(xpn, S("middleInitialOrName")), 3);
  assert_int_equal(dict_component_by_name(xpn, S("suffix")), 4);
  assert_int_equal(dict_component_by_name(type("HD"), S("namespaceId")), 1);
  assert_int_equal(dict_component_by_name(type("CWE"), S("nameOfCodingSystem")), 3);
  dict_info c;
  assert_true(dict_component(cx, 4, &c));
  assert_int_equal(c.type, type("HD"));
  assert_true(dict_component(xpn, 1, &c));
  assert_int_equal(c.type, type("FN"));
  assert_int_equal(dict_component_by_name(c.type, S("surname")), 1);
  assert_false(dict_component(type("ST"), 1, &c));
}

static void test_a_fields_older_types_still_name_components(void **state) {
  (void)state;
  dict_info f;
  int found = -1;
  assert_true(dict_field(seg("PID"), 2, &f));
  assert_int_equal(f.type, type("ST"));
  assert_int_equal(dict_field_component(seg("PID"), 2, S("idNumber"), &found), 1);
  assert_int_equal(found, type("CX"));
  assert_int_equal(dict_field_component(seg("PID"), 5, S("familyName"), &found), 1);
  assert_int_equal(found, type("XPN"));
  assert_int_equal(dict_field_component(seg("PID"), 5, S("nothing"), &found), 0);
  assert_int_equal(dict_field_type_in(seg("PID"), 3, (unsigned)dict_version(S("2.1"))), type("CK"));
  assert_int_equal(dict_field_type_in(seg("PID"), 7, (unsigned)dict_version(S("2.5.1"))), type("TS"));
  assert_int_equal(dict_field_type_in(seg("PID"), 7, (unsigned)dict_version(S("2.8"))), type("DTM"));
  assert_int_equal(dict_field_type_in(seg("PID"), 39, (unsigned)dict_version(S("2.4"))), -1);
}

static void test_kinds_of_primitives(void **state) {
  (void)state;
  static const struct { const char *name; dict_kind kind; } want[] = {
    {"ST", DICT_STRING}, {"ID", DICT_STRING}, {"IS", DICT_STRING}, {"FT", DICT_STRING}, {"NM", DICT_DECIMAL}, {"SI", DICT_INTEGER},
    {"DT", DICT_DATE}, {"TM", DICT_TIME}, {"DTM", DICT_DATETIME}, {"TS", DICT_DATETIME}, {"VARIES", DICT_VARIES}, {"CX", DICT_COMPOSITE},
    {"ED", DICT_COMPOSITE}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    assert_int_equal(dict_datatype_kind(type(want[i].name)), want[i].kind);
    assert_int_equal(dict_is_primitive(type(want[i].name)), want[i].kind != DICT_VARIES && want[i].kind != DICT_COMPOSITE);
  }
  assert_false(dict_is_primitive(-1));
}

/* Every alias leads back to its position, every type exists, every primitive is without components. */
static void test_the_dictionary_is_consistent(void **state) {
  (void)state;
  dict_info f;
  unsigned fields = 0;
  for (int s = 0; s < dict_segment_count(); s++)
    for (unsigned n = 1; n <= dict_field_count(s); n++)
      if (dict_field(s, n, &f)) {
        fields++;
        assert_int_equal(dict_field_by_alias(s, S(f.alias)), n);
        assert_true(f.type >= 0 && f.type < dict_datatype_count());
        assert_true(strchr("ROCB", f.opt) != NULL);
        assert_true(f.since <= f.until && f.until < DICT_VERSIONS);
      }
  assert_true(fields > 2500);
  for (int t = 0; t < dict_datatype_count(); t++) {
    assert_int_equal(dict_datatype(S(dict_datatype_name(t))), t);
    for (unsigned n = 1; n <= dict_component_count(t); n++)
      if (dict_component(t, n, &f)) assert_int_equal(dict_component_by_name(t, S(f.alias)), n);
  }
}

static int structure_for(const char *code, const char *event) {
  return dict_structure_for(S(code), S(event));
}

static void test_events_lead_to_structures(void **state) {
  (void)state;
  static const char *const want[][3] = {
    {"ADT", "A01", "ADT_A01"}, {"ADT", "A04", "ADT_A01"}, {"ADT", "A08", "ADT_A01"}, {"ADT", "A13", "ADT_A01"}, {"ADT", "A28", "ADT_A05"},
    {"ADT", "A31", "ADT_A05"}, {"ADT", "A40", "ADT_A39"}, {"ADT", "A34", "ADT_A30"}, {"ORU", "R01", "ORU_R01"}, {"ORM", "O01", "ORM_O01"},
    {"ORU", "R31", "ORU_R30"}, {"SIU", "S12", "SIU_S12"}, {"SIU", "S26", "SIU_S12"}, {"MDM", "T08", "MDM_T02"}, {"VXU", "V04", "VXU_V04"},
    {"QBP", "Q22", "QBP_Q21"}, {"RSP", "K21", "RSP_K21"}, {"DFT", "P03", "DFT_P03"}, {"OML", "O21", "OML_O21"}, {"RDE", "O11", "RDE_O11"},
    {"ACK", "A01", "ACK"}, {"ACK", "", "ACK"}, {"MFN", "M02", "MFN_M02"}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    int s = structure_for(want[i][0], want[i][1]);
    assert_string_equal(dict_structure_name(s), want[i][2]);
    assert_true(dict_event(S(want[i][0]), S(want[i][1])));
  }
  assert_int_equal(structure_for("ADT", "A99"), -1);
  assert_int_equal(structure_for("ADT", ""), -1);
  assert_int_equal(structure_for("ADTADTADTADTADT", "A01"), -1);
  assert_false(dict_event(S("ADT"), S("Z01")));
  assert_false(dict_event(S("ACK"), S("Z01")));
  assert_int_equal(dict_message(S("ADT_A08")), dict_structure(S("ADT_A01")));
  assert_int_equal(dict_message(S("ACK")), dict_structure(S("ACK")));
  assert_int_equal(dict_message(S("ADT_A99")), -1);
  for (int i = 0, s; i < dict_event_count(); i++) {
    assert_non_null(dict_event_name(i, &s));
    assert_true(s >= 0 && s < dict_structure_count());
  }
}

static void test_structures_are_trees_of_segments_and_groups(void **state) {
  (void)state;
  unsigned n;
  int oru = dict_structure(S("ORU_R01"));
  uint16_t root = dict_structure_root(oru, &n);
  const dict_node *d = dict_node_child(root, n, S("MSH"));
  assert_non_null(d);
  assert_int_equal(d->seg, seg("MSH"));
  assert_true(d->min == 1 && d->max == 1);
  d = dict_node_child(root, n, S("PATIENT_RESULT"));
  assert_non_null(d);
  assert_true(d->seg == -1 && (d->flags & DICT_NODE_GROUP) && d->max == 0 && d->min == 1);
  d = dict_node_child(d->first, d->n, S("ORDER_OBSERVATION"));
  assert_non_null(d);
  d = dict_node_child(d->first, d->n, S("OBSERVATION"));
  assert_non_null(d);
  d = dict_node_child(d->first, d->n, S("OBX"));
  assert_non_null(d);
  assert_int_equal(d->seg, seg("OBX"));
  assert_null(dict_node_child(root, n, S("OBX")));
  assert_true(dict_structure_has(oru, seg("OBX")));
  assert_false(dict_structure_has(oru, seg("AIS")));
  assert_false(dict_structure_has(oru, -1));
  uint8_t since, until;
  dict_structure_span(dict_structure(S("ORM_O01")), &since, &until);
  assert_string_equal(dict_version_name(since), "2.1");
  assert_string_equal(dict_version_name(until), "2.6");
}

/* A segment that stands twice in a structure keeps both places, in order (ROL before and after PV1). */
static void test_structure_order_and_repeated_places(void **state) {
  (void)state;
  unsigned n, rol = 0, pv1_at = 0, first_rol = 0;
  uint16_t root = dict_structure_root(dict_structure(S("ADT_A01")), &n);
  for (unsigned i = 0; i < n; i++) {
    const dict_node *d = dict_node_at((uint16_t)(root + i));
    if (strcmp(dict_node_name(d), "ROL") == 0 && rol++ == 0) first_rol = i;
    if (strcmp(dict_node_name(d), "PV1") == 0) pv1_at = i;
  }
  assert_int_equal(rol, 2);
  assert_true(first_rol < pv1_at);
}

static void test_structure_path_of_groups(void **state) {
  (void)state;
  uint16_t path[DICT_DEPTH_MAX];
  unsigned depth = dict_structure_path(dict_structure(S("ORU_R01")), S("OBR"), path);
  assert_int_equal(depth, 3);
  assert_string_equal(dict_node_name(dict_node_at(path[0])), "PATIENT_RESULT");
  assert_string_equal(dict_node_name(dict_node_at(path[1])), "ORDER_OBSERVATION");
  assert_string_equal(dict_node_name(dict_node_at(path[2])), "OBR");
  assert_int_equal(dict_structure_path(dict_structure(S("ADT_A01")), S("PID"), path), 1);
  assert_int_equal(dict_structure_path(dict_structure(S("ADT_A01")), S("OBR"), path), 0);
  assert_int_equal(dict_structure_path(-1, S("PID"), path), 0);
  depth = dict_structure_path(dict_structure(S("ORM_O01")), S("OBR"), path);
  assert_int_equal(depth, 3);
  assert_true(dict_node_at(path[2])->flags & DICT_NODE_CHOICE);
}

static void test_tables(void **state) {
  (void)state;
  assert_string_equal(dict_table_title(1), "Administrative Sex");
  assert_string_equal(dict_table(1, S("F")), "Female");
  assert_null(dict_table(1, S("f")));
  assert_null(dict_table(9999, S("F")));
  assert_false(dict_table_exists(9999));
  assert_string_equal(dict_table(8, S("AA")), "Original mode: Application Accept - Enhanced mode: Application acknowledgment: Accept");
  const char *code, *text;
  for (unsigned i = 0; i < dict_table_size(203); i++) {
    assert_true(dict_table_code(203, i, &code, &text));
    assert_ptr_equal(dict_table(203, S(code)), text);
  }
  assert_true(dict_table_size(203) > 50);
  assert_false(dict_table_code(203, dict_table_size(203), &code, &text));
}

static void test_nearest_distance(void **state) {
  (void)state;
  assert_int_equal(nearest_distance(S("family"), S("family"), 3), 0);
  assert_int_equal(nearest_distance(S("famliy"), S("family"), 3), 1);
  assert_int_equal(nearest_distance(S("famly"), S("family"), 3), 1);
  assert_int_equal(nearest_distance(S("fammily"), S("family"), 3), 1);
  assert_int_equal(nearest_distance(S("Family"), S("family"), 3), 1);
  assert_int_equal(nearest_distance(S("kitten"), S("sitting"), 3), 3);
  assert_int_equal(nearest_distance(S("kitten"), S("sitting"), 2), 3);
  assert_int_equal(nearest_distance("", 0, S("abc"), 3), 3);
  char longer[NEAREST_WORD_MAX + 2];
  memset(longer, 'x', sizeof longer);
  assert_int_equal(nearest_distance(longer, sizeof longer, longer, sizeof longer, 2), 3);
}

static void test_did_you_mean(void **state) {
  (void)state;
  nearest n;
  nearest_init(&n, S("famlyName"));
  dict_nearest_component(&n, type("XPN"));
  assert_true(n.n >= 1);
  assert_string_equal(n.hit[0].name, "familyName");
  nearest_init(&n, S("dateTimeOfBrith"));
  dict_nearest_field(&n, seg("PID"));
  assert_string_equal(n.hit[0].name, "dateTimeOfBirth");
  nearest_init(&n, S("ADT_A99"));
  dict_nearest_message(&n);
  assert_int_equal(n.n, NEAREST_KEEP);
  nearest_init(&n, S("zzzzzzzz"));
  dict_nearest_field(&n, seg("PID"));
  assert_int_equal(n.n, 0);
  nearest_init(&n, S("pid"));
  dict_nearest_segment(&n);
  assert_string_equal(n.hit[0].name, "PID");
  nearest_init(&n, S("Id"));
  dict_nearest_component(&n, type("CX"));
  assert_int_equal(n.n, 1);
  assert_string_equal(n.hit[0].name, "id");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_segments_by_name),
    cmocka_unit_test(test_fields_have_the_latest_form),
    cmocka_unit_test(test_older_names_are_aliases),
    cmocka_unit_test(test_components_by_name),
    cmocka_unit_test(test_a_fields_older_types_still_name_components),
    cmocka_unit_test(test_kinds_of_primitives),
    cmocka_unit_test(test_the_dictionary_is_consistent),
    cmocka_unit_test(test_events_lead_to_structures),
    cmocka_unit_test(test_structures_are_trees_of_segments_and_groups),
    cmocka_unit_test(test_structure_order_and_repeated_places),
    cmocka_unit_test(test_structure_path_of_groups),
    cmocka_unit_test(test_tables),
    cmocka_unit_test(test_nearest_distance),
    cmocka_unit_test(test_did_you_mean),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
