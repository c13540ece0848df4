/* What retention asks of the state at its edges: rows that do not read, runs in the place of others, records with no more room, removals that are still needed. */
#include "rows_rig.h"

static uint64_t put_start(world *w, uint64_t input, uint64_t of_run) {
  rec_run_start r = {.input = input, .of_run = of_run, .epoch = 1, .cause = cod_cstr("reprocess"), .run = {.workflow = cod_cstr("first")}};
  cod_w m = out();
  assert_int_equal(rec_put_run_start(&m, &r), HDW_OK);
  return rec_run_id(send(w, REC_RUN_START, &m, "args"), 0);
}

static bool count_id(uint16_t part, uint64_t id, uint8_t st, void *user) { return (void)part, (void)id, (void)st, ++*(unsigned *)user, true; }

/* A record may name what is not over at all, and things that came from nowhere: everything about them goes. */
static void test_what_expires_goes_with_all_that_points_to_it(void **state) {
  (void)state;
  world w;
  store_counts n;
  unsigned listed = 0;
  int64_t next = 0;
  begin(&w);
  open_all(&w);
  static rec_input in;
  in = (rec_input){.source = cod_cstr("adt"), .verdict = {.state = INPUT_ACCEPTED}};
  cod_w m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_OK);
  uint64_t bare = send(&w, REC_INPUT, &m, "bytes"), run = put_start(&w, 0, 0), of = put_start(&w, bare, 0), d = put_delivery(&w, 0, "s1", "k", "body");
  settle(&w);
  put_state(&w, run, RUN_WAITING, 1000);
  settle(&w);
  assert_int_equal(store_list_due(w.s, 0, INT64_MAX, 0, count_id, &listed, &next), HDW_OK);
  assert_int_equal(listed, 1);
  const rec_expired gone[] = {{SUBJECT_RUN, run}, {SUBJECT_RUN, of}, {SUBJECT_DELIVERY, d}, {SUBJECT_INPUT, bare}, {SUBJECT_RUN, 12345}, {SUBJECT_INPUT, 12345}, {SUBJECT_DELIVERY, 12345}};
  m = out();
  assert_int_equal(rec_put_expire(&m, 0, gone, sizeof gone / sizeof *gone), HDW_OK);
  send(&w, REC_EXPIRE, &m, "");
  settle(&w);
  listed = 0;
  assert_int_equal(store_list_due(w.s, 0, INT64_MAX, 0, count_id, &listed, &next), HDW_OK);
  for (uint8_t what = SUBJECT_RUN; what <= SUBJECT_INPUT; what++) assert_int_equal(store_list_all(w.s, 0, what, 0, 0, count_id, &listed), HDW_OK);
  assert_int_equal(listed, 0);
  store_get_counts(w.s, &n);
  assert_true(n.runs == 0 && n.inputs == 0 && n.deliveries == 0);
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

static uint32_t find(world *w, uint8_t subject, uint64_t after, uint32_t cap, rec_expired *got, uint64_t *next) {
  uint32_t n = 0;
  assert_int_equal(store_find_expired(w->s, 0, subject, after, INT64_MAX, 1000, got, cap, &n, next), HDW_OK);
  return n;
}

enum { NO_INPUT, NO_RUN, RUN_GONE, ENDED, OTHERS, OPEN, OWN_LONG, HEIR_LONG, HEIR_NONE, HEIRS };

/* What a run delivered stays as long as a run in its place is open, or may be. */
static void test_a_delivery_waits_for_the_run_in_its_place(void **state) {
  (void)state;
  for (int kind = 0; kind < HEIRS; kind++) {
    world w;
    rec_expired got[8];
    uint64_t next;
    begin(&w);
    open_all(&w);
    uint64_t input = put_input(&w, "c", "c", INPUT_ACCEPTED, 1, NULL), run = kind == NO_INPUT ? put_start(&w, 0, 0) : rec_run_id(input, 0);
    uint64_t heir = put_start(&w, input, kind == OTHERS ? run + 1 : run), d = put_delivery(&w, kind == NO_RUN ? 0 : kind == RUN_GONE ? 12345 : run, "s1", "k", "body");
    settle(&w);
    put_end(&w, run, RUN_DONE, "");
    put_delivered(&w, d, DELIVERY_DELIVERED, 0);
    if (kind == ENDED) put_end(&w, heir, RUN_DONE, "");
    settle(&w);
    if (kind == OWN_LONG) lengthen_run(&w, run);
    if (kind == HEIR_LONG) lengthen_run(&w, heir);
    if (kind == HEIR_NONE) put_row(&w, T_RUN, heir, "no row", 6);
    if (find(&w, SUBJECT_DELIVERY, 0, 8, got, &next) != (kind < OPEN)) fail_msg("%d", kind);
    end(&w);
  }
}

/* An input goes with all its runs in one record, or stays: with one that does not read, and when there are more than the record holds. */
static void test_an_input_goes_with_all_its_runs_or_not_at_all(void **state) {
  (void)state;
  world w;
  rec_expired got[64];
  uint64_t id[4], next;
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 4; i++) {
    static const char *const names[] = {"a", "b", "c", "d"};
    id[i] = put_input(&w, names[i], names[i], INPUT_ACCEPTED, i ? 3 : 1, NULL);
    settle(&w);
    for (unsigned k = 0; k < (i ? 3 : 1); k++) put_end(&w, rec_run_id(id[i], k), RUN_DONE, "");
    settle(&w);
  }
  assert_int_equal(find(&w, SUBJECT_INPUT, 0, 64, got, &next), 14);
  assert_int_equal(next, 0);
  assert_int_equal(find(&w, SUBJECT_INPUT, 0, 5, got, &next), 2); /* the second is for the next record */
  assert_int_equal(next, id[1] - 1);
  assert_int_equal(find(&w, SUBJECT_INPUT, next, 5, got, &next), 4);
  assert_int_equal(next, id[2] - 1);
  assert_int_equal(find(&w, SUBJECT_INPUT, 0, 3, got, &next), 2);
  assert_int_equal(find(&w, SUBJECT_INPUT, id[1] - 1, 3, got, &next), 0); /* of no record */
  assert_int_equal(next, 0);
  lengthen_run(&w, rec_run_id(id[2], 1));
  put_row(&w, T_RUN, rec_run_id(id[3], 0), "no row", 6);
  assert_int_equal(find(&w, SUBJECT_INPUT, 0, 64, got, &next), 6);
  end(&w);
}

typedef struct few {
  unsigned n, of;
} few;
static bool take_few(uint16_t part, uint64_t id, uint8_t st, void *user) { return (void)part, (void)id, (void)st, ++((few *)user)->n < ((few *)user)->of; }

/* Runs that no input made go by themselves, with room for so many; lists end where they are told. */
static void test_runs_without_an_input_go_one_by_one(void **state) {
  (void)state;
  world w;
  rec_expired got[8];
  uint64_t run[4], next;
  begin(&w);
  open_all(&w);
  uint64_t input = put_input(&w, "c", "c", INPUT_ACCEPTED, 1, NULL);
  for (unsigned i = 0; i < 4; i++) run[i] = put_start(&w, 0, 0);
  settle(&w);
  put_end(&w, rec_run_id(input, 0), RUN_DONE, "");
  for (unsigned i = 0; i < 3; i++) put_end(&w, run[i], RUN_DONE, "");
  settle(&w);
  assert_int_equal(find(&w, SUBJECT_RUN, 0, 8, got, &next), 3); /* not the input's, not the one that is open */
  assert_int_equal(find(&w, SUBJECT_RUN, 0, 2, got, &next), 2);
  assert_int_equal(next, run[2] - 1);
  assert_int_equal(find(&w, SUBJECT_RUN, next, 2, got, &next), 1);
  assert_true(got[0].id == run[2] && next == 0);
  few f = {0, 9};
  assert_int_equal(store_list_all(w.s, 0, SUBJECT_RUN, 0, 2, take_few, &f), HDW_OK);
  assert_int_equal(f.n, 2);
  f = (few){0, 3};
  assert_int_equal(store_list_all(w.s, 0, SUBJECT_RUN, 0, 0, take_few, &f), HDW_OK);
  assert_int_equal(f.n, 3);
  end(&w);
}

static store_keep keeps(world *w, uint8_t type, uint64_t seq, const cod_w *m, uint32_t body_len, uint64_t floor, bool *pinned) {
  log_rec r = {.type = type, .version = REC_VERSION, .seq = seq, .time_us = 1, .pos = {1, 8}, .meta = m->p, .meta_len = (uint32_t)m->len, .body = (const uint8_t *)"", .body_len = body_len};
  store_horizon h = {.audit_us = 1000, .floor = floor};
  *pinned = false;
  return store_keeps(w->s, &r, &h, pinned);
}

/* A removing record stays until all before it was filtered; the last that says where the log begins stays for good. Who deployed what is history, with a module or without. */
static void test_old_records_of_removals_and_deployments(void **state) {
  (void)state;
  world w;
  bool pinned;
  begin(&w);
  open_all(&w);
  put_deploy(&w, 1, "app", "");
  put_deploy(&w, 1, "app", "bytes");
  put_deploy(&w, 1, "app", "bytes");
  cod_w m = out();
  assert_int_equal(rec_put_expire(&m, 7, NULL, 0), HDW_OK);
  send(&w, REC_EXPIRE, &m, "");
  settle(&w);
  assert_int_equal(store_first(w.s), 7);
  static const struct {
    uint64_t first, floor;
    store_keep want;
  } t[] = {{7, 49, STORE_KEEP}, {7, 50, STORE_KEEP}, {6, 49, STORE_KEEP}, {6, 50, STORE_DROP}, {0, 50, STORE_DROP}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    m = out();
    assert_int_equal(rec_put_expire(&m, t[i].first, NULL, 0), HDW_OK);
    if (keeps(&w, REC_EXPIRE, 50, &m, 0, t[i].floor, &pinned) != t[i].want || pinned) fail_msg("%zu", i);
  }
  assert_int_equal(keeps(&w, 99, 50, &m, 0, 50, &pinned), STORE_KEEP); /* of a later version: nobody knows what it says */
  assert_true(pinned);
  m.len--;
  assert_int_equal(keeps(&w, REC_EXPIRE, 50, &m, 0, 50, &pinned), STORE_DROP); /* what does not read never removed anything */
  rec_deploy d = {.name = cod_cstr("app"), .file = cod_cstr("app.hdwb"), .who = cod_cstr("ann")};
  memset(d.module, 1, REC_HASH);
  m = out();
  assert_int_equal(rec_put_deploy(&m, &d), HDW_OK);
  assert_int_equal(keeps(&w, REC_DEPLOY, 1, &m, 0, 0, &pinned), STORE_KEEP);
  assert_true(pinned);
  assert_int_equal(keeps(&w, REC_DEPLOY, 2, &m, 5, 0, &pinned), STORE_BARE);
  assert_int_equal(keeps(&w, REC_DEPLOY, 3, &m, 5, 0, &pinned), STORE_KEEP); /* it holds */
  assert_int_equal(keeps(&w, REC_DEPLOY, 999, &m, 5, 0, &pinned), STORE_DROP); /* nobody remembers it */
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_expires_goes_with_all_that_points_to_it),
      cmocka_unit_test(test_a_delivery_waits_for_the_run_in_its_place),
      cmocka_unit_test(test_an_input_goes_with_all_its_runs_or_not_at_all),
      cmocka_unit_test(test_runs_without_an_input_go_one_by_one),
      cmocka_unit_test(test_old_records_of_removals_and_deployments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
