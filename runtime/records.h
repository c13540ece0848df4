/* records.h - the types of log records and the layout of their meta part. State changes only by these, folded in order (store.h).
 *
 * Numbers: u8; var = varint; str = var length + bytes; hash = 32 bytes; lane = 16 bytes; id = var. Fields in the order drawn.
 * Every layout has the version byte of its record header; a reader takes REC_VERSION and the one before. Additions go to the end.
 * Bodies are raw bytes: the message, the request, the result. They are never indexed; they are read by position.
 *
 * Ids: an input and a delivery are the sequence of the record that made them. A run is (sequence of the record that made it << 8) | index in that
 * record. So ids rise with time and need no counter.
 * Partition (record header): of the input, run or delivery that the record is about. */
#ifndef HDW_RECORDS_H
#define HDW_RECORDS_H
#include "codec.h"
#include "log.h"

enum { REC_VERSION = 1, REC_META_MAX = 32768, REC_MAX_RUNS = 32, REC_MAX_LANES = 8, REC_MAX_PATIENTS = 8, REC_MAX_EXPIRED = 2000, REC_PATH_MAX = 400, REC_NAME_MAX = 120, REC_LANE = 16, REC_HASH = 32 };

typedef enum rec_type {
  REC_INPUT = 1,         /* bytes came in, with the gate's verdict: makes an input and its runs */
  REC_VERDICT = 2,       /* a further attempt at a known input: new verdict, new runs */
  REC_ACK_OUTCOME = 3,   /* the answer of `ack after run`, known when the run ended */
  REC_RUN_START = 4,     /* a run without a gate: schedule, command, reprocess */
  REC_RUN_STATE = 5,     /* a run began, waits, parks, with its wake time */
  REC_INTENT = 6,        /* an effect is about to leave */
  REC_RESULT = 7,        /* an effect's outcome */
  REC_RUN_END = 8,       /* done, failed or dead */
  REC_DELIVERY = 9,      /* an outbox entry */
  REC_DELIVERY_RESULT = 10, /* an attempt at a delivery ended, or was put off */
  REC_ACTION = 11,       /* an operator did something: redrive, discard, skip a lane, pause */
  REC_DEPLOY = 12,       /* a module became current */
  REC_PUT = 13,          /* named state: cursor, schedule, window; body = value, empty body = remove */
  REC_CLOSE = LOG_T_CLOSE, /* clean end of the log */
  REC_EXPIRE = 15,       /* retention: what is named here is over and goes from the state */
  REC_AUDIT = 16,        /* who did what, chained by hashes */
  REC_TYPES
} rec_type;

enum rec_input_state { INPUT_ACCEPTED = 1, INPUT_UNMATCHED, INPUT_REJECTED, INPUT_FAILED, INPUT_RUNNING /* ack after run, not yet known */ };
enum rec_run_state { RUN_QUEUED = 1, RUN_RUNNING, RUN_WAITING, RUN_PARKED, RUN_DONE, RUN_FAILED, RUN_DEAD, RUN_DISCARDED };
enum rec_effect_state { EFFECT_INTENT = 1, EFFECT_DONE, EFFECT_FAILED };
enum rec_delivery_state { DELIVERY_PENDING = 1, DELIVERY_INFLIGHT, DELIVERY_DELIVERED, DELIVERY_DEAD, DELIVERY_PARKED /* dead, and holds its queue */, DELIVERY_DISCARDED };
enum rec_fail_class { FAIL_NONE = 0, FAIL_TRANSIENT, FAIL_PERMANENT, FAIL_DATA, FAIL_AMBIGUOUS };
enum rec_run_flags { RUN_F_LANE_SKIP = 1 /* a failed run does not hold its lanes */, RUN_F_ACK_AFTER = 2 /* its end is the input's answer */,
                     RUN_F_ONCE = 64 /* it takes a once-key */ };
enum rec_subject { SUBJECT_RUN = 1, SUBJECT_DELIVERY = 2, SUBJECT_INPUT = 3, SUBJECT_LANE = 4, SUBJECT_SINK = 5, SUBJECT_WORKFLOW = 6, SUBJECT_LISTENER = 7 };
enum rec_action_kind { ACTION_REDRIVE = 1, ACTION_DISCARD, ACTION_SKIP_LANE, ACTION_PAUSE, ACTION_RESUME, ACTION_RENAME /* name takes over what is kept under the one in reason */ };

/* One run that a verdict or a start makes.
 *   workflow str | partition var | flags u8 | nlanes u8 | lanes nlanes*16 | with RUN_F_ONCE: key 16, until us var */
typedef struct rec_run_new {
  cod_str workflow;
  uint16_t partition;
  uint8_t flags, nlanes;
  uint8_t lanes[REC_MAX_LANES][REC_LANE];   /* hashes of the lane keys, sorted */
  /* What the run is pinned to, REC_HASH bytes each. When encoding: both NULL = the verdict's own. Decoded: never NULL, they point into the record. */
  const uint8_t *module, *deployment;
  uint8_t once[REC_LANE];    /* hash of the once-key: taken by the input until once_until_us, exactly when the input is there */
  int64_t once_until_us;
} rec_run_new;

/*   state u8 | ack code str | error code str | text str | module hash | deployment hash | nruns u8 | runs...
 * and, when a run is pinned to something else than the verdict names (several modules in one daemon):
 *   nprograms u8 | nprograms*(module hash | deployment hash) | program of each run, nruns*u8: 0 = the verdict's, n = the nth of these */
typedef struct rec_verdict {
  uint8_t state;             /* rec_input_state */
  cod_str ack_code;          /* "AA", "AE", "AR", "CA"...; HTTP status for webhooks; "" = no answer */
  cod_str error_code;        /* HL7 table 0357 or a name of ours, "" when none */
  cod_str text;              /* without clinical values */
  uint8_t module[REC_HASH], deployment[REC_HASH];
  uint8_t nruns;
  rec_run_new runs[REC_MAX_RUNS];
} rec_verdict;
/* The runs, which are most of it, are made when they are counted. */
static inline void rec_verdict_clear(rec_verdict *v) { memset(v, 0, offsetof(rec_verdict, runs)); }

/* REC_INPUT, body = the bytes as received.
 *   source str | dedup key str | content hash | control id str | sender str | type str | peer str | received i64 as var | npatients u8 | patients str... | verdict
 *   then, when one of them is not empty:  identity str | charset str | sequence key str | sequence next var, then trace str when it is not empty */
typedef struct rec_input {
  cod_str source;            /* declared name of listener, webhook or folder */
  cod_str dedup_key;         /* begins with the sender; "" = no duplicate detection */
  uint8_t content_hash[REC_HASH]; /* eng_content_mark; in records of before the SHA-256 of the content */
  cod_str control_id, sender, type, peer;
  int64_t received_us;
  uint8_t npatients;
  cod_str patients[REC_MAX_PATIENTS]; /* identifiers; indexed by keyed hash only */
  cod_str identity;          /* of the authenticated peer, as the listener's configuration names it */
  cod_str charset;           /* how the bytes are read: "8859/1" = when MSH-18 is absent, "!8859/1" = whatever MSH-18 says (H-48); "" = by MSH-18 */
  cod_str sequence_key;      /* of the sequence number protocol (H-30); "" = not in use */
  int64_t sequence_next;     /* the number expected next; 0 = any */
  cod_str trace;             /* context that came with the request (trace.h): 25 bytes or none */
  rec_verdict verdict;       /* last: see rec_verdict_clear */
} rec_input;

/* REC_VERDICT:  input id | verdict. Body: the bytes as they came again, which are the input's from then on; none in records from before. */
typedef struct rec_input_verdict {
  uint64_t input;
  rec_verdict verdict;
} rec_input_verdict;

/* REC_ACK_OUTCOME:  input id | state u8 | ack code str | error code str | text str */
typedef struct rec_ack_outcome {
  uint64_t input;
  uint8_t state;
  cod_str ack_code, error_code, text;
} rec_ack_outcome;

/* REC_RUN_START, body = arguments:  input id (0 none) | of run id (0; the one reprocessed) | epoch var | cause str | module hash | deployment hash | run */
typedef struct rec_run_start {
  uint64_t input, of_run, epoch;
  cod_str cause;             /* "schedule NAME", "reprocess", "command" */
  uint8_t module[REC_HASH], deployment[REC_HASH];
  rec_run_new run;
} rec_run_start;

/* REC_RUN_STATE:  run id | state u8 | class u8 | wake us var (0 = none) | reason str | path str | held str */
typedef struct rec_run_change {
  uint64_t run;
  uint8_t state;             /* RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED */
  uint8_t fail_class;
  int64_t wake_us;
  cod_str reason, path;
  cod_str held;              /* RUN_PARKED: the connection that it waits for, whose return wakes it; "" = only the time does */
} rec_run_change;

/* REC_INTENT, body = request;  REC_RESULT, body = outcome
 *   run id | path str | operation str | request hash | state u8 | class u8 | attempts var | error code str | error text str, then address str when it is not empty */
typedef struct rec_effect {
  uint64_t run;
  cod_str path, operation;   /* "3.7[12].1", "epic.search" */
  uint8_t request_hash[REC_HASH];
  uint8_t state, fail_class; /* rec_effect_state */
  uint32_t attempts;
  cod_str error_code, error_text;
  cod_str address;           /* REC_INTENT: where it goes to, REC_LANE bytes of a hash; "" = not known */
} rec_effect;

/* REC_RUN_END, body = the returned value:  run id | state u8 | class u8 | error code str | error text str | path str | file, line, column var */
typedef struct rec_run_end {
  uint64_t run;
  uint8_t state, fail_class; /* RUN_DONE, RUN_FAILED, RUN_DEAD */
  cod_str error_code, error_text, path;
  uint32_t file, line, column;
} rec_run_end;

/* REC_DELIVERY, body = request:  run id | path str | sink str | lane 16 | operation str | request hash | idempotency key hash,
 *   then of a run with several lane keys: nmore u8 | lanes nmore*16 */
typedef struct rec_delivery {
  uint64_t run;
  cod_str path, sink, operation;
  uint8_t lane[REC_LANE];    /* zeros = no lane */
  uint8_t nmore, more[REC_MAX_LANES - 1][REC_LANE]; /* further lanes: it goes when it is the oldest in all of them */
  uint8_t request_hash[REC_HASH], idempotency[REC_HASH];
} rec_delivery;

/* REC_DELIVERY_RESULT, body = response (limited):  delivery id | state u8 | class u8 | attempts var | next us var | error code str | error text str */
typedef struct rec_delivery_result {
  uint64_t delivery;
  uint8_t state, fail_class;
  uint32_t attempts;
  int64_t next_us;           /* of the next attempt, 0 = none or at once */
  cod_str error_code, error_text;
} rec_delivery_result;

/* REC_ACTION:  action u8 | subject u8 | id | name str | lane 16 | who str | reason str */
typedef struct rec_action {
  uint8_t action, subject;
  uint64_t id;               /* of a run, delivery or input */
  cod_str name;              /* of a sink or workflow */
  uint8_t lane[REC_LANE];
  cod_str who, reason;
} rec_action;

/* REC_DEPLOY, body = the module's bytes or nothing:  module hash | deployment hash | name str | file str | who str */
typedef struct rec_deploy {
  uint8_t module[REC_HASH], deployment[REC_HASH];
  cod_str name, file, who;
} rec_deploy;

/* REC_AUDIT:  number var | previous hash | time i64 as var | kind str | who str | roles str | action str | subject str | query str | reason str | outcome u8 | status var
 * and of a checkpoint:  until var | hash of number until
 * Numbers are consecutive from 1; previous hash = SHA-256 of the previous audit record's meta, zeros for number 1.
 * A checkpoint is how retention removes the oldest: it is itself a link of the chain, and folding it takes away every row up to `until`. */
typedef struct rec_audit {
  uint64_t number;
  uint8_t previous[REC_HASH];
  int64_t time_us;
  cod_str kind;              /* "call", "phi_read", "denied", "start", "stop", "deploy", "checkpoint" */
  cod_str who, roles;        /* "uid:1001 (ann)", "viewer, operator" */
  cod_str action, subject;   /* "GET /messages/", "/messages/17" */
  cod_str query;             /* what was asked for: may name a patient */
  cod_str reason;            /* as given by the caller */
  uint8_t outcome;           /* of AuditEvent: 0 success, 4 refused, 8 failed, 12 grave */
  uint32_t status;           /* HTTP status, 0 = none */
  uint64_t until;            /* checkpoint: records up to this number are over, less than number; 0 = none */
  uint8_t until_hash[REC_HASH]; /* of that one: what the first that stays names as its previous */
} rec_audit;

/* REC_PUT:  space str | key str */
typedef struct rec_put {
  cod_str space, key;        /* "cursor", declared name... */
} rec_put;

/* REC_EXPIRE:  first var | n var | n times (subject u8 | id var). An input stands with all of its runs in one record. */
typedef struct rec_expire {
  uint64_t first;            /* segments before the one that begins with this sequence are no longer kept; 0 = nothing new */
  uint32_t n;                /* at most REC_MAX_EXPIRED */
  cod_r items;               /* decoded by rec_next_expired */
} rec_expire;
typedef struct rec_expired {
  uint8_t subject;           /* SUBJECT_INPUT, SUBJECT_RUN, SUBJECT_DELIVERY */
  uint64_t id;
} rec_expired;

/* Encoders: into an empty w. HDW_E_LIMIT when a count, name or path exceeds its limit, or the whole does not fit w or REC_META_MAX. */
hdw_status rec_put_input(cod_w *w, const rec_input *r);
hdw_status rec_put_verdict(cod_w *w, const rec_input_verdict *r);
hdw_status rec_put_ack_outcome(cod_w *w, const rec_ack_outcome *r);
hdw_status rec_put_run_start(cod_w *w, const rec_run_start *r);
hdw_status rec_put_run_change(cod_w *w, const rec_run_change *r);
hdw_status rec_put_effect(cod_w *w, const rec_effect *r);
hdw_status rec_put_run_end(cod_w *w, const rec_run_end *r);
hdw_status rec_put_delivery(cod_w *w, const rec_delivery *r);
hdw_status rec_put_delivery_result(cod_w *w, const rec_delivery_result *r);
hdw_status rec_put_action(cod_w *w, const rec_action *r);
hdw_status rec_put_deploy(cod_w *w, const rec_deploy *r);
hdw_status rec_put_named(cod_w *w, const rec_put *r);
hdw_status rec_put_expire(cod_w *w, uint64_t first, const rec_expired *items, uint32_t n);
hdw_status rec_put_audit(cod_w *w, const rec_audit *r);

/* Decoders of rec->meta; slices point into it. HDW_E_CORRUPT, HDW_E_VERSION. */
hdw_status rec_get_input(const log_rec *rec, rec_input *out);
hdw_status rec_get_verdict(const log_rec *rec, rec_input_verdict *out);
hdw_status rec_get_ack_outcome(const log_rec *rec, rec_ack_outcome *out);
hdw_status rec_get_run_start(const log_rec *rec, rec_run_start *out);
hdw_status rec_get_run_change(const log_rec *rec, rec_run_change *out);
hdw_status rec_get_effect(const log_rec *rec, rec_effect *out);
hdw_status rec_get_run_end(const log_rec *rec, rec_run_end *out);
hdw_status rec_get_delivery(const log_rec *rec, rec_delivery *out);
hdw_status rec_get_delivery_result(const log_rec *rec, rec_delivery_result *out);
hdw_status rec_get_action(const log_rec *rec, rec_action *out);
hdw_status rec_get_deploy(const log_rec *rec, rec_deploy *out);
hdw_status rec_get_named(const log_rec *rec, rec_put *out);
/* items were looked at as a whole: rec_next_expired then gives n of them. */
hdw_status rec_get_expire(const log_rec *rec, rec_expire *out);
rec_expired rec_next_expired(rec_expire *r);
hdw_status rec_get_audit(const log_rec *rec, rec_audit *out);

/* "INPUT", "RUN_END"...; "?" for unknown. */
const char *rec_type_name(uint8_t type);
/* Lane hash of a workflow's (or sink's) name and key text; 16 bytes, equal on every machine. */
void rec_lane_hash(cod_str name, cod_str key, uint8_t out[REC_LANE]);
static inline uint64_t rec_run_id(uint64_t seq, unsigned index) { return seq << 8 | index; }
static inline uint64_t rec_run_seq(uint64_t run) { return run >> 8; }

#endif
