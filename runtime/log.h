/* log.h - the segment log: the truth. Whatever is not in here after a sync did not happen.
 *
 * A folder of append-only files, each named by the sequence of its first record: DIR/00000000000000000001.seg. Numbers are little-endian.
 *
 *   segment   0        8      10      12       16           24          32        48             80          88       124    128
 *             +--------+------+-------+--------+------------+-----------+---------+--------------+-----------+--------+------+
 *             |magic   |format| flags |hdr len | first seq  | created   | salt    | previous hash| size      | zero   |crc32c|
 *             |hdwlog\r\n u16 | u16   | u32    | u64        | i64 us    | 16 bytes| 32 bytes     | u64       |        | u32  |
 *             +--------+------+-------+--------+------------+-----------+---------+--------------+-----------+--------+------+
 *   record    0      1       2       4           6        8          16         24         28         32
 *             +------+-------+-------+-----------+--------+----------+----------+----------+----------+------+------+-----+--------+
 *             | type |version| flags | partition | key id | sequence | time us  | meta len | body len | meta | body | 0.. | crc32c |
 *             | u8   | u8    | u16   | u16       | u16    | u64      | i64      | u32      | u32      |      |      |     | u32    |
 *             +------+-------+-------+-----------+--------+----------+----------+----------+----------+------+------+-----+--------+
 *
 * A record begins at a multiple of 8 and is padded so that its CRC ends on one. The CRC covers everything before it, and is seeded with the
 * segment's salt and the record's offset: bytes that look like a record in another place are none. Type 0 (preallocated zeros) is the end.
 * Sequences are consecutive over all segments. previous hash = SHA-256 over the previous segment's header and the CRCs of its records.
 *
 * A compacted segment (retention, log_compact_*) has flags 1 and the same name, salt and header otherwise; it holds what was still needed, in order:
 *
 *   128      LOG_T_COMPACT: what it was (below); then entries: | offset in the original u32 | 0 u32 | record |; at the end LOG_T_INDEX with their places
 *
 * An entry is the record as it was, its CRC still seeded with the offset that it had, so positions stay true; one without its body has LOG_F_BARE
 * and a CRC of its own. The hash that the next segment's header names is kept in LOG_T_COMPACT. Missing sequences are those that were dropped.
 *
 * Writing: the loop hands over records; a writer takes all that are queued, writes them with one call and syncs once, then the callbacks come
 * on the loop in order. The first record of each such batch carries LOG_F_FIRST: a batch is begun only after the one before was synced, so a bad
 * record with a LOG_F_FIRST behind it is damage, and a bad record without is a torn tail, which nobody was told about, and is cut off.
 *
 * A failed write or sync is final: every callback in flight gets HDW_E_IO, later appends are refused, and after fatal_grace_us the process
 * ends with code 75. It is never tried again. */
#ifndef HDW_LOG_H
#define HDW_LOG_H
#include "io.h"

enum { LOG_HEADER = 128, LOG_RECORD_HEADER = 32, LOG_FORMAT = 1, LOG_EXIT_CODE = 75, LOG_RECORD_MAX = 1 << 30 /* meta + body, the most that log_opts allow */ };
/* Flags of a record. The low byte belongs to the record's type. */
enum {
  LOG_F_FIRST = 0x8000, /* first of a batch; set by the writer */
  LOG_F_ZSTD = 0x4000,  /* the body is u32 raw length + zstd frame; resolved by readers */
  LOG_F_SEALED = 0x2000, /* encrypted under key id (reserved) */
  LOG_F_BARE = 0x1000    /* retention took the body: body is NULL, body_len what it was. Set by readers */
};
/* The one type that the log itself writes: a clean end. Its batch protects the one before it from being taken for a torn tail. */
enum { LOG_T_CLOSE = 14, LOG_T_INDEX = 254, LOG_T_COMPACT = 255 /* the last two never come out of a reader */ };

typedef struct hlog hlog;
typedef struct log_iter log_iter;

/* Where a record is. seg = first sequence of its segment. {0, 0} = nowhere. */
typedef struct log_pos {
  uint64_t seg;
  uint32_t off;
} log_pos;

typedef struct log_rec {
  uint8_t type, version;    /* records.h; type is never 0 */
  uint16_t flags, partition, key_id;
  uint64_t seq;             /* set by log_append */
  int64_t time_us;          /* wall time of the append, never falling; set by log_append */
  log_pos pos;              /* set by log_append */
  uint32_t meta_len, body_len;
  const uint8_t *meta, *body;
} log_rec;

typedef struct log_opts {
  const char *dir;            /* exists or is made; 0700 */
  uint64_t segment_bytes;     /* 0 = 64 MiB */
  uint32_t max_record_bytes;  /* 0 = 32 MiB: meta + body of one record */
  uint64_t max_unsynced_bytes;/* 0 = 64 MiB: log_append gives HDW_E_FULL beyond */
  uint64_t low_water_bytes;   /* 0 = 256 MiB: log_intake is false below */
  int64_t fatal_grace_us;     /* 0 = 200,000 */
  uint64_t synced_seq;        /* known to have been synced (the store's applied sequence): their lack is damage, not a torn tail */
  bool fresh_segment;         /* a restored or promoted folder: the first append begins a new segment */
  bool compress;              /* zstd for bodies over 512 bytes */
} log_opts;

typedef struct log_open_info {
  uint64_t last_seq;          /* 0 = empty */
  uint64_t torn_bytes;        /* cut off at the end */
  uint64_t segments;
  bool clean;                 /* it ends with a clean end, or is empty */
  int64_t last_us;            /* of the last record */
  log_pos bad;                /* when log_open gives HDW_E_CORRUPT: where */
} log_open_info;

/* Called on the loop, in the order of the appends, when rec is durable (HDW_OK) or never will be (HDW_E_IO). rec and its bytes are valid during the call. */
typedef void (*log_cb)(hdw_status s, const log_rec *rec, void *user);

/* Checks the last segment, cuts a torn tail, makes the log ready to append. The opts' strings are copied. One process at a time: the lock is
 * DIR/lock, HDW_E_DENIED when another has it. HDW_E_CORRUPT: damage within the last segment (info->bad); HDW_E_VERSION; HDW_E_IO, HDW_E_FULL, HDW_E_DENIED, HDW_E_NOMEM. */
hdw_status log_open(io *x, const log_opts *opts, log_open_info *info, hlog **out);
/* Only for log_read, beside a running daemon too: no lock is taken, nothing can be appended. */
hdw_status log_open_read(io *x, const char *dir, hlog **out);
/* Writes what is queued, makes the callbacks, writes a clean end and frees. Blocks until the last sync. */
void log_close(hlog *l);

/* Queues a record (meta and body are copied) and fills in rec->seq, time_us and pos. cb may be NULL. HDW_E_FULL: too many un-synced bytes or below the reserve;
 * HDW_E_LIMIT: record too large; HDW_E_NOMEM; HDW_E_IO: the log has failed. */
hdw_status log_append(hlog *l, log_rec *rec, log_cb cb, void *user);
/* Calls cb (rec NULL) when everything appended so far is durable, at once soon when it is already. HDW_E_NOMEM, HDW_E_IO. */
hdw_status log_barrier(hlog *l, log_cb cb, void *user);

typedef struct log_stats {
  uint64_t last_seq, synced_seq;  /* given out; durable */
  log_pos synced_end;             /* behind the last durable record */
  uint64_t unsynced_bytes, appended_bytes, batches, syncs;
  int64_t sync_us_last, sync_us_max;
  bool failed;
} log_stats;
void log_get_stats(const hlog *l, log_stats *out);
/* False when intake must stop: disk below low water (looked at once a second), half of max_unsynced_bytes used, or failed. */
bool log_intake(hlog *l);

/* Reads one durable record; bytes in a. HDW_E_NOTFOUND: no such segment, or retention took it (with LOG_F_BARE in out->flags: only its body; out->body_len tells its size); HDW_E_CORRUPT: not a valid
 * record there, as far as the segment goes (out->pos is pos); HDW_E_NOMEM: more memory than a has for a record whose length the segment allows. */
hdw_status log_read(hlog *l, log_pos pos, arena *a, log_rec *out);
/* The next append begins a new segment. No effect while the current one is empty. */
void log_roll(hlog *l);
/* Files of the segment may have changed: log_read opens it again. */
void log_forget(hlog *l, uint64_t seg);
/* Removes closed segments all of whose records are older than seq. *dropped may be NULL. */
hdw_status log_drop_before(hlog *l, uint64_t seq, uint64_t *dropped);

/* Reading in order, without a hlog or beside one (then only what was durable when the iterator reached it). from_seq 0 = from the oldest. HDW_E_NOTFOUND: from_seq is older
 * than the oldest segment. A from_seq beyond the end gives an iterator at its end. */
hdw_status log_iter_open(io *x, const char *dir, uint64_t from_seq, log_iter **out);
/* HDW_OK: *rec valid until the next call. HDW_E_NOTFOUND: the end. HDW_E_CORRUPT: rec->pos and rec->seq (expected) tell where; the iterator stays there. Anything else may be
 * asked again; it stays so when a segment could not be opened. */
hdw_status log_iter_next(log_iter *it, log_rec *rec);
/* After HDW_E_CORRUPT: goes on with the next segment. HDW_E_NOTFOUND when there is none. *lost = sequences skipped. */
hdw_status log_iter_skip_segment(log_iter *it, uint64_t *lost);
/* Bytes read and bytes in all segments, for progress. */
void log_iter_progress(const log_iter *it, uint64_t *read_bytes, uint64_t *total_bytes);
void log_iter_close(log_iter *it);
/* The segment that the last record came from was compacted: sequences may be missing. */
bool log_iter_compacted(const log_iter *it);
/* The sequence that comes next, as far as is known: behind the last record at the end. */
uint64_t log_iter_next_seq(const log_iter *it);
/* The sequence with which the oldest segment begins; 0 = there is none. */
uint64_t log_iter_first_seq(const log_iter *it);

/* ---- retention: log_retain.c ---- */

/* What a compaction knows. Times in Unix microseconds. */
typedef struct log_compact_info {
  uint64_t as_of;            /* sequence of the state by which it was filtered; 0 = not compacted */
  int64_t at_us;             /* when */
  int64_t horizon_us[4];     /* of the classes inputs, values, runs, audit: older records were taken out */
  uint64_t pinned_bytes;     /* that stayed although their class was over */
  uint64_t next_seq;         /* of the segment that follows */
  int64_t last_us;           /* time of its last record, gone or not */
  uint64_t was_bytes;        /* used bytes of the original */
  uint32_t entries;
  uint64_t class_bytes[4];   /* kept: inputs' bodies, other bodies, the rest of everything but audit, audit */
} log_compact_info;

typedef enum log_verdict { LOG_V_DROP, LOG_V_BARE, LOG_V_KEEP } log_verdict;
/* klass: index for class_bytes of what is kept. */
typedef log_verdict (*log_judge)(const log_rec *rec, bool *pinned, unsigned *klass, void *user);
typedef struct log_compaction log_compaction;
/* Makes DIR/compact.tmp out of a closed segment. info: as_of, at_us, horizon_us. HDW_E_CORRUPT: the segment is damaged; then it stays as it is. HDW_E_LIMIT: over 3 GiB. */
hdw_status log_compact_begin(io *x, const char *dir, uint64_t seg, const log_compact_info *info, log_compaction **out);
/* Looks at n records. *done: everything was looked at and written. */
hdw_status log_compact_step(log_compaction *c, log_judge judge, void *user, unsigned n, bool *done);
/* Makes the file durable and puts it in the place of the segment: at any crash either one is there. After *done; any thread, nobody else touching it. *info: what came out. */
hdw_status log_compact_commit(log_compaction *c, log_compact_info *info, uint64_t *size);
void log_compact_end(log_compaction *c);
/* Are all entries found by the places that they had? HDW_E_CORRUPT with the sequence of the first that is not (0: the segment itself does not read). */
hdw_status log_compact_check(io *x, const char *dir, uint64_t seg, uint64_t *wrong);
/* Of one segment: HDW_OK with info->as_of 0 when it was never compacted. */
hdw_status log_compact_read(io *x, const char *dir, uint64_t seg, log_compact_info *out);

/* One segment's state, for check, backup and listing. */
typedef struct log_segment_info {
  uint64_t first_seq, size_bytes;
  int64_t created_us;
  bool compacted;
} log_segment_info;
/* Fills at most cap, oldest first; *n = how many there are. */
hdw_status log_segments(io *x, const char *dir, log_segment_info *out, size_t cap, size_t *n);

#endif
