/* What a sender hears, and what is done, when the memory or the state fails anywhere between a message's bytes and its record: either the answer is the right one,
 * or it says that the message is to come again; and then it is done, once. */
#include "walk_rig.h"
#include "mllp.h"

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

/* ---- frames --------------------------------------------------------------------------------------------------------------------------- */

/* Fed with these two pieces, there is no memory for what the second one asks for: an error, and nothing else comes of it. */
static void short_of_memory(const char *one, size_t one_len, const char *two, size_t two_len, size_t most) {
  test_mem m;
  mllp_decoder d;
  mllp_event ev;
  test_mem_init(&m);
  mllp_decoder_init(&d, &m.m, most, false);
  mllp_feed(&d, one, one_len);
  assert_int_equal(mllp_next(&d, &ev), HDW_E_AGAIN);
  m.fail_after = 0;
  mllp_feed(&d, two, two_len);
  assert_int_equal(mllp_next(&d, &ev), HDW_E_NOMEM);
  assert_int_equal(m.fail_after, -1);
  assert_int_equal(mllp_next(&d, &ev), HDW_E_AGAIN); /* dead */
  mllp_decoder_free(&d);
  assert_int_equal(m.live_bytes, 0);
}

static void test_H3_a_frame_that_finds_no_memory_is_none(void **state) {
  (void)state;
  static char big[30000], first[1026];
  memset(big, 'x', sizeof big);
  memset(first, 'x', sizeof first);
  first[0] = 0x0B, first[1025] = 0x1C; /* as much as is held at first */
  short_of_memory(LIT("\x0BMSH|"), big, sizeof big, 20000);
  short_of_memory(first, sizeof first, LIT("x"), 20000);
  big[5000] = 0x1C, big[5001] = '\r';
  short_of_memory(LIT("\x0BMSH|"), big, 5002, 20000);
}

static void test_H4_white_space_between_frames_is_no_junk(void **state) {
  (void)state;
  test_mem m;
  mllp_decoder d;
  mllp_event ev;
  test_mem_init(&m);
  mllp_decoder_init(&d, &m.m, 0, false);
  mllp_feed(&d, LIT(" \t\r\n\x01z~\x0Bx\x1C\r"));
  assert_int_equal(mllp_next(&d, &ev), HDW_OK);
  assert_true(ev.kind == MLLP_JUNK && ev.len == 3);
  assert_int_equal(mllp_next(&d, &ev), HDW_OK);
  assert_true(ev.kind == MLLP_FRAME && ev.len == 1);
  mllp_decoder_free(&d);
}

typedef struct pauser {
  mllp_listener *l;
  unsigned n;
} pauser;
static void pause_now(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  pauser *o = (pauser *)user;
  (void)from;
  o->n++;
  mllp_listener_pause(o->l, true);
  assert_int_equal(mllp_reply(o->l, t, p, len), HDW_OK);
}

/* Paused by its first frame, a connection that may have many open gives no second one before it goes on. */
static void test_H8_what_is_read_already_waits_while_the_listener_is_paused(void **state) {
  (void)state;
  rig r;
  peer p;
  io_addr a;
  pauser o = {.n = 0};
  rig_init(&r, false, 5);
  mllp_listener_opts lo = {.addr = loopback(), .frame = pause_now, .user = &o};
  assert_int_equal(mllp_listener_new(r.x, &lo, &o.l), HDW_OK);
  mllp_listener_addr(o.l, &a);
  peer_open(&p, &r, &a);
  peer_say(&p, LIT("\x0B" "1\x1C\r\x0B" "2\x1C\r\x0B" "3\x1C\r"));
  for (unsigned i = 1; i <= 3; i++) {
    rig_run(&r, 50000, NULL, NULL);
    assert_int_equal(o.n, i);
    mllp_listener_pause(o.l, false);
  }
  assert_int_equal(p.in_len, 12);
  peer_close(&p);
  mllp_listener_free(o.l);
  rig_free(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H13_H40_whatever_fails_on_the_way_the_answer_is_right_and_nothing_is_done_twice),
      cmocka_unit_test(test_H3_a_frame_that_finds_no_memory_is_none),
      cmocka_unit_test(test_H4_white_space_between_frames_is_no_junk),
      cmocka_unit_test(test_H8_what_is_read_already_waits_while_the_listener_is_paused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
