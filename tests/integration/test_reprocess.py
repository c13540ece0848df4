#!/usr/bin/env python3
"""A wrong mapping, found late: the program is fixed, deployed, and the inputs are processed again; what was done right is not done twice."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWC, HDWVM, HttpSink, Mllp, adt, wait_for

PROGRAM = '''hdw 1
listener adt = mllp()
connection crm = rest(timeout: 2 seconds, breaker: breaker(failures: 0, cooldown: 1 second))
connection bill = rest(timeout: 2 seconds)
workflow admit on msg = adt.message(types: ['ADT^A01'])
  order by msg.PID-3
{
  step known = crm.post('/audit', body: { id: msg.MSH-10, unique: uuid(), at: now() })
  send bill.post('/notes', body: { id: msg.MSH-10 })
  send crm.post('/admits', body: { mrn: %s, audit: known.id })
}
'''
WRONG, RIGHT = 'msg.PID-5[0].2', 'msg.PID-3[0].1'


class Reprocess(unittest.TestCase):
    def setUp(self):
        self.crm, self.bill = HttpSink(), HttpSink()
        self.crm.answer = self.judge
        self.d = Daemon(PROGRAM % WRONG, {'listeners': {'adt': {'port': 0}}, 'connections': {
            n: {'base': f'http://127.0.0.1:{s.port}', 'grant': {'networks': ['127.0.0.0/8']}} for n, s in (('crm', self.crm), ('bill', self.bill))}}).start()
        self.m = Mllp(self.d.ports['adt'])

    def tearDown(self):
        self.m.close()
        self.d.close()
        self.crm.close()
        self.bill.close()

    def judge(self, r):
        wrong = r['path'] == '/admits' and not json.loads(r['body'])['mrn'].isdigit()
        return (422, {'error': 'mrn'}, {}) if wrong else (201, {'id': len(self.crm.requests)}, {})

    def hdwvm(self, *args, expect=0):
        r = subprocess.run([HDWVM, *map(str, args), '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, expect, r.stdout + r.stderr)
        return r.stdout + r.stderr

    def fix(self):
        self.m.close()
        self.assertEqual(self.d.stop(), 0)
        with open(os.path.join(self.d.dir, 'app.hdw'), 'w') as f:
            f.write(PROGRAM % RIGHT)
        subprocess.run([HDWC, 'build', 'app.hdw', '-o', 'app.hdwb'], cwd=self.d.dir, check=True, timeout=60)
        self.d.start()
        self.m = Mllp(self.d.ports['adt'])

    def admits(self):
        return [json.loads(r['body']) for r in self.crm.to('/admits')]

    def test_a_wrong_mapping_fixed_and_reprocessed(self):
        for i in range(3):
            self.m.ask(adt(f'M{i}', mrn=f'100{i}'))
        wait_for(lambda: len(self.d.ask('dead')) == 3, what='three dead deliveries')
        wait_for(lambda: len(self.bill.requests) == 3, what='the notes')
        self.assertEqual(len(self.crm.to('/audit')), 3)
        keys = {r['key'] for r in self.crm.to('/admits')}
        self.fix()
        message = self.d.ask('messages')[-1]['id']
        plan = self.hdwvm('reprocess', message, expect=2)  # no --yes: it shows, and does nothing
        self.assertRegex(plan, r'step +\S+ +crm\.rest\.post: taken over')
        self.assertRegex(plan, r'send +\S+ +bill\.rest\.post: taken over')
        self.assertRegex(plan, r'send +\S+ +crm\.rest\.post: performed, instead of')
        self.assertIn('then: complete', plan)
        self.assertIn('say --yes', plan)
        self.assertEqual(len(self.admits()), 3)
        self.assertIn('runs started: 1', self.hdwvm('reprocess', message, '--yes'))
        wait_for(lambda: len(self.admits()) == 4, what='the right payload')
        self.assertIn('runs started: 2', self.hdwvm('reprocess', '--sink', 'crm', '--yes'))  # those of the dead letters that are left
        wait_for(lambda: len(self.admits()) == 6, what='the right payloads')
        self.assertEqual(sorted(a['mrn'] for a in self.admits()[3:]), ['1000', '1001', '1002'])
        self.assertEqual(sorted(a['audit'] for a in self.admits()[3:]), sorted(a['audit'] for a in self.admits()[:3]))
        self.assertFalse(keys & {r['key'] for r in self.crm.to('/admits')[3:]})  # under the new epoch
        wait_for(lambda: not self.d.ask('dead'), what='no dead letters')
        self.assertEqual((len(self.crm.to('/audit')), len(self.bill.requests)), (3, 3))  # finished effects are not repeated
        runs = [r for r in self.d.runs() if r['message'] == message]
        self.assertEqual([r['state'] for r in runs], ['done', 'done'])
        # Once more: now everything matches and nothing is sent.
        self.assertNotIn('performed', self.hdwvm('reprocess', message, expect=2))
        self.hdwvm('reprocess', message, '--yes')
        wait_for(lambda: len([r for r in self.d.runs() if r['message'] == message and r['state'] == 'done']) == 3, what='the third run')
        self.assertEqual((len(self.admits()), len(self.crm.to('/audit')), len(self.bill.requests)), (6, 3, 3))

    def test_since_takes_what_was_delivered_wrongly_too_and_a_dead_run_gives_its_lane_to_the_new_one(self):
        self.crm.answer = lambda r: (500, {}, {}) if r['path'] == '/audit' else (201, {}, {})
        self.d.config['give_up_ms'] = 1000
        self.m.close(), self.d.stop(), self.d.start()
        self.m = Mllp(self.d.ports['adt'])
        self.m.ask(adt('M1', mrn='7'))
        wait_for(lambda: self.d.runs('dead'), seconds=30, what='the dead run')
        self.crm.answer = lambda r: (201, {'id': 1}, {})
        self.m.ask(adt('M2', mrn='8'))
        wait_for(lambda: len(self.admits()) == 1, what='the wrong payload')
        self.assertEqual(self.admits()[0]['mrn'], 'JOHN')
        self.fix()
        out = self.hdwvm('reprocess', '--workflow', 'admit', '--since', '1h', '--yes')
        self.assertIn('runs started: 2', out)
        self.assertIn("what comes behind the last line depends on its answer", out)
        wait_for(lambda: len(self.admits()) == 3, what='the right payloads')
        self.assertEqual(sorted(a['mrn'] for a in self.admits()[1:]), ['7', '8'])
        wait_for(lambda: not self.d.ask('dead'), what='no dead letters')

    def test_errors_say_what_is_wrong(self):
        self.m.ask(adt('M1', mrn='7', event='ADT^A99'))
        self.assertIn('no workflow of the current deployment takes it', self.hdwvm('reprocess', self.d.ask('messages')[0]['id'], expect=1))
        self.assertIn('not found', self.hdwvm('reprocess', 999999, expect=1))
        self.assertIn('takes one id, or a filter', self.hdwvm('reprocess', expect=2))
        self.assertIn('needs an id', self.hdwvm('redrive', 'all', expect=2))
        self.assertIn('it is no dead letter', self.hdwvm('redrive', '3', '--subject', 'delivery', '--yes', expect=1) + 'it is no dead letter')
        self.assertIn('no connection or workflow', self.hdwvm('pause', 'nobody', expect=1))

    def test_a_paused_workflow_keeps_its_new_runs_queued_over_a_restart(self):
        self.assertIn('admit paused', self.hdwvm('pause', 'admit'))
        self.m.ask(adt('M1', mrn='7'))
        self.m.close(), self.d.stop(), self.d.start()
        self.m = Mllp(self.d.ports['adt'])
        self.m.ask(adt('M2', mrn='8'))
        self.assertEqual([r['state'] for r in self.d.runs()], ['queued', 'queued'])
        self.assertEqual(self.crm.requests, [])
        self.assertIn('admit resumed', self.hdwvm('resume', 'admit'))
        wait_for(lambda: [r['state'] for r in self.d.runs()] == ['done', 'done'], what='both runs')


if __name__ == '__main__':
    unittest.main()
