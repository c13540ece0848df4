/* test_ask.c - what a test function asks for: mocks, inputs, time, expectations, files. */
#include <string.h>
#include "hl7_dict.h"
#include "test_int.h"

enum { FAILURES_MAX = 20 };

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

test_failure *test_fail(runner *x, const char *message) {
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

val test_give_up(runner *x, const char *message) {
  (void)test_fail(x, message);
  x->stop = true;
  return VAL_NONE;
}

const char *test_json(runner *x, val v, size_t max) {
  buf b;
  if (v.tag == VAL_EMPTY) return "{}";
  buf_init(&b, x->keep, 1 << 20);
  return hc_write_text_json(&x->a, v, &b) ? "(a value without JSON form)" : hc_cut(x->keep, b.p, b.len, max);
}

static val arg(const vm_request *q, uint32_t i) { return i < q->effect->nargs ? q->args[i] : VAL_NONE; }

static const char *text_arg(runner *x, const vm_request *q, uint32_t i) {
  val v = arg(q, i);
  return v.tag == VAL_STR ? arena_dup(&x->a, v.u.s, v.len) : "";
}

/* Calls for which no mock fits fail the case where they were made possible. */
static void check_mocks(runner *x) {
  const rig_effect *f = x->checked ? x->checked->next : x->r.effects;
  for (; f; f = f->next) {
    x->checked = f;
    if (!f->unmatched || f->attempt > 1) continue;
    const char *where = test_where(x, f->workflow, f->path);
    (void)test_fail(x, hc_text(x->keep, "%s%s%s", f->error, where[0] ? "; called at " : "", where));
  }
}

/* ---- files --------------------------------------------------------------------------------------------------------------------- */

/* A sample file beside the asking source or in the project's folder, and below these. */
static const char *sample(runner *x, const char *path, const char **text, size_t *len) {
  uint32_t at = UINT32_MAX;
  for (uint32_t i = 0; i < x->p->s->n && at == UINT32_MAX; i++)
    if (x->file && strcmp(x->p->s->v[i].shown, x->file) == 0) at = i;
  const char *dir = at == UINT32_MAX ? x->p->s->root : hc_dirname(&x->a, x->p->s->v[at].real);
  const char *places[] = {hc_join(&x->a, dir, path), hc_join(&x->a, x->p->s->root, path)};
  for (size_t i = 0; i < 2; i++) {
    const char *real = hc_real(&x->a, places[i]);
    if (real && hc_may_read(x->p->s, dir, real) && !hc_read(&x->a, real, text, len)) return places[i];
  }
  return NULL;
}

/* .json is its value, .hl7 a message, anything else its text. */
static val ask_file(runner *x, const char *path) {
  const char *text;
  size_t len;
  if (!sample(x, path, &text, &len)) return test_give_up(x, hc_text(x->keep, "there is no file '%s' in the program's folder or below it", path));
  val v = VAL_NONE, norm;
  if (hc_has_suffix(path, ".json")) {
    if (!hc_json(&x->a, &x->p->h->mem.m, path, text, len, &v)) return test_give_up(x, hc_text(x->keep, "'%s' is no valid JSON", path));
    return val_norm(&x->a, v, &norm) ? VAL_NONE : norm;
  }
  if (hc_has_suffix(path, ".hl7")) {
    v = test_message(x, text, len);
    return v.tag == VAL_EMPTY ? test_give_up(x, hc_text(x->keep, "'%s' is no HL7 message", path)) : v;
  }
  return val_str(text, len);
}

static bool is_message_text(const char *s, size_t n) {
  return n > 8 && (memcmp(s, "MSH", 3) == 0 || memcmp(s, "FHS", 3) == 0 || memcmp(s, "BHS", 3) == 0);
}

/* hl7(x) in a test: the text of a message as everywhere, or the path of a sample. */
static val ask_hl7(runner *x, const char *text) {
  size_t len = strlen(text);
  if (!is_message_text(text, len) && !sample(x, text, &text, &len)) return test_give_up(x, hc_text(x->keep, "there is no file '%s'", text));
  return test_message(x, text, len);
}

/* ---- mocks ------------------------------------------------------------------------------------------------------------------------- */

static void ask_mock(runner *x, const vm_request *q, bool sequence) {
  val v = arg(q, 3), shared = arg(q, 4);
  rig_target t = rig_target_of(&x->r.a, text_arg(x, q, 0), text_arg(x, q, 1), arg(q, 2));
  val one[1] = {v}, *answers = one;
  uint32_t n = 1;
  if (sequence && v.tag == VAL_OBJ) {
    n = v.len;
    answers = (val *)arena_zalloc(&x->a, n + 1u, sizeof *answers);
    for (uint32_t i = 0; answers && i < n; i++) (void)val_norm(&x->a, v.u.v[2 * i + 1], &answers[i]);
  }
  rig_mock *m = answers ? rig_mock_add(&x->r, t, answers, n, shared.u.i == 1) : NULL;
  if (m) m->where = hc_text(x->keep, "%s:%u", x->file, x->line);
}

/* ---- inputs ---------------------------------------------------------------------------------------------------------------------------- */

static void request_options(runner *x, val o, rig_asked *out) {
  out->query = jv_get(o, "query");
  out->headers = jv_get(o, "headers");
  out->path = jv_text(&x->r.a, jv_get(o, "path"));
  out->method = jv_text(&x->r.a, jv_get(o, "method"));
  out->key = jv_text(&x->r.a, jv_get(o, "key"));
}

static void submit(runner *x, const meta_workflow *w, val in, val options) {
  rig_asked q = {0};
  const char *text;
  size_t len;
  request_options(x, options, &q);
  if (in.tag == VAL_HL7) {
    hl7_slice s;
    if (hl7_of(in)->level != HL7_MSG || hl7_bytes(&x->a, hl7_of(in)->m, &s)) test_give_up(x, "this is no whole HL7 message");
    else rig_message(&x->r, w, s.p, s.len);
    return;
  }
  if (in.tag == VAL_STR) {
    const char *path = arena_dup(&x->a, in.u.s, in.len);
    if (is_message_text(in.u.s, in.len)) rig_message(&x->r, w, in.u.s, in.len);
    else if (!path || !sample(x, path, &text, &len)) test_give_up(x, hc_text(x->keep, "there is no file '%s'", path ? path : ""));
    else if (hc_has_suffix(path, ".json")) rig_request(&x->r, w, text, len, &q);
    else rig_message(&x->r, w, text, len);
    return;
  }
  buf b;
  buf_init(&b, &x->a, 64 << 20);
  if (in.tag != VAL_EMPTY && hc_write_text_json(&x->a, in, &b)) test_give_up(x, "the input has no JSON form");
  else rig_request(&x->r, w, b.p ? b.p : "", b.len, &q);
}

/* when workflow(input): a path of a sample, HL7 text, a message, or a value that becomes the body of a request. */
static void ask_when(runner *x, const vm_request *q) {
  const meta_workflow *w;
  const char *name = text_arg(x, q, 0);
  val in = arg(q, 1);
  if (!test_need_rig(x)) return;
  if (!(w = rig_workflow(&x->r, name))) {
    test_give_up(x, hc_text(x->keep, "there is no workflow '%s' that this version runs", name));
    return;
  }
  test_mark(x, "when", hc_text(x->keep, "%s(%s)", name, test_json(x, in, 60)));
  submit(x, w, in, arg(q, 2));
  if (x->last_mark && x->r.reply.given)
    x->last_mark->outcome = x->r.reply.code[0] ? hc_text(x->keep, "%s%s", x->r.reply.code, x->r.reply.duplicate ? ", the stored answer" : "") : hc_text(x->keep, "%d", x->r.reply.http_status);
  check_mocks(x);
}

/* ---- time --------------------------------------------------------------------------------------------------------------------------------- */

static const char *duration_text(runner *x, val v) {
  const val_quantity *q = (const val_quantity *)v.u.p;
  char number[64];
  size_t n = dec_format(&q->value, number);
  return hc_text(x->keep, "%.*s %.*s", (int)n, number, (int)q->unit_len, q->unit);
}

static void ask_after(runner *x, const vm_request *q) {
  int64_t us = rig_duration(arg(q, 0));
  if (us < 0) test_give_up(x, "a duration is wanted, such as 30 seconds");
  else if (test_need_rig(x)) {
    test_mark(x, "after", duration_text(x, arg(q, 0)));
    rig_advance(&x->r, us);
    check_mocks(x);
  }
}

/* An instant without zone is one in UTC. */
static void ask_at(runner *x, const vm_request *q) {
  val v = arg(q, 0);
  tm_val t;
  int64_t us;
  if (v.tag != VAL_DATETIME && v.tag != VAL_DATE) {
    test_give_up(x, "a date and time is wanted, such as @2026-03-08T01:59:00-06:00");
    return;
  }
  t = val_get_time(v);
  if (!t.has_zone) t.has_zone = true, t.zone_min = 0;
  if (tm_to_unix_us(&t, &us)) {
    test_give_up(x, "the time is out of range");
    return;
  }
  if (!x->open) {
    x->wall_us = us;
    return;
  }
  int64_t now = io_wall_us(x->r.x);
  if (us < now) test_give_up(x, "time only goes on: this is earlier than what was reached");
  else {
    test_mark(x, "at", test_json(x, v, 60));
    rig_advance(&x->r, us - now);
    check_mocks(x);
  }
}

static void ask_restart(runner *x) {
  char text[200];
  if (!test_need_rig(x)) return;
  test_mark(x, "restart", "");
  if (!rig_restart(&x->r, text)) {
    x->open = x->r.e != NULL;
    test_give_up(x, hc_text(x->keep, "the engine could not be started again: %s", text));
    return;
  }
  rig_advance(&x->r, 0);
  check_mocks(x);
}

/* ---- expectations ---------------------------------------------------------------------------------------------------------------------------- */

enum { SHOW_NOTHING, SHOW_EQUALITY, SHOW_COMPARISON, SHOW_RECEIVER };

static void ask_expect(runner *x, const vm_request *q) {
  val v = arg(q, 0), left = arg(q, 2), right = arg(q, 3), mode = arg(q, 4);
  if (v.tag == VAL_BOOL && v.u.i) return;
  const char *why = v.tag == VAL_BOOL ? "it is false" : v.tag == VAL_EMPTY ? "it is empty, which is not true" : "it is neither true nor false";
  test_failure *f = test_fail(x, why);
  if (!f) return;
  const char *text = text_arg(x, q, 1), *name = text_arg(x, q, 5);
  f->expression = arena_dup(x->keep, text, strlen(text));
  if (mode.u.i == SHOW_RECEIVER) {
    f->left_name = arena_dup(x->keep, name, strlen(name));
    f->left = test_json(x, left, TEST_VALUE_MAX);
    return;
  }
  if (mode.u.i == SHOW_NOTHING) {
    if (v.tag != VAL_BOOL && v.tag != VAL_EMPTY) f->left = test_json(x, v, TEST_VALUE_MAX), f->right = "true";
    return;
  }
  f->left = test_json(x, left, TEST_VALUE_MAX);
  f->right = test_json(x, right, TEST_VALUE_MAX);
  hc_list d = {0};
  if (mode.u.i == SHOW_EQUALITY) test_difference(&x->a, left, right, &d);
  for (uint32_t i = 0; i < d.n; i++) hc_list_add(x->keep, &f->differences, arena_dup(x->keep, d.v[i], strlen(d.v[i])));
}

/* ---- the table --------------------------------------------------------------------------------------------------------------------------------- */

val test_ask(runner *x, const vm_request *q) {
  uint32_t n = 0;
  const char *op = mod_text(&x->p->m, q->effect->op, &n);
  val none = VAL_NONE, seen;
  op = arena_dup(&x->a, op, n);
  if (!op) return test_give_up(x, "out of memory");
  if (strcmp(op, "sys.log") == 0) return none;
  op = strncmp(op, "test.", 5) == 0 ? op + 5 : op;
  if (strcmp(op, "mock") == 0) return ask_mock(x, q, false), none;
  if (strcmp(op, "mock_sequence") == 0) return ask_mock(x, q, true), none;
  if (strcmp(op, "when") == 0) return ask_when(x, q), none;
  if (strcmp(op, "at") == 0) return ask_at(x, q), none;
  if (strcmp(op, "after") == 0) return ask_after(x, q), none;
  if (strcmp(op, "restart") == 0) return ask_restart(x), none;
  if (strcmp(op, "expect") == 0) return ask_expect(x, q), none;
  if (strcmp(op, "file") == 0) return ask_file(x, text_arg(x, q, 0));
  if (strcmp(op, "hl7") == 0) return ask_hl7(x, text_arg(x, q, 0));
  if (test_look(x, op, q, &seen)) return seen;
  return test_give_up(x, hc_text(x->keep, "a test cannot do %s: steps and sends belong to workflows", op));
}
