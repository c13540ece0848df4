/* mllp.h - HL7 v2 over TCP: the frame decoder and encoder, the listener, the client.
 *
 *   one frame:   0x0B  payload bytes ...  0x1C 0x0D          (Transport Specification: MLLP, Release 1)
 *   MLLP v2:     0x0B 0x06 0x1C 0x0D = commit acknowledgement, 0x0B 0x15 0x1C 0x0D = negative commit acknowledgement
 *
 * The decoder is pure: bytes in, events out, the same events however the bytes were cut into pieces. A frame that lies whole in
 * one piece is given as a slice of that piece; only what is cut is copied. Memory is bounded by max_frame_bytes.
 * Nothing here looks into the payload; who answers what is the owner's business. */
#ifndef HDW_MLLP_H
#define HDW_MLLP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "status.h"

enum { MLLP_START = 0x0B, MLLP_END1 = 0x1C, MLLP_END2 = 0x0D, MLLP_ACK = 0x06, MLLP_NAK = 0x15 };
enum {
  MLLP_MAX_FRAME_BYTES = 16 << 20, /* default of max_frame_bytes */
  MLLP_MAX_JUNK_BYTES = 64 << 10,  /* bytes between two frames; more is a violation even in tolerant mode */
  MLLP_HEAD_BYTES = 4096           /* of an oversize frame, so that its MSH can be read for a refusal */
};

/* ---- decoder ---------------------------------------------------------------------------------------------------- */

typedef enum mllp_kind {
  MLLP_FRAME,      /* p, len: payload, valid until the next call on the decoder; len may be 0 (nothing to answer) */
  MLLP_COMMIT,     /* code: MLLP_ACK or MLLP_NAK, a frame of this one byte. A v1 endpoint drops it (H-11) */
  MLLP_JUNK,       /* len: bytes outside frames that were skipped, white space not counted. The content is not kept */
  MLLP_PARTIAL,    /* len: bytes of a frame that never ended: a second start byte (H-4) or the end of input (H-6) */
  MLLP_OVERSIZE,   /* p, len: the first bytes of a frame over the limit. Last event of this decoder */
  MLLP_VIOLATION   /* strict mode, or more junk than allowed. Last event of this decoder */
} mllp_kind;

typedef struct mllp_event {
  mllp_kind kind;
  uint8_t code;
  const uint8_t *p;
  size_t len;
} mllp_event;

typedef struct mllp_decoder {
  mem *m;
  size_t max_frame_bytes;
  bool strict;
  /* the rest is the decoder's own */
  uint8_t state;
  bool eof, end1, given;
  const uint8_t *in;           /* the fed piece, in[pos..len) not yet looked at */
  size_t in_pos, in_len, start, next_end;
  uint8_t *held;               /* bytes of the open frame from earlier pieces */
  size_t held_len, held_cap;
  size_t junk, space;
} mllp_decoder;

/* strict: any byte between frames, and 0x1C without 0x0D, is a violation (H-2, H-3); else both are tolerated.
 * max_frame_bytes 0 = default. No memory is taken before a frame is cut in two. */
void mllp_decoder_init(mllp_decoder *d, mem *m, size_t max_frame_bytes, bool strict);
void mllp_decoder_free(mllp_decoder *d);
/* Gives the next piece. The bytes must stay where they are until mllp_next() has said HDW_E_AGAIN. Pieces of any length, also 0. */
void mllp_feed(mllp_decoder *d, const void *p, size_t len);
/* The peer closed: what is open becomes MLLP_PARTIAL. */
void mllp_feed_eof(mllp_decoder *d);
/* HDW_OK: *ev is set. HDW_E_AGAIN: the piece is used up (what is needed of it is kept). HDW_E_NOMEM: as good as closed. */
hdw_status mllp_next(mllp_decoder *d, mllp_event *ev);
/* A frame has begun and not ended: the read timeout counts, not the idle timeout (H-5). */
bool mllp_in_frame(const mllp_decoder *d);

/* ---- encoder ---------------------------------------------------------------------------------------------------- */

/* Bytes of a frame with len payload bytes. */
static inline size_t mllp_frame_bytes(size_t len) { return len + 3; }
/* Writes the frame of the payload to dst (mllp_frame_bytes(len) bytes). HDW_E_DATA, nothing useful written, when the payload holds
 * 0x0B or 0x1C 0x0D or ends with 0x1C: a receiver would see other frames than were meant. */
hdw_status mllp_encode(uint8_t *dst, const void *payload, size_t len);

#endif
