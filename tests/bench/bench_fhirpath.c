/* bench_fhirpath - FHIRPath compiled once and evaluated many times, over parsed JSON: P1 to P5 on a Patient, B1 to B5 on a Bundle of 100.
 *
 * Rows `patient` and `bundle` are the geometric means of the five; `whole_patient` and `whole_bundle` read the JSON anew each time and evaluate ten fields. The peers (fhirpath.js, medplum) run when PEERS_NPM names a folder with
 * node_modules of `npm i fhirpath @medplum/core`. Usage: bench_fhirpath [--json FILE] [--data FOLDER] [--seconds S] [--only NAME: ours alone, for profiles] */
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
/* Ten fields of a document, read anew each time. */
enum { FIELDS = 10, WHOLE = 2 };
static const char *const whole_names[WHOLE] = {"whole_patient", "whole_bundle"};
static const expr fields[WHOLE][FIELDS] = {
    {{"W1", "patient.json", "Patient.id"}, {"W1", "patient.json", "Patient.active"}, {"W1", "patient.json", "Patient.birthDate"}, {"W1", "patient.json", "Patient.gender"},
     {"W1", "patient.json", "Patient.name.where(use = 'official').family"}, {"W1", "patient.json", "Patient.name.first().given.first()"},
     {"W1", "patient.json", "Patient.identifier.first().value"}, {"W1", "patient.json", "Patient.telecom.where(system = 'phone').value"},
     {"W1", "patient.json", "Patient.address.first().city"}, {"W1", "patient.json", "Patient.meta.lastUpdated"}},
    {{"W2", "bundle100.json", "Bundle.id"}, {"W2", "bundle100.json", "Bundle.type"}, {"W2", "bundle100.json", "Bundle.entry.count()"}, {"W2", "bundle100.json", "Bundle.entry.resource.id"},
     {"W2", "bundle100.json", "Bundle.entry.fullUrl"}, {"W2", "bundle100.json", "Bundle.entry.resource.ofType(Patient).birthDate"},
     {"W2", "bundle100.json", "Bundle.entry.resource.ofType(Patient).name.family"}, {"W2", "bundle100.json", "Bundle.entry.resource.ofType(Observation).status"},
     {"W2", "bundle100.json", "Bundle.entry.resource.ofType(Observation).code.coding.code"}, {"W2", "bundle100.json", "Bundle.entry.resource.ofType(Observation).subject.reference"}}};
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
  fprintf(stderr, "bench_fhirpath: %s: %s\n", what, why);
  exit(1);
}

static char *text_of(arena *a, const char *folder, const char *name, size_t *len) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  if (!f) die(path, "cannot be read");
  fseek(f, 0, SEEK_END);
  *len = (size_t)ftell(f);
  rewind(f);
  char *s = arena_alloc(a, *len + 1);
  if (!s || fread(s, 1, *len, f) != *len) die(path, "cannot be read");
  fclose(f);
  return s;
}

static val parse(json_reader *r, arena *a, const char *s, size_t len) {
  val v;
  if (json_read(r, a, s, len, NULL, &v, NULL)) die("json_read", "it is no JSON");
  return fhir_adopt(v);
}

static val document(arena *a, const char *folder, const char *name) {
  json_reader r;
  size_t len;
  const char *s = text_of(a, folder, name, &len);
  json_reader_init(&r, &heap);
  val v = parse(&r, a, s, len);
  json_reader_free(&r);
  return v;
}

/* Best of some turns. */
typedef struct program { module m; const vm_native *bound; uint32_t fn; } program;

static void compile(arena *a, const expr *x, val doc, program *p) {
  diag_list d;
  comp_result c;
  mod_error e;
  diag_init(&d, a);
  if (comp_expr(a, x->text, strlen(x->text), COMP_FHIR, fhir_type_name(doc.aux), false, &d, &c) || !c.bytes) die(x->name, "does not compile");
  if (mod_load(a, c.bytes, c.len_bytes, &p->m, &e) || mod_verify(a, &p->m, &e) || vm_bind(a, &p->m, host_get(), &p->bound, &e)) die(x->name, e.text);
  p->fn = mod_find(&p->m, "main");
}

static unsigned run(const program *p, arena *work, val doc, const char *name) {
  static vm_run r;
  vm_cx cx = {.a = work, .fuel = 100000000, .model = &hdw_model};
  if (vm_start(&r, &p->m, host_get(), p->bound, &cx, p->fn, &doc, 1) || vm_go(&r) != VM_DONE) die(name, cx.err.text);
  return val_count(r.result);
}

static figure ours(const expr *x, val doc, double seconds) {
  arena a, work;
  program p;
  figure out = {0, 0};
  arena_init(&a, &heap, 0);
  arena_init(&work, &heap, 0);
  compile(&a, x, doc, &p);
  for (int turn = 0; turn < TURNS; turn++) {
    double t0 = now_s(), t;
    uint64_t k = 0;
    do {
      for (int i = 0; i < 4; i++, k++) {
        out.count = run(&p, &work, doc, x->name);
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

/* Documents per second: read, ten fields, forgotten. *len is the document's. */
static figure whole(const expr *x, const char *folder, double seconds, size_t *len) {
  arena a, work;
  program p[FIELDS];
  figure out = {0, 0};
  json_reader r;
  arena_init(&a, &heap, 0);
  arena_init(&work, &heap, 0);
  json_reader_init(&r, &heap);
  const char *s = text_of(&a, folder, x->file, len);
  val doc = parse(&r, &a, s, *len);
  for (int i = 0; i < FIELDS; i++) compile(&a, &x[i], doc, &p[i]);
  for (int turn = 0; turn < TURNS; turn++) {
    double t0 = now_s(), t;
    uint64_t k = 0;
    do {
      doc = parse(&r, &work, s, *len);
      out.count = 0;
      for (int i = 0; i < FIELDS; i++) out.count += run(&p[i], &work, doc, x[i].text);
      arena_reset(&work);
      k++;
      t = now_s();
    } while (t - t0 < seconds / TURNS);
    if ((double)k / (t - t0) > out.ops) out.ops = (double)k / (t - t0);
  }
  json_reader_free(&r);
  arena_free(&work);
  arena_free(&a);
  return out;
}

/* false when the peer is not there. */
static bool peer(const char *engine, const char *folder, double seconds, figure *out, figure *docs) {
  char cmd[2048], line[256], name[16], list[] = "/tmp/bench_fhirpath.XXXXXX";
  if (!getenv("PEERS_NPM")) return false;
  int fd = mkstemp(list);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
  if (!f) return false;
  for (int i = 0; i < EXPRS; i++) fprintf(f, "%s %s %s\n", exprs[i].name, exprs[i].file, exprs[i].text);
  for (int i = 0; i < WHOLE * FIELDS; i++) fprintf(f, "%s %s %s\n", fields[i / FIELDS][i % FIELDS].name, fields[i / FIELDS][i % FIELDS].file, fields[i / FIELDS][i % FIELDS].text);
  fclose(f);
  snprintf(cmd, sizeof cmd, "node '%s' %s '%s' %.2f <%s 2>/dev/null", HDW_BENCH_PEERS, engine, folder, seconds, list);
  FILE *p = popen(cmd, "r");
  int n = 0;
  while (p && n < EXPRS + WHOLE && fgets(line, sizeof line, p)) {
    figure *to = n < EXPRS ? &out[n] : &docs[n - EXPRS];
    if (sscanf(line, "%15s %u %lf", name, &to->count, &to->ops) == 3 && strcmp(name, n < EXPRS ? exprs[n].name : fields[n - EXPRS][0].name) == 0) n++;
  }
  if (p) pclose(p);
  remove(list);
  return n == EXPRS + WHOLE;
}

static double mean(const figure *f, int from) {
  double s = 0;
  for (int i = from; i < from + 5; i++) s += log(f[i].ops);
  return exp(s / 5);
}

static void row(FILE *f, const char *name, const char *unit, double us, const char *engine, double them, bool *first) {
  printf("%-13s %12.0f %-9s %12.0f %8.2f %s\n", name, us, engine, them, us / them, unit);
  if (f) fprintf(f, "%s\n{\"name\":\"%s\",\"unit\":\"%s\",\"ours\":%.0f,\"peer\":\"%s\",\"theirs\":%.0f,\"ratio\":%.3f}", *first ? "" : ",", name, unit, us, engine, them, us / them);
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
  for (int i = 0; i < WHOLE; i++) {
    size_t len;
    figure w = whole(fields[i], folder, seconds, &len);
    printf("%s: %.0f MB/s, %zu bytes, %.1f us, %u items of ten fields\n", whole_names[i], w.ops * (double)len / 1e6, len, 1e6 / w.ops, w.count);
  }
  bool first = true;
  for (int p = 0; p < PEERS; p++) {
    figure docs_of[WHOLE];
    if (!peer(peer_names[p], folder, seconds, them[p], docs_of)) { printf("%s is not there (PEERS_NPM)\n", peer_names[p]); continue; }
    for (int i = 0; i < EXPRS; i++) { /* turns of ours between the peers: the machine may have other work */
      figure again = ours(&exprs[i], docs[i / 5], seconds / 2);
      if (again.ops > us[i].ops) us[i] = again;
      if (them[p][i].count != us[i].count) printf("%s gives %u items for %s, hdw %u\n", peer_names[p], them[p][i].count, exprs[i].name, us[i].count);
      printf("%-4s %12.0f %-9s %12.0f %8.2f\n", exprs[i].name, us[i].ops, peer_names[p], them[p][i].ops, us[i].ops / them[p][i].ops);
    }
    row(f, "patient", "ops/s", mean(us, 0), peer_names[p], mean(them[p], 0), &first);
    row(f, "bundle", "ops/s", mean(us, 5), peer_names[p], mean(them[p], 5), &first);
    for (int i = 0; i < WHOLE; i++) {
      size_t len;
      figure w = whole(fields[i], folder, seconds, &len);
      if (w.count != docs_of[i].count) printf("%s gives %u items for %s, hdw %u\n", peer_names[p], docs_of[i].count, whole_names[i], w.count);
      row(f, whole_names[i], "MB/s", w.ops * (double)len / 1e6, peer_names[p], docs_of[i].ops * (double)len / 1e6, &first);
    }
  }
  if (f) { fprintf(f, "]}\n"); fclose(f); }
  arena_free(&keep);
  return 0;
}
