/* admin_act.c - what operators do: redrive, discard, skip, pause, resume, reprocess; and what each would do, before it is done.
 *
 * A selection is an id (with subject), a lane, or a filter over the dead letters: sink, workflow, code, since, all. GET /select lists it, the POST with the
 * same parameters acts on it. */
#include <stdio.h>
#include <stdlib.h>
#include "admin_int.h"
#include "json.h"

enum { MANY = 4096 };

typedef struct subject {
  uint8_t subject;
  uint64_t id;
} subject;
typedef struct selection {
  admin_query *q;
  const char *sink, *workflow, *code, *lane;
  int64_t since_us;
  bool holding;              /* only what holds a lane or a queue */
  uint8_t subject;           /* being listed */
  subject *list;
  uint32_t n;
  bool more;
} selection;

static bool is(cod_str s, const char *want) { return !want || cod_equal(s, cod_cstr(want)); }

static bool run_fits(selection *x, const store_run *r) {
  if (x->sink || !is(r->workflow, x->workflow) || !is(r->error_code, x->code) || r->changed_us < x->since_us) return false;
  return !x->holding || (r->nlanes && !(r->flags & RUN_F_LANE_SKIP));
}

static bool delivery_fits(selection *x, const store_delivery *d) {
  store_run r;
  if (!is(d->sink, x->sink) || !is(d->error_code, x->code) || d->changed_us < x->since_us || (x->holding && d->state != DELIVERY_PARKED)) return false;
  return !x->workflow || (!store_get_run(x->q->ad->e->store, ENG_PART, d->run, x->q->a, &r) && is(r.workflow, x->workflow));
}

static bool select_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  selection *x = (selection *)user;
  store *s = x->q->ad->e->store;
  store_run r;
  store_delivery d;
  bool fits;
  (void)part, (void)state;
  if (x->subject == SUBJECT_RUN) fits = !store_get_run(s, ENG_PART, id, x->q->a, &r) && run_fits(x, &r);
  else fits = !store_get_delivery(s, ENG_PART, id, x->q->a, &d) && delivery_fits(x, &d);
  if (!fits) return true;
  if (x->n == MANY) {
    x->more = true;
    return false;
  }
  x->list[x->n++] = (subject){x->subject, id};
  return true;
}

/* 0, or an error's status. */
static int select_from(admin_query *q, bool holding, selection *x) {
  const char *id = admin_param(q, "id"), *kind = admin_param(q, "subject"), *since = admin_param(q, "since");
  uint64_t since_us = 0;
  *x = (selection){.q = q, .sink = admin_param(q, "sink"), .workflow = admin_param(q, "workflow"), .code = admin_param(q, "code"), .holding = holding};
  x->list = (subject *)arena_zalloc(q->a, MANY, sizeof *x->list);
  if (!x->list) return admin_error(q, 503, "out of memory");
  if (kind && strcmp(kind, "run") != 0 && strcmp(kind, "delivery") != 0) return admin_error(q, 400, "subject: run or delivery is expected");
  bool delivery = kind && !strcmp(kind, "delivery");
  if (id) {
    if (!admin_id(id, &x->list[0].id)) return admin_error(q, 400, "id: a number is expected");
    x->list[0].subject = delivery ? SUBJECT_DELIVERY : SUBJECT_RUN;
    x->n = 1;
    return 0;
  }
  if (since && !admin_id(since, &since_us)) return admin_error(q, 400, "since: microseconds are expected");
  x->since_us = (int64_t)since_us;
  if (!x->sink && !x->workflow && !x->code && !since && !admin_param(q, "all")) return admin_error(q, 400, "say which: an id, or a filter (sink, workflow, code, since, all)");
  for (unsigned i = 0; i < 2; i++) {
    x->subject = i ? SUBJECT_DELIVERY : SUBJECT_RUN;
    if (!kind || delivery == (i == 1)) (void)store_list_dead(q->ad->e->store, ENG_PART, x->subject, 0, 0, select_one, x);
  }
  return 0;
}

/* The rows of a selection, as /dead writes them. */
int admin_select(admin_query *q) {
  selection x;
  const char *what = admin_param(q, "for");
  int bad = select_from(q, what && !strcmp(what, "skip-lane"), &x);
  if (bad) return bad;
  buf_puts(q->b, "[");
  for (uint32_t i = 0; i < x.n; i++) {
    store_run r;
    buf_puts(q->b, i ? ",{\"subject\":" : "{\"subject\":");
    if (x.list[i].subject == SUBJECT_DELIVERY) {
      buf_puts(q->b, "\"delivery\",");
      admin_delivery_row(q, x.list[i].id, false);
    } else {
      buf_puts(q->b, "\"run\",");
      if (store_get_run(q->ad->e->store, ENG_PART, x.list[i].id, q->a, &r)) return admin_error(q, 404, "run %llu: not found", (unsigned long long)x.list[i].id);
      admin_run_row(q, &r);
    }
    buf_puts(q->b, "}");
  }
  buf_puts(q->b, "]");
  return 200;
}

/* ---- acting ---------------------------------------------------------------------------------------------------------------------- */

typedef struct acting {
  admin *ad;
  admin_later *later;
  uint32_t open, ok, refused;
  bool started, more;
} acting;

static void acted(acting *x) {
  char body[120];
  if (x->open || !x->started) return;
  int n = snprintf(body, sizeof body, "{\"done\":%u,\"refused\":%u%s}", x->ok, x->refused, x->more ? ",\"more\":true" : "");
  admin_later_reply(x->later, 200, body, (size_t)n);
  x->ad->io->mem->put(x->ad->io->mem, x, sizeof *x);
}

static void on_act(void *user, hdw_status s) {
  acting *x = (acting *)user;
  x->open--;
  x->ok += !s, x->refused += s != HDW_OK;
  acted(x);
}

static acting *acting_new(admin_query *q) {
  mem *m = q->ad->io->mem;
  acting *x = (acting *)m->get(m, sizeof *x);
  admin_later *l = x ? admin_later_new(q) : NULL;
  if (l) *x = (acting){.ad = q->ad, .later = l};
  else if (x) m->put(m, x, sizeof *x), x = NULL;
  return x;
}

/* Nothing was begun: the answer comes from the view itself. */
static int acting_drop(acting *x, admin_query *q, int status, const char *text) {
  mem *m = q->ad->io->mem;
  admin_later_drop(x->later);
  m->put(m, x, sizeof *x);
  return admin_error(q, status, "%s", text);
}

static int acting_go(acting *x) {
  x->started = true;
  acted(x);
  return ADMIN_LATER;
}

typedef enum deed { REDRIVE, DISCARD, SKIP } deed;
static hdw_status deed_one(acting *x, deed what, subject s, const char *who, const char *reason) {
  engine *e = x->ad->e;
  switch (what) {
  case REDRIVE: return engine_redrive(e, s.subject, s.id, who, on_act, x);
  case DISCARD: return engine_discard(e, s.subject, s.id, who, reason, on_act, x);
  default: return engine_skip(e, s.subject, s.id, who, on_act, x);
  }
}

static int act(admin_query *q, deed what) {
  static const char *const cannot[] = {"it is no dead letter", "it is neither a dead letter nor waiting", "it holds nothing up"};
  selection sel;
  int bad = select_from(q, what == SKIP, &sel);
  if (bad) return bad;
  const char *who = admin_actor(q), *reason = admin_param(q, "reason");
  acting *x = acting_new(q);
  hdw_status s = HDW_OK;
  if (!x) return admin_error(q, 503, "out of memory");
  x->more = sel.more;
  for (uint32_t i = 0; i < sel.n; i++) {
    x->open++;
    s = deed_one(x, what, sel.list[i], who, reason ? reason : "");
    if (s) x->open--, x->refused++;
  }
  if (sel.n == 1 && s) return acting_drop(x, q, s == HDW_E_NOTFOUND ? 404 : 409, s == HDW_E_NOTFOUND ? "not found" : cannot[what]);
  return acting_go(x);
}

int admin_redrive(admin_query *q) { return act(q, REDRIVE); }
int admin_discard(admin_query *q) { return act(q, DISCARD); }

static bool lane_hash(const char *s, uint8_t out[REC_LANE]) {
  if (strlen(s) != 2 * REC_LANE || strspn(s, "0123456789abcdef") != 2 * REC_LANE) return false;
  for (unsigned i = 0; i < REC_LANE; i++) {
    char two[3] = {s[2 * i], s[2 * i + 1], 0};
    out[i] = (uint8_t)strtoul(two, NULL, 16);
  }
  return true;
}

/* lane=HASH: the run that holds this lane; else a selection. */
int admin_skip_lane(admin_query *q) {
  const char *lane = admin_param(q, "lane"), *reason = admin_param(q, "reason");
  uint8_t hash[REC_LANE];
  if (!lane) return act(q, SKIP);
  if (!lane_hash(lane, hash)) return admin_error(q, 400, "lane: 32 hexadecimal digits are expected (hdwvm lanes lists them)");
  acting *x = acting_new(q);
  if (!x) return admin_error(q, 503, "out of memory");
  x->open = 1;
  hdw_status s = engine_skip_lane(q->ad->e, hash, admin_actor(q), reason ? reason : "", on_act, x);
  if (s) return acting_drop(x, q, s == HDW_E_NOTFOUND ? 404 : 409, s == HDW_E_NOTFOUND ? "nothing is in that lane" : "the first run of that lane is at work");
  return acting_go(x);
}

/* sink= or workflow=; name= takes either, connections first. */
static int pause_or_resume(admin_query *q, bool pause) {
  const char *sink = admin_param(q, "sink"), *wf = admin_param(q, "workflow"), *name = admin_param(q, "name");
  if (name) *(eng_conn_find(q->ad->e, name, strlen(name)) ? &sink : &wf) = name;
  if (!sink && !wf) return admin_error(q, 400, "say which connection or workflow");
  acting *x = acting_new(q);
  if (!x) return admin_error(q, 503, "out of memory");
  x->open = 1;
  hdw_status s = sink ? engine_pause(q->ad->e, sink, pause, admin_actor(q), on_act, x) : engine_pause_workflow(q->ad->e, wf, pause, admin_actor(q), on_act, x);
  if (s) return acting_drop(x, q, s == HDW_E_NOTFOUND ? 404 : 503, s == HDW_E_NOTFOUND ? "there is no connection or workflow of that name" : "not now");
  return acting_go(x);
}

int admin_pause(admin_query *q) { return pause_or_resume(q, true); }
int admin_resume(admin_query *q) { return pause_or_resume(q, false); }
