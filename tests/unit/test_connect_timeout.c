/* the time to connect is bounded for itself, on real sockets: a peer whose queue of connections is full answers nothing, as one behind a firewall that drops does. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http_curl.h"
#include "mllp.h"
#include "net_rig.h"

enum { FILL = 16 };

typedef struct wall {
  rig r;
  io_addr at;
  int listener, fill[FILL];
  unsigned nfill, done;
  hdw_status status;
  bool sent;
} wall;

/* Linux takes one connection more than the backlog says; a further one's SYN is dropped and sent again, for minutes. */
static void wall_up(wall *w) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  memset(w, 0, sizeof *w);
  rig_init(&w->r, true, 1);
  w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(w->listener >= 0 && !bind(w->listener, (struct sockaddr *)&a, n) && !listen(w->listener, 0) && !getsockname(w->listener, (struct sockaddr *)&a, &n));
  w->at = loopback();
  w->at.port = ntohs(a.sin_port);
  bool full = false;
  while (!full && w->nfill < FILL) {
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(s >= 0);
    w->fill[w->nfill++] = s;
    assert_true(!connect(s, (struct sockaddr *)&a, sizeof a) || errno == EINPROGRESS);
    rig_run(&w->r, 20000, NULL, NULL);
    full = getpeername(s, (struct sockaddr *)&(struct sockaddr_in){0}, &(socklen_t){sizeof a}) != 0; /* not connected */
  }
  assert_true(full);
}
static void wall_down(wall *w) {
  for (unsigned i = 0; i < w->nfill; i++) close(w->fill[i]);
  close(w->listener);
  rig_free(&w->r);
}
static bool is_done(void *user) { return ((wall *)user)->done > 0; }

static void on_sent(void *user, hdw_status s, bool sent, const uint8_t *p, size_t len) {
  wall *w = (wall *)user;
  (void)p, (void)len;
  w->done++, w->status = s, w->sent = sent;
}

static void test_R7_mllp(void **state) {
  (void)state;
  wall w;
  mllp_client *c;
  wall_up(&w);
  mllp_client_opts o = {.addr = w.at, .connect_timeout_us = 300000, .reply_timeout_us = 60000000};
  assert_int_equal(mllp_client_new(w.r.x, &o, &c), HDW_OK);
  int64_t began = io_mono_us(w.r.x);
  assert_int_equal(mllp_client_send(c, LIT("MSH|^~\\&|"), NULL, on_sent, &w), HDW_OK);
  assert_true(rig_run(&w.r, 20000000, is_done, &w));
  int64_t took = io_mono_us(w.r.x) - began;
  assert_true(took >= 300000 && took < 10000000);
  assert_int_equal(w.status, HDW_E_TIMEOUT);
  assert_false(w.sent); /* never ambiguous */
  mllp_client_free(c);
  wall_down(&w);
}

static void on_answer(const io_http_res *res, void *user) {
  wall *w = (wall *)user;
  w->done++, w->status = res->status, w->sent = res->sent;
}

static void test_R7_http(void **state) {
  (void)state;
  wall w;
  wall_up(&w);
  io_http_req q = {.method = "POST", .host = "127.0.0.1", .port = w.at.port, .target = "/", .body = "{}", .body_len = 2, .pin = &w.at, .npin = 1, .timeout_us = 60000000, .connect_timeout_us = 300000};
  int64_t began = io_mono_us(w.r.x);
  assert_int_equal(io_http_request(w.r.x, &q, on_answer, &w, NULL), HDW_OK);
  assert_true(rig_run(&w.r, 20000000, is_done, &w));
  int64_t took = io_mono_us(w.r.x) - began;
  assert_true(took >= 290000 && took < 10000000);
  assert_int_equal(w.status, HDW_E_TIMEOUT);
  assert_false(w.sent);
  wall_down(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_R7_mllp), cmocka_unit_test(test_R7_http)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
