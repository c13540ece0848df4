/* admin.h - the operator's API: JSON over HTTP on a unix socket in the data folder (mode 0600; open to others only when hdw.json gives them roles).
 *
 *   GET  /status /messages /messages/ID /runs /runs/ID /dead /lanes /sinks /limits /modules
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

#endif
