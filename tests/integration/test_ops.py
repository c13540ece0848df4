"""Looking in, accounting and watching: roles, audit, metrics, health, traces, log lines; against the real daemon on loopback."""
import http.client
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Mllp, ack_code, adt, wait_for

PROGRAM = '''hdw 1
setting crm_base: url
connection crm = rest(base: crm_base, timeout: 2 seconds)
listener adt = mllp(port: 2575)
listener web = http(port: 8080)

workflow admit on msg = adt.message(types: ['ADT^A01']) {
  let mrn = msg.PID-3.idNumber.first()
  if mrn.empty() { reject('AE', 'no medical record number in PID-3') }
  step made = crm.post('/admits', body: { mrn: mrn, name: msg.PID-5.familyName })
  send crm.post('/notices', body: { mrn: mrn })
  return { mrn: mrn }
}

workflow intake on rq = web.post('/intake') {
  step made = crm.post('/intake', body: rq.body)
}
'''
TOKENS = {'look': 'token-of-the-viewer-0001', 'ops': 'token-of-the-operator-0002', 'care': 'token-of-the-nurse-0003', 'ship': 'token-of-the-deployer-0004'}
ROLES = {'viewer': ['token:look'], 'operator': ['token:ops'], 'phi_viewer': ['token:care'], 'deployer': ['token:ship']}


class Case(unittest.TestCase):
    extra = {}

    def setUp(self):
        self.sink = HttpSink()
        self.d = Daemon(PROGRAM, dict({
            'settings': {'crm_base': f'http://127.0.0.1:{self.sink.port}'},
            'listeners': {'adt': {'port': 0}, 'web': {'port': 0}},
            'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}},
            'roles': ROLES, 'admin_http': {'port': 0}, 'observe': {'port': 0},
        }, **self.extra))
        self.d.config['secrets'] = {}
        for name, token in TOKENS.items():
            path = os.path.join(self.d.dir, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write(token + '\n')
            self.d.config['secrets'][name] = {'file': path}
        self.d.start()
        self.conns = []

    def tearDown(self):
        for c in self.conns:
            c.close()
        self.d.close()
        self.sink.close()

    def mllp(self):
        c = Mllp(self.d.ports['adt'])
        self.conns.append(c)
        return c

    def http(self, method, path, token=None, door='admin_http', headers=None, body=None):
        c = http.client.HTTPConnection('127.0.0.1', self.d.ports[door], timeout=20)
        h = dict(headers or {})
        if token:
            h['Authorization'] = 'Bearer ' + token
        try:
            c.request(method, path, body=body, headers=h)
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read().decode()
        finally:
            c.close()

    def hdwvm(self, *args, expect=0):
        r = subprocess.run([HDWVM, *args, '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, expect, r.stderr)
        return r

    def done(self, n=1):
        return wait_for(lambda: len([r for r in self.d.runs() if r['state'] == 'done']) >= n and self.d.runs(), what='the run')


class Roles(Case):
    def test_Z6_each_view_for_each_role(self):
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')
        run = self.done()[0]
        look = ['/status', '/messages', f'/messages/{run["message"]}', '/runs', f'/runs/{run["id"]}', '/dead', '/sinks', '/limits', '/modules']
        act = ['/redrive?all=1', '/pause?sink=crm', '/resume?sink=crm']
        for name, token in TOKENS.items():
            for path in look:
                self.assertEqual(self.http('GET', path, token)[0], 200, (name, path))
            for path in act:
                self.assertEqual(self.http('POST', path, token)[0], 200 if name == 'ops' else 403, (name, path))
            self.assertEqual(self.http('GET', '/audit', token)[0], 403 if name == 'look' else 200)
            self.assertEqual(self.http('GET', '/no-such', token)[0], 404)
            self.assertEqual(self.http('GET', '/pause', token)[0], 405)

    def test_Z6_strangers_get_one_answer_for_every_path(self):
        got = {(self.http(m, p)[0], self.http(m, p)[2]) for m, p in [('GET', '/status'), ('GET', '/no-such'), ('POST', '/pause?sink=crm'), ('GET', '/pause')]}
        self.assertEqual(len(got), 1)
        self.assertEqual(got.pop()[0], 401)
        self.assertEqual(self.http('POST', '/redrive', body='x' * 5000)[0], 401)  # the body is not read

    def test_Z6_wrong_tokens_lock_the_address_out(self):
        codes = [self.http('GET', '/status', 'guess')[0] for _ in range(7)]
        self.assertEqual(codes, [401] * 5 + [429] * 2)
        self.assertEqual(self.http('GET', '/status', TOKENS['look'])[0], 429)
        self.hdwvm('status')  # the socket is another door

    def test_Z6_browsers_are_not_answered(self):
        self.assertEqual(self.http('GET', '/status', TOKENS['look'], headers={'Host': 'evil.example'})[0], 403)
        self.assertEqual(self.http('GET', '/status', TOKENS['look'], headers={'Origin': 'http://127.0.0.1'})[0], 403)
        self.assertEqual(self.http('GET', '/status', TOKENS['look'], headers={'Host': 'localhost:1'})[0], 200)

    def test_values_only_for_phi_viewer_with_a_reason(self):
        self.mllp().ask(adt('M1'))
        run = self.done()[0]
        for path in (f'/messages/{run["message"]}', f'/runs/{run["id"]}'):
            for name, reason, sees in [('look', '', 0), ('ops', '?reason=x', 0), ('care', '', 0), ('care', '?reason=ticket%204', 1)]:
                status, _, body = self.http('GET', path + reason, TOKENS[name])
                self.assertEqual((status, '4711' in body or 'SMITH' in body), (200, bool(sees)), (name, path))
        self.assertEqual(self.http('GET', '/messages?patient=4711', TOKENS['look'])[0], 403)
        self.assertEqual(len(json.loads(self.http('GET', '/messages?patient=4711&reason=r', TOKENS['care'])[2])), 1)
        seen = [a for a in self.d.ask('audit') if a['kind'] == 'phi_read' and a['who'] == 'token:care']
        self.assertEqual({a['reason'] for a in seen}, {'ticket 4', 'r'})

    def test_commands_over_a_url(self):
        self.mllp().ask(adt('M1'))
        self.done()
        url = ['--url', f'http://127.0.0.1:{self.d.ports["admin_http"]}']
        self.assertIn('M1', self.hdwvm('messages', *url, '--token-file', 'look').stdout)
        self.assertIn('operator', self.hdwvm('pause', 'crm', *url, '--token-file', 'look', expect=1).stderr)
        self.assertIn('paused', self.hdwvm('pause', 'crm', *url, '--token-file', 'ops').stdout)
        self.assertIn('not known', self.hdwvm('status', *url, expect=1).stderr)

    @unittest.skipUnless(os.geteuid() == 0, 'needs root to become somebody else')
    def test_users_of_the_socket(self):
        self.d.stop()
        self.d.config['roles'] = dict(ROLES, viewer=['gid:54321', 'token:look'])
        self.d.config['admin'] = os.path.join(self.d.dir, 's')
        self.d.start()
        os.chmod(self.d.dir, 0o755)

        def ask(uid, gid, method, path):
            code = f"""import socket,os
s=socket.socket(socket.AF_UNIX);os.setgroups([]);os.setgid({gid});os.setuid({uid});s.connect({os.path.join(self.d.dir, 's')!r})
s.sendall(b'{method} {path} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n');print(s.recv(100).split()[1].decode())"""
            return int(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=20).stdout)

        self.assertEqual(ask(54321, 54321, 'GET', '/status'), 200)
        self.assertEqual(ask(54321, 54321, 'POST', '/pause?sink=crm'), 403)
        self.assertEqual(ask(54322, 54322, 'GET', '/status'), 403)
        self.assertEqual(ask(0, 0, 'POST', '/pause?sink=crm'), 200)


class Finding(Case):
    def test_search_filters_and_pages(self):
        c = self.mllp()
        for i in range(7):
            c.ask(adt(f'M{i}', mrn=f'47{i}'))
        c.ask(adt('U1', event='ADT^A02'))
        c.ask(adt('R1', mrn=''))
        self.done(7)
        ids = lambda *a: [m['control_id'] for m in self.d.ask('messages', *a)]
        self.assertEqual(ids('--patient', '473'), ['M3'])
        self.assertEqual(ids('--patient', '473', '--control-id', 'M4'), [])
        self.assertEqual(ids('--state', 'unmatched'), ['U1'])
        self.assertEqual(ids('--state', 'rejected', '--since', '1h'), ['R1'])
        self.assertEqual(ids('--type', 'ADT^A02'), ['U1'])
        self.assertEqual(len(ids('--type', 'ADT')), 9)
        self.assertEqual(ids('--until', '2020-01-01'), [])
        self.assertEqual(ids('--limit', '3'), ['R1', 'U1', 'M6'])
        out = self.hdwvm('messages', '--limit', '3').stdout
        after = out.strip().split()[-1]
        self.assertEqual(ids('--limit', '3', '--after', after), ['M5', 'M4', 'M3'])
        self.assertIn('accepted, unmatched', self.hdwvm('messages', '--state', 'x', expect=1).stderr)

    def test_121_message_says_what_waits_and_what_to_do(self):
        self.sink.answer = lambda r: (422, {}, {})
        c = self.mllp()
        c.ask(adt('M1'))
        run = wait_for(lambda: self.d.ask('dead'))[0]['id']
        m = self.d.ask('message', '--control-id', 'M1')
        text = ' '.join(m['what'])
        for want in ('answered AA', f'run {run} of admit is a dead letter', '422', 'permanent'):
            self.assertIn(want, text)
        self.assertIn(f'hdwvm redrive {run}', ' '.join(m['next']))
        self.hdwvm('redrive', str(run), '--yes')
        self.sink.answer = lambda r: (503, {}, {}) if r['path'] == '/notices' else (201, {'id': 1}, {})
        wait_for(lambda: self.d.ask('dead'))
        self.hdwvm('redrive', str(run), '--yes')
        wait_for(lambda: 'attempt' in ' '.join(self.d.ask('message', '--control-id', 'M1')['what']), what='the delivery waits')
        self.hdwvm('pause', 'crm')
        m = self.d.ask('message', '--control-id', 'M1')
        self.assertIn('hdwvm resume crm', ' '.join(m['next']))
        out = self.hdwvm('message', '--control-id', 'M1').stdout
        for want in ('what happened', 'next', '503', 'paused by an operator', 'PID|1||4711'):
            self.assertIn(want, out)
        self.hdwvm('message', '99999999', expect=1)
        self.assertIn('control id', self.hdwvm('message', '--control-id', 'nobody', expect=1).stderr)


class Audit(Case):
    def test_O13_calls_refusals_start_and_stop_are_recorded_and_chained(self):
        self.mllp().ask(adt('M1'))
        self.done()
        self.hdwvm('pause', 'crm')
        self.http('POST', '/pause?sink=crm', TOKENS['look'])
        self.http('GET', '/status', 'guess')
        self.d.stop()
        self.d.start()
        rows = self.d.ask('audit')
        self.assertEqual([r['number'] for r in rows], list(range(rows[0]['number'], 0, -1)))
        kinds = [r['kind'] for r in rows]
        self.assertEqual((kinds.count('start'), kinds.count('stop'), kinds.count('denied')), (2, 1, 2))
        pause = next(r for r in rows if r['action'] == 'POST /pause' and r['outcome'] == 'done')
        self.assertTrue(pause['who'].startswith(f'uid:{os.geteuid()}'))
        self.assertEqual(pause['query'], 'name=crm')
        self.assertIn('whole', self.hdwvm('audit', '--verify').stdout)
        for line in self.hdwvm('audit', '--fhir').stdout.splitlines():
            self.assertEqual(json.loads(line)['resourceType'], 'AuditEvent')
        head = [json.loads(l) for l in self.d.log if '"audit_head"' in l]
        self.assertEqual(head[-1]['why'], 'start')


class Watching(Case):
    def metrics(self, accept=None):
        status, headers, body = self.http('GET', '/metrics', door='observe', headers={'Accept': accept} if accept else {})
        self.assertEqual(status, 200)
        return headers['Content-Type'], body

    def value(self, name):
        for line in self.metrics()[1].splitlines():
            if line.rsplit(' ', 1)[0] == name:
                return float(line.rsplit(' ', 1)[1])
        return None

    def test_O1_O3_metrics_of_a_message(self):
        c = self.mllp()
        c.ask(adt('M1'))
        c.ask(adt('M1'))
        c.ask(adt('M2', mrn=''))
        self.done()
        wait_for(lambda: self.value('hdw_attempts_total{connection="crm",operation="rest.post",result="ok"}') == 2, what='step and delivery')
        want = {'hdw_inputs_total{listener="adt",state="accepted"}': 1, 'hdw_inputs_total{listener="adt",state="rejected"}': 1, 'hdw_duplicates_total': 1,
                'hdw_answers_total{code="AA"}': 2, 'hdw_answers_total{code="AE"}': 1, 'hdw_runs_total{workflow="admit",result="done"}': 1,
                'hdw_queue_depth{connection="crm"}': 0, 'hdw_inputs_recent{window="1m"}': 2, 'hdw_connections_open{listener="adt"}': 1,
                'hdw_sensing_to_action_seconds_count{workflow="admit",connection="crm"}': 2}
        self.assertEqual({k: self.value(k) for k in want}, want)
        kind, body = self.metrics('application/openmetrics-text; version=1.0.0')
        self.assertTrue(kind.startswith('application/openmetrics-text; version=1.0.0'))
        self.assertTrue(body.endswith('# EOF\n'))
        self.assertIn('# TYPE hdw_inputs counter', body)
        kind, body = self.metrics()
        self.assertTrue(kind.startswith('text/plain; version=0.0.4'))
        self.assertNotIn('EOF', body)

    def test_queue_depth_counts_what_waits_over_a_restart(self):
        self.sink.answer = lambda r: (503, {}, {}) if r['path'] == '/notices' else (201, {'id': 1}, {})
        c = self.mllp()
        for i in range(5):
            c.ask(adt(f'M{i}', mrn=f'1{i}'))
        self.done(5)
        self.assertEqual(self.value('hdw_queue_depth{connection="crm"}'), 5)
        self.d.kill()
        self.d.start()
        self.assertEqual(self.value('hdw_queue_depth{connection="crm"}'), 5)
        self.assertGreater(self.value('hdw_queue_oldest_seconds{connection="crm"}'), 0)
        self.sink.answer = lambda r: (201, {'id': 1}, {})
        wait_for(lambda: self.value('hdw_queue_depth{connection="crm"}') == 0, what='the queue')

    def test_O4_health(self):
        for path, want in [('/livez', 'alive'), ('/healthz', 'alive'), ('/readyz', 'ready')]:
            status, _, body = self.http('GET', path, door='observe')
            self.assertEqual((status, json.loads(body)), (200, {'status': want}))
        self.assertEqual(self.http('GET', '/status', door='observe')[0], 404)
        self.assertEqual(self.http('POST', '/pause?sink=crm', door='observe')[0], 404)
        checks = json.loads(self.http('GET', '/readyz', TOKENS['look'])[2])['checks']
        self.assertTrue(all(c['ok'] for c in checks) and len(checks) >= 4)


class Full(Case):
    extra = {'min_free_bytes': 1 << 40}

    def test_O4_not_ready_without_space_but_alive(self):
        self.assertEqual(self.http('GET', '/livez', door='observe')[0], 200)
        wait_for(lambda: self.http('GET', '/readyz', door='observe')[0] == 503, what='not ready')


unittest.main()
