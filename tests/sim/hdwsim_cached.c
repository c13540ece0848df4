/* hdwsim_cached.c - reference data of the laboratory: step ref = cached(lab.get('/ref'), for: 1 minute, stale: 5 minutes). Each answer has another number.
 *
 *   one at a time  while one run asks, others wait for its answer
 *   kept           what came less than a minute ago is not asked for again, also by a later life of the daemon
 *   not too old    what a run was given was asked for six minutes before its message came at most */
#include <stdlib.h>
#include <string.h>
#include "hdwsim.h"

enum { ANSWERS = 20000 };
#define KEPT (60 * SECOND)
#define STALE (300 * SECOND)

struct cached_state {
  uint64_t asked;            /* the request under way, or the latest */
  unsigned n, latest;        /* latest: that the daemon has for certain, 0 = none */
  struct { int64_t made_us, known_us; } v[ANSWERS]; /* from 1 */
};

bool cached_is(const io_http_req *q) { return q->port == PORT_LAB && !strcmp(q->target, "/ref"); }

void cached_asked(world *w, uint64_t id) {
  struct cached_state *c = w->cached;
  int64_t known = c->latest ? c->v[c->latest].known_us : 0, now = now_us(w);
  if (c->asked && io_sim_http_waits(w->io, c->asked)) broken(w, "the reference data is asked for while another request for it is under way");
  if (known && now > known + SECOND && now < known + KEPT - SECOND && !w->clock_set && !weather_disk(w))
    broken(w, "the reference data is asked for, and %u came at %lld ms and is kept for a minute", c->latest, (long long)known / 1000);
  c->asked = id;
}

unsigned cached_answer(world *w, int64_t known_us) {
  struct cached_state *c = w->cached;
  if (c->n + 1 == ANSWERS) broken(w, "too many answers");
  unsigned n = ++c->n;
  c->v[n].made_us = now_us(w), c->v[n].known_us = known_us;
  if (known_us) c->latest = n;
  say(w, "lab: reference data %u", n);
  return n;
}

void cached_used(world *w, const message *m, unsigned number) {
  const struct cached_state *c = w->cached;
  if (!number || number > c->n) broken(w, "%s.%s was given the reference data %u, which there never was", m->id, m->tag, number);
  if (!w->clock_set && c->v[number].made_us < m->sent_us - KEPT - STALE - 10 * SECOND) broken(w, "%s.%s was given the reference data %u of %lld ms", m->id, m->tag, number, (long long)c->v[number].made_us / 1000);
}

void cached_died(world *w, int64_t since_us) {
  struct cached_state *c = w->cached;
  c->asked = 0;
  if (c->latest && c->v[c->latest].known_us > since_us - w->settled_us) c->latest = 0;
}

void cached_start(world *w) { w->cached = (struct cached_state *)calloc(1, sizeof *w->cached); }
void cached_free(world *w) { free(w->cached); }
