/* Structural validation of FHIR resources: each rule with a resource that breaks it; the published examples, with what is wrong in them. */
#include "json_rig.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fhir_validate.h"

static int setup(void **state) {
  json_rig *w = calloc(1, sizeof *w);
  json_rig_init(w);
  *state = w;
  return 0;
}

static int teardown(void **state) {
  json_rig_free(*state);
  free(*state);
  return 0;
}

/* The problems as lines "rule path"; '?' before a warning. Quotes are ' in the input. */
static const char *problems(json_rig *w, const char *text, char *out, size_t cap) {
  fhir_report r;
  val v;
  char *copy = strdup(text);
  for (char *p = copy; *p; p++)
    if (*p == '\'') *p = '"';
  json_error e = {0};
  if (json_read(&w->reader, &w->a, copy, strlen(copy), NULL, &v, &e)) fail_msg("%s: %s", copy, e.expected);
  assert_int_equal(fhir_validate(&w->a, v, &(fhir_validate_opts){.text = copy, .len = strlen(copy)}, &r), HDW_OK);
  size_t k = 0;
  out[0] = 0;
  for (uint32_t i = 0; i < r.n; i++)
    k += (size_t)snprintf(out + k, cap - k, "%s%s%s %s", i ? "; " : "", r.v[i].warning ? "?" : "", fhir_rule_name(r.v[i].rule), r.v[i].path);
  free(copy);
  return out;
}

#define P "{'resourceType':'Patient',"
#define O "{'resourceType':'Observation','status':'final','code':{'text':'a'},"
static const struct { const char *json, *want; } cases[] = {
  {P "'active':true}", ""},
  {"{'id':'a'}", "resource "},
  {"{'resourceType':'Pateint'}", "resource Pateint"},
  {"{'resourceType':'HumanName'}", "resource HumanName"},
  {"[1]", "resource "},
  {P "'birthdate':'2020-01-01'}", "unknown-element Patient.birthdate"},
  {P "'deceased':true}", "unknown-element Patient.deceased"},
  {P "'_contact':{}}", "unknown-element Patient._contact"},
  {P "'name':{'family':'A'}}", "cardinality Patient.name"},
  {P "'gender':['male']}", "cardinality Patient.gender"},
  {P "'name':[]}", "empty Patient.name"},
  {P "'name':[{}]}", "empty Patient.name[0]"},
  {P "'name':[{'id':'x'}]}", "empty Patient.name[0]"},
  {P "'name':[null]}", "empty Patient.name[0]"},
  {P "'active':null}", "empty Patient.active"},
  {P "'active':'true'}", "kind Patient.active"},
  {P "'gender':1}", "kind Patient.gender"},
  {P "'gender':'Male'}", "code Patient.gender"},
  {P "'name':['A']}", "kind Patient.name[0]"},
  {P "'birthDate':'2020-13-01'}", "format Patient.birthDate"},
  {P "'birthDate':'2023-02-29'}", "format Patient.birthDate"},
  {P "'birthDate':'2020-01'}", ""},
  {P "'deceasedDateTime':'2020-01-01T10:00:00'}", "format Patient.deceasedDateTime"},
  {P "'deceasedDateTime':'2020-01-01T10:00Z'}", "format Patient.deceasedDateTime"},
  {P "'deceasedDateTime':'2020-01-01T10:00:00Z'}", ""},
  {P "'deceasedBoolean':true,'deceasedDateTime':'2020'}", "choice Patient.deceasedDateTime"},
  {P "'id':'a b'}", "format Patient.id"},
  {P "'multipleBirthInteger':1.5}", "format Patient.multipleBirthInteger"},
  {P "'telecom':[{'rank':0}]}", "format Patient.telecom[0].rank"},
  {P "'name':[{'given':['A',null],'_given':[null,{'id':'x','extension':[{'url':'u','valueCode':'c'}]}]}]}", ""},
  {P "'name':[{'given':['A','B'],'_given':[null]}]}", "cardinality Patient.name[0].given"},
  {P "'_birthDate':{'extension':[{'url':'u','valueString':'x'}]}}", ""},
  {P "'birthDate':'2020','_birthDate':[{'id':'a'}]}", "kind Patient.birthDate"},
  {P "'extension':[{'valueString':'x'}]}", "required Patient.extension[0]"},
  {P "'extension':[{'url':'u'}]}", "extension Patient.extension[0]"},
  {P "'extension':[{'url':'u','valueString':'x','extension':[{'url':'v','valueString':'y'}]}]}", "extension Patient.extension[0]"},
  {P "'extension':[{'url':'u','valueStrin':'x'}]}", "unknown-element Patient.extension[0].valueStrin; extension Patient.extension[0]"},
  {P "'link':[{'other':{'reference':'Patient/1'}}]}", "required Patient.link[0]"},
  {P "'managingOrganization':{'reference':'Practitioner/1'}}", "reference Patient.managingOrganization.reference"},
  {P "'managingOrganization':{'reference':'http://a.b/fhir/Practitioner/1'}}", "reference Patient.managingOrganization.reference"},
  {P "'managingOrganization':{'reference':'http://a.b/other'}}", ""},
  {P "'managingOrganization':{'reference':'Organization'}}", "reference Patient.managingOrganization.reference"},
  {P "'managingOrganization':{'reference':'Organization/1/_history/2'}}", ""},
  {P "'managingOrganization':{'type':'Patient','display':'x'}}", "reference Patient.managingOrganization"},
  {P "'managingOrganization':{'reference':'#a'}}", "reference Patient.managingOrganization.reference"},
  {P "'managingOrganization':{'reference':'#a'},'contained':[{'resourceType':'Organization','id':'a','name':'x'}]}", ""},
  {P "'managingOrganization':{'reference':'#a'},'contained':[{'resourceType':'Patient','id':'a'}]}", "reference Patient.managingOrganization.reference"},
  {P "'contained':[{'resourceType':'Organization','id':'a'}]}", "?contained Patient.contained[0]"},
  {P "'contained':[{'resourceType':'Organization'}]}", "contained Patient.contained[0]"},
  {P "'text':{'status':'generated','div':'hello'}}", "format Patient.text.div"},
  {P "'photo':[{'data':'abc'}]}", "format Patient.photo[0].data"},
  {O "'valueQuantity':{'value':'1'}}", "kind Observation.valueQuantity.value"},
  {O "'valueQuantity':{'value':1.00},'valueString':'x'}", "choice Observation.valueString"},
  {O "'valueString':''}", "format Observation.valueString"},
  {O "'effectiveInstant':'2020-01-01'}", "format Observation.effectiveInstant"},
  {O "'effectiveInstant':'2016-12-31T23:59:60Z'}", ""},
  {O "'component':[{'valueString':'x'}]}", "required Observation.component[0]"},
  {O "'subject':{}}", "empty Observation.subject"},
  {"{'resourceType':'Observation','status':'fnal'}", "code Observation.status; required Observation"},
  {"{'resourceType':'Bundle','type':'transaction','entry':[{'fullUrl':'urn:uuid:1','resource':" P "'active':true}},"
   "{'resource':" O "'subject':{'reference':'urn:uuid:1'}}},{'resource':" O "'subject':{'reference':'urn:uuid:2'}}},"
   "{'resource':" O "'performer':[{'reference':'urn:uuid:1'}],'encounter':{'reference':'urn:uuid:1'}}}]}",
   "reference Bundle.entry[2].resource.subject.reference; reference Bundle.entry[3].resource.encounter.reference"},
  {"{'resourceType':'Bundle','type':'collection','entry':[{'resource':{'resourceType':'Patent'}}]}", "resource Bundle.entry[0].resource"},
  {"{'resourceType':'Bundle','type':'collection','entry':[{'resource':{'resourceType':'Parameters','parameter':[{'name':'a','valueInteger':1}]}}]}", ""},
};

static void test_each_rule(void **state) {
  char got[2000];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    problems(*state, cases[i].json, got, sizeof got);
    if (strcmp(got, cases[i].want) != 0) fail_msg("%s\n  gives  %s\n  wanted %s", cases[i].json, got, cases[i].want);
  }
}

/* Texts never hold the value; `value` and `at` do. */
static void test_values_stay_apart(void **state) {
  json_rig *w = *state;
  static const char text[] = "{\"resourceType\":\"Patient\",\n\"birthDate\":\"Smith\"}";
  fhir_report r;
  val v;
  assert_int_equal(json_read(&w->reader, &w->a, text, sizeof text - 1, NULL, &v, NULL), HDW_OK);
  assert_int_equal(fhir_validate(&w->a, v, &(fhir_validate_opts){.text = text, .len = sizeof text - 1}, &r), HDW_OK);
  assert_int_equal(r.n, 1);
  assert_null(strstr(r.v[0].text, "Smith"));
  assert_true(r.v[0].value.tag == VAL_STR && r.v[0].value.len == 5);
  assert_true(r.v[0].at == strstr(text, "Smith"));
}

static void test_depth_is_bounded(void **state) {
  json_rig *w = *state;
  enum { DEEP = 400 };
  char *text = malloc(DEEP * 40 + 100), *p = text;
  p += sprintf(p, "{\"resourceType\":\"Patient\"");
  for (int i = 0; i < DEEP; i++) p += sprintf(p, ",\"extension\":[{\"url\":\"u\"");
  for (int i = 0; i < DEEP; i++) p += sprintf(p, "}]");
  sprintf(p, "}");
  fhir_report r;
  val v;
  assert_int_equal(json_read(&w->reader, &w->a, text, strlen(text), &(json_opts){.max_depth = 2000}, &v, NULL), HDW_OK);
  assert_int_equal(fhir_validate(&w->a, v, NULL, &r), HDW_OK);
  assert_int_equal(r.v[0].rule, FHIR_RULE_DEPTH);
  free(text);
}

/* The published examples are clean but for the mistakes that they really have: file, number of errors, why. */
static const struct { const char *file; unsigned errors; const char *why; } known[] = {
  {"MedicationRequest-medrx0301.json", 1, "dispenseRequest.performer is Reference(Organization), the example names a Practitioner"},
  {"Questionnaire-qs1.json", 32, "Questionnaire.item.linkId is 1..1, the nested items have none"}};

/* Parts on their own, by the type that they are said to have. */
static void test_parts(void **state) {
  static const struct { const char *json, *type, *want; } parts[] = {
      {"{\"family\":\"X\",\"use\":\"usual\"}", "HumanName", ""},
      {"{\"family\":\"X\",\"use\":\"nope\"}", "HumanName", "code HumanName.use"},
      {"{\"family\":[\"X\"]}", "HumanName", "cardinality HumanName.family"},
      {"{\"value\":1,\"unti\":\"a\"}", "Age", "unknown-element Age.unti"}};
  json_rig *w = *state;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    fhir_report r;
    val v;
    char line[200] = "";
    json_error e = {0};
    assert_int_equal(json_read(&w->reader, &w->a, parts[i].json, strlen(parts[i].json), NULL, &v, &e), HDW_OK);
    assert_int_equal(fhir_validate_part(&w->a, v, fhir_type(parts[i].type, strlen(parts[i].type)), NULL, &r), HDW_OK);
    if (r.n) snprintf(line, sizeof line, "%s %s", fhir_rule_name(r.v[0].rule), r.v[0].path);
    assert_string_equal(line, parts[i].want);
    assert_true(r.n <= 1);
  }
}

static void test_published_examples(void **state) {
  json_rig *w = *state;
  static const char dir[] = "tests/conformance/fhir-examples";
  DIR *d = opendir(dir);
  unsigned files = 0;
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    char path[400];
    size_t n = strlen(e->d_name), len;
    if (n < 5 || strcmp(e->d_name + n - 5, ".json") != 0) continue;
    snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    char *text = test_read_file(path, &len);
    fhir_report r;
    val v;
    assert_int_equal(json_read(&w->reader, &w->a, text, len, NULL, &v, NULL), HDW_OK);
    assert_int_equal(fhir_validate(&w->a, v, NULL, &r), HDW_OK);
    unsigned want = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
      if (strcmp(known[i].file, e->d_name) == 0) want = known[i].errors;
    if (r.errors != want) fail_msg("%s: %u errors, %u wanted; first: %s: %s", e->d_name, r.errors, want, r.n ? r.v[0].path : "", r.n ? r.v[0].text : "");
    files++;
    free(text);
  }
  closedir(d);
  print_message("%u published examples, %u of them with mistakes of their own\n", files, (unsigned)(sizeof known / sizeof *known));
  assert_true(files >= 25);
}

/* Contained resources, each looked for in all of the others: who pays for it ends it. */
static void test_looking_is_paid_for(void **state) {
  json_rig *w = *state;
  fhir_report r;
  int64_t cost[2];
  for (unsigned k = 0; k < 2; k++) {
    buf b;
    val v;
    unsigned n = k ? 400 : 100;
    buf_init(&b, &w->a, 1 << 20);
    buf_puts(&b, "{\"resourceType\":\"Patient\",\"contained\":[");
    for (unsigned i = 0; i < n; i++) buf_putf(&b, "%s{\"resourceType\":\"Organization\",\"id\":\"o%u\",\"name\":\"n\"}", i ? "," : "", i);
    buf_puts(&b, "]}");
    assert_int_equal(json_read(&w->reader, &w->a, b.p, b.len, NULL, &v, NULL), HDW_OK);
    int64_t fuel = INT64_MAX;
    assert_int_equal(fhir_validate(&w->a, v, &(fhir_validate_opts){.fuel = &fuel}, &r), HDW_OK);
    assert_int_equal(r.warnings, n);
    cost[k] = INT64_MAX - fuel;
    fuel = cost[k] / 2;
    assert_int_equal(fhir_validate(&w->a, v, &(fhir_validate_opts){.fuel = &fuel}, &r), HDW_E_FUEL);
    assert_true(fuel > -1000);
  }
  assert_true(cost[1] > 10 * cost[0]); /* it is what it costs */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_each_rule, setup, teardown),
    cmocka_unit_test_setup_teardown(test_values_stay_apart, setup, teardown),
    cmocka_unit_test_setup_teardown(test_depth_is_bounded, setup, teardown),
    cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
    cmocka_unit_test_setup_teardown(test_looking_is_paid_for, setup, teardown),
    cmocka_unit_test_setup_teardown(test_published_examples, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
