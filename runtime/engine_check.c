/* engine_check.c - what a listener demands of a message before any workflow sees it: whole messages (H-45), processing ids (H-29), sequence numbers (H-30). */
#include <stdio.h>
#include <stdlib.h>
#include "engine_int.h"

enum { MAX_SEQUENCES = 4096 };

/* A part of a continued message is not a message. */
static bool whole(eng_message *m, const hl7_msg *msg) {
  uint32_t dsc = hl7_find(msg, HL7_NAME('D', 'S', 'C'), 0);
  bool query = m->head.type.len && m->head.type.p[0] == 'Q'; /* there DSC asks for more of an answer */
  bool part = m->head.continuation.len || hl7_find(msg, HL7_NAME('A', 'D', 'D'), 0) != HL7_NO_SEGMENT;
  if (!part && !query && dsc != HL7_NO_SEGMENT) part = hl7_field_raw(msg, dsc, 1).len > 0;
  if (part) eng_message_verdict(m, INPUT_REJECTED, "AR", m->head.continuation.len ? "200 MSH^1^14" : "200", "Continued messages (MSH-14, ADD, DSC) are not supported: send the message whole");
  return !part;
}

static bool processing(eng_message *m) {
  const config_list *allowed = &m->l->o->processing;
  hl7_slice s = m->head.processing;
  const char *comp = s.len ? (const char *)memchr(s.p, m->head.d.comp, s.len) : NULL;
  if (comp) s.len = (uint32_t)(comp - s.p);
  for (uint32_t i = 0; i < allowed->n; i++)
    if (strlen(allowed->v[i]) == s.len && !memcmp(allowed->v[i], s.p ? s.p : "", s.len)) return true;
  if (!allowed->n) return true;
  eng_message_verdict(m, INPUT_REJECTED, "AR", "202 MSH^1^11", "This listener does not take messages with this processing id");
  return false;
}

/* ---- the sequence number protocol ------------------------------------------------------------------------------------------------- */

struct eng_sequence {        /* what is expected next of one sender; it runs ahead of the store by what is on its way to the disk */
  struct eng_sequence *next;
  char *key;
  uint32_t key_len;
  int64_t expected;          /* 0 = any */
};

static struct eng_sequence *sequence_of(eng_listener *l, const eng_message *m) {
  engine *e = l->e;
  hl7_slice parts[] = {m->head.app, m->head.facility, m->head.to_app, m->head.to_facility};
  char key[REC_PATH_MAX - REC_NAME_MAX];
  const char *listener = eng_listener_root(e, l->name);
  size_t n = 0, total = strlen(listener);
  for (unsigned i = 0; i < 4; i++) total += 1 + parts[i].len;
  if (total > sizeof key) return NULL;
  memcpy(key, listener, n = strlen(listener));
  for (unsigned i = 0; i < 4; i++) {
    key[n++] = '\n';
    if (parts[i].len) memcpy(key + n, parts[i].p, parts[i].len);
    n += parts[i].len;
  }
  unsigned count = 0;
  for (struct eng_sequence *s = l->sequences; s; s = s->next, count++)
    if (s->key_len == n && !memcmp(s->key, key, n)) return s;
  int64_t next = 0;
  if (!eng_state_said(e, store_get_sequence(e->store, cod_bytes(key, n), &next))) return NULL;
  struct eng_sequence *s = count < MAX_SEQUENCES ? (struct eng_sequence *)arena_zalloc(&e->a, 1, sizeof *s) : NULL;
  if (!s || !(s->key = arena_dup(&e->a, key, n))) return NULL;
  s->key_len = (uint32_t)n;
  s->expected = next;
  s->next = l->sequences;
  return l->sequences = s;
}

/* Refused or answered with the number expected in MSA-4; -1 = any. */
static void expected(eng_message *m, const struct eng_sequence *s, uint8_t state, const char *code, const char *error, const char *text) {
  char t[ENG_CODE];
  snprintf(t, sizeof t, "%s #%lld", error, s->expected ? (long long)s->expected : -1LL);
  const char *keep = arena_dup(&m->a, t, strlen(t));
  eng_message_verdict(m, state, code, keep ? keep : "", text);
}

static bool sequence(eng_message *m) {
  char t[24], *end;
  hl7_slice f = m->head.sequence;
  if (!m->l->o->sequence || !f.len) return true; /* a sender that does not number takes no part */
  struct eng_sequence *s = sequence_of(m->l, m);
  snprintf(t, sizeof t, "%.*s", (int)(f.len < sizeof t ? f.len : sizeof t - 1), f.p);
  long long n = strtoll(t, &end, 10);
  if (!s || *end || end == t || f.len >= sizeof t || n < -1 || n > 2000000000) {
    eng_message_verdict(m, INPUT_REJECTED, "AE", "102 MSH^1^13", "The sequence number is none");
    return false;
  }
  if (n == 0) { /* the sender begins: it wants to know where we are; the message has no other content */
    expected(m, s, INPUT_ACCEPTED, "AA", "0", "");
    return false;
  }
  if (n > 0 && s->expected && n != s->expected) {
    expected(m, s, INPUT_REJECTED, "AE", "100 MSH^1^13", n < s->expected ? "The sequence number has been used" : "A message before this one is missing");
    return false;
  }
  s->expected = n > 0 ? n + 1 : 0;
  m->rec.sequence_key = cod_bytes(s->key, s->key_len);
  m->rec.sequence_next = s->expected;
  return true;
}

bool eng_check_message(eng_message *m, const hl7_msg *msg) { return whole(m, msg) && (!m->l || (processing(m) && sequence(m))); }
