/* meta.c - the META section: declarations for the daemon as JSON (docs/internals/meta.md), and the check of their arguments. */
#include "comp_int.h"
#include <string.h>

static void put_str(buf *b, str s) { if (b) diag_json_string(b, s.p, s.len); }
static void puts_(buf *b, const char *s) { if (b) buf_puts(b, s); }
static bool constant(comp *c, buf *b, ast *e);

static void put_val(comp *c, buf *b, val v) {
  char t[DEC_TEXT_MAX];
  switch (v.tag) {
    case VAL_STR: put_str(b, (str){v.u.s, v.len}); break;
    case VAL_BOOL: puts_(b, v.u.i ? "true" : "false"); break;
    case VAL_INT: case VAL_LONG: if (b) buf_putf(b, "%lld", (long long)v.u.i); break;
    case VAL_DEC: { dec d = val_get_dec(v); size_t n = dec_format(&d, t); if (b) buf_put(b, t, n); break; }
    default: puts_(b, "null"); break;
  }
  (void)c;
}

bool duration_ms(val v, int64_t *ms) {
  if (v.tag != VAL_QTY || !(v.flags & VALF_CALENDAR)) return false;
  const val_quantity *q = v.u.p;
  static const struct { const char *unit; int64_t ms; } u[] = {{"millisecond", 1}, {"second", 1000}, {"minute", 60000}, {"hour", 3600000}, {"day", 86400000}, {"week", 604800000}};
  for (size_t i = 0; i < sizeof u / sizeof *u; i++) {
    if (strlen(u[i].unit) != q->unit_len || memcmp(u[i].unit, q->unit, q->unit_len) != 0) continue;
    dec f = dec_from_i64(u[i].ms), r;
    if (dec_mul(&q->value, &f, &r)) return false;
    r = dec_trunc(&r);
    return dec_to_i64(&r, ms) == HDW_OK;
  }
  return false;
}

static bool helper(comp *c, buf *b, ast *e) {
  str name = node_name(c, e->first);
  const bi *row = bi_declare(&c->bi, BI_HELPER, NULL, name);
  if (!row) {
    nearest near;
    nearest_init(&near, name.p, name.len);
    for (uint32_t i = 0; i < c->bi.n; i++)
      if (c->bi.rows[i].kind == BI_DECLARE && c->bi.rows[i].what == BI_HELPER) nearest_offer(&near, c->bi.rows[i].sig.name.p, c->bi.rows[i].sig.name.len);
    diag *d = err(c, E0219, e->first, "there is no '%.*s' in declarations", STR(name));
    suggest(c, d, e->first, &near);
    return false;
  }
  if (row->later && !b) not_yet(c, e, fmt(c, "'%.*s'", STR(name)));
  if (str_is(name, "secret")) {
    ast *a = ast_child(e, 1)->first;
    if (!a || a->kind != AST_STRING) { if (!b) err(c, E0217, e, "a secret is named by a string: secret('crm_token')"); return false; }
    ast_str s = ast_string_value(c->a, c->u->src, a);
    puts_(b, "{\"$secret\":");
    put_str(b, (str){s.p, s.len});
    puts_(b, "}");
    return true;
  }
  puts_(b, "{\"$call\":");
  put_str(b, name);
  puts_(b, ",\"args\":{");
  bool ok = meta_args(c, b, e, row);
  puts_(b, "}}");
  return ok;
}

/* A value of a declaration. Reports only when b is NULL (the check); writes when it is not. */
static bool constant(comp *c, buf *b, ast *e) {
  if (!const_budget(c, e)) return false;
  switch (e->kind) {
    case AST_STRING: case AST_INT: case AST_LONG: case AST_DEC: case AST_TRUE: case AST_FALSE: case AST_NEG: {
      bool ok = true;
      val v = const_of(c, e, &ok);
      put_val(c, b, v);
      return ok;
    }
    case AST_QUANTITY: {
      bool ok = true;
      val v = const_of(c, e, &ok);
      int64_t ms = 0;
      if (!duration_ms(v, &ms)) { if (!b) err(c, E0209, e, "a duration is given in milliseconds, seconds, minutes, hours, days or weeks"); return false; }
      if (b) buf_putf(b, "{\"$ms\":%lld}", (long long)ms);
      return true;
    }
    case AST_LIST: {
      bool ok = true, first = true;
      puts_(b, "[");
      for (ast *x = e->first; x; x = x->next) { if (!first) puts_(b, ","); first = false; ok &= constant(c, b, x); }
      puts_(b, "]");
      return ok;
    }
    case AST_OBJ: {
      bool ok = true, first = true;
      puts_(b, "{");
      for (ast *x = e->first; x; x = x->next) {
        if (!first) puts_(b, ",");
        first = false;
        str k = x->first->kind == AST_STRING ? (str){0} : node_name(c, x->first);
        if (x->first->kind == AST_STRING) { ast_str s = ast_string_value(c->a, c->u->src, x->first); k = (str){s.p, s.len}; }
        put_str(b, k);
        puts_(b, ":");
        ok &= constant(c, b, ast_child(x, 1));
      }
      puts_(b, "}");
      return ok;
    }
    case AST_CALL: return helper(c, b, e);
    case AST_HL7: put_str(b, node_text(c, e)); return true;
    case AST_NAME: {
      str name = node_name(c, e);
      decl *d = find_decl(c, name);
      if (d && d->kind == D_SETTING) {
        puts_(b, "{\"$setting\":");
        put_str(b, name);
        puts_(b, "}");
        return true;
      }
      if (d && d->kind == D_LET) {
        if (c->let_depth > 50) return false; /* a circle: reported where it is compiled */
        unit *u = c->u;
        c->u = d->u;
        c->let_depth++;
        bool ok = constant(c, b, ast_child(d->node, 2));
        c->let_depth--;
        c->u = u;
        return ok;
      }
      put_str(b, name); /* a sender, payload, segment, connection, or a word such as R4 or required */
      return true;
    }
    default:
      if (!b) {
        diag *d = err(c, E0229, e, "declarations take constants, settings and secrets");
        diag_note(c->d, d, "what differs from one installation to another is a setting: setting crm_base: url");
      }
      return false;
  }
}

/* Arguments of a declaration call by parameter name: checked (b NULL) or written as JSON members. */
bool meta_args(comp *c, buf *b, ast *call_node, const bi *row) {
  const sig *s = &row->sig;
  ast *args = ast_child(call_node, 1);
  uint32_t next = 0;
  bool ok = true, first = true;
  uint64_t given = 0;
  for (ast *x = args->first; x; x = x->next) {
    str name;
    ast *e = x;
    uint32_t k;
    if (x->kind == AST_NAMED) {
      name = node_name(c, x->first);
      e = ast_child(x, 1);
      for (k = 0; k < s->n && !str_eq(s->p[k].name, name); k++) {}
      if (k == s->n && !s->rest) {
        if (!b) {
          nearest near;
          nearest_init(&near, name.p, name.len);
          for (uint32_t i = 0; i < s->n; i++) nearest_offer(&near, s->p[i].name.p, s->p[i].name.len);
          diag *d = err(c, E0208, x->first, "'%.*s' has no argument '%.*s'", STR(s->name), STR(name));
          suggest(c, d, x->first, &near);
          diag_note(c->d, d, "%s", row->text);
        }
        ok = false;
        continue;
      }
    } else {
      k = next++;
      if (k >= s->n) { if (!b) err(c, E0208, x, "too many arguments: %s", row->text); ok = false; continue; }
      name = s->p[k].name;
    }
    if (!b && k < s->n && given >> k & 1) { err(c, E0208, x, "'%.*s' is given twice", STR(s->p[k].name)); ok = false; continue; }
    if (k < 64) given |= UINT64_C(1) << k;
    if (!b && k < s->n) {
      const sig_param *p = &s->p[k];
      bool lit = e->kind == AST_STRING || e->kind == AST_INT || e->kind == AST_DEC || e->kind == AST_QUANTITY || e->kind == AST_TRUE || e->kind == AST_FALSE;
      bool bad = (p->special == SP_DURATION && lit && e->kind != AST_QUANTITY) || (p->type.kind == TY_INT && lit && e->kind != AST_INT) ||
                 (p->type.kind == TY_STR && lit && e->kind != AST_STRING) || (p->special == SP_SECRET && lit) || (p->special == SP_HELPER && lit);
      if (bad) {
        diag *d = err(c, p->special == SP_SECRET ? E0217 : E0209, e, "'%.*s' of '%.*s' is %s", STR(p->name), STR(s->name),
                      p->special == SP_SECRET ? "a secret: secret('name')" : p->special == SP_DURATION ? "a duration, such as 20 seconds" : p->special == SP_HELPER ? "given by a call" : ty_text(c, ty_card(p->type, 1, false)));
        if (p->special == SP_SECRET) diag_note(c->d, d, "secrets never stand in the source: the operator binds the name to a file");
      }
    }
    if (b) {
      if (!first) buf_putc(b, ',');
      put_str(b, name);
      buf_putc(b, ':');
    }
    first = false;
    ok &= constant(c, b, e);
  }
  for (uint32_t i = 0; i < s->n && !b; i++)
    if (!(given >> i & 1) && !s->p[i].optional && s->p[i].type.min && !s->p[i].type.many) { err(c, E0208, call_node, "'%.*s' needs '%.*s': %s", STR(s->name), STR(s->p[i].name), row->text); ok = false; }
  return ok;
}

bool conn_meta(comp *c, buf *b, decl *d) {
  ast *own = ast_child(d->node, 1);
  c->u = d->u;
  bool ok = meta_args(c, b, own, d->kind_row), first = !ast_child(own, 1)->first;
  if (d->base == MOD_NO_INDEX) return ok;
  decl *base = &c->decls[d->base];
  for (ast *x = ast_child(ast_child(base->node, 1), 1)->first; x; x = x->next) {
    const unit *in;
    c->u = base->u;
    str name = x->kind == AST_NAMED ? node_name(c, x->first) : (str){0};
    if (!name.len || conn_arg(c, d, fmt(c, "%.*s", STR(name)), &in) != ast_child(x, 1)) continue; /* the program has another one */
    if (b) {
      if (!first) buf_putc(b, ',');
      put_str(b, name);
      buf_putc(b, ':');
    }
    first = false;
    ok &= constant(c, b, ast_child(x, 1));
  }
  c->u = d->u;
  return ok;
}

/* The name that its state is known by so far: a deployment takes it over. */
static void write_was(comp *c, buf *b, const ast *n) {
  if (n->last->kind != AST_WAS) return;
  buf_puts(b, ",\"was\":");
  put_str(b, node_name(c, n->last->first));
}

static void write_setup(comp *c, buf *b, decl_kind k, const char *key) {
  bool first = true;
  buf_putf(b, ",\"%s\":[", key);
  for (uint32_t i = 0; i < c->ndecls; i++) {
    decl *d = &c->decls[i];
    if (d->kind != k || !d->kind_row) continue;
    c->u = d->u;
    buf_puts(b, first ? "{\"name\":" : ",{\"name\":");
    first = false;
    put_str(b, d->name);
    write_was(c, b, d->node);
    buf_puts(b, ",\"kind\":");
    put_str(b, d->kind_row->sig.name);
    buf_puts(b, ",\"args\":{");
    if (k == D_CONNECTION) conn_meta(c, b, d);
    else meta_args(c, b, ast_child(d->node, 1), d->kind_row);
    buf_putc(b, '}');
    if (k == D_CONNECTION) {
      buf_puts(b, ",\"ops\":[");
      uint32_t bit = 0;
      bool one = true;
      for (uint32_t j = 0; j < c->bi.n; j++) {
        const bi *r = &c->bi.rows[j];
        if (r->kind != BI_OPERATION || !str_is(d->kind_row->sig.name, r->conn)) continue;
        if (d->ops >> bit & 1) {
          if (!one) buf_putc(b, ',');
          one = false;
          put_str(b, r->sig.name);
        }
        bit++;
      }
      buf_putc(b, ']');
    }
    buf_putc(b, '}');
  }
  buf_putc(b, ']');
}

static void write_settings(comp *c, buf *b) {
  bool first = true;
  buf_puts(b, ",\"settings\":[");
  for (uint32_t i = 0; i < c->ndecls; i++) {
    decl *d = &c->decls[i];
    if (d->kind != D_SETTING) continue;
    c->u = d->u;
    buf_puts(b, first ? "{\"name\":" : ",{\"name\":");
    first = false;
    put_str(b, d->name);
    ast *t = ast_child(d->node, 1), *def = ast_child(d->node, 2);
    buf_puts(b, ",\"type\":");
    put_str(b, node_name(c, t->first));
    if (!ast_is_nil(def)) { buf_puts(b, ",\"default\":"); constant(c, b, def); }
    buf_putc(b, '}');
  }
  buf_putc(b, ']');
}

static void write_senders(comp *c, buf *b) {
  bool first = true;
  buf_puts(b, ",\"senders\":[");
  for (uint32_t i = 0; i < c->ndecls; i++) {
    decl *d = &c->decls[i];
    if (d->kind != D_SENDER || d->fn == MOD_NO_INDEX) continue;
    c->u = d->u;
    buf_puts(b, first ? "{\"name\":" : ",{\"name\":");
    first = false;
    put_str(b, d->name);
    buf_putf(b, ",\"match\":%u,\"args\":{", d->fn);
    bool one = true;
    for (ast *x = ast_child(d->node, 1)->first; x; x = x->next) {
      if (x->kind != AST_PAIR || ast_name_is(c->u->src, x->first, "match")) continue;
      if (!one) buf_putc(b, ',');
      one = false;
      put_str(b, node_name(c, x->first));
      buf_putc(b, ':');
      size_t at = b->len;
      if (!constant(c, b, ast_child(x, 1))) { b->len = at; buf_puts(b, "null"); }
    }
    buf_puts(b, "}}");
  }
  buf_putc(b, ']');
}

static void write_trigger(comp *c, buf *b, ast *t) {
  ast *call_node = t->kind == AST_DOT ? t->last : t;
  str name = node_name(c, call_node->first);
  const bi *row = NULL;
  buf_putc(b, '{');
  if (t->kind == AST_DOT) {
    decl *d = find_decl(c, node_name(c, t->first));
    buf_puts(b, "\"listener\":");
    put_str(b, node_name(c, t->first));
    buf_putc(b, ',');
    if (d && d->kind_row) row = bi_declare(&c->bi, BI_TRIGGER, fmt(c, "%.*s", STR(d->kind_row->sig.name)), name);
  } else {
    row = bi_declare(&c->bi, BI_TRIGGER, "", name);
  }
  buf_puts(b, "\"kind\":");
  put_str(b, name);
  buf_puts(b, ",\"args\":{");
  if (row) meta_args(c, b, call_node, row);
  buf_puts(b, "}}");
}

static void write_ack(comp *c, buf *b, ast *clauses) {
  for (ast *x = clauses->first; x; x = x->next) {
    if (x->kind != AST_ACK) continue;
    buf_puts(b, ",\"ack\":{\"after\":");
    put_str(b, node_name(c, x->first));
    ast *within = ast_child(x, 1), *other = ast_child(x, 2);
    if (!ast_is_nil(within)) { buf_puts(b, ",\"within\":"); constant(c, b, within); }
    if (!ast_is_nil(other)) { buf_puts(b, ",\"else\":"); put_str(b, node_name(c, other)); }
    buf_putc(b, '}');
    return;
  }
  buf_puts(b, ",\"ack\":{\"after\":\"commit\"}");
}

static void write_workflows(comp *c, buf *b) {
  bool first = true;
  buf_puts(b, ",\"workflows\":[");
  for (uint32_t i = 0; i < c->ndecls; i++) {
    decl *d = &c->decls[i];
    if (d->kind != D_WORKFLOW || d->fn == MOD_NO_INDEX) continue;
    c->u = d->u;
    ast *on = ast_child(d->node, 3), *cl = ast_child(d->node, 4);
    buf_puts(b, first ? "{\"name\":" : ",{\"name\":");
    first = false;
    put_str(b, d->name);
    write_was(c, b, d->node);
    buf_putf(b, ",\"func\":%u", d->fn);
    if (!ast_is_nil(on) && !ast_is_nil(ast_child(on, 1))) { buf_puts(b, ",\"input\":"); put_str(b, node_name(c, ast_child(on, 1))); }
    buf_puts(b, ",\"triggers\":[");
    bool one = true;
    if (!ast_is_nil(on))
      for (ast *t = on->first->first; t; t = t->next) { if (!one) buf_putc(b, ','); one = false; write_trigger(c, b, t); }
    buf_putc(b, ']');
    write_ack(c, b, cl);
    bool lanes = false, skip = false;
    for (ast *x = cl->first; x; x = x->next)
      if (x->kind == AST_ORDER) { lanes = true; skip = !ast_is_nil(ast_child(x, 2)) && ast_name_is(c->u->src, ast_child(x, 2), "skip"); }
    buf_putf(b, ",\"lanes\":%s,\"lane_failure\":\"%s\"", lanes ? "true" : "false", skip ? "skip" : "hold");
    ast *ret = ast_child(d->node, 2);
    if (!ast_is_nil(ret)) { buf_puts(b, ",\"returns\":"); put_str(b, node_text(c, ret)); }
    buf_putc(b, '}');
  }
  buf_putc(b, ']');
}

hdw_status meta_write(comp *c, buf *b) {
  const char *name = c->opt && c->opt->name ? c->opt->name : c->nunits ? c->units[0]->path : "expression";
  const char *slash = strrchr(name, '/');
  if (slash) name = slash + 1;
  size_t n = strlen(name);
  if (n > 4 && strcmp(name + n - 4, ".hdw") == 0) n -= 4;
  buf_puts(b, "{\"edition\":1,\"name\":");
  put_str(b, (str){name, n});
  write_settings(c, b);
  write_setup(c, b, D_LISTENER, "listeners");
  write_setup(c, b, D_CONNECTION, "connections");
  write_senders(c, b);
  write_workflows(c, b);
  buf_puts(b, ",\"functions\":[");
  bool first = true;
  for (uint32_t i = 0; i < c->ndecls; i++) {
    decl *d = &c->decls[i];
    if ((d->kind != D_FN && d->kind != D_MAP && d->kind != D_PAYLOAD) || d->fn == MOD_NO_INDEX) continue;
    buf_puts(b, first ? "{\"name\":" : ",{\"name\":");
    first = false;
    put_str(b, d->name);
    buf_putf(b, ",\"func\":%u}", d->fn);
  }
  buf_puts(b, "]}");
  return (hdw_status)b->status;
}
