#include <string.h>
#include "json.h"
#include "json_scan.h"

/* The container around the one that is being read, in one word: index of its first item on the stack << 8 | FRAME_OBJECT |
 * VALF_UNDERSCORE when one of its names so far begins with '_'. */
struct json_frame {
  uint64_t word;
};
enum { FRAME_OBJECT = 1 };

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
  const uint8_t *wide;     /* last place from which 16 bytes can be loaded, or NULL */
  const uint8_t *at;       /* where reading stopped: behind the value, or at the offending byte */
  const char *expected;
  hdw_status status;       /* set with at and expected */
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
  return c->status = s;
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
static const uint8_t *escape_end(scan *c, const uint8_t *p) {
  size_t left = (size_t)(c->end - p);
  if (left < 2) return fail(c, c->end, HDW_E_SYNTAX, "the rest of a string"), NULL;
  switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': return p + 2;
    case 'u': break;
    default: return fail(c, p, HDW_E_SYNTAX, "one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u"), NULL;
  }
  int32_t u = left < 6 ? -1 : js_hex4(p + 2);
  if (u < 0) return fail(c, p, HDW_E_SYNTAX, "four hexadecimal digits after \\u"), NULL;
  if (u < 0xd800 || u > 0xdfff) return p + 6;
  int32_t low = u < 0xdc00 && left >= 12 && p[6] == '\\' && p[7] == 'u' ? js_hex4(p + 8) : -1;
  if (low < 0xdc00 || low > 0xdfff) return fail(c, p, HDW_E_CHARSET, "a surrogate pair (a lone surrogate is no character)"), NULL;
  return p + 12;
}

/* A string that holds something special at p, its first special byte: checks the rest, puts the string that starts at `from` to *dst, and
 * returns the closing quote, or NULL with the error set. */
__attribute__((noinline)) static const uint8_t *string_rest(scan *c, const uint8_t *from, const uint8_t *p, val *dst) {
  const uint8_t *end = c->end;
  unsigned flags = 0;
  for (;;) {
    p = js_plain_end(p, end);
    if (JS_RARE(p == end)) return fail(c, end, HDW_E_SYNTAX, "the closing quote of a string"), NULL;
    if (*p == '"') {
      put(dst, VAL_STR, flags, 0, (size_t)(p - from), from);
      return p;
    }
    if (*p == '\\') {
      flags = VALF_ESC;
      p = escape_end(c, p);
      if (!p) return NULL;
    } else if (*p >= 0x80) {
      do {
        unsigned n = js_utf8_len(p, end);
        if (!n) return fail(c, p, HDW_E_CHARSET, "valid UTF-8"), NULL;
        p += n;
      } while (p < end && *p >= 0x80);
    } else return fail(c, p, HDW_E_SYNTAX, "an escape (control characters are not allowed in strings)"), NULL;
  }
}

/* First special byte of the string whose text starts at p, or end; *ch is that byte, 0 at the end. */
static inline const uint8_t *special_at(const uint8_t *p, const uint8_t *wide, const uint8_t *end, uint8_t *ch) {
#ifdef __SSE2__
  while (JS_LIKELY(p <= wide)) {
    unsigned m = js_special16(p);
    if (JS_LIKELY(m)) {
      p += __builtin_ctz(m);
      *ch = *p;
      return p;
    }
    p += 16;
  }
#else
  (void)wide;
#endif
  while (p < end && !js_is_special(*p)) p++;
  *ch = p < end ? *p : 0;
  return p;
}

/* The string whose opening quote is at p, to *dst. Returns what follows it, or NULL with the error set. */
static inline const uint8_t *string_value(scan *c, const uint8_t *p, const uint8_t *wide, const uint8_t *end, val *dst) {
  uint8_t ch;
  const uint8_t *from = p + 1, *q = special_at(from, wide, end, &ch);
  if (JS_LIKELY(ch == '"')) put(dst, VAL_STR, 0, 0, (size_t)(q - from), from);
  else if (q = string_rest(c, from, q, dst), !q) return NULL;
  return q + 1;
}

/* A name with something special in it at q: like string_rest, but escapes are resolved in the arena, and the hash is set. */
__attribute__((noinline)) static const uint8_t *key_rest(scan *c, const uint8_t *from, const uint8_t *q, val *dst) {
  q = string_rest(c, from, q, dst);
  if (!q) return NULL;
  val plain;
  if (val_norm(c->a, *dst, &plain) != HDW_OK) return fail(c, q, HDW_E_NOMEM, "memory"), NULL;
  *dst = val_key(plain.u.s, plain.len);
  return q;
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

/* Refuses the object when one of its names stands twice; the caller has reason to think so. False with the error set. */
__attribute__((noinline)) static bool names_differ(scan *c, const val *pair, uint32_t n, const uint8_t *at) {
  hdw_status st;
  if (c->dup == JSON_DUP_KEEP) return true;
  const val *k = equal_name(c, pair, n, &st);
  if (st != HDW_OK) return fail(c, at, st, "memory"), false;
  if (!k) return true;
  const uint8_t *s = (const uint8_t *)k->u.s;
  return fail(c, s > c->text && s < c->end ? s - 1 : at, HDW_E_EXISTS, "each member name only once in an object"), false;
}

/* Copies the pairs of an object; true when two names may be equal. Two sets of 64 bits, by different parts of the hash: a name whose bits are in
 * both may have occurred. */
static inline bool copy_pairs(val *dst, const val *src, size_t n) {
  uint64_t seen1 = 0, seen2 = 0, twice = 0;
  for (size_t i = 0; i < n; i += 2) {
    unsigned h = src[i].aux, h2 = h >> 6;
    copy(dst + i, src + i);
    copy(dst + i + 1, src + i + 1);
    twice |= seen1 >> (h & 63) & seen2 >> (h2 & 63);
    seen1 |= (uint64_t)1 << (h & 63);
    seen2 |= (uint64_t)1 << (h2 & 63);
  }
  return twice & 1;
}

#ifdef __SSE2__
/* The same for at most 8 pairs, with half the instructions: the hashes so far stand in the lanes of one register. */
static inline bool copy_few_pairs(val *dst, const val *src, size_t n) {
  __m128i seen = _mm_setzero_si128(), twice = seen;
  for (size_t i = 0; i < n; i += 2) {
    int h = src[i].aux;
    copy(dst + i, src + i);
    copy(dst + i + 1, src + i + 1);
    twice = _mm_or_si128(twice, _mm_cmpeq_epi16(seen, _mm_set1_epi16((short)h)));
    seen = _mm_insert_epi16(_mm_slli_si128(seen, 2), h, 0);
  }
  return _mm_movemask_epi8(twice) != 0;
}
#endif

/* Moves the pairs first..sp of an object from the stack to the arena; NULL with the error set when there is no memory or a name stands twice. */
static inline const val *close_object(scan *c, const val *first, const val *sp, const uint8_t *at) {
  size_t n = (size_t)(sp - first);
  val *dst = (val *)arena_alloc(c->a, n * sizeof(val));
  if (JS_RARE(!dst)) return fail(c, at, HDW_E_NOMEM, "memory"), NULL;
#ifdef __SSE2__
  bool twice = JS_LIKELY(n <= 16) ? copy_few_pairs(dst, first, n) : copy_pairs(dst, first, n);
#else
  bool twice = copy_pairs(dst, first, n);
#endif
  if (JS_RARE(twice) && !names_differ(c, dst, (uint32_t)(n / 2), at)) return NULL;
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

/* Behind the white space at p (or at p, when it is another control character). In laid out text that is one blank or an indent. */
static inline const uint8_t *blanks(const uint8_t *p, const uint8_t *wide, const uint8_t *end) {
#ifdef __SSE2__
  while (JS_LIKELY(p < wide)) {
    if (*p == ' ' && p[1] > ' ') return p + 1;
    unsigned m = js_solid16(p);
    if (JS_LIKELY(m)) return p + __builtin_ctz(m);
    p += 16;
  }
#else
  (void)wide;
#endif
  return js_blank_end(p, end);
}

#define FAIL(status, text) return fail(c, p, (status), (text))
/* Skips white space; ch is then the byte at p. At the end of the text: error. */
#define NEXT(text)                                                      \
  do {                                                                  \
    if (JS_RARE(p == end)) FAIL(HDW_E_SYNTAX, text);                    \
    ch = *p;                                                            \
    if (JS_RARE(ch <= ' ')) {                                           \
      p = blanks(p, wide, end);                                         \
      if (JS_RARE(p == end)) FAIL(HDW_E_SYNTAX, text);                  \
      ch = *p;                                                          \
    }                                                                   \
  } while (0)
#define ROOM(n)                                                                                   \
  do {                                                                                            \
    if (JS_RARE(limit - sp < (n))) {                                                              \
      size_t used = (size_t)(sp - r->stack), from = (size_t)(first - r->stack);                   \
      if (!grow(r->mem, (void **)&r->stack, &r->stack_cap, STACK_FIRST, sizeof(val))) FAIL(HDW_E_NOMEM, "memory"); \
      sp = r->stack + used;                                                                       \
      first = r->stack + from;                                                                    \
      limit = r->stack + r->stack_cap;                                                            \
    }                                                                                             \
  } while (0)

/* A string, number or word at p (ch is its first byte), to *sp++; p is then behind it. */
#define SCALAR()                                                        \
  do {                                                                  \
    p = ch == '"' ? string_value(c, p, wide, end, sp) : plain_value(c, p, end, sp); \
    if (JS_RARE(!p)) return c->status;                                  \
    sp++;                                                               \
  } while (0)

/* The value at c->at, without blanks before it; c->at is then behind it. One function of labels: p, sp, first and the kind of the open container
 * stay in registers, and each context has its own copy of the branches so that the processor learns them apart. */
static hdw_status parse(scan *c, val *out) {
  json_reader *r = c->r;
  const uint8_t *p = c->at, *const end = c->end, *const wide = c->wide;
  uint32_t depth = 0;
  uint64_t kind = 0;       /* of the open container: FRAME_OBJECT, VALF_UNDERSCORE */
  uint8_t ch = *p;
  if (!r->stack && !grow(r->mem, (void **)&r->stack, &r->stack_cap, STACK_FIRST, sizeof(val))) FAIL(HDW_E_NOMEM, "memory");
  val *sp = r->stack, *first = sp, *limit = sp + r->stack_cap;
  if (ch == '{' || ch == '[') goto open;
  SCALAR();
  goto done;

open: /* ch is the bracket at p */
  if (JS_RARE(depth == c->max_depth)) FAIL(HDW_E_LIMIT, "fewer nested objects and arrays");
  if (JS_RARE(depth == r->frame_cap) && !grow(r->mem, (void **)&r->frames, &r->frame_cap, FRAMES_FIRST, sizeof(json_frame)))
    FAIL(HDW_E_NOMEM, "memory");
  r->frames[depth++].word = (uint64_t)(first - r->stack) << 8 | kind;
  first = sp;
  p++;
  if (ch == '[') {
    kind = 0;
    NEXT("a value or ']'");
    if (ch == ']') goto close_array;
    goto item;
  }
  kind = FRAME_OBJECT;
  NEXT("a member name or '}'");
  if (JS_LIKELY(ch == '"')) goto member;
  if (ch == '}') goto close_object;
  FAIL(HDW_E_SYNTAX, "a member name or '}'");

member: { /* at the quote of a name */
  ROOM(2);
  const uint8_t *name = p + 1, *q = special_at(name, wide, end, &ch);
  if (JS_LIKELY(ch == '"')) {
    size_t n = (size_t)(q - name);
    put(sp, VAL_STR, 0, val_key_hash((const char *)name, n), n, name);
    kind |= *name == '_' ? VALF_UNDERSCORE : 0; /* an empty name: that is its quote */
  } else {
    q = key_rest(c, name, q, sp);
    if (!q) return c->status;
    kind |= sp->len && *sp->u.s == '_' ? VALF_UNDERSCORE : 0;
  }
  sp++;
  p = q + 1;
}
  if (JS_LIKELY(p <= wide && *p == ':' && p[1] > ' ')) {
    ch = *++p;
  } else {
    NEXT("':' after a member name");
    if (JS_RARE(ch != ':')) FAIL(HDW_E_SYNTAX, "':' after a member name");
    p++;
    NEXT("a value");
  }
  if (ch == '[' || ch == '{') goto open;
  SCALAR();
after_member:
  NEXT("',' or '}'");
  if (ch == ',') {
    p++;
    NEXT("a member name");
    if (JS_LIKELY(ch == '"')) goto member;
    FAIL(HDW_E_SYNTAX, "a member name");
  }
  if (JS_RARE(ch != '}')) FAIL(HDW_E_SYNTAX, "',' or '}'");
close_object: {
  size_t n = (size_t)(sp - first);
  const val *v = n ? close_object(c, first, sp, p) : no_items;
  if (JS_RARE(!v)) return c->status;
  sp = first;
  put(sp++, VAL_OBJ, (unsigned)kind & VALF_UNDERSCORE, 0, n / 2, v);
  goto closed;
}

item: /* ch is the first byte of an array's item, at p */
  ROOM(1);
  if (ch == '{' || ch == '[') goto open;
  SCALAR();
after_item:
  NEXT("',' or ']'");
  if (ch == ',') {
    p++;
    NEXT("a value");
    goto item;
  }
  if (JS_RARE(ch != ']')) FAIL(HDW_E_SYNTAX, "',' or ']'");
close_array: {
  size_t n = (size_t)(sp - first);
  unsigned flags = VALF_ARRAY;
  const val *v = n ? close_array(c, first, sp, &flags) : no_items;
  if (JS_RARE(!v)) FAIL(HDW_E_NOMEM, "memory");
  sp = first;
  put(sp++, VAL_LIST, flags, 0, n, v);
}
closed:
  p++;
  depth--;
  kind = r->frames[depth].word;
  first = r->stack + (kind >> 8);
  kind &= 0xff;
  if (kind & FRAME_OBJECT) goto after_member;
  if (depth) goto after_item;
done:
  copy(out, sp - 1);
  c->at = p;
  return HDW_OK;
}
#undef FAIL
#undef NEXT
#undef ROOM
#undef SCALAR

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
  c->wide = len >= 16 ? c->end - 16 : NULL;
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
