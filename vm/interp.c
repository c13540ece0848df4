/* interp.c - the interpreter: vm_start, vm_go, vm_resume.
 *
 * One function with one switch (the exception to the rule on function length): registers, instruction pointer and constants stay in locals.
 * The common cases of operators on Integers and Longs are decided inline; everything else goes to the host's operator natives. */
#include "run.h"
#include <stdio.h>
#include <string.h>

#define INT_MAX32 INT64_C(2147483647)
#define INT_MIN32 (-INT64_C(2147483647) - 1)

const char *vm_op_name(vm_op op) {
  static const char *const names[OP_COUNT] = {
#define OPCODE(name, a, b, c, ext, doc) #name,
#include "opcodes.def"
#undef OPCODE
  };
  return op < OP_COUNT ? names[op] : "?";
}

hdw_status vm_bind(arena *a, const module *m, const vm_host *host, const vm_native **bound, mod_error *err) {
  vm_native *b = arena_zalloc(a, m->nnatives ? m->nnatives : 1, sizeof *b);
  if (!b) return err->status = HDW_E_NOMEM;
  for (uint32_t i = 0; i < m->nnatives; i++) {
    uint32_t n;
    const char *want = mod_text(m, m->natives[i].name, &n);
    uint32_t lo = 0, hi = host->nnatives;
    while (lo < hi) {
      uint32_t mid = (lo + hi) / 2;
      int c = strncmp(host->natives[mid].name, want, n);
      if (c == 0) c = host->natives[mid].name[n] ? 1 : 0;
      if (c == 0) {
        if (host->natives[mid].nargs != m->natives[i].nargs) break;
        b[i] = host->natives[mid].fn;
        break;
      }
      if (c < 0) lo = mid + 1; else hi = mid;
    }
    if (!b[i]) {
      snprintf(err->text, sizeof err->text, "this module needs the function '%.*s' of %u arguments, which this version does not have", (int)n, want, m->natives[i].nargs);
      return err->status = HDW_E_NOTFOUND;
    }
  }
  *bound = b;
  return HDW_OK;
}

/* Makes room for a window of n registers from base on; new registers are empty. */
static hdw_status window(vm_run *r, uint32_t base, uint32_t n) {
  uint32_t want = base + n;
  if (want > r->cap_regs) {
    uint32_t cap = r->cap_regs ? r->cap_regs : 64;
    while (cap < want) cap *= 2;
    val *v = arena_grow(r->cx->a, r->regs, r->cap_regs * sizeof *v, cap * sizeof *v);
    if (!v) return HDW_E_NOMEM;
    r->regs = v;
    r->cap_regs = cap;
  }
  r->nregs = want;
  return HDW_OK;
}

hdw_status vm_start(vm_run *r, const module *m, const vm_host *host, const vm_native *bound, vm_cx *cx, uint32_t func, const val *args, unsigned n) {
  memset(r, 0, sizeof *r);
  r->m = m;
  r->host = host;
  r->bound = bound;
  r->cx = cx;
  if (!m->verified || func >= m->nfuncs || n != m->funcs[func].params) return HDW_E_INVALID;
  const mod_func *f = &m->funcs[func];
  hdw_status s = window(r, 0, f->regs);
  if (s) return s;
  memset(r->regs, 0, f->regs * sizeof *r->regs);
  if (n) memcpy(r->regs, args, n * sizeof *args);
  r->frames[0] = (vm_frame){.func = func, .pc = f->code, .base = 0, .ret = 0};
  r->nframes = 1;
  return HDW_OK;
}

/* -1 empty, 0 false, 1 true; several items: -2. A single item that is no boolean counts as true (FHIRPath singleton evaluation). */
static inline int truth(val v) {
  if (v.tag == VAL_BOOL) return (int)v.u.i;
  if (v.tag == VAL_EMPTY) return -1;
  if (v.tag == VAL_LIST) return -2;
  return 1;
}

static hdw_status not_single(vm_cx *cx, val v) {
  return vm_fail(cx, HDW_E_CARD, "a condition needs one value, %u were found", val_count(v));
}

static hdw_status member_one(vm_cx *cx, val item, val key, val *out) {
  if (item.tag == VAL_OBJ && item.aux == 0) {
    const val *slot = val_obj_get(item, key);
    if (!slot) { *out = VAL_NONE; return HDW_OK; }
    if (val_is_norm(*slot)) { *out = *slot; return HDW_OK; }
    return val_norm(cx->a, *slot, out);
  }
  if ((item.tag == VAL_OBJ || item.tag == VAL_HL7) && cx->model && cx->model->member) return cx->model->member(cx, item, key, out);
  *out = VAL_NONE;
  return HDW_OK;
}

static hdw_status member(vm_cx *cx, val coll, val key, val *out) {
  if (coll.tag != VAL_LIST) return member_one(cx, coll, key, out);
  val_builder b = {0};
  for (uint32_t i = 0; i < coll.len; i++) {
    val v;
    hdw_status s = member_one(cx, coll.u.v[i], key, &v);
    if (!s) s = val_push(cx->a, &b, v);
    if (s) return s;
  }
  cx->fuel -= coll.len;
  *out = val_build(&b);
  return HDW_OK;
}

/* Integer or Long result, empty on overflow of the wider operand's type. */
static inline val whole(uint8_t tag, __int128 v) {
  if (tag == VAL_INT) return v >= INT_MIN32 && v <= INT_MAX32 ? val_int((int64_t)v) : VAL_NONE;
  return v >= INT64_MIN && v <= INT64_MAX ? val_long((int64_t)v) : VAL_NONE;
}

static inline bool is_whole(val v) { return v.tag == VAL_INT || v.tag == VAL_LONG; }

static hdw_status slow_op(vm_run *r, vm_op op, val x, val y, val *out) {
  vm_native f = r->host->ops ? r->host->ops[op] : NULL;
  if (!f) return vm_fail(r->cx, HDW_E_TYPE, "operator %s is not available", vm_op_name(op));
  val args[2] = {x, y};
  return f(r->cx, args, 2, out);
}

static hdw_status make_object(vm_run *r, const mod_shape *s, const val *fields, val *out) {
  val *kv = arena_alloc(r->cx->a, s->n * 2 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  uint32_t n = 0;
  uint8_t flags = 0;
  for (uint32_t i = 0; i < s->n; i++) {
    const mod_key *k = &r->m->keys[s->first + i];
    val v = fields[i];
    if (v.tag == VAL_EMPTY && (k->flags & MOD_KEY_OMIT_EMPTY)) continue;
    if (k->flags & MOD_KEY_ARRAY) {
      if (v.tag != VAL_LIST) {
        val *one = arena_alloc(r->cx->a, sizeof *one);
        if (!one) return HDW_E_NOMEM;
        *one = v;
        v = (val){.tag = VAL_LIST, .len = v.tag != VAL_EMPTY, .u.v = one};
      }
      v.flags |= VALF_ARRAY;
    } else if (v.tag == VAL_EMPTY) {
      v.tag = VAL_NULL;
    }
    kv[n * 2] = r->m->consts[k->name];
    if (kv[n * 2].len && kv[n * 2].u.s[0] == '_') flags = VALF_UNDERSCORE;
    kv[n * 2 + 1] = v;
    n++;
  }
  *out = (val){.tag = VAL_OBJ, .flags = flags, .len = n, .u.v = kv};
  return HDW_OK;
}

/* A payload field or typed load: every item converted to the declared type, the number of items within bounds. */
static hdw_status check(vm_run *r, const mod_check *c, val v, val *out) {
  vm_cx *cx = r->cx;
  uint32_t tn, wn, sn;
  const char *type = mod_text(r->m, c->type, &tn), *what = mod_text(r->m, c->what, &wn), *src = mod_text(r->m, c->source, &sn);
  if (c->max == 1 && v.tag == VAL_LIST && v.u.v[0].tag == VAL_HL7) v = v.u.v[0]; /* a maximum of 1 is never trusted in HL7 v2: first repetition */
  uint32_t n = val_count(v), got = 0;
  val_builder b = {0};
  val one = VAL_NONE;
  for (uint32_t i = 0; i < n; i++) {
    val x;
    hdw_status s = r->host->convert ? r->host->convert(cx, val_item(v, i), type, tn, &x) : (x = val_item(v, i), HDW_OK);
    if (s == HDW_E_DATA || s == HDW_E_TYPE)
      return vm_fail(cx, HDW_E_DATA, "%.*s: the value is no %.*s (from %.*s)", (int)wn, what, (int)tn, type, (int)sn, src);
    if (s) return s;
    if (x.tag == VAL_EMPTY) continue;
    got++;
    if (n == 1) one = x;
    else if ((s = val_push(cx->a, &b, x))) return s;
  }
  if (got < c->min || (c->max != MOD_MANY && got > c->max))
    return vm_fail(cx, HDW_E_DATA, "%.*s: %s%u value%s expected, %u found (from %.*s)", (int)wn, what, got < c->min && c->max != c->min ? "at least " : got > c->max ? "at most " : "",
                   got < c->min ? c->min : c->max, (got < c->min ? c->min : c->max) == 1 ? "" : "s", got, (int)sn, src);
  *out = n == 1 ? one : val_build(&b);
  return HDW_OK;
}

/* Writes the journal key of effect site `site`: "3.7[12].1". */
static hdw_status write_path(vm_run *r, uint32_t site) {
  size_t n = 0, cap = sizeof r->request.path;
  for (uint32_t i = 0; i < r->npath; i++) {
    int k = r->path[i].index < 0 ? snprintf(r->request.path + n, cap - n, "%u.", r->path[i].site)
                                 : snprintf(r->request.path + n, cap - n, "%u[%lld].", r->path[i].site, (long long)r->path[i].index);
    n += (size_t)k;
    if (n >= cap) return vm_fail(r->cx, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal");
  }
  n += (size_t)snprintf(r->request.path + n, cap - n, "%u", site);
  return n < cap ? HDW_OK : vm_fail(r->cx, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal");
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

void vm_resume(vm_run *r, val result) {
  vm_frame *f = &r->frames[r->nframes - 1];
  uint32_t ins = r->m->code[f->pc - 1];
  r->regs[f->base + ((ins >> 8) & 255)] = result;
}

bool vm_resume_error(vm_run *r, val error) {
  if (!r->ntries) return false;
  vm_try t = r->tries[--r->ntries];
  r->nframes = t.frame + 1;
  vm_frame *f = &r->frames[t.frame];
  f->pc = t.pc;
  r->npath = t.path;
  r->regs[f->base + t.reg] = error;
  return true;
}

#define A ((ins >> 8) & 255)
#define B ((ins >> 16) & 255)
#define C (ins >> 24)
#define BX (ins >> 16)
#define SBX ((int32_t)(int16_t)(ins >> 16))
#define FAIL(s) do { st = (s); goto fail; } while (0)
#define TRYTO(e) do { hdw_status s_ = (e); if (s_) FAIL(s_); } while (0)
#define TICK(units) do { if ((cx->fuel -= (units)) < 0) FAIL(HDW_E_FUEL); if (r->slice && --r->slice == 0) goto out_of_slice; } while (0)
#define ARITH(op, expr)                                                                                       \
  do {                                                                                                        \
    val x = R[B], y = R[C];                                                                                   \
    if (is_whole(x) && is_whole(y)) { __int128 p = x.u.i, q = y.u.i; R[A] = whole(x.tag > y.tag ? x.tag : y.tag, expr); } \
    else { val v_; TRYTO(slow_op(r, op, x, y, &v_)); R[A] = v_; }                                              \
  } while (0)
#define COMPARE(op, cmp)                                                                                      \
  do {                                                                                                        \
    val x = R[B], y = R[C];                                                                                   \
    if (is_whole(x) && is_whole(y)) R[A] = val_bool(x.u.i cmp y.u.i);                                         \
    else { val v_; TRYTO(slow_op(r, op, x, y, &v_)); R[A] = v_; }                                              \
  } while (0)

/* The interpreter loop: long because every instruction is a case of its one switch. */
vm_state vm_go(vm_run *r) {
  const module *const m = r->m;
  const uint32_t *const code = m->code;
  const val *const K = m->consts;
  vm_cx *const cx = r->cx;
  vm_frame *f = &r->frames[r->nframes - 1];
  const uint32_t *ip = code + f->pc;
  val *R = r->regs + f->base;
  hdw_status st = HDW_OK;
  for (;;) {
    uint32_t ins = *ip++;
    switch ((vm_op)(ins & 255)) {
      case OP_NOP: break;
      case OP_MOVE: R[A] = R[B]; break;
      case OP_LOADK: R[A] = K[BX]; break;
      case OP_LOADI: R[A] = val_int(SBX); break;
      case OP_LOADB: R[A] = val_bool(B == 1); break;
      case OP_EMPTY: R[A] = VAL_NONE; break;
      case OP_MEMBER: {
        val v;
        TRYTO(member(cx, R[B], K[*ip++], &v));
        R[A] = v;
        break;
      }
      case OP_INDEX: {
        val i = R[C], v = R[B];
        if (i.tag == VAL_EMPTY) R[A] = VAL_NONE;
        else if (!is_whole(i)) FAIL(vm_fail(cx, HDW_E_TYPE, "an index is a whole number"));
        else R[A] = i.u.i >= 0 && i.u.i < (int64_t)val_count(v) ? val_item(v, (uint32_t)i.u.i) : VAL_NONE;
        break;
      }
      case OP_ADD: ARITH(OP_ADD, p + q); break;
      case OP_SUB: ARITH(OP_SUB, p - q); break;
      case OP_MUL: ARITH(OP_MUL, p * q); break;
      case OP_DIV: { val v; TRYTO(slow_op(r, OP_DIV, R[B], R[C], &v)); R[A] = v; break; }
      case OP_IDIV:
      case OP_MOD: {
        val x = R[B], y = R[C];
        if (is_whole(x) && is_whole(y)) {
          uint8_t tag = x.tag > y.tag ? x.tag : y.tag;
          if (y.u.i == 0) R[A] = VAL_NONE;
          else if (y.u.i == -1) R[A] = whole(tag, (ins & 255) == OP_IDIV ? -(__int128)x.u.i : 0);
          else R[A] = whole(tag, (ins & 255) == OP_IDIV ? x.u.i / y.u.i : x.u.i % y.u.i);
        } else { val v; TRYTO(slow_op(r, (vm_op)(ins & 255), x, y, &v)); R[A] = v; }
        break;
      }
      case OP_CONCAT: { val v; TRYTO(slow_op(r, OP_CONCAT, R[B], R[C], &v)); R[A] = v; break; }
      case OP_NEG: {
        val x = R[B];
        if (is_whole(x)) R[A] = whole(x.tag, -(__int128)x.u.i);
        else { val v; TRYTO(slow_op(r, OP_NEG, x, VAL_NONE, &v)); R[A] = v; }
        break;
      }
      case OP_EQ: COMPARE(OP_EQ, ==); break;
      case OP_NE: COMPARE(OP_NE, !=); break;
      case OP_LT: COMPARE(OP_LT, <); break;
      case OP_LE: COMPARE(OP_LE, <=); break;
      case OP_GT: COMPARE(OP_GT, >); break;
      case OP_GE: COMPARE(OP_GE, >=); break;
      case OP_EQV: case OP_NEQV: case OP_IN: case OP_HAS: case OP_UNION: {
        val v;
        TRYTO(slow_op(r, (vm_op)(ins & 255), R[B], R[C], &v));
        R[A] = v;
        break;
      }
      case OP_AND: case OP_OR: case OP_XOR: case OP_IMPLIES: {
        int x = truth(R[B]), y = truth(R[C]), z;
        if (x == -2) FAIL(not_single(cx, R[B]));
        if (y == -2) FAIL(not_single(cx, R[C]));
        switch ((vm_op)(ins & 255)) {
          case OP_AND: z = x == 0 || y == 0 ? 0 : x == 1 && y == 1 ? 1 : -1; break;
          case OP_OR: z = x == 1 || y == 1 ? 1 : x == 0 && y == 0 ? 0 : -1; break;
          case OP_XOR: z = x < 0 || y < 0 ? -1 : x ^ y; break;
          default: z = x == 0 || y == 1 ? 1 : x == 1 && y == 0 ? 0 : -1; break;
        }
        R[A] = z < 0 ? VAL_NONE : val_bool(z);
        break;
      }
      case OP_NOT: {
        int x = truth(R[B]);
        if (x == -2) FAIL(not_single(cx, R[B]));
        R[A] = x < 0 ? VAL_NONE : val_bool(!x);
        break;
      }
      case OP_JMP: {
        int32_t d = SBX;
        if (d < 0) TICK(1);
        ip += d;
        break;
      }
      case OP_JMPT: case OP_JMPN: case OP_JMPF: {
        int x = truth(R[A]);
        if (x == -2) FAIL(not_single(cx, R[A]));
        uint32_t op = ins & 255;
        if (op == OP_JMPT ? x == 1 : op == OP_JMPN ? x != 1 : x == 0) { if (SBX < 0) TICK(1); ip += SBX; }
        break;
      }
      case OP_JMPE:
        if (R[A].tag == VAL_EMPTY) { if (SBX < 0) TICK(1); ip += SBX; }
        break;
      case OP_ITER: {
        val v = R[B];
        R[A] = v;
        R[A + 1] = val_int(0);
        break;
      }
      case OP_NEXT: {
        val *it = &R[A];
        TICK(1);
        int64_t i = it[1].u.i;
        if (it[1].tag != VAL_INT || i < 0 || i >= (int64_t)val_count(it[0])) { ip += SBX; break; }
        it[2] = val_item(it[0], (uint32_t)i);
        it[3] = it[1];
        it[1].u.i = i + 1;
        break;
      }
      case OP_RANGE: {
        val *it = &R[A];
        TICK(1);
        if (!is_whole(it[0]) || !is_whole(it[1]) || it[0].u.i > it[1].u.i || it[0].u.i == INT64_MAX) { ip += SBX; break; }
        it[2] = it[0];
        if (it[3].tag == VAL_INT) it[3].u.i++; else it[3] = val_int(0);
        it[0].u.i++;
        break;
      }
      case OP_NEWB: {
        val_builder *b = arena_zalloc(cx->a, 1, sizeof *b);
        if (!b) FAIL(HDW_E_NOMEM);
        R[A] = (val){.tag = VAL_BUILDER, .u.p = b};
        break;
      }
      case OP_PUSH: {
        if (R[A].tag != VAL_BUILDER) FAIL(vm_fail(cx, HDW_E_TYPE, "no builder"));
        cx->fuel -= val_count(R[B]);
        TRYTO(val_push(cx->a, (val_builder *)(uintptr_t)R[A].u.p, R[B]));
        break;
      }
      case OP_BUILD: {
        if (R[B].tag != VAL_BUILDER) FAIL(vm_fail(cx, HDW_E_TYPE, "no builder"));
        val_builder b = *(const val_builder *)R[B].u.p;
        R[A] = val_build(&b);
        break;
      }
      case OP_LIST: {
        val_builder b = {0};
        for (uint32_t i = 0; i < C; i++) TRYTO(val_push(cx->a, &b, R[B + i]));
        R[A] = val_build(&b);
        break;
      }
      case OP_TPL: {
        val *v = arena_alloc(cx->a, C * sizeof *v);
        if (!v) FAIL(HDW_E_NOMEM);
        memcpy(v, &R[B], C * sizeof *v);
        R[A] = (val){.tag = VAL_TPL, .len = C, .u.v = v};
        break;
      }
      case OP_TEXT: {
        val v = R[B];
        if (v.tag == VAL_TPL) TRYTO(slow_op(r, OP_TEXT, R[B], VAL_NONE, &v));
        R[A] = v;
        break;
      }
      case OP_OBJ: {
        val v;
        TRYTO(make_object(r, &m->shapes[*ip++], &R[B], &v));
        R[A] = v;
        break;
      }
      case OP_CHECK: {
        val v;
        TRYTO(check(r, &m->checks[*ip++], R[A], &v));
        R[A] = v;
        break;
      }
      case OP_CALL: {
        TICK(1);
        const mod_func *g = &m->funcs[BX];
        if (r->nframes == VM_MAX_FRAMES) FAIL(vm_fail(cx, HDW_E_LIMIT, "calls are nested more than %d deep", VM_MAX_FRAMES));
        uint32_t base = f->base + A;
        f->pc = (uint32_t)(ip - code);
        TRYTO(window(r, base, g->regs));
        R = r->regs + base;
        memset(R + g->params, 0, (size_t)(g->regs - g->params) * sizeof *R);
        f = &r->frames[r->nframes++];
        *f = (vm_frame){.func = BX, .pc = g->code, .base = base, .ret = 0};
        ip = code + g->code;
        break;
      }
      case OP_NATIVE: {
        TICK(1);
        val v = VAL_NONE;
        TRYTO(r->bound[BX](cx, &R[A], m->natives[BX].nargs, &v));
        R[A] = v;
        break;
      }
      case OP_NATIVEK: {
        TICK(1);
        uint32_t x = *ip++;
        val v = VAL_NONE, args[2] = {R[B], K[x >> 16]};
        TRYTO(r->bound[x & 0xffff](cx, args, 2, &v));
        R[A] = v;
        break;
      }
      case OP_RET: {
        val v = R[A];
        while (r->ntries && r->tries[r->ntries - 1].frame == r->nframes - 1) r->ntries--;
        r->nframes--;
        if (!r->nframes) {
          r->result = v;
          return VM_DONE;
        }
        R[0] = v; /* the callee's first register is the caller's R[a] */
        f = &r->frames[r->nframes - 1];
        R = r->regs + f->base;
        ip = code + f->pc;
        break;
      }
      case OP_GATE:
        if (r->is_gate) { r->gate_reached = true; return VM_DONE; }
        break;
      case OP_LANE: {
        val v = R[A];
        for (uint32_t i = 0; i < val_count(v); i++) {
          if (r->nlanes == VM_MAX_LANES) FAIL(vm_fail(cx, HDW_E_LIMIT, "more than %d lane keys", VM_MAX_LANES));
          r->lanes[r->nlanes++] = val_item(v, i);
        }
        break;
      }
      case OP_ONCE:
        r->once_key = R[A];
        r->once_within = R[B];
        break;
      case OP_EFFECT: {
        f->pc = (uint32_t)(ip - code);
        r->request.effect = &m->effects[BX];
        r->request.effect_index = BX;
        r->request.args = &R[A];
        if (r->is_gate) FAIL(vm_fail(cx, HDW_E_DENIED, "an effect inside the gate"));
        TRYTO(write_path(r, r->request.effect->site));
        return VM_AWAIT;
      }
      case OP_TRY:
        if (r->ntries == VM_MAX_TRIES) FAIL(vm_fail(cx, HDW_E_LIMIT, "error handlers are nested more than %d deep", VM_MAX_TRIES));
        r->tries[r->ntries++] = (vm_try){.frame = r->nframes - 1, .pc = (uint32_t)(ip - code + SBX), .path = r->npath, .reg = (uint8_t)A};
        break;
      case OP_ENDTRY:
        if (r->ntries && r->tries[r->ntries - 1].frame == r->nframes - 1) r->ntries--;
        break;
      case OP_RAISE: {
        val e = R[A];
        f->pc = (uint32_t)(ip - code);
        if (!vm_resume_error(r, e)) {
          r->result = e;
          FAIL(vm_fail(cx, HDW_E_IO, "an error of a step was not handled"));
        }
        f = &r->frames[r->nframes - 1];
        R = r->regs + f->base;
        ip = code + f->pc;
        break;
      }
      case OP_PPUSH:
        if (r->npath == VM_MAX_PATH) FAIL(vm_fail(cx, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal"));
        r->path[r->npath++] = (vm_path){.site = BX, .index = -1};
        break;
      case OP_PINDEX:
        if (!r->npath || R[A].tag != VAL_INT) FAIL(vm_fail(cx, HDW_E_TYPE, "no loop index"));
        r->path[r->npath - 1].index = R[A].u.i;
        break;
      case OP_PPOP:
        if (r->npath) r->npath--;
        break;
      case OP_OUTCOME:
        r->outcome = (vm_outcome)BX;
        r->outcome_args[0] = R[A];
        r->outcome_args[1] = R[A + 1];
        return VM_DONE;
      case OP_COUNT: FAIL(HDW_E_CORRUPT);
    }
  }
out_of_slice:
  f->pc = (uint32_t)(ip - 1 - code);
  return VM_OUT_OF_SLICE;
fail:
  f->pc = (uint32_t)(ip - code);
  return failed(r, st, (uint32_t)(ip - 1 - code));
}
