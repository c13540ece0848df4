/* resolve(): what references mean in a Bundle, with its index and without. */
#include "fhir.h"
#include "fp_int.h"
#include "json.h"
#include "support.h"

enum { DRAWN = 200, ROUNDS = 60 };

typedef struct world {
  test_mem mem;
  arena a;
  json_reader reader;
  vm_cx cx;
} world;

static void begin(world *w) {
  memset(w, 0, sizeof *w);
  test_mem_init(&w->mem);
  arena_init(&w->a, &w->mem.m, 0);
  json_reader_init(&w->reader, &w->mem.m);
  w->cx = (vm_cx){.a = &w->a, .fuel = INT64_MAX, .seed = 77};
}

static void end(world *w) {
  json_reader_free(&w->reader);
  arena_free(&w->a);
  assert_int_equal(w->mem.live_bytes, 0);
}

static val parsed(world *w, const buf *b) {
  val v;
  char *text = arena_dup(&w->a, b->p, b->len);
  assert_int_equal(json_read(&w->reader, &w->a, text, b->len, NULL, &v, NULL), HDW_OK);
  return fhir_adopt(v);
}

static val resolved(world *w, val refs, val root) {
  val out, args[2] = {refs, root};
  assert_int_equal(fp_resolve(&w->cx, args, 2, &out), HDW_OK);
  return out;
}

static val of(val obj, const char *name) {
  const val *v = obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL;
  return v ? *v : VAL_NONE;
}

static uint64_t draw(uint64_t *r, unsigned n) {
  *r = *r * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (*r >> 33) % n;
}

/* A text as the entries' addresses and the references in them are: few servers, types, ids and versions, so that much of it fits and much nearly. */
static void put_reference(buf *b, uint64_t *r) {
  static const char *const bases[] = {"http://a/fhir/", "http://b/fhir/", "https://a/fhir/", ""};
  static const char *const types[] = {"Patient", "Organization", "Nothing"};
  unsigned id = (unsigned)draw(r, 5);
  switch (draw(r, 12)) {
  case 0: buf_putf(b, "urn:uuid:%u", id); return;
  case 1: buf_putf(b, "#%u", id); return;
  case 2: buf_puts(b, "#"); return;
  case 3: buf_putf(b, "http://x/canonical/%u|%u", id, (unsigned)draw(r, 2)); return;
  case 4: buf_putf(b, "Patient/%u/more", id); return;
  case 5: buf_putf(b, "%u", id); return;
  default: break;
  }
  buf_puts(b, bases[draw(r, 4)]);
  buf_putf(b, "%s/%u", types[draw(r, 3)], id);
  if (draw(r, 5) == 0) buf_putf(b, "/_history/%u", (unsigned)draw(r, 2));
}

static void put_entry(buf *b, uint64_t *r) {
  buf_puts(b, "{\"fullUrl\":\"");
  put_reference(b, r);
  buf_putf(b, "\",\"resource\":{\"resourceType\":\"%s\",\"id\":\"%u\",\"meta\":{\"versionId\":\"%u\"},", draw(r, 2) ? "Patient" : "Organization", (unsigned)draw(r, 5), (unsigned)draw(r, 2));
  if (draw(r, 4) == 0) buf_putf(b, "\"url\":\"http://x/canonical/%u\",", (unsigned)draw(r, 5));
  buf_putf(b, "\"contained\":[{\"resourceType\":\"Organization\",\"id\":\"%u\"}],\"managingOrganization\":{\"reference\":\"", (unsigned)draw(r, 5));
  put_reference(b, r);
  buf_puts(b, "\"}}}");
}

/* Alone, a reference is compared with every entry; with others, it is looked up. */
static void test_the_index_of_a_bundle_finds_what_comparing_with_each_entry_finds(void **state) {
  (void)state;
  unsigned found = 0;
  for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
    world w;
    buf b;
    uint64_t r = seed;
    begin(&w);
    buf_init(&b, &w.a, 1 << 20);
    buf_puts(&b, "{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[");
    for (int i = 0; i < 12; i++) {
      if (i) buf_putc(&b, ',');
      put_entry(&b, &r);
    }
    buf_puts(&b, "]}");
    val bundle = parsed(&w, &b), list = of(bundle, "entry");
    val_builder all = {0};
    for (uint32_t i = 0; i < list.len; i++) assert_int_equal(val_push(&w.a, &all, of(of(list.u.v[i], "resource"), "managingOrganization")), HDW_OK);
    for (int i = 0; i < 20; i++) { /* texts that stand nowhere */
      buf t;
      buf_init(&t, &w.a, 200);
      put_reference(&t, &r);
      assert_int_equal(val_push(&w.a, &all, val_str(t.p, t.len)), HDW_OK);
    }
    val refs = val_build(&all), together = resolved(&w, refs, bundle);
    uint32_t at = 0;
    for (uint32_t i = 0; i < val_count(refs); i++) {
      val one = resolved(&w, val_item(refs, i), bundle);
      if (one.tag == VAL_EMPTY) continue;
      assert_true(at < val_count(together));
      assert_ptr_equal(val_item(together, at).u.v, one.u.v);
      at++;
    }
    assert_int_equal(at, val_count(together));
    found += at;
    end(&w);
  }
  if (found < DRAWN) fail_msg("only %u of the drawn references were found", found);
}

/* What many references in a Bundle cost is in proportion to the Bundle. */
static void test_many_references_cost_about_what_the_bundle_is_large(void **state) {
  (void)state;
  int64_t cost[2];
  for (int k = 0; k < 2; k++) {
    world w;
    buf b;
    unsigned n = k ? 4000 : 1000;
    begin(&w);
    buf_init(&b, &w.a, 1 << 24);
    buf_puts(&b, "{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[");
    for (unsigned i = 0; i < n; i++)
      buf_putf(&b, "%s{\"fullUrl\":\"http://a/Patient/%u\",\"resource\":{\"resourceType\":\"Patient\",\"id\":\"%u\",\"link\":[{\"other\":{\"reference\":\"Patient/%u\"}}]}}", i ? "," : "", i, i, (i * 7919u) % n);
    buf_puts(&b, "]}");
    val bundle = parsed(&w, &b), list = of(bundle, "entry");
    val_builder all = {0};
    for (uint32_t i = 0; i < list.len; i++) assert_int_equal(val_push(&w.a, &all, of(of(of(list.u.v[i], "resource"), "link").u.v[0], "other")), HDW_OK);
    int64_t before = w.cx.fuel;
    assert_int_equal(val_count(resolved(&w, val_build(&all), bundle)), n);
    cost[k] = before - w.cx.fuel;
    end(&w);
  }
  assert_true(cost[1] < 5 * cost[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_index_of_a_bundle_finds_what_comparing_with_each_entry_finds),
      cmocka_unit_test(test_many_references_cost_about_what_the_bundle_is_large),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
