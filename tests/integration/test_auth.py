#!/usr/bin/env python3
"""Logins of connections through the real daemon: tokens that are fetched, kept over a restart, renewed; keys, certificates, login servers that refuse (PROTOCOLS 4, 7)."""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from auth_peers import Ca, Nginx, Oidc, oidc_folder, openssl
from rig import HDWVM, Daemon, HttpSink, Mllp, ack_code, adt, wait_for

RETRY = "retry: retry(1, from: 20 milliseconds, to: 50 milliseconds)"
LOOPBACK = {'grant': {'networks': ['127.0.0.0/8']}}


def program(auth, call="crm.post('/seen', body: { id: msg.MSH-10 })"):
    return f"""hdw 1
setting token_url: url
listener adt = mllp(port: 0)
connection crm = rest(auth: {auth}, {RETRY}, timeout: 20 seconds)
workflow w on msg = adt.message(types: ['ADT^A01']) {{
  step r = {call}
  return {{ got: r }}
}}
"""


class LoginServer(HttpSink):
    """Gives token-1, token-2 ...; refuse: (status, object) instead; hold: until it is set nobody gets an answer."""

    def __init__(self, **how):
        super().__init__(**how)
        self.refuse, self.hold, self.life = None, None, 3600
        self.answer = self.login

    def login(self, r):
        n = len(self.requests)
        if self.hold:
            self.lock.release()
            self.hold.wait(60)
            self.lock.acquire()
        if self.refuse:
            return (*self.refuse, {})
        return 200, {'access_token': f'token-{n}', 'token_type': 'Bearer', 'expires_in': self.life}, {'Cache-Control': 'no-store'}

    def form(self, n=-1):
        return dict(urllib.parse.parse_qsl(self.requests[n]['body'].decode()))


class Case(unittest.TestCase):
    def begin(self, source, secrets, connection=None, top=None, settings=None):
        """The API is self.api, which takes the newest token; the login server self.login."""
        self.api, self.login = HttpSink(), LoginServer()
        self.addCleanup(self.api.close)
        self.addCleanup(self.login.close)
        self.login.url = f'http://127.0.0.1:{self.login.port}/token'
        self.d = Daemon(source, {'settings': {'token_url': self.login.url, **(settings or {})}, 'secrets': {k: {'file': k} for k in secrets}, 'listeners': {'adt': {'port': 0}},
                                 'connections': {'crm': {'base': f'http://127.0.0.1:{self.api.port}', **LOOPBACK, **(connection or {})}}, **(top or {})})
        self.addCleanup(self.d.close)
        for name, text in secrets.items():
            with open(os.open(os.path.join(self.d.dir, name), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write(text)
        self.d.start()

    def send(self, *ids):
        m = Mllp(self.d.ports['adt'])
        for i in ids:
            self.assertEqual(ack_code(m.ask(adt(i))), 'AA')
        m.close()

    def connection(self):
        return self.d.ask('connections')[0]

    def tokens(self):
        return [r['headers'].get('Authorization') for r in self.api.to('/seen')]


OAUTH = "oauth2(token: token_url, client_id: 'hub', client_secret: secret('client'), scopes: ['a'])"


class ClientCredentials(Case):
    def test_B9_a_thousand_runs_at_once_make_one_request(self):
        self.begin(program(OAUTH), {'client': 'the-client-secret'}, {'in_flight': 1000}, {'active_runs': 2000})
        self.login.hold = threading.Event()
        self.send(*(f'M{i}' for i in range(1000)))
        wait_for(lambda: self.d.ask('status')['active_runs'] == 1000, 60, '1,000 runs at work')
        self.assertEqual(self.connection()['login']['state'], 'logging in')
        self.login.hold.set()
        wait_for(lambda: len(self.api.to('/seen')) >= 1000, 60, '1,000 calls')
        self.assertEqual(len(self.login.requests), 1)
        self.assertEqual(set(self.tokens()), {'Bearer token-1'})
        self.assertEqual(self.login.requests[0]['headers']['Authorization'], 'Basic ' + base64.b64encode(b'hub:the-client-secret').decode())
        self.assertEqual(self.login.form(), {'grant_type': 'client_credentials', 'scope': 'a'})

    def test_a_restart_uses_the_sealed_token_and_shows_until_when(self):
        self.begin(program(OAUTH), {'client': 'the-client-secret'})
        self.send('M1')
        wait_for(lambda: len(self.tokens()) == 1)
        login = self.connection()['login']
        self.assertEqual((login['kind'], login['state'], login['asked']), ('oauth2', 'logged in', 1))
        self.assertRegex(login['until'], r'^20\d\d-')
        self.d.stop()
        for folder, _, files in os.walk(self.d.config['data']):
            for name in files:
                with open(os.path.join(folder, name), 'rb') as f:
                    text = f.read()
                self.assertNotIn(b'token-1', text, name)
                self.assertNotIn(b'the-client-secret', text, name)
        self.d.start()
        self.send('M2')
        wait_for(lambda: len(self.tokens()) == 2)
        self.assertEqual(len(self.login.requests), 1)
        self.assertEqual(set(self.tokens()), {'Bearer token-1'})
        self.assertEqual(self.connection()['login']['asked'], 0)

    def test_B10_a_refused_token_is_renewed_once(self):
        self.begin(program(OAUTH), {'client': 'the-client-secret'})
        self.api.answer = lambda r: (201 if r['headers'].get('Authorization') == 'Bearer token-2' else 401, {}, {})
        self.send('M1')
        wait_for(lambda: len(self.api.requests) == 2)
        self.assertEqual(self.tokens(), ['Bearer token-1', 'Bearer token-2'])
        self.send('M2')
        wait_for(lambda: len(self.api.requests) == 3)
        self.assertEqual(len(self.login.requests), 2)

    def test_B11_a_refusal_is_told_without_secrets_and_repaired(self):
        self.begin(program(OAUTH), {'client': 'the-client-secret'})
        self.login.refuse = (401, {'error': 'invalid_client', 'error_description': 'the-client-secret is wrong'})
        self.send('M1')
        wait_for(lambda: self.connection().get('login', {}).get('error'))
        c = self.connection()
        self.assertEqual(c['login']['state'], 'cannot log in')
        self.assertIn('HTTP 401 invalid_client: client id, secret or key is not what the login server knows', c['login']['error'])
        self.assertEqual(self.api.requests, [])
        self.login.refuse = None
        wait_for(lambda: len(self.tokens()) == 1, 30, 'the call after the repair')
        self.assertEqual(self.d.runs('dead'), [])


def pem(kind):
    """A private key as text: 'rsa:2048', 'P-384' ..."""
    with tempfile.TemporaryDirectory() as t:
        if kind.startswith('rsa:'):
            openssl(t, 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:' + kind[4:], '-out', 'k')
        else:
            openssl(t, 'ecparam', '-name', {'P-384': 'secp384r1', 'P-256': 'prime256v1'}[kind], '-genkey', '-noout', '-out', 'k')
        with open(os.path.join(t, 'k')) as f:
            return f.read()


SMART = """hdw 1
setting token_url: url
listener adt = mllp(port: 0)
listener web = http()
connection crm = rest(auth: smart_backend(client_id: 'hub-%(n)s', key: secret('key_%(n)s'), scopes: ['system/Patient.rs'], token: token_url%(more)s), """ + RETRY + """)
workflow w on msg = adt.message(types: ['ADT^A01']) { step r = crm.post('/seen', body: { id: msg.MSH-10 })  return { got: r } }
workflow x on req = web.get('/') ack after run within 5 seconds else AE { reply({ ok: true }) }
"""


class PrivateKey(Case):
    """Against oidc-provider: it fetches our keys from the daemon, checks the signature, audience, times and that no jti comes twice."""

    def provider(self, *clients):
        folder, why = oidc_folder()
        if not folder:
            self.skipTest(why)
        o = Oidc(folder, [{'redirect_uris': [], 'response_types': [], 'grant_types': ['client_credentials'], 'scope': 'system/Patient.rs a', **c} for c in clients])
        self.addCleanup(o.close)
        return o

    def jwks(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.d.ports['web']}/.well-known/jwks.json", timeout=20) as r:
            self.assertEqual((r.headers['Content-Type'], r.headers['Cache-Control']), ('application/json', 'max-age=300'))
            return json.load(r)['keys']

    def smart(self, n, key, more=''):
        with socket.create_server(('127.0.0.1', 0)) as s:
            web = s.getsockname()[1]
        resource = base64.b64encode(b'checker:check').decode()
        o = self.provider({'client_id': f'hub-{n}', 'token_endpoint_auth_method': 'private_key_jwt', 'jwks_uri': f'http://127.0.0.1:{web}/.well-known/jwks.json'},
                          {'client_id': 'checker', 'client_secret': 'check', 'scope': 'a'})
        self.begin(SMART % {'n': n, 'more': more}, {f'key_{n}': key}, settings={'token_url': o.url + '/token'},
                   top={'listeners': {'adt': {'port': 0}, 'web': {'port': web, 'jwks': '/.well-known/jwks.json'}}})
        keys = self.jwks()
        self.assertFalse({'d', 'p', 'q', 'dp', 'dq', 'qi'} & set(keys[0]))
        self.send('M1')
        wait_for(lambda: len(self.tokens()) == 1 or self.connection()['login'].get('error'))
        self.assertEqual(o.log, [])
        token = self.tokens()[0].removeprefix('Bearer ')
        seen = o.introspect(token, resource)
        self.assertEqual((seen['active'], seen['client_id'], seen['scope']), (True, f'hub-{n}', 'system/Patient.rs'))
        return o, keys

    def test_B1_B5_B13_RS384(self):
        o, keys = self.smart('rsa', pem('rsa:2048'))
        self.assertEqual((len(keys), keys[0]['kty'], keys[0]['alg'], keys[0]['use']), (1, 'RSA', 'RS384', 'sig'))
        self.assertEqual(self.d.ask('jwks')['keys'], keys)

    def test_B4_B5_B14_ES384_every_assertion_is_new(self):
        o, keys = self.smart('ec', pem('P-384'))
        self.assertEqual((keys[0]['kty'], keys[0]['crv'], keys[0]['alg']), ('EC', 'P-384', 'ES384'))
        answers = iter([401] * 3)
        self.api.answer = lambda r: (next(answers, 201), {}, {})
        self.send('M2', 'M3', 'M4')
        wait_for(lambda: len(self.api.requests) >= 6)
        self.assertEqual(o.log, [])  # a jti twice would stand here

    def test_S12_client_secrets_with_odd_characters(self):
        secret = 'p+q/r=s t%u&v:w'
        o = self.provider({'client_id': 'a b', 'client_secret': secret}, {'client_id': 'post', 'client_secret': secret, 'token_endpoint_auth_method': 'client_secret_post'})
        for auth in ("client_id: 'a b'", "client_id: 'post', method: 'client_secret_post'"):
            with self.subTest(auth):
                self.begin(program(f"oauth2(token: token_url, {auth}, client_secret: secret('client'), scopes: ['a'])"), {'client': secret}, settings={'token_url': o.url + '/token'})
                self.send('M1')
                wait_for(lambda: len(self.tokens()) == 1 or self.connection()['login'].get('error'))
                self.assertEqual(o.log, [])
                self.assertEqual(len(self.tokens()), 1)

    def test_B11_what_the_provider_refuses(self):
        o = self.provider({'client_id': 'hub', 'client_secret': 'right'})
        for secret, scope, says in (('wrong-one', 'a', 'HTTP 401 invalid_client'), ('right', 'system/Observation.rs', 'HTTP 400 invalid_scope')):
            with self.subTest(says):
                self.begin(program(f"oauth2(token: token_url, client_id: 'hub', client_secret: secret('client'), scopes: ['{scope}'])"), {'client': secret}, settings={'token_url': o.url + '/token'})
                self.send('M1')
                wait_for(lambda: self.connection()['login'].get('error'))
                self.assertIn(says, self.connection()['login']['error'])
                self.assertEqual(self.api.requests, [])


PLACES = ['good', 'mutual', 'wrong_ca', 'wrong_host', 'expired', 'no_certificate', 'old_tls']


def tls_program():
    auth = {'mutual': 'mtls()', 'good': "mtls(cert: secret('cert'), key: secret('key'))"}
    lines = ['hdw 1', 'listener web = http()']
    for name in PLACES:
        a = f'auth: {auth[name]}, ' if name in auth else ''
        lines.append(f'connection {name} = rest({a}retry: retry(0), breaker: breaker(failures: 0, cooldown: 1 second), timeout: 10 seconds)')
        lines.append(f"workflow w_{name} on req = web.get('/{name}') ack after run within 20 seconds else AE {{\n  step x = {name}.get('/')\n"
                     "    on error { reply({ code: error.code, status: error.status, message: error.message }) }\n  reply({ ok: x.ok })\n}")
    return '\n'.join(lines) + '\n'


class Tls(unittest.TestCase):
    """nginx with certificates that are right and wrong (Z-4, RELIABILITY T8)."""

    @classmethod
    def setUpClass(cls):
        if not Nginx.program():
            raise unittest.SkipTest('nginx is not installed')
        cls.dir = tempfile.mkdtemp(prefix='hdw-tls-')
        ca, other = Ca(cls.dir, 'ca'), Ca(cls.dir, 'other')
        ca.sign('server'), ca.sign('client', 'DNS:hub'), ca.sign('elsewhere', 'DNS:elsewhere.example.org'), ca.sign('over', days='0'), other.sign('stranger')
        client = f'ssl_client_certificate {cls.dir}/ca.pem; ssl_verify_client on;'
        cls.nginx = Nginx(cls.dir, [('server', client), ('server', client), ('stranger', ''), ('elsewhere', ''), ('over', ''), ('server', client),
                                    ('server', 'ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;')])
        tls = {'ca': f'{cls.dir}/ca.pem'}
        connections = {name: {'base': f'https://127.0.0.1:{port}', 'tls': dict(tls), **LOOPBACK} for name, port in zip(PLACES, cls.nginx.ports)}
        connections['mutual']['tls'].update(cert=f'{cls.dir}/client.pem', key=f'{cls.dir}/client.key')
        cls.d = Daemon(tls_program(), {'listeners': {'web': {'port': 0}}, 'connections': connections, 'secrets': {'cert': {'file': 'client.pem'}, 'key': {'file': 'client.key'}}})
        for name in ('client.pem', 'client.key'):
            shutil.copy(os.path.join(cls.dir, name), cls.d.dir)
            os.chmod(os.path.join(cls.d.dir, name), 0o600)
        cls.d.start()

    @classmethod
    def tearDownClass(cls):
        cls.d.close()
        cls.nginx.close()
        shutil.rmtree(cls.dir, ignore_errors=True)

    def get(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.d.ports['web']}/{name}", timeout=60) as r:
            return json.load(r)

    def test_the_certificate_is_the_login(self):
        self.assertEqual(self.get('mutual'), {'ok': True})
        self.assertEqual(self.get('good'), {'ok': True})

    def test_Z4_peers_that_are_not_who_they_should_be(self):
        for name, says in (('wrong_ca', 'issuer certificate'), ('wrong_host', 'match'), ('expired', 'expired'), ('old_tls', 'protocol')):
            with self.subTest(name):
                got = self.get(name)
                self.assertIn(says, got.get('message', str(got)))

    def test_Z4_a_server_that_wants_a_certificate(self):
        self.assertEqual(self.get('no_certificate')['status'], 400)

    def test_certificates_that_cannot_be_used_are_told_at_a_reload(self):
        right = json.dumps(self.d.config)
        for change, says in (({'cert': f'{self.dir}/server.pem'}, 'do not belong together'), ({'cert': f'{self.dir}/over.pem', 'key': f'{self.dir}/over.key'}, 'has expired')):
            self.d.config = json.loads(right)
            self.d.config['connections']['mutual']['tls'].update(change)
            self.d.write_config()
            r = subprocess.run([HDWVM, 'reload', '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=60)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn(says, r.stderr + r.stdout)
        self.d.config = json.loads(right)
        self.d.write_config()


class Exchange(Case):
    def test_X1_X4_tokens_by_identity(self):
        self.begin(program("bearer_token_exchange(url: token_url, secret: secret('app'), header: 'X-App', format: 'Key {secret}', parameters: { user: 'X-User' })",
                           "crm.post('/seen', body: { id: msg.MSH-10 }, login: { user: msg.PID-3.idNumber.first() })"), {'app': 'the-app-secret'})
        m = Mllp(self.d.ports['adt'])
        self.addCleanup(m.close)
        for i in range(40):
            self.assertEqual(ack_code(m.ask(adt(f'M{i}', mrn=f'person-{i % 2}'))), 'AA')
        wait_for(lambda: len(self.tokens()) == 40)
        self.assertEqual(len(self.login.requests), 2)
        self.assertEqual({r['headers']['X-App'] for r in self.login.requests}, {'Key the-app-secret'})
        self.assertEqual({r['headers']['X-User'] for r in self.login.requests}, {'person-0', 'person-1'})
        self.assertEqual(set(self.tokens()), {'Bearer token-1', 'Bearer token-2'})


class SealingKey(unittest.TestCase):
    def test_B15_a_sealing_key_that_is_too_short_is_told_before_anything_starts(self):
        d = Daemon("hdw 1\nlistener web = http()\nworkflow w on req = web.get('/') { return { ok: true } }\n",
                   {'listeners': {'web': {'port': 0}}, 'secrets': {'seal': {'file': 'seal'}}, 'auth_key': 'seal'})
        self.addCleanup(d.close)
        d.write_config()
        for key, says in ((b'k' * 31, 'auth_key: seal holds fewer than 32 bytes; openssl rand -base64 32 makes a key'), (b'k' * 31 + b'\n', 'fewer than 32 bytes'), (b'', 'seal holds no secret'),
                          (b'k' * 32, None), (b'k' * 32 + b'\n', None)):
            with self.subTest(key):
                with open(os.path.join(d.dir, 'seal'), 'wb') as f:
                    f.write(key)
                os.chmod(os.path.join(d.dir, 'seal'), 0o600)
                for command in (['config', 'check'], ['serve', '--check']):
                    r = subprocess.run([HDWVM, *command, 'app.hdwb', '--config', 'hdw.json'], cwd=d.dir, capture_output=True, text=True, timeout=60)
                    self.assertEqual(r.returncode, 1 if says else 0, r.stdout + r.stderr)
                    self.assertIn(says or '0 problems', r.stdout + r.stderr)
                    self.assertNotIn('kkkk', r.stdout + r.stderr)
                if says:
                    r = subprocess.run([HDWVM, 'serve', 'app.hdwb', '--config', 'hdw.json'], cwd=d.dir, capture_output=True, text=True, timeout=60)
                    self.assertEqual(r.returncode, 1, r.stderr)
                    self.assertIn(says, r.stderr)
        d.start()


if __name__ == '__main__':
    unittest.main()
