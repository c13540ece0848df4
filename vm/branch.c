/* branch.c - branches of a run (PAR, FORK, BEND, JOIN), resumption, and which of them goes on.
 *
 *   run      PAR  FORK FORK FORK  JOIN(waits) ......................... goes on
 *   branch 0       +--> effect, waits ............ BEND
 *   branch 1            +--> effect, waits ... BEND           (results may come in any order)
 *   branch 2                 +--> effect, waits ..... BEND
 *
 * All branches of a run, of branches too, are in one list in the order they were begun; the first that can go on goes on. A branch that fails does not
 * stop the others: the effects that a run asks for do not depend on who was faster. */
#include "interp_int.h"

/* ---- groups */

static vm_group *group_of(vm_run *r) {
  return r->ngroups && r->groups[r->ngroups - 1].frame == r->nframes - 1 ? &r->groups[r->ngroups - 1] : NULL;
}

hdw_status vm_group_begin(vm_run *r, val limit) {
  if (r->is_gate) return vm_fail(r->cx, HDW_E_DENIED, "an effect inside the gate");
  if (r->ngroups == VM_MAX_GROUPS) return vm_fail(r->cx, HDW_E_LIMIT, "parallel is nested more than %d deep", VM_MAX_GROUPS);
  uint32_t n = VM_BRANCHES;
  if (limit.tag == VAL_INT || limit.tag == VAL_LONG) n = limit.u.i < 1 ? 1 : limit.u.i > VM_MAX_BRANCHES ? VM_MAX_BRANCHES : (uint32_t)limit.u.i;
  else if (limit.tag != VAL_EMPTY) return vm_fail(r->cx, HDW_E_TYPE, "a limit is a whole number");
  r->groups[r->ngroups++] = (vm_group){.frame = r->nframes - 1, .limit = n};
  return HDW_OK;
}

/* SplitMix64: counters of branches begin far apart. */
static uint64_t spread(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static hdw_status keep_room(vm_run *r, vm_group *g) {
  if (g->begun < g->cap) return HDW_OK;
  uint32_t cap = g->cap ? g->cap * 2 : 8;
  val *p = (val *)arena_grow(r->cx->a, g->keep, g->cap * sizeof *p, cap * sizeof *p);
  if (!p) return HDW_E_NOMEM;
  for (uint32_t i = g->cap; i < cap; i++) p[i] = VAL_NONE;
  g->keep = p, g->cap = cap;
  return HDW_OK;
}

static vm_run *new_branch(vm_run *root) {
  vm_run *b = root->spare;
  if (b) root->spare = b->next;
  else b = (vm_run *)arena_zalloc(root->cx->a, 1, sizeof *b);
  return b;
}

hdw_status vm_fork(vm_run *r, uint32_t pc) {
  vm_group *g = group_of(r);
  vm_run *root = r->root;
  if (!g) return vm_fail(r->cx, HDW_E_INVALID, "a branch outside of a group");
  if (g->live >= g->limit) return HDW_E_AGAIN;
  if (root->nbranches >= VM_MAX_BRANCHES && g->live) return HDW_E_AGAIN;
  if (root->nbranches >= 4 * VM_MAX_BRANCHES) return vm_fail(r->cx, HDW_E_LIMIT, "more than %d branches at once", 4 * VM_MAX_BRANCHES);
  hdw_status s = keep_room(r, g);
  vm_run *b = s ? NULL : new_branch(root);
  if (!b) return HDW_E_NOMEM;
  const vm_frame *f = &r->frames[r->nframes - 1];
  uint32_t n = r->m->funcs[f->func].regs;
  b->m = r->m, b->host = r->host, b->bound = r->bound, b->cx = r->cx;
  b->is_gate = false, b->slice = 0;
  b->ntries = b->nregions = b->nlanes = b->ngroups = 0;
  b->recycled = NULL;
  b->result = b->outcome_args[0] = b->outcome_args[1] = b->once_key = b->once_within = VAL_NONE;
  b->outcome = VM_OUTCOME_NONE;
  b->ended = b->raised = false;
  b->copies = r->copies;
  if ((s = vm_window(b, 0, n))) {
    b->next = root->spare;
    root->spare = b;
    return s;
  }
  memcpy(b->regs, r->regs + f->base, n * sizeof *b->regs);
  if (b->cap_regs > n) memset(b->regs + n, 0, (b->cap_regs - n) * sizeof *b->regs);
  b->frames[0] = (vm_frame){.func = f->func, .pc = pc, .base = 0, .ret = 0};
  b->nframes = 1;
  memcpy(b->path, r->path, r->npath * sizeof *b->path);
  b->npath = r->npath;
  b->root = root, b->parent = r;
  b->index = g->begun++;
  b->in_group = r->ngroups - 1;
  b->unique = spread(spread(r->cx->unique) ^ b->index);
  b->stand = VM_GOES;
  b->request.branch = b;
  g->live++;
  root->nbranches++;
  vm_run **at = &root->next;
  while (*at) at = &(*at)->next;
  b->next = NULL;
  *at = b;
  return vm_charge(r->cx, n / 4);
}

hdw_status vm_branch_end(vm_run *r, uint32_t reg, uint32_t n, bool keep) {
  vm_run *p = r->parent;
  r->ended = true;
  if (!p || r->nframes != 1) return HDW_OK;
  vm_group *g = &p->groups[r->in_group];
  const vm_frame *f = &p->frames[g->frame];
  /* Who began it is in a call meanwhile, whose registers begin below those that the branch ends in: never so from the compiler. */
  if (!keep && n && p->nframes - 1 > g->frame && f[1].base < f->base + reg + n) {
    r->ended = false;
    return vm_fail(r->cx, HDW_E_INVALID, "a branch ends in the registers of a call");
  }
  if (keep) g->keep[r->index] = r->regs[reg], g->kept++;
  else memcpy(p->regs + f->base + reg, r->regs + reg, n * sizeof *r->regs);
  return HDW_OK;
}

hdw_status vm_join(vm_run *r, val *out, vm_bad **bad) {
  vm_group *g = group_of(r);
  if (!g) return vm_fail(r->cx, HDW_E_INVALID, "a join outside of a group");
  if (g->live) return HDW_E_AGAIN;
  *out = VAL_NONE;
  *bad = g->bad;
  if (!g->bad && g->kept) {
    val_builder b = {0};
    hdw_status s = vm_charge(r->cx, g->begun);
    for (uint32_t i = 0; i < g->begun && !s; i++) s = val_push(r->cx->a, &b, g->keep[i]);
    if (s) return s;
    *out = val_build(&b);
  }
  r->ngroups--;
  return HDW_OK;
}

static bool has_live(const vm_run *b) {
  for (uint32_t i = 0; i < b->ngroups; i++)
    if (b->groups[i].live) return true;
  return false;
}

/* Takes a branch that is over out of the run, to be used again. One whose own branches are still at work stays where it is until the last of them is over,
 * since they end in its registers and groups: that is never so from the compiler, which joins what it forked. */
static void retire(vm_run *b) {
  vm_run *root = b->root;
  while (b->parent && b->stand == VM_OVER && !has_live(b)) {
    vm_run *p = b->parent, **at = &root->next;
    p->groups[b->in_group].live--;
    if (p->stand == VM_BLOCKED) p->stand = VM_GOES;
    while (*at && *at != b) at = &(*at)->next;
    if (*at) *at = b->next;
    b->next = root->spare;
    root->spare = b;
    root->nbranches--;
    b = p;
  }
}

/* The branch is over: what is bad about it is kept when it is the first in the order of the source, and the one that began it may go on. */
static hdw_status over(vm_run *b, vm_state how) {
  vm_group *g = &b->parent->groups[b->in_group];
  if (how == VM_DONE && !b->ended && b->outcome == VM_OUTCOME_NONE) { /* by RET: never from the compiler */
    (void)vm_fail(b->cx, HDW_E_INVALID, "a function ends within a branch");
    how = VM_FAILED;
  }
  if ((how != VM_DONE || b->outcome != VM_OUTCOME_NONE) && (!g->bad || b->index < g->bad->index)) {
    if (!g->bad) g->bad = (vm_bad *)arena_alloc(b->cx->a, sizeof *g->bad);
    if (!g->bad) return HDW_E_NOMEM;
    *g->bad = (vm_bad){.index = b->index, .raised = b->raised, .value = b->result, .outcome = how == VM_DONE ? b->outcome : VM_OUTCOME_NONE,
                       .args = {b->outcome_args[0], b->outcome_args[1]}, .err = b->cx->err};
    if (how != VM_DONE && !g->bad->err.status) g->bad->err.status = HDW_E_INVALID;
  }
  memset(&b->cx->err, 0, sizeof b->cx->err);
  b->stand = VM_OVER;
  retire(b);
  return HDW_OK;
}

/* ---- going on */

static vm_run *who(vm_run *root) {
  for (vm_run *b = root; b; b = b->next)
    if (b->stand == VM_GOES) return b;
  return NULL;
}

vm_state vm_go(vm_run *root) {
  if (!root->next && root->stand == VM_GOES) { /* the common case, and how every group begins */
    vm_state s = vm_exec(root);
    if (s == VM_AWAIT) root->stand = VM_AWAITS, root->request.branch = root;
    if (s != VM_WAITING) return s;
  }
  for (vm_run *b; (b = who(root));) {
    vm_cx *cx = root->cx;
    uint64_t unique = cx->unique;
    if (b != root) cx->unique = b->unique, b->slice = root->slice;
    vm_state s = vm_exec(b);
    if (b != root) b->unique = cx->unique, cx->unique = unique, root->slice = b->slice;
    if (s == VM_AWAIT) {
      b->stand = VM_AWAITS;
      if (b != root) root->request = b->request;
      root->request.branch = b;
      return s;
    }
    if (s == VM_WAITING) continue;
    if (b == root || (s != VM_DONE && s != VM_FAILED)) return s;
    if (over(b, s)) return VM_OUT_OF_MEMORY;
  }
  return VM_WAITING;
}

void vm_resume_branch(vm_run *b, val result) {
  vm_frame *f = &b->frames[b->nframes - 1];
  uint32_t ins = b->m->code[f->pc - 1];
  b->regs[f->base + ((ins >> 8) & 255)] = result;
  b->stand = VM_GOES;
}

void vm_resume(vm_run *r, val result) { vm_resume_branch(r->request.branch, result); }

bool vm_unwind(vm_run *r, val error) {
  if (!r->ntries) return false;
  vm_try t = r->tries[--r->ntries];
  uint32_t keep = t.groups < r->ngroups ? t.groups : r->ngroups;
  while (keep && r->groups[keep - 1].frame > t.frame) keep--; /* of frames that end here, whatever was open at TRY: their branches would write to frames that are others by then */
  for (uint32_t i = keep; i < r->ngroups; i++)
    if (r->groups[i].live) return false; /* never from the compiler: a step fails in its branch, and JOIN closes the group */
  r->ngroups = keep;
  r->nframes = t.frame + 1;
  vm_regions_pop(r, r->nframes);
  vm_frame *f = &r->frames[t.frame];
  f->pc = t.pc;
  r->npath = t.path;
  r->regs[f->base + t.reg] = error;
  r->stand = VM_GOES;
  return true;
}

bool vm_handles(const vm_run *b) {
  for (; b; b = b->parent)
    if (b->ntries) return true;
  return false;
}

bool vm_throw(vm_run *b, val error) {
  if (vm_unwind(b, error)) return true;
  if (!b->parent) return false;
  b->result = error;
  b->raised = true;
  return over(b, VM_FAILED) == HDW_OK;
}

bool vm_resume_error(vm_run *r, val error) {
  vm_run *b = r->request.branch;
  return vm_handles(b) && vm_throw(b, error);
}
