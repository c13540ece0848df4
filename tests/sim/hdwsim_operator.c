/* hdwsim_operator.c - what a person does to the daemon: deployments, pauses, dead letters, reprocessing. */
#include <stdio.h>
#include <string.h>
#include "hdwsim_daemon.h"

/* ---- what an action says when it is durable --------------------------------------------------------------------------------------------------- */

typedef struct act {
  world *w;
  message *m;
  uint32_t fx;               /* SIM_EFFECTS: the whole run */
} act;

/* A few at once, never freed: who dies in between hears nothing. */
static act *act_for(world *w, message *m, unsigned fx) {
  static act ring[256];
  static unsigned next;
  act *a = &ring[next++ % 256];
  *a = (act){w, m, fx};
  return a;
}

static void on_ended(void *user, hdw_status s) {
  act *a = (act *)user;
  if (!s && !io_sim_dead(a->w->io)) model_ended(a->w, a->m, a->fx);
}

/* ---- dead letters -------------------------------------------------------------------------------------------------------------------------------- */

static unsigned effect_of(cod_str sink) {
  static const struct { const char *sink; unsigned fx; } of[] = {{"emr", FX_EMR}, {"ehr", FX_EMR}, {"ward", FX_WARD}, {"drop", FX_FILE}, {"journal", FX_LINE}};
  for (unsigned i = 0; i < sizeof of / sizeof *of; i++)
    if (cod_equal(sink, cod_cstr(of[i].sink))) return of[i].fx;
  return SIM_EFFECTS;
}

/* Whose delivery it is, and which. NULL: it cannot be told. */
static message *delivery_of(world *w, uint64_t id, unsigned *fx) {
  arena a;
  store_delivery row;
  message *m = NULL;
  arena_init(&a, &w->mem.m, 0);
  if (!store_get_delivery(engine_store(w->d->e), 0, id, &a, &row)) {
    *fx = effect_of(row.sink);
    m = daemon_message_of(w, row.run);
  }
  arena_free(&a);
  return m;
}

/* Whose it is cannot be told when retention took the bytes and several share a control id: it may be any of them. */
static void redriven_any(world *w, uint64_t id) {
  arena a;
  store_delivery d;
  store_run r;
  store_input in;
  arena_init(&a, &w->mem.m, 0);
  if (!store_get_delivery(engine_store(w->d->e), 0, id, &a, &d) && !store_get_run(engine_store(w->d->e), 0, d.run, &a, &r) && !store_get_input(engine_store(w->d->e), 0, r.input, &a, &in))
    for (message *m = model_first(w, in.control_id.p, in.control_id.len); m; m = model_next(w, m))
      if (effect_of(d.sink) < SIM_EFFECTS) m->fx[effect_of(d.sink)].redriven++;
  arena_free(&a);
}

static void redrive_one(world *w, uint8_t subject, uint64_t id) {
  unsigned fx = SIM_EFFECTS;
  message *m = subject == SUBJECT_DELIVERY ? delivery_of(w, id, &fx) : NULL;
  hdw_status s = engine_redrive(w->d->e, subject, id, "sim", NULL, NULL);
  if (s) say(w, "operator: redrive %s %llu: %s", subject == SUBJECT_RUN ? "run" : "delivery", (unsigned long long)id, hdw_status_name(s));
  if (s || subject != SUBJECT_DELIVERY) return;
  if (!m) redriven_any(w, id);
  else if (fx < SIM_EFFECTS) m->fx[fx].redriven++;
}

static void redrive(world *w, unsigned per_mille) {
  fhir_trouble(w);
  for (uint8_t subject = SUBJECT_RUN; subject <= SUBJECT_DELIVERY; subject++) {
    ids dead = {.n = 0};
    (void)store_list_dead(engine_store(w->d->e), 0, subject, 0, 256, take_id, &dead);
    for (unsigned i = 0; i < dead.n; i++)
      if (chance(w, per_mille)) redrive_one(w, subject, dead.id[i]);
  }
}

/* Some dead letter, drawn. False: there is none. */
static bool some_dead(world *w, uint8_t subject, uint64_t *id, message **m, unsigned *fx) {
  ids dead = {.n = 0};
  (void)store_list_dead(engine_store(w->d->e), 0, subject, 0, 256, take_id, &dead);
  if (!dead.n) return false;
  *id = dead.id[draw(w, dead.n)], *fx = SIM_EFFECTS;
  *m = subject == SUBJECT_DELIVERY ? delivery_of(w, *id, fx) : daemon_message_of(w, *id);
  return *m != NULL;
}

static void discard(world *w) {
  uint64_t id;
  message *m;
  unsigned fx;
  uint8_t subject = draw(w, 2) ? SUBJECT_RUN : SUBJECT_DELIVERY;
  if (!some_dead(w, subject, &id, &m, &fx)) return;
  hdw_status s = engine_discard(w->d->e, subject, id, "sim", "not wanted", on_ended, act_for(w, m, fx));
  say(w, "operator: discard %s %llu of %s.%s: %s", subject == SUBJECT_RUN ? "run" : "delivery", (unsigned long long)id, m->id, m->tag, hdw_status_name(s));
  if (!s) model_given_up(w, m, fx);
}

static void skip(world *w) {
  uint64_t id;
  message *m;
  unsigned fx;
  uint8_t subject = draw(w, 2) ? SUBJECT_RUN : SUBJECT_DELIVERY;
  if (!some_dead(w, subject, &id, &m, &fx)) return;
  hdw_status s = engine_skip(w->d->e, subject, id, "sim", NULL, NULL);
  say(w, "operator: skip %s %llu of %s.%s: %s", subject == SUBJECT_RUN ? "run" : "delivery", (unsigned long long)id, m->id, m->tag, hdw_status_name(s));
  if (!s) m->skipped = true;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------------------------ */

static void cancel(world *w) {
  static const uint8_t states[] = {RUN_QUEUED, RUN_RUNNING, RUN_PARKED, RUN_RUNNING};
  ids runs = {.n = 0};
  (void)store_list_runs(engine_store(w->d->e), 0, states[draw(w, 4)], 0, 256, take_id, &runs);
  if (!runs.n) return;
  uint64_t id = runs.id[draw(w, runs.n)];
  message *m = daemon_message_of(w, id);
  if (!m) return;
  hdw_status s = engine_cancel(w->d->e, id, "sim", "not wanted", on_ended, act_for(w, m, SIM_EFFECTS));
  say(w, "operator: cancel run %llu of %s.%s: %s", (unsigned long long)id, m->id, m->tag, hdw_status_name(s));
  if (s) return;
  model_given_up(w, m, SIM_EFFECTS);
  /* What was under way is cut off: whether it was performed nobody knows now, so reprocessing does it again with the same key. */
  for (unsigned k = 0; k < SIM_EFFECTS; k++)
    if (m->fx[k].clean_us > io_mono_us(w->io) - w->settled_us) m->fx[k].clean_us = 0;
}

/* What the plan says of the first step: the result that is there is taken over. */
static bool takes_over(world *w, uint64_t input) {
  engine_redo plan[REC_MAX_RUNS];
  uint32_t n = 0;
  char text[200];
  arena a;
  arena_init(&a, &w->mem.m, 0);
  hdw_status s = engine_reprocess_plan(w->d->e, input, NULL, &a, plan, &n, text);
  bool takes = !s && n == 1 && plan[0].nlines && !strcmp(plan[0].lines[0].what, "taken over");
  arena_free(&a);
  return takes;
}

/* One of the latest messages goes through once more. */
static void reprocess(world *w) {
  char text[200] = "";
  uint32_t started = 0;
  uint64_t input = 0;
  message *m = w->nmsgs ? &w->msgs[w->nmsgs - 1 - draw(w, w->nmsgs < 40 ? w->nmsgs : 40)] : NULL;
  if (!m || !m->acked || m->redone == SIM_REDONE || (m->kind != KIND_ADT && m->kind != KIND_WEB) || !daemon_input_of(w, m, &input)) return;
  bool takes = takes_over(w, input);
  hdw_status s = engine_reprocess(w->d->e, input, NULL, "sim", NULL, NULL, &started, text);
  say(w, "operator: reprocess %s.%s: %u started, %s %s", m->id, m->tag, started, hdw_status_name(s), text);
  if (started) model_redone(w, m, takes);
}

/* ---- deployments ----------------------------------------------------------------------------------------------------------------------------------- */

static void deploy(world *w, bool back) {
  struct daemon_state *d = w->d;
  const meta *metas[8];
  engine_stage *st;
  char text[200] = "";
  mod_error err = {.text = ""};
  if (engine_stage_new(d->e, &st)) return;
  unsigned to = d->current ^ 1;
  hdw_status s = back ? engine_stage_back(st, "sim", NULL, text) : engine_stage_module(st, "sim.hdwb", d->mod[to], d->len[to], &err);
  if (!s) {
    uint32_t n = engine_stage_metas(st, metas, 8);
    bound *b = daemon_bind(w, metas, n);
    engine_stage_each_pinned(st, daemon_use, &b->cfg);
    s = engine_switch(st, &b->cfg, "sim", text);
  }
  say(w, "%s: %s %s%s", back ? "rollback" : "deploy", hdw_status_name(s), text, err.text);
  if (s) engine_stage_free(st);
  else d->current = to, w->deploys++, polite_forget(w);
}

static const char *const sinks[] = {"crm", "emr", "ward", "lab", "drop", "journal", "ehr"};
enum { SINKS = sizeof sinks / sizeof *sinks };

/* ---- what he does next ----------------------------------------------------------------------------------------------------------------------------- */

void daemon_operate(world *w) {
  struct daemon_state *d = w->d;
  if (!d->e || d->stopping || io_sim_dead(w->io)) return;
  fhir_trouble(w);
  switch (draw(w, 14)) {
  case 0:
  case 1:
    say(w, "operator: redrive");
    redrive(w, 600);
    return;
  case 2:
  case 3:
  case 4: {
    const char *sink = sinks[draw(w, SINKS)];
    bool stop = draw(w, 3) == 0;
    say(w, "operator: %s %s", stop ? "pause" : "resume", sink);
    (void)engine_pause(d->e, sink, stop, "sim", NULL, NULL);
    return;
  }
  case 5: {
    const char *workflow = draw(w, 2) ? "admit" : "intake";
    bool stop = draw(w, 2) != 0;
    say(w, "operator: %s %s", stop ? "pause" : "resume", workflow);
    (void)engine_pause_workflow(d->e, workflow, stop, "sim", NULL, NULL);
    return;
  }
  case 6: deploy(w, false); return;
  case 7: discard(w); return;
  case 8: skip(w); return;
  case 9: cancel(w); return;
  case 10:
  case 11:
  case 12: reprocess(w); return;
  default: deploy(w, chance(w, 500)); return;
  }
}

void daemon_redrive(world *w) {
  struct daemon_state *d = w->d;
  if (!d->e) return;
  for (unsigned i = 0; i < SINKS; i++) (void)engine_pause(d->e, sinks[i], false, "sim", NULL, NULL);
  (void)engine_pause_workflow(d->e, "admit", false, "sim", NULL, NULL);
  (void)engine_pause_workflow(d->e, "intake", false, "sim", NULL, NULL);
  redrive(w, 1000);
}
