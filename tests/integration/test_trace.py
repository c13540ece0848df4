"""hdwvm run ID --until STEP: a run executed again from its record, and the values that its names had there."""
import json
import os
import subprocess
import sys
import unittest
import http.client

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Mllp, MllpSink, ack_code, wait_for

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
LOOPS = '''hdw 1
setting crm_base: url
connection crm = rest(base: crm_base, timeout: 2 seconds)
listener web = http(port: 8080)

action note(id: string, n: integer): string {
  let label = "{id}/{n}"
  step r = crm.post('/notes', body: { label: label })
  return r.id.toString()
}

workflow many on rq = web.post('/many') {
  let who = rq.body.who
  for n in [10, 20] {
    let twice = n * 2
    step made = note(who, twice)
    log('noted', number: n)
  }
  parallel {
    step left = crm.post('/left', body: { who: who })
    step right = note(who, 5)
  }
  step last = crm.get('/missing') on error where error.status = 404 use { gone: true }
  step never = crm.post('/fails', body: { last: last })
  return { last: last }
}
'''
TOKENS = {'look': 'token-of-the-viewer-0001', 'care': 'token-of-the-nurse-0003'}


class Base(unittest.TestCase):
    def begin(self, source, with_ward=False, **config):
        self.sink, self.ward = HttpSink(), MllpSink()
        loopback = {'grant': {'networks': ['127.0.0.0/8']}}
        if with_ward:
            config['connections'] = {'crm': loopback, 'ward': dict(loopback, address=f'127.0.0.1:{self.ward.port}')}
        self.d = Daemon(source, dict({
            'settings': {'crm_base': f'http://127.0.0.1:{self.sink.port}'}, 'listeners': {'web': {'port': 0}},
            'connections': {'crm': loopback}, 'roles': {'viewer': ['token:look'], 'phi_viewer': ['token:care']}, 'admin_http': {'port': 0}}, **config))
        self.d.config.setdefault('secrets', {})
        for name, token in dict(TOKENS, crm_token='secret-of-the-crm').items():
            path = os.path.join(self.d.dir, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write(token + '\n')
            if name in TOKENS or with_ward:
                self.d.config['secrets'][name] = {'file': path}
        self.d.start()

    def tearDown(self):
        self.d.close()
        self.sink.close()
        self.ward.close()

    def until(self, run, step):
        return self.d.ask('run', run, '--until', step)

    def text(self, run, step, expect=0):
        r = subprocess.run([HDWVM, 'run', str(run), '--until', str(step), '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, expect, r.stderr)
        return r.stdout + r.stderr

    def line(self, text):
        with open(os.path.join(self.d.dir, 'app.hdw')) as f:
            return next(i for i, l in enumerate(f, 1) if text in l)


def names(frame):
    return {n['name']: n.get('value') for n in frame['names']}


class AdtToCrm(Base):
    def setUp(self):
        with open(os.path.join(ROOT, 'tests/integration/admit.hdw')) as f:
            source = f.read()
        self.begin(source, with_ward=True, listeners={'adt': {'port': 0}, 'web': {'port': 0}})
        with open(os.path.join(ROOT, 'examples/adt-to-crm/samples/adt-a01.hl7'), newline='') as f:
            self.message = f.read().replace('\r\n', '\r').replace('\n', '\r')
        c = Mllp(self.d.ports['adt'])
        self.assertEqual(ack_code(c.ask(self.message)), 'AA')
        c.close()
        self.run_id = wait_for(lambda: [r for r in self.d.runs() if r['state'] == 'done'], what='the run')[0]['id']

    def test_values_before_each_step(self):
        sent = len(self.sink.requests)
        card = json.loads(self.sink.to('/admits')[0]['body'])
        one = self.until(self.run_id, 1)
        self.assertEqual((one['stopped'], len(one['steps'])), ('before a step', 1))
        self.assertEqual((one['steps'][0]['connection'], one['steps'][0]['operation'], one['steps'][0]['at']), ('crm', 'rest.post', f'app.hdw:{self.line("step saved = ")}:20'))
        self.assertEqual(one['request']['body'], card)
        here = names(one['frames'][0])
        self.assertEqual(list(here), ['msg', 'mrn', 'card'])
        self.assertEqual((here['mrn'], here['card']), ('100234567', card))
        self.assertTrue(here['msg'].startswith('MSH|'))
        two = self.until(self.run_id, 2)
        self.assertEqual([s['state'] for s in two['steps']], ['done', 'new'])
        here = names(two['frames'][0])
        self.assertEqual(here['saved'], {'id': 1})
        self.assertEqual(two['frames'][0]['at'], f'app.hdw:{self.line("send ward.message")}:13')
        self.assertIn('PV1', two['request']['message'])
        end = self.until(self.run_id, 'end')
        self.assertEqual((end['stopped'], end['result'], end['frames']), ('the end', card, []))
        self.assertEqual([s['state'] for s in end['steps']], ['done', 'queued'])
        self.assertEqual(len(self.sink.requests), sent, 'nothing is performed')
        self.assertEqual(self.d.ask('run', self.run_id)['state'], 'done')

    def test_by_path_and_as_text(self):
        path = self.until(self.run_id, 1)['steps'][0]['path']
        # a path is recognised when it is no plain number of a step
        out = self.text(self.run_id, 2)
        self.assertIn('executed again up to before a step', out)
        self.assertRegex(out, r'> 2 .*ward\.message')
        self.assertRegex(out, r'  mrn +="? *=? ?|  mrn   = 100234567')
        self.assertIn('comes to its end without a step', self.text(self.run_id, 9, expect=1))
        self.assertIn('no such run', self.text(1, 1, expect=1))
        self.assertTrue(path)

    def test_without_the_role_types_and_sizes(self):
        def get(token):
            c = http.client.HTTPConnection('127.0.0.1', self.d.ports['admin_http'], timeout=20)
            c.request('GET', f'/trace/{self.run_id}?until=1&reason=test', headers={'Authorization': 'Bearer ' + TOKENS[token]})
            r = c.getresponse()
            body = r.read().decode()
            c.close()
            self.assertEqual(r.status, 200, body)
            return body
        look, care = get('look'), get('care')
        self.assertNotIn('100234567', look)
        self.assertNotIn('request', json.loads(look))
        mrn = next(n for n in json.loads(look)['frames'][0]['names'] if n['name'] == 'mrn')
        self.assertNotIn('value', mrn)
        self.assertIn('type', mrn)
        self.assertIn('100234567', care)


class Loops(Base):
    def setUp(self):
        self.begin(LOOPS)
        self.sink.answer = lambda r: (404, {}, {}) if r['path'] == '/missing' else (422, {}, {}) if r['path'] == '/fails' else (201, {'id': 3 if r['path'] == '/left' else 4}, {})  # the calls of `parallel` arrive in any order
        c = http.client.HTTPConnection('127.0.0.1', self.d.ports['web'], timeout=20)
        c.request('POST', '/many', json.dumps({'who': 'Okafor'}), {'Content-Type': 'application/json'})
        c.getresponse().read()
        c.close()
        self.run_id = wait_for(lambda: self.d.runs('dead'), what='the dead run')[0]['id']

    def test_actions_loops_and_where_the_record_ends(self):
        all_of_it = self.until(self.run_id, 'end')
        self.assertEqual([s['kind'] for s in all_of_it['steps']], ['step', 'log', 'step', 'log', 'step', 'step', 'step', 'step'])
        self.assertEqual([s['state'] for s in all_of_it['steps']], ['done', 'log', 'done', 'log', 'done', 'done', 'failed', 'failed'])
        self.assertEqual(names(all_of_it['frames'][0]), {'rq': names(all_of_it['frames'][0])['rq'], 'who': 'Okafor', 'left': {'id': 3}, 'right': '4', 'last': {'gone': True}})
        third = self.until(self.run_id, 3)
        self.assertEqual([f['function'] for f in third['frames']], ['note', 'many'])
        self.assertEqual(names(third['frames'][0]), {'id': 'Okafor', 'n': 40, 'label': 'Okafor/40'})
        outer = names(third['frames'][1])
        self.assertEqual((outer['n'], outer['twice'], outer['who']), (20, 40, 'Okafor'))
        self.assertEqual(third['steps'][2]['at'], f'app.hdw:{self.line("step r = crm.post")}:16')
        by_path = self.until(self.run_id, third['steps'][2]['path'])
        self.assertEqual(by_path['frames'], third['frames'])
        branch = self.until(self.run_id, 6)
        self.assertEqual([f['function'] for f in branch['frames']], ['note', 'many'])
        self.assertEqual(names(branch['frames'][0])['label'], 'Okafor/5')
        self.assertEqual(branch['frames'][1]['at'].rsplit(':', 1)[0], f'app.hdw:{self.line("step right")}')
        self.assertNotIn('made', names(self.until(self.run_id, 5)['frames'][0]), 'what a loop named ends with it')


if __name__ == '__main__':
    unittest.main()
