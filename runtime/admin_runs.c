/* admin_runs.c - runs step by step, deliveries, dead letters. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include "admin_int.h"

enum { RUNS_MAX = 100000, LOOK_INPUTS = 20000 };

static void put_str(buf *b, bool *f, const char *k, cod_str s) {
  if (s.len) admin_text(b, f, k, s.p, s.len);
}
static void put_name(buf *b, bool *f, const char *k, const char *s) {
  if (s[0]) admin_text(b, f, k, s, strlen(s));
}

void admin_run_row(admin_query *q, const store_run *r) {
  buf *b = q->b;
  bool f = true;
  char where[200];
  bool active = r->state < RUN_PARKED && eng_run_active(q->ad->e, r->id);
  admin_number(b, &f, "id", r->id);
  put_str(b, &f, "workflow", r->workflow);
  if (r->input) admin_number(b, &f, "message", r->input);
  put_name(b, &f, "state", active ? "running" : admin_run_state(r->state));
  admin_time(b, &f, "created", r->created_us);
  admin_time(b, &f, "changed", r->changed_us);
  if (r->state == RUN_PARKED) admin_time(b, &f, "wakes", r->wake_us);
  admin_number(b, &f, "steps", r->effects);
  admin_number(b, &f, "attempts", r->attempts);
  put_name(b, &f, "class", admin_class(r->fail_class));
  put_str(b, &f, "code", r->error_code);
  put_str(b, &f, "reason", r->reason);
  put_str(b, &f, "step", r->path);
  engine_where(q->ad->e, r->module, r->file, r->line, r->column, where);
  put_name(b, &f, "at", where);
}

/* ---- lists -------------------------------------------------------------------------------------------------------------------------- */

typedef struct listing {
  admin_query *q;
  bool first;
  unsigned left;
  unsigned look;             /* messages that may still be looked at */
  uint8_t only;              /* runs in this state; 0 = all */
} listing;

static bool run_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  listing *l = (listing *)user;
  store_run r;
  (void)part, (void)state;
  arena_mark m = arena_here(l->q->a);
  if (store_get_run(l->q->ad->e->store, ENG_PART, id, l->q->a, &r)) return true;
  if (l->only && r.state != l->only) {
    arena_release(l->q->a, m);
    return true;
  }
  buf_puts(l->q->b, l->first ? "{" : ",{");
  l->first = false;
  admin_run_row(l->q, &r);
  buf_puts(l->q->b, "}");
  return --l->left > 0;
}

static bool runs_of_input(uint16_t part, uint64_t id, uint8_t state, void *user) {
  listing *l = (listing *)user;
  (void)state;
  (void)store_list_runs_of_input(l->q->ad->e->store, part, id, run_one, user);
  return l->left > 0 && --l->look > 0;
}

/* What has ended well, or was given up, stands in no list of its own: it is looked for in the latest messages. */
static bool is_listed(uint8_t s) { return s != RUN_DONE && s != RUN_DISCARDED; }

/* Without a state: of the latest messages, newest first. */
int admin_runs(admin_query *q) {
  const char *state = admin_param(q, "state");
  listing l = {.q = q, .first = true, .left = 50, .look = UINT_MAX};
  int bad = admin_limit(q, RUNS_MAX, &l.left);
  uint8_t s = RUN_QUEUED;
  if (bad) return bad;
  while (state && s <= RUN_DISCARDED && strcmp(admin_run_state(s), state) != 0) s++;
  if (state && s > RUN_DISCARDED) return admin_error(q, 400, "state is one of queued, running, waiting, parked, done, failed, dead, discarded");
  buf_puts(q->b, "[");
  if (state && is_listed(s)) (void)store_list_runs(q->ad->e->store, ENG_PART, s, 0, l.left, run_one, &l);
  else {
    if (state) l.only = s, l.look = LOOK_INPUTS;
    (void)store_list_inputs(q->ad->e->store, ENG_PART, STORE_BY_TIME, cod_cstr(""), 0, true, l.only ? LOOK_INPUTS : l.left, runs_of_input, &l);
  }
  buf_puts(q->b, "]");
  return 200;
}

/* ---- one run -------------------------------------------------------------------------------------------------------------------------- */

/* Source line of the effect at a path. */
static void where_step(admin_query *q, const store_run *run, cod_str path, char out[200]) {
  const eng_app *app = eng_app_by_hash(q->ad->e, run->module);
  const meta_workflow *w = app ? eng_workflow(app, run->workflow.p, run->workflow.len) : NULL;
  const char *text = arena_dup(q->a, path.p, path.len);
  mod_debug d;
  out[0] = 0;
  if (w && text && mod_site(&app->m, w->func, text, &d)) engine_where(q->ad->e, run->module, d.file, d.line, d.col, out);
}

static void put_body(admin_query *q, bool *f, const char *key, log_pos pos) {
  log_rec rec;
  val v;
  if (!pos.seg || !admin_values(q) || eng_read(q->ad->e, pos, q->a, &rec) || !rec.body_len) return;
  if (!engine_unpack(q->ad->e, q->a, rec.body, rec.body_len, &v)) admin_value(q->b, f, key, v);
}

typedef struct steps {
  admin_query *q;
  const store_run *run;
  bool first;
} steps;
static bool step_one(const store_effect *e, void *user) {
  steps *s = (steps *)user;
  buf *b = s->q->b;
  bool f = true;
  char where[200];
  buf_puts(b, s->first ? "{" : ",{");
  s->first = false;
  put_str(b, &f, "path", e->path);
  put_str(b, &f, "operation", e->operation);
  put_name(b, &f, "state", admin_effect_state(e->state));
  put_name(b, &f, "class", admin_class(e->fail_class));
  put_str(b, &f, "code", e->error_code);
  put_str(b, &f, "error", e->error_text);
  admin_number(b, &f, "attempts", e->attempts);
  admin_time(b, &f, "time", e->time_us);
  where_step(s->q, s->run, e->path, where);
  put_name(b, &f, "at", where);
  put_body(s->q, &f, "request", e->intent_pos);
  put_body(s->q, &f, "result", e->result_pos);
  buf_puts(b, "}");
  return true;
}

void admin_delivery_row(admin_query *q, uint64_t id, bool with_values) {
  store_delivery d;
  bool f = true;
  buf *b = q->b;
  if (store_get_delivery(q->ad->e->store, ENG_PART, id, q->a, &d)) return;
  admin_number(b, &f, "id", d.id);
  admin_number(b, &f, "run", d.run);
  put_str(b, &f, "sink", d.sink);
  put_str(b, &f, "operation", d.operation);
  put_str(b, &f, "path", d.path);
  put_name(b, &f, "state", admin_delivery_state(d.state));
  put_name(b, &f, "class", admin_class(d.fail_class));
  put_str(b, &f, "code", d.error_code);
  put_str(b, &f, "error", d.error_text);
  admin_number(b, &f, "attempts", d.attempts);
  admin_time(b, &f, "created", d.created_us);
  admin_time(b, &f, "changed", d.changed_us);
  if (d.state == DELIVERY_PENDING) admin_time(b, &f, "next", d.next_us);
  char key[33];
  eng_hex(d.idempotency, 16, key);
  put_name(b, &f, "idempotency_key", key);
  if (!with_values) return;
  put_body(q, &f, "request", d.pos);
  put_body(q, &f, "response", d.response_pos);
}

static bool delivery_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  listing *l = (listing *)user;
  (void)part, (void)state;
  buf_puts(l->q->b, l->first ? "{" : ",{");
  l->first = false;
  admin_delivery_row(l->q, id, true);
  buf_puts(l->q->b, "}");
  return true;
}

int admin_run(admin_query *q) {
  static const char *const outcomes[] = {"", "reject", "reply", "redirect", "skip", "fail", "retry", "unmatched"};
  store_run r;
  uint64_t id;
  bool f = false;
  vm_outcome how;
  val v;
  if (!admin_id(q->rest, &id) || store_get_run(q->ad->e->store, ENG_PART, id, q->a, &r)) return 404;
  buf_puts(q->b, "{");
  admin_run_row(q, &r);
  if (r.state == RUN_DONE && admin_values(q) && !engine_result(q->ad->e, &r, q->a, &how, &v)) {
    if (how > VM_OUTCOME_NONE && how <= VM_UNMATCHED) put_name(q->b, &f, "outcome", outcomes[how]);
    admin_value(q->b, &f, "result", v);
  }
  steps s = {q, &r, true};
  admin_key(q->b, &f, "journal");
  buf_puts(q->b, "[");
  (void)store_list_effects(q->ad->e->store, ENG_PART, id, q->a, step_one, &s);
  buf_puts(q->b, "]");
  listing l = {.q = q, .first = true};
  admin_key(q->b, &f, "deliveries");
  buf_puts(q->b, "[");
  (void)store_list_deliveries_of_run(q->ad->e->store, ENG_PART, id, delivery_one, &l);
  buf_puts(q->b, "]}");
  return 200;
}

/* ---- dead letters ----------------------------------------------------------------------------------------------------------------------- */

static bool dead_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  listing *l = (listing *)user;
  store_run r;
  (void)part, (void)state;
  if (store_get_run(l->q->ad->e->store, ENG_PART, id, l->q->a, &r)) return true;
  buf_puts(l->q->b, l->first ? "{\"subject\":\"run\"," : ",{\"subject\":\"run\",");
  l->first = false;
  admin_run_row(l->q, &r);
  buf_puts(l->q->b, "}");
  return true;
}
static bool dead_delivery(uint16_t part, uint64_t id, uint8_t state, void *user) {
  listing *l = (listing *)user;
  (void)part, (void)state;
  buf_puts(l->q->b, l->first ? "{\"subject\":\"delivery\"," : ",{\"subject\":\"delivery\",");
  l->first = false;
  admin_delivery_row(l->q, id, false);
  buf_puts(l->q->b, "}");
  return true;
}

int admin_dead(admin_query *q) {
  unsigned limit = 100;
  int bad = admin_limit(q, RUNS_MAX, &limit);
  if (bad) return bad;
  listing l = {.q = q, .first = true};
  buf_puts(q->b, "[");
  (void)store_list_dead(q->ad->e->store, ENG_PART, SUBJECT_RUN, 0, limit, dead_run, &l);
  (void)store_list_dead(q->ad->e->store, ENG_PART, SUBJECT_DELIVERY, 0, limit, dead_delivery, &l);
  buf_puts(q->b, "]");
  return 200;
}
