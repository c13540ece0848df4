/* hdw.re - the lexer: one token a call, for host language and FHIRPath alike.
 *
 * Words become keywords by table (lex.c), brackets go on a stack (lex.c), templates are a mode: literal text until '{' or '"'. UTF-8 is
 * decoded by the automaton; surrogates and malformed bytes fall into the last rules. The source has a NUL behind it. */
#include <string.h>
#include "hdw.tab.h"
#include "parse_state.h"

static int literal_text(parser *px);
static int string_end(parser *px);
static int hl7_path(parser *px);
static bool comment_has_lines(const lexer *x);

/*!re2c
  re2c:define:YYCTYPE = "unsigned char";
  re2c:define:YYCURSOR = "x->cur";
  re2c:define:YYMARKER = "x->marker";
  re2c:define:YYLIMIT = "x->limit";
  re2c:yyfill:enable = 0;
  re2c:eof = 0;
  re2c:flags:8 = 1;

  digit    = [0-9];
  letter   = [A-Za-z_] | [\u00aa\u00b5\u00ba\u00c0-\u1fff] | [\u2071-\ud7ff] | [\uf900-\ufdff] | [\U00010000-\U0010ffff];
  escape   = "\\" [^];
  date     = digit{4} ("-" digit{2} ("-" digit{2})?)?;
  time     = digit{2} (":" digit{2} (":" digit{2} ("." digit+)?)?)?;
  zone     = "Z" | [+-] digit{2} ":" digit{2};
  seg      = [A-Z][A-Z][A-Z0-9] | "Z"[A-Z0-9]{2};
  newline  = "\r"? "\n" | "\r";
*/

/* Long because re2c wants every rule in one place. */
int lex_next(parser *px) {
  lexer *x = &px->lx;
  x->first = x->off == 0 && x->prev == 0;
  x->word = LEX_NONE;
next:
  x->off = (uint32_t)(x->cur - x->src);
  if (x->in_text) return literal_text(px);
  /*!re2c
    $ { return TOK_EOFT; }
    [ \t]+ { goto next; }
    newline {
      if (lex_leave_template(x)) { /* in a hole of a template */
        x->cur = x->src + x->off;
        return lex_bad(px, PARSE_E_TEMPLATE_OPEN, "this template is not closed on its line");
      }
      x->first = true;
      goto next;
    }
    "\ufeff" {
      if (x->off) return lex_bad(px, PARSE_E_BAD_CHAR, "a byte order mark in the middle of the text");
      goto next;
    }

    "///" ([^/\r\n] [^\r\n]*)? { lex_comment(px, AST_COMMENT_DOC); goto next; }
    "//" [^\r\n]* { lex_comment(px, AST_COMMENT_LINE); goto next; }
    "/*" ([^*] | "*"+ [^*/])* "*"+ "/" {
      lex_comment(px, AST_COMMENT_BLOCK);
      if (comment_has_lines(x)) {
        if (lex_leave_template(x)) return lex_bad(px, PARSE_E_TEMPLATE_OPEN, "this template is not closed on its line");
        x->first = true; /* what follows is the first of its line */
      }
      goto next;
    }
    "/*" {
      x->cur = x->limit;
      return lex_bad(px, PARSE_E_COMMENT_OPEN, "this comment is never closed");
    }

    "@" date { return TOK_DATE; }
    "@" date "T" (time zone?)? { return TOK_DATETIME; }
    "@T" time { return TOK_TIME; }
    "'" (escape | [^'\\])* "'" { return string_end(px); }
    "'" ("\\" [^\r\n] | [^'\\\r\n])* { return lex_bad(px, PARSE_E_STRING_OPEN, "this string is not closed on its line"); }
    "`" (escape | [^`\\])* "`" { return TOK_DELIM; }
    "\"" {
      if (!x->operand && x->depth && x->stack[x->depth - 1].kind == 'T') {
        x->depth--;
        lex_close(x, '"');
        return lex_bad(px, PARSE_E_TEMPLATE_OPEN, "the '{' in this template is not closed");
      }
      lex_open(x, '"', LEX_VALUE);
      x->in_text = true;
      return TOK_TPL_BEGIN;
    }
    seg "-" digit+ ("[" digit+ "]")? ("." digit+){0,2} { return hl7_path(px); }
    letter (letter | digit)* { return lex_word(px); }
    digit+ { return TOK_INTEGER; }
    digit+ "." digit+ { return TOK_DECIMAL; }
    digit+ "L" { return TOK_LONGN; }

    "$this" { return TOK_THIS; }
    "$index" { return TOK_INDEX; }
    "$total" { return TOK_TOTAL; }
    "<=" { return TOK_LE; }
    ">=" { return TOK_GE; }
    "!=" { return TOK_NE; }
    "!~" { return TOK_NEQV; }
    "+" { return TOK_PLUS; }
    "-" { return TOK_MINUS; }
    "*" { return TOK_STAR; }
    "/" { return TOK_SLASH; }
    "&" { return TOK_AMP; }
    "|" { return TOK_BAR; }
    "<" { return TOK_LT; }
    ">" { return TOK_GT; }
    "=" { return TOK_EQ; }
    "~" { return TOK_TILDE; }
    "." { return TOK_DOT; }
    "," { return TOK_COMMA; }
    ":" { return TOK_COLON; }
    "%" { return TOK_PERCENT; }
    "?" { return TOK_QUEST; }

    "(" { lex_open(x, '(', LEX_VALUE); return TOK_LEFT_PAREN; }
    "[" { lex_open(x, '[', LEX_VALUE); return TOK_LEFT_BRACKET; }
    "{" {
      bool object = x->operand;
      lex_open(x, '{', object ? LEX_VALUE : lex_brace_role(x));
      return object ? TOK_LEFT_BRACE : TOK_BLOCK_OPEN;
    }
    ")" { lex_close(x, '('); return TOK_RIGHT_PAREN; }
    "]" { lex_close(x, '['); return TOK_RIGHT_BRACKET; }
    "}" {
      if (x->depth && x->stack[x->depth - 1].kind == 'T') {
        x->depth--;
        x->in_text = true;
        return TOK_TPL_CLOSE;
      }
      lex_close(x, '{');
      return x->closed_role == LEX_VALUE ? TOK_RIGHT_BRACE : TOK_BLOCK_CLOSE;
    }

    "==" "="? { lex_habit(px, PARSE_E_EQUALITY, "equality is written '='", "="); return TOK_EQ; }
    "&&" { lex_habit(px, PARSE_E_AND, "write 'and'", "and"); return TOK_AND; }
    "||" { lex_habit(px, PARSE_E_OR, "write 'or'", "or"); return TOK_OR; }
    ";" { lex_habit(px, PARSE_E_SEMICOLON, "nothing needs a ';' here", ""); goto next; }
    "!" { return TOK_BANG; }
    "\u00a0" { lex_habit(px, PARSE_E_BAD_CHAR, "this is a no-break space", " "); goto next; }
    [\u2010-\u2015\u2212] { lex_habit(px, PARSE_E_BAD_CHAR, "this dash is no minus sign", "-"); return TOK_MINUS; }
    [\u2018\u2019\u201c\u201d] { return lex_bad(px, PARSE_E_BAD_CHAR, "typographic quotes mean nothing here; strings are '...', templates \"...\""); }
    [\x21-\ud7ff\ue000-\U0010ffff] { return lex_bad(px, PARSE_E_BAD_CHAR, "this character means nothing here"); }
    [\x00-\x1f\x7f] { return lex_bad(px, PARSE_E_BAD_CHAR, "a control character means nothing here"); }
    * { return lex_bad(px, PARSE_E_BAD_CHAR, "this is not valid UTF-8"); }
  */
}

/* Literal text of a template, up to a hole, its end, or the end of its line. */
static int literal_text(parser *px) {
  lexer *x = &px->lx;
  x->in_text = false;
  /*!re2c
    $ { lex_leave_template(x); return lex_bad(px, PARSE_E_TEMPLATE_OPEN, "this template is not closed on its line"); }
    ("\\" [^\r\n] | [^"\\{}\r\n\x00])+ { x->in_text = true; return TOK_TPL_TEXT; }
    "{" { lex_open(x, 'T', LEX_VALUE); return TOK_TPL_OPEN; }
    "\"" { lex_close(x, '"'); return TOK_TPL_END; }
    "}" {
      x->in_text = true;
      lex_habit(px, PARSE_E_TEMPLATE_BRACE, "write \\} for a brace in a template", "\\}");
      return TOK_TPL_TEXT;
    }
    * {
      x->cur = x->src + x->off;
      lex_leave_template(x);
      if (x->cur == x->limit || *x->cur == '\n' || *x->cur == '\r' || *x->cur == '\\')
        return lex_bad(px, PARSE_E_TEMPLATE_OPEN, "this template is not closed on its line");
      x->cur++;
      return lex_bad(px, PARSE_E_BAD_CHAR, "a NUL or invalid UTF-8 in a template");
    }
  */
}

/* A string may span lines in FHIRPath; in files it ends on its line, so that a missing quote costs one error. */
static int string_end(parser *px) {
  lexer *x = &px->lx;
  if (x->multiline) return TOK_STRING;
  size_t n = (size_t)(x->cur - x->src) - x->off;
  const unsigned char *lf = (const unsigned char *)memchr(x->src + x->off, '\n', n);
  const unsigned char *cr = (const unsigned char *)memchr(x->src + x->off, '\r', n);
  if (!lf && !cr) return TOK_STRING;
  x->cur = !lf || (cr && cr < lf) ? cr : lf;
  return lex_bad(px, PARSE_E_STRING_OPEN, "this string is not closed on its line");
}

/* PID-3 is a path, but in strict FHIRPath a subtraction of two terms. */
static int hl7_path(parser *px) {
  lexer *x = &px->lx;
  if (!x->fhirpath) return TOK_HL7;
  x->cur = x->src + x->off + 3;
  return lex_word(px);
}

static bool comment_has_lines(const lexer *x) {
  size_t n = (size_t)(x->cur - x->src) - x->off;
  return memchr(x->src + x->off, '\n', n) || memchr(x->src + x->off, '\r', n);
}
