/* engine_cache.c - answers that are kept: step x = cached(connection.operation(…), for: 1 day, stale: 7 days).
 *
 *   key       hash of operation, connection, arguments and the address they go to: another server has other answers
 *   kept      named state (REC_PUT), space "cache": it outlives restarts and backups; all together at most cache_bytes and ROWS_MAX, the oldest go first
 *   hit       younger than `for`: no call. The run records the value as the step's result, so that replay sees what the run saw, whatever is kept by then
 *   in flight one step asks, the others wait for its answer, or for its failure, after which each decides as if it had asked itself
 *   stale     the server cannot be asked (transient, or the connection is held): an answer older than `for` by at most `stale` is used instead
 *
 * A value is durable a little after it is known; until then it stands in its row (young). Loop thread only. */
#include <stdio.h>
#include "engine_int.h"
#include "points.h"

enum { ROWS_MAX = 4096, HEAD_MAX = 400, HEX = 2 * REC_LANE };
static const char space[] = "cache";

typedef struct cache_row {
  uint8_t key[REC_LANE];
  char conn[META_MAX_NAME + 1];
  int64_t time_us, keep_us;  /* wall: when it was asked; how long after that anybody may want it */
  size_t len;                /* of the value */
  uint64_t seq;              /* of its record while that is not durable */
  char *young;               /* the value until then */
} cache_row;

struct eng_cache {
  cache_row *rows;
  uint32_t n, cap;
  uint64_t bytes;
};

/* ---- rows ----------------------------------------------------------------------------------------------------------------------- */

static cache_row *find(engine *e, const uint8_t key[REC_LANE]) {
  for (uint32_t i = 0; e->cache && i < e->cache->n; i++)
    if (!memcmp(e->cache->rows[i].key, key, REC_LANE)) return &e->cache->rows[i];
  return NULL;
}

static cache_row *add(engine *e) {
  if (!e->cache) e->cache = (struct eng_cache *)eng_get(e, sizeof *e->cache);
  struct eng_cache *k = e->cache;
  if (k && k->n == k->cap) {
    uint32_t cap = k->cap ? k->cap * 2 : 16;
    cache_row *rows = (cache_row *)eng_get(e, cap * sizeof *rows);
    if (!rows) return NULL;
    if (k->n) memcpy(rows, k->rows, k->n * sizeof *rows);
    eng_put(e, k->rows, k->cap * sizeof *rows);
    k->rows = rows, k->cap = cap;
  }
  return k ? &k->rows[k->n++] : NULL;
}

static void grown(engine *e, cache_row *r) {
  eng_put(e, r->young, r->len);
  r->young = NULL;
}

static void take_away(engine *e, cache_row *r) {
  struct eng_cache *k = e->cache;
  grown(e, r);
  k->bytes -= r->len;
  *r = k->rows[--k->n];
}

static hdw_status put(engine *e, const uint8_t key[REC_LANE], const void *value, size_t len, eng_durable fn, uint64_t *seq) {
  char hex[HEX + 1];
  eng_hex(key, REC_LANE, hex);
  rec_put p = {.space = cod_cstr(space), .key = cod_bytes(hex, HEX)};
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_named(&w, &p);
  return s ? s : eng_append_rec(e, REC_PUT, &w, value, len, fn, NULL, seq);
}

static void forget(engine *e, cache_row *r) {
  (void)put(e, r->key, NULL, 0, NULL, NULL);
  take_away(e, r);
}

/* Room for so many bytes more: what nobody may want any more goes first, then the oldest. */
static void make_room(engine *e, size_t len) {
  uint64_t most = (uint64_t)e->o.config->top.cache_bytes;
  int64_t now = io_wall_us(e->io);
  struct eng_cache *k = e->cache;
  for (uint32_t i = 0; k && i < k->n && (k->bytes + len > most || k->n >= ROWS_MAX);)
    if (now - k->rows[i].time_us > k->rows[i].keep_us) forget(e, &k->rows[i]);
    else i++;
  while (k && k->n && (k->bytes + len > most || k->n >= ROWS_MAX)) {
    cache_row *old = &k->rows[0];
    for (uint32_t i = 1; i < k->n; i++)
      if (k->rows[i].time_us < old->time_us) old = &k->rows[i];
    forget(e, old);
  }
}

/* ---- values: version u8 | time var | keep var | connection str | bytes --------------------------------------------------------------- */

static bool read_head(cod_r *r, cache_row *row) {
  if (cod_get_u8(r) != 1) return false;
  row->time_us = (int64_t)cod_get_var(r);
  row->keep_us = (int64_t)cod_get_var(r);
  cod_str conn = cod_get_str(r);
  snprintf(row->conn, sizeof row->conn, "%.*s", (int)conn.len, conn.p);
  return !r->bad;
}

static bool one_kept(cod_str key, cod_str value, void *user) {
  engine *e = (engine *)user;
  cod_r r = cod_reader(value.p, value.len);
  cache_row head = {0}, *row;
  if (key.len != HEX || !read_head(&r, &head) || !(row = add(e))) return true;
  for (unsigned i = 0; i < REC_LANE; i++) {
    unsigned x = 0;
    for (unsigned j = 0; j < 2; j++) {
      char c = key.p[2 * i + j];
      x = x * 16 + (unsigned)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    head.key[i] = (uint8_t)x;
  }
  head.len = value.len;
  *row = head;
  e->cache->bytes += value.len;
  return true;
}

void eng_cache_start(engine *e) {
  arena a;
  arena_init(&a, e->mem, 0);
  (void)store_list_named(e->store, cod_cstr(space), &a, one_kept, e);
  arena_free(&a);
  make_room(e, 0);
}

void eng_cache_free(engine *e) {
  struct eng_cache *k = e->cache;
  for (uint32_t i = 0; k && i < k->n; i++) grown(e, &k->rows[i]);
  if (k) eng_put(e, k->rows, k->cap * sizeof *k->rows);
  eng_put(e, k, sizeof *k);
  e->cache = NULL;
}

/* What is kept under the step's key and was asked less than most_us ago, in the step's memory. */
static bool kept(eng_step *s, int64_t most_us) {
  engine *e = s->e;
  cache_row *row = find(e, s->cache_key), head;
  if (!row || io_wall_us(e->io) - row->time_us >= most_us || HDW_BROKEN("cache.again")) return false;
  cod_str v = cod_bytes(row->young, row->len);
  char hex[HEX + 1];
  eng_hex(row->key, REC_LANE, hex);
  if (!row->young && store_get_named(e->store, cod_cstr(space), cod_bytes(hex, HEX), &s->a, &v)) return false;
  cod_r r = cod_reader(v.p, v.len);
  if (!read_head(&r, &head)) return false;
  size_t len = (size_t)(r.end - r.p);
  char *copy = arena_dup(&s->a, r.p, len);
  if (!copy) return false;
  s->result = copy, s->result_len = len;
  return true;
}

static void on_kept(void *user) { eng_step_answered((eng_step *)user); }
static void on_again(void *user) { eng_step_perform((eng_step *)user); }
static void on_failed(void *user) { eng_step_missed((eng_step *)user); }

/* ---- a step --------------------------------------------------------------------------------------------------------------------------- */

void eng_cache_begin(eng_step *s, const eng_ask *x) {
  uint8_t h[REC_HASH];
  s->keep_us = x->keep_us, s->stale_us = x->stale_us;
  cod_sha256(x->hash, REC_HASH, s->c->address, REC_LANE, h);
  memcpy(s->cache_key, h, REC_LANE);
}

bool eng_cache_takes(eng_step *s) {
  engine *e = s->e;
  s->joins = false;
  if (kept(s, s->keep_us)) {
    s->c->cache_hits++;
    s->state = STEP_TRIES;
    io_timer_set(e->io, &s->timer, 0, on_kept, s);
    return true;
  }
  for (unsigned i = 0; i < ENG_HASH; i++)
    for (eng_step *o = e->steps[i]; o; o = o->next)
      if (o->asks && !o->dropped && !memcmp(o->cache_key, s->cache_key, REC_LANE)) {
        s->c->cache_joined++;
        s->state = STEP_TRIES;
        return s->joins = true;
      }
  s->c->cache_asked++;
  s->asks = true;
  return false;
}

/* Those that wait for this one's answer; it asks no more. */
static eng_step *next_joined(eng_step *s, unsigned *slot, eng_step *at) {
  eng_step *o = at ? at->next : NULL;
  for (;; o = o->next) {
    while (!o && *slot < ENG_HASH) o = s->e->steps[(*slot)++];
    if (!o || (o != s && o->joins && !o->dropped && !memcmp(o->cache_key, s->cache_key, REC_LANE))) return o;
  }
}

static void on_durable(engine *e, hdw_status s, const log_rec *rec, void *user) {
  (void)user;
  for (uint32_t i = 0; !s && e->cache && i < e->cache->n; i++)
    if (e->cache->rows[i].seq == rec->seq && e->cache->rows[i].young) grown(e, &e->cache->rows[i]);
}

static void keep(eng_step *s, const void *p, size_t len) {
  engine *e = s->e;
  uint8_t head[HEAD_MAX];
  cod_w w = cod_writer(head, sizeof head);
  cache_row *row = find(e, s->cache_key);
  int64_t now = io_wall_us(e->io);
  cod_put_u8(&w, 1);
  cod_put_var(&w, (uint64_t)now);
  cod_put_var(&w, (uint64_t)(s->keep_us + s->stale_us));
  cod_put_str(&w, cod_cstr(s->c->name));
  size_t all = w.len + len;
  if (row) take_away(e, row);
  if (w.bad || all > (uint64_t)e->o.config->top.cache_bytes / 4) return; /* one answer does not push all others out */
  make_room(e, all);
  char *young = (char *)eng_get(e, all);
  if (!young || !(row = add(e))) {
    eng_put(e, young, all);
    return;
  }
  memcpy(young, head, w.len);
  memcpy(young + w.len, p, len);
  *row = (cache_row){.time_us = now, .keep_us = s->keep_us + s->stale_us, .len = all, .young = young};
  memcpy(row->key, s->cache_key, REC_LANE);
  snprintf(row->conn, sizeof row->conn, "%s", s->c->name);
  e->cache->bytes += all;
  if (put(e, row->key, young, all, on_durable, &row->seq)) take_away(e, row);
}

void eng_cache_answered(eng_step *s, const void *p, size_t len) {
  unsigned slot = 0;
  if (!s->asks) return;
  s->asks = false;
  keep(s, p, len);
  for (eng_step *o = next_joined(s, &slot, NULL); o; o = next_joined(s, &slot, o)) {
    char *copy = arena_dup(&o->a, p, len);
    o->joins = false;
    o->result = copy, o->result_len = len;
    io_timer_set(s->e->io, &o->timer, 0, copy ? on_kept : on_again, o);
  }
}

void eng_cache_failed(eng_step *s) {
  unsigned slot = 0;
  if (!s->asks) return;
  s->asks = false;
  for (eng_step *o = next_joined(s, &slot, NULL); o; o = next_joined(s, &slot, o)) {
    eng_call *c = &o->call;
    o->joins = false;
    o->attempts++;
    c->ok = false;
    c->status = s->call.status, c->fail_class = s->call.fail_class, c->retry_after_us = s->call.retry_after_us;
    memcpy(c->code, s->call.code, sizeof c->code);
    memcpy(c->message, s->call.message, sizeof c->message);
    io_timer_set(s->e->io, &o->timer, 0, on_failed, o);
  }
}

void eng_cache_left(eng_step *s) {
  unsigned slot = 0;
  if (!s->asks) return;
  s->asks = false;
  for (eng_step *o = next_joined(s, &slot, NULL); o && !s->e->closing; o = next_joined(s, &slot, o)) {
    o->joins = false;
    io_timer_set(s->e->io, &o->timer, 0, on_again, o);
  }
}

bool eng_cache_stale(eng_step *s) {
  if (!s->stale_us || !(s->call.held || s->call.fail_class == FAIL_TRANSIENT) || !kept(s, s->keep_us + s->stale_us)) return false;
  s->c->cache_stale++;
  s->state = STEP_TRIES;
  io_timer_set(s->e->io, &s->timer, 0, on_kept, s);
  return true;
}

/* ---- looking ------------------------------------------------------------------------------------------------------------------------------ */

bool engine_cache_of(const engine *e, const char *connection, engine_answers *out) {
  *out = (engine_answers){0};
  for (uint32_t i = 0; e->cache && i < e->cache->n; i++) {
    const cache_row *r = &e->cache->rows[i];
    if (strcmp(r->conn, connection) != 0) continue;
    if (!out->entries || r->time_us < out->oldest_us) out->oldest_us = r->time_us;
    if (r->time_us > out->newest_us) out->newest_us = r->time_us;
    out->entries++;
    out->bytes += r->len;
  }
  return out->entries > 0;
}

uint32_t engine_cache_clear(engine *e, const char *connection) {
  uint32_t n = 0;
  for (uint32_t i = 0; e->cache && i < e->cache->n;)
    if (!connection || !strcmp(e->cache->rows[i].conn, connection)) forget(e, &e->cache->rows[i]), n++;
    else i++;
  return n;
}
