/* The MLLP listener and client on both sides of the seam. */
#include "net_rig.h"
#include "mllp.h"

#define S "\x0b"
#define E "\x1c\x0d"
enum { MAX = 64 };

/* An owner that notes frames and answers when told to: at once, or by answer(). */
typedef struct owner {
  rig r;
  mllp_listener *l;
  mllp_token t[MAX];
  char text[MAX][64];
  size_t len[MAX];
  unsigned n, answered, max_open, oversize;
  bool at_once, stop_inside;
  char san[64];
} owner;

static void on_frame(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  owner *o = user;
  assert_true(o->n < MAX);
  o->t[o->n] = t;
  o->len[o->n] = len;
  snprintf(o->text[o->n], sizeof *o->text, "%.*s", (int)len, (const char *)p);
  snprintf(o->san, sizeof o->san, "%s", from->san);
  o->n++;
  if (o->n - o->answered > o->max_open) o->max_open = o->n - o->answered;
  if (o->at_once) {
    char ack[80];
    int k = snprintf(ack, sizeof ack, "ACK %s", o->text[o->n - 1]);
    assert_int_equal(mllp_reply(o->l, t, ack, (size_t)k), HDW_OK);
    o->answered++;
  }
  if (o->stop_inside) mllp_listener_stop(o->l, false);
}
static void on_oversize(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  owner *o = user;
  (void)from;
  o->oversize++;
  assert_true(len >= 3 && !memcmp(p, "MSH", 3));
  assert_int_equal(mllp_reply(o->l, t, "NAK", 3), HDW_OK);
}

static unsigned wanted;
static bool has_wanted(void *user) { return ((owner *)user)->n >= wanted; }

static void open_with(owner *o, bool real, mllp_listener_opts opts) {
  memset(o, 0, sizeof *o);
  rig_init(&o->r, real, 7);
  opts.addr = loopback();
  opts.frame = on_frame;
  opts.user = o;
  assert_int_equal(mllp_listener_new(o->r.x, &opts, &o->l), HDW_OK);
}
static void shut(owner *o) {
  mllp_listener_free(o->l);
  rig_free(&o->r);
}
static io_addr where(owner *o) {
  io_addr a;
  mllp_listener_addr(o->l, &a);
  return a;
}
static void run_for(owner *o, int64_t us) { rig_run(&o->r, us, NULL, NULL); }

#define BOTH(name)                       \
  static void name(bool real);           \
  static void name##_sim(void **st) {    \
    (void)st;                            \
    name(false);                         \
  }                                      \
  static void name##_linux(void **st) {  \
    (void)st;                            \
    name(true);                          \
  }                                      \
  static void name(bool real)

BOTH(test_H7_many_messages_on_a_connection) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){0});
  o.at_once = true;
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  for (int i = 0; i < 5; i++) {
    peer_say(&p, LIT(S "MSG" E));
    peer_expect(&o.r, &p, S "ACK MSG" E);
  }
  p.piece = 1;
  peer_say(&p, LIT("\r\n" S "BYTES" E));
  peer_expect(&o.r, &p, S "ACK BYTES" E);
  const mllp_stats *st = mllp_listener_stats(o.l);
  assert_int_equal(st->frames, 6);
  assert_int_equal(st->replies, 6);
  assert_int_equal(st->open, 1);
  assert_int_equal(st->unacked, 0);
  peer_close(&p);
  run_for(&o, 50000);
  assert_int_equal(st->open, 0);
  shut(&o);
}

BOTH(test_H8_answers_leave_in_the_order_of_frames) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){0});
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "1" E S "2" E S "3" E S "4" E S "5" E));
  wanted = 5;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(mllp_reply(o.l, o.t[4], LIT("e")), HDW_OK);
  assert_int_equal(mllp_reply(o.l, o.t[2], NULL, 0), HDW_OK); /* no answer for 3 */
  assert_int_equal(mllp_reply(o.l, o.t[1], LIT("b")), HDW_OK);
  run_for(&o, 20000);
  assert_int_equal(p.in_len, 0);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a\x1c\x0d")), HDW_E_DATA);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("a")), HDW_OK);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("again")), HDW_E_CLOSED);
  peer_expect(&o.r, &p, S "a" E S "b" E);
  assert_int_equal(mllp_reply(o.l, o.t[3], LIT("d")), HDW_OK);
  peer_expect(&o.r, &p, S "d" E S "e" E);
  assert_int_equal(mllp_send(o.l, o.t[0], LIT("late application ack")), HDW_OK);
  peer_expect(&o.r, &p, S "late application ack" E);
  peer_close(&p);
  run_for(&o, 50000);
  assert_int_equal(mllp_send(o.l, o.t[0], LIT("x")), HDW_E_CLOSED);
  shut(&o);
}

BOTH(test_H13_unanswered_frames_stop_reading) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){.max_unacked = 2});
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "1" E S "2" E S "3" E S "4" E S "5" E S "6" E S "ha"));
  run_for(&o, 50000);
  assert_int_equal(o.n, 2);
  peer_want(&p);
  for (unsigned i = 0; i < 6; i++) {
    assert_int_equal(mllp_reply(o.l, o.t[i], LIT("ok")), HDW_OK);
    o.answered++;
    run_for(&o, 20000);
    assert_int_equal(o.n, i + 3 < 6 ? i + 3 : 6);
  }
  assert_int_equal(o.max_open, 2);
  peer_say(&p, LIT("lf" E));
  wanted = 7;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_string_equal(o.text[6], "half");
  peer_close(&p);
  shut(&o);
}

BOTH(test_H13_pause_stops_reading_and_loses_nothing) {
  owner o;
  peer p, q;
  open_with(&o, real, (mllp_listener_opts){.frame_timeout_us = 100000});
  o.at_once = true;
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "1" E S "begun"));
  peer_expect(&o.r, &p, S "ACK 1" E);
  mllp_listener_pause(o.l, true);
  peer_say(&p, LIT(E));
  peer_open(&q, &o.r, &a);
  q.piece = 0;
  run_for(&o, 300000); /* longer than a frame's time: our pause is not the peer's fault */
  assert_int_equal(o.n, 1);
  mllp_listener_pause(o.l, false);
  peer_expect(&o.r, &p, S "ACK begun" E);
  peer_say(&q, LIT(S "q" E));
  peer_expect(&o.r, &q, S "ACK q" E);
  peer_close(&p);
  peer_close(&q);
  shut(&o);
}

BOTH(test_H5_frame_timeout) {
  owner o;
  peer p, idle;
  open_with(&o, real, (mllp_listener_opts){.frame_timeout_us = 60000});
  o.at_once = true;
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_open(&idle, &o.r, &a);
  peer_say(&p, LIT(S "half"));
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &p));
  const mllp_stats *st = mllp_listener_stats(o.l);
  assert_int_equal(st->frame_timeouts, 1);
  assert_int_equal(o.n, 0);
  assert_int_equal(st->open, 1); /* an idle connection is not in a frame */
  peer_close(&p);
  peer_close(&idle);
  shut(&o);
}

BOTH(test_H5_idle_timeout_waits_for_owed_answers) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){.idle_timeout_us = 50000});
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "m" E));
  run_for(&o, 200000);
  assert_false(p.eof);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("ok")), HDW_OK);
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &p));
  assert_int_equal(mllp_listener_stats(o.l)->idle_timeouts, 1);
  peer_close(&p);
  shut(&o);
}

BOTH(test_H5_oversize_is_refused_and_closed) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){.max_frame_bytes = 1000, .oversize = on_oversize});
  io_addr a = where(&o);
  static char big[300000];
  memset(big, 'x', sizeof big);
  memcpy(big, S "first" E S "MSH|", 12);
  peer_open(&p, &o.r, &a);
  peer_say(&p, big, sizeof big);
  wanted = 1;
  assert_true(rig_run(&o.r, 2000000, has_wanted, &o));
  run_for(&o, 20000);
  assert_int_equal(o.oversize, 1);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("ok")), HDW_OK);
  assert_true(rig_run(&o.r, 5000000, peer_at_eof, &p));
  assert_int_equal(p.in_len, 5 + 6);
  assert_memory_equal(p.in, S "ok" E S "NAK" E, p.in_len);
  peer_close(&p);
  shut(&o);
}

BOTH(test_H6_half_a_frame_is_never_delivered) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){0});
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  p.end_after = true;
  peer_say(&p, LIT("junk" S "whole" E S "half"));
  run_for(&o, 50000);
  const mllp_stats *st = mllp_listener_stats(o.l);
  assert_int_equal(o.n, 1);
  assert_int_equal(st->partials, 1);
  assert_int_equal(st->junk_bytes, 4);
  /* Our answer still reaches a peer that only ended its own direction; then the connection ends. */
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("ok")), HDW_OK);
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &p));
  assert_memory_equal(p.in, S "ok" E, 5);
  peer_close(&p);
  run_for(&o, 50000);
  assert_int_equal(st->open, 0);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("ok")), HDW_E_CLOSED);
  shut(&o);
}

BOTH(test_H2_strict_violation_closes_after_owed_answers) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){.strict = true});
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "one" E "junk" S "two" E));
  run_for(&o, 50000);
  assert_int_equal(o.n, 1);
  assert_false(p.eof);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("ok")), HDW_OK);
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &p));
  assert_int_equal(mllp_listener_stats(o.l)->violations, 1);
  peer_close(&p);
  shut(&o);
}

BOTH(test_H9_v2_commit_blocks_before_answers) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){.version = 2});
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "1" E S "2" E S "\x06" E));
  wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(mllp_commit(o.l, o.t[1], false), HDW_OK);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("app")), HDW_OK);
  run_for(&o, 20000);
  assert_int_equal(p.in_len, 0); /* nothing before the first commit */
  assert_int_equal(mllp_commit(o.l, o.t[0], true), HDW_E_CLOSED); /* answered before it was committed: the owner's fault */
  peer_close(&p);
  shut(&o);

  open_with(&o, real, (mllp_listener_opts){.version = 2});
  a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "1" E S "2" E));
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(mllp_commit(o.l, o.t[1], false), HDW_OK);
  assert_int_equal(mllp_reply(o.l, o.t[1], NULL, 0), HDW_OK);
  assert_int_equal(mllp_commit(o.l, o.t[0], true), HDW_OK);
  peer_expect(&o.r, &p, S "\x06" E S "\x15" E);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("app")), HDW_OK);
  peer_expect(&o.r, &p, S "app" E);
  peer_close(&p);
  shut(&o);
}

BOTH(test_H11_v1_drops_commit_blocks) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){0});
  o.at_once = true;
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "\x06" E S "\x15" E S E S "real" E));
  peer_expect(&o.r, &p, S "ACK real" E);
  const mllp_stats *st = mllp_listener_stats(o.l);
  assert_int_equal(st->stray_commits, 2);
  assert_int_equal(st->empty_frames, 1);
  assert_int_equal(mllp_commit(o.l, o.t[0], true), HDW_E_INVALID);
  peer_close(&p);
  shut(&o);
}

BOTH(test_H12_allow_list_and_connection_limits) {
  owner o;
  peer p[4];
  net_cidr ten, local;
  assert_int_equal(net_cidr_parse("10.0.0.0/8", &ten), HDW_OK);
  assert_int_equal(net_cidr_parse("127.0.0.0/8", &local), HDW_OK);
  open_with(&o, real, (mllp_listener_opts){.allow = &ten, .n_allow = 1});
  io_addr a = where(&o);
  peer_open(&p[0], &o.r, &a);
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &p[0]) || p[0].reset);
  assert_int_equal(mllp_listener_stats(o.l)->refused, 1);
  peer_close(&p[0]);
  shut(&o);
  for (int per_peer = 0; per_peer < 2; per_peer++) {
    open_with(&o, real, (mllp_listener_opts){.allow = &local, .n_allow = 1, .max_conns = per_peer ? 10 : 3, .max_conns_per_peer = per_peer ? 3 : 0});
    o.at_once = true;
    a = where(&o);
    for (int i = 0; i < 4; i++) {
      peer_open(&p[i], &o.r, &a);
      run_for(&o, 10000);
    }
    assert_true(p[3].eof);
    peer_close(&p[0]);
    peer_close(&p[3]);
    run_for(&o, 20000);
    peer_open(&p[0], &o.r, &a); /* room again */
    peer_say(&p[0], LIT(S "in" E));
    peer_expect(&o.r, &p[0], S "ACK in" E);
    for (int i = 0; i < 3; i++) peer_close(&p[i]);
    shut(&o);
  }
}

BOTH(test_graceful_stop_answers_what_was_read) {
  owner o;
  peer p, idle;
  open_with(&o, real, (mllp_listener_opts){0});
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_open(&idle, &o.r, &a);
  peer_say(&p, LIT(S "1" E));
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  mllp_listener_stop(o.l, true);
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &idle));
  assert_false(p.eof);
  assert_int_equal(mllp_reply(o.l, o.t[0], LIT("ok")), HDW_OK);
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &p));
  assert_memory_equal(p.in, S "ok" E, 5);
  peer_close(&p);
  peer_close(&idle);
  shut(&o);
}

BOTH(test_stop_from_inside_a_callback) {
  owner o;
  peer p;
  open_with(&o, real, (mllp_listener_opts){0});
  o.stop_inside = true;
  io_addr a = where(&o);
  peer_open(&p, &o.r, &a);
  peer_say(&p, LIT(S "1" E S "2" E));
  assert_true(rig_run(&o.r, 2000000, peer_at_eof, &p));
  assert_int_equal(o.n, 1);
  peer_close(&p);
  shut(&o);
}

/* ---- client ---- */

typedef struct sends {
  unsigned done, noise;
  hdw_status s;
  bool sent;
  char text[64];
  const char *match;
} sends;
static void on_sent(void *user, hdw_status s, bool sent, const uint8_t *p, size_t len) {
  sends *x = user;
  x->done++;
  x->s = s;
  x->sent = sent;
  snprintf(x->text, sizeof x->text, "%.*s", (int)len, len ? (const char *)p : "");
}
static bool is_match(void *user, const uint8_t *p, size_t len) { return len >= strlen(((sends *)user)->match) && !memcmp(p, ((sends *)user)->match, strlen(((sends *)user)->match)); }
static void on_noise(void *user, const uint8_t *p, size_t len) {
  (void)p, (void)len;
  ((sends *)user)->noise++;
}
static unsigned sends_wanted;
static bool has_sent(void *user) { return ((sends *)user)->done >= sends_wanted; }

BOTH(test_H1_client_keeps_its_connection) {
  owner o;
  mllp_client *c;
  sends x = {0};
  open_with(&o, real, (mllp_listener_opts){0});
  o.at_once = true;
  mllp_client_opts co = {.addr = where(&o)};
  assert_int_equal(mllp_client_new(o.r.x, &co, &c), HDW_OK);
  for (sends_wanted = 1; sends_wanted <= 3; sends_wanted++) {
    assert_int_equal(mllp_client_send(c, LIT("hello"), NULL, on_sent, &x), HDW_OK);
    assert_int_equal(mllp_client_send(c, LIT("two"), NULL, on_sent, &x), HDW_E_AGAIN);
    assert_true(mllp_client_busy(c));
    assert_true(rig_run(&o.r, 5000000, has_sent, &x));
    assert_int_equal(x.s, HDW_OK);
    assert_string_equal(x.text, "ACK hello");
  }
  assert_int_equal(mllp_client_send(c, LIT("bad" S), NULL, on_sent, &x), HDW_E_DATA);
  assert_int_equal(mllp_listener_stats(o.l)->accepted, 1);
  mllp_client_free(c);
  shut(&o);
}

BOTH(test_H19_late_and_foreign_answers_complete_nothing) {
  owner o;
  mllp_client *c;
  sends x = {.match = "ACK one"};
  open_with(&o, real, (mllp_listener_opts){0});
  mllp_client_opts co = {.addr = where(&o), .reply_timeout_us = 100000, .unsolicited = on_noise, .user = &x};
  assert_int_equal(mllp_client_new(o.r.x, &co, &c), HDW_OK);
  assert_int_equal(mllp_client_send(c, LIT("one"), is_match, on_sent, &x), HDW_OK);
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  sends_wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_sent, &x));
  assert_int_equal(x.s, HDW_E_TIMEOUT);
  assert_true(x.sent);
  /* The connection of the first send is gone; its late answer cannot arrive on the second one's. */
  run_for(&o, 20000);
  (void)mllp_reply(o.l, o.t[0], LIT("ACK one"));
  x.match = "ACK two";
  assert_int_equal(mllp_client_send(c, LIT("two"), is_match, on_sent, &x), HDW_OK);
  wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(mllp_send(o.l, o.t[1], LIT("ACK one")), HDW_OK); /* somebody else's answer first */
  assert_int_equal(mllp_reply(o.l, o.t[1], LIT("ACK two")), HDW_OK);
  sends_wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_sent, &x));
  assert_int_equal(x.s, HDW_OK);
  assert_string_equal(x.text, "ACK two");
  assert_int_equal(x.noise, 1);
  mllp_client_free(c);
  shut(&o);
}

BOTH(test_H20_client_failures_are_told_apart) {
  owner o;
  mllp_client *c;
  sends x = {0};
  open_with(&o, real, (mllp_listener_opts){0});
  mllp_client_opts co = {.addr = where(&o), .connect_timeout_us = 200000};
  assert_int_equal(mllp_client_new(o.r.x, &co, &c), HDW_OK);
  assert_int_equal(mllp_client_send(c, LIT("one"), NULL, on_sent, &x), HDW_OK);
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  mllp_listener_stop(o.l, false); /* dies with our message */
  sends_wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_sent, &x));
  assert_true(x.s == HDW_E_CLOSED || x.s == HDW_E_IO);
  assert_true(x.sent);
  assert_int_equal(mllp_client_send(c, LIT("two"), NULL, on_sent, &x), HDW_OK); /* nobody listens */
  sends_wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_sent, &x));
  assert_int_equal(x.s, HDW_E_CLOSED);
  assert_false(x.sent);
  assert_int_equal(mllp_client_send(c, LIT("three"), NULL, on_sent, &x), HDW_OK);
  mllp_client_cancel(c);
  run_for(&o, 300000);
  assert_int_equal(x.done, 2);
  mllp_client_free(c);
  shut(&o);
}

BOTH(test_H10_v2_client_resends_after_negative_commit) {
  owner o;
  mllp_client *c;
  sends x = {0};
  open_with(&o, real, (mllp_listener_opts){.version = 2});
  mllp_client_opts co = {.addr = where(&o), .version = 2, .commit_retries = 1};
  assert_int_equal(mllp_client_new(o.r.x, &co, &c), HDW_OK);
  assert_int_equal(mllp_client_send(c, LIT("m"), NULL, on_sent, &x), HDW_OK);
  wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_int_equal(mllp_commit(o.l, o.t[0], false), HDW_OK);
  assert_int_equal(mllp_reply(o.l, o.t[0], NULL, 0), HDW_OK);
  wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
  assert_string_equal(o.text[1], "m");
  assert_int_equal(mllp_commit(o.l, o.t[1], true), HDW_OK);
  run_for(&o, 20000);
  assert_int_equal(x.done, 0); /* a commit block is not the answer */
  assert_int_equal(mllp_reply(o.l, o.t[1], LIT("app")), HDW_OK);
  sends_wanted = 1;
  assert_true(rig_run(&o.r, 5000000, has_sent, &x));
  assert_int_equal(x.s, HDW_OK);
  assert_string_equal(x.text, "app");
  assert_int_equal(mllp_client_send(c, LIT("n"), NULL, on_sent, &x), HDW_OK);
  for (wanted = 3; wanted <= 4; wanted++) {
    assert_true(rig_run(&o.r, 5000000, has_wanted, &o));
    assert_int_equal(mllp_commit(o.l, o.t[wanted - 1], false), HDW_OK);
    assert_int_equal(mllp_reply(o.l, o.t[wanted - 1], NULL, 0), HDW_OK);
  }
  sends_wanted = 2;
  assert_true(rig_run(&o.r, 5000000, has_sent, &x));
  assert_int_equal(x.s, HDW_E_DATA);
  mllp_client_free(c);
  shut(&o);
}

/* ---- many orders of events, and memory that runs out ---- */

enum { SENDERS = 4, EACH = 12 };
typedef struct storm {
  owner o;
  mllp_token t[SENDERS * EACH];
  char text[SENDERS * EACH][8];
  unsigned n, answered;
  uint64_t rng;
} storm;
static unsigned draw(storm *x, unsigned n) {
  x->rng = x->rng * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(x->rng >> 33) % n;
}
/* Answers one of the waiting frames, any. */
static void answer_any(storm *x) {
  unsigned i = x->answered + draw(x, x->n - x->answered);
  char ack[16];
  int k = snprintf(ack, sizeof ack, "A%s", x->text[i]);
  assert_int_equal(mllp_reply(x->o.l, x->t[i], ack, (size_t)k), HDW_OK);
  x->t[i] = x->t[x->answered];
  memcpy(x->text[i], x->text[x->answered], sizeof *x->text);
  x->answered++;
}
static void storm_frame(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  storm *x = user;
  (void)from;
  assert_true(x->n < SENDERS * EACH && len < sizeof *x->text);
  x->t[x->n] = t;
  snprintf(x->text[x->n++], sizeof *x->text, "%.*s", (int)len, (const char *)p);
  while (x->n > x->answered && draw(x, 3)) answer_any(x);
}
static bool storm_over(void *user) {
  storm *x = user;
  if (x->n > x->answered) answer_any(x);
  return x->answered == SENDERS * EACH;
}

static void test_H8_order_holds_under_many_seeds(void **st) {
  (void)st;
  for (uint64_t seed = 1; seed <= 150; seed++) {
    storm x;
    memset(&x, 0, sizeof x);
    x.rng = seed;
    rig_init(&x.o.r, false, seed);
    mllp_listener_opts opts = {.addr = loopback(), .frame = storm_frame, .user = &x, .max_unacked = 1 + (unsigned)seed % 5};
    assert_int_equal(mllp_listener_new(x.o.r.x, &opts, &x.o.l), HDW_OK);
    peer p[SENDERS];
    char out[SENDERS][EACH * 8], want[SENDERS][EACH * 8];
    io_addr a = where(&x.o);
    for (int i = 0; i < SENDERS; i++) {
      int n = 0, w = 0;
      for (int k = 0; k < EACH; k++) {
        n += sprintf(out[i] + n, S "%d.%d" E, i, k);
        w += sprintf(want[i] + w, S "A%d.%d" E, i, k);
      }
      peer_open(&p[i], &x.o.r, &a);
      p[i].piece = draw(&x, 9);
      peer_say(&p[i], out[i], (size_t)n);
    }
    assert_true(rig_run(&x.o.r, 60000000, storm_over, &x));
    for (int i = 0; i < SENDERS; i++) {
      p[i].want = strlen(want[i]);
      assert_true(rig_run(&x.o.r, 5000000, peer_has, &p[i]));
      assert_int_equal(p[i].in_len, strlen(want[i]));
      assert_memory_equal(p[i].in, want[i], p[i].in_len);
      peer_close(&p[i]);
    }
    shut(&x.o);
  }
}

static void oom_frame(void *user, mllp_token t, const mllp_peer *from, const uint8_t *p, size_t len) {
  owner *o = user;
  (void)from;
  o->n++;
  (void)mllp_reply(o->l, t, p, len); /* may fail: then nothing was sent */
}

/* Every allocation fails once: no leak, no crash, and an answer that comes is whole. */
static void test_T5_every_allocation_may_fail(void **st) {
  (void)st;
  static char big[40000];
  memset(big, 'x', sizeof big);
  memcpy(big, S, 1);
  memcpy(big + sizeof big - 2, E, 2);
  unsigned good = 0;
  for (long at = 0; at < 60; at++) {
    owner o;
    peer p;
    memset(&o, 0, sizeof o);
    rig_init(&o.r, false, 9);
    mllp_client *c = NULL;
    sends x = {0};
    mllp_listener_opts opts = {.addr = loopback(), .frame = oom_frame, .user = &o};
    o.r.tm.fail_after = at;
    if (mllp_listener_new(o.r.x, &opts, &o.l) == HDW_OK) {
      io_addr a = where(&o);
      memset(&p, 0, sizeof p);
      p.r = &o.r;
      bool opened = io_connect(o.r.x, &a, peer_event, &p, &p.s) == HDW_OK;
      if (opened) peer_say(&p, big, sizeof big);
      mllp_client_opts co = {.addr = a, .reply_timeout_us = 1000000};
      if (mllp_client_new(o.r.x, &co, &c) == HDW_OK && mllp_client_send(c, LIT("hello"), NULL, on_sent, &x) == HDW_OK) {
        sends_wanted = 1;
        assert_true(rig_run(&o.r, 5000000, has_sent, &x));
        if (x.s == HDW_OK) assert_string_equal(x.text, "hello");
      }
      rig_run(&o.r, 1000000, NULL, NULL);
      assert_true(p.in_len == 0 || p.in_len == sizeof big);
      good += p.in_len == sizeof big && x.s == HDW_OK && x.done;
      if (opened) peer_close(&p);
      mllp_client_free(c);
      mllp_listener_free(o.l);
    }
    o.r.tm.fail_after = -1;
    rig_free(&o.r);
  }
  assert_true(good > 5 && good < 60); /* some points were hit, and beyond the last one all is well */
}

#define TWO(n) cmocka_unit_test(n##_sim), cmocka_unit_test(n##_linux)
int main(void) {
  const struct CMUnitTest t[] = {
      TWO(test_H7_many_messages_on_a_connection), TWO(test_H8_answers_leave_in_the_order_of_frames), TWO(test_H13_unanswered_frames_stop_reading),
      TWO(test_H13_pause_stops_reading_and_loses_nothing), TWO(test_H5_frame_timeout), TWO(test_H5_idle_timeout_waits_for_owed_answers),
      TWO(test_H5_oversize_is_refused_and_closed), TWO(test_H6_half_a_frame_is_never_delivered), TWO(test_H2_strict_violation_closes_after_owed_answers),
      TWO(test_H9_v2_commit_blocks_before_answers), TWO(test_H11_v1_drops_commit_blocks), TWO(test_H12_allow_list_and_connection_limits),
      TWO(test_graceful_stop_answers_what_was_read), TWO(test_stop_from_inside_a_callback), TWO(test_H1_client_keeps_its_connection),
      TWO(test_H19_late_and_foreign_answers_complete_nothing), TWO(test_H20_client_failures_are_told_apart), TWO(test_H10_v2_client_resends_after_negative_commit),
      cmocka_unit_test(test_H8_order_holds_under_many_seeds), cmocka_unit_test(test_T5_every_allocation_may_fail)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
