/* interp_count.c - the interpreter's loop with a count for each code word: for coverage of tests, several times as slow. */
#include "interp_int.h"

static inline void bump(uint32_t *n) { *n += *n != UINT32_MAX; }

/* What was executed before did not lead to the word behind it: it jumped. */
static inline void count(const uint32_t *code, uint32_t *hits, uint32_t at, uint32_t *last) {
  if (*last != MOD_NO_INDEX && at != *last + mod_op_words(code[*last])) bump(&hits[2 * *last + 1]);
  bump(&hits[2 * at]);
  *last = at;
}

#define COUNTING 1
#define VM_EXEC vm_exec_counting
#define BEGIN_COUNT() uint32_t last = MOD_NO_INDEX
#define COUNT() count(code, cx->hits, (uint32_t)(ip - code), &last)
#include "interp.c"
