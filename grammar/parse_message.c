/* parse_message.c - what the parser says about mistakes. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "hdw.tab.h"
#include "parse_state.h"

enum { TEXT_MAX = 400 };

static __attribute__((format(printf, 2, 0))) const char *format(parser *px, const char *fmt, va_list args) {
  char text[TEXT_MAX];
  int n = vsnprintf(text, sizeof text, fmt, args);
  if (n < 0) n = 0;
  if (n >= TEXT_MAX) {
    n = TEXT_MAX - 1;
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--; /* not within a character */
  }
  const char *copy = arena_dup(px->a, text, (size_t)n);
  if (!copy) px->nomem = true;
  return copy ? copy : "";
}

const char *parse_text(parser *px, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *text = format(px, fmt, args);
  va_end(args);
  return text;
}

void parse_send(parser *px, parse_report *r) {
  px->errors++;
  px->error_off = r->off;
  if (px->sink) px->sink->report(px->sink, r);
}

void parse_error(parser *px, parse_code code, parse_span at, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  parse_report r = {.code = code, .off = at.off, .end = at.end, .text = format(px, fmt, args)};
  va_end(args);
  parse_send(px, &r);
}

bool parse_same_line(const parser *px, uint32_t a, uint32_t b) {
  if (a > b) return parse_same_line(px, b, a);
  return !memchr(px->src + a, '\n', b - a) && !memchr(px->src + a, '\r', b - a);
}

static parse_span here(const lexer *x) { return (parse_span){x->off, (uint32_t)(x->cur - x->src)}; }

/* Text that was read as part of a string may have held the '}' of a block: then nothing more is said about that block. */
static void note_swallowed(parser *px, uint32_t off) {
  int open = 0;
  for (const char *p = px->src + off; *p && *p != '\n' && *p != '\r'; p++) open += (*p == '{') - (*p == '}');
  if (open < 0) px->lx.swallowed = true;
}

int lex_bad(parser *px, parse_code code, const char *text) {
  bool repeated = px->errors && parse_same_line(px, px->error_off, px->lx.off);
  if (!px->lx.ahead) {
    if (!px->panic && !repeated) parse_error(px, code, here(&px->lx), "%s", text);
    if (code == PARSE_E_STRING_OPEN || code == PARSE_E_TEMPLATE_OPEN) note_swallowed(px, px->lx.off);
    px->error_off = px->lx.off;
    px->panic = true;
  }
  return TOK_HDW_error;
}

void lex_habit(parser *px, parse_code code, const char *text, const char *replacement) {
  if (px->lx.ahead || px->panic) return;
  parse_span at = here(&px->lx);
  parse_report r = {.code = code, .off = at.off, .end = at.end, .text = text, .n_edits = 1};
  r.help = *replacement == 0 ? "leave it out" : *replacement == ' ' ? "write a blank" : parse_text(px, "write '%s'", replacement);
  r.edits[0] = (parse_edit){at.off, at.end, replacement};
  parse_send(px, &r);
}

static bool has(const int *tokens, int n, int token) {
  for (int i = 0; i < n; i++)
    if (tokens[i] == token) return true;
  return false;
}

/* "'crm'" or, when the token is long or empty, what kind of token it is. */
static const char *found_text(parser *px, parse_span at, int token, const char *name) {
  uint32_t n = at.end - at.off;
  if (token == TOK_EOFT) return "the end of the text";
  if (n == 0 || n >= 30 || memchr(px->src + at.off, '\n', n)) return name;
  if (token == TOK_STRING) return parse_text(px, "the string %.*s", (int)n, px->src + at.off);
  return parse_text(px, "'%.*s'", (int)n, px->src + at.off);
}

/* The bracket that an unexpected token leaves open: what a closer did not fit, else the innermost ( or [. UINT32_MAX = none. */
static uint32_t open_bracket(const lexer *x, int token) {
  bool closer = token == TOK_RIGHT_PAREN || token == TOK_RIGHT_BRACKET || token == TOK_RIGHT_BRACE || token == TOK_BLOCK_CLOSE;
  if (closer && x->mismatch) return x->mismatch - 1;
  for (int i = x->depth - 1; i >= 0; i--)
    if (x->stack[i].kind == '(' || x->stack[i].kind == '[') return x->stack[i].off;
  return UINT32_MAX;
}

static bool is_word(int t) {
  return t == TOK_DELIM || (t >= TOK_HDW && t <= TOK_REVIEW) || t == TOK_SORT || t == TOK_ASC || t == TOK_DESC || t == TOK_IN || t == TOK_IS ||
         t == TOK_AS || t == TOK_CONTAINS;
}

static bool is_operator(int t) {
  return (t >= TOK_DIV && t <= TOK_IMPLIES) || (t >= TOK_LE && t <= TOK_DOT) || t == TOK_LEFT_BRACKET || t == TOK_ASC || t == TOK_DESC ||
         t == TOK_TERNARY;
}

/* A token as a reader of the message knows it. */
static const char *token_text(parser *px, int t) {
  switch (t) {
  case TOK_EOFT: return "the end of the text";
  case TOK_IDENT: return "a name";
  case TOK_STRING: return "a string";
  case TOK_INTEGER: case TOK_DECIMAL: return "a number";
  case TOK_BLOCK_OPEN: return "'{'";
  case TOK_BLOCK_CLOSE: case TOK_TPL_CLOSE: return "'}'";
  case TOK_HL7: return "an HL7 path";
  case TOK_TPL_BEGIN: return "a template";
  case TOK_OUTCOME: return "'reject'";
  default: return parse_text(px, "'%s'", hdw_token_name(t));
  }
}

enum { NAMED_MAX = 5, LIST_MAX = 160 };

/* "an operator, ',' or '}'": expected tokens one by one, operators and words that may be names as groups. */
static const char *list_of(parser *px, const int *e, int n) {
  const char *items[NAMED_MAX];
  int k = 0;
  bool operators = has(e, n, TOK_PLUS) && has(e, n, TOK_AND), names = has(e, n, TOK_IDENT);
  if (operators) items[k++] = "an operator";
  for (int i = 0; i < n; i++) {
    if ((operators && is_operator(e[i])) || (names && is_word(e[i])) || e[i] == TOK_DECIMAL || e[i] == TOK_UNIT) continue;
    if (k == NAMED_MAX) {
      items[k - 1] = "...";
      break;
    }
    items[k++] = token_text(px, e[i]);
  }
  char text[LIST_MAX] = "";
  size_t len = 0;
  for (int i = 0; i < k && len < LIST_MAX - 40; i++) {
    const char *between = i == 0 ? "" : i == k - 1 && items[i][0] != '.' ? " or " : items[i][0] == '.' ? " " : ", ";
    len += (size_t)snprintf(text + len, LIST_MAX - len, "%s%s", between, items[i]);
  }
  return parse_text(px, "expected %s", text);
}

/* What could have stood there, as a person would say it. */
static const char *expectation(parser *px, const int *e, int n, uint32_t open) {
  bool closer = has(e, n, TOK_RIGHT_PAREN) || has(e, n, TOK_RIGHT_BRACKET);
  if (has(e, n, TOK_THIS)) return "expected an expression";
  if (has(e, n, TOK_PLUS) && closer && open != UINT32_MAX)
    return parse_text(px, "expected an operator, ',' or the end of this '%c'", px->src[open]);
  if (has(e, n, TOK_STEP) && has(e, n, TOK_DROP) && !has(e, n, TOK_IDENT)) {
    return has(e, n, TOK_PLUS) ? "expected an operator or a statement (let, step, if, for, return ...)"
                               : "expected a statement (let, step, if, for, return ...)";
  }
  if (has(e, n, TOK_WORKFLOW) && !has(e, n, TOK_IDENT)) return "expected a declaration (workflow, payload, connection ...)";
  if (has(e, n, TOK_COLON) && n < 4) return "expected ':'";
  return list_of(px, e, n);
}

void parse_unexpected(parser *px, parse_span at, int token, const char *token_name, const int *expected, int n) {
  lexer *x = &px->lx;
  if (px->panic) return;
  px->panic = true;
  bool between = x->depth == 0 && has(expected, n, TOK_WORKFLOW) && !has(expected, n, TOK_IDENT);
  bool broken = px->errors > x->errors_before; /* this declaration has an error already */
  if (broken && (between || token == TOK_ELSE)) return; /* what is left of it; an else behind a broken if or match */
  if (broken && parse_same_line(px, px->error_off, at.off)) return;
  if (token == TOK_STRING || token == TOK_TPL_BEGIN) note_swallowed(px, at.off);

  uint32_t open = open_bracket(x, token);
  bool end = token == TOK_EOFT;
  if (end && open == UINT32_MAX && x->depth) open = x->stack[x->depth - 1].off;
  const char *what = expectation(px, expected, n, open);
  if (token == TOK_TPL_BEGIN && n > 0 && has(expected, n, TOK_STEP)) what = "a statement begins with let, step, if ...";
  if (token == TOK_QUEST) what = "there is no '? :'; write iif(condition, a, b)";
  parse_report r = {.code = end && open != UINT32_MAX ? PARSE_E_UNCLOSED : token == TOK_QUEST ? PARSE_E_TERNARY : PARSE_E_UNEXPECTED,
                    .off = at.off,
                    .end = at.end,
                    .label = what};
  r.text = parse_text(px, "unexpected %s; %s", found_text(px, at, token, token_name), what);
  bool names_bracket = open != UINT32_MAX && (end || strstr(what, "the end of this") != NULL);
  if (names_bracket) {
    r.other_off = open;
    r.other_end = open + 1;
    r.other_label = end ? "opened here and never closed" : "opened here";
  }
  parse_send(px, &r);
}
