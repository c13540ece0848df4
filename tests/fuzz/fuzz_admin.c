/* The operator's API against an engine in which something happened: messages that were taken, refused, delivered, that wait and that are dead. The first byte: bits 0-2 who
 * calls (the owner on the socket; on the TCP door nobody, a viewer, an operator, somebody who may see values, a deployer; the observe door; raw bytes on the TCP door),
 * bit 3 what is sent is sent in pieces, bit 4 POST. Then the target up to a line feed, and a body; or the raw bytes.
 *
 * Held: there is an answer, and its body is JSON where it says so; who is not known gets nothing, and a role only what its row in admin_views says; values of messages are
 * shown to nobody but those who may see them and gave a reason; what is read, or refused, changes nothing but the audit trail; programs are changed by deployers only. */
#include "rig.h"
#include "admin_int.h"

FZ_COUNTS_ITS_MEMORY

#define SECRET_NAME "QUIXOTEFAMILY"
#define SECRET_NUMBER "MRN-90210-X"
enum { OWNER, NOBODY, VIEWER, OPERATOR, CARE, DEPLOYER, OBSERVE, RAW, CALLERS };
static const struct { const char *token; unsigned roles; } callers[CALLERS] = {
    [OWNER] = {NULL, ADMIN_ALL}, [VIEWER] = {"the-secret-v", ADMIN_VIEWER}, [OPERATOR] = {"the-secret-o", ADMIN_OPERATOR},
    [CARE] = {"the-secret-c", ADMIN_PHI}, [DEPLOYER] = {"the-secret-d", ADMIN_DEPLOYER}, [OBSERVE] = {NULL, ADMIN_OPEN}};

static const char program[] =
    "hdw 1\nlistener adt = mllp(port: 2575)\nlistener web = http()\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(2, from: 1 hour, to: 2 hours))\n"
    "connection old = rest(base: 'http://127.0.0.1:2')\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.1 {\n  if msg.PID-5.1.exists().not() { reject('AE', 'no name') }\n"
    "  step x = crm.post('/p', { name: msg.PID-5.1 })\n  send old.post('/q', { number: msg.PID-3.1 })\n  return { name: msg.PID-5.1 }\n}\n"
    "workflow lab on msg = adt.message(types: ['ORU^R01']) {\n  step y = crm.get('/broken')\n  return { ok: true }\n}\n"
    "workflow take on req = web.post(path: '/intake') {\n  return { got: req.body }\n}\n";
static const char configuration[] =
    "{\"secrets\":{\"v\":{\"file\":\"v\"},\"o\":{\"file\":\"o\"},\"c\":{\"file\":\"c\"},\"d\":{\"file\":\"d\"}},\"roles\":{\"viewer\":[\"token:v\"],\"operator\":[\"token:o\"],\"phi_viewer\":[\"token:c\"],\"deployer\":[\"token:d\"]},"
    "\"connections\":{\"old\":{\"on_dead\":\"hold\"}},\"admin_http\":{\"port\":9001},\"observe\":{\"port\":9002}}";

static fz_engine x;
static admin *ad;
static unsigned who;         /* calls now */
static bool changed;         /* something was asked to change the deployment */

static engine_mock_verdict on_mock(void *user, const engine_effect *f, arena *a, engine_mock_answer *out) {
  (void)user, (void)a;
  out->value = val_int(17);
  if (!strcmp(f->connection, "crm") && strcmp(f->path, "") && !f->delivery && strstr(f->workflow, "lab")) out->status = 404;
  else if (f->delivery && f->delivery % 2) out->status = f->delivery % 4 == 1 ? 503 : 422;
  else return MOCK_VALUE;
  return MOCK_ERROR;
}

static bool on_change(void *user, const admin_change *c, buf *problems) {
  (void)user;
  demand(who == OWNER || who == DEPLOYER);
  demand(c->what != ADMIN_DEPLOY || (c->file && c->bytes));
  changed = true;
  if (c->len % 2) return true;
  buf_puts(problems, "no: \"that\" is nothing\nand more\n");
  return false;
}

static void on_reply(void *user, const engine_reply *r) { (void)user, (void)r; }

static void live(void) {
  static const char *const types[] = {"ADT^A01", "ADT^A01", "ORU^R01", "ADT^A01", "SIU^S12", "ADT^A01"};
  for (unsigned i = 0; i < 6; i++) {
    char msg[400];
    engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
    int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||%s|C%u|P|2.5.1\rPID|1||" SECRET_NUMBER "^^^HOSP^MR||%s\r", types[i], i, i == 3 ? "" : SECRET_NAME "^ANN");
    engine_submit_hl7(x.e, &src, msg, (size_t)n, on_reply, NULL);
    io_sim_advance(x.io, 200000);
  }
  io_sim_advance(x.io, 5000000);
}

static void start(void) {
  static uint8_t *module;
  static size_t len;
  static arena kept;
  static io_mem m;
  char text[200] = "";
  if (!module) io_mem_init(&m, 0), arena_init(&kept, &m.m, 0), fz_compile(&kept, program, &module, &len);
  fz_start(&x, configuration, module, len, (engine_opts){.mock = on_mock, .mock_only = true});
  if (admin_new(x.io, x.e, &x.cfg, "/admin.sock", &ad, text)) fz_broken(text, 0);
  admin_on_change(ad, on_change, NULL);
  live();
  changed = false;
}

static void stop(void) {
  admin_free(ad);
  fz_end(&x);
}

/* ---- a caller ---------------------------------------------------------------------------------------------------------------------- */

typedef struct caller {
  io_sock *s;
  const char *out;
  size_t len, at, piece;
  char *in;
  size_t got, cap;
  bool end;
} caller;

static void on_event(io_sock *s, unsigned ev, void *user) {
  caller *c = (caller *)user;
  size_t n = 0;
  if (ev & IO_FAILED) c->end = true;
  if ((ev & IO_WRITE) && c->at < c->len) {
    size_t k = c->len - c->at;
    if (c->piece && k > c->piece) k = c->piece;
    if (!io_write(s, c->out + c->at, k, &n)) c->at += n;
    else c->at = c->len;
    if (c->at == c->len) io_shutdown(s);
  }
  if (ev & IO_READ) {
    if (c->cap - c->got < 65536) c->in = realloc(c->in, c->cap = c->cap * 2 + 65537), demand(c->in);
    hdw_status st = io_read(s, c->in + c->got, c->cap - c->got - 1, &n);
    if (!st) c->got += n;
    else if (st != HDW_E_AGAIN) c->end = true;
    c->in[c->got] = 0;
  }
  if (!c->end) io_sock_on(s, IO_READ | (c->at < c->len ? IO_WRITE : 0u), on_event, c);
  else io_sock_on(s, 0, on_event, c);
}

static void call(caller *c, const char *p, size_t n, size_t piece) {
  io_addr a = {.family = IO_ADDR_IP4, .ip = {127, 0, 0, 1}, .port = who == OBSERVE ? 9002 : 9001};
  if (who == OWNER) demand(!io_addr_parse("unix:/admin.sock", &a));
  *c = (caller){.out = p, .len = n, .piece = piece};
  demand(io_connect(x.io, &a, on_event, c, &c->s) == HDW_OK);
  for (int i = 0; i < 400 && !c->end; i++) io_sim_advance(x.io, i < 200 ? 1000 : 300000);
  io_close(c->s);
  io_sim_advance(x.io, 1000);
}

/* ---- what came back ------------------------------------------------------------------------------------------------------------------ */

static void check_json(const char *p, size_t n) {
  json_reader r;
  arena a;
  val v;
  arena_init(&a, &x.mem.m, 0);
  json_reader_init(&r, &x.mem.m);
  if (json_read(&r, &a, p, n, NULL, &v, NULL)) fprintf(stderr, "%.*s\n", (int)(n > 2000 ? 2000 : n), p), abort();
  json_reader_free(&r);
  arena_free(&a);
}

/* Status of the first answer; *body, *n: what follows its head. 0: there is none. */
static int status_of(const caller *c, const char **body, size_t *n) {
  const char *end = c->in ? strstr(c->in, "\r\n\r\n") : NULL;
  *body = "", *n = 0;
  if (!end) return 0;
  demand(c->got > 12 && !strncmp(c->in, "HTTP/1.1 ", 9));
  *body = end + 4, *n = c->got - (size_t)(end + 4 - c->in);
  return atoi(c->in + 9);
}

static bool has(const char *p, size_t n, const char *what) { return p && memmem(p, n, what, strlen(what)) != NULL; }

static const admin_view *view_of(const char *method, const char *path, size_t n) {
  for (const admin_view *v = admin_views; v->path; v++) {
    size_t k = strlen(v->path);
    bool below = v->path[k - 1] == '/';
    if (!strcmp(v->method, method) && (below ? n > k && !memcmp(path, v->path, k) : n == k && !memcmp(path, v->path, k))) return v;
  }
  return NULL;
}

static uint64_t recorded(void) { return store_applied(x.e->store) - x.e->audit.number; }

static void raw(feed *f, size_t piece) {
  caller c;
  const char *body;
  size_t n;
  uint64_t before = recorded();
  call(&c, (const char *)f->p, f->n, piece);
  int status = status_of(&c, &body, &n);
  demand(!status || status >= 400 || status == 100);
  demand(recorded() == before && !changed);
  demand(has((const char *)f->p, f->n, SECRET_NAME) || !has(c.in, c.got, SECRET_NAME));
  free(c.in);
}

static void request(feed *f, bool post, size_t piece) {
  caller c;
  size_t nt, len, n;
  char head[600];
  const uint8_t *target = feed_until(f, '\n', &nt);
  const char *body, *method = post ? "POST" : "GET";
  for (size_t i = 0; i < nt; i++)
    if (target[i] <= ' ' || target[i] >= 0x7f) nt = i; /* other heads are for the raw bytes */
  if (nt > 1500) return;
  buf b;
  arena a;
  arena_init(&a, &x.mem.m, 0), buf_init(&b, &a, 1 << 20);
  buf_putf(&b, "%s /%.*s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, (int)nt, (const char *)target);
  if (callers[who].token) snprintf(head, sizeof head, "Authorization: Bearer %s\r\n", callers[who].token), buf_puts(&b, head);
  if (post) buf_putf(&b, "Content-Length: %zu\r\n", f->n);
  buf_puts(&b, "\r\n");
  if (post) buf_put(&b, f->p, f->n);
  len = b.len;
  uint64_t before = recorded();
  call(&c, b.p, len, piece);
  int status = status_of(&c, &body, &n);
  demand(status >= 200 && status < 600);
  if (has(c.in, (size_t)(body - c.in), "application/json")) check_json(body, n);
  const char *query = memchr(target, '?', nt);
  size_t np = query ? (size_t)(query - (const char *)target) : nt;
  char path[1600];
  snprintf(path, sizeof path, "/%.*s", (int)np, (const char *)target);
  const admin_view *v = view_of(method, path, strlen(path));
  bool good = status < 400, may = v && (v->roles & callers[who].roles & (who == OBSERVE ? ADMIN_OPEN : ADMIN_ALL));
  demand(!good || may);
  demand(recorded() == before || (may && post));
  demand(!changed || (may && post));
  bool asked = has((const char *)target, nt, SECRET_NAME) || has((const char *)target, nt, SECRET_NUMBER) || has((const char *)f->p, f->n, SECRET_NAME) || has((const char *)f->p, f->n, SECRET_NUMBER);
  bool reason = query && has(query, nt - np, "reason=");
  bool sees = who == OWNER || (who == CARE && (reason || !strncmp(path, "/log", 4)));
  if (!sees && !asked) demand(!has(c.in, c.got, SECRET_NAME) && !has(c.in, c.got, SECRET_NUMBER));
  free(c.in);
  arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  feed f = {data, size};
  if (size < 2 || size > 8192) return 0;
  if (!x.e) start();
  uint8_t how = feed_byte(&f);
  who = how & 7;
  uint64_t before = recorded();
  if (who == RAW) raw(&f, how & 8 ? 5 : 0);
  else request(&f, how & 16, how & 8 ? 7 : 0);
  /* The same state for each input: a new one when something happened (what was asked for stands in the audit trail), and now and then. */
  bool named = has((const char *)data, size, SECRET_NAME) || has((const char *)data, size, SECRET_NUMBER);
  if (changed || named || recorded() != before || ++x.inputs >= 500) stop();
  return 0;
}
