/* state.mdb is as long as its pages claim: a shorter file is damage (reading it would end the process), a healthy one is never taken for it. */
#include "store_rig.h"
#include <lmdb.h>

/* Bytes that the newest of the two first pages claims. */
static uint64_t claimed(const char *path) {
  uint8_t b[2][152];
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(fseek(f, i * 4096, SEEK_SET), 0);
    assert_int_equal(fread(b[i], 1, sizeof b[i], f), sizeof b[i]);
  }
  fclose(f);
  uint64_t last[2], txn[2];
  for (int i = 0; i < 2; i++) memcpy(&last[i], b[i] + 136, 8), memcpy(&txn[i], b[i] + 144, 8);
  return (last[txn[1] > txn[0]] + 1) * 4096;
}

static void as_long_as_claimed(world *w) {
  struct stat st;
  assert_int_equal(store_flush(w->s), HDW_OK);
  assert_int_equal(stat(w->mdb, &st), 0);
  if ((uint64_t)st.st_size < claimed(w->mdb)) fail_msg("state.mdb has %lld bytes and claims %llu", (long long)st.st_size, (unsigned long long)claimed(w->mdb));
}

/* Transactions of another process, until one has taken pages at the end and given them back. 0 = there was one. */
static int leave_a_gap(const char *path) {
  MDB_env *e = NULL;
  MDB_dbi d;
  struct stat st;
  int rc = mdb_env_create(&e);
  if (!rc) rc = mdb_env_set_mapsize(e, 64u << 20);
  if (!rc) rc = mdb_env_open(e, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC, 0600);
  srand(3);
  for (int i = 0; !rc && i < 3000; i++) {
    MDB_txn *txn = NULL;
    MDB_cursor *c = NULL;
    rc = mdb_txn_begin(e, NULL, 0, &txn);
    if (!rc) rc = mdb_dbi_open(txn, NULL, 0, &d);
    if (!rc) rc = mdb_cursor_open(txn, d, &c);
    int n = rand() % 900;
    for (int k = 0; !rc && k < n; k++) {
      static char value[9000];
      char key[20];
      MDB_val mk = {(size_t)snprintf(key, sizeof key, "\377\377z%08d", (i * 7 + k % (n / 2 + 1)) % 9000), key}, v = {(size_t)rand() % (rand() % 20 == 0 ? sizeof value : 400), value}, x;
      if (k < n / 2) rc = mdb_cursor_put(c, &mk, &v, 0);
      else if (!mdb_cursor_get(c, &mk, &x, MDB_SET)) rc = mdb_cursor_del(c, 0);
    }
    if (!rc) mdb_cursor_close(c), rc = mdb_txn_commit(txn);
    if (!rc && !stat(path, &st) && (uint64_t)st.st_size < claimed(path)) {
      mdb_env_close(e);
      return 0;
    }
  }
  return 1;
}

static void test_F1_pages_given_back_at_the_end_are_no_damage(void **state) {
  (void)state;
  world w;
  int status;
  struct stat st;
  begin(&w);
  open_all(&w);
  live(&w, 3, 300);
  as_long_as_claimed(&w);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (!pid) _exit(leave_a_gap(w.mdb));
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(stat(w.mdb, &st), 0);
  assert_true((uint64_t)st.st_size < claimed(w.mdb)); /* else this test shows nothing */
  put_input(&w, "one more", "content", INPUT_ACCEPTED, 0, NULL);
  settle(&w);
  as_long_as_claimed(&w);
  close_all(&w);
  open_all(&w);
  assert_false(w.info.rebuilt);
  end(&w);
}

/* Looks at the state again and again while it grows; the verdict comes by exit code. */
static int look(const char *dir, int ready) {
  test_mem t;
  io *x;
  test_mem_init(&t);
  io_sim_opts o = {.seed = 1, .root = dir};
  if (io_sim_new(&t.m, &o, &x)) return 2;
  setenv("HDW_PAUSE_AT", "store.claims:300", 1);
  for (int i = 0; i < 400; i++) {
    store_opts so = {.dir = dir, .read_only = true};
    store_info si;
    store *s;
    hdw_status st = store_open(x, &so, &si, &s);
    if (st == HDW_E_CORRUPT) return 1;
    if (!st) store_close(s);
    if (i == 0 && write(ready, "r", 1) != 1) return 2;
  }
  return 0;
}

static void test_growing_file_beside_a_reader_is_no_damage(void **state) {
  (void)state;
  world w;
  int pipes[2], status, flags;
  char r;
  pid_t pid;
  begin(&w);
  w.commit_records = 30;
  open_all(&w);
  live(&w, 1, 200);
  assert_int_equal(store_flush(w.s), HDW_OK);
  assert_int_equal(pipe(pipes), 0);
  assert_true((pid = fork()) >= 0);
  if (!pid) _exit(look(w.dir, pipes[1]));
  assert_int_equal(read(pipes[0], &r, 1), 1);
  flags = 0;
  for (unsigned i = 2; (flags = waitpid(pid, &status, WNOHANG)) == 0; i++) live(&w, i, 300);
  assert_int_equal(flags, pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  close(pipes[0]), close(pipes[1]);
  end(&w);
}

/* The map cannot grow any more: the store says so and takes nothing further, the log has everything, and with room the state is what the log says. */
static void test_F2_a_full_map_is_told_and_nothing_is_lost(void **state) {
  (void)state;
  enum { SMALL = 1 << 17, VALUES = 100 };
  world w;
  char key[16], value[4000];
  uint8_t h1[32], h2[32];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = 0;
  begin(&w);
  open_all(&w);
  store_close(w.s);
  store_opts so = {.dir = w.dir, .map_bytes = SMALL, .map_max_bytes = SMALL};
  assert_int_equal(store_open(w.x, &so, &w.info, &w.s), HDW_OK);
  w.faulty = true; /* store_apply will refuse */
  for (int i = 0; i < VALUES; i++) {
    snprintf(key, sizeof key, "k%d", i);
    put_named(&w, "cursor", key, value);
    settle(&w);
  }
  assert_int_equal(store_flush(w.s), HDW_E_FULL);
  cod_str v;
  assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr("k0"), &w.a, &v), HDW_E_FULL); /* told, not "not there" */
  assert_int_equal(w.durable, w.seq);
  close_all(&w);
  w.faulty = false;
  open_all(&w);
  assert_int_equal(w.info.skipped, 0);
  for (int i = 0; i < VALUES; i++) {
    snprintf(key, sizeof key, "k%d", i);
    assert_int_equal(store_get_named(w.s, cod_cstr("cursor"), cod_cstr(key), &w.a, &v), HDW_OK);
    assert_int_equal(v.len, sizeof value - 1);
  }
  hash(&w, h1);
  assert_int_equal(store_rebuild(w.s, &w.info), HDW_OK);
  hash(&w, h2);
  assert_memory_equal(h1, h2, 32);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_F1_pages_given_back_at_the_end_are_no_damage), cmocka_unit_test(test_F2_a_full_map_is_told_and_nothing_is_lost),
      cmocka_unit_test(test_growing_file_beside_a_reader_is_no_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
