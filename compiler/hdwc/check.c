/* check.c - hdwc check: every program below the given paths is compiled, every finding is said once. */
#include <unistd.h>
#include "hdwc.h"

int hc_check(hdwc *h, const hc_command *c, int argc, char **argv) {
  static const char *const formats[] = {"text", "json", "sarif", NULL};
  const char *format = "text";
  bool strict = false;
  const hc_option options[] = {{"format", NULL, &format}, {"strict", &strict, NULL}};
  hc_args args;
  int status, how;
  hc_sources s;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n == 0) return hc_usage(c, "what is to be checked?");
  if ((how = hc_choice(format, formats)) < 0) return hc_usage(c, "there is no format '%s'", format);
  if (!hc_sources_open(&s, &h->a, args.v, args.n)) return EXIT_USAGE;
  uint32_t n, *roots = hc_sources_roots(&s, &n);
  diag_list all;
  diag_init(&all, &h->a);
  for (uint32_t i = 0; roots && i < n; i++) {
    arena a;
    diag_list l;
    comp_result r;
    arena_init(&a, &h->mem.m, 0);
    diag_init(&l, n == 1 ? &h->a : &a);
    comp_options opt = {.check_only = true, .tests = true};
    bool ok = hc_compile(&s, &roots[i], 1, opt, n == 1 ? &h->a : &a, &l, &r);
    if (ok && n == 1) all = l;
    else if (ok) hc_diag_merge(&all, &l);
    arena_free(&a);
    if (!ok) return EXIT_USAGE;
  }
  diag_sort(&all);
  buf b;
  buf_init(&b, &h->a, 256 << 20);
  diag_text_options o = {.color = h->color};
  if (how == 0) diag_text(&b, &all, &o);
  else if (how == 1) diag_json(&b, &all);
  else diag_sarif(&b, &all, HDW_VERSION);
  if (how && b.len && b.p[b.len - 1] != '\n') buf_putc(&b, '\n');
  hc_print(&b);
  return all.errors || (strict && all.warnings) ? EXIT_FINDINGS : EXIT_OK;
}
