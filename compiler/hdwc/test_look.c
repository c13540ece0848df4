/* test_look.c - what a test can look at: answers, results, effects, deliveries, runs, dead letters and log lines, as values. */
#include <string.h>
#include "hl7_dict.h"
#include "json.h"
#include "test_int.h"

enum { LIST_MAX = 10000 };

static val object(runner *x, const char *const *names, const val *values, uint32_t n) {
  val *kv = (val *)arena_zalloc(&x->a, 2 * (size_t)n + 1, sizeof *kv);
  uint32_t k = 0;
  for (uint32_t i = 0; kv && i < n; i++) {
    if (values[i].tag == VAL_EMPTY) continue;
    kv[2 * k] = val_key(names[i], strlen(names[i]));
    kv[2 * k++ + 1] = values[i];
  }
  return kv ? (val){.tag = VAL_OBJ, .len = k, .u.v = kv} : VAL_NONE;
}

static val text_val(runner *x, cod_str s) {
  const char *p = s.len ? arena_dup(&x->a, s.p, s.len) : NULL;
  return p ? val_str(p, s.len) : VAL_NONE;
}

val test_message(runner *x, const char *text, size_t len) {
  hl7_opts o = {.schema = &hl7_dict_schema};
  hl7_msg *m;
  val v;
  if (hl7_parse(&x->a, text, len, &o, &m, NULL) || hl7_value(&x->a, m, &v)) return VAL_NONE;
  return v;
}

static const char *class_name(uint8_t c) {
  static const char *const names[] = {NULL, "transient", "permanent", "data", "ambiguous"};
  return c <= FAIL_AMBIGUOUS ? names[c] : NULL;
}
static val word(const char *s) { return s && s[0] ? val_cstr(s) : VAL_NONE; }

/* ---- answers -------------------------------------------------------------------------------------------------------------- */

static val look_ack(runner *x) { return x->open && x->r.reply.len && !x->r.reply.json ? test_message(x, x->r.reply.p, x->r.reply.len) : VAL_NONE; }

/* Of a request: {status, body}. */
static val look_answer(runner *x) {
  static const char *const names[] = {"status", "body"};
  if (!x->open || !x->r.reply.http_status) return VAL_NONE;
  const rig_reply *p = &x->r.reply;
  val v = VAL_NONE;
  if (p->len && !(p->json && hc_json(&x->a, &x->p->h->mem.m, "answer", p->p, p->len, &v))) v = val_str(p->p, p->len);
  return object(x, names, (val[]){val_int(p->http_status), v}, 2);
}

static val look_verdict(runner *x) {
  static const char *const names[] = {"code", "duplicate"};
  if (!x->open || !x->r.reply.given) return VAL_NONE;
  return object(x, names, (val[]){word(x->r.reply.code), val_bool(x->r.reply.duplicate)}, 2);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------- */

static val run_value(runner *x, const store_run *run, const rig_outcome *o) {
  static const char *const names[] = {"workflow", "state", "outcome", "class", "code", "reason", "path", "at", "result"};
  val result = VAL_NONE;
  if (o && run->state == RUN_DONE) (void)val_norm(&x->a, o->value, &result);
  cod_str wf = run->workflow, path = run->path;
  const char *name = arena_dup(&x->a, wf.p, wf.len), *at = path.len && name ? test_where(x, name, hc_text(&x->a, "%.*s", (int)path.len, path.p)) : "";
  val v[] = {text_val(x, wf), val_cstr(rig_run_state(run->state)), o && run->state == RUN_DONE ? word(rig_outcome_name(o->how)) : VAL_NONE,
             run->state >= RUN_PARKED && run->state != RUN_DONE ? word(class_name(run->fail_class)) : VAL_NONE, text_val(x, run->error_code), text_val(x, run->reason),
             text_val(x, path), word(at), result};
  return object(x, names, v, sizeof v / sizeof *v);
}

static val look_result(runner *x, bool whole) {
  rig_outcome o;
  val v = VAL_NONE;
  if (!x->open || !x->r.workflow || !rig_result(&x->r, x->r.workflow, &x->a, &o)) return v;
  if (whole) return run_value(x, &o.run, &o);
  return val_norm(&x->a, o.value, &v) ? VAL_NONE : v;
}

typedef struct listing {
  runner *x;
  const char *workflow;
  const rig_target *target;
  bool dead;
  val_builder b;
} listing;

static bool of_workflow(const listing *l, cod_str name) {
  return !l->workflow[0] || (name.len == strlen(l->workflow) && memcmp(name.p, l->workflow, name.len) == 0);
}

static void on_run(const store_run *run, void *user) {
  listing *l = (listing *)user;
  rig_outcome o;
  if (!of_workflow(l, run->workflow)) return;
  bool known = rig_outcome_of(&l->x->r, run, &l->x->a, &o);
  (void)val_push(&l->x->a, &l->b, run_value(l->x, run, known ? &o : NULL));
}

static val look_runs(runner *x, const char *workflow) {
  listing l = {.x = x, .workflow = workflow};
  if (x->open) rig_runs(&x->r, &x->a, on_run, &l);
  return val_build(&l.b);
}

/* ---- effects ------------------------------------------------------------------------------------------------------------------ */

/* The members of a request, with what is known about the attempt behind them. */
static val with_more(runner *x, val request, const char *const *names, const val *values, uint32_t more) {
  uint32_t n = request.tag == VAL_OBJ ? request.len : 0;
  val *kv = (val *)arena_zalloc(&x->a, 2 * (size_t)(n + more) + 1, sizeof *kv);
  if (!kv) return VAL_NONE;
  if (n) memcpy(kv, request.u.v, 2 * (size_t)n * sizeof *kv);
  for (uint32_t i = 0; i < more; i++) {
    val k = val_key(names[i], strlen(names[i]));
    if (values[i].tag == VAL_EMPTY || (request.tag == VAL_OBJ && val_obj_get(request, k))) continue;
    kv[2 * n] = k;
    kv[2 * n++ + 1] = values[i];
  }
  return (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
}

static val instant(int64_t us) {
  tm_val t;
  tm_from_unix_us(us, 0, &t);
  return val_from_time(VAL_DATETIME, &t);
}

/* The arguments of each attempt, with connection, operation, attempt, at and key behind them. */
static val look_sent(runner *x, const rig_target *t) {
  static const char *const names[] = {"connection", "operation", "attempt", "at", "key", "error"};
  val_builder b = {0};
  for (const rig_effect *f = x->open ? x->r.effects : NULL; f; f = f->next) {
    if (!rig_matches(&x->a, t, f) || f->request.tag != VAL_OBJ) continue;
    val v[] = {val_cstr(f->connection), val_cstr(f->operation), val_int(f->attempt), instant(f->at_us), word(f->key), f->failed ? word(f->code) : VAL_NONE};
    if (val_push(&x->a, &b, with_more(x, f->request, names, v, 6))) return VAL_NONE;
  }
  return val_build(&b);
}

static const char *delivery_state(uint8_t s) {
  static const char *const names[] = {"none", "pending", "in_flight", "delivered", "dead", "parked", "discarded"};
  return s < sizeof names / sizeof *names ? names[s] : "unknown";
}

static void on_delivery(const store_delivery *d, val request, void *user) {
  static const char *const names[] = {"connection", "operation", "state", "attempts", "class", "code", "reason"};
  listing *l = (listing *)user;
  runner *x = l->x;
  const char *dot = (const char *)memchr(d->operation.p, '.', d->operation.len);
  cod_str op = d->operation;
  if (dot) op.len -= (uint32_t)(dot + 1 - op.p), op.p = dot + 1;
  rig_effect f = {.connection = hc_text(&x->a, "%.*s", (int)d->sink.len, d->sink.p), .operation = hc_text(&x->a, "%.*s", (int)op.len, op.p), .request = request};
  if (!rig_matches(&x->a, l->target, &f) || (l->dead && d->state != DELIVERY_DEAD && d->state != DELIVERY_PARKED)) return;
  bool fine = d->state == DELIVERY_DELIVERED;
  val v[] = {val_cstr(f.connection), val_cstr(f.operation), val_cstr(delivery_state(d->state)), val_int(d->attempts), fine ? VAL_NONE : word(class_name(d->fail_class)),
             fine ? VAL_NONE : text_val(x, d->error_code), fine ? VAL_NONE : text_val(x, d->error_text)};
  (void)val_push(&x->a, &l->b, with_more(x, request, names, v, 7));
}

static val look_deliveries(runner *x, const rig_target *t) {
  listing l = {.x = x, .target = t};
  if (x->open) rig_deliveries(&x->r, &x->a, on_delivery, &l);
  return val_build(&l.b);
}

static void on_dead_run(const store_run *run, void *user) {
  listing *l = (listing *)user;
  if (run->state == RUN_DEAD || run->state == RUN_FAILED) on_run(run, user);
  (void)l;
}

/* Dead letters: runs without a target, and deliveries to it. */
static val look_dead(runner *x, const rig_target *t) {
  listing l = {.x = x, .workflow = "", .target = t, .dead = true};
  if (!x->open) return VAL_NONE;
  if (!t->connection[0]) rig_runs(&x->r, &x->a, on_dead_run, &l);
  rig_deliveries(&x->r, &x->a, on_delivery, &l);
  return val_build(&l.b);
}

/* ---- the log --------------------------------------------------------------------------------------------------------------------- */

/* Lines of log(...): {workflow, message, at}. */
static val look_logs(runner *x, const char *workflow) {
  static const char *const names[] = {"workflow", "message", "at"};
  val_builder b = {0};
  for (const rig_log *l = x->open ? x->r.logs : NULL; l; l = l->next) {
    val v;
    if (!hc_json(&x->a, &x->p->h->mem.m, "log", l->line, l->len, &v) || !jv_is(jv_get(v, "event"), "log")) continue;
    val wf = jv_get(v, "workflow"), message = VAL_NONE;
    if (workflow[0] && !jv_is(wf, workflow)) continue;
    (void)val_norm(&x->a, jv_get(v, "message"), &message);
    (void)val_push(&x->a, &b, object(x, names, (val[]){wf, message, jv_get(v, "at")}, 3));
  }
  return val_build(&b);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------------- */

static const char *text_arg(runner *x, const vm_request *q, uint32_t i) {
  val v = i < q->effect->nargs ? q->args[i] : VAL_NONE;
  return v.tag == VAL_STR ? hc_text(&x->a, "%.*s", (int)v.len, v.u.s) : "";
}

bool test_look(runner *x, const char *name, const vm_request *q, val *out) {
  *out = VAL_NONE;
  if (strcmp(name, "ack") == 0) return *out = look_ack(x), true;
  if (strcmp(name, "answer") == 0) return *out = look_answer(x), true;
  if (strcmp(name, "verdict") == 0) return *out = look_verdict(x), true;
  if (strcmp(name, "result") == 0) return *out = look_result(x, false), true;
  if (strcmp(name, "run") == 0) return *out = look_result(x, true), true;
  if (strcmp(name, "runs") == 0) return *out = look_runs(x, text_arg(x, q, 0)), true;
  if (strcmp(name, "logs") == 0) return *out = look_logs(x, text_arg(x, q, 0)), true;
  rig_target t = rig_target_of(&x->a, text_arg(x, q, 0), text_arg(x, q, 1), q->effect->nargs > 2 ? q->args[2] : VAL_NONE);
  if (strcmp(name, "sent") == 0) return *out = look_sent(x, &t), true;
  if (strcmp(name, "deliveries") == 0) return *out = look_deliveries(x, &t), true;
  if (strcmp(name, "dead") == 0) return *out = look_dead(x, &t), true;
  return false;
}
