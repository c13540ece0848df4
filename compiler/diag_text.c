/* diag_text.c - diagnostics for a terminal.
 *
 *   error[E0101]: unexpected 'auth'; expected an operator, ',' or the end of this '('
 *     --> crm.hdw:2:33
 *      |
 *    2 | connection crm = rest(base: 'x' auth: bearer(secret('t')))
 *      |                                 ^^^^ expected an operator, ',' or the end of this '('
 *      |                      - opened here
 *      = note: ...
 *      = help: write ','
 *      |
 *    2 | connection crm = rest(base: 'x', auth: bearer(secret('t')))
 *      |                                +
 *
 * Source and texts are hostile: control and direction characters are shown as U+FFFD, never sent to the terminal. */
#include <stdio.h>
#include <string.h>
#include "diag.h"

enum { TAB = 4, DEFAULT_WIDTH = 120, LEAST_WIDTH = 40 };

#define REPLACEMENT "\xEF\xBF\xBD"
#define ELLIPSIS "\xE2\x80\xA6"

typedef enum paint { PLAIN, BOLD, ERROR_, WARNING_, INFO_, GUTTER, HELP } paint;

typedef struct printer {
  buf *b;
  diag_list *l;
  const diag *d;
  bool color;
  uint32_t width;           /* of source text, without the gutter */
  int gutter;               /* digits of the largest line number */
} printer;

/* ---- characters ---- */

/* One character of s: its length in bytes and code point; malformed bytes count one by one as -1. */
static size_t decode(const char *s, size_t len, int32_t *cp) {
  unsigned char c = (unsigned char)s[0];
  size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
  *cp = -1;
  if (n == 0 || n > len) return 1;
  int32_t v = n == 1 ? c : c & (0xFF >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if (((unsigned char)s[i] & 0xC0) != 0x80) return 1;
    v = v << 6 | (s[i] & 0x3F);
  }
  if ((n == 3 && v < 0x800) || (n == 4 && v < 0x10000) || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000)) return 1;
  *cp = v;
  return n;
}

static bool unprintable(int32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F;
}

static uint32_t columns_of(int32_t c) {
  static const struct {
    int32_t from, to;
    uint8_t columns;
  } ranges[] = {/* combining and zero width */
                {0x300, 0x36F, 0}, {0x200B, 0x200D, 0}, {0x20D0, 0x20FF, 0}, {0xFE00, 0xFE0F, 0},
                /* East Asian wide, emoji */
                {0x1100, 0x115F, 2}, {0x2E80, 0x303E, 2}, {0x3041, 0x4DBF, 2}, {0x4E00, 0xA4CF, 2}, {0xAC00, 0xD7A3, 2}, {0xF900, 0xFAFF, 2},
                {0xFE30, 0xFE4F, 2}, {0xFF00, 0xFF60, 2}, {0xFFE0, 0xFFE6, 2}, {0x1F300, 0x1F64F, 2}, {0x1F680, 0x1F6FF, 2},
                {0x1F900, 0x1F9FF, 2}, {0x20000, 0x3FFFD, 2}};
  if (c < 0x300) return 1;
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (c >= ranges[i].from && c <= ranges[i].to) return ranges[i].columns;
  return 1;
}

/* Writes s as the terminal may see it (b NULL: only counts); returns the columns. col: of its beginning, for tabs. */
static uint32_t show(buf *b, const char *s, size_t len, uint32_t col) {
  uint32_t start = col;
  for (size_t i = 0; i < len;) {
    int32_t c;
    size_t n = decode(s + i, len - i, &c);
    if (c == '\t') {
      uint32_t to = (col / TAB + 1) * TAB;
      for (; col < to; col++)
        if (b) buf_putc(b, ' ');
    } else if (c < 0 || unprintable(c)) {
      if (b) buf_puts(b, REPLACEMENT);
      col++;
    } else {
      if (b) buf_put(b, s + i, n);
      col += columns_of(c);
    }
    i += n;
  }
  return col - start;
}

static void show_text(buf *b, const char *s) { show(b, s, strlen(s), 1); }

/* ---- colours ---- */

static void set(printer *p, paint x) {
  static const char *const codes[] = {"", "1", "1;31", "1;33", "1;36", "34", "1;32"};
  if (p->color && x != PLAIN) buf_putf(p->b, "\x1b[%sm", codes[x]);
}

static void unset(printer *p) {
  if (p->color) buf_puts(p->b, "\x1b[0m");
}

static paint severity_paint(const diag *d) { return d->severity == DIAG_ERROR ? ERROR_ : d->severity == DIAG_WARNING ? WARNING_ : INFO_; }

static const char *severity_name(diag_severity s) { return s == DIAG_ERROR ? "error" : s == DIAG_WARNING ? "warning" : "info"; }

/* ---- lines of source ---- */

/* The part of a source line that is shown: it fits the width and has the offset around which it was cut. */
typedef struct strip {
  uint32_t line;            /* number, from 1 */
  uint32_t from, to;        /* bytes */
  bool cut_left, cut_right;
} strip;

static uint32_t line_from(const diag_file *f, uint32_t line) { return f->lines ? f->lines[line - 1] : 0; }

static uint32_t line_to(const diag_file *f, uint32_t line) {
  uint32_t end = f->lines && line < f->n_lines ? f->lines[line] : (uint32_t)f->len;
  uint32_t from = line_from(f, line);
  while (end > from && (f->src[end - 1] == '\n' || f->src[end - 1] == '\r')) end--;
  return end;
}

static strip strip_at(printer *p, uint32_t file, uint32_t off) {
  const diag_file *f = &p->l->files[file];
  uint32_t col;
  strip s = {0};
  diag_position(p->l, file, off, false, &s.line, &col);
  uint32_t begin = line_from(f, s.line), end = line_to(f, s.line);
  if (off > end) off = end;
  s.from = off;
  for (uint32_t used = 0; s.from > begin && used < p->width * 2 / 3;) { /* back by characters */
    uint32_t k = s.from - 1;
    while (k > begin && s.from - k < 4 && ((unsigned char)f->src[k] & 0xC0) == 0x80) k--;
    used += show(NULL, f->src + k, s.from - k, 0);
    s.from = k;
  }
  s.cut_left = s.from > begin;
  s.to = s.from;
  for (uint32_t used = s.cut_left; s.to < end;) {
    int32_t c;
    uint32_t n = (uint32_t)decode(f->src + s.to, end - s.to, &c);
    used += show(NULL, f->src + s.to, n, used);
    if (used > p->width) break;
    s.to += n;
  }
  s.cut_right = s.to < end;
  return s;
}

static void gutter(printer *p, uint32_t line) {
  set(p, GUTTER);
  if (line) buf_putf(p->b, " %*u |", p->gutter, line);
  else buf_putf(p->b, " %*s |", p->gutter, "");
  unset(p);
}

static void print_strip(printer *p, const diag_file *f, strip s) {
  gutter(p, s.line);
  if (s.to > s.from || s.cut_left) buf_putc(p->b, ' ');
  if (s.cut_left) buf_puts(p->b, ELLIPSIS);
  show(p->b, f->src + s.from, s.to - s.from, s.cut_left);
  if (s.cut_right) buf_puts(p->b, ELLIPSIS);
  buf_putc(p->b, '\n');
}

static void underline(printer *p, const diag_file *f, strip s, const diag_span *span, char mark, paint x) {
  uint32_t from = span->off < s.from ? s.from : span->off > s.to ? s.to : span->off;
  uint32_t to = span->end > s.to ? s.to : span->end < from ? from : span->end;
  uint32_t col = s.cut_left + show(NULL, f->src + s.from, from - s.from, s.cut_left);
  uint32_t n = show(NULL, f->src + from, to - from, col);
  gutter(p, 0);
  buf_putc(p->b, ' ');
  for (uint32_t i = 0; i < col; i++) buf_putc(p->b, ' ');
  set(p, x);
  for (uint32_t i = 0; i < (n ? n : 1); i++) buf_putc(p->b, mark);
  if (span->label && *span->label) {
    buf_putc(p->b, ' ');
    show_text(p->b, span->label);
  }
  unset(p);
  buf_putc(p->b, '\n');
}

static uint32_t line_of(diag_list *l, const diag_span *s) {
  uint32_t line, col;
  diag_position(l, s->file, s->off, false, &line, &col);
  return line;
}

static void print_place(printer *p, const char *arrow, const diag_span *at) {
  uint32_t line, col;
  diag_position(p->l, at->file, at->off, false, &line, &col);
  set(p, GUTTER);
  buf_putf(p->b, "%*s%s ", p->gutter + 1, "", arrow);
  unset(p);
  show_text(p->b, p->l->files[at->file].path);
  buf_putf(p->b, ":%u:%u\n", line, col);
}

/* The spans of one line: the line once, then an underline for each. Marks what it has printed in done (bit 0: primary, then also). */
static void print_line_of(printer *p, const diag_span *first, uint64_t *done) {
  const diag *d = p->d;
  const diag_file *f = &p->l->files[first->file];
  strip s = strip_at(p, first->file, first->off);
  print_strip(p, f, s);
  if (!(*done & 1) && (first == &d->at || (d->at.file == first->file && line_of(p->l, &d->at) == s.line))) {
    underline(p, f, s, &d->at, '^', severity_paint(d));
    *done |= 1;
  }
  uint64_t bit = 2;
  for (const diag_span *x = d->also; x && bit; x = x->next, bit <<= 1) {
    if ((*done & bit) || x->file != first->file || line_of(p->l, x) != s.line) continue;
    if (x != first && (x->off < s.from || x->off > s.to)) continue;
    underline(p, f, s, x, '-', INFO_);
    *done |= bit;
  }
}

/* Places in the file of the primary span in the order of lines, then those in other files. */
static void print_spans(printer *p) {
  const diag *d = p->d;
  uint64_t done = 0;
  uint32_t previous = 0;
  for (;;) {
    const diag_span *next = done & 1 ? NULL : &d->at;
    uint64_t bit = 2;
    for (const diag_span *x = d->also; x && bit; x = x->next, bit <<= 1)
      if (!(done & bit) && x->file == d->at.file && (!next || line_of(p->l, x) < line_of(p->l, next))) next = x;
    if (!next) break;
    uint32_t line = line_of(p->l, next);
    if (previous && line > previous + 1) {
      set(p, GUTTER);
      buf_puts(p->b, " ...\n");
      unset(p);
    }
    print_line_of(p, next, &done);
    previous = line;
  }
  uint64_t bit = 2;
  for (const diag_span *x = d->also; x && bit; x = x->next, bit <<= 1) {
    if (done & bit) continue;
    print_place(p, ":::", x);
    print_line_of(p, x, &done);
  }
}

/* ---- fixes ---- */

/* The line [begin, end) with the edits applied; with mark instead: blanks, and '+' or '~' under what is new. */
static void print_fixed_line(printer *p, const diag_file *f, const diag_fix *fix, uint32_t begin, uint32_t end, bool mark) {
  uint32_t col = 0, at = begin;
  for (const diag_edit *e = fix->first; e; e = e->next) {
    uint32_t kept = show(mark ? NULL : p->b, f->src + at, e->off - at, col);
    uint32_t added = show(mark ? NULL : p->b, e->text, strlen(e->text), col + kept);
    for (uint32_t i = 0; mark && i < kept + added; i++) buf_putc(p->b, i < kept ? ' ' : e->end > e->off ? '~' : '+');
    col += kept + added;
    at = e->end;
  }
  if (!mark) show(p->b, f->src + at, end - at, col);
  buf_putc(p->b, '\n');
}

/* A fix within one line is shown as that line. */
static void print_fix(printer *p, const diag_fix *fix) {
  set(p, GUTTER);
  buf_putf(p->b, " %*s = ", p->gutter, "");
  set(p, HELP);
  buf_puts(p->b, "help: ");
  unset(p);
  show_text(p->b, fix->title);
  buf_putc(p->b, '\n');
  const diag_edit *first = fix->first;
  if (!first || first->file >= p->l->n_files) return;
  const diag_file *f = &p->l->files[first->file];
  strip s = strip_at(p, first->file, first->off);
  uint32_t begin = line_from(f, s.line), end = line_to(f, s.line);
  bool adds = false;
  for (const diag_edit *e = first; e; e = e->next) {
    if (e->file != first->file || e->off < begin || e->end > end || strchr(e->text, '\n')) return;
    adds = adds || *e->text;
  }
  if (end - begin > p->width) return;
  gutter(p, s.line);
  buf_putc(p->b, ' ');
  print_fixed_line(p, f, fix, begin, end, false);
  if (!adds) return;
  gutter(p, 0);
  buf_putc(p->b, ' ');
  set(p, HELP);
  print_fixed_line(p, f, fix, begin, end, true);
  unset(p);
}

void diag_text_one(buf *b, diag_list *l, const diag *d, const diag_text_options *opt) {
  uint32_t width = opt && opt->width ? opt->width : DEFAULT_WIDTH;
  printer p = {.b = b, .l = l, .d = d, .color = opt && opt->color};
  uint32_t most = line_of(l, &d->at);
  for (const diag_span *x = d->also; x; x = x->next)
    if (line_of(l, x) > most) most = line_of(l, x);
  p.gutter = snprintf(NULL, 0, "%u", most);
  if (p.gutter < 2) p.gutter = 2;
  uint32_t margin = (uint32_t)p.gutter + 4;
  p.width = width > LEAST_WIDTH + margin ? width - margin : LEAST_WIDTH;

  set(&p, severity_paint(d));
  buf_putf(b, "%s[%s]", severity_name(d->severity), diag_row_of(d->code)->code);
  unset(&p);
  set(&p, BOLD);
  buf_puts(b, ": ");
  show_text(b, d->text);
  unset(&p);
  buf_putc(b, '\n');
  print_place(&p, "-->", &d->at);
  gutter(&p, 0);
  buf_putc(b, '\n');
  print_spans(&p);
  for (const diag_remark *r = d->notes; r; r = r->next) {
    set(&p, GUTTER);
    buf_putf(b, " %*s = ", p.gutter, "");
    unset(&p);
    buf_puts(b, "note: ");
    show_text(b, r->text);
    buf_putc(b, '\n');
  }
  for (const diag_fix *f = d->fixes; f; f = f->next) print_fix(&p, f);
  buf_putc(b, '\n');
}

static void count(buf *b, uint32_t n, const char *what) { buf_putf(b, "%u %s%s", n, what, n == 1 ? "" : "s"); }

void diag_text(buf *b, diag_list *l, const diag_text_options *opt) {
  for (const diag *d = l->first; d; d = d->next) diag_text_one(b, l, d, opt);
  if (!l->errors && !l->warnings) return;
  if (l->errors) count(b, l->errors, "error");
  if (l->errors && l->warnings) buf_puts(b, ", ");
  if (l->warnings) count(b, l->warnings, "warning");
  if (l->dropped) buf_putf(b, " (%u not shown)", l->dropped);
  buf_putc(b, '\n');
}
