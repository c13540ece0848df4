"""Every write, sync, open, rename ... that fails, once and from then on, in twelve scenarios of the real daemon and its tools (iofault.c makes them fail).

  iofaults.py [--points N] [--seed N] [--scenario NAME] [--jobs N]

Each scenario is first run without a fault to count its calls; then once for each call and kind of failure. Whatever failed: nobody dies of a signal, a message that was acknowledged
is delivered after the next start, a failed write or sync of the log ends the daemon with code 75, the state equals the log (hdwvm check), what is only read stays as it was."""
import argparse
import concurrent.futures
import errno
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from disk import Place, preload
from rig import HDWVM, SLOW, wait_for

T_OPEN, T_WRITE, T_SYNC, T_RENAME, T_ACK, T_FAULT = 1, 4, 6, 10, 13, 14  # iotrace.h
# class -> (errno, 0 = a short write), in the order of iofault.c
KINDS = {'open': (errno.EIO, errno.EMFILE, errno.ENOSPC), 'write': (errno.EIO, errno.ENOSPC, 0), 'sync': (errno.EIO, errno.ENOSPC), 'rename': (errno.EIO, errno.ENOSPC),
         'unlink': (errno.EIO,), 'trunc': (errno.EIO, errno.ENOSPC), 'mkdir': (errno.EIO, errno.ENOSPC), 'dir': (errno.EIO,), 'read': (errno.EIO,), 'map': (errno.ENOMEM,)}


class Trial(Place):
    """A scenario, with or without a fault."""

    def __init__(self, point, **config):
        super().__init__(**config)
        self.codes, self.problems, self.said = [], [], ''
        self.counted = os.path.join(self.d.dir, 'calls')
        self.reads = bool(point) and point.split(':')[0] in ('read', 'open')
        self.trace = os.path.join(self.d.dir, 'trace')
        self.watch = preload(HDW_IO_DIR=self.data, **({'HDW_IO_FAULT': point, 'HDW_IO_TRACE': self.trace} if point else {'HDW_IO_COUNT': self.counted}))

    def counts(self):
        with open(self.counted, encoding='ascii') as f:
            return {k: int(n) for k, n in re.findall(r'(\w+) (\d+)', f.readline())}

    def begin(self):
        """Starts the daemon; it may refuse to."""
        try:
            self.d.start()
            return True
        except AssertionError:
            self.ended(self.d.p.wait(timeout=20 * SLOW))
            return False

    def ended(self, code):
        if code < 0 and code not in (-signal.SIGTERM,):
            self.problems.append(f'ended by signal {-code}')
        self.codes.append(code)

    def end(self):
        """Stops it, if it has not ended by itself."""
        if self.d.p.poll() is None:
            self.d.p.terminate()
        try:
            self.ended(self.d.p.wait(timeout=15 * SLOW))
        except subprocess.TimeoutExpired:
            self.problems.append('does not end')
            self.d.kill()

    def serve(self, *work):
        """One watched life."""
        self.d.env = self.watch
        if self.begin():
            for w in work:
                try:
                    w()
                except AssertionError as e:
                    if self.d.p.poll() is None and 'FAULT' not in self.watch:
                        self.said = str(e)
            self.end()
        self.d.env = None

    def final(self):
        """Whoever was told AA had his message in a file of the log that was synced before, and never retried."""
        waiting, safe, failed, path = {}, b'', set(), {}
        if not os.path.exists(self.trace):
            return
        with open(self.trace, 'rb') as f:
            while len(head := f.read(24)) == 24:
                op, file, _, n = struct.unpack('<B3xIQI4x', head)
                body = f.read(n)
                if op == T_OPEN:
                    path[file] = body.rstrip(b'\0')
                elif op == T_RENAME:
                    old, new = body.rstrip(b'\0').split(b'\0')
                    path = {k: new if v == old else v for k, v in path.items()}
                elif op == T_WRITE:
                    waiting[file] = waiting.get(file, b'') + body
                elif op == T_SYNC and file not in failed:
                    safe += waiting.pop(file, b'')
                elif op == T_FAULT and list(KINDS)[file] == 'sync':
                    failed |= {k for k, name in path.items() if name == body.rstrip(b'\0')}  # a sync that comes back later proves nothing
                elif op == T_ACK and (m := re.search(rb'MSA\|[AC]A\|([^|\r]+)', body)) and m[1] not in safe:
                    self.problems.append(f'{m[1].decode()} was acknowledged before it was safe')
                    return

    def run(self, *args):
        """A watched tool."""
        r = self.tool(*args, env=self.watch)
        self.said += r.stdout + r.stderr
        self.ended(r.returncode)
        return r.returncode

    def healthy(self):
        """Everything is as it was promised, with a disk that works again."""
        self.d.start()
        acked = set(self.acked)
        mine = lambda path: {re.search(rb'"id":"([^"]*)"', r['body'])[1].decode() for r in self.sink.to(path)}
        try:
            wait_for(lambda: len(acked - mine('/send')) <= len(self.d.ask('dead')), 20, 'delivery of everything acknowledged')
        except AssertionError as e:
            self.problems.append(f'{e}: {sorted(acked - mine("/send"))[:3]}')
        dead = self.d.ask('dead')
        if [x for x in dead if x['subject'] != 'run' or not self.reads]:  # a run whose own record cannot be read ends, and is seen
            self.problems.append(f'dead letters, e.g. {dead[0]}')
        keys = {}
        for r in self.sink.to('/send'):
            keys.setdefault(re.search(rb'"id":"([^"]*)"', r['body'])[1], set()).add(r['key'])
        if [k for k in keys.values() if len(k) > 1]:
            self.problems.append('a delivery has two keys')
        self.ended(self.d.stop())
        self.good(self.data)

    def good(self, folder):
        r = self.tool('check', '--data', folder)
        if r.returncode:
            self.problems.append(f'hdwvm check of {os.path.basename(folder)}: {(r.stdout + r.stderr).strip()[-200:]}')


# ---- the scenarios -----------------------------------------------------------------------------------------------------------

def fresh(t):
    t.serve(lambda: t.send(4, 'A', 2))
    t.healthy()


def restart(t):
    t.d.start()
    t.send(4, 'A', 2)
    t.d.kill()
    t.serve(lambda: t.send(3, 'B', 2))
    t.healthy()


def roll(t):
    t.serve(lambda: t.send(5, 'A', 2, 20000))
    t.healthy()


def retention(t):
    t.d.config.update(retain_inputs_bytes=1, retain_values_bytes=1, retain_runs_bytes=1, retain_every_ms=100)
    t.serve(lambda: t.send(6, 'A', 2, 20000), lambda: time.sleep(0.5), lambda: t.send(2, 'B'))
    t.healthy()


def rebuild(t):
    t.d.start()
    t.send(4, 'A', 2)
    t.d.kill()
    os.unlink(os.path.join(t.data, 'state.mdb'))
    t.serve(lambda: t.send(2, 'B'))
    t.healthy()


def operate(t):
    def operator():
        for words in (('pause', 'sink', 'crm'), ('resume', 'sink', 'crm'), ('deploy', 'app.hdwb')):
            t.tool(*words, '--config', 'hdw.json')
            t.send(1, words[0])
        t.d.p.send_signal(signal.SIGHUP)
        t.send(1, 'reloaded')
    t.serve(operator)
    t.healthy()


def retries(t):
    t.sink.answer = lambda r: (503, {}, {}) if len(t.sink.requests) % 3 == 1 else (201, {'id': 1}, {})
    t.serve(lambda: t.send(3, 'A', 2), lambda: time.sleep(0.3))
    t.sink.answer = lambda r: (201, {'id': 1}, {})
    t.healthy()


def with_log(t):
    t.d.start()
    t.send(4, 'A', 2, 12000)
    t.settled()
    t.ended(t.d.stop())


def beside(t, folder):
    """The tool's own folder is watched instead of the daemon's."""
    t.watch['HDW_IO_DIR'] = folder
    return folder


def backup(t):
    to = beside(t, os.path.join(t.d.dir, 'copy'))
    t.d.start()
    t.send(4, 'A', 2, 12000)
    if t.run('backup', '--data', t.data, '--to', to) == 0:
        t.good(to)
    if t.tool('backup', '--data', t.data, '--to', to).returncode:
        t.problems.append('a further backup into the same folder fails')
    else:
        t.good(to)
    t.ended(t.d.stop())
    t.healthy()


def restore(t):
    with_log(t)
    copy, to = os.path.join(t.d.dir, 'copy'), beside(t, os.path.join(t.d.dir, 'restored'))
    t.tool('backup', '--data', t.data, '--to', copy)
    if t.run('restore', '--from', copy, '--data', to) == 0:
        t.good(to)
    shutil.rmtree(to, ignore_errors=True)
    if t.tool('restore', '--from', copy, '--data', to).returncode:
        t.problems.append('restoring again fails')
    t.good(copy)


def compact(t):
    with_log(t)
    t.run('compact', '--data', t.data)
    t.healthy()


def check(t):
    with_log(t)
    t.run('check', '--data', t.data)
    t.healthy()


def follow(t):
    to = beside(t, os.path.join(t.d.dir, 'standby'))
    t.d.start()
    t.send(3, 'A', 2, 12000)
    for env in (t.watch, None):
        f = subprocess.Popen([HDWVM, 'follow', '--data', to, '--from', t.data], cwd=t.d.dir, stderr=subprocess.PIPE, text=True, env=env)
        lines = []
        reader = threading.Thread(target=lambda p=f, got=lines: got.extend(p.stderr), daemon=True)
        reader.start()
        try:
            wait_for(lambda p=f, got=lines: p.poll() is not None or any('in step' in x for x in list(got)), 10 if env is None else 4, 'the standby in step')
        except AssertionError as e:
            if env is None:
                t.problems.append(f'{e}: {"".join(lines)[-300:]}')
        if f.poll() is None:
            f.terminate()
        t.ended(f.wait(timeout=10 * SLOW))
        reader.join(5)
        f.stderr.close()
        if env is None and t.codes[-1]:
            t.problems.append(f'following again ends with {t.codes[-1]}: {"".join(lines)[-300:]}')
    t.ended(t.d.stop())
    t.good(to)


SCENARIOS = {f.__name__: f for f in (fresh, restart, roll, retention, rebuild, operate, retries, backup, restore, compact, check, follow)}


# ---- trials -------------------------------------------------------------------------------------------------------------------

def trial(name, point):
    """Returns (counts or None, codes, problems)."""
    t = Trial(point)
    try:
        SCENARIOS[name](t)
        t.final()
        if any('AddressSanitizer' in x or 'runtime error' in x for x in t.d.log + [t.said]):
            t.problems.append('a sanitizer spoke')
        return (None if point else t.counts()), t.codes, t.problems
    except (AssertionError, subprocess.TimeoutExpired, OSError) as e:
        return (None if point else t.counts()), t.codes, t.problems + [f'{type(e).__name__}: {str(e)[-400:]}']
    finally:
        t.close()


def points(counts):
    """Every call, every way of failing: class:nth:errno:sticky."""
    return [f'{k}:{n}:{e}:{sticky}' for k, kinds in KINDS.items() for n in range(1, counts.get(k, 0) + 1) for e in kinds for sticky in ((0,) if e == 0 else (0, 1))]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--points', type=int, default=0, help='so many, drawn; 0 = all')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--scenario')
    p.add_argument('--point', help='one alone, as a failure names it')
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument('--done', help='file in which finished points are noted: a later run goes on there')
    a = p.parse_args()
    names = a.scenario.split(',') if a.scenario else list(SCENARIOS)
    bad, todo, codes = [], [], {}
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        if not a.point:
            for name, (counts, _, problems) in zip(names, pool.map(lambda n: trial(n, None), names)):
                bad += [f'{name} without a fault: {x}' for x in problems]
                todo += [(name, x) for x in points(counts)]
        else:
            todo = [(names[0], a.point)]
        every = len(todo)
        if a.points and a.points < every:
            todo = sorted(random.Random(a.seed).sample(todo, a.points))
        before = set()
        if a.done and os.path.exists(a.done):
            with open(a.done, encoding='ascii') as f:
                before = set(f.read().split('\n'))
        todo = [x for x in todo if f'{x[0]} {x[1]}' not in before]
        for (name, point), (_, ends, problems) in zip(todo, pool.map(lambda x: trial(*x), todo)):
            for c in ends:
                codes[c] = codes.get(c, 0) + 1
            for x in problems:
                bad.append(f'{name} {point}: {x}')
                print('FAILED:', bad[-1], flush=True)
            if a.done and not problems:
                with open(a.done, 'a', encoding='ascii') as f:
                    f.write(f'{name} {point}\n')
    for x in bad[:3] if not todo else []:
        print('FAILED:', x)
    print(f'iofaults: {len(todo)} of {every} points of {len(names)} scenarios{f", {len(before)} before" if before else ""}, ended with {dict(sorted(codes.items()))}, {len(bad)} violations')
    return 1 if bad or not (todo or before) else 0


if __name__ == '__main__':
    sys.exit(main())
