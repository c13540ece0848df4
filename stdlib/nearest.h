/* nearest.h - "did you mean": the closest names to a misspelt word.
 *
 * The distance is Damerau-Levenshtein in its restricted form (insert, delete, replace, swap of neighbours; each costs 1); letters that differ only in
 * case cost nothing beyond the first (a wholly case-different word is at distance 1). A caller makes a `nearest`, offers each candidate
 * name (already filtered by kind and type) and reads the best few, in order of distance, then of offering. No allocation: candidates
 * are kept by pointer and must live as long as the nearest. Words beyond NEAREST_WORD_MAX bytes have no neighbours. */
#ifndef HDW_NEAREST_H
#define HDW_NEAREST_H
#include <stddef.h>
#include <stdint.h>

enum { NEAREST_KEEP = 3, NEAREST_WORD_MAX = 96 };

/* Distance of two words, or limit + 1 as soon as it is known to exceed limit. */
unsigned nearest_distance(const char *a, size_t a_len, const char *b, size_t b_len, unsigned limit);

typedef struct nearest_hit {
  const char *name;
  size_t len;
  unsigned distance;
} nearest_hit;

typedef struct nearest {
  const char *word;
  size_t len;
  unsigned limit;              /* what nearest_init chose: a third of the length, 1 .. 3; 0 for words of one or two letters */
  unsigned n;                  /* hits kept */
  nearest_hit hit[NEAREST_KEEP];
} nearest;

void nearest_init(nearest *n, const char *word, size_t len);
/* Considers one candidate; the same text offered twice is kept once. */
void nearest_offer(nearest *n, const char *name, size_t len);

#endif
