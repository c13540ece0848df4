/* Segments that retention rewrote: changed afterwards, alone, large. Each damage is told, and a log goes on behind one. */
#include "log_rig.h"

/* A standby that takes over, or a folder brought back, may end with a segment that retention rewrote: the ones behind it had not come yet. */
static void test_a_log_that_ends_with_a_rewritten_segment_goes_on_in_a_new_one(void **state) {
  (void)state;
  world w;
  log_open_info info;
  hlog *l;
  log_rec r;
  hdw_status s;
  uint64_t wrong = 0;
  begin(&w);
  two_segments(&w);
  assert_int_equal(io_unlink(w.x, DIR "/00000000000000000010.seg"), HDW_OK);
  r = expect_read(w.x, 6, HDW_E_NOTFOUND);
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
  assert_int_equal(info.last_seq, 9); /* also when that one itself was dropped */
  assert_int_equal(info.torn_bytes, 0);
  assert_int_equal(append(&w, l, "new", 3), 10);
  assert_int_equal(io_run(w.x), HDW_OK);
  assert_int_equal(w.acked, 10);
  log_close(l);
  assert_int_equal(read_all(w.x, &s, &r), 7); /* what was acknowledged is there */
  assert_int_equal(s, HDW_E_NOTFOUND);
  assert_int_equal(log_compact_check(w.x, DIR, 1, &wrong), HDW_OK); /* and the rewritten one as it was */
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
  assert_int_equal(info.last_seq, 11);
  log_close(l);
  end(&w);
}

/* ---- rewritten segments that were changed ---- */

/* Bytes of the first record of a rewritten segment that are changed, and its CRC made to fit. */
enum { META = LOG_HEADER + LOG_RECORD_HEADER, AS_OF = META, NEXT_SEQ = META + 56, ENTRIES = META + 80, INDEX_OFF = META + 148 };

static void test_a_rewritten_segment_that_contradicts_itself_is_damage(void **state) {
  (void)state;
  static const struct {
    const char *what;
    size_t at;
    uint64_t value;
    bool reads; /* its words are possible: the entries are looked at, and do not fit */
  } cases[] = {{"as of nothing", AS_OF, 0, false},
               {"ends before it begins", NEXT_SEQ, 1, false},
               {"ends before its records do", NEXT_SEQ, 5, true},
               {"the places begin before the entries", INDEX_OFF, 200, false},
               {"the places are behind the file", INDEX_OFF, 1 << 20, false},
               {"the places begin within an entry", INDEX_OFF, LOG_COMPACT_BEGIN + 16, true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world w;
    static made m;
    log_compact_info info;
    log_rec r;
    hdw_status s;
    uint64_t wrong = 7;
    rewritten(&w, &m);
    put64(m.b + cases[i].at, cases[i].value);
    made_seal(&m, LOG_HEADER, LOG_COMPACT_BEGIN - LOG_HEADER, LOG_HEADER);
    place(w.x, SEG1, m.b, m.len);
    read_all(w.x, &s, &r);
    assert_int_equal(s, HDW_E_CORRUPT);
    assert_int_equal(r.pos.seg, 1);
    assert_int_equal(log_compact_check(w.x, DIR, 1, &wrong), HDW_E_CORRUPT);
    if (!cases[i].reads && cases[i].value < 1 << 16) assert_int_equal(log_compact_read(w.x, DIR, 1, &info), HDW_E_CORRUPT);
    end(&w);
  }
}

/* What stands in the place of its first record is another one. */
static void test_a_rewritten_segment_without_its_first_record_is_damage(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    world w;
    static made m;
    log_compact_info info;
    rewritten(&w, &m);
    size_t size = LOG_COMPACT_BEGIN - LOG_HEADER;
    if (kind == 0) m.b[LOG_HEADER] = 9;                                       /* its type */
    if (kind == 1) put32(m.b + LOG_HEADER + 24, LOG_COMPACT_META - 1);        /* as long, with less in it */
    if (kind == 2) put32(m.b + LOG_HEADER + 24, 8), size = log_rec_size(8, 0); /* shorter */
    made_seal(&m, LOG_HEADER, size, LOG_HEADER);
    place(w.x, SEG1, m.b, m.len);
    expect_read(w.x, 0, HDW_E_CORRUPT);
    assert_int_equal(log_compact_read(w.x, DIR, 1, &info), HDW_E_CORRUPT);
    end(&w);
  }
}

/* Entries that are whole each, and are not those of this segment. */
static void test_entries_out_of_order_or_too_few_are_damage(void **state) {
  (void)state;
  static const char *const what[] = {"a sequence again", "a place again", "one too many", "one too few", "something in what is zero"};
  for (int kind = 0; kind < 5; kind++) {
    world w;
    static made m;
    log_rec r;
    hdw_status s;
    uint64_t wrong = 0;
    rewritten(&w, &m);
    cod_r c = cod_reader(m.b + ENTRIES, 4);
    uint32_t entries = cod_get_u32(&c), first_was, size;
    assert_int_equal(entries, 6);
    uint8_t *e = m.b + LOG_COMPACT_BEGIN;
    c = cod_reader(e, 4);
    first_was = cod_get_u32(&c);
    size = (uint32_t)log_rec_size(0, 100); /* the first record is whole */
    uint8_t *second = e + LOG_ENTRY + size; /* bare */
    size_t bare = (size_t)log_rec_size(0, 0);
    c = cod_reader(second, 4);
    uint32_t was = cod_get_u32(&c);
    if (kind == 0) put64(second + LOG_ENTRY + 8, 1), made_seal(&m, (size_t)(second - m.b) + LOG_ENTRY, bare, was);
    if (kind == 1) put32(second, first_was), made_seal(&m, (size_t)(second - m.b) + LOG_ENTRY, bare, first_was);
    if (kind == 4) put32(second + 4, 1);
    else if (kind >= 2) put32(m.b + ENTRIES, kind == 2 ? entries + 1 : entries - 1), made_seal(&m, LOG_HEADER, LOG_COMPACT_BEGIN - LOG_HEADER, LOG_HEADER);
    place(w.x, SEG1, m.b, m.len);
    uint64_t n = read_all(w.x, &s, &r);
    if (s != HDW_E_CORRUPT || r.pos.seg != 1 || n != (kind < 2 || kind == 4 ? 1 : 6)) fail_msg("%s: %llu records, %s", what[kind], (unsigned long long)n, hdw_status_text(s));
    assert_int_equal(log_compact_check(w.x, DIR, 1, &wrong), HDW_E_CORRUPT);
    end(&w);
  }
}

/* What a segment says of its rewriting, again and again; and of those that were never rewritten or have no head. */
static log_verdict bare_all(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)rec, (void)pinned, (void)klass, (void)user;
  return LOG_V_BARE;
}
static log_verdict drop_all(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)rec, (void)pinned, (void)klass, (void)user;
  return LOG_V_DROP;
}
static void test_rewritten_again(void **state) {
  (void)state;
  static const struct { log_judge how; unsigned left; } t[] = {{judge, 6}, {bare_all, 6}, {bare_all, 6}, {drop_all, 0}, {drop_all, 0}};
  world w;
  log_compact_info first, info;
  log_iter *it;
  log_rec r;
  uint64_t wrong = 7;
  begin(&w);
  two_segments(&w);
  assert_int_equal(log_compact_read(w.x, DIR, 10, &info), HDW_OK);
  assert_int_equal(info.as_of, 0);
  assert_int_equal(log_compact_read(w.x, DIR, 11, &info), HDW_E_NOTFOUND);
  assert_int_equal(log_compact_read(w.x, DIR, 1, &first), HDW_OK);
  assert_true(first.as_of == 99 && first.next_seq == 10 && first.was_bytes > 9 * 100 && first.pinned_bytes > 0);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    assert_int_equal(compact(w.x, DIR, 1, t[i].how), HDW_OK);
    assert_int_equal(log_compact_read(w.x, DIR, 1, &info), HDW_OK);
    assert_true(info.entries == t[i].left && info.next_seq == 10 && info.was_bytes == first.was_bytes && info.last_us == first.last_us);
    assert_int_equal(log_compact_check(w.x, DIR, 1, &wrong), HDW_OK);
    r = expect_read(w.x, t[i].left + 1, HDW_E_NOTFOUND);
  }
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  assert_true(log_iter_compacted(it));
  assert_int_equal(log_iter_next(it, &r), HDW_OK);
  assert_int_equal(r.seq, 10);
  assert_false(log_iter_compacted(it));
  log_iter_close(it);
  place(w.x, SEG1, (const uint8_t *)"short", 5);
  assert_int_equal(log_compact_read(w.x, DIR, 1, &info), HDW_E_CORRUPT);
  assert_int_equal(log_compact_check(w.x, DIR, 10, &wrong), HDW_OK);
  end(&w);
}

/* The table of places leads elsewhere, or ends too soon: reading by place tells, and so does the check. */
static void test_a_wrong_table_of_places_is_told(void **state) {
  (void)state;
  static const char *const what[] = {"another place now", "another place then", "cut off"};
  for (int kind = 0; kind < 3; kind++) {
    world w;
    static made m;
    hlog *l;
    log_rec r;
    arena a;
    uint64_t wrong = 0;
    rewritten(&w, &m);
    arena_init(&a, &w.t.m, 0);
    assert_int_equal(log_open_read(w.x, DIR, &l), HDW_OK);
    assert_int_equal(log_read(l, (log_pos){1, LOG_HEADER}, &a, &r), HDW_OK);
    assert_true(r.seq == 1 && r.body_len == 100);
    assert_int_equal(log_read(l, (log_pos){1, LOG_HEADER + 8}, &a, &r), HDW_E_NOTFOUND); /* no record was there */
    log_close(l);
    cod_r c = cod_reader(m.b + INDEX_OFF, 8);
    size_t index = (size_t)cod_get_u64(&c) + LOG_RECORD_HEADER;
    if (kind == 0) put32(m.b + index + 4, 8 * 100);
    if (kind == 1) put32(m.b + index, 8 * 10);
    if (kind == 2) m.len = index;
    place(w.x, SEG1, m.b, m.len);
    assert_int_equal(log_open_read(w.x, DIR, &l), HDW_OK);
    hdw_status s = log_read(l, (log_pos){1, LOG_HEADER}, &a, &r);
    if (s != (kind == 1 ? HDW_E_NOTFOUND : HDW_E_CORRUPT)) fail_msg("%s: %s", what[kind], hdw_status_text(s));
    log_close(l);
    assert_int_equal(log_compact_check(w.x, DIR, 1, &wrong), HDW_E_CORRUPT);
    assert_int_equal(wrong, 1);
    arena_free(&a);
    end(&w);
  }
}

static void test_a_rewritten_last_segment_with_damage_is_no_end(void **state) {
  (void)state;
  world w;
  static made m;
  log_open_info info;
  hlog *l;
  begin(&w);
  two_segments(&w);
  assert_int_equal(io_unlink(w.x, DIR "/00000000000000000010.seg"), HDW_OK);
  load(w.x, SEG1, &m);
  m.b[LOG_COMPACT_BEGIN + LOG_ENTRY + 40] ^= 1;
  place(w.x, SEG1, m.b, m.len);
  expect_read(w.x, 0, HDW_E_CORRUPT);
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_E_CORRUPT);
  assert_true(info.bad.seg == 1 && info.bad.off == LOG_COMPACT_BEGIN);
  end(&w);
}

/* Bodies that together are more than what is written at once, and one that alone is. */
static log_verdict keep_all(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)rec, (void)pinned, (void)klass, (void)user;
  return LOG_V_KEEP;
}
static void test_rewriting_large_records(void **state) {
  (void)state;
  enum { N = 12, BIG = 700000 };
  world w;
  log_open_info info;
  hlog *l;
  log_rec r;
  static uint8_t body[BIG];
  begin(&w);
  assert_int_equal(open_log(w.x, 1 << 22, &info, &l), HDW_OK);
  for (unsigned i = 1; i <= N; i++) {
    memset(body, (int)i, sizeof body);
    append(&w, l, body, i == 7 ? BIG : 100000);
  }
  assert_int_equal(io_run(w.x), HDW_OK);
  log_roll(l);
  append(&w, l, "x", 1);
  assert_int_equal(io_run(w.x), HDW_OK);
  assert_int_equal(compact(w.x, DIR, 1, keep_all), HDW_OK);
  log_iter *it;
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  for (unsigned i = 1; i <= N; i++) {
    assert_int_equal(log_iter_next(it, &r), HDW_OK);
    assert_true(r.seq == i && r.body_len == (i == 7 ? BIG : 100000) && r.body[0] == i && r.body[r.body_len - 1] == i);
  }
  log_iter_close(it);
  /* A write that fails leaves the segment as it was. */
  io_sim_fault(w.x, IO_SIM_PWRITE, 1, HDW_E_FULL, false);
  assert_int_not_equal(compact(w.x, DIR, 1, keep_all), HDW_OK);
  r = expect_read(w.x, N + 1, HDW_E_NOTFOUND);
  log_close(l);
  end(&w);
}

/* The same as the first test here with everything kept, the clock set back since, and a state that knows of more. */
static void test_a_log_behind_a_rewritten_segment_never_goes_back_in_time(void **state) {
  (void)state;
  world w;
  log_open_info info;
  hlog *l;
  log_iter *it;
  log_rec r;
  begin(&w);
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
  for (int i = 0; i < 3; i++) append(&w, l, "x", 1);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_roll(l);
  append(&w, l, "x", 1);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_close(l);
  assert_int_equal(compact(w.x, DIR, 1, keep_all), HDW_OK);
  assert_int_equal(io_unlink(w.x, DIR "/00000000000000000004.seg"), HDW_OK);
  log_opts known = {.dir = DIR, .low_water_bytes = 1, .synced_seq = 4};
  assert_int_equal(log_open(w.x, &known, &info, &l), HDW_E_CORRUPT); /* record 4 is lost */
  io_sim_set_clock(w.x, -INT64_C(3600000000));
  assert_int_equal(open_log(w.x, 1 << 16, &info, &l), HDW_OK);
  assert_int_equal(append(&w, l, "y", 1), 4);
  assert_int_equal(io_run(w.x), HDW_OK);
  log_close(l);
  assert_int_equal(log_iter_open(w.x, DIR, 0, &it), HDW_OK);
  for (int64_t last = 0; !log_iter_next(it, &r); last = r.time_us) assert_true(r.time_us >= last);
  log_iter_close(it);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_log_that_ends_with_a_rewritten_segment_goes_on_in_a_new_one),
      cmocka_unit_test(test_a_rewritten_segment_that_contradicts_itself_is_damage),
      cmocka_unit_test(test_a_rewritten_segment_without_its_first_record_is_damage),
      cmocka_unit_test(test_entries_out_of_order_or_too_few_are_damage),
      cmocka_unit_test(test_rewritten_again),
      cmocka_unit_test(test_a_wrong_table_of_places_is_told),
      cmocka_unit_test(test_a_rewritten_last_segment_with_damage_is_no_end),
      cmocka_unit_test(test_rewriting_large_records),
      cmocka_unit_test(test_a_log_behind_a_rewritten_segment_never_goes_back_in_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
