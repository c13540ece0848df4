/* hdw.json: reading, limits, binding to what programs declare. */
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include "config.h"
#include "json.h"

static test_mem tm;
static arena a;
static config c;

static int setup(void **state) {
  (void)state;
  test_mem_init(&tm);
  arena_init(&a, &tm.m, 0);
  config_init(&c, &a);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  arena_free(&a);
  return tm.live_bytes != 0;
}

static void read_text(const char *text) { assert_int_equal(config_read(&c, &tm.m, "hdw.json", text, strlen(text)), HDW_OK); }

static bool has_problem(const char *part) {
  for (uint32_t i = 0; i < c.nproblems && i < CONFIG_MAX_PROBLEMS; i++)
    if (strstr(c.problems[i], part)) return true;
  for (uint32_t i = 0; i < c.nproblems && i < CONFIG_MAX_PROBLEMS; i++) fprintf(stderr, "  %s\n", c.problems[i]);
  return false;
}

static val parse(const char *text) {
  json_reader r;
  val v;
  json_reader_init(&r, &tm.m);
  assert_int_equal(json_read(&r, &a, text, strlen(text), NULL, &v, NULL), HDW_OK);
  json_reader_free(&r);
  return v;
}

static void test_defaults_come_from_the_table(void **state) {
  (void)state;
  read_text("{}");
  assert_int_equal(c.nproblems, 0);
  assert_int_equal(c.top.active_runs, 256);
  assert_string_equal(c.top.log_level, "info");
}

static void test_values_are_read_and_limits_hold_at_their_edges(void **state) {
  (void)state;
  read_text("{\"data\":\"/d\",\"max_steps\":1,\"listeners\":{\"adt\":{\"port\":65535,\"strict\":true,\"allow\":[\"10.0.0.0/8\"]}},"
            "\"connections\":{\"crm\":{\"timeout_ms\":10,\"grant\":{\"networks\":[\"127.0.0.0/8\"]}}},\"secrets\":{\"t\":{\"file\":\"/s\"}}}");
  assert_int_equal(c.nproblems, 0);
  assert_int_equal(c.top.max_steps, 1);
  assert_int_equal(config_find_listener(&c, "adt")->o.port, 65535);
  assert_true(config_find_listener(&c, "adt")->o.strict);
  assert_int_equal(config_find_listener(&c, "adt")->o.allow.n, 1);
  assert_true(config_find_conn(&c, "crm")->has_timeout);
  assert_string_equal(config_find_conn(&c, "crm")->networks.v[0], "127.0.0.0/8");
  assert_string_equal(config_find_secret(&c, "t")->file, "/s");
  read_text("{\"max_steps\":0}");
  assert_true(has_problem("max_steps: 0 is outside 1 .. 1000000"));
  read_text("{\"max_steps\":1000001}");
  assert_true(has_problem("max_steps: 1000001"));
  read_text("{\"max_steps\":1.5}");
  assert_true(has_problem("a whole number is expected"));
}

static void test_mistakes_are_named_with_place_and_a_suggestion(void **state) {
  (void)state;
  read_text("{\"max_stpes\":1,\"listeners\":{\"adt\":{\"prot\":1,\"unmatched\":\"maybe\",\"tls\":{\"cert\":\"x\"}}},\"connections\":{\"crm\":{\"grant\":{\"network\":[]}}},"
            "\"secrets\":{\"t\":\"abc\"}}");
  assert_true(has_problem("max_stpes: no such option (did you mean 'max_steps'?)"));
  assert_true(has_problem("listeners.adt.prot: no such option (did you mean 'port'?)"));
  assert_true(has_problem("listeners.adt.unmatched"));
  assert_true(has_problem("listeners.adt.tls: cert and key are needed"));
  assert_true(has_problem("connections.crm.grant.network: no such option (did you mean 'networks'?)"));
  assert_true(has_problem("secrets.t: {\"file\": path} is expected"));
  assert_int_equal(c.nproblems, 6);
}

static void test_syntax_errors_name_line_and_column(void **state) {
  (void)state;
  read_text("{\n  \"data\": ,\n}");
  assert_true(has_problem("line 2, column 11"));
  read_text("[]");
  assert_true(has_problem("no JSON object"));
}

static meta program(void) {
  static meta_setting settings[] = {{"crm_base", "url", false, {0}}, {"retries", "integer", false, {0}}};
  static meta_listener listeners[] = {{.name = "adt", .kind = "mllp"}};
  static meta_conn conns[] = {{.name = "crm", .kind = "rest"}};
  conns[0].args = parse("{\"base\":{\"$setting\":\"crm_base\"},\"auth\":{\"$call\":\"bearer\",\"args\":{\"token\":{\"$secret\":\"crm_token\"}}}}");
  listeners[0].args = parse("{\"port\":2575}");
  return (meta){.name = "app", .settings = settings, .nsettings = 2, .listeners = listeners, .nlisteners = 1, .conns = conns, .nconns = 1};
}

static void test_every_declared_name_must_be_bound(void **state) {
  (void)state;
  meta m = program();
  const meta *mods[] = {&m};
  read_text("{\"settings\":{\"crm_bas\":\"http://x\"}}");
  assert_int_equal(config_bind(&c, mods, 1, false), HDW_OK);
  assert_true(has_problem("settings.crm_base: not bound; app needs it (type url) (did you mean 'crm_bas'?)"));
  assert_true(has_problem("settings.retries: not bound"));
  assert_true(has_problem("listeners.adt: not bound"));
  assert_true(has_problem("connections.crm: not bound"));
  assert_true(has_problem("settings.crm_bas: no program declares it"));
}

static void test_bound_program_has_no_problems_and_arguments_resolve(void **state) {
  (void)state;
  meta m = program();
  const meta *mods[] = {&m};
  read_text("{\"settings\":{\"crm_base\":\"http://x\",\"retries\":3},\"listeners\":{\"adt\":{\"port\":0}},\"connections\":{\"crm\":{}},\"secrets\":{\"crm_token\":{\"file\":\"/t\"}}}");
  assert_int_equal(config_bind(&c, mods, 1, false), HDW_OK);
  for (uint32_t i = 0; i < c.nproblems; i++) fprintf(stderr, "%s\n", c.problems[i]);
  assert_int_equal(c.nproblems, 0);
  val args;
  assert_int_equal(config_resolve(&c, &m, m.conns[0].args, &args), HDW_OK);
  assert_true(jv_is(jv_get(args, "base"), "http://x"));
  assert_true(jv_is(jv_get(jv_get(jv_get(jv_get(args, "auth"), "args"), "token"), "$secret"), "crm_token"));
}

static void test_secrets_and_types_are_checked(void **state) {
  (void)state;
  meta m = program();
  const meta *mods[] = {&m};
  read_text("{\"settings\":{\"crm_base\":\"http://x\",\"retries\":\"three\"},\"listeners\":{\"adt\":{\"port\":0}},\"connections\":{\"crm\":{}},\"secrets\":{\"crm_tokn\":{\"file\":\"/t\"}}}");
  assert_int_equal(config_bind(&c, mods, 1, false), HDW_OK);
  assert_true(has_problem("settings.retries: a value of type integer is expected"));
  assert_true(has_problem("secrets.crm_token: the program needs it; bind it to a file (did you mean 'crm_tokn'?)"));
  assert_true(has_problem("secrets.crm_tokn: no connection uses it"));
}

static void test_literal_defaults_stand_in_for_an_operator(void **state) {
  (void)state;
  meta m = program();
  m.settings[0].has_default = m.settings[1].has_default = true;
  m.settings[0].def = val_cstr("http://default");
  m.settings[1].def = val_int(1);
  const meta *mods[] = {&m};
  assert_int_equal(config_bind(&c, mods, 1, true), HDW_OK);
  assert_int_equal(c.nproblems, 0);
  assert_int_equal(config_find_listener(&c, "adt")->o.port, 2575);
  val args;
  assert_int_equal(config_resolve(&c, &m, m.conns[0].args, &args), HDW_OK);
  assert_true(jv_is(jv_get(args, "base"), "http://default"));
  m.settings[0].has_default = m.settings[1].has_default = false;
}

static void test_schema_skeleton_and_limits_are_json(void **state) {
  (void)state;
  meta m = program();
  const meta *mods[] = {&m};
  buf b;
  buf_init(&b, &a, 1 << 20);
  config_schema(&b, mods, 1);
  val v = parse((buf_putc(&b, 0), b.p));
  assert_true(jv_is(jv_get(jv_get(jv_get(v, "properties"), "data"), "type"), "string"));
  val port = jv_get(jv_get(jv_get(jv_get(jv_get(v, "properties"), "listeners"), "additionalProperties"), "properties"), "port");
  int64_t n;
  assert_true(jv_int(jv_get(port, "maximum"), &n) && n == 65535);
  buf_init(&b, &a, 1 << 20);
  config_skeleton(&b, mods, 1);
  v = parse((buf_putc(&b, 0), b.p));
  assert_true(jv_is(jv_get(jv_get(v, "settings"), "crm_base"), "FILL-IN"));
  assert_true(jv_is(jv_get(jv_get(jv_get(v, "secrets"), "crm_token"), "file"), "FILL-IN"));
  buf_init(&b, &a, 1 << 20);
  config_limits(&c, &b);
  v = parse((buf_putc(&b, 0), b.p));
  assert_true(jv_count(v) > 10);
}

/* ---- a connection that two programs declare ----------------------------------------------------------------------------------- */

static meta sharer(const char *name, const char *kind, const char *args) {
  meta_conn *conn = (meta_conn *)arena_zalloc(&a, 1, sizeof *conn);
  assert_non_null(conn);
  *conn = (meta_conn){.name = "crm", .kind = kind, .args = parse(args)};
  return (meta){.name = name, .conns = conn, .nconns = 1};
}

/* Problems of the two together. */
static uint32_t share(const char *text, const char *kind, const char *args, const char *kind2, const char *args2) {
  static meta_setting url[] = {{"url", "url", false, {0}}};
  meta x = sharer("admit", kind, args), y = sharer("orders", kind2, args2);
  const meta *mods[] = {&x, &y};
  x.settings = url, x.nsettings = 1;
  config_init(&c, &a);
  read_text(text);
  (void)config_bind(&c, mods, 2, false);
  return c.nproblems;
}

#define SHARED(more) "{\"settings\":{\"url\":\"https://a\"},\"connections\":{\"crm\":{" more "}},\"secrets\":{\"t\":{\"file\":\"/t\"}}}"
#define TWO_SECRETS "{\"settings\":{\"url\":\"https://a\"},\"connections\":{\"crm\":{}},\"secrets\":{\"t\":{\"file\":\"/t\"},\"u\":{\"file\":\"/u\"}}}"
#define LOGIN(s) "\"auth\":{\"$call\":\"bearer\",\"args\":{\"token\":{\"$secret\":\"" s "\"}}}"
#define RETRY "\"retry\":{\"$call\":\"retry\",\"args\":{\"times\":5,\"from\":{\"$ms\":200}}}"
#define RETRY_TURNED "\"retry\":{\"args\":{\"from\":{\"$ms\":200},\"times\":5},\"$call\":\"retry\"}"

static void test_one_definition_is_shared_however_it_is_written(void **state) {
  (void)state;
  assert_int_equal(share(SHARED(""), "rest", "{" LOGIN("t") "," RETRY "}", "rest", "{" RETRY_TURNED "," LOGIN("t") "}"), 0);
  assert_int_equal(share(SHARED(""), "rest", "{\"base\":{\"$setting\":\"url\"}," LOGIN("t") "}", "rest", "{\"base\":\"https://a\"," LOGIN("t") "}"), 0);
  assert_int_equal(share(SHARED(""), "rest", "{" LOGIN("t") ",\"headers\":{\"A\":[\"x\"]}}", "rest", "{" LOGIN("t") ",\"headers\":{\"A\":[\"x\"]}}"), 0);
}

static void test_what_the_operator_binds_may_be_declared_in_two_ways(void **state) {
  (void)state;
  assert_int_equal(share(SHARED("\"base\":\"https://b\",\"timeout_ms\":1000"), "rest", "{\"base\":{\"$setting\":\"url\"},\"timeout\":{\"$ms\":1}," LOGIN("t") "}", "rest", "{" LOGIN("t") "}"), 0);
  assert_int_equal(share("{\"settings\":{\"url\":\"x\"},\"connections\":{\"crm\":{\"address\":\"a:1\"}}}", "mllp", "{\"host\":\"b\",\"port\":1}", "mllp", "{\"host\":\"c\"}"), 0);
  assert_int_equal(share("{\"settings\":{\"url\":\"x\"},\"connections\":{\"crm\":{\"folder\":\"/a\"}}}", "folder", "{\"path\":\"b\"}", "folder", "{}"), 0);
}

static void test_two_definitions_of_one_connection_are_a_problem_that_names_both(void **state) {
  (void)state;
  assert_int_equal(share(TWO_SECRETS, "rest", "{" LOGIN("t") "}", "rest", "{" LOGIN("u") "}"), 1);
  assert_true(has_problem("connections.crm: the programs admit and orders declare it differently (auth): give it one definition in both, or another name in one of them"));
  assert_int_equal(share(SHARED(""), "rest", "{\"base\":{\"$setting\":\"url\"}," LOGIN("t") "}", "rest", "{" LOGIN("t") ",\"base\":\"https://b\"," RETRY "}"), 1);
  assert_true(has_problem("(base, retry)"));
  assert_int_equal(share(SHARED(""), "rest", "{" LOGIN("t") "," RETRY "}", "rest", "{" LOGIN("t") "}"), 1);
  assert_true(has_problem("(retry)"));
  assert_int_equal(share(SHARED(""), "rest", "{" LOGIN("t") ",\"headers\":{\"A\":[\"x\"]}}", "rest", "{" LOGIN("t") ",\"headers\":{\"A\":\"x\"}}"), 1);
  assert_true(has_problem("(headers)"));
  assert_int_equal(share(SHARED(""), "rest", "{" LOGIN("t") "}", "fhir", "{" LOGIN("t") "}"), 1);
  assert_true(has_problem("(rest and fhir)"));
}

static void test_a_third_program_is_compared_too_and_a_version_of_the_same_is_not(void **state) {
  (void)state;
  meta x = sharer("admit", "rest", "{" RETRY "}"), y = sharer("orders", "rest", "{" RETRY_TURNED "}"), z = sharer("bills", "rest", "{}"), next = sharer("admit", "rest", "{}");
  const meta *mods[] = {&x, &y, &z}, *two[] = {&x, &next};
  read_text("{\"connections\":{\"crm\":{}}}");
  assert_int_equal(config_bind_shared(&c, mods, 2), 0);
  assert_int_equal(config_bind_shared(&c, mods, 3), 1);
  assert_true(has_problem("the programs admit and bills declare it differently (retry)"));
  assert_int_equal(config_bind_shared(&c, two, 2), 0);
  assert_int_equal(config_bind_shared(&c, mods, 0), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_defaults_come_from_the_table, setup, teardown),
      cmocka_unit_test_setup_teardown(test_values_are_read_and_limits_hold_at_their_edges, setup, teardown),
      cmocka_unit_test_setup_teardown(test_mistakes_are_named_with_place_and_a_suggestion, setup, teardown),
      cmocka_unit_test_setup_teardown(test_syntax_errors_name_line_and_column, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_declared_name_must_be_bound, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bound_program_has_no_problems_and_arguments_resolve, setup, teardown),
      cmocka_unit_test_setup_teardown(test_secrets_and_types_are_checked, setup, teardown),
      cmocka_unit_test_setup_teardown(test_literal_defaults_stand_in_for_an_operator, setup, teardown),
      cmocka_unit_test_setup_teardown(test_one_definition_is_shared_however_it_is_written, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_the_operator_binds_may_be_declared_in_two_ways, setup, teardown),
      cmocka_unit_test_setup_teardown(test_two_definitions_of_one_connection_are_a_problem_that_names_both, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_third_program_is_compared_too_and_a_version_of_the_same_is_not, setup, teardown),
      cmocka_unit_test_setup_teardown(test_schema_skeleton_and_limits_are_json, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
