/* engine_in.c - HL7 inputs: a frame is one message or a batch of them; identify, parse, gate. */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"

/* ---- one message -------------------------------------------------------------------------------------------------------------------- */

/* Table 0357 as text. */
static const char *code_text(arena *a, uint16_t code) {
  char t[8];
  int n = snprintf(t, sizeof t, "%u", code);
  return code ? arena_dup(a, t, (size_t)n) : "";
}

static void patients(eng_message *m, const hl7_msg *msg) {
  uint32_t pid = hl7_find(msg, HL7_NAME('P', 'I', 'D'), 0);
  if (pid == HL7_NO_SEGMENT) return;
  for (uint32_t rep = 0; rep < REC_MAX_PATIENTS; rep++) {
    hl7_slice s = hl7_raw(msg, pid, 3, rep, 1, 1);
    if (!s.len) {
      if (rep) return;
      continue;
    }
    if (s.len <= REC_NAME_MAX) m->patients[m->npatients++] = (cod_str){s.p, s.len};
  }
}

static cod_str clip(hl7_slice s) { return (cod_str){s.p, s.len > REC_NAME_MAX ? REC_NAME_MAX : s.len}; }

static cod_str type_text(eng_message *m) {
  char *t = (char *)arena_alloc(&m->a, REC_NAME_MAX);
  if (!t) return cod_cstr("");
  int n = snprintf(t, REC_NAME_MAX, "%.*s%s%.*s", (int)(m->head.type.len > 50 ? 50 : m->head.type.len), m->head.type.p, m->head.event.len ? "^" : "",
                   (int)(m->head.event.len > 50 ? 50 : m->head.event.len), m->head.event.p);
  return cod_bytes(t, n > 0 ? (size_t)n : 0);
}

static bool make_key(eng_message *m) {
  const hl7_head *h = &m->head;
  hl7_slice parts[4] = {{m->src->listener, (uint32_t)strlen(m->src->listener)}, h->app, h->facility, h->control_id};
  return eng_message_key(m, parts, 4);
}

static void set_failure(eng_message *m, uint8_t state, const char *code, uint16_t error, const char *text) {
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
  if (!st) st = hl7_value(a, msg, out);
  if (st || !eng_sender_options(e, a, *out, &o)) return st;
  st = hl7_parse(a, s, len, &o, &msg, why); /* as its sender's declaration says */
  return st ? st : hl7_value(a, msg, out);
}

static void handle(eng_message *m) {
  engine *e = m->e;
  hl7_problem why = {0};
  val input;
  store_input old;
  bool again = false;
  hdw_status s = hl7_head_read((const char *)m->p, m->len, &m->head, &why);
  m->has_head = !s;
  if (m->has_head) {
    m->control_id = clip(m->head.control_id);
    m->sender = clip(m->head.app);
    m->type = type_text(m);
  }
  if (m->has_head && !make_key(m)) {
    eng_message_refuse(m, "AE", 207, "Out of memory");
    return;
  }
  if (m->has_head && eng_message_duplicate(m, &old, &again)) return;
  if (!m->has_head || !m->head.control_id.len) {
    set_failure(m, INPUT_FAILED, "AR", m->has_head ? 101 : why.code ? why.code : 100, m->has_head ? "MSH-10 is missing" : why.text);
    eng_message_commit(m);
    return;
  }
  hl7_opts o = {.schema = e->o.schema};
  hl7_msg *msg = NULL;
  s = hl7_parse(&m->a, (const char *)m->p, m->len, &o, &msg, &why);
  if (!s) s = hl7_value(&m->a, msg, &input);
  if (s == HDW_E_NOMEM) {
    eng_message_refuse(m, "AE", 207, "Out of memory");
    return;
  }
  if (s) set_failure(m, INPUT_FAILED, why.code >= 200 && why.code <= 203 ? "AR" : "AE", why.code ? why.code : 102, why.text);
  else {
    eng_verdict *v = (eng_verdict *)arena_alloc(&m->a, sizeof *v);
    if (!v) {
      eng_message_refuse(m, "AE", 207, "Out of memory");
      return;
    }
    patients(m, msg);
    eng_gate(e, &m->a, m->src, &m->head, input, v);
    eng_once_filter(e, v, again ? old.id : 0);
    m->gates = v;
    eng_verdict_record(e, &m->a, m->l, v, true, &m->v, &m->after);
  }
  if (again) eng_message_again(m, &old);
  else eng_message_commit(m);
}

static void submit_one(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user) {
  eng_message *m = (eng_message *)eng_get(e, sizeof *m);
  if (!m) {
    eng_answer_refusal(e, cb, user, p, len, "AE", 207, "Out of memory");
    return;
  }
  m->e = e, m->src = src, m->p = p, m->len = len, m->hl7 = true, m->cb = cb, m->user = user;
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
  const char *end = p + len;
  for (int i = 0; i < 2; i++)
    for (const char *at = p; (at = (const char *)memchr(at, i ? '\n' : '\r', (size_t)(end - at)));)
      if (end - ++at >= 3 && !memcmp(at, "MSH", 3)) return true;
  return false;
}

void engine_submit_hl7(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user) {
  if (!eng_may_accept(e)) {
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
