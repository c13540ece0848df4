/* inline.c - functions that take an expression or a type: compiled in place as loops in the same frame, never as callbacks. */
#include "comp_int.h"
#include "hl7.h"
#include <string.h>

typedef struct loop { int it; uint32_t head, out; } loop;

/* for each item of register r: it+2 is $this, it+3 $index. */
static loop loop_begin(comp *c, int r, ty item) {
  loop l = {.it = regs_new(c, 4)};
  op3(c, OP_ITER, l.it, r, 0);
  l.head = emit_here(&c->e, c->f->fn);
  l.out = emit_jump(&c->e, c->f->fn, OP_NEXT, (uint32_t)l.it);
  if (c->f->nscope < MAX_THIS) c->f->scope[c->f->nscope++] = (this_scope){.reg = l.it + 2, .index = l.it + 3, .total = -1, .origin = c->f->origin, .t = ty_card(item, 1, false)};
  return l;
}

static ast *arg(ast *call_node, uint32_t i) {
  ast *x = ast_child(ast_child(call_node, 1), i);
  return x && x->kind == AST_NAMED ? ast_child(x, 1) : x;
}

/* The bounds of range(a, b) into registers w and w+1: Integers, or both as Longs. */
ty range_bounds(comp *c, ast *call_node, int w) {
  static const char *const names[] = {"from", "to"};
  ty t = ty_one(TY_INT);
  for (int i = 0; i < 2; i++) {
    ast *e = arg(call_node, (uint32_t)i);
    ty x = ex(c, e, w + i);
    if (x.kind != TY_INT) t.kind = TY_LONG;
    if (!ty_is_open(x) && x.kind != TY_INT && x.kind != TY_LONG && x.kind != TY_HL7 && x.kind != TY_NONE) err(c, E0209, e, "'%s' of 'range' is integer, this is %s", names[i], ty_text(c, x));
  }
  for (int i = 0; i < 2 && t.kind == TY_LONG; i++) {
    int top = c->f->top, k = reg_new(c);
    op3(c, OP_MOVE, k, w + i, 0);
    native(c, "toLong", k, 1, t);
    op3(c, OP_MOVE, w + i, k, 0);
    c->f->top = top;
  }
  return t;
}

/* range(a, b) as the source of a loop costs no memory. region: register of a region that begins with the loop, -1. */
static bool loop_range(comp *c, ast *src, int region, loop *l) {
  if (!src || src->kind != AST_CALL || !str_is(node_name(c, src->first), "range") || ast_child(src, 1)->n != 2) return false;
  l->it = regs_new(c, 4);
  ty t = range_bounds(c, src, l->it);
  op3(c, OP_EMPTY, l->it + 3, 0, 0);
  if (region >= 0) op3(c, OP_REGION, region, 0, 0);
  l->head = emit_here(&c->e, c->f->fn);
  l->out = emit_jump(&c->e, c->f->fn, OP_RANGE, (uint32_t)l->it);
  if (c->f->nscope < MAX_THIS) c->f->scope[c->f->nscope++] = (this_scope){.reg = l->it + 2, .index = l->it + 3, .total = -1, .origin = -1, .t = t};
  return true;
}

static void loop_end(comp *c, loop l) {
  if (c->f->nscope) c->f->nscope--;
  emit_jump_to(&c->e, c->f->fn, OP_JMP, 0, l.head);
  emit_patch(&c->e, c->f->fn, l.out);
}

/* The receiver: an expression, or $this when nothing stands before the dot. */
static int receiver(comp *c, ast *recv, ty *t) {
  int r;
  if (recv) {
    r = ex_any(c, recv, t);
    c->f->origin = origin_of(c, recv);
    return r;
  }
  c->f->origin = c->f->nscope ? c->f->scope[c->f->nscope - 1].origin : -1;
  if (c->f->nscope) { this_scope *s = &c->f->scope[c->f->nscope - 1]; *t = s->t; return s->reg; }
  r = reg_new(c);
  op3(c, OP_EMPTY, r, 0, 0);
  *t = ty_one(TY_NONE);
  return r;
}

static bool want_args(comp *c, const bi *b, ast *call_node, uint32_t lo, uint32_t hi) {
  uint32_t n = ast_child(call_node, 1)->n;
  if (n >= lo && n <= hi) return true;
  err(c, E0208, call_node->first, "'%.*s' takes %s%u argument%s: %s", STR(b->sig.name), lo == hi ? "" : n < lo ? "at least " : "at most ", n < lo ? lo : hi, (n < lo ? lo : hi) == 1 ? "" : "s", b->text);
  return false;
}

/* The source of a call for a message, cut when it is long. */
static str short_text(comp *c, const ast *n) {
  str s = node_text(c, n);
  if (s.len <= 60) return s;
  size_t k = 57;
  while (k > 0 && ((unsigned char)s.p[k] & 0xc0) == 0x80) k--;
  return str_of(fmt(c, "%.*s…", (int)k, s.p));
}

static ty where_like(comp *c, const bi *b, ast *call_node, ast *recv, int dst) {
  fnctx *f = c->f;
  ty t;
  str name = node_name(c, call_node->first);
  bool exists = str_is(name, "exists"), all = b->inl == IN_all;
  int r = receiver(c, recv, &t);
  int bld = reg_new(c), k = reg_new(c);
  if (exists || all) emit_op(&c->e, f->fn, OP_LOADB, (uint32_t)bld, all, 0); else op3(c, OP_NEWB, bld, 0, 0);
  if (exists || all) op3(c, OP_REGION, bld, 0, 0);
  loop l = loop_begin(c, r, t);
  cond(c, arg(call_node, 0), k);
  uint32_t skip = emit_jump(&c->e, f->fn, all ? OP_JMPT : OP_JMPN, (uint32_t)k), stop = MOD_NO_INDEX;
  if (exists || all) {
    emit_op(&c->e, f->fn, OP_LOADB, (uint32_t)bld, !all, 0);
    stop = emit_jump(&c->e, f->fn, OP_JMP, 0);
  } else {
    op3(c, OP_PUSH, bld, l.it + 2, 0);
  }
  emit_patch(&c->e, f->fn, skip);
  if (exists || all) op3(c, OP_RECYCLE, bld, 0, 0);
  loop_end(c, l);
  if (stop != MOD_NO_INDEX) emit_patch(&c->e, f->fn, stop);
  if (exists || all) { op3(c, OP_MOVE, dst, bld, 0); return ty_one(TY_BOOL); }
  op3(c, OP_BUILD, dst, bld, 0);
  t.why = why_new(c, call_node, fmt(c, "%.*s finds nothing", STR(short_text(c, call_node))));
  return ty_card(t, 0, t.many);
}

static ty select_like(comp *c, ast *call_node, ast *recv, int dst) {
  fnctx *f = c->f;
  ty t = ty_one(TY_ANY);
  int bld, k;
  loop l;
  bool ranged = false;
  bld = reg_new(c);
  k = reg_new(c);
  op3(c, OP_NEWB, bld, 0, 0);
  if (loop_range(c, recv, -1, &l)) { ranged = true; t = ty_card(f->scope[f->nscope - 1].t, 0, true); }
  else { int r = receiver(c, recv, &t); l = loop_begin(c, r, t); }
  ty p = ex(c, arg(call_node, 0), k);
  op3(c, OP_PUSH, bld, k, 0);
  loop_end(c, l);
  op3(c, OP_BUILD, dst, bld, 0);
  return ty_label(ty_card(p, p.min && t.min, p.many || t.many || ranged), t.label);
}

static ty aggregate(comp *c, ast *call_node, ast *recv, int dst) {
  fnctx *f = c->f;
  ty t = ty_one(TY_ANY), it = ty_make(TY_NONE, 0, false);
  int total = reg_new(c), k = reg_new(c);
  ast *init = arg(call_node, 1);
  if (init) it = ex(c, init, total); else op3(c, OP_EMPTY, total, 0, 0);
  loop l;
  if (!loop_range(c, recv, total, &l)) {
    int r = receiver(c, recv, &t);
    op3(c, OP_REGION, total, 0, 0);
    l = loop_begin(c, r, t);
  }
  this_scope *s = &f->scope[f->nscope - 1];
  s->total = total;
  s->total_t = init ? ty_opt((ty_kind)it.kind) : ty_opt(TY_ANY);
  s->total_t.ref = it.ref;
  if (it.kind == TY_INT) s->total_t = ty_opt(TY_ANY); /* sums may become Decimal or overflow */
  ty p = ex(c, arg(call_node, 0), k);
  op3(c, OP_MOVE, total, k, 0);
  op3(c, OP_RECYCLE, total, 0, 0);
  loop_end(c, l);
  op3(c, OP_MOVE, dst, total, 0);
  ty out = init ? join_types(it, p) : p;
  out.min = init && it.min && p.min;
  return ty_label(out, t.label);
}

/* current := receiver; repeat: next := projection of current, without what is in result; result := result + next; until nothing is new. */
static ty repeat(comp *c, ast *call_node, ast *recv, bool all, int dst) {
  fnctx *f = c->f;
  ty t;
  int r = receiver(c, recv, &t), cur = reg_new(c), res = reg_new(c), bld = reg_new(c), k = reg_new(c), w = regs_new(c, 2);
  op3(c, OP_MOVE, cur, r, 0);
  op3(c, OP_EMPTY, res, 0, 0);
  uint32_t again = emit_here(&c->e, f->fn);
  op3(c, OP_NEWB, bld, 0, 0);
  ty open = c->lenient || t.kind != TY_FHIR ? ty_make(TY_ANY, 0, true) : t; /* the projection is applied to its own result */
  bool lenient = c->lenient;
  c->lenient = c->lenient || t.kind != TY_FHIR;
  loop l = loop_begin(c, cur, open);
  ty p = ex(c, arg(call_node, 0), k);
  c->lenient = lenient;
  op3(c, OP_PUSH, bld, k, 0);
  loop_end(c, l);
  op3(c, OP_BUILD, w, bld, 0);
  op3(c, OP_MOVE, w + 1, res, 0);
  if (!all) native(c, "repeat.new", w, 2, p);
  op3(c, OP_MOVE, cur, w, 0);
  uint32_t done = emit_jump(&c->e, f->fn, OP_JMPE, (uint32_t)cur);
  op3(c, OP_MOVE, w, res, 0);
  op3(c, OP_MOVE, w + 1, cur, 0);
  native(c, "combine", w, 2, p);
  op3(c, OP_MOVE, res, w, 0);
  emit_jump_to(&c->e, f->fn, OP_JMP, 0, again);
  emit_patch(&c->e, f->fn, done);
  op3(c, OP_MOVE, dst, res, 0);
  return ty_label(ty_card(p, 0, true), t.label);
}

/* A copy of r that is one item or none; several are an error of the run. */
static int one_item(comp *c, int r, ty t) {
  int w = reg_new(c);
  op3(c, OP_MOVE, w, r, 0);
  native(c, "single", w, 1, t);
  return w;
}

static ty iif(comp *c, ast *call_node, ast *recv, int dst) {
  fnctx *f = c->f;
  int top = f->top, k = reg_new(c);
  bool scoped = false;
  if (recv) { /* x.iif(...): $this is x */
    ty t;
    int rr = ex_any(c, recv, &t);
    if (t.many || ty_is_open(t)) rr = one_item(c, rr, t);
    t.many = false;
    if (f->nscope < MAX_THIS) { f->scope[f->nscope++] = (this_scope){.reg = rr, .index = -1, .total = -1, .origin = origin_of(c, recv), .t = t}; scoped = true; }
  }
  ast *test = arg(call_node, 0);
  int facts = f->nfacts;
  cond(c, test, k);
  if (!scoped) f->top = top; /* so that dst may be a window of what the branches call */
  uint32_t no = emit_jump(&c->e, f->fn, OP_JMPN, (uint32_t)k);
  facts_from(c, test, true);
  ty a = ex(c, arg(call_node, 1), dst), b = ty_make(TY_NONE, 0, false);
  f->nfacts = facts;
  facts_from(c, test, false);
  uint32_t over = emit_jump(&c->e, f->fn, OP_JMP, 0);
  emit_patch(&c->e, f->fn, no);
  if (arg(call_node, 2)) b = ex(c, arg(call_node, 2), dst); else op3(c, OP_EMPTY, dst, 0, 0);
  emit_patch(&c->e, f->fn, over);
  f->nfacts = facts;
  if (scoped) f->nscope--;
  return join_types(a, b);
}

static ty coalesce(comp *c, ast *call_node, ast *recv, int dst) {
  fnctx *f = c->f;
  ast *args = ast_child(call_node, 1);
  int r = reg_new(c);
  uint32_t outs[64], n = 0;
  ty t = ty_make(TY_NONE, 0, false);
  bool first = true, some = false;
  if (recv) { ty x = ex(c, recv, r); t = x; first = false; some = x.min; }
  for (ast *x = args->first; x; x = x->next) {
    if (!first) {
      uint32_t e = emit_jump(&c->e, f->fn, OP_JMPE, (uint32_t)r);
      if (n < 64) outs[n++] = emit_jump(&c->e, f->fn, OP_JMP, 0); else err(c, E0228, x, "at most 64 arguments");
      emit_patch(&c->e, f->fn, e);
    }
    ty y = ex(c, x, r);
    some |= y.min;
    t = first ? y : join_types(t, y);
    first = false;
  }
  for (uint32_t i = 0; i < n; i++) emit_patch(&c->e, f->fn, outs[i]);
  op3(c, OP_MOVE, dst, r, 0);
  t.min = some;
  t.why = some || args->n < 2 ? t.why : why_new(c, call_node, "all the values of coalesce are");
  return t;
}

/* value.ofType(Address): the element can never be one. */
static void choice_has(comp *c, const ast *a, const fhir_element_info *e, str name) {
  uint16_t id = fhir_type(name.p, name.len);
  if (!id) return; /* System types: by their FHIR names too */
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (uint16_t i = 0; i < e->n_types; i++) {
    if (fhir_is_a(e->types[i], id) || fhir_is_a(id, e->types[i])) return;
    nearest_offer(&near, fhir_type_name(e->types[i]), strlen(fhir_type_name(e->types[i])));
  }
  diag *d = err(c, E0225, a, "%s.%s is never %.*s: this is always empty", fhir_type_name(e->owner), e->name, STR(name));
  suggest(c, d, a, &near);
  buf b;
  buf_init(&b, c->a, 4096);
  for (uint16_t i = 0; i < e->n_types && b.len < 200; i++) buf_putf(&b, "%s%s", i ? ", " : "", fhir_type_name(e->types[i]));
  buf_putc(&b, 0);
  if (!b.status) diag_note(c->d, d, "it can be: %s%s", b.p, strlen(b.p) >= 200 ? " …" : "");
}

/* FHIR type of a static type that has one; 0 for System and other types. */
static uint16_t fhir_of(ty t) { return t.kind == TY_FHIR ? (uint16_t)t.ref : t.kind == TY_QTY ? fhir_type("Quantity", 8) : 0; }

static bool is_system(ty t) { return t.kind >= TY_BOOL && t.kind <= TY_TIME; }

void never_is(comp *c, const ast *a, ty t, ty want, str name) {
  if (c->lenient || ty_is_open(want)) return;
  if (t.kind == TY_ANY && t.ref >= 0) {
    choice_has(c, a, &c->choices[t.ref], name);
    return;
  }
  uint16_t x = fhir_of(t), y = fhir_of(want);
  bool never = x && y ? !fhir_is_a(x, y) && !fhir_is_a(y, x) : (x && is_system(want)) || (y && is_system(t)) || (is_system(t) && is_system(want) && t.kind != want.kind && !c->is_eval);
  if (never) err(c, E0225, a, "%s is never %s: this is always empty", ty_text(c, ty_card(t, 1, false)), ty_text(c, ty_card(want, 1, false)));
}

static ty type_call(comp *c, const bi *b, ast *call_node, ast *recv, int dst) {
  ty t;
  int w = regs_new(c, 2);
  int r = receiver(c, recv, &t);
  ast *a = arg(call_node, 0);
  if (b->inl == IN_as && c->is_eval && (t.many || ty_is_open(t))) r = one_item(c, r, t);
  op3(c, OP_MOVE, w, r, 0);
  if (a->kind != AST_NAME && a->kind != AST_DOT) { err(c, E0202, a, "'%.*s' takes a type name", STR(b->sig.name)); return ty_one(TY_ERR); }
  str name = a->kind == AST_NAME ? node_name(c, a) : node_text(c, a);
  str bare = a->kind == AST_DOT && a->last->kind == AST_NAME ? node_name(c, a->last) : name;
  ty want = type_named(c, bare, a, !c->lenient);
  if (want.kind == TY_ERR && c->lenient) want = ty_one(TY_ANY);
  decl *profile = a->kind == AST_NAME && want.kind == TY_FHIR && want.sub >= 0 ? find_decl(c, name) : NULL;
  if (profile && profile->kind == D_PROFILE) { /* those that conform */
    never_is(c, a, t, want, str_of(fhir_type_name((uint16_t)want.ref)));
    op3(c, OP_MOVE, dst, w, 0);
    return b->inl == IN_is ? profile_question(c, profile, "fhir.conforms", t, dst) : profile_items(c, profile, t, dst);
  }
  emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, emit_str(&c->e, name.p, name.len));
  native(c, b->inl == IN_ofType ? "ofType" : b->inl == IN_is ? "is" : "as", w, 2, t);
  op3(c, OP_MOVE, dst, w, 0);
  never_is(c, a, t, want, bare);
  if (b->inl == IN_is) return ty_make(TY_BOOL, t.min, false);
  bool choice = t.kind == TY_ANY && t.ref >= 0;
  want.why = why_new(c, call_node, "it is of another type");
  return ty_label(ty_card(want, 0, t.many || (t.kind == TY_ANY && !choice)), t.label);
}

/* Keys of each item as an object beside it; the native orders items by them. */
static ty sort(comp *c, ast *call_node, ast *recv, int dst) {
  fnctx *f = c->f;
  ast *args = ast_child(call_node, 1);
  ty t;
  int r = receiver(c, recv, &t), w = regs_new(c, 3);
  char dirs[17];
  uint32_t n = args->n > 16 ? 16 : args->n, i = 0;
  mod_key keys[16];
  for (ast *x = args->first; x && i < n; x = x->next, i++) {
    dirs[i] = x->kind == AST_DESC ? 'd' : 'a';
    if (x->kind == AST_NEG) dirs[i] = 'd'; /* FHIRPath's sort(-key) */
    keys[i] = (mod_key){emit_cstr(&c->e, fmt(c, "%u", i)), 0};
  }
  dirs[n] = 0;
  int bld = reg_new(c);
  op3(c, OP_NEWB, bld, 0, 0);
  if (n) {
    loop l = loop_begin(c, r, t);
    int base = regs_new(c, (int)n), o = reg_new(c);
    i = 0;
    for (ast *x = args->first; x && i < n; x = x->next, i++) {
      ty k = ex(c, x->kind == AST_ASC || x->kind == AST_DESC || x->kind == AST_NEG ? x->first : x, base + (int)i);
      if (k.kind == TY_HL7) hl7_text_as(c, k, base + (int)i, TY_STR);
    }
    emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)o, (uint32_t)base, 0, emit_shape(&c->e, keys, n));
    op3(c, OP_PUSH, bld, o, 0);
    loop_end(c, l);
  }
  op3(c, OP_MOVE, w, r, 0);
  op3(c, OP_BUILD, w + 1, bld, 0);
  emit_loadk(&c->e, f->fn, (uint32_t)w + 2, emit_cstr(&c->e, dirs));
  native(c, "sort.by", w, 3, t);
  op3(c, OP_MOVE, dst, w, 0);
  return t;
}

static ty with(comp *c, ast *call_node, ast *recv, int dst) {
  ty t;
  int r = receiver(c, recv, &t);
  ast *args = ast_child(call_node, 1);
  if (t.kind == TY_HL7_MSG || t.kind == TY_HL7_SEG) return hl7_with_call(c, t, r, args, dst);
  bool hl7_keys = args->first && args->first->kind == AST_NAMED && args->first->first->kind == AST_HL7;
  if (t.kind == TY_ANY && hl7_keys) return hl7_with_call(c, t, r, args, dst);
  if (t.kind == TY_ERR) return t;
  if (t.kind != TY_FHIR && t.kind != TY_PAYLOAD && t.kind != TY_OBJECT && t.kind != TY_ANY) {
    err(c, E0209, call_node->first, "'with' edits messages, segments, resources and objects; this is %s", ty_text(c, t));
    return ty_one(TY_ERR);
  }
  if (t.many) {
    diag *d = err(c, W0302, call_node->first, "'with' edits one value, but there may be several here");
    diag_replace(c->d, d, call_node->off, call_node->off, "first().", "take the first");
  }
  if (t.kind == TY_FHIR) return fhir_with(c, args, t, r, dst);
  for (ast *x = args->first; x; x = x->next) {
    if (x->kind != AST_NAMED) { err(c, E0208, x, "edits are given by name: with(status: 'done')"); continue; }
    str name = node_name(c, x->first);
    if (t.kind == TY_PAYLOAD && !decl_field(&c->decls[t.ref], name)) err(c, E0203, x->first, "%.*s has no field '%.*s'", STR(c->decls[t.ref].name), STR(name));
  }
  int w = regs_new(c, 2);
  op3(c, OP_MOVE, w, r, 0);
  ty o = object_edits(c, args, w + 1);
  native(c, "object.with", w, 2, t);
  op3(c, OP_MOVE, dst, w, 0);
  if (t.kind == TY_OBJECT) { t.ref = -1; t.kind = TY_ANY; }
  return ty_label(t, o.label);
}

/* What debuggers show is evaluated, so that mistakes in it are found. */
static ty trace(comp *c, ast *call_node, ast *recv, int dst) {
  ty t;
  int r = receiver(c, recv, &t), k = reg_new(c);
  ty name = ex(c, arg(call_node, 0), k);
  if (!ty_is_open(name) && name.kind != TY_STR && name.kind != TY_NONE && name.kind != TY_HL7) err(c, E0209, arg(call_node, 0), "'name' of 'trace' is string, this is %s", ty_text(c, name));
  if (arg(call_node, 1)) {
    loop l = loop_begin(c, r, t);
    ex(c, arg(call_node, 1), k);
    loop_end(c, l);
  }
  op3(c, OP_MOVE, dst, r, 0);
  return t;
}

ty inline_call(comp *c, const bi *b, ast *call_node, ast *recv, int dst) {
  fnctx *f = c->f;
  int top = f->top, nscope = f->nscope;
  ty t = ty_one(TY_ERR);
  switch ((bi_inline)b->inl) {
    case IN_where: case IN_all: if (want_args(c, b, call_node, 1, 1)) t = where_like(c, b, call_node, recv, dst); break;
    case IN_select: if (want_args(c, b, call_node, 1, 1)) t = select_like(c, call_node, recv, dst); break;
    case IN_repeat: case IN_repeatAll: if (want_args(c, b, call_node, 1, 1)) t = repeat(c, call_node, recv, b->inl == IN_repeatAll, dst); break;
    case IN_slice: {
      int r = receiver(c, recv, &t);
      op3(c, OP_MOVE, dst, r, 0);
      if (t.kind != TY_ERR && want_args(c, b, call_node, 1, 1)) t = profile_slice(c, call_node, t, dst);
      break;
    }
    case IN_resolve: if (want_args(c, b, call_node, 0, 0)) t = resolve_call(c, recv, dst); break;
    case IN_defineVariable: if (want_args(c, b, call_node, 1, 2)) t = define_variable(c, call_node, recv, dst); break;
    case IN_elementDefinition: if (want_args(c, b, call_node, 0, 0)) t = element_definition(c, call_node, recv, dst); break;
    case IN_aggregate: if (want_args(c, b, call_node, 1, 2)) t = aggregate(c, call_node, recv, dst); break;
    case IN_ofType: case IN_is: case IN_as: if (want_args(c, b, call_node, 1, 1)) t = type_call(c, b, call_node, recv, dst); break;
    case IN_iif: if (want_args(c, b, call_node, 2, 3)) t = iif(c, call_node, recv, dst); break;
    case IN_coalesce: if (want_args(c, b, call_node, 1, 64)) t = coalesce(c, call_node, recv, dst); break;
    case IN_sort: t = sort(c, call_node, recv, dst); break;
    case IN_with: t = with(c, call_node, recv, dst); break;
    case IN_trace:
      if (want_args(c, b, call_node, 1, 2)) t = trace(c, call_node, recv, dst);
      break;
    case IN_disclose:
      if (want_args(c, b, call_node, 1, 1)) { t = ex(c, arg(call_node, 0), dst); t.label &= (uint8_t)~TY_PHI; }
      break;
    case IN_range:
      if (want_args(c, b, call_node, 2, 2)) {
        int w = regs_new(c, 2);
        t = ty_card(range_bounds(c, call_node, w), 0, true);
        native(c, "range", w, 2, t);
        op3(c, OP_MOVE, dst, w, 0);
      }
      break;
    case IN_NONE: break;
  }
  f->top = top;
  f->nscope = nscope;
  return t;
}
