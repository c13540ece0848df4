"""The daemon as users run it: real sockets, real files, kill -9."""
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Mllp, MllpSink, ack_code, adt, wait_for

PROGRAM = '''hdw 1

setting crm_base: url

connection crm  = rest(base: crm_base, timeout: 2 seconds)
connection ward = mllp(timeout: 2 seconds)
connection out  = folder()

listener adt = mllp(port: 2575)
listener web = http(port: 8080)

payload AdmitCard(msg: ADT_A01) {
  mrn:    string  = msg.PID-3.idNumber.first()
  family: string? = msg.PID-5.familyName
}

workflow admit: AdmitCard
  on msg = adt.message(types: ['ADT^A01']), web.message('/hl7', types: ['ADT^A01'])
  order by msg.PID-3.idNumber.first()
{
  let mrn = msg.PID-3.idNumber.first()
  if mrn.empty() { reject('AE', 'no medical record number in PID-3') }
  let card = AdmitCard(msg)
  step first = crm.post('/first', body: card)
  step second = crm.post('/second', body: { mrn: mrn, first: first.id })
  send crm.post('/notices', body: { mrn: mrn })
  return card
}

workflow forward
  on msg = adt.message(types: ['ADT^A08'])
{
  send ward.message(msg)
}

workflow keep
  on msg = adt.message(types: ['ADT^A03'])
{
  let name = msg.MSH-10
  step out.write("{name}.json", { id: name })
}

workflow intake
  on rq = web.post('/intake')
  ack after run within 5 seconds else AE
{
  step made = crm.post('/intake', body: rq.body)
  return { made: made.id, name: rq.body.name }
}

workflow later on rq = web.post('/later') {
  step made = crm.post('/later', body: rq.body)
}
'''


class DaemonTest(unittest.TestCase):
    def setUp(self):
        self.sink, self.ward = HttpSink(), MllpSink()
        self.d = Daemon(PROGRAM, {
            'settings': {'crm_base': f'http://127.0.0.1:{self.sink.port}'},
            'listeners': {'adt': {'port': 0}, 'web': {'port': 0}},
            'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}, 'ward': {'address': f'127.0.0.1:{self.ward.port}', 'grant': {'networks': ['127.0.0.1/32']}},
                            'out': {'folder': 'out'}},
        }).start()
        self.conns = []

    def tearDown(self):
        for c in self.conns:
            c.close()
        self.d.close()
        self.sink.close()
        self.ward.close()

    def mllp(self):
        c = Mllp(self.d.ports['adt'])
        self.conns.append(c)
        return c

    def http(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection('127.0.0.1', self.d.ports['web'], timeout=20)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read().decode()
        finally:
            c.close()

    def all_done(self, n=1):
        return wait_for(lambda: len([r for r in self.d.runs() if r['state'] == 'done']) >= n and self.d.runs(), what='the run')

    def test_message_becomes_answer_steps_delivery_and_record(self):
        ack = self.mllp().ask(adt('M1'))
        self.assertEqual(ack_code(ack), 'AA')
        run = self.all_done()[0]
        wait_for(lambda: self.sink.to('/notices'))
        self.assertEqual(json.loads(self.sink.to('/first')[0]['body']), {'mrn': '4711', 'family': 'SMITH'})
        self.assertEqual(json.loads(self.sink.to('/second')[0]['body'])['first'], 1)
        self.assertEqual(len({r['key'] for r in self.sink.requests}), 3)
        one = self.d.ask('run', run['id'])
        self.assertEqual([s['operation'] for s in one['journal']], ['rest.post', 'rest.post'])
        self.assertTrue(all(s['at'].startswith('app.hdw:') for s in one['journal']))
        self.assertEqual(one['result'], {'mrn': '4711', 'family': 'SMITH'})
        wait_for(lambda: self.d.ask('run', run['id'])['deliveries'][0]['state'] == 'delivered')
        msg = self.d.ask('messages', '--control-id', 'M1')
        self.assertEqual([(m['sender'], m['ack'], m['state']) for m in msg], [('LAB', 'AA', 'accepted')])
        self.assertEqual(self.d.ask('message', msg[0]['id'])['body'], adt('M1'))
        self.assertEqual(self.d.stop(), 0)

    def test_H40_duplicate_gets_the_stored_answer_also_after_a_kill(self):
        c = self.mllp()
        ack = c.ask(adt('M1'))
        self.all_done()
        self.assertEqual(c.ask(adt('M1')), ack)
        self.d.kill()
        self.d.start()
        self.assertEqual(self.mllp().ask(adt('M1')), ack)
        self.assertEqual(len(self.sink.to('/first')), 1)

    def test_rejected_unmatched_and_garbage(self):
        c = self.mllp()
        ack = c.ask(adt('M1', mrn=''))
        self.assertEqual(ack_code(ack), 'AE')
        self.assertIn('no medical record number', ack)
        self.assertEqual(ack_code(c.ask(adt('M2', event='ORU^R01'))), 'AR')
        self.assertEqual(ack_code(c.ask(adt(''))), 'AR')
        self.assertEqual(ack_code(c.ask('garbage')), 'AR')
        self.assertEqual(self.sink.requests, [])
        states = sorted(m['state'] for m in self.d.ask('messages'))
        self.assertEqual(states, ['failed', 'failed', 'rejected', 'unmatched'])

    def test_sink_that_comes_back_gets_everything_once_more_with_the_same_key(self):
        self.sink.answer = lambda r: (503, {}, {})
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')
        wait_for(lambda: self.d.runs('parked'), what='parking')
        self.sink.answer = lambda r: (201, {'id': 5}, {})
        self.all_done()
        keys = {r['key'] for r in self.sink.to('/first')}
        self.assertGreaterEqual(len(self.sink.to('/first')), 2)
        self.assertEqual(len(keys), 1)
        self.assertEqual(len(self.sink.to('/second')), 1)

    def test_kill_in_the_middle_of_a_step(self):
        self.sink.answer = lambda r: None if r['path'] == '/second' else (201, {'id': 1}, {})
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')
        wait_for(lambda: self.sink.to('/second'))
        self.d.kill()
        self.sink.answer = lambda r: (201, {'id': 1}, {})
        self.d.start()
        self.all_done()
        self.assertEqual(len(self.sink.to('/first')), 1)
        second = self.sink.to('/second')
        self.assertEqual(len(second), 2)
        self.assertEqual(second[0]['key'], second[1]['key'])
        self.assertEqual(second[0]['body'], second[1]['body'])

    def test_dead_letter_holds_its_lane_until_redriven(self):
        self.sink.answer = lambda r: (422, {}, {})
        c = self.mllp()
        c.ask(adt('M1'))
        wait_for(lambda: self.d.ask('dead'))
        c.ask(adt('M2'))
        c.ask(adt('M3', mrn='4712'))
        time.sleep(0.3)
        dead = self.d.ask('dead')
        self.assertEqual(len(dead), 2)  # M1 and M3; M2 waits behind M1
        self.assertEqual({d['code'] for d in dead}, {'422'})
        self.assertEqual(len(self.d.runs('queued')), 1)
        self.sink.answer = lambda r: (201, {'id': 1}, {})
        self.assertEqual(self.redrive_all(), 2)
        self.all_done(3)
        self.assertEqual(self.d.ask('dead'), [])
        first = [json.loads(r['body'])['mrn'] for r in self.sink.to('/first')]
        self.assertEqual(sorted(first), ['4711', '4711', '4711', '4712', '4712'])

    def redrive_all(self):
        r = subprocess.run([HDWVM, 'redrive', '--all', '--yes', '--json', '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 0, r.stderr)
        return json.loads(r.stdout.strip().split('\n')[-1])['done']

    def test_H20_forwarding_over_mllp(self):
        self.ward.codes = lambda n: 'AE' if n == 1 else 'AA'
        c = self.mllp()
        self.assertEqual(ack_code(c.ask(adt('M1', event='ADT^A08'))), 'AA')
        self.assertEqual(ack_code(c.ask(adt('M2', event='ADT^A08'))), 'AA')
        wait_for(lambda: len(self.ward.messages) == 3)
        ids = [m.split('\r')[0].split('|')[9] for m in self.ward.messages]
        self.assertEqual(ids, ['M1', 'M1', 'M2'])  # in order: M2 only after M1 was taken
        self.ward.codes = lambda n: 'AR'
        c.ask(adt('M4', event='ADT^A08'))
        dead = wait_for(lambda: self.d.ask('dead'))
        self.assertEqual((dead[0]['subject'], dead[0]['sink'], dead[0]['code']), ('delivery', 'ward', 'AR'))

    def test_paused_connection_waits_also_over_a_restart(self):
        self.hdwvm('pause', 'ward')
        self.hdwvm('pause', 'crm')
        c = self.mllp()
        c.ask(adt('M1', event='ADT^A08'))
        c.ask(adt('M2'))
        wait_for(lambda: self.d.runs('parked'))
        self.d.kill()
        self.d.start()
        self.assertEqual({s['state'] for s in self.d.ask('sinks') if s['name'] != 'out'}, {'paused'})
        time.sleep(0.3)
        self.assertEqual((self.ward.messages, self.sink.requests), ([], []))
        self.hdwvm('resume', 'ward')
        wait_for(lambda: len(self.ward.messages) == 1)
        self.assertEqual(self.sink.requests, [])
        self.assertEqual(self.hdwvm('pause', 'nobody', expect=1).returncode, 1)

    def hdwvm(self, *args, expect=0):
        r = subprocess.run([HDWVM, *args, '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, expect, r.stderr)
        return r

    def test_operators_find_messages_and_read_tables(self):
        c = self.mllp()
        for i in range(3):
            c.ask(adt(f'M{i}', mrn=f'47{i}'))
        self.all_done(3)
        for args, want in [(('--patient', '471'), ['M1']), (('--sender', 'LAB'), ['M2', 'M1', 'M0']), (('--since', '1h', '--limit', '2'), ['M2', 'M1']), (('--control-id', 'M9'), [])]:
            self.assertEqual([m['control_id'] for m in self.d.ask('messages', *args)], want)
        out = self.hdwvm('messages').stdout
        self.assertTrue(out.startswith('ID '))
        self.assertEqual(len(out.strip().split('\n')), 4)
        run = self.d.runs()[0]['id']
        out = self.hdwvm('run', str(run)).stdout
        for text in ('app.hdw:', 'rest.post', 'request', 'deliveries', '/notices'):
            self.assertIn(text, out)
        for what in ('status', 'sinks', 'limits', 'dead', 'runs'):
            self.hdwvm(what)
        self.assertIn('did you mean', self.hdwvm('statsu', expect=2).stderr)
        self.assertEqual(self.hdwvm('run', '99999999', expect=1).stdout, '')

    def test_files_are_written_whole(self):
        self.mllp().ask(adt('F1', event='ADT^A03'))
        self.all_done()
        folder = os.path.join(self.d.dir, 'out')
        self.assertEqual(os.listdir(folder), ['F1.json'])
        with open(os.path.join(folder, 'F1.json')) as f:
            self.assertEqual(json.load(f), {'id': 'F1'})

    def test_H46_hl7_over_http(self):
        kind = 'x-application/hl7-v2+er7; charset="utf-8"'
        status, headers, body = self.http('POST', '/hl7', adt('H1'), {'Content-Type': kind})
        self.assertEqual((status, headers['Content-Type'], ack_code(body)), (200, kind, 'AA'))
        self.assertIn('Date', headers)
        status, headers, body = self.http('POST', '/hl7', adt('H2', mrn=''), {'Content-Type': 'application/hl7-v2'})
        self.assertEqual((status, ack_code(body)), (200, 'AE'))  # H-49
        self.assertEqual(self.http('POST', '/hl7', adt('H3'), {'Content-Type': 'application/json'})[0], 415)
        status, headers, _ = self.http('GET', '/hl7')
        self.assertEqual((status, headers['Allow']), (405, 'POST'))
        self.assertEqual(self.http('POST', '/nothing', adt('H3'), {'Content-Type': 'text/plain'})[0], 404)
        self.assertEqual(self.http('POST', '/hl7', adt('H1'), {'Content-Type': kind})[2], self.http('POST', '/hl7', adt('H1'), {'Content-Type': kind})[2])  # H-53

    def test_api_requests(self):
        js = {'Content-Type': 'application/json'}
        status, _, body = self.http('POST', '/intake', '{"name": "x"}', js)
        self.assertEqual((status, json.loads(body)), (200, {'made': 1, 'name': 'x'}))
        status, headers, body = self.http('POST', '/intake', '{"name": ', js)
        self.assertEqual((status, headers['Content-Type']), (400, 'application/problem+json'))
        keyed = dict(js, **{'Idempotency-Key': 'k-1'})
        first = self.http('POST', '/later', '{"n": 1}', keyed)
        self.assertEqual(first[0], 202)
        self.all_done(2)
        self.assertEqual(self.http('POST', '/later', '{"n": 1}', keyed)[2], first[2])
        self.assertEqual(len(self.sink.to('/later')), 1)
        for n, status in ((255, 202), (256, 400)):  # a key that is not kept would let a repetition through
            self.assertEqual(self.http('POST', '/later', '{"n": 2}', dict(js, **{'Idempotency-Key': 'k' * n}))[0], status)
        self.all_done(3)
        self.sink.answer = lambda r: (400, {}, {})
        self.assertEqual(self.http('POST', '/intake', '{"name": "y"}', js)[0], 500)

    def test_tls_listener_and_client_certificates(self):
        pki = os.path.join(self.d.dir, 'pki')
        os.mkdir(pki)

        def openssl(*args):
            subprocess.run(['openssl', *args], cwd=pki, check=True, capture_output=True, timeout=60)

        for who in ('hub', 'partner'):
            openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{who}.key', '-out', f'{who}.pem', '-days', '2', '-subj', f'/CN={who}',
                    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
            os.chmod(os.path.join(pki, f'{who}.key'), 0o600)
        self.d.kill()
        self.d.config['listeners']['web']['tls'] = {'cert': 'pki/hub.pem', 'key': 'pki/hub.key'}
        self.d.config['listeners']['adt']['tls'] = {'cert': 'pki/hub.pem', 'key': 'pki/hub.key', 'client_ca': 'pki/partner.pem'}
        self.d.start()
        ctx = ssl.create_default_context(cafile=os.path.join(pki, 'hub.pem'))
        c = http.client.HTTPSConnection('127.0.0.1', self.d.ports['web'], timeout=20, context=ctx)
        c.request('POST', '/hl7', adt('T1'), {'Content-Type': 'application/hl7-v2'})
        self.assertEqual(ack_code(c.getresponse().read().decode()), 'AA')
        c.close()
        with self.assertRaises((ConnectionError, OSError)):  # no certificate of its own
            with ctx.wrap_socket(socket.create_connection(('127.0.0.1', self.d.ports['adt']), timeout=10), server_hostname='localhost') as s:
                s.sendall(b'\x0b' + adt('T2').encode() + b'\x1c\r')
                if not s.recv(100):
                    raise ConnectionError('closed')
        ctx.load_cert_chain(os.path.join(pki, 'partner.pem'), os.path.join(pki, 'partner.key'))
        m = Mllp.__new__(Mllp)
        m.s, m.data = ctx.wrap_socket(socket.create_connection(('127.0.0.1', self.d.ports['adt']), timeout=10), server_hostname='localhost'), b''
        self.conns.append(m)
        self.assertEqual(ack_code(m.ask(adt('T3'))), 'AA')
        os.chmod(os.path.join(pki, 'hub.key'), 0o644)
        r = subprocess.run([HDWVM, 'serve', '--check', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn('open to others', r.stderr)

    def test_addresses_that_are_not_granted_are_not_reached(self):
        self.d.kill()
        self.d.config['connections']['crm']['grant']['networks'] = []
        self.d.start()
        self.mllp().ask(adt('M1'))
        dead = wait_for(lambda: self.d.ask('dead'))
        self.assertIn('loopback', dead[0]['reason'] + dead[0].get('error', '') + self.d.ask('run', dead[0]['id'])['journal'][0]['error'])
        self.assertEqual(self.sink.requests, [])

    def test_check_lists_every_problem(self):
        self.d.config['settings'] = {'crm_bsae': 'http://x'}
        self.d.config['connections']['crm'] = {'timeuot_ms': 1}
        self.d.config['listeners']['nobody'] = {'port': 1}
        del self.d.config['connections']['ward']
        self.d.write_config()
        r = subprocess.run([HDWVM, 'serve', '--check', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        for text in ["settings.crm_base: not bound", "did you mean 'crm_bsae'", "connections.crm.timeuot_ms: no such option (did you mean 'timeout_ms'?)",
                     'listeners.nobody: no program declares it', 'connections.ward: not bound']:
            self.assertIn(text, r.stderr)

    def test_check_finds_connections_that_cannot_be_set_up(self):
        for name in ('odd.pem', 'odd.key'):
            with open(os.open(os.path.join(self.d.dir, name), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write('no certificate\n')
        self.d.config['connections']['crm']['base'] = 'htps://crm.example.org'
        self.d.config['connections']['ward']['address'] = 'ward'
        self.d.config['listeners']['adt']['tls'] = {'cert': 'odd.pem', 'key': 'odd.key'}
        for wrong in ("connections.crm: base: 'htps://crm.example.org' is no URL", 'connections.crm: tls: '):
            self.d.write_config()
            r = subprocess.run([HDWVM, 'serve', '--check', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
            self.assertEqual(r.returncode, 1)
            for text in (wrong, 'connections.ward: address: HOST:PORT is missing', 'listeners.adt: tls: '):
                self.assertIn(text, r.stderr)
            self.d.config['connections']['crm'].update(base='https://crm.example.org', tls={'cert': 'odd.pem', 'key': 'odd.key'})

    def test_second_daemon_on_the_same_folder_is_refused(self):
        r = subprocess.run([HDWVM, 'serve', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertNotEqual(r.returncode, 0)
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')
        self.all_done()
        self.d.kill()
        self.d.start()
        self.assertEqual(len(self.d.ask('messages')), 1)

    def test_stop_and_files_are_private(self):
        self.assertEqual(os.stat(self.d.config['data']).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(os.path.join(self.d.config['data'], 'admin.sock')).st_mode & 0o777, 0o600)
        self.assertEqual(self.d.stop(), 0)
        r = subprocess.run([HDWVM, 'status', '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 69)


if __name__ == '__main__':
    unittest.main(verbosity=2)
