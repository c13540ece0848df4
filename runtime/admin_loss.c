/* admin_loss.c - what arrived and no workflow reads or drops, by sender and path (engine_loss.c). */
#include <stdlib.h>
#include "admin_int.h"

typedef struct losses {
  admin_query *q;
  const char *sender;        /* NULL = all */
  engine_loss *v;
  uint32_t n, cap;
  bool nomem;
} losses;

static void keep(void *user, const engine_loss *l) {
  losses *x = (losses *)user;
  if (x->sender && strcmp(x->sender, l->sender) != 0) return;
  if (x->n == x->cap) {
    uint32_t cap = x->cap ? x->cap * 2 : 64;
    engine_loss *v = (engine_loss *)arena_grow(x->q->a, x->v, x->cap * sizeof *v, cap * sizeof *v);
    x->nomem |= !v;
    if (!v) return;
    x->v = v;
    x->cap = cap;
  }
  x->v[x->n++] = *l;
}

/* By sender; there the most frequent first. */
static int order(const void *a, const void *b) {
  const engine_loss *x = (const engine_loss *)a, *y = (const engine_loss *)b;
  int c = strcmp(x->sender, y->sender);
  if (c) return c;
  if (x->inputs != y->inputs) return x->inputs > y->inputs ? -1 : 1;
  return strverscmp(x->path, y->path);
}

int admin_loss(admin_query *q) {
  losses x = {.q = q, .sender = admin_param(q, "sender")};
  unsigned limit = 1000;
  int bad = admin_limit(q, ADMIN_MAX_LIMIT, &limit);
  if (bad) return bad;
  engine_losses(q->ad->e, keep, &x);
  if (x.nomem) return admin_error(q, 503, "out of memory");
  if (!q->ad->e->o.config->top.loss && !x.n) return admin_error(q, 404, "nothing is counted: set \"loss\": true in hdw.json");
  if (x.n) qsort(x.v, x.n, sizeof *x.v, order);
  buf_puts(q->b, "[");
  for (uint32_t i = 0; i < x.n && i < limit; i++) {
    const engine_loss *l = &x.v[i];
    bool f = true;
    buf_puts(q->b, i ? ",{" : "{");
    admin_text(q->b, &f, "sender", l->sender, strlen(l->sender));
    admin_text(q->b, &f, "path", l->path, strlen(l->path));
    if (l->title[0]) admin_text(q->b, &f, "name", l->title, strlen(l->title));
    admin_number(q->b, &f, "inputs", l->inputs);
    admin_number(q->b, &f, "of", l->sender_inputs);
    if (l->last_us) admin_time(q->b, &f, "last", l->last_us);
    buf_puts(q->b, "}");
  }
  buf_puts(q->b, "]");
  return 200;
}
