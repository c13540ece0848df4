"""Peers that misbehave, against the real daemon: a table for each protocol. A row is a name, what the peer does, and what must come of it. After every row a good peer must be served as
before; at the end every accepted message is accounted for, and neither descriptors nor memory have grown.

  peers.py [--protocol NAME,...] [--row NAME] [--repeat N]"""
import argparse
import concurrent.futures
import http.client
import itertools
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
from rig import SLOW, Daemon, Listening, Mllp, ack_code, adt, wait_for

PROGRAM = '''hdw 1
setting crm_base: url
connection crm = rest(base: crm_base, timeout: 600 milliseconds, retry: retry(6, from: 20 milliseconds, to: 100 milliseconds))
connection his = mllp(host: '127.0.0.1', port: 2611, timeout: 600 milliseconds, retry: retry(6, from: 20 milliseconds, to: 100 milliseconds))
listener adt = mllp(port: 2575)
listener sec = mllp(port: 2576)
listener web = http(port: 8080)
workflow plain on msg = adt.message(types: ['ADT^A01']) { return msg.MSH-10 }
workflow secure on msg = sec.message(types: ['ADT^A01']) { return msg.MSH-10 }
workflow posted on msg = web.message('/hl7', types: ['ADT^A01']) { return msg.MSH-10 }
workflow api on req = web.post('/api') { return 'x' }
workflow tohttp on msg = adt.message(types: ['ADT^A02']) { send crm.post('/send', body: { id: msg.MSH-10 }) }
workflow asks on msg = adt.message(types: ['ADT^A03']) { step a = crm.get('/ask') send crm.post('/done', body: { id: msg.MSH-10, got: a.id }) }
workflow tomllp on msg = adt.message(types: ['ADT^A08']) { send his.message(msg) }
'''
FRAME = lambda text: b'\x0b' + (text if isinstance(text, bytes) else text.encode()) + b'\x1c\r'
GOOD = lambda i: FRAME(adt(i))
RST = 'rst'
HALF = 'half'      # our direction ends, we go on reading

# ---- servers that are talked to: rows of (name, what is done in order, what comes back) ----------------------------------------------------
# Done: bytes = sent; number = seconds waited; RST, HALF. Comes back: 'closed' (nothing but the end), 'open' (nothing, and the connection stays), or a pattern of all bytes.

BIG = b'x' * (64 << 10)
MLLP = [
    ('garbage', [b'GET / HTTP/1.1\r\n\r\n', GOOD('g1')], rb'MSA\|AA\|g1'),
    ('garbage without end', [b'z' * 200000], 'closed'),
    ('a frame and no end of it', [b'\x0bMSH|^~\\&|A|B', 2.5], 'closed'),
    ('half a frame, then the end', [b'\x0bMSH|^~\\&|A', HALF], 'closed'),
    ('half a frame, then a reset', [b'\x0bMSH|^~\\&|A', RST], None),
    ('a message, then a reset', [GOOD('r1'), RST], None),
    ('a message, then the end of our direction', [GOOD('h1'), HALF], rb'MSA\|AA\|h1'),
    ('byte by byte', [bytes([b]) for b in GOOD('b1')], rb'MSA\|AA\|b1'),
    ('two in one piece', [GOOD('t1') + GOOD('t2')], rb'MSA\|AA\|t1[^\0]*MSA\|AA\|t2'),
    ('an end block without its second byte', [b'\x0b' + adt('e1').encode() + b'\x1c', 0.1, GOOD('e2')], rb'MSA\|A[AER]\|e'),
    ('a start block within a message', [b'\x0bMSH|^~\\&|A|B\r' + GOOD('s1')], rb'MSA\|A'),
    ('an empty frame', [FRAME(''), GOOD('m1')], rb'MSA\|AA\|m1'),
    ('no MSH', [FRAME('PID|1||2\r')], rb'MSA\|AR'),
    ('MSH cut short', [FRAME('MSH|^~\\&')], rb'MSA\|AR'),
    ('no control id', [FRAME(adt(''))], rb'MSA\|AR'),
    ('zero bytes within', [FRAME(adt('z1').replace('SMITH', 'SM\0TH'))], rb'MSA\|A'),
    ('bytes that are no text', [FRAME(adt('u1').encode().replace(b'SMITH', b'\xff\xfe\xc0'))], rb'MSA\|AA\|u1'),
    ('the same delimiters twice', [FRAME('MSH||||||\r')], rb'MSA\|AR'),
    ('a message that nobody wants', [FRAME(adt('w1', event='ORU^R01'))], rb'MSA\|AR\|w1'),
    ('an acknowledgement', [FRAME('MSH|^~\\&|A|B|C|D|2026||ACK|k1|P|2.5.1\rMSA|AA|1\r'), GOOD('k2')], rb'MSA\|A[AR]\|k2'),
    ('too long a message', [b'\x0bMSH|^~\\&|A|B|C|D|2026||ADT^A01|l1|P|2.5.1\rNTE|1||'] + [BIG] * 20, rb'MSA\|A[ER]'),
    ('a hundred thousand segments', [FRAME('MSH|^~\\&|A|B|C|D|2026||ADT^A01|n1|P|2.5.1\r' + 'ZZZ|1\r' * 100000)], rb'MSA\|A[AER]\|n1'),
    ('a field of many repetitions', [FRAME('MSH|^~\\&|A|B|C|D|2026||ADT^A01|f1|P|2.5.1\rPID|1||' + '~' * 300000 + '\r')], rb'MSA\|A[AER]\|f1'),
    ('escape sequences without end', [FRAME(adt('x1').replace('SMITH', '\\X' + '4' * 5000))], rb'MSA\|A[AER]\|x1'),
    ('a batch that lies about its count', [FRAME('BHS|^~\\&|A|B|C|D|2026||||c1\rMSH|^~\\&|A|B|C|D|2026||ADT^A01|c2|P|2.5.1\rPID|1||7\rBTS|9\r')], rb'AE\|'),
    ('never reads its answers', [GOOD(f'q{i}') for i in range(400)] + [1.0, RST], None),
]
POST = lambda head, body=b'': b'POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' + head + b'\r\n' + body
HTTP = [
    ('garbage', [b'\x16\x03\x01\x02\x00\x01\x00garbage\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('HL7 instead of HTTP', [GOOD('1')], rb'^HTTP/1.1 400'),
    ('no host', [b'GET / HTTP/1.1\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('two hosts', [b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('another version', [b'GET / HTTP/2.0\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 (505|400)'),
    ('two lengths', [POST(b'Content-Length: 2\r\nContent-Length: 3\r\n', b'{}')], rb'^HTTP/1.1 400'),
    ('length and chunks', [POST(b'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n')], rb'^HTTP/1.1 400'),
    ('a negative length', [POST(b'Content-Length: -1\r\n')], rb'^HTTP/1.1 400'),
    ('a length with a sign', [POST(b'Content-Length: +2\r\n', b'{}')], rb'^HTTP/1.1 400'),
    ('a length that overflows', [POST(b'Content-Length: 18446744073709551618\r\n', b'{}')], rb'^HTTP/1.1 4(00|13)'),
    ('a length beyond the limit', [POST(b'Content-Length: 99999999\r\n')], rb'^HTTP/1.1 413'),
    ('a chunk size that overflows', [POST(b'Transfer-Encoding: chunked\r\n', b'ffffffffffffffff2\r\n{}\r\n0\r\n\r\n')], rb'^HTTP/1.1 4(00|13)'),
    ('a chunk size that is none', [POST(b'Transfer-Encoding: chunked\r\n', b'xyz\r\n{}\r\n0\r\n\r\n')], rb'^HTTP/1.1 400'),
    ('chunks that do not end', [POST(b'Transfer-Encoding: chunked\r\n')] + [b'10000\r\n' + BIG + b'\r\n'] * 20, rb'^HTTP/1.1 413'),
    ('a coding that is not there', [POST(b'Transfer-Encoding: gzip, chunked\r\n', b'0\r\n\r\n')], rb'^HTTP/1.1 (501|400)'),
    ('chunked twice', [POST(b'Transfer-Encoding: chunked, chunked\r\n', b'0\r\n\r\n')], rb'^HTTP/1.1 (501|400)'),
    ('a blank before the colon', [b'GET / HTTP/1.1\r\nHost : x\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('a folded header', [b'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('a zero byte in a header', [b'GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('a carriage return alone', [b'GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('headers without end', [b'GET / HTTP/1.1\r\nHost: x\r\n'] + [b'A: ' + b'b' * 1000 + b'\r\n'] * 200, rb'^HTTP/1.1 431'),
    ('a head and no end of it', [b'GET / HTTP/1.1\r\nHost: x\r\n', 3.0], rb'^(HTTP/1.1 408[^\0]*)?$'),
    ('a body that does not come', [POST(b'Content-Length: 10\r\n', b'{'), 3.0], rb'^(HTTP/1.1 408[^\0]*)?$'),
    ('half a body, then the end', [POST(b'Content-Length: 10\r\n', b'{'), HALF], rb'^(HTTP/1.1 400[^\0]*)?$'),
    ('half a body, then a reset', [POST(b'Content-Length: 10\r\n', b'{'), RST], None),
    ('a request, then a reset', [POST(b'Content-Length: 2\r\n', b'{}'), RST], None),
    ('waits for 100 and goes', [POST(b'Content-Length: 2\r\nExpect: 100-continue\r\n'), 0.2, RST], None),
    ('an expectation that is not known', [POST(b'Content-Length: 2\r\nExpect: tea\r\n', b'{}')], rb'^HTTP/1.1 417'),
    ('two requests in one piece', [POST(b'Content-Length: 2\r\n', b'{}') + POST(b'Content-Length: 2\r\n', b'{}')], rb'^HTTP/1.1 202[^\0]*HTTP/1.1 202'),
    ('a smuggled second request', [POST(b'Content-Length: 0\r\nTransfer-Encoding: \x0bchunked\r\n', b'GET /x HTTP/1.1\r\nHost: x\r\n\r\n')], rb'^HTTP/1.1 (400|501)(?![^\0]*HTTP/1.1 404)'),
    ('nobody is there', [b'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 404'),
    ('another method', [b'DELETE /api HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 405'),
    ('a method that is none', [b'G@T /api HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 (400|405|501)'),
    ('a way out of the folder', [b'GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 4(00|04)'),
    ('no JSON', [POST(b'Content-Length: 5\r\n', b'{"a":')], rb'^HTTP/1.1 (400|202)'),
    ('JSON of a thousand levels', [POST(b'Content-Length: 20000\r\n', b'[' * 20000)], rb'^HTTP/1.1 400'),
    ('a body that nobody decodes', [POST(b'Content-Encoding: gzip\r\nContent-Length: 2\r\n', b'\x1f\x8b')], rb'^HTTP/1.1 (415|400)'),
]
TLS = [
    ('plain text', [GOOD('1')], rb'^(\x15\x03[^\0]*)?[^M]*$'),
    ('HTTP', [b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^(\x15\x03.*)?$'),
    ('a hello cut short', [b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', HALF], rb'^(\x15\x03.*)?$'),
    ('a hello byte by byte, then nothing', [b'\x16', b'\x03', b'\x01', b'\x02', 3.0], 'closed'),
    ('a record that is too long', [b'\x16\x03\x01\xff\xff' + b'x' * 65535], rb'^(\x15\x03.*)?$'),
    ('nothing at all', [3.0], 'closed'),
    ('a reset', [b'\x16\x03\x01\x00\x05', RST], None),
]
ADMIN = [
    ('garbage', [b'\0\1\2\3\r\n\r\n'], rb'^HTTP/1.1 400'),
    ('an unknown path', [b'GET /x/../y HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 4'),
    ('a change by GET', [b'GET /pause?sink=crm HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 405'),
    ('a change of what is not there', [b'POST /pause?sink=nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'], rb'^HTTP/1.1 4'),
    ('a number that is none', [b'GET /runs/99999999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n'], rb'^HTTP/1.1 4'),
    ('a deployment that is no module', [b'POST /deploy?file=x.hdwb HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd'], rb'^HTTP/1.1 4'),
    ('a body without end', [b'POST /deploy?file=x.hdwb HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'] + [b'10000\r\n' + BIG + b'\r\n'] * 3 + [RST], None),
    ('headers without end', [b'GET /status HTTP/1.1\r\nHost: x\r\n'] + [b'A: ' + b'b' * 1000 + b'\r\n'] * 200, rb'^HTTP/1.1 431'),
    ('half a request, then the end', [b'GET /status HT', HALF], 'closed'),
    ('a request, then a reset', [b'GET /messages HTTP/1.1\r\nHost: x\r\n\r\n', RST], None),
]

# ---- servers that the daemon talks to: (name, what they do at each attempt, what becomes of the delivery, attempts at least) ---------------
# Done as above, instead of an answer; OK = the right one; CLOSE = the end at once; STAY = nothing for longer than the timeout.

OK, CLOSE, STAY = 'ok', 'close', 'stay'
ANSWER = lambda status, head=b'', body=b'{"id":1}': b'HTTP/1.1 ' + status + b'\r\nContent-Type: application/json\r\n' + head + (b'' if b'ength' in head or b'chunked' in head else b'Content-Length: %d\r\n' % len(body)) + b'\r\n' + body
SINK = [
    ('is well', [[OK]], 'delivered', 1),
    ('closes before it answers', [[CLOSE], [OK]], 'delivered', 2),
    ('resets', [[RST], [OK]], 'delivered', 2),
    ('says nothing', [[STAY], [OK]], 'delivered', 2),
    ('answers byte by byte, too slowly', [[b'H', 0.3, b'T', 0.3, b'T', 0.3], [OK]], 'delivered', 2),
    ('speaks another language', [[b'220 smtp ready\r\n'], [OK]], 'delivered', 2),
    ('sends zero bytes', [[b'\0' * 1000], [OK]], 'delivered', 2),
    ('is broken', [[ANSWER(b'500 Oops')], [OK]], 'delivered', 2),
    ('is not there for a while', [[ANSWER(b'503 Later', b'Retry-After: 0\r\n')], [OK]], 'delivered', 2),
    ('has too much to do', [[ANSWER(b'429 Slowly', b'Retry-After: 0\r\n')], [OK]], 'delivered', 2),
    ('does not want it', [[ANSWER(b'400 No')]], 'dead', 1),
    ('knows nobody', [[ANSWER(b'404 No')]], 'dead', 1),
    ('sends elsewhere', [[ANSWER(b'302 There', b'Location: /elsewhere\r\n')]], 'dead', 1),
    ('sends to a file', [[ANSWER(b'307 There', b'Location: file:///etc/passwd\r\n')]], 'dead', 1),
    ('sends in a circle', [[ANSWER(b'308 There', b'Location: /send\r\n')]], 'dead', 1),
    ('a body that is shorter than it says', [[ANSWER(b'201 Made', b'Content-Length: 99\r\n')], [OK]], 'delivered', 2),
    ('a body that is longer than it says', [[ANSWER(b'201 Made', b'Content-Length: 3\r\n')]], 'accounted', 1),
    ('two lengths', [[ANSWER(b'201 Made', b'Content-Length: 3\r\nContent-Length: 8\r\n')], [OK]], 'accounted', 1),
    ('chunks that overflow', [[ANSWER(b'201 Made', b'Transfer-Encoding: chunked\r\n', b'fffffffffffffffff\r\n{}\r\n')], [OK]], 'delivered', 2),
    ('chunks that do not end', [[ANSWER(b'201 Made', b'Transfer-Encoding: chunked\r\n', b'')] + [b'10000\r\n' + BIG + b'\r\n'] * 40], 'accounted', 1),
    ('a body without end', [[b'HTTP/1.1 201 Made\r\n\r\n'] + [BIG] * 40], 'accounted', 1),
    ('headers without end', [[b'HTTP/1.1 201 Made\r\n'] + [b'A: ' + b'b' * 60000 + b'\r\n'] * 40], 'accounted', 1),
    ('a status that is none', [[b'HTTP/1.1 999999 What\r\n\r\n'], [OK]], 'accounted', 1),
    ('a hundred times 100', [[b'HTTP/1.1 100 Continue\r\n\r\n' * 100 + ANSWER(b'201 Made')]], 'delivered', 1),
    ('100 for ever', [[b'HTTP/1.1 100 Continue\r\n\r\n', 0.2] * 5, [OK]], 'delivered', 2),
    ('no JSON', [[ANSWER(b'201 Made', b'', b'{"id":')]], 'accounted', 1),
    ('a bomb', [[ANSWER(b'201 Made', b'Content-Encoding: gzip\r\n', __import__('gzip').compress(b'\0' * 30000000))]], 'accounted', 1),
    ('answers before it was asked', [[ANSWER(b'201 Made') * 3]], 'delivered', 1),
    ('wants to be asked again in a hundred years', [[ANSWER(b'429 Slowly', b'Retry-After: 99999999999999999999\r\n')]], 'waits', 1),
]
ACK = lambda code, control: FRAME(f'MSH|^~\\&|R|R|S|S|20260101||ACK|9|P|2.5.1\rMSA|{code}|{control}\r')
RECEIVER = [
    ('is well', [[OK]], 'delivered', 1),
    ('closes before it answers', [[CLOSE], [OK]], 'delivered', 2),
    ('resets', [[RST], [OK]], 'delivered', 2),
    ('says nothing', [[STAY], [OK]], 'delivered', 2),
    ('answers for another message', [[ACK('AA', 'other')], [OK]], 'delivered', 2),
    ('answers for another one, then for this one', [[ACK('AA', 'other'), OK]], 'accounted', 1),
    ('answers twice', [[OK, OK]], 'delivered', 1),
    ('answers without MSA', [[FRAME('MSH|^~\\&|R|R|S|S|20260101||ACK|9|P|2.5.1\r')], [OK]], 'delivered', 2),
    ('answers with a code that is none', [[ACK('XX', 'ID')], [OK]], 'accounted', 1),
    ('refuses for good', [[ACK('AR', 'ID')]], 'dead', 1),
    ('has an error', [[ACK('AE', 'ID')], [OK]], 'delivered', 2),
    ('answers garbage', [[b'garbage garbage\r\n'], [OK]], 'delivered', 2),
    ('answers with HTTP', [[b'HTTP/1.1 200 OK\r\n\r\n'], [OK]], 'delivered', 2),
    ('answers half a frame', [[b'\x0bMSH|^~\\&|R'], [OK]], 'delivered', 2),
    ('answers without end', [[b'\x0bMSH|^~\\&|R'] + [BIG] * 40, [OK]], 'delivered', 2),
    ('answers byte by byte, too slowly', [[b'\x0b', 0.3, b'M', 0.3, b'S', 0.3], [OK]], 'delivered', 2),
    ('answers too late', [[0.9, OK], [OK]], 'delivered', 2),
    ('answers, then resets', [[OK, RST]], 'delivered', 1),
    ('sends a message of its own first', [[FRAME(adt('own')), OK]], 'accounted', 1),
]


class Evil(Listening):
    """A server that does as the row says: actions[k] at the k-th attempt, the last one from then on."""

    def __init__(self, mllp):
        self.mllp, self.script, self.seen, self.lock = mllp, [[OK]], [], threading.Lock()
        super().__init__()

    def request(self, c, data):
        """(the key, the rest) of the next request."""
        end = b'\x1c\r' if self.mllp else b'\r\n\r\n'
        while end not in data:
            part = c.recv(65536)
            if not part:
                return None, b''
            data += part
        head, rest = data.split(end, 1)
        if self.mllp:
            return head.lstrip(b'\x0b').split(b'\r')[0].split(b'|')[9].decode(), rest
        n = int((re.search(rb'(?i)content-length: *(\d+)', head) or [0, 0])[1])
        while len(rest) < n:
            part = c.recv(65536)
            if not part:
                return None, b''
            rest += part
        return (re.search(rb'(?i)idempotency-key: *(\S+)', head) or [b'', b'-'])[1].decode(), rest[n:]

    def serve(self, c):
        data = b''
        try:
            while True:
                key, data = self.request(c, data)
                if key is None:
                    break
                with self.lock:
                    do = self.script[min(len(self.seen), len(self.script) - 1)]
                    self.seen.append(key)
                if not perform(c, do, lambda: ACK('AA', key) if self.mllp else ANSWER(b'201 Made'), key.encode()):
                    break
                if do and do[-1] != OK and not (isinstance(do[-1], bytes) and b'201 Made' in do[-1] and b'id' in do[-1]):
                    time.sleep(0.05)
                    break
        except OSError:
            pass
        finally:
            c.close()

    def close(self):
        self.sock.close()


def perform(c, do, good=None, own=b''):
    """Does what a row says; False when the connection has ended."""
    for x in do:
        if isinstance(x, float):
            time.sleep(x)
        elif isinstance(x, bytes):
            c.sendall(x.replace(b'|ID\r', b'|' + own + b'\r') if own else x)
        elif x == OK:
            c.sendall(good())
        elif x == HALF:
            c.shutdown(socket.SHUT_WR)
        elif x == STAY:
            time.sleep(1.5)
            return False
        elif x == RST:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            c.close()
            return False
        else:
            return False
    return True


class Bench:
    def __init__(self):
        self.http, self.receiver = Evil(False), Evil(True)
        net = {'grant': {'networks': ['127.0.0.0/8']}, 'retry_percent': 100, 'breaker_percent': 0}  # nearly every call fails here, and each row is to be tried again at once
        limits = {'port': 0, 'read_timeout_ms': 1500, 'max_frame_bytes': 1 << 20}
        self.d = Daemon(PROGRAM, {'settings': {'crm_base': f'http://127.0.0.1:{self.http.port}'}, 'max_input_bytes': 1 << 20,
                                  'listeners': {'adt': dict(limits), 'web': dict(limits), 'sec': dict(limits, tls={'cert': 'hub.pem', 'key': 'hub.key'})},
                                  'connections': {'crm': dict(net, max_response_bytes=1 << 20, in_flight=1, give_up_ms=60000), 'his': dict(net, address=f'127.0.0.1:{self.receiver.port}', on_dead='skip', max_response_bytes=1 << 20)}})
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'hub.key', '-out', 'hub.pem', '-days', '2', '-subj', '/CN=hub'],
                       cwd=self.d.dir, check=True, capture_output=True)
        self.d.start()
        self.numbers, self.problems = itertools.count(1), []

    def connect(self, protocol):
        if protocol == 'admin':
            c = socket.socket(socket.AF_UNIX)
            c.connect(os.path.join(self.d.config['data'], 'admin.sock'))
        else:
            c = socket.create_connection(('127.0.0.1', self.d.ports[{'mllp': 'adt', 'http': 'web', 'tls': 'sec'}[protocol]]))
        c.settimeout(8 * SLOW)
        return c

    def good(self, protocol):
        """A good peer is served."""
        n = next(self.numbers)
        if protocol in ('mllp', 'sink', 'receiver'):
            m = Mllp(self.d.ports['adt'])
            code = ack_code(m.ask(adt(f'good{n}')))
            m.close()
            return code == 'AA'
        if protocol == 'admin':
            return bool(self.d.ask('status'))
        if protocol == 'tls':
            cx = ssl.create_default_context(cafile=os.path.join(self.d.dir, 'hub.pem'))
            cx.check_hostname = False
            with cx.wrap_socket(self.connect('tls')) as c:
                c.sendall(GOOD(f'good{n}'))
                return b'MSA|AA|good' in c.recv(65536)
        c = http.client.HTTPConnection('127.0.0.1', self.d.ports['web'], timeout=8 * SLOW)
        c.request('POST', '/api', body='{}', headers={'Content-Type': 'application/json'})
        status = c.getresponse().status
        c.close()
        return status == 202

    def listen_row(self, problems, protocol, name, do, expected):
        c, got, end = self.connect(protocol), b'', 'open'
        try:
            if perform(c, do):
                c.settimeout(0.4 * SLOW if expected not in ('closed', None) else 8 * SLOW)
                while True:
                    part = c.recv(65536)
                    if not part:
                        end = 'closed'
                        break
                    got += part
                    if isinstance(expected, bytes) and re.search(expected, got, re.S) and not expected.endswith(b'$'):
                        break
        except socket.timeout:
            pass
        except (ConnectionResetError, BrokenPipeError):
            end = 'closed'
            try:
                c.settimeout(0.5)
                got += c.recv(65536)
            except OSError:
                pass
        finally:
            c.close()
        if expected in ('closed', 'open') and (end != expected or got):
            problems.append(f'{protocol}, {name}: {end} after {got[:80]!r}')
        elif isinstance(expected, bytes) and not re.search(expected, got, re.S):
            problems.append(f'{protocol}, {name}: {end} after {got[:160]!r}, expected {expected!r}')

    def sink(self, name):
        return next(x for x in self.d.ask('sinks') if x['name'] == name)

    def sink_row(self, problems, protocol, name, script, becomes, attempts):
        evil, sink = (self.http, 'crm') if protocol == 'sink' else (self.receiver, 'his')
        evil.script, evil.seen = script, []
        before = self.sink(sink)
        control = f'd{next(self.numbers)}'
        m = Mllp(self.d.ports['adt'])
        code = ack_code(m.ask(adt(control, event='ADT^A02' if protocol == 'sink' else 'ADT^A08')))
        m.close()

        def count(state):
            return self.sink(sink)[state] - before[state]
        try:
            if becomes == 'waits':
                wait_for(lambda: len(evil.seen) >= attempts, 10, 'the attempt')
                time.sleep(0.3)
                hold = self.sink(sink).get('hold_ms', 0)
                if count('delivered') or count('dead') or len(evil.seen) > attempts or not 0 < hold <= 3600000:
                    problems.append(f'{protocol}, {name}: {self.d.ask("status")["deliveries"]}, {len(evil.seen)} attempts, held for {hold} ms')
                return
            wait_for(lambda: count('delivered') + count('dead') >= 1, 15, 'an end')
        except AssertionError as e:
            problems.append(f'{protocol}, {name}: {e}; {self.d.ask("sinks")}')
            return
        got = 'delivered' if count('delivered') else 'dead'
        if code != 'AA' or (becomes != 'accounted' and got != becomes) or len(evil.seen) < attempts or len(set(evil.seen)) != 1:
            problems.append(f'{protocol}, {name}: {code}, {got} after {len(evil.seen)} attempts under {len(set(evil.seen))} keys, expected {becomes} after at least {attempts}')

    def rows(self, rows):
        """One after the other; after each a good peer is served."""
        for protocol, *row in rows:
            problems = []
            (self.sink_row if protocol in ('sink', 'receiver') else self.listen_row)(problems, protocol, *row)
            try:
                if self.d.p.poll() is not None or not self.good(protocol):
                    raise AssertionError(f'ended with {self.d.p.poll()}')
            except (OSError, AssertionError, http.client.HTTPException) as e:
                problems.append(f'{protocol}, {row[0]}: a good peer is not served any more: {e}')
            for x in problems:
                print('FAILED:', x, flush=True)
            self.problems += problems

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.d.p.pid}/fd'))

    def memory(self):
        with open(f'/proc/{self.d.p.pid}/status') as f:
            return int(re.search(r'RssAnon:\s+(\d+)', f.read())[1])

    def close(self):
        self.d.close()
        self.http.close()
        self.receiver.close()


TABLES = {'mllp': MLLP, 'http': HTTP, 'tls': TLS, 'admin': ADMIN, 'sink': SINK, 'receiver': RECEIVER}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--protocol', default=','.join(TABLES))
    p.add_argument('--row')
    p.add_argument('--repeat', type=int, default=1)
    a = p.parse_args()
    b, done = Bench(), 0
    try:
        for protocol in a.protocol.split(','):
            b.good(protocol)
        fds = memory = 0
        for turn in range(a.repeat):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                jobs = []
                for protocol in a.protocol.split(','):
                    last = turn == a.repeat - 1  # whoever was asked to wait for an hour does
                    rows = [(protocol, *row) for row in TABLES[protocol] if (not a.row or a.row == row[0]) and (last or 'waits' not in row)]
                    done += len(rows)
                    jobs += [pool.submit(b.rows, rows)] if protocol in ('sink', 'receiver') else [pool.submit(b.rows, [row]) for row in rows]
                for j in jobs:
                    j.result()
            if turn == 0 and a.repeat > 1:
                time.sleep(2)
                fds, memory = b.descriptors(), b.memory()
        if a.repeat > 1:
            time.sleep(2)
            grown = b.memory() - memory
            if b.descriptors() > fds + 4 or grown > 16384 + 200 * a.repeat:
                b.problems.append(f'{fds} descriptors became {b.descriptors()}, memory grew by {grown} KiB')
                print('FAILED:', b.problems[-1])
        if any('AddressSanitizer' in x or 'runtime error' in x for x in b.d.log):
            b.problems.append('a sanitizer spoke')
            print('FAILED:', '\n'.join(b.d.log[-30:]))
        status = b.d.ask('status')
        if b.d.stop():
            b.problems.append('the daemon did not end well')
            print('FAILED:', b.problems[-1])
        print(f'peers: {done} rows of {len(a.protocol.split(","))} protocols, {sum(status["inputs"].values())} messages kept, {len(b.problems)} violations')
        return 1 if b.problems or not done else 0
    finally:
        b.close()


if __name__ == '__main__':
    sys.exit(main())
