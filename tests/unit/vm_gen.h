/* vm_gen.h - programs of the machine drawn from a seed: valid bytecode of every instruction, with loops, calls, handlers, branches and natives as a compiler
 * would nest them, but with operands, types and orders that none would choose. */
#ifndef HDW_VM_GEN_H
#define HDW_VM_GEN_H
#include "emit.h"
#include "host.h"

enum { GEN_FUNCS = 6, GEN_LOCALS = 10, GEN_DEPTH = 4 };
typedef struct gen {
  emit e;
  uint64_t seed;
  uint32_t nfuncs, params[GEN_FUNCS], fn, top, shapes, checks, effects, nnatives; /* top: first register above locals and open windows */
  uint32_t natives[24], nargs[24];
  bool branch; /* within a branch: no RET */
  bool calm;   /* mostly numbers, so that it comes far before it fails */
} gen;

static inline uint32_t gen_draw(gen *g, uint32_t n) {
  g->seed = g->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (uint32_t)((g->seed >> 33) % n);
}
static inline uint32_t gen_local(gen *g) { return gen_draw(g, GEN_LOCALS); }

static inline uint32_t gen_const(gen *g) {
  static const char *const texts[] = {"", "a", "value", "b\xc3\xa9", "2012-02-29", "1.50", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Patient", "PID-3"};
  val v, two[2];
  dec d = {(int64_t)gen_draw(g, 100000) - 50000, (int32_t)gen_draw(g, 6)};
  tm_val t;
  switch (g->calm ? gen_draw(g, 3) : gen_draw(g, 9)) {
    case 0: v = val_int((int32_t)(gen_draw(g, 1 << 30) * 5 - (1 << 30))); break;
    case 1: v = val_long((int64_t)g->seed); break;
    case 2: (void)val_from_dec(g->e.a, &d, &v); break;
    case 3: (void)val_from_qty(g->e.a, &d, gen_draw(g, 2) ? "mg" : "day", gen_draw(g, 2) ? 2 : 2, false, &v); break;
    case 4: (void)tm_parse_datetime("2012-02-29T10:00:00.5+02:00", 27, &t); v = val_from_time(VAL_DATETIME, &t); break;
    case 5: two[0] = val_int(gen_draw(g, 5)); two[1] = val_cstr(texts[gen_draw(g, 9)]); v = (val){.tag = VAL_LIST, .len = 2, .u.v = two}; return emit_val(&g->e, v);
    case 6: two[0] = val_key("a", 1); two[1] = val_int(gen_draw(g, 5)); v = (val){.tag = VAL_OBJ, .len = 1, .u.v = two}; return emit_val(&g->e, v);
    default: v = val_cstr(texts[gen_draw(g, 9)]); break;
  }
  return emit_val(&g->e, v);
}

static inline void gen_op(gen *g, vm_op op, uint32_t a, uint32_t b, uint32_t c) {
  if (op == OP_MOVE && a == b) op = OP_NOP, a = b = 0;
  emit_op(&g->e, g->fn, op, a, b, c);
}

/* A register above all that are in use, with n behind it. */
static inline uint32_t gen_window(gen *g, uint32_t n) {
  emit_regs(&g->e, g->fn, g->top + n + 1);
  return g->top;
}

static inline void gen_simple(gen *g) {
  static const vm_op three[] = {OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_IDIV, OP_MOD, OP_CONCAT, OP_EQ, OP_NE, OP_EQV, OP_NEQV, OP_LT, OP_LE, OP_GT, OP_GE, OP_AND, OP_OR, OP_XOR, OP_IMPLIES, OP_IN, OP_HAS, OP_UNION, OP_INDEX};
  static const char *const names[] = {"a", "b", "value", "unit", "name", "given", "family", "PID", "list", "_x"};
  uint32_t a = gen_local(g), b = gen_local(g), c = gen_local(g), w, n;
  uint32_t what = gen_draw(g, 20);
  if (g->calm && (what == 11 || what == 13 || what >= 17) && gen_draw(g, 10)) what = gen_draw(g, 11);
  switch (what) {
    case 0: case 1: case 2: case 3: gen_op(g, three[gen_draw(g, sizeof three / sizeof *three)], a, b, c); break;
    case 4: gen_op(g, gen_draw(g, 2) ? OP_NEG : OP_NOT, a, b, 0); break;
    case 5: gen_op(g, (vm_op)(OP_ADDI + gen_draw(g, 3)), a, b, gen_draw(g, 256)); break;
    case 6: emit_bx(&g->e, g->fn, OP_LOADI, a, gen_draw(g, 3) ? gen_draw(g, 8) : gen_draw(g, 65536)); break;
    case 7: if (gen_draw(g, 2)) emit_ext(&g->e, g->fn, OP_LOADKX, a, 0, 0, gen_const(g)); else emit_bx(&g->e, g->fn, OP_LOADK, a, gen_const(g)); break;
    case 8: gen_op(g, OP_EMPTY, a, 0, 0); break;
    case 9: gen_op(g, OP_MOVE, a, b, 0); break;
    case 10: gen_op(g, OP_LOADB, a, gen_draw(g, 2), 0); break;
    case 11: emit_ext(&g->e, g->fn, OP_MEMBER, a, b, 0, emit_cstr(&g->e, names[gen_draw(g, 10)])); break;
    case 12: gen_op(g, OP_NEWB, a, 0, 0); gen_op(g, OP_PUSH, a, b, 0); gen_op(g, OP_PUSH, a, c, 0); if (gen_draw(g, 4)) gen_op(g, OP_BUILD, a, a, 0); break;
    case 13: gen_op(g, gen_draw(g, 2) ? OP_PUSH : OP_BUILD, a, b, 0); break;
    case 14: n = gen_draw(g, 4); b = gen_draw(g, GEN_LOCALS - 3); gen_op(g, OP_LIST, a, b, n); break;
    case 15: b = gen_draw(g, GEN_LOCALS - 4); gen_op(g, OP_TPL, a, b, 2 * gen_draw(g, 3) + 1); if (gen_draw(g, 3)) gen_op(g, OP_TEXT, a, a, 0); break;
    case 16: b = gen_draw(g, GEN_LOCALS - 2); emit_ext(&g->e, g->fn, OP_OBJ, a, b, 0, gen_draw(g, g->shapes)); break;
    case 17: emit_ext(&g->e, g->fn, OP_CHECK, a, 0, 0, gen_draw(g, g->checks)); break;
    case 18: if (gen_draw(g, 3)) gen_op(g, OP_TEXT, a, b, 0); else gen_op(g, OP_NOP, 0, 0, 0); break;
    default: {
      uint32_t i = gen_draw(g, g->nnatives);
      if (g->nargs[i] == 2 && gen_draw(g, 2)) { emit_ext(&g->e, g->fn, OP_NATIVEK, a, b, 0, g->natives[i] | gen_const(g) << 16); break; }
      w = gen_window(g, g->nargs[i]);
      for (uint32_t k = 0; k < g->nargs[i]; k++) gen_op(g, OP_MOVE, w + k, gen_local(g), 0);
      emit_bx(&g->e, g->fn, OP_NATIVE, w, g->natives[i]);
      gen_op(g, OP_MOVE, a, w, 0);
    }
  }
}

static inline void gen_block(gen *g, int depth, uint32_t statements);

static inline void gen_branch_if(gen *g, int depth) {
  static const vm_op jumps[] = {OP_JMPT, OP_JMPN, OP_JMPF, OP_JMPE};
  uint32_t at, over;
  if (gen_draw(g, 2)) { /* a comparison that becomes one with its jump */
    uint32_t r = gen_local(g);
    if (gen_draw(g, 2)) { emit_bx(&g->e, g->fn, OP_LOADI, g->top, gen_draw(g, 9)); emit_regs(&g->e, g->fn, g->top + 1); emit_binary(&g->e, g->fn, (vm_op)(OP_LT + gen_draw(g, 4)), r, gen_local(g), g->top, true); }
    else gen_op(g, (vm_op)(gen_draw(g, 2) ? OP_EQ : OP_LE), r, gen_local(g), gen_local(g));
    at = emit_jump(&g->e, g->fn, OP_JMPN, r);
  } else {
    at = emit_jump(&g->e, g->fn, jumps[gen_draw(g, 4)], gen_local(g));
  }
  gen_block(g, depth + 1, 1 + gen_draw(g, 4));
  if (gen_draw(g, 2)) {
    over = emit_jump(&g->e, g->fn, OP_JMP, 0);
    emit_patch(&g->e, g->fn, at);
    gen_block(g, depth + 1, 1 + gen_draw(g, 3));
    emit_patch(&g->e, g->fn, over);
  } else {
    emit_patch(&g->e, g->fn, at);
  }
}

static inline void gen_loop(gen *g, int depth) {
  uint32_t w = gen_window(g, 4), was = g->top, start, at, keep = gen_local(g);
  bool range = gen_draw(g, 2), regions = gen_draw(g, 3) == 0;
  if (range) {
    emit_bx(&g->e, g->fn, OP_LOADI, w, gen_draw(g, 4));
    emit_bx(&g->e, g->fn, OP_LOADI, w + 1, gen_draw(g, 12));
    gen_op(g, OP_EMPTY, w + 3, 0, 0);
  } else {
    gen_op(g, OP_ITER, w, gen_local(g), 0);
  }
  g->top += 4;
  if (regions) gen_op(g, OP_REGION, keep, 0, 0);
  start = emit_here(&g->e, g->fn);
  at = emit_jump(&g->e, g->fn, range ? OP_RANGE : OP_NEXT, w);
  if (gen_draw(g, 4)) gen_op(g, OP_MOVE, gen_local(g), w + 2 + gen_draw(g, 2), 0);
  gen_block(g, depth + 1, 1 + gen_draw(g, 5));
  if (regions) {
    gen_op(g, OP_RECYCLE, keep, 0, 0);
    for (uint32_t r = 0; r < was; r++) /* what a compiler would know not to read */
      if (r != keep && (r < GEN_LOCALS)) gen_op(g, OP_EMPTY, r, 0, 0);
  }
  emit_jump_to(&g->e, g->fn, OP_JMP, 0, start);
  emit_patch(&g->e, g->fn, at);
  g->top = was;
}

static inline void gen_call(gen *g) {
  uint32_t f = gen_draw(g, g->nfuncs), w = gen_window(g, g->params[f]);
  for (uint32_t k = 0; k < g->params[f]; k++) gen_op(g, OP_MOVE, w + k, gen_local(g), 0);
  emit_bx(&g->e, g->fn, OP_CALL, w, f);
  gen_op(g, OP_MOVE, gen_local(g), w, 0);
}

static inline void gen_effect(gen *g) {
  uint32_t e = gen_draw(g, g->effects), w = gen_window(g, 2);
  bool path = gen_draw(g, 2);
  if (path) emit_bx(&g->e, g->fn, OP_PPUSH, 0, gen_draw(g, 9));
  if (path && gen_draw(g, 2)) { emit_bx(&g->e, g->fn, OP_LOADI, w, gen_draw(g, 9)); gen_op(g, OP_PINDEX, w, 0, 0); }
  for (uint32_t k = 0; k < 2; k++) gen_op(g, OP_MOVE, w + k, gen_local(g), 0);
  emit_bx(&g->e, g->fn, OP_EFFECT, w, e);
  if (path) gen_op(g, OP_PPOP, 0, 0, 0);
  gen_op(g, OP_MOVE, gen_local(g), w, 0);
}

static inline void gen_try(gen *g, int depth) {
  uint32_t r = gen_local(g), at = emit_jump(&g->e, g->fn, OP_TRY, r), over;
  gen_block(g, depth + 1, 1 + gen_draw(g, 4));
  if (gen_draw(g, 5) == 0) gen_op(g, OP_RAISE, gen_local(g), 0, 0);
  gen_op(g, OP_ENDTRY, 0, 0, 0);
  over = emit_jump(&g->e, g->fn, OP_JMP, 0);
  emit_patch(&g->e, g->fn, at);
  gen_block(g, depth + 1, gen_draw(g, 3));
  emit_patch(&g->e, g->fn, over);
}

static inline void gen_parallel(gen *g, int depth) {
  uint32_t n = 1 + gen_draw(g, 4), w = gen_window(g, 1);
  bool was = g->branch;
  if (gen_draw(g, 2)) emit_bx(&g->e, g->fn, OP_LOADI, w, gen_draw(g, 4)); else gen_op(g, OP_EMPTY, w, 0, 0);
  gen_op(g, OP_PAR, w, 0, 0);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = emit_jump(&g->e, g->fn, OP_FORK, 0);
    bool keep = gen_draw(g, 2);
    g->branch = true;
    gen_block(g, depth + 1, 1 + gen_draw(g, 3));
    gen_op(g, OP_BEND, gen_draw(g, GEN_LOCALS - 3), keep ? 0 : gen_draw(g, 4), keep);
    g->branch = was;
    emit_patch(&g->e, g->fn, at);
    if (gen_draw(g, 12) == 0) gen_simple(g);
  }
  gen_op(g, OP_JOIN, gen_local(g), 0, 0);
}

static inline void gen_rare(gen *g) {
  uint32_t at;
  switch (gen_draw(g, 8)) {
    case 0: gen_op(g, OP_LANE, gen_local(g), 0, 0); break;
    case 1: gen_op(g, OP_ONCE, gen_local(g), gen_local(g), 0); break;
    case 2: gen_op(g, OP_GATE, 0, 0, 0); break;
    case 3: if (gen_draw(g, 2)) gen_op(g, OP_PPOP, 0, 0, 0); else emit_bx(&g->e, g->fn, OP_PPUSH, 0, gen_draw(g, 60000)); break;
    case 4: at = emit_jump(&g->e, g->fn, OP_JMPF, gen_local(g)); emit_bx(&g->e, g->fn, OP_OUTCOME, gen_draw(g, GEN_LOCALS - 1), gen_draw(g, 8)); emit_patch(&g->e, g->fn, at); break;
    case 5: at = emit_jump(&g->e, g->fn, OP_JMPN, gen_local(g)); if (!g->branch || gen_draw(g, 4) == 0) gen_op(g, OP_RET, gen_local(g), 0, 0); emit_patch(&g->e, g->fn, at); break;
    case 6: if (gen_draw(g, 4) == 0) gen_op(g, OP_PINDEX, gen_local(g), 0, 0); break;
    default: if (gen_draw(g, 6) == 0) gen_op(g, gen_draw(g, 2) ? OP_ENDTRY : OP_RAISE, 0, 0, 0); break;
  }
}

static inline void gen_block(gen *g, int depth, uint32_t statements) {
  for (uint32_t i = 0; i < statements; i++) {
    uint32_t k = gen_draw(g, 26);
    if (k < 15 || depth >= GEN_DEPTH) gen_simple(g);
    else if (k < 18) gen_branch_if(g, depth);
    else if (k < 20) gen_loop(g, depth);
    else if (k == 20) gen_call(g);
    else if (k < 23) gen_effect(g);
    else if (k == 23) gen_try(g, depth);
    else if (k == 24 && depth < 3) gen_parallel(g, depth);
    else gen_rare(g);
  }
}

static inline void gen_tables(gen *g) {
  static const char *const types[] = {"integer", "string", "decimal", "any", "Quantity", "date"};
  emit *e = &g->e;
  mod_key k[3] = {{emit_cstr(e, "a"), 0}, {emit_cstr(e, "value"), MOD_KEY_OMIT_EMPTY}, {emit_cstr(e, "_x"), MOD_KEY_ARRAY}};
  for (g->shapes = 0; g->shapes < 3; g->shapes++) emit_shape(e, k + g->shapes % 2, 3 - g->shapes);
  for (g->checks = 0; g->checks < 6; g->checks++)
    emit_check(e, (mod_check){emit_cstr(e, "it"), emit_cstr(e, "here"), emit_cstr(e, types[g->checks]), (uint16_t)(g->checks % 2), g->checks % 3 ? MOD_MANY : 1});
  for (g->effects = 0; g->effects < 3; g->effects++) {
    uint32_t argn[2] = {MOD_NO_INDEX, MOD_NO_INDEX};
    emit_effect(e, (mod_effect){.op = emit_cstr(e, "ask"), .conn = MOD_NO_INDEX, .nargs = (uint16_t)g->effects, .site = 10 + g->effects}, argn);
  }
  const vm_host *h = host_get();
  for (g->nnatives = 0; g->nnatives < 24; g->nnatives++) {
    const vm_native_row *row = &h->natives[gen_draw(g, h->nnatives)];
    g->natives[g->nnatives] = emit_native(e, row->name, row->nargs);
    g->nargs[g->nnatives] = row->nargs;
  }
}

/* The program of a seed; bytes live in a. */
static inline hdw_status gen_program(arena *a, uint64_t seed, uint8_t **bytes, size_t *len) {
  static const char *const names[GEN_FUNCS] = {"f0", "f1", "f2", "f3", "f4", "f5"};
  gen g = {.seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
  emit_init(&g.e, a);
  g.calm = gen_draw(&g, 2);
  gen_tables(&g);
  g.nfuncs = 1 + gen_draw(&g, GEN_FUNCS);
  for (uint32_t i = 0; i < g.nfuncs; i++) {
    g.params[i] = gen_draw(&g, 4);
    (void)emit_func_new(&g.e, names[i], 2, g.params[i]);
  }
  for (g.fn = 0; g.fn < g.nfuncs; g.fn++) {
    g.top = GEN_LOCALS;
    g.branch = false;
    emit_regs(&g.e, g.fn, GEN_LOCALS + 4);
    for (uint32_t k = g.calm ? GEN_LOCALS : gen_draw(&g, 6); k; k--) emit_bx(&g.e, g.fn, OP_LOADK, g.calm ? k - 1 : gen_local(&g), gen_const(&g));
    gen_block(&g, 0, 3 + gen_draw(&g, 10));
    gen_op(&g, OP_RET, gen_local(&g), 0, 0);
  }
  return emit_finish(&g.e, "{}", 2, bytes, len);
}

#endif
