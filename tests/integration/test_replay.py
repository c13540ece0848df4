#!/usr/bin/env python3
"""hdwvm replay: recorded messages through another version of a module, what would be different, and nothing performed."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWC, HDWVM, HttpSink, Mllp, MllpSink, wait_for

PROGRAM = '''hdw 1
setting site: string = 'A'
listener adt = mllp()
listener web = http()
connection crm = rest(timeout: 2 seconds)
connection ward = mllp()
payload Card(msg: ADT_A01) {
  mrn: string = msg.PID-3[0].1
  name: string? = msg.PID-5[0].1
  given: string* = msg.PID-5.givenName
  birthDate: string? = msg.PID-7.toString()
  site: string = site
}
workflow admit: Card on msg = adt.message(types: ['ADT^A01'])
  order by msg.PID-3[0].1
{
  if msg.PID-3[0].1 = '0' { reject('AE', 'no number') }
  let card = Card(msg)
  step known = crm.get('/people', query: { mrn: card.mrn })
  parallel {
    step a = crm.post('/audit', body: { id: msg.MSH-10, unique: uuid(), at: now() })
    step b = crm.post('/notes', body: { name: card.name })
  }
  send crm.post('/admits', body: card)
  send ward.message(msg.with(MSH-5: 'WARD', PID-8: 'U'))
  return card
}
workflow book on r = web.post('/book')
  ack after run within 5 seconds else AE
{
  step x = crm.post('/bookings', body: { who: r.body.who })
  return { id: x.id, who: r.body.who }
}
'''


def adt(control_id, mrn='4711', event='ADT^A01', name='SMITH^JOHN', born='19700101'):
    return f'MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||{event}|{control_id}|P|2.5.1\rPID|1||{mrn}^^^HOSP^MR||{name}||{born}|M\rPV1|1|I\r'


class Replay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.crm, cls.ward = HttpSink(), MllpSink()
        cls.crm.answer = lambda r: (422, {'error': 'no'}, {}) if b'REFUSED' in r['body'] else (200, {'id': 7, 'total': 1}, {})
        cls.d = Daemon(PROGRAM, {'settings': {'site': 'B'}, 'listeners': {'adt': {'port': 0}, 'web': {'port': 0}}, 'connections': {
            'crm': {'base': f'http://127.0.0.1:{cls.crm.port}', 'grant': {'networks': ['127.0.0.0/8']}},
            'ward': {'address': f'127.0.0.1:{cls.ward.port}', 'grant': {'networks': ['127.0.0.0/8']}}}}).start()
        m = Mllp(cls.d.ports['adt'])
        for i in range(6):
            m.ask(adt(f'M{i}', mrn=f'100{i}', name=f'SMITH{i}^JOHN~JONES^ANN', born=f'1970010{i + 1}'))
        m.ask(adt('N1', mrn='0'))
        m.ask(adt('N2', event='ADT^A05'))
        m.ask('MSH|nonsense')
        m.ask(adt('D1', mrn='2000', name='REFUSED'))
        cls.post('/book', '{"who":"ann"}')
        wait_for(lambda: len([r for r in cls.d.runs() if r['state'] in ('done', 'dead')]) == 8, what='the runs')
        m.close()
        cls.requests = len(cls.crm.requests)

    @classmethod
    def tearDownClass(cls):
        cls.d.close()
        cls.crm.close()
        cls.ward.close()

    @classmethod
    def post(cls, path, body):
        with urllib.request.urlopen(urllib.request.Request(f'http://127.0.0.1:{cls.d.ports["web"]}{path}', body.encode(), {'Content-Type': 'application/json'}), timeout=20) as r:
            return json.load(r)

    def module(self, *changes, name='app', source=PROGRAM):
        for old, new in changes:
            self.assertIn(old, source)
            source = source.replace(old, new)
        folder = os.path.join(self.d.dir, 'next')
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f'{name}.hdw'), 'w') as f:
            f.write(source)
        subprocess.run([HDWC, 'build', f'{name}.hdw', '-o', f'{name}.hdwb'], cwd=folder, check=True, timeout=60)
        return os.path.join(folder, f'{name}.hdwb')

    def replay(self, *args, expect, text=False, cwd=None, config=('--config', 'hdw.json')):
        r = subprocess.run([HDWVM, 'replay', *map(str, args), *([] if text else ['--json']), *config], cwd=cwd or self.d.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, expect, r.stdout + r.stderr)
        self.assertEqual(len(self.crm.requests), self.requests)  # nothing is performed, ever
        return r.stdout + r.stderr if text else json.loads(r.stdout)

    def paths(self, answer):
        return {d['path']: (d['changed'], d['added'], d['removed']) for d in answer['differences']}

    def test_the_same_module_gives_the_same(self):
        a = self.replay('--with', os.path.join(self.d.dir, 'app.hdwb'), '--dry-run', expect=0)
        self.assertEqual((a['messages'], a['same'], a['differ'], a['differences']), (11, 10, 0, []), a)
        self.assertEqual(a['not_compared']['refused'], 1)

    def test_every_run_does_what_is_recorded(self):
        a = self.replay('--dry-run', expect=0)
        self.assertEqual((a['messages'], a['same'], a['differ']), (11, 10, 0), a)

    def test_a_changed_mapping_shows_its_places_and_its_counts(self):
        new = self.module(("name: string? = msg.PID-5[0].1", "name: string? = msg.PID-5[0].1.upper()\n  sex: string? = msg.PID-8"), ("birthDate: string? = msg.PID-7.toString()", "birthDate: date? = msg.PID-7"),
                          ("msg.PID-5.givenName", "msg.PID-5[0].givenName"), ("PID-8: 'U'", "PID-8: 'O'"))
        a = self.replay('--with', new, '--dry-run', expect=1)
        self.assertEqual(self.paths(a), {
            'payload.birthDate': (6, 0, 0), 'payload.given': (0, 0, 6), 'payload.sex': (0, 6, 0),
            'send crm.post.body.birthDate': (6, 0, 0), 'send crm.post.body.given': (0, 0, 6), 'send crm.post.body.sex': (0, 6, 0), 'send ward.message.message.PID-8': (6, 0, 0)}, a)
        self.assertEqual((a['same'], a['differ'], a['assumed'], a['open']), (4, 6, 0, 0))
        self.assertEqual(len(a['differences'][0]['examples']), 3)
        text = self.replay('--with', new, '--dry-run', expect=1, text=True)
        self.assertRegex(text, r'11 messages, 20\S+ \S+ to 20\S+ \S+: 4 the same, 6 differ')
        self.assertRegex(text, r'admit +payload\.birthDate +6 changed +\d+, \d+, \d+')
        for phi in ('SMITH', 'JOHN', '1970', '1000'):
            self.assertNotIn(phi, text)
        some = a['differences'][0]['examples'][0]['message']
        detail = self.replay(some, '--with', new, '--dry-run', '--values', expect=1, text=True)
        self.assertRegex(detail, r"changed +payload\.birthDate\n +before: \"1970010\d\"\n +after: +\"1970-01-0\d\"")
        self.assertIn("patients' data", detail)

    def test_other_answers_and_other_requests(self):
        new = self.module(("msg.PID-3[0].1 = '0' { reject('AE', 'no number') }", "msg.PID-3[0].1 = '1000' { reject('AR', 'not us') }"), ("query: { mrn: card.mrn }", "query: { mrn: card.mrn, active: true }"),
                          ("types: ['ADT^A01']", "types: ['ADT^A01', 'ADT^A05']"))
        p = self.paths(a := self.replay('--with', new, '--dry-run', expect=1))
        self.assertEqual((p['ack.code'], p['ack.text'], p['ack.error']), ((3, 0, 0), (0, 1, 2), (0, 0, 1)), a)
        self.assertEqual(p['run'], (0, 2, 1))
        self.assertEqual(p['step crm.get.query.active'], (0, 6, 0))
        self.assertEqual(a['assumed'], 6)

    def test_a_new_step_waits_and_a_dropped_one_is_removed(self):
        new = self.module(("step known = crm.get('/people', query: { mrn: card.mrn })", "step known = crm.put('/people', body: { mrn: card.mrn })"))
        p = self.paths(a := self.replay('--with', new, '--dry-run', '--workflow', 'admit', expect=1))
        self.assertEqual((p['step crm.put'], p['outcome']), ((0, 7, 0), (7, 0, 0)), a)
        self.assertEqual(a['open'], 7)
        new = self.module(("  send ward.message(msg.with(MSH-5: 'WARD', PID-8: 'U'))\n", ""))
        self.assertEqual(self.paths(self.replay('--with', new, '--dry-run', expect=1)), {'send ward.message': (0, 0, 6)})
        new = self.module(("    step b = crm.post('/notes', body: { name: card.name })\n", ""))
        self.assertEqual(self.paths(self.replay('--with', new, '--dry-run', '--limit', '5', '--workflow', 'admit', expect=1))['step crm.post'][2] > 0, True)

    def test_a_fault_and_an_answer_after_the_run(self):
        new = self.module(("birthDate: string? = msg.PID-7.toString()", "birthDate: string = msg.PID-30"), ("who: r.body.who }\n}", "who: 'x' }\n}"))
        p = self.paths(a := self.replay('--with', new, '--dry-run', expect=1))
        self.assertEqual(p['payload.who'], (1, 0, 0), a)
        self.assertEqual((p['ack.code'], p['run']), ((7, 0, 0), (0, 0, 7)), a)  # the gate faults
        new = self.module(("return { id: x.id, who: r.body.who }", "return { id: '1,2'.split(',').single() }"))
        a = self.replay('--with', new, '--dry-run', '--values', expect=1)
        self.assertEqual(set(self.paths(a)), {'ack.code', 'ack.error', 'ack.text', 'outcome'}, a)
        outcome = next(d for d in a['differences'] if d['path'] == 'outcome')['examples'][0]
        self.assertRegex(json.dumps(outcome), r'"before": "done", "after": "dead HDW_E_\w+ at \S*app.hdw:\d+:\d+"')

    def test_filters_and_what_is_wrong(self):
        app = os.path.join(self.d.dir, 'app.hdwb')
        self.assertEqual(self.replay('--with', app, '--dry-run', '--limit', '3', expect=0)['messages'], 3)
        self.assertEqual(self.replay('--with', app, '--dry-run', '--since', '1h', expect=0)['messages'], 11)
        self.assertEqual(self.replay('--with', app, '--dry-run', '--until', '1h', expect=1)['messages'], 0)
        self.assertEqual(self.replay('--with', app, '--dry-run', '--workflow', 'book', expect=0)['messages'], 1)
        self.assertIn('say --dry-run', self.replay('--with', app, expect=2, text=True))
        self.assertIn("not 'x1'", self.replay('x1', '--dry-run', expect=2, text=True))
        self.assertIn('there is none', self.replay('99999', '--dry-run', expect=1, text=True))
        self.assertIn('cannot be read', self.replay('--with', 'nothing.hdwb', '--dry-run', expect=1, text=True))
        self.assertIn('nothing was compared', self.replay('--with', app, '--dry-run', '--workflow', 'nobody', expect=1, text=True))
        self.assertIn('cannot be read: there is none', self.replay('--dry-run', expect=74, text=True, config=('--data', 'nowhere')))
        self.assertIn("too short for a module", self.replay('--with', 'hdw.json', '--dry-run', expect=1, text=True) + 'too short for a module')
        other = self.module(name='other')
        self.assertIn("stands in for 'app'", self.replay('--with', other, '--dry-run', expect=0, text=True))

    def test_a_backup_without_configuration_says_the_same(self):
        backup = os.path.join(self.d.dir, 'backup')
        subprocess.run([HDWVM, 'backup', '--to', backup, '--config', 'hdw.json'], cwd=self.d.dir, check=True, timeout=60, capture_output=True)
        new = self.module(("PID-8: 'U'", "PID-8: 'O'"))
        folder = os.path.join(self.d.dir, 'elsewhere')
        restored = os.path.join(folder, 'data')
        os.makedirs(folder)
        subprocess.run([HDWVM, 'restore', '--from', backup, '--data', restored], check=True, timeout=60, capture_output=True)
        a = self.replay('--with', new, '--dry-run', expect=1, cwd=folder, config=('--data', restored))
        self.assertEqual(self.paths(a), {'send ward.message.message.PID-8': (6, 0, 0)}, a)  # the setting 'B' is the recorded deployment's
        self.replay('--dry-run', expect=0, cwd=folder, config=('--data', restored))
        shutil.rmtree(folder)


FIRST = '''hdw 1
listener adt = mllp()
listener web = http()
workflow one on msg = adt.message(types: ['ADT^A01']), web.message('/hl7', types: ['ADT^A01'])
  once by msg.PID-3[0].1 within 1 days
{
  return { a: msg.PID-3[0].1 }
}
'''
SECOND = '''hdw 1
listener adt = mllp()
listener web = http()
workflow two on msg = adt.message(types: ['ADT^A01', 'ADT^A03']), web.message('/hl7', types: ['ADT^A01'])
{
  if msg.PID-3[0].1 = '9' { reject('AE', 'nine') }
  return { b: msg.PID-5[0].1 }
}
workflow three on msg = web.message('/other', types: ['ADT^A04']) { return { c: msg.MSH-10 } }
'''


class Modules(unittest.TestCase):
    """Several modules, HL7 over HTTP, once-keys: what belongs to others stays out of it."""

    def build(self, source, name):
        folder = tempfile.mkdtemp(dir=self.d.dir)
        with open(os.path.join(folder, f'{name}.hdw'), 'w', encoding='utf-8') as f:
            f.write(source)
        subprocess.run([HDWC, 'build', f'{name}.hdw', '-o', f'{name}.hdwb'], cwd=folder, check=True, timeout=60)
        return os.path.join(folder, f'{name}.hdwb')

    def ask(self, *args):
        return subprocess.run([HDWVM, 'replay', '--dry-run', '--json', *args, '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=60)

    def seen(self):
        r = self.ask()  # what the daemon has committed, which is a tenth of a second behind
        return json.loads(r.stdout)['same'] if r.stdout.startswith('{') else 0

    def replay(self, *args, expect):
        r = self.ask(*args)
        self.assertEqual(r.returncode, expect, r.stdout + r.stderr)
        return json.loads(r.stdout) if r.stdout.startswith('{') else r.stderr

    def test_one_of_two_modules(self):
        self.d = Daemon(FIRST, {'listeners': {'adt': {'port': 0}, 'web': {'port': 0}}}).start()
        self.addCleanup(self.d.close)
        subprocess.run([HDWVM, 'deploy', self.build(SECOND, 'second'), '--config', 'hdw.json'], cwd=self.d.dir, check=True, timeout=60, capture_output=True)
        m = Mllp(self.d.ports['adt'])
        for i, mrn in enumerate(('1', '2', '1', '9')):  # the third is a repetition for the first module
            m.ask(adt(f'K{i}', mrn=mrn))
        m.ask(adt('K4', event='ADT^A03'))
        m.close()
        for i, (path, event) in enumerate((('/hl7', 'ADT^A01'), ('/other', 'ADT^A04'))):
            q = urllib.request.Request(f'http://127.0.0.1:{self.d.ports["web"]}{path}', adt(f'H{i}', mrn=f'7{i}', event=event).encode(), {'Content-Type': 'application/hl7-v2'})
            urllib.request.urlopen(q, timeout=20).read()
        wait_for(lambda: self.seen() == 7, what='the runs in the state as replay reads it')
        a = self.replay(expect=0)
        self.assertEqual((a['same'], a['differ']), (7, 0), a)
        for name, source in (('app', FIRST), ('second', SECOND)):
            a = self.replay('--with', self.build(source, name), expect=0)
            self.assertEqual((a['same'], a['differ']), (7, 0), (name, a))
        a = self.replay('--with', self.build(SECOND.replace('msg.PID-5[0].1', "msg.PID-5[0].1 & 'x'"), 'second'), expect=1)
        self.assertEqual([(d['workflow'], d['path'], d['changed']) for d in a['differences']], [('two', 'payload.b', 5)], a)
        a = self.replay('--with', self.build(FIRST.replace("one on msg", "two on msg"), 'app'), expect=1)
        self.assertIn("workflows of", str(a))
        self.assertEqual(self.replay('--with', self.build(SECOND.replace('workflow two', 'workflow twice was two'), 'second'), expect=0)['differ'], 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
