/* The machine: every instruction, and every program of the table under every slice, every amount of fuel and every failing allocation. */
#include "asm.h"
#include "host.h"
#include "json.h"
#include "model.h"

enum { FUEL = 100000, TRACE = 2000, FUNCS_MAX = 4 };

typedef struct program { const char *want; const char *src[2 * FUNCS_MAX + 1]; } program;

#define MAIN(regs, text) {"main/0/" #regs, text}
/* Tables that all programs share: shapes s0 {a, b}, s1 {list: array, _x: left out when empty}; checks c0 integer 1..1, c1 string 0..many;
 * effects e0 ask (one argument, site 3), e1 fail (no argument, site 4), e2 log (site 5). */
static const program programs[] = {
    {"7", MAIN(2, "NOP; LOADI r0 7; MOVE r1 r0; RET r1")},
    {"-5", MAIN(1, "LOADI r0 -5; RET r0")},
    {"\"text\"", MAIN(1, "LOADK r0 'text'; RET r0")},
    {"\"wide\"", MAIN(1, "LOADKX r0 'wide'; RET r0")},
    {"true", MAIN(1, "LOADB r0 1; RET r0")},
    {"false", MAIN(1, "LOADB r0 0; RET r0")},
    {"{}", MAIN(1, "LOADI r0 1; EMPTY r0; RET r0")},
    {"{}", MAIN(2, "RET r1")},
    /* whole numbers */
    {"9", MAIN(3, "LOADI r0 7; LOADI r1 2; ADD r2 r0 r1; RET r2")},
    {"5", MAIN(3, "LOADI r0 7; LOADI r1 2; SUB r2 r0 r1; RET r2")},
    {"14", MAIN(3, "LOADI r0 7; LOADI r1 2; MUL r2 r0 r1; RET r2")},
    {"3.5", MAIN(3, "LOADI r0 7; LOADI r1 2; DIV r2 r0 r1; RET r2")},
    {"-3", MAIN(3, "LOADI r0 -7; LOADI r1 2; IDIV r2 r0 r1; RET r2")},
    {"-1", MAIN(3, "LOADI r0 -7; LOADI r1 2; MOD r2 r0 r1; RET r2")},
    {"{}", MAIN(3, "LOADI r0 7; LOADI r1 0; MOD r2 r0 r1; RET r2")},
    {"{}", MAIN(3, "LOADI r0 7; LOADI r1 0; IDIV r2 r0 r1; RET r2")},
    {"-7", MAIN(2, "LOADI r0 7; NEG r1 r0; RET r1")},
    {"{}", MAIN(2, "LOADI r0 32767; MUL r0 r0 r0; LOADI r1 3; MUL r0 r0 r1; RET r0")},
    {"4", MAIN(2, "LOADI r0 7; ADDI r1 r0 -3; RET r1")},
    {"10", MAIN(2, "LOADI r0 7; SUBI r1 r0 -3; RET r1")},
    {"1", MAIN(2, "LOADI r0 7; MODI r1 r0 3; RET r1")},
    {"0", MAIN(2, "LOADI r0 7; MODI r1 r0 -1; RET r1")},
    {"{}", MAIN(2, "LOADI r0 7; MODI r1 r0 0; RET r1")},
    {"{}", MAIN(2, "EMPTY r0; ADDI r1 r0 1; RET r1")},
    /* strings and collections */
    {"\"ab\"", MAIN(3, "LOADK r0 'a'; LOADK r1 'b'; CONCAT r2 r0 r1; RET r2")},
    {"\"a\"", MAIN(3, "LOADK r0 'a'; EMPTY r1; CONCAT r2 r0 r1; RET r2")},
    {"[1,2]", MAIN(3, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; RET r2")},
    {"1", MAIN(3, "LOADI r0 1; EMPTY r1; LIST r2 r0 2; RET r2")},
    {"{}", MAIN(3, "LIST r2 r0 2; RET r2")},
    {"[1,2,1,2]", MAIN(3, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; MOVE r1 r2; MOVE r0 r2; LIST r2 r0 2; RET r2")},
    {"2", MAIN(4, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; INDEX r3 r2 r0; RET r3")},
    {"{}", MAIN(4, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; INDEX r3 r2 r1; RET r3")},
    {"[1,2,3]", MAIN(4, "NEWB r0; LOADI r1 1; PUSH r0 r1; LOADI r2 2; LOADI r3 3; LIST r1 r2 2; PUSH r0 r1; BUILD r1 r0; RET r1")},
    {"\"x7y{}z\"", MAIN(6, "LOADK r0 'x'; LOADI r1 7; LOADK r2 'y{}'; EMPTY r3; LOADK r4 'z'; TPL r5 r0 5; TEXT r5 r5; RET r5")},
    {"\"x1.50y\"", MAIN(4, "LOADK r0 'x'; LOADK r1 '1.50'; LOADK r2 'y'; TPL r3 r0 3; NOP; TEXT r3 r3; RET r3")},
    {"\"s\"", MAIN(2, "LOADK r0 's'; TEXT r1 r0; RET r1")},
    {"{\"a\":1,\"b\":null}", MAIN(3, "LOADI r0 1; OBJ r2 r0 s0; RET r2")},
    {"{\"list\":[1]}", MAIN(3, "LOADI r0 1; OBJ r2 r0 s1; RET r2")},
    {"{\"list\":[],\"_x\":2}", MAIN(3, "LOADI r1 2; OBJ r2 r0 s1; RET r2")},
    {"1", MAIN(3, "LOADI r0 1; OBJ r2 r0 s0; MEMBER r1 r2 'a'; RET r1")},
    {"{}", MAIN(3, "LOADI r0 1; OBJ r2 r0 s0; MEMBER r1 r2 'b'; RET r1")},
    {"[1,1]", MAIN(4, "LOADI r0 1; OBJ r2 r0 s0; MOVE r3 r2; LIST r2 r2 2; MEMBER r1 r2 'a'; RET r1")},
    {"true", MAIN(4, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; IN r3 r0 r2; RET r3")},
    {"true", MAIN(4, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; HAS r3 r2 r0; RET r3")},
    {"[1,2]", MAIN(4, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; UNION r3 r2 r0; RET r3")},
    /* comparisons, logic, jumps */
    {"[true,false,true,true,false,false]", MAIN(8, "LOADI r0 1; LOADI r1 2; LT r2 r0 r1; GT r3 r0 r1; LE r4 r0 r0; GE r5 r1 r1; EQ r6 r0 r1; NE r7 r0 r0; LIST r2 r2 6; RET r2")},
    {"[true,false]", MAIN(4, "LOADK r0 'A'; LOADK r1 'a'; EQV r2 r0 r1; NEQV r3 r0 r1; LIST r2 r2 2; RET r2")},
    {"[true,false]", MAIN(4, "LOADK r0 'a'; LOADK r1 'a'; EQ r2 r0 r1; NE r3 r0 r1; LIST r2 r2 2; RET r2")},
    {"[false,true,true,true,false]", MAIN(8, "LOADB r0 1; LOADB r1 0; AND r2 r0 r1; OR r3 r0 r1; XOR r4 r0 r1; IMPLIES r5 r1 r0; NOT r6 r0; LIST r2 r2 5; RET r2")},
    {"[false,true,true]", MAIN(8, "LOADB r0 1; LOADB r1 0; AND r2 r7 r1; OR r3 r7 r0; IMPLIES r4 r7 r0; XOR r5 r7 r0; NOT r6 r7; LIST r2 r2 5; RET r2")},
    {"1", MAIN(1, "LOADI r0 1; JMP >end; LOADI r0 2; end: RET r0")},
    {"3", MAIN(2, "LOADB r1 1; JMPT r1 >a; LOADI r0 9; RET r0; a: JMPF r1 >bad; JMPN r1 >bad; JMPE r1 >bad; LOADI r0 3; bad: RET r0")},
    {"3", MAIN(2, "EMPTY r1; JMPT r1 >bad; JMPF r1 >bad; JMPN r1 >a; bad: LOADI r0 9; RET r0; a: JMPE r1 >good; JMP >bad; good: LOADI r0 3; RET r0")},
    {"6", MAIN(4, "LOADI r0 1; LOADI r1 2; LTJ r2 r0 r1 >bad; LEJ r2 r0 r1 >bad; NEJ r2 r0 r1 >bad; GTJ r2 r1 r0 >bad; GEJ r2 r1 r0 >bad; EQJ r2 r0 r1 >good; bad: LOADI r3 9; RET r3; good: LOADI r3 6; RET r3")},
    {"6", MAIN(4, "LOADI r0 1; LTIJ r2 r0 2 >bad; LEIJ r2 r0 1 >bad; NEIJ r2 r0 -300 >bad; GTIJ r2 r0 0 >bad; GEIJ r2 r0 1 >bad; EQIJ r2 r0 300 >good; bad: LOADI r3 9; RET r3; good: LOADI r3 6; RET r3")},
    {"false", MAIN(3, "LOADI r0 1; EQIJ r2 r0 2 >end; LOADI r2 9; end: RET r2")},
    {"4", MAIN(3, "EMPTY r0; LTIJ r1 r0 2 >end; LOADI r2 9; RET r2; end: LOADI r2 4; RET r2")},
    {"state 1: a condition needs one value, 2 were found", MAIN(3, "LOADI r0 1; LOADI r1 2; LIST r2 r0 2; JMPT r2 >x; x: RET r2")},
    {"state 1: an index is a whole number", MAIN(2, "LOADK r0 'a'; INDEX r1 r0 r0; RET r1")},
    {"state 1: no builder", MAIN(2, "LOADI r0 1; PUSH r0 r0; RET r1")},
    {"state 1: no builder", MAIN(2, "LOADI r0 1; BUILD r1 r0; RET r1")},
    /* loops */
    {"[10,11,20,21]", MAIN(9, "LOADI r0 10; LOADI r1 20; LIST r2 r0 2; NEWB r0; ITER r3 r2; top: NEXT r3 >out; PUSH r0 r5; ADDI r7 r5 1; PUSH r0 r7; JMP >top; out: BUILD r1 r0; RET r1")},
    {"[0,1]", MAIN(8, "LOADI r0 10; LOADI r1 20; LIST r2 r0 2; NEWB r0; ITER r3 r2; top: NEXT r3 >out; PUSH r0 r6; JMP >top; out: BUILD r1 r0; RET r1")},
    {"[3,4,5]", MAIN(8, "NEWB r0; LOADI r2 3; LOADI r3 5; top: RANGE r2 >out; PUSH r0 r4; JMP >top; out: BUILD r1 r0; RET r1")},
    {"[0,1,2]", MAIN(8, "NEWB r0; LOADI r2 3; LOADI r3 5; top: RANGE r2 >out; PUSH r0 r5; JMP >top; out: BUILD r1 r0; RET r1")},
    {"{}", MAIN(8, "LOADI r2 3; LOADI r3 2; top: RANGE r2 >out; MOVE r1 r4; JMP >top; out: RET r1")},
    {"{}", MAIN(8, "LOADK r2 'a'; LOADI r3 2; top: RANGE r2 >out; MOVE r1 r4; JMP >top; out: RET r1")},
    /* a region: strings made in each turn, the last one kept */
    {"\"300\"", MAIN(12, "LOADK r0 ''; REGION r0; LOADI r2 1; LOADI r3 300; top: RANGE r2 >out; LOADK r6 ''; MOVE r7 r4; LOADK r8 ''; TPL r9 r6 3; TEXT r9 r9; MOVE r0 r9; RECYCLE r0; JMP >top; out: RET r0")},
    {"[\"30\",\"31\"]", MAIN(12, "NEWB r1; LOADI r0 0; REGION r0; LOADI r2 30; LOADI r3 31; top: RANGE r2 >out; LOADK r6 ''; MOVE r7 r4; LOADK r8 ''; TPL r9 r6 3; TEXT r9 r9; PUSH r1 r9; RECYCLE r0; JMP >top; out: BUILD r1 r1; RET r1")},
    {"{}", MAIN(3, "RECYCLE r0; RECYCLE r1; RET r2")},
    /* calls and natives */
    {"120", {"main/0/2", "LOADI r0 5; CALL r0 @fac; RET r0", "fac/1/4", "GTIJ r1 r0 1 >one; SUBI r2 r0 1; CALL r2 @fac; MUL r1 r0 r2; RET r1; one: LOADI r1 1; RET r1"}},
    {"{}", {"main/0/4", "LOADI r1 5; LOADI r2 6; LOADI r3 7; CALL r0 @f; RET r0", "f/0/4", "RET r3"}},
    {"state 1: calls are nested more than 200 deep", {"main/0/1", "CALL r0 @main; RET r0"}},
    {"3", MAIN(1, "LOADK r0 'abc'; NATIVE r0 length/1; RET r0")},
    {"true", MAIN(2, "LOADK r0 'abc'; NATIVEK r1 r0 startsWith/2 'ab'; RET r1")},
    {"7", MAIN(1, "LOADI r0 7; CHECK r0 c0; RET r0")},
    {"state 1: it: the value is a string, not an integer (from here)", MAIN(1, "LOADK r0 'a'; CHECK r0 c0; RET r0")},
    {"state 1: it: 1 value expected, 0 found (from here)", MAIN(1, "CHECK r0 c0; RET r0")},
    {"[\"a\",\"b\"]", MAIN(3, "LOADK r0 'a'; LOADK r1 'b'; LIST r2 r0 2; CHECK r2 c1; RET r2")},
    /* effects, handlers, paths, outcomes */
    {"\"ask(1)\" 3", MAIN(1, "LOADI r0 1; EFFECT r0 e0; RET r0")},
    {"[0,1] 7[0].3 7[1].3", MAIN(9, "NEWB r0; LOADI r2 0; LOADI r3 1; PPUSH 7; top: RANGE r2 >out; PINDEX r5; MOVE r6 r5; EFFECT r6 e0; PUSH r0 r5; JMP >top; out: PPOP; BUILD r1 r0; RET r1")},
    {"{\"error\":\"fail\"} 4", MAIN(2, "TRY r1 >caught; EFFECT r0 e1; ENDTRY; RET r0; caught: RET r1")},
    {"{\"error\":\"fail\"} 9.4", {"main/0/2", "TRY r1 >caught; PPUSH 9; CALL r0 @f; ENDTRY; RET r0; caught: RET r1", "f/0/1", "EFFECT r0 e1; RET r0"}},
    {"{\"error\":\"fail\"} 9.4 3", {"main/0/2", "TRY r1 >caught; PPUSH 9; CALL r0 @f; ENDTRY; RET r0; caught: MOVE r0 r1; EFFECT r0 e0; RET r1", "f/0/1", "EFFECT r0 e1; RET r0"}},
    {"state 1: an error of a step was not handled 4", MAIN(1, "EFFECT r0 e1; RET r0")},
    {"{\"error\":\"fail\"} 4", MAIN(3, "TRY r2 >outer; TRY r1 >inner; EFFECT r0 e1; RET r0; inner: RAISE r1; outer: RET r2")},
    {"state 1: an error of a step was not handled", MAIN(1, "LOADI r0 1; RAISE r0")},
    {"state 1: an error of a step was not handled 4", {"main/0/2", "CALL r0 @f; EFFECT r0 e1; RET r0", "f/0/2", "TRY r1 >h; RET r0; h: RET r1"}},
    {"outcome 1 [\"AE\",\"why\"]", MAIN(2, "LOADK r0 'AE'; LOADK r1 'why'; OUTCOME r0 1")},
    /* branches */
    {"[\"ask(1)\",\"ask(2)\"] 7[0].3 7[1].3 3", MAIN(4, "PAR r0; FORK >b; LOADI r0 0; PPUSH 7; PINDEX r0; LOADI r1 1; EFFECT r1 e0; BEND r1 1 0; b: FORK >c; LOADI r0 1; PPUSH 7; PINDEX r0; LOADI r2 2; EFFECT r2 e0; BEND r2 1 0; c: JOIN r0; EFFECT r0 e0; LIST r3 r1 2; RET r3")},
    {"[\"ask(0)\",\"ask(1)\",\"ask(2)\"] 7[0].3 7[1].3 7[2].3", MAIN(8, "LOADI r7 1; PAR r7; LOADI r0 0; LOADI r1 2; EMPTY r3; top: RANGE r0 >out; FORK >next; PPUSH 7; PINDEX r3; MOVE r4 r2; EFFECT r4 e0; BEND r4 0 1; next: JMP >top; out: JOIN r5; RET r5")},
    {"[\"ask(0)\",\"ask(1)\",\"ask(0)\",\"ask(1)\"] 8[0].3 8[1].3 8[0].3 8[1].3", {"main/0/9", "LOADI r8 1; PAR r8; FORK >b; CALL r6 @f; BEND r6 0 1; b: FORK >c; CALL r6 @f; BEND r6 0 1; c: JOIN r5; RET r5",
      "f/0/8", "PAR r7; LOADI r0 0; LOADI r1 1; EMPTY r3; top: RANGE r0 >out; FORK >next; PPUSH 8; PINDEX r3; MOVE r4 r2; EFFECT r4 e0; BEND r4 0 1; next: JMP >top; out: JOIN r5; RET r5"}},
    {"{\"error\":\"fail\"} 4 3", MAIN(3, "TRY r1 >h; PAR r0; FORK >n; EFFECT r2 e1; BEND r2 1 0; n: FORK >m; LOADI r2 5; EFFECT r2 e0; BEND r2 1 0; m: JOIN r0; ENDTRY; RET r0; h: RET r1")},
    {"outcome 5 [1,2] 3", MAIN(3, "PAR r0; FORK >n; LOADI r1 1; LOADI r2 2; OUTCOME r1 5; n: FORK >m; LOADI r2 5; EFFECT r2 e0; BEND r2 1 0; m: JOIN r0; RET r0")},
    {"state 1: an index is a whole number", MAIN(2, "PAR r0; FORK >n; LOADK r1 'a'; INDEX r1 r1 r1; BEND r1 1 0; n: JOIN r0; RET r0")},
    {"state 1: a join outside of a group", MAIN(1, "JOIN r0; RET r0")},
    {"state 1: a branch outside of a group", MAIN(1, "FORK >n; BEND r0 0 0; n: RET r0")},
    {"state 1: a limit is a whole number", MAIN(1, "LOADK r0 'a'; PAR r0; JOIN r0; RET r0")},
    {"state 1: a function ends between its branches", MAIN(1, "PAR r0; FORK >n; BEND r0 0 0; n: RET r0")},
    {"state 1: a function ends within a branch", MAIN(1, "PAR r0; FORK >n; RET r0; n: JOIN r0; RET r0")},
    {"state 1: a join outside of a group", MAIN(1, "PAR r0; FORK >n; JOIN r0; RET r0; n: JOIN r0; RET r0")},
    {"state 1: parallel is nested more than 8 deep", MAIN(1, "top: PAR r0; JMP >top")},
    {"\"gate\" 5", MAIN(2, "GATE; EFFECT r0 e2; LOADK r1 'gate'; RET r1")},
    {"lanes [\"a\",\"b\"] once [\"k\",7]", MAIN(3, "LOADK r0 'a'; LOADK r1 'b'; LIST r2 r0 2; LANE r2; LOADK r0 'k'; LOADI r1 7; ONCE r0 r1; EMPTY r0; RET r0")},
    {"state 1: more than 16 lane keys", MAIN(1, "LOADI r0 1; top: LANE r0; JMP >top")},
    {"state 1: error handlers are nested more than 64 deep", MAIN(1, "top: TRY r0 >top; JMP >top")},
    {"state 1: loops and actions are nested too deeply for the journal", MAIN(1, "top: PPUSH 1; JMP >top")},
    {"state 1: loops and actions are nested too deeply for the journal", MAIN(3, "LOADI r0 0; PPUSH 60000; LOADI r2 1; top: PINDEX r2; PPUSH 60000; ADDI r0 r0 1; LTIJ r1 r0 60 >out; JMP >top; out: EFFECT r0 e0; RET r0")},
    {"state 1: no loop index", MAIN(1, "LOADI r0 1; PINDEX r0; RET r0")},
};

typedef struct rig {
  test_mem tm;
  arena code, a;
  module m;
  const vm_native *bound;
  vm_run run;
  char text[TRACE];
} rig;

static void tables(asm_unit *u) {
  mod_key k0[2] = {{emit_cstr(&u->e, "a"), 0}, {emit_cstr(&u->e, "b"), 0}};
  mod_key k1[2] = {{emit_cstr(&u->e, "list"), MOD_KEY_ARRAY}, {emit_cstr(&u->e, "_x"), MOD_KEY_OMIT_EMPTY}};
  emit_shape(&u->e, k0, 2);
  emit_shape(&u->e, k1, 2);
  emit_check(&u->e, (mod_check){emit_cstr(&u->e, "it"), emit_cstr(&u->e, "here"), emit_cstr(&u->e, "integer"), 1, 1});
  emit_check(&u->e, (mod_check){emit_cstr(&u->e, "it"), emit_cstr(&u->e, "here"), emit_cstr(&u->e, "string"), 0, MOD_MANY});
  uint32_t argn[1] = {MOD_NO_INDEX};
  emit_effect(&u->e, (mod_effect){.op = emit_cstr(&u->e, "ask"), .conn = MOD_NO_INDEX, .nargs = 1, .site = 3}, argn);
  emit_effect(&u->e, (mod_effect){.op = emit_cstr(&u->e, "fail"), .conn = MOD_NO_INDEX, .site = 4}, NULL);
  emit_effect(&u->e, (mod_effect){.op = emit_cstr(&u->e, "log"), .conn = MOD_NO_INDEX, .site = 5}, NULL);
}

static void up(rig *r, const program *p) {
  memset(r, 0, sizeof *r);
  test_mem_init(&r->tm);
  arena_init(&r->code, &r->tm.m, 0);
  arena_init(&r->a, &r->tm.m, 0);
  asm_unit u = {0};
  emit_init(&u.e, &r->code);
  tables(&u);
  uint8_t *bytes;
  size_t len;
  mod_error e;
  asm_program(&u, p->src, &bytes, &len);
  if (mod_load(&r->code, bytes, len, &r->m, &e)) fail_msg("%s: %s", p->want, e.text);
  if (mod_verify(&r->code, &r->m, &e)) fail_msg("%s: %s", p->want, e.text);
  if (vm_bind(&r->code, &r->m, host_get(), &r->bound, &e)) fail_msg("%s: %s", p->want, e.text);
}

static void down(rig *r) {
  arena_free(&r->a);
  arena_free(&r->code);
  assert_int_equal(r->tm.live_bytes, 0);
}

static void put(buf *b, val v) {
  if (v.tag == VAL_EMPTY) buf_puts(b, "{}");
  else assert_int_equal(json_write(v, b, NULL), HDW_OK);
}

/* Answer of the outside: operation ask gives "ask(argument)" when it stands alone, fail fails. false: nobody took the error. */
static bool answer(rig *r) {
  const vm_request *q = &r->run.request;
  const char *op = mod_text(&r->m, q->effect->op, &(uint32_t){0});
  if (op[0] != 'f') {
    static char texts[16][64]; /* branches have their answers at the same time */
    static unsigned next;
    char *t = texts[next++ % 16];
    int n = snprintf(t, sizeof *texts, "ask(%d)", q->effect->nargs ? (int)q->args[0].u.i : 0);
    vm_resume(&r->run, val_str(t, (size_t)n));
    return true;
  }
  static val kv[2];
  kv[0] = val_key("error", 5);
  kv[1] = val_cstr("fail");
  return vm_resume_error(&r->run, (val){.tag = VAL_OBJ, .len = 1, .u.v = kv});
}

/* Runs main from the start; the text says how it went. slice 0: none. fuel is what is left at the end. */
static vm_state drive(rig *r, int64_t slice, int64_t *fuel) {
  char paths[TRACE / 2] = "";
  size_t np = 0;
  vm_cx cx = {.a = &r->a, .fuel = *fuel, .model = &hdw_model};
  vm_state s;
  arena_free(&r->a);
  hdw_status st = vm_start(&r->run, &r->m, host_get(), r->bound, &cx, mod_find(&r->m, "main"), NULL, 0);
  if (st) { assert_int_equal(st, HDW_E_NOMEM); return VM_OUT_OF_MEMORY; }
  for (;;) {
    r->run.slice = slice;
    s = vm_go(&r->run);
    if (s == VM_OUT_OF_SLICE) { assert_true(slice > 0); continue; }
    if (s != VM_AWAIT) break;
    np += (size_t)snprintf(paths + np, sizeof paths - np, " %s", r->run.request.path);
    if (!answer(r)) { s = VM_FAILED; snprintf(cx.err.text, sizeof cx.err.text, "an error of a step was not handled"); break; }
  }
  *fuel = cx.fuel;
  long fail_after = r->tm.fail_after;
  r->tm.fail_after = -1;
  arena out;
  arena_init(&out, &r->tm.m, 0);
  buf b;
  buf_init(&b, &out, TRACE);
  if (s == VM_FAILED) buf_putf(&b, "state %d: %s", s, cx.err.text);
  else if (s == VM_DONE && r->run.outcome) { buf_putf(&b, "outcome %d [", r->run.outcome); put(&b, r->run.outcome_args[0]); buf_putc(&b, ','); put(&b, r->run.outcome_args[1]); buf_putc(&b, ']'); }
  else if (s == VM_DONE && r->run.nlanes) {
    buf_puts(&b, "lanes [");
    for (uint32_t i = 0; i < r->run.nlanes; i++) { if (i) buf_putc(&b, ','); put(&b, r->run.lanes[i]); }
    buf_puts(&b, "] once [");
    put(&b, r->run.once_key);
    buf_putc(&b, ',');
    put(&b, r->run.once_within);
    buf_putc(&b, ']');
  } else if (s == VM_DONE) put(&b, r->run.result);
  else buf_putf(&b, "state %d", s);
  buf_puts(&b, paths);
  snprintf(r->text, sizeof r->text, "%.*s", (int)b.len, b.p);
  arena_free(&out);
  r->tm.fail_after = fail_after;
  return s;
}

#define EACH_PROGRAM(p, r) \
  for (size_t i_ = 0; i_ < sizeof programs / sizeof *programs; i_++) \
    for (const program *p = &programs[i_]; p && (up(r, p), true); down(r), p = NULL)

static void test_every_instruction(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  int bad = 0;
  EACH_PROGRAM(p, r) {
    int64_t fuel = FUEL;
    drive(r, 0, &fuel);
    if (strcmp(r->text, p->want) != 0) { bad++; print_error("%s\n  gives %s\n  want  %s\n", p->src[1], r->text, p->want); }
  }
  for (int op = 0; op < OP_COUNT; op++)
    if (!asm_used[op]) { bad++; print_error("no program uses %s\n", asm_formats[op].name); }
  test_free(r);
  assert_int_equal(bad, 0);
}

/* Any slice gives the same result for the same fuel, and every slice makes progress. */
static void test_slices_change_nothing(void **state) {
  static const int64_t slices[] = {1, 2, 3, 7, 64};
  (void)state;
  rig *r = test_malloc(sizeof *r);
  EACH_PROGRAM(p, r) {
    int64_t whole = FUEL;
    drive(r, 0, &whole);
    for (size_t k = 0; k < sizeof slices / sizeof *slices; k++) {
      int64_t fuel = FUEL;
      drive(r, slices[k], &fuel);
      assert_string_equal(r->text, p->want);
      if (fuel != whole) fail_msg("%s: slices of %d take %d of fuel, not %d", p->src[1], (int)slices[k], (int)(FUEL - fuel), (int)(FUEL - whole));
    }
  }
  test_free(r);
}

static void test_fuel_ends_at_the_exact_unit(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  EACH_PROGRAM(p, r) {
    int64_t left = FUEL;
    drive(r, 0, &left);
    int64_t need = FUEL - left;
    for (int64_t f = 0; f <= need; f += 1 + need / 50) {
      int64_t fuel = f;
      vm_state s = drive(r, 0, &fuel);
      if (f < need && s != VM_OUT_OF_FUEL) fail_msg("%s: %d of fuel are enough, %d were used", p->src[1], (int)f, (int)need);
    }
    drive(r, 0, &need);
    assert_string_equal(r->text, p->want);
  }
  test_free(r);
}

/* The n-th allocation fails, for every n: the run ends with VM_OUT_OF_MEMORY, and the same module runs again. */
static void test_memory_that_runs_out(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  EACH_PROGRAM(p, r) {
    bool done = false;
    for (long n = 0; !done && n < 200; n++) {
      int64_t fuel = FUEL;
      r->tm.fail_after = n;
      vm_state s = drive(r, 0, &fuel);
      done = r->tm.fail_after >= 0;
      if (!done && s != VM_OUT_OF_MEMORY && strcmp(r->text, p->want) != 0) fail_msg("%s: %s", p->src[1], r->text);
    }
    r->tm.fail_after = -1;
    int64_t fuel = FUEL;
    drive(r, 0, &fuel);
    assert_string_equal(r->text, p->want);
  }
  test_free(r);
}

static const program hungry = {"state 4", MAIN(4, "LOADK r0 'abcdefghijklmnopqrstuvwxyz'; top: CONCAT r0 r0 r0; JMP >top")};
static const program endless = {"state 3", MAIN(4, "TRY r0 >h; h: TRY r0 >h; RAISE r0")};
static const program thrifty = {"", MAIN(12, "LOADI r0 0; REGION r0; LOADI r2 1; LOADI r3 32000; top: RANGE r2 >out; LOADK r6 'some_text_that_is_long'; MOVE r7 r4; LOADK r8 ''; TPL r9 r6 3; TEXT r9 r9; "
  "OBJ r10 r8 s0; NATIVE r9 length/1; ADD r0 r0 r9; RECYCLE r0; JMP >top; out: RET r0")};

static void test_limits_stop_a_run(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  up(r, &hungry);
  r->a.limit_bytes = 1 << 20;
  int64_t fuel = INT64_C(100000000);
  assert_int_equal(drive(r, 0, &fuel), VM_OUT_OF_MEMORY);
  assert_true(r->a.used_bytes <= 1 << 20);
  down(r);
  up(r, &endless); /* handlers that raise to one another do not get by without fuel */
  fuel = 10000;
  assert_int_equal(drive(r, 0, &fuel), VM_OUT_OF_FUEL);
  down(r);
  test_free(r);
}

/* 32,000 turns that allocate 200 bytes each run within 256 KiB. */
static void test_regions_give_memory_back(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  up(r, &thrifty);
  r->a.limit_bytes = 256 << 10;
  int64_t fuel = INT64_C(100000000);
  assert_int_equal(drive(r, 0, &fuel), VM_DONE);
  assert_int_equal(r->run.result.u.i, 32000 * 22 + 9 + 90 * 2 + 900 * 3 + 9000 * 4 + 22001 * 5);
  down(r);
  test_free(r);
}

/* Registers of any frame that point into what was given back are empty afterwards: a callee's window reaches behind its caller's. */
static const program overlap = {"{\"list\":[]}", {"main/0/30", "LOADI r20 1; CALL r0 @middle; OBJ r1 r20 s1; RET r1",
  "middle/0/4", "REGION r0; CALL r1 @inner; LOADI r2 0; LOADK r1 'some_text_of_some_length'; again: CONCAT r3 r1 r1; RECYCLE r0; ADDI r2 r2 1; LTIJ r3 r2 2000 >out; JMP >again; out: EMPTY r0; RET r0",
  "inner/0/40", "LOADK r30 'some'; LOADK r31 'text_of_some_length'; CONCAT r18 r30 r31; CONCAT r19 r30 r31; CONCAT r20 r31 r31; RET r0"}};

static void test_regions_clear_all_windows(void **state) {
  (void)state;
  rig *r = test_malloc(sizeof *r);
  up(r, &overlap);
  int64_t fuel = INT64_C(100000000);
  drive(r, 0, &fuel);
  assert_string_equal(r->text, overlap.want);
  down(r);
  test_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_instruction),        cmocka_unit_test(test_slices_change_nothing),    cmocka_unit_test(test_fuel_ends_at_the_exact_unit),
      cmocka_unit_test(test_memory_that_runs_out),     cmocka_unit_test(test_limits_stop_a_run),        cmocka_unit_test(test_regions_give_memory_back),
      cmocka_unit_test(test_regions_clear_all_windows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
