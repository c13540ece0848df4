/* diag.h - diagnostics as data: what the compiler has to say about sources, and the ways to show it.
 *
 * A diagnostic has a code (a row of diags.def), a text, a primary span with a label, further spans, notes, and fixes (edits that a machine
 * may apply). Checkers add diagnostics to a diag_list; renderers turn the sorted list into text for a terminal, JSON or SARIF 2.1.0.
 * Everything lives in the arena of the list. No function here fails loudly: when memory ends, diagnostics are dropped and
 * diag_list.nomem is set; a list that dropped errors still counts them.
 *
 *   diag *d = diag_at(l, E0203, file, node, "there is no field '%.*s' in Patient", (int)n, name);
 *   diag_label(l, d, "unknown field");
 *   diag_also(l, d, file, decl->off, decl->end, "pat is a Patient because of this");
 *   diag_note(l, d, "fields of Patient are listed at ...");
 *   diag_replace(l, d, node->off, node->end, "birthDate", "did you mean 'birthDate'?");
 *
 * JSON (one object, UTF-8, one line):
 *   {"version":1, "errors":N, "warnings":N, "dropped":N, "diagnostics":[
 *     {"code":"E0101", "severity":"error"|"warning"|"info", "title":"...", "message":"...",
 *      "file":"a.hdw", "span":SPAN, "label":"..."|null,
 *      "related":[{"file":"a.hdw", "span":SPAN, "label":"..."}], "notes":["..."],
 *      "fixes":[{"title":"...", "edits":[{"file":"a.hdw", "span":SPAN, "text":"..."}]}], "explain":"hdwc explain E0101"}]}
 *   SPAN = {"start":{"offset":O, "line":L, "column":C}, "end":{...}}; offset in bytes from 0, line and column from 1, column in
 *   Unicode code points, end exclusive. */
#ifndef HDW_DIAG_H
#define HDW_DIAG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "ast.h"
#include "parse.h"

enum {
  DIAG_MAX_PER_FILE = 100, /* errors, and as many warnings; the rest is counted as dropped */
  DIAG_MAX_FILES = 4096
};

typedef enum diag_severity { DIAG_ERROR, DIAG_WARNING, DIAG_INFO } diag_severity;

/* E0101, W0301 ... */
typedef enum diag_code {
  DIAG_NONE,
#define DIAG(code, severity, title, why, wrong, right) code,
#include "diags.def"
#undef DIAG
  DIAG_CODE_COUNT
} diag_code;

/* A row of diags.def. wrong and right are complete source files. */
typedef struct diag_row {
  const char *code;         /* "E0101" */
  diag_severity severity;
  const char *title, *why, *wrong, *right;
} diag_row;

typedef struct diag_span {
  uint32_t file;            /* index from diag_file_add */
  uint32_t off, end;        /* bytes; off == end is a place between two bytes */
  const char *label;        /* may be NULL */
  struct diag_span *next;
} diag_span;

typedef struct diag_edit {
  uint32_t file, off, end;
  const char *text;
  struct diag_edit *next;
} diag_edit;

typedef struct diag_fix {
  const char *title;        /* "write '='": an imperative */
  diag_edit *first, *last;
  struct diag_fix *next;
} diag_fix;

typedef struct diag_remark {
  const char *text;
  struct diag_remark *next;
} diag_remark;

typedef struct diag {
  diag_code code;
  diag_severity severity;
  const char *text;
  diag_span at;             /* primary */
  diag_span *also, *also_last;
  diag_remark *notes, *notes_last;
  diag_fix *fixes, *fixes_last;
  struct diag *next;        /* in the order of adding; after diag_sort by position */
  struct diag *next_in_file;
} diag;

typedef struct diag_file {
  const char *path;
  const char *src;
  size_t len;
  uint32_t *lines;          /* offset of each line; made when first needed */
  uint32_t n_lines;
  uint32_t errors, warnings;
  diag *first;              /* newest first */
} diag_file;

typedef struct diag_list {
  arena *a;
  diag *first, *last;
  diag_file *files;
  uint32_t n_files, cap_files;
  uint32_t errors, warnings;  /* as reported, with those that were dropped by the limit */
  uint32_t dropped;
  bool nomem;
  diag spare;               /* what builders write to when a diagnostic was dropped */
} diag_list;

void diag_init(diag_list *l, arena *a);
/* path and src must live as long as the list. Returns the index; UINT32_MAX when there are too many files or memory ended. */
uint32_t diag_file_add(diag_list *l, const char *path, const char *src, size_t len);

/* Adds a diagnostic; the text is printf's. Never NULL. Dropped (but safe to go on building): the same code at the same span, a second
 * error at the very span of an error, anything beyond DIAG_MAX_PER_FILE. */
diag *diag_add(diag_list *l, diag_code code, uint32_t file, uint32_t off, uint32_t end, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* The same, at a node. */
diag *diag_at(diag_list *l, diag_code code, uint32_t file, const ast *n, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void diag_label(diag_list *l, diag *d, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A further place. */
void diag_also(diag_list *l, diag *d, uint32_t file, uint32_t off, uint32_t end, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void diag_note(diag_list *l, diag *d, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A fix with one edit in the file of the primary span. title NULL: "write 'text'". */
void diag_replace(diag_list *l, diag *d, uint32_t off, uint32_t end, const char *text, const char *title);
/* A fix of several edits: begin it, then add edits (they must not overlap). */
diag_fix *diag_fix_begin(diag_list *l, diag *d, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_fix_edit(diag_list *l, diag_fix *f, uint32_t file, uint32_t off, uint32_t end, const char *text);

/* By file (in the order of diag_file_add), offset, severity, code. */
void diag_sort(diag_list *l);
/* Line and column from 1; the column in Unicode code points (with utf16: in UTF-16 units, as editors count). */
void diag_position(diag_list *l, uint32_t file, uint32_t off, bool utf16, uint32_t *line, uint32_t *col);
/* The source with the edits of one fix applied to one file; NULL when memory ended or edits overlap. */
char *diag_apply(arena *a, const diag_list *l, const diag_fix *f, uint32_t file, size_t *len);

/* Reports of the parser become diagnostics of the file. */
typedef struct diag_parse_sink {
  parse_sink sink;          /* give &x.sink to parse_file */
  diag_list *list;
  uint32_t file;
} diag_parse_sink;
void diag_parse_sink_init(diag_parse_sink *s, diag_list *l, uint32_t file);

/* Row of a code; row of a name ("E0101", any case), NULL when there is none. DIAG_NONE has an empty row. */
const diag_row *diag_row_of(diag_code code);
const diag_row *diag_find(const char *name, size_t len);
/* The page of `hdwc explain`. */
void diag_explain(buf *b, const diag_row *row);

typedef struct diag_text_options {
  bool color;               /* ANSI colours */
  uint32_t width;           /* columns; longer source lines are cut around the span. 0 = 120 */
} diag_text_options;
/* Renderers write the list in its present order; sort first. The last line of the text form is a summary ("2 errors, 1 warning"). */
void diag_text(buf *b, diag_list *l, const diag_text_options *opt);
void diag_text_one(buf *b, diag_list *l, const diag *d, const diag_text_options *opt);
void diag_json(buf *b, diag_list *l);
/* version: of the tool. */
void diag_sarif(buf *b, diag_list *l, const char *version);
/* A JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void diag_json_string(buf *b, const char *s, size_t len);

#endif
