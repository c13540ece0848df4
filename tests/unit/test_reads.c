/* What a workflow reads, found in its code. */
#include "prog_rig.h"
#include "reads.h"

typedef struct world { test_mem mem; arena a; } world;

static void put(buf *b, const reads *r, uint32_t i, const char *above) {
  const reads_node *x = &r->v[i];
  char path[200];
  if (!i) snprintf(path, sizeof path, "*");
  else if (x->field) snprintf(path, sizeof path, "%s-%u", above, x->field);
  else snprintf(path, sizeof path, "%s%s%.*s", above, above[0] ? "." : "", (int)x->len, x->name);
  if (x->marks) buf_putf(b, " %s%s%s", path, x->marks & READS_ALL ? "" : x->marks & READS_SEEN ? "?" : "", x->marks & READS_DROPPED ? "!" : "");
  uint32_t kids[200], n = 0; /* newest first: turned round */
  for (uint32_t k = x->first; k && n < 200; k = r->v[k].next) kids[n++] = k;
  while (n) put(b, r, kids[--n], i ? path : "");
}

/* The marks of the first workflow: PATH read, PATH? asked for, PATH! dropped. */
static void reads_are(const char *text, reads_kind kind, const char *want) {
  world w;
  diag_list l;
  comp_result cr;
  module m;
  mod_error err;
  reads r;
  buf b;
  char src[8000];
  snprintf(src, sizeof src, "hdw 1\nconnection crm = rest()\nconnection ward = mllp()\nlistener adt = mllp(port: 2575)\nlistener web = http(port: 8080)\n%s", text);
  test_mem_init(&w.mem);
  arena_init(&w.a, &w.mem.m, 0);
  comp_source s = {"t.hdw", src, strlen(src)};
  comp_options o = {0};
  diag_init(&l, &w.a);
  assert_int_equal(comp_program(&w.a, &s, 1, &o, &l, &cr), HDW_OK);
  for (const diag *d = l.first; d; d = d->next)
    if (d->severity == DIAG_ERROR) fail_msg("%s in\n%s", d->text, text);
  assert_int_equal(mod_load(&w.a, cr.bytes, cr.len_bytes, &m, &err), HDW_OK);
  assert_int_equal(mod_verify(&w.a, &m, &err), HDW_OK);
  assert_int_equal(reads_of(&w.a, &m, mod_find(&m, "w"), kind, &r), HDW_OK);
  buf_init(&b, &w.a, 1 << 20);
  put(&b, &r, 0, "");
  buf_putc(&b, 0);
  if (strcmp(b.len > 1 ? b.p + 1 : "", want) != 0) fail_msg("%s\nreads %s\n not  %s", text, b.p, want);
  arena_free(&w.a);
  assert_int_equal(w.mem.live_bytes, 0);
}

#define W(body) "workflow w on msg = adt.message(types: ['ADT^A01']) {\n" body "\n}\n"
#define ORU(body) "workflow w on msg = adt.message(types: ['ORU^R01']) {\n" body "\n}\n"
#define POST(body) "workflow w on q = web.post('/x') {\n" body "\n}\n"

static void test_fields(void **state) {
  (void)state;
  reads_are(W("  let a = msg.PID-3"), READS_HL7, "");
  reads_are(W("  return msg.PID-3.1"), READS_HL7, "PID-3");
  reads_are(W("  return [msg.PID-5.familyName, PID-7, msg.PID.sex]"), READS_HL7, "PID-5 PID-7 PID-8");
  reads_are(W("  let p = msg.PID\n  let q = p\n  return q.PID-8"), READS_HL7, "PID-8");
  reads_are(W("  if msg.PID-8 = 'F' { skip('x') }"), READS_HL7, "PID-8");
  reads_are(W("  return msg.with(PID-8: 'F').PID-3.1"), READS_HL7, "PID-3");
  reads_are(W("  return msg.part('PID', 1).PID-3.1"), READS_HL7, "PID-3");
  reads_are(W("  if msg.PID-8.exists() { skip('x') }"), READS_HL7, "PID-8?");
  reads_are(W("  if msg.NK1.exists() { skip('x') }"), READS_HL7, "NK1?");
  reads_are(W("  return coalesce(msg.PID-2, msg.PID-4)"), READS_HL7, "PID-2 PID-4");
  reads_are(W("  return \"{msg.PV1-2} and {msg.PV1-3.1}\""), READS_HL7, "PV1-2 PV1-3");
  reads_are(W("  return msg.ZPV-3.2"), READS_HL7, "ZPV-3");
  reads_are(W("  return {:}"), READS_HL7, "");
}

static void test_wholes(void **state) {
  (void)state;
  reads_are(W("  send ward.message(msg)"), READS_HL7, "*");
  reads_are(W("  send ward.message(msg.with(MSH-3: 'HUB'))"), READS_HL7, "*");
  reads_are(W("  return msg.PID"), READS_HL7, "PID");
  reads_are(W("  return { a: [msg.NK1], b: msg.PID-3.1 }"), READS_HL7, "NK1 PID-3");
  reads_are(W("  return msg.descendants().count()"), READS_HL7, "*");
}

static void test_collections(void **state) {
  (void)state;
  reads_are(W("  return msg.PID-3.where(identifierTypeCode = 'MR').idNumber.first()"), READS_HL7, "PID-3");
  reads_are(ORU("  return msg.OBX.where(OBX-3.1 = 'a').OBX-5"), READS_HL7, "OBX-3 OBX-5");
  reads_are(ORU("  return msg.PATIENT_RESULT.ORDER_OBSERVATION.OBSERVATION.OBX.select(OBX-5 & OBX-6.1)"), READS_HL7, "OBX-5 OBX-6");
  reads_are(ORU("  for o in msg.OBX { send crm.post('/o', body: { v: o.OBX-5.1 }) }"), READS_HL7, "OBX-5");
  reads_are(ORU("  return msg.OBX[0].OBX-11"), READS_HL7, "OBX-11");
  reads_are(ORU("  return msg.OBX.first().OBX-11.toString()"), READS_HL7, "OBX-11");
  reads_are(ORU("  return (msg.OBX | msg.NTE).count()"), READS_HL7, "OBX NTE");
  reads_are(ORU("  return msg.OBX.exists(OBX-8 = 'H')"), READS_HL7, "OBX-8");
  reads_are(W("  return msg.NK1.sort(NK1-1).NK1-2.1"), READS_HL7, "NK1-1 NK1-2");
  reads_are(ORU("  return msg.OBX.aggregate($this.OBX-5.toDecimal() + $total, 0.0)"), READS_HL7, "OBX-5");
  reads_are(ORU("  step r = parallel for o in msg.OBX limit 2 { step a = crm.get('/x', id: o.OBX-3.1)  yield o.OBX-4 }\n  return r"), READS_HL7, "OBX-3 OBX-4");
}

static void test_functions(void **state) {
  (void)state;
  reads_are("fn f(m: ADT_A01): string? = m.PID-5.1\n" W("  return f(msg)"), READS_HL7, "PID-5");
  reads_are("fn f(p: PID): string? = p.PID-5.1\n" W("  return f(msg.PID)"), READS_HL7, "PID-5");
  reads_are("fn f(x: any): any = x.PID-9\n" W("  return f(msg)"), READS_HL7, "PID-9");
  reads_are("fn f(x: string?): string? = x\n" W("  return f(msg.PID-5.1)"), READS_HL7, "PID-5");
  reads_are("fn pick(m: ADT_A01): any = m.PID\n" W("  return pick(msg).PID-7"), READS_HL7, "PID-7");
  reads_are("fn unused(m: ADT_A01): any = m.PID-5\n" W("  return msg.PID-7"), READS_HL7, "PID-7");
  reads_are("fn last(m: ADT_A01, n: integer): any {\n  if n = 0 { return m.PID-3 }\n  return last(m, n - 1)\n}\n" W("  return last(msg, 3)"), READS_HL7, "PID-3");
  reads_are("payload P(msg: ADT_A01) {\n  id: string* = msg.PID-3.idNumber\n  sex: string? = msg.PID-8\n}\n" W("  return P(msg)"), READS_HL7, "PID-3 PID-8");
  reads_are("action a(m: ADT_A01): any {\n  step x = crm.get('/p', id: m.PID-3.1.first())\n  return x\n}\n" W("  step y = a(msg)\n  return y"), READS_HL7, "PID-3");
}

static void test_drops(void **state) {
  (void)state;
  reads_are(W("  drop msg.NK1, msg.PID-11, PID-13\n  return PID-3.1"), READS_HL7, "NK1! PID-11! PID-13! PID-3");
  reads_are("fn f(m: ADT_A01): any {\n  drop m.EVN\n  return m.PID-3.1\n}\n" W("  return f(msg)"), READS_HL7, "EVN! PID-3");
  reads_are(W("  drop msg"), READS_HL7, "*!");
  reads_are(POST("  drop q.body.contact\n  return q.body.name"), READS_JSON, "body.contact! body.name");
}

static void test_json(void **state) {
  (void)state;
  reads_are(POST("  return q.body.name.family"), READS_JSON, "body.name.family");
  reads_are(POST("  send crm.post('/x', body: q.body)"), READS_JSON, "body");
  reads_are("fn f(p: Patient): any* = p.name.where(use = 'official').given\n" POST("  return f(q.body)"), READS_JSON, "body.name.use body.name.given");
  reads_are("payload In { a: string  b: integer? }\nworkflow w on i = web.post('/x', shape: In) {\n  return i.a\n}\n", READS_JSON, "body? body.a body.b");
  reads_are(POST("  return q.body.a.combine(q.body.b).first().c"), READS_JSON, "body.a.c body.b.c");
  reads_are(POST("  return q.body.a.distinct().count()"), READS_JSON, "body.a");
  reads_are(POST("  return q.body.extension('u').value"), READS_JSON, "body.extension.url body.extension.value");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields), cmocka_unit_test(test_wholes), cmocka_unit_test(test_collections), cmocka_unit_test(test_functions),
                                     cmocka_unit_test(test_drops), cmocka_unit_test(test_json)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
