"""A warm standby: it follows a primary under load, the primary is killed, the standby takes over, and the ledger agrees."""
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Mllp, SLOW, ack_code, adt, certificate, wait_for
from test_store import PROGRAM


class Standby(unittest.TestCase):
    def setUp(self):
        self.sink = HttpSink()
        self.d = Daemon(PROGRAM, {'settings': {'crm_base': f'http://127.0.0.1:{self.sink.port}'}, 'listeners': {'adt': {'port': 0}},
                                  'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}}})
        self.old = self.d.config['data']
        self.new = os.path.join(self.d.dir, 'standby')
        self.f = None
        self.d.start()

    def tearDown(self):
        if self.f:
            if self.f.poll() is None:
                self.f.kill()
            self.f.wait()
            self.f.stderr.close()
        self.d.close()
        self.sink.close()

    def follow(self, *source):
        if self.f:
            self.f.stderr.close()
        self.f = subprocess.Popen([HDWVM, 'follow', *(source or ('--from', self.old)), '--data', self.new], cwd=self.d.dir, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.said = []
        threading.Thread(target=lambda f, said: [said.append(x) for x in f.stderr], args=(self.f, self.said), daemon=True).start()

    def send(self, n, prefix):
        c = Mllp(self.d.ports['adt'])
        out = [f'{prefix}{i}' for i in range(n) if ack_code(c.ask(adt(f'{prefix}{i}', mrn=f'P{i % 7}'))) == 'AA']
        c.close()
        return out

    def in_step(self, times=1):
        wait_for(lambda: sum('in step' in x for x in self.said) >= times, 20, 'the standby in step: ' + ''.join(self.said))

    def agree(self, same, size):
        try:
            wait_for(same, 60, 'the same at the standby')
        except AssertionError as e:
            raise AssertionError(f'{e}\n{size(self.old)}\n{size(self.new)}\n{self.said}\n{self.d.log[-10:]}') from None

    def tool(self, *args, code=0):
        r = subprocess.run([HDWVM, *map(str, args)], cwd=self.d.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, code, f'{args}: {r.stdout}{r.stderr}')
        return r

    def test_takes_over_when_the_primary_is_killed_under_load(self):
        before = self.send(40, 'A')
        self.follow()
        self.in_step()
        acked, stop = [], threading.Event()

        def load():
            try:
                c = Mllp(self.d.ports['adt'])
                i = 0
                while not stop.is_set():
                    if ack_code(c.ask(adt(f'L{i}', mrn=f'P{i % 7}'))) == 'AA':
                        acked.append((f'L{i}', time.monotonic()))
                    i += 1
            except (OSError, ConnectionError, KeyError):
                pass  # the primary is gone
        t = threading.Thread(target=load)
        t.start()
        time.sleep(1.0)
        self.d.kill()
        died = time.monotonic()
        stop.set()
        t.join()
        # What was acknowledged a little before the end was handed over.
        sure = before + [x for x, at in acked if at < died - 0.3]
        wait_for(lambda: any('does not answer' in x for x in self.said), 10, 'the standby to notice')
        began = time.monotonic()
        self.f.send_signal(signal.SIGUSR1)
        self.assertEqual(self.f.wait(timeout=30 * SLOW), 0, ''.join(self.said))
        self.tool('check', '--data', self.new)
        self.d.config['data'] = self.new
        self.d.start()
        ids = {m['control_id'] for m in self.d.ask('messages', '--limit', 100000)}
        print(f'took over in {time.monotonic() - began:.2f} s; {len(acked)} acknowledged under load, {len([x for x, _ in acked if x not in ids])} of them not handed over', file=sys.stderr)
        self.assertLessEqual(set(sure), ids)
        # Every message that is here is delivered to the end, each under one key.
        wait_for(lambda: ids <= {json.loads(r['body'])['id'] for r in self.sink.to('/send')}, 60, 'delivery after the take-over')
        keys = {}
        for r in self.sink.to('/send'):
            keys.setdefault(json.loads(r['body'])['id'], set()).add(r['key'])
        self.assertFalse([x for x, k in keys.items() if len(k) > 1 and x in ids])
        # The old primary comes back. It is told that its term is over: it ends, and does not come back again, nor is it a source.
        self.assertEqual(self.d.ask('status')['term'], 2)
        self.d.stop()
        self.d.config['data'] = self.old
        self.d.start()
        self.assertEqual(self.d.ask('status')['term'], 1)
        r = subprocess.run([HDWVM, 'follow', '--from', self.old, '--data', self.new], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn("no standby's folder", r.stderr)
        with open(os.path.join(self.new, 'standby'), 'w'):
            pass  # as if it were one again
        r = subprocess.run([HDWVM, 'follow', '--from', self.old, '--data', self.new], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn('is the old primary, and is not followed', r.stderr)
        os.unlink(os.path.join(self.new, 'standby'))
        self.assertTrue(any('"newer_term"' in x for x in self.d.log))
        self.assertIn('Add --yes', self.tool('fence', '--term', 2, '--data', self.old, code=1).stderr)
        self.assertIn('only a newer term', self.tool('fence', '--term', 1, '--data', self.old, '--yes', code=1).stderr)
        self.tool('fence', '--term', 2, '--data', self.old, '--yes')
        self.assertEqual(self.d.p.wait(timeout=30 * SLOW), 0)
        r = subprocess.run([HDWVM, 'serve', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn('a log of term 2 goes on elsewhere', r.stderr)
        self.tool('check', '--data', self.old)
        self.d.config['data'] = self.new
        self.d.start()
        # The old primary cannot become a follower of the new one without being looked at: it has what was not handed over.
        self.assertEqual(len(self.send(3, 'N')), 3)
        r = subprocess.run([HDWVM, 'follow', '--from', self.new, '--data', self.old], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn("no standby's folder", r.stderr)

    def test_a_standby_is_not_served_and_catches_up_after_breaks(self):
        self.send(20, 'A')
        self.follow()
        self.in_step()
        r = subprocess.run([HDWVM, 'serve', '--config', 'hdw.json', '--data', self.new, 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn("standby's folder", r.stderr)
        self.f.kill()
        self.f.wait()
        self.send(30, 'B')
        self.follow()
        self.in_step()
        self.d.kill()
        self.d.start()
        self.send(10, 'C')
        self.in_step(2)
        wait_for(lambda: self.d.ask('status')['deliveries'].get('delivered', 0) >= 60, 30, 'deliveries')
        time.sleep(1)
        self.f.terminate()
        self.assertEqual(self.f.wait(timeout=30 * SLOW), 0)
        self.tool('check', '--data', self.new)
        mine = json.loads(self.tool('messages', '--data', self.new, '--limit', 1000, '--json').stdout)
        self.assertEqual(mine, self.d.ask('messages', '--limit', 1000))
        self.tool('promote', '--data', self.new)
        self.tool('promote', '--data', self.new, code=1)

    def test_a_folder_is_told_without_its_daemon_and_can_be_promoted_again(self):
        self.send(5, 'A')
        self.assertEqual(self.d.stop(), 0)
        self.tool('fence', '--term', 4, '--data', self.old, '--yes')
        r = subprocess.run([HDWVM, 'serve', '--config', 'hdw.json', 'app.hdwb'], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn('a log of term 4 goes on elsewhere', r.stderr)
        self.assertIn('term 5', self.tool('promote', '--data', self.old).stderr)
        self.d.start()
        self.assertEqual(self.d.ask('status')['term'], 5)
        self.assertEqual(len(self.send(5, 'B')), 5)
        self.assertEqual(self.d.stop(), 0)
        self.tool('check', '--data', self.old)

    def test_promote_takes_the_folder_from_the_follower_that_has_it(self):
        ids = self.send(5, 'A')
        self.follow()
        self.in_step()
        self.d.kill()
        self.assertIn('term 2', self.tool('promote', '--data', self.new).stderr)
        self.assertEqual(self.f.wait(timeout=30 * SLOW), 0)
        self.d.config['data'] = self.new
        self.d.start()
        self.assertEqual({m['control_id'] for m in self.d.ask('messages')}, set(ids))
        r = subprocess.run([HDWVM, 'promote', '--data', self.new], cwd=self.d.dir, capture_output=True, text=True, timeout=30)
        self.assertEqual(r.returncode, 74)
        self.assertIn('stop it first', r.stderr)
        self.assertIn('no such data folder', self.tool('promote', '--data', 'misspelt', code=74).stderr)
        self.assertFalse(os.path.exists(os.path.join(self.d.dir, 'misspelt')))

    def test_retention_at_a_standby_frees_as_the_primary_does(self):
        """Bytes and rows go at the standby as they went at the primary, also when it was away meanwhile, and what is promoted then is whole."""
        self.d.stop()
        shutil.rmtree(self.old)
        self.d.config.update(log_segment_bytes=65536, retain_every_ms=300, retain_values_days=0, retain_inputs_days=0)
        self.d.start()
        self.follow()
        self.send(400, 'A')
        size = lambda folder: {f: os.path.getsize(os.path.join(folder, 'log', f)) for f in sorted(os.listdir(os.path.join(folder, 'log'))) if f.endswith('.seg')}

        def same():
            a, b = size(self.old), size(self.new)
            last = max(a)
            return len(a) > 3 and {k: v for k, v in a.items() if k != last} == {k: v for k, v in b.items() if k != last}
        wait_for(lambda: self.d.ask('status')['freed_bytes'] > 0, 60, 'retention at the primary')
        self.agree(same, size)
        self.f.kill()
        self.f.wait()
        self.send(100, 'B')
        wait_for(lambda: self.d.ask('status')['deliveries'].get('delivered', 0) >= 500, 60, 'deliveries')
        self.d.stop()
        self.d.config.update(retain_runs_days=0)
        self.d.config['listeners']['adt']['duplicate_window_ms'] = 0
        self.d.start()
        wait_for(lambda: self.d.ask('status')['freed_bytes'] > 0 and sum(list(size(self.old).values())[1:-2]) < 8000, 60, 'rows to go at the primary')
        self.follow()
        self.in_step()
        self.agree(same, size)
        self.send(3, 'C')
        time.sleep(1)
        self.d.stop()
        self.f.terminate()
        self.assertEqual(self.f.wait(timeout=30 * SLOW), 0, ''.join(self.said))
        self.tool('check', '--data', self.new)
        self.tool('promote', '--data', self.new)
        self.tool('check', '--data', self.new)

    def test_over_tls_with_a_token(self):
        pki = os.path.join(self.d.dir, 'pki')
        os.mkdir(pki)
        certificate(pki, 'hub')
        for name in ('ship', 'look'):
            with open(os.open(os.path.join(pki, name), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write(f'token-of-{name}-0123456789\n')
        self.d.stop()
        self.d.config.update(admin_http={'port': 0, 'tls': {'cert': os.path.join(pki, 'hub.pem'), 'key': os.path.join(pki, 'hub.key')}}, roles={'phi_viewer': ['token:ship'], 'viewer': ['token:look']},
                             secrets={n: {'file': os.path.join(pki, n)} for n in ('ship', 'look')})
        self.d.start()
        self.send(30, 'A')
        url = f'https://localhost:{self.d.ports["admin_http"]}'
        # Not trusted, not known, not allowed: nothing is copied.
        for args, why in (([], 'does not answer'), (['--ca', os.path.join(pki, 'hub.pem'), '--token-file', os.path.join(pki, 'look')], 'refuses (403)'), (['--ca', os.path.join(pki, 'hub.pem')], 'refuses (401)')):
            self.follow('--url', url, *args)
            wait_for(lambda: any(why in x for x in self.said), 20, f'{why}: {self.said}')
            self.f.terminate()
            self.f.wait(timeout=30 * SLOW)
            self.assertEqual([x for x in os.listdir(os.path.join(self.new, 'log')) if x.endswith('.seg')], [])
        self.follow('--url', url, '--ca', os.path.join(pki, 'hub.pem'), '--token-file', os.path.join(pki, 'ship'))
        self.in_step()
        self.send(30, 'B')
        time.sleep(1)
        mine = self.d.ask('messages', '--limit', 1000)
        self.f.terminate()
        self.assertEqual(self.f.wait(timeout=30 * SLOW), 0)
        self.assertEqual(json.loads(self.tool('messages', '--data', self.new, '--limit', 1000, '--json').stdout), mine)
        self.tool('check', '--data', self.new)


if __name__ == '__main__':
    unittest.main(verbosity=2)
