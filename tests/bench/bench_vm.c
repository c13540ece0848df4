/* bench_vm - the machine beside interpreters that are installed, each peer a process whose own start-up is subtracted.
 *
 *   loop      10,000,000 turns of a loop with a condition
 *   calls     fib(30): 1.3 million calls
 *   objects   1,000,000 objects with nine members, a joined string and a list
 *   ndjson10  ten fields of 10,000 patients, from text to text
 *
 * Ours and the peers take turns; each figure is the best of all turns. Usage: bench_vm [--json FILE] [--data FOLDER] [--turns N] */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "compiler.h"
#include "host.h"
#include "json.h"
#include "model.h"

enum { ROWS_MAX = 16 };
#define FUEL INT64_C(1000000000000)

typedef struct row { const char *name, *peer; double ours_ms, theirs_ms; } row;
typedef struct bench {
  mem heap;
  arena keep;                /* program and data */
  module m;
  const vm_native *bound;
  char *lines;
  size_t lines_len;
  const char *data;
  int turns;
  row rows[ROWS_MAX];
  int n;
} bench;

static void *heap_get(mem *m, size_t n) { return (void)m, malloc(n); }
static void heap_put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void die(const char *what, const char *why) {
  fprintf(stderr, "bench_vm: %s: %s\n", what, why);
  exit(1);
}

static char *load(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) die(path, "cannot be read");
  fseek(f, 0, SEEK_END);
  *len = (size_t)ftell(f);
  rewind(f);
  char *s = (char *)malloc(*len + 1);
  if (!s || fread(s, 1, *len, f) != *len) die(path, "cannot be read");
  s[*len] = 0;
  fclose(f);
  return s;
}

static void compile(bench *b) {
  size_t len;
  char *text = load(HDW_BENCH_VM "/bench.hdw", &len);
  comp_source src = {"bench.hdw", text, len};
  diag_list d;
  comp_result out;
  mod_error e;
  diag_init(&d, &b->keep);
  if (comp_program(&b->keep, &src, 1, NULL, &d, &out) || !out.bytes) die("bench.hdw", "does not compile");
  if (mod_load(&b->keep, out.bytes, out.len_bytes, &b->m, &e) || mod_verify(&b->keep, &b->m, &e) || vm_bind(&b->keep, &b->m, host_get(), &b->bound, &e)) die("bench.hdw", e.text);
}

/* ---- ours */

static void run(bench *b, vm_run *r, vm_cx *cx, uint32_t fn, val arg, val *out) {
  if (vm_start(r, &b->m, host_get(), b->bound, cx, fn, &arg, 1)) die("run", "does not start");
  if (vm_go(r) != VM_DONE) die("run", cx->err.text);
  *out = r->result;
}

static double ours_number(bench *b, const char *fn, int64_t n, int64_t want) {
  arena a;
  arena_init(&a, &b->heap, 256 << 20);
  vm_cx cx = {.a = &a, .fuel = FUEL, .model = &hdw_model};
  static vm_run r;
  val v;
  double t = now_ms();
  run(b, &r, &cx, mod_find(&b->m, fn), val_int(n), &v);
  t = now_ms() - t;
  if (v.u.i != want) die(fn, "gives another number");
  arena_free(&a);
  return t;
}

/* Text in, text out, line by line as jq does. */
static double ours_ndjson(bench *b) {
  arena a;
  json_reader rd;
  json_lines it;
  val doc, v;
  static vm_run r;
  arena_init(&a, &b->heap, 0);
  json_reader_init(&rd, &b->heap);
  int out = open("/dev/null", O_WRONLY);
  uint32_t fn = mod_find(&b->m, "fields");
  arena out_arena;
  arena_init(&out_arena, &b->heap, 0);
  buf text;
  buf_init(&text, &out_arena, 1 << 26);
  double t = now_ms();
  json_lines_init(&it, b->lines, b->lines_len);
  while (json_lines_next(&it, &rd, &a, NULL, &doc, NULL) == HDW_OK) {
    vm_cx cx = {.a = &a, .fuel = FUEL, .model = &hdw_model};
    run(b, &r, &cx, fn, doc, &v);
    if (v.len != 10) die("ndjson10", "other fields");
    if (json_write(v, &text, NULL)) die("ndjson10", "cannot be written");
    buf_putc(&text, '\n');
    if (text.len > 1 << 16) { if (write(out, text.p, text.len) < 0) die("ndjson10", "write"); text.len = 0; }
    arena_reset(&a);
  }
  if (write(out, text.p, text.len) < 0) die("ndjson10", "write");
  t = now_ms() - t;
  close(out);
  arena_free(&a);
  arena_free(&out_arena);
  json_reader_free(&rd);
  return t;
}

/* ---- peers */

static double process(const char *const *argv) {
  double t = now_ms();
  pid_t pid = fork();
  if (pid == 0) {
    int fd = open("/dev/null", O_RDWR);
    dup2(fd, 0);
    dup2(fd, 1);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  int st;
  if (pid < 0 || waitpid(pid, &st, 0) < 0 || st != 0) return -1;
  return now_ms() - t;
}

static double ours(bench *b, const char *name) {
  if (strcmp(name, "loop") == 0) return ours_number(b, "loop", 10000000, INT64_C(16666675000000));
  if (strcmp(name, "calls") == 0) return ours_number(b, "fib", 30, 832040);
  if (strcmp(name, "objects") == 0) return ours_number(b, "objects", 1000000, INT64_C(11888894));
  return ours_ndjson(b);
}

/* script NULL: the peer's own start. */
static double peer_run(bench *b, const char *peer, const char *name) {
  char script[1024], file[1024];
  if (strcmp(peer, "jq") == 0) {
    snprintf(script, sizeof script, HDW_BENCH_VM "/ndjson10.jq");
    snprintf(file, sizeof file, "%s/patients.ndjson", b->data);
    const char *run_it[] = {"jq", "-c", "-f", script, file, NULL}, *start[] = {"jq", "-n", "0", NULL};
    return process(name ? run_it : start);
  }
  snprintf(script, sizeof script, HDW_BENCH_VM "/%s.lua", name ? name : "empty");
  const char *argv[] = {peer, script, NULL};
  return process(argv);
}

static void compete(bench *b, const char *name, const char *peer) {
  double o = 1e12, t = 1e12, s = 1e12, x;
  bool there = peer_run(b, peer, NULL) >= 0;
  for (int i = 0; i < b->turns; i++) {
    if ((x = ours(b, name)) < o) o = x;
    if (!there) continue;
    if ((x = peer_run(b, peer, name)) >= 0 && x < t) t = x;
    if ((x = peer_run(b, peer, NULL)) >= 0 && x < s) s = x;
  }
  b->rows[b->n++] = (row){name, there ? peer : "", o, there ? t - s : 0};
  row *r = &b->rows[b->n - 1];
  if (there) printf("%-10s %-8s %10.1f %10.1f %8.2f\n", name, peer, r->ours_ms, r->theirs_ms, r->theirs_ms / r->ours_ms);
  else printf("%-10s %-8s %10.1f %10s   (%s is not installed)\n", name, "", r->ours_ms, "", peer);
  fflush(stdout);
}

static void write_json(const bench *b, const char *path) {
  FILE *f = fopen(path, "w");
  if (!f) die(path, "cannot be written");
  fprintf(f, "{\"bench\":\"vm\",\"rows\":[");
  bool first = true;
  for (int i = 0; i < b->n; i++) {
    const row *r = &b->rows[i];
    if (!*r->peer) continue;
    fprintf(f, "%s\n{\"name\":\"%s%s\",\"unit\":\"ms\",\"ours\":%.2f,\"peer\":\"%s\",\"theirs\":%.2f,\"ratio\":%.3f}", first ? "" : ",", r->name,
            strcmp(r->peer, "luajit") == 0 ? "_luajit" : "", r->ours_ms, r->peer, r->theirs_ms,
            r->theirs_ms / r->ours_ms);
    first = false;
  }
  fprintf(f, "]}\n");
  fclose(f);
}

int main(int argc, char **argv) {
  static bench b;
  const char *json = NULL;
  b.data = HDW_BENCH_DATA;
  b.turns = 10;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--json") == 0) json = argv[i + 1];
    else if (strcmp(argv[i], "--data") == 0) b.data = argv[i + 1];
    else if (strcmp(argv[i], "--turns") == 0) b.turns = atoi(argv[i + 1]);
  }
  char path[1024];
  mallopt(M_MMAP_THRESHOLD, 1 << 30); /* or the figures would be about page faults */
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  b.heap = (mem){heap_get, heap_put, NULL};
  arena_init(&b.keep, &b.heap, 0);
  snprintf(path, sizeof path, "%s/patients.ndjson", b.data);
  b.lines = load(path, &b.lines_len);
  compile(&b);
  printf("%-10s %-8s %10s %10s %8s   (ms, best of %d)\n", "row", "peer", "hdw", "peer", "ratio", b.turns);
  static const char *const names[] = {"loop", "calls", "objects"}, *const peers[] = {"lua5.4", "luajit"};
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 2; k++) compete(&b, names[i], peers[k]);
  compete(&b, "ndjson10", "jq");
  if (json) write_json(&b, json);
  return 0;
}
