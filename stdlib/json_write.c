#include <string.h>
#include "base64.h"
#include "json.h"
#include "json_scan.h"

/* A container that is being written. */
typedef struct wframe {
  const val *v;            /* items, or pairs; of a single value that is written as an array: &one */
  uint32_t i, n;           /* next and count of items or pairs */
  bool is_object, any;     /* any: something was written in it already */
  val one;
} wframe;

enum { FRAMES_LOCAL = 32 };

typedef struct writer {
  buf *b;
  const json_wopts *o;
  wframe *frames;
  uint32_t depth, frame_cap, max_depth;
  bool pretty;
} writer;

static inline void put1(buf *b, char c) {
  if (JS_LIKELY(b->len < b->cap && !b->status)) b->p[b->len++] = c;
  else buf_putc(b, c);
}
static inline void puts_n(buf *b, const void *p, size_t n) {
  if (JS_LIKELY(n <= b->cap - b->len && !b->status)) {
    if (n) memcpy(b->p + b->len, p, n);
    b->len += n;
  } else buf_put(b, p, n);
}

/* ---- strings ---- */

static void put_escape(buf *b, uint8_t c) {
  static const char digit[] = "0123456789abcdef";
  char e[6] = {'\\', 'u', '0', '0', digit[c >> 4], digit[c & 15]};
  switch (c) {
    case '"': puts_n(b, "\\\"", 2); break;
    case '\\': puts_n(b, "\\\\", 2); break;
    case '\b': puts_n(b, "\\b", 2); break;
    case '\f': puts_n(b, "\\f", 2); break;
    case '\n': puts_n(b, "\\n", 2); break;
    case '\r': puts_n(b, "\\r", 2); break;
    case '\t': puts_n(b, "\\t", 2); break;
    default: puts_n(b, e, 6);
  }
}

/* The characters of a string, without quotes. escaped: the text is that of a JSON string, its escapes are copied. */
static void put_text(buf *b, const char *s, size_t len, bool escaped) {
  const uint8_t *p = (const uint8_t *)s, *end = p + len, *from = p;
  for (;;) {
    p = js_plain_end(p, end);
    if (JS_LIKELY(p == end)) break;
    if (*p >= 0x80) {
      unsigned n = js_utf8_len(p, end);
      bool separator = n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8;
      if (JS_LIKELY(n && !separator)) {
        p += n;
        continue;
      }
      puts_n(b, from, (size_t)(p - from));
      if (separator) puts_n(b, p[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
      else puts_n(b, "\xef\xbf\xbd", 3);
      p += n ? n : 1;
    } else if (escaped && *p == '\\' && end - p >= 2) {
      p += 2;
      continue;
    } else {
      puts_n(b, from, (size_t)(p - from));
      put_escape(b, *p++);
    }
    from = p;
  }
  puts_n(b, from, (size_t)(end - from));
}

#ifdef __SSE2__
static inline uint64_t load8(const char *s) {
  uint64_t w;
  memcpy(&w, s, 8);
  return w;
}
static inline uint64_t load4(const char *s) {
  uint32_t w;
  memcpy(&w, s, 4);
  return w;
}

/* Copies a string that needs no escape to o; false (o has been scribbled on) when it needs one. Loads overlap instead of running over the end. */
static inline bool copy_plain(char *o, const char *s, size_t len) {
  unsigned special = 0;
  if (len >= 16) {
    for (size_t i = 0; i < len - 16; i += 16) {
      special |= js_special16((const uint8_t *)s + i);
      memcpy(o + i, s + i, 16);
    }
    special |= js_special16((const uint8_t *)s + len - 16);
    memcpy(o + len - 16, s + len - 16, 16);
    return special == 0;
  }
  if (len >= 4) {
    uint64_t a = len >= 8 ? load8(s) : load4(s) | load4(s + len - 4) << 32, z = len >= 8 ? load8(s + len - 8) : a;
    char both[16];
    memcpy(both, &a, 8);
    memcpy(both + 8, &z, 8);
    if (js_special16((const uint8_t *)both)) return false;
    if (len >= 8) {
      memcpy(o, &a, 8);
      memcpy(o + len - 8, &z, 8);
    } else {
      memcpy(o, s, 4);
      memcpy(o + len - 4, s + len - 4, 4);
    }
    return true;
  }
  for (size_t i = 0; i < len; i++) {
    special |= (unsigned)js_is_special((uint8_t)s[i]);
    o[i] = s[i];
  }
  return special == 0;
}
#endif

static inline void put_str(buf *b, const char *s, size_t len, bool escaped) {
#ifdef __SSE2__
  if (JS_LIKELY(b->cap - b->len >= len + 2 && !b->status && copy_plain(b->p + b->len + 1, s, len))) {
    char *o = b->p + b->len;
    o[0] = o[len + 1] = '"';
    b->len += len + 2;
    return;
  }
#endif
  put1(b, '"');
  put_text(b, s, len, escaped);
  put1(b, '"');
}

void json_write_str(buf *b, const char *s, size_t len) { put_str(b, s, len, false); }

/* Parts of a template, one after the other; holes that are no strings in their FHIRPath text form. */
static hdw_status put_template(buf *b, val v) {
  put1(b, '"');
  for (uint32_t i = 0; i < v.len; i++) {
    val part = v.u.v[i];
    if (part.tag == VAL_EMPTY) continue;
    if (part.tag != VAL_STR) {
      hdw_status st = val_to_str(b->a, part, &part);
      if (st != HDW_OK) return st;
    }
    if (part.tag == VAL_STR) put_text(b, part.u.s, part.len, part.flags & VALF_ESC);
  }
  put1(b, '"');
  return HDW_OK;
}

static void put_base64(buf *b, val v) {
  enum { STEP = 3 * 1024 };
  const uint8_t *p = (const uint8_t *)v.u.p;
  char out[STEP / 3 * 4];
  put1(b, '"');
  for (size_t left = v.len; left && !b->status;) {
    size_t n = left < STEP ? left : STEP;
    puts_n(b, out, b64_encode(p, n, out, false));
    p += n;
    left -= n;
  }
  put1(b, '"');
}

/* ---- numbers, times, quantities ---- */

static void put_i64(buf *b, int64_t i) {
  char t[20];
  size_t n = sizeof t;
  uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
  do t[--n] = (char)('0' + u % 10);
  while (u /= 10);
  if (i < 0) t[--n] = '-';
  puts_n(b, t + n, sizeof t - n);
}

static void put_dec(buf *b, const dec *d) {
  char t[DEC_TEXT_MAX];
  puts_n(b, t, dec_format(d, t));
}

static void put_time(buf *b, val v) {
  char t[TM_TEXT_MAX];
  tm_val tm = val_get_time(v);
  size_t n = v.tag == VAL_DATE ? tm_format_date(&tm, t) : v.tag == VAL_DATETIME ? tm_format_datetime(&tm, t) : tm_format_time(&tm, t);
  put_str(b, t, n, false);
}

/* ---- layout ---- */

static void new_line(writer *w) {
  put1(w->b, '\n');
  for (uint32_t i = 0; i < w->depth; i++) puts_n(w->b, "  ", 2);
}

static void put_quantity(writer *w, val v) {
  const val_quantity *q = (const val_quantity *)v.u.p;
  static const char *const name[3] = {"\"value\":", "\"unit\":", "\"code\":"};
  buf *b = w->b;
  int last = v.flags & VALF_CALENDAR ? 1 : 2;
  put1(b, '{');
  w->depth++;
  for (int i = 0; i <= last; i++) {
    if (i) put1(b, ',');
    if (w->pretty) new_line(w);
    puts_n(b, name[i], 8 - (i > 0));
    if (w->pretty) put1(b, ' ');
    if (i == 0) put_dec(b, &q->value);
    else put_str(b, q->unit, q->unit_len, false);
  }
  w->depth--;
  if (w->pretty) new_line(w);
  put1(b, '}');
}

/* Opens a container; its items are written by the loop of json_write. one: v itself is the single item. */
static hdw_status open_container(writer *w, val v, bool one) {
  buf *b = w->b;
  bool is_object = v.tag == VAL_OBJ && !one;
  uint32_t n = one ? 1 : v.len;
  if (n == 0) {
    puts_n(b, is_object ? "{}" : "[]", 2);
    return HDW_OK;
  }
  if (w->depth == w->max_depth) return HDW_E_LIMIT;
  if (w->depth == w->frame_cap) {
    wframe *f = (wframe *)arena_alloc(b->a, (size_t)w->frame_cap * 2 * sizeof(wframe));
    if (!f) return HDW_E_NOMEM;
    memcpy(f, w->frames, w->frame_cap * sizeof(wframe));
    w->frames = f;
    w->frame_cap *= 2;
  }
  wframe *f = &w->frames[w->depth++];
  *f = (wframe){.v = one ? NULL : v.u.v, .n = n, .is_object = is_object};
  if (one) {
    f->one = v;
    f->one.flags &= (uint8_t)~VALF_ARRAY;
  }
  put1(b, is_object ? '{' : '[');
  return HDW_OK;
}

/* Writes a value, or opens it. */
static hdw_status put_value(writer *w, val v) {
  buf *b = w->b;
  if (JS_RARE(v.flags & VALF_ARRAY) && v.tag != VAL_LIST) {
    if (v.tag != VAL_EMPTY) return open_container(w, v, true);
    puts_n(b, "[]", 2);
    return HDW_OK;
  }
  switch ((val_tag)v.tag) {
    case VAL_EMPTY:
    case VAL_NULL: puts_n(b, "null", 4); return HDW_OK;
    case VAL_BOOL: puts_n(b, v.u.i ? "true" : "false", v.u.i ? 4 : 5); return HDW_OK;
    case VAL_INT:
    case VAL_LONG: put_i64(b, v.u.i); return HDW_OK;
    case VAL_DEC: {
      dec d = val_get_dec(v);
      put_dec(b, &d);
      return HDW_OK;
    }
    case VAL_STR: put_str(b, v.u.s, v.len, v.flags & VALF_ESC); return HDW_OK;
    case VAL_NUM: puts_n(b, v.u.s, v.len); return HDW_OK;
    case VAL_DATE:
    case VAL_DATETIME:
    case VAL_TIME: put_time(b, v); return HDW_OK;
    case VAL_QTY: put_quantity(w, v); return HDW_OK;
    case VAL_OBJ:
    case VAL_LIST: return open_container(w, v, false);
    case VAL_BIN: put_base64(b, v); return HDW_OK;
    case VAL_TPL: return put_template(b, v);
    case VAL_HL7: return w->o->hl7 ? w->o->hl7(w->o->hl7_user, v, b) : HDW_E_TYPE;
    case VAL_HANDLE:
    case VAL_TYPE:
    case VAL_BUILDER:
    case VAL_TAG_COUNT: break;
  }
  return HDW_E_TYPE;
}

/* Goes on with the innermost container: its items up to one that opens another, or to its end. */
static hdw_status run(writer *w) {
  buf *b = w->b;
  const uint32_t depth = w->depth;
  wframe *f = &w->frames[depth - 1];
  const val *items = f->v ? f->v : &f->one;
  const bool is_object = f->is_object, keep_empty = w->o->keep_empty;
  while (f->i < f->n && !b->status) {
    const val *v = items + (is_object ? 2 * (size_t)f->i + 1 : f->i);
    f->i++;
    if (is_object && v->tag == VAL_EMPTY && !(v->flags & VALF_ARRAY) && !keep_empty) continue;
    if (f->any) put1(b, ',');
    f->any = true;
    if (w->pretty) new_line(w);
    if (is_object) {
      put_str(b, v[-1].u.s, v[-1].len, v[-1].flags & VALF_ESC);
      put1(b, ':');
      if (w->pretty) put1(b, ' ');
    }
    if (JS_LIKELY(v->tag == VAL_STR && !(v->flags & VALF_ARRAY))) put_str(b, v->u.s, v->len, v->flags & VALF_ESC);
    else {
      hdw_status st = put_value(w, *v);
      if (st != HDW_OK || w->depth != depth) return st; /* f may have moved */
    }
  }
  bool any = f->any;
  w->depth--;
  if (w->pretty && any) new_line(w);
  put1(b, is_object ? '}' : ']');
  return HDW_OK;
}

hdw_status json_write(val v, buf *b, const json_wopts *opts) {
  static const json_wopts defaults;
  wframe local[FRAMES_LOCAL];
  writer w = {.b = b, .o = opts ? opts : &defaults, .frames = local, .frame_cap = FRAMES_LOCAL};
  w.pretty = w.o->pretty;
  w.max_depth = w.o->max_depth ? w.o->max_depth : JSON_DEPTH_DEFAULT;
  hdw_status st = put_value(&w, v);
  while (w.depth && st == HDW_OK && !b->status) st = run(&w);
  return st != HDW_OK ? st : (hdw_status)b->status;
}
