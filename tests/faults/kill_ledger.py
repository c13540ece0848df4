"""kill -9 of the daemon at random moments while senders send and a sink takes; a ledger outside of it says what was promised.

Promises (README): an acknowledged message is never lost; each attempt at an effect carries the same idempotency key; at most what was in flight at a
kill is delivered twice; the same message never makes two runs; messages of one patient arrive in order.

  kill_ledger.py [--kills 100] [--senders 8] [--seed 1] [--ready SECONDS] [--points]

With --points (a build with the address sanitizer) the daemon kills itself, at a drawn pass of each named place of the sources in turn (runtime/points.h). When there were enough kills
for it, a place where it never died is a failure. With --ready it is one too when the daemon is ready again only after so long: a figure of a machine that has nothing else to do.
"""
import argparse
import collections
import json
import glob
import os
import random
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'integration'))
from rig import Daemon, HttpSink, Mllp, ack_code, adt, wait_for

PROGRAM = '''hdw 1
setting crm_base: url
connection crm = rest(base: crm_base, timeout: 5 seconds)
listener adt = mllp(port: 2575)
workflow admit
  on msg = adt.message(types: ['ADT^A01'])
  order by msg.PID-3.idNumber.first()
{
  step a = crm.post('/step', body: { id: msg.MSH-10, mrn: msg.PID-3.idNumber.first() })
  step b = crm.post('/again', body: { id: msg.MSH-10, from: a.id })
  send crm.post('/send', body: { id: msg.MSH-10 })
}
'''


def points():
    """Every named place."""
    found = set()
    for path in glob.glob(os.path.join(os.path.dirname(__file__), '..', '..', 'runtime', '*.c')):
        with open(path, encoding='utf-8') as f:
            found |= {x for x in re.findall(r'HDW_POINT\("([^"]+)"\)', f.read()) if not x.startswith(('hold.', 'folder.'))}  # hold.*: of commands, not of serve; folder.*: tests/sim
    return sorted(found)


def seldom(point):
    return point.startswith(('store.', 'retain.')) or 'roll' in point or point == 'log.before_cut'


def tear(d):
    """The log ends as after a power cut: behind the last record stands something that was never acknowledged."""
    folder = os.path.join(d.config['data'], 'log')
    with open(os.path.join(folder, max(f for f in os.listdir(folder) if f.endswith('.seg'))), 'r+b') as f:
        text = f.read()
        f.seek((len(text.rstrip(b'\0')) + 15) // 8 * 8)
        f.write(b'\x01\x01\x00\x00torn')


def waited(p):
    """Seconds in which the daemon was ready to run and had no processor: not its fault."""
    try:
        with open(f'/proc/{p.pid}/schedstat') as f:
            return int(f.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def die(d, rnd, point, seen):
    """Waits until the daemon has died at the point; kills it when it does not come there."""
    try:
        d.p.wait(timeout=(3 if seldom(point) else 0.5) + 1.5 * rnd.random())
        seen[point] += 1
    except subprocess.TimeoutExpired:
        d.kill()


class Sender(threading.Thread):
    """Sends its messages one after the other; without an answer the same bytes again, as senders do."""

    def __init__(self, daemon, n, stop):
        super().__init__(daemon=True)
        self.d, self.n, self.stop_, self.acked, self.sent, self.bad = daemon, n, stop, [], [], []

    def run(self):
        i, conn = 0, None
        while not self.stop_.is_set():
            msg = adt(f'S{self.n}-{i}', mrn=f'P{self.n}-{i % 4}')
            if len(self.sent) == i:
                self.sent.append(f'S{self.n}-{i}')
            try:
                conn = conn or Mllp(self.d.ports['adt'])
                code = ack_code(conn.ask(msg))
            except (OSError, ConnectionError, KeyError):
                if conn:
                    conn.close()
                conn = None
                time.sleep(0.01)
                continue
            time.sleep(0.004)
            if code == 'AA':
                self.acked.append(f'S{self.n}-{i}')
                i += 1
            else:
                self.bad.append(code)
                time.sleep(0.02)
        if conn:
            conn.close()


def check(sink, senders, kills):
    problems = []
    acked = [x for s in senders for x in s.acked]
    keys, times = collections.defaultdict(lambda: collections.defaultdict(set)), collections.defaultdict(collections.Counter)
    order = collections.defaultdict(list)
    for r in sink.requests:
        body = json.loads(r['body'])
        keys[r['path']][body['id']].add(r['key'])
        times[r['path']][body['id']] += 1
        if r['path'] == '/step' and times[r['path']][body['id']] == 1:
            order[body['mrn']].append(int(body['id'].split('-')[1]))
    for path in ('/step', '/again', '/send'):
        lost = [x for x in acked if x not in keys[path]]
        if lost:
            problems.append(f'{path}: {len(lost)} acknowledged messages lost, e.g. {lost[:3]}')
        many = [x for x, k in keys[path].items() if len(k) > 1]
        if many:
            problems.append(f'{path}: {len(many)} messages under more than one key, e.g. {many[:3]}')
    doubles = sum(n - 1 for c in times.values() for n in c.values())
    bound = (kills + 1) * (4 * len(senders) + 16)  # a step for each lane, and in_flight deliveries
    if doubles > bound:
        problems.append(f'{doubles} duplicates, at most {bound} were in flight')
    wrong = [m for m, ids in order.items() if ids != sorted(ids)]
    if wrong:
        problems.append(f'{len(wrong)} patients out of order, e.g. {wrong[0]}: {order[wrong[0]][:20]}')
    return acked, doubles, problems


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--kills', type=int, default=100)
    ap.add_argument('--senders', type=int, default=8)
    ap.add_argument('--seed', type=int, default=int(time.time()))
    ap.add_argument('--ready', type=float, metavar='SECONDS', help='wanted at the most, without the time in which the daemon had no processor')
    ap.add_argument('--points', action='store_true')
    a = ap.parse_args()
    rnd = random.Random(a.seed)
    sink = HttpSink()
    d = Daemon(PROGRAM, {'settings': {'crm_base': f'http://127.0.0.1:{sink.port}'}, 'listeners': {'adt': {'port': 0}},
                         'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}}})
    began = time.monotonic()
    stop, ready = threading.Event(), []
    places, seen = points() if a.points else [], collections.Counter()
    if places:
        # Rolls, and segments that are written anew because what they hold is too much.
        d.config.update(log_segment_bytes=65536, retain_inputs_bytes=65536, retain_values_bytes=65536, retain_every_ms=100)
    try:
        d.start()
        d.config['listeners']['adt']['port'] = d.ports['adt']  # the same port again, so that senders find it
        senders = [Sender(d, n, stop) for n in range(a.senders)]
        for s in senders:
            s.start()
        for i in range(a.kills):
            if places and i:
                die(d, rnd, places[(i - 1 + a.seed) % len(places)], seen)
            else:
                time.sleep(rnd.choice([0.02, 0.1, 0.3]) * rnd.random() * 2)
                d.kill()
            t = time.monotonic()
            if places:
                point = places[(i + a.seed) % len(places)]
                passes = [1] if point == 'log.before_cut' else [1, 2, 3] if seldom(point) or not seen[point] else [1, 2, 5, 20, 60]
                os.environ['HDW_CRASH_AT'] = f'{point}:{rnd.choice(passes)}'
                if point == 'log.before_cut':
                    tear(d)
            try:
                d.start()
                ready.append(time.monotonic() - t - waited(d.p))
            except AssertionError:
                if d.p.wait(timeout=20) != -9:  # it died at its place before it was ready
                    raise
                seen[point] += 1
                os.environ.pop('HDW_CRASH_AT', None)
                d.start()
        os.environ.pop('HDW_CRASH_AT', None)
        if places and d.p.poll() is not None:
            d.start()
        time.sleep(0.5)
        stop.set()
        for s in senders:
            s.join(30)
        d.kill()
        d.start()
        acked = {x for s in senders for x in s.acked}
        waiting = len(acked)
        while waiting:  # however much there is: only a standstill is a failure
            before = len(sink.requests)
            wait_for(lambda: len(sink.requests) > before or acked <= {json.loads(r['body'])['id'] for r in sink.to('/send')}, 30, 'further delivery')
            time.sleep(1)
            waiting = len(acked - {json.loads(r['body'])['id'] for r in sink.to('/send')})
        wait_for(lambda: not d.ask('status')['runs'].get('queued') and not d.ask('status')['deliveries'].get('pending'), 60, 'an empty queue')
        acked, doubles, problems = check(sink, senders, a.kills)
        inputs = sum(d.ask('status')['inputs'].values())
        sent = sum(len(s.sent) for s in senders)
        if inputs > sent:
            problems.append(f'{inputs} inputs from {sent} messages: a resend became a second input')
        dead = d.ask('dead')
        if dead:
            problems.append(f'{len(dead)} dead letters, e.g. {dead[0]}')
        missed = [x for x in places if not seen[x]]
        if missed and a.kills >= 4 * len(places):
            problems.append(f'never died at {", ".join(missed)}')
        ready.sort()
        if a.ready and ready[-1] > a.ready:
            problems.append(f'ready only after {ready[-1] * 1000:.0f} ms, without the time in which it had no processor')
        if places:
            print(f'died at {len([x for x in places if seen[x]])} of {len(places)} places: {({x: seen[x] for x in places})}')
        print(f'seed {a.seed}: {a.kills} kills, {len(acked)} acknowledged, {len(sink.requests)} requests, {doubles} duplicates, '
              f'ready after p50 {ready[len(ready) // 2] * 1000:.0f} ms, max {ready[-1] * 1000:.0f} ms, {time.monotonic() - began:.0f} s')
        for p in problems:
            print('FAILED:', p)
        return 1 if problems else 0
    except AssertionError as e:
        print(f'seed {a.seed}: FAILED: {e}')
        print('\n'.join(d.log[-30:]))
        return 1
    finally:
        stop.set()
        d.close()
        sink.close()


if __name__ == '__main__':
    sys.exit(main())
