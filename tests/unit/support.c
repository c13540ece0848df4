#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *get(mem *m, size_t len_bytes) {
  test_mem *t = (test_mem *)m->user;
  if (t->fail_after == 0 && t->fail_more > 0) {
    t->fail_more--;
    return NULL;
  }
  if (t->fail_after >= 0 && t->fail_after-- == 0) return NULL;
  void *p = malloc(len_bytes);
  if (p) t->live_bytes += len_bytes;
  return p;
}

static void put(mem *m, void *p, size_t len_bytes) {
  test_mem *t = (test_mem *)m->user;
  if (p) t->live_bytes -= len_bytes;
  free(p);
}

void test_mem_init(test_mem *t) {
  memset(t, 0, sizeof *t);
  t->m = (mem){get, put, t};
  t->fail_after = -1;
}

char *test_read_file(const char *path, size_t *len) {
  char full[1024];
  snprintf(full, sizeof full, "%s/%s", HDW_SOURCE_DIR, path);
  FILE *f = fopen(full, "rb");
  if (!f) fail_msg("cannot read %s", full);
  fseek(f, 0, SEEK_END);
  long n = ftell(f);
  rewind(f);
  char *s = (char *)malloc((size_t)n + 1);
  if (!s || fread(s, 1, (size_t)n, f) != (size_t)n) fail_msg("cannot read %s", full);
  s[n] = 0;
  fclose(f);
  if (len) *len = (size_t)n;
  return s;
}

void test_cells(const char *row, char room[1024], const char **v, unsigned n) {
  if (strlen(row) >= 1024) fail_msg("too long: %s", row);
  char *p = strcpy(room, row);
  for (unsigned i = 0; i < n; i++) {
    char *end = strstr(p, " > ");
    if (!end != (i + 1 == n)) fail_msg("not %u cells: %s", n, row);
    v[i] = p;
    if (end) *end = 0, p = end + 3;
  }
}
