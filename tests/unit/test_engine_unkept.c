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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_without_memory_nothing_is_found_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
