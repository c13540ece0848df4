/* bench_json - reading JSON into values, beside other parsers.
 *
 *   parse     a Bundle of 1 MB into values, nothing read from it
 *   pretty    the same with line ends and indents
 *   fields10  parse, then ten fields of its first and last resource
 *   ndjson    10,000 patients line by line, in the table only: no peer
 *   write     the Bundle's values to text
 *
 * Ours and the peers take turns in one process; each figure is the best of all turns. Usage: bench_json [--json FILE] [--data FOLDER] */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "bench_json_peers.h"
#include "json.h"

enum { TURNS = 40, TURN_MS = 12, TURN_REPEATS = 4, ROWS_MAX = 16 };

typedef struct side {
  const char *name;
  int (*run)(const char *text, size_t len, size_t *sum);
  double best_s;
  size_t sum;
} side;

typedef struct row {
  const char *name, *peer;
  double ours, theirs;
} row;

typedef struct report {
  row row[ROWS_MAX];
  int n;
} report;

static mem heap;
static arena ours_arena, write_arena, out_arena;
static json_reader reader;
static val write_doc;

static void *heap_get(mem *m, size_t n) { return (void)m, malloc(n); }
static void heap_put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char *load(const char *folder, const char *name, size_t *len) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  if (!f) {
    fprintf(stderr, "bench_json: cannot read %s (made by tests/bench/gen_fhir.py)\n", path);
    exit(1);
  }
  fseek(f, 0, SEEK_END);
  *len = (size_t)ftell(f);
  rewind(f);
  char *s = (char *)malloc(*len + 1);
  if (!s || fread(s, 1, *len, f) != *len) exit(1);
  s[*len] = 0;
  fclose(f);
  return s;
}

/* ---- ours ---- */

static int ours_parse(const char *text, size_t len, size_t *sum) {
  val v;
  arena_reset(&ours_arena);
  if (json_read(&reader, &ours_arena, text, len, NULL, &v, NULL)) return 1;
  *sum += v.tag == VAL_OBJ;
  return 0;
}

static val member(val v, const char *name) {
  if (v.tag == VAL_LIST && v.len) v = v.u.v[0];
  const val *m = val_obj_get(v, val_key(name, strlen(name)));
  return m ? *m : VAL_NONE;
}

static int ours_fields(const char *text, size_t len, size_t *sum) {
  val v, n;
  dec d;
  int64_t i;
  arena_reset(&ours_arena);
  if (json_read(&reader, &ours_arena, text, len, NULL, &v, NULL)) return 1;
  val entries = member(v, "entry");
  if (entries.tag != VAL_LIST || !entries.len) return 1;
  val p = member(entries.u.v[0], "resource"), o = member(entries.u.v[entries.len - 1], "resource"), name = member(p, "name");
  *sum += member(p, "id").len + member(member(p, "identifier"), "value").len + member(name, "family").len + member(name, "given").u.v[0].len +
          member(p, "birthDate").len + member(p, "gender").len + member(member(p, "address"), "postalCode").len;
  if (val_norm(&ours_arena, member(v, "total"), &n)) return 1;
  *sum += (size_t)n.u.i;
  if (val_norm(&ours_arena, member(member(o, "valueQuantity"), "value"), &n)) return 1;
  d = val_get_dec(n);
  d = dec_trunc(&d);
  if (dec_to_i64(&d, &i)) return 1;
  *sum += (size_t)i + member(member(member(o, "code"), "coding"), "code").len;
  return 0;
}

static int ours_write(const char *text, size_t len, size_t *sum) {
  if (write_doc.tag == VAL_EMPTY && json_read(&reader, &write_arena, text, len, NULL, &write_doc, NULL)) return 1;
  buf b;
  arena_reset(&out_arena);
  buf_init(&b, &out_arena, 1 << 26);
  if (json_write(write_doc, &b, NULL)) return 1;
  *sum += b.len;
  return 0;
}

static int ours_ndjson(const char *text, size_t len, size_t *sum) {
  json_lines it;
  val v;
  hdw_status st;
  json_lines_init(&it, text, len);
  while ((st = json_lines_next(&it, &reader, &ours_arena, NULL, &v, NULL)) == HDW_OK) {
    *sum += v.len;
    arena_reset(&ours_arena);
  }
  return st != HDW_E_NOTFOUND;
}

/* ---- measuring ---- */

/* Side 0 is ours. Takes turns; A turn repeats the work for TURN_MS, at least TURN_REPEATS times (the first pays for the caches the other
 * side left), and the best single time counts. */
static void compete(side *s, int n, const char *text, size_t len) {
  for (int i = 0; i < n; i++) {
    s[i].best_s = 1e9;
    s[i].sum = 0;
    if (s[i].run(text, len, &s[i].sum)) {
      fprintf(stderr, "bench_json: %s cannot read the text\n", s[i].name);
      exit(1);
    }
  }
  size_t sum;
  for (int turn = 0; turn < TURNS; turn++)
    for (int i = 0; i < n; i++) {
      double start = now_s(), t = start;
      for (int k = 0; k < TURN_REPEATS || t - start < TURN_MS * 1e-3; k++) {
        sum = 0;
        s[i].run(text, len, &sum);
        double end = now_s();
        if (end - t < s[i].best_s) s[i].best_s = end - t;
        t = end;
      }
    }
}

static void add(report *r, const char *name, const side *s, int n, size_t len) {
  for (int i = 1; i < n && r->n < ROWS_MAX; i++)
    r->row[r->n++] = (row){name, s[i].name, (double)len / s[0].best_s / 1e6, (double)len / s[i].best_s / 1e6};
}

static void run_bundle(report *r, const char *name, const char *text, size_t len) {
  side s[] = {{"hdw", ours_parse, 0, 0}, {"rapidjson", peer_rapidjson_parse, 0, 0}, {"simdjson", peer_simdjson_parse, 0, 0}, {"cJSON", peer_cjson_parse, 0, 0}};
  peer_simdjson_load(text, len);
  compete(s, 4, text, len);
  add(r, name, s, 4, len);
}

static void run_fields(report *r, const char *text, size_t len) {
  side s[] = {{"hdw", ours_fields, 0, 0}, {"cJSON", peer_cjson_fields, 0, 0}, {"rapidjson", peer_rapidjson_fields, 0, 0}, {"simdjson", peer_simdjson_fields, 0, 0}};
  peer_simdjson_load(text, len);
  compete(s, 4, text, len);
  for (int i = 1; i < 4; i++)
    if (s[i].sum != s[0].sum) {
      fprintf(stderr, "bench_json: %s read other fields than hdw (%zu, %zu)\n", s[i].name, s[i].sum, s[0].sum);
      exit(1);
    }
  add(r, "fields10", s, 4, len);
}

static void print(const report *r, const char *json_path) {
  printf("%-10s %-10s %12s %12s %8s   (MB/s; simdjson kernel: %s)\n", "row", "peer", "hdw", "peer", "ratio", peer_simdjson_kernel());
  for (int i = 0; i < r->n; i++)
    printf("%-10s %-10s %12.0f %12.0f %8.2f\n", r->row[i].name, r->row[i].peer, r->row[i].ours, r->row[i].theirs, r->row[i].ours / r->row[i].theirs);
  if (!json_path) return;
  FILE *f = fopen(json_path, "w");
  if (!f) {
    perror(json_path);
    exit(1);
  }
  fprintf(f, "{\"bench\":\"json\",\"rows\":[");
  for (int i = 0; i < r->n; i++)
    fprintf(f, "%s\n{\"name\":\"%s\",\"unit\":\"MB/s\",\"ours\":%.1f,\"peer\":\"%s\",\"theirs\":%.1f,\"ratio\":%.3f}", i ? "," : "", r->row[i].name, r->row[i].ours,
            r->row[i].peer, r->row[i].theirs, r->row[i].ours / r->row[i].theirs);
  fprintf(f, "]}\n");
  fclose(f);
}

int main(int argc, char **argv) {
  const char *json_path = NULL, *folder = HDW_BENCH_DATA;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--json") == 0) json_path = argv[i + 1];
    else if (strcmp(argv[i], "--data") == 0) folder = argv[i + 1];
  }
  /* The peers free and allocate megabytes in each turn: without this they would measure page faults. */
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  heap = (mem){heap_get, heap_put, NULL};
  arena_init(&ours_arena, &heap, 0);
  arena_init(&write_arena, &heap, 0);
  arena_init(&out_arena, &heap, 0);
  json_reader_init(&reader, &heap);
  static report r;
  size_t len, pretty_len, lines_len;
  char *text = load(folder, "bundle1mb.json", &len), *pretty = load(folder, "bundle1mb_pretty.json", &pretty_len);
  char *lines = load(folder, "patients.ndjson", &lines_len);
  run_bundle(&r, "parse", text, len);
  run_fields(&r, text, len);
  run_bundle(&r, "pretty", pretty, pretty_len);
  side w[] = {{"hdw", ours_write, 0, 0}, {"rapidjson", peer_rapidjson_write, 0, 0}};
  compete(w, 2, text, len);
  add(&r, "write", w, 2, len);
  print(&r, json_path);
  side l[] = {{"hdw", ours_ndjson, 0, 0}};
  compete(l, 1, lines, lines_len);
  printf("%-10s %-10s %12.0f\n", "ndjson", "", (double)lines_len / l[0].best_s / 1e6);
  return 0;
}
