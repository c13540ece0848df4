/* test_diag.c - lists of diagnostics, their forms, and the examples of every row of diags.def. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "compiler.h"
#include "diag.h"
#include "support.h"

typedef struct world {
  test_mem tm;
  arena a;
  diag_list l;
} world;

static void begin(world *w) {
  test_mem_init(&w->tm);
  arena_init(&w->a, &w->tm.m, 0);
  diag_init(&w->l, &w->a);
}

static void finish(world *w) {
  assert_false(w->l.nomem);
  arena_free(&w->a);
  assert_int_equal(w->tm.live_bytes, 0);
}

static uint32_t add_file(world *w, const char *path, const char *src) { return diag_file_add(&w->l, path, src, strlen(src)); }

static const char *text_of(world *w, const diag_text_options *opt) {
  buf b;
  buf_init(&b, &w->a, 1 << 20);
  diag_text(&b, &w->l, opt);
  buf_putc(&b, 0);
  return b.p;
}

static const char *json_of(world *w) {
  buf b;
  buf_init(&b, &w->a, 1 << 20);
  diag_json(&b, &w->l);
  buf_putc(&b, 0);
  return b.p;
}

/* ---- rows ---- */

static void test_rows_are_complete_and_sorted(void **state) {
  (void)state;
  const char *previous = "";
  for (unsigned c = 1; c < DIAG_CODE_COUNT; c++) {
    const diag_row *r = diag_row_of((diag_code)c);
    assert_int_equal(strlen(r->code), 5);
    assert_true(r->code[0] == (r->severity == DIAG_ERROR ? 'E' : r->severity == DIAG_WARNING ? 'W' : 'I'));
    for (int i = 1; i < 5; i++) assert_true(r->code[i] >= '0' && r->code[i] <= '9');
    if (strcmp(r->code, previous) <= 0) fail_msg("%s stands behind %s", r->code, previous);
    previous = r->code;
    if (strlen(r->title) < 4 || r->title[strlen(r->title) - 1] == '.') fail_msg("%s: title", r->code);
    if (strlen(r->why) < 20) fail_msg("%s: why", r->code);
    assert_ptr_equal(diag_find(r->code, 5), r);
    if ((r->wrong == NULL) != (r->right == NULL)) fail_msg("%s: one example", r->code);
  }
  assert_ptr_equal(diag_find("e0101", 5), diag_row_of(E0101));
  assert_null(diag_find("E01", 3));
  assert_null(diag_find("E01011", 6));
}

static void compile(world *w, uint32_t file) {
  const diag_file *f = &w->l.files[file];
  comp_source source = {f->path, f->src, f->len};
  comp_options opt = {.check_only = true, .tests = true};
  diag_init(&w->l, &w->a); /* the compiler adds the file itself */
  comp_result r;
  assert_int_equal(comp_program(&w->a, &source, 1, &opt, &w->l, &r), HDW_OK);
}

static void wrong_example(const diag_row *row) {
  world w;
  begin(&w);
  compile(&w, add_file(&w, "example.hdw", row->wrong));
  const diag *hit = NULL;
  for (const diag *d = w.l.first; d; d = d->next) {
    if (diag_row_of(d->code) == row) hit = hit ? hit : d;
    else if (d->severity == DIAG_ERROR) fail_msg("%s: the wrong example gives also %s", row->code, json_of(&w));
  }
  if (!hit) fail_msg("%s: the wrong example gives %s", row->code, json_of(&w));
  for (const diag_fix *fix = hit->fixes; fix; fix = fix->next) { /* every fix, applied, compiles */
    size_t len;
    char *fixed = diag_apply(&w.a, &w.l, fix, hit->at.file, &len);
    assert_non_null(fixed);
    world v;
    begin(&v);
    compile(&v, diag_file_add(&v.l, "fixed.hdw", fixed, len));
    if (v.l.errors) fail_msg("%s: the fix does not compile:\n%s\n%s", row->code, fixed, json_of(&v));
    finish(&v);
  }
  finish(&w);
}

static void right_example(const diag_row *row) {
  world w;
  begin(&w);
  compile(&w, add_file(&w, "example.hdw", row->right));
  for (const diag *d = w.l.first; d; d = d->next)
    if (d->severity == DIAG_ERROR || diag_row_of(d->code) == row) fail_msg("%s: the right example gives %s", row->code, json_of(&w));
  finish(&w);
}

static void test_examples_of_rows(void **state) {
  (void)state;
  unsigned n = 0;
  for (unsigned c = 1; c < DIAG_CODE_COUNT; c++) {
    const diag_row *row = diag_row_of((diag_code)c);
    if (!row->wrong) continue;
    wrong_example(row);
    right_example(row);
    n++;
  }
  assert_true(n >= 17);
}

/* Codes of the parser are rows. */
static void test_reports_of_the_parser_have_rows(void **state) {
  (void)state;
  for (int c = PARSE_E_UNEXPECTED; c <= PARSE_E_BIG; c++) {
    char name[16];
    snprintf(name, sizeof name, "E%04d", c);
    assert_non_null(diag_find(name, 5));
  }
}

/* ---- lists ---- */

static void test_repeated_reports_are_dropped(void **state) {
  (void)state;
  world w;
  begin(&w);
  uint32_t f = add_file(&w, "a.hdw", "hdw 1\nlet a = 1\n");
  diag *d = diag_add(&w.l, E0101, f, 6, 9, "first");
  diag_note(&w.l, diag_add(&w.l, E0101, f, 6, 9, "again"), "a note of what was dropped");
  diag_replace(&w.l, diag_add(&w.l, E0102, f, 6, 9, "another error at the same place"), 6, 9, "x", NULL);
  diag_add(&w.l, E0101, f, 6, 10, "elsewhere");
  assert_int_equal(w.l.errors, 2);
  assert_ptr_equal(w.l.first, d);
  assert_null(d->notes);
  assert_null(d->fixes);
  assert_string_equal(d->next->text, "elsewhere");
  assert_null(d->next->next);
  finish(&w);
}

static void test_a_file_has_a_limit(void **state) {
  (void)state;
  world w;
  begin(&w);
  char src[400];
  memset(src, ' ', sizeof src);
  uint32_t f = diag_file_add(&w.l, "a.hdw", src, sizeof src), g = diag_file_add(&w.l, "b.hdw", src, sizeof src);
  for (uint32_t i = 0; i < 300; i++) diag_add(&w.l, E0101, f, i, i + 1, "error %u", i);
  diag_add(&w.l, E0101, g, 0, 1, "in the other file");
  assert_int_equal(w.l.errors, 301);
  assert_int_equal(w.l.dropped, 200);
  unsigned n = 0;
  for (const diag *d = w.l.first; d; d = d->next) n++;
  assert_int_equal(n, DIAG_MAX_PER_FILE + 1);
  assert_non_null(strstr(text_of(&w, NULL), "301 errors (200 not shown)\n"));
  diag_add(&w.l, E0101, 77, 0, 1, "in no file"); /* is counted, harms nothing */
  assert_int_equal(w.l.errors, 302);
  finish(&w);
}

static void test_sorting_is_by_place(void **state) {
  (void)state;
  world w;
  begin(&w);
  uint32_t f = add_file(&w, "a.hdw", "abcdefghijklmnop"), g = add_file(&w, "b.hdw", "abcdefghijklmnop");
  static const uint32_t offs[] = {5, 3, 9, 1, 7, 3, 11, 0};
  for (unsigned i = 0; i < 8; i++) diag_add(&w.l, E0101, i % 2 ? f : g, offs[i], offs[i] + 1 + i, "%u", i);
  diag_sort(&w.l);
  uint32_t file = 0, off = 0;
  unsigned n = 0;
  for (const diag *d = w.l.first; d; d = d->next, n++) {
    assert_true(d->at.file > file || (d->at.file == file && d->at.off >= off));
    file = d->at.file;
    off = d->at.off;
    if (!d->next) assert_ptr_equal(d, w.l.last);
  }
  assert_int_equal(n, 8);
  diag_add(&w.l, E0102, f, 2, 2, "after sorting");
  assert_string_equal(w.l.last->text, "after sorting");
  finish(&w);
}

static void position_is(world *w, uint32_t f, uint32_t off, bool utf16, uint32_t line, uint32_t col) {
  uint32_t l, c;
  diag_position(&w->l, f, off, utf16, &l, &c);
  assert_int_equal(l, line);
  assert_int_equal(c, col);
}

static void test_positions_count_characters(void **state) {
  (void)state;
  world w;
  begin(&w);
  uint32_t f = add_file(&w, "a.hdw", "\xEF\xBB\xBF" "ab\r\n\xC3\xA4" "b\rc\n\n\xF0\x9F\x98\x80" "d");
  position_is(&w, f, 3, false, 1, 1);
  position_is(&w, f, 5, false, 1, 3);
  position_is(&w, f, 7, false, 2, 1);
  position_is(&w, f, 9, false, 2, 2);
  position_is(&w, f, 11, false, 3, 1);
  position_is(&w, f, 13, false, 4, 1);
  position_is(&w, f, 14, false, 5, 1);
  position_is(&w, f, 18, false, 5, 2);
  position_is(&w, f, 18, true, 5, 3);
  position_is(&w, f, 19, false, 5, 3);
  finish(&w);
}

static void test_fixes_are_applied(void **state) {
  (void)state;
  world w;
  begin(&w);
  uint32_t f = add_file(&w, "a.hdw", "let a = !b\n");
  diag *d = diag_add(&w.l, E0112, f, 8, 9, "x");
  diag_fix *fix = diag_fix_begin(&w.l, d, "both");
  diag_fix_edit(&w.l, fix, f, 10, 10, ".not()");
  diag_fix_edit(&w.l, fix, f, 8, 9, "");
  size_t len;
  assert_string_equal(diag_apply(&w.a, &w.l, fix, f, &len), "let a = b.not()\n");
  assert_int_equal(len, 16);
  diag_fix_edit(&w.l, fix, f, 8, 10, "overlaps");
  assert_null(diag_apply(&w.a, &w.l, fix, f, &len));
  finish(&w);
}

/* ---- forms ---- */

static void rich(world *w) {
  begin(w);
  uint32_t f = add_file(w, "src/crm.hdw", "hdw 1\n\nconnection crm = rest(base: 'x' auth: bearer(secret('t')))\nlet b = 1\nlet c = 2\nlet d = b\n");
  diag *d = diag_add(&w->l, E0101, f, 39, 43, "unexpected 'auth'");
  diag_label(&w->l, d, "expected ','");
  diag_also(&w->l, d, f, 28, 29, "opened here");
  diag_also(&w->l, d, f, 94, 95, "far below");
  diag_note(&w->l, d, "arguments are separated by commas");
  diag_replace(&w->l, d, 38, 38, ",", NULL);
  diag_sort(&w->l);
}

static void test_terminal_form(void **state) {
  (void)state;
  world w;
  rich(&w);
  assert_string_equal(text_of(&w, NULL),
                      "error[E0101]: unexpected 'auth'\n"
                      "   --> src/crm.hdw:3:33\n"
                      "    |\n"
                      "  3 | connection crm = rest(base: 'x' auth: bearer(secret('t')))\n"
                      "    |                                 ^^^^ expected ','\n"
                      "    |                      - opened here\n"
                      " ...\n"
                      "  6 | let d = b\n"
                      "    |         - far below\n"
                      "    = note: arguments are separated by commas\n"
                      "    = help: write ','\n"
                      "  3 | connection crm = rest(base: 'x', auth: bearer(secret('t')))\n"
                      "    |                                +\n"
                      "\n"
                      "1 error\n");
  finish(&w);
}

static void test_terminal_form_has_colours_only_when_asked(void **state) {
  (void)state;
  world w;
  rich(&w);
  assert_null(strchr(text_of(&w, NULL), 0x1b));
  const char *t = text_of(&w, &(diag_text_options){.color = true});
  assert_non_null(strstr(t, "\x1b[1;31merror[E0101]\x1b[0m"));
  finish(&w);
}

static void test_terminal_form_of_tabs_wide_and_long_lines(void **state) {
  (void)state;
  world w;
  begin(&w);
  uint32_t f = add_file(&w, "a.hdw", "\tlet \xE5\x90\x8D\xE5\x89\x8D = x\n");
  diag_add(&w.l, E0101, f, 5, 11, "wide");
  diag_add(&w.l, E0101, f, 14, 15, "behind");
  assert_string_equal(text_of(&w, NULL),
                      "error[E0101]: wide\n   --> a.hdw:1:6\n    |\n"
                      "  1 |     let \xE5\x90\x8D\xE5\x89\x8D = x\n"
                      "    |         ^^^^\n\n"
                      "error[E0101]: behind\n   --> a.hdw:1:11\n    |\n"
                      "  1 |     let \xE5\x90\x8D\xE5\x89\x8D = x\n"
                      "    |                ^\n\n"
                      "2 errors\n");
  finish(&w);

  begin(&w);
  char src[4000];
  memset(src, 'a', sizeof src);
  memcpy(src + 2000, "BAD", 3);
  f = diag_file_add(&w.l, "a.hdw", src, sizeof src);
  diag_add(&w.l, E0101, f, 2000, 2003, "long");
  const char *t = text_of(&w, &(diag_text_options){.width = 60});
  const char *line = strstr(t, "  1 | "), *end = strchr(line, '\n');
  assert_true(end - line <= 60 + 8); /* the marks of the cuts have three bytes each */
  const char *bad = strstr(line, "BAD"), *carets = strstr(end, "^^^\n");
  assert_non_null(bad);
  assert_int_equal(bad - line - 2, carets - (end + 1)); /* one column, three bytes */
  finish(&w);
}

static void test_terminal_form_sends_no_control_characters(void **state) {
  (void)state;
  world w;
  begin(&w);
  uint32_t f = add_file(&w, "a\x1b.hdw", "let a = '\x1b[31m\xE2\x80\xAE\xFF'\n");
  diag_add(&w.l, E0101, f, 8, 19, "text with \x1b and \xFF");
  const char *t = text_of(&w, NULL);
  assert_null(strchr(t, 0x1b));
  assert_null(strchr(t, 0xFF));
  assert_null(strstr(t, "\xE2\x80\xAE"));
  assert_non_null(strstr(t, "\xEF\xBF\xBD[31m\xEF\xBF\xBD\xEF\xBF\xBD'"));
  finish(&w);
}

static void test_places_at_line_ends(void **state) {
  (void)state;
  world w;
  begin(&w);
  uint32_t f = add_file(&w, "a.hdw", "let a =\nlet b = 1"), g = add_file(&w, "empty.hdw", "");
  diag_add(&w.l, E0102, f, 7, 7, "x");
  diag_add(&w.l, E0102, f, 17, 17, "y");
  diag_add(&w.l, E0102, f, 4, 12, "z");
  diag_add(&w.l, E0116, g, 0, 0, "e");
  const char *t = text_of(&w, NULL);
  assert_non_null(strstr(t, "  1 | let a =\n    |        ^\n"));
  assert_non_null(strstr(t, "  2 | let b = 1\n    |          ^\n"));
  assert_non_null(strstr(t, "  1 | let a =\n    |     ^^^\n"));
  assert_non_null(strstr(t, "  1 |\n    | ^\n"));
  finish(&w);
}

static void test_json_form(void **state) {
  (void)state;
  world w;
  rich(&w);
  assert_string_equal(
      json_of(&w),
      "{\"version\":1,\"errors\":1,\"warnings\":0,\"dropped\":0,\"diagnostics\":[{\"code\":\"E0101\",\"severity\":\"error\",\"title\":"
      "\"unexpected word or sign\",\"message\":\"unexpected 'auth'\",\"file\":\"src/crm.hdw\",\"span\":{\"start\":{\"offset\":39,\"line\":3,"
      "\"column\":33},\"end\":{\"offset\":43,\"line\":3,\"column\":37}},\"label\":\"expected ','\",\"related\":[{\"file\":\"src/crm.hdw\",\"span\":"
      "{\"start\":{\"offset\":28,\"line\":3,\"column\":22},\"end\":{\"offset\":29,\"line\":3,\"column\":23}},\"label\":\"opened here\"},{\"file\":"
      "\"src/crm.hdw\",\"span\":{\"start\":{\"offset\":94,\"line\":6,\"column\":9},\"end\":{\"offset\":95,\"line\":6,\"column\":10}},\"label\":"
      "\"far below\"}],\"notes\":[\"arguments are separated by commas\"],\"fixes\":[{\"title\":\"write ','\",\"edits\":[{\"file\":\"src/crm.hdw\","
      "\"span\":{\"start\":{\"offset\":38,\"line\":3,\"column\":32},\"end\":{\"offset\":38,\"line\":3,\"column\":32}},\"text\":\",\"}]}],\"explain\":"
      "\"hdwc explain E0101\"}]}\n");
  finish(&w);
}

static void test_json_strings_are_escaped(void **state) {
  (void)state;
  world w;
  begin(&w);
  buf b;
  buf_init(&b, &w.a, 1000);
  static const char s[] = "a\"\\\n\t\x01\xC3\xA4\xFF\xED\xA0\x80";
  diag_json_string(&b, s, sizeof s - 1);
  buf_putc(&b, 0);
  assert_string_equal(b.p, "\"a\\\"\\\\\\n\\u0009\\u0001\xC3\xA4\\ufffd\\ufffd\\ufffd\\ufffd\"");
  finish(&w);
}

static void test_sarif_form(void **state) {
  (void)state;
  world w;
  rich(&w);
  uint32_t f = add_file(&w, "b c.hdw", "let a = 1;\n");
  diag_add(&w.l, E0113, f, 9, 10, "no ';'");
  buf b;
  buf_init(&b, &w.a, 1 << 20);
  diag_sarif(&b, &w.l, "0.1.0");
  buf_putc(&b, 0);
  char path[] = "/tmp/hdw_sarif_XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  FILE *out = fdopen(fd, "w");
  fputs(b.p, out);
  fclose(out);
  char command[1024];
  snprintf(command, sizeof command, "python3 -c \""
           "import json; s = json.load(open('%s')); r = s['runs'][0]; x = r['results'];"
           "assert s['version'] == '2.1.0' and len(x) == 2;"
           "assert [r['tool']['driver']['rules'][y['ruleIndex']]['id'] for y in x] == [y['ruleId'] for y in x] == ['E0101', 'E0113'];"
           "g = x[0]['locations'][0]['physicalLocation'];"
           "assert g['artifactLocation']['uri'] == 'src/crm.hdw' and g['region']['startColumn'] == 33;"
           "assert x[1]['locations'][0]['physicalLocation']['artifactLocation']['uri'] == 'b%%20c.hdw';"
           "assert 'commas' in x[0]['message']['text'] and len(x[0]['relatedLocations']) == 2;"
           "assert x[0]['fixes'][0]['artifactChanges'][0]['replacements'][0]['insertedContent']['text'] == ','\"", path);
  assert_int_equal(system(command), 0);
  remove(path);
  finish(&w);
}

static void test_explain_page(void **state) {
  (void)state;
  world w;
  begin(&w);
  buf b;
  buf_init(&b, &w.a, 1 << 16);
  diag_explain(&b, diag_row_of(E0109));
  buf_putc(&b, 0);
  assert_string_equal(b.p, "E0109: equality is '='\n\n"
                           "Expressions are FHIRPath: one sign '=' compares. There is no assignment that it\ncould be confused with.\n\n"
                           "Wrong:\n\n    hdw 1\n    fn male(code: string): boolean = code == 'M'\n\n"
                           "Right:\n\n    hdw 1\n    fn male(code: string): boolean = code = 'M'\n");
  finish(&w);
}

static void test_lists_survive_without_memory(void **state) {
  (void)state;
  for (long n = 0; n < 12; n++) {
    world w;
    begin(&w);
    w.tm.fail_after = n;
    uint32_t f = diag_file_add(&w.l, "a.hdw", "hdw 1\nlet a = = b\n", 18);
    for (uint32_t i = 0; i < 90; i++) {
      diag *d = diag_add(&w.l, E0101, f, i % 18, i % 18 + i / 18, "a text that takes some memory of the arena, number %u", i);
      diag_label(&w.l, d, "label");
      diag_also(&w.l, d, f, 0, 1, "also");
      diag_note(&w.l, d, "note");
      diag_replace(&w.l, d, 0, 1, "x", NULL);
    }
    diag_sort(&w.l);
    buf b;
    buf_init(&b, &w.a, 1 << 20);
    diag_text(&b, &w.l, NULL);
    diag_json(&b, &w.l);
    diag_sarif(&b, &w.l, "1");
    w.l.nomem = false;
    finish(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_are_complete_and_sorted),
      cmocka_unit_test(test_examples_of_rows),
      cmocka_unit_test(test_reports_of_the_parser_have_rows),
      cmocka_unit_test(test_repeated_reports_are_dropped),
      cmocka_unit_test(test_a_file_has_a_limit),
      cmocka_unit_test(test_sorting_is_by_place),
      cmocka_unit_test(test_positions_count_characters),
      cmocka_unit_test(test_fixes_are_applied),
      cmocka_unit_test(test_terminal_form),
      cmocka_unit_test(test_terminal_form_has_colours_only_when_asked),
      cmocka_unit_test(test_terminal_form_of_tabs_wide_and_long_lines),
      cmocka_unit_test(test_terminal_form_sends_no_control_characters),
      cmocka_unit_test(test_places_at_line_ends),
      cmocka_unit_test(test_json_form),
      cmocka_unit_test(test_json_strings_are_escaped),
      cmocka_unit_test(test_sarif_form),
      cmocka_unit_test(test_explain_page),
      cmocka_unit_test(test_lists_survive_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
