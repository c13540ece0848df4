/* hdwvm_messages.c - messages and message: finding an input, and what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include "hdwvm.h"
#include "json.h"
#include "meta.h"

static const hv_column cols[] = {{"ID", "id", false}, {"RECEIVED", "received", true}, {"SOURCE", "source", false}, {"TYPE", "type", false}, {"SENDER", "sender", false},
                                 {"CONTROL ID", "control_id", false}, {"ACK", "ack", false}, {"STATE", "state", false}, {"TEXT", "text", false}};
enum { NCOLS = sizeof cols / sizeof *cols };

/* The target without limit and after; NULL: wrong use. */
static const char *target(const hv_args *args, arena *a) {
  buf b;
  char t[32];
  buf_init(&b, a, 8192);
  buf_puts(&b, "/messages?page=1");
  hv_param(a, &b, "control_id", args->control_id);
  hv_param(a, &b, "sender", args->sender);
  hv_param(a, &b, "patient", args->patient);
  hv_param(a, &b, "type", args->type);
  hv_param(a, &b, "state", args->state);
  if (args->since && !hv_since("--since", args->since, t)) return NULL;
  if (args->since) hv_param(a, &b, "since", t);
  if (args->until && !hv_since("--until", args->until, t)) return NULL;
  if (args->until) hv_param(a, &b, "until", t);
  buf_putc(&b, 0);
  return b.p;
}

typedef struct rows {
  val *v;
  unsigned n, cap;
} rows;
static void keep(rows *r, arena *a, val list) {
  for (uint32_t i = 0; i < jv_count(list); i++) {
    if (r->n == r->cap) {
      unsigned cap = r->cap ? r->cap * 2 : 64;
      val *p = (val *)arena_grow(a, r->v, r->cap * sizeof *p, cap * sizeof *p);
      if (!p) return;
      r->v = p, r->cap = cap;
    }
    r->v[r->n++] = jv_item(list, i);
  }
}

/* Page after page until there are enough: the daemon looks at a bounded number of rows each time. */
static int fetch(const hv_args *args, arena *a, unsigned limit, const char *after, rows *out, char next[24]) {
  const char *base = target(args, a);
  hv_args quiet = *args;
  quiet.json = false;
  if (!base) return EXIT_USAGE;
  snprintf(next, 24, "%s", after ? after : "");
  do {
    buf b;
    val page;
    bool done;
    char left[16];
    buf_init(&b, a, 8192);
    buf_puts(&b, base);
    snprintf(left, sizeof left, "%u", limit - out->n > 1000 ? 1000 : limit - out->n);
    hv_param(a, &b, "limit", left);
    if (next[0]) hv_param(a, &b, "after", next);
    buf_putc(&b, 0);
    int code = hv_get(&quiet, a, b.p, &page, &done);
    if (code) return code;
    keep(out, a, jv_get(page, "messages"));
    snprintf(next, 24, "%s", hv_cell(a, page, "next"));
  } while (next[0] && out->n < limit);
  return EXIT_OK;
}

static void print_json(arena *a, const rows *r) {
  buf b;
  buf_init(&b, a, 256 << 20);
  buf_puts(&b, "[");
  for (unsigned i = 0; i < r->n; i++) {
    buf_puts(&b, i ? "," : "");
    (void)json_write(r->v[i], &b, NULL);
  }
  buf_puts(&b, "]\n");
  if (!b.status) fwrite(b.p, 1, b.len, stdout);
}

static void print_table(arena *a, const rows *r, const char *next) {
  const char *cells[NCOLS];
  hv_table t;
  for (unsigned c = 0; c < NCOLS; c++) cells[c] = cols[c].title;
  hv_table_init(&t, a, NCOLS, cells);
  for (unsigned i = 0; i < r->n; i++) {
    for (unsigned c = 0; c < NCOLS; c++) cells[c] = cols[c].time ? hv_time_cell(a, r->v[i], cols[c].member) : hv_cell(a, r->v[i], cols[c].member);
    hv_table_row(&t, cells);
  }
  if (r->n) hv_table_print(&t);
  else printf("no messages\n");
  if (next[0]) printf("there are more: --after %s\n", next);
}

int hv_messages(const hv_args *args) {
  io_mem heap;
  arena a;
  rows r = {NULL, 0, 0};
  char next[24];
  long limit = args->limit ? strtol(args->limit, NULL, 10) : 50; /* a number that fits, or it would not have come here */
  io_mem_init(&heap, 0);
  arena_init(&a, &heap.m, 0);
  int code = fetch(args, &a, (unsigned)limit, args->after, &r, next);
  if (!code && args->json) print_json(&a, &r);
  else if (!code) print_table(&a, &r, next);
  arena_free(&a);
  return code;
}

/* ---- one ---------------------------------------------------------------------------------------------------------------------------- */

static void line(arena *a, val x, const char *title, const char *member, bool time) {
  const char *s = time ? hv_time_cell(a, x, member) : hv_cell(a, x, member);
  if (s[0]) printf("%-14s %s\n", title, s);
}

/* Segments on their own lines. */
static void print_body(const char *s) {
  for (; s && *s; s++) {
    if (*s == '\r') putchar('\n');
    else if ((unsigned char)*s >= ' ' || *s == '\n' || *s == '\t') putchar(*s);
  }
}

static void list(arena *a, val m, const char *member, const hv_column *c, unsigned n) {
  const char *cells[16];
  hv_table t;
  val rows_of = jv_get(m, member);
  if (!jv_count(rows_of)) return;
  for (unsigned k = 0; k < n; k++) cells[k] = c[k].title;
  hv_table_init(&t, a, n, cells);
  for (uint32_t i = 0; i < jv_count(rows_of); i++) {
    for (unsigned k = 0; k < n; k++) cells[k] = c[k].time ? hv_time_cell(a, jv_item(rows_of, i), c[k].member) : hv_cell(a, jv_item(rows_of, i), c[k].member);
    hv_table_row(&t, cells);
  }
  hv_table_print(&t);
  putchar('\n');
}

static void sentences(arena *a, val m, const char *title, const char *member) {
  val l = jv_get(m, member);
  if (!jv_count(l)) return;
  printf("%s\n", title);
  for (uint32_t i = 0; i < jv_count(l); i++) {
    val one = jv_item(l, i);
    val kv[2] = {val_key("s", 1), one};
    printf("  %s\n", hv_cell(a, (val){.tag = VAL_OBJ, .len = 1, .u.v = kv}, "s"));
  }
  putchar('\n');
}

static void print_message(arena *a, val m) {
  static const hv_column runs[] = {{"RUN", "id", false}, {"WORKFLOW", "workflow", false}, {"STATE", "state", false}, {"CHANGED", "changed", true}, {"STEP", "step", false}, {"AT", "at", false},
                                   {"REASON", "reason", false}};
  static const hv_column out[] = {{"DELIVERY", "id", false}, {"RUN", "run", false}, {"SINK", "sink", false}, {"STATE", "state", false}, {"ATTEMPTS", "attempts", false},
                                  {"CHANGED", "changed", true}, {"ERROR", "error", false}};
  static const char *const members[][2] = {{"type", "type"}, {"control id", "control_id"}, {"sender", "sender"}, {"source", "source"}, {"peer", "peer"}, {"identity", "identity"}, {"bytes", "bytes"},
                                           {"state", "state"}, {"answer", "ack"}, {"error", "error"}, {"text", "text"}, {"attempts", "attempts"}, {"trace", "trace_id"}};
  printf("message %s\n", hv_cell(a, m, "id"));
  line(a, m, "received", "received", true);
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) line(a, m, members[i][0], members[i][1], false);
  putchar('\n');
  const char *hidden = hv_cell(a, m, "hidden"), *body = jv_text(a, jv_get(m, "body"));
  if (hidden[0]) printf("(%s: --reason TEXT)\n\n", hidden);
  else if (body) print_body(body), putchar('\n');
  else printf("(its bytes are not kept any more)\n\n");
  sentences(a, m, "what happened", "what");
  sentences(a, m, "next", "next");
  list(a, m, "runs", runs, 7);
  list(a, m, "deliveries", out, 7);
}

/* The id: given, or of the latest input with the control id. */
static int find_id(const hv_args *args, arena *a, char out[24]) {
  char next[24], *end = NULL;
  rows r = {NULL, 0, 0};
  if (args->nwords == 1) (void)strtoull(args->words[0], &end, 10);
  if (end && !*end && end != args->words[0]) {
    snprintf(out, 24, "%.20s", args->words[0]);
    return EXIT_OK;
  }
  if (args->nwords || !args->control_id) {
    hv_say("message needs an id (a number) or --control-id X");
    return EXIT_USAGE;
  }
  int code = fetch(args, a, 1, NULL, &r, next);
  if (code) return code;
  if (!r.n) {
    hv_say("there is no message with the control id %s", args->control_id);
    return EXIT_FINDINGS;
  }
  snprintf(out, 24, "%s", hv_cell(a, r.v[0], "id"));
  return EXIT_OK;
}

int hv_message(const hv_args *args) {
  io_mem heap;
  arena a;
  val m;
  bool done;
  char id[24], path[60];
  io_mem_init(&heap, 0);
  arena_init(&a, &heap.m, 0);
  int code = find_id(args, &a, id);
  snprintf(path, sizeof path, "/messages/%s", id);
  if (!code) code = hv_get(args, &a, path, &m, &done);
  else done = true;
  if (!code && !done) print_message(&a, m);
  arena_free(&a);
  return code;
}
