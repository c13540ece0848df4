/* engine_conn.c - may an attempt leave for this connection now? One gate for steps and deliveries (SEMANTICS 4, 5; PROTOCOLS 7).
 *
 *   paused     an operator said so
 *   hours      closed: what writes waits until it opens
 *   breaker    open: nothing leaves. When its cooldown is over (a short one where no connection could be made and none is declared) one attempt goes as a probe,
 *              and behind its success a second one: two successes close the breaker, a failure opens it again
 *   asked      the peer said Retry-After: the whole endpoint waits, not only the one request
 *   busy       so many steps are under way or wait for a place that further ones would take the room of other connections (waiting_runs)
 *
 * While it is held deliveries stay in their queues and runs are parked with its name in their row; neither is an attempt. Its return wakes them. */
#include <stdio.h>
#include "engine_int.h"
#include "points.h"
#include "watch.h"

enum { WAKE_CHUNK = 256, WAKE_ROOM = 1024, PROBES = 2, NOTED_US = 5000000 /* shorter waits are not remembered over a restart */ };
#define SAFETY_US INT64_C(3600000000) /* a parked run looks by itself now and then: a lost wake costs an hour, not a patient */

const char *eng_hold_text(eng_hold h) {
  static const char *const t[] = {"ok", "paused", "closed", "breaker open", "asked to wait", "busy"};
  return t[h];
}

eng_hold eng_conn_hold(eng_conn *c, bool writes, int64_t *wait_us) {
  int64_t now = io_mono_us(c->e->io);
  *wait_us = INT64_MAX;
  if (c->paused) return HOLD_PAUSED;
  if (writes && c->hours && (*wait_us = hours_wait_us(c->hours, io_wall_us(c->e->io))) > 0) return HOLD_HOURS;
  *wait_us = INT64_MAX;
  if (c->open && c->probing) return HOLD_BREAKER;
  if (c->open && c->open_until_us > now && !HDW_BROKEN("breaker.open")) {
    *wait_us = c->open_until_us - now;
    return HOLD_BREAKER;
  }
  if (c->hold_until_us > now && !HDW_BROKEN("wait.ignored")) {
    *wait_us = c->hold_until_us - now;
    return HOLD_ASKED;
  }
  *wait_us = 0;
  return HOLD_NONE;
}

eng_hold eng_conn_hold_step(eng_conn *c, bool writes, int64_t *wait_us) {
  eng_hold h = eng_conn_hold(c, writes, wait_us);
  if (h != HOLD_NONE || !c->busy) return h;
  *wait_us = INT64_MAX;
  return HOLD_BUSY;
}

void eng_conn_steps(eng_conn *c, int change) {
  uint32_t waiting = (uint32_t)c->e->o.config->top.waiting_runs, most = waiting / 4, places = eng_conn_limit(c);
  if (places > most) most = places < waiting / 2 ? places : waiting / 2;
  c->steps = (uint32_t)((int64_t)c->steps + change);
  if (c->steps >= most) c->busy = true;
  else if (c->busy && c->steps <= most / 2) {
    c->busy = false;
    if (!c->e->closing) eng_conn_resumed(c);
  }
}

int64_t eng_give_up_us(const eng_conn *c) { return (c->cfg->o.give_up_ms ? c->cfg->o.give_up_ms : c->e->o.config->top.give_up_ms) * 1000; }

void eng_run_hold(eng_run *r, eng_conn *c, int64_t wait_us, const char *reason, const char *path) {
  int64_t delay = SAFETY_US / 2 + (int64_t)(io_random_u64(c->e->io) % (uint64_t)SAFETY_US);
  if (wait_us != INT64_MAX && wait_us > delay) delay += wait_us;
  r->held = c;
  eng_conn_arm(c);
  eng_run_park(r, FAIL_TRANSIENT, delay, reason, path);
}

bool eng_run_unheld(const eng_run *r) {
  int64_t wait;
  eng_conn *c = r->row.held.len ? eng_conn_find(r->e, r->row.held.p, r->row.held.len) : NULL;
  return c && eng_conn_hold_step(c, false, &wait) == HOLD_NONE;
}

/* ---- waking parked runs ------------------------------------------------------------------------------------------------------- */

typedef struct scan {
  eng_conn *c;
  uint64_t last;
  uint32_t n, woken;
  bool unread;               /* one of them could not be looked up */
} scan;

static bool wake_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  scan *s = (scan *)user;
  engine *e = s->c->e;
  arena a;
  store_run row;
  (void)part, (void)state;
  s->last = id;
  s->n++;
  arena_init(&a, e->mem, 65536);
  hdw_status st = store_get_run(e->store, ENG_PART, id, &a, &row);
  s->unread |= !eng_state_said(e, st);
  if (!st && cod_equal(row.held, cod_cstr(s->c->name)) && !eng_run_active(e, id)) {
    eng_ready(e, id, false);
    s->woken++;
  }
  arena_free(&a);
  return s->n < WAKE_CHUNK && !(s->woken && !s->c->wake_all);
}

static void on_wake_scan(void *user) {
  eng_conn *c = (eng_conn *)user;
  engine *e = c->e;
  int64_t wait;
  if (e->draining || e->failed || e->closing) return;
  if (e->nready > WAKE_ROOM) { /* as fast as they are taken up */
    io_timer_set(e->io, &c->wake, 20000, on_wake_scan, c);
    return;
  }
  if (eng_conn_hold_step(c, false, &wait) != HOLD_NONE) return; /* it went away again: its next return begins anew */
  scan s = {.c = c};
  if (!c->wake_after) c->wake_known = store_applied(e->store) >= c->wake_seq;
  s.unread = !eng_state_said(e, store_list_runs(e->store, ENG_PART, RUN_PARKED, c->wake_after, WAKE_CHUNK, wake_one, &s)) || s.unread;
  if (s.unread && !HDW_BROKEN("wake.missed")) c->wake_known = false;
  c->wake_after = s.last;
  if (s.n < WAKE_CHUNK && !c->wake_known && (c->wake_all || !s.woken) && !HDW_BROKEN("wake.missed")) { /* whose hold is on its way into the state waits, too */
    c->wake_after = 0;
    io_timer_set(e->io, &c->wake, INT64_C(20000) << c->wake_again, on_wake_scan, c);
    if (c->wake_again < 6) c->wake_again++;
    return;
  }
  if (s.n < WAKE_CHUNK || (s.woken && !c->wake_all)) {
    /* A run that was to be the probe may end elsewhere: then another one is. */
    if (c->open && s.woken) io_timer_set(e->io, &c->timer, c->breaker_cooldown_us, eng_conn_on_timer, c);
    return;
  }
  io_timer_set(e->io, &c->wake, 0, on_wake_scan, c);
}

static void wake(eng_conn *c, bool all) {
  if (!c->e->started) return;
  c->wake_all = all;
  c->wake_after = 0;
  c->wake_seq = eng_last_seq(c->e);
  c->wake_again = 0;
  io_timer_set(c->e->io, &c->wake, 0, on_wake_scan, c);
}

void eng_wake_connection(eng_conn *c) { wake(c, true); }
void eng_conn_probe_run(eng_conn *c) {
  if (!c->wake.set) wake(c, false);
}

/* ---- what ends by itself -------------------------------------------------------------------------------------------------------- */

void eng_conn_on_timer(void *user) {
  eng_conn *c = (eng_conn *)user;
  int64_t wait;
  if (eng_conn_hold(c, true, &wait) != HOLD_NONE) {
    eng_conn_arm(c);
    if (eng_conn_hold(c, false, &wait) != HOLD_NONE) return;
  }
  eng_out_new(c->e, c); /* a half-open breaker: the pump sends the probe, or asks for a run that is one */
  if (!c->open) eng_wake_connection(c);
}

void eng_conn_arm(eng_conn *c) {
  int64_t wait;
  engine *e = c->e;
  if (eng_conn_hold(c, true, &wait) == HOLD_NONE || wait == INT64_MAX || e->closing) return;
  int64_t at = io_mono_us(e->io) + wait;
  if (!c->timer.set || c->timer.at_us > at) io_timer_set(e->io, &c->timer, wait, eng_conn_on_timer, c);
}

void eng_conn_resumed(eng_conn *c) {
  int64_t wait;
  eng_conn_arm(c);
  if (eng_conn_hold(c, false, &wait) != HOLD_NONE) return;
  eng_out_new(c->e, c);
  if (!c->open) eng_wake_connection(c);
}

/* ---- what is remembered over a restart ---------------------------------------------------------------------------------------------- */

/* An open breaker, or what a peer asked for: every start would send all that waits to a peer that is down or wants to be left alone. Named state, key = connection:
 * until when, wall clock, decimal; until_us: monotonic, 0 = no longer. */
static void remember_until(eng_conn *c, const char *space, int64_t until_us) {
  engine *e = c->e;
  char until[24];
  int n = until_us ? snprintf(until, sizeof until, "%lld", (long long)(io_wall_us(e->io) + until_us - io_mono_us(e->io))) : 0;
  rec_put p = {.space = cod_cstr(space), .key = cod_cstr(c->name)};
  cod_w w = eng_writer(e);
  if (!rec_put_named(&w, &p)) (void)eng_append_rec(e, REC_PUT, &w, until, (size_t)n, NULL, NULL, NULL);
}

/* How long it still holds, at most most_us: the wall clock may have been set. False: nothing is remembered. */
static bool remembered(eng_conn *c, const char *space, int64_t most_us, int64_t *left_us) {
  arena a;
  cod_str v;
  int64_t until = 0;
  arena_init(&a, c->e->mem, 65536);
  bool there = eng_state_has(c->e, store_get_named(c->e->store, cod_cstr(space), cod_cstr(c->name), &a, &v));
  for (uint32_t i = 0; there && i < v.len && i < 18 && v.p[i] >= '0' && v.p[i] <= '9'; i++) until = until * 10 + (v.p[i] - '0');
  int64_t left = until - io_wall_us(c->e->io);
  *left_us = left < 0 ? 0 : left > most_us ? most_us : left;
  arena_free(&a);
  return there;
}

/* ---- breaker ---------------------------------------------------------------------------------------------------------------------- */

static void remember(eng_conn *c) { remember_until(c, "breaker", c->open ? c->open_until_us : 0); }

/* Twice as long for each time that a probe reached the peer and failed. */
static int64_t grown(const eng_conn *c) {
  int64_t most = c->cfg->o.breaker_max_ms * 1000, us = c->breaker_cooldown_us;
  for (uint32_t i = 1; i < c->again && us < most; i++) us = us * 2 < most ? us * 2 : most;
  return us;
}

static void open_breaker(eng_conn *c, bool reached) {
  bool was = c->open;
  c->came_through = 0;
  c->again += reached;
  int64_t cooldown = reached ? grown(c) : c->breaker_quick_us;
  c->open = true;
  /* A tenth more or less: what failed together does not come back together. */
  int64_t tenth = cooldown / 10, jitter = tenth ? (int64_t)(io_random_u64(c->e->io) % (uint64_t)(2 * tenth + 1)) - tenth : 0;
  c->open_until_us = io_mono_us(c->e->io) + cooldown + jitter;
  eng_conn_arm(c);
  if (was) return;
  c->opened++;
  watch_breaker(c);
  eng_say(c->e, ENGINE_WARN, "breaker_open", "connection", c->name, "error", c->last_error, NULL);
  remember(c);
}

static void close_breaker(eng_conn *c) {
  c->open = false;
  c->again = c->came_through = 0;
  eng_minute_forget(c);
  eng_say(c->e, ENGINE_INFO, "breaker_closed", "connection", c->name, NULL);
  remember(c);
  eng_conn_resumed(c);
}

/* One success may be chance. Behind a probe's the next one goes at once; what was still under way when it opened counts and leaves the cooldown as it is. */
static void came_through(eng_conn *c, bool probe) {
  if (++c->came_through >= PROBES) {
    close_breaker(c);
    return;
  }
  if (probe) eng_conn_resumed(c); /* its cooldown is over */
}

/* Fewer attempts at once after 429, down to one; each round of them that succeeds adds one. */
static void adapt_window(eng_conn *c, const eng_call *call) {
  uint32_t most = (uint32_t)c->cfg->o.in_flight;
  if (call->status == 429) {
    uint32_t now = c->window ? c->window : most;
    c->throttled++;
    c->window = now > 1 ? now / 2 : 1;
    c->window_done = 0;
  } else if (call->ok && c->window && ++c->window_done >= c->window) {
    c->window_done = 0;
    if (++c->window >= most) c->window = 0;
  }
}

/* 429 halves the rate that the program declared; answers that are none bring it back step by step. */
static void adapt(eng_conn *c, const eng_call *call) {
  adapt_window(c, call);
  if (!c->rate_gap_us) return;
  if (call->status == 429) c->rate_gap_now_us = c->rate_gap_now_us * 2 < c->rate_gap_us * 16 ? c->rate_gap_now_us * 2 : c->rate_gap_us * 16;
  else if (call->ok && c->rate_gap_now_us > c->rate_gap_us) {
    int64_t less = c->rate_gap_us / 16 > 0 ? c->rate_gap_us / 16 : 1;
    c->rate_gap_now_us = c->rate_gap_now_us - less > c->rate_gap_us ? c->rate_gap_now_us - less : c->rate_gap_us;
  }
}

/* Where a path or a login changed it is the same server that wants to be left alone. */
static bool same_server(const eng_conn *a, const eng_conn *b) {
  if (!memcmp(a->address, b->address, sizeof a->address)) return true;
  return a->host && b->host && !strcmp(a->host, b->host) && a->port == b->port && a->https == b->https;
}

int64_t eng_conn_asked_us(const eng_conn *c) {
  int64_t us = c->hold_until_us - io_mono_us(c->e->io);
  return us > 0 && !HDW_BROKEN("wait.ignored") ? us : 0;
}

void eng_conn_asked(eng_conn *c, int64_t wait_us) {
  int64_t until = io_mono_us(c->e->io) + wait_us;
  if (until > c->hold_until_us) c->hold_until_us = until;
  if (wait_us >= NOTED_US && until > c->noted_until_us + NOTED_US / 5) { /* many may be told at once, and then again and again */
    c->noted_until_us = until;
    remember_until(c, "wait", until);
  }
  eng_conn_arm(c);
  if (c->replaced_by && same_server(c->replaced_by, c)) eng_conn_asked(c->replaced_by, wait_us); /* the answer to what left before a deployment */
}

void eng_conn_outcome(eng_call *call) {
  eng_conn *c = call->c;
  /* 429 says slower, not broken; what the peer judged and refused shows that it is there. */
  bool bad = !call->ok && (call->fail_class == FAIL_TRANSIENT || call->fail_class == FAIL_AMBIGUOUS) && call->status != 429 && !call->judged;
  bool reached = call->sent || call->status;
  if (!call->ok) {
    c->failed++;
    eng_call_text(call, c->last_error);
  }
  if (call->probe) c->probing = false;
  if (call->unasked && !HDW_BROKEN("breaker.unasked")) {
    if (call->probe && c->open) eng_conn_resumed(c); /* the next one is to find out */
    return;
  }
  adapt(c, call);
  if (!call->ok && call->retry_after_us > 0) eng_conn_asked(c, call->retry_after_us);
  eng_minute_count(c, bad);
  if (!bad) {
    c->row_failures = 0;
    if (c->open && (call->probe || call->ok)) came_through(c, call->probe);
  } else if (c->open) {
    if (call->probe) open_breaker(c, reached);
  } else if (c->breaker_failures && (++c->row_failures >= c->breaker_failures || eng_mostly_bad(c))) open_breaker(c, reached);
}

/* A new definition begins where the one before it stood. */
static void inherit(eng_conn *c, const eng_conn *old) {
  if (old->hold_until_us > c->hold_until_us) c->hold_until_us = old->hold_until_us;
  c->noted_until_us = old->noted_until_us;
  c->window = old->window < (uint32_t)c->cfg->o.in_flight ? old->window : 0;
  if (!c->breaker_failures) return;
  c->open = old->open, c->open_until_us = old->open_until_us, c->again = old->again, c->came_through = old->came_through;
  c->row_failures = old->row_failures, c->minute_at = old->minute_at;
  memcpy(c->minute, old->minute, sizeof c->minute);
}

void eng_conn_restore(eng_conn *c) {
  engine *e = c->e;
  arena a;
  cod_str v;
  int64_t left, asked = 0, most = c->breaker_cooldown_us > c->cfg->o.breaker_max_ms * 1000 ? c->breaker_cooldown_us : c->cfg->o.breaker_max_ms * 1000;
  char key[META_MAX_NAME + 8];
  arena_init(&a, e->mem, 65536);
  snprintf(key, sizeof key, "sink:%s", c->name);
  hdw_status s = store_get_named(e->store, cod_cstr("paused"), cod_cstr(key), &a, &v);
  c->paused = eng_state_has(e, s) || (s != HDW_E_NOTFOUND && c->replaces && c->replaces->paused);
  arena_free(&a);
  if (c->breaker_failures && remembered(c, "breaker", most, &left)) {
    c->open = true;
    c->open_until_us = io_mono_us(e->io) + left;
  }
  bool waits = remembered(c, "wait", ENG_ASKED_MAX_US, &asked);
  bool moved = eng_conn_settle(c);
  if (c->replaces) moved = !same_server(c, c->replaces);
  if (!moved && c->replaces) inherit(c, c->replaces);
  if (!moved && asked) c->noted_until_us = io_mono_us(e->io) + asked;
  if (c->noted_until_us > c->hold_until_us) c->hold_until_us = c->noted_until_us;
  if (moved && waits) remember_until(c, "wait", 0);
  if (moved && c->open) { /* another server's failures say nothing about this one */
    c->open = false;
    remember(c);
  }
}

void eng_conn_start(eng_conn *c) {
  int64_t wait;
  eng_conn_arm(c);
  eng_out_new(c->e, c);
  if (!c->open && eng_conn_hold(c, false, &wait) == HOLD_NONE) eng_wake_connection(c);
}
