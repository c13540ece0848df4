/* args.c - reading arguments, and saying what is wrong with them. */
#include <stdarg.h>
#include <string.h>
#include "hdwc.h"

void hc_say(const char *f, ...) {
  va_list ap;
  va_start(ap, f);
  fputs("hdwc: ", stderr);
  vfprintf(stderr, f, ap);
  fputc('\n', stderr);
  va_end(ap);
}

int hc_usage(const hc_command *c, const char *f, ...) {
  va_list ap;
  va_start(ap, f);
  fprintf(stderr, "hdwc %s: ", c->name);
  vfprintf(stderr, f, ap);
  fprintf(stderr, "\nusage: hdwc %s\n", c->usage);
  va_end(ap);
  return EXIT_USAGE;
}

int hc_choice(const char *text, const char *const *list) {
  for (int i = 0; list[i]; i++)
    if (strcmp(list[i], text) == 0) return i;
  return -1;
}

const char *hc_text(arena *a, const char *f, ...) {
  char small[256];
  va_list ap, again;
  va_start(ap, f);
  va_copy(again, ap);
  int n = vsnprintf(small, sizeof small, f, ap);
  va_end(ap);
  char *p = n < 0 ? NULL : (char *)arena_alloc(a, (size_t)n + 1);
  if (p) vsnprintf(p, (size_t)n + 1, f, again);
  va_end(again);
  return p ? p : "";
}

const char *hc_cut(arena *a, const char *s, size_t len, size_t max) {
  size_t n = len < max ? len : max;
  while (n && n < len && ((unsigned char)s[n] & 0xC0) == 0x80) n--;
  return hc_text(a, "%.*s%s", (int)n, s ? s : "", n < len ? "..." : "");
}

void hc_print(const buf *b) {
  if (b->len) fwrite(b->p, 1, b->len, stdout);
}

static int help(const hc_command *c) {
  printf("usage: hdwc %s\n\n%s.\n", c->usage, c->brief);
  if (c->help[0]) printf("\n%s", c->help);
  return EXIT_OK;
}

/* -o is the only one that has a letter; everything else that begins with one '-' may be an expression. */
static bool letter_option(const hc_option *options, size_t n, char c) {
  for (size_t k = 0; k < n; k++)
    if (options[k].name[0] == c && !options[k].name[1]) return true;
  return false;
}

bool hc_parse(hdwc *h, const hc_command *c, int argc, char **argv, const hc_option *options, size_t noptions, hc_args *out, int *status) {
  out->n = 0;
  out->v = (const char **)arena_zalloc(&h->a, (size_t)argc + 1, sizeof *out->v);
  if (!out->v) return *status = EXIT_USAGE, false;
  bool open = true;
  for (int i = 0; i < argc; i++) {
    const char *w = argv[i];
    bool letter = open && w[0] == '-' && w[1] && !w[2] && letter_option(options, noptions, w[1]);
    if (!letter && (!open || w[0] != '-' || w[1] != '-')) {
      out->v[out->n++] = w;
      continue;
    }
    if (!letter && !w[2]) {
      open = false;
      continue;
    }
    const char *name = letter ? w + 1 : w + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    if (len == 4 && memcmp(name, "help", 4) == 0) return *status = help(c), false;
    const hc_option *o = NULL;
    for (size_t k = 0; k < noptions; k++)
      if (strlen(options[k].name) == len && memcmp(options[k].name, name, len) == 0) o = &options[k];
    if (!o) return *status = hc_usage(c, "there is no option '%.*s'", (int)(name - w) + (int)len, w), false;
    if (o->flag) {
      if (eq) return *status = hc_usage(c, "'--%s' takes no value", o->name), false;
      *o->flag = true;
    } else if (eq) {
      *o->text = eq + 1;
    } else if (i + 1 < argc) {
      *o->text = argv[++i];
    } else {
      return *status = hc_usage(c, "'--%s' needs a value", o->name), false;
    }
  }
  return true;
}
