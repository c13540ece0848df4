/* engine_cancel.c - a person stops a run that has not ended: what is under way is cancelled, what was sent stays, its lanes go on without it.
 *
 * The record is the same as for giving up a dead letter (ACTION_DISCARD). Between the decision and its record being durable the run is kept from executing. */
#include "engine_int.h"

typedef struct eng_cancel {
  struct eng_cancel *next;
  uint64_t run;
  engine_done_cb cb;
  void *user;
} eng_cancel;

bool eng_cancelled(const engine *e, uint64_t run) {
  for (const eng_cancel *x = e->cancels; x; x = x->next)
    if (x->run == run) return true;
  return eng_discarding(e, SUBJECT_RUN, run);
}

/* Whoever waits for the run's answer gets one. */
static void answer(engine *e, const store_run *row, arena *a) {
  store_input in;
  if (!(row->flags & RUN_F_ACK_AFTER) || store_get_input(e->store, ENG_PART, row->input, a, &in)) return;
  bool request = in.type.len && memchr(in.type.p, ' ', in.type.len);
  (void)eng_after_run(e, row, !request, false, VM_OUTCOME_NONE, VAL_NONE, "", "The run was cancelled");
}

static void on_cancelled(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_cancel *x = (eng_cancel *)user, **at = &e->cancels;
  (void)rec;
  while (*at != x) at = &(*at)->next;
  *at = x->next;
  eng_run *r = eng_run_find(e, x->run);
  arena a;
  store_run row;
  arena_init(&a, e->mem, 0);
  hdw_status st = s ? s : store_get_run(e->store, ENG_PART, x->run, &a, &row);
  if (!s && !eng_state_said(e, st)) eng_look_again(e);
  if (!s && r) eng_run_free(r);
  if (!st) {
    answer(e, &row, &a);
    eng_lanes_release(e, &row);
  }
  arena_free(&a);
  if (x->cb) x->cb(x->user, s);
  eng_put(e, x, sizeof *x);
}

hdw_status engine_cancel(engine *e, uint64_t run, const char *who, const char *reason, engine_done_cb cb, void *user) {
  arena a;
  store_run row;
  arena_init(&a, e->mem, 0);
  eng_run *r = eng_run_find(e, run);
  hdw_status s = store_get_run(e->store, ENG_PART, run, &a, &row);
  if (!s && (row.state >= RUN_DONE || eng_cancelled(e, run) || (r && (r->ending || r->early)))) s = HDW_E_INVALID;
  arena_free(&a);
  eng_cancel *x = s ? NULL : (eng_cancel *)eng_get(e, sizeof *x);
  if (!x) return s ? s : HDW_E_NOMEM;
  *x = (eng_cancel){e->cancels, run, cb, user};
  if (!reason || !reason[0]) reason = "cancelled";
  rec_action c = {.action = ACTION_DISCARD, .subject = SUBJECT_RUN, .id = run, .who = cod_cstr(who), .reason = cod_bytes(reason, strnlen(reason, ENG_REASON_MAX))};
  cod_w w = eng_writer(e);
  s = rec_put_action(&w, &c);
  if (!s) s = eng_append_rec(e, REC_ACTION, &w, NULL, 0, on_cancelled, x, NULL);
  if (s) {
    eng_put(e, x, sizeof *x);
    return s;
  }
  e->cancels = x;
  eng_steps_drop(e, run, true);
  if (r) {
    r->ending = true;
    io_timer_cancel(e->io, &r->task);
    io_timer_cancel(e->io, &r->leave);
  }
  return HDW_OK;
}
