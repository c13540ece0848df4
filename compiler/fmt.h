/* fmt.h - the one format of .hdw files.
 *
 * No options. Two blanks of indentation, lines of 120 columns where bracketed lists can be broken. The author decides: whether a short block
 * stands on one line, whether a list stands one item a line (by a line break behind its bracket), single empty lines, breaks before an
 * operator or a dot. Everything else is decided here: blanks, columns of fields, named arguments and comments, trailing commas,
 * empty lines around declarations of several lines. Comments stay where they are.
 *
 * The formatter moves only what is between tokens (and optional commas), so the tree of the result is that of the source;
 * formatting twice is formatting once. */
#ifndef HDW_FMT_H
#define HDW_FMT_H
#include "arena.h"
#include "status.h"

enum { FMT_WIDTH = 120 };

/* Appends the formatted source to out. HDW_E_SYNTAX: it has mistakes (out is unchanged); HDW_E_NOMEM, HDW_E_LIMIT. a: for working memory. */
hdw_status fmt_source(arena *a, const char *src, size_t len, buf *out);

#endif
