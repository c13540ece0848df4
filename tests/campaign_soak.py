"""campaign.py soak --bin DIR [--seconds N] [--quick]

A daemon under mixed load for N seconds (180): MLLP senders, deliveries to an HTTP sink that fails one request in twenty, and peers that misbehave (garbage, half messages, connections
that say nothing). Once it is warm its memory must not grow by more than 1 MiB an hour, beyond what the measure's own noise allows, its descriptors not at all, and everything
acknowledged has to arrive."""
import os
import random
import socket
import sys
import threading
import time

PROGRAM = """hdw 1
listener adt = mllp(port: 2575)
connection crm = rest(retry: retry(10, from: 50 milliseconds, to: 1 second))
workflow w
  on msg = adt.message(types: ['ADT^A01'])
  order by msg.PID-3.1
{
  step got = crm.get("/patients/{msg.PID-3.1}") on error use { name: 'none' }
  send crm.put("/admits/{msg.MSH-10}", body: { id: msg.PID-3.1, name: got.name })
}
"""


def rss_kb(pid):
    return int(next(l.split()[1] for l in open(f'/proc/{pid}/status') if l.startswith('RssAnon')))


def slope(points):
    """Least squares: units of y per unit of x."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    den = sum((x - mx) ** 2 for x, _ in points)
    return sum((x - mx) * (y - my) for x, y in points) / den if den else 0.0


class Load:
    def __init__(self, rig, d, mllp):
        self.rig, self.d, self.mllp = rig, d, mllp
        self.end, self.acked, self.problems = False, 0, []
        self.lock = threading.Lock()

    def sender(self, who):
        m, n = self.rig.Mllp(self.d.ports['adt']), 0
        while not self.end:
            n += 1
            code = self.rig.ack_code(m.ask(self.rig.adt(f'{who}-{n}', mrn=f'p{(who * 7 + n) % 50}')))
            with self.lock:
                self.acked += code == 'AA'
                if code not in ('AA', 'AE'):
                    self.problems.append(f'acknowledged with {code}')
            time.sleep(0.005)
        m.close()

    def nuisance(self):
        r = random.Random(7)
        while not self.end:
            try:
                s = socket.create_connection(('127.0.0.1', self.d.ports['adt']), timeout=5)
                s.sendall(r.choice((b'', b'GET / HTTP/1.1\r\n\r\n', b'\x0bMSH|^~\\&|half', b'\x0b\x1c\r', bytes(r.randrange(256) for _ in range(400)))))
                time.sleep(r.choice((0, 0.05, 0.5)))
                s.close()
            except OSError:
                pass


def run(a, record):
    os.environ['HDW_BIN'] = os.path.abspath(a.bin)
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'integration'))
    import rig
    seconds = 20 if a.quick else a.seconds or 180
    sink = rig.HttpSink()
    sink.answer = lambda r: (503, {}, {}) if len(sink.requests) % 20 == 0 else (200, {'name': 'x'}, {})
    d = rig.Daemon(PROGRAM, {'listeners': {'adt': {'port': 0}}, 'log_level': 'error', 'connections': {'crm': {'base': f'http://127.0.0.1:{sink.port}', 'grant': {'networks': ['127.0.0.0/8']}}}})
    d.start()
    load = Load(rig, d, 4)
    threads = [threading.Thread(target=load.sender, args=(k,)) for k in range(4)] + [threading.Thread(target=load.nuisance)]
    for t in threads:
        t.start()
    began, points, fds = time.monotonic(), [], []
    try:
        while time.monotonic() - began < seconds:
            time.sleep(0.5)
            at = time.monotonic() - began
            if at > seconds / 3:
                points.append((at, rss_kb(d.p.pid)))
                fds.append(len(os.listdir(f'/proc/{d.p.pid}/fd')))
            sink.requests[:] = sink.requests[-1000:] if len(sink.requests) > 20000 else sink.requests
        load.end = True
        for t in threads:
            t.join()
        rig.wait_for(lambda: not any(d.ask('status')['deliveries'].get(k) for k in ('queued', 'sending', 'waiting')), seconds=60, what='an empty queue')
        status = d.ask('status')
    finally:
        load.end = True
        d.close()
        sink.close()
    third = len(points) // 3
    first, last = sum(y for _, y in points[:third]) / third, sum(y for _, y in points[-third:]) / third
    grown, per_hour, more = last - first, slope(points) * 3600 / 1024, fds[-1] - fds[0]
    dead = {k: status[k].get('dead', 0) for k in ('runs', 'deliveries')}
    ok = not load.problems and grown < 1024 and max(fds[-third:]) <= max(fds[:third]) + 8 and not any(dead.values()) and load.acked
    what = f'{seconds} s, {load.acked:,} messages acknowledged, one delivery in twenty refused, beside peers that misbehave'
    result = (f'RssAnon {first / 1024:.1f} MiB once warm, {last / 1024:.1f} at the end ({per_hour:+.1f} MiB an hour by least squares), descriptors {more:+d}, nothing dead' if ok else
              f'FAILED: RssAnon {first:.0f} to {last:.0f} KiB, descriptors {more:+d}, dead {dead}, {load.problems[:3]}')
    print(f'soak: {what}: {result}')
    if a.record:
        record('soak', what, result)
    print(f'{1 if ok else 0} passed, {0 if ok else 1} failed')
    return 0 if ok else 1
