/* walk_rig.h - failures walked through one after the other: memory is so tight that every allocation of an arena asks for its own, and the nth one fails, or all
 * from it on do, or the state cannot be read any more from there on. */
#ifndef HDW_WALK_RIG_H
#define HDW_WALK_RIG_H
#include <limits.h>
#include "ack_rig.h"
#include "engine_int.h"
#include "store_int.h"

typedef enum walk_how { WALK_ONE, WALK_THREE /* in a row: who asks for less when it does not get much */, WALK_ALL, WALK_UNREAD, WALK_HOWS } walk_how;

static struct walk {
  void *(*get)(mem *m, size_t len);
  store *s;
  walk_how how;
  long at, n;
} walk;

static size_t walk_given;    /* what others than arenas need, too, is given: the stack of a JSON reader */

static inline void *walk_get(mem *m, size_t len) {
  bool chunk = len != walk_given && len >= 4096 && len <= 256 << 10 && (len & (len - 1)) == 0; /* an arena's: it asks again for just what it needs */
  if (chunk) return NULL;
  long until = walk.how == WALK_ONE ? walk.at : walk.how == WALK_THREE ? walk.at + 2 : LONG_MAX;
  bool now = walk.n >= walk.at && walk.n <= until;
  walk.n++;
  if (!now) return walk.get(m, len);
  if (walk.how != WALK_UNREAD) return NULL;
  walk.s->failed = HDW_E_IO;
  return walk.get(m, len);
}

static inline void walk_begin(ackrig *x, walk_how how, long at) {
  walk = (struct walk){.get = x->p->mem.m.get, .s = engine_store(x->p->e), .how = how, .at = at};
  x->p->mem.m.get = walk_get;
}

/* All is well again. True: the failure was reached. */
static inline bool walk_end(ackrig *x) {
  x->p->mem.m.get = walk.get;
  walk.s->failed = HDW_OK;
  return walk.n > walk.at;
}
#endif
