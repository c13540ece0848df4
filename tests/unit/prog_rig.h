/* prog_rig.h - compiled programs in the engine on the simulated seam; what is outside is a function of the test. */
#ifndef HDW_PROG_RIG_H
#define HDW_PROG_RIG_H
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "compiler.h"
#include "engine.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_sim.h"
#include "json.h"
#include "model.h"
#include "request_rig.h"

typedef struct prog prog;
typedef engine_mock_verdict (*prog_world)(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out);

enum { PROG_ANSWERS = 512 };

struct prog {
  test_mem mem;
  char dir[64];
  io *io;
  arena a;
  config cfg;
  engine *e;
  uint8_t *mod;
  size_t mod_len;
  prog_world world;
  void *user;
  unsigned answers, positive;
  char codes[PROG_ANSWERS][8];
  int64_t suspend_us;        /* engine_opts */
  unsigned restarts;
};

static inline engine_mock_verdict prog_mock(void *user, const engine_effect *f, arena *a, engine_mock_answer *out) {
  prog *p = (prog *)user;
  return p->world(p, f, a, out);
}

/* A module of any name, with its digest: its bytes are the arena's. */
static inline comp_result prog_compile_as(prog *p, const char *file, const char *text) {
  diag_list l;
  comp_result r;
  comp_source s = {file, text, strlen(text)};
  comp_options o = {0};
  diag_init(&l, &p->a);
  assert_int_equal(comp_program(&p->a, &s, 1, &o, &l, &r), HDW_OK);
  for (const diag *d = l.first; d; d = d->next) fprintf(stderr, "%s\n", d->text);
  assert_non_null(r.bytes);
  cod_sha256(r.bytes + MOD_HEADER_BYTES, r.len_bytes - MOD_HEADER_BYTES, NULL, 0, r.bytes + 16);
  return r;
}
static inline void prog_compile(prog *p, const char *text) {
  comp_result r = prog_compile_as(p, "test.hdw", text);
  p->mod = r.bytes, p->mod_len = r.len_bytes;
}

static inline void prog_open(prog *p) {
  engine_opts o = {.dir = p->dir, .config = &p->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .mock = prog_mock, .mock_user = p, .mock_only = true};
  o.suspend_us = getenv("HDW_TEST_SUSPEND") ? 1 : p->suspend_us; /* set: every suspended run leaves memory at once */
  char text[200];
  mod_error err;
  const meta *metas[4];
  hdw_status s = engine_open(p->io, &o, &p->e, text);
  if (s) fail_msg("engine_open: %s", text);
  s = engine_load(p->e, "test.hdwb", p->mod, p->mod_len, &err);
  if (s) fail_msg("engine_load: %s", err.text);
  uint32_t n = engine_metas(p->e, metas, 4);
  if (!p->cfg.nconns) assert_int_equal(config_bind(&p->cfg, metas, n, true), HDW_OK);
  for (uint32_t i = 0; i < p->cfg.nproblems; i++) fail_msg("config: %s", p->cfg.problems[i]);
  s = engine_start(p->e, text);
  if (s) fail_msg("engine_start: %s", text);
}

/* The engine once more, with the drivers in the place of mocks: closed by the caller, who may have changed the configuration since. "" or why it does not start. */
static inline const char *prog_try_drivers(prog *p) {
  static char text[400];
  mod_error err;
  engine_opts o = {.dir = p->dir, .config = &p->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .drivers = engine_drivers()};
  text[0] = 0;
  assert_int_equal(engine_open(p->io, &o, &p->e, text), HDW_OK);
  if (engine_load(p->e, "test.hdwb", p->mod, p->mod_len, &err)) return snprintf(text, sizeof text, "%s", err.text), text;
  text[0] = 0;
  (void)engine_start(p->e, text);
  return text;
}
static inline void prog_open_drivers(prog *p) {
  const char *why = prog_try_drivers(p);
  if (why[0]) fail_msg("%s", why);
}

/* Whatever is asked for a name. */
static inline unsigned prog_resolve(const char *host, io_addr *out, unsigned cap, void *user) {
  (void)host, (void)user;
  return cap && !io_addr_parse("93.184.216.34:443", &out[0]) ? 1 : 0;
}

/* A world in which everything succeeds; user: how often (unsigned), or NULL. */
static inline engine_mock_verdict prog_fine(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  (void)f, (void)a;
  if (p->user) ++*(unsigned *)p->user;
  out->value = val_int(17);
  return MOCK_VALUE;
}

/* The path of a request as text. */
static inline void prog_path(arena *a, val request, char out[64]) {
  val path = jv_get(request, "path"), t;
  out[0] = 0;
  for (uint32_t i = 0; i < (path.tag == VAL_TPL ? path.len : 1); i++) {
    val part = path.tag == VAL_TPL ? path.u.v[i] : path;
    if (!val_to_str(a, part, &t) && t.tag == VAL_STR) snprintf(out + strlen(out), 64 - strlen(out), "%.*s", (int)t.len, t.u.s);
  }
}

/* Set: what the log and the store say of their writing comes up to so much later. */
static int64_t prog_slow_us;

static inline prog *prog_new(const char *text, prog_world world, void *user, uint64_t seed) {
  prog *p = (prog *)calloc(1, sizeof *p);
  test_mem_init(&p->mem);
  snprintf(p->dir, sizeof p->dir, "/tmp/hdw-prog-XXXXXX");
  assert_non_null(mkdtemp(p->dir));
  io_sim_opts so = {.seed = seed, .root = p->dir, .orderly = seed == 0, .slow_worker_us = prog_slow_us, .max_delay_us = prog_slow_us};
  assert_int_equal(io_sim_new(&p->mem.m, &so, &p->io), HDW_OK);
  arena_init(&p->a, &p->mem.m, 0);
  config_init(&p->cfg, &p->a);
  p->world = world, p->user = user;
  prog_compile(p, text);
  prog_open(p);
  return p;
}

/* As kill -9: what is in memory is gone; log and store are what was synced. */
static inline void prog_restart(prog *p) {
  engine_close(p->e);
  p->restarts++;
  prog_open(p);
}

/* Nothing is closed: the folder as it is on the disk at this moment is what another process finds, which the caller begins. */
static inline void prog_kill9(prog *p) {
  char cmd[400];
  snprintf(cmd, sizeof cmd, "cp -r %s %s.copy", p->dir, p->dir);
  assert_int_equal(system(cmd), 0);
  engine_close(p->e);
  snprintf(cmd, sizeof cmd, "rm -rf %s/* && mv %s.copy/* %s/ && rmdir %s.copy", p->dir, p->dir, p->dir, p->dir);
  assert_int_equal(system(cmd), 0);
  p->restarts++;
}

static inline void prog_free(prog *p) {
  char cmd[100];
  engine_close(p->e);
  io_sim_free(p->io);
  arena_free(&p->a);
  assert_int_equal(p->mem.live_bytes, 0);
  snprintf(cmd, sizeof cmd, "rm -rf %s", p->dir);
  assert_int_equal(system(cmd), 0);
  free(p);
}

static inline void prog_run_for(prog *p, int64_t us) {
  for (int i = 0; i < 20; i++) io_sim_advance(p->io, us / 20);
}

static inline void prog_answer(void *user, const engine_reply *x) {
  prog *p = (prog *)user;
  if (x->extra || p->answers >= PROG_ANSWERS) return;
  snprintf(p->codes[p->answers++], 8, "%s", x->code);
  if (!strcmp(x->code, "AA")) p->positive++;
}

/* An ADT^A01 with control id `id`; pid3 and pid4 are the fields PID-3 and PID-4. */
static inline void prog_submit(prog *p, const char *id, const char *pid3, const char *pid4) {
  char msg[1024];
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|P|2.5.1\rPID|1||%s|%s|SMITH^JOHN\r", id, pid3, pid4);
  engine_submit_hl7(p->e, &src, msg, (size_t)n, prog_answer, p);
}

typedef struct prog_ids { uint64_t id[256]; unsigned n; } prog_ids;
static inline bool prog_take_id(uint16_t part, uint64_t id, uint8_t state, void *user) {
  prog_ids *x = (prog_ids *)user;
  (void)part, (void)state;
  if (x->n < 256) x->id[x->n++] = id;
  return true;
}
/* The run of the nth input. */
static inline store_run prog_run_of(prog *p, unsigned nth, bool only) {
  prog_ids in = {.n = 0}, runs = {.n = 0};
  store_run row = {0};
  (void)store_list_inputs(engine_store(p->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 256, prog_take_id, &in);
  for (unsigned i = 0; i < in.n; i++) (void)store_list_runs_of_input(engine_store(p->e), 0, in.id[i], prog_take_id, &runs);
  assert_true(nth < runs.n && (!only || (in.n == 1 && runs.n == 1)));
  assert_int_equal(store_get_run(engine_store(p->e), 0, runs.id[nth], &p->a, &row), HDW_OK);
  return row;
}
static inline store_run prog_the_run(prog *p, unsigned nth) { return prog_run_of(p, nth, false); }
/* The only run of the only input: of more there must be none. */
static inline store_run prog_only_run(prog *p) { return prog_run_of(p, 0, true); }
/* Every dead letter back to work. */
static inline unsigned prog_redrive_all(prog *p) {
  unsigned n = 0;
  for (uint8_t subject = SUBJECT_RUN; subject <= SUBJECT_DELIVERY; subject++) {
    prog_ids dead = {.n = 0};
    (void)store_list_dead(engine_store(p->e), 0, subject, 0, 256, prog_take_id, &dead);
    for (unsigned i = 0; i < dead.n; i++) n += engine_redrive(p->e, subject, dead.id[i], "test", NULL, NULL) == HDW_OK;
  }
  return n;
}

#endif
