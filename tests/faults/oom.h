/* oom.h - what scenarios of oom.c are given: memory that fails when it is told to, and an engine on the simulated seam that takes all of its memory from there. */
#ifndef HDW_OOM_H
#define HDW_OOM_H
#include "compiler.h"
#include "engine.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_sim.h"
#include "json.h"
#include "model.h"

enum { MAX_POSITIVE = 64, MAX_KEYS = 32 };

typedef struct hard {
  mem m;
  long gets, fail_at;        /* fail_at: number of the get that gives NULL; 0 = none */
  bool sticky;               /* and every one behind it */
  size_t live_bytes;
} hard;

typedef struct place {
  hard h;
  char dir[64];              /* empty before each pass */
  io *io;
  arena a;
  config cfg;
  engine *e;
  const uint8_t *mod;
  size_t mod_len;
  unsigned calls, refuse;    /* of the world outside; the first `refuse` calls fail (503), or with `refuse_code` */
  int refuse_code;
  int64_t suspend_us;
  bool listen;
  char positive[MAX_POSITIVE][16]; /* control ids that were answered AA */
  unsigned npositive, answers;
  const char *counted;       /* the connection whose different idempotency keys are counted; NULL = all */
  char keys[MAX_KEYS][80];
  unsigned nkeys, most;      /* more than most of them: something ran a second time; 0 = not looked at */
  bool proper;               /* nothing that is sent deserves a refusal for good */
  const char *wrong;         /* what was seen on the way; NULL */
} place;

typedef struct scenario {
  const char *name;
  void (*run)(place *p);
} scenario;
/* oom_engine.c and oom_parts.c; the last one has no name. */
extern const scenario oom_engine[], oom_parts[];

/* A program of the tests, compiled once with memory that does not fail. */
enum { PROG_PLAIN, PROG_AFTER_RUN, PROG_BRANCHES, PROG_WEB, PROG_TWO, PROG_ONCE, PROG_FROM, PROG_ASKED, PROG_POSTED, PROGRAMS };
void oom_program(unsigned which, const uint8_t **bytes, size_t *len);
/* The text of a file below the source folder; NULL. Kept. */
const char *oom_file(const char *path, size_t *len);

#endif
