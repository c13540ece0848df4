/* hdw.json and its JSON Schema say the same: what the reader takes the schema takes, and what it refuses the schema refuses, at every option's edges. */
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include "config.h"
#include "json.h"

static test_mem memory;
static arena a;
static val schema;

static val parse(const char *text) {
  json_reader r;
  val v;
  json_reader_init(&r, &memory.m);
  hdw_status s = json_read(&r, &a, text, strlen(text), NULL, &v, NULL);
  json_reader_free(&r);
  if (s) fail_msg("no JSON: %s", text);
  return v;
}

static int setup(void **state) {
  (void)state;
  test_mem_init(&memory);
  arena_init(&a, &memory.m, 0);
  buf b;
  buf_init(&b, &a, 4 << 20);
  config_schema(&b, NULL, 0);
  buf_putc(&b, 0);
  schema = parse(b.p);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  arena_free(&a);
  assert_int_equal(memory.live_bytes, 0);
  return 0;
}

/* ---- as much of JSON Schema as the schema uses; a keyword that is not known here fails the test -------------------------------------------------- */

static bool is_type(val v, const char *type) {
  if (!strcmp(type, "object")) return v.tag == VAL_OBJ;
  if (!strcmp(type, "array")) return v.tag == VAL_LIST;
  if (!strcmp(type, "string")) return v.tag == VAL_STR;
  if (!strcmp(type, "boolean")) return v.tag == VAL_BOOL;
  if (!strcmp(type, "integer")) return jv_int(v, &(int64_t){0});
  if (!strcmp(type, "number")) return v.tag == VAL_INT || v.tag == VAL_LONG || v.tag == VAL_DEC || v.tag == VAL_NUM;
  fail_msg("type %s", type);
  return false;
}

static size_t letters(val v) {
  size_t n = 0;
  for (uint32_t i = 0; i < v.len; i++) n += ((unsigned char)v.u.s[i] & 0xc0) != 0x80;
  return n;
}

static bool valid(val s, val v) {
  static const char *const known[] = {"$schema", "title", "description", "default", "format", "type", "properties", "patternProperties", "additionalProperties", "required", "minimum", "maximum", "minLength", "maxLength", "maxItems", "items", "enum"};
  int64_t n, got;
  if (s.tag == VAL_BOOL) return s.u.i != 0;
  assert_int_equal(s.tag, VAL_OBJ);
  for (uint32_t i = 0; i < s.len; i++) {
    bool any = false;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) any |= jv_is(s.u.v[2 * i], known[k]);
    if (!any) fail_msg("keyword %.*s", (int)s.u.v[2 * i].len, s.u.v[2 * i].u.s);
  }
  const char *type = jv_text(&a, jv_get(s, "type"));
  if (type && !is_type(v, type)) return false;
  if (jv_int(v, &got)) {
    if (jv_int(jv_get(s, "minimum"), &n) && got < n) return false;
    if (jv_int(jv_get(s, "maximum"), &n) && got > n) return false;
  }
  if (v.tag == VAL_STR) {
    if (jv_int(jv_get(s, "minLength"), &n) && letters(v) < (size_t)n) return false;
    if (jv_int(jv_get(s, "maxLength"), &n) && letters(v) > (size_t)n) return false;
  }
  if (v.tag == VAL_LIST) {
    if (jv_int(jv_get(s, "maxItems"), &n) && v.len > (uint32_t)n) return false;
    for (uint32_t i = 0; i < v.len && jv_get(s, "items").tag != VAL_EMPTY; i++)
      if (!valid(jv_get(s, "items"), v.u.v[i])) return false;
  }
  if (v.tag != VAL_OBJ) return true;
  val required = jv_get(s, "required"), props = jv_get(s, "properties"), more = jv_get(s, "additionalProperties");
  for (uint32_t i = 0; i < jv_count(required); i++) {
    const char *name = jv_text(&a, jv_item(required, i));
    if (jv_get(v, name).tag == VAL_EMPTY) return false;
  }
  for (uint32_t i = 0; i < v.len; i++) {
    const char *name = arena_dup(&a, v.u.v[2 * i].u.s, v.u.v[2 * i].len);
    val p = props.tag == VAL_OBJ ? jv_get(props, name) : VAL_NONE;
    bool note = name[0] == '$' && jv_get(jv_get(s, "patternProperties"), "^[$]").tag != VAL_EMPTY; /* the only pattern there is */
    if (p.tag == VAL_EMPTY && !note) p = more;
    if (p.tag != VAL_EMPTY && !valid(p, v.u.v[2 * i + 1])) return false;
  }
  return true;
}

/* ---- the reader ------------------------------------------------------------------------------------------------------------------------------------- */

static bool reads(const char *text, char why[200]) {
  config c;
  config_init(&c, &a);
  hdw_status s = config_read(&c, &memory.m, "hdw.json", text, strlen(text));
  snprintf(why, 200, "%.199s", c.nproblems ? c.problems[0] : "");
  return !s && !c.nproblems;
}

static unsigned checked, refused;
static void agree(const char *text) {
  char why[200];
  bool r = reads(text, why), v = valid(schema, parse(text));
  checked++, refused += !r;
  if (r != v) fail_msg("%.300s\nreader: %s %s\nschema: %s", text, r ? "taken" : "refused", why, v ? "valid" : "not valid");
}

typedef struct shape { const char *before, *behind; } shape;

static void place(shape at, const char *name, const char *value) {
  char text[9200];
  snprintf(text, sizeof text, "%s\"%s\": %s%s", at.before, name, value, at.behind);
  agree(text);
}

static void edges(shape shape_of, const char *kind, const char *name, long long min, long long max) {
  static const char *const wrong[] = {"null", "{}", "[1]", "1.5"};
  char v[8200];
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) place(shape_of, name, wrong[i]);
  if (!strcmp(kind, "INT")) {
    long long at[] = {min, max, min - 1, max + 1};
    for (size_t i = 0; i < 4; i++) snprintf(v, sizeof v, "%lld", at[i]), place(shape_of, name, v);
    place(shape_of, name, "\"1\""), place(shape_of, name, "true");
  } else if (!strcmp(kind, "BOOL")) {
    place(shape_of, name, "true"), place(shape_of, name, "1"), place(shape_of, name, "\"true\"");
  } else if (!strcmp(kind, "LIST")) {
    place(shape_of, name, "true"), place(shape_of, name, "\"x\"");
  } else {
    place(shape_of, name, "7"), place(shape_of, name, "[\"x\"]");
    if (max < 8000) {
      v[0] = '"';
      memset(v + 1, 'x', (size_t)max + 1);
      memcpy(v + max + 2, "\"", 2);
      place(shape_of, name, v); /* one too long */
    }
    if (min > 0) place(shape_of, name, "\"\"");
  }
}

static void test_reader_and_schema_agree_at_the_edges_of_every_option(void **state) {
  (void)state;
#define ROW(at, kind, name, min, max) edges(at, #kind, #name, (long long)(min), (long long)(max));
#define TOP(kind, name, def, min, max, doc) ROW(((shape){"{", "}"}), kind, name, min, max)
#define LISTENER(kind, name, def, min, max, doc) if (strcmp(#name, "port")) ROW(((shape){"{\"listeners\": {\"adt\": {\"port\": 2575, ", "}}}"}), kind, name, min, max)
#define CONNECTION(kind, name, def, min, max, doc) ROW(((shape){"{\"connections\": {\"crm\": {", "}}}"}), kind, name, min, max)
#include "options.def"
  printf("%u documents, %u of them refused\n", checked, refused);
  assert_true(checked > 300 && refused > 200 && refused < checked);
}

static void test_reader_and_schema_agree_on_names_and_shapes(void **state) {
  (void)state;
  static const char *const docs[] = {
      "{}", "[]", "7", "{\"nothing\": 1}", "{\"$schema\": \"x\"}", "{\"$note\": [1]}", "{\"listeners\": {\"adt\": {\"port\": 1, \"$note\": 1}}}", "{\"listeners\": []}", "{\"listeners\": {\"adt\": 1}}", /* without a port: bound later */
      "{\"listeners\": {\"adt\": {\"port\": 2575, \"pot\": 1}}}", "{\"listeners\": {\"adt\": {\"port\": 65536}}}", "{\"listeners\": {\"adt\": {\"port\": \"2575\"}}}", "{\"connections\": 1}",
      "{\"connections\": {\"crm\": []}}", "{\"connections\": {\"crm\": {\"grant\": {\"networks\": [\"10.0.0.0/8\"]}}}}", "{\"connections\": {\"crm\": {\"grant\": {\"networks\": [1]}}}}",
      "{\"connections\": {\"crm\": {\"grant\": {\"network\": []}}}}", "{\"connections\": {\"crm\": {\"grant\": 1}}}", "{\"settings\": {\"a\": 1, \"b\": \"x\", \"c\": true, \"d\": [1], \"e\": {\"f\": 1}}}", "{\"settings\": 7}",
      "{\"secrets\": {\"t\": {\"file\": \"t\"}}}", "{\"secrets\": {\"t\": {}}}", "{\"secrets\": {\"t\": \"x\"}}", "{\"secrets\": {\"t\": {\"file\": \"t\", \"value\": \"x\"}}}", "{\"secrets\": {\"t\": {\"file\": 1}}}",
      "{\"roles\": {\"viewer\": [\"user:a\"]}}", "{\"roles\": {\"viewr\": []}}", "{\"roles\": {\"viewer\": \"user:a\"}}"};
  for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) agree(docs[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_reader_and_schema_agree_at_the_edges_of_every_option, setup, teardown),
      cmocka_unit_test_setup_teardown(test_reader_and_schema_agree_on_names_and_shapes, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
