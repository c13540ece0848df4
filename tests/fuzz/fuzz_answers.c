/* What FHIR and REST servers answer, through the connections of a running program: the first byte says which call (bits 0-4). Then answers, one after the other, as they are
 * asked for: a status (or none: the connection is lost, or refused), a byte of headers (bits 0-1 Content-Type, 2 Location, 3 ETag, 4 Retry-After, 5 Link, 6 one more; each with
 * a line of its own from the input), and the body up to a byte 0x1e. Behind the last one everything is 410.
 *
 * Held: every request goes to the connection's own server, is one line of its own for the target and each header, and credentials stay there; a run ends, after a
 * bounded number of requests; what may have been done and cannot be told from a second one is not sent again; no value of an answer gets into errors, states and log. */
#include "rig.h"
#include "dispatch_http.h"

FZ_COUNTS_ITS_MEMORY

enum { ANSWERS = 24, MAX_REQUESTS = 200 };
#define VALUE "QUIXOTE FAMILY"
static const char *const calls[] = {
    "ehr.read(Patient, '1')", "ehr.vread(Patient, '1', '2')", "ehr.search(Patient, gender: 'male')", "ehr.search(Patient, identifier: token('urn:a', msg.PID-3.1), max: 5)",
    "ehr.history(Patient, '1')", "ehr.everything(Patient, '1', pages: 3)", "ehr.resolve('Patient/17')", "ehr.capabilities()", "ehr.create(Patient(gender: 'male'))",
    "ehr.create(Patient(gender: 'male'), if_none_exist: { identifier: 'a|b' })", "ehr.update(Patient(id: '1', active: true), if_match: '3')", "ehr.update(Patient(active: true), match: { identifier: 'a|b' })",
    "ehr.patch(Patient, '1', set: { active: true }, remove: ['deceasedBoolean'])", "ehr.delete(Patient, '1')", "ehr.delete(Patient, match: { identifier: 'a|b' })",
    "ehr.operation('$match', Patient, resource: Patient(id: '1'), count: 3)", "ehr.operation('$lookup', CodeSystem, code: 'x', safe: true)", "ehr.batch([Patient(id: '17', active: true)])",
    "ehr.transaction([Patient(gender: 'male'), Patient(id: '2')])", "crm.get('/a', query: { q: 'x y' })", "crm.post('/a', body: { a: 1 })", "crm.put('/a/1', body: { a: 1 })", "crm.delete('/a')",
    "counted.search(Patient, gender: 'male')"};
static const char *const loops[] = {"ehr.pages(Patient, gender: 'male')", "crm.pages('/list')", "linked.pages('/list')", "offset.pages('/list')", "cursor.pages('/list')", "page.pages('/list')"};
enum { CALLS = sizeof calls / sizeof *calls, LOOPS = sizeof loops / sizeof *loops };

static fz_engine x;
static feed answers;
static unsigned requests;
static bool unsafe, lost, sticky; /* the call; its request may have arrived, and there was no answer; the connection is another now */

static void on_log(void *user, engine_level level, const char *line, size_t n) {
  (void)user, (void)level;
  demand(!memmem(line, n, VALUE, strlen(VALUE)));
}

static bool one_line(const char *s) {
  for (; *s; s++)
    if (*s == '\r' || *s == '\n') return false;
  return true;
}

static void check_request(const io_http_req *q) {
  demand(q->https && q->port == 443 && (!strcmp(q->host, "ehr.example.org") || !strcmp(q->host, "crm.example.org")));
  demand(q->target[0] == '/' && eng_target_ok(q->target) && !strstr(q->target, "the-secret-t"));
  for (unsigned i = 0; i < q->nheaders; i++) demand(one_line(q->headers[i].name) && one_line(q->headers[i].value));
  demand(!lost || !unsafe);
  demand(++requests <= MAX_REQUESTS);
}

static void add(io_http_header *h, unsigned *n, const char *name, char out[300]) {
  size_t len, k = 0;
  const uint8_t *p = feed_until(&answers, '\n', &len);
  for (size_t i = 0; i < len && k < 299; i++)
    if (p[i] && p[i] != '\r') out[k++] = (char)p[i]; /* the client's own parser lets no others through */
  out[k] = 0;
  h[(*n)++] = (io_http_header){name, out};
}

static void serve(io *s, uint64_t id, const io_http_req *q, void *user) {
  static const int codes[] = {200, 200, 200, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410, 412, 415, 422, 425, 429, 500, 501, 502, 503, 504, 100, 999, 0, -1};
  static const char *const types[] = {"application/fhir+json; charset=utf-8", "application/json", "text/html", ""};
  io_http_header h[8];
  char v[6][300];
  unsigned n = 0;
  size_t len;
  (void)user;
  check_request(q);
  if (requests > ANSWERS || !answers.n) {
    io_http_res r = {.sent = true, .code = 410, .error = ""};
    io_sim_http_reply(s, id, &r, 0);
    return;
  }
  int code = codes[feed_byte(&answers) % (sizeof codes / sizeof *codes)];
  uint8_t how = feed_byte(&answers);
  if (types[how & 3][0]) h[n++] = (io_http_header){"Content-Type", types[how & 3]};
  if (how & 4) add(h, &n, "Location", v[0]);
  if (how & 8) add(h, &n, "ETag", v[1]);
  if (how & 16) add(h, &n, "Retry-After", v[2]);
  if (how & 32) add(h, &n, "Link", v[3]);
  if (how & 64) add(h, &n, "Last-Modified", v[4]);
  const uint8_t *body = feed_until(&answers, 0x1e, &len);
  io_http_res r = {.sent = code >= 0, .code = code, .headers = h, .nheaders = n, .body = body, .body_len = len, .error = ""};
  if (code <= 0) r.status = HDW_E_CLOSED, r.code = 0, r.nheaders = 0, r.body = NULL, r.body_len = 0;
  lost |= code == 0;
  sticky |= code <= 0 || code >= 400 || (how & 16);
  io_sim_http_reply(s, id, &r, 0);
}

static unsigned resolve(const char *host, io_addr *out, unsigned cap, void *user) {
  (void)host, (void)user;
  return cap && !io_addr_parse("93.184.216.34:443", &out[0]) ? 1 : 0;
}

/* The nth call's message is of this event; there is no ADT^A19. */
static unsigned event(unsigned n) { return n < 18 ? n + 1 : n + 2; }

static void program(buf *b) {
  static const char *const more[] = {"ehr = fhir(base: 'https://ehr.example.org/r4'", "counted = fhir(base: 'https://ehr.example.org/r4', page: by_offset('_offset', size: 2)", "crm = rest(base: 'https://crm.example.org/v1'",
    "linked = rest(base: 'https://crm.example.org/v1', page: link_header()", "offset = rest(base: 'https://crm.example.org/v1', page: by_offset('offset', size: 2)",
    "cursor = rest(base: 'https://crm.example.org/v1', page: by_cursor('meta.cursor', parameter: 'cursor')", "page = rest(base: 'https://crm.example.org/v1', page: by_page('page', first: 1)"};
  buf_puts(b, "hdw 1\nlistener adt = mllp(port: 2575)\n");
  for (size_t i = 0; i < sizeof more / sizeof *more; i++) buf_putf(b, "connection %s, auth: bearer(secret('t')), retry: retry(2, from: 1 second, to: 1 second))\n", more[i]);
  for (unsigned i = 0; i < CALLS; i++) buf_putf(b, "workflow w%u on msg = adt.message(types: ['ADT^A%02u']) {\n  step x = %s\n  return { x: x }\n}\n", i, event(i), calls[i]);
  for (unsigned i = 0; i < LOOPS; i++) buf_putf(b, "workflow l%u on msg = adt.message(types: ['ADT^A%02u']) {\n  for p in %s { log('page') }\n  return { ok: true }\n}\n", i, event(CALLS + i), loops[i]);
}

static void start(void) {
  static uint8_t *module;
  static size_t len;
  static arena kept;
  static io_mem m;
  if (!module) {
    buf b;
    io_mem_init(&m, 0), arena_init(&kept, &m.m, 0), buf_init(&b, &kept, 1 << 20);
    program(&b), buf_putc(&b, 0);
    fz_compile(&kept, b.p, &module, &len);
  }
  fz_start(&x, "{\"secrets\":{\"t\":{\"file\":\"t\"}}}", module, len, (engine_opts){.drivers = engine_drivers(), .log = on_log});
  io_sim_on_http(x.io, serve, NULL);
  io_sim_on_resolve(x.io, resolve, NULL);
}

static void on_reply(void *user, const engine_reply *r) { *(uint64_t *)user = r->input; }

static bool the_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  (void)part, (void)state;
  *(uint64_t *)user = id;
  return false;
}

static bool plain(cod_str s) { return !memmem(s.p, s.len, VALUE, strlen(VALUE)); }

static bool on_effect(const store_effect *e, void *user) {
  (void)user;
  demand(plain(e->error_code) && plain(e->error_text));
  return true;
}

/* The run has ended. */
static bool ended(uint64_t input) {
  uint64_t id = 0;
  store_run r;
  arena a;
  store *s = engine_store(x.e);
  if (!input || store_list_runs_of_input(s, 0, input, the_run, &id) || !id) return false;
  arena_init(&a, &x.mem.m, 0);
  demand(store_get_run(s, 0, id, &a, &r) == HDW_OK && plain(r.reason) && plain(r.error_code));
  bool over = r.state == RUN_DONE || r.state == RUN_FAILED || r.state == RUN_DEAD;
  if (over) demand(store_list_effects(s, 0, id, &a, on_effect, NULL) == HDW_OK);
  arena_free(&a);
  return over;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char msg[300];
  uint64_t input = 0;
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  if (size < 3 || size > 16384) return 0;
  if (!x.e) start();
  answers = (feed){data, size};
  unsigned which = feed_byte(&answers) % (CALLS + LOOPS);
  requests = 0, lost = sticky = false;
  unsafe = which < CALLS && (!strncmp(calls[which], "ehr.create(Patient(gender: 'male'))", 35) || strstr(calls[which], "$match") || strstr(calls[which], "transaction"));
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A%02u|C%u|P|2.5.1\rPID|1||4711||SMITH^JOHN\r", event(which), x.inputs);
  engine_submit_hl7(x.e, &src, msg, (size_t)n, on_reply, &input);
  for (int i = 0; i < 160 && !ended(input); i++) io_sim_advance(x.io, i < 100 ? 1000000 : INT64_C(600000000));
  demand(ended(input));
  /* A server that failed or asked for patience changes what the connection does next: then the next input gets another engine. */
  if (sticky || ++x.inputs >= 500) fz_end(&x);
  return 0;
}
