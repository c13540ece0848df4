/* Once-keys and sequence numbers: there exactly as long as they count, for as long the input that has them, and told when they contradict each other. */
#include "store_rig.h"
#include "store_int.h"

enum { SECOND = 1000000 };

static void once_hash(const char *name, uint8_t h[REC_LANE]) { rec_lane_hash(cod_cstr("once"), cod_cstr(name), h); }

/* An input with so many runs, each of which takes a key: the name and its number; the runs have ended. */
static uint64_t put_once(world *w, const char *control, const char *name, unsigned n, int64_t until_us, const char *sender) {
  static rec_input in;
  memset(&in, 0, sizeof in);
  in.source = cod_cstr("adt_in"), in.control_id = in.dedup_key = cod_cstr(control);
  in.verdict.state = INPUT_ACCEPTED, in.verdict.nruns = (uint8_t)n;
  in.sequence_key = cod_cstr(sender), in.sequence_next = sender[0] ? 7 : 0;
  for (unsigned i = 0; i < n; i++) {
    char key[40];
    snprintf(key, sizeof key, "%s%u", name, i);
    in.verdict.runs[i].workflow = cod_cstr("first");
    in.verdict.runs[i].flags = RUN_F_ONCE;
    in.verdict.runs[i].once_until_us = until_us;
    once_hash(key, in.verdict.runs[i].once);
  }
  cod_w m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_OK);
  uint64_t id = send(w, REC_INPUT, &m, "content");
  for (unsigned i = 0; i < n; i++) put_end(w, rec_run_id(id, i), RUN_DONE, "");
  settle(w);
  return id;
}

/* Rows of a space of named state. */
static bool one_more(cod_str key, cod_str value, void *user) { return (void)key, (void)value, ++*(unsigned *)user; }
static unsigned rows(world *w, const char *space) {
  unsigned n = 0;
  assert_int_equal(store_list_named(w->s, cod_cstr(space), &w->a, one_more, &n), HDW_OK);
  return n;
}

static hdw_status owner(world *w, const char *name, int64_t now_us, uint64_t *input) {
  uint8_t h[REC_LANE];
  once_hash(name, h);
  *input = 0;
  return store_get_once(w->s, h, now_us, input);
}

/* What may go at that time goes; how many inputs it was. */
static unsigned expire(world *w, int64_t until_us) {
  rec_expired items[200];
  uint32_t n;
  uint64_t next;
  unsigned inputs = 0;
  assert_int_equal(store_find_expired(w->s, 0, SUBJECT_INPUT, 0, until_us, 1000, items, 200, &n, &next), HDW_OK);
  for (uint32_t i = 0; i < n; i++) inputs += items[i].subject == SUBJECT_INPUT;
  cod_w m = out();
  assert_int_equal(rec_put_expire(&m, 0, items, n), HDW_OK);
  if (n) send(w, REC_EXPIRE, &m, "");
  settle(w);
  return inputs;
}

static void again_from_the_log(world *w) {
  uint8_t before[32], after[32];
  store_info info;
  hash(w, before);
  assert_int_equal(store_rebuild(w->s, &info), HDW_OK);
  hash(w, after);
  assert_memory_equal(before, after, 32);
  assert_int_equal(store_check(w->s), HDW_OK);
}

static void test_an_input_stays_as_long_as_one_of_its_keys_counts(void **state) {
  (void)state;
  static const unsigned keys[] = {1, 3, 5, REC_MAX_RUNS};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    world w;
    uint64_t in, id;
    begin(&w);
    open_all(&w);
    int64_t now = io_wall_us(w.x);
    id = put_once(&w, "C1", "key", keys[i], now + 10 * SECOND, "");
    put_once(&w, "C2", "other", 1, now + 1000 * SECOND, "");
    assert_int_equal(owner(&w, "key0", now, &in), HDW_OK);
    assert_int_equal(in, id);
    assert_int_equal(owner(&w, "key0", now + 10 * SECOND, &in), HDW_E_NOTFOUND); /* its time is over */
    assert_int_equal(expire(&w, now + 10 * SECOND), 0);
    assert_int_equal(rows(&w, "once"), keys[i] + 1);
    assert_int_equal(expire(&w, now + 10 * SECOND + 1), 1);
    assert_int_equal(owner(&w, "key0", now, &in), HDW_E_NOTFOUND);
    assert_int_equal(owner(&w, "other0", now, &in), HDW_OK);
    assert_true(rows(&w, "once") == 1 && rows(&w, "once.of") == 1 && rows(&w, "once.until") == 1);
    again_from_the_log(&w);
    end(&w);
  }
}

/* The sender's next number is known from its latest input: that one stays, those before may go. */
static void test_the_latest_input_of_a_sender_stays(void **state) {
  (void)state;
  world w;
  int64_t next;
  begin(&w);
  open_all(&w);
  int64_t later = io_wall_us(w.x) + 1000 * SECOND;
  put_once(&w, "C1", "", 0, 0, "LAB");
  put_once(&w, "C2", "", 0, 0, "LAB");
  assert_int_equal(rows(&w, "sequence.of"), 1);
  assert_int_equal(expire(&w, later), 1);
  assert_int_equal(expire(&w, later), 0);
  assert_int_equal(store_get_sequence(w.s, cod_cstr("LAB"), &next), HDW_OK);
  assert_int_equal(next, 7);
  assert_int_equal(store_get_sequence(w.s, cod_cstr("nobody"), &next), HDW_E_NOTFOUND);
  again_from_the_log(&w);
  end(&w);
}

/* Each new key takes up to four old ones with it, and none whose time is not over. */
static void test_old_keys_go_with_new_ones(void **state) {
  (void)state;
  world w;
  uint64_t in;
  begin(&w);
  open_all(&w);
  int64_t now = io_wall_us(w.x);
  put_once(&w, "C1", "old", 6, now + SECOND, "");
  put_once(&w, "C2", "long", 1, now + 1000 * SECOND, "");
  assert_int_equal(rows(&w, "once"), 7);
  io_sim_advance(w.x, 2 * SECOND);
  put_once(&w, "C3", "new", 1, now + 1000 * SECOND, "");
  assert_true(rows(&w, "once") == 4 && rows(&w, "once.until") == 4 && rows(&w, "once.of") == 4);
  put_once(&w, "C4", "new", 1, now + 1000 * SECOND, ""); /* from whoever had it */
  assert_true(rows(&w, "once") == 2 && rows(&w, "once.until") == 2 && rows(&w, "once.of") == 2);
  assert_int_equal(owner(&w, "long0", now, &in), HDW_OK);
  again_from_the_log(&w);
  end(&w);
}

static void test_the_longest_key_of_a_workflow_is_known(void **state) {
  (void)state;
  static const int64_t until[] = {50, 100, 70, 100}, longest[] = {50, 100, 100, 100};
  world w;
  begin(&w);
  open_all(&w);
  int64_t now = io_wall_us(w.x);
  for (unsigned i = 0; i < 4; i++) {
    char c[8];
    cod_str v;
    snprintf(c, sizeof c, "C%u", i);
    put_once(&w, c, c, 1, now + until[i] * SECOND, "");
    assert_int_equal(store_get_named(w.s, cod_cstr("once.last"), cod_cstr("first"), &w.a, &v), HDW_OK);
    cod_r r = cod_reader(v.p, v.len);
    assert_int_equal(cod_get_u64(&r), now + longest[i] * SECOND);
  }
  end(&w);
}

/* ---- rows that contradict each other ---- */

enum damage { KEY_OF_NOBODY, SHORT_KEY, SHORT_ROW, OLD_KEY_OF_NOBODY, SHORT_OLD_KEY, SHORT_SEQUENCE, DAMAGES };

/* Behind the back of the log, in memory only. */
static void harm(world *w, enum damage d, uint64_t input) {
  skey k;
  uint8_t h[REC_LANE], short_row[15] = {0};
  once_hash("nobody's", h);
  if (d == KEY_OF_NOBODY || d == SHORT_KEY) {
    key_named(&k, cod_cstr("once.of"));
    cod_put_be64(&k.w, input);
    cod_put_raw(&k.w, h, d == SHORT_KEY ? 5 : REC_LANE);
  } else if (d == OLD_KEY_OF_NOBODY || d == SHORT_OLD_KEY) {
    key_named(&k, cod_cstr("once.until"));
    cod_put_be64(&k.w, 1);
    cod_put_raw(&k.w, h, d == SHORT_OLD_KEY ? 5 : REC_LANE);
  } else if (d == SHORT_ROW) {
    once_hash("key0", h);
    key_named(&k, cod_cstr("once"));
    cod_put_raw(&k.w, h, REC_LANE);
  } else {
    key_named(&k, cod_cstr("sequence"));
    cod_put_raw(&k.w, "LAB", 3);
  }
  bool cut = d == SHORT_ROW || d == SHORT_SEQUENCE;
  assert_int_equal(store_put(w->s, &k, short_row, cut ? sizeof short_row : 0), HDW_OK);
}

/* It is told, by the record that meets it, and does not go on for ever; the log knows better. */
static void test_keys_that_contradict_each_other_are_damage(void **state) {
  (void)state;
  for (enum damage d = 0; d < DAMAGES; d++)
    for (int by_expiry = 0; by_expiry < 2; by_expiry++) {
      world w;
      uint64_t in;
      int64_t next;
      begin(&w);
      open_all(&w);
      int64_t now = io_wall_us(w.x);
      in = put_once(&w, "C1", "key", 1, now + SECOND, "");
      io_sim_advance(w.x, 10 * SECOND);
      bool of_input = d == KEY_OF_NOBODY || d == SHORT_KEY || d == SHORT_ROW, meets = by_expiry ? of_input : d != KEY_OF_NOBODY && d != SHORT_KEY;
      harm(&w, d, in);
      if (d == SHORT_ROW) assert_int_equal(owner(&w, "key0", now, &in), HDW_E_CORRUPT);
      if (d == SHORT_SEQUENCE) assert_int_equal(store_get_sequence(w.s, cod_cstr("LAB"), &next), HDW_E_CORRUPT);
      assert_int_equal(store_input_counts(w.s, 1, now + 5 * SECOND), of_input); /* what is not known stays */
      w.faulty = true;
      if (by_expiry) {
        const rec_expired items[] = {{SUBJECT_RUN, rec_run_id(1, 0)}, {SUBJECT_INPUT, 1}};
        cod_w m = out();
        assert_int_equal(rec_put_expire(&m, 0, items, 2), HDW_OK);
        send(&w, REC_EXPIRE, &m, "");
        settle(&w);
      } else put_once(&w, "C2", d == SHORT_ROW ? "key" : "new", 1, now + 1000 * SECOND, "LAB");
      if (w.s->failed != (meets ? HDW_E_CORRUPT : HDW_OK)) fail_msg("%d, %d: %s", d, by_expiry, hdw_status_text(w.s->failed));
      w.faulty = false;
      if (!meets) store_idle(w.s), w.s->pending = 0; /* the damage does not get into the file */
      close_all(&w);
      open_all(&w);
      assert_int_equal(w.info.applied_seq, w.seq);
      again_from_the_log(&w);
      assert_int_equal(owner(&w, "new0", now, &in), by_expiry || d == SHORT_ROW ? HDW_E_NOTFOUND : HDW_OK);
      end(&w);
    }
}

static void test_what_cannot_be_read_counts(void **state) {
  (void)state;
  world w;
  begin(&w);
  open_all(&w);
  assert_false(store_input_counts(w.s, 1, 1));
  w.s->failed = HDW_E_IO;
  assert_true(store_input_counts(w.s, 1, 1));
  w.s->failed = HDW_OK;
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_input_stays_as_long_as_one_of_its_keys_counts),
      cmocka_unit_test(test_the_latest_input_of_a_sender_stays),
      cmocka_unit_test(test_old_keys_go_with_new_ones),
      cmocka_unit_test(test_the_longest_key_of_a_workflow_is_known),
      cmocka_unit_test(test_keys_that_contradict_each_other_are_damage),
      cmocka_unit_test(test_what_cannot_be_read_counts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
