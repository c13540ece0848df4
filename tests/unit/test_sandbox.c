/* What the kernel refuses the daemon once it has given things up: each attempt in a child process that has entered the same sandbox. */
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "support.h"
#include "hdwvm_sandbox.c"

/* A child's verdict: 0 = done, 1..: errno of the refusal, 200: it was ended by the filter. */
enum { ENDED = 200, NOT_HERE = 201 };
typedef int (*attempt)(const char *dir);

static int done(long r) { return r >= 0 ? 0 : errno; }
static int exec_it(const char *d) { char *none[] = {NULL}; return (void)d, execve("/bin/true", none, none), errno; }
static int trace_it(const char *d) { return (void)d, CHECKED_BUILD ? ENDED : done(syscall(SYS_ptrace, 0L, 0L, 0L, 0L)); }
static int mount_it(const char *d) { return (void)d, done(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0L, 0L)); }
static int bpf_it(const char *d) { return (void)d, done(syscall(SYS_bpf, 0L, 0L, 0L)); }
static int ring_it(const char *d) { return (void)d, done(syscall(SYS_io_uring_setup, 1L, 0L)); }
static int fork_it(const char *d) { return (void)d, CHECKED_BUILD ? EPERM : done(fork()); }
static int signal_others(const char *d) { return (void)d, CHECKED_BUILD ? EPERM : done(kill(1, 0)); }
static int writable_code(const char *d) { return (void)d, CHECKED_BUILD ? EPERM : mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0; }
static int raw_packets(const char *d) { return (void)d, done(socket(17 /* AF_PACKET */, SOCK_RAW, 0)); }
static int raw_inet(const char *d) { return (void)d, done(socket(AF_INET, SOCK_RAW, 1)); }
static int raw_local(const char *d) { return (void)d, done(socket(AF_UNIX, SOCK_SEQPACKET, 0)); }
static int routes(const char *d) { return (void)d, done(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)); }
static int watch_kernel(const char *d) { return (void)d, done(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 15 /* NETLINK_KOBJECT_UEVENT */)); }
static int datagrams(const char *d) { return (void)d, done(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }
static int own_namespace(const char *d) { return (void)d, CHECKED_BUILD ? EPERM : done(syscall(SYS_clone, 0x10000000L | SIGCHLD /* CLONE_NEWUSER */, 0L, 0L, 0L, 0L)); }
static int thread_in_namespace(const char *d) { return (void)d, CHECKED_BUILD ? EPERM : done(syscall(SYS_clone, 0x3d0f00L | 0x40000000L /* CLONE_NEWNET */, 0L, 0L, 0L, 0L)); }
static int code_later(const char *d) { return (void)d, CHECKED_BUILD ? EPERM : done(mprotect((void *)((uintptr_t)&d & ~(uintptr_t)4095), 4096, PROT_READ | PROT_EXEC)); }
static int be_dumpable(const char *d) { return (void)d, CHECKED_BUILD ? EPERM : done(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int more_memory(const char *d) {
  struct rlimit r = {0, 0};
  return (void)d, CHECKED_BUILD ? EPERM : done(setrlimit(RLIMIT_CORE, &r));
}
static int ask_limit(const char *d) {
  struct rlimit r;
  return (void)d, done(getrlimit(RLIMIT_STACK, &r));
}
static void *nothing(void *x) { return x; }
static int thread(const char *d) {
  pthread_t t;
  return (void)d, pthread_create(&t, NULL, nothing, NULL) ? EAGAIN : pthread_join(t, NULL);
}
static int names(const char *d) {
  struct addrinfo *r = NULL;
  return (void)d, getaddrinfo("localhost", "80", NULL, &r) ? EAGAIN : (freeaddrinfo(r), 0);
}
static int tcp(const char *d) { return (void)d, done(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
static int type_into_terminal(const char *d) { return (void)d, done(ioctl(0, TIOCSTI, "x")); }
static int quota(const char *d) { return (void)d, done(syscall(SYS_quotactl, 0L, 0L, 0L, 0L)); }
static int read_hosts(const char *d) { return (void)d, done(open("/etc/hosts", O_RDONLY | O_CLOEXEC)); }
static int write_outside(const char *d) { return (void)d, done(open("/tmp/hdw-test-sandbox-outside", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); }
static int write_etc(const char *d) { return (void)d, done(open("/etc/hosts", O_WRONLY | O_CLOEXEC)); }
static int read_outside(const char *d) { return (void)d, done(open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }
static int inside(const char *d, const char *name, int flags) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", d, name);
  return done(open(path, flags | O_CLOEXEC, 0600));
}
static int write_inside(const char *d) { return inside(d, "rw/file", O_WRONLY | O_CREAT); }
static int write_in_read(const char *d) { return inside(d, "ro/file", O_WRONLY | O_CREAT); }
static int read_in_read(const char *d) { return inside(d, "ro/there", O_RDONLY); }
static int climb_out(const char *d) { return inside(d, "rw/../other/file", O_WRONLY | O_CREAT); }
static int link_out(const char *d) { return inside(d, "rw/link/file", O_WRONLY | O_CREAT); }
static int make_link(const char *d) {
  char path[300];
  snprintf(path, sizeof path, "%s/rw/new", d);
  return done(symlinkat("/etc/shadow", AT_FDCWD, path));
}

static const struct { const char *tries; attempt f; int want; bool files, calls; } rows[] = {
    {"execve", exec_it, ENDED, false, true},          {"ptrace", trace_it, ENDED, false, true},          {"mount", mount_it, ENDED, false, true},
    {"bpf", bpf_it, ENDED, false, true},              {"io_uring", ring_it, ENDED, false, true},         {"fork", fork_it, EPERM, false, true},
    {"a signal to another process", signal_others, EPERM, false, true}, {"memory to write and execute", writable_code, EPERM, false, true}, {"raw packets", raw_packets, EPERM, false, true},
    {"a TCP socket", tcp, 0, false, true},            {"typing into the terminal", type_into_terminal, EPERM, false, true}, {"a call that nobody needs", quota, EPERM, false, true},
    {"reading /etc/hosts", read_hosts, 0, true, true}, {"a file outside", write_outside, EACCES, true, false}, {"writing to /etc", write_etc, EACCES, true, false},
    {"reading elsewhere", read_outside, EACCES, true, false}, {"a file in the data folder", write_inside, 0, true, true}, {"writing to a folder to read", write_in_read, EACCES, true, false},
    {"reading there", read_in_read, 0, true, true},   {"out of the data folder by ..", climb_out, EACCES, true, false}, {"out of it by a link", link_out, EACCES, true, false},
    {"making a link", make_link, EPERM, false, true}, {"raw IPv4", raw_inet, EPERM, false, true}, {"another kind of unix socket", raw_local, EPERM, false, true}, {"routes", routes, 0, false, true},
    {"events of the kernel", watch_kernel, EPERM, false, true}, {"datagrams", datagrams, 0, false, true}, {"a user namespace", own_namespace, EPERM, false, true},
    {"a thread in a namespace", thread_in_namespace, EPERM, false, true}, {"executing the stack", code_later, EPERM, false, true}, {"being dumpable", be_dumpable, EPERM, false, true},
    {"setting a limit", more_memory, EPERM, false, true}, {"asking for a limit", ask_limit, 0, false, true}, {"a thread", thread, 0, false, true}, {"a name", names, 0, true, true}};

static int in_child(attempt f, const char *dir, sandbox *s) {
  int status;
  pid_t p = fork();
  if (p == 0) {
    sandbox_files(s);
    sandbox_calls(s, SANDBOX_NET);
    _exit(f(dir));
  }
  if (waitpid(p, &status, 0) != p) return -1;
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? ENDED : WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void path_of(char *out, size_t room, const char *dir, const char *name) { snprintf(out, room, "%s/%s", dir, name); }

static void test_what_is_refused(void **state) {
  (void)state;
  char dir[] = "/var/tmp/hdw-sandbox-XXXXXX", path[300], to[300], cmd[400];
  static sandbox s, probe;
  assert_non_null(mkdtemp(dir));
  static const char *const folders[] = {"rw", "ro", "other"};
  for (int i = 0; i < 3; i++) { path_of(path, sizeof path, dir, folders[i]); assert_int_equal(mkdir(path, 0700), 0); }
  path_of(path, sizeof path, dir, "ro/there");
  close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  path_of(path, sizeof path, dir, "rw/link");
  path_of(to, sizeof to, dir, "other");
  assert_int_equal(symlink(to, path), 0);
  path_of(path, sizeof path, dir, "rw");
  assert_true(sandbox_folder(&s, path, true));
  path_of(path, sizeof path, dir, "ro/not-there-yet");
  assert_true(sandbox_file(&s, path, false));
  int kinds = 0; /* what this kernel has */
  pid_t p = fork();
  if (p == 0) { probe = s; sandbox_files(&probe); sandbox_calls(&probe, SANDBOX_NET); _exit((int)probe.held); }
  assert_int_equal(waitpid(p, &kinds, 0), p);
  kinds = WEXITSTATUS(kinds);
  print_message("this kernel: files %d, calls %d\n", kinds & 1, kinds >> 1);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if ((rows[i].files && !(kinds & SANDBOX_FILES) && rows[i].want) || (rows[i].calls && !(kinds & SANDBOX_CALLS) && rows[i].want)) continue;
    int got = in_child(rows[i].f, dir, &s);
    if (got != rows[i].want) fail_msg("%s: %d, not %d", rows[i].tries, got, rows[i].want);
  }
  s.held = SANDBOX_FILES;
  path_of(path, sizeof path, dir, "rw/new/folder");
  assert_false(sandbox_reaches(&s, path, true));
  path_of(path, sizeof path, dir, "rw/new");
  assert_true(sandbox_reaches(&s, path, true));
  path_of(path, sizeof path, dir, "rwx");
  assert_false(sandbox_reaches(&s, path, true));
  path_of(path, sizeof path, dir, "ro");
  assert_false(sandbox_reaches(&s, path, true));
  assert_true(sandbox_reaches(&s, path, false));
  snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
  assert_int_equal(system(cmd), 0);
}

/* A call more is a decision: its reason stands in syscalls.def. */
static void test_the_list_stays_short(void **state) {
  (void)state;
  unsigned n = 0, points = 0;
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    n += calls[i].part == ALL || calls[i].part == NET;
    points += calls[i].nr == SYS_kill;
    for (size_t k = 0; k < i; k++) assert_int_not_equal(calls[i].nr, calls[k].nr);
    for (size_t k = 0; k < sizeof fatal / sizeof *fatal; k++) assert_int_not_equal(calls[i].nr, fatal[k]);
  }
  print_message("%u system calls\n", n - points);
  assert_true(n - points <= 70);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_the_list_stays_short)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
