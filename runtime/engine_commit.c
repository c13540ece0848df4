/* engine_commit.c - duplicates, the record of an input, and the answer made from it (SEMANTICS 1).
 *
 *   same key pending: joins             same key stored, same hash: stored answer | joins the run | further attempt
 *   same key, other hash: a new input, warned (or refused: conflict "reject")
 *   else: REC_INPUT -> synced -> answer from the record, runs */
#include <stdio.h>
#include "engine_int.h"
#include "points.h"
#include "trace.h"
#include "watch.h"

enum { MARK_KEY = 16 };

/* ---- commit --------------------------------------------------------------------------------------------------------------------- */

/* It is stored by now: without memory the answer says the same in fewer words. */
static const char *few_words(const char *copy, cod_str code) {
  static const char *const known[] = {"AA", "AE", "AR", "CA", "CE", "CR"};
  for (size_t i = 0; !copy && i < sizeof known / sizeof *known; i++)
    if (cod_equal(code, cod_cstr(known[i]))) copy = known[i];
  return copy ? copy : "AE";
}

static void verdict_outcome(engine *e, arena *a, const rec_verdict *v, eng_outcome *o) {
  (void)e;
  o->code = few_words(arena_dup(a, v->ack_code.p, v->ack_code.len), v->ack_code);
  o->error = arena_dup(a, v->error_code.p, v->error_code.len);
  o->text = arena_dup(a, v->text.p, v->text.len);
  if (!o->error) o->error = "";
  if (!o->text) o->text = "";
  o->failed = v->state == INPUT_FAILED;
}

/* INPUT or VERDICT is durable: the answer is made from what was written, then its runs start. */
static void on_committed(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_pending *p = (eng_pending *)user;
  arena a;
  if (s == HDW_E_CLOSED) return;
  HDW_POINT("input.durable");
  eng_once_durable(e, rec->seq);
  arena_init(&a, e->mem, 0);
  const rec_input *in = NULL;
  rec_input_verdict again HDW_UNSET; /* no memory of the process is asked for it: it is stored, and its runs must start */
  if (!s && rec->type == REC_VERDICT) s = rec_get_verdict(rec, &again);
  else if (!s) in = store_applied_input(e->store, rec->seq); /* it has just been applied */
  const rec_verdict *v = in ? &in->verdict : NULL;
  if (!s && rec->type == REC_VERDICT) v = &again.verdict;
  if (in) {
    p->input = rec->seq;
    watch_committed(e, in, rec->seq, p->began_us);
  }
  if (!v) { /* not stored: the sender keeps it */
    eng_outcome o = {.code = p->hl7 ? "AE" : "503", .error = "207", .text = "The message could not be stored", .time_us = io_wall_us(e->io), .content_hash = p->content_hash, .final = true, .http = 503};
    eng_answer_all(p, &o);
    eng_pending_free(p);
    arena_free(&a);
    return;
  }
  const uint8_t *body = rec->type == REC_INPUT ? rec->body : p->bytes;
  if (rec->type == REC_INPUT) p->time_us = rec->time_us;
  size_t len = rec->type == REC_INPUT ? rec->body_len : p->len;
  bool wait = v->state == INPUT_RUNNING;
  eng_outcome o = {.input = p->input, .time_us = p->time_us, .content_hash = p->content_hash, .final = !wait};
  verdict_outcome(e, &a, v, &o);
  eng_answer_all(p, &o);
  HDW_POINT("input.answered");
  if (wait) eng_pending_arm(p);
  for (unsigned i = 0; i < v->nruns; i++) eng_run_created(e, rec_run_id(rec->seq, i), &v->runs[i], body, len);
  if (!wait) eng_pending_free(p);
  arena_free(&a);
}

static void count(engine *e, const rec_verdict *v) {
  e->st.unmatched += v->state == INPUT_UNMATCHED;
  e->st.rejected += v->state == INPUT_REJECTED;
  e->st.failed += v->state == INPUT_FAILED;
}

void eng_message_refuse(eng_message *m, const char *code, uint16_t error, const char *text) {
  bool conflict = error == 205;
  if (m->hl7) {
    eng_answer_refusal(m->e, &m->answer, m->p, m->len, &(eng_refusal){code, error, text, conflict ? 0 : 503});
    return;
  }
  m->e->st.refused++;
  if (m->l) m->l->refused++;
  eng_answer_status(m->e, m->answer.cb, m->answer.user, conflict ? 409 : 503, text);
}

eng_message *eng_message_begin(engine *e, const engine_source *src, const eng_answer *w) {
  eng_message *m = (eng_message *)e->mem->get(e->mem, sizeof *m);
  if (!m) return NULL;
  memset(m, 0, offsetof(eng_message, rec.verdict.runs));
  m->began_us = io_wall_us(e->io);
  m->e = e, m->src = src, m->answer = *w;
  m->l = w->l;
  memcpy(m->rec.content_hash, e->content_key, MARK_KEY); /* without a duplicate key nobody will ask for more */
  arena_init(&m->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  return m;
}

void eng_message_end(eng_message *m) {
  arena_free(&m->a);
  eng_put(m->e, m, sizeof *m);
}

/* Writes the INPUT record with the verdict in m->rec.verdict. */
void eng_message_commit(eng_message *m) {
  engine *e = m->e;
  eng_pending *p = eng_pending_new(e, m->key, m->key_len, m->hl7, m->p, m->len);
  rec_input *r = &m->rec;
  if (!p || !eng_pending_join(p, m, false)) {
    if (p) eng_pending_free(p);
    eng_message_refuse(m, "AE", 207, "Out of memory");
    return;
  }
  memcpy(p->content_hash, r->content_hash, REC_HASH);
  r->source = cod_cstr(m->src->listener);
  if (m->key_len) r->dedup_key = cod_bytes(m->key + m->dedup_at, m->key_len - m->dedup_at);
  r->peer = cod_cstr(m->src->peer ? m->src->peer : "");
  r->received_us = io_wall_us(e->io);
  r->identity = cod_cstr(m->src->identity ? m->src->identity : "");
  r->charset = cod_cstr(m->charset);
  if (m->src->trace) r->trace = cod_bytes(m->src->trace, TRACE_BYTES);
  p->began_us = m->began_us;
  if (m->after) eng_pending_wait(p, m->after);
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_input(&w, r);
  uint64_t seq = 0;
  if (!s && !eng_once_note(e, &m->rec.verdict)) s = HDW_E_NOMEM;
  HDW_POINT("input.before_append");
  if (!s) s = eng_append_rec(e, REC_INPUT, &w, m->p, m->len, on_committed, p, &seq);
  eng_once_sent(e, s ? 0 : seq);
  if (s) {
    eng_pending_free(p);
    eng_message_refuse(m, "AE", 207, s == HDW_E_FULL ? "No space is left" : "The message cannot be stored now");
    return;
  }
  e->st.inputs++;
  watch_input(m, r, seq);
  if (m->l) m->l->messages++;
  count(e, &m->rec.verdict);
  eng_early(e, m, seq, r->received_us);
}

/* ---- duplicates ------------------------------------------------------------------------------------------------------------------- */

/* A request's heading goes into the key. */
static void mark_with(const uint8_t key[MARK_KEY], const eng_message *m, uint8_t out[MARK_KEY]) {
  uint8_t k[MARK_KEY];
  if (m->heading.len) cod_siphash128(key, m->heading.p, m->heading.len, k);
  cod_siphash128(m->heading.len ? k : key, m->content.p, m->content.len, out);
}

void eng_content_mark(eng_message *m) {
  memcpy(m->rec.content_hash, m->e->content_key, MARK_KEY);
  mark_with(m->rec.content_hash, m, m->rec.content_hash + MARK_KEY);
}

/* Marks of another process have another key; those of records from before are the SHA-256 of heading and content. */
bool eng_content_is(const uint8_t mark[REC_HASH], const eng_message *m) {
  uint8_t h[REC_HASH];
  if (!memcmp(mark, m->rec.content_hash, MARK_KEY)) return !memcmp(mark, m->rec.content_hash, REC_HASH);
  mark_with(mark, m, h);
  if (!memcmp(mark + MARK_KEY, h, MARK_KEY)) return true;
  cod_sha256(m->heading.p, m->heading.len, m->content.p, m->content.len, h);
  return !memcmp(mark, h, REC_HASH);
}

/* Whether it came before, and what became of it, cannot be told now: taken as new it would run twice. The sender comes again. */
static bool refuse_unknown(eng_message *m) {
  eng_message_refuse(m, "AE", 207, "The message cannot be looked up now");
  return true;
}

typedef struct seen_ctx {
  eng_message *m;
  bool rejected;             /* its run said so at its end: it runs again */
  hdw_status status;
} seen_ctx;

/* A further attempt runs only what has not succeeded and is not under way. */
static bool drop_seen(uint16_t part, uint64_t id, uint8_t state, void *user) {
  seen_ctx *c = (seen_ctx *)user;
  (void)part;
  if (state == RUN_FAILED || state == RUN_DEAD || state == RUN_DISCARDED) return true;
  arena a;
  arena_init(&a, c->m->e->mem, 0);
  store_run row;
  c->status = store_get_run(c->m->e->store, ENG_PART, id, &a, &row);
  if (!c->status) {
    rec_verdict *v = &c->m->rec.verdict;
    for (unsigned i = 0; i < v->nruns && !(c->rejected && state == RUN_DONE && row.flags & RUN_F_ACK_AFTER); i++)
      if (cod_equal(v->runs[i].workflow, row.workflow)) v->runs[i--] = v->runs[--v->nruns];
  }
  arena_free(&a);
  return !c->status;
}

/* What failed and is tried anew is no dead letter any more: nobody must send it back to work beside the new one. Behind the verdict in the log, as for reprocessing. */
static bool give_up_failed(uint16_t part, uint64_t id, uint8_t state, void *user) {
  seen_ctx *c = (seen_ctx *)user;
  arena a;
  store_run row;
  (void)part;
  if (state != RUN_FAILED && state != RUN_DEAD) return true;
  arena_init(&a, c->m->e->mem, 0);
  if (!store_get_run(c->m->e->store, ENG_PART, id, &a, &row))
    for (unsigned i = 0; i < c->m->rec.verdict.nruns; i++)
      if (cod_equal(c->m->rec.verdict.runs[i].workflow, row.workflow)) (void)engine_discard(c->m->e, SUBJECT_RUN, id, "sender", ENG_SENT_AGAIN, NULL, NULL);
  arena_free(&a);
  return true;
}

/* The same message again after a failure: a new verdict for the same input. */
void eng_message_again(eng_message *m, const store_input *old) {
  engine *e = m->e;
  seen_ctx c = {.m = m, .rejected = old->state == INPUT_REJECTED};
  hdw_status s = store_list_runs_of_input(e->store, ENG_PART, old->id, drop_seen, &c);
  if (s || c.status) {
    (void)eng_state_said(e, s ? s : c.status);
    (void)refuse_unknown(m);
    return;
  }
  bool keeps_after = false;
  for (unsigned i = 0; i < m->rec.verdict.nruns; i++) keeps_after |= (m->rec.verdict.runs[i].flags & RUN_F_ACK_AFTER) != 0;
  if (m->after && !keeps_after) { /* its run is under way already */
    m->after = NULL;
    m->rec.verdict.state = INPUT_ACCEPTED;
    m->rec.verdict.ack_code = cod_cstr(m->hl7 ? "AA" : "202");
  }
  eng_pending *p = eng_pending_new(e, m->key, m->key_len, m->hl7, m->p, m->len);
  if (!p || !eng_pending_join(p, m, false)) {
    if (p) eng_pending_free(p);
    eng_message_refuse(m, "AE", 207, "Out of memory");
    return;
  }
  memcpy(p->content_hash, old->content_hash, REC_HASH);
  p->input = old->id, p->time_us = old->time_us;
  if (m->after) eng_pending_wait(p, m->after);
  rec_input_verdict *iv = (rec_input_verdict *)arena_zalloc(&m->a, 1, sizeof *iv);
  s = iv ? HDW_OK : HDW_E_NOMEM;
  cod_w w = eng_writer(e);
  if (!s) {
    iv->input = old->id;
    iv->verdict = m->rec.verdict;
    s = rec_put_verdict(&w, iv);
  }
  uint64_t seq = 0;
  if (!s && !eng_once_note(e, &m->rec.verdict)) s = HDW_E_NOMEM;
  if (!s) s = eng_append_rec(e, REC_VERDICT, &w, m->p, m->len, on_committed, p, &seq); /* with its bytes: retention may have taken those of the first time */
  eng_once_sent(e, s ? 0 : seq);
  if (s) {
    eng_pending_free(p);
    eng_message_refuse(m, "AE", 207, "The message cannot be stored now");
    return;
  }
  count(e, &m->rec.verdict);
  (void)store_list_runs_of_input(e->store, ENG_PART, old->id, give_up_failed, &c);
}

/* The run whose end is the input's answer: the latest one of the input's attempts. */
typedef struct after_run {
  engine *e;
  arena *a;
  bool found;
  store_run row;
  hdw_status status;
} after_run;
static bool find_after(uint16_t part, uint64_t id, uint8_t state, void *user) {
  after_run *c = (after_run *)user;
  store_run row;
  (void)part, (void)state;
  c->status = store_get_run(c->e->store, ENG_PART, id, c->a, &row);
  if (!c->status && row.flags & RUN_F_ACK_AFTER) c->row = row, c->found = true;
  return !c->status;
}

/* What the run answered with, if it did. False: it cannot be read now, and without it the answer would be another one than the first. What retention took, or
 * nothing can read any more, stays away. */
static bool answer_of(eng_message *m, const store_run *run, eng_outcome *o) {
  vm_outcome how;
  val v;
  hl7_slice b;
  m->a.failed = false;
  hdw_status s = engine_result(m->e, run, &m->a, &how, &v);
  if (!s && eng_reply_bytes(m->e, &m->a, m->hl7, how, v, &b)) o->body = b.p, o->body_len = b.len;
  return s != HDW_E_IO && (!m->a.failed || m->a.over_limit);
}

/* The answer that the first one got, built again from its record: the same bytes. */
static void stored_answer(eng_message *m, const store_input *in, const after_run *run) {
  engine *e = m->e;
  eng_answer w = m->answer;
  w.joined = true;
  eng_outcome o = {.input = in->id, .code = arena_dup(&m->a, in->ack_code.p, in->ack_code.len), .error = arena_dup(&m->a, in->error_code.p, in->error_code.len),
                   .text = arena_dup(&m->a, in->text.p, in->text.len), .time_us = HDW_BROKEN("answer.changes") ? io_wall_us(e->io) : in->time_us, .content_hash = in->content_hash, .duplicate = true, .final = true, .waited = run->found};
  if (!o.code || !o.error || !o.text || (run->row.state == RUN_DONE && !answer_of(m, &run->row, &o))) {
    eng_message_refuse(m, "AE", 207, "The answer cannot be looked up now");
    return;
  }
  e->st.duplicates++;
  if (m->l) m->l->duplicates++;
  if (m->hl7) eng_answer_hl7(e, &w, m->p, m->len, &o);
  else eng_answer_json(e, &w, &o);
}

/* Waits for a run that is under way. */
static void join_run(eng_message *m, const store_input *old) {
  engine *e = m->e;
  eng_pending *p = eng_pending_new(e, m->key, m->key_len, m->hl7, m->p, m->len);
  if (p) {
    memcpy(p->content_hash, old->content_hash, REC_HASH);
    p->input = old->id, p->time_us = old->time_us;
    eng_pending_wait(p, &(meta_workflow){.ack_within_us = 20000000, .ack_else = "AE"});
    eng_pending_arm(p);
  }
  if (!p || !eng_pending_join(p, m, true)) {
    if (p) eng_pending_free(p);
    eng_message_refuse(m, "AE", 207, "Out of memory");
    return;
  }
  e->st.duplicates++;
  if (m->l) m->l->duplicates++;
}

/* The input that the message is again; HDW_E_NOTFOUND. A sender that gives out control ids twice may send either of its messages again: each is compared.
 * *other: the control id came with other content. */
static hdw_status came_before(eng_message *m, store_input *old, bool *other) {
  enum { SAME_ID_MAX = 16 }; /* there are senders that know one id only */
  engine *e = m->e;
  int64_t window = m->l ? m->l->o->duplicate_window_ms * 1000 : INT64_C(604800000000);
  uint64_t before = 0;
  for (unsigned i = 0; i < SAME_ID_MAX; i++) {
    arena_mark mark = arena_here(&m->a);
    hdw_status s = eng_find_duplicate(e, m->src->listener, cod_bytes(m->key + m->dedup_at, m->key_len - m->dedup_at), before, &m->a, old);
    if (s || old->received_us + window < io_wall_us(e->io)) return s ? s : HDW_E_NOTFOUND;
    if (eng_content_is(old->content_hash, m)) return HDW_OK;
    *other = true;
    before = old->id;
    arena_release(&m->a, mark);
  }
  return HDW_E_NOTFOUND;
}

/* True: answered, or joined something. *again: a further attempt of *old. */
bool eng_message_duplicate(eng_message *m, store_input *old, bool *again) {
  engine *e = m->e;
  *again = false;
  if (!m->key_len || HDW_BROKEN("resend.runs")) return false;
  bool other = false;
  eng_pending *p = eng_pending_find(m, &other);
  if (p) {
    e->st.duplicates++;
    if (m->l) m->l->duplicates++;
    if (!eng_pending_join(p, m, true)) eng_message_refuse(m, "AE", 207, "Out of memory");
    return true;
  }
  hdw_status came = came_before(m, old, &other);
  if (!eng_state_said(e, came)) return refuse_unknown(m);
  if (came) {
    if (!other) return false;
    e->st.conflicts++;
    if (m->l) m->l->conflicts++;
    eng_say(e, ENGINE_WARN, "control_id_reused", "listener", m->src->listener, NULL);
    if (!m->l || strcmp(m->l->o->conflict, "reject")) return false;
    eng_message_refuse(m, "AE", 205, "The control id came before with other content");
    return true;
  }
  after_run run = {.e = e, .a = &m->a};
  hdw_status s = store_list_runs_of_input(e->store, ENG_PART, old->id, find_after, &run);
  if (s || run.status) {
    (void)eng_state_said(e, s ? s : run.status);
    return refuse_unknown(m);
  }
  bool ended = run.found && (run.row.state == RUN_DONE || run.row.state == RUN_DEAD || run.row.state == RUN_FAILED || run.row.state == RUN_DISCARDED);
  if (run.found && !ended) { /* it runs, but nobody waits any more (deadline, restart): wait again */
    join_run(m, old);
    return true;
  }
  bool retry = old->state == INPUT_FAILED || old->state == INPUT_RUNNING || cod_equal(old->ack_code, cod_cstr("AE")) || cod_equal(old->ack_code, cod_cstr("CE"));
  if (!retry) {
    stored_answer(m, old, &run);
    return true;
  }
  *again = true;
  return false;
}

bool eng_message_key(eng_message *m, const hl7_slice *parts, unsigned n) {
  size_t total = n - 1;
  for (unsigned i = 0; i < n; i++) total += parts[i].len;
  if (!parts[n - 1].len || total > 1024) return true;
  m->key = (char *)arena_alloc(&m->a, total);
  if (!m->key) return false;
  char *t = m->key;
  for (unsigned i = 0; i < n; i++) {
    if (i) *t++ = '\n';
    if (i == 1) m->dedup_at = (uint32_t)(t - m->key);
    if (parts[i].len) memcpy(t, parts[i].p, parts[i].len);
    t += parts[i].len;
  }
  m->key_len = (uint32_t)total;
  eng_content_mark(m);
  return true;
}
