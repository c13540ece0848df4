/* engine_out.c - the outbox: each sink's queue, first in first out within a lane, delivered when its run is long over or before.
 *
 * The store keeps the queues; in memory are only the deliveries in flight. A transient failure puts off the delivery, and with it its lane; what is wrong
 * with the sink as a whole is the breaker's business (engine_conn.c). A dead delivery leaves its queue, or holds it (on_dead; H-21): then it stays the head
 * until a person sends it again, discards it, or skips it.
 *
 * What the peer could not know for the same when it came twice (eng_driver.unsafe) is written down as in flight, and synced, before it leaves: a process that
 * ends meanwhile leaves it to a person, as a step of the same kind. */
#include <stdio.h>
#include "engine_int.h"
#include "points.h"

struct eng_dlv {
  engine *e;
  eng_conn *c;
  eng_dlv *next;
  uint64_t id;
  arena a;
  store_delivery row;
  bool marked;               /* recorded as in flight */
  bool moved;                /* it may have reached another address than the connection's: nothing is sent */
  eng_call call;
};

enum { SCAN_MAX = 256 };

static void on_pump(void *user);

void eng_out_new(engine *e, eng_conn *c) {
  while (c->replaced_by) c = c->replaced_by; /* the queue belongs to the connection of the current deployment */
  if (e->started && !e->draining && !e->closing && !c->pump.set) io_timer_set(e->io, &c->pump, 0, on_pump, c);
}

static void dlv_free(eng_dlv *d) {
  engine *e = d->e;
  eng_dlv **at = &d->c->flying;
  while (*at != d) at = &(*at)->next;
  *at = d->next;
  d->c->in_flight--;
  arena_free(&d->a);
  eng_put(e, d, sizeof *d);
}

void eng_out_close(eng_conn *c) {
  while (c->flying) {
    if (c->flying->call.active) eng_call_cancel(&c->flying->call);
    dlv_free(c->flying);
  }
}

void eng_out_note_flying(eng_conn *c) {
  uint64_t ids[256];
  uint32_t n = 0;
  for (const eng_dlv *d = c->flying; d && n < 256; d = d->next)
    if (d->call.active && d->call.placed && !d->moved) ids[n++] = d->id;
  eng_conn_note_flying(c, ids, n);
}

eng_call *eng_out_flying_call(eng_conn *c) { return c->flying ? &c->flying->call : NULL; }

static bool is_flying(const eng_conn *c, uint64_t id) {
  for (const eng_dlv *d = c->flying; d; d = d->next)
    if (d->id == id) return true;
  return false;
}

/* ---- results ------------------------------------------------------------------------------------------------------------------- */

static void on_result(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_dlv *d = (eng_dlv *)user;
  eng_conn *c = d->c;
  (void)s, (void)rec;
  dlv_free(d);
  eng_out_new(e, c);
}

/* Counted from its first failure: waiting for an open breaker, for opening hours or for an operator is no failure of the delivery. */
static bool gives_up(const eng_dlv *d) {
  return d->row.failing_us && eng_clock_us(d->e) - d->row.failing_us > eng_give_up_us(d->c);
}

uint8_t eng_out_dead_state(const eng_conn *c, const uint8_t lane[REC_LANE]) {
  static const uint8_t none[REC_LANE] = {0};
  bool ordered = c->driver->in_order || memcmp(lane, none, REC_LANE) != 0;
  return c->hold_dead && ordered && !HDW_BROKEN("queue.hold") ? DELIVERY_PARKED : DELIVERY_DEAD;
}

static void dead(eng_dlv *d, rec_delivery_result *r) {
  eng_conn *c = d->c;
  char id[24];
  snprintf(id, sizeof id, "%llu", (unsigned long long)d->id);
  r->state = eng_out_dead_state(c, d->row.lane);
  c->dead++;
  eng_say(d->e, ENGINE_WARN, "delivery_dead", "delivery", id, "sink", c->name, "code", d->call.code, "reason", d->call.message, "queue",
          r->state == DELIVERY_PARKED ? "held" : "goes on", NULL);
}

/* The connection was replaced while the attempt was under way, by one that goes elsewhere. */
static bool elsewhere(const eng_dlv *d) {
  const eng_conn *now = d->c;
  while (now->replaced_by) now = now->replaced_by;
  return memcmp(now->address, d->c->address, REC_LANE) != 0;
}

static void failed(eng_dlv *d, rec_delivery_result *r) {
  engine *e = d->e;
  eng_conn *c = d->c;
  eng_call *call = &d->call;
  uint8_t klass = call->fail_class;
  bool unsure = klass == FAIL_AMBIGUOUS || (d->row.failing_us && d->row.fail_class == FAIL_AMBIGUOUS);
  if (klass == FAIL_AMBIGUOUS && !d->moved && !call->once && strcmp(c->cfg->o.ambiguous, "stop")) klass = FAIL_TRANSIENT;
  r->fail_class = klass;
  r->error_code = cod_cstr(call->code), r->error_text = cod_cstr(call->message);
  if (klass == FAIL_TRANSIENT && unsure && elsewhere(d)) {
    eng_call_fail(call, FAIL_AMBIGUOUS, 0, "ambiguous", "%s", eng_moved_text());
    r->error_code = cod_cstr(call->code), r->error_text = cod_cstr(call->message);
    klass = r->fail_class = FAIL_AMBIGUOUS;
  }
  if (klass != FAIL_TRANSIENT || gives_up(d)) {
    dead(d, r);
    return;
  }
  /* Not even tried: whether the attempt of an earlier life arrived is as unknown as before. */
  bool untried = call->judged && !HDW_BROKEN("line.forgotten");
  r->state = untried ? d->row.state : DELIVERY_PENDING;
  if (HDW_BROKEN("send.once")) r->state = DELIVERY_DELIVERED;
  if (unsure) r->fail_class = FAIL_AMBIGUOUS; /* the same key again, as long as it is the same address */
  if (c->open) return; /* the breaker says when */
  int64_t wait = eng_backoff(e, c->retry_from_us, c->retry_to_us, d->row.attempts);
  if (wait < call->retry_after_us) wait = call->retry_after_us;
  r->next_us = eng_clock_us(e) + eng_retry_after(c, wait);
}

/* Looked for again when there is space, or memory. */
static void look_again(eng_conn *c) {
  int64_t until = io_mono_us(c->e->io) + 1000000;
  if (until > c->hold_until_us) c->hold_until_us = until; /* what the peer asked for stays */
  eng_conn_arm(c);
}

/* The log cannot take what must be written, or the state does not say what is to be sent. */
static void not_now(eng_dlv *d) {
  eng_conn *c = d->c;
  dlv_free(d);
  look_again(c);
}

/* What the state says of a queue: nobody else comes to look when it cannot say it now. */
static bool said(eng_conn *c, hdw_status s) {
  if (!eng_state_said(c->e, s) && !HDW_BROKEN("queue.unread")) c->unread = true;
  return !s;
}

/* The row as it is, in another state; attempts: those that were made. */
static hdw_status mark(eng_dlv *d, uint8_t state, uint32_t attempts, eng_durable done) {
  rec_delivery_result r = {.delivery = d->id, .state = state, .attempts = attempts, .next_us = d->row.next_us, .error_code = d->row.error_code, .error_text = d->row.error_text};
  if (state == DELIVERY_INFLIGHT) r.fail_class = d->row.fail_class;
  cod_w w = eng_writer(d->e);
  hdw_status s = rec_put_delivery_result(&w, &r);
  return s ? s : eng_append_rec(d->e, REC_DELIVERY_RESULT, &w, NULL, 0, done, d, NULL);
}

static void delivered(eng_call *call, void *user) {
  eng_dlv *d = (eng_dlv *)user;
  engine *e = d->e;
  if (call->held) { /* no attempt was made: it is where it was */
    eng_conn *c = d->c;
    if (d->marked && !mark(d, DELIVERY_PENDING, d->row.attempts, on_result)) return;
    dlv_free(d);
    eng_out_new(e, c); /* what held it may be over already */
    return;
  }
  rec_delivery_result r = {.delivery = d->id, .state = DELIVERY_DELIVERED, .attempts = call->attempt};
  buf b;
  buf_init(&b, &d->a, 65536);
  if (call->ok) {
    pack_hl7 h = eng_pack_hooks(e);
    d->c->delivered++;
    if (pack_val(&b, call->result, &h)) b.len = 0; /* a long answer is not kept */
  } else failed(d, &r);
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_delivery_result(&w, &r);
  if (!s) s = eng_append_rec(e, REC_DELIVERY_RESULT, &w, b.p, b.status ? 0 : b.len, on_result, d, NULL);
  if (s) not_now(d); /* it stays pending in the store: delivered again with the same key */
}

/* ---- sending --------------------------------------------------------------------------------------------------------------------- */

/* A second one would be a second effect. Where the outcome is unknown a person decides: always on a careful connection, else with ambiguous: stop. */
static bool unsafe(eng_call *call) {
  const eng_conn *c = call->c;
  return c->driver->unsafe && (c->careful || !strcmp(c->cfg->o.ambiguous, "stop")) && c->driver->unsafe(call);
}

static void on_marked(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_dlv *d = (eng_dlv *)user;
  (void)rec;
  d->c->marking--;
  if (e->closing || e->failed) dlv_free(d);
  else if (s) not_now(d);
  else eng_call_start(&d->call);
}

/* True: an attempt began. */
static bool start(engine *e, eng_conn *c, uint64_t id) {
  eng_dlv *d = (eng_dlv *)eng_get(e, sizeof *d);
  if (!d) return said(c, HDW_E_NOMEM);
  d->e = e, d->c = c, d->id = id;
  arena_init(&d->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  d->next = c->flying;
  c->flying = d;
  c->in_flight++;
  log_rec rec;
  eng_call *call = &d->call;
  *call = (eng_call){.e = e, .c = c, .a = &d->a, .delivery = id, .writes = true, .done = delivered, .user = d};
  hdw_status s = store_get_delivery(e->store, ENG_PART, id, &d->a, &d->row);
  if (s) { /* what it is and how it stands is not known now */
    (void)eng_state_said(e, s);
    not_now(d);
    return true;
  }
  s = eng_read(e, d->row.pos, &d->a, &rec);
  if (!s) s = engine_unpack(e, &d->a, rec.body, rec.body_len, &call->request);
  bool later = s == HDW_E_IO || s == HDW_E_FULL || (s == HDW_E_NOMEM && !d->a.over_limit); /* it may be read the next time */
  call->attempt = d->row.attempts + 1;
  call->run = d->row.run;
  call->path = arena_dup(&d->a, d->row.path.p, d->row.path.len);
  call->workflow = "";
  eng_hex(d->row.idempotency, 16, call->idem);
  const char *dot = s ? NULL : (const char *)memchr(d->row.operation.p, '.', d->row.operation.len);
  if (dot) snprintf(call->op, sizeof call->op, "%.*s", (int)(d->row.operation.p + d->row.operation.len - dot - 1), dot + 1);
  store_run run;
  if (!s && !store_get_run(e->store, ENG_PART, d->row.run, &d->a, &run)) call->workflow = arena_dup(&d->a, run.workflow.p, run.workflow.len);
  bool once = !s && unsafe(call);
  d->moved = !s && d->row.failing_us && d->row.fail_class == FAIL_AMBIGUOUS && d->row.changed_us < c->moved_us;
  if (d->moved) {
    call->attempt = d->row.attempts;
    call->judged = call->unasked = true;
    eng_call_fail(call, FAIL_AMBIGUOUS, 0, "ambiguous", "%s", eng_moved_text());
    eng_call_later(call);
    return true;
  }
  if (once && d->row.state == DELIVERY_INFLIGHT) {
    call->attempt = d->row.attempts;
    call->judged = call->unasked = call->once = true;
    eng_call_fail(call, FAIL_AMBIGUOUS, 0, "ambiguous", "it is unknown whether it arrived before the restart");
    eng_call_later(call);
    return true;
  }
  if (s) {
    call->judged = call->unasked = true;
    eng_call_fail(call, later ? FAIL_TRANSIENT : FAIL_DATA, 0, hdw_status_name(s), "the recorded request cannot be read");
    eng_call_later(call);
    return true;
  }
  if (once) {
    d->marked = !mark(d, DELIVERY_INFLIGHT, call->attempt, on_marked);
    if (d->marked) c->marking++;
    else not_now(d);
    return true;
  }
  eng_call_start(call);
  return true;
}

/* Ids of a queue, or heads of its lanes. */
typedef struct heads {
  eng_conn *c;
  uint32_t n, want;
  bool more;                 /* stopped because of want */
  uint64_t id[SCAN_MAX];
  uint8_t state[SCAN_MAX];
  uint8_t lane[SCAN_MAX][REC_LANE]; /* of lane_head */
} heads;
static bool head_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  heads *h = (heads *)user;
  (void)part;
  h->state[h->n] = state, h->id[h->n++] = id;
  h->more = h->n == h->want;
  return !h->more;
}

static bool lane_head(const uint8_t lane[REC_LANE], uint64_t id, uint8_t state, void *user) {
  heads *h = (heads *)user;
  memcpy(h->lane[h->n], lane, REC_LANE);
  return head_one(ENG_PART, id, state, user);
}

static const uint8_t no_lane[REC_LANE] = {0};

static bool only_head(uint16_t part, uint64_t id, uint8_t state, void *user) {
  (void)part, (void)state;
  *(uint64_t *)user = id;
  return false;
}

bool eng_out_first(engine *e, eng_conn *c, const store_delivery *d) {
  for (unsigned i = 0; d->nmore && i <= d->nmore; i++) {
    uint64_t head = 0;
    (void)said(c, store_list_queue(e->store, ENG_PART, cod_cstr(c->name), i ? d->more[i - 1] : d->lane, 0, 1, only_head, &head));
    if (head != d->id) return false;
  }
  return true;
}

/* Whether it may go now. A breaker's probe does not wait for its own time: that was chosen while the sink was down. */
static bool due(engine *e, eng_conn *c, uint64_t id) {
  arena a;
  store_delivery d;
  arena_init(&a, e->mem, 65536);
  bool ok = !eng_discarding(e, SUBJECT_DELIVERY, id) && said(c, store_get_delivery(e->store, ENG_PART, id, &a, &d));
  if (ok) {
    ok = (d.state == DELIVERY_PENDING || d.state == DELIVERY_INFLIGHT) && (c->driver->in_order || eng_out_first(e, c, &d));
    if (ok && !c->open && d.next_us > eng_clock_us(e)) {
      eng_wake_at(e, d.next_us);
      ok = false;
    }
  }
  arena_free(&a);
  return ok && !is_flying(c, id);
}

static uint32_t oldest(const heads *h) {
  uint32_t first = 0;
  for (uint32_t i = 1; i < h->n; i++)
    if (h->id[i] < h->id[first]) first = i;
  return first;
}

/* The oldest over all lanes, and nothing before it is done; a dead one that holds stops them all (H-21). */
static uint32_t pump_in_order(engine *e, eng_conn *c, heads *h) {
  uint32_t first = oldest(h);
  c->held_by = 0;
  if (!h->n) return 0;
  if (h->state[first] == DELIVERY_PARKED) c->held_by = h->id[first];
  else if (!c->in_flight && due(e, c, h->id[first])) return start(e, c, h->id[first]);
  return 0;
}

/* Without a lane there is no order to keep: as many as there is room for. */
static uint32_t pump_no_lane(engine *e, eng_conn *c, heads *h) {
  uint32_t started = 0;
  *h = (heads){.c = c, .want = SCAN_MAX};
  (void)said(c, store_list_queue(e->store, ENG_PART, cod_cstr(c->name), no_lane, 0, SCAN_MAX, head_one, h));
  for (uint32_t i = 0; i < h->n && eng_conn_room(c); i++)
    if (h->state[i] != DELIVERY_PARKED && due(e, c, h->id[i])) started += start(e, c, h->id[i]);
  return started;
}

/* Heads of lanes from where the last look ended, round and round, so that no lane is forgotten however many there are. *around: all of them were looked at. */
static uint32_t pump_lanes(engine *e, eng_conn *c, heads *h, bool *around) {
  uint32_t started = 0;
  static const uint8_t start_of_all[REC_LANE];
  *h = (heads){.c = c, .want = SCAN_MAX};
  if (!memcmp(c->lane_at, start_of_all, REC_LANE)) c->whole = true;
  (void)said(c, store_list_heads(e->store, ENG_PART, cod_cstr(c->name), c->lane_at, SCAN_MAX, lane_head, h));
  *around = false;
  for (uint32_t i = 0; i < h->n; i++) {
    if (!eng_conn_room(c)) {
      c->whole = false;
      return started;
    }
    if (h->state[i] == DELIVERY_PARKED && !c->held_by) c->held_by = h->id[i];
    memcpy(c->lane_at, h->lane[i], REC_LANE);
    if (h->state[i] != DELIVERY_PARKED && due(e, c, h->id[i])) started += start(e, c, h->id[i]);
  }
  if (h->more) return started;
  memset(c->lane_at, 0, REC_LANE);
  *around = c->whole || HDW_BROKEN("lanes.half"); /* else what lies before where it began comes next */
  return started;
}

static void on_pump(void *user) {
  eng_conn *c = (eng_conn *)user;
  engine *e = c->e;
  int64_t wait;
  if (e->draining || e->failed || c->replaced_by || c->settling) return;
  for (const eng_conn *p = c->replaces; p; p = p->replaces)
    if (p->in_flight) return; /* its end comes back here: order holds over a change of the connection */
  if (eng_conn_hold(c, true, &wait) != HOLD_NONE) {
    eng_conn_arm(c);
    return;
  }
  if (!eng_conn_room(c)) {
    c->starved = true;
    return;
  }
  heads h = {.c = c, .want = SCAN_MAX};
  uint32_t started;
  if (c->driver->in_order) {
    (void)said(c, store_list_queue(e->store, ENG_PART, cod_cstr(c->name), NULL, 0, SCAN_MAX, head_one, &h));
    started = pump_in_order(e, c, &h);
  } else {
    bool around = false;
    started = pump_no_lane(e, c, &h);
    if (!c->looked) c->held_by = 0;
    if (eng_conn_room(c)) started += pump_lanes(e, c, &h, &around);
    c->looked = around ? 0 : c->looked + 1;
    if (!around && eng_conn_room(c)) { /* further lanes, but others first */
      io_timer_set(e->io, &c->pump, 0, on_pump, c);
      return;
    }
  }
  if (!eng_conn_room(c)) c->starved = true;
  if (c->unread) {
    c->unread = false;
    look_again(c);
  }
  if (c->open && !started && !c->probing) eng_conn_probe_run(c);
}

bool eng_out_late(eng_conn *c, int64_t us) {
  engine *e = c->e;
  heads h = {.c = c, .want = SCAN_MAX};
  int64_t now = eng_clock_us(e);
  bool late = false;
  (void)store_list_queue(e->store, ENG_PART, cod_cstr(c->name), NULL, 0, SCAN_MAX, head_one, &h);
  for (uint32_t i = 0; i < h.n && !late; i++) {
    arena a;
    store_delivery d;
    if (c->driver->in_order && i != oldest(&h)) continue; /* waits for that one, dead or alive */
    arena_init(&a, e->mem, 65536);
    late = !store_get_delivery(e->store, ENG_PART, h.id[i], &a, &d) && d.state == DELIVERY_PENDING && d.changed_us < now - us && d.next_us < now - us &&
           (c->driver->in_order || eng_out_first(e, c, &d));
    arena_free(&a);
  }
  return late;
}
