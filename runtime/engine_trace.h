/* engine_trace.h - a run executed again from its input and its journal, up to a step: to see what its names held there.
 *
 * Nothing is performed and nothing is recorded: where the journal ends, the trace ends. A run that is at work is not disturbed. */
#ifndef HDW_ENGINE_TRACE_H
#define HDW_ENGINE_TRACE_H
#include "engine.h"

typedef struct engine_trace_local { const char *name; val value; } engine_trace_local;
typedef struct engine_trace_frame {
  const char *function;
  char where[200];           /* "admit.hdw:12:3"; "" = unknown */
  engine_trace_local *locals; /* in the order in which they got their values */
  uint32_t nlocals;
} engine_trace_frame;
typedef struct engine_trace_step {
  const char *path, *connection, *operation; /* connection "" : sys.log and the like */
  const char *state;         /* "done", "failed", "queued" (send), "open" (no result), "new" (not recorded), "log" */
  char where[200];
  bool send;
} engine_trace_step;
typedef enum engine_trace_stop { TRACE_AT_STEP, TRACE_END, TRACE_NOT_RECORDED, TRACE_FAILED, TRACE_DIVERGED, TRACE_TOO_LONG } engine_trace_stop;
typedef struct engine_trace {
  arena a;                   /* of everything in here, until engine_trace_free */
  store_run row;
  engine_trace_stop stop;
  const char *text;          /* TRACE_FAILED: why; else "" */
  engine_trace_step *steps;  /* in the order of execution; the last one is where it stopped, unless it came to the end or failed */
  uint32_t nsteps;
  engine_trace_frame *frames; /* innermost first; at TRACE_END none */
  uint32_t nframes;
  val request;               /* of the step at which it stopped: arguments by name */
  vm_outcome outcome;
  val result;                /* TRACE_END */
  struct eng_run *run;       /* private: values lie in its memory */
} engine_trace;

/* until: number of a step (from 1) or its journal path; NULL = as far as the journal goes. HDW_E_NOTFOUND: there is no such run, or its module or input
 * is no longer there; HDW_E_LIMIT, HDW_E_NOMEM. Whatever it gives, out is to be freed. */
hdw_status engine_trace_run(engine *e, uint64_t run, const char *until, engine_trace *out);
void engine_trace_free(engine_trace *t);

#endif
