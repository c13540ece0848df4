"""The data folder and its tools: check, backup beside load, restore, compact, export, looking in without a daemon, damage, a full disk."""
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HDWVM, HttpSink, Mllp, SLOW, ack_code, adt, wait_for

PROGRAM = """hdw 1
setting crm_base: url
connection crm = rest(base: crm_base, timeout: 5 seconds)
listener adt = mllp(port: 2575)
workflow admit
  on msg = adt.message(types: ['ADT^A01'])
  order by msg.PID-3.idNumber.first()
{
  step a = crm.post('/step', body: { id: msg.MSH-10, mrn: msg.PID-3.idNumber.first() })
  send crm.post('/send', body: { id: msg.MSH-10 })
}
"""
WEB = """listener web = http(port: 8080)
workflow posted on msg = web.message('/hl7', types: ['ADT^A01']) { send crm.post('/send', body: { id: msg.MSH-10 }) }
workflow api on req = web.post('/api') { send crm.post('/send', body: { id: 'api' }) }
"""
DAMAGES = int(os.environ.get('HDW_DAMAGES', '120'))


class Store(unittest.TestCase):
    def setUp(self):
        self.sink = HttpSink()
        self.d = Daemon(PROGRAM, {'settings': {'crm_base': f'http://127.0.0.1:{self.sink.port}'}, 'listeners': {'adt': {'port': 0}},
                                  'connections': {'crm': {'grant': {'networks': ['127.0.0.0/8']}}}})
        self.data = self.d.config['data']
        self.d.start()

    def tearDown(self):
        self.d.close()
        self.sink.close()

    def tool(self, *args, code=0):
        r = subprocess.run([HDWVM, *map(str, args)], cwd=self.d.dir, capture_output=True, text=True, timeout=120)
        if code is not None:
            self.assertEqual(r.returncode, code, f'{args}\n{r.stdout}{r.stderr}')
        return r

    def send(self, n, prefix='M'):
        c = Mllp(self.d.ports['adt'])
        acked = []
        for i in range(n):
            if ack_code(c.ask(adt(f'{prefix}{i}', mrn=f'P{i % 7}'))) == 'AA':
                acked.append(f'{prefix}{i}')
        c.close()
        return acked

    def post(self, path, kind, body):
        c = http.client.HTTPConnection('127.0.0.1', self.d.ports['web'], timeout=20 * SLOW)
        c.request('POST', path, body=body, headers={'Content-Type': kind})
        r = c.getresponse()
        r.read()
        c.close()
        return r.status, dict(r.getheaders())

    def settled(self, n):
        wait_for(lambda: self.d.ask('status')['deliveries'].get('delivered', 0) >= n, 60, 'delivery of everything')

    def test_check_says_good_beside_the_daemon_and_without_it(self):
        self.send(60)
        self.settled(60)
        r = self.tool('check', '--data', self.data)
        self.assertIn('good', r.stdout)
        self.assertEqual(self.d.stop(), 0)
        r = self.tool('check', '--data', self.data)
        self.assertIn('equal to the log folded again', r.stdout)
        self.assertFalse(os.path.exists(os.path.join(self.data, 'check.tmp')))
        self.tool('check', '--data', os.path.join(self.d.dir, 'nothing'), code=74)

    def test_check_restore_and_compact_as_json(self):
        self.send(20)
        self.settled(20)

        def js(*args, code=0):
            r = self.tool(*args, '--json', code=code)
            return json.loads(r.stdout)
        beside = js('check', '--data', self.data)
        self.assertEqual((beside['result'], beside['state']['compared']), ('good', False))
        self.assertEqual(self.d.stop(), 0)
        good = js('check', '--data', self.data)
        self.assertEqual((good['result'], good['log']['result'], good['state']['result'], good['state']['compared'], good['state']['audit']['good']), ('good', 'good', 'good', True, True))
        self.assertEqual((good['log']['findings'], good['state']['findings']), ([], []))
        self.assertGreaterEqual(good['log']['records'], 40)
        self.assertIn(good['log']['last'] - good['state']['applied'], (0, 1))  # the last record of a stop changes nothing
        copy, back = os.path.join(self.d.dir, 'copy'), os.path.join(self.d.dir, 'back')
        js('backup', '--data', self.data, '--to', copy)
        self.assertEqual(js('check', '--data', copy)['state'], {'result': 'none', 'findings': []})
        r = js('restore', '--from', copy, '--data', back)
        self.assertEqual((r['result'], r['last'], r['skipped']), ('good', good['log']['last'], 0))
        self.assertGreater(r['folded'], 0)
        self.assertGreater(js('compact', '--data', back)['state_bytes'], 0)
        log = os.path.join(copy, 'log')
        seg = os.path.join(log, sorted(f for f in os.listdir(log) if f.endswith('.seg'))[0])
        with open(seg, 'r+b') as f:
            f.seek(os.path.getsize(seg) // 2)
            f.write(b'damage' * 8)
        bad = js('check', '--data', copy, code=1)
        self.assertEqual((bad['result'], bad['log']['result']), ('damaged', 'damaged'))
        self.assertIn('damaged at byte', bad['log']['findings'][0])
        r = js('restore', '--from', copy, '--data', os.path.join(self.d.dir, 'back2'), code=1)
        self.assertEqual(r['result'], 'damaged')  # and not a shorter log that looks well
        self.assertIn('is damaged', self.tool('backup', '--data', copy, '--to', os.path.join(self.d.dir, 'copy2'), code=1).stderr)
        self.assertRegex(self.tool('restore', '--from', copy, '--data', os.path.join(self.d.dir, 'new2'), code=1).stderr, r'segment 1, the last one, is damaged at byte \d+; .* Take another backup')
        self.assertEqual(js('check', '--data', os.path.join(self.d.dir, 'copy2'), code=1)['log']['findings'], bad['log']['findings'])
        none = js('check', '--data', os.path.join(self.d.dir, 'nothing'), code=74)
        self.assertEqual((none['result'], none['log']['result']), ('unreadable', 'unreadable'))
        with open(os.path.join(self.data, 'state.mdb'), 'r+b') as f:
            f.write(b'\0' * 65536)
        bad = js('check', '--data', self.data, code=1)
        self.assertEqual((bad['result'], bad['log']['result']), ('damaged', 'good'))
        self.assertTrue(bad['state']['findings'])

    def test_numbers_of_the_command_line_are_numbers(self):
        for command in ('lanes', 'runs', 'loss', 'audit', 'messages'):
            for bad in ('x', '', '0', '-1', '+5', ' 5', '5k', '1.5', '1000001', '99999999999999999999999'):
                r = self.tool(command, '--limit', bad, code=2)
                self.assertEqual(r.stderr, f"hdwvm: --limit takes a whole number from 1 to 1000000, not '{bad}'\n")
                self.assertEqual(r.stdout, '')
            self.tool(command, '--limit=5', '--data', self.data, code=1 if command == 'loss' else 0)  # loss is not counted here
        self.assertIn("--after takes a whole number, not 'x'", self.tool('messages', '--after', 'x', code=2).stderr)
        self.assertIn("--term takes a whole number above 0, not '0'", self.tool('fence', '--term=0', code=2).stderr)

    def test_looking_in_without_a_daemon(self):
        self.send(5)
        self.settled(5)
        online = self.d.ask('messages')
        self.assertEqual(self.d.stop(), 0)
        r = self.tool('messages', '--data', self.data, '--json')
        self.assertIn('the daemon is not running', r.stderr)
        self.assertEqual([m['id'] for m in json.loads(r.stdout)], [m['id'] for m in online])
        r = self.tool('message', online[0]['id'], '--data', self.data)
        self.assertIn('M4', r.stdout)
        run = json.loads(self.tool('runs', '--data', self.data, '--json').stdout)[0]
        self.assertIn('/step', self.tool('run', run['id'], '--data', self.data).stdout)
        self.tool('dead', '--data', self.data)
        self.tool('status', '--data', self.data, code=69)
        r = self.tool('export', '--data', self.data)
        kinds = [json.loads(line)['kind'] for line in r.stdout.splitlines()]
        self.assertEqual((kinds.count('message'), kinds.count('run')), (5, 5))
        self.assertIn('P4', r.stdout)

    def test_backup_beside_load_and_restore(self):
        copy, back = os.path.join(self.d.dir, 'copy'), os.path.join(self.d.dir, 'back')
        before = self.send(50, 'B')
        acked, stop = [], threading.Event()

        def load():
            c = Mllp(self.d.ports['adt'])
            i = 0
            while not stop.is_set():
                if ack_code(c.ask(adt(f'L{i}', mrn=f'P{i % 7}'))) == 'AA':
                    acked.append(f'L{i}')
                i += 1
            c.close()
        t = threading.Thread(target=load)
        t.start()
        time.sleep(0.3)
        sure = before + list(acked)
        self.tool('backup', '--data', self.data, '--to', copy)
        time.sleep(0.3)
        second = list(acked)
        self.tool('backup', '--data', self.data, '--to', copy)
        stop.set()
        t.join()
        self.tool('check', '--data', copy)
        self.assertGreater(len(sure), 50)
        self.d.kill()
        self.tool('restore', '--from', copy, '--data', back)
        self.assertIn('equal to the log folded again', self.tool('check', '--data', back).stdout)
        ids = {m['control_id'] for m in json.loads(self.tool('messages', '--data', back, '--limit', 100000, '--json').stdout)}
        self.assertLessEqual(set(before + second), ids)
        self.tool('restore', '--from', copy, '--data', back, code=1)
        self.d.config['data'] = back
        self.d.start()
        self.settled(len(ids))
        c = Mllp(self.d.ports['adt'])
        self.assertEqual(ack_code(c.ask(adt('B0', mrn='P0'))), 'AA')  # a resend: known
        c.close()
        self.assertEqual(len(self.d.ask('messages', '--limit', 100000)), len(ids))
        self.assertEqual(self.d.stop(), 0)
        self.tool('check', '--data', back)

    def test_compact_lets_go_what_is_over_and_keeps_what_waits(self):
        self.send(200, 'A')
        self.settled(200)
        self.sink.answer = lambda r: (422, {'error': 'no'}, {})
        self.send(3, 'D')
        wait_for(lambda: len(self.d.ask('dead')) == 3, 30, 'dead letters')
        self.assertEqual(self.d.stop(), 0)
        self.tool('compact', '--data', self.data, '--config', 'hdw.json')
        self.assertEqual(len(json.loads(self.tool('messages', '--data', self.data, '--limit', 1000, '--json').stdout)), 203)
        self.d.config.update(retain_inputs_days=0, retain_values_days=0, retain_runs_days=0)
        self.d.config['listeners']['adt']['duplicate_window_ms'] = 0
        self.d.write_config()
        r = self.tool('compact', '--data', self.data, '--config', 'hdw.json')
        left = json.loads(self.tool('messages', '--data', self.data, '--limit', 1000, '--json').stdout)
        self.assertEqual({m['control_id'] for m in left}, {'D0', 'D1', 'D2'}, r.stdout)
        size = sum(os.path.getsize(os.path.join(self.data, 'log', f)) for f in sorted(os.listdir(os.path.join(self.data, 'log')))[:1] if f.endswith('.seg'))
        self.assertLess(size, 40000)
        self.assertIn('good', self.tool('check', '--data', self.data).stdout)
        self.sink.answer = lambda r: (201, {'id': 1}, {})
        before = len(self.sink.requests)
        self.d.start()
        self.tool('redrive', '--all', '--yes', '--config', 'hdw.json')
        wait_for(lambda: len([r for r in self.sink.requests[before:] if r['path'] == '/send']) == 3, 30, 'the dead ones again')
        self.assertEqual(self.d.stop(), 0)
        self.tool('check', '--data', self.data)

    def test_damage_is_never_silent(self):
        """Flipped bits, zeroed and swapped pages, truncation, foreign bytes, in log and state: check finds it, or what is read is unchanged."""
        self.send(150)
        self.settled(150)
        self.assertEqual(self.d.stop(), 0)
        seg = os.path.join(self.data, 'log', '00000000000000000001.seg')
        used = 0
        with open(seg, 'rb') as f:
            whole = f.read()
        used = len(whole.rstrip(b'\0'))
        os.truncate(seg, (used + 4095) // 4096 * 4096)
        self.tool('check', '--data', self.data)
        good = json.loads(self.tool('messages', '--data', self.data, '--limit', 1000, '--json').stdout)
        rnd = random.Random(7)
        found = same = 0
        for i in range(DAMAGES):
            copy = os.path.join(self.d.dir, 'damaged')
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.data, copy, ignore=shutil.ignore_patterns('*.sock'))
            target = os.path.join(copy, rnd.choice(['log/00000000000000000001.seg', 'state.mdb']))
            size = os.path.getsize(target) if target.endswith('.mdb') else used
            what = rnd.choice(['flip', 'flip', 'zero', 'swap', 'cut', 'foreign'])
            with open(target, 'r+b') as f:
                at = rnd.randrange(size)
                if what == 'flip':
                    f.seek(at)
                    b = f.read(1)[0] ^ (1 << rnd.randrange(8))
                    f.seek(at)
                    f.write(bytes([b]))
                elif what == 'cut':
                    f.truncate(at // 4096 * 4096)
                else:
                    page = at // 4096 * 4096
                    other = rnd.randrange(size) // 4096 * 4096
                    f.seek(page)
                    a = f.read(4096)
                    f.seek(other)
                    b = f.read(4096)
                    n = bytes(len(a)) if what == 'zero' else b[:len(a)] if what == 'swap' else rnd.randbytes(len(a))
                    f.seek(page)
                    f.write(n)
                    if what == 'swap':
                        f.seek(other)
                        f.write(a[:len(b)])
            r = self.tool('check', '--data', copy, code=None)
            self.assertIn(r.returncode, (0, 1, 74), f'{i} {what} {target}: {r.stdout}{r.stderr}')
            if r.returncode:
                found += 1
                continue
            same += 1
            now = json.loads(self.tool('messages', '--data', copy, '--limit', 1000, '--json').stdout)
            self.assertEqual(now, good, f'{i} {what} {target}: silent')
            self.assertEqual(len(self.tool('export', '--data', copy).stdout.splitlines()), 2 * len(good))
        print(f'{DAMAGES} damages: {found} reported, {same} without effect, 0 silent', file=sys.stderr)
        self.assertGreater(found, DAMAGES // 3)

    def test_T10_a_full_disk_answers_AE_and_recovers(self):
        """Below min_free_bytes nothing is taken in; what was taken drains; it goes on by itself when there is room."""
        if not shutil.which('mount') or os.geteuid():
            self.skipTest('needs root for a small file system')
        self.d.close()
        self.d = Daemon(PROGRAM + WEB, dict(self.d.config, listeners={'adt': {'port': 0}, 'web': {'port': 0}}))
        small = os.path.join(self.d.dir, 'small')
        os.mkdir(small, 0o700)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=160m,mode=0700', 'tmpfs', small], capture_output=True).returncode:
            self.skipTest('no tmpfs here')
        try:
            self.d.config.update(data=os.path.join(small, 'data'), min_free_bytes=24 << 20)
            self.d.start()
            for cycle in range(2):
                self.assertEqual(self.send(20, f'C{cycle}-'), [f'C{cycle}-{i}' for i in range(20)])
                filler = os.path.join(small, 'filler')
                free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
                with open(filler, 'wb') as f:
                    f.write(bytes(max(0, free - (8 << 20))))
                wait_for(lambda: self.d.ask('status')['state'] == 'refusing', 5, 'intake to stop')
                began = time.monotonic()
                c = Mllp(self.d.ports['adt'])
                self.assertEqual(ack_code(c.ask(adt(f'F{cycle}'))), 'AE')
                self.assertLess(time.monotonic() - began, 1 if not SLOW else SLOW)
                c.close()
                for path, kind, body in (('/hl7', 'application/hl7-v2', adt(f'F{cycle}')), ('/api', 'application/json', '{"a": 1}')):
                    status, headers = self.post(path, kind, body)
                    self.assertEqual((path, status), (path, 503))
                    self.assertGreater(int(headers['Retry-After']), 0)
                self.settled(20 * (cycle + 1) + 3 * cycle)  # what was taken in drains
                os.unlink(filler)
                wait_for(lambda: self.d.ask('status')['state'] == 'accepting', 10, 'intake again')
                self.assertEqual(self.send(1, f'F{cycle}'), [f'F{cycle}0'])
                self.assertEqual(self.post('/hl7', 'application/hl7-v2', adt(f'H{cycle}'))[0], 200)
                self.assertEqual(self.post('/api', 'application/json', '{"a": %d}' % cycle)[0], 202)
            self.assertEqual(len(self.send(5, 'Z')), 5)
            self.d.stop()
            self.tool('check', '--data', self.d.config['data'])
        finally:
            self.d.kill() if self.d.p.poll() is None else None
            subprocess.run(['umount', small])


if __name__ == '__main__':
    unittest.main(verbosity=2)
