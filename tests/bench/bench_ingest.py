#!/usr/bin/env python3
"""Durable intake: ADT messages over MLLP, each stored and synced before its acknowledgement, each made into a payload by a run. 1, 8 and 64 senders, one
message in flight each. The peer `limit` is a bare loop on the same disk that appends as many messages in one write and syncs, with nothing else done."""
import argparse
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MESSAGE = os.path.join(HERE, 'data', 'adt_a01.hl7')
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


def limit(folder, senders, seconds):
    record = os.urandom(os.path.getsize(MESSAGE) + 200) * senders
    path = os.path.join(folder, 'limit')
    f = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    n, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        os.write(f, record)
        os.fdatasync(f)
        n += senders
    took = time.monotonic() - began
    os.close(f)
    os.unlink(path)
    return n / took


def start(bin_dir, folder):
    source, module, config = (os.path.join(folder, n) for n in ('intake.hdw', 'intake.hdwb', 'hdw.json'))
    with open(source, 'w') as f:
        f.write(PROGRAM)
    subprocess.run([f'{bin_dir}/hdwc', 'build', source, '-o', module], check=True)
    with open(config, 'w') as f:
        json.dump({'data': os.path.join(folder, 'data'), 'listeners': {'adt': {'port': 0}}}, f)
    p = subprocess.Popen([f'{bin_dir}/hdwvm', 'serve', '--config', config, module], stderr=subprocess.PIPE, text=True)
    while select.select([p.stderr], [], [], 15)[0]:
        line = p.stderr.readline()
        if 'ready' in line:
            return p, re.search(r'adt=\S*:(\d+)', line)[1]
        if not line:
            break
    raise SystemExit('hdwvm did not start')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--bin', default='build')
    p.add_argument('--json')
    p.add_argument('--folder', default='.', help='a folder on the disk to measure')
    p.add_argument('--seconds', type=float, default=5)
    a = p.parse_args()
    rows = []
    print(f'{"row":8} {"ack/s":>10} {"limit/s":>10} {"ratio":>7}   latency')
    for senders in (1, 8, 64):
        with tempfile.TemporaryDirectory(prefix='hdw-bench-', dir=a.folder) as folder:
            daemon, port = start(os.path.abspath(a.bin), folder)
            before = limit(folder, senders, a.seconds / 4)
            out = subprocess.run([f'{a.bin}/tests/mllpload', '127.0.0.1', port, str(senders), str(a.seconds), MESSAGE], capture_output=True, text=True).stdout
            theirs = (before + limit(folder, senders, a.seconds / 4)) / 2
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)
        said = re.search(r'rate=([\d.]+)/s (p50=.*)', out)
        if not said or 'nak=0 errs=0' not in out:
            raise SystemExit(f'mllpload: {out}')
        ours = float(said[1])
        rows.append({'name': f'mllp{senders}', 'unit': 'ack/s', 'ours': round(ours), 'peer': 'limit', 'theirs': round(theirs), 'ratio': round(ours / theirs, 3)})
        print(f'mllp{senders:<4} {ours:10.0f} {theirs:10.0f} {ours / theirs:7.2f}   {said[2].split(" nak")[0]}', flush=True)
    if a.json:
        with open(a.json, 'w') as f:
            json.dump({'bench': 'ingest', 'rows': rows}, f)


main()
