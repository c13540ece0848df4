/* Two threads write the log, never both at once: the loop takes small batches itself while the writer rests. With a pause where it looks whether the writer rests
 * (builds with named points) the wrong order of looking shows: callbacks out of order, records over each other. */
#include "support.h"
#include "io_linux.h"
#include "log.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURNS = 1500, BIG = 1000 };

typedef struct world {
  test_mem t;
  io *x;
  hlog *l;
  io_task next;
  unsigned turn;
  uint64_t sent, came;
  char dir[64];
} world;

static void on_done(hdw_status s, const log_rec *rec, void *user) {
  world *w = (world *)user;
  assert_int_equal(s, HDW_OK);
  assert_int_equal(rec->seq, w->came + 1); /* in the order of the appends, whoever wrote them */
  w->came = rec->seq;
  if (w->turn == TURNS && w->came == w->sent) io_stop(w->x);
}

static void turn(void *user) {
  world *w = (world *)user;
  static const uint8_t body[BIG];
  uint32_t drawn = (uint32_t)(w->turn * 2654435761u) >> 16;
  unsigned n = drawn % 5 == 0 ? 40 : 1 + drawn % 3; /* many at once are the writer's, few the loop's */
  w->turn++;
  for (unsigned i = 0; i < n; i++) {
    log_rec r = {.type = 1, .version = 1, .meta = (const uint8_t *)"m", .meta_len = 1, .body = body, .body_len = n > 3 ? BIG : 10};
    assert_int_equal(log_append(w->l, &r, on_done, w), HDW_OK);
    w->sent = r.seq;
  }
  if (w->turn < TURNS) {
    w->next = (io_task){turn, w, NULL};
    io_post(w->x, &w->next);
  }
}

static void test_loop_and_writer_take_turns(void **state) {
  (void)state;
  world w;
  log_open_info info;
  memset(&w, 0, sizeof w);
  test_mem_init(&w.t);
  snprintf(w.dir, sizeof w.dir, "/dev/shm/hdw-turns-XXXXXX"); /* syncs at once, so that the loop writes too */
  assert_non_null(mkdtemp(w.dir));
  setenv("HDW_PAUSE_AT", "log.look:1000,log.before_sync:120", 1);
  assert_int_equal(io_linux_new(&w.t.m, &w.x), HDW_OK);
  log_opts o = {.dir = w.dir, .segment_bytes = 4 << 20, .low_water_bytes = 1};
  assert_int_equal(log_open(w.x, &o, &info, &w.l), HDW_OK);
  turn(&w);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_close(w.l);
  unsetenv("HDW_PAUSE_AT");
  log_iter *it;
  log_rec r;
  uint64_t n = 0;
  hdw_status s;
  assert_int_equal(log_iter_open(w.x, w.dir, 0, &it), HDW_OK);
  while (!(s = log_iter_next(it, &r))) n += r.type == 1;
  assert_int_equal(s, HDW_E_NOTFOUND);
  assert_int_equal(n, w.sent);
  log_iter_close(it);
  io_linux_free(w.x);
  char cmd[100];
  snprintf(cmd, sizeof cmd, "rm -rf %s", w.dir);
  assert_int_equal(system(cmd), 0);
  assert_int_equal(w.t.live_bytes, 0);
}

/* ---- when the loop writes itself ---- */

enum { ALONE, SLOW, CROWD, CASES }; /* one peer and a fast disk; a slow disk; several peers heard at a time */
static int kind;
static pthread_t loop;
static unsigned by_loop;
static hdw_status (*real_sync)(io *, int);
static hdw_status counted_sync(io *x, int fd) {
  if (kind == SLOW) usleep(600);
  by_loop += pthread_equal(pthread_self(), loop) != 0;
  return real_sync(x, fd);
}
static void one_more(hdw_status s, const log_rec *rec, void *user) {
  world *w = (world *)user;
  assert_int_equal(s, HDW_OK);
  assert_int_equal(rec->seq, ++w->came);
  if (w->came == 60) {
    io_stop(w->x);
    return;
  }
  if (kind == CROWD) w->x->ready = 2;
  log_rec r = {.type = 1, .version = 1, .body = (const uint8_t *)"one at a time", .body_len = 13};
  assert_int_equal(log_append(w->l, &r, one_more, w), HDW_OK);
}

/* A disk that syncs slowly is the writer's, and so is one while others wait for the loop: it would stand still. Segments of a few records: each begins with the
 * writer, too. */
static void test_the_loop_syncs_for_one_peer_on_a_fast_disk_only(void **state) {
  (void)state;
  for (kind = ALONE; kind < CASES; kind++) {
    world w;
    log_open_info info;
    io_ops ops;
    char cmd[100];
    memset(&w, 0, sizeof w);
    test_mem_init(&w.t);
    snprintf(w.dir, sizeof w.dir, "/dev/shm/hdw-turns-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    assert_int_equal(io_linux_new(&w.t.m, &w.x), HDW_OK);
    log_opts o = {.dir = w.dir, .segment_bytes = 512, .low_water_bytes = 1};
    assert_int_equal(log_open(w.x, &o, &info, &w.l), HDW_OK);
    ops = *w.x->ops;
    real_sync = ops.sync, ops.sync = counted_sync;
    w.x->ops = &ops;
    loop = pthread_self(), by_loop = 0;
    w.x->alone = 100000; /* as after so many turns */
    log_rec r = {.type = 1, .version = 1, .body = (const uint8_t *)"the first", .body_len = 9};
    assert_int_equal(log_append(w.l, &r, one_more, &w), HDW_OK);
    if (kind == CROWD) w.x->ready = 2;
    assert_int_equal(io_run(w.x), HDW_OK);
    assert_int_equal(w.came, 60);
    log_stats st;
    log_get_stats(w.l, &st);
    assert_true(kind != SLOW || st.sync_us_max >= 600);
    log_close(w.l);
    assert_true(kind == ALONE ? by_loop > 0 : by_loop == 0);
    io_linux_free(w.x);
    snprintf(cmd, sizeof cmd, "rm -rf %s", w.dir);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(w.t.live_bytes, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_loop_and_writer_take_turns), cmocka_unit_test(test_the_loop_syncs_for_one_peer_on_a_fast_disk_only)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
