/* See vm_slow.h. */
#include "vm_slow.h"
#include <stdio.h>
#include "vm_pool.h"

typedef enum step { STEP, STOP_DONE, STOP_FAIL, STOP_FUEL, STOP_MEMORY, STOP_ASK, STOP_BLOCK, STOP_OPEN, STOP_BROKEN } step;

typedef struct now { slow *s; slow_thread *t; slow_frame *f; uint32_t ins, ext, next; step stop; } now;

static slow_frame *frame_of(slow_thread *t) { return t->frames[t->nframes - 1]; }

static void broken(now *n, const char *what, uint32_t x) {
  if (n->stop != STOP_BROKEN) snprintf(n->s->broken, SLOW_TEXT, "%s %u, word %u (%s)", what, x, n->f->at, vm_op_name((vm_op)(n->ins & 255)));
  n->stop = STOP_BROKEN;
}

static void fault(now *n, hdw_status s, const char *text) {
  (void)vm_fail(n->s->cx, s, "%s", text);
  if (n->stop == STEP) n->stop = STOP_FAIL;
}

/* What a native or operator said. */
static void said(now *n, hdw_status s) {
  if (!s || n->stop != STEP) return;
  if (s == HDW_E_FUEL) n->stop = STOP_FUEL;
  else if (s == HDW_E_NOMEM) n->stop = STOP_MEMORY;
  else fault(n, s, hdw_status_text(s));
}

static void *room(now *n, size_t count, size_t size) {
  void *p = arena_zalloc(n->s->cx->a, count + 1, size);
  if (!p) n->stop = STOP_MEMORY;
  return p;
}

/* One unit that must be there before the instruction does anything. */
static bool tick(now *n) {
  if (n->s->cx->fuel > 0) { n->s->cx->fuel--; return true; }
  n->s->cx->fuel = -1;
  n->stop = STOP_FUEL;
  return false;
}

static uint32_t regs_of(const now *n) { return n->s->m->funcs[n->f->func].regs; }

static val rd(now *n, uint32_t r) {
  if (r >= regs_of(n)) { broken(n, "reads register", r); return VAL_NONE; }
  if (n->f->open[r] && n->stop == STEP) n->stop = STOP_OPEN;
  return n->f->r[r];
}

static void wr(now *n, uint32_t r, val v) {
  if (n->stop != STEP) return;
  if (r >= regs_of(n)) { broken(n, "writes register", r); return; }
  const char *wrong = v.tag == VAL_LIST && v.len > 64 ? NULL : pool_wrong(v);
  if (wrong) { broken(n, wrong, v.tag); return; }
  n->f->r[r] = v;
  n->f->open[r] = false;
}

static val constant(now *n, uint32_t k) {
  if (k < n->s->m->nconsts) return n->s->m->consts[k];
  broken(n, "constant", k);
  return VAL_NONE;
}

static uint32_t count(val v) { return v.tag == VAL_EMPTY ? 0 : v.tag == VAL_LIST ? v.len : 1; }
static val item(val v, uint32_t i) { return v.tag == VAL_LIST ? v.u.v[i] : v; }
static bool whole(val v) { return v.tag == VAL_INT || v.tag == VAL_LONG; }
static val number(bool wide, __int128 x) {
  if (x < INT64_MIN || x > INT64_MAX || (!wide && (x < INT32_MIN || x > INT32_MAX))) return VAL_NONE;
  return wide ? val_long((int64_t)x) : val_int((int64_t)x);
}

static val operate(now *n, vm_op op, val x, val y) {
  val args[2] = {x, y}, out = VAL_NONE;
  vm_native f = n->s->host->ops[op];
  if (n->stop != STEP) return VAL_NONE;
  if (!f) fault(n, HDW_E_TYPE, "no operator");
  else said(n, f(n->s->cx, args, 2, &out));
  return out;
}

static val arithmetic(now *n, vm_op op, val x, val y) {
  if (op == OP_DIV || !whole(x) || !whole(y)) return operate(n, op, x, y);
  bool wide = x.tag == VAL_LONG || y.tag == VAL_LONG;
  __int128 a = x.u.i, b = y.u.i;
  switch (op) {
    case OP_ADD: return number(wide, a + b);
    case OP_SUB: return number(wide, a - b);
    case OP_MUL: return number(wide, a * b);
    case OP_IDIV: return b ? number(wide, a / b) : VAL_NONE;
    default: return b ? number(wide, a % b) : VAL_NONE;
  }
}

static val compare(now *n, vm_op op, val x, val y) {
  if (whole(x) && whole(y)) {
    int64_t a = x.u.i, b = y.u.i;
    return val_bool(op == OP_EQ ? a == b : op == OP_NE ? a != b : op == OP_LT ? a < b : op == OP_LE ? a <= b : op == OP_GT ? a > b : a >= b);
  }
  int64_t fuel = n->s->cx->fuel;
  val v = operate(n, op, x, y);
  /* short texts are compared for nothing */
  if ((op == OP_EQ || op == OP_NE) && x.tag == VAL_STR && y.tag == VAL_STR && x.len < 256) n->s->cx->fuel = fuel;
  return v;
}

/* -1 {}, 0, 1; several items are a fault. */
static int truth(now *n, val v) {
  char text[80];
  if (v.tag == VAL_BOOL) return v.u.i != 0;
  if (v.tag == VAL_EMPTY) return -1;
  if (v.tag != VAL_LIST) return 1;
  snprintf(text, sizeof text, "a condition needs one value, %u were found", v.len);
  if (n->stop == STEP) fault(n, HDW_E_CARD, text);
  return -1;
}

static val logic(now *n, vm_op op, val x, val y) {
  static const signed char tables[4][9] = {/* rows x, columns y: {} false true */
    {-1, 0, -1, 0, 0, 0, -1, 0, 1}, {-1, -1, 1, -1, 0, 1, 1, 1, 1}, {-1, -1, -1, -1, 0, 1, -1, 1, 0}, {-1, -1, 1, 1, 1, 1, -1, 0, 1}};
  int a = truth(n, x), b = truth(n, y), z = tables[op - OP_AND][(a + 1) * 3 + b + 1];
  return z < 0 ? VAL_NONE : val_bool(z);
}

static void jump(now *n, int32_t d, bool costs) {
  if (n->stop != STEP) return;
  if (d < 0 && costs && !tick(n)) return;
  int64_t to = (int64_t)n->next + d;
  const mod_func *g = &n->s->m->funcs[n->f->func];
  if (to < g->code || to >= (int64_t)g->code + g->words) broken(n, "jumps to word", (uint32_t)to);
  n->next = (uint32_t)to;
}

static int32_t sbx(const now *n) { return (int16_t)(n->ins >> 16); }

/* ---- collections */

static val member(now *n, val coll, val key) {
  slow *s = n->s;
  if (coll.tag == VAL_LIST) s->cx->fuel -= coll.len;
  bool typed = coll.tag == VAL_LIST && coll.len && coll.u.v[0].tag == VAL_OBJ && coll.u.v[0].aux;
  val out = VAL_NONE;
  if (typed) { said(n, s->cx->model->member(s->cx, coll, key, &out)); return out; }
  val_builder b = {0};
  for (uint32_t i = 0; i < count(coll) && n->stop == STEP; i++) {
    val x = item(coll, i), v = VAL_NONE;
    if (x.tag == VAL_HL7 || (x.tag == VAL_OBJ && x.aux)) {
      said(n, s->cx->model->member(s->cx, x, key, &v));
    } else if (x.tag == VAL_OBJ) {
      for (uint32_t k = 0; k < x.len; k++) { /* the first that has the name */
        val name;
        if (val_norm(s->cx->a, x.u.v[2 * k], &name)) { n->stop = STOP_MEMORY; break; }
        if (name.len == key.len && memcmp(name.u.s, key.u.s, key.len) == 0) { said(n, val_norm(s->cx->a, x.u.v[2 * k + 1], &v)); break; }
      }
    } else if (x.tag == VAL_QTY) {
      const val_quantity *q = x.u.p;
      if (key.len == 5 && !memcmp(key.u.s, "value", 5)) said(n, val_from_dec(s->cx->a, &q->value, &v));
      if (key.len == 4 && !memcmp(key.u.s, "unit", 4)) v = val_str(q->unit, q->unit_len);
      if (key.len == 4 && !memcmp(key.u.s, "code", 4) && !(x.flags & VALF_CALENDAR)) v = val_str(q->unit, q->unit_len);
    }
    said(n, val_push(s->cx->a, &b, v));
  }
  return val_build(&b);
}

static val list(now *n, uint32_t from, uint32_t k) {
  val_builder b = {0};
  uint64_t total = 0;
  for (uint32_t i = 0; i < k; i++) total += count(rd(n, from + i));
  said(n, vm_charge(n->s->cx, total / 4));
  for (uint32_t i = 0; i < k; i++) {
    val v = rd(n, from + i);
    if (n->stop == STEP) said(n, val_push(n->s->cx->a, &b, v));
  }
  return val_build(&b);
}

static val object(now *n, uint32_t shape, uint32_t from) {
  const module *m = n->s->m;
  if (shape >= m->nshapes) { broken(n, "shape", shape); return VAL_NONE; }
  const mod_shape *s = &m->shapes[shape];
  val *kv = room(n, 2 * (size_t)s->n, sizeof *kv), v;
  uint32_t k = 0;
  uint8_t flags = 0;
  for (uint32_t i = 0; i < s->n && n->stop == STEP; i++) {
    const mod_key *key = &m->keys[s->first + i];
    val name = constant(n, key->name);
    v = rd(n, from + i);
    if (name.len && name.u.s[0] == '_') flags = VALF_UNDERSCORE;
    if (v.tag == VAL_EMPTY && (key->flags & MOD_KEY_OMIT_EMPTY)) continue;
    if (key->flags & MOD_KEY_ARRAY) {
      if (v.tag != VAL_LIST) {
        val *one = room(n, 1, sizeof *one);
        if (!one) break;
        one[0] = v;
        v = (val){.tag = VAL_LIST, .len = count(v), .u.v = one};
      }
      v.flags |= VALF_ARRAY;
    } else if (v.tag == VAL_EMPTY) {
      v = (val){.tag = VAL_NULL};
    }
    kv[2 * k] = name;
    kv[2 * k++ + 1] = v;
  }
  return (val){.tag = VAL_OBJ, .flags = flags, .len = k, .u.v = kv};
}

/* A template; and what it costs when it is made into text at once. */
static void template(now *n, uint32_t a, uint32_t from, uint32_t k) {
  val *parts = room(n, k, sizeof *parts);
  uint64_t chars = 0;
  bool plain = true;
  for (uint32_t i = 0; i < k && parts; i++) {
    val v = parts[i] = rd(n, from + i);
    if (v.tag == VAL_STR && v.len < 1 << 16) chars += v.len;
    else if (i % 2 && whole(v)) chars += 20;
    else if (v.tag != VAL_EMPTY) plain = false;
  }
  if (n->stop != STEP) return;
  val t = {.tag = VAL_TPL, .len = k, .u.v = parts};
  uint32_t after = n->s->m->code[n->next];
  if (!plain || after != (OP_TEXT | a << 8 | a << 16)) { wr(n, a, t); return; }
  said(n, vm_charge(n->s->cx, chars / 16));
  int64_t fuel = n->s->cx->fuel;
  n->s->cx->fuel = INT64_MAX / 2;
  val text = operate(n, OP_TEXT, t, VAL_NONE);
  n->s->cx->fuel = fuel;
  n->next++;
  wr(n, a, text);
}

static void check(now *n, uint32_t c, uint32_t a) {
  slow *s = n->s;
  if (c >= s->m->nchecks) { broken(n, "check", c); return; }
  const mod_check *k = &s->m->checks[c];
  val v = rd(n, a), x;
  uint32_t tn, wn, sn, got = 0;
  const char *type = mod_text(s->m, k->type, &tn), *what = mod_text(s->m, k->what, &wn), *src = mod_text(s->m, k->source, &sn);
  val_builder b = {0};
  if (k->max == 1 && v.tag == VAL_LIST && v.u.v[0].tag == VAL_HL7) v = v.u.v[0];
  said(n, vm_charge(s->cx, count(v)));
  for (uint32_t i = 0; i < count(v) && n->stop == STEP; i++) {
    hdw_status st = s->host->convert(s->cx, item(v, i), type, tn, &x);
    if (st == HDW_E_DATA || st == HDW_E_TYPE) {
      const char *kind = s->host->kind(item(v, i));
      if (tn > 5 && !memcmp(type, "FHIR.", 5)) type += 5, tn -= 5;
      bool same = !kind || (strlen(kind) == tn && !memcmp(kind, type, tn));
      if (same) (void)vm_fail(s->cx, HDW_E_DATA, "%.*s: the value is no %.*s (from %.*s)", (int)wn, what, (int)tn, type, (int)sn, src);
      else (void)vm_fail(s->cx, HDW_E_DATA, "%.*s: the value is %s %s, not %s %.*s (from %.*s)", (int)wn, what, strchr("AEIOUaeio", *kind) && *kind ? "an" : "a", kind,
                         *type && strchr("AEIOUaeio", *type) ? "an" : "a", (int)tn, type, (int)sn, src);
      n->stop = STOP_FAIL;
    } else {
      said(n, st);
    }
    if (n->stop == STEP && x.tag != VAL_EMPTY) {
      got++;
      said(n, count(v) == 1 ? (b = (val_builder){room(n, 1, sizeof x), 1, 1}, b.v ? (b.v[0] = x, HDW_OK) : HDW_E_NOMEM) : val_push(s->cx->a, &b, x));
    }
  }
  if (n->stop != STEP) return;
  bool few = got < k->min, many = k->max != MOD_MANY && got > k->max;
  uint32_t bound = few ? k->min : k->max;
  if (few || many) {
    (void)vm_fail(s->cx, HDW_E_DATA, "%.*s: %s%u value%s expected, %u found (from %.*s)", (int)wn, what, few && k->max != k->min ? "at least " : many ? "at most " : "", bound, bound == 1 ? "" : "s", got, (int)sn, src);
    n->stop = STOP_FAIL;
  } else {
    wr(n, a, b.len == 1 ? b.v[0] : val_build(&b));
  }
}

/* ---- calls, handlers, effects */

static slow_frame *push_frame(now *n, slow_thread *t, uint32_t func) {
  slow_frame *g = room(n, 1, sizeof *g);
  if (!g) return NULL;
  g->func = func;
  g->at = n->s->m->funcs[func].code;
  t->frames[t->nframes++] = g;
  return g;
}

static void call(now *n, uint32_t a, uint32_t func) {
  const module *m = n->s->m;
  if (func >= m->nfuncs) { broken(n, "function", func); return; }
  if (!tick(n)) return;
  if (n->t->nframes == VM_MAX_FRAMES) { fault(n, HDW_E_LIMIT, "calls are nested more than 200 deep"); return; }
  n->f->at = n->next;
  n->f->call = a;
  slow_frame *g = push_frame(n, n->t, func);
  for (uint32_t i = 0; i < m->funcs[func].params && g; i++) {
    val v = rd(n, a + i);
    g->r[i] = v;
  }
}

/* Back in the frame below: the call's register and what lies behind it may have been used by the callee. */
static void uncover(slow *s, slow_frame *f) {
  for (uint32_t i = f->call; i < s->m->funcs[f->func].regs; i++) f->open[i] = true;
}

static bool live_within(slow_thread *t, uint32_t from) {
  for (uint32_t i = from; i < t->ngroups; i++)
    if (t->groups[i]->live) return true;
  return false;
}

static bool unwind(slow *s, slow_thread *t, val e) {
  if (!t->ntries) return false;
  slow_try y = t->tries[--t->ntries];
  uint32_t keep = y.ngroups < t->ngroups ? y.ngroups : t->ngroups;
  while (keep && t->groups[keep - 1]->frame > y.frame) keep--;
  if (live_within(t, keep)) return false;
  t->ngroups = keep;
  if (t->nframes > y.frame + 1) uncover(s, t->frames[y.frame]);
  t->nframes = y.frame + 1;
  slow_frame *f = t->frames[y.frame];
  f->at = y.at;
  f->r[y.reg] = e;
  f->open[y.reg] = false;
  t->npath = y.npath;
  t->stand = GOES;
  return true;
}

static void raise(now *n, val e) {
  if (unwind(n->s, n->t, e)) { n->f = frame_of(n->t); n->next = n->f->at; return; }
  n->t->result = e;
  n->t->raised = true;
  fault(n, HDW_E_IO, "an error of a step was not handled");
}

static void ret(now *n, val v) {
  slow_thread *t = n->t;
  uint32_t depth = t->nframes - 1;
  if (n->stop != STEP) return;
  if (t->ngroups && t->groups[t->ngroups - 1]->frame == depth) { fault(n, HDW_E_INVALID, "a function ends between its branches"); return; }
  while (t->ntries && t->tries[t->ntries - 1].frame == depth) t->ntries--;
  t->nframes = depth;
  if (!depth) { t->result = v; n->stop = STOP_DONE; return; }
  n->f = frame_of(t);
  n->next = n->f->at;
  uncover(n->s, n->f);
  n->f->r[n->f->call] = v;
  n->f->open[n->f->call] = false;
}

static void effect(now *n, uint32_t a, uint32_t e) {
  slow_thread *t = n->t;
  size_t len = 0;
  if (e >= n->s->m->neffects) { broken(n, "effect", e); return; }
  if (n->s->is_gate) { fault(n, HDW_E_DENIED, "an effect inside the gate"); return; }
  for (uint32_t i = 0; i < n->s->m->effects[e].nargs; i++) (void)rd(n, a + i);
  for (uint32_t i = 0; i <= t->npath && len < sizeof t->place; i++) {
    if (i == t->npath) len += (size_t)snprintf(t->place + len, sizeof t->place - len, "%u", n->s->m->effects[e].site);
    else if (t->path[i].index < 0) len += (size_t)snprintf(t->place + len, sizeof t->place - len, "%u.", t->path[i].site);
    else len += (size_t)snprintf(t->place + len, sizeof t->place - len, "%u[%lld].", t->path[i].site, (long long)t->path[i].index);
  }
  if (len >= sizeof t->place) { fault(n, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal"); return; }
  if (n->stop != STEP) return;
  t->effect = e;
  t->effect_reg = a;
  n->stop = STOP_ASK;
}

/* ---- branches */

static uint64_t spread(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

static slow_group *group_here(slow_thread *t) {
  return t->ngroups && t->groups[t->ngroups - 1]->frame == t->nframes - 1 ? t->groups[t->ngroups - 1] : NULL;
}

static void par(now *n, val limit) {
  slow_thread *t = n->t;
  if (n->stop != STEP) return;
  if (n->s->is_gate) { fault(n, HDW_E_DENIED, "an effect inside the gate"); return; }
  if (t->ngroups == VM_MAX_GROUPS) { fault(n, HDW_E_LIMIT, "parallel is nested more than 8 deep"); return; }
  if (!whole(limit) && limit.tag != VAL_EMPTY) { fault(n, HDW_E_TYPE, "a limit is a whole number"); return; }
  slow_group *g = room(n, 1, sizeof *g);
  if (!g) return;
  g->frame = t->nframes - 1;
  g->limit = limit.tag == VAL_EMPTY ? VM_BRANCHES : limit.u.i < 1 ? 1 : limit.u.i > VM_MAX_BRANCHES ? VM_MAX_BRANCHES : (uint32_t)limit.u.i;
  t->groups[t->ngroups++] = g;
}

static void fork_branch(now *n) {
  slow *s = n->s;
  slow_thread *t = n->t;
  slow_group *g = group_here(t);
  uint32_t regs = regs_of(n);
  if (!g) { fault(n, HDW_E_INVALID, "a branch outside of a group"); return; }
  if (g->live >= g->limit || (s->alive >= VM_MAX_BRANCHES && g->live)) { n->stop = STOP_BLOCK; return; }
  if (s->alive >= 4 * VM_MAX_BRANCHES) { fault(n, HDW_E_LIMIT, "more than 1024 branches at once"); return; }
  if (g->begun == SLOW_BRANCHES || s->nthreads == SLOW_THREADS) { n->stop = STOP_OPEN; return; } /* more than this machine has room for */
  slow_thread *b = room(n, 1, sizeof *b);
  slow_frame *f = b ? push_frame(n, b, n->f->func) : NULL;
  if (!f) return;
  memcpy(f->r, n->f->r, sizeof f->r);
  memcpy(f->open, n->f->open, sizeof f->open);
  f->at = n->next;
  memcpy(b->path, t->path, sizeof b->path);
  b->npath = t->npath;
  b->parent = t;
  b->index = g->begun++;
  b->in_group = t->ngroups - 1;
  b->unique = spread(spread(s->cx->unique) ^ b->index);
  g->live++;
  s->alive++;
  s->threads[s->nthreads++] = b;
  jump(n, sbx(n), false);
  if (n->stop == STEP) said(n, vm_charge(s->cx, regs / 4));
}

static void branch_end(now *n, uint32_t a, uint32_t k, uint32_t keep) {
  slow_thread *t = n->t, *p = t->parent;
  if (t->ngroups) { fault(n, HDW_E_INVALID, "a branch ends between its branches"); return; }
  if (p && t->nframes == 1 && !keep && k && p->nframes - 1 > p->groups[t->in_group]->frame && p->frames[p->groups[t->in_group]->frame]->call < a + k) {
    fault(n, HDW_E_INVALID, "a branch ends in the registers of a call");
    return;
  }
  t->ended = true;
  if (p && t->nframes == 1) {
    slow_group *g = p->groups[t->in_group];
    slow_frame *f = p->frames[g->frame];
    if (keep) {
      g->keep[t->index] = rd(n, a);
      g->kept[t->index] = true;
    } else {
      for (uint32_t i = 0; i < k; i++) {
        if (a + i >= regs_of(n)) { broken(n, "ends with register", a + i); return; }
        f->r[a + i] = n->f->r[a + i];
        f->open[a + i] = n->f->open[a + i];
      }
    }
  }
  if (n->stop == STEP) n->stop = STOP_DONE;
}

static void join(now *n, uint32_t a) {
  slow_thread *t = n->t;
  slow_group *g = group_here(t);
  val_builder b = {0};
  uint32_t kept = 0;
  if (!g) { fault(n, HDW_E_INVALID, "a join outside of a group"); return; }
  if (g->live) { n->stop = STOP_BLOCK; return; }
  for (uint32_t i = 0; i < g->begun; i++) kept += g->kept[i];
  if (!g->bad && kept) {
    said(n, vm_charge(n->s->cx, g->begun));
    for (uint32_t i = 0; i < g->begun && n->stop == STEP; i++) said(n, val_push(n->s->cx->a, &b, g->kept[i] ? g->keep[i] : VAL_NONE));
  }
  if (n->stop != STEP) return;
  t->ngroups--;
  if (!g->bad) {
    wr(n, a, val_build(&b));
  } else if (g->raised) {
    raise(n, g->bad_value);
  } else if (g->outcome) {
    t->outcome = g->outcome;
    t->args[0] = g->args[0], t->args[1] = g->args[1];
    n->stop = STOP_DONE;
  } else {
    n->s->cx->err = g->err;
    n->stop = STOP_FAIL;
  }
}

/* A branch that is over leaves when its own branches have left. */
static void leave(slow *s, slow_thread *t) {
  while (t->parent && t->stand == OVER && !t->gone && !live_within(t, 0)) {
    t->gone = true;
    s->alive--;
    t->parent->groups[t->in_group]->live--;
    if (t->parent->stand == BLOCKED) t->parent->stand = GOES;
    t = t->parent;
  }
}

static void branch_over(slow *s, slow_thread *t, bool done) {
  slow_group *g = t->parent->groups[t->in_group];
  if (done && !t->ended && !t->outcome) {
    (void)vm_fail(s->cx, HDW_E_INVALID, "a function ends within a branch");
    done = false;
  }
  if ((!done || t->outcome) && (!g->bad || t->index < g->bad_index)) {
    g->bad = true;
    g->bad_index = t->index;
    g->raised = t->raised;
    g->bad_value = t->result;
    g->outcome = done ? t->outcome : 0;
    g->args[0] = t->args[0], g->args[1] = t->args[1];
    g->err = s->cx->err;
    if (!done && !g->err.status) g->err.status = HDW_E_INVALID;
  }
  memset(&s->cx->err, 0, sizeof s->cx->err);
  t->stand = OVER;
  leave(s, t);
}

/* ---- regions: nothing is given back, but what might have been is marked */

static bool has_memory(val v) {
  switch (v.tag) {
    case VAL_EMPTY: case VAL_BOOL: case VAL_INT: case VAL_LONG: case VAL_DATE: case VAL_DATETIME: case VAL_TIME: case VAL_HANDLE: case VAL_TYPE: return false;
    case VAL_DEC: return (v.flags & VALF_BIG) != 0;
    default: return true;
  }
}

static void region(now *n, uint32_t a) {
  slow_frame *f = n->f;
  uint32_t i = 0, open = 0;
  (void)rd(n, a);
  while (i < f->nregions && f->regions[i].reg != a) i++;
  f->nregions = i;
  for (uint32_t k = 0; k < n->t->nframes; k++) open += n->t->frames[k]->nregions;
  if (open < VM_MAX_REGIONS) f->regions[f->nregions++] = (slow_region){a, arena_here(n->s->cx->a)};
}

static void recycle(now *n, uint32_t a) {
  slow_frame *f = n->f;
  for (uint32_t i = 0; i < f->nregions; i++) {
    if (f->regions[i].reg != a) continue;
    for (uint32_t r = 0; r < regs_of(n); r++)
      if (r != a && has_memory(f->r[r]) && arena_newer(n->s->cx->a, f->regions[i].mark, f->r[r].u.p)) f->open[r] = true;
    f->nregions = i + 1;
  }
}

#include "vm_slow_ops.h"
