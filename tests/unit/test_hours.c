/* Opening hours of a sink, among them over the changes of the clock in both directions (PROTOCOLS 7). */
#include "prog_rig.h"
#include <time.h>
#include "hours.h"

enum { MINUTE = 60, HOUR = 3600 };

static test_mem memory;
static io *x;
static arena a;

static int setup(void **state) {
  (void)state;
  test_mem_init(&memory);
  io_sim_opts so = {.seed = 1, .root = "/usr/share"}; /* zones are real files */
  assert_int_equal(io_sim_new(&memory.m, &so, &x), HDW_OK);
  arena_init(&a, &memory.m, 0);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  arena_free(&a);
  io_sim_free(x);
  assert_int_equal(memory.live_bytes, 0);
  return 0;
}

/* Unix seconds of a UTC time. */
static int64_t utc(int year, int month, int day, int hour, int minute) {
  struct tm t = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute};
  return (int64_t)timegm(&t);
}

static hours of(const char *text, const char *place) {
  hours h = {0};
  zone *z = NULL;
  size_t at;
  assert_int_equal(hours_parse(text, &h, &at), HDW_OK);
  if (place) assert_int_equal(zone_load(x, &a, place, &z), HDW_OK);
  h.z = z;
  return h;
}

/* Seconds until it opens. */
static int64_t wait_at(hours *h, int64_t s) { return hours_wait_us(h, s * 1000000) / 1000000; }

/* Seconds that it is open within [from, to). */
static int64_t open_between(const hours *h, int64_t from, int64_t to) {
  int64_t n = 0;
  for (int64_t t = from; t < to; t += MINUTE) n += hours_open(h, t * 1000000) ? MINUTE : 0;
  return n;
}

static void test_what_is_no_time_is_refused_with_its_place(void **state) {
  (void)state;
  static const struct { const char *text; size_t at; } bad[] = {{"", 0}, {"Mon", 3}, {"Mon-Fro 08:00-18:00", 4}, {"Mon 8:00-18:00", 4}, {"Mon 08:00", 9}, {"Mon 08:00-25:00", 10}, {"Mon 24:00-01:00", 9}, {"Mon 08:00-18:00,", 16}, {"Mon 08:00-18:00 Tue", 16}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    hours h;
    size_t at = 99;
    if (hours_parse(bad[i].text, &h, &at) != HDW_E_SYNTAX || at > strlen(bad[i].text)) fail_msg("'%s': at %zu", bad[i].text, at);
  }
}

/* Europe/Berlin 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC. */
static void test_spring_a_window_in_the_skipped_hour_begins_after_it(void **state) {
  (void)state;
  int64_t change = utc(2026, 3, 29, 1, 0);
  hours h = of("Sun 02:30-04:00", "Europe/Berlin");
  assert_false(hours_open(&h, (change - MINUTE) * 1000000));
  assert_true(hours_open(&h, change * 1000000)); /* 03:00 */
  assert_int_equal(wait_at(&h, change - 10 * MINUTE), 10 * MINUTE);
  assert_int_equal(open_between(&h, change - 2 * HOUR, change + 4 * HOUR), HOUR);
  h = of("Sun 02:15-02:45", "Europe/Berlin"); /* whole in the skipped hour: not at all on this day */
  assert_int_equal(open_between(&h, change - 12 * HOUR, change + 12 * HOUR), 0);
  assert_int_equal(wait_at(&h, change - MINUTE), MINUTE + 7 * 24 * HOUR - HOUR + 15 * MINUTE); /* the next Sunday, in summer time */
}

/* Europe/Berlin 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC. */
static void test_autumn_the_hour_that_comes_twice_is_open_twice(void **state) {
  (void)state;
  int64_t change = utc(2026, 10, 25, 1, 0);
  hours h = of("Sun 02:00-03:00", "Europe/Berlin");
  assert_int_equal(open_between(&h, change - 12 * HOUR, change + 12 * HOUR), 2 * HOUR);
  assert_true(hours_open(&h, (change - MINUTE) * 1000000));
  assert_true(hours_open(&h, change * 1000000));
  assert_false(hours_open(&h, (change + HOUR) * 1000000));
  h = of("Sun 02:30-02:45", "Europe/Berlin");
  assert_int_equal(wait_at(&h, change - 15 * MINUTE), 45 * MINUTE); /* 02:45 the first time: opens at 02:30 the second time */
}

static void test_a_weekend_with_a_change_is_an_hour_shorter_or_longer(void **state) {
  (void)state;
  hours h = of("Mon-Fri 08:00-18:00", "Europe/Berlin");
  assert_int_equal(wait_at(&h, utc(2026, 3, 27, 17, 0)), 61 * HOUR);  /* Friday 18:00 to Monday 08:00 */
  assert_int_equal(wait_at(&h, utc(2026, 4, 3, 16, 0)), 62 * HOUR);
  assert_int_equal(wait_at(&h, utc(2026, 10, 23, 16, 0)), 63 * HOUR);
  h = of("Mon-Fri 08:00-18:00", "America/Chicago");
  assert_int_equal(wait_at(&h, utc(2026, 3, 7, 0, 0)), 61 * HOUR);   /* 2026-03-08, 02:00 becomes 03:00 */
  assert_int_equal(wait_at(&h, utc(2026, 10, 30, 23, 0)), 63 * HOUR); /* 2026-11-01, 02:00 becomes 01:00 */
  h = of("Mon-Fri 08:00-18:00", NULL);
  assert_int_equal(wait_at(&h, utc(2026, 3, 27, 18, 0)), 62 * HOUR); /* UTC knows no change */
}

static void test_a_night_with_a_change(void **state) {
  (void)state;
  hours h = of("22:00-06:00", "Europe/Berlin");
  assert_int_equal(open_between(&h, utc(2026, 3, 28, 12, 0), utc(2026, 3, 29, 12, 0)), 7 * HOUR);
  assert_int_equal(open_between(&h, utc(2026, 3, 29, 12, 0), utc(2026, 3, 30, 12, 0)), 8 * HOUR);
  assert_int_equal(open_between(&h, utc(2026, 10, 24, 12, 0), utc(2026, 10, 25, 12, 0)), 9 * HOUR);
}

/* The clock of the machine is put back: what was found before is looked for again. */
static void test_a_clock_that_is_put_back(void **state) {
  (void)state;
  hours h = of("Mon-Fri 08:00-18:00", "Europe/Berlin");
  int64_t friday = utc(2026, 3, 27, 17, 0);
  assert_int_equal(wait_at(&h, friday), 61 * HOUR);
  assert_int_equal(wait_at(&h, friday - 7 * 24 * HOUR), 62 * HOUR);
  assert_int_equal(wait_at(&h, friday + HOUR), 60 * HOUR);
}

static void test_R15_days_that_are_closed(void **state) {
  (void)state;
  hours h = of("Mon-Fri 08:00-18:00", "Europe/Berlin");
  static const char *const bad[] = {"", "25-12", "12-32", "13-01", "00-10", "12-00", "2026-12", "2026/12/25", "0000-01-01", "12-25 ", "2026-12-25T", "1-1", "02-30"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(hours_close_on(&h, bad[i]), HDW_E_SYNTAX);
  assert_int_equal(hours_close_on(&h, "12-25"), HDW_OK);
  assert_int_equal(hours_close_on(&h, "2026-12-24"), HDW_OK);
  assert_int_equal(wait_at(&h, utc(2026, 12, 23, 16, 59)), 0);
  assert_int_equal(wait_at(&h, utc(2026, 12, 23, 17, 0)), (4 * 24 + 14) * HOUR); /* Wednesday 18:00 to Monday 08:00 of that zone */
  assert_int_equal(wait_at(&h, utc(2025, 12, 24, 17, 0)), (24 + 14) * HOUR);
  assert_true(hours_open(&h, utc(2027, 12, 24, 10, 0) * 1000000));
  assert_false(hours_open(&h, utc(2028, 12, 25, 10, 0) * 1000000));
  /* A night belongs to the day on which it begins; the day is that of the zone. */
  hours night = of("22:00-06:00", NULL);
  assert_int_equal(hours_close_on(&night, "2026-05-01"), HDW_OK);
  assert_true(hours_open(&night, utc(2026, 5, 1, 3, 0) * 1000000));
  assert_false(hours_open(&night, utc(2026, 5, 1, 23, 0) * 1000000));
  assert_false(hours_open(&night, utc(2026, 5, 2, 3, 0) * 1000000));
  assert_true(hours_open(&night, utc(2026, 5, 2, 22, 0) * 1000000));
  hours far = of("00:00-24:00", "Asia/Tokyo");
  assert_int_equal(hours_close_on(&far, "2026-05-01"), HDW_OK);
  assert_false(hours_open(&far, utc(2026, 4, 30, 15, 0) * 1000000));
  assert_true(hours_open(&far, utc(2026, 5, 1, 15, 0) * 1000000));
}

/* ---- in the engine ---------------------------------------------------------------------------------------------------------------------- */

static int64_t arrived[8];
static unsigned narrived;
static engine_mock_verdict world(prog *p, const engine_effect *f, arena *m, engine_mock_answer *out) {
  (void)m, (void)f;
  if (narrived < 8) arrived[narrived++] = io_wall_us(p->io) / 1000000;
  out->value = val_int(1);
  return MOCK_VALUE;
}

static void advance_to(prog *p, int64_t s) {
  while (io_wall_us(p->io) / 1000000 < s) {
    int64_t left = s * 1000000 - io_wall_us(p->io);
    io_sim_advance(p->io, left < INT64_C(21600000000) ? left : INT64_C(21600000000));
  }
}

static void test_deliveries_over_a_weekend_with_a_change_leave_when_it_opens(void **state) {
  (void)state;
  static const struct { int month, day, hour, month2, day2, hour2; } when[] = {{3, 27, 19, 3, 30, 6}, {10, 23, 19, 10, 26, 7}};
  prog *p = prog_new("hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'http://127.0.0.1:1', hours: hours('Mon-Fri 08:00-18:00', zone: 'Europe/Berlin'))\n"
                     "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  send crm.put('/a', body: { t: 1 })\n  return {}\n}\n",
                     world, NULL, 0);
  narrived = 0;
  for (unsigned i = 0; i < 2; i++) {
    char id[8];
    advance_to(p, utc(2026, when[i].month, when[i].day, when[i].hour, 0)); /* Friday evening */
    snprintf(id, sizeof id, "M%u", i);
    prog_submit(p, id, "1", "");
    int64_t opens = utc(2026, when[i].month2, when[i].day2, when[i].hour2, 0);
    advance_to(p, opens - 1);
    assert_int_equal(narrived, i);
    advance_to(p, opens + 61);
    assert_int_equal(narrived, i + 1);
    assert_true(arrived[i] >= opens && arrived[i] <= opens + 60);
  }
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_what_is_no_time_is_refused_with_its_place, setup, teardown),
      cmocka_unit_test_setup_teardown(test_spring_a_window_in_the_skipped_hour_begins_after_it, setup, teardown),
      cmocka_unit_test_setup_teardown(test_autumn_the_hour_that_comes_twice_is_open_twice, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_weekend_with_a_change_is_an_hour_shorter_or_longer, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_night_with_a_change, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_clock_that_is_put_back, setup, teardown),
      cmocka_unit_test_setup_teardown(test_R15_days_that_are_closed, setup, teardown),
      cmocka_unit_test(test_deliveries_over_a_weekend_with_a_change_leave_when_it_opens),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
