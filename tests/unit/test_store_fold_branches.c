/* Folding and retention at their edges: rows that are not as ours are, records that come out of turn, queues longer than what is moved at once. */
#include <lmdb.h>
#include "rows_rig.h"

/* Folds a record that the log does not have, as the next one. */
static hdw_status fold(world *w, uint8_t type, uint16_t part, const cod_w *m) {
  log_rec r = {.type = type, .version = REC_VERSION, .partition = part, .seq = w->seq + 1, .time_us = 99, .pos = {1, 4096}, .meta = m->p, .meta_len = (uint32_t)m->len};
  return store_fold(w->s, &r);
}

static cod_w change(uint64_t run) {
  rec_run_change c = {.run = run, .state = RUN_WAITING};
  cod_w m = out();
  assert_int_equal(rec_put_run_change(&m, &c), HDW_OK);
  return m;
}
static cod_w ended(uint64_t run, const char *code, uint32_t len) {
  rec_run_end e = {.run = run, .state = RUN_DEAD, .error_code = cod_bytes(code, len)};
  cod_w m = out();
  assert_int_equal(rec_put_run_end(&m, &e), HDW_OK);
  return m;
}
static cod_w action(uint8_t what, uint8_t subject, uint64_t id, const char *name, cod_str reason) {
  rec_action a = {.action = what, .subject = subject, .id = id, .name = cod_cstr(name), .reason = reason, .who = cod_cstr("ann")};
  cod_w m = out();
  assert_int_equal(rec_put_action(&m, &a), HDW_OK);
  return m;
}
static hdw_status rename_to(world *w, uint8_t subject, const char *to, const char *from) {
  cod_w m = action(ACTION_RENAME, subject, 0, to, cod_cstr(from));
  return fold(w, REC_ACTION, 0, &m);
}

static uint8_t run_state(world *w, uint64_t id) {
  store_run r;
  assert_int_equal(store_get_run(w->s, 0, id, &w->a, &r), HDW_OK);
  return r.state;
}

/* ---- rows that are not as ours are ---- */

static void test_rows_longer_than_any_of_ours_are_damage(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "c", "c", INPUT_ACCEPTED, 1, NULL), 0), d = put_delivery(&w, run, "old", "k", "body");
  settle(&w);
  lengthen_run(&w, run);
  cod_w m = change(run);
  assert_int_equal(fold(&w, REC_RUN_STATE, 0, &m), HDW_E_CORRUPT);
  log_rec r = {.type = REC_RUN_STATE, .version = REC_VERSION, .seq = 5, .time_us = 1, .meta = m.p, .meta_len = (uint32_t)m.len};
  store_horizon h = {.runs_us = 1000};
  bool pinned = false;
  assert_int_equal(store_keeps(w.s, &r, &h, &pinned), STORE_KEEP); /* what cannot be judged stays */
  put_row(&w, T_DELIVERY, d, long_bytes, LONG);
  assert_int_equal(rename_to(&w, SUBJECT_SINK, "new", "old"), HDW_E_CORRUPT);
  end(&w);
}

/* Counts that a row has no room for, with the bytes for them. */
static void test_rows_that_count_more_than_they_have_room_for_do_not_read(void **state) {
  (void)state;
  world w;
  store_input in = {.state = INPUT_ACCEPTED};
  store_run run = {.state = RUN_DONE};
  store_delivery d = {.state = DELIVERY_PENDING};
  uint8_t b[2048] = {0};
  begin(&w);
  open_all(&w);
  size_t n = row_put_input(w.s, &in);
  memcpy(b, w.s->row, n);
  assert_true(row_get_input(cod_bytes(b, n), &in));
  b[n - 1] = REC_MAX_PATIENTS + 1;
  assert_false(row_get_input(cod_bytes(b, n + (REC_MAX_PATIENTS + 1) * STORE_SIP), &in));
  n = row_put_run(w.s, &run);
  memcpy(b, w.s->row, n);
  assert_true(row_get_run(cod_bytes(b, n), &run));
  b[3] = REC_MAX_LANES + 1;
  assert_false(row_get_run(cod_bytes(b, n + (REC_MAX_LANES + 1) * REC_LANE), &run));
  n = row_put_delivery(w.s, &d);
  memcpy(b, w.s->row, n);
  assert_true(row_get_delivery(cod_bytes(b, n), &d));
  b[n] = REC_MAX_LANES;
  assert_false(row_get_delivery(cod_bytes(b, n + 1 + REC_MAX_LANES * REC_LANE), &d));
  end(&w);
}

/* Two records, each within its limits, of which one row would be made that is not: refused, and the row stays as it was. */
static void test_a_row_that_would_be_too_long_is_not_written(void **state) {
  (void)state;
  world w;
  static char text[REC_META_MAX - 60], path[REC_PATH_MAX];
  memset(text, 't', sizeof text);
  memset(path, 'p', sizeof path);
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "c", "c", INPUT_ACCEPTED, 2, "lane"), 0);
  settle(&w);
  cod_w m = ended(run, text, sizeof text);
  assert_int_equal(fold(&w, REC_RUN_END, 0, &m), HDW_OK);
  m = action(ACTION_DISCARD, SUBJECT_RUN, run, "", cod_bytes(text, sizeof text));
  assert_int_equal(fold(&w, REC_ACTION, 0, &m), HDW_E_LIMIT);
  assert_int_equal(run_state(&w, run), RUN_DEAD);
  end(&w);
}

/* No name of ours is so long: it is nowhere, and nothing is written under a part of it. */
static void test_names_too_long_for_a_key(void **state) {
  (void)state;
  world w;
  skey k;
  cod_str v;
  begin(&w);
  open_all(&w);
  key_named(&k, cod_bytes(long_bytes, 255));
  assert_int_equal(store_put(w.s, &k, "v", 1), HDW_OK);
  key_named(&k, cod_bytes(long_bytes, 256));
  assert_int_equal(store_get(w.s, &k, &v), HDW_E_NOTFOUND);
  assert_int_equal(store_put(w.s, &k, "v", 1), HDW_E_LIMIT);
  end(&w);
}

/* ---- records out of turn ---- */

/* The newest run is not in the tables yet. An end that names its number in another partition is about no run at all. */
static void test_the_end_of_a_run_of_another_partition_leaves_the_newest_one(void **state) {
  (void)state;
  world w;
  store_counts before, n;
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "c", "c", INPUT_ACCEPTED, 1, NULL), 0);
  settle(&w);
  store_get_counts(w.s, &before);
  assert_true(w.s->has_young);
  rec_run_end e = {.run = run, .state = RUN_DONE};
  cod_w m = out();
  assert_int_equal(rec_put_run_end(&m, &e), HDW_OK);
  assert_int_equal(fold(&w, REC_RUN_END, 1, &m), HDW_OK);
  store_get_counts(w.s, &n);
  assert_int_equal(n.orphans, before.orphans + 1);
  assert_int_equal(run_state(&w, run), RUN_QUEUED);
  assert_int_equal(fold(&w, REC_RUN_END, 0, &m), HDW_OK);
  assert_int_equal(run_state(&w, run), RUN_DONE);
  end(&w);
}

/* The newest run is to be put into the tables, and there is no memory: told, and it is not lost. */
static void test_the_newest_run_is_kept_when_there_is_no_memory_for_its_rows(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "c", "c", INPUT_ACCEPTED, 1, NULL), 0);
  settle(&w);
  assert_true(w.s->has_young);
  cod_w m = ended(run + 999, "", 0);
  delta *now = w.s->now, was = *now;
  now->at = now->end, now->spare = NULL, now->mem = &w.t.m; /* its block is full */
  w.t.fail_after = 0;
  assert_int_equal(fold(&w, REC_RUN_END, 0, &m), HDW_E_NOMEM);
  now->at = was.at, now->spare = was.spare, now->mem = was.mem;
  assert_int_equal(w.t.fail_after, -1);
  assert_true(w.s->has_young);
  assert_int_equal(fold(&w, REC_RUN_END, 0, &m), HDW_OK);
  assert_int_equal(run_state(&w, run), RUN_QUEUED);
  end(&w);
}

static bool in_lane(world *w, uint64_t run, const char *key) {
  skey k;
  cod_str v;
  uint8_t h[REC_LANE];
  lane(key, h);
  skey_begin(&k, 0, T_LANE);
  cod_put_raw(&k.w, h, REC_LANE);
  cod_put_be64(&k.w, run);
  return store_get(w->s, &k, &v) == HDW_OK;
}

/* Whoever left its lane comes back into it only by going back into the queue. */
static void test_runs_leave_their_lane_and_come_back(void **state) {
  (void)state;
  static const struct {
    uint8_t end, action[3];
    bool in[4]; /* the lane: after the end, after each action */
  } t[] = {{RUN_DEAD, {ACTION_SKIP_LANE, ACTION_SKIP_LANE, ACTION_DISCARD}, {true, false, false, false}},
           {RUN_FAILED, {ACTION_SKIP_LANE, ACTION_REDRIVE, ACTION_DISCARD}, {true, false, true, false}},
           {RUN_DEAD, {ACTION_SKIP_LANE, ACTION_REDRIVE, ACTION_REDRIVE}, {true, false, true, true}},
           {RUN_DEAD, {ACTION_DISCARD, ACTION_SKIP_LANE, ACTION_REDRIVE}, {true, false, false, false}},
           {RUN_DONE, {ACTION_SKIP_LANE, ACTION_SKIP_LANE, ACTION_REDRIVE}, {false, false, false, false}}};
  world w;
  begin(&w);
  open_all(&w);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    char name[20];
    snprintf(name, sizeof name, "run%zu", i);
    uint64_t id = rec_run_id(put_input(&w, name, name, INPUT_ACCEPTED, 1, name), 0);
    put_end(&w, id, t[i].end, "");
    for (unsigned k = 0;; k++) {
      settle(&w);
      if (in_lane(&w, id, name) != t[i].in[k]) fail_msg("%zu, %u", i, k);
      if (k == 3) break;
      put_action(&w, t[i].action[k], SUBJECT_RUN, id, "");
    }
  }
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

/* A dead letter is judged again and again: how often is counted as far as the row can. */
static void test_verdicts_are_counted_to_the_end_of_the_count(void **state) {
  (void)state;
  world w;
  store_input in;
  begin(&w);
  open_all(&w);
  uint64_t id = put_input(&w, "c", "c", INPUT_FAILED, 0, NULL);
  settle(&w);
  static rec_input_verdict v;
  v = (rec_input_verdict){.input = id, .verdict = {.state = INPUT_FAILED, .ack_code = cod_cstr("AE")}};
  for (unsigned i = 1; i < 300; i++) {
    cod_w m = out();
    assert_int_equal(rec_put_verdict(&m, &v), HDW_OK);
    assert_int_equal(fold(&w, REC_VERDICT, 0, &m), HDW_OK);
    if (i % 100 && i != 254 && i != 255) continue;
    assert_int_equal(store_get_input(w.s, 0, id, &w.a, &in), HDW_OK);
    assert_int_equal(in.attempts, i < 254 ? i + 1 : 255);
  }
  end(&w);
}

static bool count_id(uint16_t part, uint64_t id, uint8_t st, void *user) { return (void)part, (void)id, (void)st, ++*(unsigned *)user, true; }

/* An empty identifier is no patient, and a sender whose name is too long to be remembered is found like any other. */
static void test_what_an_input_is_found_by(void **state) {
  (void)state;
  static const char control[] = "A number that some system gives to its messages, as long as a sentence";
  static const char *const senders[] = {"LAB_A|HOSP_1", "LAB_A|HOSP_2", "LAB_A|A very long name of a sender that nobody will ever remember as it is|HOSPITAL"};
  world w;
  store_input row;
  unsigned n = 0;
  begin(&w);
  open_all(&w);
  static rec_input in;
  in = (rec_input){.source = cod_cstr("adt"), .control_id = cod_cstr(control), .npatients = 2, .patients = {cod_cstr(""), cod_cstr("MRN9")}, .verdict = {.state = INPUT_ACCEPTED}};
  for (unsigned i = 0; i < 9; i++) {
    in.sender = cod_cstr(senders[i % 3]);
    cod_w m = out();
    assert_int_equal(rec_put_input(&m, &in), HDW_OK);
    send(&w, REC_INPUT, &m, "bytes");
  }
  settle(&w);
  assert_non_null(store_applied_input(w.s, w.seq));
  assert_null(store_applied_input(w.s, 0));
  assert_null(store_applied_input(w.s, w.seq - 1));
  assert_int_equal(store_get_input(w.s, 0, w.seq, &w.a, &row), HDW_OK);
  assert_int_equal(row.npatients, 1);
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_PATIENT, cod_cstr("MRN9"), 0, false, 0, count_id, &n), HDW_OK);
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_CONTROL_ID, cod_cstr(control), 0, false, 0, count_id, &n), HDW_OK);
  assert_int_equal(n, 18);
  for (unsigned i = 0; i < 3; i++) {
    n = 0;
    assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_SENDER, cod_cstr(senders[i]), 0, false, 0, count_id, &n), HDW_OK);
    assert_int_equal(n, 3);
  }
  n = 0;
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_SENDER, cod_cstr(""), 0, false, 0, count_id, &n), HDW_OK);
  assert_int_equal(n, 0);
  end(&w);
}

/* ---- another name ---- */

enum { MANY = 600 }; /* more than twice what is moved at once */

static void test_a_queue_longer_than_what_is_moved_at_once_is_moved_whole(void **state) {
  (void)state;
  world w;
  store_delivery d;
  unsigned n = 0;
  uint64_t dead = 0;
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 2 * MANY; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%u", i % 7);
    uint64_t id = put_delivery(&w, 1, "old", key, "body");
    if (i % 2) put_delivered(&w, dead = id, DELIVERY_DEAD, 0);
    if (i % 100 == 0) settle(&w);
  }
  settle(&w);
  assert_int_equal(rename_to(&w, SUBJECT_SINK, "new", "old"), HDW_OK);
  assert_int_equal(store_list_sink(w.s, 0, cod_cstr("old"), 9999, count_id, &n), HDW_OK);
  assert_int_equal(n, 0);
  assert_int_equal(store_list_sink(w.s, 0, cod_cstr("new"), 9999, count_id, &n), HDW_OK);
  assert_int_equal(n, MANY);
  assert_int_equal(store_get_delivery(w.s, 0, dead, &w.a, &d), HDW_OK);
  assert_str(d.sink, "new");
  end(&w);
}

/* A delivery that does not read stops a rename: pending with a wrong CRC in the file, or dead with a row that is none. */
static void test_a_rename_stops_at_a_delivery_that_does_not_read(void **state) {
  (void)state;
  for (int dead = 0; dead < 2; dead++) {
    world w;
    skey k;
    begin(&w);
    open_all(&w);
    uint64_t id = put_delivery(&w, 1, "old", "k", "body"), second = put_delivery(&w, 1, "old", "k", "body");
    if (dead) put_delivered(&w, id, DELIVERY_DEAD, 0), put_delivered(&w, second, DELIVERY_DEAD, 0);
    settle(&w);
    if (dead) {
      put_row(&w, T_DELIVERY, id, "no row", 6);
    } else {
      close_all(&w);
      key_id(&k, 0, T_DELIVERY, id);
      poke(w.mdb, k.b, k.w.len, long_bytes, 4, 1); /* a wrong CRC */
      open_all(&w);
    }
    assert_int_equal(rename_to(&w, SUBJECT_SINK, "new", "old"), HDW_E_CORRUPT);
    end(&w);
  }
}

typedef struct seen {
  uint64_t id;
  uint8_t state;
} seen;
static bool see(uint16_t part, uint64_t id, uint8_t st, void *user) { return (void)part, *(seen *)user = (seen){id, st}, true; }

/* A queue's row that does not say in which state: nobody lists it, and moved it waits. */
static void test_a_queued_row_without_a_state(void **state) {
  (void)state;
  world w;
  skey k;
  uint8_t h[REC_LANE];
  seen s = {0};
  begin(&w);
  open_all(&w);
  settle(&w);
  lane("k", h);
  key_queue(&k, 0, cod_cstr("old"));
  cod_put_raw(&k.w, h, REC_LANE);
  cod_put_be64(&k.w, 77);
  assert_int_equal(store_put(w.s, &k, NULL, 0), HDW_OK);
  assert_int_equal(store_list_sink(w.s, 0, cod_cstr("old"), 9, see, &s), HDW_E_CORRUPT);
  assert_int_equal(rename_to(&w, SUBJECT_SINK, "new", "old"), HDW_OK);
  assert_int_equal(store_list_sink(w.s, 0, cod_cstr("new"), 9, see, &s), HDW_OK);
  assert_true(s.id == 77 && s.state == DELIVERY_PENDING);
  end(&w);
}

/* The first name of a workflow is followed as long as it is one. */
static void test_an_alias_too_long_to_be_a_name_is_not_followed(void **state) {
  (void)state;
  for (int longer = 0; longer < 2; longer++) {
    world w;
    skey k;
    cod_str v;
    char name[REC_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    begin(&w);
    open_all(&w);
    settle(&w);
    key_named(&k, cod_cstr("alias"));
    cod_put_raw(&k.w, "workflow:second", 15);
    assert_int_equal(store_put(w.s, &k, name, REC_NAME_MAX + (size_t)longer), HDW_OK);
    assert_int_equal(rename_to(&w, SUBJECT_WORKFLOW, "third", "second"), HDW_OK);
    assert_int_equal(store_get_named(w.s, cod_cstr("alias"), cod_cstr("workflow:third"), &w.a, &v), HDW_OK);
    if (longer) assert_str(v, "second");
    else assert_true(v.len == REC_NAME_MAX && !memcmp(v.p, name, v.len));
    assert_int_equal(rename_to(&w, SUBJECT_WORKFLOW, "b", "a"), HDW_OK); /* the first one has none */
    assert_int_equal(store_get_named(w.s, cod_cstr("alias"), cod_cstr("workflow:b"), &w.a, &v), HDW_OK);
    assert_str(v, "a");
    end(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_longer_than_any_of_ours_are_damage),
      cmocka_unit_test(test_rows_that_count_more_than_they_have_room_for_do_not_read),
      cmocka_unit_test(test_a_row_that_would_be_too_long_is_not_written),
      cmocka_unit_test(test_names_too_long_for_a_key),
      cmocka_unit_test(test_the_end_of_a_run_of_another_partition_leaves_the_newest_one),
      cmocka_unit_test(test_the_newest_run_is_kept_when_there_is_no_memory_for_its_rows),
      cmocka_unit_test(test_runs_leave_their_lane_and_come_back),
      cmocka_unit_test(test_verdicts_are_counted_to_the_end_of_the_count),
      cmocka_unit_test(test_what_an_input_is_found_by),
      cmocka_unit_test(test_a_queue_longer_than_what_is_moved_at_once_is_moved_whole),
      cmocka_unit_test(test_a_rename_stops_at_a_delivery_that_does_not_read),
      cmocka_unit_test(test_a_queued_row_without_a_state),
      cmocka_unit_test(test_an_alias_too_long_to_be_a_name_is_not_followed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
