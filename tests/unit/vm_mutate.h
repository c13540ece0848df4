/* vm_mutate.h - generated programs (vm_gen.h) and changes to them, each judged by the loader and the verifier and, when it passes, run in both machines (vm_both.h). */
#ifndef HDW_VM_MUTATE_H
#define HDW_VM_MUTATE_H
#include "vm_both.h"
#include "vm_gen.h"

typedef struct mutants {
  both b;
  arena a;
  uint64_t loaded, verified, judged;
  uint64_t base;             /* whose program was changed last: */
  uint8_t *bytes;
  size_t len;
  char why[BOTH_WHY + 100];
  bool show;                 /* print what is run */
} mutants;

static inline void mutants_init(mutants *x) {
  memset(x, 0, sizeof *x);
  both_init(&x->b);
  arena_init(&x->a, &x->b.m, 64 << 20);
}

static inline void mutants_free(mutants *x) {
  free(x->bytes);
  arena_free(&x->a);
  both_free(&x->b);
}

/* Loads, verifies, runs: true when something is wrong. must: it has to pass. */
static inline bool mutants_judge(mutants *x, const uint8_t *bytes, size_t len, bool must) {
  module m;
  mod_error e;
  const vm_native *bound;
  x->judged++;
  if (mod_load(&x->a, bytes, len, &m, &e)) return must ? snprintf(x->why, sizeof x->why, "does not load: %s", e.text) > 0 : false;
  x->loaded++;
  if (mod_verify(&x->a, &m, &e)) return must ? snprintf(x->why, sizeof x->why, "is not verified: %s", e.text) > 0 : false;
  x->verified++;
  if (vm_bind(&x->a, &m, host_get(), &bound, &e)) return must ? snprintf(x->why, sizeof x->why, "does not bind: %s", e.text) > 0 : false;
  if (x->show) {
    buf t;
    buf_init(&t, &x->a, 1 << 20);
    mod_disasm(&m, &t);
    printf("%.*s\n", (int)t.len, t.p);
  }
  for (uint32_t i = 0; i < m.nfuncs && i < GEN_FUNCS; i++) {
    const char *why = both_run(&x->b, &m, bound, i, x->b.runs % 3 == 0);
    if (why) return snprintf(x->why, sizeof x->why, "function %u: %s", i, why) > 0;
  }
  return false;
}

static inline bool mutants_program(mutants *x, uint64_t seed) {
  uint8_t *bytes;
  size_t len;
  x->b.seed = seed;
  hdw_status s = gen_program(&x->a, seed, &bytes, &len);
  bool bad = s ? snprintf(x->why, sizeof x->why, "cannot be made: %d", s) > 0 : mutants_judge(x, bytes, len, true);
  arena_reset(&x->a);
  return bad;
}

static inline uint32_t mutants_get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* One word of the code: another operation, an operand a little off or taken from elsewhere. */
static inline void mutants_word(uint8_t *p, uint32_t words, uint64_t r) {
  uint8_t *w = p + 4 * (r % words), *other = p + 4 * ((r >> 10) % words);
  switch (r >> 24 & 7) {
    case 0: w[0] = (uint8_t)((r >> 32) % (OP_COUNT + 1)); break;
    case 1: w[1 + (r >> 32) % 3] = (uint8_t)(w[1 + (r >> 32) % 3] + 1); break;
    case 2: w[1 + (r >> 32) % 3] = (uint8_t)(w[1 + (r >> 32) % 3] - 1); break;
    case 3: w[1 + (r >> 32) % 3] = (uint8_t)(r >> 40); break;
    case 4: memcpy(w, other, 4); break;
    case 5: memcpy(w + 2, other + 2, 2); break;
    case 6: w[1] = other[1 + (r >> 32) % 3]; break;
    default: memcpy(w, (uint8_t[]){OP_NOP, 0, 0, 0}, 4); break;
  }
}

/* A program of some seed, changed in one to four places: mostly its code, sometimes a table, a length, the header. */
static inline bool mutants_change(mutants *x, uint64_t seed) {
  uint8_t *bytes;
  size_t len;
  x->b.seed = seed ^ UINT64_C(0x5bd1e995);
  if (x->base != seed / 100 + 1) {
    x->base = seed / 100 + 1;
    free(x->bytes);
    x->bytes = NULL;
    if (gen_program(&x->a, x->base, &bytes, &len) == HDW_OK) x->bytes = memcpy(malloc(len), bytes, x->len = len);
    arena_reset(&x->a);
  }
  len = x->len;
  bytes = x->bytes ? arena_alloc(&x->a, len) : NULL;
  if (!bytes) return false;
  memcpy(bytes, x->bytes, len);
  both *b = &x->b;
  for (uint64_t n = 1 + both_draw(b) % 4; n; n--) {
    uint64_t kind = both_draw(b) % 16;
    uint32_t sec = kind < 11 ? MOD_CODE : (uint32_t)(both_draw(b) % MOD_META);
    uint8_t *t = bytes + MOD_HEADER_BYTES + sec * 12;
    uint32_t off = mutants_get32(t + 4), size = mutants_get32(t + 8);
    uint64_t r = both_draw(b) | both_draw(b) << 31;
    if (kind == 15) bytes[r % (MOD_HEADER_BYTES + MOD_SECTION_COUNT * 12)] ^= (uint8_t)(r >> 40);
    else if (off > len || size > len - off || size < 4) continue;
    else if (sec == MOD_CODE) mutants_word(bytes + off, size / 4, r);
    else if (kind % 2) bytes[off + r % size] = (uint8_t)(r >> 40);
    else bytes[off + r % size] ^= (uint8_t)(1u << (r >> 40 & 7));
  }
  bool bad = mutants_judge(x, bytes, len, false);
  arena_reset(&x->a);
  return bad;
}

#endif
