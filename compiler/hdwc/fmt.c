/* fmt.c - hdwc fmt: sources in their one form. */
#include "fmt.h"
#include <string.h>
#include "hdwc.h"

/* A file with mistakes is left as it is, and the mistakes are shown. */
static void mistakes(arena *a, const char *path, const char *text, size_t len) {
  diag_list l;
  diag_parse_sink sink;
  parse_result r;
  diag_init(&l, a);
  diag_parse_sink_init(&sink, &l, diag_file_add(&l, path, text, len));
  (void)parse_file(a, text, len, &sink.sink, &r);
  hc_diag_stderr(&l, true);
}

/* Formats one file; *changed when it was not in its form yet. False: it could not be read, parsed or written (said). */
static bool format(hdwc *h, const char *path, bool only_check, bool *changed) {
  arena a;
  const char *text;
  size_t len;
  arena_init(&a, &h->mem.m, 0);
  bool ok = hc_read_say(&a, path, &text, &len);
  if (ok) {
    buf b;
    buf_init(&b, &a, 64 << 20);
    hdw_status s = fmt_source(&a, text, len, &b);
    *changed = !s && (b.len != len || memcmp(b.p, text, len) != 0);
    if (s == HDW_E_SYNTAX) mistakes(&a, path, text, len);
    else if (s) hc_say("%s: %s", path, hdw_status_text(s));
    ok = !s && (only_check || !*changed || (strcmp(path, "-") != 0 && hc_write(&a, path, b.p, b.len)));
    if (!s && !only_check && strcmp(path, "-") == 0) {
      hc_print(&b);
      ok = true;
    }
  }
  arena_free(&a);
  return ok;
}

int hc_fmt(hdwc *h, const hc_command *c, int argc, char **argv) {
  bool only_check = false, failed = false;
  const hc_option options[] = {{"check", &only_check, NULL}};
  hc_args args;
  int status;
  if (!hc_parse(h, c, argc, argv, options, 1, &args, &status)) return status;
  if (args.n == 0) return hc_usage(c, "what is to be formatted?");
  hc_list files = {0};
  for (int i = 0; i < args.n; i++) {
    bool dir = false;
    if (strcmp(args.v[i], "-") != 0 && !hc_exists(args.v[i], &dir)) {
      hc_say("there is no file or folder '%s'", args.v[i]);
      return EXIT_USAGE;
    }
    if (!(dir ? hc_walk(&h->a, args.v[i], ".hdw", &files) : hc_list_add(&h->a, &files, args.v[i]))) return EXIT_USAGE;
  }
  for (uint32_t i = 0; i < files.n; i++) {
    bool changed = false;
    if (!format(h, files.v[i], only_check, &changed)) failed = true;
    if (!changed || strcmp(files.v[i], "-") == 0) continue;
    if (only_check) failed = true;
    printf("%s%s\n", files.v[i], only_check ? " would change" : "");
  }
  return failed ? EXIT_FINDINGS : EXIT_OK;
}
