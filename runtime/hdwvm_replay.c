/* hdwvm_replay.c - hdwvm replay --dry-run: recorded messages through another version of a module, and what would be different.
 *
 * Reads the data folder itself, beside a running daemon too, and a backup just as well. Only counts and a few ids are kept, so the memory that it takes does not
 * depend on how many messages there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine_replay.h"
#include "hdwvm_load.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_linux.h"
#include "json.h"
#include "model.h"

enum { ROWS = 1024, ROWS_MAX = 800, EXAMPLES = 3, BATCH = 256, SHOWN = 160, VALUE_MAX = 16384 };

typedef struct example {
  uint64_t message, run;
  const char *before, *after; /* --values: JSON; NULL = none */
} example;
typedef struct row {
  const char *workflow, *path; /* path NULL: free */
  uint64_t n[3], last[3];    /* by engine_replay_kind: messages; the one counted last */
  uint32_t nexamples;
  example examples[EXAMPLES];
} row;

typedef struct replaying {
  const hv_args *args;
  io_mem heap;
  arena a;
  io *io;
  engine *e;
  engine_replay *x;
  row rows[ROWS];
  uint32_t nrows;
  uint64_t looked, same, differ, assumed, open, skipped[REPLAY_SKIPS];
  int64_t first_us, last_us;
  uint64_t limit, next;
  int64_t since_us, until_us;
  uint64_t ids[BATCH];
  uint32_t nids;
  bool listed, first, bad;   /* messages were named: each difference is shown */
} replaying;

static const char *const verbs[] = {"changed", "added", "removed"};
static const char *const skips[] = {"", "unfinished", "expired", "no_module", "refused", "no_path", "diverged"};
static const char *const reasons[] = {"", "whose run has not ended", "whose bytes or answers retention took", "whose module is not in the log any more", "that no workflow saw (unreadable, or refused by the listener)",
                                      "over HTTP of which the path is not recorded", "whose own version does not do what is recorded (hdwvm replay --dry-run without --with shows where)"};

/* ---- values ------------------------------------------------------------------------------------------------------------------------ */

static hdw_status node_text(void *user, val node, buf *out) {
  const hl7_node *n = hl7_of(node);
  hl7_slice s;
  (void)user;
  if (n->level != HL7_MSG) s = hl7_node_raw(n);
  else if (hl7_bytes(out->a, n->m, &s)) return HDW_E_NOMEM;
  json_write_str(out, s.p, s.len);
  return HDW_OK;
}

static const char *json_of(arena *a, val v) {
  json_wopts o = {.hl7 = node_text};
  buf b;
  if (v.tag == VAL_EMPTY) return NULL;
  arena_mark m = arena_here(a);
  buf_init(&b, a, VALUE_MAX);
  if (!json_write(v, &b, &o)) {
    buf_putc(&b, 0);
    if (!b.status) return b.p;
  }
  bool long_one = b.status == HDW_E_LIMIT;
  arena_release(a, m);
  return long_one ? "\"(too long to show here)\"" : "\"(it cannot be shown)\"";
}

/* Long values end in an ellipsis. */
static void print_value(const char *json) {
  size_t n = strlen(json);
  if (n <= SHOWN) printf("%s", json);
  else {
    size_t k = SHOWN;
    while (k && ((unsigned char)json[k] & 0xc0) == 0x80) k--;
    printf("%.*s...", (int)k, json);
  }
}

/* ---- what is found ---------------------------------------------------------------------------------------------------------------------- */

static row *row_of(replaying *x, const char *workflow, const char *path) {
  uint32_t h = 2166136261u;
  for (const char *p = workflow; *p; p++) h = (h ^ (uint8_t)*p) * 16777619u;
  for (const char *p = path; *p; p++) h = (h ^ (uint8_t)*p) * 16777619u;
  for (uint32_t i = h % ROWS;; i = (i + 1) % ROWS) {
    row *r = &x->rows[i];
    if (r->path && (strcmp(r->path, path) || strcmp(r->workflow, workflow))) continue;
    if (r->path) return r;
    if (x->nrows >= ROWS_MAX && strcmp(path, "(other places)")) return row_of(x, workflow[0] ? "(any)" : "", "(other places)");
    r->workflow = arena_dup(&x->a, workflow, strlen(workflow)), r->path = arena_dup(&x->a, path, strlen(path));
    if (!r->workflow || !r->path) return r->path = NULL, NULL;
    x->nrows++;
    return r;
  }
}

static void list_one(replaying *x, const engine_replay_diff *d) {
  arena a;
  arena_init(&a, &x->heap.m, 0);
  const char *before = x->args->values ? json_of(&a, d->before) : NULL, *after = x->args->values ? json_of(&a, d->after) : NULL;
  if (x->args->json) {
    printf("%s{\"message\":%llu,\"run\":%llu,\"workflow\":\"%s\",\"path\":\"%s\",\"kind\":\"%s\"", x->first ? "" : ",", (unsigned long long)d->input, (unsigned long long)d->run, d->workflow, d->path, verbs[d->kind]);
    if (before) printf(",\"before\":%s", before);
    if (after) printf(",\"after\":%s", after);
    printf("}");
  } else {
    if (x->first) printf("%-10s %-10s %-20s %-8s %s\n", "MESSAGE", "RUN", "WORKFLOW", "", "WHERE");
    char run[24] = "";
    if (d->run) snprintf(run, sizeof run, "%llu", (unsigned long long)d->run);
    printf("%-10llu %-10s %-20s %-8s %s", (unsigned long long)d->input, run, d->workflow, verbs[d->kind], d->path);
    if (before) printf("\n           before: "), print_value(before);
    if (after) printf("\n           after:  "), print_value(after);
    printf("\n");
  }
  x->first = false;
  arena_free(&a);
}

static void on_difference(void *user, const engine_replay_diff *d) {
  replaying *x = (replaying *)user;
  row *r = row_of(x, d->workflow, d->path);
  if (x->listed) list_one(x, d);
  if (!r) {
    x->bad = true;
    return;
  }
  if (r->last[d->kind] == d->input) return; /* a message counts once at a place */
  r->last[d->kind] = d->input;
  r->n[d->kind]++;
  if (r->nexamples == EXAMPLES || (r->nexamples && r->examples[r->nexamples - 1].message == d->input)) return;
  example *t = &r->examples[r->nexamples++];
  *t = (example){.message = d->input, .run = d->run};
  if (x->args->values) t->before = json_of(&x->a, d->before), t->after = json_of(&x->a, d->after);
}

/* ---- messages ----------------------------------------------------------------------------------------------------------------------------- */

/* HDW_E_NOTFOUND: there is no such message. */
static hdw_status one(replaying *x, uint64_t id) {
  engine_replay_input in;
  hdw_status s = engine_replay_one(x->x, id, x->args->workflow, on_difference, x, &in);
  if (s) return s;
  if (in.other) return HDW_OK;
  if (!x->looked++) x->first_us = x->last_us = in.time_us;
  if (in.time_us < x->first_us) x->first_us = in.time_us;
  if (in.time_us > x->last_us) x->last_us = in.time_us;
  x->assumed += in.assumed, x->open += in.open;
  if (in.diffs) x->differ++;
  else if (in.skip) x->skipped[in.skip]++;
  else x->same++;
  return HDW_OK;
}

static bool collect(uint16_t part, uint64_t id, uint8_t state, void *user) {
  replaying *x = (replaying *)user;
  (void)part, (void)state;
  x->ids[x->nids++] = id;
  return x->nids < BATCH;
}

/* The time of a message, 0 when it is gone. */
static int64_t time_of(replaying *x, uint64_t id) {
  arena a;
  store_input in;
  arena_init(&a, &x->heap.m, 0);
  int64_t t = store_get_input(engine_store(x->e), 0, id, &a, &in) ? 0 : in.time_us;
  arena_free(&a);
  return t;
}

/* All that the filters leave, the newest first. */
static hdw_status all(replaying *x) {
  store *st = engine_store(x->e);
  uint64_t after = 0, past = 0;
  hdw_status s = HDW_OK;
  if (x->until_us && !store_input_since(st, 0, x->until_us, &past)) after = past;
  bool tell = isatty(2) && !x->args->json;
  for (uint64_t n = 0; !s; after = x->ids[x->nids - 1]) {
    x->nids = 0;
    store_refresh(st);
    s = store_list_inputs(st, 0, STORE_BY_TIME, cod_cstr(""), after, true, BATCH, collect, x);
    if (s || !x->nids) break;
    for (uint32_t i = 0; i < x->nids && !s; i++) {
      if (x->limit && x->looked == x->limit) return HDW_OK;
      if (x->since_us && time_of(x, x->ids[i]) < x->since_us) return HDW_OK;
      s = one(x, x->ids[i]);
      if (s == HDW_E_NOTFOUND) s = HDW_OK; /* it went meanwhile */
      if (tell && ++n % 20000 == 0) fprintf(stderr, "\r%llu messages, %llu differ ", (unsigned long long)x->looked, (unsigned long long)x->differ);
    }
  }
  if (tell) fprintf(stderr, "\r%40s\r", "");
  return s;
}

static int named(replaying *x) {
  for (int i = 0; i < x->args->nwords; i++) {
    char *end;
    const char *w = x->args->words[i];
    uint64_t id = strtoull(w, &end, 10);
    hdw_status s = *end || end == w || *w == '-' ? HDW_E_INVALID : one(x, id);
    if (!s) continue;
    if (s == HDW_E_INVALID) hv_say("replay takes ids of messages (numbers), not '%.60s'", w);
    else hv_say("message %s: %s", w, s == HDW_E_NOTFOUND ? "there is none with this id" : hdw_status_text(s));
    return s == HDW_E_INVALID ? EXIT_USAGE : s == HDW_E_NOTFOUND ? EXIT_FINDINGS : EXIT_IO;
  }
  return EXIT_OK;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------------------------ */

static int by_count(const void *p, const void *q) {
  const row *x = *(const row *const *)p, *y = *(const row *const *)q;
  int c = strcmp(x->workflow, y->workflow);
  uint64_t nx = x->n[0] + x->n[1] + x->n[2], ny = y->n[0] + y->n[1] + y->n[2];
  return c ? c : nx != ny ? (nx < ny ? 1 : -1) : strcmp(x->path, y->path);
}

static const row **sorted(replaying *x) {
  const row **v = (const row **)arena_alloc(&x->a, (ROWS + 1) * sizeof *v);
  uint32_t n = 0;
  for (uint32_t i = 0; v && i < ROWS; i++)
    if (x->rows[i].path) v[n++] = &x->rows[i];
  if (!v) return NULL;
  qsort(v, n, sizeof *v, by_count);
  v[n] = NULL;
  return v;
}

static void hex(const uint8_t *p, size_t n, char *out) {
  for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static void day(int64_t us, char out[TM_TEXT_MAX + 1]) {
  tm_val t;
  tm_from_unix_us(us, 0, &t);
  (void)tm_format_datetime(&t, out);
  out[16] = 0;
  if (out[10] == 'T') out[10] = ' ';
}

static const char *count_of(arena *a, const row *r) {
  buf b;
  buf_init(&b, a, 4096);
  for (unsigned k = 0; k < 3; k++)
    if (r->n[k]) buf_putf(&b, "%s%llu %s", b.len ? ", " : "", (unsigned long long)r->n[k], verbs[k]);
  buf_putc(&b, 0);
  return b.status ? "" : b.p;
}

static void print_rows(replaying *x, const row **rows) {
  hv_table t;
  hv_table_init(&t, &x->a, 4, (const char *const[]){"WORKFLOW", "WHERE", "MESSAGES", "FOR EXAMPLE"});
  for (; *rows; rows++) {
    buf b;
    buf_init(&b, &x->a, 4096);
    for (uint32_t i = 0; i < (*rows)->nexamples; i++) buf_putf(&b, "%s%llu", i ? ", " : "", (unsigned long long)(*rows)->examples[i].message);
    buf_putc(&b, 0);
    hv_table_row(&t, (const char *const[]){(*rows)->workflow[0] ? (*rows)->workflow : "(answer)", (*rows)->path, count_of(&x->a, *rows), b.p});
  }
  hv_table_print(&t);
}

static void print_text(replaying *x, const row **rows) {
  char from[TM_TEXT_MAX + 1], to[TM_TEXT_MAX + 1], id[65] = "", was[65] = "";
  const uint8_t *now, *before;
  const char *name = engine_replay_name(x->x, &now, &before);
  hex(now, 6, id), hex(before, 6, was);
  if (x->listed && !x->first) putchar('\n');
  if (name[0]) printf("%s: %s%s%s\n", name, strcmp(was, "000000000000") ? was : "(not deployed)", " -> ", id);
  else printf("every run against its record\n");
  day(x->first_us, from), day(x->last_us, to);
  printf("%llu message%s", (unsigned long long)x->looked, x->looked == 1 ? "" : "s");
  if (x->looked) printf(", %s to %s", from, to);
  printf(": %llu the same, %llu differ\n", (unsigned long long)x->same, (unsigned long long)x->differ);
  for (int i = 1; i < REPLAY_SKIPS; i++)
    if (x->skipped[i]) printf("  not compared: %llu %s\n", (unsigned long long)x->skipped[i], reasons[i]);
  if (x->assumed) printf("  in %llu, a step got an answer that was given to another request\n", (unsigned long long)x->assumed);
  if (x->open) printf("  in %llu, what stands behind a step without recorded answer was not looked at\n", (unsigned long long)x->open);
  if (*rows) putchar('\n'), print_rows(x, rows);
}

static void print_json(replaying *x, const row **rows) {
  char id[65], was[65];
  const uint8_t *now, *before;
  const char *name = engine_replay_name(x->x, &now, &before);
  hex(now, 32, id), hex(before, 32, was);
  if (x->listed) printf("],");
  if (name[0]) printf("\"module\":\"%s\",\"with\":\"%s\",\"before\":\"%s\",", name, id, was);
  printf("\"messages\":%llu,\"same\":%llu,\"differ\":%llu,\"assumed\":%llu,\"open\":%llu,\"not_compared\":{", (unsigned long long)x->looked, (unsigned long long)x->same, (unsigned long long)x->differ,
         (unsigned long long)x->assumed, (unsigned long long)x->open);
  for (int i = 1; i < REPLAY_SKIPS; i++) printf("%s\"%s\":%llu", i > 1 ? "," : "", skips[i], (unsigned long long)x->skipped[i]);
  printf("},\"differences\":[");
  for (const char *sep = ""; *rows; rows++, sep = ",") {
    const row *r = *rows;
    printf("%s{\"workflow\":\"%s\",\"path\":\"%s\",\"changed\":%llu,\"added\":%llu,\"removed\":%llu,\"examples\":[", sep, r->workflow, r->path, (unsigned long long)r->n[0], (unsigned long long)r->n[1], (unsigned long long)r->n[2]);
    for (uint32_t i = 0; i < r->nexamples; i++) {
      const example *t = &r->examples[i];
      printf("%s{\"message\":%llu", i ? "," : "", (unsigned long long)t->message);
      if (t->run) printf(",\"run\":%llu", (unsigned long long)t->run);
      if (t->before) printf(",\"before\":%s", t->before);
      if (t->after) printf(",\"after\":%s", t->after);
      printf("}");
    }
    printf("]}");
  }
  printf("]}\n");
}

/* ---- the command -------------------------------------------------------------------------------------------------------------------------------- */

static bool read_options(replaying *x) {
  const hv_args *a = x->args;
  char t[32];
  if (!a->dry_run) hv_say("replay only shows: say --dry-run. What is to be done again is done by hdwvm reprocess, after hdwvm deploy");
  else if (a->url) hv_say("replay reads a data folder or a backup: say --data DIR");
  else if (a->nwords && (a->since || a->until || a->limit)) hv_say("replay takes ids of messages, or --since, --until and --limit");
  else if ((!a->since || hv_since("--since", a->since, t)) && (x->since_us = a->since ? strtoll(t, NULL, 10) : 0, !a->until || hv_since("--until", a->until, t))) {
    x->until_us = a->until ? strtoll(t, NULL, 10) : 0;
    x->limit = a->limit ? strtoull(a->limit, NULL, 10) : 0;
    x->listed = a->nwords > 0, x->first = true;
    return true;
  }
  return false;
}

/* What hdw.json says about settings, listeners and limits; connections are not needed, for nothing is performed. Against their records runs have the settings of
 * their time. */
static bool read_config(replaying *x, config *c) {
  const char *file = x->args->config ? x->args->config : "hdw.json";
  size_t n;
  config_init(c, &x->a);
  if (!x->args->config && access(file, R_OK)) return true;
  char *text = hv_read(&x->a, file, &n);
  if (!text || config_read(c, &x->heap.m, file, text, n)) return false;
  c->nconns = 0;
  if (!x->args->with) c->nsettings = 0;
  return true;
}

static void on_log(void *user, engine_level level, const char *line, size_t len) {
  (void)user;
  if (level == ENGINE_ERROR) fprintf(stderr, "%.*s\n", (int)len, line);
}

static int opened(replaying *x, config *c) {
  char admin_path[200], text[200], note[200];
  engine_replay_with with = {.file = x->args->with};
  const char *dir = hv_data_dir(x->args, &x->a, admin_path);
  if (with.file && !(with.bytes = hv_read(&x->a, with.file, &with.len))) return EXIT_FINDINGS;
  engine_opts o = {.dir = dir, .config = c, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .read_only = true, .log = on_log};
  hv_damage_tell(dir);
  if (engine_open(x->io, &o, &x->e, text)) {
    hv_say("%s", text);
    return EXIT_IO;
  }
  hdw_status s = engine_replay_open(x->e, with.file ? &with : NULL, &x->x, text, note);
  if (s) hv_say("%s: %s", with.file ? with.file : dir, text);
  else if (note[0]) hv_say("%s", note);
  return s ? EXIT_FINDINGS : EXIT_OK;
}

static int replay(replaying *x, config *c) {
  int code = opened(x, c);
  if (code) return code;
  if (x->args->values) hv_say("what follows holds patients' data");
  if (x->args->json) printf("{%s", x->listed ? "\"list\":[" : "");
  code = x->listed ? named(x) : EXIT_OK;
  hdw_status s = x->listed ? HDW_OK : all(x);
  const row **rows = sorted(x);
  if (s || !rows) {
    hv_say("reading stopped: %s", s ? hdw_status_text(s) : "out of memory");
    return EXIT_IO;
  }
  if (code) return code;
  if (x->args->json) print_json(x, rows);
  else print_text(x, rows);
  if (x->bad) hv_say("out of memory: not every place is counted");
  if (fflush(stdout)) return EXIT_IO;
  if (!x->same && !x->differ) hv_say("nothing was compared");
  return x->differ || !x->same ? EXIT_FINDINGS : EXIT_OK;
}

int hv_replay(const hv_args *a) {
  replaying *x = (replaying *)calloc(1, sizeof *x);
  config *c = (config *)calloc(1, sizeof *c);
  int code = EXIT_INTERNAL;
  if (x && c) {
    x->args = a;
    io_mem_init(&x->heap, 0);
    arena_init(&x->a, &x->heap.m, 0);
    if (!read_options(x)) code = EXIT_USAGE;
    else if (!read_config(x, c)) code = EXIT_FINDINGS;
    else if (!io_linux_new(&x->heap.m, &x->io)) code = replay(x, c);
    if (x->x) engine_replay_close(x->x);
    if (x->e) engine_close(x->e);
    if (x->io) io_linux_free(x->io);
    arena_free(&x->a);
  }
  free(c), free(x);
  return code;
}
