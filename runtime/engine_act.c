/* engine_act.c - what an operator does: redrive, discard, pause, resume. */
#include <stdio.h>
#include "engine_int.h"
#include "points.h"

typedef struct eng_act {
  struct eng_act *next;
  uint8_t subject, action;
  uint64_t id;
  engine_done_cb cb;
  void *user;
} eng_act;

bool eng_discarding(const engine *e, uint8_t subject, uint64_t id) {
  for (const eng_act *x = e->acts; x; x = x->next)
    if (x->id == id && x->subject == subject && x->action == ACTION_DISCARD) return true;
  return false;
}

static void on_acted(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_act x = *(eng_act *)user, **at = &e->acts;
  (void)rec;
  while (*at != user) at = &(*at)->next;
  *at = x.next;
  eng_put(e, user, sizeof(eng_act));
  if (!s && x.subject == SUBJECT_RUN) {
    arena a;
    store_run row;
    arena_init(&a, e->mem, 0);
    hdw_status st = store_get_run(e->store, ENG_PART, x.id, &a, &row);
    if (!eng_state_said(e, st)) eng_look_again(e);
    if (!st) {
      if (x.action == ACTION_REDRIVE) {
        if (eng_lanes_free(e, row.id, row.lanes, row.nlanes)) eng_ready(e, x.id, false);
      } else eng_lanes_release(e, &row);
    }
    arena_free(&a);
  }
  if (!s && x.subject == SUBJECT_DELIVERY)
    for (uint32_t i = 0; i < e->nconns; i++) eng_out_new(e, e->conns[i]);
  if (x.cb) x.cb(x.user, s);
}

static hdw_status append(engine *e, uint8_t action, uint8_t subject, uint64_t id, const char *who, const char *reason, engine_done_cb cb, void *user) {
  eng_act *x = (eng_act *)eng_get(e, sizeof *x);
  if (!x) return HDW_E_NOMEM;
  *x = (eng_act){e->acts, subject, action, id, cb, user};
  rec_action r = {.action = action, .subject = subject, .id = id, .who = cod_cstr(who), .reason = cod_bytes(reason, strnlen(reason, ENG_REASON_MAX))};
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_action(&w, &r);
  uint64_t seq = 0;
  if (!s) s = eng_append_rec(e, REC_ACTION, &w, NULL, 0, on_acted, x, &seq);
  if (s) eng_put(e, x, sizeof *x);
  else e->acts = x;
  if (!s && action == ACTION_REDRIVE) e->wanted_after = seq;
  return s;
}

typedef struct place {
  engine *e;
  arena *a;
  const store_run *run;
  const cod_str *path;       /* of a delivery; NULL: the whole run */
  bool taken;
  hdw_status status;
} place;
static bool in_its_place(uint16_t part, uint64_t id, uint8_t state, void *user) {
  place *x = (place *)user;
  store_run row;
  (void)part, (void)state;
  if (id <= x->run->id) return true;
  x->status = store_get_run(x->e->store, ENG_PART, id, x->a, &row);
  x->taken = !x->status && cod_equal(row.workflow, x->run->workflow);
  if (x->taken && x->path) {
    store_delivery d;
    hdw_status s = eng_delivery_at(x->e, id, *x->path, x->a, &d);
    x->taken = !s;
    if (s != HDW_E_NOTFOUND) x->status = s;
  }
  return !x->status && !x->taken;
}

/* A later run of the same input has its place (the sender sent it again, an operator reprocessed it): beside that one it would do everything once more. It is given
 * up when that one is made, and that is not one record. A delivery only when the later run sends at its path itself: one that was still on its way was taken over. */
static hdw_status superseded(engine *e, arena *a, const store_run *run, const cod_str *path) {
  place x = {.e = e, .a = a, .run = run, .path = path};
  hdw_status s = run->input ? store_list_runs_of_input(e->store, ENG_PART, run->input, in_its_place, &x) : HDW_OK;
  if (!s) s = x.status;
  return s ? s : x.taken && !HDW_BROKEN("dead.beside") ? HDW_E_EXISTS : HDW_OK;
}

/* HDW_OK when the subject is a dead letter (or, for discarding, not yet done). */
static hdw_status look(engine *e, uint8_t subject, uint64_t id, bool discard) {
  arena a;
  store_run run;
  store_delivery d;
  hdw_status s = HDW_E_INVALID;
  if (eng_discarding(e, subject, id)) return s; /* it is given up, only not yet durably */
  arena_init(&a, e->mem, 0);
  if (subject == SUBJECT_RUN) {
    s = store_get_run(e->store, ENG_PART, id, &a, &run);
    if (!s && eng_run_active(e, id)) s = HDW_E_INVALID;
    if (!s && run.state == RUN_FAILED && !discard && eng_retain_takes(e)) s = HDW_E_AGAIN;
    if (!s && run.state != RUN_DEAD && run.state != RUN_FAILED && !(run.state == RUN_PARKED || (discard && run.state == RUN_QUEUED))) s = HDW_E_INVALID;
    if (!s && !discard && run.state != RUN_PARKED) s = superseded(e, &a, &run, NULL);
  } else if (subject == SUBJECT_DELIVERY) {
    s = store_get_delivery(e->store, ENG_PART, id, &a, &d);
    if (!s && d.state != DELIVERY_DEAD && d.state != DELIVERY_PARKED && !(discard && d.state == DELIVERY_PENDING)) s = HDW_E_INVALID;
    if (!s && !discard && d.state == DELIVERY_DEAD && d.run) {
      s = store_get_run(e->store, ENG_PART, d.run, &a, &run);
      s = s == HDW_E_NOTFOUND ? HDW_OK : s ? s : superseded(e, &a, &run, &d.path);
    }
  }
  arena_free(&a);
  return s;
}

hdw_status engine_redrive(engine *e, uint8_t subject, uint64_t id, const char *who, engine_done_cb cb, void *user) {
  hdw_status s = look(e, subject, id, false);
  return s ? s : append(e, ACTION_REDRIVE, subject, id, who, "", cb, user);
}

hdw_status engine_discard(engine *e, uint8_t subject, uint64_t id, const char *who, const char *reason, engine_done_cb cb, void *user) {
  hdw_status s = look(e, subject, id, true);
  return s ? s : append(e, ACTION_DISCARD, subject, id, who, reason, cb, user);
}

hdw_status engine_skip(engine *e, uint8_t subject, uint64_t id, const char *who, engine_done_cb cb, void *user) {
  arena a;
  store_run run;
  store_delivery d;
  hdw_status s = HDW_E_INVALID;
  arena_init(&a, e->mem, 0);
  if (subject == SUBJECT_RUN) {
    s = store_get_run(e->store, ENG_PART, id, &a, &run);
    if (!s && (!run.nlanes || run.flags & RUN_F_LANE_SKIP || (run.state != RUN_DEAD && run.state != RUN_FAILED && run.state != RUN_PARKED) || eng_run_find(e, id))) s = HDW_E_INVALID;
  } else if (subject == SUBJECT_DELIVERY) {
    s = store_get_delivery(e->store, ENG_PART, id, &a, &d);
    if (!s && d.state != DELIVERY_PARKED) s = HDW_E_INVALID;
  }
  arena_free(&a);
  return s ? s : append(e, ACTION_SKIP_LANE, subject, id, who, "", cb, user);
}

/* ---- pause -------------------------------------------------------------------------------------------------------------------- */

typedef struct pausing {
  eng_conn *c;
  bool pause;
  engine_done_cb cb;
  void *user;
} pausing;

static void on_paused(engine *e, hdw_status s, const log_rec *rec, void *user) {
  pausing x = *(pausing *)user;
  (void)rec;
  eng_put(e, user, sizeof(pausing));
  while (x.c->replaced_by) x.c = x.c->replaced_by; /* a deployment came between */
  if (!s) {
    x.c->paused = x.pause;
    if (!x.pause) eng_conn_resumed(x.c);
  }
  if (x.cb) x.cb(x.user, s);
}

hdw_status engine_pause(engine *e, const char *sink, bool pause, const char *who, engine_done_cb cb, void *user) {
  eng_conn *c = eng_conn_find(e, sink, strlen(sink));
  pausing *x = c ? (pausing *)eng_get(e, sizeof *x) : NULL;
  if (!x) return c ? HDW_E_NOMEM : HDW_E_NOTFOUND;
  *x = (pausing){c, pause, cb, user};
  rec_action r = {.action = pause ? ACTION_PAUSE : ACTION_RESUME, .subject = SUBJECT_SINK, .name = cod_cstr(c->name), .who = cod_cstr(who)};
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_action(&w, &r);
  if (!s) s = eng_append_rec(e, REC_ACTION, &w, NULL, 0, on_paused, x, NULL);
  if (s) eng_put(e, x, sizeof *x);
  return s;
}

/* ---- workflows: their new runs wait queued --------------------------------------------------------------------------------------- */

static cod_str paused_key(const char *workflow, size_t len, char key[META_MAX_NAME + 16]) {
  int n = snprintf(key, META_MAX_NAME + 16, "workflow:%.*s", (int)len, workflow);
  return cod_bytes(key, (size_t)n);
}

static bool is_workflow(cod_str key, cod_str value, void *user) {
  bool *any = (bool *)user;
  (void)value;
  *any |= key.len > 9 && !memcmp(key.p, "workflow:", 9);
  return !*any;
}

void eng_workflows_paused(engine *e) {
  arena a;
  arena_init(&a, e->mem, 0);
  e->paused_workflows = false;
  if (!eng_state_said(e, store_list_named(e->store, cod_cstr("paused"), &a, is_workflow, &e->paused_workflows))) e->paused_workflows = true; /* each is asked for */
  arena_free(&a);
}

bool eng_workflow_paused(engine *e, cod_str name) {
  if (!e->paused_workflows) return false;
  arena a;
  cod_str v;
  char key[META_MAX_NAME + 16];
  arena_init(&a, e->mem, 65536);
  bool paused = name.len <= META_MAX_NAME;
  if (paused) paused = store_get_named(e->store, cod_cstr("paused"), paused_key(name.p, name.len, key), &a, &v) != HDW_E_NOTFOUND; /* not known: it is looked at again */
  arena_free(&a);
  return paused;
}

typedef struct pausing_workflow {
  bool pause;
  engine_done_cb cb;
  void *user;
} pausing_workflow;

static void on_workflow_paused(engine *e, hdw_status s, const log_rec *rec, void *user) {
  pausing_workflow x = *(pausing_workflow *)user;
  (void)rec;
  eng_put(e, user, sizeof(pausing_workflow));
  eng_workflows_paused(e);
  if (!s && !x.pause) { /* those that waited are looked for */
    if (e->rescan) e->rescan_again = true;
    e->rescan = true;
    eng_sched(e);
  }
  if (x.cb) x.cb(x.user, s);
}

hdw_status engine_pause_workflow(engine *e, const char *workflow, bool pause, const char *who, engine_done_cb cb, void *user) {
  bool known = !pause && eng_workflow_paused(e, cod_cstr(workflow)); /* also one that is gone may be resumed */
  for (uint32_t i = 0; i < e->napps && !known; i++) known = !e->apps[i]->retired && eng_workflow(e->apps[i], workflow, strlen(workflow));
  pausing_workflow *x = known ? (pausing_workflow *)eng_get(e, sizeof *x) : NULL;
  if (!x) return known ? HDW_E_NOMEM : HDW_E_NOTFOUND;
  *x = (pausing_workflow){pause, cb, user};
  rec_action r = {.action = pause ? ACTION_PAUSE : ACTION_RESUME, .subject = SUBJECT_WORKFLOW, .name = cod_cstr(workflow), .who = cod_cstr(who)};
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_action(&w, &r);
  if (!s) s = eng_append_rec(e, REC_ACTION, &w, NULL, 0, on_workflow_paused, x, NULL);
  if (s) eng_put(e, x, sizeof *x);
  return s;
}
