/* engine_lane.c - which run may start: room, lanes, wake times.
 *
 * Runs that may start wait in a ring of ids; what does not fit is found again in the store (rescan). A run with lanes may start when no
 * older run is in any of them; the store keeps who is. Ids rise with time, so all lanes agree about who is older and nobody waits in a circle. */
#include <stdio.h>
#include "engine_int.h"
#include "points.h"

enum { READY_MAX = 65536, SCAN_CHUNK = 512, DUE_MAX = 1024, COUNT_MAX = 10000 };

static void on_sched(void *user);
static void on_rescan_timer(void *user);

void eng_look_again(engine *e) {
  if (!e->closing && !e->rescan_timer.set) io_timer_set(e->io, &e->rescan_timer, 1000000, on_rescan_timer, e);
}

void eng_sched(engine *e) {
  if (!e->sched.set && e->started && !e->closing) io_timer_set(e->io, &e->sched, 0, on_sched, e);
}

void eng_ready(engine *e, uint64_t id, bool fresh) {
  if (e->nready == e->ready_cap) {
    uint32_t cap = e->ready_cap ? e->ready_cap * 2 : 256;
    uint64_t *p = cap <= READY_MAX ? (uint64_t *)eng_get(e, cap * sizeof *p) : NULL;
    if (!p && cap <= READY_MAX) { /* no memory: at once there would be none again */
      eng_look_again(e);
      return;
    }
    if (!p) { /* a scan under way may be past it */
      if (e->rescan) e->rescan_again = true;
      e->rescan = true;
      eng_sched(e);
      return;
    }
    for (uint32_t i = 0; i < e->nready; i++) p[i] = e->ready[(e->ready_at + i) % e->ready_cap];
    eng_put(e, e->ready, e->ready_cap * sizeof *p);
    e->ready = p, e->ready_cap = cap, e->ready_at = 0;
  }
  e->ready[(e->ready_at + e->nready++) % e->ready_cap] = id << 1 | fresh;
  eng_sched(e);
}

bool eng_lanes_free(engine *e, uint64_t id, const uint8_t (*lanes)[REC_LANE], unsigned n) {
  for (unsigned i = 0; i < n && !HDW_BROKEN("lane.order"); i++) {
    uint64_t head;
    hdw_status s = store_lane_head(e->store, ENG_PART, lanes[i], &head, NULL);
    if (!s && head < id) return false;
    if (!eng_state_said(e, s)) { /* nobody knows: looked for again */
      eng_look_again(e);
      return false;
    }
  }
  return true;
}

typedef struct others {
  engine *e;
  uint64_t id;
  bool active;
} others;
static bool other_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  others *o = (others *)user;
  (void)part, (void)state;
  o->active |= id != o->id && eng_run_active(o->e, id);
  return !o->active;
}

/* An older run that a person sent back may find a younger one at work in its lane: it takes its turn when that has ended. A lane that it was
 * taken out of (skip-lane) does not concern it any more. */
bool eng_lanes_busy(engine *e, const store_run *row) {
  others o = {e, row->id, false};
  for (unsigned i = 0; i < row->nlanes && !o.active; i++) {
    uint64_t head;
    uint8_t state;
    hdw_status s = store_lane_head(e->store, ENG_PART, row->lanes[i], &head, &state);
    if (!s && head != row->id) continue;
    if (!s) s = store_list_lane(e->store, ENG_PART, row->lanes[i], 0, 0, other_one, &o);
    if (!eng_state_said(e, s)) { /* nobody knows: looked for again */
      eng_look_again(e);
      return true;
    }
  }
  return o.active;
}

/* Nothing of the run can be in the journal: it was made in this life of the process and has not begun. */
bool eng_run_fresh(const engine *e, const store_run *r) {
  for (const eng_step *s = e->steps[eng_slot(r->id)]; s; s = s->next)
    if (s->run == r->id) return false; /* it has begun, and its record may not be durable yet */
  return rec_run_seq(r->id) > e->fresh_after && r->state == RUN_QUEUED && !r->attempts && !r->effects && !r->path.len;
}

bool eng_room(const engine *e) { return e->nruns < e->o.config->top.active_runs && e->naway - e->nback < e->o.config->top.waiting_runs; }

void eng_run_created(engine *e, uint64_t id, const rec_run_new *n, const void *body, size_t len) {
  if (eng_early_done(e, id)) return;
  if (e->draining || !eng_lanes_free(e, id, n->lanes, n->nlanes)) return;
  if (!e->nready && !e->rescan && eng_room(e)) eng_run_start(e, id, true, body, len);
  else eng_ready(e, id, true);
}

void eng_lanes_release(engine *e, const store_run *row) {
  for (unsigned i = 0; i < row->nlanes; i++) {
    uint64_t head;
    uint8_t state;
    hdw_status there = store_lane_head(e->store, ENG_PART, row->lanes[i], &head, &state);
    if (!eng_state_said(e, there)) eng_look_again(e);
    if (there || state > RUN_WAITING || eng_run_active(e, head)) continue;
    arena a;
    arena_init(&a, e->mem, 0);
    store_run next;
    hdw_status s = store_get_run(e->store, ENG_PART, head, &a, &next);
    if (!s && eng_lanes_free(e, head, next.lanes, next.nlanes)) eng_ready(e, head, eng_run_fresh(e, &next));
    if (!eng_state_said(e, s)) eng_look_again(e);
    arena_free(&a);
  }
}

/* ---- looking in the store for runs that wait ----------------------------------------------------------------------------- */

typedef struct scan {
  engine *e;
  uint64_t last;
  uint32_t n;
  uint64_t found[SCAN_CHUNK];
} scan;
static bool scan_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  scan *s = (scan *)user;
  (void)part, (void)state;
  s->last = id;
  s->found[s->n++] = id;
  return s->n < SCAN_CHUNK;
}

/* Adds a chunk of what is queued (or was running when the process died) and free of its lanes. */
static void rescan(engine *e) {
  static const uint8_t states[] = {RUN_RUNNING, RUN_WAITING, RUN_QUEUED};
  scan s = {.e = e};
  if (!eng_state_said(e, store_list_runs(e->store, ENG_PART, states[e->rescan_state], e->rescan_after, SCAN_CHUNK, scan_one, &s))) {
    e->rescan = false;
    e->rescan_state = 0, e->rescan_after = 0;
    eng_look_again(e);
    return;
  }
  for (uint32_t i = 0; i < s.n; i++) {
    arena a;
    arena_init(&a, e->mem, 0);
    store_run row;
    hdw_status said = eng_run_active(e, s.found[i]) ? HDW_E_NOTFOUND : store_get_run(e->store, ENG_PART, s.found[i], &a, &row);
    if (!said && eng_lanes_free(e, row.id, row.lanes, row.nlanes)) eng_ready(e, row.id, false);
    if (!eng_state_said(e, said)) eng_look_again(e);
    arena_free(&a);
  }
  e->rescan_after = s.last;
  if (s.n == SCAN_CHUNK) return;
  e->rescan_after = 0;
  if (++e->rescan_state < sizeof states) return;
  e->rescan_state = 0;
  e->rescan = e->rescan_again;
  e->rescan_again = false;
}

static void on_sched(void *user) {
  engine *e = (engine *)user;
  if (e->draining || e->failed) return;
  if (!e->nready && e->rescan) rescan(e);
  /* A bounded number of starts, so that sockets get their turn. */
  for (unsigned i = 0; i < 32 && e->nready && eng_room(e); i++) {
    uint64_t x = e->ready[e->ready_at];
    e->ready_at = (e->ready_at + 1) % e->ready_cap;
    e->nready--;
    eng_run_start(e, x >> 1, x & 1, NULL, 0);
  }
  if ((e->nready && eng_room(e)) || (!e->nready && e->rescan)) eng_sched(e);
  else if (e->nready) eng_runs_make_room(e);
  eng_ended(e);
}

static void on_rescan_timer(void *user) {
  engine *e = (engine *)user;
  if (!e->failed && store_applied(e->store) < e->fresh_after) { /* what those runs did before is not all in the store yet */
    io_timer_set(e->io, &e->rescan_timer, 100000, on_rescan_timer, e);
    return;
  }
  if (e->rescan) e->rescan_again = true; /* one under way may be past those that are meant */
  e->rescan = true;
  eng_sched(e);
}

void eng_run_abandon(eng_run *r) {
  engine *e = r->e;
  e->fresh_after = eng_last_seq(e);
  eng_run_free(r);
  eng_look_again(e);
}

void eng_run_unread(eng_run *r, hdw_status s, const char *path) {
  (void)eng_state_said(r->e, s); /* damaged: the engine ends */
  if (s == HDW_E_NOMEM && r->a.over_limit) eng_run_end(r, RUN_DEAD, FAIL_DATA, hdw_status_name(s), "the run needs more memory than run_memory_bytes", path);
  else eng_run_abandon(r);
}

/* ---- wake times ------------------------------------------------------------------------------------------------------------ */

typedef struct due {
  engine *e;
  bool deliveries;
  uint32_t n;
} due;
static bool due_one(uint16_t part, uint64_t id, uint8_t subject, void *user) {
  due *d = (due *)user;
  (void)part;
  if (subject == SUBJECT_DELIVERY) d->deliveries = true;
  else if (subject == SUBJECT_RUN && !eng_run_find(d->e, id)) eng_ready(d->e, id, false);
  d->n++;
  return true;
}

void eng_wake(engine *e) {
  due d = {.e = e};
  int64_t next = INT64_MAX, now = eng_clock_us(e);
  e->wake_at_us = INT64_MAX;
  if (e->draining || e->failed) return;
  if (e->nready >= DUE_MAX) { /* those that are due wait already; more of them would only wait twice */
    eng_wake_at(e, now + 100000);
    return;
  }
  if (!eng_state_said(e, store_list_due(e->store, ENG_PART, now, DUE_MAX, due_one, &d, &next))) eng_wake_at(e, now + 1000000);
  if (d.deliveries)
    for (uint32_t i = 0; i < e->nconns; i++) eng_out_new(e, e->conns[i]);
  /* What is due stays so until it has started: look again, but not at once. */
  if (d.n) eng_wake_at(e, now + 500000);
  if (next != INT64_MAX) eng_wake_at(e, next);
}

int64_t eng_backoff(engine *e, int64_t from_us, int64_t to_us, uint32_t n) {
  int64_t top = from_us > 0 ? from_us : 500000;
  for (uint32_t i = 0; i < n && i < 30 && top < to_us; i++) top *= 2;
  if (top > to_us) top = to_us;
  /* Half fixed, half drawn: peers that failed together do not come back together, and a wait is never none. */
  return top / 2 + (int64_t)(io_random_u64(e->io) % (uint64_t)(top / 2 + 1));
}

/* ---- what an operator sees and does ------------------------------------------------------------------------------------------ */

static bool count_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  (void)part, (void)id, (void)state;
  ++*(uint32_t *)user;
  return true;
}

/* Those behind the holder. */
static uint32_t waiting_behind(engine *e, const uint8_t lane[REC_LANE], uint64_t run) {
  uint32_t n = 0;
  (void)store_list_lane(e->store, ENG_PART, lane, run, COUNT_MAX, count_one, &n);
  return n;
}

typedef struct lane_list {
  engine *e;
  engine_lane_cb cb;
  void *user;
  unsigned left;
} lane_list;

static bool lane_one(uint16_t part, const uint8_t lane[REC_LANE], uint64_t run, void *user) {
  lane_list *l = (lane_list *)user;
  (void)part;
  arena a;
  store_run row;
  arena_init(&a, l->e->mem, 0);
  bool on = true;
  if (!store_get_run(l->e->store, ENG_PART, run, &a, &row)) {
    engine_lane x = {.lane = lane, .run = &row, .held = row.state >= RUN_PARKED, .waiting = waiting_behind(l->e, lane, run)};
    if (x.held || x.waiting) on = l->cb(&x, l->user), l->left--;
  }
  arena_free(&a);
  return on && l->left > 0;
}

static bool lanes_of(lane_list *l, uint64_t run) {
  arena a;
  store_run row;
  arena_init(&a, l->e->mem, 0);
  bool on = true;
  if (!store_get_run(l->e->store, ENG_PART, run, &a, &row))
    for (unsigned i = 0; i < row.nlanes && l->left && on; i++) on = lane_one(ENG_PART, row.lanes[i], run, l);
  arena_free(&a);
  return on;
}

/* Lanes of a sink's queue that wait behind a dead delivery. */
static bool lanes_of_dead(uint16_t part, uint64_t id, uint8_t state, void *user) {
  static const uint8_t none[REC_LANE];
  lane_list *l = (lane_list *)user;
  engine *e = l->e;
  arena a;
  store_delivery d;
  store_run row = {.id = 0};
  bool on = true;
  (void)part, (void)state;
  arena_init(&a, e->mem, 0);
  if (!store_get_delivery(e->store, ENG_PART, id, &a, &d) && d.state == DELIVERY_PARKED && memcmp(d.lane, none, REC_LANE)) {
    if (d.run && store_get_run(e->store, ENG_PART, d.run, &a, &row)) row = (store_run){.id = d.run};
    for (unsigned i = 0; i <= d.nmore && l->left && on; i++) {
      engine_lane x = {.lane = i ? d.more[i - 1] : d.lane, .run = &row, .held = true, .delivery = &d};
      (void)store_list_queue(e->store, ENG_PART, d.sink, x.lane, id, COUNT_MAX, count_one, &x.waiting);
      on = l->cb(&x, l->user);
      l->left--;
    }
  }
  arena_free(&a);
  return on && l->left > 0;
}

void engine_lanes(engine *e, unsigned limit, engine_lane_cb cb, void *user) {
  lane_list l = {e, cb, user, limit ? limit : UINT32_MAX};
  (void)store_list_held(e->store, ENG_PART, NULL, 0, lane_one, &l);
  for (eng_run *r = e->runs; r && l.left; r = r->next)
    for (unsigned i = 0; i < r->row.nlanes && l.left; i++)
      if (!lane_one(ENG_PART, r->row.lanes[i], r->id, &l)) return;
  for (unsigned k = 0; k < ENG_HASH; k++) /* at work, but not in memory */
    for (eng_step *s = e->steps[k]; s && l.left; s = s->next)
      if (!s->r && !s->dropped && eng_step_first(s) == s && !lanes_of(&l, s->run)) return;
  if (l.left) (void)store_list_dead(e->store, ENG_PART, SUBJECT_DELIVERY, 0, COUNT_MAX, lanes_of_dead, &l);
}

typedef struct skipping {
  engine_done_cb cb;
  void *user;
  store_run row;             /* of the holder; its texts are gone */
} skipping;

static void on_skipped(engine *e, hdw_status s, const log_rec *rec, void *user) {
  skipping *x = (skipping *)user;
  (void)rec;
  if (!s) eng_lanes_release(e, &x->row);
  if (x->cb) x->cb(x->user, s);
  eng_put(e, x, sizeof *x);
}

hdw_status engine_skip_lane(engine *e, const uint8_t lane[REC_LANE], const char *who, const char *reason, engine_done_cb cb, void *user) {
  uint64_t head;
  uint8_t state;
  hdw_status s = store_lane_head(e->store, ENG_PART, lane, &head, &state);
  if (s) return s;
  if (state < RUN_PARKED) return HDW_E_INVALID; /* it is at work, or about to be */
  skipping *x = (skipping *)eng_get(e, sizeof *x);
  arena a;
  arena_init(&a, e->mem, 0);
  s = x ? store_get_run(e->store, ENG_PART, head, &a, &x->row) : HDW_E_NOMEM;
  arena_free(&a);
  if (!s) {
    x->cb = cb, x->user = user;
    rec_action r = {.action = ACTION_SKIP_LANE, .subject = SUBJECT_LANE, .id = head, .who = cod_cstr(who), .reason = cod_bytes(reason, strnlen(reason, ENG_REASON_MAX))};
    memcpy(r.lane, lane, REC_LANE);
    cod_w w = eng_writer(e);
    s = rec_put_action(&w, &r);
    if (!s) s = eng_append_rec(e, REC_ACTION, &w, NULL, 0, on_skipped, x, NULL);
  }
  if (s) eng_put(e, x, sizeof *x);
  return s;
}
