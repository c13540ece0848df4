/* test_int.h - inside `hdwc test`: one program, one case.
 *
 * Files: test.c (programs, cases, the command), test_ask.c (mocks, inputs, time, expectations), test_look.c (what tests look at), test_story.c
 * (what happened, for cases that fail), test_diff.c (differences of values), test_cover.c (coverage), test_loss.c (what is unread), test_report.c (the forms of results). */
#ifndef HDWC_TEST_INT_H
#define HDWC_TEST_INT_H
#include "meta.h"
#include "rig.h"
#include "test.h"

enum { TEST_VALUE_MAX = 4000 };

typedef struct program {
  hdwc *h;
  hc_sources *s;
  uint32_t root;
  module m;                 /* with tests */
  const vm_native *bound;
  const uint8_t *app;       /* without tests, sealed */
  size_t app_len;
  module app_m;             /* the same, loaded: for places in the source */
  bool app_tried;
  test_cover *cover;        /* NULL: not wanted */
  test_loss *loss;          /* NULL: not wanted */
  uint32_t *hits, *app_hits; /* of m and app_m, when coverage is wanted */
} program;

/* Something that the test did, between what it made happen. */
typedef struct story_mark {
  const char *kind, *text, *where;
  const rig_effect *after;  /* the last effect before it; NULL = none */
  const rig_log *log;
  const char *outcome;
  int64_t at_us;
  struct story_mark *next;
} story_mark;

typedef struct runner {
  program *p;
  arena *keep;              /* of the results */
  arena a;                  /* of the case */
  test_case *c;
  vm_cx cx;
  vm_run vm;
  rig r;
  bool open, stop;
  int64_t wall_us, start_us;
  const char *file;         /* of the source that asks */
  uint32_t line, col, nfailures;
  const rig_effect *checked; /* the last effect that was looked at for calls without a mock */
  story_mark *marks, *last_mark;
} runner;

/* test_ask.c: answers a question of the test function. */
val test_ask(runner *x, const vm_request *q);
bool test_need_rig(runner *x);
/* One more failure at the present place; NULL when memory ended. */
test_failure *test_fail(runner *x, const char *message);
/* The case cannot go on. */
val test_give_up(runner *x, const char *message);
const char *test_json(runner *x, val v, size_t max);

/* test_look.c: ack, answer, result, verdict, run, sent, deliveries, dead, runs, logs. */
bool test_look(runner *x, const char *name, const vm_request *q, val *out);
val test_message(runner *x, const char *text, size_t len);

/* test_story.c */
void test_mark(runner *x, const char *kind, const char *text);
void test_story(runner *x);
/* "admit.hdw:12:3" of an effect; "" when unknown. */
const char *test_where(runner *x, const char *workflow, const char *path);

#endif
