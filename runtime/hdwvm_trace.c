/* hdwvm_trace.c - hdwvm run ID --until STEP: the run executed again from its record, and what its names held before the step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hdwvm.h"
#include "meta.h"

enum { SHOWN = 300 };

/* One line of a value: cut, ends of HL7 segments as line breaks would be. */
static void print_value(arena *a, val x) {
  const char *s = hv_cell(a, x, "value");
  if (jv_get(x, "type").tag != VAL_EMPTY) {
    const char *items = hv_cell(a, x, "items"), *bytes = hv_cell(a, x, "bytes");
    printf("(%s%s%s%s)\n", hv_cell(a, x, "type"), items[0] || bytes[0] ? ", " : "", items[0] ? items : bytes, items[0] ? " items" : bytes[0] ? " bytes" : "");
    return;
  }
  if (!s[0]) s = "{}";
  for (size_t i = 0; s[i] && i < SHOWN; i++) putchar(s[i] == '\r' || s[i] == '\n' ? '|' : s[i]);
  printf("%s\n", strlen(s) > SHOWN ? " ..." : "");
}

static void print_frame(arena *a, val f) {
  val names = jv_get(f, "names");
  size_t wide = 0;
  printf("\n%s   (%s)\n", hv_cell(a, f, "function"), hv_cell(a, f, "at"));
  for (uint32_t i = 0; i < jv_count(names); i++) {
    size_t n = strlen(hv_cell(a, jv_item(names, i), "name"));
    if (n > wide && n < 40) wide = n;
  }
  for (uint32_t i = 0; i < jv_count(names); i++) {
    printf("  %-*s = ", (int)wide, hv_cell(a, jv_item(names, i), "name"));
    print_value(a, jv_item(names, i));
  }
  if (!jv_count(names)) printf("  no names yet\n");
}

static void print_steps(arena *a, val steps, bool last_is_here) {
  uint32_t n = jv_count(steps);
  printf("\n  %-4s %-10s %-5s %-28s %-8s %s\n", "STEP", "PATH", "KIND", "OPERATION", "STATE", "AT");
  for (uint32_t i = 0; i < n; i++) {
    val s = jv_item(steps, i);
    const char *c = hv_cell(a, s, "connection"), *op = hv_cell(a, s, "operation"), *dot = strchr(op, '.');
    char what[120];
    snprintf(what, sizeof what, "%.60s%s%.50s", c, c[0] ? "." : "", c[0] && dot ? dot + 1 : op);
    printf("%s %-4s %-10s %-5s %-28s %-8s %s\n", last_is_here && i + 1 == n ? ">" : " ", hv_cell(a, s, "step"), hv_cell(a, s, "path"), hv_cell(a, s, "kind"), what,
           hv_cell(a, s, "state"), hv_cell(a, s, "at"));
  }
}

int hv_trace(const hv_args *args) {
  io_mem heap;
  arena a;
  buf b;
  val t;
  bool done;
  char *end = NULL;
  unsigned long long id = args->nwords == 1 ? strtoull(args->words[0], &end, 10) : 0;
  if (!end || *end || end == args->words[0]) {
    hv_say("run needs an id (a number)");
    return EXIT_USAGE;
  }
  io_mem_init(&heap, 0);
  arena_init(&a, &heap.m, 0);
  buf_init(&b, &a, 4096);
  buf_putf(&b, "/trace/%llu", id);
  hv_param(&a, &b, "until", strcmp(args->until, "end") ? args->until : "");
  hv_param(&a, &b, "reason", args->reason);
  buf_putc(&b, 0);
  int code = hv_get(args, &a, b.p, &t, &done);
  if (!code && !done) {
    const char *stopped = hv_cell(&a, t, "stopped"), *why = hv_cell(&a, t, "reason");
    bool at_end = !strcmp(stopped, "the end");
    printf("run %s of %s, %s; executed again up to %s%s%s\n", hv_cell(&a, t, "run"), hv_cell(&a, t, "workflow"), hv_cell(&a, t, "state"), stopped, why[0] ? ": " : "", why);
    print_steps(&a, jv_get(t, "steps"), !at_end && !why[0]);
    if (jv_get(t, "request").tag != VAL_EMPTY) printf("\nrequest\n  %.600s\n", hv_cell(&a, t, "request"));
    if (jv_get(t, "result").tag != VAL_EMPTY) printf("\nresult\n  %.600s\n", hv_cell(&a, t, "result"));
    val frames = jv_get(t, "frames");
    for (uint32_t i = 0; i < jv_count(frames); i++) print_frame(&a, jv_item(frames, i));
  }
  arena_free(&a);
  return code;
}
