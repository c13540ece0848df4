/* store_rig.h - log and store together on the simulated seam, and a long drawn history for them. */
#ifndef HDW_STORE_RIG_H
#define HDW_STORE_RIG_H
#include "support.h"
#include "io_sim.h"
#include "store.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct world {
  test_mem t;
  io *x;
  hlog *l;
  store *s;
  store_info info;
  arena a;
  char dir[64], log[80], mdb[80];
  uint64_t seq;           /* of the last append */
  unsigned commit_records;
  uint64_t map_bytes;
  bool faulty;            /* calls fail on purpose (tests/faults/failing.c): what is refused is not asked for again */
  uint64_t durable;       /* faulty: the last record that was called durable */
  uint64_t audit;         /* number and hash of the last audit record */
  uint8_t audit_hash[REC_HASH];
} world;

static inline void on_done(hdw_status s, const log_rec *rec, void *user) {
  world *w = (world *)user;
  if (w->faulty) {
    if (!s) w->durable = rec->seq;
    if (!s && w->s) (void)store_apply(w->s, rec);
    return;
  }
  assert_int_equal(s, HDW_OK);
  if (w->s) assert_int_equal(store_apply(w->s, rec), HDW_OK);
}

static inline void begin(world *w) {
  memset(w, 0, sizeof *w);
  test_mem_init(&w->t);
  snprintf(w->dir, sizeof w->dir, "/tmp/hdw-store-XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  snprintf(w->log, sizeof w->log, "%s/log", w->dir);
  snprintf(w->mdb, sizeof w->mdb, "%s/state.mdb", w->dir);
  io_sim_opts o = {.seed = 5, .root = w->dir};
  assert_int_equal(io_sim_new(&w->t.m, &o, &w->x), HDW_OK);
  arena_init(&w->a, &w->t.m, 0);
}

static inline void copy_file(const char *from, const char *to) {
  char cmd[400];
  snprintf(cmd, sizeof cmd, "cp %s %s", from, to);
  assert_int_equal(system(cmd), 0);
}

static inline hdw_status open_state(world *w) {
  store_opts so = {.dir = w->dir, .commit_records = w->commit_records, .map_bytes = w->map_bytes};
  return store_open(w->x, &so, &w->info, &w->s);
}

static inline void open_all(world *w) {
  log_open_info li;
  log_opts lo = {.dir = w->log, .segment_bytes = 65536, .synced_seq = store_peek_applied(w->x, w->dir)};
  assert_int_equal(log_open(w->x, &lo, &li, &w->l), HDW_OK);
  assert_int_equal(open_state(w), HDW_OK);
  w->seq = li.last_seq;
}

static inline void close_all(world *w) {
  log_close(w->l);
  store_close(w->s);
  w->l = NULL, w->s = NULL;
}

static inline void end(world *w) {
  if (w->l) close_all(w);
  arena_free(&w->a);
  io_sim_free(w->x);
  char cmd[128];
  snprintf(cmd, sizeof cmd, "rm -rf %s", w->dir);
  assert_int_equal(system(cmd), 0);
  assert_int_equal(w->t.live_bytes, 0);
}

static inline uint64_t send(world *w, uint8_t type, const cod_w *m, const char *body) {
  log_rec r = {.type = type, .version = REC_VERSION, .meta = m->p, .meta_len = (uint32_t)m->len, .body = (const uint8_t *)body, .body_len = (uint32_t)strlen(body)};
  hdw_status s = log_append(w->l, &r, on_done, w);
  if (w->faulty && s) return 0;
  assert_int_equal(s, HDW_OK);
  return w->seq = r.seq;
}
static inline void settle(world *w) { io_sim_advance(w->x, 5000); }

static uint8_t meta[REC_META_MAX];
static inline cod_w out(void) { return cod_writer(meta, sizeof meta); }

static inline void lane(const char *key, uint8_t h[REC_LANE]) { rec_lane_hash(cod_cstr("wf"), cod_cstr(key), h); }

static inline uint64_t put_input(world *w, const char *control, const char *content, uint8_t state, unsigned nruns, const char *lane_key) {
  static rec_input in;
  memset(&in, 0, sizeof in);
  in.source = cod_cstr("adt_in");
  in.dedup_key = cod_cstr(control);
  cod_sha256(content, strlen(content), NULL, 0, in.content_hash);
  in.control_id = cod_cstr(control), in.sender = cod_cstr("LAB_A|HOSP"), in.type = cod_cstr("ADT^A01"), in.peer = cod_cstr("10.0.0.7:4711");
  in.received_us = 77;
  in.npatients = 2;
  in.patients[0] = cod_cstr("MRN1"), in.patients[1] = cod_cstr("MRN2");
  in.verdict.state = state;
  in.verdict.ack_code = cod_cstr(state == INPUT_FAILED ? "AE" : "AA");
  in.verdict.text = cod_cstr("fine");
  memset(in.verdict.module, 0xab, REC_HASH);
  in.verdict.nruns = (uint8_t)nruns;
  for (unsigned i = 0; i < nruns; i++) {
    in.verdict.runs[i].workflow = cod_cstr(i ? "second" : "first");
    if (lane_key) {
      in.verdict.runs[i].nlanes = 1;
      lane(lane_key, in.verdict.runs[i].lanes[0]);
    }
  }
  cod_w m = out();
  assert_int_equal(rec_put_input(&m, &in), HDW_OK);
  return send(w, REC_INPUT, &m, content);
}

static inline void put_state(world *w, uint64_t run, uint8_t state, int64_t wake) {
  rec_run_change c = {.run = run, .state = state, .wake_us = wake, .reason = cod_cstr("because"), .path = cod_cstr("3.1")};
  cod_w m = out();
  assert_int_equal(rec_put_run_change(&m, &c), HDW_OK);
  send(w, REC_RUN_STATE, &m, "");
}
static inline uint64_t put_end(world *w, uint64_t run, uint8_t state, const char *value) {
  rec_run_end e = {.run = run, .state = state, .fail_class = state == RUN_DONE ? 0 : FAIL_PERMANENT, .error_code = cod_cstr("E7"), .error_text = cod_cstr("no"), .line = 12};
  cod_w m = out();
  assert_int_equal(rec_put_run_end(&m, &e), HDW_OK);
  return send(w, REC_RUN_END, &m, value);
}
static inline uint64_t put_effect(world *w, uint8_t type, uint64_t run, const char *path, uint8_t state, const char *body) {
  rec_effect e = {.run = run, .path = cod_cstr(path), .operation = cod_cstr("epic.search"), .state = state, .attempts = 1};
  cod_w m = out();
  assert_int_equal(rec_put_effect(&m, &e), HDW_OK);
  return send(w, type, &m, body);
}
static inline uint64_t put_delivery(world *w, uint64_t run, const char *sink, const char *key, const char *body) {
  rec_delivery d = {.run = run, .path = cod_cstr("4"), .sink = cod_cstr(sink), .operation = cod_cstr("send")};
  lane(key, d.lane);
  cod_w m = out();
  assert_int_equal(rec_put_delivery(&m, &d), HDW_OK);
  return send(w, REC_DELIVERY, &m, body);
}
static inline void put_delivered(world *w, uint64_t id, uint8_t state, int64_t next) {
  rec_delivery_result r = {.delivery = id, .state = state, .attempts = 2, .next_us = next, .error_code = cod_cstr("503")};
  cod_w m = out();
  assert_int_equal(rec_put_delivery_result(&m, &r), HDW_OK);
  send(w, REC_DELIVERY_RESULT, &m, "response");
}
static inline void put_action(world *w, uint8_t action, uint8_t subject, uint64_t id, const char *name) {
  rec_action a = {.action = action, .subject = subject, .id = id, .name = cod_cstr(name), .who = cod_cstr("ann")};
  cod_w m = out();
  assert_int_equal(rec_put_action(&m, &a), HDW_OK);
  send(w, REC_ACTION, &m, "");
}
static inline void put_named(world *w, const char *space, const char *key, const char *value) {
  rec_put p = {.space = cod_cstr(space), .key = cod_cstr(key)};
  cod_w m = out();
  assert_int_equal(rec_put_named(&m, &p), HDW_OK);
  send(w, REC_PUT, &m, value);
}

/* The next link of the audit trail; until: a checkpoint. */
static inline void put_audit(world *w, const char *kind, uint64_t until, const uint8_t *until_hash) {
  rec_audit a = {.number = ++w->audit, .time_us = io_wall_us(w->x), .kind = cod_cstr(kind), .who = cod_cstr("uid:7"), .action = cod_cstr("GET /runs"), .until = until};
  memcpy(a.previous, w->audit_hash, REC_HASH);
  if (until) memcpy(a.until_hash, until_hash, REC_HASH);
  cod_w m = out();
  assert_int_equal(rec_put_audit(&m, &a), HDW_OK);
  cod_sha256(m.p, m.len, NULL, 0, w->audit_hash);
  send(w, REC_AUDIT, &m, "");
}
static inline void put_deploy(world *w, uint8_t module, const char *name, const char *bytes) {
  rec_deploy d = {.name = cod_cstr(name), .file = cod_cstr("app.hdwb"), .who = cod_cstr("ann")};
  memset(d.module, module, REC_HASH);
  cod_w m = out();
  assert_int_equal(rec_put_deploy(&m, &d), HDW_OK);
  send(w, REC_DEPLOY, &m, bytes);
}

typedef struct ids {
  uint64_t id[64];
  uint8_t state[64];
  unsigned n;
} ids;
static inline bool take(uint16_t part, uint64_t id, uint8_t state, void *user) {
  ids *l = (ids *)user;
  assert_int_equal(part, 0);
  assert_true(l->n < 64);
  l->id[l->n] = id;
  l->state[l->n++] = state;
  return true;
}
static inline void assert_str(cod_str s, const char *want) {
  assert_int_equal(s.len, strlen(want));
  assert_memory_equal(s.p, want, s.len);
}

/* A long drawn history. */
static inline void live(world *w, unsigned seed, unsigned n) {
  srand(seed);
  for (unsigned i = 0; i < n; i++) {
    char c[32], body[200];
    uint64_t pick = 1 + (uint64_t)rand() % (w->seq ? w->seq : 1);
    snprintf(c, sizeof c, "C%d", rand() % 200);
    memset(body, 'a' + rand() % 26, sizeof body - 1);
    body[rand() % 199] = 0;
    body[199] = 0;
    switch (rand() % 14) {
    case 0:
    case 1:
    case 2: put_input(w, c, body, (uint8_t)(1 + rand() % 5), (unsigned)rand() % 4, rand() % 2 ? c : NULL); break;
    case 3: put_state(w, rec_run_id(pick, (unsigned)rand() % 3), (uint8_t)(1 + rand() % 4), rand() % 2 ? rand() : 0); break;
    case 4: put_end(w, rec_run_id(pick, (unsigned)rand() % 3), (uint8_t)(RUN_DONE + rand() % 3), body); break;
    case 5: put_effect(w, REC_INTENT, rec_run_id(pick, 0), c, EFFECT_INTENT, body); break;
    case 6: put_effect(w, REC_RESULT, rec_run_id(pick, 0), c, EFFECT_DONE, body); break;
    case 7: put_delivery(w, rec_run_id(pick, 0), rand() % 2 ? "s1" : "s2", c, body); break;
    case 8:
    case 9: put_delivered(w, pick, (uint8_t)(1 + rand() % 6), rand() % 2 ? rand() : 0); break;
    case 10: put_action(w, (uint8_t)(1 + rand() % 5), (uint8_t)(1 + rand() % 6), rand() % 2 ? pick : rec_run_id(pick, 0), c); break;
    case 11: put_named(w, "cursor", c, rand() % 3 ? body : ""); break;
    case 12: put_audit(w, "call", 0, NULL); break;
    case 13: put_deploy(w, (uint8_t)(rand() % 5), rand() % 2 ? "admit" : "lab", rand() % 2 ? body : ""); break;
    }
    if (i % 16 == 0) settle(w);
  }
  settle(w);
}

static inline void hash(world *w, uint8_t h[32]) { assert_int_equal(store_hash(w->s, h), HDW_OK); }

#endif
