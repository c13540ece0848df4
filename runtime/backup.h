/* backup.h - copies of a data folder's log. The state is derived, so the log is all there is to keep: a restored folder folds it anew.
 *
 * Works beside a running daemon: closed segments do not change but by retention, which exchanges whole files; of the last one what is complete is
 * taken. What was acknowledged before the copy began is in it. A second backup to the same folder copies what is new or was exchanged. */
#ifndef HDW_BACKUP_H
#define HDW_BACKUP_H
#include "log.h"

typedef struct backup_report {
  uint64_t segments, copied, removed; /* in the copy; copied now; no longer kept by the source */
  uint64_t bytes, copied_bytes;
  uint64_t last_seq;
  char bad[160];               /* what is damaged, when HDW_E_CORRUPT */
} backup_report;
/* from and to: folders with segments; to is made. HDW_E_CORRUPT: a segment cannot be read whole (the others are copied all the same); HDW_E_AGAIN: retention
 * kept exchanging segments; HDW_E_INVALID: `to` holds segments of another log. */
hdw_status backup_copy(io *x, const char *from, const char *to, backup_report *out);

typedef void (*check_say)(const char *line, void *user);
typedef struct check_report {
  uint64_t segments, compacted, records, bytes, last_seq, damaged, lost;
  bool torn_tail;
} check_report;
/* Reads every record of every segment: checksums, sequences, the chain of hashes, the places of compacted segments. Each damage is a line. Without keys,
 * and beside a running daemon. HDW_E_CORRUPT when anything is damaged. */
hdw_status check_log(io *x, const char *dir, check_say say, void *user, check_report *out);

#endif
