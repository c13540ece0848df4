/* engine_retain.c - retention: rows that are over leave the state by REC_EXPIRE records, then closed segments are written anew with what is still needed.
 *
 * A pass goes through phases, a little in each turn of the loop: deliveries, inputs with their runs, runs of their own; then the segments
 * from the oldest on; then empty ones at the beginning are dropped. Syncing and renaming is done by a worker. */
#include <stdio.h>
#include "audit.h"
#include "engine_int.h"
#include "points.h"

enum { LOOK = 256, BATCH = 500, PAUSE_US = 2000 };
static const int64_t day_us = INT64_C(86400000000);

typedef enum phase { P_IDLE, P_DELIVERIES, P_INPUTS, P_RUNS, P_AUDIT, P_LIST, P_MEASURE, P_CHOOSE, P_COMPACT, P_COMMIT, P_DROP } phase;

typedef struct seg {
  uint64_t first, size;
  int64_t last_us;
  log_compact_info info;     /* as_of 0: not compacted */
  uint64_t class_bytes[4];
  bool measured, bad;
} seg;

struct eng_retain {
  engine *e;
  phase at;
  io_timer timer;
  uint64_t after;            /* cursor of the phase */
  bool waiting;              /* for a record to be durable */
  store_horizon h;
  seg *segs;                 /* oldest first; the last is the one being written */
  uint32_t n, cap, i;
  log_iter *it;
  log_compaction *c;
  uint64_t wanted;           /* wanted_after when the judging of c began */
  io_worker *worker;
  io_task done;
  hdw_status commit;
  log_compact_info got;
  uint64_t got_size, freed, expired;
  void (*finished)(void *user);
  void *finished_user;
};
typedef struct eng_retain retain;

static void tick(void *user);
static int64_t every_us(const engine *e) { return e->o.retain_every_us ? e->o.retain_every_us : e->o.config->top.retain_every_ms * 1000; }
static void soon(retain *r, int64_t us) { io_timer_set(r->e->io, &r->timer, us, tick, r); }

static const char *log_dir(engine *e, char out[1024]) {
  snprintf(out, 1024, "%s/log", e->o.dir);
  return out;
}

/* ---- how old ------------------------------------------------------------------------------------------------------------------ */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void horizons(retain *r) {
  const config_top *t = &r->e->o.config->top;
  int64_t now = io_wall_us(r->e->io), window = 7 * day_us;
  for (uint32_t i = 0; i < r->e->o.config->nlisteners; i++) {
    int64_t w = r->e->o.config->listeners[i].o.duplicate_window_ms * 1000;
    if (i == 0 || w > window) window = w;
  }
  r->h = (store_horizon){.inputs_us = now - t->retain_inputs_days * day_us, .values_us = now - t->retain_values_days * day_us,
                         .runs_us = now - t->retain_runs_days * day_us, .audit_us = (now / day_us - t->retain_audit_days) * day_us}; /* by whole days: a checkpoint a day */
  /* Bytes over the limit of a class: what is older than the segment where the limit is reached has no more time. */
  const int64_t caps[4] = {t->retain_inputs_bytes, t->retain_values_bytes, t->retain_runs_bytes, t->retain_audit_bytes};
  int64_t *at[4] = {&r->h.inputs_us, &r->h.values_us, &r->h.runs_us, &r->h.audit_us};
  for (int c = 0; c < 4; c++) {
    uint64_t sum = 0;
    if (!caps[c]) continue;
    for (uint32_t i = r->n; i-- > 0;) {
      sum += r->segs[i].class_bytes[c];
      if (sum <= (uint64_t)caps[c]) continue;
      if (r->segs[i].last_us >= *at[c]) *at[c] = r->segs[i].last_us + 1;
      break;
    }
  }
  r->h.answers_us = least(r->h.values_us, now - window);
  r->h.runs_us = least(least(r->h.runs_us, now - window), least(r->h.inputs_us, r->h.values_us));
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------------- */

static void on_expired(engine *e, hdw_status s, const log_rec *rec, void *user) {
  retain *r = (retain *)user;
  (void)rec;
  r->waiting = false;
  if (e->closing) return;
  if (s) r->at = P_IDLE; /* the process is about to end */
  soon(r, s ? every_us(r->e) : PAUSE_US);
}

static bool expire(retain *r, uint64_t first, const rec_expired *items, uint32_t n) {
  cod_w w = eng_writer(r->e);
  if (rec_put_expire(&w, first, items, n) || eng_append_rec(r->e, REC_EXPIRE, &w, NULL, 0, on_expired, r, NULL)) return false;
  r->waiting = true;
  r->expired += n;
  r->e->st.retain_expired += n;
  return true;
}

static bool rows(retain *r, uint8_t subject) {
  rec_expired items[BATCH];
  uint32_t n = 0;
  uint64_t next = 0;
  hdw_status s = store_find_expired(r->e->store, ENG_PART, subject, r->after, r->h.runs_us, LOOK, items, BATCH, &n, &next);
  if (s) return false;
  if (n && !expire(r, 0, items, n)) return false;
  r->after = next;
  if (!next) r->at++;
  return true;
}

/* The oldest records of the audit trail, by checkpoints. */
static bool audit(retain *r) {
  uint64_t until = 0;
  if (audit_expire(r->e, r->h.audit_us, BATCH, on_expired, r, &until)) return false;
  r->waiting = until != 0;
  if (!until) r->at++;
  return true;
}

/* ---- segments ---------------------------------------------------------------------------------------------------------------------- */

static unsigned class_of(const log_rec *rec) {
  switch (rec->type) {
  case REC_INPUT: return 0;
  case REC_RUN_START:
  case REC_INTENT:
  case REC_RESULT:
  case REC_RUN_END:
  case REC_DELIVERY:
  case REC_DELIVERY_RESULT: return 1;
  case REC_VERDICT: return rec->body_len ? 0 : 2;
  case REC_ACK_OUTCOME:
  case REC_RUN_STATE:
  case REC_PUT:
  case REC_CLOSE: return 2;
  default: return 3;
  }
}

static seg *known(retain *r, uint64_t first) {
  for (uint32_t i = 0; i < r->n; i++)
    if (r->segs[i].first == first) return &r->segs[i];
  return NULL;
}

/* The segments as they are; what is known of one is kept. */
static bool list(retain *r) {
  char dir[1024];
  engine *e = r->e;
  size_t n = 0;
  if (log_segments(e->io, log_dir(e, dir), NULL, 0, &n)) return false;
  uint32_t cap = (uint32_t)n + 8;
  log_segment_info *info = (log_segment_info *)eng_get(e, cap * sizeof *info);
  seg *segs = (seg *)eng_get(e, cap * sizeof *segs);
  bool ok = info && segs && !log_segments(e->io, dir, info, cap, &n) && n <= cap;
  e->st.log_bytes = e->st.pinned_bytes = 0;
  for (size_t i = 0; ok && i < n; i++) {
    const seg *old = known(r, info[i].first_seq);
    segs[i] = old ? *old : (seg){.first = info[i].first_seq};
    segs[i].size = info[i].size_bytes;
    if (info[i].compacted && (!old || !old->info.as_of)) segs[i].bad = log_compact_read(e->io, dir, info[i].first_seq, &segs[i].info) != HDW_OK;
    segs[i].last_us = segs[i].info.as_of ? segs[i].info.last_us : i + 1 < n ? info[i + 1].created_us : INT64_MAX;
    if (segs[i].info.as_of) memcpy(segs[i].class_bytes, segs[i].info.class_bytes, sizeof segs[i].class_bytes), segs[i].measured = true;
    e->st.log_bytes += segs[i].size;
    e->st.pinned_bytes += segs[i].info.pinned_bytes;
  }
  /* A segment that is never full would never be old: a day is enough. */
  if (ok && n && io_wall_us(e->io) - info[n - 1].created_us > day_us) log_roll(e->log);
  eng_put(e, info, cap * sizeof *info);
  if (ok) {
    eng_put(e, r->segs, r->cap * sizeof *segs);
    r->segs = segs, r->cap = cap, r->n = (uint32_t)n;
  } else eng_put(e, segs, cap * sizeof *segs);
  r->i = 0;
  return ok;
}

static bool has_limits(const retain *r) {
  const config_top *t = &r->e->o.config->top;
  return t->retain_inputs_bytes || t->retain_values_bytes || t->retain_runs_bytes || t->retain_audit_bytes;
}

/* How many bytes of each class a segment holds: read once, and only when there is a limit. */
static bool measure(retain *r) {
  char dir[1024];
  log_rec rec;
  while (r->i + 1 < r->n && (r->segs[r->i].measured || r->segs[r->i].bad)) r->i++;
  if (r->i + 1 >= r->n || !has_limits(r)) {
    horizons(r);
    if (r->it) log_iter_close(r->it);
    r->it = NULL;
    r->i = 0, r->at = P_CHOOSE, r->h.floor = UINT64_MAX;
    return true;
  }
  seg *g = &r->segs[r->i];
  uint64_t end = r->segs[r->i + 1].first;
  if (!r->it && log_iter_open(r->e->io, log_dir(r->e, dir), g->first, &r->it)) return false;
  for (unsigned k = 0; k < LOOK; k++) {
    hdw_status s = log_iter_next(r->it, &rec);
    if (s || rec.seq >= end) {
      g->measured = true, g->bad |= s && s != HDW_E_NOTFOUND;
      log_iter_close(r->it);
      r->it = NULL;
      return true;
    }
    unsigned c = class_of(&rec);
    uint64_t body = c < 2 ? rec.body_len : 0;
    if (c < 2) g->class_bytes[c] += body;
    g->class_bytes[c == 3 ? 3 : 2] += 40u + rec.meta_len + rec.body_len - body;
  }
  return true;
}

static bool due(const retain *r, const seg *g) {
  const int64_t h[4] = {r->h.inputs_us, r->h.values_us, r->h.runs_us, r->h.audit_us};
  for (int c = 0; c < 4; c++)
    if (g->last_us < h[c] && g->info.horizon_us[c] <= g->last_us) return true;
  int64_t again = r->e->o.retain_every_us && r->e->o.retain_every_us < day_us ? r->e->o.retain_every_us : day_us;
  return g->info.pinned_bytes && io_wall_us(r->e->io) - g->info.at_us >= again;
}

/* What is damaged is not touched: somebody has to look. */
static void damaged(retain *r, seg *g, hdw_status s) {
  char first[24];
  g->bad = true;
  snprintf(first, sizeof first, "%llu", (unsigned long long)g->first);
  eng_say(r->e, ENGINE_ERROR, "segment_damaged", "status", hdw_status_text(s), "segment", first, NULL);
}

static bool choose(retain *r) {
  engine *e = r->e;
  char dir[1024];
  for (; r->i + 1 < r->n; r->i++) {
    seg *g = &r->segs[r->i];
    uint64_t next = r->segs[r->i + 1].first;
    if (!g->bad && due(r, g) && (store_committed(e->store) + 1 >= next || (!store_flush(e->store) && store_committed(e->store) + 1 >= next))) {
      log_compact_info info = {.as_of = store_applied(e->store), .at_us = io_wall_us(e->io), .horizon_us = {r->h.inputs_us, r->h.values_us, r->h.runs_us, r->h.audit_us}};
      hdw_status s = log_compact_begin(e->io, log_dir(e, dir), g->first, &info, &r->c);
      if (!s) {
        r->wanted = e->wanted_after;
        r->at = P_COMPACT;
        return true;
      }
      if (s != HDW_E_CORRUPT) return false;
      damaged(r, g, s);
    }
    if (g->info.as_of < r->h.floor) r->h.floor = g->bad ? 0 : g->info.as_of;
  }
  r->at = P_DROP;
  return true;
}

static log_verdict judge(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  retain *r = (retain *)user;
  *klass = class_of(rec);
  switch (store_keeps(r->e->store, rec, &r->h, pinned)) {
  case STORE_DROP: return LOG_V_DROP;
  case STORE_BARE: return LOG_V_BARE;
  default: return LOG_V_KEEP;
  }
}

/* This pass ends; the next one in its time. Who asked for one (hdwvm compact) is told: retain_passes tells whether it was done. */
static void pass_failed(retain *r, hdw_status s) {
  eng_say(r->e, ENGINE_WARN, "retention_failed", s ? "status" : NULL, s ? hdw_status_text(s) : NULL, NULL);
  r->at = P_IDLE;
  if (r->finished) r->finished(r->finished_user);
  else soon(r, every_us(r->e));
}

static void committed(void *user) {
  retain *r = (retain *)user;
  engine *e = r->e;
  io_worker_stop(r->worker);
  r->worker = NULL;
  log_compact_end(r->c);
  r->c = NULL;
  seg *g = &r->segs[r->i];
  log_forget(e->log, g->first);
  if (r->commit) {
    pass_failed(r, r->commit);
    return;
  }
  if (r->got_size < g->size) r->freed += g->size - r->got_size;
  g->size = r->got_size, g->info = r->got, g->last_us = r->got.last_us;
  memcpy(g->class_bytes, r->got.class_bytes, sizeof g->class_bytes);
  if (g->info.as_of < r->h.floor) r->h.floor = g->info.as_of;
  r->i++;
  r->at = P_CHOOSE;
  soon(r, PAUSE_US);
}

static void commit_step(void *user) {
  retain *r = (retain *)user;
  if (r->at != P_COMMIT || r->done.fn) return;
  r->commit = log_compact_commit(r->c, &r->got, &r->got_size);
  r->done = (io_task){committed, r, NULL};
  io_post(r->e->io, &r->done);
}

static bool compact(retain *r) {
  bool done = false;
  if (r->e->wanted_after != r->wanted && !HDW_BROKEN("retain.races")) { /* what was judged up to here may be needed again: once more from its beginning */
    log_compact_end(r->c);
    r->c = NULL;
    r->at = P_CHOOSE;
    return true;
  }
  hdw_status s = log_compact_step(r->c, judge, r, LOOK, &done);
  if (s) {
    log_compact_end(r->c);
    r->c = NULL;
    if (s != HDW_E_CORRUPT) return false;
    damaged(r, &r->segs[r->i], s);
    r->at = P_CHOOSE;
    return true;
  }
  if (!done) return true;
  r->done = (io_task){0};
  r->at = P_COMMIT;
  s = io_worker_start(r->e->io, commit_step, r, &r->worker);
  if (s) {
    log_compact_end(r->c);
    r->c = NULL;
    return false;
  }
  io_worker_wake(r->worker);
  return true;
}

/* Empty segments at the beginning: first the record that says so, then the files. */
static bool drop(retain *r) {
  engine *e = r->e;
  uint32_t k = 0;
  while (k + 1 < r->n && r->segs[k].info.as_of && !r->segs[k].info.entries) k++;
  if (k && store_first(e->store) < r->segs[k].first) return expire(r, r->segs[k].first, NULL, 0);
  if (k && !store_flush(e->store)) {
    for (uint32_t i = 0; i < k; i++) r->freed += r->segs[i].size;
    (void)log_drop_before(e->log, r->segs[k].first, NULL);
  }
  r->at = P_IDLE;
  e->st.retain_passes++;
  e->st.retain_freed_bytes += r->freed;
  if (r->freed || r->expired) {
    char rows_text[24], bytes_text[24];
    snprintf(rows_text, sizeof rows_text, "%llu", (unsigned long long)r->expired);
    snprintf(bytes_text, sizeof bytes_text, "%llu", (unsigned long long)r->freed);
    eng_say(e, ENGINE_INFO, "retention", "rows", rows_text, "freed_bytes", bytes_text, NULL);
  }
  return list(r);
}

/* ---- turns ------------------------------------------------------------------------------------------------------------------------- */

static void begin(retain *r) {
  r->after = 0, r->freed = r->expired = 0;
  horizons(r);
  r->at = P_DELIVERIES;
}

/* Judged by a state that does not know yet who needs it, something needed would go. */
static bool knows(const retain *r) { return HDW_BROKEN("retain.races") || store_applied(r->e->store) >= r->e->wanted_after; }

static bool turn(retain *r) {
  if (!knows(r)) return true;
  switch (r->at) {
  case P_DELIVERIES: return rows(r, SUBJECT_DELIVERY);
  case P_INPUTS: return rows(r, SUBJECT_INPUT);
  case P_RUNS: return rows(r, SUBJECT_RUN);
  case P_AUDIT: return audit(r);
  case P_LIST: r->at = P_MEASURE; return list(r);
  case P_MEASURE: return measure(r);
  case P_CHOOSE: return choose(r);
  case P_COMPACT: return compact(r);
  case P_DROP: return drop(r);
  default: return true;
  }
}

static void tick(void *user) {
  retain *r = (retain *)user;
  if (r->e->failed || r->e->closing || r->waiting || r->at == P_COMMIT) return;
  if (r->at == P_IDLE) begin(r);
  else if (!turn(r)) {
    pass_failed(r, HDW_OK);
    return;
  }
  if (r->waiting || r->at == P_COMMIT) return;
  if (r->at == P_IDLE && r->finished) { /* the second pass sees what the first one measured */
    if (r->e->st.retain_passes >= 2) r->finished(r->finished_user);
    else soon(r, 0);
    return;
  }
  if (r->at != P_IDLE) soon(r, PAUSE_US);
  else if (r->e->o.retain_every_us || !r->e->io->sim || r->e->o.daemon) soon(r, every_us(r->e));
}

hdw_status eng_retain_start(engine *e) {
  retain *r = e->retain = (retain *)eng_get(e, sizeof *r);
  if (!r) return HDW_E_NOMEM;
  r->e = e;
  if (!e->io->sim || e->o.retain_every_us || e->o.daemon) {
    (void)list(r);
    soon(r, e->o.retain_every_us ? e->o.retain_every_us : every_us(e) / 12);
  }
  return HDW_OK;
}

hdw_status engine_retain(engine *e, void (*done)(void *user), void *user) {
  hdw_status s = e->retain ? HDW_OK : eng_retain_start(e);
  if (s) return s;
  e->retain->finished = done, e->retain->finished_user = user;
  if (list(e->retain)) log_roll(e->log);
  soon(e->retain, 0);
  return HDW_OK;
}

bool eng_retain_takes(const engine *e) { return e->retain && (e->retain->waiting || e->retain->at == P_COMMIT) && !HDW_BROKEN("retain.races"); }

void eng_retain_now(engine *e) {
  if (e->retain->at == P_IDLE) soon(e->retain, 0);
}

bool eng_retain_busy(const engine *e) { return e->retain->at != P_IDLE || e->retain->timer.set; }

void eng_retain_close(engine *e) {
  retain *r = e->retain;
  if (!r) return;
  io_timer_cancel(e->io, &r->timer);
  if (r->worker) io_worker_stop(r->worker);
  if (r->done.fn) io_unpost(e->io, &r->done);
  if (r->it) log_iter_close(r->it);
  if (r->c) log_compact_end(r->c);
  eng_put(e, r->segs, r->cap * sizeof *r->segs);
  r->segs = NULL, r->n = r->cap = 0;
}

void eng_retain_free(engine *e) {
  if (e->retain) eng_put(e, e->retain, sizeof *e->retain);
  e->retain = NULL;
}
