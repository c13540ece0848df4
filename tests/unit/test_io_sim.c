/* The simulated seam: order from the seed, sockets, faults, power cuts, HTTP and names; and the pieces shared with the real side. */
#include "support.h"
#include "io_sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static io *new_sim(test_mem *t, uint64_t seed, bool orderly) {
  io *x;
  io_sim_opts o = {.seed = seed, .orderly = orderly, .limit_us = 60000000};
  test_mem_init(t);
  assert_int_equal(io_sim_new(&t->m, &o, &x), HDW_OK);
  return x;
}

static void end_sim(test_mem *t, io *x) {
  io_sim_free(x);
  assert_int_equal(t->live_bytes, 0);
}

/* ---- heap and addresses ---- */

static void test_heap_gives_times_in_order(void **state) {
  (void)state;
  enum { N = 500 };
  static io_timer t[N];
  io_heap h = {0};
  srand(7);
  memset(t, 0, sizeof t);
  for (int i = 0; i < N; i++) {
    t[i].at_us = rand() % 50;
    t[i].tie = (uint64_t)i;
    io_heap_add(&h, &t[i]);
  }
  for (int i = 0; i < N; i += 3) io_heap_remove(&h, &t[i]);
  io_heap_remove(&h, &t[0]); /* not set any more: no effect */
  int64_t last = -1;
  uint64_t last_tie = 0;
  int n = 0;
  for (io_timer *f; (f = io_heap_first(&h)); n++) {
    assert_true(f->at_us > last || (f->at_us == last && f->tie > last_tie));
    last = f->at_us, last_tie = f->tie;
    io_heap_remove(&h, f);
    assert_false(f->set);
  }
  assert_int_equal(n, N - (N + 2) / 3);
}

static void test_addresses_round_trip_and_reject_names(void **state) {
  (void)state;
  static const char *const good[] = {"127.0.0.1:2575", "[::1]:80", "unix:/run/x.sock", "10.1.2.3:0", "[fe80::1]:65535"};
  static const char *const bad[] = {"", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:8x", "::1:80", "[::1]", "unix:", "1.2.3:4", "256.1.1.1:1"};
  char text[IO_ADDR_TEXT];
  io_addr a;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    assert_int_equal(io_addr_parse(good[i], &a), HDW_OK);
    assert_string_equal(io_addr_format(&a, text), good[i]);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_int_equal(io_addr_parse(bad[i], &a), HDW_E_SYNTAX);
}

/* ---- timers ---- */

typedef struct clockwork {
  io *x;
  io_timer a, b, c;
  char order[16];
  int64_t times[8];
  int n;
} clockwork;

static void fire_a(void *user) {
  clockwork *w = (clockwork *)user;
  w->order[w->n] = 'a';
  w->times[w->n++] = io_mono_us(w->x);
  io_timer_cancel(w->x, &w->c);
  if (w->n < 3) io_timer_set(w->x, &w->a, 1000, fire_a, w);
}
static void fire_b(void *user) {
  clockwork *w = (clockwork *)user;
  w->order[w->n] = 'b';
  w->times[w->n++] = io_mono_us(w->x);
}

static void test_timers_advance_the_virtual_clock(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 1, false);
  clockwork w = {.x = x};
  int64_t wall = io_wall_us(x);
  io_timer_set(x, &w.b, 5000000, fire_b, &w);
  io_timer_set(x, &w.a, 1000000, fire_a, &w);
  io_timer_set(x, &w.c, 1500000, fire_b, &w);
  assert_int_equal(io_run(x), HDW_OK);
  assert_string_equal(w.order, "aaab");
  assert_int_equal(w.times[0], 1000000);
  assert_int_equal(w.times[1], 1001000);
  assert_int_equal(w.times[3], 5000000);
  assert_int_equal(io_wall_us(x) - wall, 5000000);
  end_sim(&t, x);
}

/* ---- sockets ---- */

enum { BYTES = 300000 };
typedef struct peer {
  io *x;
  io_sock *s;
  size_t sent, got;
  uint32_t hash;
  bool server, closed;
  hdw_status end;
  unsigned events;
} peer;

static uint8_t byte_at(size_t i) { return (uint8_t)(i * 31 + i / 256); }

static void talk(io_sock *s, unsigned ev, void *user) {
  peer *p = (peer *)user;
  uint8_t b[5000];
  size_t n;
  p->events |= ev;
  if (ev & IO_FAILED) {
    io_close(s);
    p->closed = true;
    return;
  }
  if (ev & IO_CONNECTED) {
    io_sock_on(s, IO_READ | IO_WRITE, talk, p);
    return;
  }
  if (ev & IO_READ) {
    hdw_status st;
    while ((st = io_read(s, b, sizeof b, &n)) == HDW_OK) {
      for (size_t i = 0; i < n; i++) assert_int_equal(b[i], byte_at(p->got + i));
      p->got += n;
    }
    if (st != HDW_E_AGAIN) {
      p->end = st;
      if (p->sent == BYTES) {
        io_close(s);
        p->closed = true;
        return;
      }
      io_sock_on(s, IO_WRITE, talk, p);
      ev |= IO_WRITE;
    }
  }
  if (ev & IO_WRITE) {
    while (p->sent < BYTES) {
      size_t want = BYTES - p->sent < sizeof b ? BYTES - p->sent : sizeof b;
      for (size_t i = 0; i < want; i++) b[i] = byte_at(p->sent + i);
      hdw_status st = io_write(s, b, want, &n);
      if (st == HDW_E_AGAIN) return;
      assert_int_equal(st, HDW_OK);
      p->sent += n;
    }
    io_shutdown(s);
    io_sock_on(s, IO_READ, talk, p); /* an end that was already seen shows again */
  }
}

static void accepted(io_listener *l, io_sock *s, void *user) {
  (void)l;
  ((peer *)user)->s = s;
  io_sock_on(s, IO_READ | IO_WRITE, talk, user);
}

static uint64_t exchange(uint64_t seed, bool orderly) {
  test_mem t;
  io *x = new_sim(&t, seed, orderly);
  peer server = {.x = x, .server = true}, client = {.x = x};
  io_addr a;
  io_listener *l;
  assert_int_equal(io_addr_parse("127.0.0.1:0", &a), HDW_OK);
  assert_int_equal(io_listen(x, &a, accepted, &server, &l), HDW_OK);
  io_listener_addr(l, &a);
  assert_int_not_equal(a.port, 0);
  io_listener *l2;
  assert_int_equal(io_listen(x, &a, accepted, &server, &l2), HDW_E_EXISTS);
  assert_int_equal(io_connect(x, &a, talk, &client, &client.s), HDW_OK);
  assert_int_equal(io_run(x), HDW_OK);
  assert_int_equal(client.got, BYTES);
  assert_int_equal(server.got, BYTES);
  assert_true(client.closed && server.closed);
  assert_int_equal(client.end, HDW_E_CLOSED);
  io_listener_close(l);
  uint64_t trace = io_sim_trace(x, NULL);
  end_sim(&t, x);
  return trace;
}

static void test_bytes_both_ways_survive_portions_and_back_pressure(void **state) {
  (void)state;
  exchange(3, true);
  for (uint64_t seed = 1; seed <= 20; seed++) exchange(seed, false);
}

static void test_same_seed_same_run_other_seed_other_run(void **state) {
  (void)state;
  assert_true(exchange(42, false) == exchange(42, false));
  assert_true(exchange(42, false) != exchange(43, false));
}

static void test_connecting_to_nobody_fails(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 1, false);
  peer client = {.x = x};
  io_addr a;
  io_addr_parse("10.0.0.1:9", &a);
  assert_int_equal(io_connect(x, &a, talk, &client, &client.s), HDW_OK);
  assert_int_equal(client.events, 0); /* never from inside the call */
  io_run(x);
  assert_int_equal(client.events, IO_FAILED);
  end_sim(&t, x);
}

static void keep(io_listener *l, io_sock *s, void *user) {
  (void)l;
  *(io_sock **)user = s;
}
static void note(io_sock *s, unsigned ev, void *user) {
  (void)s;
  *(unsigned *)user |= ev;
}

static void test_closing_with_unread_bytes_resets_the_peer(void **state) {
  (void)state;
  for (int unread = 0; unread < 2; unread++) {
    test_mem t;
    io *x = new_sim(&t, 5, false);
    io_sock *server = NULL, *client;
    unsigned ev = 0;
    io_listener *l;
    io_addr a;
    size_t n;
    char b[8];
    io_addr_parse("unix:/x", &a);
    assert_int_equal(io_listen(x, &a, keep, &server, &l), HDW_OK);
    assert_int_equal(io_connect(x, &a, note, &ev, &client), HDW_OK);
    io_run(x);
    assert_int_equal(ev, IO_CONNECTED);
    assert_non_null(server);
    if (unread) assert_int_equal(io_write(client, "x", 1, &n), HDW_OK);
    io_run(x);
    io_close(server);
    io_run(x);
    assert_int_equal(io_read(client, b, sizeof b, &n), unread ? HDW_E_IO : HDW_E_CLOSED);
    io_close(client);
    io_listener_close(l);
    end_sim(&t, x);
  }
}

static void test_paused_listener_keeps_connections_waiting(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 5, false);
  io_sock *server = NULL, *client;
  unsigned ev = 0;
  io_listener *l;
  io_addr a;
  io_addr_parse("127.0.0.1:25", &a);
  io_listen(x, &a, keep, &server, &l);
  io_listener_pause(l, true);
  io_connect(x, &a, note, &ev, &client);
  io_run(x);
  assert_int_equal(ev, IO_CONNECTED);
  assert_null(server);
  io_listener_pause(l, false);
  io_run(x);
  assert_non_null(server);
  io_close(server);
  io_close(client);
  io_listener_close(l);
  end_sim(&t, x);
}

/* ---- files ---- */

static void test_files_in_memory_behave_like_files(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 1, false);
  int fd, fd2;
  size_t got;
  char b[64] = "";
  io_stat_info info;
  assert_int_equal(io_open(x, "/d/f", IO_O_WRITE | IO_O_CREATE, &fd), HDW_E_NOTFOUND);
  assert_int_equal(io_mkdir(x, "/d"), HDW_OK);
  assert_int_equal(io_mkdir(x, "/d"), HDW_E_EXISTS);
  assert_int_equal(io_open(x, "/d/f", IO_O_READ, &fd), HDW_E_NOTFOUND);
  assert_int_equal(io_open(x, "/d/f", IO_O_READ | IO_O_WRITE | IO_O_CREATE | IO_O_LOCK, &fd), HDW_OK);
  assert_int_equal(io_open(x, "/d/f", IO_O_WRITE | IO_O_LOCK, &fd2), HDW_E_DENIED);
  assert_int_equal(io_open(x, "/d/f", IO_O_WRITE | IO_O_CREATE | IO_O_EXCL, &fd2), HDW_E_EXISTS);
  io_slice v[2] = {{"hello ", 6}, {"world", 5}};
  assert_int_equal(io_pwritev(x, fd, v, 2, 3), HDW_OK);
  assert_int_equal(io_pread(x, fd, b, sizeof b, 0, &got), HDW_OK);
  assert_int_equal(got, 14);
  assert_memory_equal(b, "\0\0\0hello world", 14);
  assert_int_equal(io_alloc(x, fd, 4096), HDW_OK);
  assert_int_equal(io_stat(x, "/d/f", &info), HDW_OK);
  assert_int_equal(info.size_bytes, 4096);
  assert_int_equal(io_truncate(x, fd, 5), HDW_OK);
  assert_int_equal(io_truncate(x, fd, 14), HDW_OK);
  assert_int_equal(io_pread(x, fd, b, sizeof b, 0, &got), HDW_OK);
  assert_memory_equal(b, "\0\0\0he\0\0\0\0\0\0\0\0\0", 14);
  assert_int_equal(io_rename(x, "/d/f", "/d/g"), HDW_OK);
  assert_int_equal(io_stat(x, "/d/f", &info), HDW_E_NOTFOUND);
  assert_int_equal(io_unlink(x, "/d/g"), HDW_OK);
  assert_int_equal(io_pread(x, fd, b, 5, 0, &got), HDW_OK); /* open files outlive their name */
  assert_int_equal(got, 5);
  assert_int_equal(io_fclose(x, fd), HDW_OK);
  end_sim(&t, x);
}

static void test_power_cut_keeps_what_was_synced_and_draws_the_rest(void **state) {
  (void)state;
  unsigned old = 0, fresh = 0, torn = 0;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    test_mem t;
    io *x = new_sim(&t, seed, false);
    static uint8_t a[4096], b[4096], c[4096];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    int fd;
    size_t got;
    io_mkdir(x, "/d");
    io_sync_dir(x, "");
    assert_int_equal(io_open(x, "/d/f", IO_O_WRITE | IO_O_CREATE, &fd), HDW_OK);
    assert_int_equal(io_pwrite(x, fd, a, sizeof a, 0), HDW_OK);
    assert_int_equal(io_sync(x, fd), HDW_OK);
    assert_int_equal(io_sync_dir(x, "/d"), HDW_OK);
    assert_int_equal(io_pwrite(x, fd, b, 2048, 2048), HDW_OK);
    io_sim_power_cut(x);
    assert_int_equal(io_pread(x, fd, c, 1, 0, &got), HDW_E_INVALID);
    assert_int_equal(io_open(x, "/d/f", IO_O_READ, &fd), HDW_OK);
    assert_int_equal(io_pread(x, fd, c, sizeof c, 0, &got), HDW_OK);
    assert_int_equal(got, sizeof c);
    assert_memory_equal(c, a, 2048);
    unsigned nb = 0;
    for (size_t s = 2048; s < 4096; s += 512) {
      assert_true(memcmp(c + s, a, 512) == 0 || memcmp(c + s, b, 512) == 0);
      nb += c[s] == 'b';
    }
    old += nb == 0, fresh += nb == 4, torn += nb > 0 && nb < 4;
    io_fclose(x, fd);
    end_sim(&t, x);
  }
  assert_true(torn > 20 && old + fresh > 2);
}

static void test_faults_strike_once_or_from_there_on(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 1, false);
  int fd;
  assert_int_equal(io_open(x, "/f", IO_O_WRITE | IO_O_CREATE, &fd), HDW_OK);
  io_sim_fault(x, IO_SIM_SYNC, 2, HDW_E_IO, false);
  assert_int_equal(io_sync(x, fd), HDW_OK);
  assert_int_equal(io_sync(x, fd), HDW_E_IO);
  assert_int_equal(io_sync(x, fd), HDW_OK);
  io_sim_fault(x, IO_SIM_PWRITE, 1, HDW_E_FULL, true);
  assert_int_equal(io_pwrite(x, fd, "x", 1, 0), HDW_E_FULL);
  assert_int_equal(io_pwrite(x, fd, "x", 1, 0), HDW_E_FULL);
  io_sim_fault(x, IO_SIM_PWRITE, 0, HDW_OK, false);
  assert_int_equal(io_pwrite(x, fd, "x", 1, 0), HDW_OK);
  assert_int_equal(io_sim_calls(x, IO_SIM_SYNC), 3);
  io_fclose(x, fd);
  end_sim(&t, x);
}

/* ---- HTTP and names ---- */

typedef struct web {
  io *x;
  int calls, code;
  hdw_status status;
  char body[32], seen[64];
  int64_t delay;
  bool silent;
} web;

static void serve(io *x, uint64_t id, const io_http_req *req, void *user) {
  web *w = (web *)user;
  snprintf(w->seen, sizeof w->seen, "%s %s %s=%s", req->method, req->target, req->headers[0].name, req->headers[0].value);
  if (w->silent) return;
  io_http_header h = {"Content-Type", "text/plain"};
  io_http_res res = {.status = HDW_OK, .sent = true, .code = 201, .headers = &h, .nheaders = 1, .body = "done", .body_len = 4};
  io_sim_http_reply(x, id, &res, w->delay);
}

static void answered(const io_http_res *res, void *user) {
  web *w = (web *)user;
  w->calls++;
  w->status = res->status;
  w->code = res->code;
  if (res->body_len < sizeof w->body && res->body_len) memcpy(w->body, res->body, res->body_len);
  if (res->nheaders) assert_string_equal(res->headers[0].value, "text/plain");
}

static void ask(web *w, int64_t timeout_us, size_t max_body, uint64_t *id) {
  char name[] = "Accept", value[] = "*/*", target[] = "/x?y=1";
  io_http_header h = {name, value};
  io_http_req r = {.method = "POST", .https = true, .host = "example.org", .port = 443, .target = target, .headers = &h, .nheaders = 1, .timeout_us = timeout_us, .max_body_bytes = max_body};
  assert_int_equal(io_http_request(w->x, &r, answered, w, id), HDW_OK);
  memset(target, '!', sizeof target - 1); /* everything was copied */
}

static void test_http_requests_are_answered_by_the_handler(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 9, false);
  web w = {.x = x};
  ask(&w, 1000000, 100, NULL);
  io_run(x);
  assert_int_equal(w.status, HDW_E_UNSUPPORTED);
  io_sim_on_http(x, serve, &w);
  ask(&w, 1000000, 100, NULL);
  assert_int_equal(w.calls, 1);
  io_run(x);
  assert_int_equal(w.calls, 2);
  assert_int_equal(w.code, 201);
  assert_string_equal(w.body, "done");
  assert_string_equal(w.seen, "POST /x?y=1 Accept=*/*");
  ask(&w, 1000000, 3, NULL);
  io_run(x);
  assert_int_equal(w.status, HDW_E_LIMIT);
  w.delay = 2000000;
  ask(&w, 1000000, 100, NULL);
  io_run(x);
  assert_int_equal(w.status, HDW_E_TIMEOUT);
  uint64_t id;
  ask(&w, 1000000, 100, &id);
  int calls = w.calls;
  io_cancel(x, id);
  io_run(x);
  assert_int_equal(w.calls, calls);
  w.silent = true;
  ask(&w, 1000000, 100, NULL); /* still open when the world ends */
  io_sim_step(x, 1);
  end_sim(&t, x);
}

typedef struct name {
  int calls;
  hdw_status status;
  unsigned n;
  io_addr first;
} name;
static void resolved(hdw_status s, const io_addr *a, unsigned n, void *user) {
  name *r = (name *)user;
  r->calls++, r->status = s, r->n = n;
  if (n) r->first = a[0];
}
static unsigned names(const char *host, io_addr *out, unsigned cap, void *user) {
  (void)user, (void)cap;
  return strcmp(host, "ehr.test") == 0 && io_addr_parse("10.9.8.7:0", &out[0]) == HDW_OK;
}

static void test_names_come_from_the_table(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 9, false);
  name r = {0};
  io_sim_on_resolve(x, names, NULL);
  assert_int_equal(io_resolve(x, "ehr.test", 443, 1000, resolved, &r, NULL), HDW_OK);
  io_run(x);
  assert_int_equal(r.status, HDW_OK);
  assert_int_equal(r.first.port, 443);
  assert_int_equal(r.first.ip[3], 7);
  io_resolve(x, "other.test", 443, 1000, resolved, &r, NULL);
  io_run(x);
  assert_int_equal(r.status, HDW_E_NOTFOUND);
  io_resolve(x, "192.0.2.5", 80, 1000, resolved, &r, NULL);
  io_run(x);
  assert_int_equal(r.first.ip[0], 192);
  assert_int_equal(r.calls, 3);
  end_sim(&t, x);
}

/* ---- workers and tasks ---- */

typedef struct shop {
  io *x;
  io_worker *w;
  io_task t, u;
  int steps, done, gone;
} shop;
static void finished(void *user) { ((shop *)user)->done++; }
static void vanished(void *user) { ((shop *)user)->gone++; }
static void work(void *user) {
  shop *s = (shop *)user;
  if (s->steps++ == 0) {
    s->t = (io_task){finished, s, NULL};
    io_post(s->x, &s->t);
  }
}

static void test_worker_steps_and_tasks_are_events(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 2, false);
  shop s = {.x = x};
  assert_int_equal(io_worker_start(x, work, &s, &s.w), HDW_OK);
  io_worker_wake(s.w);
  io_worker_wake(s.w);
  assert_int_equal(s.steps, 0);
  io_run(x);
  assert_int_equal(s.steps, 1);
  assert_int_equal(s.done, 1);
  s.u = (io_task){vanished, &s, NULL};
  io_post(x, &s.u);
  io_unpost(x, &s.u);
  io_run(x);
  assert_int_equal(s.gone, 0);
  io_worker_stop(s.w);
  assert_int_equal(s.steps, 2);
  end_sim(&t, x);
}

static void test_exit_stops_the_run_and_is_recorded(void **state) {
  (void)state;
  test_mem t;
  io *x = new_sim(&t, 2, false);
  clockwork w = {.x = x};
  assert_int_equal(io_sim_exit_code(x), -1);
  io_timer_set(x, &w.b, 1000, fire_b, &w);
  io_exit(x, 75);
  assert_int_equal(io_sim_exit_code(x), 75);
  end_sim(&t, x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_heap_gives_times_in_order),
      cmocka_unit_test(test_addresses_round_trip_and_reject_names),
      cmocka_unit_test(test_timers_advance_the_virtual_clock),
      cmocka_unit_test(test_bytes_both_ways_survive_portions_and_back_pressure),
      cmocka_unit_test(test_same_seed_same_run_other_seed_other_run),
      cmocka_unit_test(test_connecting_to_nobody_fails),
      cmocka_unit_test(test_closing_with_unread_bytes_resets_the_peer),
      cmocka_unit_test(test_paused_listener_keeps_connections_waiting),
      cmocka_unit_test(test_files_in_memory_behave_like_files),
      cmocka_unit_test(test_power_cut_keeps_what_was_synced_and_draws_the_rest),
      cmocka_unit_test(test_faults_strike_once_or_from_there_on),
      cmocka_unit_test(test_http_requests_are_answered_by_the_handler),
      cmocka_unit_test(test_names_come_from_the_table),
      cmocka_unit_test(test_worker_steps_and_tasks_are_events),
      cmocka_unit_test(test_exit_stops_the_run_and_is_recorded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
