/* rig.h - a program on the simulated seam: the daemon's own engine with a virtual clock, a scratch folder and mocks instead of a world.
 *
 *   module --engine_load--> engine --effect--> mock (list of rig_mock, else a harmless default) --> rig_effect (kept for looking at)
 *
 * Nothing here can reach a network: the engine is told to perform mocks only, and the seam below it is the simulated one. */
#ifndef HDWC_RIG_H
#define HDWC_RIG_H
#include "engine.h"
#include "hdwc.h"

/* A connection, an operation or a call of one: "crm", "crm.post", "crm.get('/x')", "" (everything). */
typedef struct rig_target {
  const char *text;                   /* as written */
  const char *connection, *operation; /* "" = any */
  val args;                           /* object: what the call must have, by name, by position ("0") or place in its message ("PID-5.1"); EMPTY = any */
} rig_target;

/* Answers of the outside world; the last of a sequence repeats. An answer {"$error": 503} (status, or a code such as 'timeout') is a failure with
 * "code", "class", "message", "retry_after"; {"$delay": duration, "value": answer} comes later. */
typedef struct rig_mock {
  rig_target target;
  val *answers;
  uint32_t n, used;
  bool shared;                        /* of the file: asked after the test's own */
  const char *where;                  /* for people */
  struct rig_mock *next;              /* newest first */
} rig_mock;

/* One attempt at an effect. Values live as long as the rig. */
typedef struct rig_effect {
  const char *connection, *operation; /* "crm", "post" */
  const char *kind;                   /* "rest" */
  const char *workflow, *path, *key;  /* key: the idempotency key */
  uint64_t run, delivery;
  uint32_t attempt;
  int64_t at_us, delay_us;
  val request, result;
  bool failed, mocked, unmatched;     /* unmatched: the operation has mocks, but none fits */
  const char *mock;                   /* text of the one that answered */
  uint32_t answer, answers;           /* which of its answers (from 0), of how many */
  int status;
  const char *error, *code;           /* when failed */
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

typedef struct rig_log {
  const char *line;
  size_t len;
  const rig_effect *after;            /* the last effect before it */
  struct rig_log *next;
} rig_log;

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
  void (*on_loss)(void *user, const engine_loss *l); /* loss accounting, set after rig_init: hears of it when an engine closes; NULL = not wanted */
  void *loss_user;
  bool loss_json;
  uint32_t *hits;                     /* of coverage, set after rig_init; NULL = not wanted */
  const char *file;                   /* of the module */
  const uint8_t *bytes;
  size_t len;
} rig;

/* First of all: then mocks may be added. */
void rig_init(rig *r, hdwc *h);
/* Opens an engine with the module (sealed bytes). wall_us 0: 2026-01-01. A message is printed when it fails. */
bool rig_open(rig *r, const char *file, const uint8_t *bytes, size_t len, int64_t wall_us);
void rig_close(rig *r);
/* The process ends and starts again on what it has written; time goes on. text says what went wrong. */
bool rig_restart(rig *r, char text[200]);
const meta_workflow *rig_workflow(const rig *r, const char *name);
/* Gives a workflow its input and lets everything happen that needs no waiting; steps that are tried again in line are waited for (virtual time). */
bool rig_message(rig *r, const meta_workflow *w, const char *bytes, size_t len);
/* How a request comes when it is not as its trigger says: NULL and EMPTY members are. */
typedef struct rig_asked {
  const char *method, *path, *key;    /* key: idempotency key */
  val query, headers;                 /* objects */
} rig_asked;
bool rig_request(rig *r, const meta_workflow *w, const char *json, size_t len, const rig_asked *asked);
/* Virtual time passes. */
void rig_advance(rig *r, int64_t us);

/* rig_mock.c */
rig_mock *rig_mock_add(rig *r, rig_target target, const val *answers, uint32_t n, bool shared); /* NULL: out of memory */
rig_target rig_target_parse(arena *a, const char *text);
/* both: "crm.get"; args as in rig_target. */
rig_target rig_target_of(arena *a, const char *text, const char *both, val args);
bool rig_names(const rig_target *t, const rig_effect *f);                 /* connection and operation */
bool rig_matches(arena *a, const rig_target *t, const rig_effect *f);     /* and the arguments */
/* Microseconds of a duration; -1 for months and years, which have no fixed length, and for anything else. */
int64_t rig_duration(val v);
/* JSON of a value, "{}" when it is empty; cut at max bytes. */
const char *rig_shown(arena *a, val v, size_t max);
engine_mock_verdict rig_on_effect(void *user, const engine_effect *e, arena *a, engine_mock_answer *out);
rig_effect *rig_note(rig *r, const engine_effect *e);
val rig_joined(arena *a, val v);
/* A request that is kept, its templates joined. */
val rig_request_text(arena *a, val v);
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
bool rig_outcome_of(rig *r, const store_run *run, arena *a, rig_outcome *out);
const char *rig_run_state(uint8_t state);
const char *rig_outcome_name(vm_outcome o);
/* Every run, oldest first. */
typedef void (*rig_run_fn)(const store_run *run, void *user);
void rig_runs(rig *r, arena *a, rig_run_fn fn, void *user);
/* Every delivery of every run, with its request. */
typedef void (*rig_delivery_fn)(const store_delivery *d, val request, void *user);
void rig_deliveries(rig *r, arena *a, rig_delivery_fn fn, void *user);

#endif
