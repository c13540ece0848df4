"""What the integration tests share: a data folder, the two programs, an MLLP client, and HTTP and MLLP sinks, all on loopback."""
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

BIN = os.environ.get('HDW_BIN', os.path.join(os.path.dirname(__file__), '..', '..', 'build'))
HDWC, HDWVM = os.path.join(BIN, 'hdwc'), os.path.join(BIN, 'hdwvm')
SLOW = float(os.environ.get('HDW_SLOW', '1'))
# Commands whose answers are what a message says, for whoever may see it.
PHI = ('message', 'payload', 'show', 'run', 'trace', 'journal', 'story')


def wait_for(check, seconds=15, what='the condition'):
    end = time.monotonic() + seconds * SLOW
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f'{what} did not come true within {seconds * SLOW:.0f} s')
        time.sleep(0.02)


def certificate(folder, name):
    """NAME.pem and NAME.key in the folder, signed by itself, for localhost."""
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key', '-out', f'{name}.pem', '-days', '2',
                    '-subj', f'/CN={name}', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], cwd=folder, check=True, capture_output=True, timeout=60)
    os.chmod(os.path.join(folder, f'{name}.key'), 0o600)


class HttpSink:
    """Keeps what it gets. answer(request) gives (status, object, headers) or None to hang."""

    def __init__(self, port=0, tls=None):
        self.requests, self.lock = [], threading.Lock()
        self.answer = lambda r: (201, {'id': len(self.requests)}, {})
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do(self):
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                r = {'method': self.command, 'path': self.path, 'key': self.headers.get('Idempotency-Key'), 'headers': dict(self.headers), 'body': body}
                with sink.lock:
                    sink.requests.append(r)
                    answer = sink.answer(r)
                if answer is None:
                    time.sleep(30)
                    return
                status, value, headers = answer
                out = (value if isinstance(value, str) else json.dumps(value)).encode()
                self.send_response(status)
                headers = {'Content-Type': 'application/json', **headers}
                self.send_header('Content-Length', str(len(out)))
                for k, v in headers.items():
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

            def log_message(self, *a):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # the peer was killed

        self.server = Server(('127.0.0.1', port), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def to(self, path):
        with self.lock:
            return [r for r in self.requests if r['path'] == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Listening:
    """Listens on loopback; self.serve(connection) has a thread of its own for each."""

    def __init__(self):
        self.sock = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()


class MllpSink(Listening):
    """Acknowledges messages with the code that codes() gives."""

    def __init__(self):
        self.messages, self.codes = [], lambda n: 'AA'
        super().__init__()

    def serve(self, c):
        data = b''
        while True:
            part = c.recv(65536)
            if not part:
                return
            data += part
            while b'\x1c\r' in data:
                frame, data = data.split(b'\x1c\r', 1)
                msg = frame.lstrip(b'\x0b').decode()
                self.messages.append(msg)
                control = msg.split('\r')[0].split('|')[9]
                code = self.codes(len(self.messages))
                ack = f'MSH|^~\\&|R|R|S|S|20260101||ACK|{len(self.messages)}|P|2.5.1\rMSA|{code}|{control}\r'
                c.sendall(b'\x0b' + ack.encode() + b'\x1c\r')

    def close(self):
        self.sock.close()


class Mllp:
    def __init__(self, port):
        self.s = socket.create_connection(('127.0.0.1', port), timeout=20 * SLOW)
        self.data = b''

    def send(self, msg):
        self.s.sendall(b'\x0b' + msg.encode() + b'\x1c\r')

    def receive(self):
        while b'\x1c\r' not in self.data:
            part = self.s.recv(65536)
            if not part:
                raise ConnectionError('closed')
            self.data += part
        frame, self.data = self.data.split(b'\x1c\r', 1)
        return frame.lstrip(b'\x0b').decode()

    def ask(self, msg):
        self.send(msg)
        return self.receive()

    def close(self):
        self.s.close()


def adt(control_id, mrn='4711', event='ADT^A01', extra=''):
    return f'MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||{event}|{control_id}|P|2.5.1{extra}\rPID|1||{mrn}^^^HOSP^MR||SMITH^JOHN\r'


def ack_code(ack):
    return next(s.split('|')[1] for s in ack.split('\r') if s.startswith('MSA'))


class Daemon:
    """One program in one folder. start() waits for the ready line."""

    def __init__(self, source, config):
        self.dir = tempfile.mkdtemp(prefix='hdw-it-')
        self.config = dict(config, data=os.path.join(self.dir, 'data'))
        self.config.setdefault('min_free_bytes', 0)
        with open(os.path.join(self.dir, 'app.hdw'), 'w') as f:
            f.write(source)
        subprocess.run([HDWC, 'build', 'app.hdw', '-o', 'app.hdwb'], cwd=self.dir, check=True, timeout=60)
        self.p, self.ports, self.log, self.env = None, {}, [], None

    def write_config(self):
        with open(os.path.join(self.dir, 'hdw.json'), 'w') as f:
            json.dump(self.config, f)

    def start(self):
        self.write_config()
        if self.p:
            self.p.stderr.close()
        self.p = subprocess.Popen([HDWVM, 'serve', '--config', 'hdw.json', 'app.hdwb'], cwd=self.dir, stderr=subprocess.PIPE, text=True, env=self.env)
        for line in self.p.stderr:
            self.log.append(line.rstrip())
            if line.startswith('hdwvm: ready'):
                self.ports = {k: int(v.rsplit(':', 1)[1]) for k, v in (w.split('=') for w in line.split()[2:])}
                threading.Thread(target=self.drain, args=(self.p,), daemon=True).start()
                return self
        raise AssertionError('the daemon did not start:\n' + '\n'.join(self.log[-20:]))

    def drain(self, p):
        try:
            for line in p.stderr:
                self.log.append(line.rstrip())
        except ValueError:
            pass  # closed by the next start

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        self.p.terminate()
        return self.p.wait(timeout=30 * SLOW)

    def canaries(self):
        """What must not stand in any output: contents of secrets, names of patients."""
        secrets = []
        for s in self.config.get('secrets', {}).values():
            try:
                with open(os.path.join(self.dir, s['file'])) as f:
                    secrets.append(f.read().strip())
            except (OSError, TypeError, KeyError):
                pass  # a test of what is missing
        return [s for s in secrets if len(s) > 3] + ['SMITH', 'JOHN']

    def look_for_canaries(self, text, where):
        for c in self.canaries():
            if c in text:
                raise AssertionError(f'{where}: "{c}" stands in it: ' + next((l for l in text.splitlines() if c in l), '')[:300])

    def ask(self, *args):
        r = subprocess.run([HDWVM, *map(str, args), '--json', '--config', 'hdw.json'], cwd=self.dir, capture_output=True, text=True, timeout=60)
        self.look_for_canaries(r.stderr, f'errors of hdwvm {args[0]}')
        if args[0] not in PHI:
            self.look_for_canaries(r.stdout, f'answer of hdwvm {args[0]}')
        if r.returncode:
            raise AssertionError(f'hdwvm {args}: {r.returncode} {r.stderr}')
        return json.loads(r.stdout)

    def call(self, name, **body):
        """POST /name of the listener 'web': the object that its workflow gives."""
        c = http.client.HTTPConnection('127.0.0.1', self.ports['web'], timeout=60)
        c.request('POST', '/' + name, json.dumps(body), {'Content-Type': 'application/json'})
        r = c.getresponse()
        text = r.read()
        c.close()
        if r.status != 200:
            raise AssertionError(f'/{name}: {r.status} {text}')
        return json.loads(text or b'{}')

    def runs(self, state=None):
        return self.ask('runs', *(['--state', state] if state else []))

    def look_at_metrics(self):
        for name in ('observe', 'admin_http'):
            if name not in self.ports or not self.p or self.p.poll() is not None:
                continue
            try:
                with socket.create_connection(('127.0.0.1', self.ports[name]), timeout=5) as c:
                    c.settimeout(5 * SLOW)
                    c.sendall(b'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
                    text = b''
                    while part := c.recv(65536):
                        text += part
            except OSError:
                continue  # TLS, or it is ending
            self.look_for_canaries(text.decode(errors='replace'), f'metrics of {name}')

    def close(self):
        try:
            self.look_at_metrics()
            self.look_for_canaries('\n'.join(self.log), 'log')
        finally:
            self.end()

    def end(self):
        if self.p and self.p.poll() is None:
            self.kill()
        if self.p:
            self.p.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)
