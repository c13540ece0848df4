/* damage.c - a data folder with drawn damage: whoever opens it gets a verdict or the right data, never wrong data, and what the log still says is found again.
 *
 *   damage BASE OUT SEED FROM COUNT [canary]
 *
 * BASE is the folder of a daemon that was stopped; state.mdb.old in it, if there is one, an earlier state. Each time it is copied to OUT, one of its files is damaged, and a child opens and reads it as
 * the daemon does. Right: every record of the log that is read is the one that was written, no record is missing without being told, the state's hash is the one of BASE. A child that
 * is ended by a signal is a verdict too; after every verdict about the state, a state made again from the log must have BASE's hash. canary: records are compared with other ones. */
#include "draw.h"
#include "io_linux.h"
#include "log.h"
#include "store.h"
#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATHS = 700, MAX_RECORDS = 100000, MAX_FILES = 64, PAGE = 4096 };
enum { RIGHT = 10, VERDICT, WRONG }; /* exit codes of a child */
static const char *const kinds[] = {"bits", "zeros", "noise", "swap", "cut", "longer", "stale", "foreign", "gone", "repeated"};
enum { KINDS = sizeof kinds / sizeof *kinds };

static struct {
  const char *base, *out;
  uint64_t rng;
  struct { uint64_t seq; uint8_t hash[32]; } rec[MAX_RECORDS];
  unsigned nrec;
  uint8_t state[32];
  char files[MAX_FILES][80];
  unsigned nfiles;
  bool canary;
} g;

static uint64_t draw(void) { return draw_from(&g.rng); }
static uint64_t below(uint64_t n) { return n ? draw() % n : 0; }

static void rec_hash(const log_rec *r, uint8_t h[32]) { cod_sha256(r->meta, r->meta_len, r->body, r->body_len, h); }

/* ---- copies ---- */

static uint8_t *slurp(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  *len = 0;
  if (!f) return NULL;
  struct stat st;
  if (fstat(fileno(f), &st)) exit(3);
  uint8_t *p = (uint8_t *)malloc((size_t)st.st_size + 1);
  if (!p || fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size) exit(3);
  fclose(f);
  *len = (size_t)st.st_size;
  return p;
}
static void spit(const char *path, const uint8_t *p, size_t len) {
  FILE *f = fopen(path, "wb");
  if (!f || (len && fwrite(p, 1, len, f) != len) || fclose(f)) perror(path), exit(3);
  chmod(path, 0600);
}
static void list(const char *sub) {
  char path[PATHS];
  snprintf(path, sizeof path, "%s/%s", g.base, sub);
  DIR *d = opendir(path);
  for (struct dirent *e; d && (e = readdir(d)) && g.nfiles < MAX_FILES;) {
    const char *dot = strrchr(e->d_name, '.');
    if (strcmp(e->d_name, "hash.key") && (!dot || (strcmp(dot, ".seg") && strcmp(dot, ".mdb")))) continue;
    snprintf(g.files[g.nfiles++], 80, "%s%s%.60s", sub, sub[0] ? "/" : "", e->d_name);
  }
  if (d) closedir(d);
  qsort(g.files, g.nfiles, sizeof g.files[0], (int (*)(const void *, const void *))strcmp);
}
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st, (void)type, (void)ftw;
  return remove(path);
}
static void copy_all(void) {
  char from[PATHS], to[PATHS];
  nftw(g.out, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  snprintf(to, sizeof to, "%s/log", g.out);
  mkdir(g.out, 0700), mkdir(to, 0700);
  for (unsigned i = 0; i < g.nfiles; i++) {
    size_t len;
    snprintf(from, sizeof from, "%s/%s", g.base, g.files[i]);
    snprintf(to, sizeof to, "%s/%s", g.out, g.files[i]);
    uint8_t *p = slurp(from, &len);
    spit(to, p, len);
    free(p);
  }
}

/* Damages a file; *state: it is state.mdb. Returns the kind. */
static unsigned damage(bool *state, char what[120]) {
  char path[PATHS], old[PATHS];
  unsigned segs = 0, pick, kind = (unsigned)below(KINDS);
  size_t len, other;
  for (unsigned i = 0; i < g.nfiles; i++) segs += !!strstr(g.files[i], ".seg");
  *state = !segs || below(2);
  do pick = (unsigned)below(g.nfiles);
  while (*state ? strcmp(g.files[pick], "state.mdb") != 0 : !strstr(g.files[pick], ".seg"));
  if (!*state && (kind == 6 || kind == 8)) kind = 0; /* an older or a missing segment is what retention or a standby would leave */
  snprintf(path, sizeof path, "%s/%s", g.out, g.files[pick]);
  uint8_t *p = slurp(path, &len);
  size_t used = len;
  while (!*state && used > 256 && !p[used - 1]) used--; /* not in what was only reserved */
  size_t at = used ? (size_t)below(used) : 0, n = 1 + (size_t)below(below(2) ? 16 : 4096);
  if (n > used - at) n = used - at;
  snprintf(what, 120, "%s at %zu of %.60s (%zu bytes)", kinds[kind], at, g.files[pick], len);
  switch (kind) {
  case 0: for (uint64_t k = 1 + below(3); k; k--) p[below(used)] ^= (uint8_t)(1u << below(8)); break;
  case 1: memset(p + at, 0, n); break;
  case 2: for (size_t i = 0; i < n; i++) p[at + i] = (uint8_t)draw(); break;
  case 3:
    if (used >= 2 * PAGE) {
      uint8_t t[PAGE];
      size_t a = below(used / PAGE) * PAGE, b = below(used / PAGE) * PAGE;
      memcpy(t, p + a, PAGE), memcpy(p + a, p + b, PAGE), memcpy(p + b, t, PAGE);
    }
    break;
  case 4: len = at / 512 * 512; break;
  case 5: p = (uint8_t *)realloc(p, len + n), memset(p + len, 0xa5, n), len += n; break;
  case 6:
    snprintf(old, sizeof old, "%s/state.mdb.old", g.base);
    free(p);
    p = slurp(old, &len);
    if (!p) p = (uint8_t *)calloc(1, 1), len = 0;
    break;
  case 7:
    snprintf(old, sizeof old, "%s/%s", g.out, g.files[below(g.nfiles)]);
    free(p);
    p = slurp(old, &len);
    break;
  case 8: free(p); unlink(path); return kind;
  default:
    other = (size_t)below(used) / 8 * 8;
    if (other + n <= used) memmove(p + at, p + other, n);
  }
  spit(path, p, len);
  free(p);
  return kind;
}

/* ---- opening and reading ---- */

static const uint8_t *known(uint64_t seq) {
  unsigned lo = 0, hi = g.nrec;
  while (lo < hi) {
    unsigned mid = (lo + hi) / 2;
    if (g.rec[mid].seq == seq) return g.rec[g.canary && mid ? mid - 1 : mid].hash;
    if (g.rec[mid].seq < seq) lo = mid + 1;
    else hi = mid;
  }
  return NULL;
}

typedef struct reading {
  store *s;
  hlog *l;
  arena a;
  int code;
} reading;
static bool one_input(uint16_t part, uint64_t id, uint8_t state, void *user) {
  reading *k = (reading *)user;
  store_input in;
  log_rec r;
  uint8_t h[32];
  (void)state;
  arena_reset(&k->a);
  hdw_status s = store_get_input(k->s, part, id, &k->a, &in);
  if (!s) s = log_read(k->l, in.pos, &k->a, &r);
  if (s) k->code = VERDICT;
  else {
    rec_hash(&r, h);
    const uint8_t *was = known(id);
    if (!was || memcmp(h, was, 32) || r.seq != id) {
      k->code = WRONG;
      printf("a message of the state has other bytes\n");
    }
  }
  return k->code != WRONG;
}

/* Every record that the log gives is one that was written; whether all of them came. */
static int read_log(io *x, const char *dir, uint64_t *last) {
  log_iter *it;
  log_rec r;
  uint8_t h[32];
  uint64_t next = 0;
  int code = RIGHT;
  *last = 0;
  hdw_status s = log_iter_open(x, dir, 0, &it);
  if (s) return VERDICT;
  for (;;) {
    s = log_iter_next(it, &r);
    if (s == HDW_E_CORRUPT) {
      uint64_t lost;
      code = VERDICT, next = 0;
      s = log_iter_skip_segment(it, &lost);
      if (!s) continue;
    }
    if (s) break;
    rec_hash(&r, h);
    const uint8_t *was = known(r.seq);
    if ((was && memcmp(h, was, 32)) || (next && r.seq != next)) {
      printf("record %llu is another one than was written\n", (unsigned long long)r.seq);
      code = WRONG;
      break;
    }
    next = r.seq + 1, *last = r.seq;
  }
  log_iter_close(it);
  return s == HDW_E_NOTFOUND || code == WRONG ? code : VERDICT;
}

/* As the daemon comes up, then everything is read. */
static int look(bool remember) {
  io_mem heap;
  io *x;
  char log[PATHS];
  log_open_info li;
  store_info si;
  uint8_t h[32];
  uint64_t last;
  reading k = {.code = RIGHT};
  io_mem_init(&heap, 0);
  if (io_linux_new(&heap.m, &x)) exit(3);
  snprintf(log, sizeof log, "%s/log", g.out);
  store_opts so = {.dir = g.out};
  log_opts lo = {.dir = log, .synced_seq = store_peek_applied(x, g.out), .low_water_bytes = 1};
  hdw_status s = log_open(x, &lo, &li, &k.l);
  if (s) return VERDICT; /* it does not start, and says where */
  if (!remember && g.nrec && li.last_seq + 1 < g.rec[g.nrec - 1].seq && lo.synced_seq >= g.rec[g.nrec - 1].seq - 1) {
    printf("the log ends with record %llu of %llu, and nobody says so\n", (unsigned long long)li.last_seq, (unsigned long long)g.rec[g.nrec - 1].seq);
    return WRONG;
  }
  int code = read_log(x, log, &last);
  s = store_open(x, &so, &si, &k.s);
  if (s) return VERDICT;
  if (si.skipped) code = code == WRONG ? WRONG : VERDICT;
  arena_init(&k.a, &heap.m, 0);
  if (store_list_all(k.s, 0, SUBJECT_INPUT, 0, 0, one_input, &k) && k.code == RIGHT) k.code = VERDICT;
  if (k.code > code) code = k.code;
  if (store_check(k.s) || store_hash(k.s, h)) code = code == WRONG ? WRONG : VERDICT;
  else if (remember) memcpy(g.state, h, 32);
  else if (!si.skipped && code == RIGHT && last == g.rec[g.nrec - 1].seq && memcmp(h, g.state, 32)) { /* without the record of a clean end it is the same but for its position */
    /* An older page in the place of a newer one: each row is whole. Told by whoever compares with the log, as hdwvm check does. */
    store_info again;
    code = store_rebuild(k.s, &again) || store_hash(k.s, h) || memcmp(h, g.state, 32) ? WRONG : VERDICT;
    if (code == WRONG) printf("the state is another one\n");
  }
  return code;
}

/* In a child: *signal when it was ended by one. */
static int in_child(int *sig) {
  int status;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) signal(deadly[i], SIG_DFL);
    char err[PATHS];
    snprintf(err, sizeof err, "%s.err", g.out);
    if (!freopen(err, "w", stderr)) _exit(3);
    int code = look(false);
    fflush(stdout);
    _exit(code);
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(3);
  *sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : VERDICT;
}

/* What a child said that ended in another way than by a verdict: a sanitizer's report. */
static void said(void) {
  char path[PATHS];
  size_t len;
  snprintf(path, sizeof path, "%s.err", g.out);
  uint8_t *p = slurp(path, &len);
  if (p) printf("%.*s\n", len < 4000 ? (int)len : 4000, (const char *)p);
  free(p);
}

/* What BASE holds. */
static void remember(void) {
  io_mem heap;
  io *x;
  log_iter *it;
  log_rec r;
  char log[PATHS];
  copy_all();
  io_mem_init(&heap, 0);
  snprintf(log, sizeof log, "%s/log", g.out);
  if (io_linux_new(&heap.m, &x) || log_iter_open(x, log, 0, &it)) exit(3);
  while (!log_iter_next(it, &r) && g.nrec < MAX_RECORDS) g.rec[g.nrec].seq = r.seq, rec_hash(&r, g.rec[g.nrec++].hash);
  log_iter_close(it);
  io_linux_free(x);
  bool canary = g.canary;
  g.canary = false;
  if (look(true) != RIGHT) fprintf(stderr, "damage: the folder is damaged to begin with\n"), exit(3);
  g.canary = canary;
}

int main(int argc, char **argv) {
  if (argc < 6) return fprintf(stderr, "usage: damage BASE OUT SEED FROM COUNT [canary]\n"), 2;
  g.base = argv[1], g.out = argv[2];
  uint64_t seed = strtoull(argv[3], NULL, 10), from = strtoull(argv[4], NULL, 10), count = strtoull(argv[5], NULL, 10);
  uint64_t right = 0, told = 0, ended = 0, bad = 0, again = 0;
  g.canary = argc > 6;
  list(""), list("log");
  remember();
  for (uint64_t i = from; i < from + count; i++) {
    bool state;
    int sig;
    char what[120], path[PATHS];
    g.rng = seed * 1000003 + i;
    copy_all();
    (void)damage(&state, what);
    int code = in_child(&sig);
    right += code == RIGHT, told += code == VERDICT && !sig, ended += sig != 0;
    if (code != RIGHT && code != VERDICT) {
      bad++;
      printf("damage %llu of seed %llu: %s: wrong (the child ended with %d)\n", (unsigned long long)i, (unsigned long long)seed, what, code);
      if (code != WRONG) said();
    }
    if (!state || code == RIGHT) continue;
    /* The log is whole: without the damaged state all is as it was. */
    snprintf(path, sizeof path, "%s/state.mdb", g.out);
    unlink(path);
    snprintf(path, sizeof path, "%s/state.mdb-lock", g.out);
    unlink(path);
    again++;
    if (in_child(&sig) != RIGHT || sig) {
      bad++;
      printf("damage %llu of seed %llu: %s: not made again from the log\n", (unsigned long long)i, (unsigned long long)seed, what);
    }
  }
  char err[PATHS];
  snprintf(err, sizeof err, "%s.err", g.out);
  unlink(err);
  nftw(g.out, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  printf("%llu damages: %llu right, %llu told, %llu ended by a signal, %llu states made again, %llu violations\n", (unsigned long long)count, (unsigned long long)right, (unsigned long long)told, (unsigned long long)ended,
         (unsigned long long)again, (unsigned long long)bad);
  return bad ? 1 : 0;
}
