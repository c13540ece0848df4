/* Whether an effect is a read, and whether it may be repeated, is for the engine to say: a module that calls its writes reads changes nothing. */
#include "prog_rig.h"
#include "engine_int.h"

#define PROGRAM(call) "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1')\nconnection epic = fhir(base: 'http://127.0.0.1:1', version: 'R4')\n" \
                      "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = " call "\n  return {}\n}\n"

typedef struct seen { unsigned n, intents; } seen;

/* Is an intent stored when the effect leaves? */
static engine_mock_verdict world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  seen *s = (seen *)p->user;
  store_effect row;
  s->n++;
  s->intents += !store_get_effect(engine_store(p->e), 0, f->run, cod_cstr(f->path), a, &row) && row.state == EFFECT_INTENT;
  out->fail_class = FAIL_AMBIGUOUS, out->code = "test";
  return MOCK_ERROR;
}

/* Every effect of the module says this class, and the id is that of the changed bytes. */
static void claim(prog *p, uint8_t klass) {
  uint32_t n, off, len;
  memcpy(&n, p->mod + 8, 4);
  for (uint32_t i = 0; i < n; i++) {
    const uint8_t *row = p->mod + MOD_HEADER_BYTES + 12 * i;
    memcpy(&off, row + 4, 4), memcpy(&len, row + 8, 4);
    if (memcmp(row, "EFCT", 4)) continue;
    assert_true(len >= 20);
    for (uint32_t k = 0; k < len / 20; k++) p->mod[off + 20 * k + 15] = klass;
  }
  cod_sha256(p->mod + MOD_HEADER_BYTES, p->mod_len - MOD_HEADER_BYTES, NULL, 0, p->mod + 16);
}

static void test_a_module_cannot_call_a_write_a_read(void **state) {
  (void)state;
  static const struct { const char *program; bool again; } rows[] = { /* may it leave a second time when its outcome is unknown and `ambiguous` says stop? */
      {PROGRAM("crm.post('/x', body: { a: 1 })"), true},
      {PROGRAM("crm.delete('/x')"), true},
      {PROGRAM("epic.create(Patient(active: true))"), false},
      {PROGRAM("epic.transaction([Patient(id: '17', active: true)])"), false},
  };
  static const char *const classes[] = {"read", "idempotent", "keyed", "unsafe", "local"};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (uint8_t klass = MOD_CLASS_READ; klass <= MOD_CLASS_LOCAL; klass++) {
      seen s = {.n = 0};
      prog *p = prog_new(rows[i].program, world, &s, 0);
      engine_close(p->e);
      for (uint32_t c = 0; c < p->cfg.nconns; c++) p->cfg.conns[c].o.ambiguous = "stop";
      claim(p, klass);
      prog_open(p);
      for (uint32_t c = 0; c < p->e->nconns; c++) p->e->conns[c]->retry_times = 1, p->e->conns[c]->retry_from_us = p->e->conns[c]->retry_to_us = 1000;
      prog_submit(p, "M1", "1", "");
      prog_run_for(p, 1000000);
      if (!s.n || (s.n > 1) != rows[i].again || s.intents != s.n) fail_msg("%s as %s: left %u times, %u with an intent", rows[i].program, classes[klass], s.n, s.intents);
      prog_free(p);
    }
}

static val request(arena *a, const char *json) {
  json_reader r;
  val v = VAL_NONE;
  json_reader_init(&r, a->mem);
  assert_int_equal(json_read(&r, a, json, strlen(json), NULL, &v, NULL), HDW_OK);
  json_reader_free(&r);
  return v;
}

static void test_classes(void **state) {
  (void)state;
  static const struct { const char *operation, *request; uint8_t klass; } rows[] = {
      {"rest.get", "{}", MOD_CLASS_READ}, {"rest.post", "{\"safe\":true}", MOD_CLASS_KEYED}, {"rest.put", "{}", MOD_CLASS_IDEMPOTENT}, {"rest.ge", "{}", MOD_CLASS_UNSAFE},
      {"rest.gets", "{}", MOD_CLASS_UNSAFE}, {"rest.get(", "{}", MOD_CLASS_UNSAFE}, {"rest", "{}", MOD_CLASS_UNSAFE}, {"", "{}", MOD_CLASS_UNSAFE}, {"rest.read", "{}", MOD_CLASS_UNSAFE},
      {"folder.append", "{}", MOD_CLASS_UNSAFE}, {"folder.write", "{}", MOD_CLASS_IDEMPOTENT}, {"mllp.message", "{}", MOD_CLASS_KEYED}, {"fhir.search", "{}", MOD_CLASS_READ},
      {"fhir.create", "{}", MOD_CLASS_UNSAFE}, {"fhir.create", "{\"if_none_exist\":{\"a\":\"b\"}}", MOD_CLASS_KEYED}, {"fhir.batch", "{\"if_none_exist\":{},\"safe\":true}", MOD_CLASS_UNSAFE},
      {"fhir.operation", "{}", MOD_CLASS_UNSAFE}, {"fhir.operation", "{\"safe\":false}", MOD_CLASS_UNSAFE}, {"fhir.operation", "{\"safe\":\"true\"}", MOD_CLASS_UNSAFE},
      {"fhir.operation", "{\"safe\":true}", MOD_CLASS_READ}, {"fhir.operation", "{\"safe\":true,\"body\":{\"a\":1}}", MOD_CLASS_IDEMPOTENT},
  };
  test_mem tm;
  arena a;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (eng_class_of(rows[i].operation, request(&a, rows[i].request)) != rows[i].klass) fail_msg("%s %s: %u", rows[i].operation, rows[i].request, eng_class_of(rows[i].operation, request(&a, rows[i].request)));
  arena_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_module_cannot_call_a_write_a_read), cmocka_unit_test(test_classes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
