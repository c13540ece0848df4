/* hdwvm_damage.c - a damaged state.mdb ends a process that reads it by a signal: LMDB trusts its file. Here that becomes a verdict.
 *
 *   what happened                                                  told, and then
 *   reading a place of the mapped file failed (SIGBUS), or         the file is set aside (state.mdb.bad), status 75;
 *   LMDB itself stumbled or gave up (SIGSEGV, SIGBUS, SIGABRT)     the next start makes the state again from the log
 *   the same in a command that only reads, perhaps beside a daemon told, status 74; the file stays where it is
 *   any other end by SIGSEGV or SIGBUS while the file is mapped    a note is left (state.doubt) and the process ends by the signal;
 *                                                                  the next start has the state read in a child first
 *   any other end by a signal                                      nothing: the map cannot be written through, and who gave up (SIGABRT of a
 *                                                                  watchdog or of a library) did not stumble over what is in it
 *
 * Nothing here allocates, locks or uses the C library's files: handlers run anywhere. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include "hdwvm.h"
#include "io_linux.h"
#include "log.h"
#include "points.h"
#include "store.h"

enum { PATH = 1200 };
static const int deadly[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL};
enum { NDEADLY = sizeof deadly / sizeof *deadly };
static struct sigaction before[NDEADLY];
static char state[PATH], bad[PATH], doubt[PATH];
static bool reads_only;

/* ---- in the handler ------------------------------------------------------------------------------------------------------------------------ */

static void say(const char *text) { (void)!write(2, text, strlen(text)); }

static uintptr_t hex(const char **p) {
  uintptr_t n = 0;
  for (;; (*p)++) {
    char c = **p;
    unsigned d = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
    if (d > 15) return n;
    n = n << 4 | d;
  }
}

/* "55d0-55e0 r--s 00000000 fe:00 123   /var/lib/hdw/state.mdb": does it hold the address (0: any), and is the name in it? */
static bool line_is(const char *line, uintptr_t at, const char *name) {
  uintptr_t from = hex(&line), to = *line == '-' ? (line++, hex(&line)) : 0;
  return (!at || (at >= from && at < to)) && strstr(line, name) != NULL;
}

/* Whether an address lies in the mapping of a file with this in its path; 0: whether there is such a mapping. */
static bool mapped_from(uintptr_t at, const char *name) {
  static char part[8192], line[PATH];
  int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  size_t n = 0;
  bool yes = false;
  for (ssize_t got; fd >= 0 && !yes && (got = read(fd, part, sizeof part)) > 0;)
    for (ssize_t i = 0; i < got && !yes; i++) {
      if (part[i] != '\n') {
        if (n + 1 < sizeof line) line[n++] = part[i];
        continue;
      }
      line[n] = 0, n = 0;
      yes = line_is(line, at, name);
    }
  if (fd >= 0) close(fd);
  return yes;
}

static uintptr_t code_at(const void *context) {
  const ucontext_t *u = (const ucontext_t *)context;
#if defined(__x86_64__)
  return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return (uintptr_t)u->uc_mcontext.pc;
#else
  return (void)u, 0;
#endif
}

static void on_deadly(int signo, siginfo_t *info, void *context) {
  static volatile sig_atomic_t again;
  unsigned i = 0;
  while (i + 1 < NDEADLY && deadly[i] != signo) i++;
  if (!again) {
    again = 1;
    bool memory = (signo == SIGBUS || signo == SIGSEGV) && info->si_code > 0; /* not sent by somebody */
    bool sure = signo == SIGABRT ? access(state, F_OK) != 0 && access(bad, F_OK) == 0 /* store_doubt has been there */ : memory && (mapped_from((uintptr_t)info->si_addr, "/state.mdb") || mapped_from(code_at(context), "/liblmdb"));
    if (sure && reads_only) {
      say("hdwvm: "), say(state), say(" is DAMAGED: reading it failed. hdwvm check says more; it is made again from the log when the daemon starts\n");
      _exit(EXIT_IO);
    }
    if (sure) {
      if (signo != SIGABRT) (void)rename(state, bad);
      say("hdwvm: "), say(state), say(" is DAMAGED: reading it failed. It is set aside as state.mdb.bad; nothing is lost, the next start makes it again from the log\n");
      _exit(LOG_EXIT_CODE);
    }
    int fd = (signo == SIGSEGV || signo == SIGBUS) && !reads_only && mapped_from(0, "/state.mdb") ? open(doubt, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) close(fd);
  }
  (void)sigaction(signo, &before[i], NULL);
  if (signo == SIGABRT || info->si_code <= 0) (void)raise(signo); /* what was not sent comes again where it came from */
}

/* ---- before ---------------------------------------------------------------------------------------------------------------------------------- */

/* A child reads everything; how it ends is the answer. */
static bool reads_well(const char *dir) {
  pid_t pid = fork();
  if (pid == 0) {
    for (unsigned i = 0; i < NDEADLY; i++) signal(deadly[i], SIG_DFL);
    io_mem heap;
    io *x;
    store *s;
    store_info info;
    store_opts o = {.dir = dir, .read_only = true};
    io_mem_init(&heap, 0);
    if (io_linux_new(&heap.m, &x)) _exit(0);
    hdw_status st = store_open(x, &o, &info, &s);
    if (!st) st = store_check(s);
    HDW_COUNTED();
    _exit(st && st != HDW_E_DENIED); /* there are many words for pages that make no sense */
  }
  int status = 0;
  return pid < 0 || (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
}

static void watch(const char *dir) {
  struct sigaction on = {.sa_sigaction = on_deadly, .sa_flags = SA_SIGINFO | SA_NODEFER};
  snprintf(state, sizeof state, "%.1100s/state.mdb", dir);
  snprintf(bad, sizeof bad, "%.1100s/state.mdb.bad", dir);
  snprintf(doubt, sizeof doubt, "%.1100s/state.doubt", dir);
  for (unsigned i = 0; i < NDEADLY; i++) (void)sigaction(deadly[i], &on, &before[i]);
}

void hv_damage_tell(const char *dir) {
  if (state[0]) return;
  reads_only = true;
  watch(dir);
}

void hv_damage_watch(const char *dir) {
  if (state[0]) return; /* a standby that is promoted watches already */
  watch(dir);
  if (access(doubt, F_OK) != 0) return;
  hv_say("the last process here ended by a signal: %s is looked through", state);
  bool well = access(state, F_OK) != 0 || reads_well(dir);
  if (!well && !rename(state, bad)) hv_say("%s is DAMAGED: it is set aside as state.mdb.bad and made again from the log", state);
  if (well) hv_say("%s can be read", state);
  (void)unlink(doubt);
}
