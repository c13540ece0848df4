/* engine_ack.c - answers, made from what the records say: the same record gives the same bytes, however often it is asked (H-14 .. H-27). */
#include <stdio.h>
#include <stdlib.h>
#include "engine_int.h"
#include "json.h"
#include "watch.h"

static hl7_outcome outcome_of(const char *code) {
  if (code[0] && !strcmp(code + 1, "A")) return HL7_OK;
  if (code[0] && !strcmp(code + 1, "R")) return HL7_REJECT;
  return HL7_ERROR;
}

/* One acknowledgement. Its own MSH-10 derives from the input, so that a repeated answer is the same message. */
static hdw_status build(arena *a, const void *in, size_t in_len, const eng_outcome *o, const char *code, hl7_slice *out) {
  char id[21];
  uint8_t h[32];
  struct { uint64_t input; char code[8]; } tail;
  memset(&tail, 0, sizeof tail);
  tail.input = o->input;
  snprintf(tail.code, sizeof tail.code, "%.7s", code);
  cod_sha256(o->content_hash, o->content_hash ? REC_HASH : 0, &tail, sizeof tail, h);
  eng_hex(h, 10, id);
  unsigned long error = o->error && o->error[0] ? strtoul(o->error, NULL, 10) : 0;
  hl7_problem problem = {.code = (uint16_t)(error < 1000 ? error : 207), .severity = 'E', .text = o->text && o->text[0] ? o->text : NULL};
  hl7_ack_opts ao = {.code = code, .text = o->text && o->text[0] ? o->text : NULL, .control_id = id};
  tm_from_unix_us(o->time_us, 0, &ao.now);
  if (problem.code && outcome_of(code) != HL7_OK) ao.errors = &problem, ao.nerrors = 1;
  return hl7_ack(a, (const char *)in, in_len, &ao, out);
}

typedef struct sender {
  engine *e;
  eng_answer *w;
  const eng_outcome *o;
  arena a;
} sender;

static void send_code(sender *s, const void *in, size_t in_len, const char *code, bool extra, bool last) {
  hl7_slice ack = {NULL, 0};
  if (code && build(&s->a, in, in_len, s->o, code, &ack)) ack = (hl7_slice){NULL, 0};
  engine_reply r = {.input = s->o->input, .http_status = 200, .p = ack.p, .len = ack.len, .extra = extra, .duplicate = s->o->duplicate || s->w->joined, .last = last};
  snprintf(r.code, sizeof r.code, "%.7s", code ? code : "");
  if (code) watch_answer(s->e, code);
  s->w->cb(s->w->user, &r);
}

static void send_body(sender *s, bool extra) {
  engine_reply r = {.input = s->o->input, .http_status = 200, .p = s->o->body, .len = s->o->body_len, .extra = extra, .duplicate = s->o->duplicate || s->w->joined, .last = true};
  snprintf(r.code, sizeof r.code, "AA");
  watch_answer(s->e, r.code);
  s->w->cb(s->w->user, &r);
}

void eng_answer_hl7(engine *e, eng_answer *w, const void *in, size_t in_len, const eng_outcome *o) {
  sender s = {.e = e, .w = w, .o = o};
  hl7_head h;
  hl7_ack_plan plan = {.app = o->code};
  arena_init(&s.a, e->mem, 0);
  bool has_head = !hl7_head_read((const char *)in, in_len, &h, NULL);
  if (has_head) hl7_plan_ack(&h, o->final ? outcome_of(o->code) : HL7_OK, false, &plan);
  if (!o->final) {
    if (plan.enhanced && plan.accept && !w->single) {
      w->committed = true;
      send_code(&s, in, in_len, plan.accept, false, false);
    }
    arena_free(&s.a);
    return;
  }
  /* The verdict's own code goes out where the plan has an application code: reject('AE') stays AE, whatever the outcome's class. */
  const char *app = plan.app ? (o->code[0] == 'A' ? o->code : plan.app) : NULL;
  if (!plan.enhanced) {
    if (o->body) send_body(&s, false);
    else send_code(&s, in, in_len, app ? app : "AE", false, true);
  } else if (w->single) {
    if (app && o->body) send_body(&s, false);
    else send_code(&s, in, in_len, app ? app : plan.accept, false, true);
  } else {
    bool answered = w->committed;
    if (!answered && plan.accept) {
      send_code(&s, in, in_len, plan.accept, false, !app);
      answered = true;
    } else if (!app) send_code(&s, in, in_len, NULL, w->committed, true); /* nothing is owed, or no more */
    if (app && o->body) send_body(&s, answered);
    else if (app) send_code(&s, in, in_len, app, answered, true);
  }
  arena_free(&s.a);
}

/* {"type":"about:blank","title":...,"status":...,"detail":...}: RFC 9457. */
static void problem_json(buf *b, int status, const char *text) {
  buf_puts(b, "{\"type\":\"about:blank\",\"title\":");
  json_write_str(b, http_reason(status), strlen(http_reason(status)));
  buf_putf(b, ",\"status\":%d", status);
  if (text && text[0]) {
    buf_puts(b, ",\"detail\":");
    json_write_str(b, text, strlen(text));
  }
  buf_puts(b, "}");
}

/* HTTP status of a verdict's code: its own when it is one. */
static int status_of(const char *code) {
  if (code[0] >= '1' && code[0] <= '5' && strlen(code) == 3) return (int)strtol(code, NULL, 10);
  if (!strcmp(code, "AR") || !strcmp(code, "CR")) return 422;
  if (!strcmp(code, "AE") || !strcmp(code, "CE")) return 503;
  if (!strcmp(code, "AA") || !strcmp(code, "CA")) return 202;
  return 500;
}

void eng_answer_json(engine *e, eng_answer *w, const eng_outcome *o) {
  arena a;
  buf b;
  if (!o->final) return;
  arena_init(&a, e->mem, 0);
  buf_init(&b, &a, 64 << 20);
  int status = status_of(o->code);
  engine_reply r = {.input = o->input, .http_status = status, .json = true, .duplicate = o->duplicate || w->joined, .last = true};
  if (o->body) {
    r.http_status = 200;
    buf_put(&b, o->body, o->body_len);
  } else if (status < 300) buf_putf(&b, "{\"id\":\"%llu\"}", (unsigned long long)o->input);
  else problem_json(&b, status, o->text);
  if (b.status) r.http_status = 500, b.len = 0;
  r.p = b.p, r.len = b.len;
  watch_answer(e, o->body ? "200" : o->code);
  w->cb(w->user, &r);
  arena_free(&a);
}

void eng_answer_all(eng_pending *p, const eng_outcome *o) {
  /* A callback may submit again; the list is taken off first when this is the last answer. */
  eng_answer *w = p->answers;
  if (o->final) p->answers = NULL;
  while (w) {
    eng_answer *next = w->next;
    if (p->hl7) eng_answer_hl7(p->e, w, p->bytes, p->len, o);
    else eng_answer_json(p->e, w, o);
    if (o->final) eng_put(p->e, w, sizeof *w);
    w = next;
  }
}

void eng_answer_refusal(engine *e, engine_reply_cb cb, void *user, const void *in, size_t in_len, const char *code, uint16_t error, const char *text) {
  char err[8];
  uint8_t salt[REC_HASH];
  snprintf(err, sizeof err, "%u", error);
  io_random(e->io, salt, sizeof salt);
  eng_answer w = {.cb = cb, .user = user};
  eng_outcome o = {.code = code, .error = err, .text = text, .time_us = io_wall_us(e->io), .content_hash = salt, .final = true};
  eng_answer_hl7(e, &w, in, in_len, &o);
}

void eng_answer_status(engine *e, engine_reply_cb cb, void *user, int status, const char *text) {
  char code[8];
  snprintf(code, sizeof code, "%d", status);
  eng_answer w = {.cb = cb, .user = user};
  eng_outcome o = {.code = code, .error = "", .text = text, .time_us = io_wall_us(e->io), .final = true};
  eng_answer_json(e, &w, &o);
}
