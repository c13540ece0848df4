/* failing.h - calls below log and store that fail when they are told to. */
#ifndef HDW_FAILING_H
#define HDW_FAILING_H
#include "io.h"

enum { FAILING_KINDS = 4, FAILING_MAX = 1 << 20 };

typedef struct failing {
  bool armed;
  long calls;            /* since it was armed */
  long at;               /* the call that fails; 0 = none */
  bool sticky;           /* and all later ones */
  unsigned kind;         /* which error: a call has up to FAILING_KINDS of them */
  const char *name;      /* of the call that failed */
  bool sites;            /* at = 0: of calls from one place (and by the same way there) only the first counts */
  uint8_t kinds[FAILING_MAX]; /* at = 0: how many each call has; 0 = it is not looked at */
} failing;
extern failing fail_now;

/* True: this call is to fail. */
bool failing_due(const char *name, unsigned kinds);
/* The calls of the seam fail, too. */
void failing_io(io *x);

#endif
