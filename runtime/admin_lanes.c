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
  const store_delivery *d = l->delivery;
  bool f = true;
  char hex[2 * REC_LANE + 1];
  const char *state = l->held ? "held" : "busy", *run = l->held ? admin_run_state(r->state) : "running";
  cod_str code = d ? d->error_code : r->error_code, reason = d ? d->error_text : r->reason, path = d ? d->path : r->path;
  eng_hex(l->lane, REC_LANE, hex);
  buf_puts(b, x->first ? "{" : ",{");
  x->first = false;
  admin_text(b, &f, "lane", hex, 2 * REC_LANE);
  admin_text(b, &f, "workflow", r->workflow.p, r->workflow.len);
  admin_text(b, &f, "state", state, 4);
  admin_number(b, &f, "run", r->id);
  admin_text(b, &f, "run_state", run, strlen(run));
  if (d) admin_number(b, &f, "delivery", d->id);
  if (d) admin_text(b, &f, "sink", d->sink.p, d->sink.len);
  admin_time(b, &f, "since", d ? d->changed_us : r->changed_us);
  if (!d && r->state == RUN_PARKED) admin_time(b, &f, "wakes", r->wake_us);
  admin_number(b, &f, "waiting", l->waiting);
  if (l->held && code.len) admin_text(b, &f, "code", code.p, code.len);
  if (l->held && reason.len) admin_text(b, &f, "reason", reason.p, reason.len);
  if (l->held && path.len) admin_text(b, &f, "step", path.p, path.len);
  buf_puts(b, "}");
  return true;
}

int admin_lanes(admin_query *q) {
  unsigned n = 100;
  int bad = admin_limit(q, 100000, &n);
  if (bad) return bad;
  lanes l = {q, true};
  buf_puts(q->b, "[");
  engine_lanes(q->ad->e, n, one, &l);
  buf_puts(q->b, "]");
  return 200;
}
