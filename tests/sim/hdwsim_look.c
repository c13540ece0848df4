/* hdwsim_look.c - looking into the daemon: whether it has what it acknowledged, what holds it up, what is whose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hdwsim_daemon.h"

bool take_id(uint16_t part, uint64_t id, uint8_t state, void *user) {
  ids *x = (ids *)user;
  (void)part, (void)state;
  x->id[x->n++] = id;
  return x->n < 256;
}

static void describe_queue(world *w, const char *sink) {
  ids heads = {.n = 0};
  engine_sink k = {.state = ""};
  for (uint32_t i = 0; engine_sink_at(w->d->e, i, &k) && strcmp(k.name, sink) != 0; i++) {}
  (void)store_list_queue(engine_store(w->d->e), 0, cod_cstr(sink), NULL, 0, 256, take_id, &heads);
  say(w, "sink %s: %s, %u in flight, %u lanes", sink, k.state, k.in_flight, heads.n);
  for (unsigned i = 0; i < heads.n; i++) {
    arena a;
    store_delivery d;
    arena_init(&a, &w->mem.m, 0);
    if (!store_get_delivery(engine_store(w->d->e), 0, heads.id[i], &a, &d))
      say(w, "  delivery %llu: state %u, %u attempts, %u further lanes, changed %lld ms ago, next in %lld ms, '%.*s'", (unsigned long long)d.id, d.state, d.attempts, d.nmore,
          (long long)(io_wall_us(w->io) - d.changed_us) / 1000, d.next_us ? (long long)(d.next_us - io_wall_us(w->io)) / 1000 : 0LL, (int)d.error_text.len, d.error_text.p);
    arena_free(&a);
  }
}

/* Into the trace: every run that is not done, and the first ones of each queue. */
void daemon_describe(world *w) {
  if (!w->trace || !w->d->e) return;
  w->looking = true;
  describe_queue(w, "emr");
  describe_queue(w, "ward");
  for (uint8_t state = RUN_QUEUED; state <= RUN_DEAD; state++) {
    ids runs = {.n = 0};
    (void)store_list_runs(engine_store(w->d->e), 0, state, 0, 256, take_id, &runs);
    for (unsigned i = 0; i < runs.n; i++) {
      arena a;
      store_run r;
      arena_init(&a, &w->mem.m, 0);
      if (!store_get_run(engine_store(w->d->e), 0, runs.id[i], &a, &r)) {
        char lanes[20 * REC_MAX_LANES] = "";
        for (unsigned k = 0; k < r.nlanes; k++) { /* "*": it is the first in the lane */
          uint64_t head = 0;
          (void)store_lane_head(engine_store(w->d->e), 0, r.lanes[k], &head, NULL);
          snprintf(lanes + strlen(lanes), sizeof lanes - strlen(lanes), " %02x%02x%s", r.lanes[k][0], r.lanes[k][1], head == r.id ? "*" : "");
        }
        say(w, "run %llu of %.*s: state %u, lanes%s, %u times begun, changed %lld ms ago, wakes in %lld ms, held by '%.*s', path '%.*s', '%.*s'", (unsigned long long)r.id, (int)r.workflow.len, r.workflow.p, r.state,
            lanes, r.attempts, (long long)(io_wall_us(w->io) - r.changed_us) / 1000, r.wake_us ? (long long)(r.wake_us - io_wall_us(w->io)) / 1000 : 0LL, (int)r.held.len, r.held.p, (int)r.path.len, r.path.p,
            (int)r.reason.len, r.reason.p);
      }
      arena_free(&a);
    }
  }
  w->looking = false;
}

/* ---- what is whose ----------------------------------------------------------------------------------------------------------------------------------- */

/* The bytes of an input; NULL: it is not there, or retention took them. */
static const char *bytes_of(world *w, uint64_t input, arena *a, store_input *row, size_t *len) {
  log_rec rec = {0};
  *len = 0;
  if (store_get_input(engine_store(w->d->e), 0, input, a, row)) return NULL;
  if (log_read(engine_log(w->d->e), row->pos, a, &rec) || rec.flags & LOG_F_BARE) return NULL;
  *len = rec.body_len;
  return (const char *)rec.body;
}

/* Which of the messages under one control id it is: the tag stands behind the patient's number. */
static message *told(world *w, const store_input *row, const char *p, size_t len) {
  message *m = model_first(w, row->control_id.p, row->control_id.len);
  if (!m || !m->next_same) return m;
  const char *at = p ? (const char *)memmem(p, len, "^MR|", 4) : NULL, *end = at ? (const char *)memchr(at + 4, '|', len - (size_t)(at + 4 - p)) : NULL;
  return end ? model_find(w, row->control_id.p, row->control_id.len, at + 4, (size_t)(end - at - 4)) : NULL;
}

static message *message_in(world *w, uint64_t input, uint64_t *hash) {
  arena a;
  store_input row;
  size_t len;
  message *m = NULL;
  *hash = 0;
  arena_init(&a, &w->mem.m, 0);
  const char *p = bytes_of(w, input, &a, &row, &len);
  if (p) *hash = hash_of(p, len);
  if (p || !store_get_input(engine_store(w->d->e), 0, input, &a, &row)) m = told(w, &row, p, len);
  arena_free(&a);
  return m;
}

message *daemon_message_of(world *w, uint64_t run) {
  arena a;
  store_run row;
  uint64_t hash;
  arena_init(&a, &w->mem.m, 0);
  message *m = store_get_run(engine_store(w->d->e), 0, run, &a, &row) ? NULL : message_in(w, row.input, &hash);
  arena_free(&a);
  return m;
}

bool daemon_line_is_about(world *w, const char *line, const char *id) {
  static const char *const keys[] = {"\"run\":\"", "\"delivery\":\""};
  char name[32];
  for (unsigned i = 0; i < 2 && w->d->e; i++) {
    const char *at = strstr(line, keys[i]);
    uint64_t number = at ? strtoull(at + strlen(keys[i]), NULL, 10) : 0;
    arena a;
    store_delivery row;
    if (!number) continue;
    arena_init(&a, &w->mem.m, 0);
    if (i) number = store_get_delivery(engine_store(w->d->e), 0, number, &a, &row) ? 0 : row.run;
    arena_free(&a);
    const message *m = number ? daemon_message_of(w, number) : NULL;
    snprintf(name, sizeof name, "%s.%s", m ? m->id : "", m ? m->tag : "");
    if (m && (!strcmp(name, id) || !strcmp(m->id, id))) return true;
  }
  return false;
}

bool daemon_input_of(world *w, const message *m, uint64_t *input) {
  ids in = {.n = 0};
  uint64_t hash;
  (void)store_list_inputs(engine_store(w->d->e), 0, STORE_BY_CONTROL_ID, cod_cstr(m->id), 0, false, 255, take_id, &in);
  for (unsigned i = 0; i < in.n; i++)
    if (message_in(w, in.id[i], &hash) == m) {
      *input = in.id[i];
      return true;
    }
  return false;
}

bool daemon_keeps(world *w, const message *m) {
  uint64_t input, hash;
  return daemon_input_of(w, m, &input) && message_in(w, input, &hash) == m && hash == m->sent_hash;
}

/* ---- looking in --------------------------------------------------------------------------------------------------------------------------------------- */

bool daemon_has(world *w, const message *m) {
  ids in = {.n = 0};
  unsigned want = 0;
  for (const message *x = model_first(w, m->id, strlen(m->id)); x; x = x == m ? NULL : model_next(w, x)) want += x->answer != NULL;
  (void)store_list_inputs(engine_store(w->d->e), 0, STORE_BY_CONTROL_ID, cod_cstr(m->id), 0, false, 255, take_id, &in);
  return in.n >= want;
}

static bool hold(const engine_lane *l, void *user) {
  (void)l;
  ++*(unsigned *)user;
  return true;
}

bool daemon_drained(world *w, char why[200], uint64_t *left) {
  struct daemon_state *d = w->d;
  store_counts c;
  unsigned lanes = 0;
  snprintf(why, 200, "it does not live");
  *left = UINT64_MAX;
  if (!d->e) return false;
  store_get_counts(engine_store(d->e), &c);
  uint64_t runs = c.runs - c.runs_by_state[RUN_DONE] - c.runs_by_state[RUN_DISCARDED], deliveries = c.deliveries - c.deliveries_by_state[DELIVERY_DELIVERED] - c.deliveries_by_state[DELIVERY_DISCARDED];
  *left = runs + deliveries;
  engine_lanes(d->e, 0, hold, &lanes);
  snprintf(why, 200, "%llu runs not done (%llu queued, %llu at work, %llu parked, %llu dead), %llu deliveries not delivered (%llu dead, %llu holding), %u lanes%s", (unsigned long long)runs,
           (unsigned long long)c.runs_by_state[RUN_QUEUED], (unsigned long long)c.runs_by_state[RUN_RUNNING], (unsigned long long)c.runs_by_state[RUN_PARKED],
           (unsigned long long)(c.runs_by_state[RUN_DEAD] + c.runs_by_state[RUN_FAILED]), (unsigned long long)deliveries, (unsigned long long)c.deliveries_by_state[DELIVERY_DEAD],
           (unsigned long long)c.deliveries_by_state[DELIVERY_PARKED], lanes, engine_idle(d->e) ? "" : ", not idle");
  daemon_describe(w);
  if (c.orphans) broken(w, "%llu records are about something that is not there", (unsigned long long)c.orphans);
  return !runs && !deliveries && !lanes && engine_idle(d->e);
}

/* The state is what the log says: folded again from its beginning it is the same. */
void daemon_finish(world *w) {
  store *s = engine_store(w->d->e);
  uint8_t before[32], after[32];
  store_info info = {0};
  if (store_flush(s) || store_check(s) || store_hash(s, before)) broken(w, "the store cannot be read at the end");
  if (store_rebuild(s, &info) || store_hash(s, after)) broken(w, "the store cannot be rebuilt from the log");
  if (memcmp(before, after, sizeof before) != 0) broken(w, "the store that is folded again from the log is another one");
  io_sim_note(w->io, hash_of(after, sizeof after));
}
