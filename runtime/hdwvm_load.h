/* hdwvm_load.h - what the daemon reads from files: hdw.json, secrets, certificates, modules. Shared by serve, reload and deploy.
 *
 * A configuration is read as a whole each time, into memory of its own; the one in force stays until the next is complete and the engine does not use
 * it any more. */
#ifndef HDW_HDWVM_LOAD_H
#define HDW_HDWVM_LOAD_H
#include "admin.h"
#include "engine.h"
#include "hdwvm.h"
#include "hdwvm_sandbox.h"

enum { HV_MAX_FILES = 64 };

typedef struct hv_settings {
  struct hv_settings *older;
  arena a;
  config cfg;
} hv_settings;

typedef struct hv_daemon {
  io_mem mem;
  arena a;
  io *io;
  const hv_args *args;
  hv_settings *now;          /* in force; older ones behind it while something uses them */
  engine *e;
  admin *adm;
  uint8_t ids[HV_MAX_FILES][32]; /* of the command line's modules, as last taken: a reload takes what is new */
  bool stopping;
  sandbox box;
  io_timer ending;           /* the answer to who ended it goes out before */
} hv_daemon;

/* Reads hdw.json with its secrets and certificates; problems are in the configuration. NULL: it cannot be read at all, which was said. */
hv_settings *hv_settings_read(hv_daemon *d);
void hv_settings_free(hv_daemon *d, hv_settings *s);
/* Prints the problems of a configuration; true when there are none. from: the first to print. */
bool hv_problems(const config *c, uint32_t from);
/* The id of a module file: SHA-256 of what follows its header; zeros when it is too short. */
void hv_module_id(const char *p, size_t len, uint8_t out[32]);

/* hdwvm_reload.c. Takes the changed files of the command line, a module or a version of the past, and a fresh hdw.json: all or nothing. problems gets one line
 * for each thing that is wrong. */
bool hv_change(void *user, const admin_change *c, buf *problems);
/* A newer term was told: recorded, then the daemon drains and ends (hdwvm_serve.c). */
bool hv_fenced(hv_daemon *d, const admin_change *c, buf *problems);
/* SIGHUP. */
void hv_reload(hv_daemon *d);

#endif
