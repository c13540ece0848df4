/* What a caller hears, and what is done, when the memory or the state fails anywhere between a request's bytes and its record; requests that come while something
 * changes: a login, a listener that closes, a module that goes. */
#include "walk_rig.h"

static char heard[2000];     /* the body of the last effect */
static engine_mock_verdict listen_world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  buf b;
  buf_init(&b, a, 4096);
  (void)json_write(jv_get(f->request, "body"), &b, NULL);
  if (!b.status) snprintf(heard, sizeof heard, "%.*s", (int)b.len, b.p); /* else the test's own memory failed */
  return ack_world(p, f, a, out);
}

#define HEAD "hdw 1\nlistener adt = mllp()\nlistener web = http()\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
static const char program[] =
    HEAD
    "workflow api on req = web.post('/api') { send crm.post('/z', body: { q: req.query, h: req.headers, b: req.body, m: req.method }) }\n"
    "workflow api_too on req = web.post('/api') { if req.method = 'never' { send crm.post('/z', body: { q: 1 }) } }\n"
    "workflow heard on msg = adt.message(types: ['ADT^A01']) { send crm.post('/z', body: { id: msg.PID-3.idNumber }) }\n"
    "workflow got on req = web.get('/got') { send crm.post('/z', body: { m: req.method }) }\n"
    "workflow hl7 on msg = web.message('/hl7', types: ['ADT^A01']) { send crm.post('/z', body: { id: msg.PID-3.idNumber }) }\n";

#define HL7 "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|P|2.5.1\rPID|1||1||SMITH^JOHN\r"

static ackrig *begin(const char *text, const char *web) {
  ackrig *x = ack_new(text, "", web);
  x->p->world = listen_world;
  return x;
}

static const char *request(ackrig *x, const char *line, const char *headers, const char *body) {
  peer *p = ack_connect(x, 8080);
  char t[3000];
  int len = snprintf(t, sizeof t, "%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n%s\r\n%s", line, strlen(body), headers, body);
  const char *got = ack_say_for(x, p, t, (size_t)len, 400000);
  ack_hang_up(p);
  return got;
}
static int status(const char *answer) { return strlen(answer) > 12 ? atoi(answer + 9) : 0; }

/* ---- every step of the way, on the wire -------------------------------------------------------------------------------------------------- */

/* One request while the nth allocation fails; true: there was one. whole: what the program must have seen when it saw anything. */
static bool one_request(ackrig *x, walk_how how, long at, bool hl7, const char *whole) {
  char id[40], headers[300], body[300], line[400];
  snprintf(id, sizeof id, "W%d-%d-%ld", hl7, (int)how, at);
  snprintf(headers, sizeof headers, "X-One: 1\r\nX-One: 2\r\nContent-Type: %s\r\nIdempotency-Key: %s\r\n", hl7 ? "application/hl7-v2" : "application/json", id);
  snprintf(body, sizeof body, hl7 ? HL7 : "{\"id\":\"%s\"}", id);
  snprintf(line, sizeof line, hl7 ? "POST /hl7" : "POST /api?a=1&a=2&a=3&b=x%0300d", 0);
  heard[0] = 0;
  unsigned before = x->calls;
  uint64_t stored = ack_stored(x);
  peer *p = ack_connect(x, 8080);
  char t[1500];
  int len = snprintf(t, sizeof t, "%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n%s\r\n%s", line, strlen(body), headers, body);
  walk_begin(x, how, at);
  const char *got = ack_say_for(x, p, t, (size_t)len, 20000);
  bool reached = walk_end(x);
  ack_hang_up(p);
  int code = status(got);
  prog_run_for(x->p, 20000000); /* without memory a run is tried again later */
  bool good = (code == 202 && !hl7) || (code == 200 && hl7 && strstr(got, "MSA|AA|"));
  bool again = code == 503 || code == 0 || code == 500 || (code == 200 && hl7 && strstr(got, "MSA|AE|"));
  if (!good && !again) fail_msg("%s: %s", id, got);
  if (good && ack_stored(x) != stored + 1) fail_msg("%s: %d, and it is not stored", id, code);
  code = status(request(x, line, headers, body));
  prog_run_for(x->p, 20000000);
  bool once = x->calls == before + 1 || (reached && x->calls == before + 2); /* a delivery whose end could not be written goes again, under its key */
  if (code != (hl7 ? 200 : 202) || ack_stored(x) != stored + 1 || !once)
    fail_msg("%s: %d when it came again, %u calls, %u stored", id, code, x->calls - before, (unsigned)(ack_stored(x) - stored));
  if (!strstr(heard, whole) && (heard[0] || !reached)) fail_msg("%s: %s", id, heard);
  return reached;
}

static void test_H49_without_memory_a_request_is_taken_whole_or_comes_again(void **state) {
  (void)state;
  for (int kind = 0; kind < 8; kind++) {
    int hl7 = kind & 1;
    ackrig *x = begin(program, "");
    long at = 0;
    walk_given = kind & 4 ? 8192 : 0;
    while (one_request(x, kind & 2 ? WALK_THREE : WALK_ONE, at, hl7, hl7 ? "\"id\":[\"1\"]" : "\"q\":{\"a\":[\"1\",\"2\",\"3\"],\"b\":\"x0")) at++;
    assert_true(at > 10);
    if (!hl7) assert_non_null(strstr(heard, "\"x-one\":\"1, 2\""));
    ack_free(x);
  }
  walk_given = 0;
}

/* B-13: half a list of keys would make the others' signatures wrong. */
static void test_B13_keys_are_served_whole_or_not_now(void **state) {
  (void)state;
  ackrig *x = begin(program, "\"jwks\":\"/jwks.json\"");
  unsigned refused = 0;
  long at = 0;
  for (bool reached = true; reached; at++) {
    peer *p = ack_connect(x, 8080);
    walk_begin(x, WALK_THREE, at);
    const char *got = ack_say_for(x, p, LIT("GET /jwks.json HTTP/1.1\r\nHost: h\r\n\r\n"), 20000);
    reached = walk_end(x);
    ack_hang_up(p);
    refused += status(got) == 503;
    if (status(got) == 200 && !strstr(got, "{\"keys\":[]}")) fail_msg("at %ld: %s", at, got);
  }
  assert_true(refused > 0);
  ack_free(x);
}

/* ---- every step of the way, in the engine ------------------------------------------------------------------------------------------------- */

typedef struct kept {
  engine_reply r;
  char text[600];
  unsigned n;
} kept;
static void keep(void *user, const engine_reply *r) {
  kept *k = (kept *)user;
  k->n++, k->r = *r;
  snprintf(k->text, sizeof k->text, "%.*s", (int)r->len, r->len ? (const char *)r->p : "");
}
static kept give(ackrig *x, const char *id, int64_t us) {
  kept *k = (kept *)arena_zalloc(&x->p->a, 1, sizeof *k); /* answers may come later than we wait */
  char body[6000];
  snprintf(body, sizeof body, "{\"id\":\"%s\",\"pad\":\"%05000d\"}", id, 0); /* more than an arena's first chunk */
  post_request(x->p->e, "application/json", "/api", body, id, keep, k);
  if (walk.get) (void)walk_end(x);
  prog_run_for(x->p, us);
  return *k;
}

static const char once_program[] = HEAD "workflow api on req = web.post('/api') once by req.body.id within 1 hour { send crm.post('/z', body: { id: req.body.id }) }\n";
static const char once_after[] = HEAD "workflow api on req = web.post('/api') once by req.body.id within 1 hour ack after run within 5 seconds else AE {\n"
                                      "  step s = crm.post('/z', body: { id: req.body.id })\n  return { id: req.body.id }\n}\n";

typedef enum fate { NEW, DONE, DEAD, LATE, ECHO } fate; /* ECHO: it never came, but it went out from here */
typedef struct scene {
  const char *name, *program, *options;
  fate first;                /* what became of it when it came the first time */
  unsigned calls;            /* that are still to be made */
} scene;

static void prepare(ackrig *x, const scene *s, const char *id) {
  x->status = s->first == DEAD ? 422 : 0;
  x->delay_us = s->first == LATE ? 8000000 : 0;
  if (s->first == ECHO) {
    eng_call out = {.e = x->p->e, .c = x->p->e->conns[0]};
    snprintf(out.idem, sizeof out.idem, "%s", id);
    eng_echo_sends(&out, "", 0);
    prog_run_for(x->p, 1000000);
    memset(x->p->e->echoes, 0, sizeof x->p->e->echoes); /* of an earlier life: only the state knows */
  } else if (s->first != NEW) {
    kept k = give(x, id, s->first == LATE ? 6000000 : 1000000);
    assert_int_equal(k.r.http_status, s->first == DONE ? 200 : s->first == LATE ? 504 : 500);
  }
  x->status = 0;
}

static bool one_failure(ackrig *x, const scene *s, walk_how how, long at) {
  char id[40];
  snprintf(id, sizeof id, "%s-%d-%ld", s->name, (int)how, at);
  prepare(x, s, id);
  unsigned before = x->calls;
  walk_begin(x, how, at);
  kept first = give(x, id, 10000000);
  bool reached = walk.n > walk.at;
  memset(&walk, 0, sizeof walk);
  bool taken = first.r.http_status < 300;
  if (first.n != 1 || (!taken && first.r.http_status != 503 && first.r.http_status != 500)) fail_msg("%s: %u answers, %d", id, first.n, first.r.http_status);
  if (taken && x->calls != before + s->calls) fail_msg("%s: taken, and %u calls", id, x->calls - before);
  kept again = give(x, id, 10000000);
  if (again.n != 1 || again.r.http_status >= 300) fail_msg("%s: %d when it came again", id, again.r.http_status);
  if (x->calls != before + s->calls) fail_msg("%s: %u calls instead of %u", id, x->calls - before, s->calls);
  if (taken && strcmp(first.text, again.text)) fail_msg("%s: '%s' and then '%s'", id, first.text, again.text);
  return reached;
}

static void test_H13_H53_whatever_fails_on_the_way_the_caller_hears_it_and_nothing_is_done_twice(void **state) {
  (void)state;
  static const scene scenes[] = {{"new", once_program, "\"echo_of\":[\"crm\"]", NEW, 1}, {"done", once_after, "", DONE, 0}, {"dead", once_after, "", DEAD, 1},
                                 {"late", once_after, "", LATE, 0},                    {"echo", once_program, "\"echo_of\":[\"crm\"]", ECHO, 0}};
  walk_given = 8192;
  for (unsigned i = 0; i < sizeof scenes / sizeof *scenes; i++)
    for (walk_how how = 0; how < WALK_HOWS; how++) {
      ackrig *x = ack_new(scenes[i].program, "", scenes[i].options);
      long at = 0;
      while (one_failure(x, &scenes[i], how, at)) at++;
      if (at < 5) fail_msg("%s: %ld places", scenes[i].name, at);
      ack_free(x);
    }
}

/* The disk fails under the record: 503, and not 202. */
static void test_H13_what_cannot_be_synced_is_refused(void **state) {
  (void)state;
  ackrig *x = begin(program, "");
  kept k = {.n = 0};
  post_request(x->p->e, "application/json", "/api", "{}", "K", keep, &k);
  assert_int_equal(k.n, 0);
  io_sim_fault(x->p->io, IO_SIM_SYNC, 1, HDW_E_IO, true);
  prog_run_for(x->p, 1000000);
  assert_int_equal(k.n, 1);
  assert_int_equal(k.r.http_status, 503);
  io_sim_fault(x->p->io, IO_SIM_SYNC, 0, HDW_OK, false);
  ack_free(x);
}

/* ---- while something changes ---------------------------------------------------------------------------------------------------------------- */

/* A login that is withdrawn between a request's head and its body is none any more. */
static void test_H50_a_login_is_looked_at_again_behind_the_body(void **state) {
  (void)state;
  for (int withdrawn = 0; withdrawn < 2; withdrawn++) {
    ackrig *x = begin(program, "\"bearer\":[\"app=tok1\"]");
    eng_listener *l = eng_listener_find(x->p->e, "web");
    config_listener_opts without = *l->o;
    const config_listener_opts *was = l->o;
    static const char *other[] = {"app=pw1"};
    without.bearer = (config_list){other, 1};
    peer *p = ack_connect(x, 8080);
    (void)ack_say(x, p, "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nAuthorization: Bearer tok1\r\n\r\n");
    if (withdrawn) l->o = &without;
    assert_int_equal(status(ack_say(x, p, "x")), withdrawn ? 401 : 202);
    assert_int_equal(ack_stored(x), withdrawn ? 0 : 1);
    l->o = was;
    ack_hang_up(p);
    ack_free(x);
  }
}

/* H-12: by name of a client certificate; who shows none, or another, hears 403 before its body is read. */
static void test_H12_only_named_certificates_may_ask(void **state) {
  (void)state;
  ackrig *x = begin(program, "");
  eng_listener *l = eng_listener_find(x->p->e, "web");
  config_listener_opts named = *l->o;
  const config_listener_opts *was = l->o;
  static const char *clients[] = {"lab=lab.example"};
  http_head h;
  http_header extra;
  size_t most = 0;
  const char *why, text[] = "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n";
  named.clients = (config_list){clients, 1};
  assert_int_equal(http_head_parse(&h, text, sizeof text - 1, &why), 0);
  l->o = &named;
  assert_int_equal(eng_http_head(l, &(http_request){.head = &h, .sans = "rad.example\n"}, &most, &extra), 403);
  assert_int_equal(eng_http_head(l, &(http_request){.head = &h, .sans = ""}, &most, &extra), 403);
  assert_int_equal(eng_http_head(l, &(http_request){.head = &h, .sans = "rad.example\nlab.example\n"}, &most, &extra), 0);
  l->o = was;
  assert_int_equal(ack_info(x, "web").unauthorised, 2);
  ack_free(x);
}

/* A listener closes while a caller waits for a run: the run goes on, and its answer is for nobody. */
static void test_an_answer_behind_the_end_of_its_listener(void **state) {
  (void)state;
  ackrig *x = begin(once_after, "");
  x->delay_us = 2000000;
  assert_int_equal(status(request(x, "POST /api", "Content-Type: application/json\r\n", "{\"id\":\"a\"}")), 0);
  peer *p = ack_connect(x, 8080);
  (void)ack_say(x, p, "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nContent-Type: application/json\r\n\r\n{\"id\":\"b\"}");
  eng_listener_close(eng_listener_find(x->p->e, "web"));
  prog_run_for(x->p, 5000000);
  assert_int_equal(p->in_len, 0);
  assert_int_equal(x->calls, 2);
  assert_int_equal(prog_the_run(x->p, 1).state, RUN_DONE);
  ack_hang_up(p);
  ack_free(x);
}

/* The same key while its run is under way: both wait for it, and hear the same. */
static void test_H53_a_repetition_waits_for_the_run_that_is_under_way(void **state) {
  (void)state;
  ackrig *x = begin(once_after, "");
  kept k[2];
  memset(k, 0, sizeof k);
  x->delay_us = 2000000;
  for (unsigned i = 0; i < 2; i++) {
    post_request(x->p->e, "application/json", "/api", "{\"id\":\"a\"}", "K", keep, &k[i]);
    prog_run_for(x->p, 500000);
    assert_int_equal(k[i].n, 0);
  }
  prog_run_for(x->p, 5000000);
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(k[i].n, 1);
    assert_int_equal(k[i].r.http_status, 200);
    assert_string_equal(k[i].text, "{\"id\":\"a\"}");
  }
  assert_int_equal(x->calls, 1);
  ack_free(x);
}

static void test_routes_of_modules_that_are_there(void **state) {
  (void)state;
  ackrig *x = begin(program, "");
  char allow[64];
  assert_int_equal(engine_route(x->p->e, "web", "POST", "/api", allow), 2);
  assert_int_equal(engine_route(x->p->e, "adt", "POST", "/api", allow), 0); /* a message's trigger has no path */
  assert_int_equal(engine_route(x->p->e, "web", "GET", "/api", allow), 1);
  assert_string_equal(allow, "POST"); /* of two workflows, named once */
  kept bare = {.n = 0};
  engine_request q = {.src = {.listener = "web", .method = "POST", .path = "/api"}}; /* without query, headers and body */
  engine_submit_request(x->p->e, &q, keep, &bare);
  prog_run_for(x->p, 1000000);
  assert_int_equal(bare.r.http_status, 202);
  assert_non_null(strstr(heard, "\"q\":{},\"h\":{}"));
  x->p->e->apps[0]->retired = true; /* only runs that began with it need it */
  assert_int_equal(engine_route(x->p->e, "web", "POST", "/api", allow), 0);
  x->p->e->apps[0]->retired = false;
  engine_drain(x->p->e, 1000000, NULL, NULL);
  kept k = {.n = 0};
  post_request(x->p->e, "application/json", "/api", "{}", NULL, keep, &k);
  assert_int_equal(k.r.http_status, 503);
  assert_int_equal(ack_stored(x), 1);
  ack_free(x);
}

static void test_H48_a_charset_between_tabs_and_a_head_without_fields(void **state) {
  (void)state;
  ackrig *x = begin(program, "");
  char body[200];
  snprintf(body, sizeof body, HL7, "M1");
  assert_int_equal(status(request(x, "POST /hl7", "Content-Type: application/hl7-v2; charset=\tutf-8\t; x=y\r\n", body)), 200);
  peer *p = ack_connect(x, 8080);
  assert_int_equal(status(ack_say(x, p, "GET /got HTTP/1.0\r\n\r\n")), 202);
  prog_run_for(x->p, 1000000);
  assert_non_null(strstr(heard, "\"m\":\"GET\""));
  ack_hang_up(p);
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H49_without_memory_a_request_is_taken_whole_or_comes_again),
      cmocka_unit_test(test_B13_keys_are_served_whole_or_not_now),
      cmocka_unit_test(test_H13_H53_whatever_fails_on_the_way_the_caller_hears_it_and_nothing_is_done_twice),
      cmocka_unit_test(test_H13_what_cannot_be_synced_is_refused),
      cmocka_unit_test(test_H50_a_login_is_looked_at_again_behind_the_body),
      cmocka_unit_test(test_H12_only_named_certificates_may_ask),
      cmocka_unit_test(test_an_answer_behind_the_end_of_its_listener),
      cmocka_unit_test(test_H53_a_repetition_waits_for_the_run_that_is_under_way),
      cmocka_unit_test(test_routes_of_modules_that_are_there),
      cmocka_unit_test(test_H48_a_charset_between_tabs_and_a_head_without_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
