/* term.h - which of several copies of a log goes on.
 *
 * A log begins in term 1. Promoting a standby appends REC_PUT ("log", "term") with the next one, in a new segment: what came before it is common, what the old
 * primary still wrote is not. A primary that is told of a newer term appends ("log", "fenced") with it and is not served any more, until somebody
 * promotes that folder again, to a newer term still. Both are records as all others: they are in every copy, and retention keeps what holds. */
#ifndef HDW_TERM_H
#define HDW_TERM_H
#include "store.h"

typedef struct term_info {
  uint64_t term;             /* 1 = was never promoted */
  uint64_t fenced;           /* the newer term that it was told of; 0 = none */
} term_info;
hdw_status term_get(store *s, arena *a, term_info *out);
/* Whether it goes on elsewhere. */
static inline bool term_ended(const term_info *t) { return t->fenced > t->term; }

enum { TERM_TEXT = 24 };
/* The record that says so: meta in w, body in text. key: "term" or "fenced". */
hdw_status term_record(cod_w *w, const char *key, uint64_t term, char text[TERM_TEXT]);

#endif
