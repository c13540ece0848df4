/* hdwsim_folders.c - the systems behind the folders: one takes whatever file is in drop, the other the lines in journal/lines, now and then.
 *
 * A file is whole or not there. A line may be cut off where the daemon died while it was written: then it is none, and the next one stands on its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hdwsim.h"

enum { FINDS = 2 * SIM_MSGS };

typedef struct find {
  message *m;
  unsigned fx, version;
  uint64_t body;
} find;

struct folder_state {
  io_timer next;
  int64_t looked_us;
  find v[FINDS];             /* of one look */
  unsigned n;
  uint32_t cut, hidden;      /* lines that are none; files under other names, at the latest look */
};

/* "v1 M17.a ... end": what the program writes. */
static bool take(world *w, unsigned fx, const char *p, size_t len) {
  struct folder_state *f = w->folders;
  const char *id = p + 3, *dot = len > 8 ? (const char *)memchr(id, '.', len - 3) : NULL, *end = dot ? (const char *)memchr(dot, ' ', len - (size_t)(dot - p)) : NULL;
  if (!end || p[0] != 'v' || p[1] < '1' || p[1] > '2' || p[2] != ' ' || memcmp(p + len - 4, " end", 4) != 0) return false;
  message *m = model_find(w, id, (size_t)(dot - id), dot + 1, (size_t)(end - dot - 1));
  for (size_t i = (size_t)(end - p) + 1; i < len - 4; i++)
    if (p[i] != '.') return false;
  if (!m) broken(w, "a file or line is about a message that nobody sent: %.*s", (int)(end - p), p);
  if (f->n == FINDS) broken(w, "too many files and lines at once");
  f->v[f->n++] = (find){m, fx, (unsigned)(p[1] - '0'), hash_of(p, len)};
  return true;
}

static bool a_file(const char *name, const void *p, size_t len, void *user) {
  world *w = (world *)user;
  struct folder_state *f = w->folders;
  if (name[0] == '.') { /* being written, or left by a dead one */
    f->hidden++;
    return false;
  }
  if (!take(w, FX_FILE, (const char *)p, len)) broken(w, "the file %s is not whole: %zu bytes, '%.*s'", name, len, len < 80 ? (int)len : 80, (const char *)p);
  const message *m = f->v[f->n - 1].m;
  size_t n = strlen(m->id);
  if (strncmp(name, m->id, n) != 0 || name[n] != '.' || strncmp(name + n + 1, m->tag, strlen(m->tag)) != 0) broken(w, "the file %s has the content of %s.%s", name, m->id, m->tag);
  return true;
}

static bool lines(const char *name, const void *p, size_t len, void *user) {
  world *w = (world *)user;
  const char *at = (const char *)p, *end = at + len;
  (void)name;
  while (at < end) {
    const char *nl = (const char *)memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((nl ? nl : end) - at);
    if (n && (!nl || !take(w, FX_LINE, at, n))) {
      say(w, "journal: a line that is none, %zu bytes", n);
      if (++w->folders->cut > w->deaths + w->disk_faults) broken(w, "%u lines are not whole, and the daemon died %u times", w->folders->cut, w->deaths);
    }
    at += n + (nl != NULL);
  }
  return true;
}

static int by_message(const void *a, const void *b) {
  const find *x = (const find *)a, *y = (const find *)b;
  return x->m != y->m ? (x->m < y->m ? -1 : 1) : (int)x->fx - (int)y->fx;
}

void folders_look(world *w) {
  struct folder_state *f = w->folders;
  f->n = f->hidden = 0;
  io_sim_look(w->io, "drop", a_file, w);
  io_sim_look(w->io, "journal", lines, w);
  qsort(f->v, f->n, sizeof *f->v, by_message);
  for (unsigned i = 0; i < f->n; i++) {
    const find *x = &f->v[i];
    say(w, "%s: %s.%s is there, by version %u", x->fx == FX_FILE ? "drop" : "journal", x->m->id, x->m->tag, x->version);
    model_found(w, x->m, x->fx, x->body, x->version, f->looked_us);
  }
  for (unsigned i = 0; i < f->n; i++) model_found_in_order(w, f->v[i].m, f->v[i].fx);
  f->looked_us = now_us(w);
}

static void on_time(void *user) {
  world *w = (world *)user;
  io_timer_set(w->io, &w->folders->next, draw_time(w, 60 * SECOND), on_time, w);
  folders_look(w);
}

void folders_start(world *w) {
  w->folders = (struct folder_state *)calloc(1, sizeof *w->folders);
  on_time(w);
}

void folders_free(world *w) {
  io_timer_cancel(w->io, &w->folders->next);
  free(w->folders);
}
