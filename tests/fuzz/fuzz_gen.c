/* fuzz_gen.c - documents of servers, JSON or YAML, into connectors. The first byte: bit 0 ranges, bit 1 a prefix, bits 2-4 how to log in.
 *
 * Held for every document: it ends; what comes out is formatted as it is, compiles without an error, and is the same when it is made again. So nothing of
 * a document is ever source. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "compiler.h"
#include "fmt.h"
#include "gen.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

static void demand(bool holds) {
  if (!holds) abort();
}

static hdw_status load(void *user, const char *from, const char *name, comp_source *out) {
  const gen_result *r = user;
  size_t n = strlen(name);
  (void)from;
  if (n < 5 || strcmp(name + n - 5, ".json") != 0 || !r->capability.len) return HDW_E_NOTFOUND;
  *out = (comp_source){"m.capability.json", r->capability.p, r->capability.len};
  return HDW_OK;
}

static void check(arena *a, gen_result *r) {
  buf again;
  buf_init(&again, a, 64 << 20);
  demand(fmt_source(a, r->text.p, r->text.len, &again) == HDW_OK);
  demand(again.len == r->text.len && memcmp(again.p, r->text.p, again.len) == 0);
  diag_list d;
  comp_result c;
  comp_loader l = {load, r};
  comp_options o = {.loader = &l, .check_only = true};
  comp_source s = {"m.hdw", r->text.p, r->text.len};
  diag_init(&d, a);
  demand(comp_program(a, &s, 1, &o, &d, &c) == HDW_OK);
  demand(!d.errors);
}

/* The same file for every reference, so that documents refer to themselves in turns. */
static hdw_status itself(void *user, const char *from, const char *ref, const char **path, val *doc) {
  (void)from;
  if (ref[0] == '!') return HDW_E_NOTFOUND;
  *path = ref[0] == 'a' ? "a" : "b";
  *doc = *(const val *)user;
  return HDW_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  mem m = {get, put, NULL};
  arena a;
  json_reader r;
  gen_yaml_error e;
  val doc;
  gen_result one, two;
  const char *text = (const char *)data + 1;
  arena_init(&a, &m, (size_t)1 << 30);
  json_reader_init(&r, &m);
  json_opts o = {.max_depth = 300, .duplicate_keys = JSON_DUP_KEEP};
  hdw_status st = text[0] == '{' ? json_read(&r, &a, text, size - 1, &o, &doc, NULL) : gen_yaml(&a, text, size - 1, &doc, &e);
  if (!st) {
    gen_loader l = {itself, &doc};
    gen_options g = {.file = "metadata.json", .path = "m", .ranges = data[0] & 1, .prefix = data[0] & 2 ? "my" : NULL, .auth = (gen_auth)((data[0] >> 2 & 7) % (GEN_AUTH_SMART_BACKEND + 1)), .loader = &l};
    st = gen_connector(&a, doc, &g, &one);
    demand(st == HDW_OK || ((st == HDW_E_INVALID || st == HDW_E_LIMIT) && one.error) || st == HDW_E_NOMEM);
    if (!st) {
      check(&a, &one);
      demand(gen_connector(&a, doc, &g, &two) == HDW_OK && two.text.len == one.text.len && memcmp(two.text.p, one.text.p, one.text.len) == 0);
    }
  }
  json_reader_free(&r);
  arena_free(&a);
  return 0;
}
