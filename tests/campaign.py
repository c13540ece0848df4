#!/usr/bin/env python3
"""Long runs, each of which ends with a verdict and, with --record, a row in docs/reliability.md.

  campaign.py kill9 --bin DIR [--count KILLS | --seconds N] [--seed N] [--record]
      hdwvm is killed (SIGKILL) at drawn moments while senders, which keep a ledger, send over MLLP; then everything acknowledged must have reached both
      sinks, each under one idempotency key, in order for each patient.
  campaign.py fuzz --bin DIR [--seconds N] [--record]
      every fuzz target for N seconds."""
import argparse
import datetime
import glob
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'demo'))
from peers import Crm, Ward  # noqa: E402

PAGE = os.path.join(ROOT, 'docs', 'reliability.md')
SENDERS, PATIENTS = 8, 3


def record(name, what, result):
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip() or 'unknown'
    row = f'| {datetime.date.today()} | {name} | {commit} | {what} | {result} |\n'
    with open(PAGE, 'a', encoding='utf-8') as f:
        f.write(row)
    print('recorded:', row.strip())


# ---- kill9 ---------------------------------------------------------------------------------------------------------------

class Sender(threading.Thread):
    """One MLLP connection; sends a message again until it is acknowledged, then the next one. Its patients are its own, so their order is known."""

    def __init__(self, rig, number):
        super().__init__(daemon=True)
        self.rig, self.number, self.next, self.acked, self.resent, self.refused = rig, number, 0, [], 0, []

    def run(self):
        while not self.rig.stop.is_set():
            try:
                with socket.create_connection(('127.0.0.1', self.rig.port), timeout=1) as s:
                    s.settimeout(5)
                    while not self.rig.stop.is_set():
                        self.exchange(s)
            except OSError:
                self.resent += 1
                time.sleep(0.02)

    def exchange(self, s):
        patient, name = f'P{self.number}-{self.next % PATIENTS}', f'{self.number}-{self.next:07}'
        text = (f'MSH|^~\\&|SND{self.number}|FAC|HDW|RCV|20240101120000||ADT^A01|{name}|P|2.5.1\rEVN|A01|20240101120000\r'
                f'PID|1||{patient}^^^H^MR||DOE^JANE||19800101|F\rPV1|1|I{"|" * 17}{name}\r')
        s.sendall(b'\x0b' + text.encode() + b'\x1c\r')
        data = b''
        while b'\x1c\r' not in data:
            part = s.recv(65536)
            if not part:
                raise OSError('closed')
            data += part
        code, name_back = re.search(rb'\rMSA\|(\w+)\|([^|\r]*)', data).groups()
        if name_back.decode() != name:
            self.refused.append(f'{name}: the answer is for {name_back!r}')
        if code == b'AA':
            self.acked.append(name)
            self.next += 1
        else:
            self.refused.append(f'{name}: {code.decode()}')
            time.sleep(0.05)


class Rig:
    def __init__(self, bin_dir, seed):
        self.bin, self.rng, self.stop = os.path.abspath(bin_dir), random.Random(seed), threading.Event()
        self.crm, self.ward = Crm(), Ward()
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.port = s.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory(prefix='hdw-kill9-')
        self.dir = self.folder.name
        self.module, self.config = os.path.join(self.dir, 'app.hdwb'), os.path.join(self.dir, 'hdw.json')
        subprocess.run([os.path.join(self.bin, 'hdwc'), 'build', os.path.join(ROOT, 'examples/adt-to-crm'), '-o', self.module], check=True)
        secret = os.path.join(self.dir, 'token')
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
            f.write('demo-token\n')
        grant = {'networks': ['127.0.0.1/32']}
        with open(self.config, 'w') as f:
            json.dump({'data': os.path.join(self.dir, 'data'), 'min_free_bytes': 0, 'settings': {'crm_base': f'http://127.0.0.1:{self.crm.port}'},
                       'listeners': {'adt': {'port': self.port}, 'web': {'port': 0}},
                       'connections': {'crm': {'grant': grant}, 'ward': {'address': f'127.0.0.1:{self.ward.port}', 'grant': grant}},
                       'secrets': {'crm_token': {'file': secret}}}, f)

    def start(self):
        """The daemon, when it says that it is ready, and how long that took."""
        began = time.monotonic()
        p = subprocess.Popen([os.path.join(self.bin, 'hdwvm'), 'serve', '--config', self.config, self.module], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        last = []
        for line in p.stderr:
            last.append(line.decode(errors='replace').strip())
            if 'ready' in last[-1]:
                threading.Thread(target=lambda: [None for _ in p.stderr], daemon=True).start()
                return p, time.monotonic() - began
        raise SystemExit('hdwvm did not start again:\n' + '\n'.join(last[-5:]))


def delivered(rig):
    cards = [c.get('visit') for _, c in rig.crm.cards]
    ward = [m.split('\r')[0].split('|')[9] for m in list(rig.ward.messages)]
    visits = [re.search(r'\rPV1\|(?:[^|\r]*\|){18}([^|\r]*)', m).group(1) for m in list(rig.ward.messages)]
    return cards, ward, visits


def kill9(a):
    rig = Rig(a.bin, a.seed)
    senders = [Sender(rig, i) for i in range(SENDERS)]
    p, first = rig.start()
    starts, kills, end = [first], 0, time.monotonic() + (a.seconds or 10 ** 9)
    for s in senders:
        s.start()
    while (a.seconds and time.monotonic() < end) or (not a.seconds and kills < a.count):
        time.sleep(rig.rng.uniform(0.02, 0.6))
        p.kill()
        p.wait()
        kills += 1
        p, took = rig.start()
        starts.append(took)
    time.sleep(0.5)
    rig.stop.set()
    for s in senders:
        s.join(10)
    acked = {n for s in senders for n in s.acked}
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        cards, _, visits = delivered(rig)
        if acked <= set(cards) and acked <= set(visits):
            break
        time.sleep(0.2)
    p.send_signal(signal.SIGTERM)
    clean = p.wait(30) == 0
    return judge(a, rig, senders, acked, kills, starts, clean)


def judge(a, rig, senders, acked, kills, starts, clean):
    cards, _, visits = delivered(rig)
    findings = []
    lost = sorted(acked - set(cards)), sorted(acked - set(visits))
    if lost[0] or lost[1]:
        findings.append(f'lost: {len(lost[0])} at the CRM {lost[0][:5]}, {len(lost[1])} at the ward {lost[1][:5]}')
    twice = len(cards) - len(set(cards))
    if twice:
        findings.append(f'{twice} messages made more than one run (another idempotency key)')
    repeated = rig.crm.requests - len(rig.crm.cards)
    if repeated > kills * SENDERS * PATIENTS:
        findings.append(f'{repeated} repeated requests: more than were in flight')
    order = {}
    for visit in cards:
        sender, n = visit.split('-')
        key = (sender, int(n) % PATIENTS)
        if order.get(key, -1) > int(n):
            findings.append(f'{visit} came after {order[key]} of the same patient')
        order[key] = max(order.get(key, -1), int(n))
    refused = [r for s in senders for r in s.refused]
    if refused:
        findings.append(f'{len(refused)} were refused, the first: {refused[0]}')
    if not clean:
        findings.append('the last SIGTERM did not end it cleanly')
    starts.sort()
    what = f'{kills} kills, {SENDERS} senders, {len(acked)} acknowledged, seed {a.seed}'
    result = (f'{len(lost[0]) + len(lost[1])} lost, {repeated} repeated with the same key, {twice} with another; ready again p50 {starts[len(starts) // 2] * 1e3:.0f} ms, '
              f'p99 {starts[int(len(starts) * 0.99)] * 1e3:.0f} ms')
    print(f'kill9: {what}: {result}')
    for f in findings[:20]:
        print('WRONG:', f)
    if not acked:
        findings.append('nothing was acknowledged')
        print('WRONG: nothing was acknowledged')
    if a.record:
        record('kill9', what, result + ('' if not findings else '; FAILED'))
    print(f'{0 if findings else 1} passed, {1 if findings else 0} failed')
    return 1 if findings else 0


# ---- fuzz ----------------------------------------------------------------------------------------------------------------

def fuzz(a):
    seconds, total, bad, names = a.seconds or 60, 0, [], []
    for program in sorted(glob.glob(os.path.join(a.bin, 'fuzz_*'))):
        if not os.access(program, os.X_OK) or os.path.isdir(program) or '.' in os.path.basename(program):
            continue
        name = os.path.basename(program)[5:]
        names.append(name)
        corpus, seeds = os.path.join(a.bin, '..', 'corpus', name), os.path.join(ROOT, 'tests/fuzz/corpus', name)
        os.makedirs(corpus, exist_ok=True)
        done = subprocess.run([program, f'-max_total_time={seconds}', '-timeout=10', '-rss_limit_mb=2048', '-print_final_stats=1', f'-artifact_prefix={a.bin}/crash-{name}-',
                               corpus] + ([seeds] if os.path.isdir(seeds) else []), capture_output=True, text=True, errors='replace')
        runs = int((re.search(r'number_of_executed_units:\s*(\d+)', done.stderr) or [0, 0])[1])
        total += runs
        print(f'{name:16} {runs:>12,} executions  {runs / seconds:>10,.0f}/s  {"ok" if done.returncode == 0 else "FAILED"}', flush=True)
        if done.returncode:
            bad.append(name)
            print('\n'.join(l for l in done.stderr.splitlines() if 'ERROR' in l or 'SUMMARY' in l or 'Test unit' in l))
    result = f'{total:,} executions, {len(bad)} findings' + (': ' + ' '.join(bad) if bad else '')
    print('fuzz:', result)
    if a.record:
        record('fuzz', f'{len(names)} targets ({" ".join(names)}), {seconds} s each', result)
    print(f'{len(names) - len(bad)} passed, {len(bad)} failed')
    return 1 if bad or not names else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument('campaign', choices=('kill9', 'fuzz'))
    p.add_argument('--bin', required=True)
    p.add_argument('--count', type=int, default=100)
    p.add_argument('--seconds', type=int, default=0)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--record', action='store_true')
    a = p.parse_args()
    sys.exit(kill9(a) if a.campaign == 'kill9' else fuzz(a))


main()
