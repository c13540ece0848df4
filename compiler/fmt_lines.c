/* fmt_lines.c - the formatter's output: lines, and the columns that neighbouring lines share. */
#include <string.h>
#include "fmt_int.h"

enum { COMMENT_GAP = 2, COMMENT_SPREAD = 40 }; /* comments are aligned while their lines differ by at most the spread */

uint32_t fmt_width(const char *s, size_t n) {
  uint32_t w = 0;
  for (size_t i = 0; i < n; i++) w += ((unsigned char)s[i] & 0xC0) != 0x80;
  return w;
}

void fmt_lines_init(fmt_lines *l, arena *a, size_t max_bytes) {
  memset(l, 0, sizeof *l);
  l->a = a;
  buf_init(&l->text, a, max_bytes);
}

static bool grow(fmt_lines *l, void **v, uint32_t n, uint32_t *cap, size_t size) {
  if (n < *cap) return true;
  uint32_t more = *cap ? *cap * 2 : 64;
  void *grown = arena_grow(l->a, *v, *cap * size, more * size);
  if (!grown) {
    l->nomem = true;
    return false;
  }
  *v = grown;
  *cap = more;
  return true;
}

void fmt_lines_begin(fmt_lines *l, uint32_t indent, bool blank) {
  if (!grow(l, (void **)&l->v, l->n, &l->cap, sizeof *l->v)) return;
  fmt_line *line = &l->v[l->n++];
  *line = (fmt_line){.from = (uint32_t)l->text.len, .indent = indent, .blank = blank && l->n > 1, .mark = l->n_marks};
}

void fmt_lines_put(fmt_lines *l, const char *s, size_t n) { buf_put(&l->text, s, n); }

void fmt_lines_spaces(fmt_lines *l, uint32_t n) {
  while (n--) buf_putc(&l->text, ' ');
}

void fmt_lines_mark(fmt_lines *l, uint32_t columns) {
  if (!l->n) return;
  fmt_line *line = &l->v[l->n - 1];
  if (line->n_marks && line->columns != columns) return;
  if (!grow(l, (void **)&l->marks, l->n_marks, &l->cap_marks, sizeof *l->marks)) return;
  line->columns = columns;
  line->n_marks++;
  l->marks[l->n_marks++] = (uint32_t)l->text.len;
}

void fmt_lines_comment(fmt_lines *l, bool only) {
  if (!l->n) return;
  if (only) l->v[l->n - 1].only_comment = true;
  else l->v[l->n - 1].comment = (uint32_t)l->text.len;
}

/* ---- columns ---- */

static uint32_t line_end(const fmt_lines *l, uint32_t i) { return i + 1 < l->n ? l->v[i + 1].from : (uint32_t)l->text.len; }

/* Columns of cell k of a line: from the mark before (or the line's beginning) to mark k. */
static uint32_t cell(const fmt_lines *l, const fmt_line *line, uint32_t k) {
  uint32_t from = k ? l->marks[line->mark + k - 1] : line->from;
  return fmt_width(l->text.p + from, l->marks[line->mark + k] - from);
}

/* Lines of one class in [from, to) share columns; pads[] gets the blanks to insert at each of their marks. */
static void align(fmt_lines *l, uint32_t from, uint32_t to, uint32_t *pads) {
  uint32_t columns = l->v[from].columns;
  for (uint32_t k = 0;; k++) {
    uint32_t widest = 0;
    bool any = false;
    for (uint32_t i = from; i < to; i++) {
      const fmt_line *x = &l->v[i];
      if (x->columns != columns || k >= x->n_marks) continue;
      uint32_t w = cell(l, x, k);
      if (w > widest) widest = w;
      any = true;
    }
    if (!any) break;
    for (uint32_t i = from; i < to; i++) {
      const fmt_line *x = &l->v[i];
      if (x->columns == columns && k < x->n_marks) pads[x->mark + k] = widest - cell(l, x, k);
    }
  }
  for (uint32_t i = from; i < to; i++) l->v[i].aligned = l->v[i].aligned || l->v[i].columns == columns;
}

/* True when line i belongs to the value of an entry above at that indentation: it is deeper, or the closing bracket. */
static bool is_inner(const fmt_lines *l, uint32_t i, uint32_t indent) {
  const fmt_line *x = &l->v[i];
  if (x->indent != indent) return x->indent > indent;
  return line_end(l, i) > x->from && strchr(")]}", l->text.p[x->from]) != NULL;
}

/* Neighbours of one class: lines of values and comments between them do not divide them, empty lines do. */
static void align_all(fmt_lines *l, uint32_t *pads) {
  for (uint32_t i = 0; i < l->n; i++) {
    const fmt_line *x = &l->v[i];
    if (!x->n_marks || x->aligned) continue;
    uint32_t end = i + 1;
    for (; end < l->n; end++) {
      const fmt_line *y = &l->v[end];
      if (is_inner(l, end, x->indent)) continue;
      if (y->blank || !(y->only_comment || y->columns == x->columns)) break;
    }
    align(l, i, end, pads);
  }
}

/* Columns of a line's code with its padding, without a trailing comment and the blanks before it. */
static uint32_t code_width(const fmt_lines *l, uint32_t i, const uint32_t *pads) {
  const fmt_line *x = &l->v[i];
  uint32_t to = x->comment ? x->comment : line_end(l, i);
  uint32_t w = x->indent + fmt_width(l->text.p + x->from, to - x->from);
  for (uint32_t k = 0; k < x->n_marks; k++) w += pads[x->mark + k];
  return w;
}

static void align_comments(const fmt_lines *l, const uint32_t *pads, uint32_t *gaps) {
  for (uint32_t i = 0; i < l->n;) {
    uint32_t least = UINT32_MAX, most = 0, end = i;
    for (; end < l->n && l->v[end].comment && l->v[end].indent == l->v[i].indent && !(end > i && l->v[end].blank); end++) {
      uint32_t w = code_width(l, end, pads);
      uint32_t lo = w < least ? w : least, hi = w > most ? w : most;
      if (hi - lo > COMMENT_SPREAD) break;
      least = lo, most = hi;
    }
    for (uint32_t k = i; k < end; k++) gaps[k] = most - code_width(l, k, pads) + COMMENT_GAP;
    i = end > i ? end : i + 1;
  }
}

static void write_line(const fmt_lines *l, uint32_t i, const uint32_t *pads, uint32_t gap, buf *out) {
  const fmt_line *x = &l->v[i];
  if (x->blank) buf_putc(out, '\n');
  uint32_t at = x->from;
  for (uint32_t k = 0; k < x->indent; k++) buf_putc(out, ' ');
  for (uint32_t k = 0; k < x->n_marks; k++) {
    buf_put(out, l->text.p + at, l->marks[x->mark + k] - at);
    at = l->marks[x->mark + k];
    for (uint32_t b = 0; b < pads[x->mark + k]; b++) buf_putc(out, ' ');
  }
  uint32_t end = line_end(l, i);
  if (x->comment) {
    buf_put(out, l->text.p + at, x->comment - at);
    at = x->comment;
    for (uint32_t b = 0; b < gap; b++) buf_putc(out, ' ');
  }
  buf_put(out, l->text.p + at, end - at);
  buf_putc(out, '\n');
}

hdw_status fmt_lines_write(fmt_lines *l, buf *out) {
  uint32_t *pads = (uint32_t *)arena_zalloc(l->a, l->n_marks + 1, sizeof *pads);
  uint32_t *gaps = (uint32_t *)arena_zalloc(l->a, l->n + 1, sizeof *gaps);
  if (l->nomem || !pads || !gaps) return HDW_E_NOMEM;
  if (l->text.status) return (hdw_status)l->text.status;
  align_all(l, pads);
  align_comments(l, pads, gaps);
  for (uint32_t i = 0; i < l->n; i++) write_line(l, i, pads, gaps[i], out);
  return (hdw_status)out->status;
}
