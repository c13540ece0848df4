/* ack_rig.h - compiled programs behind real listeners on the simulated network; the test is the peer that writes bytes and reads bytes. */
#ifndef HDW_ACK_RIG_H
#define HDW_ACK_RIG_H
#include "net_rig.h"
#include "prog_rig.h"

/* What PID-3.1 says decides: E and R are rejected by the gate, anything else runs. */
static const char ack_program[] =
    "hdw 1\n"
    "listener adt = mllp()\n"
    "listener web = http()\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) {\n"
    "  if msg.PID-3.idNumber = 'E' { reject('AE', 'no such patient here') }\n"
    "  if msg.PID-3.idNumber = 'R' { reject('AR', 'not for us') }\n"
    "  send crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "}\n"
    "workflow posted on msg = web.message('/hl7', types: ['ADT^A01']) {\n"
    "  if msg.PID-3.idNumber = 'E' { reject('AE', 'no such patient here') }\n"
    "  send crm.post('/y', body: { id: msg.PID-5.familyName })\n"
    "}\n"
    "workflow api on req = web.post('/api') { send crm.post('/z', body: { q: 1 }) }\n";
static const char after_program[] =
    "hdw 1\n"
    "listener adt = mllp()\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) ack after run within 5 seconds else AE {\n"
    "  step x = crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "  if msg.PID-3.idNumber = 'E' { reject('AE', 'not now') }\n"
    "  if msg.PID-3.idNumber = 'R' { reject('AR', 'never') }\n"
    "  return 1\n"
    "}\n";

typedef struct ackrig {
  prog *p;
  rig net;                   /* for peers: io only */
  int64_t delay_us;          /* of every effect */
  int status;                /* every effect fails with it; 0 = success */
  unsigned calls;
  char bodies[64][200];
  const char *json;
} ackrig;

static inline engine_mock_verdict ack_world(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  ackrig *x = (ackrig *)p->user;
  buf b;
  buf_init(&b, a, 4096);
  (void)json_write(jv_get(f->request, "body"), &b, NULL);
  if (x->calls < 64) snprintf(x->bodies[x->calls], sizeof x->bodies[0], "%.*s", (int)b.len, b.p ? b.p : "");
  x->calls++;
  out->delay_us = x->delay_us;
  out->value = val_int(17);
  out->status = x->status;
  return x->status ? MOCK_ERROR : MOCK_VALUE;
}

static inline void ack_listen(ackrig *x) {
  char text[200];
  if (engine_listen(x->p->e, text)) fail_msg("engine_listen: %s", text);
}

/* adt: options of that listener as JSON members, "" for none; web likewise. Secrets pw1 and tok1 have their names as values. */
static inline ackrig *ack_new(const char *program, const char *adt, const char *web) {
  ackrig *x = (ackrig *)calloc(1, sizeof *x);
  prog *p = x->p = (prog *)calloc(1, sizeof *p);
  char json[2000];
  test_mem_init(&p->mem);
  snprintf(p->dir, sizeof p->dir, "/tmp/hdw-ack-XXXXXX");
  assert_non_null(mkdtemp(p->dir));
  io_sim_opts so = {.seed = 3, .root = p->dir, .orderly = true};
  assert_int_equal(io_sim_new(&p->mem.m, &so, &p->io), HDW_OK);
  arena_init(&p->a, &p->mem.m, 0);
  config_init(&p->cfg, &p->a);
  snprintf(json, sizeof json, "{\"secrets\":{\"pw1\":{\"file\":\"f\"},\"tok1\":{\"file\":\"f\"}},\"listeners\":{\"adt\":{\"port\":2575%s%s}%s%s%s}}", adt[0] ? "," : "", adt, strstr(program, "= http()") ? ",\"web\":{\"port\":8080" : "",
           web[0] ? "," : "", strstr(program, "= http()") ? strcat(strcpy((char *)arena_zalloc(&p->a, 1, 1000), web), "}") : "");
  x->json = arena_dup(&p->a, json, strlen(json));
  assert_int_equal(config_read(&p->cfg, &p->mem.m, "hdw.json", x->json, strlen(x->json)), HDW_OK);
  for (uint32_t i = 0; i < p->cfg.nproblems; i++) fail_msg("config: %s", p->cfg.problems[i]);
  for (uint32_t i = 0; i < p->cfg.nsecrets; i++) p->cfg.secrets[i].value = p->cfg.secrets[i].name, p->cfg.secrets[i].value_len = strlen(p->cfg.secrets[i].name), p->cfg.secrets[i].used = true;
  p->world = ack_world, p->user = x;
  prog_compile(p, program);
  prog_open(p);
  x->net.x = p->io;
  ack_listen(x);
  return x;
}

static inline void ack_restart(ackrig *x) {
  prog_restart(x->p);
  ack_listen(x);
}
static inline void ack_free(ackrig *x) {
  prog_free(x->p);
  free(x);
}

static inline peer *ack_connect(ackrig *x, uint16_t port) {
  peer *p = (peer *)calloc(1, sizeof *p);
  io_addr a = loopback();
  a.port = port;
  peer_open(p, &x->net, &a);
  prog_run_for(x->p, 20000);
  assert_true(p->open);
  return p;
}
static inline void ack_hang_up(peer *p) {
  peer_close(p);
  free(p);
}

/* A message in a frame. rest: from MSH-11 on, without the bar before it. */
static inline const char *ack_adt(ackrig *x, const char *id, const char *pid3, const char *rest) {
  char t[2000];
  int n = snprintf(t, sizeof t, "\x0BMSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|%s\rPID|1||%s^^^HOSP^MR||SMITH^JOHN\r\x1C\r", id, rest[0] ? rest : "P|2.5.1", pid3);
  return arena_dup(&x->p->a, t, (size_t)n);
}

/* Writes the bytes and gives what has come back after us. */
static inline const char *ack_say_for(ackrig *x, peer *p, const char *bytes, size_t n, int64_t us) {
  p->in_len = 0;
  if (p->in) p->in[0] = 0;
  peer_say(p, bytes, n);
  prog_run_for(x->p, us);
  return p->in_len ? arena_dup(&x->p->a, p->in, p->in_len) : "";
}
static inline const char *ack_say(ackrig *x, peer *p, const char *bytes) { return ack_say_for(x, p, bytes, strlen(bytes), 400000); }

/* MSA-1 (and, with ids, MSA-2) of every frame in order, a commit block as + or -: "CA AA", "+ AA". */
static inline const char *ack_codes(ackrig *x, const char *in) {
  char out[400] = "";
  for (const char *p = in; (p = strchr(p, 0x0B)); p++) {
    const char *end = strchr(p, 0x1C), *msa = strstr(p, "MSA|");
    if (out[0]) strcat(out, " ");
    if (p[1] == 0x06 || p[1] == 0x15) strcat(out, p[1] == 0x06 ? "+" : "-");
    else if (!msa || (end && msa > end)) strcat(out, "?");
    else strncat(out, msa + 4, 2);
  }
  return arena_dup(&x->p->a, out, strlen(out));
}

static inline engine_source_info ack_info(ackrig *x, const char *name) {
  engine_source_info i;
  for (uint32_t k = 0; engine_listener_at(x->p->e, k, &i); k++)
    if (!strcmp(i.name, name)) return i;
  fail_msg("no listener %s", name);
  return i;
}

static inline uint64_t ack_stored(ackrig *x) {
  store_counts n;
  store_get_counts(engine_store(x->p->e), &n);
  return n.inputs;
}

#endif
