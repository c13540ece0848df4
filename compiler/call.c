/* call.c - calls: functions and methods of builtins.def, declared functions, and constructors of payloads, FHIR resources and HL7 messages. */
#include "comp_int.h"
#include "hl7.h"
#include <string.h>

static bool is_named(const ast *a) { return a->kind == AST_NAMED; }

/* ---- object literals and constructors */

int32_t shape_add(comp *c, uint32_t n, str *names, ty *types) {
  if (c->nshapes == c->cap_shapes) {
    uint32_t cap = c->cap_shapes ? c->cap_shapes * 2 : 16;
    shape *v = arena_grow(c->a, c->shapes, c->cap_shapes * sizeof *v, cap * sizeof *v);
    if (!v) { c->e.status = HDW_E_NOMEM; return -1; }
    c->shapes = v;
    c->cap_shapes = cap;
  }
  c->shapes[c->nshapes] = (shape){n, names, types};
  return (int32_t)c->nshapes++;
}

/* Pairs (PAIR or NAMED nodes, other kinds skipped) into registers and an object. first: a fixed member before them, or NULL. */
static ty build_object(comp *c, ast *list, const char *first_key, const char *first_value, int dst, bool omit_empty) {
  fnctx *f = c->f;
  int top = f->top;
  uint32_t n = list->n + 1, k = 0;
  mod_key *keys = arena_alloc(c->a, n * sizeof *keys);
  str *names = arena_alloc(c->a, n * sizeof *names);
  ty *types = arena_alloc(c->a, n * sizeof *types);
  if (!keys || !names || !types) { c->e.status = HDW_E_NOMEM; return ty_one(TY_ERR); }
  if (list->n > 150) { err(c, E0228, list, "an object literal has at most 150 members"); return ty_one(TY_ERR); }
  int base = regs_new(c, n ? (int)n : 1);
  uint8_t label = 0;
  if (first_key) {
    keys[k] = (mod_key){emit_cstr(&c->e, first_key), 0};
    names[k] = str_of(first_key);
    types[k] = ty_one(TY_STR);
    emit_loadk(&c->e, f->fn, (uint32_t)base, emit_cstr(&c->e, first_value));
    k++;
  }
  for (ast *x = list->first; x; x = x->next) {
    if (x->kind != AST_PAIR && x->kind != AST_NAMED) continue;
    names[k] = key_text(c, x->first);
    for (uint32_t i = 0; i < k; i++)
      if (str_eq(names[i], names[k])) err(c, E0210, x->first, "'%.*s' is given twice", STR(names[k]));
    ast *e = ast_child(x, 1);
    types[k] = ex(c, e, base + (int)k);
    if (types[k].kind == TY_HL7 || (types[k].kind == TY_STR && types[k].sub == TY_SUB_MIXED)) types[k] = hl7_text_as(c, types[k], base + (int)k, TY_STR);
    if (types[k].kind == TY_SECRET) err(c, E0217, e, "a secret cannot become part of an object");
    label |= types[k].label;
    bool array = e->kind == AST_LIST || (types[k].many && types[k].kind != TY_ANY);
    keys[k] = (mod_key){emit_str(&c->e, names[k].p, names[k].len), (array ? MOD_KEY_ARRAY : 0u) | (omit_empty ? MOD_KEY_OMIT_EMPTY : 0u)};
    k++;
  }
  emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)dst, (uint32_t)base, 0, emit_shape(&c->e, keys, k));
  f->top = top;
  ty t = ty_one(TY_OBJECT);
  t.ref = shape_add(c, k, names, types);
  t.label = label;
  return t;
}

/* Members without a value are left out, as optional payload fields are. */
ty object_literal(comp *c, ast *obj, int dst) { return build_object(c, obj, NULL, NULL, dst, true); }
/* The edits of with(): an empty value clears. */
ty object_edits(comp *c, ast *args, int dst) { return build_object(c, args, NULL, NULL, dst, false); }

/* Edits of an HL7 message or segment as an object {path: value, 'remove': nodes} in register dst. */
static void hl7_edits(comp *c, ast *args, ty target, int dst) {
  fnctx *f = c->f;
  int top = f->top;
  uint32_t k = 0;
  mod_key *keys = arena_alloc(c->a, (args->n + 1) * sizeof *keys);
  if (!keys) { c->e.status = HDW_E_NOMEM; return; }
  if (args->n > 150) { err(c, E0228, args, "at most 150 edits in one call"); return; }
  int base = regs_new(c, args->n ? (int)args->n : 1);
  for (ast *x = args->first; x; x = x->next) {
    if (!is_named(x)) { err(c, E0208, x, "edits are given by path: with(MSH-3: 'HUB', remove: [msg.ZPV])"); continue; }
    ast *key = x->first, *e = ast_child(x, 1);
    str name = key_text(c, key);
    if (key->kind == AST_HL7) {
      ast_hl7 p;
      int seg = -1;
      if (ast_parse_hl7(c->u->src, key, &p) || p.field < 1) { err(c, E0205, key, "this path has a number that HL7 does not have"); continue; }
      seg = dict_segment(p.seg, 3);
      dict_info fi;
      if (seg < 0 && p.seg[0] != 'Z') err(c, E0204, key, "there is no segment %s in HL7 v2", p.seg);
      else if (seg >= 0 && !dict_field(seg, (unsigned)p.field, &fi)) err(c, E0205, key, "%s has no field %d (it has %u)", p.seg, p.field, dict_field_count(seg));
      else if (seg >= 0 && p.comp > 0 && dict_datatype_kind(fi.type) == DICT_COMPOSITE && !dict_component(fi.type, (unsigned)p.comp, &fi)) {
        dict_field(seg, (unsigned)p.field, &fi);
        err(c, E0206, key, "%s-%d is %s, which has %u components: there is no %d", p.seg, p.field, dict_datatype_name(fi.type), dict_component_count(fi.type), p.comp);
      }
      if (target.kind == TY_HL7_SEG && target.ref >= 0 && seg != target.ref) err(c, E0204, key, "this is a segment %s, it has no %s", dict_segment_name(target.ref), p.seg);
    } else if (!str_is(name, "remove") && dict_segment(name.p, name.len) < 0 && !(name.len == 3 && name.p[0] == 'Z')) {
      err(c, E0204, key, "'%.*s' is no path, segment or 'remove'", STR(name));
    }
    /* literal parts of a template are HL7 as written, its holes are escaped for the place */
    ty t = e->kind == AST_TEMPLATE ? ex_template(c, e, SP_HL7, base + (int)k) : ex(c, e, base + (int)k);
    if (t.kind == TY_SECRET) err(c, E0217, e, "a secret cannot become part of a message");
    keys[k++] = (mod_key){emit_str(&c->e, name.p, name.len), t.many ? MOD_KEY_ARRAY : 0};
  }
  emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)dst, (uint32_t)base, 0, emit_shape(&c->e, keys, k));
  f->top = top;
}

ty hl7_with_call(comp *c, ty recv, int r, ast *args, int dst) {
  int top = c->f->top, w = regs_new(c, 2);
  op3(c, OP_MOVE, w, r, 0);
  hl7_edits(c, args, recv, w + 1);
  native(c, "hl7.with", w, 2, recv);
  op3(c, OP_MOVE, dst, w, 0);
  c->f->top = top;
  return ty_label(recv, TY_PHI);
}

static ty hl7_build(comp *c, ast *call_node, str name, ty t, const char *fn, int dst) {
  int top = c->f->top, w = regs_new(c, 2);
  emit_loadk(&c->e, c->f->fn, (uint32_t)w, emit_str(&c->e, name.p, name.len));
  hl7_edits(c, ast_child(call_node, 1), t, w + 1);
  native(c, fn, w, 2, t);
  op3(c, OP_MOVE, dst, w, 0);
  c->f->top = top;
  t.min = 1;
  return ty_label(t, TY_PHI);
}

/* A record payload (without '='): fields by name. */
static ty record_build(comp *c, ast *call_node, decl *d, int dst) {
  ast *args = ast_child(call_node, 1);
  if (args->n == 1 && !is_named(args->first)) { /* a typed load of what was read: Card(json) */
    ty want = d->t, t = ex(c, args->first, dst);
    coerce(c, args->first, t, ty_card(want, t.min && !ty_is_open(t), false), dst, fmt(c, "%.*s", STR(d->name)));
    return ty_label(ty_card(want, t.min && !ty_is_open(t), false), t.label | (ty_is_open(t) ? TY_SOFT : 0));
  }
  for (uint32_t i = 0; i < d->nfields; i++) {
    bool given = !d->fields[i].t.min;
    for (ast *x = args->first; x; x = x->next) given |= is_named(x) && str_eq(key_text(c, x->first), d->fields[i].name);
    if (!given) err(c, E0214, call_node, "%.*s needs '%.*s'", STR(d->name), STR(d->fields[i].name));
  }
  for (ast *x = args->first; x; x = x->next) {
    if (!is_named(x)) { err(c, E0208, x, "fields of %.*s are given by name", STR(d->name)); continue; }
    str name = key_text(c, x->first);
    if (decl_field(d, name)) continue;
    nearest near;
    nearest_init(&near, name.p, name.len);
    for (uint32_t i = 0; i < d->nfields; i++) nearest_offer(&near, d->fields[i].name.p, d->fields[i].name.len);
    diag *g = err(c, E0203, x->first, "%.*s has no field '%.*s'", STR(d->name), STR(name));
    suggest(c, g, x->first, &near);
  }
  uint32_t index = (uint32_t)(d - c->decls);
  int top = c->f->top, w = reg_new(c);
  ty t = build_object(c, args, NULL, NULL, w, true);
  emit_bx(&c->e, c->f->fn, OP_CALL, (uint32_t)w, decl_from_any(c, &c->decls[index]));
  op3(c, OP_MOVE, dst, w, 0);
  c->f->top = top;
  return ty_label(c->decls[index].t, t.label);
}

bool is_type_name(comp *c, str name) { return type_named(c, name, NULL, false).kind != TY_ERR; }

ty construct(comp *c, ast *call_node, str name, int dst, bool *handled) {
  *handled = true;
  decl *d = find_decl(c, name);
  if (d && d->kind == D_PAYLOAD) {
    decl_params(c, d);
    if (!d->params) return record_build(c, call_node, d, dst);
  }
  uint16_t id = fhir_type(name.p, name.len);
  if (id && !d && fhir_type_kind(id) != FHIR_PRIMITIVE) return fhir_build(c, call_node->first, ast_child(call_node, 1), id, dst);
  int s = dict_message(name.p, name.len);
  if (s >= 0 && !d) { ty t = ty_one(TY_HL7_MSG); t.ref = s; return hl7_build(c, call_node, name, t, "hl7.build", dst); }
  s = dict_segment(name.p, name.len);
  if (s >= 0 || (d && d->kind == D_SEGMENT)) {
    ty t = ty_one(TY_HL7_SEG);
    t.ref = s;
    t.sub = d ? (int32_t)(d - c->decls) : -1;
    return hl7_build(c, call_node, name, t, "hl7.segment", dst);
  }
  *handled = false;
  return ty_one(TY_ERR);
}

/* ---- declared functions */

/* Arguments by position or name into the window at w; defaults and missing optional ones. */
uint8_t pass_arguments(comp *c, ast *call_node, decl *d, int w) {
  ast *args = ast_child(call_node, 1);
  bool *given = arena_zalloc(c->a, d->npar + 1, 1);
  uint8_t label = 0;
  uint32_t next = 0;
  bool unknown = false; /* a wrong name stands for what is then missing */
  uint32_t index = (uint32_t)(d - c->decls);
  for (ast *x = args->first; x && given; x = x->next) {
    uint32_t i = next;
    ast *e = x;
    d = &c->decls[index];
    if (is_named(x)) {
      str name = key_text(c, x->first);
      e = ast_child(x, 1);
      for (i = 0; i < d->npar && !str_eq(d->par[i].name, name); i++) {}
      if (i == d->npar) {
        nearest near;
        nearest_init(&near, name.p, name.len);
        for (uint32_t k = 0; k < d->npar; k++) nearest_offer(&near, d->par[k].name.p, d->par[k].name.len);
        diag *g = err(c, E0208, x->first, "'%.*s' has no parameter '%.*s'", STR(d->name), STR(name));
        suggest(c, g, x->first, &near);
        unknown = true;
        continue;
      }
    } else {
      next++;
      if (i >= d->npar) {
        diag *g = err(c, E0208, x, "'%.*s' takes %u argument%s", STR(d->name), d->npar, d->npar == 1 ? "" : "s");
        diag_also(c->d, g, d->u->file, d->node->first->off, d->node->first->end, "declared here");
        break;
      }
    }
    if (given[i]) err(c, E0208, x, "'%.*s' is given twice", STR(d->par[i].name));
    given[i] = true;
    pos(c, e);
    ty t = ex_as(c, e, d->par[i].t, w + (int)i);
    d = &c->decls[index];
    coerce(c, e, t, d->par[i].t, w + (int)i, fmt(c, "parameter '%.*s' of %.*s", STR(d->par[i].name), STR(d->name)));
    label |= t.label;
    if (d->sink && (t.label & TY_PHI)) {
      diag *g = err(c, E0216, e, "this carries patient data, and '%.*s' %s", STR(d->name), d->sink_does);
      diag_also(c->d, g, d->u->file, d->sink->off, d->sink->end, "here");
      diag_note(c->d, g, "write disclose(…) around it if you vouch that it may");
    }
  }
  d = &c->decls[index];
  for (uint32_t i = 0; given && i < d->npar; i++) {
    if (given[i]) continue;
    ast *def = d->par[i].node->kind == AST_PARAM ? ast_child(d->par[i].node, 2) : NULL;
    if (def && def->kind != AST_NIL) {
      /* a default sees declarations, not what surrounds the call */
      unit *u = c->u;
      fnctx *f = c->f;
      int nlocals = f->nlocals, nscope = f->nscope, msg = f->msg;
      c->u = d->u;
      f->nlocals = f->nscope = 0;
      f->msg = -1;
      ty t = ex(c, def, w + (int)i);
      d = &c->decls[index];
      coerce(c, def, t, d->par[i].t, w + (int)i, fmt(c, "parameter '%.*s' of %.*s", STR(d->par[i].name), STR(d->name)));
      f->nlocals = nlocals;
      f->nscope = nscope;
      f->msg = msg;
      c->u = u;
    } else {
      op3(c, OP_EMPTY, w + (int)i, 0, 0);
      if (d->par[i].t.min && !unknown) {
        diag *g = err(c, E0208, call_node->first, "'%.*s' needs an argument for '%.*s'", STR(d->name), STR(d->par[i].name));
        diag_also(c->d, g, d->u->file, d->node->first->off, d->node->first->end, "declared here");
      }
    }
  }
  return label;
}

ty call_decl(comp *c, ast *call_node, decl *d, int dst) {
  uint32_t index = (uint32_t)(d - c->decls);
  decl_params(c, d);
  int top = c->f->top, w = window_at(c, dst, (int)d->npar);
  if (d->kind == D_ACTION) {
    diag *g = err(c, E0211, call_node, "'%.*s' is an action: it is called in a step", STR(d->name));
    diag_note(c->d, g, "step x = %.*s(…)", STR(d->name));
    return ty_one(TY_ERR);
  }
  uint8_t label = pass_arguments(c, call_node, d, w);
  uint32_t fn = decl_fn(c, &c->decls[index]);
  ty t = decl_result(c, &c->decls[index]);
  emit_bx(&c->e, c->f->fn, OP_CALL, (uint32_t)w, fn);
  op3(c, OP_MOVE, dst, w, 0);
  c->f->top = top;
  if (c->decls[index].kind == D_PAYLOAD) {
    for (uint32_t i = 0; i < c->decls[index].nfields; i++) label |= c->decls[index].fields[i].t.label & TY_PHI;
    return ty_label(t, label);
  }
  bool flows = c->decls[index].state != 2 || (t.label & TY_PARAM); /* recursion: assume that it does */
  t.label &= (uint8_t)~TY_PARAM;
  return ty_label(t, flows ? label : (uint8_t)(label & TY_SOFT));
}

/* ---- builtins */

static bool fits(ty t, ty want) {
  if (ty_is_open(t) || want.kind == TY_ANY || t.kind == TY_NONE || t.kind == want.kind || t.kind == TY_SYSTEM) return true;
  if (t.kind == TY_HL7) return true;
  if (want.kind == TY_LONG || want.kind == TY_DEC) return ty_is_number(t);
  if (want.kind == TY_DATETIME) return t.kind == TY_DATE;
  if (want.kind == TY_BOOL) return true; /* singleton evaluation */
  return false;
}

static ty unknown_function(comp *c, ast *n, str name) {
  if (c->u->missing) return ty_one(TY_ERR);
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (uint32_t i = 0; i < c->bi.n; i++)
    if (c->bi.rows[i].kind <= BI_INLINE) nearest_offer(&near, c->bi.rows[i].sig.name.p, c->bi.rows[i].sig.name.len);
  for (uint32_t i = 0; i < c->ndecls; i++)
    if (decl_seen(c, &c->decls[i]) && (c->decls[i].kind == D_FN || c->decls[i].kind == D_MAP || c->decls[i].kind == D_PAYLOAD)) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
  diag *d = err(c, E0207, n, "there is no function '%.*s'", STR(name));
  suggest(c, d, n, &near);
  return ty_one(TY_ERR);
}

/* HL7 values have conversions of their own. */
static const char *hl7_variant(ty recv, const char *name) {
  static const struct { const char *name, *hl7; } v[] = {{"toDate", "hl7.toDate"}, {"toDateTime", "hl7.toDateTime"}, {"toTime", "hl7.toTime"}, {"toDecimal", "hl7.toDecimal"}, {"toInteger", "hl7.toInteger"}, {"toBoolean", "hl7.toBoolean"}};
  if (recv.kind != TY_HL7) return NULL;
  for (size_t i = 0; i < sizeof v / sizeof *v; i++)
    if (strcmp(v[i].name, name) == 0) return v[i].hl7;
  return NULL;
}

/* Functions whose result carries no phi whatever they were given. */
static bool clears_label(str n) {
  static const char *const names[] = {"count", "exists", "empty", "type", "isDistinct", "hasValue", "all", "allTrue", "anyTrue", "allFalse", "anyFalse"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (str_is(n, names[i])) return true;
  return false;
}

/* A type's name as a string. */
static void type_argument(comp *c, ast *e, int dst) {
  bool dotted = e->kind == AST_DOT && e->last->kind == AST_NAME;
  str name = e->kind == AST_NAME ? node_name(c, e) : node_text(c, e);
  if (e->kind != AST_NAME && !dotted) { err(c, E0202, e, "a type name is wanted here"); return; }
  type_named(c, dotted ? node_name(c, e->last) : name, e, !c->lenient);
  emit_loadk(&c->e, c->f->fn, (uint32_t)dst, emit_str(&c->e, name.p, name.len));
}

static ty call_native(comp *c, const bi *b, ast *call_node, ty recv, int rr, int dst) {
  const sig *s = &b->sig;
  ast *args = ast_child(call_node, 1);
  fnctx *f = c->f;
  int top = f->top, nargs = s->has_recv + s->n;
  int w = window_at(c, dst, nargs);
  uint8_t label = recv.label;
  const char *name = fmt(c, "%.*s", STR(s->name));
  const char *hl7 = s->has_recv ? hl7_variant(recv, name) : NULL;
  bool each = hl7 || (recv.kind == TY_HL7 && str_is(s->name, "isNull")); /* item by item */
  if (s->has_recv) {
    op3(c, OP_MOVE, w, rr, 0);
    if (!c->lenient && !fits(recv, s->recv.type)) {
      diag *d = err(c, E0209, call_node->first, "'%.*s' works on %s, this is %s", STR(s->name), ty_text(c, s->recv.type), ty_text(c, recv));
      (void)d;
      return ty_one(TY_ERR);
    }
    if (!s->recv.type.many && recv.many && !ty_is_open(recv) && !c->lenient && !hardly_many(recv) && !each) {
      diag *d = err(c, W0302, call_node->first, "'%.*s' takes one value, but there may be several here", STR(s->name));
      diag_replace(c->d, d, call_node->off, call_node->off, "first().", "take the first");
    }
  }
  uint32_t i = 0;
  int first = w + s->has_recv;
  bool stop = false;
  for (ast *x = args->first; x && !stop; x = x->next) {
    uint32_t k = i;
    ast *e = x;
    if (is_named(x)) {
      str key = key_text(c, x->first);
      e = ast_child(x, 1);
      for (k = 0; k < s->n && !str_eq(s->p[k].name, key); k++) {}
      if (k == s->n) { err(c, E0208, x->first, "'%.*s' has no parameter '%.*s': %s", STR(s->name), STR(key), b->text); continue; }
    } else if (i >= s->n) {
      err(c, E0208, x, "'%.*s' takes %u argument%s: %s", STR(s->name), s->n, s->n == 1 ? "" : "s", b->text);
      stop = true;
      continue;
    } else {
      i++;
    }
    if (s->p[k].special == SP_TYPE) { type_argument(c, e, first + (int)k); continue; }
    ty t = ex(c, e, first + (int)k);
    label |= t.label;
    if (!c->lenient && !fits(t, s->p[k].type)) err(c, E0209, e, "'%.*s' of '%.*s' is %s, this is %s", STR(s->p[k].name), STR(s->name), ty_text(c, s->p[k].type), ty_text(c, t));
  }
  for (; i < s->n; i++) {
    bool named = false;
    for (ast *x = args->first; x; x = x->next) named |= is_named(x) && str_eq(key_text(c, x->first), s->p[i].name);
    if (named) continue;
    op3(c, OP_EMPTY, first + (int)i, 0, 0);
    if (!s->p[i].optional && s->p[i].type.min) err(c, E0208, call_node->first, "'%.*s' needs '%.*s': %s", STR(s->name), STR(s->p[i].name), b->text);
  }
  native(c, hl7 ? hl7 : name, w, hl7 ? 1 : nargs, s->ret);
  op3(c, OP_MOVE, dst, w, 0);
  f->top = top;
  ty ret = s->ret;
  if (str_is(s->name, "extension") && !c->lenient && recv.kind != TY_OBJECT && recv.kind != TY_PAYLOAD && !(ty_is_open(recv) && recv.ref < 0)) {
    ret = ty_make(TY_FHIR, 0, true);
    ret.ref = fhir_type("Extension", 9);
    if (recv.kind == TY_FHIR && recv.sub >= 0) { ret = profile_extension(c, recv, args->first, ret); label |= ret.label; }
  }
  if (!ret.min) ret.why = recv.why;
  if (s->ret_special == SP_T) { ret = ty_card(recv, s->ret.min && recv.min, s->ret.many); ret.label = 0; }
  else if (ret.min && !ret.many && s->has_recv && !s->recv.type.many && !recv.min && ret.kind != TY_BOOL) ret.min = 0;
  else if (!ret.min && !ret.many && s->has_recv && recv.min && !ty_is_open(recv) && (s->recv.type.kind == TY_STR || str_is(s->name, "toString") || str_is(s->name, "abs") || str_is(s->name, "not") || str_is(s->name, "round"))) ret.min = 1;
  if (s->ret_special == SP_T && recv.min && (str_is(s->name, "first") || str_is(s->name, "last") || str_is(s->name, "distinct"))) ret.min = 1;
  if (each) { ret.many = recv.many; if (hardly_many(recv)) ret.sub = TY_SUB_VARIES; }
  if (ty_is_open(recv) && s->has_recv) label |= TY_SOFT; /* whether an undeclared value is there is not known */
  return clears_label(s->name) ? ret : ty_label(ret, label);
}

/* exists(criterion) is an inline function of the same name as the native. */
static bool takes_criterion(ast *call_node, str name) { return str_is(name, "exists") && ast_child(call_node, 1)->n == 1; }

static ty call_operation_here(comp *c, ast *call_node, decl *d) {
  diag *g = err(c, E0211, call_node, "operations of a connection are effects: write it as a step or a send");
  diag_note(c->d, g, "step x = %.*s.%.*s(…) waits and gives a value", STR(d->name), STR(node_name(c, call_node->first)));
  diag_note(c->d, g, "send %.*s.%.*s(…) is delivered later, in order", STR(d->name), STR(node_name(c, call_node->first)));
  return ty_one(TY_ERR);
}

/* E0202 for a url that is neither one of R4's own structures nor a profile of the program: at run time nobody knows it. */
static void structure_known(comp *c, const ast *e) {
  static const char own[] = "http://hl7.org/fhir/StructureDefinition/";
  ast_str s = e->kind == AST_STRING ? ast_string_value(c->a, c->u->src, e) : (ast_str){0};
  const char *bar = s.p ? memchr(s.p, '|', s.len) : NULL;
  size_t head = sizeof own - 1, len = bar ? (size_t)(bar - s.p) : s.len;
  bool fhir = s.p && len > head && memcmp(s.p, own, head) == 0;
  if (!s.p || c->is_eval || c->lenient || (fhir && fhir_type(s.p + head, len - head))) return;
  nearest near;
  nearest_init(&near, s.p, len);
  for (uint16_t t = 1; fhir && t <= fhir_type_count(); t++)
    if (fhir_type_kind(t) != FHIR_BACKBONE) { const char *url = fmt(c, "%s%s", own, fhir_type_name(t)); nearest_offer(&near, url, strlen(url)); }
  for (uint32_t i = 0; i < c->ndecls; i++) {
    const decl *d = &c->decls[i];
    if (d->kind == D_PROFILE && d->profile && d->profile->url.tag == VAL_STR) nearest_offer(&near, d->profile->url.u.s, d->profile->url.len);
  }
  diag *d = err(c, E0202, e, "no structure with this address is known here");
  if (near.n) diag_replace(c->d, d, e->off, e->end, fmt(c, "'%.*s'", (int)near.hit[0].len, near.hit[0].name), fmt(c, "did you mean '%.*s'?", (int)near.hit[0].len, near.hit[0].name));
  diag_note(c->d, d, "a profile is declared: profile core = structure('file.json'); then conformsTo(core)");
}

/* conformsTo(core), validate(core): with a profile of the program. NULL: neither. */
static const char *profile_native(comp *c, ast *call_node, str name, decl **d) {
  bool conforms = str_is(name, "conformsTo"), validate = str_is(name, "validate");
  ast *args = ast_child(call_node, 1);
  if ((!conforms && !validate) || args->n != 1 || is_named(args->first)) return NULL;
  *d = profile_arg(c, args->first);
  if (!*d) structure_known(c, args->first);
  return !*d ? NULL : conforms ? "fhir.conforms" : "fhir.problems";
}

static ty method(comp *c, ast *call_node, ast *recv_node, str name, int dst) {
  int lib = bi_function(&c->bi, name) ? 0 : lib_used(c, recv_node);
  if (lib) return library_call(c, call_node, lib, name, dst);
  uint16_t backbone = backbone_named(c, recv_node, name);
  if (backbone) return fhir_build(c, call_node->first, ast_child(call_node, 1), backbone, dst);
  if (recv_node->kind == AST_NAME && str_is(node_name(c, recv_node), "fhir") && !find_local(c, node_name(c, recv_node)) && !find_decl(c, node_name(c, recv_node))) {
    uint16_t id = fhir_type(name.p, name.len);
    decl *p = id ? NULL : find_decl(c, name);
    if (p && p->kind == D_PROFILE) return profile_call(c, call_node, p, dst);
    if (id && fhir_type_kind(id) != FHIR_PRIMITIVE && !fhir_type_abstract(id)) return fhir_load(c, call_node, id, dst);
    if (!c->is_eval) { (void)type_named(c, name, call_node->first, true); return ty_one(TY_ERR); }
  }
  if (recv_node->kind == AST_NAME && !find_local(c, node_name(c, recv_node)) && c->f->nscope <= (c->f->root_scope ? 1 : 0)) {
    decl *d = find_decl(c, node_name(c, recv_node));
    if (d && d->kind == D_CONNECTION && d->later) { op3(c, OP_EMPTY, dst, 0, 0); return ty_label(ty_make(TY_ANY, 0, false), TY_PHI); }
    if (d && d->kind == D_CONNECTION) return call_operation_here(c, call_node, d);
  }
  const bi *b = bi_function(&c->bi, name);
  if (takes_criterion(call_node, name)) b = bi_function(&c->bi, str_of("where"));
  ty t;
  int top = c->f->top;
  if (b && b->kind == BI_INLINE) return inline_call(c, b, call_node, recv_node, dst);
  if (str_is(name, "hash") && ast_child(call_node, 1)->n) {
    not_yet(c, call_node, "'hash' with exceptions");
    op3(c, OP_EMPTY, dst, 0, 0);
    return ty_one(TY_STR);
  }
  if (str_is(name, "first") || str_is(name, "last") || str_is(name, "single") || str_is(name, "skip") || str_is(name, "take") || str_is(name, "tail")) not_union(c, recv_node, fmt(c, "'%.*s()'", STR(name)));
  int r = dst;
  if (dst == top - 1) t = ex(c, recv_node, dst); /* where the arguments begin */
  else r = ex_any(c, recv_node, &t);
  ty out;
  decl *profile = NULL;
  const char *by_profile = NULL;
  if (t.kind == TY_ERR) { c->f->top = top; return t; }
  if (!b && (t.kind == TY_ANY || t.kind == TY_DECL || t.kind == TY_SYSTEM) && !c->lenient) { /* a method of something that this version does not model */
    not_yet(c, call_node->first, fmt(c, "'%.*s' on this", STR(name)));
    for (ast *x = ast_child(call_node, 1)->first; x; x = x->next) {
      int w = reg_new(c);
      ex(c, is_named(x) ? ast_child(x, 1) : x->kind == AST_ASC || x->kind == AST_DESC ? x->first : x, w);
      c->f->top = w;
    }
    op3(c, OP_EMPTY, dst, 0, 0);
    out = ty_label(ty_make(TY_ANY, 0, false), t.label);
  } else if ((by_profile = profile_native(c, call_node, name, &profile))) {
    op3(c, OP_MOVE, dst, r, 0);
    out = profile_question(c, profile, by_profile, t, dst);
  } else if (!b || (!b->sig.has_recv)) {
    out = unknown_function(c, call_node->first, name);
  } else {
    out = call_native(c, b, call_node, t, r, dst);
  }
  c->f->top = top;
  return out;
}

ty call(comp *c, ast *call_node, ast *recv_node, int dst) {
  str name = node_name(c, call_node->first);
  for (ast *x = ast_child(call_node, 1)->first; x; x = x->next) (is_named(x) ? ast_child(x, 1) : x)->flags |= AST_SCOPE;
  if (recv_node) return method(c, call_node, recv_node, name, dst);
  decl *d = find_decl(c, name);
  if (d && (d->kind == D_FN || d->kind == D_MAP || d->kind == D_ACTION || (d->kind == D_PAYLOAD && (decl_params(c, d), d->params)))) return call_decl(c, call_node, d, dst);
  bool handled;
  ty t = construct(c, call_node, name, dst, &handled);
  if (handled) return t;
  if (c->f->in_test && test_call(c, call_node, name, dst, &t)) return t;
  const bi *b = bi_function(&c->bi, name);
  if (takes_criterion(call_node, name)) b = bi_function(&c->bi, str_of("where"));
  if (!b) {
    if (d && d->kind == D_CONNECTION) return call_operation_here(c, call_node, d);
    if (str_is(name, "secret")) {
      diag *g = err(c, E0217, call_node, "a secret is no value: it is named in the declaration of a connection only");
      diag_note(c->d, g, "connection crm = rest(auth: bearer(secret('crm_token')))");
      return ty_one(TY_ERR);
    }
    return unknown_function(c, call_node->first, name);
  }
  if (b->kind == BI_INLINE) return inline_call(c, b, call_node, NULL, dst);
  if (!b->sig.has_recv) return call_native(c, b, call_node, ty_one(TY_NONE), -1, dst);
  /* exists() and the like without a receiver: on $this */
  if (!c->f->nscope) {
    diag *g = err(c, E0207, call_node->first, "'%.*s' needs a value before it: x.%.*s(…)", STR(name), STR(name));
    (void)g;
    return ty_one(TY_ERR);
  }
  this_scope *s = &c->f->scope[c->f->nscope - 1];
  return call_native(c, b, call_node, s->t, s->reg, dst);
}
