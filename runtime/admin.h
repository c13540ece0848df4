/* admin.h - the operator's API: JSON over HTTP on a unix socket in the data folder (mode 0600; open to others only when hdw.json gives them roles).
 *
 *   GET  /status /messages /messages/ID /runs /runs/ID /dead /lanes /loss /sinks /limits /modules
 *   POST /redrive?subject=run|delivery&id=N   /redrive?all=1   /discard?subject=...&id=N&reason=...   /pause?sink=NAME   /resume?sink=NAME
 *
 * admin_views.c has the table of all of them, with the roles that may. */
#ifndef HDW_ADMIN_H
#define HDW_ADMIN_H
#include "engine.h"

typedef struct admin admin;
/* path: of the socket, at most 100 bytes; a stale one is replaced. text (200 bytes) says what went wrong. */
hdw_status admin_new(io *x, engine *e, const config *cfg, const char *path, admin **out, char text[200]);
/* Records something that is no call: kind "start", "stop", "deploy". who NULL: the daemon itself. */
void admin_note(admin *a, const char *kind, const char *who, const char *action, const char *subject);
/* Bound port of admin_http or observe; 0 when it is not there. */
uint16_t admin_port(const admin *a, bool observe);
void admin_free(admin *a);
/* A GET view of an engine that is open read-only (engine_opts.read_only): its JSON into b; HTTP status. */
int admin_offline(engine *e, const config *cfg, const char *target, arena *a, buf *b);

/* A change of what is deployed, made by whoever reads hdw.json and the modules. */
typedef struct admin_change {
  enum { ADMIN_RELOAD, ADMIN_DEPLOY, ADMIN_ROLLBACK, ADMIN_WITHDRAW, ADMIN_FENCE } what;
  const char *file;          /* deploy: the file name of the module, or of several with '/' between */
  const void *bytes;         /* the modules one behind the other: all of them are taken, or none is */
  size_t len;
  const char *name, *to;     /* rollback, withdraw: of which module (NULL: the only one; rollback: also of several, with '/' between); to which version, or NULL */
  uint64_t term;             /* fence: the newer term; the daemon ends */
  const char *who;
} admin_change;
/* True: done, durable when the log is. False: nothing has changed, and problems holds lines that say why. */
typedef bool (*admin_changer)(void *user, const admin_change *c, buf *problems);
void admin_on_change(admin *a, admin_changer fn, void *user);
/* Another configuration is in force. */
void admin_configured(admin *a, const config *c);

#endif
