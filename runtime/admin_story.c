/* admin_story.c - one input in plain words: what happened, what waits for what, what can be done next. Without values. */
#include <stdarg.h>
#include <stdio.h>
#include "admin_int.h"
#include "json.h"

typedef struct story {
  admin_query *q;
  buf what, next;            /* JSON strings with commas between */
} story;

static void say(buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(buf *b, const char *fmt, ...) {
  char line[600];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  if (n < 0) return;
  if (b->len) buf_puts(b, ",");
  json_write_str(b, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

#define STR(s) (int)((s).len > 200 ? 200 : (s).len), (s).p ? (s).p : ""

/* "in 4 min", "now". */
static const char *in_time(admin *ad, int64_t at_us, char out[40]) {
  int64_t s = (at_us - io_wall_us(ad->io)) / 1000000;
  if (s <= 0) snprintf(out, 40, "now");
  else if (s < 120) snprintf(out, 40, "in %lld s", (long long)s);
  else if (s < 7200) snprintf(out, 40, "in %lld min", (long long)(s / 60));
  else snprintf(out, 40, "in %lld h", (long long)(s / 3600));
  return out;
}

static const char *advice(uint8_t fail_class) {
  switch (fail_class) {
  case FAIL_TRANSIENT: return "it was tried for as long as give_up_ms allows; when the other side is well again:";
  case FAIL_PERMANENT: return "the other side refuses it; when the cause is gone there or in the program:";
  case FAIL_DATA: return "the data or the program is at fault; correct the program (hdwvm deploy) or the data, then:";
  case FAIL_AMBIGUOUS: return "nobody knows whether the other side has it: look there first; then:";
  default: return "when the cause is gone:";
  }
}

/* Who stands before a queued run. */
static void lanes(story *s, const store_run *r) {
  engine *e = s->q->ad->e;
  for (unsigned i = 0; i < r->nlanes; i++) {
    uint64_t head = 0;
    uint8_t state = 0;
    store_run h;
    if (store_lane_head(e->store, ENG_PART, r->lanes[i], &head, &state) || head == r->id || store_get_run(e->store, ENG_PART, head, s->q->a, &h)) continue;
    say(&s->what, "run %llu waits behind run %llu (message %llu) of its lane (order by), which is %s", (unsigned long long)r->id, (unsigned long long)head,
        (unsigned long long)h.input, admin_run_state(h.state));
    if (h.state == RUN_DEAD || h.state == RUN_FAILED)
      say(&s->next, "run %llu holds the lane: hdwvm redrive %llu, or hdwvm discard %llu; its reasons: hdwvm message %llu", (unsigned long long)head, (unsigned long long)head,
          (unsigned long long)head, (unsigned long long)h.input);
    return;
  }
  say(&s->what, "run %llu of %.*s waits for its turn", (unsigned long long)r->id, STR(r->workflow));
}

static void connection(story *s, cod_str name) {
  const eng_conn *c = eng_conn_find(s->q->ad->e, name.p, name.len);
  if (!c) return;
  uint64_t n = store_depth(s->q->ad->e->store, ENG_PART, name);
  if (c->paused) {
    say(&s->what, "the connection %s is paused by an operator; %llu deliveries wait for it", c->name, (unsigned long long)n);
    say(&s->next, "let it go on: hdwvm resume %s", c->name);
  } else if (c->open) say(&s->what, "the breaker of %s is open after failures in a row; %llu deliveries wait", c->name, (unsigned long long)n);
  else if (n > 1) say(&s->what, "%llu deliveries wait for %s", (unsigned long long)n, c->name);
}

static bool delivery(uint16_t part, uint64_t id, uint8_t state, void *user) {
  story *s = (story *)user;
  store_delivery d;
  char when[40];
  unsigned long long n = id;
  (void)state;
  if (store_get_delivery(s->q->ad->e->store, part, id, s->q->a, &d)) return true;
  switch (d.state) {
  case DELIVERY_DELIVERED: say(&s->what, "delivery %llu (%.*s) was taken by %.*s at attempt %u", n, STR(d.operation), STR(d.sink), d.attempts); break;
  case DELIVERY_DISCARDED: say(&s->what, "delivery %llu to %.*s was given up by a person", n, STR(d.sink)); break;
  case DELIVERY_DEAD:
  case DELIVERY_PARKED:
    say(&s->what, "delivery %llu (%.*s to %.*s) is a dead letter after %u attempt%s: %.*s (%s)", n, STR(d.operation), STR(d.sink), d.attempts, d.attempts == 1 ? "" : "s", STR(d.error_text), admin_class(d.fail_class));
    say(&s->next, "delivery %llu: %s hdwvm redrive %llu --subject delivery", n, advice(d.fail_class), n);
    if (d.state == DELIVERY_PARKED) say(&s->next, "what is behind it waits; hdwvm skip-lane %.*s lets it go on", STR(d.sink));
    break;
  default:
    if (!d.attempts) say(&s->what, "delivery %llu waits for %.*s", n, STR(d.sink));
    else
      say(&s->what, "delivery %llu waits for %.*s: attempt %u failed (%.*s: %.*s), the next is %s", n, STR(d.sink), d.attempts, STR(d.error_code), STR(d.error_text),
          in_time(s->q->ad, d.next_us, when));
    connection(s, d.sink);
  }
  return true;
}

static bool run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  story *s = (story *)user;
  engine *e = s->q->ad->e;
  store_run r;
  char where[200], when[40];
  unsigned long long n = id;
  (void)state;
  if (store_get_run(e->store, part, id, s->q->a, &r)) return true;
  engine_where(e, r.module, r.file, r.line, r.column, where);
  const char *at = where[0] ? " at " : "";
  switch (eng_run_find(e, id) && r.state < RUN_PARKED ? (uint8_t)RUN_RUNNING : r.state) {
  case RUN_QUEUED: lanes(s, &r); break;
  case RUN_RUNNING: case RUN_WAITING: say(&s->what, "run %llu of %.*s is under way", n, STR(r.workflow)); break;
  case RUN_PARKED:
    say(&s->what, "run %llu of %.*s is put off (%s): %.*s; it goes on %s", n, STR(r.workflow), admin_class(r.fail_class), STR(r.reason), in_time(s->q->ad, r.wake_us, when));
    say(&s->next, "run %llu goes on by itself; at once: hdwvm redrive %llu", n, n);
    break;
  case RUN_DONE: say(&s->what, "run %llu of %.*s is done", n, STR(r.workflow)); break;
  case RUN_DISCARDED:
    if (cod_equal(r.reason, cod_cstr(ENG_SENT_AGAIN))) say(&s->what, "run %llu of %.*s failed, and another one took its place when the sender sent the message again", n, STR(r.workflow));
    else say(&s->what, "run %llu of %.*s was given up by a person", n, STR(r.workflow));
    break;
  default:
    say(&s->what, "run %llu of %.*s %s%s%s%s%.*s: %.*s: %.*s (%s)", n, STR(r.workflow), r.state == RUN_FAILED ? "ended with fail" : "is a dead letter", at, where, r.path.len ? ", step " : "",
        STR(r.path), STR(r.error_code), STR(r.reason), admin_class(r.fail_class));
    say(&s->next, "run %llu: %s hdwvm redrive %llu; or give it up: hdwvm discard %llu --reason TEXT", n, advice(r.fail_class), n, n);
  }
  (void)store_list_deliveries_of_run(e->store, part, id, delivery, s);
  return true;
}

void admin_story(admin_query *q, const store_input *in, bool *first) {
  story s = {.q = q};
  buf_init(&s.what, q->a, 1 << 20);
  buf_init(&s.next, q->a, 1 << 20);
  switch (in->state) {
  case INPUT_ACCEPTED: say(&s.what, "taken in and answered %.*s", STR(in->ack_code)); break;
  case INPUT_RUNNING: say(&s.what, "taken in; its answer comes when its run ends (ack after run)"); break;
  case INPUT_UNMATCHED:
    say(&s.what, "answered %.*s: no workflow wants a %.*s from %.*s", STR(in->ack_code), STR(in->type), STR(in->source));
    say(&s.next, "if it should be wanted: a trigger of a workflow must name this type and listener");
    break;
  case INPUT_REJECTED:
    say(&s.what, "answered %.*s by the program: %.*s", STR(in->ack_code), STR(in->text));
    say(&s.next, "the sender has been told; it sends a corrected message");
    break;
  default:
    say(&s.what, "answered %.*s (%.*s): %.*s", STR(in->ack_code), STR(in->error_code), STR(in->text));
    say(&s.next, "the sender has been told and keeps it; a resend is a further attempt");
  }
  (void)store_list_runs_of_input(q->ad->e->store, ENG_PART, in->id, run, &s);
  admin_key(q->b, first, "what");
  buf_puts(q->b, "[");
  if (s.what.len) buf_put(q->b, s.what.p, s.what.len);
  buf_puts(q->b, "]");
  admin_key(q->b, first, "next");
  buf_puts(q->b, "[");
  if (s.next.len) buf_put(q->b, s.next.p, s.next.len);
  buf_puts(q->b, "]");
}
