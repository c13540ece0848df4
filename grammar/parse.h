/* parse.h - from source text to syntax tree.
 *
 * One LALR(1) grammar (hdw.y) and one lexer (hdw.re) read whole .hdw files and single expressions. Errors do not stop the parser: it
 * reports through a parse_sink and goes on at the next statement or declaration, so that one mistake gives one report.
 * The parser keeps no state between calls and takes memory from the arena alone. Source is limited to PARSE_MAX_BYTES and must not
 * change or go away while the tree is used (leaves are slices of it); it needs no NUL at its end. */
#ifndef HDW_PARSE_H
#define HDW_PARSE_H
#include "ast.h"

enum {
  PARSE_MAX_BYTES = 16 << 20,
  PARSE_MAX_BRACKETS = 512, /* brackets open at the same time */
  PARSE_MAX_EDITS = 4
};

/* Codes of syntax errors; each is a row of compiler/diags.def (E0101 ...). Never reused. */
typedef enum parse_code {
  PARSE_E_UNEXPECTED = 101,     /* a token that cannot stand here */
  PARSE_E_MISSING_EXPR = 102,   /* a statement begins where an operand is missing */
  PARSE_E_UNCLOSED = 103,       /* a declaration begins inside an open block; end of file inside brackets */
  PARSE_E_STRING_OPEN = 104,    /* a string is not closed on its line */
  PARSE_E_TEMPLATE_OPEN = 105,  /* a template, or a hole in it, is not closed on its line */
  PARSE_E_COMMENT_OPEN = 106,   /* a block comment is never closed */
  PARSE_E_BAD_CHAR = 107,       /* a character that means nothing, invalid UTF-8, a BOM in the middle */
  PARSE_E_TEMPLATE_BRACE = 108, /* a lone } in a template */
  PARSE_E_EQUALITY = 109,       /* == */
  PARSE_E_AND = 110,            /* && */
  PARSE_E_OR = 111,             /* || */
  PARSE_E_NOT = 112,            /* !x */
  PARSE_E_SEMICOLON = 113,      /* ; */
  PARSE_E_TERNARY = 114,        /* a ? b : c */
  PARSE_E_NULL = 115,           /* null */
  PARSE_E_EDITION = 116,        /* the first line is not `hdw 1` */
  PARSE_E_DEPTH = 117,          /* nested too deeply */
  PARSE_E_CASE = 118,           /* a case with a block outside of match */
  PARSE_E_BIG = 119             /* the source exceeds PARSE_MAX_BYTES */
} parse_code;

typedef struct parse_edit {
  uint32_t off, end;        /* bytes to replace; off == end inserts */
  const char *text;         /* NUL-terminated, lives in the arena or for ever */
} parse_edit;

/* One mistake. Texts are NUL-terminated and live in the arena (or for ever). */
typedef struct parse_report {
  parse_code code;
  uint32_t off, end;        /* where; off == end is a place between two bytes */
  const char *text;         /* the message: "unexpected ')'; expected an expression" */
  const char *label;        /* short, under the carets; may be NULL */
  uint32_t other_off, other_end; /* a second place, e.g. the bracket that was opened; both 0 = none */
  const char *other_label;
  const char *help;         /* what the edits do, NULL when there are none */
  parse_edit edits[PARSE_MAX_EDITS];
  unsigned n_edits;
} parse_report;

/* Who hears about mistakes. In source order except that a missing bracket may be reported where the text ends. */
typedef struct parse_sink {
  void (*report)(struct parse_sink *s, const parse_report *r);
  void *user;
} parse_sink;

/* A token as the formatter and editors want it. tok is a value of enum yytokentype of the generated hdw.h. */
typedef struct parse_token {
  uint32_t off, end;
  int16_t tok;
  bool first;               /* first token on its line */
  bool name;                /* a name, or a keyword where an operand is expected (there it is a name too) */
  uint32_t match;           /* index of the bracket on the other side; UINT32_MAX = none */
} parse_token;

typedef struct parse_options {
  bool expression;          /* one expression, not a file */
  bool fhirpath;            /* strictly FHIRPath: PID-3 is a subtraction, '...' may span lines */
  bool keep_tokens;         /* fill parse_result.tokens */
} parse_options;

typedef struct parse_result {
  ast *root;                /* AST_FILE or an expression; may be NULL after errors in an expression */
  uint32_t nodes;           /* ids are smaller than this */
  uint32_t errors;          /* number of reports */
  int edition;              /* N of the first line `hdw N`, 0 when it is missing */
  const ast_comment *comments;
  size_t n_comments;
  const parse_token *tokens; /* NULL unless keep_tokens */
  size_t n_tokens;
} parse_result;

/* HDW_OK: read without a mistake. HDW_E_SYNTAX: reports were made; out->root holds what could be read. HDW_E_NOMEM, HDW_E_LIMIT (source
 * too long). diag may be NULL. */
hdw_status parse_source(arena *a, const char *src, size_t len, const parse_options *opt, parse_sink *diag, parse_result *out);
hdw_status parse_file(arena *a, const char *src, size_t len, parse_sink *diag, parse_result *out);
/* fhirpath_strict: see parse_options.fhirpath. */
hdw_status parse_expr(arena *a, const char *src, size_t len, bool fhirpath_strict, parse_sink *diag, parse_result *out);

#endif
