#!/usr/bin/env python3
"""Loss accounting from outside: `hdwc test --loss`, the daemon's counts, and the promise behind both: what is reported as unread changes nothing."""
import json
import os
import shutil
import re
import subprocess
import sys
import tempfile
import unittest

import rig

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

HUB = '''hdw 1
connection crm = rest()
listener adt = mllp(port: 2575)
fn card(m: ADT_A01): any {
  drop m.EVN
  return { id: m.PID-3.idNumber.first(), name: m.PID-5.familyName.first() }
}
workflow admit
  on msg = adt.message(types: ['ADT^A01'])
{
  drop msg.PID-1
  send crm.post('/a', body: card(msg))
}
test 'one' {
  when admit("MSH|^~\\\\&|A|B|C|D|2026||ADT^A01|1|P|2.5.1\\rEVN|A01\\rPID|1||4711||SMITH^JOHN||1980|F\\rNK1|1|X\\r")
  expect verdict.code = 'AA'
}
test 'two' {
  when admit("MSH|^~\\\\&|A|B|C|D|2026||ADT^A01|2|P|2.5.1\\rPID|1||4712||SMITH||1980\\r")
  expect verdict.code = 'AA'
}
'''


def hdwc(*args, cwd=None):
    return subprocess.run([rig.HDWC, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=120)


class Tests(unittest.TestCase):
    def setUp(self):
        d = tempfile.TemporaryDirectory(prefix='hdw-loss-')
        self.addCleanup(d.cleanup)
        self.dir = d.name
        self.file = os.path.join(self.dir, 'hub.hdw')
        with open(self.file, 'w') as f:
            f.write(HUB)

    def test_text(self):
        p = hdwc('test', '--loss', 'hub.hdw', cwd=self.dir)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        lines = p.stdout.splitlines()
        self.assertIn('unread: 3 parts of what came are neither read nor dropped', lines)
        rows = [l.split()[0] for l in lines if l.startswith('  ')][1:]
        self.assertEqual(rows, ['NK1', 'PID-7', 'PID-8'])
        self.assertRegex(p.stdout, r'PID-7 +Date/Time of Birth +2 +one \(hub\.hdw:\d+\)')
        self.assertEqual(lines[-1], 'read what is wanted; where the rest is not: drop msg.NK1, msg.PID-7, msg.PID-8')
        # what it proposes is enough
        with open(self.file, 'w') as f:
            f.write(HUB.replace('drop msg.PID-1\n', lines[-1].split(': ')[1] + ', msg.PID-1\n'))
        p = hdwc('test', '--lossless', 'hub.hdw', cwd=self.dir)
        self.assertEqual((p.returncode, p.stdout.splitlines()[-1]), (0, 'unread: nothing; all that came in these tests is read or dropped'))
        hdwc('fmt', 'hub.hdw', cwd=self.dir)
        self.assertEqual(hdwc('test', '--lossless', 'hub.hdw', cwd=self.dir).stdout, p.stdout)

    def test_through_the_library(self):
        example = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'examples', 'v2-to-fhir')
        folder = os.path.join(self.dir, 'example')
        shutil.copytree(example, folder)
        p = hdwc('test', '--lossless', 'v2-to-fhir.hdw', cwd=folder)
        self.assertEqual((p.returncode, p.stdout.splitlines()[-1]), (0, 'unread: nothing; all that came in these tests is read or dropped'))
        with open(os.path.join(folder, 'samples', 'oru-r01.hl7'), 'ab') as f:
            f.write(b'ZZZ|1\r')
        p = hdwc('test', '--lossless', 'v2-to-fhir.hdw', cwd=folder)
        self.assertEqual((p.returncode, p.stdout.splitlines()[-1]), (1, 'read what is wanted; where the rest is not: drop msg.ZZZ'))

    def test_json_and_exit_status(self):
        p = hdwc('test', '--lossless', '--format=json', 'hub.hdw', cwd=self.dir)
        self.assertEqual(p.returncode, 1)
        unread = json.loads(p.stdout)['unread']
        self.assertEqual([(r['path'], r['inputs'], r['test']) for r in unread], [('NK1', 1, 'one'), ('PID-7', 2, 'one'), ('PID-8', 1, 'one')])
        self.assertEqual(unread[2]['name'], 'Administrative Sex')
        self.assertNotIn('unread', json.loads(hdwc('test', '--format=json', 'hub.hdw', cwd=self.dir).stdout))

    def test_only_wholes_are_dropped(self):
        for path in ('msg.PID-3.1', 'msg.PID-3[1]', "msg.OBX.where(OBX-1 = '1')", "'x'"):
            with open(self.file, 'w') as f:
                f.write(HUB.replace('drop msg.PID-1', 'drop ' + path))
            p = hdwc('check', 'hub.hdw', cwd=self.dir)
            self.assertEqual(p.returncode, 1, path)
            self.assertIn('E0281', p.stderr + p.stdout)


class Daemon(unittest.TestCase):
    def test_counts(self):
        d = rig.Daemon(HUB, {'listeners': {'adt': {'port': 0}}, 'connections': {'crm': {'base': 'http://127.0.0.1:9', 'private_networks': True}}, 'loss': True})
        self.addCleanup(d.close)
        d.start()
        c = rig.Mllp(d.ports['adt'])
        for i in range(3):
            self.assertEqual(rig.ack_code(c.ask(rig.adt(i) + ('NK1|1|X\r' if i else ''))), 'AA')
        c.close()
        rows = {r['path']: r for r in d.ask('loss')}
        self.assertEqual(set(rows), {'NK1'})
        self.assertEqual((rows['NK1']['sender'], rows['NK1']['inputs'], rows['NK1']['of'], rows['NK1']['name'][:11]), ('LAB', 2, 3, 'Next of Kin'))
        self.assertEqual(d.ask('loss', '--sender', 'NOBODY'), [])
        d.config['loss'] = False
        d.stop()
        d.start()
        r = subprocess.run([rig.HDWVM, 'loss', '--config', 'hdw.json'], cwd=d.dir, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn('"loss": true', r.stderr)


def fields(message):
    """(segment index, path, field index) of every field that holds something."""
    for i, seg in enumerate(message.split('\r')):
        for k, f in enumerate(seg.split('|')):
            if k and f:
                yield i, '%s-%d' % (seg[:3], k + (seg[:3] == 'MSH')), k


def outcome(program, message, mocks):
    with tempfile.NamedTemporaryFile('w', suffix='.hl7', newline='') as f:
        f.write(message)
        f.flush()
        p = hdwc('run', program, '--message', f.name, *mocks)
    out = json.loads(p.stdout)
    out.pop('ack', None)
    return re.sub(r'\|[0-9A-F]{12}\|P', '|CONTROL|P', re.sub(r'"(took|at|run|id)[^,}]*', '', json.dumps(out)))  # control ids are made from the run's id


class Promise(unittest.TestCase):
    """Another value in a field that is reported as unread gives the same outcome, in every example that takes messages."""

    def examples(self):
        for name in sorted(os.listdir(os.path.join(ROOT, 'examples'))):
            d = os.path.join(ROOT, 'examples', name)
            program, samples = os.path.join(d, name + '.hdw'), os.path.join(d, 'samples')
            if not os.path.exists(program):
                continue
            mocks = os.path.join(samples, 'mocks.json')
            for s in sorted(os.listdir(samples)):
                if s.endswith('.hl7'):
                    with open(os.path.join(samples, s), newline='') as f:
                        yield program, f.read().replace('\r\n', '\r').replace('\n', '\r'), ['--mock', mocks] if os.path.exists(mocks) else []

    def test_another_value_changes_nothing(self):
        changed = 0
        unread = {}
        for program, message, mocks in self.examples():
            if program not in unread:
                got = json.loads(hdwc('test', '--loss', '--format=json', program).stdout)
                unread[program] = {r['path'] for r in got['unread']}
            want = outcome(program, message, mocks)
            for i, path, k in fields(message):
                if path not in unread[program] and path[:3] not in unread[program]:
                    continue
                segs = message.split('\r')
                cells = segs[i].split('|')
                cells[k] = 'OTHER7'
                segs[i] = '|'.join(cells)
                self.assertEqual(outcome(program, '\r'.join(segs), mocks), want, '%s: %s' % (program, path))
                changed += 1
        self.assertGreater(changed, 10)


if __name__ == '__main__':
    sys.exit(0 if unittest.main(verbosity=1, exit=False).result.wasSuccessful() else 1)
