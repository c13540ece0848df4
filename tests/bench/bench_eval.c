/* bench_eval - FHIRPath compiled once and evaluated many times, over parsed JSON: P1 to P5 on a Patient, B1 to B5 on a Bundle of 100.
 *
 * Rows `patient` and `bundle` are the geometric means of the five. The peers (fhirpath.js, medplum) run when PEERS_NPM names a folder with
 * node_modules of `npm i fhirpath @medplum/core`. Usage: bench_eval [--json FILE] [--data FOLDER] [--seconds S] [--only NAME: ours alone, for profiles] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "compiler.h"
#include "fhir.h"
#include "host.h"
#include "json.h"
#include "model.h"

enum { EXPRS = 10, PEERS = 2, TURNS = 5 };
typedef struct expr { const char *name, *file, *text; } expr;
static const expr exprs[EXPRS] = {
    {"P1", "patient.json", "Patient.name.where(use = 'official').family"},
    {"P2", "patient.json", "Patient.identifier.where(system = 'http://hospital.example.org/mrn').value.first()"},
    {"P3", "patient.json", "Patient.telecom.where(system = 'phone' and use = 'home').value"},
    {"P4", "patient.json", "Patient.name.first().given.first() & ' ' & Patient.name.first().family"},
    {"P5", "patient.json", "Patient.birthDate <= @2006-01-01 and Patient.active"},
    {"B1", "bundle100.json", "Bundle.entry.resource.ofType(Observation).where(status = 'final').value.value"},
    {"B2", "bundle100.json", "Bundle.entry.resource.ofType(Patient).name.where(use = 'official').family"},
    {"B3", "bundle100.json", "Bundle.entry.resource.ofType(Observation).where(code.coding.exists(system = 'http://loinc.org' and code = '2345-7')).count()"},
    {"B4", "bundle100.json", "Bundle.entry.resource.where(id = 'pat-00003').identifier.first().value"},
    {"B5", "bundle100.json", "Bundle.entry.resource.ofType(Observation).select(subject.reference).distinct().count()"}};
static const char *const peer_names[PEERS] = {"fhirpath", "medplum"};

typedef struct figure { double ops; unsigned count; } figure;

static mem heap;
static void *heap_get(mem *m, size_t n) { return (void)m, malloc(n); }
static void heap_put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what, const char *why) {
  fprintf(stderr, "bench_eval: %s: %s\n", what, why);
  exit(1);
}

static val document(arena *a, const char *folder, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  if (!f) die(path, "cannot be read");
  fseek(f, 0, SEEK_END);
  size_t len = (size_t)ftell(f);
  rewind(f);
  char *s = arena_alloc(a, len + 1);
  if (!s || fread(s, 1, len, f) != len) die(path, "cannot be read");
  fclose(f);
  json_reader r;
  val v;
  json_reader_init(&r, &heap);
  if (json_read(&r, a, s, len, NULL, &v, NULL)) die(path, "is no JSON");
  json_reader_free(&r);
  return fhir_adopt(v);
}

/* Best of some turns. */
static figure ours(const expr *x, val doc, double seconds) {
  arena a, work;
  diag_list d;
  comp_result c;
  module m;
  mod_error e;
  const vm_native *bound;
  static vm_run r;
  figure out = {0, 0};
  arena_init(&a, &heap, 0);
  arena_init(&work, &heap, 0);
  diag_init(&d, &a);
  if (comp_expr(&a, x->text, strlen(x->text), COMP_FHIR, fhir_type_name(doc.aux), false, &d, &c) || !c.bytes) die(x->name, "does not compile");
  if (mod_load(&a, c.bytes, c.len_bytes, &m, &e) || mod_verify(&a, &m, &e) || vm_bind(&a, &m, host_get(), &bound, &e)) die(x->name, e.text);
  uint32_t fn = mod_find(&m, "main");
  for (int turn = 0; turn < TURNS; turn++) {
    double t0 = now_s(), t;
    uint64_t k = 0;
    do {
      for (int i = 0; i < 4; i++, k++) {
        vm_cx cx = {.a = &work, .fuel = 100000000, .model = &hdw_model};
        if (vm_start(&r, &m, host_get(), bound, &cx, fn, &doc, 1) || vm_go(&r) != VM_DONE) die(x->name, cx.err.text);
        out.count = val_count(r.result);
        arena_reset(&work);
      }
      t = now_s();
    } while (t - t0 < seconds / TURNS);
    if ((double)k / (t - t0) > out.ops) out.ops = (double)k / (t - t0);
  }
  arena_free(&work);
  arena_free(&a);
  return out;
}

/* false when the peer is not there. */
static bool peer(const char *engine, const char *folder, double seconds, figure *out) {
  char cmd[2048], line[256], name[16], list[] = "/tmp/bench_eval.XXXXXX";
  if (!getenv("PEERS_NPM")) return false;
  int fd = mkstemp(list);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
  if (!f) return false;
  for (int i = 0; i < EXPRS; i++) fprintf(f, "%s %s %s\n", exprs[i].name, exprs[i].file, exprs[i].text);
  fclose(f);
  snprintf(cmd, sizeof cmd, "node '%s' %s '%s' %.2f <%s 2>/dev/null", HDW_BENCH_PEERS, engine, folder, seconds, list);
  FILE *p = popen(cmd, "r");
  int n = 0;
  while (p && n < EXPRS && fgets(line, sizeof line, p))
    if (sscanf(line, "%15s %u %lf", name, &out[n].count, &out[n].ops) == 3 && strcmp(name, exprs[n].name) == 0) n++;
  if (p) pclose(p);
  remove(list);
  return n == EXPRS;
}

static double mean(const figure *f, int from) {
  double s = 0;
  for (int i = from; i < from + 5; i++) s += log(f[i].ops);
  return exp(s / 5);
}

static void row(FILE *f, const char *name, double us, const char *engine, double them, bool *first) {
  printf("%-8s %12.0f %-9s %12.0f %8.2f\n", name, us, engine, them, us / them);
  if (f) fprintf(f, "%s\n{\"name\":\"%s\",\"unit\":\"ops/s\",\"ours\":%.0f,\"peer\":\"%s\",\"theirs\":%.0f,\"ratio\":%.3f}", *first ? "" : ",", name, us, engine, them, us / them);
  *first = false;
}

int main(int argc, char **argv) {
  const char *json = NULL, *folder = HDW_BENCH_DATA, *only = NULL;
  double seconds = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--json") == 0) json = argv[i + 1];
    else if (strcmp(argv[i], "--data") == 0) folder = argv[i + 1];
    else if (strcmp(argv[i], "--seconds") == 0) seconds = atof(argv[i + 1]);
    else if (strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  }
  heap = (mem){heap_get, heap_put, NULL};
  arena keep;
  arena_init(&keep, &heap, 0);
  val docs[2] = {document(&keep, folder, "patient.json"), document(&keep, folder, "bundle100.json")};
  figure us[EXPRS], them[PEERS][EXPRS];
  for (int i = 0; only && i < EXPRS; i++)
    if (strcmp(exprs[i].name, only) == 0) return printf("%s %.0f ns\n", only, 1e9 / ours(&exprs[i], docs[i / 5], seconds).ops), 0;
  FILE *f = json ? fopen(json, "w") : NULL;
  if (f) fprintf(f, "{\"bench\":\"fhirpath\",\"rows\":[");
  for (int i = 0; i < EXPRS; i++) us[i] = ours(&exprs[i], docs[i / 5], seconds);
  printf("%-4s %12s %8s %6s   (one thread, compiled once)\n", "", "ops/s", "ns", "items");
  for (int i = 0; i < EXPRS; i++) printf("%-4s %12.0f %8.0f %6u\n", exprs[i].name, us[i].ops, 1e9 / us[i].ops, us[i].count);
  bool first = true;
  for (int p = 0; p < PEERS; p++) {
    if (!peer(peer_names[p], folder, seconds, them[p])) { printf("%s is not there (PEERS_NPM)\n", peer_names[p]); continue; }
    for (int i = 0; i < EXPRS; i++) { /* turns of ours between the peers: the machine may have other work */
      figure again = ours(&exprs[i], docs[i / 5], seconds / 2);
      if (again.ops > us[i].ops) us[i] = again;
      if (them[p][i].count != us[i].count) printf("%s gives %u items for %s, hdw %u\n", peer_names[p], them[p][i].count, exprs[i].name, us[i].count);
      printf("%-4s %12.0f %-9s %12.0f %8.2f\n", exprs[i].name, us[i].ops, peer_names[p], them[p][i].ops, us[i].ops / them[p][i].ops);
    }
    row(f, "patient", mean(us, 0), peer_names[p], mean(them[p], 0), &first);
    row(f, "bundle", mean(us, 5), peer_names[p], mean(them[p], 5), &first);
  }
  if (f) { fprintf(f, "]}\n"); fclose(f); }
  arena_free(&keep);
  return 0;
}
