/* mllp_frame.c - the MLLP frame decoder and encoder. Pure; see mllp.h. */
#include "mllp.h"
#include <string.h>

enum { ST_OUT, ST_IN, ST_DEAD };
enum { KEEP_BYTES = 8192 }; /* a larger buffer is given back after its frame, so that idle connections are small */
#define NOT_LOOKED SIZE_MAX

void mllp_decoder_init(mllp_decoder *d, mem *m, size_t max_frame_bytes, bool strict) {
  memset(d, 0, sizeof *d);
  d->m = m;
  d->max_frame_bytes = max_frame_bytes ? max_frame_bytes : MLLP_MAX_FRAME_BYTES;
  d->strict = strict;
  d->next_end = NOT_LOOKED;
}

static void drop_held(mllp_decoder *d, size_t keep_bytes) {
  d->held_len = 0;
  d->end1 = false;
  if (d->held_cap > keep_bytes) {
    d->m->put(d->m, d->held, d->held_cap);
    d->held = NULL;
    d->held_cap = 0;
  }
}

void mllp_decoder_free(mllp_decoder *d) {
  drop_held(d, 0);
  d->state = ST_DEAD;
}

void mllp_feed(mllp_decoder *d, const void *p, size_t len) {
  d->in = p;
  d->in_pos = d->start = 0;
  d->in_len = len;
  d->next_end = NOT_LOOKED;
}

void mllp_feed_eof(mllp_decoder *d) {
  mllp_feed(d, NULL, 0);
  d->eof = true;
}

size_t mllp_unfed(mllp_decoder *d, const uint8_t **p) {
  size_t n = d->in_len - d->in_pos;
  *p = d->in + d->in_pos;
  d->in_len = d->in_pos;
  return n;
}

bool mllp_in_frame(const mllp_decoder *d) { return d->state == ST_IN; }

static hdw_status event(mllp_event *ev, mllp_kind kind, const uint8_t *p, size_t len) {
  *ev = (mllp_event){kind, 0, p, len};
  return HDW_OK;
}

static hdw_status dead(mllp_decoder *d, mllp_event *ev, mllp_kind kind, const uint8_t *p, size_t len) {
  d->state = ST_DEAD;
  return event(ev, kind, p, len < MLLP_HEAD_BYTES ? len : MLLP_HEAD_BYTES);
}

/* Adds bytes to the held part. The caller has checked the sum against max_frame_bytes. */
static hdw_status hold(mllp_decoder *d, const uint8_t *p, size_t len) {
  if (!len) return HDW_OK;
  if (d->held_cap - d->held_len < len) {
    size_t need = d->held_len + len, cap = d->held_cap ? d->held_cap * 2 : 1024;
    if (cap < need) cap = need;
    if (cap > d->max_frame_bytes + 1) cap = d->max_frame_bytes + 1;
    uint8_t *n = d->m->get(d->m, cap);
    if (!n) return HDW_E_NOMEM;
    if (d->held_len) memcpy(n, d->held, d->held_len);
    if (d->held_cap) d->m->put(d->m, d->held, d->held_cap);
    d->held = n;
    d->held_cap = cap;
  }
  memcpy(d->held + d->held_len, p, len);
  d->held_len += len;
  return HDW_OK;
}

/* in[start..stop) joined to what is held; the slice is valid until the next call. */
static hdw_status joined(mllp_decoder *d, size_t stop, const uint8_t **p, size_t *len) {
  if (!d->held_len) {
    *p = d->in + d->start;
    *len = stop - d->start;
    return HDW_OK;
  }
  hdw_status s = hold(d, d->in + d->start, stop - d->start);
  *p = d->held;
  *len = d->held_len;
  return s;
}

static hdw_status oversize(mllp_decoder *d, mllp_event *ev, size_t stop) {
  const uint8_t *p = d->held;
  size_t len = d->held_len;
  if (len < MLLP_HEAD_BYTES && stop > d->start) { /* the refusal wants the MSH: make the head whole */
    size_t more = stop - d->start, room = d->max_frame_bytes + 1 - len;
    if (more > MLLP_HEAD_BYTES) more = MLLP_HEAD_BYTES;
    hdw_status s = joined(d, d->start + (more < room ? more : room), &p, &len);
    if (s) return s;
  }
  return dead(d, ev, MLLP_OVERSIZE, p, len);
}

static void begin_frame(mllp_decoder *d) {
  d->state = ST_IN;
  d->start = ++d->in_pos;
  d->held_len = 0;
  d->end1 = false;
}

static hdw_status restart(mllp_decoder *d, mllp_event *ev, size_t at) {
  size_t lost = d->held_len + (at - d->start);
  d->in_pos = at;
  begin_frame(d);
  return event(ev, MLLP_PARTIAL, NULL, lost);
}

static hdw_status complete(mllp_decoder *d, mllp_event *ev, size_t end, size_t resume) {
  const uint8_t *p;
  size_t len;
  hdw_status s = joined(d, end, &p, &len);
  if (s) return s;
  d->in_pos = resume;
  d->state = ST_OUT;
  d->given = true;
  event(ev, MLLP_FRAME, p, len);
  if (len == 1 && (p[0] == MLLP_ACK || p[0] == MLLP_NAK)) {
    ev->kind = MLLP_COMMIT;
    ev->code = p[0];
  }
  return HDW_OK;
}

/* Between frames: white space is skipped, other bytes are counted, a start byte begins a frame. */
static hdw_status step_out(mllp_decoder *d, mllp_event *ev) {
  while (d->in_pos < d->in_len) {
    uint8_t c = d->in[d->in_pos];
    if (c == MLLP_START) {
      size_t n = d->junk;
      begin_frame(d);
      d->junk = d->space = 0;
      return n ? event(ev, MLLP_JUNK, NULL, n) : HDW_E_AGAIN;
    }
    if (d->strict) return dead(d, ev, MLLP_VIOLATION, NULL, 0);
    bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (space) d->space++;
    else d->junk++;
    if (d->junk + d->space > MLLP_MAX_JUNK_BYTES) return dead(d, ev, MLLP_VIOLATION, NULL, 0);
    d->in_pos++;
  }
  return HDW_E_AGAIN;
}

/* A 0x1C was the last byte of an earlier piece: the first byte here decides what it was. *done: an event is set or an error. */
static hdw_status settle_end1(mllp_decoder *d, mllp_event *ev, bool *done) {
  static const uint8_t end1 = MLLP_END1;
  *done = true;
  d->end1 = false;
  if (d->in[d->in_pos] == MLLP_END2) return complete(d, ev, d->start, d->in_pos + 1);
  if (d->strict) return dead(d, ev, MLLP_VIOLATION, NULL, 0);
  hdw_status s = hold(d, &end1, 1);
  if (s) return s;
  if (d->held_len > d->max_frame_bytes) return oversize(d, ev, d->start);
  *done = false;
  return HDW_E_AGAIN;
}

/* Inside a frame. Each byte is looked at once for 0x1C (remembered in next_end over restarts) and once for 0x0B. */
static hdw_status step_in(mllp_decoder *d, mllp_event *ev) {
  if (d->end1) {
    bool done;
    hdw_status s = settle_end1(d, ev, &done);
    if (done) return s;
  }
  for (;;) { /* something is left: who calls has looked, and so has each round */
    if (d->next_end == NOT_LOOKED || d->next_end < d->in_pos) {
      const uint8_t *e = memchr(d->in + d->in_pos, MLLP_END1, d->in_len - d->in_pos);
      d->next_end = e ? (size_t)(e - d->in) : d->in_len;
    }
    size_t end = d->next_end;
    const uint8_t *again = memchr(d->in + d->in_pos, MLLP_START, end - d->in_pos);
    size_t stop = again ? (size_t)(again - d->in) : end;
    if (d->held_len + (stop - d->start) > d->max_frame_bytes) return oversize(d, ev, stop);
    if (again) return restart(d, ev, stop);
    d->in_pos = end;
    if (end == d->in_len) break;
    if (end + 1 == d->in_len) { /* 0x1C ends the piece */
      hdw_status s = hold(d, d->in + d->start, end - d->start);
      d->in_pos = d->start = d->in_len;
      d->end1 = true;
      return s ? s : HDW_E_AGAIN;
    }
    if (d->in[end + 1] == MLLP_END2) return complete(d, ev, end, end + 2);
    if (d->strict) return dead(d, ev, MLLP_VIOLATION, NULL, 0);
    d->in_pos = end + 1;
    if (d->held_len + (d->in_pos - d->start) > d->max_frame_bytes) return oversize(d, ev, d->in_pos);
  }
  hdw_status s = hold(d, d->in + d->start, d->in_len - d->start);
  d->start = d->in_pos = d->in_len;
  return s ? s : HDW_E_AGAIN;
}

static hdw_status step_eof(mllp_decoder *d, mllp_event *ev) {
  size_t junk = d->junk, lost = d->held_len + d->end1;
  bool open = d->state == ST_IN;
  d->state = ST_DEAD;
  if (open) return event(ev, MLLP_PARTIAL, NULL, lost);
  d->junk = 0;
  return junk ? event(ev, MLLP_JUNK, NULL, junk) : HDW_E_AGAIN;
}

hdw_status mllp_next(mllp_decoder *d, mllp_event *ev) {
  if (d->given) {
    d->given = false;
    drop_held(d, KEEP_BYTES);
  }
  hdw_status s = HDW_E_AGAIN;
  while (s == HDW_E_AGAIN && d->state != ST_DEAD && d->in_pos < d->in_len) s = d->state == ST_OUT ? step_out(d, ev) : step_in(d, ev);
  if (s == HDW_E_AGAIN && d->eof && d->state != ST_DEAD) s = step_eof(d, ev);
  if (s == HDW_E_NOMEM) d->state = ST_DEAD;
  if (s == HDW_E_AGAIN && d->state == ST_OUT) drop_held(d, KEEP_BYTES);
  return s;
}

hdw_status mllp_encode(uint8_t *dst, const void *payload, size_t len) {
  const uint8_t *p = payload, *end = p + len;
  if (len) {
    if (memchr(p, MLLP_START, len) || end[-1] == MLLP_END1) return HDW_E_DATA;
    for (const uint8_t *q = p; (q = memchr(q, MLLP_END1, (size_t)(end - q)));)
      if (*++q == MLLP_END2) return HDW_E_DATA;
    memcpy(dst + 1, p, len);
  }
  dst[0] = MLLP_START;
  dst[len + 1] = MLLP_END1;
  dst[len + 2] = MLLP_END2;
  return HDW_OK;
}
