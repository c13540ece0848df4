#include <string.h>
#include "json.h"
#include "json_scan.h"

/* The container around the one that is being read. */
struct json_frame {
  uint32_t first;          /* index of its first item on the stack */
  uint8_t is_object;
  uint8_t flags;           /* VALF_UNDERSCORE when one of its names so far begins with it */
};

enum {
  SMALL_OBJECT = 32,       /* names: up to here equal hashes are looked for pair by pair */
  STACK_FIRST = 512,
  FRAMES_FIRST = 32
};

/* State of one reading that the hot loop does not keep in registers. */
typedef struct scan {
  json_reader *r;
  arena *a;
  const uint8_t *text, *end;
  const uint8_t *at;       /* where reading stopped: behind the value, or at the offending byte */
  const char *expected;
  uint32_t max_depth;
  json_dup dup;
  uint64_t seed;
} scan;

static const val no_items[1];

void json_reader_init(json_reader *r, mem *m) {
  memset(r, 0, sizeof *r);
  r->mem = m;
}

void json_reader_free(json_reader *r) {
  mem *m = r->mem;
  if (r->stack) m->put(m, r->stack, r->stack_cap * sizeof(val));
  if (r->frames) m->put(m, r->frames, r->frame_cap * sizeof(json_frame));
  if (r->table) m->put(m, r->table, r->table_cap * sizeof(uint32_t));
  json_reader_init(r, m);
}

/* Makes room for at least one element more: doubles the block at *p. */
static bool grow(mem *m, void **p, size_t *cap, size_t first_cap, size_t size_bytes) {
  size_t n = *cap ? *cap * 2 : first_cap;
  if (n > SIZE_MAX / 2 / size_bytes) return false;
  void *q = m->get(m, n * size_bytes);
  if (!q) return false;
  if (*cap) {
    memcpy(q, *p, *cap * size_bytes);
    m->put(m, *p, *cap * size_bytes);
  }
  *p = q;
  *cap = n;
  return true;
}

__attribute__((noinline, cold)) static hdw_status fail(scan *c, const uint8_t *at, hdw_status s, const char *expected) {
  c->at = at;
  c->expected = expected;
  return s;
}

/* One 16-byte store: the value is copied soon, and two halves in the store buffer would stall a load of the whole. */
static inline void put(val *dst, unsigned tag, unsigned flags, unsigned aux, size_t len, const void *p) {
#ifdef __SSE2__
  uint64_t head = (uint64_t)tag | (uint64_t)flags << 8 | (uint64_t)aux << 16 | (uint64_t)len << 32;
  _mm_storeu_si128((__m128i *)(void *)dst, _mm_set_epi64x((long long)(uintptr_t)p, (long long)head));
#else
  *dst = (val){.tag = (uint8_t)tag, .flags = (uint8_t)flags, .aux = (uint16_t)aux, .len = (uint32_t)len, .u.p = p};
#endif
}
static inline void copy(val *dst, const val *src) {
#ifdef __SSE2__
  _mm_storeu_si128((__m128i *)(void *)dst, _mm_loadu_si128((const __m128i *)(const void *)src));
#else
  *dst = *src;
#endif
}

/* ---- strings ---- */

/* Checks the escape at p (a backslash); returns what follows it, or NULL with the error set. */
static const uint8_t *escape_end(scan *c, const uint8_t *p, hdw_status *st) {
  size_t left = (size_t)(c->end - p);
  if (left < 2) {
    *st = fail(c, c->end, HDW_E_SYNTAX, "the rest of a string");
    return NULL;
  }
  switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': return p + 2;
    case 'u': break;
    default: *st = fail(c, p, HDW_E_SYNTAX, "one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u"); return NULL;
  }
  int32_t u = left < 6 ? -1 : js_hex4(p + 2);
  if (u < 0) {
    *st = fail(c, p, HDW_E_SYNTAX, "four hexadecimal digits after \\u");
    return NULL;
  }
  if (u < 0xd800 || u > 0xdfff) return p + 6;
  int32_t low = u < 0xdc00 && left >= 12 && p[6] == '\\' && p[7] == 'u' ? js_hex4(p + 8) : -1;
  if (low < 0xdc00 || low > 0xdfff) {
    *st = fail(c, p, HDW_E_CHARSET, "a surrogate pair (a lone surrogate is no character)");
    return NULL;
  }
  return p + 12;
}

/* The rest of a string that holds something special, from that byte on. Returns the closing quote, or NULL with the error in *st. */
__attribute__((noinline)) static const uint8_t *string_rest(scan *c, const uint8_t *p, unsigned *flags, hdw_status *st) {
  const uint8_t *end = c->end;
  for (;;) {
    p = js_plain_end(p, end);
    if (JS_RARE(p == end)) break;
    if (*p == '"') return p;
    if (*p == '\\') {
      *flags |= VALF_ESC;
      p = escape_end(c, p, st);
      if (!p) return NULL;
    } else if (*p >= 0x80) {
      do {
        unsigned n = js_utf8_len(p, end);
        if (!n) {
          *st = fail(c, p, HDW_E_CHARSET, "valid UTF-8");
          return NULL;
        }
        p += n;
      } while (p < end && *p >= 0x80);
    } else {
      *st = fail(c, p, HDW_E_SYNTAX, "an escape (control characters are not allowed in strings)");
      return NULL;
    }
  }
  *st = fail(c, end, HDW_E_SYNTAX, "the closing quote of a string");
  return NULL;
}

/* Closing quote of the string whose first character is at p. */
static inline const uint8_t *string_end(scan *c, const uint8_t *p, const uint8_t *end, unsigned *flags, hdw_status *st) {
  const uint8_t *q = js_plain_end(p, end);
  if (JS_LIKELY(q < end && *q == '"')) return q;
  return string_rest(c, q, flags, st);
}

/* ---- numbers and words ---- */

static inline bool is_digit(const uint8_t *p, const uint8_t *end) { return p < end && (uint8_t)(*p - '0') < 10; }

/* End of the number at p ('-' or a digit), or NULL with the error set. */
static inline const uint8_t *number_end(scan *c, const uint8_t *p, const uint8_t *end) {
  if (*p == '-') p++;
  if (!is_digit(p, end)) goto digit;
  if (*p == '0') {
    p++;
    if (is_digit(p, end)) {
      fail(c, p, HDW_E_SYNTAX, "no digit after a leading zero");
      return NULL;
    }
  } else {
    while (is_digit(p, end)) p++;
  }
  if (p < end && *p == '.') {
    p++;
    if (!is_digit(p, end)) goto digit;
    while (is_digit(p, end)) p++;
  }
  if (p < end && (*p | 0x20) == 'e') {
    p++;
    if (p < end && (*p == '+' || *p == '-')) p++;
    if (!is_digit(p, end)) goto digit;
    while (is_digit(p, end)) p++;
  }
  return p;
digit:
  fail(c, p, HDW_E_SYNTAX, "a digit");
  return NULL;
}

/* A number or one of the words true, false, null at p, to *dst. Returns what follows, or NULL with the error set. */
static inline const uint8_t *plain_value(scan *c, const uint8_t *p, const uint8_t *end, val *dst) {
  if ((uint8_t)(*p - '0') < 10 || *p == '-') {
    const uint8_t *q = number_end(c, p, end);
    if (q) put(dst, VAL_NUM, 0, 0, (size_t)(q - p), p);
    return q;
  }
  if (end - p >= 4) {
    if (memcmp(p, "true", 4) == 0) {
      put(dst, VAL_BOOL, 0, 0, 0, (const void *)(uintptr_t)1);
      return p + 4;
    }
    if (memcmp(p, "null", 4) == 0) {
      put(dst, VAL_NULL, 0, 0, 0, NULL);
      return p + 4;
    }
    if (end - p >= 5 && memcmp(p, "false", 5) == 0) {
      put(dst, VAL_BOOL, 0, 0, 0, NULL);
      return p + 5;
    }
  }
  fail(c, p, HDW_E_SYNTAX, "a value");
  return NULL;
}

/* ---- equal names ---- */

static bool same_name(const val *x, const val *y) { return x->aux == y->aux && x->len == y->len && memcmp(x->u.s, y->u.s, x->len) == 0; }

/* The second of two equal names among n pairs, or NULL; *st HDW_E_NOMEM when there is no room for the table. */
__attribute__((noinline)) static const val *equal_name(scan *c, const val *pair, uint32_t n, hdw_status *st) {
  *st = HDW_OK;
  if (n <= SMALL_OBJECT) {
    for (uint32_t i = 1; i < n; i++)
      for (uint32_t k = 0; k < i; k++)
        if (same_name(&pair[2 * i], &pair[2 * k])) return &pair[2 * i];
    return NULL;
  }
  json_reader *r = c->r;
  size_t want = 128;
  while (want < (size_t)n * 2) want *= 2;
  if (r->table_cap < want) {
    if (r->table) r->mem->put(r->mem, r->table, r->table_cap * sizeof(uint32_t));
    r->table_cap = 0;
    r->table = (uint32_t *)r->mem->get(r->mem, want * sizeof(uint32_t));
    if (!r->table) {
      *st = HDW_E_NOMEM;
      return NULL;
    }
    r->table_cap = want;
  }
  memset(r->table, 0, want * sizeof(uint32_t));
  for (uint32_t i = 0; i < n; i++) {
    size_t slot = (size_t)val_hash(c->seed, pair[2 * i]) & (want - 1);
    for (; r->table[slot]; slot = (slot + 1) & (want - 1))
      if (same_name(&pair[2 * i], &pair[2 * (r->table[slot] - 1)])) return &pair[2 * i];
    r->table[slot] = i + 1;
  }
  return NULL;
}

/* ---- containers ---- */

/* Moves the pairs first..end of an object from the stack to the arena; NULL when there is no memory or a name stands twice. */
static inline const val *close_object(scan *c, const val *first, const val *sp, hdw_status *st, const uint8_t *at) {
  size_t n = (size_t)(sp - first);
  val *dst = (val *)arena_alloc(c->a, n * sizeof(val));
  if (JS_RARE(!dst)) {
    *st = fail(c, at, HDW_E_NOMEM, "memory");
    return NULL;
  }
  /* Two sets of 64 bits, by different parts of the hash: a name whose bits are in both may have occurred. */
  uint64_t seen1 = 0, seen2 = 0, twice = 0;
  for (size_t i = 0; i < n; i += 2) {
    unsigned h = first[i].aux;
    copy(dst + i, first + i);
    copy(dst + i + 1, first + i + 1);
    uint64_t b1 = (uint64_t)1 << (h & 63), b2 = (uint64_t)1 << (h >> 6 & 63);
    twice |= (uint64_t)((seen1 & b1) != 0) & (uint64_t)((seen2 & b2) != 0);
    seen1 |= b1;
    seen2 |= b2;
  }
  if (JS_RARE(twice) && c->dup == JSON_DUP_REJECT) {
    const val *k = equal_name(c, dst, (uint32_t)(n / 2), st);
    if (*st != HDW_OK) {
      fail(c, at, *st, "memory");
      return NULL;
    }
    if (k) {
      const uint8_t *s = (const uint8_t *)k->u.s;
      *st = fail(c, s > c->text && s < c->end ? s - 1 : at, HDW_E_EXISTS, "each member name only once in an object");
      return NULL;
    }
  }
  return dst;
}

/* Moves the items of an array to the arena; *flags gets VALF_UNEVEN when one of them is not a plain value. */
static inline const val *close_array(scan *c, const val *first, const val *sp, unsigned *flags) {
  const unsigned uneven = 1u << VAL_NUM | 1u << VAL_NULL | 1u << VAL_LIST;
  size_t n = (size_t)(sp - first);
  val *dst = (val *)arena_alloc(c->a, n * sizeof(val));
  if (JS_RARE(!dst)) return NULL;
  unsigned found = 0;
  for (size_t i = 0; i < n; i++) {
    copy(dst + i, first + i);
    found |= (uneven >> first[i].tag & 1) | (first[i].flags & VALF_ESC);
  }
  *flags = VALF_ARRAY | (found ? VALF_UNEVEN : 0);
  return dst;
}

/* A name with escapes: resolved in the arena. */
__attribute__((noinline)) static bool resolve_key(scan *c, val *key) {
  val escaped = val_str(key->u.s, key->len), plain;
  escaped.flags = VALF_ESC;
  if (val_norm(c->a, escaped, &plain) != HDW_OK) return false;
  *key = val_key(plain.u.s, plain.len);
  return true;
}

#define BLANKS()                                                        \
  do {                                                                  \
    if (JS_RARE(p < end && *p <= ' ')) p = js_blank_end(p, end);        \
  } while (0)
#define FAIL(status, text) return fail(c, p, (status), (text))
#define ROOM(n)                                                                                   \
  do {                                                                                            \
    if (JS_RARE((size_t)(limit - sp) < (n))) {                                                    \
      size_t used = (size_t)(sp - r->stack), from = (size_t)(first - r->stack);                   \
      if (!grow(r->mem, (void **)&r->stack, &r->stack_cap, STACK_FIRST, sizeof(val))) FAIL(HDW_E_NOMEM, "memory"); \
      sp = r->stack + used;                                                                       \
      first = r->stack + from;                                                                    \
      limit = r->stack + r->stack_cap;                                                            \
    }                                                                                             \
  } while (0)

/* The value at c->at, without blanks before it; c->at is then behind it. One function of labels: p, sp, first and the kind of the open container
 * stay in registers, and each context has its own copy of the branches so that the processor learns them apart. */
static hdw_status parse(scan *c, val *out) {
  json_reader *r = c->r;
  const uint8_t *p = c->at, *const end = c->end, *q;
  hdw_status st = HDW_OK;
  uint32_t depth = 0;
  unsigned under = 0, flags;
  bool is_object = false;
  if (!r->stack && !grow(r->mem, (void **)&r->stack, &r->stack_cap, STACK_FIRST, sizeof(val))) FAIL(HDW_E_NOMEM, "memory");
  val *sp = r->stack, *first = sp, *limit = sp + r->stack_cap;

  if (*p == '{') goto open_object;
  if (*p == '[') goto open_array;
  if (*p == '"') {
    flags = 0;
    q = string_end(c, p + 1, end, &flags, &st);
    if (!q) return st;
    put(out, VAL_STR, flags, 0, (size_t)(q - p - 1), p + 1);
    q++;
  } else {
    q = plain_value(c, p, end, out);
    if (!q) return HDW_E_SYNTAX;
  }
  c->at = q;
  return HDW_OK;

open_object:
open_array:
  if (JS_RARE(depth == c->max_depth)) FAIL(HDW_E_LIMIT, "fewer nested objects and arrays");
  if (JS_RARE(depth == r->frame_cap) && !grow(r->mem, (void **)&r->frames, &r->frame_cap, FRAMES_FIRST, sizeof(json_frame)))
    FAIL(HDW_E_NOMEM, "memory");
  r->frames[depth++] = (json_frame){(uint32_t)(first - r->stack), is_object, (uint8_t)under};
  first = sp;
  is_object = *p++ == '{';
  under = 0;
  BLANKS();
  if (is_object) {
    if (JS_LIKELY(p < end && *p == '"')) goto member;
    if (p < end && *p == '}') goto close_object;
    FAIL(HDW_E_SYNTAX, "a member name or '}'");
  }
  if (p < end && *p == ']') goto close_array;
  goto item;

member: /* at the quote of a name */
  ROOM(2);
  flags = 0;
  q = string_end(c, p + 1, end, &flags, &st);
  if (JS_RARE(!q)) return st;
  put(sp, VAL_STR, 0, val_key_hash((const char *)p + 1, (size_t)(q - p - 1)), (size_t)(q - p - 1), p + 1);
  if (JS_RARE(flags & VALF_ESC) && !resolve_key(c, sp)) FAIL(HDW_E_NOMEM, "memory");
  under |= sp->len && sp->u.s[0] == '_' ? VALF_UNDERSCORE : 0;
  sp++;
  p = q + 1;
  BLANKS();
  if (JS_RARE(p == end || *p != ':')) FAIL(HDW_E_SYNTAX, "':' after a member name");
  p++;
  BLANKS();
  if (JS_RARE(p == end)) FAIL(HDW_E_SYNTAX, "a value");
  if (*p == '"') {
    flags = 0;
    q = string_end(c, p + 1, end, &flags, &st);
    if (JS_RARE(!q)) return st;
    put(sp++, VAL_STR, flags, 0, (size_t)(q - p - 1), p + 1);
    p = q + 1;
  } else if (*p == '[') {
    goto open_array;
  } else if (*p == '{') {
    goto open_object;
  } else {
    p = plain_value(c, p, end, sp++);
    if (JS_RARE(!p)) return HDW_E_SYNTAX;
  }
after_member:
  BLANKS();
  if (JS_RARE(p == end)) FAIL(HDW_E_SYNTAX, "',' or '}'");
  if (*p == ',') {
    p++;
    BLANKS();
    if (JS_LIKELY(p < end && *p == '"')) goto member;
    FAIL(HDW_E_SYNTAX, "a member name");
  }
  if (JS_RARE(*p != '}')) FAIL(HDW_E_SYNTAX, "',' or '}'");
close_object: {
  uint32_t pairs = (uint32_t)((sp - first) / 2);
  const val *v = pairs ? close_object(c, first, sp, &st, p) : no_items;
  if (JS_RARE(!v)) return st;
  sp = first;
  put(sp++, VAL_OBJ, under, 0, pairs, v);
  goto closed;
}

item: /* at the first byte of an array's item */
  ROOM(1);
  if (JS_RARE(p == end)) FAIL(HDW_E_SYNTAX, "a value");
  if (*p == '{') goto open_object;
  if (*p == '"') {
    flags = 0;
    q = string_end(c, p + 1, end, &flags, &st);
    if (JS_RARE(!q)) return st;
    put(sp++, VAL_STR, flags, 0, (size_t)(q - p - 1), p + 1);
    p = q + 1;
  } else if (*p == '[') {
    goto open_array;
  } else {
    p = plain_value(c, p, end, sp++);
    if (JS_RARE(!p)) return HDW_E_SYNTAX;
  }
after_item:
  BLANKS();
  if (JS_RARE(p == end)) FAIL(HDW_E_SYNTAX, "',' or ']'");
  if (*p == ',') {
    p++;
    BLANKS();
    goto item;
  }
  if (JS_RARE(*p != ']')) FAIL(HDW_E_SYNTAX, "',' or ']'");
close_array: {
  uint32_t n = (uint32_t)(sp - first);
  flags = VALF_ARRAY;
  const val *v = n ? close_array(c, first, sp, &flags) : no_items;
  if (JS_RARE(!v)) FAIL(HDW_E_NOMEM, "memory");
  sp = first;
  put(sp++, VAL_LIST, flags, 0, n, v);
}
closed:
  p++;
  depth--;
  first = r->stack + r->frames[depth].first;
  is_object = r->frames[depth].is_object;
  under = r->frames[depth].flags;
  if (is_object) goto after_member;
  if (depth) goto after_item;
  copy(out, sp - 1);
  c->at = p;
  return HDW_OK;
}
#undef BLANKS
#undef FAIL
#undef ROOM

/* ---- entry points ---- */

static void locate(const scan *c, json_error *err) {
  if (!err) return;
  uint32_t line = 1, column = 1;
  for (const uint8_t *p = c->text; p < c->at; p++) {
    if (*p == '\n') {
      line++;
      column = 1;
    } else if ((*p & 0xc0) != 0x80) column++;
  }
  *err = (json_error){(size_t)(c->at - c->text), line, column, c->expected};
}

static hdw_status start(scan *c, json_reader *r, arena *a, const char *text, size_t len, const json_opts *o) {
  static const json_opts defaults;
  if (!o) o = &defaults;
  *c = (scan){.r = r, .a = a, .text = (const uint8_t *)text, .end = (const uint8_t *)text + len, .dup = o->duplicate_keys, .seed = o->seed};
  c->at = c->text;
  c->max_depth = o->max_depth ? o->max_depth : JSON_DEPTH_DEFAULT;
  if (c->max_depth > JSON_DEPTH_MAX) c->max_depth = JSON_DEPTH_MAX;
  if (len > UINT32_MAX || (o->max_bytes && len > o->max_bytes)) return fail(c, c->text, HDW_E_LIMIT, "a shorter text");
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) c->at += 3;
  c->at = js_blank_end(c->at, c->end);
  return HDW_OK;
}

hdw_status json_read(json_reader *r, arena *a, const char *text, size_t len, const json_opts *opts, val *out, json_error *err) {
  scan c;
  *out = VAL_NONE;
  hdw_status st = start(&c, r, a, text, len, opts);
  if (st == HDW_OK && c.at == c.end) st = fail(&c, c.end, HDW_E_SYNTAX, "a value");
  if (st == HDW_OK) st = parse(&c, out);
  if (st == HDW_OK) {
    c.at = js_blank_end(c.at, c.end);
    if (c.at != c.end) st = fail(&c, c.at, HDW_E_SYNTAX, "the end of the text");
  }
  if (st != HDW_OK) {
    *out = VAL_NONE;
    locate(&c, err);
  }
  return st;
}

hdw_status json_read_one(json_reader *r, arena *a, const char *text, size_t len, const json_opts *opts, size_t *used, val *out, json_error *err) {
  scan c;
  *out = VAL_NONE;
  *used = 0;
  hdw_status st = start(&c, r, a, text, len, opts);
  if (st == HDW_OK && c.at == c.end) {
    *used = len;
    st = fail(&c, c.end, HDW_E_NOTFOUND, "a value");
  } else if (st == HDW_OK) st = parse(&c, out);
  if (st == HDW_OK) *used = (size_t)(c.at - c.text);
  else {
    *out = VAL_NONE;
    locate(&c, err);
  }
  return st;
}
