/* engine_pending.c - who waits for which input's answer. */
#include "engine_int.h"

/* ---- pending answers ------------------------------------------------------------------------------------------------------------ */

static unsigned slot_of(const char *key, uint32_t len) {
  uint32_t h = 2166136261u;
  for (uint32_t i = 0; i < len; i++) h = (h ^ (uint8_t)key[i]) * 16777619u;
  return h % ENG_HASH;
}

eng_pending *eng_pending_find(const eng_message *m, bool *other) {
  for (eng_pending *p = m->e->pending_hash[slot_of(m->key, m->key_len)]; p; p = p->hash_next) {
    if (p->key_len != m->key_len || memcmp(p->key, m->key, m->key_len) != 0) continue;
    if (eng_content_is(p->content_hash, m)) return p;
    *other = true;
  }
  return NULL;
}

eng_pending *eng_pending_by_input(engine *e, uint64_t input) {
  for (eng_pending *p = e->pending; p; p = p->next)
    if (p->input == input) return p;
  return NULL;
}

eng_pending *eng_pending_new(engine *e, const char *key, uint32_t len, bool hl7, const void *bytes, size_t bytes_len) {
  size_t alloc = sizeof(eng_pending) + len + bytes_len;
  eng_pending *p = (eng_pending *)e->mem->get(e->mem, alloc);
  if (!p) return NULL;
  memset(p, 0, sizeof *p);
  p->e = e, p->hl7 = hl7, p->alloc = alloc;
  p->bytes = (uint8_t *)(p + 1), p->len = bytes_len;
  if (bytes_len) memcpy(p->bytes, bytes, bytes_len);
  if (len) {
    p->key = (char *)p->bytes + bytes_len, p->key_len = len, p->slot = slot_of(key, len);
    memcpy(p->key, key, len);
    p->hash_next = e->pending_hash[p->slot];
    e->pending_hash[p->slot] = p;
  }
  p->next = e->pending;
  if (e->pending) e->pending->prev = p;
  e->pending = p;
  return p;
}

bool eng_pending_join(eng_pending *p, const eng_message *m, bool joined) {
  eng_answer *w = (eng_answer *)eng_get(p->e, sizeof *w);
  if (!w) return false;
  *w = m->answer;
  w->joined = joined;
  eng_answer **at = &p->answers;
  while (*at) at = &(*at)->next;
  *at = w;
  if (p->waiting && p->input && p->armed && p->hl7) { /* it is stored already: what is owed for that goes out now */
    eng_outcome o = {.input = p->input, .code = "AA", .error = "", .text = "", .time_us = p->time_us, .content_hash = p->content_hash};
    eng_answer_hl7(p->e, w, p->bytes, p->len, &o);
  }
  return true;
}

void eng_pending_free(eng_pending *p) {
  engine *e = p->e;
  io_timer_cancel(e->io, &p->deadline);
  if (p->key_len) {
    eng_pending **at = &e->pending_hash[p->slot];
    while (*at != p) at = &(*at)->hash_next;
    *at = p->hash_next;
  }
  if (p->prev) p->prev->next = p->next;
  else e->pending = p->next;
  if (p->next) p->next->prev = p->prev;
  for (eng_answer *w = p->answers, *n; w; w = n) {
    n = w->next;
    eng_put(e, w, sizeof *w);
  }
  eng_put(e, p, p->alloc);
}

/* The deadline of ack after run: whoever waits gets the else answer; the run goes on and its outcome is stored when it ends. */
static void on_deadline(void *user) {
  eng_pending *p = (eng_pending *)user;
  eng_outcome o = {.input = p->input, .code = p->hl7 ? p->ack_else : "504", .error = strcmp(p->ack_else, "AA") ? "207" : "", .text = "The deadline for the answer has passed",
                   .time_us = io_wall_us(p->e->io), .content_hash = p->content_hash, .final = true, .waited = true};
  eng_answer_all(p, &o);
  eng_pending_free(p);
}

void eng_pending_wait(eng_pending *p, const meta_workflow *wf) {
  p->waiting = true;
  memcpy(p->ack_else, wf->ack_else, sizeof p->ack_else);
  p->within_us = wf->ack_within_us ? wf->ack_within_us : 30000000;
}

void eng_pending_arm(eng_pending *p) {
  p->armed = true;
  io_timer_set(p->e->io, &p->deadline, p->within_us, on_deadline, p);
}

