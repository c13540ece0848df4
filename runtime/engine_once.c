/* engine_once.c - once by KEY within TIME: one run for a key, whatever the messages look like.
 *
 * The key stands in the run's part of the input's record, so it is taken exactly when the input is there (store_once.c). Keys that are on their way
 * to the disk are kept in a list: two messages in one breath are seen too. A further attempt of the same input finds its own key and goes on. */
#include "engine_int.h"
#include "points.h"

typedef struct eng_once {
  struct eng_once *next;
  uint8_t key[REC_LANE];
  uint64_t seq;              /* of the record; 0 = about to be appended */
} eng_once;

/* HDW_OK: by another input than this one; HDW_E_NOTFOUND: it is free; else nobody knows. */
static hdw_status taken(engine *e, const uint8_t key[REC_LANE], uint64_t input) {
  for (const eng_once *o = e->once; o; o = o->next)
    if (!memcmp(o->key, key, REC_LANE)) return HDW_OK;
  uint64_t owner;
  hdw_status s = HDW_BROKEN("once.again") ? HDW_E_NOTFOUND : store_get_once(e->store, key, io_wall_us(e->io), &owner);
  return !s && input && owner == input ? HDW_E_NOTFOUND : s;
}

bool eng_once_filter(engine *e, eng_verdict *v, uint64_t input) {
  for (uint32_t i = 0; i < v->n; i++) {
    eng_want *w = &v->wants[i];
    if (!w->run || !w->has_once) continue;
    hdw_status s = taken(e, w->once, input);
    if (!eng_state_said(e, s)) return false;
    if (s) continue;
    w->run = w->reply = false; /* accepted, and nothing happens again */
    w->has_once = false;
    e->st.once++;
  }
  return true;
}

bool eng_once_note(engine *e, const rec_verdict *v) {
  for (uint32_t i = 0; i < v->nruns; i++) {
    if (!(v->runs[i].flags & RUN_F_ONCE)) continue;
    eng_once *o = (eng_once *)eng_get(e, sizeof *o);
    if (!o) {
      eng_once_sent(e, 0);
      return false;
    }
    memcpy(o->key, v->runs[i].once, REC_LANE);
    o->next = e->once;
    e->once = o;
  }
  return true;
}

/* Removes the entries with this sequence. */
static void drop(engine *e, uint64_t seq) {
  for (eng_once **at = &e->once, *o; (o = *at);) {
    if (o->seq != seq) {
      at = &o->next;
      continue;
    }
    *at = o->next;
    eng_put(e, o, sizeof *o);
  }
}

void eng_once_sent(engine *e, uint64_t seq) {
  if (!seq) drop(e, 0);
  for (eng_once *o = e->once; o; o = o->next)
    if (!o->seq) o->seq = seq;
}

void eng_once_durable(engine *e, uint64_t seq) {
  if (!HDW_BROKEN("once.stays")) drop(e, seq);
}

void eng_once_close(engine *e) {
  while (e->once) {
    eng_once *o = e->once;
    e->once = o->next;
    eng_put(e, o, sizeof *o);
  }
}
