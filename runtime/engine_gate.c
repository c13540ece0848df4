/* engine_gate.c - which workflows want an input, and what their gates say.
 *
 * A gate is the workflow's function run up to its GATE instruction with little fuel: pure, before the commit. Its verdict goes into the input's record. */
#include <stdio.h>
#include <stdlib.h>
#include "engine_int.h"
#include "json.h"

static bool part_is(const char *pattern, size_t n, hl7_slice v) { return (n == 1 && pattern[0] == '*') || (n == v.len && (n == 0 || !memcmp(pattern, v.p, n))); }

/* "ADT^A01", "ADT^*", "*^A01", "ADT". */
static bool type_matches(const char *pattern, const hl7_head *h) {
  const char *hat = strchr(pattern, '^');
  size_t n = hat ? (size_t)(hat - pattern) : strlen(pattern);
  if (!part_is(pattern, n, h->type)) return false;
  if (!hat) return true;
  const char *ev = hat + 1, *end = strchr(ev, '^');
  return part_is(ev, end ? (size_t)(end - ev) : strlen(ev), h->event);
}

static void cx_init(engine *e, vm_cx *cx, arena *a, int64_t fuel) {
  *cx = (vm_cx){.a = a, .fuel = fuel, .model = e->o.model, .seed = e->hash_seed, .now_us = e->decided_us ? e->decided_us : io_wall_us(e->io), .env = &eng_env_gate, .user = e, .regexes = e->regexes, .hits = e->o.hits};
}

bool eng_sender_eval(engine *e, eng_app *app, uint32_t i, arena *a, val input) {
  if (app->meta.senders[i].match == MOD_NO_INDEX) return false;
  vm_cx cx;
  vm_run *r = (vm_run *)arena_alloc(a, sizeof *r); /* vm_start fills in what is read */
  cx_init(e, &cx, a, e->o.config->top.gate_fuel);
  hdw_status s = r ? vm_start(r, &app->m, e->o.host, app->bound, &cx, app->meta.senders[i].match, &input, 1) : HDW_E_NOMEM;
  if (r) r->is_gate = true;
  vm_state end = s ? VM_FAILED : vm_go(r);
  e->unsure |= s == HDW_E_NOMEM || end == VM_OUT_OF_MEMORY;
  return end == VM_DONE && r->result.tag == VAL_BOOL && r->result.u.i;
}

static bool is_sender(const eng_app *app, const char *identity) {
  for (uint32_t i = 0; identity && i < app->meta.nsenders; i++)
    if (!strcmp(app->meta.senders[i].name, identity)) return true;
  return false;
}

bool eng_sender_is(engine *e, eng_app *app, uint32_t i, arena *a, val input, const char *identity) {
  if (is_sender(app, identity)) return !strcmp(app->meta.senders[i].name, identity);
  return eng_sender_eval(e, app, i, a, input);
}

/* Precedence (H-51): the authenticated peer when a sender has its name; else the declaration's match; else the sender's name in MSH-3. */
static bool sender_matches(engine *e, eng_app *app, arena *a, const char *name, const hl7_head *h, val input, const char *identity) {
  if (is_sender(app, identity)) return !strcmp(name, identity);
  for (uint32_t i = 0; i < app->meta.nsenders; i++) {
    if (strcmp(app->meta.senders[i].name, name)) continue;
    if (app->meta.senders[i].match == MOD_NO_INDEX) break;
    return eng_sender_eval(e, app, i, a, input);
  }
  return h->app.len == strlen(name) && !memcmp(h->app.p, name, h->app.len);
}

bool eng_is_method(const char *kind, const char *method) {
  for (size_t i = 0;; i++) {
    char up = kind[i] >= 'a' && kind[i] <= 'z' ? (char)(kind[i] - 32) : kind[i];
    if (method[i] != up) return false;
    if (!up) return true;
  }
}

static bool trigger_matches(engine *e, eng_app *app, arena *a, const meta_trigger *t, const engine_source *src, const hl7_head *h, val input) {
  if (strcmp(t->listener, src->listener)) return false;
  if ((t->path != NULL) != (src->path != NULL)) return false;
  if (t->path && strcmp(t->path, src->path)) return false;
  if (!h) return strcmp(t->kind, "message") && eng_is_method(t->kind, src->method);
  if (strcmp(t->kind, "message")) return false;
  bool ok = t->ntypes == 0;
  for (uint32_t i = 0; i < t->ntypes && !ok; i++) ok = type_matches(t->types[i], h);
  if (!ok) return false;
  ok = t->nfrom == 0;
  for (uint32_t i = 0; i < t->nfrom && !ok; i++) ok = sender_matches(e, app, a, t->from[i], h, input, src->identity);
  return ok;
}

/* ---- one gate ------------------------------------------------------------------------------------------------------------- */

static void fault(eng_want *w, const char *text) {
  w->run = false;
  w->state = INPUT_FAILED;
  memcpy(w->code, "AE", 3);
  w->error = 207;
  w->text = text;
}

static const char *text_of(arena *a, val v) {
  val s;
  if (v.tag == VAL_EMPTY || val_to_str(a, v, &s) || s.tag != VAL_STR) return NULL;
  return arena_dup(a, s.u.s, s.len);
}

static void keep_lanes(eng_want *w, arena *a, const vm_run *r) {
  for (uint32_t i = 0; i < r->nlanes; i++) {
    val s;
    if (val_to_str(a, r->lanes[i], &s) || s.tag != VAL_STR) {
      fault(w, "a lane key is no text");
      return;
    }
    uint8_t h[REC_LANE];
    rec_lane_hash(cod_cstr(w->wf->state_name), cod_bytes(s.u.s, s.len), h);
    uint32_t at = w->nlanes;
    bool seen = false;
    for (uint32_t k = 0; k < w->nlanes; k++) seen |= !memcmp(w->lanes[k], h, REC_LANE);
    if (seen) continue;
    if (at == REC_MAX_LANES) { /* an order that is kept by half would be none */
      fault(w, "more than 8 lane keys");
      return;
    }
    while (at > 0 && memcmp(w->lanes[at - 1], h, REC_LANE) > 0) memcpy(w->lanes[at], w->lanes[at - 1], REC_LANE), at--;
    memcpy(w->lanes[at], h, REC_LANE);
    w->nlanes++;
  }
}

/* once by KEY within TIME: the hash of workflow and key. */
static void keep_once(eng_want *w, arena *a, const vm_run *r) {
  if (r->once_key.tag == VAL_EMPTY) return;
  cod_str parts = {NULL, 0};
  for (uint32_t i = 0; i < val_count(r->once_key); i++) {
    val s;
    char *joined;
    if (val_to_str(a, val_item(r->once_key, i), &s) || s.tag != VAL_STR || !(joined = (char *)arena_alloc(a, parts.len + s.len + 1))) {
      fault(w, "a once-key is no text");
      return;
    }
    if (parts.len) memcpy(joined, parts.p, parts.len);
    memcpy(joined + parts.len, s.u.s, s.len);
    joined[parts.len + s.len] = '\n';
    parts = cod_bytes(joined, parts.len + s.len + 1);
  }
  rec_lane_hash(cod_cstr(w->wf->state_name), parts, w->once);
  w->has_once = true;
  int64_t within = eng_duration_us(r->once_within);
  w->once_until_us = r->cx->now_us + (within ? within : INT64_C(7) * 86400000000);
}

uint16_t eng_reject_code(const char *said, char code[8]) {
  const char *colon = strchr(said, ':');
  snprintf(code, 8, "%.*s", colon && colon - said < 7 ? (int)(colon - said) : 7, said);
  unsigned long n = colon ? strtoul(colon + 1, NULL, 10) : 0;
  return n <= 999 ? (uint16_t)n : 0;
}

/* false: the workflow does not want this input. */
static bool outcome(eng_want *w, arena *a, const vm_run *r) {
  w->state = INPUT_ACCEPTED;
  memcpy(w->code, "AA", 3);
  switch (r->outcome) {
  case VM_UNMATCHED: return false;
  case VM_REJECT: {
    const char *code = text_of(a, r->outcome_args[0]);
    if (!code && r->outcome_args[0].tag != VAL_EMPTY) {
      fault(w, "out of memory");
      return true;
    }
    w->state = INPUT_REJECTED;
    w->error = eng_reject_code(code ? code : "AR", w->code);
    w->text = text_of(a, r->outcome_args[1]);
    return true;
  }
  case VM_REPLY: /* its answer is what the run returns: kept with the run for resends */
    w->run = w->reply = true;
    break;
  case VM_FAIL:
    fault(w, text_of(a, r->outcome_args[0]));
    return true;
  case VM_RETRY: fault(w, "try again later"); return true;
  case VM_SKIP:
  case VM_REDIRECT: return true;
  case VM_OUTCOME_NONE: w->run = true; break;
  }
  keep_once(w, a, r);
  keep_lanes(w, a, r);
  return true;
}

/* What the caller sent does not fit what the workflow declares. It would not the next time either: a 503 would bring it back for ever. */
static void unfit(eng_want *w, arena *a, const char *text) {
  w->state = INPUT_REJECTED;
  snprintf(w->code, sizeof w->code, "400");
  w->text = arena_dup(a, text, strlen(text));
}

static bool gate(engine *e, arena *a, bool hl7, val input, eng_want *w) {
  vm_cx cx;
  vm_run *r = (vm_run *)arena_alloc(a, sizeof *r); /* vm_start fills in what is read */
  if (!r) {
    fault(w, "out of memory");
    return true;
  }
  cx_init(e, &cx, a, e->o.config->top.gate_fuel);
  hdw_status s = vm_start(r, &w->app->m, e->o.host, w->app->bound, &cx, w->wf->func, &input, 1);
  if (s) {
    fault(w, hdw_status_text(s));
    return true;
  }
  r->is_gate = true;
  switch (vm_go(r)) {
  case VM_DONE:
    w->whole = !r->gate_reached && r->outcome == VM_OUTCOME_NONE && !cx.ambient;
    w->result = r->result;
    return outcome(w, a, r);
  case VM_OUT_OF_FUEL: fault(w, "the decision took too long"); break;
  case VM_OUT_OF_MEMORY: fault(w, "the decision took too much memory"); break;
  default:
    if (!hl7 && cx.err.status == HDW_E_DATA) unfit(w, a, cx.err.text);
    else fault(w, "the decision failed");
    char where[200], word[16];
    engine_where(e, w->app->m.id, cx.err.file, cx.err.line, cx.err.col, where);
    snprintf(word, sizeof word, "%d", (int)cx.err.status);
    eng_say(e, ENGINE_WARN, "gate_failed", "workflow", w->wf->name, "at", where, "error", cx.err.text, "status", word, NULL);
  }
  return true;
}

static void gates(engine *e, arena *a, const engine_source *src, const hl7_head *head, val input, eng_verdict *out) {
  for (uint32_t i = 0; i < e->napps; i++) {
    eng_app *app = e->apps[i];
    if (app->retired) continue;
    for (uint32_t k = 0; k < app->meta.nworkflows; k++) {
      const meta_workflow *wf = &app->meta.workflows[k];
      bool want = false;
      e->unsure = false;
      if (src->workflow) want = !strcmp(src->workflow, wf->name);
      else
        for (uint32_t t = 0; t < wf->ntriggers && !want; t++) want = trigger_matches(e, app, a, &wf->triggers[t], src, head, input);
      bool unknown = !want && e->unsure; /* without memory nobody can say: not "no workflow takes it", which is final */
      if (!want && !unknown) continue;
      if (out->n == REC_MAX_RUNS) {
        eng_say(e, ENGINE_ERROR, "too_many_workflows", "listener", src->listener, NULL);
        return;
      }
      eng_want *w = &out->wants[out->n];
      *w = (eng_want){.app = app, .wf = wf};
      if (unknown) fault(w, "out of memory"), out->n++, out->matched++;
      else if (gate(e, a, head != NULL, input, w)) out->n++, out->matched++;
    }
  }
}

void eng_gate(engine *e, arena *a, const engine_source *src, const hl7_head *head, val input, eng_verdict *out) {
  out->n = out->matched = 0;
  e->peer = src->identity && src->identity[0] ? src->identity : NULL;
  gates(e, a, src, head, input, out);
  e->peer = NULL;
}

/* ---- the record ------------------------------------------------------------------------------------------------------------ */

static int badness(const eng_want *w) {
  if (w->state == INPUT_FAILED) return 2;
  if (w->state != INPUT_REJECTED) return 0;
  return !strcmp(w->code, "AR") || !strcmp(w->code, "CR") ? 3 : 1;
}

void eng_verdict_record(engine *e, arena *a, const eng_listener *l, const eng_verdict *v, bool hl7, rec_verdict *out, const meta_workflow **after) {
  *after = NULL;
  rec_verdict_clear(out);
  out->state = INPUT_ACCEPTED;
  out->ack_code = cod_cstr(hl7 ? "AA" : "202");
  if (!v->n) {
    bool accept = l && !strcmp(l->o->unmatched, "accept");
    out->state = INPUT_UNMATCHED;
    if (!accept || !hl7) {
      out->ack_code = cod_cstr(hl7 ? "AR" : "422");
      out->error_code = cod_cstr("200");
      out->text = cod_cstr(hl7 ? "No workflow takes this message" : "No workflow takes this request");
    }
    return;
  }
  const eng_want *worst = &v->wants[0];
  for (uint32_t i = 1; i < v->n; i++)
    if (badness(&v->wants[i]) > badness(worst)) worst = &v->wants[i];
  memcpy(out->module, v->wants[0].app->m.id, REC_HASH);
  memcpy(out->deployment, v->wants[0].app->deployment, REC_HASH);
  if (badness(worst)) {
    out->state = worst->state;
    out->ack_code = cod_cstr(worst->code);
    char *error = worst->error ? (char *)arena_alloc(a, 8) : NULL;
    if (error) snprintf(error, 8, "%u", worst->error);
    out->error_code = cod_cstr(error ? error : "");
    out->text = worst->text ? cod_cstr(worst->text) : cod_cstr("");
  }
  for (uint32_t i = 0; i < v->n; i++) {
    const eng_want *w = &v->wants[i];
    if (!w->run) continue;
    rec_run_new *r = &out->runs[out->nruns++];
    *r = (rec_run_new){.workflow = cod_cstr(w->wf->name), .partition = ENG_PART, .nlanes = w->nlanes, .module = w->app->m.id, .deployment = w->app->deployment};
    memcpy(r->lanes, w->lanes, sizeof r->lanes);
    e->st.no_lane += w->wf->lanes && !w->nlanes;
    if (w->wf->lane_skip) r->flags |= RUN_F_LANE_SKIP;
    if (w->has_once) {
      r->flags |= RUN_F_ONCE;
      memcpy(r->once, w->once, REC_LANE);
      r->once_until_us = w->once_until_us;
    }
    if ((w->wf->ack_after_run || w->reply) && !*after && !badness(worst)) {
      r->flags |= RUN_F_ACK_AFTER;
      *after = w->wf;
    }
  }
  if (*after) {
    out->state = INPUT_RUNNING;
    out->ack_code = cod_cstr("");
  }
  (void)e;
}
