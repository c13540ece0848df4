/* testblock.c - what stands in test blocks only: mocks, inputs, time, expectations, and what a test can look at.
 *
 * Each is a question to the test runner (hdwc/test_ask.c): an effect "test.NAME" with positional arguments, which the runner answers while the
 * machine waits. Targets (crm.get('/people/88')) become three values: their text, "crm.get", and an object of the arguments that are given. */
#include "comp_int.h"
#include <string.h>

enum { TARGET_ARGS = 24, ANSWERS = 60 };

static str argument_name(comp *c, const ast *key) {
  if (key->kind == AST_STRING) {
    ast_str s = ast_string_value(c->a, c->u->src, key);
    return (str){s.p, s.len};
  }
  return key->kind == AST_NAME ? node_name(c, key) : node_text(c, key);
}

static bool ambient_of_tests(str name) {
  return str_is(name, "ack") || str_is(name, "result") || str_is(name, "answer") || str_is(name, "verdict") || str_is(name, "run");
}

/* A value of a target or option; a bare word that means nothing here (Patient) is its own text. */
static void value_or_word(comp *c, ast *e, int r) {
  if (e->kind == AST_NAME) {
    str name = node_name(c, e);
    if (name.len && name.p[0] >= 'A' && name.p[0] <= 'Z' && !find_local(c, name) && !find_decl(c, name)) {
      emit_loadk(&c->e, c->f->fn, (uint32_t)r, emit_str(&c->e, name.p, name.len));
      return;
    }
  }
  ty t = ex(c, e, r);
  if (t.kind == TY_HL7) hl7_text_as(c, t, r, TY_STR);
}

/* An object of named values into register r. */
static void object_at(comp *c, ast *const *values, const str *names, uint32_t n, int r) {
  int top = c->f->top, base = regs_new(c, n ? (int)n : 1);
  mod_key keys[TARGET_ARGS];
  for (uint32_t i = 0; i < n; i++) {
    keys[i] = (mod_key){emit_str(&c->e, names[i].p, names[i].len), 0};
    value_or_word(c, values[i], base + (int)i);
  }
  emit_ext(&c->e, c->f->fn, OP_OBJ, (uint32_t)r, (uint32_t)base, 0, emit_shape(&c->e, keys, n));
  c->f->top = top;
}

/* ---- targets */

static const bi *operation_of(comp *c, decl *conn, ast *name_node) {
  if (!conn->kind_row || conn->later) return NULL;
  const char *kind = fmt(c, "%.*s", STR(conn->kind_row->sig.name));
  str name = node_name(c, name_node);
  const bi *b = bi_operation(&c->bi, kind, name);
  if (!b) operation_unknown(c, name_node, name, kind, conn);
  return b;
}

static bool is_later_system(str name) {
  static const char *const later[] = {"world", "store", "bus", "geo", "files", "ops", "review"};
  for (size_t i = 0; i < sizeof later / sizeof *later; i++)
    if (str_is(name, later[i])) return true;
  return false;
}

static decl *target_connection(comp *c, ast *n) {
  if (n->kind != AST_NAME) {
    err(c, E0222, n, "a connection or an operation of one is wanted here: crm, crm.post, crm.get('/people/88')");
    return NULL;
  }
  str name = node_name(c, n);
  decl *d = find_decl(c, name);
  if (d && d->kind == D_CONNECTION) return d;
  if (d && d->kind == D_ACTION) err(c, E0222, n, "an action is performed as it is in tests too: mock the operations that it calls");
  else if (!is_later_system(name) && !c->u->missing) {
    nearest near;
    nearest_init(&near, name.p, name.len);
    for (uint32_t i = 0; i < c->ndecls; i++)
      if (c->decls[i].kind == D_CONNECTION && decl_seen(c, &c->decls[i])) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
    suggest(c, err(c, E0201, n, "there is no connection '%.*s'", STR(name)), n, &near);
  }
  return NULL;
}

static void target_arguments(comp *c, ast *args, const bi *op, int r) {
  ast *values[TARGET_ARGS];
  str names[TARGET_ARGS];
  uint32_t n = 0, position = 0;
  for (ast *x = args->first; x; x = x->next) {
    if (n == TARGET_ARGS) { err(c, E0208, x, "too many arguments"); return; }
    bool named = x->kind == AST_NAMED;
    values[n] = named ? ast_child(x, 1) : x;
    if (named) names[n] = argument_name(c, x->first);
    else names[n] = op && position < op->sig.n ? op->sig.p[position].name : str_of(fmt(c, "%u", position));
    if (!named) position++;
    n++;
  }
  object_at(c, values, names, n, r);
}

/* Text, "connection.operation" and arguments of a target into w, w + 1, w + 2. n NULL: everything. */
static void target(comp *c, ast *n, int w) {
  str text = n ? node_text(c, n) : (str){"", 0};
  ast *call_node = NULL, *conn = n, *op = NULL;
  if (n && n->kind == AST_DOT) {
    conn = n->first, op = n->last;
    if (op->kind == AST_CALL) call_node = op, op = op->first;
  } else if (n && n->kind == AST_CALL) {
    conn = n->first;
  }
  decl *d = n ? target_connection(c, conn) : NULL;
  const bi *b = d && op ? operation_of(c, d, op) : NULL;
  str cn = n ? node_text(c, conn) : (str){"", 0}, on = op ? node_name(c, op) : (str){"", 0};
  if (b) on = b->sig.name;
  const char *both = fmt(c, "%.*s%s%.*s", STR(cn), op ? "." : "", STR(on));
  emit_loadk(&c->e, c->f->fn, (uint32_t)w, emit_str(&c->e, text.p, text.len));
  emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, emit_cstr(&c->e, both));
  op3(c, OP_EMPTY, w + 2, 0, 0);
  if (call_node) target_arguments(c, ast_child(call_node, 1), b, w + 2);
}

/* ---- questions: functions and names */

/* error(503, retry_after: 30 seconds): what a mock fails with. delay(5 seconds, x): x, but later. */
static ty answer_form(comp *c, ast *call_node, str name, int dst) {
  static const char *const of_error[] = {"code", "class", "message", "retry_after", "body", NULL}, *const of_delay[] = {"by", "value", NULL};
  bool error = str_is(name, "error");
  const char *const *known = error ? of_error : of_delay;
  ast *values[TARGET_ARGS];
  str names[TARGET_ARGS];
  uint32_t n = 0, position = 0;
  for (ast *x = ast_child(call_node, 1)->first; x && n < TARGET_ARGS; x = x->next) {
    bool named = x->kind == AST_NAMED;
    values[n] = named ? ast_child(x, 1) : x;
    if (!named) names[n] = str_of(error ? (position ? "message" : "$error") : position ? "value" : "$delay");
    else {
      str key = argument_name(c, x->first);
      uint32_t k = 0;
      while (known[k] && !str_is(key, known[k])) k++;
      if (!known[k]) err(c, E0208, x->first, "'%.*s' has no parameter '%.*s'; there are %s", STR(name), STR(key), error ? "code, class, message, retry_after" : "by, value");
      names[n] = known[k] && str_is(key, "by") ? str_of("$delay") : key;
    }
    if (!named && ++position > 2) err(c, E0208, x, "too many arguments");
    n++;
  }
  if (!n || !(str_is(names[0], "$error") || str_is(names[0], "$delay")))
    err(c, E0208, call_node, error ? "what error? error(503), error('timeout')" : "how long? delay(5 seconds, { id: 17 })");
  object_at(c, values, names, n, dst);
  return ty_opt(TY_ANY);
}

/* A function that only tests have; false when name is none. */
bool test_call(comp *c, ast *call_node, str name, int dst, ty *out) {
  static const char *const asks[] = {"sent", "deliveries", "dead", "runs", "logs", "file", "hl7"};
  ast *arg = ast_child(call_node, 1)->first;
  fnctx *f = c->f;
  if (str_is(name, "error") || str_is(name, "delay")) return *out = answer_form(c, call_node, name, dst), true;
  for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
    if (!str_is(name, asks[i])) continue;
    int top = f->top, w = regs_new(c, 3), n = 1;
    if (i < 3) target(c, arg, w), n = 3;
    else if (i < 5) {
      str s = arg ? node_text(c, arg) : (str){"", 0};
      if (arg && arg->kind == AST_NAME && !test_workflow(c, arg)) s.len = 0;
      emit_loadk(&c->e, f->fn, (uint32_t)w, emit_str(&c->e, s.p, s.len));
    } else if (arg) ex(c, arg, w);
    else op3(c, OP_EMPTY, w, 0, 0);
    test_effect(c, fmt(c, "test.%s", asks[i]), w, n, dst);
    f->top = top;
    *out = ty_opt(i == 6 ? TY_HL7_MSG : TY_ANY);
    return true;
  }
  return false;
}

/* ack (a message), answer ({status, body} of HTTP), verdict ({code, duplicate}), result and run ({state, reason ...}); false when name is none. */
bool test_name(comp *c, str name, int dst, ty *out) {
  if (!ambient_of_tests(name)) return false;
  int top = c->f->top, w = reg_new(c);
  test_effect(c, fmt(c, "test.%.*s", STR(name)), w, 0, dst);
  c->f->top = top;
  *out = str_is(name, "ack") ? ty_opt(TY_HL7_MSG) : ty_card(ty_one(TY_ANY), 0, false);
  return true;
}

/* ---- statements */

/* mock target = answer, or = [first, second ...]: one answer after the other. shared: of the file, asked after the test's own. */
void test_mock(comp *c, ast *n, bool shared) {
  fnctx *f = c->f;
  int top = f->top, w = regs_new(c, 5);
  ast *e = ast_child(n, 1);
  bool sequence = e->kind == AST_LIST && e->n < ANSWERS;
  pos(c, n);
  target(c, n->first, w);
  if (sequence) { /* kept as one object with a member for each */
    mod_key keys[ANSWERS + 1];
    int base = regs_new(c, (int)e->n ? (int)e->n : 1);
    uint32_t k = 0;
    for (ast *x = e->first; x; x = x->next, k++) {
      keys[k] = (mod_key){emit_cstr(&c->e, fmt(c, "$%u", k)), 0};
      value_or_word(c, x, base + (int)k);
    }
    emit_ext(&c->e, f->fn, OP_OBJ, (uint32_t)w + 3, (uint32_t)base, 0, emit_shape(&c->e, keys, k));
  } else value_or_word(c, e, w + 3);
  emit_bx(&c->e, f->fn, OP_LOADI, (uint32_t)w + 4, shared);
  pos(c, n);
  test_effect(c, sequence ? "test.mock_sequence" : "test.mock", w, 5, -1);
  f->top = top;
}

/* The workflow that a name means; NULL and a diagnostic when there is none. */
decl *test_workflow(comp *c, ast *n) {
  str name = node_name(c, n);
  decl *d = find_decl(c, name);
  if (d && d->kind == D_WORKFLOW) return d;
  if (c->u->missing && !d) return NULL;
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (uint32_t i = 0; i < c->ndecls; i++)
    if (c->decls[i].kind == D_WORKFLOW) nearest_offer(&near, c->decls[i].name.p, c->decls[i].name.len);
  diag *g = err(c, E0201, n, "there is no workflow '%.*s'", STR(name));
  suggest(c, g, n, &near);
  return NULL;
}

/* when workflow(input, query: {…}, headers: {…}, path: '/x', key: 'k') */
static void when(comp *c, ast *n) {
  static const char *const known[] = {"query", "headers", "path", "method", "key"};
  fnctx *f = c->f;
  ast *call_node = n->first, *values[TARGET_ARGS];
  str names[TARGET_ARGS];
  uint32_t k = 0;
  if (call_node->kind != AST_CALL) { err(c, E0222, n, "when workflow(input)"); return; }
  if (!test_workflow(c, call_node->first)) return;
  str name = node_name(c, call_node->first);
  int w = regs_new(c, 3);
  emit_loadk(&c->e, f->fn, (uint32_t)w, emit_str(&c->e, name.p, name.len));
  op3(c, OP_EMPTY, w + 1, 0, 0);
  op3(c, OP_EMPTY, w + 2, 0, 0);
  for (ast *x = ast_child(call_node, 1)->first; x && k < TARGET_ARGS; x = x->next) {
    if (x->kind != AST_NAMED) {
      if (x != ast_child(call_node, 1)->first) err(c, E0208, x, "a workflow has one input");
      else ex(c, x, w + 1);
      continue;
    }
    names[k] = argument_name(c, x->first);
    values[k] = ast_child(x, 1);
    size_t i = 0;
    while (i < sizeof known / sizeof *known && !str_is(names[k], known[i])) i++;
    if (i == sizeof known / sizeof *known) { /* the input by the name that the workflow gives it */
      ex(c, values[k], w + 1);
      continue;
    }
    k++;
  }
  if (k) object_at(c, values, names, k, w + 2);
  pos(c, n);
  test_effect(c, "test.when", w, 3, -1);
}

/* Whether the value before the dot can be evaluated by itself: it begins with a call or a name that has a value. */
static bool shows(comp *c, const ast *n) {
  while (n->kind == AST_DOT || n->kind == AST_SUBSCRIPT) n = n->first;
  if (n->kind == AST_CALL) return true;
  if (n->kind != AST_NAME) return false;
  str name = node_name(c, n);
  return find_local(c, name) || ambient_of_tests(name);
}

static void side(comp *c, ast *n, int r) {
  ty t = ex(c, n, r);
  if (t.kind == TY_HL7) hl7_text_as(c, t, r, TY_STR);
}

/* One expectation; `a and b` are two. Its value, its text, and what helps when it fails: both sides of a comparison (1), or (2) the value before
 * the last dot with its text. */
static void expect(comp *c, ast *n, ast *e) {
  fnctx *f = c->f;
  if (e->kind == AST_AND) {
    expect(c, n, e->first);
    expect(c, n, ast_child(e, 1));
    return;
  }
  int top = f->top, w = regs_new(c, 6), mode = 0;
  bool compares = e->kind == AST_EQ || e->kind == AST_NE || e->kind == AST_EQUIV || e->kind == AST_NEQUIV || e->kind == AST_IN || e->kind == AST_CONTAINS ||
                  (e->kind >= AST_LT && e->kind <= AST_GE);
  str text = node_text(c, e), left = {"", 0};
  ex(c, e, w);
  emit_loadk(&c->e, f->fn, (uint32_t)w + 1, emit_str(&c->e, text.p, text.len));
  op3(c, OP_EMPTY, w + 2, 0, 0);
  op3(c, OP_EMPTY, w + 3, 0, 0);
  if (compares) {
    mode = e->kind == AST_EQ || e->kind == AST_EQUIV ? 1 : 2;
    side(c, e->first, w + 2);
    side(c, ast_child(e, 1), w + 3);
  } else if (e->kind == AST_DOT && e->last->kind == AST_CALL && shows(c, e->first)) {
    mode = 3;
    left = node_text(c, e->first);
    side(c, e->first, w + 2);
  }
  emit_bx(&c->e, f->fn, OP_LOADI, (uint32_t)w + 4, (uint32_t)mode);
  emit_loadk(&c->e, f->fn, (uint32_t)w + 5, emit_str(&c->e, left.p, left.len));
  pos(c, e);
  test_effect(c, "test.expect", w, 6, -1);
  f->top = top;
}

void test_stmt(comp *c, ast *n) {
  fnctx *f = c->f;
  int top = f->top;
  if (!f->in_test) { err(c, E0222, n, "'%s' stands in a test", ast_kind_name(n->kind)); return; }
  pos(c, n);
  switch (n->kind) {
    case AST_MOCK: test_mock(c, n, false); break;
    case AST_WHEN: when(c, n); break;
    case AST_AT: case AST_AFTER: {
      int w = reg_new(c);
      ex(c, n->first, w);
      test_effect(c, n->kind == AST_AT ? "test.at" : "test.after", w, 1, -1);
      break;
    }
    case AST_RESTART: test_effect(c, "test.restart", reg_new(c), 0, -1); break;
    case AST_EXPECT: expect(c, n, n->first); break;
    default: break; /* AST_ROW: compiled apart */
  }
  f->top = top;
}
