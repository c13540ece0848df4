/* parse_state.h - what lexer, grammar actions and driver share. Internal to this layer.
 *
 * The driver (parse.c) takes a token from the lexer (hdw.re), decides whether it is a place to recover at, and pushes it into the
 * generated parser (hdw.y). Two things flow from tokens alone, without the parser: the stack of open brackets, and one bit "an operand is
 * expected", which tells the '{' of an object from the '{' of a block. So tokens can be read without parsing (formatter, editors). */
#ifndef HDW_PARSE_STATE_H
#define HDW_PARSE_STATE_H
#include "parse.h"

typedef struct parse_span {
  uint32_t off, end;
} parse_span;

typedef enum lex_class { LEX_NONE, LEX_OP, LEX_CONST, LEX_SORT, LEX_UNIT, LEX_DECL, LEX_STMT, LEX_HEAD } lex_class;

/* What a bracket holds. Errors in a block of statements are repaired at statements, in a body at its entries; values never are. */
typedef enum lex_role { LEX_VALUE, LEX_BLOCK, LEX_BODY } lex_role;

typedef struct lex_bracket {
  char kind;                /* ( [ {   " template   T hole in a template */
  uint8_t role;             /* lex_role */
  uint32_t off;
} lex_bracket;

typedef struct lexer {
  const unsigned char *src, *cur, *marker, *limit;
  uint32_t off;             /* begin of the present token; its end is cur */
  int prev;                 /* the token before, 0 at the beginning */
  lex_class prev_class;     /* its class when it was taken as a keyword */
  uint32_t prev_end;
  lex_class word;           /* class of the present token when it is a keyword and not a name */
  bool first;               /* the present token is the first on its line */
  bool in_text;             /* inside the literal text of a template */
  bool operand;             /* an operand is expected next */
  bool fhirpath;            /* PID-3 is a subtraction */
  bool multiline;           /* '...' may span lines */
  bool ahead;               /* a look-ahead on a copy: report nothing, keep no comments */
  /* of the declaration around */
  int decl;                 /* its keyword token, 0 = none */
  bool in_head;             /* its outermost '{' has not been closed yet */
  bool bound;               /* its '=' has been seen */
  uint32_t errors_before;
  bool swallowed;           /* an error in it may have hidden the '}' of a block */
  /* brackets */
  lex_bracket stack[PARSE_MAX_BRACKETS];
  int depth;
  bool too_deep;
  uint8_t closed_role;      /* role of the '{' that the last '}' closed; LEX_BLOCK when there was none */
  uint32_t mismatch;        /* offset + 1 of the bracket that the last closer left open, 0 = it fitted */
  /* comments */
  ast_comment *comments;
  size_t n_comments, cap_comments;
} lexer;

typedef struct parser {
  arena *a;
  parse_sink *sink;
  const char *src;          /* copy of the source with a NUL behind it */
  size_t len;
  const parse_options *opt;
  lexer lx;
  ast *root;
  uint32_t nodes, errors;
  uint32_t error_off;       /* where the last report was: one lexical report a line */
  int edition;
  bool panic;               /* skip tokens until a place to go on at */
  bool too_deep;
  bool nomem;
  parse_token *tokens;
  size_t n_tokens, cap_tokens;
} parser;

/* hdw.re: the next token, TOK_HDW_error after a report; TOK_EOFT for ever at the end. */
int lex_next(parser *px);
/* lex.c */
void lex_begin(lexer *x, const char *src, size_t len, const parse_options *opt);
/* What follows from token t (just read): the operand bit, prev, the declaration around. */
void lex_after(parser *px, int t);
void lex_open(lexer *x, char kind, lex_role role);
void lex_close(lexer *x, char kind);
/* When templates are open: drops their brackets and all that were opened in them (their line ends). False when none is open. */
bool lex_leave_template(lexer *x);
int lex_word(parser *px);                    /* IDENT or a keyword */
lex_role lex_brace_role(const lexer *x);     /* for a '{' where no operand is expected */
void lex_comment(parser *px, ast_comment_kind kind);
/* Role of the innermost '{' that is no object, LEX_VALUE when there is none; *base: number of brackets up to and with it. */
lex_role lex_block(const lexer *x, int *base);
bool lex_column_one(const lexer *x, uint32_t off);

/* parse.c: nodes. Children are given as an array; NULL ones (after errors) are left out. */
ast *parse_node(parser *px, ast_kind kind, parse_span at, unsigned n, ast *const *children);
ast *parse_append(parser *px, ast *list, ast *child);
ast *parse_cover(ast *n, parse_span at);
ast *parse_call(parser *px, parse_span at, ast *callee, ast *args);
ast *parse_not(parser *px, parse_span bang, parse_span at, ast *operand);
void parse_edition(parser *px, ast *number);
void parse_no_edition(parser *px);
void parse_case_outside(parser *px, parse_span at);

/* parse_message.c: reports. */
void parse_error(parser *px, parse_code code, parse_span at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void parse_send(parser *px, parse_report *r);
const char *parse_text(parser *px, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A token that the parser refused; expected: tokens that it would have taken. */
void parse_unexpected(parser *px, parse_span at, int token, const char *token_name, const int *expected, int n);
/* A lexical mistake: one report a line; returns TOK_HDW_error and enters panic mode. */
int lex_bad(parser *px, parse_code code, const char *text);
/* A wrong habit that is replaced: report with the edit of the present token. */
void lex_habit(parser *px, parse_code code, const char *text, const char *replacement);
bool parse_same_line(const parser *px, uint32_t a, uint32_t b);

/* hdw.y */
struct hdw_pstate;
struct hdw_pstate *hdw_pstate_in(arena *a);
/* Where the condition begins when a '?' follows: start of the operator expression on top of the parser's stack; UINT32_MAX = none there. */
uint32_t hdw_expression_start(const struct hdw_pstate *ps);
/* True when the parser would take this token now. Changes nothing. */
bool hdw_accepts(struct hdw_pstate *ps, int token);
const char *hdw_token_name(int token);

#endif
