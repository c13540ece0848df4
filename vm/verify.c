/* verify.c - accepts or rejects the code of a module. Driven by the operand kinds of opcodes.def: whatever bytes were changed, accepted code
 * reads and writes only registers of its frame, jumps only to instructions of its function, and uses only table entries that exist.
 * (Values are checked by the machine itself: every operation looks at the tags.)
 *
 * A register may be read before it is written: it is empty then. So that a call need not empty its whole window, the verifier finds the registers
 * for which that can happen, by one pass over the code that keeps which are written on every path to an instruction. It leaves in mod_func.flags
 * how many registers behind the parameters the machine has to empty. (Safety does not hang on that: a register file holds nothing but
 * values of its run, see the regions in interp_ops.c.) */
#include "run.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct op_format { char a, b, c, ext; } op_format;
static const op_format formats[OP_COUNT] = {
#define OPCODE(name, a, b, c, ext, doc) {(#a)[0], (#b)[0], (#c)[0], (#ext)[0]},
#include "opcodes.def"
#undef OPCODE
};

typedef struct regset { uint64_t w[4]; } regset;

typedef struct verify {
  const module *m;
  const mod_func *f;
  uint32_t fi;
  mod_error *e;
  uint8_t *starts; /* per word of the function: 1 an instruction begins here, 2 and something jumps to it */
  regset *at;      /* per word that is jumped to: registers written on every path seen so far */
  uint32_t empty;  /* the highest register, plus one, that may be read before it is written */
} verify;

__attribute__((format(printf, 3, 4))) static hdw_status bad(verify *v, uint32_t at, const char *fmt, ...) {
  char why[120];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(why, sizeof why, fmt, ap);
  va_end(ap);
  uint32_t n;
  const char *name = mod_text(v->m, v->f->name, &n);
  snprintf(v->e->text, sizeof v->e->text, "function %u (%.*s), word %u: %s", v->fi, (int)(n > 40 ? 40 : n), name, at, why);
  return v->e->status = HDW_E_CORRUPT;
}

/* Registers that a window operation touches from its base on. */
static uint32_t window_len(const module *m, uint32_t op, uint32_t ins, uint32_t ext) {
  uint32_t bx = ins >> 16;
  switch (op) {
    case OP_CALL: return m->funcs[bx].params ? m->funcs[bx].params : 1;
    case OP_NATIVE: return m->natives[bx].nargs ? m->natives[bx].nargs : 1;
    case OP_EFFECT: return m->effects[bx].nargs ? m->effects[bx].nargs : 1;
    case OP_OUTCOME: return 2;
    case OP_OBJ: return m->shapes[ext].n;
    default: return ins >> 24; /* LIST, TPL */
  }
}

static hdw_status check_reg(verify *v, uint32_t at, uint32_t r) {
  return r < v->f->regs ? HDW_OK : bad(v, at, "register %u of %u", r, v->f->regs);
}

/* Table operand of kind k with index i. */
static hdw_status check_table(verify *v, uint32_t at, char k, uint32_t i) {
  const module *m = v->m;
  uint32_t n;
  const char *what;
  switch (k) {
    case 'K': n = m->nconsts; what = "constant"; break;
    case 'F': n = m->nfuncs; what = "function"; break;
    case 'V': n = m->nnatives; what = "import"; break;
    case 'S': n = m->nshapes; what = "shape"; break;
    case 'C': n = m->nchecks; what = "check"; break;
    default: n = m->neffects; what = "effect"; break; /* E */
  }
  return i < n ? HDW_OK : bad(v, at, "%s %u of %u", what, i, n);
}

/* True when a constant is what a register may hold: a normalised collection. The loader has marked lists that hold lists, nulls or nothing (VALF_UNEVEN). */
static bool is_collection(const val *k) { return val_is_norm(*k); }

static hdw_status check_jump(verify *v, uint32_t at, uint32_t next, int32_t d) {
  int64_t to = (int64_t)next + d;
  if (to < 0 || to >= (int64_t)v->f->words || !v->starts[to]) return bad(v, at, "a jump to word %lld, where no instruction begins", (long long)to);
  return HDW_OK;
}

/* Operands that need more than their kind says. */
static hdw_status check_special(verify *v, uint32_t at, uint32_t ins, uint32_t ext) {
  const module *m = v->m;
  uint32_t op = ins & 255, a = (ins >> 8) & 255, b = (ins >> 16) & 255, c = ins >> 24;
  switch (op) {
    case OP_ITER: case OP_NEXT: case OP_RANGE: return check_reg(v, at, a + 3);
    case OP_LOADK: return is_collection(&m->consts[ins >> 16]) ? HDW_OK : bad(v, at, "constant %u is no collection", ins >> 16);
    case OP_LOADKX: return is_collection(&m->consts[ext]) ? HDW_OK : bad(v, at, "constant %u is no collection", ext);
    case OP_LOADB: return b <= 1 ? HDW_OK : bad(v, at, "a boolean %u", b);
    case OP_MEMBER: return m->consts[ext].tag == VAL_STR ? HDW_OK : bad(v, at, "a member name that is no string");
    case OP_TPL: return c % 2 == 1 ? HDW_OK : bad(v, at, "a template of %u parts", c);
    case OP_NATIVEK: {
      hdw_status s = check_table(v, at, 'V', ext & 0xffff);
      if (!s) s = check_table(v, at, 'K', ext >> 16);
      if (!s && !is_collection(&m->consts[ext >> 16])) s = bad(v, at, "constant %u is no collection", ext >> 16);
      if (!s && m->natives[ext & 0xffff].nargs != 2) s = bad(v, at, "import %u does not take two arguments", ext & 0xffff);
      return s;
    }
    case OP_BEND: return c > 1 ? bad(v, at, "BEND %u", c) : b ? check_reg(v, at, a + b - 1) : HDW_OK;
    case OP_OUTCOME: return (ins >> 16) <= VM_UNMATCHED ? HDW_OK : bad(v, at, "outcome %u", ins >> 16);
    default: return HDW_OK;
  }
}

static hdw_status check_ins(verify *v, uint32_t at, uint32_t ins, uint32_t ext, uint32_t next) {
  const op_format *o = &formats[ins & 255];
  uint32_t a = (ins >> 8) & 255, b = (ins >> 16) & 255, c = ins >> 24;
  hdw_status s = HDW_OK;
  if (o->c == '.') {
    if (o->b == 'J') s = check_jump(v, at, next, (int32_t)(int16_t)(ins >> 16));
    else if (o->b != 'N') s = check_table(v, at, o->b, ins >> 16);
  } else {
    if (o->b == '_' && b) s = bad(v, at, "operand b is not 0");
    if (!s && o->c == '_' && c) s = bad(v, at, "operand c is not 0");
    if (!s && o->b == 'R') s = check_reg(v, at, b);
    if (!s && o->c == 'R') s = check_reg(v, at, c);
  }
  if (!s && o->a == '_' && a) s = bad(v, at, "operand a is not 0");
  if (!s && o->a != '_') s = check_reg(v, at, a);
  if (!s && (o->ext == 'D' || o->ext == 'I')) {
    s = check_jump(v, at, next, (int32_t)(int16_t)(ext >> 16));
    if (!s && (int16_t)(ext >> 16) < 0) s = bad(v, at, "%s jumps backwards", vm_op_name((vm_op)(ins & 255)));
    if (!s && o->ext == 'D' && (ext & 0xffff)) s = bad(v, at, "the low half of ext is not 0");
  } else if (!s && o->ext != '_' && o->ext != 'X') {
    s = check_table(v, at, o->ext, ext);
  }
  if (!s && (o->a == 'B' || o->b == 'B')) {
    uint32_t base = o->a == 'B' ? a : b, n = window_len(v->m, ins & 255, ins, ext);
    if (base + n > v->f->regs) s = bad(v, at, "registers %u to %u of %u", base, base + n - 1, v->f->regs);
  }
  return s ? s : check_special(v, at, ins, ext);
}

/* ---- registers that are read before they are written */

static void add(regset *s, uint32_t r) { s->w[r >> 6] |= UINT64_C(1) << (r & 63); }
static bool has(const regset *s, uint32_t r) { return (s->w[r >> 6] >> (r & 63) & 1) != 0; }

static void read_reg(verify *v, const regset *s, uint32_t r, uint32_t n) {
  for (uint32_t i = r; i < r + n; i++)
    if (!has(s, i) && i >= v->empty) v->empty = i + 1;
}

/* What flows from s to word `to`. A word is reached from before it first; what comes from behind (loops) has seen what the word has seen, or
 * else may have skipped some of it. */
static void flow(verify *v, const regset *s, uint32_t from, uint32_t to) {
  regset *t = &v->at[to];
  if (to > from) {
    if (!(v->starts[to] & 2)) *t = *s;
    for (int i = 0; i < 4; i++) t->w[i] &= s->w[i];
    v->starts[to] |= 2;
    return;
  }
  for (int i = 0; i < 4; i++)
    if (t->w[i] & ~s->w[i]) v->empty = v->f->regs;
}

/* Reads, then writes of one checked instruction. */
static void effects_on(verify *v, regset *s, uint32_t at, uint32_t ins, uint32_t ext, uint32_t next) {
  uint32_t op = ins & 255, a = (ins >> 8) & 255, b = (ins >> 16) & 255, c = ins >> 24;
  const op_format *o = &formats[op];
  if (o->a == 'R' || o->a == 'U') read_reg(v, s, a, 1);
  if (o->a == 'B') read_reg(v, s, a, op == OP_CALL ? v->m->funcs[ins >> 16].params : op == OP_NATIVE ? v->m->natives[ins >> 16].nargs : op == OP_EFFECT ? v->m->effects[ins >> 16].nargs : 2);
  if (o->c != '.') {
    if (o->b == 'R') read_reg(v, s, b, 1);
    if (o->b == 'B') read_reg(v, s, b, window_len(v->m, op, ins, ext));
    if (o->c == 'R') read_reg(v, s, c, 1);
  }
  if (op == OP_NEXT || op == OP_RANGE) read_reg(v, s, a, op == OP_NEXT ? 2 : 4);
  if (o->a == 'W' && op != OP_TRY) add(s, a);
  if (o->a == 'B') add(s, a);
  if (op == OP_ITER) add(s, a + 1);
  if (op == OP_TRY) { /* the handler gets the error in R[a] */
    regset h = *s;
    add(&h, a);
    flow(v, &h, at, (uint32_t)((int32_t)next + (int16_t)(ins >> 16)));
  } else if (o->b == 'J') {
    flow(v, s, at, (uint32_t)((int32_t)next + (int16_t)(ins >> 16)));
  } else if (o->ext == 'D' || o->ext == 'I') {
    flow(v, s, at, next + (ext >> 16));
  }
  if (op == OP_NEXT) { add(s, a + 2); add(s, a + 3); }
  if (op == OP_RANGE) add(s, a + 2);
}

/* Fills v->at while it goes. A word that only a later jump reaches begins with nothing known to be written. */
static void find_empty(verify *v) {
  const uint32_t *code = v->m->code + v->f->code;
  regset s = {{0}};
  bool alive = true;
  for (uint32_t i = 0; i < v->f->params; i++) add(&s, i);
  v->empty = v->f->params;
  for (uint32_t i = 0; i < v->f->words; i++) {
    uint32_t op = code[i] & 255;
    bool wide = formats[op].ext != '_';
    if (v->starts[i] & 2) {
      if (!alive) s = v->at[i];
      for (int k = 0; k < 4; k++) s.w[k] &= v->at[i].w[k];
    } else if (!alive) {
      s = (regset){{0}};
    }
    v->at[i] = s;
    effects_on(v, &s, i, code[i], wide ? code[i + 1] : 0, i + 1 + wide);
    alive = op != OP_JMP && op != OP_RET && op != OP_RAISE && op != OP_OUTCOME && op != OP_BEND;
    i += wide;
  }
}

static hdw_status verify_func(arena *a, verify *v) {
  const uint32_t *code = v->m->code + v->f->code;
  uint32_t n = v->f->words, last = 0;
  v->starts = arena_zalloc(a, n, 1);
  v->at = arena_alloc(a, n * sizeof *v->at);
  if (!v->starts || !v->at) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t op = code[i] & 255;
    v->starts[i] = 1;
    last = i;
    if (op >= OP_COUNT) return bad(v, i, "opcode %u", op);
    if (formats[op].ext != '_' && ++i >= n) return bad(v, i - 1, "%s is cut off", vm_op_name((vm_op)op));
  }
  uint32_t end = code[last] & 255;
  if (end != OP_RET && end != OP_JMP && end != OP_OUTCOME && end != OP_RAISE) return bad(v, last, "the function does not end with RET, JMP, RAISE or OUTCOME");
  for (uint32_t i = 0; i < n; i++) {
    bool wide = formats[code[i] & 255].ext != '_';
    hdw_status s = check_ins(v, i, code[i], wide ? code[i + 1] : 0, i + 1 + wide);
    if (s) return s;
    i += wide;
  }
  find_empty(v);
  return HDW_OK;
}

hdw_status mod_verify(arena *a, module *m, mod_error *err) {
  *err = (mod_error){HDW_OK, ""};
  for (uint32_t i = 0; i < m->nfuncs; i++) {
    arena_mark mark = arena_here(a);
    verify v = {.m = m, .f = &m->funcs[i], .fi = i, .e = err};
    hdw_status s = verify_func(a, &v);
    arena_release(a, mark);
    if (s) return err->status = s;
    ((mod_func *)(uintptr_t)&m->funcs[i])->flags = (uint16_t)(v.empty - v.f->params); /* the table is mod_load's copy */
  }
  m->verified = true;
  return HDW_OK;
}
