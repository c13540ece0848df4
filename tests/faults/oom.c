/* oom.c - memory that is not there: every scenario is run once to count the memory it asks for, then once for each of these allocations, which fails, alone or with all that come later.
 * Nobody crashes, everything is given back, and what was acknowledged is in the log all the same.
 *
 *   oom [--stride N] [--offset N] [--scenario NAME|engine|parts] [--at N:STICKY]   every Nth allocation; exit 1 when something was wrong
 *
 * Each scenario is a child process of its own (fork), so that a crash is counted and the next one goes on. With the canary oom.leak a block is kept back now and then. */
#include "oom.h"
#include "points.h"
#include "store.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void *hard_get(mem *m, size_t n) {
  hard *h = (hard *)m->user;
  long at = ++h->gets;
  if (h->fail_at && (at == h->fail_at || (h->sticky && at > h->fail_at))) return NULL;
  void *p = malloc(n ? n : 1);
  if (p) h->live_bytes += n;
  return p;
}
static void hard_put(mem *m, void *p, size_t n) {
  hard *h = (hard *)m->user;
  if (!p) return;
  if (HDW_BROKEN("oom.leak") && h->fail_at && h->gets > h->fail_at && n == 64) return;
  h->live_bytes -= n;
  free(p);
}

static const char *const programs[PROGRAMS] = {
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener adt = mllp(port: 2575)\nworkflow admit\n  on msg = adt.message(types: ['ADT^A01'])\n"
    "  where msg.PID-3.idNumber.first() !~ 'NOBODY'\n  order by msg.PID-3.idNumber.first()\n{\n  step a = crm.post('/step', body: { id: msg.MSH-10 })\n  send crm.post('/send', body: { id: msg.MSH-10, a: a })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener adt = mllp(port: 2575)\nworkflow admit\n  on msg = adt.message(types: ['ADT^A01'])\n"
    "  ack after run within 20 seconds else AE\n{\n  step a = crm.post('/step', body: { id: msg.MSH-10 })\n  step b = crm.post('/two', body: { id: a })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener adt = mllp(port: 2575)\nworkflow admit\n  on msg = adt.message(types: ['ADT^A01'])\n{\n"
    "  for x in [1, 2, 3] {\n    step a = crm.post('/step', body: { id: msg.MSH-10, x: x }) on error use { id: 0 }\n    send crm.post('/send', body: { a: a.id })\n  }\n"
    "  step last = crm.post('/last', body: { text: msg.toHl7() })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener web = http(port: 8081)\npayload In { id: string name: string? }\n"
    "workflow intake on req = web.post('/intake') {\n  send crm.post('/send', body: { id: req.body.id })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nconnection lab = rest(base: 'http://127.0.0.1:2')\nlistener adt = mllp(port: 2575)\n"
    "workflow slow on msg = adt.message(types: ['ADT^A01']) ack after run within 20 seconds else AE {\n  step a = crm.post('/step', body: { id: msg.MSH-10 })\n}\n"
    "workflow fast on msg = adt.message(types: ['ADT^A01']) {\n  send lab.post('/send', body: { id: msg.MSH-10 })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener adt = mllp(port: 2575)\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) once by msg.PID-3.idNumber within 1 hour {\n  send crm.post('/send', body: { id: msg.MSH-10 })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener adt = mllp(port: 2575)\nsender LAB_A { match: MSH-3 = 'LAB'  charset: '8859/1' }\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01'], from: LAB_A) {\n  if msg.PID-3.idNumber.first() = 'NOBODY' { reject('AE', 'not yet') }\n  send crm.post('/send', body: { id: msg.MSH-10 })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener web = http(port: 8081)\n"
    "workflow asked on req = web.post('/asked') {\n  send crm.post('/send', body: { q: req.query, h: req.headers })\n}\n",
    "hdw 1\nconnection crm = rest(base: 'http://127.0.0.1:1')\nlistener web = http(port: 8081)\n"
    "workflow posted on msg = web.message('/hl7', types: ['ADT^A01']) {\n  send crm.post('/send', body: { id: msg.MSH-10 })\n}\n"};

static mem *plain_mem(void) {
  static hard h;
  h.m = (mem){hard_get, hard_put, &h};
  return &h.m;
}

void oom_program(unsigned which, const uint8_t **bytes, size_t *len) {
  static arena a;
  static comp_result made[PROGRAMS];
  if (!made[which].bytes) {
    diag_list l;
    comp_source s = {"test.hdw", programs[which], strlen(programs[which])};
    comp_options o = {0};
    if (!a.mem) arena_init(&a, plain_mem(), 0);
    diag_init(&l, &a);
    (void)comp_program(&a, &s, 1, &o, &l, &made[which]);
    if (!made[which].bytes)
      for (const diag *d = l.first; d; d = d->next) fprintf(stderr, "%s\n", d->text);
    if (!made[which].bytes) exit(3);
    cod_sha256(made[which].bytes + MOD_HEADER_BYTES, made[which].len_bytes - MOD_HEADER_BYTES, NULL, 0, made[which].bytes + 16);
  }
  *bytes = made[which].bytes, *len = made[which].len_bytes;
}

const char *oom_file(const char *path, size_t *len) {
  static struct { const char *path; char *text; size_t len; } kept[16];
  for (int i = 0; i < 16; i++) {
    if (kept[i].path && !strcmp(kept[i].path, path)) return *len = kept[i].len, kept[i].text;
    if (kept[i].path) continue;
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", HDW_SOURCE_DIR, path);
    FILE *f = fopen(full, "rb");
    if (!f) fprintf(stderr, "no %s\n", full), exit(3);
    kept[i].text = (char *)malloc(1 << 20);
    kept[i].len = fread(kept[i].text, 1, (1 << 20) - 1, f);
    kept[i].text[kept[i].len] = 0;
    kept[i].path = path;
    fclose(f);
    return *len = kept[i].len, kept[i].text;
  }
  return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st, (void)type, (void)ftw;
  return remove(path);
}

/* ---- what was acknowledged is there ---- */

typedef struct looking {
  store *s;
  arena *a;
  const place *p;
  unsigned found;
} looking;
static bool look(uint16_t part, uint64_t id, uint8_t state, void *user) {
  looking *k = (looking *)user;
  store_input in;
  (void)state;
  if (store_get_input(k->s, part, id, k->a, &in)) return true;
  for (unsigned i = 0; i < k->p->npositive; i++) k->found += cod_equal(in.control_id, cod_cstr(k->p->positive[i]));
  return true;
}
/* "" = all of them. */
static const char *all_there(const place *p) {
  io *x = NULL;
  hlog *l = NULL;
  arena a;
  char log[100];
  log_open_info li;
  store_info si;
  looking k = {.p = p, .a = &a};
  io_sim_opts so = {.seed = 1, .root = p->dir, .orderly = true};
  snprintf(log, sizeof log, "%s/log", p->dir);
  store_opts o = {.dir = p->dir};
  if (io_sim_new(plain_mem(), &so, &x)) return "no memory";
  arena_init(&a, plain_mem(), 0);
  log_opts lo = {.dir = log, .synced_seq = store_peek_applied(x, p->dir), .low_water_bytes = 1};
  const char *why = log_open(x, &lo, &li, &l) ? "the log does not open" : store_open(x, &o, &si, &k.s) ? "the state does not open" : si.skipped ? "records were skipped" : "";
  if (!why[0]) {
    (void)store_list_all(k.s, 0, SUBJECT_INPUT, 0, 0, look, &k);
    if (k.found < p->npositive) why = "acknowledged and not there";
  }
  if (l) log_close(l);
  if (k.s) store_close(k.s);
  arena_free(&a);
  io_sim_free(x);
  return why;
}

/* ---- passes ---- */

/* One pass; returns how often memory was asked for. */
static long pass(const scenario *s, long fail_at, bool sticky, const char **why) {
  static place p;
  memset(&p, 0, sizeof p);
  snprintf(p.dir, sizeof p.dir, "/dev/shm/hdw-oom-%d", (int)getpid());
  mkdir(p.dir, 0700);
  p.h = (hard){.fail_at = fail_at, .sticky = sticky};
  p.h.m = (mem){hard_get, hard_put, &p.h};
  s->run(&p);
  *why = p.h.live_bytes ? "memory was not given back" : p.wrong ? p.wrong : p.most && p.nkeys > p.most ? "performed a second time" : p.npositive ? all_there(&p) : "";
  nftw(p.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  return p.h.gets;
}

/* Where a child is, for the parent to say when it dies; what it found. */
typedef struct shared {
  long total, at, passes, wrong;
  bool sticky;
} shared;

static void child(const scenario *s, shared *sh, int out, long stride, long from) {
  const char *why;
  sh->total = pass(s, 0, false, &why);
  for (long n = from; n <= sh->total; n += stride)
    for (int sticky = 0; sticky < 2; sticky++) {
      if (n == from && sh->at == n && sh->sticky && !sticky) continue; /* the one before died at it */
      sh->at = n, sh->sticky = sticky;
      if (pwrite(out, sh, sizeof *sh, 0) != sizeof *sh) _exit(3);
      (void)pass(s, n, sticky, &why);
      sh->passes++;
      if (!why[0]) continue;
      sh->wrong++;
      printf("FAILED: %s, allocation %ld of %ld%s: %s\n", s->name, n, sh->total, sticky ? " and all later ones" : "", why);
      fflush(stdout);
      if (sh->wrong > 20) break;
    }
  if (pwrite(out, sh, sizeof *sh, 0) != sizeof *sh) _exit(3);
}

static void all(const scenario *s, long stride, long offset, shared *sum) {
  FILE *f = tmpfile();
  shared sh = {.total = 0};
  long from = 1 + offset % stride;
  if (!f) exit(3);
  for (int lives = 0; lives < 50; lives++) {
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      child(s, &sh, fileno(f), stride, from);
      exit(0); /* the leak sanitizer looks at what was not ours */
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(3);
    if (pread(fileno(f), &sh, sizeof sh, 0) != sizeof sh) exit(3);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
    sh.wrong++;
    printf("FAILED: %s, allocation %ld of %ld%s: ended with %s %d\n", s->name, sh.at, sh.total, sh.sticky ? " and all later ones" : "", WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    from = sh.at + stride;
    if (from > sh.total) break;
  }
  fclose(f);
  printf("%-20s %6ld allocations, %6ld passes, %ld wrong\n", s->name, sh.total, sh.passes, sh.wrong);
  sum->total += sh.total, sum->passes += sh.passes, sum->wrong += sh.wrong;
}

int main(int argc, char **argv) {
  long stride = 1, offset = 0;
  const char *only = NULL, *at = NULL, *why;
  unsigned scenarios = 0;
  shared sum = {.total = 0};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--stride")) stride = strtol(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--offset")) offset = strtol(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--scenario")) only = argv[i + 1];
    else if (!strcmp(argv[i], "--at")) at = argv[i + 1];
  }
  if (stride < 1) return 2;
  for (int part = 0; part < 2; part++)
    for (const scenario *s = part ? oom_engine : oom_parts; s->name; s++) {
      if (only && strcmp(only, s->name) != 0 && strcmp(only, part ? "engine" : "parts") != 0) continue;
      scenarios++;
      if (at) {
        (void)pass(s, strtol(at, NULL, 10), strchr(at, ':') && strchr(at, ':')[1] == '1', &why);
        printf("%s %s\n", s->name, why);
      } else all(s, stride, offset, &sum);
    }
  printf("oom: %u scenarios, %ld allocations, %ld passes, %ld violations\n", scenarios, sum.total, sum.passes, sum.wrong);
  return sum.wrong || (!sum.passes && !at) ? 1 : 0;
}
