/* Equality, equivalence, order and hashes of values, by FHIRPath N1 section 6.1 and 6.2. */
#include "value.h"
#include "value_int.h"

static bool is_num(val v) { return v.tag == VAL_INT || v.tag == VAL_LONG || v.tag == VAL_DEC; }
static bool is_day(val v) { return v.tag == VAL_DATE || v.tag == VAL_DATETIME; }

/* Numbers count as quantities of unit '1'. */
static bool as_qty(val v, val_quantity *q) {
  if (v.tag == VAL_QTY) return *q = *(const val_quantity *)v.u.p, true;
  if (is_num(v)) return *q = (val_quantity){val_get_dec(v), "1", 1}, true;
  return false;
}

static int cmp_num(val x, val y) {
  if (x.tag != VAL_DEC && y.tag != VAL_DEC) return (x.u.i > y.u.i) - (x.u.i < y.u.i);
  dec a = val_get_dec(x), b = val_get_dec(y);
  return dec_cmp(&a, &b);
}

/* Model primitives of JSON keep their text: a string where the other side is temporal is the caller's to convert. */
static int cmp_bytes(val x, val y) {
  uint32_t n = x.len < y.len ? x.len : y.len;
  int c = n ? memcmp(x.u.s, y.u.s, n) : 0;
  return c ? (c < 0 ? -1 : 1) : (x.len > y.len) - (x.len < y.len);
}

/* A member table of an object, so that comparing big objects in different member order is not quadratic. */
typedef struct key_index {
  uint32_t *slot; /* member + 1, 0 = free; NULL: linear search */
  uint32_t mask;
} key_index;

enum { INDEX_FROM = 32, STEPS_MAX = 1 << 22 };

static uint64_t mix(uint64_t h) {
  h ^= h >> 32;
  h *= UINT64_C(0xd6e8feb86659fd93);
  h ^= h >> 32;
  h *= UINT64_C(0xd6e8feb86659fd93);
  return h ^ h >> 32;
}

/* Hash of bytes that may come in pieces; the length goes in at the end, so that escaped and plain text hash alike. */
typedef struct hasher {
  uint64_t h, word, len;
} hasher;

static void hash_more(hasher *st, const void *p, size_t n) {
  const unsigned char *s = (const unsigned char *)p;
  unsigned at = (unsigned)(st->len & 7);
  st->len += n;
  while (n > 0) {
    if (at == 0 && n >= 8) {
      uint64_t w;
      memcpy(&w, s, 8);
      st->h = mix(st->h ^ w) + UINT64_C(0x9e3779b97f4a7c15);
      s += 8;
      n -= 8;
      continue;
    }
    st->word |= (uint64_t)*s++ << (8 * at);
    n--;
    if (++at == 8) {
      st->h = mix(st->h ^ st->word) + UINT64_C(0x9e3779b97f4a7c15);
      st->word = 0;
      at = 0;
    }
  }
}

static uint64_t hash_done(const hasher *st) { return mix(st->h ^ st->word ^ st->len * UINT64_C(0x9e3779b97f4a7c15)); }

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n) {
  hasher st = {h, 0, 0};
  hash_more(&st, p, n);
  return hash_done(&st);
}

static uint64_t hash_text(uint64_t h, val v) {
  if (!(v.flags & VALF_ESC)) return hash_bytes(h, v.u.s, v.len);
  hasher st = {h, 0, 0};
  val_unesc u = {(const unsigned char *)v.u.s, (const unsigned char *)v.u.s + v.len};
  unsigned char one[4];
  for (size_t n; (n = val_unesc_next(&u, one)) > 0;) hash_more(&st, one, n);
  return hash_done(&st);
}

static hdw_status index_make(arena *a, val obj, key_index *ix) {
  *ix = (key_index){0};
  if (obj.len < INDEX_FROM) return HDW_OK;
  uint32_t cap = 64;
  while (cap < obj.len * 2ull && cap < 1u << 30) cap *= 2;
  ix->slot = (uint32_t *)arena_zalloc(a, cap, sizeof *ix->slot);
  if (!ix->slot) return HDW_E_NOMEM;
  ix->mask = cap - 1;
  for (uint32_t i = 0; i < obj.len; i++) {
    val k = obj.u.v[2 * i];
    hdw_status s = val_unescape(a, k, &k);
    if (s) return s;
    uint32_t at = (uint32_t)hash_bytes(0, k.u.s, k.len) & ix->mask;
    while (ix->slot[at]) at = (at + 1) & ix->mask;
    ix->slot[at] = i + 1;
  }
  return HDW_OK;
}

static bool key_is(val k, val plain) {
  if (k.flags & VALF_ESC) return val_esc_equal(k, plain.u.s, plain.len);
  return k.len == plain.len && memcmp(k.u.s, plain.u.s, k.len) == 0;
}

/* key is unescaped. hint: the position where the member is if both objects have one order. */
static const val *index_get(const key_index *ix, val obj, val key, uint32_t hint) {
  if (hint < obj.len && key_is(obj.u.v[2 * hint], key)) return &obj.u.v[2 * hint + 1];
  if (!ix->slot) {
    for (uint32_t i = 0; i < obj.len; i++)
      if (key_is(obj.u.v[2 * i], key)) return &obj.u.v[2 * i + 1];
    return NULL;
  }
  for (uint32_t at = (uint32_t)hash_bytes(0, key.u.s, key.len) & ix->mask; ix->slot[at]; at = (at + 1) & ix->mask) {
    uint32_t i = ix->slot[at] - 1;
    if (key_is(obj.u.v[2 * i], key)) return &obj.u.v[2 * i + 1];
  }
  return NULL;
}

/* A comparison under way. Structures that share parts can stand for more values than could ever be compared, hence the bound. */
typedef struct walk {
  arena *a;
  int64_t *steps;
} walk;

typedef hdw_status item_cmp(walk *w, val x, val y, int depth, int *out);
static hdw_status equal_coll(walk *w, val x, val y, int depth, int *out);
static hdw_status equiv_coll(walk *w, val x, val y, int depth, int *out);

/* Objects are equal when they have the same members with equal values, in any order. */
static hdw_status cmp_objects(walk *w, val x, val y, int depth, item_cmp *cmp, int *out) {
  key_index ix;
  int all = 1;
  if (x.len != y.len) return *out = 0, HDW_OK;
  if (x.u.v == y.u.v) return *out = 1, HDW_OK;
  if (depth > VAL_DEPTH_MAX) return HDW_E_LIMIT;
  hdw_status s = index_make(w->a, y, &ix);
  if (s) return s;
  for (uint32_t i = 0; i < x.len; i++) {
    val k, xv, yv;
    if (--*w->steps < 0) return HDW_E_FUEL;
    if ((s = val_unescape(w->a, x.u.v[2 * i], &k))) return s;
    const val *slot = index_get(&ix, y, k, i);
    if (!slot) return *out = 0, HDW_OK;
    if ((s = val_norm(w->a, x.u.v[2 * i + 1], &xv)) || (s = val_norm(w->a, *slot, &yv))) return s;
    int one;
    if (xv.tag == VAL_EMPTY && yv.tag == VAL_EMPTY) continue;
    if (xv.tag == VAL_EMPTY || yv.tag == VAL_EMPTY) one = 0;
    else if ((s = cmp(w, xv, yv, depth + 1, &one))) return s;
    if (one == 0) return *out = 0, HDW_OK;
    if (one < 0) all = -1;
  }
  *out = all;
  return HDW_OK;
}

static hdw_status equal_item(walk *w, val x, val y, int depth, int *out) {
  *out = 0;
  if (is_num(x) && is_num(y)) return *out = cmp_num(x, y) == 0, HDW_OK;
  if ((is_day(x) && is_day(y)) || (x.tag == VAL_TIME && y.tag == VAL_TIME)) {
    tm_val t = val_get_time(x), u = val_get_time(y);
    bool known;
    int c = tm_cmp(&t, &u, x.tag == VAL_TIME, &known);
    *out = known ? c == 0 : -1;
    return HDW_OK;
  }
  if (x.tag == VAL_QTY || y.tag == VAL_QTY) {
    val_quantity p, q;
    dec m, n;
    if (!as_qty(x, &p) || !as_qty(y, &q)) return HDW_OK;
    *out = val_qty_align(&p, &q, false, &m, &n) ? dec_cmp(&m, &n) == 0 : -1;
    return HDW_OK;
  }
  if (x.tag != y.tag) return HDW_OK;
  switch (x.tag) {
    case VAL_BOOL:
    case VAL_HANDLE:
    case VAL_TYPE: *out = x.u.i == y.u.i; return HDW_OK;
    case VAL_STR:
    case VAL_NUM:
    case VAL_BIN: *out = x.len == y.len && (x.len == 0 || memcmp(x.u.s, y.u.s, x.len) == 0); return HDW_OK;
    case VAL_OBJ: return cmp_objects(w, x, y, depth, equal_coll, out);
    default: *out = x.u.p == y.u.p; return HDW_OK; /* HL7 nodes: the caller converts what it wants compared */
  }
}

static hdw_status equal_coll(walk *w, val x, val y, int depth, int *out) {
  if (x.tag != VAL_LIST && y.tag != VAL_LIST) {
    if (x.tag == VAL_EMPTY || y.tag == VAL_EMPTY) return *out = -1, HDW_OK;
    return equal_item(w, x, y, depth, out);
  }
  uint32_t n = val_count(x);
  *out = -1;
  if (n == 0 || val_count(y) == 0) return HDW_OK;
  *out = 0;
  if (n != val_count(y)) return HDW_OK;
  int all = 1;
  for (uint32_t i = 0; i < n; i++) {
    int one;
    if (--*w->steps < 0) return HDW_E_FUEL;
    hdw_status s = equal_item(w, val_item(x, i), val_item(y, i), depth, &one);
    if (s) return s;
    if (one == 0) return *out = 0, HDW_OK;
    if (one < 0) all = -1;
  }
  *out = all;
  return HDW_OK;
}

hdw_status val_equal_within(arena *a, val x, val y, int64_t *steps, int *out) {
  if (x.tag == VAL_STR && y.tag == VAL_STR) return *out = x.len == y.len && (x.len == 0 || memcmp(x.u.s, y.u.s, x.len) == 0), HDW_OK;
  if (x.tag == VAL_INT && y.tag == VAL_INT) return *out = x.u.i == y.u.i, HDW_OK;
  walk w = {a, steps};
  if (x.tag != VAL_OBJ && x.tag != VAL_LIST) return equal_coll(&w, x, y, 0, out);
  arena_mark m = arena_here(a);
  hdw_status s = equal_coll(&w, x, y, 0, out);
  arena_release(a, m);
  return s;
}

hdw_status val_equal(arena *a, val x, val y, int *out) {
  int64_t steps = STEPS_MAX;
  hdw_status s = val_equal_within(a, x, y, &steps, out);
  return s == HDW_E_FUEL ? HDW_E_LIMIT : s;
}

/* Walks a string's code points in lower case with runs of white space as one space and none at the ends. 0 at the end is
 * told from a NUL in the text by *end. Malformed bytes count as themselves. */
typedef struct fold_iter {
  const unsigned char *s, *end;
} fold_iter;

static bool is_space(uint32_t c) { return c == ' ' || (c >= 9 && c <= 13) || c == 0xa0; }

static uint32_t next_cp(const unsigned char **s, const unsigned char *end) {
  const unsigned char *p = *s;
  unsigned c = *p++;
  int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
  uint32_t cp = more ? c & (0x3fu >> more) : c;
  if (end - p < more) more = 0, cp = c;
  for (; more > 0 && (*p & 0xc0) == 0x80; more--) cp = cp << 6 | (*p++ & 0x3f);
  *s = p;
  return cp;
}

static bool fold_next(fold_iter *it, uint32_t *out, bool first) {
  bool space = false;
  while (it->s < it->end) {
    const unsigned char *at = it->s;
    uint32_t c = next_cp(&it->s, it->end);
    if (is_space(c)) {
      space = true;
      continue;
    }
    if (space && !first) {
      it->s = at;
      *out = ' ';
      return true;
    }
    *out = val_fold(c);
    return true;
  }
  return false;
}

static bool text_equivalent(val x, val y) {
  if (x.len == y.len && (x.len == 0 || memcmp(x.u.s, y.u.s, x.len) == 0)) return true;
  fold_iter p = {(const unsigned char *)x.u.s, (const unsigned char *)x.u.s + x.len};
  fold_iter q = {(const unsigned char *)y.u.s, (const unsigned char *)y.u.s + y.len};
  for (bool first = true;; first = false) {
    uint32_t c = 0, d = 0;
    bool more = fold_next(&p, &c, first);
    if (more != fold_next(&q, &d, first)) return false;
    if (!more) return true;
    if (c != d) return false;
  }
}

/* Both rounded to the less precise one, trailing zeros not counted. */
static bool dec_equivalent(const dec *x, const dec *y) {
  int32_t p = dec_precision(x), q = dec_precision(y);
  dec a, b;
  dec_round(x, p < q ? p : q, &a);
  dec_round(y, p < q ? p : q, &b);
  return dec_cmp(&a, &b) == 0;
}

static int temporal_equivalent(val x, val y) {
  tm_val t = val_get_time(x), u = val_get_time(y);
  bool known;
  int c = tm_cmp(&t, &u, x.tag == VAL_TIME, &known);
  return known && c == 0;
}

static hdw_status equiv_item(walk *w, val x, val y, int depth, int *out) {
  *out = 0;
  if (is_num(x) && is_num(y)) {
    if (x.tag != VAL_DEC && y.tag != VAL_DEC) return *out = x.u.i == y.u.i, HDW_OK;
    dec m = val_get_dec(x), n = val_get_dec(y);
    return *out = dec_equivalent(&m, &n), HDW_OK;
  }
  if (x.tag == VAL_STR && y.tag == VAL_STR) return *out = text_equivalent(x, y), HDW_OK;
  if ((is_day(x) && is_day(y)) || (x.tag == VAL_TIME && y.tag == VAL_TIME)) return *out = temporal_equivalent(x, y), HDW_OK;
  if (x.tag == VAL_QTY || y.tag == VAL_QTY) {
    val_quantity p, q;
    dec m, n;
    if (as_qty(x, &p) && as_qty(y, &q) && val_qty_align(&p, &q, true, &m, &n)) *out = dec_equivalent(&m, &n);
    return HDW_OK;
  }
  if (x.tag == VAL_OBJ && y.tag == VAL_OBJ) return cmp_objects(w, x, y, depth, equiv_coll, out);
  return equal_item(w, x, y, depth, out);
}

/* Every item of x finds its own partner in y. Quadratic at worst: callers charge count * count. */
static hdw_status equiv_coll(walk *w, val x, val y, int depth, int *out) {
  uint32_t n = val_count(x);
  *out = 0;
  if (n != val_count(y)) return HDW_OK;
  if (n == 1) return equiv_item(w, val_item(x, 0), val_item(y, 0), depth, out);
  uint8_t *taken = (uint8_t *)arena_zalloc(w->a, n, 1);
  if (!taken) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t k = 0;
    for (; k < n; k++) {
      uint32_t j = (i + k) % n; /* the same position first */
      int one;
      if (--*w->steps < 0) return HDW_E_FUEL;
      if (taken[j]) continue;
      hdw_status s = equiv_item(w, val_item(x, i), val_item(y, j), depth, &one);
      if (s) return s;
      if (one > 0) {
        taken[j] = 1;
        break;
      }
    }
    if (k == n) return HDW_OK;
  }
  *out = 1;
  return HDW_OK;
}

hdw_status val_equivalent_within(arena *a, val x, val y, int64_t *steps, bool *out) {
  int r = 0;
  walk w = {a, steps};
  arena_mark m = arena_here(a);
  hdw_status s = equiv_coll(&w, x, y, 0, &r);
  arena_release(a, m);
  *out = r > 0;
  return s;
}

hdw_status val_equivalent(arena *a, val x, val y, bool *out) {
  int64_t steps = STEPS_MAX;
  hdw_status s = val_equivalent_within(a, x, y, &steps, out);
  return s == HDW_E_FUEL ? HDW_E_LIMIT : s;
}

hdw_status val_compare(val x, val y, int *cmp, bool *known) {
  *known = true;
  *cmp = 0;
  if (is_num(x) && is_num(y)) return *cmp = cmp_num(x, y), HDW_OK;
  if (x.tag == VAL_STR && y.tag == VAL_STR) {
    if ((x.flags | y.flags) & VALF_ESC) return HDW_E_TYPE;
    return *cmp = cmp_bytes(x, y), HDW_OK;
  }
  if ((is_day(x) && is_day(y)) || (x.tag == VAL_TIME && y.tag == VAL_TIME)) {
    tm_val t = val_get_time(x), u = val_get_time(y);
    *cmp = tm_cmp(&t, &u, x.tag == VAL_TIME, known);
    return HDW_OK;
  }
  val_quantity p, q;
  dec m, n;
  if (!as_qty(x, &p) || !as_qty(y, &q)) return HDW_E_TYPE;
  *known = val_qty_align(&p, &q, false, &m, &n);
  if (*known) *cmp = dec_cmp(&m, &n);
  return HDW_OK;
}

static uint64_t hash_dec(uint64_t h, const dec *d) {
  dec s = dec_strip(d);
  uint64_t w[3] = {(uint64_t)s.coef, (uint64_t)((unsigned __int128)s.coef >> 64), (uint64_t)s.scale};
  return hash_bytes(h, w, sizeof w);
}

enum { HASH_DEPTH = 4 };
static uint64_t hash_at(uint64_t seed, val v, int depth);

/* The items of a list as val_norm would give them. */
typedef struct list_hash {
  uint64_t h, n, last;
} list_hash;

static void hash_list(uint64_t seed, val v, int depth, int nesting, list_hash *lh) {
  if (nesting > VAL_DEPTH_MAX) return;
  for (uint32_t i = 0; i < v.len; i++) {
    val x = v.u.v[i];
    if (x.tag == VAL_LIST) {
      hash_list(seed, x, depth, nesting + 1, lh);
    } else if (x.tag != VAL_NULL && x.tag != VAL_EMPTY) {
      lh->last = hash_at(seed, x, depth);
      lh->h = mix(lh->h + lh->last);
      lh->n++;
    }
  }
}

static uint64_t hash_qty(uint64_t h, val v) {
  dec d;
  char unit[UNIT_TEXT_MAX];
  size_t n = val_qty_canon((const val_quantity *)v.u.p, &d, unit);
  h = hash_dec(h ^ 1, &d);
  return n == 1 && unit[0] == '1' ? h : hash_bytes(h, unit, n); /* 1 '1' = 1 */
}

static uint64_t hash_time(uint64_t h, val v) {
  tm_val t = val_get_time(v);
  int64_t us = t.has_zone && t.prec >= TM_HOUR ? t.usec - t.zone_min * INT64_C(60000000) : t.usec;
  /* with zones of half hours, values of hour precision are equal within the hour of UTC */
  if (t.prec == TM_HOUR) us -= (us % INT64_C(3600000000) + INT64_C(3600000000)) % INT64_C(3600000000);
  return hash_bytes(h ^ (v.tag == VAL_TIME ? 2 : 3), &us, sizeof us);
}

/* Slots hash like what they normalise to, without memory. Members in any order hash alike (sum); what lies deeper than
 * HASH_DEPTH does not count. */
static uint64_t hash_at(uint64_t seed, val v, int depth) {
  uint64_t h = seed;
  dec d;
  switch (v.tag) {
    case VAL_INT:
    case VAL_LONG:
    case VAL_DEC: d = val_get_dec(v); return hash_dec(h ^ 1, &d);
    case VAL_NUM: return dec_parse(v.u.s, v.len, &d) == HDW_OK ? hash_dec(h ^ 1, &d) : hash_bytes(h ^ 4, v.u.s, v.len);
    case VAL_QTY: return hash_qty(h, v);
    case VAL_DATE:
    case VAL_DATETIME:
    case VAL_TIME: return hash_time(h, v);
    case VAL_STR: return hash_text(h ^ 5, v);
    case VAL_BIN: return hash_bytes(h ^ 6, v.u.s, v.len);
    case VAL_OBJ:
      h = mix(h ^ 7 ^ (uint64_t)v.len << 8);
      for (uint32_t i = 0; i < v.len && depth < HASH_DEPTH; i++)
        h += mix(hash_text(seed, v.u.v[2 * i]) ^ hash_at(seed, v.u.v[2 * i + 1], depth + 1));
      return h;
    case VAL_LIST: {
      list_hash lh = {mix(h ^ 8), 0, 0};
      hash_list(seed, v, depth, 0, &lh);
      return lh.n == 1 ? lh.last : lh.n == 0 ? mix(h) : lh.h;
    }
    case VAL_EMPTY:
    case VAL_NULL: return mix(h);
    default: return hash_bytes(h ^ 9 ^ (uint64_t)v.tag << 8, &v.u.i, sizeof v.u.i);
  }
}

uint64_t val_hash(uint64_t seed, val v) { return hash_at(seed, v, 0); }
