/* vm_drive.h - runs everything that is in a module whose bytes may have been changed in any way: what the loader and the verifier accept must run,
 * with arguments of every kind, without harm. Shared by test_module and fuzz_module. */
#ifndef HDW_VM_DRIVE_H
#define HDW_VM_DRIVE_H
#include <stdlib.h>
#include "host.h"
#include "model.h"
#include "vm_pool.h"

typedef struct vm_drive {
  mem m;
  size_t live_bytes;
  arena keep, code, work;
  vm_pool pool;
  vm_run *run;
  uint64_t seed;
  uint64_t loaded, verified, done; /* how far modules came */
} vm_drive;

static inline void *drive_get(mem *m, size_t n) { ((vm_drive *)m->user)->live_bytes += n; return malloc(n); }
static inline void drive_put(mem *m, void *p, size_t n) { ((vm_drive *)m->user)->live_bytes -= n; free(p); }

static inline void drive_init(vm_drive *d) {
  memset(d, 0, sizeof *d);
  d->m = (mem){drive_get, drive_put, d};
  arena_init(&d->keep, &d->m, 0);
  arena_init(&d->code, &d->m, 32 << 20);
  arena_init(&d->work, &d->m, 4 << 20);
  pool_fill(&d->pool, &d->keep);
  d->run = malloc(sizeof *d->run);
}

static inline void drive_free(vm_drive *d) {
  arena_free(&d->work);
  arena_free(&d->code);
  arena_free(&d->keep);
  free(d->run);
}

static inline val drive_any(vm_drive *d) {
  d->seed = d->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return d->pool.v[(d->seed >> 33) % d->pool.n];
}

static inline void drive_func(vm_drive *d, const module *m, const vm_native *bound, uint32_t fn) {
  val args[256];
  uint32_t n = m->funcs[fn].params;
  for (uint32_t i = 0; i < n; i++) args[i] = drive_any(d);
  vm_cx cx = {.a = &d->work, .fuel = 3000, .model = &hdw_model, .now_us = INT64_C(1700000000000000)};
  if (vm_start(d->run, m, host_get(), bound, &cx, fn, args, n) == HDW_OK) {
    for (int turn = 0; turn < 12; turn++) {
      d->run->slice = turn % 3 ? 40 : 0;
      vm_state s = vm_go(d->run);
      if (s == VM_OUT_OF_SLICE) continue;
      if (s == VM_DONE) { d->done++; const char *w = pool_wrong(d->run->result); if (w) abort(); }
      if (s != VM_AWAIT) break;
      for (uint32_t i = 0; i < d->run->request.effect->nargs; i++)
        if (d->run->request.args[i].tag >= VAL_TAG_COUNT) abort();
      if (turn % 4 != 3) vm_resume(d->run, drive_any(d));
      else if (!vm_resume_error(d->run, drive_any(d))) break;
    }
  }
  arena_free(&d->work);
}

/* bytes are 8-byte aligned. */
static inline void drive_module(vm_drive *d, const uint8_t *bytes, size_t len) {
  module m;
  mod_error e;
  const vm_native *bound;
  if (mod_load(&d->code, bytes, len, &m, &e) == HDW_OK) {
    d->loaded++;
    if (mod_verify(&d->code, &m, &e) == HDW_OK) {
      d->verified++;
      buf b;
      buf_init(&b, &d->code, 1 << 20);
      mod_disasm(&m, &b);
      if (vm_bind(&d->code, &m, host_get(), &bound, &e) == HDW_OK)
        for (uint32_t i = 0; i < m.nfuncs && i < 64; i++) drive_func(d, &m, bound, i);
    }
  }
  arena_free(&d->code);
}

#endif
