/* test.c - hdwc test: test functions run on the machine; what they ask for is done here.
 *
 *   test function --vm_go--> AWAIT test.mock, test.when, test.expect ... --> rig (the engine on the simulated seam) --> vm_resume
 *
 * The program is compiled twice: with its tests for the machine that runs them, without for the engine. A case gets an engine of its own,
 * made when it is first needed, so that cases know nothing of each other. An expectation that fails does not end its case. */
#include "test.h"
#include <string.h>
#include "hl7_dict.h"
#include "host.h"
#include "model.h"
#include "rig.h"

enum { TRACE_MAX = 40, FAILURES_MAX = 20, LABEL_MAX = 60, VALUE_MAX = 4000, TRACE_VALUE_MAX = 200 };
static const int64_t fuel = INT64_C(2000000000), default_wall_us = INT64_C(1767225600) * 1000000; /* 2026-01-01T00:00:00Z */

typedef struct program {
  hdwc *h;
  hc_sources *s;
  uint32_t root;
  module m;                 /* with tests */
  const vm_native *bound;
  const uint8_t *app;       /* without tests, sealed */
  size_t app_len;
  bool app_tried;
} program;

typedef struct runner {
  program *p;
  arena *keep;              /* of the results */
  arena a;                  /* of the case */
  test_case *c;
  vm_cx cx;
  vm_run vm;
  rig r;
  bool open, stop;
  int64_t wall_us;
  const char *file;         /* of the source that asks */
  uint32_t line, col, nfailures;
} runner;

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

static test_failure *fail_case(runner *x, const char *message) {
  test_failure *f = (test_failure *)arena_zalloc(x->keep, 1, sizeof *f);
  if (!f) return NULL;
  f->file = x->file, f->line = x->line, f->col = x->col;
  f->message = message;
  if (x->c->last) x->c->last->next = f;
  else x->c->first = f;
  x->c->last = f;
  if (++x->nfailures >= FAILURES_MAX) x->stop = true;
  return f;
}

/* The case cannot go on. */
static val give_up(runner *x, const char *message) {
  (void)fail_case(x, message);
  x->stop = true;
  return VAL_NONE;
}

/* ---- the engine of a case ---------------------------------------------------------------------------------------------------- */

static bool compile_app(program *p) {
  arena *a = &p->h->a;
  if (p->app_tried) return p->app != NULL;
  p->app_tried = true;
  diag_list l;
  comp_result r;
  comp_options opt = {0};
  diag_init(&l, a);
  if (!hc_compile(p->s, &p->root, 1, opt, a, &l, &r)) return false;
  hc_diag_stderr(&l, false);
  if (l.errors || !r.bytes) return false;
  hc_module_seal(r.bytes, r.len_bytes);
  p->app = r.bytes;
  p->app_len = r.len_bytes;
  return true;
}

static bool need_rig(runner *x) {
  if (x->open) return true;
  if (!compile_app(x->p)) {
    give_up(x, "the program does not compile");
    return false;
  }
  x->open = rig_open(&x->r, x->p->h, x->p->s->v[x->p->root].shown, x->p->app, x->p->app_len, x->wall_us);
  if (!x->open) give_up(x, "the engine could not be started");
  return x->open;
}

/* ---- what tests ask ------------------------------------------------------------------------------------------------------------ */

static const char *text_arg(runner *x, const vm_request *q, uint32_t i) {
  val v = i < q->effect->nargs ? q->args[i] : VAL_NONE;
  return v.tag == VAL_STR ? arena_dup(&x->a, v.u.s, v.len) : "";
}

/* A sample file beside the asking source, in the project's folder, or as given. */
static const char *sample(runner *x, const char *path, const char **text, size_t *len) {
  uint32_t at = UINT32_MAX;
  for (uint32_t i = 0; i < x->p->s->n && at == UINT32_MAX; i++)
    if (x->file && strcmp(x->p->s->v[i].shown, x->file) == 0) at = i;
  const char *beside = at == UINT32_MAX ? path : hc_join(&x->a, hc_dirname(&x->a, x->p->s->v[at].real), path);
  const char *places[] = {path[0] == '/' ? path : beside, hc_join(&x->a, x->p->s->root, path)};
  for (size_t i = 0; i < 2; i++)
    if (hc_exists(places[i], NULL) && !hc_read(&x->a, places[i], text, len)) return places[i];
  return NULL;
}

static val parse_message(runner *x, const char *text, size_t len) {
  hl7_opts o = {.schema = &hl7_dict_schema};
  hl7_msg *m;
  val v;
  if (hl7_parse(&x->a, text, len, &o, &m, NULL) || hl7_value(&x->a, m, &v)) return VAL_NONE;
  return v;
}

/* .json is its value, .hl7 a message, anything else its text. */
static val ask_file(runner *x, const char *path) {
  const char *text;
  size_t len;
  if (!sample(x, path, &text, &len)) return give_up(x, hc_text(x->keep, "there is no file '%s'", path));
  val v = VAL_NONE, norm;
  if (hc_has_suffix(path, ".json")) {
    if (!hc_json(&x->a, &x->p->h->mem.m, path, text, len, &v)) return give_up(x, hc_text(x->keep, "'%s' is no valid JSON", path));
    return val_norm(&x->a, v, &norm) ? VAL_NONE : norm;
  }
  if (hc_has_suffix(path, ".hl7")) {
    v = parse_message(x, text, len);
    return v.tag == VAL_EMPTY ? give_up(x, hc_text(x->keep, "'%s' is no HL7 message", path)) : v;
  }
  return val_str(text, len);
}

static bool is_message_text(const char *s, size_t n) {
  return n > 8 && (memcmp(s, "MSH", 3) == 0 || memcmp(s, "FHS", 3) == 0 || memcmp(s, "BHS", 3) == 0);
}

/* hl7(x) in a test: the text of a message as everywhere, or the path of a sample. */
static val ask_hl7(runner *x, const char *text) {
  size_t len = strlen(text);
  if (!is_message_text(text, len) && !sample(x, text, &text, &len)) return give_up(x, hc_text(x->keep, "there is no file '%s'", text));
  return parse_message(x, text, len);
}

static void ask_mock(runner *x, const vm_request *q, bool sequence) {
  if (!need_rig(x)) return;
  val v = q->effect->nargs > 1 ? q->args[1] : VAL_NONE;
  if (!sequence || v.tag != VAL_OBJ) {
    rig_mock_add(&x->r, text_arg(x, q, 0), &v, 1);
    return;
  }
  val *answers = (val *)arena_zalloc(&x->a, v.len + 1u, sizeof *answers);
  for (uint32_t i = 0; answers && i < v.len; i++) (void)val_norm(&x->a, v.u.v[2 * i + 1], &answers[i]);
  if (answers) rig_mock_add(&x->r, text_arg(x, q, 0), answers, v.len);
}

/* when workflow(input): a path of a sample, HL7 text, a message, or a value that becomes the body of a request. */
static void ask_when(runner *x, const vm_request *q) {
  const meta_workflow *w;
  const char *name = text_arg(x, q, 0), *text;
  size_t len;
  val in = q->effect->nargs > 1 ? q->args[1] : VAL_NONE;
  if (!need_rig(x)) return;
  if (!(w = rig_workflow(&x->r, name))) {
    give_up(x, hc_text(x->keep, "there is no workflow '%s' that this version runs", name));
    return;
  }
  if (in.tag == VAL_HL7) {
    hl7_slice s;
    if (hl7_of(in)->level != HL7_MSG || hl7_bytes(&x->a, hl7_of(in)->m, &s)) give_up(x, "this is no whole HL7 message");
    else rig_message(&x->r, w, s.p, s.len);
    return;
  }
  if (in.tag == VAL_STR) {
    const char *path = arena_dup(&x->a, in.u.s, in.len);
    if (is_message_text(in.u.s, in.len)) rig_message(&x->r, w, in.u.s, in.len);
    else if (!path || !sample(x, path, &text, &len)) give_up(x, hc_text(x->keep, "there is no file '%s'", path ? path : ""));
    else if (hc_has_suffix(path, ".json")) rig_request(&x->r, w, text, len);
    else rig_message(&x->r, w, text, len);
    return;
  }
  buf b;
  buf_init(&b, &x->a, 64 << 20);
  if (in.tag != VAL_EMPTY && hc_write_text_json(&x->a, in, &b)) give_up(x, "the input has no JSON form");
  else rig_request(&x->r, w, b.p ? b.p : "", b.len);
}

/* Microseconds of a duration; false for months and years, which have no fixed length. */
static bool duration(val v, int64_t *us) {
  static const struct { const char *unit; int64_t us; } units[] = {
      {"microsecond", 1}, {"millisecond", 1000}, {"ms", 1000}, {"second", 1000000}, {"s", 1000000}, {"minute", 60000000}, {"min", 60000000},
      {"hour", INT64_C(3600000000)}, {"h", INT64_C(3600000000)}, {"day", INT64_C(86400000000)}, {"d", INT64_C(86400000000)},
      {"week", INT64_C(604800000000)}, {"wk", INT64_C(604800000000)}};
  if (v.tag != VAL_QTY) return false;
  const val_quantity *q = (const val_quantity *)v.u.p;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strlen(units[i].unit) != q->unit_len || memcmp(units[i].unit, q->unit, q->unit_len) != 0) continue;
    dec f = dec_from_i64(units[i].us), r;
    if (dec_mul(&q->value, &f, &r)) return false;
    r = dec_trunc(&r);
    return !dec_to_i64(&r, us) && *us >= 0 && *us < INT64_C(4000) * 86400 * 1000000;
  }
  return false;
}

static void ask_after(runner *x, const vm_request *q) {
  int64_t us;
  if (!duration(q->args[0], &us)) give_up(x, "a duration is wanted, such as 30 seconds");
  else if (need_rig(x)) rig_advance(&x->r, us);
}

/* An instant without zone is one in UTC. */
static void ask_at(runner *x, const vm_request *q) {
  val v = q->args[0];
  tm_val t;
  int64_t us;
  if (v.tag != VAL_DATETIME && v.tag != VAL_DATE) {
    give_up(x, "a date and time is wanted, such as @2026-03-08T01:59:00-06:00");
    return;
  }
  t = val_get_time(v);
  if (!t.has_zone) t.has_zone = true, t.zone_min = 0;
  if (tm_to_unix_us(&t, &us)) {
    give_up(x, "the time is out of range");
    return;
  }
  if (!x->open) {
    x->wall_us = us;
    return;
  }
  int64_t now = io_wall_us(x->r.x);
  if (us < now) give_up(x, "time only goes on: this is earlier than what was reached");
  else rig_advance(&x->r, us - now);
}

static const char *json_of(runner *x, val v, size_t max) {
  buf b;
  if (v.tag == VAL_EMPTY) return "{}";
  buf_init(&b, x->keep, 1 << 20);
  return hc_write_text_json(&x->a, v, &b) ? "(a value without JSON form)" : hc_cut(x->keep, b.p, b.len, max);
}

static void ask_expect(runner *x, const vm_request *q) {
  val v = q->args[0], left = q->effect->nargs > 2 ? q->args[2] : VAL_NONE, right = q->effect->nargs > 3 ? q->args[3] : VAL_NONE;
  if (v.tag == VAL_BOOL && v.u.i) return;
  const char *why = v.tag == VAL_BOOL ? "it is false" : v.tag == VAL_EMPTY ? "it is empty, which is not true" : "it is neither true nor false";
  test_failure *f = fail_case(x, why);
  if (!f) return;
  f->expression = arena_dup(x->keep, text_arg(x, q, 1), strlen(text_arg(x, q, 1)));
  if (v.tag != VAL_BOOL && v.tag != VAL_EMPTY) f->left = json_of(x, v, VALUE_MAX), f->right = "true";
  if (left.tag == VAL_EMPTY && right.tag == VAL_EMPTY) return;
  f->left = json_of(x, left, VALUE_MAX);
  f->right = json_of(x, right, VALUE_MAX);
  hc_list d = {0};
  test_difference(&x->a, left, right, &d);
  for (uint32_t i = 0; i < d.n; i++) hc_list_add(x->keep, &f->differences, arena_dup(x->keep, d.v[i], strlen(d.v[i])));
}

/* ---- what tests look at --------------------------------------------------------------------------------------------------------- */

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

static val text_val(runner *x, const char *s, size_t n) {
  const char *p = n ? arena_dup(&x->a, s, n) : NULL;
  return p ? val_str(p, n) : VAL_NONE;
}

static val ask_ack(runner *x) {
  return x->open && x->r.reply.len && !x->r.reply.json ? parse_message(x, x->r.reply.p, x->r.reply.len) : VAL_NONE;
}

/* Of a request: {status, body}. */
static val ask_answer(runner *x) {
  static const char *const names[] = {"status", "body"};
  if (!x->open || !x->r.reply.http_status) return VAL_NONE;
  const rig_reply *p = &x->r.reply;
  val v = VAL_NONE;
  if (p->len && !(p->json && hc_json(&x->a, &x->p->h->mem.m, "answer", p->p, p->len, &v))) v = val_str(p->p, p->len);
  return object(x, names, (val[]){val_int(p->http_status), v}, 2);
}

static val ask_result(runner *x) {
  rig_outcome o;
  val v = VAL_NONE;
  if (!x->open || !x->r.workflow || !rig_result(&x->r, x->r.workflow, &x->a, &o)) return v;
  return val_norm(&x->a, o.value, &v) ? VAL_NONE : v;
}

/* The arguments of each attempt, with connection, operation and attempt behind them. */
static val ask_sent(runner *x, const char *target) {
  rig_target t = rig_target_parse(&x->a, target);
  val_builder b = {0};
  for (const rig_effect *f = x->open ? x->r.effects : NULL; f; f = f->next) {
    if (!rig_matches(&t, f) || f->request.tag != VAL_OBJ) continue;
    uint32_t n = f->request.len;
    val *kv = (val *)arena_zalloc(&x->a, 2 * (size_t)n + 6, sizeof *kv);
    if (!kv) return VAL_NONE;
    memcpy(kv, f->request.u.v, 2 * (size_t)n * sizeof *kv);
    const char *names[] = {"connection", "operation", "attempt"};
    val values[] = {val_cstr(f->connection), val_cstr(f->operation), val_int(f->attempt)};
    for (int i = 0; i < 3; i++) {
      val k = val_key(names[i], strlen(names[i]));
      if (val_obj_get(f->request, k)) continue;
      kv[2 * n] = k;
      kv[2 * n++ + 1] = values[i];
    }
    val one = {.tag = VAL_OBJ, .len = n, .u.v = kv};
    if (val_push(&x->a, &b, one)) return VAL_NONE;
  }
  return val_build(&b);
}

typedef struct run_list {
  runner *x;
  const char *workflow;
  val_builder b;
} run_list;

static void on_run(const store_run *run, void *user) {
  static const char *const names[] = {"workflow", "state", "reason"};
  run_list *l = (run_list *)user;
  if (l->workflow[0] && (run->workflow.len != strlen(l->workflow) || memcmp(run->workflow.p, l->workflow, run->workflow.len) != 0)) return;
  val v[] = {text_val(l->x, run->workflow.p, run->workflow.len), val_cstr(rig_run_state(run->state)), text_val(l->x, run->reason.p, run->reason.len)};
  (void)val_push(&l->x->a, &l->b, object(l->x, names, v, 3));
}

static val ask_runs(runner *x, const char *workflow) {
  run_list l = {.x = x, .workflow = workflow};
  if (x->open) rig_runs(&x->r, &x->a, on_run, &l);
  return val_build(&l.b);
}

static val ask_error(runner *x, val what) {
  static const char *const names[] = {"$error"};
  return object(x, names, &what, 1);
}

static val ask(runner *x, const vm_request *q) {
  uint32_t n = 0;
  const char *op = mod_text(&x->p->m, q->effect->op, &n);
  op = arena_dup(&x->a, op, n);
  val first = q->effect->nargs ? q->args[0] : VAL_NONE, none = VAL_NONE;
  if (!op) return give_up(x, "out of memory");
  if (strcmp(op, "test.mock") == 0) return ask_mock(x, q, false), none;
  if (strcmp(op, "test.mock_sequence") == 0) return ask_mock(x, q, true), none;
  if (strcmp(op, "test.when") == 0) return ask_when(x, q), none;
  if (strcmp(op, "test.at") == 0) return ask_at(x, q), none;
  if (strcmp(op, "test.after") == 0) return ask_after(x, q), none;
  if (strcmp(op, "test.expect") == 0) return ask_expect(x, q), none;
  if (strcmp(op, "test.ack") == 0) return ask_ack(x);
  if (strcmp(op, "test.answer") == 0) return ask_answer(x);
  if (strcmp(op, "test.result") == 0) return ask_result(x);
  if (strcmp(op, "test.sent") == 0) return ask_sent(x, text_arg(x, q, 0));
  if (strcmp(op, "test.runs") == 0) return ask_runs(x, text_arg(x, q, 0));
  if (strcmp(op, "test.error") == 0) return ask_error(x, first);
  if (strcmp(op, "test.file") == 0) return ask_file(x, text_arg(x, q, 0));
  if (strcmp(op, "test.hl7") == 0) return ask_hl7(x, text_arg(x, q, 0));
  if (strcmp(op, "sys.log") == 0) return none;
  return give_up(x, hc_text(x->keep, "a test cannot do %s", op));
}

/* ---- one case ---------------------------------------------------------------------------------------------------------------------- */

static void place(runner *x) {
  mod_debug d;
  const vm_frame *f = x->vm.nframes ? &x->vm.frames[x->vm.nframes - 1] : NULL;
  if (!f || !f->pc || !mod_where(&x->p->m, f->pc - 1, &d)) return;
  uint32_t n;
  const char *name = mod_text(&x->p->m, d.file, &n);
  name = arena_dup(&x->a, name, n);
  x->file = name ? hc_source_shown(x->p->s, name) : NULL;
  x->line = d.line, x->col = d.col;
}

static void vm_trouble(runner *x, vm_state st) {
  static const char *const what[] = {[VM_OUT_OF_FUEL] = "the test takes too long", [VM_OUT_OF_MEMORY] = "the test takes too much memory"};
  if (st == VM_FAILED && x->cx.err.line) x->line = x->cx.err.line, x->col = x->cx.err.col;
  (void)fail_case(x, st == VM_FAILED ? hc_text(x->keep, "%s", x->cx.err.text) : what[st] ? what[st] : "the test stopped");
}

/* Runs a function of the module to its end. */
static bool drive(runner *x, uint32_t fn, const val *args, uint32_t n) {
  x->cx = (vm_cx){.a = &x->a, .fuel = fuel, .model = &hdw_model, .seed = 1, .now_us = x->wall_us};
  hdw_status s = vm_start(&x->vm, &x->p->m, host_get(), x->p->bound, &x->cx, fn, args, n);
  if (s) return give_up(x, hdw_status_text(s)), false;
  for (;;) {
    vm_state st = vm_go(&x->vm);
    if (st == VM_DONE) return true;
    if (st != VM_AWAIT) {
      vm_trouble(x, st);
      return false;
    }
    place(x);
    val v = ask(x, &x->vm.request);
    if (x->stop) return false;
    if (x->open) x->cx.now_us = io_wall_us(x->r.x);
    vm_resume(&x->vm, v);
  }
}

/* What the runs of a failed case did. */
static void trace(runner *x) {
  hc_list *out = &x->c->trace;
  for (const rig_effect *f = x->r.effects; f && out->n < TRACE_MAX; f = f->next) {
    const char *result = f->failed ? hc_text(x->keep, "error: %s", f->error) : json_of(x, f->result, TRACE_VALUE_MAX);
    const char *what = hc_text(x->keep, "%s %s %s %s.%s", f->workflow, f->delivery ? "send" : "step", f->path, f->connection, f->operation);
    hc_list_add(x->keep, out, hc_text(x->keep, "%s %s -> %s%s", what, json_of(x, f->request, TRACE_VALUE_MAX), result, f->mocked ? "" : " (no mock)"));
  }
  rig_outcome o;
  if (x->r.workflow && rig_result(&x->r, x->r.workflow, &x->a, &o)) {
    const char *why = o.run.reason.len ? hc_text(x->keep, ": %.*s", (int)o.run.reason.len, o.run.reason.p) : "";
    hc_list_add(x->keep, out, hc_text(x->keep, "%s: run %s%s%s%s", x->r.workflow, rig_run_state(o.run.state), why, o.where[0] ? " at " : "", o.where));
  } else if (x->r.workflow) {
    hc_list_add(x->keep, out, hc_text(x->keep, "%s: no run, verdict %s", x->r.workflow, x->r.reply.code[0] ? x->r.reply.code : "none"));
  }
  for (const rig_log *l = x->r.logs; l && out->n < TRACE_MAX; l = l->next)
    hc_list_add(x->keep, out, hc_text(x->keep, "log %.*s", (int)l->len, l->line));
}

static bool run_case(program *p, arena *keep, const comp_test *t, uint32_t row, test_case *c) {
  runner *x = (runner *)p->h->mem.m.get(&p->h->mem.m, sizeof *x);
  if (!x) return false;
  memset(x, 0, sizeof *x);
  x->p = p, x->keep = keep, x->c = c, x->wall_us = default_wall_us;
  x->file = c->file, x->line = c->line, x->col = 1;
  arena_init(&x->a, &p->h->mem.m, 0);
  int64_t start = hc_clock_ns();
  val args[VM_MAX_REGS] = {{0}};
  uint32_t n = p->m.funcs[t->func].params;
  bool ok = true;
  if (t->nrows) {
    ok = drive(x, t->func + 1 + row, NULL, 0);
    val cells = x->vm.result;
    buf label;
    buf_init(&label, &x->a, 1 << 16);
    for (uint32_t i = 0; ok && cells.tag == VAL_OBJ && i < n && i < cells.len; i++) {
      (void)val_norm(&x->a, cells.u.v[2 * i + 1], &args[i]);
      if (i) buf_puts(&label, ", ");
      if (args[i].tag == VAL_EMPTY) buf_puts(&label, "{}");
      else if (hc_write_text_json(&x->a, args[i], &label)) label.status = HDW_OK;
    }
    c->name = hc_text(keep, "%s [%u: %s]", t->name, row + 1, hc_cut(keep, label.p, label.len, LABEL_MAX));
  }
  if (ok) drive(x, t->func, args, n);
  if (x->open && c->first) trace(x);
  c->took_ns = hc_clock_ns() - start;
  if (x->open) rig_close(&x->r);
  arena_free(&x->a);
  p->h->mem.m.put(&p->h->mem.m, x, sizeof *x);
  return true;
}

static test_case *add_case(test_results *r, arena *keep) {
  test_case *c = (test_case *)arena_zalloc(keep, 1, sizeof *c);
  if (!c) return NULL;
  if (r->last) r->last->next = c;
  else r->first = c;
  r->last = c;
  return c;
}

/* ---- one program --------------------------------------------------------------------------------------------------------------------- */

static bool load(program *p, const comp_result *cr) {
  mod_error e = {0};
  hdw_status s = mod_load(&p->h->a, cr->bytes, cr->len_bytes, &p->m, &e);
  if (!s) s = mod_verify(&p->h->a, &p->m, &e);
  if (!s) s = vm_bind(&p->h->a, &p->m, host_get(), &p->bound, &e);
  if (s) hc_say("%s: %s", p->s->v[p->root].shown, e.text[0] ? e.text : hdw_status_text(s));
  return s == HDW_OK;
}

/* A file that several programs use is tested once: seen holds "file:line". */
static bool first_time(arena *a, hc_list *seen, const char *key) {
  for (uint32_t i = 0; i < seen->n; i++)
    if (strcmp(seen->v[i], key) == 0) return false;
  return hc_list_add(a, seen, key);
}

static void test_program(hdwc *h, hc_sources *s, uint32_t root, const char *filter, hc_list *seen, test_results *r) {
  program p = {.h = h, .s = s, .root = root};
  diag_list l;
  comp_result cr;
  comp_options opt = {.tests = true};
  diag_init(&l, &h->a);
  if (!hc_compile(s, &root, 1, opt, &h->a, &l, &cr)) {
    r->broken++;
    return;
  }
  hc_diag_stderr(&l, false);
  if (l.errors || !cr.bytes || !load(&p, &cr)) {
    r->broken++;
    return;
  }
  for (uint32_t i = 0; i < cr.ntests; i++) {
    const comp_test *t = &cr.tests[i];
    const char *file = l.files[t->file].path;
    if ((filter && !strstr(t->name, filter)) || !first_time(&h->a, seen, hc_text(&h->a, "%s:%u", file, t->line))) continue;
    for (uint32_t row = 0; row < (t->nrows ? t->nrows : 1); row++) {
      test_case *c = add_case(r, &h->a);
      if (!c) return;
      c->name = t->nrows ? hc_text(&h->a, "%s [%u]", t->name, row + 1) : t->name;
      c->file = file;
      c->line = t->line;
      run_case(&p, &h->a, t, row, c);
      if (c->first) r->failed++;
      else r->passed++;
    }
  }
}

int hc_test(hdwc *h, const hc_command *c, int argc, char **argv) {
  static const char *const formats[] = {"text", "json", "junit", NULL};
  const char *format = "text", *filter = NULL;
  bool coverage = false;
  const hc_option options[] = {{"format", NULL, &format}, {"filter", NULL, &filter}, {"coverage", &coverage, NULL}};
  hc_args args;
  int status, how;
  hc_sources s;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n == 0) return hc_usage(c, "what is to be tested?");
  if ((how = hc_choice(format, formats)) < 0) return hc_usage(c, "there is no format '%s'", format);
  if (coverage) {
    hc_say("'test --coverage' is not yet available in this version");
    return EXIT_USAGE;
  }
  if (!hc_sources_open(&s, &h->a, args.v, args.n)) return EXIT_USAGE;
  uint32_t n, *roots = hc_sources_roots(&s, &n);
  test_results r = {0};
  hc_list seen = {0};
  for (uint32_t i = 0; roots && i < n; i++) test_program(h, &s, roots[i], filter, &seen, &r);
  buf b;
  buf_init(&b, &h->a, 256 << 20);
  if (how == 0) test_report_text(&b, &r, h->color);
  else if (how == 1) test_report_json(&b, &r);
  else test_report_junit(&b, &r);
  hc_print(&b);
  return r.failed || r.broken ? EXIT_FINDINGS : EXIT_OK;
}
