/* bench_log [DIR] [SECONDS]: durable appends per second with 1, 8 and 64 producers that each wait for their own acknowledgement, beside a raw loop that
 * appends as many bytes and calls fdatasync; then the same with the store folding every record.
 * --json FILE also writes {"bench":"log","rows":[...]}. */
#include "io_linux.h"
#include "store.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 1024, MAX_LATENCIES = 4000000 };

typedef struct bench {
  io *x;
  hlog *l;
  store *s;
  unsigned producers;
  int64_t until_us, started[64];
  uint64_t done, seq;
  unsigned running;
  uint32_t *lat;
  uint8_t body[BODY], meta[REC_META_MAX];
  bool fold;
} bench;

typedef struct producer {
  bench *b;
  int64_t t0;
  uint64_t n;
  io_task again;
} producer;

static void send_one(void *user);

static void done(hdw_status s, const log_rec *rec, void *user) {
  producer *p = (producer *)user;
  bench *b = p->b;
  if (s) {
    fprintf(stderr, "append failed: %s\n", hdw_status_name(s));
    exit(1);
  }
  if (b->fold && store_apply(b->s, rec)) exit(1);
  int64_t now = io_mono_us(b->x);
  if (b->done < MAX_LATENCIES) b->lat[b->done] = (uint32_t)(now - p->t0);
  b->done++;
  if (now >= b->until_us) {
    if (--b->running == 0) io_stop(b->x);
    return;
  }
  send_one(p);
}

static void send_one(void *user) {
  producer *p = (producer *)user;
  bench *b = p->b;
  static rec_input in;
  char id[32];
  p->n++;
  snprintf(id, sizeof id, "P%p-%llu", (void *)p, (unsigned long long)p->n);
  in.source = cod_cstr("mllp"), in.control_id = cod_cstr(id), in.sender = cod_cstr("LAB|HOSP"), in.type = cod_cstr("ADT^A01");
  in.dedup_key = in.control_id;
  in.verdict.state = INPUT_ACCEPTED;
  in.verdict.nruns = 1;
  in.verdict.runs[0].workflow = cod_cstr("wf");
  in.verdict.runs[0].nlanes = 1;
  memcpy(in.verdict.runs[0].lanes[0], id, 16);
  cod_w w = cod_writer(b->meta, sizeof b->meta);
  rec_put_input(&w, &in);
  log_rec r = {.type = REC_INPUT, .version = REC_VERSION, .meta = b->meta, .meta_len = (uint32_t)w.len, .body = b->body, .body_len = BODY};
  p->t0 = io_mono_us(b->x);
  if (log_append(b->l, &r, done, p)) exit(1);
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

typedef struct row {
  double per_s, p50_us, p99_us, batch;
} row;

static row run(const char *dir, unsigned producers, double seconds, bool fold, bool compress) {
  static io_mem m;
  static bench b;
  static producer ps[64];
  char cmd[300], log[300];
  memset(&b, 0, sizeof b);
  memset(ps, 0, sizeof ps);
  io_mem_init(&m, 0);
  snprintf(cmd, sizeof cmd, "rm -rf %s/bench && mkdir -m 700 %s/bench", dir, dir);
  if (system(cmd)) exit(1);
  snprintf(cmd, sizeof cmd, "%s/bench", dir);
  snprintf(log, sizeof log, "%s/bench/log", dir);
  if (io_linux_new(&m.m, &b.x)) exit(1);
  log_opts lo = {.dir = log, .compress = compress};
  log_open_info li;
  store_info si;
  store_opts so = {.dir = cmd};
  if (log_open(b.x, &lo, &li, &b.l) || store_open(b.x, &so, &si, &b.s)) exit(1);
  b.fold = fold;
  b.lat = (uint32_t *)malloc(MAX_LATENCIES * sizeof *b.lat);
  for (size_t i = 0; i < BODY; i++) b.body[i] = (uint8_t)("PID|1||4711^^^HOSP||DOE^JANE"[i % 28]);
  b.producers = b.running = producers;
  int64_t t0 = io_mono_us(b.x);
  b.until_us = t0 + (int64_t)(seconds * 1e6);
  for (unsigned i = 0; i < producers; i++) {
    ps[i].b = &b;
    ps[i].again = (io_task){send_one, &ps[i], NULL};
    io_post(b.x, &ps[i].again);
  }
  io_run(b.x);
  double t = (double)(io_mono_us(b.x) - t0) * 1e-6;
  log_stats st;
  log_get_stats(b.l, &st);
  size_t n = b.done < MAX_LATENCIES ? (size_t)b.done : MAX_LATENCIES;
  qsort(b.lat, n, sizeof *b.lat, by_value);
  row r = {(double)b.done / t, n ? b.lat[n / 2] : 0, n ? b.lat[n * 99 / 100] : 0, (double)b.done / (double)(st.syncs ? st.syncs : 1)};
  log_close(b.l);
  store_close(b.s);
  io_linux_free(b.x);
  free(b.lat);
  snprintf(cmd, sizeof cmd, "rm -rf %s/bench", dir);
  if (system(cmd)) exit(1);
  return r;
}

/* The limit: a preallocated file, batch bodies in one pwrite, fdatasync. */
static double raw(const char *dir, unsigned batch, double seconds) {
  char path[300];
  snprintf(path, sizeof path, "%s/raw", dir);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  size_t len = (size_t)batch * (BODY + 128);
  char *p = (char *)calloc(1, len);
  if (fd < 0 || !p || posix_fallocate(fd, 0, 64 << 20)) exit(1);
  memset(p, 'x', len);
  struct timespec a, z;
  uint64_t n = 0;
  off_t off = 0;
  double t;
  clock_gettime(CLOCK_MONOTONIC, &a);
  do {
    if (off + (off_t)len > 64 << 20) off = 0;
    if (pwrite(fd, p, len, off) != (ssize_t)len || fdatasync(fd)) exit(1);
    off += (off_t)len;
    n += batch;
    clock_gettime(CLOCK_MONOTONIC, &z);
    t = (double)(z.tv_sec - a.tv_sec) + (double)(z.tv_nsec - a.tv_nsec) * 1e-9;
  } while (t < seconds);
  close(fd);
  unlink(path);
  free(p);
  return (double)n / t;
}

int main(int argc, char **argv) {
  static const unsigned counts[] = {1, 8, 64};
  const char *dir = "/tmp";
  double seconds = 2;
  FILE *json = NULL;
  for (int i = 1, k = 0; i < argc; i++) {
    if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      if (!(json = fopen(argv[++i], "w"))) return perror(argv[i]), 1;
    }
    else if (k++ == 0) dir = argv[i];
    else seconds = atof(argv[i]);
  }
  umask(0077);
  if (json) fprintf(json, "{\"bench\":\"log\",\"rows\":[");
  printf("%-22s %10s %9s %9s %8s %10s %7s\n", "name", "ours/s", "p50 us", "p99 us", "batch", "raw/s", "ratio");
  for (unsigned mode = 0; mode < 3; mode++)
    for (unsigned i = 0; i < 3; i++) {
      static const char *const names[] = {"append", "append_fold", "append_zstd"};
      double limit = raw(dir, counts[i], seconds / 2);
      row r = run(dir, counts[i], seconds, mode == 1, mode == 2);
      char name[64];
      snprintf(name, sizeof name, "%s%u", names[mode], counts[i]);
      if (json)
        fprintf(json, "%s{\"name\":\"%s\",\"unit\":\"1/s\",\"ours\":%.0f,\"peer\":\"pwrite+fdatasync\",\"theirs\":%.0f,\"ratio\":%.2f}", mode + i ? "," : "", name, r.per_s, limit, r.per_s / limit);
      printf("%-22s %10.0f %9.0f %9.0f %8.1f %10.0f %7.2f\n", name, r.per_s, r.p50_us, r.p99_us, r.batch, limit, r.per_s / limit);
      fflush(stdout);
    }
  if (json && (fprintf(json, "]}\n") < 0 || fclose(json))) return perror("--json"), 1;
  return 0;
}
