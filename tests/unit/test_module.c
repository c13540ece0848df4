/* Modules that are damaged: cut off at every byte, with every single bit turned over, and with changes that a checksum would not notice. What the
 * loader and the verifier accept is run. A compiled module is the same, byte for byte, each time. */
#include <string.h>
#include "compiler.h"
#include "support.h"
#include "vm_drive.h"

/* Something of everything. */
static const char source[] =
    "hdw 1\n"
    "connection crm = rest(auth: bearer(secret('t')))\n"
    "listener adt = mllp(port: 2575)\n"
    "setting region: string = 'north'\n"
    "let limit = 3\n"
    "payload Card(msg: ADT_A01) {\n"
    "  mrn:    string  = msg.PID-3.where(identifierTypeCode = 'MR').idNumber.first()\n"
    "  born:   date?   = msg.PID-7\n"
    "  gender: string  = gender(msg.PID-8)\n"
    "  given:  string* = msg.PID-5.givenName\n"
    "}\n"
    "map gender(code: string?): string { 'M': 'male', 'F', 'W': 'female', else: 'unknown' }\n"
    "fn label(msg: ADT_A01): string = \"{msg.PID-5.familyName}: {msg.MSH-10}\"\n"
    "fn fib(n: integer): integer = iif(n < 2, n, fib(n - 1) + fib(n - 2))\n"
    "fn sum(n: any*): any* = n.where($this.exists()).select([$this, 1.50, @2024-01-31, 3 'mg']).aggregate($total & \"x{$this.toString()}\", '')\n"
    "fn odd(x: any*): any* = [x.descendants(), { a: x, b: [1, x] }, x.children(), x.toJson(), range(1, limit).select($this * 2), x.distinct(), x ~ x]\n"
    "workflow admit\n"
    "  on msg = adt.message(types: ['ADT^A01'])\n"
    "  order by msg.PID-3[0].1\n"
    "{\n"
    "  if msg.PID-8 = 'X' { reject('AR', 'no') }\n"
    "  let card = Card(msg)\n"
    "  step r = crm.post(\"/admits/{card.mrn}\", body: card) on error use { a: 1 }\n"
    "  for g in card.given { send crm.put(\"/g/{g}\", body: { g: g, r: r, region: region }) }\n"
    "}\n";

static uint8_t *compile(arena *a, const char *text, size_t *len) {
  comp_source src = {"t.hdw", text, strlen(text)};
  comp_result out;
  diag_list d;
  diag_init(&d, a);
  assert_int_equal(comp_program(a, &src, 1, NULL, &d, &out), HDW_OK);
  if (!out.bytes) {
    buf b;
    buf_init(&b, a, 1 << 20);
    diag_text(&b, &d, NULL);
    fail_msg("%.*s", (int)b.len, b.p);
  }
  *len = out.len_bytes;
  return out.bytes;
}

static void test_same_program_same_bytes(void **state) {
  (void)state;
  test_mem tm;
  arena a, b;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  arena_init(&b, &tm.m, 0);
  size_t n, m;
  uint8_t *x = compile(&a, source, &n), *y = compile(&b, source, &m);
  assert_int_equal(n, m);
  assert_memory_equal(x, y, n);
  arena_free(&a);
  arena_free(&b);
  assert_int_equal(tm.live_bytes, 0);
}

static void test_cut_off_at_every_byte(void **state) {
  (void)state;
  vm_drive d;
  size_t len;
  drive_init(&d);
  uint8_t *bytes = compile(&d.keep, source, &len);
  for (size_t n = 0; n < len; n++) {
    uint8_t *cut = test_malloc(n + 1); /* right behind it lies what AddressSanitizer watches */
    memcpy(cut, bytes, n);
    drive_module(&d, cut, n);
    if (n >= 16) { /* a header that says so */
      for (int k = 0; k < 4; k++) cut[12 + k] = (uint8_t)(n >> (8 * k));
      drive_module(&d, cut, n);
    }
    test_free(cut);
  }
  assert_int_equal(d.verified, 0);
  drive_free(&d);
  assert_int_equal(d.live_bytes, 0);
}

static void test_every_bit_turned_over(void **state) {
  (void)state;
  vm_drive d;
  size_t len;
  drive_init(&d);
  uint8_t *bytes = compile(&d.keep, source, &len);
  uint8_t *copy = test_malloc(len);
  memcpy(copy, bytes, len);
  drive_module(&d, copy, len);
  assert_int_equal(d.verified, 1);
  for (size_t bit = 0; bit < len * 8; bit++) {
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    d.seed = bit;
    drive_module(&d, copy, len);
    copy[bit / 8] = bytes[bit / 8];
  }
  print_message("  %u bits: %u loaded, %u verified, %u runs to the end\n", (unsigned)(len * 8), (unsigned)d.loaded, (unsigned)d.verified, (unsigned)d.done);
  assert_true(d.verified > 100 && d.verified < len * 8);
  test_free(copy);
  drive_free(&d);
  assert_int_equal(d.live_bytes, 0);
}

/* Memory that runs out while a module is loaded or verified gives HDW_E_NOMEM and nothing else. */
static void test_loading_without_memory(void **state) {
  (void)state;
  test_mem tm;
  arena a, w;
  size_t len;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  uint8_t *bytes = compile(&a, source, &len);
  for (long n = 0; n < 100; n++) {
    module m;
    mod_error e;
    const vm_native *bound;
    arena_init(&w, &tm.m, 0);
    tm.fail_after = n;
    hdw_status s = mod_load(&w, bytes, len, &m, &e);
    if (!s) s = mod_verify(&w, &m, &e);
    if (!s) s = vm_bind(&w, &m, host_get(), &bound, &e);
    bool all = tm.fail_after >= 0;
    tm.fail_after = -1;
    arena_free(&w);
    if (all) { assert_int_equal(s, HDW_OK); break; }
    if (s) { assert_int_equal(s, HDW_E_NOMEM); assert_int_equal(e.status, HDW_E_NOMEM); }
  }
  arena_free(&a);
  assert_int_equal(tm.live_bytes, 0);
}

/* ---- what the loader says */

typedef struct damage { const char *want; size_t at; uint8_t byte; } damage;

static void test_damaged_headers_are_named(void **state) {
  static const damage rows[] = {{"this is no hdw module", 0, 'X'}, {"module format 9, this version reads 1", 4, 9}, {"11 sections, 13 expected", 8, 11}, {"the file is ", 12, 1},
    {"section 0 is not CONS", 48, 'X'}, {"section CONS lies outside the file", 52, 1}, {"section FUNC has a broken length", 80, 0}};
  (void)state;
  test_mem tm;
  arena a;
  size_t len;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  uint8_t *bytes = compile(&a, source, &len);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    uint8_t old = bytes[rows[i].at];
    module m;
    mod_error e;
    bytes[rows[i].at] = rows[i].byte ? rows[i].byte : (uint8_t)(old - 1);
    assert_int_not_equal(mod_load(&a, bytes, len, &m, &e), HDW_OK);
    if (strncmp(e.text, rows[i].want, strlen(rows[i].want)) != 0) fail_msg("%s, not %s", e.text, rows[i].want);
    assert_int_equal(e.status, i == 1 ? HDW_E_VERSION : HDW_E_CORRUPT);
    bytes[rows[i].at] = old;
  }
  arena_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_program_same_bytes), cmocka_unit_test(test_cut_off_at_every_byte), cmocka_unit_test(test_every_bit_turned_over),
      cmocka_unit_test(test_loading_without_memory),  cmocka_unit_test(test_damaged_headers_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
