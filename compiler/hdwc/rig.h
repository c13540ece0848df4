/* rig.h - a program on the simulated seam: the daemon's own engine with a virtual clock, a scratch folder and mocks instead of a world.
 *
 *   module --engine_load--> engine --effect--> mock (list of rig_mock, else a harmless default) --> rig_effect (kept for looking at)
 *
 * Nothing here can reach a network: the engine is told to perform mocks only, and the seam below it is the simulated one. */
#ifndef HDWC_RIG_H
#define HDWC_RIG_H
#include "engine.h"
#include "hdwc.h"

/* "crm.post", "crm.get('/x')", "epic.search(Patient)", "crm" or "" (everything). */
typedef struct rig_target {
  const char *connection, *operation; /* "" = any */
  const char *args;                   /* text between the brackets; "" = any */
} rig_target;

/* Answers of the outside world. The last answer of a sequence repeats. An answer {"$error": 503} (status, or a code such as 'timeout')
 * is a failure; its "message" is kept. */
typedef struct rig_mock {
  rig_target target;
  const char *text;
  val *answers;
  uint32_t n, used;
  struct rig_mock *next;              /* newest first: a later mock hides an earlier one */
} rig_mock;

/* One attempt at an effect. Values live as long as the rig. */
typedef struct rig_effect {
  const char *connection, *operation; /* "crm", "post" */
  const char *kind;                   /* "rest" */
  const char *workflow, *path;
  uint64_t run, delivery;
  uint32_t attempt;
  int64_t at_us;
  val request, result;
  bool failed, mocked;
  int status;
  const char *error;                  /* when failed */
  struct rig_effect *next;
} rig_effect;

typedef struct rig_reply {
  bool given, json;
  uint64_t input;
  char code[8];
  int http_status;
  const char *p;                      /* of the last answer */
  size_t len;
  bool duplicate;
} rig_reply;

typedef struct rig_log { const char *line; size_t len; struct rig_log *next; } rig_log;

typedef struct rig {
  hdwc *h;
  arena a;
  io *x;
  engine *e;
  config cfg;
  char dir[64];
  const meta *meta;
  rig_mock *mocks;
  rig_effect *effects, *last_effect;
  uint32_t neffects;
  rig_log *logs, *last_log;
  rig_reply reply;                    /* of the latest input */
  const char *workflow;               /* of the latest input */
  bool answered;
} rig;

/* Opens an engine with the module (sealed bytes). wall_us 0: 2026-01-01. A message is printed when it fails. */
bool rig_open(rig *r, hdwc *h, const char *file, const uint8_t *bytes, size_t len, int64_t wall_us);
void rig_close(rig *r);
const meta_workflow *rig_workflow(const rig *r, const char *name);
/* Gives a workflow its input and lets everything happen that needs no waiting; steps that are tried again in line are waited for (virtual time). */
bool rig_message(rig *r, const meta_workflow *w, const char *bytes, size_t len);
bool rig_request(rig *r, const meta_workflow *w, const char *json, size_t len);
/* Virtual time passes. */
void rig_advance(rig *r, int64_t us);

void rig_mock_add(rig *r, const char *target, const val *answers, uint32_t n);
rig_target rig_target_parse(arena *a, const char *text);
bool rig_matches(const rig_target *t, const rig_effect *f);
/* Keeps a value of another arena. */
hdw_status rig_keep(arena *a, val v, val *out);

/* What the latest input's run of the workflow came to. run.state 0: there was none. */
typedef struct rig_outcome {
  store_run run;
  vm_outcome how;
  val value;
  char where[200];
} rig_outcome;
bool rig_result(rig *r, const char *workflow, arena *a, rig_outcome *out);
const char *rig_run_state(uint8_t state);
const char *rig_outcome_name(vm_outcome o);
/* Every run, oldest first. */
typedef void (*rig_run_fn)(const store_run *run, void *user);
void rig_runs(rig *r, arena *a, rig_run_fn fn, void *user);

#endif
