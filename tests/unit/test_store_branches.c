/* What the store does where nothing usual leads: keys that are none, memory that is not there, rows that rotted or name what is not there, numbers at their ends. */
#include <errno.h>
#include <lmdb.h>
#include "rows_rig.h"

static bool any_id(uint16_t part, uint64_t id, uint8_t st, void *user) { return (void)part, (void)id, (void)st, (void)user, true; }
static bool any_head(const uint8_t l[REC_LANE], uint64_t id, uint8_t st, void *user) { return (void)l, (void)id, (void)st, (void)user, true; }
static bool any_named(cod_str key, cod_str value, void *user) { return (void)key, (void)value, (void)user, true; }
static bool any_effect(const store_effect *e, void *user) { return (void)e, (void)user, true; }
static bool any_deploy(const store_deploy *d, void *user) { return (void)d, (void)user, true; }
static bool any_audit(const rec_audit *r, cod_str bytes, void *user) { return (void)r, (void)bytes, (void)user, true; }

/* A row that no record made, in the open store. */
static void row(world *w, const skey *k, const void *value, size_t len) {
  assert_int_equal(store_put(w->s, k, value, len), HDW_OK);
  w->s->pending++;
}

static void named_key(skey *k, const char *space, const void *key, size_t len) {
  key_named(k, cod_cstr(space));
  cod_put_raw(&k->w, key, len);
}

/* Until everything that was sent is applied, and no further: what was handed to the thread is with it still. */
static void apply_all(world *w) {
  while (store_applied(w->s) < w->seq) assert_int_equal(io_sim_step(w->x, 1), 1);
}

/* ---- the changes in memory ---- */

static void test_a_delta_takes_no_key_that_is_none(void **state) {
  (void)state;
  static uint8_t longer[UINT16_MAX + 1] = {0, 0, T_NAMED};
  test_mem t;
  delta d;
  test_mem_init(&t);
  delta_init(&d, &t.m, 1);
  assert_null(delta_put(&d, longer, 2, 1));
  assert_null(delta_put(&d, longer, sizeof longer, 1));
  assert_null(delta_put(&d, longer, 3, UINT32_MAX)); /* nor a value that long */
  assert_false(delta_del(&d, longer, 2));
  assert_false(delta_later(&d, longer, 2));
  assert_false(delta_later(&d, longer, sizeof longer));
  assert_int_equal(d.keys, 0);
  assert_null(delta_get(&d, longer, 2));
  assert_null(delta_from(&d, longer, 2));
  assert_null(delta_to(&d, longer, 2));
  assert_non_null(delta_put(&d, longer, UINT16_MAX, 1));
  assert_non_null(delta_get(&d, longer, UINT16_MAX));
  delta_free(&d);
  assert_int_equal(t.live_bytes, 0);
}

static void test_a_delta_without_memory_takes_the_same_later(void **state) {
  (void)state;
  static const uint8_t a[] = {0, 0, T_BY_SENDER, 1}, b[] = {0, 0, T_BY_SENDER, 2}, c[] = {0, 0, T_BY_SENDER, 3};
  test_mem t;
  delta d, other;
  test_mem_init(&t);
  delta_init(&d, &t.m, 1);
  delta_init(&other, &t.m, 2);
  t.fail_after = 0;
  assert_null(delta_put(&d, a, sizeof a, 1));
  t.fail_after = 0;
  assert_false(delta_later(&d, b, sizeof b)); /* no room for the list */
  t.fail_after = 1;
  assert_false(delta_later(&d, b, sizeof b)); /* none for the key */
  assert_int_equal(d.keys, 0);
  assert_non_null(delta_put(&d, a, sizeof a, 1));
  t.fail_after = 0;
  assert_null(delta_put(&d, c, sizeof c, 70000)); /* a block of its own */
  assert_true(delta_later(&d, b, sizeof b));
  t.fail_after = 0;
  assert_false(delta_link(&other, &d));
  assert_int_equal(d.nlater, 1);
  assert_true(delta_link(&other, &d));
  assert_non_null(delta_get(&other, b, sizeof b));
  assert_non_null(delta_put(&d, c, sizeof c, 70000));
  assert_int_equal(delta_get(&d, c, sizeof c)->value_len, 70000);
  delta_free(&d);
  delta_free(&other);
  assert_int_equal(t.live_bytes, 0);
}

/* Heights end, however the numbers fall: every 262144th node is of the greatest. */
static void test_a_delta_of_the_greatest_height_is_in_order(void **state) {
  (void)state;
  enum { N = 1 << 20, SPREAD = 7919 };
  test_mem t;
  delta d;
  unsigned highest = 0, n = 0;
  test_mem_init(&t);
  delta_init(&d, &t.m, 1);
  for (unsigned i = 0; i < N && highest < DELTA_HEIGHT; i++) {
    uint32_t v = i * SPREAD % N; /* each once */
    uint8_t key[6] = {0, 0, T_NAMED, (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    assert_non_null(delta_put(&d, key, sizeof key, 0));
    const delta_node *at = delta_get(&d, key, sizeof key);
    if (at->height > highest) highest = at->height;
  }
  assert_int_equal(highest, DELTA_HEIGHT);
  for (const delta_node *a = delta_first(&d, T_NAMED), *last = NULL; a; last = a, a = a->next[0], n++) assert_true(!last || memcmp(delta_key(last), delta_key(a), 6) < 0);
  assert_int_equal(n, d.keys);
  delta_free(&d);
  assert_int_equal(t.live_bytes, 0);
}

/* ---- keys and values ---- */

static void test_keys_that_are_too_long_are_in_no_table(void **state) {
  (void)state;
  world w;
  skey bad, good;
  sit i;
  cod_str v;
  char longer[STORE_KEY_MAX + 1] = {0};
  begin(&w);
  open_all(&w);
  put_named(&w, "cursor", "k", "v");
  settle(&w);
  named_key(&bad, "cursor", longer, sizeof longer);
  named_key(&good, "cursor", "", 0);
  assert_int_equal(store_put(w.s, &bad, "", 0), HDW_E_LIMIT);
  assert_int_equal(store_put_index(w.s, &bad), HDW_E_LIMIT);
  assert_int_equal(store_get(w.s, &bad, &v), HDW_E_NOTFOUND);
  assert_int_equal(store_del(w.s, &bad), HDW_OK);
  for (int k = 0; k < 3; k++) { /* as a prefix, and as where to begin: nothing is there, also when it is to go on elsewhere */
    sit_begin(&i, w.s, k == 1 ? &good : &bad, k ? &bad : NULL, k == 2);
    assert_false(sit_next(&i));
    sit_seek(&i, &good);
    assert_false(sit_next(&i));
    sit_end(&i);
    assert_int_equal(i.status, HDW_OK);
  }
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_bytes(longer, sizeof longer), &w.a, &v), HDW_E_NOTFOUND);
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("k"), &w.a, &v), HDW_OK);
  end(&w);
}

/* One key is the beginning of another, one is in memory and the other in the file: short before long, and back. */
static void test_keys_of_different_lengths_are_in_order(void **state) {
  (void)state;
  static const char *const keys[] = {"k", "kk", "kkk", "kkkk", "kkkkk"};
  for (unsigned in_file = 0; in_file < 32; in_file++) {
    world w;
    skey prefix;
    begin(&w);
    open_all(&w);
    for (unsigned i = 0; i < 10; i++) { /* first those of the file */
      if (!(in_file >> i % 5 & 1) == (i >= 5)) put_named(&w, "cursor", keys[i % 5], "v");
      settle(&w);
      if (i == 4) assert_int_equal(store_flush(w.s), HDW_OK);
    }
    key_named(&prefix, cod_cstr("cursor"));
    for (int desc = 0; desc < 2; desc++) {
      sit i;
      sit_begin(&i, w.s, &prefix, NULL, desc);
      for (size_t n = 1; n <= 5; n++) {
        assert_true(sit_next(&i));
        assert_int_equal(i.key.end - i.key.p, desc ? 6 - n : n);
      }
      assert_false(sit_next(&i));
      sit_end(&i);
    }
    end(&w);
  }
}

/* What LMDB says of a value is looked at before the value is. */
static void test_values_of_impossible_lengths_are_damage(void **state) {
  (void)state;
  world w;
  uint8_t page[64] = {0, 0, T_META};
  cod_str v;
  begin(&w);
  open_all(&w);
  const size_t lengths[] = {0, 3, w.s->map_bytes + 1, (size_t)UINT32_MAX + 1, SIZE_MAX};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    for (size_t at = 3; at < 64; at += 29) { /* in the page of its key, and in pages of its own */
      MDB_val k = {3, page}, mv = {lengths[i], page + at};
      assert_int_equal(store_value(w.s, &k, &mv, &v), HDW_E_CORRUPT);
    }
  end(&w);
}

/* One node has one partition: of the others nothing is known to be empty, and nothing of one is in another. */
static void test_partitions_are_apart(void **state) {
  (void)state;
  static const uint16_t parts[] = {0, 1, 256, 257};
  for (int committed = 0; committed < 2; committed++)
    for (int in = 0; in < 4; in++) {
      world w;
      skey k;
      cod_str v;
      begin(&w);
      open_all(&w);
      key_id(&k, parts[in], T_DELIVERY, 7);
      row(&w, &k, "x", 1);
      if (committed) assert_int_equal(store_flush(w.s), HDW_OK);
      for (int p = 0; p < 4; p++) {
        key_id(&k, parts[p], T_DELIVERY, 7);
        assert_int_equal(store_get(w.s, &k, &v), p == in ? HDW_OK : HDW_E_NOTFOUND);
        key_id(&k, parts[p], T_RUN, 7);
        assert_int_equal(store_get(w.s, &k, &v), HDW_E_NOTFOUND);
      }
      end(&w);
    }
}

/* A name may be nothing: its key is as long as that of the head, and counts. */
static void test_a_key_without_a_name_is_part_of_the_state(void **state) {
  (void)state;
  world w;
  uint8_t without[32], with[32];
  skey k;
  begin(&w);
  open_all(&w);
  hash(&w, without);
  skey_begin(&k, 0, T_CURRENT);
  row(&w, &k, "x", 1);
  hash(&w, with);
  assert_memory_not_equal(without, with, 32);
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

static void test_more_lists_at_once_than_cursors_are_kept(void **state) {
  (void)state;
  enum { LISTS = 7 };
  world w;
  sit i[LISTS];
  skey k;
  begin(&w);
  open_all(&w);
  put_named(&w, "cursor", "a", "1");
  put_named(&w, "cursor", "b", "2");
  settle(&w);
  assert_int_equal(store_flush(w.s), HDW_OK);
  key_named(&k, cod_cstr("cursor"));
  for (int again = 0; again < 2; again++) {
    for (int n = 0; n < LISTS; n++) {
      sit_begin(&i[n], w.s, &k, NULL, n % 2);
      assert_true(sit_next(&i[n]));
    }
    for (int n = 0; n < LISTS; n++) {
      assert_true(sit_next(&i[n]));
      assert_int_equal(i[n].key.p[0], n % 2 ? 'a' : 'b');
      assert_false(sit_next(&i[n]));
      sit_end(&i[n]);
    }
    assert_int_equal(w.s->nspare, sizeof w.s->spare / sizeof *w.s->spare);
  }
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

static void test_numbers_of_the_database_have_a_status(void **state) {
  (void)state;
  static const struct {
    int rc;
    hdw_status want;
  } t[] = {{0, HDW_OK}, {MDB_NOTFOUND, HDW_E_NOTFOUND}, {ENOENT, HDW_E_NOTFOUND}, {MDB_MAP_FULL, HDW_E_FULL}, {ENOSPC, HDW_E_FULL}, {EDQUOT, HDW_E_FULL}, {EFBIG, HDW_E_FULL}, {ENOMEM, HDW_E_NOMEM}, {EACCES, HDW_E_DENIED},
           {EROFS, HDW_E_DENIED}, {MDB_VERSION_MISMATCH, HDW_E_VERSION}, {MDB_CORRUPTED, HDW_E_CORRUPT}, {MDB_BAD_TXN, HDW_E_CORRUPT}, {EIO, HDW_E_IO}, {EINTR, HDW_E_IO}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) assert_int_equal(store_error(t[i].rc), t[i].want);
}

/* ---- rows that rotted, and rows that name what is not there ---- */

static void test_a_row_that_rotted_ends_its_list(void **state) {
  (void)state;
  world w;
  skey k;
  cod_str v;
  begin(&w);
  open_all(&w);
  put_named(&w, "cursor", "a", "1");
  put_named(&w, "cursor", "b", "2");
  settle(&w);
  close_all(&w);
  named_key(&k, "cursor", "b", 1);
  poke(w.mdb, k.b, k.w.len, "2", 1, 4);
  assert_int_equal(open_state(&w), HDW_OK);
  assert_int_equal(store_list_named(w.s, cod_cstr("cursor"), &w.a, any_named, NULL), HDW_E_CORRUPT);
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("b"), &w.a, &v), HDW_E_CORRUPT);
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("a"), &w.a, &v), HDW_OK);
  assert_int_equal(store_check(w.s), HDW_E_CORRUPT);
  store_close(w.s);
  w.s = NULL;
  end(&w);
}

/* Keys without partition and table: damage for the check, and nobody else finds anything there. */
static void test_keys_that_are_too_short_are_damage(void **state) {
  (void)state;
  for (size_t len = 1; len < 3; len++) {
    world w;
    store_run run;
    begin(&w);
    open_all(&w);
    close_all(&w);
    poke(w.mdb, "\1\1", len, "", 0, 0);
    assert_int_equal(open_state(&w), HDW_OK);
    assert_int_equal(store_get_run(w.s, 0, 7, &w.a, &run), HDW_E_NOTFOUND);
    assert_int_equal(store_check(w.s), HDW_E_CORRUPT);
    store_close(w.s);
    w.s = NULL;
    end(&w);
  }
}

static void test_a_duplicate_is_what_the_row_says(void **state) {
  (void)state;
  static const struct {
    const char *source, *key;
    size_t id, value; /* bytes behind the key, and of the row */
    hdw_status want;
  } t[] = {{"adt_in", "C1", 8, 2, HDW_OK},          {"adt_in", "other", 8, 2, HDW_E_NOTFOUND}, {"lab_in", "C1", 8, 2, HDW_E_NOTFOUND}, {"adt_in", "none", 0, 2, HDW_E_CORRUPT},
           {"adt_in", "none", 7, 2, HDW_E_CORRUPT}, {"adt_in", "none", 9, 2, HDW_E_CORRUPT},   {"adt_in", "none", 8, 1, HDW_E_CORRUPT}, {"adt_in", "none", 8, 3, HDW_E_CORRUPT}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    world w;
    skey k;
    uint8_t id[16] = {0}, value[8] = {0};
    store_input in;
    begin(&w);
    open_all(&w);
    id[7] = (uint8_t)put_input(&w, "C1", "content", INPUT_ACCEPTED, 0, NULL);
    settle(&w);
    key_dedup(w.s, &k, cod_cstr(t[i].source), cod_cstr(t[i].key)); /* as if another key had the same hash */
    cod_put_raw(&k.w, id, t[i].id);
    row(&w, &k, value, t[i].value);
    assert_int_equal(store_find_duplicate(w.s, cod_cstr(t[i].source), cod_cstr(t[i].key), 0, &w.a, &in), t[i].want);
    end(&w);
  }
}

static void test_the_duplicate_before_an_input(void **state) {
  (void)state;
  world w;
  store_input in;
  uint64_t id[3];
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 3; i++) {
    id[i] = put_input(&w, "C1", "content", INPUT_ACCEPTED, 0, NULL);
    settle(&w);
  }
  for (unsigned i = 0; i < 4; i++) { /* 3: of all */
    hdw_status st = store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr("C1"), i < 3 ? id[i] : 0, &w.a, &in);
    assert_int_equal(st, i ? HDW_OK : HDW_E_NOTFOUND);
    if (i) assert_int_equal(in.id, id[i - 1]);
  }
  end(&w);
}

typedef struct lanes {
  unsigned n;
  uint8_t h[8][REC_LANE];
} lanes;
static bool keep_lane(const uint8_t l[REC_LANE], uint64_t id, uint8_t st, void *user) {
  lanes *t = (lanes *)user;
  (void)id, (void)st;
  memcpy(t->h[t->n++], l, REC_LANE);
  return true;
}

static void test_heads_go_on_behind_a_lane(void **state) {
  (void)state;
  static const char *const keys[] = {"a", "b", "c", "d"};
  world w;
  lanes all = {0};
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "C", "c", INPUT_ACCEPTED, 1, NULL), 0);
  for (unsigned i = 0; i < 8; i++) put_delivery(&w, run, "s1", keys[i % 4], "body");
  settle(&w);
  assert_int_equal(store_list_heads(w.s, 0, cod_cstr("s1"), NULL, 0, keep_lane, &all), HDW_OK);
  assert_int_equal(all.n, 4);
  for (unsigned i = 0; i < 4; i++) {
    lanes rest = {0};
    assert_int_equal(store_list_heads(w.s, 0, cod_cstr("s1"), all.h[i], 0, keep_lane, &rest), HDW_OK);
    assert_int_equal(rest.n, 3 - i);
    if (rest.n) assert_memory_equal(rest.h, all.h[i + 1], rest.n * REC_LANE);
  }
  end(&w);
}

static void test_a_lane_whose_first_run_is_not_there(void **state) {
  (void)state;
  world w;
  skey k;
  uint8_t h[REC_LANE], st = 77;
  uint64_t run;
  begin(&w);
  open_all(&w);
  lane("l", h);
  skey_begin(&k, 0, T_LANE);
  cod_put_raw(&k.w, h, REC_LANE);
  cod_put_be64(&k.w, 4711);
  row(&w, &k, NULL, 0);
  assert_int_equal(store_lane_head(w.s, 0, h, &run, NULL), HDW_OK);
  assert_int_equal(run, 4711);
  assert_int_equal(store_lane_head(w.s, 0, h, &run, &st), HDW_E_NOTFOUND);
  key_id(&k, 0, T_RUN, 4711);
  row(&w, &k, "x", 1);
  assert_int_equal(store_lane_head(w.s, 0, h, &run, &st), HDW_E_CORRUPT);
  assert_int_equal(st, 77);
  end(&w);
}

/* ---- the depth of sinks ---- */

static void test_the_oldest_of_a_sink_over_all_lanes(void **state) {
  (void)state;
  static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"}; /* whose hashes are in no order */
  world w;
  store_delivery d;
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "C", "c", INPUT_ACCEPTED, 1, NULL), 0), first = 0;
  for (unsigned i = 0; i < 8; i++) {
    uint64_t id = put_delivery(&w, run, "s1", keys[i], "body");
    if (!first) first = id;
    settle(&w);
  }
  assert_int_equal(store_get_delivery(w.s, 0, first, &w.a, &d), HDW_OK);
  assert_int_equal(store_oldest_us(w.s, 0, cod_cstr("s1"), 99), d.created_us);
  assert_int_equal(store_oldest_us(w.s, 0, cod_cstr("s2"), 99), 0);
  end(&w);
}

/* A number without a queue, a queue that does not read, a delivery that is not there, one that does not read: no age is made up. */
static void test_the_oldest_of_a_damaged_queue_is_not_known(void **state) {
  (void)state;
  for (int kind = 0; kind < 5; kind++) {
    world w;
    skey k;
    uint8_t h[REC_LANE];
    begin(&w);
    open_all(&w);
    skey_begin(&k, 0, T_DEPTH);
    cod_put_raw(&k.w, "s1", 2);
    row(&w, &k, "\1", 1);
    lane("l", h);
    key_queue(&k, 0, cod_cstr("s1"));
    cod_put_raw(&k.w, h, kind == 1 ? 3 : REC_LANE);
    if (kind != 1) cod_put_be64(&k.w, 9);
    if (kind) row(&w, &k, "\1", kind == 4 ? 0 : 1);
    key_id(&k, 0, T_DELIVERY, 9);
    if (kind == 3) row(&w, &k, "x", 1);
    assert_int_equal(store_list_heads(w.s, 0, cod_cstr("s1"), NULL, 0, any_head, NULL), kind == 1 || kind == 4 ? HDW_E_CORRUPT : HDW_OK);
    assert_int_equal(store_depth(w.s, 0, cod_cstr("s1")), 1);
    assert_int_equal(store_oldest_us(w.s, 0, cod_cstr("s1"), 9), 0);
    end(&w);
  }
}

/* ---- without memory ---- */

/* So many bytes are left of the arena, and no more memory. */
static void leave(world *w, size_t room) {
  w->t.fail_after = -1;
  arena_reset(&w->a);
  assert_non_null(arena_alloc(&w->a, 1));
  size_t left = (size_t)(w->a.end - w->a.cur);
  assert_true(left > room);
  assert_non_null(arena_alloc(&w->a, (left - room) / 16 * 16));
  w->t.fail_after = 0, w->t.fail_more = 1 << 20;
}

static void test_lists_without_memory_say_so(void **state) {
  (void)state;
  enum { CALLS = 7 };
  unsigned good[CALLS] = {0}, bad[CALLS] = {0};
  world w;
  begin(&w);
  open_all(&w);
  uint64_t run = rec_run_id(put_input(&w, "C", "c", INPUT_ACCEPTED, 1, NULL), 0);
  put_effect(&w, REC_INTENT, run, "3.1.the path of an effect is as long as its program is deep", EFFECT_INTENT, "x");
  put_named(&w, "cursor", "a key of named state that takes some room", "a value that takes some room, too");
  put_deploy(&w, 3, "name", "bytes");
  put_audit(&w, "call", 0, NULL);
  settle(&w);
  for (size_t room = 0; room < 640; room += 16) {
    const cod_str path = cod_cstr("3.1.the path of an effect is as long as its program is deep"), key = cod_cstr("a key of named state that takes some room");
    store_effect e;
    store_deploy d;
    cod_str v;
    for (int call = 0; call < CALLS; call++) {
      leave(&w, room);
      hdw_status st = HDW_OK;
      switch (call) {
      case 0: st = store_list_audit(w.s, 0, false, &w.a, any_audit, NULL); break;
      case 1: st = store_get_effect(w.s, 0, run, path, &w.a, &e); break;
      case 2: st = store_list_effects(w.s, 0, run, &w.a, any_effect, NULL); break;
      case 3: st = store_list_named(w.s, cod_cstr("cursor"), &w.a, any_named, NULL); break;
      case 4: st = store_list_deploys(w.s, false, &w.a, any_deploy, NULL); break;
      case 5: st = store_get_named(w.s, cod_cstr("cursor"), key, &w.a, &v); break;
      default: st = store_get_deploy(w.s, NULL, cod_cstr("name"), &w.a, &d); break;
      }
      if (st) assert_int_equal(st, HDW_E_NOMEM);
      if (st && good[call]) fail_msg("%d: there was room before", call);
      (st ? bad : good)[call]++;
    }
  }
  w.t.fail_after = -1, w.t.fail_more = 0;
  for (int call = 0; call < CALLS; call++) assert_true(good[call] && bad[call]);
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

/* Keys of an index are put in order when somebody looks; the thread has them at that time. */
static void test_an_index_without_memory_is_in_order_later(void **state) {
  (void)state;
  world w;
  skey k;
  cod_str v;
  ids l = {.n = 0};
  begin(&w);
  w.commit_records = 1;
  open_all(&w);
  w.s->side.mem = &w.t.m;
  uint64_t id = put_input(&w, "C1", "content", INPUT_ACCEPTED, 0, NULL);
  apply_all(&w);
  assert_true(w.s->handed && w.s->then->nlater > 0);
  w.t.fail_after = 0, w.t.fail_more = 3;
  key_hashed(w.s, &k, 0, T_BY_CONTROL, cod_cstr("C1"));
  cod_put_be64(&k.w, id);
  assert_int_equal(store_get(w.s, &k, &v), HDW_E_NOMEM);
  assert_int_equal(store_del(w.s, &k), HDW_E_NOMEM);
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_CONTROL_ID, cod_cstr("C1"), 0, false, 0, any_id, NULL), HDW_E_NOMEM);
  w.t.fail_after = -1, w.t.fail_more = 0;
  assert_int_equal(store_get(w.s, &k, &v), HDW_OK);
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_CONTROL_ID, cod_cstr("C1"), 0, false, 0, take, &l), HDW_OK);
  assert_true(l.n == 1 && l.id[0] == id);
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_delta_takes_no_key_that_is_none),
      cmocka_unit_test(test_a_delta_without_memory_takes_the_same_later),
      cmocka_unit_test(test_a_delta_of_the_greatest_height_is_in_order),
      cmocka_unit_test(test_keys_that_are_too_long_are_in_no_table),
      cmocka_unit_test(test_keys_of_different_lengths_are_in_order),
      cmocka_unit_test(test_values_of_impossible_lengths_are_damage),
      cmocka_unit_test(test_partitions_are_apart),
      cmocka_unit_test(test_a_key_without_a_name_is_part_of_the_state),
      cmocka_unit_test(test_more_lists_at_once_than_cursors_are_kept),
      cmocka_unit_test(test_numbers_of_the_database_have_a_status),
      cmocka_unit_test(test_a_row_that_rotted_ends_its_list),
      cmocka_unit_test(test_keys_that_are_too_short_are_damage),
      cmocka_unit_test(test_a_duplicate_is_what_the_row_says),
      cmocka_unit_test(test_the_duplicate_before_an_input),
      cmocka_unit_test(test_heads_go_on_behind_a_lane),
      cmocka_unit_test(test_a_lane_whose_first_run_is_not_there),
      cmocka_unit_test(test_the_oldest_of_a_sink_over_all_lanes),
      cmocka_unit_test(test_the_oldest_of_a_damaged_queue_is_not_known),
      cmocka_unit_test(test_lists_without_memory_say_so),
      cmocka_unit_test(test_an_index_without_memory_is_in_order_later),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
