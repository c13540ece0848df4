/* What a sender hears, and what is done, when the memory or the state fails anywhere between a message's bytes and its record: either the answer is the right one,
 * or it says that the message is to come again; and then it is done, once. */
#include "walk_rig.h"
#include "points.h"

#define EXPECT(x, p, want, id, pid3, rest) assert_string_equal(ack_codes(x, ack_say(x, p, ack_adt(x, id, pid3, rest))), want)

typedef struct kept {
  engine_reply r;
  char text[600];
  unsigned n;
} kept;
static void keep(void *user, const engine_reply *r) {
  kept *k = (kept *)user;
  if (r->commit) return;
  k->n++, k->r = *r;
  snprintf(k->text, sizeof k->text, "%.*s", (int)r->len, r->len ? (const char *)r->p : "");
}

static kept give_bytes(ackrig *x, const char *m, int64_t us) {
  kept *k = (kept *)arena_zalloc(&x->p->a, 1, sizeof *k); /* answers may come later than we wait */
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  engine_submit_hl7(x->p->e, &src, m, strlen(m), keep, k);
  if (walk.get) (void)walk_end(x);
  prog_run_for(x->p, us);
  return *k;
}
static const char *message(ackrig *x, const char *id) {
  char t[400];
  int n = snprintf(t, sizeof t, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|%s|P|2.5.1\rPID|1||%s^^^HOSP^MR||SMITH^JOHN\r", id, id);
  return arena_dup(&x->p->a, t, (size_t)n);
}

/* ---- every step of the way ------------------------------------------------------------------------------------------------------------ */

#define HEAD "hdw 1\nlistener adt = mllp()\nconnection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
static const char once_program[] =
    HEAD
    "workflow admit on msg = adt.message(types: ['ADT^A01']) once by msg.PID-3.idNumber within 1 hour {\n"
    "  send crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "}\n";
static const char once_after[] =
    HEAD
    "workflow admit on msg = adt.message(types: ['ADT^A01']) once by msg.PID-3.idNumber within 1 hour ack after run within 5 seconds else AE {\n"
    "  step x = crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "  return 1\n"
    "}\n";
static const char replies[] =
    HEAD
    "workflow admit on msg = adt.message(types: ['ADT^A01']) ack after run within 5 seconds else AE {\n"
    "  step x = crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "  reply(msg)\n"
    "}\n";

typedef enum fate { NEW, DONE, DEAD, LATE } fate;
typedef struct scene {
  const char *name, *program, *options;
  fate first;                /* what became of the message when it came the first time */
  unsigned calls;            /* that are still to be made */
} scene;

static void prepare(ackrig *x, const scene *s, const char *m) {
  x->status = s->first == DEAD ? 422 : 0;
  x->delay_us = s->first == LATE ? 8000000 : 0;
  if (s->first != NEW) {
    kept k = give_bytes(x, m, s->first == LATE ? 6000000 : 1000000);
    assert_string_equal(k.r.code, s->first == DONE ? "AA" : "AE");
  }
  x->status = 0;
}

static bool one_failure(ackrig *x, const scene *s, walk_how how, long at) {
  char id[40];
  snprintf(id, sizeof id, "%s-%d-%ld", s->name, (int)how, at);
  const char *m = message(x, id);
  prepare(x, s, m);
  unsigned before = x->calls;
  walk_begin(x, how, at);
  kept first = give_bytes(x, m, 10000000);
  bool reached = walk.n > walk.at;
  memset(&walk, 0, sizeof walk);
  bool taken = !strcmp(first.r.code, "AA");
  if (first.n != 1 || !first.r.last || (!taken && strcmp(first.r.code, "AE"))) fail_msg("%s: %u answers, '%s'", id, first.n, first.r.code);
  if (taken && x->calls != before + s->calls) fail_msg("%s: taken, and %u calls", id, x->calls - before);
  kept again = give_bytes(x, m, 10000000);
  if (again.n != 1 || strcmp(again.r.code, "AA")) fail_msg("%s: '%s' when it came again", id, again.text);
  if (x->calls != before + s->calls) fail_msg("%s: %u calls instead of %u", id, x->calls - before, s->calls);
  if (taken && first.r.len && strcmp(first.text, again.text)) fail_msg("%s: '%s' and then '%s'", id, first.text, again.text);
  return reached;
}

static void test_H13_H40_whatever_fails_on_the_way_the_answer_is_right_and_nothing_is_done_twice(void **state) {
  (void)state;
  static const scene scenes[] = {
      {"new", once_program, "\"echo_of\":[\"crm\"]", NEW, 1}, {"done", once_program, "", DONE, 0},  {"dead", once_after, "", DEAD, 1},
      {"late", once_after, "", LATE, 0},                    {"reply", replies, "", DONE, 0}};
  for (unsigned i = 0; i < sizeof scenes / sizeof *scenes; i++)
    for (walk_how how = 0; how < WALK_HOWS; how++) {
      ackrig *x = ack_new(scenes[i].program, scenes[i].options, "");
      long at = 0;
      while (one_failure(x, &scenes[i], how, at)) at++;
      if (at < 5) fail_msg("%s: %ld places", scenes[i].name, at);
      ack_free(x);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H13_H40_whatever_fails_on_the_way_the_answer_is_right_and_nothing_is_done_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
