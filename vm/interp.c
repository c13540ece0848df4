/* interp.c - the interpreter's loop.
 *
 * One function (the exception to the rule on function length), dispatched by label: registers, instruction pointer, constants and the countdown of
 * fuel stay in locals. The common cases on Integers, Longs and strings are decided inline; everything else goes to the host's operators and to
 * interp_ops.c. */
#include "interp_int.h"
#include <string.h>

/* interp_count.c compiles this file once more, with counting: the loop that everybody runs has no trace of it. */
#ifndef COUNTING
#define VM_EXEC vm_exec
#define COUNT() ((void)0)
#define BEGIN_COUNT() do { if (__builtin_expect(r->cx->hits != NULL, 0)) return vm_exec_counting(r); } while (0)
#endif

#define INT_MAX32 INT64_C(2147483647)
#define INT_MIN32 (-INT64_C(2147483647) - 1)

/* A boolean, Integer or Long in two stores, for the same reason. */
static inline void put(val *to, uint64_t tag, int64_t i) {
  memcpy(to, &tag, 8);
  memcpy(&to->u, &i, 8);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the tag is the first byte of a value");

/* -1 empty, 0 false, 1 true; several items: -2. A single item that is no boolean counts as true (FHIRPath singleton evaluation). */
static inline int truth(val v) {
  if (v.tag == VAL_BOOL) return (int)v.u.i;
  if (v.tag == VAL_EMPTY) return -1;
  if (v.tag == VAL_LIST) return -2;
  return 1;
}

static inline bool is_whole(val v) { return v.tag == VAL_INT || v.tag == VAL_LONG; }
static inline bool both_whole(const val *x, const val *y) { return (x->tag & y->tag & VAL_INT) && x->tag <= VAL_LONG && y->tag <= VAL_LONG; }
/* Tag of the wider of two whole numbers: Long when one of them is. */
#define WIDER(x, y) ((uint8_t)((x).tag | (y).tag))
_Static_assert(VAL_BOOL == 1 && VAL_INT == 2 && VAL_LONG == 3, "Integers and Longs are the tags up to 3 that have bit 2");

/* Result z of whole numbers: empty when it left 64 bits or, as Integer, 32. */
static inline val whole(uint8_t tag, int64_t z, bool over) {
  if (over || (tag == VAL_INT && (z < INT_MIN32 || z > INT_MAX32))) return VAL_NONE;
  return (val){.tag = tag, .u.i = z};
}

static inline val remainder_of(val x, val y) {
  uint8_t tag = WIDER(x, y);
  if (y.u.i == 0) return VAL_NONE;
  if (y.u.i == -1) return whole(tag, 0, false);
  if (tag == VAL_INT) return val_int((int32_t)x.u.i % (int32_t)y.u.i); /* 32-bit division is several times as fast */
  return val_long(x.u.i % y.u.i);
}

static inline val quotient(val x, val y) {
  uint8_t tag = WIDER(x, y);
  if (y.u.i == 0) return VAL_NONE;
  if (y.u.i == -1) return whole(tag, (int64_t)(0 - (uint64_t)x.u.i), x.u.i == INT64_MIN);
  return whole(tag, x.u.i / y.u.i, false);
}

static vm_state failed(vm_run *r, hdw_status s, uint32_t word) {
  vm_cx *cx = r->cx;
  if (s == HDW_E_FUEL) return VM_OUT_OF_FUEL;
  if (s == HDW_E_NOMEM) return VM_OUT_OF_MEMORY;
  if (!cx->err.status) vm_fail(cx, s, "%s", hdw_status_text(s));
  mod_debug d;
  if (!cx->err.line && mod_where(r->m, word, &d)) { cx->err.line = d.line; cx->err.col = d.col; cx->err.file = d.file; }
  return VM_FAILED;
}

#define A ((ins >> 8) & 255)
#define B ((ins >> 16) & 255)
#define C (ins >> 24)
#define BX (ins >> 16)
#define SBX ((int32_t)(int16_t)(ins >> 16))
#define IMM ((int64_t)(int8_t)(ins >> 24))
#define DISTANCE(ext) ((int32_t)(int16_t)((ext) >> 16))
#define OP(name) L_##name
#define NEXT_INS do { COUNT(); ins = *ip++; goto *labels[ins & 255]; } while (0)
#define FAIL(s) do { st = (s); goto fail; } while (0)
/* Fuel and slice are one countdown in a local: SAVE before anything that looks at cx->fuel, LOAD after it. */
#define SAVE() do { int64_t used_ = start - left; cx->fuel -= used_; slice -= used_; } while (0)
#define LOAD() (start = left = slice < cx->fuel ? slice : cx->fuel)
#define TICK() do { if (--left < 0) goto tick_out; } while (0)
#define TRYTO(e) do { SAVE(); hdw_status s_ = (e); LOAD(); if (__builtin_expect(s_, 0)) FAIL(s_); } while (0)
#define SLOW(op, x, y) do { val v_; TRYTO(vm_slow_op(r, op, x, y, &v_)); copy(&R[A], &v_); } while (0)
#define ARITH(name, op, right, builtin)                                                          \
  OP(name): {                                                                                    \
    const val *x = &R[B];                                                                        \
    right;                                                                                       \
    int64_t z;                                                                                   \
    if (__builtin_expect(both_whole(x, y), 1)) {                                                 \
      bool over = builtin(x->u.i, y->u.i, &z);                                                   \
      uint8_t tag = WIDER(*x, *y);                                                               \
      if (__builtin_expect(over || (tag == VAL_INT && z != (int32_t)z), 0)) R[A] = VAL_NONE;     \
      else put(&R[A], tag, z);                                                                   \
    } else SLOW(op, *x, *y);                                                                     \
    NEXT_INS;                                                                                    \
  }
/* Compares R[B] with `right` into R[A]; `yes` is 1 when that is true. */
#define COMPARE(op, right, cmp)                                                                  \
  const val *x = &R[B];                                                                          \
  right;                                                                                         \
  int yes;                                                                                       \
  if (__builtin_expect(both_whole(x, y), 1)) {                                                   \
    yes = x->u.i cmp y->u.i;                                                                     \
    put(&R[A], VAL_BOOL, yes);                                                                       \
  } else if ((op == OP_EQ || op == OP_NE) && x->tag == VAL_STR && y->tag == VAL_STR && x->len < 256) { \
    yes = (x->len == y->len && memcmp(x->u.s, y->u.s, x->len) == 0) == (op == OP_EQ);            \
    put(&R[A], VAL_BOOL, yes);                                                                       \
  } else {                                                                                       \
    SLOW(op, *x, *y);                                                                            \
    yes = R[A].tag == VAL_BOOL && R[A].u.i;                                                      \
  }
#define COMPARISON(name, cmp)                                                                    \
  OP(name): {                                                                                    \
    COMPARE(OP_##name, const val *y = &R[C], cmp)                                                \
    (void)yes;                                                                                   \
    NEXT_INS;                                                                                    \
  }                                                                                              \
  OP(name##J): {                                                                                 \
    uint32_t ext = *ip++;                                                                        \
    COMPARE(OP_##name, const val *y = &R[C], cmp)                                                \
    if (!yes) ip += DISTANCE(ext);                                                               \
    NEXT_INS;                                                                                    \
  }                                                                                              \
  OP(name##IJ): {                                                                                \
    uint32_t ext = *ip++;                                                                        \
    COMPARE(OP_##name, const val k = val_int((int16_t)ext); const val *y = &k, cmp)              \
    if (!yes) ip += DISTANCE(ext);                                                               \
    NEXT_INS;                                                                                    \
  }
#define JUMP_IF(name, test)                                                                      \
  OP(name): {                                                                                    \
    int x = truth(R[A]);                                                                         \
    if (x == -2) FAIL(vm_condition_count(cx, R[A]));                                             \
    if (test) { if (SBX < 0) TICK(); ip += SBX; }                                                \
    NEXT_INS;                                                                                    \
  }
/* Three-valued logic: z of x and y, -1 stands for {}. */
#define LOGIC(name, z)                                                                           \
  OP(name): {                                                                                    \
    int x = truth(R[B]), y = truth(R[C]);                                                        \
    if (x == -2) FAIL(vm_condition_count(cx, R[B]));                                             \
    if (y == -2) FAIL(vm_condition_count(cx, R[C]));                                             \
    int z_ = z;                                                                                  \
    R[A] = z_ < 0 ? VAL_NONE : val_bool(z_);                                                     \
    NEXT_INS;                                                                                    \
  }

/* All instructions in one long function, because registers, instruction pointer and constants then stay in locals of the loop. */
vm_state VM_EXEC(vm_run *r) {
  BEGIN_COUNT();
  static const void *const labels[OP_COUNT] = {
#define OPCODE(name, a, b, c, ext, doc) &&L_##name,
#include "opcodes.def"
#undef OPCODE
  };
  const module *const m = r->m;
  const uint32_t *const code = m->code;
  const val *const K = m->consts;
  vm_cx *const cx = r->cx;
  vm_frame *f = &r->frames[r->nframes - 1];
  const uint32_t *ip = code + f->pc;
  val *R = r->regs + f->base;
  hdw_status st = HDW_OK;
  vm_state end = VM_DONE;
  bool sliced = r->slice > 0;
  int64_t slice = sliced ? r->slice : INT64_MAX, start, left;
  uint32_t ins;
  LOAD();
  NEXT_INS;

  OP(NOP): NEXT_INS;
  OP(MOVE): copy(&R[A], &R[B]); NEXT_INS;
  OP(LOADK): copy(&R[A], &K[BX]); NEXT_INS;
  OP(LOADKX): R[A] = K[*ip++]; NEXT_INS;
  OP(LOADI): put(&R[A], VAL_INT, SBX); NEXT_INS;
  OP(LOADB): put(&R[A], VAL_BOOL, B == 1); NEXT_INS;
  OP(EMPTY): R[A] = VAL_NONE; NEXT_INS;
  OP(MEMBER): {
    val v;
    TRYTO(vm_member(cx, R[B], K[*ip++], &v));
    copy(&R[A], &v);
    NEXT_INS;
  }
  OP(INDEX): {
    const val *i = &R[C], *v = &R[B];
    if (i->tag == VAL_EMPTY) R[A] = VAL_NONE;
    else if (!is_whole(*i)) FAIL(vm_fail(cx, HDW_E_TYPE, "an index is a whole number"));
    else if (i->u.i < 0 || i->u.i >= (int64_t)val_count(*v)) R[A] = VAL_NONE;
    else copy(&R[A], v->tag == VAL_LIST ? &v->u.v[i->u.i] : v);
    NEXT_INS;
  }
  ARITH(ADD, OP_ADD, const val *y = &R[C], __builtin_add_overflow)
  ARITH(SUB, OP_SUB, const val *y = &R[C], __builtin_sub_overflow)
  ARITH(MUL, OP_MUL, const val *y = &R[C], __builtin_mul_overflow)
  ARITH(ADDI, OP_ADD, const val k = val_int(IMM); const val *y = &k, __builtin_add_overflow)
  ARITH(SUBI, OP_SUB, const val k = val_int(IMM); const val *y = &k, __builtin_sub_overflow)
  OP(DIV): SLOW(OP_DIV, R[B], R[C]); NEXT_INS;
  OP(IDIV): {
    val x = R[B], y = R[C];
    if (is_whole(x) && is_whole(y)) R[A] = quotient(x, y); else SLOW(OP_IDIV, x, y);
    NEXT_INS;
  }
  OP(MOD): {
    val x = R[B], y = R[C];
    if (is_whole(x) && is_whole(y)) R[A] = remainder_of(x, y); else SLOW(OP_MOD, x, y);
    NEXT_INS;
  }
  OP(MODI): {
    const val *x = &R[B], y = val_int(IMM);
    if (x->tag == VAL_INT && IMM > 0) put(&R[A], VAL_INT, (int32_t)x->u.i % (int32_t)IMM);
    else if (is_whole(*x)) R[A] = remainder_of(*x, y);
    else SLOW(OP_MOD, *x, y);
    NEXT_INS;
  }
  OP(CONCAT): {
    val x = R[B], y = R[C];
    if (x.tag == VAL_STR && y.tag == VAL_STR && x.len && y.len && x.len + (uint64_t)y.len < 1024) {
      char *p = arena_alloc(cx->a, x.len + y.len);
      if (!p) FAIL(HDW_E_NOMEM);
      memcpy(p, x.u.s, x.len);
      memcpy(p + x.len, y.u.s, y.len);
      left -= (x.len + y.len) / 16;
      R[A] = val_str(p, x.len + y.len);
    } else SLOW(OP_CONCAT, x, y);
    NEXT_INS;
  }
  OP(NEG): {
    val x = R[B];
    if (is_whole(x)) R[A] = whole(x.tag, (int64_t)(0 - (uint64_t)x.u.i), x.u.i == INT64_MIN); else SLOW(OP_NEG, x, VAL_NONE);
    NEXT_INS;
  }
  COMPARISON(EQ, ==)
  COMPARISON(NE, !=)
  COMPARISON(LT, <)
  COMPARISON(LE, <=)
  COMPARISON(GT, >)
  COMPARISON(GE, >=)
  OP(EQV): OP(NEQV): OP(IN): OP(HAS): OP(UNION): SLOW((vm_op)(ins & 255), R[B], R[C]); NEXT_INS;
  LOGIC(AND, x == 0 || y == 0 ? 0 : x == 1 && y == 1 ? 1 : -1)
  LOGIC(OR, x == 1 || y == 1 ? 1 : x == 0 && y == 0 ? 0 : -1)
  LOGIC(XOR, x < 0 || y < 0 ? -1 : x ^ y)
  LOGIC(IMPLIES, x == 0 || y == 1 ? 1 : x == 1 && y == 0 ? 0 : -1)
  OP(NOT): {
    int x = truth(R[B]);
    if (x == -2) FAIL(vm_condition_count(cx, R[B]));
    R[A] = x < 0 ? VAL_NONE : val_bool(!x);
    NEXT_INS;
  }
  OP(JMP): {
    int32_t d = SBX;
    if (d < 0) TICK();
    ip += d;
    NEXT_INS;
  }
  JUMP_IF(JMPT, x == 1)
  JUMP_IF(JMPN, x != 1)
  JUMP_IF(JMPF, x == 0)
  OP(JMPE):
    if (R[A].tag == VAL_EMPTY) { if (SBX < 0) TICK(); ip += SBX; }
    NEXT_INS;
  OP(ITER): {
    val v = R[B];
    R[A] = v;
    R[A + 1] = val_int(0);
    NEXT_INS;
  }
  OP(NEXT): {
    val *it = &R[A];
    TICK();
    int64_t i = it[1].u.i;
    if (it[1].tag != VAL_INT || i < 0 || i >= (int64_t)val_count(it[0])) { ip += SBX; NEXT_INS; }
    copy(&it[2], it[0].tag == VAL_LIST ? &it[0].u.v[i] : &it[0]);
    put(&it[3], VAL_INT, i);
    it[1].u.i = i + 1;
    NEXT_INS;
  }
  OP(RANGE): {
    val *it = &R[A];
    TICK();
    int64_t i = it[0].u.i;
    if (!is_whole(it[0]) || !is_whole(it[1]) || i > it[1].u.i) { ip += SBX; NEXT_INS; }
    copy(&it[2], &it[0]);
    put(&it[3], VAL_INT, it[3].tag == VAL_INT && it[3].u.i < INT_MAX32 ? it[3].u.i + 1 : 0);
    if (i == (it[0].tag == VAL_INT ? INT_MAX32 : INT64_MAX)) it[0] = VAL_NONE; else it[0].u.i = i + 1; /* {} ends the loop */
    NEXT_INS;
  }
  OP(NEWB): {
    val_builder *b = arena_zalloc(cx->a, 1, sizeof *b);
    if (!b) FAIL(HDW_E_NOMEM);
    R[A] = (val){.tag = VAL_BUILDER, .u.p = b};
    NEXT_INS;
  }
  OP(PUSH): {
    if (R[A].tag != VAL_BUILDER) FAIL(vm_fail(cx, HDW_E_TYPE, "no builder"));
    left -= val_count(R[B]);
    if (r->nregions) vm_regions_spoil_newer(r, R[A].u.p);
    hdw_status s = val_push(cx->a, (val_builder *)(uintptr_t)R[A].u.p, R[B]);
    if (s) FAIL(s);
    NEXT_INS;
  }
  OP(BUILD): {
    if (R[B].tag != VAL_BUILDER) FAIL(vm_fail(cx, HDW_E_TYPE, "no builder"));
    val_builder b = *(const val_builder *)R[B].u.p;
    R[A] = val_build(&b);
    NEXT_INS;
  }
  OP(LIST): {
    val v;
    TRYTO(vm_list(cx, &R[B], C, &v));
    R[A] = v;
    NEXT_INS;
  }
  OP(TPL): {
    if (*ip == (OP_TEXT | A << 8 | A << 16)) { /* the template is wanted as text at once */
      val t;
      TRYTO(vm_join_text(cx, &R[B], C, &t));
      if (t.tag != VAL_EMPTY) {
        R[A] = t;
        ip++;
        NEXT_INS;
      }
    }
    val *v = arena_alloc(cx->a, C * sizeof *v);
    if (!v) FAIL(HDW_E_NOMEM);
    memcpy(v, &R[B], C * sizeof *v);
    R[A] = (val){.tag = VAL_TPL, .len = C, .u.v = v};
    NEXT_INS;
  }
  OP(TEXT):
    if (R[B].tag == VAL_TPL) SLOW(OP_TEXT, R[B], VAL_NONE); else R[A] = R[B];
    NEXT_INS;
  OP(OBJ): {
    val v;
    hdw_status s = vm_object(r, &m->shapes[*ip++], &R[B], &v);
    if (s) FAIL(s);
    R[A] = v;
    NEXT_INS;
  }
  OP(CHECK): {
    val v;
    TRYTO(vm_check(r, &m->checks[*ip++], R[A], &v));
    R[A] = v;
    NEXT_INS;
  }
  OP(CALL): {
    TICK();
    const mod_func *g = &m->funcs[BX];
    if (r->nframes == VM_MAX_FRAMES) FAIL(vm_fail(cx, HDW_E_LIMIT, "calls are nested more than %d deep", VM_MAX_FRAMES));
    uint32_t base = f->base + A;
    f->pc = (uint32_t)(ip - code);
    if (base + g->regs > r->cap_regs) TRYTO(vm_window(r, base, g->regs));
    R = r->regs + base;
    for (uint32_t i = g->flags; i; i--) R[g->params + i - 1] = VAL_NONE; /* what may be read before it is written: see verify.c */
    f = &r->frames[r->nframes++];
    *f = (vm_frame){.func = BX, .pc = g->code, .base = base, .ret = 0};
    ip = code + g->code;
    NEXT_INS;
  }
  OP(NATIVE): {
    TICK();
    val v = VAL_NONE;
    if (r->nregions && vm_keeps(r, BX)) vm_regions_spoil(r);
    TRYTO(r->bound[BX](cx, &R[A], m->natives[BX].nargs, &v));
    copy(&R[A], &v);
    NEXT_INS;
  }
  OP(NATIVEK): {
    TICK();
    uint32_t x = *ip++;
    val v = VAL_NONE, args[2] = {R[B], K[x >> 16]};
    if (r->nregions && vm_keeps(r, x & 0xffff)) vm_regions_spoil(r);
    TRYTO(r->bound[x & 0xffff](cx, args, 2, &v));
    R[A] = v;
    NEXT_INS;
  }
  OP(RET): {
    uint32_t n = r->nframes - 1;
    if (__builtin_expect(r->ngroups && r->groups[r->ngroups - 1].frame == n, 0)) FAIL(vm_fail(cx, HDW_E_INVALID, "a function ends between its branches"));
    r->nframes = n;
    while (r->ntries && r->tries[r->ntries - 1].frame == n) r->ntries--;
    if (r->nregions) vm_regions_pop(r, n);
    if (!n) {
      r->result = R[A];
      goto out;
    }
    copy(R, &R[A]); /* the callee's first register is the caller's R[a] */
    f = &r->frames[n - 1];
    R = r->regs + f->base;
    ip = code + f->pc;
    NEXT_INS;
  }
  OP(GATE):
    if (r->is_gate) { r->gate_reached = true; goto out; }
    NEXT_INS;
  OP(LANE): {
    val v = R[A];
    vm_regions_spoil(r);
    for (uint32_t i = 0; i < val_count(v); i++) {
      if (r->nlanes == VM_MAX_LANES) FAIL(vm_fail(cx, HDW_E_LIMIT, "more than %d lane keys", VM_MAX_LANES));
      r->lanes[r->nlanes++] = val_item(v, i);
    }
    NEXT_INS;
  }
  OP(ONCE):
    vm_regions_spoil(r);
    r->once_key = R[A];
    r->once_within = R[B];
    NEXT_INS;
  OP(EFFECT):
    f->pc = (uint32_t)(ip - code);
    r->request.effect = &m->effects[BX];
    r->request.effect_index = BX;
    r->request.args = &R[A];
    if (r->is_gate) FAIL(vm_fail(cx, HDW_E_DENIED, "an effect inside the gate"));
    TRYTO(vm_path_text(r, r->request.effect->site));
    if (!r->root->copies || r->root->nbranches) vm_regions_spoil(r);
    end = VM_AWAIT;
    goto out;
  OP(TRY):
    if (r->ntries == VM_MAX_TRIES) FAIL(vm_fail(cx, HDW_E_LIMIT, "error handlers are nested more than %d deep", VM_MAX_TRIES));
    r->tries[r->ntries++] = (vm_try){.frame = r->nframes - 1, .pc = (uint32_t)(ip - code + SBX), .path = r->npath, .groups = r->ngroups, .reg = (uint8_t)A};
    NEXT_INS;
  OP(ENDTRY):
    if (r->ntries && r->tries[r->ntries - 1].frame == r->nframes - 1) r->ntries--;
    NEXT_INS;
  OP(RAISE): {
    val e = R[A];
    f->pc = (uint32_t)(ip - code);
    TICK();
    if (!vm_unwind(r, e)) {
      r->result = e;
      r->raised = true;
      FAIL(vm_fail(cx, HDW_E_IO, "an error of a step was not handled"));
    }
    f = &r->frames[r->nframes - 1];
    R = r->regs + f->base;
    ip = code + f->pc;
    NEXT_INS;
  }
  OP(PPUSH):
    if (r->npath == VM_MAX_PATH) FAIL(vm_fail(cx, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal"));
    r->path[r->npath++] = (vm_path){.site = BX, .index = -1};
    NEXT_INS;
  OP(PINDEX):
    if (!r->npath || R[A].tag != VAL_INT) FAIL(vm_fail(cx, HDW_E_TYPE, "no loop index"));
    r->path[r->npath - 1].index = R[A].u.i;
    NEXT_INS;
  OP(PPOP):
    if (r->npath) r->npath--;
    NEXT_INS;
  OP(PAR):
    vm_regions_spoil(r);
    TRYTO(vm_group_begin(r, R[A]));
    NEXT_INS;
  OP(FORK): /* costs nothing while it waits: how long it does is not the program's doing */
    vm_regions_spoil(r);
    SAVE();
    st = vm_fork(r, (uint32_t)(ip - code));
    LOAD();
    if (st == HDW_E_AGAIN) goto blocked;
    if (st) goto fail;
    ip += SBX;
    NEXT_INS;
  OP(BEND):
    if (r->ngroups) FAIL(vm_fail(cx, HDW_E_INVALID, "a branch ends between its branches"));
    TRYTO(vm_branch_end(r, A, B, C == 1));
    goto out;
  OP(JOIN): {
    val v;
    vm_bad *bad = NULL;
    vm_regions_spoil(r);
    SAVE();
    st = vm_join(r, &v, &bad);
    LOAD();
    if (st == HDW_E_AGAIN) goto blocked;
    if (st) goto fail;
    if (!bad) {
      R[A] = v;
      NEXT_INS;
    }
    f->pc = (uint32_t)(ip - code);
    if (bad->raised) {
      if (!vm_unwind(r, bad->value)) {
        r->result = bad->value;
        r->raised = true;
        FAIL(vm_fail(cx, HDW_E_IO, "an error of a step was not handled"));
      }
      f = &r->frames[r->nframes - 1];
      R = r->regs + f->base;
      ip = code + f->pc;
      NEXT_INS;
    }
    if (bad->outcome == VM_OUTCOME_NONE) {
      cx->err = bad->err;
      FAIL(bad->err.status);
    }
    r->outcome = bad->outcome;
    r->outcome_args[0] = bad->args[0];
    r->outcome_args[1] = bad->args[1];
    goto out;
  }
  OP(OUTCOME):
    r->outcome = (vm_outcome)BX;
    r->outcome_args[0] = R[A];
    r->outcome_args[1] = R[A + 1];
    goto out;
  OP(REGION):
    vm_region_begin(r, (uint8_t)A);
    NEXT_INS;
  OP(RECYCLE):
    if ((uintptr_t)cx->a->cur - (uintptr_t)r->recycled > VM_REGION_BYTES && (st = vm_region_recycle(r, (uint8_t)A))) goto fail;
    NEXT_INS;

tick_out: /* the instruction has done nothing yet and costs nothing; there it goes on */
  left++;
  f->pc = (uint32_t)(ip - 1 - code);
  SAVE();
  r->slice = sliced ? slice : 0;
  vm_regions_spoil(r);
  if (cx->fuel > 0) return VM_OUT_OF_SLICE;
  cx->fuel = -1;
  return VM_OUT_OF_FUEL;
blocked: /* the instruction is done again when a branch has ended */
  st = HDW_OK;
  f->pc = (uint32_t)(ip - 1 - code);
  r->stand = VM_BLOCKED;
  end = VM_WAITING;
out:
  SAVE();
  r->slice = sliced ? slice : 0;
  return cx->fuel < 0 ? VM_OUT_OF_FUEL : end; /* what the last instructions took counts too */
fail:
  f->pc = (uint32_t)(ip - code);
  SAVE();
  r->slice = sliced ? slice : 0;
  return failed(r, st, (uint32_t)(ip - 1 - code));
}
