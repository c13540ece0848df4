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

static const char beside[] =
    HEAD
    "workflow admit on msg = adt.message(types: ['ADT^A01']) ack after run within 5 seconds else AE {\n"
    "  step x = crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "  return 1\n"
    "}\n"
    "workflow other on msg = adt.message(types: ['ADT^A01']) { send crm.post('/y', body: { id: msg.PID-3.idNumber }) }\n";

typedef enum fate { NEW, DONE, DEAD, LATE, ECHO } fate; /* ECHO: it never came, but it went out from here */
typedef struct scene {
  const char *name, *program, *options;
  fate first;                /* what became of the message when it came the first time */
  unsigned calls;            /* that are still to be made */
} scene;

static void prepare(ackrig *x, const scene *s, const char *m) {
  x->status = s->first == DEAD ? 422 : 0;
  x->delay_us = s->first == LATE ? 8000000 : 0;
  if (s->first == ECHO) {
    eng_call out = {.e = x->p->e, .c = x->p->e->conns[0]};
    eng_echo_sends(&out, m, strlen(m));
    prog_run_for(x->p, 1000000);
    memset(x->p->e->echoes, 0, sizeof x->p->e->echoes); /* of an earlier life: only the state knows */
  } else if (s->first != NEW) {
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
      {"late", once_after, "", LATE, 0},                    {"reply", replies, "", DONE, 0},
      {"replied", replies, "", NEW, 1},
      {"beside", beside, "", DEAD, 1},                      {"echo", once_program, "\"echo_of\":[\"crm\"]", ECHO, 0}};
  for (unsigned i = 0; i < sizeof scenes / sizeof *scenes; i++)
    for (walk_how how = 0; how < WALK_HOWS; how++) {
      ackrig *x = ack_new(scenes[i].program, scenes[i].options, "");
      long at = 0;
      while (one_failure(x, &scenes[i], how, at)) at++;
      if (at < 5) fail_msg("%s: %ld places", scenes[i].name, at);
      ack_free(x);
    }
}

/* From its call's answer to the end of its run: whoever hears AA hears the whole reply, at once or when it comes again. */
static void test_H40_an_answer_after_the_run_is_whole_or_none(void **state) {
  (void)state;
  for (walk_how how = 0; how < WALK_UNREAD; how++) {
    ackrig *x = ack_new(replies, "", "");
    x->delay_us = 300000;
    bool reached = true;
    long at = 0;
    for (; reached; at++) {
      char id[24];
      snprintf(id, sizeof id, "R%d-%ld", (int)how, at);
      const char *m = message(x, id);
      unsigned before = x->calls;
      kept *k = (kept *)arena_zalloc(&x->p->a, 1, sizeof *k);
      engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
      engine_submit_hl7(x->p->e, &src, m, strlen(m), keep, k);
      prog_run_for(x->p, 200000);
      walk_begin(x, how, at);
      prog_run_for(x->p, 200000);
      reached = walk_end(x);
      memset(&walk, 0, sizeof walk);
      prog_run_for(x->p, 10000000);
      bool taken = !strcmp(k->r.code, "AA");
      if (k->n != 1 || (!taken && strcmp(k->r.code, "AE"))) fail_msg("%s: %u answers, '%s'", id, k->n, k->r.code);
      if (taken && k->r.len && !strstr(k->text, "SMITH")) fail_msg("%s: '%s'", id, k->text);
      kept again = give_bytes(x, m, 10000000);
      if (!strstr(again.text, "SMITH") || x->calls != before + 1) fail_msg("%s: %u calls, '%s' when it came again", id, x->calls - before, again.text);
    }
    assert_true(at > 3);
    ack_free(x);
  }
}

/* No head can be read: it is kept, and nobody has to send it again; without memory for the record it is to come again. */
static void test_H13_what_nobody_can_read_is_kept_or_refused_for_a_retry(void **state) {
  (void)state;
  long at = 0;
  bool reached = true;
  ackrig *x = ack_new(once_program, "", "");
  for (unsigned kept_ones = 0; reached; at++) {
    uint64_t before = ack_stored(x);
    walk_begin(x, WALK_ONE, at);
    kept k = give_bytes(x, at & 1 ? "hello" : "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|\"\"|P|2.5.1\rPID|1||1\r", 1000000);
    reached = walk.n > walk.at;
    memset(&walk, 0, sizeof walk);
    kept_ones += strcmp(k.r.code, "AR") == 0;
    if (k.n != 1 || ack_stored(x) != before + !strcmp(k.r.code, "AR") || (strcmp(k.r.code, "AR") && strcmp(k.r.code, "AE"))) fail_msg("at %ld: '%s'", at, k.r.code);
    if (!reached) assert_true(kept_ones > 0);
  }
  assert_true(at > 4);
  ack_free(x);
}

/* ---- repetitions ---------------------------------------------------------------------------------------------------------------------- */

static const char fails[] =
    HEAD
    "workflow admit on msg = adt.message(types: ['ADT^A01']) ack after run within 5 seconds else AE {\n"
    "  step x = crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "  fail('it cannot be')\n"
    "}\n";
static const char rejects[] =
    HEAD
    "workflow admit on msg = adt.message(types: ['ADT^A01']) ack after run within 5 seconds else AE {\n"
    "  step x = crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "  reject('AE', 'not now')\n"
    "}\n"
    "workflow other on msg = adt.message(types: ['ADT^A01']) { send crm.post('/y', body: { id: msg.PID-3.idNumber }) }\n"
    "workflow third on msg = adt.message(types: ['ADT^A01']) {\n"
    "  step x = crm.post('/z', body: { id: msg.PID-3.idNumber })\n"
    "  step y = crm.post('/z', body: { id: msg.PID-3.idNumber })\n"
    "  return 1\n"
    "}\n";
static const char commits[] =
    HEAD
    "workflow admit on msg = adt.message(types: ['ADT^A01']) { reject('CE', 'not now') }\n";

/* A run that ended with fail(...) is tried anew and is no dead letter any more; one that rejected runs again, and what was done beside it does not. */
static void test_H40_what_failed_or_said_not_now_runs_again_and_nothing_else(void **state) {
  (void)state;
  ackrig *x = ack_new(fails, "", "");
  peer *p = ack_connect(x, 2575);
  for (unsigned i = 1; i <= 3; i++) {
    EXPECT(x, p, "AE", "M1", "1", "");
    assert_int_equal(x->calls, i);
    assert_int_equal(prog_the_run(x->p, i - 1).state, RUN_FAILED);
    if (i > 1) assert_int_equal(prog_the_run(x->p, i - 2).state, RUN_DISCARDED);
  }
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(rejects, "", "");
  p = ack_connect(x, 2575);
  for (unsigned i = 1; i <= 3; i++) {
    EXPECT(x, p, "AE", "M1", "1", "");
    prog_run_for(x->p, 1000000);
    assert_int_equal(x->calls, 3 + i); /* the others' are made once */
  }
  x->delay_us = 2000000; /* the third workflow goes on while the first one has answered */
  unsigned before = x->calls;
  for (unsigned i = 0; i < 2; i++) {
    kept k = give_bytes(x, message(x, "M2"), 2500000);
    assert_string_equal(k.r.code, "AE");
  }
  prog_run_for(x->p, 10000000);
  assert_int_equal(x->calls, before + 2 + 1 + 2);
  assert_int_equal(ack_stored(x), 2);
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(commits, "", "");
  for (unsigned i = 0; i < 2; i++) {
    kept k = give_bytes(x, message(x, "M1"), 100000);
    assert_string_equal(k.r.code, "AE");
    assert_false(k.r.duplicate); /* a further attempt */
  }
  ack_free(x);
}

/* There are senders that know one id only. So many contents are compared, and what is older than those is taken as new. */
static void test_H40_one_id_for_many_messages(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  char pid[8];
  for (unsigned i = 0; i < 17; i++) {
    snprintf(pid, sizeof pid, "%u", i);
    EXPECT(x, p, "AA", "1", pid, "");
  }
  EXPECT(x, p, "AA", "1", "1", "");
  assert_int_equal(ack_stored(x), 17);
  EXPECT(x, p, "AA", "1", "0", "");
  assert_int_equal(ack_stored(x), 18);
  ack_hang_up(p);
  ack_free(x);
}

/* Twice in one breath: the second one waits for the same run, whether it is the first attempt or a further one. */
static void test_H40_twice_in_one_breath_before_it_is_stored(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  peer *p = ack_connect(x, 2575);
  char two[1200];
  const char *m = ack_adt(x, "M1", "1", "P|2.5.1|||AL|AL");
  snprintf(two, sizeof two, "%s%s", m, m);
  x->status = 422;
  assert_string_equal(ack_codes(x, ack_say(x, p, two)), "CA CA AE AE");
  assert_int_equal(x->calls, 1);
  x->status = 0;
  assert_string_equal(ack_codes(x, ack_say(x, p, two)), "CA CA AA AA");
  assert_int_equal(x->calls, 2);
  assert_int_equal(ack_stored(x), 1);
  ack_hang_up(p);
  ack_free(x);
}

/* At a listener that is not open (any more) it is known again, too, and waits for the run that is under way. */
static void test_H40_a_repetition_at_no_listener(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  x->delay_us = 8000000;
  (void)give_bytes(x, message(x, "M1"), 6000000);
  (void)give_bytes(x, message(x, "M2"), 100000);
  prog_restart(x->p); /* and nobody listens */
  prog_run_for(x->p, 100000);
  kept k = give_bytes(x, message(x, "M2"), 20000000);
  assert_string_equal(k.r.code, "AA");
  assert_true(k.r.duplicate);
  k = give_bytes(x, message(x, "M2"), 1000000);
  assert_string_equal(k.r.code, "AA");
  ack_free(x);
}

/* The state cannot be read, the verdict cannot be written: a further attempt is refused for a retry, and nothing begins. */
static void test_H40_a_further_attempt_that_cannot_be_looked_up_or_written(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  static char huge[40000];
  store_input old;
  x->status = 422;
  (void)give_bytes(x, message(x, "M1"), 1000000);
  prog_ids in = {.n = 0};
  (void)store_list_inputs(engine_store(x->p->e), 0, STORE_BY_TIME, cod_cstr(""), 0, false, 1, prog_take_id, &in);
  assert_int_equal(store_get_input(engine_store(x->p->e), 0, in.id[0], &x->p->a, &old), HDW_OK);
  memset(huge, 'x', sizeof huge - 1);
  for (int how = 0; how < 4; how++) {
    kept k = {.n = 0};
    engine_source src = {.listener = "adt", .path = how == 3 ? "/x" : NULL};
    const char *text = message(x, "M1");
    eng_answer w = eng_answer_for(x->p->e, &src, false, keep, &k);
    eng_message *m = eng_message_begin(x->p->e, &src, &w);
    meta_workflow wf = {.ack_within_us = 1000000, .ack_else = "AE"};
    m->p = text, m->len = strlen(text), m->hl7 = how < 3;
    eng_message_verdict(m, INPUT_FAILED, "AE", "207", how == 1 ? huge : "no");
    if (how >= 2) m->after = &wf, m->rec.verdict.state = INPUT_RUNNING; /* the run that is to answer is there already */
    if (how == 0) engine_store(x->p->e)->failed = HDW_E_IO;
    eng_message_again(m, &old);
    engine_store(x->p->e)->failed = HDW_OK;
    eng_message_end(m);
    prog_run_for(x->p, 1000000);
    assert_int_equal(k.n, 1);
    assert_string_equal(k.r.code, how < 2 ? "AE" : how == 2 ? "AA" : "");
    if (how == 3) assert_int_equal(k.r.http_status, 202);
  }
  assert_int_equal(x->calls, 1);
  ack_free(x);
}

/* The reply is read from the log. While the disk does not give it, the repetition comes again; what no memory of a run is enough for any more stays away. */
static void test_H40_a_reply_that_cannot_be_read(void **state) {
  (void)state;
  ackrig *x = ack_new(replies, "", "");
  kept first = give_bytes(x, message(x, "M1"), 1000000), k;
  assert_non_null(strstr(first.text, "ADT^A01|M1"));
  io_sim_fault(x->p->io, IO_SIM_PREAD, 1, HDW_E_IO, false);
  k = give_bytes(x, message(x, "M1"), 1000000);
  assert_string_equal(k.r.code, "AE");
  io_sim_fault(x->p->io, IO_SIM_PREAD, 0, HDW_OK, false);
  int64_t all = x->p->cfg.top.run_memory_bytes;
  unsigned refused = 0, plain = 0;
  for (int64_t room = 64; room < 6000; room += 32) {
    x->p->cfg.top.run_memory_bytes = room;
    k = give_bytes(x, message(x, "M1"), 100000);
    bool ack = strstr(k.text, "MSA|AA|M1") != NULL;
    refused += strcmp(k.r.code, "AE") == 0, plain += ack;
    if (strcmp(k.r.code, "AE") && !ack && strcmp(k.text, first.text)) fail_msg("%d bytes: %s", (int)room, k.text);
  }
  assert_true(refused && plain);
  x->p->cfg.top.run_memory_bytes = all;
  k = give_bytes(x, message(x, "M1"), 100000);
  assert_string_equal(k.text, first.text);
  assert_int_equal(x->calls, 1);
  ack_free(x);
}

/* The run says "not now". Without memory as it ends it says so later, or the time for an answer is over; it never becomes a "never", which would be final. */
static void test_H40_not_now_never_becomes_never(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  long at = 0;
  for (bool reached = true; reached; at++) {
    char t[300];
    int n = snprintf(t, sizeof t, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|S%ld|P|2.5.1\rPID|1||E^^^H\r", at);
    kept *k = (kept *)arena_zalloc(&x->p->a, 1, sizeof *k);
    engine_source src = {.listener = "adt"};
    engine_submit_hl7(x->p->e, &src, t, (size_t)n, keep, k);
    walk_begin(x, WALK_ONE, at);
    prog_run_for(x->p, 200000);
    reached = walk_end(x);
    memset(&walk, 0, sizeof walk);
    prog_run_for(x->p, 20000000);
    if (k->n != 1 || strcmp(k->r.code, "AE")) fail_msg("at %ld: %u answers, %s", at, k->n, k->text);
  }
  assert_true(at > 20);
  ack_free(x);
}

/* ---- the record ----------------------------------------------------------------------------------------------------------------------- */

/* What cannot be written is refused for a retry: no room for what is not on the disk yet, or more than a record holds. */
static void test_H13_a_record_that_cannot_be_written(void **state) {
  (void)state;
  enum { BIG = 15 << 20 };
  ackrig *x = ack_new(once_program, "", "");
  char *m = (char *)malloc(BIG + 1), name[200];
  kept k[6];
  memset(k, 0, sizeof k);
  memset(m, 'x', BIG);
  m[BIG] = 0;
  engine_source src = {.listener = "adt"};
  for (unsigned i = 0; i < 6; i++) {
    int n = snprintf(name, sizeof name, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|B%u|P|2.5.1\rPID|1||%u^^^H\rOBX|1|TX|", i, i);
    memcpy(m, name, (size_t)n);
    eng_submit_message(x->p->e, &src, m, BIG, false, keep, &k[i]);
  }
  unsigned full = 0;
  for (unsigned i = 0; i < 6; i++)
    if (k[i].n) assert_non_null(strstr(k[i].text, "MSA|AE")), assert_non_null(strstr(k[i].text, "No space is left")), full++;
  assert_in_range(full, 1, 3);
  prog_run_for(x->p, 1000000);
  for (unsigned i = 0; i < 6; i++) assert_int_equal(k[i].n, 1);
  free(m);
  assert_int_equal(ack_stored(x), 6 - full);
  memset(name, 'l', sizeof name);
  name[130] = 0;
  kept one = {.n = 0};
  src.listener = name;
  const char *text = message(x, "M1");
  engine_submit_hl7(x->p->e, &src, text, strlen(text), keep, &one);
  assert_string_equal(one.r.code, "AE");
  assert_int_equal(ack_stored(x), 6 - full);
  ack_free(x);
}

static void test_H37_a_character_set_that_nobody_knows_says_nothing(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  kept k = {.n = 0};
  engine_source src = {.listener = "adt", .charset = "klingon"};
  const char *m = "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|M1|P|2.5.1||||||UNICODE UTF-8\rPID|1||1^^^J\xC3\xB6\r";
  engine_submit_hl7(x->p->e, &src, m, strlen(m), keep, &k);
  prog_run_for(x->p, 1000000);
  assert_string_equal(k.r.code, "AA");
  assert_int_equal(x->calls, 1);
  val v;
  hl7_problem why;
  assert_int_not_equal(eng_input_value(x->p->e, &x->p->a, "", 0, &(eng_reading){.identity = NULL}, &v, &why), HDW_OK); /* retention took the bytes */
  ack_free(x);
}

/* reply(...) before any effect, and no word of when to acknowledge: the run answers, within half a minute. */
static void test_a_reply_without_an_ack_clause_has_half_a_minute(void **state) {
  (void)state;
  ackrig *x = ack_new(HEAD "workflow admit on msg = adt.message(types: ['ADT^A01']) {\n  if msg.PID-3.idNumber = 'Q' { reply(msg) }\n  step x = crm.post('/x', body: { id: 1 })\n}\n", "", "");
  kept k = give_bytes(x, message(x, "Q"), 1000000);
  assert_string_equal(k.r.code, "AA");
  assert_non_null(strstr(k.text, "ADT^A01|Q"));
  ack_free(x);
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

/* The outcome of the run could not be stored: nobody hears it (the process ends). */
static void test_an_answer_after_the_run_does_not_leave_without_its_record(void **state) {
  (void)state;
  ackrig *x = ack_new(replies, "", "");
  x->delay_us = 300000;
  kept *k = (kept *)arena_zalloc(&x->p->a, 1, sizeof *k);
  engine_source src = {.listener = "adt", .peer = "127.0.0.1:9"};
  const char *m = message(x, "S1");
  engine_submit_hl7(x->p->e, &src, m, strlen(m), keep, k);
  prog_run_for(x->p, 200000);
  io_sim_fault(x->p->io, IO_SIM_SYNC, 1, HDW_E_IO, true);
  io_sim_advance(x->p->io, 1000000);
  assert_true(!k->n || strcmp(k->r.code, "AA"));
  ack_free(x);
}

/* What a changed module could try: a reply that is no message, an outcome that is none, a reject without a code. */
static void test_H40_what_is_no_reply_gives_the_plain_answer(void **state) {
  (void)state;
  ackrig *x = ack_new(replies, "", "");
  arena *a = &x->p->a;
  hl7_slice out;
  hl7_node segment = {.level = HL7_SEG};
  assert_false(eng_reply_bytes(x->p->e, a, true, VM_REPLY, val_int(1), &out));
  assert_false(eng_reply_bytes(x->p->e, a, true, VM_REPLY, (val){.tag = VAL_HL7, .u.p = &segment}, &out));
  assert_false(eng_reply_bytes(x->p->e, a, false, VM_SKIP, val_int(1), &out));
  assert_true(eng_reply_bytes(x->p->e, a, false, VM_OUTCOME_NONE, val_int(1), &out) && out.len == 1);
  const char *code = "", *error, *text = "";
  assert_int_equal(eng_after_verdict(true, true, VM_REJECT, &code, &error, &text), INPUT_REJECTED);
  assert_string_equal(code, "AR");
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H13_H40_whatever_fails_on_the_way_the_answer_is_right_and_nothing_is_done_twice),
      cmocka_unit_test(test_H40_an_answer_after_the_run_is_whole_or_none),
      cmocka_unit_test(test_an_answer_after_the_run_does_not_leave_without_its_record),
      cmocka_unit_test(test_H40_what_is_no_reply_gives_the_plain_answer),
      cmocka_unit_test(test_H13_what_nobody_can_read_is_kept_or_refused_for_a_retry),
      cmocka_unit_test(test_H40_what_failed_or_said_not_now_runs_again_and_nothing_else),
      cmocka_unit_test(test_H40_one_id_for_many_messages),
      cmocka_unit_test(test_H40_twice_in_one_breath_before_it_is_stored),
      cmocka_unit_test(test_H40_a_repetition_at_no_listener),
      cmocka_unit_test(test_H40_a_further_attempt_that_cannot_be_looked_up_or_written),
      cmocka_unit_test(test_H40_a_reply_that_cannot_be_read),
      cmocka_unit_test(test_H40_not_now_never_becomes_never),
      cmocka_unit_test(test_H13_a_record_that_cannot_be_written),
      cmocka_unit_test(test_H37_a_character_set_that_nobody_knows_says_nothing),
      cmocka_unit_test(test_a_reply_without_an_ack_clause_has_half_a_minute),
      cmocka_unit_test(test_H3_a_frame_that_finds_no_memory_is_none),
      cmocka_unit_test(test_H4_white_space_between_frames_is_no_junk),
      cmocka_unit_test(test_H8_what_is_read_already_waits_while_the_listener_is_paused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
