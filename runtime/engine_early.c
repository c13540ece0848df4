/* engine_early.c - runs that need nothing but their input execute while it is on its way to the disk: their end lies behind it in the log, and one sync serves
 * for both. What such a run can do is append records, and a record counts only when all before it are durable; at its first effect it is dropped and starts
 * when its input is durable, as if nothing had been. A crash in between leaves a queued run.
 *
 * Order: a run goes early only when no earlier run of its lanes is there: none in the store, none that has not come through and whose input is still on its way
 * (those are kept in a list), and no record on its way that may bring one back. Those that were done early are through, whether their records are durable or not. */
#include "engine_int.h"

typedef struct eng_late {
  struct eng_late *next;
  uint64_t id;
  uint8_t nlanes;
  uint8_t lanes[REC_MAX_LANES][REC_LANE];
} eng_late;

static bool shares(const eng_late *l, const rec_run_new *n) {
  for (unsigned i = 0; i < l->nlanes; i++)
    for (unsigned k = 0; k < n->nlanes; k++)
      if (!memcmp(l->lanes[i], n->lanes[k], REC_LANE)) return true;
  return false;
}

static bool in_turn(engine *e, const rec_run_new *n, uint64_t id) {
  for (const eng_late *l = n->nlanes ? e->late : NULL; l; l = l->next)
    if (shares(l, n)) return false;
  return eng_lanes_free(e, id, n->lanes, n->nlanes);
}

/* An effect met once will be met again: the workflow's runs are not tried early any more. */
static bool suits(engine *e, const rec_run_new *n, eng_app **app, uint64_t *bit) {
  *app = eng_app_pinned(e, n->module, n->deployment);
  const meta_workflow *wf = *app ? eng_workflow(*app, n->workflow.p, n->workflow.len) : NULL;
  if (!wf || (n->flags & RUN_F_ACK_AFTER) || eng_workflow_paused(e, n->workflow)) return false;
  *bit = (uint64_t)1 << ((size_t)(wf - (*app)->meta.workflows) % 64);
  return !((*app)->has_effects & *bit);
}

static void keep(engine *e, const rec_run_new *n, uint64_t id) {
  eng_late *l = (eng_late *)eng_get(e, sizeof *l);
  if (!l) { /* nobody goes early until it is part of the state */
    e->early_after = rec_run_seq(id);
    return;
  }
  l->id = id, l->nlanes = n->nlanes;
  memcpy(l->lanes, n->lanes, sizeof l->lanes);
  l->next = e->late;
  e->late = l;
}

static const val *known_result(const eng_message *m, const rec_run_new *n) {
  for (uint32_t i = 0; i < m->gates->n; i++) {
    const eng_want *w = &m->gates->wants[i];
    if (w->run && w->whole && cod_equal(cod_cstr(w->wf->name), n->workflow)) return &w->result;
  }
  return NULL;
}

void eng_early(engine *e, const eng_message *m, uint64_t seq, int64_t received_us) {
  bool may = m->input.tag != VAL_EMPTY && !e->o.hits && !e->draining && !e->rescan && !e->nready && store_applied(e->store) >= e->early_after;
  for (uint32_t i = 0; i < e->napps && may; i++) may = !e->apps[i]->has_senders; /* they decide how a run reads its message */
  store_input in = {.id = seq, .time_us = e->appended_us, .received_us = received_us, .identity = m->rec.identity};
  memcpy(in.content_hash, m->rec.content_hash, REC_HASH);
  for (unsigned i = 0; i < m->rec.verdict.nruns; i++) {
    const rec_run_new *n = &m->rec.verdict.runs[i];
    uint64_t id = rec_run_id(seq, i), bit = 0;
    eng_app *app;
    bool suited = suits(e, n, &app, &bit);
    if (may && suited && e->nruns < e->o.config->top.active_runs && in_turn(e, n, id)) {
      const eng_run *r = eng_run_early(e, n, &in, i, m->input, known_result(m, n));
      if (r && r->done) continue;
      if (!r) app->has_effects |= bit;
    }
    if (n->nlanes && suited) keep(e, n, id);
  }
}

bool eng_early_done(engine *e, uint64_t id) {
  const eng_run *r = eng_run_find(e, id);
  for (eng_late **at = &e->late; *at; at = &(*at)->next)
    if ((*at)->id == id) {
      eng_late *l = *at;
      *at = l->next;
      eng_put(e, l, sizeof *l);
      break;
    }
  return r && r->early;
}

void eng_early_close(engine *e) {
  while (e->late) {
    eng_late *l = e->late;
    e->late = l->next;
    eng_put(e, l, sizeof *l);
  }
}
