/* lex.c - what the lexer knows beyond one token: keywords, brackets, comments, and whether an operand is expected. */
#include <string.h>
#include "hdw.tab.h"
#include "parse_state.h"

static const struct keyword {
  char word[14];
  uint8_t len;
  uint8_t token;
  uint8_t class_;
} keywords[] = {
#define KEYWORD(word, token, class_) {#word, sizeof #word - 1, TOK_##token, LEX_##class_},
#include "keywords.def"
#undef KEYWORD
};
enum { N_KEYWORDS = sizeof keywords / sizeof *keywords, LONGEST_KEYWORD = 12 };

static int compare(const char *word, size_t n, const struct keyword *k) {
  int c = memcmp(word, k->word, n < k->len ? n : k->len);
  return c ? c : n < k->len ? -1 : n > k->len;
}

static const struct keyword *find_keyword(const char *word, size_t n) {
  if (n < 2 || n > LONGEST_KEYWORD || word[0] < 'a') return NULL;
  size_t lo = 0, hi = N_KEYWORDS;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    int c = compare(word, n, &keywords[mid]);
    if (c == 0) return &keywords[mid];
    if (c < 0) hi = mid;
    else lo = mid + 1;
  }
  return NULL;
}

void lex_begin(lexer *x, const char *src, size_t len, const parse_options *opt) {
  memset(x, 0, offsetof(lexer, stack));
  x->depth = 0;
  x->too_deep = false;
  x->closed_role = LEX_BLOCK;
  x->mismatch = 0;
  x->comments = NULL;
  x->n_comments = x->cap_comments = 0;
  x->src = x->cur = (const unsigned char *)src;
  x->limit = x->src + len;
  x->fhirpath = opt->fhirpath;
  x->multiline = x->operand = opt->expression;
}

/* A word is a keyword unless it stands behind '.' or before ':'. Units are units only directly behind a number. */
int lex_word(parser *px) {
  lexer *x = &px->lx;
  const struct keyword *k = find_keyword((const char *)x->src + x->off, (size_t)(x->cur - x->src) - x->off);
  if (!k) return TOK_IDENT;
  if (k->class_ == LEX_UNIT) return (x->prev == TOK_INTEGER || x->prev == TOK_DECIMAL) && !x->first ? TOK_UNIT : TOK_IDENT;
  if (x->prev == TOK_DOT) return TOK_IDENT;
  if (k->token != TOK_ELSE && k->class_ != LEX_CONST) {
    const unsigned char *p = x->cur;
    while (*p == ' ' || *p == '\t') p++;
    if (*p == ':') return TOK_IDENT;
  }
  x->word = (lex_class)k->class_;
  return k->token;
}

/* True when an operand must follow token t: then '{' begins an object and a keyword is a name. */
static bool operand_follows(const lexer *x, int t) {
  switch (t) {
  case TOK_IDENT: case TOK_DELIM: case TOK_STRING: case TOK_INTEGER: case TOK_DECIMAL: case TOK_LONGN: case TOK_DATE: case TOK_DATETIME:
  case TOK_TIME: case TOK_HL7: case TOK_UNIT: case TOK_TPL_END: case TOK_THIS: case TOK_INDEX: case TOK_TOTAL: case TOK_TRUE:
  case TOK_FALSE: case TOK_SORT: case TOK_ASC: case TOK_DESC: case TOK_QUEST:
  case TOK_RIGHT_PAREN: case TOK_RIGHT_BRACKET: case TOK_RIGHT_BRACE: case TOK_BLOCK_OPEN: case TOK_BLOCK_CLOSE:
  case TOK_ELSE: case TOK_PARALLEL: case TOK_ERROR: case TOK_ORDER: case TOK_ONCE: case TOK_ACK: return false;
  case TOK_STAR: case TOK_PLUS: { /* in the head of fn, action, workflow a cardinality: fn f(): T* { */
    bool head = x->decl == TOK_FN || x->decl == TOK_ACTION || x->decl == TOK_WORKFLOW;
    return !(head && x->depth == 0 && !x->bound);
  }
  case TOK_IN: case TOK_IS: case TOK_AS: case TOK_CONTAINS: return !x->operand; /* where an operand is expected it is one: a name */
  default:
    if (x->word == LEX_STMT && t != TOK_AFTER && x->in_head && x->depth == 0 && x->decl == TOK_WORKFLOW) return false; /* on failure skip { */
    return !(x->operand && x->word >= LEX_DECL);
  }
}

bool lex_column_one(const lexer *x, uint32_t off) { return off == 0 || x->src[off - 1] == '\n' || x->src[off - 1] == '\r'; }

void lex_after(parser *px, int t) {
  lexer *x = &px->lx;
  x->operand = operand_follows(x, t);
  if (t == TOK_EQ && x->depth == 0) x->bound = true;
  x->prev = t;
  x->prev_class = x->word;
  x->prev_end = (uint32_t)(x->cur - x->src);
  if (x->depth == 0 && x->word == LEX_DECL && x->first) {
    x->decl = t;
    x->bound = false;
    x->operand = true;
    x->in_head = true;
    x->errors_before = px->errors;
    x->swallowed = false;
  }
  if (t == TOK_BLOCK_CLOSE && x->depth == 0) x->in_head = false;
}

void lex_open(lexer *x, char kind, lex_role role) {
  if (x->depth < PARSE_MAX_BRACKETS) x->stack[x->depth++] = (lex_bracket){kind, (uint8_t)role, x->off};
  else x->too_deep = true;
}

/* A closer that does not fit the innermost bracket closes the nearest one that it fits, and all within; else it closes nothing. */
void lex_close(lexer *x, char kind) {
  int i = x->depth - 1;
  while (i >= 0 && x->stack[i].kind != kind) i--;
  x->closed_role = i >= 0 ? x->stack[i].role : LEX_BLOCK;
  x->mismatch = x->depth && i != x->depth - 1 ? x->stack[x->depth - 1].off + 1 : 0;
  if (i >= 0) x->depth = i;
}

bool lex_leave_template(lexer *x) {
  for (int i = 0; i < x->depth; i++)
    if (x->stack[i].kind == '"') {
      x->depth = i;
      return true;
    }
  return false;
}

lex_role lex_brace_role(const lexer *x) {
  switch (x->depth ? 0 : x->decl) {
  case TOK_PAYLOAD: case TOK_ENTITY: case TOK_SEGMENT: case TOK_MAP: case TOK_SENDER: return LEX_BODY;
  default: break;
  }
  int base;
  return lex_block(x, &base) == LEX_BODY ? LEX_BODY : LEX_BLOCK; /* a segment in a sender */
}

lex_role lex_block(const lexer *x, int *base) {
  for (int i = x->depth; i > 0; i--)
    if (x->stack[i - 1].kind == '{' && x->stack[i - 1].role != LEX_VALUE) {
      *base = i;
      return (lex_role)x->stack[i - 1].role;
    }
  *base = 0;
  return LEX_VALUE;
}

void lex_comment(parser *px, ast_comment_kind kind) {
  lexer *x = &px->lx;
  if (x->ahead) return;
  if (x->n_comments == x->cap_comments) {
    size_t cap = x->cap_comments ? x->cap_comments * 2 : 32;
    ast_comment *grown =
        (ast_comment *)arena_grow(px->a, x->comments, x->cap_comments * sizeof *grown, cap * sizeof *grown);
    if (!grown) {
      px->nomem = true;
      return;
    }
    x->comments = grown;
    x->cap_comments = cap;
  }
  const unsigned char *p = x->src + x->off; /* back over blanks and one line end: is the line above empty? */
  while (p > x->src && (p[-1] == ' ' || p[-1] == '\t')) p--;
  bool own_line = p == x->src || p[-1] == '\n' || p[-1] == '\r';
  bool blank = false;
  if (own_line && p > x->src) {
    if (*--p == '\n' && p > x->src && p[-1] == '\r') p--;
    while (p > x->src && (p[-1] == ' ' || p[-1] == '\t')) p--;
    blank = p > x->src && (p[-1] == '\n' || p[-1] == '\r');
  }
  uint32_t end = (uint32_t)(x->cur - x->src);
  x->comments[x->n_comments++] = (ast_comment){x->off, end, (uint8_t)kind, own_line, blank};
}
