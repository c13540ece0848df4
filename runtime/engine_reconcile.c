/* engine_reconcile.c - looks now and then for what should be moving and is not (PROTOCOLS R-12).
 *
 * Everything has a wake of its own: a timer, a callback, the end of the one before. This is the net below: it knows nothing of them, only what the store says,
 * a bounded number of rows at a time. What it finds it wakes by the ordinary way, so twice does no harm, and counts: a count that rises is a bug elsewhere. */
#include <stdio.h>
#include "engine_int.h"

enum { LOOK_CHUNK = 512 };
#define CHUNK_PAUSE_US INT64_C(20000)

typedef struct look {
  engine *e;
  int64_t before_us;         /* what changed later is not late */
  uint64_t last;
  uint32_t n, woken;
} look;

/* What it held is being woken, a part at a time: that is not late. */
static bool free_and_quiet(engine *e, cod_str conn) {
  int64_t wait;
  eng_conn *c = eng_conn_find(e, conn.p, conn.len);
  return c && !c->wake.set && !c->open && eng_conn_hold(c, true, &wait) == HOLD_NONE;
}

static bool look_at(uint16_t part, uint64_t id, uint8_t state, void *user) {
  look *k = (look *)user;
  engine *e = k->e;
  arena a;
  store_run r;
  (void)part;
  k->last = id;
  k->n++;
  if (eng_run_active(e, id)) return k->n < LOOK_CHUNK;
  arena_init(&a, e->mem, 65536);
  bool late = !store_get_run(e->store, ENG_PART, id, &a, &r) && r.changed_us < k->before_us;
  if (late && state == RUN_PARKED) late = r.wake_us < k->before_us || (r.held.len && free_and_quiet(e, r.held));
  else if (late) late = eng_lanes_free(e, id, r.lanes, r.nlanes) && !(state == RUN_QUEUED && !r.attempts && !r.effects && eng_workflow_paused(e, r.workflow));
  if (late) {
    eng_ready(e, id, false);
    k->woken++;
  }
  arena_free(&a);
  return k->n < LOOK_CHUNK;
}

/* A queue whose head could go, on a connection that has room and no timer. */
static uint32_t look_at_queues(engine *e) {
  uint32_t woken = 0;
  int64_t wait;
  for (uint32_t i = 0; i < e->nconns; i++) {
    eng_conn *c = e->conns[i];
    if (c->pump.set || c->timer.set || !eng_conn_room(c) || c->in_flight || eng_conn_hold(c, true, &wait) != HOLD_NONE || !eng_out_late(c, e->reconcile_us)) continue;
    eng_out_new(e, c);
    woken++;
  }
  return woken;
}

static void on_reconcile(void *user) {
  static const uint8_t states[] = {RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED};
  engine *e = (engine *)user;
  look k = {.e = e, .before_us = eng_clock_us(e) - e->reconcile_us};
  if (e->draining || e->failed || e->closing) return;
  if (e->nready || e->rescan) { /* there is work, and it goes on: look when there is none */
    io_timer_set(e->io, &e->reconcile, e->reconcile_us, on_reconcile, e);
    return;
  }
  (void)store_list_runs(e->store, ENG_PART, states[e->reconcile_state], e->reconcile_after, LOOK_CHUNK, look_at, &k);
  if (k.n < LOOK_CHUNK) {
    e->reconcile_after = 0;
    e->reconcile_state = (uint8_t)((e->reconcile_state + 1) % sizeof states);
    if (!e->reconcile_state) k.woken += look_at_queues(e);
  } else e->reconcile_after = k.last;
  if (k.woken) {
    char n[16];
    e->st.rescued += k.woken;
    snprintf(n, sizeof n, "%u", k.woken);
    eng_say(e, ENGINE_WARN, "rescued", "count", n, NULL);
  }
  bool round = !e->reconcile_state && !e->reconcile_after;
  io_timer_set(e->io, &e->reconcile, round ? e->reconcile_us : CHUNK_PAUSE_US, on_reconcile, e);
}

void eng_reconcile_start(engine *e) {
  e->reconcile_us = e->o.reconcile_us ? e->o.reconcile_us : e->io->sim && !e->o.daemon ? 0 : e->o.config->top.reconcile_ms * 1000;
  if (e->reconcile_us) io_timer_set(e->io, &e->reconcile, e->reconcile_us, on_reconcile, e);
}
