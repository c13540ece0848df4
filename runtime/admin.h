/* admin.h - the operator's API: JSON over HTTP on a unix socket of mode 0600 in the data folder.
 *
 *   GET  /status /messages /messages/ID /runs /runs/ID /dead /sinks /limits /modules
 *   POST /redrive?subject=run|delivery&id=N   /redrive?all=1   /discard?subject=...&id=N&reason=...   /pause?sink=NAME   /resume?sink=NAME
 *
 * Who may open the socket may see everything, values included: it belongs to the daemon's user. */
#ifndef HDW_ADMIN_H
#define HDW_ADMIN_H
#include "engine.h"

typedef struct admin admin;
/* path: of the socket, at most 100 bytes; a stale one is replaced. text (200 bytes) says what went wrong. */
hdw_status admin_new(io *x, engine *e, const config *cfg, const char *path, admin **out, char text[200]);
void admin_free(admin *a);

#endif
