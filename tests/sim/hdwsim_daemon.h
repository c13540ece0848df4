/* hdwsim_daemon.h - what hdwsim_daemon.c, hdwsim_operator.c, hdwsim_look.c and hdwsim_program.c know of the daemon. */
#ifndef HDWSIM_DAEMON_H
#define HDWSIM_DAEMON_H
#include "hdwsim.h"

typedef struct bound {        /* a configuration, while an engine may look at it */
  struct bound *older;
  arena a;
  config cfg;
} bound;

struct daemon_state {
  arena a;
  uint8_t *mod[2];
  size_t len[2];
  char settings[2048];
  engine *e;
  bound *now;
  bool stopping, ended;
  bool had_state;            /* there is a store with something in it: no later life may find none */
  unsigned current;          /* index of the program that was deployed last, as far as we know */
  int64_t suspend_us;
};

/* Texts of the program and of hdw.json; versions 0 and 1 into mod, drawn limits into settings. */
void program_make(world *w);
/* What the files of its secrets hold. */
void program_secrets(config *c);
/* A configuration for metas; ends the history when the settings do not fit. */
bound *daemon_bind(world *w, const meta *const *metas, uint32_t n);

/* For config_use. */
void daemon_use(void *user, const meta *m);
/* Whose run it is; NULL: it cannot be told. */
message *daemon_message_of(world *w, uint64_t run);
/* Where a message is stored. False: it is not, or its bytes are gone and it cannot be told from another one under the same control id. */
bool daemon_input_of(world *w, const message *m, uint64_t *input);

typedef struct ids { uint64_t id[256]; unsigned n; } ids;
bool take_id(uint16_t part, uint64_t id, uint8_t state, void *user);
/* Into the trace: every run that is not done, and the first ones of each queue. */
void daemon_describe(world *w);
#endif
