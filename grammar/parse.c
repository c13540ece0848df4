/* parse.c - the driver: tokens from the lexer into the push parser, and what to do after a mistake.
 *
 * After a report the driver is in panic mode: it drops tokens until one at which reading can go on, and only then pushes again. Such
 * places are: a statement keyword first on its line, an entry first on its line in a body, the '}' of a block, the '{' behind a broken head,
 * a declaration keyword in column 1. A declaration in column 1 inside a block means that a '}' is missing: the driver says so
 * and closes the open blocks. This gives one report for one mistake (tests/lang/syntax/mutate.py measures it). */
#include <string.h>
#include "hdw.tab.h"
#include "parse_state.h"

typedef struct driver {
  parser *px;
  hdw_pstate *ps;
  int status;               /* of the last push */
  bool started;             /* something of the file has been pushed */
} driver;

/* A token with what recovery wants to know about it. */
typedef struct look {
  int t;
  parse_span at;
  lex_role block;           /* what the innermost block or body is */
  int base;                 /* brackets up to and with its '{' */
  bool declares;            /* a declaration keyword in column 1 */
  bool begins;              /* a keyword first on its line that begins an entry of the block, body or file around */
} look;

/* ---- nodes ---- */

static void too_deep(parser *px, parse_span at) {
  if (!px->too_deep) parse_error(px, PARSE_E_DEPTH, at, "this is nested too deeply");
  px->too_deep = true;
}

static void link_child(parser *px, ast *n, ast *child) {
  if (n->last) n->last->next = child;
  else n->first = child;
  n->last = child;
  n->n++;
  if (child->depth >= n->depth) {
    n->depth = (uint16_t)(child->depth + 1);
    if (n->depth > AST_MAX_DEPTH) too_deep(px, (parse_span){n->off, n->end});
  }
}

ast *parse_node(parser *px, ast_kind kind, parse_span at, unsigned n, ast *const *children) {
  ast *node = (ast *)arena_alloc(px->a, sizeof *node);
  if (!node) {
    px->nomem = true;
    return NULL;
  }
  *node = (ast){.kind = (uint8_t)kind, .depth = 1, .off = at.off, .end = at.end, .id = px->nodes++};
  for (unsigned i = 0; i < n; i++)
    if (children[i]) link_child(px, node, children[i]);
  return node;
}

ast *parse_append(parser *px, ast *list, ast *child) {
  if (!list || !child) return list;
  link_child(px, list, child);
  if (child->end > list->end) list->end = child->end;
  return list;
}

ast *parse_cover(ast *n, parse_span at) {
  if (n) n->off = at.off, n->end = at.end;
  return n;
}

/* f(x) is CALL(f, args); a.f(x) is DOT(a, CALL(f, args)) also where the grammar reads a.f first. */
ast *parse_call(parser *px, parse_span at, ast *callee, ast *args) {
  if (!callee || !args) return NULL;
  if (callee->kind != AST_DOT) return parse_node(px, AST_CALL, at, 2, (ast *const[]){callee, args});
  ast *left = callee->first, *member = left->next;
  left->next = NULL;
  ast *call = parse_node(px, AST_CALL, (parse_span){member->off, at.end}, 2, (ast *const[]){member, args});
  return parse_node(px, AST_DOT, at, 2, (ast *const[]){left, call});
}

/* !x is read as x, with the fix x.not(). */
ast *parse_not(parser *px, parse_span bang, parse_span at, ast *operand) {
  parse_report r = {.code = PARSE_E_NOT, .off = bang.off, .end = bang.end, .text = "negation is written x.not()"};
  bool sign = operand && (operand->kind == AST_NEG || operand->kind == AST_POS) && !(operand->flags & AST_PARENS);
  if (!sign) {
    r.help = "write .not() behind it";
    r.n_edits = 2;
    r.edits[0] = (parse_edit){bang.off, bang.end, ""};
    r.edits[1] = (parse_edit){at.end, at.end, ".not()"};
  }
  parse_send(px, &r);
  return operand;
}

void parse_edition(parser *px, ast *number) {
  px->edition = 1;
  if (!number) return;
  if (ast_name_is(px->src, number, "1")) return;
  parse_report r = {.code = PARSE_E_EDITION, .off = number->off, .end = number->end, .help = "write 1", .n_edits = 1};
  r.text = parse_text(px, "this compiler knows edition 1 of the language only");
  r.edits[0] = (parse_edit){number->off, number->end, "1"};
  parse_send(px, &r);
}

void parse_no_edition(parser *px) {
  if (px->errors) return;
  uint32_t off = px->len >= 3 && memcmp(px->src, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
  parse_report r = {.code = PARSE_E_EDITION, .off = off, .end = off, .help = "write 'hdw 1' as the first line", .n_edits = 1};
  r.text = "the first line of a file is its edition, 'hdw 1'";
  r.edits[0] = (parse_edit){off, off, "hdw 1\n"};
  parse_send(px, &r);
}

void parse_case_outside(parser *px, parse_span at) {
  if (px->errors > px->lx.errors_before) return; /* the head of its match is broken */
  parse_error(px, PARSE_E_CASE, (parse_span){at.off, at.off + 4}, "a case with a block belongs into a match");
}

static ast *leaf(parser *px, int t, parse_span at) {
  ast_kind kind;
  switch (t) {
  case TOK_STRING: kind = AST_STRING; break;
  case TOK_INTEGER: kind = AST_INT; break;
  case TOK_DECIMAL: kind = AST_DEC; break;
  case TOK_LONGN: kind = AST_LONG; break;
  case TOK_DATE: kind = AST_DATE; break;
  case TOK_DATETIME: kind = AST_DATETIME; break;
  case TOK_TIME: kind = AST_TIME; break;
  case TOK_HL7: kind = AST_HL7; break;
  case TOK_THIS: kind = AST_THIS; break;
  case TOK_INDEX: kind = AST_INDEX; break;
  case TOK_TOTAL: kind = AST_TOTAL; break;
  case TOK_TRUE: kind = AST_TRUE; break;
  case TOK_FALSE: kind = AST_FALSE; break;
  case TOK_UNIT: kind = AST_UNIT; break;
  case TOK_TPL_TEXT: kind = AST_TPL_TEXT; break;
  case TOK_IDENT: case TOK_DELIM: kind = AST_NAME; break;
  default:
    if (px->lx.word == LEX_NONE) return NULL; /* punctuation */
    kind = AST_NAME;
  }
  return parse_node(px, kind, at, 0, NULL);
}

/* ---- pushing ---- */

static void push(driver *d, int t, ast *value, parse_span at) {
  d->status = hdw_push_parse(d->ps, t, &value, &at, d->px);
  if (d->px->too_deep || d->px->nomem) d->status = 2;
}

/* An error that the parser does not report, before the byte off. */
static void push_error(driver *d, uint32_t off) {
  d->px->panic = true;
  push(d, TOK_HDW_error, NULL, (parse_span){off, off});
  d->px->panic = false;
}

/* Closes all open blocks. Where the parser cannot take the '}' it repairs silently. */
static void close_blocks(driver *d, parse_span at) {
  lexer *x = &d->px->lx;
  d->px->panic = true;
  for (int i = x->depth - 1; i >= 0 && d->status == YYPUSH_MORE; i--)
    if (x->stack[i].kind == '{' && x->stack[i].role != LEX_VALUE) push(d, TOK_BLOCK_CLOSE, NULL, (parse_span){at.off, at.off});
  x->depth = 0;
  x->in_head = false;
  d->px->panic = false;
}

static bool is_name(const parser *px, int t) {
  return (t == TOK_IDENT || t == TOK_DELIM) || (px->lx.operand && px->lx.word >= LEX_DECL);
}

static void keep_token(parser *px, const look *k) {
  if (!px->opt->keep_tokens || k->t == TOK_HDW_error || k->t == TOK_EOFT) return;
  if (px->n_tokens == px->cap_tokens) {
    size_t cap = px->cap_tokens ? px->cap_tokens * 2 : 256;
    parse_token *grown = (parse_token *)arena_grow(px->a, px->tokens, px->cap_tokens * sizeof *grown, cap * sizeof *grown);
    if (!grown) {
      px->nomem = true;
      return;
    }
    px->tokens = grown;
    px->cap_tokens = cap;
  }
  px->tokens[px->n_tokens++] = (parse_token){k->at.off, k->at.end, (int16_t)k->t, px->lx.first, is_name(px, k->t), UINT32_MAX};
}

/* ---- recovery ---- */

static look look_at(parser *px, int t) {
  lexer *x = &px->lx;
  look k = {.t = t, .at = {x->off, (uint32_t)(x->cur - x->src)}};
  k.block = lex_block(x, &k.base);
  if (!x->first || x->word == LEX_NONE) return k;
  k.declares = x->word == LEX_DECL && lex_column_one(x, x->off);
  switch (k.block) {
  case LEX_BLOCK: k.begins = x->word == LEX_STMT; break;
  case LEX_BODY: k.begins = t == TOK_MATCH || t == TOK_REVIEW || t == TOK_SEGMENT; break;
  case LEX_VALUE: k.begins = k.declares || (t == TOK_LET && lex_column_one(x, x->off)); break;
  }
  return k;
}

/* A '{' behind a broken head: what was left open in the head is closed. The block of a head is read; a body is skipped as a whole, and so
 * is a '{' that no head explains. */
static bool resume_at_brace(lexer *x) {
  int below = x->depth - 1;
  while (below > 0 && (x->stack[below - 1].kind != '{' || x->stack[below - 1].role == LEX_VALUE)) below--;
  x->stack[below] = x->stack[x->depth - 1];
  x->depth = below;
  lex_role role = lex_brace_role(x);
  bool read = role == LEX_BLOCK && (below > 0 || x->in_head);
  x->stack[below].role = (uint8_t)(read ? LEX_BLOCK : LEX_VALUE);
  x->depth = below + 1;
  return read;
}

/* In panic mode: can reading go on at this token? */
static bool resume(driver *d, const look *k) {
  lexer *x = &d->px->lx;
  if (k->t == TOK_BLOCK_OPEN) return resume_at_brace(x);
  if (k->t == TOK_BLOCK_CLOSE) return true;
  if (k->begins) {
    x->depth = k->base;
    return true;
  }
  if (x->first && k->block == LEX_BODY && x->depth == k->base && k->t == TOK_IDENT) return true;
  return k->declares || (k->t == TOK_HDW && x->first && !d->started);
}

/* A statement begins on its own line where an operand is missing: `let x =`. (A name would be followed by something else.) */
static bool operand_missing(const parser *px, const look *k) {
  const lexer *x = &px->lx;
  if (!k->begins || !x->operand || x->prev == 0 || x->prev == TOK_DOT || x->prev == TOK_BLOCK_OPEN || x->prev_class >= LEX_DECL) return false;
  if (x->depth && x->stack[x->depth - 1].role == LEX_VALUE) return false;
  return px->src[k->at.end] == ' ' && px->src[k->at.end + 1] != '=';
}

static void report_missing_operand(driver *d) {
  parser *px = d->px;
  parse_span at = {px->lx.prev_end, px->lx.prev_end};
  parse_error(px, PARSE_E_MISSING_EXPR, at, "an expression is missing here");
  push_error(d, at.off);
}

/* The bracket at off is never closed. */
static void report_unclosed(parser *px, parse_span at, const char *text, uint32_t off) {
  parse_report r = {.code = PARSE_E_UNCLOSED, .off = at.off, .end = at.end, .text = text};
  r.label = "before this";
  r.other_off = off;
  r.other_end = off + 1;
  r.other_label = "opened here and never closed";
  parse_send(px, &r);
}

static void declaration_in_block(driver *d, const look *k) {
  lexer *x = &d->px->lx;
  int base;
  lex_block(x, &base);
  uint32_t off = x->stack[base ? base - 1 : 0].off;
  if (!x->swallowed)
    report_unclosed(d->px, k->at, parse_text(d->px, "a declaration begins here, but a '%c' is still open", d->px->src[off]), off);
  if (x->stack[x->depth - 1].role == LEX_VALUE) push_error(d, k->at.off);
  close_blocks(d, k->at);
}

/* The end of a file: open blocks are closed, so that what they hold is in the tree. */
static void end_of_file(driver *d, const look *k) {
  parser *px = d->px;
  lexer *x = &px->lx;
  if (x->depth) {
    int i = x->depth - 1;
    while (i > 0 && x->stack[i].kind == '"') i--;
    if (!px->panic && !x->swallowed) {
      uint32_t off = x->stack[i].off;
      report_unclosed(px, k->at, parse_text(px, "the text ends, but a '%c' is still open", px->src[off]), off);
    }
    close_blocks(d, k->at);
    px->panic = true;
  }
}

/* The first tokens of a file: nothing but `hdw N` or a declaration can begin it, else the parser could not recover. */
static bool begin_file(driver *d, const look *k) {
  parser *px = d->px;
  lexer *x = &px->lx;
  if (!d->started) {
    if (k->t == TOK_EOFT || k->t == TOK_HDW || k->t == TOK_LET || x->word == LEX_DECL) {
      if (!px->panic || k->declares || k->t == TOK_HDW || k->t == TOK_EOFT) {
        px->panic = px->panic && k->t == TOK_EOFT;
        d->started = true;
        return true;
      }
    }
    if (!px->panic) parse_error(px, PARSE_E_UNEXPECTED, k->at, "unexpected text; a file begins with 'hdw 1'");
    px->panic = true;
    return false;
  }
  if (x->prev == TOK_HDW && x->prev_class == LEX_HEAD && px->edition == 0 && k->t != TOK_INTEGER) {
    if (!px->panic) parse_error(px, PARSE_E_EDITION, k->at, "the edition is missing: the first line is 'hdw 1'");
    push(d, TOK_INTEGER, NULL, k->at);
    px->edition = 1;
    px->panic = !k->declares && k->t != TOK_EOFT;
  }
  return true;
}

/* ---- wrong habits that more than one token tells ---- */

enum { TERNARY_MAX_TOKENS = 200 };

/* Reads on from a '?' to the end of `? a : b`. On success the lexer stands before what follows and the report has its edits. */
static bool read_ternary(parser *px, parse_report *r) {
  lexer *x = &px->lx;
  int depth = x->depth;
  uint32_t question_end = (uint32_t)(x->cur - x->src);
  uint32_t colon = 0, a_end = 0, colon_end = 0;
  x->prev = TOK_QUEST;
  x->operand = true;
  for (int i = 0; i < TERNARY_MAX_TOKENS; i++) {
    lexer before = *x;
    int t = lex_next(px);
    bool ends = x->depth < depth || t == TOK_EOFT || (x->depth == depth && (t == TOK_COMMA || x->first)) || t == TOK_BLOCK_OPEN ||
                t == TOK_BLOCK_CLOSE || t == TOK_TPL_CLOSE;
    if (t == TOK_HDW_error || t == TOK_QUEST || (ends && !colon)) return false;
    if (ends) {
      if (before.prev_end == colon_end) return false;
      r->edits[1] = (parse_edit){r->edits[1].off, question_end, ","};
      r->edits[2] = (parse_edit){a_end, colon_end, ","};
      r->edits[3] = (parse_edit){before.prev_end, before.prev_end, ")"};
      r->n_edits = 4;
      *x = before;
      return true;
    }
    if (t == TOK_COLON && x->depth == depth) {
      if (colon || before.prev_end == question_end || before.prev == TOK_QUEST) return false;
      colon = 1;
      a_end = before.prev_end;
      colon_end = (uint32_t)(x->cur - x->src);
    }
    lex_after(px, t);
  }
  return false;
}

/* c ? a : b: reported with iif(c, a, b) as fix; the tree gets an AST_ERROR. False when it is none. */
static bool ternary(driver *d, const look *k) {
  parser *px = d->px;
  if (k->t != TOK_QUEST || hdw_accepts(d->ps, TOK_QUEST) || !hdw_accepts(d->ps, TOK_TERNARY)) return false;
  uint32_t start = hdw_expression_start(d->ps);
  parse_report r = {.code = PARSE_E_TERNARY, .off = k->at.off, .end = k->at.end, .help = "write iif(condition, a, b)"};
  r.text = "there is no '? :'; choose with iif(condition, a, b)";
  r.edits[0] = (parse_edit){start, start, "iif("};
  r.edits[1].off = px->lx.prev_end;
  lexer *saved = (lexer *)arena_alloc(px->a, sizeof *saved);
  if (!saved || start == UINT32_MAX) return false;
  *saved = px->lx;
  px->lx.ahead = true;
  bool ok = read_ternary(px, &r);
  if (!ok) px->lx = *saved;
  px->lx.ahead = false;
  if (!ok) return false;
  parse_send(px, &r);
  push(d, TOK_TERNARY, NULL, (parse_span){k->at.off, r.edits[3].end});
  return true;
}

/* null where an operand stands is reported; the tree gets an AST_ERROR, so that nobody looks for a thing of that name. */
static bool is_null(const parser *px, const look *k) {
  const lexer *x = &px->lx;
  if (k->t != TOK_IDENT || px->opt->expression || !x->operand || x->prev == TOK_DOT || k->at.end - k->at.off != 4) return false;
  if (memcmp(px->src + k->at.off, "null", 4) != 0) return false;
  const char *p = px->src + k->at.end;
  while (*p == ' ') p++;
  if (*p == ':' || *p == '(') return false;
  return x->prev_class < LEX_DECL || x->prev == TOK_RETURN || x->prev == TOK_YIELD || x->prev == TOK_USE || x->prev == TOK_EXPECT;
}

/* ---- the loop ---- */

static void take(driver *d, const look *k) {
  parser *px = d->px;
  lexer *x = &px->lx;
  ast *value = leaf(px, k->t, k->at);
  if (value && is_null(px, k)) {
    value->kind = AST_ERROR;
    lex_habit(px, PARSE_E_NULL, "there is no null: what is missing is empty, {}", "{}");
  }
  keep_token(px, k);
  bool calm = !px->panic;
  push(d, k->t, value, k->at);
  if (calm && px->panic) { /* the token itself may be a place to go on at: the parser has taken it after its repair */
    if (k->t == TOK_BLOCK_CLOSE) px->panic = false;
    if (k->begins) {
      px->panic = false;
      while (x->depth && x->stack[x->depth - 1].role == LEX_VALUE) x->depth--;
    }
  }
  lex_after(px, k->t);
}

static void run(driver *d) {
  parser *px = d->px;
  lexer *x = &px->lx;
  bool file = !px->opt->expression;
  push(d, file ? TOK_START_FILE : TOK_START_EXPR, NULL, (parse_span){0, 0});
  while (d->status == YYPUSH_MORE) {
    int t = lex_next(px);
    look k = look_at(px, t);
    if (x->too_deep) {
      too_deep(px, k.at);
      return;
    }
    if (file && !begin_file(d, &k)) {
      lex_after(px, t);
      if (t == TOK_EOFT) return;
      continue;
    }
    if (px->panic && t != TOK_HDW_error && t != TOK_EOFT) {
      if (!resume(d, &k)) {
        lex_after(px, t);
        continue;
      }
      px->panic = false;
    } else if (!px->panic && operand_missing(px, &k)) {
      report_missing_operand(d);
    }
    if (file && x->depth && k.declares && d->status == YYPUSH_MORE) declaration_in_block(d, &k);
    if (file && t == TOK_EOFT && d->status == YYPUSH_MORE) end_of_file(d, &k);
    if (d->status != YYPUSH_MORE) break;
    if (!px->panic && ternary(d, &k)) continue;
    take(d, &k);
  }
}

static void match_brackets(parser *px) {
  uint32_t open[PARSE_MAX_BRACKETS];
  int depth = 0;
  for (uint32_t i = 0; i < px->n_tokens; i++) {
    switch (px->tokens[i].tok) {
    case TOK_LEFT_PAREN: case TOK_LEFT_BRACKET: case TOK_LEFT_BRACE: case TOK_BLOCK_OPEN: case TOK_TPL_BEGIN: case TOK_TPL_OPEN:
      if (depth == PARSE_MAX_BRACKETS) return;
      open[depth++] = i;
      break;
    case TOK_RIGHT_PAREN: case TOK_RIGHT_BRACKET: case TOK_RIGHT_BRACE: case TOK_BLOCK_CLOSE: case TOK_TPL_END: case TOK_TPL_CLOSE:
      if (depth == 0) return;
      px->tokens[i].match = open[--depth];
      px->tokens[open[depth]].match = i;
      break;
    default: break;
    }
  }
}

hdw_status parse_source(arena *a, const char *src, size_t len, const parse_options *opt, parse_sink *diag, parse_result *out) {
  memset(out, 0, sizeof *out);
  parser *px = (parser *)arena_alloc(a, sizeof *px);
  if (!px) return HDW_E_NOMEM;
  memset(px, 0, offsetof(parser, lx));
  memset(&px->root, 0, sizeof *px - offsetof(parser, root));
  px->a = a;
  px->sink = diag;
  px->opt = opt;
  if (len > PARSE_MAX_BYTES) {
    parse_error(px, PARSE_E_BIG, (parse_span){0, 0}, "the source is longer than %d MiB", PARSE_MAX_BYTES >> 20);
    out->errors = px->errors;
    return HDW_E_LIMIT;
  }
  px->src = arena_dup(a, src, len);
  px->len = len;
  driver d = {.px = px, .ps = hdw_pstate_in(a)};
  if (!px->src || !d.ps) return HDW_E_NOMEM;
  lex_begin(&px->lx, px->src, len, opt);
  run(&d);
  if (opt->keep_tokens) match_brackets(px);
  *out = (parse_result){.root = px->root, .nodes = px->nodes, .errors = px->errors, .edition = px->edition};
  out->comments = px->lx.comments;
  out->n_comments = px->lx.n_comments;
  out->tokens = px->tokens;
  out->n_tokens = px->n_tokens;
  if (px->nomem) return HDW_E_NOMEM;
  return px->errors ? HDW_E_SYNTAX : HDW_OK;
}

hdw_status parse_file(arena *a, const char *src, size_t len, parse_sink *diag, parse_result *out) {
  return parse_source(a, src, len, &(parse_options){0}, diag, out);
}

hdw_status parse_expr(arena *a, const char *src, size_t len, bool fhirpath_strict, parse_sink *diag, parse_result *out) {
  return parse_source(a, src, len, &(parse_options){.expression = true, .fhirpath = fhirpath_strict}, diag, out);
}
