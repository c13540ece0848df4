/* engine_in.c - HL7 inputs: one message from its bytes to its verdict. Batches are in engine_batch.c, what a listener demands in engine_check.c. */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"

/* ---- reading ------------------------------------------------------------------------------------------------------------------------- */

/* "8859/1" holds where MSH-18 is absent, "!8859/1" whatever it says. */
static void set_charset(hl7_opts *o, cod_str charset) {
  bool force = charset.len && charset.p[0] == '!';
  if (!charset.len) return;
  charset_id id = charset_find(charset.p + force, charset.len - force);
  if (!charset_supported(id)) return;
  if (force) o->force_charset = id;
  else o->charset = id;
}

/* Twice when a sender's declaration says how: it can only be known from the message itself. */
static hdw_status read_message(engine *e, arena *a, const char *p, size_t len, const eng_reading *how, hl7_msg **msg, val *out, hl7_problem *why) {
  hl7_opts o = {.schema = e->o.schema, .strict = how->strict};
  set_charset(&o, how->charset);
  hdw_status s = hl7_parse(a, p, len, &o, msg, why);
  if (!s) s = hl7_value(a, *msg, out);
  if (s) return s;
  e->unsure = false;
  if (!eng_sender_options(e, how->pinned, a, *out, how->identity, &o)) return e->unsure ? HDW_E_NOMEM : HDW_OK;
  s = hl7_parse(a, p, len, &o, msg, why);
  return s ? s : hl7_value(a, *msg, out);
}

hdw_status eng_input_value(engine *e, arena *a, const void *p, size_t len, const eng_reading *how, val *out, hl7_problem *why) {
  const char *s = (const char *)p;
  hl7_msg *msg;
  if (!len || s[0] != '{') return read_message(e, a, s, len, how, &msg, out, why);
  json_reader r;
  json_opts o = {.seed = e->hash_seed};
  json_reader_init(&r, e->mem);
  hdw_status st = json_read(&r, a, s, len, &o, out, NULL);
  json_reader_free(&r);
  return st;
}

static cod_str clip(hl7_slice s) { return (cod_str){s.p, s.len > REC_NAME_MAX ? REC_NAME_MAX : s.len}; }

static char *put_part(char *to, hl7_slice s) {
  size_t n = s.len > 50 ? 50 : s.len;
  return n ? (char *)memcpy(to, s.p, n) + n : to;
}

static bool set_type(eng_message *m) {
  char *t = (char *)arena_alloc(&m->a, REC_NAME_MAX), *end = t;
  if (!t) return false;
  end = put_part(end, m->head.type);
  if (m->head.event.len) *end++ = '^';
  end = put_part(end, m->head.event);
  m->rec.type = cod_bytes(t, (size_t)(end - t));
  return true;
}

/* ---- one message --------------------------------------------------------------------------------------------------------------------- */

void eng_message_verdict(eng_message *m, uint8_t state, const char *code, const char *error, const char *text) {
  rec_verdict *v = &m->rec.verdict;
  rec_verdict_clear(v);
  v->state = state, v->ack_code = cod_cstr(code), v->error_code = cod_cstr(error), v->text = cod_cstr(text);
  m->after = NULL;
}

/* The message cannot be taken apart: its place and code go into the record. */
static void problem(eng_message *m, const char *code, const hl7_problem *why) {
  char t[ENG_CODE];
  eng_problem_text(why, t);
  const char *keep = arena_dup(&m->a, t, strlen(t));
  eng_message_verdict(m, INPUT_FAILED, code, keep ? keep : "", why->text);
}

/* Reads the head and looks for a duplicate. True: goes on; then *again says whether as a further attempt of *old. */
static bool identify(eng_message *m, store_input *old, bool *again, hl7_problem *why) {
  const hl7_head *h = &m->head;
  m->has_head = !hl7_head_read((const char *)m->p, m->len, &m->head, why);
  if (!m->has_head) {
    if (m->l) m->l->unparseable++;
    return true;
  }
  m->rec.control_id = clip(h->control_id);
  m->rec.sender = clip(h->app);
  if (m->l && (h->accept_ack.len == 0) != (h->app_ack.len == 0)) { /* H-15: both or none; real senders set one */
    if (!m->l->lone++) eng_say(m->e, ENGINE_INFO, "lone_ack_condition", "listener", m->l->name, "the other counts as", m->l->o->ack_lone, NULL);
  }
  hl7_slice parts[4] = {{m->src->listener, (uint32_t)strlen(m->src->listener)}, h->app, h->facility, h->control_id};
  if (set_type(m) && eng_message_key(m, parts, 4)) return !eng_message_duplicate(m, old, again);
  eng_message_refuse(m, "AE", 207, "Out of memory");
  return false;
}

/* Parses, checks, runs the gates: the verdict is in m->rec.verdict. False: refused already. */
static bool decide(eng_message *m, uint64_t known) {
  engine *e = m->e;
  hl7_problem why = {0};
  hl7_msg *msg = NULL;
  val input;
  eng_reading how = {.charset = cod_cstr(m->charset), .identity = m->src->identity, .strict = m->l && m->l->o->strict_data};
  hdw_status s = read_message(e, &m->a, (const char *)m->p, m->len, &how, &msg, &input, &why);
  if (s == HDW_E_NOMEM) {
    eng_message_refuse(m, "AE", 207, "Out of memory");
    return false;
  }
  if (s) {
    problem(m, "AE", &why); /* its code is never one of those that mean AR (H-25): reading a message knows nothing of types and versions */
    return true;
  }
  eng_patients_hl7(m, msg);
  if (!eng_check_message(m, msg)) return true;
  eng_verdict *v = (eng_verdict *)arena_alloc(&m->a, sizeof *v);
  if (!v) {
    eng_message_refuse(m, "AE", 207, "Out of memory");
    return false;
  }
  m->input = input, m->gates = v;
  eng_gate(e, &m->a, m->src, &m->head, input, v);
  eng_loss_hl7(m, msg, v);
  if (!eng_once_filter(e, v, known)) {
    eng_message_refuse(m, "AE", 207, "The message cannot be looked up now");
    return false;
  }
  eng_verdict_record(e, &m->a, m->l, v, true, &m->rec.verdict, &m->after);
  if (m->rec.verdict.state == INPUT_UNMATCHED && eng_is_ack(&m->head)) m->rec.verdict.ack_code = cod_cstr("AA"), m->rec.verdict.error_code = m->rec.verdict.text = cod_cstr(""); /* kept; nobody has to want it */
  return true;
}

/* True: refused. */
static bool is_unsure(eng_message *m) {
  if (m->e->unsure) eng_message_refuse(m, "AE", 207, "The message cannot be looked up now");
  return m->e->unsure;
}

static void handle(eng_message *m) {
  static const hl7_problem no_id = {.code = 101, .seg = "MSH", .seg_rep = 1, .field = 10, .text = "MSH-10 is missing"};
  hl7_problem why = {0};
  store_input old;
  bool again = false;
  if (m->src->charset) snprintf(m->charset, sizeof m->charset, "!%.40s", m->src->charset);
  else if (m->l && m->l->o->charset[0]) snprintf(m->charset, sizeof m->charset, "%.40s", m->l->o->charset);
  if (!identify(m, &old, &again, &why)) return;
  if (!m->has_head) problem(m, "AR", &why);
  else if (!m->head.control_id.len || (m->head.control_id.len == 2 && !memcmp(m->head.control_id.p, "\"\"", 2))) problem(m, "AR", &no_id);
  else if (!eng_echo_heard(m, m->p, m->len, NULL) && (is_unsure(m) || !decide(m, again ? old.id : 0))) return;
  if (again) eng_message_again(m, &old);
  else eng_message_commit(m);
}

void eng_submit_message(engine *e, const engine_source *src, const void *p, size_t len, bool in_batch, engine_reply_cb cb, void *user) {
  eng_answer w = eng_answer_for(e, src, in_batch, cb, user);
  eng_message *m = eng_message_begin(e, src, &w);
  if (!m) {
    eng_answer_refusal(e, &w, p, len, &(eng_refusal){"AE", 207, "Out of memory", 503});
    return;
  }
  m->p = p, m->len = len, m->hl7 = true;
  m->content = cod_bytes(p, len);
  handle(m);
  eng_message_end(m);
}

void engine_submit_hl7(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user) {
  eng_answer w = eng_answer_for(e, src, false, cb, user);
  if (!eng_may_accept(e)) eng_answer_refusal(e, &w, p, len, &(eng_refusal){"AE", 207, "Not accepting messages at present", 503});
  else if (len > (size_t)e->o.config->top.max_input_bytes) eng_answer_refusal(e, &w, p, len, &(eng_refusal){"AR", 207, "The message is too long", 413});
  else if (!eng_submit_batch(e, src, p, len, cb, user)) eng_submit_message(e, src, p, len, false, cb, user);
}
