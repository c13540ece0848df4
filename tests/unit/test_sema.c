/* test_sema.c - the checker: examples of every row of diags.def, their machine fixes, and what is and is not reported. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "compiler.h"
#include "support.h"

typedef struct world { test_mem tm; arena a; diag_list d; comp_result out; } world;

static void begin(world *w) { test_mem_init(&w->tm); arena_init(&w->a, &w->tm.m, 0); }
static void finish(world *w) { arena_free(&w->a); assert_int_equal(w->tm.live_bytes, 0); }

static void compile(world *w, const char *src, size_t len) {
  comp_options opt = {.check_only = true, .tests = true};
  comp_source s = {"t.hdw", src, len};
  diag_init(&w->d, &w->a);
  assert_int_equal(comp_program(&w->a, &s, 1, &opt, &w->d, &w->out), HDW_OK);
}

/* "E0203@2:31 W0301@3:1": codes and places, in order. */
static const char *codes(world *w) {
  buf b;
  buf_init(&b, &w->a, 1 << 16);
  for (const diag *d = w->d.first; d; d = d->next) {
    uint32_t line, col;
    diag_position(&w->d, d->at.file, d->at.off, false, &line, &col);
    buf_putf(&b, "%s%s@%u:%u", b.len ? " " : "", diag_row_of(d->code)->code, line, col);
  }
  buf_putc(&b, 0);
  return b.p;
}

static const char *text(world *w) {
  buf b;
  buf_init(&b, &w->a, 1 << 20);
  diag_text(&b, &w->d, NULL);
  buf_putc(&b, 0);
  return b.p;
}

/* Every fix of every diagnostic, applied, removes that diagnostic and adds no error. */
static int fixes_hold(const char *src) {
  world w;
  int bad = 0;
  begin(&w);
  compile(&w, src, strlen(src));
  diag_list l = w.d;
  for (const diag *d = l.first; d; d = d->next)
    for (const diag_fix *fix = d->fixes; fix; fix = fix->next) {
      size_t len;
      char *fixed = diag_apply(&w.a, &l, fix, 0, &len);
      assert_non_null(fixed);
      compile(&w, fixed, len);
      bool still = w.d.errors > l.errors - (d->severity == DIAG_ERROR);
      for (const diag *e = w.d.first; e; e = e->next) still |= e->code == d->code && e->at.off == d->at.off && e->at.end == d->at.end && strcmp(e->text, d->text) == 0;
      if (still) { bad++; print_error("a fix of %s does not help:\n%s%s\n", diag_row_of(d->code)->code, fixed, text(&w)); }
    }
  finish(&w);
  return bad;
}

static void test_every_row_has_examples_that_hold(void **state) {
  (void)state;
  int bad = 0;
  for (unsigned i = 1; i < DIAG_CODE_COUNT; i++) {
    const diag_row *r = diag_row_of((diag_code)i);
    if (!r->wrong) continue;
    world w;
    begin(&w);
    compile(&w, r->wrong, strlen(r->wrong));
    const diag *first = NULL;
    for (const diag *d = w.d.first; d; d = d->next)
      if (!first || (first->severity != DIAG_ERROR && d->severity == DIAG_ERROR)) first = d;
    bool one = first && diag_row_of(first->code) == r && w.d.errors == (r->severity == DIAG_ERROR ? 1u : 0u);
    if (!one) { bad++; print_error("%s: the wrong example gives %s\n%s\n", r->code, codes(&w), text(&w)); }
    compile(&w, r->right, strlen(r->right));
    bool clean = true; /* what does not run yet may still be checked */
    for (const diag *d = w.d.first; d; d = d->next) clean &= strcmp(diag_row_of(d->code)->code, "W0901") == 0;
    if (!clean) { bad++; print_error("%s: the right example gives %s\n%s\n", r->code, codes(&w), text(&w)); }
    finish(&w);
    bad += fixes_hold(r->wrong);
  }
  assert_int_equal(bad, 0);
}

/* Each fix of the golden diagnostics, by itself. */
static void test_fixes_of_golden_files_hold(void **state) {
  (void)state;
  glob_t g;
  int bad = 0;
  assert_int_equal(glob(HDW_SOURCE_DIR "/tests/lang/check/*.hdw", 0, NULL, &g), 0);
  for (size_t i = 0; i < g.gl_pathc; i++) {
    size_t len;
    char *src = test_read_file(g.gl_pathv[i] + strlen(HDW_SOURCE_DIR) + 1, &len);
    int n = fixes_hold(src);
    if (n) print_error("in %s\n", g.gl_pathv[i]);
    bad += n;
    free(src);
  }
  assert_true(g.gl_pathc > 40);
  globfree(&g);
  assert_int_equal(bad, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_row_has_examples_that_hold),
      cmocka_unit_test(test_fixes_of_golden_files_hold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
