/* test_fmt.c - the formatter: formatting twice is formatting once, the tree stays, every comment stays, the width is kept. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fmt.h"
#include "parse.h"
#include "support.h"

typedef struct world {
  test_mem tm;
  arena a;
} world;

static void begin(world *w) {
  test_mem_init(&w->tm);
  arena_init(&w->a, &w->tm.m, 0);
}

static void finish(world *w) {
  arena_free(&w->a);
  assert_int_equal(w->tm.live_bytes, 0);
}

static const char *format(world *w, const char *src, size_t len, size_t *out_len) {
  buf b;
  buf_init(&b, &w->a, 1 << 24);
  assert_int_equal(fmt_source(&w->a, src, len, &b), HDW_OK);
  *out_len = b.len;
  buf_putc(&b, 0);
  return b.p;
}

/* Text of a comment, its blanks at the end and its line ends made equal. */
static size_t comment_text(const char *src, const ast_comment *c, char *out, size_t max) {
  size_t n = 0;
  for (uint32_t i = c->off; i < c->end && n < max; i++)
    if (src[i] != '\r') out[n++] = src[i];
  while (n && (out[n - 1] == ' ' || out[n - 1] == '\t')) n--;
  return n;
}

/* False when src does not parse. Else checks that its format is one. */
static bool check(const char *src, size_t len, const char *name) {
  world w;
  begin(&w);
  parse_result before, after;
  bool valid = parse_file(&w.a, src, len, NULL, &before) == HDW_OK;
  if (valid) {
    size_t n, m;
    const char *once = format(&w, src, len, &n);
    if (parse_file(&w.a, once, n, NULL, &after) != HDW_OK) fail_msg("%s: the format does not parse\n%s", name, once);
    if (!ast_equal(src, before.root, once, after.root)) fail_msg("%s: the tree changes\n%s", name, once);
    const char *twice = format(&w, once, n, &m);
    if (n != m || memcmp(once, twice, n) != 0) {
      fwrite(src, 1, len, stderr);
      fputs("---- once\n", stderr);
      fputs(once, stderr);
      fputs("---- twice\n", stderr);
      fputs(twice, stderr);
      fail_msg("%s: not stable", name);
    }
    if (before.n_comments != after.n_comments) fail_msg("%s: comments are lost\n%s", name, once);
    for (size_t i = 0; i < before.n_comments; i++) {
      char x[500], y[500];
      size_t xn = comment_text(src, &before.comments[i], x, sizeof x), yn = comment_text(once, &after.comments[i], y, sizeof y);
      if (xn != yn || memcmp(x, y, xn) != 0) fail_msg("%s: comment changed\n%.*s\n%.*s", name, (int)xn, x, (int)yn, y);
    }
    assert_true(n > 0 && once[n - 1] == '\n');
    assert_null(strstr(once, " \n"));
    assert_null(strstr(once, "\n\n\n"));
  }
  finish(&w);
  return valid;
}

static void each_program(void (*visit)(const char *path, const char *src, size_t len)) {
  struct dirent **names;
  int n = scandir(HDW_SOURCE_DIR "/tests/lang/programs", &names, NULL, alphasort), visited = 0;
  for (int i = 0; i < n; i++) {
    if (strstr(names[i]->d_name, ".hdw")) {
      char path[512];
      snprintf(path, sizeof path, "tests/lang/programs/%s", names[i]->d_name);
      size_t len;
      char *src = test_read_file(path, &len);
      visit(path, src, len);
      free(src);
      visited++;
    }
    free(names[i]);
  }
  free(names);
  assert_true(visited >= 13);
}

static void program(const char *path, const char *src, size_t len) {
  assert_true(check(src, len, path));
  world w;
  begin(&w);
  size_t n;
  const char *once = format(&w, src, len, &n);
  for (const char *line = once; *line;) { /* no code beyond the width, comments and templates apart */
    size_t k = strcspn(line, "\n");
    const char *comment = strstr(line, "  //");
    size_t code = comment && comment < line + k ? (size_t)(comment - line) : k;
    if (strncmp(line + strspn(line, " "), "//", 2) == 0) code = 0;
    if (code > FMT_WIDTH && !memchr(line, '"', code)) fail_msg("%s: %zu columns\n%.*s", path, code, (int)k, line);
    line += k + (line[k] == '\n');
  }
  finish(&w);
}

static void test_programs(void **state) {
  (void)state;
  each_program(program);
}

/* White space and comments put behind every thirteenth token. */
static unsigned inserted;
static void insert_everywhere(const char *path, const char *src, size_t len) {
  static const char *const what[] = {"\n", " // c\n", " /* c */ ", "\n\n\n  /* d\n   * e */\n", "\n/// f\n"};
  world w;
  begin(&w);
  parse_result r;
  parse_options opt = {.keep_tokens = true};
  assert_int_equal(parse_source(&w.a, src, len, &opt, NULL, &r), HDW_OK);
  char *text = (char *)malloc(len + 100);
  for (unsigned k = 0; k < 5; k++)
    for (size_t t = k; t < r.n_tokens; t += 13) {
      uint32_t at = r.tokens[t].end;
      size_t n = strlen(what[k]);
      memcpy(text, src, at);
      memcpy(text + at, what[k], n);
      memcpy(text + at + n, src + at, len - at);
      text[len + n] = 0;
      inserted += check(text, len + n, path);
    }
  free(text);
  finish(&w);
}

static void test_white_space_and_comments_everywhere(void **state) {
  (void)state;
  inserted = 0;
  each_program(insert_everywhere);
  assert_true(inserted > 1700);
}

static void test_awkward_sources(void **state) {
  (void)state;
  static const char *const paths[] = {"awkward.hdw", "heads.hdw"};
  for (unsigned i = 0; i < 2; i++) {
    char path[200];
    snprintf(path, sizeof path, "tests/lang/syntax/%s", paths[i]);
    size_t len;
    char *src = test_read_file(path, &len);
    assert_true(check(src, len, path));
    free(src);
  }
}

static void test_expressions(void **state) {
  (void)state;
  char *text = test_read_file("tests/lang/syntax/expr.txt", NULL);
  unsigned n = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char src[2000];
    line[strcspn(line, "\t")] = 0;
    snprintf(src, sizeof src, "hdw 1\nlet a = %s\n", line);
    n += check(src, strlen(src), line);
  }
  free(text);
  assert_true(n > 40);
}

static void test_pinned_form(void **state) {
  (void)state;
  size_t len, want_len, n;
  char *src = test_read_file("tests/lang/syntax/format.in", &len), *want = test_read_file("tests/lang/syntax/format.out", &want_len);
  world w;
  begin(&w);
  const char *got = format(&w, src, len, &n);
  if (n != want_len || memcmp(got, want, n) != 0) fail_msg("format.out differs from\n%s", got);
  finish(&w);
  assert_true(check(src, len, "format.in"));
  free(src);
  free(want);
}

static void becomes(const char *src, const char *want) {
  world w;
  begin(&w);
  size_t n;
  assert_string_equal(format(&w, src, strlen(src), &n), want);
  finish(&w);
  assert_true(check(src, strlen(src), src));
}

static void test_small_things(void **state) {
  (void)state;
  becomes("hdw   1", "hdw 1\n");
  becomes("\xEF\xBB\xBFhdw 1\r\nlet a=1 // x \r\n", "hdw 1\nlet a = 1  // x\n");
  becomes("// only\n\n\n\nhdw 1 // a\n\n\n// end", "// only\n\nhdw 1  // a\n\n// end\n");
  becomes("hdw 1\nlet a = - 1 + b . c ( d , e , )\n", "hdw 1\nlet a = -1 + b.c(d, e)\n");
  becomes("hdw 1\nlet a = (b+c)*-d[ 0 ]\n", "hdw 1\nlet a = (b + c) * -d[0]\n");
  becomes("hdw 1\nlet a = PID-3 .1 + PID-3 [0] + PID - 3 + PID-3[0].1\n", "hdw 1\nlet a = PID-3 .1 + PID-3 [0] + PID - 3 + PID-3[0].1\n");
  becomes("hdw 1\nlet a = b\n  - c\n  + d\n", "hdw 1\n\nlet a = b - c\n    + d\n");
  becomes("hdw 1\nlet a = f(\n b)\n", "hdw 1\n\nlet a = f(\n  b,\n)\n");
  becomes("hdw 1\nlet a = f(b,\n c)\n", "hdw 1\nlet a = f(b, c)\n");
  becomes("hdw 1\nlet a = f(b, {\n c: 1, de: 2 })\n", "hdw 1\n\nlet a = f(b, {\n  c:  1,\n  de: 2,\n})\n");
  becomes("hdw 1\npayload P { a: T, b: U, }\n", "hdw 1\npayload P { a: T  b: U }\n");
  becomes("hdw 1\npayload P {\n a: T, bc: U? = 1\n\n\n d: V = 2 }\n", "hdw 1\n\npayload P {\n  a:  T\n  bc: U? = 1\n\n  d: V = 2\n}\n");
  becomes("hdw 1\nfn f(){return 1}\nfn g() {\n}\n", "hdw 1\nfn f() { return 1 }\nfn g() { }\n");
  becomes("hdw 1\nuse a / b as c\n", "hdw 1\nuse a/b as c\n");
  becomes("hdw 1\nlet a = f(b, // why\n c)\n", "hdw 1\n\nlet a = f(\n  b,  // why\n  c,\n)\n");
  becomes("hdw 1\nlet a = \"x { b+c }\" & { } & {:} & { a : 1 }\n", "hdw 1\nlet a = \"x {b + c}\" & {} & {:} & { a: 1 }\n");
}

static void test_sources_with_mistakes_stay(void **state) {
  (void)state;
  world w;
  begin(&w);
  buf b;
  buf_init(&b, &w.a, 1000);
  assert_int_equal(fmt_source(&w.a, "hdw 1\nlet a = \n", 15, &b), HDW_E_SYNTAX);
  assert_int_equal(b.len, 0);
  finish(&w);
}

static void test_every_failed_allocation_is_reported(void **state) {
  (void)state;
  size_t len;
  char *src = test_read_file("tests/lang/programs/tour.hdw", &len);
  for (long n = 0;; n++) {
    world w;
    begin(&w);
    w.tm.fail_after = n;
    buf b;
    buf_init(&b, &w.a, 1 << 20);
    hdw_status s = fmt_source(&w.a, src, len, &b);
    assert_true(s == HDW_OK || s == HDW_E_NOMEM);
    bool failed = w.tm.fail_after < 0;
    finish(&w);
    if (!failed) break;
    assert_true(n < 1000);
  }
  free(src);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_programs),
      cmocka_unit_test(test_white_space_and_comments_everywhere),
      cmocka_unit_test(test_awkward_sources),
      cmocka_unit_test(test_expressions),
      cmocka_unit_test(test_pinned_form),
      cmocka_unit_test(test_small_things),
      cmocka_unit_test(test_sources_with_mistakes_stay),
      cmocka_unit_test(test_every_failed_allocation_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
