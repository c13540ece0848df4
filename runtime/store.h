/* store.h - the materialised state: what the log says, indexed, in LMDB. It can be deleted at any time and is rebuilt from the log.
 *
 * State changes only by store_apply of durable log records, in order: call it from the log's callback. Everything applied is
 * visible to queries at once: it stands in memory until it is in the file. A thread writes and syncs the file (store_commit.c), a commit every commit_us or
 * commit_records, one at a time; when it falls behind by 16 MiB of changes store_apply waits for it. After a crash store_open applies what the log has
 * beyond the last commit.
 *
 * Values carry a CRC32C over key and value, checked at every read (HDW_E_CORRUPT): LMDB itself does not notice damage.
 * Keys begin with the partition. A single node uses one partition, 0, so that inserts stay local.
 *
 * Loop thread only; the thread behind it is the store's own. Rows are copied into the arena given; slices in them live there. Lists call back with ids in order; the callback may read
 * rows but must not apply, flush or close. */
#ifndef HDW_STORE_H
#define HDW_STORE_H
#include "records.h"

typedef struct store store;

/* done and total in bytes of log; called now and then during catch-up. */
typedef void (*store_progress)(uint64_t done_bytes, uint64_t total_bytes, void *user);

typedef struct store_opts {
  const char *dir;           /* data folder, made 0700 when missing: state.mdb, hash.key, log/ */
  const char *lmdb_dir;      /* NULL = dir. Always a real folder, also on the simulated side */
  uint64_t map_bytes;        /* first map size, 0 = 64 MiB; grows at 80 % */
  uint64_t map_max_bytes;    /* 0 = 1 TiB */
  int64_t commit_us;         /* 0 = 100,000 */
  unsigned commit_records;   /* 0 = 20,000 */
  bool read_only;            /* the state as last committed, also beside a running daemon: nothing is made, caught up or written. HDW_E_NOTFOUND, HDW_E_CORRUPT */
  uint64_t until;            /* catches up to this sequence only; 0 = to the end of the log */
  store_progress progress;   /* may be NULL */
  void *progress_user;
} store_opts;

typedef struct store_info {
  uint64_t applied_seq;      /* after opening */
  uint64_t caught_up;        /* records applied from the log while opening */
  uint64_t skipped;          /* records lost in damaged segments */
  bool rebuilt;              /* state.mdb was missing, damaged, of another version, or older than what retention left of the log */
  bool behind;               /* the last of these */
  uint64_t first_seq;        /* when rebuilt: with which the oldest segment began */
  log_pos bad;               /* first damage met */
} store_info;

/* Opens or makes state.mdb, then applies the log in dir/log from the applied position. Refuses: remote file systems (HDW_E_UNSUPPORTED), a folder or file that is
 * a link or open to others (HDW_E_DENIED). A damaged or missing state.mdb is set aside and rebuilt. */
hdw_status store_open(io *x, const store_opts *opts, store_info *info, store **out);
/* The sequence up to which state is committed in dir, before the log is opened: log_opts.synced_seq. 0 when there is none. */
uint64_t store_peek_applied(io *x, const char *dir);
/* Folds what was added to dir/log since, and commits: for a folder whose log somebody else writes (a standby). */
hdw_status store_catch_up(store *s, store_info *info);
/* Commits and closes. */
void store_close(store *s);
/* Folds one record. A record at or before the applied position is ignored (HDW_OK); a gap is HDW_E_INVALID. HDW_E_CORRUPT: the record cannot be read.
 * After HDW_E_FULL (disk) and HDW_E_IO the store is failed and the process should end: the log has everything. */
hdw_status store_apply(store *s, const log_rec *rec);
/* The INPUT record with this sequence, as store_apply has just read it: for the same callback, while the record is there. NULL: read it yourself. */
const rec_input *store_applied_input(const store *s, uint64_t seq);
/* Commits everything applied and waits until it is in the file. */
hdw_status store_flush(store *s);
uint64_t store_applied(const store *s);
/* Lets go of what the file looked like when it was last read: a newer commit is seen, and its writer may use the pages again. */
void store_refresh(store *s);
/* Deletes state.mdb and folds the whole log again (closes and opens the environment; same handle). */
hdw_status store_rebuild(store *s, store_info *info);
/* SHA-256 over a canonical dump of all state: equal after a rebuild. */
hdw_status store_hash(store *s, uint8_t out[32]);
/* Reads every value once; HDW_E_CORRUPT at the first bad one. */
hdw_status store_check(store *s);
/* What is open was found damaged: its file is set aside (state.mdb.bad), so that the next opening makes it again from the log. Not of a read-only store. */
void store_doubt(store *s);

/* ---- inputs ---- */
typedef struct store_input {
  uint64_t id;
  uint16_t partition;
  uint8_t state;             /* rec_input_state */
  uint8_t attempts;          /* verdicts so far */
  int64_t time_us, received_us;
  log_pos pos;               /* of the INPUT record: log_read gives the bytes */
  uint32_t body_len;
  uint8_t content_hash[REC_HASH];
  cod_str source, control_id, sender, type, peer, dedup_key, ack_code, error_code, text;
  uint8_t npatients;
  uint8_t patients[REC_MAX_PATIENTS][16]; /* keyed hashes: the index that finds it */
  cod_str identity, charset, trace; /* as in rec_input */
} store_input;
hdw_status store_get_input(store *s, uint16_t part, uint64_t id, arena *a, store_input *out);
/* The latest input with this duplicate key before the input `before` (0 = of all); HDW_E_NOTFOUND. Compare content_hash and state (SEMANTICS 1). */
hdw_status store_find_duplicate(store *s, cod_str source, cod_str dedup_key, uint64_t before, arena *a, store_input *out);

/* Ids in order, beginning after `after` (0 = from the start; descending: from the end). Return false to stop. */
typedef bool (*store_id_cb)(uint16_t part, uint64_t id, uint8_t state, void *user);
typedef enum store_index { STORE_BY_TIME, STORE_BY_CONTROL_ID, STORE_BY_SENDER, STORE_BY_PATIENT } store_index;
/* key: control id, sender or patient identifier; ignored for STORE_BY_TIME. state is that of the input for STORE_BY_TIME, else 0. */
/* The first input whose time is at or after time_us: minus 1 it is an `after`. HDW_E_NOTFOUND. */
hdw_status store_input_since(store *s, uint16_t part, int64_t time_us, uint64_t *id);
hdw_status store_list_inputs(store *s, uint16_t part, store_index by, cod_str key, uint64_t after, bool descending, unsigned limit, store_id_cb cb, void *user);

/* ---- runs ---- */
typedef struct store_run {
  uint64_t id, input, of_run, epoch;
  uint16_t partition;
  uint8_t state, fail_class, flags, nlanes;
  int64_t created_us, started_us, changed_us, wake_us;
  uint32_t attempts;             /* times it began (RUN_RUNNING) */
  uint32_t effects;              /* 1 when its journal has an entry, else 0 */
  log_pos start_pos, result_pos; /* the record that made it (arguments); RUN_END (returned value) */
  uint32_t file, line, column;
  uint8_t module[REC_HASH], deployment[REC_HASH];
  uint8_t lanes[REC_MAX_LANES][REC_LANE];
  cod_str workflow, reason, path, error_code;
  cod_str held;                  /* parked: the connection that it waits for */
} store_run;
hdw_status store_get_run(store *s, uint16_t part, uint64_t id, arena *a, store_run *out);
/* Runs in a state; only RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED, RUN_FAILED and RUN_DEAD are indexed. */
hdw_status store_list_runs(store *s, uint16_t part, uint8_t state, uint64_t after, unsigned limit, store_id_cb cb, void *user);
hdw_status store_list_runs_of_input(store *s, uint16_t part, uint64_t input, store_id_cb cb, void *user);
/* Head of a lane: the run that may go on; every other run of the lane waits for it. A run may start when it is the head of all its lanes. state may be
 * NULL. HDW_E_NOTFOUND: empty. */
hdw_status store_lane_head(store *s, uint16_t part, const uint8_t lane[REC_LANE], uint64_t *run, uint8_t *state);
/* Runs of a lane in order, the head first; runs that ended are not in it. */
hdw_status store_list_lane(store *s, uint16_t part, const uint8_t lane[REC_LANE], uint64_t after, unsigned limit, store_id_cb cb, void *user);
/* Lanes held by a run that failed, died or is parked, each once with the first such run; by lane, beginning behind `after` (NULL = from the start). */
typedef bool (*store_lane_cb)(uint16_t part, const uint8_t lane[REC_LANE], uint64_t run, void *user);
hdw_status store_list_held(store *s, uint16_t part, const uint8_t *after, unsigned limit, store_lane_cb cb, void *user);

/* ---- journal ---- */
typedef struct store_effect {
  uint8_t state, fail_class;
  uint32_t attempts;
  int64_t time_us;
  log_pos intent_pos, result_pos; /* bodies: request, outcome; {0,0} when there is none */
  uint8_t request_hash[REC_HASH];
  cod_str path, operation, error_code, error_text;
  cod_str address;               /* of the intent, as in rec_effect */
} store_effect;
hdw_status store_get_effect(store *s, uint16_t part, uint64_t run, cod_str path, arena *a, store_effect *out);
typedef bool (*store_effect_cb)(const store_effect *e, void *user);
/* By path, compared as bytes. */
hdw_status store_list_effects(store *s, uint16_t part, uint64_t run, arena *a, store_effect_cb cb, void *user);

/* ---- outbox ---- */
typedef struct store_delivery {
  uint64_t id, run;
  uint16_t partition;
  uint8_t state, fail_class;
  uint32_t attempts, body_len;
  int64_t created_us, changed_us, next_us;
  int64_t failing_us;            /* since when its attempts fail transiently; 0 = they do not */
  log_pos pos, response_pos;     /* request; last response */
  uint8_t lane[REC_LANE], request_hash[REC_HASH], idempotency[REC_HASH];
  uint8_t nmore, more[REC_MAX_LANES - 1][REC_LANE]; /* as in rec_delivery: it stands in the queue of each */
  cod_str sink, path, operation, error_code, error_text;
} store_delivery;
hdw_status store_get_delivery(store *s, uint16_t part, uint64_t id, arena *a, store_delivery *out);
/* The queue of a sink and lane, oldest first: pending, in flight and parked ones. lane NULL = the heads of all lanes of the sink (at most one id per lane). */
hdw_status store_list_queue(store *s, uint16_t part, cod_str sink, const uint8_t *lane, uint64_t after, unsigned limit, store_id_cb cb, void *user);
/* Heads of lanes behind after_lane (NULL = from the first), in the order of the lanes. A delivery of several lanes may come more than once. */
typedef bool (*store_head_cb)(const uint8_t lane[REC_LANE], uint64_t id, uint8_t state, void *user);
hdw_status store_list_heads(store *s, uint16_t part, cod_str sink, const uint8_t *after_lane, unsigned limit, store_head_cb cb, void *user);
/* Deliveries in a sink's queue; when the oldest of them was made (over the heads of at most `look` lanes), 0 = none. */
uint64_t store_depth(store *s, uint16_t part, cod_str sink);
int64_t store_oldest_us(store *s, uint16_t part, cod_str sink, unsigned look);
hdw_status store_list_deliveries_of_run(store *s, uint16_t part, uint64_t run, store_id_cb cb, void *user);

/* ---- dead letters, timers, deployments, named state ---- */
/* subject: SUBJECT_RUN, SUBJECT_DELIVERY or SUBJECT_INPUT (failed inputs). */
hdw_status store_list_dead(store *s, uint16_t part, uint8_t subject, uint64_t after, unsigned limit, store_id_cb cb, void *user);
/* Wake times up to until_us, earliest first; state = subject. HDW_OK with *next_us = the first one later (INT64_MAX if none); next_us may be NULL. */
hdw_status store_list_due(store *s, uint16_t part, int64_t until_us, unsigned limit, store_id_cb cb, void *user, int64_t *next_us);
typedef struct store_deploy {
  uint64_t seq;
  int64_t time_us;
  log_pos pos;                   /* body: the module's bytes, when recorded */
  uint32_t body_len;
  uint8_t module[REC_HASH], deployment[REC_HASH]; /* module all zeros: the name was withdrawn */
  cod_str name, file, who;
} store_deploy;
/* By module hash; or module NULL: the current deployment of name. */
hdw_status store_get_deploy(store *s, const uint8_t *module, cod_str name, arena *a, store_deploy *out);
typedef bool (*store_deploy_cb)(const store_deploy *d, void *user);
/* current: what each name has now, by name; else everything that was ever deployed, oldest first. Return false to stop. */
hdw_status store_list_deploys(store *s, bool current, arena *a, store_deploy_cb cb, void *user);
/* Named state (REC_PUT): value copied into a. ACTION_PAUSE puts ("paused", "sink:NAME" or "workflow:NAME"), ACTION_RESUME removes it. */
hdw_status store_get_named(store *s, cod_str space, cod_str key, arena *a, cod_str *value);
/* Sinks with something in their queues. */
typedef bool (*store_sink_cb)(cod_str sink, uint64_t depth, void *user);
hdw_status store_list_sinks(store *s, uint16_t part, arena *a, store_sink_cb cb, void *user);
/* Everything in a sink's queue, lane by lane. */
hdw_status store_list_sink(store *s, uint16_t part, cod_str sink, unsigned limit, store_id_cb cb, void *user);
typedef bool (*store_named_cb)(cod_str key, cod_str value, void *user);
hdw_status store_list_named(store *s, cod_str space, arena *a, store_named_cb cb, void *user);

/* ---- retention (RELIABILITY and SEMANTICS 2) ---- */

/* What is older than its class's time has no further right to stay, unless something unfinished needs it. Unix microseconds; 0 = keep all of the class. */
typedef struct store_horizon {
  int64_t inputs_us;         /* bytes of inputs */
  int64_t values_us;         /* requests, results, returned values, arguments */
  int64_t answers_us;        /* returned values that a resend within the duplicate window gets again */
  int64_t runs_us;           /* what is left then: who, when, hashes and sizes */
  int64_t audit_us;          /* what operators did, deployments, anything of unknown type */
  uint64_t floor;            /* all segments before the record's were filtered with a state of at least this sequence: UINT64_MAX when there are none, 0 when one was not */
} store_horizon;
typedef enum store_keep { STORE_DROP, STORE_BARE /* all but the body */, STORE_KEEP } store_keep;
/* What must stay of a record that is folded and committed, so that a rebuild from what is kept gives the same state and everything unfinished finds
 * its bytes. *pinned, false before: set when its class is over and it stays all the same. What cannot be judged stays. */
store_keep store_keeps(store *s, const log_rec *rec, const store_horizon *h, bool *pinned);
/* Rows that are over (finished, last changed before until_us, not waited for), as they go into one REC_EXPIRE: SUBJECT_DELIVERY, SUBJECT_INPUT (with all its
 * runs), SUBJECT_RUN (without an input). Looks at most at `look` rows behind `after`; *next = where to go on, 0 = all were looked at. */
hdw_status store_find_expired(store *s, uint16_t part, uint8_t subject, uint64_t after, int64_t until_us, unsigned look, rec_expired *out, uint32_t cap, uint32_t *n, uint64_t *next);
/* All ids of SUBJECT_INPUT, SUBJECT_RUN or SUBJECT_DELIVERY, in order, behind `after`; state 0. */
hdw_status store_list_all(store *s, uint16_t part, uint8_t subject, uint64_t after, unsigned limit, store_id_cb cb, void *user);
/* Writes state.mdb anew without its free pages; nobody may have it open. */
hdw_status store_compact(io *x, const char *dir, uint64_t *before_bytes, uint64_t *after_bytes);
/* Everything up to here is in state.mdb for good. */
uint64_t store_committed(const store *s);
/* The sequence with which the log begins since retention dropped what was before; 0 = nothing was dropped. */
uint64_t store_first(const store *s);

/* ---- audit trail (REC_AUDIT) ---- */
/* The oldest records, at most `look`, that are from before until_us: number and hash of the last of them, for a checkpoint; *until 0 = there are none. */
hdw_status store_audit_over(store *s, int64_t until_us, unsigned look, uint64_t *until, uint8_t hash[REC_HASH]);
bool store_has_audit(store *s, uint64_t number);
/* Number and hash of the latest record; 0 and zeros when there is none. */
hdw_status store_audit_head(store *s, uint64_t *number, uint8_t hash[REC_HASH]);
/* bytes: the record's meta, whose SHA-256 the next one carries; slices live in a. Return false to stop. */
typedef bool (*store_audit_cb)(const rec_audit *r, cod_str bytes, void *user);
/* In order of numbers, beginning behind `after` (0 = from the start; descending: from the end). */
hdw_status store_list_audit(store *s, uint64_t after, bool descending, arena *a, store_audit_cb cb, void *user);
/* The input that has this once-key at now_us. HDW_E_NOTFOUND: nobody. */
hdw_status store_get_once(store *s, const uint8_t key[REC_LANE], int64_t now_us, uint64_t *input);
/* The sequence number expected next (rec_input.sequence_key); HDW_E_NOTFOUND: none known. */
hdw_status store_get_sequence(store *s, cod_str key, int64_t *next);

/* Counts that the fold keeps: of what is there. */
typedef struct store_counts {
  uint64_t inputs, runs, effects, deliveries;
  uint64_t orphans;              /* records about something that is not there (after damage was skipped) */
  uint64_t inputs_by_state[8], runs_by_state[12], deliveries_by_state[8]; /* now in that state */
  uint64_t held_lanes;           /* lanes with a failed or parked run that others wait for, or would */
} store_counts;
void store_get_counts(const store *s, store_counts *out);
/* Bytes of the file and of the map. */
void store_get_size(const store *s, uint64_t *used_bytes, uint64_t *map_bytes);

#endif
