/* Under which identifiers an input is found. */
#include "engine_rig.h"

static const shape_of_module plain = {.ack = NULL};

static unsigned found(rig *r, const char *patient) {
  ids x = {.n = 0};
  assert_int_equal(store_list_inputs(engine_store(r->e), 0, STORE_BY_PATIENT, cod_cstr(patient), 0, true, 64, take_id, &x), HDW_OK);
  return x.n;
}

static void test_identifiers_of_messages(void **state) {
  (void)state;
  rig *r = rig_new(&plain);
  engine_source src = {.listener = "adt"};
  static const char msg[] = "MSH|^~\\&|LAB|HOSP|HUB|HUB|2026||ADT^A40|M1|P|2.5.1\rEVN||2026\rPID|1||100^^^H^MR~200^^^H^PI||S\rMRG|300^^^H\rPID|2||400\r";
  engine_submit_hl7(r->e, &src, msg, sizeof msg - 1, on_reply, r);
  run_for(r, 1000000);
  static const char *const there[] = {"100", "200", "300", "400"};
  for (size_t i = 0; i < sizeof there / sizeof *there; i++) assert_int_equal(found(r, there[i]), 1);
  assert_int_equal(found(r, "S"), 0);
  assert_int_equal(found(r, ""), 0);
  rig_free(r);
}

static void post(rig *r, const char *body) {
  post_request(r->e, "application/fhir+json", "/intake", body, NULL, on_reply, r);
  run_for(r, 1000000);
}

static void test_identifiers_of_requests(void **state) {
  (void)state;
  rig *r = rig_new(&plain);
  post(r, "{\"resourceType\":\"Patient\",\"id\":\"p1\",\"identifier\":[{\"value\":\"mrn1\"},{\"system\":\"x\"}]}");
  post(r, "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"https://x.example/fhir/Patient/p2/_history/1\",\"identifier\":{\"value\":\"mrn2\"}}}");
  post(r, "{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"p3\"}},{\"resource\":{\"resourceType\":\"Coverage\",\"patient\":{\"reference\":\"Patient/p4\"}}},{},7]}");
  post(r, "{\"resourceType\":\"Group\",\"subject\":[1,2],\"patient\":\"x\",\"entry\":{}}");
  post(r, "{\"name\":\"p5\"}");
  post(r, "[1]");
  static const char *const there[] = {"p1", "mrn1", "p2", "mrn2", "p3", "p4"};
  for (size_t i = 0; i < sizeof there / sizeof *there; i++) assert_int_equal(found(r, there[i]), 1);
  assert_int_equal(found(r, "p5"), 0);
  assert_int_equal(found(r, "x"), 0);
  rig_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_identifiers_of_messages), cmocka_unit_test(test_identifiers_of_requests)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
