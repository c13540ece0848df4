/* stmt.c - statements: of workflows, actions, functions and tests. */
#include "comp_int.h"
#include "hl7.h"
#include <stdio.h>
#include <string.h>

void never_reached(comp *c, const ast *n) {
  if (!n->next || n->next->kind == AST_ERROR || n->kind == AST_ERROR || !always_ends(n)) return;
  diag *d = err(c, W0309, n->next, "this is never reached");
  diag_also(c->d, d, c->u->file, n->off, n->end, "what stands before always ends here");
}

/* A block has a scope: its names and registers end with it. */
void stmt_block(comp *c, ast *block) {
  int nlocals = c->f->nlocals, top = c->f->top, facts = c->f->nfacts;
  for (ast *n = block->first; n; n = n->next) { stmt_one(c, n); never_reached(c, n); }
  end_locals(c, nlocals);
  c->f->top = top;
  c->f->nfacts = facts;
}

static void let(comp *c, ast *n) {
  ast *name = n->first, *type = name->next, *e = type->next;
  local *old = find_local(c, node_name(c, name));
  if (old) {
    diag *d = err(c, E0210, name, "'%.*s' has a value already: names are bound once", STR(old->name));
    diag_also(c->d, d, c->u->file, old->at->off, old->at->end, "first here");
  }
  int r = reg_new(c);
  pos(c, n);
  ty want = ast_is_nil(type) ? ty_one(TY_ERR) : type_node(c, type);
  ty t = ex_as(c, e, want, r);
  if (!ast_is_nil(type)) {
    coerce(c, e, t, want, r, fmt(c, "'%.*s'", STR(node_name(c, name))));
    want.label = t.label;
    if (want.kind != TY_ERR) t = want;
  }
  add_local(c, name, t, r);
}

/* Journal path of a branch: its own place among the branches of this site, by a register with its number. */
static void branch_path(comp *c, uint32_t site, int number) {
  emit_bx(&c->e, c->f->fn, OP_PPUSH, 0, site);
  emit_op(&c->e, c->f->fn, OP_PINDEX, (uint32_t)number, 0, 0);
}

/* for page in c.pages(…): one step a page, with what the page before says about where it ended; its memory goes with its iteration.
 *   it  where the page before ended, {} at first       it + 1  number of the page       it + 2  the page */
static ty pages_loop(comp *c, ast *n, int dst) {
  fnctx *f = c->f;
  ast *name = n->first, *src = name->next, *limit = src->next, *body = limit->next;
  int top = f->top, nlocals = f->nlocals, it = regs_new(c, 3), k = regs_new(c, 2), count = -1;
  pos(c, n);
  if (n->kind == AST_PARFOR) err(c, E0211, n, "pages come one after the other: a page says where the next one is");
  op3(c, OP_EMPTY, it, 0, 0);
  emit_bx(&c->e, f->fn, OP_LOADI, (uint32_t)it + 1, 0);
  if (!ast_is_nil(limit)) {
    count = reg_new(c);
    ty lt = ex(c, limit, count);
    if (!ty_is_open(lt) && lt.kind != TY_INT) err(c, E0209, limit, "a limit is an integer");
  }
  uint32_t own = f->site++, site = f->site, stop = MOD_NO_INDEX;
  f->paths++;
  emit_bx(&c->e, f->fn, OP_PPUSH, 0, own);
  int yb = f->yield_builder;
  ty yt = f->yield_t, result = ty_make(TY_ANY, 0, true);
  bool hy = f->has_yield;
  if (dst >= 0) {
    f->yield_builder = reg_new(c);
    f->has_yield = false;
    op3(c, OP_NEWB, f->yield_builder, 0, 0);
  }
  f->site = 0;
  emit_op(&c->e, f->fn, OP_REGION, (uint32_t)it, 0, 0);
  uint32_t head = emit_here(&c->e, f->fn);
  if (count >= 0) {
    op3(c, OP_LT, k, it + 1, count);
    stop = emit_jump(&c->e, f->fn, OP_JMPN, (uint32_t)k);
  }
  emit_op(&c->e, f->fn, OP_PINDEX, (uint32_t)it + 1, 0, 0);
  ty t = page_call(c, src, it, it + 2);
  add_local(c, name, ty_card(t, 1, false), it + 2);
  stmt_block(c, body);
  op3(c, OP_MOVE, k, it + 2, 0);
  native(c, "page.after", k, 1, ty_opt(TY_ANY));
  op3(c, OP_MOVE, it, k, 0);
  uint32_t out = emit_jump(&c->e, f->fn, OP_JMPE, (uint32_t)it);
  emit_bx(&c->e, f->fn, OP_LOADI, (uint32_t)k, 1);
  op3(c, OP_ADD, it + 1, it + 1, k);
  emit_op(&c->e, f->fn, OP_RECYCLE, (uint32_t)it, 0, 0);
  emit_jump_to(&c->e, f->fn, OP_JMP, 0, head);
  emit_patch(&c->e, f->fn, out);
  if (stop != MOD_NO_INDEX) emit_patch(&c->e, f->fn, stop);
  op3(c, OP_PPOP, 0, 0, 0);
  f->site = site, f->paths--;
  if (dst >= 0) {
    op3(c, OP_BUILD, dst, f->yield_builder, 0);
    if (f->has_yield) result = ty_card(f->yield_t, 0, true);
    f->yield_builder = yb, f->yield_t = yt, f->has_yield = hy;
  }
  end_locals(c, nlocals);
  f->top = top;
  return result;
}

/* A loop; its value (yields) goes to dst when it has one. With effects and `parallel`, each iteration is a branch. */
static ty for_loop(comp *c, ast *n, int dst) {
  fnctx *f = c->f;
  ast *name = n->first, *src = name->next, *limit = src->next, *body = limit->next;
  bool effects = has_effect(c, body), branches = effects && n->kind == AST_PARFOR;
  int top = f->top, nlocals = f->nlocals, in_branch = f->in_branch;
  int it = regs_new(c, 4), count = -1, k = reg_new(c);
  ty t = ty_make(TY_LONG, 0, true);
  vm_op next = OP_NEXT;
  pos(c, n);
  if (src->kind == AST_CALL && str_is(node_name(c, src->first), "range") && ast_child(src, 1)->n == 2) {
    t = ty_card(range_bounds(c, src, it), 0, true);
    op3(c, OP_EMPTY, it + 3, 0, 0);
    next = OP_RANGE;
  } else {
    int r = ex_any(c, src, &t);
    op3(c, OP_ITER, it, r, 0);
  }
  if (!ast_is_nil(limit)) {
    count = reg_new(c);
    ty lt = ex(c, limit, count);
    if (!ty_is_open(lt) && lt.kind != TY_INT) err(c, E0209, limit, "a limit is an integer");
  }
  uint32_t own = f->site, fork = MOD_NO_INDEX;
  if (effects) f->site++, f->paths++;
  if (branches) {
    if (count < 0) op3(c, OP_EMPTY, count = reg_new(c), 0, 0);
    emit_op(&c->e, f->fn, OP_PAR, (uint32_t)count, 0, 0);
  } else if (effects) emit_bx(&c->e, f->fn, OP_PPUSH, 0, own);
  uint32_t site = f->site;
  int yb = f->yield_builder;
  ty yt = f->yield_t;
  bool hy = f->has_yield;
  if (dst >= 0) {
    f->yield_builder = reg_new(c);
    f->has_yield = false;
    if (!branches) op3(c, OP_NEWB, f->yield_builder, 0, 0);
  } else if (branches) f->yield_builder = -1;
  if (effects) f->site = 0;
  bool region = effects && !branches; /* what an iteration with effects allocates is given back at its end */
  if (region) emit_op(&c->e, f->fn, OP_REGION, (uint32_t)it + 1, 0, 0);
  uint32_t head = emit_here(&c->e, f->fn);
  uint32_t out = emit_jump(&c->e, f->fn, next, (uint32_t)it), stop = MOD_NO_INDEX;
  if (count >= 0 && n->kind == AST_FOR) {
    op3(c, OP_LT, k, it + 3, count);
    stop = emit_jump(&c->e, f->fn, OP_JMPN, (uint32_t)k);
  }
  if (branches) {
    fork = emit_jump(&c->e, f->fn, OP_FORK, 0);
    branch_path(c, own, it + 3);
    if (dst >= 0) op3(c, OP_NEWB, f->yield_builder, 0, 0);
    f->in_branch = 1;
  } else if (effects) emit_op(&c->e, f->fn, OP_PINDEX, (uint32_t)it + 3, 0, 0);
  add_local(c, name, ty_card(t, 1, false), it + 2);
  stmt_block(c, body);
  if (branches) {
    if (dst >= 0) op3(c, OP_BUILD, f->yield_builder, f->yield_builder, 0);
    emit_op(&c->e, f->fn, OP_BEND, dst >= 0 ? (uint32_t)f->yield_builder : 0, 0, dst >= 0);
    emit_patch(&c->e, f->fn, fork);
    f->in_branch = in_branch;
  }
  if (region) emit_op(&c->e, f->fn, OP_RECYCLE, (uint32_t)it + 1, 0, 0);
  emit_jump_to(&c->e, f->fn, OP_JMP, 0, head);
  emit_patch(&c->e, f->fn, out);
  if (stop != MOD_NO_INDEX) emit_patch(&c->e, f->fn, stop);
  if (branches) emit_op(&c->e, f->fn, OP_JOIN, (uint32_t)(dst >= 0 ? dst : k), 0, 0);
  else if (effects) op3(c, OP_PPOP, 0, 0, 0);
  if (effects) f->site = site, f->paths--;
  ty result = ty_make(TY_ANY, 0, true);
  if (branches && dst < 0) f->yield_builder = yb;
  if (dst >= 0) {
    if (!branches) op3(c, OP_BUILD, dst, f->yield_builder, 0);
    if (f->has_yield) result = ty_card(f->yield_t, 0, true);
    f->yield_builder = yb;
    f->yield_t = yt;
    f->has_yield = hy;
  }
  end_locals(c, nlocals);
  f->top = top;
  return result;
}

static ty any_loop(comp *c, ast *n, int dst) { return c->f->effects && is_pages(c, n->first->next) ? pages_loop(c, n, dst) : for_loop(c, n, dst); }

/* on error handlers behind a step: in order, each with its condition; what none takes is raised again. */
static ty handlers(comp *c, ast *list, int err_reg, int dst, ty t) {
  fnctx *f = c->f;
  uint32_t outs[32], n = 0;
  int old = f->error_reg;
  bool caught = false;
  f->error_reg = err_reg;
  for (ast *h = list->first; h; h = h->next) {
    int top = f->top, nlocals = f->nlocals;
    ast *where = h->first, *body = where->next;
    uint32_t skip = MOD_NO_INDEX;
    if (!ast_is_nil(where)) {
      int k = reg_new(c);
      cond(c, where, k);
      skip = emit_jump(&c->e, f->fn, OP_JMPN, (uint32_t)k);
    } else {
      caught = true;
    }
    if (h->kind == AST_ON_ERROR_USE) {
      int r = dst >= 0 ? dst : reg_new(c);
      ty u = ex(c, body, r);
      t = join_types(t, u);
    } else {
      if (dst >= 0) op3(c, OP_EMPTY, dst, 0, 0);
      stmt_block(c, body);
      t.min = 0;
    }
    if (n < 32) outs[n++] = emit_jump(&c->e, f->fn, OP_JMP, 0); else err(c, E0228, h, "at most 32 handlers");
    if (skip != MOD_NO_INDEX) emit_patch(&c->e, f->fn, skip);
    f->top = top;
    end_locals(c, nlocals);
  }
  if (!caught) emit_op(&c->e, f->fn, OP_RAISE, (uint32_t)err_reg, 0, 0);
  for (uint32_t i = 0; i < n; i++) emit_patch(&c->e, f->fn, outs[i]);
  f->error_reg = old;
  return t;
}

static void step(comp *c, ast *n) {
  fnctx *f = c->f;
  ast *name = n->first, *type = name->next, *what = type->next, *hs = what->next;
  bool named = !ast_is_nil(name);
  int dst = named ? reg_new(c) : -1;
  int inner = f->top, e = -1;
  uint32_t try_at = 0, over = 0;
  pos(c, n);
  if (!f->effects) { err(c, E0211, n, "functions and payloads are pure: only workflows and actions have steps"); return; }
  bool loop = what->kind == AST_FOR || what->kind == AST_PARFOR;
  bool try = hs && !ast_is_nil(hs);
  if (try) {
    e = reg_new(c);
    try_at = emit_jump(&c->e, f->fn, OP_TRY, (uint32_t)e);
  }
  ty t = loop ? any_loop(c, what, named ? dst : reg_new(c)) : effect_call(c, what, false, dst);
  if (try) {
    op3(c, OP_ENDTRY, 0, 0, 0);
    over = emit_jump(&c->e, f->fn, OP_JMP, 0);
    emit_patch(&c->e, f->fn, try_at);
    t = handlers(c, hs, e, dst, t);
    emit_patch(&c->e, f->fn, over);
  }
  f->top = inner;
  if (!named) return;
  local *old = find_local(c, node_name(c, name));
  if (old) {
    diag *d = err(c, E0210, name, "'%.*s' has a value already: names are bound once", STR(old->name));
    diag_also(c->d, d, c->u->file, old->at->off, old->at->end, "first here");
  }
  if (!ast_is_nil(type)) {
    ty want = type_node(c, type);
    coerce(c, what, t, want, dst, fmt(c, "'%.*s'", STR(node_name(c, name))));
    if (want.kind != TY_ERR) { want.label = t.label; t = want; }
  }
  add_local(c, name, t, dst);
}

static void if_stmt(comp *c, ast *n) {
  int top = c->f->top, k = reg_new(c);
  ast *body = ast_child(n, 1), *other = ast_child(n, 2);
  pos(c, n);
  cond(c, n->first, k);
  uint32_t no = emit_jump(&c->e, c->f->fn, OP_JMPN, (uint32_t)k);
  c->f->top = top;
  int facts = c->f->nfacts;
  facts_from(c, n->first, true);
  stmt_block(c, body);
  c->f->nfacts = facts;
  if (!ast_is_nil(other)) {
    uint32_t over = emit_jump(&c->e, c->f->fn, OP_JMP, 0);
    emit_patch(&c->e, c->f->fn, no);
    facts_from(c, n->first, false);
    if (other->kind == AST_IF) if_stmt(c, other); else stmt_block(c, other);
    c->f->nfacts = facts;
    emit_patch(&c->e, c->f->fn, over);
  } else {
    emit_patch(&c->e, c->f->fn, no);
  }
  c->f->top = top;
  /* what follows is reached in one way only: `if x.empty() { reject(…) }` */
  bool out = always_ends(body), out_other = !ast_is_nil(other) && always_ends(other);
  if (out != out_other) facts_from(c, n->first, out_other);
}

/* match e { case a, b { } else { } }: the first case that equals; a case that is a boolean expression of `match true` reads as a condition. */
static void match(comp *c, ast *n) {
  fnctx *f = c->f;
  int top = f->top, v = reg_new(c), k = regs_new(c, 2);
  uint32_t outs[100], nouts = 0;
  pos(c, n);
  ty t = ex(c, n->first, v);
  if (t.kind == TY_HL7) t = hl7_text_as(c, t, v, TY_STR);
  for (ast *x = ast_child(n, 1)->first; x; x = x->next) {
    if (x->kind == AST_ELSE) { stmt_block(c, x->first); break; }
    if (x->kind != AST_CASE) continue;
    uint32_t hits[64], nh = 0;
    for (ast *i = x->first->first; i; i = i->next) {
      ty y = ex(c, i, k);
      code_of_set(c, t, i);
      if (!ty_is_open(t) && !ty_is_open(y) && y.kind != t.kind && y.kind != TY_NONE && !(ty_is_number(t) && ty_is_number(y))) err(c, E0209, i, "the cases are compared with %s, this is %s", ty_text(c, ty_card(t, 1, false)), ty_text(c, y));
      emit_op(&c->e, f->fn, OP_EQV, (uint32_t)k + 1, (uint32_t)v, (uint32_t)k);
      if (y.kind != TY_NONE) emit_op(&c->e, f->fn, OP_EQ, (uint32_t)k + 1, (uint32_t)v, (uint32_t)k);
      if (nh < 64) hits[nh++] = emit_jump(&c->e, f->fn, OP_JMPT, (uint32_t)k + 1); else err(c, E0228, i, "at most 64 values in a case");
    }
    uint32_t miss = emit_jump(&c->e, f->fn, OP_JMP, 0);
    for (uint32_t i = 0; i < nh; i++) emit_patch(&c->e, f->fn, hits[i]);
    stmt_block(c, ast_child(x, 1));
    if (nouts < 100) outs[nouts++] = emit_jump(&c->e, f->fn, OP_JMP, 0); else err(c, E0228, x, "at most 100 cases");
    emit_patch(&c->e, f->fn, miss);
  }
  for (uint32_t i = 0; i < nouts; i++) emit_patch(&c->e, f->fn, outs[i]);
  f->top = top;
}

/* parallel { … }: each statement with effects is a branch; what a branch binds is there when all have ended. */
static void parallel(comp *c, ast *n) {
  fnctx *f = c->f;
  int in_branch = f->in_branch, yb = f->yield_builder, outside = f->nlocals;
  uint32_t own = f->site, i = 0;
  if (!has_effect(c, n)) {
    for (ast *x = n->first->first; x; x = x->next) stmt_one(c, x);
    return;
  }
  int number = reg_new(c);
  f->site++;
  uint32_t site = f->site;
  pos(c, n);
  op3(c, OP_EMPTY, number, 0, 0);
  emit_op(&c->e, f->fn, OP_PAR, (uint32_t)number, 0, 0);
  for (ast *x = n->first->first; x; x = x->next, i++) {
    if (!has_effect(c, x)) { stmt_one(c, x); continue; }
    uint32_t fork = emit_jump(&c->e, f->fn, OP_FORK, 0);
    int first = f->top;
    f->in_branch = 1;
    f->yield_builder = -2;
    emit_bx(&c->e, f->fn, OP_LOADI, (uint32_t)number, i);
    branch_path(c, own, number);
    f->paths++;
    f->site = 0;
    stmt_one(c, x);
    f->paths--;
    emit_op(&c->e, f->fn, OP_BEND, (uint32_t)(f->top > first ? first : 0), (uint32_t)(f->top - first), 0);
    emit_patch(&c->e, f->fn, fork);
    f->in_branch = in_branch;
    f->yield_builder = yb;
    for (int k = outside; k < f->nlocals; k++) f->locals[k].hidden = true;
  }
  for (int k = outside; k < f->nlocals; k++) f->locals[k].hidden = false;
  f->site = site;
  emit_op(&c->e, f->fn, OP_JOIN, (uint32_t)number, 0, 0);
}

static void return_stmt(comp *c, ast *n) {
  fnctx *f = c->f;
  if (f->in_branch) { err(c, E0222, n, "'return' stands outside of parallel: branches end by themselves, and what they bind is there behind the block"); return; }
  int top = f->top, r = reg_new(c);
  pos(c, n);
  ty t = ex_as(c, n->first, f->ret, r);
  if (f->ret.kind != TY_ERR) coerce(c, n->first, t, f->ret, r, fmt(c, "the result of '%.*s'", STR(f->owner->name)));
  else { f->got = f->has_got ? join_types(f->got, t) : t; f->has_got = true; }
  f->out_label |= t.label;
  for (uint32_t i = 0; i < f->paths; i++) op3(c, OP_PPOP, 0, 0, 0); /* the caller's journal path */
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
  f->top = top;
}

/* ---- outcomes */

static ast *outcome_arg(comp *c, ast *args, uint32_t i, const char *name) {
  uint32_t k = 0;
  for (ast *x = args->first; x; x = x->next) {
    if (x->kind == AST_NAMED) { if (str_is(node_name(c, x->first), name)) return ast_child(x, 1); }
    else if (k++ == i) return x;
  }
  return NULL;
}

void no_phi(comp *c, ast *e, ty t, const char *where, const char *does) {
  decl *o = c->f->owner;
  if ((t.label & TY_PARAM) && o && o->kind == D_ACTION && !o->sink) o->sink = e, o->sink_does = does; /* what a caller passes must not be phi */
  if (!(t.label & TY_PHI)) return;
  diag *d = err(c, E0216, e, "this carries patient data, which must not reach %s", where);
  if (e->kind == AST_TEMPLATE && c->keep) { /* an address: as a whole it would lose its escapes */
    diag_note(c->d, d, "write disclose(…) inside the { } if you vouch that it may");
    return;
  }
  diag_note(c->d, d, "write disclose(…) around it if you vouch that it may");
  diag_fix *x = diag_fix_begin(c->d, d, "vouch for it: disclose(…)");
  if (x) { diag_fix_edit(c->d, x, c->u->file, e->off, e->off, "disclose("); diag_fix_edit(c->d, x, c->u->file, e->end, e->end, ")"); }
}

static const ast *first_effect(const ast *n) {
  if (n->kind == AST_STEP || n->kind == AST_SEND || n->kind == AST_LOG) return n;
  for (const ast *x = n->first; x; x = x->next) {
    const ast *e = first_effect(x);
    if (e) return e;
  }
  return NULL;
}

/* reject's code with its error of table 0357, as one constant: "AE:204". False: it has none. */
static bool reject_code(comp *c, ast *args, ast *code, int dst) {
  static const char *const known[] = {"100", "101", "102", "103", "200", "201", "202", "203", "204", "205", "206", "207"};
  ast *e = outcome_arg(c, args, 9, "error");
  char text[12];
  if (!e) return false;
  str t = e->kind == AST_STRING || e->kind == AST_INT ? node_text(c, e) : (str){"", 0};
  if (e->kind == AST_STRING && t.len > 1) t.p++, t.len -= 2;
  bool ok = false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) ok |= str_is(t, known[i]);
  if (!ok) err(c, E0209, e, "an error is a code of table 0357, written out: 100 to 103 (segment, field, type, table), 200 to 207 (message type, event, processing id, version, unknown key, duplicate, locked, other)");
  else if (!code || code->kind != AST_STRING) err(c, E0209, e, "with an error the acknowledgement code is written out, too: reject('AE', 'text', error: %.*s)", STR(t));
  else {
    str k = node_text(c, code);
    snprintf(text, sizeof text, "%.2s:%.*s", k.len > 2 ? k.p + 1 : "AE", STR(t));
    emit_loadk(&c->e, c->f->fn, (uint32_t)dst, emit_cstr(&c->e, text));
  }
  return true;
}

static void outcome(comp *c, ast *n) {
  static const struct { const char *word; uint8_t kind; uint8_t min, max; const char *names[2]; } table[] = {
      {"reject", VM_REJECT, 1, 2, {"code", "text"}}, {"reply", VM_REPLY, 1, 1, {"message", ""}}, {"redirect", VM_REDIRECT, 1, 2, {"url", "params"}},
      {"skip", VM_SKIP, 0, 1, {"reason", ""}}, {"fail", VM_FAIL, 0, 1, {"reason", ""}}, {"retry", VM_RETRY, 1, 1, {"after", ""}}};
  fnctx *f = c->f;
  str word = node_name(c, n->first);
  ast *args = ast_child(n, 1);
  pos(c, n);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    if (!str_is(word, table[i].word)) continue;
    if (!f->effects) { err(c, E0211, n, "'%.*s' ends a run: it stands in workflows and actions", STR(word)); return; }
    bool coded = table[i].kind == VM_REJECT && outcome_arg(c, args, 9, "error");
    if (args->n < table[i].min || args->n > table[i].max + (uint32_t)coded) err(c, E0208, n, "'%s' takes %s", table[i].word, table[i].max == 2 ? "one or two arguments" : table[i].min ? "one argument" : "a reason");
    if (table[i].kind == VM_REDIRECT) not_yet(c, n, "'redirect'");
    if (table[i].kind == VM_RETRY && f->error_reg < 0) { err(c, E0222, n, "'retry' stands in a handler: on error { retry(5 minutes) }"); return; }
    if (table[i].kind == VM_RETRY && f->ack_after && !strcmp(f->ack_after, "run")) ack_waits(c, n, "retry may take for ever", NULL, NULL);
    if (table[i].kind == VM_REJECT && f->gate && f->in_workflow && (!f->ack_after || strcmp(f->ack_after, "commit") == 0)) {
      diag *d = err(c, E0215, n, "the message is acknowledged already: reject stands before the first step, send or log");
      const ast *g = first_effect(f->gate);
      bool within = g != f->gate && n->off >= f->gate->off && n->end <= f->gate->end;
      if (g) diag_also(c->d, d, c->u->file, g->off, g->end, "the gate ends %s", within ? "before the statement that holds this" : "here");
      diag_note(c->d, d, "declare `ack after run within 20 seconds else AE` if the acknowledgement shall wait for the run");
    }
    int top = f->top, w = regs_new(c, 2);
    for (uint32_t k = 0; k < 2; k++) {
      ast *e = outcome_arg(c, args, k, table[i].names[k]);
      if (!e) { op3(c, OP_EMPTY, w + (int)k, 0, 0); continue; }
      ty t = ex(c, e, w + (int)k);
      if (t.kind == TY_HL7) t = hl7_text_as(c, t, w + (int)k, TY_STR);
      if (coded && k == 0) (void)reject_code(c, args, e, w);
      if (table[i].kind == VM_REJECT && k == 0 && e->kind == AST_STRING) {
        str code = node_text(c, e);
        if (!(code.len == 4 && (code.p[1] == 'A' || code.p[1] == 'C') && (code.p[2] == 'E' || code.p[2] == 'R'))) err(c, E0209, e, "an acknowledgement code is 'AE' (error, try again) or 'AR' (rejected)");
      }
      if (table[i].kind == VM_REJECT && k == 1) no_phi(c, e, t, "an acknowledgement's text", "writes what it is given to a log");
      if (table[i].kind == VM_REDIRECT) no_phi(c, e, t, "a URL", "writes what it is given to a log");
      if (table[i].kind == VM_SKIP || table[i].kind == VM_FAIL) no_phi(c, e, t, "the reason of a run, which summaries and logs show", "writes what it is given to a log");
      if (table[i].kind == VM_REPLY && !ty_is_open(t) && t.kind != TY_HL7_MSG && t.kind != TY_OBJECT && t.kind != TY_PAYLOAD && t.kind != TY_FHIR) err(c, E0209, e, "a reply is an HL7 message, or the body of an HTTP answer; this is %s", ty_text(c, t));
    }
    if (table[i].kind == VM_RETRY) emit_ext(&c->e, f->fn, OP_MEMBER, (uint32_t)w + 1, (uint32_t)f->error_reg, 0, emit_cstr(&c->e, "path")); /* what is tried again */
    emit_bx(&c->e, f->fn, OP_OUTCOME, (uint32_t)w, table[i].kind);
    f->top = top;
    return;
  }
  err(c, E0201, n->first, "there is no outcome '%.*s'", STR(word));
}

static void log_stmt(comp *c, ast *n) {
  fnctx *f = c->f;
  ast *args = n->first;
  if (!f->effects) { err(c, E0211, n, "functions and payloads are pure: they do not log"); return; }
  int top = f->top;
  uint32_t k = 0, argn[32];
  int w = regs_new(c, args->n ? (int)(args->n > 30 ? 30 : args->n) : 1);
  pos(c, n);
  for (ast *x = args->first; x && k < 30; x = x->next, k++) {
    ast *e = x->kind == AST_NAMED ? ast_child(x, 1) : x;
    argn[k] = x->kind == AST_NAMED ? emit_str(&c->e, node_name(c, x->first).p, node_name(c, x->first).len) : k == 0 ? emit_cstr(&c->e, "text") : MOD_NO_INDEX;
    ty t = ex(c, e, w + (int)k);
    if (t.kind == TY_HL7) t = hl7_text_as(c, t, w + (int)k, TY_STR);
    no_phi(c, e, t, "a log", "writes what it is given to a log");
  }
  mod_effect ef = {.op = emit_cstr(&c->e, "sys.log"), .conn = MOD_NO_INDEX, .nargs = (uint16_t)k, .klass = MOD_CLASS_LOCAL, .site = f->site++};
  emit_bx(&c->e, f->fn, OP_EFFECT, (uint32_t)w, emit_effect(&c->e, ef, argn));
  f->top = top;
}

/* A name, and members or paths of HL7 behind it; a part of a field is none. */
static bool drop_path(comp *c, const ast *n) {
  ast_hl7 p;
  switch (n->kind) {
    case AST_NAME: return true;
    case AST_HL7: return ast_parse_hl7(c->u->src, n, &p) || (p.rep < 0 && p.comp <= 0);
    case AST_DOT: return (n->last->kind == AST_NAME || n->last->kind == AST_HL7) && drop_path(c, n->first) && drop_path(c, n->last);
    default: return false;
  }
}

/* drop msg.NK1, msg.PID-11: what nobody wants is not lost (reads.h). */
static void drop_stmt(comp *c, ast *n) {
  for (ast *x = n->first->first; x; x = x->next) {
    int top = c->f->top, r = reg_new(c);
    uint32_t errors = c->d->errors;
    ty t = ex(c, x, r);
    if (c->d->errors == errors && !drop_path(c, x)) {
      diag *d = err(c, E0281, x, "drop takes segments, fields and elements, as wholes");
      diag_note(c->d, d, "drop msg.NK1, msg.PID-11");
    } else if (t.kind != TY_ERR && !ty_is_hl7(t) && t.kind != TY_ANY && t.kind != TY_FHIR && !(t.label & TY_PHI)) {
      err(c, E0281, x, "this is no part of the input: it is %s", ty_text(c, t));
    }
    native(c, "drop", r, 1, ty_one(TY_NONE));
    c->f->top = top;
  }
}

static void stmt1(comp *c, ast *n) {
  if (c->f->in_test && (n->kind == AST_STEP || n->kind == AST_SEND)) {
    err(c, E0222, n, "a test performs no effects: it gives a workflow its input (when) and looks at what it sent");
    return;
  }
  switch (n->kind) {
    case AST_LET: let(c, n); break;
    case AST_STEP: step(c, n); break;
    case AST_SEND:
      pos(c, n);
      { int top = c->f->top; effect_call(c, n->first, true, -1); c->f->top = top; }
      break;
    case AST_LOG: log_stmt(c, n); break;
    case AST_FOR: case AST_PARFOR: any_loop(c, n, -1); break;
    case AST_PARALLEL: parallel(c, n); break;
    case AST_IF: if_stmt(c, n); break;
    case AST_MATCH: match(c, n); break;
    case AST_RETURN: return_stmt(c, n); break;
    case AST_YIELD: {
      fnctx *f = c->f;
      if (f->yield_builder == -2) { err(c, E0222, n, "'yield' stands outside of a parallel block: branches end in no order"); break; }
      if (f->yield_builder < 0) { err(c, E0222, n, "'yield' stands in a loop whose value is wanted: step rows = for …"); break; }
      int top = f->top, r = reg_new(c);
      ty t = ex(c, n->first, r);
      f->yield_t = f->has_yield ? join_types(f->yield_t, t) : t;
      f->has_yield = true;
      op3(c, OP_PUSH, f->yield_builder, r, 0);
      f->top = top;
      break;
    }
    case AST_DROP: drop_stmt(c, n); break;
    case AST_OUTCOME: outcome(c, n); break;
    case AST_MOCK: case AST_WHEN: case AST_AT: case AST_AFTER: case AST_EXPECT: case AST_RESTART: case AST_ROW: test_stmt(c, n); break;
    default: break;
  }
}

void stmt_one(comp *c, ast *n) {
  c->depth++;
  stmt1(c, n);
  c->depth--;
}
