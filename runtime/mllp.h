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
#include "net.h"

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
/* Takes back what was fed and not yet looked at: *p, bytes. Only right after MLLP_FRAME or MLLP_COMMIT; the rest is fed again later. */
size_t mllp_unfed(mllp_decoder *d, const uint8_t **p);
/* A frame has begun and not ended: the read timeout counts, not the idle timeout (H-5). */
bool mllp_in_frame(const mllp_decoder *d);

/* ---- encoder ---------------------------------------------------------------------------------------------------- */

/* Bytes of a frame with len payload bytes. */
static inline size_t mllp_frame_bytes(size_t len) { return len + 3; }
/* Writes the frame of the payload to dst (mllp_frame_bytes(len) bytes). HDW_E_DATA, nothing useful written, when the payload holds
 * 0x0B or 0x1C 0x0D or ends with 0x1C: a receiver would see other frames than were meant. */
hdw_status mllp_encode(uint8_t *dst, const void *payload, size_t len);

/* ---- listener --------------------------------------------------------------------------------------------------- */

typedef struct mllp_listener mllp_listener;
/* One received frame of one connection. Answered once; stale tokens (connection gone, answered before) are recognised. */
typedef struct mllp_token {
  uint32_t slot, generation; /* of the connection */
  uint64_t seq;              /* of the frame within it, from 1 */
} mllp_token;

typedef struct mllp_peer {
  io_addr addr;
  uint64_t conn;             /* unique in this listener's life */
  const char *san, *subject, *sans; /* of the client certificate, "" without; sans: see tls_peer_sans; valid during the callback */
} mllp_peer;

typedef struct mllp_stats {
  uint64_t accepted, refused;              /* connections; refused: not in the allow list, too many */
  uint64_t frames, frame_bytes, empty_frames;
  uint64_t junk_bytes, partials, oversize, violations, stray_commits, negative_commits;
  uint64_t replies, stale_replies, idle_timeouts, frame_timeouts, tls_failures;
  uint32_t open, unacked;                  /* now */
} mllp_stats;

typedef struct mllp_listener_opts {
  io_addr addr;
  uint8_t version;             /* 1 (default when 0) or 2; configured, never guessed (H-11) */
  bool strict;
  size_t max_frame_bytes;      /* 0 = 16 MiB */
  int64_t frame_timeout_us;    /* first to last byte of a frame; 0 = 30 s */
  int64_t idle_timeout_us;     /* between frames, nothing unanswered; 0 = none */
  unsigned max_conns;          /* 0 = 1,024 */
  unsigned max_conns_per_peer; /* 0 = no limit */
  unsigned max_unacked;        /* frames of a connection without answer before it is not read any more; 0 = 64 */
  tls_ctx *tls;                /* NULL = plain */
  const net_cidr *allow;       /* whom to accept from; n_allow 0 = everybody. Must outlive the listener */
  unsigned n_allow;
  /* A whole frame (len > 0). p is valid during the call. Answer with mllp_reply, now or later. */
  void (*frame)(void *user, mllp_token t, const mllp_peer *peer, const uint8_t *p, size_t len);
  /* A frame over the limit; p, len is its beginning. The answer (may be empty) is the last thing sent on the connection. NULL: closed without a word. */
  void (*oversize)(void *user, mllp_token t, const mllp_peer *peer, const uint8_t *p, size_t len);
  void *user;
} mllp_listener_opts;

/* Copies o. HDW_E_EXISTS address in use, HDW_E_DENIED, HDW_E_INVALID, HDW_E_NOMEM. */
hdw_status mllp_listener_new(io *x, const mllp_listener_opts *o, mllp_listener **out);
/* A reload: limits, times, allow list and certificates for what comes from now on. The socket stays, open connections go on as they are; address, version
 * and max_conns stay as they were. */
void mllp_listener_update(mllp_listener *l, const mllp_listener_opts *o);
/* The bound address (port 0 resolved). */
void mllp_listener_addr(const mllp_listener *l, io_addr *out);
/* Answers a frame; answers leave in the order of the frames (H-8), each in one write, whatever the order of the calls. p is copied.
 * len 0: this frame gets no answer. HDW_E_CLOSED: the connection is gone. HDW_E_DATA: p holds framing bytes; the frame stays unanswered. */
hdw_status mllp_reply(mllp_listener *l, mllp_token t, const void *p, size_t len);
/* MLLP v2: the commit block, before mllp_reply, in the order of the frames (H-9). HDW_E_INVALID on a v1 listener. */
hdw_status mllp_commit(mllp_listener *l, mllp_token t, bool ok);
/* A frame of our own on the connection of t, e.g. the application acknowledgement after an accept acknowledgement (H-17). HDW_E_CLOSED when it is gone. */
hdw_status mllp_send(mllp_listener *l, mllp_token t, const void *p, size_t len);
/* Closes the connection of t when what is owed on it is sent; nothing more is read from it. */
void mllp_hangup(mllp_listener *l, mllp_token t);
/* Stops accepting and reading (H-13): what was read goes on and is answered. */
void mllp_listener_pause(mllp_listener *l, bool pause);
const mllp_stats *mllp_listener_stats(const mllp_listener *l);
/* Stops accepting. graceful: connections close when their frames are answered. Else all close now. */
void mllp_listener_stop(mllp_listener *l, bool graceful);
/* Closes everything and frees it. Not from inside one of its callbacks. */
void mllp_listener_free(mllp_listener *l);

/* ---- client ----------------------------------------------------------------------------------------------------- */

typedef struct mllp_client mllp_client;
typedef struct mllp_client_opts {
  io_addr addr;                /* resolved and allowed by the caller; mllp_client_set_addr changes it */
  const char *host;            /* for TLS; copied */
  tls_ctx *tls;
  uint8_t version;             /* 1 or 2 */
  int64_t connect_timeout_us;  /* 0 = 10 s */
  int64_t reply_timeout_us;    /* from writing to the whole answer; 0 = 30 s */
  int64_t idle_close_us;       /* closes an unused connection; 0 = never */
  size_t max_frame_bytes;      /* of answers; 0 = 1 MiB */
  unsigned commit_retries;     /* v2: the same bytes again after a negative commit block (H-10); 0 = none */
  bool commit_only;            /* v2: the positive commit block completes the send, no application answer is awaited */
  /* A frame that came while nothing was sent: an application acknowledgement on its own (H-17), or noise. NULL: dropped. */
  void (*unsolicited)(void *user, const uint8_t *p, size_t len);
  void *user;
} mllp_client_opts;

/* Outcome of a send. sent: bytes may have reached the peer, so a failure is ambiguous: resend the same bytes only.
 * HDW_OK: p, len is the answer (valid during the call; len 0 with commit_only). HDW_E_TIMEOUT, HDW_E_CLOSED, HDW_E_IO, HDW_E_SYNTAX (framing), HDW_E_LIMIT (answer
 * too long), HDW_E_DATA (negative commit), HDW_E_DENIED (certificate). After each failure the connection is dropped, so that a late answer
 * cannot complete another send (H-19). */
typedef void (*mllp_sent_cb)(void *user, hdw_status s, bool sent, const uint8_t *p, size_t len);
/* Says whether a frame is the answer to what was sent (MSA-2 = our MSH-10). Other frames go to unsolicited and the wait goes on. */
typedef bool (*mllp_match_fn)(void *user, const uint8_t *p, size_t len);

hdw_status mllp_client_new(io *x, const mllp_client_opts *o, mllp_client **out);
void mllp_client_set_addr(mllp_client *c, const io_addr *a);
/* Sends one message; one is in flight at a time: HDW_E_AGAIN when one is. Connects when needed. The payload is copied. match NULL: the first frame is the answer.
 * HDW_E_DATA: the payload holds framing bytes. cb is not called from inside this call. */
hdw_status mllp_client_send(mllp_client *c, const void *p, size_t len, mllp_match_fn match, mllp_sent_cb cb, void *user);
bool mllp_client_busy(const mllp_client *c);
/* Forgets the send in flight (no callback) and drops the connection. */
void mllp_client_cancel(mllp_client *c);
void mllp_client_free(mllp_client *c);

/* The fields of an answer's first MSA: code (MSA-1) and the control id of the message that it is for (MSA-2), NULL when it has none. The delimiter is that of its MSH;
 * lines end with CR, or with LF when there is no CR (H-32). False: it is no message, or holds no MSA. Points into ack. */
typedef struct mllp_msa {
  const char *code, *id;
  size_t code_len, id_len;
} mllp_msa;
bool mllp_ack_msa(const void *ack, size_t len, mllp_msa *out);
/* Helper for match: the answer's MSA-2 equals id. */
bool mllp_ack_is_for(const uint8_t *ack, size_t len, const char *id, size_t id_len);

#endif
