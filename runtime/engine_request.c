/* engine_request.c - API inputs: an HTTP request becomes the object {method, path, query, headers, body}, stored as JSON text.
 *
 * A duplicate is recognised by the caller's Idempotency-Key. Two equal requests without one are two requests, unless the listener says that equal content on
 * one day (UTC) is a repetition. */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"

static bool is_json(val headers) {
  val t = jv_get(headers, "content-type");
  return t.tag == VAL_STR && memmem(t.u.s, t.len, "json", 4);
}

/* The stored document. HDW_E_SYNTAX: the body says that it is JSON and is not. */
static hdw_status document(eng_message *m, const engine_request *q, buf *b) {
  const char *body = (const char *)q->body;
  json_write_str((buf_puts(b, "{\"method\":"), b), q->src.method, strlen(q->src.method));
  json_write_str((buf_puts(b, ",\"path\":"), b), q->src.path, strlen(q->src.path));
  buf_puts(b, ",\"query\":");
  hdw_status s = q->query.tag == VAL_OBJ ? json_write(q->query, b, NULL) : (buf_puts(b, "{}"), HDW_OK);
  buf_puts(b, ",\"headers\":");
  if (!s) s = q->headers.tag == VAL_OBJ ? json_write(q->headers, b, NULL) : (buf_puts(b, "{}"), HDW_OK);
  if (s) return s;
  if (q->body_len) {
    buf_puts(b, ",\"body\":");
    if (is_json(q->headers)) {
      json_reader r;
      val v;
      json_opts o = {.seed = m->e->hash_seed};
      json_reader_init(&r, m->e->mem);
      s = json_read(&r, &m->a, body, q->body_len, &o, &v, NULL);
      json_reader_free(&r);
      if (s) return s;
      buf_put(b, body, q->body_len);
    } else json_write_str(b, body, q->body_len);
  }
  buf_puts(b, "}");
  return (hdw_status)b->status;
}

/* "POST /bookings", and a line end; then what it was asked with, if it was, as JSON and a line end: the same body for another patient is another request. */
static hdw_status heading_of(eng_message *m, const engine_request *q) {
  buf b;
  buf_init(&b, &m->a, 1 << 20);
  buf_puts(&b, q->src.method);
  buf_putc(&b, ' ');
  buf_puts(&b, q->src.path);
  size_t n = b.len;
  buf_putc(&b, '\n');
  if (q->query.tag == VAL_OBJ && q->query.len) {
    hdw_status s = json_write(q->query, &b, NULL);
    if (s) return s;
    buf_putc(&b, '\n');
  }
  m->heading = cod_bytes(b.p, b.len);
  m->rec.type = cod_bytes(b.p, n < REC_NAME_MAX ? n : REC_NAME_MAX - 1);
  return (hdw_status)b.status;
}

static void refuse_unknown(eng_message *m) { eng_message_refuse(m, "AE", 207, "The request cannot be looked up now"); }

static void handle(eng_message *m, const engine_request *q) {
  engine *e = m->e;
  buf b;
  val input;
  hl7_problem why;
  store_input old;
  bool again = false;
  buf_init(&b, &m->a, (size_t)e->o.config->top.max_input_bytes + 65536);
  hdw_status s = document(m, q, &b);
  if (!s) s = heading_of(m, q);
  if (s) {
    e->st.refused++;
    bool memory = s == HDW_E_NOMEM;
    eng_answer_status(e, m->answer.cb, m->answer.user, memory ? 503 : 400,
                      memory ? "The request cannot be taken now" : s == HDW_E_LIMIT ? "The body is larger, or nested deeper, than allowed" : "The body is not valid JSON");
    return;
  }
  m->p = b.p, m->len = b.len;
  m->content = cod_bytes(q->body, q->body_len);
  char by_content[2 * REC_HASH + 16];
  const char *key = q->idempotency_key;
  if (!key && m->l && !strcmp(m->l->o->duplicates, "content")) { /* sources without ids: (listener, day, content), SEMANTICS 1 */
    tm_val day;
    char date[TM_TEXT_MAX + 1];
    tm_from_unix_us(io_wall_us(e->io), 0, &day);
    (void)tm_format_datetime(&day, date);
    memcpy(by_content, date, 10);
    by_content[10] = ' ';
    uint8_t h[REC_HASH];
    cod_sha256(m->heading.p, m->heading.len, m->content.p, m->content.len, h);
    eng_hex(h, REC_HASH, by_content + 11);
    key = by_content;
  }
  if (key) {
    /* Keys are each caller's own: nobody is told what another one was answered. */
    const char *who = q->src.identity ? q->src.identity : "";
    hl7_slice parts[3] = {{q->src.listener, (uint32_t)strlen(q->src.listener)}, {who, (uint32_t)strlen(who)}, {key, (uint32_t)strlen(key)}};
    if (!who[0]) parts[1] = parts[2];
    if (q->idempotency_key) m->rec.control_id = cod_bytes(key, strnlen(key, REC_NAME_MAX));
    if (!eng_message_key(m, parts, who[0] ? 3 : 2)) s = HDW_E_NOMEM;
    else if (eng_message_duplicate(m, &old, &again)) return;
  }
  if (!s) s = eng_input_value(e, &m->a, m->p, m->len, &(eng_reading){.identity = q->src.identity}, &input, &why);
  if (!s) eng_patients_json(m, input);
  eng_verdict *v = s ? NULL : (eng_verdict *)arena_alloc(&m->a, sizeof *v);
  if (!v) {
    eng_message_refuse(m, "AE", 207, "The request cannot be taken now");
    return;
  }
  m->input = input, m->gates = v;
  v->n = v->matched = 0;
  if (!eng_echo_heard(m, q->body, q->body_len, q->idempotency_key)) {
    if (e->unsure) {
      refuse_unknown(m);
      return;
    }
    eng_gate(e, &m->a, m->src, NULL, input, v);
    eng_loss_json(m, input, v);
    if (!eng_once_filter(e, v, again ? old.id : 0)) {
      refuse_unknown(m);
      return;
    }
    eng_verdict_record(e, &m->a, m->l, v, false, &m->rec.verdict, &m->after);
  }
  if (again) eng_message_again(m, &old);
  else eng_message_commit(m);
}

void engine_submit_request(engine *e, const engine_request *q, engine_reply_cb cb, void *user) {
  if (!eng_may_accept(e)) {
    e->st.refused++;
    eng_answer_status(e, cb, user, 503, "Not accepting requests at present");
    return;
  }
  eng_answer w = eng_answer_for(e, &q->src, false, cb, user);
  eng_message *m = eng_message_begin(e, &q->src, &w);
  if (!m) {
    eng_answer_status(e, cb, user, 503, "Out of memory");
    return;
  }
  handle(m, q);
  eng_message_end(m);
}

int engine_route(const engine *e, const char *listener, const char *method, const char *path, char allow[64]) {
  int best = 0;
  allow[0] = 0;
  for (uint32_t i = 0; i < e->napps; i++)
    for (uint32_t k = 0; k < e->apps[i]->meta.nworkflows && !e->apps[i]->retired; k++)
      for (uint32_t t = 0; t < e->apps[i]->meta.workflows[k].ntriggers; t++) {
        const meta_trigger *tr = &e->apps[i]->meta.workflows[k].triggers[t];
        if (strcmp(tr->listener, listener) || !tr->path || strcmp(tr->path, path)) continue;
        bool hl7 = !strcmp(tr->kind, "message");
        const char *want = hl7 ? "POST" : tr->kind;
        if (eng_is_method(want, method)) {
          if (best < 2 || hl7) best = hl7 ? 3 : 2;
          continue;
        }
        if (best == 0) best = 1;
        size_t n = strlen(allow);
        if (strcasestr(allow, want)) continue;
        snprintf(allow + n, 64 - n, "%s%s", n ? ", " : "", want); /* each method once: there is room for all */
        for (char *p = allow + n; *p; p++)
          if (*p >= 'a') *p = (char)(*p - 32);
      }
  return best;
}
