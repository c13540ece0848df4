/* engine_int.h - the engine's own structures; only engine_*.c, dispatch_*.c and admin_*.c include it.
 *
 *   engine_core.c    open, start, append, drain                engine_in.c     HL7 inputs: identify, parse, decide
 *   engine_batch.c   batches of messages                       engine_check.c  processing ids, sequence numbers
 *   engine_commit.c  duplicates, record, answer                engine_request.c API inputs
 *   engine_gate.c    which workflows, gates, lanes             engine_pending.c who waits for an answer
 *   engine_lane.c    which run may start                       engine_run.c    execution of runs
 *   engine_step.c    effects of a run: journal, replay         engine_out.c    the outbox: queues of sinks
 *   engine_attempt.c steps under way: attempts, retry          engine_early.c  runs before the sync
 *   engine_conn.c    may an attempt leave now: breaker, hours   engine_act.c    what an operator does
 *   engine_polite.c  its last minute: retries, failures         engine_dry.c    connections looked at, not opened
 *   engine_ack.c     answers from records                      engine_listen.c sockets, MLLP
 *   engine_http.c    requests over HTTP                        engine_auth.c   who a peer is
 *   engine_deploy.c  modules, what runs are pinned to          engine_switch.c from one deployment to the next
 *   audit.c          who did what                               watch.c         metrics and traces
 *   engine_moved.c   an address is another than before       engine_window.c  windows of listeners and once-keys
 *   engine_retain.c  what is over goes                        engine_trace.c  a run executed again, to look at it
 *   engine_replay.c  recorded inputs through another version    engine_class.c  is it a read, may it be repeated
 *   dispatch_*.c     one file for each kind of connection      dispatch_http.c HTTP for rest and fhir; auth_*.c logins */
#ifndef HDW_ENGINE_INT_H
#define HDW_ENGINE_INT_H
#include "codec.h"
#include "egress.h"
#include "engine.h"
#include "hours.h"
#include "http.h"
#include "mllp.h"
#include "pack.h"
#include "records.h"

enum { ENG_MAX_APPS = 128, ENG_MAX_LISTENERS = 256, ENG_HASH = 256, ENG_ECHOES = 1024, ENG_PART = 0, ENG_CODE = 40, ENG_TEXT = 200, ENG_HEX = 64 };

typedef struct eng_run eng_run;
typedef struct eng_conn eng_conn;
typedef struct eng_call eng_call;
typedef struct eng_dlv eng_dlv;
typedef struct eng_listener eng_listener;

/* ---- programs ---------------------------------------------------------------------------------------------------- */

typedef struct eng_sender eng_sender;
typedef struct eng_app {
  engine *e;
  arena a;
  char *file;
  uint8_t *bytes;
  size_t len;
  module m;
  meta meta;
  const vm_native *bound;
  eng_sender *senders;       /* one for each of meta.senders */
  bool has_senders;          /* some say how their messages are read */
  const char *name;          /* of the module, else its file: what deployments are known by */
  const char *who;           /* who deployed it; NULL = whoever starts the engine */
  uint8_t deployment[REC_HASH];
  val *settings;             /* values of meta.settings in this deployment; NULL until it is bound */
  const char *text;          /* what the deployment's hash is made of, as recorded */
  size_t text_len;
  int64_t since_us;          /* wall; when it became current */
  uint64_t has_effects;      /* one bit a workflow (modulo 64): a run of it asked for an effect */
  struct eng_reads *reads;   /* by workflow: what it reads of its input (engine_loss.c); NULL until it is asked for */
  bool retired;              /* only for runs that pin it */
} eng_app;

/* A module that was given and could not be taken: the others serve. */
typedef struct eng_refused {
  struct eng_refused *next;
  char name[META_MAX_NAME + 1], file[200], reason[300];
  int64_t time_us;
} eng_refused;

/* ---- connections ------------------------------------------------------------------------------------------------- */

/* How a connection's login stands; texts live until the next call of the loop. */
typedef struct eng_login_state {
  const char *kind, *state;  /* kind NULL = no login; state NULL = its credential does not end */
  int64_t until_us;          /* wall; of the token, 0 = there is none */
  uint64_t asked, failed;    /* requests for tokens, since start */
  const char *error;         /* of the last one, NULL = it succeeded */
} eng_login_state;

typedef struct eng_driver {
  const char *kind;          /* as in builtins.def: rest, mllp, folder */
  bool in_order;             /* one delivery at a time, oldest first (H-21) */
  /* Resolves what the driver needs from c->args. text says what is wrong. */
  hdw_status (*setup)(engine *e, eng_conn *c, char text[ENG_TEXT]);
  /* Performs call->op; calls eng_call_done later, never from inside. */
  void (*start)(eng_call *call);
  void (*cancel)(eng_call *call);
  void (*close)(eng_conn *c);
  /* The peer cannot know a second request like this for the first. NULL = none is so. */
  bool (*unsafe)(eng_call *call);
} eng_driver;

/* What happened at a connection in ten seconds (engine_polite.c). */
enum { ENG_SLICES = 6 };
#define ENG_SLICE_US INT64_C(10000000)
typedef struct eng_slice { uint32_t calls, bad, retries; } eng_slice;

struct eng_conn {
  engine *e;
  eng_app *app;              /* whose declaration it was made from: holds name and arguments */
  uint8_t print[REC_HASH];   /* of everything that it was made from: equal = nothing changed */
  uint8_t address[REC_LANE]; /* hash of where it goes to (engine_moved.c) */
  int64_t moved_us;          /* wall; since when it goes there; 0 = from the beginning */
  uint32_t settling;         /* deliveries that end as ambiguous because it moved, not yet durable: nothing leaves before */
  eng_conn *replaces, *replaced_by, *next_old; /* after a change: the new one begins when nothing of the old one is in flight */
  const char *name;
  const char *was;           /* the declaration's old name; NULL */
  const eng_driver *driver;
  const config_conn *cfg;
  val args;                  /* resolved */
  int64_t timeout_us;
  uint32_t retry_times;      /* in-line retries after the first attempt */
  int64_t retry_from_us, retry_to_us;
  net_cidr *grants;
  unsigned ngrants;
  bool private_ok;
  int64_t rate_gap_us, rate_burst_us, rate_next_us; /* rate(...): time of the next free place; gap 0 = no limit */
  int64_t rate_gap_now_us;   /* longer after 429 */
  hours *hours;              /* hours(...), NULL = always open */
  bool hold_dead;            /* a dead delivery holds its queue */
  bool careful;              /* unsafe operations whose outcome is unknown wait for a person, whatever `ambiguous` says */
  uint32_t breaker_failures; /* breaker(...): so many transient failures in a row open it; 0 = none */
  int64_t breaker_cooldown_us, open_until_us;
  int64_t breaker_quick_us;  /* the same where nothing reached the peer (no connection): a probe costs it nothing. As declared, else short */
  uint64_t requests, throttled; /* HTTP: requests made; those that were answered 429 */
  uint32_t window, window_done; /* attempts at once after 429: halved, then one more for each full round without; 0 = as configured */
  uint32_t row_failures;
  bool busy;                 /* HOLD_BUSY, until half of its steps have ended */
  bool open, probing;        /* the breaker; its probe is on its way */
  uint64_t opened;
  uint32_t again;            /* times that it opened since it was closed last: its cooldown grows */
  uint32_t came_through;     /* attempts that succeeded while it is open: the second one closes it */
  eng_slice minute[ENG_SLICES]; /* by time / ENG_SLICE_US modulo their number */
  int64_t minute_at;
  uint64_t retries_refused;  /* since start */
  tls_ctx *tls;              /* mllp: speaks TLS */
  const struct http_identity *identity; /* rest: own certificates or authorities */
  /* rest */
  bool https;
  char *host, *prefix;       /* prefix: path of the base without trailing '/' */
  uint16_t port;
  const struct eng_auth_kind *auth; /* dispatch_http.h; NULL = none */
  const char *auth_name, *auth_value; /* of logins that are one header */
  void *login;               /* of others: theirs */
  struct fhir_rates *fhir_rates; /* fhir: requests of single resources (fhir_quirks.c) */
  void (*look)(const eng_conn *c, eng_login_state *out); /* NULL = no login */
  hdw_status (*jwk)(const eng_conn *c, unsigned i, const char **kid, buf *out); /* its ith public key as a JWK; HDW_E_NOTFOUND; NULL = it has none */
  uint64_t logins, login_failures; /* requests for tokens, since start */
  /* mllp */
  struct eng_mllp *clients;
  /* folder */
  const char *folder;
  /* the sink: outbox state */
  uint32_t in_flight, steps;
  uint32_t marking;          /* deliveries that are being recorded as in flight, before their attempt */
  uint32_t places;           /* attempts with the driver; at most in_flight of the configuration, one for an ordered driver */
  eng_call *first, *last;    /* attempts that wait for a place */
  bool starved;              /* deliveries wait for a place */
  bool unread;               /* its queue could not be looked through: once more, a little later */
  eng_dlv *flying;
  uint8_t lane_at[REC_LANE]; /* the pump goes on behind this lane */
  uint32_t looked;           /* looks since the round began */
  bool whole;                /* the round began at the first lane, and has left none for want of room */
  int64_t hold_until_us;     /* monotonic; Retry-After */
  int64_t noted_until_us;    /* what of it the state knows, for a restart */
  uint64_t held_by;          /* the dead delivery that holds an ordered queue; 0 = none */
  bool paused;
  io_timer timer;            /* the end of what holds it */
  io_timer pump;
  io_timer wake;             /* parked runs that wait for it are being looked for */
  uint64_t wake_after, wake_seq; /* of the log when it was asked for: the state knows later who waits */
  bool wake_known;           /* when this look began the state knew of all of them */
  unsigned wake_again;       /* looks since then */
  bool wake_all;
  uint64_t delivered, failed, dead, steps_done;
  uint64_t cache_hits, cache_asked, cache_joined, cache_stale; /* cached(...): answered from what is kept; asked; by another run's asking; with an old answer */
  char last_error[ENG_TEXT];
};

/* One attempt at an effect. Embedded in whoever makes it. */
struct eng_call {
  engine *e;
  eng_conn *c;               /* NULL for sys operations */
  arena *a;                  /* request lives here, result is made here */
  char op[48];               /* "post" */
  val request;               /* object by argument name */
  char idem[ENG_HEX + 1];    /* idempotency key */
  const char *workflow;
  uint64_t run, delivery;
  const char *path;
  uint32_t attempt;
  void (*done)(eng_call *call, void *user);
  void *user;
  int64_t began_us;          /* monotonic */
  /* outcome */
  bool ok, sent;             /* sent: the peer may have it */
  bool held;                 /* not attempted: the connection is held */
  bool judged;               /* the peer read it and said no: it is there */
  bool unasked;              /* the peer has no part in how it ended: says nothing about it */
  bool once;                 /* when its outcome is unknown it is not tried again by itself: the peer cannot know the second one for the first */
  val result;
  uint8_t fail_class;
  int status;
  int64_t retry_after_us;
  char code[ENG_CODE], message[ENG_TEXT];
  /* eng_call_start's */
  bool probe, placed, queued, writes;
  eng_call *next;
  /* driver's */
  bool active;
  bool left;                 /* a request of it went out, and the peer may have done something */
  io_timer soon, timer;
  uint64_t io_id;
  void *driver;
};

/* ---- runs ---------------------------------------------------------------------------------------------------------- */

typedef struct eng_recorded { /* a delivery that the run made before a restart */
  char *path;
  uint8_t request_hash[REC_HASH];
  struct eng_recorded *next;
} eng_recorded;

/* An effect under way, with memory of its own: the run that asked for it may leave memory meanwhile and comes back to it by executing again. */
typedef enum eng_step_state { STEP_INTENT /* being recorded */, STEP_TRIES, STEP_DONE, STEP_FAILED /* finally: its run decides */ } eng_step_state;
typedef struct eng_step {
  engine *e;
  struct eng_step *next;     /* of those with the same hash */
  uint64_t run;
  eng_run *r;                /* NULL: not in memory */
  vm_run *branch;            /* of r; waits for this */
  arena a;                   /* all that follows, attempts included */
  eng_conn *c;
  char *path, *workflow;
  char operation[96];        /* "rest.post" */
  val request;
  uint8_t hash[REC_HASH], klass;
  eng_step_state state;
  bool intent_due;           /* its record is not durable yet: the callback holds a pointer */
  bool dropped;              /* nobody wants it; goes with that callback */
  bool back;                 /* done while its run was away: among nback */
  bool unwritten;            /* done, and its RESULT could not be appended: before anybody has it, it is */
  uint32_t attempts;
  bool unsure;               /* the peer may have it from an attempt before */
  arena_mark mark;           /* an attempt's memory begins here */
  uint64_t seq;              /* of its RESULT */
  const void *result;        /* packed */
  size_t result_len;
  eng_call call;
  io_timer timer;
  int64_t keep_us, stale_us; /* cached(...): how long its answer is good; how much longer when there is no other. 0 = it is not kept */
  uint8_t cache_key[REC_LANE];
  bool asks, joins;          /* its call is under way for all; it waits for another's */
} eng_step;

struct eng_run {
  engine *e;
  eng_run *hash_next, *prev, *next;
  uint64_t id;
  eng_app *app;
  const meta_workflow *wf;
  arena a;                   /* row, input, everything of the run */
  bool early;                /* its input is not durable yet: nothing may leave */
  store_run row;
  uint8_t identity[REC_HASH];/* of the input; idempotency keys derive from it */
  const char *peer;          /* identity of who sent the input; NULL = none */
  int64_t input_us;          /* commit time of the input */
  bool replay;               /* journal may hold results */
  bool ending;               /* an end or park record is on its way */
  bool done;                 /* ... that says RUN_DONE */
  eng_recorded *sent;
  char parked_path[REC_PATH_MAX];
  char unsure[REC_PATH_MAX]; /* path of a step whose last attempt may have arrived; "": none. Its own bytes: the arena gives some back while the run goes on */
  bool known;                /* how the attempt at parked_path ended is known: it waited for a time or a person, no crash came between */
  eng_conn *tried;           /* it parks because of a step of this connection, after so many attempts */
  uint32_t tries;
  eng_conn *held;            /* it parks because this connection is held: no attempt was made */
  uint32_t steps;
  uint64_t last_seq;         /* of the records that it lives by: it leaves memory only when the store has them */
  bool beyond;               /* came to an effect that was not recorded: log lines are new from here */
  int64_t retry_after_us;    /* what a failed branch was told */
  io_timer task;             /* goes on from the loop: a run never executes inside another's callback */
  io_timer leave;            /* suspended for so long, it leaves memory */
  vm_cx cx;
  vm_run vm;                 /* last, because its stacks are not cleared; made by vm_start, its outcome before */
};

/* ---- answers that wait ------------------------------------------------------------------------------------------------ */

typedef struct eng_answer {  /* somebody who waits for a reply */
  engine_reply_cb cb;
  void *user;
  struct eng_answer *next;
  eng_listener *l;           /* whose options say what is owed; NULL = defaults */
  bool joined;
  bool single;               /* one answer only, no accept acknowledgement before it */
  bool http;                 /* what is not stored gets a status instead of an acknowledgement */
  bool commits;              /* wants to hear of the commit */
  bool noted;                /* has heard of it */
  bool committed;            /* the accept acknowledgement has left, the application one is an extra */
  bool done;                 /* has had its last answer */
} eng_answer;

/* An input between append and durable, or (waiting) an ack-after-run input until its run ends. */
typedef struct eng_pending {
  int64_t began_us;          /* wall; of an input that is on its way to its record */
  engine *e;
  struct eng_pending *hash_next, *prev, *next;
  size_t alloc;              /* of the block: it holds key and bytes, too */
  char *key;                 /* listener + duplicate key; NULL when there is none */
  uint32_t key_len, slot;
  uint8_t content_hash[REC_HASH];
  bool hl7;
  uint64_t input;            /* 0 until known */
  uint64_t ack_run;          /* the run whose end is the answer */
  eng_answer *answers;
  io_timer deadline;
  char ack_else[4];
  uint8_t *bytes;            /* of the input: answers are made from its MSH */
  size_t len;
  bool waiting, armed;       /* ack after run: not yet known, and its commit is durable */
  int64_t within_us;
  int64_t time_us;           /* of the input's commit: answers carry it, so that a repeated one is the same */
} eng_pending;

/* ---- the engine --------------------------------------------------------------------------------------------------------- */

/* Begins whatever waits for the answer to something that came over a listener; gone with the answer, or with the listener. */
typedef struct eng_wait {
  struct eng_wait *prev, *next;
  size_t size;
} eng_wait;

struct eng_listener {
  engine *e;
  eng_wait *waits;
  const char *name, *kind;
  const config_listener_opts *o;
  const config_listener *cfg;
  tls_ctx *tls;
  mllp_listener *mllp;
  http_server *http;
  net_cidr *allow;
  unsigned nallow;
  bool closing;              /* of an earlier deployment: open connections get their answers, then it goes */
  uint64_t messages, duplicates, conflicts, refused, unparseable, lone, unauthorised;
  struct eng_sequence *sequences;
};

typedef struct eng_append eng_append;
typedef struct eng_loss eng_loss;

struct engine {
  io *io;
  mem *mem;
  engine_opts o;
  arena a;
  hlog *log;
  store *store;
  eng_app *apps[ENG_MAX_APPS];
  uint32_t napps;
  eng_conn **conns;          uint32_t nconns;
  eng_conn *old_conns;       /* of earlier deployments, for what is still under way */
  eng_listener *listeners;   uint32_t nlisteners;  /* room for ENG_MAX_LISTENERS: pointers to them stay good */
  eng_refused *refused;
  struct eng_olds *olds;     uint32_t nolds;       /* listeners that had other names */
  eng_loss *loss;            /* NULL: nothing counted yet */
  struct re_cache *regexes;  /* compiled patterns of all modules */
  uint32_t nback;            /* of naway: done, their runs wait to come back */
  io_timer reap;             /* gives back what earlier deployments left behind */
  eng_run *run_hash[ENG_HASH];
  eng_run *runs;             /* active */
  uint32_t nruns;
  eng_step *steps[ENG_HASH]; /* by run */
  struct eng_cancel *cancels; /* decided, not yet durable */
  struct eng_act *acts;       /* the same for what else a person decides */
  io_timer crowd;            /* runs wait for a place in memory: those there that wait are asked to go */
  uint32_t nsteps, naway;    /* all; those whose run is not in memory */
  uint64_t *ready;           /* ring of run id << 1 | never started before */
  uint32_t ready_cap, ready_at, nready;
  bool paused_workflows;     /* there are some */
  bool rescan;               /* the ring overflowed or the process just started: look for queued runs in the store */
  bool rescan_again;         /* once more when the scan under way has ended */
  uint64_t rescan_after;
  uint64_t fresh_after;      /* runs made by later records cannot have a journal before they begin */
  uint8_t rescan_state;
  io_timer sched;
  eng_pending *pending_hash[ENG_HASH];
  eng_pending *pending;
  eng_append *free_appends;
  uint32_t outstanding;      /* appends not yet durable */
  int64_t appended_us;       /* time of the newest record */
  uint64_t early_after;      /* a record that may change lanes: until it is part of the state no run goes early */
  struct eng_late *late;     /* lanes of runs that wait for their input to be durable */
  struct eng_batch *batches; /* whose answer is owed */
  struct eng_once *once;     /* keys of appends not yet durable */
  io_timer rescan_timer;
  io_timer wake;             /* parked runs and waiting deliveries */
  int64_t wake_at_us;        /* eng_clock_us */
  int64_t clock_off_us;      /* to be added to the monotonic clock: eng_clock_us */
  io_timer reconcile, echo_timer;
  struct { uint64_t mark; int64_t at_us; } echoes[ENG_ECHOES]; /* short forms of marks that may not be durable yet, and when they were made */
  int64_t reconcile_us;      /* 0 = not looked for */
  uint64_t reconcile_after;
  uint8_t reconcile_state;
  io_timer intake;           /* looks whether intake may go on */
  bool unclean;              /* the process before this one ended without a word */
  int64_t last_life_us;      /* wall; its last record */
  hdw_status unsettled;      /* why what is known of a connection could not be looked up: engine_start gives up */
  bool started, draining, accepting, failed, closing, unread;
  bool unread_now;           /* eng_read could not, since somebody cleared this */
  void (*drained)(void *user);
  void *drained_user;
  io_timer drain_timer;
  bool drain_done;
  uint64_t hash_seed;
  const char *peer;          /* while gates decide: the peer's identity, NULL = none */
  int64_t decided_us;        /* wall; not 0: what is replayed is decided as if it were this time */
  bool unsure;               /* what a decision needs (whose a message is, whether it is an echo) could not be told: out of memory */
  uint8_t content_key[16];   /* of marks made by this process */
  struct eng_retain *retain;
  uint64_t wanted_after;     /* the last record by which what was over is needed again: reprocessing, a failed run back to work */
  struct eng_tokens *tokens; /* auth_token.c; NULL: none was asked for yet */
  void (*tokens_free)(engine *e);
  struct eng_cache *cache;   /* engine_cache.c; NULL: nothing is kept */
  engine_status st;
  uint8_t meta[REC_META_MAX];
  struct tracer *tracer;     /* NULL: no spans are sent */
  struct metrics *metrics;   /* NULL: nothing is counted (hdwc) */
  struct eng_audit_state {   /* audit.c */
    uint64_t number;         /* of the latest record appended */
    uint8_t head[REC_HASH];  /* its hash */
    bool open;
  } audit;
};

/* ---- core --------------------------------------------------------------------------------------------------------------- */

static inline void *eng_get(engine *e, size_t n) {
  void *p = e->mem->get(e->mem, n);
  if (p) memset(p, 0, n);
  return p;
}
/* Of a run in the tables by run. Most inputs make one run: the index in the low byte of its id says nothing. */
static inline unsigned eng_slot(uint64_t run) { return (unsigned)((rec_run_seq(run) ^ run << 3) % ENG_HASH); }
static inline void eng_put(engine *e, void *p, size_t n) { if (p) e->mem->put(e->mem, p, n); }

typedef void (*eng_durable)(engine *e, hdw_status s, const log_rec *rec, void *user);
/* Appends a record with the meta in w (e->meta) and makes it part of the state when it is durable; then fn (may be NULL). *seq may be NULL. */
hdw_status eng_append_rec(engine *e, uint8_t type, const cod_w *w, const void *body, size_t len, eng_durable fn, void *user, uint64_t *seq);
/* Whether this is an answer of the state: yes, or HDW_E_NOTFOUND. False: nobody knows; a damaged state is told, and the engine ends. */
bool eng_state_said(engine *e, hdw_status s);
/* Whether the state has it, for connections that are made ready and names: what cannot be looked up is noted in e->unsettled. */
bool eng_state_has(engine *e, hdw_status s);
/* What was noted since it was asked for; HDW_OK: all that was looked up is known. */
hdw_status eng_settled(engine *e);
/* log_read; a record that cannot be read is said with its segment and place. What retention took is none. HDW_E_IO: the disk or the process (too many open
 * files) could not just now, though the record may be whole: no reason to give anything up. */
hdw_status eng_read(engine *e, log_pos pos, arena *a, log_rec *out);
/* Of the last record given to the log. */
uint64_t eng_last_seq(const engine *e);
static inline cod_w eng_writer(engine *e) { return cod_writer(e->meta, sizeof e->meta); }
/* A log line: {"event":..., key: value ...}. Pairs of name and text, ended by NULL. No clinical values. */
void eng_say(engine *e, engine_level level, const char *event, ...) __attribute__((sentinel));
/* A log line's value with its quotes. */
void eng_log_text(buf *b, const char *s, size_t n);
/* engine_sender.c. load: HDW_E_INVALID, HDW_E_NOTFOUND with a text. options: false when no sender of any module claims the message;
 * pinned (NULL = none): what a run is pinned to stands in the place of its module's current version. */
hdw_status eng_senders_load(engine *e, eng_app *app, mod_error *err);
bool eng_sender_options(engine *e, eng_app *pinned, arena *a, val message, const char *identity, hl7_opts *o);
/* engine_gate.c: does sender i of the module match the message, by declaration; by the authenticated peer first? */
bool eng_sender_eval(engine *e, eng_app *app, uint32_t i, arena *a, val input);
bool eng_sender_is(engine *e, eng_app *app, uint32_t i, arena *a, val input, const char *identity);
/* engine_env.c: settings and `run` for programs. */
extern const vm_env eng_env_gate, eng_env_run;
/* engine_deploy.c. Any version in memory or in the log with this module hash; NULL. */
eng_app *eng_app_by_hash(engine *e, const uint8_t hash[REC_HASH]);
/* What a run is pinned to: this module with the settings of this deployment. NULL: not available. */
eng_app *eng_app_pinned(engine *e, const uint8_t hash[REC_HASH], const uint8_t deployment[REC_HASH]);
hdw_status eng_app_new(engine *e, const char *file, const void *bytes, size_t len, mod_error *err, eng_app **out);
void eng_app_free(eng_app *app);
/* The hash of module, settings, addresses and grants under the current configuration. text (in b): what it is made of. */
hdw_status eng_app_deployment(engine *e, const eng_app *app, buf *b, uint8_t out[REC_HASH]);
/* Fills in deployment, text and settings. */
hdw_status eng_app_bind(engine *e, eng_app *app);
/* Records module and deployment when they are not what the store has. The app is bound. */
hdw_status eng_app_record(engine *e, eng_app *app, const char *who);
/* Records that nothing is deployed under the names that the store has and keep (n apps) has not. */
hdw_status eng_app_withdraw(engine *e, eng_app *const *keep, uint32_t n, const char *who);
/* From the record of its deployment; NULL when the log does not have it. The caller owns it. */
eng_app *eng_app_recorded(engine *e, const uint8_t hash[REC_HASH]);
void eng_refuse(engine *e, const char *name, const char *file, const char *reason);
/* engine_switch.c. The hash of everything that the connection was made from, secrets included. */
void eng_conn_print(engine *e, eng_conn *c);
/* engine_names.c. What hashes of the workflows' state are made of. */
hdw_status eng_names_bind(engine *e, eng_app *app);
/* Named state with the key KINDname (eng_state_has); *out is in the arena. */
bool eng_named(engine *e, arena *a, const char *space, const char *kind, const char *name, size_t len, cod_str *out);
/* Names that these modules (retired ones aside) no longer declare while something is kept under them, or that c does not bind any more while runs of
 * other modules need them: a line each. */
void eng_names_check(engine *e, eng_app *const *apps, uint32_t n, const config *c, buf *problems);
/* Modules that unfinished runs are pinned to and that are not among these. */
void eng_each_pinned(engine *e, eng_app *const *apps, uint32_t n, void (*fn)(void *user, const meta *m), void *user);
/* Records what `was` says. */
hdw_status eng_names_move(engine *e, eng_app *const *apps, uint32_t n, const char *who);
/* Discards what is kept under dropped names that the operator gave up. */
void eng_names_forget(engine *e, eng_app *const *apps, uint32_t n);
/* engine_window.c. Which names the listeners of these modules had: before they take the place of others. HDW_E_...: it is not known, all stays as it was. */
hdw_status eng_window_names(engine *e, eng_app *const *apps, uint32_t n);
/* The first name of a listener: what durable keys of it are made of. */
const char *eng_listener_root(const engine *e, const char *name);
/* As store_find_duplicate, under the listener's name of today and those of before. */
hdw_status eng_find_duplicate(engine *e, const char *listener, cod_str key, uint64_t before, arena *a, store_input *out);
/* Records what is new: names taken over, windows. */
hdw_status eng_window_note(engine *e, eng_app *const *apps, uint32_t n, const char *who);
typedef enum eng_window { WINDOW_LISTENER, WINDOW_ONCE } eng_window;
typedef void (*eng_window_cb)(eng_window kind, cod_str name, cod_str value, void *user);
void eng_window_each(engine *e, eng_window_cb cb, void *user);
/* Something in it still counts. value: of the named state. */
bool eng_window_open(engine *e, eng_window kind, cod_str name, cod_str value);
bool eng_window_known(engine *e, eng_window kind, const char *name);
/* Nobody asks for it any more. Keys that are taken stay so until their time is over. */
void eng_window_drop(engine *e, const char *name);
/* The connection that took the place of this name. HDW_E_NOTFOUND: none; another: nobody knows. */
hdw_status eng_conn_renamed(engine *e, const char *name, size_t len, eng_conn **out);
/* Closes and frees what no run, call or connection needs any more. */
void eng_reap(engine *e);
const meta_workflow *eng_workflow(const eng_app *a, const char *name, size_t len);
/* By its name of today, or that of an earlier deployment, or one that it had before. HDW_E_NOTFOUND: none (*out: NULL); another: nobody knows. */
hdw_status eng_conn_look(engine *e, const char *name, size_t len, eng_conn **out);
/* The same; NULL: none, or nobody knows. */
eng_conn *eng_conn_find(engine *e, const char *name, size_t len);
eng_listener *eng_listener_find(engine *e, const char *name);
/* engine_listen.c. open: from l's name, kind, o and cfg; text says what is wrong. prepare: reads what a reload may change of l into next (allow list,
 * certificates) and touches nothing; update: makes it so, without closing the socket. */
hdw_status eng_listener_open(engine *e, eng_listener *l, char text[200]);
hdw_status eng_listener_prepare(engine *e, const eng_listener *l, const config_listener *c, eng_listener *next, char text[200]);
void eng_listener_update(eng_listener *l, eng_listener *next);
void eng_listener_close(eng_listener *l);
/* size bytes that begin with an eng_wait, zeroed. NULL: no memory. */
void *eng_wait_new(eng_listener *l, size_t size);
void eng_wait_end(eng_listener *l, eng_wait *w);
void eng_hex(const void *p, size_t n, char *out);
pack_hl7 eng_pack_hooks(engine *e);
/* Idempotency key of a step: hex of 16 bytes. */
void eng_idem(const uint8_t identity[REC_HASH], const char *workflow, const char *path, char out[ENG_HEX + 1], uint8_t raw[REC_HASH]);
void eng_identity(const store_input *in, uint8_t out[REC_HASH]);
/* Whether another input may be taken: state, disk, memory. */
bool eng_may_accept(engine *e);
/* Something ended: a drain may be complete. */
void eng_ended(engine *e);

/* ---- inputs --------------------------------------------------------------------------------------------------------------- */

typedef struct eng_want {    /* one workflow's verdict */
  eng_app *app;
  const meta_workflow *wf;
  bool run;
  uint8_t state;             /* INPUT_ACCEPTED, INPUT_REJECTED, INPUT_FAILED */
  char code[8];
  uint16_t error;            /* table 0357 */
  const char *text;
  bool reply;                /* reply(...) before the first effect: the run's answer is the input's */
  bool whole;                /* the workflow has no effect on its way: the gate came to its end, and what it returned is what the run would */
  val result;
  bool has_once;
  uint8_t once[REC_LANE];    /* hash of the once-key */
  int64_t once_until_us;
  uint8_t nlanes;
  uint8_t lanes[REC_MAX_LANES][REC_LANE];
} eng_want;
typedef struct eng_verdict {
  eng_want wants[REC_MAX_RUNS];
  uint32_t n;
  uint32_t matched;
} eng_verdict;

/* A trigger's kind (post) is this method of a request, which is case-sensitive (RFC 9110 9.1). */
bool eng_is_method(const char *kind, const char *method);
/* Finds the workflows for an input and runs their gates; memory from a. head NULL: an API request. */
void eng_gate(engine *e, arena *a, const engine_source *src, const hl7_head *head, val input, eng_verdict *out);
/* The input of a run as a value, from its stored bytes. */
typedef struct eng_reading {  /* what besides the bytes decides how they are read; kept with the input */
  cod_str charset;           /* as in rec_input */
  const char *identity;      /* of the peer; NULL or "" = none */
  bool strict;               /* H-33, H-39: at intake only */
  struct eng_app *pinned;    /* of a run: its declarations of senders hold; NULL: those of today */
} eng_reading;
hdw_status eng_input_value(engine *e, arena *a, const void *p, size_t len, const eng_reading *how, val *out, hl7_problem *why);
/* Takes out of v the runs whose once-key is taken by another input. input 0: not known yet. False: it cannot be told. */
bool eng_once_filter(engine *e, eng_verdict *v, uint64_t input);
/* Remembers the keys that a record is about to take, until it is durable: before its append, then its sequence (0: it was not appended), then when it is
 * durable. note: false = no memory. */
bool eng_once_note(engine *e, const rec_verdict *v);
void eng_once_sent(engine *e, uint64_t seq);
void eng_once_durable(engine *e, uint64_t seq);
void eng_once_close(engine *e);
/* Folds verdicts into a record. Strings live in a. */
/* A reject's first argument, "AE" or with a code of table 0357 "AE:204": what of it is the acknowledgement's code; gives the other, 0 = none. */
uint16_t eng_reject_code(const char *said, char code[8]);
void eng_verdict_record(engine *e, arena *a, const eng_listener *l, const eng_verdict *v, bool hl7, rec_verdict *out, const meta_workflow **after);

/* One input on its way to its record, HL7 message or request; lives during the submit call. */
typedef struct eng_message {
  int64_t began_us;          /* wall */
  engine *e;
  const engine_source *src;
  eng_listener *l;
  const void *p;             /* what is stored */
  size_t len;
  bool hl7;
  eng_answer answer;         /* who submitted it */
  arena a;
  bool has_head;
  hl7_head head;
  cod_str heading, content;  /* what makes two inputs under one key the same; heading: of a request, its method, path and query */
  char *key;                 /* listener, then what the record carries: MSH-3, MSH-4, MSH-10, or the caller's idempotency key */
  uint32_t key_len, dedup_at;
  char charset[44];          /* as in rec_input */
  const meta_workflow *after;
  val input;                 /* parsed; VAL_NONE when it cannot be used for runs */
  const eng_verdict *gates;  /* with it */
  rec_input rec;             /* what is known of its record; last, because the runs in it are not cleared */
} eng_message;
/* Without memory NULL. w: who submitted it. */
eng_message *eng_message_begin(engine *e, const engine_source *src, const eng_answer *w);
void eng_message_end(eng_message *m);
/* A verdict without gates: code and text, error as in eng_problem_text. */
void eng_message_verdict(eng_message *m, uint8_t state, const char *code, const char *error, const char *text);
/* engine_check.c. False: the verdict is made. */
bool eng_check_message(eng_message *m, const hl7_msg *msg);
/* One message. in_batch: its answer goes into a batch, never an HTTP status. */
void eng_submit_message(engine *e, const engine_source *src, const void *p, size_t len, bool in_batch, engine_reply_cb cb, void *user);
/* engine_batch.c. False: it is a single message. */
bool eng_submit_batch(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user);
/* Batches whose answers did not come are given back; nobody hears of them. */
void eng_batch_close(engine *e);
/* It is an echo of what we sent: m->v accepts it without runs. key: the caller's idempotency key, or NULL. False with e->unsure: it cannot be told. */
bool eng_echo_heard(eng_message *m, const void *p, size_t len, const char *key);
/* Nothing is stored. code: HL7 acknowledgement code; requests get the matching status. */
void eng_message_refuse(eng_message *m, const char *code, uint16_t error, const char *text);
/* Writes the INPUT record with the verdict in m->v; the answer comes from it. */
void eng_message_commit(eng_message *m);
/* True: answered, or joined something. *again: a further attempt of *old, for eng_message_again after the gate. */
bool eng_message_duplicate(eng_message *m, store_input *old, bool *again);
/* Why a failed run was given up: the sender's resend made another one. */
#define ENG_SENT_AGAIN "the sender sent it again"
void eng_message_again(eng_message *m, const store_input *old);
/* Marks its content. A mark is a random key of the process and the SipHash of the content under it: whoever cannot read the log cannot make two contents that
 * have the same mark, and the mark alone is enough to recognise a content again, by any process, also when retention took the bytes. */
void eng_content_mark(eng_message *m);
/* True when the input of that mark had the content of m. */
bool eng_content_is(const uint8_t mark[REC_HASH], const eng_message *m);
/* Key out of parts, and the mark of the content, which must be known. The first being the listener; false: no memory. A part that is empty at the end means no duplicate detection. */
bool eng_message_key(eng_message *m, const hl7_slice *parts, unsigned n);

/* engine_patient.c: the identifiers by which the input is found. */
void eng_patients_hl7(eng_message *m, const hl7_msg *msg);
void eng_patients_json(eng_message *m, val input);

/* Of the same key and content. *other: one of the key is there with other content. */
eng_pending *eng_pending_find(const eng_message *m, bool *other);
eng_pending *eng_pending_by_input(engine *e, uint64_t input);
eng_pending *eng_pending_new(engine *e, const char *key, uint32_t len, bool hl7, const void *bytes, size_t bytes_len);
struct eng_message;
/* m waits for the answer; joined: it came while the first was under way. */
bool eng_pending_join(eng_pending *p, const struct eng_message *m, bool joined);
void eng_pending_free(eng_pending *p);
/* Waits for the run; deadline as the workflow says, counted from eng_pending_arm. */
void eng_pending_wait(eng_pending *p, const meta_workflow *wf);
void eng_pending_arm(eng_pending *p);
/* What the end of an ack-after-run input's run says: the state of the input; code, error and text of the answer (given: those of a reject). */
uint8_t eng_after_verdict(bool hl7, bool ok, vm_outcome how, const char **code, const char **error, const char **text);
/* The run of an ack-after-run input ended: its outcome is recorded, then everybody who waits is answered. value is read when how is
 * VM_OUTCOME_NONE or VM_REPLY; code and text else. False: there is no memory for it, or no log: nothing is recorded, and nobody is answered. */
bool eng_after_run(engine *e, const store_run *row, bool hl7, bool ok, vm_outcome how, val value, const char *code, const char *text);

/* An answer's own bytes: a replied message, or the returned payload as JSON. False: the plain acknowledgement. */
bool eng_reply_bytes(engine *e, arena *a, bool hl7, vm_outcome how, val v, hl7_slice *out);

/* An answer built from what the records say. */
typedef struct eng_outcome {
  uint64_t input;
  const char *code, *error, *text;
  int64_t time_us;
  const uint8_t *content_hash;
  const void *body;          /* reply(...) or a returned payload; NULL = none */
  size_t body_len;
  bool duplicate, final, failed;
  bool waited;               /* the outcome of a run: the commit itself was positive, whatever it says (H-16) */
  int http;                  /* nothing was stored: the status that an HTTP client gets instead of an acknowledgement; 0 = an acknowledgement */
} eng_outcome;
/* Sends what is owed for an HL7 input to one who waits; not final: only an accept acknowledgement. */
void eng_answer_hl7(engine *e, eng_answer *w, const void *in, size_t in_len, const eng_outcome *o);
void eng_answer_json(engine *e, eng_answer *w, const eng_outcome *o);
/* Nothing was stored. */
typedef struct eng_refusal {
  const char *code;          /* "AE" */
  uint16_t error;            /* table 0357 */
  const char *text;
  int http;                  /* status over HTTP; 0 = the acknowledgement */
} eng_refusal;
eng_answer eng_answer_for(engine *e, const engine_source *src, bool in_batch, engine_reply_cb cb, void *user);
void eng_answer_refusal(engine *e, const eng_answer *to, const void *in, size_t in_len, const eng_refusal *r);
void eng_answer_status(engine *e, engine_reply_cb cb, void *user, int status, const char *text);
/* Replies to everybody in p, from the record that decided. */
void eng_answer_all(eng_pending *p, const eng_outcome *o);
/* The message is an acknowledgement itself. */
bool eng_is_ack(const hl7_head *h);
/* Where and what of a problem, as an error code of a record. */
void eng_problem_text(const hl7_problem *p, char out[ENG_CODE]);

/* ---- listeners --------------------------------------------------------------------------------------------------------------- */

/* engine_auth.c. False: the peer is nobody that the listener's options name. identity: "" when they do not ask. sans: as tls_peer_sans. */
bool eng_auth_peer(const eng_listener *l, const char *sans, char identity[REC_NAME_MAX + 1]);
bool eng_auth_http(const eng_listener *l, const http_request *r, char identity[REC_NAME_MAX + 1]);
/* engine_http.c, for http_server_opts; user is the listener. */
int eng_http_head(void *user, const http_request *r, size_t *max_body_bytes, http_header *extra);
void eng_http_request(void *user, http_token t, const http_request *r);

/* ---- runs ------------------------------------------------------------------------------------------------------------------- */

/* A run became durable: starts it when its lanes allow and there is room. body: the input's bytes when at hand. */
void eng_run_created(engine *e, uint64_t id, const rec_run_new *n, const void *body, size_t len);
void eng_ready(engine *e, uint64_t id, bool fresh);
void eng_sched(engine *e);
/* Another run may come into memory. */
bool eng_room(const engine *e);
/* Runs that have waited for a step for some time leave memory, when others wait for their place. */
void eng_runs_make_room(engine *e);
/* engine_early.c. The runs of an input that was just appended as record seq: those that need nothing but their input are executed at once, so that one sync
 * serves for input and end. Whatever would leave the process waits: such a run is dropped and starts when its input is durable. */
void eng_early(engine *e, const eng_message *m, uint64_t seq, int64_t received_us);
/* The input of run id is durable; true: the run went early and has ended. */
bool eng_early_done(engine *e, uint64_t id);
void eng_early_close(engine *e);
/* Executes a run before its row is in the store; result: what it returns is known from its gate, else NULL. NULL: it was dropped; otherwise its end (or park) record is on its way. */
const eng_run *eng_run_early(engine *e, const rec_run_new *n, const store_input *in, unsigned index, val input, const val *result);
/* The run cannot be written now: it leaves memory and is looked for again later. */
void eng_run_abandon(eng_run *r);
/* A second later the store is asked once more for runs that wait: what it says now cannot be had, or acted upon. */
void eng_look_again(engine *e);
/* What the run has done cannot be looked up, so nobody knows whether the next effect is a second one: as eng_run_abandon; a run whose own memory is too small for it dies. */
void eng_run_unread(eng_run *r, hdw_status s, const char *path);
/* The lanes of a run that ended are free: their next heads may start. */
void eng_lanes_release(engine *e, const store_run *row);
bool eng_lanes_free(engine *e, uint64_t id, const uint8_t (*lanes)[REC_LANE], unsigned n);
/* A younger run at work is in one of the row's lanes. */
bool eng_lanes_busy(engine *e, const store_run *row);
eng_run *eng_run_find(engine *e, uint64_t id);
/* Nothing of it can be in the journal. */
bool eng_run_fresh(const engine *e, const store_run *r);
/* Loads and executes; fresh: it was when it was put into the ring. */
void eng_run_start(engine *e, uint64_t id, bool fresh, const void *body, size_t len);
void eng_run_go(eng_run *r);
void eng_run_resume_soon(eng_run *r);
void eng_run_free(eng_run *r);
/* Ends with RUN_DONE (value recorded), RUN_FAILED or RUN_DEAD. */
void eng_run_end(eng_run *r, uint8_t state, uint8_t fail_class, const char *code, const char *text, const char *path);
void eng_run_park(eng_run *r, uint8_t fail_class, int64_t delay_us, const char *reason, const char *path);
/* Handles VM_AWAIT: resumes with what is recorded, or begins an attempt. False: the run has ended or left memory. */
bool eng_step_await(eng_run *r);
/* A step of r failed finally: handler, end or parking. False as above. The step is gone. */
bool eng_step_failed(eng_run *r, eng_step *s);
/* Resumes with the packed result. False as above. */
bool eng_step_resume(eng_run *r, vm_run *branch, const void *p, size_t len);

/* engine_attempt.c: steps under way. New: in the table, state STEP_INTENT. NULL: no memory. packed: the request. */
eng_step *eng_step_new(eng_run *r, vm_run *branch, eng_conn *c, uint8_t klass, const char *operation, const uint8_t hash[REC_HASH], const buf *packed);
eng_step *eng_step_find(engine *e, uint64_t run, const char *path);
/* The first in the table of the same run. */
eng_step *eng_step_first(const eng_step *s);
/* Cancels an attempt in flight. */
void eng_step_free(eng_step *s);
/* Makes the next attempt. */
void eng_step_perform(eng_step *s);
/* Its answer is in s->result: recorded, and the run goes on. */
void eng_step_answered(eng_step *s);
/* The attempt that it waited for failed as s->call says. */
void eng_step_missed(eng_step *s);
/* Records a RESULT of the step; failed: what of the call is recorded. */
hdw_status eng_step_record(eng_step *s, uint8_t state, bool failed, const buf *body);
/* Records its result; s->unwritten when that fails. */
hdw_status eng_step_keep(eng_step *s);
/* The run leaves memory, its steps go on. */
void eng_steps_leave(eng_run *r);
/* The run is not coming back: what has ended is forgotten, what is under way is cancelled when cancel. */
void eng_steps_drop(engine *e, uint64_t run, bool cancel);
/* Has the run steps under way (that have not ended)? */
bool eng_steps_open(const engine *e, uint64_t run);
/* One of its steps has ended, and is kept for the run. */
bool eng_steps_wait(const engine *e, uint64_t run);
bool eng_steps_use(const engine *e, const eng_conn *c);
/* A person has just stopped it. */
bool eng_cancelled(const engine *e, uint64_t run);
/* A person gave it up, and the record of that is under way: it is not begun any more. */
bool eng_discarding(const engine *e, uint8_t subject, uint64_t id);
/* In memory, or away with steps under way. */
bool eng_run_active(engine *e, uint64_t id);
/* Wakes what is due. */
void eng_wake(engine *e);
/* The time by which waits and give-ups are reckoned and written down: the wall clock as it was at the start, or the log's last time when that was a little later, gone on
 * with the monotonic clock. A wall clock that is set while the daemon runs neither holds what waits nor ends it. */
static inline int64_t eng_clock_us(const engine *e) { return e->clock_off_us + io_mono_us(e->io); }
void eng_wake_at(engine *e, int64_t clock_us);
/* Microseconds of a Quantity in calendar units up to weeks; 0 for anything else. */
int64_t eng_duration_us(val v);
int64_t eng_backoff(engine *e, int64_t from_us, int64_t to_us, uint32_t n);

/* Loads program and input, starts the machine. */
hdw_status eng_run_prepare(eng_run *r, const void *body, size_t len);
/* What the machine asks for, on its way to an attempt or to what is recorded. c NULL: sys; then nothing is packed. */
typedef struct eng_ask {
  vm_run *branch;
  const vm_request *q;
  const mod_effect *effect;
  eng_conn *c;
  char operation[96];
  uint8_t klass;             /* eng_class_of */
  val request;
  int64_t keep_us, stale_us;
  buf packed;
  uint8_t hash[REC_HASH];
  bool unsure;               /* recorded, and it is not known whether it took place */
} eng_ask;
hdw_status eng_step_request(eng_run *r, eng_ask *x);
/* Which of MOD_CLASS_* an operation ("rest.get") is with this request (engine_class.c); what is not in builtins.def is unsafe. */
uint8_t eng_class_of(const char *operation, val request);
/* The same without the connection, which need not be there: c stays NULL, and sys operations are those without effect->conn. */
hdw_status eng_step_describe(eng_run *r, eng_ask *x);

/* ---- reprocessing (engine_reprocess.c) --------------------------------------------------------------------------------------------- */

/* Key of the effect at a path. A run that reprocesses has its own. */
void eng_run_key(const eng_run *r, const char *path, char out[ENG_HEX + 1], uint8_t raw[REC_HASH]);
/* The record of the result that the run before has for the effect at hand. HDW_E_NOTFOUND: perform it; another status: it cannot be read now. */
hdw_status eng_redo_step(eng_run *r, const eng_ask *x, log_rec *rec);
typedef enum eng_redo { REDO_PERFORM, REDO_TAKE, REDO_REPLACE /* *old is given up first */ } eng_redo;
/* Else than HDW_OK: nobody knows what that run has done. */
hdw_status eng_redo_send(eng_run *r, const eng_ask *x, eng_redo *how, uint64_t *old);
/* The delivery that a run made at this path. HDW_E_NOTFOUND: none; another status: nobody knows. Texts of *out are the arena's. */
hdw_status eng_delivery_at(engine *e, uint64_t run, cod_str path, arena *a, store_delivery *out);
/* The first run of a chain, as far back as there are any. */
hdw_status eng_redo_origin(engine *e, const store_run *row, uint64_t *out);

/* ---- connections held and free (engine_conn.c) ---------------------------------------------------------------------------------- */

typedef enum eng_hold { HOLD_NONE, HOLD_PAUSED, HOLD_HOURS, HOLD_BREAKER, HOLD_ASKED, HOLD_BUSY /* it has all the steps that it may have: further ones wait on disk */ } eng_hold;
const char *eng_hold_text(eng_hold h);
/* Why nothing may leave now; *wait_us: how long at least, INT64_MAX when only an event ends it. writes: not a read (opening hours). */
eng_hold eng_conn_hold(eng_conn *c, bool writes, int64_t *wait_us);
/* The same for a step that would begin. */
eng_hold eng_conn_hold_step(eng_conn *c, bool writes, int64_t *wait_us);
/* A step has begun (1) or is not under way any more (-1). */
void eng_conn_steps(eng_conn *c, int change);
/* Parks the run until the connection is free; no attempt is counted. */
void eng_run_hold(eng_run *r, eng_conn *c, int64_t wait_us, const char *reason, const char *path);
/* engine_act.c */
bool eng_workflow_paused(engine *e, cod_str name);
/* Looks whether there are any. */
void eng_workflows_paused(engine *e);
/* It was parked because of a connection that is free now: its wake time does not matter. */
bool eng_run_unheld(const eng_run *r);
/* The connection is free: parked runs that wait for it go on, a bounded number at a time. */
void eng_wake_connection(eng_conn *c);
/* The breaker is half open and no delivery waits: one parked run is the probe. */
void eng_conn_probe_run(eng_conn *c);
/* Sets the timer for the end of what holds it. */
void eng_conn_arm(eng_conn *c);
void eng_conn_on_timer(void *user);
/* Something that held it is gone. */
void eng_conn_resumed(eng_conn *c);
/* Counts an attempt's outcome: breaker, Retry-After, adaptive rate. */
void eng_conn_outcome(eng_call *call);
/* The peer said that nothing should come for so long. */
void eng_conn_asked(eng_conn *c, int64_t wait_us);
/* engine_polite.c. A call has ended; bad: as failures count for the breaker. */
void eng_minute_count(eng_conn *c, bool bad);
void eng_minute_forget(eng_conn *c);
/* Another attempt may be made, by the share of retries of the last minute; it is counted. */
bool eng_retry_allowed(eng_conn *c);
/* When an attempt that is put off comes: after wait_us (0 = the caller's own pauses), or later than a minute when the share is used up. */
int64_t eng_retry_after(eng_conn *c, int64_t wait_us);
/* So many of the last minute's calls were bad that the breaker opens. */
bool eng_mostly_bad(eng_conn *c);
/* Pause and breaker as they were before the restart, or with the definition that it replaces, when that was the same server; then eng_conn_start. */
void eng_conn_restore(eng_conn *c);
void eng_conn_start(eng_conn *c);
int64_t eng_give_up_us(const eng_conn *c);

/* engine_retain.c. now: a pass begins at once (when none is on its way). */
hdw_status eng_retain_start(engine *e);
void eng_retain_now(engine *e);
bool eng_retain_busy(const engine *e);
/* What it judged to be over is going right now and cannot be held back (some milliseconds, at most the sync of a segment): what would need it waits. */
bool eng_retain_takes(const engine *e);
void eng_retain_close(engine *e); /* before the log closes, whose last callbacks may still come */
void eng_retain_free(engine *e);

/* engine_loss.c. An input was decided: what it holds is compared with what the workflows that want it read. */
void eng_loss_hl7(eng_message *m, const hl7_msg *msg, const eng_verdict *v);
void eng_loss_json(eng_message *m, val input, const eng_verdict *v);
void eng_loss_free(engine *e);

/* ---- outbox --------------------------------------------------------------------------------------------------------------------- */

/* Something may be waiting for this sink. */
void eng_out_new(engine *e, eng_conn *c);
void eng_out_close(eng_conn *c);
/* A delivery could have gone for so long and has not. */
bool eng_out_late(eng_conn *c, int64_t us);
/* engine_cache.c. A step whose answer is to be kept (keep_us > 0): */
void eng_cache_begin(eng_step *s, const eng_ask *x);
bool eng_cache_takes(eng_step *s);                                   /* before an attempt: true when none is needed, or another's is under way */
void eng_cache_answered(eng_step *s, const void *p, size_t len);     /* packed */
void eng_cache_failed(eng_step *s);
void eng_cache_left(eng_step *s);                                    /* it goes without an outcome: another one asks */
bool eng_cache_stale(eng_step *s);                                   /* an old answer is used instead of the failure */
void eng_cache_start(engine *e);
void eng_cache_free(engine *e);
/* engine_echo.c. Drivers: these bytes are about to leave. */
void eng_echo_sends(eng_call *call, const void *p, size_t len);
void eng_echo_start(engine *e);
/* engine_reconcile.c */
void eng_reconcile_start(engine *e);

/* ---- dispatch --------------------------------------------------------------------------------------------------------------------- */

/* Starts the attempt: asks the mock, then the driver. done comes later, never from inside. */
void eng_call_start(eng_call *call);
void eng_call_cancel(eng_call *call);
/* Attempts that may be started for the connection now. */
uint32_t eng_conn_room(const eng_conn *c);
/* For drivers: ends the attempt. */
void eng_call_done(eng_call *call);
/* Fills in a failure; class 0 = derived from status. */
void eng_call_fail(eng_call *call, uint8_t fail_class, int status, const char *code, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* "code: message". */
void eng_call_text(const eng_call *call, char out[ENG_TEXT]);
/* Fails or succeeds from the loop, soon. */
void eng_call_later(eng_call *call);
/* For drivers: it could not even be sent, and ends soon. Where there was no memory for it, that is the reason, whatever the caller says: transient, unless it is the run's own limit. */
void eng_call_unsent(eng_call *call, uint8_t fail_class, const char *code, const char *text);
/* There was no memory for the answer: fails, ambiguous when it may have changed something. */
void eng_call_unkept(eng_call *call);
/* Nothing of it has left, and the connection may have been taken away since its turn came: then it is no attempt, ends soon and says held. Else it may go, as the probe of an open breaker
 * perhaps. */
bool eng_call_held(eng_call *call);
uint8_t eng_class_of_status(int status);
/* dispatch_ack.c. What the operator says about a code (MSA-1, ERR-3 or HTTP status), REACT_NONE when nothing. */
typedef enum eng_reaction { REACT_NONE, REACT_DONE, REACT_RETRY, REACT_DEAD } eng_reaction;
eng_reaction eng_reaction_of(const eng_conn *c, const char *code, size_t len);
/* Takes an answer as the acknowledgement of the message with this MSH-10: success or failure of the attempt. */
void eng_ack_judge(eng_call *call, const void *p, size_t len, const char *id, size_t id_len);
/* MSA-1 of an answer; false when it is none of the six. */
bool eng_ack_code(const void *answer, size_t len, char out[3]);
extern const eng_driver eng_driver_rest, eng_driver_fhir, eng_driver_mllp, eng_driver_folder;
hdw_status eng_conn_setup(engine *e, eng_app *app, const meta_conn *mc, eng_conn **out, char text[ENG_TEXT]);
/* Cancels its attempts and frees what it holds. */
void eng_conn_close(eng_conn *c);
/* engine_moved.c. From c->cfg and c->args. HDW_E_NOMEM, HDW_E_LIMIT: not known. */
hdw_status eng_conn_address(engine *e, eng_conn *c, const char *kind);
/* Compares the address with the recorded one, and ends as ambiguous what may be at the old one. Before anything leaves. True: it is another one. */
bool eng_conn_settle(eng_conn *c);
/* At the end: these deliveries are being tried. */
void eng_conn_note_flying(eng_conn *c, const uint64_t *ids, uint32_t n);
const char *eng_moved_text(void);
/* engine_out.c. What a dead delivery of this lane is: dead, or dead and holding its queue. */
uint8_t eng_out_dead_state(const eng_conn *c, const uint8_t lane[REC_LANE]);
void eng_out_note_flying(eng_conn *c);
/* It is the oldest in each of its lanes. */
bool eng_out_first(engine *e, eng_conn *c, const store_delivery *d);
/* Of the newest delivery in flight; NULL. */
eng_call *eng_out_flying_call(eng_conn *c);
/* Attempts at once, now. */
uint32_t eng_conn_limit(const eng_conn *c);
/* How long a connection may take to stand. */
int64_t eng_conn_connect_us(const eng_conn *c);
/* One more request of a call that is under way (a page, a second look): how long it waits for its turn. */
int64_t eng_conn_turn_us(eng_conn *c);
/* A peer that asks for more gets this much. */
#define ENG_ASKED_MAX_US INT64_C(3600000000)
/* How long the peer still wants to be left alone; 0. */
int64_t eng_conn_asked_us(const eng_conn *c);
egress_policy eng_egress(const eng_conn *c);
bool eng_egress_ok(const eng_conn *c, const io_addr *a); /* one address that is written down, before anything is resolved */
/* The secret's value, NULL when it is not bound. */
const char *eng_secret(engine *e, val ref);
/* Text of an argument: strings, numbers; a template with every hole escaped by esc (NULL = plain). NULL when it is none; text: or when it holds a NUL. */
typedef void (*eng_escape)(buf *b, const char *s, size_t n);
const char *eng_arg_bytes(arena *a, val v, eng_escape esc, size_t *len);
const char *eng_arg_text(arena *a, val v, eng_escape esc);

#endif
