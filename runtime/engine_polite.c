/* engine_polite.c - what the last minute of a connection says (PROTOCOLS 7): may another retry go, is the peer broken although no failures came in a row.
 *
 *   slot    0        1        2        3        4        5         ten seconds each; the one that is begun anew was the oldest
 *         [calls, bad, retries] ...
 */
#include "engine_int.h"

/* Below these numbers a share says nothing. */
enum { FREE_RETRIES = 10, JUDGED_CALLS = 20 };
#define MINUTE_US INT64_C(60000000)

static eng_slice *slice(eng_conn *c) {
  int64_t now = io_mono_us(c->e->io) / ENG_SLICE_US;
  if (now - c->minute_at > ENG_SLICES) c->minute_at = now - ENG_SLICES;
  while (c->minute_at < now) {
    c->minute_at++;
    c->minute[c->minute_at % ENG_SLICES] = (eng_slice){0};
  }
  return &c->minute[now % ENG_SLICES];
}

static eng_slice sum(eng_conn *c) {
  eng_slice all = {0};
  (void)slice(c);
  for (unsigned i = 0; i < ENG_SLICES; i++) {
    all.calls += c->minute[i].calls;
    all.bad += c->minute[i].bad;
    all.retries += c->minute[i].retries;
  }
  return all;
}

void eng_minute_count(eng_conn *c, bool bad) {
  eng_slice *s = slice(c);
  s->calls++;
  s->bad += bad;
}

void eng_minute_forget(eng_conn *c) { memset(c->minute, 0, sizeof c->minute); }

bool eng_retry_allowed(eng_conn *c) {
  eng_slice all = sum(c);
  if (c->cfg->o.retry_percent < 100 && all.retries >= FREE_RETRIES && (uint64_t)all.retries * 100 >= (uint64_t)all.calls * (uint64_t)c->cfg->o.retry_percent) {
    c->retries_refused++;
    return false;
  }
  slice(c)->retries++;
  return true;
}

int64_t eng_retry_after(eng_conn *c, int64_t wait_us) {
  if (wait_us >= MINUTE_US || eng_retry_allowed(c)) return wait_us;
  return MINUTE_US + (int64_t)(io_random_u64(c->e->io) % (uint64_t)(MINUTE_US / 2));
}

bool eng_mostly_bad(eng_conn *c) {
  int64_t percent = c->cfg->o.breaker_percent;
  eng_slice all = sum(c);
  return percent && all.calls >= JUDGED_CALLS && (uint64_t)all.bad * 100 >= (uint64_t)all.calls * (uint64_t)percent;
}
