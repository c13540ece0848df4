#!/usr/bin/env python3
"""A state file that is damaged under a running daemon, or was when it starts: a word, status 75, and the next start has everything again."""
import os
import signal
import unittest

import rig

PROGRAM = """hdw 1
listener adt = mllp(port: 2575)
workflow w
  on msg = adt.message(types: ['ADT^A01'])
  order by msg.PID-3.idNumber.first()
{
  let id = msg.MSH-10
  return { id: id }
}
"""
N = 150


class Damage(unittest.TestCase):
    def setUp(self):
        self.d = rig.Daemon(PROGRAM, {'listeners': {'adt': {'port': 0}}})
        self.d.start()
        self.state = os.path.join(self.d.config['data'], 'state.mdb')
        m = rig.Mllp(self.d.ports['adt'])
        for i in range(N):
            self.assertEqual(rig.ack_code(m.ask(rig.adt(f'M{i}', mrn=str(i)))), 'AA')
        m.close()
        rig.wait_for(lambda: os.path.getsize(self.state) > 24 * 4096, what='a state on the disk')

    def tearDown(self):
        self.d.close()

    def restart_as_new(self):
        self.d.p.stderr.close()
        self.d.p = None
        self.d.start()
        self.assertEqual(len(self.d.ask('messages', '--limit', 10 * N)), N)
        self.assertEqual(self.d.stop(), 0)
        self.assertEqual(self.tool('check').returncode, 0)

    def tool(self, *words):
        return rig.subprocess.run([rig.HDWVM, *words, '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=120)

    def ends_with_a_word(self):
        """Everything is asked for, until it meets the damage."""
        for _ in range(50):
            self.tool('messages', '--limit', '1000')
            self.tool('messages', '--patient', '7')
            self.tool('runs', '--limit', '1000')
            if self.d.p.poll() is not None:
                break
        self.assertEqual(self.d.p.wait(timeout=30), 75)
        rig.wait_for(lambda: any('state.mdb is DAMAGED' in l or '"event":"store_failed"' in l for l in self.d.log), what='the word')
        self.assertTrue(os.path.exists(self.state + '.bad'))
        self.restart_as_new()

    def test_F1_truncated_while_it_is_read(self):
        os.truncate(self.state, 3 * 4096)
        self.ends_with_a_word()

    def test_F1_pages_lost_while_it_is_read(self):
        with open(self.state, 'r+b') as f:
            size = os.path.getsize(self.state)
            f.seek(2 * 4096)
            f.write(b'\0' * (size - 2 * 4096))
        self.ends_with_a_word()

    def in_doubt(self, damaged):
        self.d.p.send_signal(signal.SIGSEGV)
        self.assertNotIn(self.d.p.wait(timeout=60), (0, 75))
        self.assertTrue(os.path.exists(os.path.join(self.d.config['data'], 'state.doubt')))
        if damaged:
            with open(self.state, 'r+b') as f:  # the first pages stay: opening finds nothing
                f.seek(2 * 4096)
                f.write(os.urandom(os.path.getsize(self.state) - 2 * 4096))
        self.restart_as_new()
        self.assertFalse(os.path.exists(os.path.join(self.d.config['data'], 'state.doubt')))
        said = '\n'.join(self.d.log)
        self.assertIn('is looked through', said)
        self.assertIn('state.mdb is DAMAGED' if damaged else 'state.mdb can be read', said)
        self.assertEqual(os.path.exists(self.state + '.bad'), damaged)

    def test_after_an_end_by_a_signal_the_state_is_read_first(self):
        self.in_doubt(False)

    def test_after_an_end_by_a_signal_damage_is_found_by_a_child(self):
        self.in_doubt(True)


if __name__ == '__main__':
    unittest.main(verbosity=1)
