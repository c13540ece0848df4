/* fmt_items.c - tokens and comments as the formatter wants them: what each is in the tree, and the blanks before it. */
#include <string.h>
#include "ast.h"
#include "fmt_int.h"
#include "hdw.tab.h"

typedef struct builder {
  const parse_result *r;
  fmt_item *v;
  uint32_t *item_of;        /* item of each token */
} builder;

/* ---- the tree ---- */

/* The last token that begins at or before off. */
static uint32_t token_at(const builder *b, uint32_t off) {
  size_t lo = 0, hi = b->r->n_tokens;
  while (hi - lo > 1) {
    size_t mid = lo + (hi - lo) / 2;
    if (b->r->tokens[mid].off <= off) lo = mid;
    else hi = mid;
  }
  return (uint32_t)lo;
}

static int tok(const builder *b, uint32_t t) { return t < b->r->n_tokens ? b->r->tokens[t].tok : TOK_EOFT; }

static void flag(builder *b, uint32_t t, unsigned flags) {
  if (t < b->r->n_tokens) b->v[b->item_of[t]].flags |= (uint16_t)flags;
}

static void flag_first(builder *b, const ast *n, unsigned flags) { flag(b, token_at(b, n->off), flags); }

static void set_group(builder *b, const ast *n, fmt_group group) { b->v[b->item_of[token_at(b, n->off)]].group = (uint8_t)group; }

static void set_column(builder *b, const ast *n, unsigned column) { b->v[b->item_of[token_at(b, n->off)]].column = (uint8_t)column; }

/* The token behind n's last one. */
static uint32_t token_behind(const builder *b, const ast *n) { return token_at(b, n->end - 1) + 1; }

/* `key: value`: the value begins a column. */
static void pad_value(builder *b, const ast *key) { flag(b, token_behind(b, key) + 1, FMT_PAD); }

/* `something = value`: the '=' begins a column. */
static void pad_equals(builder *b, const ast *before) {
  uint32_t t = token_behind(b, before);
  if (tok(b, t) == TOK_EQ) flag(b, t, FMT_PAD);
}

static void each_child(builder *b, const ast *n, unsigned flags) {
  for (const ast *c = n->first; c; c = c->next) flag_first(b, c, flags);
}

/* The operator before a right operand; the operand's span is without its parentheses. */
static void operator_of(builder *b, const ast *n, unsigned flags) {
  uint32_t t = token_at(b, n->last->off);
  while (t > 0 && tok(b, t - 1) == TOK_LEFT_PAREN) t--;
  if (t > 0) flag(b, t - 1, flags);
}

static void row(builder *b, const ast *n) {
  set_column(b, n, COLUMN_ROW);
  for (const ast *c = n->first->first->next; c; c = c->next) {
    uint32_t t = token_at(b, c->off);
    while (t > 0 && tok(b, t - 1) == TOK_LEFT_PAREN) t--;
    flag(b, t, FMT_PAD);
  }
}

static void slashes(builder *b, const ast *path) {
  for (uint32_t t = token_at(b, path->off); t < b->r->n_tokens && b->r->tokens[t].off < path->end; t++)
    if (tok(b, t) == TOK_SLASH) flag(b, t, FMT_TIGHT | FMT_TIGHT_AFTER);
}

static void inner_commas(builder *b, const ast *keys) {
  for (const ast *c = keys->first; c && c->next; c = c->next) flag(b, token_behind(b, c), FMT_INNER);
}

static void entry(builder *b, const ast *n, unsigned column) {
  set_column(b, n, column);
  pad_value(b, n->first);
  if (n->kind == AST_FIELD || n->kind == AST_PARAM) pad_equals(b, ast_child(n, 1));
}

static void assignment(builder *b, const ast *n, unsigned column) {
  set_column(b, n, column);
  pad_equals(b, n->first);
}

static void node(builder *b, const ast *n) {
  switch ((ast_kind)n->kind) {
  case AST_FILE: each_child(b, n, FMT_DECL); break;
  case AST_DO: case AST_CASES: set_group(b, n, GROUP_BLOCK); each_child(b, n, FMT_BEGINS); break;
  case AST_FIELDS: case AST_ENTRIES: set_group(b, n, GROUP_BODY); each_child(b, n, FMT_BEGINS); break;
  case AST_ARGS: case AST_PARAMS: flag_first(b, n, FMT_TIGHT); set_group(b, n, GROUP_LIST); break;
  case AST_ARMS: case AST_LIST: case AST_OBJ:
    if (n->first) set_group(b, n, GROUP_LIST); /* {:} has no items */
    break;
  case AST_PATH: slashes(b, n); break;
  case AST_FIELD: entry(b, n, COLUMN_FIELD); break;
  case AST_PARAM: case AST_NAMED: case AST_PAIR: entry(b, n, COLUMN_NAMED); break;
  case AST_ARM: entry(b, n, COLUMN_ARM); inner_commas(b, n->first); break;
  case AST_ARM_ELSE: set_column(b, n, COLUMN_ARM); flag(b, token_at(b, n->off) + 2, FMT_PAD); break;
  case AST_ROW: row(b, n); break;
  case AST_MOCK: assignment(b, n, COLUMN_MOCK); break;
  case AST_CONNECTION: assignment(b, n, COLUMN_CONNECTION); break;
  case AST_LISTENER: assignment(b, n, COLUMN_LISTENER); break;
  case AST_PROFILE: assignment(b, n, COLUMN_PROFILE); break;
  case AST_TABLE: assignment(b, n, COLUMN_TABLE); break;
  case AST_AGAINST: flag(b, token_at(b, n->off) + 1, FMT_TIGHT); flag_first(b, n->first, FMT_TIGHT); flag(b, token_at(b, n->end - 1), FMT_TIGHT); break;
  case AST_WORKFLOW: flag_first(b, n->last->kind == AST_WAS ? ast_child(n, 5) : n->last, FMT_HEAD_BRACE); break;
  case AST_ON: flag_first(b, n, FMT_CLAUSE); break;
  case AST_CLAUSES: each_child(b, n, FMT_CLAUSE); break;
  case AST_HANDLERS: each_child(b, n, FMT_HANDLER); break;
  case AST_T_OPT: case AST_T_MANY: case AST_T_SOME: flag(b, token_at(b, n->end - 1), FMT_TIGHT); break;
  case AST_POS: case AST_NEG: flag_first(b, n, FMT_TIGHT_AFTER); break;
  case AST_SUBSCRIPT: {
    uint32_t close = token_at(b, n->end - 1), open = b->r->tokens[close].match;
    if (open != UINT32_MAX) flag(b, open, FMT_TIGHT);
    break;
  }
  case AST_DOT: case AST_MUL: case AST_DIVIDE: case AST_DIV: case AST_MOD: case AST_ADD: case AST_CONCAT: case AST_UNION: case AST_IS:
  case AST_AS: case AST_LT: case AST_GT: case AST_LE: case AST_GE: case AST_EQ: case AST_EQUIV: case AST_NE: case AST_NEQUIV: case AST_IN:
  case AST_CONTAINS: operator_of(b, n, FMT_BREAKABLE); break;
  case AST_AND: case AST_OR: case AST_XOR: case AST_IMPLIES: operator_of(b, n, FMT_BREAKABLE | FMT_LOGIC); break;
  default: break; /* AST_SUB: a line that begins with '-' would look like a statement of its own */
  }
}

static void walk(builder *b, const ast *n) { /* depth is bounded by AST_MAX_DEPTH */
  node(b, n);
  for (const ast *c = n->first; c; c = c->next) walk(b, c);
}

/* ---- items ---- */

static unsigned line_ends(const char *src, uint32_t from, uint32_t to) {
  unsigned n = 0;
  for (uint32_t i = from; i < to; i++) n += src[i] == '\n' || (src[i] == '\r' && !(i + 1 < to && src[i + 1] == '\n'));
  return n;
}

static void merge(builder *b, fmt_items *out) {
  const parse_result *r = b->r;
  size_t c = 0;
  uint32_t n = 0, end = 0;
  for (uint32_t t = 0; t <= r->n_tokens; t++) {
    uint32_t next = t < r->n_tokens ? r->tokens[t].off : UINT32_MAX;
    for (; c < r->n_comments && r->comments[c].off < next; c++)
      b->v[n++] = (fmt_item){.off = r->comments[c].off, .end = r->comments[c].end, .tok = -1, .line_comment = r->comments[c].kind != AST_COMMENT_BLOCK};
    if (t == r->n_tokens) break;
    b->item_of[t] = n;
    b->v[n++] = (fmt_item){.off = next, .end = r->tokens[t].end, .tok = r->tokens[t].tok};
  }
  out->n = n;
  for (uint32_t i = 0; i < n; i++) {
    fmt_item *x = &b->v[i];
    unsigned ends = line_ends(out->src, end, x->off);
    x->first = i == 0 || ends > 0;
    x->blank = ends > 1;
    end = x->end;
    x->match = UINT32_MAX;
    x->width = fmt_width(out->src + x->off, x->end - x->off);
  }
  for (uint32_t i = 0; i < n; i++) /* a block comment that ends its line, or has several, is like a line comment */
    if (b->v[i].tok == -1 && (i + 1 == n || b->v[i + 1].first || line_ends(out->src, b->v[i].off, b->v[i].end))) b->v[i].line_comment = true;
  for (uint32_t t = 0; t < r->n_tokens; t++)
    if (r->tokens[t].match != UINT32_MAX) b->v[b->item_of[t]].match = b->item_of[r->tokens[t].match];
}

static bool opens(const fmt_item *x, uint32_t i) { return x->match != UINT32_MAX && x->match > i; }

/* Which brackets must be broken, and which commas are not written as they stand. */
static void brackets(fmt_items *it) {
  uint32_t stack[PARSE_MAX_BRACKETS];
  int depth = 0, template = 0; /* template: depth of the outermost one that is open, from 1 */
  for (uint32_t i = 0; i < it->n; i++) {
    fmt_item *x = &it->v[i];
    fmt_item *around = depth ? &it->v[stack[depth - 1]] : NULL;
    if (x->line_comment && around) {
      around->holds_forced = true;
      if (around->group == GROUP_LIST) around->forced = true;
    }
    if (x->tok == TOK_COMMA && around) {
      uint32_t next = i + 1;
      while (next < it->n && it->v[next].tok == -1) next++;
      if (around->group == GROUP_BODY || (around->group == GROUP_LIST && next == around->match)) x->flags |= FMT_DROP;
    }
    if (opens(x, i) && depth < PARSE_MAX_BRACKETS) {
      if (x->group == GROUP_NONE || template) x->group = GROUP_PLAIN; /* a template stays on its line */
      if (x->tok == TOK_TPL_BEGIN && !template) template = depth + 1;
      bool holds = x->match > i + 1;
      if (x->group == GROUP_LIST) x->forced = holds && it->v[i + 1].first;
      if (x->group == GROUP_BLOCK || x->group == GROUP_BODY) x->forced = holds && line_ends(it->src, x->off, it->v[x->match].off) > 0;
      stack[depth++] = i;
    } else if (depth && x->match == stack[depth - 1]) {
      const fmt_item *open = &it->v[stack[--depth]];
      if (depth < template) template = 0;
      if (depth && (open->forced || open->holds_forced)) it->v[stack[depth - 1]].holds_forced = true;
    }
  }
}

/* ---- blanks ---- */

static bool tight_before(int t) {
  switch (t) {
  case TOK_COMMA: case TOK_COLON: case TOK_RIGHT_PAREN: case TOK_RIGHT_BRACKET: case TOK_DOT: case TOK_QUEST: case TOK_TPL_TEXT:
  case TOK_TPL_OPEN: case TOK_TPL_CLOSE: case TOK_TPL_END: return true;
  default: return false;
  }
}

static bool tight_after(int t) {
  switch (t) {
  case TOK_LEFT_PAREN: case TOK_LEFT_BRACKET: case TOK_DOT: case TOK_PERCENT: case TOK_TPL_BEGIN: case TOK_TPL_TEXT: case TOK_TPL_OPEN:
  case TOK_TPL_CLOSE: return true;
  default: return false;
  }
}

static bool is_number(int t) { return t == TOK_INTEGER || t == TOK_DECIMAL || t == TOK_HL7; }

/* Blanks between two neighbours on one line; next is what follows x. */
static uint8_t blanks(const fmt_item *prev, const fmt_item *x, const fmt_item *next) {
  bool gap = x->off > prev->end;
  /* `PID-3 .1` and `PID-3 [0]` would become one token */
  if (is_number(prev->tok) && next && ((x->tok == TOK_DOT && is_number(next->tok)) || (x->tok == TOK_LEFT_BRACKET && next->tok == TOK_INTEGER)))
    return gap;
  if (x->tok == TOK_RIGHT_BRACE && (prev->tok == TOK_LEFT_BRACE || prev->tok == TOK_COLON)) return 0;
  if (x->tok == TOK_COLON && prev->tok == TOK_LEFT_BRACE) return 0;
  if ((x->flags & FMT_TIGHT) || tight_before(x->tok)) return 0;
  if ((prev->flags & FMT_TIGHT_AFTER) || tight_after(prev->tok)) return 0;
  if ((x->flags & FMT_BEGINS) && prev->tok != TOK_BLOCK_OPEN && prev->tok != TOK_BLOCK_CLOSE) return 2;
  return 1;
}

static void measure(fmt_items *it) {
  uint32_t at = 0, prev = UINT32_MAX;
  for (uint32_t i = 0; i < it->n; i++) {
    fmt_item *x = &it->v[i];
    x->at = at;
    if (x->flags & FMT_DROP) continue;
    x->space = prev == UINT32_MAX ? 0 : blanks(&it->v[prev], x, i + 1 < it->n ? &it->v[i + 1] : NULL);
    x->at = at + x->space;
    at = x->at + x->width;
    prev = i;
  }
}

hdw_status fmt_items_build(arena *a, const char *src, size_t len, const parse_result *r, fmt_items *out) {
  (void)len;
  builder b = {.r = r};
  b.v = (fmt_item *)arena_alloc(a, (r->n_tokens + r->n_comments + 1) * sizeof *b.v);
  b.item_of = (uint32_t *)arena_alloc(a, (r->n_tokens + 1) * sizeof *b.item_of);
  if (!b.v || !b.item_of) return HDW_E_NOMEM;
  *out = (fmt_items){.src = src, .v = b.v};
  merge(&b, out);
  flag(&b, 0, FMT_DECL); /* hdw N */
  walk(&b, r->root);
  brackets(out);
  measure(out);
  return HDW_OK;
}
