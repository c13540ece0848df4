/* engine_echo.c - what we sent out and what comes back as an input (PROTOCOLS R-22): accepted, counted, and no run of it.
 *
 * A listener says whose echoes it may hear (`echo_of`). Before such a connection sends, marks of what leaves are recorded: MSH-3, 4, 10 of a message, its content
 * behind MSH (a partner may pass it on under an own id), a request's body, the idempotency key. An input that fits one of them within the window is an echo.
 * Marks lie in spaces of a day each, so that those of past days are found and taken away without looking at the others. */
#include <stdio.h>
#include "engine_int.h"

enum { MARKS = 3, MARK_TEXT = 2 * REC_LANE + META_MAX_NAME + 2, CHUNK = 256, DAYS_BACK = 400 };
#define DAY_US INT64_C(86400000000)
#define PRUNE_US INT64_C(3600000000)

typedef struct mark {
  char text[MARK_TEXT];      /* "SINK:32 hexadecimal digits" */
} mark;

static void mark_of(mark *m, const char *sink, char kind, const void *a, size_t an, const void *b, size_t bn) {
  uint8_t h[REC_HASH], k[REC_HASH];
  char hex[2 * REC_LANE + 1];
  cod_sha256(&kind, 1, a, an, k);
  cod_sha256(k, sizeof k, b, bn, h);
  eng_hex(h, REC_LANE, hex);
  snprintf(m->text, sizeof m->text, "%.*s:%s", META_MAX_NAME, sink, hex);
}

/* Marks of bytes that leave or come for one sink; key: idempotency key or NULL. */
static unsigned marks_of(const char *sink, const void *p, size_t len, const char *key, mark out[MARKS]) {
  hl7_head h;
  unsigned n = 0;
  const char *s = (const char *)p;
  if (len >= 3 && !memcmp(s, "MSH", 3) && !hl7_head_read(s, len, &h, NULL)) {
    const char *cr = (const char *)memchr(s, '\r', len);
    char id[700];
    int k = snprintf(id, sizeof id, "%.*s\n%.*s", (int)(h.app.len > 250 ? 250 : h.app.len), h.app.p, (int)(h.facility.len > 250 ? 250 : h.facility.len), h.facility.p);
    if (h.control_id.len) mark_of(&out[n++], sink, 'i', id, (size_t)k, h.control_id.p, h.control_id.len);
    if (cr && cr + 1 < s + len) mark_of(&out[n++], sink, 'c', "", 0, cr + 1, (size_t)(s + len - cr - 1));
  } else if (len) mark_of(&out[n++], sink, 'b', "", 0, p, len);
  if (key && key[0]) mark_of(&out[n++], sink, 'k', "", 0, key, strlen(key));
  return n;
}

static cod_str space_of(int64_t day, char out[32]) {
  int n = snprintf(out, 32, "echo:%lld", (long long)day);
  return cod_bytes(out, (size_t)n);
}

static bool heard_by(const eng_listener *l, const char *sink) {
  for (uint32_t i = 0; l->o && i < l->o->echo_of.n; i++)
    if (!strcmp(l->o->echo_of.v[i], sink)) return true;
  return false;
}

static uint64_t short_of(const mark *m) {
  uint64_t x = 1469598103934665603u;
  for (const char *p = m->text; *p; p++) x = (x ^ (uint8_t)*p) * 1099511628211u;
  return x | 1;
}

void eng_echo_sends(eng_call *call, const void *p, size_t len) {
  engine *e = call->e;
  mark m[MARKS];
  char space[32], when[24];
  bool wanted = false;
  for (uint32_t i = 0; i < e->nlisteners && !wanted; i++) wanted = !e->listeners[i].closing && heard_by(&e->listeners[i], call->c->name);
  if (!wanted) return;
  int64_t now = io_wall_us(e->io);
  int n = snprintf(when, sizeof when, "%lld", (long long)now);
  unsigned marks = marks_of(call->c->name, p, len, call->idem, m);
  for (unsigned i = 0; i < marks; i++) {
    uint64_t brief = short_of(&m[i]);
    e->echoes[brief % ENG_ECHOES].mark = brief, e->echoes[brief % ENG_ECHOES].at_us = now; /* an answer may be quicker than the disk */
    rec_put r = {.space = space_of(now / DAY_US, space), .key = cod_cstr(m[i].text)};
    cod_w w = eng_writer(e);
    if (!rec_put_named(&w, &r)) (void)eng_append_rec(e, REC_PUT, &w, when, (size_t)n, NULL, NULL, NULL);
  }
}

static bool known(engine *e, const mark *m, int64_t window_us) {
  int64_t now = io_wall_us(e->io);
  char space[32];
  cod_str v;
  arena a;
  uint64_t brief = short_of(m), slot = brief % ENG_ECHOES;
  bool found = e->echoes[slot].mark == brief && now - e->echoes[slot].at_us <= window_us;
  arena_init(&a, e->mem, 65536);
  for (int64_t day = now / DAY_US; !found && day >= (now - window_us) / DAY_US; day--) {
    hdw_status s = store_get_named(e->store, space_of(day, space), cod_cstr(m->text), &a, &v);
    e->unsure |= !eng_state_said(e, s);
    if (s) continue;
    int64_t at = 0;
    for (uint32_t i = 0; i < v.len && i < 18 && v.p[i] >= '0' && v.p[i] <= '9'; i++) at = at * 10 + (v.p[i] - '0');
    found = now - at <= window_us;
  }
  arena_free(&a);
  return found;
}

bool eng_echo_heard(eng_message *x, const void *p, size_t len, const char *key) {
  engine *e = x->e;
  mark m[MARKS];
  bool found = false;
  e->unsure = false;
  for (uint32_t i = 0; x->l && i < x->l->o->echo_of.n && !found; i++) {
    unsigned n = marks_of(x->l->o->echo_of.v[i], p, len, key, m);
    for (unsigned k = 0; k < n && !found; k++) found = known(e, &m[k], x->l->o->echo_window_ms * 1000);
  }
  if (!found) return false;
  e->st.echoes++;
  eng_message_verdict(x, INPUT_ACCEPTED, x->hl7 ? "AA" : "202", "", "An echo of what was sent from here: no run");
  return true;
}

/* ---- taking marks away ------------------------------------------------------------------------------------------------------------ */

typedef struct old_marks {
  engine *e;
  cod_str space;
  unsigned n;
} old_marks;
static bool old_one(cod_str key, cod_str value, void *user) {
  old_marks *o = (old_marks *)user;
  rec_put r = {.space = o->space, .key = key};
  cod_w w = eng_writer(o->e);
  (void)value;
  if (rec_put_named(&w, &r) || eng_append_rec(o->e, REC_PUT, &w, NULL, 0, NULL, NULL, NULL)) return false;
  return ++o->n < CHUNK;
}

static void on_prune(void *user) {
  engine *e = (engine *)user;
  int64_t longest = 0, today = io_wall_us(e->io) / DAY_US;
  unsigned n = 0;
  if (e->draining || e->failed || e->closing) return;
  for (uint32_t i = 0; i < e->nlisteners; i++)
    if (e->listeners[i].o && e->listeners[i].o->echo_of.n && e->listeners[i].o->echo_window_ms > longest) longest = e->listeners[i].o->echo_window_ms;
  int64_t keep = longest * 1000 / DAY_US + 1;
  for (int64_t day = today - keep - 1; day > today - DAYS_BACK - keep && !n; day--) {
    arena a;
    char space[32];
    arena_init(&a, e->mem, 0);
    old_marks o = {.e = e, .space = space_of(day, space)};
    (void)store_list_named(e->store, o.space, &a, old_one, &o);
    n = o.n;
    arena_free(&a);
  }
  io_timer_set(e->io, &e->echo_timer, n ? 1000000 : PRUNE_US, on_prune, e);
}

/* In the simulation only where echoes are listened for: an hourly timer is one more thing to step through. */
void eng_echo_start(engine *e) {
  bool wanted = !e->io->sim || e->o.daemon;
  for (uint32_t i = 0; i < e->o.config->nlisteners && !wanted; i++) wanted = e->o.config->listeners[i].o.echo_of.n > 0;
  if (wanted) io_timer_set(e->io, &e->echo_timer, 10000000, on_prune, e);
}
