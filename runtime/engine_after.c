/* engine_after.c - ack after run: the outcome of the run becomes its input's answer, stored before it leaves (SEMANTICS 1). */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"

typedef struct after {       /* waits for ACK_OUTCOME to be durable */
  uint64_t input;
  char code[8], error[8];
  char text[VM_ERROR_TEXT];
  char *body;
  size_t body_len;
} after;

static void after_free(engine *e, after *x) {
  eng_put(e, x->body, x->body_len);
  eng_put(e, x, sizeof *x);
}

static void on_after(engine *e, hdw_status s, const log_rec *rec, void *user) {
  after *x = (after *)user;
  (void)rec;
  eng_pending *p = eng_pending_by_input(e, x->input);
  if (p && p->armed && !s) { /* not armed: it was sent again meanwhile, and waits for its new run */
    eng_outcome o = {.input = x->input, .code = x->code, .error = x->error, .text = x->text, .time_us = p->time_us, .content_hash = p->content_hash,
                     .body = x->body, .body_len = x->body_len, .final = true, .waited = true};
    eng_answer_all(p, &o);
    eng_pending_free(p);
  }
  after_free(e, x);
}

bool eng_reply_bytes(engine *e, arena *a, bool hl7, vm_outcome how, val v, hl7_slice *out) {
  buf b;
  (void)e;
  *out = (hl7_slice){NULL, 0};
  if (how != VM_REPLY && (hl7 || how != VM_OUTCOME_NONE)) return false;
  if (hl7) return hl7_of(v) && hl7_of(v)->level == HL7_MSG && !hl7_bytes(a, hl7_of(v)->m, out);
  buf_init(&b, a, 64 << 20);
  if (json_write(v, &b, NULL)) return false;
  *out = (hl7_slice){b.p, (uint32_t)b.len};
  return true;
}

/* False: there was no memory for it. */
static bool after_body(engine *e, after *x, bool hl7, vm_outcome how, val v) {
  arena a;
  hl7_slice s;
  bool there = true;
  arena_init(&a, e->mem, 0);
  if (eng_reply_bytes(e, &a, hl7, how, v, &s)) { /* never empty */
    x->body = (char *)eng_get(e, s.len);
    there = x->body != NULL;
    if (there) memcpy(x->body, s.p, x->body_len = s.len);
  }
  there = there && !a.failed;
  arena_free(&a);
  return there;
}

uint8_t eng_after_verdict(bool hl7, bool ok, vm_outcome how, const char **code, const char **error, const char **text) {
  *error = "";
  if (!ok) {
    *code = hl7 ? "AE" : "500", *error = "207";
    if (!(*text)[0]) *text = hl7 ? "The message could not be processed" : "The request could not be processed";
    return INPUT_FAILED;
  }
  if (how == VM_REJECT) {
    if (!(*code)[0]) *code = "AR";
    const char *colon = strchr(*code, ':');
    if (colon) *error = colon + 1; /* whoever asked cuts the code there: eng_reject_code */
    return INPUT_REJECTED;
  }
  *code = hl7 ? "AA" : "200";
  return INPUT_ACCEPTED;
}

bool eng_after_run(engine *e, const store_run *row, bool hl7, bool ok, vm_outcome how, val value, const char *code, const char *text) {
  after *x = (after *)eng_get(e, sizeof *x);
  const char *error;
  if (!x) return false;
  rec_ack_outcome o = {.input = row->input, .state = eng_after_verdict(hl7, ok, how, &code, &error, &text)};
  x->input = row->input;
  (void)eng_reject_code(code, x->code);
  snprintf(x->error, sizeof x->error, "%.7s", error);
  snprintf(x->text, sizeof x->text, "%s", text);
  if (o.state == INPUT_ACCEPTED && !after_body(e, x, hl7, how, value)) {
    after_free(e, x);
    return false;
  }
  o.ack_code = cod_cstr(x->code), o.error_code = cod_cstr(x->error), o.text = cod_cstr(x->text);
  cod_w w = eng_writer(e);
  (void)rec_put_ack_outcome(&w, &o); /* bounded: there is room */
  hdw_status s = eng_append_rec(e, REC_ACK_OUTCOME, &w, NULL, 0, on_after, x, NULL);
  if (s) after_free(e, x);
  return !s;
}
