/* Loss accounting in the engine: what arrived and is neither read nor dropped. */
#include "prog_rig.h"

static const char hub[] =
    "hdw 1\nconnection crm = rest()\nlistener adt = mllp(port: 2575)\nlistener web = http(port: 8080)\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) {\n  drop msg.NK1, msg.PID-1\n  send crm.post('/a', body: { id: msg.PID-3.idNumber.first() })\n}\n"
    "workflow sexes on msg = adt.message(types: ['ADT^*']) where msg.PID-4.empty() {\n  send crm.post('/s', body: { sex: msg.PID-8 })\n}\n"
    "workflow keep on msg = adt.message(types: ['ORU^R01']) {\n  send crm.post('/r', body: { text: msg.toHl7() })\n}\n"
    "workflow person on q = web.post('/p') {\n  send crm.post('/p', body: { born: q.body.birthDate, v: q.body.value, c: q.body.contact.name.family })\n}\n";

static prog *hub_new(bool loss, bool json) {
  prog *p = prog_new(hub, prog_fine, NULL, 0);
  p->cfg.top.loss = loss, p->cfg.top.loss_json = json;
  return p;
}

static void send(prog *p, const char *text) {
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  engine_submit_hl7(p->e, &src, text, strlen(text), prog_answer, p);
  prog_run_for(p, 1000000);
}

static void post(prog *p, const char *body) {
  post_request(p->e, "application/json", "/p", body, NULL, prog_answer, p);
  prog_run_for(p, 1000000);
}

typedef struct seen { const char *path, *sender; engine_loss l; unsigned n; } seen;

static void take(void *user, const engine_loss *l) {
  seen *s = (seen *)user;
  s->n++;
  if (s->path && !strcmp(l->path, s->path) && (!s->sender || !strcmp(s->sender, l->sender))) s->l = *l;
}

static uint64_t unread(prog *p, const char *sender, const char *path) {
  seen s = {.path = path, .sender = sender};
  engine_losses(p->e, take, &s);
  return s.l.inputs;
}

/* Each of these paths, between blanks, stands in so many inputs of the sender. */
static void expect_unread(prog *p, const char *sender, const char *paths, uint64_t inputs) {
  char text[200];
  snprintf(text, sizeof text, "%s", paths);
  for (const char *path = strtok(text, " "); path; path = strtok(NULL, " "))
    if (unread(p, sender, path) != inputs) fail_msg("%s: %llu", path, (unsigned long long)unread(p, sender, path));
}

static unsigned rows(prog *p) {
  seen s = {0};
  engine_losses(p->e, take, &s);
  return s.n;
}

#define HEAD(type, id) "MSH|^~\\&|LAB|HOSP|HUB|HUB|2026||" type "|" id "|P|2.5.1\r"

static void test_fields_and_segments(void **state) {
  (void)state;
  prog *p = hub_new(true, false);
  send(p, HEAD("ADT^A01", "1") "EVN|A01|2026\rPID|1||4711^^^H||SMITH||19800101|F\rNK1|1|SMITH\rZPV|x\r");
  send(p, HEAD("ADT^A01", "2") "PID|||4712||JONES\r");
  send(p, HEAD("ADT^A01", "3") "PID|1|2|4713|old|||||\r"); /* PID-4: the second workflow does not want it */
  assert_int_equal(unread(p, "LAB", "PID-5"), 2);
  expect_unread(p, "LAB", "PID-7 PID-2 PID-4 EVN ZPV", 1);
  static const char *const quiet[] = {"PID-1", "PID-3", "PID-8", "NK1", "EVN-1", "MSH-3", "MSH-10", "MSH"};
  for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) assert_int_equal(unread(p, NULL, quiet[i]), 0);
  assert_int_equal(rows(p), 6);
  seen s = {.path = "PID-7"};
  engine_losses(p->e, take, &s);
  assert_string_equal(s.l.title, "Date/Time of Birth");
  assert_int_equal(s.l.sender_inputs, 3);
  assert_int_equal(s.l.sender_lossy, 3);
  prog_free(p);
}

static void test_a_path_counts_once_for_a_message(void **state) {
  (void)state;
  prog *p = hub_new(true, false);
  send(p, HEAD("ADT^A01", "1") "PID|||1\rAL1|1|a\rAL1|2|b\rAL1|3|c\r");
  assert_int_equal(unread(p, "LAB", "AL1"), 1);
  send(p, HEAD("ADT^A01", "1") "PID|||1\rAL1|1|a\rAL1|2|b\rAL1|3|c\r"); /* a resend is no input */
  assert_int_equal(unread(p, "LAB", "AL1"), 1);
  prog_free(p);
}

static void test_what_is_not_counted(void **state) {
  (void)state;
  prog *p = hub_new(true, false);
  send(p, HEAD("ORU^R01", "1") "PID|||1||SMITH\rOBR|1\rOBX|1|ST|a||b\r"); /* kept as a whole */
  send(p, HEAD("SIU^S12", "2") "SCH|1\r");                               /* nobody wants it */
  send(p, "no message");
  post(p, "{\"resourceType\":\"Patient\",\"gender\":\"male\"}");          /* loss_json is not set */
  assert_int_equal(rows(p), 0);
  prog_free(p);
  p = hub_new(false, true);
  send(p, HEAD("ADT^A01", "1") "PID|||1||SMITH\r");
  assert_int_equal(rows(p), 0);
  prog_free(p);
}

/* As many workflows as may want one input: a field is unread when none of them reads it. */
static void test_inputs_that_many_workflows_want(void **state) {
  (void)state;
  char text[8192];
  size_t n = (size_t)snprintf(text, sizeof text, "hdw 1\nconnection crm = rest()\nlistener adt = mllp(port: 2575)\nlistener web = http(port: 8080)\n");
  for (unsigned i = 0; i < REC_MAX_RUNS; i++)
    n += (size_t)snprintf(text + n, sizeof text - n, "workflow w%u on msg = adt.message(types: ['ADT^A01']) {\n  send crm.post('/a', body: { x: msg.PID-%u })\n}\n", i, i % 30 + 3);
  for (unsigned i = 0; i < REC_MAX_RUNS; i++)
    n += (size_t)snprintf(text + n, sizeof text - n, "workflow j%u on q = web.post('/p') {\n  send crm.post('/a', body: { x: q.body.a%u.b })\n}\n", i, i);
  assert_true(n < sizeof text);
  prog *p = prog_new(text, prog_fine, NULL, 0);
  p->cfg.top.loss = p->cfg.top.loss_json = true;
  send(p, HEAD("ADT^A01", "1") "PID|1||3||5||7|||||||||||||||||||||||||32|33\rNK1|1\r");
  expect_unread(p, "LAB", "PID-1 PID-33 NK1", 1);
  assert_int_equal(rows(p), 3);
  post(p, "{\"a0\":{\"b\":1,\"c\":1},\"a31\":{\"b\":1,\"c\":1},\"a32\":{\"b\":1}}");
  expect_unread(p, "web", "body.a0.c body.a31.c body.a32", 1);
  assert_int_equal(rows(p), 6);
  prog_free(p);
}

static void test_json(void **state) {
  (void)state;
  prog *p = hub_new(true, true);
  post(p, "{\"resourceType\":\"Patient\",\"birthDate\":\"1980\",\"_birthDate\":{\"extension\":[]},\"gender\":\"male\",\"contact\":[{\"name\":{\"family\":\"A\",\"given\":[\"B\"]}},{\"gender\":\"male\"}]}");
  expect_unread(p, "web", "Patient.gender Patient.contact.gender Patient.contact.name.given", 1);
  assert_int_equal(rows(p), 3);
  post(p, "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":1,\"unit\":\"kg\"},\"valuesX\":1,\"4711\":{\"a\":1}}"); /* value[x] is read; a key that may be a value is not shown */
  expect_unread(p, "web", "Observation.valuesX Observation.*", 1);
  assert_int_equal(rows(p), 5);
  post(p, "[[[[{\"x\":[1,{\"y\":null}]}]]]]");
  assert_int_equal(unread(p, "web", "body.x"), 1);
  prog_free(p);
}

/* Senders and paths come from outside: they cannot make it grow. */
static void test_limits(void **state) {
  (void)state;
  prog *p = hub_new(true, true);
  char m[200];
  for (unsigned i = 0; i < 130; i++) {
    snprintf(m, sizeof m, "MSH|^~\\&|S%u|H|HUB|HUB|2026||ADT^A01|%u|P|2.5.1\rPID|||1||X\r", i, i);
    engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
    engine_submit_hl7(p->e, &src, m, strlen(m), prog_answer, p);
  }
  prog_run_for(p, 1000000);
  assert_int_equal(unread(p, "S0", "PID-5"), 1);
  assert_int_equal(unread(p, "S99", "PID-5"), 1);
  assert_int_equal(unread(p, "S100", "PID-5"), 0);
  assert_int_equal(unread(p, "(others)", "PID-5"), 30);
  prog_free(p);
  p = hub_new(true, true);
  char *body = (char *)malloc(64000);
  size_t n = 0;
  body[n++] = '{';
  for (unsigned i = 0; i < 1000; i++) n += (size_t)snprintf(body + n, 64000 - n, "%s\"k%u\":1", i ? "," : "", i);
  memcpy(body + n, "}", 2);
  post(p, body);
  free(body);
  assert_int_equal(unread(p, "web", "body.k399"), 1);
  assert_int_equal(unread(p, "web", "body.k400"), 0);
  assert_int_equal(unread(p, "web", "(others)"), 600);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields_and_segments), cmocka_unit_test(test_a_path_counts_once_for_a_message), cmocka_unit_test(test_what_is_not_counted),
                                     cmocka_unit_test(test_json), cmocka_unit_test(test_inputs_that_many_workflows_want), cmocka_unit_test(test_limits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
