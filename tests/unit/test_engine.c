/* The engine on the simulated seam: small modules put together by hand, mocks for what is outside. */
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "emit.h"
#include "engine.h"
#include "io_sim.h"
#include "json.h"

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
} rig;

/* ---- modules ------------------------------------------------------------------------------------------------------------------ */

typedef struct shape_of_module {
  bool send;                 /* send instead of step */
  unsigned steps;
  uint8_t klass;
  const char *ack;           /* JSON of the ack clause */
  const char *reject;        /* code: the gate rejects */
  bool unmatched, reply, lane, once, try_;
  const char *conn_args;     /* further arguments of the connection, JSON, with a leading comma */
} shape_of_module;

static uint32_t post_effect(emit *em, const shape_of_module *s, uint32_t site) {
  uint32_t argn[2] = {emit_cstr(em, "path"), emit_cstr(em, "body")};
  mod_effect f = {.op = emit_cstr(em, "rest.post"), .conn = emit_cstr(em, "crm"), .nargs = 2, .flags = s->send ? MOD_EFFECT_SEND : 0, .klass = s->klass, .site = site};
  return emit_effect(em, f, argn);
}

static void make_module(rig *r, const shape_of_module *s) {
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
                   "\"connections\":[{\"name\":\"crm\",\"kind\":\"rest\",\"args\":{\"base\":\"http://127.0.0.1:1\"%s},\"ops\":[\"post\"]}],"
                   "\"workflows\":[{\"name\":\"admit\",\"func\":0,\"input\":\"msg\",\"triggers\":[{\"listener\":\"adt\",\"kind\":\"message\",\"args\":{\"types\":[\"ADT^A01\"]}},"
                   "{\"listener\":\"web\",\"kind\":\"post\",\"args\":{\"path\":\"/intake\"}}],"
                   "\"ack\":%s,\"lanes\":true,\"returns\":\"X\"}],\"functions\":[]}",
                   s->conn_args ? s->conn_args : "", s->ack ? s->ack : "{\"after\":\"commit\"}");
  assert_int_equal(emit_finish(&em, json, (size_t)n, &r->mod, &r->mod_len), HDW_OK);
  cod_sha256(r->mod + MOD_HEADER_BYTES, r->mod_len - MOD_HEADER_BYTES, NULL, 0, r->mod + 16);
}

/* ---- rig ------------------------------------------------------------------------------------------------------------------------ */

static engine_mock_verdict on_mock(void *user, const engine_effect *f, arena *a, engine_mock_answer *out) {
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

static void script(rig *r, unsigned n, const int *statuses) {
  memcpy(r->script, statuses, n * sizeof *statuses);
  r->nscript = n, r->at = 0;
}

static void on_reply(void *user, const engine_reply *x) {
  rig *r = (rig *)user;
  assert_true(r->nreplies < MAX_REPLIES);
  unsigned i = r->nreplies++;
  r->replies[i] = *x;
  snprintf(r->texts[i], sizeof r->texts[i], "%.*s", (int)x->len, (const char *)x->p);
}

static const vm_host no_host = {0};

static void start(rig *r) {
  engine_opts o = {.dir = r->dir, .config = &r->cfg, .host = &no_host, .mock = on_mock, .mock_user = r, .mock_only = true};
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

static rig *rig_new(const shape_of_module *s) {
  rig *r = (rig *)calloc(1, sizeof *r);
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

static void run_for(rig *r, int64_t us) {
  for (int i = 0; i < 20; i++) io_sim_advance(r->io, us / 20);
}

/* As kill -9: what is in memory is gone; log and store are what was synced. */
static void restart(rig *r) {
  engine_close(r->e);
  start(r);
}

static void rig_free(rig *r) {
  char cmd[100];
  engine_close(r->e);
  io_sim_free(r->io);
  arena_free(&r->a);
  assert_int_equal(r->mem.live_bytes, 0);
  snprintf(cmd, sizeof cmd, "rm -rf %s", r->dir);
  assert_int_equal(system(cmd), 0);
  free(r);
}

static void submit(rig *r, const char *id, const char *type, const char *extra) {
  char msg[1024];
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||%s|%s|P|2.5.1%s\rPID|1||4711^^^HOSP^MR||SMITH^JOHN\r", type, id, extra);
  engine_submit_hl7(r->e, &src, msg, (size_t)n, on_reply, r);
}

static store_run the_run(rig *r, unsigned nth);
typedef struct ids { uint64_t id[64]; unsigned n; } ids;
static bool take_id(uint16_t part, uint64_t id, uint8_t state, void *user) {
  ids *x = (ids *)user;
  (void)part, (void)state;
  if (x->n < 64) x->id[x->n++] = id;
  return true;
}
static store_run the_run(rig *r, unsigned nth) {
  ids in = {.n = 0}, runs = {.n = 0};
  assert_int_equal(store_list_inputs(engine_store(r->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 64, take_id, &in), HDW_OK);
  for (unsigned i = 0; i < in.n; i++) (void)store_list_runs_of_input(engine_store(r->e), 0, in.id[i], take_id, &runs);
  store_run row;
  assert_true(nth < runs.n);
  assert_int_equal(store_get_run(engine_store(r->e), 0, runs.id[nth], &r->a, &row), HDW_OK);
  return row;
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------------- */

static void test_message_is_stored_answered_and_run(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 2, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "");
  assert_int_equal(r->nreplies, 0); /* nothing leaves before it is durable */
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 1);
  assert_string_equal(r->replies[0].code, "AA");
  assert_true(r->replies[0].last);
  assert_non_null(strstr(r->texts[0], "MSA|AA|M1"));
  assert_int_equal(r->ncalls, 2);
  assert_string_equal(r->calls[0].op, "crm/rest.post");
  assert_string_not_equal(r->calls[0].key, r->calls[1].key);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DONE);
  vm_outcome how;
  val v;
  assert_int_equal(engine_result(r->e, &row, &r->a, &how, &v), HDW_OK);
  assert_int_equal(v.tag, VAL_INT);
  assert_int_equal(v.u.i, 17);
  assert_true(engine_idle(r->e));
  rig_free(r);
}

static void test_H40_duplicate_gets_the_same_answer_and_no_second_run(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "");
  submit(r, "M1", "ADT^A01", ""); /* while the first is on its way to the disk */
  run_for(r, 1000000);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  restart(r);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 4);
  for (int i = 1; i < 4; i++) assert_string_equal(r->texts[i], r->texts[0]);
  assert_int_equal(r->ncalls, 1);
  rig_free(r);
}

static void test_H40_same_id_with_other_content_is_a_new_input(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  submit(r, "M1", "ADT^A01", "||||||8859/1");
  run_for(r, 1000000);
  engine_status st;
  engine_get_status(r->e, &st);
  assert_int_equal(st.conflicts, 1);
  assert_int_equal(st.inputs, 2);
  assert_int_equal(r->ncalls, 2);
  assert_string_not_equal(r->calls[0].key, r->calls[1].key);
  rig_free(r);
}

static void test_unmatched_is_stored_and_refused_with_200(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ORU^R01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AR");
  assert_non_null(strstr(r->texts[0], "200"));
  assert_true(r->replies[0].input > 0);
  assert_int_equal(r->ncalls, 0);
  rig_free(r);
  r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .unmatched = true});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AR");
  rig_free(r);
}

static void test_gate_rejects_with_its_own_code_and_text(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .reject = "AE"});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AE");
  assert_non_null(strstr(r->texts[0], "no medical record number"));
  assert_int_equal(r->ncalls, 0);
  /* AE may be tried again: the same input gets a further attempt, not the stored answer */
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 2);
  assert_int_equal(r->replies[1].input, r->replies[0].input);
  rig_free(r);
}

static void test_H24_missing_control_id_is_refused_with_101(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "", "ADT^A01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AR");
  assert_non_null(strstr(r->texts[0], "101"));
  rig_free(r);
}

static void test_garbage_is_kept_as_failed(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  engine_source src = {.listener = "adt"};
  engine_submit_hl7(r->e, &src, "hello", 5, on_reply, r);
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 1);
  assert_string_equal(r->replies[0].code, "AR");
  store_counts n;
  store_get_counts(engine_store(r->e), &n);
  assert_int_equal(n.inputs_by_state[INPUT_FAILED], 1);
  rig_free(r);
}

static void test_transient_failure_parks_and_comes_back_with_the_same_key(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 2, .klass = MOD_CLASS_KEYED});
  script(r, 3, (int[]){0, 503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(the_run(r, 0).state, RUN_PARKED);
  assert_int_equal(r->ncalls, 2);
  run_for(r, 60000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  assert_int_equal(r->ncalls, 4); /* the first step is not performed again */
  assert_string_equal(r->calls[1].key, r->calls[2].key);
  assert_string_equal(r->calls[1].key, r->calls[3].key);
  assert_string_equal(r->calls[1].path, "2");
  rig_free(r);
}

static void test_permanent_failure_is_a_dead_letter_until_redriven(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .lane = true});
  script(r, 1, (int[]){422});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DEAD);
  submit(r, "M2", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 1); /* the lane holds */
  assert_int_equal(the_run(r, 1).state, RUN_QUEUED);
  assert_int_equal(engine_redrive(r->e, SUBJECT_RUN, row.id, "test", NULL, NULL), HDW_OK);
  run_for(r, 1000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  assert_int_equal(the_run(r, 1).state, RUN_DONE);
  assert_int_equal(r->ncalls, 3);
  assert_string_equal(r->calls[0].key, r->calls[1].key);
  assert_int_equal(engine_redrive(r->e, SUBJECT_RUN, row.id, "test", NULL, NULL), HDW_E_INVALID);
  rig_free(r);
}

static void test_handled_failure_is_recorded_and_replayed(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .try_ = true});
  script(r, 1, (int[]){404});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DONE);
  vm_outcome how;
  val v;
  assert_int_equal(engine_result(r->e, &row, &r->a, &how, &v), HDW_OK);
  assert_memory_equal(v.u.s, "handled", 7);
  rig_free(r);
}

static void test_restart_goes_on_without_repeating_what_is_recorded(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 3, .klass = MOD_CLASS_KEYED});
  script(r, 2, (int[]){0, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(r->ncalls, 2);
  restart(r);
  run_for(r, 60000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  assert_int_equal(r->ncalls, 4);
  assert_string_equal(r->calls[2].path, "2");
  assert_string_equal(r->calls[2].key, r->calls[1].key);
  rig_free(r);
}

static void test_send_goes_on_and_is_delivered_in_order(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 3, .klass = MOD_CLASS_KEYED, .send = true, .lane = true});
  script(r, 2, (int[]){503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE); /* it does not wait for its deliveries */
  run_for(r, 120000000);
  assert_int_equal(r->ncalls, 5);
  assert_true(r->calls[0].delivery);
  assert_string_equal(r->calls[0].path, "1");
  assert_string_equal(r->calls[2].path, "1");
  assert_string_equal(r->calls[2].key, r->calls[0].key);
  assert_string_equal(r->calls[3].path, "2");
  assert_string_equal(r->calls[4].path, "3");
  store_counts n;
  store_get_counts(engine_store(r->e), &n);
  assert_int_equal(n.deliveries_by_state[DELIVERY_DELIVERED], 3);
  rig_free(r);
}

static void test_restart_keeps_deliveries(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 2, .klass = MOD_CLASS_KEYED, .send = true});
  script(r, 4, (int[]){503, 503, 503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  restart(r);
  run_for(r, 300000000);
  store_counts n;
  store_get_counts(engine_store(r->e), &n);
  assert_int_equal(n.deliveries, 2);
  assert_int_equal(n.deliveries_by_state[DELIVERY_DELIVERED], 2);
  rig_free(r);
}

static void test_ack_after_run_waits_for_the_end(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .reply = true, .ack = "{\"after\":\"run\",\"within\":{\"$ms\":20000},\"else\":\"AE\"}"});
  script(r, 1, (int[]){503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(r->nreplies, 0);
  submit(r, "M1", "ADT^A01", ""); /* the sender is impatient: it joins */
  run_for(r, 10000000);
  assert_int_equal(r->nreplies, 2);
  assert_non_null(strstr(r->texts[0], "PID|1||4711")); /* the replied message itself */
  assert_string_equal(r->texts[1], r->texts[0]);
  restart(r);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 3);
  assert_string_equal(r->texts[2], r->texts[0]);
  assert_int_equal(r->ncalls, 2);
  rig_free(r);
}

static void test_ack_after_run_answers_the_else_code_at_the_deadline(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .ack = "{\"after\":\"run\",\"within\":{\"$ms\":2000},\"else\":\"AE\"}"});
  script(r, 8, (int[]){503, 503, 503, 503, 503, 503, 503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 3000000);
  assert_int_equal(r->nreplies, 1);
  assert_string_equal(r->replies[0].code, "AE");
  run_for(r, 1200000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  submit(r, "M1", "ADT^A01", ""); /* the outcome was stored all the same */
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 2);
  assert_string_equal(r->replies[1].code, "AA");
  assert_int_equal(r->ncalls, 9);
  rig_free(r);
}

static void test_H15_enhanced_mode_commits_first(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "|||AL|AL");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 2);
  assert_string_equal(r->replies[0].code, "CA");
  assert_false(r->replies[0].extra);
  assert_string_equal(r->replies[1].code, "AA");
  assert_true(r->replies[1].extra && r->replies[1].last);
  submit(r, "M2", "ADT^A01", "|||AL|NE");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 3);
  assert_string_equal(r->replies[2].code, "CA");
  assert_true(r->replies[2].last);
  submit(r, "M3", "ADT^A01", "|||NE|NE");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 4);
  assert_int_equal(r->replies[3].len, 0);
  rig_free(r);
}

static void test_H44_batch_gets_a_batch_of_answers(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  const char *b = "BHS|^~\\&|LAB|HOSP|HUB|HUB|20260101||||B1\r"
                  "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|M1|P|2.5.1\rPID|1||1\r"
                  "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ORU^R01|M2|P|2.5.1\rPID|1||1\r"
                  "BTS|2\r";
  engine_source src = {.listener = "adt"};
  engine_submit_hl7(r->e, &src, b, strlen(b), on_reply, r);
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 1);
  assert_memory_equal(r->texts[0], "BHS|", 4);
  assert_non_null(strstr(r->texts[0], "MSA|AA|M1"));
  assert_non_null(strstr(r->texts[0], "MSA|AR|M2"));
  assert_non_null(strstr(r->texts[0], "BTS|2"));
  rig_free(r);
}

static void post(rig *r, const char *body, const char *key) {
  val h[2] = {val_key("content-type", 12), val_cstr("application/json")};
  engine_request q = {.src = {.listener = "web", .method = "POST", .path = "/intake"}, .headers = {.tag = VAL_OBJ, .len = 1, .u.v = h}, .body = body, .body_len = strlen(body),
                      .idempotency_key = key};
  engine_submit_request(r->e, &q, on_reply, r);
}

static void test_request_is_accepted_with_its_id(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  post(r, "{\"a\":1}", NULL);
  post(r, "{\"a\":1}", "k1");
  run_for(r, 1000000);
  post(r, "{\"a\":1}", "k1");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 3);
  assert_int_equal(r->replies[0].http_status, 202);
  assert_string_equal(r->texts[1], r->texts[2]);
  assert_string_not_equal(r->texts[0], r->texts[1]);
  assert_int_equal(r->ncalls, 2);
  post(r, "{\"a\":", NULL);
  assert_int_equal(r->replies[3].http_status, 400);
  char allow[64];
  assert_int_equal(engine_route(r->e, "web", "POST", "/intake", allow), 2);
  assert_int_equal(engine_route(r->e, "web", "GET", "/intake", allow), 1);
  assert_string_equal(allow, "POST");
  assert_int_equal(engine_route(r->e, "web", "GET", "/other", allow), 0);
  rig_free(r);
}

static void test_request_with_ack_after_run_returns_the_payload(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .ack = "{\"after\":\"run\",\"within\":{\"$ms\":2000},\"else\":\"AE\"}"});
  post(r, "{\"a\":1}", NULL);
  run_for(r, 1000000);
  assert_int_equal(r->replies[0].http_status, 200);
  assert_string_equal(r->texts[0], "17");
  script(r, 1, (int[]){400});
  post(r, "{\"a\":2}", NULL);
  run_for(r, 1000000);
  assert_int_equal(r->replies[1].http_status, 500);
  rig_free(r);
}

static void test_once_by_key_runs_once_within_its_time(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .once = true});
  submit(r, "M1", "ADT^A01", "");
  submit(r, "M2", "ADT^A01", ""); /* in one breath */
  run_for(r, 1000000);
  submit(r, "M3", "ADT^A01", "");
  run_for(r, 1000000);
  restart(r);
  submit(r, "M4", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 4);
  for (unsigned i = 0; i < 4; i++) assert_string_equal(r->replies[i].code, "AA");
  assert_int_equal(r->ncalls, 1);
  run_for(r, INT64_C(90000000000));
  submit(r, "M5", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 2);
  rig_free(r);
}

static void test_rate_spaces_requests(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 6, .klass = MOD_CLASS_KEYED, .conn_args = ",\"rate\":{\"$call\":\"rate\",\"args\":{\"requests\":2,\"per\":{\"$ms\":1000}}}"});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 400000);
  assert_int_equal(r->ncalls, 2);
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 4);
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 6);
  rig_free(r);
}

static void test_open_breaker_takes_no_attempts(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED,
                                      .conn_args = ",\"breaker\":{\"$call\":\"breaker\",\"args\":{\"failures\":2,\"cooldown\":{\"$ms\":600000}}}"});
  script(r, 2, (int[]){503, 503});
  submit(r, "M1", "ADT^A01", "");
  submit(r, "M2", "ADT^A01", "");
  run_for(r, 300000000);
  submit(r, "M3", "ADT^A01", "");
  run_for(r, 200000000);
  assert_int_equal(r->ncalls, 2); /* nothing goes out while it is open */
  run_for(r, 400000000);
  assert_int_equal(r->ncalls, 5);
  for (unsigned i = 0; i < 3; i++) assert_int_equal(the_run(r, i).state, RUN_DONE);
  rig_free(r);
}

static void test_inline_retries_come_before_parking(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED,
                                      .conn_args = ",\"retry\":{\"$call\":\"retry\",\"args\":{\"times\":2,\"from\":{\"$ms\":100},\"to\":{\"$ms\":200}}}"});
  script(r, 2, (int[]){503, 429});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DONE);
  assert_int_equal(row.attempts, 0); /* it never parked */
  assert_int_equal(r->ncalls, 3);
  assert_int_equal(r->calls[2].attempt, 3);
  rig_free(r);
}

static void test_changed_module_is_refused(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  mod_error err;
  r->mod[r->mod_len - 1] ^= 1;
  assert_int_equal(engine_load(r->e, "x", r->mod, r->mod_len, &err), HDW_E_CORRUPT);
  r->mod[r->mod_len - 1] ^= 1;
  assert_int_equal(engine_load(r->e, "x", r->mod, r->mod_len, &err), HDW_E_EXISTS);
  rig_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_message_is_stored_answered_and_run),
      cmocka_unit_test(test_H40_duplicate_gets_the_same_answer_and_no_second_run),
      cmocka_unit_test(test_H40_same_id_with_other_content_is_a_new_input),
      cmocka_unit_test(test_unmatched_is_stored_and_refused_with_200),
      cmocka_unit_test(test_gate_rejects_with_its_own_code_and_text),
      cmocka_unit_test(test_H24_missing_control_id_is_refused_with_101),
      cmocka_unit_test(test_garbage_is_kept_as_failed),
      cmocka_unit_test(test_transient_failure_parks_and_comes_back_with_the_same_key),
      cmocka_unit_test(test_permanent_failure_is_a_dead_letter_until_redriven),
      cmocka_unit_test(test_handled_failure_is_recorded_and_replayed),
      cmocka_unit_test(test_restart_goes_on_without_repeating_what_is_recorded),
      cmocka_unit_test(test_send_goes_on_and_is_delivered_in_order),
      cmocka_unit_test(test_restart_keeps_deliveries),
      cmocka_unit_test(test_ack_after_run_waits_for_the_end),
      cmocka_unit_test(test_ack_after_run_answers_the_else_code_at_the_deadline),
      cmocka_unit_test(test_H15_enhanced_mode_commits_first),
      cmocka_unit_test(test_H44_batch_gets_a_batch_of_answers),
      cmocka_unit_test(test_request_is_accepted_with_its_id),
      cmocka_unit_test(test_request_with_ack_after_run_returns_the_payload),
      cmocka_unit_test(test_once_by_key_runs_once_within_its_time),
      cmocka_unit_test(test_rate_spaces_requests),
      cmocka_unit_test(test_open_breaker_takes_no_attempts),
      cmocka_unit_test(test_inline_retries_come_before_parking),
      cmocka_unit_test(test_changed_module_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
