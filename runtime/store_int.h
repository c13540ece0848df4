/* store_int.h - what the files of the store share. Not for others.
 *
 * One LMDB database. A key is
 *
 *   0           2       3
 *   +-----------+-------+------------------------------+
 *   | partition | table | fields, big-endian           |      value: fields, then CRC32C over key and fields
 *   | be16      | u8    |                              |
 *   +-----------+-------+------------------------------+
 */
#ifndef HDW_STORE_INT_H
#define HDW_STORE_INT_H
#include "store.h"
#include "store_delta.h"
#include <lmdb.h>
#include <stdatomic.h>

enum { STORE_FORMAT = 3, STORE_PATH = 1024, STORE_NAME = 16 /* the longest of our files' names */, STORE_KEY_MAX = 511, STORE_ROW_MAX = 2 * REC_META_MAX, STORE_SIP = 16, STORE_TABLES = 64,
       STORE_META_MAX = 4 + 8 + 8 + 35 * 10 /* format, applied, first; 34 counts and the number of keys as numbers of up to 10 bytes */ };

/* Tables and their keys behind partition and table. */
typedef enum store_table {
  T_META = 1,     /* nothing -> format, applied, counts */
  T_INPUT,        /* id */
  T_DEDUP,        /* source str8, then the duplicate key str8, or its keyed hash when long; id: the last one counts */
  T_BY_CONTROL,   /* control id str8, or its keyed hash when long; id */
  T_BY_SENDER,    /* keyed hash, id */
  T_BY_PATIENT,   /* epoch of the id, keyed hash, id */
  T_RUN,          /* id */
  T_RUN_STATE,    /* state, id */
  T_RUN_OF_INPUT, /* input, run: runs that the input's own record did not make */
  T_LANE,         /* lane 16, run */
  T_EFFECT,       /* run, path */
  T_DELIVERY,     /* id */
  T_QUEUE,        /* sink str8, lane 16, id -> state; a second byte in rows of further lanes */
  T_OF_RUN,       /* run, delivery */
  T_DEAD,         /* subject, id */
  T_TIMER,        /* time, subject, id */
  T_DEPLOY,       /* module hash */
  T_CURRENT,      /* name -> module hash */
  T_NAMED,        /* space str8, key */
  T_DEPLOYED,     /* sequence -> deployment: the history */
  T_HELD,         /* lane 16, run: a failed or parked run that its lane waits for */
  T_AUDIT = 40,   /* number -> the record's meta: it outlives its segment */
  T_DEPTH         /* sink -> number of deliveries in its queue */
} store_table;

enum { STORE_IDLE, STORE_HANDED, STORE_ENDED /* phase */, STORE_EMPTY = 1, STORE_USED };

struct store {
  io *x;
  store_opts opts;
  char dir[STORE_PATH], log_dir[STORE_PATH], lmdb_dir[STORE_PATH], mdb_path[STORE_PATH];
  MDB_env *env;
  MDB_dbi dbi;
  MDB_txn *txn;             /* reads what was last committed; NULL = none, stale = to be renewed */
  MDB_cursor *cursors[STORE_TABLES]; /* of txn, one a table, for store_get */
  MDB_cursor *spare[4];     /* of txn, for iterations */
  unsigned nspare;
  bool stale;
  uint8_t known[STORE_TABLES]; /* of partition 0, in txn: 0 = not looked, STORE_EMPTY, STORE_USED */
  uint64_t map_bytes, page_bytes;
  uint64_t applied, committed;
  uint64_t first, committed_first; /* where the log begins, as retention says */
  unsigned pending;         /* records applied since the last commit began */
  /* store_commit.c */
  io_mem delta_mem;
  delta deltas[2], *now, *then; /* what changed since the last commit began; what it commits */
  delta side;               /* then's keys of indexes, in order, when somebody looked for one */
  bool sided;
  bool handed, due;         /* then is with the thread; the next commit is to begin when this one has ended */
  atomic_int phase;
  io_worker *worker;
  io_task ended;
  struct {                  /* the thread's while it has then */
    uint8_t meta[512];
    size_t meta_len;
    uint64_t applied, first, keys;
    hdw_status status;
  } batch;
  bool has_young;           /* a run that the newest record made is not in the tables yet: most end with the next record, and then its indexes are never written */
  store_run young;
  char young_workflow[REC_NAME_MAX];
  store_counts counts;
  uint64_t keys;            /* in the database at the last commit */
  hdw_status failed;
  io_timer timer;
  uint8_t hash_key[16];
  rec_input input;          /* as read from the INPUT record folded last, whose bytes it points into */
  uint64_t input_seq;
  char hashed[64];          /* the text hashed last for an index by sender, and its hash: most come from few */
  uint8_t hashed_len, hashed_key[STORE_SIP];
  uint8_t row[STORE_ROW_MAX], copy[STORE_ROW_MAX]; /* row being written; row that was read to be changed */
};

/* ---- store_lmdb.c ---- */
typedef struct skey {
  cod_w w;
  uint8_t b[STORE_KEY_MAX];
} skey;
void skey_begin(skey *k, uint16_t part, store_table t);

hdw_status store_env_open(store *s);
/* store_pages.c: looks at each page in use of a file that store_env_open opened, before anything is written. HDW_E_CORRUPT, HDW_E_IO, HDW_E_NOMEM. */
hdw_status store_pages(mem *m, const char *path);
void store_env_close(store *s);
/* After a commit: the file is as long as its pages claim, so that check_size may take a shorter one for damaged. */
void store_env_extend(store *s);
/* Makes sure that everything can be read: s->txn is there, and s->young in the tables. */
hdw_status store_txn(store *s);
/* Changes since the last commit; nothing is in the file before the next one. value NULL/0 allowed. HDW_E_NOMEM, HDW_E_LIMIT. */
hdw_status store_put(store *s, const skey *k, const void *value, size_t len);
/* A key of an index, without a value; it was never there before. */
hdw_status store_put_index(store *s, const skey *k);
/* *out points into memory or the map until the next put, del or commit. HDW_E_NOTFOUND, HDW_E_CORRUPT. */
hdw_status store_get(store *s, const skey *k, cod_str *out);
/* What stands behind the prefix in the first key that has it, until the next put, del or commit. HDW_E_NOTFOUND. */
hdw_status store_with(store *s, const skey *prefix, cod_r *rest);
/* HDW_OK also when it was not there. */
hdw_status store_del(store *s, const skey *k);
/* A row of the file without its CRC, which is checked. */
hdw_status store_value(const store *s, const MDB_val *k, const MDB_val *v, cod_str *out);
void store_abort(store *s);
/* Doubles the map; the thread has nothing to do. */
hdw_status store_grow(store *s);
hdw_status store_error(int rc);

/* Keys with a common prefix, in order. */
typedef struct sit {
  store *s;
  MDB_cursor *c;
  size_t prefix_len;
  uint8_t prefix[STORE_KEY_MAX];
  bool desc;
  hdw_status status;
  const delta *in[3];      /* the newest first */
  const delta_node *at[3]; /* the next ones of these; NULL = none */
  bool on_file, passed;    /* the cursor stands on a key; on one that was given */
  MDB_val at_key, at_value;
  cod_r key;       /* behind the prefix */
  cod_str value;   /* without CRC */
} sit;
/* from: full key to begin at (>= when ascending, <= when descending), or NULL. Then sit_next until it gives false; look at status; sit_end. */
void sit_begin(sit *i, store *s, const skey *prefix, const skey *from, bool desc);
bool sit_next(sit *i);
/* Goes on at key (ascending). */
void sit_seek(sit *i, const skey *key);
void sit_end(sit *i);

/* ---- store_commit.c ---- */
void store_commit_init(store *s);
void store_commit_free(store *s);
/* After a record was folded: a commit begins now or in time; waits when too much is not in the file yet. */
hdw_status store_pace(store *s);
/* Commits, even when nothing changed, and waits for it. */
hdw_status store_settle(store *s);
/* Ends the thread and forgets what is not in the file. */
void store_idle(store *s);
/* store.c: the meta row, all but the number of keys. */
hdw_status store_meta_row(const store *s, uint8_t *b, size_t cap, size_t *len);

/* store_fold.c: puts s->young into the tables. store_txn does so before anybody reads. */
hdw_status store_fold_young(store *s);

/* ---- store_rows.c ---- */
size_t row_put_input(store *s, const store_input *r);
size_t row_put_run(store *s, const store_run *r);
size_t row_put_effect(store *s, const store_effect *r);
size_t row_put_delivery(store *s, const store_delivery *r);
size_t row_put_deploy(store *s, const store_deploy *r);
/* Slices point into v. */
bool row_get_input(cod_str v, store_input *r);
bool row_get_run(cod_str v, store_run *r);
bool row_get_effect(cod_str v, store_effect *r);
bool row_get_delivery(cod_str v, store_delivery *r);
bool row_get_deploy(cod_str v, store_deploy *r);

/* Keys. */
void key_id(skey *k, uint16_t part, store_table t, uint64_t id);
void key_dedup(const store *s, skey *k, cod_str source, cod_str dedup_key);              /* without id */
void key_hashed(store *s, skey *k, uint16_t part, store_table t, cod_str what);   /* without id */
void key_queue(skey *k, uint16_t part, cod_str sink);                                     /* without lane, id */
void key_effect(skey *k, uint16_t part, uint64_t run);                                   /* without path */
void key_timer(skey *k, uint16_t part, int64_t at_us, uint8_t subject, uint64_t id);
void key_named(skey *k, cod_str space);                                                  /* without key */

/* ---- store_rename.c ---- */
hdw_status store_fold_rename(store *s, const log_rec *rec, const rec_action *a);

/* ---- store_patient.c ---- */
void key_patient(skey *k, uint16_t part, const uint8_t hash[STORE_SIP], uint64_t id);
hdw_status store_list_patient(store *s, uint16_t part, cod_str key, uint64_t after, bool desc, unsigned limit, store_id_cb cb, void *user);

/* ---- store_depth.c ---- */
hdw_status store_fold_depth(store *s, uint16_t part, cod_str sink, bool more);

/* ---- store_audit.c ---- */
hdw_status store_fold_audit(store *s, const log_rec *rec);
/* ---- store_once.c ---- */
/* The run's once-key belongs to the input until its time; a few keys whose time is over are removed. */
hdw_status store_once_take(store *s, const log_rec *rec, uint64_t input, const rec_run_new *n);
/* The number that the input's sender owes next (H-30). */
hdw_status store_sequence_put(store *s, uint64_t input, const rec_input *r);
/* The input has a once-key that holds until after until_us, or its sender's latest sequence number. */
bool store_input_counts(store *s, uint64_t input, int64_t until_us);
/* The input goes: its once-keys go with it. */
hdw_status store_once_drop(store *s, uint64_t input);

/* ---- store_fold.c ---- */
hdw_status store_fold(store *s, const log_rec *rec);
/* store_retain.c */
hdw_status store_fold_expire(store *s, const log_rec *rec);

#endif
