/* A request that finds no memory was not sent; an answer that finds none says nothing: not that nobody was found, not that it was refused.
 * Each allocation of a run fails once, with the real drivers. */
#include "http_rig.h"

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\n"
    "connection ehr = fhir(base: 'https://ehr.example.org/r4', retry: retry(0), breaker: breaker(failures: 0, cooldown: 1 second))\n"
    "connection crm = rest(base: 'https://crm.example.org/v1', retry: retry(0), breaker: breaker(failures: 0, cooldown: 1 second))\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n"
    "  step found = ehr.search(Patient, identifier: token('urn:x', msg.PID-3.1))\n"
    "  step more = crm.get('/more', query: { id: found.match.first().id })\n"
    "  step saved = crm.put('/saved', body: { id: found.match.first().id, known: found.match.count(), more: more.list[1].n })\n"
    "  send crm.post('/sent', body: { id: saved.id, known: found.match.count() })\n"
    "  return { id: found.match.first().id }\n}\n";

/* So many that the answer needs memory of its own at several places. */
static unsigned found;
static char bundle[120000];
static void make_bundle(unsigned n_found) {
  found = n_found;
  size_t n = (size_t)snprintf(bundle, sizeof bundle, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":%u,\"entry\":[", found);
  for (unsigned i = 0; i < found; i++)
    n += (size_t)snprintf(bundle + n, sizeof bundle - n,
                          "%s{\"fullUrl\":\"https://ehr.example.org/r4/Patient/"
                          "%u\",\"search\":{\"mode\":\"match\"},\"resource\":{\"resourceType\":\"Patient\",\"id\":\"%u\",\"name\":[{"
                          "\"family\":\"Okafor\"}]}}",
                          i ? "," : "", 17 + i, 17 + i);
  snprintf(bundle + n, sizeof bundle - n, "]}");
}

typedef struct heard {
  unsigned put, post;
  char key[80]; /* of the first /saved */
  const char *wrong;
} heard;

static const char *header(const io_http_req *q, const char *name) {
  for (unsigned i = 0; i < q->nheaders; i++)
    if (!strcasecmp(q->headers[i].name, name)) return q->headers[i].value;
  return "";
}

static reply serve(world *w, const io_http_req *q) {
  heard *h = (heard *)w->user;
  char body[200], wanted[200];
  w->n = 0; /* nothing is looked up there, and there is room for so many */
  snprintf(body, sizeof body, "%.*s", (int)(q->body_len < 190 ? q->body_len : 190), q->body_len ? (const char *)q->body : "");
  if (!strcmp(q->host, "ehr.example.org")) return (reply){200, bundle, NULL, NULL};
  if (strstr(q->target, "/more")) {
    if (!strstr(q->target, "id=17")) h->wrong = "asked for another one";
    return (reply){200, "{\"list\":[{\"n\":1},{\"n\":2}]}", NULL, NULL};
  }
  if (strstr(q->target, "/saved")) {
    snprintf(wanted, sizeof wanted, "{\"id\":\"17\",\"known\":%u,\"more\":2}", found);
    if (strcmp(body, wanted) != 0) h->wrong = "saved what was not found";
    if (!h->put++) snprintf(h->key, sizeof h->key, "%s", header(q, "Idempotency-Key"));
    else if (strcmp(h->key, header(q, "Idempotency-Key")) != 0) h->wrong = "saved again under another key";
    return (reply){200, "{\"id\":5}", NULL, NULL};
  }
  snprintf(wanted, sizeof wanted, "{\"id\":5,\"known\":%u}", found);
  if (strcmp(body, wanted) != 0) h->wrong = "sent what was not saved";
  h->post++;
  return (reply){201, "{\"id\":9}", NULL, NULL};
}

static bool one_more(uint16_t part, uint64_t id, uint8_t state, void *user) {
  (void)part, (void)id, (void)state;
  return ++*(unsigned *)user;
}

/* Pages, a patch, a transaction, branches, a condition: what calls of several requests get. */
static const char longer[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\n"
    "connection ehr = fhir(base: 'https://ehr.example.org/r4', retry: retry(0), breaker: breaker(failures: 0, cooldown: 1 second))\n"
    "connection crm = rest(base: 'https://crm.example.org/v1', retry: retry(0), breaker: breaker(failures: 0, cooldown: 1 second))\n"
    "workflow w on msg = adt.message(types: ['ADT^A01']) {\n"
    "  step pat = ehr.read(Patient, '17')\n"
    "  step patched = ehr.patch(Patient, '17', set: { active: true })\n"
    "  step both = ehr.transaction([\n"
    "    { resource: { resourceType: 'Basic', code: { text: 'x' } }, request: { method: 'POST', url: 'Basic', ifNoneExist: 'identifier=t|1' } },\n"
    "    { resource: { resourceType: 'Basic', code: { text: 'x' } }, request: { method: 'POST', url: 'Basic', ifNoneExist: 'identifier=t|2' } }])\n"
    "  for page in ehr.pages(Observation, patient: '17') {\n"
    "    send crm.post('/page', body: { n: page.match.count(), first: page.match.first().id })\n"
    "  }\n"
    "  step three = parallel for x in [1, 2, 3] limit 2 {\n"
    "    step p = ehr.create(Basic(code: CodeableConcept(text: 'y')), if_none_exist: { identifier: token('urn:p', \"{x}\") })\n"
    "    yield p.id\n"
    "  }\n"
    "  send crm.post('/all', body: { pat: pat.name.family.first(), active: patched.active, t: both.entry.id.join(','), three: three.join(',') })\n"
    "  return {}\n}\n";

typedef struct chart {
  unsigned version, first, second, all;
  const char *wrong;
} chart;

static const char *entries(unsigned from, unsigned n, const char *next) {
  static char t[20000];
  size_t at = (size_t)snprintf(t, sizeof t, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"link\":[%s%s%s],\"entry\":[", next ? "{\"relation\":\"next\",\"url\":\"" : "", next ? next : "", next ? "\"}" : "");
  for (unsigned i = from; i < from + n; i++)
    at += (size_t)snprintf(t + at, sizeof t - at, "%s{\"search\":{\"mode\":\"match\"},\"resource\":{\"resourceType\":\"Observation\",\"id\":\"o%u\",\"status\":\"final\",\"code\":{\"text\":\"x\"}}}", i == from ? "" : ",", i);
  snprintf(t + at, sizeof t - at, "]}");
  return t;
}

static reply serve_chart(world *w, const io_http_req *q) {
  static char t[2000], etag[20];
  chart *c = (chart *)w->user;
  char body[3000];
  w->n = 0;
  snprintf(body, sizeof body, "%.*s", (int)(q->body_len < 2990 ? q->body_len : 2990), q->body_len ? (const char *)q->body : "");
  if (strstr(q->target, "/page")) {
    c->first += !strcmp(body, "{\"n\":40,\"first\":\"o1\"}"), c->second += !strcmp(body, "{\"n\":7,\"first\":\"o41\"}");
    if (strcmp(body, "{\"n\":40,\"first\":\"o1\"}") != 0 && strcmp(body, "{\"n\":7,\"first\":\"o41\"}") != 0) c->wrong = "half a page";
    return (reply){201, "{}", NULL, NULL};
  }
  if (strstr(q->target, "/all")) {
    c->all++;
    if (strcmp(body, "{\"pat\":\"Okafor\",\"active\":true,\"t\":\"t1,t2\",\"three\":\"p1,p2,p3\"}") != 0) c->wrong = "not all of it";
    return (reply){201, "{}", NULL, NULL};
  }
  if (strstr(q->target, "/Patient/17")) {
    bool patch = !strcmp(q->method, "PATCH");
    snprintf(etag, sizeof etag, "W/\"%u\"", c->version);
    if (patch && strcmp(header(q, "If-Match"), etag) != 0) return (reply){412, "{}", NULL, NULL};
    if (patch) snprintf(etag, sizeof etag, "W/\"%u\"", ++c->version);
    snprintf(t, sizeof t, "{\"resourceType\":\"Patient\",\"id\":\"17\",\"meta\":{\"versionId\":\"%u\"},\"name\":[{\"family\":\"Okafor\"}]%s}", c->version, patch || c->version > 1 ? ",\"active\":true" : "");
    return (reply){200, t, "ETag", etag};
  }
  if (strstr(q->target, "/Observation")) return (reply){200, entries(1, 40, "https://ehr.example.org/r4?page=2"), NULL, NULL};
  if (strstr(q->target, "?page=2")) return (reply){200, entries(41, 7, NULL), NULL, NULL};
  if (strstr(q->target, "/Basic")) {
    const char *of = strstr(header(q, "If-None-Exist"), "%7C");
    snprintf(t, sizeof t, "{\"resourceType\":\"Basic\",\"id\":\"p%c\",\"code\":{\"text\":\"y\"}}", of ? of[3] : '?');
    return (reply){201, t, NULL, NULL};
  }
  return (reply){200, "{\"resourceType\":\"Bundle\",\"type\":\"transaction-response\",\"entry\":[{\"response\":{\"status\":\"201\",\"location\":\"Basic/t1/_history/1\"}},{\"response\":{\"status\":\"201\",\"location\":\"Basic/t2/_history/1\"}}]}", NULL, NULL};
}

/* Every place of a run at which memory is asked for, with so many patients in the answer. Returns how often something was put again. */
static unsigned walk(unsigned patients) {
  static const uint8_t states[] = {RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED, RUN_DEAD};
  heard h = {0};
  world w = {.on = serve, .type = "application/json", .user = &h};
  make_bundle(patients);
  prog *p = world_begin(&w, program);
  unsigned again = 0;
  long at = 0;
  for (bool reached = true; reached; at++) {
    char name[24];
    h = (heard){0};
    snprintf(name, sizeof name, "M%ld", at);
    prog_submit(p, name, "4711", "");
    p->mem.fail_after = at, p->mem.fail_more = 3; /* an arena asks for less when it does not get much */
    prog_run_for(p, 400000);
    reached = p->mem.fail_after < 0 || p->mem.fail_more < 3;
    p->mem.fail_after = -1, p->mem.fail_more = 0;
    if (p->e->failed) world_restart(p, &w); /* the state could not follow the log: the process ends */
    prog_run_for(p, 400000000);
    unsigned others = 0;
    for (unsigned i = 0; i < sizeof states; i++)
      assert_int_equal(store_list_runs(engine_store(p->e), ENG_PART, states[i], 0, 0, one_more, &others), HDW_OK);
    if (h.wrong) fail_msg("%u patients, at %ld: %s", patients, at, h.wrong);
    if (others || h.put < 1 || h.post < 1)
      fail_msg("%u patients, at %ld: %u runs are not done, put %u, posted %u times", patients, at, others, h.put, h.post);
    again += h.put > 1;
  }
  assert_true(at > 30);
  prog_free(p);
  return again;
}

static void test_without_memory_nothing_is_found_out(void **state) {
  (void)state;
  unsigned again = 0;
  for (unsigned patients = 1; patients < 400; patients += patients < 10 ? 1 : patients / 4)
    again += walk(patients); /* chunks end at another place each time */
  assert_true(again > 0);
}

static void test_nor_from_calls_of_several_requests(void **state) {
  (void)state;
  static const uint8_t states[] = {RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_PARKED, RUN_DEAD};
  chart c = {.version = 1};
  world w = {.on = serve_chart, .user = &c};
  prog *p = world_begin(&w, longer);
  long at = 0;
  for (bool reached = true; reached; at++) {
    char name[24];
    c = (chart){.version = 1};
    snprintf(name, sizeof name, "M%ld", at);
    prog_submit(p, name, "4711", "");
    p->mem.fail_after = at, p->mem.fail_more = 3;
    prog_run_for(p, 2000000);
    reached = p->mem.fail_after < 0 || p->mem.fail_more < 3;
    p->mem.fail_after = -1, p->mem.fail_more = 0;
    if (p->e->failed) world_restart(p, &w);
    prog_run_for(p, 400000000);
    unsigned others = 0;
    for (unsigned i = 0; i < sizeof states; i++) assert_int_equal(store_list_runs(engine_store(p->e), ENG_PART, states[i], 0, 0, one_more, &others), HDW_OK);
    if (c.wrong) fail_msg("at %ld: %s", at, c.wrong);
    if (others || !c.first || !c.second || !c.all) fail_msg("at %ld: %u runs are not done, pages %u and %u times, all of it %u times", at, others, c.first, c.second, c.all);
  }
  if (getenv("SHOW")) printf("%ld places\n", at);
  assert_true(at > 60);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nor_from_calls_of_several_requests),
      cmocka_unit_test(test_without_memory_nothing_is_found_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
