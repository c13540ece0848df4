/* engine_replay_diff.c - where two values differ. Lists are compared item by item behind what they have in common at both ends, so that one item more is
 * one place and not all that follow; paths carry no index, so that places of many messages add up. HL7 messages are compared segment by segment, the nth of a name
 * with the nth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine_replay.h"
#include "json.h"

enum { DEEP = 48, KEY_MAX = 48, TEXT_MAX = 64 << 20 };

static hdw_status node_text(void *user, val node, buf *out) {
  const hl7_node *n = hl7_of(node);
  hl7_slice s;
  (void)user;
  if (n->level != HL7_MSG) s = hl7_node_raw(n);
  else if (hl7_bytes(out->a, n->m, &s)) return HDW_E_NOMEM;
  json_write_str(out, s.p, s.len);
  return HDW_OK;
}

/* As it would be written; what cannot be (a handle) is its tag. */
static bool text_of(replay_compare *c, val v, buf *b) {
  json_wopts o = {.hl7 = node_text};
  buf_init(b, c->a, TEXT_MAX);
  hdw_status s = json_write(v, b, &o);
  if (s == HDW_E_TYPE) {
    b->len = 0;
    buf_putf(b, "tag %d", v.tag);
    s = HDW_OK;
  }
  if (!s && !b->status) return true;
  c->failed = true;
  return false;
}

static bool same(replay_compare *c, val x, val y) {
  buf p, q;
  arena_mark m = arena_here(c->a);
  bool equal = text_of(c, x, &p) && text_of(c, y, &q) && p.len == q.len && !memcmp(p.p, q.p, p.len);
  arena_release(c->a, m);
  return equal;
}

static void found(replay_compare *c, engine_replay_kind kind, val before, val after) {
  c->n++;
  c->found(c->user, c->path, kind, before, after);
}

/* ---- the path -------------------------------------------------------------------------------------------------------------------------- */

/* Names of members that programs make are words; one that looks like anything else may be data of a patient. */
static bool is_word(const char *s, size_t n) {
  bool digits = true;
  if (!n || n > KEY_MAX) return false;
  for (size_t i = 0; i < n; i++) {
    char ch = s[i];
    bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
    if (!letter && !(ch >= '0' && ch <= '9') && ch != '-') return false;
    digits &= !letter;
  }
  return !digits;
}

static size_t step(replay_compare *c, const char *s, size_t n) {
  size_t was = c->len;
  if (was && was + 1 < sizeof c->path) c->path[c->len++] = '.';
  for (size_t i = 0; i < n && c->len + 1 < sizeof c->path; i++) c->path[c->len++] = s[i];
  c->path[c->len] = 0;
  return was;
}

static void back(replay_compare *c, size_t was) { c->path[c->len = was] = 0; }

/* ---- HL7 ------------------------------------------------------------------------------------------------------------------------------------ */

static bool slices_equal(hl7_slice x, hl7_slice y) { return x.len == y.len && (!x.len || !memcmp(x.p, y.p, x.len)); }

static val slice_val(hl7_slice s) { return s.len ? val_str(s.p, s.len) : VAL_NONE; }

static void leaf(replay_compare *c, const char *place, hl7_slice x, hl7_slice y) {
  size_t was = step(c, place, strlen(place));
  found(c, !x.len ? REPLAY_ADDED : !y.len ? REPLAY_REMOVED : REPLAY_CHANGED, slice_val(x), slice_val(y));
  back(c, was);
}

static uint32_t parts(hl7_slice s, char sep) {
  uint32_t n = 1;
  for (uint32_t i = 0; i < s.len; i++) n += s.p[i] == sep;
  return n;
}

/* One field: down to the component that differs. Repetitions by number. */
static void compare_field(replay_compare *c, const char *seg, const hl7_msg *p, uint32_t i, const hl7_msg *q, uint32_t k, uint32_t field) {
  hl7_slice x = hl7_field_raw(p, i, field), y = hl7_field_raw(q, k, field);
  char place[32];
  if (slices_equal(x, y)) return;
  snprintf(place, sizeof place, "%s-%u", seg, field);
  bool head = !strcmp(seg, "MSH") && field <= 2;
  uint32_t nx = head ? 1 : parts(x, p->d.rep), ny = head ? 1 : parts(y, q->d.rep), n = nx > ny ? nx : ny;
  for (uint32_t r = 0; r < n; r++) {
    hl7_slice u = hl7_raw(p, i, field, r, 0, 0), v = hl7_raw(q, k, field, r, 0, 0);
    if (slices_equal(u, v)) continue;
    uint32_t cu = parts(u, p->d.comp), cv = parts(v, q->d.comp), m = cu > cv ? cu : cv;
    if (head || !u.len || !v.len || m == 1) {
      leaf(c, place, u, v);
      continue;
    }
    for (uint32_t comp = 1; comp <= m; comp++) {
      hl7_slice s = hl7_raw(p, i, field, r, comp, 0), t = hl7_raw(q, k, field, r, comp, 0);
      if (slices_equal(s, t)) continue;
      snprintf(place, sizeof place, "%s-%u.%u", seg, field, comp);
      leaf(c, place, s, t);
    }
    snprintf(place, sizeof place, "%s-%u", seg, field);
  }
}

static hl7_slice segment_bytes(const hl7_msg *m, uint32_t i) { return (hl7_slice){m->bytes + m->segs[i].off, m->segs[i].len}; }

/* Segments by name, then by place. */
static int by_name(const void *p, const void *q) {
  uint64_t x = *(const uint64_t *)p, y = *(const uint64_t *)q;
  return x < y ? -1 : x > y;
}
static uint64_t *sorted(replay_compare *c, const hl7_msg *m) {
  uint64_t *v = (uint64_t *)arena_alloc(c->a, ((size_t)m->nsegs + 1) * sizeof *v);
  if (!v) {
    c->failed = true;
    return NULL;
  }
  for (uint32_t i = 0; i < m->nsegs; i++) v[i] = (uint64_t)m->segs[i].name << 32 | i;
  v[m->nsegs] = UINT64_MAX;
  qsort(v, m->nsegs, sizeof *v, by_name);
  return v;
}

static void one_segment(replay_compare *c, const hl7_msg *p, uint32_t i, const hl7_msg *q, uint32_t k) {
  hl7_slice none = {NULL, 0}, x = p ? segment_bytes(p, i) : none, y = q ? segment_bytes(q, k) : none;
  char name[4];
  if (slices_equal(x, y)) return;
  snprintf(name, sizeof name, "%.*s", 3, p ? x.p : y.p);
  if (!p || !q) {
    leaf(c, name, x, y);
    return;
  }
  uint32_t n = hl7_field_count(p, i), m = hl7_field_count(q, k);
  for (uint32_t f = 1; f <= (n > m ? n : m); f++) compare_field(c, name, p, i, q, k, f);
}

static void compare_messages(replay_compare *c, const hl7_msg *p, const hl7_msg *q) {
  const uint64_t *x = sorted(c, p), *y = x ? sorted(c, q) : NULL;
  while (y && (*x != UINT64_MAX || *y != UINT64_MAX)) {
    uint64_t u = *x >> 32, v = *y >> 32;
    bool left = *x != UINT64_MAX && (*y == UINT64_MAX || u <= v), right = *y != UINT64_MAX && (*x == UINT64_MAX || v <= u);
    one_segment(c, left ? p : NULL, (uint32_t)*x, right ? q : NULL, (uint32_t)*y);
    x += left, y += right;
  }
}

static const hl7_msg *message(val v) {
  const hl7_node *n = hl7_of(v);
  return n && n->level == HL7_MSG ? n->m : NULL;
}

/* ---- values -------------------------------------------------------------------------------------------------------------------------------------- */

static void compare(replay_compare *c, val before, val after, unsigned depth);

static bool norm(replay_compare *c, val slot, val *out) {
  if (val_is_norm(slot)) *out = slot;
  else if (val_norm(c->a, slot, out)) c->failed = true;
  return !c->failed;
}

static void compare_objects(replay_compare *c, val p, val q, unsigned depth) {
  for (unsigned side = 0; side < 2; side++) {
    val o = side ? q : p, other = side ? p : q;
    for (uint32_t i = 0; i < o.len; i++) {
      val key = o.u.v[2 * i], x, y = VAL_NONE;
      const val *slot = val_obj_get(other, key);
      if (side && slot) continue;
      if (!norm(c, o.u.v[2 * i + 1], &x) || (slot && !norm(c, *slot, &y))) return;
      bool word = is_word(key.u.s, key.len);
      size_t was = step(c, word ? key.u.s : "*", word ? key.len : 1);
      compare(c, side ? y : x, side ? x : y, depth + 1);
      back(c, was);
    }
  }
}

static void compare_lists(replay_compare *c, val p, val q, unsigned depth) {
  uint32_t n = val_count(p), m = val_count(q), head = 0, tail = 0;
  while (head < n && head < m && same(c, val_item(p, head), val_item(q, head))) head++;
  while (head + tail < n && head + tail < m && same(c, val_item(p, n - 1 - tail), val_item(q, m - 1 - tail))) tail++;
  for (uint32_t i = head; (i < n - tail || i < m - tail) && !c->failed; i++)
    compare(c, i < n - tail ? val_item(p, i) : VAL_NONE, i < m - tail ? val_item(q, i) : VAL_NONE, depth + 1);
}

static void compare(replay_compare *c, val p, val q, unsigned depth) {
  if (c->failed || !norm(c, p, &p) || !norm(c, q, &q) || (!val_count(p) && !val_count(q))) return;
  if (!val_count(p) || !val_count(q)) found(c, val_count(p) ? REPLAY_REMOVED : REPLAY_ADDED, p, q);
  else if (depth < DEEP && (p.tag == VAL_LIST || q.tag == VAL_LIST)) compare_lists(c, p, q, depth);
  else if (depth < DEEP && p.tag == VAL_OBJ && q.tag == VAL_OBJ) compare_objects(c, p, q, depth);
  else if (message(p) && message(q)) compare_messages(c, message(p), message(q));
  else if (!same(c, p, q)) found(c, REPLAY_CHANGED, p, q);
}

void replay_compare_values(replay_compare *c, val before, val after) { compare(c, before, after, 0); }
