/* ship.h - how a standby gets the log: durable bytes of segment files, as they are, in pieces.
 *
 *   GET /log?seg=S&off=O&max=N&term=T   S 0 = the oldest; T: the asker's term, 0 = it has none. Answer: 88 bytes, then bytes of the file from O on
 *     0        8     16    24      32           40           48        64       72         80        88
 *     "hdwship2" seg u64 off u64 end u64 next u64 synced u64 salt 16   term u64 passes u64 as_of u64      little-endian
 *     end: bytes of the segment that may be taken now; next: the segment behind, 0 = none; synced: the last durable sequence; term: term.h;
 *     passes: rises when retention may have changed segments; as_of: the state by which this file was filtered, 0 = as it was written
 *   404: the segment is not kept any more; 409: off lies behind its end, the asker has what the daemon has not; 410: the asker's term is newer:
 *   this log was replaced
 *   GET /log/segments                [{"seg":S,"as_of":A}, ...]: which were filtered, by which state
 *
 * Whoever may ask for it sees every value: the data folder's owner, and tokens with the role phi_viewer. */
#ifndef HDW_SHIP_H
#define HDW_SHIP_H
#include "codec.h"

enum { SHIP_HEADER = 88, SHIP_MAX = 8 << 20 };
#define SHIP_MAGIC "hdwship2"
typedef struct ship_head {
  uint64_t seg, off, end, next, synced;
  uint8_t salt[16];
  uint64_t term, passes, as_of;
} ship_head;
static inline void ship_put(const ship_head *h, uint8_t out[SHIP_HEADER]) {
  cod_w w = cod_writer(out, SHIP_HEADER);
  cod_put_raw(&w, SHIP_MAGIC, 8);
  cod_put_u64(&w, h->seg);
  cod_put_u64(&w, h->off);
  cod_put_u64(&w, h->end);
  cod_put_u64(&w, h->next);
  cod_put_u64(&w, h->synced);
  cod_put_raw(&w, h->salt, 16);
  cod_put_u64(&w, h->term);
  cod_put_u64(&w, h->passes);
  cod_put_u64(&w, h->as_of);
}
static inline bool ship_get(const void *p, size_t len, ship_head *h) {
  if (len < SHIP_HEADER || memcmp(p, SHIP_MAGIC, 8) != 0) return false;
  cod_r r = cod_reader((const uint8_t *)p + 8, SHIP_HEADER - 8);
  h->seg = cod_get_u64(&r);
  h->off = cod_get_u64(&r);
  h->end = cod_get_u64(&r);
  h->next = cod_get_u64(&r);
  h->synced = cod_get_u64(&r);
  if (!cod_get_raw(&r, h->salt, 16)) return false;
  h->term = cod_get_u64(&r);
  h->passes = cod_get_u64(&r);
  h->as_of = cod_get_u64(&r);
  return !r.bad;
}

#endif
