/* test_diff.c - where two values differ: objects member by member, lists item by item, HL7 messages segment by segment down to components. */
#include <string.h>
#include "hl7_dict.h"
#include "test.h"

enum { DEPTH = 40, SHOWN = 160, PARTS = 200 };

static const char *shown(arena *a, val v) {
  buf b;
  if (v.tag == VAL_EMPTY) return "{}";
  buf_init(&b, a, 1 << 20);
  if (hc_write_text_json(a, v, &b)) return "(a value without JSON form)";
  return hc_cut(a, b.p, b.len, SHOWN);
}

static void differ(arena *a, const char *path, val x, val y, hc_list *out, int depth);

static val member(arena *a, val obj, val key) {
  const val *slot = val_obj_get(obj, key);
  val v = VAL_NONE;
  if (slot) (void)val_norm(a, *slot, &v);
  return v;
}

static void differ_objects(arena *a, const char *path, val x, val y, hc_list *out, int depth) {
  for (uint32_t i = 0; i < x.len; i++) {
    val k = x.u.v[2 * i];
    const char *name = hc_text(a, "%s%s%.*s", path, path[0] ? "." : "", (int)k.len, k.u.s);
    differ(a, name, member(a, x, val_key(k.u.s, k.len)), member(a, y, val_key(k.u.s, k.len)), out, depth);
  }
  for (uint32_t i = 0; i < y.len; i++) {
    val k = val_key(y.u.v[2 * i].u.s, y.u.v[2 * i].len), v = member(a, y, k);
    if (!val_obj_get(x, k) && v.tag != VAL_EMPTY)
      differ(a, hc_text(a, "%s%s%.*s", path, path[0] ? "." : "", (int)k.len, k.u.s), VAL_NONE, v, out, depth);
  }
}

/* ---- HL7 ------------------------------------------------------------------------------------------------------------------ */

static hl7_msg *message_of(arena *a, val v) {
  hl7_opts o = {.schema = &hl7_dict_schema};
  const hl7_node *n = hl7_of(v);
  hl7_slice s = {v.u.s, v.len};
  hl7_msg *m;
  if (n && (n->level != HL7_MSG || hl7_bytes(a, n->m, &s))) return NULL;
  if (!n && (v.tag != VAL_STR || v.len < 8 || memcmp(v.u.s, "MSH", 3) != 0)) return NULL;
  return hl7_parse(a, s.p, s.len, &o, &m, NULL) ? NULL : m;
}

static void say(arena *a, const char *path, hl7_slice x, hl7_slice y, hc_list *out) {
  const char *l = hc_cut(a, x.p, x.len, SHOWN), *r = hc_cut(a, y.p, y.len, SHOWN);
  if (out->n >= TEST_MAX_DIFFERENCES) return;
  if (!x.len) hc_list_add(a, out, hc_text(a, "at %s: only the right side has \"%s\"", path, r));
  else if (!y.len) hc_list_add(a, out, hc_text(a, "at %s: only the left side has \"%s\"", path, l));
  else hc_list_add(a, out, hc_text(a, "at %s: \"%s\" is not \"%s\"", path, l, r));
}

/* Part number i of s, divided by sep. */
static hl7_slice part(hl7_slice s, char sep, uint32_t i) {
  const char *p = s.p, *end = s.p + s.len;
  while (i && (p = s.len ? (const char *)memchr(p, sep, (size_t)(end - p)) : NULL)) p++, i--;
  if (!p || i) return (hl7_slice){"", 0};
  const char *e = (const char *)memchr(p, sep, (size_t)(end - p));
  return (hl7_slice){p, (uint32_t)((e ? e : end) - p)};
}

static uint32_t parts(hl7_slice s, char sep) {
  uint32_t n = 1;
  for (uint32_t i = 0; i < s.len; i++) n += s.p[i] == sep;
  return n < PARTS ? n : PARTS;
}

/* level 0: a field of repetitions; 1: a repetition of components; 2: a component of sub-components. */
static void differ_field(arena *a, const char *path, hl7_slice x, hl7_slice y, const hl7_delims *d, int level, hc_list *out) {
  const char seps[] = {d->rep, d->comp, d->sub};
  if (x.len == y.len && memcmp(x.p, y.p, x.len) == 0) return;
  uint32_t n = parts(x, seps[level]), k = parts(y, seps[level]), most = n > k ? n : k;
  if (most == 1 && level < 2) {
    differ_field(a, path, x, y, d, level + 1, out);
    return;
  }
  if (most == 1 || !x.len || !y.len) {
    say(a, path, x, y, out);
    return;
  }
  for (uint32_t i = 0; i < most; i++) {
    const char *at = level == 0 ? hc_text(a, "%s[%u]", path, i) : hc_text(a, "%s.%u", path, i + 1);
    hl7_slice l = part(x, seps[level], i), r = part(y, seps[level], i);
    if (level < 2) differ_field(a, at, l, r, d, level + 1, out);
    else if (l.len != r.len || memcmp(l.p, r.p, l.len) != 0) say(a, at, l, r, out);
  }
}

static hl7_slice segment(const hl7_msg *m, uint32_t i) { return (hl7_slice){m->bytes + m->segs[i].off, m->segs[i].len}; }

static const char *segment_path(arena *a, const hl7_msg *m, uint32_t i) {
  char name[4];
  uint32_t before = 0, after = 0;
  hl7_name_text(m->segs[i].name, name);
  for (uint32_t k = 0; k < m->nsegs; k++) {
    if (m->segs[k].name != m->segs[i].name) continue;
    if (k < i) before++;
    if (k > i) after++;
  }
  return before || after ? hc_text(a, "%s[%u]", name, before) : hc_text(a, "%s", name);
}

/* Segments are aligned by their names. */
static void differ_messages(arena *a, const hl7_msg *x, const hl7_msg *y, hc_list *out) {
  uint32_t i = 0, j = 0;
  hl7_slice none = {"", 0};
  while ((i < x->nsegs || j < y->nsegs) && out->n < TEST_MAX_DIFFERENCES) {
    if (i < x->nsegs && j < y->nsegs && x->segs[i].name == y->segs[j].name) {
      const char *path = segment_path(a, x, i);
      uint32_t n = hl7_field_count(x, i), k = hl7_field_count(y, j);
      for (uint32_t f = 1; f <= (n > k ? n : k); f++) differ_field(a, hc_text(a, "%s-%u", path, f), hl7_field_raw(x, i, f), hl7_field_raw(y, j, f), &x->d, 0, out);
      i++, j++;
      continue;
    }
    uint32_t ahead = j;
    while (i < x->nsegs && ahead < y->nsegs && y->segs[ahead].name != x->segs[i].name) ahead++;
    if (i < x->nsegs && (ahead == y->nsegs || j >= y->nsegs)) say(a, segment_path(a, x, i), segment(x, i), none, out), i++;
    else say(a, segment_path(a, y, j), none, segment(y, j), out), j++;
  }
}

static void differ(arena *a, const char *path, val x, val y, hc_list *out, int depth) {
  int equal;
  if (out->n >= TEST_MAX_DIFFERENCES || depth > DEPTH) return;
  if (x.tag == VAL_EMPTY && y.tag == VAL_EMPTY) return;
  if (!val_equal(a, x, y, &equal) && equal == 1) return;
  if (x.tag == VAL_OBJ && y.tag == VAL_OBJ) {
    uint32_t before = out->n;
    differ_objects(a, path, x, y, out, depth + 1);
    if (out->n > before) return;
  }
  val alone[2] = {x, y}; /* one item against several is a list of one */
  if (x.tag == VAL_LIST && y.tag != VAL_LIST && y.tag != VAL_EMPTY) y = (val){.tag = VAL_LIST, .len = 1, .u.v = &alone[1]};
  if (y.tag == VAL_LIST && x.tag != VAL_LIST && x.tag != VAL_EMPTY) x = (val){.tag = VAL_LIST, .len = 1, .u.v = &alone[0]};
  if (x.tag == VAL_LIST && y.tag == VAL_LIST) {
    uint32_t n = x.len > y.len ? x.len : y.len;
    if (x.len != y.len) hc_list_add(a, out, hc_text(a, "%s%s%u items on the left, %u on the right", path[0] ? "at " : "", path[0] ? hc_text(a, "%s: ", path) : "", x.len, y.len));
    for (uint32_t i = 0; i < n; i++)
      differ(a, hc_text(a, "%s[%u]", path, i), i < x.len ? x.u.v[i] : VAL_NONE, i < y.len ? y.u.v[i] : VAL_NONE, out, depth + 1);
    return;
  }
  const hl7_msg *m = message_of(a, x), *k = m ? message_of(a, y) : NULL;
  if (k) {
    hc_list inner = {0};
    differ_messages(a, m, k, &inner);
    for (uint32_t i = 0; i < inner.n; i++) hc_list_add(a, out, path[0] ? hc_text(a, "at %s, %s", path, inner.v[i] + 3) : inner.v[i]);
    if (inner.n) return;
  }
  const char *place = path[0] ? hc_text(a, "at %s: ", path) : "";
  if (x.tag == VAL_EMPTY) hc_list_add(a, out, hc_text(a, "%sonly the right side has %s", place, shown(a, y)));
  else if (y.tag == VAL_EMPTY) hc_list_add(a, out, hc_text(a, "%sonly the left side has %s", place, shown(a, x)));
  else if (strcmp(val_type_name(x), val_type_name(y)) != 0)
    hc_list_add(a, out, hc_text(a, "%s%s (%s) is not %s (%s)", place, shown(a, x), val_type_name(x), shown(a, y), val_type_name(y)));
  else hc_list_add(a, out, hc_text(a, "%s%s is not %s", place, shown(a, x), shown(a, y)));
}

void test_difference(arena *a, val left, val right, hc_list *out) { differ(a, "", left, right, out, 0); }

