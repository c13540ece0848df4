#include "points.h"
typedef int points_not_empty; /* a translation unit must declare something */
#ifdef HDW_POINTS
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*hdw_point_hook)(const char *name);
const char *hdw_break;

bool hdw_broken(const char *name) {
  const char *what = hdw_break ? hdw_break : getenv("HDW_BREAK");
  return what && !strcmp(what, name);
}

/* Test builds only, so a counter in static memory is allowed: a point is passed by one thread at a time or the count is approximate. */
/* The variable is a list name:number,name:number. */
static bool named(const char *variable, const char *name, long *number) {
  const char *at = getenv(variable);
  size_t n = at ? strlen(name) : 0;
  for (; at; at = strchr(at, ',')) {
    at += *at == ',';
    if (strncmp(at, name, n) != 0 || (at[n] && at[n] != ':' && at[n] != ',')) continue;
    *number = at[n] == ':' ? strtol(at + n + 1, NULL, 10) : 1;
    return true;
  }
  return false;
}

void hdw_point(const char *name) {
  static long passed;
  long want;
  if (hdw_point_hook) { /* the simulation: its processes die there, and are never held */
    hdw_point_hook(name);
    return;
  }
  if (named("HDW_PAUSE_AT", name, &want)) usleep((useconds_t)want);
  if (!named("HDW_CRASH_AT", name, &want)) return;
  if (__atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED) == want) kill(getpid(), SIGKILL);
}
#endif
