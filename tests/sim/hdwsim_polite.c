/* hdwsim_polite.c - how the daemon treats its peers, seen from theirs.
 *
 *   Retry-After  nothing comes before its time is over, but from a daemon that was started since
 *   breaker      after so many failures in a row it is open (it may open before: then the daemon says so), and nothing comes until the cooldown is over; then one
 *                request, and the next one when that has its answer: a good one lets all come, a bad one begins the next cooldown. It is remembered over restarts
 *   in_flight    no more requests wait for answers at once than the operator allows
 *
 * What the daemon heard is known here when its answer has arrived there: outcomes are looked at in the order of these times. Where it is not certain how it took one the row
 * of failures ends, and the breaker counts as closed: it may be stricter than this model, not laxer. */
#include <stdlib.h>
#include <string.h>
#include "hdwsim.h"

enum { UNDER_WAY = 400, WAITS = 64 };
#define SLACK (SECOND / 10) /* what left just before arrives just after */

typedef struct outcome {
  uint64_t id;               /* of the request */
  int64_t at_us;             /* the daemon hears it then */
  heard how;
  bool further;              /* of one call that has more requests: how it takes the call is not known */
  bool before;               /* a deployment: what it says to the connection of today is not known */
} outcome;

typedef struct manners {
  struct { uint64_t id; int64_t since_us, from_us, until_us; } alone[WAITS]; /* asked to be left alone: by the answer to which request, said when, and what for */
  unsigned nalone;
  unsigned most;             /* at once; 0 = not looked at */
  unsigned failures;         /* of the breaker */
  int64_t cooldown_us;
  outcome v[UNDER_WAY];
  unsigned n;
  unsigned row;              /* bad outcomes, one behind the other */
  int64_t good_us;           /* the latest other one */
  bool open;
  int64_t opened_us, first_us, not_before_us; /* first_us: the end of its first cooldown, which is remembered */
  bool says;                 /* the daemon says that it is open */
  int64_t said_us;           /* since then */
  uint64_t probe;            /* 0 = it has not come */
} manners;

struct polite_state { manners of[PORT_EHR_LOGIN - PORT_CRM + 1]; };

static manners *of(world *w, uint16_t port) { return &w->polite->of[port - PORT_CRM]; }

/* ---- Retry-After ---------------------------------------------------------------------------------------------------------------------------- */

void peers_leave_alone(world *w, uint16_t port, uint64_t id, int64_t from_us, int64_t us) {
  manners *m = of(w, port);
  unsigned kept = 0;
  for (unsigned i = 0; i < m->nalone; i++)
    if (m->alone[i].until_us > now_us(w)) m->alone[kept++] = m->alone[i];
  m->nalone = kept;
  if (m->nalone == WAITS) broken(w, "too many answers that ask to be left alone at port %u", port);
  m->alone[m->nalone].id = id, m->alone[m->nalone].since_us = now_us(w);
  m->alone[m->nalone].from_us = from_us + SECOND / 5; /* what is on its way comes */
  m->alone[m->nalone++].until_us = from_us + us;
}

static void left_alone(world *w, const manners *m, uint16_t port, const char *what) {
  int64_t now = now_us(w);
  for (unsigned i = 0; i < m->nalone; i++)
    if (m->alone[i].since_us > w->died_us && now > m->alone[i].from_us && now < m->alone[i].until_us)
      broken(w, "a request for %s at port %u, which has asked to be left alone until %lld ms", what, port, (long long)m->alone[i].until_us / 1000);
}

/* ---- the breaker ------------------------------------------------------------------------------------------------------------------------------- */

static void take_out(manners *m, unsigned i) { m->v[i] = m->v[--m->n]; }

static void opens(manners *m, int64_t at_us) {
  m->opened_us = at_us;
  m->not_before_us = m->first_us = m->said_us + m->cooldown_us * 9 / 10;
  m->open = true;
  m->probe = 0;
}

void polite_said(world *w, const char *line, size_t len) {
  static const struct { const char *name; uint16_t port; } of_name[] = {{"\"crm\"", PORT_CRM}, {"\"emr\"", PORT_EMR}, {"\"lab\"", PORT_LAB}, {"\"ehr\"", PORT_EHR}};
  bool opens = memmem(line, len, "\"breaker_open\"", 14), closes = !opens && memmem(line, len, "\"breaker_closed\"", 16);
  for (unsigned i = 0; (opens || closes) && i < 4; i++) {
    manners *m = of(w, of_name[i].port);
    if (!memmem(line, len, of_name[i].name, 5)) continue;
    m->says = opens;
    if (opens) m->said_us = now_us(w);
  }
}

static void hears(world *w, manners *m, const outcome *o) {
  (void)w;
  if (o->how != HEARD_BAD) {
    m->row = 0, m->good_us = o->at_us;
    m->open = false;
    m->probe = 0;
  } else if (m->open) {
    if (o->id == m->probe) m->not_before_us = o->at_us + m->cooldown_us * 9 / 10, m->probe = 0;
  } else if (o->at_us > m->good_us + SLACK && ++m->row >= m->failures) opens(m, o->at_us);
}

/* What the daemon has heard by now, in its order. */
static void catch_up(world *w, manners *m) {
  int64_t now = now_us(w);
  for (;;) {
    unsigned first = m->n;
    for (unsigned i = 0; i < m->n; i++)
      if (m->v[i].at_us <= now && (first == m->n || m->v[i].at_us < m->v[first].at_us)) first = i;
    if (first == m->n) return;
    outcome o = m->v[first];
    take_out(m, first);
    hears(w, m, &o);
  }
}

void peers_asked(world *w, uint16_t port, uint64_t id, const io_http_req *q) {
  manners *m = of(w, port);
  /* A further request of one call: it has begun, and goes on. */
  bool further = strstr(q->target, "?page=") || strstr(q->target, "/Organization/");
  unsigned waiting = 0;
  left_alone(w, m, port, q->target);
  catch_up(w, m);
  if (m->n == UNDER_WAY) broken(w, "too many requests under way at port %u", port);
  for (unsigned i = 0; m->most && i < m->n; i++) waiting += !m->v[i].before && io_sim_http_waits(w->io, m->v[i].id);
  if (m->most && waiting >= m->most) broken(w, "a request for %s at port %u, where %u wait for their answers, and %u are allowed", q->target, port, waiting, m->most);
  /* Nothing is known yet: it will time out. */
  m->v[m->n++] = (outcome){id, now_us(w) + q->timeout_us, further ? HEARD_OTHER : HEARD_BAD, further, false};
  if (!m->failures || !m->open || further || now_us(w) < m->opened_us + SLACK) return;
  if (!m->says) broken(w, "a request for %s at port %u, where %u failed in a row, the latest at %lld ms, and no breaker is open", q->target, port, m->row, (long long)m->opened_us / 1000);
  if (now_us(w) < m->not_before_us) broken(w, "a request for %s at port %u, where the breaker must be open until %lld ms at least", q->target, port, (long long)m->not_before_us / 1000);
  if (m->probe && m->probe != id && io_sim_http_waits(w->io, m->probe)) broken(w, "a request for %s at port %u, where a probe is under way", q->target, port);
  m->probe = id;
}

void peers_heard(world *w, uint16_t port, uint64_t id, int64_t delay_us, heard how) {
  manners *m = of(w, port);
  for (unsigned i = 0; i < m->n; i++)
    if (m->v[i].id == id && now_us(w) + delay_us < m->v[i].at_us) m->v[i].at_us = now_us(w) + delay_us, m->v[i].how = m->v[i].further ? HEARD_OTHER : how;
}

void polite_cancelled(world *w, uint64_t id) {
  for (unsigned p = 0; p < sizeof w->polite->of / sizeof *w->polite->of; p++) {
    manners *m = &w->polite->of[p];
    catch_up(w, m);
    for (unsigned i = 0; i < m->n; i++) {
      outcome o = m->v[i];
      if (o.id != id) continue;
      take_out(m, i--);
      o.at_us = now_us(w);
      if (o.further) hears(w, m, &o); /* given up for want of time: its call may have been good before */
    }
    if (m->probe == id) m->probe = 0;
    for (unsigned i = 0; i < m->nalone; i++) /* its answer had not come: nobody has heard of it */
      if (m->alone[i].id == id && m->alone[i].from_us > now_us(w) + SECOND / 5) m->alone[i--] = m->alone[--m->nalone];
  }
}

void polite_forget(world *w) {
  for (unsigned p = 0; p < sizeof w->polite->of / sizeof *w->polite->of; p++) {
    manners *m = &w->polite->of[p];
    m->row = 0, m->open = false, m->probe = 0;
    for (unsigned i = 0; i < m->n; i++) m->v[i].how = HEARD_OTHER, m->v[i].further = m->v[i].before = true;
  }
}

void polite_died(world *w, int64_t since_us) {
  bool known = !w->clock_set && !weather_disk(w);
  for (unsigned p = 0; p < sizeof w->polite->of / sizeof *w->polite->of; p++) {
    manners *m = &w->polite->of[p];
    catch_up(w, m);
    m->row = m->n = 0, m->probe = 0;
    m->open = m->open && known && m->opened_us < since_us - w->settled_us;
    m->not_before_us = m->first_us;
  }
}

void polite_start(world *w, unsigned crm_at_once) {
  w->polite = (struct polite_state *)calloc(1, sizeof *w->polite);
  *of(w, PORT_CRM) = (manners){.most = crm_at_once, .failures = 5, .cooldown_us = 8 * SECOND};
  *of(w, PORT_EMR) = *of(w, PORT_LAB) = (manners){.failures = 5, .cooldown_us = 5 * SECOND}; /* as it is where nothing reaches them */
  *of(w, PORT_EHR) = (manners){.failures = 4, .cooldown_us = 6 * SECOND};
}

void polite_free(world *w) { free(w->polite); }
