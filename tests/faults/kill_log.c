/* kill -9 against the segment log: a child appends and tells each acknowledged sequence through a pipe; the parent kills it at a drawn moment, then
 * looks whether everything that was told is in the log, readable, and in order. The log goes on from life to life.
 *
 *   kill_log DIR KILLS SEED     exit 0 when nothing was lost */
#include "io_linux.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IN_FLIGHT = 16, SEGMENT = 256 * 1024 };

typedef struct child {
  io *x;
  hlog *l;
  int pipe;
  unsigned seed;
  io_task more;
  uint64_t out;
  bool waiting;
} child;

static size_t body_of(uint64_t seq, uint8_t *b) {
  size_t n = (size_t)(seq * 2654435761u % 1500);
  for (size_t i = 0; i < n; i++) b[i] = (uint8_t)(seq + i);
  return n;
}

static void produce(void *user);

static void acknowledged(hdw_status s, const log_rec *rec, void *user) {
  child *c = (child *)user;
  if (s) return;
  uint64_t seq = rec->seq;
  if (write(c->pipe, &seq, sizeof seq) != sizeof seq) _exit(3);
  c->out--;
  if (!c->waiting) {
    c->waiting = true;
    c->more = (io_task){produce, c, NULL};
    io_post(c->x, &c->more);
  }
}

static void produce(void *user) {
  child *c = (child *)user;
  static uint8_t b[2000];
  c->waiting = false;
  while (c->out < IN_FLIGHT) {
    log_stats st;
    log_get_stats(c->l, &st);
    size_t n = body_of(st.last_seq + 1, b);
    log_rec r = {.type = 1, .version = 1, .body = b, .body_len = (uint32_t)n};
    hdw_status s = log_append(c->l, &r, acknowledged, c);
    if (s == HDW_E_FULL) break;
    if (s) _exit(4);
    c->out++;
  }
}

static int child_main(const char *dir, int fd, uint64_t known) {
  io_mem m;
  child c = {.pipe = fd};
  log_open_info info;
  log_opts o = {.dir = dir, .segment_bytes = SEGMENT, .synced_seq = known, .low_water_bytes = 1};
  io_mem_init(&m, 0);
  if (io_linux_new(&m.m, &c.x)) return 5;
  hdw_status s = log_open(c.x, &o, &info, &c.l);
  if (s) {
    fprintf(stderr, "log_open: %s at %llu+%u\n", hdw_status_name(s), (unsigned long long)info.bad.seg, info.bad.off);
    return 6;
  }
  produce(&c);
  return io_run(c.x) ? 7 : 8;
}

/* Every record up to told must be there; returns the last one. */
static uint64_t verify(const char *dir, uint64_t told, int *bad) {
  io_mem m;
  io *x;
  log_iter *it;
  log_rec r;
  static uint8_t b[2000];
  uint64_t last = 0;
  io_mem_init(&m, 0);
  if (io_linux_new(&m.m, &x) || log_iter_open(x, dir, 0, &it)) {
    *bad = 1;
    return 0;
  }
  hdw_status s;
  while ((s = log_iter_next(it, &r)) == HDW_OK) {
    size_t n = body_of(r.seq, b);
    if (r.seq != last + 1 || r.body_len != n || memcmp(r.body, b, n) != 0) *bad = 1;
    last = r.seq;
  }
  if (s != HDW_E_NOTFOUND || last < told) *bad = 1;
  if (*bad) fprintf(stderr, "told %llu, found %llu, %s at %llu+%u\n", (unsigned long long)told, (unsigned long long)last, hdw_status_name(s), (unsigned long long)r.pos.seg, r.pos.off);
  log_iter_close(it);
  io_linux_free(x);
  return last;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
  char dir[256];
  unsigned kills = argc > 2 ? (unsigned)atoi(argv[2]) : 100;
  srand(argc > 3 ? (unsigned)atoi(argv[3]) : 1);
  snprintf(dir, sizeof dir, "%s", argc > 1 ? argv[1] : "/tmp/hdw-kill-XXXXXX");
  if (argc <= 1 && !mkdtemp(dir)) return 2;
  uint64_t told = 0, acks = 0;
  int bad = 0;
  double t0 = now();
  for (unsigned k = 0; k < kills && !bad; k++) {
    int p[2];
    if (pipe(p)) return 2;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
      close(p[0]);
      _exit(child_main(dir, p[1], told));
    }
    close(p[1]);
    /* Lives until a drawn moment after its first acknowledgement, a few at once. */
    long us = rand() % 4 == 0 ? rand() % 3000 : rand() % 60000;
    double until = now() + (double)us * 1e-6;
    uint64_t seq;
    struct timespec nap = {0, 200000};
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    bool dead = false;
    while (now() < until && !dead) {
      ssize_t n;
      while ((n = read(p[0], &seq, sizeof seq)) == sizeof seq) {
        if (seq != told + 1 && acks && seq <= told) bad = 1;
        told = seq, acks++;
      }
      dead = n == 0;
      nanosleep(&nap, NULL);
    }
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    while (read(p[0], &seq, sizeof seq) == sizeof seq) told = seq, acks++;
    close(p[0]);
    if (WIFEXITED(status)) {
      fprintf(stderr, "the child ended by itself with %d\n", WEXITSTATUS(status));
      bad = 1;
    }
    verify(dir, told, &bad);
    /* What the last life appended without telling may be there or not; it is taken over. */
  }
  printf("%u kills, %llu acknowledged, %.1f s, %s\n", kills, (unsigned long long)acks, now() - t0, bad ? "LOST OR DAMAGED" : "0 lost");
  if (argc <= 1) {
    char cmd[300];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    if (system(cmd)) return 2;
  }
  return bad;
}
