/* engine_trace.c - see engine_trace.h. */
#include "engine_trace.h"
#include <stdio.h>
#include <stdlib.h>
#include "engine_int.h"

enum { TRACE_STEPS = 10000 };
static const int64_t trace_fuel = INT64_C(200000000);

typedef struct tracer {
  engine_trace *t;
  eng_run *r;
  const char *until;
  unsigned long number;      /* of `until`; 0 = it is a path */
  uint32_t cap;
} tracer;

/* ---- steps --------------------------------------------------------------------------------------------------------------- */

static const char *text_of(tracer *x, uint32_t k) {
  uint32_t n = 0;
  const char *s = k == MOD_NO_INDEX ? "" : mod_text(&x->r->app->m, k, &n);
  char *p = arena_dup(&x->t->a, s, n);
  return p ? p : "";
}

static engine_trace_step *add_step(tracer *x) {
  engine_trace *t = x->t;
  const vm_request *q = &x->r->vm.request;
  if (t->nsteps == x->cap) {
    uint32_t cap = x->cap ? x->cap * 2 : 32;
    engine_trace_step *v = (engine_trace_step *)arena_grow(&t->a, t->steps, x->cap * sizeof *v, cap * sizeof *v);
    if (!v) return NULL;
    t->steps = v;
    x->cap = cap;
  }
  engine_trace_step *s = &t->steps[t->nsteps++];
  *s = (engine_trace_step){.state = "new", .send = (q->effect->flags & MOD_EFFECT_SEND) != 0};
  s->path = arena_dup(&t->a, q->path, strlen(q->path));
  s->connection = text_of(x, q->effect->conn);
  s->operation = text_of(x, q->effect->op);
  mod_debug d;
  if (mod_site(&x->r->app->m, x->r->wf->func, q->path, &d)) engine_where(x->r->e, x->r->app->m.id, d.file, d.line, d.col, s->where);
  return s->path ? s : NULL;
}

static bool wanted(const tracer *x) {
  if (!x->until) return false;
  return x->number ? x->t->nsteps == x->number : !strcmp(x->r->vm.request.path, x->until);
}

/* Arguments as one object. */
static val request_of(tracer *x) {
  const vm_request *q = &x->r->vm.request;
  val *kv = (val *)arena_alloc(&x->t->a, (size_t)q->effect->nargs * 2 * sizeof *kv + 1);
  uint32_t n = 0;
  for (uint32_t i = 0; kv && i < q->effect->nargs; i++) {
    uint32_t at = q->effect->argn + i, k = at < x->r->app->m.nargn ? x->r->app->m.argn[at] : MOD_NO_INDEX;
    char number[12];
    snprintf(number, sizeof number, "%u", i);
    const char *name = k == MOD_NO_INDEX ? arena_dup(&x->t->a, number, strlen(number)) : text_of(x, k);
    if (q->args[i].tag == VAL_EMPTY || !name) continue;
    kv[2 * n] = val_key(name, strlen(name));
    kv[2 * n++ + 1] = q->args[i];
  }
  return kv ? (val){.tag = VAL_OBJ, .len = n, .u.v = kv} : VAL_NONE;
}

/* ---- names ------------------------------------------------------------------------------------------------------------------ */

/* The branch that asks. */
static const vm_run *asking(const tracer *x) { return x->t->stop == TRACE_FAILED || !x->r->vm.request.branch ? &x->r->vm : x->r->vm.request.branch; }

static bool add_frame(tracer *x, const vm_run *vm, const vm_frame *f, engine_trace_frame *out) {
  const module *m = &x->r->app->m;
  uint32_t at = f->pc ? f->pc - 1 : 0;
  mod_debug d;
  out->function = text_of(x, m->funcs[f->func].name);
  out->where[0] = 0;
  if (mod_where(m, at, &d)) engine_where(x->r->e, m->id, d.file, d.line, d.col, out->where);
  out->locals = (engine_trace_local *)arena_zalloc(&x->t->a, m->funcs[f->func].regs + 1u, sizeof *out->locals);
  if (!out->locals) return false;
  out->nlocals = 0;
  for (uint32_t i = 0; i < m->nlocals; i++) {
    const mod_local *l = &m->locals[i];
    if (l->func != f->func || at < l->from || at >= l->to || f->base + l->reg >= vm->cap_regs || out->nlocals == m->funcs[f->func].regs) continue;
    val v = vm->regs[f->base + l->reg];
    if (v.tag == VAL_BUILDER) continue;
    out->locals[out->nlocals++] = (engine_trace_local){text_of(x, l->name), v};
  }
  return true;
}

static hdw_status look(tracer *x) {
  engine_trace *t = x->t;
  uint32_t n = 0;
  for (const vm_run *vm = asking(x); vm; vm = vm->parent) n += vm->nframes;
  t->frames = (engine_trace_frame *)arena_zalloc(&t->a, n + 1u, sizeof *t->frames);
  if (!t->frames) return HDW_E_NOMEM;
  uint32_t known = 0; /* of the parent: the branch began with a copy of its innermost frame */
  for (const vm_run *vm = asking(x); vm; vm = vm->parent, known = 1)
    for (uint32_t i = vm->nframes - (vm->nframes ? known : 0); i-- > 0;)
      if (!add_frame(x, vm, &vm->frames[i], &t->frames[t->nframes++])) return HDW_E_NOMEM;
  return HDW_OK;
}

/* ---- execution ----------------------------------------------------------------------------------------------------------------- */

/* Goes on with what is recorded. False: there is nothing, the trace ends here. */
static bool replay(tracer *x, engine_trace_step *s) {
  eng_run *r = x->r;
  engine *e = r->e;
  store_effect f;
  log_rec rec;
  val v;
  if (!s->connection[0] || s->send) { /* lines of the log, and what was only queued, give nothing */
    s->state = s->send ? "queued" : "log";
    vm_resume(&r->vm, VAL_NONE);
    return true;
  }
  if (store_get_effect(e->store, ENG_PART, r->id, cod_cstr(s->path), &x->t->a, &f)) return x->t->stop = TRACE_NOT_RECORDED, false;
  if (!cod_equal(f.operation, cod_cstr(s->operation))) return x->t->stop = TRACE_DIVERGED, false;
  s->state = f.state == EFFECT_DONE ? "done" : f.state == EFFECT_FAILED ? "failed" : "open";
  x->t->stop = TRACE_NOT_RECORDED;
  if (f.state == EFFECT_INTENT || !f.result_pos.seg || log_read(e->log, f.result_pos, &x->t->a, &rec) || engine_unpack(e, &x->t->a, rec.body, rec.body_len, &v)) return false;
  if (f.state == EFFECT_DONE) vm_resume(&r->vm, v);
  else return vm_handles(r->vm.request.branch) && vm_throw(r->vm.request.branch, v);
  return true;
}

static hdw_status finished(tracer *x, vm_state st) {
  engine_trace *t = x->t;
  if (st == VM_DONE) {
    t->stop = TRACE_END;
    t->outcome = x->r->vm.outcome;
    t->result = t->outcome == VM_OUTCOME_NONE ? x->r->vm.result : x->r->vm.outcome_args[0];
    return HDW_OK;
  }
  t->stop = st == VM_FAILED ? TRACE_FAILED : TRACE_TOO_LONG;
  t->text = arena_dup(&t->a, x->r->cx.err.text, strlen(x->r->cx.err.text));
  return t->text ? look(x) : HDW_E_NOMEM;
}

static hdw_status drive(tracer *x) {
  engine_trace *t = x->t;
  for (;;) {
    vm_state st = vm_go(&x->r->vm);
    if (st == VM_OUT_OF_SLICE) continue;
    if (st != VM_AWAIT) return finished(x, st);
    engine_trace_step *s = t->nsteps < TRACE_STEPS ? add_step(x) : NULL;
    if (!s) return t->nsteps < TRACE_STEPS ? HDW_E_NOMEM : HDW_E_LIMIT;
    bool here = wanted(x);
    if (here) t->stop = TRACE_AT_STEP;
    else if (replay(x, s)) continue;
    t->request = request_of(x);
    return look(x);
  }
}

hdw_status engine_trace_run(engine *e, uint64_t run, const char *until, engine_trace *out) {
  tracer x = {.t = out, .until = until};
  memset(out, 0, sizeof *out);
  out->text = "";
  arena_init(&out->a, e->mem, (size_t)e->o.config->top.run_memory_bytes * 2);
  char *end = NULL;
  x.number = until ? strtoul(until, &end, 10) : 0;
  if (until && (!end || *end)) x.number = 0;
  eng_run *r = x.r = (eng_run *)eng_get(e, sizeof *r);
  if (!r) return HDW_E_NOMEM;
  r->e = e, r->id = run;
  arena_init(&r->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  hdw_status s = store_get_run(e->store, ENG_PART, run, &out->a, &out->row);
  if (!s) s = store_get_run(e->store, ENG_PART, run, &r->a, &r->row);
  if (!s) s = eng_run_prepare(r, NULL, 0);
  if (!s) {
    if (r->cx.fuel > trace_fuel) r->cx.fuel = trace_fuel;
    s = drive(&x);
  }
  out->run = r; /* values lie in its arena */
  return s;
}

void engine_trace_free(engine_trace *t) {
  eng_run *r = t->run;
  arena_free(&t->a);
  if (!r) return;
  arena_free(&r->a);
  eng_put(r->e, r, sizeof *r);
  t->run = NULL;
}
