/* engine_patient.c - whose input it is: the identifiers under which messages are found (--patient). They are indexed by a keyed hash only.
 *
 *   HL7   PID-3 of every PID, all repetitions; MRG-1 of a merge: the number that goes away
 *   JSON  of a FHIR resource: Patient.id and Patient.identifier.value; else subject or patient: what Patient/ID refers to, and identifier.value; of a Bundle: of
 *         its entries. Other JSON has no known place for it. */
#include "engine_int.h"

static void add(eng_message *m, const char *p, size_t n) {
  if (!n || n > REC_NAME_MAX || m->rec.npatients == REC_MAX_PATIENTS) return;
  cod_str s = cod_bytes(p, n);
  for (unsigned i = 0; i < m->rec.npatients; i++)
    if (cod_equal(m->rec.patients[i], s)) return;
  m->rec.patients[m->rec.npatients++] = s;
}

static void field(eng_message *m, const hl7_msg *msg, uint32_t seg, unsigned f) {
  hl7_slice all = hl7_field_raw(msg, seg, f);
  for (uint32_t rep = 0; rep < REC_MAX_PATIENTS; rep++) {
    hl7_slice s = hl7_raw(msg, seg, f, rep, 1, 1);
    if (s.p == all.p + all.len) break; /* there are no more */
    add(m, s.p, s.len);
  }
}

void eng_patients_hl7(eng_message *m, const hl7_msg *msg) {
  const struct { uint32_t name; unsigned field; } where[] = {{HL7_NAME('P', 'I', 'D'), 3}, {HL7_NAME('M', 'R', 'G'), 1}};
  for (size_t i = 0; i < sizeof where / sizeof *where; i++)
    for (uint32_t s = hl7_find(msg, where[i].name, 0); s != HL7_NO_SEGMENT && m->rec.npatients < REC_MAX_PATIENTS; s = hl7_find(msg, where[i].name, s + 1)) field(m, msg, s, where[i].field);
}

static void text(eng_message *m, val v) {
  if (v.tag == VAL_STR) add(m, v.u.s, v.len);
}

static void identifiers(eng_message *m, val list) {
  if (list.tag == VAL_OBJ) text(m, jv_get(list, "value"));
  for (uint32_t i = 0; i < jv_count(list) && i < 64; i++) text(m, jv_get(jv_item(list, i), "value"));
}

static void reference(eng_message *m, val r) {
  val s = jv_get(r, "reference");
  const char *at = s.tag == VAL_STR ? (const char *)memmem(s.u.s, s.len, "Patient/", 8) : NULL;
  if (at) {
    size_t n = s.len - (size_t)(at + 8 - s.u.s), k = 0;
    while (k < n && at[8 + k] != '/' && at[8 + k] != '?') k++;
    add(m, at + 8, k);
  }
  identifiers(m, jv_get(r, "identifier"));
}

static void resource(eng_message *m, val r) {
  if (jv_is(jv_get(r, "resourceType"), "Patient")) {
    text(m, jv_get(r, "id"));
    identifiers(m, jv_get(r, "identifier"));
  } else {
    reference(m, jv_get(r, "subject"));
    reference(m, jv_get(r, "patient"));
  }
}

void eng_patients_json(eng_message *m, val input) {
  val body = jv_get(input, "body"), entries = jv_get(body, "entry");
  if (body.tag != VAL_OBJ || jv_get(body, "resourceType").tag != VAL_STR) return;
  if (!jv_is(jv_get(body, "resourceType"), "Bundle")) {
    resource(m, body);
    return;
  }
  for (uint32_t i = 0; i < jv_count(entries) && i < 1000 && m->rec.npatients < REC_MAX_PATIENTS; i++) resource(m, jv_get(jv_item(entries, i), "resource"));
}
