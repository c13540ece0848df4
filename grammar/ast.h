/* ast.h - the syntax tree of a .hdw file or of one expression.
 *
 * Nodes live in the arena that was given to the parser; nothing is freed one by one. A node covers the bytes [off, end) of the source.
 * The text of a leaf is exactly that slice. Children are a linked list in the order of AST_KINDS; where a part was not written, the
 * child is an AST_NIL (so positions are fixed: ast_child(let, 1) is the type or AST_NIL). Lists (AST_FILE, AST_DO, AST_ARGS ...) have
 * any number of children.
 *
 * A tree may contain AST_ERROR nodes (text that could not be read); then parse_result.errors is not 0. Everything around them is sound:
 * name resolution and types may go on and should stay silent about an AST_ERROR.
 *
 * Depth is bounded: no node is deeper than AST_MAX_DEPTH, so walkers may recurse. Ids are dense (0 .. parse_result.nodes-1), children
 * have smaller ids than their parents (but AST lists, which begin before their children): use them as index of side tables. */
#ifndef HDW_AST_H
#define HDW_AST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "status.h"

enum { AST_MAX_DEPTH = 1000 };

/* X(KIND, "name in dumps", "children"). "|NIL" after a child: AST_NIL when it was not written. "x*": any number of x. */
#define AST_KINDS(X)                                                                                                                    \
  /* leaves */                                                                                                                          \
  X(NIL, "-", "no children; a part that was not written")                                                                               \
  X(NAME, "name", "leaf; also a keyword used as a name, and `delimited` names: read it with ast_name()")                                \
  X(STRING, "string", "leaf, with its quotes: read it with ast_string_value()")                                                         \
  X(INT, "int", "leaf; digits only, of any length")                                                                                     \
  X(DEC, "dec", "leaf; digits.digits")                                                                                                  \
  X(LONG, "long", "leaf; digits followed by L")                                                                                         \
  X(DATE, "date", "leaf; @YYYY[-MM[-DD]]")                                                                                              \
  X(DATETIME, "dateTime", "leaf; @YYYY[-MM[-DD]]T[hh[:mm[:ss[.f]]]][Z|+hh:mm]")                                                         \
  X(TIME, "time", "leaf; @Thh[:mm[:ss[.f]]]")                                                                                           \
  X(HL7, "hl7", "leaf; PID-3, PID-3[0].4.2: read it with ast_parse_hl7()")                                                              \
  X(THIS, "$this", "leaf")                                                                                                              \
  X(INDEX, "$index", "leaf")                                                                                                            \
  X(TOTAL, "$total", "leaf")                                                                                                            \
  X(TRUE, "true", "leaf")                                                                                                               \
  X(FALSE, "false", "leaf")                                                                                                             \
  X(UNIT, "unit", "leaf; a calendar unit behind a number, singular or plural")                                                          \
  X(TPL_TEXT, "text", "leaf; literal text of a template: read it with ast_string_value()")                                              \
  X(ERROR, "error", "(DO or ELSE)?; text that could not be read and the block behind it; or an expression")                                    \
  /* declarations */                                                                                                                    \
  X(FILE, "file", "declaration*")                                                                                                       \
  X(USE, "use", "PATH, alias NAME|NIL")                                                                                                 \
  X(PATH, "path", "NAME+; use a/b/c")                                                                                                   \
  X(CONNECTION, "connection", "NAME, expression, AGAINST?, WAS?")                                                                       \
  X(LISTENER, "listener", "NAME, expression, WAS?")                                                                                     \
  X(PROFILE, "profile", "NAME, expression")                                                                                             \
  X(TABLE, "table", "NAME, expression")                                                                                                 \
  X(SETTING, "setting", "NAME, type, default expression|NIL")                                                                           \
  X(LET, "let", "NAME, type|NIL, expression; top level or statement")                                                                   \
  X(PAYLOAD, "payload", "NAME, PARAMS|NIL, FIELDS, (NAME or TYPE_DOT)?; the last: payload … as fhir.Patient")                                                                                     \
  X(SEGMENT, "segment", "NAME, FIELDS; top level or in a sender")                                                                       \
  X(ENTITY, "entity", "NAME, type|NIL, ENTRIES of FIELD, MATCH_RULE, REVIEW_RULE, ERROR")                                               \
  X(SENDER, "sender", "NAME, ENTRIES of PAIR, SEGMENT, ERROR")                                                                          \
  X(MAP, "map", "NAME, PARAMS, type|NIL, ARMS")                                                                                         \
  X(FN, "fn", "NAME, PARAMS, type|NIL, expression or DO")                                                                               \
  X(ACTION, "action", "NAME, PARAMS, type|NIL, DO")                                                                                     \
  X(WORKFLOW, "workflow", "NAME, PARAMS|NIL, type|NIL, ON|NIL, CLAUSES, DO, WAS?")                                                      \
  X(TEST, "test", "STRING, PARAMS|NIL, DO")                                                                                             \
  /* parts of declarations */                                                                                                           \
  X(WAS, "was", "NAME; the name of before, under which there is state")                                                                \
  X(AGAINST, "against", "STRING; the file with what the server says of itself")                                                        \
  X(PARAMS, "params", "PARAM*")                                                                                                         \
  X(PARAM, "param", "key, type, default expression|NIL")                                                                                \
  X(T_ONE, "T", "NAME or TYPE_DOT; exactly one")                                                                                        \
  X(T_OPT, "T?", "NAME or TYPE_DOT; none or one")                                                                                       \
  X(T_MANY, "T*", "NAME or TYPE_DOT; any number")                                                                                       \
  X(T_SOME, "T+", "NAME or TYPE_DOT; one or more")                                                                                      \
  X(TYPE_DOT, "type.", "NAME or TYPE_DOT, NAME; System.String")                                                                         \
  X(FIELDS, "fields", "FIELD* and ERROR*")                                                                                              \
  X(FIELD, "field", "NAME, type, expression|NIL")                                                                                       \
  X(ENTRIES, "entries", "what the body of a sender or an entity holds")                                                                 \
  X(MATCH_RULE, "match-rule", "expression; in an entity")                                                                               \
  X(REVIEW_RULE, "review-rule", "expression; in an entity")                                                                             \
  X(ARMS, "arms", "ARM*, ARM_ELSE*, ERROR*; of a map")                                                                                  \
  X(ARM, "arm", "KEYS, expression")                                                                                                     \
  X(ARM_ELSE, "arm-else", "expression")                                                                                                 \
  X(KEYS, "keys", "(STRING, INT, DEC, TRUE, FALSE)+")                                                                                   \
  X(ON, "on", "TRIGGERS, NAME of the input|NIL")                                                                                        \
  X(TRIGGERS, "triggers", "call+; CALL or DOT(..., CALL)")                                                                              \
  X(CLAUSES, "clauses", "(WHERE, ORDER, ONCE, ACK, NEEDS)*")                                                                            \
  X(WHERE, "where", "expression")                                                                                                       \
  X(ORDER, "order", "ITEMS, NAME (the word behind 'on')|NIL, NAME (what to do)|NIL; order by a, b on failure skip")                     \
  X(ONCE, "once", "expression, within expression|NIL")                                                                                  \
  X(ACK, "ack", "NAME (commit or run), within expression|NIL, else NAME|NIL")                                                           \
  X(NEEDS, "needs", "expression")                                                                                                       \
  /* statements */                                                                                                                      \
  X(DO, "do", "statement*; a block")                                                                                                    \
  X(STEP, "step", "NAME|NIL, type|NIL, call or FOR or PARFOR, HANDLERS|NIL")                                                            \
  X(HANDLERS, "handlers", "(ON_ERROR_USE, ON_ERROR_DO)+")                                                                               \
  X(ON_ERROR_USE, "on-error-use", "where expression|NIL, expression")                                                                   \
  X(ON_ERROR_DO, "on-error-do", "where expression|NIL, DO")                                                                             \
  X(SEND, "send", "call")                                                                                                               \
  X(LOG, "log", "ARGS")                                                                                                                 \
  X(FOR, "for", "NAME, expression, limit expression|NIL, DO")                                                                           \
  X(PARFOR, "parallel-for", "NAME, expression, limit expression|NIL, DO")                                                               \
  X(PARALLEL, "parallel", "DO")                                                                                                         \
  X(IF, "if", "expression, DO, (DO or IF)|NIL")                                                                                         \
  X(MATCH, "match", "expression, CASES")                                                                                                \
  X(CASES, "cases", "CASE*, ELSE*, ERROR*")                                                                                             \
  X(CASE, "case", "ITEMS, DO")                                                                                                          \
  X(ELSE, "else", "DO; in CASES. In an ERROR: DO, DO or IF")                                                                            \
  X(RETURN, "return", "expression")                                                                                                     \
  X(YIELD, "yield", "expression")                                                                                                       \
  X(DROP, "drop", "ITEMS")                                                                                                              \
  X(OUTCOME, "outcome", "NAME (reject reply redirect skip fail retry), ARGS")                                                           \
  X(MOCK, "mock", "target (NAME, DOT or CALL), expression")                                                                             \
  X(WHEN, "when", "expression")                                                                                                         \
  X(AT, "at", "expression")                                                                                                             \
  X(AFTER, "after", "expression")                                                                                                       \
  X(EXPECT, "expect", "expression")                                                                                                     \
  X(RESTART, "restart", "no children")                                                                                                  \
  X(ROW, "row", "ITEMS; case a, b in a test")                                                                                           \
  X(ITEMS, "items", "expression+; without brackets")                                                                                    \
  /* expressions */                                                                                                                     \
  X(DOT, ".", "expression, what is behind the dot: NAME, CALL, HL7, COMPONENT, THIS, INDEX, TOTAL")                                     \
  X(CALL, "call", "NAME, ARGS; a.f(x) is DOT(a, CALL(f, ARGS(x)))")                                                                     \
  X(SUBSCRIPT, "[]", "expression, expression")                                                                                          \
  X(COMPONENT, "component", "INT or DEC; .4 and .4.2 behind an HL7 value")                                                              \
  X(VAR, "%", "NAME or STRING; %context")                                                                                               \
  X(ARGS, "args", "(expression, NAMED, ASC, DESC)*")                                                                                    \
  X(NAMED, "named", "key (NAME, STRING, TEMPLATE or HL7), expression")                                                                  \
  X(ASC, "asc", "expression")                                                                                                           \
  X(DESC, "desc", "expression")                                                                                                         \
  X(EMPTY, "{}", "no children; the empty collection")                                                                                   \
  X(OBJ, "obj", "PAIR*")                                                                                                                \
  X(PAIR, "pair", "key (NAME, STRING, TEMPLATE or HL7), expression")                                                                    \
  X(LIST, "list", "expression*; [a, b]")                                                                                                \
  X(TEMPLATE, "template", "(TPL_TEXT or expression)*")                                                                                  \
  X(QUANTITY, "quantity", "INT or DEC, UNIT or STRING")                                                                                 \
  X(POS, "pos", "expression")                                                                                                           \
  X(NEG, "neg", "expression")                                                                                                           \
  X(MUL, "*", "left, right")                                                                                                            \
  X(DIVIDE, "/", "left, right")                                                                                                         \
  X(DIV, "div", "left, right")                                                                                                          \
  X(MOD, "mod", "left, right")                                                                                                          \
  X(ADD, "+", "left, right")                                                                                                            \
  X(SUB, "sub", "left, right")                                                                                                          \
  X(CONCAT, "&", "left, right")                                                                                                         \
  X(UNION, "|", "left, right")                                                                                                          \
  X(IS, "is", "expression, NAME or TYPE_DOT")                                                                                           \
  X(AS, "as", "expression, NAME or TYPE_DOT")                                                                                           \
  X(LT, "<", "left, right")                                                                                                             \
  X(GT, ">", "left, right")                                                                                                             \
  X(LE, "<=", "left, right")                                                                                                            \
  X(GE, ">=", "left, right")                                                                                                            \
  X(EQ, "=", "left, right")                                                                                                             \
  X(EQUIV, "~", "left, right")                                                                                                          \
  X(NE, "!=", "left, right")                                                                                                            \
  X(NEQUIV, "!~", "left, right")                                                                                                        \
  X(IN, "in", "left, right")                                                                                                            \
  X(CONTAINS, "contains", "left, right")                                                                                                \
  X(AND, "and", "left, right")                                                                                                          \
  X(OR, "or", "left, right")                                                                                                            \
  X(XOR, "xor", "left, right")                                                                                                          \
  X(IMPLIES, "implies", "left, right")

typedef enum ast_kind {
#define X(kind, name, children) AST_##kind,
  AST_KINDS(X)
#undef X
      AST_KIND_COUNT
} ast_kind;

enum {
  AST_PARENS = 1, /* the expression was written in parentheses (its span is without them) */
  AST_SCOPE = 2,  /* set by the compiler: variables that it defines end with it */
  AST_SEVERAL = 4 /* set by the compiler: this side of a union may give several values */
};

typedef struct ast {
  uint8_t kind;             /* ast_kind */
  uint8_t flags;            /* AST_PARENS, AST_SCOPE, AST_SEVERAL */
  uint16_t depth;           /* levels below and including this node: a leaf has 1 */
  uint32_t n;               /* number of children */
  uint32_t off, end;        /* bytes of the source */
  uint32_t id;              /* dense, for side tables */
  struct ast *first, *last; /* children */
  struct ast *next;         /* sibling */
} ast;

/* What stands between tokens: comments in source order, for the formatter and for doc comments. */
typedef enum ast_comment_kind { AST_COMMENT_LINE, AST_COMMENT_BLOCK, AST_COMMENT_DOC } ast_comment_kind;
typedef struct ast_comment {
  uint32_t off, end;        /* with its slashes, without the line end */
  uint8_t kind;             /* ast_comment_kind: // or block or /// */
  bool own_line;            /* first on its line */
  bool blank_before;        /* an empty line is directly above */
} ast_comment;

static inline bool ast_is_nil(const ast *n) { return n->kind == AST_NIL; }
/* Child i, from 0; NULL when there are fewer. */
static inline ast *ast_child(const ast *n, uint32_t i) {
  ast *c = n->first;
  while (c && i) c = c->next, i--;
  return c;
}
/* The slice of the source that n covers (for a leaf, its text). Not NUL-terminated. */
static inline const char *ast_text(const char *src, const ast *n, size_t *len) {
  *len = n->end - n->off;
  return src + n->off;
}

/* "let", "step" ... of a kind, and the description of its children; never NULL. */
const char *ast_kind_name(unsigned kind);
const char *ast_kind_children(unsigned kind);

/* A string of bytes that lives in the arena or in the source. p is NULL only when memory ran out. */
typedef struct ast_str {
  const char *p;
  size_t len;
} ast_str;

/* The name that an AST_NAME stands for: backticks and escapes removed. A plain name is a slice of src; nothing is copied. Of any other
 * leaf: its text. */
ast_str ast_name(arena *a, const char *src, const ast *n);
/* True when n is a name (or another leaf) that spells s. */
bool ast_name_is(const char *src, const ast *n, const char *s);
/* The bytes that an AST_STRING or AST_TPL_TEXT stands for. FHIRPath's escapes: \' \" \` \r \n \t \f \\ \/ \uXXXX (pairs of surrogates
 * joined; a lone one becomes U+FFFD), and \{ \} of templates; an unknown escape stands for its character. */
ast_str ast_string_value(arena *a, const char *src, const ast *n);

/* Parts of an HL7 path. HDW_E_RANGE when a number exceeds 9,999. */
typedef struct ast_hl7 {
  char seg[4];              /* NUL-terminated */
  int field;
  int rep;                  /* 0-based, -1 = not written */
  int comp, sub;            /* 1-based, -1 = not written */
} ast_hl7;
hdw_status ast_parse_hl7(const char *src, const ast *n, ast_hl7 *out);

/* Text of the /// lines directly above the line on which n begins (no other text and no empty line between), joined by newlines, each
 * without the slashes and one blank. p = "" and len 0 when there is none. */
ast_str ast_doc(arena *a, const char *src, const ast_comment *comments, size_t n_comments, const ast *n);

/* The tree as an S-expression: (let x - (+ 1 2)). Leaves as their text. For tests and `--dump`. */
void ast_dump(buf *b, const char *src, const ast *n);
/* Same kinds, shapes and leaf texts; spans, ids and AST_PARENS do not matter. */
bool ast_equal(const char *src_a, const ast *a, const char *src_b, const ast *b);

#endif
