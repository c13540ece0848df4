/* fmt.c - layout: where lines break. Items are printed in their order; what is decided is the white space between them.
 *
 * A bracketed list is flat (on one line), broken (one item a line) or hugged: on the line, while a list or block within it is broken, as in
 * `f(a, {` ... `})`. A block is flat or broken. Whatever is broken by width has a line break behind its bracket afterwards, which is the
 * author's sign for broken: so formatting again changes nothing. */
#include <string.h>
#include "fmt_int.h"
#include "hdw.tab.h"

enum { STEP = 2, CONTINUE = 4, CELLS = 8 };

/* Widest cells of the entries of one bracket, by class: where columns will be, before lines are padded. */
typedef struct cellset {
  uint32_t w[COLUMN_CLASSES][CELLS];
} cellset;

typedef struct printer {
  fmt_items it;
  fmt_lines l;
  uint32_t col;             /* next column of the present line */
  uint32_t indent;          /* of the present line */
  uint32_t cont;            /* indentation of lines that continue an expression */
  const cellset *cells;     /* of the bracket whose entry is printed */
  cellset no_cells;         /* when memory ran out */
  uint32_t n_marks;         /* columns begun on the present line */
  uint32_t mark_col;        /* where the last of them (or the line's text) begins */
  bool empty;               /* nothing on the line yet */
  bool must_break;          /* a comment ended the line */
} printer;

static const fmt_item *item(const printer *p, uint32_t i) { return &p->it.v[i]; }

static bool is_comment(const fmt_item *x) { return x->tok == -1; }

static bool opens(const printer *p, uint32_t i) { return item(p, i)->match != UINT32_MAX && item(p, i)->match > i; }

static void new_line(printer *p, uint32_t indent, bool blank) {
  fmt_lines_begin(&p->l, indent, blank);
  p->col = p->indent = p->mark_col = indent;
  p->n_marks = 0;
  p->empty = true;
  p->must_break = false;
}

static void put(printer *p, const char *s, uint32_t n, uint32_t width) {
  fmt_lines_put(&p->l, s, n);
  p->col += width;
  p->empty = false;
}

/* A column of the class begins here: from now on the line is taken to be as wide as with its padding. */
static void mark(printer *p, uint32_t columns) {
  fmt_lines_mark(&p->l, columns);
  if (p->n_marks < CELLS) p->mark_col += p->cells->w[columns & 15][p->n_marks];
  if (p->mark_col > p->col) p->col = p->mark_col;
  p->n_marks++;
}

/* Cells of the entries in [from, to). */
static const cellset *measure_cells(printer *p, uint32_t from, uint32_t to) {
  cellset *c = (cellset *)arena_zalloc(p->l.a, 1, sizeof *c);
  if (!c) {
    p->l.nomem = true;
    return &p->no_cells;
  }
  uint32_t class = 0, k = 0, at = 0;
  for (uint32_t i = from; i < to; i = opens(p, i) ? item(p, i)->match + 1 : i + 1) {
    const fmt_item *x = item(p, i);
    if (x->column) class = x->column, k = 0, at = x->at;
    if (is_comment(x)) k = CELLS; /* no columns in this entry */
    if (!(x->flags & FMT_PAD) || k == CELLS) continue;
    if (x->at - at > c->w[class][k]) c->w[class][k] = x->at - at;
    at = x->at;
    k++;
  }
  return c;
}

/* columns: class with which this line aligns, 0 = none. */
static void put_item(printer *p, uint32_t i, uint32_t columns) {
  const fmt_item *x = item(p, i);
  if (x->flags & FMT_DROP) return;
  if (p->must_break) new_line(p, x->tok == TOK_ELSE ? p->cont - CONTINUE : p->cont, false);
  if (!p->empty) {
    fmt_lines_spaces(&p->l, x->space);
    p->col += x->space;
  }
  if (columns && (x->flags & FMT_PAD) && !p->empty) mark(p, columns);
  put(p, p->it.src + x->off, x->end - x->off, x->width);
}

/* A comment behind something on its line, or alone on the line that has just begun. */
static void put_comment(printer *p, uint32_t i) {
  const fmt_item *x = item(p, i);
  uint32_t end = x->end;
  while (end > x->off && (p->it.src[end - 1] == ' ' || p->it.src[end - 1] == '\t')) end--;
  if (p->must_break) new_line(p, p->cont, false);
  if (x->line_comment) fmt_lines_comment(&p->l, p->empty);
  else if (!p->empty) fmt_lines_spaces(&p->l, 1), p->col++;
  for (uint32_t k = x->off; k < end; k++) /* line ends become \n */
    if (p->it.src[k] != '\r') put(p, p->it.src + k, 1, 0);
  p->col += x->width;
  p->empty = false;
  p->must_break = x->line_comment;
}

/* ---- widths ---- */

/* Columns from the beginning of item i to the end of item k, on one line. */
static uint32_t flat(const printer *p, uint32_t i, uint32_t k) { return item(p, k)->at + item(p, k)->width - item(p, i)->at; }

/* True when the author breaks the line at this operator or dot. */
static bool wants_break(const printer *p, uint32_t i) {
  if (i >= p->it.n) return false;
  const fmt_item *x = item(p, i);
  if (!(x->flags & FMT_BREAKABLE)) return false;
  return x->first || (i + 1 < p->it.n && item(p, i + 1)->first && !is_comment(item(p, i + 1)));
}

/* Columns of what stays on the line behind the bracket that item m closes: up to a place where the line can end. */
static uint32_t tail(const printer *p, uint32_t m) {
  uint32_t w = 0;
  for (uint32_t i = m + 1; i < p->it.n && w <= FMT_WIDTH; i++) {
    const fmt_item *x = item(p, i);
    bool line_begins = (x->flags & (FMT_BEGINS | FMT_DECL)) || ((x->flags & (FMT_CLAUSE | FMT_HANDLER)) && x->first);
    if (line_begins || x->line_comment || x->tok == TOK_BLOCK_CLOSE || wants_break(p, i)) break;
    if (x->flags & FMT_DROP) continue;
    w += x->space + x->width;
    if (x->tok == TOK_COMMA || (opens(p, i) && x->group != GROUP_PLAIN)) break;
  }
  return w;
}

static bool fits(const printer *p, uint32_t open) {
  const fmt_item *x = item(p, open);
  return p->col + x->space + flat(p, open, x->match) + tail(p, x->match) <= FMT_WIDTH;
}

/* What ends a list and may be broken in its place: its only item, or a {...} behind simple items. UINT32_MAX = none. */
static uint32_t last_list(const printer *p, uint32_t open) {
  uint32_t m = item(p, open)->match, k = m - 1;
  while (k > open && (is_comment(item(p, k)) || (item(p, k)->flags & FMT_DROP))) k--;
  uint32_t h = item(p, k)->match;
  if (k == open || h == UINT32_MAX || h > k || item(p, h)->group != GROUP_LIST) return UINT32_MAX;
  bool only = true, simple = true;
  for (uint32_t i = open + 1; i < h; i++) {
    only = only && item(p, i)->tok != TOK_COMMA;
    simple = simple && !opens(p, i);
    if (opens(p, i)) i = item(p, i)->match;
    if (i >= h) return UINT32_MAX;
  }
  return only || (simple && item(p, h)->tok == TOK_LEFT_BRACE) ? h : UINT32_MAX;
}

/* A list is hugged when its first line, up to the bracket that breaks, and its last line fit. */
static bool can_hug(const printer *p, uint32_t open) {
  const fmt_item *x = item(p, open);
  uint32_t h = UINT32_MAX;
  if (x->holds_forced) {
    for (uint32_t i = open + 1; i < x->match && h == UINT32_MAX; i++)
      if (opens(p, i) && item(p, i)->forced) h = i;
  } else {
    h = last_list(p, open);
  }
  if (h == UINT32_MAX) return false;
  bool begins = p->col + x->space + flat(p, open, h) <= FMT_WIDTH;
  return begins && p->indent + flat(p, item(p, h)->match, x->match) + tail(p, x->match) <= FMT_WIDTH;
}

static bool breaks(const printer *p, uint32_t open) {
  const fmt_item *x = item(p, open);
  if (x->group == GROUP_PLAIN) return false;
  if (x->forced) return true;
  if (!x->holds_forced && fits(p, open)) return false;
  if (x->match == open + 1) return false;
  return x->group != GROUP_LIST || !can_hug(p, open);
}

/* ---- printing ---- */

static void print_inline(printer *p, uint32_t from, uint32_t to, uint32_t columns, bool keep_breaks);

/* Comments from i on, each on its own line or behind what is on the line; the first item that is none. */
static uint32_t print_comments(printer *p, uint32_t i, uint32_t to, uint32_t indent, bool *first) {
  for (; i < to && is_comment(item(p, i)) && item(p, i)->line_comment; i++) {
    if (item(p, i)->first || p->must_break) new_line(p, indent, item(p, i)->blank && !*first);
    put_comment(p, i);
    *first = false;
  }
  return i;
}

/* One past the last item of [from, to) that is no comment. The comments behind it will end the line. */
static uint32_t without_comments(printer *p, uint32_t from, uint32_t to) {
  while (to > from + 1 && (is_comment(item(p, to - 1)) || (item(p, to - 1)->flags & FMT_DROP)))
    if (is_comment(item(p, --to))) p->it.v[to].line_comment = true;
  return to;
}

static void print_list(printer *p, uint32_t open) {
  uint32_t m = item(p, open)->match, indent = p->indent, cont = p->cont;
  const cellset *around = p->cells;
  p->cells = measure_cells(p, open + 1, m);
  put_item(p, open, 0);
  bool first = true;
  for (uint32_t i = open + 1; i < m;) {
    i = print_comments(p, i, m, indent + STEP, &first);
    if (i < m && item(p, i)->tok == TOK_COMMA) {
      i++;
      continue;
    }
    if (i == m) break;
    uint32_t end = i;
    while (end < m && (item(p, end)->tok != TOK_COMMA || (item(p, end)->flags & FMT_INNER))) end = opens(p, end) ? item(p, end)->match + 1 : end + 1;
    end = without_comments(p, i, end);
    if (end == i + 1 && is_comment(item(p, i))) { /* there is no item, only comments */
      p->it.v[i].line_comment = true;
      continue;
    }
    new_line(p, indent + STEP, item(p, i)->blank && !first);
    p->cont = indent + STEP + CONTINUE;
    print_inline(p, i, end, item(p, i)->column ? open << 4 | item(p, i)->column : 0, true);
    put(p, ",", 1, 1);
    first = false;
    i = end;
  }
  p->cont = cont;
  p->cells = around;
  new_line(p, indent, false);
  put_item(p, m, 0);
}

/* Parts of a statement or declaration that may begin a line: clauses of a head, handlers of a step. */
static bool is_part(const fmt_item *x) { return (x->flags & (FMT_CLAUSE | FMT_HANDLER)) != 0; }

/* The first part behind item i. */
static uint32_t next_part(const printer *p, uint32_t i, uint32_t to) {
  for (;;) {
    i = opens(p, i) ? item(p, i)->match + 1 : i + 1;
    if (i >= to) return to;
    if (is_part(item(p, i)) || (item(p, i)->flags & FMT_HEAD_BRACE)) return i;
  }
}

/* Parts begin lines when the author began one of them on a line, or when they do not fit on one. */
static bool parts_break(const printer *p, uint32_t from, uint32_t to) {
  uint32_t last = to;
  bool any = false;
  for (uint32_t i = next_part(p, from, to); i < to; i = next_part(p, i, to)) {
    if (is_part(item(p, i)) && item(p, i)->first) return true;
    any = any || is_part(item(p, i));
  }
  if (!any) return false;
  for (uint32_t i = from; i < to; i++) { /* up to the first bracket that is broken anyway */
    if (is_comment(item(p, i)) && (item(p, i)->line_comment || item(p, i)->first || wants_break(p, i + 1))) return true;
    if (opens(p, i) && (item(p, i)->forced || (item(p, i)->flags & FMT_HEAD_BRACE))) {
      last = i + 1;
      break;
    }
  }
  return p->indent + flat(p, from, last - 1) > FMT_WIDTH;
}

/* A statement, an entry or a declaration; the line has begun. */
static void print_statement(printer *p, uint32_t from, uint32_t to, uint32_t group) {
  uint32_t indent = p->indent, cont = p->cont;
  uint32_t columns = item(p, from)->column ? group << 4 | item(p, from)->column : 0;
  bool broken = parts_break(p, from, to);
  p->cont = indent + CONTINUE;
  uint32_t end = broken ? next_part(p, from, to) : to;
  for (uint32_t i = end; i < to; i = next_part(p, i, to)) p->it.v[i].first = true;
  if (end < to) without_comments(p, from, end);
  print_inline(p, from, end, columns, true);
  while (end < to) {
    uint32_t begin = end;
    bool brace = (item(p, begin)->flags & FMT_HEAD_BRACE) != 0;
    new_line(p, brace ? indent : indent + STEP, false);
    p->cont = p->indent + CONTINUE;
    if (brace) p->it.v[begin].forced = item(p, begin)->match > begin + 1;
    end = next_part(p, begin, to);
    if (end < to) without_comments(p, begin, end);
    print_inline(p, begin, end, 0, true);
  }
  p->cont = cont;
}

static void print_block(printer *p, uint32_t open) {
  uint32_t m = item(p, open)->match, indent = p->indent, cont = p->cont;
  const cellset *around = p->cells;
  p->cells = measure_cells(p, open + 1, m);
  put_item(p, open, 0);
  bool first = true;
  for (uint32_t i = open + 1; i < m;) {
    i = print_comments(p, i, m, indent + STEP, &first);
    if (i < m && (item(p, i)->flags & FMT_DROP)) {
      i++;
      continue;
    }
    if (i == m) break;
    uint32_t end = i + 1;
    if (opens(p, i)) end = item(p, i)->match + 1;
    while (end < m && !(item(p, end)->flags & FMT_BEGINS)) end = opens(p, end) ? item(p, end)->match + 1 : end + 1;
    end = without_comments(p, i, end);
    new_line(p, indent + STEP, item(p, i)->blank && !first);
    print_statement(p, i, end, open);
    first = false;
    i = end;
  }
  p->cont = cont;
  p->cells = around;
  new_line(p, indent, false);
  put_item(p, m, 0);
}

static void print_group(printer *p, uint32_t open, bool keep_breaks) {
  const fmt_item *x = item(p, open);
  if (p->must_break) new_line(p, p->cont, false);
  if (breaks(p, open)) {
    if (x->group == GROUP_LIST) print_list(p, open);
    else print_block(p, open);
    return;
  }
  put_item(p, open, 0);
  print_inline(p, open + 1, x->match, 0, keep_breaks && x->group == GROUP_PLAIN && x->tok != TOK_TPL_BEGIN);
  put_item(p, x->match, 0);
}

/* A condition that does not fit breaks before each of its logical operators, as if the author had done so. */
static void break_logic(printer *p, uint32_t from, uint32_t to) {
  uint32_t last = from;
  bool any = false;
  for (uint32_t i = from; i < to; i++) {
    const fmt_item *x = item(p, i);
    if (x->line_comment || x->group == GROUP_BLOCK || x->group == GROUP_BODY || x->forced) break;
    any = any || (x->flags & FMT_LOGIC);
    last = opens(p, i) ? x->match : i;
    if (opens(p, i) && x->holds_forced) break;
    i = last;
  }
  if (!any || p->col + flat(p, from, last) <= FMT_WIDTH) return;
  for (uint32_t i = from; i <= last; i = opens(p, i) ? item(p, i)->match + 1 : i + 1)
    if (i > from && (item(p, i)->flags & FMT_LOGIC)) p->it.v[i].first = true;
}

/* Items on the present line, but for brackets that break, comments, and where the author breaks an expression. */
static void print_inline(printer *p, uint32_t from, uint32_t to, uint32_t columns, bool keep_breaks) {
  if (keep_breaks && from < to) break_logic(p, from, to);
  for (uint32_t i = from; i < to; i++) {
    const fmt_item *x = item(p, i);
    if (is_comment(x)) {
      if (keep_breaks && i + 1 < to && wants_break(p, i + 1)) p->it.v[i].line_comment = true;
      if (x->line_comment && x->first && !p->empty) new_line(p, p->cont, false);
      put_comment(p, i);
      continue;
    }
    if (keep_breaks && i > from && !p->must_break && wants_break(p, i)) new_line(p, p->cont, false);
    if (opens(p, i)) {
      if (columns && (x->flags & FMT_PAD) && !p->empty && !p->must_break) { /* a value that begins with a bracket */
        fmt_lines_spaces(&p->l, x->space);
        p->col += x->space;
        mark(p, columns);
        p->it.v[i].space = 0;
      }
      print_group(p, i, keep_breaks);
      i = x->match;
    } else {
      put_item(p, i, columns);
    }
  }
}

/* ---- files ---- */

/* Empty lines around declarations that have several lines; comments directly above belong to the declaration. */
static void print_file(printer *p) {
  bool several_before = false, first = true;
  p->cells = measure_cells(p, 0, p->it.n);
  for (uint32_t i = 0; i < p->it.n;) {
    uint32_t top = p->l.n; /* the first line of what belongs together */
    while (i < p->it.n && is_comment(item(p, i)) && item(p, i)->line_comment) {
      bool own = item(p, i)->first;
      if (own && item(p, i)->blank) top = p->l.n;
      if (own || p->must_break || first) new_line(p, 0, item(p, i)->blank);
      put_comment(p, i++);
      if (!own) top = p->l.n;
      first = false;
    }
    if (i == p->it.n) break;
    uint32_t end = i + 1;
    while (end < p->it.n && !(item(p, end)->flags & FMT_DECL)) end = opens(p, end) ? item(p, end)->match + 1 : end + 1;
    end = without_comments(p, i, end);
    if (item(p, i)->blank) top = p->l.n;
    uint32_t line = p->l.n;
    new_line(p, 0, item(p, i)->blank);
    print_statement(p, i, end, 0);
    bool several = p->l.n > line + 1;
    if (!p->l.nomem && top > 0 && (several || several_before)) p->l.v[top].blank = true;
    several_before = several;
    first = false;
    i = end;
  }
  p->cells = NULL;
}

hdw_status fmt_source(arena *a, const char *src, size_t len, buf *out) {
  parse_result r;
  hdw_status s = parse_source(a, src, len, &(parse_options){.keep_tokens = true}, NULL, &r);
  if (s) return s;
  printer p = {.empty = true};
  s = fmt_items_build(a, src, len, &r, &p.it);
  if (s) return s;
  fmt_lines_init(&p.l, a, 8 * len + 4096);
  print_file(&p);
  return fmt_lines_write(&p.l, out);
}
