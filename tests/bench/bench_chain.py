#!/usr/bin/env python3
"""Three chained FHIR calls in a run: a request comes, a Patient is read, its Coverages are searched, the Patient is read again, the answer leaves when the run has ended and is
stored. The server (fhirstub) and the load stand on one core, what is measured on the other. Peers: node with fetch, which stores nothing (row three), and a loop of the same calls
by libcurl with nothing around it (row calls). Rows steady and memory: a rate of requests, and what the run adds to the p99 of the same three calls made at the same rate by libcurl
alone, on the same core, round by round; with the data folder on the disk, where each run waits for two syncs, and in memory, where what is added is hdw's own. The quarter of
the rounds counts in which the hypervisor took least: it takes 4 ms at a time, which is more than what is measured. Row waiting: runs that wait for a slow server, and the memory they
take."""
import http.client
import json
import os
import re
import select
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from bench_ingest import anon_mb
from benchrig import end, finish, parser

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = '''hdw 1
listener web = http(port: 8080)
connection ehr = fhir()
payload Ask { id: string }
workflow three on a = web.post('/chain', schema: Ask) ack after run within 20 seconds else AE {
  step p = ehr.read(Patient, a.id)
  step found = ehr.search(Coverage, beneficiary: p.id, phi: false)
  step again = ehr.read(Patient, coalesce(p.id, a.id))
  reply({ family: again.name.family.first(), plans: found.match.where(status = 'active').count() })
}
workflow waits on a = web.post('/waits', schema: Ask) {
  step p = ehr.read(Patient, a.id)
  step found = ehr.search(Coverage, beneficiary: p.id)
  step again = ehr.read(Patient, coalesce(p.id, a.id))
}
'''


def pinned(core, *args):
    return ['taskset', '-c', str(core), *map(str, args)] if os.cpu_count() > 1 and shutil.which('taskset') else list(map(str, args))


def start(args, pattern, stream='stdout'):
    p = subprocess.Popen(args, bufsize=0, **{stream: subprocess.PIPE})
    out = getattr(p, stream)
    while select.select([out], [], [], 30)[0]:
        line = out.readline().decode()
        said = re.search(pattern, line)
        if said:
            return p, said[1]
        if not line:
            break
    raise SystemExit(f'{args[-2:]} did not start')


def hdwvm(bin_dir, folder, core, stub, in_flight):
    source, module, config = (os.path.join(folder, n) for n in ('chain.hdw', 'chain.hdwb', 'hdw.json'))
    with open(source, 'w') as f:
        f.write(PROGRAM)
    subprocess.run([f'{bin_dir}/hdwc', 'build', source, '-o', module], check=True)
    with open(config, 'w') as f:
        json.dump({'data': os.path.join(folder, 'data'), 'waiting_runs': 40000, 'listeners': {'web': {'port': 0, 'max_connections': 4096}},
                   'connections': {'ehr': {'base': f'http://127.0.0.1:{stub}/fhir', 'grant': {'networks': ['127.0.0.1/32']}, 'in_flight': in_flight, 'timeout_ms': 600000}}}, f)
    return start(pinned(core, f'{bin_dir}/hdwvm', 'serve', '--config', config, module), r'ready.*web=\S*:(\d+)', 'stderr')


def load(bin_dir, port, path, clients, seconds, body, *more):
    out = subprocess.run(pinned(0, f'{bin_dir}/tests/httpload', port, path, clients, seconds, body, *more), capture_output=True, text=True)
    said = re.search(r'rate=([\d.]+)/s p50=(\d+)us p99=(\d+)us', out.stdout)
    if not said or out.returncode:
        raise SystemExit(f'httpload: {out.stdout}{out.stderr}')
    return float(said[1]), int(said[2]), int(said[3])


def by_hand(bin_dir, stub_port, *more):
    """What three calls cost with nothing around them: (a second, p99 in us or None)."""
    out = subprocess.run(pinned(1, f'{bin_dir}/tests/curlloop', f'http://127.0.0.1:{stub_port}/fhir', *more), capture_output=True, text=True, check=True).stdout
    p99 = re.search(r'p99=(\d+)us', out)
    return float(re.search(r'rate=([\d.]+)', out)[1]), int(p99[1]) if p99 else None


def calls(a, bin_dir, folder, body, rows):
    stub, stub_port = start(pinned(0, f'{bin_dir}/tests/fhirstub', 0), r'port=(\d+)')
    daemon, port = hdwvm(bin_dir, folder, 1, stub_port, 64)
    node, node_port = start(pinned(1, 'node', os.path.join(HERE, 'chain_peer.mjs'), f'http://127.0.0.1:{stub_port}/fhir'), r'port=(\d+)') if shutil.which('node') else (None, None)
    try:
        ours, theirs, loops = [], [], []
        for _ in range(a.rounds):
            if node:
                theirs.append(load(bin_dir, node_port, '/chain', 16, a.seconds, body))
            ours.append(load(bin_dir, port, '/chain', 16, a.seconds, body))
            loops.append(by_hand(bin_dir, stub_port, a.seconds)[0])
        o = statistics.median(r[0] for r in ours)
        print(f'{"row":8} {"runs/s":>8} {"peer/s":>8} {"ratio":>6} {"p50 ms":>8} {"p99 ms":>8}')
        for name, peer, them in (('three', 'node', [t[0] for t in theirs]), ('calls', 'curl loop', loops)):
            if not them:
                continue
            ratio, t = statistics.median(x[0] / y for x, y in zip(ours, them)), statistics.median(them)
            p50, p99 = (statistics.median(r[i] for r in ours) / 1000 for i in (1, 2))
            rows.append({'name': name, 'unit': 'runs/s', 'ours': round(o), 'peer': peer, 'theirs': round(t), 'ratio': round(ratio, 3), 'p50_ms': p50, 'p99_ms': p99})
            print(f'{name:8} {o:8.0f} {t:8.0f} {ratio:6.2f} {p50:8.2f} {p99:8.2f}   {peer}')
    finally:
        end(*(p for p in (daemon, stub, node) if p))


def stolen_ms():
    """What the hypervisor has taken away from all cores so far."""
    with open('/proc/stat') as f:
        return int(f.readline().split()[8]) * 1000 / os.sysconf('SC_CLK_TCK')


def steady(a, bin_dir, folders, body, rows):
    """folders: row -> where the data lies."""
    stub, stub_port = start(pinned(0, f'{bin_dir}/tests/fhirstub', 0), r'port=(\d+)')
    daemons = {name: hdwvm(bin_dir, folder, 1, stub_port, 64) for name, folder in folders.items()}
    seconds, rounds, measured = max(a.seconds / 2, 1), a.rounds * 4, {name: [] for name in folders}
    try:
        for _ in range(rounds):
            for name, (_, port) in daemons.items():
                before = stolen_ms()
                ours = load(bin_dir, port, '/chain', 256, seconds, body, f'rate={a.rate}')
                hand = by_hand(bin_dir, stub_port, seconds, f'rate={a.rate}')[1]
                measured[name].append((*ours, hand, (stolen_ms() - before) / seconds / 2 / 10)) # percent of one core
        for name, all_rounds in measured.items():
            quiet = sorted(all_rounds, key=lambda r: r[4])[:rounds // 4]
            rate, p50, p99, hand = (statistics.median(r[i] for r in quiet) for i in range(4))
            added = statistics.median(r[2] - r[3] for r in quiet)
            rows.append({'name': name, 'unit': 'ms', 'ours': p99 / 1000, 'rate': round(rate), 'p50_ms': p50 / 1000, 'by_hand_p99_ms': round(hand / 1000, 2), 'added_p99_ms': round(added / 1000, 2),
                         'quiet_rounds': len(quiet), 'rounds': rounds, 'stolen_percent': round(quiet[-1][4], 1)})
            print(f'{name:8} {rate:8.0f} of {a.rate} a second: p50 {p50 / 1000:.2f} ms, p99 {p99 / 1000:.2f} ms; the three calls by hand at that rate p99 {hand / 1000:.2f} ms: '
                  f'{added / 1000:.2f} ms added ({len(quiet)} of {rounds} rounds, {quiet[-1][4]:.1f} % stolen)')
    finally:
        end(stub, *(d for d, _ in daemons.values()))


def send_waiting(port, count, clients=32):
    """One request for each run, each stored and answered."""
    def client(first):
        c = http.client.HTTPConnection('127.0.0.1', port)
        for i in range(first, count, clients):
            c.request('POST', '/waits', json.dumps({'id': f'p{i}'}), {'Content-Type': 'application/json'})
            r = c.getresponse()
            r.read()
            if r.status >= 300:
                return r.status
        return 0
    with ThreadPoolExecutor(clients) as pool:
        for status in pool.map(client, range(clients)):
            if status:
                raise SystemExit(f'waiting: HTTP {status}')


def waiting(a, bin_dir, folder, rows):
    """All runs come, and wait for the first call: the server answers after a long time."""
    stub, stub_port = start(pinned(0, f'{bin_dir}/tests/fhirstub', 0, 120000), r'port=(\d+)')
    daemon, port = hdwvm(bin_dir, folder, 1, stub_port, 10000)
    try:
        before = anon_mb(daemon)
        send_waiting(int(port), a.waiting)
        time.sleep(2)
        full = anon_mb(daemon)
        with open('/proc/net/tcp') as f:
            open_calls = sum(1 for line in f if line.split()[2].endswith(f':{int(stub_port):04X}') and line.split()[3] == '01')
        rows.append({'name': 'waiting', 'unit': 'MiB', 'ours': round(full, 1), 'runs': a.waiting, 'calls': open_calls, 'idle_mib': round(before, 1)})
        print(f'waiting  {a.waiting} runs, {open_calls} calls at the server: RssAnon {full:.1f} MiB, {before:.1f} before')
    finally:
        daemon.kill()
        daemon.wait()
        end(stub)


def said(r):
    """A row in words, for docs/reliability.md."""
    text = f'{r["name"]} {r["ours"]:,} {r["unit"]}'
    if 'ratio' in r:
        text += f', {r["ratio"]:.2f} of {r["peer"]}'
    if 'calls' in r:
        text += f' RssAnon for {r["runs"]:,} runs, {r["calls"]:,} of them with a call at the server ({r["idle_mib"]} MiB before)'
    if 'added_p99_ms' in r:
        text += f' p99 at {r["rate"]:,} runs/s, {r["added_p99_ms"]} ms more than the calls by hand ({r["quiet_rounds"]} of {r["rounds"]} rounds, at most {r["stolen_percent"]} % of a core stolen)'
    return text


def main():
    p = parser()
    p.add_argument('--rate', type=int, default=2000, help='of the rows steady and memory')
    p.add_argument('--waiting', type=int, default=10000, help='runs of the row waiting')
    p.add_argument('--only', default='calls,steady,waiting')
    a = p.parse_args()
    rows = []
    bin_dir = os.path.abspath(a.bin)
    for part in a.only.split(','):
        with tempfile.TemporaryDirectory(prefix='hdw-bench-', dir=a.folder) as folder:
            body = os.path.join(folder, 'body.json')
            with open(body, 'w') as f:
                json.dump({'id': '17'}, f)
            if part == 'calls':
                calls(a, bin_dir, folder, body, rows)
            elif part == 'steady':
                with tempfile.TemporaryDirectory(prefix='hdw-bench-', dir='/dev/shm') as memory:
                    steady(a, bin_dir, {'steady': folder, 'memory': memory}, body, rows)
            else:
                waiting(a, bin_dir, folder, rows)
    finish(a, 'chain', f'--only {a.only}: {a.rounds} rounds of {a.seconds:g} s, one core for each side', rows, '; '.join(map(said, rows)))


if __name__ == '__main__':
    main()
