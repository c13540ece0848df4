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

/* The error of a record: "CODE", "CODE SEG^n^field^rep^comp^sub" (an ERL, H-26), and " #n" for the sequence number expected (H-30). */
void eng_problem_text(const hl7_problem *p, char out[ENG_CODE]) {
  const unsigned at[] = {p->seg_rep, p->field, p->rep, p->comp, p->sub};
  unsigned n = 5;
  size_t len = (size_t)snprintf(out, ENG_CODE, "%u", p->code);
  if (!p->seg[0]) return;
  while (n && !at[n - 1]) n--;
  len += (size_t)snprintf(out + len, ENG_CODE - len, " %.3s", p->seg);
  for (unsigned i = 0; i < n; i++) {
    int k = at[i] ? snprintf(out + len, ENG_CODE - len, "^%u", at[i]) : snprintf(out + len, ENG_CODE - len, "^");
    len += (size_t)k; /* 39 at most: numbers of five digits, a name of three letters */
  }
}

static void read_problem(const char *s, hl7_problem *p, bool *sequence, int64_t *expected) {
  char *end;
  unsigned long code = strtoul(s, &end, 10);
  p->code = (uint16_t)(code < 1000 ? code : 207);
  *sequence = false;
  if (end[0] == ' ' && end[1] && end[1] != '#') {
    uint16_t *const at[] = {&p->seg_rep, &p->field, &p->rep, &p->comp, &p->sub};
    memcpy(p->seg, end + 1, strnlen(end + 1, 3));
    end += 1 + strnlen(end + 1, 3);
    for (unsigned i = 0; i < 5 && *end == '^'; i++) *at[i] = (uint16_t)strtoul(end + 1, &end, 10);
  }
  if (end[0] == ' ' && end[1] == '#') {
    *sequence = true;
    *expected = strtoll(end + 2, NULL, 10);
  }
}

/* One acknowledgement. Its own MSH-10 derives from the input, so that a repeated answer is the same message. */
static hdw_status build(arena *a, const eng_answer *w, const hl7_head *head, const void *in, size_t in_len, const eng_outcome *o, const char *code, hl7_slice *out) {
  char id[21];
  uint8_t h[16], key[REC_HASH] = {0};
  struct { uint8_t rest[REC_HASH - sizeof h]; uint64_t input; char code[8]; } of;
  if (o->content_hash) memcpy(key, o->content_hash, REC_HASH);
  memset(&of, 0, sizeof of);
  memcpy(of.rest, key + sizeof h, sizeof of.rest);
  of.input = o->input;
  memcpy(of.code, code, strnlen(code, sizeof of.code - 1));
  cod_siphash128(key, &of, sizeof of, h);
  eng_hex(h, 10, id);
  const char *text = o->text && o->text[0] ? o->text : NULL;
  hl7_problem problem = {.severity = 'E'};
  hl7_ack_opts ao = {.head = head, .code = code, .text = text, .control_id = id};
  if (w->l) ao.structure = !strcmp(w->l->o->ack_type, "plain") ? 1 : !strcmp(w->l->o->ack_type, "event") ? 2 : 0;
  if (o->error) read_problem(o->error, &problem, &ao.expected_sequence, &ao.sequence);
  tm_from_unix_us(o->time_us, 0, &ao.now);
  if (outcome_of(code) == HL7_OK) ao.text = NULL; /* a fixed code map may turn an error into a success: then without its text */
  else {
    if (!problem.code) problem.code = 207; /* reject(...) of a workflow: of the application, with its text */
    ao.errors = &problem, ao.nerrors = 1;
  }
  return hl7_ack(a, (const char *)in, in_len, &ao, out);
}

/* ---- what is owed ----------------------------------------------------------------------------------------------------------- */

/* An acknowledgement of an acknowledgement never ends (H-17): one with MSH-9 ACK gets at most the accept acknowledgement that its own MSH-15 asks for, and
 * one that accepts or refuses a commit gets nothing. */
bool eng_is_ack(const hl7_head *h) { return (h->type.len == 3 && !memcmp(h->type.p, "ACK", 3)) || (h->type.len == 3 && !memcmp(h->type.p, "MCF", 3)); }

static bool of_commit(const char *in, size_t len, char field) {
  const char pattern[6] = {'\r', 'M', 'S', 'A', field, 'C'}, lf[6] = {'\n', 'M', 'S', 'A', field, 'C'};
  return memmem(in, len, pattern, sizeof pattern) || memmem(in, len, lf, sizeof lf);
}

static bool mode_is(const eng_answer *w, const char *mode) { return w->l && !strcmp(w->l->o->ack, mode); }

/* The code as it goes out: the listener's fixed map (H-18). NULL: nothing. */
static const char *mapped(const eng_answer *w, const char *code) {
  for (uint32_t i = 0; w->l && i < w->l->o->ack_codes.n; i++) {
    const char *m = w->l->o->ack_codes.v[i];
    if (strncmp(m, code, 2)) continue; /* CODE=...: config.c has looked */
    return strcmp(m + 3, "none") ? m + 3 : NULL;
  }
  return code;
}

typedef struct owed {
  bool enhanced;
  const char *accept, *app;  /* NULL = nothing */
  bool never_app;            /* whatever comes: there will be no application acknowledgement */
} owed;

static owed plan(const eng_answer *w, const hl7_head *h, const char *in, size_t len, const eng_outcome *o) {
  hl7_outcome out = outcome_of(o->code), stored = o->waited || !o->final ? HL7_OK : out;
  bool lone_as_al = w->l && !strcmp(w->l->o->ack_lone, "always");
  static const char *const app_codes[] = {"AA", "AE", "AR"};
  owed r = {.app = o->code[0] == 'A' ? o->code : app_codes[out]};
  hl7_ack_plan p, best;
  if (mode_is(w, "none")) return (owed){.never_app = true};
  if (h && eng_is_ack(h)) {
    r = (owed){.enhanced = true, .never_app = true};
    if (!h->accept_ack.len || of_commit(in, len, h->d.field)) return r;
    hl7_plan_ack(h, stored, false, &p);
    r.accept = p.accept;
    return r;
  }
  if (mode_is(w, "immediate")) {
    if (o->input) r.app = "AA";
    return r;
  }
  if (!h || mode_is(w, "original")) return r;
  hl7_plan_ack(h, stored, lone_as_al, &p);
  if (!p.enhanced) return r;
  r.enhanced = true;
  r.accept = p.accept;
  hl7_plan_ack(h, out, lone_as_al, &p);
  if (!p.app) r.app = NULL;
  hl7_plan_ack(h, HL7_ERROR, lone_as_al, &p);
  hl7_plan_ack(h, HL7_OK, lone_as_al, &best);
  r.never_app = !p.app && !best.app;
  return r;
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */

typedef struct sender {
  engine *e;
  eng_answer *w;
  const eng_outcome *o;
  const void *in;
  size_t in_len;
  const hl7_head *head;      /* NULL: it cannot be read */
  arena a;
} sender;

static void give(sender *s, engine_reply r) {
  r.input = s->o->input;
  r.duplicate = s->o->duplicate || s->w->joined;
  if (r.last) s->w->done = true;
  if (r.code[0]) watch_answer(s->e, r.code);
  s->w->cb(s->w->user, &r);
}

static void send_problem(sender *s, int status, const char *text);

static void send_code(sender *s, const char *code, bool extra, bool last) {
  hl7_slice ack = {NULL, 0};
  const char *sent = code ? mapped(s->w, code) : NULL;
  bool lost = sent && build(&s->a, s->w, s->head, s->in, s->in_len, s->o, sent, &ack);
  if (lost && s->w->http) { /* 200 and nothing else would say that all is well */
    send_problem(s, 503, "Out of memory");
    return;
  }
  engine_reply r = {.http_status = 200, .p = ack.p, .len = lost ? 0 : ack.len, .extra = extra, .last = last, .close = lost};
  if (sent) memcpy(r.code, sent, strnlen(sent, sizeof r.code - 1));
  give(s, r);
}

static void send_body(sender *s, bool extra) {
  engine_reply r = {.http_status = 200, .p = s->o->body, .len = s->o->body_len, .extra = extra, .last = true};
  snprintf(r.code, sizeof r.code, "AA");
  give(s, r);
}

static void problem_json(buf *b, int status, const char *text);

/* Something that is no HL7 answer (H-49). */
static void send_problem(sender *s, int status, const char *text) {
  buf b;
  buf_init(&b, &s->a, 65536);
  problem_json(&b, status, text);
  engine_reply r = {.http_status = status, .json = true, .p = b.p, .len = b.status ? 0 : b.len, .last = true};
  snprintf(r.code, sizeof r.code, "%d", status);
  give(s, r);
}

/* At the commit of what a run still has to decide: the accept acknowledgement; more only when nothing else is coming. */
static void at_commit(sender *s, const owed *p) {
  eng_answer *w = s->w;
  if (mode_is(w, "immediate")) send_code(s, "AA", false, true);
  else if (p->never_app) send_code(s, p->accept, false, true);
  else if (p->accept && !w->single && !w->committed) {
    w->committed = true;
    send_code(s, p->accept, false, false);
  }
}

static void at_end(sender *s, const owed *p) {
  eng_answer *w = s->w;
  bool answered = w->committed;
  if (w->single && p->enhanced) {
    if (p->app && s->o->body) send_body(s, false);
    else send_code(s, p->app ? p->app : p->accept, false, true);
    return;
  }
  if (p->accept && !answered) {
    send_code(s, p->accept, false, !p->app);
    answered = true;
  } else if (!p->app) send_code(s, NULL, answered, true); /* nothing is owed, or no more */
  if (p->app && s->o->body) send_body(s, answered);
  else if (p->app) send_code(s, p->app, answered, true);
}

static void note_commit(sender *s) {
  if (!s->w->commits || s->w->noted || !s->o->input) return;
  s->w->noted = true;
  give(s, (engine_reply){.commit = true, .stored = true});
}

void eng_answer_hl7(engine *e, eng_answer *w, const void *in, size_t in_len, const eng_outcome *o) {
  sender s = {.e = e, .w = w, .o = o, .in = in, .in_len = in_len};
  hl7_head h;
  if (w->done) return;
  arena_init(&s.a, e->mem, 0);
  bool has_head = !hl7_head_read((const char *)in, in_len, &h, NULL);
  if (has_head) s.head = &h;
  note_commit(&s);
  if (w->http && o->http) send_problem(&s, o->http, o->text);
  else if (w->http && !has_head) send_problem(&s, 400, o->text);
  else if (!has_head && w->l && !strcmp(w->l->o->unparseable, "close")) give(&s, (engine_reply){.last = true, .close = true});
  else {
    owed p = plan(w, has_head ? &h : NULL, (const char *)in, in_len, o);
    if (o->final) at_end(&s, &p);
    else at_commit(&s, &p);
  }
  arena_free(&s.a);
}

/* ---- JSON --------------------------------------------------------------------------------------------------------------------- */

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

static void put_id(buf *b, uint64_t id) {
  char digits[20], *p = digits + sizeof digits;
  do *--p = (char)('0' + id % 10);
  while (id /= 10);
  buf_puts(b, "{\"id\":\"");
  buf_put(b, p, (size_t)(digits + sizeof digits - p));
  buf_puts(b, "\"}");
}

/* HTTP status of a verdict's code: its own when it is one. */
static int status_of(const char *code) {
  if (code[0] >= '1' && code[0] <= '5' && strlen(code) == 3) return (int)strtol(code, NULL, 10);
  static const int of[] = {[HL7_OK] = 202, [HL7_ERROR] = 503, [HL7_REJECT] = 422};
  return of[outcome_of(code)];
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
  } else if (status < 300) put_id(&b, o->input);
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

eng_answer eng_answer_for(engine *e, const engine_source *src, bool in_batch, engine_reply_cb cb, void *user) {
  bool http = src->path != NULL;
  return (eng_answer){.cb = cb, .user = user, .l = eng_listener_find(e, src->listener), .single = in_batch || http, .http = http && !in_batch, .commits = src->commits};
}

void eng_answer_refusal(engine *e, const eng_answer *to, const void *in, size_t in_len, const eng_refusal *r) {
  char err[8];
  uint8_t salt[REC_HASH];
  eng_answer w = *to;
  snprintf(err, sizeof err, "%u", r->error);
  io_random(e->io, salt, sizeof salt);
  e->st.refused++;
  if (w.l) w.l->refused++;
  eng_outcome o = {.code = r->code, .error = err, .text = r->text, .time_us = io_wall_us(e->io), .content_hash = salt, .final = true, .http = r->http};
  eng_answer_hl7(e, &w, in, in_len, &o);
}

void eng_answer_status(engine *e, engine_reply_cb cb, void *user, int status, const char *text) {
  char code[8];
  snprintf(code, sizeof code, "%d", status);
  eng_answer w = {.cb = cb, .user = user};
  eng_outcome o = {.code = code, .error = "", .text = text, .time_us = io_wall_us(e->io), .final = true};
  eng_answer_json(e, &w, &o);
}
