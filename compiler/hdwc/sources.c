/* sources.c - the files of a program: what the command line names, what `use` names, which of them are programs, and compiling them.
 *
 * Every file has one entry, found by its real path, so that a file reached in two ways is one file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "codec.h"
#include "hdwc.h"

enum { ROOT_LEVELS = 64 };

static const char *parent(arena *a, const char *path) { return strcmp(path, "/") == 0 ? NULL : hc_dirname(a, path); }

/* The nearest folder from dir upwards that holds hdw.json; NULL when there is none. */
static const char *project_of(arena *a, const char *dir) {
  for (int i = 0; dir && i < ROOT_LEVELS; i++, dir = parent(a, dir))
    if (hc_exists(hc_join(a, dir, "hdw.json"), NULL)) return dir;
  return NULL;
}

/* What is left of path below dir, or path itself. */
static const char *below(const char *dir, const char *path) {
  size_t n = strlen(dir);
  if (n == 1) return path[1] ? path + 1 : path;
  return strncmp(path, dir, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

static uint32_t add(hc_sources *s, const char *real, const char *shown) {
  for (uint32_t i = 0; i < s->n; i++)
    if (strcmp(s->v[i].real, real) == 0) return i;
  if (s->n == s->cap) {
    uint32_t cap = s->cap ? s->cap * 2 : 16;
    hc_source *v = (hc_source *)arena_grow(s->a, s->v, s->cap * sizeof *v, cap * sizeof *v);
    if (!v) return UINT32_MAX;
    s->v = v;
    s->cap = cap;
  }
  hc_source *x = &s->v[s->n];
  *x = (hc_source){.real = real, .shown = shown, .name = below(s->root, real)};
  if (!hc_read_say(s->a, real, &x->text, &x->len)) return UINT32_MAX;
  return s->n++;
}

uint32_t hc_source_find(const hc_sources *s, const char *name) {
  for (uint32_t i = 0; i < s->n; i++)
    if (strcmp(s->v[i].name, name) == 0) return i;
  return UINT32_MAX;
}

const char *hc_source_shown(const hc_sources *s, const char *name) {
  uint32_t i = hc_source_find(s, name);
  return i == UINT32_MAX ? name : s->v[i].shown;
}

bool hc_may_read(const hc_sources *s, const char *dir, const char *real) { return below(s->root, real) != real || below(dir, real) != real; }

/* Beside the file that names it, then in the project's folder, and nothing outside of the two: a program is text from somewhere, and what it names is read with the rights of whoever
 * compiles it. Paths are real ones, so a link leads nowhere else (HDW_E_DENIED). What is shown is relative to the current folder when the using file is shown so. */
static hdw_status load(void *user, const char *from, const char *name, comp_source *out) {
  hc_sources *s = (hc_sources *)user;
  uint32_t f = hc_source_find(s, from);
  if (f == UINT32_MAX) return HDW_E_NOTFOUND;
  const char *dir = hc_dirname(s->a, s->v[f].real);
  const char *real = hc_real(s->a, hc_join(s->a, dir, name));
  if (!real) real = hc_real(s->a, hc_join(s->a, s->root, name));
  if (!real) return HDW_E_NOTFOUND;
  if (!hc_may_read(s, dir, real)) return HDW_E_DENIED;
  const char *shown = real;
  char cwd[HC_PATH_MAX];
  if (s->v[f].shown[0] != '/' && getcwd(cwd, sizeof cwd)) shown = below(cwd, real);
  uint32_t i = add(s, real, shown);
  if (i == UINT32_MAX) return HDW_E_NOTFOUND;
  *out = (comp_source){s->v[i].name, s->v[i].text, s->v[i].len};
  return HDW_OK;
}

bool hc_sources_open(hc_sources *s, arena *a, const char *const *paths, int n) {
  *s = (hc_sources){.a = a, .loader = {load, NULL}};
  s->loader.user = s;
  for (int i = 0; i < n; i++) {
    bool dir;
    const char *real = hc_real(a, paths[i]);
    if (!real || !hc_exists(real, &dir)) {
      hc_say("there is no file or folder '%s'", paths[i]);
      return false;
    }
    if (!s->root) {
      const char *folder = dir ? real : hc_dirname(a, real), *project = project_of(a, folder);
      s->root = project ? project : folder;
    }
    if (!dir) {
      uint32_t k = add(s, real, paths[i]);
      if (k == UINT32_MAX) return false;
      s->v[k].given = true;
      continue;
    }
    hc_list found = {0};
    if (!hc_walk(a, paths[i], ".hdw", &found)) return false;
    if (found.n == 0) {
      hc_say("there is no .hdw file in '%s'", paths[i]);
      return false;
    }
    for (uint32_t k = 0; k < found.n; k++) {
      uint32_t x = add(s, hc_real(a, found.v[k]), found.v[k]);
      if (x == UINT32_MAX) return false;
      s->v[x].in_folder = true;
    }
  }
  return true;
}

/* ---- which files are programs */

static void find_uses(hc_sources *s, uint32_t at) {
  parse_result r;
  hdw_status st = parse_file(s->a, s->v[at].text, s->v[at].len, NULL, &r);
  if ((st && st != HDW_E_SYNTAX) || !r.root) return;
  uint32_t most = 0;
  for (ast *n = r.root->first; n; n = n->next) most += n->kind == AST_USE;
  uint32_t *uses = most ? (uint32_t *)arena_zalloc(s->a, most, sizeof *uses) : NULL, nuses = 0;
  if (!uses) return;
  for (ast *n = r.root->first; n; n = n->next) {
    comp_source x;
    if (n->kind != AST_USE || !n->first) continue;
    const ast *p = n->first;
    const char *name = hc_text(s->a, "%.*s.hdw", (int)(p->end - p->off), s->v[at].text + p->off);
    if (load(s, s->v[at].name, name, &x)) continue;
    uint32_t to = hc_source_find(s, x.path);
    uses[nuses++] = to;
    if (to != at) s->v[to].used = true;
  }
  s->v[at].uses = uses;
  s->v[at].nuses = nuses;
}

/* Marks all that is reachable from `at`. The stack holds each source at most once. */
static void reach(hc_sources *s, uint32_t at, uint32_t *stack) {
  uint32_t n = 0;
  if (s->v[at].reached) return;
  s->v[at].reached = true;
  stack[n++] = at;
  while (n) {
    const hc_source *x = &s->v[stack[--n]];
    for (uint32_t i = 0; i < x->nuses; i++)
      if (!s->v[x->uses[i]].reached) {
        s->v[x->uses[i]].reached = true;
        stack[n++] = x->uses[i];
      }
  }
}

uint32_t *hc_sources_roots(hc_sources *s, uint32_t *n) {
  *n = 0;
  bool folder = false;
  for (uint32_t i = 0; i < s->n; i++) folder |= s->v[i].in_folder;
  if (folder)
    for (uint32_t i = 0; i < s->n; i++) find_uses(s, i); /* s->n grows with what is found */
  uint32_t *roots = (uint32_t *)arena_zalloc(s->a, s->n, sizeof *roots), *stack = (uint32_t *)arena_zalloc(s->a, s->n, sizeof *stack);
  if (!roots || !stack) return NULL;
  for (uint32_t i = 0; i < s->n; i++)
    if (s->v[i].given || (s->v[i].in_folder && !s->v[i].used)) {
      roots[(*n)++] = i;
      reach(s, i, stack);
    }
  /* Files that use each other in a circle: the first of them stands for all. */
  for (uint32_t i = 0; i < s->n; i++)
    if (s->v[i].in_folder && !s->v[i].reached) {
      roots[(*n)++] = i;
      reach(s, i, stack);
    }
  return roots;
}

/* ---- compiling */

bool hc_compile(hc_sources *s, const uint32_t *roots, uint32_t nroots, comp_options opt, arena *a, diag_list *l, comp_result *out) {
  comp_source *src = (comp_source *)arena_zalloc(a, nroots, sizeof *src);
  if (!src) {
    hc_say("out of memory");
    return false;
  }
  for (uint32_t i = 0; i < nroots; i++) src[i] = (comp_source){s->v[roots[i]].name, s->v[roots[i]].text, s->v[roots[i]].len};
  opt.loader = &s->loader;
  hdw_status st = comp_program(a, src, nroots, &opt, l, out);
  if (st) {
    hc_say("%s", hdw_status_text(st));
    return false;
  }
  for (uint32_t i = 0; i < l->n_files; i++) l->files[i].path = hc_source_shown(s, l->files[i].path);
  return true;
}

static uint32_t file_in(diag_list *to, const diag_file *f) {
  for (uint32_t i = 0; i < to->n_files; i++)
    if (strcmp(to->files[i].path, f->path) == 0) return i;
  return diag_file_add(to, f->path, f->src, f->len);
}

void hc_diag_merge(diag_list *to, const diag_list *from) {
  uint32_t *map = (uint32_t *)arena_zalloc(to->a, from->n_files + 1, sizeof *map);
  if (!map) return;
  for (uint32_t i = 0; i < from->n_files; i++) map[i] = file_in(to, &from->files[i]);
  for (const diag *d = from->first; d; d = d->next) {
    diag *n = diag_add(to, d->code, map[d->at.file], d->at.off, d->at.end, "%s", d->text);
    if (n == &to->spare) continue;
    if (d->at.label) diag_label(to, n, "%s", d->at.label);
    for (const diag_span *x = d->also; x; x = x->next) diag_also(to, n, map[x->file], x->off, x->end, "%s", x->label ? x->label : "");
    for (const diag_remark *x = d->notes; x; x = x->next) diag_note(to, n, "%s", x->text);
    for (const diag_fix *x = d->fixes; x; x = x->next) {
      diag_fix *f = diag_fix_begin(to, n, "%s", x->title);
      for (const diag_edit *e = x->first; e; e = e->next) diag_fix_edit(to, f, map[e->file], e->off, e->end, e->text);
    }
  }
}

void hc_diag_stderr(diag_list *l, bool all) {
  buf b;
  buf_init(&b, l->a, 64 << 20);
  diag_text_options o = {.color = isatty(2) == 1};
  diag_sort(l);
  if (all) {
    if (l->first) diag_text(&b, l, &o);
  } else {
    for (const diag *d = l->first; d; d = d->next)
      if (d->severity == DIAG_ERROR) diag_text_one(&b, l, d, &o);
  }
  if (b.len) fwrite(b.p, 1, b.len, stderr);
}

void hc_module_seal(uint8_t *bytes, size_t len) {
  cod_sha256(bytes + MOD_HEADER_BYTES, len - MOD_HEADER_BYTES, NULL, 0, bytes + 16);
}
