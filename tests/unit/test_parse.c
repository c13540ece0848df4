/* test_parse.c - lexer, grammar, tree and recovery.
 *
 * With arguments it is a tool for people who work on the grammar:
 *   test_parse FILE...        reports and tree of each file, as in tests/lang/syntax/NAME.expect
 *   test_parse --expressions  a line of stdin is an expression: the same with its tree, as in tests/lang/syntax/expr.txt
 *   test_parse --measure      damaged programs from stdin (tests/lang/syntax/mutate.py --all): a table of reports per damage */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hdw.tab.h"
#include "parse.h"
#include "support.h"

#define SYNTAX "tests/lang/syntax/"
#define PROGRAMS "tests/lang/programs/"

/* ---- one parse ---- */

typedef struct heard {
  parse_sink sink;
  buf *print;               /* NULL = silent */
  const char *src;
  unsigned n;
  parse_report last;
} heard;

typedef struct parsed {
  test_mem tm;
  arena a;
  heard h;
  parse_result r;
  hdw_status status;
  const char *src;
  size_t len;
} parsed;

static void position(const char *src, uint32_t off, unsigned *line, unsigned *col) {
  *line = *col = 1;
  for (uint32_t i = 0; i < off; i++) {
    if (src[i] == '\n') ++*line, *col = 1;
    else if (((unsigned char)src[i] & 0xC0) != 0x80) ++*col;
  }
}

static void hear(parse_sink *s, const parse_report *r) {
  heard *h = (heard *)s->user;
  h->n++;
  h->last = *r;
  if (!h->print) return;
  unsigned line, col;
  position(h->src, r->off, &line, &col);
  buf_putf(h->print, "%u:%u: E0%d %s", line, col, (int)r->code, r->text);
  if (r->other_end) {
    position(h->src, r->other_off, &line, &col);
    buf_putf(h->print, " [%s at %u:%u]", r->other_label, line, col);
  }
  if (r->n_edits) buf_putf(h->print, " (fix: %s)", r->help);
  buf_putc(h->print, '\n');
}

static void begin(parsed *p, const char *src, size_t len) {
  memset(p, 0, sizeof *p);
  test_mem_init(&p->tm);
  arena_init(&p->a, &p->tm.m, 0);
  p->h.sink = (parse_sink){hear, &p->h};
  p->h.src = p->src = src;
  p->len = len;
}

static void parse(parsed *p, const char *src, size_t len, parse_options opt) {
  begin(p, src, len);
  p->status = parse_source(&p->a, src, len, &opt, &p->h.sink, &p->r);
  assert_int_equal(p->h.n, p->r.errors);
  assert_int_equal(p->status, p->r.errors ? HDW_E_SYNTAX : HDW_OK);
}

static void finish(parsed *p) {
  arena_free(&p->a);
  assert_int_equal(p->tm.live_bytes, 0);
}

static void file(parsed *p, const char *src) { parse(p, src, strlen(src), (parse_options){0}); }
static void expression(parsed *p, const char *src) { parse(p, src, strlen(src), (parse_options){.expression = true}); }

static const char *dump(parsed *p, const ast *n) {
  buf b;
  buf_init(&b, &p->a, 1 << 24);
  ast_dump(&b, p->src, n);
  buf_putc(&b, 0);
  return b.p;
}

static void is_expression(const char *src, const char *want) {
  parsed p;
  expression(&p, src);
  if (p.r.errors) fail_msg("%s: %s", src, p.h.last.text);
  assert_string_equal(dump(&p, p.r.root), want);
  finish(&p);
}

/* The only declaration of a file, or with in_fn the statements of a function. */
static void is_declaration(const char *src, const char *want) {
  char text[2000];
  snprintf(text, sizeof text, "hdw 1\n%s\n", src);
  parsed p;
  file(&p, text);
  if (p.r.errors) fail_msg("%s: %s", src, p.h.last.text);
  assert_int_equal(p.r.root->n, 1);
  assert_string_equal(dump(&p, p.r.root->first), want);
  finish(&p);
}

static void is_statement(const char *src, const char *want) {
  char text[2000];
  snprintf(text, sizeof text, "hdw 1\naction x() {\n%s\n}\n", src);
  parsed p;
  file(&p, text);
  if (p.r.errors) fail_msg("%s: %s", src, p.h.last.text);
  const ast *block = ast_child(p.r.root->first, 3);
  assert_int_equal(block->n, 1);
  assert_string_equal(dump(&p, block->first), want);
  finish(&p);
}

static void gives(const char *src, unsigned errors, parse_code code) {
  parsed p;
  file(&p, src);
  if (p.h.n != errors || p.h.last.code != code) fail_msg("%s: %u reports, E0%d %s", src, p.h.n, (int)p.h.last.code, p.h.n ? p.h.last.text : "");
  finish(&p);
}

/* ---- the tree is sound ---- */

static uint32_t check_tree(const parsed *p, const ast *n, unsigned char *seen) {
  assert_true(n->kind < AST_KIND_COUNT);
  assert_true(n->off <= n->end && n->end <= p->len);
  assert_true(n->id < p->r.nodes);
  assert_false(seen[n->id]);
  seen[n->id] = 1;
  uint32_t count = 0, depth = 0;
  for (const ast *c = n->first; c; c = c->next) {
    uint32_t d = check_tree(p, c, seen);
    if (d > depth) depth = d;
    count++;
    assert_true(c->next || c == n->last);
    if (c->kind != AST_NIL && (c->off < n->off || c->end > n->end)) fail_msg("%s [%u,%u) in %s [%u,%u)\n%.*s", ast_kind_name(c->kind), c->off, c->end, ast_kind_name(n->kind), n->off, n->end, (int)p->len, p->src);
  }
  assert_int_equal(count, n->n);
  assert_true(n->depth >= depth + 1 && n->depth <= AST_MAX_DEPTH);
  return n->depth;
}

static void check_sound(const parsed *p) {
  if (!p->r.root) return;
  unsigned char *seen = (unsigned char *)calloc(p->r.nodes + 1, 1);
  check_tree(p, p->r.root, seen);
  free(seen);
}

/* ---- tools ---- */

static void expect_text(buf *out, const char *src, size_t len) {
  parsed p;
  begin(&p, src, len);
  p.h.print = out;
  p.status = parse_file(&p.a, src, len, &p.h.sink, &p.r);
  buf_putf(out, "%u reports\n", p.h.n);
  if (p.r.root)
    for (const ast *d = p.r.root->first; d; d = d->next) {
      ast_dump(out, src, d);
      buf_putc(out, '\n');
    }
  arena_free(&p.a);
}

static int tool_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return perror(path), 2;
  char *src = (char *)malloc(1 << 22);
  size_t len = fread(src, 1, 1 << 22, f);
  fclose(f);
  test_mem tm;
  test_mem_init(&tm);
  arena a;
  arena_init(&a, &tm.m, 0);
  buf b;
  buf_init(&b, &a, 1 << 24);
  expect_text(&b, src, len);
  fwrite(b.p, 1, b.len, stdout);
  arena_free(&a);
  free(src);
  return 0;
}

static const char *expression_line(parsed *p, const char *line) {
  expression(p, line);
  return p->h.n ? p->h.last.text : dump(p, p->r.root);
}

static int tool_expressions(void) {
  char line[4096];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\t\n")] = 0;
    parsed p;
    const char *got = expression_line(&p, line);
    printf("%s\t%s\n", line, got);
    finish(&p);
  }
  return 0;
}

/* ---- damaged programs ---- */

enum { KINDS = 7 };
static const char *const kinds[KINDS] = {"delete", "double", "paren", "brace", "word", "quote", "swap"};

typedef struct tally {
  unsigned files[KINDS], valid[KINDS], one[KINDS], three[KINDS], total;
  bool print_many;
} tally;

static bool read_damaged(FILE *f, char *kind, char *name, unsigned *line, char **text, size_t *len) {
  if (fscanf(f, "%15s %63s %u %zu", kind, name, line, len) != 4 || fgetc(f) != '\n') return false;
  *text = (char *)malloc(*len + 1);
  if (fread(*text, 1, *len, f) != *len || fgetc(f) != '\n') fail_msg("mutate.py: cut off");
  return true;
}

static void measure(FILE *f, tally *t) {
  char kind[16], name[64], *text;
  unsigned line;
  size_t len;
  while (read_damaged(f, kind, name, &line, &text, &len)) {
    int k = 0;
    while (k < KINDS - 1 && strcmp(kind, kinds[k]) != 0) k++;
    parsed p;
    parse(&p, text, len, (parse_options){0});
    assert_non_null(p.r.root); /* there is always a tree */
    check_sound(&p);
    t->files[k]++;
    t->total++;
    t->valid[k] += p.h.n == 0;
    t->one[k] += p.h.n == 1;
    t->three[k] += p.h.n >= 3;
    if (t->print_many && p.h.n >= 2) {
      buf b;
      buf_init(&b, &p.a, 1 << 20);
      p.h.print = &b;
      parse_result again;
      parse_file(&p.a, text, len, &p.h.sink, &again);
      printf("-- %s %s:%u\n%.*s", kind, name, line, (int)b.len, b.p);
    }
    finish(&p);
    free(text);
  }
}

static double share(const tally *t, int k) { return 100.0 * t->one[k] / (t->files[k] - t->valid[k]); }

static int tool_measure(bool many) {
  tally t = {.print_many = many};
  measure(stdin, &t);
  unsigned three = 0;
  for (int k = 0; k < KINDS; k++) {
    printf("%-8s %5u files %5u valid  one report %5.1f %%  three and more %u\n", kinds[k], t.files[k], t.valid[k], share(&t, k), t.three[k]);
    three += t.three[k];
  }
  printf("%u files, three and more: %u\n", t.total, three);
  return 0;
}

static void test_one_damage_gives_one_report(void **state) {
  (void)state;
  FILE *f = popen("python3 " HDW_SOURCE_DIR "/" SYNTAX "mutate.py", "r");
  assert_non_null(f);
  tally t = {0};
  measure(f, &t);
  assert_int_equal(pclose(f), 0);
  assert_true(t.total > 2500);
  unsigned three = 0;
  for (int k = 0; k < KINDS; k++) {
    if (share(&t, k) < 90.0) fail_msg("%s: one report for %.1f %% only", kinds[k], share(&t, k));
    three += t.three[k];
  }
  assert_true(three * 500 <= t.total); /* 0.2 % */
}

/* ---- programs and goldens ---- */

static void each_file(const char *folder, const char *ending, void (*visit)(const char *path)) {
  char full[512];
  snprintf(full, sizeof full, "%s/%s", HDW_SOURCE_DIR, folder);
  struct dirent **names;
  int n = scandir(full, &names, NULL, alphasort), visited = 0;
  assert_true(n > 0);
  for (int i = 0; i < n; i++) {
    size_t len = strlen(names[i]->d_name), e = strlen(ending);
    if (len > e && strcmp(names[i]->d_name + len - e, ending) == 0) {
      char path[512];
      snprintf(path, sizeof path, "%s%s", folder, names[i]->d_name);
      visit(path);
      visited++;
    }
    free(names[i]);
  }
  free(names);
  assert_true(visited > 0);
}

static void program(const char *path) {
  size_t len;
  char *src = test_read_file(path, &len);
  parsed p;
  parse(&p, src, len, (parse_options){.keep_tokens = true});
  if (p.r.errors) fail_msg("%s: %s", path, p.h.last.text);
  assert_int_equal(p.r.edition, 1);
  check_sound(&p);
  uint32_t at = 0; /* tokens in order; between them nothing but blanks and comments */
  size_t c = 0;
  for (size_t i = 0; i <= p.r.n_tokens; i++) {
    uint32_t next = i < p.r.n_tokens ? p.r.tokens[i].off : (uint32_t)len;
    for (; c < p.r.n_comments && p.r.comments[c].off < next; c++) {
      for (; at < p.r.comments[c].off; at++) assert_non_null(strchr(" \t\r\n", src[at]));
      at = p.r.comments[c].end;
    }
    for (; at < next; at++) assert_non_null(strchr(" \t\r\n", src[at]));
    if (i < p.r.n_tokens) at = p.r.tokens[i].end;
  }
  finish(&p);
  free(src);
}

static void test_programs_parse(void **state) {
  (void)state;
  each_file(PROGRAMS, ".hdw", program);
}

static void golden(const char *path) {
  size_t len, want_len;
  char *src = test_read_file(path, &len);
  char name[512];
  snprintf(name, sizeof name, "%.*s.expect", (int)strlen(path) - 4, path);
  char *want = test_read_file(name, &want_len);
  test_mem tm;
  test_mem_init(&tm);
  arena a;
  arena_init(&a, &tm.m, 0);
  buf b;
  buf_init(&b, &a, 1 << 24);
  expect_text(&b, src, len);
  buf_putc(&b, 0);
  if (strcmp(b.p, want) != 0) fail_msg("%s differs (test_parse %s shows what is):\n%s", name, path, b.p);
  arena_free(&a);
  free(src);
  free(want);
}

static void test_reports_and_trees_are_as_pinned(void **state) {
  (void)state;
  each_file(SYNTAX, ".hdw", golden);
}

/* Each line of expr.txt is an expression and, behind a tab, its tree or its report. */
static void test_expressions_are_as_pinned(void **state) {
  (void)state;
  char *text = test_read_file(SYNTAX "expr.txt", NULL);
  unsigned n = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char *want = strchr(line, '\t');
    assert_non_null(want);
    *want++ = 0;
    parsed p;
    const char *got = expression_line(&p, line);
    if (strcmp(got, want) != 0) fail_msg("%s\t%s", line, got);
    finish(&p);
    n++;
  }
  assert_true(n > 50);
  free(text);
}

static void test_fhirpath_suite_is_accepted_as_by_its_grammar(void **state) {
  (void)state;
  char *text = test_read_file(SYNTAX "fhirpath-expr.txt", NULL);
  unsigned accepted = 0, refused = 0;
  char *at = strstr(text, "\n## ");
  while (at) {
    char *name = at + 4, *src = strchr(name, '\n') + 1;
    at = strstr(src, "\n## ");
    size_t len = at ? (size_t)(at - src) : strlen(src) - 1;
    src[-1] = 0;
    bool reject = strstr(name, " reject") != NULL;
    for (int strict = 0; strict < 2; strict++) {
      parsed p;
      parse(&p, src, len, (parse_options){.expression = true, .fhirpath = strict});
      if ((p.r.errors > 0) != reject) fail_msg("%s: %.*s: %s", name, (int)len, src, p.r.errors ? p.h.last.text : "accepted");
      if (!reject) check_sound(&p);
      finish(&p);
    }
    if (reject) refused++;
    else accepted++;
  }
  assert_int_equal(accepted, 931);
  assert_int_equal(refused, 4);
  free(text);
}

/* ---- shapes that the compiler stands on ---- */

static void test_shapes_of_declarations(void **state) {
  (void)state;
  is_declaration("use a/b", "(use (path a b) -)");
  is_declaration("use a as b", "(use (path a) b)");
  is_declaration("setting s: url", "(setting s (T url) -)");
  is_declaration("setting s: string = 'x'", "(setting s (T string) 'x')");
  is_declaration("listener l = mllp(port: 1)", "(listener l (call mllp (args (named port 1))))");
  is_declaration("table t = csv('x')", "(table t (call csv (args 'x')))");
  is_declaration("profile t = x('x')", "(profile t (call x (args 'x')))");
  is_declaration("let a: T? = 1", "(let a (T? T) 1)");
  is_declaration("payload P { a: T b: U* = x }", "(payload P - (fields (field a (T T) -) (field b (T* U) x)))");
  is_declaration("payload P(a: B.C, b: D = 1) { }", "(payload P (params (param a (T (type. B C)) -) (param b (T D) 1)) (fields))");
  is_declaration("segment Z { a: X+ = ZSP-1 }", "(segment Z (fields (field a (T+ X) ZSP-1)))");
  is_declaration("entity e: P { a: B match c(d) review f(g) }",
                 "(entity e (T P) (entries (field a (T B) -) (match-rule (call c (args d))) (review-rule (call f (args g)))))");
  is_declaration("sender S { match: a = b  zone: 'x' segment Z { } }", "(sender S (entries (pair match (= a b)) (pair zone 'x') (segment Z (fields))))");
  is_declaration("map m(a: b): c { 1, 'x': 2, else: 3 }",
                 "(map m (params (param a (T b) -)) (T c) (arms (arm (keys 1 'x') 2) (arm-else 3)))");
  is_declaration("fn f(): T = 1", "(fn f (params) (T T) 1)");
  is_declaration("fn f() { return {} }", "(fn f (params) - (do (return ({}))))");
  is_declaration("test 'x'(a: b) { case 1, 2 expect a }", "(test 'x' (params (param a (T b) -)) (do (row (items 1 2)) (expect a)))");
  is_declaration("workflow w(a: b): T { }", "(workflow w (params (param a (T b) -)) (T T) - (clauses) (do))");
  is_declaration("workflow w on m = a.b(c), d() where e order by f, g on failure skip once by h within 1 day needs i ack after run within 5 "
                 "seconds else AE { }",
                 "(workflow w - - (on (triggers (. a (call b (args c))) (call d (args))) m) (clauses (where e) (order (items f g) failure skip) "
                 "(once h (quantity 1 day)) (needs i) (ack run (quantity 5 seconds) AE)) (do))");
  is_declaration("workflow w on a() order by b on failure skip { }",
                 "(workflow w - - (on (triggers (call a (args))) -) (clauses (order (items b) failure skip)) (do))");
  is_declaration("workflow w on a() order by b ack after commit once by c { }",
                 "(workflow w - - (on (triggers (call a (args))) -) (clauses (order (items b) - -) (ack commit - -) (once c -)) (do))");
}

static void test_shapes_of_statements(void **state) {
  (void)state;
  is_statement("let a = 1", "(let a - 1)");
  is_statement("step a.b.c(d).e(f)", "(step - - (. (. (. a b) (call c (args d))) (call e (args f))) -)");
  is_statement("step x: T = f()", "(step x (T T) (call f (args)) -)");
  is_statement("step x = a.b() on error where c use d on error { }",
               "(step x - (. a (call b (args))) (handlers (on-error-use c d) (on-error-do - (do))))");
  is_statement("step x = parallel for a in b limit 2 { yield a }", "(step x - (parallel-for a b 2 (do (yield a))) -)");
  is_statement("for a in b { }", "(for a b - (do))");
  is_statement("parallel { send a.b(c) }", "(parallel (do (send (. a (call b (args c))))))");
  is_statement("if a { } else if b { } else { }", "(if a (do) (if b (do) (do)))");
  is_statement("if a { }", "(if a (do) -)");
  is_statement("match a { case 1, 2 { } else { } }", "(match a (cases (case (items 1 2) (do)) (else (do))))");
  is_statement("log('x', a: b)", "(log (args 'x' (named a b)))");
  is_statement("reject('AE', 'x')", "(outcome reject (args 'AE' 'x'))");
  is_statement("retry(after: 5 seconds)", "(outcome retry (args (named after (quantity 5 seconds))))");
  is_statement("drop msg.NK1, PID-3", "(drop (items (. msg NK1) PID-3))");
  is_statement("mock a.b(c) = d", "(mock (. a (call b (args c))) d)");
  is_statement("mock a.b = d", "(mock (. a b) d)");
  is_statement("at @2024-01-01", "(at @2024-01-01)");
  is_statement("after 5 minutes", "(after (quantity 5 minutes))");
}

static void test_shapes_of_expressions(void **state) {
  (void)state;
  is_expression("a.f(x)", "(. a (call f (args x)))");
  is_expression("a.b(c).d", "(. (. a (call b (args c))) d)");
  is_expression("a + b * c", "(+ a (* b c))");
  is_expression("(a + b) * c", "(* (+ a b) c)");
  is_expression("a - b - c", "(sub (sub a b) c)");
  is_expression("a implies b implies c", "(implies a (implies b c))");
  is_expression("-1.abs()", "(neg (. 1 (call abs (args))))");
  is_expression("PID-3[0].4.2", "PID-3[0].4.2");
  is_expression("msg.PID-3.4.2", "(. msg PID-3.4.2)");
  is_expression("msg.PID-3.where(a).4.2", "(. (. (. msg PID-3) (call where (args a))) (component 4.2))");
  is_expression("{a: 1, 'b': 2}", "(obj (pair a 1) (pair 'b' 2))");
  is_expression("{}", "({})");
  is_expression("{:}", "(obj)");
  is_expression("[]", "(list)");
  is_expression("\"a {b} c\"", "(template a  b  c)");
  is_expression("4 'mg'", "(quantity 4 'mg')");
  is_expression("x is System.String", "(is x (type. System String))");
  is_expression("sort(a asc, b desc)", "(call sort (args (asc a) (desc b)))");
  is_expression("%a & %'b'", "(& (% a) (% 'b'))");
  parsed p;
  expression(&p, "(a) + b");
  assert_int_equal(p.r.root->first->flags, AST_PARENS);
  assert_int_equal(p.r.root->last->flags, 0);
  finish(&p);
}

static void test_strict_fhirpath_subtracts(void **state) {
  (void)state;
  parsed p;
  parse(&p, "PID-3", 5, (parse_options){.expression = true, .fhirpath = true});
  assert_string_equal(dump(&p, p.r.root), "(sub PID 3)");
  finish(&p);
  is_expression("PID - 3", "(sub PID 3)");
  is_expression("A01-3", "(sub A01 3)");
}

static void test_spans_cover_what_was_written(void **state) {
  (void)state;
  static const char src[] = "hdw 1\nfn f(a: b): c {\n  let d = [1, 2]\n  return { x: (g(h)) }\n}\n";
  parsed p;
  file(&p, src);
  const ast *fn = p.r.root->first, *block = ast_child(fn, 3), *let = block->first, *ret = block->last;
  size_t n;
  const char *s = ast_text(src, ast_child(fn, 1), &n);
  assert_memory_equal(s, "(a: b)", n);
  assert_int_equal(block->off, strchr(src, '{') - src);
  assert_int_equal(block->end, strlen(src) - 1);
  s = ast_text(src, ast_child(let, 2), &n);
  assert_int_equal(n, 6);
  assert_memory_equal(s, "[1, 2]", n);
  s = ast_text(src, ret->first, &n);
  assert_memory_equal(s, "{ x: (g(h)) }", n);
  s = ast_text(src, ret->first->first->last->last, &n); /* the arguments of g */
  assert_memory_equal(s, "(h)", n);
  finish(&p);
}

/* ---- helpers on leaves ---- */

static void leaf_is(const char *src, const char *want, size_t len) {
  parsed p;
  expression(&p, src);
  assert_int_equal(p.r.errors, 0);
  const ast *n = p.r.root->kind == AST_TEMPLATE ? p.r.root->first : p.r.root;
  ast_str v = n->kind == AST_NAME ? ast_name(&p.a, src, n) : ast_string_value(&p.a, src, n);
  assert_int_equal(v.len, len);
  assert_memory_equal(v.p, want, len);
  finish(&p);
}

static void test_names_and_strings_lose_their_escapes(void **state) {
  (void)state;
  leaf_is("abc", "abc", 3);
  leaf_is("`a b\\`c`", "a b`c", 5);
  leaf_is("''", "", 0);
  leaf_is("'it\\'s'", "it's", 4);
  leaf_is("'\\r\\n\\t\\f\\\\\\/\\\"\\`'", "\r\n\t\f\\/\"`", 8);
  leaf_is("'\\u0041\\u00e4\\u20AC'", "A\xC3\xA4\xE2\x82\xAC", 6);
  leaf_is("'\\ud83d\\ude00'", "\xF0\x9F\x98\x80", 4);
  leaf_is("'\\ud83dx'", "\xEF\xBF\xBDx", 4);
  leaf_is("'\\ude00\\ud83d'", "\xEF\xBF\xBD\xEF\xBF\xBD", 6);
  leaf_is("'\\u00g0'", "u00g0", 5);
  leaf_is("\"a\\{b\\}\\\"\"", "a{b}\"", 5);
}

static void hl7_is(const char *src, const char *seg, int field, int rep, int comp, int sub) {
  parsed p;
  expression(&p, src);
  ast_hl7 h;
  assert_int_equal(ast_parse_hl7(src, p.r.root, &h), HDW_OK);
  assert_string_equal(h.seg, seg);
  assert_int_equal(h.field, field);
  assert_int_equal(h.rep, rep);
  assert_int_equal(h.comp, comp);
  assert_int_equal(h.sub, sub);
  finish(&p);
}

static void test_hl7_paths_are_taken_apart(void **state) {
  (void)state;
  hl7_is("PID-3", "PID", 3, -1, -1, -1);
  hl7_is("PID-3[0].4.2", "PID", 3, 0, 4, 2);
  hl7_is("ZP1-12.7", "ZP1", 12, -1, 7, -1);
  parsed p;
  expression(&p, "PID-99999");
  ast_hl7 h;
  assert_int_equal(ast_parse_hl7(p.src, p.r.root, &h), HDW_E_RANGE);
  finish(&p);
}

static void test_doc_comments_belong_to_what_is_below(void **state) {
  (void)state;
  static const char src[] = "hdw 1\n/// not this\n\n/// One.\n///   Two.\nlet a = 1\n// no doc\nlet b = 2\n/// far\n\nlet c = 3\nlet d = 4 /// behind\n"
                            "let e = 5\n/// CRLF\r\nlet f = 6\n";
  parsed p;
  file(&p, src);
  static const char *const want[] = {"One.\n  Two.", "", "", "", "", "CRLF"};
  const ast *n = p.r.root->first;
  for (int i = 0; i < 6; i++, n = n->next) {
    ast_str d = ast_doc(&p.a, src, p.r.comments, p.r.n_comments, n);
    assert_int_equal(d.len, strlen(want[i]));
    assert_memory_equal(d.p, want[i], d.len);
  }
  assert_true(p.r.comments[1].blank_before);
  assert_false(p.r.comments[2].blank_before);
  assert_false(p.r.comments[5].own_line);
  finish(&p);
}

static void test_keywords_are_names_where_they_can_be(void **state) {
  (void)state;
  is_statement("let let = let", "(let let - let)");
  is_statement("for for in for limit limit { }", "(for for for limit (do))");
  is_expression("Task.where(for.reference = 'x' and on = 1)", "(. Task (call where (args (and (= (. for reference) 'x') (= on 1)))))");
  is_expression("a.div.true", "(. (. a div) true)");
  is_expression("days + 4 days - day", "(sub (+ days (quantity 4 days)) day)");
  is_declaration("payload P { in: string div: integer for: any days: integer = 4\n days2: X }",
                 "(payload P - (fields (field in (T string) -) (field div (T integer) -) (field for (T any) -) (field days (T integer) 4) "
                 "(field days2 (T X) -)))");
}

/* ---- mistakes ---- */

static void test_habits_cost_one_report_and_have_a_fix(void **state) {
  (void)state;
  static const struct {
    const char *src;
    parse_code code;
    const char *fixed;
  } rows[] = {
      {"hdw 1\nlet a = b == c\n", PARSE_E_EQUALITY, "hdw 1\nlet a = b = c\n"},
      {"hdw 1\nlet a = b === c\n", PARSE_E_EQUALITY, "hdw 1\nlet a = b = c\n"},
      {"hdw 1\nlet a = b && c\n", PARSE_E_AND, "hdw 1\nlet a = b and c\n"},
      {"hdw 1\nlet a = b || c\n", PARSE_E_OR, "hdw 1\nlet a = b or c\n"},
      {"hdw 1\nlet a = !b.c(d) or e\n", PARSE_E_NOT, "hdw 1\nlet a = b.c(d).not() or e\n"},
      {"hdw 1\nlet a = !(b = c)\n", PARSE_E_NOT, "hdw 1\nlet a = (b = c).not()\n"},
      {"hdw 1\nlet a = b;\nlet c = d\n", PARSE_E_SEMICOLON, "hdw 1\nlet a = b\nlet c = d\n"},
      {"hdw 1\nlet a = b = 1 ? c : d\nlet e = 1\n", PARSE_E_TERNARY, "hdw 1\nlet a = iif(b = 1, c, d)\nlet e = 1\n"},
      {"hdw 1\nlet a = f(x, -b.c(1) + 2 ? {d: 1} : 'e', y)\n", PARSE_E_TERNARY, "hdw 1\nlet a = f(x, iif(-b.c(1) + 2, {d: 1}, 'e'), y)\n"},
      {"hdw 1\nlet a = \"{b ? c : d}\"\n", PARSE_E_TERNARY, "hdw 1\nlet a = \"{iif(b, c, d)}\"\n"},
      {"hdw 1\nlet a = f(null)\n", PARSE_E_NULL, "hdw 1\nlet a = f({})\n"},
      {"hdw 1\nfn f(): T { return null }\n", PARSE_E_NULL, "hdw 1\nfn f(): T { return {} }\n"},
      {"hdw 1\nlet a = \"}\"\n", PARSE_E_TEMPLATE_BRACE, "hdw 1\nlet a = \"\\}\"\n"},
      {"hdw 1\nlet a = b \xE2\x80\x93 c\n", PARSE_E_BAD_CHAR, "hdw 1\nlet a = b - c\n"},
      {"hdw 1\nlet\xC2\xA0" "a = b\n", PARSE_E_BAD_CHAR, "hdw 1\nlet a = b\n"},
      {"let a = b\n", PARSE_E_EDITION, "hdw 1\nlet a = b\n"},
      {"hdw 7\nlet a = b\n", PARSE_E_EDITION, "hdw 1\nlet a = b\n"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    gives(rows[i].src, 1, rows[i].code);
    parsed p;
    file(&p, rows[i].src);
    char fixed[300];
    size_t n = 0, at = 0;
    for (unsigned e = 0; e < p.h.last.n_edits; e++) {
      const parse_edit *x = &p.h.last.edits[e];
      n += (size_t)snprintf(fixed + n, sizeof fixed - n, "%.*s%s", (int)(x->off - at), rows[i].src + at, x->text);
      at = x->end;
    }
    snprintf(fixed + n, sizeof fixed - n, "%s", rows[i].src + at);
    assert_string_equal(fixed, rows[i].fixed);
    finish(&p);
    file(&p, fixed);
    assert_int_equal(p.r.errors, 0);
    finish(&p);
  }
  is_expression("null", "null"); /* in FHIRPath a name like any other */
}

static void test_mistakes_have_their_codes(void **state) {
  (void)state;
  gives("hdw 1\nlet a = (b\nlet c = d\n", 1, PARSE_E_UNEXPECTED);
  gives("hdw 1\nlet a =\nlet b = 1\n", 1, PARSE_E_MISSING_EXPR);
  gives("hdw 1\nfn f() {\n  let a = 1\n\nfn g() { return 1 }\n", 1, PARSE_E_UNCLOSED);
  gives("hdw 1\nfn f() {\n  let a = 1\n", 1, PARSE_E_UNCLOSED);
  gives("hdw 1\nlet a = f(b\n", 1, PARSE_E_UNCLOSED);
  gives("hdw 1\nlet a = 'b\nlet c = 1\n", 1, PARSE_E_STRING_OPEN);
  gives("hdw 1\nlet a = 'b\n", 1, PARSE_E_STRING_OPEN);
  gives("hdw 1\nlet a = \"b\nlet c = 1\n", 1, PARSE_E_TEMPLATE_OPEN);
  gives("hdw 1\nlet a = \"b {c\nlet d = 1\n", 1, PARSE_E_TEMPLATE_OPEN);
  gives("hdw 1\nlet a = \"b {c\"\nlet d = 1\n", 1, PARSE_E_TEMPLATE_OPEN);
  gives("hdw 1\nlet a = 1 /* b\n", 1, PARSE_E_COMMENT_OPEN);
  gives("hdw 1\nlet a = #\nlet b = 1\n", 1, PARSE_E_BAD_CHAR);
  gives("hdw 1\nlet a = \xFF\nlet b = 1\n", 1, PARSE_E_BAD_CHAR);
  gives("hdw 1\nlet a = b ? c\nlet d = 1\n", 1, PARSE_E_TERNARY);
  gives("hdw 1\nfn f() { case 1 { } return 1 }\n", 1, PARSE_E_CASE);
  gives("hdw x\nlet a = 1\n", 1, PARSE_E_EDITION);
  gives("", 1, PARSE_E_EDITION);
  gives("zzz\nhdw 1\nlet a = 1\n", 1, PARSE_E_UNEXPECTED);
  gives("# x\nhdw 1\nlet a = 1\n", 1, PARSE_E_BAD_CHAR);
}

/* What stands around a mistake is in the tree. */
static void test_the_rest_of_the_file_is_read(void **state) {
  (void)state;
  static const struct {
    const char *src, *tree;
  } rows[] = {
      {"zzz\nhdw 1\nlet a = 1\n", "(file (let a - 1))"},
      {"hdw\nlet a = 1\n", "(file (let a - 1))"},
      {"hdw 1\nlet a = )\nlet b = 2\n", "(file (error) (let b - 2))"},
      {"hdw 1\nfn f() { let a = 1", "(file (fn f (params) - (do (let a - 1))))"},
      {"hdw 1\nfn f() { if a { let b = 1", "(file (fn f (params) - (do (if a (do (let b - 1)) -))))"},
      {"hdw 1\nfn f() {\n  let a = 1\n  let b = = 2\n  let c = 3\n}\nlet d = 4\n", "(file (fn f (params) - (do (let a - 1) (error) (let c - 3))) (let d - 4))"},
      {"hdw 1\nfn f(x y) {\n  let a = 1\n}\nlet d = 4\n", "(file (error (do (let a - 1))) (let d - 4))"},
      {"hdw 1\npayload P {\n  a: = 1\n  b: T\n}\n", "(file (payload P - (fields (error) (field b (T T) -))))"},
      {"hdw 1\nsender S {\n  a: = 1\n  segment Z { b: T }\n  c: 2\n}\n",
       "(file (sender S (entries (error) (segment Z (fields (field b (T T) -))) (pair c 2))))"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    parsed p;
    file(&p, rows[i].src);
    assert_int_equal(p.h.n, 1);
    char got[500];
    snprintf(got, sizeof got, "%s", dump(&p, p.r.root));
    for (char *twice; (twice = strstr(got, "(error) (error)"));) memmove(twice, twice + 8, strlen(twice + 8) + 1);
    assert_string_equal(got, rows[i].tree);
    finish(&p);
  }
}

static void test_line_ends_and_bom_do_not_matter(void **state) {
  (void)state;
  size_t len;
  char *src = test_read_file(PROGRAMS "tour.hdw", &len);
  char *other = (char *)malloc(2 * len + 4);
  parsed p, q;
  file(&p, src);
  for (int form = 0; form < 3; form++) {
    char *o = other;
    if (form == 2) o = stpcpy(o, "\xEF\xBB\xBF");
    for (size_t i = 0; i < len; i++) {
      if (src[i] == '\n' && form == 0) *o++ = '\r';
      *o++ = src[i] == '\n' && form == 1 ? '\r' : src[i];
    }
    *o = 0;
    parse(&q, other, (size_t)(o - other), (parse_options){0});
    assert_int_equal(q.r.errors, 0);
    assert_true(ast_equal(src, p.r.root, other, q.r.root));
    assert_int_equal(p.r.n_comments, q.r.n_comments);
    finish(&q);
  }
  finish(&p);
  free(src);
  free(other);
}

/* ---- limits ---- */

static char *repeated(const char *head, const char *s, size_t n, const char *middle, const char *t, const char *tail) {
  size_t size = strlen(head) + strlen(middle) + strlen(tail) + n * (strlen(s) + strlen(t)) + 1;
  char *text = (char *)malloc(size), *o = stpcpy(text, head);
  for (size_t i = 0; i < n; i++) o = stpcpy(o, s);
  o = stpcpy(o, middle);
  for (size_t i = 0; i < n; i++) o = stpcpy(o, t);
  strcpy(o, tail);
  return text;
}

static void depth_is(char *src, unsigned errors) {
  gives(src, errors, errors ? PARSE_E_DEPTH : (parse_code)0);
  free(src);
}

static void test_depth_is_bounded(void **state) {
  (void)state;
  depth_is(repeated("hdw 1\nlet a = ", "(", 300, "1", ")", "\n"), 0);
  depth_is(repeated("hdw 1\nlet a = ", "(", 100000, "1", ")", "\n"), 1);
  depth_is(repeated("hdw 1\nfn f() {\n", "if a {\n", 300, "", "}\n", "}\n"), 0);
  depth_is(repeated("hdw 1\nfn f() {\n", "if a {\n", 5000, "", "}\n", "}\n"), 1);
  depth_is(repeated("hdw 1\nlet a = 1", " + 1", 900, "", "", "\n"), 0);
  depth_is(repeated("hdw 1\nlet a = 1", " + 1", 100000, "", "", "\n"), 1);
  depth_is(repeated("hdw 1\nlet a = b", ".b", 100000, "", "", "\n"), 1);
  depth_is(repeated("hdw 1\nlet a = ", "-", 100000, "1", "", "\n"), 1);
  depth_is(repeated("hdw 1\nlet a = ", "\"{", 100, "1", "}\"", "\n"), 0);
  depth_is(repeated("hdw 1\nlet a = [1", ", 1", 100000, "", "", "]\n"), 0);
  depth_is(repeated("hdw 1\n", "let a = 1\n", 70000, "", "", ""), 0);
}

static void test_sources_have_a_maximal_size(void **state) {
  (void)state;
  parsed p;
  begin(&p, "", 0);
  assert_int_equal(parse_file(&p.a, "", PARSE_MAX_BYTES + 1, &p.h.sink, &p.r), HDW_E_LIMIT);
  assert_int_equal(p.h.last.code, PARSE_E_BIG);
  finish(&p);
}

static void test_no_nul_is_needed_behind_the_source(void **state) {
  (void)state;
  static const char src[] = "hdw 1\nlet a = 'b";
  for (size_t n = 0; n < sizeof src; n++) {
    char *exact = (char *)malloc(n ? n : 1);
    memcpy(exact, src, n);
    parsed p;
    parse(&p, exact, n, (parse_options){0});
    finish(&p);
    free(exact);
  }
}

static void test_every_failed_allocation_is_reported(void **state) {
  (void)state;
  char *src = repeated("hdw 1\n", "/// d\nlet a = b.c(1, 'x')\n", 3000, "", "", "");
  unsigned refused = 0;
  for (long n = 0;; n++) {
    parsed p;
    begin(&p, src, strlen(src));
    p.tm.fail_after = n;
    hdw_status s = parse_source(&p.a, src, p.len, &(parse_options){.keep_tokens = true}, NULL, &p.r);
    bool failed = p.tm.fail_after < 0;
    if (s == HDW_E_NOMEM) refused++;
    else assert_int_equal(s, HDW_OK); /* the arena got on with a smaller chunk */
    if (s == HDW_OK) assert_int_equal(p.r.root->n, 3000);
    finish(&p);
    if (!failed) break;
    assert_true(n < 1000);
  }
  assert_true(refused >= 3);
  free(src);
}

static void test_kinds_are_documented(void **state) {
  (void)state;
  for (unsigned k = 0; k < AST_KIND_COUNT; k++) {
    assert_true(strlen(ast_kind_name(k)) > 0);
    assert_true(strlen(ast_kind_children(k)) > 0);
    for (unsigned j = 0; j < k; j++) assert_string_not_equal(ast_kind_name(k), ast_kind_name(j));
  }
}

int main(int argc, char **argv) {
  if (argc > 1 && strncmp(argv[1], "--measure", 9) == 0) return tool_measure(argc > 2);
  if (argc > 1 && strcmp(argv[1], "--expressions") == 0) return tool_expressions();
  for (int i = 1; i < argc; i++)
    if (argv[i][0] != '-') tool_file(argv[i]);
  if (argc > 1) return 0;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_programs_parse),
      cmocka_unit_test(test_reports_and_trees_are_as_pinned),
      cmocka_unit_test(test_expressions_are_as_pinned),
      cmocka_unit_test(test_fhirpath_suite_is_accepted_as_by_its_grammar),
      cmocka_unit_test(test_shapes_of_declarations),
      cmocka_unit_test(test_shapes_of_statements),
      cmocka_unit_test(test_shapes_of_expressions),
      cmocka_unit_test(test_strict_fhirpath_subtracts),
      cmocka_unit_test(test_spans_cover_what_was_written),
      cmocka_unit_test(test_names_and_strings_lose_their_escapes),
      cmocka_unit_test(test_hl7_paths_are_taken_apart),
      cmocka_unit_test(test_doc_comments_belong_to_what_is_below),
      cmocka_unit_test(test_keywords_are_names_where_they_can_be),
      cmocka_unit_test(test_habits_cost_one_report_and_have_a_fix),
      cmocka_unit_test(test_mistakes_have_their_codes),
      cmocka_unit_test(test_the_rest_of_the_file_is_read),
      cmocka_unit_test(test_line_ends_and_bom_do_not_matter),
      cmocka_unit_test(test_depth_is_bounded),
      cmocka_unit_test(test_sources_have_a_maximal_size),
      cmocka_unit_test(test_no_nul_is_needed_behind_the_source),
      cmocka_unit_test(test_every_failed_allocation_is_reported),
      cmocka_unit_test(test_kinds_are_documented),
      cmocka_unit_test(test_one_damage_gives_one_report),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
