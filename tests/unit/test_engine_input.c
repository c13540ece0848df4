/* Resends, once-keys, batches and transport, on the wire (H-1 .. H-13, H-40, H-43, H-44). */
#include "engine_int.h"
#include "ack_rig.h"

#define EXPECT(x, p, want, id, pid3, rest) assert_string_equal(ack_codes(x, ack_say(x, p, ack_adt(x, id, pid3, rest))), want)

/* ---- resends ------------------------------------------------------------------------------------------------------------------------ */

static void test_H40_resends(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  const char *first = ack_say(x, p, ack_adt(x, "M1", "1", ""));
  assert_string_equal(ack_say(x, p, ack_adt(x, "M1", "1", "")), first);
  const char *rejected = ack_say(x, p, ack_adt(x, "M2", "R", ""));
  assert_string_equal(ack_say(x, p, ack_adt(x, "M2", "R", "")), rejected); /* AR is final */
  EXPECT(x, p, "AE", "M3", "E", "");
  EXPECT(x, p, "AE", "M3", "E", ""); /* AE may be tried again: the same input, a further attempt */
  assert_int_equal(ack_stored(x), 3);
  assert_int_equal(ack_info(x, "adt").duplicates, 2);
  EXPECT(x, p, "AA", "M1", "2", ""); /* other content: a new input, counted */
  assert_int_equal(ack_info(x, "adt").conflicts, 1);
  assert_int_equal(ack_stored(x), 4);
  const char *both[] = {ack_adt(x, "M5", "1", ""), ack_adt(x, "M5", "1", "")}; /* twice in one segment: joins */
  char two[1000];
  snprintf(two, sizeof two, "%s%s", both[0], both[1]);
  assert_string_equal(ack_codes(x, ack_say(x, p, two)), "AA AA");
  assert_int_equal(ack_stored(x), 5);
  assert_int_equal(x->calls, 3);
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(ack_program, "\"conflict\":\"reject\",\"duplicate_window_ms\":60000", "");
  p = ack_connect(x, 2575);
  EXPECT(x, p, "AA", "M1", "1", "");
  const char *got = ack_say(x, p, ack_adt(x, "M1", "2", ""));
  assert_non_null(strstr(got, "205^Duplicate key identifier"));
  prog_run_for(x->p, 61000000);
  EXPECT(x, p, "AA", "M1", "2", ""); /* the window is over */
  ack_hang_up(p);
  ack_free(x);
}

/* A batch holds two messages with one control id, and comes twice: each is the one that came before, whichever was the last one. */
static void test_H40_one_id_for_two_messages_that_come_again(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "", "");
  peer *p = ack_connect(x, 2575);
  char all[3000];
  const char *a = ack_adt(x, "M1", "1", ""), *b = ack_adt(x, "M1", "2", "");
  snprintf(all, sizeof all, "%s%s%s%s", a, b, a, b); /* under way still */
  assert_string_equal(ack_codes(x, ack_say(x, p, all)), "AA AA AA AA");
  assert_int_equal(ack_stored(x), 2);
  assert_string_equal(ack_codes(x, ack_say(x, p, all)), "AA AA AA AA"); /* stored */
  assert_int_equal(ack_stored(x), 2);
  assert_int_equal(ack_info(x, "adt").conflicts, 1);
  ack_hang_up(p);
  ack_restart(x);
  p = ack_connect(x, 2575);
  assert_string_equal(ack_codes(x, ack_say(x, p, all)), "AA AA AA AA"); /* of an earlier life */
  assert_int_equal(ack_stored(x), 2);
  ack_hang_up(p);
  ack_free(x);
}

static bool next_record(log_iter *it, log_rec *r) { return !log_iter_next(it, r); }

static void test_H40_answer_of_a_run_is_never_behind_its_end(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  peer *p = ack_connect(x, 2575);
  const char *answer = ack_say(x, p, ack_adt(x, "M1", "1", ""));
  assert_string_equal(ack_codes(x, answer), "AA");
  prog_run_for(x->p, 5000000);
  assert_string_equal(ack_say(x, p, ack_adt(x, "M1", "1", "")), answer); /* the same bytes */
  EXPECT(x, p, "AE", "M2", "E", ""); /* the run itself says so */
  EXPECT(x, p, "AE", "M2", "E", ""); /* and runs again for the resend */
  assert_int_equal(x->calls, 3);
  EXPECT(x, p, "AR", "M3", "R", "");
  EXPECT(x, p, "AR", "M3", "R", "");
  assert_int_equal(x->calls, 4);
  x->status = 422;
  EXPECT(x, p, "AE", "M4", "1", ""); /* it died */
  x->status = 0;
  EXPECT(x, p, "AA", "M4", "1", ""); /* a resend is a further attempt */
  EXPECT(x, p, "AA", "M4", "1", "");
  assert_int_equal(x->calls, 6);
  ack_hang_up(p);
  char dir[100];
  log_iter *it;
  log_rec rec;
  unsigned outcomes = 0, ends = 0;
  snprintf(dir, sizeof dir, "%s/log", x->p->dir);
  assert_int_equal(log_iter_open(x->p->io, dir, 0, &it), HDW_OK);
  while (next_record(it, &rec)) {
    outcomes += rec.type == REC_ACK_OUTCOME;
    ends += rec.type == REC_RUN_END;
    assert_true(outcomes >= ends);
  }
  log_iter_close(it);
  assert_int_equal(ends, 6);
  ack_free(x);
}

static void test_H40_discarded_run_gives_way_to_a_further_attempt(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  peer *p = ack_connect(x, 2575);
  x->status = 503;
  EXPECT(x, p, "", "M1", "1", "");
  prog_run_for(x->p, 6000000);
  assert_string_equal(ack_codes(x, p->in), "AE");
  assert_int_equal(engine_discard(x->p->e, SUBJECT_RUN, prog_the_run(x->p, 0).id, "test", "no", NULL, NULL), HDW_OK);
  prog_run_for(x->p, 60000000); /* the breaker opens again: how many attempts there were depends on chance */
  x->status = 0;
  EXPECT(x, p, "AA", "M1", "1", "");
  ack_hang_up(p);
  ack_free(x);
}

/* Sent back to work beside the run that took its place, it would do everything once more. */
static void test_H40_a_failed_run_is_no_dead_letter_once_the_sender_has_sent_again(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  peer *p = ack_connect(x, 2575);
  x->status = 422;
  EXPECT(x, p, "AE", "M1", "1", "");
  EXPECT(x, p, "AE", "M1", "1", "");
  assert_int_equal(prog_the_run(x->p, 0).state, RUN_DISCARDED);
  assert_int_equal(prog_the_run(x->p, 1).state, RUN_DEAD);
  x->status = 0;
  EXPECT(x, p, "AA", "M1", "1", "");
  assert_int_equal(x->calls, 3);
  assert_int_equal(prog_redrive_all(x->p), 0);
  prog_run_for(x->p, 1000000);
  assert_int_equal(x->calls, 3);
  ack_hang_up(p);
  ack_free(x);
}

/* However little memory there was when it was sent again. */
static void test_H40_no_dead_letter_stays_beside_the_run_in_its_place(void **state) {
  (void)state;
  long at = 0;
  for (bool failed = true; failed; at++) {
    ackrig *x = ack_new(after_program, "", "");
    peer *p = ack_connect(x, 2575);
    const char *m = ack_adt(x, "M1", "1", "");
    x->status = 422;
    ack_say(x, p, m);
    x->status = 0;
    unsigned before = x->calls;
    x->p->mem.fail_after = at, x->p->mem.fail_more = 3;
    ack_say(x, p, m);
    failed = x->p->mem.fail_more < 3;
    x->p->mem.fail_after = -1, x->p->mem.fail_more = 0;
    ack_hang_up(p);
    prog_run_for(x->p, 60000000);
    p = ack_connect(x, 2575);
    const char *said = ack_codes(x, ack_say_for(x, p, m, strlen(m), 6000000));
    if (strcmp(said, "AA")) fail_msg("at %ld: '%s'", at, said);
    (void)prog_redrive_all(x->p);
    prog_run_for(x->p, 10000000);
    if (x->calls != before + 1) fail_msg("at %ld: %u times", at, x->calls - before);
    ack_hang_up(p);
    ack_free(x);
  }
  assert_true(at > 20);
}

/* One of two workflows failed: only that one runs again, and only its run is no dead letter any more. */
static const char two_program[] =
    "hdw 1\n"
    "listener adt = mllp()\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "workflow answers on msg = adt.message(types: ['ADT^A01']) ack after run within 5 seconds else AE {\n"
    "  step x = crm.post('/x', body: { who: 'answers' })\n"
    "  return 1\n"
    "}\n"
    "workflow beside on msg = adt.message(types: ['ADT^A01']) {\n"
    "  step y = crm.post('/y', body: { who: 'beside' })\n"
    "  return 1\n"
    "}\n";
static engine_mock_verdict fails_for(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  ackrig *x = (ackrig *)p->user;
  (void)ack_world(p, f, a, out);
  bool one = x->calls <= 64 && strstr(x->bodies[x->calls - 1], x->delay_us == -1 ? "beside" : "answers") != NULL;
  out->delay_us = 0;
  out->status = one ? x->status : 0;
  return out->status ? MOCK_ERROR : MOCK_VALUE;
}

static void test_H40_a_further_attempt_runs_only_what_has_not_succeeded(void **state) {
  (void)state;
  ackrig *x = ack_new(two_program, "", "");
  peer *p = ack_connect(x, 2575);
  x->p->world = fails_for;
  x->status = 422;
  EXPECT(x, p, "AE", "M1", "1", "");
  prog_run_for(x->p, 1000000);
  assert_int_equal(x->calls, 2);
  x->status = 0;
  EXPECT(x, p, "AA", "M1", "1", "");
  prog_run_for(x->p, 1000000);
  assert_int_equal(x->calls, 3);
  assert_non_null(strstr(x->bodies[2], "answers"));
  EXPECT(x, p, "AA", "M1", "1", ""); /* and now it is a repetition */
  assert_int_equal(x->calls, 3);
  assert_int_equal(ack_stored(x), 1);
  assert_int_equal(prog_redrive_all(x->p), 0); /* nothing is left to be sent back to work */
  /* The other way round: what the answer came from has succeeded, so the resend is a repetition, and the failed one stays for the operator. */
  x->delay_us = -1, x->status = 422;
  EXPECT(x, p, "AA", "M2", "1", "");
  prog_run_for(x->p, 1000000);
  unsigned before = x->calls;
  x->status = 0;
  EXPECT(x, p, "AA", "M2", "1", "");
  prog_run_for(x->p, 1000000);
  assert_int_equal(x->calls, before);
  assert_int_equal(prog_redrive_all(x->p), 1);
  prog_run_for(x->p, 1000000);
  assert_int_equal(x->calls, before + 1);
  ack_hang_up(p);
  ack_free(x);
}

static void test_a_daemon_that_ends_while_senders_wait_gives_back_everything(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  peer *p = ack_connect(x, 2575);
  x->delay_us = 4000000;
  EXPECT(x, p, "", "M1", "1", "");
  engine_close(x->p->e);
  ack_hang_up(p);
  arena_free(&x->p->a);
  io_sim_free(x->p->io);
  assert_int_equal(x->p->mem.live_bytes, 0);
  char cmd[100];
  snprintf(cmd, sizeof cmd, "rm -rf %s", x->p->dir);
  assert_int_equal(system(cmd), 0);
  free(x->p);
  free(x);
}

static void test_H40_contents_are_known_again_by_their_mark(void **state) {
  (void)state;
  engine *e = (engine *)calloc(2, sizeof *e);
  eng_message m = {.e = &e[0], .heading = cod_cstr("POST /a\n"), .content = cod_cstr("body")}, old = m;
  uint8_t sha[REC_HASH];
  assert_non_null(e);
  memset(e[1].content_key, 7, sizeof e[1].content_key);
  eng_content_mark(&m);
  assert_true(eng_content_is(m.rec.content_hash, &m));
  old.e = &e[1]; /* another process */
  eng_content_mark(&old);
  assert_memory_not_equal(old.rec.content_hash, m.rec.content_hash, REC_HASH);
  assert_true(eng_content_is(old.rec.content_hash, &m));
  cod_sha256("POST /a\n", 8, "body", 4, sha); /* a record of before */
  assert_true(eng_content_is(sha, &m));
  m.content = cod_cstr("bodx");
  eng_content_mark(&m);
  assert_false(eng_content_is(old.rec.content_hash, &m) || eng_content_is(sha, &m));
  m.content = cod_cstr("body"), m.heading = cod_cstr("POST /b\n");
  eng_content_mark(&m);
  assert_false(eng_content_is(old.rec.content_hash, &m) || eng_content_is(sha, &m));
  free(e);
}

static const char once_program[] =
    "hdw 1\n"
    "listener adt = mllp()\n"
    "connection crm = rest(base: 'http://127.0.0.1:1', retry: retry(0))\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) once by msg.PID-3.idNumber within 1 hour {\n"
    "  send crm.post('/x', body: { id: msg.PID-3.idNumber })\n"
    "}\n";

static unsigned named(ackrig *x, const char *space);
static bool count_one(cod_str key, cod_str value, void *user) {
  (void)key, (void)value;
  ++*(unsigned *)user;
  return true;
}
static unsigned named(ackrig *x, const char *space) {
  unsigned n = 0;
  arena a;
  arena_init(&a, &x->p->mem.m, 0);
  (void)store_list_named(engine_store(x->p->e), cod_cstr(space), &a, count_one, &n);
  arena_free(&a);
  return n;
}

static void test_once_keys_live_with_their_input_and_go_when_their_time_is_over(void **state) {
  (void)state;
  ackrig *x = ack_new(once_program, "", "");
  peer *p = ack_connect(x, 2575);
  char id[20], pid[20];
  for (unsigned i = 0; i < 40; i++) {
    snprintf(id, sizeof id, "M%u", i), snprintf(pid, sizeof pid, "%u", i / 2);
    EXPECT(x, p, "AA", id, pid, "");
  }
  prog_run_for(x->p, 1000000);
  assert_int_equal(x->calls, 20);
  assert_int_equal(named(x, "once"), 20);
  uint8_t before[32], after[32];
  store_info info;
  assert_int_equal(store_hash(engine_store(x->p->e), before), HDW_OK);
  assert_int_equal(store_rebuild(engine_store(x->p->e), &info), HDW_OK); /* it is what the log says */
  assert_int_equal(store_hash(engine_store(x->p->e), after), HDW_OK);
  assert_memory_equal(before, after, 32);
  EXPECT(x, p, "AA", "N1", "3", "");
  assert_int_equal(x->calls, 20);
  prog_run_for(x->p, INT64_C(3700000000));
  for (unsigned i = 0; i < 7; i++) {
    snprintf(id, sizeof id, "O%u", i), snprintf(pid, sizeof pid, "%u", i);
    EXPECT(x, p, "AA", id, pid, "");
  }
  assert_int_equal(named(x, "once"), 7);
  assert_int_equal(named(x, "once.until"), 7);
  assert_int_equal(named(x, "once.of"), 7);
  ack_hang_up(p);
  ack_free(x);
}

/* ---- transport ---------------------------------------------------------------------------------------------------------------------- */

static void test_H2_H4_H5_H6_what_is_no_message_is_counted(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"max_frame_bytes\":2000", "");
  peer *p = ack_connect(x, 2575);
  char t[6000];
  snprintf(t, sizeof t, "junk\r\n%s\x0BMSH|^~\\&|half%s", ack_adt(x, "M1", "1", ""), ack_adt(x, "M2", "1", ""));
  assert_string_equal(ack_codes(x, ack_say(x, p, t)), "AA AA");
  engine_source_info i = ack_info(x, "adt");
  assert_int_equal(i.junk_bytes, 4);
  assert_int_equal(i.partial_frames, 1);
  assert_int_equal(i.messages, 2);
  p->end_after = true;
  (void)ack_say(x, p, "\x0BMSH|^~\\&|never ends\r");
  assert_int_equal(ack_info(x, "adt").partial_frames, 2);
  assert_int_equal(ack_stored(x), 2);
  ack_hang_up(p);
  p = ack_connect(x, 2575);
  memset(t, 'x', 4000);
  memcpy(t, "\x0BMSH|^~\\&|A|B|C|D|2026||ADT^A01|BIG|P|2.5.1\r", 43);
  t[4000] = 0;
  const char *got = ack_say(x, p, t);
  assert_non_null(strstr(got, "MSA|AR|BIG|The message is too long\r"));
  assert_true(p->eof); /* closed behind the answer */
  assert_int_equal(ack_info(x, "adt").oversize, 1);
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(ack_program, "\"strict\":true", "");
  p = ack_connect(x, 2575);
  assert_string_equal(ack_say(x, p, "x\x0BMSH|"), "");
  assert_true(p->eof);
  assert_int_equal(ack_info(x, "adt").violations, 1);
  ack_hang_up(p);
  ack_free(x);
}

static void test_H8_pipelined_frames_are_answered_in_order(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "", "");
  peer *p = ack_connect(x, 2575);
  char t[4000] = "";
  for (unsigned i = 0; i < 8; i++) {
    char id[8];
    snprintf(id, sizeof id, "P%u", i);
    strcat(t, ack_adt(x, id, i % 3 == 1 ? "R" : "1", ""));
  }
  x->delay_us = 50000;
  const char *got = ack_say_for(x, p, t, strlen(t), 3000000);
  assert_string_equal(ack_codes(x, got), "AA AR AA AA AR AA AA AR");
  for (unsigned i = 0; i < 8; i++) {
    char want[20];
    snprintf(want, sizeof want, "|P%u", i);
    const char *at = strstr(got, "MSA|");
    assert_memory_equal(at + 6, want, strlen(want));
    got = at + 4;
  }
  ack_hang_up(p);
  ack_free(x);
}

static void test_H9_H10_H11_commit_blocks(void **state) {
  (void)state;
  ackrig *x = ack_new(after_program, "\"mllp_version\":2", "");
  peer *p = ack_connect(x, 2575);
  x->delay_us = 1000000;
  EXPECT(x, p, "+", "M1", "1", ""); /* stored, not yet processed */
  p->in_len = 0;
  prog_run_for(x->p, 1500000);
  assert_string_equal(ack_codes(x, p->in), "AA");
  EXPECT(x, p, "+ AA", "M1", "1", ""); /* a resend */
  EXPECT(x, p, "+ CA", "M2", "1", "P|2.5.1|||AL|NE");
  EXPECT(x, p, "+", "M3", "1", "P|2.5.1|||NE|NE");
  assert_string_equal(ack_codes(x, ack_say(x, p, "\x0Bhello\x1C\r")), "+ AR"); /* kept, though nobody can read it */
  engine_drain(x->p->e, 1000000, NULL, NULL);
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(ack_program, "\"max_frame_bytes\":1024,\"mllp_version\":2", "");
  p = ack_connect(x, 2575);
  char big[1600];
  memset(big, 'x', sizeof big - 1);
  memcpy(big, "\x0BMSH|^~\\&|A|B|C|D|2026||ADT^A01|BIG|P|2.5.1\r", 43);
  big[sizeof big - 1] = 0;
  assert_string_equal(ack_codes(x, ack_say(x, p, big)), "-"); /* not stored: nothing else is said */
  ack_hang_up(p);
  ack_free(x);
  x = ack_new(ack_program, "", ""); /* release 1: a stray block is dropped */
  p = ack_connect(x, 2575);
  assert_string_equal(ack_say(x, p, "\x0B\x06\x1C\r\x0B\x15\x1C\r"), "");
  EXPECT(x, p, "AA", "M1", "1", "");
  ack_hang_up(p);
  ack_free(x);
}

static void test_H12_only_listed_networks_may_connect(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"allow\":[\"10.0.0.0/8\"]", "");
  io_addr a = loopback();
  a.port = 2575;
  peer p;
  peer_open(&p, &x->net, &a);
  prog_run_for(x->p, 100000);
  assert_true(p.eof || p.reset);
  peer_close(&p);
  assert_int_equal(ack_info(x, "adt").refused_connections, 1);
  ack_free(x);
}

static const engine_reply *take_reply(const engine_reply *r, engine_reply *out, char text[600]) {
  if (!r->commit) {
    *out = *r;
    snprintf(text, 600, "%.*s", (int)r->len, (const char *)r->p);
  }
  return out;
}
typedef struct kept {
  engine_reply r;
  char text[600];
  unsigned n, commits, negative;
} kept;
static void keep_reply(void *user, const engine_reply *r) {
  kept *k = (kept *)user;
  if (r->commit) k->commits++, k->negative += !r->stored;
  else k->n++, (void)take_reply(r, &k->r, k->text);
}

static void test_H13_what_was_read_and_cannot_be_stored_is_refused_for_a_retry(void **state) {
  (void)state;
  static const struct { const char *conditions, *want; } t[] = {{"", "MSA|AE|B1|"}, {"|||AL|NE", "MSA|CE|B1|"}, {"|||AL|AL", "MSA|"}};
  ackrig *x = ack_new(ack_program, "", "");
  engine_drain(x->p->e, 1000000, NULL, NULL); /* takes nothing in any more */
  for (unsigned i = 0; i < 3; i++) {
    kept k = {.n = 0};
    char m[300];
    engine_source s = {.listener = "adt"};
    snprintf(m, sizeof m, "MSH|^~\\&|A|B|C|D|2026||ADT^A01|B1|P|2.5.1%s\rPID|1||1\r", t[i].conditions);
    engine_submit_hl7(x->p->e, &s, m, strlen(m), keep_reply, &k);
    assert_non_null(strstr(k.text, t[i].want));
    assert_null(strstr(k.text, "|AA|"));
    assert_null(strstr(k.text, "|CA|"));
    s.path = "/hl7";
    engine_submit_hl7(x->p->e, &s, m, strlen(m), keep_reply, &k);
    assert_int_equal(k.r.http_status, 503);
    assert_true(k.r.json);
  }
  assert_int_equal(ack_info(x, "adt").refused, 6);
  assert_int_equal(ack_stored(x), 0);
  ack_free(x);
}

/* ---- batches ------------------------------------------------------------------------------------------------------------------------ */

#define MSG(id, pid3) "MSH|^~\\&|LAB|HOSP|HUB|HUB|2026||ADT^A01|" id "|P|2.5.1\rPID|1||" pid3 "\r"
#define BATCH(count) "\x0B" "FHS|^~\\&|LAB\rBHS|^~\\&|LAB|HOSP|HUB|HUB|2026||||B-7\r" MSG("M1", "1") MSG("M2", "E") MSG("M3", "R") "BTS|" count "\rFTS|1\r\x1C\r"

static void test_H43_H44_batches(void **state) {
  (void)state;
  static const struct { const char *options, *bytes, *want; uint64_t stored; } t[] = {
      {"", BATCH("3"), "AA AE AR", 3},
      {"\"batch_ack\":\"errors\"", BATCH("3"), "AE AR", 3},
      {"\"batch_ack\":\"messages\"", BATCH("3"), "AA AE AR", 3},
      {"", BATCH("4"), "AE AE AE", 0},                              /* the whole batch */
      {"\"batch_counts\":\"warn\"", BATCH("4"), "AA AE AR", 3},
      {"\"batch_ack\":\"errors\"", "\x0B" "BHS|^~\\&|LAB|HOSP|HUB|HUB|2026||||B-8\r" MSG("M1", "1") "BTS|1\r\x1C\r", "", 1}, /* no one: all are accepted */
      {"", "\x0B" "BHS|^~\\&|LAB|HOSP|HUB|HUB|2026||||B-9\rBTS|0\r\x1C\r", "", 0},
      {"\"batch_ack\":\"errors\"", "\x0B" MSG("M1", "1") MSG("M2", "E") "\x1C\r", "AA AE", 2},
      {"\"ack\":\"none\"", BATCH("3"), "-none", 3},
      {"", "\x0B" "BHS|^~\\&|LAB|HOSP|HUB|HUB|2026||||B-9|OURS-1\rMSH|^~\\&|LAB|HOSP|HUB|HUB|2026||ACK|A9|P|2.5.1\rMSA|AE|1\rBTS|1\r\x1C\r", "-none", 1}};
  for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
    ackrig *x = ack_new(ack_program, t[i].options, "");
    peer *p = ack_connect(x, 2575);
    const char *got = ack_say(x, p, t[i].bytes);
    assert_int_equal(ack_stored(x), t[i].stored);
    if (!strcmp(t[i].want, "-none")) assert_string_equal(got, "");
    else {
      char codes[40] = "";
      for (const char *at = got; (at = strstr(at, "MSA|")); at++) strncat(strcat(codes, codes[0] ? " " : ""), at + 4, 2);
      assert_string_equal(codes, t[i].want);
      bool envelope = strstr(t[i].bytes, "BHS|") && !strstr(t[i].options, "messages");
      assert_int_equal(envelope, strncmp(got, "\x0B" "BHS|", 5) == 0);
      unsigned frames = 0;
      for (const char *at = got; (at = strchr(at, 0x0B)); at++) frames++;
      assert_int_equal(frames, strstr(t[i].options, "messages") ? 3 : 1);
      if (envelope) { /* BHS-12 = the batch that is answered */
        char ref[8] = "|B-7\r";
        memcpy(ref, strstr(t[i].bytes, "|B-"), 4);
        assert_non_null(strstr(got, ref));
        char bts[10];
        snprintf(bts, sizeof bts, "BTS|%zu\r", (strlen(codes) + 1) / 3);
        assert_non_null(strstr(got, bts));
      }
    }
    ack_hang_up(p);
    ack_free(x);
  }
}

static void test_H44_a_batch_is_one_transport_commit(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"mllp_version\":2", "");
  peer *p = ack_connect(x, 2575);
  const char *got = ack_say(x, p, BATCH("3"));
  assert_memory_equal(got, "\x0B\x06\x1C\r\x0B" "BHS|", 9);
  assert_null(strchr(got + 4, 0x06));
  ack_hang_up(p);
  ack_free(x);
}

/* ---- any bytes, cut anywhere -------------------------------------------------------------------------------------------------------- */

static uint64_t lcg(uint64_t *s) { return *s = *s * 6364136223846793005u + 1442695040888963407u, *s >> 33; }

static void test_H3_frames_cut_at_every_byte_give_the_same_answers(void **state) {
  (void)state;
  char t[1500];
  for (unsigned round = 0; round < 2; round++) {
    ackrig *x = ack_new(ack_program, "", "");
    snprintf(t, sizeof t, "\r\n%s%s\x0B\x1C\r%s", ack_adt(x, "C1", "1", ""), ack_adt(x, "C2", "R", "P|2.5.1|||AL|AL"), ack_adt(x, "C3", "R", ""));
    size_t n = strlen(t), step = round ? 37 : 1;
    for (size_t cut = 1; cut < n; cut += round ? 41 : 13) {
      peer *p = ack_connect(x, 2575);
      p->piece = round ? step : cut;
      const char *got = ack_codes(x, ack_say_for(x, p, t, n, 600000));
      assert_string_equal(got, "AA CR AR AR");
      ack_hang_up(p);
    }
    ack_free(x);
  }
}

static void test_any_frame_gets_exactly_one_answer(void **state) {
  (void)state;
  ackrig *x = ack_new(ack_program, "\"idle_timeout_ms\":0", "");
  uint64_t seed = 11;
  for (unsigned round = 0; round < 300; round++) {
    char t[400];
    int n = snprintf(t, sizeof t, "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01^ADT_A01|F%u|P|2.5.1\rPID|1||%u^^^H\rOBX|1|TX|x||a\\F\\b\r", round, round);
    unsigned changes = (unsigned)(lcg(&seed) % 6);
    for (unsigned i = 0; i < changes; i++) {
      size_t at = lcg(&seed) % (size_t)n;
      unsigned what = (unsigned)(lcg(&seed) % 4);
      if (what == 0) t[at] = (char)lcg(&seed);
      else if (what == 1) t[at] = "|^~\\&\r\n\"M"[lcg(&seed) % 9];
      else if (what == 2) n = (int)at + 1;
      else memmove(t + at, t + (lcg(&seed) % (at + 1)), (size_t)n - at);
    }
    for (int i = 0; i < n; i++)
      if (t[i] == 0x0B || t[i] == 0x1C) t[i] = '.';
    kept k = {.n = 0};
    engine_source s = {.listener = "adt", .commits = true};
    engine_submit_hl7(x->p->e, &s, t, (size_t)n, keep_reply, &k);
    prog_run_for(x->p, 20000);
    if (!k.r.last || k.commits != 1 || k.negative) fail_msg("round %u: %u replies, %u commits", round, k.n, k.commits);
    if (k.n == 1 && k.r.len) assert_non_null(strstr(k.text, "MSA"));
  }
  ack_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_H40_resends),
      cmocka_unit_test(test_H40_one_id_for_two_messages_that_come_again),
      cmocka_unit_test(test_H40_answer_of_a_run_is_never_behind_its_end),
      cmocka_unit_test(test_H40_discarded_run_gives_way_to_a_further_attempt),
      cmocka_unit_test(test_H40_a_failed_run_is_no_dead_letter_once_the_sender_has_sent_again),
      cmocka_unit_test(test_H40_no_dead_letter_stays_beside_the_run_in_its_place),
      cmocka_unit_test(test_H40_a_further_attempt_runs_only_what_has_not_succeeded),
      cmocka_unit_test(test_a_daemon_that_ends_while_senders_wait_gives_back_everything),
      cmocka_unit_test(test_H40_contents_are_known_again_by_their_mark),
      cmocka_unit_test(test_once_keys_live_with_their_input_and_go_when_their_time_is_over),
      cmocka_unit_test(test_H2_H4_H5_H6_what_is_no_message_is_counted),
      cmocka_unit_test(test_H8_pipelined_frames_are_answered_in_order),
      cmocka_unit_test(test_H9_H10_H11_commit_blocks),
      cmocka_unit_test(test_H12_only_listed_networks_may_connect),
      cmocka_unit_test(test_H13_what_was_read_and_cannot_be_stored_is_refused_for_a_retry),
      cmocka_unit_test(test_H43_H44_batches),
      cmocka_unit_test(test_H44_a_batch_is_one_transport_commit),
      cmocka_unit_test(test_H3_frames_cut_at_every_byte_give_the_same_answers),
      cmocka_unit_test(test_any_frame_gets_exactly_one_answer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
