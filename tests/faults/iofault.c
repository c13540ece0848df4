/* iofault.c - a library for LD_PRELOAD between a program and its files: it records what is written and synced, makes calls fail, and moves the wall clock.
 * Only files below HDW_IO_DIR count. Works for liblmdb too, whose calls go through the same names. Everything is asked for in the environment:
 *
 *   HDW_IO_DIR=DIR            the data folder, absolute
 *   HDW_IO_TRACE=FILE         records every change of files and names, in the order in which they happened, and every acknowledgement that was sent (iotrace.h)
 *   HDW_IO_COUNT=FILE         at each call: how often each class of calls was made so far, as text (one line, overwritten)
 *   HDW_IO_FAULT=C:N:E[:S]    the Nth call of class C (open write sync rename unlink trunc mkdir dir read map) fails with errno E; S = 1: all later ones of the class
 *                             too, S = 2: all later ones of every class. E = 0: a short write (half of it), the next one fails with ENOSPC
 *   HDW_IO_CLOCK=FILE         microseconds (8 bytes) to add to the wall clock; the file may be changed at any time */
#include "iotrace.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum klass { C_OPEN, C_WRITE, C_SYNC, C_RENAME, C_UNLINK, C_TRUNC, C_MKDIR, C_DIR, C_READ, C_MAP, CLASSES };
static const char *const names[CLASSES] = {"open", "write", "sync", "rename", "unlink", "trunc", "mkdir", "dir", "read", "map"};
enum { FDS = 4096, OURS = 1, SYNCED = 2, FOLDER = 4 };

static struct {
  pthread_mutex_t lock;
  char dir[PATH_MAX];
  size_t dir_len;
  int trace, count;
  uint8_t fds[FDS];
  uint32_t id[FDS];          /* of the file behind the descriptor: changes with each open, told by a T_OPEN */
  char *path[FDS];
  uint32_t last_id;
  long calls[CLASSES];
  int fault_class, fault_errno, sticky;
  long fault_at;
  bool struck, half;
  const volatile int64_t *clock;
  pid_t pid;
} g = {.lock = PTHREAD_MUTEX_INITIALIZER, .trace = -1, .count = -1, .fault_class = -1};

static int raw_open(const char *path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600); }

/* A descriptor high up, where nobody counts. */
static int keep(int fd) {
  if (fd < 0) return -1;
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 900);
  if (high < 0) return fd;
  syscall(SYS_close, fd);
  return high;
}

__attribute__((constructor)) static void begin(void) {
  const char *v = getenv("HDW_IO_DIR");
  if (v) g.dir_len = (size_t)snprintf(g.dir, sizeof g.dir, "%s", v);
  if ((v = getenv("HDW_IO_TRACE"))) g.trace = keep(raw_open(v, O_WRONLY | O_CREAT | O_APPEND));
  if ((v = getenv("HDW_IO_COUNT"))) g.count = keep(raw_open(v, O_WRONLY | O_CREAT));
  if ((v = getenv("HDW_IO_FAULT"))) {
    const char *p = strchr(v, ':');
    for (int i = 0; p && i < CLASSES; i++)
      if (strlen(names[i]) == (size_t)(p - v) && !memcmp(names[i], v, (size_t)(p - v))) g.fault_class = i;
    if (g.fault_class < 0 || sscanf(p, ":%ld:%d:%d", &g.fault_at, &g.fault_errno, &g.sticky) < 2) _exit(99);
  }
  if ((v = getenv("HDW_IO_CLOCK"))) {
    int fd = raw_open(v, O_RDONLY);
    void *m = fd < 0 ? MAP_FAILED : (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (m != MAP_FAILED) g.clock = (const volatile int64_t *)m;
  }
  g.pid = getpid();
}

static bool ours(const char *path) {
  char full[PATH_MAX];
  if (!g.dir_len || !path) return false;
  if (path[0] != '/') {
    size_t n;
    if (syscall(SYS_getcwd, full, sizeof full) < 0) return false;
    n = strlen(full);
    snprintf(full + n, sizeof full - n, "/%s", path);
    path = full;
  }
  return !strncmp(path, g.dir, g.dir_len) && (!path[g.dir_len] || path[g.dir_len] == '/');
}
static unsigned of(int fd) { return fd >= 0 && fd < FDS ? g.fds[fd] : 0; }

static void put(const void *p, size_t n) {
  const char *s = (const char *)p;
  while (n) {
    long w = syscall(SYS_write, g.trace, s, n);
    if (w <= 0) _exit(98);
    s += w, n -= (size_t)w;
  }
}

static void tell(uint8_t op, uint32_t file, uint64_t off, const void *p, size_t n) {
  if (g.trace < 0) return;
  iotrace t = {.op = op, .file = file, .off = off, .len = (uint32_t)n};
  put(&t, sizeof t);
  if (n && p) put(p, n);
}
/* Two paths in one record: "a\0b\0". */
static void tell_names(uint8_t op, uint32_t file, const char *a, const char *b) {
  char two[2 * PATH_MAX];
  size_t n = strlen(a) + 1, m = b ? strlen(b) + 1 : 0;
  memcpy(two, a, n);
  if (m) memcpy(two + n, b, m);
  tell(op, file, 0, two, n + m);
}

/* Counts a call; true: it has to fail, errno is set. Locked. */
static bool strikes(enum klass k, const char *path) {
  g.calls[k]++;
  if (g.count >= 0) {
    char line[400];
    int n = 0;
    for (int i = 0; i < CLASSES; i++) n += snprintf(line + n, sizeof line - (size_t)n, "%s %ld%s", names[i], g.calls[i], i + 1 < CLASSES ? ", " : "          \n");
    syscall(SYS_pwrite64, g.count, line, n, 0);
  }
  if (g.fault_class < 0 || g.half) return false;
  bool now = k == (enum klass)g.fault_class && g.calls[k] == g.fault_at;
  if (now) g.struck = true;
  if (!now && !(g.struck && ((g.sticky == 1 && k == (enum klass)g.fault_class) || g.sticky == 2))) return false;
  tell_names(T_FAULT, (uint32_t)k, path ? path : "", NULL);
  if (!g.fault_errno) {
    g.half = true, g.fault_errno = ENOSPC;
    return false;
  }
  errno = g.fault_errno;
  return true;
}
/* How much of n bytes is written: all, or half at a short write. Locked. */
static size_t portion(size_t n) {
  if (!g.half) return n;
  g.half = false;
  g.sticky = 1;
  g.struck = true;
  return n > 1 ? n / 2 : n;
}

#define LOCKED(type, ...) \
  pthread_mutex_lock(&g.lock); \
  type r = __VA_ARGS__; \
  int saved = errno; \
  pthread_mutex_unlock(&g.lock); \
  errno = saved; \
  return r

/* ---- names ---- */

static int open_locked(int dirfd, const char *path, int flags, mode_t mode) {
  bool mine = dirfd == AT_FDCWD && ours(path), change = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
  struct stat st;
  bool there = mine && syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) == 0;
  if (mine && strikes((flags & O_DIRECTORY) ? C_DIR : C_OPEN, path)) return -1;
  int fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
  if (fd < 0 || fd >= FDS) return fd;
  g.fds[fd] = 0;
  if (!mine) return fd;
  g.fds[fd] = (uint8_t)(OURS | ((flags & (O_DSYNC | O_SYNC)) ? SYNCED : 0) | ((flags & O_DIRECTORY) ? FOLDER : 0));
  g.id[fd] = ++g.last_id;
  free(g.path[fd]);
  g.path[fd] = strdup(path);
  if (flags & O_DIRECTORY) tell_names(T_OPEN_DIR, g.id[fd], path, NULL);
  else if (change) {
    tell_names(T_OPEN, g.id[fd], path, NULL);
    if (!there) tell(T_NEW, g.id[fd], 0, NULL, 0);
    if (there && (flags & O_TRUNC)) tell(T_TRUNC, g.id[fd], 0, NULL, 0);
  }
  return fd;
}

static mode_t mode_of(int flags, va_list ap) { return (flags & (O_CREAT | O_TMPFILE)) ? (mode_t)va_arg(ap, int) : 0; }
#define OPENER(name) \
  int name(const char *path, int flags, ...) { \
    va_list ap; \
    va_start(ap, flags); \
    mode_t mode = mode_of(flags, ap); \
    va_end(ap); \
    LOCKED(int, open_locked(AT_FDCWD, path, flags, mode)); \
  }
OPENER(open)
OPENER(open64)
int openat(int dirfd, const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = mode_of(flags, ap);
  va_end(ap);
  LOCKED(int, open_locked(dirfd, path, flags, mode));
}

int close(int fd) {
  pthread_mutex_lock(&g.lock);
  if (fd >= 0 && fd < FDS) g.fds[fd] = 0;
  pthread_mutex_unlock(&g.lock);
  return (int)syscall(SYS_close, fd);
}

static int rename_locked(const char *from, const char *to) {
  if (ours(to) && strikes(C_RENAME, to)) return -1;
  int r = (int)syscall(SYS_rename, from, to);
  if (!r && ours(to)) tell_names(T_RENAME, 0, from, to);
  for (int i = 0; !r && i < FDS; i++)
    if (g.fds[i] && g.path[i] && !strcmp(g.path[i], from)) {
      free(g.path[i]);
      g.path[i] = strdup(to);
    }
  return r;
}
int rename(const char *from, const char *to) { LOCKED(int, rename_locked(from, to)); }
static int unlink_locked(const char *path) {
  if (ours(path) && strikes(C_UNLINK, path)) return -1;
  int r = (int)syscall(SYS_unlink, path);
  if (!r && ours(path)) tell_names(T_UNLINK, 0, path, NULL);
  return r;
}
int unlink(const char *path) { LOCKED(int, unlink_locked(path)); }
static int mkdir_locked(const char *path, mode_t mode) {
  if (ours(path) && strikes(C_MKDIR, path)) return -1;
  int r = (int)syscall(SYS_mkdir, path, mode);
  if (!r && ours(path)) tell_names(T_MKDIR, 0, path, NULL);
  return r;
}
int mkdir(const char *path, mode_t mode) { LOCKED(int, mkdir_locked(path, mode)); }

/* ---- bytes ---- */

static void told(int fd, uint64_t off, const struct iovec *v, int n, size_t done) {
  for (int i = 0; i < n && done; i++) {
    size_t k = v[i].iov_len < done ? v[i].iov_len : done;
    tell((of(fd) & SYNCED) ? T_WRITE_SYNCED : T_WRITE, g.id[fd], off, v[i].iov_base, k);
    off += k, done -= k;
  }
}

static ssize_t pwritev_locked(int fd, const struct iovec *v, int n, off_t off) {
  if (!(of(fd) & OURS)) return syscall(SYS_pwritev, fd, v, n, off, 0);
  if (strikes(C_WRITE, g.path[fd])) return -1;
  size_t all = 0, want;
  for (int i = 0; i < n; i++) all += v[i].iov_len;
  want = portion(all);
  if (want < all) { /* a short write */
    ssize_t w = syscall(SYS_pwrite64, fd, v[0].iov_base, v[0].iov_len < want ? v[0].iov_len : want, off);
    if (w > 0) told(fd, (uint64_t)off, v, 1, (size_t)w);
    return w;
  }
  ssize_t w = syscall(SYS_pwritev, fd, v, n, off, 0);
  if (w > 0) told(fd, (uint64_t)off, v, n, (size_t)w);
  return w;
}
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t off) { LOCKED(ssize_t, pwritev_locked(fd, v, n, off)); }
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t off) { LOCKED(ssize_t, pwritev_locked(fd, v, n, off)); }
static ssize_t pwrite_locked(int fd, const void *p, size_t n, off_t off) {
  struct iovec v = {(void *)(uintptr_t)p, n};
  return pwritev_locked(fd, &v, 1, off);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t off) { LOCKED(ssize_t, pwrite_locked(fd, p, n, off)); }
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off) { LOCKED(ssize_t, pwrite_locked(fd, p, n, off)); }

/* At the descriptor's own place. */
static ssize_t writev_locked(int fd, const struct iovec *v, int n) {
  if (!(of(fd) & OURS)) return syscall(SYS_writev, fd, v, n);
  struct stat st;
  int flags = fcntl(fd, F_GETFL);
  long at = (flags & O_APPEND) && !syscall(SYS_fstat, fd, &st) ? (long)st.st_size : syscall(SYS_lseek, fd, 0, SEEK_CUR);
  ssize_t w = pwritev_locked(fd, v, n, at);
  if (w > 0 && !(flags & O_APPEND)) syscall(SYS_lseek, fd, at + w, SEEK_SET);
  return w;
}
ssize_t writev(int fd, const struct iovec *v, int n) { LOCKED(ssize_t, writev_locked(fd, v, n)); }
ssize_t write(int fd, const void *p, size_t n) {
  struct iovec v = {(void *)(uintptr_t)p, n};
  if (!(of(fd) & OURS)) return syscall(SYS_write, fd, p, n);
  LOCKED(ssize_t, writev_locked(fd, &v, 1));
}

static int sync_locked(int fd, long call) {
  if (!(of(fd) & OURS)) return (int)syscall(call, fd);
  bool folder = of(fd) & FOLDER;
  if (strikes(folder ? C_DIR : C_SYNC, g.path[fd])) return -1;
  int r = (int)syscall(call, fd);
  if (!r) tell(folder ? T_SYNC_DIR : T_SYNC, g.id[fd], 0, NULL, 0);
  return r;
}
int fdatasync(int fd) { LOCKED(int, sync_locked(fd, SYS_fdatasync)); }
int fsync(int fd) { LOCKED(int, sync_locked(fd, SYS_fsync)); }

static int trunc_locked(int fd, off_t len, bool alloc, int mode, off_t from) {
  bool mine = of(fd) & OURS;
  if (mine && strikes(C_TRUNC, g.path[fd])) return -1;
  int r = (int)(alloc ? syscall(SYS_fallocate, fd, mode, from, len) : syscall(SYS_ftruncate, fd, len));
  if (!r && mine) tell(alloc ? T_EXTEND : T_TRUNC, g.id[fd], (uint64_t)(from + len), NULL, 0);
  return r;
}
int ftruncate(int fd, off_t len) { LOCKED(int, trunc_locked(fd, len, false, 0, 0)); }
int ftruncate64(int fd, off64_t len) { LOCKED(int, trunc_locked(fd, len, false, 0, 0)); }
int fallocate(int fd, int mode, off_t from, off_t len) { LOCKED(int, trunc_locked(fd, len, true, mode, from)); }
int fallocate64(int fd, int mode, off64_t from, off64_t len) { LOCKED(int, trunc_locked(fd, len, true, mode, from)); }

static ssize_t pread_locked(int fd, void *p, size_t n, off_t off) {
  if ((of(fd) & OURS) && strikes(C_READ, g.path[fd])) return -1;
  return syscall(SYS_pread64, fd, p, n, off);
}
ssize_t pread(int fd, void *p, size_t n, off_t off) { LOCKED(ssize_t, pread_locked(fd, p, n, off)); }
ssize_t pread64(int fd, void *p, size_t n, off64_t off) { LOCKED(ssize_t, pread_locked(fd, p, n, off)); }

static void *mmap_locked(void *at, size_t n, int prot, int flags, int fd, off_t off) {
  if ((of(fd) & OURS) && strikes(C_MAP, g.path[fd])) return MAP_FAILED;
  return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off);
}
static void *mmap_any(void *at, size_t n, int prot, int flags, int fd, off_t off) {
  if (!(of(fd) & OURS)) return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off);
  LOCKED(void *, mmap_locked(at, n, prot, flags, fd, off));
}
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off) { return mmap_any(at, n, prot, flags, fd, off); }
void *mmap64(void *at, size_t n, int prot, int flags, int fd, off64_t off) { return mmap_any(at, n, prot, flags, fd, off); }

/* ---- acknowledgements: told before they leave ---- */

ssize_t send(int fd, const void *p, size_t n, int flags) {
  if (g.trace >= 0 && n > 8 && memmem(p, n < 1000 ? n : 1000, "\rMSA|", 5)) {
    pthread_mutex_lock(&g.lock);
    tell(T_ACK, 0, 0, p, n < 4000 ? n : 4000);
    pthread_mutex_unlock(&g.lock);
  }
  return syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

/* ---- the clock ---- */

int clock_gettime(clockid_t id, struct timespec *t) {
  int r = (int)syscall(SYS_clock_gettime, id, t);
  if (r || id != CLOCK_REALTIME || !g.clock) return r;
  int64_t us = *g.clock, s = us / 1000000, ns = t->tv_nsec + us % 1000000 * 1000;
  if (ns >= 1000000000) s++, ns -= 1000000000;
  if (ns < 0) s--, ns += 1000000000;
  t->tv_sec += s, t->tv_nsec = ns;
  return 0;
}
