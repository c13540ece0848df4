/* The real seam, on loopback: the same contracts as the simulated one. */
#include "support.h"
#include "io_linux.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct world {
  test_mem t;
  io *x;
  io_timer guard;
  char dir[64];
} world;

static void too_late(void *user) { fail_msg("the loop did not finish: %s", ((world *)user)->dir); }

static void begin(world *w) {
  memset(w, 0, sizeof *w);
  test_mem_init(&w->t);
  snprintf(w->dir, sizeof w->dir, "/tmp/hdw-io-XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  assert_int_equal(io_linux_new(&w->t.m, &w->x), HDW_OK);
  io_timer_set(w->x, &w->guard, 20000000, too_late, w);
}

static void end(world *w) {
  io_timer_cancel(w->x, &w->guard);
  io_linux_free(w->x);
  char cmd[100];
  snprintf(cmd, sizeof cmd, "rm -rf %s", w->dir);
  assert_int_equal(system(cmd), 0);
  assert_int_equal(w->t.live_bytes, 0);
}

static void stop(void *user) { io_stop(((world *)user)->x); }

/* ---- timers, tasks, signals ---- */

typedef struct ticks {
  world *w;
  io_timer a, b, c;
  char order[8];
  int n, zero;
} ticks;
static void tick_a(void *user) {
  ticks *t = (ticks *)user;
  t->order[t->n++] = 'a';
  io_timer_cancel(t->w->x, &t->c);
}
static void tick_b(void *user) {
  ticks *t = (ticks *)user;
  t->order[t->n++] = 'b';
  io_stop(t->w->x);
}
static void tick_c(void *user) { ((ticks *)user)->order[((ticks *)user)->n++] = 'c'; }
static void tick_zero(void *user) {
  ticks *t = (ticks *)user;
  if (t->n < 2) {
    t->zero++;
    io_timer_set(t->w->x, &t->b, 0, tick_zero, t); /* delay 0 for ever: others must still come */
  } else {
    io_stop(t->w->x);
  }
}

static void test_timers_fire_in_order_and_can_be_cancelled(void **state) {
  (void)state;
  world w;
  begin(&w);
  ticks t = {.w = &w};
  int64_t t0 = io_mono_us(w.x);
  io_timer_set(w.x, &t.b, 20000, tick_b, &t);
  io_timer_set(w.x, &t.c, 10000, tick_c, &t);
  io_timer_set(w.x, &t.a, 5000, tick_a, &t);
  assert_int_equal(io_run(w.x), HDW_OK);
  assert_string_equal(t.order, "ab");
  int64_t d = io_mono_us(w.x) - t0;
  assert_true(d >= 20000 && d < 5000000);
  ticks z = {.w = &w};
  io_timer_set(w.x, &z.b, 0, tick_zero, &z);
  io_timer_set(w.x, &z.a, 1000, tick_a, &z);
  io_timer_set(w.x, &z.c, 2000, tick_c, &z);
  z.n = 1; /* tick_a cancels c: one more is enough */
  io_run(w.x);
  assert_true(z.zero > 2);
  end(&w);
}

typedef struct job {
  world *w;
  io_worker *worker;
  io_task tasks[1000];
  int order[1000], n, steps;
} job;
static job *the_job;
static void task_n(void *user) {
  job *j = the_job;
  j->order[j->n++] = (int)((io_task *)user - j->tasks);
  if (j->n == 1000) io_stop(j->w->x);
}
static void post_all(void *user) {
  job *j = (job *)user;
  if (j->steps++) return;
  for (int i = 0; i < 1000; i++) {
    j->tasks[i] = (io_task){task_n, &j->tasks[i], NULL};
    io_post(j->w->x, &j->tasks[i]);
  }
}

static void test_tasks_from_a_worker_arrive_in_order(void **state) {
  (void)state;
  world w;
  begin(&w);
  static job j;
  memset(&j, 0, sizeof j);
  j.w = &w;
  the_job = &j;
  assert_int_equal(io_worker_start(w.x, post_all, &j, &j.worker), HDW_OK);
  io_worker_wake(j.worker);
  io_run(w.x);
  for (int i = 0; i < 1000; i++) assert_int_equal(j.order[i], i);
  int before = j.steps;
  io_worker_stop(j.worker);
  assert_true(j.steps > before); /* the last step */
  end(&w);
}

static int got_signal;
static void on_signal(int signo, void *user) {
  got_signal = signo;
  stop(user);
}
static void raise_it(void *user) {
  (void)user;
  raise(SIGUSR1);
}

static void test_signals_come_on_the_loop(void **state) {
  (void)state;
  world w;
  begin(&w);
  io_timer t = {0};
  assert_int_equal(io_signal(w.x, SIGUSR1, on_signal, &w), HDW_OK);
  io_timer_set(w.x, &t, 1000, raise_it, NULL);
  io_run(w.x);
  assert_int_equal(got_signal, SIGUSR1);
  assert_int_equal(io_signal(w.x, 0, on_signal, &w), HDW_E_INVALID);
  end(&w);
}

/* ---- sockets ---- */

enum { BYTES = 3000000 };
typedef struct peer {
  world *w;
  io_sock *s;
  size_t sent, got;
  hdw_status end;
  unsigned events;
  bool closed, ended;
  int *open;
} peer;
static uint8_t byte_at(size_t i) { return (uint8_t)(i * 31 + i / 256); }

static void close_peer(peer *p) {
  io_close(p->s);
  p->closed = true;
  if (--*p->open == 0) io_stop(p->w->x);
}

static void talk(io_sock *s, unsigned ev, void *user) {
  peer *p = (peer *)user;
  static uint8_t b[50000];
  size_t n;
  p->events |= ev;
  if (ev & IO_FAILED) {
    close_peer(p);
    return;
  }
  if (ev & IO_CONNECTED) {
    io_sock_on(s, IO_READ | IO_WRITE, talk, p);
    return;
  }
  if (ev & IO_READ) {
    hdw_status st;
    while ((st = io_read(s, b, sizeof b, &n)) == HDW_OK) {
      for (size_t i = 0; i < n; i++)
        if (b[i] != byte_at(p->got + i)) fail_msg("wrong byte %zu", p->got + i);
      p->got += n;
    }
    if (st != HDW_E_AGAIN) {
      p->end = st, p->ended = true;
      if (p->sent == BYTES) close_peer(p);
      else io_sock_on(s, IO_WRITE, talk, p);
      return;
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
    if (p->ended) close_peer(p);
    else io_sock_on(s, IO_READ, talk, p);
  }
}
static void accepted(io_listener *l, io_sock *s, void *user) {
  (void)l;
  peer *p = (peer *)user;
  p->s = s;
  io_cred c;
  io_addr a;
  io_peer(s, &a);
  if (a.family == IO_ADDR_UNIX) {
    assert_int_equal(io_peer_cred(s, &c), HDW_OK);
    assert_true(c.uid == getuid() && c.pid == getpid());
  } else {
    assert_int_equal(io_peer_cred(s, &c), HDW_E_UNSUPPORTED);
    assert_int_not_equal(a.port, 0);
  }
  io_sock_on(s, IO_READ | IO_WRITE, talk, p);
}

static void exchange(world *w, io_addr a) {
  int open = 2;
  peer server = {.w = w, .open = &open}, client = {.w = w, .open = &open};
  io_listener *l, *l2;
  assert_int_equal(io_listen(w->x, &a, accepted, &server, &l), HDW_OK);
  io_listener_addr(l, &a);
  /* On a unix socket the question whether it is stale shows as a connection: asked on TCP only. */
  if (a.family != IO_ADDR_UNIX) assert_int_equal(io_listen(w->x, &a, accepted, &server, &l2), HDW_E_EXISTS);
  assert_int_equal(io_connect(w->x, &a, talk, &client, &client.s), HDW_OK);
  assert_int_equal(client.events, 0);
  io_run(w->x);
  assert_true(client.got == BYTES && server.got == BYTES && client.end == HDW_E_CLOSED && server.end == HDW_E_CLOSED);
  io_listener_close(l);
}

static void test_bytes_both_ways_on_tcp_and_unix(void **state) {
  (void)state;
  world w;
  begin(&w);
  io_addr a;
  io_addr_parse("127.0.0.1:0", &a);
  exchange(&w, a);
  char text[128];
  snprintf(text, sizeof text, "unix:%s/s", w.dir);
  io_addr_parse(text, &a);
  exchange(&w, a);
  /* A socket file left over from a killed process does not stand in the way; it is private. */
  io_listener *l;
  struct stat st;
  int open = 0;
  peer p = {.w = &w, .open = &open};
  assert_int_equal(io_listen(w.x, &a, accepted, &p, &l), HDW_OK);
  assert_int_equal(stat(a.path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  char copy[160];
  snprintf(copy, sizeof copy, "%s.left", a.path);
  assert_int_equal(link(a.path, copy), 0);
  io_listener_close(l);
  assert_int_equal(rename(copy, a.path), 0);
  assert_int_equal(io_listen(w.x, &a, accepted, &p, &l), HDW_OK);
  io_listener_close(l);
  end(&w);
}

/* ---- who else waits ---- */

typedef struct heard {
  world *w;
  io_task task;
  int fd[2];
  io_sock *s[2];
  unsigned connected, reads;
} heard;

static void say(void *user) {
  heard *h = (heard *)user;
  if (h->reads == 2) assert_int_equal(h->w->x->alone, 0); /* both in one turn */
  if (h->reads == 3) {
    assert_true(h->w->x->alone > 0);
    io_stop(h->w->x);
    return;
  }
  assert_int_equal(write(h->fd[0], "a", 1), 1);
  if (h->reads == 0) assert_int_equal(write(h->fd[1], "b", 1), 1);
}

static void hear(io_sock *s, unsigned ev, void *user) {
  heard *h = (heard *)user;
  uint8_t b[8];
  size_t n;
  assert_int_equal(ev, IO_READ);
  assert_int_equal(io_read(s, b, sizeof b, &n), HDW_OK);
  if (++h->reads < 2) return;
  h->task = (io_task){say, h, NULL};
  io_post(h->w->x, &h->task);
}

static void has_come(io_listener *l, io_sock *s, void *user) {
  (void)l;
  heard *h = (heard *)user;
  h->s[h->connected++] = s;
  io_sock_on(s, IO_READ, hear, h);
  if (h->connected < 2) return;
  h->task = (io_task){say, h, NULL};
  io_post(h->w->x, &h->task);
}

static void test_turns_in_which_nobody_else_waits_are_counted(void **state) {
  (void)state;
  world w;
  begin(&w);
  heard h = {.w = &w};
  char text[128];
  io_addr a;
  io_listener *l;
  snprintf(text, sizeof text, "unix:%s/s", w.dir);
  io_addr_parse(text, &a);
  assert_int_equal(io_listen(w.x, &a, has_come, &h, &l), HDW_OK);
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  snprintf(to.sun_path, sizeof to.sun_path, "%s", a.path);
  for (int i = 0; i < 2; i++) {
    h.fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(h.fd[i], (struct sockaddr *)&to, sizeof to), 0);
  }
  io_run(w.x);
  assert_int_equal(h.reads, 3);
  for (int i = 0; i < 2; i++) {
    io_close(h.s[i]);
    close(h.fd[i]);
  }
  io_listener_close(l);
  end(&w);
}

static void test_refused_connections_fail_by_callback(void **state) {
  (void)state;
  world w;
  begin(&w);
  static const char *const texts[] = {"127.0.0.1:1", "unix:/nonexistent/socket"};
  for (int i = 0; i < 2; i++) {
    int open = 1;
    peer c = {.w = &w, .open = &open};
    io_addr a;
    io_addr_parse(texts[i], &a);
    assert_int_equal(io_connect(w.x, &a, talk, &c, &c.s), HDW_OK);
    assert_int_equal(c.events, 0);
    io_run(w.x);
    assert_int_equal(c.events, IO_FAILED);
  }
  end(&w);
}

/* ---- names ---- */

typedef struct name {
  world *w;
  int calls;
  hdw_status status;
  unsigned n;
  io_addr first;
} name;
static void resolved(hdw_status s, const io_addr *a, unsigned n, void *user) {
  name *r = (name *)user;
  r->calls++, r->status = s, r->n = n;
  if (n) r->first = a[0];
  io_stop(r->w->x);
}

static void test_numeric_names_resolve_and_cancelled_ones_do_not_answer(void **state) {
  (void)state;
  world w;
  begin(&w);
  name r = {.w = &w}, never = {.w = &w};
  uint64_t id;
  assert_int_equal(io_resolve(w.x, "127.0.0.1", 99, 1000000, resolved, &never, &id), HDW_OK);
  io_cancel(w.x, id);
  assert_int_equal(io_resolve(w.x, "127.0.0.2", 81, 5000000, resolved, &r, NULL), HDW_OK);
  assert_int_equal(r.calls, 0);
  io_run(w.x);
  assert_true(r.calls == 1 && r.status == HDW_OK && r.first.port == 81 && r.first.ip[3] == 2);
  assert_int_equal(never.calls, 0);
  assert_int_equal(io_resolve(w.x, "", 81, 1000000, resolved, &r, NULL), HDW_E_INVALID);
  end(&w);
}

/* ---- files ---- */

static bool count(const char *n, void *user) {
  assert_true(n[0] != '.');
  return ++*(int *)user < 100;
}

static void test_files_are_private_and_links_are_not_followed(void **state) {
  (void)state;
  world w;
  begin(&w);
  char path[100], path2[110], sub[110];
  int fd, fd2, n = 0;
  size_t got;
  char b[100];
  io_stat_info info;
  io_space_info space;
  snprintf(path, sizeof path, "%s/f", w.dir);
  snprintf(path2, sizeof path2, "%s/link", w.dir);
  snprintf(sub, sizeof sub, "%s/sub", w.dir);
  assert_int_equal(io_open(w.x, path, IO_O_READ, &fd), HDW_E_NOTFOUND);
  assert_int_equal(io_open(w.x, path, IO_O_READ | IO_O_WRITE | IO_O_CREATE | IO_O_LOCK, &fd), HDW_OK);
  assert_int_equal(io_open(w.x, path, IO_O_WRITE | IO_O_LOCK, &fd2), HDW_E_DENIED);
  io_slice v[300];
  for (int i = 0; i < 300; i++) v[i] = (io_slice){"abcdefghij" + i % 10, (size_t)(i % 3)};
  assert_int_equal(io_pwritev(w.x, fd, v, 300, 5), HDW_OK); /* more slices than one call takes */
  assert_int_equal(io_stat(w.x, path, &info), HDW_OK);
  assert_int_equal(info.size_bytes, 305);
  assert_int_equal(info.mode, 0600);
  assert_int_equal(io_pread(w.x, fd, b, 100, 300, &got), HDW_OK);
  assert_int_equal(got, 5);
  assert_int_equal(io_alloc(w.x, fd, 10000), HDW_OK);
  io_stat(w.x, path, &info);
  assert_int_equal(info.size_bytes, 10000);
  assert_int_equal(io_sync(w.x, fd), HDW_OK);
  assert_int_equal(io_fclose(w.x, fd), HDW_OK);
  assert_int_equal(symlink(path, path2), 0);
  assert_int_equal(io_open(w.x, path2, IO_O_READ, &fd), HDW_E_DENIED);
  assert_int_equal(io_stat(w.x, path2, &info), HDW_OK);
  assert_true(info.is_link && !info.is_file);
  assert_int_equal(io_mkdir(w.x, sub), HDW_OK);
  assert_int_equal(io_mkdir(w.x, sub), HDW_E_EXISTS);
  io_stat(w.x, sub, &info);
  assert_true(info.is_dir && info.mode == 0700);
  assert_int_equal(io_list(w.x, w.dir, count, &n), HDW_OK);
  assert_int_equal(n, 3);
  assert_int_equal(io_sync_dir(w.x, w.dir), HDW_OK);
  assert_int_equal(io_space(w.x, w.dir, &space), HDW_OK);
  assert_true(space.free_bytes > 0 && space.total_bytes >= space.free_bytes);
  end(&w);
}

static void test_memory_budget(void **state) {
  (void)state;
  io_mem m;
  io_mem_init(&m, 1000);
  void *a = m.m.get(&m.m, 600);
  assert_non_null(a);
  assert_null(m.m.get(&m.m, 401));
  assert_null(m.m.get(&m.m, SIZE_MAX));
  void *b = m.m.get(&m.m, 400);
  assert_non_null(b);
  m.m.put(&m.m, a, 600);
  assert_int_equal(m.used_bytes, 400);
  m.m.put(&m.m, b, 400);
  assert_int_equal(m.used_bytes, 0);
  assert_int_equal(m.peak_bytes, 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_timers_fire_in_order_and_can_be_cancelled),
      cmocka_unit_test(test_tasks_from_a_worker_arrive_in_order),
      cmocka_unit_test(test_signals_come_on_the_loop),
      cmocka_unit_test(test_bytes_both_ways_on_tcp_and_unix),
      cmocka_unit_test(test_turns_in_which_nobody_else_waits_are_counted),
      cmocka_unit_test(test_refused_connections_fail_by_callback),
      cmocka_unit_test(test_numeric_names_resolve_and_cancelled_ones_do_not_answer),
      cmocka_unit_test(test_files_are_private_and_links_are_not_followed),
      cmocka_unit_test(test_memory_budget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
