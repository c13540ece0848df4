/* The materialised state: what the records say can be asked for, and the log alone is enough to make it again. */
#include "store_rig.h"

/* ---- inputs ---- */

static void test_inputs_duplicates_and_indexes(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  uint64_t a = put_input(&w, "MSG1", "content one", INPUT_ACCEPTED, 2, NULL), b = put_input(&w, "MSG2", "content two", INPUT_FAILED, 0, NULL);
  settle(&w);
  store_input in;
  assert_int_equal(store_get_input(w.s, 0, a, &w.a, &in), HDW_OK);
  assert_int_equal(in.state, INPUT_ACCEPTED);
  assert_int_equal(in.attempts, 1);
  assert_int_equal(in.body_len, strlen("content one"));
  assert_str(in.control_id, "MSG1");
  assert_str(in.sender, "LAB_A|HOSP");
  assert_str(in.ack_code, "AA");
  assert_str(in.peer, "10.0.0.7:4711");
  assert_int_equal(in.received_us, 77);
  log_rec r;
  assert_int_equal(log_read(w.l, in.pos, &w.a, &r), HDW_OK);
  assert_memory_equal(r.body, "content one", r.body_len);

  assert_int_equal(store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr("MSG1"), 0, &w.a, &in), HDW_OK);
  assert_int_equal(in.id, a);
  assert_int_equal(store_find_duplicate(w.s, cod_cstr("other"), cod_cstr("MSG1"), 0, &w.a, &in), HDW_E_NOTFOUND);
  assert_int_equal(store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr("MSG"), 0, &w.a, &in), HDW_E_NOTFOUND);
  uint64_t c = put_input(&w, "MSG1", "other content", INPUT_ACCEPTED, 0, NULL);
  char longkey[400];
  memset(longkey, 'k', sizeof longkey);
  longkey[399] = 0;
  uint64_t d = put_input(&w, longkey, "x", INPUT_ACCEPTED, 0, NULL);
  settle(&w);
  assert_int_equal(store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr("MSG1"), 0, &w.a, &in), HDW_OK);
  assert_int_equal(in.id, c);
  assert_int_equal(store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr(longkey), 0, &w.a, &in), HDW_OK);
  assert_int_equal(in.id, d);

  ids l = {0};
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_CONTROL_ID, cod_cstr("MSG1"), 0, false, 0, take, &l), HDW_OK);
  assert_true(l.n == 2 && l.id[0] == a && l.id[1] == c);
  l.n = 0;
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_PATIENT, cod_cstr("MRN2"), b, false, 0, take, &l), HDW_OK);
  assert_true(l.n == 2 && l.id[0] == c);
  l.n = 0;
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_TIME, cod_cstr(""), 0, true, 2, take, &l), HDW_OK);
  assert_true(l.n == 2 && l.id[0] == d && l.id[1] == c);
  l.n = 0;
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_TIME, cod_cstr(""), c, true, 0, take, &l), HDW_OK);
  assert_true(l.n == 2 && l.id[0] == b && l.id[1] == a);
  l.n = 0;
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_SENDER, cod_cstr("NOBODY"), 0, false, 0, take, &l), HDW_OK);
  assert_int_equal(l.n, 0);
  assert_int_equal(store_list_dead(w.s, 0, SUBJECT_INPUT, 0, 0, take, &l), HDW_OK);
  assert_true(l.n == 1 && l.id[0] == b);

  /* A further attempt of the failed one, then its late answer. */
  static rec_input_verdict v;
  v.input = b;
  v.verdict.state = INPUT_RUNNING;
  v.verdict.ack_code = cod_cstr("");
  v.verdict.nruns = 1;
  v.verdict.runs[0].workflow = cod_cstr("again");
  cod_w m = out();
  assert_int_equal(rec_put_verdict(&m, &v), HDW_OK);
  uint64_t vs = send(&w, REC_VERDICT, &m, "");
  rec_ack_outcome o = {.input = b, .state = INPUT_ACCEPTED, .ack_code = cod_cstr("AA")};
  m = out();
  assert_int_equal(rec_put_ack_outcome(&m, &o), HDW_OK);
  settle(&w);
  assert_int_equal(store_get_input(w.s, 0, b, &w.a, &in), HDW_OK);
  assert_int_equal(in.state, INPUT_RUNNING);
  assert_int_equal(in.attempts, 2);
  send(&w, REC_ACK_OUTCOME, &m, "");
  settle(&w);
  assert_int_equal(store_get_input(w.s, 0, b, &w.a, &in), HDW_OK);
  assert_int_equal(in.state, INPUT_ACCEPTED);
  l.n = 0;
  store_list_dead(w.s, 0, SUBJECT_INPUT, 0, 0, take, &l);
  assert_int_equal(l.n, 0);
  assert_int_equal(store_list_runs_of_input(w.s, 0, b, take, &l), HDW_OK);
  assert_true(l.n == 1 && l.id[0] == rec_run_id(vs, 0) && l.state[0] == RUN_QUEUED);
  l.n = 0;
  store_list_runs_of_input(w.s, 0, a, take, &l);
  assert_true(l.n == 2 && l.id[0] == rec_run_id(a, 0) && l.id[1] == rec_run_id(a, 1));

  store_counts n;
  store_get_counts(w.s, &n);
  assert_true(n.inputs == 4 && n.runs == 3 && n.inputs_by_state[INPUT_ACCEPTED] == 4 && n.inputs_by_state[INPUT_FAILED] == 0 && n.orphans == 0);
  uint64_t at = 0;
  assert_int_equal(store_get_input(w.s, 0, c, &w.a, &in), HDW_OK);
  assert_int_equal(store_input_since(w.s, 0, in.time_us, &at), HDW_OK);
  assert_true(at <= c && at > b);
  assert_int_equal(store_input_since(w.s, 0, 0, &at), HDW_OK);
  assert_int_equal(at, a);
  assert_int_equal(store_input_since(w.s, 0, INT64_MAX, &at), HDW_E_NOTFOUND);
  end(&w);
}

/* ---- runs, lanes, timers, journal ---- */

static void test_runs_move_through_states_lanes_and_timers(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  uint64_t i1 = put_input(&w, "A", "1", INPUT_ACCEPTED, 1, "patient 5"), i2 = put_input(&w, "B", "2", INPUT_ACCEPTED, 1, "patient 5"),
           i3 = put_input(&w, "C", "3", INPUT_ACCEPTED, 1, "patient 6");
  uint64_t r1 = rec_run_id(i1, 0), r2 = rec_run_id(i2, 0), r3 = rec_run_id(i3, 0), head;
  uint8_t l5[REC_LANE], st;
  lane("patient 5", l5);
  settle(&w);
  assert_int_equal(store_lane_head(w.s, 0, l5, &head, &st), HDW_OK);
  assert_true(head == r1 && st == RUN_QUEUED);
  ids l = {0};
  store_list_runs(w.s, 0, RUN_QUEUED, 0, 0, take, &l);
  assert_true(l.n == 3 && l.id[2] == r3);
  l.n = 0;
  store_list_lane(w.s, 0, l5, 0, 0, take, &l);
  assert_true(l.n == 2 && l.id[0] == r1 && l.id[1] == r2);

  put_state(&w, r1, RUN_RUNNING, 0);
  put_state(&w, r1, RUN_PARKED, 5000);
  put_state(&w, r3, RUN_WAITING, 9000);
  settle(&w);
  store_run run;
  assert_int_equal(store_get_run(w.s, 0, r1, &w.a, &run), HDW_OK);
  assert_true(run.state == RUN_PARKED && run.wake_us == 5000 && run.attempts == 1 && run.effects == 0 && run.input == i1 && run.nlanes == 1 && run.module[3] == 0xab);
  assert_str(run.workflow, "first");
  assert_str(run.reason, "because");
  int64_t next;
  l.n = 0;
  assert_int_equal(store_list_due(w.s, 0, 4999, 0, take, &l, &next), HDW_OK);
  assert_true(l.n == 0 && next == 5000);
  store_list_due(w.s, 0, 5000, 0, take, &l, &next);
  assert_true(l.n == 1 && l.id[0] == r1 && l.state[0] == SUBJECT_RUN && next == 9000);
  l.n = 0;
  store_list_due(w.s, 0, 10000, 1, take, &l, &next);
  assert_true(l.n == 1 && next == 9000);

  /* Dead: holds its lane, is listed; discarded: the next one may go. */
  put_end(&w, r1, RUN_DEAD, "");
  settle(&w);
  store_lane_head(w.s, 0, l5, &head, &st);
  assert_true(head == r1 && st == RUN_DEAD);
  l.n = 0;
  store_list_dead(w.s, 0, SUBJECT_RUN, 0, 0, take, &l);
  assert_true(l.n == 1 && l.id[0] == r1);
  l.n = 0;
  store_list_due(w.s, 0, 6000, 0, take, &l, NULL);
  assert_int_equal(l.n, 0);
  put_action(&w, ACTION_REDRIVE, SUBJECT_RUN, r1, "");
  settle(&w);
  store_get_run(w.s, 0, r1, &w.a, &run);
  assert_true(run.state == RUN_QUEUED && run.line == 12);
  store_list_dead(w.s, 0, SUBJECT_RUN, 0, 0, take, &l);
  assert_int_equal(l.n, 0);
  put_end(&w, r1, RUN_FAILED, "");
  put_action(&w, ACTION_SKIP_LANE, SUBJECT_RUN, r1, "");
  settle(&w);
  store_lane_head(w.s, 0, l5, &head, &st);
  assert_int_equal(head, r2);
  put_end(&w, r2, RUN_DONE, "value");
  settle(&w);
  assert_int_equal(store_lane_head(w.s, 0, l5, &head, &st), HDW_E_NOTFOUND);
  store_get_run(w.s, 0, r2, &w.a, &run);
  log_rec r;
  assert_int_equal(log_read(w.l, run.result_pos, &w.a, &r), HDW_OK);
  assert_memory_equal(r.body, "value", 5);
  store_counts n;
  store_get_counts(w.s, &n);
  assert_true(n.runs_by_state[RUN_DONE] == 1 && n.runs_by_state[RUN_FAILED] == 1 && n.runs_by_state[RUN_WAITING] == 1 && n.runs_by_state[RUN_QUEUED] == 0);

  /* Records about a run that does not exist are counted, nothing else. */
  put_state(&w, 999999, RUN_RUNNING, 0);
  settle(&w);
  store_get_counts(w.s, &n);
  assert_int_equal(n.orphans, 1);
  assert_int_equal(store_get_run(w.s, 0, 999999, &w.a, &run), HDW_E_NOTFOUND);
  end(&w);
}

typedef struct paths {
  char text[200];
} paths;
static bool take_effect(const store_effect *e, void *user) {
  paths *p = (paths *)user;
  size_t n = strlen(p->text);
  snprintf(p->text + n, sizeof p->text - n, "%.*s:%u ", (int)e->path.len, e->path.p, e->state);
  return true;
}

static void test_journal_keeps_intent_and_result_by_path(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "A", "1", INPUT_ACCEPTED, 1, NULL), 0);
  put_effect(&w, REC_INTENT, run, "3.7[12].1", EFFECT_INTENT, "request");
  put_effect(&w, REC_RESULT, run, "2", EFFECT_DONE, "read result");
  put_effect(&w, REC_INTENT, run + 1, "1", EFFECT_INTENT, "of another run");
  settle(&w);
  store_effect e;
  log_rec r;
  assert_int_equal(store_get_effect(w.s, 0, run, cod_cstr("3.7[12].1"), &w.a, &e), HDW_OK);
  assert_true(e.state == EFFECT_INTENT && e.result_pos.seg == 0);
  assert_int_equal(log_read(w.l, e.intent_pos, &w.a, &r), HDW_OK);
  assert_memory_equal(r.body, "request", 7);
  put_effect(&w, REC_RESULT, run, "3.7[12].1", EFFECT_DONE, "answer");
  settle(&w);
  assert_int_equal(store_get_effect(w.s, 0, run, cod_cstr("3.7[12].1"), &w.a, &e), HDW_OK);
  assert_int_equal(e.state, EFFECT_DONE);
  assert_int_equal(log_read(w.l, e.intent_pos, &w.a, &r), HDW_OK); /* still there */
  assert_int_equal(log_read(w.l, e.result_pos, &w.a, &r), HDW_OK);
  assert_memory_equal(r.body, "answer", 6);
  assert_str(e.operation, "epic.search");
  paths p = {{0}};
  assert_int_equal(store_list_effects(w.s, 0, run, &w.a, take_effect, &p), HDW_OK);
  assert_string_equal(p.text, "2:2 3.7[12].1:2 ");
  store_run row;
  store_get_run(w.s, 0, run, &w.a, &row);
  assert_int_equal(row.effects, 1);
  assert_int_equal(store_get_effect(w.s, 0, run, cod_cstr("3.7[12]"), &w.a, &e), HDW_E_NOTFOUND);
  end(&w);
}

static void test_outbox_is_fifo_per_sink_and_lane(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  uint64_t d1 = put_delivery(&w, 7, "lab", "p1", "one"), d2 = put_delivery(&w, 7, "lab", "p2", "two"), d3 = put_delivery(&w, 7, "lab", "p1", "three"),
           d4 = put_delivery(&w, 8, "labor", "p1", "four");
  settle(&w);
  ids l = {0};
  uint8_t p1[REC_LANE];
  lane("p1", p1);
  assert_int_equal(store_list_queue(w.s, 0, cod_cstr("lab"), p1, 0, 0, take, &l), HDW_OK);
  assert_true(l.n == 2 && l.id[0] == d1 && l.id[1] == d3 && l.state[0] == DELIVERY_PENDING);
  l.n = 0;
  assert_int_equal(store_list_queue(w.s, 0, cod_cstr("lab"), NULL, 0, 0, take, &l), HDW_OK);
  assert_true(l.n == 2 && (l.id[0] == d1 || l.id[1] == d1) && (l.id[0] == d2 || l.id[1] == d2));
  put_delivered(&w, d1, DELIVERY_DELIVERED, 0);
  put_delivered(&w, d2, DELIVERY_DEAD, 0);
  put_delivered(&w, d4, DELIVERY_PENDING, 5555);
  settle(&w);
  l.n = 0;
  store_list_queue(w.s, 0, cod_cstr("lab"), NULL, 0, 0, take, &l);
  assert_true(l.n == 1 && l.id[0] == d3);
  l.n = 0;
  store_list_dead(w.s, 0, SUBJECT_DELIVERY, 0, 0, take, &l);
  assert_true(l.n == 1 && l.id[0] == d2);
  l.n = 0;
  store_list_due(w.s, 0, 6000, 0, take, &l, NULL);
  assert_true(l.n == 1 && l.id[0] == d4 && l.state[0] == SUBJECT_DELIVERY);
  store_delivery d;
  log_rec r;
  assert_int_equal(store_get_delivery(w.s, 0, d4, &w.a, &d), HDW_OK);
  assert_true(d.attempts == 2 && d.next_us == 5555 && d.run == 8 && d.body_len == 4);
  assert_str(d.sink, "labor");
  assert_str(d.error_code, "503");
  assert_int_equal(log_read(w.l, d.response_pos, &w.a, &r), HDW_OK);
  assert_memory_equal(r.body, "response", 8);
  put_action(&w, ACTION_REDRIVE, SUBJECT_DELIVERY, d2, "");
  put_action(&w, ACTION_DISCARD, SUBJECT_DELIVERY, d3, "");
  put_action(&w, ACTION_REDRIVE, SUBJECT_DELIVERY, d1, ""); /* delivered stays delivered */
  settle(&w);
  l.n = 0;
  store_list_queue(w.s, 0, cod_cstr("lab"), NULL, 0, 0, take, &l);
  assert_true(l.n == 1 && l.id[0] == d2);
  l.n = 0;
  store_list_deliveries_of_run(w.s, 0, 7, take, &l);
  assert_int_equal(l.n, 3);
  store_counts n;
  store_get_counts(w.s, &n);
  assert_true(n.deliveries == 4 && n.deliveries_by_state[DELIVERY_PENDING] == 2 && n.deliveries_by_state[DELIVERY_DELIVERED] == 1 && n.deliveries_by_state[DELIVERY_DISCARDED] == 1);
  end(&w);
}

static bool take_named(cod_str k, cod_str v, void *user) {
  paths *p = (paths *)user;
  size_t n = strlen(p->text);
  snprintf(p->text + n, sizeof p->text - n, "%.*s=%.*s ", (int)k.len, k.p, (int)v.len, v.p);
  return true;
}

static bool take_deploy(const store_deploy *d, void *user) {
  paths *p = (paths *)user;
  size_t n = strlen(p->text);
  snprintf(p->text + n, sizeof p->text - n, "%.*s/%d%.*s ", (int)d->name.len, d->name.p, d->module[0], (int)d->who.len, d->who.p);
  return true;
}

static void test_named_state_pauses_and_deployments(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  put_named(&w, "cursor", "poll_epic", "page 7");
  put_named(&w, "cursor", "poll_lab", "x");
  put_named(&w, "cursors", "other", "y");
  put_named(&w, "cursor", "poll_lab", "");
  put_action(&w, ACTION_PAUSE, SUBJECT_SINK, 0, "lab");
  put_action(&w, ACTION_PAUSE, SUBJECT_WORKFLOW, 0, "lab");
  put_action(&w, ACTION_RESUME, SUBJECT_WORKFLOW, 0, "lab");
  rec_deploy d = {.name = cod_cstr("main"), .file = cod_cstr("a.hdwb")};
  memset(d.module, 1, REC_HASH);
  cod_w m = out();
  rec_put_deploy(&m, &d);
  uint64_t first = send(&w, REC_DEPLOY, &m, "bytes of the module");
  memset(d.module, 2, REC_HASH);
  m = out();
  rec_put_deploy(&m, &d);
  send(&w, REC_DEPLOY, &m, "");
  settle(&w);
  paths p = {{0}};
  assert_int_equal(store_list_named(w.s, cod_cstr("cursor"), &w.a, take_named, &p), HDW_OK);
  assert_string_equal(p.text, "poll_epic=page 7 ");
  p.text[0] = 0;
  store_list_named(w.s, cod_cstr("paused"), &w.a, take_named, &p);
  assert_string_equal(p.text, "sink:lab=ann ");
  cod_str v;
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("poll_lab"), &w.a, &v), HDW_E_NOTFOUND);
  store_deploy row;
  assert_int_equal(store_get_deploy(w.s, NULL, cod_cstr("main"), &w.a, &row), HDW_OK);
  assert_int_equal(row.module[0], 2);
  memset(d.module, 1, REC_HASH);
  assert_int_equal(store_get_deploy(w.s, d.module, cod_cstr(""), &w.a, &row), HDW_OK);
  assert_true(row.seq == first && row.body_len == 19);
  /* Withdrawn: nothing is current under the name; the history tells everything, and the bytes stay. */
  rec_deploy gone = {.name = cod_cstr("main"), .who = cod_cstr("ann")};
  m = out();
  rec_put_deploy(&m, &gone);
  send(&w, REC_DEPLOY, &m, "");
  settle(&w);
  assert_int_equal(store_get_deploy(w.s, NULL, cod_cstr("main"), &w.a, &row), HDW_E_NOTFOUND);
  assert_int_equal(store_get_deploy(w.s, d.module, cod_cstr(""), &w.a, &row), HDW_OK);
  p.text[0] = 0;
  assert_int_equal(store_list_deploys(w.s, false, &w.a, take_deploy, &p), HDW_OK);
  assert_string_equal(p.text, "main/1 main/2 main/0ann ");
  p.text[0] = 0;
  assert_int_equal(store_list_deploys(w.s, true, &w.a, take_deploy, &p), HDW_OK);
  assert_string_equal(p.text, "");
  end(&w);
}

/* ---- the log alone is enough ---- */

static void test_rebuild_from_the_log_gives_equal_state(void **state) {
  (void)state;
  for (unsigned seed = 1; seed <= 4; seed++) {
    world w;
    uint8_t h1[32], h2[32], h3[32], h4[32];
    begin(&w);
    w.commit_records = 50 * seed;
    open_all(&w);
    live(&w, seed, 1500);
    hash(&w, h1);
    assert_int_equal(store_check(w.s), HDW_OK);
    assert_int_equal(store_rebuild(w.s, &w.info), HDW_OK);
    assert_true(w.info.rebuilt && w.info.caught_up == w.seq);
    hash(&w, h2);
    assert_memory_equal(h1, h2, 32);
    /* Goes on afterwards. */
    live(&w, seed + 100, 50);
    hash(&w, h2);
    assert_memory_not_equal(h1, h2, 32);
    close_all(&w);
    open_all(&w);
    assert_false(w.info.rebuilt);
    assert_int_equal(w.info.caught_up, 1); /* the clean end */
    hash(&w, h3);
    close_all(&w);
    assert_int_equal(unlink(w.mdb), 0);
    open_all(&w);
    assert_true(w.info.rebuilt);
    hash(&w, h4);
    assert_memory_equal(h3, h4, 32);
    end(&w);
  }
}

static void test_state_behind_the_log_catches_up(void **state) {
  (void)state;
  world w;
  uint8_t h1[32], h2[32];
  char old[96];
  begin(&w);
  open_all(&w);
  live(&w, 3, 500);
  close_all(&w);
  snprintf(old, sizeof old, "%s/old", w.dir);
  copy_file(w.mdb, old);
  open_all(&w);
  uint64_t before = w.seq;
  live(&w, 4, 500);
  close_all(&w);
  open_all(&w);
  hash(&w, h1);
  close_all(&w);
  copy_file(old, w.mdb);
  open_all(&w);
  assert_false(w.info.rebuilt);
  assert_int_equal(w.info.caught_up, w.seq - before + 1);
  hash(&w, h2);
  assert_memory_equal(h1, h2, 32);
  end(&w);
}

static void test_map_grows_in_the_middle_of_a_transaction(void **state) {
  (void)state;
  world w;
  uint8_t h1[32], h2[32];
  uint64_t used, map;
  begin(&w);
  w.map_bytes = 128 * 1024;
  w.commit_records = 1000000;
  open_all(&w);
  live(&w, 9, 2500);
  store_get_size(w.s, &used, &map);
  assert_true(map > 128 * 1024);
  assert_int_equal(store_applied(w.s), w.seq);
  hash(&w, h1);
  store_rebuild(w.s, &w.info);
  hash(&w, h2);
  assert_memory_equal(h1, h2, 32);
  end(&w);
}

static void test_unusable_state_is_set_aside_and_made_again(void **state) {
  (void)state;
  world w;
  uint8_t h1[32], h2[32];
  begin(&w);
  open_all(&w);
  live(&w, 3, 400);
  close_all(&w);
  open_all(&w);
  hash(&w, h1);
  close_all(&w);
  struct stat st;
  assert_int_equal(stat(w.mdb, &st), 0);
  char good[96], bad[96];
  snprintf(good, sizeof good, "%s/good", w.dir);
  snprintf(bad, sizeof bad, "%s/state.mdb.bad", w.dir);
  copy_file(w.mdb, good);
  for (long cut = 0; cut < st.st_size; cut += 4096 * 5 + (cut ? 0 : 100)) {
    unlink(bad);
    copy_file(good, w.mdb);
    assert_int_equal(truncate(w.mdb, cut), 0);
    open_all(&w);
    assert_true(w.info.rebuilt);
    if (cut) assert_int_equal(access(bad, F_OK), 0);
    hash(&w, h2);
    assert_memory_equal(h1, h2, 32);
    close_all(&w);
  }
  end(&w);
}

/* Damage within the file: never a wrong answer that nobody notices. LMDB may crash on it, so it happens in a child. */
static void test_flipped_bits_in_the_state_are_never_silent(void **state) {
  (void)state;
  world w;
  uint8_t h1[32];
  begin(&w);
  open_all(&w);
  live(&w, 6, 600);
  close_all(&w);
  open_all(&w);
  hash(&w, h1);
  close_all(&w);
  char good[96];
  snprintf(good, sizeof good, "%s/good", w.dir);
  copy_file(w.mdb, good);
  struct stat st;
  stat(w.mdb, &st);
  unsigned reported = 0, same = 0, died = 0;
  for (unsigned i = 0; i < 120; i++) {
    copy_file(good, w.mdb);
    srand(1000 + i);
    int fd = open(w.mdb, O_RDWR | O_CLOEXEC);
    unsigned char c;
    off_t at = 8192 + (off_t)(((unsigned long)rand() << 16 ^ (unsigned long)rand()) % (unsigned long)(st.st_size - 8192));
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= (unsigned char)(1 << rand() % 8);
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
      static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
      uint8_t h2[32];
      for (unsigned k = 0; k < sizeof deadly / sizeof deadly[0]; k++) signal(deadly[k], SIG_DFL);
      if (!freopen("/dev/null", "w", stderr)) _exit(9);
      hdw_status s = open_state(&w);
      if (!s && w.info.rebuilt) _exit(1);
      if (!s) s = store_hash(w.s, h2);
      _exit(s ? 1 : memcmp(h1, h2, 32) == 0 ? 2 : 3);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    assert_int_not_equal(code, 3);
    reported += code == 1, same += code == 2, died += code != 1 && code != 2;
  }
  print_message("120 flips: %u reported, %u in unused bytes, %u killed the reader\n", reported, same, died);
  assert_true(reported > 30);
  copy_file(good, w.mdb);
  end(&w);
}

static void test_open_refuses_folders_and_files_open_to_others(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  live(&w, 1, 20);
  close_all(&w);
  assert_int_equal(chmod(w.mdb, 0644), 0);
  assert_int_equal(open_state(&w), HDW_E_DENIED);
  chmod(w.mdb, 0600);
  assert_int_equal(chmod(w.dir, 0750), 0);
  assert_int_equal(open_state(&w), HDW_E_DENIED);
  chmod(w.dir, 0700);
  char key[96], other[96];
  snprintf(key, sizeof key, "%s/hash.key", w.dir);
  snprintf(other, sizeof other, "%s/elsewhere", w.dir);
  assert_int_equal(rename(w.mdb, other), 0);
  assert_int_equal(symlink(other, w.mdb), 0);
  assert_int_equal(open_state(&w), HDW_E_DENIED);
  unlink(w.mdb);
  rename(other, w.mdb);
  assert_int_equal(truncate(key, 3), 0);
  assert_int_equal(open_state(&w), HDW_E_CORRUPT);
  end(&w);
}

static void test_gaps_and_foreign_records_are_refused(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  log_rec r = {.type = REC_CLOSE, .version = 1, .seq = 2};
  assert_int_equal(store_apply(w.s, &r), HDW_E_INVALID);
  r.seq = 1;
  assert_int_equal(store_apply(w.s, &r), HDW_OK);
  assert_int_equal(store_apply(w.s, &r), HDW_OK); /* known already */
  r.seq = 2;
  r.type = 200;
  assert_int_equal(store_apply(w.s, &r), HDW_E_VERSION);
  end(&w);
}

/* ---- layouts ---- */

static void test_record_decoders_survive_any_bytes(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  live(&w, 2, 200);
  log_iter *it;
  log_rec r;
  unsigned n = 0;
  assert_int_equal(log_iter_open(w.x, w.log, 0, &it), HDW_OK);
  static union {
    rec_input a;
    rec_input_verdict b;
    rec_run_start c;
    rec_run_change d;
    rec_effect e;
    rec_run_end f;
    rec_delivery g;
    rec_delivery_result h;
    rec_action i;
    rec_deploy j;
    rec_put k;
    rec_ack_outcome l;
  } u;
  while (log_iter_next(it, &r) == HDW_OK) {
    for (uint32_t len = 0; len <= r.meta_len; len += 1 + len / 8) {
      uint8_t *p = (uint8_t *)malloc(len ? len : 1);
      memcpy(p, r.meta, len);
      if (len && n % 3 == 0) p[(n * 7) % len] ^= (uint8_t)(1 << n % 8);
      log_rec q = r;
      q.meta = p, q.meta_len = len;
      rec_get_input(&q, &u.a), rec_get_verdict(&q, &u.b), rec_get_run_start(&q, &u.c), rec_get_run_change(&q, &u.d), rec_get_effect(&q, &u.e);
      rec_get_run_end(&q, &u.f), rec_get_delivery(&q, &u.g), rec_get_delivery_result(&q, &u.h), rec_get_action(&q, &u.i), rec_get_deploy(&q, &u.j);
      rec_get_named(&q, &u.k), rec_get_ack_outcome(&q, &u.l);
      if (len < r.meta_len && r.type == REC_INPUT) assert_int_equal(rec_get_input(&q, &u.a), HDW_E_CORRUPT);
      free(p);
      n++;
    }
    r.version = REC_VERSION + 1;
    assert_int_equal(rec_get_input(&r, &u.a), HDW_E_VERSION);
  }
  log_iter_close(it);
  assert_true(n > 1000);
  end(&w);
}

/* Several modules in one daemon: each run is pinned to the program that decided about it. */
static void test_each_run_names_its_own_module_and_deployment(void **state) {
  (void)state;
  static rec_input in, back;
  static uint8_t hashes[4][REC_HASH];
  world w;
  begin(&w);
  open_all(&w);
  for (int i = 0; i < 4; i++) memset(hashes[i], 0x11 * (i + 1), REC_HASH);
  memset(&in, 0, sizeof in);
  in.source = cod_cstr("adt");
  in.verdict.state = INPUT_ACCEPTED;
  memcpy(in.verdict.module, hashes[0], REC_HASH);
  memcpy(in.verdict.deployment, hashes[1], REC_HASH);
  in.verdict.nruns = 4;
  for (int i = 0; i < 4; i++) in.verdict.runs[i].workflow = cod_cstr("w");
  in.verdict.runs[1].module = hashes[2], in.verdict.runs[1].deployment = hashes[3];
  in.verdict.runs[2].module = hashes[0], in.verdict.runs[2].deployment = hashes[1]; /* the verdict's own */
  in.verdict.runs[3].module = hashes[2], in.verdict.runs[3].deployment = hashes[3];
  cod_w m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_OK);
  log_rec rec = {.type = REC_INPUT, .version = REC_VERSION, .meta = m.p, .meta_len = (uint32_t)m.len};
  assert_int_equal(rec_get_input(&rec, &back), HDW_OK);
  for (int i = 0; i < 4; i++) {
    assert_memory_equal(back.verdict.runs[i].module, hashes[i % 2 ? 2 : 0], REC_HASH);
    assert_memory_equal(back.verdict.runs[i].deployment, hashes[i % 2 ? 3 : 1], REC_HASH);
  }
  /* A program index out of range, and every truncation but the one that cuts the whole addition off, are damage. */
  size_t whole = m.len, plain = whole - 1 - 2 * REC_HASH - 4;
  for (rec.meta_len = 0; rec.meta_len < whole; rec.meta_len++) assert_int_equal(rec_get_input(&rec, &back), rec.meta_len == plain ? HDW_OK : HDW_E_CORRUPT);
  m.p[whole - 1] = 2;
  assert_int_equal(rec_get_input(&rec, &back), HDW_E_CORRUPT);
  m.p[whole - 1] = 1;
  uint64_t id = send(&w, REC_INPUT, &m, "x");
  settle(&w);
  for (unsigned i = 0; i < 4; i++) {
    store_run row;
    assert_int_equal(store_get_run(w.s, 0, rec_run_id(id, i), &w.a, &row), HDW_OK);
    assert_memory_equal(row.module, hashes[i % 2 ? 2 : 0], REC_HASH);
    assert_memory_equal(row.deployment, hashes[i % 2 ? 3 : 1], REC_HASH);
  }
  end(&w);
}

static void test_encoders_refuse_what_readers_would_not_take(void **state) {
  (void)state;
  static char big[REC_META_MAX + 1];
  memset(big, 'x', sizeof big);
  static rec_input in;
  in.source = cod_cstr("s");
  in.control_id = cod_bytes(big, REC_META_MAX);
  cod_w m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_E_LIMIT);
  in.control_id = cod_cstr("");
  in.source = cod_bytes(big, REC_NAME_MAX + 1);
  m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_E_LIMIT);
  in.source = cod_cstr("s");
  in.verdict.nruns = REC_MAX_RUNS + 1;
  m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_E_LIMIT);
  rec_effect e = {.path = cod_cstr(""), .state = EFFECT_DONE};
  m = out();
  assert_int_equal(rec_put_effect(&m, &e), HDW_E_LIMIT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_inputs_duplicates_and_indexes),
      cmocka_unit_test(test_runs_move_through_states_lanes_and_timers),
      cmocka_unit_test(test_journal_keeps_intent_and_result_by_path),
      cmocka_unit_test(test_outbox_is_fifo_per_sink_and_lane),
      cmocka_unit_test(test_named_state_pauses_and_deployments),
      cmocka_unit_test(test_rebuild_from_the_log_gives_equal_state),
      cmocka_unit_test(test_state_behind_the_log_catches_up),
      cmocka_unit_test(test_map_grows_in_the_middle_of_a_transaction),
      cmocka_unit_test(test_unusable_state_is_set_aside_and_made_again),
      cmocka_unit_test(test_flipped_bits_in_the_state_are_never_silent),
      cmocka_unit_test(test_open_refuses_folders_and_files_open_to_others),
      cmocka_unit_test(test_gaps_and_foreign_records_are_refused),
      cmocka_unit_test(test_record_decoders_survive_any_bytes),
      cmocka_unit_test(test_each_run_names_its_own_module_and_deployment),
      cmocka_unit_test(test_encoders_refuse_what_readers_would_not_take),
  };
  umask(0077);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
