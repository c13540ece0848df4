/* The guard of everything that goes out: whatever a configuration, a server's redirect or a name's answers say, a forbidden address is not reached. */
#include "http_rig.h"
#include "egress.h"
#include "spellings.h"

enum { SPELLINGS = sizeof spellings / sizeof *spellings };

/* What the names of the test lead to; every one is refused without a grant. */
static const char *const forbidden[] = {
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.0.1", "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1", "2001::1", "2001:db8::1", "100::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254",
    "fe80::1", "fec0::1", "ff02::1", "3fff::1", "5f00::1", "4000::1"};
enum { FORBIDDEN = sizeof forbidden / sizeof *forbidden };

typedef struct guard {
  unsigned home, elsewhere;  /* requests that were made */
  unsigned answers;          /* of the name rebinds.example.org */
  const char *const *to;     /* hosts of the redirects, by number */
  bool secure, first_public;
} guard;

static unsigned address(const char *text, io_addr *out) {
  char t[80];
  snprintf(t, sizeof t, strchr(text, ':') ? "[%s]:443" : "%s:443", text);
  if (io_addr_parse(t, out)) fail_msg("no address: %s", text);
  return 1;
}

/* nN.example.org: forbidden[N]; mN...: a public address as well, before or behind it; rebinds...: public at first, then loopback. */
static unsigned names(world *w, const char *host, io_addr *out, unsigned cap) {
  guard *g = (guard *)w->user;
  assert_true(cap >= 2);
  if (!strcmp(host, "home.example.org")) return address("93.184.216.34", out);
  if (!strcmp(host, "rebinds.example.org")) return address(g->answers++ ? "127.0.0.1" : "93.184.216.34", out);
  if (host[0] != 'n' && host[0] != 'm') return 0;
  unsigned i = (unsigned)atoi(host + 1);
  assert_true(i < FORBIDDEN);
  if (host[0] == 'n') return address(forbidden[i], out);
  (void)address(i % 2 ? forbidden[i] : "93.184.216.34", &out[0]);
  (void)address(i % 2 ? "93.184.216.34" : forbidden[i], &out[1]);
  return 2;
}

static reply serve(world *w, const io_http_req *q) {
  static char to[300];
  guard *g = (guard *)w->user;
  w->n = 0;
  assert_true(q->npin > 0);
  for (unsigned i = 0; i < q->npin; i++)
    if (!egress_allowed(NULL, &q->pin[i])) fail_msg("%s%s would go to a forbidden address", q->host, q->target);
  if (strcmp(q->host, "home.example.org") != 0) {
    g->elsewhere++;
    return (reply){200, "{}", NULL, NULL};
  }
  g->home++;
  const char *n = strrchr(q->target, '/');
  snprintf(to, sizeof to, "%s://%s/x", g->secure ? "https" : "http", g->to[atoi(n + 1)]);
  return (reply){302, NULL, "Location", to};
}

static void follow(world *w, config *cfg) {
  (void)w;
  cfg->conns[0].o.redirects = 3;
  cfg->conns[0].o.in_flight = 100;
  cfg->top.active_runs = 300;
}

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ehr = rest(base: 'https://home.example.org', auth: bearer(secret('key')), retry: retry(0), breaker: breaker(failures: 0, cooldown: 1 second))\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = ehr.get(\"/r/{msg.PID-3.1}\") on error use {}\n  return { ok: true }\n}\n";

static void redirect_all(guard *g, unsigned n) {
  world w = {.on = serve, .names = names, .user = g, .configure = follow};
  prog *p = world_begin(&w, program);
  for (unsigned i = 0; i < n; i++) {
    char id[16], number[16];
    snprintf(id, sizeof id, "M%u", i), snprintf(number, sizeof number, "%u", i);
    prog_submit(p, id, number, "");
    if (i % 50 == 49) prog_run_for(p, 1000000);
  }
  prog_run_for(p, 3000000);
  assert_int_equal(g->home, n);
  assert_int_equal(g->elsewhere, 0);
  prog_free(p);
}

static void test_X8_redirects_to_any_spelling_reach_nothing(void **state) {
  (void)state;
  assert_true(SPELLINGS >= 120);
  for (int secure = 0; secure < 2; secure++) {
    guard g = {.to = spellings, .secure = secure};
    redirect_all(&g, SPELLINGS);
  }
}

static void test_X8_names_with_forbidden_answers_reach_nothing(void **state) {
  static char text[2 * FORBIDDEN][40];
  const char *hosts[2 * FORBIDDEN];
  (void)state;
  for (unsigned i = 0; i < 2 * FORBIDDEN; i++) {
    snprintf(text[i], sizeof text[i], "%c%u.example.org", i < FORBIDDEN ? 'n' : 'm', i % FORBIDDEN);
    hosts[i] = text[i];
  }
  guard g = {.to = hosts, .secure = true};
  redirect_all(&g, 2 * FORBIDDEN);
}

/* A name that is public when it is looked at and loopback afterwards: each request goes to the addresses that were judged for it. */
static void test_X8_a_name_that_changes_its_mind(void **state) {
  static const char *const hosts[] = {"rebinds.example.org", "rebinds.example.org", "rebinds.example.org"};
  (void)state;
  guard g = {.to = hosts, .secure = true};
  world w = {.on = serve, .names = names, .user = &g, .configure = follow};
  prog *p = world_begin(&w, program);
  for (unsigned i = 0; i < 3; i++) {
    char id[16], number[16];
    snprintf(id, sizeof id, "M%u", i), snprintf(number, sizeof number, "%u", i);
    prog_submit(p, id, number, "");
    prog_run_for(p, 2000000);
  }
  assert_int_equal(g.elsewhere, 1); /* the first time, to the public address (serve looks at the pins) */
  assert_int_equal(g.answers, 3);
  prog_free(p);
}

/* ---- what an operator writes ---------------------------------------------------------------------------------------------------- */

static bool refused(const char *field, const char *value, const char *more) {
  test_mem m;
  arena a;
  config c;
  char text[900];
  meta_conn one = {.name = "ehr", .kind = !strcmp(field, "base") ? "fhir" : "mllp"};
  meta mt = {.name = "t", .conns = &one, .nconns = 1};
  const meta *mods = &mt;
  test_mem_init(&m);
  arena_init(&a, &m.m, 0);
  config_init(&c, &a);
  snprintf(text, sizeof text, "{\"data\":\"d\",\"connections\":{\"ehr\":{\"%s\":\"%s\"%s}}}", field, value, more);
  assert_int_equal(config_read(&c, &m.m, "hdw.json", text, strlen(text)), HDW_OK);
  if (c.nproblems) fail_msg("%s", c.problems[0]);
  assert_int_equal(config_bind(&c, &mods, 1, false), HDW_OK);
  bool no = c.nproblems > 0;
  if (no && !strstr(c.problems[0], "grant.networks does not allow it")) fail_msg("%s", c.problems[0]);
  arena_free(&a);
  return no;
}

static void test_X8_X9_the_configuration_is_checked(void **state) {
  (void)state;
  for (unsigned i = 0; i < FORBIDDEN; i++) {
    char url_text[120], address_text[120];
    bool six = strchr(forbidden[i], ':') != NULL;
    snprintf(url_text, sizeof url_text, six ? "https://[%s]/r4" : "https://%s/r4", forbidden[i]);
    snprintf(address_text, sizeof address_text, six ? "[%s]:2575" : "%s:2575", forbidden[i]);
    if (!refused("base", url_text, "")) fail_msg("%s is taken", url_text);
    if (!refused("address", address_text, "")) fail_msg("%s is taken", address_text);
  }
  assert_true(refused("base", "http://localhost:8080", "") && refused("base", "http://a.localhost", "") && refused("address", "localhost:2575", ""));
  assert_false(refused("base", "https://8.8.8.8/r4", "") || refused("base", "https://ehr.example.org/r4", "") || refused("address", "8.8.8.8:2575", ""));
  assert_false(refused("base", "http://10.1.2.3", ",\"grant\":{\"networks\":[\"10.1.0.0/16\"]}") || refused("base", "http://localhost:8080", ",\"private_networks\":true"));
  assert_true(refused("base", "http://10.2.2.3", ",\"grant\":{\"networks\":[\"10.1.0.0/16\"]}"));
  /* Private networks do not include where clouds keep their keys, nor what is no network of hosts; a wide grant does not either. */
  static const char *const never[] = {"169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "[fd20:ce::254]", "192.0.0.192", "168.63.129.16"};
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    char url_text[80];
    snprintf(url_text, sizeof url_text, "http://%s/", never[i]);
    if (!refused("base", url_text, ",\"private_networks\":true")) fail_msg("%s is private", url_text);
    if (!refused("base", url_text, ",\"grant\":{\"networks\":[\"0.0.0.0/0\",\"::/0\"]}")) fail_msg("%s is in a wide grant", url_text);
  }
  assert_false(refused("base", "http://169.254.169.254/", ",\"grant\":{\"networks\":[\"169.254.169.254/32\"]}"));
  static const char *const no_host[] = {"0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1", "[fe80::1]", "[ff02::1]", "[::ffff:10.0.0.1]"};
  for (size_t i = 0; i < sizeof no_host / sizeof *no_host; i++) {
    char url_text[80];
    snprintf(url_text, sizeof url_text, "http://%s/", no_host[i]);
    if (!refused("base", url_text, ",\"private_networks\":true")) fail_msg("%s is private", url_text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_X8_redirects_to_any_spelling_reach_nothing),
      cmocka_unit_test(test_X8_names_with_forbidden_answers_reach_nothing),
      cmocka_unit_test(test_X8_a_name_that_changes_its_mind),
      cmocka_unit_test(test_X8_X9_the_configuration_is_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
