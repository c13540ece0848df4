/* killat.c - preloaded into a program: the process dies (SIGKILL, as by kill -9) at the Nth call that changes a file (KILLAT=N), before it or after it did half of its
 * work (KILLAT_HALF). Without a number it only counts, and writes the count to KILLAT_OUT at each call. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

/* Files of a folder only: sockets, standard error and eventfds do not count. */
static int counts(int fd) {
  struct stat st;
  return syscall(SYS_newfstatat, fd, "", &st, 0x1000 /* AT_EMPTY_PATH */) == 0 && S_ISREG(st.st_mode);
}

/* Where the process has forbidden itself kill(), it ends as suddenly by itself: 137 is what a shell says of SIGKILL. */
static void die(void) {
  kill(getpid(), SIGKILL);
  (void)syscall(SYS_exit_group, 137);
}

/* 1: this call is the one, and it is to do half. */
static int here(void) {
  const char *at = getenv("KILLAT"), *out = getenv("KILLAT_OUT");
  long n = atomic_fetch_add(&calls, 1) + 1;
  if (out) {
    char text[24];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, out, O_WRONLY | O_CREAT, 0600), len = snprintf(text, sizeof text, "%ld\n", n);
    if (fd >= 0) (void)syscall(SYS_pwrite64, fd, text, (size_t)len, 0L), (void)syscall(SYS_close, fd);
  }
  if (!at || n != strtol(at, NULL, 10)) return 0;
  if (getenv("KILLAT_HALF")) return 1;
  die();
  return 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *p, size_t n) {
  if (counts(fd) && here()) (void)NEXT(write)(fd, p, n / 2), die();
  return NEXT(write)(fd, p, n);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) {
  if (here()) (void)NEXT(pwrite)(fd, p, n / 2, at), die();
  return NEXT(pwrite)(fd, p, n, at);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) {
  if (here()) (void)NEXT(pwrite64)(fd, p, n / 2, at), die();
  return NEXT(pwrite64)(fd, p, n, at);
}
ssize_t writev(int fd, const struct iovec *v, int n) {
  if (counts(fd) && here()) (void)NEXT(writev)(fd, v, n / 2), die();
  return NEXT(writev)(fd, v, n);
}
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at) {
  if (here()) (void)NEXT(pwritev)(fd, v, n / 2, at), die();
  return NEXT(pwritev)(fd, v, n, at);
}
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at) {
  if (here()) (void)NEXT(pwritev64)(fd, v, n / 2, at), die();
  return NEXT(pwritev64)(fd, v, n, at);
}
int fdatasync(int fd) {
  if (here()) die();
  return NEXT(fdatasync)(fd);
}
int fsync(int fd) {
  if (here()) die();
  return NEXT(fsync)(fd);
}
int ftruncate(int fd, off_t len) {
  if (here()) die();
  return NEXT(ftruncate)(fd, len);
}
int ftruncate64(int fd, off64_t len) {
  if (here()) die();
  return NEXT(ftruncate64)(fd, len);
}
int rename(const char *from, const char *to) {
  if (here()) die();
  return NEXT(rename)(from, to);
}
int unlink(const char *path) {
  if (here()) die();
  return NEXT(unlink)(path);
}
