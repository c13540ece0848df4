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

typedef enum deed { REDRIVE, DISCARD, SKIP, CANCEL } deed;
static hdw_status deed_one(acting *x, deed what, subject s, const char *who, const char *reason) {
  engine *e = x->ad->e;
  switch (what) {
  case REDRIVE: return engine_redrive(e, s.subject, s.id, who, on_act, x);
  case CANCEL: return s.subject == SUBJECT_RUN ? engine_cancel(e, s.id, who, reason, on_act, x) : HDW_E_INVALID;
  case DISCARD: return engine_discard(e, s.subject, s.id, who, reason, on_act, x);
  default: return engine_skip(e, s.subject, s.id, who, on_act, x);
  }
}

/* Once for the whole selection: nothing of it is refused in the middle. hdwvm asks again by itself. */
static int not_now(admin_query *q) {
  return eng_retain_takes(q->ad->e) ? admin_error(q, 503, "retention takes something away at this moment: again in a second") : 0;
}

static int act(admin_query *q, deed what) {
  static const char *const cannot[] = {"it is no dead letter", "it is neither a dead letter nor waiting", "it holds nothing up", "it has ended already (hdwvm discard gives up what is dead)"};
  selection sel;
  int bad = select_from(q, what == SKIP, &sel);
  if (!bad && what == REDRIVE) bad = not_now(q);
  if (bad) return bad;
  const char *who = admin_actor(q), *reason = admin_param(q, "reason");
  if (reason && strlen(reason) > ENG_REASON_MAX) return admin_error(q, 400, "reason: at most %d bytes", ENG_REASON_MAX);
  acting *x = acting_new(q);
  hdw_status s = HDW_OK;
  if (!x) return admin_error(q, 503, "out of memory");
  x->more = sel.more;
  for (uint32_t i = 0; i < sel.n; i++) {
    x->open++;
    s = deed_one(x, what, sel.list[i], who, reason ? reason : "");
    if (s) x->open--, x->refused++;
  }
  if (sel.n == 1 && s == HDW_E_NOTFOUND) return acting_drop(x, q, 404, "not found");
  if (sel.n == 1 && s == HDW_E_EXISTS) return acting_drop(x, q, 409, "a later run of the same input has its place, and beside it it would do everything once more (hdwvm discard gives it up)");
  if (sel.n == 1 && s) return acting_drop(x, q, s == HDW_E_INVALID ? 409 : 503, s == HDW_E_INVALID ? cannot[what] : "it cannot be looked up or recorded now; try it again");
  return acting_go(x);
}

int admin_redrive(admin_query *q) { return act(q, REDRIVE); }
int admin_discard(admin_query *q) { return act(q, DISCARD); }
int admin_cancel(admin_query *q) { return admin_param(q, "id") ? act(q, CANCEL) : admin_error(q, 400, "id: the number of a run is expected"); }

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
  if (reason && strlen(reason) > ENG_REASON_MAX) return admin_error(q, 400, "reason: at most %d bytes", ENG_REASON_MAX);
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

/* ---- reprocess ------------------------------------------------------------------------------------------------------------------- */

/* Inputs: id=MESSAGE; subject=run&id=RUN; workflow=W with since=T (everything that came), sink, code or all (the inputs of dead letters). */
typedef struct inputs {
  admin_query *q;
  const char *workflow;
  uint64_t *id;
  uint32_t n;
  bool more;
} inputs;

static bool inputs_add(inputs *x, uint64_t id) {
  for (uint32_t i = x->n; i-- > 0;)
    if (x->id[i] == id) return true;
  if (x->n == MANY) {
    x->more = true;
    return false;
  }
  x->id[x->n++] = id;
  return true;
}

typedef struct has_run {
  inputs *x;
  bool found;
} has_run;
static bool run_of_workflow(uint16_t part, uint64_t id, uint8_t state, void *user) {
  has_run *h = (has_run *)user;
  store_run r;
  (void)part, (void)state;
  h->found = !store_get_run(h->x->q->ad->e->store, ENG_PART, id, h->x->q->a, &r) && is(r.workflow, h->x->workflow);
  return !h->found;
}
static bool input_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  has_run h = {.x = (inputs *)user};
  (void)part, (void)state;
  (void)store_list_runs_of_input(h.x->q->ad->e->store, ENG_PART, id, run_of_workflow, &h);
  return !h.found || inputs_add(h.x, id);
}

static void of_dead(inputs *x, const selection *sel) {
  store *s = x->q->ad->e->store;
  store_run r;
  store_delivery d;
  for (uint32_t i = 0; i < sel->n; i++) {
    uint64_t run = sel->list[i].id;
    if (sel->list[i].subject == SUBJECT_DELIVERY) {
      if (store_get_delivery(s, ENG_PART, run, x->q->a, &d)) continue;
      run = d.run;
    }
    if (!store_get_run(s, ENG_PART, run, x->q->a, &r) && r.input) (void)inputs_add(x, r.input);
  }
  x->more |= sel->more;
}

static int inputs_from(admin_query *q, inputs *x) {
  const char *id = admin_param(q, "id"), *kind = admin_param(q, "subject"), *since = admin_param(q, "since");
  uint64_t n = 0, first = 0;
  store_run r;
  selection sel;
  *x = (inputs){.q = q, .workflow = admin_param(q, "workflow"), .id = (uint64_t *)arena_zalloc(q->a, MANY, sizeof *x->id)};
  if (!x->id) return admin_error(q, 503, "out of memory");
  if (id) {
    if (!admin_id(id, &n)) return admin_error(q, 400, "id: a number is expected");
    if (kind && !strcmp(kind, "run")) {
      if (store_get_run(q->ad->e->store, ENG_PART, n, q->a, &r) || !r.input) return admin_error(q, 404, "there is no run %s of a message", id);
      n = r.input;
      x->workflow = arena_dup(q->a, r.workflow.p, r.workflow.len);
    }
    return inputs_add(x, n) ? 0 : 500;
  }
  if (!since || admin_param(q, "sink") || admin_param(q, "code")) {
    int bad = select_from(q, false, &sel);
    if (!bad) of_dead(x, &sel);
    return bad;
  }
  if (!x->workflow) return admin_error(q, 400, "since: say which workflow, too");
  if (!admin_id(since, &n)) return admin_error(q, 400, "since: microseconds are expected");
  if (!store_input_since(q->ad->e->store, ENG_PART, (int64_t)n, &first))
    (void)store_list_inputs(q->ad->e->store, ENG_PART, STORE_BY_TIME, cod_cstr(""), first - 1, false, 0, input_one, x);
  return 0;
}

static void put_plan(buf *b, bool *first, const engine_redo *p) {
  bool f = true;
  buf_puts(b, *first ? "{" : ",{");
  *first = false;
  admin_number(b, &f, "message", p->input);
  admin_text(b, &f, "workflow", p->workflow, strlen(p->workflow));
  if (p->of_run) admin_number(b, &f, "of_run", p->of_run);
  if (p->refused) admin_text(b, &f, "refused", p->refused, strlen(p->refused));
  else {
    if (p->lane_waiting) admin_number(b, &f, "lane_waiting", p->lane_waiting);
    admin_key(b, &f, "effects");
    buf_puts(b, "[");
    for (uint32_t i = 0; i < p->nlines; i++) {
      const engine_redo_line *l = &p->lines[i];
      bool g = true;
      buf_puts(b, i ? ",{" : "{");
      admin_text(b, &g, "path", l->path, strlen(l->path));
      admin_text(b, &g, "operation", l->operation, strlen(l->operation));
      admin_text(b, &g, "connection", l->connection, strlen(l->connection));
      admin_text(b, &g, "kind", l->send ? "send" : "step", 4);
      admin_text(b, &g, "what", l->what, strlen(l->what));
      if (l->delivery) admin_number(b, &g, "delivery", l->delivery);
      buf_puts(b, "}");
    }
    buf_puts(b, "]");
    if (p->nlines_more) admin_number(b, &f, "further", p->nlines_more);
    admin_text(b, &f, "then", p->end, strlen(p->end));
  }
  buf_puts(b, "}");
}

/* What would be taken over and what performed: of the first 20 in full, the others by number. */
int admin_reprocess_plan(admin_query *q) {
  enum { PLANS = 20 };
  inputs x;
  bool first = true;
  char text[200];
  int bad = inputs_from(q, &x);
  if (bad) return bad;
  engine_redo *plans = (engine_redo *)arena_zalloc(q->a, REC_MAX_RUNS, sizeof *plans);
  if (!plans) return admin_error(q, 503, "out of memory");
  buf_puts(q->b, "{\"runs\":[");
  for (uint32_t i = 0; i < x.n && i < PLANS; i++) {
    uint32_t n;
    text[0] = 0;
    hdw_status s = engine_reprocess_plan(q->ad->e, x.id[i], x.workflow, q->a, plans, &n, text);
    if (s && x.n == 1) return q->b->len = 0, admin_error(q, s == HDW_E_NOTFOUND ? 404 : 409, "%s", text[0] ? text : hdw_status_text(s));
    for (uint32_t k = 0; k < n; k++) put_plan(q->b, &first, &plans[k]);
  }
  buf_putf(q->b, "],\"messages\":%u%s}", x.n, x.more ? ",\"more\":true" : "");
  return 200;
}

int admin_reprocess(admin_query *q) {
  inputs x;
  char text[200] = "";
  int bad = inputs_from(q, &x);
  if (!bad) bad = not_now(q);
  if (bad) return bad;
  acting *act_ = acting_new(q);
  hdw_status s = HDW_OK;
  if (!act_) return admin_error(q, 503, "out of memory");
  act_->more = x.more;
  for (uint32_t i = 0; i < x.n; i++) {
    uint32_t started;
    s = engine_reprocess(q->ad->e, x.id[i], x.workflow, admin_actor(q), on_act, act_, &started, text);
    act_->open += started;
    act_->refused += s != HDW_OK;
  }
  if (s && x.n == 1) return acting_drop(act_, q, s == HDW_E_NOTFOUND ? 404 : 409, text[0] ? text : hdw_status_text(s));
  return acting_go(act_);
}
