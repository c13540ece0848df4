/* Every native, operator and conversion with values of every kind, as bytecode that nobody's compiler wrote could call them: no crash (the build has
 * sanitizers), a result that a register may hold, little time whatever was given, and the memory limit kept. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "host.h"
#include "model.h"
#include "support.h"
#include "vm_pool.h"

enum { CALL_FUEL = 20000, CALL_MS_MAX = 1000, CALL_BYTES = 64 << 20 };

typedef struct rig {
  test_mem tm;
  arena a, work;
  vm_pool pool;
  double worst_ms;
  char worst[160];
  int bad;
} rig;

static void up(rig *r) {
  memset(r, 0, sizeof *r);
  test_mem_init(&r->tm);
  arena_init(&r->a, &r->tm.m, 0);
  arena_init(&r->work, &r->tm.m, CALL_BYTES);
  pool_fill(&r->pool, &r->a);
}

static void down(rig *r) {
  arena_free(&r->work);
  arena_free(&r->a);
  assert_int_equal(r->tm.live_bytes, 0);
  if (r->worst_ms > CALL_MS_MAX) fail_msg("%s took %.0f ms", r->worst, r->worst_ms);
  assert_int_equal(r->bad, 0);
}

static double cpu_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void judge(rig *r, const char *what, const uint32_t *at, unsigned n, hdw_status s, val out, double ms) {
  char text[160];
  int k = snprintf(text, sizeof text, "%s(", what);
  for (unsigned i = 0; i < n; i++) k += snprintf(text + k, sizeof text - (size_t)k, "%s#%u %s", i ? ", " : "", at[i], val_type_name(val_item(r->pool.v[at[i]], 0)));
  snprintf(text + k, sizeof text - (size_t)k, ")");
  if (ms > r->worst_ms) { r->worst_ms = ms; memcpy(r->worst, text, sizeof text); }
  const char *wrong = s ? NULL : pool_wrong(out);
  if (wrong) { r->bad++; print_error("%s gives %s\n", text, wrong); }
}

static void call(rig *r, const char *what, vm_native f, const uint32_t *at, unsigned n) {
  val args[VM_MAX_NATIVE_ARGS], out = VAL_NONE;
  for (unsigned i = 0; i < n; i++) args[i] = r->pool.v[at[i]];
  vm_cx cx = {.a = &r->work, .fuel = CALL_FUEL, .model = &hdw_model, .now_us = INT64_C(1700000000000000), .strict = at[0] % 2};
  double t = cpu_ms();
  hdw_status s = f(&cx, args, n, &out);
  judge(r, what, at, n, s, out, cpu_ms() - t);
  arena_free(&r->work);
}

enum { STRIDE = 5 };
/* Every value as receiver, a fifth of all pairs; the third argument goes round. */
static void call_all(rig *r, const char *what, vm_native f, unsigned n) {
  uint32_t at[VM_MAX_NATIVE_ARGS] = {0}, k = 0;
  for (at[0] = 0; at[0] < (n ? r->pool.n : 1); at[0]++)
    for (at[1] = n > 1 ? at[0] % STRIDE : 0; at[1] < (n > 1 ? r->pool.n : 1); at[1] += STRIDE) {
      for (unsigned i = 2; i < n; i++) at[i] = k = (k + 7) % r->pool.n;
      call(r, what, f, at, n);
    }
}

static void test_natives_take_any_value(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  up(r);
  const vm_host *h = host_get();
  for (uint32_t i = 0; i < h->nnatives; i++) call_all(r, h->natives[i].name, h->natives[i].fn, h->natives[i].nargs);
  print_message("  the slowest: %s, %.0f ms\n", r->worst, r->worst_ms);
  down(r);
  test_free(r);
}

static void test_operators_take_any_value(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  up(r);
  for (int op = 0; op < OP_COUNT; op++)
    if (host_get()->ops[op]) call_all(r, vm_op_name((vm_op)op), host_get()->ops[op], 2);
  print_message("  the slowest: %s, %.0f ms\n", r->worst, r->worst_ms);
  down(r);
  test_free(r);
}

static void test_conversions_and_members_take_any_value(void **state) {
  static const char *const types[] = {"any", "string", "boolean", "integer", "long", "decimal", "date", "dateTime", "time", "quantity", "binary", "object", "message", "segment", "hl7",
    "FHIR.Patient", "FHIR.Quantity", "FHIR.Extension", "FHIR.string", "FHIR.", "", "nonsense"};
  static const char *const names[] = {"value", "a", "name", "given", "extension", "PID", "OBX", "idNumber", "birthDate", "resourceType", "", "contained", "unit"};
  (void)state;
  rig *r = test_malloc(sizeof *r);
  up(r);
  for (uint32_t i = 0; i < r->pool.n; i++) {
    val v = val_count(r->pool.v[i]) ? val_item(r->pool.v[i], 0) : VAL_NONE, out = VAL_NONE;
    vm_cx cx = {.a = &r->work, .fuel = CALL_FUEL, .model = &hdw_model};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
      double t = cpu_ms();
      hdw_status s = host_get()->convert(&cx, v, types[k], strlen(types[k]), &out);
      judge(r, types[k], &i, 1, s, out, cpu_ms() - t);
      bool yes;
      hdw_model.is_type(&cx, v, types[k], strlen(types[k]), &yes);
    }
    for (size_t k = 0; k < sizeof names / sizeof *names && (v.tag == VAL_HL7 || v.tag == VAL_OBJ); k++) {
      hdw_status s = hdw_model.member(&cx, v, val_key(names[k], strlen(names[k])), &out);
      judge(r, names[k], &i, 1, s, out, 0);
    }
    arena_free(&r->work);
  }
  down(r);
  test_free(r);
}

/* Without memory natives fail with HDW_E_NOMEM and leave the arena usable. */
static void test_natives_without_memory(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  up(r);
  const vm_host *h = host_get();
  for (uint32_t i = 0; i < h->nnatives; i++)
    for (uint32_t x = 0; x < r->pool.n; x += 1 + i % 3) {
      val args[VM_MAX_NATIVE_ARGS], out = VAL_NONE;
      for (unsigned k = 0; k < VM_MAX_NATIVE_ARGS; k++) args[k] = r->pool.v[(x + k * 5) % r->pool.n];
      arena none;
      arena_init(&none, &r->tm.m, 1);
      vm_cx cx = {.a = &none, .fuel = CALL_FUEL, .model = &hdw_model};
      hdw_status s = h->natives[i].fn(&cx, args, h->natives[i].nargs, &out);
      if (!s && pool_wrong(out)) { r->bad++; print_error("%s gives %s\n", h->natives[i].name, pool_wrong(out)); }
      arena_free(&none);
    }
  down(r);
  test_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_natives_take_any_value),
      cmocka_unit_test(test_operators_take_any_value),
      cmocka_unit_test(test_conversions_and_members_take_any_value),
      cmocka_unit_test(test_natives_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
