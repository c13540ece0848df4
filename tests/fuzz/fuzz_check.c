/* fuzz_check.c - the compiler on hostile programs, and single expressions (first byte: bit 0; bits 1-2 the model; bit 3 strict).
 *
 * Held for every text: it ends; with errors there are no bytes; without errors and later features there are some; what comes out loads, passes the
 * verifier and finds its natives; the same text gives the same bytes; checking and building agree on errors (both for one input in four); fixes can be applied. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "compiler.h"
#include "host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

static void *get(mem *m, size_t n) {
  (void)m;
  return malloc(n);
}

static void put(mem *m, void *p, size_t n) {
  (void)m;
  (void)n;
  free(p);
}

static void demand(bool holds) {
  if (!holds) abort();
}

static hdw_status load(void *user, const char *from, const char *name, comp_source *out) {
  static const char rows[] = "code,name\nA,Aetna\nB,Blue\n", names[] = "hdw 1\nfn other(s: string?): string? = s\n";
  (void)user;
  (void)from;
  size_t n = strlen(name);
  if (n > 4 && strcmp(name + n - 4, ".csv") == 0) *out = (comp_source){"t.csv", rows, sizeof rows - 1};
  else if (n > 2 && name[0] == 'l') *out = (comp_source){"lib.hdw", names, sizeof names - 1};
  else return HDW_E_NOTFOUND;
  return HDW_OK;
}

static void sound(arena *a, const comp_result *r) {
  module m;
  mod_error e;
  const vm_native *bound;
  demand(mod_load(a, r->bytes, r->len_bytes, &m, &e) == HDW_OK);
  demand(mod_verify(a, &m, &e) == HDW_OK);
  demand(vm_bind(a, &m, host_get(), &bound, &e) == HDW_OK);
  for (uint32_t i = 0; i < r->ntests; i++) demand(r->tests[i].func < m.nfuncs);
}

static void expression(arena *a, uint8_t how, const char *src, size_t len) {
  diag_list d;
  comp_result r;
  static const char *const roots[] = {NULL, "Patient", "ADT_A01", "Observation"};
  unsigned model = how >> 1 & 3;
  diag_init(&d, a);
  demand(comp_expr(a, src, len, model == 0 ? COMP_JSON : model == 2 ? COMP_HL7 : COMP_FHIR, roots[model], how & 8, &d, &r) == HDW_OK);
  demand(!d.errors == !!r.bytes);
  if (r.bytes) sound(a, &r);
}

static void program(arena *a, const char *src, size_t len) {
  comp_loader l = {load, NULL};
  comp_source s = {"t.hdw", src, len};
  diag_list checked, built;
  comp_result r, again;
  diag_init(&checked, a);
  demand(comp_program(a, &s, 1, &(comp_options){.loader = &l, .check_only = true, .tests = true}, &checked, &r) == HDW_OK);
  demand(!checked.errors == !!r.bytes);
  for (const diag *d = checked.first; d; d = d->next)
    for (const diag_fix *f = d->fixes; f; f = f->next) {
      size_t n;
      diag_apply(a, &checked, f, 0, &n);
    }
  if (r.bytes) sound(a, &r);
  uint32_t sum = (uint32_t)len;
  for (size_t i = 0; i < len; i++) sum = sum * 31 + (uint8_t)src[i];
  if (sum % 4) return; /* the second half of the work, for one in four */
  diag_init(&built, a);
  demand(comp_program(a, &s, 1, &(comp_options){.loader = &l, .tests = true}, &built, &again) == HDW_OK);
  demand(!built.errors == !!again.bytes);
  demand(!again.bytes || (again.len_bytes == r.len_bytes && memcmp(again.bytes, r.bytes, r.len_bytes) == 0));
  demand(again.bytes || !r.bytes || r.later);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > 1 << 15) return 0;
  mem m = {get, put, NULL};
  arena a;
  arena_init(&a, &m, 0);
  char *src = malloc(size - 1 ? size - 1 : 1);
  demand(src != NULL);
  memcpy(src, data + 1, size - 1); /* a block of its own: reads past its end are seen */
  if (data[0] & 1) expression(&a, data[0], src, size - 1); else program(&a, src, size - 1);
  free(src);
  arena_free(&a);
  return 0;
}

/* ---- mutations that keep the form of a program: words and lines change places, phrases come in */

static bool word_char(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; }

typedef struct piece { size_t at, len; } piece;

static piece word_near(const uint8_t *p, size_t n, size_t at) {
  while (at < n && !word_char(p[at])) at++;
  size_t from = at;
  while (from > 1 && word_char(p[from - 1])) from--;
  while (at < n && word_char(p[at])) at++;
  return (piece){from, at - from};
}

static piece line_near(const uint8_t *p, size_t n, size_t at) {
  size_t from = at, to = at;
  while (from > 1 && p[from - 1] != '\n') from--;
  while (to < n && p[to] != '\n') to++;
  return (piece){from, to < n ? to + 1 - from : to - from};
}

/* Replaces piece a of data by n bytes at text (a copy). */
static size_t replace(uint8_t *data, size_t size, size_t max, piece a, const uint8_t *text, size_t n) {
  uint8_t copy[4096];
  if (n > sizeof copy || size - a.len + n > max) return size;
  memcpy(copy, text, n);
  memmove(data + a.at + n, data + a.at + a.len, size - a.at - a.len);
  memcpy(data + a.at, copy, n);
  return size - a.len + n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  static const char *const phrases[] = {"msg.PID-3", ".first()", ".where($this = 1)", " | {}", " and ", "coalesce({}, 1)", "iif(true, 1, {})", "[0]", "$this", "$index", "%x", ".1", "\"a {1} b\"",
    "{ a: 1 }", "{}", "[1, 2]", "if true { skip('x') }\n", "for i in [1, 2] { log('x') }\n", "return 1\n", "step s = crm.get('/x') on error use {}\n", "let y = 1\n", "match 1 { case 1 { } else { } }\n",
    "parallel { }\n", "reject('AE', 'x')\n", ".ofType(Patient)", " is Patient", ".with(a: 1)", "Patient(active: true)", "ADT_A01(MSH-3: 'x')", "OBX(OBX-3.1: 'x')", "string*", "any?", ": integer",
    "= x", "fn f(x: any) = x\n", "let c = c\n", "payload P { p: P? }\n", "yield 1\n", ".select(", ".repeat(", ".sort($this desc)", ".aggregate($total, 1)", "disclose(", ")", "2147483648", "1 year", "@2024-13"};
  uint64_t r = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  if (size < 4 || (r >> 33) % 4 == 0) return LLVMFuzzerMutate(data, size, max);
  for (unsigned k = 0; k < 1 + (r >> 40) % 3 && size > 4; k++) {
    r = r * UINT64_C(6364136223846793005) + 1442695040888963407u;
    size_t x = 1 + (r >> 33) % (size - 1), y = 1 + (r >> 13) % (size - 1);
    piece a = word_near(data, size, x), b = word_near(data, size, y), la = line_near(data, size, x), lb = line_near(data, size, y);
    const char *phrase = phrases[(r >> 20) % (sizeof phrases / sizeof *phrases)];
    switch ((r >> 50) % 6) {
    case 0: size = replace(data, size, max, a, data + b.at, b.len); break;
    case 1: size = replace(data, size, max, (piece){la.at, 0}, data + lb.at, lb.len); break;
    case 2: size = replace(data, size, max, la, data, 0); break;
    case 3: size = replace(data, size, max, (piece){a.at + a.len, 0}, (const uint8_t *)phrase, strlen(phrase)); break;
    case 4: size = replace(data, size, max, a, (const uint8_t *)phrase, strlen(phrase)); break;
    default: size = replace(data, size, max, (piece){la.at, 0}, (const uint8_t *)phrase, strlen(phrase)); break;
    }
  }
  return size;
}
