"""Disks that fail: the real daemon and the real tools on a folder that libiofault.so watches (iofault.c).

  disk.py powercut [--images N] [--seed N] [--scenario NAME]    recordings of the scenarios, then images of the disk after a power cut (powercut.c)
  disk.py damage [--images N] [--seed N]                        drawn damage of the data folder (damage.c)

Programs come from HDW_BIN, libiofault.so and powercut from HDW_BIN/tests or --tools."""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
from rig import BIN, HDWVM, Daemon, HttpSink, Mllp, ack_code, adt, wait_for

PROGRAM = '''hdw 1
setting crm_base: url
connection crm = rest(base: crm_base, timeout: 5 seconds)
listener adt = mllp(port: 2575)
workflow admit
  on msg = adt.message(types: ['ADT^A01'])
  order by msg.PID-3.idNumber.first()
{
  step a = crm.post('/step', body: { id: msg.MSH-10, mrn: msg.PID-3.idNumber.first() })
  send crm.post('/send', body: { id: msg.MSH-10 })
}
'''
BROKEN = os.environ.get('HDW_BREAK')  # a canary (tests/canaries.txt): disk.unsynced, disk.unseen, or one of the daemon's; what is found then is not kept
MEMORY = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None


def tools():
    return os.path.join(BIN, 'tests')


def preload(**more):
    """The environment in which a program's files are watched. The sanitizer's library must come first."""
    libs = re.findall(r'(/\S*libasan\S*)', subprocess.run(['ldd', HDWVM], capture_output=True, text=True).stdout)
    return dict(os.environ, LD_PRELOAD=' '.join(libs + [os.path.join(os.path.abspath(tools()), 'libiofault.so')]), **more)


class Place:
    """A daemon with a sink, watched. Several lives; each may have an environment of its own."""

    def __init__(self, **config):
        self.sink = HttpSink()
        self.d = Daemon(PROGRAM, dict({'settings': {'crm_base': f'http://127.0.0.1:{self.sink.port}'}, 'listeners': {'adt': {'port': 0}},
                                       'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}}, 'log_segment_bytes': 65536}, **config))
        self.data = self.d.config['data']
        self.acked = []

    def send(self, n, prefix, senders=1, size=0):
        """n messages of each sender; the acknowledged ones are added to self.acked."""
        def one(k):
            try:
                c = Mllp(self.d.ports['adt'])
                for i in range(n):
                    name = f'{prefix}{k}-{i}'
                    if ack_code(c.ask(adt(name, mrn=f'P{k}-{i % 3}', extra='\rNTE|1||' + 'x' * size if size else ''))) in ('AA', 'CA'):
                        self.acked.append(name)
                c.close()
            except (OSError, ConnectionError, StopIteration):
                pass
        threads = [threading.Thread(target=one, args=(k,)) for k in range(senders)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def settled(self):
        wait_for(lambda: self.d.ask('status')['deliveries'].get('delivered', 0) >= len(self.acked), 30, 'delivery of everything')

    def tool(self, *args, env=None):
        return subprocess.run([HDWVM, *map(str, args)], cwd=self.d.dir, capture_output=True, text=True, timeout=60, env=env)

    def close(self):
        self.d.close()
        self.sink.close()


# ---- recordings: what happens, and what must hold afterwards ---------------------------------------------------------------

def fresh(p, watch):
    """From nothing: the folders are made, messages of several senders, segments roll, a clean stop."""
    p.d.env = watch
    p.d.start()
    p.send(22, 'A', senders=4, size=500)
    p.d.stop()


def killed(p, watch):
    """What a kill left is taken up; then messages while the state is committed, and a kill again."""
    p.d.start()
    p.send(12, 'A', senders=3)
    p.d.kill()
    yield
    p.d.env = watch
    p.d.start()
    p.send(20, 'B', senders=4, size=200)
    p.settled()
    p.d.kill()


def retention(p, watch):
    """Segments are written anew and dropped while messages come."""
    p.d.config.update(retain_inputs_bytes=1, retain_values_bytes=1, retain_runs_bytes=1, retain_every_ms=100)
    p.d.env = watch
    p.d.start()
    for k in range(4):
        p.send(12, f'A{k}', senders=4, size=900)
        time.sleep(0.15)
    p.d.stop()


def deployment(p, watch):
    """A stop, a start with another module, a rebuild of the state, again messages."""
    p.d.start()
    p.send(5, 'A', senders=2)
    p.settled()
    p.d.stop()
    os.unlink(os.path.join(p.data, 'state.mdb'))
    yield
    p.d.env = watch
    p.d.start()
    p.send(10, 'B', senders=2)
    p.tool('pause', 'sink', 'crm', '--config', 'hdw.json')
    p.send(10, 'C', senders=2)
    p.tool('resume', 'sink', 'crm', '--config', 'hdw.json')
    p.settled()
    p.d.stop()


RECORDINGS = {'fresh': fresh, 'killed': killed, 'retention': retention, 'deployment': deployment}


def record(name, folder):
    """Runs a scenario watched. Returns (trace, base folder or '-', the data folder's path in it, whether retention ran, what went wrong)."""
    p = Place()
    trace, base = os.path.join(folder, name + '.trace'), '-'
    watch = preload(HDW_IO_DIR=p.data, HDW_IO_TRACE=trace)
    try:
        steps = RECORDINGS[name](p, watch)
        if steps:
            next(steps)
            base = os.path.join(folder, name + '.base')
            shutil.copytree(p.data, base, ignore=lambda d, names: [n for n in names if n.endswith('.sock')])
            for _ in steps:
                pass
        return trace, base, p.data, name == 'retention', []
    except AssertionError as e:
        return trace, base, p.data, name == 'retention', [str(e).splitlines()[0]]
    finally:
        p.close()


def images(args):
    trace, base, data, mode, out, seed, first, count = args
    cmd = [os.path.join(tools(), 'powercut'), trace, base, data, out, str(seed), str(first), str(count), mode]
    r = subprocess.run(cmd, capture_output=True, text=True, errors='replace', env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0'))
    said = re.search(r'(\d+) images, (\d+) events, (\d+) acknowledgements in the trace, (\d+) looked for, (\d+) violations', r.stdout)
    lines = [x for x in r.stdout.splitlines() if x.startswith('image ')]
    if not said:
        lines.append(f'powercut ended with {r.returncode}: {" ".join((r.stderr.splitlines() or ["nothing said"])[-3:])} ({" ".join(cmd)})')
    return lines, (int(said[1]), int(said[4])) if said else (0, 0)


def powercut(a):
    """Images of every recording. Prints what was violated; the last line counts."""
    names = [a.scenario] if a.scenario else list(RECORDINGS)
    folder = tempfile.mkdtemp(prefix='hdw-cut-', dir=MEMORY)
    each, done, acks, bad, keep = max(1, a.images // len(names)), 0, 0, [], True
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for trace, base, data, retained, problems in pool.map(lambda n: record(n, folder), names):
                bad += [f'{os.path.basename(trace)[:-6]}: {x}' for x in problems]
                part = max(1, min(500, (each + 1) // 2))
                mode = ('retained' if retained else '') + (',nosync' if BROKEN == 'disk.unsynced' else '')
                jobs = [(trace, base, data, mode, os.path.join(folder, f'image{n}'), a.seed, n, min(part, each - n)) for n in range(0, each, part)]
                for lines, (n, m) in pool.map(images, jobs):
                    done, acks = done + n, acks + m
                    bad += [f'{os.path.basename(trace)[:-6]}: {x}' for x in lines]
        for x in bad[:20]:
            print('FAILED:', x)
        keep = bad and not BROKEN
        if keep:
            print(f'recordings are kept in {folder}')
        print(f'powercut: {done} images of {len(names)} recordings, seed {a.seed}, {acks} acknowledged messages looked for, {len(bad)} violations')
        return 1 if bad or done < each * len(names) or not acks else 0
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


# ---- damage -------------------------------------------------------------------------------------------------------------------

def damage(a):
    """Drawn damage of a folder in which something happened (damage.c)."""
    folder = tempfile.mkdtemp(prefix='hdw-damage-', dir=MEMORY)
    base, p = os.path.join(folder, 'base'), Place()
    try:
        p.d.start()
        p.send(15, 'A', senders=4, size=300)
        p.settled()
        p.d.stop()
        shutil.copy(os.path.join(p.data, 'state.mdb'), os.path.join(p.d.dir, 'older'))
        p.d.start()
        p.send(15, 'B', senders=4, size=300)
        p.settled()
        p.d.stop()
        shutil.copytree(p.data, base, ignore=lambda d, names: [n for n in names if n.endswith('.sock')])
        shutil.copy(os.path.join(p.d.dir, 'older'), os.path.join(base, 'state.mdb.old'))
    finally:
        p.close()
    half = (a.images + 1) // 2

    def part(n):
        cmd = [os.path.join(tools(), 'damage'), base, os.path.join(folder, f'out{n}'), str(a.seed), str(n * half), str(half)] + (['canary'] if BROKEN == 'disk.unseen' else [])
        return subprocess.run(cmd, capture_output=True, text=True, errors='replace', env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_abort=0'))
    bad, sums = [], [0] * 6
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for r in pool.map(part, range(2)):
            said = re.search(r'(\d+) damages: (\d+) right, (\d+) told, (\d+) ended by a signal, (\d+) states made again, (\d+) violations', r.stdout)
            bad += [x for x in r.stdout.splitlines() if x.startswith('damage ')] if said else [f'damage ended with {r.returncode}: {r.stderr[-300:]}']
            if bad:
                print(r.stdout[:4000])
            sums = [x + int(y) for x, y in zip(sums, said.groups())] if said else sums
    for x in bad[:20]:
        print('FAILED:', x)
    print(f'damage: {sums[0]} damages, seed {a.seed}: {sums[1]} without effect or made good at once, {sums[2]} told, {sums[3]} ended the reading child, {sums[4]} states made again from the log with the same hash, {len(bad)} violations')
    if bad and not BROKEN:
        print(f'the folder is kept in {folder}')
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if bad or sums[0] < a.images else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument('what', choices=('powercut', 'damage'))
    p.add_argument('--images', type=int, default=400)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--scenario')
    a = p.parse_args()
    sys.exit({'powercut': powercut, 'damage': damage}[a.what](a))


if __name__ == '__main__':
    main()
