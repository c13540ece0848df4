/* admin_int.h - one view is one function and one row of admin_views: it appends JSON to q->b and gives the HTTP status.
 *
 * Who may call it stands in its row and is settled before a byte of the body is read (admin_auth.c). A view that shows values of messages asks
 * admin_values() first and leaves them out when it says no: then the caller sees structure and sizes. */
#ifndef HDW_ADMIN_INT_H
#define HDW_ADMIN_INT_H
#include "admin.h"
#include "engine_int.h"

/* Roles are bits: a caller has a set, a row names those of which one suffices. */
enum {
  ADMIN_VIEWER = 1,     /* states, counts, lists: no values of messages */
  ADMIN_OPERATOR = 2,   /* redrive, discard, pause ... */
  ADMIN_PHI = 4,        /* values, with a reason, audited */
  ADMIN_DEPLOYER = 8,   /* programs */
  ADMIN_ALL = 15,
  ADMIN_OPEN = 16,      /* in a row: also on the observe listener, without a name */
  ADMIN_QUIET = 32      /* in a row: not audited: machines ask for it all the time and it says nothing about messages */
};
enum { ADMIN_MAX_TOKENS = 64, ADMIN_WHO = 100, ADMIN_TEXT = 400, ADMIN_TRIES = 5, ADMIN_PEERS = 32, ADMIN_DENIED_A_MINUTE = 20 };

/* Who calls. */
typedef struct admin_who {
  char name[ADMIN_WHO];      /* "uid:1001", "token:ops" */
  unsigned roles;            /* 0: nobody */
  bool owner;                /* root or the daemon's own user: may read the data folder anyway, so needs no reason */
  bool known;                /* false: no or wrong credentials */
  bool locked;               /* too many wrong credentials from there */
} admin_who;

typedef enum admin_door_kind { DOOR_SOCKET, DOOR_TCP, DOOR_OBSERVE, ADMIN_DOORS } admin_door_kind;
/* One listener. */
typedef struct admin_door {
  admin *ad;
  admin_door_kind kind;
  http_server *http;         /* NULL: not there */
} admin_door;

/* An address from which wrong tokens came. */
typedef struct admin_peer {
  io_addr addr;
  unsigned wrong, times;     /* within the window; times it was locked out */
  int64_t window_us, until_us;
} admin_peer;

struct admin {
  io *io;
  engine *e;
  const config *cfg;
  admin_door doors[ADMIN_DOORS];
  tls_ctx *tls;
  char path[120];
  uint32_t uid;              /* the daemon's own */
  admin_peer peers[ADMIN_PEERS];
  int64_t denied_us;         /* start of the minute */
  unsigned denied;           /* refusals audited in it */
  uint64_t denied_total;
  admin_changer change;
  void *change_user;
};

typedef struct admin_query {
  admin *ad;
  arena *a;
  http_str query;
  const char *rest;          /* behind the view's path: the id */
  buf *b;
  const admin_who *who;
  const uint8_t *body;       /* of a POST; NULL without */
  size_t body_len;
  const struct admin_view *view;
  const char *path;
  admin_door *door;          /* for answers that come later */
  http_token token;
  http_str accept;           /* Accept header */
  const char *type;          /* Content-Type of the answer; NULL = JSON */
  bool values;               /* the caller may see values: ask admin_values */
  bool showed;               /* values were shown */
} admin_query;

typedef struct admin_view {
  const char *method;        /* "GET", "POST" */
  const char *path;          /* "/runs/" with a rest, "/runs" without */
  unsigned roles;            /* ADMIN_*: one of these suffices */
  int (*fn)(admin_query *q); /* HTTP status; ADMIN_LATER when the answer comes through admin_later_reply */
  size_t max_body_bytes;     /* 0: none is taken */
} admin_view;
extern const admin_view admin_views[];
enum { ADMIN_LATER = 0 };

/* A parameter's value, NULL when absent. */
const char *admin_param(const admin_query *q, const char *name);
bool admin_id(const char *s, uint64_t *out);
/* A parameter that is a whole number: 0, with *out as it was when there is none; else the status of an error that names it. */
#define ADMIN_ANY UINT64_C(9999999999999999999)
enum { ADMIN_MAX_LIMIT = 1000000 };
int admin_whole(admin_query *q, const char *name, uint64_t min, uint64_t max, uint64_t *out);
/* `limit`, 1 to ADMIN_MAX_LIMIT; more than `most` counts as that. *out: what holds without it. */
int admin_limit(admin_query *q, unsigned most, unsigned *out);
/* Writes {"error": text} and gives status: return admin_error(q, 404, "..."). */
int admin_error(admin_query *q, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Whether values of messages may be shown to the caller; notes that they are. */
bool admin_values(admin_query *q);
/* Who acts, for records: the caller's name, and what it says of itself (who=...). Lives in q->a. */
const char *admin_actor(const admin_query *q);

/* Answers, when the audit record is durable (or at once when none is due). */
void admin_finish(admin_query *q, int status);

/* An answer that comes when something is durable. NULL: no memory. */
typedef struct admin_later admin_later;
admin_later *admin_later_new(admin_query *q);
/* Frees l: the view answers by itself. */
void admin_later_drop(admin_later *l);
/* Sends the answer and frees l. */
void admin_later_reply(admin_later *l, int status, const char *json, size_t len);

/* Who is at the other end of the connection. */
/* count: a wrong token counts against the address (once for a request). */
void admin_identify(admin_door *d, const http_request *r, bool count, admin_who *out);
/* Whether the request may come from a browser that somebody else steers: a foreign Host header (TCP) or any Origin. */
bool admin_foreign(const admin_door *d, const http_request *r);
/* "viewer, operator". */
const char *admin_role_names(unsigned roles, char out[80]);

/* "key": forms; first decides about the comma and is cleared. */
void admin_key(buf *b, bool *first, const char *key);
void admin_text(buf *b, bool *first, const char *key, const char *s, size_t n);
void admin_number(buf *b, bool *first, const char *key, uint64_t n);
void admin_time(buf *b, bool *first, const char *key, int64_t us);
void admin_value(buf *b, bool *first, const char *key, val v);
const char *admin_run_state(uint8_t s);
const char *admin_input_state(uint8_t s);
const char *admin_delivery_state(uint8_t s);
const char *admin_effect_state(uint8_t s);
const char *admin_class(uint8_t c);

/* Views of admin_deploy.c. */
int admin_deploy(admin_query *q);
int admin_rollback(admin_query *q);
int admin_withdraw(admin_query *q);
int admin_reload(admin_query *q);
int admin_kept(admin_query *q);
int admin_forget(admin_query *q);
int admin_modules(admin_query *q);
void admin_modules_list(admin_query *q);
int admin_deployments(admin_query *q);
int admin_sources(admin_query *q);
/* Views of admin_runs.c, admin_server.c, admin_audit.c and admin_metrics.c. */
int admin_messages(admin_query *q);
int admin_log(admin_query *q);        /* admin_ship.c */
int admin_log_list(admin_query *q);
int admin_fence(admin_query *q);
int admin_end_term(admin_query *q, uint64_t term); /* admin_deploy.c: a newer one is told */
int admin_message(admin_query *q);
int admin_metrics(admin_query *q);
int admin_livez(admin_query *q);
int admin_readyz(admin_query *q);
int admin_audit(admin_query *q);
int admin_runs(admin_query *q);
int admin_run(admin_query *q);
int admin_dead(admin_query *q);
int admin_select(admin_query *q);
int admin_skip_lane(admin_query *q);
int admin_reprocess_plan(admin_query *q);
int admin_reprocess(admin_query *q);
int admin_redrive(admin_query *q);
int admin_discard(admin_query *q);
int admin_cancel(admin_query *q);
int admin_pause(admin_query *q);
int admin_cache(admin_query *q);
int admin_cache_clear(admin_query *q);
int admin_resume(admin_query *q);
void admin_run_row(admin_query *q, const store_run *r);
void admin_delivery_row(admin_query *q, uint64_t id, bool with_values);
int admin_lanes(admin_query *q); /* admin_lanes.c */
int admin_loss(admin_query *q); /* admin_loss.c */
/* admin_story.c: what happened to an input, what waits for what, and what can be done: two members of the object in b. */
void admin_story(admin_query *q, const store_input *in, bool *first);
int admin_trace(admin_query *q); /* admin_trace.c */
/* Every dead run and delivery, for redrive --all. */
typedef struct admin_subject { uint8_t subject; uint64_t id; } admin_subject;
uint32_t admin_all_dead(admin *ad, admin_subject *out, uint32_t cap);

#endif
