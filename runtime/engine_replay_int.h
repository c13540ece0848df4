/* engine_replay_int.h - what engine_replay.c and engine_replay_run.c share. */
#ifndef HDW_ENGINE_REPLAY_INT_H
#define HDW_ENGINE_REPLAY_INT_H
#include "engine_int.h"
#include "engine_replay.h"
#include "json.h"

struct engine_replay {
  engine *e;
  arena a, one;              /* its own; of the input at hand */
  eng_app *app;              /* the new version; NULL: every run against its record */
  uint8_t before[REC_HASH];  /* in whose place it stands */
  const char *old[REC_MAX_RUNS]; uint32_t nold; /* workflows of that one */
  store_deploy *deploys; uint32_t ndeploys, cap; /* without app: everything that was ever deployed, the oldest first */
  eng_run *runs[2];          /* as recorded, as it would be */
};

typedef struct replay_input {
  engine_replay *x;
  engine_replay_input *out;
  engine_replay_cb cb;
  void *user;
  store_input row;
  const rec_input *rec;
  const uint8_t *body;
  size_t len;
  bool hl7;
  hl7_head head;
  val value;
  const char *identity, *listener;
  store_run *olds;           /* the last run of each workflow */
  uint32_t nolds;
  eng_verdict *v;            /* what the gates say now */
  rec_verdict *says;
  const meta_workflow *after;
  const char *workflow;      /* what is being compared */
  uint64_t run;
} replay_input;

void replay_report(replay_input *in, const char *path, engine_replay_kind kind, val before, val after);
/* Reports texts that are not equal. */
void replay_text(replay_input *in, const char *path, cod_str before, cod_str after);
/* engine_replay_run.c. w NULL: only against the record. */
void replay_run(replay_input *in, const eng_want *w, const store_run *old);

#endif
