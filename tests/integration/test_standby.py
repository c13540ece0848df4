"""A warm standby: it follows a primary under load, the primary is killed, the standby takes over, and the ledger agrees."""
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Mllp, SLOW, ack_code, adt, wait_for
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

    def follow(self):
        if self.f:
            self.f.stderr.close()
        self.f = subprocess.Popen([HDWVM, 'follow', '--from', self.old, '--data', self.new], cwd=self.d.dir, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.said = []
        threading.Thread(target=lambda f, said: [said.append(x) for x in f.stderr], args=(self.f, self.said), daemon=True).start()

    def send(self, n, prefix):
        c = Mllp(self.d.ports['adt'])
        out = [f'{prefix}{i}' for i in range(n) if ack_code(c.ask(adt(f'{prefix}{i}', mrn=f'P{i % 7}'))) == 'AA']
        c.close()
        return out

    def in_step(self, times=1):
        wait_for(lambda: sum('in step' in x for x in self.said) >= times, 20, 'the standby in step: ' + ''.join(self.said))

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


if __name__ == '__main__':
    unittest.main(verbosity=2)
