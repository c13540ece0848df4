/* The store's changes in memory: in order, seen by every reading at once, committed by a thread behind. */
#include "store_rig.h"
#include "io_linux.h"
#include "store_int.h"

/* ---- a delta against a list ---- */

enum { KEYS = 400 };

typedef struct model {
  bool there[KEYS];
  unsigned value[KEYS];
} model;

/* Keys of three tables, in the order of their numbers. */
static size_t model_key(unsigned n, uint8_t key[8]) {
  key[0] = key[1] = 0;
  key[2] = (uint8_t)(10 + n / 150);
  key[3] = (uint8_t)(n % 150 / 10);
  key[4] = (uint8_t)('a' + n % 10);
  return n % 10 ? 5 : 4; /* one is the prefix of those behind it */
}

static void assert_node(const delta_node *n, unsigned key) {
  uint8_t k[8];
  size_t len = model_key(key, k);
  assert_non_null(n);
  assert_int_equal(n->key_len, len);
  assert_memory_equal(delta_key(n), k, len);
}

static unsigned table_end(unsigned n) { return n / 150 * 150 + 150 < KEYS ? n / 150 * 150 + 150 : KEYS; }

static void test_delta_is_a_sorted_list(void **state) {
  (void)state;
  test_mem t;
  delta d;
  static uint8_t known[KEYS]; /* 0 = never named, 1 = there, 2 = gone */
  test_mem_init(&t);
  for (unsigned seed = 1; seed <= 5; seed++) {
    delta_init(&d, &t.m, seed);
    memset(known, 0, sizeof known);
    srand(seed);
    for (unsigned i = 0; i < 2000; i++) {
      uint8_t k[8];
      unsigned n = (unsigned)rand() % KEYS;
      size_t len = model_key(n, k);
      if (rand() % 3) {
        uint8_t *p = delta_put(&d, k, len, (size_t)(1 + rand() % 40));
        assert_non_null(p);
        p[0] = (uint8_t)n;
        known[n] = 1;
      } else {
        assert_true(delta_del(&d, k, len));
        known[n] = 2;
      }
      if (i % 50) continue;
      for (n = 0; n < KEYS; n++) {
        unsigned from = n, to = n + 1;
        len = model_key(n, k);
        const delta_node *got = delta_get(&d, k, len);
        if (!known[n]) assert_null(got);
        else if (known[n] == 2) assert_true(got && delta_gone(got));
        else assert_true(got && !delta_gone(got) && got->value[0] == (uint8_t)n);
        while (from < table_end(n) && !known[from]) from++;
        if (from == table_end(n)) assert_null(delta_from(&d, k, len));
        else assert_node(delta_from(&d, k, len), from);
        while (to > n / 150 * 150 && !known[to - 1]) to--;
        if (to == n / 150 * 150) assert_null(delta_to(&d, k, len));
        else assert_node(delta_to(&d, k, len), to - 1);
      }
    }
    size_t keys = 0, first = 0;
    for (unsigned n = 0; n < KEYS; n++) keys += known[n] != 0;
    assert_int_equal(d.keys, keys);
    for (unsigned table = 10; table < 13; table++)
      for (const delta_node *n = delta_first(&d, table), *before = NULL; n; before = n, n = n->next[0], first++) assert_ptr_equal(n->prev, before);
    assert_int_equal(first, keys);
    delta_free(&d);
  }
  assert_int_equal(t.live_bytes, 0);
}

static void test_delta_keys_in_no_order(void **state) {
  (void)state;
  test_mem t;
  delta d, other;
  uint8_t k[8];
  size_t n;
  test_mem_init(&t);
  delta_init(&d, &t.m, 1);
  delta_init(&other, &t.m, 2);
  for (unsigned i = 0; i < 3000; i++) {
    uint8_t key[7] = {0, 0, T_BY_PATIENT, (uint8_t)(i * 7919 >> 8), (uint8_t)(i * 7919), (uint8_t)(i >> 8), (uint8_t)i};
    assert_true(delta_later(&d, key, sizeof key));
  }
  assert_false(delta_later(&d, k, 2));
  assert_null(delta_first(&d, T_BY_PATIENT));
  const delta_node **p = delta_sorted(&d, &n);
  assert_int_equal(n, 3000);
  for (size_t i = 1; i < n; i++) assert_true(memcmp(delta_key(p[i - 1]), delta_key(p[i]), 7) < 0);
  assert_true(delta_link(&other, &d)); /* they stay */
  assert_int_equal(d.nlater, 3000);
  assert_true(delta_link(&d, &d));
  assert_int_equal(d.nlater, 0);
  const delta_node *a = delta_first(&d, T_BY_PATIENT), *b = delta_first(&other, T_BY_PATIENT);
  for (n = 0; a && b; n++, a = a->next[0], b = b->next[0]) {
    assert_memory_equal(delta_key(a), delta_key(b), 7);
    assert_false(delta_gone(a));
    assert_int_equal(a->value_len, 0);
  }
  assert_int_equal(n, 3000);
  delta_free(&d);
  delta_free(&other);
  assert_int_equal(t.live_bytes, 0);
}

/* ---- three layers as one ---- */

static void put_key(skey *k, unsigned n, bool index) {
  skey_begin(k, 0, index ? T_BY_SENDER : T_NAMED);
  cod_put_u8(&k->w, (uint8_t)(n / 50));
  cod_put_be64(&k->w, n);
}

static void assert_all(store *s, const model *m, bool index) {
  for (unsigned desc = 0; desc < 2; desc++)
    for (unsigned group = 0; group < KEYS / 50; group++) {
      skey prefix, from;
      sit i HDW_UNSET;
      unsigned start = (unsigned)rand() % 50, n;
      skey_begin(&prefix, 0, index ? T_BY_SENDER : T_NAMED);
      cod_put_u8(&prefix.w, (uint8_t)group);
      put_key(&from, group * 50 + start, index);
      bool whole = rand() % 2;
      sit_begin(&i, s, &prefix, whole ? NULL : &from, desc);
      if (whole) start = desc ? 49 : 0;
      for (n = start; n < 50; n = desc ? n - 1 : n + 1) {
        if (!m->there[group * 50 + n]) continue;
        assert_true(sit_next(&i));
        assert_int_equal(cod_get_be64(&i.key), group * 50 + n);
        if (!index) assert_int_equal((uint8_t)i.value.p[0], (uint8_t)m->value[group * 50 + n]);
      }
      assert_false(sit_next(&i));
      sit_end(&i);
      assert_int_equal(i.status, HDW_OK);
    }
  for (unsigned n = 0; n < KEYS; n++) {
    skey k;
    cod_str v;
    put_key(&k, n, index);
    assert_int_equal(store_get(s, &k, &v), m->there[n] ? HDW_OK : HDW_E_NOTFOUND);
  }
}

static void test_readings_see_every_change(void **state) {
  (void)state;
  for (unsigned seed = 1; seed <= 6; seed++) {
    world w;
    static model m[2];
    unsigned handed = 0;
    memset(m, 0, sizeof m);
    begin(&w);
    w.commit_records = 40;
    w.map_bytes = 128 * 1024;
    open_all(&w);
    srand(seed);
    for (unsigned i = 0; i < 2000; i++) {
      unsigned n = (unsigned)rand() % KEYS, index = rand() % 4 == 0;
      skey k;
      put_key(&k, n, index);
      if (index && !m[1].there[n] && rand() % 4) assert_int_equal(store_put_index(w.s, &k), HDW_OK), m[1].there[n] = true;
      else if (!index && rand() % 3) {
        uint8_t row[120] = {(uint8_t)i};
        assert_int_equal(store_put(w.s, &k, row, sizeof row), HDW_OK);
        m[0].there[n] = true, m[0].value[n] = i;
      } else if (index ? m[1].there[n] : true) assert_int_equal(store_del(w.s, &k), HDW_OK), m[index].there[n] = false;
      w.s->pending++;
      assert_int_equal(store_pace(w.s), HDW_OK);
      if (rand() % 5 == 0) io_sim_step(w.x, 1);
      if (rand() % 400 == 0) assert_int_equal(store_flush(w.s), HDW_OK);
      handed += w.s->handed;
      if (i % 20) continue;
      assert_all(w.s, &m[0], false);
      assert_all(w.s, &m[1], true);
    }
    assert_true(handed > 200);
    assert_int_equal(store_check(w.s), HDW_OK);
    assert_all(w.s, &m[0], false);
    assert_all(w.s, &m[1], true);
    end(&w);
  }
}

/* ---- records whose commit has not ended ---- */

/* Everything that was applied is found, whether its commit has not begun, is under way or has ended. */
static void test_found_before_the_commit(void **state) {
  (void)state;
  for (unsigned when = 0; when < 3; when++) {
    world w;
    store_input in;
    store_run run;
    ids l = {.n = 0};
    begin(&w);
    w.commit_records = when == 1 ? 1 : 0;
    open_all(&w);
    uint64_t committed = store_committed(w.s);
    uint64_t id = put_input(&w, "MSG1", "content", INPUT_RUNNING, 1, "lane");
    while (store_applied(w.s) < id) assert_int_equal(io_sim_step(w.x, 1), 1);
    if (when == 2) assert_int_equal(store_flush(w.s), HDW_OK);
    assert_int_equal(w.s->handed, when == 1);
    assert_int_equal(store_committed(w.s), when == 2 ? id : committed);
    /* The same message again, its run not ended: what joins needs. */
    assert_int_equal(store_find_duplicate(w.s, cod_cstr("adt_in"), cod_cstr("MSG1"), 0, &w.a, &in), HDW_OK);
    assert_int_equal(in.id, id);
    assert_int_equal(in.state, INPUT_RUNNING);
    assert_int_equal(store_list_runs_of_input(w.s, 0, id, take, &l), HDW_OK);
    assert_int_equal(l.n, 1);
    assert_int_equal(store_get_run(w.s, 0, l.id[0], &w.a, &run), HDW_OK);
    assert_int_equal(run.state, RUN_QUEUED);
    uint8_t h[REC_LANE];
    uint64_t head;
    lane("lane", h);
    assert_int_equal(store_lane_head(w.s, 0, h, &head, NULL), HDW_OK);
    assert_int_equal(head, run.id);
    /* What an operator looks for. */
    static const char *const keys[] = {"", "MSG1", "LAB_A|HOSP", "MRN2"};
    for (unsigned by = 0; by < 4; by++) {
      l.n = 0;
      assert_int_equal(store_list_inputs(w.s, 0, (store_index)by, cod_cstr(keys[by]), 0, by % 2, 0, take, &l), HDW_OK);
      assert_int_equal(l.n, 1);
      assert_int_equal(l.id[0], id);
    }
    put_end(&w, run.id, RUN_DONE, "value");
    settle(&w);
    assert_int_equal(store_get_run(w.s, 0, run.id, &w.a, &run), HDW_OK);
    assert_int_equal(run.state, RUN_DONE);
    assert_int_equal(store_lane_head(w.s, 0, h, &head, NULL), HDW_E_NOTFOUND);
    end(&w);
  }
}

/* The index by patient is made of parts: found in both directions, over parts where the patient is not, and gone when the input goes. */
static void test_patients_over_epochs(void **state) {
  (void)state;
  enum { N = 60, PATIENTS = 7 };
  world w;
  begin(&w);
  open_all(&w);
  uint64_t id[N];
  unsigned who[N];
  srand(11);
  for (unsigned i = 0; i < N; i++) {
    skey k;
    uint8_t hash[STORE_SIP];
    char name[16];
    who[i] = (unsigned)rand() % PATIENTS;
    id[i] = (i ? id[i - 1] : 0) + 1 + (uint64_t)(rand() % 60000); /* some epochs have nothing */
    snprintf(name, sizeof name, "P%u", who[i]);
    cod_siphash128(w.s->hash_key, name, strlen(name), hash);
    key_patient(&k, 0, hash, id[i]);
    assert_int_equal(store_put_index(w.s, &k), HDW_OK);
    w.s->pending++;
    if (i == 20 || i == 40) assert_int_equal(store_flush(w.s), HDW_OK);
  }
  for (unsigned p = 0; p <= PATIENTS; p++)
    for (unsigned desc = 0; desc < 2; desc++)
      for (unsigned at = 0; at <= N; at++) {
        uint64_t after = at == N ? 0 : id[at] + (uint64_t)(rand() % 3) - 1;
        char name[16];
        ids l = {.n = 0};
        unsigned n = 0;
        snprintf(name, sizeof name, "P%u", p);
        assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_PATIENT, cod_cstr(name), after, desc, 0, take, &l), HDW_OK);
        for (unsigned j = 0; j < N; j++) {
          unsigned i = desc ? N - 1 - j : j;
          if (who[i] != p || (after && (desc ? id[i] >= after : id[i] <= after))) continue;
          assert_true(n < l.n);
          assert_int_equal(l.id[n++], id[i]);
        }
        assert_int_equal(l.n, n);
      }
  ids two = {.n = 0};
  assert_int_equal(store_list_inputs(w.s, 0, STORE_BY_PATIENT, cod_cstr("P1"), 0, true, 2, take, &two), HDW_OK);
  assert_int_equal(two.n, 2);
  end(&w);
}

/* The process ends with records that are synced and not in the file: also with a commit under way. */
static void test_crash_between_sync_and_commit(void **state) {
  (void)state;
  for (unsigned seed = 1; seed <= 4; seed++) {
    world w;
    char old[100], cmd[220];
    uint8_t before[32], after[32];
    begin(&w);
    w.commit_records = seed * 30;
    open_all(&w);
    live(&w, seed, 400);
    snprintf(old, sizeof old, "%s.old", w.mdb);
    snprintf(cmd, sizeof cmd, "cp %s %s", w.mdb, old);
    uint64_t committed = store_committed(w.s);
    assert_true(committed < store_applied(w.s));
    assert_int_equal(system(cmd), 0);
    close_all(&w);
    open_all(&w);
    hash(&w, before);
    close_all(&w);
    assert_int_equal(rename(old, w.mdb), 0);
    open_all(&w);
    assert_false(w.info.rebuilt);
    assert_int_equal(w.info.applied_seq, w.seq);
    assert_int_equal(w.info.caught_up, w.seq - committed);
    hash(&w, after);
    assert_memory_equal(before, after, 32);
    end(&w);
  }
}

/* However much comes, what is not in the file stays within limits. */
static void test_falling_behind_waits(void **state) {
  (void)state;
  world w;
  static uint8_t big[1 << 20];
  size_t most = 0;
  begin(&w);
  open_all(&w);
  for (unsigned i = 0; i < 100; i++) {
    skey k;
    skey_begin(&k, 0, T_NAMED);
    cod_put_be64(&k.w, i);
    memset(big, (int)i, sizeof big);
    assert_int_equal(store_put(w.s, &k, big, sizeof big), HDW_OK);
    w.s->pending++;
    assert_int_equal(store_pace(w.s), HDW_OK); /* the loop never turns */
    size_t used = w.s->now->used_bytes + w.s->then->used_bytes;
    if (used > most) most = used;
  }
  assert_in_range(most, 16 << 20, 34 << 20);
  for (unsigned i = 0; i < 100; i++) {
    skey k;
    cod_str v;
    skey_begin(&k, 0, T_NAMED);
    cod_put_be64(&k.w, i);
    assert_int_equal(store_get(w.s, &k, &v), HDW_OK);
    assert_int_equal(v.len, sizeof big);
    assert_int_equal((uint8_t)v.p[77], i);
  }
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

/* ---- with threads ---- */

typedef struct threads {
  world w;
  io_timer more;
  unsigned left;
} threads;

static void some_more(void *user) {
  threads *t = (threads *)user;
  world *w = &t->w;
  ids l = {.n = 0};
  char c[32];
  for (unsigned i = 0; i < 40; i++) {
    snprintf(c, sizeof c, "C%u", t->left * 100 + i);
    uint64_t in = put_input(w, c, c, INPUT_ACCEPTED, 1, i % 4 ? NULL : "lane");
    if (i % 3) put_end(w, rec_run_id(in, 0), RUN_DONE, c);
    put_delivery(w, rec_run_id(in, 0), "sink", c, c);
    if (i % 5 == 0) put_delivered(w, in > 20 ? in - 17 : 1, DELIVERY_DELIVERED, 0);
  }
  assert_int_equal(store_list_inputs(w->s, 0, STORE_BY_PATIENT, cod_cstr("MRN1"), 0, true, 20, take, &l), HDW_OK);
  for (unsigned i = 0; i < l.n; i++) {
    store_input in;
    assert_int_equal(store_get_input(w->s, 0, l.id[i], &w->a, &in), HDW_OK);
  }
  assert_true(store_depth(w->s, 0, cod_cstr("sink")) > 0 || !store_applied(w->s));
  arena_reset(&w->a);
  if (--t->left) io_timer_set(w->x, &t->more, t->left % 3 ? 0 : 1500, some_more, t);
  else io_stop(w->x);
}

static void test_thread_and_loop(void **state) {
  (void)state;
  threads t = {.left = 100};
  world *w = &t.w;
  uint8_t before[32], after[32];
  store_info info;
  log_open_info li;
  test_mem_init(&w->t);
  snprintf(w->dir, sizeof w->dir, "/tmp/hdw-store-XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  snprintf(w->log, sizeof w->log, "%s/log", w->dir);
  assert_int_equal(io_linux_new(&w->t.m, &w->x), HDW_OK);
  arena_init(&w->a, &w->t.m, 0);
  log_opts lo = {.dir = w->log};
  store_opts so = {.dir = w->dir, .commit_us = 500, .map_bytes = 256 * 1024};
  assert_int_equal(log_open(w->x, &lo, &li, &w->l), HDW_OK);
  assert_int_equal(store_open(w->x, &so, &info, &w->s), HDW_OK);
  io_timer_set(w->x, &t.more, 0, some_more, &t);
  assert_int_equal(io_run(w->x), HDW_OK);
  log_close(w->l);
  assert_int_equal(store_applied(w->s), w->seq);
  assert_true(store_committed(w->s) > 0);
  store_close(w->s);
  assert_int_equal(store_open(w->x, &so, &info, &w->s), HDW_OK);
  hash(w, before);
  assert_int_equal(store_rebuild(w->s, &info), HDW_OK);
  hash(w, after);
  assert_memory_equal(before, after, 32);
  assert_int_equal(store_check(w->s), HDW_OK);
  store_close(w->s);
  arena_free(&w->a);
  io_linux_free(w->x);
  char cmd[128];
  snprintf(cmd, sizeof cmd, "rm -rf %s", w->dir);
  assert_int_equal(system(cmd), 0);
  assert_int_equal(w->t.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_delta_is_a_sorted_list),    cmocka_unit_test(test_delta_keys_in_no_order), cmocka_unit_test(test_readings_see_every_change),
      cmocka_unit_test(test_found_before_the_commit),   cmocka_unit_test(test_patients_over_epochs),   cmocka_unit_test(test_crash_between_sync_and_commit), cmocka_unit_test(test_falling_behind_waits),
      cmocka_unit_test(test_thread_and_loop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
