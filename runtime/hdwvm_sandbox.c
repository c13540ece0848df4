/* hdwvm_sandbox.c - landlock rules and the seccomp filter. Constants of kernels newer than the headers are written out. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "hdwvm_sandbox.h"
#include "points.h"

/* Leak and race checkers trace, fork and look around at the end; coverage writes its counters anywhere. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHECKED_BUILD 1
#else
#define CHECKED_BUILD 0
#endif

/* ---- files ------------------------------------------------------------------------------------------------------------------------------- */

static bool note(sandbox *s, const char *path, bool write) {
  char real[PATH_MAX];
  if (!realpath(path, real)) return errno == ENOENT || errno == EACCES || errno == ENOTDIR; /* what is not there needs no rule */
  for (unsigned i = 0; i < s->n; i++)
    if (!strcmp(s->paths[i].path, real)) {
      s->paths[i].write |= write;
      return true;
    }
  if (s->n == SANDBOX_PATHS || strlen(real) >= sizeof s->paths[0].path) return false;
  memcpy(s->paths[s->n].path, real, strlen(real) + 1);
  s->paths[s->n++].write = write;
  return true;
}

bool sandbox_folder(sandbox *s, const char *path, bool write) { return !path || !*path || !strcmp(path, "-") || note(s, path, write); }

static bool folder_of(const char *file, char *out, size_t room) {
  const char *slash = strrchr(file, '/');
  size_t n = slash ? (size_t)(slash - file) : 0;
  int k = slash ? snprintf(out, room, "%.*s", n ? (int)n : 1, file) : snprintf(out, room, ".");
  return k > 0 && (size_t)k < room;
}

bool sandbox_file(sandbox *s, const char *path, bool write) {
  char folder[4096];
  if (!path || !*path || !strcmp(path, "-")) return true;
  return folder_of(path, folder, sizeof folder) && note(s, folder, write);
}

static bool within(const char *path, const char *folder) {
  size_t n = strlen(folder);
  return !strcmp(folder, "/") || (strncmp(path, folder, n) == 0 && (path[n] == 0 || path[n] == '/'));
}

bool sandbox_reaches(const sandbox *s, const char *path, bool write) {
  char real[PATH_MAX], folder[4096];
  if (!(s->held & SANDBOX_FILES)) return true;
  if (!realpath(path, real) && !(folder_of(path, folder, sizeof folder) && realpath(folder, real))) return false; /* it would have to be made */
  for (unsigned i = 0; i < s->n; i++)
    if (within(real, s->paths[i].path) && (s->paths[i].write || !write)) return true;
  return false;
}

#define READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK)
#define NEVER (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM)
enum { FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15 }; /* since ABI 2, 3 and 5 */

static bool rule(int set, const char *path, uint64_t access) {
  enum { OF_A_FILE = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV };
  struct stat st;
  struct landlock_path_beneath_attr at = {.allowed_access = access, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
  if (at.parent_fd < 0) return errno == ENOENT;
  if (fstat(at.parent_fd, &st) || !S_ISDIR(st.st_mode)) at.allowed_access &= OF_A_FILE;
  bool ok = syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &at, 0) == 0;
  close(at.parent_fd);
  return ok;
}

bool sandbox_files(sandbox *s) {
  static const char *const system[] = {"/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/run", "/dev"};
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  s->why_files = NULL;
#ifdef HDW_COVERAGE
  s->why_files = "a build that counts coverage";
  return false;
#endif
  if (abi < 1) {
    s->why_files = errno == EOPNOTSUPP ? "landlock is switched off in this kernel" : errno == EPERM ? "a filter around this process refuses landlock" : "this kernel has no landlock";
    return false;
  }
  s->landlock_abi = (int)abi;
  uint64_t writes = WRITES | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0);
  struct landlock_ruleset_attr attr = {.handled_access_fs = READS | NEVER | writes | (abi >= 5 ? FS_IOCTL_DEV : 0)};
  int set = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
  bool ok = set >= 0;
  for (unsigned i = 0; ok && i < s->n; i++) ok = rule(set, s->paths[i].path, READS | (s->paths[i].write ? writes : 0));
  for (unsigned i = 0; ok && i < sizeof system / sizeof *system; i++) ok = rule(set, system[i], READS);
  if (ok) ok = rule(set, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
  ok = ok && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, set, 0) == 0;
  if (!ok) s->why_files = "landlock refused the rules";
  else s->held |= SANDBOX_FILES;
  if (set >= 0) close(set);
  return ok;
}

/* ---- system calls ------------------------------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

enum { ALL = 0, NET = SANDBOX_NET, TOOL = SANDBOX_TOOL };
/* What remains (syscalls.def). */
static const struct { uint16_t nr; uint8_t part; bool filtered; } calls[] = {
#define CALL(name, part, why) {SYS_##name, part, false},
#define ONLY(name, part, why) {SYS_##name, part, true},
#include "syscalls.def"
};
#define X(name) SYS_##name,
#if CHECKED_BUILD
static const uint16_t checkers[] = {
  X(clone) X(ptrace) X(wait4) X(prctl) X(process_vm_readv) X(mprotect) X(sched_getparam) X(personality) X(getppid) X(mincore) X(prlimit64) X(kill) X(tgkill) X(mmap) X(capget) X(pipe) X(fork) X(getdents)
  X(sigaltstack) X(sched_yield) X(nanosleep) X(clock_nanosleep) X(open) X(uname) X(getrusage) X(pipe2) X(dup) X(readlink) X(stat) X(lstat) X(fstat) X(getuid) X(geteuid) X(getgid) X(getegid) X(umask)
};
#endif
/* What nobody calls by mistake. */
static const uint16_t fatal[] = {
  X(execve) X(execveat) X(mount) X(umount2) X(pivot_root) X(chroot) X(unshare) X(setns) X(bpf) X(perf_event_open) X(userfaultfd) X(io_uring_setup) X(io_uring_enter)
  X(io_uring_register) X(init_module) X(finit_module) X(delete_module) X(kexec_load) X(keyctl) X(add_key) X(request_key) X(process_vm_writev) X(open_by_handle_at) X(setuid)
  X(setgid) X(setresuid) X(setresgid) X(capset) X(reboot) X(swapon) X(settimeofday) X(clock_settime)
#if !CHECKED_BUILD
  X(ptrace) X(process_vm_readv) X(personality)
#endif
};
#undef X

enum { PROGRAM_MAX = 512 };
typedef struct program { struct sock_filter f[PROGRAM_MAX]; unsigned short n; } program;

static void put(program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no) {
  if (p->n < PROGRAM_MAX) p->f[p->n++] = (struct sock_filter){code, yes, no, k};
}
static void answer(program *p, uint32_t ret) { put(p, BPF_RET | BPF_K, ret, 0, 0); }
static void load(program *p, size_t offset) { put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0); }
static void equal(program *p, uint32_t nr, uint32_t ret) {
  put(p, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1);
  answer(p, ret);
}

#define ARGUMENT(i) (offsetof(struct seccomp_data, args) + 8 * (i)) /* low half: both machines are little-endian */
#define DENY(e) (SECCOMP_RET_ERRNO | ((e) & SECCOMP_RET_DATA))

/* Call nr only with argument i one of n values. */
static void only(program *p, uint32_t nr, unsigned i, const uint32_t *values, unsigned n) {
  put(p, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, (uint8_t)(2 * n + 2));
  load(p, ARGUMENT(i));
  for (unsigned k = 0; k < n; k++) equal(p, values[k], SECCOMP_RET_ALLOW);
  answer(p, DENY(EPERM));
}
/* Call nr only with all (want) or not with all bits of mask in argument i. */
static void bits(program *p, uint32_t nr, unsigned i, uint32_t mask, bool want) {
  put(p, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 5);
  load(p, ARGUMENT(i));
  put(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, mask, want ? 0 : 1, want ? 1 : 0);
  answer(p, SECCOMP_RET_ALLOW);
  answer(p, DENY(EPERM));
}

/* A socket: of the families that are spoken here, streams and datagrams; netlink for routes alone. */
static void sockets(program *p) {
  enum { KINDS = 15 /* without SOCK_CLOEXEC and SOCK_NONBLOCK */ };
  put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 15);
  load(p, ARGUMENT(0));
  put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 4);
  load(p, ARGUMENT(2));
  put(p, BPF_JMP | BPF_JEQ | BPF_K, 0 /* NETLINK_ROUTE */, 0, 1);
  answer(p, SECCOMP_RET_ALLOW);
  answer(p, DENY(EPERM));
  put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 2, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 1, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 5);
  load(p, ARGUMENT(1));
  put(p, BPF_ALU | BPF_AND | BPF_K, KINDS, 0, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM, 1, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, SOCK_DGRAM, 0, 1);
  answer(p, SECCOMP_RET_ALLOW);
  answer(p, DENY(EPERM));
}
/* Call nr only with no pointer as argument i. */
static void without(program *p, uint32_t nr, unsigned i) {
  put(p, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 6);
  load(p, ARGUMENT(i));
  put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
  load(p, ARGUMENT(i) + 4);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
  answer(p, SECCOMP_RET_ALLOW);
  answer(p, DENY(EPERM));
}

#ifdef ARCH
/* The ONLY rows of syscalls.def. */
static void arguments(program *p, unsigned parts) {
  static const uint32_t ioctls[] = {FIONBIO, FIONREAD, TCGETS, 0x8933 /* SIOCGIFINDEX */, 0x8910 /* SIOCGIFNAME */};
  static const uint32_t prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, 0x53564d41 /* PR_SET_VMA: names of the allocator */};
  static const uint32_t thread = 0x3d0f00; /* as the C library begins one: CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID */
  const uint32_t self = (uint32_t)getpid();
  equal(p, SYS_clone3, DENY(ENOSYS)); /* its flags lie in memory; the C library then uses clone */
  if (parts & NET) sockets(p);
  only(p, SYS_ioctl, 1, ioctls, sizeof ioctls / sizeof *ioctls);
  if (CHECKED_BUILD) return;
  only(p, SYS_clone, 0, &thread, 1);
  bits(p, SYS_mmap, 2, PROT_WRITE | PROT_EXEC, false);
  bits(p, SYS_mprotect, 2, PROT_EXEC, false);
  only(p, SYS_prctl, 0, prctls, sizeof prctls / sizeof *prctls);
  only(p, SYS_tgkill, 0, &self, 1);
#ifdef HDW_POINTS
  only(p, SYS_kill, 0, &self, 1);
#endif
  without(p, SYS_prlimit64, 2); /* to be told a limit, not to set one */
}

static unsigned filter(program *p, unsigned parts) {
  unsigned n = 0;
  load(p, offsetof(struct seccomp_data, arch));
  put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
  answer(p, SECCOMP_RET_KILL_PROCESS);
  load(p, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (calls[i].part != ALL && !(parts & calls[i].part)) continue;
    n++;
    if (!calls[i].filtered) equal(p, calls[i].nr, SECCOMP_RET_ALLOW);
  }
#if CHECKED_BUILD
  for (size_t i = 0; i < sizeof checkers / sizeof *checkers; i++) equal(p, checkers[i], SECCOMP_RET_ALLOW);
#endif
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) equal(p, fatal[i], SECCOMP_RET_KILL_PROCESS);
  arguments(p, parts);
  answer(p, DENY(EPERM));
  return n;
}
#endif

void sandbox_descriptors(void) {
  enum { MANY = 4096, CLOEXEC = 4 /* CLOSE_RANGE_CLOEXEC */ };
  if (syscall(436 /* close_range */, 3U, ~0U, CLOEXEC) == 0) return;
  for (int fd = 3; fd < MANY; fd++) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool sandbox_calls(sandbox *s, unsigned parts) {
#ifdef ARCH
  static program p;
  p.n = 0;
  s->calls = filter(&p, parts);
  struct sock_fprog prog = {p.n, p.f};
  s->why_calls = NULL;
  if (p.n >= PROGRAM_MAX) s->why_calls = "the filter is too long";
  else if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog)) s->why_calls = errno == EPERM ? "a filter around this process refuses seccomp" : "this kernel takes no seccomp filter";
  else s->held |= SANDBOX_CALLS;
#else
  s->why_calls = "there is no seccomp filter for this processor";
#endif
  return (s->held & SANDBOX_CALLS) != 0;
}
