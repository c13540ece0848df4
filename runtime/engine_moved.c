/* engine_moved.c - a connection's address is another than before: what may have reached the old one never goes to the new one by itself (SEMANTICS 4).
 *
 * A sink knows an effect again by its idempotency key; another sink does not. So an effect of which nobody knows whether it took place at the old address
 * ends as ambiguous, and a person decides: redrive sends it to the new address, discard gives it up. What certainly did not arrive, and what was never tried, goes on.
 *
 *   steps        the intent names the address (REC_INTENT); engine_step.c compares when the run comes back to it
 *   deliveries   an attempt whose outcome is unknown leaves its class, ambiguous, in the row; a row that is older than the change is not tried again
 *   in flight    at an orderly end their ids are noted (named state "flying"); without one every delivery that may have been under way counts as such
 *
 * Named state "address", key = connection: hash of the address as hex, then since when, Unix microseconds (0 = from the beginning). */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"

enum { HEADS_MAX = 256, FLYING_MAX = 1024 };

static const char moved_text[] = "the address of the connection has changed, and it is unknown whether the old one has it";

hdw_status eng_conn_address(engine *e, eng_conn *c, const char *kind) {
  arena a;
  buf b;
  uint8_t hash[REC_HASH];
  arena_init(&a, e->mem, 0);
  buf_init(&b, &a, 1 << 20);
  buf_puts(&b, kind);
  if (c->cfg->o.base[0]) buf_putf(&b, "\n%s", c->cfg->o.base);
  else buf_putc(&b, '\n'), (void)json_write(jv_get(c->args, "base"), &b, NULL);
  if (c->cfg->o.address[0]) buf_putf(&b, "\n%s", c->cfg->o.address);
  else buf_putc(&b, '\n'), (void)json_write(jv_get(c->args, "host"), &b, NULL), buf_putc(&b, ':'), (void)json_write(jv_get(c->args, "port"), &b, NULL);
  if (c->cfg->o.folder[0]) buf_putf(&b, "\n%s", c->cfg->o.folder);
  else buf_putc(&b, '\n'), (void)json_write(jv_get(c->args, "path"), &b, NULL);
  hdw_status s = b.status; /* half an address would be another one */
  if (!s) {
    cod_sha256(b.p, b.len, NULL, 0, hash);
    memcpy(c->address, hash, sizeof c->address);
  }
  arena_free(&a);
  return s;
}

const char *eng_moved_text(void) { return moved_text; }

/* ---- named state -------------------------------------------------------------------------------------------------------------------------- */

static void put(engine *e, const char *space, const char *name, const void *p, size_t len) {
  rec_put r = {.space = cod_cstr(space), .key = cod_cstr(name)};
  cod_w w = eng_writer(e);
  if (!rec_put_named(&w, &r)) (void)eng_append_rec(e, REC_PUT, &w, p, len, NULL, NULL, NULL);
}

static bool number(cod_str v, size_t *at, uint64_t *out) {
  *out = 0;
  while (*at < v.len && v.p[*at] == ' ') ++*at;
  size_t from = *at;
  for (; *at < v.len && *at - from < 19 && v.p[*at] >= '0' && v.p[*at] <= '9'; ++*at) *out = *out * 10 + (uint64_t)(v.p[*at] - '0');
  return *at > from;
}

static bool at_address(const eng_conn *c, cod_str v) {
  char hex[2 * REC_LANE + 1];
  eng_hex(c->address, REC_LANE, hex);
  return v.len >= 2 * REC_LANE && !memcmp(v.p, hex, 2 * REC_LANE);
}

/* ---- deliveries that may be under way ------------------------------------------------------------------------------------------------------ */

static void on_ended(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_conn *c = (eng_conn *)user;
  (void)rec;
  c->settling--;
  if (!s && !c->settling) eng_out_new(e, c);
}

static void give_to_a_person(eng_conn *c, uint64_t id) {
  engine *e = c->e;
  arena a;
  store_delivery d;
  char number_text[24];
  arena_init(&a, e->mem, 65536);
  if (eng_state_has(e, store_get_delivery(e->store, ENG_PART, id, &a, &d)) && (d.state == DELIVERY_PENDING || d.state == DELIVERY_INFLIGHT)) {
    rec_delivery_result r = {.delivery = id, .state = eng_out_dead_state(c, d.lane), .fail_class = FAIL_AMBIGUOUS, .attempts = d.attempts, .error_code = cod_cstr("ambiguous"), .error_text = cod_cstr(moved_text)};
    cod_w w = eng_writer(e);
    if (!rec_put_delivery_result(&w, &r) && !eng_append_rec(e, REC_DELIVERY_RESULT, &w, NULL, 0, on_ended, c, NULL)) {
      c->settling++, c->dead++;
      snprintf(number_text, sizeof number_text, "%llu", (unsigned long long)id);
      eng_say(e, ENGINE_WARN, "delivery_dead", "delivery", number_text, "sink", c->name, "code", "ambiguous", "reason", moved_text, "queue", r.state == DELIVERY_PARKED ? "held" : "goes on", NULL);
    }
  }
  arena_free(&a);
}

typedef struct heads {
  uint64_t id[HEADS_MAX];
  uint32_t n, looked;
  uint8_t lane[REC_LANE];    /* the last one */
} heads;
static bool head_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  heads *h = (heads *)user;
  (void)part;
  if (state != DELIVERY_PARKED) h->id[h->n] = id, h->n++;
  return ++h->looked < HEADS_MAX;
}
static bool lane_head(const uint8_t lane[REC_LANE], uint64_t id, uint8_t state, void *user) {
  memcpy(((heads *)user)->lane, lane, REC_LANE);
  return head_one(ENG_PART, id, state, user);
}

/* Put off to a time behind the last record: it was not being tried, unless it was the probe of an open breaker. */
static void maybe(eng_conn *c, uint64_t id) {
  arena a;
  store_delivery d;
  arena_init(&a, c->e->mem, 65536);
  bool could = eng_state_has(c->e, store_get_delivery(c->e->store, ENG_PART, id, &a, &d));
  if (could) could = (c->open || d.next_us <= c->e->last_life_us) && (c->driver->in_order || eng_out_first(c->e, c, &d));
  arena_free(&a);
  if (could) give_to_a_person(c, id);
}

/* The process ended without a word: heads of lanes, and of those without a lane as many as the dispatcher looks at. */
static void anything(eng_conn *c) {
  static const uint8_t no_lane[REC_LANE];
  engine *e = c->e;
  cod_str name = cod_cstr(c->name);
  heads h = {.n = 0};
  if (c->driver->in_order) {
    uint64_t first = 0;
    (void)eng_state_has(e, store_list_queue(e->store, ENG_PART, name, NULL, 0, HEADS_MAX, head_one, &h));
    for (uint32_t i = 0; i < h.n; i++)
      if (!first || h.id[i] < first) first = h.id[i];
    if (first) maybe(c, first);
    return;
  }
  (void)eng_state_has(e, store_list_queue(e->store, ENG_PART, name, no_lane, 0, HEADS_MAX, head_one, &h));
  for (uint32_t i = 0; i < h.n; i++) maybe(c, h.id[i]);
  do {
    h.n = h.looked = 0;
    (void)eng_state_has(e, store_list_heads(e->store, ENG_PART, name, h.lane, HEADS_MAX, lane_head, &h));
    for (uint32_t i = 0; i < h.n; i++) maybe(c, h.id[i]);
  } while (h.looked == HEADS_MAX);
}

bool eng_conn_settle(eng_conn *c) {
  engine *e = c->e;
  arena a;
  cod_str v, fly;
  size_t at = 2 * REC_LANE;
  uint64_t since = 0, id;
  char hex[2 * REC_LANE + 1], text[2 * REC_LANE + 24];
  bool first = !e->started;
  arena_init(&a, e->mem, 65536);
  hdw_status mine = store_get_named(e->store, cod_cstr("address"), cod_cstr(c->name), &a, &v), theirs = HDW_E_NOTFOUND; /* theirs: under its earlier name */
  if (mine == HDW_E_NOTFOUND && c->was) theirs = store_get_named(e->store, cod_cstr("address"), cod_cstr(c->was), &a, &v);
  bool own = eng_state_has(e, mine), had = eng_state_has(e, theirs) || own, same = had && at_address(c, v);
  bool unknown = !had && (mine != HDW_E_NOTFOUND || theirs != HDW_E_NOTFOUND);
  if (same) (void)number(v, &at, &since);
  c->moved_us = same ? (int64_t)since : had || unknown ? io_wall_us(e->io) : 0; /* not known: as if it had moved, what is ambiguous is for a person */
  if (!unknown && (!own || !same)) {
    eng_hex(c->address, REC_LANE, hex);
    int n = snprintf(text, sizeof text, "%s %lld", hex, (long long)c->moved_us);
    put(e, "address", c->name, text, (size_t)n);
  }
  const char *key = c->name;
  bool noted = first && eng_state_has(e, store_get_named(e->store, cod_cstr("flying"), cod_cstr(key), &a, &fly));
  if (first && !noted && c->was) noted = eng_state_has(e, store_get_named(e->store, cod_cstr("flying"), cod_cstr(key = c->was), &a, &fly));
  if (first && e->unsettled) { /* engine_start gives up: nothing of it is taken away */
    arena_free(&a);
    return false;
  }
  if (noted) {
    at = 2 * REC_LANE;
    while (!at_address(c, fly) && number(fly, &at, &id)) give_to_a_person(c, id);
    put(e, "flying", key, NULL, 0);
  } else if (first && had && !same && e->unclean) anything(c);
  arena_free(&a);
  return had && !same;
}

void eng_conn_note_flying(eng_conn *c, const uint64_t *ids, uint32_t n) {
  arena a;
  buf b;
  char hex[2 * REC_LANE + 1];
  if (!n) return;
  arena_init(&a, c->e->mem, 0);
  buf_init(&b, &a, 65536);
  eng_hex(c->address, REC_LANE, hex);
  buf_puts(&b, hex);
  for (uint32_t i = 0; i < n && i < FLYING_MAX; i++) buf_putf(&b, " %llu", (unsigned long long)ids[i]);
  if (!b.status) put(c->e, "flying", c->name, b.p, b.len);
  arena_free(&a);
}
