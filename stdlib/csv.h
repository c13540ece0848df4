/* csv.h - comma-separated values (RFC 4180), row by row, from text that stays alive.
 *
 *   id,name,city            with header: each row is a VAL_OBJ {id, name, city} in the order of the columns
 *   7,"Okafor, Grace",      -> {"id": "7", "name": "Okafor, Grace", "city": null}
 *   8,"say ""hi""",""       -> {"id": "8", "name": "say \"hi\"",   "city": ""}
 *
 * Without header each row is a VAL_LIST (VALF_ARRAY) of its fields. Fields are strings, slices of the text unless a quote in them is doubled;
 * an unquoted empty field is VAL_NULL, a quoted one the empty string. Nothing is trimmed or converted.
 *
 * Lines end with LF or CRLF, quoted fields may hold line ends, empty lines are skipped, a byte order mark at the start too. Refused are what would
 * otherwise be guessed at: a quote inside an unquoted field, text behind a closing quote, a quoted field without end, a lone CR, a row with more or
 * fewer fields than the header has names (fewer: see short_rows), a name that occurs twice. The caller has converted the text to UTF-8. */
#ifndef HDW_CSV_H
#define HDW_CSV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "status.h"
#include "value.h"

enum { CSV_COLUMNS_MAX = 4096 };

typedef struct csv_opts {
  char delimiter;          /* 0 = ',' */
  char quote;              /* 0 = '"' */
  bool no_quotes;          /* quotes are ordinary characters (text/tab-separated-values) */
  bool header;             /* the first row gives the names; an empty one becomes column<N>, from 1 */
  bool short_rows;         /* rows may end early: the missing members are left out */
} csv_opts;

typedef struct csv_error {
  size_t offset;           /* of the offending byte */
  uint64_t line;           /* line of the text where the row starts, from 1 */
  uint32_t column;         /* field in the row, from 1 */
  const char *expected;    /* constant English text */
} csv_error;

typedef struct csv_rows {
  const char *text;
  size_t len, pos;         /* pos: start of the next row */
  uint64_t line;           /* line of the text where the row read last starts */
  uint64_t next_line;
  csv_opts opts;
  const val *names;        /* header: keys with their hashes */
  uint32_t name_count;
} csv_rows;

/* Starts on a text; with opts->header reads the names into a, which must live as long as the iterator and its rows. opts NULL: no header, commas.
 * HDW_E_INVALID for a delimiter that is the quote or a line end, HDW_E_NOTFOUND for a header of an empty text, HDW_E_EXISTS for a name that
 * stands twice, else as csv_next. err may be NULL. */
hdw_status csv_init(csv_rows *it, arena *a, const char *text, size_t len, const csv_opts *opts, csv_error *err);
/* The next row. HDW_E_NOTFOUND after the last. HDW_E_SYNTAX, HDW_E_CARD (number of fields), HDW_E_LIMIT (more than CSV_COLUMNS_MAX), HDW_E_NOMEM;
 * after HDW_E_CARD the iterator is behind the row, after HDW_E_SYNTAX behind the line of the offending byte: the caller may go on. */
hdw_status csv_next(csv_rows *it, arena *a, val *row, csv_error *err);

#endif
