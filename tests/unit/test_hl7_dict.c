/* HL7 messages read with the dictionary, and both models behind the machine's hooks. */
#include "support.h"
#include <stdlib.h>
#include <string.h>
#include "dict.h"
#include "fhir.h"
#include "hl7_dict.h"
#include "model.h"

#define S(s) (s), strlen(s)

static const char oru[] =
  "MSH|^~\\&|LAB|H|HUB|H|20260101120000||ORU^R01^ORU_R01|7|P|2.5.1\r"
  "PID|1||4711^^^HOSP&1.2.3&ISO^MR~88^^^SSA^SS||Smith&von^John^Q||19700101|F\r"
  "ORC|RE\r"
  "OBR|1||A1|718-7^Hemoglobin^LN\r"
  "OBX|1|NM|718-7^Hemoglobin^LN||13.2|g/dL\r"
  "OBX|2|NM|4544-3^Hematocrit^LN||40|%\r"
  "OBR|2||A2|2345-7^Glucose^LN\r"
  "OBX|1|NM|2345-7^Glucose^LN||99|mg/dL\r";

typedef struct world {
  test_mem mem;
  arena a;
  vm_cx cx;
  val msg;
} world;

static int setup(void **state) {
  world *w = calloc(1, sizeof *w);
  test_mem_init(&w->mem);
  arena_init(&w->a, &w->mem.m, 0);
  w->cx = (vm_cx){.a = &w->a, .fuel = 1000000, .model = &hdw_model};
  hl7_opts opts = {.schema = &hl7_dict_schema};
  hl7_msg *m;
  assert_int_equal(hl7_parse(&w->a, S(oru), &opts, &m, NULL), HDW_OK);
  assert_int_equal(hl7_value(&w->a, m, &w->msg), HDW_OK);
  *state = w;
  return 0;
}

static int teardown(void **state) {
  world *w = *state;
  arena_free(&w->a);
  assert_int_equal(w->mem.live_bytes, 0);
  free(w);
  return 0;
}

static val path(world *w, val from, const char *p) {
  while (*p) {
    size_t n = strcspn(p, ".");
    val_builder b = {0};
    for (uint32_t i = 0; i < val_count(from); i++) {
      val v;
      assert_int_equal(w->cx.model->member(&w->cx, val_item(from, i), val_key(p, n), &v), HDW_OK);
      assert_int_equal(val_push(&w->a, &b, v), HDW_OK);
    }
    from = val_build(&b);
    p += n + (p[n] == '.');
  }
  return from;
}

static void assert_system_text(world *w, val item, const char *want) {
  val v;
  assert_int_equal(w->cx.model->to_system(&w->cx, item, &v), HDW_OK);
  assert_int_equal(v.tag, VAL_STR);
  assert_int_equal(v.len, strlen(want));
  assert_memory_equal(v.u.s, want, v.len);
}

static void test_fields_and_components_by_name(void **state) {
  world *w = *state;
  val ids = path(w, w->msg, "PID.patientIdentifierList.idNumber");
  assert_int_equal(val_count(ids), 2);
  assert_system_text(w, val_item(ids, 0), "4711");
  assert_system_text(w, val_item(ids, 1), "88");
  assert_system_text(w, path(w, w->msg, "PID.patientName.givenName"), "John");
  assert_system_text(w, path(w, w->msg, "PID.patientName.familyName"), "Smith");
  assert_system_text(w, path(w, w->msg, "PID.patientName.familyName.ownSurnamePrefix"), "von");
  assert_system_text(w, val_item(path(w, w->msg, "PID.patientIdentifierList.assigningAuthority"), 0), "HOSP");
  assert_system_text(w, val_item(path(w, w->msg, "PID.patientIdentifierList.assigningAuthority.universalId"), 0), "1.2.3");
  assert_true(val_is_empty(path(w, w->msg, "PID.nothing")));
}

static void test_groups_by_the_structure(void **state) {
  world *w = *state;
  assert_int_equal(val_count(path(w, w->msg, "PATIENT_RESULT")), 1);
  val orders = path(w, w->msg, "PATIENT_RESULT.ORDER_OBSERVATION");
  assert_int_equal(val_count(orders), 2);
  assert_int_equal(val_count(path(w, val_item(orders, 0), "OBSERVATION")), 2);
  assert_int_equal(val_count(path(w, w->msg, "PATIENT_RESULT.ORDER_OBSERVATION.OBSERVATION.OBX")), 3);
}

static void test_a_wrong_structure_id_does_not_matter(void **state) {
  (void)state;
  hl7_slice name;
  const hl7_struct_node *n = hl7_dict_schema.structure(NULL, (hl7_slice){"ADT", 3}, (hl7_slice){"A04", 3}, (hl7_slice){"ADT_A04", 7}, &name);
  assert_non_null(n);
  assert_string_equal(n->name, "ADT_A01");
  assert_true(name.len == 7 && memcmp(name.p, "ADT_A01", 7) == 0);
  n = hl7_dict_schema.structure(NULL, (hl7_slice){"ZDT", 3}, (hl7_slice){"Z01", 3}, (hl7_slice){"ADT_A01", 7}, NULL);
  assert_string_equal(n->name, "ADT_A01");
  assert_null(hl7_dict_schema.structure(NULL, (hl7_slice){"ZDT", 3}, (hl7_slice){"Z01", 3}, (hl7_slice){"", 0}, NULL));
}

/* The linked trees say the same as the dictionary's nodes. */
static void same_tree(const hl7_struct_node *t, uint16_t first, unsigned n) {
  assert_int_equal(t->n, n);
  for (unsigned i = 0; i < n; i++) {
    const dict_node *d = dict_node_at((uint16_t)(first + i));
    const hl7_struct_node *c = &t->children[i];
    assert_string_equal(c->name, dict_node_name(d));
    assert_int_equal(c->is_group, d->seg < 0 && d->n > 0);
    assert_int_equal(c->repeats, d->max != 1);
    assert_int_equal(c->required, d->min > 0);
    same_tree(c, d->first, d->n);
  }
}

static void test_linked_trees_equal_the_dictionary(void **state) {
  (void)state;
  for (int s = 0; s < dict_structure_count(); s++) {
    unsigned n;
    uint16_t first = dict_structure_root(s, &n);
    assert_string_equal(hl7_dict_tree(s)->name, dict_structure_name(s));
    same_tree(hl7_dict_tree(s), first, n);
  }
  assert_null(hl7_dict_tree(-1));
  assert_null(hl7_dict_tree(dict_structure_count()));
}

static void test_type_names_of_both_models(void **state) {
  world *w = *state;
  bool yes;
  val pid = path(w, w->msg, "PID");
  assert_int_equal(hdw_model.is_type(&w->cx, pid, S("PID"), &yes), HDW_OK);
  assert_true(yes);
  assert_int_equal(hdw_model.is_type(&w->cx, pid, S("Patient"), &yes), HDW_OK);
  assert_false(yes);
  assert_int_equal(hdw_model.is_type(&w->cx, w->msg, S("ORU_R01"), &yes), HDW_OK);
  assert_true(yes);
  assert_int_equal(hdw_model.is_type(&w->cx, val_int(1), S("PID"), &yes), HDW_OK);
  assert_false(yes);
  assert_int_equal(hdw_model.is_type(&w->cx, val_int(1), S("Nonsense"), &yes), HDW_E_NOTFOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_fields_and_components_by_name, setup, teardown),
    cmocka_unit_test_setup_teardown(test_groups_by_the_structure, setup, teardown),
    cmocka_unit_test(test_a_wrong_structure_id_does_not_matter),
    cmocka_unit_test(test_linked_trees_equal_the_dictionary),
    cmocka_unit_test_setup_teardown(test_type_names_of_both_models, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
