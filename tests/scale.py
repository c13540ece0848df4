"""Scale: what the daemon costs with many connections, under a flood of slow ones, and with a long backlog. `./dev campaign scale` measures and records;
integration/test_scale.py keeps small versions of the same that prove behaviour and time nothing."""
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'integration'))
os.environ.setdefault('HDW_BIN', os.path.join(ROOT, 'build'))
from rig import BIN, Daemon, wait_for  # noqa: E402

CARD = '''payload Card(msg: ADT_A01) {
  mrn:    string? = msg.PID-3[0].1
  family: string? = msg.PID-5.familyName
}
'''
INTAKE = 'hdw 1\nlistener adt = mllp(port: 2575)\nlistener web = http(port: 8080)\n' + CARD + '''payload Booking { externalId: string  notes: string? }
payload Made(b: Booking) { id: string = b.externalId }
workflow intake: Card on msg = adt.message(types: ['ADT^A01']) { return Card(msg) }
workflow book: Made on b = web.post('/bookings', schema: Booking) { return Made(b) }
'''
FEED = 'hdw 1\nsetting hub: url\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: hub, timeout: 5 seconds)\n' + CARD + '''workflow feed on msg = adt.message(types: ['ADT^A01']) { send crm.post('/in', body: Card(msg)) }
'''
STEP = FEED.replace("{ send crm.post('/in', body: Card(msg)) }", "{ step saved = crm.post('/in', body: Card(msg)) }")


def tool(name):
    return os.path.join(BIN, 'tests', name)


def status_kb(p, what):
    with open(f'/proc/{p.pid}/status') as f:
        return int(re.search(rf'{what}:\s*(\d+)', f.read())[1])


def cpu_s(p):
    with open(f'/proc/{p.pid}/stat') as f:
        return sum(map(int, f.read().rsplit(')', 1)[1].split()[11:13])) / os.sysconf('SC_CLK_TCK')


def start(source, config):
    return Daemon(source, config).start()


def message_file(folder):
    path = os.path.join(folder, 'message.hl7')
    with open(os.path.join(ROOT, 'tests/bench/data/adt_a01.hl7'), 'rb') as f, open(path, 'wb') as out:
        out.write(f.read().replace(b'|100234567^', b'|MSG00001^'))
    return path


def body_file(folder):
    path = os.path.join(folder, 'body.json')
    with open(path, 'w') as f:
        json.dump({'externalId': 'B-4711', 'notes': 'x' * 960}, f)
    return path


def post_once(port):
    body = b'{"externalId":"B-1"}'
    with socket.create_connection(('127.0.0.1', port), timeout=30) as s:
        s.sendall(b'POST /bookings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))
        return s.recv(4096).split(b' ')[1].decode()


# ---- many silent connections -----------------------------------------------------------------------------------------------

def idle(count, seconds=5):
    """count connections, half of them HTTP and half MLLP, that say nothing: memory of the process, and processor time while nothing happens."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    d = start(INTAKE, {'listeners': {n: {'port': 0, 'max_connections': count + 10} for n in ('adt', 'web')}})
    socks = []
    try:
        before = status_kb(d.p, 'RssAnon')
        for i in range(count):
            socks.append(socket.create_connection(('127.0.0.1', d.ports['web' if i % 2 else 'adt']), timeout=30))
        answer = post_once(d.ports['web'])
        time.sleep(1.5)
        after, used = status_kb(d.p, 'RssAnon'), cpu_s(d.p)
        time.sleep(seconds)
        return {'connections': len(socks), 'rss_anon_kb': after, 'bytes_each': (after - before) * 1024 / count, 'cpu_percent': (cpu_s(d.p) - used) / seconds * 100, 'answer': answer}
    finally:
        for s in socks:
            s.close()
        d.close()


# ---- a flood of slow ones -----------------------------------------------------------------------------------------------------

def loris(count, seconds=3, rounds=3):
    """Good clients' requests per second while count connections send a head byte by byte, beside the same without them, in turn."""
    d = start(INTAKE, {'listeners': {'adt': {'port': 0}, 'web': {'port': 0, 'max_connections': count + 100}}})
    rates = {0: [], count: []}
    try:
        with tempfile.TemporaryDirectory() as folder:
            body = body_file(folder)
            for _ in range(rounds):
                for n in rates:
                    out = subprocess.run([tool('httpload'), str(d.ports['web']), '/bookings', '8', str(seconds), body, f'loris={n}'], capture_output=True, text=True, timeout=120)
                    said = re.search(r'rate=([\d.]+)/s', out.stdout)
                    if out.returncode or not said:
                        raise AssertionError(f'httpload: {out.stdout}{out.stderr}')
                    rates[n].append(float(said[1]))
        return {'slow': count, 'alone_per_s': statistics.median(rates[0]), 'beside_per_s': statistics.median(rates[count]),
                'ratio': statistics.median(b / a for a, b in zip(rates[0], rates[count])), 'rss_anon_kb': status_kb(d.p, 'RssAnon')}
    finally:
        d.close()


# ---- a long backlog ---------------------------------------------------------------------------------------------------------------

def pending(d):
    return d.ask('status')['deliveries'].get('pending', 0)


def start_without_sink(source):
    """(daemon, port): the sink would listen there, and nobody does yet."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    return start(source, {'settings': {'hub': f'http://127.0.0.1:{port}'}, 'listeners': {'adt': {'port': 0}},
                          'connections': {'crm': {'in_flight': 64, 'grant': {'networks': ['127.0.0.1/32']}}}}), port


def send_all(d, count, senders, path=None):
    """count messages by MLLP, every one acknowledged; gives the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        out = subprocess.run([tool('mllpload'), '127.0.0.1', str(d.ports['adt']), str(senders), '36000', path or message_file(folder), '0', str(count)], capture_output=True, text=True).stdout
        taken = time.monotonic() - began
    if f'acked={count} ' not in out or 'nak=0 errs=0' not in out:
        raise AssertionError(f'mllpload: {out}')
    return taken


def start_sink(port):
    return subprocess.Popen([tool('httpsink'), str(port)], stdout=subprocess.PIPE, text=True)


def stop_sink(sink):
    if sink:
        sink.terminate()
        sink.wait()
        sink.stdout.close()


def backlog(count, senders=64):
    """count messages arrive while the sink is away; the daemon is killed and started again; then the sink comes and everything is delivered."""
    d, port = start_without_sink(FEED)
    sink = None
    try:
        taken = send_all(d, count, senders)
        wait_for(lambda: sum(d.ask('status')['deliveries'].values()) >= count, 120, 'a delivery for each message')
        full = status_kb(d.p, 'RssAnon')
        d.kill()
        began = time.monotonic()
        d.start()
        ready = time.monotonic() - began
        time.sleep(2)
        again, waiting = status_kb(d.p, 'RssAnon'), sum(d.ask('status')['deliveries'].values())
        began = time.monotonic()
        sink = start_sink(port)
        held = d.ask('status')['deliveries']
        wait_for(lambda: d.ask('status')['deliveries'].get('delivered', 0) > held.get('delivered', 0), 300, 'the first delivery')
        first = time.monotonic() - began
        began = time.monotonic()
        wait_for(lambda: d.ask('status')['deliveries'].get('delivered', 0) >= count, 36000, 'the last delivery')
        drained = time.monotonic() - began
        return {'messages': count, 'taken_per_s': count / taken, 'waiting': waiting, 'ready_s': ready, 'rss_anon_full_kb': full, 'rss_anon_restarted_kb': again,
                'rss_anon_drained_kb': status_kb(d.p, 'RssAnon'), 'first_delivery_s': first, 'drained_per_s': count / drained}
    finally:
        stop_sink(sink)
        d.close()


# ---- parked ------------------------------------------------------------------------------------------------------------------

def parked(count, senders=64):
    """count runs wait in the middle, at a step whose server is away; after a kill the server comes, and each goes on from its step."""
    d, port = start_without_sink(STEP)
    sink = None
    states = lambda: d.ask('status')['runs']
    try:
        send_all(d, count, senders)
        unfinished = lambda: sum(n for state, n in states().items() if state not in ('queued', 'done', 'failed', 'dead'))
        wait_for(lambda: unfinished() == count, 600, f'{count} runs that have begun')
        time.sleep(2)
        full, at = status_kb(d.p, 'RssAnon'), states()
        d.kill()
        d.start()
        time.sleep(2)
        again = status_kb(d.p, 'RssAnon')
        sink = start_sink(port)
        began = time.monotonic()
        wait_for(lambda: states().get('done', 0) == count, 36000, 'the end of every run')
        return {'runs': count, 'states': at, 'rss_anon_full_kb': full, 'rss_anon_restarted_kb': again, 'rss_anon_done_kb': status_kb(d.p, 'RssAnon'),
                'done_per_s': count / (time.monotonic() - began)}
    finally:
        stop_sink(sink)
        d.close()


# ---- retention ---------------------------------------------------------------------------------------------------------------

def disk_bytes(folder):
    """What the log occupies on the disk (du)."""
    return sum(os.stat(os.path.join(folder, 'log', f)).st_blocks * 512 for f in os.listdir(os.path.join(folder, 'log')) if f.endswith('.seg'))


def retention(total_bytes, message_bytes=100_000, senders=8):
    """total_bytes of messages come in and are done; then their time is over: what the log occupies before and after, and how long it takes while it serves."""
    count = total_bytes // message_bytes
    d = start(INTAKE, {'listeners': {'adt': {'port': 0}, 'web': {'port': 0}}, 'retain_every_ms': 1000})
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = message_file(folder)
            with open(path, 'ab') as f:
                f.write(b''.join(b'NTE|%d||%s\r' % (i, os.urandom(450).hex().encode()) for i in range(1, message_bytes // 910)))
            taken = send_all(d, count, senders, path)
        wait_for(lambda: d.ask('status')['runs'].get('done', 0) >= count, 120, 'the end of every run')
        d.stop()
        before = disk_bytes(d.config['data'])
        d.config.update(retain_inputs_days=0, retain_values_days=0, retain_runs_days=0)
        for l in d.config['listeners'].values():
            l['duplicate_window_ms'] = 0
        began = time.monotonic()
        d.start()
        closed = lambda: [f for f in sorted(os.listdir(os.path.join(d.config['data'], 'log'))) if f.endswith('.seg')][:-1]
        size = lambda f: os.stat(os.path.join(d.config['data'], 'log', f)).st_blocks * 512
        wait_for(lambda: all(size(f) < 1 << 20 for f in closed()), 600, 'every closed segment to be written anew')
        freed = time.monotonic() - began
        answer = post_once(d.ports['web'])
        return {'messages': count, 'taken_mb_per_s': total_bytes / 1e6 / taken, 'before': before, 'after': disk_bytes(d.config['data']), 'seconds': freed, 'answer': answer,
                'rss_anon_kb': status_kb(d.p, 'RssAnon')}
    finally:
        d.close()
