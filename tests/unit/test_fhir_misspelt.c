/* One wrong letter in the name of a FHIR element: how many such mistakes are rejected with the right name suggested first. Every element of every type of
 * R4, in expressions typed by it; a letter left out, put in, replaced, two neighbours swapped. Prints the share; it may not fall below the limit. */
#include "support.h"
#include <stdio.h>
#include <string.h>
#include "compiler.h"
#include "fhir.h"

enum { BATCH = 60, WORD_MAX = 64, STRIDE = 2, WANTED_PERCENT = 95 };

typedef struct tally { unsigned total, rejected, right; } tally;
typedef struct batch { const char *type; char word[BATCH][WORD_MAX]; const char *want[BATCH]; unsigned kind[BATCH], n; } batch;
static const char *const kinds[] = {"left out", "put in", "replaced", "swapped"};
static tally by_kind[4];
static unsigned shown;

/* The suggestion made for the name at [off, end), "" when it was rejected without one, NULL when it was accepted. */
static const char *suggestion(const diag_list *d, uint32_t off, uint32_t end) {
  for (const diag *x = d->first; x; x = x->next)
    if (x->severity == DIAG_ERROR && x->at.off >= off && x->at.end <= end) return x->fixes && x->fixes->first ? x->fixes->first->text : "";
  return NULL;
}

/* One list expression with all the names, compiled strictly against the type. */
static void flush(batch *b) {
  char expr[BATCH * (WORD_MAX + 4) + 8];
  uint32_t off[BATCH], end[BATCH];
  size_t k = 0;
  if (b->n == 0) return;
  expr[k++] = '[';
  for (unsigned i = 0; i < b->n; i++) {
    if (i) expr[k++] = ',';
    off[i] = (uint32_t)k;
    k += (size_t)sprintf(expr + k, "`%s`", b->word[i]);
    end[i] = (uint32_t)k;
  }
  expr[k++] = ']';
  test_mem tm;
  arena a;
  diag_list d;
  comp_result out;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  diag_init(&d, &a);
  assert_int_equal(comp_expr(&a, expr, k, COMP_FHIR, b->type, true, &d, &out), HDW_OK);
  for (unsigned i = 0; i < b->n; i++) {
    tally *t = &by_kind[b->kind[i]];
    const char *got = suggestion(&d, off[i], end[i]);
    t->total++;
    t->rejected += got != NULL;
    bool right = got && strcmp(got, b->want[i]) == 0;
    t->right += right;
    if (!right && shown++ < 12) print_message("  %s.%s for '%s': %s%s\n", b->type, b->word[i], b->want[i], got ? *got ? "suggested " : "no suggestion" : "accepted", got ? got : "");
  }
  arena_free(&a);
  assert_int_equal(tm.live_bytes, 0);
  b->n = 0;
}

static void add(batch *b, const char *type, const char *word, const char *want, unsigned kind) {
  if (!*word || strcmp(word, want) == 0) return;
  if (b->n == BATCH || b->type != type) flush(b);
  b->type = type;
  for (unsigned i = 0; i < b->n; i++)
    if (strcmp(b->word[i], word) == 0 && strcmp(b->want[i], want) == 0) return; /* two ways to the same mistake */
  snprintf(b->word[b->n], WORD_MAX, "%s", word);
  b->want[b->n] = want;
  b->kind[b->n++] = kind;
}

static uint32_t rnd(uint32_t *s) { return *s = *s * 1664525u + 1013904223u, *s >> 8; }

/* All four mistakes at every second place. */
static void misspell(batch *b, const char *type, const char *name, uint32_t *seed) {
  char w[WORD_MAX];
  size_t n = strlen(name);
  for (size_t i = rnd(seed) % STRIDE; i < n; i += STRIDE) {
    snprintf(w, sizeof w, "%.*s%s", (int)i, name, name + i + 1);
    add(b, type, w, name, 0);
    snprintf(w, sizeof w, "%.*s%c%s", (int)i, name, (int)('a' + rnd(seed) % 26), name + i);
    add(b, type, w, name, 1);
    snprintf(w, sizeof w, "%.*s%c%s", (int)i, name, (int)('a' + rnd(seed) % 26), name + i + 1);
    add(b, type, w, name, 2);
    if (i + 1 < n) {
      snprintf(w, sizeof w, "%.*s%c%c%s", (int)i, name, name[i + 1], name[i], name + i + 2);
      add(b, type, w, name, 3);
    }
  }
}

static void test_misspelt_elements(void **state) {
  (void)state;
  static batch b;
  uint32_t seed = 7;
  tally all = {0};
  for (uint16_t t = 1; t <= fhir_type_count(); t++) {
    fhir_element_info e;
    if (fhir_type_kind(t) == FHIR_PRIMITIVE || fhir_type_abstract(t) || strcmp(fhir_type_name(t), "Quantity") == 0) continue;
    for (unsigned i = 0; fhir_element_at(t, i, &e); i++)
      if (e.owner == t) misspell(&b, fhir_type_name(t), e.name, &seed);
  }
  flush(&b);
  for (unsigned k = 0; k < 4; k++) {
    tally *t = &by_kind[k];
    print_message("a letter %-9s %6u misspellings, %5.1f %% rejected, %5.1f %% with the right name first\n", kinds[k], t->total, 100.0 * t->rejected / t->total, 100.0 * t->right / t->total);
    all = (tally){all.total + t->total, all.rejected + t->rejected, all.right + t->right};
  }
  print_message("score: misspelt elements: %u, %.1f %% rejected, %.1f %% with the right name first\n", all.total, 100.0 * all.rejected / all.total, 100.0 * all.right / all.total);
  assert_true(all.total > 50000);
  assert_true(all.right * 100 >= all.total * WANTED_PERCENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_misspelt_elements)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
