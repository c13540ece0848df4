/* engine_replay.h - recorded inputs through another version of a module, or through their own once more: what would be different?
 *
 * An input is read from the log, the gate decides about it anew and its runs are executed, with the answers that their steps got when it was real. Nothing
 * is performed, nothing is recorded, and nobody waits for it: it works on the folder of a daemon that runs (what it committed last), of one that does not,
 * and on a backup.
 *
 *   with a module   what the current deployment would do with the module in it, against what the recorded version did
 *   without         what the recorded version does in this build, against its record: requests, results, verdicts. They must be the same
 *
 * A step of the new version takes the answer of the old one's step with the same request; else of the step at the same place, or of the next one of its
 * connection and operation: then the answer was given to another question, and the run is counted as assumed. Without any it waits: what stands
 * behind it is not looked at. */
#ifndef HDW_ENGINE_REPLAY_H
#define HDW_ENGINE_REPLAY_H
#include "engine.h"

typedef enum engine_replay_kind { REPLAY_CHANGED, REPLAY_ADDED, REPLAY_REMOVED } engine_replay_kind;
typedef struct engine_replay_diff {
  uint64_t input, run;       /* run 0: the input had none of this workflow */
  const char *workflow;      /* "" : the input's answer */
  const char *path;          /* "payload.birthDate", "send crm.post body.mrn", "ack.code", "run", "outcome", "lanes". Never a value */
  engine_replay_kind kind;
  val before, after;         /* patients' data; VAL_EMPTY when there is none */
} engine_replay_diff;
/* Everything given is valid during the call. */
typedef void (*engine_replay_cb)(void *user, const engine_replay_diff *d);

/* Why an input, or a run of it, says nothing. */
typedef enum engine_replay_skip {
  REPLAY_LOOKED,
  REPLAY_UNFINISHED,         /* a run of it has not ended */
  REPLAY_EXPIRED,            /* retention took its bytes, or answers that it got */
  REPLAY_NO_MODULE,          /* the module of its run is not in the log any more */
  REPLAY_REFUSED,            /* answered before any workflow saw it: it could not be read, or the listener's options refused it */
  REPLAY_NO_PATH,            /* over HTTP, and it is not recorded at which of several paths */
  REPLAY_DIVERGED,           /* its own version does not do here what is recorded */
  REPLAY_SKIPS
} engine_replay_skip;
typedef struct engine_replay_input {
  bool looked;               /* it, or one of its runs, was compared */
  bool assumed;              /* an answer was taken that was given to another request */
  bool open;                 /* the new version waits for an answer that is not recorded */
  bool other;                /* it has nothing to do with the workflow asked for */
  uint32_t diffs;
  engine_replay_skip skip;   /* the first thing that could not be looked at */
  int64_t time_us;
} engine_replay_input;

typedef struct engine_replay engine_replay;
typedef struct engine_replay_with {
  const char *file;
  const void *bytes;
  size_t len;
} engine_replay_with;
/* e: read_only, nothing loaded. with NULL: every run against its record. text (200): what is wrong; note (200): what whoever asked should know.
 * HDW_E_CORRUPT, HDW_E_EXISTS, HDW_E_NOTFOUND, HDW_E_NOMEM. */
hdw_status engine_replay_open(engine *e, const engine_replay_with *with, engine_replay **out, char text[200], char note[200]);
/* One input, of workflow only or (NULL) of all. HDW_E_NOTFOUND, HDW_E_CORRUPT, HDW_E_NOMEM. */
hdw_status engine_replay_one(engine_replay *x, uint64_t input, const char *workflow, engine_replay_cb cb, void *user, engine_replay_input *out);
/* Name of the module, its id, and of the one in whose place it stands (zeros: none). */
const char *engine_replay_name(const engine_replay *x, const uint8_t **id, const uint8_t **before);
void engine_replay_close(engine_replay *x);

/* engine_replay_diff.c: where two values differ, as paths below at. Returns how many places. */
typedef void (*replay_found)(void *user, const char *path, engine_replay_kind kind, val before, val after);
typedef struct replay_compare {
  arena *a;
  replay_found found;
  void *user;
  uint32_t n;
  bool failed;               /* out of memory: what was found is not all */
  char path[256];
  size_t len;
} replay_compare;
void replay_compare_values(replay_compare *c, val before, val after);

#endif
