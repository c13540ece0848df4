/* workflow.c - workflows: triggers and the type of their input, clauses, the gate. */
#include "comp_int.h"
#include <string.h>

/* The one structure of all message types of a trigger; below 0 when there is none. */
static int structure_of(comp *c, const ast *types) {
  int structure = -2;
  for (ast *x = types && types->kind == AST_LIST ? types->first : NULL; x; x = x->next) {
    if (x->kind != AST_STRING) { err(c, E0218, x, "message types are strings such as 'ADT^A01'"); continue; }
    ast_str s = ast_string_value(c->a, c->u->src, x);
    const char *hat = memchr(s.p, '^', s.len);
    size_t cl = hat ? (size_t)(hat - s.p) : s.len, el = hat ? s.len - cl - 1 : 0;
    bool wild = el == 1 && hat[1] == '*';
    if (!wild && (s.len && s.p[0] != 'Z') && !(el && hat[1] == 'Z') && !dict_event(s.p, cl, hat ? hat + 1 : "", el)) {
      nearest near;
      nearest_init(&near, s.p, s.len);
      near.limit = near.limit > 2 ? 2 : near.limit;
      dict_nearest_event(&near);
      diag *g = err(c, E0218, x, "there is no message type '%.*s' in HL7 v2", (int)s.len, s.p);
      if (near.n) diag_replace(c->d, g, x->off, x->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
      continue;
    }
    int st = wild ? -1 : dict_structure_for(s.p, cl, hat ? hat + 1 : "", el);
    if (structure >= 0 && st >= 0 && structure != st) {
      diag *g = err(c, W0310, x, "%.*s has another structure (%s): paths are checked against %s", (int)s.len, s.p, dict_structure_name(st), dict_structure_name(structure));
      diag_note(c->d, g, "a workflow of its own for each structure lets the checker see all paths");
    } else {
      structure = structure == -2 || structure == st ? st : -1;
    }
  }
  return structure;
}

/* Type of the input by its triggers; checks their names and arguments. Long because each kind of trigger decides both at once. */
static ty trigger_type(comp *c, ast *t, const bi **row_out, ast **schema) {
  ty any = ty_one(TY_ANY);
  ast *call_node = t->kind == AST_DOT ? t->last : t;
  *row_out = NULL;
  if (call_node->kind != AST_CALL) { err(c, E0219, t, "a trigger is a call: adt.message(types: ['ADT^A01'])"); return ty_one(TY_ERR); }
  str name = node_name(c, call_node->first);
  const bi *row = NULL;
  if (t->kind == AST_DOT) {
    ast *l = t->first;
    str ln = l->kind == AST_NAME ? node_name(c, l) : node_text(c, l);
    decl *d = find_decl(c, ln);
    static const char *const later[] = {"world", "bus", "files"};
    bool known = d && d->kind == D_CONNECTION;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) known |= str_is(ln, later[i]);
    if (known) { not_yet(c, t, fmt(c, "the trigger '%.*s.%.*s'", STR(ln), STR(name))); return ty_label(any, TY_PHI); }
    if (!d && c->u->missing) return ty_one(TY_ERR);
    if (!d || d->kind != D_LISTENER) {
      nearest near;
      nearest_init(&near, ln.p, ln.len);
      for (uint32_t i = 0; i < c->ndecls; i++)
        if (c->decls[i].kind == D_LISTENER) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
      diag *g = err(c, E0219, l, "there is no listener '%.*s'", STR(ln));
      suggest(c, g, l, &near);
      return ty_one(TY_ERR);
    }
    if (!d->kind_row) return ty_one(TY_ERR);
    const char *kind = fmt(c, "%.*s", STR(d->kind_row->sig.name));
    row = bi_declare(&c->bi, BI_TRIGGER, kind, name);
    if (!row) {
      nearest near;
      nearest_init(&near, name.p, name.len);
      for (uint32_t i = 0; i < c->bi.n; i++)
        if (c->bi.rows[i].kind == BI_DECLARE && c->bi.rows[i].what == BI_TRIGGER && strcmp(c->bi.rows[i].conn, kind) == 0) nearest_offer(&near, c->bi.rows[i].sig.name.p, c->bi.rows[i].sig.name.len);
      diag *g = err(c, E0219, call_node->first, "a %s listener has no trigger '%.*s'", kind, STR(name));
      suggest(c, g, call_node->first, &near);
      return ty_one(TY_ERR);
    }
  } else {
    row = bi_declare(&c->bi, BI_TRIGGER, "", name);
    if (!row) { err(c, E0219, call_node->first, "there is no trigger '%.*s'", STR(name)); return ty_one(TY_ERR); }
  }
  *row_out = row;
  if (row->later) not_yet(c, t, fmt(c, "the trigger '%.*s'", STR(name)));
  meta_args(c, NULL, call_node, row);
  ast *args = ast_child(call_node, 1), *types = NULL, *from = NULL;
  for (ast *x = args->first; x; x = x->next) {
    if (x->kind != AST_NAMED) continue;
    str k = node_name(c, x->first);
    if (str_is(k, "types")) types = ast_child(x, 1);
    if (str_is(k, "from")) from = ast_child(x, 1);
    if (str_is(k, "schema") || str_is(k, "shape")) *schema = ast_child(x, 1);
  }
  if (!str_is(name, "message")) return ty_label(any, TY_PHI);
  if (from && from->kind == AST_NAME) {
    decl *d = find_decl(c, node_name(c, from));
    if (!d || d->kind != D_SENDER) err(c, E0231, from, "there is no sender '%.*s'", STR(node_name(c, from)));
    else sender_of(c, c->f, d);
  }
  int structure = structure_of(c, types);
  ty m = ty_one(TY_HL7_MSG);
  m.ref = structure < 0 ? -1 : structure;
  return ty_label(m, TY_PHI);
}

static void input(comp *c, decl *d) {
  fnctx *f = c->f;
  ast *on = ast_child(d->node, 3);
  if (ast_is_nil(on)) {
    for (uint32_t i = 0; i < d->npar; i++) add_local(c, d->par[i].node->first, d->par[i].t, (int)i);
    not_yet(c, d->node->first, "a workflow without a trigger");
    return;
  }
  ty t = ty_one(TY_ERR);
  ast *schema = NULL;
  bool first = true;
  for (ast *x = on->first->first; x; x = x->next) {
    const bi *row;
    ty y = trigger_type(c, x, &row, &schema);
    if (first) t = y;
    else if (t.kind == TY_HL7_MSG && y.kind == TY_HL7_MSG) { if (t.ref != y.ref) t.ref = -1; }
    else if (t.kind != y.kind) t = ty_label(ty_one(TY_ANY), TY_PHI);
    first = false;
  }
  if (schema && schema->kind == AST_NAME) { /* the input is the body, as the declared record */
    decl *p = find_decl(c, node_name(c, schema));
    if (!p || p->kind != D_PAYLOAD) err(c, E0202, schema, "there is no payload '%.*s'", STR(node_name(c, schema)));
    else {
      emit_ext(&c->e, f->fn, OP_MEMBER, 0, 0, 0, emit_cstr(&c->e, "body"));
      decl_params(c, p);
      coerce(c, schema, ty_label(ty_opt(TY_ANY), TY_PHI), ty_card(p->t, 1, false), 0, fmt(c, "the body of '%.*s'", STR(d->name)));
      t = ty_label(p->t, TY_PHI);
    }
  }
  ast *name = ast_child(on, 1);
  if (!ast_is_nil(name)) add_local(c, name, t, 0);
  if (t.kind == TY_HL7_MSG) { f->msg = 0; f->msg_t = t; }
}

static void clauses(comp *c, decl *d) {
  fnctx *f = c->f;
  for (ast *x = ast_child(d->node, 4)->first; x; x = x->next) {
    int top = f->top, w = regs_new(c, 2);
    pos(c, x);
    switch (x->kind) {
      case AST_WHERE: {
        cond(c, x->first, w);
        facts_from(c, x->first, true);
        uint32_t yes = emit_jump(&c->e, f->fn, OP_JMPT, (uint32_t)w);
        op3(c, OP_EMPTY, w, 0, 0);
        op3(c, OP_EMPTY, w + 1, 0, 0);
        emit_bx(&c->e, f->fn, OP_OUTCOME, (uint32_t)w, VM_UNMATCHED);
        emit_patch(&c->e, f->fn, yes);
        break;
      }
      case AST_ORDER:
        if (!ast_is_nil(ast_child(x, 1)) && !(str_is(node_name(c, ast_child(x, 1)), "failure") && (str_is(node_name(c, ast_child(x, 2)), "skip") || str_is(node_name(c, ast_child(x, 2)), "hold"))))
          err(c, E0250, ast_child(x, 1), "a failed run holds its lane, or not: on failure hold, on failure skip");
        for (ast *k = x->first->first; k; k = k->next) {
          ty t = ex(c, k, w);
          if (t.kind == TY_HL7) hl7_text_as(c, t, w, TY_STR);
          emit_op(&c->e, f->fn, OP_LANE, (uint32_t)w, 0, 0);
        }
        break;
      case AST_ONCE: {
        ty t = ex(c, x->first, w);
        if (t.kind == TY_HL7) hl7_text_as(c, t, w, TY_STR);
        if (!ast_is_nil(ast_child(x, 1))) ex(c, ast_child(x, 1), w + 1); else op3(c, OP_EMPTY, w + 1, 0, 0);
        emit_op(&c->e, f->fn, OP_ONCE, (uint32_t)w, (uint32_t)w + 1, 0);
        break;
      }
      case AST_ACK: {
        str when = node_name(c, x->first);
        if (!str_is(when, "commit") && !str_is(when, "run")) { err(c, E0232, x->first, "ack after commit, or ack after run within 20 seconds else AE"); break; }
        if (str_is(when, "run") && ast_is_nil(ast_child(x, 1))) {
          diag *g = err(c, E0232, x, "ack after run needs a deadline, or the sender waits for ever");
          diag_replace(c->d, g, x->end, x->end, " within 20 seconds else AE", "say how long");
        }
        f->ack_after = str_is(when, "run") ? "run" : "commit";
        f->ack = x;
        break;
      }
      case AST_NEEDS: not_yet(c, x, "'needs'"); break;
      default: break;
    }
    f->top = top;
  }
}

void workflow_body(comp *c, decl *d) {
  fnctx *f = c->f;
  f->top = 1;
  f->ret = d->t;
  input(c, d);
  clauses(c, d);
  bool gated = false;
  int nlocals = f->nlocals;
  for (ast *n = ast_child(d->node, 5)->first; n; n = n->next) {
    if (!gated && has_effect(c, n)) {
      op3(c, OP_GATE, 0, 0, 0);
      gated = true;
      f->gate = n;
    }
    stmt_one(c, n);
    never_reached(c, n);
  }
  if (!gated) op3(c, OP_GATE, 0, 0, 0);
  end_locals(c, nlocals);
  int r = reg_new(c);
  emit_op(&c->e, f->fn, OP_EMPTY, (uint32_t)r, 0, 0);
  emit_op(&c->e, f->fn, OP_RET, (uint32_t)r, 0, 0);
}
