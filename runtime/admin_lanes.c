/* admin_lanes.c - lanes that are held, and lanes where runs wait for their turn. Keys are patient data often: only their hashes are kept and shown. */
#include <stdio.h>
#include "admin_int.h"

typedef struct lanes {
  admin_query *q;
  bool first;
} lanes;

static bool one(const engine_lane *l, void *user) {
  lanes *x = (lanes *)user;
  buf *b = x->q->b;
  const store_run *r = l->run;
  bool f = true;
  char hex[2 * REC_LANE + 1];
  const char *state = l->held ? "held" : "busy", *run = l->held ? admin_run_state(r->state) : "running";
  eng_hex(l->lane, REC_LANE, hex);
  buf_puts(b, x->first ? "{" : ",{");
  x->first = false;
  admin_text(b, &f, "lane", hex, 2 * REC_LANE);
  admin_text(b, &f, "workflow", r->workflow.p, r->workflow.len);
  admin_text(b, &f, "state", state, 4);
  admin_number(b, &f, "run", r->id);
  admin_text(b, &f, "run_state", run, strlen(run));
  admin_time(b, &f, "since", r->changed_us);
  if (r->state == RUN_PARKED) admin_time(b, &f, "wakes", r->wake_us);
  admin_number(b, &f, "waiting", l->waiting);
  if (l->held && r->error_code.len) admin_text(b, &f, "code", r->error_code.p, r->error_code.len);
  if (l->held && r->reason.len) admin_text(b, &f, "reason", r->reason.p, r->reason.len);
  if (l->held && r->path.len) admin_text(b, &f, "step", r->path.p, r->path.len);
  buf_puts(b, "}");
  return true;
}

int admin_lanes(admin_query *q) {
  uint64_t n = 100;
  (void)admin_id(admin_param(q, "limit"), &n);
  lanes l = {q, true};
  buf_puts(q->b, "[");
  engine_lanes(q->ad->e, n && n < 100000 ? (unsigned)n : 100, one, &l);
  buf_puts(q->b, "]");
  return 200;
}
