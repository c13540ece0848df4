/* engine_replay.c - see engine_replay.h. What comes before a run: which modules decide, the gate, the answer. Runs are in engine_replay_run.c. */
#include "engine_replay_int.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- opening ------------------------------------------------------------------------------------------------------------------- */

typedef struct opening {
  engine_replay *x;
  eng_app *app;              /* the new version; NULL */
  char *note;
} opening;

static bool has_workflow(const meta *m, const char *name) {
  for (uint32_t i = 0; i < m->nworkflows; i++)
    if (!strcmp(m->workflows[i].name, name)) return true;
  return false;
}

static bool overlap(const eng_app *a, const eng_app *b) {
  for (uint32_t i = 0; i < a->meta.nworkflows; i++)
    if (has_workflow(&b->meta, a->meta.workflows[i].name)) return true;
  return false;
}

/* The version that the new one stands in for: its workflows count as the module's, and its settings hold where hdw.json has no others. */
static hdw_status take_place(engine_replay *x, eng_app *app, eng_app *was) {
  memcpy(x->before, was->m.id, REC_HASH);
  for (uint32_t i = 0; i < was->meta.nworkflows && x->nold < REC_MAX_RUNS; i++) {
    const char *s = was->meta.workflows[i].name;
    if (!(x->old[x->nold++] = arena_dup(&x->a, s, strlen(s)))) return HDW_E_NOMEM;
  }
  for (uint32_t i = 0; i < app->meta.nsettings; i++)
    for (uint32_t k = 0; k < was->meta.nsettings && was->settings; k++) {
      if (strcmp(app->meta.settings[i].name, was->meta.settings[k].name) || config_find_setting(x->e->o.config, app->meta.settings[i].name)) continue;
      buf b;
      json_reader r;
      buf_init(&b, &app->a, 4 << 20);
      hdw_status s = was->settings[k].tag == VAL_EMPTY ? HDW_E_NOTFOUND : json_write(was->settings[k], &b, NULL);
      if (s == HDW_E_NOTFOUND) continue;
      json_reader_init(&r, x->e->mem);
      if (!s) s = json_read(&r, &app->a, b.p, b.len, NULL, &app->settings[i], NULL);
      json_reader_free(&r);
      if (s) return s;
    }
  return HDW_OK;
}

static hdw_status new_settings(engine_replay *x, eng_app *app) {
  app->settings = (val *)arena_zalloc(&app->a, app->meta.nsettings + 1, sizeof *app->settings);
  if (!app->settings) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < app->meta.nsettings; i++) {
    const config_setting *c = config_find_setting(x->e->o.config, app->meta.settings[i].name);
    app->settings[i] = c ? c->value : app->meta.settings[i].def;
  }
  return HDW_OK;
}

static bool deployed(const store_deploy *d, void *user) {
  static const uint8_t none[REC_HASH];
  opening *o = (opening *)user;
  engine *e = o->x->e;
  if (!memcmp(d->module, none, REC_HASH) || e->napps == ENG_MAX_APPS) return true;
  eng_app *app = eng_app_pinned(e, d->module, d->deployment);
  if (!app) snprintf(o->note, 200, "the deployed module %.*s is not in the log any more: what it would say is left out", (int)(d->name.len < 80 ? d->name.len : 80), d->name.p);
  else if (!eng_names_bind(e, app)) app->retired = false;
  return true;
}

/* The deployed modules, with the new one in the place of the one with its name, or else of the one that has its workflows. */
static hdw_status deploy(opening *o, char text[200]) {
  engine_replay *x = o->x;
  engine *e = x->e;
  eng_app *was = NULL;
  arena a;
  arena_init(&a, e->mem, 0);
  hdw_status s = store_list_deploys(e->store, true, &a, deployed, o);
  arena_free(&a);
  for (uint32_t i = 0; i < e->napps; i++)
    if (!e->apps[i]->retired && !strcmp(e->apps[i]->name, o->app->name)) was = e->apps[i];
  for (uint32_t i = 0; i < e->napps && !s; i++) {
    eng_app *other = e->apps[i];
    if (other->retired || other == was || !overlap(o->app, other)) continue;
    if (!was) {
      was = other;
      snprintf(o->note, 200, "the module is named '%.40s' and stands in for '%.40s', which has its workflows; deploy would refuse it under that name", o->app->name, other->name);
    } else {
      snprintf(text, 200, "the module has workflows of '%.50s' and of '%.50s': it can be the next version of one only", was->name, other->name);
      s = HDW_E_EXISTS;
    }
  }
  if (was) was->retired = true;
  if (!s) s = new_settings(x, o->app);
  if (!s && was) s = take_place(x, o->app, was);
  if (!s) s = eng_names_bind(e, o->app);
  if (!s && e->napps == ENG_MAX_APPS) s = HDW_E_LIMIT;
  if (!s) e->apps[e->napps++] = x->app = o->app;
  return s;
}

static bool note_deploy(const store_deploy *d, void *user) {
  engine_replay *x = (engine_replay *)user;
  if (x->ndeploys == x->cap) {
    uint32_t cap = x->cap ? 2 * x->cap : 16;
    store_deploy *v = (store_deploy *)arena_grow(&x->a, x->deploys, x->cap * sizeof *v, cap * sizeof *v);
    if (!v) return false;
    x->deploys = v, x->cap = cap;
  }
  x->deploys[x->ndeploys++] = *d;
  return true;
}

hdw_status engine_replay_open(engine *e, const engine_replay_with *with, engine_replay **out, char text[200], char note[200]) {
  mod_error err = {.text = ""};
  text[0] = note[0] = 0;
  engine_replay *x = (engine_replay *)eng_get(e, sizeof *x);
  if (!x) return HDW_E_NOMEM;
  x->e = e;
  arena_init(&x->a, e->mem, 0);
  arena_init(&x->one, e->mem, (size_t)e->o.config->top.run_memory_bytes * 2);
  opening o = {.x = x, .note = note};
  hdw_status s = HDW_OK;
  for (unsigned i = 0; i < 2 && !s; i++)
    if (!(x->runs[i] = (eng_run *)e->mem->get(e->mem, sizeof *x->runs[i]))) s = HDW_E_NOMEM; /* cleared when it is used, as far as it must be */
  if (!s && !with) s = store_list_deploys(e->store, false, &x->a, note_deploy, x);
  if (!s && with) s = eng_app_new(e, with->file, with->bytes, with->len, &err, &o.app);
  if (!s && with && (s = deploy(&o, text)) && !x->app) eng_app_free(o.app);
  if (!s) {
    *out = x;
    return HDW_OK;
  }
  if (!text[0]) snprintf(text, 200, "%.150s", err.text[0] ? err.text : hdw_status_text(s));
  engine_replay_close(x);
  return s;
}

void engine_replay_close(engine_replay *x) {
  for (unsigned i = 0; i < 2; i++) eng_put(x->e, x->runs[i], sizeof *x->runs[i]);
  arena_free(&x->one);
  arena_free(&x->a);
  eng_put(x->e, x, sizeof *x);
}

const char *engine_replay_name(const engine_replay *x, const uint8_t **id, const uint8_t **before) {
  *id = x->app ? x->app->m.id : x->before;
  *before = x->before;
  return x->app ? x->app->name : "";
}

/* ---- the input ------------------------------------------------------------------------------------------------------------------ */

/* The last run of each workflow; against the record all. */
static bool old_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  replay_input *in = (replay_input *)user;
  store_run r;
  uint32_t at = 0;
  (void)part, (void)state;
  if (store_get_run(in->x->e->store, ENG_PART, id, &in->x->one, &r)) return true;
  while (at < in->nolds && !(in->x->app && cod_equal(in->olds[at].workflow, r.workflow))) at++;
  if (at == REC_MAX_RUNS) return false;
  if (at == in->nolds) in->nolds++;
  else if (in->olds[at].id > id) return true;
  in->olds[at] = r;
  return true;
}

/* Row, bytes, runs. False: out->skip says why, or *s is an error. */
static bool load(replay_input *in, uint64_t id, hdw_status *s) {
  static const uint8_t none[REC_HASH];
  engine_replay *x = in->x;
  engine *e = x->e;
  log_rec rec;
  hl7_problem why;
  rec_input *r = (rec_input *)arena_alloc(&x->one, sizeof *r);
  in->olds = (store_run *)arena_zalloc(&x->one, REC_MAX_RUNS, sizeof *in->olds);
  *s = r && in->olds ? store_get_input(e->store, ENG_PART, id, &x->one, &in->row) : HDW_E_NOMEM;
  if (*s) return false;
  in->out->time_us = in->row.time_us;
  *s = log_read(e->log, in->row.pos, &x->one, &rec);
  if (*s == HDW_E_NOTFOUND) return in->out->skip = REPLAY_EXPIRED, *s = HDW_OK, false;
  if (!*s) *s = rec_get_input(&rec, r);
  if (!*s) *s = store_list_runs_of_input(e->store, ENG_PART, id, old_run, in);
  if (*s) return false;
  in->body = rec.body, in->len = rec.body_len, in->rec = r;
  in->hl7 = !(in->row.type.len && memchr(in->row.type.p, ' ', in->row.type.len));
  if (in->row.attempts <= 1 && !memcmp(r->verdict.module, none, REC_HASH) && in->row.state != INPUT_UNMATCHED) return in->out->skip = REPLAY_REFUSED, false;
  if (in->row.state == INPUT_RUNNING) return in->out->skip = REPLAY_UNFINISHED, false;
  in->identity = arena_dup(&x->one, in->row.identity.p, in->row.identity.len);
  in->listener = arena_dup(&x->one, in->row.source.p, in->row.source.len);
  if (!in->identity || !in->listener) return *s = HDW_E_NOMEM, false;
  if ((in->hl7 && hl7_head_read((const char *)in->body, in->len, &in->head, &why)) ||
      eng_input_value(e, &x->one, in->body, in->len, &(eng_reading){.charset = in->row.charset, .identity = in->identity}, &in->value, &why))
    return in->out->skip = REPLAY_REFUSED, false;
  return true;
}

/* ---- the gate ------------------------------------------------------------------------------------------------------------------------ */

static bool wake(engine *e, const uint8_t hash[REC_HASH], const uint8_t deployment[REC_HASH]) {
  eng_app *app = eng_app_pinned(e, hash, deployment);
  if (!app || eng_names_bind(e, app)) return false;
  app->retired = false;
  return true;
}

/* Without a new version those decide that were deployed when it came. A later attempt at it was decided at a time that is not known here: by those that its
 * runs have. */
static bool awaken(replay_input *in) {
  static const uint8_t none[REC_HASH];
  const engine_replay *x = in->x;
  bool ok = true;
  if (x->app) return true;
  for (uint32_t i = 0; i < in->nolds && in->row.attempts > 1 && ok; i++)
    if (!in->olds[i].of_run) ok = wake(x->e, in->olds[i].module, in->olds[i].deployment);
  if (in->row.attempts > 1) return ok && in->nolds;
  for (uint32_t i = 0; i < x->ndeploys && ok; i++) {
    const store_deploy *d = &x->deploys[i];
    bool current = d->seq < in->row.id && memcmp(d->module, none, REC_HASH);
    for (uint32_t k = i + 1; k < x->ndeploys && current; k++) current = x->deploys[k].seq > in->row.id || !cod_equal(x->deploys[k].name, d->name);
    if (current) ok = wake(x->e, d->module, d->deployment);
  }
  return ok;
}
static void sleep_again(replay_input *in) {
  for (uint32_t i = 0; i < in->x->e->napps && !in->x->app; i++) in->x->e->apps[i]->retired = true;
}

/* Where an HL7 message over HTTP went to is not recorded: the run's trigger says it, or the only path that there is. False: nobody knows. */
static bool message_path(replay_input *in, const char **path) {
  engine *e = in->x->e;
  bool http = false;
  uint32_t n = 0;
  *path = NULL;
  for (uint32_t i = 0; i < e->napps; i++) {
    const meta *m = &e->apps[i]->meta;
    if (e->apps[i]->retired) continue;
    for (uint32_t k = 0; k < m->nworkflows; k++)
      for (uint32_t t = 0; t < m->workflows[k].ntriggers; t++) {
        const meta_trigger *tr = &m->workflows[k].triggers[t];
        if (strcmp(tr->listener, in->listener) || strcmp(tr->kind, "message")) continue;
        http |= tr->path != NULL;
        if (!tr->path || (*path && !strcmp(*path, tr->path))) continue;
        for (uint32_t r = 0; r < in->nolds; r++)
          if (cod_equal(in->olds[r].workflow, cod_cstr(m->workflows[k].name))) return *path = tr->path, true;
        *path = tr->path;
        n++;
      }
  }
  return !http || n == 1;
}

/* A once-key that an earlier input had makes no run, now as then; keys that are over are gone, so what the record says counts first. */
static void once(replay_input *in, eng_want *w) {
  uint64_t owner;
  if (!w->run || !w->has_once) return;
  bool had = false;
  for (uint32_t i = 0; i < in->nolds; i++) had |= cod_equal(in->olds[i].workflow, cod_cstr(w->wf->name));
  bool taken = !store_get_once(in->x->e->store, w->once, in->row.time_us, &owner) && owner < in->row.id;
  if (!had && (taken || in->row.state == INPUT_ACCEPTED)) w->run = w->reply = false;
}

static hdw_status decide(replay_input *in) {
  engine *e = in->x->e;
  arena *a = &in->x->one;
  engine_source src = {.listener = in->listener, .identity = in->identity};
  in->v = (eng_verdict *)arena_alloc(a, sizeof *in->v);
  in->says = (rec_verdict *)arena_alloc(a, sizeof *in->says);
  if (!in->v || !in->says) return HDW_E_NOMEM;
  if (!in->hl7) {
    src.method = jv_text(a, jv_get(in->value, "method")), src.path = jv_text(a, jv_get(in->value, "path"));
    if (!src.method || !src.path) return HDW_E_CORRUPT;
  } else if (!message_path(in, &src.path)) return in->out->skip = REPLAY_NO_PATH, HDW_OK;
  if (in->hl7 && src.path) src.method = "POST";
  e->decided_us = in->row.time_us;
  eng_gate(e, a, &src, in->hl7 ? &in->head : NULL, in->value, in->v);
  e->decided_us = 0;
  for (uint32_t i = 0; i < in->v->n; i++) once(in, &in->v->wants[i]);
  const config_listener *c = config_find_listener(e->o.config, in->listener);
  eng_listener l = {.o = c ? &c->o : NULL};
  eng_verdict_record(e, a, c ? &l : NULL, in->v, in->hl7, in->says, &in->after);
  if (in->says->state == INPUT_UNMATCHED && in->row.state == INPUT_UNMATCHED) in->says->ack_code = in->row.ack_code, in->says->error_code = in->row.error_code, in->says->text = in->row.text;
  return HDW_OK;
}

/* ---- one input ------------------------------------------------------------------------------------------------------------------------- */

void replay_report(replay_input *in, const char *path, engine_replay_kind kind, val before, val after) {
  in->out->diffs++;
  if (in->cb) in->cb(in->user, &(engine_replay_diff){in->row.id, in->run, in->workflow, path, kind, before, after});
}

static val text_val(cod_str s) { return s.len ? val_str((const char *)s.p, s.len) : VAL_NONE; }

void replay_text(replay_input *in, const char *path, cod_str before, cod_str after) {
  if (cod_equal(before, after)) return;
  replay_report(in, path, !before.len ? REPLAY_ADDED : !after.len ? REPLAY_REMOVED : REPLAY_CHANGED, text_val(before), text_val(after));
}

static void compare_answer(replay_input *in) {
  in->workflow = "", in->run = 0;
  replay_text(in, "ack.code", in->row.ack_code, in->says->ack_code);
  replay_text(in, "ack.error", in->row.error_code, in->says->error_code);
  replay_text(in, "ack.text", in->row.text, in->says->text);
}

/* Of the module that is looked at, and wanted? */
static bool ours(const replay_input *in, const char *name, const char *wanted) {
  const engine_replay *x = in->x;
  bool is = !x->app || has_workflow(&x->app->meta, name);
  for (uint32_t i = 0; i < x->nold; i++) is |= !strcmp(x->old[i], name);
  return is && (!wanted || !strcmp(wanted, name));
}

static const store_run *old_of(const replay_input *in, const meta_workflow *wf) {
  for (uint32_t i = 0; i < in->nolds; i++)
    if (!in->x->app && in->olds[i].of_run) continue; /* no gate made it */
    else if (cod_equal(in->olds[i].workflow, cod_cstr(wf->name)) || (wf->was && cod_equal(in->olds[i].workflow, cod_cstr(wf->was)))) return &in->olds[i];
  return NULL;
}

static void compare_runs(replay_input *in, const char *wanted, bool *mine) {
  bool seen[REC_MAX_RUNS] = {false};
  for (uint32_t i = 0; i < in->v->n; i++) {
    const eng_want *w = &in->v->wants[i];
    const store_run *old = old_of(in, w->wf);
    if (old) seen[old - in->olds] = w->run;
    if (!w->run || !ours(in, w->wf->name, wanted)) continue;
    *mine = true;
    in->workflow = w->wf->name, in->run = old ? old->id : 0;
    if (old) replay_run(in, w, old);
    else if (in->x->app) in->out->looked = true, replay_report(in, "run", REPLAY_ADDED, VAL_NONE, VAL_NONE);
  }
  for (uint32_t i = 0; i < in->nolds; i++) {
    const char *name = arena_dup(&in->x->one, in->olds[i].workflow.p, in->olds[i].workflow.len);
    if (seen[i] || !name || !ours(in, name, wanted)) continue;
    *mine = true;
    in->workflow = name, in->run = in->olds[i].id;
    if (in->olds[i].of_run && !in->x->app) replay_run(in, NULL, &in->olds[i]); /* it had no gate */
    else in->out->looked = true, replay_report(in, "run", REPLAY_REMOVED, VAL_NONE, VAL_NONE);
  }
}

hdw_status engine_replay_one(engine_replay *x, uint64_t input, const char *workflow, engine_replay_cb cb, void *user, engine_replay_input *out) {
  replay_input in = {.x = x, .out = out, .cb = cb, .user = user};
  hdw_status s;
  *out = (engine_replay_input){.skip = REPLAY_LOOKED};
  arena_reset(&x->one);
  store_refresh(x->e->store); /* a reader that stays keeps the pages of what it once saw */
  bool loaded = load(&in, input, &s), mine = !workflow;
  for (uint32_t i = 0; i < in.nolds && !mine; i++) mine = cod_equal(in.olds[i].workflow, cod_cstr(workflow));
  out->other = !mine;
  if (!loaded) return s;
  if (!awaken(&in)) out->skip = REPLAY_NO_MODULE;
  else s = decide(&in);
  if (!s && out->skip == REPLAY_LOOKED) {
    compare_runs(&in, workflow, &mine);
    if (mine && !in.after) compare_answer(&in);
    if (mine && !out->skip) out->looked = true;
  }
  sleep_again(&in);
  out->other = !mine;
  return s;
}
