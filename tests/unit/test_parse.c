/* test_parse.c - lexer, grammar, tree and recovery.
 *
 * As a program with arguments it is a tool for people who work on the grammar:
 *   test_parse FILE...        reports and tree of each file
 *   test_parse --measure      damaged programs from stdin (tests/lang/syntax/mutate.py --all): a table of errors per damage */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "parse.h"
#include "support.h"

typedef struct heard {
  parse_sink sink;
  FILE *print;
  const char *src;
  unsigned n;
  parse_code codes[64];
  uint32_t offs[64];
  parse_report last;
} heard;

static void position(const char *src, uint32_t off, unsigned *line, unsigned *col) {
  *line = *col = 1;
  for (uint32_t i = 0; i < off; i++) {
    if (src[i] == '\n') ++*line, *col = 1;
    else if (((unsigned char)src[i] & 0xC0) != 0x80) ++*col;
  }
}

static void hear(parse_sink *s, const parse_report *r) {
  heard *h = (heard *)s->user;
  if (h->n < 64) {
    h->codes[h->n] = r->code;
    h->offs[h->n] = r->off;
  }
  h->n++;
  h->last = *r;
  if (h->print) {
    unsigned line, col;
    position(h->src, r->off, &line, &col);
    fprintf(h->print, "%u:%u: E0%d %s", line, col, r->code, r->text);
    if (r->other_end) {
      position(h->src, r->other_off, &line, &col);
      fprintf(h->print, " [%s at %u:%u]", r->other_label, line, col);
    }
    if (r->n_edits) fprintf(h->print, " (fix: %s)", r->help);
    fputc('\n', h->print);
  }
}

static void heard_init(heard *h, const char *src) {
  memset(h, 0, sizeof *h);
  h->sink = (parse_sink){hear, h};
  h->src = src;
}

static int tool_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return perror(path), 2;
  static char src[1 << 20];
  size_t len = fread(src, 1, sizeof src - 1, f);
  fclose(f);
  src[len] = 0;
  test_mem tm;
  test_mem_init(&tm);
  arena a;
  arena_init(&a, &tm.m, 0);
  heard h;
  heard_init(&h, src);
  h.print = stdout;
  parse_result r;
  hdw_status s = parse_file(&a, src, len, &h.sink, &r);
  printf("%s: %s, %u errors, %u nodes, %zu bytes\n", path, hdw_status_text(s), r.errors, r.nodes, a.used_bytes);
  if (getenv("DUMP") && r.root) {
    buf b;
    buf_init(&b, &a, 1 << 24);
    ast_dump(&b, src, r.root);
    printf("%.*s\n", (int)b.len, b.p);
  }
  arena_free(&a);
  return 0;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) tool_file(argv[i]);
  return 0;
}
