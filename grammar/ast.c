/* ast.c - reading the syntax tree: names, strings, HL7 paths, doc comments, dumps. */
#include "ast.h"
#include <string.h>

static const struct {
  const char *name, *children;
} kinds[AST_KIND_COUNT] = {
#define X(kind, name, children) {name, children},
    AST_KINDS(X)
#undef X
};

const char *ast_kind_name(unsigned kind) { return kind < AST_KIND_COUNT ? kinds[kind].name : "?"; }
const char *ast_kind_children(unsigned kind) { return kind < AST_KIND_COUNT ? kinds[kind].children : ""; }

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Four hex digits at p, or -1. */
static int32_t hex4(const char *p, const char *end) {
  if (end - p < 4) return -1;
  int32_t v = 0;
  for (int i = 0; i < 4; i++) {
    int d = hex_value(p[i]);
    if (d < 0) return -1;
    v = v * 16 + d;
  }
  return v;
}

static char *put_utf8(char *o, int32_t c) {
  if (c < 0x80) {
    *o++ = (char)c;
  } else if (c < 0x800) {
    *o++ = (char)(0xC0 | c >> 6);
    *o++ = (char)(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    *o++ = (char)(0xE0 | c >> 12);
    *o++ = (char)(0x80 | (c >> 6 & 0x3F));
    *o++ = (char)(0x80 | (c & 0x3F));
  } else {
    *o++ = (char)(0xF0 | c >> 18);
    *o++ = (char)(0x80 | (c >> 12 & 0x3F));
    *o++ = (char)(0x80 | (c >> 6 & 0x3F));
    *o++ = (char)(0x80 | (c & 0x3F));
  }
  return o;
}

/* p is behind "\u". A pair of surrogates makes one character; a lone one U+FFFD. Returns where to go on, NULL when these are no digits. */
static const char *unicode_escape(const char *p, const char *end, int32_t *c) {
  *c = hex4(p, end);
  if (*c < 0) return NULL;
  p += 4;
  if (*c < 0xD800 || *c > 0xDFFF) return p;
  int32_t low = *c < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
  if (low < 0xDC00 || low > 0xDFFF) {
    *c = 0xFFFD;
    return p;
  }
  *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
  return p + 6;
}

/* Text without its escapes; the slice itself when it has none. */
static ast_str unescape(arena *a, const char *s, size_t len) {
  if (!memchr(s, '\\', len)) return (ast_str){s, len};
  char *out = (char *)arena_alloc(a, len); /* no escape is longer than what it stands for */
  if (!out) return (ast_str){NULL, 0};
  char *o = out;
  for (const char *p = s, *end = s + len; p < end;) {
    if (*p != '\\' || p + 1 == end) {
      *o++ = *p++;
      continue;
    }
    int32_t c;
    const char *behind;
    p += 2;
    switch (p[-1]) {
    case 'r': *o++ = '\r'; break;
    case 'n': *o++ = '\n'; break;
    case 't': *o++ = '\t'; break;
    case 'f': *o++ = '\f'; break;
    case 'u':
      behind = unicode_escape(p, end, &c);
      if (behind) {
        o = put_utf8(o, c);
        p = behind;
        break;
      }
      *o++ = 'u';
      break;
    default: *o++ = p[-1];
    }
  }
  return (ast_str){out, (size_t)(o - out)};
}

ast_str ast_name(arena *a, const char *src, const ast *n) {
  size_t len;
  const char *s = ast_text(src, n, &len);
  if (len >= 2 && s[0] == '`') return unescape(a, s + 1, len - 2);
  return (ast_str){s, len};
}

bool ast_name_is(const char *src, const ast *n, const char *s) {
  size_t len;
  const char *t = ast_text(src, n, &len);
  if (len >= 2 && t[0] == '`') t++, len -= 2;
  return strlen(s) == len && memcmp(s, t, len) == 0;
}

ast_str ast_string_value(arena *a, const char *src, const ast *n) {
  size_t len;
  const char *s = ast_text(src, n, &len);
  if (n->kind == AST_STRING && len >= 2) return unescape(a, s + 1, len - 2);
  return unescape(a, s, len);
}

/* Digits at *p; -1 when the number is too long. */
static int small_number(const char **p, const char *end) {
  int v = 0;
  for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
    v = v * 10 + (**p - '0');
    if (v > 9999) return -1;
  }
  return v;
}

hdw_status ast_parse_hl7(const char *src, const ast *n, ast_hl7 *out) {
  size_t len;
  const char *p = ast_text(src, n, &len), *end = p + len;
  *out = (ast_hl7){.field = -1, .rep = -1, .comp = -1, .sub = -1};
  if (len < 5 || p[3] != '-') return HDW_E_SYNTAX;
  memcpy(out->seg, p, 3);
  p += 4;
  if ((out->field = small_number(&p, end)) < 0) return HDW_E_RANGE;
  if (p < end && *p == '[') {
    p++;
    if ((out->rep = small_number(&p, end)) < 0) return HDW_E_RANGE;
    if (p < end) p++;
  }
  int *part[] = {&out->comp, &out->sub};
  for (int i = 0; i < 2 && p < end && *p == '.'; i++) {
    p++;
    if ((*part[i] = small_number(&p, end)) < 0) return HDW_E_RANGE;
  }
  return p == end ? HDW_OK : HDW_E_SYNTAX;
}

/* True when only blanks and one line end lie in [from, to). */
static bool adjacent_lines(const char *src, uint32_t from, uint32_t to) {
  int ends = 0;
  for (uint32_t i = from; i < to; i++) {
    char c = src[i];
    if (c == '\n' || (c == '\r' && !(i + 1 < to && src[i + 1] == '\n'))) ends++;
    else if (c != ' ' && c != '\t' && c != '\r') return false;
  }
  return ends == 1;
}

ast_str ast_doc(arena *a, const char *src, const ast_comment *comments, size_t n_comments, const ast *n) {
  size_t lo = 0, hi = n_comments; /* the comments before n */
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (comments[mid].off < n->off) lo = mid + 1;
    else hi = mid;
  }
  size_t first = lo, bytes = 0;
  uint32_t below = n->off;
  while (first > 0) {
    const ast_comment *c = &comments[first - 1];
    if (c->kind != AST_COMMENT_DOC || !c->own_line || !adjacent_lines(src, c->end, below)) break;
    below = c->off;
    bytes += c->end - c->off;
    first--;
  }
  if (first == lo) return (ast_str){"", 0};
  char *out = (char *)arena_alloc(a, bytes);
  if (!out) return (ast_str){NULL, 0};
  char *o = out;
  for (size_t i = first; i < lo; i++) {
    uint32_t from = comments[i].off + 3, to = comments[i].end;
    if (from < to && src[from] == ' ') from++;
    if (i > first) *o++ = '\n';
    memcpy(o, src + from, to - from);
    o += to - from;
  }
  return (ast_str){out, (size_t)(o - out)};
}

static bool is_leaf(const ast *n) { return n->kind >= AST_NAME && n->kind <= AST_TPL_TEXT; }

void ast_dump(buf *b, const char *src, const ast *n) {
  if (is_leaf(n)) {
    buf_put(b, src + n->off, n->end - n->off);
    return;
  }
  if (!n->first) {
    buf_puts(b, n->kind == AST_NIL ? "-" : "(");
    if (n->kind == AST_NIL) return;
    buf_puts(b, ast_kind_name(n->kind));
    buf_putc(b, ')');
    return;
  }
  buf_putc(b, '(');
  buf_puts(b, ast_kind_name(n->kind));
  for (const ast *c = n->first; c; c = c->next) {
    buf_putc(b, ' ');
    ast_dump(b, src, c);
  }
  buf_putc(b, ')');
}

bool ast_equal(const char *src_a, const ast *a, const char *src_b, const ast *b) {
  if (a->kind != b->kind || a->n != b->n) return false;
  if (is_leaf(a)) {
    uint32_t n = a->end - a->off;
    return n == b->end - b->off && memcmp(src_a + a->off, src_b + b->off, n) == 0;
  }
  const ast *x = a->first, *y = b->first;
  for (; x && y; x = x->next, y = y->next)
    if (!ast_equal(src_a, x, src_b, y)) return false;
  return !x && !y;
}
