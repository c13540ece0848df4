/* vm_both.h - one function of a module in the machine and in the slow machine (vm_slow.h), with the same arguments and results from outside: they must end alike, with
 * the same value, fault, fuel and requests. */
#ifndef HDW_VM_BOTH_H
#define HDW_VM_BOTH_H
#include <stdio.h>
#include <stdlib.h>
#include "host.h"
#include "model.h"
#include "vm_pool.h"
#include "vm_slow.h"

enum { BOTH_FUEL = 4000, BOTH_TURNS = 40, BOTH_MEMORY = 8 << 20, BOTH_WHY = 800, BOTH_BLOCKS = 64 };

/* Blocks that the slow machine gave back: asked for again at once, thousands of times a second. The arena poisons what is free in them. */
typedef struct both_blocks {
  mem m;
  struct { void *p; size_t n; } kept[BOTH_BLOCKS];
} both_blocks;

typedef struct both {
  mem m;
  both_blocks slow_m;
  arena keep, fast_a, slow_a;
  vm_pool pool;
  vm_run *fast;
  slow *slow;
  uint64_t seed;
  uint64_t runs, steps, compared, open, done, failed, asked, out_of_fuel;
  char why[BOTH_WHY];
} both;

static inline void *both_get(mem *m, size_t n) { return (void)m, malloc(n); }
static inline void both_put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

static inline void *both_again(mem *m, size_t n) {
  both_blocks *b = (both_blocks *)m;
  for (int i = 0; i < BOTH_BLOCKS; i++)
    if (b->kept[i].p && b->kept[i].n == n) {
      void *p = b->kept[i].p;
      b->kept[i].p = NULL;
      return p;
    }
  return malloc(n);
}
static inline void both_keep(mem *m, void *p, size_t n) {
  both_blocks *b = (both_blocks *)m;
  for (int i = 0; i < BOTH_BLOCKS; i++)
    if (!b->kept[i].p) {
      b->kept[i].p = p;
      b->kept[i].n = n;
      return;
    }
  free(p);
}

static inline void both_init(both *b) {
  memset(b, 0, sizeof *b);
  b->m = (mem){both_get, both_put, NULL};
  arena_init(&b->keep, &b->m, 0);
  arena_init(&b->fast_a, &b->m, BOTH_MEMORY);
  b->slow_m.m = (mem){both_again, both_keep, NULL};
  arena_init(&b->slow_a, &b->slow_m.m, 512 << 20);
  pool_fill(&b->pool, &b->keep);
  b->fast = malloc(sizeof *b->fast);
  b->slow = malloc(sizeof *b->slow);
}

static inline void both_free(both *b) {
  arena_free(&b->fast_a);
  arena_free(&b->slow_a);
  arena_free(&b->keep);
  for (int i = 0; i < BOTH_BLOCKS; i++) free(b->slow_m.kept[i].p);
  free(b->fast);
  free(b->slow);
}

static inline uint64_t both_draw(both *b) {
  b->seed = b->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return b->seed >> 33;
}
/* No builder: a run that appends to one would change it for the other. */
static inline val both_any(both *b) {
  val v;
  do v = b->pool.v[both_draw(b) % b->pool.n];
  while (v.tag == VAL_BUILDER);
  return v;
}

/* Equal to the last digit and flag. What is nested deeper than 40, or wider than can be looked at, passes. */
static inline bool both_same(val x, val y, int depth, int *budget) {
  if (--*budget < 0 || depth > 40) return true;
  if (x.tag != y.tag || x.flags != y.flags) return false;
  switch (x.tag) {
    case VAL_STR: case VAL_NUM: case VAL_BIN: return x.len == y.len && (x.len == 0 || memcmp(x.u.s, y.u.s, x.len) == 0);
    case VAL_LIST: case VAL_TPL: case VAL_OBJ: {
      if (x.len != y.len || x.aux != y.aux) return false;
      uint32_t n = x.tag == VAL_OBJ ? 2 * x.len : x.len;
      for (uint32_t i = 0; i < n && x.u.v != y.u.v; i++)
        if (!both_same(x.u.v[i], y.u.v[i], depth + 1, budget)) return false;
      return true;
    }
    case VAL_QTY: {
      const val_quantity *p = x.u.p, *q = y.u.p;
      return p->value.coef == q->value.coef && p->value.scale == q->value.scale && p->unit_len == q->unit_len && memcmp(p->unit, q->unit, p->unit_len) == 0;
    }
    case VAL_BUILDER: { const val_builder *p = x.u.p, *q = y.u.p; return p->len == q->len; }
    case VAL_HL7: return true;
    case VAL_EMPTY: case VAL_NULL: return true;
    case VAL_DEC: if (x.flags & VALF_BIG) { dec p = val_get_dec(x), q = val_get_dec(y); return p.coef == q.coef && p.scale == q.scale; } /* fallthrough */
    default: return x.u.i == y.u.i && x.len == y.len && x.aux == y.aux;
  }
}
static inline bool both_equal(val x, val y) { int budget = 20000; return both_same(x, y, 0, &budget); }

static inline const char *both_differ(both *b, const char *what, long long x, long long y) {
  snprintf(b->why, sizeof b->why, "%s: machine %lld, slow machine %lld; faults '%s' and '%s'", what, x, y, b->fast->cx->err.text, b->slow->cx->err.text);
  return b->why;
}

/* NULL, or how they differ. */
static inline const char *both_ends(both *b, vm_state x, slow_state y, vm_cx *fc, vm_cx *sc) {
  static const int as[] = {SLOW_DONE, SLOW_FAILED, SLOW_AWAIT, SLOW_FUEL, SLOW_MEMORY, -1, SLOW_WAITING};
  if (as[x] != (int)y) return both_differ(b, "ends", as[x], y);
  if (x == VM_OUT_OF_FUEL) { b->out_of_fuel++; return NULL; }
  if (fc->fuel != sc->fuel) return both_differ(b, "fuel", fc->fuel, sc->fuel);
  if (x == VM_WAITING) return NULL;
  if (x == VM_FAILED) {
    b->failed++;
    if (fc->err.status != sc->err.status || strcmp(fc->err.text, sc->err.text) != 0) return both_differ(b, "fault", fc->err.status, sc->err.status);
    return NULL;
  }
  b->done++;
  slow_thread *t = b->slow->threads[0];
  if ((uint32_t)b->fast->outcome != t->outcome) return both_differ(b, "outcome", b->fast->outcome, t->outcome);
  if (b->fast->outcome ? !both_equal(b->fast->outcome_args[0], t->args[0]) || !both_equal(b->fast->outcome_args[1], t->args[1]) : !both_equal(b->fast->result, t->result))
    return both_differ(b, "result", b->fast->result.tag, t->result.tag);
  if (b->fast->gate_reached != b->slow->gate_reached) return both_differ(b, "gate", b->fast->gate_reached, b->slow->gate_reached);
  if (b->fast->nlanes != t->nlanes) return both_differ(b, "lanes", b->fast->nlanes, t->nlanes);
  for (uint32_t i = 0; i < b->fast->nlanes; i++)
    if (!both_equal(b->fast->lanes[i], t->lanes[i])) return both_differ(b, "lane", i, i);
  if (!both_equal(b->fast->once_key, t->once[0]) || !both_equal(b->fast->once_within, t->once[1])) return both_differ(b, "once-key", 0, 0);
  return NULL;
}

typedef struct both_ask { vm_run *fast; slow_thread *slow; } both_ask;

/* Runs function fn in both; slices: the machine is interrupted now and then. NULL, or how they differ (b->why). */
static inline const char *both_run(both *b, const module *m, const vm_native *bound, uint32_t fn, bool slices) {
  enum { ASKS_MAX = 64 };
  val args[SLOW_REGS];
  uint32_t n = m->funcs[fn].params, nasks = 0;
  both_ask asks[ASKS_MAX];
  const char *why = NULL;
  for (uint32_t i = 0; i < n; i++) args[i] = both_any(b);
  vm_cx fc = {.a = &b->fast_a, .fuel = BOTH_FUEL, .model = &hdw_model, .now_us = INT64_C(1700000000000000), .seed = 5}, sc = fc;
  sc.a = &b->slow_a;
  b->runs++;
  bool ok = vm_start(b->fast, m, host_get(), bound, &fc, fn, args, n) == HDW_OK && slow_start(b->slow, m, host_get(), bound, &sc, fn, args, n);
  b->fast->is_gate = b->slow->is_gate = both_draw(b) % 8 == 0;
  b->fast->copies = both_draw(b) % 2;
  for (int turn = 0; ok && turn < BOTH_TURNS && !why; turn++) {
    vm_state x;
    do {
      b->fast->slice = slices ? 1 + (int64_t)(both_draw(b) % 60) : 0;
      x = vm_go(b->fast);
    } while (x == VM_OUT_OF_SLICE);
    if (x == VM_OUT_OF_MEMORY) break;
    slow_state y = slow_go(b->slow);
    if (y == SLOW_OPEN) { b->open++; break; }
    if (y == SLOW_BROKEN) { snprintf(b->why, sizeof b->why, "a promise is broken: %s", b->slow->broken); why = b->why; break; }
    if (x == VM_AWAIT && y == SLOW_AWAIT) {
      const vm_request *q = &b->fast->request.branch->request;
      slow_thread *t = b->slow->asking;
      b->asked++;
      if (fc.fuel != sc.fuel) why = both_differ(b, "fuel", fc.fuel, sc.fuel);
      else if (q->effect_index != t->effect || strcmp(q->path, t->place) != 0) why = both_differ(b, "request", q->effect_index, t->effect);
      for (uint32_t i = 0; i < q->effect->nargs && !why; i++)
        if (!both_equal(q->args[i], slow_argument(b->slow, i))) why = both_differ(b, "argument", i, i);
      if (why || nasks == ASKS_MAX) break;
      asks[nasks++] = (both_ask){b->fast->request.branch, t};
      if (asks[nasks - 1].fast != b->fast && both_draw(b) % 2) continue; /* others may go on first */
    } else if (x == VM_WAITING && y == SLOW_WAITING && nasks) {
    } else {
      b->compared++;
      why = both_ends(b, x, y, &fc, &sc);
      break;
    }
    uint32_t i = (uint32_t)(both_draw(b) % nasks);
    both_ask k = asks[i];
    asks[i] = asks[--nasks];
    val v = both_any(b);
    if (both_draw(b) % 4) { vm_resume_branch(k.fast, v); slow_resume(k.slow, v); continue; }
    bool hx = vm_handles(k.fast), hy = slow_handles(k.slow);
    if (hx != hy) why = both_differ(b, "handles", hx, hy);
    else if (!hx) break;
    else if ((hx = vm_throw(k.fast, v)) != (hy = slow_throw(b->slow, k.slow, v))) why = both_differ(b, "throws", hx, hy);
    else if (!hx) break;
  }
  b->steps += b->slow->steps;
  arena_reset(&b->fast_a);
  arena_reset(&b->slow_a);
  return why;
}

#endif
