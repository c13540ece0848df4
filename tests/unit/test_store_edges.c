/* The state at its edges: folders and files that are not as they should be, pages and rows that contradict each other, lists that are left early, and what an operator
 * asks of what has ended. */
#include <lmdb.h>
#include "rows_rig.h"

/* ---- folders and files ---- */

static hdw_status open_in(world *w, const char *dir, const char *lmdb_dir, bool read_only) {
  store_opts so = {.dir = dir, .lmdb_dir = lmdb_dir, .read_only = read_only};
  store *s;
  store_info info;
  hdw_status st = store_open(w->x, &so, &info, &s);
  if (!st) store_close(s);
  return st;
}

static void test_folders_that_cannot_be_used(void **state) {
  (void)state;
  world w;
  char path[120], other[120], longer[1100];
  begin(&w);
  snprintf(path, sizeof path, "%s/file", w.dir);
  snprintf(other, sizeof other, "%s/new", w.dir);
  FILE *f = fopen(path, "w");
  fclose(f);
  assert_int_equal(open_in(&w, w.dir, path, false), HDW_E_DENIED);   /* a file is no folder */
  assert_int_equal(open_in(&w, w.dir, other, true), HDW_E_NOTFOUND); /* reading makes nothing */
  assert_int_equal(open_in(&w, w.dir, other, false), HDW_OK);        /* writing makes what is missing */
  assert_int_equal(open_in(&w, w.dir, other, true), HDW_OK);
  assert_int_equal(chmod(other, 0750), 0);
  assert_int_equal(open_in(&w, w.dir, other, true), HDW_E_DENIED);
  memset(longer, 'd', sizeof longer);
  longer[0] = '/', longer[sizeof longer - 1] = 0;
  assert_int_equal(open_in(&w, longer, NULL, false), HDW_E_INVALID);
  assert_int_equal(open_in(&w, w.dir, longer, false), HDW_E_INVALID);
  assert_int_equal(store_peek_applied(w.x, longer), 0);
  uint64_t before, after;
  assert_int_equal(store_compact(w.x, longer, &before, &after), HDW_E_INVALID);
  assert_int_equal(store_compact(w.x, "/nowhere", &before, &after), HDW_E_NOTFOUND);
  store_close(NULL);
  end(&w);
}

/* Without its key the indexes by sender and patient find nothing: a key that is not whole, or not ours alone, is told. */
static void test_the_key_of_the_indexes(void **state) {
  (void)state;
  world w;
  char path[120];
  begin(&w);
  open_all(&w);
  close_all(&w);
  snprintf(path, sizeof path, "%s/hash.key", w.dir);
  assert_int_equal(chmod(path, 0644), 0);
  assert_int_equal(open_state(&w), HDW_E_DENIED);
  assert_int_equal(chmod(path, 0600), 0);
  assert_int_equal(truncate(path, 7), 0);
  assert_int_equal(open_state(&w), HDW_E_CORRUPT);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(open_in(&w, w.dir, NULL, true), HDW_E_NOTFOUND);
  assert_int_equal(open_in(&w, w.dir, NULL, false), HDW_OK);
  end(&w);
}

/* With the record of the clean end. */
static void closed_hash(world *w, uint8_t h[32]) {
  assert_int_equal(open_state(w), HDW_OK);
  hash(w, h);
  store_close(w->s);
  w->s = NULL;
}

/* What the first page of the file says of itself is looked at before anything is mapped. */
static void test_impossible_claims_of_the_file_are_damage(void **state) {
  (void)state;
  static const struct {
    const char *what;
    off_t at;
    uint64_t value;
    size_t bytes;
  } cases[] = {{"magic", 16, 1, 4}, {"version", 20, 9, 4}, {"small pages", 40, 256, 4}, {"large pages", 40, 131072, 4}, {"odd pages", 40, 5000, 4}, {"more pages than there are bytes", 136, 1u << 20, 8},
               {"more pages than there are numbers", 136, UINT64_MAX - 1, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world w;
    uint8_t h1[32], h2[32];
    char bad[120];
    begin(&w);
    open_all(&w);
    live(&w, 3, 60);
    close_all(&w);
    closed_hash(&w, h1);
    /* Both pages of claims, so that the newer one says it whichever that is. */
    int fd = open(w.mdb, O_RDWR);
    for (off_t page = 0; page <= 4096; page += 4096) assert_int_equal(pwrite(fd, &cases[i].value, cases[i].bytes, page + cases[i].at), cases[i].bytes);
    close(fd);
    assert_int_equal(open_in(&w, w.dir, NULL, true), HDW_E_CORRUPT); /* who only reads leaves it */
    assert_int_equal(store_peek_applied(w.x, w.dir), 0);
    assert_int_equal(open_state(&w), HDW_OK);
    assert_true(w.info.rebuilt);
    snprintf(bad, sizeof bad, "%s/state.mdb.bad", w.dir);
    assert_int_equal(access(bad, F_OK), 0);
    assert_int_equal(store_hash(w.s, h2), HDW_OK);
    if (memcmp(h1, h2, 32)) fail_msg("%s", cases[i].what);
    store_close(w.s);
    w.s = NULL;
    end(&w);
  }
}

/* Found damaged while it is in use: set aside, and the next opening makes it again. Not by who only reads. */
static void test_a_state_in_doubt_is_made_again(void **state) {
  (void)state;
  for (int read_only = 0; read_only < 2; read_only++) {
    world w;
    uint8_t h1[32], h2[32];
    begin(&w);
    open_all(&w);
    live(&w, 4, 60);
    close_all(&w);
    closed_hash(&w, h1);
    store_opts so = {.dir = w.dir, .read_only = read_only};
    assert_int_equal(store_open(w.x, &so, &w.info, &w.s), HDW_OK);
    store_doubt(w.s);
    store_close(w.s);
    assert_int_equal(open_state(&w), HDW_OK);
    assert_int_equal(w.info.rebuilt, !read_only);
    assert_int_equal(store_hash(w.s, h2), HDW_OK);
    assert_memory_equal(h1, h2, 32);
    store_close(w.s);
    w.s = NULL;
    end(&w);
  }
}

/* ---- pages and rows written by somebody else ---- */

static void test_a_state_of_another_format_or_with_a_short_head_is_made_again(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    world w;
    uint8_t h1[32], h2[32], key[3] = {0, 0, T_META}, old[200] = {STORE_FORMAT - 1};
    if (kind) old[0] = STORE_FORMAT;
    begin(&w);
    open_all(&w);
    live(&w, 5, 60);
    close_all(&w);
    closed_hash(&w, h1);
    poke(w.mdb, key, 3, old, kind == 1 ? 10 : 200, 0); /* 200: more than a head has */
    assert_int_equal(open_in(&w, w.dir, NULL, true), kind ? HDW_E_CORRUPT : HDW_E_VERSION);
    assert_int_equal(open_state(&w), HDW_OK);
    assert_true(w.info.rebuilt);
    assert_int_equal(store_hash(w.s, h2), HDW_OK);
    assert_memory_equal(h1, h2, 32);
    store_close(w.s);
    w.s = NULL;
    end(&w);
  }
}

static bool any_id(uint16_t part, uint64_t id, uint8_t st, void *user) { return (void)part, (void)id, (void)st, (void)user, true; }
static bool any_lane(uint16_t part, const uint8_t l[REC_LANE], uint64_t run, void *user) { return (void)part, (void)l, (void)run, (void)user, true; }
static bool any_head(const uint8_t l[REC_LANE], uint64_t id, uint8_t st, void *user) { return (void)l, (void)id, (void)st, (void)user, true; }
static bool any_effect(const store_effect *e, void *user) { return (void)e, (void)user, true; }
static bool any_deploy(const store_deploy *d, void *user) { return (void)d, (void)user, true; }
static bool any_audit(const rec_audit *r, cod_str bytes, void *user) { return (void)r, (void)bytes, (void)user, true; }

/* A key that is too short for its table, or a row that does not read: told by whoever meets it, and by the check. */
static void test_keys_and_rows_that_do_not_read_are_damage(void **state) {
  (void)state;
  static const struct {
    uint8_t table, key[24];
    size_t key_len; /* behind the table */
    size_t row;
  } pokes[] = {{T_HELD, {1, 2, 3}, 3, 0},          {T_QUEUE, {2, 's', '1', 9}, 4, 1}, {T_QUEUE, {2, 's', '1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 3 + REC_LANE + 2, 0},
               {T_DEAD, {SUBJECT_RUN, 1}, 2, 0},   {T_TIMER, {1}, 1, 0},              {T_EFFECT, {0, 0, 0, 0, 0, 0, 0, 9, 'p'}, 9, 1},
               {T_DEPLOYED, {0, 0, 0, 0, 0, 0, 0, 9}, 8, 1}, {T_AUDIT, {0, 0, 0, 0, 0, 0, 0, 9}, 8, 1}, {T_INPUT, {0, 0, 0, 0, 0, 0, 0, 9}, 8, 1}, {T_RUN, {0, 0, 0, 0, 0, 0, 0, 9}, 8, 1},
               {T_DELIVERY, {0, 0, 0, 0, 0, 0, 0, 9}, 8, 1}, {T_BY_PATIENT, {0, 1}, 2, 0}, {T_RUN_STATE, {RUN_DEAD, 1}, 2, 0}};
  for (size_t i = 0; i < sizeof pokes / sizeof *pokes; i++) {
    world w;
    uint8_t key[32] = {0, 0, pokes[i].table}, row[8] = {1}, h[REC_HASH];
    store_input in;
    store_run run;
    store_delivery d;
    uint64_t until = 0;
    hdw_status st = HDW_OK;
    begin(&w);
    open_all(&w);
    settle(&w);
    close_all(&w);
    memcpy(key + 3, pokes[i].key, pokes[i].key_len);
    poke(w.mdb, key, 3 + pokes[i].key_len, row, pokes[i].row, 0);
    store_opts so = {.dir = w.dir, .read_only = true};
    assert_int_equal(store_open(w.x, &so, &w.info, &w.s), HDW_OK);
    assert_int_equal(store_check(w.s), HDW_E_CORRUPT); /* it has one row more than it says */
    store_close(w.s);
    assert_int_equal(open_state(&w), HDW_OK);
    switch (pokes[i].table) {
    case T_HELD: st = store_list_held(w.s, 0, NULL, 0, any_lane, NULL); break;
    case T_QUEUE:
      st = store_list_heads(w.s, 0, cod_cstr("s1"), NULL, 0, any_head, NULL);
      assert_int_equal(store_list_sink(w.s, 0, cod_cstr("s1"), 9, any_id, NULL), HDW_E_CORRUPT);
      break;
    case T_DEAD: st = store_list_dead(w.s, 0, SUBJECT_RUN, 0, 0, any_id, NULL); break;
    case T_TIMER: st = store_list_due(w.s, 0, INT64_MAX, 0, any_id, NULL, NULL); break;
    case T_EFFECT:
      st = store_list_effects(w.s, 0, 9, &w.a, any_effect, NULL);
      assert_int_equal(store_get_effect(w.s, 0, 9, cod_cstr("p"), &w.a, &(store_effect){0}), HDW_E_CORRUPT);
      break;
    case T_DEPLOYED: st = store_list_deploys(w.s, false, &w.a, any_deploy, NULL); break;
    case T_AUDIT:
      st = store_list_audit(w.s, 0, false, &w.a, any_audit, NULL);
      assert_int_equal(store_audit_over(w.s, INT64_MAX, 9, &until, h), HDW_E_CORRUPT);
      break;
    case T_INPUT: st = store_get_input(w.s, 0, 9, &w.a, &in); break;
    case T_RUN: st = store_get_run(w.s, 0, 9, &w.a, &run); break;
    case T_DELIVERY: st = store_get_delivery(w.s, 0, 9, &w.a, &d); break;
    case T_BY_PATIENT: st = store_list_inputs(w.s, 0, STORE_BY_PATIENT, cod_cstr("x"), 0, false, 0, any_id, NULL); break;
    default: st = store_list_runs(w.s, 0, RUN_DEAD, 0, 0, any_id, NULL); break;
    }
    if (st != HDW_E_CORRUPT) fail_msg("%zu: %s", i, hdw_status_text(st));
    store_close(w.s);
    w.s = NULL;
    end(&w);
  }
}

/* The page says of a row that it is longer than a page, than the map: nothing is read there. */
static void test_F1_a_row_that_claims_to_be_longer_than_the_map(void **state) {
  (void)state;
  static const uint32_t claims[] = {4097, 100u << 20, 0x7fffff00u, UINT32_MAX};
  static const uint8_t key[] = {0, 0, T_INPUT, 0, 0, 0, 0, 0, 0, 0, 9};
  for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
    world w;
    uint8_t row[8] = {1}, file[1 << 20];
    store_input in;
    unsigned found = 0;
    begin(&w);
    open_all(&w);
    settle(&w);
    close_all(&w);
    poke(w.mdb, key, sizeof key, row, sizeof row, 0);
    int fd = open(w.mdb, O_RDWR);
    ssize_t n = pread(fd, file, sizeof file, 0);
    for (ssize_t at = 8; at + (ssize_t)sizeof key < n; at++) /* a node: two halves of the row's length, flags, length of the key, the key */
      if (!memcmp(file + at, key, sizeof key) && file[at - 2] == sizeof key && file[at - 8] == sizeof row + 4) {
        assert_int_equal(pwrite(fd, &claims[i], 4, at - 8), 4);
        found++;
      }
    close(fd);
    assert_true(found > 0);
    store_opts so = {.dir = w.dir, .read_only = true};
    assert_int_equal(store_open(w.x, &so, &w.info, &w.s), HDW_OK);
    assert_int_equal(store_get_input(w.s, 0, 9, &w.a, &in), HDW_E_CORRUPT);
    assert_int_equal(store_check(w.s), HDW_E_CORRUPT);
    store_close(w.s);
    w.s = NULL;
    end(&w);
  }
}

/* ---- lists ---- */

typedef struct times {
  unsigned n, of;            /* called; stops after so many */
} times;
static bool stop(void *user) {
  times *t = (times *)user;
  return ++t->n < t->of;
}
static bool id_stop(uint16_t part, uint64_t id, uint8_t st, void *user) { return (void)part, (void)id, (void)st, stop(user); }
static bool lane_stop(uint16_t part, const uint8_t l[REC_LANE], uint64_t run, void *user) { return (void)part, (void)l, (void)run, stop(user); }
static bool head_stop(const uint8_t l[REC_LANE], uint64_t id, uint8_t st, void *user) { return (void)l, (void)id, (void)st, stop(user); }
static bool effect_stop(const store_effect *e, void *user) { return (void)e, stop(user); }
static bool deploy_stop(const store_deploy *d, void *user) { return (void)d, stop(user); }
static bool audit_stop(const rec_audit *r, cod_str bytes, void *user) { return (void)r, (void)bytes, stop(user); }
static bool sink_stop(cod_str sink, uint64_t depth, void *user) { return (void)sink, (void)depth, stop(user); }
static bool named_stop(cod_str key, cod_str value, void *user) { return (void)key, (void)value, stop(user); }

/* Three of each thing. */
static void three_of_each(world *w) {
  static const char *const keys[] = {"a", "b", "c"};
  for (unsigned i = 0; i < 3; i++) {
    uint64_t in = put_input(w, keys[i], keys[i], INPUT_ACCEPTED, 1, keys[i]), run = rec_run_id(in, 0);
    put_effect(w, REC_INTENT, w->seq ? rec_run_id(1, 0) : 0, keys[i], EFFECT_INTENT, "x");
    put_delivery(w, run, "s1", keys[i], "body");
    put_delivery(w, run, keys[i], keys[i], "body");
    put_state(w, run, RUN_WAITING, 1000 + (int64_t)i);
    settle(w);
    put_end(w, run, RUN_DEAD, "");
    put_named(w, "cursor", keys[i], "v");
    put_deploy(w, (uint8_t)(1 + i), keys[i], "bytes");
    put_audit(w, "call", 0, NULL);
    settle(w);
    put_state(w, run, RUN_WAITING, 1000 + (int64_t)i);
    settle(w);
  }
}

/* As many calls as were wanted, and the lists that begin behind something begin there. */
static void test_lists_end_when_they_are_told(void **state) {
  (void)state;
  for (int committed = 0; committed < 2; committed++)
    for (unsigned of = 1; of <= 4; of++) {
      world w;
      times t = {0, of};
      unsigned want = of < 3 ? of : 3;
      begin(&w);
      open_all(&w);
      three_of_each(&w);
      if (committed) assert_int_equal(store_flush(w.s), HDW_OK);
#define ENDS(call) \
  do { \
    t.n = 0; \
    assert_int_equal(call, HDW_OK); \
    if (t.n != want) fail_msg("%s: %u of %u", #call, t.n, want); \
  } while (0)
      ENDS(store_list_inputs(w.s, 0, STORE_BY_TIME, cod_cstr(""), 0, of % 2, 0, id_stop, &t));
      ENDS(store_list_inputs(w.s, 0, STORE_BY_SENDER, cod_cstr("LAB_A|HOSP"), 0, of % 2, 0, id_stop, &t));
      ENDS(store_list_inputs(w.s, 0, STORE_BY_PATIENT, cod_cstr("MRN1"), 0, of % 2, 0, id_stop, &t));
      ENDS(store_list_all(w.s, 0, SUBJECT_INPUT, 0, 9, id_stop, &t));
      ENDS(store_list_all(w.s, 0, SUBJECT_RUN, 0, 9, id_stop, &t));
      ENDS(store_list_effects(w.s, 0, rec_run_id(1, 0), &w.a, effect_stop, &t));
      ENDS(store_list_heads(w.s, 0, cod_cstr("s1"), NULL, 0, head_stop, &t));
      ENDS(store_list_sink(w.s, 0, cod_cstr("s1"), 9, id_stop, &t));
      ENDS(store_list_due(w.s, 0, INT64_MAX - 1, 0, id_stop, &t, NULL));
      ENDS(store_list_named(w.s, cod_cstr("cursor"), &w.a, named_stop, &t));
      ENDS(store_list_deploys(w.s, true, &w.a, deploy_stop, &t));
      ENDS(store_list_deploys(w.s, false, &w.a, deploy_stop, &t));
      ENDS(store_list_audit(w.s, 0, of % 2, &w.a, audit_stop, &t));
      t.n = 0;
      assert_int_equal(store_list_sinks(w.s, 0, &w.a, sink_stop, &t), HDW_OK);
      assert_int_equal(t.n, of); /* s1 and three others */
      /* At most so many, and behind the first. */
      t = (times){0, 9};
      assert_int_equal(store_list_sink(w.s, 0, cod_cstr("s1"), 2, id_stop, &t), HDW_OK);
      assert_int_equal(t.n, 2);
      t = (times){0, 9};
      assert_int_equal(store_list_heads(w.s, 0, cod_cstr("s1"), NULL, 2, head_stop, &t), HDW_OK);
      assert_int_equal(t.n, 2);
      t = (times){0, 9};
      assert_int_equal(store_list_audit(w.s, of % 2 ? 3 : 1, of % 2, &w.a, audit_stop, &t), HDW_OK);
      assert_int_equal(t.n, 2);
      t = (times){0, 9};
      int64_t next = 0;
      assert_int_equal(store_list_due(w.s, 0, 1001, 0, id_stop, &t, &next), HDW_OK);
      assert_true(t.n == 2 && next == 1002);
      assert_int_equal(store_list_inputs(w.s, 0, (store_index)77, cod_cstr(""), 0, false, 0, id_stop, &t), HDW_E_INVALID);
      store_input in;
      assert_int_equal(store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr(""), 0, &w.a, &in), HDW_E_NOTFOUND);
      end(&w);
    }
}

static bool keep_lane(uint16_t part, const uint8_t l[REC_LANE], uint64_t run, void *user) {
  (void)part, (void)run;
  memcpy(user, l, REC_LANE);
  return false;
}

/* Lanes that are held: page by page, each once. */
static void test_held_lanes_come_page_by_page(void **state) {
  (void)state;
  world w;
  uint8_t at[REC_LANE];
  store_counts n;
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 3; i++) {
    const char *const keys[] = {"a", "b", "c"};
    uint64_t in = put_input(&w, keys[i], keys[i], INPUT_ACCEPTED, 1, keys[i]);
    settle(&w);
    put_end(&w, rec_run_id(in, 0), RUN_FAILED, "");
    settle(&w);
  }
  store_get_counts(w.s, &n);
  assert_int_equal(n.held_lanes, 3);
  times t = {0, 9};
  assert_int_equal(store_list_held(w.s, 0, NULL, 2, lane_stop, &t), HDW_OK);
  assert_int_equal(t.n, 2);
  assert_int_equal(store_list_held(w.s, 0, NULL, 0, keep_lane, at), HDW_OK);
  t = (times){0, 9};
  assert_int_equal(store_list_held(w.s, 0, at, 0, lane_stop, &t), HDW_OK);
  assert_int_equal(t.n, 2);
  end(&w);
}

/* ---- what an operator asks of what has ended ---- */

static uint8_t run_state(world *w, uint64_t id) {
  store_run r;
  assert_int_equal(store_get_run(w->s, 0, id, &w->a, &r), HDW_OK);
  return r.state;
}
static uint8_t delivery_state(world *w, uint64_t id) {
  store_delivery d;
  assert_int_equal(store_get_delivery(w->s, 0, id, &w->a, &d), HDW_OK);
  return d.state;
}

static void test_actions_on_runs(void **state) {
  (void)state;
  static const struct { uint8_t before, action, after; } t[] = {
      {RUN_DONE, ACTION_REDRIVE, RUN_DONE},   {RUN_DONE, ACTION_DISCARD, RUN_DONE},      {RUN_FAILED, ACTION_REDRIVE, RUN_QUEUED}, {RUN_DEAD, ACTION_REDRIVE, RUN_QUEUED},  {RUN_FAILED, ACTION_DISCARD, RUN_DISCARDED},
      {RUN_DEAD, ACTION_DISCARD, RUN_DISCARDED}, {RUN_FAILED, ACTION_SKIP_LANE, RUN_FAILED}, {RUN_DEAD, ACTION_PAUSE, RUN_DEAD},     {RUN_DONE, ACTION_SKIP_LANE, RUN_DONE}};
  world w;
  begin(&w);
  open_all(&w);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    char name[20];
    snprintf(name, sizeof name, "run%zu", i);
    uint64_t id = rec_run_id(put_input(&w, name, name, INPUT_ACCEPTED, 1, name), 0);
    settle(&w);
    put_end(&w, id, t[i].before, "");
    settle(&w);
    put_action(&w, t[i].action, SUBJECT_RUN, id, "");
    settle(&w);
    if (run_state(&w, id) != t[i].after) fail_msg("%zu: %d", i, run_state(&w, id));
    if (t[i].after == RUN_DISCARDED) { /* it stays so */
      put_action(&w, ACTION_REDRIVE, SUBJECT_RUN, id, "");
      settle(&w);
      assert_int_equal(run_state(&w, id), RUN_DISCARDED);
    }
  }
  store_counts n;
  store_get_counts(w.s, &n);
  put_action(&w, ACTION_REDRIVE, SUBJECT_RUN, 1, ""); /* of a run that is not there */
  settle(&w);
  uint64_t orphans = n.orphans;
  store_get_counts(w.s, &n);
  assert_int_equal(n.orphans, orphans + 1);
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

static void test_actions_on_deliveries(void **state) {
  (void)state;
  static const struct { uint8_t before, action, after; } t[] = {
      {DELIVERY_DELIVERED, ACTION_REDRIVE, DELIVERY_DELIVERED}, {DELIVERY_DELIVERED, ACTION_DISCARD, DELIVERY_DELIVERED}, {DELIVERY_DEAD, ACTION_REDRIVE, DELIVERY_PENDING}, {DELIVERY_DEAD, ACTION_DISCARD, DELIVERY_DISCARDED},
      {DELIVERY_DEAD, ACTION_SKIP_LANE, DELIVERY_DEAD},         {DELIVERY_PARKED, ACTION_SKIP_LANE, DELIVERY_DEAD},       {DELIVERY_PARKED, ACTION_REDRIVE, DELIVERY_PENDING}, {DELIVERY_PENDING, ACTION_DISCARD, DELIVERY_DISCARDED},
      {DELIVERY_PARKED, ACTION_PAUSE, DELIVERY_PARKED},         {DELIVERY_DISCARDED, ACTION_REDRIVE, DELIVERY_PENDING},   {DELIVERY_DISCARDED, ACTION_DISCARD, DELIVERY_DISCARDED}};
  world w;
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "c", "c", INPUT_ACCEPTED, 1, NULL), 0);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    uint64_t id = put_delivery(&w, run, "s1", "k", "body");
    settle(&w);
    put_delivered(&w, id, t[i].before, 0);
    settle(&w);
    put_action(&w, t[i].action, SUBJECT_DELIVERY, id, "");
    settle(&w);
    if (delivery_state(&w, id) != t[i].after) fail_msg("%zu: %d", i, delivery_state(&w, id));
  }
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

/* ---- a state that the log has left behind ---- */

static void test_a_state_from_before_the_log_begins_is_made_again(void **state) {
  (void)state;
  world w;
  char old[120];
  begin(&w);
  snprintf(old, sizeof old, "%s/old.mdb", w.dir);
  open_all(&w);
  put_named(&w, "cursor", "k", "old");
  settle(&w);
  close_all(&w);
  copy_file(w.mdb, old);
  open_all(&w);
  log_roll(w.l);
  put_named(&w, "cursor", "k", "new");
  settle(&w);
  log_roll(w.l);
  put_named(&w, "cursor", "l", "newer");
  settle(&w);
  uint64_t dropped = 0;
  log_stats st;
  log_get_stats(w.l, &st);
  assert_int_equal(log_drop_before(w.l, st.synced_end.seg, &dropped), HDW_OK);
  assert_int_equal(dropped, 2);
  close_all(&w);
  copy_file(old, w.mdb);
  assert_int_equal(open_state(&w), HDW_OK);
  assert_true(w.info.rebuilt && w.info.behind);
  cod_str v;
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("l"), &w.a, &v), HDW_OK);
  assert_str(v, "newer");
  assert_true(w.info.skipped > 0); /* what was before is not there, and it is told */
  store_close(w.s);
  w.s = NULL;
  end(&w);
}

static void on_progress(uint64_t done, uint64_t total, void *user) {
  unsigned *n = (unsigned *)user;
  assert_true(done <= total && total > 0);
  (*n)++;
}

static void test_a_long_rebuild_tells_how_far_it_is(void **state) {
  (void)state;
  world w;
  unsigned told = 0;
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 9000; i++) {
    put_named(&w, "cursor", "k", i % 2 ? "v" : "w");
    if (i % 64 == 0) settle(&w);
  }
  settle(&w);
  close_all(&w);
  assert_int_equal(unlink(w.mdb), 0);
  store_opts so = {.dir = w.dir, .progress = on_progress, .progress_user = &told};
  assert_int_equal(store_open(w.x, &so, &w.info, &w.s), HDW_OK);
  assert_true(w.info.rebuilt && w.info.caught_up >= 9000);
  assert_int_equal(told, 2);
  store_close(w.s);
  w.s = NULL;
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_folders_that_cannot_be_used),
      cmocka_unit_test(test_the_key_of_the_indexes),
      cmocka_unit_test(test_impossible_claims_of_the_file_are_damage),
      cmocka_unit_test(test_a_state_in_doubt_is_made_again),
      cmocka_unit_test(test_a_state_of_another_format_or_with_a_short_head_is_made_again),
      cmocka_unit_test(test_keys_and_rows_that_do_not_read_are_damage),
      cmocka_unit_test(test_F1_a_row_that_claims_to_be_longer_than_the_map),
      cmocka_unit_test(test_lists_end_when_they_are_told),
      cmocka_unit_test(test_held_lanes_come_page_by_page),
      cmocka_unit_test(test_actions_on_runs),
      cmocka_unit_test(test_actions_on_deliveries),
      cmocka_unit_test(test_a_state_from_before_the_log_begins_is_made_again),
      cmocka_unit_test(test_a_long_rebuild_tells_how_far_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
