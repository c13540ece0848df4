/* Profiles: trees of rules from StructureDefinitions, and values checked against them; whole documents and trimmed ones say the same. */
#include "json_rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fhir_profile.h"
#include "model.h"

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

/* ' for " in the text; the copy lives as long as the rig. */
static val value_of(json_rig *w, const char *text) {
  char *copy = arena_dup(&w->a, text, strlen(text));
  for (char *p = copy; *p; p++)
    if (*p == '\'') *p = '"';
  return json_rig_read(w, copy, strlen(copy));
}

static val profile_of(json_rig *w, const char *type, const char *elements) {
  char text[4000];
  snprintf(text, sizeof text, "{'resourceType':'StructureDefinition','url':'http://example.org/p','name':'P','type':'%s','snapshot':{'element':[{'path':'%s'},%s]}}", type, type, elements);
  return value_of(w, text);
}

/* The problems as "path: text" lines. */
static const char *problems(json_rig *w, val doc, val item, char *out, size_t cap) {
  fhir_profile p;
  fhir_report r;
  vm_cx cx = {.a = &w->a, .fuel = 1000000, .model = &hdw_model};
  assert_int_equal(fhir_profile_read(&w->a, doc, &p, NULL), HDW_OK);
  assert_int_equal(fhir_profile_check(&cx, &p, item, NULL, &r), HDW_OK);
  size_t k = 0;
  out[0] = 0;
  for (uint32_t i = 0; i < r.n; i++) {
    assert_int_equal(r.v[i].rule, FHIR_RULE_PROFILE);
    k += (size_t)snprintf(out + k, cap - k, "%s%s: %s", i ? "; " : "", r.v[i].path, r.v[i].text);
  }
  return out;
}

static void same_when_trimmed(json_rig *w, val doc, val item, const char *want) {
  char got[2000];
  val less;
  assert_string_equal(problems(w, doc, item, got, sizeof got), want);
  assert_int_equal(fhir_profile_trim(&w->a, doc, &less), HDW_OK);
  assert_string_equal(problems(w, less, item, got, sizeof got), want);
}

#define ID "{'path':'Patient.identifier','min':1,'max':'*','slicing':{'discriminator':[{'type':'value','path':'system'}],'rules':'open'}}," \
  "{'path':'Patient.identifier','sliceName':'mrn','min':1,'max':'1'},{'path':'Patient.identifier.system','min':1,'max':'1','fixedUri':'urn:mrn'}," \
  "{'path':'Patient.identifier.value','min':1,'max':'1'},{'path':'Patient.identifier','sliceName':'old','min':0,'max':'1'}," \
  "{'path':'Patient.identifier.system','min':1,'max':'1','fixedUri':'urn:old'}"
#define EXT "{'path':'Patient.extension','min':0,'max':'*','slicing':{'discriminator':[{'type':'value','path':'url'}],'rules':'open'}}," \
  "{'path':'Patient.extension','sliceName':'race','min':0,'max':'1','type':[{'code':'Extension','profile':['http://race']}]}," \
  "{'path':'Patient.extension','sliceName':'sex','min':1,'max':'1'},{'path':'Patient.extension.url','min':1,'max':'1','fixedUri':'http://sex'}"
#define P "{'resourceType':'Patient',"
#define O "{'resourceType':'Observation',"

static const struct { const char *type, *elements, *json, *want; } cases[] = {
  /* cardinality, below the top level too */
  {"Patient", "{'path':'Patient.name','min':1,'max':'1'},{'path':'Patient.name.family','min':1,'max':'1'},{'path':'Patient.photo','min':0,'max':'0'}", P "'name':[{'family':'A'}]}", ""},
  {"Patient", "{'path':'Patient.name','min':1,'max':'1'},{'path':'Patient.name.family','min':1,'max':'1'}", P "'name':[{'text':'A'},{'family':'B'}]}",
   "Patient.name: at most 1 value expected, 2 found; Patient.name[0].family: at least 1 value expected, 0 found"},
  {"Patient", "{'path':'Patient.photo','min':0,'max':'0'}", P "'photo':[{'title':'a'}]}", "Patient.photo: at most 0 values expected, 1 found"},
  {"Patient", "{'path':'Patient.birthDate','min':1,'max':'1'}", P "'_birthDate':{'extension':[{'url':'http://a','valueString':'b'}]}}", ""}, /* an element without a value is one */
  {"Patient", "{'path':'Patient.name','min':1}", "{'resourceType':'Observation'}", "Patient: a Patient is wanted"},
  {"Patient", "{'path':'Patient.birthDate','min':1}", P "'birthDate':['2020','2021']}", "Patient.birthDate: at least 1 value expected, 0 found"}, /* and the validator says what is wrong */
  /* fixed and pattern values */
  {"Patient", "{'path':'Patient.gender','fixedCode':'female'}", P "'gender':'female'}", ""},
  {"Patient", "{'path':'Patient.gender','fixedCode':'female'}", P "'gender':'male'}", "Patient.gender: the profile fixes the value 'female'"},
  {"Patient", "{'path':'Patient.birthDate','fixedDate':'2020-01-01'}", P "'birthDate':'2020-01-01'}", ""},
  {"Patient", "{'path':'Patient.active','fixedBoolean':true}", P "'active':false}", "Patient.active: the profile fixes the value, and this is another value"},
  {"Observation", "{'path':'Observation.code','patternCodeableConcept':{'coding':[{'system':'a','code':'b'}]}}", O "'code':{'text':'t','coding':[{'code':'x'},{'system':'a','code':'b','display':'d'}]}}", ""},
  {"Observation", "{'path':'Observation.code','patternCodeableConcept':{'coding':[{'system':'a','code':'b'}]}}", O "'code':{'coding':[{'system':'a','code':'c'},{'system':'x','code':'b'}]}}",
   "Observation.code: the profile fixes parts of the value, and this is another value"},
  {"Observation", "{'path':'Observation.code','fixedCodeableConcept':{'text':'a'}}", O "'code':{'text':'a','coding':[{'code':'b'}]}}", "Observation.code: the profile fixes the value, and this is another value"},
  {"Observation", "{'path':'Observation.value[x]','patternQuantity':{'value':1.0,'unit':'mg'}}", O "'valueQuantity':{'value':1.00,'unit':'mg','code':'mg'}}", ""},
  /* types of a choice element, codes of required bindings */
  {"Observation", "{'path':'Observation.value[x]','type':[{'code':'Quantity'},{'code':'string'}]}", O "'valueString':'a'}", ""},
  {"Observation", "{'path':'Observation.value[x]','type':[{'code':'Quantity'}]}", O "'valueString':'a'}", "Observation.value: the profile does not allow this type of value[x]"},
  {"Patient", "{'path':'Patient.maritalStatus','binding':{'strength':'required','valueSet':'http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1'}}", P "'maritalStatus':{'coding':[{'code':'M'}]}}",
   "Patient.maritalStatus: no code of http://hl7.org/fhir/ValueSet/administrative-gender, to which the profile binds the element"},
  {"Patient", "{'path':'Patient.maritalStatus','binding':{'strength':'required','valueSet':'http://hl7.org/fhir/ValueSet/administrative-gender'}}", P "'maritalStatus':{'coding':[{'code':'M'},{'code':'male'}]}}", ""},
  /* slices by value */
  {"Patient", ID, P "'identifier':[{'system':'urn:x'},{'system':'urn:mrn','value':'1'}]}", ""},
  {"Patient", ID, P "'identifier':[{'system':'urn:mrn'},{'system':'urn:old'},{'system':'urn:old'}]}",
   "Patient.identifier[0].value: at least 1 value expected, 0 found; Patient.identifier: slice 'old': at most 1 value expected, 2 found"},
  {"Patient", ID, P "'identifier':[{'system':'urn:x'}]}", "Patient.identifier: slice 'mrn': at least 1 value expected, 0 found"},
  /* by the url of an extension: of its definition, or fixed */
  {"Patient", EXT, P "'extension':[{'url':'http://race','valueString':'a'},{'url':'http://sex','valueCode':'f'},{'url':'http://other','valueCode':'f'}]}", ""},
  {"Patient", EXT, P "'extension':[{'url':'http://race','valueString':'a'},{'url':'http://race','valueString':'a'}]}",
   "Patient.extension: slice 'race': at most 1 value expected, 2 found; Patient.extension: slice 'sex': at least 1 value expected, 0 found"},
  /* by type, closed; the name of a choice's member alone is such a slice */
  {"Observation", "{'path':'Observation.value[x]','slicing':{'discriminator':[{'type':'type','path':'$this'}],'rules':'closed'}},{'path':'Observation.value[x]','sliceName':'q','min':1,'type':[{'code':'Quantity'}]}", O "'valueString':'a'}",
   "Observation.value: it belongs to none of the slices, and there are no others; Observation.value: slice 'q': at least 1 value expected, 0 found"},
  {"Observation", "{'path':'Observation.valueQuantity','min':1},{'path':'Observation.valueQuantity.unit','min':1}", O "'valueQuantity':{'value':1}}", "Observation.value.unit: at least 1 value expected, 0 found"},
  {"Observation", "{'path':'Observation.valueQuantity','min':1}", O "'valueString':'a'}", "Observation.value: slice 'valueQuantity': at least 1 value expected, 0 found"},
  /* by existence */
  {"Patient", "{'path':'Patient.name','slicing':{'discriminator':[{'type':'exists','path':'period.end'}]}},{'path':'Patient.name','sliceName':'old','max':'0'},{'path':'Patient.name.period.end','min':1}", P "'name':[{'text':'a','period':{'end':'2020'}}]}",
   "Patient.name: slice 'old': at most 0 values expected, 1 found"},
  /* what cannot be decided is not judged */
  {"Patient", "{'path':'Patient.link','slicing':{'discriminator':[{'type':'profile','path':'other.resolve()'}],'rules':'closed'}},{'path':'Patient.link','sliceName':'a','min':1}", P "'link':[{'type':'seealso'}]}", ""},
  /* a pattern above the discriminator's path; elements that no element of the profile introduces */
  {"Observation", "{'path':'Observation.component','slicing':{'discriminator':[{'type':'pattern','path':'code.coding.code'}]}},{'path':'Observation.component','sliceName':'sys','min':1},"
   "{'path':'Observation.component.code','patternCodeableConcept':{'coding':[{'code':'8480-6'}]}},{'path':'Observation.component.value[x].unit','min':1}", O "'component':[{'code':{'coding':[{'code':'8480-6'}]},'valueQuantity':{'value':1}}]}",
   "Observation.component[0].value.unit: at least 1 value expected, 0 found"},
};

static void test_rules(void **state) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    same_when_trimmed(*state, profile_of(*state, cases[i].type, cases[i].elements), value_of(*state, cases[i].json), cases[i].want);
}

/* A published profile with slices in slices. */
#define BP(systolic, unit) O "'status':'final','category':[{'coding':[{'system':'http://terminology.hl7.org/CodeSystem/observation-category','code':'vital-signs'}]}]," \
  "'code':{'coding':[{'system':'http://loinc.org','code':'85354-9'}]},'subject':{'reference':'Patient/1'},'effectiveDateTime':'2024-01-01'," \
  "'component':[{'code':{'coding':[{'system':'http://loinc.org','code':'" systolic "'},{'system':'http://x','code':'y'}]},'valueQuantity':{'value':107,'unit':'" unit "','system':'http://unitsofmeasure.org','code':'" unit "'}}," \
  "{'code':{'coding':[{'system':'http://loinc.org','code':'8462-4'}]},'valueQuantity':{'value':60,'unit':'mm[Hg]','system':'http://unitsofmeasure.org','code':'mm[Hg]'}}]}"

static val bp(json_rig *w) {
  size_t len;
  char *text = test_read_file("tests/lang/check/profiles/bp.json", &len), *copy = arena_dup(&w->a, text, len);
  free(text);
  return json_rig_read(w, copy, len);
}

static void test_blood_pressure(void **state) {
  json_rig *w = *state;
  val doc = bp(w), less;
  same_when_trimmed(w, doc, value_of(w, BP("8480-6", "mm[Hg]")), "");
  same_when_trimmed(w, doc, value_of(w, BP("8480-6", "kPa")), "Observation.component[0].value.code: the profile fixes the value 'mm[Hg]'");
  same_when_trimmed(w, doc, value_of(w, BP("8480-7", "mm[Hg]")), "Observation.component: slice 'SystolicBP': at least 1 value expected, 0 found");
  fhir_profile p;
  assert_int_equal(fhir_profile_trim(&w->a, doc, &less), HDW_OK);
  assert_int_equal(fhir_profile_read(&w->a, less, &p, NULL), HDW_OK);
  const fhir_pnode *n = fhir_profile_at(&p, "component:SystolicBP.value", 26);
  assert_non_null(n);
  n = fhir_profile_child(&p.root, "component", 9);
  assert_int_equal(n->min, 2);
  assert_non_null(fhir_profile_named(n, "DiastolicBP", 11));
  assert_null(fhir_profile_named(n, "Diastolic", 9));
}

/* What cannot be read, and what wants too much. */
static void test_refused(void **state) {
  json_rig *w = *state;
  fhir_profile p;
  const char *why;
  val less;
  static const char *const none[] = {"{'resourceType':'Patient'}", "{'resourceType':'StructureDefinition','type':'Pateint','snapshot':{'element':[{'path':'Patient'}]}}", "[]", "1",
    "{'resourceType':'StructureDefinition','type':'Patient'}", "{'resourceType':'StructureDefinition','type':'code','snapshot':{'element':[{'path':'code'}]}}"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    assert_int_equal(fhir_profile_read(&w->a, value_of(w, none[i]), &p, &why), HDW_E_DATA);
    assert_non_null(why);
    assert_int_equal(fhir_profile_trim(&w->a, value_of(w, none[i]), &less), HDW_E_DATA);
  }
  /* odd members are passed over */
  val odd = profile_of(w, "Patient", "1,'a',{'path':5},{'path':'Patient'},{'path':'Patient.'},{'path':'Patient..x'},{'path':'Observation.code','min':1},{'path':'Patient.name','min':'x','max':'-','type':3,'slicing':1,'binding':7},"
                            "{'path':'Patient.name','sliceName':4,'max':99999999999},{'path':'Patient.identifier','sliceName':'','slicing':{'discriminator':[1,{'type':'value'},{'type':'value','path':'a(b'},{'path':'x'}]}}");
  same_when_trimmed(w, odd, value_of(w, P "'name':[{'text':'a'}],'identifier':[{'value':'1'}]}"), "");
}

/* Fuel that ends is the run's failure, and so is memory, wherever it ends. */
static void test_limits(void **state) {
  json_rig *w = *state;
  fhir_profile p;
  fhir_report r;
  val item = value_of(w, BP("8480-6", "mm[Hg]"));
  assert_int_equal(fhir_profile_read(&w->a, bp(w), &p, NULL), HDW_OK);
  vm_cx cx = {.a = &w->a, .fuel = 50, .model = &hdw_model};
  assert_int_equal(fhir_profile_check(&cx, &p, item, NULL, &r), HDW_E_FUEL);
  for (long i = 0; i < 8; i++) {
    test_mem tm;
    arena a;
    val doc = bp(w), less;
    test_mem_init(&tm);
    arena_init(&a, &tm.m, 0);
    tm.fail_after = i;
    hdw_status s = fhir_profile_trim(&a, doc, &less);
    if (!s) s = fhir_profile_read(&a, less, &p, NULL);
    cx = (vm_cx){.a = &a, .fuel = 1000000, .model = &hdw_model};
    if (!s) s = fhir_profile_check(&cx, &p, item, NULL, &r);
    assert_true(s == HDW_E_NOMEM || s == HDW_OK);
    arena_free(&a);
    assert_int_equal(tm.live_bytes, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_rules, setup, teardown), cmocka_unit_test_setup_teardown(test_blood_pressure, setup, teardown),
    cmocka_unit_test_setup_teardown(test_refused, setup, teardown), cmocka_unit_test_setup_teardown(test_limits, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
