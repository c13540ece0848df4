/* test.h - results of `hdwc test`, between the runner (test.c) and its three forms (test_report.c). */
#ifndef HDWC_TEST_H
#define HDWC_TEST_H
#include "hdwc.h"

enum { TEST_MAX_DIFFERENCES = 20 };

/* One thing that was expected and did not hold, or a reason why a case could not go on. Texts live in the arena of the whole run. */
typedef struct test_failure {
  const char *file;           /* as shown */
  uint32_t line, col;         /* 0: unknown */
  const char *expression;     /* NULL: no expectation */
  const char *message;        /* "it is false" */
  const char *left, *right;   /* JSON of both sides of a comparison, or NULL */
  const char *left_name;      /* not a comparison: left is the value of this expression */
  hc_list differences;        /* "at mrn: \"1\" is not \"2\"" */
  struct test_failure *next;
} test_failure;

/* One line of the story of a case: what the test did (when, at, after, restart), an attempt at an effect (step, send), a log line, a run. */
typedef struct test_event {
  const char *kind;
  int64_t after_ms;           /* virtual time since the case began; -1 = not known */
  const char *what;           /* "crm.post", "admit(...)", the run's workflow, the log line */
  const char *where;          /* "admit.hdw:12:3", "" = unknown */
  const char *workflow, *path;/* step, send; else NULL */
  const char *request, *result, *error; /* JSON, text; NULL = none */
  const char *mock;           /* what answered; NULL = nothing did */
  uint32_t attempt;
  int64_t delay_ms;
  struct test_event *next;
} test_event;

typedef struct test_case {
  const char *name;           /* with the row: "sex codes [2]" */
  const char *file;
  uint32_t line;
  int64_t took_ns;
  test_failure *first, *last;
  test_event *events, *last_event; /* only when it failed */
  uint32_t nevents;
  bool cut;                   /* there was more */
  struct test_case *next;
} test_case;

/* One line of a source file that has code. */
typedef struct cover_branch {
  uint32_t col, nth;          /* nth conditional jump at this place of the source */
  uint64_t taken[2];          /* went on; jumped */
  struct cover_branch *next;
} cover_branch;
typedef struct cover_line {
  bool code;
  uint64_t hits;
  cover_branch *branches;
} cover_line;
typedef struct cover_file {
  const char *shown, *text;
  size_t len;
  cover_line *lines;          /* [1 .. nlines] */
  uint32_t nlines;
  struct cover_file *next;
} cover_file;
typedef struct test_cover {
  arena *a;
  cover_file *files;
  hc_list steps, mocks;       /* effects that nothing performed; mocks that answered nothing */
} test_cover;

/* A part of inputs that no workflow reads or drops. */
typedef struct loss_row {
  const char *path, *title;
  uint64_t inputs;
  const test_case *example;
  struct loss_row *next;
} loss_row;
typedef struct test_loss {
  arena *a;
  bool json;                  /* elements of JSON bodies too */
  loss_row *rows;
  uint32_t n;
} test_loss;

typedef struct test_results {
  test_case *first, *last;
  uint32_t passed, failed;
  uint32_t broken;            /* programs that do not compile; their diagnostics were printed */
  test_cover *cover;          /* NULL: not wanted */
  test_loss *loss;            /* NULL: not wanted */
} test_results;

/* Where two values differ, as lines for people; nothing when they are equal. */
void test_difference(arena *a, val left, val right, hc_list *out);

/* Adds the counts of a module (as in vm_cx.hits) to the lines of its sources. Functions of tests do not count. */
void test_cover_add(test_cover *c, const hc_sources *s, const module *m, const uint32_t *hits);
/* Effects that no test came to; after the last test_cover_add of the module that ran. */
void test_cover_steps(test_cover *c, const hc_sources *s, const module *m, const uint32_t *hits);
void test_cover_text(buf *b, const test_cover *c);
void test_cover_json(buf *b, const test_cover *c);
void test_cover_listing(buf *b, const test_cover *c);
void test_cover_lcov(buf *b, const test_cover *c);

struct engine_loss;
/* test_loss.c. c: the case in whose inputs it was. */
void test_loss_add(test_loss *l, const struct engine_loss *x, const test_case *c);
void test_loss_text(buf *b, const test_loss *l);
void test_loss_json(buf *b, const test_loss *l);

void test_report_text(buf *b, const test_results *r, bool color);
void test_report_json(buf *b, const test_results *r);
void test_report_junit(buf *b, const test_results *r);

#endif
