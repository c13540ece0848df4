/* effect.c - operations on connections, actions, and what a test asks its runner: everything that stops the machine with a request. */
#include "comp_int.h"
#include <stdio.h>
#include <string.h>

/* for page in c.pages(…): each page is a step. */
bool has_effect(comp *c, const ast *n) {
  if (n->kind == AST_STEP || n->kind == AST_SEND || n->kind == AST_LOG || (n->kind == AST_FOR && n->first && is_pages(c, n->first->next))) return true;
  for (const ast *x = n->first; x; x = x->next)
    if (has_effect(c, x)) return true;
  return false;
}

/* One argument at its position: templates are escaped for it, HL7 values become text, secrets are refused. */
static ty argument(comp *c, ast *e, const sig_param *p, int r) {
  if (p && (p->special == SP_PATH || p->special == SP_URL) && e->kind == AST_TEMPLATE) return ex_template(c, e, (special)p->special, r);
  if (p && (p->special == SP_PATH || p->special == SP_URL) && e->kind == AST_STRING) { /* written by the author: a template without holes */
    ty t = ex(c, e, r);
    emit_op(&c->e, c->f->fn, OP_TPL, (uint32_t)r, (uint32_t)r, 1);
    return t;
  }
  ty t = ex(c, e, r);
  if (t.kind == TY_SECRET || (t.label & TY_SECRET_LABEL)) err(c, E0217, e, "a secret is used in the declaration of a connection only");
  if (t.kind == TY_HL7) t = hl7_text_as(c, t, r, TY_STR);
  if (!p) return t;
  if (p->special == SP_PATH && !ty_is_open(t) && t.kind != TY_STR && t.kind != TY_HL7) err(c, E0209, e, "'%.*s' is a path (a string), this is %s", STR(p->name), ty_text(c, t));
  if (p->special == SP_MESSAGE && !ty_is_open(t) && t.kind != TY_HL7_MSG) err(c, E0209, e, "'%.*s' is an HL7 message, this is %s", STR(p->name), ty_text(c, t));
  return t;
}

void operation_unknown(comp *c, ast *n, str name, const char *kind, const decl *conn) {
  nearest near;
  nearest_init(&near, name.p, name.len);
  char list[300];
  size_t k = 0;
  list[0] = 0;
  for (uint32_t i = 0; i < c->bi.n; i++) {
    const bi *b = &c->bi.rows[i];
    if (b->kind != BI_OPERATION || strcmp(b->conn, kind) != 0) continue;
    nearest_offer(&near, b->sig.name.p, b->sig.name.len);
    if (k < sizeof list - 40) k += (size_t)snprintf(list + k, sizeof list - k, "%s%.*s", k ? ", " : "", STR(b->sig.name));
  }
  adapter_actions(c, NULL, conn, &near);
  diag *d = err(c, E0212, n, "a %s connection has no operation '%.*s'", kind, STR(name));
  suggest(c, d, n, &near);
  diag_note(c->d, d, "there are: %s", list);
  adapter_actions(c, d, conn, NULL);
}

/* Arguments of a later feature: checked as expressions, then forgotten. */
static void check_args(comp *c, ast *args) {
  for (ast *x = args->first; x; x = x->next) {
    ast *e = x->kind == AST_NAMED ? ast_child(x, 1) : x->kind == AST_ASC || x->kind == AST_DESC ? x->first : x;
    if (e->kind == AST_NAME && !find_local(c, node_name(c, e))) continue; /* a type, an entity, a declaration: known when the feature is */
    int top = c->f->top, w = reg_new(c);
    ex(c, e, w);
    c->f->top = top;
  }
}

/* ---- ack after run: the sender waits, so nothing in the run may wait for an unknown time ---- */

static bool has_hours(comp *c, const decl *conn) {
  const unit *in;
  return conn_arg(c, conn, "hours", &in) != NULL;
}

static bool waits_for_hours(comp *c, const decl *conn, const bi *b) { return b->klass != MOD_CLASS_READ && has_hours(c, conn); }

static const ast *unbounded(comp *c, ast *n, unit **in, int depth);

/* Looked at once; one that calls itself is an error of its own. */
static const ast *action_waits(comp *c, decl *d, unit **in, int depth) {
  if (!d->waits_seen) {
    unit *u = c->u, *where = NULL;
    const ast *w = NULL;
    d->waits_seen = 1;
    c->u = d->u;
    for (ast *x = d->node->first; x && !w; x = x->next) w = unbounded(c, x, &where, depth + 1);
    c->u = u;
    d->waits = w, d->waits_in = where, d->waits_seen = 2;
  }
  *in = d->waits_in;
  return d->waits;
}

/* The first retry(…), or step on a connection that has hours, below n or in the actions that are called there. n is of the unit c->u. */
static const ast *unbounded(comp *c, ast *n, unit **in, int depth) {
  if (depth > 1500) return NULL;
  if (n->kind == AST_OUTCOME && str_is(node_name(c, n->first), "retry")) { *in = c->u; return n; }
  if (n->kind == AST_STEP) {
    ast *what = ast_child(n, 2);
    decl *d = NULL;
    if (what->kind == AST_CALL && (d = find_decl(c, node_name(c, what->first))) && d->kind == D_ACTION) {
      const ast *w = action_waits(c, d, in, depth);
      if (w) return w;
    } else if (what->kind == AST_DOT && what->last->kind == AST_CALL && what->first->kind == AST_NAME) {
      decl *conn = find_decl(c, node_name(c, what->first));
      const bi *b = conn && conn->kind == D_CONNECTION && conn->kind_row ? bi_operation(&c->bi, fmt(c, "%.*s", STR(conn->kind_row->sig.name)), node_name(c, what->last->first)) : NULL;
      if (b && waits_for_hours(c, conn, b)) { *in = c->u; return what; }
      decl *of = conn && conn->kind == D_CONNECTION ? adapter_action(c, conn, node_name(c, what->last->first)) : NULL;
      const ast *w = of ? action_waits(c, of, in, depth) : NULL;
      if (w) return w;
    }
  }
  for (ast *x = n->first; x; x = x->next) {
    const ast *w = unbounded(c, x, in, depth + 1);
    if (w) return w;
  }
  return NULL;
}

/* E0232 at n; at: what waits, when that is elsewhere. */
void ack_waits(comp *c, const ast *n, const char *why, const ast *at, const unit *in) {
  const ast *clause = c->f->ack;
  diag *d = err(c, E0232, n, "the sender waits for this run: %s", why);
  if (at) diag_also(c->d, d, in->file, at->off, at->end, "here");
  if (!clause) return;
  diag_note(c->d, d, "a `send` does not keep the run: what it delivers may wait");
  diag_replace(c->d, d, clause->off, clause->end, "ack after commit", "acknowledge when the message is stored");
}

static bool answers_late(const comp *c) { return c->f->ack_after && !strcmp(c->f->ack_after, "run"); }

static uint64_t op_bit(comp *c, const bi *b) {
  uint32_t k = 0;
  for (uint32_t i = 0; i < c->bi.n; i++) {
    if (c->bi.rows[i].kind != BI_OPERATION || strcmp(c->bi.rows[i].conn, b->conn) != 0) continue;
    if (&c->bi.rows[i] == b) return UINT64_C(1) << (k & 63);
    k++;
  }
  return 0;
}

/* post('/a', bdy: x) would send bdy as a further argument, and no body. */
static void looks_like(comp *c, const ast *at, str name, const sig *s) {
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (uint32_t i = 0; i < s->n; i++) nearest_offer(&near, s->p[i].name.p, s->p[i].name.len);
  if (!near.n || name.len < 3 || at->kind != AST_NAME) return;
  diag *d = err(c, W0311, at, "'%.*s' goes along as a further argument: '%.*s' has no parameter of that name", STR(name), STR(s->name));
  suggest(c, d, at, &near);
}

static void unknown_argument(comp *c, const ast *at, str name, const sig *s) {
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (uint32_t i = 0; i < s->n; i++) nearest_offer(&near, s->p[i].name.p, s->p[i].name.len);
  diag *d = err(c, E0208, at, "'%.*s' has no parameter '%.*s'", STR(s->name), STR(name));
  suggest(c, d, at, &near);
}

/* What makes a call conditional: without a value it is false, which no driver takes. Left out, the call would go out without its condition. */
void effect_condition(comp *c, int r) {
  uint32_t empty = emit_jump(&c->e, c->f->fn, OP_JMPE, (uint32_t)r), out = emit_jump(&c->e, c->f->fn, OP_JMP, 0);
  emit_patch(&c->e, c->f->fn, empty);
  emit_op(&c->e, c->f->fn, OP_LOADB, (uint32_t)r, 0, 0);
  emit_patch(&c->e, c->f->fn, out);
}

static bool is_condition(str name) { return str_is(name, "if_match") || str_is(name, "if_none_exist"); }

/* An argument beyond those of the signature, number `more`. false: it went to one that was there already. */
static bool further(comp *c, fhir_call *fc, ast *key, ast *e, str *named, uint32_t n, uint32_t more, int w, const sig *s) {
  str kn = key_text(c, key);
  uint32_t k = n;
  named[more] = kn;
  if (!fc->on) {
    looks_like(c, key, kn, s);
    (void)argument(c, e, NULL, w + (int)more);
    if (is_condition(kn)) effect_condition(c, w + (int)more);
    return true;
  }
  while (!str_eq(named[k], kn)) k++;
  fhir_argument(c, fc, key, e, w + (int)k, k < more);
  return k == more;
}

/* The resource that create and update write, by its static type; 0: not known, or no such operation. */
static uint16_t written_type(str op, ty t) { return t.kind == TY_FHIR && (str_is(op, "create") || str_is(op, "update")) ? (uint16_t)t.ref : 0; }

/* cont: register of the place where a page before ended, or -1. */
static ty operation(comp *c, ast *call_node, decl *conn, bool send, int dst, int cont) {
  fnctx *f = c->f;
  ast *args = ast_child(call_node, 1);
  str name = node_name(c, call_node->first);
  const char *kind = fmt(c, "%.*s", STR(conn->kind_row->sig.name));
  const bi *b = bi_operation(&c->bi, kind, name);
  if (!b) { if (strcmp(kind, "fhir") == 0) fhir_unknown_call(c, call_node->first, name, conn); else operation_unknown(c, call_node->first, name, kind, conn); check_args(c, args); return ty_one(TY_ERR); }
  conn->ops |= op_bit(c, b);
  fhir_call fc = {.on = strcmp(kind, "fhir") == 0, .conn = conn, .op = name};
  c->conn = fc.on ? conn : NULL;
  if (fc.on && !fhir_operation_ok(c, &fc, call_node)) return ty_label(fc.given, TY_PHI);
  if (!send && answers_late(c) && waits_for_hours(c, conn, b)) ack_waits(c, call_node, fmt(c, "'%.*s' has hours, and this may wait until it opens", STR(conn->name)), NULL, NULL);
  const sig *s = &b->sig;
  uint32_t extra = 0, n = s->n;
  for (ast *x = args->first; x; x = x->next) {
    if (x->kind != AST_NAMED) continue;
    uint32_t k = 0;
    str kn = key_text(c, x->first);
    while (k < s->n && !str_eq(s->p[k].name, kn)) k++;
    if (k == s->n) extra++;
  }
  if (n + extra > 60) { err(c, E0228, call_node, "too many arguments"); return ty_one(TY_ERR); }
  int w = regs_new(c, (int)(n + extra) + 2);
  uint32_t argn[64];
  str named[64];
  for (uint32_t i = 0; i < n; i++) {
    argn[i] = emit_str(&c->e, s->p[i].name.p, s->p[i].name.len);
    op3(c, OP_EMPTY, w + (int)i, 0, 0);
  }
  uint32_t next = 0, more = n;
  uint64_t given = 0;
  for (ast *x = args->first; x; x = x->next) {
    ast *e = x;
    uint32_t k = next;
    if (x->kind == AST_NAMED) {
      str kn = key_text(c, x->first);
      e = ast_child(x, 1);
      for (k = 0; k < n && !str_eq(s->p[k].name, kn); k++) {}
      if (k == n) {
        if (!s->rest) {
          unknown_argument(c, x->first, kn, s);
          continue;
        }
        if (further(c, &fc, x->first, e, named, n, more, w, s)) argn[more++] = emit_str(&c->e, kn.p, kn.len);
        continue;
      }
    } else if (next >= n) {
      err(c, E0208, x, "'%.*s' takes %u argument%s: %s.%s", STR(name), n, n == 1 ? "" : "s", kind, b->text);
      continue;
    } else {
      next++;
    }
    given |= UINT64_C(1) << k;
    if (fc.on && fhir_own_argument(c, &fc, &s->p[k], e, w + (int)k, x->kind == AST_NAMED)) continue;
    ty t = argument(c, e, &s->p[k], w + (int)k);
    if (is_condition(s->p[k].name)) effect_condition(c, w + (int)k);
    if (!t.min && !s->p[k].optional && s->p[k].type.min && !ty_is_open(t) && !ty_is_hl7(t))
      err(c, W0301, e, "'%.*s' needs a value, but this may be empty", STR(s->p[k].name));
  }
  if (fc.on) fhir_call_needs(c, &fc, b, given, call_node->first);
  for (uint32_t i = 0; i < n && !fc.on; i++)
    if (!(given >> i & 1) && !s->p[i].optional && s->p[i].type.min) err(c, E0208, call_node->first, "'%.*s' needs '%.*s': %s.%s", STR(name), STR(s->p[i].name), kind, b->text);
  if (fc.on) fhir_before(c, &fc, s, given, w);
  if (cont >= 0) op3(c, OP_MOVE, w + fhir_param(s, "after"), cont, 0);
  if (c->keep && c->keep->call == call_node) more += cached_emit(c, call_node, fc.resource, fc.klass ? fc.klass : b->klass, w + (int)more, &argn[more]);
  mod_effect ef = {.op = emit_cstr(&c->e, fmt(c, "%s.%.*s", kind, STR(s->name))), .conn = emit_str(&c->e, conn->name.p, conn->name.len), .nargs = (uint16_t)more,
                   .flags = send ? MOD_EFFECT_SEND : 0, .klass = fc.klass ? fc.klass : b->klass, .site = f->site++};
  pos(c, call_node);
  emit_bx(&c->e, f->fn, OP_EFFECT, (uint32_t)w, emit_effect(&c->e, ef, argn));
  ty t = s->ret;
  if (fc.on && !send) t = fhir_result(c, &fc, w);
  ty subject = fc.given.kind == TY_FHIR ? fc.given : t;
  if (fc.on) quirks_call(c, conn, call_node, name, fc.resource ? fc.resource : written_type(name, subject));
  if (fc.on) against_call(c, conn, call_node, subject);
  if (fc.on) scope_call(c, conn, call_node, subject);
  if (dst >= 0) op3(c, OP_MOVE, dst, w, 0);
  if (t.kind == TY_HL7_MSG) { int a = dict_message("ACK", 3); t.ref = a; }
  return ty_label(t, TY_PHI);
}

/* One page of connection.pages(…): cont holds where the page before ended; its value in dst. */
ty page_call(comp *c, ast *chain, int cont, int dst) {
  decl *conn = find_decl(c, node_name(c, chain->first));
  return operation(c, chain->last, conn, false, dst, cont);
}

/* c.pages(…) of a connection, as the source of a loop. */
bool is_pages(comp *c, const ast *src) {
  if (src->kind != AST_DOT || src->last->kind != AST_CALL || src->first->kind != AST_NAME || !str_is(node_name(c, src->last->first), "pages")) return false;
  decl *conn = find_decl(c, node_name(c, src->first));
  return conn && conn->kind == D_CONNECTION && conn->kind_row && !conn->later && bi_operation(&c->bi, fmt(c, "%.*s", STR(conn->kind_row->sig.name)), str_of("pages"));
}

/* step x = action(args): a call under a journal site of its own. */
static ty action_call(comp *c, ast *call_node, decl *d, int dst) {
  fnctx *f = c->f;
  uint32_t index = (uint32_t)(d - c->decls);
  decl_params(c, d);
  if (d->state == 1) { err(c, E0223, call_node, "action '%.*s' calls itself: actions are never recursive", STR(d->name)); return ty_one(TY_ERR); }
  if (answers_late(c)) {
    unit *in = NULL;
    const ast *at = action_waits(c, d, &in, 0);
    if (at) ack_waits(c, call_node, at->kind == AST_OUTCOME ? fmt(c, "'%.*s' may try again for ever", STR(d->name)) : fmt(c, "'%.*s' uses a connection that has hours, and may wait until it opens", STR(d->name)), at, in);
  }
  int w = regs_new(c, (int)d->npar ? (int)d->npar : 1);
  uint32_t fn = decl_fn(c, d); /* first: whether it logs what it is given must be known */
  pass_arguments(c, call_node, &c->decls[index], w);
  d = &c->decls[index];
  emit_bx(&c->e, f->fn, OP_PPUSH, 0, f->site++);
  emit_bx(&c->e, f->fn, OP_CALL, (uint32_t)w, fn);
  op3(c, OP_PPOP, 0, 0, 0);
  if (dst >= 0) op3(c, OP_MOVE, dst, w, 0);
  ty t = decl_result(c, d);
  return ty_label(t.kind == TY_ERR ? ty_opt(TY_ANY) : t, TY_PHI);
}

/* The call chain of a step or send. dst -1: its value is not wanted. */
ty effect_call(comp *c, ast *chain, bool send, int dst) {
  fnctx *f = c->f;
  if (!f->effects) {
    err(c, E0211, chain, "functions and payloads are pure: only workflows and actions have steps");
    return ty_one(TY_ERR);
  }
  if (chain->kind == AST_ERROR) return ty_one(TY_ERR);
  if (chain->kind == AST_CALL) {
    str name = node_name(c, chain->first);
    decl *d = find_decl(c, name);
    if (!d && str_is(name, "cached")) {
      if (!send) return cached_call(c, chain, dst);
      err(c, E0211, chain, "send delivers; what is kept is an answer: step x = cached(…)");
      return ty_one(TY_ERR);
    }
    if (d && d->kind == D_ACTION) {
      if (send) { err(c, E0211, chain, "an action is called by step: send delivers one operation"); return ty_one(TY_ERR); }
      return action_call(c, chain, d, dst);
    }
    if (d && d->kind == D_WORKFLOW) { not_yet(c, chain, "calling a workflow"); check_args(c, ast_child(chain, 1)); return ty_opt(TY_ANY); }
    if (c->u->missing && !d) { check_args(c, ast_child(chain, 1)); return ty_one(TY_ERR); }
    diag *g = err(c, E0211, chain, "'%.*s' is no action and no operation of a connection", STR(name));
    if (d || bi_function(&c->bi, name)) diag_note(c->d, g, "a pure value is bound by let: let x = %.*s(…)", STR(name));
    return ty_one(TY_ERR);
  }
  ast *recv = chain->first, *call_node = chain->last;
  if (chain->kind != AST_DOT || call_node->kind != AST_CALL) { err(c, E0211, chain, "a step is one call: connection.operation(…) or action(…)"); return ty_one(TY_ERR); }
  decl *conn = recv->kind == AST_NAME ? find_decl(c, node_name(c, recv)) : NULL;
  if (conn && conn->kind == D_CONNECTION && conn->kind_row && !conn->later) {
    if (str_is(node_name(c, call_node->first), "pages") && is_pages(c, chain)) {
      err(c, E0211, chain, "pages are looked at one by one: for page in %.*s { … }", STR(node_text(c, chain)));
      return ty_one(TY_ERR);
    }
    decl *d = adapter_action(c, conn, node_name(c, call_node->first));
    if (!d) return operation(c, call_node, conn, send, dst, -1);
    if (!send) return action_call(c, call_node, d, dst);
    err(c, E0211, chain, "an action is called by step: send delivers one operation");
    return ty_one(TY_ERR);
  }
  if (conn && conn->kind == D_CONNECTION && !conn->kind_row) return ty_one(TY_ERR); /* reported at its declaration */
  static const char *const later[] = {"world", "store", "bus", "geo", "dead", "files", "ops", "review"};
  bool known = conn != NULL;
  if (recv->kind == AST_NAME) {
    str rn = node_name(c, recv);
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) known |= str_is(rn, later[i]);
    if (find_local(c, rn)) known = true;
    if (!known && c->u->missing) { check_args(c, ast_child(call_node, 1)); return ty_one(TY_ERR); }
    if (!known) {
      nearest near;
      nearest_init(&near, rn.p, rn.len);
      for (uint32_t i = 0; i < c->ndecls; i++)
        if (c->decls[i].kind == D_CONNECTION && decl_seen(c, &c->decls[i])) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
      diag *g = err(c, E0201, recv, "there is no connection '%.*s'", STR(rn));
      comp_source s;
      if (lib_source(c, fmt(c, "%.*s.hdw", STR(rn)), &s)) diag_note(c->d, g, "an adapter makes connections: connection hospital = %.*s(base: …)", STR(rn));
      else suggest(c, g, recv, &near);
      check_args(c, ast_child(call_node, 1));
      return ty_one(TY_ERR);
    }
  }
  not_yet(c, chain, fmt(c, "'%.*s.%.*s'", STR(node_text(c, recv)), STR(node_name(c, call_node->first))));
  check_args(c, ast_child(call_node, 1));
  if (dst >= 0) op3(c, OP_EMPTY, dst, 0, 0);
  bool login = conn && conn->kind_row && str_is(conn->kind_row->sig.name, "oidc");
  return ty_label(ty_make(TY_ANY, 0, false), login ? 0 : TY_PHI);
}

/* A question to the test runner: effect `op` with nargs positional arguments at base; its answer in dst (or -1). */
void test_effect(comp *c, const char *op, int base, int nargs, int dst) {
  uint32_t argn[8];
  for (int i = 0; i < nargs && i < 8; i++) argn[i] = MOD_NO_INDEX;
  mod_effect ef = {.op = emit_cstr(&c->e, op), .conn = MOD_NO_INDEX, .nargs = (uint16_t)nargs, .klass = MOD_CLASS_LOCAL, .site = c->f->site++};
  emit_bx(&c->e, c->f->fn, OP_EFFECT, (uint32_t)base, emit_effect(&c->e, ef, argn));
  if (dst >= 0) op3(c, OP_MOVE, dst, base, 0);
}
