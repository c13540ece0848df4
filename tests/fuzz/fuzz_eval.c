/* Expressions through compiler, loader, verifier and machine: whatever compiles is accepted by the verifier, gives the same bytes when it is compiled again,
 * and runs within fuel and memory. The first byte chooses model and strictness. */
#include <stdlib.h>
#include "compiler.h"
#include "host.h"
#include "model.h"
#include "vm_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static mem heap = {get, put, NULL};

static void run(arena *a, const comp_result *c, val input) {
  module m;
  mod_error e;
  const vm_native *bound;
  static vm_run r;
  if (mod_load(a, c->bytes, c->len_bytes, &m, &e) || mod_verify(a, &m, &e) || vm_bind(a, &m, host_get(), &bound, &e)) {
    if (e.status == HDW_E_NOMEM) return;
    abort();
  }
  vm_cx cx = {.a = a, .fuel = 20000, .model = &hdw_model, .now_us = INT64_C(1700000000000000)};
  if (vm_start(&r, &m, host_get(), bound, &cx, mod_find(&m, "main"), &input, 1)) return;
  vm_state s = vm_go(&r);
  if (s == VM_DONE && pool_wrong(r.result)) abort();
  if (s == VM_AWAIT || s == VM_OUT_OF_SLICE || (s == VM_FAILED && !cx.err.status)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static arena keep;
  static vm_pool pool;
  if (!pool.n) {
    arena_init(&keep, &heap, 0);
    pool_fill(&pool, &keep);
  }
  if (size < 2 || size > 2000) return 0;
  arena a;
  arena_init(&a, &heap, 32 << 20);
  comp_model model = (comp_model)(data[0] % 3);
  bool strict = data[0] & 4;
  char *text = malloc(size - 1);
  memcpy(text, data + 1, size - 1);
  diag_list d, d2;
  comp_result c, again;
  diag_init(&d, &a);
  diag_init(&d2, &a);
  if (comp_expr(&a, text, size - 1, model, NULL, strict, &d, &c) == HDW_OK && c.bytes) {
    if (comp_expr(&a, text, size - 1, model, NULL, strict, &d2, &again) == HDW_OK && again.bytes && (c.len_bytes != again.len_bytes || memcmp(c.bytes, again.bytes, c.len_bytes) != 0)) abort();
    run(&a, &c, pool.v[(data[0] >> 3) * 3 % pool.n]);
  }
  free(text);
  arena_free(&a);
  return 0;
}
