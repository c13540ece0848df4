/* The FHIR R4 model: types, elements, choices, code sets, search parameters; and walking typed JSON. */
#include "json_rig.h"
#include <stdlib.h>
#include <string.h>
#include "fhir.h"

#define S(s) (s), strlen(s)

static uint16_t type(const char *name) {
  uint16_t t = fhir_type(S(name));
  if (!t) fail_msg("no type %s", name);
  return t;
}

static fhir_element_info element(const char *owner, const char *name) {
  fhir_element_info e;
  if (!fhir_element(type(owner), S(name), &e)) fail_msg("no element %s.%s", owner, name);
  return e;
}

/* ---- Look-ups. */

static void test_types(void **state) {
  (void)state;
  assert_int_equal(fhir_type(S("Patient2")), 0);
  assert_int_equal(fhir_type("", 0), 0);
  assert_int_equal(fhir_type(S("patient")), 0);
  assert_string_equal(fhir_type_name(0), "");
  assert_string_equal(fhir_type_name(65535), "");
  for (uint16_t t = 1; t <= fhir_type_count(); t++) assert_int_equal(fhir_type(S(fhir_type_name(t))), t);
  assert_int_equal(fhir_type_kind(type("Patient")), FHIR_RESOURCE);
  assert_int_equal(fhir_type_kind(type("HumanName")), FHIR_COMPLEX);
  assert_int_equal(fhir_type_kind(type("code")), FHIR_PRIMITIVE);
  assert_int_equal(fhir_type_kind(type("Patient.contact")), FHIR_BACKBONE);
  assert_int_equal(fhir_type_base(type("Patient")), type("DomainResource"));
  assert_int_equal(fhir_type_base(type("Timing.repeat")), type("Element"));
  assert_int_equal(fhir_type_base(type("Resource")), 0);
  assert_true(fhir_type_abstract(type("Resource")));
  assert_true(fhir_is_a(type("code"), type("string")));
  assert_true(fhir_is_a(type("Age"), type("Quantity")));
  assert_true(fhir_is_a(type("Bundle"), type("Resource")));
  assert_false(fhir_is_a(type("Bundle"), type("DomainResource")));
  assert_false(fhir_is_a(type("string"), type("code")));
  assert_false(fhir_is_a(0, 0));
  assert_int_equal(fhir_resource(S("Patient")), type("Patient"));
  assert_int_equal(fhir_resource(S("Resource")), 0);
  assert_int_equal(fhir_resource(S("HumanName")), 0);
  unsigned resources = 0;
  for (uint16_t t = 1; t <= fhir_type_count(); t++) resources += fhir_type_kind(t) == FHIR_RESOURCE && !fhir_type_abstract(t);
  assert_int_equal(resources, 146);
}

static void test_system_types_of_primitives(void **state) {
  (void)state;
  static const struct { const char *name; fhir_system sys; } want[] = {
    {"boolean", FHIR_SYS_BOOLEAN}, {"string", FHIR_SYS_STRING}, {"code", FHIR_SYS_STRING}, {"uri", FHIR_SYS_STRING}, {"base64Binary", FHIR_SYS_STRING},
    {"integer", FHIR_SYS_INTEGER}, {"positiveInt", FHIR_SYS_INTEGER}, {"unsignedInt", FHIR_SYS_INTEGER}, {"decimal", FHIR_SYS_DECIMAL},
    {"date", FHIR_SYS_DATE}, {"dateTime", FHIR_SYS_DATETIME}, {"instant", FHIR_SYS_DATETIME}, {"time", FHIR_SYS_TIME}, {"HumanName", FHIR_SYS_NONE}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) assert_int_equal(fhir_type_system(type(want[i].name)), want[i].sys);
}

static void test_elements(void **state) {
  (void)state;
  fhir_element_info e = element("Patient", "name");
  assert_true(e.min == 0 && e.max == 0 && e.n_types == 1 && !e.choice && e.summary);
  assert_int_equal(e.types[0], type("HumanName"));
  e = element("Patient", "birthDate");
  assert_true(e.max == 1 && e.types[0] == type("date"));
  e = element("Patient", "id"); /* inherited from Resource */
  assert_true(e.owner == type("Resource") && e.types[0] == type("id"));
  e = element("Patient", "contained");
  assert_true(e.owner == type("DomainResource") && e.types[0] == type("Resource"));
  e = element("Patient", "contact");
  assert_int_equal(e.types[0], type("Patient.contact"));
  e = element("Patient.contact", "modifierExtension");
  assert_int_equal(e.owner, type("BackboneElement"));
  e = element("Bundle.entry", "link"); /* content reference */
  assert_int_equal(e.types[0], type("Bundle.link"));
  e = element("Observation", "status");
  assert_true(e.min == 1 && e.max == 1 && e.modifier && e.binding == FHIR_BIND_REQUIRED);
  e = element("Observation", "subject");
  assert_int_equal(e.n_targets, 4);
  assert_int_equal(e.targets[0], type("Patient"));
  e = element("Age", "value");
  assert_int_equal(e.owner, type("Quantity"));
  assert_false(fhir_element(type("Patient"), S("nme"), &e));
  assert_false(fhir_element(type("Observation"), S("valueQuantity"), &e));
  assert_false(fhir_element(0, S("name"), &e));
}

static void test_elements_in_order(void **state) {
  (void)state;
  fhir_element_info e;
  assert_true(fhir_element_at(type("Patient"), 0, &e));
  assert_string_equal(e.name, "id");
  unsigned n = 0;
  for (unsigned i = 0; fhir_element_at(type("Patient"), i, &e); i++) {
    fhir_element_info again;
    assert_true(fhir_element(type("Patient"), S(e.name), &again));
    assert_int_equal(again.owner, e.owner);
    n++;
  }
  assert_int_equal(n, 24); /* 4 of Resource, 4 of DomainResource, 16 of its own */
}

static void test_choice_elements(void **state) {
  (void)state;
  char member[FHIR_MEMBER_MAX];
  fhir_element_info e = element("Observation", "value"), found;
  assert_true(e.choice && e.n_types == 11);
  size_t n = fhir_choice_member(&e, type("Quantity"), member);
  assert_true(n == 13 && memcmp(member, "valueQuantity", n) == 0);
  n = fhir_choice_member(&e, type("dateTime"), member);
  assert_true(n == 13 && memcmp(member, "valueDateTime", n) == 0);
  assert_int_equal(fhir_choice_of(type("Observation"), S("valueQuantity"), &found), type("Quantity"));
  assert_string_equal(found.name, "value");
  assert_int_equal(fhir_choice_of(type("Patient"), S("deceasedBoolean"), &found), type("boolean"));
  assert_int_equal(fhir_choice_of(type("Observation"), S("value"), &found), 0);
  assert_int_equal(fhir_choice_of(type("Observation"), S("valuequantity"), &found), 0);
  assert_int_equal(fhir_choice_of(type("Observation"), S("valueAddress"), &found), 0);
  assert_int_equal(fhir_choice_of(type("Observation"), S("status"), &found), 0);
}

static void test_code_sets(void **state) {
  (void)state;
  fhir_element_info e = element("Patient", "gender");
  assert_string_equal(fhir_codes_url(e.codes), "http://hl7.org/fhir/ValueSet/administrative-gender");
  assert_int_equal(fhir_codes_count(e.codes), 4);
  assert_true(fhir_code_in(e.codes, S("male")));
  assert_false(fhir_code_in(e.codes, S("M")));
  assert_false(fhir_code_in(e.codes, S("mal")));
  assert_false(fhir_code_in(0, S("male")));
  assert_null(fhir_codes_at(e.codes, 4));
  e = element("Patient", "maritalStatus"); /* extensible */
  assert_true(e.codes == 0 && e.binding == FHIR_BIND_EXTENSIBLE && fhir_code_in(e.advised, S("M")));
  e = element("HumanName", "use");
  assert_true(fhir_code_in(e.codes, S("official")));
}

static void test_search_parameters(void **state) {
  (void)state;
  fhir_search_info p;
  uint16_t patient = type("Patient");
  assert_true(fhir_search_param(patient, S("identifier"), &p));
  assert_int_equal(p.type, FHIR_SP_TOKEN);
  assert_string_equal(p.expression, "identifier");
  assert_true(fhir_search_param(patient, S("birthdate"), &p) && p.type == FHIR_SP_DATE);
  assert_true(fhir_search_param(patient, S("_id"), &p) && p.type == FHIR_SP_TOKEN);
  assert_true(fhir_search_param(patient, S("_lastUpdated"), &p) && p.type == FHIR_SP_DATE);
  assert_true(fhir_search_param(patient, S("_count"), &p) && p.type == FHIR_SP_CONTROL);
  assert_true(fhir_search_param(patient, S("_has"), &p) && p.type == FHIR_SP_SPECIAL);
  assert_false(fhir_search_param(patient, S("birthDate"), &p));
  assert_false(fhir_search_param(patient, S("code"), &p));
  assert_false(fhir_search_param(type("HumanName"), S("_count"), &p));
  assert_true(fhir_search_param(type("Coverage"), S("patient"), &p) && p.type == FHIR_SP_REFERENCE);
  assert_int_equal(p.n_targets, 1);
  assert_int_equal(p.targets[0], patient);
  assert_true(fhir_search_param(type("Observation"), S("code"), &p)); /* of a union over many resources only its own part */
  assert_string_equal(p.expression, "code");
}

static void test_search_modifiers(void **state) {
  (void)state;
  fhir_search_info p;
  assert_true(fhir_search_param(type("Patient"), S("family"), &p));
  assert_true(fhir_search_modifier(&p, S("exact")) && fhir_search_modifier(&p, S("contains")) && fhir_search_modifier(&p, S("missing")));
  assert_false(fhir_search_modifier(&p, S("not")));
  assert_false(fhir_search_modifier(&p, S("exact contains")));
  assert_false(fhir_search_modifier(&p, "", 0));
  assert_true(fhir_search_param(type("Patient"), S("identifier"), &p));
  assert_true(fhir_search_modifier(&p, S("of-type")) && fhir_search_modifier(&p, S("not")));
  assert_false(fhir_search_modifier(&p, S("exact")));
  assert_true(fhir_search_param(type("Observation"), S("subject"), &p));
  assert_true(fhir_search_modifier(&p, S("Patient")) && fhir_search_modifier(&p, S("identifier")));
  assert_false(fhir_search_modifier(&p, S("Medication")));
  assert_true(fhir_search_param(type("Patient"), S("_include"), &p));
  assert_true(fhir_search_modifier(&p, S("iterate")));
  assert_false(fhir_search_modifier(&p, S("missing")));
}

static void test_fhir_did_you_mean(void **state) {
  (void)state;
  nearest n;
  nearest_init(&n, S("birtDate"));
  fhir_nearest_element(&n, type("Patient"));
  assert_string_equal(n.hit[0].name, "birthDate");
  nearest_init(&n, S("Patinet"));
  fhir_nearest_type(&n, true);
  assert_string_equal(n.hit[0].name, "Patient");
  nearest_init(&n, S("birthDate"));
  fhir_nearest_search(&n, type("Patient"));
  assert_string_equal(n.hit[0].name, "birthdate");
  nearest_init(&n, S("offical"));
  fhir_nearest_code(&n, element("HumanName", "use").codes);
  assert_string_equal(n.hit[0].name, "official");
  fhir_element_info e = element("Encounter", "class"); /* extensible */
  assert_int_equal(e.binding, FHIR_BIND_EXTENSIBLE);
  assert_int_equal(e.codes, 0);
  assert_true(fhir_code_in(e.advised, S("IMP")));
  assert_true(fhir_coding_in(e.advised, S("http://terminology.hl7.org/CodeSystem/v3-ActCode"), S("IMP")));
  assert_false(fhir_coding_in(e.advised, S("http://hl7.org/fhir/v3/ActCode"), S("IMP")));
  assert_true(fhir_system_in(e.advised, S("http://terminology.hl7.org/CodeSystem/v3-ActCode")));
  assert_int_equal(element("Resource", "language").binding, FHIR_BIND_PREFERRED);
  /* in order, so that they can be looked up by halves; the same code of two systems is there twice */
  unsigned twice = 0;
  for (uint16_t set = 1; fhir_codes_count(set); set++) {
    assert_int_equal(fhir_codes_named(S(fhir_codes_url(set))), set);
    for (unsigned i = 0; i < fhir_codes_count(set); i++) {
      const char *code = fhir_codes_at(set, i), *system = fhir_codes_system(set, i);
      assert_true(fhir_code_in(set, S(code)) && fhir_coding_in(set, S(system), S(code)));
      int order = i ? strcmp(fhir_codes_at(set, i - 1), code) : -1;
      assert_true(order <= 0);
      twice += order == 0;
    }
  }
  assert_true(twice > 0);
}

/* ---- Operations. */

static void test_operations(void **state) {
  (void)state;
  fhir_operation_info op;
  fhir_parameter_info p;
  assert_true(fhir_operation(type("Patient"), S("everything"), &op));
  assert_true(op.type && op.instance && !op.system && !op.writes);
  assert_true(fhir_parameter_at(&op, 0, &p));
  assert_string_equal(p.name, "start");
  assert_int_equal(p.type, type("date"));
  assert_true(!p.min && p.max == 1 && !p.out && !p.part);
  assert_true(fhir_parameter_at(&op, 3, &p));
  assert_string_equal(p.name, "_type");
  assert_int_equal(p.max, 0);
  assert_true(fhir_parameter_at(&op, 5, &p));
  assert_true(p.out && p.min == 1 && p.type == type("Bundle"));
  assert_false(fhir_parameter_at(&op, 6, &p));
  assert_true(fhir_operation(type("Observation"), S("validate"), &op)); /* of every resource */
  assert_int_equal(op.resource, type("Resource"));
  assert_false(fhir_operation(type("Observation"), S("everything"), &op));
  assert_false(fhir_operation(0, S("everything"), &op));
  assert_true(fhir_operation(0, S("process-message"), &op) && op.system);
  assert_true(fhir_operation(type("ConceptMap"), S("translate"), &op));
  unsigned parts = 0;
  for (unsigned i = 0; fhir_parameter_at(&op, i, &p); i++) {
    if (strcmp(p.name, "match") == 0) assert_true(p.out && !p.type && p.max == 0);
    if (p.part && p.out) parts++;
    assert_true(p.part == (strchr(p.name, '.') != NULL));
  }
  assert_int_equal(parts, 6);
  unsigned n = 0;
  while (fhir_operation_at(n, &op)) n++;
  assert_int_equal(n, 46); /* as published with R4 */
  nearest near;
  nearest_init(&near, S("mtach"));
  fhir_nearest_operation(&near, type("Patient"));
  assert_string_equal(near.hit[0].name, "match");
}

/* ---- Values. */

static const char patient_json[] =
  "{'resourceType':'Patient','id':'example','active':true,"
  "'identifier':[{'use':'usual','system':'urn:oid:1.2.36','value':'12345','period':{'start':'2001-05-06'}}],"
  "'name':[{'use':'official','family':'Chalmers','given':['Peter','Jam\\u0065s']},{'use':'usual','given':['Jim']},"
  " {'use':'maiden','family':'Windsor','given':[null,'Anne'],'_given':[{'extension':[{'url':'https://example.org/count','valueString':'five'}]}],"
  "  'period':{'end':'2002'}}],"
  "'telecom':[{'use':'home'},{'system':'phone','value':'(03) 5555 6473','rank':1}],"
  "'gender':'male','birthDate':'1974-12-25','_birthDate':{'id':'b1','extension':[{'url':'http://hl7.org/fhir/StructureDefinition/patient-birthTime',"
  "'valueDateTime':'1974-12-25T14:35:45-05:00'}]},'deceasedBoolean':false,"
  "'contact':[{'gender':'female','period':{'start':'not a date'}}],'multipleBirthInteger':2,'unheardOf':'x','maritalStatus':'M',"
  "'contained':[{'resourceType':'Observation','id':'o1','status':'final','valueQuantity':{'value':1.00,'unit':'mg','system':'http://unitsofmeasure.org',"
  "'code':'mg'},'component':[{'code':{'text':'a'},'valueQuantity':{'value':5,'comparator':'<'}},{'valueSampledData':{'period':10}}]},"
  "{'resourceType':'Unheard','id':'u1'}]}";

typedef struct world {
  json_rig j;
  vm_cx cx;
  char *text;
  val patient;
} world;

static int setup(void **state) {
  world *w = calloc(1, sizeof *w);
  json_rig_init(&w->j);
  w->cx = (vm_cx){.a = &w->j.a, .fuel = 1000000};
  w->text = strdup(patient_json);
  for (char *p = w->text; *p; p++)
    if (*p == '\'') *p = '"';
  w->patient = fhir_adopt(json_rig_read(&w->j, w->text, strlen(w->text)));
  *state = w;
  return 0;
}

static int teardown(void **state) {
  world *w = *state;
  json_rig_free(&w->j);
  free(w->text);
  free(w);
  return 0;
}

/* Follows a path of members, 'name.given' or 'name[1].given', as the machine does. */
static val path(world *w, val from, const char *p) {
  while (*p) {
    size_t n = strcspn(p, ".[");
    val_builder b = {0};
    for (uint32_t i = 0; i < val_count(from); i++) {
      val v;
      assert_int_equal(fhir_model_member(&w->cx, val_item(from, i), val_key(p, n), &v), HDW_OK);
      assert_int_equal(val_push(&w->j.a, &b, v), HDW_OK);
    }
    from = val_build(&b);
    p += n;
    if (*p == '[') {
      uint32_t i = (uint32_t)(p[1] - '0');
      from = i < val_count(from) ? val_item(from, i) : VAL_NONE;
      p += 3;
    }
    if (*p == '.') p++;
  }
  return from;
}

static void assert_text(val v, const char *want) {
  assert_int_equal(v.tag, VAL_STR);
  assert_int_equal(v.len, strlen(want));
  assert_memory_equal(v.u.s, want, v.len);
}

static bool is(world *w, val v, const char *name) {
  bool yes = false;
  assert_int_equal(fhir_model_is(&w->cx, v, S(name), &yes), HDW_OK);
  return yes;
}

static void test_members_come_out_typed(void **state) {
  world *w = *state;
  assert_int_equal(w->patient.aux, type("Patient"));
  val names = path(w, w->patient, "name");
  assert_int_equal(val_count(names), 3);
  assert_int_equal(val_item(names, 2).aux, type("HumanName"));
  val given = path(w, w->patient, "name.given");
  assert_int_equal(val_count(given), 5);
  assert_text(val_item(given, 0), "Peter");
  assert_text(val_item(given, 1), "James"); /* the escape is resolved */
  assert_int_equal(val_item(given, 1).aux, type("string"));
  assert_text(path(w, w->patient, "gender"), "male");
  assert_int_equal(path(w, w->patient, "gender").aux, type("code"));
  assert_int_equal(path(w, w->patient, "id").aux, type("id"));
  val active = path(w, w->patient, "active");
  assert_true(active.tag == VAL_BOOL && active.u.i == 1 && active.aux == type("boolean"));
  val rank = path(w, w->patient, "telecom.rank");
  assert_true(rank.tag == VAL_INT && rank.u.i == 1 && rank.aux == type("positiveInt"));
  assert_int_equal(path(w, w->patient, "contact").aux, type("Patient.contact"));
  assert_text(path(w, w->patient, "resourceType"), "Patient");
}

static void test_dates_keep_their_precision(void **state) {
  world *w = *state;
  val v = path(w, w->patient, "identifier.period.start");
  assert_int_equal(v.tag, VAL_DATETIME);
  assert_int_equal(v.aux, type("dateTime"));
  assert_int_equal(val_get_time(v).prec, TM_DAY);
  v = path(w, w->patient, "name.period.end");
  assert_int_equal(val_get_time(v).prec, TM_YEAR);
  v = path(w, w->patient, "contact.period.start"); /* no date: stays the text it is */
  assert_text(v, "not a date");
  assert_int_equal(v.aux, type("dateTime"));
}

static void test_unknown_and_misplaced_members_are_empty(void **state) {
  world *w = *state;
  assert_true(val_is_empty(path(w, w->patient, "unheardOf")));
  assert_true(val_is_empty(path(w, w->patient, "deceasedBoolean")));
  assert_true(val_is_empty(path(w, w->patient, "photo")));
  assert_true(val_is_empty(path(w, w->patient, "gender.extension")));
  val marital = path(w, w->patient, "maritalStatus"); /* a string where a CodeableConcept belongs: what it is, untyped */
  assert_text(marital, "M");
  assert_false(is(w, marital, "CodeableConcept"));
  assert_true(is(w, marital, "System.String"));
}

static void test_choice_members_by_their_fhirpath_name(void **state) {
  world *w = *state;
  val v = path(w, w->patient, "deceased");
  assert_true(v.tag == VAL_BOOL && v.u.i == 0 && v.aux == type("boolean"));
  v = path(w, w->patient, "multipleBirth");
  assert_true(v.tag == VAL_INT && v.u.i == 2 && v.aux == type("integer"));
  v = path(w, w->patient, "contained.value");
  assert_true(v.tag == VAL_OBJ && v.aux == type("Quantity"));
  v = path(w, w->patient, "contained[0].component.value");
  assert_int_equal(val_count(v), 2);
  assert_int_equal(val_item(v, 0).aux, type("Quantity"));
  assert_int_equal(val_item(v, 1).aux, type("SampledData"));
}

static void test_nested_resources_take_their_own_type(void **state) {
  world *w = *state;
  val all = path(w, w->patient, "contained");
  assert_int_equal(val_item(all, 0).aux, type("Observation"));
  assert_int_equal(val_item(all, 1).aux, 0); /* a resource that R4 does not know is plain JSON */
  assert_text(path(w, val_item(all, 1), "id"), "u1");
}

static void test_decimals_are_decimals_and_keep_their_scale(void **state) {
  world *w = *state;
  val v = path(w, w->patient, "contained.value.value");
  assert_true(v.tag == VAL_DEC && v.len == 2 && v.u.i == 100 && v.aux == type("decimal"));
  v = path(w, w->patient, "contained.component.value.value");
  assert_true(v.tag == VAL_DEC && v.len == 0 && v.u.i == 5 && v.aux == type("decimal"));
  v = path(w, w->patient, "contained.component.value.period");
  assert_true(v.tag == VAL_DEC && v.u.i == 10);
}

static void test_primitives_with_extensions(void **state) {
  world *w = *state;
  val node = path(w, w->patient, "birthDate"), v;
  assert_true(is(w, node, "date") && is(w, node, "FHIR.date") && !is(w, node, "Date") && !is(w, node, "dateTime"));
  assert_int_equal(fhir_model_system(&w->cx, node, &v), HDW_OK);
  assert_true(v.tag == VAL_DATE && v.aux == type("date"));
  val when = path(w, node, "extension.value");
  assert_true(when.tag == VAL_DATETIME && when.aux == type("dateTime"));
  assert_int_equal(path(w, node, "extension.url").aux, type("uri"));
  assert_text(path(w, node, "id"), "b1");
  assert_true(val_is_empty(path(w, node, "family")));
  assert_int_equal(fhir_model_children(&w->cx, node, &v), HDW_OK);
  assert_int_equal(val_count(v), 2);
  val given = path(w, w->patient, "name[2].given"); /* null with an extension, then a name without */
  assert_int_equal(val_count(given), 2);
  assert_int_equal(fhir_model_system(&w->cx, val_item(given, 0), &v), HDW_OK);
  assert_true(val_is_empty(v));
  assert_text(path(w, val_item(given, 0), "extension.value"), "five");
  assert_text(val_item(given, 1), "Anne");
}

static void test_is_follows_fhirpath(void **state) {
  world *w = *state;
  bool yes;
  val gender = path(w, w->patient, "gender"), active = path(w, w->patient, "active");
  assert_true(is(w, gender, "code") && is(w, gender, "string") && is(w, gender, "FHIR.string") && is(w, gender, "Element"));
  assert_false(is(w, gender, "id") || is(w, gender, "String") || is(w, gender, "System.String"));
  assert_true(is(w, active, "boolean") && is(w, active, "FHIR.boolean"));
  assert_false(is(w, active, "Boolean") || is(w, active, "System.Boolean"));
  assert_true(is(w, val_bool(true), "Boolean") && is(w, val_bool(true), "System.Boolean"));
  assert_false(is(w, val_bool(true), "boolean") || is(w, val_bool(true), "FHIR.boolean"));
  val key = val_key("a", 1); /* a constant of a program carries the hash of a key in aux */
  assert_true(is(w, key, "String") && is(w, key, "System.String"));
  assert_false(is(w, key, "string"));
  assert_true(is(w, val_int(1), "Integer") && !is(w, val_int(1), "Decimal") && !is(w, val_int(1), "Quantity"));
  assert_true(is(w, w->patient, "Patient") && is(w, w->patient, "FHIR.`Patient`") && is(w, w->patient, "DomainResource"));
  assert_false(is(w, w->patient, "System.Patient") || is(w, w->patient, "Observation"));
  assert_true(is(w, path(w, w->patient, "contained.value"), "Quantity"));
  assert_int_equal(fhir_model_is(&w->cx, gender, S("string1"), &yes), HDW_E_NOTFOUND);
  const char *space, *name;
  fhir_model_type(active, &space, &name);
  assert_string_equal(space, "FHIR");
  assert_string_equal(name, "boolean");
  fhir_model_type(path(w, w->patient, "contact"), &space, &name);
  assert_string_equal(name, "BackboneElement");
  fhir_model_type(val_int(1), &space, &name);
  assert_string_equal(space, "System");
  assert_string_equal(name, "Integer");
}

static void test_quantities_become_system_quantities(void **state) {
  world *w = *state;
  val v;
  assert_int_equal(fhir_model_system(&w->cx, path(w, w->patient, "contained.value"), &v), HDW_OK);
  assert_int_equal(v.tag, VAL_QTY);
  const val_quantity *q = v.u.p;
  assert_true(q->value.coef == 100 && q->value.scale == 2 && q->unit_len == 2 && memcmp(q->unit, "mg", 2) == 0);
  val less = path(w, w->patient, "contained.component[0].value"); /* <5 is not 5 */
  assert_int_equal(fhir_model_system(&w->cx, less, &v), HDW_OK);
  assert_int_equal(v.tag, VAL_OBJ);
}

static void test_children_are_the_members_that_the_model_knows(void **state) {
  world *w = *state;
  val v;
  assert_int_equal(fhir_model_children(&w->cx, path(w, w->patient, "name[0]"), &v), HDW_OK);
  assert_int_equal(val_count(v), 4); /* use, family, two given; the wrapped type is on each */
  assert_int_equal(val_item(v, 0).aux, type("code"));
  assert_int_equal(fhir_model_children(&w->cx, w->patient, &v), HDW_OK);
  /* id active identifier 3 name 2 telecom gender birthDate deceased contact multipleBirth maritalStatus 2 contained; not resourceType, unheardOf */
  assert_int_equal(val_count(v), 16);
  assert_int_equal(fhir_model_children(&w->cx, val_int(1), &v), HDW_OK);
  assert_true(val_is_empty(v));
}

static void test_adopt(void **state) {
  world *w = *state;
  val two[2] = {w->patient, val_int(1)}, out;
  two[0].aux = 0;
  val list = {.tag = VAL_LIST, .len = 2, .u.v = two};
  assert_int_equal(fhir_adopt_all(&w->j.a, list, &out), HDW_OK);
  assert_int_equal(val_item(out, 0).aux, type("Patient"));
  assert_int_equal(val_item(out, 1).tag, VAL_INT);
  assert_int_equal(fhir_adopt(val_int(1)).aux, 0);
  assert_int_equal(fhir_as(two[0], type("HumanName")).aux, type("HumanName"));
}

static void test_memory_and_fuel_run_out_cleanly(void **state) {
  world *w = *state;
  val v;
  w->cx.fuel = 1;
  assert_int_equal(fhir_model_member(&w->cx, w->patient, val_key("name", 4), &v), HDW_E_FUEL);
  w->cx.fuel = 1000;
  arena tight;
  arena_init(&tight, &w->j.mem.m, 1);
  w->cx.a = &tight;
  assert_int_equal(fhir_model_member(&w->cx, w->patient, val_key("birthDate", 9), &v), HDW_E_NOMEM);
  assert_int_equal(fhir_model_member(&w->cx, w->patient, val_key("name", 4), &v), HDW_E_NOMEM);
  assert_int_equal(fhir_model_member(&w->cx, w->patient, val_key("gender", 6), &v), HDW_OK);
  arena_free(&tight);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_types),
    cmocka_unit_test(test_operations),
    cmocka_unit_test(test_system_types_of_primitives),
    cmocka_unit_test(test_elements),
    cmocka_unit_test(test_elements_in_order),
    cmocka_unit_test(test_choice_elements),
    cmocka_unit_test(test_code_sets),
    cmocka_unit_test(test_search_parameters),
    cmocka_unit_test(test_search_modifiers),
    cmocka_unit_test(test_fhir_did_you_mean),
    cmocka_unit_test_setup_teardown(test_members_come_out_typed, setup, teardown),
    cmocka_unit_test_setup_teardown(test_dates_keep_their_precision, setup, teardown),
    cmocka_unit_test_setup_teardown(test_unknown_and_misplaced_members_are_empty, setup, teardown),
    cmocka_unit_test_setup_teardown(test_choice_members_by_their_fhirpath_name, setup, teardown),
    cmocka_unit_test_setup_teardown(test_nested_resources_take_their_own_type, setup, teardown),
    cmocka_unit_test_setup_teardown(test_decimals_are_decimals_and_keep_their_scale, setup, teardown),
    cmocka_unit_test_setup_teardown(test_primitives_with_extensions, setup, teardown),
    cmocka_unit_test_setup_teardown(test_is_follows_fhirpath, setup, teardown),
    cmocka_unit_test_setup_teardown(test_quantities_become_system_quantities, setup, teardown),
    cmocka_unit_test_setup_teardown(test_children_are_the_members_that_the_model_knows, setup, teardown),
    cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
    cmocka_unit_test_setup_teardown(test_memory_and_fuel_run_out_cleanly, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
