/* pack.h - values as bytes, exactly: for journal records, stored payloads and request hashes.
 *
 * What is unpacked equals what was packed to the last bit: tag, flags, model type, the text of unread numbers, escapes, the order of members.
 * The same value always gives the same bytes, so a hash of them identifies it.
 *
 *   packed  = version byte (1), value
 *   value   = head byte, [flags u8 when 0x40], [aux varint when 0x80], content by tag
 *   head    = tag | 0x40 flags follow | 0x80 aux follows            (tag < 0x40)
 *   content   EMPTY, NULL            nothing
 *             BOOL, INT, LONG, TYPE, HANDLE   zigzag varint
 *             DEC                    varint scale, 16 bytes coefficient little-endian when BIG, else zigzag varint
 *             STR, NUM, BIN          varint length, bytes
 *             DATE, DATETIME, TIME   zigzag usec, zigzag zone, u8 precision, u8 digits, u8 bits (1 has_zone, 2 zone_z)
 *             QTY                    zigzag scale, 16 bytes coefficient, varint length, unit
 *             LIST, TPL              varint count, values
 *             OBJ                    varint count, {varint length, name, value} ...
 *             HL7                    varint length, the node as the caller's writer gives it
 *
 * Keys' hashes are recomputed, never stored. Nothing recurses; containers may nest PACK_MAX_DEPTH deep. Unpacking hostile bytes is safe: it
 * never takes more than 32 bytes of memory for a byte of input. */
#ifndef HDW_PACK_H
#define HDW_PACK_H
#include "value.h"

enum { PACK_VERSION = 1, PACK_MAX_DEPTH = 512 };

/* How an HL7 value becomes bytes and comes back; NULL members make HL7 values HDW_E_TYPE. */
typedef struct pack_hl7 {
  hdw_status (*write)(void *user, val node, buf *out);
  hdw_status (*read)(void *user, arena *a, const void *p, size_t len, val *out);
  void *user;
} pack_hl7;

/* Appends. HDW_E_LIMIT (depth or b's maximum), HDW_E_TYPE (builders), HDW_E_NOMEM. Working memory comes from b's arena and is given back. */
hdw_status pack_val(buf *b, val v, const pack_hl7 *hl7);
/* Strings point into p, which must outlive the value. HDW_E_CORRUPT, HDW_E_VERSION, HDW_E_LIMIT, HDW_E_NOMEM. The whole of p must be used. */
hdw_status pack_read(arena *a, const void *p, size_t len, const pack_hl7 *hl7, val *out);

/* Varints and byte strings, shared with the engine's records. */
void pack_u64(buf *b, uint64_t v);
void pack_i64(buf *b, int64_t v);
void pack_bytes(buf *b, const void *p, size_t len);
/* Reader: after an error (ok false) everything reads as zero. */
typedef struct pack_in {
  const uint8_t *p, *end;
  bool ok;
} pack_in;
static inline pack_in pack_from(const void *p, size_t len) { return (pack_in){(const uint8_t *)p, (const uint8_t *)p + len, true}; }
uint64_t pack_get_u64(pack_in *in);
int64_t pack_get_i64(pack_in *in);
uint8_t pack_get_u8(pack_in *in);
/* A slice of the input; NULL with *len 0 on error. */
const char *pack_get_bytes(pack_in *in, size_t *len);

#endif
