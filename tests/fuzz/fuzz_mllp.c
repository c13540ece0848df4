/* The MLLP decoder beside a model that looks at one byte at a time: however the input is cut, the events are the same.
 * First byte: bit 0 strict, bits 1-3 size limit. The pieces are drawn from the input too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mllp.h"

static void *get(mem *m, size_t n) {
  (void)m;
  return malloc(n);
}
static void put(mem *m, void *p, size_t n) {
  (void)m, (void)n;
  free(p);
}

/* An event as it is compared: kind, code, length and a hash of the bytes. */
typedef struct note {
  int kind, code;
  size_t len;
  uint64_t hash;
} note;
typedef struct notes {
  note *v;
  size_t n, cap;
} notes;

static void add(notes *t, int kind, int code, const uint8_t *p, size_t len) {
  if (t->n == t->cap) t->v = realloc(t->v, (t->cap = t->cap * 2 + 16) * sizeof *t->v);
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; p && i < len; i++) h = (h ^ p[i]) * 1099511628211u;
  t->v[t->n++] = (note){kind, code, len, h};
}

/* The model: the states of the standard, one byte after the other, everything copied. */
static void model(notes *t, const uint8_t *in, size_t n, size_t max, bool strict) {
  uint8_t *buf = malloc(n + 1);
  size_t len = 0, junk = 0, space = 0;
  bool inside = false, end1 = false, dead = false;
  for (size_t i = 0; i < n && !dead; i++) {
    uint8_t c = in[i];
    if (!inside) {
      if (c == MLLP_START) {
        if (junk) add(t, MLLP_JUNK, 0, NULL, junk);
        junk = space = len = 0;
        inside = true;
        end1 = false;
        continue;
      }
      if (strict) dead = true;
      else if (c == ' ' || (c >= 9 && c <= 13)) space++;
      else junk++;
      if (dead || junk + space > MLLP_MAX_JUNK_BYTES) {
        dead = true;
        add(t, MLLP_VIOLATION, 0, NULL, 0);
      }
      continue;
    }
    if (end1) {
      end1 = false;
      if (c == MLLP_END2) {
        if (len == 1 && (buf[0] == MLLP_ACK || buf[0] == MLLP_NAK)) add(t, MLLP_COMMIT, buf[0], NULL, 1);
        else add(t, MLLP_FRAME, 0, buf, len);
        inside = false;
        continue;
      }
      if (strict) {
        dead = true;
        add(t, MLLP_VIOLATION, 0, NULL, 0);
        continue;
      }
      buf[len++] = MLLP_END1;
    }
    if (len <= max) {
      if (c == MLLP_END1) {
        end1 = true;
        continue;
      }
      if (c == MLLP_START) {
        add(t, MLLP_PARTIAL, 0, NULL, len);
        len = 0;
        continue;
      }
      buf[len++] = c;
    }
    if (len > max) {
      dead = true;
      add(t, MLLP_OVERSIZE, 0, buf, len < MLLP_HEAD_BYTES ? len : MLLP_HEAD_BYTES);
    }
  }
  if (!dead && inside) add(t, MLLP_PARTIAL, 0, NULL, len + end1);
  else if (!dead && junk) add(t, MLLP_JUNK, 0, NULL, junk);
  free(buf);
}

static void drain(mllp_decoder *d, notes *t) {
  mllp_event ev;
  hdw_status s;
  while (!(s = mllp_next(d, &ev))) add(t, (int)ev.kind, ev.code, ev.kind == MLLP_FRAME || ev.kind == MLLP_OVERSIZE ? ev.p : NULL, ev.len);
  if (s != HDW_E_AGAIN) abort();
}

static void compare(const notes *a, const notes *b) {
  if (a->n != b->n) abort();
  for (size_t i = 0; i < a->n; i++)
    if (a->v[i].kind != b->v[i].kind || a->v[i].code != b->v[i].code || a->v[i].len != b->v[i].len || a->v[i].hash != b->v[i].hash) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n) {
  mem m = {get, put, NULL};
  if (n < 2) return 0;
  bool strict = in[0] & 1;
  size_t max = (in[0] >> 1 & 7) == 0 ? MLLP_MAX_FRAME_BYTES : (size_t)1 << (in[0] >> 1 & 7);
  uint32_t rng = in[1];
  in += 2;
  n -= 2;
  notes want = {0}, got = {0};
  model(&want, in, n, max, strict);
  for (int mode = 0; mode < 3; mode++) { /* whole, byte by byte, drawn pieces */
    mllp_decoder d;
    mllp_decoder_init(&d, &m, max, strict);
    got.n = 0;
    for (size_t i = 0, k; i < n; i += k) {
      rng = rng * 1103515245u + 12345u;
      k = mode == 0 ? n : mode == 1 ? 1 : 1 + (rng >> 16) % 17;
      if (k > n - i) k = n - i;
      uint8_t one, *piece = mode == 1 ? &one : malloc(k);
      memcpy(piece, in + i, k);
      mllp_feed(&d, piece, k);
      drain(&d, &got);
      if (mode != 1) free(piece);
    }
    mllp_feed_eof(&d);
    drain(&d, &got);
    mllp_decoder_free(&d);
    compare(&want, &got);
  }
  /* What the encoder lets through, the decoder gives back as one frame. */
  uint8_t *frame = malloc(mllp_frame_bytes(n));
  if (n && mllp_encode(frame, in, n) == HDW_OK) {
    mllp_decoder d;
    mllp_event ev;
    mllp_decoder_init(&d, &m, 0, false); /* strict receivers take no 0x1C inside at all */
    mllp_feed(&d, frame, mllp_frame_bytes(n));
    if (mllp_next(&d, &ev) || (ev.kind != MLLP_FRAME && ev.kind != MLLP_COMMIT) || ev.len != n || memcmp(ev.p, in, n)) abort();
    mllp_decoder_free(&d);
  }
  free(frame);
  free(want.v);
  free(got.v);
  return 0;
}
