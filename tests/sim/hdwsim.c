/* hdwsim.c - seeds, phases, verdicts.
 *
 *   hdwsim --seed N [--minutes M] [--trace]         one history; --trace writes what happens, with virtual times
 *   hdwsim --seeds A..B [--minutes M] [--jobs J]    each in a process of its own; says which fail and how to see them again; --each: a line with the hash of each
 *   hdwsim --canaries [--seeds A..B]                every breakage of HDW_BROKEN must be found within these seeds
 *   --break NAME                                    with one breakage
 *   --message ID                                    of the trace what is about one message (M428 or M428.a), and what befell the daemon */
#include <errno.h>
#include <ftw.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hdwsim.h"
#include "points.h"

static const char *const canaries[] = {"ack.early", "log.no_sync", "outbox.lost", "key.changes", "lane.order", "step.again", "resend.runs", "store.ahead", "send.once", "answer.changes", "queue.hold", "pin.lost", "redo.again", "retain.drops",
                                       "file.no_sync", "file.in_place", "line.again", "once.again", "once.stays",
                                       "create.again", "match.any", "wait.ignored", "page.lost", "batch.short",
                                       "login.crowd", "login.forgets", "login.refused", "breaker.open", "places.many", "patch.blind", "cache.again", "branch.empty", NULL};
enum { RETAIN_MINUTES = 8 /* so much must have come before retention has something to drop */ };

typedef struct verdict {     /* from a history's process to whoever started it */
  bool ok;
  uint64_t trace, events, points;
  uint32_t messages, acked, deaths, attempts, resends, disk_faults, deploys;
  int64_t simulated_us;
  char why[600];
} verdict;

typedef struct args {
  uint64_t first, last;
  unsigned minutes, jobs;
  bool each, one, trace, canaries;
} args;

static const char *only;     /* --message */
static verdict result;
static int result_fd = -1;

/* ---- for all files ---------------------------------------------------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood). Not the simulated seam's own: what is drawn here does not depend on how often it draws. */
uint64_t draw(world *w, uint64_t n) {
  uint64_t z = (w->rnd += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return n ? (z >> 8) % n : 0;
}

int64_t draw_time(world *w, int64_t max_us) {
  int bits = 0;
  while (bits < 60 && INT64_C(1) << bits < max_us) bits++;
  uint64_t below = UINT64_C(1) << (bits > 12 ? bits - (int)draw(w, 12) : bits);
  int64_t us = 1 + (int64_t)draw(w, below);
  return us < max_us ? us : max_us;
}

int64_t now_us(world *w) { return io_mono_us(w->io); }

uint64_t hash_of(const void *p, size_t len) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < len; i++) h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
  return h;
}

static void stamp(world *w, char out[24]) {
  int64_t ms = now_us(w) / 1000;
  snprintf(out, 24, "%02lld:%02lld.%03lld", (long long)ms / 60000, (long long)ms / 1000 % 60, (long long)ms % 1000);
}

/* Whether a line belongs to the story that --message asks for. */
static bool asked_for(world *w, const char *line) {
  static const char *const all[] = {"life ", "dies", "is asked to end", "calm", "the disk ", "space is back", "the clock ", "deploy", "rollback", NULL};
  size_t len = strlen(only);
  for (unsigned i = 0; all[i]; i++)
    if (!strncmp(line, all[i], strlen(all[i]))) return true;
  for (const char *at = line; (at = strstr(at, only)) != NULL; at++)
    if ((at == line || !strchr("M.0123456789", at[-1])) && !(at[len] >= '0' && at[len] <= '9')) return true;
  return !strncmp(line, "log ", 4) && daemon_line_is_about(w, line, only);
}

void say(world *w, const char *fmt, ...) {
  char line[1200], at[24];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  if (!w->looking && strncmp(line, "log ", 4) != 0) io_sim_note(w->io, hash_of(line, n < (int)sizeof line ? (size_t)n : sizeof line - 1));
  if (!w->trace || (only && !asked_for(w, line))) return;
  stamp(w, at);
  printf("%s %s\n", at, line);
}

static void fill_result(world *w) {
  result.messages = w->nmsgs, result.acked = w->acked, result.deaths = w->deaths, result.attempts = w->attempts, result.resends = w->resends, result.disk_faults = w->disk_faults;
  result.deploys = w->deploys, result.points = w->points;
  result.trace = io_sim_trace(w->io, &result.events);
  result.simulated_us = now_us(w);
}

static void send_result(void) {
  if (result_fd >= 0 && write(result_fd, &result, sizeof result) != sizeof result) _exit(3);
}

void broken(world *w, const char *fmt, ...) {
  char at[24];
  va_list ap;
  stamp(w, at);
  int n = snprintf(result.why, sizeof result.why, "at %s: ", at);
  va_start(ap, fmt);
  vsnprintf(result.why + n, sizeof result.why - (size_t)n, fmt, ap);
  va_end(ap);
  if (w->trace) printf("%s BROKEN %s\n", at, result.why);
  fflush(stdout);
  fill_result(w);
  send_result();
  _exit(1);
}

/* ---- one history ---------------------------------------------------------------------------------------------------------------------------------- */

/* Lets time pass; deaths and ends on the way are followed by a new life, after a while. */
static void live(world *w, int64_t until) {
  while (now_us(w) < until) {
    io_sim_advance(w->io, until - now_us(w));
    bool dead = io_sim_dead(w->io);
    if (!dead && !daemon_ended(w)) continue;
    dead = io_sim_dead(w->io); /* it may die while it closes */
    for (bool again = true; again;) {
      if (dead) daemon_bury(w);
      if (chance(w, 300)) folders_look(w); /* what a dead one left is there for others, too */
      if (chance(w, 600)) io_sim_advance(w->io, draw_time(w, w->now.calm ? SECOND : 20 * SECOND));
      daemon_boot(w);
      again = dead = io_sim_dead(w->io);
    }
  }
}

static void liveness(world *w) {
  char why[200] = "";
  weather_stop(w);
  senders_stop(w);
  uint64_t left, least = UINT64_MAX;
  int64_t start = now_us(w);
  for (int64_t end = start + 3600 * SECOND; now_us(w) < end;) {
    daemon_redrive(w);
    live(w, now_us(w) + 30 * SECOND);
    if (senders_idle(w) && daemon_drained(w, why, &left)) return;
    if (senders_idle(w) && left < least && now_us(w) < start + 12 * 3600 * SECOND) least = left, end = now_us(w) + 3600 * SECOND; /* slow is not still */
  }
  broken(w, "it does not drain: %s, senders %s", why, senders_idle(w) ? "are done" : "wait");
}

static void history(uint64_t seed, unsigned minutes, bool trace) {
  world *w = (world *)calloc(1, sizeof *w);
  w->seed = seed, w->trace = trace;
  w->rnd = seed * 0x9e3779b97f4a7c15u + 0x1234567;
  w->msgs = (message *)calloc(SIM_MSGS, sizeof *w->msgs);
  io_mem_init(&w->mem, 0);
  io_sim_opts so = {.seed = seed, .slow_worker_us = draw(w, 3) ? 0 : 2 * SECOND, .max_delay_us = draw(w, 4) ? 200 : 20000};
  if (io_sim_new(&w->mem.m, &so, &w->io)) _exit(3);
  w->settled_us = SECOND + 2 * so.slow_worker_us + 50 * so.max_delay_us;
  w->gap_us = draw_time(w, 60 * SECOND) + 8 * SECOND;
  w->powered = draw(w, 2) != 0;
  peers_start(w);
  fhir_start(w);
  login_start(w);
  cached_start(w);
  daemon_start(w);
  daemon_boot(w);
  senders_start(w);
  folders_start(w);
  weather_start(w);
  live(w, (int64_t)minutes * 60 * SECOND);
  liveness(w);
  folders_look(w);
  model_finished(w);
  daemon_finish(w);
  fill_result(w);
  senders_free(w);
  weather_free(w);
  daemon_free(w);
  peers_free(w);
  folders_free(w);
  fhir_free(w);
  login_free(w);
  polite_free(w);
  cached_free(w);
  io_sim_free(w->io);
  result.ok = w->mem.used_bytes == 0;
  if (!result.ok) snprintf(result.why, sizeof result.why, "%zu bytes are left at the end", w->mem.used_bytes);
  io_mem_trim(&w->mem);
  for (uint32_t i = 0; i < w->nmsgs; i++) free(w->msgs[i].answer);
  free(w->msgs);
  free(w);
  send_result();
}

/* ---- many, each in its own process ------------------------------------------------------------------------------------------------------------------- */

static char base[64];

typedef struct worker {
  pid_t pid;
  int fd;
  uint64_t seed;
} worker;

static void start_one(const args *a, uint64_t seed, worker *out) {
  int p[2];
  char dir[100];
  snprintf(dir, sizeof dir, "%s/%llu", base, (unsigned long long)seed);
  if (mkdir(dir, 0700) || pipe(p)) exit(3);
  fflush(NULL);
  *out = (worker){fork(), p[0], seed};
  if (out->pid < 0) exit(3);
  if (out->pid) {
    close(p[1]);
    return;
  }
  close(p[0]);
  result_fd = p[1];
  if (chdir(dir)) _exit(3);
  alarm(600);
  history(seed, a->minutes, a->trace);
  fflush(stdout);
  exit(0);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw) {
  (void)st, (void)what, (void)ftw;
  return remove(path);
}

/* Waits for it; v: what it says, or what is known of it. */
static void end_one(const worker *c, verdict *v) {
  int status = 0;
  char dir[100];
  *v = (verdict){.ok = false};
  bool whole = read(c->fd, v, sizeof *v) == sizeof *v;
  close(c->fd);
  while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {}
  if (!whole || (v->ok && status)) {
    v->ok = false;
    if (WIFSIGNALED(status)) snprintf(v->why, sizeof v->why, WTERMSIG(status) == SIGALRM ? "it took more than 10 minutes" : "it was ended by signal %d", WTERMSIG(status));
    else snprintf(v->why, sizeof v->why, "it ended with code %d and said nothing", WEXITSTATUS(status));
  }
  snprintf(dir, sizeof dir, "%s/%llu", base, (unsigned long long)c->seed);
  (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

typedef struct sum {
  uint64_t seeds, failed, first_failed, messages, acked, deaths, attempts, resends, disk_faults, deploys, points;
  int64_t simulated_us;
} sum;

static void add(const args *a, const worker *c, const verdict *v, sum *s) {
  s->seeds++;
  s->messages += v->messages, s->acked += v->acked, s->deaths += v->deaths, s->attempts += v->attempts, s->resends += v->resends, s->disk_faults += v->disk_faults, s->deploys += v->deploys;
  s->simulated_us += v->simulated_us;
  s->points |= v->points;
  if (v->ok) return;
  if (!s->failed++) s->first_failed = c->seed;
  if (a->canaries) return;
  printf("seed %llu FAILED: %s\n  hdwsim --seed %llu --minutes %u%s%s --trace\n", (unsigned long long)c->seed, v->why, (unsigned long long)c->seed, a->minutes, hdw_break ? " --break " : "",
         hdw_break ? hdw_break : "");
  fflush(stdout);
}

/* The one whose verdict is there; seeds take very different times. */
static unsigned first_done(const worker *w, unsigned n) {
  struct pollfd p[64];
  unsigned i = 0;
  for (; i < n; i++) p[i] = (struct pollfd){.fd = w[i].fd, .events = POLLIN};
  while (poll(p, n, -1) < 0 && errno == EINTR) {}
  for (i = 0; i + 1 < n && !p[i].revents; i++) {}
  return i;
}

/* until_failed: the first failure ends it. */
static sum run_all(const args *a, bool until_failed) {
  worker w[64];
  sum s = {0};
  uint64_t next = a->first;
  unsigned n = 0;
  while (n || next <= a->last) {
    while (n < a->jobs && next <= a->last && !(until_failed && s.failed)) start_one(a, next++, &w[n++]);
    if (!n) break;
    verdict v;
    unsigned i = first_done(w, n);
    end_one(&w[i], &v);
    add(a, &w[i], &v, &s);
    if (a->each)
      printf("seed %llu %s: trace %016llx, %llu events, %u messages, %u deaths, %.1f simulated minutes\n", (unsigned long long)w[i].seed, v.ok ? "holds" : "FAILED", (unsigned long long)v.trace,
             (unsigned long long)v.events, v.messages, v.deaths, (double)v.simulated_us / 60e6);
    memmove(w + i, w + i + 1, (--n - i) * sizeof *w);
  }
  return s;
}

static int all_seeds(const args *a) {
  struct timespec t0, t1;
  clock_gettime(CLOCK_MONOTONIC, &t0);
  sum s = run_all(a, false);
  clock_gettime(CLOCK_MONOTONIC, &t1);
  double took = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
  if (a->one) return s.failed ? 1 : 0;
  printf("%llu seeds, %.0f simulated minutes, %.0f times real time, %llu messages, %llu acknowledged, %llu sent again, %llu attempts outside, %llu deaths, %llu disk faults, %llu deployments, %llu failed\n",
         (unsigned long long)s.seeds, (double)s.simulated_us / 60e6, (double)s.simulated_us / 1e6 / took, (unsigned long long)s.messages, (unsigned long long)s.acked, (unsigned long long)s.resends,
         (unsigned long long)s.attempts, (unsigned long long)s.deaths, (unsigned long long)s.disk_faults, (unsigned long long)s.deploys, (unsigned long long)s.failed);
  printf("places never passed:");
  for (unsigned i = 0; sim_points[i]; i++)
    if (!(s.points >> i & 1)) printf(" %s", sim_points[i]);
  printf("\n");
  return s.failed ? 1 : 0;
}

static int all_canaries(const args *a) {
  int missed = 0;
  for (unsigned i = 0; canaries[i]; i++) {
    hdw_break = canaries[i];
    args longer = *a;
    if (!strcmp(hdw_break, "retain.drops") && longer.minutes < RETAIN_MINUTES) longer.minutes = RETAIN_MINUTES;
    sum s = run_all(&longer, true);
    if (s.failed) printf("%-16s found, first by seed %llu\n", canaries[i], (unsigned long long)s.first_failed);
    else printf("%-16s NOT FOUND by %llu seeds\n", canaries[i], (unsigned long long)s.seeds), missed++;
    fflush(stdout);
  }
  return missed ? 1 : 0;
}

static bool parse(int argc, char **argv, args *a) {
  for (int i = 1; i < argc; i++) {
    const char *v = i + 1 < argc ? argv[i + 1] : NULL;
    char *end = NULL;
    if (!strcmp(argv[i], "--trace")) a->trace = true;
    else if (!strcmp(argv[i], "--canaries")) a->canaries = true;
    else if (!strcmp(argv[i], "--each")) a->each = true;
    else if (!v) return false;
    else if (i++, !strcmp(argv[i - 1], "--seed")) a->first = a->last = strtoull(v, &end, 10), a->one = a->each = true;
    else if (!strcmp(argv[i - 1], "--seeds")) {
      a->first = strtoull(v, &end, 10);
      a->last = strncmp(end, "..", 2) ? a->first : strtoull(end + 2, &end, 10);
    } else if (!strcmp(argv[i - 1], "--minutes")) a->minutes = (unsigned)strtoul(v, &end, 10);
    else if (!strcmp(argv[i - 1], "--jobs")) a->jobs = (unsigned)strtoul(v, &end, 10);
    else if (!strcmp(argv[i - 1], "--break")) hdw_break = v;
    else if (!strcmp(argv[i - 1], "--message")) only = v, a->trace = true;
    else return false;
    if (end && *end) return false;
  }
  return a->first && a->last >= a->first && a->minutes && a->jobs && a->jobs <= 64;
}

int main(int argc, char **argv) {
  args a = {.first = 1, .last = 10, .minutes = 20, .jobs = 1};
  if (!parse(argc, argv, &a)) {
    fprintf(stderr, "hdwsim --seed N [--minutes M] [--trace [--message ID]] [--break NAME]\nhdwsim --seeds A..B [--minutes M] [--jobs J] [--each] [--break NAME]\nhdwsim --canaries [--seeds A..B] [--minutes M] [--jobs J]\n");
    return 2;
  }
  struct rlimit none = {0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)mallopt(M_MMAP_THRESHOLD, 1 << 20); /* LMDB's lists, a few MiB for each life: fresh pages, not cleared ones */
  snprintf(base, sizeof base, "%s/hdwsim-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
  if (!mkdtemp(base)) {
    perror(base);
    return 3;
  }
  int code = a.canaries ? all_canaries(&a) : all_seeds(&a);
  (void)rmdir(base);
  return code;
}
