/* oom_engine.c - scenarios of the engine for oom.c. Each does its work as far as it gets: a refusal is an answer, and everything is given back. */
#include "oom.h"
#include "admin.h"
#include <stdio.h>
#include <string.h>

static engine_mock_verdict outside(void *user, const engine_effect *f, arena *a, engine_mock_answer *out) {
  place *p = (place *)user;
  (void)a;
  unsigned k = 0;
  while (k < p->nkeys && strcmp(p->keys[k], f->idempotency_key) != 0) k++;
  if (k == p->nkeys && k < MAX_KEYS && (!p->counted || !strcmp(p->counted, f->connection))) snprintf(p->keys[p->nkeys++], sizeof p->keys[0], "%s", f->idempotency_key);
  val body = jv_get(f->request, "body"), q = jv_get(body, "q");
  if (q.tag == VAL_OBJ && (jv_get(q, "a").tag != VAL_STR || jv_get(jv_get(body, "h"), "x-a").tag != VAL_STR)) p->wrong = "an input lost a part of its request";
  if (strcmp(f->connection, "lab") && p->calls++ < p->refuse) {
    out->status = p->refuse_code ? p->refuse_code : 503;
    return MOCK_ERROR;
  }
  out->value = val_int(17);
  return MOCK_VALUE;
}

static void run_for(place *p, int64_t us) {
  for (int i = 0; i < 10; i++) io_sim_advance(p->io, us / 10);
}

/* As hdwvm serve comes up. */
static bool up(place *p) {
  engine_opts o = {.dir = p->dir, .config = &p->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .mock = outside, .mock_user = p, .mock_only = true, .suspend_us = p->suspend_us};
  char text[200];
  mod_error err;
  const meta *metas[4];
  bool kept;
  if (engine_open(p->io, &o, &p->e, text)) return false;
  if (engine_load_file(p->e, "test.hdwb", p->mod, p->mod_len, &kept, &err)) return false;
  uint32_t n = engine_metas(p->e, metas, 4);
  if (!n || (!p->cfg.nconns && config_bind(&p->cfg, metas, n, true)) || p->cfg.nproblems) return false;
  if (engine_start(p->e, text)) return false;
  return !p->listen || !engine_listen(p->e, text);
}
static void down(place *p) {
  if (p->e) engine_close(p->e);
  p->e = NULL;
}
static bool begin(place *p, unsigned program) {
  io_sim_opts so = {.seed = 3, .root = p->dir, .orderly = true};
  oom_program(program, &p->mod, &p->mod_len);
  arena_init(&p->a, &p->h.m, 0);
  config_init(&p->cfg, &p->a);
  p->cfg.top.log_segment_bytes = 65536;
  p->proper = true;
  return !io_sim_new(&p->h.m, &so, &p->io) && up(p);
}
static void end(place *p) {
  down(p);
  if (p->io) io_sim_free(p->io);
  p->io = NULL;
  arena_free(&p->a);
}

static void note_positive(place *p, const void *bytes, size_t len) {
  const char *at = (const char *)memmem(bytes, len, "MSA|AA|", 7);
  if (at && p->npositive < MAX_POSITIVE) snprintf(p->positive[p->npositive++], 16, "%.*s", (int)strcspn(at + 7, "|\r"), at + 7);
}
/* A sender that hears this does not come again. */
static void note_final(place *p, bool is) {
  if (p->proper && is) p->wrong = "refused for good, without a reason in what was sent";
}
static void answered(void *user, const engine_reply *x) {
  place *p = (place *)user;
  if (x->extra || x->commit) return;
  p->answers++;
  note_final(p, !strcmp(x->code, "AR") || x->code[0] == '4');
  if (!strcmp(x->code, "AA") && x->p) note_positive(p, x->p, x->len);
  if (x->len > 4 && !memcmp(x->p, "BHS|", 4) && !memmem(x->p, x->len, "MSA|AE", 6) && p->npositive + 2 <= MAX_POSITIVE) { /* of batch_errors and batch: nothing was refused */
    for (int i = 1; i <= 2; i++) snprintf(p->positive[p->npositive++], 16, "X%d", i);
  }
}
static void submit(place *p, const char *id, const char *type, const char *mrn) {
  char msg[1024];
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||%s|%s|P|2.5.1\rPID|1||%s^^^HOSP^MR||SMITH^JOHN\r", type, id, mrn);
  engine_submit_hl7(p->e, &src, msg, (size_t)n, answered, p);
}
static void submit_raw(place *p, const char *bytes) {
  engine_source src = {.listener = "adt"};
  engine_submit_hl7(p->e, &src, bytes, strlen(bytes), answered, p);
}
static void some(place *p, unsigned n) {
  char id[16], mrn[16];
  for (unsigned i = 0; i < n; i++) {
    snprintf(id, sizeof id, "M%u", i), snprintf(mrn, sizeof mrn, "P%u", i % 2);
    submit(p, id, "ADT^A01", mrn);
  }
  run_for(p, 2000000);
}

static void nothing(void *user) { (void)user; }

typedef struct ids { uint64_t id[32]; unsigned n; } ids;
static bool take(uint16_t part, uint64_t id, uint8_t state, void *user) {
  ids *x = (ids *)user;
  (void)part, (void)state;
  if (x->n < 32) x->id[x->n++] = id;
  return true;
}

#define SCENARIO(name, program, ...) \
  static void name(place *p) { \
    if (begin(p, program)) { __VA_ARGS__; } \
    end(p); \
  }

SCENARIO(opening, PROG_PLAIN, (void)p)
SCENARIO(message, PROG_PLAIN, p->most = 2; some(p, 1))
SCENARIO(messages, PROG_PLAIN, p->most = 10; some(p, 5))
SCENARIO(unmatched, PROG_PLAIN, p->proper = false; submit(p, "M1", "ORU^R01", "P"), run_for(p, 100000))
SCENARIO(rejected, PROG_PLAIN, p->proper = false; submit(p, "M1", "ADT^A01", "NOBODY"), run_for(p, 100000))
SCENARIO(garbage, PROG_PLAIN, p->proper = false; submit_raw(p, "hello"), submit_raw(p, "MSH|^~\\&|A|B|C|D|2026||ADT^A01||P|2.5.1\r"), run_for(p, 100000))
SCENARIO(resent, PROG_PLAIN, p->most = 2; submit(p, "M1", "ADT^A01", "P"), submit(p, "M1", "ADT^A01", "P"), run_for(p, 500000), submit(p, "M1", "ADT^A01", "P"), run_for(p, 500000))
/* The run is under way at the first resend, nobody waits for it at the second, and it is over at the third. */
SCENARIO(resent_run, PROG_AFTER_RUN, p->most = 2; p->refuse = 1000; submit(p, "M1", "ADT^A01", "P"), run_for(p, 500000), submit(p, "M1", "ADT^A01", "P"), run_for(p, 30000000), submit(p, "M1", "ADT^A01", "P"),
         run_for(p, 5000000), p->refuse = 0, run_for(p, 600000000), submit(p, "M1", "ADT^A01", "P"), run_for(p, 5000000))
/* A further attempt runs only what has not succeeded. */
SCENARIO(again, PROG_TWO, p->most = 1; p->counted = "lab", p->refuse = 1000, p->refuse_code = 400; submit(p, "M1", "ADT^A01", "P"), run_for(p, 5000000), submit(p, "M1", "ADT^A01", "P"), run_for(p, 5000000),
         p->refuse = 0, submit(p, "M1", "ADT^A01", "P"), run_for(p, 5000000))
SCENARIO(once, PROG_ONCE, p->most = 1; submit(p, "M1", "ADT^A01", "P"), submit(p, "M2", "ADT^A01", "P"), run_for(p, 500000), submit(p, "M3", "ADT^A01", "P"), run_for(p, 500000))
SCENARIO(from_a_sender, PROG_FROM, submit(p, "M1", "ADT^A01", "P"), submit(p, "M2", "ADT^A01", "NOBODY"), run_for(p, 500000), submit(p, "M2", "ADT^A01", "NOBODY"), run_for(p, 500000))
SCENARIO(conflict, PROG_PLAIN, p->most = 4; submit(p, "M1", "ADT^A01", "P"), run_for(p, 500000), submit(p, "M1", "ADT^A01", "Q"), run_for(p, 500000))
SCENARIO(batch, PROG_PLAIN,
         submit_raw(p, "BHS|^~\\&|A|B|C|D|2026||||B1\rMSH|^~\\&|A|B|C|D|2026||ADT^A01|X1|P|2.5.1\rPID|1||7\rMSH|^~\\&|A|B|C|D|2026||ADT^A01|X2|P|2.5.1\rPID|1||8\rBTS|2\r"), run_for(p, 500000))
SCENARIO(parked, PROG_PLAIN, p->most = 4; p->refuse = 3, some(p, 2), run_for(p, 120000000))
SCENARIO(refused, PROG_PLAIN, p->refuse = 2; p->refuse_code = 400, some(p, 2))
SCENARIO(after_run, PROG_AFTER_RUN, p->most = 4; some(p, 2))
SCENARIO(after_run_late, PROG_AFTER_RUN, p->refuse = 50, some(p, 1), run_for(p, 60000000))
SCENARIO(branches, PROG_BRANCHES, p->most = 14; some(p, 2))
SCENARIO(branches_failing, PROG_BRANCHES, p->refuse = 4, some(p, 2), run_for(p, 60000000))
SCENARIO(suspended, PROG_BRANCHES, down(p); p->suspend_us = 1; if (up(p)) some(p, 3))
SCENARIO(restarted, PROG_PLAIN, p->most = 6; some(p, 2); down(p); if (up(p)) submit(p, "N", "ADT^A01", "P"), run_for(p, 1000000))
SCENARIO(draining, PROG_PLAIN, p->most = 2; submit(p, "M1", "ADT^A01", "P"), engine_drain(p->e, 1000000, nothing, NULL), run_for(p, 3000000))
SCENARIO(pausing, PROG_PLAIN, p->most = 4; (void)engine_pause(p->e, "crm", true, "ann", NULL, NULL), some(p, 2), (void)engine_pause(p->e, "crm", false, "ann", NULL, NULL), run_for(p, 3000000))
SCENARIO(pausing_workflow, PROG_PLAIN, p->most = 4; (void)engine_pause_workflow(p->e, "admit", true, "ann", NULL, NULL), some(p, 2), (void)engine_pause_workflow(p->e, "admit", false, "ann", NULL, NULL),
         run_for(p, 3000000))
SCENARIO(fenced, PROG_PLAIN, some(p, 1), (void)engine_fence(p->e, 7), run_for(p, 100000))
/* Runs that there is no memory for are looked at each second: not for so long. */
static void years_later(place *p) {
  bool gone = p->h.sticky && p->h.fail_at && p->h.gets >= p->h.fail_at;
  io_sim_advance(p->io, INT64_C(86400000000) * (gone ? 0 : 3000));
}
SCENARIO(retained, PROG_PLAIN, some(p, 4), years_later(p), (void)engine_retain(p->e, nothing, NULL), run_for(p, 30000000); p->npositive = 0 /* their time was over */)

static void dead_ones(place *p, int what) {
  ids dead = {.n = 0}, inputs = {.n = 0};
  char text[200];
  uint32_t n = 0;
  p->refuse = 4, p->refuse_code = 400;
  some(p, 4);
  store *s = engine_store(p->e);
  (void)store_list_dead(s, 0, SUBJECT_RUN, 0, 32, take, &dead);
  (void)store_list_inputs(s, 0, STORE_BY_TIME, cod_cstr(""), 0, false, 32, take, &inputs);
  for (unsigned i = 0; i < dead.n; i++) {
    if (what == 0) (void)engine_redrive(p->e, SUBJECT_RUN, dead.id[i], "ann", NULL, NULL);
    else if (what == 1) (void)engine_discard(p->e, SUBJECT_RUN, dead.id[i], "ann", "no", NULL, NULL);
    else if (what == 2) (void)engine_skip(p->e, SUBJECT_RUN, dead.id[i], "ann", NULL, NULL);
  }
  engine_redo plan[REC_MAX_RUNS];
  for (unsigned i = 0; what == 3 && i < inputs.n; i++)
    if (!engine_reprocess_plan(p->e, inputs.id[i], NULL, &p->a, plan, &n, text)) (void)engine_reprocess(p->e, inputs.id[i], NULL, "ann", NULL, NULL, &n, text);
  run_for(p, 5000000);
}
SCENARIO(redriven, PROG_PLAIN, dead_ones(p, 0))
SCENARIO(discarded, PROG_PLAIN, dead_ones(p, 1))
SCENARIO(skipped, PROG_PLAIN, dead_ones(p, 2))
SCENARIO(reprocessed, PROG_PLAIN, dead_ones(p, 3))

static void cancel_all(place *p) {
  ids inputs = {.n = 0}, runs = {.n = 0};
  p->refuse = 100;
  some(p, 3);
  (void)store_list_inputs(engine_store(p->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 32, take, &inputs);
  for (unsigned i = 0; i < inputs.n; i++) (void)store_list_runs_of_input(engine_store(p->e), 0, inputs.id[i], take, &runs);
  for (unsigned i = 0; i < runs.n; i++) (void)engine_cancel(p->e, runs.id[i], "ann", "no", NULL, NULL);
  run_for(p, 3000000);
}
SCENARIO(cancelled, PROG_PLAIN, cancel_all(p))

static void rebuild(place *p) {
  store_info si;
  some(p, 3);
  if (!store_flush(engine_store(p->e))) (void)store_rebuild(engine_store(p->e), &si);
}
SCENARIO(rebuilt, PROG_PLAIN, rebuild(p))

static void deploy(place *p) {
  engine_stage *st = NULL;
  mod_error err;
  char text[200];
  const meta *metas[8];
  const uint8_t *bytes;
  size_t len;
  some(p, 2);
  oom_program(PROG_BRANCHES, &bytes, &len);
  if (engine_stage_new(p->e, &st)) return;
  bool done = false;
  config *c = (config *)arena_zalloc(&p->a, 1, sizeof *c);
  if (c && !engine_stage_module(st, "test.hdwb", bytes, len, &err)) {
    config_init(c, &p->a);
    if (!config_bind(c, metas, engine_stage_metas(st, metas, 8), true) && !c->nproblems) done = !engine_switch(st, c, "ann", text);
  }
  if (!done) engine_stage_free(st);
  submit(p, "N", "ADT^A01", "P9");
  run_for(p, 2000000);
}
SCENARIO(deployed, PROG_PLAIN, deploy(p))

static void views(place *p) {
  static const char *const all[] = {"/status", "/messages", "/messages/1", "/runs", "/dead", "/lanes", "/loss", "/sinks", "/limits", "/modules", "/audit", "/log/segments", "/metrics"};
  ids inputs = {.n = 0};
  some(p, 3);
  (void)store_list_inputs(engine_store(p->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 32, take, &inputs);
  for (size_t i = 0; i < sizeof all / sizeof *all + 2 * inputs.n; i++) {
    char target[60];
    arena a;
    buf b;
    size_t k = i - sizeof all / sizeof *all;
    if (i < sizeof all / sizeof *all) snprintf(target, sizeof target, "%s", all[i]);
    else snprintf(target, sizeof target, k % 2 ? "/messages/%llu" : "/runs/%llu", (unsigned long long)(k % 2 ? inputs.id[k / 2] : rec_run_id(inputs.id[k / 2], 0)));
    arena_init(&a, &p->h.m, 0);
    buf_init(&b, &a, 1 << 20);
    (void)admin_offline(p->e, &p->cfg, target, &a, &b);
    arena_free(&a);
  }
}
SCENARIO(looked_at, PROG_PLAIN, views(p))

static void web_request(place *p) {
  p->most = 2;
  engine_request rq = {.src = {.listener = "web", .method = "POST", .path = "/intake", .peer = "127.0.0.1:9"}, .query = VAL_NONE, .headers = VAL_NONE, .body = "{\"id\":\"7\",\"name\":\"x\"}", .body_len = 21, .idempotency_key = "k1"};
  engine_submit_request(p->e, &rq, answered, p);
  engine_submit_request(p->e, &rq, answered, p);
  p->proper = false; /* what comes now */
  rq.body = "{\"id\":", rq.body_len = 6, rq.idempotency_key = "k2";
  engine_submit_request(p->e, &rq, answered, p);
  run_for(p, 2000000);
}
SCENARIO(request, PROG_WEB, web_request(p))

/* A peer at a listener: connects, sends, reads what comes. */
typedef struct wire {
  place *p;
  io_sock *s;
  const char *out;
  size_t len, at;
  unsigned came;             /* frames or answers of HTTP */
  bool open, ended;
} wire;
static void on_wire(io_sock *s, unsigned events, void *user) {
  wire *w = (wire *)user;
  char b[512];
  size_t n;
  if (events & IO_FAILED) {
    w->ended = true;
    return;
  }
  w->open = true;
  if (w->at < w->len && io_write(s, w->out + w->at, w->len - w->at, &n) == HDW_OK) w->at += n;
  if (events & IO_READ) {
    hdw_status st = io_read(s, b, sizeof b, &n);
    if (!st) {
      note_positive(w->p, b, n), note_final(w->p, memmem(b, n, "MSA|AR|", 7) || memmem(b, n, "HTTP/1.1 4", 10));
      if (memmem(b, n, "HTTP/1.1 200", 12) && !memmem(b, n, "MSA|", 4)) w->p->wrong = "200 without an acknowledgement";
      w->came += memmem(b, n, "HTTP/1.1 ", 9) != NULL;
      for (size_t i = 0; i < n; i++) w->came += b[i] == 0x1c;
    }
    w->ended |= st && st != HDW_E_AGAIN;
    if (st && st != HDW_E_AGAIN) {
      io_sock_on(s, 0, on_wire, w);
      return;
    }
  }
  io_sock_on(s, IO_READ | (w->at < w->len ? IO_WRITE : 0u), on_wire, w);
}
/* Until so many answers have come, or the connection has ended. */
static void talk(place *p, const char *listener, const char *bytes, unsigned answers) {
  wire w = {.p = p, .out = bytes, .len = strlen(bytes)};
  io_addr to = {.family = IO_ADDR_IP4, .ip = {127, 0, 0, 1}, .port = engine_port(p->e, listener)};
  if (!to.port || io_connect(p->io, &to, on_wire, &w, &w.s)) return;
  run_for(p, 3000000);
  if (!p->h.sticky && w.open && !w.ended && w.came < answers) p->wrong = "a sender waits for ever";
  io_close(w.s);
  run_for(p, 1000000);
}
static bool with_listeners(place *p, unsigned program) {
  p->listen = true;
  return begin(p, program);
}
static void mllp_wire(place *p) {
  if (with_listeners(p, PROG_PLAIN))
    talk(p, "adt", "\x0bMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|W1|P|2.5.1\rPID|1||4711\r\x1c\r\x0bMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|W2|P|2.5.1\rPID|1||4712\r\x1c\r", 2);
  end(p);
}
/* Release 2: a commit before each answer. */
static void mllp_wire_v2(place *p) {
  char text[200];
  if (begin(p, PROG_PLAIN) && p->cfg.nlisteners) {
    p->cfg.listeners[0].o.mllp_version = 2;
    if (!engine_listen(p->e, text))
      talk(p, "adt", "\x0bMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|W1|P|2.5.1\rPID|1||4711\r\x1c\r\x0bMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|W2|P|2.5.1\rPID|1||4712\r\x1c\r", 3);
  }
  end(p);
}
static void http_message(place *p) {
  if (with_listeners(p, PROG_POSTED))
    talk(p, "web", "POST /hl7 HTTP/1.1\r\nHost: x\r\nContent-Type: application/hl7-v2\r\nContent-Length: 70\r\n\r\nMSH|^~\\&|LAB|HOSP|HUB|HUB|2026||ADT^A01|W1|P|2.5.1\rPID|1||4711||SMITH\r", 1);
  end(p);
}
/* A batch whose answer names only what was not taken: the others count as taken. */
static void batch_errors(place *p) {
  static const char batch[] = "BHS|^~\\&|A|B|C|D|2026||||B1\rMSH|^~\\&|A|B|C|D|2026||ADT^A01|X1|P|2.5.1\rPID|1||7\rMSH|^~\\&|A|B|C|D|2026||ADT^A01|X2|P|2.5.1\rPID|1||8\rBTS|2\r";
  if (begin(p, PROG_PLAIN) && p->cfg.nlisteners) {
    p->cfg.listeners[0].o.batch_ack = "errors";
    submit_raw(p, batch);
    run_for(p, 500000);
  }
  end(p);
}
static void http_wire(place *p) {
  if (with_listeners(p, PROG_WEB)) {
    p->proper = false;
    talk(p, "web", "POST /intake HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"id\":\"9\r\n2\r\n\"}\r\n0\r\n\r\n"
                   "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 1);
  }
  end(p);
}
/* The same request with its key three times, on connections of their own. */
static void http_again(place *p) {
  p->most = 1;
  for (int i = 0; i < 3 && (i || with_listeners(p, PROG_ASKED)); i++)
    talk(p, "web", "POST /asked?a=1&b=2 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nIdempotency-Key: k1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello", 1);
  end(p);
}

const scenario oom_engine[] = {
#define X(n) {#n, n},
    X(opening) X(message) X(messages) X(unmatched) X(rejected) X(garbage) X(resent) X(resent_run) X(again) X(once) X(from_a_sender) X(conflict) X(batch) X(parked) X(refused) X(after_run) X(after_run_late) X(branches) X(branches_failing) X(suspended)
    X(restarted) X(draining) X(pausing) X(pausing_workflow) X(fenced) X(retained) X(redriven) X(discarded) X(skipped) X(reprocessed) X(cancelled) X(rebuilt) X(deployed) X(looked_at) X(request)
    X(batch_errors) X(mllp_wire) X(mllp_wire_v2) X(http_wire) X(http_again) X(http_message)
#undef X
    {NULL, NULL}};
