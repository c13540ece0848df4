/* explain.c - hdwc explain CODE. */
#include <string.h>
#include "hdwc.h"

int hc_explain(hdwc *h, const hc_command *c, int argc, char **argv) {
  hc_args args;
  int status;
  if (!hc_parse(h, c, argc, argv, NULL, 0, &args, &status)) return status;
  if (args.n != 1) return hc_usage(c, "one code, please: hdwc explain E0101");
  const diag_row *row = diag_find(args.v[0], strlen(args.v[0]));
  if (!row) {
    hc_say("there is no diagnostic '%s'", args.v[0]);
    return EXIT_USAGE;
  }
  buf b;
  buf_init(&b, &h->a, 1 << 20);
  diag_explain(&b, row);
  hc_print(&b);
  return EXIT_OK;
}
