/* powercut.c - disks as they may look after a power cut, from a recording of real writes and syncs (iofault.c), and whether hdw comes up on each.
 *
 *   powercut TRACE BASE|- DIR OUT SEED FROM COUNT [retained][,nosync]
 *
 * TRACE tells what a daemon did to the files below DIR, which was as in BASE before (- = empty). An image is made for a moment of the trace: what was synced is there; of what
 * was written since, a drawn part is, in sectors of 512 bytes, in any order; of changed names a drawn part in their order. Each image is opened as the daemon does it, then
 * checked: the log and the state open; every acknowledged message (ACK in the trace before the moment) is there with its bytes; the state equals the log folded again; opened once more
 * all is the same. `retained`: retention ran, acknowledged messages may be gone, but not in part. `nosync`: as if
 * nothing was ever synced, which must show (the canary). OUT is written and emptied for each image (a memory file system). COUNT images
 * from number FROM on, by SEED: one alone is made again by its number. COUNT 0: image FROM is made and left. Exit 1: violations, each a line. */
#include "draw.h"
#include "iotrace.h"
#include "io_linux.h"
#include "store.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 4000, MAX_ACKS = 20000, MAX_OPEN = 200000, SECTOR = 512, PATHS = 700, MAX_PENDING = 60000, MAX_NAMES = 20000 };

typedef struct change {      /* not synced yet */
  uint8_t op;
  uint64_t off;
  uint32_t len;
  const uint8_t *p;
} change;
typedef struct file {
  uint8_t *p;                /* what is durable */
  size_t len, cap;
  change *todo;
  unsigned n, room;
} file;
typedef struct name {        /* a change of names, in order */
  uint8_t op;
  bool durable;
  const char *from, *to;     /* within the trace; from = the path for others */
  int file;
} name;

typedef struct entry {
  char path[PATHS];
  int file;
} entry;

static struct {
  const uint8_t *trace, *end;
  size_t events, acks;       /* in the whole trace */
  const char *dir, *base, *out;
  bool retained, no_sync;
  uint64_t rng;
  file files[MAX_FILES];
  int nfiles;
  int *open;                 /* number in the trace -> file */
  const char **opened;       /* number in the trace -> path */
  name *names;
  unsigned nnames;
  entry now[MAX_FILES], at_first[MAX_FILES]; /* names as the program sees them; as in BASE */
  int nnow, nbase;
  char (*acked)[64];
  unsigned nacked;
} g;

static uint64_t draw(void) { return draw_from(&g.rng); }
static uint64_t below(uint64_t n) { return n ? draw() % n : 0; }

static void *need(void *p) {
  if (!p) perror("powercut"), exit(3);
  return p;
}

/* ---- files: durable bytes and what waits ---- */

static void reach(uint8_t **p, size_t *len, size_t *cap, size_t want) {
  if (want > *cap) {
    size_t c = *cap ? *cap : 65536;
    while (c < want) c *= 2;
    *p = (uint8_t *)need(realloc(*p, c));
    *cap = c;
  }
  if (want > *len) {
    memset(*p + *len, 0, want - *len);
    *len = want;
  }
}
static void change_to(uint8_t **p, size_t *len, size_t *cap, const change *c) {
  if (c->op == T_WRITE) {
    reach(p, len, cap, c->off + c->len);
    memcpy(*p + c->off, c->p, c->len);
  } else if (c->op == T_EXTEND) reach(p, len, cap, c->off);
  else if (c->off <= *len) *len = c->off; /* a later growth reads as zeros */
  else reach(p, len, cap, c->off);
}
static void apply(file *f, const change *c) { change_to(&f->p, &f->len, &f->cap, c); }
static void wait_in(file *f, change c) {
  if (f->n == f->room) f->todo = (change *)need(realloc(f->todo, (f->room = f->room ? 2 * f->room : 64) * sizeof *f->todo));
  f->todo[f->n++] = c;
}
static void settle(file *f) {
  for (unsigned i = 0; i < f->n; i++) apply(f, &f->todo[i]);
  f->n = 0;
}

/* ---- names ---- */

static int lookup(const entry *list, int n, const char *path) {
  for (int i = 0; i < n; i++)
    if (!strcmp(list[i].path, path)) return i;
  return -1;
}
static int find(const char *path) { return lookup(g.now, g.nnow, path); }
static void set_name(const char *path, int f) {
  int i = find(path);
  if (i < 0) {
    if (g.nnow == MAX_FILES) fputs("powercut: too many names\n", stderr), exit(3);
    i = g.nnow++;
  }
  snprintf(g.now[i].path, PATHS, "%s", path);
  g.now[i].file = f;
}
static void drop_name(const char *path) {
  int i = find(path);
  if (i >= 0) g.now[i] = g.now[--g.nnow];
}
static int new_file(void) {
  if (g.nfiles == MAX_FILES) fputs("powercut: too many files\n", stderr), exit(3);
  return g.nfiles++;
}
static void named(uint8_t op, const char *from, const char *to, int f) {
  if (g.nnames == MAX_NAMES) fputs("powercut: too many changes of names\n", stderr), exit(3);
  g.names[g.nnames++] = (name){op, false, from, to, f};
}
static bool within(const char *folder, const char *path) {
  size_t n = strlen(folder);
  return !strncmp(folder, path, n) && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* ---- one pass over the trace ---- */

static void ack(const iotrace *t, const uint8_t *p) {
  const char *at = (const char *)memmem(p, t->len, "\rMSA|", 5);
  if (!at || (at[5] != 'A' && at[5] != 'C') || at[6] != 'A') return;
  const char *end = (const char *)p + t->len, *id = at + 8, *e = id;
  while (e < end && *e != '\r' && *e != '|') e++;
  if (g.nacked < MAX_ACKS) snprintf(g.acked[g.nacked++], 64, "%.*s", (int)(e - id), id);
}

static void follow(const iotrace *t, const uint8_t *p) {
  file *f = t->file < MAX_OPEN && g.open[t->file] > 0 ? &g.files[g.open[t->file]] : NULL;
  switch (t->op) {
  case T_OPEN: {
    int i = find((const char *)p), n = i >= 0 ? g.now[i].file : new_file();
    if (i < 0) set_name((const char *)p, n);
    g.open[t->file] = n;
    g.opened[t->file] = (const char *)p;
    break;
  }
  case T_NEW: named(T_NEW, g.opened[t->file], NULL, g.open[t->file]); break;
  case T_OPEN_DIR: g.opened[t->file] = (const char *)p; break;
  case T_WRITE:
    if (f) wait_in(f, (change){T_WRITE, t->off, t->len, p});
    break;
  case T_WRITE_SYNCED:
    if (f) apply(f, &(change){T_WRITE, t->off, t->len, p});
    break;
  case T_SYNC:
    if (f && !g.no_sync) settle(f);
    break;
  case T_TRUNC:
  case T_EXTEND:
    if (f) wait_in(f, (change){t->op, t->off, 0, NULL});
    break;
  case T_SYNC_DIR:
    for (unsigned i = 0; g.opened[t->file] && i < g.nnames; i++)
      if (within(g.opened[t->file], g.names[i].to ? g.names[i].to : g.names[i].from)) g.names[i].durable = true;
    break;
  case T_RENAME: {
    const char *from = (const char *)p, *to = from + strlen(from) + 1;
    int i = find(from);
    if (i < 0) break;
    int n = g.now[i].file;
    drop_name(from);
    set_name(to, n);
    named(T_RENAME, from, to, n);
    break;
  }
  case T_UNLINK:
    drop_name((const char *)p);
    named(T_UNLINK, (const char *)p, NULL, 0);
    break;
  case T_MKDIR: break; /* a folder is there when something in it is */
  case T_ACK: ack(t, p); break;
  case T_FAULT: break;
  default: fprintf(stderr, "powercut: the trace cannot be read\n"), exit(3);
  }
}

static void forget_all(void) {
  for (int i = 0; i < g.nfiles; i++) g.files[i].len = 0, g.files[i].n = 0;
  g.nfiles = 1; /* 0 = none */
  g.nnow = 0, g.nnames = 0, g.nacked = 0;
}

static int base_file(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  char at[PATHS];
  (void)ftw;
  snprintf(at, sizeof at, "%s%s", g.dir, path + strlen(g.base));
  if (type != FTW_F || strstr(path, "-lock") || strstr(path, ".sock")) return 0;
  int n = new_file();
  file *f = &g.files[n];
  FILE *in = (FILE *)need(fopen(path, "rb"));
  reach(&f->p, &f->len, &f->cap, (size_t)st->st_size);
  if (st->st_size && fread(f->p, 1, f->len, in) != f->len) exit(3);
  fclose(in);
  set_name(at, n);
  return 0;
}

/* ---- an image ---- */

/* What of the changes that wait reached the disk. */
static void torn(const file *f, uint8_t **p, size_t *len, size_t *cap) {
  unsigned how = (unsigned)below(5), upto = how == 0 ? 0 : how == 1 ? f->n : (unsigned)below(f->n + 1);
  uint64_t keep = how == 3 ? 90 : 50;
  for (unsigned i = 0; i < f->n; i++) {
    const change *c = &f->todo[i];
    bool whole = i < upto && how <= 2;
    if (whole || (c->op != T_WRITE && how > 2 && below(100) < keep)) change_to(p, len, cap, c);
    else if (how > 2 && c->op == T_WRITE)
      for (uint64_t at = c->off; at < c->off + c->len;) {
        uint64_t end = (at / SECTOR + 1) * SECTOR;
        if (end > c->off + c->len) end = c->off + c->len;
        if (below(100) < keep) change_to(p, len, cap, &(change){T_WRITE, at, (uint32_t)(end - at), c->p + (at - c->off)});
        at = end;
      }
    else if (how == 2 && i == upto && c->op == T_WRITE) { /* the one under way: its beginning */
      change part = *c;
      part.len = (uint32_t)(below(c->len / SECTOR + 1) * SECTOR);
      if (part.len) change_to(p, len, cap, &part);
    }
  }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st, (void)type, (void)ftw;
  return remove(path);
}
static void empty(const char *dir) { nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static void write_file(const char *path, const uint8_t *p, size_t len) {
  FILE *f = (FILE *)need(fopen(path, "wb"));
  chmod(path, 0600);
  if (len && fwrite(p, 1, len, f) != len) perror(path), exit(3);
  if (fclose(f)) perror(path), exit(3);
}

/* Names that are there after the cut: those at the beginning, what was synced, and the first ones of what was not (a journal keeps the order). */
static int cut_names(entry *out) {
  int n = g.nbase;
  unsigned how = (unsigned)below(4), pending = 0, seen = 0;
  memcpy(out, g.at_first, (size_t)n * sizeof *out);
  for (unsigned i = 0; i < g.nnames; i++) pending += !g.names[i].durable;
  uint64_t upto = how == 0 ? 0 : how == 1 ? pending : below(pending + 1);
  for (unsigned i = 0; i < g.nnames; i++) {
    const name *c = &g.names[i];
    if (!c->durable && seen++ >= upto) continue;
    const char *what = c->op == T_RENAME ? c->to : c->from;
    int at = lookup(out, n, what), old = c->op == T_RENAME ? lookup(out, n, c->from) : -1;
    if (c->op == T_RENAME && (old < 0 || out[old].file != c->file)) continue;
    if (c->op == T_UNLINK && at >= 0) out[at] = out[--n];
    if (c->op == T_UNLINK) continue;
    if (at < 0) at = n++;
    snprintf(out[at].path, PATHS, "%s", what);
    out[at].file = c->file;
    old = c->op == T_RENAME ? lookup(out, n, c->from) : -1;
    if (old >= 0) out[old] = out[--n];
  }
  return n;
}

static void make_image(void) {
  static entry names[MAX_FILES];
  static uint8_t *p;
  static size_t cap;
  int n = cut_names(names);
  empty(g.out);
  mkdir(g.out, 0700);
  for (int i = 0; i < n; i++) {
    char at[PATHS];
    size_t len = 0;
    const file *f = &g.files[names[i].file];
    snprintf(at, sizeof at, "%s%s", g.out, names[i].path + strlen(g.dir));
    for (char *slash = at + strlen(g.out); (slash = strchr(slash + 1, '/'));) {
      *slash = 0;
      mkdir(at, 0700);
      *slash = '/';
    }
    if (strstr(at, "-lock")) continue; /* of whoever ran: LMDB makes it anew */
    reach(&p, &len, &cap, f->len);
    if (f->len) memcpy(p, f->p, f->len);
    torn(f, &p, &len, &cap);
    write_file(at, p, len);
  }
}

/* ---- is it right? ---- */

typedef struct look {
  store *s;
  hlog *l;
  arena a;
  char (*ids)[64];
  unsigned n;
  char *why;
  bool retained;
} look;
enum { WHY = 300 };

static bool one_input(uint16_t part, uint64_t id, uint8_t state, void *user) {
  look *k = (look *)user;
  store_input in;
  log_rec rec;
  (void)state;
  arena_reset(&k->a);
  hdw_status s = store_get_input(k->s, part, id, &k->a, &in);
  if (!s) s = log_read(k->l, in.pos, &k->a, &rec);
  if (s == HDW_E_NOTFOUND && k->retained) return true;
  if (s) {
    snprintf(k->why, WHY, "message %llu cannot be read: %s", (unsigned long long)id, hdw_status_name(s));
    return false;
  }
  if (!memmem(rec.body, rec.body_len, in.control_id.p, in.control_id.len) || rec.seq != id || rec.body_len < 8 || memcmp(rec.body, "MSH|", 4) != 0) {
    snprintf(k->why, WHY, "message %llu has other bytes than were sent", (unsigned long long)id);
    return false;
  }
  if (k->n < MAX_ACKS) snprintf(k->ids[k->n++], 64, "%.*s", (int)in.control_id.len, in.control_id.p);
  return true;
}

static int by_text(const void *a, const void *b) { return strcmp((const char *)a, (const char *)b); }

static bool all_there(look *k) {
  qsort(k->ids, k->n, 64, by_text);
  for (unsigned i = 0; i < g.nacked && !k->retained; i++)
    if (!bsearch(g.acked[i], k->ids, k->n, 64, by_text)) {
      snprintf(k->why, WHY, "%s was acknowledged and is not there", g.acked[i]);
      return false;
    }
  return true;
}

static hdw_status open_both(io *x, hlog **l, store **s, store_info *si, const char **what) {
  char log[PATHS];
  log_open_info li;
  store_opts so = {.dir = g.out};
  snprintf(log, sizeof log, "%s/log", g.out);
  log_opts lo = {.dir = log, .segment_bytes = 65536, .synced_seq = store_peek_applied(x, g.out), .low_water_bytes = 1};
  *what = "the log does not open";
  *l = NULL, *s = NULL;
  hdw_status st = log_open(x, &lo, &li, l);
  if (st) return st;
  *what = "the state does not open";
  return store_open(x, &so, si, s);
}

/* "" = right. */
static void check(io *x, look *k, char why[WHY]) {
  store_info si, again;
  uint8_t h[3][32];
  const char *what;
  why[0] = 0;
  k->n = 0, k->why = why, k->retained = g.retained;
  hdw_status st = open_both(x, &k->l, &k->s, &si, &what);
  if (!st && si.skipped) what = "records were skipped", st = HDW_E_CORRUPT;
  if (!st) what = "the list of messages", st = store_list_all(k->s, 0, SUBJECT_INPUT, 0, 0, one_input, k);
  if (!st && !why[0]) (void)all_there(k);
  if (!st && !why[0]) what = "the state", st = store_check(k->s);
  if (!st && !why[0]) st = store_hash(k->s, h[0]);
  if (!st && !why[0]) what = "the log folded again", st = store_rebuild(k->s, &again);
  if (!st && !why[0]) st = store_hash(k->s, h[1]);
  if (!st && !why[0] && memcmp(h[0], h[1], 32)) snprintf(why, WHY, "the state differs from the log folded again");
  if (k->l) log_close(k->l);
  if (k->s) store_close(k->s);
  k->l = NULL, k->s = NULL;
  if (!st && !why[0] && draw() % 4 == 0) { /* coming up is no event: the next time it is the same */
    st = open_both(x, &k->l, &k->s, &again, &what);
    if (!st) st = store_hash(k->s, h[2]);
    if (!st && again.rebuilt) snprintf(why, WHY, "the state had to be made again at the second opening");
    if (k->l) log_close(k->l);
    if (k->s) store_close(k->s);
    k->l = NULL, k->s = NULL;
  }
  if (st && !why[0]) snprintf(why, WHY, "%s: %s", what, hdw_status_name(st));
}

static void load(const char *path) {
  FILE *f = (FILE *)need(fopen(path, "rb"));
  struct stat st;
  if (fstat(fileno(f), &st)) exit(3);
  uint8_t *p = (uint8_t *)need(malloc((size_t)st.st_size + 1));
  if (fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size) exit(3);
  fclose(f);
  g.trace = p, g.end = p + st.st_size;
  while (p + sizeof(iotrace) <= g.end) {
    iotrace t;
    memcpy(&t, p, sizeof t);
    if (p + sizeof t + t.len > g.end || t.file >= MAX_OPEN) break; /* the recorder was killed */
    p += sizeof t + t.len;
    g.events++;
    g.acks += t.op == T_ACK;
  }
}

/* Image i of a seed, in OUT. Returns the moment. */
static uint64_t image(uint64_t seed, uint64_t i) {
  g.rng = seed * 1000003 + i;
  forget_all();
  if (g.base) nftw(g.base, base_file, 16, FTW_PHYS);
  g.nbase = g.nnow;
  memcpy(g.at_first, g.now, (size_t)g.nnow * sizeof *g.now);
  uint64_t moment = below(g.events + 1);
  const uint8_t *p = g.trace;
  for (uint64_t e = 0; e < moment; e++) {
    iotrace t;
    memcpy(&t, p, sizeof t);
    follow(&t, p + sizeof t);
    p += sizeof t + t.len;
  }
  make_image();
  return moment;
}

int main(int argc, char **argv) {
  if (argc < 8) return fprintf(stderr, "usage: powercut TRACE BASE|- DIR OUT SEED FROM COUNT [retained][,nosync]\n"), 2;
  g.dir = argv[3], g.out = argv[4], g.base = strcmp(argv[2], "-") ? argv[2] : NULL;
  uint64_t seed = strtoull(argv[5], NULL, 10), from = strtoull(argv[6], NULL, 10), count = strtoull(argv[7], NULL, 10);
  g.retained = argc > 8 && strstr(argv[8], "retained");
  g.no_sync = argc > 8 && strstr(argv[8], "nosync");
  g.open = (int *)need(calloc(MAX_OPEN, sizeof *g.open));
  g.opened = (const char **)need(calloc(MAX_OPEN, sizeof *g.opened));
  g.names = (name *)need(calloc(MAX_NAMES, sizeof *g.names));
  g.acked = need(calloc(MAX_ACKS, 64));
  load(argv[1]);
  io_mem heap;
  io *x;
  look k = {.ids = need(calloc(MAX_ACKS, 64))};
  io_mem_init(&heap, 0);
  if (io_linux_new(&heap.m, &x)) return 3;
  arena_init(&k.a, &heap.m, 0);
  uint64_t bad = 0, acked = 0;
  if (!count) return (void)image(seed, from), 0;
  for (uint64_t i = from; i < from + count; i++) {
    char why[WHY];
    uint64_t moment = image(seed, i);
    acked += g.nacked;
    check(x, &k, why);
    if (!why[0]) continue;
    bad++;
    printf("image %llu of seed %llu, at event %llu of %zu: %s\n", (unsigned long long)i, (unsigned long long)seed, (unsigned long long)moment, g.events, why);
  }
  empty(g.out);
  arena_free(&k.a);
  io_linux_free(x);
  printf("%llu images, %zu events, %zu acknowledgements in the trace, %llu looked for, %llu violations\n", (unsigned long long)count, g.events, g.acks, (unsigned long long)acked, (unsigned long long)bad);
  return bad ? 1 : 0;
}
