#!/usr/bin/env python3
"""A state file that is damaged under a running daemon, or was when it starts: a word, status 75, and the next start has everything again. So do the tools that work in a folder."""
import os
import shutil
import signal
import subprocess
import unittest

import rig

with open(rig.HDWVM, 'rb') as program:
    POINTS = b'HDW_PAUSE_AT' in program.read()  # runtime/points.h: not in real builds
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
        if self.d.p:
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

    def test_who_gave_up_leaves_no_doubt(self):
        """SIGABRT of a watchdog says nothing about the state."""
        self.d.p.send_signal(signal.SIGABRT)
        self.assertNotIn(self.d.p.wait(timeout=60), (0, 75))
        self.assertFalse(os.path.exists(os.path.join(self.d.config['data'], 'state.doubt')))
        self.restart_as_new()

    @staticmethod
    def sleeps(pid):
        """One of its threads is in nanosleep."""
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/syscall', encoding='ascii') as f:
                if f.read().split()[0] in ('35', '230', '101', '115'):
                    return True
        return False

    def held_tool(self, folder, place, *words):
        """A tool that is held at a named place."""
        p = subprocess.Popen([rig.HDWVM, *words, '--data', folder], cwd=self.d.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, HDW_PAUSE_AT=f'{place}:3000000'))
        rig.wait_for(lambda: p.poll() is not None or self.sleeps(p.pid), what='the named place')
        self.assertIsNone(p.poll(), 'it ended before')
        return p

    def in_doubt_after(self, folder, *words):
        """The tool ends by a signal while the state is mapped: the next one reads it in a child first, and says so."""
        p = self.held_tool(folder, 'store.before_commit', *words)
        p.send_signal(signal.SIGBUS)
        p.communicate(timeout=60)
        self.assertNotIn(p.returncode, (0, 75))
        self.assertTrue(os.path.exists(os.path.join(folder, 'state.doubt')))
        p = subprocess.run([rig.HDWVM, 'compact', '--data', folder], cwd=self.d.dir, capture_output=True, text=True, timeout=120)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn('is looked through', p.stderr)
        self.assertFalse(os.path.exists(os.path.join(folder, 'state.doubt')))

    def copied(self, name):
        """The folder without its state."""
        self.assertEqual(self.d.stop(), 0)
        to = os.path.join(self.d.dir, name)
        shutil.copytree(self.d.config['data'], to, ignore=lambda d, names: [n for n in names if n.endswith('.sock') or n.startswith('state.')])
        return to

    @unittest.skipUnless(POINTS, 'this build has no named places')
    def test_F1_truncated_while_it_is_compacted(self):
        self.assertEqual(self.d.stop(), 0)
        folder = self.d.config['data']
        self.assertEqual(self.tool('compact').returncode, 0)
        p = self.held_tool(folder, 'hold.before_copy', 'compact')
        os.truncate(self.state, 2 * 4096)
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 75, err)
        self.assertIn('state.mdb is DAMAGED', err)
        self.assertTrue(os.path.exists(self.state + '.bad'))
        self.assertFalse(os.path.exists(os.path.join(folder, 'state.doubt')))
        self.restart_as_new()

    @unittest.skipUnless(POINTS, 'this build has no named places')
    def test_F1_truncated_while_a_command_reads(self):
        self.assertEqual(self.d.stop(), 0)
        p = self.held_tool(self.d.config['data'], 'hold.offline', 'messages', '--limit', '1000')
        os.truncate(self.state, 2 * 4096)
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 74, err)
        self.assertIn('state.mdb is DAMAGED', err)
        self.assertTrue(os.path.exists(self.state))  # it is not this command's
        self.restart_as_new()

    @unittest.skipUnless(POINTS, 'this build has no named places')
    def test_tools_leave_a_doubt_too(self):
        source = self.copied('source')
        self.in_doubt_after(os.path.join(self.d.dir, 'restored'), 'restore', '--from', source)
        with open(os.path.join(source, 'standby'), 'w', encoding='ascii') as f:
            f.write('1\n')
        self.in_doubt_after(source, 'promote')

    def test_after_an_end_by_a_signal_the_state_is_read_first(self):
        self.in_doubt(False)

    def test_after_an_end_by_a_signal_damage_is_found_by_a_child(self):
        self.in_doubt(True)


if __name__ == '__main__':
    unittest.main(verbosity=1)
