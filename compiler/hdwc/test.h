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
  const char *left, *right;   /* JSON of both sides of an equality, or NULL */
  hc_list differences;        /* "at mrn: \"1\" is not \"2\"" */
  struct test_failure *next;
} test_failure;

typedef struct test_case {
  const char *name;           /* with the row: "sex codes [2]" */
  const char *file;
  uint32_t line;
  int64_t took_ns;
  test_failure *first, *last;
  hc_list trace;              /* what the runs did, one line a step; only when it failed */
  struct test_case *next;
} test_case;

typedef struct test_results {
  test_case *first, *last;
  uint32_t passed, failed;
  uint32_t broken;            /* programs that do not compile; their diagnostics were printed */
} test_results;

/* Where two values differ, as lines for people; nothing when they are equal. */
void test_difference(arena *a, val left, val right, hc_list *out);

void test_report_text(buf *b, const test_results *r, bool color);
void test_report_json(buf *b, const test_results *r);
void test_report_junit(buf *b, const test_results *r);

#endif
