#!/usr/bin/env python3
"""Durable intake over HTTP: 1 KB JSON bodies, each stored and synced before its 202, each with a run of its own. The peer of http1 and http64 is the program
`limit` (limit.c), which takes the same requests, writes as much and syncs alike, and does nothing else; that of https64 is http64 itself. All are loaded in turn, in rounds."""
import json
import os
import re
import select
import statistics
import subprocess
import tempfile

from bench_ingest import start_limit
from benchrig import end, finish, parser

PROGRAM = '''hdw 1
listener web = http(port: 8080)
listener safe = http(port: 8443)
payload Booking {
  externalId: string
  family:     string
  notes:      string?
}
payload Made(b: Booking) {
  id:   string = b.externalId
  name: string = b.family
}
workflow intake: Made on b = web.post('/bookings', schema: Booking) { return Made(b) }
workflow safe_intake: Made on b = safe.post('/bookings', schema: Booking) { return Made(b) }
'''


def certificate(folder):
    cert, key = os.path.join(folder, 'cert.pem'), os.path.join(folder, 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key,
                    '-out', cert], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return {'cert': cert, 'key': key}


def start(bin_dir, folder, options=None):
    source, module, config = (os.path.join(folder, n) for n in ('intake.hdw', 'intake.hdwb', 'hdw.json'))
    with open(source, 'w') as f:
        f.write(PROGRAM)
    subprocess.run([f'{bin_dir}/hdwc', 'build', source, '-o', module], check=True)
    with open(config, 'w') as f:
        json.dump({'data': os.path.join(folder, 'data'), 'listeners': {'web': {'port': 0, **(options or {})}, 'safe': {'port': 0, 'tls': certificate(folder)}}}, f)
    p = subprocess.Popen([f'{bin_dir}/hdwvm', 'serve', '--config', config, module], stderr=subprocess.PIPE, bufsize=0)
    while select.select([p.stderr], [], [], 30)[0]:
        line = p.stderr.readline().decode()
        if 'ready' in line:
            return p, *(re.search(rf'{n}=\S*:(\d+)', line)[1] for n in ('web', 'safe'))
        if not line:
            break
    raise SystemExit('hdwvm did not start')


def body(folder):
    path = os.path.join(folder, 'body.json')
    with open(path, 'w') as f:
        json.dump({'externalId': 'B-4711', 'family': 'Okafor', 'notes': 'x' * 960}, f)
    return path


def load(bin_dir, port, clients, seconds, path, *more):
    out = subprocess.run([f'{bin_dir}/tests/httpload', port, '/bookings', str(clients), str(seconds), path, *more], capture_output=True, text=True)
    said = re.search(r'idle=(\d+) rate=([\d.]+)/s p50=(\d+)us p99=(\d+)us', out.stdout)
    if not said or out.returncode:
        raise SystemExit(f'httpload: {out.stdout}{out.stderr}')
    return float(said[2]), int(said[3]), int(said[4])


def main():
    p = parser()
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix='hdw-bench-', dir=a.folder) as folder:
        bin_dir, message = os.path.abspath(a.bin), body(folder)
        peer, peer_port = start_limit(bin_dir, folder, 1000)
        daemon, port, tls_port = start(bin_dir, folder)
        try:
            print(f'{"row":8} {"req/s":>8} {"peer":>9} {"theirs":>8} {"ratio":>6} {"p50 ms":>8} {"p99 ms":>8}')
            for name, clients, peer_name in (('http1', 1, 'limit'), ('http64', 64, 'limit'), ('https64', 64, 'plain')):
                ours, theirs = [], []
                for _ in range(a.rounds):
                    theirs.append(load(bin_dir, peer_port if peer_name == 'limit' else port, clients, a.seconds, message))
                    ours.append(load(bin_dir, tls_port if peer_name == 'plain' else port, clients, a.seconds, message, *(['tls'] if peer_name == 'plain' else [])))
                ratio = statistics.median(o[0] / t[0] for o, t in zip(ours, theirs))
                o, t = (statistics.median(r[0] for r in rounds) for rounds in (ours, theirs))
                p50, p99 = (statistics.median(r[i] for r in ours) / 1000 for i in (1, 2))
                rows.append({'name': name, 'unit': 'req/s', 'ours': round(o), 'peer': peer_name, 'theirs': round(t), 'ratio': round(ratio, 3), 'p50_ms': p50, 'p99_ms': p99})
                print(f'{name:8} {o:8.0f} {peer_name:>9} {t:8.0f} {ratio:6.2f} {p50:8.2f} {p99:8.2f}', flush=True)
        finally:
            end(daemon, peer)
    finish(a, 'http', f'{a.rounds} rounds of {a.seconds:g} s in turn, bodies of 1 KB', rows,
           '; '.join(f'{r["name"]} {r["ours"]:,}/s, {r["ratio"]:.2f} of {r["peer"]}, p50 {r["p50_ms"]:.2f} ms, p99 {r["p99_ms"]:.1f} ms' for r in rows))


if __name__ == '__main__':
    main()
