/* hdwvm_follow.h - what the files of the standby share. */
#ifndef HDW_HDWVM_FOLLOW_H
#define HDW_HDWVM_FOLLOW_H
#include "hdwvm.h"
#include "log_int.h"
#include "ship.h"
#include "store.h"

enum { FOLLOW_PATH = 1200 };

typedef struct follower {
  io_mem mem;
  arena a;
  io *io;
  hv_args peer;
  char dir[1000], log[FOLLOW_PATH], marker[FOLLOW_PATH];
  int lock;
  store *s;
  uint64_t seg, off;         /* the next byte wanted; seg 0 = nothing yet */
  uint64_t as_of;            /* of the file that it is in: ship.h */
  int fd;
  uint8_t salt[16];
  bool filtered;             /* a segment that retention had filtered came: the others must be of the same moment */
  bool down, in_sync, fresh;
  uint64_t synced, unfolded;
  uint64_t term;             /* of the copy, as far as it is folded; 0 = nothing is */
  uint64_t passes;           /* of the primary's retention, when keep_as_theirs was last done with */
  bool looked;               /* passes is known */
  int64_t folded_us, told_us;
} follower;

/* The primary's segments, oldest first, and by which state each was filtered (0: not). */
typedef struct follow_list {
  struct follow_seg { uint64_t seg, as_of; } *v;
  uint32_t n;
} follow_list;
/* In a. False: no answer, or none that can be used. */
bool follow_ask_list(follower *f, arena *a, follow_list *out);
/* One piece of the log: HTTP status, or -1. *p and *len: the bytes. */
int follow_ask_piece(follower *f, arena *a, uint64_t seg, uint64_t off, ship_head *h, const uint8_t **p, size_t *len);

/* hdwvm_follow_keep.c: one segment that retention changed at the primary is exchanged for the primary's, or dropped as there. HDW_E_NOTFOUND: nothing is left to do;
 * HDW_E_AGAIN: not now (the copy is behind, or the primary is at it); HDW_E_IO and the like: the copy cannot be written. */
hdw_status follow_keep(follower *f);

#endif
