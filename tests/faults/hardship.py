"""The daemon when the machine around it is hard: the clock jumps, signals come under load, there is little memory, there are few descriptors, peers have wrong
certificates. A ledger of what was acknowledged is kept outside.

  hardship.py [clock] [signals] [memory] [descriptors] [certificates] [--rounds N]"""
import argparse
import json
import os
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from disk import Place, preload
from rig import HDWVM, SLOW, HttpSink, Mllp, ack_code, adt, wait_for

HOUR, YEAR = 3600, 365 * 86400


class Load:
    """Senders that send until they are stopped; what is not answered is sent again."""

    def __init__(self, place, senders=3, size=0, pause=0.02):
        self.p, self.size, self.pause, self.stop, self.acked, self.codes = place, size, pause, threading.Event(), set(), {}
        self.threads = [threading.Thread(target=self.run, args=(k,), daemon=True) for k in range(senders)]
        for t in self.threads:
            t.start()

    def run(self, k):
        i, c = 0, None
        while not self.stop.is_set():
            name = f'L{k}-{i}'
            try:
                c = c or Mllp(self.p.d.ports['adt'])
                code = ack_code(c.ask(adt(name, mrn=f'P{k}', extra='\rNTE|1||' + 'x' * self.size if self.size else '')))
                self.codes[code] = self.codes.get(code, 0) + 1
                if code == 'AA':
                    self.acked.add(name)
                    i += 1
                else:
                    time.sleep(0.05)
            except (OSError, ConnectionError, StopIteration):
                if c:
                    c.close()
                c = None
                time.sleep(0.02)
            time.sleep(self.pause)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(30)
        return self.acked


def settled(p, acked, problems, what):
    """Everything acknowledged was delivered, under one key each."""
    def there():
        return {json.loads(r['body'])['id'] for r in p.sink.to('/send')}
    try:
        before = -1
        while not acked <= there() and len(p.sink.requests) != before:  # only a standstill is a failure
            before = len(p.sink.requests)
            for _ in range(160):
                time.sleep(0.25)
                if len(p.sink.requests) > before:
                    break
        if not acked <= there():
            raise AssertionError(f'nothing is delivered any more ({p.d.ask("status")["runs"]}, {p.d.ask("sinks")})')
    except AssertionError as e:
        problems.append(f'{what}: {e}: {len(acked - there())} of {len(acked)} missing')
    keys = {}
    for r in p.sink.to('/send'):
        keys.setdefault(json.loads(r['body'])['id'], set()).add(r['key'])
    if [k for k in keys.values() if len(k) > 1]:
        problems.append(f'{what}: a delivery under two keys')


def clock(a, problems):
    """The wall clock jumps while messages come; deliveries that wait for a time come all the same, nothing is done twice."""
    p = Place()
    offset = os.path.join(p.d.dir, 'clock')

    def jump(seconds):
        with open(offset, 'r+b' if os.path.exists(offset) else 'wb') as f:
            f.write(struct.pack('<q', seconds * 1000000) + b'\0' * (4096 - 8 if f.mode == 'wb' else 0))
    jump(0)
    p.d.env = preload(HDW_IO_CLOCK=offset)
    refusing = threading.Event()
    p.sink.answer = lambda r: (503, {}, {}) if refusing.is_set() else (201, {'id': 1}, {})
    jumps = (HOUR, -HOUR, 20 * YEAR, -20 * YEAR, -56 * YEAR, 0, 11 * YEAR + 60 * 86400, 5, -5, 0)
    try:
        p.d.start()
        load = Load(p)
        for n, seconds in enumerate(jumps * a.rounds):
            if n % len(jumps) == 0:  # what failed waits over the jumps
                refusing.set()
            time.sleep(0.15)
            jump(seconds)
            time.sleep(0.15)
            refusing.clear()
            time.sleep(0.3)
        jump(0)
        acked = load.end()
        settled(p, acked, problems, 'clock')
        if load.codes.get('AA', 0) < 10 * a.rounds or p.d.p.poll() is not None:
            problems.append(f'clock: {load.codes}, ended with {p.d.p.poll()}')
        for path in ('/metrics',):
            text = p.tool('metrics', '--config', 'hdw.json').stdout
            if re.search(r'^[a-z_]+(_seconds|_us)[^ ]* -', text, re.M):
                problems.append('clock: a negative duration in the metrics')
        jump(-HOUR)  # and once more over a restart
        p.d.kill()
        p.d.start()
        p.send(3, 'after')
        settled(p, acked | set(p.acked), problems, 'clock, started again an hour before')
        if p.d.stop():
            problems.append('clock: the daemon did not end well')
        if p.tool('check', '--data', p.data).returncode:
            problems.append('clock: hdwvm check finds something')
        return f'{len(jumps) * a.rounds} jumps of the clock, {len(acked)} acknowledged'
    finally:
        p.close()


def signals(a, problems):
    """SIGTERM and SIGHUP under load, in turn."""
    p = Place()
    try:
        p.d.start()
        p.d.config['listeners']['adt']['port'] = p.d.ports['adt']
        load, slowest = Load(p), 0
        for k in range(6 * a.rounds):
            time.sleep(0.15)
            if k % 2 == 0:
                for _ in range(3):
                    p.d.p.send_signal(signal.SIGHUP)
                    time.sleep(0.03)
                continue
            began = time.monotonic()
            p.d.p.send_signal(signal.SIGTERM)
            if k % 4 == 1:
                time.sleep(0.01)
                p.d.p.send_signal(signal.SIGTERM)
            code = p.d.p.wait(timeout=20 * SLOW)
            slowest = max(slowest, time.monotonic() - began)
            if code not in (0,):
                problems.append(f'signals: ended with {code}')
            p.d.start()
        acked = load.end()
        settled(p, acked, problems, 'signals')
        if slowest > 10 * SLOW or len(acked) < 20 * a.rounds:
            problems.append(f'signals: slowest stop {slowest:.1f} s, {len(acked)} acknowledged')
        return f'{6 * a.rounds} rounds of SIGHUP and SIGTERM, slowest stop {slowest * 1000:.0f} ms, {len(acked)} acknowledged'
    finally:
        p.close()


def memory(a, problems):
    """64 MiB for data: idle and under load it works; what does not fit is refused, and nothing acknowledged is lost."""
    p = Place(process_memory_bytes=24 << 20, run_memory_bytes=1 << 20, active_runs=16)
    limit = 64 << 20
    asan = bool(re.search('libasan', subprocess.run(['ldd', HDWVM], capture_output=True, text=True).stdout))
    which = resource.RLIMIT_DATA  # private writable memory: what a MemoryMax counts, but for the page cache
    try:
        popen = subprocess.Popen
        if not asan:
            subprocess.Popen = lambda *args, **kw: popen(*args, **(dict(kw, preexec_fn=lambda: resource.setrlimit(which, (limit, limit))) if args and 'serve' in args[0] else kw))
        try:
            p.d.start()
        finally:
            subprocess.Popen = popen
        load = Load(p, senders=6, size=60000, pause=0.002)
        time.sleep(2 * a.rounds)
        with open(f'/proc/{p.d.p.pid}/status') as f:
            rss = int(re.search(r'RssAnon:\s+(\d+)', f.read())[1])
        acked = load.end()
        if p.d.p.poll() is not None:
            problems.append(f'memory: the daemon ended with {p.d.p.poll()}')
            p.d.start()
        if not asan and rss > limit // 1024:
            problems.append(f'memory: RssAnon {rss} KiB')
        if len(acked) < 20:
            problems.append(f'memory: {len(acked)} acknowledged, {load.codes}')
        settled(p, acked, problems, 'memory')
        return f'{len(acked)} messages of 60 KB in {limit >> 20} MiB of data{" (not limited: sanitizer)" if asan else ""}, RssAnon {rss / 1024:.1f} MiB'
    finally:
        p.close()


def descriptors(a, problems):
    """More connections than it may have open files: who comes too late waits or is closed, who was acknowledged is delivered, and afterwards everything is as before."""
    p = Place()
    limit = 96
    popen = subprocess.Popen
    subprocess.Popen = lambda *args, **kw: popen(*args, **(dict(kw, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) if args and 'serve' in args[0] else kw))
    try:
        try:
            p.d.start()
        finally:
            subprocess.Popen = popen
        acked = set()
        for turn in range(a.rounds):
            load, crowd = Load(p), []
            time.sleep(0.3)
            for _ in range(2 * limit):
                try:
                    crowd.append(socket.create_connection(('127.0.0.1', p.d.ports['adt']), timeout=2))
                except OSError:
                    break
            wait_for(lambda: len(os.listdir(f'/proc/{p.d.p.pid}/fd')) > limit * 3 // 4 - 8 or p.d.p.poll() is not None, 10, 'a daemon that takes nobody any more')
            time.sleep(0.7)
            for c in crowd:
                c.close()
            wait_for(lambda: len(os.listdir(f'/proc/{p.d.p.pid}/fd')) < limit // 2, 20, 'free descriptors')
            p.send(3, f'after{turn}')  # and somebody new is served
            acked |= load.end()
        if p.d.p.poll() is not None:
            problems.append(f'descriptors: the daemon ended with {p.d.p.poll()}')
        settled(p, acked | set(p.acked), problems, 'descriptors')
        if len(p.acked) < 3 * a.rounds:
            problems.append(f'descriptors: {len(p.acked)} of {3 * a.rounds} messages were acknowledged afterwards')
        if p.d.p.poll() is None and p.d.stop():
            problems.append('descriptors: the daemon did not end well')
        if p.tool('check', '--data', p.data).returncode:
            problems.append('descriptors: hdwvm check finds something')
        return f'{a.rounds} crowds of {2 * limit} connections at {limit} descriptors, {len(acked)} acknowledged'
    finally:
        p.close()


def signed(folder, name, names, ca='', days=2):
    """NAME.pem and NAME.key for these names, signed by an authority of the folder or by itself. days < 0: it is over."""
    def openssl(*args):
        subprocess.run(['openssl', *args], cwd=folder, check=True, capture_output=True, timeout=60)
    with open(os.path.join(folder, 'ext'), 'w') as f:
        f.write(f'subjectAltName={names}\n' + ('' if ca else 'basicConstraints=critical,CA:TRUE\n'))
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key', '-out', 'csr', '-subj', f'/CN={name}')
    openssl('x509', '-req', '-in', 'csr', '-extfile', 'ext', '-days', str(days), '-out', f'{name}.pem', *(['-CA', f'{ca}.pem', '-CAkey', f'{ca}.key', '-CAcreateserial'] if ca else ['-signkey', f'{name}.key']))
    os.chmod(os.path.join(folder, f'{name}.key'), 0o600)


def certificates(a, problems):
    """Peers whose certificates are wrong, on both sides: none of them is talked to, and a delivery waits for the right one."""
    p = Place()
    where = p.d.dir
    for name, names, ca, days in (('ca', 'DNS:ca', '', 2), ('otherca', 'DNS:ca', '', 2), ('hub', 'DNS:localhost', 'ca', 2), ('lab', 'DNS:lab.example', 'ca', 2), ('over', 'DNS:lab.example', 'ca', -1),
                                  ('foreign', 'DNS:lab.example', 'otherca', 2), ('good', 'DNS:localhost', 'ca', 2), ('overs', 'DNS:localhost', 'ca', -1), ('elsewhere', 'DNS:other.example', 'ca', 2),
                                  ('foreigns', 'DNS:localhost', 'otherca', 2)):
        signed(where, name, names, ca, days)

    def context(name):
        cx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cx.load_cert_chain(os.path.join(where, f'{name}.pem'), os.path.join(where, f'{name}.key'))
        return cx

    def client(name):
        cx = ssl.create_default_context(cafile=os.path.join(where, 'ca.pem'))
        if name:
            cx.load_cert_chain(os.path.join(where, f'{name}.pem'), os.path.join(where, f'{name}.key'))
        m = Mllp(p.d.ports['adt'])
        m.s = cx.wrap_socket(m.s, server_hostname='localhost')
        return m
    p.d.config['listeners']['adt'].update(tls={'cert': 'hub.pem', 'key': 'hub.key', 'client_ca': 'ca.pem'}, clients=['LAB=lab.example'])
    p.d.config['connections']['crm'].update(tls={'ca': 'ca.pem'})
    asked = 0
    try:
        for turn, bad in enumerate(('overs', 'elsewhere', 'foreigns')):
            sink = HttpSink(tls=context(bad))
            port = sink.port
            p.d.config['settings']['crm_base'] = f'https://localhost:{port}'
            p.d.start()
            for name in (None, 'over', 'foreign'):
                try:
                    code = ack_code(client(name).ask(adt(f'{bad}-{name}')))
                    problems.append(f'certificates: a sender with {"no certificate" if not name else name} got {code}')
                except (OSError, ConnectionError, StopIteration):
                    pass
            c = client('lab')
            if ack_code(c.ask(adt(f'C{turn}'))) != 'AA':
                problems.append('certificates: the right sender was not acknowledged')
            wait_for(lambda: any(x.get('attempts', 0) or x.get('held') or x.get('parked') for x in [p.d.ask('status')['runs']] + p.d.ask('sinks')) or p.d.ask('status')['runs'].get('parked') or p.d.ask('status')['runs'].get('waiting'), 15, 'an attempt')
            time.sleep(0.5)
            if sink.requests or p.d.ask('dead'):
                problems.append(f'certificates: {len(sink.requests)} requests reached a server with the certificate {bad}, {len(p.d.ask("dead"))} dead')
            sink.close()
            good = HttpSink(port=port, tls=context('good'))  # the same address, now with the right one
            wait_for(lambda: [r for r in good.to('/send') if json.loads(r['body'])['id'] == f'C{turn}'], 60, f'the delivery after {bad}')
            asked += len(good.requests)
            if p.d.stop():
                problems.append('certificates: the daemon did not end well')
            good.close()
        return f'9 senders and 3 servers with wrong certificates, {asked} requests to the right one'
    finally:
        p.close()


PARTS = {'clock': clock, 'signals': signals, 'memory': memory, 'descriptors': descriptors, 'certificates': certificates}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('parts', nargs='*', default=list(PARTS))
    ap.add_argument('--rounds', type=int, default=1)
    a = ap.parse_args()
    problems, said = [], []
    for name in a.parts:
        said.append(PARTS[name](a, problems))
    for x in problems:
        print('FAILED:', x)
    print(f'hardship: {"; ".join(said)}; {len(problems)} violations')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
