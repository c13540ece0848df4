#!/usr/bin/env python3
"""Connections as peers see them: acknowledgements that say no, say nothing or come late; TLS with certificates; HL7 over HTTP; redirects; dead deliveries."""
import http.client
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Listening, Mllp, ack_code, adt, certificate, wait_for

PROGRAM = '''hdw 1
listener adt = mllp()
connection ward = mllp(timeout: 2 seconds, retry: retry(0, from: 50 milliseconds, to: 100 milliseconds))
workflow forward on msg = adt.message(types: ['ADT^A01']) { send ward.message(msg) }
'''


def server_of(folder, name, *others):
    """A certificate for each name; the context of a server with the first one."""
    for who in (name, *others):
        certificate(folder, who)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(os.path.join(folder, f'{name}.pem'), os.path.join(folder, f'{name}.key'))
    return ctx


class Peer(Listening):
    """An MLLP receiver. answer(n, message, control) gives a list of frames to send back; bytes are sent as they are, a number waits."""

    def __init__(self, answer, tls=None):
        self.messages, self.answer, self.tls = [], answer, tls
        super().__init__()

    def serve(self, c):
        data = b''
        try:
            if self.tls:
                c = self.tls.wrap_socket(c, server_side=True)
            while True:
                part = c.recv(65536)
                if not part:
                    return
                data += part
                while b'\x1c\r' in data:
                    frame, data = data.split(b'\x1c\r', 1)
                    msg = frame.lstrip(b'\x0b').decode()
                    self.messages.append(msg)
                    for out in self.answer(len(self.messages), msg, msg.split('\r')[0].split('|')[9]):
                        if isinstance(out, (int, float)):
                            time.sleep(out)
                        elif isinstance(out, bytes):
                            c.sendall(out)
                        else:
                            c.sendall(b'\x0b' + out.encode() + b'\x1c\r')
        except OSError:
            pass
        finally:
            c.close()

    def close(self):
        self.sock.close()


def ack(code, control, err=''):
    return f'MSH|^~\\&|R|R|S|S|20260101||ACK|9|P|2.5.1\rMSA|{code}|{control}\r' + (f'ERR|||{err}|E\r' if err else '')


def controls(peer):
    return [m.split('\r')[0].split('|')[9] for m in peer.messages]


class Mllps(unittest.TestCase):
    def setUp(self):
        self.todo = []

    def tearDown(self):
        for x in reversed(self.todo):
            x.close()

    def start(self, answer, program=PROGRAM, peer_tls=None, **conn):
        self.peer = Peer(answer, peer_tls)
        self.todo.append(self.peer)
        conn.setdefault('address', f'127.0.0.1:{self.peer.port}')
        d = Daemon(program, {'listeners': {'adt': {'port': 0}}, 'connections': {'ward': {'grant': {'networks': ['127.0.0.0/8']}, **conn}}})
        self.todo.append(d)
        self.d = d.start()
        self.m = Mllp(d.ports['adt'])
        self.todo.append(self.m)
        return d

    def send(self, *ids, extra=''):
        for i in ids:
            self.assertEqual(ack_code(self.m.ask(adt(i, extra=extra))), 'AA')

    def sink(self):
        return self.d.ask('sinks')[0]

    def delivered(self, n):
        wait_for(lambda: self.sink()['delivered'] >= n, what=f'{n} deliveries')

    def test_H20_AE_is_tried_again_with_the_same_control_id(self):
        self.start(lambda n, m, c: [ack('AE' if n < 3 else 'AA', c)])
        self.send('A', 'B')
        self.delivered(2)
        self.assertEqual(controls(self.peer), ['A', 'A', 'A', 'B'])  # in order: B waits (H-21)

    def test_H20_AR_is_a_dead_letter_that_holds_the_feed_until_a_person_decides(self):
        self.start(lambda n, m, c: [ack('AR' if c == 'A' else 'AA', c, '101^Required field missing^HL70357')])
        self.send('A', 'B', 'C')
        dead = wait_for(lambda: self.d.ask('dead'), what='the dead letter')
        self.assertEqual((dead[0]['code'], dead[0]['error']), ('AR', 'the receiver answered AR, error 101'))
        time.sleep(0.5)
        self.assertEqual(controls(self.peer), ['A'])
        self.assertEqual(self.sink()['state'], 'held by a dead letter')
        self.d.ask('skip-lane', 'ward', '--yes')
        self.delivered(2)
        self.assertEqual(controls(self.peer), ['A', 'B', 'C'])
        self.assertEqual(len(self.d.ask('dead')), 1)  # it stays a dead letter
        self.d.ask('discard', dead[0]['id'], '--subject', 'delivery', '--reason', 'obsolete', '--yes')
        self.assertEqual(self.d.ask('dead'), [])

    def test_H21_on_dead_skip_goes_on(self):
        self.start(lambda n, m, c: [ack('AR' if c == 'A' else 'AA', c)], on_dead='skip')
        self.send('A', 'B')
        self.delivered(1)
        self.assertEqual(controls(self.peer), ['A', 'B'])

    def test_H20_206_is_transient_and_exceptions_by_code(self):
        self.start(lambda n, m, c: [ack('AR', c, '206^Application record locked^HL70357') if n == 1 else ack('AR', c, '207') if c == 'A' else ack('AE', c)],
                   reactions=['207=done', 'AE=dead'])
        self.send('A')
        self.delivered(1)
        self.assertEqual(controls(self.peer), ['A', 'A'])
        self.send('B')
        self.assertEqual(wait_for(lambda: self.d.ask('dead'), what='the dead letter')[0]['code'], 'AE')

    def test_H19_a_commit_does_not_complete_what_awaits_the_application(self):
        self.start(lambda n, m, c: [ack('CA', c), 0.3, ack('AE' if n == 1 else 'AA', c)])
        self.send('A')
        self.delivered(1)
        self.assertEqual(controls(self.peer), ['A', 'A'])  # the AE behind the CA was heard

    def test_H19_a_message_that_asks_for_no_application_answer_is_done_by_the_commit(self):
        self.start(lambda n, m, c: [ack('CA', c)])
        self.assertEqual(ack_code(self.m.ask(adt('A', extra='|||AL|NE'))), 'CA')
        self.delivered(1)
        self.assertEqual(controls(self.peer), ['A'])

    def test_H19_a_late_answer_completes_no_other_message(self):
        self.start(lambda n, m, c: [] if n == 1 else [ack('AA', 'A'), ack('AA', c)] if n == 2 else [ack('AA', 'A'), 0.2, ack('AR', c)])
        self.send('A', 'B')
        wait_for(lambda: self.d.ask('dead'), seconds=20, what='the dead letter')
        self.assertEqual(controls(self.peer), ['A', 'A', 'B'])

    def test_H20_garbage_and_silence_are_unknown_never_sent(self):
        self.start(lambda n, m, c: [['hello'], ['MSH|^~\\&|R|R|S|S|||ACK|1|P|2.5.1\r'], [ack('XX', c)], [b'\x0bMSH'], [ack('AA', c)]][n - 1])
        self.send('A')
        wait_for(lambda: self.sink()['delivered'] == 1, seconds=40, what='the delivery')
        self.assertEqual(controls(self.peer), ['A'] * 5)

    def test_H10_mllp_2_sends_the_same_bytes_after_a_negative_commit(self):
        nak, ok = b'\x0b\x15\x1c\r', b'\x0b\x06\x1c\r'
        self.start(lambda n, m, c: [nak] if n < 3 else [ok, ack('AA', c)], mllp_version=2)
        self.send('A')
        self.delivered(1)
        self.assertEqual(len(set(self.peer.messages)), 1)
        self.assertEqual(len(self.peer.messages), 3)
        self.assertEqual(self.sink()['failed'], 0)

    def test_tls_with_client_certificates(self):
        with tempfile.TemporaryDirectory() as pki:
            ctx = server_of(pki, 'server', 'client', 'other')
            ctx.load_verify_locations(os.path.join(pki, 'client.pem'))
            ctx.verify_mode = ssl.CERT_REQUIRED
            at = {k: os.path.join(pki, v) for k, v in {'ca': 'server.pem', 'cert': 'client.pem', 'key': 'client.key'}.items()}
            self.start(lambda n, m, c: [ack('AA', c)], peer_tls=ctx, tls=at)
            self.send('A')
            self.delivered(1)
            self.m.close()
            self.d.stop()
            self.d.config['connections']['ward']['tls'] = dict(at, ca=os.path.join(pki, 'other.pem'))
            self.d.start()
            self.m = Mllp(self.d.ports['adt'])
            self.todo.append(self.m)
            self.send('B')
            wait_for(lambda: 'certificate' in self.sink()['last_error'], what='the refusal')  # somebody will repair it: until then it waits, and nothing is sent
            self.assertEqual((self.sink()['queued'], self.d.ask('dead'), controls(self.peer)), (1, [], ['A']))
            self.d.config['connections']['ward']['tls'] = at
            self.d.write_config()
            subprocess.run([HDWVM, 'reload', '--config', 'hdw.json'], cwd=self.d.dir, check=True, timeout=60, capture_output=True)
            wait_for(lambda: controls(self.peer) == ['A', 'B'], what='what waited')


class Folder(unittest.TestCase):
    def test_what_a_folder_refuses_waits_and_a_line_that_was_cut_off_stays_alone(self):
        d = Daemon("""hdw 1
connection out = folder()
listener adt = mllp()
workflow w on msg = adt.message(types: ['ADT^A01']) { send out.write("{msg.MSH-10}.txt", msg.MSH-10)  send out.append('all.txt', msg.MSH-10) }
""", {'listeners': {'adt': {'port': 0}}, 'connections': {'out': {'folder': 'out'}}}).start()
        out = os.path.join(d.dir, 'out')
        m = Mllp(d.ports['adt'])
        try:
            m.ask(adt('A'))
            wait_for(lambda: d.ask('sinks')[0]['delivered'] == 2, what='the files')
            os.rename(out, out + '.gone')  # not mounted, say
            m.ask(adt('B'))
            wait_for(lambda: d.ask('sinks')[0]['failed'], what='a refusal')
            self.assertIn('out: not found', d.ask('sinks')[0]['last_error'])
            self.assertEqual(d.ask('dead'), [])
            with open(os.path.join(out + '.gone', 'all.txt'), 'a', encoding='utf-8') as f:
                f.write('cut o')  # as a power cut leaves it
            os.rename(out + '.gone', out)
            wait_for(lambda: d.ask('sinks')[0]['delivered'] == 4, seconds=30, what='what waited')
            with open(os.path.join(out, 'all.txt'), encoding='utf-8') as f:
                self.assertEqual(f.read(), 'A\ncut o\nB\n')
            self.assertEqual(sorted(os.listdir(out)), ['A.txt', 'B.txt', 'all.txt'])
        finally:
            m.close()
            d.close()


REST = '''hdw 1
listener adt = mllp()
connection crm = rest(timeout: 2 seconds, retry: retry(0, from: 50 milliseconds, to: 100 milliseconds))
workflow forward on msg = adt.message(types: ['ADT^A01']) { send crm.post('/hl7', body: msg) }
workflow look on msg = adt.message(types: ['ADT^A08']) {
  step r = crm.get('/start')
  return { name: r.name }
}
'''


class Rest(unittest.TestCase):
    def setUp(self):
        self.sink = HttpSink()
        self.d, self.m, self.other = None, None, None

    def tearDown(self):
        for x in (self.m, self.d, self.sink, self.other):
            if x:
                x.close()

    def start(self, **conn):
        self.d = Daemon(REST, {'listeners': {'adt': {'port': 0}}, 'connections': {'crm': {'base': f'http://127.0.0.1:{self.sink.port}', 'grant': {'networks': ['127.0.0.0/8']}, **conn}}}).start()
        self.m = Mllp(self.d.ports['adt'])

    def hl7(self, codes):
        """Answers with HL7, as H-47 writes it; a number is a bare status."""
        def answer(r):
            code = codes[min(len(self.sink.requests), len(codes)) - 1]
            control = r['body'].decode().split('\r')[0].split('|')[9]
            return (code, {'error': 'x'}, {}) if isinstance(code, int) else (200, ack(code, control), {'Content-Type': 'application/hl7-v2; charset=UTF-8'})
        self.sink.answer = answer

    def test_H49_the_acknowledgement_in_the_answer_decides(self):
        self.hl7(['AE', 503, 200, 'AA', 'AR'])
        self.start()
        self.m.ask(adt('A'))
        wait_for(lambda: self.d.ask('sinks')[0]['delivered'] == 1, what='the delivery')
        self.assertEqual([r['body'].split(b'|')[9] for r in self.sink.requests], [b'A'] * 4)  # a 200 without an acknowledgement is no success
        self.assertEqual(len({r['key'] for r in self.sink.requests}), 1)
        self.assertEqual(self.sink.requests[0]['headers']['Content-Type'], 'application/hl7-v2; charset=UTF-8')
        self.m.ask(adt('B'))
        self.assertEqual(wait_for(lambda: self.d.ask('dead'), what='the dead letter')[0]['code'], 'AR')

    def test_H49_any_answer_by_option_and_reactions_by_status_and_header_name(self):
        self.hl7([409, 200])
        self.start(hl7_answer='any', reactions=['409=retry'], idempotency_header='X-Request-Id')
        self.m.ask(adt('A'))
        wait_for(lambda: self.d.ask('sinks')[0]['delivered'] == 1, what='the delivery')
        self.assertEqual(len(self.sink.requests), 2)
        self.assertEqual(len({r['headers']['X-Request-Id'] for r in self.sink.requests}), 1)

    def test_R3_retry_after_holds_the_whole_endpoint(self):
        self.hl7([429, 'AA'])
        was = self.sink.answer
        self.sink.answer = lambda r: (*was(r)[:2], {**was(r)[2], 'Retry-After': '2'})
        self.start()
        self.m.ask(adt('A'))
        wait_for(lambda: self.sink.requests, what='the first attempt')
        for i in range(3):
            self.m.ask(adt(f'B{i}', mrn=str(i)))
        self.assertEqual(self.d.ask('sinks')[0]['state'], 'asked to wait')
        time.sleep(1)
        self.assertEqual(len(self.sink.requests), 1)
        wait_for(lambda: self.d.ask('sinks')[0]['delivered'] == 4, what='the deliveries')

    def test_H12_tls_with_a_private_authority_and_client_certificates(self):
        with tempfile.TemporaryDirectory() as pki:
            ctx = server_of(pki, 'server', 'client', 'other')
            self.sink.close()
            self.sink = HttpSink(tls=ctx)
            self.sink.answer = lambda r: (200, {'name': 'x'}, {})
            ours, others = ({'cert': os.path.join(pki, f'{w}.pem'), 'key': os.path.join(pki, f'{w}.key')} for w in ('client', 'other'))
            ca = {'ca': os.path.join(pki, 'server.pem')}
            base = f'https://127.0.0.1:{self.sink.port}'

            def begin(tls):
                if self.d:
                    self.m.close(), self.d.close()
                self.start(base=base, hl7_answer='any', **({'tls': tls} if tls else {}))

            def sink():
                return self.d.ask('sinks')[0]

            begin(ca)
            self.m.ask(adt('A'))
            wait_for(lambda: sink()['delivered'] == 1, what='the delivery')
            self.assertEqual(len(self.sink.requests), 1)
            for tls in (None, {'ca': os.path.join(pki, 'other.pem')}):  # the server is not who it should be: nothing is sent, and what waits goes when it is repaired
                begin(tls)
                self.m.ask(adt('B'))
                wait_for(lambda: sink()['failed'] >= 1, what='the refusal')
                self.assertIn('certificate', sink()['last_error'])
                self.assertEqual((sink()['queued'], sink()['delivered'], self.d.ask('dead')), (1, 0, []))
            self.assertEqual(len(self.sink.requests), 1)
            ctx.load_verify_locations(os.path.join(pki, 'client.pem'))
            ctx.verify_mode = ssl.CERT_REQUIRED
            for tls, says in ((ca, 'want a client certificate'), ({**ca, **others}, 'accept our certificate')):  # the server does not let us in: that may change
                begin(tls)
                self.m.ask(adt('C'))
                wait_for(lambda: sink()['failed'] >= 2, what='the second attempt')
                self.assertIn(says, sink()['last_error'])
                self.assertEqual((sink()['queued'], sink()['delivered'], self.d.ask('dead')), (1, 0, []))
            self.assertEqual(len(self.sink.requests), 1)
            self.m.close(), self.d.stop()
            self.d.config['connections']['crm']['tls'] = {**ca, **ours}  # with the right one what waited goes out
            self.d.start()
            self.m = Mllp(self.d.ports['adt'])
            wait_for(lambda: sink()['delivered'] == 1 and sink()['queued'] == 0, seconds=30, what='the delivery that waited')
            self.assertEqual([r['body'].split(b'|')[9] for r in self.sink.requests], [b'A', b'C'])

    def test_redirects_are_off_unless_granted_and_go_nowhere_else(self):
        self.other = HttpSink()
        self.sink.answer = lambda r: (302, {}, {'Location': '/end'}) if r['path'] == '/start' else (200, {'name': 'x'}, {})
        self.start()
        self.m.ask(adt('A', event='ADT^A08'))
        self.assertEqual(wait_for(lambda: self.d.ask('dead'), what='the dead letter')[0]['code'], '302')
        self.m.close(), self.d.stop()
        self.d.config['connections']['crm']['redirects'] = 2
        self.d.start()
        self.m = Mllp(self.d.ports['adt'])
        self.m.ask(adt('B', event='ADT^A08'))
        wait_for(lambda: self.sink.to('/end'), what='the second hop')
        self.sink.answer = lambda r: (307, {}, {'Location': f'http://localhost:{self.other.port}/steal'})  # plain http to another origin
        self.m.ask(adt('C', event='ADT^A08'))
        wait_for(lambda: len(self.d.ask('dead')) == 2, what='the dead letter')
        self.sink.answer = lambda r: (302, {}, {'Location': '/start'})  # a loop
        self.m.ask(adt('D', event='ADT^A08'))
        wait_for(lambda: len(self.d.ask('dead')) == 3, what='the dead letter')
        self.assertEqual(self.other.requests, [])


ECHO = '''hdw 1
listener adt = mllp()
listener web = http()
connection ward = mllp(timeout: 2 seconds)
connection crm = rest(timeout: 2 seconds)
workflow forward on msg = adt.message(types: ['ADT^A01']) {
  send ward.message(msg.with(MSH-3: 'HUB', MSH-10: 'F' & msg.MSH-10))
  send crm.post('/x', body: { id: msg.MSH-10 })
}
workflow hook on rq = web.post('/hook') { return { ok: true } }
'''


class Echo(unittest.TestCase):
    def test_R22_what_we_sent_makes_no_run_when_it_comes_back(self):
        ward, crm = Peer(lambda n, m, c: [ack('AA', c)]), HttpSink()
        d = Daemon(ECHO, {'listeners': {'adt': {'port': 0, 'echo_of': ['ward']}, 'web': {'port': 0, 'echo_of': ['crm']}}, 'connections': {
            'ward': {'address': f'127.0.0.1:{ward.port}', 'grant': {'networks': ['127.0.0.0/8']}}, 'crm': {'base': f'http://127.0.0.1:{crm.port}', 'grant': {'networks': ['127.0.0.0/8']}}}}).start()
        m = Mllp(d.ports['adt'])
        try:
            self.assertEqual(ack_code(m.ask(adt('A'))), 'AA')
            wait_for(lambda: ward.messages and crm.requests, what='the deliveries')
            sent = ward.messages[0]
            self.assertEqual(ack_code(m.ask(sent)), 'AA')  # as it is
            head, rest = sent.split('\r', 1)
            other = head.replace('|HUB|', '|EHR|', 1).replace('|FA|', '|E77|')
            self.assertNotEqual(other, head)
            self.assertEqual(ack_code(m.ask(other + '\r' + rest)), 'AA')  # passed on under an id of its own
            self.assertEqual(d.ask('status')['since_start']['echoes'], 2)

            def post(body, key=None):
                c = http.client.HTTPConnection('127.0.0.1', d.ports['web'], timeout=20)
                c.request('POST', '/hook', body, {'Content-Type': 'application/json', **({'Idempotency-Key': key} if key else {})})
                status = c.getresponse().status
                c.close()
                return status
            self.assertEqual(post(crm.requests[0]['body']), 202)
            self.assertEqual(post('{"other":1}', crm.requests[0]['key']), 202)
            m.close(), d.stop(), d.start()
            m = Mllp(d.ports['adt'])
            self.assertEqual(ack_code(m.ask(other.replace('E77', 'E78') + '\r' + rest)), 'AA')  # also over a restart
            self.assertEqual(d.ask('status')['since_start']['echoes'], 1)
            self.assertEqual([r['workflow'] for r in d.runs()], ['forward'])
            self.assertEqual(len(ward.messages), 1)
            post('{"mine":1}')
            wait_for(lambda: len(d.runs()) == 2, what='the run of a request that is no echo')
        finally:
            for x in (m, d, ward, crm):
                x.close()


if __name__ == '__main__':
    unittest.main()
