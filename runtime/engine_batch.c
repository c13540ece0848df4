/* engine_batch.c - batches and files of messages (H-43 .. H-45): every message is an input of its own, the answer is one.
 *
 * What is answered: `all` a batch of acknowledgements for each batch, `errors` such a batch with the negative ones only (none at all: everything is
 * accepted), `messages` every acknowledgement by itself. Messages outside of a BHS are always answered one by one. A transport commit is given once,
 * when every message is stored. */
#include "engine_int.h"
#include "points.h"

typedef struct item {
  struct eng_batch *b;
  hl7_slice ack;
  uint32_t batch;            /* number of its BHS, 0 = none */
  bool negative, stored;
} item;
typedef struct eng_batch {
  struct eng_batch *next;
  engine *e;
  arena a;
  eng_listener *l;
  hl7_batch *b;              /* of the copy in a */
  item *items;
  uint32_t n, open, waiting; /* messages; without their answer; whose storing is not yet known */
  bool building, refused, response, lost; /* lost: an answer had no memory */
  bool commits, http;
  engine_reply_cb cb;
  void *user;
} batch;

static bool mode_is(const batch *b, const char *mode) { return !strcmp(b->l ? b->l->o->batch_ack : "all", mode); }

/* H-44: BHS-12 set: this is the answer to a batch of ours. It is never answered (H-17). */
static bool is_response(engine *e, const hl7_batch *b) {
  bool found = false;
  arena a;
  arena_init(&a, e->mem, 0);
  for (uint32_t i = 0; i < b->nparts && !found; i++) {
    hl7_msg *m;
    if (b->parts[i].kind == HL7_PART_BHS && !hl7_parse(&a, b->bytes + b->parts[i].off, b->parts[i].len, NULL, &m, NULL)) found = hl7_field_raw(m, 0, 12).len > 0;
  }
  arena_free(&a);
  return found;
}

static void one_by_one(batch *b) {
  uint32_t left = 0, sent = 0;
  for (uint32_t i = 0; i < b->n; i++) left += b->items[i].ack.len > 0;
  if (!left) b->cb(b->user, &(engine_reply){.http_status = 200, .last = true});
  for (uint32_t i = 0; i < b->n; i++) {
    hl7_slice s = b->items[i].ack;
    if (!s.len) continue;
    left--;
    b->cb(b->user, &(engine_reply){.http_status = 200, .p = s.p, .len = s.len, .extra = sent++ > 0, .last = !left});
  }
}

/* The answers of one BHS (0: of the messages outside of any). */
static void put_group(batch *b, uint32_t k, buf *out) {
  hl7_slice *acks = (hl7_slice *)arena_zalloc(&b->a, b->n + 1, sizeof *acks), made;
  unsigned n = 0;
  uint32_t owed = 0;
  b->lost |= !acks;
  for (uint32_t i = 0; acks && i < b->n; i++) {
    const item *it = &b->items[i];
    if (it->batch != k || !it->ack.len) continue;
    owed++;
    if (k == 0 || !mode_is(b, "errors") || it->negative) acks[n++] = it->ack;
  }
  if (k == 0) {
    for (unsigned i = 0; i < n; i++) buf_put(out, acks[i].p, acks[i].len);
    return;
  }
  uint32_t have = 0;
  for (uint32_t i = 0; i < b->n; i++) have += b->items[i].batch == k;
  if (!acks || (have && !owed)) return; /* nobody wants an answer */
  char id[2 * 10 + 1];
  uint8_t rnd[10];
  tm_val now;
  tm_from_unix_us(io_wall_us(b->e->io), 0, &now);
  io_random(b->e->io, rnd, sizeof rnd);
  eng_hex(rnd, sizeof rnd, id);
  hdw_status s = hl7_batch_ack(&b->a, b->b, k, acks, n, id, &now, &made);
  if (!s) buf_put(out, made.p, made.len);
  b->lost |= s == HDW_E_NOMEM;
}

static void batch_free(batch *b) {
  struct eng_batch **at = &b->e->batches;
  while (*at != b) at = &(*at)->next;
  *at = b->next;
  arena_free(&b->a);
  eng_put(b->e, b, sizeof *b);
}

void eng_batch_close(engine *e) {
  while (e->batches) batch_free(e->batches);
}

/* An answer that says less than there is to say would be taken for consent: there is none, and the sender comes again. */
static void no_answer(batch *b) {
  if (b->http) eng_answer_status(b->e, b->cb, b->user, 503, "Out of memory");
  else b->cb(b->user, &(engine_reply){.last = true, .close = true});
}

static void batch_done(batch *b) {
  if (b->response) b->cb(b->user, &(engine_reply){.http_status = 200, .last = true});
  else if (b->lost) no_answer(b);
  else if (mode_is(b, "messages") && !b->http) one_by_one(b);
  else {
    buf out;
    buf_init(&out, &b->a, 64 << 20);
    for (uint32_t i = 0; mode_is(b, "messages") && i < b->n; i++) buf_put(&out, b->items[i].ack.p, b->items[i].ack.len);
    for (uint32_t k = 0; !mode_is(b, "messages") && k <= b->b->nbatches; k++) put_group(b, k, &out);
    if (b->lost || out.status) no_answer(b);
    else b->cb(b->user, &(engine_reply){.http_status = 200, .p = out.p, .len = out.len, .last = true});
  }
  batch_free(b);
}

/* Every message is stored, or one is not: the transport hears it once. */
static void note(batch *b) {
  if (--b->waiting == 0 && b->commits) b->cb(b->user, &(engine_reply){.commit = true, .stored = !b->refused});
}

static void on_item(void *user, const engine_reply *r) {
  item *it = (item *)user;
  batch *b = it->b;
  if (r->commit) {
    it->stored = true;
    note(b);
    return;
  }
  if (r->code[0] && !it->ack.len) { /* something is owed */
    char *p = r->len ? arena_dup(&b->a, r->p, r->len) : NULL;
    if (p) it->ack = (hl7_slice){p, (uint32_t)r->len};
    else b->lost = true;
    it->negative = r->code[0] && strcmp(r->code + 1, "A") != 0;
  }
  if (!r->last) return;
  if (!it->stored) {
    b->refused = true;
    note(b);
  }
  if (--b->open == 0 && !b->building) batch_done(b);
}

static void submit_parts(batch *b, const engine_source *src, const char *bytes, bool wrong) {
  engine *e = b->e;
  engine_source s = *src;
  s.commits = true;
  b->building = true;
  b->open = b->waiting = b->n;
  for (uint32_t i = 0, k = 0; i < b->b->nparts && k < b->n; i++) {
    const hl7_part *part = &b->b->parts[i];
    if (part->kind != HL7_PART_MESSAGE) continue;
    item *it = &b->items[k++];
    *it = (item){.b = b, .batch = part->batch};
    if (wrong || (HDW_BROKEN("batch.short") && k > 1 && k == b->n)) {
      eng_answer w = eng_answer_for(e, &s, true, on_item, it);
      eng_answer_refusal(e, &w, bytes + part->off, part->len, &(eng_refusal){wrong ? "AE" : "AA", 100, "The counts in the batch trailers are wrong", 0});
    } else eng_submit_message(e, &s, bytes + part->off, part->len, true, on_item, it);
  }
  if (!b->n && b->commits) b->cb(b->user, &(engine_reply){.commit = true, .stored = true});
  b->building = false;
  if (!b->open) batch_done(b);
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

bool eng_submit_batch(engine *e, const engine_source *src, const void *p, size_t len, engine_reply_cb cb, void *user) {
  if (!maybe_batch((const char *)p, len)) return false;
  batch *b = (batch *)eng_get(e, sizeof *b);
  hdw_status s = b ? HDW_OK : HDW_E_NOMEM;
  if (b) {
    *b = (batch){.e = e, .cb = cb, .user = user, .l = eng_listener_find(e, src->listener), .commits = src->commits, .http = src->path != NULL, .next = e->batches};
    e->batches = b;
    arena_init(&b->a, e->mem, 0);
    const char *copy = arena_dup(&b->a, p, len);
    s = copy ? hl7_split(&b->a, copy, len, &b->b, NULL) : HDW_E_NOMEM;
    if (!s && !b->b->has_envelope && b->b->nmessages < 2) s = HDW_E_SYNTAX; /* a single message after all */
    if (!s) {
      b->n = b->b->nmessages;
      b->items = (item *)arena_zalloc(&b->a, b->n + 1, sizeof *b->items);
      b->response = is_response(e, b->b);
      bool wrong = b->b->counts_wrong;
      if (wrong) eng_say(e, ENGINE_WARN, "batch_counts_wrong", "listener", src->listener, NULL);
      if (wrong && b->l && !strcmp(b->l->o->batch_counts, "warn")) wrong = false;
      if (b->items) {
        submit_parts(b, src, copy, wrong);
        return true;
      }
      s = HDW_E_NOMEM;
    }
    batch_free(b);
  }
  if (s == HDW_E_SYNTAX) return false;
  eng_answer w = eng_answer_for(e, src, false, cb, user);
  eng_answer_refusal(e, &w, p, len, &(eng_refusal){"AE", 207, "The batch cannot be taken apart", 503});
  return true;
}
