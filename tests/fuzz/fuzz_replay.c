/* Where two values differ (engine_replay_diff.c): two documents of JSON, or two messages, with a byte 0x1e between them; the first byte: bit 0 messages, bit 1 the second is
 * the first with changes (three bytes each: where, where, what).
 *
 * Held: nothing differs from itself; seen from the other side as many places differ, at the same paths, what was added is removed; a path is made of names that a program
 * may have, never of data; what is given is there when it is said to be; documents with the same bytes do not differ. */
#include "rig.h"
#include "engine_replay.h"

typedef struct seen {
  uint64_t sum[2];           /* over path and kind, whatever the order; as seen, and from the other side */
  uint32_t n;
  bool messages;
} seen;

static void on_found(void *user, const char *path, engine_replay_kind kind, val before, val after) {
  seen *s = (seen *)user;
  static const engine_replay_kind other[] = {[REPLAY_CHANGED] = REPLAY_CHANGED, [REPLAY_ADDED] = REPLAY_REMOVED, [REPLAY_REMOVED] = REPLAY_ADDED};
  uint64_t h = 1469598103934665603u;
  demand(strlen(path) < 256 && (before.tag == VAL_EMPTY) == (kind == REPLAY_ADDED) && (after.tag == VAL_EMPTY) == (kind == REPLAY_REMOVED));
  for (const char *c = path; *c; c++) {
    bool word = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '-';
    demand(word || *c == '.' || (*c == '*' && !s->messages));
    h = (h ^ (uint8_t)*c) * 1099511628211u;
  }
  s->sum[0] += (h ^ kind) * 1099511628211u, s->sum[1] += (h ^ other[kind]) * 1099511628211u;
  s->n++;
}

static bool read_one(arena *a, bool messages, const uint8_t *p, size_t n, val *out) {
  if (messages) {
    hl7_msg *m;
    hl7_opts o = {.schema = &hl7_dict_schema};
    return hl7_parse(a, (const char *)p, n, &o, &m, NULL) == HDW_OK && hl7_value(a, m, out) == HDW_OK;
  }
  json_reader r;
  json_reader_init(&r, a->mem);
  bool ok = json_read(&r, a, (const char *)p, n, NULL, out, NULL) == HDW_OK;
  json_reader_free(&r);
  return ok;
}

static seen compare(arena *a, bool messages, val x, val y) {
  seen s = {.messages = messages};
  replay_compare c = {.a = a, .found = on_found, .user = &s};
  replay_compare_values(&c, x, y);
  demand(!c.failed && c.n == s.n && c.len == 0);
  return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  io_mem m;
  arena a;
  val x, y;
  size_t nx, ny;
  feed f = {data, size};
  if (size < 2 || size > 16384) return 0;
  uint8_t how = feed_byte(&f);
  bool messages = how & 1;
  const uint8_t *p = feed_until(&f, 0x1e, &nx), *q;
  uint8_t *copy = malloc(nx + 1);
  if (how & 2) {
    memcpy(copy, p, nx);
    for (ny = nx; nx && f.n >= 3;) {
      uint32_t at = feed_word(&f);
      copy[at % nx] = feed_byte(&f);
    }
    q = copy;
  } else q = feed_bytes(&f, f.n, &ny);
  io_mem_init(&m, (size_t)1 << 30);
  arena_init(&a, &m.m, 0);
  if (read_one(&a, messages, p, nx, &x)) {
    demand(!compare(&a, messages, x, x).n);
    if (read_one(&a, messages, q, ny, &y)) {
      seen there = compare(&a, messages, x, y), back = compare(&a, messages, y, x);
      demand(there.n == back.n && there.sum[0] == back.sum[1]);
      demand(!there.n || nx != ny || memcmp(p, q, nx) != 0);
    }
  }
  arena_free(&a);
  io_mem_trim(&m);
  demand(m.used_bytes == 0);
  free(copy);
  return 0;
}
