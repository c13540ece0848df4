/* What test_verify.c leaves of the verifier and the loader: constants of every form, the last bit of every bound, memory that runs out at every allocation. With it every
 * branch of vm/verify.c and vm/module.c is taken (test coverage/verifier). */
#include "asm.h"
#include "compiler.h"
#include "host.h"

typedef struct rig { test_mem tm; arena a; module m; mod_error e; } rig;

static void up(rig *r, asm_unit *u) {
  memset(r, 0, sizeof *r);
  memset(u, 0, sizeof *u);
  test_mem_init(&r->tm);
  arena_init(&r->a, &r->tm.m, 0);
  emit_init(&u->e, &r->a);
}

static void down(rig *r) {
  arena_free(&r->a);
  assert_int_equal(r->tm.live_bytes, 0);
}

static const char *judge(rig *r, asm_unit *u, const char *src) {
  const char *all[] = {"f/1/4", src, NULL};
  uint8_t *bytes;
  size_t len;
  asm_program(u, all, &bytes, &len);
  if (mod_load(&r->a, bytes, len, &r->m, &r->e)) return r->e.text;
  return mod_verify(&r->a, &r->m, &r->e) ? r->e.text : "OK";
}

#define LIST_OF(...) ((val){.tag = VAL_LIST, .len = sizeof((val[]){__VA_ARGS__}) / sizeof(val), .u.v = (val[]){__VA_ARGS__}})
#define OBJECT_OF(...) ((val){.tag = VAL_OBJ, .len = sizeof((val[]){__VA_ARGS__}) / sizeof(val) / 2, .u.v = (val[]){__VA_ARGS__}})

/* Which constants a register may take. */
static void test_collections_among_constants(void **state) {
  (void)state;
  const val null = {.tag = VAL_NULL}, one = val_int(1), two = val_int(2), key = val_key("k", 1), odd = val_key("_k", 2), none = val_key("", 0);
  const struct { bool ok; val v; } rows[] = {
      {true, LIST_OF(one, two)},
      {true, LIST_OF(one, val_cstr("x"), OBJECT_OF(key, one))},
      {false, LIST_OF(one, LIST_OF(one, two))},
      {false, LIST_OF(one, VAL_NONE)},
      {false, LIST_OF(one, null)},
      {false, LIST_OF(null, null)},
      {true, OBJECT_OF(key, LIST_OF(one), odd, null, none, LIST_OF(LIST_OF(one), two))},
      {true, VAL_NONE}};
  static const char *const loads[] = {"LOADK r0", "LOADKX r0", "NATIVEK r0 r0 startsWith/2"};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t k = 0; k < 3; k++) {
      rig r;
      asm_unit u;
      char src[80];
      up(&r, &u);
      snprintf(src, sizeof src, "%s k%u; RET r0", loads[k], emit_val(&u.e, rows[i].v));
      const char *got = judge(&r, &u, src);
      if (rows[i].ok != !strcmp(got, "OK")) fail_msg("row %zu: %s", i, got);
      down(&r);
    }
}

static void test_operands_at_their_bounds(void **state) {
  static const struct { const char *want, *src; } rows[] = {
      {"OK", "PAR r0; FORK >n; BEND r0 0 0; n: JOIN r0; RET r0"},
      {"OK", "PAR r0; FORK >n; BEND r0 4 0; n: JOIN r0; RET r0"},
      {"BEND 2", "PAR r0; FORK >n; BEND r0 0 2; n: JOIN r0; RET r0"},
      {"register 4 of 4", "PAR r0; FORK >n; BEND r1 4 0; n: JOIN r0; RET r0"},
      {"OK", "LIST r0 r0 0; RET r0"},
      {"OK", "LIST r0 r3 1; RET r0"},
      {"OK", "NATIVE r3 now/0; RET r3"},
      {"OK", "LOADB r0 1; RET r0"},
      {"OK", "EQIJ r0 r0 >x 1; x: RET r0"},
      {"OK", "LTJ r0 r0 r0 >x; x: RET r0"},
      {"register 4 of 4", "INDEX r0 r0 r4; RET r0"},
      {"register 7 of 4", "INDEX r0 r7 r4; RET r0"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rig r;
    asm_unit u;
    up(&r, &u);
    const char *got = judge(&r, &u, rows[i].src);
    if (!strstr(got, rows[i].want)) fail_msg("%s: %s, not %s", rows[i].src, got, rows[i].want);
    down(&r);
  }
}

static void test_packed_jump_with_a_number(void **state) {
  (void)state;
  rig r;
  asm_unit u;
  uint8_t *bytes;
  size_t len;
  uint32_t off;
  up(&r, &u);
  const char *all[] = {"f/1/4", "LTJ r0 r0 r0 >x; x: RET r0", NULL};
  asm_program(&u, all, &bytes, &len);
  memcpy(&off, bytes + MOD_HEADER_BYTES + MOD_CODE * 12 + 4, 4);
  bytes[off + 4] = 1;
  assert_int_equal(mod_load(&r.a, bytes, len, &r.m, &r.e), HDW_OK);
  assert_int_equal(mod_verify(&r.a, &r.m, &r.e), HDW_E_CORRUPT);
  assert_non_null(strstr(r.e.text, "low half of ext"));
  down(&r);
}

/* ---- constants as bytes */

typedef struct raw { const char *want; uint8_t tag, flags; uint16_t aux; uint32_t len; uint64_t i; } raw;

static const char *load_constant(const raw *k, const uint8_t digits[20]) {
  static rig r;
  asm_unit u;
  uint8_t *bytes, rec[16] = {k->tag, k->flags};
  size_t len;
  uint32_t off;
  up(&r, &u);
  memcpy(rec + 2, &k->aux, 2);
  memcpy(rec + 4, &k->len, 4);
  memcpy(rec + 8, &k->i, 8);
  const char *all[] = {"f/1/4", "LOADK r0 'zzzzzzzzzzzzzzzzzzzz'; LOADK r1 'zzzzzzzzzzzzzzzzzzzzy'; RET r0", NULL};
  asm_program(&u, all, &bytes, &len);
  memcpy(&off, bytes + MOD_HEADER_BYTES + MOD_STRS * 12 + 4, 4);
  memcpy(bytes + off, digits, 20);
  memcpy(&off, bytes + MOD_HEADER_BYTES + MOD_CONS * 12 + 4, 4);
  memcpy(bytes + off + 32, rec, 16); /* the third: the second text */
  const char *got = mod_load(&r.a, bytes, len, &r.m, &r.e) ? r.e.text : "OK";
  down(&r);
  return got;
}

static uint64_t time_of(const char *text, val_tag tag, uint16_t *aux, uint32_t *len) {
  tm_val t;
  assert_int_equal(tag == VAL_TIME ? tm_parse_time(text, strlen(text), &t) : tag == VAL_DATE ? tm_parse_date(text, strlen(text), &t) : tm_parse_datetime(text, strlen(text), &t), HDW_OK);
  val v = val_from_time(tag, &t);
  *aux = v.aux, *len = v.len;
  return (uint64_t)v.u.i;
}

static void test_decimals_at_their_bounds(void **state) {
  static const struct { const char *want; bool low, minus; int32_t scale; int nines; } rows[] = {
      {"OK", false, false, 0, 38}, {"OK", false, true, 28, 38}, {"no decimal", true, false, 0, 38}, {"no decimal", true, true, 0, 38}, {"no decimal", false, false, 29, 1}, {"no decimal", false, false, -1, 1}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    uint8_t d[20];
    dec_coef c = 1;
    for (int k = 0; k < rows[i].nines; k++) c *= 10;
    if (!rows[i].low) c--; /* 10^38 is one too many */
    if (rows[i].minus) c = -c;
    memcpy(d, &c, 16);
    memcpy(d + 16, &rows[i].scale, 4);
    const char *got = load_constant(&(raw){.tag = VAL_DEC, .flags = VALF_BIG}, d);
    if (!strstr(got, rows[i].want)) fail_msg("row %zu: %s", i, got);
  }
  const uint8_t zero[20] = {0};
  assert_string_equal(load_constant(&(raw){.tag = VAL_DEC, .flags = VALF_BIG, .i = 10000}, zero) + 12, "its digits lie outside STRS");
  assert_string_equal(load_constant(&(raw){.tag = VAL_DEC, .flags = VALF_BIG, .i = 30}, zero) + 12, "its digits lie outside STRS");
}

static void test_times_at_their_bounds(void **state) {
  static const struct { const char *text; val_tag tag; bool ok; } rows[] = {
      {"2012-02-29T10:00:00.123456+14:00", VAL_DATETIME, true}, {"2012-02-29T10:00:00-12:00", VAL_DATETIME, true}, {"2012-02-29T10:00:00Z", VAL_DATETIME, true}, {"9999-12-31T23:59:59.9", VAL_DATETIME, true},
      {"23:59:59.999", VAL_TIME, true}, {"10", VAL_TIME, true}, {"2012", VAL_DATE, true}, {"2012-02-29", VAL_DATE, true}};
  (void)state;
  const uint8_t zero[20] = {0};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    raw k = {.tag = (uint8_t)rows[i].tag};
    k.i = time_of(rows[i].text, rows[i].tag, &k.aux, &k.len);
    assert_string_equal(load_constant(&k, zero), "OK");
    for (unsigned bit = 0; bit < 112; bit++) { /* every single bit turned over: loads as a date or time, or is refused */
      raw x = k;
      if (bit < 16) x.aux ^= (uint16_t)(1u << bit);
      else if (bit < 48) x.len ^= 1u << (bit - 16);
      else x.i ^= UINT64_C(1) << (bit - 48);
      const char *got = load_constant(&x, zero);
      assert_true(!strcmp(got, "OK") || strstr(got, "no date or time"));
    }
  }
}

/* Every field of a time at and beyond its bound. */
static void test_fields_of_times(void **state) {
  (void)state;
  const uint8_t zero[20] = {0};
  const int64_t day = INT64_C(86400000000);
  const struct { bool ok; val_tag tag; tm_val t; } rows[] = {
      {true, VAL_DATETIME, {.prec = TM_FRACTION, .frac_digits = 6}}, {false, VAL_DATETIME, {.prec = TM_FRACTION, .frac_digits = 7}}, {false, VAL_DATETIME, {.prec = TM_FRACTION}},
      {false, VAL_DATETIME, {.prec = TM_SECOND, .frac_digits = 1}},  {true, VAL_DATETIME, {.prec = TM_SECOND, .has_zone = true, .zone_min = 840}},
      {false, VAL_DATETIME, {.prec = TM_SECOND, .has_zone = true, .zone_min = 841}}, {false, VAL_DATETIME, {.prec = TM_SECOND, .has_zone = true, .zone_min = -841}},
      {false, VAL_DATETIME, {.prec = TM_SECOND, .zone_z = true}}, {false, VAL_DATETIME, {.prec = TM_SECOND, .zone_min = 1}}, {false, VAL_TIME, {.prec = TM_SECOND, .usec = day}},
      {true, VAL_TIME, {.prec = TM_SECOND, .usec = day - 1}}, {false, VAL_TIME, {.prec = TM_SECOND, .usec = -1}}, {false, VAL_DATE, {.prec = TM_HOUR}}, {false, VAL_DATE, {.prec = 0}}, {false, VAL_TIME, {.prec = TM_DAY}},
      {true, VAL_DATE, {.prec = TM_DAY, .usec = day * INT64_C(3652058)}}, {false, VAL_DATE, {.prec = TM_DAY, .usec = day * INT64_C(3652059)}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    val v = val_from_time(rows[i].tag, &rows[i].t);
    const char *got = load_constant(&(raw){.tag = (uint8_t)rows[i].tag, .flags = v.flags, .aux = v.aux, .len = v.len, .i = (uint64_t)v.u.i}, zero);
    if (rows[i].ok != !strcmp(got, "OK")) fail_msg("row %zu: %s", i, got);
  }
}

/* ---- memory */

/* Something of every table, so that each is allocated. */
static void full(asm_unit *u) {
  dec d = {123, 1};
  val q, big;
  emit_shape(&u->e, (mod_key[]){{emit_cstr(&u->e, "a"), 0}, {emit_cstr(&u->e, "b"), 0}, {emit_cstr(&u->e, "c"), 0}}, 3);
  emit_check(&u->e, (mod_check){0, 0, 0, 1, 1});
  uint32_t argn[4] = {MOD_NO_INDEX, MOD_NO_INDEX, MOD_NO_INDEX, 0};
  emit_effect(&u->e, (mod_effect){.op = 0, .conn = 0, .nargs = 4}, argn);
  emit_native(&u->e, "length", 1);
  assert_int_equal(val_from_qty(u->e.a, &d, "mg", 2, false, &q), HDW_OK);
  emit_val(&u->e, q);
  d.coef = (dec_coef)1 << 100;
  assert_int_equal(val_from_dec(u->e.a, &d, &big), HDW_OK);
  emit_val(&u->e, big);
}

/* An arena with room for exactly `bytes` more, then nothing. */
static void cramp(rig *r, arena *a, size_t bytes) {
  arena_init(a, &r->tm.m, 0);
  a->chunk_bytes = 1 << 15;
  assert_non_null(arena_alloc(a, 16));
  size_t left = (size_t)(a->end - a->cur);
  if (left > bytes) assert_non_null(arena_alloc(a, left - bytes));
  a->limit_bytes = a->used_bytes;
}

static void test_memory_that_runs_out(void **state) {
  (void)state;
  rig r;
  asm_unit u;
  uint8_t *bytes;
  size_t len;
  bool done = false;
  unsigned refused = 0;
  up(&r, &u);
  full(&u);
  const char *all[] = {"f/1/4", "LOADK r0 'x'; RET r0", NULL};
  asm_program(&u, all, &bytes, &len);
  for (size_t room = 0; room < 9000; room += 16) {
    arena a;
    cramp(&r, &a, room);
    hdw_status s = mod_load(&a, bytes, len, &r.m, &r.e);
    assert_true(s == HDW_OK || s == HDW_E_NOMEM);
    refused += s != HDW_OK;
    if (!s) {
      s = mod_verify(&a, &r.m, &r.e);
      assert_true(s == HDW_OK || s == HDW_E_NOMEM);
      done |= s == HDW_OK;
    }
    arena_free(&a);
  }
  assert_true(done && refused > 5);
  buf none[MOD_SECTION_COUNT] = {{0}};
  arena a;
  cramp(&r, &a, 0);
  assert_int_equal(mod_assemble(&a, none, &bytes, &len), HDW_E_NOMEM);
  arena_free(&a);
  none[MOD_STRS].len = MOD_MAX_BYTES;
  assert_int_equal(mod_assemble(&r.a, none, &bytes, &len), HDW_E_LIMIT);
  down(&r);
}

static void test_names_and_sizes(void **state) {
  (void)state;
  rig r;
  asm_unit u;
  up(&r, &u);
  assert_string_equal(judge(&r, &u, "RET r0"), "OK");
  assert_int_equal(mod_find(&r.m, "f"), 0);
  assert_int_equal(mod_find(&r.m, "g"), MOD_NO_INDEX);
  assert_int_equal(mod_find(&r.m, "fg"), MOD_NO_INDEX);
  uint64_t head[8];
  memcpy(head, r.m.bytes, sizeof head);
  assert_int_equal(mod_load(&r.a, (const uint8_t *)head, (size_t)MOD_MAX_BYTES + 1, &r.m, &r.e), HDW_E_CORRUPT); /* nothing behind the header is read */
  assert_non_null(strstr(r.e.text, "bytes long"));
  down(&r);
}

/* A compiled module, cut off anywhere and with every byte changed in three ways: loaded and verified, not run (test_module.c does). */
static void test_compiled_module(void **state) {
  (void)state;
  static const char text[] = "hdw 1\nconnection crm = rest(auth: bearer(secret('t')))\nlistener a = mllp(port: 2575)\nworkflow w on msg = a.message(types: ['ADT^A01']) {\n"
                             "  let t = [true, 5000000000L, 1.5, 3 'mg', @2024-01-31, {}, { a: [1, 2] }]\n  step r = crm.post(\"/x/{msg.PID-8}\", body: { t: t, x: msg.PID-3 })\n  if r.a = 1 { log('x') }\n}\n";
  rig r;
  asm_unit u;
  diag_list d;
  comp_result c;
  comp_source src = {"t.hdw", text, sizeof text - 1};
  mod_debug where;
  uint32_t n, loaded = 0, verified = 0;
  up(&r, &u);
  diag_init(&d, &r.a);
  assert_int_equal(comp_program(&r.a, &src, 1, NULL, &d, &c), HDW_OK);
  assert_non_null(c.bytes);
  assert_int_equal(mod_load(&r.a, c.bytes, c.len_bytes, &r.m, &r.e), HDW_OK);
  assert_int_equal(mod_verify(&r.a, &r.m, &r.e), HDW_OK);
  assert_true(mod_where(&r.m, r.m.ncode - 1, &where) && where.line > 1);
  r.m.debug++, r.m.ndebug--;
  assert_false(mod_where(&r.m, 0, &where));
  assert_string_equal(mod_text(&r.m, MOD_NO_INDEX, &n), "");
  for (uint32_t k = 0; k < r.m.nconsts; k++) (void)mod_text(&r.m, k, &n);
  uint64_t *copy = malloc(c.len_bytes + 8);
  for (size_t i = 0; i < 2 * c.len_bytes; i++)
    for (unsigned how = 0; how < 3; how++) {
      bool cut = i >= c.len_bytes;
      arena a;
      size_t len = cut ? i - c.len_bytes : c.len_bytes;
      if (cut && how) continue;
      arena_init(&a, &r.tm.m, 1 << 24);
      memcpy(copy, c.bytes, c.len_bytes);
      if (cut) memcpy((uint8_t *)copy + 12, &(uint32_t){(uint32_t)len}, 4);
      else ((uint8_t *)copy)[i] ^= how == 0 ? 1 : how == 1 ? 0x80 : 0xff;
      if (mod_load(&a, (const uint8_t *)copy, len, &r.m, &r.e) == HDW_OK) {
        loaded++;
        verified += mod_verify(&a, &r.m, &r.e) == HDW_OK;
      }
      arena_free(&a);
    }
  free(copy);
  assert_true(loaded > 100 && verified > 100);
  down(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_collections_among_constants), cmocka_unit_test(test_operands_at_their_bounds), cmocka_unit_test(test_packed_jump_with_a_number), cmocka_unit_test(test_decimals_at_their_bounds),
                                     cmocka_unit_test(test_times_at_their_bounds),       cmocka_unit_test(test_fields_of_times),          cmocka_unit_test(test_memory_that_runs_out),
                                     cmocka_unit_test(test_names_and_sizes),             cmocka_unit_test(test_compiled_module)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
