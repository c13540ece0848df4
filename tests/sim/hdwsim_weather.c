/* hdwsim_weather.c - what goes wrong, and when. Spells of network and of receivers change every now and then; some of them are clear. Deaths come at drawn times, at
 * named places of the sources (HDW_POINT), or because the disk fails. */
#include <stdlib.h>
#include <string.h>
#include "points.h"
#include "hdwsim.h"

/* Every named place that a running engine passes. */
const char *const sim_points[] = {"input.before_append", "input.durable", "input.answered", "store.before_commit", "store.after_commit", "log.before_sync", "log.after_sync", "log.roll", "log.rolled",
                                  "log.before_write", "log.before_cut", "call.answered", "call.recorded", "call.before_send", "call.sent", "retain.before_rename", "retain.renamed",
                                  "folder.opened", "folder.written", "folder.renamed", "folder.appended", NULL};

struct weather_state {
  io_timer spell, death, op;
  int64_t calm_death_us;     /* mean time between deaths; 0 = none */
  const char *at;            /* dies when it passes this for the nth time */
  uint32_t nth;
  uint16_t cut_port;         /* partition: nothing gets through */
  io_timer space;
  int64_t full_since_us;
  uint32_t disk_life;        /* deaths + 1 when the fault was set: the next one takes it away */
};

static world *the_world;     /* for the hook, of which there is one */

static void on_point(const char *name) {
  world *w = the_world;
  if (!w || io_sim_dead(w->io)) return;
  unsigned i = 0;
  while (sim_points[i] && strcmp(sim_points[i], name) != 0) i++;
  w->points |= UINT64_C(1) << i;
  struct weather_state *x = w->sky;
  if (!x->at || strcmp(x->at, name) != 0 || --x->nth) return;
  x->at = NULL;
  say(w, "dies at %s", name);
  io_sim_crash(w->io, w->powered ? !chance(w, 200) : chance(w, 200));
}

/* ---- spells ------------------------------------------------------------------------------------------------------------------------------------ */

static void spell(void *user) {
  world *w = (world *)user;
  weather *n = &w->now;
  int64_t clear = n->clear_since_us;
  *n = (weather){.clear_since_us = INT64_MAX};
  w->sky->cut_port = 0;
  bool net = chance(w, 400), peers = chance(w, 500);
  if (net) {
    n->refuse = chance(w, 300) ? (unsigned)draw(w, 300) : 0;
    n->hang = chance(w, 300) ? (unsigned)draw(w, 100) : 0;
    n->reset = chance(w, 300) ? (unsigned)draw(w, 60) : 0;
    n->lose = chance(w, 300) ? (unsigned)draw(w, 60) : 0;
    n->slow = chance(w, 300) ? (unsigned)draw(w, 200) : 0;
    n->slow_us = draw_time(w, 20 * SECOND);
    static const uint16_t ports[] = {PORT_ADT, PORT_ORM, PORT_WEB, PORT_WARD};
    if (chance(w, 200)) w->sky->cut_port = ports[draw(w, 4)];
  } else n->clear_since_us = clear == INT64_MAX ? now_us(w) : clear;
  if (peers) {
    n->busy = chance(w, 400) ? (unsigned)draw(w, chance(w, 200) ? 1000 : 300) : 0;
    n->bad = chance(w, 300) ? (unsigned)draw(w, 100) : 0;
    n->silent = chance(w, 300) ? (unsigned)draw(w, 150) : 0;
    n->garbage = chance(w, 200) ? (unsigned)draw(w, 80) : 0;
    n->login = chance(w, 300) ? (unsigned)draw(w, chance(w, 400) ? 1001 : 400) : 0;
    n->wrong = chance(w, 200) ? (unsigned)draw(w, 80) : 0;
    if (n->busy + n->bad > 990) n->bad = 0, n->busy = 990;
  }
  n->delay = (unsigned)draw(w, 500);
  n->delay_us = draw_time(w, 10 * SECOND);
  say(w, "weather: refuse %u hang %u reset %u lose %u slow %u, busy %u bad %u silent %u garbage %u wrong %u, logins %u, cut %u", n->refuse, n->hang, n->reset, n->lose, n->slow, n->busy, n->bad, n->silent, n->garbage,
      n->wrong, n->login, w->sky->cut_port);
  io_timer_set(w->io, &w->sky->spell, draw_time(w, 120 * SECOND), spell, w);
}

static void on_net(const io_addr *listener, bool connecting, io_sim_fate *f, void *user) {
  world *w = (world *)user;
  const weather *n = &w->now;
  if (n->calm) return;
  if (w->sky->cut_port && listener->port == w->sky->cut_port) {
    if (connecting) f->hang = true;
    else f->delay_us = w->sky->spell.at_us - now_us(w);
    return;
  }
  if (n->slow && chance(w, n->slow)) f->delay_us = (int64_t)draw(w, (uint64_t)n->slow_us + 1);
  if (connecting) {
    f->refuse = n->refuse && chance(w, n->refuse);
    f->hang = !f->refuse && n->hang && chance(w, n->hang);
    return;
  }
  f->lose = n->lose && chance(w, n->lose);
  f->reset = f->lose || (n->reset && chance(w, n->reset));
}

/* ---- deaths ------------------------------------------------------------------------------------------------------------------------------------- */

static void space_is_back(void *user) {
  world *w = (world *)user;
  io_sim_set_space(w->io, UINT64_C(1) << 40);
  if (w->sky->full_since_us) model_died(w, w->sky->full_since_us); /* what could not be written was done, and is done again */
  w->sky->full_since_us = 0;
  fhir_trouble(w);
  say(w, "space is back");
}

static void death(void *user) {
  world *w = (world *)user;
  struct weather_state *x = w->sky;
  io_timer_set(w->io, &x->death, draw_time(w, 2 * x->calm_death_us), death, w);
  if (io_sim_dead(w->io)) return;
  fhir_trouble(w);
  switch (draw(w, 9)) {
  case 8: {
    int64_t by = draw_time(w, 600 * SECOND) * (draw(w, 2) ? 1 : -1);
    say(w, "the clock is set by %lld ms", (long long)by / 1000);
    w->clock_set = true;
    io_sim_set_clock(w->io, by);
    return;
  }
  case 0:
  case 1:
    say(w, "dies");
    io_sim_crash(w->io, w->powered ? !chance(w, 200) : chance(w, 200));
    return;
  case 2:
  case 3:
  case 4: {
    unsigned n = 0;
    while (sim_points[n]) n++;
    x->at = sim_points[draw(w, n)];
    x->nth = 1 + (uint32_t)draw(w, 20);
    return;
  }
  case 5: {
    static const io_sim_op ops[] = {IO_SIM_SYNC, IO_SIM_SYNC, IO_SIM_PWRITE, IO_SIM_ALLOC, IO_SIM_RENAME, IO_SIM_SYNC_DIR, IO_SIM_OPEN, IO_SIM_TRUNCATE, IO_SIM_PREAD};
    io_sim_op op = ops[draw(w, 9)];
    bool sticky = op != IO_SIM_PREAD && chance(w, 500);
    say(w, "the disk fails: operation %d%s", (int)op, sticky ? ", for good" : "");
    io_sim_fault(w->io, op, 1 + draw(w, 10), op == IO_SIM_PREAD || chance(w, 700) ? HDW_E_IO : HDW_E_FULL, sticky);
    w->disk_faults++;
    x->disk_life = w->deaths + 1;
    return;
  }
  case 6:
    if (x->full_since_us) return;
    say(w, "the disk is full");
    io_sim_set_space(w->io, draw(w, 300000));
    x->full_since_us = now_us(w);
    io_timer_set(w->io, &x->space, draw_time(w, 30 * SECOND), space_is_back, w);
    return;
  default: daemon_stop(w); return;
  }
}

bool weather_disk(const world *w) { return w->sky && (w->sky->full_since_us || w->sky->disk_life == w->deaths + 1); }

static void operate(void *user) {
  world *w = (world *)user;
  io_timer_set(w->io, &w->sky->op, draw_time(w, 90 * SECOND), operate, w);
  daemon_operate(w);
}

void weather_start(world *w) {
  struct weather_state *x = w->sky = (struct weather_state *)calloc(1, sizeof *x);
  the_world = w;
  hdw_point_hook = on_point;
  io_sim_on_net(w->io, on_net, w);
  w->now.clear_since_us = 0;
  x->calm_death_us = draw(w, 5) ? 10 * SECOND + draw_time(w, 200 * SECOND) : 0;
  spell(w);
  operate(w);
  if (x->calm_death_us) io_timer_set(w->io, &x->death, draw_time(w, 2 * x->calm_death_us), death, w);
}

void weather_stop(world *w) {
  struct weather_state *x = w->sky;
  io_timer_cancel(w->io, &x->spell);
  io_timer_cancel(w->io, &x->death);
  io_timer_cancel(w->io, &x->op);
  io_timer_cancel(w->io, &x->space);
  if (x->full_since_us) space_is_back(w);
  x->at = NULL;
  for (int op = 0; op < IO_SIM_OPS; op++) io_sim_fault(w->io, (io_sim_op)op, 0, HDW_OK, false);
  if (w->now.calm) return;
  w->now = (weather){.calm = true, .delay = 200, .delay_us = SECOND / 2, .clear_since_us = now_us(w)};
  x->cut_port = 0;
  say(w, "calm");
}

void weather_free(world *w) {
  hdw_point_hook = NULL;
  the_world = NULL;
  free(w->sky);
}
