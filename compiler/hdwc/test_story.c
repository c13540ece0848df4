/* test_story.c - what happened in a case that failed: what the test did, and between that each attempt at an effect, log lines, and what became of
 * the runs, in the order in which it was. */
#include <string.h>
#include "json.h"
#include "test_int.h"

enum { EVENTS_MAX = 60, VALUE_MAX = 400 };

const char *test_where(runner *x, const char *workflow, const char *path) {
  const meta_workflow *w = rig_workflow(&x->r, workflow);
  mod_debug d;
  uint32_t n;
  if (!w || !mod_site(&x->p->app_m, w->func, path, &d)) return "";
  const char *name = mod_text(&x->p->app_m, d.file, &n);
  name = hc_text(&x->a, "%.*s", (int)n, name);
  return hc_text(x->keep, "%s:%u:%u", hc_source_shown(x->p->s, name), d.line, d.col);
}

void test_mark(runner *x, const char *kind, const char *text) {
  story_mark *m = (story_mark *)arena_zalloc(&x->a, 1, sizeof *m);
  if (!m) return;
  m->kind = kind, m->text = text;
  m->where = hc_text(x->keep, "%s:%u", x->file ? x->file : x->c->file, x->line);
  m->after = x->r.last_effect;
  m->log = x->r.last_log;
  m->at_us = io_wall_us(x->r.x);
  if (x->last_mark) x->last_mark->next = m;
  else x->marks = m;
  x->last_mark = m;
}

static test_event *add(runner *x, const char *kind, int64_t at_us) {
  test_case *c = x->c;
  if (c->nevents >= EVENTS_MAX) {
    c->cut = true;
    return NULL;
  }
  test_event *e = (test_event *)arena_zalloc(x->keep, 1, sizeof *e);
  if (!e) return NULL;
  e->kind = kind;
  e->after_ms = at_us > x->start_us ? (at_us - x->start_us) / 1000 : 0;
  if (c->last_event) c->last_event->next = e;
  else c->events = e;
  c->last_event = e;
  c->nevents++;
  return e;
}

static void tell_effect(runner *x, const rig_effect *f) {
  test_event *e = add(x, f->delivery ? "send" : "step", f->at_us);
  if (!e) return;
  e->what = hc_text(x->keep, "%s.%s", f->connection, f->operation);
  e->workflow = hc_text(x->keep, "%s", f->workflow);
  e->path = hc_text(x->keep, "%s", f->path);
  e->where = test_where(x, f->workflow, f->path);
  e->request = test_json(x, f->request, VALUE_MAX);
  e->attempt = f->attempt;
  if (f->unmatched) e->error = "no mock fits this call";
  else if (f->failed) e->error = hc_text(x->keep, "%s", f->error);
  else e->result = test_json(x, f->result, VALUE_MAX);
  if (f->delay_us) e->delay_ms = f->delay_us / 1000;
  if (f->mock) e->mock = f->answers > 1 ? hc_text(x->keep, "%s, answer %u of %u", f->mock, f->answer + 1, f->answers) : hc_text(x->keep, "%s", f->mock);
}

static void tell_log(runner *x, const rig_log *l) {
  val v;
  if (!hc_json(&x->a, &x->p->h->mem.m, "log", l->line, l->len, &v) || !jv_is(jv_get(v, "event"), "log")) return;
  test_event *e = add(x, "log", 0);
  const char *text = jv_text(x->keep, jv_get(v, "message")), *where = jv_text(x->keep, jv_get(v, "at"));
  if (!e) return;
  e->after_ms = -1;
  e->what = text ? text : "";
  e->where = where ? where : "";
}

/* Everything that came before the next mark: up to the effect and the log line that were the last then. */
static void tell_until(runner *x, const rig_effect **f, const rig_effect *f_end, const rig_log **l, const rig_log *l_end) {
  for (; *f && *f != f_end; *f = (*f)->next) {
    tell_effect(x, *f);
    for (; *l && *l != l_end && (*l)->after == *f; *l = (*l)->next) tell_log(x, *l);
  }
  for (; *l && *l != l_end; *l = (*l)->next) tell_log(x, *l);
}

static void tell_run(const store_run *run, void *user) {
  runner *x = (runner *)user;
  test_event *e = add(x, "run", run->changed_us);
  char where[200] = "";
  if (!e) return;
  engine_where(x->r.e, run->module, run->file, run->line, run->column, where);
  e->what = hc_text(x->keep, "%.*s", (int)run->workflow.len, run->workflow.p);
  e->result = rig_run_state(run->state);
  e->where = hc_text(x->keep, "%s", where);
  if (run->state != RUN_DONE && (run->reason.len || run->error_code.len))
    e->error = hc_text(x->keep, "%.*s%s%.*s", (int)run->error_code.len, run->error_code.p, run->error_code.len ? ": " : "", (int)run->reason.len, run->reason.p);
}

void test_story(runner *x) {
  const rig_effect *f = x->r.effects;
  const rig_log *l = x->r.logs;
  for (story_mark *m = x->marks; m; m = m->next) {
    tell_until(x, &f, m->after ? m->after->next : x->r.effects, &l, m->log ? m->log->next : x->r.logs);
    test_event *e = add(x, m->kind, m->at_us);
    if (e) e->what = m->text, e->where = m->where, e->result = m->outcome;
  }
  tell_until(x, &f, NULL, &l, NULL);
  rig_runs(&x->r, &x->a, tell_run, x);
}
