/* hdwvm_sandbox.h - what the kernel holds the daemon to, whatever happens inside of it (seccomp(2), landlock(7)).
 *
 * Files: before the store is opened, the process gives up every path but those that its configuration names: data folder, folders of sinks and the folder of the
 * admin socket to write; the folders of hdw.json, modules, secrets and certificates, and the system's own (/etc, /usr, /lib, /proc, /sys, /dev, /run) to read. Nothing can
 * be executed. System calls: once everything listens, only those of syscalls.def remain. execve, ptrace, mount, bpf, io_uring and their kin end the process, the others
 * fail with EPERM; memory cannot be writable and executable at once, sockets are of the families unix, IPv4, IPv6 and netlink (routes, for names).
 *
 * Neither can be undone, and both hold for threads that are begun later. A kernel without them leaves the daemon at a lower level, which is said in the event `sandbox`,
 * in the metric hdw_sandbox and by `hdwvm status`; the option `sandbox` demands both, or neither. */
#ifndef HDW_HDWVM_SANDBOX_H
#define HDW_HDWVM_SANDBOX_H
#include <stdbool.h>

enum { SANDBOX_FILES = 1, SANDBOX_CALLS = 2, SANDBOX_PATHS = 160 };

typedef struct sandbox {
  unsigned held;                      /* SANDBOX_FILES and SANDBOX_CALLS */
  int landlock_abi;                   /* what the kernel has; 0: none */
  unsigned calls;                     /* how many system calls remain */
  const char *why_files, *why_calls;  /* why it does not hold; NULL when it does */
  unsigned n;
  struct { char path[1024]; bool write; } paths[SANDBOX_PATHS];
} sandbox;

/* Notes a folder that stays reachable, or one file; sandbox_file: for a file (that may not exist yet), its folder. Empty and "-" are nothing. False: no room, or the path is too long. */
bool sandbox_folder(sandbox *s, const char *path, bool write);
bool sandbox_file(sandbox *s, const char *path, bool write);
/* Gives up all other paths. False: this kernel does not do that, why_files says why. */
bool sandbox_files(sandbox *s);
/* Gives up system calls, for every thread, but for those of syscalls.def that are for all and for these parts. */
enum { SANDBOX_NET = 1, SANDBOX_TOOL = 2 };
bool sandbox_calls(sandbox *s, unsigned parts);
/* Every descriptor but the first three is closed by an exec: libraries open files without saying so (LMDB). */
void sandbox_descriptors(void);
/* Whether a folder lies within what was noted: true before sandbox_files. */
bool sandbox_reaches(const sandbox *s, const char *path, bool write);
#endif
