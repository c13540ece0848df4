/* files.c - files and folders of the command line, by the file functions of the seam. */
#include "hdwc.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include "io_file.h"

_Static_assert(HC_PATH_MAX >= PATH_MAX, "realpath needs that much");
enum { READ_MAX = 1 << 30, WALK_DEPTH = 32 };

uint64_t hc_space(const char *path) {
  struct statvfs v;
  return statvfs(path, &v) ? 0 : (uint64_t)v.f_bavail * v.f_frsize;
}

int64_t hc_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t hc_clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static hdw_status read_stdin(arena *a, const char **text, size_t *len) {
  buf b;
  buf_init(&b, a, READ_MAX);
  char chunk[65536];
  size_t n;
  while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0) buf_put(&b, chunk, n);
  buf_putc(&b, 0);
  if (b.status) return (hdw_status)b.status;
  *text = b.p;
  *len = b.len - 1;
  return ferror(stdin) ? HDW_E_IO : HDW_OK;
}

hdw_status hc_read(arena *a, const char *path, const char **text, size_t *len) {
  if (strcmp(path, "-") == 0) return read_stdin(a, text, len);
  char real[HC_PATH_MAX];
  io_stat_info st;
  int fd;
  if (!realpath(path, real)) return io_file_errno(errno);
  hdw_status s = io_file_stat(real, &st);
  if (s) return s;
  if (!st.is_file) return HDW_E_INVALID;
  if (st.size_bytes > READ_MAX) return HDW_E_LIMIT;
  if ((s = io_file_open(real, IO_O_READ, &fd))) return s;
  char *p = (char *)arena_alloc(a, st.size_bytes + 1);
  size_t got = 0;
  s = p ? io_file_pread(fd, p, st.size_bytes, 0, &got) : HDW_E_NOMEM;
  io_file_close(fd);
  if (s) return s;
  p[got] = 0;
  *text = p;
  *len = got;
  return HDW_OK;
}

bool hc_read_say(arena *a, const char *path, const char **text, size_t *len) {
  hdw_status s = hc_read(a, path, text, len);
  if (s) hc_say("%s cannot be read: %s", path, s == HDW_E_INVALID ? "it is no file" : hdw_status_text(s));
  return s == HDW_OK;
}

bool hc_write(arena *a, const char *path, const void *p, size_t len) {
  const char *tmp = hc_text(a, "%s.%d.part", path, (int)getpid());
  int fd;
  hdw_status s = io_file_open(tmp, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd);
  if (!s) {
    io_slice v = {p, len};
    s = io_file_pwritev(fd, &v, 1, 0);
    hdw_status c = io_file_close(fd);
    if (!s) s = c;
    mode_t mask = umask(0);
    umask(mask);
    if (!s && chmod(tmp, 0666 & ~mask)) s = HDW_E_DENIED;
    if (!s) s = io_file_rename(tmp, path);
    if (s) io_file_unlink(tmp);
  }
  if (s) hc_say("%s cannot be written: %s", path, hdw_status_text(s));
  return s == HDW_OK;
}

bool hc_mkdir(const char *path) {
  hdw_status s = io_file_mkdir(path);
  if (s && s != HDW_E_EXISTS) hc_say("the folder %s cannot be made: %s", path, hdw_status_text(s));
  if (!s && chmod(path, 0755)) return false;
  return !s || s == HDW_E_EXISTS;
}

const char *hc_real(arena *a, const char *path) {
  char real[HC_PATH_MAX];
  return realpath(path, real) ? arena_dup(a, real, strlen(real)) : NULL;
}

bool hc_exists(const char *path, bool *is_dir) {
  char real[HC_PATH_MAX];
  io_stat_info st;
  if (!realpath(path, real) || io_file_stat(real, &st)) return false;
  if (is_dir) *is_dir = st.is_dir;
  return true;
}

const char *hc_dirname(arena *a, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ".";
  if (slash == path) return "/";
  const char *d = arena_dup(a, path, (size_t)(slash - path));
  return d ? d : ".";
}

const char *hc_basename(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

const char *hc_join(arena *a, const char *dir, const char *name) {
  size_t n = strlen(dir);
  while (n > 1 && dir[n - 1] == '/') n--;
  if (n == 1 && dir[0] == '.') return name;
  return hc_text(a, "%.*s%s%s", (int)n, dir, n == 1 && dir[0] == '/' ? "" : "/", name);
}

bool hc_has_suffix(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n > m && strcmp(s + n - m, suffix) == 0;
}

bool hc_list_add(arena *a, hc_list *l, const char *s) {
  if (!s) return false;
  if (l->n == l->cap) {
    uint32_t cap = l->cap ? l->cap * 2 : 16;
    const char **v = (const char **)arena_grow(a, l->v, l->cap * sizeof *v, cap * sizeof *v);
    if (!v) return false;
    l->v = v;
    l->cap = cap;
  }
  l->v[l->n++] = s;
  return true;
}

typedef struct walk {
  arena *a;
  hc_list names;
} walk;

static bool on_name(const char *name, void *user) {
  walk *w = (walk *)user;
  return name[0] == '.' || hc_list_add(w->a, &w->names, arena_dup(w->a, name, strlen(name)));
}

static int by_bytes(const void *x, const void *y) { return strcmp(*(const char *const *)x, *(const char *const *)y); }

static bool walk_dir(arena *a, const char *dir, const char *suffix, hc_list *out, int depth) {
  walk w = {.a = a};
  if (depth > WALK_DEPTH || io_file_list(dir, on_name, &w)) return false;
  if (w.names.n) qsort(w.names.v, w.names.n, sizeof *w.names.v, by_bytes);
  for (uint32_t i = 0; i < w.names.n; i++) {
    const char *path = hc_join(a, dir, w.names.v[i]);
    io_stat_info st;
    if (io_file_stat(path, &st)) continue;
    if (st.is_dir) {
      if (!walk_dir(a, path, suffix, out, depth + 1)) return false;
    } else if (hc_has_suffix(path, suffix) && !hc_list_add(a, out, path)) {
      return false;
    }
  }
  return true;
}

bool hc_walk(arena *a, const char *dir, const char *suffix, hc_list *out) {
  bool ok = walk_dir(a, dir, suffix, out, 0);
  if (!ok) hc_say("the folder %s cannot be read", dir);
  return ok;
}

typedef struct removal {
  const char *dir;
  int depth;
} removal;

static void remove_below(const char *path, int depth);
static bool on_remove(const char *name, void *user) {
  const removal *r = (const removal *)user;
  char path[HC_PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s/%s", r->dir, name) < sizeof path) remove_below(path, r->depth + 1);
  return true;
}
static void remove_below(const char *path, int depth) {
  io_stat_info st;
  if (depth > WALK_DEPTH || io_file_stat(path, &st)) return;
  if (!st.is_dir) {
    io_file_unlink(path);
    return;
  }
  removal r = {path, depth};
  io_file_list(path, on_remove, &r);
  rmdir(path);
}

void hc_remove_tree(const char *path) { remove_below(path, 0); }
