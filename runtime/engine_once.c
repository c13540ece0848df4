/* engine_once.c - once by KEY within TIME: one run for a key, whatever the messages look like.
 *
 * Named state "once": key = hex of hash(workflow, key), value = {input id, until}. Appended with the verdict, so a key is taken exactly when its
 * input is. Keys that are on their way to the disk are kept in a list: two messages in one breath are seen too. A further attempt of the same
 * input finds its own key and goes on. */
#include "engine_int.h"

typedef struct eng_once {
  struct eng_once *next;
  char key[REC_HASH + 1];
  uint64_t seq;
} eng_once;

typedef struct taken { uint64_t input; int64_t until_us; } taken;

static bool is_taken(engine *e, const char *key, uint64_t input) {
  for (const eng_once *o = e->once; o; o = o->next)
    if (!strcmp(o->key, key)) return true;
  arena a;
  cod_str v;
  taken t;
  arena_init(&a, e->mem, 65536);
  bool found = !store_get_named(e->store, cod_cstr("once"), cod_cstr(key), &a, &v) && v.len == sizeof t;
  if (found) memcpy(&t, v.p, sizeof t);
  arena_free(&a);
  return found && t.until_us > io_wall_us(e->io) && (!input || t.input != input);
}

void eng_once_filter(engine *e, eng_verdict *v, uint64_t input) {
  for (uint32_t i = 0; i < v->n; i++) {
    eng_want *w = &v->wants[i];
    if (!w->run || !w->once[0] || !is_taken(e, w->once, input)) continue;
    w->run = w->reply = false; /* accepted, and nothing happens again */
    w->once[0] = 0;
    e->st.once++;
  }
}

static void on_durable(engine *e, hdw_status s, const log_rec *rec, void *user) {
  (void)s, (void)rec;
  for (eng_once **at = &e->once; *at; at = &(*at)->next)
    if (*at == user) {
      *at = (*at)->next;
      eng_put(e, user, sizeof(eng_once));
      return;
    }
}

void eng_once_record(engine *e, const eng_verdict *v, uint64_t input) {
  for (uint32_t i = 0; v && i < v->n; i++) {
    const eng_want *w = &v->wants[i];
    if (!w->run || !w->once[0]) continue;
    eng_once *o = (eng_once *)eng_get(e, sizeof *o);
    if (!o) continue;
    memcpy(o->key, w->once, sizeof o->key);
    taken t = {input, w->once_until_us};
    rec_put r = {.space = cod_cstr("once"), .key = cod_cstr(o->key)};
    cod_w cw = eng_writer(e);
    if (rec_put_named(&cw, &r) || eng_append_rec(e, REC_PUT, &cw, &t, sizeof t, on_durable, o, &o->seq)) {
      eng_put(e, o, sizeof *o);
      continue;
    }
    o->next = e->once;
    e->once = o;
  }
}

void eng_once_close(engine *e) {
  while (e->once) {
    eng_once *o = e->once;
    e->once = o->next;
    eng_put(e, o, sizeof *o);
  }
}
