/* engine_rig.h - the engine on the simulated seam: small modules put together by hand, mocks for what is outside. */
#ifndef HDW_ENGINE_RIG_H
#define HDW_ENGINE_RIG_H
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "emit.h"
#include "engine.h"
#include "io_sim.h"
#include "json.h"
#include "request_rig.h"

enum { MAX_CALLS = 64, MAX_REPLIES = 64 };

typedef struct seen_call {
  char op[48], path[64], key[80];
  uint32_t attempt;
  bool delivery;
} seen_call;

typedef struct rig {
  test_mem mem;
  char dir[64];
  io *io;
  arena a;
  config cfg;
  engine *e;
  uint8_t *mod;
  size_t mod_len;
  seen_call calls[MAX_CALLS];
  unsigned ncalls;
  int script[16];            /* statuses that the mock answers with, one each; then 0 = a value */
  unsigned nscript, at;
  engine_reply replies[MAX_REPLIES];
  char texts[MAX_REPLIES][2048];
  unsigned nreplies;
  engine_mock mock;          /* instead of on_mock */
  void *mock_user;
  int64_t reconcile_us;
} rig;

/* ---- modules ------------------------------------------------------------------------------------------------------------------ */

typedef struct shape_of_module {
  bool send;                 /* send instead of step */
  unsigned steps;
  uint8_t klass;
  const char *ack;           /* JSON of the ack clause */
  const char *reject;        /* code: the gate rejects */
  bool unmatched, reply, lane, once, try_;
  const char *kind;          /* of the connection; NULL = rest */
  const char *conn_args;     /* further arguments of the connection, JSON, with a leading comma */
} shape_of_module;

static inline uint32_t post_effect(emit *em, const shape_of_module *s, uint32_t site) {
  uint32_t argn[2] = {emit_cstr(em, "path"), emit_cstr(em, "body")};
  mod_effect f = {.op = emit_cstr(em, s->kind ? "mllp.post" : "rest.post"), .conn = emit_cstr(em, "crm"), .nargs = 2, .flags = s->send ? MOD_EFFECT_SEND : 0, .klass = s->klass, .site = site};
  return emit_effect(em, f, argn);
}

static inline void make_module(rig *r, const shape_of_module *s) {
  emit em;
  emit_init(&em, &r->a);
  uint32_t f = emit_func_new(&em, "admit", 5, 1);
  emit_regs(&em, f, 12);
  emit_pos(&em, f, emit_cstr(&em, "admit.hdw"), 7, 3);
  if (s->lane) {
    emit_bx(&em, f, OP_LOADK, 5, emit_cstr(&em, "patient-1"));
    emit_op(&em, f, OP_LANE, 5, 0, 0);
  }
  if (s->once) {
    val day;
    dec one = dec_from_i64(1);
    assert_int_equal(val_from_qty(&r->a, &one, "day", 3, true, &day), HDW_OK);
    emit_bx(&em, f, OP_LOADK, 5, emit_cstr(&em, "the key"));
    emit_bx(&em, f, OP_LOADK, 6, emit_val(&em, day));
    emit_op(&em, f, OP_ONCE, 5, 6, 0);
  }
  if (s->reject) {
    emit_bx(&em, f, OP_LOADK, 5, emit_cstr(&em, s->reject));
    emit_bx(&em, f, OP_LOADK, 6, emit_cstr(&em, "no medical record number"));
    emit_bx(&em, f, OP_OUTCOME, 5, VM_REJECT);
  }
  if (s->unmatched) emit_bx(&em, f, OP_OUTCOME, 5, VM_UNMATCHED);
  emit_op(&em, f, OP_GATE, 0, 0, 0);
  uint32_t try_at = s->try_ ? emit_jump(&em, f, OP_TRY, 9) : 0;
  for (unsigned i = 0; i < s->steps; i++) {
    emit_pos(&em, f, emit_cstr(&em, "admit.hdw"), 10 + i, 3);
    emit_bx(&em, f, OP_LOADK, 1, emit_cstr(&em, "/admits"));
    emit_bx(&em, f, OP_LOADI, 2, i);
    emit_bx(&em, f, OP_EFFECT, 1, post_effect(&em, s, i + 1));
  }
  if (s->reply) emit_bx(&em, f, OP_OUTCOME, 0, VM_REPLY);
  emit_op(&em, f, OP_RET, 1, 0, 0);
  if (s->try_) {
    emit_patch(&em, f, try_at);
    emit_bx(&em, f, OP_LOADK, 1, emit_cstr(&em, "handled"));
    emit_op(&em, f, OP_RET, 1, 0, 0);
  }
  char json[2048];
  int n = snprintf(json, sizeof json,
                   "{\"edition\":1,\"name\":\"t\",\"listeners\":[{\"name\":\"adt\",\"kind\":\"mllp\",\"args\":{\"port\":2575}},{\"name\":\"web\",\"kind\":\"http\",\"args\":{}}],"
                   "\"connections\":[{\"name\":\"crm\",\"kind\":\"%s\",\"args\":{\"base\":\"http://127.0.0.1:1\"%s},\"ops\":[\"post\"]}],"
                   "\"workflows\":[{\"name\":\"admit\",\"func\":0,\"input\":\"msg\",\"triggers\":[{\"listener\":\"adt\",\"kind\":\"message\",\"args\":{\"types\":[\"ADT^A01\"]}},"
                   "{\"listener\":\"web\",\"kind\":\"post\",\"args\":{\"path\":\"/intake\"}}],"
                   "\"ack\":%s,\"lanes\":true,\"returns\":\"X\"}],\"functions\":[]}",
                   s->kind ? s->kind : "rest", s->conn_args ? s->conn_args : "", s->ack ? s->ack : "{\"after\":\"commit\"}");
  assert_int_equal(emit_finish(&em, json, (size_t)n, &r->mod, &r->mod_len), HDW_OK);
  cod_sha256(r->mod + MOD_HEADER_BYTES, r->mod_len - MOD_HEADER_BYTES, NULL, 0, r->mod + 16);
}

/* ---- rig ------------------------------------------------------------------------------------------------------------------------ */

static inline engine_mock_verdict on_mock(void *user, const engine_effect *f, arena *a, engine_mock_answer *out) {
  rig *r = (rig *)user;
  (void)a;
  if (r->ncalls < MAX_CALLS) {
    seen_call *c = &r->calls[r->ncalls++];
    snprintf(c->op, sizeof c->op, "%s/%s", f->connection, f->operation);
    snprintf(c->path, sizeof c->path, "%s", f->path);
    snprintf(c->key, sizeof c->key, "%s", f->idempotency_key);
    c->attempt = f->attempt;
    c->delivery = f->delivery != 0;
  }
  int status = r->at < r->nscript ? r->script[r->at++] : 0;
  if (status == 0) {
    out->value = val_int(17);
    return MOCK_VALUE;
  }
  out->status = status;
  return MOCK_ERROR;
}

static inline void script(rig *r, unsigned n, const int *statuses) {
  memcpy(r->script, statuses, n * sizeof *statuses);
  r->nscript = n, r->at = 0;
}

static inline void on_reply(void *user, const engine_reply *x) {
  rig *r = (rig *)user;
  assert_true(r->nreplies < MAX_REPLIES);
  unsigned i = r->nreplies++;
  r->replies[i] = *x;
  snprintf(r->texts[i], sizeof r->texts[i], "%.*s", (int)x->len, (const char *)x->p);
}

static const vm_host no_host = {0};

static inline void start(rig *r) {
  engine_opts o = {.dir = r->dir, .config = &r->cfg, .host = &no_host, .mock = r->mock ? r->mock : on_mock, .mock_user = r->mock ? r->mock_user : r, .mock_only = true, .reconcile_us = r->reconcile_us, .suspend_us = getenv("HDW_TEST_SUSPEND") ? 1 : 0};
  char text[200];
  mod_error err;
  hdw_status s = engine_open(r->io, &o, &r->e, text);
  if (s) fail_msg("engine_open: %s", text);
  s = engine_load(r->e, "admit.hdwb", r->mod, r->mod_len, &err);
  if (s) fail_msg("engine_load: %s", err.text);
  const meta *metas[4];
  uint32_t n = engine_metas(r->e, metas, 4);
  if (!r->cfg.nconns) assert_int_equal(config_bind(&r->cfg, metas, n, true), HDW_OK);
  for (uint32_t i = 0; i < r->cfg.nproblems; i++) fail_msg("config: %s", r->cfg.problems[i]);
  s = engine_start(r->e, text);
  if (s) fail_msg("engine_start: %s", text);
}

static inline rig *rig_with(const shape_of_module *s, engine_mock mock, void *user) {
  rig *r = (rig *)calloc(1, sizeof *r);
  r->mock = mock, r->mock_user = user;
  test_mem_init(&r->mem);
  snprintf(r->dir, sizeof r->dir, "/tmp/hdw-engine-XXXXXX");
  assert_non_null(mkdtemp(r->dir));
  io_sim_opts so = {.seed = 7, .root = r->dir, .orderly = true};
  assert_int_equal(io_sim_new(&r->mem.m, &so, &r->io), HDW_OK);
  arena_init(&r->a, &r->mem.m, 0);
  config_init(&r->cfg, &r->a);
  make_module(r, s);
  start(r);
  return r;
}

static inline rig *rig_new(const shape_of_module *s) { return rig_with(s, NULL, NULL); }

static inline void run_for(rig *r, int64_t us) {
  for (int i = 0; i < 20; i++) io_sim_advance(r->io, us / 20);
}

/* As kill -9: what is in memory is gone; log and store are what was synced. */
static inline void restart(rig *r) {
  engine_close(r->e);
  start(r);
}

static inline void rig_free(rig *r) {
  char cmd[100];
  engine_close(r->e);
  io_sim_free(r->io);
  arena_free(&r->a);
  assert_int_equal(r->mem.live_bytes, 0);
  snprintf(cmd, sizeof cmd, "rm -rf %s", r->dir);
  assert_int_equal(system(cmd), 0);
  free(r);
}

static inline void submit(rig *r, const char *id, const char *type, const char *extra) {
  char msg[1024];
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||%s|%s|P|2.5.1%s\rPID|1||4711^^^HOSP^MR||SMITH^JOHN\r", type, id, extra);
  engine_submit_hl7(r->e, &src, msg, (size_t)n, on_reply, r);
}

static inline store_run the_run(rig *r, unsigned nth);
typedef struct ids { uint64_t id[64]; unsigned n; } ids;
static inline bool take_id(uint16_t part, uint64_t id, uint8_t state, void *user) {
  ids *x = (ids *)user;
  (void)part, (void)state;
  if (x->n < 64) x->id[x->n++] = id;
  return true;
}
static inline store_run the_run(rig *r, unsigned nth) {
  ids in = {.n = 0}, runs = {.n = 0};
  assert_int_equal(store_list_inputs(engine_store(r->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 64, take_id, &in), HDW_OK);
  for (unsigned i = 0; i < in.n; i++) (void)store_list_runs_of_input(engine_store(r->e), 0, in.id[i], take_id, &runs);
  store_run row;
  assert_true(nth < runs.n);
  assert_int_equal(store_get_run(engine_store(r->e), 0, runs.id[nth], &r->a, &row), HDW_OK);
  return row;
}

#endif
