/* The MLLP driver at the seam: a host with several addresses of which one does not answer. */
#include "prog_rig.h"
#include "engine_int.h"

typedef struct receiver {
  io *x;
  io_listener *l;
  unsigned connections, messages;
} receiver;

static void on_bytes(io_sock *s, unsigned events, void *user) {
  receiver *r = (receiver *)user;
  char in[4000], ack[200];
  size_t n = 0, put = 0;
  (void)events;
  hdw_status st = io_read(s, in, sizeof in - 1, &n);
  if (st == HDW_E_AGAIN) return;
  if (st) {
    io_close(s);
    return;
  }
  in[n] = 0;
  assert_non_null(strstr(in, "\x1c\r")); /* the messages of this test come in one piece */
  char *id = strstr(in, "ADT^A01|") + 8;
  *strchr(id, '|') = 0;
  int len = snprintf(ack, sizeof ack, "\x0bMSH|^~\\&|R|R|S|S|2026||ACK|%u|P|2.5.1\rMSA|AA|%s\r\x1c\r", ++r->messages, id);
  assert_int_equal(io_write(s, ack, (size_t)len, &put), HDW_OK);
}
static void on_accept(io_listener *l, io_sock *s, void *user) {
  (void)l;
  ((receiver *)user)->connections++;
  io_sock_on(s, IO_READ, on_bytes, user);
}

/* The first address is nobody's. */
static unsigned two(const char *host, io_addr *out, unsigned cap, void *user) {
  (void)host, (void)user;
  assert_true(cap >= 2);
  return io_addr_parse("10.0.0.1:2599", &out[0]) || io_addr_parse("10.0.0.2:2599", &out[1]) ? 0 : 2;
}

static const char program[] = "hdw 1\nlistener adt = mllp(port: 2575)\nconnection ward = mllp(host: 'ward.example.org', port: 2599, timeout: 2 seconds)\n"
                              "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  send ward.message(msg)\n}\n";

static void test_another_address_of_the_host_is_tried_and_kept(void **state) {
  (void)state;
  prog *p = prog_new(program, NULL, NULL, 0);
  engine_close(p->e); /* again, with drivers in the place of mocks */
  receiver r = {.x = p->io};
  io_addr at;
  assert_int_equal(io_addr_parse("10.0.0.2:2599", &at), HDW_OK);
  assert_int_equal(io_listen(p->io, &at, on_accept, &r, &r.l), HDW_OK);
  io_sim_on_resolve(p->io, two, NULL);
  static const char *networks[] = {"10.0.0.0/8"};
  p->cfg.conns[0].networks.v = networks, p->cfg.conns[0].networks.n = 1;
  prog_open_drivers(p);
  prog_submit(p, "M1", "1", "");
  prog_run_for(p, 20000000);
  assert_int_equal(r.messages, 1);
  engine_sink s;
  assert_true(engine_sink_at(p->e, 0, &s));
  assert_int_equal(s.delivered, 1);
  assert_int_equal(s.failed, 1); /* the one that is not there */
  assert_non_null(strstr(s.last_error, "no connection to ward.example.org:2599: nothing listens there"));
  prog_submit(p, "M2", "1", "");
  prog_submit(p, "M3", "2", "");
  prog_run_for(p, 5000000);
  assert_true(engine_sink_at(p->e, 0, &s));
  assert_int_equal(s.delivered, 3);
  assert_int_equal(s.failed, 1); /* it stays with the one that answers */
  assert_int_equal(r.connections, 1);
  io_listener_close(r.l);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_another_address_of_the_host_is_tried_and_kept)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
