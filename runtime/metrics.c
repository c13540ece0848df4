/* metrics.c - series in a hash table of fixed size, and the exposition formats. */
#include "metrics.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef enum metric_kind { COUNTER, HISTOGRAM } metric_kind;
typedef struct metric_row {
  metric_kind kind;
  const char *name, *labels, *help;
} metric_row;
static const metric_row table[METRIC_COUNT] = {
#define METRIC(id, kind, name, labels, help) {kind, name, labels, help},
    METRICS(METRIC)
#undef METRIC
};

/* Upper bounds of the buckets; the last, +Inf, is the count. */
static const int64_t bounds_us[METRICS_BUCKETS] = {1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 60000000, 600000000, 3600000000};
static const char *const bounds_text[METRICS_BUCKETS] = {"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "60.0", "600.0", "3600.0"};

typedef struct series {
  uint8_t id;
  uint64_t n;                /* counter; count of a histogram */
  uint64_t sum_us;
  uint64_t *buckets;         /* METRICS_BUCKETS, not cumulative */
  struct series *hash_next, *next;
  char label[METRICS_LABELS][METRICS_LABEL];
} series;

enum { HASH = 1024, MINUTES = 1440, SECONDS = 60 };
struct metrics {
  mem *m;
  uint32_t count;
  uint64_t dropped;
  series *hash[HASH];
  series *first[METRIC_COUNT], *last[METRIC_COUNT]; /* in order of making, so that scrapes look alike */
  int64_t second, minute;    /* of the latest tick */
  uint32_t by_second[SECONDS];
  uint32_t by_minute[MINUTES];
};

metrics *metrics_new(mem *m) {
  metrics *x = (metrics *)m->get(m, sizeof *x);
  if (!x) return NULL;
  memset(x, 0, sizeof *x);
  x->m = m;
  return x;
}

void metrics_free(metrics *x) {
  if (!x) return;
  for (unsigned i = 0; i < METRIC_COUNT; i++)
    for (series *s = x->first[i], *next; s; s = next) {
      next = s->next;
      if (s->buckets) x->m->put(x->m, s->buckets, METRICS_BUCKETS * sizeof *s->buckets);
      x->m->put(x->m, s, sizeof *s);
    }
  x->m->put(x->m, x, sizeof *x);
}

/* ---- series ------------------------------------------------------------------------------------------------------------------------ */

static uint32_t hash_of(metric_id id, const char *const l[METRICS_LABELS]) {
  uint32_t h = 2166136261u ^ (uint32_t)id;
  for (unsigned i = 0; i < METRICS_LABELS; i++) {
    for (const char *p = l[i]; *p && p - l[i] < METRICS_LABEL - 1; p++) h = (h ^ (uint8_t)*p) * 16777619u;
    h = (h ^ 0xff) * 16777619u;
  }
  return h % HASH;
}

static series *find(const metrics *x, metric_id id, const char *const l[METRICS_LABELS], uint32_t h) {
  for (series *s = x->hash[h]; s; s = s->hash_next) {
    bool same = s->id == id;
    for (unsigned i = 0; i < METRICS_LABELS && same; i++) same = !strncmp(s->label[i], l[i], METRICS_LABEL - 1);
    if (same) return s;
  }
  return NULL;
}

static series *make(metrics *x, metric_id id, const char *const l[METRICS_LABELS], uint32_t h) {
  series *s = x->count < METRICS_SERIES ? (series *)x->m->get(x->m, sizeof *s) : NULL;
  if (s) {
    memset(s, 0, sizeof *s);
    if (table[id].kind == HISTOGRAM && !(s->buckets = (uint64_t *)x->m->get(x->m, METRICS_BUCKETS * sizeof *s->buckets))) {
      x->m->put(x->m, s, sizeof *s);
      s = NULL;
    }
  }
  if (!s) {
    x->dropped++;
    return NULL;
  }
  if (s->buckets) memset(s->buckets, 0, METRICS_BUCKETS * sizeof *s->buckets);
  s->id = (uint8_t)id;
  for (unsigned i = 0; i < METRICS_LABELS; i++) snprintf(s->label[i], METRICS_LABEL, "%s", l[i]);
  s->hash_next = x->hash[h];
  x->hash[h] = s;
  if (x->last[id]) x->last[id]->next = s;
  else x->first[id] = s;
  x->last[id] = s;
  x->count++;
  return s;
}

static series *get(metrics *x, metric_id id, const char *l1, const char *l2, const char *l3) {
  const char *l[METRICS_LABELS] = {l1 ? l1 : "", l2 ? l2 : "", l3 ? l3 : ""};
  uint32_t h = hash_of(id, l);
  series *s = find(x, id, l, h);
  return s ? s : make(x, id, l, h);
}

void metrics_add(metrics *x, metric_id id, uint64_t n, const char *l1, const char *l2, const char *l3) {
  series *s = x ? get(x, id, l1, l2, l3) : NULL;
  if (s) s->n += n;
}

void metrics_observe(metrics *x, metric_id id, int64_t us, const char *l1, const char *l2, const char *l3) {
  series *s = x ? get(x, id, l1, l2, l3) : NULL;
  if (!s || !s->buckets) return;
  if (us < 0) us = 0;
  unsigned i = 0;
  while (i < METRICS_BUCKETS && us > bounds_us[i]) i++;
  if (i < METRICS_BUCKETS) s->buckets[i]++;
  s->n++;
  s->sum_us += (uint64_t)us;
}

uint64_t metrics_dropped(const metrics *x) { return x ? x->dropped : 0; }

uint64_t metrics_value(const metrics *x, metric_id id, const char *l1, const char *l2, const char *l3) {
  const char *l[METRICS_LABELS] = {l1 ? l1 : "", l2 ? l2 : "", l3 ? l3 : ""};
  const series *s = x ? find(x, id, l, hash_of(id, l)) : NULL;
  return s ? s->n : 0;
}

/* ---- inputs over time --------------------------------------------------------------------------------------------------------------- */

/* Clears what lies between the latest tick and now. */
static void advance(uint32_t *ring, unsigned size, int64_t *at, int64_t now) {
  if (now - *at >= size) memset(ring, 0, size * sizeof *ring);
  else
    for (int64_t t = *at + 1; t <= now; t++) ring[t % size] = 0;
  if (now > *at) *at = now;
}

void metrics_tick(metrics *x, int64_t mono_us) {
  if (!x || mono_us < 0) return;
  advance(x->by_second, SECONDS, &x->second, mono_us / 1000000);
  advance(x->by_minute, MINUTES, &x->minute, mono_us / 60000000);
  x->by_second[x->second % SECONDS]++;
  x->by_minute[x->minute % MINUTES]++;
}

static uint64_t last_of(const uint32_t *ring, int64_t size, int64_t at, int64_t now, int64_t want) {
  uint64_t n = 0;
  for (int64_t t = at; t > now - want && t > at - size && t >= 0; t--) n += ring[t % size];
  return n;
}

uint64_t metrics_inputs(const metrics *x, int64_t mono_us, unsigned seconds) {
  if (!x) return 0;
  if (seconds <= SECONDS) return last_of(x->by_second, SECONDS, x->second, mono_us / 1000000, seconds);
  return last_of(x->by_minute, MINUTES, x->minute, mono_us / 60000000, (seconds + 59) / 60);
}

/* ---- text ----------------------------------------------------------------------------------------------------------------------------- */

/* A label's value: backslash, quote and line end are escaped, other control characters left out. */
static void value_text(buf *b, const char *s) {
  for (; *s; s++) {
    if (*s == '\\' || *s == '"') buf_putc(b, '\\'), buf_putc(b, *s);
    else if (*s == '\n') buf_puts(b, "\\n");
    else if ((unsigned char)*s >= ' ' && *s != 0x7f) buf_putc(b, *s);
  }
}

void metrics_family(metrics_out *o, const char *name, const char *type, const char *unit, const char *help) {
  bool counter = !strcmp(type, "counter");
  const char *total = counter && !o->openmetrics ? "_total" : ""; /* 0.0.4 knows samples only by their whole name */
  if (!o->openmetrics && !strcmp(type, "info")) type = "gauge", total = "_info";
  buf_putf(o->b, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, total, help, name, total, type);
  if (o->openmetrics && unit) buf_putf(o->b, "# UNIT %s %s\n", name, unit);
}

void metrics_sample(metrics_out *o, const char *name, const char *value, ...) {
  va_list ap;
  bool first = true;
  buf_puts(o->b, name);
  va_start(ap, value);
  for (const char *k; (k = va_arg(ap, const char *)); first = false) {
    const char *v = va_arg(ap, const char *);
    buf_putf(o->b, "%s%s=\"", first ? "{" : ",", k);
    value_text(o->b, v ? v : "");
    buf_putc(o->b, '"');
  }
  va_end(ap);
  buf_putf(o->b, "%s %s\n", first ? "" : "}", value);
}

void metrics_sample_u64(metrics_out *o, const char *name, uint64_t value, const char *label, const char *of) {
  char text[24];
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  metrics_sample(o, name, text, label, of, NULL);
}

void metrics_sample_us(metrics_out *o, const char *name, int64_t us, const char *label, const char *of) {
  char text[32];
  snprintf(text, sizeof text, "%lld.%06lld", (long long)(us / 1000000), (long long)(us % 1000000));
  metrics_sample(o, name, text, label, of, NULL);
}

/* {a="x",b="y"[,le="..."]} from the table's label names. */
static void labels(buf *b, const series *s, const char *le) {
  const char *names = table[s->id].labels;
  bool first = true;
  for (unsigned i = 0; i < METRICS_LABELS && names[0]; i++) {
    size_t n = strcspn(names, ",");
    buf_puts(b, first ? "{" : ",");
    first = false;
    buf_put(b, names, n);
    buf_puts(b, "=\"");
    value_text(b, s->label[i]);
    buf_putc(b, '"');
    names += n + (names[n] == ',');
  }
  if (le) buf_putf(b, "%sle=\"%s\"", first ? "{" : ",", le), first = false;
  if (!first) buf_putc(b, '}');
}

static void histogram(buf *b, const series *s) {
  const char *name = table[s->id].name;
  uint64_t sum = 0;
  for (unsigned i = 0; i <= METRICS_BUCKETS; i++) {
    if (i < METRICS_BUCKETS) sum += s->buckets[i];
    buf_putf(b, "%s_bucket", name);
    labels(b, s, i < METRICS_BUCKETS ? bounds_text[i] : "+Inf");
    buf_putf(b, " %llu\n", (unsigned long long)(i < METRICS_BUCKETS ? sum : s->n));
  }
  buf_putf(b, "%s_sum", name);
  labels(b, s, NULL);
  buf_putf(b, " %llu.%06llu\n%s_count", (unsigned long long)(s->sum_us / 1000000), (unsigned long long)(s->sum_us % 1000000), name);
  labels(b, s, NULL);
  buf_putf(b, " %llu\n", (unsigned long long)s->n);
}

void metrics_write(const metrics *x, metrics_out *o) {
  for (unsigned i = 0; i < METRIC_COUNT; i++) {
    const metric_row *m = &table[i];
    if (!x->first[i]) continue;
    metrics_family(o, m->name, m->kind == COUNTER ? "counter" : "histogram", m->kind == HISTOGRAM ? "seconds" : NULL, m->help);
    for (const series *s = x->first[i]; s; s = s->next) {
      if (m->kind == HISTOGRAM) {
        histogram(o->b, s);
        continue;
      }
      buf_putf(o->b, "%s_total", m->name);
      labels(o->b, s, NULL);
      buf_putf(o->b, " %llu\n", (unsigned long long)s->n);
    }
  }
}

void metrics_end(metrics_out *o) {
  if (o->openmetrics) buf_puts(o->b, "# EOF\n");
}
