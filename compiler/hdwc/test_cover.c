/* test_cover.c - coverage: which lines and which ways of a choice the tests came to, as a summary, a listing, JSON and LCOV.
 *
 * The machine counts how often each code word was executed and how often it jumped (vm/interp_count.c). A line with code was reached as often as
 * the busiest of its statements began; a conditional jump has two ways. Both modules of a program count: the one that runs inside the engine, and the one
 * with the tests, in which functions are called directly. */
#include <string.h>
#include "json.h"
#include "run.h"
#include "test.h"

/* ---- collecting ----------------------------------------------------------------------------------------------------------- */

static uint32_t count_lines(const char *s, size_t len) {
  uint32_t n = 1;
  for (size_t i = 0; i < len; i++) n += s[i] == '\n';
  return n;
}

static cover_file *file_of(test_cover *c, const hc_sources *s, const module *m, uint32_t k) {
  uint32_t n;
  const char *p = mod_text(m, k, &n), *name = hc_text(c->a, "%.*s", (int)n, p);
  uint32_t at = hc_source_find(s, name);
  if (at == UINT32_MAX) return NULL;
  cover_file **f = &c->files;
  for (; *f; f = &(*f)->next) {
    int order = strcmp((*f)->shown, s->v[at].shown);
    if (order == 0) return *f;
    if (order > 0) break;
  }
  cover_file *x = (cover_file *)arena_zalloc(c->a, 1, sizeof *x);
  if (!x) return NULL;
  x->shown = s->v[at].shown, x->text = s->v[at].text, x->len = s->v[at].len;
  x->nlines = count_lines(x->text, x->len);
  x->lines = (cover_line *)arena_zalloc(c->a, x->nlines + 2u, sizeof *x->lines);
  if (!x->lines) return NULL;
  x->next = *f;
  *f = x;
  return x;
}

static bool conditional(uint32_t op) { return op == OP_JMPT || op == OP_JMPN || op == OP_JMPF || op == OP_JMPE || (op >= OP_EQJ && op <= OP_GEIJ); }

static void add_branch(test_cover *c, cover_line *l, uint32_t col, uint32_t nth, uint64_t went_on, uint64_t jumped) {
  cover_branch **b = &l->branches;
  while (*b && ((*b)->col < col || ((*b)->col == col && (*b)->nth < nth))) b = &(*b)->next;
  if (!*b || (*b)->col != col || (*b)->nth != nth) {
    cover_branch *x = (cover_branch *)arena_zalloc(c->a, 1, sizeof *x);
    if (!x) return;
    x->col = col, x->nth = nth;
    x->next = *b;
    *b = x;
  }
  (*b)->taken[0] += went_on;
  (*b)->taken[1] += jumped;
}

static bool is_test(const module *m, const mod_func *f) {
  uint32_t n;
  const char *s = mod_text(m, f->name, &n);
  return n > 5 && memcmp(s, "test ", 5) == 0;
}

/* One function's counts: `most` is the busiest beginning on a line, which is added to what the line has. */
static void add_function(test_cover *c, const hc_sources *s, const module *m, const uint32_t *hits, const mod_func *f) {
  mod_debug d, before = {0};
  uint32_t nth = 0, line = 0;
  uint64_t most = 0;
  cover_line *at = NULL;
  for (uint32_t w = f->code; w < f->code + f->words; w += mod_op_words(m->code[w])) {
    if (!mod_where(m, w, &d) || d.word < f->code) continue;
    bool moved = d.file != before.file || d.line != before.line || d.col != before.col;
    if (moved) nth = 0;
    before = d;
    cover_file *file = file_of(c, s, m, d.file);
    if (!file || !d.line || d.line > file->nlines) continue;
    cover_line *l = &file->lines[d.line];
    if (l != at || d.line != line) {
      if (at) at->hits += most;
      at = l, line = d.line, most = 0;
    }
    l->code = true;
    if (moved && hits[2 * w] > most) most = hits[2 * w]; /* where it begins: loops inside an expression do not count */
    if (conditional(m->code[w] & 255)) add_branch(c, l, d.col, nth++, hits[2 * w] - hits[2 * w + 1], hits[2 * w + 1]);
  }
  if (at) at->hits += most;
}

void test_cover_add(test_cover *c, const hc_sources *s, const module *m, const uint32_t *hits) {
  for (uint32_t i = 0; i < m->nfuncs; i++)
    if (!is_test(m, &m->funcs[i])) add_function(c, s, m, hits, &m->funcs[i]);
}

void test_cover_steps(test_cover *c, const hc_sources *s, const module *m, const uint32_t *hits) {
  for (uint32_t i = 0; i < m->nfuncs; i++) {
    const mod_func *f = &m->funcs[i];
    for (uint32_t w = f->code; w < f->code + f->words; w += mod_op_words(m->code[w])) {
      const mod_effect *e = &m->effects[m->code[w] >> 16];
      uint32_t cl, ol;
      mod_debug d;
      if ((m->code[w] & 255) != OP_EFFECT || (hits && hits[2 * w]) || e->conn == MOD_NO_INDEX || !mod_where(m, w, &d)) continue;
      const char *conn = mod_text(m, e->conn, &cl), *op = mod_text(m, e->op, &ol), *dot = (const char *)memchr(op, '.', ol);
      cover_file *file = file_of(c, s, m, d.file);
      if (dot) ol -= (uint32_t)(dot + 1 - op), op = dot + 1;
      hc_list_add(c->a, &c->steps, hc_text(c->a, "%s %.*s.%.*s   (%s:%u:%u)", e->flags & MOD_EFFECT_SEND ? "send" : "step", (int)cl, conn, (int)ol, op, file ? file->shown : "", d.line, d.col));
    }
  }
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------------ */

typedef struct cover_sum { uint32_t lines, reached, ways, taken; } cover_sum;

static cover_sum sum_of(const cover_file *f) {
  cover_sum n = {0};
  for (uint32_t i = 1; i <= f->nlines; i++) {
    n.lines += f->lines[i].code;
    n.reached += f->lines[i].code && f->lines[i].hits;
    for (const cover_branch *b = f->lines[i].branches; b; b = b->next) n.ways += 2, n.taken += (uint32_t)((b->taken[0] != 0) + (b->taken[1] != 0));
  }
  return n;
}

static double percent(uint32_t n, uint32_t of) { return of ? 100.0 * n / of : 100.0; }

/* "12, 14-16" */
static void missing(buf *b, const cover_file *f) {
  uint32_t shown = 0;
  for (uint32_t i = 1; i <= f->nlines; i++) {
    if (!f->lines[i].code || f->lines[i].hits) continue;
    uint32_t to = i;
    for (uint32_t k = i; k <= f->nlines && !(f->lines[k].code && f->lines[k].hits); k++)
      if (f->lines[k].code) to = k;
    buf_putf(b, "%s%u", shown++ ? ", " : "   not reached: ", i);
    if (to > i) buf_putf(b, "-%u", to);
    i = to;
  }
}

void test_cover_text(buf *b, const test_cover *c) {
  cover_sum all = {0};
  buf_puts(b, "\ncoverage      lines            ways\n");
  for (const cover_file *f = c->files; f; f = f->next) {
    cover_sum n = sum_of(f);
    if (!n.lines) continue;
    buf_putf(b, "  %5.1f %%  %4u of %-4u   %4u of %-4u  %s", percent(n.reached, n.lines), n.reached, n.lines, n.taken, n.ways, f->shown);
    missing(b, f);
    buf_putc(b, '\n');
    all.lines += n.lines, all.reached += n.reached, all.ways += n.ways, all.taken += n.taken;
  }
  buf_putf(b, "  %5.1f %%  %4u of %-4u   %4u of %-4u  in all\n", percent(all.reached, all.lines), all.reached, all.lines, all.taken, all.ways);
  for (uint32_t i = 0; i < c->steps.n; i++) buf_putf(b, "never performed: %s\n", c->steps.v[i]);
  for (uint32_t i = 0; i < c->mocks.n; i++) buf_putf(b, "never asked: %s\n", c->mocks.v[i]);
}

/* ---- listing, JSON, LCOV ------------------------------------------------------------------------------------------------------------ */

/* Of a line that was reached: choices of which only one way was taken. */
static uint32_t one_sided(const cover_line *l) {
  uint32_t n = 0;
  for (const cover_branch *k = l->branches; k; k = k->next) n += (uint32_t)((k->taken[0] == 0) != (k->taken[1] == 0));
  return n;
}

void test_cover_listing(buf *b, const test_cover *c) {
  for (const cover_file *f = c->files; f; f = f->next) {
    const char *p = f->text, *end = f->text + f->len;
    buf_putf(b, "\n%s\n", f->shown);
    for (uint32_t i = 1; i <= f->nlines && p < end; i++) {
      const char *e = (const char *)memchr(p, '\n', (size_t)(end - p));
      const cover_line *l = &f->lines[i];
      if (!e) e = end;
      if (!l->code) buf_puts(b, "          ");
      else if (!l->hits) buf_puts(b, "  !!!!!!  ");
      else buf_putf(b, "%8llu%c ", (unsigned long long)l->hits, one_sided(l) ? '?' : ' ');
      buf_putf(b, "%4u  ", i);
      buf_put(b, p, (size_t)(e - p));
      buf_putc(b, '\n');
      p = e + 1;
    }
  }
  if (c->files) buf_puts(b, "\n  !!!!!!  never reached      ?  a choice of which only one way was taken\n");
}

void test_cover_json(buf *b, const test_cover *c) {
  buf_puts(b, "{\"files\":[");
  for (const cover_file *f = c->files; f; f = f->next) {
    cover_sum n = sum_of(f);
    bool first = true;
    buf_puts(b, f == c->files ? "{\"file\":" : ",{\"file\":");
    json_write_str(b, f->shown, strlen(f->shown));
    buf_putf(b, ",\"lines\":%u,\"reached\":%u,\"ways\":%u,\"taken\":%u,\"hits\":{", n.lines, n.reached, n.ways, n.taken);
    for (uint32_t i = 1; i <= f->nlines; i++) {
      if (!f->lines[i].code) continue;
      buf_putf(b, "%s\"%u\":%llu", first ? "" : ",", i, (unsigned long long)f->lines[i].hits);
      first = false;
    }
    buf_puts(b, "}}");
  }
  buf_puts(b, "],\"never_performed\":[");
  for (uint32_t i = 0; i < c->steps.n; i++) {
    if (i) buf_putc(b, ',');
    json_write_str(b, c->steps.v[i], strlen(c->steps.v[i]));
  }
  buf_puts(b, "],\"never_asked\":[");
  for (uint32_t i = 0; i < c->mocks.n; i++) {
    if (i) buf_putc(b, ',');
    json_write_str(b, c->mocks.v[i], strlen(c->mocks.v[i]));
  }
  buf_puts(b, "]}");
}

void test_cover_lcov(buf *b, const test_cover *c) {
  for (const cover_file *f = c->files; f; f = f->next) {
    cover_sum n = sum_of(f);
    uint32_t block = 0;
    buf_putf(b, "TN:hdwc test\nSF:%s\n", f->shown);
    for (uint32_t i = 1; i <= f->nlines; i++)
      for (const cover_branch *k = f->lines[i].branches; k; k = k->next, block++)
        for (int way = 0; way < 2; way++) {
          if (k->taken[0] || k->taken[1]) buf_putf(b, "BRDA:%u,%u,%d,%llu\n", i, block, way, (unsigned long long)k->taken[way]);
          else buf_putf(b, "BRDA:%u,%u,%d,-\n", i, block, way);
        }
    buf_putf(b, "BRF:%u\nBRH:%u\n", n.ways, n.taken);
    for (uint32_t i = 1; i <= f->nlines; i++)
      if (f->lines[i].code) buf_putf(b, "DA:%u,%llu\n", i, (unsigned long long)f->lines[i].hits);
    buf_putf(b, "LF:%u\nLH:%u\nend_of_record\n", n.lines, n.reached);
  }
}
