/* hdwvm_ops.c - commands of those who watch and account for a daemon: audit. */
#include <stdio.h>
#include "hdwvm.h"
#include "json.h"

static int verify(const hv_args *args, arena *a) {
  val v;
  bool done;
  int code = hv_get(args, a, "/audit?verify=1", &v, &done);
  if (code) return code;
  const char *whole = hv_cell(a, v, "whole");
  bool ok = !strcmp(whole, "true");
  if (done) return ok ? EXIT_OK : EXIT_FINDINGS;
  if (!strcmp(hv_cell(a, v, "records"), "0")) return (puts("nothing was recorded"), EXIT_OK);
  printf("%s records (%s to %s), head %s\n", hv_cell(a, v, "records"), hv_cell(a, v, "first"), hv_cell(a, v, "last"), hv_cell(a, v, "head"));
  if (hv_cell(a, v, "checkpoint")[0]) printf("what was before %s retention removed; record %s vouches for it\n", hv_cell(a, v, "first"), hv_cell(a, v, "checkpoint"));
  if (ok) printf("the chain is whole\n");
  else printf("the chain is broken at record %s: %s\n", hv_cell(a, v, "broken_at"), hv_cell(a, v, "why"));
  return ok ? EXIT_OK : EXIT_FINDINGS;
}

int hv_audit(const hv_args *args) {
  static const hv_column cols[] = {{"N", "number", false}, {"TIME", "time", true}, {"KIND", "kind", false}, {"WHO", "who", false}, {"ACTION", "action", false},
                                   {"SUBJECT", "subject", false}, {"QUERY", "query", false}, {"OUTCOME", "outcome", false}, {"REASON", "reason", false}};
  io_mem heap;
  arena a;
  buf b;
  char since[32];
  const char *body;
  size_t len;
  int code = EXIT_USAGE;
  io_mem_init(&heap, 0);
  arena_init(&a, &heap.m, 0);
  buf_init(&b, &a, 8192);
  buf_puts(&b, "/audit");
  if (args->fhir) hv_param(&a, &b, "format", "fhir");
  hv_param(&a, &b, "subject_who", args->who);
  hv_param(&a, &b, "limit", args->limit);
  hv_param(&a, &b, "after", args->after);
  bool ok = !args->since || hv_since("--since", args->since, since);
  if (ok && args->since) hv_param(&a, &b, "since", since);
  if (ok && args->fhir) {
    hv_param(&a, &b, "reason", args->reason);
    buf_putc(&b, 0);
    int status = hv_ask(args, &a, "GET", b.p, &body, &len);
    if (status > 0) fwrite(body, 1, len, status == 200 ? stdout : stderr);
    code = status == 200 ? EXIT_OK : status < 0 ? EXIT_UNAVAILABLE : EXIT_FINDINGS;
  } else if (ok && args->verify) code = verify(args, &a);
  else if (ok) {
    buf_putc(&b, 0);
    code = hv_list(args, b.p, cols, 9, "nothing was recorded");
  }
  arena_free(&a);
  return code;
}
