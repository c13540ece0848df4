/* engine_in.c - HL7 inputs: identify, duplicates, gate, commit, answer (SEMANTICS 1).
 *
 *   frame -> one message, or a batch of them
 *   message -> head -> duplicate key and content hash
 *                 same key pending: joins             same key stored, same hash: stored answer | joins the run | further attempt
 *                 same key, other hash: a new input, warned (or AE 205)
 *           -> parse -> gate -> REC_INPUT -> synced -> answer from the record, runs */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"

/* ---- pending answers ------------------------------------------------------------------------------------------------------------ */

static unsigned slot_of(const char *key, uint32_t len) {
  uint32_t h = 2166136261u;
  for (uint32_t i = 0; i < len; i++) h = (h ^ (uint8_t)key[i]) * 16777619u;
  return h % ENG_HASH;
}

eng_pending *eng_pending_find(engine *e, const char *key, uint32_t len) {
  for (eng_pending *p = len ? e->pending_hash[slot_of(key, len)] : NULL; p; p = p->hash_next)
    if (p->key_len == len && !memcmp(p->key, key, len)) return p;
  return NULL;
}

eng_pending *eng_pending_by_input(engine *e, uint64_t input) {
  for (eng_pending *p = e->pending; p; p = p->next)
    if (p->input == input) return p;
  return NULL;
}

eng_pending *eng_pending_new(engine *e, const char *key, uint32_t len, bool hl7, const void *bytes, size_t bytes_len) {
  eng_pending *p = (eng_pending *)eng_get(e, sizeof *p);
  if (!p) return NULL;
  p->e = e, p->hl7 = hl7;
  if (len) {
    p->key = (char *)eng_get(e, len);
    if (!p->key) {
      eng_put(e, p, sizeof *p);
      return NULL;
    }
    memcpy(p->key, key, len);
    p->key_len = len;
    unsigned s = slot_of(key, len);
    p->hash_next = e->pending_hash[s];
    e->pending_hash[s] = p;
  }
  p->next = e->pending;
  if (e->pending) e->pending->prev = p;
  e->pending = p;
  if (bytes_len) {
    p->bytes = (uint8_t *)eng_get(e, bytes_len);
    if (p->bytes) {
      memcpy(p->bytes, bytes, bytes_len);
      p->len = bytes_len;
    }
  }
  return p;
}

bool eng_pending_join(eng_pending *p, engine_reply_cb cb, void *user, bool joined, bool single) {
  eng_answer *w = (eng_answer *)eng_get(p->e, sizeof *w);
  if (!w) return false;
  *w = (eng_answer){.cb = cb, .user = user, .joined = joined, .single = single};
  eng_answer **at = &p->answers;
  while (*at) at = &(*at)->next;
  *at = w;
  return true;
}

void eng_pending_free(eng_pending *p) {
  engine *e = p->e;
  io_timer_cancel(e->io, &p->deadline);
  if (p->key_len) {
    eng_pending **at = &e->pending_hash[slot_of(p->key, p->key_len)];
    while (*at != p) at = &(*at)->hash_next;
    *at = p->hash_next;
    eng_put(e, p->key, p->key_len);
  }
  if (p->prev) p->prev->next = p->next;
  else e->pending = p->next;
  if (p->next) p->next->prev = p->prev;
  for (eng_answer *w = p->answers, *n; w; w = n) {
    n = w->next;
    eng_put(e, w, sizeof *w);
  }
  eng_put(e, p->bytes, p->len);
  eng_put(e, p, sizeof *p);
}

/* The deadline of ack after run: whoever waits gets the else answer; the run goes on and its outcome is stored when it ends. */
static void on_deadline(void *user) {
  eng_pending *p = (eng_pending *)user;
  eng_outcome o = {.input = p->input, .code = p->hl7 ? p->ack_else : "504", .error = strcmp(p->ack_else, "AA") ? "207" : "", .text = "The deadline for the answer has passed",
                   .time_us = io_wall_us(p->e->io), .content_hash = p->content_hash, .final = true};
  eng_answer_all(p, &o);
  eng_pending_free(p);
}

void eng_pending_wait(eng_pending *p, const meta_workflow *wf) {
  p->waiting = true;
  memcpy(p->ack_else, wf->ack_else, sizeof p->ack_else);
  p->within_us = wf->ack_within_us ? wf->ack_within_us : 30000000;
}

void eng_pending_arm(eng_pending *p) {
  io_timer_set(p->e->io, &p->deadline, p->within_us, on_deadline, p);
}

/* ---- commit --------------------------------------------------------------------------------------------------------------------- */

static void verdict_outcome(engine *e, arena *a, const rec_verdict *v, eng_outcome *o) {
  (void)e;
  o->code = arena_dup(a, v->ack_code.p, v->ack_code.len);
  o->error = arena_dup(a, v->error_code.p, v->error_code.len);
  o->text = arena_dup(a, v->text.p, v->text.len);
  o->failed = v->state == INPUT_FAILED;
}

/* INPUT or VERDICT is durable: the answer is made from what was written, then its runs start. */
static void on_committed(engine *e, hdw_status s, const log_rec *rec, void *user) {
  eng_pending *p = (eng_pending *)user;
  arena a;
  arena_init(&a, e->mem, 0);
  rec_input *in = (rec_input *)arena_zalloc(&a, 1, sizeof *in);
  rec_input_verdict *iv = (rec_input_verdict *)arena_zalloc(&a, 1, sizeof *iv);
  const rec_verdict *v = NULL;
  if (!s && in && iv) {
    if (rec->type == REC_INPUT && !rec_get_input(rec, in)) {
      v = &in->verdict;
      p->input = rec->seq;
    } else if (rec->type == REC_VERDICT && !rec_get_verdict(rec, iv)) v = &iv->verdict;
  }
  if (!v) { /* not stored: the sender keeps it */
    eng_outcome o = {.code = p->hl7 ? "AE" : "503", .error = "207", .text = "The message could not be stored", .time_us = io_wall_us(e->io), .content_hash = p->content_hash, .final = true};
    eng_answer_all(p, &o);
    eng_pending_free(p);
    arena_free(&a);
    return;
  }
  const uint8_t *body = rec->type == REC_INPUT ? rec->body : p->bytes;
  size_t len = rec->type == REC_INPUT ? rec->body_len : p->len;
  bool wait = v->state == INPUT_RUNNING;
  eng_outcome o = {.input = p->input, .time_us = rec->time_us, .content_hash = p->content_hash, .final = !wait};
  verdict_outcome(e, &a, v, &o);
  eng_answer_all(p, &o);
  if (wait) eng_pending_arm(p);
  for (unsigned i = 0; i < v->nruns; i++) eng_run_created(e, rec_run_id(rec->seq, i), &v->runs[i], body, len);
  if (!wait) eng_pending_free(p);
  arena_free(&a);
}

/* Table 0357 as text. */
static const char *code_text(arena *a, uint16_t code) {
  char t[8];
  int n = snprintf(t, sizeof t, "%u", code);
  return code ? arena_dup(a, t, (size_t)n) : "";
}

static void count(engine *e, const rec_verdict *v) {
  e->st.unmatched += v->state == INPUT_UNMATCHED;
  e->st.rejected += v->state == INPUT_REJECTED;
  e->st.failed += v->state == INPUT_FAILED;
}

typedef struct message {     /* one HL7 message on its way to the record */
  engine *e;
  const engine_source *src;
  const eng_listener *l;
  const void *p;
  size_t len;
  engine_reply_cb cb;
  void *user;
  arena a;
  bool has_head;
  hl7_head head;
  uint8_t hash[REC_HASH];
  char *key;                 /* listener, MSH-3, MSH-4, MSH-10 */
  uint32_t key_len, dedup_at;/* the part behind the listener is what the record carries */
  rec_verdict v;
  const meta_workflow *after;
} message;

static void patients(message *m, const hl7_msg *msg, rec_input *r) {
  uint32_t pid = hl7_find(msg, HL7_NAME('P', 'I', 'D'), 0);
  if (pid == HL7_NO_SEGMENT) return;
  (void)m;
  for (uint32_t rep = 0; rep < REC_MAX_PATIENTS; rep++) {
    hl7_slice s = hl7_raw(msg, pid, 3, rep, 1, 1);
    if (!s.len) {
      if (rep) return;
      continue;
    }
    if (s.len <= REC_NAME_MAX) r->patients[r->npatients++] = (cod_str){s.p, s.len};
  }
}

static cod_str clip(hl7_slice s) { return (cod_str){s.p, s.len > REC_NAME_MAX ? REC_NAME_MAX : s.len}; }

static cod_str type_text(message *m) {
  char *t = (char *)arena_alloc(&m->a, REC_NAME_MAX);
  if (!t) return cod_cstr("");
  int n = snprintf(t, REC_NAME_MAX, "%.*s%s%.*s", (int)(m->head.type.len > 50 ? 50 : m->head.type.len), m->head.type.p, m->head.event.len ? "^" : "",
                   (int)(m->head.event.len > 50 ? 50 : m->head.event.len), m->head.event.p);
  return cod_bytes(t, n > 0 ? (size_t)n : 0);
}

static void refuse(message *m, const char *code, uint16_t error, const char *text) {
  m->e->st.refused++;
  eng_answer_refusal(m->e, m->cb, m->user, m->p, m->len, code, error, text);
}

/* Writes the INPUT record with the verdict in m->v. */
static void commit(message *m, const hl7_msg *msg) {
  engine *e = m->e;
  eng_pending *p = eng_pending_new(e, m->key, m->key_len, true, m->p, m->len);
  rec_input *r = (rec_input *)arena_zalloc(&m->a, 1, sizeof *r);
  if (!p || !r || !eng_pending_join(p, m->cb, m->user, false, m->src->path != NULL)) {
    if (p) eng_pending_free(p);
    refuse(m, "AE", 207, "Out of memory");
    return;
  }
  memcpy(p->content_hash, m->hash, REC_HASH);
  r->source = cod_cstr(m->src->listener);
  if (m->key_len) r->dedup_key = cod_bytes(m->key + m->dedup_at, m->key_len - m->dedup_at);
  memcpy(r->content_hash, m->hash, REC_HASH);
  if (m->has_head) {
    r->control_id = clip(m->head.control_id);
    r->sender = clip(m->head.app);
    r->type = type_text(m);
  }
  r->peer = cod_cstr(m->src->peer ? m->src->peer : "");
  r->received_us = io_wall_us(e->io);
  if (msg) patients(m, msg, r);
  r->verdict = m->v;
  if (m->after) eng_pending_wait(p, m->after);
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_input(&w, r);
  if (!s) s = eng_append_rec(e, REC_INPUT, &w, m->p, m->len, on_committed, p, NULL);
  if (s) {
    eng_pending_free(p);
    refuse(m, "AE", 207, s == HDW_E_FULL ? "No space is left" : "The message cannot be stored now");
    return;
  }
  e->st.inputs++;
  count(e, &m->v);
}

/* ---- duplicates ------------------------------------------------------------------------------------------------------------------- */

typedef struct seen_ctx {
  message *m;
  uint64_t input;
} seen_ctx;

/* A further attempt runs only what has not succeeded and is not under way. */
static bool drop_seen(uint16_t part, uint64_t id, uint8_t state, void *user) {
  seen_ctx *c = (seen_ctx *)user;
  (void)part;
  if (state == RUN_FAILED || state == RUN_DEAD || state == RUN_DISCARDED) return true;
  arena a;
  arena_init(&a, c->m->e->mem, 0);
  store_run row;
  if (!store_get_run(c->m->e->store, ENG_PART, id, &a, &row)) {
    rec_verdict *v = &c->m->v;
    for (unsigned i = 0; i < v->nruns; i++)
      if (cod_equal(v->runs[i].workflow, row.workflow)) v->runs[i--] = v->runs[--v->nruns];
  }
  arena_free(&a);
  return true;
}

/* The same message again after a failure: a new verdict for the same input. */
static void further_attempt(message *m, const store_input *old) {
  engine *e = m->e;
  seen_ctx c = {m, old->id};
  (void)store_list_runs_of_input(e->store, ENG_PART, old->id, drop_seen, &c);
  bool keeps_after = false;
  for (unsigned i = 0; i < m->v.nruns; i++) keeps_after |= (m->v.runs[i].flags & RUN_F_ACK_AFTER) != 0;
  if (m->after && !keeps_after) { /* its run is under way already */
    m->after = NULL;
    m->v.state = INPUT_ACCEPTED;
    m->v.ack_code = cod_cstr("AA");
  }
  eng_pending *p = eng_pending_new(e, m->key, m->key_len, true, m->p, m->len);
  if (!p || !eng_pending_join(p, m->cb, m->user, false, m->src->path != NULL)) {
    if (p) eng_pending_free(p);
    refuse(m, "AE", 207, "Out of memory");
    return;
  }
  memcpy(p->content_hash, m->hash, REC_HASH);
  p->input = old->id;
  if (m->after) eng_pending_wait(p, m->after);
  rec_input_verdict *iv = (rec_input_verdict *)arena_zalloc(&m->a, 1, sizeof *iv);
  hdw_status s = iv ? HDW_OK : HDW_E_NOMEM;
  cod_w w = eng_writer(e);
  if (!s) {
    iv->input = old->id;
    iv->verdict = m->v;
    s = rec_put_verdict(&w, iv);
  }
  if (!s) s = eng_append_rec(e, REC_VERDICT, &w, NULL, 0, on_committed, p, NULL);
  if (s) {
    eng_pending_free(p);
    refuse(m, "AE", 207, "The message cannot be stored now");
    return;
  }
  count(e, &m->v);
}

typedef struct stored_reply {
  engine *e;
  arena *a;
  uint64_t run;
} stored_reply;
static bool find_after(uint16_t part, uint64_t id, uint8_t state, void *user) {
  stored_reply *c = (stored_reply *)user;
  (void)part;
  store_run row;
  if (state == RUN_DONE && !store_get_run(c->e->store, ENG_PART, id, c->a, &row) && row.flags & RUN_F_ACK_AFTER) c->run = id;
  return true;
}

/* The answer that the first one got, built again from its record: the same bytes. */
static void stored_answer(message *m, const store_input *in) {
  engine *e = m->e;
  eng_answer w = {.cb = m->cb, .user = m->user, .joined = true, .single = m->src->path != NULL};
  eng_outcome o = {.input = in->id, .code = arena_dup(&m->a, in->ack_code.p, in->ack_code.len), .error = arena_dup(&m->a, in->error_code.p, in->error_code.len),
                   .text = arena_dup(&m->a, in->text.p, in->text.len), .time_us = in->time_us, .content_hash = m->hash, .duplicate = true, .final = true};
  stored_reply c = {e, &m->a, 0};
  (void)store_list_runs_of_input(e->store, ENG_PART, in->id, find_after, &c);
  store_run row;
  vm_outcome how;
  val v;
  hl7_slice s;
  if (c.run && !store_get_run(e->store, ENG_PART, c.run, &m->a, &row) && !engine_result(e, &row, &m->a, &how, &v) && how == VM_REPLY && hl7_of(v) &&
      !hl7_bytes(&m->a, hl7_of(v)->m, &s))
    o.body = s.p, o.body_len = s.len;
  e->st.duplicates++;
  eng_answer_hl7(e, &w, m->p, m->len, &o);
}

/* True: answered, or joined something. *again: a further attempt of *old. */
static bool duplicate(message *m, store_input *old, bool *again) {
  engine *e = m->e;
  *again = false;
  if (!m->key_len) return false;
  eng_pending *p = eng_pending_find(e, m->key, m->key_len);
  if (p && !memcmp(p->content_hash, m->hash, REC_HASH)) {
    e->st.duplicates++;
    if (!eng_pending_join(p, m->cb, m->user, true, m->src->path != NULL)) refuse(m, "AE", 207, "Out of memory");
    return true;
  }
  bool other = p != NULL;
  if (!p) {
    hdw_status s = store_find_duplicate(e->store, cod_cstr(m->src->listener), cod_bytes(m->key + m->dedup_at, m->key_len - m->dedup_at), &m->a, old);
    int64_t window = m->l ? m->l->o->duplicate_window_ms * 1000 : INT64_C(604800000000);
    if (s || old->received_us + window < io_wall_us(e->io)) return false;
    other = memcmp(old->content_hash, m->hash, REC_HASH) != 0;
  }
  if (other) {
    e->st.conflicts++;
    eng_say(e, ENGINE_WARN, "control_id_reused", "listener", m->src->listener, NULL);
    if (!m->l || strcmp(m->l->o->conflict, "reject")) return false;
    refuse(m, "AE", 205, "The control id came before with other content");
    return true;
  }
  bool retry = old->state == INPUT_FAILED || cod_equal(old->ack_code, cod_cstr("AE")) || cod_equal(old->ack_code, cod_cstr("CE"));
  if (old->state == INPUT_RUNNING) { /* it runs, but nobody waits any more (deadline, restart): wait again */
    p = eng_pending_new(e, m->key, m->key_len, true, m->p, m->len);
    if (!p || !eng_pending_join(p, m->cb, m->user, true, m->src->path != NULL)) {
      if (p) eng_pending_free(p);
      refuse(m, "AE", 207, "Out of memory");
      return true;
    }
    memcpy(p->content_hash, m->hash, REC_HASH);
    p->input = old->id;
    eng_pending_wait(p, &(meta_workflow){.ack_within_us = 20000000, .ack_else = "AE"});
    eng_pending_arm(p);
    return true;
  }
  if (!retry) {
    stored_answer(m, old);
    return true;
  }
  *again = true;
  return false;
}

/* ---- one message -------------------------------------------------------------------------------------------------------------------- */

static bool make_key(message *m) {
  const hl7_head *h = &m->head;
  size_t ll = strlen(m->src->listener);
  size_t n = ll + 1 + h->app.len + 1 + h->facility.len + 1 + h->control_id.len;
  if (!h->control_id.len || n > 1024) return true; /* no duplicate detection */
  m->key = (char *)arena_alloc(&m->a, n);
  if (!m->key) return false;
  char *t = m->key;
  memcpy(t, m->src->listener, ll), t += ll, *t++ = '\n';
  m->dedup_at = (uint32_t)(t - m->key);
  if (h->app.len) memcpy(t, h->app.p, h->app.len);
  t += h->app.len, *t++ = '\n';
  if (h->facility.len) memcpy(t, h->facility.p, h->facility.len);
  t += h->facility.len, *t++ = '\n';
  memcpy(t, h->control_id.p, h->control_id.len);
  m->key_len = (uint32_t)n;
  return true;
}

static void set_failure(message *m, uint8_t state, const char *code, uint16_t error, const char *text) {
  m->v = (rec_verdict){.state = state, .ack_code = cod_cstr(code), .error_code = cod_cstr(code_text(&m->a, error)), .text = cod_cstr(text ? text : "")};
  m->after = NULL;
}

hdw_status eng_input_value(engine *e, arena *a, const void *p, size_t len, val *out, hl7_problem *why) {
  const char *s = (const char *)p;
  if (len && s[0] == '{') {
    json_reader r;
    json_opts o = {.seed = e->hash_seed};
    json_reader_init(&r, e->mem);
    hdw_status st = json_read(&r, a, s, len, &o, out, NULL);
    json_reader_free(&r);
    return st;
  }
  hl7_opts o = {.schema = e->o.schema};
  hl7_msg *msg;
  hdw_status st = hl7_parse(a, s, len, &o, &msg, why);
  return st ? st : hl7_value(a, msg, out);
}

static void handle(message *m) {
  engine *e = m->e;
  hl7_problem why = {0};
  val input;
  store_input old;
  bool again = false;
  hdw_status s = hl7_head_read((const char *)m->p, m->len, &m->head, &why);
  m->has_head = !s;
  if (m->has_head && !make_key(m)) {
    refuse(m, "AE", 207, "Out of memory");
    return;
  }
  if (m->has_head && duplicate(m, &old, &again)) return;
  if (!m->has_head || !m->head.control_id.len) {
    set_failure(m, INPUT_FAILED, "AR", m->has_head ? 101 : why.code ? why.code : 100, m->has_head ? "MSH-10 is missing" : why.text);
    commit(m, NULL);
    return;
  }
  hl7_opts o = {.schema = e->o.schema};
  hl7_msg *msg = NULL;
  s = hl7_parse(&m->a, (const char *)m->p, m->len, &o, &msg, &why);
  if (!s) s = hl7_value(&m->a, msg, &input);
  if (s == HDW_E_NOMEM) {
    refuse(m, "AE", 207, "Out of memory");
    return;
  }
  if (s) set_failure(m, INPUT_FAILED, why.code >= 200 && why.code <= 203 ? "AR" : "AE", why.code ? why.code : 102, why.text);
  else {
    eng_verdict *v = (eng_verdict *)arena_zalloc(&m->a, 1, sizeof *v);
    if (!v) {
      refuse(m, "AE", 207, "Out of memory");
      return;
    }
    eng_gate(e, &m->a, m->src, &m->head, input, v);
    eng_verdict_record(e, &m->a, m->l, v, true, &m->v, &m->after);
  }
  if (again) further_attempt(m, &old);
  else commit(m, msg);
}

static void submit_one(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user) {
  message *m = (message *)eng_get(e, sizeof *m);
  if (!m) {
    eng_answer_refusal(e, cb, user, p, len, "AE", 207, "Out of memory");
    return;
  }
  m->e = e, m->src = src, m->p = p, m->len = len, m->cb = cb, m->user = user;
  m->l = eng_listener_find(e, src->listener);
  arena_init(&m->a, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  cod_sha256(p, len, NULL, 0, m->hash);
  handle(m);
  arena_free(&m->a);
  eng_put(e, m, sizeof *m);
}

/* ---- batches --------------------------------------------------------------------------------------------------------------------------- */

typedef struct batch {
  engine *e;
  arena a;
  hl7_batch *b;              /* of the copy in a */
  hl7_slice *acks;           /* one for each message part */
  uint32_t *batch_of;
  uint32_t n, open;
  bool building;
  engine_reply_cb cb;
  void *user;
} batch;
typedef struct batch_item {
  batch *b;
  uint32_t i;
} batch_item;

static void batch_done(batch *b) {
  engine *e = b->e;
  buf out;
  buf_init(&out, &b->a, 64 << 20);
  char id[2 * 10 + 1];
  uint8_t rnd[10];
  tm_val now;
  tm_from_unix_us(io_wall_us(e->io), 0, &now);
  for (uint32_t k = 0; k <= b->b->nbatches; k++) {
    hl7_slice *acks = (hl7_slice *)arena_zalloc(&b->a, b->n ? b->n : 1, sizeof *acks), made;
    unsigned na = 0;
    for (uint32_t i = 0; acks && i < b->n; i++)
      if (b->batch_of[i] == k && b->acks[i].len) acks[na++] = b->acks[i];
    if (k == 0) {
      for (unsigned i = 0; i < na; i++) buf_put(&out, acks[i].p, acks[i].len);
      continue;
    }
    io_random(e->io, rnd, sizeof rnd);
    eng_hex(rnd, sizeof rnd, id);
    if (acks && !hl7_batch_ack(&b->a, b->b, k, acks, na, id, &now, &made)) buf_put(&out, made.p, made.len);
  }
  engine_reply r = {.http_status = 200, .p = out.p, .len = out.status ? 0 : out.len, .last = true};
  b->cb(b->user, &r);
  arena_free(&b->a);
  eng_put(e, b, sizeof *b);
}

static void on_item(void *user, const engine_reply *r) {
  batch_item *it = (batch_item *)user;
  batch *b = it->b;
  if (r->len && !r->extra) {
    char *p = arena_dup(&b->a, r->p, r->len);
    if (p) b->acks[it->i] = (hl7_slice){p, (uint32_t)r->len};
  }
  if (r->last && --b->open == 0 && !b->building) batch_done(b);
}

static void submit_batch(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user) {
  batch *b = (batch *)eng_get(e, sizeof *b);
  hl7_problem why;
  if (b) {
    b->e = e, b->cb = cb, b->user = user;
    arena_init(&b->a, e->mem, 0);
    const char *copy = arena_dup(&b->a, p, len);
    batch_item *items = NULL;
    if (copy && !hl7_split(&b->a, copy, len, &b->b, &why)) {
      uint32_t n = b->b->nmessages ? b->b->nmessages : 1;
      b->acks = (hl7_slice *)arena_zalloc(&b->a, n, sizeof *b->acks);
      b->batch_of = (uint32_t *)arena_zalloc(&b->a, n, sizeof *b->batch_of);
      items = (batch_item *)arena_zalloc(&b->a, n, sizeof *items);
    }
    if (items && b->acks && b->batch_of) {
      b->building = true;
      b->open = b->n = b->b->nmessages;
      for (uint32_t i = 0, k = 0; i < b->b->nparts && k < b->n; i++) {
        const hl7_part *part = &b->b->parts[i];
        if (part->kind != HL7_PART_MESSAGE) continue;
        items[k] = (batch_item){b, k};
        b->batch_of[k] = part->batch;
        submit_one(e, src, copy + part->off, part->len, on_item, &items[k]);
        k++;
      }
      b->building = false;
      if (!b->open) batch_done(b);
      return;
    }
    arena_free(&b->a);
    eng_put(e, b, sizeof *b);
  }
  eng_answer_refusal(e, cb, user, p, len, "AE", 207, "The batch cannot be taken apart");
}

/* Cheap look, so that a single message is not split in vain. */
static bool maybe_batch(const char *p, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (p[i] == 'M') break;
    else if (p[i] == 'F' || p[i] == 'B') return true;
  return memmem(p, len, "\rMSH", 4) || memmem(p, len, "\nMSH", 4);
}

void engine_submit_hl7(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user) {
  if (!e->accepting || !e->started || !log_intake(e->log)) {
    e->st.refused++;
    eng_answer_refusal(e, cb, user, p, len, "AE", 207, "Not accepting messages at present");
    return;
  }
  if (len > (size_t)e->o.config->top.max_input_bytes) {
    e->st.refused++;
    eng_answer_refusal(e, cb, user, p, len, "AR", 207, "The message is too long");
    return;
  }
  if (!maybe_batch((const char *)p, len)) {
    submit_one(e, src, p, len, cb, user);
    return;
  }
  arena a;
  hl7_batch *b = NULL;
  arena_init(&a, e->mem, 0);
  bool many = !hl7_split(&a, (const char *)p, len, &b, NULL) && (b->has_envelope || b->nmessages > 1);
  bool wrong = many && b->counts_wrong;
  arena_free(&a);
  if (wrong) {
    e->st.refused++;
    eng_answer_refusal(e, cb, user, p, len, "AE", 100, "The counts in the batch trailers are wrong");
  } else if (many) submit_batch(e, src, p, len, cb, user);
  else submit_one(e, src, p, len, cb, user);
}
