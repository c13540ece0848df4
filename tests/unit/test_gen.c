/* The generator of connectors where it is hard to reach from outside: no memory at every point, many of one name, references by the letter of RFC 6901. */
#include <stdio.h>
#include <string.h>
#include "gen.h"
#include "json.h"
#include "support.h"

static const char statement[] =
    "{\"resourceType\":\"CapabilityStatement\",\"fhirVersion\":\"4.0.1\",\"software\":{\"name\":\"Hub\"},\"implementation\":{\"url\":\"https://hub.example.org/r4\"},"
    "\"rest\":[{\"mode\":\"server\",\"security\":{\"service\":[{\"text\":\"OAuth\"}]},\"resource\":[{\"type\":\"Patient\",\"interaction\":[{\"code\":\"read\"},{\"code\":\"search-type\"},{\"code\":\"patch\"}],"
    "\"searchParam\":[{\"name\":\"identifier\",\"type\":\"token\",\"documentation\":\"One of many\"},{\"name\":\"birthdate\",\"type\":\"date\",\"documentation\":\"The day\"},{\"name\":\"a\",\"type\":\"string\",\"documentation\":\"A\"},"
    "{\"name\":\"b\",\"type\":\"string\",\"documentation\":\"B\"}],\"operation\":[{\"name\":\"everything\",\"definition\":\"OperationDefinition/Patient-i-everything\"},{\"name\":\"own\"}]},"
    "{\"type\":\"Observation\",\"interaction\":[{\"code\":\"create\"},{\"code\":\"vread\"},{\"code\":\"history-instance\"},{\"code\":\"search-type\"}],\"searchParam\":[{\"name\":\"identifier\",\"type\":\"token\",\"documentation\":\"One of many\"}]}]}]}";

static const char api[] =
    "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Rooms\",\"version\":\"1\"},\"servers\":[{\"url\":\"https://rooms.example.org\"}],\"components\":{\"schemas\":{\"Room\":{\"type\":\"object\",\"required\":[\"id\"],\"properties\":"
    "{\"id\":{\"type\":\"string\"},\"beds\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Bed\"}},\"of\":{\"$ref\":\"#/components/schemas/Room\"}}},\"Bed\":{\"type\":\"object\",\"properties\":{\"free\":{\"type\":\"boolean\"}}}},"
    "\"securitySchemes\":{\"a\":{\"type\":\"oauth2\",\"flows\":{\"clientCredentials\":{\"tokenUrl\":\"https://login.example.org/t\",\"scopes\":{\"x\":\"y\"}}}}}},\"security\":[{\"a\":[]}],"
    "\"paths\":{\"/rooms/{id}\":{\"get\":{\"operationId\":\"room\",\"parameters\":[{\"name\":\"id\",\"in\":\"path\",\"required\":true},{\"name\":\"q\",\"in\":\"query\",\"schema\":{\"enum\":[\"a\",\"b\"]}}],"
    "\"responses\":{\"200\":{\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Room\"}}}},\"404\":{}}},\"put\":{\"requestBody\":{\"content\":{\"application/json\":{\"schema\":"
    "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}}}}}}}}}}";

static val parsed(arena *a, test_mem *tm, const char *text, size_t len) {
  json_reader r;
  json_opts o = {.max_depth = 100, .max_bytes = 64 << 20};
  val v;
  json_reader_init(&r, &tm->m);
  assert_int_equal(json_read(&r, a, text, len, &o, &v, NULL), HDW_OK);
  json_reader_free(&r);
  return v;
}

/* The module that is made of text in `limit` bytes; a copy, "" without one. */
static hdw_status make(const char *text, size_t limit, char *out, size_t cap, gen_result *r, char *note) {
  test_mem tm;
  arena doc, a;
  gen_options o = {.file = "x.json", .path = "x.json", .ranges = true};
  test_mem_init(&tm);
  arena_init(&doc, &tm.m, 0);
  arena_init(&a, &tm.m, limit);
  val v = parsed(&doc, &tm, text, strlen(text));
  hdw_status s = gen_connector(&a, v, &o, r);
  out[0] = 0;
  if (!s) snprintf(out, cap, "%.*s", (int)r->text.len, r->text.p);
  if (note) snprintf(note, 400, "%s", r->nnotes ? r->notes[0] : r->error ? r->error : "");
  arena_free(&a);
  arena_free(&doc);
  assert_int_equal(tm.live_bytes, 0);
  return s;
}

/* Whatever the place where memory ends, it is an error and nothing else. */
static void test_no_memory_at_any_point(void **state) {
  static const char *const docs[] = {statement, api};
  static char all[1 << 16], got[1 << 16];
  gen_result r;
  (void)state;
  for (size_t d = 0; d < 2; d++) {
    assert_int_equal(make(docs[d], 0, all, sizeof all, &r, NULL), HDW_OK);
    bool done = false;
    for (size_t limit = 512; limit < (4u << 20) && !done; limit += limit < 65536 ? 487 : 4099) {
      hdw_status s = make(docs[d], limit, got, sizeof got, &r, NULL);
      done = !s;
      if (s && s != HDW_E_NOMEM && s != HDW_E_LIMIT) fail_msg("with %zu bytes: %s", limit, hdw_status_name(s));
    }
    assert_true(done);
    assert_string_equal(got, all);
  }
}

/* Names that are taken get a number; how many there are of one costs time in proportion, and memory for the names alone. */
static void test_many_calls_of_one_name(void **state) {
  enum { CALLS = 3000 };
  static char text[CALLS * 120 + 200], out[1];
  size_t n = (size_t)snprintf(text, sizeof text, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"T\"},\"paths\":{");
  gen_result r;
  (void)state;
  for (unsigned i = 0; i < CALLS; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%s\"/p%u\":{\"get\":{\"operationId\":\"aNameThatAllOfThemHaveInCommonAndThatIsLong\"}}", i ? "," : "", i);
  snprintf(text + n, sizeof text - n, "}}");
  assert_int_equal(make(text, 64u << 20, out, sizeof out, &r, NULL), HDW_OK);
  assert_int_equal(r.nactions, CALLS);
}

/* $ref: percent-encoding first, then ~1 and ~0; an index has no leading zero. */
static void test_pointers(void **state) {
  static const struct { const char *ref; bool good; } rows[] = {{"#/components/schemas/a~1b", true}, {"#/components/schemas/a%7E1b", true}, {"#/components/schemas/a%7e1b", true}, {"#/components/schemas/c~0d", true},
    {"#/components/schemas/c~d", true}, {"#/x-list/0", true}, {"#/x-list/00", false}, {"#/x-list/1", false}, {"#/x-list/-", false}, {"#/x-list/-1", false}, {"#/x-list/4294967296", false}, {"#/x-list/", false}, {"#x-list", false}};
  static char out[1 << 14];
  char text[900], note[400];
  gen_result r;
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    snprintf(text, sizeof text, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"T\"},\"x-list\":[{\"type\":\"object\",\"properties\":{\"seen\":{\"type\":\"string\"}}}],\"components\":{\"schemas\":{"
             "\"a/b\":{\"type\":\"object\",\"properties\":{\"seen\":{\"type\":\"string\"}}},\"c~d\":{\"type\":\"object\",\"properties\":{\"seen\":{\"type\":\"string\"}}}}},"
             "\"paths\":{\"/p\":{\"get\":{\"responses\":{\"200\":{\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"%s\"}}}}}}}}}", rows[i].ref);
    assert_int_equal(make(text, 0, out, sizeof out, &r, note), HDW_OK);
    if ((strstr(out, "seen: string") != NULL) != rows[i].good) fail_msg("%s: %s\n%s", rows[i].ref, note, out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_memory_at_any_point), cmocka_unit_test(test_many_calls_of_one_name), cmocka_unit_test(test_pointers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
