/* admin_trace.c - GET /trace/ID?until=STEP: what the names of a run held before a step. */
#include <stdio.h>
#include "admin_int.h"
#include "engine_trace.h"

static const char *const stops[] = {"before a step", "the end", "what is recorded", "a failure", "another path than the record's", "the limit of work"};

static void name(buf *b, bool *f, const char *key, const char *s) {
  if (s && s[0]) admin_text(b, f, key, s, strlen(s));
}

/* Without the role that sees values: what it is, and how much of it. */
static void shape(admin_query *q, bool *f, val v) {
  val text;
  const char *type = v.tag == VAL_HL7 ? "HL7" : val_type_name(v);
  name(q->b, f, "type", type);
  if (v.tag == VAL_LIST || v.tag == VAL_OBJ) admin_number(q->b, f, "items", v.len);
  else if (v.tag == VAL_STR || v.tag == VAL_BIN) admin_number(q->b, f, "bytes", v.len);
  else if (v.tag == VAL_TPL && !val_to_str(q->a, v, &text)) admin_number(q->b, f, "bytes", text.len);
}

static void put_locals(admin_query *q, const engine_trace_frame *fr) {
  buf *b = q->b;
  buf_puts(b, "[");
  for (uint32_t i = 0; i < fr->nlocals; i++) {
    bool f = true;
    buf_puts(b, i ? ",{" : "{");
    name(b, &f, "name", fr->locals[i].name);
    if (admin_values(q)) admin_value(b, &f, "value", fr->locals[i].value);
    else shape(q, &f, fr->locals[i].value);
    buf_puts(b, "}");
  }
  buf_puts(b, "]");
}

static void put_steps(admin_query *q, const engine_trace *t) {
  buf *b = q->b;
  buf_puts(b, "[");
  for (uint32_t i = 0; i < t->nsteps; i++) {
    const engine_trace_step *s = &t->steps[i];
    bool f = true;
    buf_puts(b, i ? ",{" : "{");
    admin_number(b, &f, "step", i + 1);
    name(b, &f, "path", s->path);
    name(b, &f, "connection", s->connection);
    name(b, &f, "operation", s->operation);
    name(b, &f, "kind", s->connection[0] ? s->send ? "send" : "step" : "log");
    name(b, &f, "state", s->state);
    name(b, &f, "at", s->where);
    buf_puts(b, "}");
  }
  buf_puts(b, "]");
}

static void put_trace(admin_query *q, const engine_trace *t) {
  buf *b = q->b;
  bool f = true;
  buf_puts(b, "{");
  admin_number(b, &f, "run", t->row.id);
  admin_text(b, &f, "workflow", t->row.workflow.p, t->row.workflow.len);
  name(b, &f, "state", admin_run_state(t->row.state));
  name(b, &f, "stopped", stops[t->stop]);
  name(b, &f, "reason", t->text);
  admin_key(b, &f, "steps");
  put_steps(q, t);
  if (t->stop != TRACE_END && t->nsteps && admin_values(q)) admin_value(b, &f, "request", t->request);
  if (t->stop == TRACE_END && admin_values(q)) admin_value(b, &f, "result", t->result);
  admin_key(b, &f, "frames");
  buf_puts(b, "[");
  for (uint32_t i = 0; i < t->nframes; i++) {
    bool g = true;
    buf_puts(b, i ? ",{" : "{");
    name(b, &g, "function", t->frames[i].function);
    name(b, &g, "at", t->frames[i].where);
    admin_key(b, &g, "names");
    put_locals(q, &t->frames[i]);
    buf_puts(b, "}");
  }
  buf_puts(b, "]}");
}

int admin_trace(admin_query *q) {
  engine_trace t;
  uint64_t id;
  int status = 200;
  const char *until = admin_param(q, "until");
  if (!admin_id(q->rest, &id)) return 404;
  hdw_status s = engine_trace_run(q->ad->e, id, until && until[0] ? until : NULL, &t);
  if (s == HDW_E_NOTFOUND) status = admin_error(q, 404, "there is no such run, or its module or message is no longer kept");
  else if (s) status = admin_error(q, 500, "the run cannot be executed again: %s", hdw_status_text(s));
  else if (until && until[0] && t.stop == TRACE_END)
    status = admin_error(q, 404, "the run has %u step%s and comes to its end without a step '%.40s'", t.nsteps, t.nsteps == 1 ? "" : "s", until);
  else put_trace(q, &t);
  engine_trace_free(&t);
  return status;
}
