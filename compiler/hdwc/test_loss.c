/* test_loss.c - `hdwc test --loss`: what came in the inputs of tests and no workflow reads or drops (runtime/engine_loss.c counts it). */
#include <stdlib.h>
#include <string.h>
#include "engine.h"
#include "json.h"
#include "test.h"

void test_loss_add(test_loss *l, const engine_loss *x, const test_case *c) {
  loss_row *r = l->rows;
  while (r && strcmp(r->path, x->path) != 0) r = r->next;
  if (!r) {
    r = (loss_row *)arena_zalloc(l->a, 1, sizeof *r);
    if (!r) return;
    *r = (loss_row){.path = hc_text(l->a, "%s", x->path), .title = x->title, .example = c, .next = l->rows};
    l->rows = r;
    l->n++;
  }
  r->inputs += x->inputs;
}

static int by_path(const void *a, const void *b) {
  const loss_row *x = *(const loss_row *const *)a, *y = *(const loss_row *const *)b;
  return strverscmp(x->path, y->path);
}

static const loss_row **sorted(const test_loss *l) {
  const loss_row **v = (const loss_row **)arena_zalloc(l->a, (size_t)l->n + 1, sizeof *v);
  uint32_t n = 0;
  for (const loss_row *r = l->rows; v && r; r = r->next) v[n++] = r;
  if (v) qsort(v, n, sizeof *v, by_path);
  return v;
}

/* A path as it stands in `drop`; paths of JSON begin at a resource and are none. */
static bool droppable(const char *path) { return path[0] != '(' && !strchr(path, '.') && strcmp(path, "body") != 0; }

void test_loss_text(buf *b, const test_loss *l) {
  const loss_row **v = sorted(l);
  size_t wide = 4, name = 4;
  uint32_t drops = 0;
  if (!l->n || !v) {
    buf_puts(b, "unread: nothing; all that came in these tests is read or dropped\n");
    return;
  }
  for (uint32_t i = 0; i < l->n; i++) {
    if (strlen(v[i]->path) > wide) wide = strlen(v[i]->path);
    if (strlen(v[i]->title) > name) name = strlen(v[i]->title);
  }
  buf_putf(b, "unread: %u part%s of what came %s neither read nor dropped\n  %-*s  %-*s  inputs  for example\n", l->n, l->n == 1 ? "" : "s", l->n == 1 ? "is" : "are", (int)wide, "path", (int)name, "name");
  for (uint32_t i = 0; i < l->n; i++) {
    buf_putf(b, "  %-*s  %-*s  %6llu  %s (%s:%u)\n", (int)wide, v[i]->path, (int)name, v[i]->title, (unsigned long long)v[i]->inputs, v[i]->example->name, v[i]->example->file, v[i]->example->line);
    drops += droppable(v[i]->path);
  }
  if (!drops) return;
  buf_puts(b, "read what is wanted; where the rest is not: drop");
  const char *sep = " ";
  for (uint32_t i = 0; i < l->n; i++) {
    if (!droppable(v[i]->path)) continue;
    buf_putf(b, "%smsg.%s", sep, v[i]->path);
    sep = ", ";
  }
  buf_putc(b, '\n');
}

void test_loss_json(buf *b, const test_loss *l) {
  const loss_row **v = sorted(l);
  buf_puts(b, "[");
  for (uint32_t i = 0; v && i < l->n; i++) {
    buf_puts(b, i ? ",{\"path\":" : "{\"path\":");
    json_write_str(b, v[i]->path, strlen(v[i]->path));
    buf_puts(b, ",\"name\":");
    json_write_str(b, v[i]->title, strlen(v[i]->title));
    buf_putf(b, ",\"inputs\":%llu,\"test\":", (unsigned long long)v[i]->inputs);
    json_write_str(b, v[i]->example->name, strlen(v[i]->example->name));
    buf_puts(b, ",\"file\":");
    json_write_str(b, v[i]->example->file, strlen(v[i]->example->file));
    buf_putf(b, ",\"line\":%u}", v[i]->example->line);
  }
  buf_puts(b, "]");
}
