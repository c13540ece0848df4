/* The verifier: each rule by a function that breaks it, and the constants that the loader refuses. */
#include "asm.h"
#include "host.h"

/* src: one function "f" of 1 parameter and 4 registers, then g of 3 parameters and 5 registers. */
typedef struct rejected { const char *want, *src; } rejected;

static const rejected rejections[] = {
    {"register 4 of 4", "LOADI r4 1; RET r0"},
    {"register 4 of 4", "MOVE r0 r4; RET r0"},
    {"register 9 of 4", "ADD r0 r1 r9; RET r0"},
    {"register 4 of 4", "RET r4"},
    {"register 4 of 4", "ITER r1 r0; RET r0"},
    {"register 5 of 4", "top: NEXT r2 >top; RET r0"},
    {"register 4 of 4", "top: RANGE r1 >top; RET r0"},
    {"registers 3 to 4 of 4", "OUTCOME r3 1"},
    {"registers 2 to 4 of 4", "CALL r2 @g; RET r0"},
    {"registers 3 to 4 of 4", "NATIVE r3 startsWith/2; RET r0"},
    {"registers 3 to 4 of 4", "OBJ r0 r3 s0; RET r0"},
    {"registers 2 to 4 of 4", "LIST r0 r2 3; RET r0"},
    {"registers 2 to 4 of 4", "TPL r0 r2 3; RET r0"},
    {"registers 3 to 4 of 4", "EFFECT r3 e0; RET r0"},
    {"constant 999 of", "LOADK r0 k999; RET r0"},
    {"constant 999 of", "LOADKX r0 k999; RET r0"},
    {"constant 999 of", "MEMBER r0 r0 k999; RET r0"},
    {"function 7 of 2", "CALL r0 7; RET r0"},
    {"import 3 of", "NATIVE r0 3; RET r0"},
    {"shape 3 of 1", "OBJ r0 r0 s3; RET r0"},
    {"check 3 of 1", "CHECK r0 c3; RET r0"},
    {"effect 3 of 1", "EFFECT r0 e3; RET r0"},
    {"import 9 of", "NATIVEK r0 r0 9 'a'; RET r0"},
    {"constant 999 of", "NATIVEK r0 r0 startsWith/2 k999; RET r0"},
    {"does not take two arguments", "NATIVEK r0 r0 length/1 'a'; RET r0"},
    {"no collection", "LOADK r0 k1; RET r0"}, /* k0 'a', k1 null, k4 a list of one */
    {"no collection", "LOADK r0 k4; RET r0"},
    {"no collection", "LOADKX r0 k4; RET r0"},
    {"no collection", "NATIVEK r0 r0 startsWith/2 k4; RET r0"},
    {"a member name that is no string", "MEMBER r0 r0 k1; RET r0"},
    {"a boolean 2", "LOADB r0 2; RET r0"},
    {"a template of 2 parts", "TPL r0 r0 2; RET r0"},
    {"outcome 99", "OUTCOME r0 99"},
    {"where no instruction begins", "JMP 2; RET r0"},
    {"where no instruction begins", "JMP -3; RET r0"},
    {"where no instruction begins", "JMP 1; LOADKX r0 'a'; RET r0"},
    {"where no instruction begins", "TRY r0 77; RET r0"},
    {"where no instruction begins", "EQIJ r0 r0 77 1; RET r0"},
    {"jumps backwards", "top: LTIJ r0 r0 >top 1; RET r0"},
    {"jumps backwards", "top: LTJ r0 r0 r0 >top; RET r0"},
    {"does not end with RET", "LOADI r0 1"},
    {"does not end with RET", "RET r0; NOP"},
};

typedef struct rig { test_mem tm; arena a; module m; mod_error e; } rig;

static void up(rig *r, asm_unit *u) {
  memset(r, 0, sizeof *r);
  memset(u, 0, sizeof *u);
  test_mem_init(&r->tm);
  arena_init(&r->a, &r->tm.m, 0);
  emit_init(&u->e, &r->a);
  emit_str(&u->e, "a", 1);
  emit_val(&u->e, (val){.tag = VAL_NULL});
  val one = val_int(1);
  emit_val(&u->e, (val){.tag = VAL_LIST, .len = 1, .u.v = &one});
  emit_shape(&u->e, (mod_key[]){{0, 0}, {0, 0}}, 2);
  emit_check(&u->e, (mod_check){0, 0, 0, 1, 1});
  emit_effect(&u->e, (mod_effect){.op = 0, .conn = MOD_NO_INDEX, .nargs = 2}, (uint32_t[]){MOD_NO_INDEX, MOD_NO_INDEX});
}

static void down(rig *r) {
  arena_free(&r->a);
  assert_int_equal(r->tm.live_bytes, 0);
}

/* OK or the reason. */
static const char *judge(rig *r, asm_unit *u, const char *src) {
  const char *all[] = {"f/1/4", src, "g/3/5", "RET r4", NULL};
  uint8_t *bytes;
  size_t len;
  asm_program(u, all, &bytes, &len);
  if (mod_load(&r->a, bytes, len, &r->m, &r->e)) return r->e.text;
  return mod_verify(&r->a, &r->m, &r->e) ? r->e.text : "OK";
}

static void test_rejections_are_named(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rejections / sizeof *rejections; i++) {
    rig r;
    asm_unit u;
    up(&r, &u);
    const char *got = judge(&r, &u, rejections[i].src);
    if (!strstr(got, rejections[i].want)) fail_msg("%s\n  gives %s\n  want  %s", rejections[i].src, got, rejections[i].want);
    assert_int_equal(r.e.status, HDW_E_CORRUPT);
    assert_false(r.m.verified);
    down(&r);
  }
}

/* Unused operands, and words that no assembler writes. */
static void test_words_out_of_form(void **state) {
  static const struct { const char *want; uint32_t word; } rows[] = {
      {"operand a is not 0", OP_NOP | 1 << 8},      {"operand b is not 0", OP_EMPTY | 1 << 16}, {"operand c is not 0", OP_MOVE | 1u << 24}, {"opcode 250", 250},
      {"is cut off", OP_LOADKX},                    {"operand c is not 0", OP_RET | 1u << 24},  {"operand b is not 0", OP_ENDTRY | 7 << 16}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rig r;
    asm_unit u;
    up(&r, &u);
    uint8_t *bytes;
    size_t len;
    const char *all[] = {"f/1/4", "NOP; RET r0", NULL};
    asm_program(&u, all, &bytes, &len);
    uint32_t off;
    memcpy(&off, bytes + MOD_HEADER_BYTES + MOD_CODE * 12 + 4, 4);
    memcpy(bytes + off + (rows[i].word == OP_LOADKX ? 4 : 0), &rows[i].word, 4);
    assert_int_equal(mod_load(&r.a, bytes, len, &r.m, &r.e), HDW_OK);
    assert_int_equal(mod_verify(&r.a, &r.m, &r.e), HDW_E_CORRUPT);
    if (!strstr(r.e.text, rows[i].want)) fail_msg("%s, not %s", r.e.text, rows[i].want);
    down(&r);
  }
}

/* How many registers a call has to empty: those that may be read before they are written. */
static void test_registers_to_empty(void **state) {
  static const struct { uint32_t n; const char *src; } rows[] = {
      {0, "LOADI r1 1; LOADI r2 2; ADD r3 r1 r2; RET r3"},
      {3, "RET r3"},
      {2, "ADD r1 r0 r2; RET r1"},
      {1, "JMPT r0 >a; LOADI r1 1; a: RET r1"},
      {0, "JMPT r0 >a; LOADI r1 1; RET r1; a: LOADI r1 2; RET r1"},
      {0, "LOADI r1 1; top: ADDI r1 r1 1; LTIJ r2 r1 9 >out; JMP >top; out: RET r1"},
      {1, "JMP >in; top: LOADI r1 1; in: LOADI r2 2; JMPT r0 >top; RET r1"}, /* a loop entered in the middle */
      {3, "JMPT r0 >back; LOADI r1 1; top: ADDI r2 r1 1; RET r2; back: JMP >top"}, /* from behind, past what was written */
      {1, "TRY r2 >h; LOADI r1 1; RET r1; h: ADD r2 r2 r1; RET r2"},
      {0, "TRY r2 >h; RET r0; h: RET r2"},
      {0, "LOADI r1 1; CALL r1 @g1; RET r1"},
      {3, "CALL r1 @g; RET r1"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rig r;
    asm_unit u;
    up(&r, &u);
    const char *all[] = {"f/1/4", rows[i].src, "g/3/5", "RET r4", "g1/1/1", "RET r0", NULL};
    uint8_t *bytes;
    size_t len;
    asm_program(&u, all, &bytes, &len);
    assert_int_equal(mod_load(&r.a, bytes, len, &r.m, &r.e), HDW_OK);
    if (mod_verify(&r.a, &r.m, &r.e)) fail_msg("%s: %s", rows[i].src, r.e.text);
    if (r.m.funcs[0].flags != rows[i].n) fail_msg("%s: %u, not %u", rows[i].src, r.m.funcs[0].flags, rows[i].n);
    down(&r);
  }
}

/* ---- constants and tables that the loader refuses: one record of a section overwritten */

static void put(uint8_t *p, uint8_t tag, uint8_t flags, uint32_t len, uint64_t i) {
  memset(p, 0, 16);
  p[0] = tag;
  p[1] = flags;
  memcpy(p + 4, &len, 4);
  memcpy(p + 8, &i, 8);
}

static const char *load_with(rig *r, asm_unit *u, enum mod_section sec, size_t at, const void *rec, size_t n) {
  const char *all[] = {"f/1/4", "LOADK r0 'zzzzzzzzzzzzzzzzzzzzzzzz'; NATIVE r0 length/1; RET r0", NULL};
  uint8_t *bytes;
  size_t len;
  uint32_t off;
  asm_program(u, all, &bytes, &len);
  memcpy(&off, bytes + MOD_HEADER_BYTES + (size_t)sec * 12 + 4, 4);
  memcpy(bytes + off + at, rec, n);
  return mod_load(&r->a, bytes, len, &r->m, &r->e) ? r->e.text : "OK";
}

static void test_constants_are_checked(void **state) {
  static const struct { const char *want; uint8_t tag, flags; uint32_t len; uint64_t i; } rows[] = {
      {"unknown kind 200", 200, 0, 0, 0},
      {"unknown kind", VAL_HL7, 0, 0, 0x1000},
      {"unknown kind", VAL_BUILDER, 0, 0, 0x1000},
      {"unknown kind", VAL_TPL, 0, 1, 0},
      {"unknown kind", VAL_HANDLE, 0, 0, 1},
      {"unknown kind", VAL_NUM, 0, 1, 0},
      {"no boolean", VAL_BOOL, 0, 0, 2},
      {"no integer", VAL_INT, 0, 0, UINT64_C(1) << 31},
      {"outside STRS", VAL_STR, 0, 4000, 0},
      {"outside STRS", VAL_STR, 0, 1, UINT64_MAX},
      {"outside STRS", VAL_BIN, 0, UINT32_MAX, 1},
      {"digits lie outside STRS", VAL_DEC, VALF_BIG, 0, 4000},
      {"no decimal", VAL_DEC, VALF_BIG, 0, 0},
      {"no decimal", VAL_DEC, 0, 29, 1},
      {"no decimal", VAL_DEC, 0, UINT32_MAX, 1},
      {"no date or time", VAL_DATE, 0, 0, 0},
      {"no date or time", VAL_DATE, 0, TM_HOUR << 16, 0},
      {"no date or time", VAL_DATE, 0, TM_DAY << 16, UINT64_MAX},
      {"no date or time", VAL_TIME, 0, TM_SECOND << 16, UINT64_C(86400000000)},
      {"no date or time", VAL_TIME, 0, TM_DAY << 16, 0},
      {"no date or time", VAL_DATETIME, 0, TM_FRACTION << 16, 0},
      {"no date or time", VAL_DATETIME, 0, TM_SECOND << 16 | 1 << 24 | 2000, 0},
      {"no date or time", VAL_DATETIME, 0, TM_SECOND << 16 | 7, 0},
      {"refers forward", VAL_LIST, 0, 3, 1},
      {"refers forward", VAL_LIST, 0, 1, UINT64_MAX},
      {"refers forward", VAL_OBJ, 0, UINT32_MAX, 0},
      {"a key is no string", VAL_OBJ, 0, 1, 1},
      {"no quantity", VAL_QTY, 0, 0, 0},
      {"no quantity", VAL_QTY, 0, 0, UINT64_MAX}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rig r;
    asm_unit u;
    uint8_t rec[16];
    up(&r, &u);
    put(rec, rows[i].tag, rows[i].flags, rows[i].len, rows[i].i);
    const char *got = load_with(&r, &u, MOD_CONS, 3 * 16, rec, 16);
    if (!strstr(got, rows[i].want)) fail_msg("row %zu gives %s, not %s", i, got, rows[i].want);
    down(&r);
  }
}

/* Lists that share their items stand for 2^n values. */
static void test_constants_that_share_parts(void **state) {
  (void)state;
  for (int deep = 0; deep < 2; deep++) {
    rig r;
    asm_unit u;
    up(&r, &u);
    uint32_t first = u.e.nconsts - 2;
    for (uint32_t i = 0; i < 80; i++) {
      uint8_t rec[16];
      put(rec, VAL_LIST, 0, deep ? 1 : 2, deep ? first + i + 1 : first + i);
      buf_put(&u.e.sec[MOD_CONS], rec, 16);
      u.e.nconsts++;
    }
    const char *got = load_with(&r, &u, MOD_CONS, 0, "", 0);
    if (!strstr(got, deep ? "nested too deeply" : "is too big") && !strstr(got, "nested too deeply")) fail_msg("gives %s", got);
    down(&r);
  }
}

static void test_tables_are_checked(void **state) {
  static const struct { const char *want; enum mod_section sec; size_t at; uint32_t v; } rows[] = {
      {"lies outside the code", MOD_FUNC, 4, 100},     {"lies outside the code", MOD_FUNC, 8, 0},          {"lies outside the code", MOD_FUNC, 8, UINT32_MAX}, {"9 parameters in 4 registers", MOD_FUNC, 12, 9 | 4 << 8},
      {"0 parameters in 0 registers", MOD_FUNC, 12, 0}, {"takes 17 arguments", MOD_NATV, 4, 17},           {"key 0 has no name", MOD_KEYS, 0, 1},              {"key 1 has no name", MOD_KEYS, 8, UINT32_MAX},
      {"shape 0 lies outside KEYS", MOD_SHAP, 4, 3},   {"shape 0 lies outside KEYS", MOD_SHAP, 0, UINT32_MAX}, {"names no operation", MOD_EFCT, 0, UINT32_MAX}, {"names no connection", MOD_EFCT, 4, 1},
      {"lie outside ARGN", MOD_EFCT, 8, 1},            {"class 200", MOD_EFCT, 12, 2 | 200u << 24}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rig r;
    asm_unit u;
    up(&r, &u);
    const char *got = load_with(&r, &u, rows[i].sec, rows[i].at, &rows[i].v, 4);
    if (!strstr(got, rows[i].want)) fail_msg("row %zu gives %s, not %s", i, got, rows[i].want);
    down(&r);
  }
}

/* An import with another number of arguments, or that nobody has, does not bind. */
static void test_imports_are_bound_by_name_and_arity(void **state) {
  static const struct { const char *name; uint32_t n; hdw_status want; } rows[] = {{"length", 1, HDW_OK}, {"length", 2, HDW_E_NOTFOUND}, {"lengthy", 1, HDW_E_NOTFOUND}, {"leng", 1, HDW_E_NOTFOUND}, {"", 0, HDW_E_NOTFOUND}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rig r;
    asm_unit u;
    const vm_native *bound;
    up(&r, &u);
    emit_native(&u.e, rows[i].name, rows[i].n);
    assert_string_equal(judge(&r, &u, "RET r0"), "OK");
    assert_int_equal(vm_bind(&r.a, &r.m, host_get(), &bound, &r.e), rows[i].want);
    down(&r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rejections_are_named),       cmocka_unit_test(test_words_out_of_form),  cmocka_unit_test(test_registers_to_empty),
      cmocka_unit_test(test_constants_are_checked),      cmocka_unit_test(test_constants_that_share_parts), cmocka_unit_test(test_tables_are_checked),
      cmocka_unit_test(test_imports_are_bound_by_name_and_arity),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
