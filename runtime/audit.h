/* audit.h - the audit trail: who did what, when, to what, and how it ended (O-12 .. O-16).
 *
 * Records are part of the log and of the store, numbered without a gap, and each carries the SHA-256 of the one before: what is changed, left out or put in
 * between is found by audit_verify(). They are apart from the log lines of the daemon and may name patients (a search does). */
#ifndef HDW_AUDIT_H
#define HDW_AUDIT_H
#include "engine_int.h"

enum { AUDIT_OK = 0, AUDIT_REFUSED = 4, AUDIT_FAILED = 8, AUDIT_TEXT = 400 };

typedef struct audit_event {
  const char *kind;          /* rec_audit.kind */
  const char *who, *roles, *action, *subject, *query, *reason; /* NULL = ""; longer than AUDIT_TEXT bytes: cut */
  uint8_t outcome;
  uint32_t status;
  uint64_t until;            /* of a checkpoint, with until_hash; else 0 */
  const uint8_t *until_hash;
} audit_event;

/* Finds the end of the chain. After engine_open. */
hdw_status audit_open(engine *e);
/* Appends; fn (may be NULL) when it is durable. HDW_E_IO, HDW_E_FULL ...: nothing is recorded, and what was to be recorded must not be shown. */
hdw_status audit_add(engine *e, const audit_event *ev, eng_durable fn, void *user);

typedef struct audit_check {
  uint64_t first, last, count; /* numbers found */
  uint64_t checkpoint;         /* number of the record that vouches for what retention removed before first; 0 = nothing was */
  uint64_t bad;                /* first number that does not fit its predecessor; 0 = the chain is whole */
  const char *why;
  uint8_t head[REC_HASH];      /* hash of the last one */
} audit_check;
/* Walks the whole chain. Does it not begin with number 1, one of its checkpoints must name what came before. */
hdw_status audit_verify(store *s, arena *a, audit_check *out);
/* Records of before until_us leave the trail: appends a checkpoint for the oldest of them, at most `look`; *until 0 = there are none, or there is no trail. fn as for audit_add. */
hdw_status audit_expire(engine *e, int64_t until_us, unsigned look, eng_durable fn, void *user, uint64_t *until);

/* One record as a JSON object; query only when it may be shown. */
void audit_json(buf *b, const rec_audit *r, bool with_query);
/* The same as a FHIR R4 AuditEvent (one line, without line end), fields as IHE BALP names them. host: who observed. */
void audit_fhir(buf *b, const rec_audit *r, const char *host, bool with_query);

#endif
