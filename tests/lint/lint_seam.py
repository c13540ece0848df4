#!/usr/bin/env python3
"""Only the files behind the seam may reach time, random numbers, sockets, files, memory, threads, the environment or the process: looks at what every
object imports (nm -u) and compares with seam.txt. Also: hdwvm holds nothing of compiler and grammar, hdwc nothing of the network."""
import glob
import os
import subprocess
import sys
from lintlib import LAYERS, ROOT, Report

FAMILIES = {
    'time': 'clock_gettime clock_settime time gettimeofday localtime localtime_r gmtime gmtime_r mktime nanosleep usleep sleep clock_nanosleep timerfd_create',
    'random': 'rand rand_r srand random srandom drand48 getrandom getentropy RAND_bytes RAND_priv_bytes arc4random',
    'socket': 'socket connect accept accept4 bind listen send sendto sendmsg recv recvfrom recvmsg setsockopt getsockopt getaddrinfo gethostbyname getsockname '
              'getpeername socketpair shutdown poll select epoll_create1 epoll_ctl epoll_wait',
    'file': 'open openat creat fopen fdopen freopen fread fwrite fclose read write pread pwrite readv writev fsync fdatasync sync rename renameat unlink unlinkat mkdir '
            'mkdirat opendir fdopendir readdir closedir stat lstat fstat fstatat ftruncate truncate mmap munmap close fallocate posix_fallocate access realpath '
            'statvfs fstatvfs dup dup2 pipe pipe2 fcntl ioctl tmpfile mkstemp',
    'memory': 'malloc calloc realloc free reallocarray strdup strndup asprintf vasprintf posix_memalign aligned_alloc memalign _Znwm _Znam _ZdlPv _ZdlPvm _ZdaPv',
    'environment': 'getenv secure_getenv setenv unsetenv putenv',
    'process': 'exit _exit _Exit quick_exit fork vfork execve execv execvp execl posix_spawn system popen kill raise signal sigaction setjmp _setjmp longjmp dlopen',
    'thread': 'pthread_create pthread_mutex_lock pthread_mutex_unlock pthread_cond_wait pthread_cond_signal pthread_join thrd_create',
    'print': 'printf __printf_chk fprintf __fprintf_chk vfprintf vprintf puts putchar fputs fputc perror stdout stderr',
}
FAMILY = {s: f for f, names in FAMILIES.items() for s in names.split()}
FAMILY.update({s + '64': f for s, f in FAMILY.items() if f == 'file'})


def nm(option, path):
    out = subprocess.run(['nm', option, path], capture_output=True, text=True).stdout
    return {w.split()[-1].split('@')[0] for w in out.splitlines() if w.split()}


def allowed():
    table = {}
    for n, line in enumerate(open(os.path.join(ROOT, 'tests/lint/seam.txt')), 1):
        if line.strip() and not line.startswith('#'):
            name, families, reason = (x.strip() for x in line.split('|'))
            assert reason, f'seam.txt:{n}: no reason'
            table[name] = set(families.split())
    return table


def defined(build, layer):
    return nm('--defined-only', f'{build}/{layer}/libhdw_{layer}.a')


report = Report()
build = sys.argv[1] if len(sys.argv) > 1 else 'build/debug'
table, used = allowed(), {}
for layer in LAYERS:
    objects = glob.glob(f'{build}/{layer}/CMakeFiles/hdw_{layer}.dir/**/*.o', recursive=True)
    if not objects:
        report.fail(layer, f'no objects in {build}: build first')
    for o in sorted(objects):
        report.look()
        inside = o.split('.dir/')[1][:-2]
        name = f'{layer}/{os.path.basename(inside)}'
        if not os.path.exists(os.path.join(ROOT, name)) and not inside.startswith('/') and not os.path.basename(inside).startswith(('hdw.', 'http_head')):
            continue  # left over from a file that was removed
        for symbol in sorted(nm('-u', o)):
            family = FAMILY.get(symbol)
            if family and family not in table.get(name, ()):
                report.fail(name, f'imports {symbol} ({family}), which only files of tests/lint/seam.txt may')
            elif family:
                used.setdefault(name, set()).add(family)
for name, families in table.items():
    for family in sorted(families - used.get(name, set())):
        report.fail('tests/lint/seam.txt', f'{name} has {family} without need')
programs = {'hdwvm': ('compiler', 'grammar'), 'hdwc': ()}
for program, layers in programs.items():
    path = f'{build}/{program}'
    if not os.path.exists(path):
        continue
    report.look()
    have = nm('--defined-only', path)
    for layer in layers:
        both = {s for s in have & defined(build, layer) if not s.startswith(('__', '_', '.', 'DW.', 'std::'))} - set.union(*(defined(build, x) for x in ('vm', 'stdlib', 'runtime')))
        if both:
            report.fail(program, f'holds code of {layer}: {", ".join(sorted(both)[:5])}')
if os.path.exists(f'{build}/hdwc'):
    needed = subprocess.run(['readelf', '-d', f'{build}/hdwc'], capture_output=True, text=True).stdout
    for lib in ('libcurl', 'libevent'):
        if lib in needed:
            report.fail('hdwc', f'is linked with {lib}: the compiler has no network')
report.end()
