"""Looking in, accounting and watching: roles, audit, metrics, health, traces, log lines; against the real daemon on loopback."""
import grp
import http.client
import json
import os
import pwd
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Mllp, MllpSink, ack_code, adt, wait_for

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
        self.d.config['roles'] = dict(ROLES, viewer=['gid:54321', 'group:games', 'token:look'], operator=['user:daemon', 'token:ops'])
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
        games, daemon = grp.getgrnam('games').gr_gid, pwd.getpwnam('daemon').pw_uid
        self.assertEqual(ask(54323, games, 'GET', '/status'), 200)
        self.assertEqual(ask(54323, games, 'POST', '/resume?sink=crm'), 403)
        self.assertEqual(ask(daemon, 54324, 'POST', '/resume?sink=crm'), 200)

    def test_names_that_the_system_does_not_know(self):
        self.d.stop()
        self.d.config['roles'] = dict(ROLES, viewer=['user:no-such-one', 'group:nobody-here', 'user:'])
        self.d.write_config()
        err = subprocess.run([HDWVM, 'serve', '--check', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertNotEqual(err.returncode, 0)
        for text in ("roles.viewer: 'user:no-such-one': this system knows no such user", "roles.viewer: 'group:nobody-here': this system knows no such group", "roles.viewer: 'user:' is none of"):
            self.assertIn(text, err.stderr)


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
        self.sink.answer = lambda r: (503, {}, {}) if r['path'] == '/notices' else (201, {'id': 1}, {})
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


class Tracing(Case):
    def setUp(self):
        self.collector = HttpSink()
        self.collector.answer = lambda r: (200, {}, {})
        self.extra = {'traces': {'endpoint': f'http://127.0.0.1:{self.collector.port}/v1/traces', 'networks': ['127.0.0.0/8'], 'interval_ms': 50, 'service': 'it'},
                      'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}, 'trace': True}}}
        super().setUp()

    def tearDown(self):
        super().tearDown()
        self.collector.close()

    def spans(self):
        return [s for r in self.collector.to('/v1/traces') for s in json.loads(r['body'])['resourceSpans'][0]['scopeSpans'][0]['spans']]

    def test_O5_a_trace_goes_through_and_is_exported(self):
        trace, parent = '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'
        status = self.http('POST', '/intake', door='web', body='{"a": 1}', headers={'Content-Type': 'application/json', 'traceparent': f'00-{trace}-{parent}-01'})[0]
        self.assertEqual(status, 202)
        spans = wait_for(lambda: [s for s in self.spans() if s['name'].startswith('run ')] and self.spans(), what='the run span')
        by = {s['name'].split()[0]: s for s in spans}
        self.assertEqual(set(by), {'input', 'gate', 'run', 'rest.post'})
        self.assertEqual({s['traceId'] for s in spans}, {trace})
        self.assertEqual(by['input']['parentSpanId'], parent)
        self.assertEqual(by['gate']['parentSpanId'], by['input']['spanId'])
        self.assertEqual(by['run']['parentSpanId'], by['input']['spanId'])
        self.assertEqual(by['rest.post']['parentSpanId'], by['run']['spanId'])
        sent = self.sink.to('/intake')[0]['headers']
        self.assertEqual({k.lower(): v for k, v in sent.items()}['traceparent'], f'00-{trace}-{by["rest.post"]["spanId"]}-01')
        self.assertEqual(self.d.ask('message', self.d.ask('messages')[0]['id'])['trace_id'], trace)

    def test_O6_a_collector_that_is_down_holds_nobody_up(self):
        self.collector.close()
        c = self.mllp()
        for i in range(20):
            self.assertEqual(ack_code(c.ask(adt(f'M{i}', mrn=f'1{i}'))), 'AA')
        self.done(20)
        self.assertIn('hdw_trace_spans_queued', self.http('GET', '/metrics', door='observe')[2])
        self.assertEqual(self.d.stop(), 0)


CANARY_PROGRAM = '''hdw 1
setting crm_base: url
connection crm = rest(base: crm_base, timeout: 1 second, auth: bearer(secret('crm_token')))
connection ward = mllp(timeout: 1 second)
connection out = folder()
listener adt = mllp(port: 2575)
listener web = http(port: 8080)
payload Card(msg: ADT_A01) {
  mrn: string = msg.PID-3.idNumber.first()
  born: date? = msg.PID-7.toDate()
}
workflow admit: Card on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.idNumber.first() {
  if msg.PID-3.idNumber.first().empty() { reject('AE', 'no medical record number') }
  let card = Card(msg)
  let mrn = msg.PID-3.idNumber.first()
  step one = crm.post('/admits/{mrn}', body: { card: card, name: msg.PID-5.familyName })
  send crm.post('/notices/{mrn}', body: { mrn: mrn })
  return card
}
workflow forward on msg = adt.message(types: ['ADT^A08']) { send ward.message(msg) }
workflow keep on msg = adt.message(types: ['ADT^A03']) {
  let mrn = msg.PID-3.idNumber.first()
  step out.write("{mrn}.json", { mrn: mrn })
}
workflow intake on rq = web.post('/intake') ack after run within 5 seconds else AE {
  step made = crm.post('/intake', body: rq.body)
  return made
}
'''
MARKS = ['CANARYMRN', 'CANARYNAME', 'CANARYSSN', 'CANARYPHONE', 'CANARYSTREET', 'CANARYBODY', 'CANARYQUERY', 'CANARYHEADER', 'CANARYREPLY', 'CANARYNAK', 'CANARYTOKEN', 'CANARYADMIN', 'CANARYFILE']


class Canary(unittest.TestCase):
    """O-10: marks in every field of inputs, answers and secrets; logs, metrics, traces and what a viewer sees hold none of them."""

    def test_O10_no_mark_leaves(self):
        sink, ward, collector = HttpSink(), MllpSink(), HttpSink()
        collector.answer = lambda r: (200, {}, {})
        replies = iter([422, 503, 500, 302, 400] * 1000)
        sink.answer = lambda r: (next(replies), {'error': 'CANARYREPLY', 'name': 'CANARYNAME'}, {'X-Note': 'CANARYREPLY', 'Location': 'http://x.example/CANARYREPLY'})
        ward.codes = lambda n: 'AR|CANARYNAK' if n % 2 else 'AE|CANARYNAK'
        d = Daemon(CANARY_PROGRAM, {
            'settings': {'crm_base': f'http://127.0.0.1:{sink.port}'}, 'listeners': {'adt': {'port': 0}, 'web': {'port': 0}}, 'log_level': 'debug',
            'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}, 'ward': {'address': f'127.0.0.1:{ward.port}', 'grant': {'networks': ['127.0.0.1/32']}}, 'out': {'folder': 'out'}},
            'roles': {'viewer': ['token:look']}, 'admin_http': {'port': 0}, 'observe': {'port': 0},
            'traces': {'endpoint': f'http://127.0.0.1:{collector.port}/v1/traces', 'networks': ['127.0.0.0/8'], 'interval_ms': 20}})
        secrets = {'look': 'CANARYADMIN-token', 'crm_token': 'CANARYTOKEN-secret'}
        d.config['secrets'] = {}
        for name, value in secrets.items():
            with open(os.open(os.path.join(d.dir, name), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write(value)
            d.config['secrets'][name] = {'file': os.path.join(d.dir, name)}
        try:
            d.start()
            self.feed(d)
            time.sleep(1.5)
            seen = {'traces': b'\n'.join(r['body'] for r in collector.requests).decode(), 'metrics': self.get(d, 'observe', '/metrics')}
            ids = {k: json.loads(self.get(d, 'admin_http', '/' + k)) for k in ('messages', 'runs')}
            paths = ['/status', '/messages', '/runs', '/dead', '/sinks', '/lanes', '/limits', '/modules', '/sources', '/deployments', '/readyz']
            paths += [f'/{k}/{x["id"]}' for k in ids for x in ids[k]]
            for p in paths:
                seen[p] = self.get(d, 'admin_http', p)
            self.assertGreaterEqual(len(ids['messages']), 8)
            self.assertGreaterEqual(len(ids['runs']), 3)
            self.get(d, 'admin_http', '/status', 'CANARYADMIN-wrong')
            d.stop()
            time.sleep(0.2)
            seen['log'] = '\n'.join(d.log)
            self.assertIn('rest.post', seen['traces'])
            self.assertIn('_dead"', seen['log'])
            for where, text in seen.items():
                for mark in MARKS:
                    if mark in text:
                        at = text.index(mark)
                        self.fail(f'{mark} in {where}: ...{text[max(0, at - 200):at + 60]}')
            for line in d.log:  # every line is one object, but for those to the person at the terminal
                if not line.startswith('hdwvm: '):
                    self.assertLessEqual({'ts', 'level', 'event'}, set(json.loads(line)), line)
        finally:
            d.close()
            for s in (sink, ward, collector):
                s.close()

    def get(self, d, door, path, token='CANARYADMIN-token'):
        c = http.client.HTTPConnection('127.0.0.1', d.ports[door], timeout=20)
        c.request('GET', path, headers={'Authorization': f'Bearer {token}'})
        text = c.getresponse().read().decode()
        c.close()
        return text

    def feed(self, d):
        c = Mllp(d.ports['adt'])
        pid = 'PID|1||{mrn}^^^CANARYNAME^MR||CANARYNAME^J||{born}|M|||CANARYSTREET 1||CANARYPHONE||||||CANARYSSN\rZZZ|CANARYBODY\\X0A\\\\E\\|CANARYBODY\x1b[31m\r'
        head = 'MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||{event}|{id}|P|2.5.1\r'
        n = 0
        for event in ('ADT^A01', 'ADT^A08', 'ADT^A03', 'ORU^R01'):
            for mrn, born in (('CANARYMRN1', '19700101'), ('CANARYMRN2', 'CANARYBODY'), ('', '1970'), ('CANARYMRN3', '20269999')):
                n += 1
                c.ask(head.format(event=event, id=f'M{n}') + pid.format(mrn=mrn, born=born))
        c.ask('MSH|^~\\&|LAB|HOSP|HUB|HUB|CANARYBODY||ADT^A01|M99|P|2.5.1\rPID|CANARYBODY\rCANARYNAME SMITH|x\r')
        c.ask('CANARYBODY is no message')
        c.close()
        for body, kind in [('{"name": "CANARYBODY", "id": "CANARYMRN"}', 'application/json'), ('{"name": CANARYBODY', 'application/json'), ('CANARYBODY', 'text/plain'),
                           ('{"resourceType": "Patient", "id": "CANARYMRN", "birthDate": "CANARYBODY"}', 'application/fhir+json')]:
            h = http.client.HTTPConnection('127.0.0.1', d.ports['web'], timeout=20)
            h.request('POST', '/intake?who=CANARYQUERY', body, {'Content-Type': kind, 'X-Extra': 'CANARYHEADER', 'Authorization': 'Bearer CANARYHEADER', 'Cookie': 'CANARYHEADER'})
            h.getresponse().read()
            h.request('GET', '/CANARYQUERY/intake', headers={'X-Extra': 'CANARYHEADER'})
            h.getresponse().read()
            h.close()


unittest.main()
