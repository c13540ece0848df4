#!/usr/bin/env python3
"""Deployments under load: versions side by side, back again, reload, refused modules, what survives a restart."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from rig import HDWC, HDWVM, Daemon, HttpSink, Mllp, ack_code, adt, wait_for

PROGRAM = '''hdw 1
setting place: string = 'here'
listener adt = mllp()
connection crm = rest()
workflow admit on msg = adt.message(types: ['ADT^A01']) {
  step a = crm.post('/one', body: { id: msg.MSH-10, v: 'VERSION', place: place })
  step b = crm.post('/two', body: { id: msg.MSH-10, v: 'VERSION', place: place })
}
'''
OTHER = '''hdw 1
listener other = mllp()
connection crm2 = rest()
workflow orders on msg = other.message(types: ['ORM^O01']) { send crm2.post('/order', body: { id: msg.MSH-10 }) }
'''


def build(folder, name, source):
    path = os.path.join(folder, name)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, 'app.hdw'), 'w') as f:
        f.write(source)
    subprocess.run([HDWC, 'build', 'app.hdw', '-o', 'app.hdwb'], cwd=path, check=True, timeout=60)
    return os.path.join(path, 'app.hdwb')


class Deploy(unittest.TestCase):
    def setUp(self):
        self.sink = HttpSink()
        self.addCleanup(self.sink.close)
        self.d = Daemon(PROGRAM.replace('VERSION', 'v1'), self.config())
        self.addCleanup(self.d.close)
        self.v2 = build(self.d.dir, 'v2', PROGRAM.replace('VERSION', 'v2'))

    def config(self):
        return {'settings': {'place': 'here'}, 'listeners': {'adt': {'port': 0}},
                'connections': {'crm': {'base': f'http://127.0.0.1:{self.sink.port}', 'private_networks': True}}}

    def hdwvm(self, *args, code=0):
        r = subprocess.run([HDWVM, *map(str, args), '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, code, f'hdwvm {args}: {r.stdout}{r.stderr}')
        return r.stdout + r.stderr

    def mllp(self, port=None):
        c = Mllp(port or self.d.ports['adt'])
        self.addCleanup(c.close)
        return c

    def bodies(self, path):
        return [json.loads(r['body']) for r in self.sink.to(path)]

    def serve(self, *files):
        """Starts the daemon with these files on its command line instead of app.hdwb."""
        self.d.write_config()
        if self.d.p:
            self.d.p.stderr.close()
        self.d.p = subprocess.Popen([HDWVM, 'serve', '--config', 'hdw.json', *files], cwd=self.d.dir, stderr=subprocess.PIPE, text=True)
        lines = []
        for line in self.d.p.stderr:
            lines.append(line.rstrip())
            if line.startswith('hdwvm: ready'):
                self.d.ports = {k: int(v.rsplit(':', 1)[1]) for k, v in (w.split('=') for w in line.split()[2:])}
                threading.Thread(target=self.d.drain, args=(self.d.p,), daemon=True).start()
                break
        self.d.log += lines
        return lines

    def current(self):
        return [m['id'] for m in self.d.ask('modules') if m['state'] == 'current']

    def test_switched_under_load_and_rolled_back(self):
        senders, log, stop = 8, [], threading.Event()

        def slow(r):
            time.sleep(0.02)
            return 201, {'ok': True}, {}

        self.sink.answer = slow
        self.d.start()
        port = self.d.ports['adt']

        def send(n):
            c, i = Mllp(port), 0
            while not stop.is_set():
                i += 1
                control = f'S{n}-{i}'
                log.append((control, ack_code(c.ask(adt(control, mrn=str(n))))))
                time.sleep(0.05)  # the sink takes 50 a second: what is sent must also be performed within the test
            c.close()

        threads = [threading.Thread(target=send, args=(n,)) for n in range(senders)]
        for t in threads:
            t.start()
        try:
            wait_for(lambda: len(log) > 40, what='40 messages on v1')
            self.assertIn('app is now', self.hdwvm('deploy', self.v2))
            at = len(log)
            wait_for(lambda: len(log) > at + 60, what='60 messages on v2')
            self.assertIn('app is now', self.hdwvm('rollback'))
            at = len(log)
            wait_for(lambda: len(log) > at + 40, what='40 messages after the rollback')
        finally:
            stop.set()
            for t in threads:
                t.join(60)
        self.assertEqual({code for _, code in log}, {'AA'})
        wait_for(lambda: len(self.sink.to('/two')) >= len(log), 60, 'every run')
        one, two = {}, {}
        for path, seen in (('/one', one), ('/two', two)):
            for b in self.bodies(path):
                self.assertNotIn(b['id'], seen, 'performed twice')
                seen[b['id']] = b['v']
        self.assertEqual(set(one), {c for c, _ in log})
        self.assertEqual(one, two, 'a run went on with another version')
        versions = [one[c] for c, _ in log]
        self.assertGreater(versions.count('v1'), 40)
        self.assertGreater(versions.count('v2'), 10)
        deployments = self.d.ask('deployments')
        self.assertEqual([x['current'] for x in deployments], [False, False, True])
        self.assertEqual(deployments[0]['id'], deployments[2]['id'])
        self.assertEqual(self.d.ask('runs', '--state', 'dead'), [])

    def test_runs_finish_on_their_version_after_a_restart_and_see_its_settings(self):
        self.sink.answer = lambda r: (503, {}, {}) if r['path'] == '/two' else (201, {}, {})
        self.d.start()
        c = self.mllp()
        self.assertEqual(ack_code(c.ask(adt('OLD'))), 'AA')
        wait_for(lambda: self.sink.to('/two'), what='the run stands at its second step')
        self.d.config['settings']['place'] = 'there'
        self.d.write_config()
        self.hdwvm('deploy', self.v2)
        self.assertEqual(ack_code(c.ask(adt('NEW'))), 'AA')
        wait_for(lambda: [b for b in self.bodies('/one') if b['id'] == 'NEW'], what='the new run')
        modules = {m['state']: m for m in self.d.ask('modules')}
        self.assertEqual(modules['retired']['unfinished_runs'], 1)
        self.d.kill()
        self.sink.answer = lambda r: (201, {}, {})
        lines = self.serve('app.hdwb')  # the old file: it was deployed before and does not undo the deployment
        self.assertTrue([l for l in lines if 'deployed_module_kept' in l], lines)
        wait_for(lambda: {b['id'] for b in self.bodies('/two')} == {'OLD', 'NEW'}, 60, 'both runs')
        self.assertEqual({(b['id'], b['v'], b['place']) for b in self.bodies('/two')}, {('OLD', 'v1', 'here'), ('NEW', 'v2', 'there')})
        wait_for(lambda: self.d.ask('status')['runs'].get('done') == 2, 60, 'both are done')

    def test_what_is_deployed_serves_without_naming_it(self):
        self.d.start()
        self.hdwvm('deploy', self.v2)
        now = self.current()
        self.d.stop()
        self.serve()
        self.assertEqual(self.current(), now)
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')
        wait_for(lambda: self.bodies('/two'), what='the run')
        self.assertEqual(self.bodies('/two')[0]['v'], 'v2')
        self.d.stop()
        shutil.copy(build(self.d.dir, 'v3', PROGRAM.replace('VERSION', 'v3')), os.path.join(self.d.dir, 'app.hdwb'))
        self.serve('app.hdwb')  # new content: that is a deployment
        self.assertNotEqual(self.current(), now)
        self.assertEqual(len(self.d.ask('deployments')), 3)

    def test_a_refused_change_changes_nothing(self):
        self.d.start()
        now = self.current()
        bad = os.path.join(self.d.dir, 'bad.hdwb')
        with open(self.v2, 'rb') as f, open(bad, 'wb') as g:
            data = bytearray(f.read())
            data[len(data) // 2] ^= 1
            g.write(data)
        self.assertIn('the file was changed', self.hdwvm('deploy', bad, code=1))
        more = build(self.d.dir, 'more', PROGRAM.replace('VERSION', 'v2').replace('connection crm', 'connection erp = rest()\nconnection crm').replace("step b = crm", "step b = erp"))
        text = self.hdwvm('deploy', more, code=1)
        self.assertIn('connections.erp: not bound', text)
        self.assertIn('nothing has changed', text)
        self.d.config['connections']['erp'] = {'base': f'http://127.0.0.1:{self.sink.port}', 'grant': {'networks': ['127.0.0.1/33']}}
        self.d.write_config()
        self.assertIn("'127.0.0.1/33' is no network", self.hdwvm('deploy', more, code=1))
        self.assertEqual(self.current(), now)
        self.assertIn('no earlier version', self.hdwvm('rollback', code=1))
        self.d.config['connections']['erp']['grant']['networks'] = ['127.0.0.1/32']
        self.d.write_config()
        self.hdwvm('deploy', more)
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')
        wait_for(lambda: self.bodies('/two'), what='the run')

    def test_reload_keeps_sockets_and_moves_changed_ones(self):
        self.d.start()
        c = self.mllp()
        self.assertEqual(ack_code(c.ask(adt('M1', event='ADT^A08'))), 'AR')
        self.d.config['listeners']['adt']['unmatched'] = 'accept'
        self.d.config['settings']['place'] = 'there'
        self.d.write_config()
        self.d.p.send_signal(signal.SIGHUP)
        wait_for(lambda: any('"reloaded"' in l for l in self.d.log), what='reloaded')
        self.assertEqual(ack_code(c.ask(adt('M2', event='ADT^A08'))), 'AA')  # on the connection from before
        self.assertEqual(ack_code(c.ask(adt('M3'))), 'AA')
        wait_for(lambda: self.bodies('/two'), what='the run')
        self.assertEqual(self.bodies('/two')[0]['place'], 'there')
        before = self.d.ports['adt']
        with socket.create_server(('127.0.0.1', 0)) as s:
            port = s.getsockname()[1]
        self.d.config['listeners']['adt']['port'] = port
        self.d.write_config()
        self.hdwvm('reload')
        self.assertEqual(ack_code(self.mllp(port).ask(adt('M4'))), 'AA')
        with self.assertRaises(OSError):
            self.mllp(before)
        wait_for(lambda: [s['port'] for s in self.d.ask('sources') if s['name'] == 'adt'] == [port], what='the old socket is gone')

    def test_sighup_with_problems_lists_them_and_goes_on(self):
        self.d.start()
        self.d.config['listeners']['adx'] = self.d.config['listeners'].pop('adt')
        self.d.write_config()
        self.d.p.send_signal(signal.SIGHUP)
        wait_for(lambda: any('reload_refused' in l for l in self.d.log), what='refused')
        self.assertTrue([l for l in self.d.log if 'reload_problem' in l and "listeners.adt: not bound" in l and "did you mean 'adx'" in l], self.d.log)
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')

    def test_one_bad_module_does_not_stop_the_others(self):
        build(self.d.dir, 'other', OTHER)
        os.rename(os.path.join(self.d.dir, 'other', 'app.hdw'), os.path.join(self.d.dir, 'other', 'orders.hdw'))
        subprocess.run([HDWC, 'build', 'orders.hdw', '-o', 'orders.hdwb'], cwd=os.path.join(self.d.dir, 'other'), check=True, timeout=60)
        with open(os.path.join(self.d.dir, 'torn.hdwb'), 'wb') as f:
            f.write(b'hdwb no module')
        self.serve('app.hdwb', 'other/orders.hdwb', 'torn.hdwb')  # orders is not bound, torn is none
        self.assertEqual(ack_code(self.mllp().ask(adt('M1'))), 'AA')
        refused = {m['file']: m['reason'] for m in self.d.ask('modules') if m['state'] == 'refused'}
        self.assertEqual(set(refused), {'other/orders.hdwb', 'torn.hdwb'})
        self.assertIn('not bound', refused['other/orders.hdwb'])
        self.assertIn('was refused', self.hdwvm('modules'))
        self.d.config['listeners']['other'] = {'port': 0}
        self.d.config['connections']['crm2'] = self.d.config['connections']['crm']
        self.d.write_config()
        self.hdwvm('deploy', os.path.join(self.d.dir, 'other', 'orders.hdwb'))
        self.assertEqual({m['file'] for m in self.d.ask('modules') if m['state'] == 'refused'}, {'torn.hdwb'})
        self.d.stop()
        check = subprocess.run([HDWVM, 'serve', '--check', '--config', 'hdw.json', 'app.hdwb', 'torn.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual(check.returncode, 1)
        self.d.config['strict_start'] = True
        self.assertTrue(any('torn.hdwb' in l for l in self.serve('app.hdwb', 'torn.hdwb')))
        self.assertEqual(self.d.p.wait(30), 1)

    SINK = '''hdw 1
listener adt = mllp()
connection CONN = rest()
workflow WF on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3 { send NAME.post('/order', body: { id: msg.MSH-10 }) }
'''

    def sink_program(self, folder, conn='crm', was='', workflow='admit'):
        return build(self.d.dir, folder, self.SINK.replace('CONN', conn + was).replace('NAME', conn).replace('WF', workflow))

    def test_a_name_with_a_queue_is_renamed_or_given_up_but_not_lost(self):
        del self.d.config['settings']
        shutil.copy(self.sink_program('s1'), os.path.join(self.d.dir, 'app.hdwb'))
        self.sink.answer = lambda r: (503, {}, {'Retry-After': '1'})
        self.d.start()
        c = self.mllp()
        for i in range(5):
            self.assertEqual(ack_code(c.ask(adt(f'Q{i}'))), 'AA')
        wait_for(lambda: self.d.ask('status')['runs'].get('done') == 5, what='the runs')
        crm = self.d.config['connections'].pop('crm')
        self.d.config['connections']['crm2'] = crm
        self.d.write_config()
        text = self.hdwvm('deploy', self.sink_program('s2', 'crm2'), code=1)
        self.assertIn('connections.crm: no program declares it any more, and 5 deliveries wait for it', text)
        self.assertIn('forget crm', text)
        self.hdwvm('deploy', self.sink_program('s3', 'crm2', ' was crm'))
        self.assertEqual(ack_code(c.ask(adt('Q5'))), 'AA')
        self.sink.answer = lambda r: (201, {}, {})
        wait_for(lambda: len({b['id'] for b in self.bodies('/order')}) == 6 and self.d.ask('status')['deliveries'] == {'delivered': 6}, 60, 'all six')
        done = [r for r in self.sink.requests if r['path'] == '/order']
        self.assertEqual(len({r['key'] for r in done}), 6)
        self.d.kill()
        self.serve()
        self.assertEqual(self.d.ask('status')['deliveries'], {'delivered': 6})

    def test_a_name_is_given_up(self):
        del self.d.config['settings']
        shutil.copy(self.sink_program('s1'), os.path.join(self.d.dir, 'app.hdwb'))
        self.sink.answer = lambda r: (503, {}, {'Retry-After': '60'})
        self.d.start()
        self.assertEqual(ack_code(self.mllp().ask(adt('Q1'))), 'AA')
        wait_for(lambda: self.d.ask('status')['runs'].get('done') == 1, what='the run')
        self.d.config['connections']['crm2'] = self.d.config['connections'].pop('crm')
        self.d.write_config()
        two = self.sink_program('s2', 'crm2')
        self.hdwvm('deploy', two, code=1)
        self.assertIn('1 deliveries wait', self.hdwvm('forget', 'crm', code=1))
        self.hdwvm('deploy', two, code=1)
        self.hdwvm('forget', 'crm', '--yes')
        self.hdwvm('deploy', two)
        wait_for(lambda: self.d.ask('status')['deliveries'] == {'discarded': 1}, what='discarded')
        self.assertIn('nothing is kept', self.hdwvm('forget', 'crm', '--yes', code=1))

    SHARER = '''hdw 1
listener NAME = mllp()
connection crm = rest(retry: retry(RETRY))
workflow take_NAME on msg = NAME.message() { send crm.post('/NAME', body: { id: msg.MSH-10 }) }
'''

    def sharer(self, name, retry):
        folder = os.path.join(self.d.dir, f'{name}-{len(retry)}-{retry[0]}')
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name + '.hdw'), 'w') as f:
            f.write(self.SHARER.replace('NAME', name).replace('RETRY', retry))
        subprocess.run([HDWC, 'build', name + '.hdw', '-o', name + '.hdwb'], cwd=folder, check=True, timeout=60)
        return os.path.join(folder, name + '.hdwb')

    def test_programs_that_share_a_connection_agree_about_it_and_change_it_together(self):
        del self.d.config['settings']
        self.d.config['listeners'] = {'one': {'port': 0}, 'two': {'port': 0}}
        one, two, one9, two9 = self.sharer('one', '5'), self.sharer('two', '5, from: 500 milliseconds'), self.sharer('one', '9'), self.sharer('two', '9')
        two5 = self.sharer('two', '5')
        said = 'connections.crm: the programs one and two declare it differently (retry): give it one definition in both, or another name in one of them'
        self.d.write_config()
        for command in (('config', 'check'), ('serve', '--check')):
            self.assertIn(said, self.hdwvm(*command, one, two, code=1))
            self.hdwvm(*command, one9, two9)
        self.d.config['strict_start'] = True
        self.assertTrue(any(said in l for l in self.serve(one, two)))
        self.assertEqual(self.d.p.wait(30), 1)
        self.d.config['strict_start'] = False
        shutil.rmtree(os.path.join(self.d.dir, 'data'))
        self.serve(one, two)  # the second one is refused, as any program that cannot be bound
        self.assertEqual({m['name']: m['state'] for m in self.d.ask('modules')}, {'one': 'current', 'two': 'refused'})
        self.assertTrue([m for m in self.d.ask('modules') if said in (m.get('reason') or '')])
        self.assertIn(said, self.hdwvm('deploy', two, code=1))
        self.hdwvm('deploy', one9, two9)
        self.assertIn(said.replace('one and two', 'two and one') if self.d.ask('modules')[0]['name'] == 'two' else said, self.hdwvm('deploy', one, code=1))
        now = self.current()
        self.assertIn('nothing has changed', self.hdwvm('deploy', one9, two, code=1))
        self.assertEqual(self.current(), now)
        self.assertEqual([c['name'] for c in self.d.ask('connections')], ['crm'])
        self.hdwvm('deploy', one, two5)
        self.assertIn(said.split(' declare')[1], self.hdwvm('rollback', 'one', code=1))
        self.assertIn('not of several', self.hdwvm('rollback', 'one', 'two', '--to', '00000000', code=1))
        self.assertIn("'three' has no earlier version", self.hdwvm('rollback', 'one', 'three', code=1))
        self.hdwvm('rollback', 'one', 'two')
        self.assertEqual(self.current(), now)
        for name in ('one', 'two'):
            port = [s['port'] for s in self.d.ask('sources') if s['name'] == name][0]
            self.assertEqual(ack_code(self.mllp(port).ask(adt('M' + name))), 'AA')
            wait_for(lambda: self.bodies('/' + name), what=name)


if __name__ == '__main__':
    unittest.main(verbosity=2)
