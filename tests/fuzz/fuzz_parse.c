/* fuzz_parse.c - parser, tree, diagnostics and formatter on hostile text.
 *
 * The first byte chooses: bit 0 expression, bit 1 strict FHIRPath. Held for every text: there is a tree or a report; spans lie in the text;
 * the forms of diagnostics can be written; what parses can be formatted, with the same tree and stable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "diag.h"
#include "fmt.h"
#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *get(mem *m, size_t n) {
  (void)m;
  return malloc(n);
}

static void put(mem *m, void *p, size_t n) {
  (void)m;
  (void)n;
  free(p);
}

static void demand(bool holds) {
  if (!holds) abort();
}

static void walk(arena *a, const char *src, size_t len, const parse_result *r, const ast *n) {
  demand(n->off <= n->end && n->end <= len && n->id < r->nodes && n->kind < AST_KIND_COUNT && n->depth <= AST_MAX_DEPTH);
  ast_hl7 path;
  switch (n->kind) {
  case AST_NAME: demand(ast_name(a, src, n).p != NULL); break;
  case AST_STRING: case AST_TPL_TEXT: demand(ast_string_value(a, src, n).p != NULL); break;
  case AST_HL7: ast_parse_hl7(src, n, &path); break;
  default: break;
  }
  if (n->kind == AST_FIELD || n->kind == AST_FN) ast_doc(a, src, r->comments, r->n_comments, n);
  for (const ast *c = n->first; c; c = c->next) walk(a, src, len, r, c);
}

static void format(arena *a, const char *src, size_t len, const parse_result *r) {
  buf once, twice;
  buf_init(&once, a, 1 << 24);
  buf_init(&twice, a, 1 << 24);
  hdw_status s = fmt_source(a, src, len, &once);
  if (s == HDW_E_LIMIT) return;
  demand(s == HDW_OK);
  parse_result again;
  demand(parse_file(a, once.p, once.len, NULL, &again) == HDW_OK);
  demand(ast_equal(src, r->root, once.p, again.root));
  demand(again.n_comments == r->n_comments);
  demand(fmt_source(a, once.p, once.len, &twice) == HDW_OK);
  demand(once.len == twice.len && memcmp(once.p, twice.p, once.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > 1 << 16) return 0;
  parse_options opt = {.expression = data[0] & 1, .fhirpath = (data[0] & 3) == 3, .keep_tokens = data[0] & 4};
  const char *src = (const char *)data + 1;
  size_t len = size - 1;
  mem m = {get, put, NULL};
  arena a;
  arena_init(&a, &m, 0);
  diag_list l;
  diag_init(&l, &a);
  diag_parse_sink sink;
  diag_parse_sink_init(&sink, &l, diag_file_add(&l, "fuzz.hdw", src, len));
  parse_result r;
  hdw_status s = parse_source(&a, src, len, &opt, &sink.sink, &r);
  demand(s == (r.errors ? HDW_E_SYNTAX : HDW_OK));
  demand(r.root || r.errors);
  if (r.root) walk(&a, src, len, &r, r.root);
  if (l.first) {
    diag_sort(&l);
    buf b;
    buf_init(&b, &a, 1 << 22);
    diag_text(&b, &l, NULL);
    diag_json(&b, &l);
    diag_sarif(&b, &l, "0");
    for (const diag *d = l.first; d; d = d->next)
      for (const diag_fix *f = d->fixes; f; f = f->next) diag_apply(&a, &l, f, 0, &len);
  } else if (!opt.expression) {
    format(&a, src, len, &r);
  }
  arena_free(&a);
  return 0;
}
