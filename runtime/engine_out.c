/* engine_out.c - the outbox: each sink's queue, first in first out within a lane, delivered when its run is long over or before.
 *
 * The store keeps the queues; in memory are only the deliveries in flight. A transient failure holds the whole sink for a while (it is most likely
 * the sink, not the message), then one probe goes out; the first success opens it again. */
#include <stdio.h>
#include "engine_int.h"

struct eng_dlv {
  engine *e;
  eng_conn *c;
  eng_dlv *next;
  uint64_t id;
  arena a;
  store_delivery row;
  eng_call call;
};

enum { SCAN_MAX = 256 };

static void on_pump(void *user);

void eng_out_new(engine *e, eng_conn *c) {
  while (c->replaced_by) c = c->replaced_by; /* the queue belongs to the connection of the current deployment */
  if (e->started && !e->draining && !e->closing && !c->pump.set) io_timer_set(e->io, &c->pump, 0, on_pump, c);
}

void eng_out_start(engine *e) {
  for (uint32_t i = 0; i < e->nconns; i++) eng_out_new(e, e->conns[i]);
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

static bool gives_up(const eng_dlv *d) { return io_wall_us(d->e->io) - d->row.created_us > d->e->o.config->top.give_up_ms * 1000; }

static void failed(eng_dlv *d, rec_delivery_result *r) {
  engine *e = d->e;
  eng_conn *c = d->c;
  eng_call *call = &d->call;
  uint8_t klass = call->fail_class;
  if (klass == FAIL_AMBIGUOUS && strcmp(c->cfg->o.ambiguous, "stop")) klass = FAIL_TRANSIENT;
  c->failed++;
  r->fail_class = klass;
  r->error_code = cod_cstr(call->code), r->error_text = cod_cstr(call->message);
  eng_call_text(call, c->last_error);
  if (klass == FAIL_TRANSIENT && !gives_up(d)) {
    int64_t wait = eng_backoff(e, c->retry_from_us, c->retry_to_us, c->failures);
    if (wait < call->retry_after_us) wait = call->retry_after_us;
    c->failures++;
    int64_t until = io_mono_us(e->io) + wait;
    if (until > c->hold_until_us) c->hold_until_us = until;
    r->state = DELIVERY_PENDING;
    r->next_us = io_wall_us(e->io) + wait;
    return;
  }
  char id[24];
  snprintf(id, sizeof id, "%llu", (unsigned long long)d->id);
  r->state = DELIVERY_DEAD;
  c->dead++;
  eng_say(e, ENGINE_WARN, "delivery_dead", "delivery", id, "sink", c->name, "code", call->code, "reason", call->message, NULL);
}

static void delivered(eng_call *call, void *user) {
  eng_dlv *d = (eng_dlv *)user;
  engine *e = d->e;
  rec_delivery_result r = {.delivery = d->id, .state = DELIVERY_DELIVERED, .attempts = call->attempt};
  buf b;
  buf_init(&b, &d->a, 65536);
  if (call->ok) {
    pack_hl7 h = eng_pack_hooks(e);
    d->c->delivered++;
    d->c->failures = 0;
    d->c->hold_until_us = 0;
    if (pack_val(&b, call->result, &h)) b.len = 0; /* a long answer is not kept */
  } else failed(d, &r);
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_delivery_result(&w, &r);
  if (!s) s = eng_append_rec(e, REC_DELIVERY_RESULT, &w, b.p, b.status ? 0 : b.len, on_result, d, NULL);
  if (s) { /* it stays pending in the store: delivered again with the same key when there is space */
    eng_conn *c = d->c;
    c->hold_until_us = io_mono_us(e->io) + 1000000;
    dlv_free(d);
    eng_out_new(e, c);
  }
}

/* ---- sending --------------------------------------------------------------------------------------------------------------------- */

/* Not before its next_us: then eng_wake comes back. */
static void start(engine *e, eng_conn *c, uint64_t id) {
  eng_dlv *d = (eng_dlv *)eng_get(e, sizeof *d);
  if (!d) return;
  d->e = e, d->c = c, d->id = id;
  arena_init(&d->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  d->next = c->flying;
  c->flying = d;
  c->in_flight++;
  log_rec rec;
  eng_call *call = &d->call;
  *call = (eng_call){.e = e, .c = c, .a = &d->a, .delivery = id, .done = delivered, .user = d};
  hdw_status s = store_get_delivery(e->store, ENG_PART, id, &d->a, &d->row);
  if (!s && d->row.state != DELIVERY_PENDING && d->row.state != DELIVERY_PARKED && d->row.state != DELIVERY_INFLIGHT) {
    dlv_free(d);
    return;
  }
  if (!s && d->row.next_us > io_wall_us(e->io)) {
    eng_wake_at(e, d->row.next_us);
    dlv_free(d);
    return;
  }
  if (!s) s = log_read(e->log, d->row.pos, &d->a, &rec);
  if (!s) s = engine_unpack(e, &d->a, rec.body, rec.body_len, &call->request);
  call->attempt = d->row.attempts + 1;
  call->run = d->row.run;
  call->path = arena_dup(&d->a, d->row.path.p, d->row.path.len);
  call->workflow = "";
  eng_hex(d->row.idempotency, 16, call->idem);
  const char *dot = s ? NULL : (const char *)memchr(d->row.operation.p, '.', d->row.operation.len);
  if (dot) snprintf(call->op, sizeof call->op, "%.*s", (int)(d->row.operation.p + d->row.operation.len - dot - 1), dot + 1);
  store_run run;
  if (!s && !store_get_run(e->store, ENG_PART, d->row.run, &d->a, &run)) call->workflow = arena_dup(&d->a, run.workflow.p, run.workflow.len);
  if (s) {
    eng_call_fail(call, FAIL_DATA, 0, hdw_status_name(s), "the recorded request cannot be read");
    eng_call_later(call);
    return;
  }
  eng_call_start(call);
}

typedef struct heads {
  eng_conn *c;
  uint32_t n, want;
  uint64_t id[SCAN_MAX];
} heads;
static bool head_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  heads *h = (heads *)user;
  (void)part, (void)state;
  if (!is_flying(h->c, id)) h->id[h->n++] = id;
  return h->n < h->want;
}

static void on_hold_over(void *user) {
  eng_conn *c = (eng_conn *)user;
  eng_out_new(c->e, c);
}

static void on_pump(void *user) {
  eng_conn *c = (eng_conn *)user;
  engine *e = c->e;
  if (e->draining || e->failed || c->paused) return;
  for (const eng_conn *p = c->replaces; p; p = p->replaces)
    if (p->in_flight) return; /* its end comes back here: order holds over a change of the connection */
  int64_t now = io_mono_us(e->io);
  if (c->hold_until_us > now) {
    if (!c->timer.set) io_timer_set(e->io, &c->timer, c->hold_until_us - now, on_hold_over, c);
    return;
  }
  uint32_t room = (uint32_t)c->cfg->o.in_flight;
  if (c->failures) room = 1; /* a probe */
  if (c->driver->in_order) room = 1;
  if (c->in_flight >= room) return;
  heads h = {.c = c, .want = SCAN_MAX};
  static const uint8_t no_lane[REC_LANE] = {0};
  cod_str sink = cod_cstr(c->name);
  (void)store_list_queue(e->store, ENG_PART, sink, NULL, 0, SCAN_MAX, head_one, &h);
  if (c->driver->in_order) { /* the oldest over all lanes, and nothing before it is done */
    uint64_t first = h.n ? h.id[0] : 0;
    for (uint32_t i = 1; i < h.n; i++)
      if (h.id[i] < first) first = h.id[i];
    if (first) start(e, c, first);
    return;
  }
  /* Without a lane there is no order to keep: as many as there is room for. */
  if (h.n < h.want) (void)store_list_queue(e->store, ENG_PART, sink, no_lane, 0, room, head_one, &h);
  for (uint32_t i = 0; i < h.n && c->in_flight < room; i++)
    if (!is_flying(c, h.id[i])) start(e, c, h.id[i]);
}
