/* engine_replay_run.c - one run, as its record says and as another version would have it. */
#include <stdio.h>
#include "engine_replay_int.h"

enum { MAX_EFFECTS = 10000 };
static const int64_t replay_fuel = INT64_C(200000000);

typedef struct item {        /* an effect that was asked for */
  const char *path, *conn;
  char operation[96];
  bool send, used;
  uint8_t hash[REC_HASH];
  val request;
} item;
typedef struct side {
  replay_input *in;
  eng_run *r;
  const store_run *old;      /* whose record gives the answers */
  const struct side *of;     /* the recorded version's side, where this is the new one's; NULL */
  item *items;
  uint32_t n, cap;
  uint8_t state;             /* RUN_DONE, RUN_FAILED, RUN_DEAD */
  bool open;                 /* it waits for an answer that is not there */
  bool expired, assumed, failed;
  uint32_t found;            /* differences to its record */
  const char *code, *text;   /* of RUN_FAILED, RUN_DEAD */
  char where[200];
} side;

/* ---- differences -------------------------------------------------------------------------------------------------------------------- */

static void on_difference(void *user, const char *path, engine_replay_kind kind, val before, val after) { replay_report((replay_input *)user, path, kind, before, after); }
static void only_counted(void *user, const char *path, engine_replay_kind kind, val before, val after) { (void)user, (void)path, (void)kind, (void)before, (void)after; }

static uint32_t differences(replay_input *in, bool report, const char *at, val before, val after) {
  replay_compare c = {.a = &in->x->one, .found = report ? on_difference : only_counted, .user = in};
  c.len = (size_t)snprintf(c.path, sizeof c.path, "%.200s", at);
  replay_compare_values(&c, before, after);
  if (c.failed) in->out->skip = in->out->skip ? in->out->skip : REPLAY_DIVERGED;
  return c.n;
}

/* "send crm.post". */
static void label(const item *i, char out[160]) {
  const char *dot = strchr(i->operation, '.');
  snprintf(out, 160, "%s %.80s.%.60s", i->send ? "send" : "step", i->conn, dot ? dot + 1 : i->operation);
}

/* Against the record; it is told to whoever asked only when that is all that is looked at. */
static void off_record(side *s, const char *path, engine_replay_kind kind, val before, val after) {
  s->found++;
  if (!s->in->x->app) replay_report(s->in, path, kind, before, after);
}

/* ---- effects ---------------------------------------------------------------------------------------------------------------------------- */

static item *add(side *s, const eng_ask *x) {
  if (s->n == s->cap) {
    uint32_t cap = s->cap ? s->cap * 2 : 16;
    item *v = s->cap < MAX_EFFECTS ? (item *)arena_grow(&s->r->a, s->items, s->cap * sizeof *v, cap * sizeof *v) : NULL;
    if (!v) return NULL;
    s->items = v, s->cap = cap;
  }
  uint32_t len = 0;
  const char *conn = mod_text(&s->r->app->m, x->effect->conn, &len);
  item *i = &s->items[s->n];
  *i = (item){.path = arena_dup(&s->r->a, x->q->path, strlen(x->q->path)), .conn = arena_dup(&s->r->a, conn, len), .send = (x->effect->flags & MOD_EFFECT_SEND) != 0};
  memcpy(i->operation, x->operation, sizeof i->operation);
  memcpy(i->hash, x->hash, REC_HASH);
  /* From the packed form: what the request holds now may be in a region that ends before it is compared. */
  if (!i->path || !i->conn || engine_unpack(s->r->e, &s->r->a, x->packed.p, x->packed.len, &i->request)) return NULL;
  s->n++;
  return i;
}

static bool alike(const item *p, const item *q) { return p->send == q->send && !strcmp(p->conn, q->conn) && !strcmp(p->operation, q->operation); }

/* The recorded step whose answer the new version's gets; NULL: none. */
static const item *answered_by(side *s, const item *i) {
  const side *of = s->of;
  item *same = NULL, *here = NULL, *next = NULL;
  for (uint32_t k = 0; k < of->n && !same; k++) {
    item *o = &of->items[k];
    if (o->send || !alike(o, i)) continue;
    if (!memcmp(o->hash, i->hash, REC_HASH) && !o->used) same = o;
    else if (!strcmp(o->path, i->path)) here = o;
    else if (!o->used && !next) next = o;
  }
  item *o = same ? same : here ? here : next;
  if (o) o->used = true;
  if (o && !same) s->assumed = true;
  return o;
}

static val member(const char *name) { return val_key(name, strlen(name)); }

/* {class, code, path, message} of a failure that no handler took when it was recorded. */
static bool error_of(side *s, const store_effect *f, const char *path, val *out) {
  static const char *const classes[] = {"none", "transient", "permanent", "data", "ambiguous"};
  val *kv = (val *)arena_alloc(&s->r->a, 8 * sizeof *kv);
  const char *code = arena_dup(&s->r->a, f->error_code.p, f->error_code.len), *text = arena_dup(&s->r->a, f->error_text.p, f->error_text.len);
  if (!kv || !code || !text) return false;
  kv[0] = member("class"), kv[1] = val_cstr(classes[f->fail_class <= FAIL_AMBIGUOUS ? f->fail_class : 0]);
  kv[2] = member("code"), kv[3] = val_cstr(code);
  kv[4] = member("path"), kv[5] = val_cstr(path);
  kv[6] = member("message"), kv[7] = val_cstr(text);
  *out = (val){.tag = VAL_OBJ, .len = 4, .u.v = kv};
  return true;
}

/* The program gets what is recorded. False: the run ends with it. */
static bool answer(side *s, vm_run *branch, const store_effect *f, const char *path) {
  eng_run *r = s->r;
  log_rec rec;
  val v = VAL_NONE;
  if (f->state == EFFECT_INTENT) return s->open = true; /* others may go on beside it */
  if (f->result_pos.seg) {
    hdw_status st = log_read(r->e->log, f->result_pos, &r->a, &rec);
    if (!st) st = engine_unpack(r->e, &r->a, rec.body, rec.body_len, &v);
    if (st == HDW_E_NOTFOUND) s->expired = true;
    else if (st) s->failed = true;
    if (st) return false;
  }
  if (f->state == EFFECT_DONE) {
    vm_resume_branch(branch, v);
    return true;
  }
  if (v.tag == VAL_EMPTY && !error_of(s, f, path, &v)) return !(s->failed = true);
  if ((vm_handles(branch) || branch->parent) && vm_throw(branch, v)) return true;
  s->state = RUN_DEAD;
  s->code = arena_dup(&r->a, f->error_code.p, f->error_code.len), s->text = "";
  return false;
}

/* Is the effect what is recorded at its path? *f: the record of a step. */
static bool on_record(side *s, const item *i, store_effect *f);

static bool effect(side *s) {
  eng_run *r = s->r;
  eng_ask x;
  store_effect f;
  item *i;
  if (eng_step_describe(r, &x)) return !(s->failed = true);
  if (x.effect->conn == MOD_NO_INDEX) {
    vm_resume_branch(x.branch, VAL_NONE);
    return true;
  }
  if (!(i = add(s, &x))) return !(s->failed = true);
  if (!s->of && !on_record(s, i, &f)) return s->open = true;
  if (i->send) {
    vm_resume_branch(x.branch, VAL_NONE);
    return true;
  }
  if (s->of) {
    const item *o = answered_by(s, i);
    if (!o || store_get_effect(r->e->store, ENG_PART, s->old->id, cod_cstr(o->path), &r->a, &f)) return s->open = true;
  }
  return answer(s, x.branch, &f, i->path);
}

/* ---- the record -------------------------------------------------------------------------------------------------------------------------- */

typedef struct at_path {
  side *s;
  const char *path;
  store_delivery d;
  bool found;
} at_path;
static bool delivery_at(uint16_t part, uint64_t id, uint8_t state, void *user) {
  at_path *p = (at_path *)user;
  (void)part, (void)state;
  if (store_get_delivery(p->s->r->e->store, ENG_PART, id, &p->s->r->a, &p->d) || !cod_equal(p->d.path, cod_cstr(p->path))) return true;
  p->found = true;
  return false;
}

static void request_differs(side *s, const item *i, log_pos pos, const char *name) {
  log_rec rec;
  val v;
  bool known = pos.seg && !log_read(s->r->e->log, pos, &s->in->x->one, &rec) && !engine_unpack(s->r->e, &s->in->x->one, rec.body, rec.body_len, &v);
  s->found++;
  if (s->in->x->app) return;
  if (!known || !differences(s->in, true, name, v, i->request)) replay_report(s->in, name, REPLAY_CHANGED, known ? v : VAL_NONE, i->request);
}

static bool on_record(side *s, const item *i, store_effect *f) {
  engine *e = s->r->e;
  char name[160];
  label(i, name);
  bool step = !store_get_effect(e->store, ENG_PART, s->old->id, cod_cstr(i->path), &s->r->a, f); /* of a send: taken over from the run before */
  if (step && (!i->send || f->state == EFFECT_DONE)) {
    if (!cod_equal(f->operation, cod_cstr(i->operation)) || memcmp(f->request_hash, i->hash, REC_HASH)) request_differs(s, i, f->intent_pos, name);
    return true;
  }
  if (i->send) {
    at_path p = {.s = s, .path = i->path};
    (void)store_list_deliveries_of_run(e->store, ENG_PART, s->old->id, delivery_at, &p);
    if (p.found && (memcmp(p.d.request_hash, i->hash, REC_HASH) || !cod_equal(p.d.operation, cod_cstr(i->operation)))) request_differs(s, i, p.d.pos, name);
    if (p.found) return true;
  }
  if (s->old->state == RUN_DONE) off_record(s, name, REPLAY_ADDED, VAL_NONE, i->request);
  return i->send; /* a step without record: that is where its life ended */
}

static bool reached(const side *s, cod_str path) {
  for (uint32_t k = 0; k < s->n; k++)
    if (cod_equal(cod_cstr(s->items[k].path), path)) return true;
  return false;
}
static bool effect_reached(const store_effect *f, void *user) {
  side *s = (side *)user;
  char name[160];
  snprintf(name, sizeof name, "step %.*s", (int)(f->operation.len < 120 ? f->operation.len : 120), f->operation.p);
  if (!reached(s, f->path)) off_record(s, name, REPLAY_REMOVED, VAL_NONE, VAL_NONE);
  return true;
}
static bool delivery_reached(uint16_t part, uint64_t id, uint8_t state, void *user) {
  side *s = (side *)user;
  store_delivery d;
  char name[160];
  (void)part, (void)state;
  if (store_get_delivery(s->r->e->store, ENG_PART, id, &s->r->a, &d) || reached(s, d.path)) return true;
  snprintf(name, sizeof name, "send %.*s %.*s", (int)(d.sink.len < 60 ? d.sink.len : 60), d.sink.p, (int)(d.operation.len < 60 ? d.operation.len : 60), d.operation.p);
  off_record(s, name, REPLAY_REMOVED, VAL_NONE, VAL_NONE);
  return true;
}

static const char *word(uint8_t state) { return state == RUN_DONE ? "done" : state == RUN_FAILED ? "failed" : "dead"; }

static val value_of(const eng_run *r) { return r->vm.outcome == VM_REPLY ? r->vm.outcome_args[0] : r->vm.result; }

static const char *name_of(vm_outcome o) {
  static const char *const names[] = {"payload", "reject", "reply", "redirect", "skip", "fail", "retry", "unmatched"};
  return names[o];
}

/* What the recorded version did here, against what is recorded of it. */
static void check_record(side *s) {
  engine *e = s->r->e;
  const store_run *old = s->old;
  vm_outcome how;
  val v;
  if (old->state == RUN_DONE && !s->open) {
    (void)store_list_effects(e->store, ENG_PART, old->id, &s->in->x->one, effect_reached, s);
    (void)store_list_deliveries_of_run(e->store, ENG_PART, old->id, delivery_reached, s);
  }
  /* A run may die of what is around it; but what it did by itself, it does again. */
  bool itself = old->state == RUN_DONE || old->state == RUN_FAILED || (old->state == RUN_DEAD && old->line);
  if (itself && (s->open || s->state != old->state)) {
    off_record(s, "outcome", REPLAY_CHANGED, val_cstr(word(old->state)), val_cstr(s->open ? "waits" : word(s->state)));
    return;
  }
  if (old->state != RUN_DONE || engine_result(e, old, &s->in->x->one, &how, &v)) return; /* retention took it */
  if (how != s->r->vm.outcome) off_record(s, "outcome", REPLAY_CHANGED, val_cstr(name_of(how)), val_cstr(name_of(s->r->vm.outcome)));
  else if (how == VM_OUTCOME_NONE || how == VM_REPLY) s->found += differences(s->in, !s->in->x->app, name_of(how), v, value_of(s->r));
}

/* ---- execution ------------------------------------------------------------------------------------------------------------------------------ */

static void dead(side *s, const char *code, const char *text) { s->state = RUN_DEAD, s->code = code, s->text = text; }

static void fault(side *s) {
  const vm_cx *cx = &s->r->cx;
  dead(s, hdw_status_name(cx->err.status), arena_dup(&s->r->a, cx->err.text, strlen(cx->err.text)));
  engine_where(s->r->e, s->r->row.module, cx->err.file, cx->err.line, cx->err.col, s->where);
}

static void go(side *s) {
  eng_run *r = s->r;
  val text;
  s->code = s->text = "";
  if (r->cx.fuel > replay_fuel) r->cx.fuel = replay_fuel;
  for (;;) {
    switch (vm_go(&r->vm)) {
    case VM_OUT_OF_SLICE: continue;
    case VM_AWAIT:
      if (effect(s)) continue;
      return;
    case VM_WAITING: s->open = true; return;
    case VM_OUT_OF_FUEL: dead(s, "HDW_E_FUEL", ""); return;
    case VM_OUT_OF_MEMORY: dead(s, "HDW_E_NOMEM", ""); return;
    case VM_FAILED: fault(s); return;
    case VM_DONE:
      s->state = r->vm.outcome == VM_FAIL ? RUN_FAILED : RUN_DONE;
      s->open |= r->vm.outcome == VM_RETRY; /* it would try again */
      if (s->state == RUN_FAILED && !val_to_str(&r->a, r->vm.outcome_args[0], &text) && text.tag == VAL_STR) s->text = arena_dup(&r->a, text.u.s, text.len);
      return;
    }
  }
}

/* Loads and executes. False: it cannot be had. */
static bool execute(side *s, const eng_app *app) {
  engine *e = s->in->x->e;
  eng_run *r = s->r;
  memset(r, 0, offsetof(eng_run, vm));
  r->e = e, r->id = s->old->id;
  arena_init(&r->a, e->mem, (size_t)e->o.config->top.run_memory_bytes * 2);
  r->row = *s->old;
  if (app) {
    r->row.workflow = cod_cstr(s->in->workflow);
    memcpy(r->row.module, app->m.id, REC_HASH);
    memcpy(r->row.deployment, app->deployment, REC_HASH);
  }
  hdw_status st = eng_run_prepare(r, s->in->body, s->in->len);
  if (!st) go(s);
  if (st == HDW_E_NOTFOUND) s->in->out->skip = REPLAY_NO_MODULE;
  else if (st || s->failed) s->in->out->skip = REPLAY_DIVERGED;
  else if (s->expired) s->in->out->skip = REPLAY_EXPIRED;
  return !st && !s->failed && !s->expired;
}

/* ---- two versions ---------------------------------------------------------------------------------------------------------------------------- */

static bool equal_hash(const item *p, const item *q) { return alike(p, q) && !memcmp(p->hash, q->hash, REC_HASH); }
static bool equal_path(const item *p, const item *q) { return alike(p, q) && !strcmp(p->path, q->path); }

/* Pairs of effects: the same request, else the same place, else the next one of the kind. */
static void compare_effects(side *p, side *q) {
  static bool (*const rules[])(const item *, const item *) = {equal_hash, equal_path, alike};
  char name[160];
  for (uint32_t i = 0; i < p->n; i++) p->items[i].used = false;
  for (size_t rule = 0; rule < sizeof rules / sizeof *rules; rule++)
    for (uint32_t k = 0, from = 0; k < q->n; k++) {
      if (q->items[k].used) continue;
      while (from < p->n && p->items[from].used) from++; /* most are in order */
      for (uint32_t i = from; i < p->n; i++) {
        if (p->items[i].used || !rules[rule](&p->items[i], &q->items[k])) continue;
        p->items[i].used = q->items[k].used = true;
        label(&q->items[k], name);
        if (rule) (void)differences(p->in, true, name, p->items[i].request, q->items[k].request); /* none: another type, the same on the wire */
        break;
      }
    }
  for (uint32_t i = 0; i < p->n && !q->open; i++)
    if (!p->items[i].used) label(&p->items[i], name), replay_report(p->in, name, REPLAY_REMOVED, p->items[i].request, VAL_NONE);
  for (uint32_t k = 0; k < q->n && !p->open; k++)
    if (!q->items[k].used) label(&q->items[k], name), replay_report(q->in, name, REPLAY_ADDED, VAL_NONE, q->items[k].request);
}

/* "dead HDW_E_DATA at adt.hdw:12:3". */
static cod_str ending(side *s, uint8_t state, bool open, const char *code, const char *where) {
  char t[320];
  int n = open ? snprintf(t, sizeof t, "waits for an answer") : snprintf(t, sizeof t, "%s%s%.60s%s%.200s", word(state), code[0] ? " " : "", code, where[0] ? " at " : "", where);
  const char *p = arena_dup(&s->in->x->one, t, (size_t)n < sizeof t ? (size_t)n : sizeof t - 1);
  return p ? cod_cstr(p) : cod_cstr("");
}

static void compare_ends(side *p, side *q) {
  replay_input *in = p->in;
  /* Where the line is that it died at may have moved: the code says whether it is another end. */
  bool open = p->open && p->old->state != RUN_DONE, known = p->state == q->state && !strcmp(p->code, q->code) && !strcmp(p->text, q->text);
  if (open != q->open || (!open && !known)) replay_text(in, "outcome", ending(p, p->state, open, p->code, p->where), ending(q, q->state, q->open, q->code, q->where));
  if (open || q->open || p->state != RUN_DONE || q->state != RUN_DONE) return;
  vm_outcome x = p->r->vm.outcome, y = q->r->vm.outcome;
  if (x != y) replay_report(in, "outcome", REPLAY_CHANGED, val_cstr(name_of(x)), val_cstr(name_of(y)));
  else if (x == VM_OUTCOME_NONE || x == VM_REPLY) (void)differences(in, true, name_of(x), value_of(p->r), value_of(q->r));
}

static cod_str argument(const side *s, unsigned k) {
  val v;
  return s->r->vm.outcome == VM_REJECT && !val_to_str(&s->r->a, s->r->vm.outcome_args[k], &v) && v.tag == VAL_STR ? cod_bytes(v.u.s, v.len) : cod_cstr("");
}

/* The answer of `ack after run`. */
static void compare_answer(const side *s) {
  replay_input *in = s->in;
  const char *code = arena_dup(&in->x->one, argument(s, 0).p, argument(s, 0).len), *text = arena_dup(&in->x->one, argument(s, 1).p, argument(s, 1).len), *error;
  if (!code || !text || s->open || (s->old->state != RUN_DONE && !in->x->app)) return;
  (void)eng_after_verdict(in->hl7, s->state == RUN_DONE, s->r->vm.outcome, &code, &error, &text);
  char short_code[8];
  (void)eng_reject_code(code, short_code);
  in->workflow = "", in->run = 0;
  replay_text(in, "ack.code", in->row.ack_code, cod_cstr(short_code));
  replay_text(in, "ack.error", in->row.error_code, cod_cstr(error));
  replay_text(in, "ack.text", in->row.text, cod_cstr(text));
}

static void compare_lanes(replay_input *in, const eng_want *w, const store_run *old) {
  if (old->of_run && !in->x->app) return;
  if (w->nlanes != old->nlanes || memcmp(w->lanes, old->lanes, (size_t)w->nlanes * REC_LANE)) replay_report(in, "lanes", REPLAY_CHANGED, val_int(old->nlanes), val_int(w->nlanes));
}

void replay_run(replay_input *in, const eng_want *w, const store_run *old) {
  engine_replay *x = in->x;
  side p = {.in = in, .r = x->runs[0], .old = old}, q = {.in = in, .r = x->runs[1], .old = old, .of = &p};
  if (old->state < RUN_DONE) {
    in->out->skip = REPLAY_UNFINISHED;
    return;
  }
  x->runs[1]->e = NULL;
  if (execute(&p, NULL)) {
    check_record(&p);
    if (x->app && p.found) in->out->skip = REPLAY_DIVERGED;
    else if (!x->app || execute(&q, w->app)) {
      in->out->looked = true;
      in->out->assumed |= q.assumed, in->out->open |= x->app && q.open;
      if (x->app) compare_effects(&p, &q), compare_ends(&p, &q);
      if (w) compare_lanes(in, w, old);
      if (w && in->after == w->wf) compare_answer(x->app ? &q : &p);
    }
  }
  if (q.r->e) arena_free(&q.r->a);
  arena_free(&p.r->a);
}
