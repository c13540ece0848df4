#include "nearest.h"
#include <string.h>

static unsigned char lower(char c) {
  return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Three rows of the table of restricted Damerau-Levenshtein; case does not count. */
static unsigned distance_folded(const char *a, size_t a_len, const char *b, size_t b_len, unsigned limit) {
  unsigned char rows[3][NEAREST_WORD_MAX + 1];
  unsigned char *before = rows[0], *prev = rows[1], *cur = rows[2];
  for (size_t j = 0; j <= b_len; j++) prev[j] = (unsigned char)j;
  for (size_t i = 1; i <= a_len; i++) {
    unsigned best = cur[0] = (unsigned char)i;
    for (size_t j = 1; j <= b_len; j++) {
      unsigned char x = lower(a[i - 1]), y = lower(b[j - 1]);
      unsigned d = prev[j - 1] + (x != y ? 1u : 0u);
      if (prev[j] + 1u < d) d = prev[j] + 1u;
      if (cur[j - 1] + 1u < d) d = cur[j - 1] + 1u;
      if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y && before[j - 2] + 1u < d) d = before[j - 2] + 1u;
      cur[j] = (unsigned char)d;
      if (d < best) best = d;
    }
    if (best > limit) return limit + 1;
    unsigned char *t = before;
    before = prev, prev = cur, cur = t;
  }
  return prev[b_len];
}

unsigned nearest_distance(const char *a, size_t a_len, const char *b, size_t b_len, unsigned limit) {
  size_t gap = a_len > b_len ? a_len - b_len : b_len - a_len;
  if (a_len > NEAREST_WORD_MAX || b_len > NEAREST_WORD_MAX || gap > limit) return limit + 1;
  if (a_len == b_len && memcmp(a, b, a_len) == 0) return 0;
  unsigned d = distance_folded(a, a_len, b, b_len, limit);
  if (d == 0) d = 1; /* differs in case alone */
  return d > limit ? limit + 1 : d;
}

void nearest_init(nearest *n, const char *word, size_t len) {
  memset(n, 0, sizeof *n);
  n->word = word;
  n->len = len;
  n->limit = len < 3 ? 0 : len < 6 ? 1 : len < 9 ? 2 : 3;
}

void nearest_offer(nearest *n, const char *name, size_t len) {
  /* A short word still finds its other case (pid -> PID, Id -> id). */
  unsigned limit = n->limit ? n->limit : len == n->len && len > 0 ? 1 : 0;
  if (limit == 0) return;
  unsigned d = nearest_distance(n->word, n->len, name, len, limit);
  if (d > limit) return;
  if (n->limit == 0)
    for (size_t i = 0; i < len; i++)
      if (lower(name[i]) != lower(n->word[i])) return;
  for (unsigned i = 0; i < n->n; i++)
    if (n->hit[i].len == len && memcmp(n->hit[i].name, name, len) == 0) return;
  unsigned at = n->n;
  while (at > 0 && n->hit[at - 1].distance > d) at--;
  if (at == NEAREST_KEEP) return;
  if (n->n < NEAREST_KEEP) n->n++;
  for (unsigned i = n->n - 1; i > at; i--) n->hit[i] = n->hit[i - 1];
  n->hit[at] = (nearest_hit){name, len, d};
}
