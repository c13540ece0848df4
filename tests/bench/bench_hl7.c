/* bench_hl7 - HL7 messages in process, single thread, beside parsers of npm.
 *
 *   adt10   parse an ADT^A01 of 1,176 bytes and read ten fields as decoded text
 *   oru70   parse an ORU^R01 of 2,789 bytes and read the same ten and three of each of its 20 OBX
 *
 * 512 messages that differ in their control id take turns; values go into a sum so that nothing is left out. The peers run in node by
 * hl7_peers.mjs, one after the other and between our turns, when PEERS_NPM names a folder with node_modules in which they are installed;
 * each figure is the best turn. Usage: bench_hl7 [--json FILE] [--data FOLDER] [--script hl7_peers.mjs] */
#include "hl7.h"
#include "vm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MESSAGES = 512, TURNS = 3, TURN_MS = 400 };

typedef struct row {
  const char *name, *file;
  char peer[40];
  double ours, theirs;
  size_t values;
} row;

static void *heap_get(mem *m, size_t n) { return (void)m, malloc(n); }
static void heap_put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static mem heap = {heap_get, heap_put, NULL};

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#define AT(a, b, c, f, k)                                                                                                                  \
  { HL7_NAME(a, b, c), -1, f, k, 0 }
static const hl7_path ten[] = {AT('M', 'S', 'H', 9, 1), AT('M', 'S', 'H', 10, 0), AT('P', 'I', 'D', 3, 1), AT('P', 'I', 'D', 5, 1),
                               AT('P', 'I', 'D', 5, 2), AT('P', 'I', 'D', 7, 0),  AT('P', 'I', 'D', 8, 0), AT('P', 'I', 'D', 11, 5),
                               AT('P', 'V', '1', 2, 0), AT('P', 'V', '1', 7, 1)};
static const hl7_path obx[] = {AT('O', 'B', 'X', 3, 1), AT('O', 'B', 'X', 5, 0), AT('O', 'B', 'X', 6, 1)};

static void take(vm_cx *cx, hdw_status s, val v, size_t *values, uint64_t *sum) {
  (void)cx;
  if (s) abort();
  *values += v.tag == VAL_STR;
  *sum += v.len + (v.len ? (unsigned char)v.u.s[0] : 0);
}

/* One message: parse and read. Returns how many values were there. */
static size_t one(vm_cx *cx, const char *p, size_t len, uint64_t *sum) {
  hl7_msg *m;
  size_t values = 0;
  val v;
  if (hl7_parse(cx->a, p, len, NULL, &m, NULL)) abort();
  for (size_t i = 0; i < sizeof ten / sizeof *ten; i++) {
    hdw_status s = hl7_text(cx, m, &ten[i], &v);
    take(cx, s, v, &values, sum);
  }
  for (uint32_t k = hl7_find(m, obx[0].seg, 0); k != HL7_NO_SEGMENT; k = hl7_find(m, obx[0].seg, k + 1))
    for (size_t i = 0; i < sizeof obx / sizeof *obx; i++) {
      hdw_status s = hl7_text_in(cx, m, k, &obx[i], &v);
      take(cx, s, v, &values, sum);
    }
  return values;
}

static char *load(const char *folder, const char *name, size_t *len) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  if (!f) {
    fprintf(stderr, "bench_hl7: cannot read %s\n", path);
    exit(1);
  }
  fseek(f, 0, SEEK_END);
  *len = (size_t)ftell(f);
  rewind(f);
  char *p = (char *)malloc(*len + 1);
  if (!p || fread(p, 1, *len, f) != *len) exit(1);
  p[*len] = 0;
  fclose(f);
  return p;
}

/* Best rate of one turn. */
static double turn(char *const *msgs, size_t len, row *r) {
  arena a;
  arena_init(&a, &heap, 0);
  vm_cx cx = {.a = &a, .fuel = INT64_MAX};
  uint64_t sum = 0;
  double best = 0;
  for (double end = now_s() + TURN_MS / 1e3; now_s() < end;) {
    double t0 = now_s();
    for (int i = 0; i < MESSAGES; i++) {
      r->values = one(&cx, msgs[i], len, &sum);
      arena_reset(&a);
    }
    double rate = MESSAGES / (now_s() - t0);
    if (rate > best) best = rate;
  }
  arena_free(&a);
  if (sum == 0) abort();
  return best;
}

static void peers(const char *script, const char *folder, row *r) {
  static const char *const names[] = {"hl7parser", "simple-hl7", "hl7", "@medplum/core", "hl7-standard", "node-hl7-client"};
  if (!getenv("PEERS_NPM") || !script) return;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char cmd[3000], line[200];
    double rate;
    snprintf(cmd, sizeof cmd, "node '%s' '%s' '%s/%s' 0.7 2>/dev/null", script, names[i], folder, r->file);
    FILE *f = popen(cmd, "r");
    if (f && fgets(line, sizeof line, f) && sscanf(line, "%lf", &rate) == 1 && rate > r->theirs) {
      r->theirs = rate;
      snprintf(r->peer, sizeof r->peer, "%s", names[i]);
    }
    if (f) pclose(f);
  }
}

static void run(row *r, const char *script, const char *folder) {
  size_t len;
  char *text = load(folder, r->file, &len), *msgs[MESSAGES], *id = strstr(text, "00001|P|");
  for (int i = 0; i < MESSAGES; i++) {
    msgs[i] = (char *)malloc(len + 1);
    if (!msgs[i] || !id) exit(1);
    memcpy(msgs[i], text, len + 1);
    char num[6];
    snprintf(num, sizeof num, "%05d", 10000 + i);
    memcpy(msgs[i] + (id - text), num, 5);
  }
  for (int t = 0; t < TURNS; t++) {
    double rate = turn(msgs, len, r);
    if (rate > r->ours) r->ours = rate;
    peers(script, folder, r);
  }
  for (int i = 0; i < MESSAGES; i++) free(msgs[i]);
  free(text);
}

int main(int argc, char **argv) {
  const char *json = NULL, *folder = HDW_BENCH_HL7_DATA, *script = HDW_BENCH_HL7_SCRIPT;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--json") == 0) json = argv[i + 1];
    if (strcmp(argv[i], "--data") == 0) folder = argv[i + 1];
    if (strcmp(argv[i], "--script") == 0) script = argv[i + 1];
  }
  row rows[] = {{"adt10", "adt_a01.hl7", "none", 0, 0, 0}, {"oru70", "oru_r01.hl7", "none", 0, 0, 0}};
  printf("%-8s %-16s %12s %12s %8s   (messages/s)\n", "row", "best peer", "hdw", "peer", "ratio");
  for (int i = 0; i < 2; i++) {
    run(&rows[i], script, folder);
    if (rows[i].values != (i ? 70u : 10u)) {
      fprintf(stderr, "bench_hl7: %s: %zu values were read\n", rows[i].name, rows[i].values);
      return 1;
    }
    printf("%-8s %-16s %12.0f %12.0f %8.1f\n", rows[i].name, rows[i].peer, rows[i].ours, rows[i].theirs,
           rows[i].theirs > 0 ? rows[i].ours / rows[i].theirs : 0.0);
  }
  if (!json) return 0;
  FILE *f = fopen(json, "w");
  if (!f) return 1;
  fprintf(f, "{\"bench\":\"hl7\",\"rows\":[");
  for (int i = 0; i < 2; i++)
    fprintf(f, "%s\n{\"name\":\"%s\",\"unit\":\"msg/s\",\"ours\":%.0f,\"peer\":\"%s\",\"theirs\":%.0f,\"ratio\":%.3f}", i ? "," : "",
            rows[i].name, rows[i].ours, rows[i].peer, rows[i].theirs, rows[i].theirs > 0 ? rows[i].ours / rows[i].theirs : 0.0);
  fprintf(f, "]}\n");
  return fclose(f) != 0;
}
