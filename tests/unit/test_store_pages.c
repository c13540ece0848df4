/* Pages of state.mdb that do not hang together are told before anything is written through them; those that LMDB wrote are not, whatever happened to them. */
#include <lmdb.h>
#include "store_rig.h"
#include "store_int.h"

enum { PAGE = 4096, MAX = 8 << 20 };

static uint64_t rng = 7;
static uint64_t draw(uint64_t n) {
  rng = rng * 6364136223846793005u + 1442695040888963407u;
  return (rng >> 33) % n;
}

/* ---- a file with a long history, by LMDB itself ---- */

typedef struct file {
  test_mem t;
  char path[64];
  MDB_env *env;
  MDB_dbi dbi;
} file;

static void made(int rc) {
  if (rc) fail_msg("%s", mdb_strerror(rc));
}

static void change(file *f, unsigned n, bool shrink) {
  MDB_txn *txn;
  static uint8_t bytes[20000];
  made(mdb_txn_begin(f->env, NULL, 0, &txn));
  for (unsigned i = 0; i < n; i++) {
    char key[200];
    uint64_t no = draw(3000);
    int len = snprintf(key, sizeof key, "%llu%0*d", (unsigned long long)no, 1 + (int)(no % 150), 1);
    MDB_val k = {(size_t)len, key}, v = {4 + (draw(40) ? draw(300) : draw(sizeof bytes - 4)), bytes};
    int rc = draw(10) < (shrink ? 8 : 3) ? mdb_del(txn, f->dbi, &k, NULL) : mdb_put(txn, f->dbi, &k, &v, 0);
    made(rc == MDB_NOTFOUND ? 0 : rc);
  }
  made(mdb_txn_commit(txn));
}

static void begin_file(file *f) {
  MDB_txn *txn;
  test_mem_init(&f->t);
  snprintf(f->path, sizeof f->path, "/tmp/hdw-pages-XXXXXX");
  int fd = mkstemp(f->path);
  assert_true(fd >= 0);
  close(fd);
  made(mdb_env_create(&f->env));
  made(mdb_env_set_mapsize(f->env, 64u << 20));
  made(mdb_env_open(f->env, f->path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOLOCK, 0600));
  made(mdb_txn_begin(f->env, NULL, 0, &txn));
  made(mdb_dbi_open(txn, NULL, 0, &f->dbi));
  made(mdb_txn_commit(txn));
}

static void end_file(file *f) {
  mdb_env_close(f->env);
  unlink(f->path);
  assert_int_equal(f->t.live_bytes, 0);
}

static void test_what_lmdb_wrote_hangs_together(void **state) {
  (void)state;
  file f;
  begin_file(&f);
  for (unsigned i = 0; i < 400; i++) {
    MDB_txn *reader = NULL;
    if (i % 5 == 0) made(mdb_txn_begin(f.env, NULL, MDB_RDONLY, &reader)); /* pages are not free while somebody reads them */
    change(&f, 1 + (unsigned)draw(60), i / 60 % 2);
    if (reader) mdb_txn_abort(reader);
    hdw_status s = store_pages(&f.t.m, f.path);
    if (s) fail_msg("after %u changes: %s", i, hdw_status_name(s));
  }
  end_file(&f);
}

/* ---- one place at a time ---- */

static uint8_t was[MAX], is[MAX];
static uint16_t u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint64_t u64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

static size_t load(const char *path) {
  int fd = open(path, O_RDONLY);
  ssize_t n = read(fd, was, MAX);
  close(fd);
  assert_true(n > 10 * PAGE && n < MAX);
  memcpy(is, was, (size_t)n);
  return (size_t)n;
}

typedef struct place {
  const char *what;
  uint8_t *at;
  uint64_t value;
  size_t bytes;
} place;

static void expect_told(file *f, size_t len, const place *p) {
  memcpy(p->at, &p->value, p->bytes);
  if (!memcmp(is, was, len)) fail_msg("%s: nothing was changed", p->what);
  int fd = open(f->path, O_WRONLY | O_TRUNC);
  assert_int_equal(write(fd, is, len), len);
  close(fd);
  hdw_status s = store_pages(&f->t.m, f->path);
  if (s != HDW_E_CORRUPT) fail_msg("%s: %s", p->what, hdw_status_name(s));
  memcpy(is, was, len);
}

static uint8_t *child(const uint8_t *page, unsigned i) { return is + (u64(page + u16(page + 16 + 2 * i)) & 0xffffffffffffu) * PAGE; }

static void test_F1_pages_that_do_not_hang_together_are_told(void **state) {
  (void)state;
  file f;
  begin_file(&f);
  for (unsigned i = 0; i < 60; i++) change(&f, 60, false);
  size_t len = load(f.path);
  uint8_t *claims = is + (u64(is + 144) < u64(is + PAGE + 144) ? PAGE : 0), *root = is + u64(claims + 128) * PAGE, *leaf = root, *big = NULL;
  unsigned depth = u16(claims + 94);
  assert_true(depth > 1);
  for (unsigned d = 1; d < depth; d++) leaf = child(leaf, 1);
  uint8_t *row = leaf + u16(leaf + 16);
  uint8_t *list_page = is + u64(claims + 80) * PAGE;
  assert_int_equal(u16(claims + 46), 1); /* the free pages need one page */
  uint8_t *free_row = list_page + u16(list_page + 16 + 2 * ((u16(list_page + 12) - 16) / 2 - 1)), *list = free_row + 16;
  assert_true(!u16(free_row + 4) && u64(list) >= 2);
  uint8_t *big_row = NULL;
  for (unsigned i = 0; i < (unsigned)(u16(root + 12) - 16) / 2 && !big; i++) {
    const uint8_t *l = root;
    l = child(l, i);
    for (unsigned d = 2; d < depth; d++) l = child(l, 0);
    for (unsigned k = 0; k < (unsigned)(u16(l + 12) - 16) / 2 && !big; k++) {
      big_row = is + (l - is) + u16(l + 16 + 2 * k);
      if (u16(big_row + 4) == 1) big = is + u64(big_row + 8 + u16(big_row + 6)) * PAGE;
    }
  }
  assert_non_null(big);
  const place places[] = {
      {"another page's number", leaf, 2, 8},
      {"no leaf", leaf + 10, 1, 2},
      {"written to while it was saved", leaf + 10, 0x12, 2},
      {"no offsets", leaf + 12, 16, 2},
      {"odd offsets", leaf + 12, u16(leaf + 12) + 1u, 2},
      {"offsets behind the rows", leaf + 12, 0xfff0, 2},
      {"one offset less", leaf + 12, u16(leaf + 12) - 2u, 2},
      {"rows before the offsets", leaf + 14, 16, 2},
      {"rows behind the page", leaf + 14, 0x7000, 2},
      {"an offset among the offsets", leaf + 16, 18, 2},
      {"an odd offset", leaf + 16, u16(leaf + 16) + 1u, 2},
      {"an offset at the page's end", leaf + 16, PAGE - 4, 2},
      {"an offset behind the page", leaf + 16, 0xfff0, 2},
      {"a row twice", leaf + 16, u16(leaf + 18), 2},
      {"a value behind the page", row, 0x10000, 4},
      {"a value of nearly everything", row, 0xffffffff, 4},
      {"a row of another kind", row + 4, 2, 2},
      {"a row without a key", row + 6, 0, 2},
      {"a key longer than keys are", row + 6, 600, 2},
      {"a child that is a meta page", root + u16(root + 16), 1, 4},
      {"a child behind the file", root + u16(root + 18), 0x7fffffff, 4},
      {"a child twice", root + u16(root + 18), u64(root + u16(root + 16)) & 0xffffffff, 4},
      {"a branch with one child", root + 12, 18, 2},
      {"an overflow page of another number", big, 3, 8},
      {"an overflow page that is none", big + 10, 2, 2},
      {"an overflow page that is too short", big + 12, 0, 4},
      {"overflow pages behind the file", big + 12, 0x7fffffff, 4},
      {"a value longer than its pages", big_row, 1u << 30, 4},
      {"its pages behind the file", big_row + 8 + u16(big_row + 6), UINT64_MAX, 8},
      {"more free pages than are listed", list, u64(list) + 1000, 8},
      {"a free page twice", list + 16, u64(list + 8), 8},
      {"a page in use among the free ones", list + 8, (uint64_t)(leaf - is) / PAGE, 8},
      {"a free page behind the file", list + 8, 1u << 30, 8},
      {"a list without a length", free_row, 4, 4},
      {"a list with a key of another length", free_row + 6, 10, 2},
      {"a tree that is deeper", claims + 94, depth + 1u, 2},
      {"a tree that is less deep", claims + 94, depth - 1u, 2},
      {"a tree that is very deep", claims + 94, 4000, 2},
      {"an empty tree with a root", claims + 94, 0, 2},
      {"a tree without a root", claims + 128, UINT64_MAX, 8},
      {"a tree of another kind", claims + 92, 4, 2},
      {"a last page before the others", claims + 136, 5, 8},
  };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) expect_told(&f, len, &places[i]);
  end_file(&f);
}

/* The daemon's way to it: set aside, and made again from the log. */
static void test_F1_it_is_made_again_before_anything_is_written(void **state) {
  (void)state;
  world w;
  char bad[120];
  begin(&w);
  open_all(&w);
  for (int i = 0; i < 300; i++) {
    char name[24];
    snprintf(name, sizeof name, "C%d", i);
    put_input(&w, name, "content", INPUT_ACCEPTED, 1, name);
  }
  settle(&w);
  close_all(&w);
  size_t len = load(w.mdb);
  uint8_t *claims = is + (u64(is + 144) < u64(is + PAGE + 144) ? PAGE : 0);
  const uint8_t *leaf = is + u64(claims + 128) * PAGE;
  for (unsigned d = u16(claims + 94); d > 1; d--) leaf = child(leaf, 1);
  memset(is + (leaf - is) + 12, 0xf0, 2); /* the end of its offsets is behind the page */
  int fd = open(w.mdb, O_WRONLY);
  assert_int_equal(write(fd, is, len), len);
  close(fd);
  uint64_t before, after;
  assert_int_equal(store_compact(w.x, w.dir, &before, &after), HDW_E_CORRUPT);
  open_all(&w);
  assert_true(w.info.rebuilt && !w.info.skipped);
  snprintf(bad, sizeof bad, "%s/state.mdb.bad", w.dir);
  assert_int_equal(access(bad, F_OK), 0);
  assert_int_equal(store_check(w.s), HDW_OK);
  end(&w);
}

/* Neither is memory that is missing damage, nor a file that cannot be read. */
static void test_what_is_missing_is_no_damage(void **state) {
  (void)state;
  file f;
  begin_file(&f);
  change(&f, 50, false);
  for (long at = 0; at < 2; at++) {
    f.t.fail_after = at;
    assert_int_equal(store_pages(&f.t.m, f.path), HDW_E_NOMEM);
  }
  f.t.fail_after = -1;
  assert_int_equal(store_pages(&f.t.m, f.path), HDW_OK);
  assert_int_equal(store_pages(&f.t.m, "/nowhere/state.mdb"), HDW_E_NOTFOUND);
  end_file(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_lmdb_wrote_hangs_together),
      cmocka_unit_test(test_F1_pages_that_do_not_hang_together_are_told),
      cmocka_unit_test(test_F1_it_is_made_again_before_anything_is_written),
      cmocka_unit_test(test_what_is_missing_is_no_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
