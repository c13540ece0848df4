/* log_int.h - what the files of the segment log share. Not for others. */
#ifndef HDW_LOG_INT_H
#define HDW_LOG_INT_H
#include "codec.h"
#include "log.h"
#include <openssl/evp.h>

enum { LOG_PATH = 1024, LOG_BODY_MIN_ZSTD = 512 };

typedef struct log_head {
  uint64_t first_seq, size_bytes;
  int64_t created_us;
  uint8_t salt[16], prev[32];
  bool compacted;
} log_head;

void log_head_put(const log_head *h, uint8_t out[LOG_HEADER]);
/* HDW_E_CORRUPT, HDW_E_VERSION. */
hdw_status log_head_get(const uint8_t in[LOG_HEADER], log_head *out);

/* Bytes that a record takes. */
static inline uint64_t log_rec_size(uint64_t meta_len, uint64_t body_len) { return (LOG_RECORD_HEADER + meta_len + body_len + 4 + 7) & ~(uint64_t)7; }
/* CRC over what comes before the bytes: the salt and the offset. */
uint32_t log_crc_seed(const uint8_t salt[16], uint32_t off);
/* Writes all but the CRC; out has log_rec_size bytes. body_len and body are what is stored. */
void log_rec_put(const log_rec *r, uint8_t *out);
/* Sets LOG_F_FIRST if asked, and the CRC. Returns the CRC. */
uint32_t log_rec_seal(uint8_t *rec, size_t size, uint32_t seed, bool first);
/* Looks at p[0..avail). HDW_OK: *out and *size filled, slices into p. HDW_E_NOTFOUND: type 0. HDW_E_AGAIN: *size bytes are needed. HDW_E_CORRUPT. */
hdw_status log_rec_get(const uint8_t *p, size_t avail, uint32_t seed, uint64_t max_bytes, log_rec *out, size_t *size);

/* ---- compacted segments ---- */

enum { LOG_ENTRY = 8 /* before each record */, LOG_DIGEST = 32, LOG_COMPACT_META = 208, LOG_COMPACT_BEGIN = LOG_HEADER + LOG_RECORD_HEADER + LOG_COMPACT_META + 8 };
/* The LOG_T_COMPACT record. */
typedef struct log_compacted {
  log_compact_info info;
  uint8_t digest[LOG_DIGEST];   /* of the original */
  uint64_t index_off;           /* of the LOG_T_INDEX record: the end of the entries */
} log_compacted;
hdw_status log_compacted_read(io *x, int fd, const log_head *h, log_compacted *out);
/* Where the record that was at pos is now. HDW_E_NOTFOUND. */
hdw_status log_compacted_find(io *x, int fd, const log_compacted *c, uint32_t was, uint64_t *off);

/* DIR/NAME.seg; HDW_E_INVALID when too long. */
hdw_status log_seg_path(const char *dir, uint64_t first_seq, char out[LOG_PATH]);
hdw_status log_join(const char *dir, const char *name, char out[LOG_PATH]);
/* First sequences in order; *list from mem (cap * 8 bytes). */
typedef struct log_list {
  uint64_t *seq;
  size_t n, cap;
} log_list;
hdw_status log_list_get(io *x, const char *dir, log_list *out);
void log_list_free(io *x, log_list *l);

/* One segment read in order through a window. */
typedef struct log_scan {
  io *x;
  int fd;
  log_head head;
  uint64_t size, off;      /* file size; offset of the next record */
  uint64_t max_bytes;
  uint8_t *win;            /* bytes [win_off, win_off + win_len) of the file */
  size_t win_cap, win_len;
  uint64_t win_off;
  uint8_t *raw;            /* unpacked body */
  size_t raw_cap;
  uint64_t next_seq;
  EVP_MD_CTX *chain;       /* hash over header and CRCs; NULL when not wanted or compacted */
  bool whole;              /* the record at off has the right CRC, and its body does not unpack: that is damage, no torn tail */
  uint8_t last_type;
  const uint8_t *stored;   /* the last record as it stands in the file; until the next call */
  size_t stored_size;
  log_compacted comp;      /* when head.compacted */
  uint32_t entries, last_off;
} log_scan;
/* HDW_E_CORRUPT when the header is bad: then s->size is what the file has. On failure nothing is left open. */
hdw_status log_scan_open(log_scan *s, io *x, const char *path, uint64_t first_seq, uint64_t max_bytes, bool chain);
/* HDW_OK; HDW_E_NOTFOUND: zeros or end of file at s->off; HDW_E_CORRUPT: no valid record at s->off, or a wrong sequence; HDW_E_NOMEM, HDW_E_IO. Unless HDW_OK, s->off stays: it can be asked again. */
hdw_status log_scan_next(log_scan *s, log_rec *rec);
/* The hash that the next segment must name, after the last record. HDW_E_NOMEM. */
hdw_status log_scan_digest(log_scan *s, uint8_t out[LOG_DIGEST]);
/* From s->off on: is there any byte that is not zero; is there a valid record that begins a batch (or the one at s->off itself is whole: nothing there is torn)? */
hdw_status log_scan_tail(log_scan *s, bool *dirty, bool *later_batch, uint64_t *dirty_end);
void log_scan_close(log_scan *s);
/* Unpacks a LOG_F_ZSTD body into raw (from mem, grown as needed) and points rec at it. */
hdw_status log_unpack(mem *m, log_rec *rec, uint8_t **raw, size_t *cap, uint64_t max_bytes);

#endif
