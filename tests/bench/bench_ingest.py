#!/usr/bin/env python3
"""Durable intake: ADT messages over MLLP, each stored and synced before its acknowledgement, each made into a payload by a run of its own, whose result is stored as well.
1, 8 and 64 senders, one message in flight each; millions of duplicate keys are there already. The peer is the program `limit` (limit.c): the same frames, the same bytes
to log and index, the same syncs, nothing else. Both run at the same time and are loaded in turn, in rounds; a row is the median round."""
import json
import os
import re
import select
import statistics
import subprocess
import tempfile
import time

from benchrig import end, finish, parser

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = '''hdw 1
listener adt = mllp(port: 2575)
payload Card(msg: ADT_A01) {
  mrn:    string? = msg.PID-3[0].1
  family: string? = msg.PID-5.familyName
  born:   date?   = msg.PID-7
  gender: string? = msg.PID-8
  visit:  string? = msg.PV1-19.1
}
workflow intake: Card on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3[0].1 { return Card(msg) }
'''


def start(bin_dir, folder):
    source, module, config = (os.path.join(folder, n) for n in ('intake.hdw', 'intake.hdwb', 'hdw.json'))
    with open(source, 'w') as f:
        f.write(PROGRAM)
    subprocess.run([f'{bin_dir}/hdwc', 'build', source, '-o', module], check=True)
    with open(config, 'w') as f:
        json.dump({'data': os.path.join(folder, 'data'), 'listeners': {'adt': {'port': 0}}}, f)
    p = subprocess.Popen([f'{bin_dir}/hdwvm', 'serve', '--config', config, module], stderr=subprocess.PIPE, bufsize=0)
    while select.select([p.stderr], [], [], 30)[0]:
        line = p.stderr.readline().decode()  # unbuffered: a line that was read ahead would not show in select
        if 'ready' in line:
            return p, re.search(r'adt=\S*:(\d+)', line)[1]
        if not line:
            break
    raise SystemExit('hdwvm did not start')


def start_limit(bin_dir, folder, keys):
    os.mkdir(os.path.join(folder, 'limit'))
    p = subprocess.Popen([f'{bin_dir}/tests/limit', os.path.join(folder, 'limit'), str(keys)], stdout=subprocess.PIPE, text=True)
    return p, p.stdout.readline().strip().removeprefix('port=')


def load(bin_dir, port, senders, seconds, message):
    out = subprocess.run([f'{bin_dir}/tests/mllpload', '127.0.0.1', port, str(senders), str(seconds), message, '0.5'], capture_output=True, text=True).stdout
    said = re.search(r'rate=([\d.]+)/s p50=(\d+)us .*p99=(\d+)us ', out)
    if not said or 'nak=0 errs=0' not in out:
        raise SystemExit(f'mllpload: {out}')
    return float(said[1]), int(said[2]), int(said[3])


def cpu_s(pid):
    with open(f'/proc/{pid}/stat') as f:
        return sum(map(int, f.read().rsplit(')', 1)[1].split()[11:13])) / os.sysconf('SC_CLK_TCK')


def settle(p):
    """Waits until the runs have caught up: no processor time is used any more. Seconds, or None after a minute."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        before = cpu_s(p.pid)
        time.sleep(0.25)
        if cpu_s(p.pid) - before < 0.03:
            return time.monotonic() - began - 0.25
    return None


def anon_mb(p):
    with open(f'/proc/{p.pid}/status') as f:
        return int(re.search(r'RssAnon:\s*(\d+)', f.read())[1]) / 1024


def main():
    p = parser()
    p.add_argument('--keys', type=int, default=5_000_000, help='duplicate keys that are there before')
    p.add_argument('--senders', default='1,8,64')
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix='hdw-bench-', dir=a.folder) as folder:
        bin_dir, message = os.path.abspath(a.bin), os.path.join(folder, 'message.hl7')
        with open(os.path.join(HERE, 'data', 'adt_a01.hl7'), 'rb') as f, open(message, 'wb') as out:
            out.write(f.read().replace(b'|100234567^', b'|MSG00001^'))  # a patient for each message: mllpload writes its number there too
        subprocess.run([f'{bin_dir}/tests/bench_fill', os.path.join(folder, 'data'), str(a.keys)], check=True)
        peer, peer_port = start_limit(bin_dir, folder, a.keys)
        daemon, port = start(bin_dir, folder)
        try:
            print(f'{"row":8} {"ack/s":>8} {"limit/s":>8} {"ratio":>6} {"p50 ms":>8} {"p99 ms":>8} {"limit p99":>9} {"runs behind s":>14} {"RssAnon MiB":>12}')
            for senders in map(int, a.senders.split(',')):
                ours, theirs, behind = [], [], []
                for _ in range(a.rounds):
                    theirs.append(load(bin_dir, peer_port, senders, a.seconds, message))
                    ours.append(load(bin_dir, port, senders, a.seconds, message))
                    behind.append(settle(daemon))
                ratio = statistics.median(o[0] / t[0] for o, t in zip(ours, theirs))
                o, t = (statistics.median(r[0] for r in rounds) for rounds in (ours, theirs))
                p50, p99, their_p99 = (statistics.median(r[i] for r in rounds) / 1000 for rounds, i in ((ours, 1), (ours, 2), (theirs, 2)))
                late = max((b for b in behind if b is not None), default=60) if None not in behind else 60
                rows.append({'name': f'mllp{senders}', 'unit': 'ack/s', 'ours': round(o), 'peer': 'limit', 'theirs': round(t), 'ratio': round(ratio, 3), 'p50_ms': p50, 'p99_ms': p99,
                             'runs_behind_s': round(late, 2), 'rss_anon_mib': round(anon_mb(daemon), 1)})
                print(f'mllp{senders:<4} {o:8.0f} {t:8.0f} {ratio:6.2f} {p50:8.2f} {p99:8.2f} {their_p99:9.2f} {late:14.2f} {anon_mb(daemon):12.1f}', flush=True)
        finally:
            end(daemon, peer)
    finish(a, 'ingest', f'{a.rounds} rounds of {a.seconds:g} s beside limit in turn, {a.keys:,} duplicate keys there before', rows,
           '; '.join(f'{r["name"]} {r["ours"]:,}/s, {r["ratio"]:.2f} of limit, p50 {r["p50_ms"]:.2f} ms, p99 {r["p99_ms"]:.1f} ms' for r in rows) + f'; RssAnon {rows[-1]["rss_anon_mib"]} MiB')


if __name__ == '__main__':
    main()
