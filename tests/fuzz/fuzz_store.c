/* Log records folded into a store, and the store asked. The first byte: bit 0 the second store commits after every record (else after every eighth), bit 1 at the
 * end the first one is closed and opened again. Then records, one after the other; the first byte of each says which type, and whether it is made well (its fields are drawn from the bytes that follow, its ids point at what is there), made well with
 * bytes changed, or nothing but bytes.
 *
 * Held: what is no record is refused and ends the store, in both alike; whatever else a record says, folding goes on; what is in memory and what is in the file say the same
 * (hash of all state, counts, every query); a store that is closed and opened again is the same; ids come in order; a row that a list gives can be had. */
#include "rig.h"
#include "audit.h"
#include "records.h"
#include "store.h"

FZ_COUNTS_ITS_MEMORY

enum { RECORDS = 120, LISTED = 400 };
static const char *const words[] = {"", "a", "adt", "crm", "sink:crm", "paused", "window", "cursor", "x|y", "listener:adt", "workflow:w", "lab", "ann", "once", "7"};

typedef struct rec_made {
  log_rec rec;
  uint8_t meta[2048], body[64];
} rec_made;

static cod_str text(feed *f, char out[40]) {
  uint8_t k = feed_byte(f);
  size_t n, nwords = sizeof words / sizeof *words;
  if (k < 0xe0) return cod_cstr(words[k % nwords]);
  const uint8_t *p = feed_bytes(f, k & 31u, &n);
  memcpy(out, p, n);
  return cod_bytes(out, n);
}

static uint64_t number(feed *f, uint64_t seq) {
  uint8_t k = feed_byte(f);
  if (k < 200) return seq > k % 16u ? seq - k % 16u : 1;
  if (k < 240) return k;
  return (uint64_t)feed_word(f) << (k % 49u);
}
static uint64_t run_id(feed *f, uint64_t seq) { return rec_run_id(number(f, seq), feed_byte(f) % 4u); }
static int64_t when(feed *f) {
  uint8_t k = feed_byte(f);
  return k < 128 ? INT64_C(1767225600000000) + k * INT64_C(3600000000) : k < 250 ? 0 : (int64_t)((uint64_t)feed_word(f) << 48);
}
static void hash(feed *f, uint8_t *out, size_t n) { memset(out, feed_byte(f) % 5, n); }

static void verdict(feed *f, rec_verdict *v, char t[3][40]) {
  static uint8_t programs[2][2][REC_HASH];
  v->state = (uint8_t)(1 + feed_byte(f) % 6), v->ack_code = text(f, t[0]), v->error_code = text(f, t[1]), v->text = text(f, t[2]);
  hash(f, v->module, REC_HASH), hash(f, v->deployment, REC_HASH);
  v->nruns = feed_byte(f) % 4;
  for (unsigned i = 0; i < v->nruns; i++) {
    rec_run_new *r = &v->runs[i];
    uint8_t k = feed_byte(f);
    memset(r, 0, sizeof *r);
    memset(programs, 7, sizeof programs);
    r->workflow = cod_cstr(words[k % 4u]), r->flags = (uint8_t)(k >> 4 & (RUN_F_LANE_SKIP | RUN_F_ACK_AFTER)), r->nlanes = k >> 6;
    for (unsigned j = 0; j < r->nlanes; j++) memset(r->lanes[j], (int)(j + (k & 1)), REC_LANE);
    if (k & 8) r->flags |= RUN_F_ONCE, hash(f, r->once, REC_LANE), r->once_until_us = when(f);
    if (k & 4) r->module = programs[0][0], r->deployment = programs[0][1];
  }
}

static hdw_status put_input(feed *f, cod_w *w) {
  static rec_input in;
  char t[9][40], v[3][40];
  memset(&in, 0, sizeof in);
  in.source = text(f, t[0]), in.dedup_key = text(f, t[1]), in.control_id = text(f, t[2]), in.sender = text(f, t[3]), in.type = text(f, t[4]), in.peer = text(f, t[5]);
  hash(f, in.content_hash, REC_HASH);
  in.received_us = when(f);
  in.npatients = feed_byte(f) % 3;
  for (unsigned i = 0; i < in.npatients; i++) in.patients[i] = cod_cstr(words[feed_byte(f) % 12u]);
  in.identity = text(f, t[6]), in.charset = text(f, t[7]), in.sequence_key = text(f, t[8]);
  in.sequence_next = in.sequence_key.len ? 1 + feed_byte(f) : 0;
  verdict(f, &in.verdict, v);
  return rec_put_input(w, &in);
}

static hdw_status put_verdict(feed *f, cod_w *w, uint64_t seq) {
  static rec_input_verdict r;
  char v[3][40];
  memset(&r, 0, sizeof r);
  r.input = number(f, seq);
  verdict(f, &r.verdict, v);
  return rec_put_verdict(w, &r);
}

static hdw_status put_start(feed *f, cod_w *w, uint64_t seq) {
  static rec_run_start r;
  char t[40];
  memset(&r, 0, sizeof r);
  r.input = number(f, seq), r.of_run = run_id(f, seq), r.epoch = feed_byte(f), r.cause = text(f, t);
  uint8_t k = feed_byte(f);
  r.run.workflow = cod_cstr(words[k % 4u]), r.run.nlanes = k >> 6;
  for (unsigned j = 0; j < r.run.nlanes; j++) memset(r.run.lanes[j], (int)(j + (k & 1)), REC_LANE);
  return rec_put_run_start(w, &r);
}

static hdw_status put_expire(feed *f, cod_w *w, uint64_t seq) {
  rec_expired items[8];
  uint32_t n = feed_byte(f) % 8u;
  for (uint32_t i = 0; i < n; i++) {
    items[i].subject = (uint8_t)(1 + feed_byte(f) % 4u);
    items[i].id = items[i].subject == SUBJECT_RUN ? run_id(f, seq) : number(f, seq);
  }
  return rec_put_expire(w, feed_byte(f) % 3 ? 0 : number(f, seq), items, n);
}

/* The rest of the types, whose fields are short. */
static hdw_status put_other(feed *f, uint8_t type, cod_w *w, uint64_t seq) {
  char t[6][40];
  switch (type) {
  case REC_ACK_OUTCOME: {
    rec_ack_outcome r = {number(f, seq), (uint8_t)(1 + feed_byte(f) % 6), text(f, t[0]), text(f, t[1]), text(f, t[2])};
    return rec_put_ack_outcome(w, &r);
  }
  case REC_RUN_STATE: {
    rec_run_change r = {run_id(f, seq), (uint8_t)(1 + feed_byte(f) % 4), feed_byte(f) % 5, when(f), text(f, t[0]), text(f, t[1]), text(f, t[2])};
    return rec_put_run_change(w, &r);
  }
  case REC_INTENT:
  case REC_RESULT: {
    rec_effect r = {.run = run_id(f, seq), .path = text(f, t[0]), .operation = text(f, t[1]), .state = (uint8_t)(1 + feed_byte(f) % 3), .fail_class = feed_byte(f) % 5, .attempts = feed_byte(f), .error_code = text(f, t[2]), .error_text = text(f, t[3])};
    return rec_put_effect(w, &r);
  }
  case REC_RUN_END: {
    rec_run_end r = {.run = run_id(f, seq), .state = (uint8_t)(RUN_DONE + feed_byte(f) % 3), .fail_class = feed_byte(f) % 5, .error_code = text(f, t[0]), .error_text = text(f, t[1]), .path = text(f, t[2]), .line = feed_byte(f)};
    return rec_put_run_end(w, &r);
  }
  case REC_DELIVERY: {
    rec_delivery r = {.run = run_id(f, seq), .path = text(f, t[0]), .sink = text(f, t[1]), .operation = text(f, t[2])};
    hash(f, r.lane, REC_LANE), hash(f, r.idempotency, REC_HASH);
    r.nmore = feed_byte(f) % 3;
    for (unsigned i = 0; i < r.nmore; i++) memset(r.more[i], (int)i + 1, REC_LANE);
    return rec_put_delivery(w, &r);
  }
  case REC_DELIVERY_RESULT: {
    rec_delivery_result r = {number(f, seq), (uint8_t)(1 + feed_byte(f) % 6), feed_byte(f) % 5, feed_byte(f), when(f), text(f, t[0]), text(f, t[1])};
    return rec_put_delivery_result(w, &r);
  }
  case REC_ACTION: {
    rec_action r = {.action = (uint8_t)(1 + feed_byte(f) % 6), .subject = (uint8_t)(1 + feed_byte(f) % 7), .name = text(f, t[0]), .who = text(f, t[1]), .reason = text(f, t[2])};
    r.id = r.subject == SUBJECT_RUN ? run_id(f, seq) : number(f, seq);
    hash(f, r.lane, REC_LANE);
    return rec_put_action(w, &r);
  }
  case REC_DEPLOY: {
    rec_deploy r = {.name = text(f, t[0]), .file = text(f, t[1]), .who = text(f, t[2])};
    hash(f, r.module, REC_HASH), hash(f, r.deployment, REC_HASH);
    return rec_put_deploy(w, &r);
  }
  case REC_PUT: {
    rec_put r = {text(f, t[0]), text(f, t[1])};
    return rec_put_named(w, &r);
  }
  case REC_AUDIT: {
    rec_audit r = {.number = number(f, seq), .time_us = when(f), .kind = text(f, t[0]), .who = text(f, t[1]), .roles = text(f, t[2]), .action = text(f, t[3]), .outcome = feed_byte(f), .status = feed_byte(f)};
    hash(f, r.previous, REC_HASH);
    if (!(feed_byte(f) % 4) && r.number > 1) r.until = 1 + feed_byte(f) % (r.number - 1), hash(f, r.until_hash, REC_HASH);
    return rec_put_audit(w, &r);
  }
  default: return HDW_OK; /* REC_CLOSE, and what is of no type */
  }
}

static void make(feed *f, uint64_t seq, rec_made *m) {
  uint8_t k = feed_byte(f);
  size_t n;
  uint8_t type = k % (REC_TYPES + 1);
  hdw_status st = HDW_OK;
  cod_w w = cod_writer(m->meta, sizeof m->meta);
  if (k < 238) st = type == REC_INPUT ? put_input(f, &w) : type == REC_VERDICT ? put_verdict(f, &w, seq) : type == REC_RUN_START ? put_start(f, &w, seq) : type == REC_EXPIRE ? put_expire(f, &w, seq) : put_other(f, type, &w, seq);
  if (k >= 221 && w.len) m->meta[feed_word(f) % w.len] ^= feed_byte(f); /* made well, and changed */
  if (k >= 238 || st) {
    const uint8_t *p = feed_bytes(f, feed_byte(f), &n);
    memcpy(m->meta, p, n);
    w.len = n;
    if (!st) type = feed_byte(f);
  }
  const uint8_t *body = feed_bytes(f, feed_byte(f) % 40u, &n);
  memcpy(m->body, body, n);
  m->rec = (log_rec){.type = type, .version = REC_VERSION, .partition = k == 237 ? 1 : 0, .seq = seq, .time_us = INT64_C(1767225600000000) + (int64_t)seq * 60000000, .pos = {1, (uint32_t)seq * 64},
                     .meta = m->meta, .meta_len = (uint32_t)w.len, .body = m->body, .body_len = (uint32_t)n};
}

/* ---- what a store says: everything into one sum ------------------------------------------------------------------------------------------- */

typedef struct asked {
  store *s;
  arena *a;
  uint64_t sum, last, ids[LISTED];
  unsigned n;
  bool ordered, desc;
} asked;

static void note(asked *q, const void *p, size_t n) {
  for (size_t i = 0; i < n; i++) q->sum = (q->sum ^ ((const uint8_t *)p)[i]) * 1099511628211u;
}
static void note_n(asked *q, uint64_t n) { note(q, &n, sizeof n); }
static void note_s(asked *q, cod_str s) { note_n(q, s.len), note(q, s.p, s.len); }

static bool on_id(uint16_t part, uint64_t id, uint8_t state, void *user) {
  asked *q = (asked *)user;
  demand(!q->ordered || !q->n || (q->desc ? id < q->last : id > q->last));
  q->last = id;
  if (q->n < LISTED) q->ids[q->n++] = id;
  note_n(q, id), note_n(q, (uint64_t)part << 8 | state);
  return true;
}
static void begin(asked *q, bool ordered, bool desc) { q->n = 0, q->ordered = ordered, q->desc = desc; }
static void fine(asked *q, hdw_status st) {
  demand(st == HDW_OK || st == HDW_E_NOTFOUND);
  note_n(q, (uint64_t)st);
}

static bool on_effect(const store_effect *e, void *user) {
  note_s(user, e->path), note_s(user, e->operation), note_n(user, e->state);
  return true;
}
static bool on_named(cod_str key, cod_str value, void *user) { return note_s(user, key), note_s(user, value), true; }
static bool on_sink(cod_str sink, uint64_t depth, void *user) { return note_s(user, sink), note_n(user, depth), demand(depth > 0), true; }
static bool on_deploy(const store_deploy *d, void *user) { return note_s(user, d->name), note(user, d->module, REC_HASH), note_n(user, d->seq), true; }
static bool on_audit(const rec_audit *r, cod_str bytes, void *user) { return note_n(user, r->number), note_s(user, bytes), true; }
static bool on_lane(uint16_t part, const uint8_t lane[REC_LANE], uint64_t run, void *user) { return note_n(user, part), note(user, lane, REC_LANE), note_n(user, run), true; }
static bool on_head(const uint8_t lane[REC_LANE], uint64_t id, uint8_t state, void *user) { return note(user, lane, REC_LANE), note_n(user, id), note_n(user, state), true; }

static void ask_rows(asked *q) {
  store_input in;
  store_run r;
  store_delivery d;
  for (uint8_t subject = SUBJECT_RUN; subject <= SUBJECT_INPUT; subject++) {
    begin(q, true, false);
    fine(q, store_list_all(q->s, 0, subject, 0, LISTED, on_id, q));
    for (unsigned i = 0; i < q->n; i++) { /* the list gave it: it is there */
      if (subject == SUBJECT_INPUT) demand(store_get_input(q->s, 0, q->ids[i], q->a, &in) == HDW_OK), note_s(q, in.control_id), note_n(q, in.state), note_n(q, in.attempts), note_s(q, in.text);
      if (subject == SUBJECT_DELIVERY) demand(store_get_delivery(q->s, 0, q->ids[i], q->a, &d) == HDW_OK), note_s(q, d.sink), note_n(q, d.state), note_n(q, d.attempts), note_n(q, (uint64_t)d.next_us);
      if (subject != SUBJECT_RUN) continue;
      demand(store_get_run(q->s, 0, q->ids[i], q->a, &r) == HDW_OK);
      note_s(q, r.workflow), note_n(q, r.state), note_n(q, r.input), note_s(q, r.reason), note_n(q, (uint64_t)r.wake_us), note_s(q, r.held);
      fine(q, store_list_effects(q->s, 0, r.id, q->a, on_effect, q));
    }
    if (subject == SUBJECT_INPUT)
      for (unsigned i = 0, n = q->n; i < n && i < 20; i++) q->ordered = false, fine(q, store_list_runs_of_input(q->s, 0, q->ids[i], on_id, q));
    begin(q, true, false);
    fine(q, store_list_dead(q->s, 0, subject, 0, LISTED, on_id, q));
  }
  begin(q, true, true);
  fine(q, store_list_inputs(q->s, 0, STORE_BY_TIME, cod_cstr(""), 0, true, LISTED, on_id, q));
}

static void ask_lists(asked *q) {
  int64_t next;
  uint8_t lane[REC_LANE];
  store_input in;
  cod_str value;
  uint64_t id, number;
  uint8_t state, h[REC_HASH];
  for (uint8_t s = RUN_QUEUED; s <= RUN_DEAD; s++) begin(q, true, false), fine(q, store_list_runs(q->s, 0, s, 0, LISTED, on_id, q));
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    cod_str w = cod_cstr(words[i]);
    for (int by = STORE_BY_CONTROL_ID; by <= STORE_BY_PATIENT; by++) begin(q, true, i & 1), fine(q, store_list_inputs(q->s, 0, (store_index)by, w, 0, i & 1, LISTED, on_id, q));
    if (store_find_duplicate(q->s, w, cod_cstr("a"), 0, q->a, &in) == HDW_OK) note_n(q, in.id);
    begin(q, false, false);
    fine(q, store_list_sink(q->s, 0, w, LISTED, on_id, q));
    fine(q, store_list_heads(q->s, 0, w, NULL, LISTED, on_head, q));
    note_n(q, store_depth(q->s, 0, w)), note_n(q, (uint64_t)store_oldest_us(q->s, 0, w, 100));
    fine(q, store_list_named(q->s, w, q->a, on_named, q));
    if (!store_get_named(q->s, w, cod_cstr("a"), q->a, &value)) note_s(q, value);
    if (!store_get_sequence(q->s, w, &next)) note_n(q, (uint64_t)next);
  }
  for (int i = 0; i < 6; i++) {
    memset(lane, i, sizeof lane);
    if (!store_lane_head(q->s, 0, lane, &id, &state)) note_n(q, id), note_n(q, state);
    begin(q, true, false), fine(q, store_list_lane(q->s, 0, lane, 0, LISTED, on_id, q));
    if (!store_get_once(q->s, lane, INT64_C(1767300000000000), &id)) note_n(q, id);
  }
  fine(q, store_list_held(q->s, 0, NULL, LISTED, on_lane, q));
  fine(q, store_list_sinks(q->s, 0, q->a, on_sink, q));
  begin(q, false, false), fine(q, store_list_due(q->s, 0, INT64_C(1767300000000000), LISTED, on_id, q, &next)), note_n(q, (uint64_t)next);
  for (int current = 0; current < 2; current++) fine(q, store_list_deploys(q->s, current, q->a, on_deploy, q)), fine(q, store_list_audit(q->s, 0, current, q->a, on_audit, q));
  fine(q, store_audit_head(q->s, &number, h)), note_n(q, number), note(q, h, sizeof h);
  fine(q, store_audit_over(q->s, INT64_C(1767300000000000), 100, &number, h)), note_n(q, number);
}

static uint64_t ask(store *s, mem *m) {
  arena a;
  store_counts c;
  rec_expired over[16];
  uint32_t n;
  uint64_t next;
  arena_init(&a, m, 64 << 20);
  asked q = {.s = s, .a = &a, .sum = 1469598103934665603u};
  ask_rows(&q);
  ask_lists(&q);
  for (uint8_t subject = SUBJECT_RUN; subject <= SUBJECT_INPUT; subject++)
    if (!store_find_expired(s, 0, subject, 0, INT64_MAX, 100, over, 16, &n, &next)) note_n(&q, n), note_n(&q, next);
  store_get_counts(s, &c);
  note(&q, &c, sizeof c);
  arena_free(&a);
  return q.sum;
}

/* Whatever retention thinks of it, it may ask. */
static void keeps(store *s, const log_rec *rec) {
  store_horizon h = {INT64_C(1767226600000000), INT64_C(1767226600000000), 0, INT64_C(1767226600000000), INT64_C(1767226600000000), 0};
  bool pinned = false;
  store_keep k = store_keeps(s, rec, &h, &pinned);
  demand(k == STORE_DROP || k == STORE_BARE || k == STORE_KEEP);
}

static store *open_store(io *x, const char *dir, unsigned commit_records) {
  store *s;
  store_info info;
  store_opts o = {.dir = dir, .commit_records = commit_records, .map_bytes = 4 << 20};
  demand(store_open(x, &o, &info, &s) == HDW_OK && !info.skipped);
  return s;
}

static void same(store *one, store *two, mem *m) {
  uint8_t h1[32], h2[32];
  demand(ask(one, m) == ask(two, m));
  demand(store_hash(one, h1) == HDW_OK && store_hash(two, h2) == HDW_OK && !memcmp(h1, h2, 32));
}

/* A store in which nothing happened yet: the same file each time, because making one is most of the work. Both folders have the same hash.key. */
static void fresh_state(io *x, const char *dir) {
  static uint8_t empty[1 << 16];
  static size_t len;
  char path[128];
  FILE *f;
  snprintf(path, sizeof path, "%s/state.mdb", dir);
  if (!len) {
    store_close(open_store(x, dir, 0));
    demand((f = fopen(path, "rb")) != NULL);
    len = fread(empty, 1, sizeof empty, f);
    fclose(f);
    demand(len > 0 && len < sizeof empty);
  }
  (void)unlink(path); /* the file of before may still be mapped */
  demand((f = fopen(path, "wb")) && fwrite(empty, 1, len, f) == len && !fchmod(fileno(f), 0600));
  fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *dirs[2];
  static rec_made made[RECORDS];
  io_mem m;
  io *x[2];
  store *s[2];
  feed f = {data, size};
  if (size < 2 || size > 16384) return 0;
  if (!dirs[0]) dirs[0] = fz_folder("one"), dirs[1] = fz_folder("two"), fz_empty(dirs[0]), fz_empty(dirs[1]);
  uint8_t how = feed_byte(&f);
  io_mem_init(&m, (size_t)1 << 30);
  io_sim_opts so = {.seed = 1, .orderly = true};
  for (int i = 0; i < 2; i++) {
    demand(io_sim_new(&m.m, &so, &x[i]) == HDW_OK);
    fresh_state(x[i], dirs[i]);
    s[i] = open_store(x[i], dirs[i], i ? (how & 1 ? 1 : 8) : 0);
  }
  hdw_status st = HDW_OK;
  uint64_t n = 0;
  while (f.n && n < RECORDS && !st) {
    rec_made *r = &made[n];
    make(&f, ++n, r);
    st = store_apply(s[0], &r->rec);
    hdw_status second = store_apply(s[1], &r->rec);
    demand(st == second && (st == HDW_OK || st == HDW_E_CORRUPT || st == HDW_E_VERSION));
    demand(!st || store_apply(s[0], &r->rec) == st);
  }
  if (!st) {
    same(s[0], s[1], &m.m);
    demand(store_flush(s[1]) == HDW_OK);
    for (uint64_t i = 0; i < n; i++) keeps(s[1], &made[i].rec);
    if (how & 2) {
      store_close(s[0]);
      s[0] = open_store(x[0], dirs[0], 0);
      demand(store_applied(s[0]) == n && store_check(s[0]) == HDW_OK);
      same(s[0], s[1], &m.m);
    }
  }
  for (int i = 0; i < 2; i++) store_close(s[i]), io_sim_free(x[i]);
  io_mem_trim(&m);
  demand(m.used_bytes == 0);
  return 0;
}
