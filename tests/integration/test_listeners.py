"""Listeners as operators bind them: who may connect, certificates, commit blocks, what is shown of them."""
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWC, HDWVM, HttpSink, Mllp, ack_code, adt, wait_for

PROGRAM = '''hdw 1
connection out = folder()
listener adt = mllp(port: 2575)
listener web = http(port: 8080)
sender LAB_A { match: MSH-3 = 'LAB_A' }
workflow of_lab on msg = adt.message(from: LAB_A), web.message('/hl7', from: LAB_A) { send out.write("{msg.MSH-10}.txt", 'lab') }
workflow other on msg = adt.message(types: ['ADT^A01']), web.message('/hl7', types: ['ADT^A01']) { send out.write("{msg.MSH-10}-other.txt", 'other') }
'''


class Listeners(unittest.TestCase):
    def setUp(self):
        self.d = Daemon(PROGRAM, {'listeners': {'adt': {'port': 0}, 'web': {'port': 0}}, 'connections': {'out': {'folder': 'out'}}})
        self.pki = os.path.join(self.d.dir, 'pki')
        os.mkdir(self.pki)
        self.conns = []

    def tearDown(self):
        for c in self.conns:
            c.close()
        self.d.close()

    def openssl(self, *args):
        subprocess.run(['openssl', *args], cwd=self.pki, check=True, capture_output=True, timeout=60)

    def certificate(self, name, san, ca=None, days=2):
        """NAME.pem and NAME.key; self-signed without ca."""
        base = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key', '-subj', f'/CN={name}']
        if not ca:
            self.openssl('req', '-x509', *base, '-out', f'{name}.pem', '-days', str(days), '-addext', f'subjectAltName={san}')
        else:
            self.openssl('req', *base, '-out', f'{name}.csr')
            with open(os.path.join(self.pki, 'ext'), 'w') as f:
                f.write(f'subjectAltName={san}\n')
            self.openssl('x509', '-req', '-in', f'{name}.csr', '-CA', f'{ca}.pem', '-CAkey', f'{ca}.key', '-CAcreateserial', '-days', str(days), '-extfile', 'ext', '-out', f'{name}.pem')
        os.chmod(os.path.join(self.pki, f'{name}.key'), 0o600)

    def context(self, client=None, roots='hub'):
        ctx = ssl.create_default_context(cafile=os.path.join(self.pki, f'{roots}.pem'))
        if client:
            ctx.load_cert_chain(os.path.join(self.pki, f'{client}.pem'), os.path.join(self.pki, f'{client}.key'))
        return ctx

    def mllp(self, ctx=None):
        m = Mllp(self.d.ports['adt'])
        if ctx:
            m.s = ctx.wrap_socket(m.s, server_hostname='localhost')
        self.conns.append(m)
        return m

    def post(self, body, headers=None, ctx=None):
        c = http.client.HTTPSConnection('localhost', self.d.ports['web'], timeout=20, context=ctx) if ctx else http.client.HTTPConnection('127.0.0.1', self.d.ports['web'], timeout=20)
        try:
            c.request('POST', '/hl7', body, dict({'Content-Type': 'application/hl7-v2'}, **(headers or {})))
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read().decode()
        finally:
            c.close()

    def source(self, name):
        return next(s for s in self.d.ask('sources') if s['name'] == name)

    def identity(self, control_id):
        return self.d.ask('message', self.d.ask('messages', '--control-id', control_id)[0]['id']).get('identity')

    def test_H12_H49_certificates_say_who_a_peer_is(self):
        self.certificate('hub', 'DNS:localhost')
        self.certificate('ca', 'DNS:ca')
        self.certificate('laba', 'DNS:unused.example,DNS:lab-a.example', 'ca')
        self.certificate('stranger', 'DNS:lab-a.example.evil', 'ca')
        for name in ('adt', 'web'):
            self.d.config['listeners'][name].update(tls={'cert': 'pki/hub.pem', 'key': 'pki/hub.key', 'client_ca': 'pki/ca.pem'}, clients=['LAB_A=lab-a.example'])
        self.d.start()
        c = self.mllp(self.context('laba'))
        self.assertEqual(ack_code(c.ask(adt('I1'))), 'AA')
        self.assertEqual(self.identity('I1'), 'LAB_A')
        wait_for(lambda: os.path.exists(os.path.join(self.d.dir, 'out', 'I1.txt')))  # by the certificate, though MSH-3 says LAB
        with self.assertRaises((ConnectionError, OSError)):
            self.mllp(self.context('stranger')).ask(adt('I2'))
        self.assertEqual(self.post(adt('I3'), ctx=self.context('laba'))[0], 200)
        status, headers, body = self.post(adt('I4'), ctx=self.context('stranger'))
        self.assertEqual(status, 403)
        self.assertNotIn('hl7', headers.get('Content-Type', ''))
        self.assertEqual((self.source('adt')['unauthorised'], self.source('web')['unauthorised']), (1, 1))
        self.assertEqual(sorted(m['control_id'] for m in self.d.ask('messages')), ['I1', 'I3'])

    def test_H12_new_certificate_without_closing_connections(self):
        self.certificate('hub', 'DNS:localhost')
        self.d.config['listeners']['adt']['tls'] = {'cert': 'pki/hub.pem', 'key': 'pki/hub.key'}
        self.d.start()
        old = self.mllp(self.context())
        self.assertEqual(ack_code(old.ask(adt('C1'))), 'AA')
        self.certificate('hub', 'DNS:localhost', days=9)
        self.d.p.send_signal(signal.SIGHUP)

        def served():
            with socket.create_connection(('127.0.0.1', self.d.ports['adt']), timeout=10) as s:
                ctx = self.context()
                try:
                    with ctx.wrap_socket(s, server_hostname='localhost'):
                        return True
                except ssl.SSLCertVerificationError:
                    return False
        wait_for(served, what='the new certificate')
        self.assertEqual(ack_code(old.ask(adt('C2'))), 'AA')
        self.assertEqual(ack_code(self.mllp(self.context()).ask(adt('C3'))), 'AA')

    def test_H50_passwords_and_tokens_from_files(self):
        for name, value in (('pw', 'open sesame\n'), ('tok', 'abc.def\n')):
            path = os.path.join(self.d.dir, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write(value)
        self.d.config['secrets'] = {'pw': {'file': 'pw'}, 'tok': {'file': 'tok'}}
        self.d.config['listeners']['web'].update(basic=['LAB_A=pw'], bearer=['crm=tok'])
        self.d.start()
        status, headers, _ = self.post(adt('A1'))
        self.assertEqual((status, headers['WWW-Authenticate'].split()[0]), (401, 'Basic'))
        self.assertEqual(self.post(adt('A2'), {'Authorization': 'Basic TEFCX0E6b3BlbiBzZXNhbWU='})[0], 200)  # LAB_A:open sesame
        self.assertEqual(self.post(adt('A3'), {'Authorization': 'Bearer abc.def'})[0], 200)
        self.assertEqual(self.post(adt('A4'), {'Authorization': 'Bearer abc.deg'})[0], 401)
        self.assertEqual((self.identity('A2'), self.identity('A3')), ('LAB_A', 'crm'))
        self.assertNotIn('sesame', '\n'.join(self.d.log))

    def test_H12_H25_the_peers_identity_as_a_value_and_the_codes_of_a_reject(self):
        with open(os.open(os.path.join(self.d.dir, 'tok'), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
            f.write('abc.def\n')
        with open(os.path.join(self.d.dir, 'app.hdw'), 'w') as f:
            f.write(f"""hdw 1
listener web = http(port: 8080)
workflow gate on msg = web.message('/hl7', types: ['ADT^A01']) {{
  if run.identity != 'crm' {{ reject('AR', 'not for you', error: 204) }}
  if msg.PID-3[0].1 = '0' {{ reject('AE', 'no number', error: '101') }}
  return {{ who: run.identity }}
}}
workflow late on msg = web.message('/hl7', types: ['ADT^A08'])
  ack after run within 5 seconds else AE
{{
  log('seen', who: run.identity)
  reject('AE', 'busy', error: 206)
}}
""")
        subprocess.run([HDWC, 'build', 'app.hdw', '-o', 'app.hdwb'], cwd=self.d.dir, check=True, timeout=60)
        self.d.config.update(secrets={'tok': {'file': 'tok'}}, connections={})
        self.d.config['listeners'] = {'web': {'port': 0, 'bearer': ['crm=tok', 'lab=tok2']}}
        self.d.config['secrets']['tok2'] = {'file': 'tok2'}
        with open(os.open(os.path.join(self.d.dir, 'tok2'), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
            f.write('xyz\n')
        self.d.start()
        crm, lab = {'Authorization': 'Bearer abc.def'}, {'Authorization': 'Bearer xyz'}

        def err(message, who):
            ack = self.post(message, who)[2]
            return ack_code(ack), next((s.split('|')[3].split('^')[0] for s in ack.split('\r') if s.startswith('ERR')), None)

        self.assertEqual(err(adt('A1'), crm), ('AA', None))
        self.assertEqual(err(adt('A2'), lab), ('AR', '204'))
        self.assertEqual(err(adt('A3', mrn='0'), crm), ('AE', '101'))
        self.assertEqual(err(adt('A4', event='ADT^A08'), crm), ('AE', '206'))
        runs = [self.d.ask('run', r['id']) for r in self.d.runs() if r['workflow'] == 'gate']
        self.assertEqual([r['result'] for r in runs], [{'who': 'crm'}])
        self.d.stop()  # what is read beside a daemon is up to a tenth of a second old
        again = subprocess.run([HDWVM, 'replay', '--dry-run', '--json', '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual((again.returncode, json.loads(again.stdout)['same']), (0, 4), again.stdout + again.stderr)

    def test_H9_commit_block_after_the_disk(self):
        self.d.config['listeners']['adt']['mllp_version'] = 2
        self.d.start()
        c = self.mllp()
        c.send(adt('V1', extra='|||AL|NE'))
        self.assertEqual(c.receive(), '\x06')
        self.assertEqual(ack_code(c.receive()), 'CA')
        self.d.kill()
        self.d.start()
        self.assertEqual([m['control_id'] for m in self.d.ask('messages')], ['V1'])

    def test_what_happened_at_a_listener_is_shown(self):
        self.d.start()
        c = self.mllp()
        c.s.sendall(b'garbage\x0bMSH|half')
        self.assertEqual(ack_code(c.ask(adt('S1', extra='|||AL'))), 'CA')
        self.assertEqual(ack_code(c.ask(adt('S1', extra='|||AL'))), 'CA')
        self.assertEqual(ack_code(c.ask('nonsense')), 'AR')
        s = self.source('adt')
        self.assertEqual([s.get(k) for k in ('messages', 'duplicates', 'junk_bytes', 'partial_frames', 'unparseable', 'lone_conditions')], [2, 1, 7, 1, 1, 2])
        shown = subprocess.run([HDWVM, 'sources', '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=30).stdout
        self.assertIn('adt: 1 resends', shown)
        self.assertIn('7 bytes between frames, 1 frames cut off', shown)
        self.assertNotIn('garbage', shown + '\n'.join(self.d.log))

    def test_mistakes_of_listeners_are_named(self):
        self.d.config['listeners']['web'].update(basic=['lab'], bearer=['crm=nothing'], clients=['a=b'], ack='sometimes', ack_codes=['AA=XX'], charset='klingon')
        self.d.write_config()
        r = subprocess.run([HDWVM, 'serve', '--check', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        for line in ("web.basic[0]: 'NAME=SECRET' is expected", "web.bearer[0]: there is no secret 'nothing' under secrets", 'web.clients: needs tls.client_ca',
                     'web.ack: normal, original, immediate or none is expected', "web.ack_codes[0]: 'CODE=CODE'", "web.charset: 'klingon' is no character set"):
            self.assertIn(line, r.stderr)


AFTER = '''hdw 1
setting base: url
connection crm = rest(base: base, timeout: 2 seconds)
listener adt = mllp(port: 2575)
workflow admit on msg = adt.message(types: ['ADT^A01']) ack after run within 10 seconds else AE {
  step made = crm.post('/admits', body: { id: msg.MSH-10 })
  return made.id
}
'''


class Killed(unittest.TestCase):
    def test_H40_killed_while_runs_are_answered(self):
        """Whenever the process dies: a resend gets AA, and no message is performed under two keys."""
        rng, sink = random.Random(5), HttpSink()
        d = Daemon(AFTER, {'settings': {'base': f'http://127.0.0.1:{sink.port}'}, 'listeners': {'adt': {'port': 0}}, 'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}}}).start()
        try:
            sent = []
            for turn in range(8):
                c = Mllp(d.ports['adt'])
                more = [f'K{turn}-{i}' for i in range(12)]
                sent += more
                for one in more:
                    c.send(adt(one))
                time.sleep(rng.uniform(0, 0.08))
                d.kill()
                c.close()
                d.start()
                c = Mllp(d.ports['adt'])
                for one in rng.sample(sent, len(sent)):
                    self.assertEqual(ack_code(c.ask(adt(one))), 'AA', one)
                c.close()
            keys = {}
            for r in sink.to('/admits'):
                keys.setdefault(json.loads(r['body'])['id'], set()).add(r['key'])
            self.assertEqual(sorted(keys), sorted(sent))
            self.assertEqual([one for one, k in keys.items() if len(k) > 1], [])
        finally:
            d.close()
            sink.close()


unittest.main()
