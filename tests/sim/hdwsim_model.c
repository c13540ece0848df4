/* hdwsim_model.c - the reference model: what a sender and a receiver may rely on, checked from outside, with ledgers that the daemon does not see.
 *
 *   answered   a message that was acknowledged is in the store of every later life, and is performed to its end; a refused one is not performed;
 *              a resend gets the bytes that the first answer had
 *   attempt    one key and one body for each effect, however often it is tried; a good answer that reached a daemon which then lived on for long enough to write it down
 *              is the last one: nothing is performed twice but what was under way; effects come in the order of their lane; one version of the program
 *              performs one message
 *   operator   what he was told is over is not tried any more; what he has reprocessed is performed once more under one further key, and not what the same program
 *              had done; whoever he took out of a lane holds nobody up
 *   once by    of messages with one key one is performed, unless so much lay between them that its time was over; who is not performed came when the key was taken
 *   the end    what was acknowledged is done, unless an operator gave it up; its bytes are stored as they were sent, as long as retention has to keep them */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hdwsim.h"

#define CLOCK_US (48 * 3600 * SECOND) /* longer than the clock is ever set by */

message *model_new_message(world *w, kind k, unsigned lane) {
  if (w->nmsgs == SIM_MSGS) broken(w, "the history is too long: %u messages", w->nmsgs);
  message *m = &w->msgs[w->nmsgs];
  *m = (message){.kind = k, .lane = (uint8_t)lane, .seq = w->seqs[lane]++};
  snprintf(m->id, sizeof m->id, "M%u", w->nmsgs);
  snprintf(m->tag, sizeof m->tag, "a");
  /* Now and then a sender uses a control id again, for something else. */
  message *before = w->nmsgs > 20 ? &w->msgs[draw(w, w->nmsgs)] : NULL;
  if (before && before->kind == k && before->lane == lane && before->tag[0] < 'z' && k != KIND_WEB && chance(w, 200)) {
    if (!before->next_same) {
      memcpy(m->id, before->id, sizeof m->id);
      m->tag[0] = (char)(before->tag[0] + 1);
      before->next_same = w->nmsgs;
    }
  }
  if (k == KIND_NOTE) { /* keys come up a few times, close to each other; some again later */
    m->key = w->notes / 3 - (w->notes > 12 ? (uint32_t)draw(w, 4) : 0);
    w->notes++;
  }
  if (k == KIND_CHART) {
    m->key = w->charts / 6 - (w->charts > 12 ? (uint32_t)draw(w, 2) : 0);
    w->charts++;
  }
  if (k == KIND_ADT && chance(w, 300)) m->group = (uint8_t)(1 + draw(w, SIM_GROUPS - 1));
  w->nmsgs++;
  return m;
}

message *model_first(world *w, const char *id, size_t id_len) {
  uint32_t n = 0;
  if (id_len < 2 || id_len > 6 || id[0] != 'M') return NULL;
  for (size_t i = 1; i < id_len; i++) n = id[i] >= '0' && id[i] <= '9' ? n * 10 + (uint32_t)(id[i] - '0') : SIM_MSGS;
  return n < w->nmsgs && strlen(w->msgs[n].id) == id_len && !memcmp(w->msgs[n].id, id, id_len) ? &w->msgs[n] : NULL;
}

message *model_next(world *w, const message *m) { return m->next_same ? &w->msgs[m->next_same] : NULL; }

message *model_find(world *w, const char *id, size_t id_len, const char *tag, size_t tag_len) {
  message *m = model_first(w, id, id_len);
  while (m && (strlen(m->tag) != tag_len || memcmp(m->tag, tag, tag_len) != 0)) m = model_next(w, m);
  return m;
}

bool model_answered(world *w, message *m, const char *code, const void *p, size_t len) {
  bool good = !strcmp(code, "AA") || !strcmp(code, "202") || !strcmp(code, "200"), no = !strcmp(code, "AR");
  if (m->answer && (good || no) && (m->answer_len != len || memcmp(m->answer, p, len) != 0))
    broken(w, "%s.%s: a resend gets another answer than the first one got:\n  %.*s\n  %.*s", m->id, m->tag, (int)m->answer_len, m->answer, (int)len, (const char *)p);
  if (good && m->kind == KIND_REJECTED) broken(w, "%s.%s is acknowledged with %s, and its workflow rejects it", m->id, m->tag, code);
  if (no && m->kind != KIND_REJECTED) broken(w, "%s.%s is refused for good, and its workflow takes it", m->id, m->tag);
  if (!good && !no) return false;
  if (!m->answer) {
    m->answer = (char *)malloc(len + 1);
    memcpy(m->answer, p, len);
    m->answer[len] = 0;
    m->answer_len = len;
    m->answered_us = now_us(w);
    w->acked++;
  }
  m->acked = good, m->refused = no;
  return true;
}

/* ---- what operators did ----------------------------------------------------------------------------------------------------------------------- */

void model_given_up(world *w, message *m, unsigned fx) {
  (void)w;
  if (fx < SIM_EFFECTS) m->fx[fx].given_up = m->skipped = true; /* what waited behind it goes on */
  else if (m->kind == KIND_ORDER) m->fx[FX_FIRST].clean_us = 0; /* its sender gets AE and sends it again: a new run of it */
  else m->given_up = true;
}

void model_ended(world *w, message *m, unsigned fx) {
  if (fx == SIM_EFFECTS && m->kind == KIND_ORDER) m->fx[FX_FIRST].clean_us = 0;
  else if (fx == SIM_EFFECTS) m->ended_us = now_us(w);
  else m->fx[fx].ended_us = now_us(w);
}

void model_redone(world *w, message *m, bool takes) {
  (void)w;
  m->redone++;
  m->takes = takes;
  /* It looks at what the run before it did, and that may have been another program: what the one before that did by itself (no key tells it) is done again then. */
  for (unsigned k = FX_WARD; m->redone > 1 && k < SIM_EFFECTS; k++) m->fx[k].clean_us = 0;
  m->ended_us = 0;
  for (unsigned k = 0; k < SIM_EFFECTS; k++) m->fx[k].ended_us = 0;
}

/* It left the order in which it came, by an operator's hand: nobody waits for it. */
static bool loose(const message *m) { return m->given_up || m->skipped || m->redone; }

/* ---- once by ------------------------------------------------------------------------------------------------------------------------------ */

/* Whether a, stored first, may have had its time when b was stored; and whether it may still have had the key. The wall clock decides: when it was set, both. */
static bool may_be_over(const world *w, const message *a, const message *b, int64_t now) {
  return w->clock_set || (b->answered_us ? b->answered_us : now) - a->sent_us >= w->once_us;
}
static bool may_hold(const world *w, const message *a, const message *b, int64_t now) {
  return w->clock_set || (b->sent_us - (a->answered_us ? a->answered_us : now) < w->once_us && a->sent_us <= (b->answered_us ? b->answered_us : now));
}

static void only_one(world *w, const message *m) {
  int64_t now = now_us(w);
  for (uint32_t i = 0; i < w->nmsgs; i++) {
    const message *x = &w->msgs[i];
    if (x == m || x->kind != KIND_NOTE || x->key != m->key || !x->fx[FX_FIRST].tries) continue;
    if ((w->once_us >= CLOCK_US || (!may_be_over(w, x, m, now) && !may_be_over(w, m, x, now))))
      broken(w, "%s.%s and %s.%s are both performed, and both have the key K%u", x->id, x->tag, m->id, m->tag, m->key);
  }
}

/* It was stored and is not performed: somebody had its key. */
static bool had_reason(world *w, const message *m) {
  int64_t now = now_us(w);
  for (uint32_t i = 0; i < w->nmsgs; i++) {
    const message *x = &w->msgs[i];
    if (x != m && x->kind == KIND_NOTE && x->key == m->key && (x->fx[FX_FIRST].tries || x->given_up) && may_hold(w, x, m, now)) return true;
  }
  return false;
}

/* ---- effects ------------------------------------------------------------------------------------------------------------------------------ */

static bool expected(const message *m, unsigned fx) {
  switch (m->kind) {
  case KIND_ADT: return fx != FX_READ && fx != FX_LINE && (fx != FX_NEW || (m->version == 2 && !m->redone));
  case KIND_ORDER: return fx == FX_FIRST;
  case KIND_CHART: return fx == FX_FIRST || fx == FX_BRANCH2 || fx == FX_NEW || fx == FX_EMR;
  case KIND_NOTE: return fx == FX_FIRST && m->fx[fx].tries;
  case KIND_WEB: return fx == FX_FIRST || fx == FX_EMR || fx == FX_LINE;
  default: return false;
  }
}

static bool sent(unsigned fx) { return fx == FX_EMR || fx == FX_WARD || fx == FX_FILE || fx == FX_LINE; }

/* x goes before m: all its steps before the first of m, and each sink's deliveries one after the other. */
static void goes_before(world *w, const message *x, const message *m, unsigned fx) {
  for (unsigned k = 0; k < SIM_EFFECTS; k++)
    if (expected(x, k) && (sent(fx) ? k == fx : !sent(k)) && !x->fx[k].done)
      broken(w, "%s.%s/%u is tried before %s.%s/%u of the same %s is done", m->id, m->tag, fx, x->id, x->tag, k, x->lane == m->lane ? "lane" : "group");
}

/* In a group the order is that of the commits, which nobody outside sees: whose first step comes first is before the other from then on. */
static void in_turn(world *w, message *m, unsigned fx) {
  if (!m->turn) m->turn = ++w->turns[m->group];
  for (uint32_t i = 0; i < w->nmsgs; i++) {
    const message *x = &w->msgs[i];
    if (x->group != m->group || !x->turn || x == m || loose(x)) continue;
    if (m->skipped) continue; /* sent back to work, it stands where it stood, before who began meanwhile */
    if (x->turn < m->turn) goes_before(w, x, m, fx);
    else if (!sent(fx) && !loose(m)) broken(w, "%s.%s/%u is tried when %s.%s of the same group has begun", m->id, m->tag, fx, x->id, x->tag);
  }
}

/* Everything before m in its lane is through. */
static void in_order(world *w, const message *m, unsigned fx) {
  for (uint32_t i = (uint32_t)(m - w->msgs); i-- > 0;) {
    const message *x = &w->msgs[i];
    if (x->kind == KIND_REJECTED || x->lane != m->lane || loose(x)) continue;
    goes_before(w, x, m, fx);
    return; /* what is further back was looked at when that one came */
  }
}

/* One key and one body, however often it is tried; one more for each time that the message was reprocessed. Where the sender waits, a resend after a failure is a
 * run of its own, perhaps of another version, under the same key. */
static void same_again(world *w, message *m, unsigned fx, const char *key, uint64_t body) {
  effect *e = &m->fx[fx];
  unsigned i = 0;
  while (i < e->nas && (strcmp(e->as[i].key, key) != 0 || (!key[0] && e->as[i].body != body))) i++;
  if (i == e->nas) {
    if (i && !key[0] && !m->redone && m->kind != KIND_ORDER) broken(w, "%s.%s/%u: attempt %u asks for something else than the first one", m->id, m->tag, fx, e->tries);
    if (i > m->redone) broken(w, "%s.%s/%u: attempt %u has the key %s, the first one had %s", m->id, m->tag, fx, e->tries, key, e->as[0].key);
    snprintf(e->as[i].key, sizeof e->as[i].key, "%s", key);
    e->as[i].body = body;
    e->nas++;
  }
  if (e->as[i].body != body && m->kind != KIND_ORDER) broken(w, "%s.%s/%u: attempt %u asks for something else than the first one", m->id, m->tag, fx, e->tries);
  e->last = (uint8_t)i;
}

/* What has its good answer is over; reprocessing takes over what the same program did at its first step, when it said so, whatever else it performs anew. */
static void not_again(world *w, const message *m, unsigned fx, unsigned version) {
  const effect *e = &m->fx[fx];
  if (!e->clean_us || fx == FX_READ) return;
  if (e->last == e->clean_as) broken(w, "%s.%s/%u is tried again, and its good answer came at %lld ms to a daemon that lived on", m->id, m->tag, fx, (long long)e->clean_us / 1000);
  if (fx == FX_FIRST && m->takes && version && version == e->clean_version && !m->given_up)
    broken(w, "%s.%s/%u is performed once more by reprocessing, and the same program did it with a good answer at %lld ms", m->id, m->tag, fx, (long long)e->clean_us / 1000);
}

/* What an operator ended is over, once he was told so. */
static void not_ended(world *w, const message *m, unsigned fx, int64_t at_us) {
  int64_t end = sent(fx) ? m->fx[fx].ended_us : m->ended_us;
  if (end && at_us > end + w->settled_us)
    broken(w, "%s.%s/%u is tried, and an operator was told at %lld ms that its %s is over", m->id, m->tag, fx, (long long)end / 1000, sent(fx) ? "delivery" : "run");
}

static void one_attempt(world *w, message *m, unsigned fx, const char *key, uint64_t body, unsigned version, int64_t at_us) {
  effect *e = &m->fx[fx];
  w->attempts++;
  e->tries++;
  if (!m->sent) broken(w, "%s.%s/%u is tried, and nobody sent it", m->id, m->tag, fx);
  if (m->kind == KIND_REJECTED) broken(w, "%s.%s/%u is tried, and its workflow rejects it", m->id, m->tag, fx);
  if (fx != FX_READ && !expected(m, fx) && !(fx == FX_NEW && version == 2)) broken(w, "%s.%s/%u is tried, and no program does that", m->id, m->tag, fx);
  if (version && m->version && m->version != version && m->kind != KIND_ORDER && !m->redone) broken(w, "%s.%s/%u is tried by version %u, another effect of it by version %u", m->id, m->tag, fx, version, m->version);
  same_again(w, m, fx, key, body);
  not_again(w, m, fx, version);
  not_ended(w, m, fx, at_us);
  if (version) m->version = e->version = (uint8_t)version;
}

void model_attempt(world *w, message *m, unsigned fx, const char *key, uint64_t body, unsigned version) {
  one_attempt(w, m, fx, key, body, version, now_us(w));
  if (m->kind == KIND_NOTE) only_one(w, m);
  if (m->kind != KIND_ORDER && m->kind != KIND_NOTE && fx != FX_READ) in_order(w, m, fx);
  if (m->group && fx != FX_READ) in_turn(w, m, fx);
}

void model_attempt_freely(world *w, message *m, unsigned fx) {
  w->attempts++;
  m->fx[fx].tries++;
  if (!m->sent) broken(w, "%s.%s/%u is tried, and nobody sent it", m->id, m->tag, fx);
  if (m->fx[fx].clean_us) broken(w, "%s.%s/%u is tried again, and its good answer came at %lld ms to a daemon that lived on", m->id, m->tag, fx, (long long)m->fx[fx].clean_us / 1000);
  in_order(w, m, fx);
}

void model_found(world *w, message *m, unsigned fx, uint64_t body, unsigned version, int64_t since_us) {
  one_attempt(w, m, fx, "", body, version, since_us);
  model_done(w, m, fx, weather_disk(w) || w->died_us >= since_us ? 0 : now_us(w));
}

void model_found_in_order(world *w, message *m, unsigned fx) {
  in_order(w, m, fx);
  if (m->group) in_turn(w, m, fx);
}

/* What nobody could know for the same when it came twice (a line, a create without condition): a second one is made by a person's hand only. */
static bool single(const message *m, unsigned fx) { return fx == FX_LINE || (m->kind == KIND_CHART && fx == FX_EMR); }

void model_done(world *w, message *m, unsigned fx, int64_t answered_us) {
  const effect *e = &m->fx[fx];
  m->fx[fx].done++;
  if (single(m, fx) && e->done > 1 + e->redriven + m->redone) broken(w, "%s.%s/%u is there %u times, and nobody asked for that", m->id, m->tag, fx, e->done);
  m->fx[fx].clean_us = answered_us;
  m->fx[fx].clean_as = m->fx[fx].last, m->fx[fx].clean_version = m->fx[fx].version;
}

void model_died(world *w, int64_t since_us) {
  login_died(w, since_us);
  polite_died(w, since_us);
  cached_died(w, since_us);
  w->died_us = now_us(w);
  for (uint32_t i = 0; i < w->nmsgs; i++)
    for (unsigned k = 0; k < SIM_EFFECTS; k++)
      if (w->msgs[i].fx[k].clean_us > since_us - w->settled_us) w->msgs[i].fx[k].clean_us = 0;
}

/* ---- lives and the end ------------------------------------------------------------------------------------------------------------------------ */

void model_opened(world *w, bool all) {
  for (uint32_t i = 0; i < w->nmsgs; i++) {
    message *m = &w->msgs[i];
    if (!m->answer || (m->looked && !all)) continue;
    if (!daemon_has(w, m)) broken(w, "%s.%s was answered %s, and the store does not have it", m->id, m->tag, m->acked ? "AA" : "AR");
    m->looked = true;
  }
}

void model_finished(world *w) {
  model_opened(w, true);
  for (uint32_t i = 0; i < w->nmsgs; i++) {
    const message *m = &w->msgs[i];
    if (!m->sent) continue;
    if (!m->answer) broken(w, "%s.%s was sent and never got its answer", m->id, m->tag);
    if (!w->little && m->kind != KIND_WEB && !daemon_keeps(w, m)) broken(w, "%s.%s is not stored as it was sent", m->id, m->tag);
    if (m->given_up) continue;
    if (m->kind == KIND_NOTE && !m->fx[FX_FIRST].tries && !had_reason(w, m)) broken(w, "%s.%s was acknowledged and never performed, and nobody had its key K%u", m->id, m->tag, m->key);
    for (unsigned k = 0; k < SIM_EFFECTS; k++)
      if (expected(m, k) && !m->fx[k].done && !m->fx[k].given_up) broken(w, "%s.%s was acknowledged, and %u of it was never done, in %u attempts", m->id, m->tag, k, m->fx[k].tries);
  }
}
