/* build.c - hdwc build, hdwc disasm: modules. */
#include <string.h>
#include "hdwc.h"

/* A module is called as the folder, or the file without its suffix. */
static const char *module_name(arena *a, const char *path) {
  const char *real = hc_real(a, path), *name = hc_basename(real ? real : path);
  return hc_has_suffix(name, ".hdw") ? hc_text(a, "%.*s", (int)strlen(name) - 4, name) : name;
}

int hc_build(hdwc *h, const hc_command *c, int argc, char **argv) {
  const char *out = NULL;
  const hc_option options[] = {{"o", NULL, &out}, {"out", NULL, &out}};
  hc_args args;
  int status;
  hc_sources s;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n == 0) return hc_usage(c, "what is to be built?");
  if (!out) return hc_usage(c, "-o OUT.hdwb is missing");
  if (!hc_sources_open(&s, &h->a, args.v, args.n)) return EXIT_USAGE;
  uint32_t n = s.n, *files = (uint32_t *)arena_zalloc(&h->a, n, sizeof *files);
  if (!files) return EXIT_USAGE;
  for (uint32_t i = 0; i < n; i++) files[i] = i;
  diag_list l;
  comp_result r;
  comp_options opt = {.name = module_name(&h->a, args.v[0])};
  diag_init(&l, &h->a);
  if (!hc_compile(&s, files, n, opt, &h->a, &l, &r)) return EXIT_USAGE;
  hc_diag_stderr(&l, true);
  if (l.errors || !r.bytes) return EXIT_FINDINGS;
  hc_module_seal(r.bytes, r.len_bytes);
  return hc_write(&h->a, out, r.bytes, r.len_bytes) ? EXIT_OK : EXIT_USAGE;
}

int hc_disasm(hdwc *h, const hc_command *c, int argc, char **argv) {
  hc_args args;
  int status;
  const char *text;
  size_t len;
  if (!hc_parse(h, c, argc, argv, NULL, 0, &args, &status)) return status;
  if (args.n != 1) return hc_usage(c, "one module, please");
  if (!hc_read_say(&h->a, args.v[0], &text, &len)) return EXIT_USAGE;
  module m;
  mod_error e = {0};
  hdw_status st = mod_load(&h->a, (const uint8_t *)text, len, &m, &e);
  if (st) {
    hc_say("%s: %s", args.v[0], e.text[0] ? e.text : hdw_status_text(st));
    return EXIT_FINDINGS;
  }
  buf b;
  buf_init(&b, &h->a, 1 << 30);
  mod_disasm(&m, &b);
  hc_print(&b);
  st = mod_verify(&h->a, &m, &e);
  if (!st) return EXIT_OK;
  hc_say("%s: not verified: %s", args.v[0], e.text[0] ? e.text : hdw_status_text(st));
  return EXIT_FINDINGS;
}
