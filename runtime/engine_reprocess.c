/* engine_reprocess.c - the same input again, on the current deployment (SEMANTICS 4).
 *
 * A new run of the input, one epoch later. At each effect it looks what the run before it has done at the same path with the same request: that is taken
 * over, a result with its value, a delivery that arrived or is on its way. Everything else is performed, under the key with the epoch in it, so that a sink does
 * not take it for the one before. now() and uuid() give what they gave in the first run, or nothing would ever match.
 *
 * The plan executes the program without effects as far as the answers are known, and says where that ends. */
#include <stdio.h>
#include "engine_int.h"

enum { PLAN_SLICES = 50, PLAN_SLICE = 200000, ORIGIN_MAX = 1000, LANE_COUNT = 1000 };

/* ---- what the run before has done -------------------------------------------------------------------------------------------- */

void eng_run_key(const eng_run *r, const char *path, char out[ENG_HEX + 1], uint8_t raw[REC_HASH]) {
  char epoch[REC_PATH_MAX + 32];
  if (r->row.epoch) snprintf(epoch, sizeof epoch, "%.*s#%llu", REC_PATH_MAX, path, (unsigned long long)r->row.epoch);
  eng_idem(r->identity, r->wf->name, r->row.epoch ? epoch : path, out, raw);
}

hdw_status eng_redo_step(eng_run *r, const eng_ask *x, log_rec *rec) {
  engine *e = r->e;
  store_effect f;
  if (!r->row.of_run) return HDW_E_NOTFOUND;
  hdw_status s = store_get_effect(e->store, ENG_PART, r->row.of_run, cod_cstr(x->q->path), &r->a, &f);
  if (s) return s;
  if (f.state != EFFECT_DONE || !f.result_pos.seg || memcmp(f.request_hash, x->hash, REC_HASH) || !cod_equal(f.operation, cod_cstr(x->operation))) return HDW_E_NOTFOUND;
  s = eng_read(e, f.result_pos, &r->a, rec);
  return s && s != HDW_E_IO && s != HDW_E_NOMEM ? HDW_E_NOTFOUND : s;
}

typedef struct at_path {
  engine *e;
  arena *a;
  cod_str path;
  store_delivery *d;
  bool found;
  hdw_status status;
} at_path;
static bool is_at_path(uint16_t part, uint64_t id, uint8_t state, void *user) {
  at_path *x = (at_path *)user;
  (void)part, (void)state;
  x->status = store_get_delivery(x->e->store, ENG_PART, id, x->a, x->d);
  if (x->status == HDW_E_NOTFOUND) x->status = HDW_E_CORRUPT; /* a list of what is not there */
  x->found = !x->status && cod_equal(x->d->path, x->path);
  return !x->status && !x->found;
}
hdw_status eng_delivery_at(engine *e, uint64_t run, cod_str path, arena *a, store_delivery *out) {
  at_path x = {.e = e, .a = a, .path = path, .d = out};
  hdw_status s = store_list_deliveries_of_run(e->store, ENG_PART, run, is_at_path, &x);
  if (!s) s = x.status;
  return s || x.found ? s : HDW_E_NOTFOUND;
}

static eng_redo redo_of(const store_delivery *d, const eng_ask *x) {
  bool same = !memcmp(d->request_hash, x->hash, REC_HASH);
  switch (d->state) {
  case DELIVERY_DELIVERED: return same ? REDO_TAKE : REDO_PERFORM;
  case DELIVERY_PENDING:
  case DELIVERY_INFLIGHT: return same ? REDO_TAKE : REDO_REPLACE;
  case DELIVERY_DEAD:
  case DELIVERY_PARKED: return REDO_REPLACE;
  default: return REDO_PERFORM;
  }
}

hdw_status eng_redo_send(eng_run *r, const eng_ask *x, eng_redo *how, uint64_t *old) {
  engine *e = r->e;
  cod_str path = cod_cstr(x->q->path);
  store_effect f;
  store_delivery d;
  *old = 0, *how = REDO_PERFORM;
  if (!r->row.of_run) return HDW_OK;
  hdw_status s = store_get_effect(e->store, ENG_PART, r->row.of_run, path, &r->a, &f);
  if (!s) { /* it had taken it over itself */
    if (f.state == EFFECT_DONE && !memcmp(f.request_hash, x->hash, REC_HASH)) *how = REDO_TAKE;
    return HDW_OK;
  }
  if (s != HDW_E_NOTFOUND) return s;
  s = eng_delivery_at(e, r->row.of_run, path, &r->a, &d);
  if (s) return s == HDW_E_NOTFOUND ? HDW_OK : s;
  *old = d.id;
  *how = redo_of(&d, x);
  return HDW_OK;
}

hdw_status eng_redo_origin(engine *e, const store_run *row, uint64_t *out) {
  arena a;
  hdw_status s = HDW_OK;
  uint64_t before = row->of_run;
  *out = row->id;
  arena_init(&a, e->mem, 0);
  for (unsigned i = 0; before && !s && i < ORIGIN_MAX; i++) {
    store_run r;
    *out = before;
    s = store_get_run(e->store, ENG_PART, before, &a, &r);
    before = r.of_run;
  }
  arena_free(&a);
  return s == HDW_E_NOTFOUND ? HDW_OK : s; /* expired: the oldest that there is */
}

/* ---- which runs ------------------------------------------------------------------------------------------------------------------ */

typedef struct latest {      /* the last run of each workflow that the input had */
  engine *e;
  arena *a;
  const char *workflow;      /* only this one; NULL = all */
  store_run *rows;
  uint32_t n;
  hdw_status status;         /* one of them could not be looked up */
} latest;
static bool latest_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  latest *l = (latest *)user;
  store_run r;
  (void)part, (void)state;
  hdw_status s = store_get_run(l->e->store, ENG_PART, id, l->a, &r);
  if (s && s != HDW_E_NOTFOUND) {
    l->status = s;
    return false;
  }
  if (s || (l->workflow && !cod_equal(r.workflow, cod_cstr(l->workflow)))) return true;
  uint32_t at = 0;
  while (at < l->n && !cod_equal(l->rows[at].workflow, r.workflow)) at++;
  if (at == REC_MAX_RUNS) return false;
  if (at == l->n) l->n++;
  else if (l->rows[at].id > id) return true;
  l->rows[at] = r;
  return true;
}

typedef struct redo {
  engine *e;
  arena *a;
  store_input in;
  latest old;
  hl7_head head;
  bool hl7;
  val input;
} redo;

static hdw_status redo_load(engine *e, uint64_t input, const char *workflow, arena *a, redo *x, char text[200]) {
  log_rec rec;
  hl7_problem why;
  *x = (redo){.e = e, .a = a, .old = {.e = e, .a = a, .workflow = workflow}};
  hdw_status s = store_get_input(e->store, ENG_PART, input, a, &x->in);
  if (!s) s = eng_read(e, x->in.pos, a, &rec);
  if (s) {
    snprintf(text, 200, "message %llu: %s", (unsigned long long)input, s == HDW_E_NOTFOUND ? "not found, or its bytes have expired" : hdw_status_text(s));
    return s;
  }
  x->hl7 = !(x->in.type.len && memchr(x->in.type.p, ' ', x->in.type.len));
  if (x->hl7) s = hl7_head_read((const char *)rec.body, rec.body_len, &x->head, &why);
  if (!s) s = eng_input_value(e, a, rec.body, rec.body_len, &(eng_reading){.charset = x->in.charset, .identity = arena_dup(a, x->in.identity.p, x->in.identity.len)}, &x->input, &why);
  if (s) snprintf(text, 200, "message %llu: it cannot be read, now as before", (unsigned long long)input);
  x->old.rows = (store_run *)arena_zalloc(a, REC_MAX_RUNS, sizeof *x->old.rows);
  if (!s && !x->old.rows) s = HDW_E_NOMEM;
  if (s) return s;
  s = store_list_runs_of_input(e->store, ENG_PART, input, latest_one, &x->old);
  if (!s) s = x->old.status;
  if (s) snprintf(text, 200, "message %llu: what it has done cannot be looked up, so nothing is done again: %s", (unsigned long long)input, hdw_status_text(s));
  return s;
}

/* Its workflows of before, each with its gate of today; without any, those whose triggers want it. */
static hdw_status redo_gate(redo *x, eng_verdict *v, char text[200]) {
  engine *e = x->e;
  eng_verdict *one = (eng_verdict *)arena_alloc(x->a, sizeof *one);
  char *source = arena_dup(x->a, x->in.source.p, x->in.source.len), *identity = arena_dup(x->a, x->in.identity.p, x->in.identity.len);
  if (!one || !source || !identity) return HDW_E_NOMEM;
  engine_source src = {.listener = source, .identity = identity};
  v->n = 0;
  if (!x->old.n && !x->old.workflow) eng_gate(e, x->a, &src, x->hl7 ? &x->head : NULL, x->input, v);
  for (uint32_t i = 0; i < x->old.n; i++) {
    src.workflow = arena_dup(x->a, x->old.rows[i].workflow.p, x->old.rows[i].workflow.len);
    if (!src.workflow) return HDW_E_NOMEM;
    eng_gate(e, x->a, &src, x->hl7 ? &x->head : NULL, x->input, one);
    if (one->n) v->wants[v->n++] = one->wants[0];
  }
  if (v->n) return HDW_OK;
  snprintf(text, 200, "message %llu: no workflow of the current deployment takes it", (unsigned long long)x->in.id);
  return HDW_E_NOTFOUND;
}

static const store_run *old_of(const redo *x, const eng_want *w) {
  for (uint32_t i = 0; i < x->old.n; i++)
    if (cod_equal(x->old.rows[i].workflow, cod_cstr(w->wf->name))) return &x->old.rows[i];
  return NULL;
}

/* Why this one does not start; NULL: it does. */
static const char *refusal(redo *x, const eng_want *w) {
  const store_run *old = old_of(x, w);
  if (!w->run) {
    char *t = (char *)arena_alloc(x->a, 300);
    if (!t) return "the gate refuses it";
    snprintf(t, 300, "its gate says %s: %.200s", w->code[0] ? w->code : "no", w->text ? w->text : "");
    return t;
  }
  if (old && old->state < RUN_DONE) {
    char *t = (char *)arena_alloc(x->a, 120);
    if (!t) return "its run is not finished";
    snprintf(t, 120, "run %llu of it is not finished (hdwvm discard %llu ends it)", (unsigned long long)old->id, (unsigned long long)old->id);
    return t;
  }
  return NULL;
}

/* ---- plan -------------------------------------------------------------------------------------------------------------------------- */

static void line(engine_redo *p, const eng_ask *x, const char *what, uint64_t delivery) {
  if (p->nlines == REDO_MAX_LINES) {
    p->nlines_more++;
    return;
  }
  engine_redo_line *l = &p->lines[p->nlines++];
  snprintf(l->path, sizeof l->path, "%.79s", x->q->path);
  snprintf(l->operation, sizeof l->operation, "%s", x->operation);
  l->connection = x->c->name;
  l->send = (x->effect->flags & MOD_EFFECT_SEND) != 0;
  l->what = what;
  l->delivery = delivery;
}

/* One effect. False: what comes behind depends on an answer that is not known. */
static bool plan_effect(engine_redo *p, eng_run *r) {
  static const char *const sends[] = {[REDO_PERFORM] = "performed", [REDO_TAKE] = "taken over", [REDO_REPLACE] = "performed, instead of the delivery that waits or is dead"};
  eng_ask x;
  log_rec rec;
  val v;
  uint64_t old;
  if (eng_step_request(r, &x)) {
    p->end = "an effect's request cannot be made";
    return false;
  }
  if (!x.c) { /* a line of the log */
    vm_resume_branch(x.branch, VAL_NONE);
    return true;
  }
  if (x.effect->flags & MOD_EFFECT_SEND) {
    eng_redo how;
    if (eng_redo_send(r, &x, &how, &old)) {
      p->end = "what the run has done cannot be read";
      return false;
    }
    line(p, &x, sends[how], how == REDO_PERFORM ? 0 : old);
    vm_resume_branch(x.branch, VAL_NONE);
    return true;
  }
  if (!eng_redo_step(r, &x, &rec) && !engine_unpack(r->e, &r->a, rec.body, rec.body_len, &v)) {
    line(p, &x, "taken over", 0);
    vm_resume_branch(x.branch, v);
    return true;
  }
  line(p, &x, "performed", 0);
  p->end = "what comes behind the last line depends on its answer";
  return false;
}

static void plan_run(engine_redo *p, eng_run *r) {
  for (unsigned i = 0; i < PLAN_SLICES;) {
    r->vm.slice = PLAN_SLICE;
    switch (vm_go(&r->vm)) {
    case VM_DONE: p->end = r->vm.outcome == VM_FAIL ? "the run fails by itself" : "complete"; return;
    case VM_AWAIT:
      if (!plan_effect(p, r)) return;
      continue;
    case VM_OUT_OF_SLICE: i++; continue;
    default: p->end = "the program stops with an error"; return;
    }
  }
  p->end = "the program takes long: the rest is not looked at";
}

static bool count_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  (void)part, (void)id, (void)state;
  ++*(uint32_t *)user;
  return true;
}

static void plan_one(redo *x, const eng_want *w, engine_redo *p) {
  engine *e = x->e;
  const store_run *old = old_of(x, w);
  *p = (engine_redo){.input = x->in.id, .of_run = old ? old->id : 0, .workflow = w->wf->name, .refused = refusal(x, w), .end = ""};
  if (p->refused) return;
  p->lines = (engine_redo_line *)arena_zalloc(x->a, REDO_MAX_LINES, sizeof *p->lines);
  eng_run *r = p->lines ? (eng_run *)eng_get(e, sizeof *r) : NULL;
  if (!r) {
    p->end = "out of memory";
    return;
  }
  for (unsigned i = 0; i < w->nlanes; i++) (void)store_list_lane(e->store, ENG_PART, w->lanes[i], 0, LANE_COUNT, count_one, &p->lane_waiting);
  if (p->lane_waiting && old && (old->state == RUN_DEAD || old->state == RUN_FAILED) && old->nlanes && !(old->flags & RUN_F_LANE_SKIP)) p->lane_waiting--;
  r->e = e;
  arena_init(&r->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  r->row = (store_run){.id = p->of_run, .input = x->in.id, .of_run = p->of_run, .workflow = cod_cstr(w->wf->name), .created_us = io_wall_us(e->io)};
  memcpy(r->row.module, w->app->m.id, REC_HASH);
  memcpy(r->row.deployment, w->app->deployment, REC_HASH);
  if (eng_run_prepare(r, NULL, 0)) p->end = "the run cannot be loaded";
  else plan_run(p, r);
  arena_free(&r->a);
  eng_put(e, r, sizeof *r);
}

hdw_status engine_reprocess_plan(engine *e, uint64_t input, const char *workflow, arena *a, engine_redo out[REC_MAX_RUNS], uint32_t *n, char text[200]) {
  redo x;
  eng_verdict *v = (eng_verdict *)arena_alloc(a, sizeof *v);
  *n = 0;
  if (!v) return HDW_E_NOMEM;
  hdw_status s = redo_load(e, input, workflow, a, &x, text);
  if (!s) s = redo_gate(&x, v, text);
  for (uint32_t i = 0; !s && i < v->n; i++) plan_one(&x, &v->wants[i], &out[(*n)++]);
  return s;
}

/* ---- start ------------------------------------------------------------------------------------------------------------------------- */

typedef struct starting {
  rec_run_new run;
  engine_done_cb cb;
  void *user;
  char workflow[META_MAX_NAME + 1];
} starting;

static void on_started(engine *e, hdw_status s, const log_rec *rec, void *user) {
  starting x = *(starting *)user;
  eng_put(e, user, sizeof(starting));
  x.run.workflow = cod_cstr(x.workflow);
  if (!s) eng_run_created(e, rec_run_id(rec->seq, 0), &x.run, NULL, 0);
  if (x.cb) x.cb(x.user, s);
}

typedef struct dead_of {
  engine *e;
  const char *who;
} dead_of;
/* Dead deliveries of the run before are superseded with it. */
static bool give_up_dead(uint16_t part, uint64_t id, uint8_t state, void *user) {
  dead_of *x = (dead_of *)user;
  arena a;
  store_delivery d;
  (void)part, (void)state;
  arena_init(&a, x->e->mem, 0);
  if (!store_get_delivery(x->e->store, ENG_PART, id, &a, &d) && (d.state == DELIVERY_DEAD || d.state == DELIVERY_PARKED))
    (void)engine_discard(x->e, SUBJECT_DELIVERY, id, x->who, "reprocessed", NULL, NULL);
  arena_free(&a);
  return true;
}

static hdw_status start_one(redo *x, const eng_want *w, const char *who, engine_done_cb cb, void *user) {
  engine *e = x->e;
  const store_run *old = old_of(x, w);
  rec_run_start r = {.input = x->in.id, .of_run = old ? old->id : 0, .epoch = old ? old->epoch + 1 : 1, .cause = cod_cstr("reprocess")};
  starting *st = (starting *)eng_get(e, sizeof *st);
  if (!st) return HDW_E_NOMEM;
  memcpy(r.module, w->app->m.id, REC_HASH);
  memcpy(r.deployment, w->app->deployment, REC_HASH);
  r.run = (rec_run_new){.workflow = cod_cstr(w->wf->name), .partition = ENG_PART, .nlanes = w->nlanes, .module = w->app->m.id, .deployment = w->app->deployment};
  memcpy(r.run.lanes, w->lanes, sizeof r.run.lanes);
  if (w->wf->lane_skip) r.run.flags |= RUN_F_LANE_SKIP;
  *st = (starting){.run = r.run, .cb = cb, .user = user};
  snprintf(st->workflow, sizeof st->workflow, "%s", w->wf->name);
  cod_w cw = eng_writer(e);
  hdw_status s = rec_put_run_start(&cw, &r);
  if (!s) s = eng_append_rec(e, REC_RUN_START, &cw, NULL, 0, on_started, st, &e->wanted_after);
  if (s) {
    eng_put(e, st, sizeof *st);
    return s;
  }
  /* Behind it in the log: if the process dies between the two, the dead letter is still there and the new run waits behind it. */
  if (old && (old->state == RUN_DEAD || old->state == RUN_FAILED)) (void)engine_discard(e, SUBJECT_RUN, old->id, who, "reprocessed", NULL, NULL);
  dead_of d = {e, who};
  if (old) (void)store_list_deliveries_of_run(e->store, ENG_PART, old->id, give_up_dead, &d);
  return HDW_OK;
}

hdw_status engine_reprocess(engine *e, uint64_t input, const char *workflow, const char *who, engine_done_cb cb, void *user, uint32_t *started, char text[200]) {
  arena a;
  redo x;
  *started = 0;
  text[0] = 0;
  if (eng_retain_takes(e)) {
    snprintf(text, 200, "message %llu: retention takes something away at this moment: again in a second", (unsigned long long)input);
    return HDW_E_AGAIN;
  }
  arena_init(&a, e->mem, 0);
  eng_verdict *v = (eng_verdict *)arena_alloc(&a, sizeof *v);
  hdw_status s = v ? redo_load(e, input, workflow, &a, &x, text) : HDW_E_NOMEM;
  if (!s) s = redo_gate(&x, v, text);
  for (uint32_t i = 0; !s && i < v->n; i++) {
    const char *no = refusal(&x, &v->wants[i]);
    if (no) snprintf(text, 200, "message %llu, %.60s: %.110s", (unsigned long long)input, v->wants[i].wf->name, no);
    else if (!(s = start_one(&x, &v->wants[i], who, cb, user))) ++*started;
  }
  if (!s && !*started) s = HDW_E_INVALID;
  arena_free(&a);
  return s;
}
