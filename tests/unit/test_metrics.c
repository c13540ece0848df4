/* Metrics: the table, the cap on series, histograms, windows, and the rules of both exposition formats (O-1 .. O-3), by a parser of its own. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "metrics.h"
#include "support.h"

typedef struct rig {
  test_mem m;
  arena a;
  buf b;
  metrics *x;
} rig;
static void begin(rig *r) {
  test_mem_init(&r->m);
  arena_init(&r->a, &r->m.m, 0);
  buf_init(&r->b, &r->a, 64 << 20);
  r->x = metrics_new(&r->m.m);
  assert_non_null(r->x);
}
static void end(rig *r) {
  metrics_free(r->x);
  arena_free(&r->a);
  assert_int_equal(r->m.live_bytes, 0);
}

static const char *text(rig *r, bool openmetrics) {
  metrics_out o = {&r->b, openmetrics};
  r->b.len = 0;
  metrics_write(r->x, &o);
  metrics_family(&o, "hdw_build", "info", NULL, "Version.");
  metrics_sample(&o, "hdw_build_info", "1", "version", "1.0", NULL);
  metrics_family(&o, "hdw_age_seconds", "gauge", "seconds", "An age.");
  metrics_sample_us(&o, "hdw_age_seconds", 1500000, "of", "a\"b\\c\nd");
  metrics_end(&o);
  buf_putc(&r->b, 0);
  assert_int_equal(r->b.status, 0);
  return r->b.p;
}

static bool name_char(char c, bool first) { return isalpha((unsigned char)c) || c == '_' || c == ':' || (!first && isdigit((unsigned char)c)); }

/* One sample line: NAME[{LABEL="VALUE",...}] NUMBER. Gives the name. */
static void sample(const char *p, char name[200]) {
  size_t n = 0;
  while (name_char(p[n], n == 0)) n++;
  assert_true(n > 0 && n < 200);
  memcpy(name, p, n), name[n] = 0;
  p += n;
  if (*p == '{') {
    do {
      p++;
      for (n = 0; name_char(p[n], n == 0); n++) {}
      assert_true(n > 0);
      p += n;
      assert_true(p[0] == '=' && p[1] == '"');
      for (p += 2; *p != '"'; p++) {
        assert_true(*p && *p != '\n');
        if (*p == '\\') {
          p++;
          assert_true(*p == '\\' || *p == '"' || *p == 'n');
        }
      }
      p++;
    } while (*p == ',');
    assert_int_equal(*p, '}');
    p++;
  }
  assert_int_equal(*p, ' ');
  size_t digits = strspn(p + 1, "-.0123456789");
  assert_true(digits > 0 && p[1 + digits] == 0);
}

/* The rules: HELP, TYPE (UNIT) before the samples of a family; families not interleaved and not twice; counters end in _total; UNIT ends the name;
 * histograms have _bucket, _sum, _count; no CR, no blank line; # EOF at the end and only with OpenMetrics. */
static void check(const char *all, bool openmetrics) {
  char family[200] = "", type[40] = "", name[200];
  static char seen[400][200];
  unsigned nseen = 0;
  bool eof = false;
  char *copy = strdup(all), *save = NULL;
  assert_null(strchr(all, '\r'));
  assert_null(strstr(all, "\n\n"));
  assert_int_equal(all[strlen(all) - 1], '\n');
  for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    assert_false(eof);
    if (!strcmp(line, "# EOF")) {
      eof = true;
    } else if (!strncmp(line, "# HELP ", 7)) {
      snprintf(family, sizeof family, "%.*s", (int)strcspn(line + 7, " "), line + 7);
      for (unsigned i = 0; i < nseen; i++) assert_string_not_equal(seen[i], family);
      snprintf(seen[nseen++], 200, "%s", family);
      type[0] = 0;
    } else if (!strncmp(line, "# TYPE ", 7)) {
      size_t n = strcspn(line + 7, " ");
      assert_true(strlen(family) == n && !strncmp(line + 7, family, n));
      snprintf(type, sizeof type, "%s", line + 7 + n + 1);
      assert_true(!strcmp(type, "counter") || !strcmp(type, "gauge") || !strcmp(type, "histogram") || (openmetrics && !strcmp(type, "info")));
      bool total = strlen(family) > 6 && !strcmp(family + strlen(family) - 6, "_total");
      if (!strcmp(type, "counter")) assert_int_equal(total, !openmetrics);
    } else if (!strncmp(line, "# UNIT ", 7)) {
      assert_true(openmetrics);
      const char *unit = strrchr(line, ' ') + 1;
      assert_true(strlen(family) > strlen(unit) && !strcmp(family + strlen(family) - strlen(unit), unit));
    } else {
      assert_true(line[0] != '#' && type[0]);
      sample(line, name);
      assert_false(strncmp(name, family, strlen(family)));
      const char *suffix = name + strlen(family);
      if (!strcmp(type, "counter")) assert_string_equal(suffix, openmetrics ? "_total" : "");
      else if (!strcmp(type, "histogram")) assert_true(!strcmp(suffix, "_bucket") || !strcmp(suffix, "_sum") || !strcmp(suffix, "_count"));
      else if (!strcmp(type, "info")) assert_string_equal(suffix, "_info");
      else assert_string_equal(suffix, "");
    }
  }
  assert_int_equal(eof, openmetrics);
  free(copy);
}

static void test_O1_both_formats_keep_their_rules(void **state) {
  (void)state;
  rig r;
  begin(&r);
  metrics_add(r.x, M_INPUTS, 3, "adt", "accepted", NULL);
  metrics_add(r.x, M_INPUTS, 1, "adt", "rejected", NULL);
  metrics_add(r.x, M_RUNS, 2, "weird \"name\"\\\n\r\x01", "done", NULL);
  metrics_observe(r.x, M_RUN_SECONDS, 1500, "admit", NULL, NULL);
  metrics_observe(r.x, M_RUN_SECONDS, 7000000000, "admit", NULL, NULL);
  metrics_observe(r.x, M_ACTION_SECONDS, 30000, "admit", "crm", NULL);
  check(text(&r, true), true);
  check(text(&r, false), false);
  const char *t = text(&r, true);
  assert_non_null(strstr(t, "# TYPE hdw_inputs counter\n"));
  assert_non_null(strstr(t, "hdw_inputs_total{listener=\"adt\",state=\"accepted\"} 3\n"));
  assert_non_null(strstr(t, "hdw_run_duration_seconds_bucket{workflow=\"admit\",le=\"0.001\"} 0\n"));
  assert_non_null(strstr(t, "hdw_run_duration_seconds_bucket{workflow=\"admit\",le=\"0.0025\"} 1\n"));
  assert_non_null(strstr(t, "hdw_run_duration_seconds_bucket{workflow=\"admit\",le=\"3600.0\"} 1\n"));
  assert_non_null(strstr(t, "hdw_run_duration_seconds_bucket{workflow=\"admit\",le=\"+Inf\"} 2\n"));
  assert_non_null(strstr(t, "hdw_run_duration_seconds_sum{workflow=\"admit\"} 7000.001500\n"));
  assert_non_null(strstr(t, "hdw_age_seconds{of=\"a\\\"b\\\\c\\nd\"} 1.500000\n"));
  end(&r);
}

static void test_O2_series_are_capped(void **state) {
  (void)state;
  rig r;
  char name[20];
  begin(&r);
  for (int i = 0; i < 3 * METRICS_SERIES; i++) {
    snprintf(name, sizeof name, "w%d", i);
    metrics_add(r.x, M_RUNS, 1, name, "done", NULL);
  }
  assert_int_equal(metrics_dropped(r.x), 2 * METRICS_SERIES);
  metrics_add(r.x, M_RUNS, 1, "w0", "done", NULL);
  assert_int_equal(metrics_value(r.x, M_RUNS, "w0", "done", NULL), 2);
  metrics_add(NULL, M_RUNS, 1, "w0", "done", NULL); /* without metrics nothing happens */
  check(text(&r, true), true);
  end(&r);
}

static void test_rates_over_a_minute_an_hour_a_day(void **state) {
  (void)state;
  rig r;
  const int64_t s = 1000000, start = 100000 * s;
  begin(&r);
  for (int i = 0; i < 120; i++) metrics_tick(r.x, start + i * s);
  int64_t now = start + 119 * s;
  assert_int_equal(metrics_inputs(r.x, now, 60), 60);
  assert_int_equal(metrics_inputs(r.x, now, 3600), 120);
  now += 30 * s;
  assert_int_equal(metrics_inputs(r.x, now, 60), 30);
  now += 3600 * s;
  assert_int_equal(metrics_inputs(r.x, now, 60), 0);
  assert_int_equal(metrics_inputs(r.x, now, 3600), 0);
  assert_int_equal(metrics_inputs(r.x, now, 86400), 120);
  metrics_tick(r.x, now + 86400 * s);
  assert_int_equal(metrics_inputs(r.x, now + 86400 * s, 86400), 1);
  end(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_O1_both_formats_keep_their_rules),
      cmocka_unit_test(test_O2_series_are_capped),
      cmocka_unit_test(test_rates_over_a_minute_an_hour_a_day),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
