/* engine.h - inputs, runs, steps and deliveries: the durable heart of the daemon, and of hdwc run and hdwc test.
 *
 *   bytes -> engine_submit_* -> gate -> INPUT record --synced--> answer (callback), runs
 *                                                                  run: vm_go -> AWAIT -> journal? recorded result
 *                                                                                          else INTENT, perform, RESULT -> vm_resume -> ...
 *                                                                  send: DELIVERY record -> sink's queue -> DELIVERY_RESULT
 *
 * Everything runs on the loop of an io, real or simulated, and keeps its state in log and store only: an engine that is killed at any point
 * and opened again goes on where the log ends (RELIABILITY 2.0). What it holds in memory are runs that are executing.
 *
 * Single-threaded; nothing here blocks but engine_open and engine_close. Callbacks are never made from inside the call that asked for them,
 * engine_submit_* excepted when the answer needs no storage (not accepting, too large). */
#ifndef HDW_ENGINE_H
#define HDW_ENGINE_H
#include "config.h"
#include "hl7.h"
#include "io.h"
#include "log.h"
#include "run.h"
#include "store.h"

typedef struct engine engine;

/* ---- effects seen from outside: mocks, traces ---------------------------------------------------------------------- */

typedef struct engine_effect {
  const char *connection;    /* "crm"; "" for operations without one */
  const char *operation;     /* "rest.post" */
  const char *workflow, *path;
  uint64_t run, delivery;    /* delivery 0: a step */
  uint32_t attempt;          /* from 1 */
  const char *idempotency_key;
  val request;               /* object: arguments by name */
  int64_t timeout_us;        /* of the connection */
} engine_effect;

typedef enum engine_mock_verdict { MOCK_PASS = 0, MOCK_VALUE, MOCK_ERROR } engine_mock_verdict;
typedef struct engine_mock_answer {
  val value;                 /* MOCK_VALUE: the operation's result, in a */
  int status;                /* MOCK_ERROR: HTTP status or 0 */
  uint8_t fail_class;        /* FAIL_*; 0 = by status */
  const char *code, *message;
  int64_t delay_us;          /* the answer takes so long */
  int64_t retry_after_us;    /* MOCK_ERROR: what the peer asks for */
} engine_mock_answer;
/* Asked before every attempt of every effect (but sys.log). PASS: the real driver does it; with mock_only that is an error of the run. */
typedef engine_mock_verdict (*engine_mock)(void *user, const engine_effect *effect, arena *a, engine_mock_answer *out);

typedef enum engine_level { ENGINE_DEBUG, ENGINE_INFO, ENGINE_WARN, ENGINE_ERROR } engine_level;

typedef struct engine_opts {
  const char *dir;           /* data folder */
  const config *config;      /* outlives the engine */
  const vm_host *host;
  const vm_model *model;
  const hl7_schema *schema;  /* names in HL7 messages; may be NULL */
  const io_mem *budget;      /* of the process: intake stops at 7/8 of its limit; may be NULL */
  engine_mock mock;          /* may be NULL */
  void *mock_user;
  bool metrics;              /* counts for /metrics */
  const unsigned *kernel_holds; /* what the process gave up: bit 0 files, bit 1 system calls (hdwvm_sandbox.h); may be NULL */
  struct tracer *tracer;     /* where spans go (trace.h); the engine frees it. NULL: nowhere */
  bool daemon;               /* simulated seam only: timers that never end (disk space, reconciling, retention) run there as they do in hdwvm */
  bool mock_only;            /* nothing but mocks and sys.log is performed */
  const struct eng_driver *const *drivers; /* engine_drivers(), or NULL with mock_only */
  const char *who;           /* who starts it, for the records of what is deployed; NULL = "serve" */
  bool lenient;              /* a module whose connections cannot be set up is refused, the others start */
  bool read_only;            /* only for looking: the folder as it was last committed; engine_start must not be called */
  int64_t retain_every_us;   /* retention looks so often; 0 = a minute, on the simulated side never by itself */
  int64_t suspend_us;        /* runs that wait for longer leave memory and are rebuilt from the journal: 0 = 1 second, 1 = at once (stress) */
  int64_t reconcile_us;      /* how often what stands still is looked for; 0 = as configured, on the simulated seam never */
  uint64_t log_segment_bytes; /* 0 = the log's default; small for engines that live for one test */
  uint32_t *hits;            /* coverage of the one module that is loaded, as in vm_cx; NULL = not counted */
  /* One line of JSON without line end. NULL: nothing is logged. */
  void (*log)(void *user, engine_level level, const char *line, size_t len);
  void *log_user;
} engine_opts;

/* Every kind of connection of this build, ended by NULL. */
const struct eng_driver *const *engine_drivers(void);
/* Opens log and store (and rebuilds the store when needed). Nothing runs before engine_start. text (200 bytes) says what went wrong.
 * HDW_E_DENIED, HDW_E_CORRUPT, HDW_E_FULL, HDW_E_IO, HDW_E_EXISTS (another process has the folder), HDW_E_NOMEM. */
hdw_status engine_open(io *x, const engine_opts *o, engine **out, char text[200]);
/* Loads a module: id checked, verified, bound, META read, capabilities checked. bytes are copied. HDW_E_CORRUPT, HDW_E_NOTFOUND (a native is missing), HDW_E_EXISTS. */
hdw_status engine_load(engine *e, const char *file, const void *bytes, size_t len, mod_error *err);
/* As engine_load, for files named on the command line: one that the daemon has deployed before does not undo what an operator deployed since; then
 * *kept and the operator's version is loaded. */
hdw_status engine_load_file(engine *e, const char *file, const void *bytes, size_t len, bool *kept, mod_error *err);
/* Loads what is deployed in the data folder and not loaded yet: what operators deployed, and with all what came from command lines, too. */
hdw_status engine_load_deployed(engine *e, bool all, char text[200]);
/* A module that cannot be taken. refuse: one that is not loaded; drop: a loaded one, before engine_start. Both are shown as refused, with the reason. */
void engine_refuse(engine *e, const char *file, const char *reason);
bool engine_any_refused(const engine *e);
void engine_drop(engine *e, const meta *m, const char *reason);
/* Modules that are not current and that unfinished runs are pinned to. m lives during the call. */
void engine_each_pinned(engine *e, void (*fn)(void *user, const meta *m), void *user);
/* One line in the daemon's log. value may be NULL. No clinical values. */
void engine_note(engine *e, engine_level level, const char *event, const char *key, const char *value);
/* The same checks without an engine: bytes must be 8-byte aligned and stay; everything else lives in a. */
hdw_status engine_check_module(arena *a, mem *scratch, const vm_host *host, const uint8_t *bytes, size_t len, module *m, meta *out, const vm_native **bound, mod_error *err);
/* What is wrong with the connections that these modules declare, and with the certificates of listeners, as far as it shows without network, log or store: a line each
 * ("connections.crm: ..."). Of o only config and drivers matter; config_bind had no problems. HDW_E_NOMEM. */
hdw_status engine_check_bindings(io *x, const engine_opts *o, const meta *const *metas, uint32_t n, void (*say)(void *user, const char *text), void *user);
/* METAs of what is loaded, for config_bind. */
uint32_t engine_metas(const engine *e, const meta **out, uint32_t cap);
/* Resolves every connection; call after config_bind had no problems. Then runs that are unfinished go on, and deliveries too. */
hdw_status engine_start(engine *e, char text[200]);
/* Opens the listeners of the configuration (mllp, http). Not used by hdwc. */
hdw_status engine_listen(engine *e, char text[200]);
/* ---- from one deployment to the next, while it runs (engine_switch.c) ----
 * A stage begins with the modules that are current; engine_switch makes it current under a configuration, all or nothing, and takes it over. When it
 * fails nothing has changed and the stage is still the caller's. Inputs from then on go to the new versions, runs that exist stay with theirs. */
typedef struct engine_stage engine_stage;
hdw_status engine_stage_new(engine *e, engine_stage **out);
/* Adds a module, or puts it in the place of the one with its name. Errors as engine_load. */
hdw_status engine_stage_module(engine_stage *st, const char *file, const void *bytes, size_t len, mod_error *err);
/* The version before the current one, or the one whose id begins with `to` (hex), from the log. name NULL: the only module. */
hdw_status engine_stage_back(engine_stage *st, const char *name, const char *to, char text[200]);
bool engine_stage_drop(engine_stage *st, const char *name);
/* For config_bind. */
uint32_t engine_stage_metas(const engine_stage *st, const meta **out, uint32_t cap);
void engine_stage_free(engine_stage *st);
/* Names under which something is kept and that the stage drops: one line each in problems. Before engine_start: engine_names. */
void engine_stage_names(engine_stage *st, const config *c, buf *problems);
void engine_stage_each_pinned(engine_stage *st, void (*fn)(void *user, const meta *m), void *user);
void engine_names(engine *e, buf *problems);
/* What is kept under a name: deliveries that wait, runs that are not finished, the window in which a listener knows resends, once-keys that are taken. */
typedef struct engine_lost {
  uint64_t deliveries, runs;
  bool listener, once;
  bool declared;             /* a current module declares the name */
} engine_lost;
/* HDW_E_...: not everything could be looked up. */
hdw_status engine_kept(engine *e, const char *name, engine_lost *out);
/* Gives it up: now (out: what was discarded), or, when the name is declared, with the deployment that drops it. HDW_E_NOTFOUND: nothing is kept under it;
 * another: not everything could be found or written; what is said in out is discarded all the same. */
hdw_status engine_forget(engine *e, const char *name, const char *who, engine_lost *out);
/* c has been bound to the stage's metas without problems, and stays while engine_uses_config says so. */
hdw_status engine_switch(engine_stage *st, const config *c, const char *who, char text[200]);
bool engine_uses_config(const engine *e, const config *c);
/* Bound port of a listener, 0 when it is not open. */
uint16_t engine_port(const engine *e, const char *listener);
/* Stops intake, waits for what is in flight at most drain_us, then calls done. */
void engine_drain(engine *e, int64_t drain_us, void (*done)(void *user), void *user);
/* Closes log and store; everything unfinished stays in them. */
void engine_close(engine *e);

/* ---- inputs --------------------------------------------------------------------------------------------------------- */

typedef struct engine_source {
  const char *listener;      /* declared name */
  const char *peer;          /* address, for the record; may be NULL */
  const char *workflow;      /* not NULL: this workflow only, whatever its trigger (hdwc) */
  /* HTTP only: */
  const char *method, *path; /* "POST", "/intake"; NULL for MLLP */
  const char *charset;       /* of Content-Type; NULL = by MSH-18 */
  const char *identity;      /* name of the authenticated peer (H-12, H-50); NULL = none */
  const void *trace;         /* context of the request, as trace_pack gives it; NULL = none */
  bool commits;              /* the callback also hears of the commit itself (MLLP v2) */
} engine_source;

typedef struct engine_reply {
  uint64_t input;            /* 0: nothing was stored */
  char code[8];              /* "AA" ... as decided; "" for JSON and when nothing is owed */
  int http_status;
  const void *p;             /* answer: HL7 bytes, or JSON when json; valid during the call */
  size_t len;                /* 0: nothing is owed */
  bool json;
  bool extra;                /* a message of its own after the answer (application acknowledgement) */
  bool duplicate;            /* the stored answer to a resend */
  bool last;                 /* no further call for this submission */
  bool commit, stored;       /* commit: no answer, but what was submitted is stored, or will not be; comes before the answer, at most once */
  bool close;                /* the connection is of no use any more: close it after this (H-24) */
} engine_reply;
typedef void (*engine_reply_cb)(void *user, const engine_reply *r);

/* One frame: a message or a batch. Bytes are copied. Exactly one reply that is not extra comes, then `last`. */
void engine_submit_hl7(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user);
/* A request to an API trigger. body: JSON text (or anything, kept as text); query and headers: values of type VAL_OBJ with strings. */
typedef struct engine_request {
  engine_source src;
  val query, headers;
  const void *body;
  size_t body_len;
  const char *idempotency_key; /* of the caller; NULL = none, then no duplicate is recognised */
} engine_request;
void engine_submit_request(engine *e, const engine_request *rq, engine_reply_cb cb, void *user);
/* Whether anything listens at this path: 0 = no, 1 = yes for other methods only (allow gets them), 2 = yes, 3 = HL7 messages. */
int engine_route(const engine *e, const char *listener, const char *method, const char *path, char allow[64]);

/* ---- retention ------------------------------------------------------------------------------------------------------ */

/* Offline: what is over by the configuration goes, without anything else being started; done when two passes were made. */
hdw_status engine_retain(engine *e, void (*done)(void *user), void *user);

/* ---- looking in ------------------------------------------------------------------------------------------------------ */

/* Nothing executing, nothing in flight, nothing durable outstanding (parked runs and waiting deliveries may exist). */
bool engine_idle(const engine *e);
store *engine_store(engine *e);
/* Records that this log was replaced by one of a newer term (term.h): it is not served again. Durable when the log is. */
hdw_status engine_fence(engine *e, uint64_t term);
hlog *engine_log(engine *e);
typedef struct engine_status {
  uint32_t active_runs, ready_runs, steps_in_flight, deliveries_in_flight, waiting_answers;
  uint64_t inputs, duplicates, conflicts, unmatched, rejected, failed, refused, once; /* since start; once: runs that a once-key made needless */
  uint64_t runs_done, runs_dead, steps, deliveries;
  bool accepting, draining;
  int64_t started_us;
  uint64_t held_lanes;       /* now */
  uint64_t no_lane;          /* since start: runs of workflows with `order by` whose keys were all empty */
  uint64_t retain_passes, retain_freed_bytes, retain_expired, log_bytes, pinned_bytes; /* since start; in the log's files now; kept for what is unfinished */
  uint64_t echoes;           /* inputs that were messages of our own */
  uint64_t rescued;          /* runs and queues that stood still and were found by looking: not 0 = a bug */
} engine_status;
void engine_get_status(const engine *e, engine_status *out);

/* What cached(…) keeps of a connection's answers. */
typedef struct engine_answers {
  uint32_t entries;
  uint64_t bytes;
  int64_t oldest_us, newest_us; /* wall; when they were asked */
} engine_answers;
bool engine_cache_of(const engine *e, const char *connection, engine_answers *out);   /* false: nothing */
/* Forgets what is kept of a connection (NULL: of all). Gives how many answers. */
uint32_t engine_cache_clear(engine *e, const char *connection);

typedef struct engine_sink {
  const char *name, *kind, *state;  /* state: eng_hold_text, or "held by a dead letter" */
  uint32_t in_flight;               /* attempts under way or waiting for a place: deliveries and steps */
  uint64_t delivered, failed, dead; /* since start */
  int64_t hold_until_us;            /* monotonic; 0 = not holding */
  const char *last_error;
  uint64_t held_by;                 /* dead delivery that holds an ordered queue */
  uint64_t opened;                  /* times its breaker opened, since start */
  uint64_t steps;                   /* steps that succeeded, since start */
  uint32_t room;                    /* attempts at once, now: fewer after 429 */
  uint64_t requests, throttled;     /* HTTP requests made, and those answered 429, since start */
  uint64_t retries_refused;         /* that would have been too large a share of a minute's calls, since start */
  const char *login, *login_state;  /* kind, NULL = none; "logged in", "no token yet", "logging in", "cannot log in", NULL = nothing that ends */
  int64_t login_until_us;           /* wall; end of the token, 0 = there is none */
  uint64_t logins, login_failures;  /* requests for tokens, and those that failed, since start */
  const char *login_error;          /* why the last one failed; NULL = it did not */
} engine_sink;
/* The public keys of all logins as a JWK Set (RFC 7517), each once. */
void engine_jwks(engine *e, buf *out);
bool engine_sink_at(const engine *e, uint32_t i, engine_sink *out);

typedef struct engine_source_info { /* a listener; counters since start */
  const char *name, *kind, *address;
  uint16_t port;
  bool open, paused, tls;
  uint32_t connections, unanswered;         /* now */
  uint64_t accepted, refused_connections;
  uint64_t messages, duplicates, conflicts; /* inputs stored; resends; control ids with other content */
  uint64_t refused;                         /* not stored: back-pressure, too long, protocol */
  uint64_t unparseable;                     /* without a usable MSH (H-24) */
  uint64_t lone_conditions;                 /* only one of MSH-15 and MSH-16 was set (H-15) */
  uint64_t unauthorised;                    /* no or unknown credentials, certificate not mapped */
  uint64_t junk_bytes, partial_frames, oversize, violations, timeouts, tls_failures;
  int64_t cert_expires_us;                  /* wall; 0 = no TLS */
} engine_source_info;
/* False behind the last one. */
bool engine_listener_at(const engine *e, uint32_t i, engine_source_info *out);

/* What arrived and no workflow reads or drops (options loss, loss_json), since start: one call for each sender and path. */
typedef struct engine_loss {
  const char *sender;        /* MSH-3; of requests the peer's identity, or the listener */
  uint64_t sender_inputs, sender_lossy; /* its inputs that some workflow wanted; those of them with something unread */
  char path[124];            /* "PID-11", "NK1", "Patient.contact", "(others)" */
  const char *title;         /* name of the segment or field in HL7; "" */
  uint64_t inputs;
  int64_t last_us;           /* wall */
} engine_loss;
void engine_losses(const engine *e, void (*fn)(void *user, const engine_loss *l), void *user);

/* The value that a run returned, its outcome and its arguments, from RUN_END's body (in a). */
hdw_status engine_result(engine *e, const store_run *run, arena *a, vm_outcome *outcome, val *value);
/* A packed body of the journal or outbox as a value. */
hdw_status engine_unpack(engine *e, arena *a, const void *p, size_t len, val *out);
/* Text of a source position of the run's module: "admit.hdw:12:3"; "" when unknown. */
void engine_where(engine *e, const uint8_t hash[REC_HASH], uint32_t file, uint32_t line, uint32_t col, char out[200]);

/* Operator actions; cb when durable. HDW_E_NOTFOUND; HDW_E_INVALID: not dead; HDW_E_EXISTS: a later run of the same input has its place. */
typedef void (*engine_done_cb)(void *user, hdw_status s);
hdw_status engine_redrive(engine *e, uint8_t subject, uint64_t id, const char *who, engine_done_cb cb, void *user);
/* Stops a run that has not ended; what it sent stays sent. HDW_E_INVALID: it has ended, or is just ending. */
hdw_status engine_cancel(engine *e, uint64_t run, const char *who, const char *reason, engine_done_cb cb, void *user);
/* Operators give reasons of at most so many bytes; what is beyond is cut off. */
enum { ENG_REASON_MAX = 1000 };
hdw_status engine_discard(engine *e, uint8_t subject, uint64_t id, const char *who, const char *reason, engine_done_cb cb, void *user);

/* One lane (`order by`): its key is known by hash only. held: its first run failed, died or is parked, and what comes behind waits for it;
 * else that run is at work and others wait for their turn. */
typedef struct engine_lane {
  const uint8_t *lane;       /* REC_LANE bytes */
  const store_run *run;      /* the first one, valid during the call */
  bool held;
  uint32_t waiting;          /* runs behind it; 10,000 means: at least so many */
  const store_delivery *delivery; /* NULL, or: not the run (that made it) holds the lane, but this dead delivery holds it in its sink's queue; waiting: deliveries */
} engine_lane;
typedef bool (*engine_lane_cb)(const engine_lane *l, void *user); /* false stops */
/* Lanes that runs hold, then those where somebody waits for a run at work, then lanes of sinks that dead deliveries hold. */
void engine_lanes(engine *e, unsigned limit, engine_lane_cb cb, void *user);
/* The run that holds the lane leaves it, and what waits goes on; the run itself stays what it is (a dead letter). HDW_E_NOTFOUND: nobody is in the lane;
 * HDW_E_INVALID: its first run is at work. */
hdw_status engine_skip_lane(engine *e, const uint8_t lane[REC_LANE], const char *who, const char *reason, engine_done_cb cb, void *user);
/* What a dead run or delivery holds goes on without it; it stays a dead letter. HDW_E_INVALID: it holds nothing. */
hdw_status engine_skip(engine *e, uint8_t subject, uint64_t id, const char *who, engine_done_cb cb, void *user);

/* What reprocessing an input would do, one for each run. Texts live in the arena or are constants. */
enum { REDO_MAX_LINES = 100 };
typedef struct engine_redo_line {
  char path[80], operation[96];
  const char *connection;
  bool send;
  const char *what;          /* "taken over", "performed", ... */
  uint64_t delivery;         /* the one before that it is about; 0 = none */
} engine_redo_line;
typedef struct engine_redo {
  uint64_t input, of_run;    /* 0: it had no run of this workflow */
  const char *workflow;
  const char *refused;       /* why it would not start; NULL: it would */
  engine_redo_line *lines;
  uint32_t nlines, nlines_more;
  uint32_t lane_waiting;     /* runs in its lanes that go first */
  const char *end;           /* how far the plan could look */
} engine_redo;
/* workflow NULL: all that the input had. HDW_E_NOTFOUND and others with a text. */
hdw_status engine_reprocess_plan(engine *e, uint64_t input, const char *workflow, arena *a, engine_redo out[REC_MAX_RUNS], uint32_t *n, char text[200]);
/* Starts them; cb once for each of *started. Dead letters that they supersede are discarded. HDW_E_INVALID with a text: none could be started;
 * HDW_E_AGAIN with a text: not at this moment. */
hdw_status engine_reprocess(engine *e, uint64_t input, const char *workflow, const char *who, engine_done_cb cb, void *user, uint32_t *started, char text[200]);

/* Runs of the workflow that have not begun wait, until it is resumed. Survives restarts. HDW_E_NOTFOUND. */
hdw_status engine_pause_workflow(engine *e, const char *workflow, bool pause, const char *who, engine_done_cb cb, void *user);

/* Stops or resumes everything that goes to a connection: deliveries wait, runs that come to a step of it park. Survives restarts. HDW_E_NOTFOUND. */
hdw_status engine_pause(engine *e, const char *sink, bool pause, const char *who, engine_done_cb cb, void *user);

#endif
