#!/usr/bin/env python3
"""Records what a store of this release holds: record.py --bin DIR NAME makes NAME.tar.gz beside this file. One for each release, and for each change of a format
in between; it is never made again. test_releases.py opens them with every later build, and executes their runs.

In it: data/ (log and state, after a clean end), app.hdwb and next.hdwb, hdw.json, expected.json (what the release itself says is in there)."""
import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))
options = argparse.ArgumentParser(description=__doc__)
options.add_argument('--bin', required=True)
options.add_argument('name')
a = options.parse_args()
os.environ['HDW_BIN'] = os.path.abspath(a.bin)
from rig import Daemon, HDWC, HDWVM, HttpSink, Mllp, MllpSink, wait_for  # noqa: E402


def message(control_id, event='ADT^A01', mrn='4711', name='SMITH^JOHN~SMITH^JACK', born='19700203', sender='LAB_A'):
    return f'MSH|^~\\&|{sender}|HOSP|HUB|HUB|20260101120000||{event}|{control_id}|P|2.5.1\rEVN||20260101120000\rPID|1||{mrn}^^^HOSP^MR||{name}||{born}|M\rPV1|1|I\r'


def crm_says(r):
    body = r['body'].decode()
    if 'HOLD' in body:
        return 503, {}, {}
    if 'REFUSED' in body or 'GONE' in body:
        return 422, {'error': 'no'}, {}
    return 200, {'id': 13 if 'ben' in body else 7, 'total': 1}, {}


crm, slow, ward = HttpSink(), HttpSink(), MllpSink()
crm.answer = crm_says
busy = {'n': 2}


def slow_says(r):
    busy['n'] -= 1
    return (503, {}, {}) if busy['n'] >= 0 else (200, {'id': 9, 'version': 2}, {})


slow.answer = slow_says
source = open(os.path.join(HERE, 'app.hdw'), encoding='utf-8').read()
d = Daemon(source, {'log_segment_bytes': 65536, 'settings': {'site': 'B'}, 'listeners': {'adt': {'port': 0}, 'web': {'port': 0}}, 'connections': {
    'crm': {'base': f'http://127.0.0.1:{crm.port}', 'grant': {'networks': ['127.0.0.0/8']}},
    'slow': {'base': f'http://127.0.0.1:{slow.port}', 'grant': {'networks': ['127.0.0.0/8']}},
    'ward': {'address': f'127.0.0.1:{ward.port}', 'grant': {'networks': ['127.0.0.0/8']}}}}).start()


def cli(*args):
    r = subprocess.run([HDWVM, *map(str, args), '--config', 'hdw.json'], cwd=d.dir, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, (args, r.stdout + r.stderr)
    return r.stdout


def book(body):
    q = urllib.request.Request(f'http://127.0.0.1:{d.ports["web"]}/book', body.encode(), {'Content-Type': 'application/json'})
    try:
        with urllib.request.urlopen(q, timeout=20) as r:
            return r.status
    except urllib.error.HTTPError as e:
        return e.code


def state_of(workflow, state):
    return [r for r in d.runs(state) if r['workflow'] == workflow]


m = Mllp(d.ports['adt'])
for i in range(4):
    m.ask(message(f'M{i}', mrn=f'100{i}', born=f'1970020{i + 1}'))
m.ask(message('M0', mrn='1000', born='19700201'))           # a resend
m.ask(message('Z1', mrn='1100', sender='LAB_B'))
m.ask(message('N1', mrn='0'))                                # rejected by the gate
m.ask(message('N2', event='ADT^A40'))                        # nobody wants it
m.ask('MSH|nonsense')
m.ask(message('E1', mrn='1200', name='REFUSED'))             # a handler takes the error; the delivery dies
m.ask(message('C1', event='ADT^A08', mrn='2000'))            # retried twice
m.ask(message('C2', event='ADT^A08', mrn='2000'))            # once: nothing
assert [book('{"who":"ann","dose":1.50}'), book('{"who":"ben"}')] == [200, 422]
m.ask(message('L1', event='ADT^A03', mrn='3000'))
m.ask(message('L2', event='ADT^A03', mrn='GONE'))            # it fails by itself
wait_for(lambda: len([r for r in d.runs() if r['state'] in ('done', 'failed')]) == 11, seconds=30, what='the runs')
wait_for(lambda: all(s['queued'] == 0 or s['dead'] for s in d.ask('sinks')), what='the deliveries')
m.close()
d.kill()                                                     # and it goes on from what is there
d.start()
m = Mllp(d.ports['adt'])
m.ask(message('M9', mrn='1003', name='DOE^JANE'))
wait_for(lambda: len([r for r in d.runs() if r['state'] in ('done', 'failed')]) == 12, seconds=30, what='the run behind the kill')
# A second version, and one message again on it.
folder = os.path.join(d.dir, 'two')
os.mkdir(folder)
with open(os.path.join(folder, 'app.hdw'), 'w', encoding='utf-8') as f:
    f.write(source.replace("family: string? = msg.PID-5.familyName.first()", "family: string? = msg.PID-5.familyName.first().lower()"))
subprocess.run([HDWC, 'build', 'app.hdw', '-o', '../next.hdwb'], cwd=folder, check=True, timeout=60)
os.rename(os.path.join(d.dir, 'next.hdwb'), os.path.join(folder, 'app.hdwb'))
cli('deploy', os.path.join(folder, 'app.hdwb'))
first = [x['id'] for x in d.ask('messages') if x.get('control_id') == 'M1'][0]
cli('reprocess', first, '--yes')
wait_for(lambda: len([r for r in d.runs() if r['message'] == first and r['state'] == 'done']) == 2, what='the run done again')
# What is left open: a run that waits for a time, one that waits for a connection, deliveries in a queue, a held lane behind a dead run.
cli('pause', 'ward')
slow.close()
m.ask(message('W1', event='ADT^A03', mrn='HOLD'))
m.ask(message('W2', event='ADT^A03', mrn='3001'))
m.ask(message('W3', mrn='1300'))
m.ask(message('W4', mrn='1300', name='LATER^LIZ'))
wait_for(lambda: len(d.runs('parked')) == 2 and len(state_of('admit', 'queued')) == 0, what='what waits')
time.sleep(0.5)
m.close()
assert d.stop() == 0
expected = {'requests': len(crm.requests), 'paused': 'ward'}
for view in ('status', 'messages', 'runs', 'dead'):
    expected[view] = json.loads(cli(view, '--json', *(['--limit', '1000'] if view in ('messages', 'runs') else []))) if view != 'status' else None
expected['run'] = [json.loads(cli('run', r['id'], '--json')) for r in expected['runs']]
expected['message'] = [json.loads(cli('message', x['id'], '--json')) for x in expected['messages']]
expected['requests_by_key'] = sorted({r['key'] for r in crm.requests if r['key']})
with open(os.path.join(d.dir, 'expected.json'), 'w', encoding='utf-8') as f:
    json.dump(expected, f, indent=1)
config = dict(d.config, data='data')
with open(os.path.join(d.dir, 'hdw.json'), 'w', encoding='utf-8') as f:
    json.dump(config, f, indent=1)
os.rename(os.path.join(folder, 'app.hdwb'), os.path.join(d.dir, 'next.hdwb'))
out = os.path.join(HERE, a.name + '.tar.gz')
with tarfile.open(out, 'w:gz') as t:
    t.add(d.config['data'], 'data', recursive=False)
    for name in ('data/log', 'data/hash.key', 'data/state.mdb', 'app.hdwb', 'next.hdwb', 'hdw.json', 'expected.json'):
        t.add(os.path.join(d.dir, name), name, filter=lambda i: None if i.name.endswith('/lock') else i)
print(out, os.path.getsize(out), 'bytes;', len(expected['runs']), 'runs,', len(expected['messages']), 'messages')
d.close()
