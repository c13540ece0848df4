/* hdwvm_show.c - what an operator looks at: status, runs, dead letters, sinks, limits; and redrive, discard. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "datetime.h"
#include "hdwvm.h"
#include "json.h"
#include "meta.h"

typedef struct view {
  io_mem heap;
  arena a;
} view;
static void view_init(view *v) {
  io_mem_init(&v->heap, 0);
  arena_init(&v->a, &v->heap.m, 0);
}
static int view_end(view *v, int code) {
  arena_free(&v->a);
  return code;
}

/* ---- status ----------------------------------------------------------------------------------------------------------------------- */

/* What there is of each; what there is none of is left out. */
static void print_counts(view *v, const char *title, val obj) {
  unsigned n = 0;
  printf("%-12s", title);
  for (uint32_t i = 0; obj.tag == VAL_OBJ && i < obj.len; i++) {
    char name[40];
    const char *k = jv_text(&v->a, obj.u.v[2 * i]), *count = hv_cell(&v->a, obj, k ? k : "");
    if (!strcmp(count, "0")) continue;
    snprintf(name, sizeof name, "%s", k ? k : "");
    for (char *p = name; *p; p++)
      if (*p == '_') *p = ' ';
    printf("%s %s %s", n++ ? "," : "", count, name);
  }
  puts(n ? "" : " none");
}

/* What only a running daemon knows. */
static void print_running(view *v, val s) {
  char size[2][32];
  val recent = jv_get(s, "recent");
  if (recent.tag == VAL_OBJ) printf("%-12s %s in the last minute, %s in the last hour, %s in 24 hours\n", "arrived", hv_cell(&v->a, recent, "1m"), hv_cell(&v->a, recent, "1h"), hv_cell(&v->a, recent, "24h"));
  print_counts(v, "since start", jv_get(s, "since_start"));
  printf("%-12s %s runs, %s steps, %s deliveries, %s answers waited for\n", "now", hv_cell(&v->a, s, "active_runs"), hv_cell(&v->a, s, "steps_in_flight"),
         hv_cell(&v->a, s, "deliveries_in_flight"), hv_cell(&v->a, s, "waiting_answers"));
  printf("%-12s record %s, sync %.1f ms (longest %.1f ms), log %s, state %s, term %s\n", "stored", hv_cell(&v->a, s, "log_sequence"), (double)strtoull(hv_cell(&v->a, s, "log_sync_us_last"), NULL, 10) / 1e3,
         (double)strtoull(hv_cell(&v->a, s, "log_sync_us_max"), NULL, 10) / 1e3, hv_size(strtoull(hv_cell(&v->a, s, "log_bytes"), NULL, 10), size[0]),
         hv_size(strtoull(hv_cell(&v->a, s, "store_bytes"), NULL, 10), size[1]), hv_cell(&v->a, s, "term"));
}

/* "a, b, c". */
static const char *names(arena *a, val list) {
  buf b;
  buf_init(&b, a, 65536);
  for (uint32_t i = 0; i < jv_count(list); i++) {
    const char *s = jv_text(a, jv_item(list, i));
    buf_putf(&b, "%s%s", i ? ", " : "", s ? s : "");
  }
  buf_putc(&b, 0);
  return b.status ? "" : b.p;
}

int hv_status(const hv_args *args) {
  view v;
  val s;
  bool done;
  view_init(&v);
  int code = hv_get(args, &v.a, "/status", &s, &done);
  if (code || done) return view_end(&v, code);
  if (hv_was_offline) printf("hdwvm %s, not running; as stored:\n\n", hv_cell(&v.a, s, "version"));
  else printf("hdwvm %s, %s, since %s\n\n", hv_cell(&v.a, s, "version"), hv_cell(&v.a, s, "state"), hv_time_cell(&v.a, s, "started"));
  print_counts(&v, "messages", jv_get(s, "inputs"));
  print_counts(&v, "runs", jv_get(s, "runs"));
  print_counts(&v, "deliveries", jv_get(s, "deliveries"));
  if (!hv_was_offline) print_running(&v, s);
  putchar('\n');
  const char *dead_runs = hv_cell(&v.a, jv_get(s, "runs"), "dead"), *dead = hv_cell(&v.a, jv_get(s, "deliveries"), "dead");
  if (dead_runs[0] || dead[0]) printf("a person is needed: %s dead runs, %s dead deliveries (hdwvm dead)\n\n", dead_runs[0] ? dead_runs : "0", dead[0] ? dead : "0");
  if (hv_was_offline) return view_end(&v, EXIT_OK);
  hv_table t;
  val l = jv_get(s, "listeners"), m = jv_get(s, "modules");
  hv_table_init(&t, &v.a, 5, (const char *const[]){"LISTENER", "KIND", "ADDRESS", "OPEN", "MESSAGES"});
  for (uint32_t i = 0; i < jv_count(l); i++) {
    val x = jv_item(l, i);
    char addr[160];
    snprintf(addr, sizeof addr, "%.120s:%.10s", hv_cell(&v.a, x, "address"), hv_cell(&v.a, x, "port"));
    hv_table_row(&t, (const char *const[]){hv_cell(&v.a, x, "name"), hv_cell(&v.a, x, "kind"), arena_dup(&v.a, addr, strlen(addr)), hv_cell(&v.a, x, "open"), hv_cell(&v.a, x, "messages")});
  }
  hv_table_print(&t);
  putchar('\n');
  hv_table_init(&t, &v.a, 4, (const char *const[]){"MODULE", "ID", "FILE", "WORKFLOWS"});
  for (uint32_t i = 0; i < jv_count(m); i++) {
    val x = jv_item(m, i);
    const char *id = hv_cell(&v.a, x, "id");
    hv_table_row(&t, (const char *const[]){hv_cell(&v.a, x, "name"), arena_dup(&v.a, id, strlen(id) < 12 ? strlen(id) : 12), hv_cell(&v.a, x, "file"), names(&v.a, jv_get(x, "workflows"))});
  }
  hv_table_print(&t);
  return view_end(&v, EXIT_OK);
}

/* ---- lists --------------------------------------------------------------------------------------------------------------------------- */

typedef hv_column column;

/* A member, or a member of a member: "login.until". */
static const char *column_cell(arena *a, val row, const column *c) {
  const char *dot = strchr(c->member, '.'), *name = c->member;
  if (dot) {
    char outer[40];
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - name), name);
    row = jv_get(row, outer);
    name = dot + 1;
  }
  return c->time ? hv_time_cell(a, row, name) : hv_cell(a, row, name);
}

int hv_list(const hv_args *args, const char *target, const hv_column *cols, unsigned ncols, const char *none) {
  view v;
  val rows;
  bool done;
  view_init(&v);
  int code = hv_get(args, &v.a, target, &rows, &done);
  if (code || done) return view_end(&v, code);
  const char *cells[16];
  hv_table t;
  for (unsigned c = 0; c < ncols; c++) cells[c] = cols[c].title;
  hv_table_init(&t, &v.a, ncols, cells);
  for (uint32_t i = 0; i < jv_count(rows); i++) {
    val x = jv_item(rows, i);
    for (unsigned c = 0; c < ncols; c++) cells[c] = column_cell(&v.a, x, &cols[c]);
    hv_table_row(&t, cells);
  }
  if (jv_count(rows)) hv_table_print(&t);
  else printf("%s\n", hv_was_offline && !strcmp(target, "/sinks") ? "connections are what a running daemon has; what waits for them is in: hdwvm dead, hdwvm runs" : none);
  return view_end(&v, EXIT_OK);
}

static int list(const hv_args *args, const char *target, const column *cols, unsigned ncols, const char *none) { return hv_list(args, target, cols, ncols, none); }

void hv_param(arena *a, buf *b, const char *name, const char *value) {
  if (value) buf_putf(b, "%c%s=%s", memchr(b->p, '?', b->len) ? '&' : '?', name, hv_escape(a, value));
}

static void param(arena *a, buf *b, const char *name, const char *value) { hv_param(a, b, name, value); }

bool hv_since(const char *option, const char *s, char out[32]) {
  struct timespec now;
  char *end;
  long n = strtol(s, &end, 10);
  int64_t us = -1;
  tm_val t;
  clock_gettime(CLOCK_REALTIME, &now);
  if (n >= 0 && end != s && end[0] && !end[1]) {
    int64_t unit = *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : *end == 'd' ? 86400 : 0;
    if (unit && n < 100000000) us = (int64_t)now.tv_sec * 1000000 - n * unit * 1000000;
  }
  if (us < 0 && !tm_parse_datetime(s, strlen(s), &t)) {
    if (!t.has_zone) t.has_zone = true, t.zone_min = 0;
    if (tm_to_unix_us(&t, &us)) us = -1;
  }
  snprintf(out, 32, "%lld", (long long)us);
  if (us < 0) hv_say("%s takes a date (2026-01-02), a time (2026-01-02T03:04:05Z) or an age (15m)", option);
  return us >= 0;
}

int hv_runs(const hv_args *args) {
  static const column cols[] = {{"ID", "id", false}, {"CREATED", "created", true}, {"WORKFLOW", "workflow", false}, {"MESSAGE", "message", false}, {"STATE", "state", false},
                                {"STEPS", "steps", false}, {"WAKES", "wakes", true}, {"REASON", "reason", false}};
  view v;
  buf b;
  view_init(&v);
  buf_init(&b, &v.a, 8192);
  buf_puts(&b, "/runs");
  param(&v.a, &b, "state", args->state);
  param(&v.a, &b, "limit", args->limit);
  buf_putc(&b, 0);
  return view_end(&v, list(args, b.p, cols, 8, "no runs"));
}

int hv_dead(const hv_args *args) {
  static const column cols[] = {{"SUBJECT", "subject", false}, {"ID", "id", false}, {"CHANGED", "changed", true}, {"WORKFLOW", "workflow", false}, {"SINK", "sink", false},
                                {"CLASS", "class", false}, {"CODE", "code", false}, {"STEP", "step", false}, {"AT", "at", false}, {"REASON", "reason", false}, {"ERROR", "error", false}};
  return list(args, "/dead", cols, 11, "no dead letters");
}

/* As it is written into a form of the server's: no table. */
int hv_jwks(const hv_args *args) {
  view v;
  val set;
  bool done;
  buf b;
  view_init(&v);
  int code = hv_get(args, &v.a, "/jwks", &set, &done);
  if (code || done) return view_end(&v, code);
  json_wopts pretty = {.pretty = true};
  buf_init(&b, &v.a, 1 << 20);
  if (!json_write(set, &b, &pretty)) printf("%.*s\n", (int)b.len, b.p);
  return view_end(&v, EXIT_OK);
}

int hv_sinks(const hv_args *args) {
  static const column cols[] = {{"SINK", "name", false}, {"KIND", "kind", false}, {"STATE", "state", false}, {"QUEUED", "queued", false}, {"OLDEST (S)", "oldest_s", false},
                                {"IN FLIGHT", "in_flight", false}, {"ROOM", "room", false}, {"REQUESTS", "requests", false}, {"429", "throttled", false},
                                {"STEPS", "steps", false}, {"DELIVERED", "delivered", false}, {"FAILED", "failed", false}, {"DEAD", "dead", false}, {"LOGIN", "login.state", false}, {"UNTIL", "login.until", true}, {"LAST ERROR", "last_error", false}};
  return list(args, "/sinks", cols, 16, "no connections");
}

int hv_lanes(const hv_args *args) {
  static const column cols[] = {{"LANE", "lane", false}, {"WORKFLOW", "workflow", false}, {"STATE", "state", false}, {"RUN", "run", false}, {"RUN IS", "run_state", false},
                                {"SINCE", "since", true}, {"WAKES", "wakes", true}, {"WAITING", "waiting", false}, {"SINK", "sink", false}, {"DELIVERY", "delivery", false}, {"REASON", "reason", false}};
  view v;
  buf b;
  view_init(&v);
  buf_init(&b, &v.a, 8192);
  buf_puts(&b, "/lanes");
  param(&v.a, &b, "limit", args->limit);
  buf_putc(&b, 0);
  return view_end(&v, list(args, b.p, cols, 11, "no lane is held, and nobody waits for a turn"));
}

int hv_loss(const hv_args *args) {
  static const column cols[] = {{"SENDER", "sender", false}, {"PATH", "path", false}, {"NAME", "name", false}, {"INPUTS", "inputs", false}, {"OF", "of", false}, {"LAST", "last", true}};
  view v;
  buf b;
  view_init(&v);
  buf_init(&b, &v.a, 8192);
  buf_puts(&b, "/loss");
  param(&v.a, &b, "sender", args->sender);
  param(&v.a, &b, "limit", args->limit);
  buf_putc(&b, 0);
  return view_end(&v, list(args, b.p, cols, 6, "nothing: all that arrived is read or dropped"));
}

int hv_limits(const hv_args *args) {
  static const column cols[] = {{"LIMIT", "name", false}, {"VALUE", "value", false}, {"DEFAULT", "default", false}, {"MEANING", "meaning", false}};
  return list(args, "/limits", cols, 4, "none");
}

/* ---- one thing -------------------------------------------------------------------------------------------------------------------------- */

static bool target_id(const hv_args *args, const char *path, char out[80]) {
  uint64_t id = 0;
  char *end = NULL;
  if (args->nwords == 1) id = strtoull(args->words[0], &end, 10);
  if (!end || *end || end == args->words[0]) {
    hv_say("%s needs an id (a number)", args->command);
    return false;
  }
  snprintf(out, 80, "%s%llu", path, (unsigned long long)id);
  return true;
}

static void line(view *v, val x, const char *title, const char *member, bool time) {
  const char *s = time ? hv_time_cell(&v->a, x, member) : hv_cell(&v->a, x, member);
  if (s[0]) printf("%-14s %s\n", title, s);
}

static void print_step(view *v, val x) {
  printf("  %-8s %-16s %-10s %s  %s\n", hv_cell(&v->a, x, "path"), hv_cell(&v->a, x, "operation"), hv_cell(&v->a, x, "state"), hv_time_cell(&v->a, x, "time"), hv_cell(&v->a, x, "at"));
  const char *err = hv_cell(&v->a, x, "error"), *n = hv_cell(&v->a, x, "attempts");
  if (strcmp(n, "1") && n[0]) printf("           attempts %s\n", n);
  if (err[0]) printf("           error    %s: %s\n", hv_cell(&v->a, x, "class"), err);
  if (jv_get(x, "request").tag != VAL_EMPTY) printf("           request  %.400s\n", hv_cell(&v->a, x, "request"));
  if (jv_get(x, "result").tag != VAL_EMPTY) printf("           result   %.400s\n", hv_cell(&v->a, x, "result"));
}

static void print_delivery(view *v, val x) {
  printf("  %-8s %-16s %-10s %s  to %s, delivery %s, key %s\n", hv_cell(&v->a, x, "path"), hv_cell(&v->a, x, "operation"), hv_cell(&v->a, x, "state"),
         hv_time_cell(&v->a, x, "changed"), hv_cell(&v->a, x, "sink"), hv_cell(&v->a, x, "id"), hv_cell(&v->a, x, "idempotency_key"));
  const char *err = hv_cell(&v->a, x, "error"), *n = hv_cell(&v->a, x, "attempts");
  if (strcmp(n, "1") && strcmp(n, "0")) printf("           attempts %s\n", n);
  if (err[0]) printf("           error    %s: %s\n", hv_cell(&v->a, x, "class"), err);
  if (jv_get(x, "request").tag != VAL_EMPTY) printf("           request  %.400s\n", hv_cell(&v->a, x, "request"));
  if (jv_get(x, "response").tag != VAL_EMPTY) printf("           response %.400s\n", hv_cell(&v->a, x, "response"));
}

int hv_run(const hv_args *args) {
  if (args->until) return hv_trace(args);
  view v;
  val r;
  bool done;
  char target[80];
  if (!target_id(args, "/runs/", target)) return EXIT_USAGE;
  view_init(&v);
  int code = hv_get(args, &v.a, target, &r, &done);
  if (code || done) return view_end(&v, code);
  printf("run %s of %s, %s\n", hv_cell(&v.a, r, "id"), hv_cell(&v.a, r, "workflow"), hv_cell(&v.a, r, "state"));
  line(&v, r, "message", "message", false);
  line(&v, r, "created", "created", true);
  line(&v, r, "changed", "changed", true);
  line(&v, r, "wakes", "wakes", true);
  static const char *const members[] = {"outcome", "class", "code", "reason", "step", "at"};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) line(&v, r, members[i], members[i], false);
  val steps = jv_get(r, "journal"), out = jv_get(r, "deliveries");
  printf("\nsteps\n");
  for (uint32_t i = 0; i < jv_count(steps); i++) print_step(&v, jv_item(steps, i));
  if (!jv_count(steps)) printf("  none\n");
  printf("\ndeliveries\n");
  for (uint32_t i = 0; i < jv_count(out); i++) print_delivery(&v, jv_item(out, i));
  if (!jv_count(out)) printf("  none\n");
  if (jv_get(r, "result").tag != VAL_EMPTY) printf("\nresult\n  %s\n", hv_cell(&v.a, r, "result"));
  return view_end(&v, EXIT_OK);
}
