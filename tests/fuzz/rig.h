/* rig.h - what the targets with an engine or a store share: memory, demands, bytes taken from the input, a real folder for LMDB in memory. */
#ifndef HDW_FUZZ_RIG_H
#define HDW_FUZZ_RIG_H
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "compiler.h"
#include "engine.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_sim.h"
#include "json.h"
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* For targets that keep something from one input to the next: libFuzzer takes that for a leak and looks through all memory each time. They count what they hold. */
#define FZ_COUNTS_ITS_MEMORY                     \
  const char *__asan_default_options(void);      \
  const char *__asan_default_options(void) { return "detect_leaks=0"; }

/* Says what does not hold, and dies. */
#define demand(holds) ((holds) ? (void)0 : fz_broken(#holds, __LINE__))
static inline void fz_broken(const char *what, int line) {
  fprintf(stderr, "line %d: not so: %s\n", line, what);
  abort();
}

/* What is left of the input; zeros behind its end. */
typedef struct feed {
  const uint8_t *p;
  size_t n;
} feed;
static inline uint8_t feed_byte(feed *f) { return f->n ? f->n--, *f->p++ : 0; }
static inline uint32_t feed_word(feed *f) {
  uint32_t low = feed_byte(f);
  return low | (uint32_t)feed_byte(f) << 8;
}
/* At most n bytes. */
static inline const uint8_t *feed_bytes(feed *f, size_t n, size_t *got) {
  const uint8_t *p = f->p;
  *got = n < f->n ? n : f->n;
  f->p += *got, f->n -= *got;
  return p;
}
/* Up to `end` or the end of the input; the end itself is taken. */
static inline const uint8_t *feed_until(feed *f, uint8_t end, size_t *got) {
  const uint8_t *p = f->p, *at = f->n ? (const uint8_t *)memchr(f->p, end, f->n) : NULL;
  *got = at ? (size_t)(at - p) : f->n;
  size_t taken = *got + (at != NULL);
  f->p += taken, f->n -= taken;
  return p;
}

/* LMDB wants a real folder: one of this process, in memory where there is such a place. */
static inline const char *fz_folder(const char *name) {
  static char path[4][64];
  static unsigned n;
  char *out = path[n++ % 4];
  snprintf(out, sizeof path[0], "%s/hdw-fuzz-%ld-%s", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (long)getpid(), name);
  demand(!mkdir(out, 0700) || !access(out, W_OK));
  return out;
}
static inline void fz_empty(const char *folder) {
  char path[400];
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    (void)unlink(path);
  }
  if (d) closedir(d);
}

/* A program of ours: the module's bytes live in a. */
static inline void fz_compile(arena *a, const char *text, uint8_t **bytes, size_t *len) {
  diag_list l;
  comp_result r;
  comp_source s = {"fuzz.hdw", text, strlen(text)};
  comp_options o = {0};
  diag_init(&l, a);
  demand(comp_program(a, &s, 1, &o, &l, &r) == HDW_OK);
  for (const diag *d = l.first; d; d = d->next) fprintf(stderr, "%s\n", d->text);
  demand(r.bytes);
  cod_sha256(r.bytes + MOD_HEADER_BYTES, r.len_bytes - MOD_HEADER_BYTES, NULL, 0, r.bytes + 16);
  *bytes = r.bytes, *len = r.len_bytes;
}

/* An engine on the simulated seam: files in memory but for LMDB's. */
typedef struct fz_engine {
  io_mem mem;
  io *io;
  arena a;
  config cfg;
  engine *e;
  const char *dir;
  unsigned inputs;           /* that it has seen */
} fz_engine;

static inline void fz_start(fz_engine *x, const char *config_text, const uint8_t *module, size_t len, engine_opts o) {
  io_sim_opts so = {.seed = 7, .orderly = true};
  char text[200] = "";
  mod_error err;
  const meta *metas[4];
  x->dir = fz_folder("engine"), x->inputs = 0;
  fz_empty(x->dir);
  io_mem_init(&x->mem, (size_t)1 << 30);
  demand(io_sim_new(&x->mem.m, &so, &x->io) == HDW_OK);
  for (const char *at = x->dir; (at = strchr(at + 1, '/'));) { /* the seam's own folders above it */
    char above[64];
    snprintf(above, sizeof above, "%.*s", (int)(at - x->dir), x->dir);
    (void)io_mkdir(x->io, above);
  }
  arena_init(&x->a, &x->mem.m, 0);
  config_init(&x->cfg, &x->a);
  demand(!config_text || config_read(&x->cfg, &x->mem.m, "hdw.json", config_text, strlen(config_text)) == HDW_OK);
  for (uint32_t i = 0; i < x->cfg.nsecrets; i++) { /* "the-secret-NAME" */
    config_secret *s = &x->cfg.secrets[i];
    char value[80];
    int n = snprintf(value, sizeof value, "the-secret-%.60s", s->name);
    s->value = arena_dup(&x->a, value, (size_t)n), s->value_len = (size_t)n;
  }
  o.dir = x->dir, o.config = &x->cfg, o.host = host_get(), o.model = &hdw_model, o.schema = &hl7_dict_schema, o.log_segment_bytes = 65536;
  if (engine_open(x->io, &o, &x->e, text) || engine_load(x->e, "fuzz.hdwb", module, len, &err)) fz_broken(text, 0);
  demand(config_bind(&x->cfg, metas, engine_metas(x->e, metas, 4), true) == HDW_OK);
  for (uint32_t i = 0; i < x->cfg.nproblems; i++) fprintf(stderr, "%s\n", x->cfg.problems[i]);
  demand(!x->cfg.nproblems);
  if (engine_start(x->e, text)) fz_broken(text, 0);
}

static inline void fz_end(fz_engine *x) {
  engine_close(x->e);
  io_sim_free(x->io);
  arena_free(&x->a);
  io_mem_trim(&x->mem);
  demand(x->mem.used_bytes == 0);
  x->e = NULL;
}
#endif
