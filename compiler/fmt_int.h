/* fmt_int.h - parts of the formatter: items with their flags (fmt_items.c), layout (fmt.c), lines with their columns (fmt_lines.c). */
#ifndef HDW_FMT_INT_H
#define HDW_FMT_INT_H
#include "fmt.h"
#include "parse.h"

/* What the tree says about a token. */
enum {
  FMT_BEGINS = 1,      /* begins a statement, an entry, a case: has its own line in a broken block */
  FMT_DECL = 2,        /* begins a declaration */
  FMT_CLAUSE = 4,      /* begins a clause of a workflow's head */
  FMT_HANDLER = 8,     /* begins `on error` behind a step */
  FMT_HEAD_BRACE = 16, /* the '{' behind a workflow's head */
  FMT_BREAKABLE = 32,  /* an operator or a dot: a line may begin here when the author wants it */
  FMT_TIGHT = 64,      /* no blank before it */
  FMT_TIGHT_AFTER = 128,
  FMT_PAD = 256,       /* begins a column */
  FMT_DROP = 512,      /* an optional comma that is not written as it stands */
  FMT_INNER = 1024,    /* a comma between the keys of one arm: it divides no items */
  FMT_LOGIC = 2048     /* and, or, xor, implies: where a condition that is too long breaks */
};

/* Classes of columns; lines align with neighbours of the same class in the same bracket. */
enum {
  COLUMN_FIELD = 1,
  COLUMN_NAMED,
  COLUMN_ARM,
  COLUMN_ROW,
  COLUMN_MOCK,
  COLUMN_CONNECTION,
  COLUMN_LISTENER,
  COLUMN_PROFILE,
  COLUMN_TABLE,
  COLUMN_CLASSES
};

typedef enum fmt_group { GROUP_NONE, GROUP_PLAIN, GROUP_LIST, GROUP_BLOCK, GROUP_BODY } fmt_group;

/* A token or a comment. */
typedef struct fmt_item {
  uint32_t off, end;
  int16_t tok;         /* of a comment: -1 */
  uint16_t flags;
  uint8_t group;       /* of an opening bracket: fmt_group */
  uint8_t column;      /* of an item that begins a line: class of its columns, 0 = none; lines of one class align */
  bool first;          /* first on its line in the source */
  bool blank;          /* an empty line is above it in the source */
  bool line_comment;   /* the line must end behind it */
  bool forced;         /* of an opening bracket: has to be broken */
  bool holds_forced;   /* of an opening bracket: something within has to be broken */
  uint8_t space;       /* blanks before it when it does not begin a line */
  uint32_t match;      /* the bracket on the other side, UINT32_MAX = none */
  uint32_t width;      /* columns */
  uint32_t at;         /* columns from the beginning to here if all were on one line (without space) */
} fmt_item;

typedef struct fmt_items {
  const char *src;
  fmt_item *v;
  uint32_t n;
} fmt_items;

hdw_status fmt_items_build(arena *a, const char *src, size_t len, const parse_result *r, fmt_items *out);

typedef struct fmt_line {
  uint32_t from;       /* bytes of text */
  uint32_t indent;
  uint32_t columns;    /* class of the columns, 0 = none */
  uint32_t mark, n_marks;
  uint32_t comment;    /* where the trailing comment begins, 0 = none (of text) */
  bool blank;          /* an empty line above */
  bool only_comment;
  bool aligned;
} fmt_line;

typedef struct fmt_lines {
  arena *a;
  buf text;
  fmt_line *v;
  uint32_t n, cap;
  uint32_t *marks;     /* places in text where a column begins */
  uint32_t n_marks, cap_marks;
  bool nomem;
} fmt_lines;

void fmt_lines_init(fmt_lines *l, arena *a, size_t max_bytes);
void fmt_lines_begin(fmt_lines *l, uint32_t indent, bool blank);
void fmt_lines_put(fmt_lines *l, const char *s, size_t n);
void fmt_lines_spaces(fmt_lines *l, uint32_t n);
/* A column of class columns begins here. */
void fmt_lines_mark(fmt_lines *l, uint32_t columns);
/* A comment begins here: a trailing one, or the only thing on its line. */
void fmt_lines_comment(fmt_lines *l, bool only);
/* Pads the columns and writes all lines. */
hdw_status fmt_lines_write(fmt_lines *l, buf *out);
/* Columns of UTF-8 text: its code points. */
uint32_t fmt_width(const char *s, size_t n);

#endif
