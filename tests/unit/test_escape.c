/* Escapes from the machine that no compiler writes: bytecode made by hand, and modules with bytes changed. Each row says what it tries, where it has to be stopped
 * and with which words. Programs of the language that try the same are in tests/escape. */
#include "asm.h"
#include "host.h"
#include "json.h"
#include "model.h"

enum { FUEL = 2000000, MEMORY = 4 << 20, ASKED = 600 };

/* stop: where. RUN: want is "state N: text" of a failure, "fuel", "memory", or the value it ends with as JSON: it may go on, but only within its limits. */
typedef enum stop { LOAD, VERIFY, BIND, RUN } stop;
typedef struct attack { const char *tries; stop stop; const char *want; const char *src[9]; } attack;

#define MAIN(regs, text) {"main/0/" #regs, text}
/* Effects: e0 ask (one argument; see run), e1 fail. Shapes s0 {a, b}, s1 {list: an array}; check c0 integer 1..1. */
static const attack attacks[] = {
#include "escape_cases.h"
};

typedef struct rig {
  test_mem tm;
  arena code, a;
  module m;
  const vm_native *bound;
  vm_run run;
  vm_run *asked[ASKED];
  uint32_t nasked;
  char text[600];
} rig;

static void tables(asm_unit *u) {
  mod_key k0[2] = {{emit_cstr(&u->e, "a"), 0}, {emit_cstr(&u->e, "b"), 0}};
  mod_key k1[1] = {{emit_cstr(&u->e, "list"), MOD_KEY_ARRAY}};
  emit_shape(&u->e, k0, 2);
  emit_shape(&u->e, k1, 1);
  emit_check(&u->e, (mod_check){emit_cstr(&u->e, "it"), emit_cstr(&u->e, "here"), emit_cstr(&u->e, "integer"), 1, 1});
  uint32_t argn[1] = {MOD_NO_INDEX};
  emit_effect(&u->e, (mod_effect){.op = emit_cstr(&u->e, "ask"), .conn = MOD_NO_INDEX, .nargs = 1, .site = 3}, argn);
  emit_effect(&u->e, (mod_effect){.op = emit_cstr(&u->e, "fail"), .conn = MOD_NO_INDEX, .site = 4}, NULL);
}

static void down(rig *r) {
  arena_free(&r->a);
  arena_free(&r->code);
  assert_int_equal(r->tm.live_bytes, 0);
}

static void show(rig *r, vm_state s, const vm_cx *cx) {
  arena out;
  buf b;
  arena_init(&out, &r->tm.m, 0);
  buf_init(&b, &out, sizeof r->text - 1);
  if (s == VM_OUT_OF_FUEL) buf_puts(&b, "fuel");
  else if (s == VM_OUT_OF_MEMORY) buf_puts(&b, "memory");
  else if (s == VM_FAILED) buf_putf(&b, "state %d: %s", s, cx->err.text);
  else if (s == VM_WAITING) buf_puts(&b, "waits for ever");
  else if (r->run.outcome) buf_putf(&b, "outcome %d", r->run.outcome);
  else if (r->run.result.tag == VAL_EMPTY) buf_puts(&b, "{}");
  else if (json_write(r->run.result, &b, NULL)) buf_putf(&b, "a value of kind %u", r->run.result.tag);
  snprintf(r->text, sizeof r->text, "%.*s", (int)b.len, b.p ? b.p : "");
  arena_free(&out);
}

/* Answers request i of those that wait; the error of effect fail. False: nobody took it. */
static bool answer(rig *r, vm_cx *cx, uint32_t i) {
  vm_run *b = r->asked[i];
  memmove(r->asked + i, r->asked + i + 1, (--r->nasked - i) * sizeof *r->asked);
  if (b->request.effect_index == 0) {
    vm_resume_branch(b, val_int(7));
    return true;
  }
  val *kv = arena_alloc(&r->a, 2 * sizeof *kv);
  if (!kv) return false;
  kv[0] = val_key("error", 5);
  kv[1] = val_cstr("fail");
  if (vm_handles(b) && vm_throw(b, (val){.tag = VAL_OBJ, .len = 1, .u.v = kv})) return true;
  snprintf(cx->err.text, sizeof cx->err.text, "an error of a step was not handled");
  return false;
}

static void run(rig *r, uint32_t func) {
  vm_cx cx = {.a = &r->a, .fuel = FUEL, .model = &hdw_model};
  vm_state s = VM_OUT_OF_MEMORY;
  val args[VM_MAX_REGS] = {{0}};
  arena_init(&r->a, &r->tm.m, MEMORY);
  r->nasked = 0;
  if (vm_start(&r->run, &r->m, host_get(), r->bound, &cx, func, args, r->m.funcs[func].params) == HDW_OK)
    for (;;) { /* the oldest request is answered when the run itself asks, else the latest when everybody waits */
      s = vm_go(&r->run);
      if (s == VM_AWAIT) r->asked[r->nasked++] = r->run.request.branch;
      if (s == VM_AWAIT && r->run.request.branch != &r->run && r->nasked < ASKED) continue;
      if (s != VM_AWAIT && (s != VM_WAITING || !r->nasked)) break;
      if (!answer(r, &cx, s == VM_AWAIT ? 0 : r->nasked - 1)) { s = VM_FAILED; break; }
    }
  assert_true(r->a.used_bytes <= MEMORY);
  show(r, s, &cx);
}

static const char *fate(rig *r, const uint8_t *bytes, size_t len, stop *at) {
  static mod_error e;
  *at = LOAD;
  if (mod_load(&r->code, bytes, len, &r->m, &e)) return e.text;
  *at = VERIFY;
  if (mod_verify(&r->code, &r->m, &e)) return e.text;
  *at = BIND;
  if (vm_bind(&r->code, &r->m, host_get(), &r->bound, &e)) return e.text;
  *at = RUN;
  uint32_t main = mod_find(&r->m, "main");
  run(r, main == MOD_NO_INDEX ? 0 : main);
  return r->text;
}

static rig *up(asm_unit *u) {
  rig *r = test_calloc(1, sizeof *r);
  test_mem_init(&r->tm);
  arena_init(&r->code, &r->tm.m, 0);
  arena_init(&r->a, &r->tm.m, MEMORY);
  memset(u, 0, sizeof *u);
  emit_init(&u->e, &r->code);
  tables(u);
  return r;
}

static const char *const stops[] = {"the loader", "the verifier", "the binding", "the run"};

static bool judged(const attack *a, const char *got, stop at) {
  bool ok = at == a->stop && (at == RUN && strncmp(a->want, "state", 5) ? strcmp(got, a->want) == 0 : strstr(got, a->want) != NULL);
  if (!ok) print_error("%s\n  stopped by %s: %s\n  wanted by  %s: %s\n", a->tries, stops[at], got, stops[a->stop], a->want);
  return ok;
}

static void test_bytecode(void **state) {
  (void)state;
  int bad = 0;
  for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
    const attack *a = &attacks[i];
    asm_unit u;
    rig *r = up(&u);
    uint8_t *bytes;
    size_t len;
    stop at;
    if (a->stop == BIND) emit_native(&u.e, a->src[2], (uint32_t)strtoul(a->src[3], NULL, 10));
    const char *two[3] = {a->src[0], a->src[1], NULL};
    asm_program(&u, a->stop == BIND ? two : a->src, &bytes, &len);
    const char *got = fate(r, bytes, len, &at);
    bad += !judged(a, got, at);
    down(r);
    test_free(r);
  }
  assert_int_equal(bad, 0);
}

/* ---- bytes changed in a module: 4 bytes at `at` of a section (NO: of the file) become v */

enum { NO = MOD_SECTION_COUNT };
typedef struct forged { const char *tries; stop stop; const char *want; uint32_t section, at; uint32_t v; } forged;
static const forged forgeries[] = {
#define FORGERIES
#include "escape_cases.h"
};

static void test_changed_modules(void **state) {
  (void)state;
  int bad = 0;
  for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
    const forged *f = &forgeries[i];
    asm_unit u;
    rig *r = up(&u);
    uint8_t *bytes;
    size_t len;
    uint32_t off = 0;
    stop at;
    const char *src[] = {"main/0/4", "LOADK r0 'zzzzzzzzzzzzzzzzzzzzzzzz'; NATIVE r0 length/1; CALL r0 @f; RET r0", "f/1/4", "LOADKX r1 'b'; RET r0", NULL};
    asm_program(&u, src, &bytes, &len);
    if (f->section != NO) memcpy(&off, bytes + MOD_HEADER_BYTES + (size_t)f->section * 12 + 4, 4);
    assert_true(off + f->at + 4 <= len);
    memcpy(bytes + off + f->at, &f->v, 4);
    const char *got = fate(r, bytes, len, &at);
    attack a = {f->tries, f->stop, f->want, {NULL}};
    bad += !judged(&a, got, at);
    down(r);
    test_free(r);
  }
  assert_int_equal(bad, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytecode), cmocka_unit_test(test_changed_modules)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
