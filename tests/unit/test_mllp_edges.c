/* The MLLP listener where peers and owners do what they rarely do: hang up with answers owed, never hang up, send on, answer what nobody waits for; memory that
 * is not there at any of its allocations. */
#include "net_rig.h"
#include "mllp.h"

#define S "\x0b"
#define E "\x1c\x0d"
enum { FRAMES = 40 };

typedef struct owner {
  rig r;
  mllp_listener *l;
  mllp_token t[FRAMES];
  unsigned n;
  bool pause_inside, stop_inside;
  peer p;
} owner;

static void on_frame(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  owner *o = user;
  (void)from, (void)p, (void)len;
  assert_true(o->n < FRAMES);
  o->t[o->n++] = t;
  if (o->pause_inside) mllp_listener_pause(o->l, true);
  if (o->stop_inside) mllp_listener_stop(o->l, true);
}

static void run_for(owner *o, int64_t us) { rig_run(&o->r, us, NULL, NULL); }

/* With one peer that has said this. */
static void open_with(owner *o, mllp_listener_opts opts, const char *bytes, size_t len) {
  io_addr a;
  memset(o, 0, sizeof *o);
  rig_init(&o->r, false, 5);
  opts.addr = loopback(), opts.frame = on_frame, opts.user = o;
  assert_int_equal(mllp_listener_new(o->r.x, &opts, &o->l), HDW_OK);
  mllp_listener_addr(o->l, &a);
  peer_open(&o->p, &o->r, &a);
  peer_say(&o->p, bytes, len);
  run_for(o, 50000);
}
static const mllp_stats *stats(owner *o) { return mllp_listener_stats(o->l); }
static void shut(owner *o) {
  peer_close(&o->p);
  mllp_listener_free(o->l);
  rig_free(&o->r);
}

static void test_answers_that_wait_go_with_their_connection(void **state) {
  (void)state;
  owner o;
  open_with(&o, (mllp_listener_opts){.idle_timeout_us = 60000000}, LIT(S "1" E S "2" E S "3" E));
  assert_int_equal(o.n, 3);
  assert_int_equal(mllp_reply(o.l, o.t[2], LIT("c")), HDW_OK);
  assert_int_equal(mllp_reply(o.l, o.t[2], LIT("c")), HDW_E_CLOSED); /* it has its answer */
  peer_close(&o.p);
  run_for(&o, 50000);
  (void)mllp_reply(o.l, o.t[0], LIT("a")); /* to a peer that may only have ended its own direction, or be gone */
  run_for(&o, 50000);
  (void)mllp_reply(o.l, o.t[1], LIT("b"));
  run_for(&o, 3000000);
  assert_int_equal(stats(&o)->open, 0);
  assert_int_equal(stats(&o)->unacked, 0);
  shut(&o);
  open_with(&o, (mllp_listener_opts){0}, LIT(S "1" E S "2" E S "3" E));
  assert_int_equal(mllp_reply(o.l, o.t[1], LIT("b")), HDW_OK);
  mllp_listener_stop(o.l, false);
  mllp_listener_stop(o.l, true);
  assert_int_equal(stats(&o)->open, 0);
  shut(&o);
}

/* More frames than a ring holds at first, and answered from the last to the first. */
static void test_H8_many_answers_from_the_last_to_the_first(void **state) {
  (void)state;
  owner o;
  char said[FRAMES * 6], want[FRAMES * 6];
  int n = 0, w = 0;
  for (int i = 0; i < 30; i++) n += sprintf(said + n, S "%d" E, i), w += sprintf(want + w, S "%d" E, i);
  open_with(&o, (mllp_listener_opts){0}, said, (size_t)n);
  assert_int_equal(o.n, 30);
  for (int i = 30; i-- > 0;) {
    char t[8];
    assert_int_equal(mllp_reply(o.l, o.t[i], t, (size_t)sprintf(t, "%d", i)), HDW_OK);
  }
  run_for(&o, 50000);
  assert_int_equal(o.p.in_len, w);
  assert_memory_equal(o.p.in, want, (size_t)w);
  shut(&o);
}

static void test_answers_and_tokens_that_are_none(void **state) {
  (void)state;
  static char big[20000];
  memset(big, 'x', sizeof big);
  memcpy(big + 9000, E, 2);
  owner o;
  open_with(&o, (mllp_listener_opts){0}, LIT(S "1" E S "2" E));
  mllp_token far = o.t[1], other = o.t[1];
  far.seq += 5, other.slot += 5;
  assert_int_equal(mllp_reply(o.l, far, LIT("x")), HDW_E_CLOSED);
  far.seq = 0;
  assert_int_equal(mllp_reply(o.l, far, LIT("x")), HDW_E_CLOSED);
  assert_int_equal(mllp_reply(o.l, other, LIT("x")), HDW_E_CLOSED);
  assert_int_equal(mllp_send(o.l, other, LIT("x")), HDW_E_CLOSED);
  assert_int_equal(mllp_commit(o.l, o.t[0], true), HDW_E_INVALID);
  mllp_hangup(o.l, other);
  assert_int_equal(stats(&o)->stale_replies, 5);
  assert_int_equal(mllp_reply(o.l, o.t[0], big, sizeof big), HDW_E_DATA); /* framing bytes, in any place of the order, large or small */
  assert_int_equal(mllp_reply(o.l, o.t[1], LIT("a" S)), HDW_E_DATA);
  assert_int_equal(mllp_send(o.l, o.t[1], LIT("a" S)), HDW_E_DATA);
  assert_int_equal(mllp_reply(o.l, o.t[0], big, 9000), HDW_OK);
  run_for(&o, 50000);
  assert_int_equal(o.p.in_len, 9003);
  shut(&o);
  open_with(&o, (mllp_listener_opts){.version = 2}, LIT(S "1" E S "\x15" E S "\x06" E));
  mllp_token gone = o.t[0];
  gone.seq = 9;
  assert_int_equal(mllp_commit(o.l, gone, true), HDW_E_CLOSED);
  assert_int_equal(mllp_commit(o.l, o.t[0], true), HDW_OK);
  assert_int_equal(mllp_commit(o.l, o.t[0], true), HDW_E_EXISTS);
  assert_int_equal(stats(&o)->negative_commits, 1);
  shut(&o);
}

/* Our FIN is out, and the peer leaves its side open: a moment later the connection ends; or as soon as it has sent too much. */
static void test_a_peer_that_does_not_hang_up(void **state) {
  (void)state;
  static char much[6 << 20];
  for (int floods = 0; floods < 3; floods++) {
    owner o;
    open_with(&o, (mllp_listener_opts){.idle_timeout_us = 100000000}, LIT(S "1" E));
    mllp_hangup(o.l, o.t[0]);
    run_for(&o, 50000);
    assert_false(o.p.eof); /* an answer is owed */
    assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), HDW_OK);
    mllp_hangup(o.l, o.t[0]);
    assert_int_equal(mllp_send(o.l, o.t[0], LIT("late")), HDW_E_CLOSED);
    mllp_listener_pause(o.l, true), mllp_listener_pause(o.l, true), mllp_listener_pause(o.l, false);
    run_for(&o, 50000);
    assert_true(o.p.eof);
    assert_int_equal(stats(&o)->open, 1);
    if (floods) peer_say(&o.p, much, floods == 1 ? sizeof much : 1000);
    run_for(&o, 500000);
    assert_int_equal(stats(&o)->open, floods == 1 ? 0 : 1);
    run_for(&o, 2000000);
    assert_int_equal(stats(&o)->open, 0);
    shut(&o);
  }
}

static void test_a_socket_that_breaks(void **state) {
  (void)state;
  for (int how = 0; how < 4; how++) {
    owner o;
    open_with(&o, (mllp_listener_opts){.version = how == 3 ? 2 : 1}, LIT(S "1" E S "2" E));
    if (how == 0) io_sim_fault(o.r.x, IO_SIM_WRITE, 1, HDW_E_CLOSED, true);
    if (how == 0) assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), HDW_E_CLOSED);
    if (how == 1) {
      assert_int_equal(mllp_reply(o.l, o.t[1], LIT("b")), HDW_OK);
      io_sim_fault(o.r.x, IO_SIM_WRITE, 2, HDW_E_CLOSED, true); /* the first answer is out, the one that waited for it is not */
      assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), HDW_E_CLOSED);
    }
    if (how == 2) {
      peer_say(&o.p, LIT(S "3" E));
      io_sim_fault(o.r.x, IO_SIM_READ, 1, HDW_E_IO, true);
      run_for(&o, 50000);
    }
    if (how == 3) {
      io_sim_fault(o.r.x, IO_SIM_WRITE, 1, HDW_E_CLOSED, true);
      assert_int_equal(mllp_commit(o.l, o.t[0], true), HDW_E_CLOSED);
    }
    assert_int_equal(stats(&o)->open, 0);
    assert_int_equal(stats(&o)->unacked, 0);
    assert_int_equal(mllp_send(o.l, o.t[0], LIT("x")), HDW_E_CLOSED);
    io_sim_fault(o.r.x, IO_SIM_WRITE, 1, HDW_OK, false);
    io_sim_fault(o.r.x, IO_SIM_READ, 1, HDW_OK, false);
    shut(&o);
  }
}

static void test_pause_and_stop_from_inside_a_frame(void **state) {
  (void)state;
  owner o;
  memset(&o, 0, sizeof o);
  open_with(&o, (mllp_listener_opts){.max_unacked = 1}, LIT(S "1" E S "2" E S "3" E));
  assert_int_equal(o.n, 1);
  o.pause_inside = true;
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), HDW_OK);
  mllp_listener_pause(o.l, true); /* before the second is looked at, which is there already */
  run_for(&o, 50000);
  assert_int_equal(o.n, 1);
  mllp_listener_pause(o.l, false);
  run_for(&o, 50000);
  assert_int_equal(o.n, 2); /* the third lies in what was read */
  assert_int_equal(mllp_reply(o.l, o.t[1], LIT("b")), HDW_OK);
  run_for(&o, 50000);
  assert_int_equal(o.n, 2);
  o.pause_inside = false;
  mllp_listener_pause(o.l, false);
  mllp_hangup(o.l, o.t[1]); /* before it is looked at: it was never taken, and its sender will see that */
  run_for(&o, 50000);
  assert_int_equal(o.n, 2);
  assert_true(o.p.eof);
  shut(&o);
  open_with(&o, (mllp_listener_opts){0}, LIT(""));
  o.stop_inside = true;
  peer_say(&o.p, LIT(S "1" E S "2" E));
  run_for(&o, 50000);
  assert_int_equal(o.n, 1);
  mllp_listener_pause(o.l, true), mllp_listener_pause(o.l, false); /* it listens no more */
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), HDW_OK);
  run_for(&o, 50000);
  assert_true(o.p.eof);
  assert_int_equal(o.p.in_len, 4);
  shut(&o);
}

/* A place in the middle is free when all are paused, let go and stopped. */
static void test_pause_and_stop_with_a_free_place(void **state) {
  (void)state;
  for (int graceful = 0; graceful < 2; graceful++) {
    owner o;
    peer second;
    io_addr a;
    open_with(&o, (mllp_listener_opts){.frame_timeout_us = 1000000}, LIT(""));
    mllp_listener_addr(o.l, &a);
    peer_open(&second, &o.r, &a);
    run_for(&o, 50000);
    peer_close(&o.p);
    run_for(&o, 50000);
    assert_int_equal(stats(&o)->open, 1);
    mllp_listener_pause(o.l, true);
    peer_say(&second, LIT(S "1" E S "half"));
    run_for(&o, 50000);
    assert_int_equal(o.n, 0);
    mllp_listener_pause(o.l, false);
    run_for(&o, 50000);
    assert_int_equal(o.n, 1);
    mllp_listener_stop(o.l, graceful);
    assert_int_equal(stats(&o)->open, graceful);
    assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), graceful ? HDW_OK : HDW_E_CLOSED);
    run_for(&o, 3000000);
    assert_int_equal(stats(&o)->open, 0);
    peer_close(&second);
    shut(&o);
  }
}

static void test_oversize_without_a_word_and_junk(void **state) {
  (void)state;
  static char junk[80000];
  memset(junk, 'j', sizeof junk);
  for (int kind = 0; kind < 2; kind++) {
    owner o;
    open_with(&o, (mllp_listener_opts){.max_frame_bytes = 1000}, kind ? junk : S "MSH|", kind ? sizeof junk : 5);
    if (!kind) peer_say(&o.p, junk, sizeof junk);
    run_for(&o, 50000);
    assert_true(o.p.eof || o.p.reset);
    assert_int_equal(kind ? stats(&o)->violations : stats(&o)->oversize, 1);
    assert_int_equal(o.n, 0);
    shut(&o);
  }
}

/* The earlier of the two times counts, and a frame has its own from its first byte on. */
static void test_H5_each_frame_has_its_own_time(void **state) {
  (void)state;
  owner o;
  open_with(&o, (mllp_listener_opts){.frame_timeout_us = 200000, .idle_timeout_us = 10000000}, LIT(S "half"));
  run_for(&o, 100000);
  peer_say(&o.p, LIT(" of it" E S "another"));
  run_for(&o, 100000); /* the first one's time would be over */
  assert_int_equal(o.n, 1);
  assert_int_equal(stats(&o)->frame_timeouts, 0);
  run_for(&o, 200000);
  assert_int_equal(stats(&o)->frame_timeouts, 1);
  assert_int_equal(stats(&o)->open, 0);
  shut(&o);
}

/* A peer that reads nothing of what it is sent, and goes. */
static void test_a_peer_that_goes_without_reading(void **state) {
  (void)state;
  static char big[300000];
  owner o;
  memset(big, 'x', sizeof big);
  open_with(&o, (mllp_listener_opts){0}, LIT(S "1" E));
  o.p.deaf = true;
  peer_want(&o.p);
  assert_int_equal(mllp_send(o.l, o.t[0], big, sizeof big), HDW_OK);
  run_for(&o, 50000);
  peer_close(&o.p);
  run_for(&o, 50000);
  assert_int_equal(stats(&o)->open, 0);
  assert_int_equal(stats(&o)->tls_failures, 0);
  shut(&o);
}

static void test_options_and_a_reload(void **state) {
  (void)state;
  owner o;
  mllp_listener *second;
  open_with(&o, (mllp_listener_opts){.frame_timeout_us = 1000000, .idle_timeout_us = 0}, LIT(S "1" E));
  mllp_listener_opts opts = {.addr = loopback(), .frame = NULL};
  assert_int_equal(mllp_listener_new(o.r.x, &opts, &second), HDW_E_INVALID);
  opts.frame = on_frame, opts.version = 3;
  assert_int_equal(mllp_listener_new(o.r.x, &opts, &second), HDW_E_INVALID);
  opts.version = 1;
  mllp_listener_addr(o.l, &opts.addr);
  assert_int_equal(mllp_listener_new(o.r.x, &opts, &second), HDW_E_EXISTS);
  mllp_listener_free(NULL);
  /* Connections that are open have the new times, too. */
  mllp_listener_update(o.l, &(mllp_listener_opts){.idle_timeout_us = 300000});
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), HDW_OK);
  run_for(&o, 200000);
  assert_false(o.p.eof);
  peer_say(&o.p, LIT(S "2" E));
  run_for(&o, 200000);
  assert_int_equal(mllp_reply(o.l, o.t[1], LIT("b")), HDW_OK);
  run_for(&o, 2000000);
  assert_int_equal(stats(&o)->idle_timeouts, 1);
  mllp_listener_update(o.l, &(mllp_listener_opts){.frame_timeout_us = 5000, .strict = true});
  shut(&o);
}

/* ---- memory ---- */

static void answer_some(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  owner *o = user;
  (void)from;
  if (o->n < FRAMES) o->t[o->n++] = t;
  (void)mllp_commit(o->l, t, true);
  if (o->n % 3 == 0) (void)mllp_reply(o->l, t, p, len);
}

/* Frames in pieces, more than may be open, answered out of order, an own frame between them: each allocation fails once. The peer
 * reads whole frames (but the last one, when the connection breaks), and all of them when nothing failed. */
static void test_T5_every_allocation_of_a_busy_connection(void **state) {
  (void)state;
  char said[600];
  int n = 0;
  for (int i = 0; i < 24; i++) n += sprintf(said + n, S "message %d" E, i);
  for (long at = -1; at < 80; at++)
    for (unsigned version = 1; version <= 2; version++) {
      owner o;
      io_addr a;
      memset(&o, 0, sizeof o);
      rig_init(&o.r, false, 5);
      mllp_listener_opts opts = {.addr = loopback(), .frame = answer_some, .user = &o, .max_unacked = 10, .version = (uint8_t)version};
      o.r.tm.fail_after = at;
      if (mllp_listener_new(o.r.x, &opts, &o.l) == HDW_OK) {
        mllp_listener_addr(o.l, &a);
        o.p.r = &o.r;
        bool opened = io_connect(o.r.x, &a, peer_event, &o.p, &o.p.s) == HDW_OK;
        o.p.piece = 40;
        if (opened) peer_say(&o.p, said, (size_t)n);
        for (int turns = 0; turns < 30; turns++) {
          run_for(&o, 20000);
          for (unsigned i = o.n; i-- > 0;) {
            (void)mllp_commit(o.l, o.t[i], true);
            (void)mllp_reply(o.l, o.t[i], LIT("answer"));
          }
          if (o.n) (void)mllp_send(o.l, o.t[0], LIT("of our own"));
        }
        if (at < 0) assert_true(o.n == 24 && stats(&o)->unacked == 0);
        for (const char *p = o.p.in, *end = p + o.p.in_len; p && p < end;) { /* whole frames, none twice */
          const char *stop = memmem(p, (size_t)(end - p), E, 2);
          if (*p == S[0] && !stop && (o.p.eof || o.p.reset)) break; /* the end of it had no memory: the connection ended with it */
          if (*p != S[0] || !stop) fail_msg("allocation %ld, version %u: %.*s", at, version, (int)(end - p), p);
          p = stop + 2;
        }
        if (opened) peer_close(&o.p);
        mllp_listener_free(o.l);
      }
      o.r.tm.fail_after = -1;
      rig_free(&o.r);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_answers_that_wait_go_with_their_connection),
      cmocka_unit_test(test_H8_many_answers_from_the_last_to_the_first),
      cmocka_unit_test(test_answers_and_tokens_that_are_none),
      cmocka_unit_test(test_a_peer_that_does_not_hang_up),
      cmocka_unit_test(test_a_socket_that_breaks),
      cmocka_unit_test(test_pause_and_stop_from_inside_a_frame),
      cmocka_unit_test(test_pause_and_stop_with_a_free_place),
      cmocka_unit_test(test_oversize_without_a_word_and_junk),
      cmocka_unit_test(test_H5_each_frame_has_its_own_time),
      cmocka_unit_test(test_a_peer_that_goes_without_reading),
      cmocka_unit_test(test_options_and_a_reload),
      cmocka_unit_test(test_T5_every_allocation_of_a_busy_connection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
