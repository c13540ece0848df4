/* deploy_rig.h - deployments under prog_rig.h: from one program to the next while the engine runs, as `hdwvm deploy` does it. */
#ifndef HDW_DEPLOY_RIG_H
#define HDW_DEPLOY_RIG_H
#include "prog_rig.h"
#include "engine_int.h"

/* A module's bytes; several may live at once. */
typedef struct deploy_module { uint8_t *p; size_t n; } deploy_module;
static inline deploy_module deploy_compile_as(prog *p, const char *file, const char *text) {
  comp_result r = prog_compile_as(p, file, text);
  return (deploy_module){r.bytes, r.len_bytes};
}
static inline deploy_module deploy_compile(prog *p, const char *text) { return deploy_compile_as(p, "test.hdw", text); }

/* Under a fresh configuration; base (NULL = the program's) is that of every connection. problems: of names, a line each; not empty = nothing was done. */
static inline hdw_status deploy_switch(prog *p, engine_stage *st, const char *base, char problems[1000], char text[200]) {
  const meta *metas[8];
  config *c = (config *)arena_zalloc(&p->a, 1, sizeof *c);
  buf b;
  config_init(c, &p->a);
  buf_init(&b, &p->a, 1000);
  assert_int_equal(config_bind(c, metas, engine_stage_metas(st, metas, 8), true), HDW_OK);
  for (uint32_t i = 0; i < c->nconns && base; i++) c->conns[i].o.base = base;
  engine_stage_names(st, c, &b);
  snprintf(problems, 1000, "%.*s", (int)b.len, b.p ? b.p : "");
  text[0] = 0;
  if (!b.len) {
    hdw_status s = engine_switch(st, c, "test", text);
    if (s) engine_stage_free(st);
    return s;
  }
  engine_stage_free(st);
  return HDW_E_INVALID;
}

/* Problems and text of the last deployment. */
typedef struct deployed { hdw_status status; char problems[1000], text[200]; } deployed;

/* Beside what is there, if the file has another name. */
static inline deployed deploy_bytes_as(prog *p, const char *file, deploy_module m) {
  deployed d = {.status = HDW_OK};
  engine_stage *st;
  mod_error err;
  assert_int_equal(engine_stage_new(p->e, &st), HDW_OK);
  d.status = engine_stage_module(st, file, m.p, m.n, &err);
  if (d.status) {
    snprintf(d.text, sizeof d.text, "%.199s", err.text);
    engine_stage_free(st);
    return d;
  }
  d.status = deploy_switch(p, st, NULL, d.problems, d.text);
  return d;
}
static inline deployed deploy_bytes(prog *p, deploy_module m) { return deploy_bytes_as(p, "test.hdwb", m); }
static inline deployed deploy_text(prog *p, const char *text) { return deploy_bytes(p, deploy_compile(p, text)); }

static inline deployed deploy_back(prog *p, const char *to) {
  deployed d = {.status = HDW_OK};
  engine_stage *st;
  assert_int_equal(engine_stage_new(p->e, &st), HDW_OK);
  d.status = engine_stage_back(st, NULL, to, d.text);
  if (d.status) engine_stage_free(st);
  else d.status = deploy_switch(p, st, NULL, d.problems, d.text);
  return d;
}

static inline deployed deploy_withdraw(prog *p, const char *name) {
  deployed d = {.status = HDW_OK};
  engine_stage *st;
  assert_int_equal(engine_stage_new(p->e, &st), HDW_OK);
  assert_true(engine_stage_drop(st, name));
  d.status = deploy_switch(p, st, NULL, d.problems, d.text);
  return d;
}

static inline void deploy_ok(deployed d) {
  if (d.status) fail_msg("not deployed: %s %s", d.problems, d.text);
}

/* A message at a listener of that name, with this content in PID-5. */
static inline void deploy_submit(prog *p, const char *listener, const char *id, const char *mrn, const char *content) {
  char msg[1024];
  engine_source src = {.listener = listener, .peer = "127.0.0.1:9"};
  int n = snprintf(msg, sizeof msg, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|P|2.5.1\rPID|1||%s||%s\r", id, mrn, content);
  engine_submit_hl7(p->e, &src, msg, (size_t)n, prog_answer, p);
}
#endif
